/* SPDX-License-Identifier: MIT */
/* What a driver may refuse, what it is told, and pages that it maps itself. */
#define _GNU_SOURCE
#include "support/world.h"

#include <errno.h>

#define NR_FRAMES 4

/* Answers and what was asked, in order: p(repare) m(map) s(plit) r(emap) f(ault). */
struct device {
	struct mm_context *ctx;
	unsigned long frame[NR_FRAMES];
	int refuse_prepare, refuse_mmap, refuse_split, refuse_move;
	unsigned long split_at;		/* refuses there; 0: everywhere */
	unsigned int in_advance;	/* pages */
	int open;
	bool lies;
	char asked[64];
	struct vm_mapping last;
	unsigned long from;
};

static void note(struct device *dev, char what, const struct vm_mapping *map)
{
	size_t len = strlen(dev->asked);

	assert_in_range(len, 0, sizeof(dev->asked) - 2);
	dev->asked[len] = what;
	if (map)
		dev->last = *map;
}

#define was_asked(dev, what)                             \
	do {                                             \
		assert_string_equal((dev)->asked, what); \
		memset((dev)->asked, 0, 64);             \
	} while (0)

static int dev_prepare(void *arg, const struct vm_mapping *map)
{
	struct device *dev = arg;

	note(dev, 'p', map);
	return dev->refuse_prepare;
}

static int dev_mmap(void *arg, const struct vm_mapping *map)
{
	struct device *dev = arg;
	int err;

	note(dev, 'm', map);
	/* One after the other, so that one may fail. */
	for (unsigned int i = 0; i < dev->in_advance; i++) {
		err = mm_map_frames(map, map->start + i * PAGE_SIZE, &dev->frame[i], 1);
		if (err)
			return err;
	}
	return dev->refuse_mmap;
}

static void dev_open(void *arg, struct mm_struct *mm)
{
	assert_non_null(mm);
	((struct device *)arg)->open++;
}

static void dev_close(void *arg, struct mm_struct *mm)
{
	assert_non_null(mm);
	((struct device *)arg)->open--;
}

static int dev_split(void *arg, const struct vm_mapping *map, unsigned long addr)
{
	struct device *dev = arg;

	note(dev, 's', map);
	assert_true(map->start < addr && addr < map->end);
	return !dev->split_at || dev->split_at == addr ? dev->refuse_split : 0;
}

static int dev_mremap(void *arg, const struct vm_mapping *map, unsigned long from)
{
	struct device *dev = arg;

	note(dev, 'r', map);
	dev->from = from;
	return dev->refuse_move;
}

static enum vm_fault_answer dev_fault(void *arg, struct vm_fault *fault)
{
	struct device *dev = arg;
	int err = 0;

	note(dev, 'f', fault->map);
	assert_true(fault->pgoff < NR_FRAMES);
	if (!dev->lies)
		err = mm_map_frames(fault->map, fault->addr, &dev->frame[fault->pgoff], 1);
	if (err == -ENOMEM)
		return VM_FAULT_NOMEM;
	return err && err != -EBUSY ? VM_FAULT_BUS : VM_FAULT_MAPPED;
}

static const struct vm_operations dev_ops = {
	.mmap_prepare = dev_prepare, .mmap = dev_mmap, .open = dev_open, .close = dev_close, .may_split = dev_split,
	.mremap = dev_mremap, .fault = dev_fault,
};

static struct vm_file *open_device(void **state, struct device *dev)
{
	struct vm_file_info info = { .kind = VM_FILE_DEVICE, .ops = &dev_ops, .ops_arg = dev };

	*dev = (struct device){ .ctx = world_of(state)->ctx };
	for (int i = 0; i < NR_FRAMES; i++) {
		assert_int_equal(mm_frame_alloc(dev->ctx, &dev->frame[i]), 0);
		memset(mm_frame_bytes(dev->ctx, dev->frame[i]), '0' + i, PAGE_SIZE);
	}
	return world_file(dev->ctx, &info);
}

static void close_device(struct device *dev, struct vm_file *file)
{
	vm_file_put(file);
	assert_int_equal(dev->open, 0);
	for (int i = 0; i < NR_FRAMES; i++)
		mm_unpin(dev->ctx, dev->frame[i], false);
}

