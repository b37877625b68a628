/* SPDX-License-Identifier: MIT */
/*
 * The page cache: pages of files, how faults map them, and how a file's end moves.
 *
 * A page in the cache holds a reference. It is filled before it is entered, so whoever finds it finds
 * it read. Who makes an entry of it holds its lock from before he looked at the file's size until the
 * entry is made;
 * truncate moves the size first and takes each page's lock last:
 *
 *   fault      lock page    page still in place, below the end?   entry       unlock
 *   truncate                size    entries go         lock page: entries that came meanwhile go, page leaves
 */
#include "mmu/access.h"
#include "mmu/fault.h"
#include "mmu/pageout.h"
#include "mmu/swap.h"

/* Looking ----------------------------------------------------------------------- */

/* The entry at @index: a page comes with a reference. */
static void *find_get_entry(struct address_space *mapping, pgoff_t index)
{
	struct frame_pool *pool = mapping->ctx->frames;
	void *entry;

	pf_rcu_read_lock();
	for (;;) {
		entry = i_pages_load(mapping, index);
		if (!entry || xa_is_value(entry))
			break;
		if (!try_get_page(entry))
			continue;
		/* The frame may have become another's between: it is the one if it is still in its place. */
		if (i_pages_load(mapping, index) == entry)
			break;
		put_page(pool, entry);
	}
	pf_rcu_read_unlock();
	return entry;
}

struct page *filemap_peek_page(struct address_space *mapping, pgoff_t index)
{
	void *entry = find_get_entry(mapping, index);

	return xa_is_value(entry) ? NULL : entry;
}

/* Reading ----------------------------------------------------------------------- */

/* What lies behind the end of the file, in its last page, reads as zeroes. */
static void zero_tail(struct address_space *mapping, pgoff_t index, unsigned char *bytes)
{
	uint64_t size = atomic_load(&mapping->i_size);

	if (size != I_SIZE_ENDLESS && size >> PAGE_SHIFT == index)
		memset(bytes + (size & ~PAGE_MASK), 0, PAGE_SIZE - (size & ~PAGE_MASK));
}

static int fill_page(struct address_space *mapping, pgoff_t index, struct page *page, unsigned long slot)
{
	unsigned char *bytes = page_address(mapping->ctx->frames, page);

	if (slot && swap_slot_read(swap_area_of(mapping->ctx), slot, bytes))
		return -EIO;
	if (!slot && mapping->read_page && mapping->read_page(mapping->read_page_arg, index, bytes))
		return -EIO;
	zero_tail(mapping, index, bytes);
	return 0;
}

/*
 * Enter @page, unless the file has changed since @changes, or it was entered by somebody else: -EAGAIN.
 * Locked, so that page-out, which finds frames by number, takes it for a page of the file only if it has
 * become one.
 */
static int enter_page(struct address_space *mapping, pgoff_t index, struct page *page, void *old,
		      unsigned long changes)
{
	int err = -EAGAIN;

	lock_page(page);
	page->mapping = mapping;
	page->index = index;
	page_set(page, PG_UPTODATE | (mapping->shmem ? PG_SHMEM : 0) | (old ? PG_DIRTY : 0));
	pf_mutex_lock(&mapping->i_lock);
	if (changes == mapping->changes) {
		if (!old)
			err = i_pages_insert(mapping, index, page);
		else if (i_pages_replace(mapping, index, old, page))
			err = 0;
	}
	pf_mutex_unlock(&mapping->i_lock);
	if (err) {
		page_clear(page, PG_UPTODATE);
		page->mapping = NULL;
	}
	unlock_page(page);
	return err == -EEXIST ? -EAGAIN : err;
}

static unsigned long changes_so_far(struct address_space *mapping)
{
	unsigned long changes;

	pf_mutex_lock(&mapping->i_lock);
	changes = mapping->changes;
	pf_mutex_unlock(&mapping->i_lock);
	return changes;
}

int filemap_add_page(struct address_space *mapping, pgoff_t index, struct page *page)
{
	return enter_page(mapping, index, page, NULL, changes_so_far(mapping));
}

