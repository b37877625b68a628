/* SPDX-License-Identifier: MIT */
/* One call on the kernel and on the model, and the comparison after it. */
#define _GNU_SOURCE
#include "support/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define FILE_BYTES (64UL << 20)
#define TEXT_SIZE (1 << 18)

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
	if (ftruncate(d->fd[DIFF_DISK], FILE_BYTES) || ftruncate(d->fd[DIFF_MEMFD], FILE_BYTES) ||
	    ftruncate(d->fd[DIFF_MEMFD_2], FILE_BYTES))
		return -errno;
	return 0;
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
	switch (which) {
	case DIFF_ZERO:
		info.kind = VM_FILE_ZERO;
		break;
	case DIFF_MEMFD:
	case DIFF_MEMFD_2:
		info.kind = VM_FILE_SHMEM;
		break;
	default:
		info.kind = VM_FILE_REGULAR;
		info.hugepage_aligned = true;
		info.readable = which != DIFF_DISK_WRITE_ONLY;
		info.writable = which != DIFF_DISK_READ_ONLY;
	}
	return vm_file_create(d->ctx, &info, &d->file[which]);
}

static int open_all_files(struct diff *d)
{
	int err = open_descriptions(d);
	int i;

	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES && !err; i++)
		err = make_model_file(d, (enum diff_file)i);
	return err;
}

/* Maps -------------------------------------------------------------------- */

/* One line of a maps file. The gate area lies above the user range: it is no mapping. */
static bool parse_line(const char *line, struct diff_vma *vma)
{
	memset(vma, 0, sizeof(*vma));
	if (sscanf(line, "%lx-%lx %4s %" SCNx64 " %x:%x %" SCNu64, &vma->start, &vma->end, vma->perms,
		   &vma->offset, &vma->dev_major, &vma->dev_minor, &vma->ino) != 7)
		return false;
	return vma->start < TRACEE_TASK_SIZE;
}

static const struct {
	char name[3];
	unsigned long flag;
} flag_names[] = {
	{ "rd", MM_VM_READ },	    { "wr", MM_VM_WRITE },	{ "ex", MM_VM_EXEC },
	{ "sh", MM_VM_SHARED },	    { "mr", MM_VM_MAYREAD },	{ "mw", MM_VM_MAYWRITE },
	{ "me", MM_VM_MAYEXEC },    { "ms", MM_VM_MAYSHARE },	{ "gd", MM_VM_GROWSDOWN },
	{ "pf", MM_VM_PFNMAP },	    { "lo", MM_VM_LOCKED },	{ "io", MM_VM_IO },
	{ "sr", MM_VM_SEQ_READ },   { "rr", MM_VM_RAND_READ },	{ "dc", MM_VM_DONTCOPY },
	{ "de", MM_VM_DONTEXPAND }, { "lf", MM_VM_LOCKONFAULT }, { "ac", MM_VM_ACCOUNT },
	{ "nr", MM_VM_NORESERVE },  { "ht", MM_VM_HUGETLB },	{ "sf", MM_VM_SYNC },
	{ "wf", MM_VM_WIPEONFORK }, { "dd", MM_VM_DONTDUMP },	{ "mm", MM_VM_MIXEDMAP },
	{ "hg", MM_VM_HUGEPAGE },   { "nh", MM_VM_NOHUGEPAGE }, { "mg", MM_VM_MERGEABLE },
	{ "sl", MM_VM_SEALED },	    { "dp", MM_VM_DROPPABLE },
};

#define NR_FLAG_NAMES (sizeof(flag_names) / sizeof(flag_names[0]))

static unsigned long all_named_flags(void)
{
	unsigned long all = 0;
	size_t i;

	for (i = 0; i < NR_FLAG_NAMES; i++)
		all |= flag_names[i].flag;
	return all;
}

