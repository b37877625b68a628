/* SPDX-License-Identifier: MIT */
/* The kernel and the model side by side: opening, one step, closing. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff_parts.h"

/* Its statistics are at hand only in the kernel's own sources. */
#define MAGIC_EXT4 0xef53
#define MODEL_FRAMES (1UL << 20)
#define FLAGS_IN_TURN 4	/* calls after which flags are looked at although nothing seems to have changed */
#define OTHERS_IN_TURN 4	/* calls after which a process that made none is looked at */
#ifndef bit_OSPKE
#define bit_OSPKE (1u << 4)
#endif

/* Files ------------------------------------------------------------------- */

static int open_disk(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC, 0600);
}

/* The file on disk is unlinked at once; its three descriptions stay. */
static int open_descriptions(struct diff *d)
{
	char path[] = "/tmp/samara-diff-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	d->fd[DIFF_DISK] = fd;
	d->fd[DIFF_DISK_READ_ONLY] = open_disk(path, O_RDONLY);
	d->fd[DIFF_DISK_WRITE_ONLY] = open_disk(path, O_WRONLY);
	unlink(path);
	d->fd[DIFF_MEMFD] = memfd_create("diff", MFD_CLOEXEC);
	d->fd[DIFF_MEMFD_2] = memfd_create("diff", MFD_CLOEXEC);
	d->fd[DIFF_ZERO] = open_disk("/dev/zero", O_RDWR);
	if (ftruncate(d->fd[DIFF_DISK], DIFF_FILE_BYTES) || ftruncate(d->fd[DIFF_MEMFD], DIFF_FILE_BYTES) ||
	    ftruncate(d->fd[DIFF_MEMFD_2], DIFF_FILE_BYTES))
		return -errno;
	return 0;
}

/* What the file system of the file on disk makes of it. */
static void describe_disk(int fd, struct vm_file_info *info)
{
	struct statfs fs;

	info->kind = VM_FILE_REGULAR;
	if (fstatfs(fd, &fs))
		return;
	if (fs.f_type == TMPFS_MAGIC)
		info->kind = VM_FILE_SHMEM;
	info->hugepage_aligned = fs.f_type == MAGIC_EXT4;
	info->noexec = fs.f_flags & ST_NOEXEC;
}

/* Several descriptions of one file share its contents. */
static struct vm_file *same_inode(const struct diff *d, enum diff_file which)
{
	return which == DIFF_DISK_READ_ONLY || which == DIFF_DISK_WRITE_ONLY ? d->file[DIFF_DISK] : NULL;
}

/* All files are as long as ever, and empty of contents. */
static int empty_files(struct diff *d)
{
	static const enum diff_file files[] = { DIFF_MEMFD, DIFF_MEMFD_2, DIFF_DISK };
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++) {
		if (d->fd[files[i]] >= 0 &&
		    (ftruncate(d->fd[files[i]], 0) || ftruncate(d->fd[files[i]], DIFF_FILE_BYTES)))
			return -errno;
		err = vm_file_truncate(d->file[files[i]], 0);
		if (!err)
			err = vm_file_truncate(d->file[files[i]], DIFF_FILE_BYTES);
	}
	return err;
}

static int add_model_file(struct diff *d, enum diff_file which, const struct vm_file_info *info)
{
	int err = vm_file_create(d->ctx, info, &d->file[which]);

	d->files_open += !err;
	return err;
}

static int make_model_file(struct diff *d, enum diff_file which)
{
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true };
	struct stat st;

	if (fstat(d->fd[which], &st))
		return -errno;
	info.ino = st.st_ino;
	info.dev_major = major(st.st_dev);
	info.dev_minor = minor(st.st_dev);
	info.sized = which != DIFF_ZERO;
	info.bytes = (uint64_t)st.st_size;
	switch (which) {
	case DIFF_HUGE:
		info.kind = VM_FILE_HUGETLB;
		break;
	case DIFF_ZERO:
		info.kind = VM_FILE_ZERO;
		break;
	case DIFF_MEMFD:
	case DIFF_MEMFD_2:
		info.kind = VM_FILE_SHMEM;
		break;
	default:
		describe_disk(d->fd[which], &info);
		info.readable = which != DIFF_DISK_WRITE_ONLY;
		info.writable = which != DIFF_DISK_READ_ONLY;
	}
	info.same_inode_as = same_inode(d, which);
	d->file_info[which] = info;
	return add_model_file(d, which, &info);
}