/* Hold the slot that the index names, so that it means the same page until it is read. */
static bool hold_slot(struct address_space *mapping, pgoff_t index, void *old)
{
	unsigned long slot = xa_to_value(old);
	struct swap_area *area;
	bool held, same;

	/* The area may have gone since the index was read, and another one have come. */
	pf_rcu_read_lock();
	area = swap_area_of(mapping->ctx);
	held = area && slot <= swap_area_size(area) && swap_slot_try_dup(area, slot);
	same = held && i_pages_load(mapping, index) == old;
	pf_rcu_read_unlock();
	if (held && !same)
		swap_slot_free(area, slot);
	return same;
}

/* Read the page that is not at hand; @old is NULL or says in which swap slot it is. -EAGAIN: look again. */
static int read_page(struct address_space *mapping, pgoff_t index, void *old)
{
	struct frame_pool *pool = mapping->ctx->frames;
	unsigned long changes = changes_so_far(mapping), slot = old ? xa_to_value(old) : 0;
	struct page *page;
	int err;

	if (index >= i_size_pages(mapping))
		return -ERANGE;
	if (slot && !hold_slot(mapping, index, old))
		return -EAGAIN;
	page = alloc_page(pool, true);
	err = page ? fill_page(mapping, index, page, slot) : -ENOMEM;
	if (!err)
		err = enter_page(mapping, index, page, old, changes);
	if (slot)
		swap_slot_free(swap_area_of(mapping->ctx), slot);
	if (err && page)
		put_page(pool, page);
	else if (slot && !err)
		swap_slot_free(swap_area_of(mapping->ctx), slot);	/* the index's */
	return err;
}

struct page *filemap_get_page(struct address_space *mapping, pgoff_t index, int *err)
{
	void *entry;

	do {
		entry = find_get_entry(mapping, index);
		/* That somebody else was quicker to read it is no error. */
		*err = 0;
		if (entry && !xa_is_value(entry))
			return entry;
		*err = read_page(mapping, index, entry);
	} while (!*err || *err == -EAGAIN);
	return NULL;
}

struct page *filemap_lock_page(struct address_space *mapping, pgoff_t index, int *err)
{
	struct frame_pool *pool = mapping->ctx->frames;
	struct page *page;

	while ((page = filemap_get_page(mapping, index, err)) != NULL) {
		pf_assert(!*err);
		lock_page(page);
		if (page->mapping == mapping && page->index == index) {
			if (index < i_size_pages(mapping))
				return page;
			*err = -ERANGE;
		}
		unlock_page(page);
		put_page(pool, page);
		if (*err)
			return NULL;
	}
	return NULL;
}

/* Reading ahead ----------------------------------------------------------------- */

/* Observed, on a device whose read_ahead_kb is 8192: of a longer range the beginning is read. */
#define READ_AHEAD_PAGES 2048UL

/* It comes into memory if it can; nobody waits for it, so nobody is told if it cannot. */
static bool read_one_ahead(struct address_space *mapping, pgoff_t index)
{
	struct page *page;
	int err;

	page = filemap_get_page(mapping, index, &err);
	if (page)
		put_page(mapping->ctx->frames, page);
	return page;
}

/* Memory with a name has what was written to: what of that is in the swap area comes back. */
static void read_swap_ahead(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	pgoff_t index = first;
	bool more = true;
	void *entry;

	do {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, last);
		pf_rcu_read_unlock();
		if (xa_is_value(entry))
			more = read_one_ahead(mapping, index);
	} while (entry && more && index++ < last);
}

void willneed_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct vm_file *file = vma->vm_file;
	pgoff_t first, last;

	mmap_assert_locked(vma->vm_mm);
	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	if (!vma->vm_mm->pt || !file)
		return;
	first = vma_pgoff_at(vma, start);
	last = first + ((end - start) >> PAGE_SHIFT) - 1;
	if (last < first)
		return;
	if (file->mapping->shmem) {
		read_swap_ahead(file->mapping, first, last);
	} else if (file->info.kind == VM_FILE_REGULAR) {
		if (last - first >= READ_AHEAD_PAGES)
			last = first + READ_AHEAD_PAGES - 1;
		while (first <= last && read_one_ahead(file->mapping, first))
			first++;
	}
}

