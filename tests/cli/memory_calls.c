/* SPDX-License-Identifier: MIT */
/*
 * Makes every memory call that is mirrored, in ways that split and merge, some of
 * which fail. It writes to none of what it maps, so that nothing hangs on page
 * faults. Where things lie does not matter; that they lie side by side does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static char *map(long pages, int prot, int flags)
{
	char *p = mmap(NULL, pages * PAGE, prot, flags, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void protect(void)
{
	char *p = map(8, RW, ANON);

	mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ);
	mprotect(p + 4 * PAGE, PAGE, PROT_NONE);
	mprotect(p + 2 * PAGE, PAGE, RW);
	pkey_mprotect(p + 7 * PAGE, PAGE, PROT_READ | PROT_EXEC, -1);
	munmap(p + 6 * PAGE, PAGE);
	/* Up to the hole it takes effect, and fails there. */
	mprotect(p + 5 * PAGE, 3 * PAGE, PROT_READ);
	mprotect(p + 1, PAGE, PROT_READ);
	munmap(p, 0);
	munmap(p + PAGE, PAGE);
	mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	mmap(p + 6 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	mmap(p, PAGE, PROT_READ, ANON, -1, 0);
}

static void move(void)
{
	char *p = map(16, RW, ANON), *q = map(4, RW, ANON | MAP_NORESERVE), *r;

	munmap(p + 8 * PAGE, 8 * PAGE);
	mremap(p, 8 * PAGE, 4 * PAGE, 0);
	mremap(p, 4 * PAGE, 6 * PAGE, 0);
	mremap(p, 6 * PAGE, 64 * PAGE, 0);
	r = mremap(p, 6 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	mremap(r + 8 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	mremap(r + 20 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_FIXED, p);
	mremap(q + 64 * PAGE, PAGE, 0, MREMAP_MAYMOVE);
	q = map(4, RW, MAP_SHARED | MAP_ANONYMOUS);
	mremap(q, 0, 2 * PAGE, MREMAP_MAYMOVE);
}

static void files(void)
{
	int fd = memfd_create("samara", MFD_CLOEXEC), copy = dup(fd), other, exe;
	char *p;

	if (ftruncate(fd, 16 * PAGE))
		exit(1);
	p = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
	munmap(p + 2 * PAGE, 4 * PAGE);
	/* The same open file description, and then another one of the same file. */
	mmap(p + 2 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, copy, 2 * PAGE);
	exe = open("/proc/self/exe", O_RDONLY);
	other = open("/proc/self/exe", O_RDONLY);
	p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, exe, 0);
	mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, exe, PAGE);
	mmap(p + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, other, 2 * PAGE);
	mmap(NULL, PAGE, RW, MAP_SHARED, exe, 0);
	mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, exe, 1);
	mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0);
	mprotect(p, PAGE, PROT_READ | PROT_EXEC);
	msync(p, PAGE, MS_ASYNC);
	close(other);
	close(exe);
	close(copy);
	close(fd);
}

static void advise(void)
{
	static const int advice[] = {
		MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP,
		MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTNEED, MADV_WILLNEED, 777,
	};
	char *p = map(2 * sizeof(advice) / sizeof(advice[0]), RW, ANON);
	unsigned char present[4];
	size_t i;

	for (i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		madvise(p + i * PAGE, (i % 3 + 1) * PAGE, advice[i]);
	mincore(p, 4 * PAGE, present);
}

static void lock(void)
{
	char *p = map(8, PROT_READ, ANON);

	mlock(p + PAGE, PAGE);
	mlock2(p + 3 * PAGE, PAGE, MLOCK_ONFAULT);
	mlock2(p + 3 * PAGE, PAGE, 6);
	munlock(p + PAGE, PAGE);
	mlockall(MCL_CURRENT | MCL_ONFAULT);
	munlockall();
	syscall(SYS_mseal, p + 6 * PAGE, PAGE, 0);
	munmap(p + 6 * PAGE, PAGE);
	mprotect(p + 5 * PAGE, 2 * PAGE, PROT_NONE);
}

static void heap(void)
{
	char *end = sbrk(0);

	brk(end + 32 * PAGE);
	brk(end + 8 * PAGE);
	mprotect((char *)(((unsigned long)end + PAGE - 1) & -PAGE) + PAGE, PAGE, PROT_READ);
	brk((void *)1);
}

static void *thread(void *arg)
{
	munmap(arg, PAGE);
	return NULL;
}

static void others(void)
{
	struct rlimit limit;
	char *p = map(4, PROT_READ, ANON);
	pthread_t id;
	pid_t child = fork();

	if (!child) {
		munmap(p, 4 * PAGE);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 1UL << 40;
	setrlimit(RLIMIT_AS, &limit);
	mmap(NULL, 1UL << 41, PROT_READ, ANON | MAP_NORESERVE, -1, 0);
	if (pthread_create(&id, NULL, thread, p + PAGE))
		exit(1);
	pthread_join(id, NULL);
}

int main(void)
{
	protect();
	move();
	files();
	advise();
	lock();
	heap();
	others();
	return 0;
}