static unsigned long parse_flags(const char *line)
{
	unsigned long flags = 0;
	size_t i;

	for (; line[0] && line[1] && line[0] != '\n'; line += line[2] == ' ' ? 3 : 2)
		for (i = 0; i < NR_FLAG_NAMES; i++)
			if (!strncmp(line, flag_names[i].name, 2))
				flags |= flag_names[i].flag;
	return flags;
}

/* Reads maps, or smaps when @flags: its lines of mappings are the same, and others begin with a word. */
static int read_kernel_map(struct tracee *t, bool flags, struct diff_map *map)
{
	static const char key[] = "VmFlags: ";
	char *text = malloc(TEXT_SIZE);
	long n = text ? tracee_read(flags ? t->smaps_fd : t->maps_fd, text, TEXT_SIZE) : -1;
	char *line, *next;

	map->count = 0;
	for (line = text; n > 0 && line && *line && map->count < DIFF_MAX_VMAS; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : line + strlen(line);
		if (!strncmp(line, key, sizeof(key) - 1)) {
			if (map->count)
				map->vma[map->count - 1].flags = parse_flags(line + sizeof(key) - 1);
		} else if (parse_line(line, &map->vma[map->count])) {
			map->count++;
		} else if (line[0] >= 'a' && line[0] <= 'f') {
			break;	/* the gate area */
		}
	}
	free(text);
	return n > 0 ? 0 : -EIO;
}

static int copy_model_vma(void *arg, const struct mm_vma_info *info)
{
	struct diff_map *map = arg;
	struct diff_vma *vma = &map->vma[map->count];
	unsigned long f = info->flags;

	if (map->count == DIFF_MAX_VMAS)
		return -E2BIG;
	map->count++;
	memset(vma, 0, sizeof(*vma));
	vma->start = info->start;
	vma->end = info->end;
	vma->perms[0] = f & MM_VM_READ ? 'r' : '-';
	vma->perms[1] = f & MM_VM_WRITE ? 'w' : '-';
	vma->perms[2] = f & MM_VM_EXEC ? 'x' : '-';
	vma->perms[3] = f & MM_VM_MAYSHARE ? 's' : 'p';
	vma->offset = info->offset;
	vma->dev_major = info->dev_major;
	vma->dev_minor = info->dev_minor;
	vma->ino = info->ino;
	vma->flags = f & all_named_flags();
	return 0;
}

static void read_model_map(struct mm_struct *mm, struct diff_map *map)
{
	map->count = 0;
	mm_for_each_vma(mm, copy_model_vma, map);
}

static bool same_vma(const struct diff_vma *a, const struct diff_vma *b, bool flags)
{
	return a->start == b->start && a->end == b->end && !memcmp(a->perms, b->perms, 4) &&
	       a->offset == b->offset && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->ino == b->ino && (!flags || a->flags == b->flags);
}

static bool same_maps(struct diff *d, bool flags)
{
	const struct diff_map *k = &d->kernel_map, *m = &d->model_map;
	int i;

	for (i = 0; i < k->count && i < m->count; i++)
		if (!same_vma(&k->vma[i], &m->vma[i], flags)) {
			snprintf(d->why, sizeof(d->why), "mapping %d differs (kernel %lx-%lx, model %lx-%lx)", i,
				 k->vma[i].start, k->vma[i].end, m->vma[i].start, m->vma[i].end);
			return false;
		}
	if (k->count != m->count)
		snprintf(d->why, sizeof(d->why), "%d mappings in the kernel, %d in the model", k->count, m->count);
	d->compared += (unsigned long)k->count;
	return k->count == m->count;
}

/* Counters ---------------------------------------------------------------- */

static unsigned long status_pages(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoul(at + strlen(key), NULL, 10) / 4 : ~0UL;
}

static bool same_number(struct diff *d, const char *what, unsigned long kernel, unsigned long model)
{
	if (kernel != model)
		snprintf(d->why, sizeof(d->why), "%s: %lu pages in the kernel, %lu in the model", what, kernel,
			 model);
	return kernel == model;
}

