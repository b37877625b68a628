/* SPDX-License-Identifier: MIT */
/*
 * Faults, unmapping and exit with page tables, beside the running kernel in the same run.
 *
 * usage: mmu [--only ROW] [--core C] [--json FILE]
 *
 * The kernel's figures include the exception or the system call: that is what a program pays.
 * Ours are calls of the library, and begin with a pool whose frames are in memory
 * already; that a fresh frame is zeroed is timed. Pages are of 4 KiB on both sides.
 */
#define _GNU_SOURCE
#include <samara/mm.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "report.h"

#define PLACE 0x100000000000UL
#define PAGES 8192UL			/* of one mapping */
#define MAPPINGS 60000UL		/* that an exit finds, of a page each, a page apart */
#define APART (2 * BENCH_PAGE)

enum touch { TOUCH_WRITE, TOUCH_READ };

/* The kernel ------------------------------------------------------------- */

static char *kernel_map(void)
{
	char *at = mmap(NULL, PAGES * BENCH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || madvise(at, PAGES * BENCH_PAGE, MADV_NOHUGEPAGE))
		bench_check(-1, "mmap");
	return at;
}

static void kernel_touch(volatile char *at, enum touch how)
{
	for (unsigned long i = 0; i < PAGES; i++) {
		if (how == TOUCH_WRITE)
			at[i * BENCH_PAGE] = 1;
		else
			(void)at[i * BENCH_PAGE];
	}
}

static double kernel_fault(enum touch how)
{
	char *at = kernel_map();
	double start = bench_now(), ns;

	kernel_touch(at, how);
	ns = bench_now() - start;
	munmap(at, PAGES * BENCH_PAGE);
	return ns / (double)PAGES;
}

static double kernel_unmap(enum touch how)
{
	char *at = kernel_map();
	double start;

	kernel_touch(at, how);
	start = bench_now();
	bench_check(munmap(at, PAGES * BENCH_PAGE), "munmap");
	return (bench_now() - start) / (double)PAGES;
}

static double kernel_write_fault(void *state)
{
	(void)state;
	return kernel_fault(TOUCH_WRITE);
}

static double kernel_read_fault(void *state)
{
	(void)state;
	return kernel_fault(TOUCH_READ);
}

static double kernel_unmap_pages(void *state)
{
	(void)state;
	return kernel_unmap(TOUCH_WRITE);
}

static double kernel_unmap_zero(void *state)
{
	(void)state;
	return kernel_unmap(TOUCH_READ);
}

