/* SPDX-License-Identifier: MIT */
/* The calls that the mirror knows: their names, and how one is printed. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "mirror.h"
#include "platform/platform.h"

/* What is more than one system call has a word of its own in the trace format. */
static const struct {
	const char *name;
	const char *word;	/* NULL: the name */
} names[CALL_NR_KINDS] = {
	[CALL_MMAP] = { "mmap", NULL },
	[CALL_MUNMAP] = { "munmap", NULL },
	[CALL_MPROTECT] = { "mprotect", NULL },
	[CALL_PKEY_MPROTECT] = { "pkey_mprotect", NULL },
	[CALL_PKEY_ALLOC] = { "pkey_alloc", NULL },
	[CALL_PKEY_FREE] = { "pkey_free", NULL },
	[CALL_MREMAP] = { "mremap", NULL },
	[CALL_BRK] = { "brk", NULL },
	[CALL_MADVISE] = { "madvise", NULL },
	[CALL_MLOCK] = { "mlock", NULL },
	[CALL_MLOCK2] = { "mlock2", NULL },
	[CALL_MUNLOCK] = { "munlock", NULL },
	[CALL_MLOCKALL] = { "mlockall", NULL },
	[CALL_MUNLOCKALL] = { "munlockall", NULL },
	[CALL_MSEAL] = { "mseal", NULL },
	[CALL_MSYNC] = { "msync", NULL },
	[CALL_MINCORE] = { "mincore", NULL },
	[CALL_REMAP_FILE_PAGES] = { "remap_file_pages", NULL },
	[CALL_SETRLIMIT] = { "setrlimit", NULL },
	[CALL_FOREIGN] = { "foreign", NULL },
	[CALL_FORK] = { "fork", NULL },
	[CALL_VFORK] = { "vfork", NULL },
	[CALL_CLONE_VM] = { "clone", "clone_vm" },
	[CALL_EXEC] = { "execve", "exec" },
	[CALL_EXIT] = { "exit", NULL },
};

/* Other spellings, and the system calls that may change the map in ways the model does not have. */
static const struct {
	const char *name;
	enum call_kind kind;
} aliases[] = {
	{ "prlimit64", CALL_SETRLIMIT },
	{ "clone3", CALL_CLONE_VM },
	{ "execveat", CALL_EXEC },
	{ "exit_group", CALL_EXIT },
	{ "shmat", CALL_FOREIGN },
	{ "shmdt", CALL_FOREIGN },
	{ "io_setup", CALL_FOREIGN },
	{ "io_destroy", CALL_FOREIGN },
	{ "userfaultfd", CALL_FOREIGN },
	{ "ioctl", CALL_FOREIGN },
	{ "mbind", CALL_FOREIGN },
	{ "set_mempolicy_home_node", CALL_FOREIGN },
	{ "prctl", CALL_FOREIGN },
	{ "arch_prctl", CALL_FOREIGN },
	{ "personality", CALL_FOREIGN },
	{ "map_shadow_stack", CALL_FOREIGN },
	{ "process_madvise", CALL_FOREIGN },
	{ "process_vm_writev", CALL_FOREIGN },
};

const char *call_name(enum call_kind kind)
{
	return (unsigned int)kind < CALL_NR_KINDS ? names[kind].name : "?";
}

const char *call_word(enum call_kind kind)
{
	if ((unsigned int)kind >= CALL_NR_KINDS)
		return "?";
	return names[kind].word ? names[kind].word : names[kind].name;
}

int call_kind_by_name(const char *name)
{
	for (int i = 0; i < CALL_NR_KINDS; i++)
		if (!strcmp(name, names[i].name))
			return i;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (!strcmp(name, aliases[i].name))
			return (int)aliases[i].kind;
	return -1;
}

/* Printing ---------------------------------------------------------------- */

/* Text that ends at the end of its buffer, never beyond it. */
struct text {
	char *at;
	size_t left;	/* the terminating 0 included */
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= t->left)
		n = t->left ? (int)t->left - 1 : 0;
	pf_assert((size_t)n < t->left || !t->left);
	t->at += n;
	t->left -= (size_t)n;
}

struct bit {
	unsigned long bit;
	const char *name;
};

