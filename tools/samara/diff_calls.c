/* SPDX-License-Identifier: MIT */
/* One call, on the kernel and on the model, and as text. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diff_parts.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

/* One call on the kernel -------------------------------------------------- */

static long kernel_mmap(struct diff *d, struct tracee *t, const struct diff_op *op)
{
	unsigned long arg[6] = { op->arg[0], op->arg[1], op->arg[2], op->arg[3],
				 (unsigned long)(long)d->fd[op->file], op->arg[4] };

	return tracee_call(t, SYS_mmap, arg);
}

/* Touches end as the model says it: MM_FAULT_*, or beyond them for what it has no word for. */
static long kernel_touch(struct tracee *t, const struct diff_op *op, char how)
{
	struct tracee_touch touch = tracee_touch(t, op->arg[0], how, (unsigned char)op->arg[1]);

	if (!touch.signo)
		return MM_FAULT_OK;
	if (touch.signo == SIGSEGV && touch.code == SEGV_MAPERR)
		return MM_FAULT_MAPERR;
	if (touch.signo == SIGSEGV && touch.code == SEGV_ACCERR)
		return MM_FAULT_ACCERR;
	if (touch.signo == SIGSEGV && touch.code == SEGV_PKUERR)
		return MM_FAULT_PKUERR;
	if (touch.signo == SIGBUS && touch.code == BUS_ADRERR)
		return MM_FAULT_BUS;
	return 1000 * touch.signo + touch.code;
}

static long kernel_rlimit(struct tracee *t, const struct diff_op *op)
{
	struct rlimit lim;

	if (prlimit(t->pid, (enum __rlimit_resource)diff_rlimits[op->arg[0]], NULL, &lim))
		return -errno;
	lim.rlim_cur = op->arg[1];
	return prlimit(t->pid, (enum __rlimit_resource)diff_rlimits[op->arg[0]], &lim, NULL) ? -errno : 0;
}

long diff_syscall(unsigned int kind)
{
	static const long numbers[DIFF_NR_KINDS] = {
		[DIFF_MMAP] = SYS_mmap,		[DIFF_MUNMAP] = SYS_munmap,
		[DIFF_MPROTECT] = SYS_mprotect, [DIFF_MREMAP] = SYS_mremap,
		[DIFF_BRK] = SYS_brk,		[DIFF_MADVISE] = SYS_madvise,
		[DIFF_MLOCK] = SYS_mlock2,	[DIFF_MUNLOCK] = SYS_munlock,
		[DIFF_MLOCKALL] = SYS_mlockall, [DIFF_MUNLOCKALL] = SYS_munlockall,
		[DIFF_MSEAL] = SYS_mseal,	[DIFF_PKEY_MPROTECT] = SYS_pkey_mprotect,
		[DIFF_PKEY_ALLOC] = SYS_pkey_alloc, [DIFF_PKEY_FREE] = SYS_pkey_free,
		[DIFF_MSYNC] = SYS_msync,	[DIFF_MINCORE] = SYS_mincore,
		[DIFF_REMAP_FILE] = SYS_remap_file_pages, [DIFF_NAME] = SYS_prctl,
		[DIFF_PROCESS_MADVISE] = SYS_process_madvise,
	};

	return numbers[kind];
}

void diff_kernel_args(const struct diff_op *op, unsigned long arg[6])
{
	memcpy(arg, op->arg, sizeof(op->arg));
	if (op->kind == DIFF_MINCORE)
		arg[2] = TRACEE_SCRATCH;
	if (op->kind == DIFF_PROCESS_MADVISE) {
		arg[0] = (unsigned long)DIFF_PIDFD_SELF;
		arg[1] = TRACEE_SCRATCH;
		arg[2] = 2;
		arg[3] = op->arg[2];
		arg[4] = op->arg[5];
		arg[5] = 0;
	}
	if (op->kind != DIFF_NAME)
		return;
	arg[0] = PR_SET_VMA;
	arg[1] = PR_SET_VMA_ANON_NAME;
	arg[2] = op->arg[0];
	arg[3] = op->arg[1];
	arg[4] = tracee_name(op->arg[2]);
}