/* Mapping ----------------------------------------------------------------------- */

static enum mm_fault fault_of(int err)
{
	pf_assert(err == -ENOMEM || err == -EIO || err == -ERANGE);
	return err == -ENOMEM ? MM_FAULT_OOM : MM_FAULT_BUS;
}

/* The entry at @slot is none and locked, and so is @page, whose reference goes with the entry. */
static void map_file_page(const struct fault *f, struct pt_slot *slot, struct page *page, bool main)
{
	bool write = main && fault_is_write(f);
	vm_flags_t prot = write ? f->vma->vm_flags : prot_readonly(f->vma);
	pte_t pte = pte_mk(f->format, 0, page_to_pfn(f->pool, page), prot);

	if (main)
		pte = pte_mkyoung(f->format, pte);
	if (write) {
		pte = pte_mksoft_dirty(f->format, pte_mkdirty(f->format, pte));
		page_set(page, PG_DIRTY);
	}
	pf_assert(page_has(page, PG_LOCKED) && page_has(page, PG_UPTODATE) && !page_has(page, PG_ANON));
	page_add_file_rmap(page);
	add_mm_counter(f->pt, page_counter(page), 1);
	set_pte(slot, pte);
}

/*
 * The addresses whose pages a read maps with the one it needs, in the VMA and in one table. Observed: they
 * begin at a multiple of their number, or with the VMA if that begins later, and are then as many all the
 * same.
 */
static void around_window(const struct fault *f, unsigned long *start, unsigned long *end)
{
	unsigned long bytes = f->vma->vm_mm->ctx->opt.fault_around << PAGE_SHIFT;

	*start = f->addr & -bytes;
	if (*start < f->vma->vm_start)
		*start = f->vma->vm_start;
	*end = *start + bytes;
	if (*end > f->vma->vm_end || *end < *start)
		*end = f->vma->vm_end;
	if (*end - 1 > (f->addr | (PMD_SIZE - 1)))
		*end = (f->addr | (PMD_SIZE - 1)) + 1;
}

/* Of a file whose pages all count as read, those around are read now: it may fail, and nobody minds. */
static void read_around(const struct fault *f, struct address_space *mapping)
{
	unsigned long start, end;
	struct page *page;
	int err;

	if (!mapping->cached || fault_is_write(f))
		return;
	around_window(f, &start, &end);
	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE) {
		page = filemap_get_page(mapping, vma_pgoff_at(f->vma, addr), &err);
		if (page)
			put_page(f->pool, page);
	}
}

/* Map the page at @addr too, if it is at hand and nothing is there. @slot is its entry, locked. */
static void map_one_around(const struct fault *f, struct pt_slot *slot, struct address_space *mapping,
			   unsigned long addr)
{
	pgoff_t index = vma_pgoff_at(f->vma, addr);
	struct page *page;

	if (!pte_none(pte_load(slot->ptep)))
		return;
	page = filemap_peek_page(mapping, index);
	if (!page)
		return;
	if (trylock_page(page)) {
		if (page->mapping == mapping && page->index == index && index < i_size_pages(mapping)) {
			map_file_page(f, slot, page, false);
			unlock_page(page);
			return;
		}
		unlock_page(page);
	}
	put_page(f->pool, page);
}

/* @slot is the entry of the fault itself, locked. */
static void map_around(const struct fault *f, const struct pt_slot *slot, struct address_space *mapping)
{
	struct pt_slot other = *slot;
	unsigned long start, end;

	around_window(f, &start, &end);
	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE) {
		if (addr == f->addr)
			continue;
		other.ptep = slot->ptep + (long)(addr - f->addr) / (long)PAGE_SIZE;
		map_one_around(f, &other, mapping, addr);
	}
}

/* Observed: what is at hand around is mapped although the page itself lies beyond the end. */
static void map_around_nothing(const struct fault *f, struct address_space *mapping)
{
	struct pt_slot slot;

	if (fault_is_write(f) || pte_alloc_lock(f->pt, f->addr, 0, &slot))
		return;
	if (!is_unstable(f))
		map_around(f, &slot, mapping);
	pte_unlock(&slot);
}