/* VmExe is the executable pages of the program's own range, VmLib the others. */
static bool same_counters(struct diff *d, struct diff_proc *p)
{
	char text[4096];
	struct mm_counters c;

	if (tracee_read(p->tracee.status_fd, text, sizeof(text)) < 0)
		return false;
	mm_read_counters(p->mm, &c);
	return same_number(d, "VmSize", status_pages(text, "\nVmSize:"), c.total_vm) &&
	       same_number(d, "VmLck", status_pages(text, "\nVmLck:"), c.locked_vm) &&
	       same_number(d, "VmData", status_pages(text, "\nVmData:"), c.data_vm) &&
	       same_number(d, "VmStk", status_pages(text, "\nVmStk:"), c.stack_vm) &&
	       same_number(d, "VmExe and VmLib",
			   status_pages(text, "\nVmExe:") + status_pages(text, "\nVmLib:"), c.exec_vm);
}

/* Opening ----------------------------------------------------------------- */

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
	return mm_context_create(&opt, &d->ctx);
}

static unsigned long limit_of(pid_t pid, int which)
{
	struct rlimit lim;

	if (prlimit(pid, (enum __rlimit_resource)which, NULL, &lim) || lim.rlim_cur == RLIM_INFINITY)
		return MM_RLIM_INFINITY;
	return lim.rlim_cur;
}

static const int rlimit_of[MM_NR_RLIMITS] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK };

static int make_model(struct diff *d, bool has_caps)
{
	struct mm_options opt = { .size = sizeof(opt), .limits_set = true };
	struct diff_proc *p = &d->proc[0];
	int i, err;

	for (i = 0; i < MM_NR_RLIMITS; i++)
		opt.rlimit[i] = limit_of(p->tracee.pid, rlimit_of[i]);
	opt.task_size = TRACEE_TASK_SIZE;
	opt.mmap_base = d->layout.mmap_base;
	opt.start_brk = d->layout.start_brk;
	opt.data_size = d->layout.data_size;
	opt.cap_ipc_lock = has_caps;
	opt.cap_sys_rawio = has_caps;
	err = mm_create(d->ctx, &opt, &p->mm);
	return err;
}