#define VECTOR DIFF_PAGE	/* bytes of the scratch page: of as many pages may be asked */

static long kernel_mincore(struct diff *d, const struct diff_proc *p, const struct diff_op *op, long result)
{
	unsigned long pages = (op->arg[1] + DIFF_PAGE - 1) / DIFF_PAGE;
	unsigned char vec[VECTOR];

	if (!result && !d->no_pages && pages <= VECTOR &&
	    pread(p->tracee.mem_fd, vec, pages, (off_t)TRACEE_SCRATCH) == (ssize_t)pages)
		d->kernel_core = diff_mincore_sum(d, p, op->arg[0], vec, pages);
	return result;
}

/* The pieces are read by the kernel from the scratch page, as struct iovec has them. */
static long kernel_process_madvise(struct tracee *t, const struct diff_op *op)
{
	const unsigned long pieces[4] = { op->arg[0], op->arg[1], op->arg[3], op->arg[4] };
	unsigned long arg[6];

	if (pwrite(t->mem_fd, pieces, sizeof(pieces), (off_t)TRACEE_SCRATCH) != sizeof(pieces))
		return -ESRCH;
	diff_kernel_args(op, arg);
	return tracee_call(t, SYS_process_madvise, arg);
}

long diff_on_kernel(struct diff *d, const struct diff_op *op, struct diff_proc *child)
{
	struct tracee *t = &d->proc[op->proc].tracee;
	unsigned long arg[6];

	switch (op->kind) {
	case DIFF_MMAP:
		return kernel_mmap(d, t, op);
	case DIFF_READ:
		return kernel_touch(t, op, 'r');
	case DIFF_WRITE:
		return kernel_touch(t, op, 'w');
	case DIFF_EXEC:
		return kernel_touch(t, op, 'x');
	case DIFF_FORK:
		return tracee_fork(t, &child->tracee);
	case DIFF_RLIMIT:
		return kernel_rlimit(t, op);
	case DIFF_PROCESS_MADVISE:
		return kernel_process_madvise(t, op);
	case DIFF_MINCORE:
		diff_kernel_args(op, arg);
		return kernel_mincore(d, &d->proc[op->proc], op, tracee_call(t, SYS_mincore, arg));
	default:
		diff_kernel_args(op, arg);
		return tracee_call(t, diff_syscall(op->kind), arg);
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

/* The vector is written to a page that has key 0, which the process may have lost the right to. */
static long model_mincore(struct diff *d, const struct diff_proc *p, const struct diff_op *op)
{
	unsigned long addr = op->arg[0], len = op->arg[1], pages = (len + DIFF_PAGE - 1) / DIFF_PAGE;
	struct mm_struct *mm = p->mm;
	unsigned char vec[VECTOR];
	long err;

	if ((mm_pkru(mm) & 3) && len && len <= TRACEE_TASK_SIZE - addr && !mm_mincore(mm, addr, 1, NULL))
		return -EFAULT;
	if (d->no_pages || pages > VECTOR)
		return mm_mincore(mm, addr, len, NULL);
	err = mm_mincore(mm, addr, len, vec);
	if (!err)
		d->model_core = diff_mincore_sum(d, p, addr, vec, pages);
	return err;
}

/* The pieces lie in a page that has key 0, which the process may have lost the right to. */
static long model_process_madvise(struct mm_struct *mm, const struct diff_op *op)
{
	const struct mm_advice_range pieces[] = { { op->arg[0], op->arg[1] }, { op->arg[3], op->arg[4] } };
	size_t done;
	int err;

	if (!op->arg[5] && (mm_pkru(mm) & 1))
		return -EFAULT;
	err = mm_process_madvise(mm, pieces, 2, (int)op->arg[2], (unsigned int)op->arg[5], &done);
	return err ? err : (long)done;
}

static long model_write(const struct diff *d, struct mm_struct *mm, const struct diff_op *op)
{
	unsigned char byte = (unsigned char)op->arg[1];

	return (long)(d->no_pages ? mm_fault(mm, op->arg[0], MM_WRITE) : mm_write(mm, op->arg[0], &byte, 1, NULL));
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
	case DIFF_PROCESS_MADVISE:
		return model_process_madvise(mm, op);
	case DIFF_PKEY_MPROTECT:
		return mm_pkey_mprotect(mm, a[0], a[1], a[2], (int)a[3]);
	case DIFF_PKEY_ALLOC:
		return mm_pkey_alloc(mm, a[0], a[1]);
	case DIFF_PKEY_FREE:
		return mm_pkey_free(mm, (int)a[0]);
	case DIFF_MSYNC:
		return mm_msync(mm, a[0], a[1], (int)a[2]);
	case DIFF_REMAP_FILE:
		return mm_remap_file_pages(mm, a[0], a[1], a[2], a[3], a[4]);
	case DIFF_NAME:
		return mm_set_anon_name(mm, a[0], a[1], a[2] < TRACEE_NR_NAMES ? tracee_names[a[2]] : NULL);
	default:
		return mm_mseal(mm, a[0], a[1], a[2]);
	}
}

long diff_on_model(struct diff *d, const struct diff_op *op, struct diff_proc *child)
{
	struct mm_struct *mm = d->proc[op->proc].mm;

	switch (op->kind) {
	case DIFF_MMAP:
		return model_mmap(d, mm, op);
	case DIFF_READ:
		return (long)mm_fault(mm, op->arg[0], MM_READ);
	case DIFF_WRITE:
		return model_write(d, mm, op);
	case DIFF_EXEC:
		return (long)mm_fault(mm, op->arg[0], MM_EXEC);
	case DIFF_FORK:
		return mm_fork(mm, &child->mm);
	case DIFF_MINCORE:
		return model_mincore(d, &d->proc[op->proc], op);
	case DIFF_RLIMIT:
		return mm_set_rlimit(mm, (enum mm_rlimit)op->arg[0], op->arg[1]);
	default:
		return on_model_memory(mm, op);
	}
}

/* As text ----------------------------------------------------------------- */

static const struct {
	const char *name;
	enum call_kind call;	/* touches have none */
} kinds[DIFF_NR_KINDS] = {
	[DIFF_MMAP] = { "mmap", CALL_MMAP },
	[DIFF_MUNMAP] = { "munmap", CALL_MUNMAP },
	[DIFF_MPROTECT] = { "mprotect", CALL_MPROTECT },
	[DIFF_MREMAP] = { "mremap", CALL_MREMAP },
	[DIFF_BRK] = { "brk", CALL_BRK },
	[DIFF_MADVISE] = { "madvise", CALL_MADVISE },
	[DIFF_MLOCK] = { "mlock2", CALL_MLOCK2 },
	[DIFF_MUNLOCK] = { "munlock", CALL_MUNLOCK },
	[DIFF_MLOCKALL] = { "mlockall", CALL_MLOCKALL },
	[DIFF_MUNLOCKALL] = { "munlockall", CALL_MUNLOCKALL },
	[DIFF_MSEAL] = { "mseal", CALL_MSEAL },
	[DIFF_READ] = { "read", CALL_NR_KINDS },
	[DIFF_WRITE] = { "write", CALL_NR_KINDS },
	[DIFF_EXEC] = { "exec", CALL_NR_KINDS },
	[DIFF_FORK] = { "fork", CALL_FORK },
	[DIFF_EXIT] = { "exit", CALL_EXIT },
	[DIFF_RLIMIT] = { "setrlimit", CALL_SETRLIMIT },
	[DIFF_PKEY_MPROTECT] = { "pkey_mprotect", CALL_PKEY_MPROTECT },
	[DIFF_PKEY_ALLOC] = { "pkey_alloc", CALL_PKEY_ALLOC },
	[DIFF_PKEY_FREE] = { "pkey_free", CALL_PKEY_FREE },
	[DIFF_MSYNC] = { "msync", CALL_MSYNC },
	[DIFF_MINCORE] = { "mincore", CALL_MINCORE },
	[DIFF_REMAP_FILE] = { "remap_file_pages", CALL_REMAP_FILE_PAGES },
	[DIFF_NAME] = { "name", CALL_FOREIGN },
	[DIFF_PROCESS_MADVISE] = { "process_madvise", CALL_FOREIGN },
};

const char *diff_kind_name(unsigned int kind)
{
	return kind < DIFF_NR_KINDS ? kinds[kind].name : NULL;
}

void diff_fill_call(const struct diff_op *op, struct call *call)
{
	memset(call, 0, sizeof(*call));
	call->kind = kinds[op->kind].call;
	call->returned = true;
	memcpy(call->args, op->arg, sizeof(call->args));
	if (op->kind == DIFF_RLIMIT)
		call->args[0] = (unsigned long)diff_rlimits[op->arg[0]];
	if (op->kind == DIFF_MMAP) {
		call->args[4] = op->file ? op->file : ~0UL;
		call->args[5] = op->arg[4];
	}
}

char *diff_format_op(const struct diff_op *op, char *buf, size_t len)
{
	static const char *const files[DIFF_NR_FILES] = {
		"",			  " of memfd",		     " of another memfd",  " of a file",
		" of a file, read only", " of a file, write only", " of /dev/zero",
		" of a memfd of huge pages",
	};
	struct call call;
	char *end;

	if (op->kind == DIFF_WRITE) {
		snprintf(buf, len, "write 0x%02lx to 0x%lx", op->arg[1] & 0xff, op->arg[0]);
		return buf;
	}
	if (diff_is_touch(op)) {
		snprintf(buf, len, "%s a byte at 0x%lx", op->kind == DIFF_EXEC ? "execute" : kinds[op->kind].name,
			 op->arg[0]);
		return buf;
	}
	if (op->kind == DIFF_NAME) {
		snprintf(buf, len, "prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x%lx, %lu, %s%s%s)", op->arg[0], op->arg[1],
			 tracee_name(op->arg[2]) ? "\"" : "NULL", tracee_name(op->arg[2]) ? tracee_names[op->arg[2]] : "",
			 tracee_name(op->arg[2]) ? "\"" : "");
		return buf;
	}
	if (op->kind == DIFF_PROCESS_MADVISE) {
		snprintf(buf, len, "process_madvise(PIDFD_SELF, { { 0x%lx, %lu }, { 0x%lx, %lu } }, 2, %d, %#lx)", op->arg[0],
			 op->arg[1], op->arg[3], op->arg[4], (int)op->arg[2], op->arg[5]);
		return buf;
	}
	diff_fill_call(op, &call);
	call_format(&call, buf, len);
	end = strrchr(buf, '=');
	if (end && end > buf)
		snprintf(end - 1, len - (size_t)(end - 1 - buf), "%s", files[op->file]);
	return buf;
}

static const char *touch_result(long result)
{
	switch (result) {
	case MM_FAULT_OK:
		return "works";
	case MM_FAULT_MAPERR:
		return "SIGSEGV, SEGV_MAPERR";
	case MM_FAULT_ACCERR:
		return "SIGSEGV, SEGV_ACCERR";
	case MM_FAULT_PKUERR:
		return "SIGSEGV, SEGV_PKUERR";
	case MM_FAULT_BUS:
		return "SIGBUS, BUS_ADRERR";
	case MM_FAULT_OOM:
		return "no memory";
	default:
		return NULL;
	}
}

char *diff_format_result(const struct diff_op *op, long result, char *buf, size_t len)
{
	const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;

	if (diff_is_touch(op) && touch_result(result))
		snprintf(buf, len, "%s", touch_result(result));
	else if (diff_is_touch(op))
		snprintf(buf, len, "signal %ld, code %ld", result / 1000, result % 1000);
	else if (name)
		snprintf(buf, len, "-%s", name);
	else if (result == 0)
		snprintf(buf, len, "0");
	else
		snprintf(buf, len, "0x%lx", (unsigned long)result);
	return buf;
}

void diff_print_op(FILE *out, const struct diff_op *op)
{
	char text[512];

	if (op->proc)
		fprintf(out, "  process %d: ", op->proc);
	else
		fprintf(out, "  ");
	fprintf(out, "%s\n", diff_format_op(op, text, sizeof(text)));
}