/* The file's own page. */
static enum mm_fault map_shared_page(const struct fault *f, struct address_space *mapping)
{
	enum mm_fault result = MM_FAULT_OK;
	struct pt_slot slot;
	struct page *page;
	int err;

	read_around(f, mapping);
	page = filemap_lock_page(mapping, vma_pgoff_at(f->vma, f->addr), &err);
	if (!page && err == -ERANGE)
		map_around_nothing(f, mapping);
	if (!page)
		return fault_of(err);
	if (pte_alloc_lock(f->pt, f->addr, 0, &slot)) {
		result = MM_FAULT_OOM;
		goto unlock;
	}
	if (!pte_none(pte_load(slot.ptep))) {
		result = FAULT_AGAIN;
	} else if (is_unstable(f)) {
		result = MM_FAULT_BUS;
	} else {
		get_page(page);
		map_file_page(f, &slot, page, true);
		if (!fault_is_write(f))
			map_around(f, &slot, mapping);
	}
	pte_unlock(&slot);
unlock:
	unlock_page(page);
	put_page(f->pool, page);
	return result;
}

/* A private copy, made while the file's page is locked: a truncate that is under way finds it afterwards. */
static enum mm_fault map_private_copy(const struct fault *f, struct address_space *mapping)
{
	struct page *new = alloc_page(f->pool, false), *page;
	enum mm_fault result = MM_FAULT_OK;
	struct pt_slot slot;
	int err;

	if (!new)
		return MM_FAULT_OOM;
	page = filemap_lock_page(mapping, vma_pgoff_at(f->vma, f->addr), &err);
	if (!page) {
		put_page(f->pool, new);
		return fault_of(err);
	}
	memcpy(page_address(f->pool, new), page_address(f->pool, page), PAGE_SIZE);
	if (pte_alloc_lock(f->pt, f->addr, 0, &slot)) {
		result = MM_FAULT_OOM;
		goto unlock;
	}
	if (!pte_none(pte_load(slot.ptep)))
		result = FAULT_AGAIN;
	else if (is_unstable(f))
		result = MM_FAULT_BUS;
	else
		fault_map_anon(f, &slot, new);
	pte_unlock(&slot);
unlock:
	unlock_page(page);
	put_page(f->pool, page);
	if (result != MM_FAULT_OK)
		put_page(f->pool, new);
	return result;
}

enum mm_fault fault_file(const struct fault *f)
{
	struct vm_file *file = f->vma->vm_file;

	if (!file)
		return MM_FAULT_BUS;
	if (fault_is_write(f) && !(f->vma->vm_flags & VM_SHARED))
		return map_private_copy(f, file->mapping);
	return map_shared_page(f, file->mapping);
}

/* The end of a file, and of pages ------------------------------------------------ */

/*
 * Take @page, of which the caller has a reference, out of the cache, and the entries for it that came
 * late.
 */
static void remove_page(struct address_space *mapping, struct page *page)
{
	struct frame_pool *pool = mapping->ctx->frames;
	pgoff_t index = page->index;
	bool removed;

	pf_assert(page_refcount(page) > 0 && page_has(page, PG_UPTODATE));
	lock_page(page);
	while (page->mapping == mapping && page_mapcount(page) > 0) {
		unlock_page(page);
		unmap_mapping_range(mapping, index, index,
			    &(struct zap_details){ .keep_private = true, .keep_guards = true });
		lock_page(page);
	}
	removed = page->mapping == mapping && i_pages_replace(mapping, index, page, NULL);
	if (removed)
		page->mapping = NULL;
	unlock_page(page);
	if (removed)
		put_page(pool, page);	/* the cache's */
}

void filemap_remove(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	struct frame_pool *pool = mapping->ctx->frames;
	pgoff_t index = first;
	void *entry;

	for (;;) {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, last);
		pf_rcu_read_unlock();
		if (!entry)
			return;
		if (xa_is_value(entry)) {
			if (i_pages_replace(mapping, index, entry, NULL))
				swap_slot_free(swap_area_of(mapping->ctx), xa_to_value(entry));
			continue;
		}
		entry = filemap_peek_page(mapping, index);
		if (!entry)
			continue;
		remove_page(mapping, entry);
		put_page(pool, entry);
		pf_cond_resched(mapping->ctx->pf);
	}
}