/* What is promised to it stays until it goes, so that each first process has one of its own. */
static int renew_huge_file(struct diff *d)
{
	if (!d->has_huge)
		return 0;
	d->fd[DIFF_HUGE] = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (d->fd[DIFF_HUGE] < 0 || ftruncate(d->fd[DIFF_HUGE], DIFF_HUGE_FILE * DIFF_HUGE_PAGE))
		return -errno;
	return make_model_file(d, DIFF_HUGE);
}

static void drop_huge_file(struct diff *d)
{
	if (!d->file[DIFF_HUGE])
		return;
	vm_file_put(d->file[DIFF_HUGE]);
	d->file[DIFF_HUGE] = NULL;
	d->files_open--;
	if (d->fd[DIFF_HUGE] >= 0)
		close(d->fd[DIFF_HUGE]);
	d->fd[DIFF_HUGE] = -1;
}

static int open_all_files(struct diff *d)
{
	int err = open_descriptions(d);
	int i;

	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES && !err; i++)
		if (d->fd[i] >= 0)
			err = make_model_file(d, (enum diff_file)i);
	return err;
}

/* Opening ----------------------------------------------------------------- */

/* As many as the kernel can use: the processor may have them, and not be told to. */
static unsigned int protection_keys(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_OSPKE) ? 16 : 0;
}

static int make_context(struct diff *d)
{
	struct mm_context_options opt = { .size = sizeof(opt) };
	struct sysinfo info;
	FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
	int mode = 0;

	if (f && fscanf(f, "%d", &mode) != 1)
		mode = 0;
	if (f)
		fclose(f);
	sysinfo(&info);
	opt.overcommit = mode == 1 ? MM_OVERCOMMIT_ALWAYS : MM_OVERCOMMIT_GUESS;
	opt.total_ram = (info.totalram + info.totalswap) * info.mem_unit / DIFF_PAGE;
	opt.max_map_count = diff_limit_read();
	opt.pkeys = protection_keys();
	opt.anon_names = !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0, 0, NULL);
	/* Of no memory, so that nothing is given up. */
	opt.memory_failure = !madvise(NULL, 0, MADV_HWPOISON);
	opt.huge_pages = d->has_huge ? DIFF_POOL_PAGES : 0;
	opt.frames = d->no_pages ? 0 : MODEL_FRAMES;
	d->has_keys = opt.pkeys;
	d->has_names = opt.anon_names;
	d->has_swap = info.totalswap;
	d->has_process_madvise = !syscall(diff_syscall(DIFF_PROCESS_MADVISE), DIFF_PIDFD_SELF, NULL, 0UL, 0, 0U);
	return mm_context_create(&opt, &d->ctx);
}

static unsigned long limit_of(pid_t pid, int which)
{
	struct rlimit lim;

	if (prlimit(pid, (enum __rlimit_resource)which, NULL, &lim) || lim.rlim_cur == RLIM_INFINITY)
		return MM_RLIM_INFINITY;
	return lim.rlim_cur;
}

const int diff_rlimits[MM_NR_RLIMITS] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK };

static int make_model(struct diff *d, bool has_caps)
{
	struct mm_options opt = { .size = sizeof(opt), .limits_set = true };
	struct diff_proc *p = &d->proc[0];
	int i, err;

	for (i = 0; i < MM_NR_RLIMITS; i++)
		opt.rlimit[i] = d->rlimit[i] = limit_of(p->tracee.pid, diff_rlimits[i]);
	d->has_caps = has_caps;
	opt.geometry = d->geometry;
	opt.task_size = d->geometry == MM_RISCV64_SV39 ? 1UL << 38 : TRACEE_TASK_SIZE;
	opt.mmap_base = d->geometry == MM_RISCV64_SV39 ? opt.task_size : d->layout.mmap_base;
	opt.start_brk = d->layout.start_brk;
	opt.data_size = d->layout.data_size;
	opt.cap_ipc_lock = has_caps;
	opt.cap_sys_rawio = has_caps;
	opt.no_huge_pages = true;
	err = mm_create(d->ctx, &opt, &p->mm);
	return err;
}

