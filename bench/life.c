/* SPDX-License-Identifier: MIT */
/*
 * fork and exit, beside the running kernel in the same run.
 *
 * usage: life [--only ROW] [--core C] [--json FILE]
 *
 * An address space has N mappings of one page, a page apart, so that none merges and each
 * has its own anon_vma. Untouched, or with its page written to before each fork: then
 * fork has the page to share and its entry to protect. The child exits at once. The
 * kernel's figure is fork(), _exit() and waitpid() of a process that has little else, so it
 * includes the process, which weighs at N = 10; ours is mm_fork() and mm_put().
 */
#define _GNU_SOURCE
#include <samara/mm.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "mm/mm.h"
#include "report.h"
#include "tree/node.h"

#define APART (2 * BENCH_PAGE)
#define PLACE 0x100000000000UL

static const unsigned long sizes[] = { 10, 10000, 60000 };
enum { NR_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* How many forks make one run. */
static unsigned long forks_in_run(unsigned long n)
{
	return n < 1000 ? 200 : n < 20000 ? 10 : 3;
}

/* The kernel ------------------------------------------------------------- */

struct process {
	unsigned long n;
	bool touched;
};

static void *process_make(unsigned long n, bool touched)
{
	struct process *process = bench_alloc(sizeof(*process));

	*process = (struct process){ n, touched };
	for (unsigned long i = 0; i < n; i++)
		if (mmap((void *)(PLACE + i * APART), BENCH_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
			bench_check(-1, "mmap: vm.max_map_count must be above 60,100");
	return process;
}

static void *process_untouched(unsigned long n)
{
	return process_make(n, false);
}

static void *process_touched(unsigned long n)
{
	return process_make(n, true);
}

static double process_forks(void *state)
{
	const struct process *process = state;
	unsigned long reps = forks_in_run(process->n);
	double start, ns = 0;
	pid_t child;

	for (unsigned long r = 0; r < reps; r++) {
		for (unsigned long i = 0; process->touched && i < process->n; i++)
			*(volatile unsigned long *)(PLACE + i * APART) = r;
		start = bench_now();
		child = fork();
		if (!child)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			bench_check(-1, "fork");
		ns += bench_now() - start;
	}
	return ns / (double)(reps * process->n);
}

/* Ours ------------------------------------------------------------------- */

struct family {
	struct mm_context *ctx;
	struct mm_struct *parent;
	unsigned long n;
	bool touched;
};

/* Nanoseconds per mapping of each part. */
struct parts {
	double fork, exit, dup, copy, publish;
};

static void family_make(struct family *family, unsigned long n, bool touched)
{
	struct mm_context_options opt = {
		.size = sizeof(opt), .overcommit = MM_OVERCOMMIT_ALWAYS,
		/* Pages, and tables of parent and child. */
		.frames = n + n / 32 + 1024,
	};
	unsigned long at;

	*family = (struct family){ .n = n, .touched = touched };
	bench_check(mm_context_create(&opt, &family->ctx), "context");
	bench_check(mm_create(family->ctx, NULL, &family->parent), "address space");
	for (unsigned long i = 0; i < n; i++) {
		struct mm_mmap_args args = {
			.addr = PLACE + i * APART, .len = BENCH_PAGE, .prot = PROT_READ | PROT_WRITE,
			.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		};

		bench_check(mm_mmap(family->parent, &args, &at), "mmap");
	}
}

static void family_drop(struct family *family)
{
	mm_put(family->parent);
	mm_context_destroy(family->ctx);
}

static void family_touch(struct family *family)
{
	for (unsigned long i = 0; family->touched && i < family->n; i++)
		bench_check(mm_fault(family->parent, PLACE + i * APART, MM_WRITE) != MM_FAULT_OK, "a write");
}

static void family_forks(struct family *family, struct parts *parts)
{
	unsigned long reps = forks_in_run(family->n);
	double start, middle, fork_ns = 0, exit_ns = 0;
	struct mm_struct *child;

	for (unsigned long r = 0; r < reps; r++) {
		family_touch(family);
		start = bench_now();
		bench_check(mm_fork(family->parent, &child), "fork");
		middle = bench_now();
		mm_put(child);
		exit_ns += bench_now() - middle;
		fork_ns += middle - start;
	}
	parts->fork = fork_ns / (double)(reps * family->n);
	parts->exit = exit_ns / (double)(reps * family->n);
}

static void family_dup_tree(struct family *family, struct parts *parts)
{
	unsigned long reps = forks_in_run(family->n);
	struct maple_tree copy;
	double start, ns = 0;

	for (unsigned long r = 0; r < reps; r++) {
		mt_init_flags(&copy, family->parent->mm_mt.ma_flags & ~MT_FLAGS_HEIGHT_MASK);
		copy.ma_platform = family->parent->mm_mt.ma_platform;
		start = bench_now();
		bench_check(mtree_dup(&family->parent->mm_mt, &copy, GFP_KERNEL), "tree");
		ns += bench_now() - start;
		/* As in a fork: nobody else has seen it. */
		mt_clear_in_rcu(&copy);
		mtree_destroy(&copy);
	}
	parts->dup = ns / (double)(reps * family->n);
}

/*
 * What it costs that nobody sees half a child and nobody misses one: the gate is entered and left, and the list entered;
 * left too here.
 */
static void family_publish(struct family *family, struct parts *parts)
{
	enum { REPS = 100000 };
	struct mm_struct *child;
	double start;

	bench_check(mm_fork(family->parent, &child), "fork");
	mm_list_del(child);
	start = bench_now();
	for (int r = 0; r < REPS; r++) {
		fork_gate_enter(family->ctx);
		mm_list_add(child);
		fork_gate_leave(family->ctx);
		mm_list_del(child);
	}
	parts->publish = (bench_now() - start) / REPS / (double)family->n;
	mm_list_add(child);
	mm_put(child);
}

static unsigned long node_bytes(const struct maple_enode *e)
{
	unsigned long bytes = enode_bytes(e);

	if (enode_is_leaf(e))
		return bytes;
	for (uint64_t live = enode_inner(e)->head.word; live; live &= live - 1)
		bytes += node_bytes(*child_slot(enode_inner(e), lowest_bit(live)));
	return bytes;
}

/* What a fork makes, all in all, for each mapping. */
static double bytes_of(struct family *family)
{
	struct platform *pf = mm_context_platform(family->ctx);
	struct platform_stats before, after;
	struct mm_struct *child;
	double bytes;

	platform_read_stats(pf, &before);
	bench_check(mm_fork(family->parent, &child), "fork");
	platform_read_stats(pf, &after);
	bytes = (double)node_bytes(child->mm_mt.ma_root) +
		(double)(after.vmas - before.vmas) * sizeof(struct vm_area_struct) +
		(double)(after.anon_vmas - before.anon_vmas) * sizeof(struct anon_vma) +
		(double)(after.anon_chains - before.anon_chains) * sizeof(struct anon_vma_chain) +
		(double)(after.tables - before.tables) * BENCH_PAGE;
	mm_put(child);
	return bytes / (double)family->n;
}

/* As many bytes, from memory to memory that has been used before: what nobody can beat. */
static void plain_copy(const struct family *family, double bytes, struct parts *parts)
{
	unsigned long reps = forks_in_run(family->n);
	size_t size = (size_t)(bytes * (double)family->n);
	char *from = bench_alloc(size), *to = bench_alloc(size);
	double start;

	memset(from, 1, size);
	memset(to, 2, size);
	start = bench_now();
	for (unsigned long r = 0; r < reps; r++) {
		memcpy(to, from, size);
		bench_keep(to);
	}
	parts->copy = (bench_now() - start) / (double)(reps * family->n);
	free(from);
	free(to);
}

/* Both ------------------------------------------------------------------- */

static void measure(struct report *report, const struct kernel_side *kernel, unsigned long n, bool touched)
{
	double both[REPORT_RUNS], peer[REPORT_RUNS], fork_ns[REPORT_RUNS], exit_ns[REPORT_RUNS], dup[REPORT_RUNS],
		copy[REPORT_RUNS], publish[REPORT_RUNS], bytes;
	struct family family;
	struct parts parts;

	family_make(&family, n, touched);
	family_touch(&family);
	bytes = bytes_of(&family);
	for (int r = 0; r < REPORT_RUNS; r++) {
		peer[r] = kernel_side_run(kernel);
		family_forks(&family, &parts);
		family_dup_tree(&family, &parts);
		plain_copy(&family, bytes, &parts);
		family_publish(&family, &parts);
		fork_ns[r] = parts.fork;
		exit_ns[r] = parts.exit;
		both[r] = parts.fork + parts.exit;
		dup[r] = parts.dup;
		copy[r] = parts.copy;
		publish[r] = parts.publish;
	}
	family_drop(&family);
	report_add(report, &(struct report_row){
		.name = touched ? "fork and exit, a touched page each" : "fork and exit, untouched", .n = n,
		.ns = report_median(both), .peer = "kernel", .peer_ns = report_median(peer),
		.target = touched ? 0.5 : 0.2 });
	report_add(report, &(struct report_row){ .name = "  of it fork", .n = n, .ns = report_median(fork_ns),
		.peer = "a plain copy of as many bytes", .peer_ns = report_median(copy) });
	report_add(report, &(struct report_row){ .name = "    of it the tree duplicated", .n = n,
		.ns = report_median(dup) });
	report_add(report, &(struct report_row){ .name = "    of it all else: mappings made and stored", .n = n,
		.ns = report_median(fork_ns) - report_median(dup) });
	report_add(report, &(struct report_row){ .name = "    of it the gate and the list", .n = n,
		.ns = report_median(publish) });
	report_add(report, &(struct report_row){ .name = "  of it exit", .n = n, .ns = report_median(exit_ns) });
	printf("  %.0f bytes are made for each mapping\n", bytes);
}

int main(int argc, char **argv)
{
	static const char *const ops[] = { "untouched", "touched", NULL };
	struct kernel_side kernel[2][NR_SIZES];
	struct report report;

	report_begin(&report, argc, argv, "life", ops);
	for (int touched = 0; touched < 2; touched++)
		for (int s = 0; s < NR_SIZES; s++)
			kernel_side_start(&kernel[touched][s], touched ? process_touched : process_untouched,
					  process_forks, sizes[s]);
	printf("%-44s %8s %12s %12s\n", "nanoseconds per mapping, median of 7", "mappings", "samara", "peer");
	for (int touched = 0; touched < 2; touched++)
		for (int s = 0; s < NR_SIZES; s++)
			if (report_wants(&report, ops[touched]))
				measure(&report, &kernel[touched][s], sizes[s], touched);
	for (int s = 0; s < 2 * NR_SIZES; s++)
		kernel_side_stop(&kernel[s / NR_SIZES][s % NR_SIZES]);
	report_end(&report);
	return 0;
}