/* One page of @mapping, of which the caller has a reference. */
static bool write_one(struct address_space *mapping, struct page *page)
{
	bool written = true;

	lock_page(page);
	if (page->mapping == mapping)
		written = writeback_page(mapping, page);
	unlock_page(page);
	return written;
}

int filemap_write_range(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	pgoff_t index = first;
	struct page *page;
	void *entry;
	int err = 0;

	pf_assert(first <= last);
	if (mapping->shmem || !mapping->write_page)
		return 0;
	do {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, last);
		pf_rcu_read_unlock();
		page = entry ? filemap_peek_page(mapping, index) : NULL;
		if (!page)
			continue;
		if (!write_one(mapping, page))
			err = -EIO;
		put_page(mapping->ctx->frames, page);
	} while (entry && index++ < last);
	return err;
}

/* The page at @index goes, but its entry stays. False: page-out was quicker, something else is there. */
static bool evict_page(struct address_space *mapping, pgoff_t index)
{
	struct page *page = filemap_peek_page(mapping, index);
	bool evicted;

	if (!page)
		return false;
	lock_page(page);
	evicted = page->mapping == mapping;
	if (evicted) {
		pf_assert(page_mapcount(page) == 0 && page->index == index);
		page->mapping = NULL;
		atomic_fetch_sub(&mapping->nr_pages, 1);
	}
	unlock_page(page);
	if (evicted)
		put_page(mapping->ctx->frames, page);	/* the cache's */
	put_page(mapping->ctx->frames, page);
	return evicted;
}

/*
 * The inode ends: nobody maps it, and nobody can find it any more but from one of its pages. The index is
 * destroyed whole: to take entries out of it one by one may take memory, which an exit must not.
 */
static void evict(struct address_space *mapping)
{
	pgoff_t index = 0;
	void *entry;

	/* What cannot be written back is lost. */
	filemap_write_range(mapping, 0, ULONG_MAX);
	for (;;) {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, ULONG_MAX);
		pf_rcu_read_unlock();
		if (!entry)
			return;
		if (xa_is_value(entry))
			swap_slot_free(swap_area_of(mapping->ctx), xa_to_value(entry));
		else if (!evict_page(mapping, index))
			continue;
		pf_cond_resched(mapping->ctx->pf);
		if (!++index)
			return;
	}
}

static const struct address_space_operations page_cache_operations = { .evict = evict };

const struct address_space_operations *page_cache_ops(void)
{
	return &page_cache_operations;
}

/* The last page keeps what lies before @bytes. */
static void zero_partial_page(struct address_space *mapping, uint64_t bytes)
{
	struct frame_pool *pool = mapping->ctx->frames;
	unsigned long from = bytes & ~PAGE_MASK;
	struct page *page;

	if (!from || bytes == I_SIZE_ENDLESS)
		return;
	page = filemap_peek_page(mapping, bytes >> PAGE_SHIFT);
	if (!page)
		return;
	lock_page(page);
	if (page->mapping == mapping)
		memset((unsigned char *)page_address(pool, page) + from, 0, PAGE_SIZE - from);
	unlock_page(page);
	put_page(pool, page);
}

static uint64_t change_size(struct address_space *mapping, uint64_t bytes)
{
	uint64_t old;

	pf_mutex_lock(&mapping->i_lock);
	old = atomic_load(&mapping->i_size);
	i_size_write(mapping, bytes);
	pf_mutex_unlock(&mapping->i_lock);
	return old;
}

/* Requires the i_change_lock: pages of before the call are not to be met, nor taken, by the next one. */
static void move_end(struct address_space *mapping, uint64_t bytes)
{
	/* Observed: guards outlive what they guard. */
	const struct zap_details gone = { .keep_guards = true };
	uint64_t old = change_size(mapping, bytes);
	pgoff_t first = i_size_pages(mapping);

	if (!mapping->ctx->frames)
		return;
	if (bytes >= old) {
		/* What was written behind the old end is not to be seen now that the file reaches there. */
		zero_partial_page(mapping, old);
		return;
	}
	unmap_mapping_range(mapping, first, ULONG_MAX, &gone);
	filemap_remove(mapping, first, ULONG_MAX);
	/* Private copies of pages that were locked meanwhile; there can be no more of them now. */
	unmap_mapping_range(mapping, first, ULONG_MAX, &gone);
	zero_partial_page(mapping, bytes);
}