/* The page of code and the one beside it, as the kernel shows them. */
static int adopt_pages(struct diff *d)
{
	struct diff_proc *p = &d->proc[0];
	struct diff_map *map = &d->kernel_map;
	int err = diff_read_kernel_map(&p->tracee, true, map);
	int i;

	if (err || map->count != 2)
		return err ? err : -EINVAL;
	for (i = 0; i < map->count && !err; i++) {
		struct mm_adopt_args args = { .start = map->vma[i].start, .end = map->vma[i].end,
					      .flags = map->vma[i].flags };

		err = mm_adopt(p->mm, &args);
	}
	if (!err)
		diff_read_model_map(p->mm, &p->map);
	return err;
}

/* A hand-over between two processors takes ten times as long as one on the same. */
static void pin_to_this_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Everything but the context and its files must be gone. */
static long objects_left(struct diff *d)
{
	struct platform_stats s;

	platform_read_stats(mm_context_platform(d->ctx), &s);
	return (long)mm_context_huge_promised(d->ctx) + s.nodes + s.vmas + s.mms + s.anon_vmas + s.anon_chains + s.files -
	       d->files_open + s.frames + s.tables +
	       (long)mm_context_committed(d->ctx);
}

static void end_proc(struct diff *d, struct diff_proc *p)
{
	if (p->mm)
		mm_put(p->mm);
	if (p->alive && !d->model_only)
		tracee_destroy(&p->tracee);
	p->mm = NULL;
	p->alive = false;
}

long diff_end(struct diff *d)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		end_proc(d, &d->proc[i]);
	drop_huge_file(d);
	/* What was read of files stays in memory, but for that. */
	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES; i++)
		if (d->file[i])
			vm_file_truncate(d->file[i], 0);
	return d->ctx ? objects_left(d) : 0;
}

int diff_begin(struct diff *d, bool drop_caps)
{
	struct diff_proc *p = &d->proc[0];
	int err;

	d->steps = d->compared = d->mappings = d->pages = d->valid_calls = 0;
	memset(&d->valid, 0, sizeof(d->valid));
	d->turn = 0;
	d->why[0] = 0;
	memset(p, 0, sizeof(*p));
	err = empty_files(d);
	if (!err)
		err = renew_huge_file(d);
	if (!err)
		err = tracee_create(&p->tracee, drop_caps);
	if (err) {
		drop_huge_file(d);
		return err;
	}
	p->alive = true;
	err = tracee_layout(&p->tracee, &d->layout);
	if (!err)
		err = make_model(d, !drop_caps && geteuid() == 0);
	if (!err)
		err = adopt_pages(d);
	if (err)
		diff_end(d);
	return err;
}

static int open_both(struct diff *d, bool drop_caps)
{
	int err;

	d->flags_every = 1;
	d->no_aslr = personality(0xffffffff) & ADDR_NO_RANDOMIZE;
	memset(d->fd, -1, sizeof(d->fd));
	pin_to_this_cpu();
	err = make_context(d);
	if (!err)
		err = open_all_files(d);
	if (!err)
		err = diff_begin(d, drop_caps);
	if (err)
		diff_close(d);
	return err;
}

/* What is set before opening stays. */
static void clear(struct diff *d)
{
	enum mm_geometry geometry = d->geometry;
	bool no_pages = d->no_pages, validate = d->validate;

	memset(d, 0, sizeof(*d));
	d->geometry = geometry;
	d->validate = validate;
	d->no_pages = no_pages;
	d->pool.size = d->pool.end = -1;
}

int diff_open(struct diff *d, bool drop_caps)
{
	clear(d);
	return open_both(d, drop_caps);
}

int diff_open_huge(struct diff *d, bool drop_caps)
{
	clear(d);
	d->has_huge = diff_pool_open(&d->pool);
	return open_both(d, drop_caps);
}

