/* SPDX-License-Identifier: MIT */
/*
 * The rows of mappings on the running kernel. A process that was forked before the library had
 * anything in memory makes the calls, so that its fork copies nothing but what is measured.
 *
 * Over the pipe goes what to do; the process makes the same work as its parent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vma_work.h"

/* The query of /proc/PID/maps by address, of Linux 6.11; older headers lack it. */
struct maps_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

#define MAPS_QUERY_COVERING_OR_NEXT 0x10
#define MAPS_QUERY _IOWR('f', 17, struct maps_query)

struct order {
	enum { FILL, RUN } what;
	unsigned long n;
	uint64_t random;	/* the work's state: same shuffles on both sides */
	enum vma_row row;
};

struct kernel {
	pid_t pid;
	int to, from;
};

/* In the process ---------------------------------------------------------- */

static unsigned long base, span;

static void check(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "vma: %s on the kernel failed: %s\n", what, strerror(errno));
	_exit(1);
}

static unsigned long map(unsigned long addr, size_t len, unsigned long prot)
{
	void *at = mmap((void *)addr, len, (int)prot, VMA_FLAGS | (addr ? MAP_FIXED : 0), -1, 0);

	check(at == MAP_FAILED, "mmap");
	return (unsigned long)at;
}

static unsigned long place(const struct work *work, unsigned long i)
{
	return work->range[i].start - WORK_BASE + base;
}

static void fill(const struct work *work)
{
	for (unsigned long i = 0; i < work->n; i++)
		map(place(work, work->in[i]), vma_len(work, work->in[i]), vma_prot(work->in[i]));
}

static void clear(void)
{
	check(munmap((void *)base, span), "munmap");
}

static double mmap_fixed(const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		clear();
		begin = work_now();
		fill(work);
		ns += work_now() - begin;
	}
	return ns / (double)(rounds * work->n);
}

/* Mappings that were found a place are all removed again: they lie anywhere. */
static double mmap_search(const struct work *work)
{
	unsigned long rounds = vma_rounds(work), *at = malloc(work->n * sizeof(*at));
	double ns = 0, begin;

	check(!at, "malloc");
	for (unsigned long r = 0; r < rounds; r++) {
		clear();
		begin = work_now();
		for (unsigned long i = 0; i < work->n; i++)
			at[i] = map(0, vma_len(work, work->in[i]), vma_prot(i));
		ns += work_now() - begin;
		for (unsigned long i = 0; i < work->n; i++)
			check(munmap((void *)at[i], vma_len(work, work->in[i])), "munmap");
	}
	fill(work);
	free(at);
	return ns / (double)(rounds * work->n);
}

static double munmap_random(const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		for (unsigned long i = 0; i < work->n; i++)
			check(munmap((void *)place(work, work->out[i]), vma_len(work, work->out[i])), "munmap");
		ns += work_now() - begin;
		fill(work);
	}
	return ns / (double)(rounds * work->n);
}

static double pair(const struct work *work)
{
	unsigned long calls = vma_calls(work);
	double begin = work_now();

	for (unsigned long i = 0; i < calls; i++)
		check(munmap((void *)map(0, WORK_PAGE, PAIR_PROT), WORK_PAGE), "munmap");
	return (work_now() - begin) / (double)calls;
}

static double protect(const struct work *work)
{
	unsigned long calls = vma_calls(work), done = 0;
	double begin = work_now();

	for (unsigned long i = 0; i < calls; i++) {
		unsigned long k = work->out[i % work->n];
		void *page = (void *)(place(work, k) + WORK_PAGE);

		if (vma_len(work, k) < 3 * WORK_PAGE)
			continue;
		check(mprotect(page, WORK_PAGE, PROT_NONE), "mprotect");
		check(mprotect(page, WORK_PAGE, (int)vma_prot(k)), "mprotect");
		done++;
	}
	return done ? (work_now() - begin) / (double)done : -1;
}

static double munmap_all(const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		clear();
		ns += work_now() - begin;
		fill(work);
	}
	return ns / (double)(rounds * work->n);
}

