/* SPDX-License-Identifier: MIT */
/*
 * The kernel's map becomes the model's: at exec, after a call that the model
 * does not have, and after a divergence, so that one does not lead to others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/personality.h>

#include "mirror_parts.h"

/* Files by device and inode ----------------------------------------------- */

struct known_file {
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	struct vm_file *file;	/* a reference of ours */
	struct known_file *next;
};

#define FILE_BUCKETS 64

struct file_index {
	struct known_file *buckets[FILE_BUCKETS];
};

static struct known_file **file_bucket(struct file_index *index, uint64_t ino)
{
	return &index->buckets[ino % FILE_BUCKETS];
}

/* Takes over the caller's reference, on failure too. */
static int file_remember(struct file_index *index, struct vm_file *file, uint32_t major, uint32_t minor,
			 uint64_t ino)
{
	struct known_file **bucket = file_bucket(index, ino);
	struct known_file *known = malloc(sizeof(*known));

	if (!known) {
		vm_file_put(file);
		return -ENOMEM;
	}
	*known = (struct known_file){ ino, major, minor, file, *bucket };
	*bucket = known;
	return 0;
}

static struct vm_file *file_lookup(struct file_index *index, uint32_t major, uint32_t minor, uint64_t ino)
{
	struct known_file *known = *file_bucket(index, ino);

	while (known && (known->ino != ino || known->dev_major != major || known->dev_minor != minor))
		known = known->next;
	return known ? known->file : NULL;
}

static void file_index_clear(struct file_index *index)
{
	for (int i = 0; i < FILE_BUCKETS; i++) {
		struct known_file *known = index->buckets[i], *next;

		for (; known; known = next) {
			next = known->next;
			vm_file_put(known->file);
			free(known);
		}
	}
}

/* The files that the model maps already: a mapping taken over may merge with what is mapped of them. */
static int file_index_fill(struct file_index *index, const struct view *view)
{
	for (size_t i = 0; i < view->nr; i++) {
		const struct mm_vma_info *vma = &view->vmas[i];

		if (!vma->file || file_lookup(index, vma->dev_major, vma->dev_minor, vma->ino))
			continue;
		vm_file_get(vma->file);
		if (file_remember(index, vma->file, vma->dev_major, vma->dev_minor, vma->ino))
			return -ENOMEM;
	}
	return 0;
}

/* Lines ------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static bool line_is_anonymous(const struct map_line *line)
{
	return !line->ino && !line->dev_major && !line->dev_minor;
}

/* Flags that maps alone does not tell, as a mapping of this kind usually has them. */
static unsigned long guess_flags(const struct map_line *line)
{
	unsigned long flags = MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_MAYEXEC;
	bool shared = line->perms[3] == 's';

	flags |= line->perms[0] == 'r' ? MM_VM_READ : 0;
	flags |= line->perms[1] == 'w' ? MM_VM_WRITE : 0;
	flags |= line->perms[2] == 'x' ? MM_VM_EXEC : 0;
	if (shared)
		flags |= MM_VM_SHARED | MM_VM_MAYSHARE;
	if (!shared && line->perms[1] == 'w')
		flags |= MM_VM_ACCOUNT;
	if (!strcmp(line->name, "[stack]"))
		flags |= MM_VM_GROWSDOWN;
	if (starts_with(line->name, "[vvar"))
		flags |= MM_VM_PFNMAP | MM_VM_IO | MM_VM_DONTEXPAND | MM_VM_DONTDUMP;
	if (starts_with(line->name, "[vdso]"))
		flags |= MM_VM_DONTEXPAND;
	return flags;
}

static unsigned long line_flags(const struct map_line *line)
{
	return line->vm_flags ? line->vm_flags : guess_flags(line);
}

static bool line_is_special(const struct map_line *line, unsigned long flags)
{
	return starts_with(line->name, "[vdso]") || starts_with(line->name, "[vvar") ||
	       (flags & (MM_VM_IO | MM_VM_PFNMAP | MM_VM_MIXEDMAP | MM_VM_DONTEXPAND));
}

static enum vm_file_kind line_file_kind(const struct map_line *line, unsigned long flags)
{
	if (flags & (MM_VM_IO | MM_VM_PFNMAP | MM_VM_MIXEDMAP))
		return VM_FILE_DEVICE;
	if (!strcmp(line->name, "/dev/zero"))
		return VM_FILE_ZERO;
	if (starts_with(line->name, "anon_inode:") || starts_with(line->name, "/anon_hugepage"))
		return VM_FILE_DEVICE;
	/* The kernel's own, unnamed tmpfs: shared anonymous memory, memfd, System V. */
	if (!line->dev_major && line->dev_minor == 1)
		return VM_FILE_SHMEM;
	return VM_FILE_REGULAR;
}