/* Files for the model that nobody opens. */
static int invent_files(struct diff *d)
{
	struct vm_file_info info = { .size = sizeof(info) };
	int i, err = 0;

	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES && !err; i++) {
		info.ino = 1000 + (uint64_t)i;
		info.dev_major = i == DIFF_ZERO ? 0 : 8;
		info.kind = i == DIFF_ZERO ? VM_FILE_ZERO : i == DIFF_HUGE ? VM_FILE_HUGETLB :
			    i == DIFF_MEMFD || i == DIFF_MEMFD_2 ? VM_FILE_SHMEM : VM_FILE_REGULAR;
		info.hugepage_aligned = info.kind == VM_FILE_REGULAR;
		info.readable = i != DIFF_DISK_WRITE_ONLY;
		info.writable = i != DIFF_DISK_READ_ONLY;
		info.sized = i != DIFF_ZERO;
		info.bytes = i == DIFF_HUGE ? DIFF_HUGE_FILE * DIFF_HUGE_PAGE : DIFF_FILE_BYTES;
		err = add_model_file(d, (enum diff_file)i, &info);
	}
	return err;
}

int diff_open_model(struct diff *d, const struct mm_context_options *ctx, const struct mm_options *mm)
{
	struct mm_options opt = { .size = sizeof(opt), .task_size = TRACEE_TASK_SIZE,
				  .mmap_base = 0x7ffff7fff000, .start_brk = 0x555555560000 };
	int err;

	memset(d, 0, sizeof(*d));
	memset(d->fd, -1, sizeof(d->fd));
	d->model_only = true;
	d->has_process_madvise = true;
	d->pool.size = d->pool.end = -1;
	d->has_huge = ctx && ctx->huge_pages;
	d->no_pages = !ctx || !ctx->frames;
	d->has_keys = ctx && ctx->pkeys;
	d->has_names = ctx && ctx->anon_names;
	d->flags_every = 1;
	d->layout.mmap_base = mm ? mm->mmap_base : opt.mmap_base;
	d->layout.start_brk = mm ? mm->start_brk : opt.start_brk;
	err = mm_context_create(ctx, &d->ctx);
	if (!err)
		err = invent_files(d);
	if (!err)
		err = mm_create(d->ctx, mm ? mm : &opt, &d->proc[0].mm);
	d->proc[0].alive = !err;
	if (err)
		diff_close(d);
	return err;
}

long diff_close(struct diff *d)
{
	long left = diff_end(d);
	int i;

	for (i = 0; i < DIFF_NR_FILES; i++) {
		vm_file_put(d->file[i]);
		if (d->fd[i] >= 0)
			close(d->fd[i]);
	}
	mm_context_destroy(d->ctx);
	diff_pool_close(&d->pool);
	memset(d->file, 0, sizeof(d->file));
	d->ctx = NULL;
	return left;
}

/* Comparing --------------------------------------------------------------- */

/* Shared memory without a name gets an inode that only the kernel knows: tell the model once. */
static void tell_identity(struct diff *d, struct diff_proc *p, const struct diff_op *op, unsigned long at)
{
	struct mm_vma_info info;
	int i;

	if (op->file != DIFF_NO_FILE && op->file != DIFF_ZERO)
		return;
	if (mm_next_vma(p->mm, at, &info) || info.start > at || !info.file ||
	    !(info.flags & (MM_VM_SHARED | MM_VM_HUGETLB)))
		return;
	if (diff_read_kernel_map(&p->tracee, false, &d->kernel_map))
		return;
	for (i = 0; i < d->kernel_map.count; i++) {
		const struct diff_vma *k = &d->kernel_map.vma[i];

		if (k->start <= at && at < k->end)
			vm_file_set_identity(info.file, k->dev_major, k->dev_minor, k->ino);
	}
}

static bool is_same_map(const struct diff_map *a, const struct diff_map *b)
{
	return a->count == b->count && !memcmp(a->vma, b->vma, (size_t)a->count * sizeof(a->vma[0]));
}

static void copy_map(struct diff_map *to, const struct diff_map *from)
{
	to->count = from->count;
	memcpy(to->vma, from->vma, (size_t)from->count * sizeof(from->vma[0]));
}

