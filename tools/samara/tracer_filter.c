/* SPDX-License-Identifier: MIT */
/*
 * The seccomp filter: which system calls stop a program for its tracer. All
 * others run at full speed, and so does everything of another architecture.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracer.h"
#include "tracer_numbers.h"

/* Stop at each of these, whatever its arguments. */
static const int always[] = {
	SYS_mmap, SYS_munmap, SYS_mprotect, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free,
	SYS_mremap, SYS_brk, SYS_madvise, SYS_process_madvise, SYS_mlock, SYS_mlock2, SYS_munlock, SYS_mlockall, SYS_munlockall, NR_MSEAL,
	SYS_remap_file_pages, SYS_mbind, NR_SET_MEMPOLICY_HOME_NODE, SYS_shmat, SYS_shmdt, SYS_io_setup,
	SYS_io_destroy, NR_MAP_SHADOW_STACK, SYS_process_vm_writev,
	/* Their flags lie in memory, or they have none. */
	SYS_fork, SYS_vfork, SYS_clone3, SYS_execve, SYS_execveat,
};

/* Stop where one argument, masked, has this value. */
static const struct {
	int nr;
	unsigned int arg;
	uint64_t mask;
	uint64_t value;
} sometimes[] = {
	{ SYS_setrlimit, 0, 0xffffffff, RLIMIT_AS },
	{ SYS_setrlimit, 0, 0xffffffff, RLIMIT_DATA },
	{ SYS_setrlimit, 0, 0xffffffff, RLIMIT_STACK },
	{ SYS_setrlimit, 0, 0xffffffff, RLIMIT_MEMLOCK },
	{ SYS_prctl, 0, 0xffffffff, PR_SET_VMA },
	{ SYS_prctl, 0, 0xffffffff, PR_SET_MM },
	{ SYS_prctl, 0, 0xffffffff, NR_PR_SET_MDWE },
	{ SYS_ioctl, 1, 0xffffffff, UFFDIO_REGISTER },
	{ SYS_ioctl, 1, 0xffffffff, UFFDIO_UNREGISTER },
	/* A thread changes no map: its clone event is enough. */
	{ SYS_clone, 0, CLONE_VM, 0 },
	{ SYS_clone, 0, CLONE_VFORK, CLONE_VFORK },
	{ SYS_clone, 0, CLONE_UNTRACED, CLONE_UNTRACED },
};

static int add_rules(scmp_filter_ctx ctx)
{
	size_t i;
	int err;

	for (i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		err = seccomp_rule_add_exact(ctx, SCMP_ACT_TRACE(0), always[i], 0);
		if (err)
			return err;
	}
	for (i = 0; i < sizeof(sometimes) / sizeof(sometimes[0]); i++) {
		err = seccomp_rule_add_exact(ctx, SCMP_ACT_TRACE(0), sometimes[i].nr, 1,
					     SCMP_CMP64(sometimes[i].arg, SCMP_CMP_MASKED_EQ,
							sometimes[i].mask, sometimes[i].value));
		if (err)
			return err;
	}
	/* A new limit is wanted, not only the old one. */
	return seccomp_rule_add_exact(ctx, SCMP_ACT_TRACE(0), SYS_prlimit64, 1,
				      SCMP_CMP64(2, SCMP_CMP_NE, 0, 0));
}

/* libseccomp writes the program to a file; take it from there into memory. */
static int take_code(scmp_filter_ctx ctx, struct tracer_filter *out)
{
	struct stat st;
	int err = 0, fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(ctx, fd);
	if (!err && fstat(fd, &st))
		err = -errno;
	if (!err) {
		out->code = malloc(st.st_size);
		out->len = st.st_size / sizeof(struct sock_filter);
		if (!out->code)
			err = -ENOMEM;
		else if (pread(fd, out->code, st.st_size, 0) != st.st_size)
			err = -EIO;
	}
	close(fd);
	if (err)
		filter_free(out);
	return err;
}

int filter_build(struct tracer_filter *out)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err;

	*out = (struct tracer_filter){ NULL, 0 };
	if (!ctx)
		return -ENOMEM;
	/* 32-bit and x32 calls: not understood here, and none of our business. */
	err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	/* A decision tree instead of a list, where libseccomp can. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err)
		err = add_rules(ctx);
	if (!err)
		err = take_code(ctx, out);
	seccomp_release(ctx);
	return err;
}

void filter_free(struct tracer_filter *filter)
{
	free(filter->code);
	*filter = (struct tracer_filter){ NULL, 0 };
}

int filter_install(const struct tracer_filter *filter)
{
	struct sock_fprog prog = { .len = filter->len, .filter = filter->code };
	const unsigned long flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;

	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog))
		return 0;
	/* Without privilege, a filter needs the promise that no exec will bring any. */
	if (errno != EACCES)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) ? -errno : 0;
}
