/* SPDX-License-Identifier: MIT */
/*
 * B2. The limit on the number of mappings, as the running kernel has it: each call that makes
 * mappings, with 8 to -1 of them left to make, on a process that really has as many as
 * vm.max_map_count, and on the model. Results and what they leave behind are compared.
 *
 *   |WWWW|rrrr|    |xxxx|    |dd|      the arena, in which the calls are made
 *   |r| |r| |r| ...                    ballast, to come to the number wanted
 *   |n|r|n|r|n|r|n| ...                the rest, in the kernel only
 *
 * The model is without the rest, and its limit is lower by as many.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <samara/mm.h>
#include "diff_tracee.h"

#define PAGE 4096UL
#define ARENA 0x100000000UL
#define ARENA_PAGES 64UL
#define AT(page) (ARENA + (unsigned long)(page) * PAGE)
#define BALLAST 0x110000000UL
#define REST 0x200000000UL
#define ROOM 60			/* mappings that ballast and arena may need */
#define MOST 200000		/* a higher limit takes too long to reach */
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define FIXED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)

struct pair {
	struct tracee tracee;
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct tracee_layout layout;
	unsigned long limit;	/* of the model */
	unsigned long ballast;	/* mappings of it */
	int left;		/* mappings up to the limit, for messages */
};

struct call {
	const char *name;
	long nr;
	unsigned long arg[6];
};

/* One call on both sides ---------------------------------------------------- */

static long on_model(struct mm_struct *mm, const struct call *c)
{
	const unsigned long *a = c->arg;
	struct mm_mmap_args map = { .addr = a[0], .len = a[1], .prot = a[2], .flags = a[3] };
	struct mm_mremap_args remap = { .addr = a[0], .old_len = a[1], .new_len = a[2], .flags = a[3],
					.new_addr = a[4] };
	unsigned long out = 0;
	long err;

	switch (c->nr) {
	case SYS_mmap:
		err = mm_mmap(mm, &map, &out);
		return err ? err : (long)out;
	case SYS_mremap:
		err = mm_mremap(mm, &remap, &out);
		return err ? err : (long)out;
	case SYS_munmap:
		return mm_munmap(mm, a[0], a[1]);
	case SYS_mprotect:
		return mm_mprotect(mm, a[0], a[1], a[2]);
	case SYS_madvise:
		return mm_madvise(mm, a[0], a[1], (int)a[2]);
	case SYS_mlock2:
		return mm_mlock(mm, a[0], a[1], (int)a[2]);
	case SYS_munlock:
		return mm_munlock(mm, a[0], a[1]);
	case SYS_mseal:
		return mm_mseal(mm, a[0], a[1], a[2]);
	default:
		return (long)mm_brk(mm, a[0]);
	}
}

static long both(struct pair *p, const struct call *c)
{
	struct call k = *c;
	long kernel, model;

	if (c->nr == SYS_mmap)
		k.arg[4] = ~0UL;
	kernel = tracee_call(&p->tracee, k.nr, k.arg);
	model = on_model(p->mm, c);
	if (kernel != model) {
		printf("%s, %d left: %ld from the kernel, %ld from the model\n", c->name, p->left, kernel,
		       model);
		fail();
	}
	return model;
}

static void map(struct pair *p, unsigned long addr, unsigned long pages, unsigned long prot)
{
	const struct call c = { "mmap", SYS_mmap,
				{ addr, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED } };

	both(p, &c);
}

static void unmap(struct pair *p, unsigned long addr, unsigned long pages)
{
	const struct call c = { "munmap", SYS_munmap, { addr, pages * PAGE } };

	both(p, &c);
}

static void touch(struct pair *p, unsigned long addr)
{
	tracee_touch(&p->tracee, addr, 'w', 0);
	mm_fault(p->mm, addr, MM_WRITE);
}

/* Comparing ----------------------------------------------------------------- */

/* The mappings of the arena and of the heap's first pages, as a maps file has them. */
struct text {
	size_t used;
	char buf[1 << 14];
};