/*
 * Of @p, whose mappings in the model have just been read. smaps costs five times what maps does: where
 * nothing has changed in the model, what the kernel may have changed of the flags is seen some calls later.
 */
static bool look_at_flags(const struct diff *d, const struct diff_proc *p)
{
	return d->thorough || d->steps % FLAGS_IN_TURN == 0 || !is_same_map(&p->map, &d->model_map);
}

static bool same_state(struct diff *d, struct diff_proc *p, bool whole)
{
	bool flags;

	if (d->model_only) {
		diff_read_model_map(p->mm, &p->map);
		return true;
	}
	d->shown = (int)(p - d->proc);
	diff_read_model_map(p->mm, &d->model_map);
	flags = whole && look_at_flags(d, p);
	copy_map(&p->map, &d->model_map);
	if (diff_read_kernel_map(&p->tracee, flags, &d->kernel_map)) {
		snprintf(d->why, sizeof(d->why), "the map of process %d cannot be read", (int)p->tracee.pid);
		return false;
	}
	if (!diff_same_maps(d, flags))
		return false;
	if (!whole)
		return true;
	if (mm_validate(p->mm)) {
		snprintf(d->why, sizeof(d->why), "the model is broken");
		return false;
	}
	return diff_same_counters(d, p) && (d->no_pages || diff_same_pages(d, p));
}

static struct diff_proc *free_proc(struct diff *d)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		if (!d->proc[i].alive)
			return &d->proc[i];
	return NULL;
}

/* The process is gone: no outcome of a call, but a finding. */
static void tell_death(struct diff *d, const struct tracee *t)
{
	int pid = (int)t->pid;

	if (t->hung)
		snprintf(d->why, sizeof(d->why), "process %d has not come back from this call for %d seconds", pid,
			 TRACEE_PATIENCE);
	else if (t->end >= 0 && WIFSIGNALED(t->end))
		snprintf(d->why, sizeof(d->why), "process %d has died in this call: signal %d (%s)", pid,
			 WTERMSIG(t->end), strsignal(WTERMSIG(t->end)));
	else
		snprintf(d->why, sizeof(d->why), "process %d has died in this call", pid);
}

static bool same_result(struct diff *d, const struct diff_op *op)
{
	const struct tracee *t = &d->proc[op->proc].tracee;
	char k[48], m[48];

	if (!d->model_only && t->dead) {
		tell_death(d, t);
		return false;
	}
	if (d->kernel_result == d->model_result && d->kernel_core != d->model_core && !d->model_only) {
		snprintf(d->why, sizeof(d->why), "mincore tells of other pages in the kernel than in the model");
		return false;
	}
	if (d->kernel_result == d->model_result)
		return true;
	snprintf(d->why, sizeof(d->why), "result: %s from the kernel, %s from the model",
		 diff_format_result(op, d->kernel_result, k, sizeof(k)),
		 diff_format_result(op, d->model_result, m, sizeof(m)));
	return false;
}

/* Whether its address space has ended: even one without mappings shows the gate area. */
static bool has_no_map(const struct tracee *t)
{
	char path[32], byte;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, &byte, 1);
	close(fd);
	return n <= 0;
}

/*
 * Somebody may end it between the call and the look at its map; or another, whose pages are then less shared than the
 * model has them.
 */
static bool same_unless_dead(struct diff *d, struct diff_proc *p, bool whole)
{
	if (same_state(d, p, whole))
		return true;
	for (int i = 0; i < DIFF_MAX_PROCS && !d->model_only; i++)
		if (d->proc[i].alive && has_no_map(&d->proc[i].tracee))
			snprintf(d->why, sizeof(d->why), "process %d has died after this call",
				 (int)d->proc[i].tracee.pid);
	return false;
}

bool diff_same_all(struct diff *d)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		if (d->proc[i].alive && !same_unless_dead(d, &d->proc[i], true))
			return false;
	return true;
}

