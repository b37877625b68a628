/* SPDX-License-Identifier: MIT */
/* A driver's mappings: frames that it gives, accesses that it makes itself, and how many there are. */
#include "support/world.h"

#include <errno.h>

#define EMULATED 2	/* page of the device */
#define MISSING 3

struct device {
	struct mm_context *ctx;
	unsigned long frame[2];
	unsigned int faults, write_faults;
	int opened, open;
	unsigned char registers[8];
};

static void dev_open(void *arg, struct mm_struct *mm)
{
	struct device *dev = arg;

	assert_non_null(mm);
	dev->opened++;
	dev->open++;
}

static void dev_close(void *arg, struct mm_struct *mm)
{
	assert_non_null(mm);
	((struct device *)arg)->open--;
}

static enum vm_fault_answer dev_fault(void *arg, struct vm_fault *fault)
{
	struct device *dev = arg;

	dev->faults++;
	dev->write_faults += fault->access == MM_WRITE;
	if (fault->pgoff == EMULATED)
		return VM_FAULT_EMULATE;
	if (fault->pgoff >= MISSING)
		return VM_FAULT_BUS;
	fault->frame = dev->frame[fault->pgoff];
	return VM_FAULT_FRAME;
}

static int dev_access(void *arg, uint64_t offset, void *buf, size_t len, bool write)
{
	struct device *dev = arg;
	unsigned char *at = dev->registers + (offset & 7);

	if ((offset & ~PAGE_MASK) + len > 8)
		return -EIO;
	if (write)
		memcpy(at, buf, len);
	else
		memcpy(buf, at, len);
	return 0;
}

static const struct vm_operations dev_ops = { .open = dev_open, .close = dev_close, .fault = dev_fault,
					      .access = dev_access };

static struct vm_file *open_device(void **state, struct device *dev)
{
	struct vm_file_info info = { .kind = VM_FILE_DEVICE, .ops = &dev_ops, .ops_arg = dev };
	int i;

	*dev = (struct device){ .ctx = world_of(state)->ctx };
	for (i = 0; i < 2; i++)
		assert_int_equal(mm_frame_alloc(dev->ctx, &dev->frame[i]), 0);
	return world_file(dev->ctx, &info);
}

static void close_device(struct device *dev, struct vm_file *file)
{
	vm_file_put(file);
	assert_int_equal(dev->open, 0);
	mm_unpin(dev->ctx, dev->frame[0], false);
	mm_unpin(dev->ctx, dev->frame[1], false);
}

static unsigned char *device_byte(struct device *dev, int page)
{
	return mm_frame_bytes(dev->ctx, dev->frame[page]);
}