static int add_line(void *arg, const struct mm_vma_info *vma)
{
	struct text *text = arg;

	if (vma->start >= AT(ARENA_PAGES))
		return 1;
	text->used += (size_t)snprintf(
		text->buf + text->used, sizeof(text->buf) - text->used, "%lx-%lx %c%c%c%c\n", vma->start,
		vma->end, vma->flags & MM_VM_READ ? 'r' : '-', vma->flags & MM_VM_WRITE ? 'w' : '-',
		vma->flags & MM_VM_EXEC ? 'x' : '-', vma->flags & MM_VM_MAYSHARE ? 's' : 'p');
	return 0;
}

static void read_kernel(struct pair *p, struct text *text)
{
	char raw[1 << 14];
	ssize_t n = pread(p->tracee.maps_fd, raw, sizeof(raw) - 1, 0);
	char *line, *rest = raw;

	raw[n > 0 ? n : 0] = 0;
	while ((line = strsep(&rest, "\n"))) {
		struct mm_vma_info vma = { 0 };
		char perms[5];

		if (sscanf(line, "%lx-%lx %4s", &vma.start, &vma.end, perms) != 3)
			continue;
		vma.flags = (perms[0] == 'r' ? MM_VM_READ : 0) | (perms[1] == 'w' ? MM_VM_WRITE : 0) |
			    (perms[2] == 'x' ? MM_VM_EXEC : 0) | (perms[3] == 's' ? MM_VM_MAYSHARE : 0);
		if (add_line(text, &vma))
			return;
	}
}

static bool same_arena(struct pair *p, const struct call *c)
{
	static struct text kernel, model;

	kernel.used = model.used = 0;
	kernel.buf[0] = model.buf[0] = 0;
	read_kernel(p, &kernel);
	mm_for_each_vma(p->mm, add_line, &model);
	if (!strcmp(kernel.buf, model.buf))
		return true;
	printf("%s, %d left\nkernel:\n%smodel:\n%s", c->name, p->left, kernel.buf, model.buf);
	return false;
}

/* Coming to a number of mappings -------------------------------------------- */

static unsigned long count(struct pair *p)
{
	struct mm_counters c;

	mm_read_counters(p->mm, &c);
	return c.map_count;
}

static unsigned long read_limit(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	unsigned long limit = 0;

	if (f && fscanf(f, "%lu", &limit) != 1)
		limit = 0;
	if (f)
		fclose(f);
	return limit;
}

/* Returns the number of mappings made; at most @most. */
static unsigned long make_rest(struct pair *p, unsigned long most)
{
	unsigned long made, map_all[6] = { REST, most * PAGE, PROT_NONE, FIXED, ~0UL };
	unsigned long protect[6] = { REST + PAGE, PAGE, PROT_READ };

	if (tracee_call(&p->tracee, SYS_mmap, map_all) != (long)REST)
		return 0;
	for (made = 1; made + 2 <= most; made += 2, protect[0] += 2 * PAGE)
		if (tracee_call(&p->tracee, SYS_mprotect, protect))
			return 0;
	return made;
}

static void set_scene(struct pair *p, unsigned long wanted)
{
	const struct call shrink = { "brk", SYS_brk, { p->layout.start_brk } };

	both(p, &shrink);
	unmap(p, ARENA, ARENA_PAGES);
	unmap(p, BALLAST, 2 * ROOM);
	map(p, AT(0), 4, PROT_READ | PROT_WRITE);
	touch(p, AT(0));
	map(p, AT(4), 4, PROT_READ);
	map(p, AT(12), 4, PROT_READ | PROT_WRITE | PROT_EXEC);
	map(p, AT(20), 2, PROT_READ | PROT_WRITE);
	for (p->ballast = 0; count(p) < wanted; p->ballast++)
		map(p, BALLAST + 2 * p->ballast * PAGE, 1, PROT_READ);
	assert_int_equal(count(p), wanted);
}