/* The page of code, as the kernel shows it. */
static int adopt_code(struct diff *d)
{
	struct diff_proc *p = &d->proc[0];
	struct mm_adopt_args args = { .start = TRACEE_CODE, .end = TRACEE_CODE + DIFF_PAGE };
	int err = read_kernel_map(&p->tracee, true, &d->kernel_map);

	if (err || d->kernel_map.count != 1)
		return err ? err : -EINVAL;
	args.flags = d->kernel_map.vma[0].flags;
	err = mm_adopt(p->mm, &args);
	if (!err)
		read_model_map(p->mm, &p->map);
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

int diff_open(struct diff *d, bool drop_caps)
{
	int err;

	memset(d, 0, sizeof(*d));
	d->flags_every = 8;
	memset(d->fd, -1, sizeof(d->fd));
	pin_to_this_cpu();
	err = make_context(d);
	if (!err)
		err = open_all_files(d);
	if (!err)
		err = tracee_create(&d->proc[0].tracee, drop_caps);
	if (!err) {
		d->proc[0].alive = true;
		err = tracee_layout(&d->proc[0].tracee, &d->layout);
	}
	if (!err)
		err = make_model(d, !drop_caps && geteuid() == 0);
	if (!err)
		err = adopt_code(d);
	if (err) {
		fprintf(stderr, "diff: cannot start: %s\n", strerror(-err));
		diff_close(d);
	}
	return err;
}

/* Files for the model that nobody opens. */
static int invent_files(struct diff *d)
{
	struct vm_file_info info = { .size = sizeof(info) };
	int i, err = 0;

	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES && !err; i++) {
		info.ino = 1000 + (uint64_t)i;
		info.dev_major = i == DIFF_ZERO ? 0 : 8;
		info.kind = i == DIFF_ZERO ? VM_FILE_ZERO :
			    i == DIFF_MEMFD || i == DIFF_MEMFD_2 ? VM_FILE_SHMEM : VM_FILE_REGULAR;
		info.hugepage_aligned = info.kind == VM_FILE_REGULAR;
		info.readable = i != DIFF_DISK_WRITE_ONLY;
		info.writable = i != DIFF_DISK_READ_ONLY;
		err = vm_file_create(d->ctx, &info, &d->file[i]);
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
	d->flags_every = 8;
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

static void end_proc(struct diff *d, struct diff_proc *p)
{
	if (p->mm)
		mm_put(p->mm);
	if (p->alive && !d->model_only)
		tracee_destroy(&p->tracee);
	p->mm = NULL;
	p->alive = false;
}

/* Everything but the context itself must be gone. */
static long objects_left(struct diff *d)
{
	struct platform_stats s;

	platform_read_stats(mm_context_platform(d->ctx), &s);
	return s.nodes + s.vmas + s.mms + s.anon_vmas + s.anon_chains + s.files +
	       (long)mm_context_committed(d->ctx);
}

long diff_close(struct diff *d)
{
	long left = 0;
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		end_proc(d, &d->proc[i]);
	for (i = 0; i < DIFF_NR_FILES; i++) {
		vm_file_put(d->file[i]);
		if (d->fd[i] >= 0)
			close(d->fd[i]);
	}
	if (d->ctx) {
		left = objects_left(d);
		mm_context_destroy(d->ctx);
	}
	d->ctx = NULL;
	return left;
}

/* One call on the kernel -------------------------------------------------- */

static long kernel_mmap(struct diff *d, struct tracee *t, const struct diff_op *op)
{
	unsigned long arg[6] = { op->arg[0], op->arg[1], op->arg[2], op->arg[3],
				 (unsigned long)(long)d->fd[op->file], op->arg[4] };

	return tracee_call(t, SYS_mmap, arg);
}

/* Touches end as the model says it: MM_FAULT_*, or beyond them for what it has no word for. */
static long kernel_touch(struct tracee *t, unsigned long addr, char how)
{
	struct tracee_touch touch = tracee_touch(t, addr, how);

	if (!touch.signo)
		return MM_FAULT_OK;
	if (touch.signo == SIGSEGV && touch.code == SEGV_MAPERR)
		return MM_FAULT_MAPERR;
	if (touch.signo == SIGSEGV && touch.code == SEGV_ACCERR)
		return MM_FAULT_ACCERR;
	return 1000 * touch.signo + touch.code;
}

static long kernel_rlimit(struct tracee *t, const struct diff_op *op)
{
	struct rlimit lim;

	if (prlimit(t->pid, (enum __rlimit_resource)rlimit_of[op->arg[0]], NULL, &lim))
		return -errno;
	lim.rlim_cur = op->arg[1];
	return prlimit(t->pid, (enum __rlimit_resource)rlimit_of[op->arg[0]], &lim, NULL) ? -errno : 0;
}

static const long syscall_of[DIFF_NR_KINDS] = {
	[DIFF_MUNMAP] = SYS_munmap,	  [DIFF_MPROTECT] = SYS_mprotect, [DIFF_MREMAP] = SYS_mremap,
	[DIFF_BRK] = SYS_brk,		  [DIFF_MADVISE] = SYS_madvise,	  [DIFF_MLOCK] = SYS_mlock2,
	[DIFF_MUNLOCK] = SYS_munlock,	  [DIFF_MLOCKALL] = SYS_mlockall, [DIFF_MUNLOCKALL] = SYS_munlockall,
	[DIFF_MSEAL] = SYS_mseal,
};

static long on_kernel(struct diff *d, const struct diff_op *op, struct diff_proc *child)
{
	struct tracee *t = &d->proc[op->proc].tracee;

	switch (op->kind) {
	case DIFF_MMAP:
		return kernel_mmap(d, t, op);
	case DIFF_READ:
		return kernel_touch(t, op->arg[0], 'r');
	case DIFF_WRITE:
		return kernel_touch(t, op->arg[0], 'w');
	case DIFF_EXEC:
		return kernel_touch(t, op->arg[0], 'x');
	case DIFF_FORK:
		return tracee_fork(t, &child->tracee);
	case DIFF_RLIMIT:
		return kernel_rlimit(t, op);
	default:
		return tracee_call(t, syscall_of[op->kind], op->arg);
	}
}

/* One call on the model --------------------------------------------------- */

static long model_mmap(struct diff *d, struct mm_struct *mm, const struct diff_op *op)
{
	struct mm_mmap_args args = { .addr = op->arg[0], .len = op->arg[1], .prot = op->arg[2],
				     .flags = op->arg[3], .file = d->file[op->file], .offset = op->arg[4] };
	unsigned long out = 0;
	int err = mm_mmap(mm, &args, &out);

	return err ? err : (long)out;
}

static long model_mremap(struct mm_struct *mm, const struct diff_op *op)
{
	struct mm_mremap_args args = { .addr = op->arg[0], .old_len = op->arg[1], .new_len = op->arg[2],
				       .flags = op->arg[3], .new_addr = op->arg[4] };
	unsigned long out = 0;
	int err = mm_mremap(mm, &args, &out);

	return err ? err : (long)out;
}

static long on_model_memory(struct mm_struct *mm, const struct diff_op *op)
{
	const unsigned long *a = op->arg;

	switch (op->kind) {
	case DIFF_MUNMAP:
		return mm_munmap(mm, a[0], a[1]);
	case DIFF_MPROTECT:
		return mm_mprotect(mm, a[0], a[1], a[2]);
	case DIFF_MREMAP:
		return model_mremap(mm, op);
	case DIFF_BRK:
		return (long)mm_brk(mm, a[0]);
	case DIFF_MADVISE:
		return mm_madvise(mm, a[0], a[1], (int)a[2]);
	case DIFF_MLOCK:
		return mm_mlock(mm, a[0], a[1], (int)a[2]);
	case DIFF_MUNLOCK:
		return mm_munlock(mm, a[0], a[1]);
	case DIFF_MLOCKALL:
		return mm_mlockall(mm, (int)a[0]);
	case DIFF_MUNLOCKALL:
		return mm_munlockall(mm);
	default:
		return mm_mseal(mm, a[0], a[1], a[2]);
	}
}

static long on_model(struct diff *d, const struct diff_op *op, struct diff_proc *child)
{
	struct mm_struct *mm = d->proc[op->proc].mm;

	switch (op->kind) {
	case DIFF_MMAP:
		return model_mmap(d, mm, op);
	case DIFF_READ:
		return (long)mm_fault(mm, op->arg[0], MM_READ);
	case DIFF_WRITE:
		return (long)mm_fault(mm, op->arg[0], MM_WRITE);
	case DIFF_EXEC:
		return (long)mm_fault(mm, op->arg[0], MM_EXEC);
	case DIFF_FORK:
		return mm_fork(mm, &child->mm);
	case DIFF_RLIMIT:
		return mm_set_rlimit(mm, (enum mm_rlimit)op->arg[0], op->arg[1]);
	default:
		return on_model_memory(mm, op);
	}
}

/* Comparing --------------------------------------------------------------- */

/* Shared memory without a name gets an inode that only the kernel knows: tell the model once. */
static void tell_identity(struct diff *d, struct diff_proc *p, const struct diff_op *op, unsigned long at)
{
	struct mm_vma_info info;
	int i;

	if (op->file != DIFF_NO_FILE && op->file != DIFF_ZERO)
		return;
	if (mm_next_vma(p->mm, at, &info) || info.start > at || !info.file || !(info.flags & MM_VM_SHARED))
		return;
	if (read_kernel_map(&p->tracee, false, &d->kernel_map))
		return;
	for (i = 0; i < d->kernel_map.count; i++) {
		const struct diff_vma *k = &d->kernel_map.vma[i];

		if (k->start <= at && at < k->end)
			vm_file_set_identity(info.file, k->dev_major, k->dev_minor, k->ino);
	}
}

static bool same_state(struct diff *d, struct diff_proc *p, bool flags)
{
	if (d->model_only) {
		read_model_map(p->mm, &p->map);
		return true;
	}
	if (read_kernel_map(&p->tracee, flags, &d->kernel_map)) {
		snprintf(d->why, sizeof(d->why), "the map of process %d cannot be read", (int)p->tracee.pid);
		return false;
	}
	read_model_map(p->mm, &d->model_map);
	p->map = d->model_map;
	if (!same_maps(d, flags))
		return false;
	if (!flags)
		return true;
	if (mm_validate(p->mm)) {
		snprintf(d->why, sizeof(d->why), "the model is broken");
		return false;
	}
	return same_counters(d, p);
}

static struct diff_proc *free_proc(struct diff *d)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		if (!d->proc[i].alive)
			return &d->proc[i];
	return NULL;
}

static const char *result_name(long result, char buf[32])
{
	const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;

	if (name)
		snprintf(buf, 32, "-%s", name);
	else
		snprintf(buf, 32, "0x%lx", (unsigned long)result);
	return buf;
}

/* A touch beyond the end of a file is the file's business: the model has no word for it. */
static bool is_beyond_file(const struct diff *d, const struct diff_op *op)
{
	bool touch = op->kind == DIFF_READ || op->kind == DIFF_WRITE || op->kind == DIFF_EXEC;

	return touch && d->kernel_result / 1000 == SIGBUS;
}

static bool same_result(struct diff *d, const struct diff_op *op)
{
	char k[32], m[32];

	if (d->kernel_result == d->model_result || is_beyond_file(d, op))
		return true;
	snprintf(d->why, sizeof(d->why), "result: %s from the kernel, %s from the model",
		 result_name(d->kernel_result, k), result_name(d->model_result, m));
	return false;
}

/* After a fork both sides of it are compared. */
static bool step_fork(struct diff *d, const struct diff_op *op, struct diff_proc *p)
{
	struct diff_proc *child = free_proc(d);

	if (!child)
		return true;
	memset(child, 0, sizeof(*child));
	d->model_result = on_model(d, op, child);
	d->kernel_result = d->model_only ? d->model_result : on_kernel(d, op, child);
	child->alive = !d->kernel_result;
	if (!same_result(d, op))
		return false;
	return same_state(d, p, true) && (!child->alive || same_state(d, child, true));
}

/* No limit can be lifted above what the process may have at most. */
static void clamp_rlimit(struct diff *d, struct diff_op *op)
{
	struct rlimit lim;

	if (op->kind != DIFF_RLIMIT || d->model_only || !d->proc[op->proc].alive)
		return;
	if (!prlimit(d->proc[op->proc].tracee.pid, (enum __rlimit_resource)rlimit_of[op->arg[0]], NULL, &lim) &&
	    lim.rlim_max < op->arg[1])
		op->arg[1] = lim.rlim_max;
}

/*
 * Whether a mremap would make shared memory without a name reach beyond its end, where touches are
 * another matter. Such memory is as long as the mapping that made it; files are long enough.
 */
static bool outgrows_shared_memory(const struct diff_proc *p, const struct diff_op *op)
{
	unsigned long addr = op->arg[0], end;
	int i;

	if (op->kind != DIFF_MREMAP)
		return false;
	end = addr + ((op->arg[2] + DIFF_PAGE - 1) & -DIFF_PAGE);
	for (i = 0; i < p->map.count; i++) {
		const struct diff_vma *vma = &p->map.vma[i];

		if (vma->start <= addr && addr < vma->end)
			return vma->perms[3] == 's' && op->arg[2] != op->arg[1] && end > vma->end;
	}
	return false;
}

bool diff_step(struct diff *d, const struct diff_op *asked)
{
	struct diff_op clamped = *asked;
	const struct diff_op *op = &clamped;
	struct diff_proc *p = &d->proc[op->proc];

	d->why[0] = 0;
	d->kernel_result = d->model_result = 0;
	if (!p->alive || outgrows_shared_memory(p, op))
		return true;
	clamp_rlimit(d, &clamped);
	d->steps++;
	if (op->kind == DIFF_FORK)
		return step_fork(d, op, p);
	if (op->kind == DIFF_EXIT) {
		end_proc(d, p);
		return true;
	}
	d->model_result = on_model(d, op, NULL);
	d->kernel_result = d->model_only ? d->model_result : on_kernel(d, op, NULL);
	if (!d->model_only && d->kernel_result == d->model_result && op->kind == DIFF_MMAP &&
	    !(d->kernel_result & (DIFF_PAGE - 1)))
		tell_identity(d, p, op, (unsigned long)d->kernel_result);
	if (!same_result(d, op)) {
		/* The maps are read even so: they are printed. */
		char why[sizeof(d->why)];

		memcpy(why, d->why, sizeof(why));
		same_state(d, p, true);
		memcpy(d->why, why, sizeof(why));
		return false;
	}
	return same_state(d, p, d->steps % d->flags_every == 0);
}

/* Printing ---------------------------------------------------------------- */

static const char *const kind_names[DIFF_NR_KINDS] = {
	"mmap",	   "munmap",   "mprotect",   "mremap", "brk",  "madvise", "mlock2", "munlock",
	"mlockall", "munlockall", "mseal", "read", "write", "exec", "fork", "exit", "setrlimit",
};

const char *diff_kind_name(unsigned int kind)
{
	return kind < DIFF_NR_KINDS ? kind_names[kind] : NULL;
}

static const char *const file_names[DIFF_NR_FILES] = {
	"-1", "memfd", "memfd_2", "disk", "disk_read_only", "disk_write_only", "dev_zero",
};

/* Arguments that each call takes; mmap's descriptor goes before its last. */
static const int nr_args[DIFF_NR_KINDS] = {
	[DIFF_MMAP] = 5, [DIFF_MUNMAP] = 2, [DIFF_MPROTECT] = 3, [DIFF_MREMAP] = 5, [DIFF_BRK] = 1,
	[DIFF_MADVISE] = 3, [DIFF_MLOCK] = 3, [DIFF_MUNLOCK] = 2, [DIFF_MLOCKALL] = 1, [DIFF_MSEAL] = 3,
	[DIFF_READ] = 1, [DIFF_WRITE] = 1, [DIFF_EXEC] = 1, [DIFF_RLIMIT] = 2,
};

void diff_print_op(FILE *out, const struct diff_op *op)
{
	int i;

	fprintf(out, "\t");
	if (op->proc)
		fprintf(out, "/* process %d */ ", op->proc);
	fprintf(out, "%s(", kind_names[op->kind]);
	for (i = 0; i < nr_args[op->kind]; i++) {
		if (op->kind == DIFF_MMAP && i == 4)
			fprintf(out, ", %s", file_names[op->file]);
		fprintf(out, "%s0x%lx", i ? ", " : "", op->arg[i]);
	}
	fprintf(out, ");\n");
}

static void print_map(FILE *out, const char *who, const struct diff_map *map)
{
	int i;

	fprintf(out, "%s:\n", who);
	for (i = 0; i < map->count; i++) {
		const struct diff_vma *v = &map->vma[i];

		fprintf(out, "  %lx-%lx %s %08" PRIx64 " %02x:%02x %" PRIu64 " flags %lx\n", v->start, v->end,
			v->perms, v->offset, v->dev_major, v->dev_minor, v->ino, v->flags);
	}
}

void diff_print_maps(FILE *out, const struct diff *d)
{
	print_map(out, "kernel", &d->kernel_map);
	print_map(out, "model", &d->model_map);
}

void diff_same_place(char **argv)
{
	int now = personality(0xffffffff);

	if (now < 0 || now & ADDR_NO_RANDOMIZE)
		return;
	personality((unsigned long)now | ADDR_NO_RANDOMIZE);
	execv("/proc/self/exe", argv);
}
