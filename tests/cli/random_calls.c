/* SPDX-License-Identifier: MIT */
/*
 * Random memory calls and page touches in a small window, in children too, so that what merges hangs on
 * who wrote what first:
 *
 *	random_calls SEED CALLS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 32U
#define WINDOW ((char *)0x200000000UL)
#define CHILD_CALLS 40

static const int prots[] = {
	PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
};

static const int advices[] = {
	MADV_DONTNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP,
	MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, 22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */,
};

struct run {
	uint64_t random;
	int files[3];	/* of one file, for writing and for reading; memory */
	int depth;	/* forks above */
};

static sigjmp_buf not_permitted;

static void on_signal(int sig)
{
	(void)sig;
	siglongjmp(not_permitted, 1);
}

static unsigned int below(struct run *r, unsigned int n)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (unsigned int)(r->random >> 20) % n;
}

struct range {
	char *start;
	size_t pages;
	size_t first;	/* in the window */
};

/* Short more often than not. */
static struct range pick(struct run *r)
{
	size_t first = below(r, PAGES), room = PAGES - first;
	size_t pages = 1 + below(r, below(r, 4) ? 4 : (unsigned int)room);

	return (struct range){ WINDOW + first * PAGE, pages < room ? pages : room, first };
}

static int some_prot(struct run *r)
{
	return prots[below(r, sizeof(prots) / sizeof(prots[0]))];
}

static void map(struct run *r, struct range at)
{
	if (below(r, 4)) {
		mmap(at.start, at.pages * PAGE, some_prot(r), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		return;
	}
	mmap(at.start, at.pages * PAGE, some_prot(r), (below(r, 2) ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED,
	     r->files[below(r, 3)], (off_t)((below(r, 3) ? at.first : below(r, 8)) * PAGE));
}

static void move(struct run *r, struct range at)
{
	struct range to = pick(r);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	if (below(r, 3) == 0) {
		/* Also to where the kernel likes. */
		mremap(at.start, at.pages * PAGE, (1 + below(r, 8)) * PAGE, below(r, 4) ? 0 : MREMAP_MAYMOVE);
		return;
	}
	mremap(at.start, at.pages * PAGE, (below(r, 2) ? at.pages : to.pages) * PAGE,
	       below(r, 4) ? flags : flags | MREMAP_DONTUNMAP, to.start);
}

/* Whether the page was there to be touched. */
static int touch_page(struct run *r, volatile char *page)
{
	int write = below(r, 2) != 0;

	if (sigsetjmp(not_permitted, 1))
		return 0;
	if (write)
		*page = 1;
	else
		(void)*page;
	return 1;
}

static void touch(struct run *r, struct range at)
{
	for (size_t i = 0; i < at.pages; i++)
		if (!touch_page(r, at.start + i * PAGE))
			return;
}

/* The kernel writes, and no fault tells of it. */
static void write_through_kernel(struct range at)
{
	struct iovec from = { "hi", 2 }, to = { at.start, 2 };

	(void)!process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

static void step(struct run *r);

static void have_child(struct run *r)
{
	pid_t pid;
	int i;

	if (r->depth == 2 || below(r, 6))
		return;
	pid = fork();
	if (pid == 0) {
		r->depth++;
		r->random += 77;
		for (i = 0; i < CHILD_CALLS; i++)
			step(r);
		_exit(0);
	}
	/* Parent and child run beside each other, or one after the other. */
	if (pid > 0 && below(r, 2))
		waitpid(pid, NULL, 0);
}

static void step(struct run *r)
{
	struct range at = pick(r);

	switch (below(r, 18)) {
	case 0 ... 3:
		map(r, at);
		break;
	case 4 ... 5:
		munmap(at.start, at.pages * PAGE);
		break;
	case 6 ... 8:
		mprotect(at.start, at.pages * PAGE, some_prot(r));
		break;
	case 9 ... 10:
		move(r, at);
		break;
	case 11 ... 12:
		madvise(at.start, at.pages * PAGE, advices[below(r, sizeof(advices) / sizeof(advices[0]))]);
		break;
	case 13:
		(void)!(below(r, 2) ? mlock(at.start, at.pages * PAGE) : munlock(at.start, at.pages * PAGE));
		break;
	case 14:
		write_through_kernel(at);
		break;
	case 15:
		have_child(r);
		break;
	default:
		touch(r, at);
		break;
	}
}

static int open_files(struct run *r)
{
	char path[] = "random_calls.XXXXXX";

	r->files[0] = mkstemp(path);
	r->files[1] = open(path, O_RDONLY);
	r->files[2] = memfd_create("random_calls", 0);
	unlink(path);
	return r->files[0] < 0 || r->files[1] < 0 || r->files[2] < 0 ||
	       ftruncate(r->files[0], 64 * PAGE) || ftruncate(r->files[2], 64 * PAGE);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	struct run r = { 0 };
	long calls;

	if (argc != 3 || open_files(&r)) {
		fputs("usage: random_calls SEED CALLS, in a folder that can be written\n", stderr);
		return 1;
	}
	r.random = strtoull(argv[1], NULL, 0) * 2654435761u + 88172645463325252u;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	for (calls = atol(argv[2]); calls > 0; calls--)
		step(&r);
	while (wait(NULL) > 0)
		;
	return 0;
}