static int setup(void **state)
{
	struct mm_context_options ctx = { .size = sizeof(ctx) };
	unsigned long limit = read_limit(), rest;
	struct mm_options opt = { .size = sizeof(opt), .task_size = TRACEE_TASK_SIZE, .cap_ipc_lock = true };
	struct mm_adopt_args code = { .start = TRACEE_CODE, .end = TRACEE_CODE + PAGE,
				      .flags = MM_VM_READ | MM_VM_EXEC | MM_VM_MAYREAD | MM_VM_MAYWRITE |
					       MM_VM_MAYEXEC | MM_VM_ACCOUNT };
	struct mm_adopt_args scratch = { .start = TRACEE_SCRATCH, .end = TRACEE_END,
					 .flags = (code.flags | MM_VM_WRITE) & ~MM_VM_EXEC };
	struct pair *p = calloc(1, sizeof(*p));

	*state = p;
	if (!p || tracee_create(&p->tracee, false) || tracee_layout(&p->tracee, &p->layout))
		return -1;
	if (limit < 2 * ROOM || limit > MOST)
		return 0;
	rest = make_rest(p, limit - ROOM);
	if (!rest)
		return -1;
	p->limit = ctx.max_map_count = limit - rest;
	opt.mmap_base = p->layout.mmap_base;
	opt.start_brk = p->layout.start_brk;
	opt.data_size = p->layout.data_size;
	if (mm_context_create(&ctx, &p->ctx) || mm_create(p->ctx, &opt, &p->mm) || mm_adopt(p->mm, &code) ||
	    mm_adopt(p->mm, &scratch))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	if (p->mm)
		mm_put(p->mm);
	mm_context_destroy(p->ctx);
	tracee_destroy(&p->tracee);
	free(p);
	return 0;
}

/* The calls ----------------------------------------------------------------- */

static const struct call calls[] = {
	{ "mmap, new", SYS_mmap, { AT(40), PAGE, PROT_READ, FIXED } },
	{ "mmap, joining", SYS_mmap, { AT(8), PAGE, PROT_READ, FIXED } },
	{ "mmap, in the middle", SYS_mmap, { AT(1), PAGE, PROT_NONE, FIXED } },
	{ "mmap, at a head", SYS_mmap, { AT(0), PAGE, PROT_NONE, FIXED } },
	{ "mmap, across", SYS_mmap, { AT(2), 4 * PAGE, PROT_NONE, FIXED } },
	{ "mmap, over all", SYS_mmap, { AT(0), 16 * PAGE, PROT_NONE, FIXED } },
	{ "munmap, in the middle", SYS_munmap, { AT(1), PAGE } },
	{ "munmap, a head", SYS_munmap, { AT(0), PAGE } },
	{ "munmap, across", SYS_munmap, { AT(2), 4 * PAGE } },
	{ "munmap, whole", SYS_munmap, { AT(4), 4 * PAGE } },
	{ "mprotect, in the middle", SYS_mprotect, { AT(1), PAGE, PROT_READ } },
	{ "mprotect, a head", SYS_mprotect, { AT(0), PAGE, PROT_READ } },
	{ "mprotect, a tail that joins", SYS_mprotect, { AT(3), PAGE, PROT_READ } },
	{ "mprotect, across", SYS_mprotect, { AT(2), 4 * PAGE, PROT_NONE } },
	{ "madvise, in the middle", SYS_madvise, { AT(1), PAGE, MADV_DONTDUMP } },
	{ "madvise, across", SYS_madvise, { AT(2), 4 * PAGE, MADV_DONTDUMP } },
	{ "mlock, in the middle", SYS_mlock2, { AT(13), PAGE, 0 } },
	{ "mlock, across", SYS_mlock2, { AT(0), 6 * PAGE, 0 } },
	{ "madvise, whole", SYS_madvise, { AT(0), 4 * PAGE, MADV_DONTDUMP } },
	{ "mremap, whole", SYS_mremap, { AT(12), 4 * PAGE, 4 * PAGE, MOVE, AT(40) } },
	{ "mremap, the middle", SYS_mremap, { AT(13), PAGE, PAGE, MOVE, AT(40) } },
	{ "mremap, into the middle", SYS_mremap, { AT(13), PAGE, PAGE, MOVE, AT(1) } },
	{ "mremap, a head", SYS_mremap, { AT(12), PAGE, PAGE, MOVE, AT(40) } },
	{ "mremap, several", SYS_mremap, { AT(2), 4 * PAGE, 4 * PAGE, MOVE, AT(40) } },
	{ "mremap, growing", SYS_mremap, { AT(12), 4 * PAGE, 6 * PAGE, 0, 0 } },
	{ "mremap, growing away", SYS_mremap, { AT(0), 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE, 0 } },
	{ "mremap, a middle grows away", SYS_mremap, { AT(13), PAGE, 3 * PAGE, MREMAP_MAYMOVE, 0 } },
	{ "mremap, shrinking", SYS_mremap, { AT(12), 4 * PAGE, 2 * PAGE, 0, 0 } },
	{ "mremap, shrinking in the middle", SYS_mremap, { AT(12), 3 * PAGE, PAGE, 0, 0 } },
	{ "mremap, leaving behind", SYS_mremap,
	  { AT(12), 4 * PAGE, 4 * PAGE, MOVE | MREMAP_DONTUNMAP, AT(40) } },
};