int vm_file_truncate(struct vm_file *file, uint64_t bytes)
{
	struct address_space *mapping = file->mapping;

	if (bytes > INT64_MAX)
		return -EINVAL;
	/* Linux: files of huge pages have whole ones. */
	if (file->info.kind == VM_FILE_HUGETLB && (bytes & (PMD_SIZE - 1)))
		return -EINVAL;
	pf_mutex_lock(&mapping->i_change_lock);
	move_end(mapping, bytes);
	pf_mutex_unlock(&mapping->i_change_lock);
	return 0;
}

static void punch_pages(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	unmap_mapping_range(mapping, first, last,
			    &(struct zap_details){ .keep_private = true, .keep_guards = true });
	filemap_remove(mapping, first, last);
}

/* Pages of 4 KiB, [@first, @end), of one huge page: it stays, and who maps it sees zeroes. */
static void zero_part_of_huge_page(struct address_space *mapping, pgoff_t first, pgoff_t end)
{
	struct frame_pool *pool = mapping->ctx->frames;
	struct page *page = filemap_peek_page(mapping, first & -PT_ENTRIES);
	unsigned char *bytes;

	pf_assert(first < end && (first & -PT_ENTRIES) == ((end - 1) & -PT_ENTRIES));
	if (!page)
		return;
	lock_page(page);
	if (page->mapping == mapping) {
		bytes = page_address(pool, page);
		memset(bytes + ((first % PT_ENTRIES) << PAGE_SHIFT), 0, (end - first) << PAGE_SHIFT);
	}
	unlock_page(page);
	put_page(pool, page);
}

/* Observed: a page that was there takes its promise along; one that was not keeps it. */
static void punch_whole_huge_pages(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	pgoff_t index = first;
	void *entry;

	while (index <= last) {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, last);
		pf_rcu_read_unlock();
		if (!entry)
			break;
		punch_pages(mapping, index, index + PT_ENTRIES - 1);
		huge_promise_drop(mapping, index >> HPAGE_ORDER);
		index += PT_ENTRIES;
	}
	/* What came meanwhile. */
	punch_pages(mapping, first, last);
}

/*
 * Huge pages that lie in the hole go.
 *
 *   hole    |..zzzz|gggggg|gggggg|zz....|   z: zeroed, g: gone
 */
static void punch_huge_pages(struct address_space *mapping, pgoff_t first, pgoff_t end)
{
	pgoff_t whole = (first + PT_ENTRIES - 1) & -PT_ENTRIES, whole_end = end & -PT_ENTRIES;

	if (whole > whole_end) {
		zero_part_of_huge_page(mapping, first, end);
		return;
	}
	if (first < whole)
		zero_part_of_huge_page(mapping, first, whole);
	if (whole < whole_end)
		punch_whole_huge_pages(mapping, whole, whole_end - 1);
	if (whole_end < end)
		zero_part_of_huge_page(mapping, whole_end, end);
}

void filemap_punch(struct vm_file *file, pgoff_t first, pgoff_t last)
{
	struct address_space *mapping = file->mapping;

	pf_assert(first <= last);
	if (!mapping->ctx->frames)
		return;
	pf_mutex_lock(&mapping->i_change_lock);
	pf_mutex_lock(&mapping->i_lock);
	mapping->changes++;
	pf_mutex_unlock(&mapping->i_lock);
	if (file->info.kind == VM_FILE_HUGETLB)
		punch_huge_pages(mapping, first, last + 1);
	else
		punch_pages(mapping, first, last);
	pf_mutex_unlock(&mapping->i_change_lock);
}

int vm_file_invalidate(struct vm_file *file, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	if (end < start || ((start | len) & ~PAGE_MASK))
		return -EINVAL;
	if (len)
		filemap_punch(file, start >> PAGE_SHIFT, (end >> PAGE_SHIFT) - 1);
	return 0;
}