/* The parent goes on when the child's memory has been torn down; the process itself is in it too. */
static double forks(const struct work *work, enum vma_row row)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin, middle;
	pid_t child;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		child = fork();
		if (!child)
			_exit(0);
		check(child < 0, "fork");
		middle = work_now();
		check(waitpid(child, NULL, 0) != child, "waitpid");
		ns += row == ROW_FORK ? middle - begin : work_now() - middle;
	}
	return ns / (double)(rounds * work->n);
}

static double lookup(const struct work *work)
{
	unsigned long calls = vma_calls(work);
	struct maps_query query;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	double begin;

	check(fd < 0, "opening /proc/self/maps");
	begin = work_now();
	for (unsigned long i = 0; i < calls; i++) {
		query = (struct maps_query){
			.size = sizeof(query), .query_flags = MAPS_QUERY_COVERING_OR_NEXT,
			.query_addr = work->at[i] - WORK_BASE + base,
		};
		if (ioctl(fd, MAPS_QUERY, &query)) {
			close(fd);
			return -1;
		}
	}
	close(fd);
	return (work_now() - begin) / (double)calls;
}

static double run(const struct work *work, enum vma_row row)
{
	switch (row) {
	case ROW_MMAP_FIXED:
		return mmap_fixed(work);
	case ROW_MMAP_SEARCH:
		return mmap_search(work);
	case ROW_MUNMAP_RANDOM:
		return munmap_random(work);
	case ROW_PAIR:
		return pair(work);
	case ROW_PROTECT:
		return protect(work);
	case ROW_MUNMAP_ALL:
		return munmap_all(work);
	case ROW_FORK:
	case ROW_TEARDOWN:
		return forks(work, row);
	default:
		return lookup(work);
	}
}

/* Where a mapping of all of it would go. */
static void choose_window(const struct work *work)
{
	void *at;

	if (span)
		clear();
	span = vma_span(work);
	at = mmap(NULL, span, PROT_NONE, VMA_FLAGS | MAP_NORESERVE, -1, 0);
	check(at == MAP_FAILED, "mmap of the whole window");
	base = (unsigned long)at;
	clear();
}

static void serve(int from, int to)
{
	static struct work work;
	struct order order;
	double answer = 0;

	while (read(from, &order, sizeof(order)) == sizeof(order)) {
		if (order.what == FILL) {
			if (work.n)
				work_free(&work);
			work_make(&work, order.n);
			choose_window(&work);
			fill(&work);
			answer = (double)base;
		} else {
			work.random = order.random;
			work_shuffle(&work);
			answer = run(&work, order.row);
		}
		check(write(to, &answer, sizeof(answer)) != sizeof(answer), "write");
	}
	_exit(0);
}

/* In the parent ----------------------------------------------------------- */

static void fail(const char *what)
{
	fprintf(stderr, "vma: the process that makes the kernel's calls: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A few are left for the process itself. */
static unsigned long map_limit(void)
{
	unsigned long limit = 65530;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");

	if (file && fscanf(file, "%lu", &limit) != 1)
		limit = 65530;
	if (file)
		fclose(file);
	return limit > 200 ? limit - 100 : 100;
}

struct kernel *kernel_start(unsigned long *limit)
{
	struct kernel *kernel = malloc(sizeof(*kernel));
	int to[2], from[2];

	*limit = map_limit();
	if (!kernel || pipe(to) || pipe(from))
		fail("beginning");
	kernel->pid = fork();
	if (kernel->pid < 0)
		fail("fork");
	if (!kernel->pid) {
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	kernel->to = to[1];
	kernel->from = from[0];
	return kernel;
}

void kernel_stop(struct kernel *kernel)
{
	close(kernel->to);
	close(kernel->from);
	waitpid(kernel->pid, NULL, 0);
	free(kernel);
}

static double ask(struct kernel *kernel, const struct order *order)
{
	double answer = 0;

	if (write(kernel->to, order, sizeof(*order)) != sizeof(*order) ||
	    read(kernel->from, &answer, sizeof(answer)) != sizeof(answer))
		fail("it has ended");
	return answer;
}

unsigned long kernel_make(struct kernel *kernel, const struct work *work)
{
	return (unsigned long)ask(kernel, &(struct order){ .what = FILL, .n = work->n });
}

double kernel_run(struct kernel *kernel, const struct work *work, enum vma_row row)
{
	return ask(kernel, &(struct order){ .what = RUN, .random = work->random, .row = row });
}