static const struct bit prot_bits[] = {
	{ 1, "PROT_READ" },
	{ 2, "PROT_WRITE" },
	{ 4, "PROT_EXEC" },
	{ 0x01000000, "PROT_GROWSDOWN" },
	{ 0x02000000, "PROT_GROWSUP" },
	{ 0, NULL },
};

/* The two low bits are a number: see put_map_flags(). */
static const struct bit map_bits[] = {
	{ 0x10, "MAP_FIXED" },
	{ 0x20, "MAP_ANONYMOUS" },
	{ 0x40, "MAP_32BIT" },
	{ 0x80, "MAP_ABOVE4G" },
	{ 0x100, "MAP_GROWSDOWN" },
	{ 0x800, "MAP_DENYWRITE" },
	{ 0x1000, "MAP_EXECUTABLE" },
	{ 0x2000, "MAP_LOCKED" },
	{ 0x4000, "MAP_NORESERVE" },
	{ 0x8000, "MAP_POPULATE" },
	{ 0x10000, "MAP_NONBLOCK" },
	{ 0x20000, "MAP_STACK" },
	{ 0x40000, "MAP_HUGETLB" },
	{ 0x80000, "MAP_SYNC" },
	{ 0x100000, "MAP_FIXED_NOREPLACE" },
	{ 0, NULL },
};

static const struct bit mremap_bits[] = {
	{ 1, "MREMAP_MAYMOVE" },
	{ 2, "MREMAP_FIXED" },
	{ 4, "MREMAP_DONTUNMAP" },
	{ 0, NULL },
};

static const struct bit mcl_bits[] = {
	{ 1, "MCL_CURRENT" },
	{ 2, "MCL_FUTURE" },
	{ 4, "MCL_ONFAULT" },
	{ 0, NULL },
};

static const struct bit advice_names[] = {
	{ 0, "MADV_NORMAL" },
	{ 1, "MADV_RANDOM" },
	{ 2, "MADV_SEQUENTIAL" },
	{ 3, "MADV_WILLNEED" },
	{ 4, "MADV_DONTNEED" },
	{ 8, "MADV_FREE" },
	{ 9, "MADV_REMOVE" },
	{ 10, "MADV_DONTFORK" },
	{ 11, "MADV_DOFORK" },
	{ 12, "MADV_MERGEABLE" },
	{ 13, "MADV_UNMERGEABLE" },
	{ 14, "MADV_HUGEPAGE" },
	{ 15, "MADV_NOHUGEPAGE" },
	{ 16, "MADV_DONTDUMP" },
	{ 17, "MADV_DODUMP" },
	{ 18, "MADV_WIPEONFORK" },
	{ 19, "MADV_KEEPONFORK" },
	{ 20, "MADV_COLD" },
	{ 21, "MADV_PAGEOUT" },
	{ 22, "MADV_POPULATE_READ" },
	{ 23, "MADV_POPULATE_WRITE" },
	{ 24, "MADV_DONTNEED_LOCKED" },
	{ 25, "MADV_COLLAPSE" },
	{ 100, "MADV_HWPOISON" },
	{ 101, "MADV_SOFT_OFFLINE" },
	{ 102, "MADV_GUARD_INSTALL" },
	{ 103, "MADV_GUARD_REMOVE" },
	{ 0, NULL },
};

/* What no name covers is printed as a number. */
static void put_bits(struct text *t, unsigned long value, const struct bit *bits, const char *none)
{
	const char *sep = "";

	if (!value) {
		put(t, "%s", none);
		return;
	}
	for (; bits->name; bits++) {
		if (!(value & bits->bit))
			continue;
		put(t, "%s%s", sep, bits->name);
		value &= ~bits->bit;
		sep = "|";
	}
	if (value)
		put(t, "%s%#lx", sep, value);
}

