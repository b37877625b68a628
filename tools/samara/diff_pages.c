/* SPDX-License-Identifier: MIT */
/*
 * The memory itself: which pages are present on both sides, whose they are, and what they contain.
 *
 * A page of a file on disk is present when the kernel's reading ahead has brought it, so its presence is the
 * kernel's affair: where the kernel has such a page, the model is made to have it too, and its contents are
 * compared. Everything else has to be the same by itself.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diff_parts.h"

/* Entries of /proc/PID/pagemap. */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAP (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define PM_GUARD (1ULL << 58)
#define PM_EXCLUSIVE (1ULL << 56)
#define CHUNK 512UL
#define BATCH 32UL	/* pages */
#define NEAR 32UL	/* pages of a hole that are read rather than passed over */
#define LARGE 64UL	/* pages */
#define IN_TURN 16

/* One page, as either side sees it. */
struct page_state {
	bool present;
	bool file;	/* of a file, or shared */
	bool guard;
	bool swapped;
	bool exclusive;	/* no other entry maps it */
	unsigned long frame;	/* the model's */
};

static struct page_state kernel_state(uint64_t entry)
{
	struct page_state s = { .present = entry & PM_PRESENT, .guard = entry & PM_GUARD };

	s.file = s.present && (entry & PM_FILE);
	s.exclusive = s.present && (entry & PM_EXCLUSIVE);
	s.swapped = !s.guard && (entry & PM_SWAP);
	return s;
}

static struct page_state model_state(struct mm_struct *mm, unsigned long addr)
{
	struct mm_page_info info;
	struct page_state s = { 0 };

	if (mm_page_info(mm, addr, &info))
		return s;
	s.present = info.present;
	s.file = info.present && info.file_or_shared;
	s.guard = info.guard;
	s.swapped = info.swapped;
	s.exclusive = info.present && info.exclusive;
	s.frame = info.frame;
	return s;
}

static const char *state_text(const struct page_state *s)
{
	if (s->guard)
		return "a guard";
	if (s->swapped)
		return "swapped out";
	if (!s->present)
		return "absent";
	if (s->file)
		return s->exclusive ? "a page of the file, mapped once" : "a page of the file";
	return s->exclusive ? "a private page" : "a private page that others have too";
}

static bool same_page_state(const struct page_state *a, const struct page_state *b)
{
	return a->present == b->present && a->file == b->file && a->guard == b->guard && a->swapped == b->swapped &&
	       a->exclusive == b->exclusive;
}

static bool is_on_disk(const struct diff *d, const struct diff_vma *vma)
{
	const struct vm_file_info *disk = &d->file_info[DIFF_DISK];

	return disk->kind == VM_FILE_REGULAR && vma->ino == disk->ino && vma->dev_major == disk->dev_major &&
	       vma->dev_minor == disk->dev_minor;
}

/* What is read ahead is there or not; private copies are nobody's leisure. */
static bool presence_is_leisure(const struct diff *d, const struct diff_vma *vma, const struct page_state *k,
				const struct page_state *m)
{
	return is_on_disk(d, vma) && !k->guard && !m->guard && (!k->present || k->file) && (!m->present || m->file);
}

/*
 * Pages whose contents are to be compared, all at once: each look at the process costs more than a page
 * does.
 */
struct batch {
	struct diff *d;
	struct diff_proc *p;
	unsigned long count;
	unsigned long addr[BATCH];
	const unsigned char *model[BATCH];
};

/* A piece of pagemap that has been read, which may reach over several mappings and the holes between them. */
struct window {
	unsigned long start;
	unsigned long end;
	uint64_t entry[CHUNK];
};

static bool same_bytes(struct diff *d, unsigned long addr, const unsigned char *k, const unsigned char *m)
{
	unsigned long i;

	d->pages++;
	if (!memcmp(k, m, DIFF_PAGE))
		return true;
	for (i = 0; k[i] == m[i]; i++)
		;
	snprintf(d->why, sizeof(d->why), "the byte at 0x%lx is 0x%02x in the kernel, 0x%02x in the model", addr + i,
		 k[i], m[i]);
	d->bad_byte = addr + i;
	snprintf(d->bad_page, sizeof(d->bad_page), "byte 0x%02x", m[i]);
	return false;
}

/*
 * Not with process_vm_readv(): it gives a page that is shared since a fork to the process that it reads
 * from, as if that had written to it (observed), and whether the kernel shares pages as it should would not
 * be seen. What cannot be read is of a process that has died, which is told otherwise.
 */
static bool same_piece(struct batch *b, unsigned long first, unsigned long count)
{
	unsigned char bytes[BATCH * DIFF_PAGE];
	ssize_t n = pread(b->p->tracee.mem_fd, bytes, count * DIFF_PAGE, (off_t)b->addr[first]);
	unsigned long i;

	for (i = 0; i < count && (ssize_t)((i + 1) * DIFF_PAGE) <= n; i++)
		if (!same_bytes(b->d, b->addr[first + i], bytes + i * DIFF_PAGE, b->model[first + i]))
			return false;
	return true;
}

/* Those that lie side by side as one piece. */
static bool same_batch(struct batch *b)
{
	unsigned long first = 0, i;

	for (i = 1; i <= b->count; i++) {
		if (i < b->count && b->addr[i] == b->addr[i - 1] + DIFF_PAGE)
			continue;
		if (!same_piece(b, first, i - first))
			return false;
		first = i;
	}
	b->count = 0;
	return true;
}

/* What is known before it is compared first if there is no room. */
static bool add_to_batch(struct batch *b, unsigned long addr, unsigned long frame)
{
	if (b->count == BATCH && !same_batch(b))
		return false;
	b->addr[b->count] = addr;
	b->model[b->count++] = mm_frame_bytes(b->d->ctx, frame);
	return true;
}

/*
 * All of a small mapping, and of a large one what was touched; the rest of that page by page in turn, each
 * after so many calls.
 */
static bool add_contents(struct batch *b, const struct diff_vma *vma, unsigned long addr, unsigned long frame)
{
	const struct diff *d = b->d;

	if (vma->end - vma->start > LARGE * DIFF_PAGE && (d->touched ^ addr) / DIFF_PAGE &&
	    (addr / DIFF_PAGE + d->steps) % IN_TURN)
		return true;
	return add_to_batch(b, addr, frame);
}

static bool same_page(struct batch *b, const struct diff_vma *vma, unsigned long addr, uint64_t entry)
{
	struct diff *d = b->d;
	struct diff_proc *p = b->p;
	struct page_state k = kernel_state(entry), m = model_state(p->mm, addr);

	if (presence_is_leisure(d, vma, &k, &m)) {
		if (!k.present)
			return true;
		if (!m.present && mm_fault(p->mm, addr, MM_READ) == MM_FAULT_OK)
			m = model_state(p->mm, addr);
		return !m.present || add_contents(b, vma, addr, m.frame);
	}
	if (!same_page_state(&k, &m)) {
		snprintf(d->why, sizeof(d->why), "page 0x%lx is %s in the kernel, %s in the model", addr,
			 state_text(&k), state_text(&m));
		d->bad_byte = addr;
		snprintf(d->bad_page, sizeof(d->bad_page), "%s", state_text(&m));
		return false;
	}
	return !k.present || add_contents(b, vma, addr, m.frame);
}

/* From @start on, as much as mappings that are near each other need. */
static bool read_window(struct batch *b, const struct diff_map *map, int i, unsigned long start, struct window *w)
{
	unsigned long limit = start + CHUNK * DIFF_PAGE;
	size_t bytes;

	w->start = start;
	w->end = map->vma[i].end;
	while (++i < map->count && w->end < limit && map->vma[i].start - w->end <= NEAR * DIFF_PAGE)
		w->end = map->vma[i].end;
	if (w->end > limit)
		w->end = limit;
	bytes = (w->end - start) / DIFF_PAGE * sizeof(w->entry[0]);
	if (pread(b->p->tracee.pagemap_fd, w->entry, bytes, (off_t)(start / DIFF_PAGE * sizeof(w->entry[0]))) ==
	    (ssize_t)bytes)
		return true;
	snprintf(b->d->why, sizeof(b->d->why), "the pages of process %d cannot be read", (int)b->p->tracee.pid);
	return false;
}

/* [@addr, @end) of a mapping, which lies in the window. The model tells where it has something. */
static bool same_range(struct batch *b, const struct diff_vma *vma, const struct window *w, unsigned long addr,
		       unsigned long end)
{
	const uint64_t *entry = w->entry + (addr - w->start) / DIFF_PAGE;
	unsigned long next;

	while (addr < end) {
		next = mm_next_page(b->p->mm, addr, end);
		for (; addr < next; addr += DIFF_PAGE, entry++)
			if ((*entry & (PM_PRESENT | PM_SWAP | PM_GUARD)) && !same_page(b, vma, addr, *entry))
				return false;
		if (addr < end && !same_page(b, vma, addr, *entry))
			return false;
		addr += DIFF_PAGE;
		entry++;
	}
	return true;
}

/* Whether reading ahead decides what is in memory there. */
static bool leisure_at(const struct diff *d, const struct diff_proc *p, unsigned long addr)
{
	int i;

	for (i = 0; i < p->map.count; i++)
		if (p->map.vma[i].start <= addr && addr < p->map.vma[i].end)
			return is_on_disk(d, &p->map.vma[i]);
	return false;
}

unsigned long diff_mincore_sum(const struct diff *d, const struct diff_proc *p, unsigned long addr,
			       const unsigned char *vec, unsigned long pages)
{
	unsigned long i, sum = 0;

	for (i = 0; i < pages; i++)
		if (!leisure_at(d, p, addr + i * DIFF_PAGE))
			sum = sum * 31 + (vec[i] & 1) + 2;
	return sum & LONG_MAX;
}

/* One mapping; what of the window is read already is not read again. */
static bool same_mapping(struct batch *b, const struct diff_map *map, int i, struct window *w)
{
	const struct diff_vma *vma = &map->vma[i];
	unsigned long at = vma->start, end;

	while (at < vma->end) {
		if ((at < w->start || at >= w->end) && !read_window(b, map, i, at, w))
			return false;
		end = vma->end < w->end ? vma->end : w->end;
		if (!same_range(b, vma, w, at, end))
			return false;
		at = end;
	}
	return true;
}

bool diff_same_pages(struct diff *d, struct diff_proc *p)
{
	const struct diff_map *map = &d->kernel_map;
	struct batch batch = { .d = d, .p = p };
	struct window window = { 0 };
	int i;

	d->bad_byte = 0;
	d->bad_page[0] = 0;
	for (i = 0; i < map->count; i++) {
		if (map->vma[i].start >= TRACEE_CODE && map->vma[i].start < TRACEE_END)
			continue;
		if (!same_mapping(&batch, map, i, &window))
			return false;
	}
	return same_batch(&batch);
}
