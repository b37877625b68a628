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
#include <sys/uio.h>
#include <unistd.h>

#include "diff_parts.h"

/* Entries of /proc/PID/pagemap. */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAP (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define PM_GUARD (1ULL << 58)
#define CHUNK 512UL
#define ROW 32UL
#define LARGE 64UL	/* pages */
#define IN_TURN 16

/* One page, as either side sees it. */
struct page_state {
	bool present;
	bool file;	/* of a file, or shared */
	bool guard;
	bool swapped;
	unsigned long frame;	/* the model's */
};

static struct page_state kernel_state(uint64_t entry)
{
	struct page_state s = { .present = entry & PM_PRESENT, .guard = entry & PM_GUARD };

	s.file = s.present && (entry & PM_FILE);
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
	s.frame = info.frame;
	return s;
}

static const char *state_text(const struct page_state *s)
{
	if (s->guard)
		return "a guard";
	if (s->swapped)
		return "swapped out";
	return !s->present ? "absent" : s->file ? "a page of the file" : "a private page";
}

static bool same_page_state(const struct page_state *a, const struct page_state *b)
{
	return a->present == b->present && a->file == b->file && a->guard == b->guard && a->swapped == b->swapped;
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

/* Pages whose contents are to be compared: as many in a row as the kernel gives at once. */
struct row {
	struct diff *d;
	struct diff_proc *p;
	unsigned long start;
	unsigned long pages;
	const unsigned char *model[ROW];
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
 * The first way is the faster one, the second reads what has no read permission too. What not even that may
 * read is of a process that has died, which is told otherwise.
 */
static bool read_kernel(const struct tracee *t, unsigned long addr, unsigned char *buf, size_t len)
{
	struct iovec here = { .iov_base = buf, .iov_len = len };
	struct iovec there = { .iov_base = (void *)addr, .iov_len = len };

	return process_vm_readv(t->pid, &here, 1, &there, 1, 0) == (ssize_t)len ||
	       pread(t->mem_fd, buf, len, (off_t)addr) == (ssize_t)len;
}

static bool same_row(struct row *row)
{
	unsigned char bytes[ROW * DIFF_PAGE];
	size_t len = row->pages * DIFF_PAGE;
	unsigned long i;

	if (!row->pages)
		return true;
	if (read_kernel(&row->p->tracee, row->start, bytes, len))
		for (i = 0; i < row->pages; i++)
			if (!same_bytes(row->d, row->start + i * DIFF_PAGE, bytes + i * DIFF_PAGE, row->model[i]))
				return false;
	row->pages = 0;
	return true;
}

/* One page more; what is known before it is compared first if it does not continue there. */
static bool add_to_row(struct row *row, unsigned long addr, unsigned long frame)
{
	if (row->pages && (row->pages == ROW || addr != row->start + row->pages * DIFF_PAGE) && !same_row(row))
		return false;
	if (!row->pages)
		row->start = addr;
	row->model[row->pages++] = mm_frame_bytes(row->d->ctx, frame);
	return true;
}

/*
 * All of a small mapping, and of a large one what was touched; the rest of that page by page in turn, each after
 * so many calls.
 */
static bool add_contents(struct row *row, const struct diff_vma *vma, unsigned long addr, unsigned long frame)
{
	const struct diff *d = row->d;

	if (vma->end - vma->start > LARGE * DIFF_PAGE && (d->touched ^ addr) / DIFF_PAGE &&
	    (addr / DIFF_PAGE + d->steps) % IN_TURN)
		return true;
	return add_to_row(row, addr, frame);
}

static bool same_page(struct row *row, const struct diff_vma *vma, unsigned long addr, uint64_t entry)
{
	struct diff *d = row->d;
	struct diff_proc *p = row->p;
	struct page_state k = kernel_state(entry), m = model_state(p->mm, addr);

	if (presence_is_leisure(d, vma, &k, &m)) {
		if (!k.present)
			return true;
		if (!m.present && mm_fault(p->mm, addr, MM_READ) == MM_FAULT_OK)
			m = model_state(p->mm, addr);
		return !m.present || add_contents(row, vma, addr, m.frame);
	}
	if (!same_page_state(&k, &m)) {
		snprintf(d->why, sizeof(d->why), "page 0x%lx is %s in the kernel, %s in the model", addr,
			 state_text(&k), state_text(&m));
		d->bad_byte = addr;
		snprintf(d->bad_page, sizeof(d->bad_page), "%s", state_text(&m));
		return false;
	}
	return !k.present || add_contents(row, vma, addr, m.frame);
}

static bool same_chunk(struct diff *d, struct diff_proc *p, const struct diff_vma *vma, unsigned long start,
		       unsigned long count)
{
	uint64_t entry[CHUNK];
	unsigned long addr = start, end = start + count * DIFF_PAGE, next;
	struct row row = { .d = d, .p = p };

	if (pread(p->tracee.pagemap_fd, entry, count * sizeof(entry[0]),
		  (off_t)(start / DIFF_PAGE * sizeof(entry[0]))) != (ssize_t)(count * sizeof(entry[0]))) {
		snprintf(d->why, sizeof(d->why), "the pages of process %d cannot be read", (int)p->tracee.pid);
		return false;
	}
	while (addr < end) {
		next = mm_next_page(p->mm, addr, end);
		for (; addr < next; addr += DIFF_PAGE)
			if ((entry[(addr - start) / DIFF_PAGE] & (PM_PRESENT | PM_SWAP | PM_GUARD)) &&
			    !same_page(&row, vma, addr, entry[(addr - start) / DIFF_PAGE]))
				return false;
		if (addr < end && !same_page(&row, vma, addr, entry[(addr - start) / DIFF_PAGE]))
			return false;
		addr += DIFF_PAGE;
	}
	return same_row(&row);
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

bool diff_same_pages(struct diff *d, struct diff_proc *p)
{
	const struct diff_map *map = &d->kernel_map;
	unsigned long at, pages;
	int i;

	d->bad_byte = 0;
	d->bad_page[0] = 0;
	for (i = 0; i < map->count; i++) {
		const struct diff_vma *vma = &map->vma[i];

		if (vma->start >= TRACEE_CODE && vma->start < TRACEE_END)
			continue;
		for (at = vma->start; at < vma->end; at += pages * DIFF_PAGE) {
			pages = (vma->end - at) / DIFF_PAGE < CHUNK ? (vma->end - at) / DIFF_PAGE : CHUNK;
			if (!same_chunk(d, p, vma, at, pages))
				return false;
		}
	}
	return true;
}
