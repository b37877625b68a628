/* SPDX-License-Identifier: MIT */
/* What both sides show: mappings, their flags, and counters. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff_parts.h"

#define TEXT_SIZE (1 << 20)

/* Maps -------------------------------------------------------------------- */

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10 : 16;
}

/* A number that ends with @end, which is passed over. */
static bool take_number(const char **at, unsigned int base, char end, unsigned long *out)
{
	const char *p = *at;
	unsigned long n = 0;

	for (; digit(*p) < base; p++)
		n = n * base + digit(*p);
	if (p == *at || *p != end)
		return false;
	*out = n;
	*at = p + 1;
	return true;
}

/*
 * One line of a maps file. The gate area lies above the user range: it is no mapping. By hand, since sscanf()
 * looks for the end of all that follows at each line.
 */
static bool parse_line(const char *line, struct diff_vma *vma)
{
	unsigned long offset, dev_major, dev_minor, ino;

	memset(vma, 0, sizeof(*vma));
	if (!take_number(&line, 16, '-', &vma->start) || !take_number(&line, 16, ' ', &vma->end))
		return false;
	if (strnlen(line, 5) < 5 || line[4] != ' ')
		return false;
	memcpy(vma->perms, line, 4);
	line += 5;
	if (!take_number(&line, 16, ' ', &offset) || !take_number(&line, 16, ':', &dev_major) ||
	    !take_number(&line, 16, ' ', &dev_minor))
		return false;
	ino = strtoul(line, NULL, 10);
	vma->offset = offset;
	vma->dev_major = (unsigned int)dev_major;
	vma->dev_minor = (unsigned int)dev_minor;
	vma->ino = ino;
	return vma->start < TRACEE_TASK_SIZE;
}

static unsigned long parse_flags(const char *line)
{
	unsigned long flags = 0;

	for (; line[0] && line[1] && line[0] != '\n'; line += line[2] == ' ' ? 3 : 2)
		flags |= map_flag(line);
	return flags;
}

/*
 * What smaps says of a mapping whose line begins at @line: VmFlags, which come last, and the key just
 * before them. Returns the last line, or NULL when there is none.
 */
static const char *take_flags(const char *line, const char *end, struct diff_vma *vma)
{
	static const char key[] = "\nVmFlags: ", pkey[] = "\nProtectionKey:";
	const char *at = memmem(line, (size_t)(end - line), key, sizeof(key) - 1), *before;

	if (!at)
		return NULL;
	before = at - line > 64 ? at - 64 : line;
	before = memmem(before, (size_t)(at - before), pkey, sizeof(pkey) - 1);
	if (before)
		vma->flags |= strtoul(before + sizeof(pkey) - 1, NULL, 10) << MM_VM_PKEY_SHIFT;
	vma->flags |= parse_flags(at + sizeof(key) - 1);
	return at + 1;
}

/* The gate area comes last, and ends it. */
static void parse_map(const char *text, const char *end, bool flags, struct diff_map *map)
{
	const char *line = text;

	map->count = 0;
	while (line && line < end && map->count < DIFF_MAX_VMAS && parse_line(line, &map->vma[map->count])) {
		map->count++;
		if (flags)
			line = take_flags(line, end, &map->vma[map->count - 1]);
		line = line ? memchr(line, '\n', (size_t)(end - line)) : NULL;
		line = line ? line + 1 : NULL;
	}
}

/* Reads maps, or smaps when @flags. */
int diff_read_kernel_map(struct tracee *t, bool flags, struct diff_map *map)
{
	char *text = malloc(TEXT_SIZE);
	long n = text ? tracee_read(flags ? t->smaps_fd : t->maps_fd, text, TEXT_SIZE) : -1;

	map->count = 0;
	if (n > 0)
		parse_map(text, text + n, flags, map);
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
	vma->flags = map_print_flags(NULL, f);
	return 0;
}

void diff_read_model_map(struct mm_struct *mm, struct diff_map *map)
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

bool diff_same_maps(struct diff *d, bool flags)
{
	const struct diff_map *k = &d->kernel_map, *m = &d->model_map;
	int i;

	for (i = 0; i < k->count && i < m->count; i++) {
		if (same_vma(&k->vma[i], &m->vma[i], flags))
			continue;
		snprintf(d->why, sizeof(d->why), "mapping %d differs%s: kernel %lx-%lx %s, model %lx-%lx %s", i,
			 same_vma(&k->vma[i], &m->vma[i], false) ? " in its flags" : "", k->vma[i].start,
			 k->vma[i].end, k->vma[i].perms, m->vma[i].start, m->vma[i].end, m->vma[i].perms);
		return false;
	}
	if (k->count != m->count)
		snprintf(d->why, sizeof(d->why), "%d mappings in the kernel, %d in the model", k->count, m->count);
	d->mappings += (unsigned long)k->count;
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

static void fill_counters(struct diff_counters *out, const struct mm_counters *c)
{
	out->value[DIFF_VMSIZE] = c->total_vm;
	out->value[DIFF_VMLCK] = c->locked_vm;
	out->value[DIFF_VMDATA] = c->data_vm;
	out->value[DIFF_VMSTK] = c->stack_vm;
	out->value[DIFF_VMEXE] = c->exec_vm;
}

const char *const diff_counter_names[DIFF_NR_COUNTERS] = { "VmSize", "VmLck", "VmData", "VmStk",
							    "VmExe and VmLib" };

/* VmExe is the executable pages of the program's own range, VmLib the others. */
static bool read_kernel_counters(struct tracee *t, struct diff_counters *out)
{
	char text[4096];

	if (tracee_read(t->status_fd, text, sizeof(text)) < 0 || !strstr(text, "\nVmSize:"))
		return false;
	out->value[DIFF_VMSIZE] = status_pages(text, "\nVmSize:");
	out->value[DIFF_VMLCK] = status_pages(text, "\nVmLck:");
	out->value[DIFF_VMDATA] = status_pages(text, "\nVmData:");
	out->value[DIFF_VMSTK] = status_pages(text, "\nVmStk:");
	out->value[DIFF_VMEXE] = status_pages(text, "\nVmExe:") + status_pages(text, "\nVmLib:");
	return true;
}

bool diff_same_counters(struct diff *d, struct diff_proc *p)
{
	struct mm_counters c;
	int i;

	mm_read_counters(p->mm, &c);
	fill_counters(&d->model_counters, &c);
	if (!read_kernel_counters(&p->tracee, &d->kernel_counters)) {
		snprintf(d->why, sizeof(d->why), "/proc/%d/status cannot be read", (int)p->tracee.pid);
		return false;
	}
	for (i = 0; i < DIFF_NR_COUNTERS; i++)
		if (!same_number(d, diff_counter_names[i], d->kernel_counters.value[i],
				 d->model_counters.value[i]))
			return false;
	return true;
}

/* Printing ---------------------------------------------------------------- */

static void print_map(FILE *out, const char *who, const struct diff_map *map)
{
	int i;

	fprintf(out, "%s:\n", who);
	if (!map->count)
		fprintf(out, "  no mapping\n");
	for (i = 0; i < map->count; i++) {
		const struct diff_vma *v = &map->vma[i];

		fprintf(out, "  %lx-%lx %s %08" PRIx64 " %02x:%02x %" PRIu64, v->start, v->end, v->perms,
			v->offset, v->dev_major, v->dev_minor, v->ino);
		map_print_flags(out, v->flags);
		fputc('\n', out);
	}
}

void diff_print_maps(FILE *out, const struct diff *d)
{
	print_map(out, "kernel", &d->kernel_map);
	print_map(out, "model", &d->model_map);
}