/* One file description for all lines of one inode: only exec's own are not told one by one. */
static int line_file(struct mirror *m, struct file_index *index, const struct map_line *line,
		     unsigned long flags, struct vm_file **out)
{
	struct vm_file_info info = {
		.size = sizeof(info),
		.ino = line->ino,
		.dev_major = line->dev_major,
		.dev_minor = line->dev_minor,
		.kind = line_file_kind(line, flags),
		.readable = true,
		.writable = true,
		.name = *line->name ? line->name : NULL,
	};
	int err;

	*out = file_lookup(index, line->dev_major, line->dev_minor, line->ino);
	if (*out)
		return 0;
	err = vm_file_create(m->ctx, &info, out);
	return err ? err : file_remember(index, *out, line->dev_major, line->dev_minor, line->ino);
}

/* A write before this moment shows as anonymous pages; where maps alone was read, a stack has some. */
static int line_anon(struct space *s, const struct map_line *line, unsigned long flags)
{
	bool stack = !line->vm_flags && (flags & MM_VM_GROWSDOWN);

	if (line->perms[3] == 's' || (!line->has_anonymous && !stack))
		return 0;
	return mm_adopt_anon(s->mm, line->start) == -ENOMEM ? -ENOMEM : 0;
}

/* What was written before stays so: a mapping that is read-only now need not have been. */
static int line_written(struct mirror *m, struct space *s, const struct map_line *line)
{
	if (line->perms[1] != 'w' && !line->has_anonymous && !(line->vm_flags & MM_VM_ACCOUNT))
		return 0;
	return written_set(m, s, line->start, line->end);
}

static int line_adopt(struct mirror *m, struct space *s, struct file_index *index,
		      const struct map_line *line)
{
	unsigned long flags = line_flags(line);
	struct mm_adopt_args args = {
		.start = line->start,
		.end = line->end,
		.flags = flags,
		.offset = line->offset,
		.special = line_is_special(line, flags),
	};
	int err;

	if (!line_is_anonymous(line)) {
		err = line_file(m, index, line, flags, &args.file);
		if (err)
			return err;
	} else if (*line->name && strcmp(line->name, "[heap]") && strcmp(line->name, "[stack]")) {
		args.name = line->name;
	}
	err = mm_adopt(s->mm, &args);
	if (err)
		return err;
	err = line_anon(s, line, flags);
	return err ? err : line_written(m, s, line);
}

/* Taking over ------------------------------------------------------------- */

/* Nothing of the model may lie where the kernel has nothing. */
static int clear_gap(struct space *s, unsigned long start, unsigned long end, unsigned long *changed)
{
	struct mm_vma_info vma;
	int err;

	pf_assert(end <= USER_TOP);
	if (start >= end || mm_next_vma(s->mm, start, &vma) || vma.start >= end)
		return 0;
	(*changed)++;
	err = mm_munmap(s->mm, start, end - start);
	return err == -ENOMEM ? err : 0;
}

static int clear_gaps(struct space *s, const struct map *map, unsigned long *changed)
{
	unsigned long at = 0;
	int err;

	for (size_t i = 0; i < map->nr; i++) {
		err = clear_gap(s, at, map->lines[i].start, changed);
		if (err)
			return err;
		at = map->lines[i].end;
	}
	return clear_gap(s, at, USER_TOP, changed);
}

static bool flags_match(const struct mm_vma_info *vma, const struct map_line *line)
{
	/* What smaps does not tell is not compared. */
	return !line->vm_flags || !((vma->flags ^ line->vm_flags) & ~(unsigned long)MM_VM_SYNC);
}

static int adopt_lines(struct mirror *m, struct space *s, struct file_index *index, const struct map *map,
		       unsigned long *changed)
{
	const struct view *view = &m->view;
	size_t at = 0;
	int err;

	for (size_t i = 0; i < map->nr; i++) {
		const struct map_line *line = &map->lines[i];

		while (at < view->nr && view->vmas[at].start < line->start)
			at++;
		/* The view is of before the first change; what equals its line was not changed since. */
		if (at < view->nr && vma_equals_line(&view->vmas[at], line) &&
		    flags_match(&view->vmas[at], line))
			continue;
		err = line_adopt(m, s, index, line);
		if (err)
			return err;
		(*changed)++;
	}
	return 0;
}