static void put_map_flags(struct text *t, unsigned long flags)
{
	static const char *const types[4] = { "0", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE" };

	put(t, "%s", types[flags & 3]);
	flags &= ~3UL;
	if (!flags)
		return;
	put(t, "|");
	put_bits(t, flags, map_bits, "0");
}

static void put_address(struct text *t, unsigned long addr)
{
	if (addr)
		put(t, "%#lx", addr);
	else
		put(t, "NULL");
}

static void put_advice(struct text *t, unsigned long advice)
{
	for (const struct bit *b = advice_names; b->name; b++) {
		if (b->bit == advice) {
			put(t, "%s", b->name);
			return;
		}
	}
	put(t, "%ld", (long)advice);
}

static void put_range(struct text *t, const unsigned long *args)
{
	put_address(t, args[0]);
	put(t, ", %lu", args[1]);
}

static void put_mmap(struct text *t, const struct call *call)
{
	put_range(t, call->args);
	put(t, ", ");
	put_bits(t, call->args[2], prot_bits, "PROT_NONE");
	put(t, ", ");
	put_map_flags(t, call->args[3]);
	put(t, ", %d", (int)call->args[4]);
	if (call->file.known && call->file.info.name)
		put(t, "<%s>", call->file.info.name);
	put(t, ", %#lx", call->args[5]);
}

static void put_mremap(struct text *t, const unsigned long *args)
{
	put_range(t, args);
	put(t, ", %lu, ", args[2]);
	put_bits(t, args[3], mremap_bits, "0");
	if (args[3] & 6)
		put(t, ", %#lx", args[4]);
}

static void put_args(struct text *t, const struct call *call)
{
	const unsigned long *args = call->args;

	switch (call->kind) {
	case CALL_MMAP:
		put_mmap(t, call);
		break;
	case CALL_MPROTECT:
	case CALL_PKEY_MPROTECT:
		put_range(t, args);
		put(t, ", ");
		put_bits(t, args[2], prot_bits, "PROT_NONE");
		if (call->kind == CALL_PKEY_MPROTECT)
			put(t, ", %d", (int)args[3]);
		break;
	case CALL_MREMAP:
		put_mremap(t, args);
		break;
	case CALL_BRK:
		put_address(t, args[0]);
		break;
	case CALL_MADVISE:
		put_range(t, args);
		put(t, ", ");
		put_advice(t, args[2]);
		break;
	case CALL_MUNMAP:
	case CALL_MLOCK:
	case CALL_MUNLOCK:
		put_range(t, args);
		break;
	case CALL_MLOCKALL:
		put_bits(t, args[0], mcl_bits, "0");
		break;
	case CALL_MLOCK2:
	case CALL_MSEAL:
	case CALL_MSYNC:
	case CALL_MINCORE:
		put_range(t, args);
		put(t, ", %#lx", args[2]);
		break;
	case CALL_PKEY_ALLOC:
		put(t, "%#lx, %#lx", args[0], args[1]);
		break;
	case CALL_PKEY_FREE:
		put(t, "%d", (int)args[0]);
		break;
	case CALL_REMAP_FILE_PAGES:
		put_range(t, args);
		put(t, ", %#lx, %lu, %#lx", args[2], args[3], args[4]);
		break;
	case CALL_SETRLIMIT:
		put(t, "%lu, %lu", args[0], args[1]);
		break;
	case CALL_FOREIGN:
		put(t, "%#lx, %#lx, %#lx, %#lx, %#lx, %#lx", args[0], args[1], args[2], args[3], args[4],
		    args[5]);
		break;
	default:
		break;
	}
}

/* Addresses in hexadecimal, as they were in the arguments. */
static bool returns_address(enum call_kind kind)
{
	return kind == CALL_MMAP || kind == CALL_MREMAP || kind == CALL_BRK;
}

static void put_result(struct text *t, const struct call *call)
{
	if (!call->returned)
		put(t, "?");
	else if (call->ret < 0 && call->ret >= -4095 && strerrorname_np((int)-call->ret))
		put(t, "-1 %s", strerrorname_np((int)-call->ret));
	else if (returns_address(call->kind))
		put(t, "%#lx", (unsigned long)call->ret);
	else
		put(t, "%ld", call->ret);
}

char *call_format(const struct call *call, char *buf, size_t len)
{
	struct text t = { buf, len };

	if (!len)
		return buf;
	buf[0] = 0;
	put(&t, "%s(", call_name(call->kind));
	put_args(&t, call);
	put(&t, ") = ");
	put_result(&t, call);
	return buf;
}