/* The others: what the call has changed of shared memory, or of the pages that they have in common. */
static bool same_others(struct diff *d, const struct diff_proc *p)
{
	int i, at;

	if (d->thorough)
		return diff_same_all(d);
	if (d->model_only || d->steps % OTHERS_IN_TURN)
		return true;
	for (i = 1; i <= DIFF_MAX_PROCS; i++) {
		at = (d->turn + i) % DIFF_MAX_PROCS;
		if (!d->proc[at].alive || &d->proc[at] == p)
			continue;
		d->turn = at;
		return same_unless_dead(d, &d->proc[at], true);
	}
	return true;
}

static bool same_outcome(struct diff *d, const struct diff_op *op, struct diff_proc *p, bool flags)
{
	char why[sizeof(d->why)];

	if (same_result(d, op))
		return same_unless_dead(d, p, flags) && (!flags || same_others(d, p));
	/* The maps are read even so: they are printed. */
	memcpy(why, d->why, sizeof(why));
	same_state(d, p, true);
	memcpy(d->why, why, sizeof(why));
	return false;
}

/* After a fork both sides of it are compared. */
static bool step_fork(struct diff *d, const struct diff_op *op, struct diff_proc *p)
{
	struct diff_proc *child = free_proc(d);

	if (!child)
		return true;
	memset(child, 0, sizeof(*child));
	d->model_result = diff_on_model(d, op, child);
	d->kernel_result = d->model_only ? d->model_result : diff_on_kernel(d, op, child);
	child->alive = !d->kernel_result;
	d->steps++;
	d->compared++;
	return same_outcome(d, op, p, true) && (!child->alive || same_state(d, child, true));
}

/* No limit can be lifted above what the process may have at most. */
static void clamp_rlimit(struct diff *d, struct diff_op *op)
{
	struct rlimit lim;

	if (op->kind != DIFF_RLIMIT || d->model_only || !d->proc[op->proc].alive)
		return;
	if (!prlimit(d->proc[op->proc].tracee.pid, (enum __rlimit_resource)diff_rlimits[op->arg[0]], NULL, &lim) &&
	    lim.rlim_max < op->arg[1])
		op->arg[1] = lim.rlim_max;
}

static bool step(struct diff *d, const struct diff_op *asked)
{
	struct diff_op clamped = *asked;
	const struct diff_op *op = &clamped;
	struct diff_proc *p = &d->proc[op->proc];

	d->why[0] = 0;
	d->kernel_result = d->model_result = 0;
	d->kernel_core = d->model_core = 0;
	if (!p->alive)
		return true;
	clamp_rlimit(d, &clamped);
	if (op->kind == DIFF_FORK)
		return step_fork(d, op, p);
	d->steps++;
	d->touched = op->arg[0];
	if (op->kind == DIFF_EXIT) {
		end_proc(d, p);
		return true;
	}
	d->compared++;
	d->model_result = diff_on_model(d, op, NULL);
	d->kernel_result = d->model_only ? d->model_result : diff_on_kernel(d, op, NULL);
	if (!d->model_only && d->kernel_result == d->model_result && op->kind == DIFF_MMAP &&
	    !(d->kernel_result & (DIFF_PAGE - 1)))
		tell_identity(d, p, op, (unsigned long)d->kernel_result);
	return same_outcome(d, op, p, d->steps % d->flags_every == 0);
}

int diff_valid(struct diff *d, bool frames)
{
	int broken = mm_context_validate(d->ctx, frames, &d->valid);

	if (broken > 0)
		snprintf(d->why, sizeof(d->why), "the model is broken: %d of its own invariants do not hold%s", broken,
			 frames ? " at the end" : "");
	return broken > 0 ? 1 : broken;
}

bool diff_step(struct diff *d, const struct diff_op *op)
{
	unsigned long before = d->steps;

	if (!step(d, op))
		return false;
	if (!d->validate || d->steps == before)
		return true;
	d->valid_calls++;
	return !diff_valid(d, false);
}

void diff_same_place(char **argv)
{
	int now = personality(0xffffffff);

	if (now < 0 || now & ADDR_NO_RANDOMIZE)
		return;
	personality((unsigned long)now | ADDR_NO_RANDOMIZE);
	execv("/proc/self/exe", argv);
}