static char device_byte(struct device *dev, int page)
{
	return *(char *)mm_frame_bytes(dev->ctx, dev->frame[page]);
}

static int map_device(struct mm_struct *mm, struct vm_file *file, unsigned long at, unsigned long count,
		      unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(at), .len = count * PAGE_SIZE, .prot = RW, .flags = flags | MAP_FIXED,
				     .file = file };
	unsigned long out;

	return mm_mmap(mm, &args, &out);
}

static struct mm_counters counters(struct mm_struct *mm)
{
	struct mm_counters c;

	mm_read_counters(mm, &c);
	return c;
}

static bool is_mapped(struct mm_struct *mm, unsigned long page)
{
	struct mm_vma_info info;

	return !mm_next_vma(mm, AT(page), &info) && info.start <= AT(page);
}

/* B12. First the driver is asked: it may refuse, and nothing has happened; then the mapping is made. */
static void asked_before(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_counters before;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	map_anon(mm, 1, 2, RW);
	put_byte(mm, 1, 7);
	before = counters(mm);
	dev.refuse_prepare = -EPERM;
	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), -EPERM);
	was_asked(&dev, "p");
	assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
	assert_int_equal(get_byte(mm, 1), 7);
	assert_int_equal(dev.open, 0);
	dev.refuse_prepare = 0;
	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	was_asked(&dev, "pm");
	assert_int_equal(dev.last.start, AT(0));
	assert_int_equal(dev.last.end, AT(4));
	assert_int_equal(dev.last.pgoff, 0);
	assert_int_equal(dev.last.prot, RW);
	assert_true(dev.last.shared);
	assert_int_equal(dev.open, 1);
	valid(dev.ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* B12. Whatever runs out after the driver has agreed: nothing has happened. */
static void memory_runs_out(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct platform *pf = mm_context_platform(world_of(state)->ctx);
	struct mm_counters before;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	int err = -ENOMEM, points = 0;

	map_anon(mm, 1, 1, RW);
	put_byte(mm, 1, 7);
	before = counters(mm);
	dev.in_advance = 0;
	for (int n = 1; err; n++) {
		platform_fail_nth(pf, n);
		err = map_device(mm, file, 0, 4, MAP_SHARED);
		platform_fail_nth(pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
		assert_int_equal(get_byte(mm, 1), 7);
		assert_int_equal(dev.open, 0);
		points++;
	}
	assert_true(points > 0);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* B8. A driver of the old style maps pages itself and then fails: they go, and the neighbours stay as they are. */
static void half_made(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_counters before;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	map_anon(mm, 0, 1, RW);
	map_anon(mm, 5, 1, PROT_READ);
	put_byte(mm, 0, 7);
	before = counters(mm);
	dev.in_advance = 3;
	dev.refuse_mmap = -ENXIO;
	assert_int_equal(map_device(mm, file, 1, 4, MAP_SHARED), -ENXIO);
	was_asked(&dev, "pm");
	assert_int_equal(dev.open, 0);
	assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
	assert_int_equal(get_byte(mm, 0), 7);
	for (int page = 1; page < 5; page++)
		assert_false(info_of(mm, page).present);
	/* As Linux has it, what was mapped over goes all the same. */
	dev.in_advance = 1;
	assert_int_equal(map_device(mm, file, 5, 1, MAP_SHARED), -ENXIO);
	assert_false(is_mapped(mm, 5));
	valid(dev.ctx, mm);
	dev.in_advance = 3;
	dev.refuse_mmap = 0;
	assert_int_equal(map_device(mm, file, 1, 4, MAP_SHARED), 0);
	memset(dev.asked, 0, 64);
	assert_int_equal(get_byte(mm, 3), '2');
	was_asked(&dev, "");
	assert_int_equal(mm_munmap(mm, AT(0), 5 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* B8. The same for want of memory, which the driver is told of: each allocation in turn, its tables' included. */
static void half_made_without_memory(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct platform *pf = mm_context_platform(world_of(state)->ctx);
	struct mm_counters before = counters(mm);
	struct platform_stats was, now;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	int err = -ENOMEM, points = 0;

	dev.in_advance = NR_FRAMES;
	platform_read_stats(pf, &was);
	for (int n = 1; err; n++) {
		platform_fail_nth(pf, n);
		/* The pages lie in two lowest tables. */
		err = map_device(mm, file, 510, 4, MAP_SHARED);
		platform_fail_nth(pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(dev.open, 0);
		memset(dev.asked, 0, 64);
		platform_read_stats(pf, &now);
		assert_int_equal(now.vmas, was.vmas);
		assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
		valid(dev.ctx, mm);
		points++;
	}
	assert_true(points > 3);
	/* Drawn as what is no file's, since no page is counted. */
	pages_are(mm, 510, "AAAA");
	assert_int_equal(mm_munmap(mm, AT(510), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* A driver that maps the page itself when it is touched; its frames are not counted. */
static void maps_itself(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	was_asked(&dev, "pm");
	assert_int_equal(get_byte(mm, 1), '1');
	was_asked(&dev, "f");
	assert_int_equal(info_of(mm, 1).frame, dev.frame[1]);
	assert_int_equal(get_mm_rss(mm->pt), 0);
	put_byte(mm, 1, 'x');
	put_byte(mm, 2, 'y');
	was_asked(&dev, "f");
	assert_int_equal(device_byte(&dev, 1), 'x');
	assert_int_equal(device_byte(&dev, 2), 'y');
	/* Write access that was taken away and given back is not the driver's affair. */
	assert_int_equal(mm_mprotect(mm, AT(0), 4 * PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(touch(mm, 1, MM_WRITE), MM_FAULT_ACCERR);
	assert_int_equal(mm_mprotect(mm, AT(0), 4 * PAGE_SIZE, RW), 0);
	put_byte(mm, 1, 'z');
	was_asked(&dev, "");
	assert_int_equal(mm_fork(mm, &child), 0);
	put_byte(child, 1, 'c');
	assert_int_equal(get_byte(mm, 1), 'c');
	valid(dev.ctx, mm, child);
	/* The driver takes them back, everywhere. */
	assert_int_equal(vm_file_invalidate(file, 0, 4 * PAGE_SIZE), 0);
	assert_false(info_of(mm, 1).present);
	assert_false(info_of(child, 1).present);
	mmput(child);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* Private: what is written is a copy of the frame, which stays as it is. */
static void maps_privately(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	assert_int_equal(map_device(mm, file, 0, 4, MAP_PRIVATE), 0);
	put_byte(mm, 0, 'p');
	assert_int_equal(get_byte(mm, 1), '1');
	put_byte(mm, 1, 'q');
	assert_int_equal(device_byte(&dev, 0), '0');
	assert_int_equal(device_byte(&dev, 1), '1');
	assert_int_equal(get_byte(mm, 0), 'p');
	assert_int_equal(get_byte(mm, 1), 'q');
	assert_int_equal(get_mm_rss(mm->pt), 2);
	/* Copies are kept when the driver takes its frames back. */
	assert_int_equal(get_byte(mm, 2), '2');
	assert_int_equal(vm_file_invalidate(file, 0, 4 * PAGE_SIZE), 0);
	pages_are(mm, 0, "AA..");
	valid(dev.ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* Complained about once in the life of the program. */
static void count_complaint(void **state)
{
	assert_in_range(world_of(state)->complaints, world_of(state)->geometry == MM_X86_64, 1);
	world_of(state)->complaints = 0;
}

/* Who says that it has mapped a page and has not, or names a frame that is not its own. */
static void lies(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	unsigned long own = dev.frame[0];

	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	dev.lies = true;
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_BUS);
	count_complaint(state);
	dev.lies = false;
	dev.frame[0] = 0;
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_BUS);
	count_complaint(state);
	dev.frame[0] = own;
	assert_int_equal(get_byte(mm, 0), '0');
	/* Another frame where there is one: it stays. */
	dev.in_advance = 1;
	assert_int_equal(map_device(mm, file, 8, 1, MAP_SHARED), 0);
	assert_int_equal(get_byte(mm, 8), '0');
	assert_int_equal(mm_munmap(mm, AT(0), 9 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* A split that the driver refuses: the call returns what it says, and nothing has changed. */
static void refuses_splits(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_mremap_args move = { .addr = AT(2), .old_len = PAGE_SIZE, .new_len = PAGE_SIZE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(20) };
	struct mm_counters before;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	unsigned long out;

	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	assert_int_equal(get_byte(mm, 3), '3');
	before = counters(mm);
	dev.refuse_split = -EDOM;
	assert_int_equal(mm_munmap(mm, AT(2), 2 * PAGE_SIZE), -EDOM);
	assert_int_equal(mm_munmap(mm, AT(0), 2 * PAGE_SIZE), -EDOM);
	assert_int_equal(mm_mprotect(mm, AT(2), 2 * PAGE_SIZE, PROT_READ), -EDOM);
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, PROT_READ), -EDOM);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE_SIZE, MADV_DONTFORK), -EDOM);
	assert_int_equal(mm_mremap(mm, &move, &out), -EDOM);
	move = (struct mm_mremap_args){ .addr = AT(0), .old_len = 4 * PAGE_SIZE, .new_len = PAGE_SIZE };
	assert_int_equal(mm_mremap(mm, &move, &out), -EDOM);
	assert_int_equal(map_device(mm, file, 3, 2, MAP_SHARED), -EDOM);
	assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
	assert_int_equal(dev.open, 1);
	assert_int_equal(get_byte(mm, 3), '3');
	valid(dev.ctx, mm);
	/* As Linux has it, the first of two cuts is made before the second is refused. */
	dev.split_at = AT(2);
	assert_int_equal(mm_munmap(mm, AT(1), PAGE_SIZE), -EDOM);
	assert_int_equal(counters(mm).map_count, 2);
	assert_int_equal(dev.open, 2);
	/* Whole ones need no cut. */
	dev.split_at = 0;
	memset(dev.asked, 0, 64);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	was_asked(&dev, "");
	close_device(&dev, file);
}

/* Told of a move, which it may refuse: then all is where it was. */
static void is_told_of_moves(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_mremap_args move = { .addr = AT(0), .old_len = 4 * PAGE_SIZE, .new_len = 4 * PAGE_SIZE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(600) };
	struct mm_counters before;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	unsigned long out;

	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	put_byte(mm, 1, 'x');
	memset(dev.asked, 0, 64);
	before = counters(mm);
	dev.refuse_move = -ENOTTY;
	assert_int_equal(mm_mremap(mm, &move, &out), -ENOTTY);
	was_asked(&dev, "r");
	assert_memory_equal(&before, &(struct mm_counters[]){ counters(mm) }, sizeof(before));
	assert_int_equal(dev.open, 1);
	assert_false(is_mapped(mm, 600));
	assert_int_equal(info_of(mm, 1).frame, dev.frame[1]);
	valid(dev.ctx, mm);
	dev.refuse_move = 0;
	assert_int_equal(mm_mremap(mm, &move, &out), 0);
	was_asked(&dev, "r");
	assert_int_equal(dev.from, AT(0));
	assert_int_equal(dev.last.start, AT(600));
	assert_int_equal(dev.last.end, AT(604));
	assert_int_equal(dev.open, 1);
	assert_false(is_mapped(mm, 1));
	/* Its entries have gone along. */
	assert_int_equal(get_byte(mm, 601), 'x');
	was_asked(&dev, "");
	assert_int_equal(mm_munmap(mm, AT(600), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* G4. Nor does a driver map anything into an address space that the reaper has been at. */
static void unstable(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	assert_int_equal(map_device(mm, file, 0, 4, MAP_SHARED), 0);
	mm_set_flag(mm, MMF_UNSTABLE);
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_BUS);
	assert_false(info_of(mm, 0).present);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(asked_before), page_test(memory_runs_out), page_test(half_made),
		page_test(half_made_without_memory), page_test(maps_itself), page_test(maps_privately),
		page_test(lies), page_test(refuses_splits), page_test(is_told_of_moves), page_test(unstable),
	};

	return cmocka_run_group_tests_name("driver hooks", tests, NULL, NULL);
}
