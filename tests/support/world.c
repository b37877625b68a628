/* SPDX-License-Identifier: MIT */
/* Address spaces with page tables: see world.h. */
#include "support/world.h"

#include <stdio.h>
#include <stdlib.h>

const enum mm_geometry world_geometries[5] = { MM_X86_64, MM_X86_64_LA57, MM_ARM64, MM_RISCV64_SV39, MM_RISCV64_SV48 };

/* A complaint fails the test when it is taken down, not on the spot: what went before is to be seen. */
static void complain(void *arg, const char *line)
{
	++*(unsigned long *)arg;
	printf("complaint: %s\n", line);
}

int world_setup(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES, .log = complain };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .geometry = *(const enum mm_geometry *)*state,
				     .task_size = 1UL << 38 };
	struct world *p = calloc(1, sizeof(*p));

	p->geometry = mm_opt.geometry;
	opt.log_arg = &p->complaints;
	assert_int_equal(mm_context_create(&opt, &p->ctx), 0);
	assert_int_equal(mm_create(p->ctx, &mm_opt, &p->mm), 0);
	*state = p;
	return 0;
}

int world_teardown(void **state)
{
	struct world *p = *state;
	struct platform_stats s;
	long left;

	mmput(p->mm);
	platform_read_stats(mm_context_platform(p->ctx), &s);
	left = s.frames + s.tables + s.swap_slots + s.vmas + s.mms + s.anon_vmas + s.files + s.inodes;
	if (left)
		printf("left: %ld frames, %ld tables, %ld slots, %ld VMAs, %ld address spaces, %ld anon_vmas, %ld files, "
		       "%ld inodes\n", s.frames, s.tables, s.swap_slots, s.vmas, s.mms, s.anon_vmas, s.files, s.inodes);
	mm_context_destroy(p->ctx);
	left += (long)p->complaints;
	free(p);
	return left ? -1 : 0;
}

static void map(struct mm_struct *mm, const struct mm_mmap_args *args)
{
	unsigned long out;

	assert_int_equal(mm_mmap(mm, args, &out), 0);
	assert_int_equal(out, args->addr);
}

void map_anon(struct mm_struct *mm, unsigned long at, unsigned long count, unsigned long prot)
{
	map(mm, &(struct mm_mmap_args){ .addr = AT(at), .len = count * PAGE_SIZE, .prot = prot,
					.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED });
}

void map_file(struct mm_struct *mm, unsigned long at, unsigned long count, unsigned long prot, unsigned long flags,
	      struct vm_file *file, unsigned long index)
{
	map(mm, &(struct mm_mmap_args){ .addr = AT(at), .len = count * PAGE_SIZE, .prot = prot,
					.flags = flags | MAP_FIXED | (file ? 0 : MAP_ANONYMOUS), .file = file,
					.offset = index * PAGE_SIZE });
}

static int fill(void *arg, uint64_t index, void *page)
{
	(void)arg;
	memset(page, 'a' + (int)(index % 16), PAGE_SIZE);
	return 0;
}

struct vm_file *world_file(struct mm_context *ctx, const struct vm_file_info *extra)
{
	struct vm_file_info info = extra ? *extra : (struct vm_file_info){ 0 };
	struct vm_file *file;

	info.size = sizeof(info);
	info.readable = info.writable = true;
	if (!info.read_page && info.kind == VM_FILE_REGULAR)
		info.read_page = fill;
	assert_int_equal(vm_file_create(ctx, &info, &file), 0);
	return file;
}

enum mm_fault touch(struct mm_struct *mm, unsigned long page, enum mm_access access)
{
	return mm_fault(mm, AT(page), access);
}

void put_byte(struct mm_struct *mm, unsigned long page, unsigned char value)
{
	assert_int_equal(mm_write(mm, AT(page), &value, 1, NULL), MM_FAULT_OK);
}

unsigned char get_byte(struct mm_struct *mm, unsigned long page)
{
	unsigned char value = 0xee;

	assert_int_equal(mm_read(mm, AT(page), &value, 1, NULL), MM_FAULT_OK);
	return value;
}

struct mm_page_info info_of(struct mm_struct *mm, unsigned long page)
{
	struct mm_page_info info;

	assert_int_equal(mm_page_info(mm, AT(page), &info), 0);
	return info;
}

static char letter_of(const struct mm_page_info *info)
{
	if (info->swapped)
		return 's';
	if (info->guard)
		return 'g';
	if (!info->present)
		return '.';
	if (info->zero)
		return '0';
	if (info->file_or_shared)
		return info->writable ? 'F' : 'f';
	return info->writable ? 'A' : 'a';
}

const char *draw_pages(struct mm_struct *mm, unsigned long at, unsigned long count)
{
	static char drawn[256];
	unsigned long i;

	assert_true(count < sizeof(drawn));
	for (i = 0; i < count; i++) {
		struct mm_page_info info = info_of(mm, at + i);

		drawn[i] = letter_of(&info);
	}
	drawn[count] = 0;
	return drawn;
}

void assert_valid(struct mm_context *ctx, struct mm_struct **mms, const char *file, int line)
{
	unsigned int nr = 0;
	int broken = 0;

	for (; mms[nr]; nr++)
		broken += mm_validate(mms[nr]);
	broken += mmu_validate_frames(ctx, mms, nr);
	if (broken) {
		printf("%s:%d: %d broken invariants\n", file, line, broken);
		_fail(file, line);
	}
}