int space_take_over(struct mirror *m, struct space *s, const struct map *map, unsigned long *changed)
{
	struct file_index index = { 0 };
	unsigned long count = 0;
	int err;

	err = view_fill(&m->view, s->mm);
	if (!err)
		err = file_index_fill(&index, &m->view);
	if (!err)
		err = adopt_lines(m, s, &index, map, &count);
	if (!err)
		err = clear_gaps(s, map, &count);
	file_index_clear(&index);
	if (changed)
		*changed = count;
	s->stale = false;
	note_peak(m, s);
	return err;
}

int space_enter_line(struct mirror *m, struct space *s, const struct map_line *line)
{
	struct file_index index = { 0 };
	int err = view_fill(&m->view, s->mm);

	if (!err)
		err = file_index_fill(&index, &m->view);
	if (!err)
		err = line_adopt(m, s, &index, line);
	file_index_clear(&index);
	return err;
}

/* Exec -------------------------------------------------------------------- */

static const struct map_line *find_named(const struct map *map, const char *name)
{
	for (size_t i = map->nr; i-- > 0;)
		if (!strcmp(map->lines[i].name, name))
			return &map->lines[i];
	return NULL;
}

/*
 * Where the kernel puts a program that can lie anywhere: from two thirds of the user range on, at most 2^40
 * bytes higher. Loader and vdso are put where mmap would.
 */
#define PROGRAM_BASE (USER_TOP / 3 * 2 & ~(PAGE - 1))
#define PROGRAM_SPAN (1UL << 40)

static bool may_be_program(const struct map_line *line)
{
	return line->start >= PROGRAM_BASE && line->start - PROGRAM_BASE < PROGRAM_SPAN;
}

/*
 * The search for free addresses goes down from the end of what lies highest below the stack, or up from the
 * start of what lies lowest above a third of the range: in both cases what was mapped first, by exec itself.
 */
static unsigned long find_mmap_base(const struct map *map, const struct map_line *stack, bool upward)
{
	size_t n = stack ? (size_t)(stack - map->lines) : map->nr;

	for (size_t i = 0; i < n; i++) {
		const struct map_line *line = &map->lines[upward ? i : n - 1 - i];

		if (!may_be_program(line) && (!upward || line->start >= USER_TOP / 3))
			return upward ? line->start : line->end;
	}
	return n && !upward ? map->lines[n - 1].end : 0;
}

static void fill_options(struct mm_options *opt, const struct map *map, const struct map_line *stack,
			 const struct mirror_exec_info *info, bool legacy_machine)
{
	*opt = (struct mm_options){ .size = sizeof(*opt) };
	opt->legacy_layout = legacy_machine || (info && (info->personality & ADDR_COMPAT_LAYOUT));
	opt->mmap_base = find_mmap_base(map, stack, opt->legacy_layout);
	if (!info)
		return;
	opt->cap_ipc_lock = info->cap_ipc_lock;
	opt->read_implies_exec = info->personality & READ_IMPLIES_EXEC;
	opt->limits_set = info->limits_known;
	memcpy(opt->rlimit, info->rlimit, sizeof(opt->rlimit));
}

static void learn_heap(struct space *s, const struct map *map, const struct mirror_exec_info *info)
{
	const struct map_line *heap = find_named(map, "[heap]");

	if (info && info->brk_known) {
		s->heap_start = info->start_brk;
		s->heap_end = info->brk;
	} else if (heap) {
		s->heap_start = heap->start;
		s->heap_end = heap->end;
	} else {
		return;
	}
	s->heap_known = !mm_adopt_brk(s->mm, s->heap_start, s->heap_end);
}

int space_create(struct mirror *m, const struct map *map, const struct mirror_exec_info *info,
		 struct space **out)
{
	const struct map_line *stack = find_named(map, "[stack]");
	struct space *s = calloc(1, sizeof(*s));
	struct mm_counters counters;
	struct mm_options opt;
	int err;

	if (!s)
		return -ENOMEM;
	mt_init(&s->written);
	fill_options(&opt, map, stack, info, m->legacy_layout);
	err = mm_create(m->ctx, &opt, &s->mm);
	if (err)
		goto free_space;
	s->stack_end = stack ? stack->end : 0;
	s->layout_known = map->nr > 0;
	err = space_take_over(m, s, map, NULL);
	if (err)
		goto put_mm;
	learn_heap(s, map, info);
	mm_read_counters(s->mm, &counters);
	s->splits0 = counters.splits;
	s->merges0 = counters.merges;
	s->users = 1;
	pf_assert(!s->heap_known || s->heap_start <= s->heap_end);
	*out = s;
	return 0;

put_mm:
	mtree_destroy(&s->written);
	mm_put(s->mm);
free_space:
	free(s);
	return err;
}