static void each_call_at_the_limit(void **state)
{
	struct pair *p = *state;
	unsigned long i, compared = 0;
	int left;

	if (!p->limit) {
		printf("vm.max_map_count is %lu\n", read_limit());
		skip();
	}
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (left = 8; left >= -1; left--) {
			set_scene(p, p->limit - (unsigned long)(long)left);
			p->left = left;
			both(p, &calls[i]);
			assert_true(same_arena(p, &calls[i]));
			compared++;
		}
	printf("# note: %lu calls compared near %lu mappings\n", compared, read_limit());
}

/*
 * Sealed mappings stay, and the cut at the beginning of a range that meets one is made beyond the limit, too.
 *
 *   |wwww|ssss|     the second one is sealed; it is the first page beyond the arena
 *     |----|        from within one to within the other
 */
static const struct call sealed_calls[] = {
	{ "munmap, to within a sealed one", SYS_munmap, { AT(62), 4 * PAGE } },
	{ "munmap, to the end of a sealed one", SYS_munmap, { AT(62), 6 * PAGE } },
	{ "munmap, from a head to within a sealed one", SYS_munmap, { AT(60), 6 * PAGE } },
	{ "mmap, to within a sealed one", SYS_mmap, { AT(62), 4 * PAGE, PROT_NONE, FIXED } },
	{ "mprotect, to within a sealed one", SYS_mprotect, { AT(62), 4 * PAGE, PROT_NONE } },
	{ "mremap, onto a sealed one", SYS_mremap, { AT(12), 4 * PAGE, 4 * PAGE, MOVE, AT(62) } },
	{ "mremap, with a sealed one", SYS_mremap, { AT(62), 4 * PAGE, 4 * PAGE, MOVE, AT(40) } },
};

static void sealed_at_the_limit(void **state)
{
	const struct call seal = { "mseal", SYS_mseal, { AT(ARENA_PAGES), 4 * PAGE, 0 } };
	struct pair *p = *state;
	int left;

	if (!p->limit)
		skip();
	map(p, AT(ARENA_PAGES), 4, PROT_READ);
	if (both(p, &seal))
		skip();
	for (unsigned long i = 0; i < sizeof(sealed_calls) / sizeof(sealed_calls[0]); i++)
		for (left = 8; left >= -1; left--) {
			p->left = left;
			set_scene(p, p->limit - (unsigned long)(long)left - 1);
			map(p, AT(60), 4, PROT_READ | PROT_WRITE);
			both(p, &sealed_calls[i]);
			assert_true(same_arena(p, &sealed_calls[i]));
		}
}

/* The heap is a mapping too. */
static void heap_at_the_limit(void **state)
{
	struct pair *p = *state;
	const struct call grow = { "brk", SYS_brk, { p->layout.start_brk + 2 * PAGE } };
	int left;

	if (!p->limit)
		skip();
	for (left = 2; left >= -1; left--) {
		p->left = left;
		set_scene(p, p->limit - (unsigned long)(long)left);
		both(p, &grow);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_call_at_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(sealed_at_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(heap_at_the_limit, setup, teardown),
	};

	return cmocka_run_group_tests_name("map_count", tests, NULL, NULL);
}