static _Noreturn void kernel_live(int ready, int go)
{
	char c = 0;

	for (unsigned long i = 0; i < MAPPINGS; i++) {
		volatile char *at = (char *)(PLACE + i * APART);

		if (mmap((char *)at, BENCH_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
			bench_check(-1, "mmap: vm.max_map_count must be above 60,100");
		*at = 1;
	}
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		bench_check(-1, "pipe");
	_exit(0);
}

/* From when the process is told to end until it has gone. */
static double kernel_exit(void *state)
{
	int ready[2], go[2];
	double start;
	pid_t pid;
	char c = 0;

	(void)state;
	bench_check(pipe(ready) || pipe(go), "pipe");
	pid = fork();
	if (!pid)
		kernel_live(ready[1], go[0]);
	close(ready[1]);
	if (pid < 0 || read(ready[0], &c, 1) != 1)
		bench_check(-1, "fork");
	start = bench_now();
	if (write(go[1], &c, 1) != 1 || waitpid(pid, NULL, 0) != pid)
		bench_check(-1, "wait");
	start = bench_now() - start;
	close(ready[0]);
	close(go[0]);
	close(go[1]);
	return start / (double)MAPPINGS;
}

static void *no_setup(unsigned long n)
{
	return (void *)n;
}

/* Ours ------------------------------------------------------------------- */

struct space {
	struct mm_context *ctx;
	struct mm_struct *mm;
};

static void space_map(struct space *space, unsigned long addr, unsigned long pages)
{
	struct mm_mmap_args args = {
		.addr = addr, .len = pages * BENCH_PAGE, .prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	unsigned long at;

	bench_check(mm_mmap(space->mm, &args, &at), "mmap");
}

static void space_touch(struct space *space, enum touch how)
{
	for (unsigned long i = 0; i < PAGES; i++)
		bench_check(mm_fault(space->mm, PLACE + i * BENCH_PAGE, how == TOUCH_WRITE ? MM_WRITE : MM_READ),
			    "a fault");
}

static void space_begin(struct space *space)
{
	bench_check(mm_create(space->ctx, NULL, &space->mm), "address space");
}

static double our_fault(struct space *space, enum touch how)
{
	double start, ns;

	space_begin(space);
	space_map(space, PLACE, PAGES);
	start = bench_now();
	space_touch(space, how);
	ns = bench_now() - start;
	mm_put(space->mm);
	return ns / (double)PAGES;
}

static double our_unmap(struct space *space, enum touch how)
{
	double start, ns;

	space_begin(space);
	space_map(space, PLACE, PAGES);
	space_touch(space, how);
	start = bench_now();
	bench_check(mm_munmap(space->mm, PLACE, PAGES * BENCH_PAGE), "munmap");
	ns = bench_now() - start;
	mm_put(space->mm);
	return ns / (double)PAGES;
}

static double our_write_fault(struct space *space)
{
	return our_fault(space, TOUCH_WRITE);
}

static double our_read_fault(struct space *space)
{
	return our_fault(space, TOUCH_READ);
}

static double our_unmap_pages(struct space *space)
{
	return our_unmap(space, TOUCH_WRITE);
}

static double our_unmap_zero(struct space *space)
{
	return our_unmap(space, TOUCH_READ);
}

static double our_exit(struct space *space)
{
	double start;

	space_begin(space);
	for (unsigned long i = 0; i < MAPPINGS; i++) {
		space_map(space, PLACE + i * APART, 1);
		bench_check(mm_fault(space->mm, PLACE + i * APART, MM_WRITE), "a fault");
	}
	start = bench_now();
	mm_put(space->mm);
	return (bench_now() - start) / (double)MAPPINGS;
}

/* A page that the TLB knows: as many pages as an emulator's inner loop may have, one after the other. */
static double our_translate(struct space *space)
{
	enum { NEAR = 64 };
	const unsigned long times = 1UL << 22;
	struct mm_tlb *tlb;
	double start, ns;
	void *at;

	space_begin(space);
	space_map(space, PLACE, NEAR);
	bench_check(mm_tlb_create(space->mm, &tlb), "a TLB");
	mm_tlb_begin(tlb);
	for (unsigned long i = 0; i < NEAR; i++)
		bench_check(mm_translate(tlb, PLACE + i * BENCH_PAGE, MM_WRITE, &at) != MM_FAULT_OK, "translate");
	start = bench_now();
	for (unsigned long i = 0; i < times; i++) {
		if (mm_translate(tlb, PLACE + i % NEAR * BENCH_PAGE + i % BENCH_PAGE, MM_WRITE, &at) != MM_FAULT_OK)
			bench_check(-1, "translate");
		bench_keep(at);
	}
	ns = bench_now() - start;
	mm_tlb_end(tlb);
	mm_tlb_destroy(tlb);
	mm_put(space->mm);
	return ns / (double)times;
}

/* Both ------------------------------------------------------------------- */

static const struct line {
	const char *op, *name;
	double (*ours)(struct space *space);
	double (*kernel)(void *state);
	unsigned long n;
	double target, at_most;
} lines[] = {
	{ "write_fault", "fresh page on write", our_write_fault, kernel_write_fault, PAGES, 0.5, 0 },
	{ "read_fault", "zero page on read", our_read_fault, kernel_read_fault, PAGES, 0.3, 0 },
	{ "unmap_pages", "munmap of written pages, per page", our_unmap_pages, kernel_unmap_pages, PAGES, 0.5, 0 },
	{ "unmap_zero", "munmap of the zero page, per page", our_unmap_zero, kernel_unmap_zero, PAGES, 0.5, 0 },
	{ "exit", "exit, per mapping with a written page", our_exit, kernel_exit, MAPPINGS, 0.5, 0 },
	{ "translate", "translation that the TLB knows", our_translate, NULL, 64, 0, 5 },
};
enum { NR_LINES = sizeof(lines) / sizeof(lines[0]) };

static void measure(struct report *report, const struct kernel_side *kernel, const struct line *line)
{
	double ours[REPORT_RUNS], peer[REPORT_RUNS];
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 2 * MAPPINGS };
	struct space space;

	bench_check(mm_context_create(&opt, &space.ctx), "context");
	/* Frames that were never used are known to be zero. The second time they are written to, and then in memory. */
	our_exit(&space);
	our_exit(&space);
	for (int r = 0; r < REPORT_RUNS; r++) {
		peer[r] = line->kernel ? kernel_side_run(kernel) : 0;
		ours[r] = line->ours(&space);
	}
	mm_context_destroy(space.ctx);
	report_add(report, &(struct report_row){
		.name = line->name, .op = line->op, .n = line->n, .ns = report_median(ours), .peer = line->kernel ? "kernel" : NULL,
		.peer_ns = report_median(peer), .target = line->target, .at_most = line->at_most });
}

int main(int argc, char **argv)
{
	const char *ops[NR_LINES + 1] = { NULL };
	struct kernel_side kernel[NR_LINES];
	struct report report;

	for (int i = 0; i < NR_LINES; i++)
		ops[i] = lines[i].op;
	report_begin(&report, argc, argv, "mmu", ops);
	for (int i = 0; i < NR_LINES; i++)
		if (lines[i].kernel)
			kernel_side_start(&kernel[i], no_setup, lines[i].kernel, 1);
	printf("%-44s %8s %12s %12s\n", "nanoseconds each, median of 7", "N", "samara", "kernel");
	for (int i = 0; i < NR_LINES; i++)
		if (report_wants(&report, lines[i].op))
			measure(&report, &kernel[i], &lines[i]);
	for (int i = 0; i < NR_LINES; i++)
		if (lines[i].kernel)
			kernel_side_stop(&kernel[i]);
	report_end(&report);
	return 0;
}
