/* SPDX-License-Identifier: MIT */
/* Protection keys: which are in use, and what they forbid. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

#define PKEY_RIGHTS (MM_PKEY_DISABLE_ACCESS | MM_PKEY_DISABLE_WRITE)
/* Observed: a thread begins with access by key 0 alone. */
#define PKRU_AT_FIRST 0x55555554U

void pkeys_init(struct mm_struct *mm)
{
	mm->pkeys = mm->ctx->opt.pkeys ? 1 : 0;
	mm->exec_only_pkey = -1;
	atomic_store(&mm->pkru, PKRU_AT_FIRST);
}

void pkeys_dup(struct mm_struct *child, struct mm_struct *parent)
{
	mmap_assert_write_locked(parent);
	child->pkeys = parent->pkeys;
	child->exec_only_pkey = parent->exec_only_pkey;
	atomic_store(&child->keyed, atomic_load(&parent->keyed));
	atomic_store(&child->pkru, atomic_load(&parent->pkru));
}

uint32_t mm_pkru(const struct mm_struct *mm)
{
	return atomic_load(&mm->pkru);
}

/* Translations that are remembered were made with the rights of before. */
static void set_pkru(struct mm_struct *mm, uint32_t rights)
{
	if (atomic_exchange(&mm->pkru, rights) != rights && mm->pt)
		soft_tlb_flush(mm->pt, 0, 0);
}

void mm_set_pkru(struct mm_struct *mm, uint32_t rights)
{
	set_pkru(mm, rights);
}

static unsigned long rights_of(const struct mm_struct *mm, int key)
{
	return atomic_load(&mm->pkru) >> (2 * key) & PKEY_RIGHTS;
}

static void set_rights(struct mm_struct *mm, int key, unsigned long rights)
{
	uint32_t others = atomic_load(&mm->pkru) & ~((uint32_t)PKEY_RIGHTS << (2 * key));

	pf_assert(key >= 0 && key < 16);
	set_pkru(mm, others | (uint32_t)rights << (2 * key));
}

bool pkey_permits(const struct vm_area_struct *vma, bool write)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned long forbidden;

	if (!mm->ctx->opt.pkeys)
		return true;
	forbidden = rights_of(mm, (int)((vma->vm_flags & VM_PKEY) >> MM_VM_PKEY_SHIFT));
	return !(forbidden & (write ? PKEY_RIGHTS : MM_PKEY_DISABLE_ACCESS));
}

bool pkeys_forbid_nothing(const struct mm_struct *mm)
{
	return !mm->ctx->opt.pkeys || (!atomic_load(&mm->keyed) && !rights_of(mm, 0));
}

bool pkey_is_allocated(const struct mm_struct *mm, int key)
{
	/* The one that is kept for execution alone is nobody's to use. */
	if (key < 0 || key >= (int)mm->ctx->opt.pkeys || key == mm->exec_only_pkey)
		return false;
	return mm->pkeys >> key & 1;
}

/* The lowest free key, or -1. */
static int take_key(struct mm_struct *mm)
{
	int key;

	mmap_assert_write_locked(mm);
	for (key = 0; key < (int)mm->ctx->opt.pkeys; key++) {
		if (mm->pkeys >> key & 1)
			continue;
		mm->pkeys |= 1U << key;
		/* Before any mapping can have it. */
		atomic_store(&mm->keyed, true);
		return key;
	}
	return -1;
}

int execute_only_pkey(struct mm_struct *mm)
{
	if (mm->exec_only_pkey < 0)
		mm->exec_only_pkey = take_key(mm);
	if (mm->exec_only_pkey < 0)
		return -1;
	/* The program may have written the register itself. */
	if (!(rights_of(mm, mm->exec_only_pkey) & MM_PKEY_DISABLE_ACCESS))
		set_rights(mm, mm->exec_only_pkey, MM_PKEY_DISABLE_ACCESS);
	return mm->exec_only_pkey;
}

int override_pkey(struct vm_area_struct *vma, unsigned long prot, int key)
{
	int now = (int)((vma->vm_flags & VM_PKEY) >> MM_VM_PKEY_SHIFT);
	struct mm_struct *mm = vma->vm_mm;
	int kept;

	if (key != -1)
		return key;
	if (!mm->ctx->opt.pkeys)
		return 0;
	if (prot == PROT_EXEC) {
		kept = execute_only_pkey(mm);
		if (kept > 0)
			return kept;
	}
	/* What could be executed alone and cannot any more loses the key that was kept for that. */
	if ((vma->vm_flags & VM_ACCESS_FLAGS) == VM_EXEC && now == mm->exec_only_pkey)
		return 0;
	return now;
}

int mm_pkey_alloc(struct mm_struct *mm, unsigned long flags, unsigned long rights)
{
	int key;

	if (flags || (rights & ~PKEY_RIGHTS))
		return -EINVAL;
	mmap_write_lock(mm);
	key = take_key(mm);
	if (key >= 0)
		set_rights(mm, key, rights);
	mmap_write_unlock(mm);
	return key < 0 ? -ENOSPC : key;
}

int mm_pkey_free(struct mm_struct *mm, int key)
{
	int err = -EINVAL;

	mmap_write_lock(mm);
	if (pkey_is_allocated(mm, key)) {
		mm->pkeys &= ~(1U << key);
		err = 0;
	}
	mmap_write_unlock(mm);
	return err;
}