/* Shared: the device's own frames, for both sides; told of the first write too. */
static void gives_frames(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	map_file(mm, 0, 5, RW, MAP_SHARED, file, 0);
	*device_byte(&dev, 0) = 7;
	assert_int_equal(get_byte(mm, 0), 7);
	assert_int_equal(info_of(mm, 0).frame, dev.frame[0]);
	assert_int_equal(dev.write_faults, 0);
	put_byte(mm, 0, 8);
	assert_int_equal(dev.write_faults, 1);
	put_byte(mm, 0, 9);
	assert_int_equal(dev.faults, 2);
	assert_int_equal(*device_byte(&dev, 0), 9);
	assert_int_equal(touch(mm, MISSING, MM_READ), MM_FAULT_BUS);
	assert_int_equal(mm_fork(mm, &child), 0);
	put_byte(child, 0, 10);
	assert_int_equal(get_byte(mm, 0), 10);
	valid(dev.ctx, mm, child);
	mmput(child);
	assert_int_equal(mm_munmap(mm, AT(0), 5 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* Private: what is written is a copy, and the device does not see it. */
static void is_copied_privately(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);

	map_file(mm, 0, 2, RW, MAP_PRIVATE, file, 0);
	*device_byte(&dev, 0) = *device_byte(&dev, 1) = 1;
	put_byte(mm, 0, 2);
	assert_int_equal(get_byte(mm, 1), 1);
	put_byte(mm, 1, 3);
	assert_int_equal(*device_byte(&dev, 0), 1);
	assert_int_equal(*device_byte(&dev, 1), 1);
	assert_int_equal(get_byte(mm, 0), 2);
	assert_int_equal(get_byte(mm, 1), 3);
	valid(dev.ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 2 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* Registers: no page is ever there, and each access comes to the driver. */
static void emulates(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	unsigned char bytes[16];
	size_t done;

	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	assert_int_equal(touch(mm, EMULATED, MM_READ), MM_FAULT_EMULATE);
	assert_int_equal(mm_write(mm, AT(EMULATED) + 2, "abc", 3, &done), MM_FAULT_OK);
	assert_memory_equal(dev.registers, "\0\0abc\0\0", 8);
	assert_int_equal(mm_read(mm, AT(EMULATED) + 3, bytes, 2, &done), MM_FAULT_OK);
	assert_memory_equal(bytes, "bc", 2);
	assert_int_equal(mm_read(mm, AT(EMULATED) - 4, bytes, 16, &done), MM_FAULT_BUS);
	assert_int_equal(done, 4);
	assert_false(info_of(mm, EMULATED).present);
	assert_int_equal(mm_mprotect(mm, AT(EMULATED), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(mm_write(mm, AT(EMULATED), "x", 1, &done), MM_FAULT_ACCERR);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	close_device(&dev, file);
}

/* B5. Each mapping is opened once and closed once: splits, forks, failures and all. */
static void open_and_close(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child = NULL;
	struct device dev;
	struct vm_file *file = open_device(state, &dev);
	int n, err = -1;

	map_file(mm, 0, 6, RW, MAP_SHARED, file, 0);
	assert_int_equal(dev.open, 1);
	assert_int_equal(mm_munmap(mm, AT(2), PAGE_SIZE), 0);
	assert_int_equal(dev.open, 2);
	assert_int_equal(mm_mprotect(mm, AT(3), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(dev.open, 3);
	for (n = 1; err; n++) {
		platform_fail_nth(mm_context_platform(dev.ctx), n);
		err = mm_fork(mm, &child);
		platform_fail_nth(mm_context_platform(dev.ctx), 0);
		assert_int_equal(dev.open, err ? 3 : 6);
	}
	mmput(child);
	assert_int_equal(dev.open, 3);
	assert_int_equal(mm_munmap(mm, AT(0), 6 * PAGE_SIZE), 0);
	assert_int_equal(dev.open, 0);
	close_device(&dev, file);
}

/* A frame may outlive its device where it is mapped, and a device without operations cannot be mapped. */
static void odds_and_ends(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct device dev;
	struct vm_file *file = open_device(state, &dev), *bare;
	struct mm_mmap_args args = { .addr = AT(9), .len = PAGE_SIZE, .prot = PROT_READ, .flags = MAP_SHARED };
	unsigned long out;

	map_file(mm, 0, 1, RW, MAP_SHARED, file, 0);
	put_byte(mm, 0, 4);
	mm_unpin(dev.ctx, dev.frame[0], false);
	assert_int_equal(get_byte(mm, 0), 4);
	assert_int_equal(mm_munmap(mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(mm_frame_alloc(dev.ctx, &dev.frame[0]), 0);
	assert_int_equal(*device_byte(&dev, 0), 0);
	bare = world_file(dev.ctx, &(struct vm_file_info){ .kind = VM_FILE_DEVICE });
	args.file = bare;
	assert_int_equal(mm_mmap(mm, &args, &out), -ENODEV);
	vm_file_put(bare);
	close_device(&dev, file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(gives_frames), page_test(is_copied_privately), page_test(emulates),
		page_test(open_and_close), page_test(odds_and_ends),
	};

	return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
