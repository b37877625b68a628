/* SPDX-License-Identifier: MIT */
/*
 * Promise 2. Every public call that may allocate, with its n-th allocation
 * failing, n from 1 until it succeeds. After each failure the mappings (with the identity of
 * their anon_vmas), the counters, the promised pages and the live objects are those of
 * before, and the validator is content.
 *
 * Each call is swept in five worlds: a small address space; one whose tree is
 * several levels high and full around the place; a child, whose mappings hang on
 * its parent's anon_vmas too; a grandchild; and a parent whose child lives.
 */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/mm.h"
#include "tree/tree.h"

#define MAX_N 20000

/* Everything that a failed call must leave alone. */
struct snapshot {
	struct mm_vma_info vma[DIFF_MAX_VMAS];
	int count;
	struct mm_counters counters;
	unsigned long committed, huge_promised;
	struct platform_stats stats;
};

enum world { SMALL, CROWDED, CHILD, GRANDCHILD, PARENT, NR_WORLDS };
static const char *const world_names[NR_WORLDS] = { "small", "crowded", "child", "grandchild", "parent" };

struct sweep {
	struct diff *d;
	struct mm_struct *mm;	/* that the call is made on */
	void *made;		/* by the call, for its undo */
	struct snapshot before;	/* what each failure has to leave as it is */
};

/* A call that can fail. Negative: an errno, or a refusal of another kind. */
struct target {
	const char *name;
	const char *drawing;
	long (*call)(struct sweep *s);
	void (*undo)(struct sweep *s);	/* what success has made outside the address space, or NULL */
	void (*prepare)(struct sweep *s);	/* more than the drawing says, or NULL */
};

/* Calls ------------------------------------------------------------------- */

static long map(struct sweep *s, unsigned long at, unsigned long count, unsigned long prot,
		unsigned long flags, enum diff_file file, uint64_t offset)
{
	struct mm_mmap_args args = { .addr = at == ~0UL ? 0 : PG(at), .len = PAGES(count), .prot = prot,
				     .flags = flags, .file = s->d->file[file], .offset = offset };
	unsigned long out;

	if (file == DIFF_NO_FILE)
		args.flags |= MAP_ANONYMOUS;
	if (at != ~0UL)
		args.flags |= MAP_FIXED;
	return mm_mmap(s->mm, &args, &out);
}

#define RW (PROT_READ | PROT_WRITE)

static long mmap_alone(struct sweep *s)
{
	return map(s, 40, 2, RW, MAP_PRIVATE, DIFF_NO_FILE, 0);
}

static long mmap_anywhere(struct sweep *s)
{
	return map(s, ~0UL, 512, PROT_NONE, MAP_PRIVATE, DIFF_NO_FILE, 0);
}

static long mmap_fills(struct sweep *s)
{
	return map(s, 2, 2, RW, MAP_PRIVATE, DIFF_NO_FILE, 0);
}

static long mmap_over(struct sweep *s)
{
	return map(s, 1, 6, PROT_NONE, MAP_PRIVATE, DIFF_NO_FILE, 0);
}

static long mmap_into(struct sweep *s)
{
	return map(s, 2, 2, PROT_READ, MAP_PRIVATE, DIFF_NO_FILE, 0);
}

static long mmap_locked(struct sweep *s)
{
	return map(s, 1, 4, RW, MAP_PRIVATE | MAP_LOCKED | MAP_POPULATE, DIFF_NO_FILE, 0);
}

static long mmap_shared(struct sweep *s)
{
	return map(s, 1, 4, RW, MAP_SHARED, DIFF_NO_FILE, 0);
}

static long mmap_shared_zero(struct sweep *s)
{
	return map(s, 1, 4, RW, MAP_SHARED, DIFF_ZERO, 0);
}

static long mmap_file(struct sweep *s)
{
	return map(s, 1, 4, RW, MAP_PRIVATE, DIFF_DISK, PAGES(3));
}

static long munmap_hole(struct sweep *s)
{
	return mm_munmap(s->mm, PG(1), PAGES(2));
}

static long munmap_across(struct sweep *s)
{
	return mm_munmap(s->mm, PG(1), PAGES(6));
}

static long munmap_head(struct sweep *s)
{
	return mm_munmap(s->mm, PG(0), PAGES(1));
}

static long munmap_sealed(struct sweep *s)
{
	long err = mm_munmap(s->mm, PG(2), PAGES(4));

	return err == -EPERM ? 0 : err;
}

static long protect_middle(struct sweep *s)
{
	return mm_mprotect(s->mm, PG(1), PAGES(2), PROT_READ);
}

static long protect_several(struct sweep *s)
{
	return mm_mprotect(s->mm, PG(1), PAGES(6), RW);
}

static long protect_to_the_hole(struct sweep *s)
{
	struct mm_vma_info vma;
	long err = mm_mprotect(s->mm, PG(1), PAGES(8), PROT_READ);

	/* Refused at the hole, when all below it has changed: that is success here. */
	return err == -ENOMEM && !mm_next_vma(s->mm, PG(1), &vma) && !(vma.flags & MM_VM_WRITE) ? 0 : err;
}

static long remap(struct sweep *s, unsigned long from, unsigned long old, unsigned long new,
		  unsigned long flags, unsigned long to)
{
	struct mm_mremap_args args = { .addr = PG(from), .old_len = PAGES(old), .new_len = PAGES(new),
				       .flags = flags, .new_addr = PG(to) };
	unsigned long out;

	return mm_mremap(s->mm, &args, &out);
}

static long remap_grow(struct sweep *s)
{
	return remap(s, 0, 2, 4, 0, 0);
}

static long remap_shrink(struct sweep *s)
{
	return remap(s, 0, 4, 2, 0, 0);
}

static long remap_move(struct sweep *s)
{
	return remap(s, 1, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 30);
}

static long remap_move_over(struct sweep *s)
{
	return remap(s, 0, 2, 3, MREMAP_MAYMOVE | MREMAP_FIXED, 5);
}

static long remap_several(struct sweep *s)
{
	return remap(s, 1, 6, 6, MREMAP_MAYMOVE | MREMAP_FIXED, 20);
}

static long remap_grow_away(struct sweep *s)
{
	return remap(s, 0, 2, 9, MREMAP_MAYMOVE, 0);
}

static long remap_dontunmap(struct sweep *s)
{
	return remap(s, 1, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 30);
}

static long remap_duplicate(struct sweep *s)
{
	return remap(s, 1, 0, 2, MREMAP_MAYMOVE, 0);
}

static long brk_grow(struct sweep *s)
{
	unsigned long want = s->d->layout.start_brk + PAGES(8);

	return mm_brk(s->mm, want) == want ? 0 : -ENOMEM;
}

static long brk_shrink(struct sweep *s)
{
	unsigned long want = s->d->layout.start_brk + PAGES(2);

	return mm_brk(s->mm, want) == want ? 0 : -ENOMEM;
}

static void with_heap(struct sweep *s)
{
	mm_brk(s->mm, s->d->layout.start_brk + PAGES(6));
	mm_fault(s->mm, s->d->layout.start_brk, MM_WRITE);
}

static long advise_middle(struct sweep *s)
{
	return mm_madvise(s->mm, PG(1), PAGES(2), MADV_DONTFORK);
}

static long advise_across(struct sweep *s)
{
	return mm_madvise(s->mm, PG(1), PAGES(6), MADV_DONTDUMP);
}

static long advise_populate(struct sweep *s)
{
	return mm_madvise(s->mm, PG(0), PAGES(6), MADV_POPULATE_WRITE);
}

static long lock_middle(struct sweep *s)
{
	return mm_mlock(s->mm, PG(1), PAGES(2), 0);
}

static long lock_across(struct sweep *s)
{
	return mm_mlock(s->mm, PG(1), PAGES(4), 0);
}

static long unlock_middle(struct sweep *s)
{
	return mm_munlock(s->mm, PG(1), PAGES(2));
}

static long lock_all(struct sweep *s)
{
	return mm_mlockall(s->mm, MCL_CURRENT | MCL_FUTURE);
}

static long unlock_all(struct sweep *s)
{
	return mm_munlockall(s->mm);
}

static long seal_middle(struct sweep *s)
{
	return mm_mseal(s->mm, PG(1), PAGES(2), 0);
}

static long seal_across(struct sweep *s)
{
	return mm_mseal(s->mm, PG(1), PAGES(6), 0);
}

/* In huge pages: two, in place of three. */
static long map_huge(struct sweep *s, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = DIFF_HUGE_WINDOW, .len = 2 * DIFF_HUGE_PAGE, .prot = RW,
				     .flags = flags | MAP_FIXED | MAP_HUGETLB | MAP_ANONYMOUS };
	unsigned long out;

	return mm_mmap(s->mm, &args, &out);
}

static void with_huge_pages(struct sweep *s)
{
	struct mm_mmap_args args = { .addr = DIFF_HUGE_WINDOW, .len = 3 * DIFF_HUGE_PAGE, .prot = RW,
				     .flags = MAP_PRIVATE | MAP_FIXED | MAP_HUGETLB | MAP_ANONYMOUS };
	unsigned long out;

	mm_mmap(s->mm, &args, &out);
}

static long mmap_huge(struct sweep *s)
{
	return map_huge(s, MAP_PRIVATE);
}

static long mmap_huge_shared(struct sweep *s)
{
	return map_huge(s, MAP_SHARED);
}

static long munmap_huge(struct sweep *s)
{
	return mm_munmap(s->mm, DIFF_HUGE_WINDOW + DIFF_HUGE_PAGE, DIFF_HUGE_PAGE);
}

static long key_middle(struct sweep *s)
{
	return mm_pkey_mprotect(s->mm, PG(1), PAGES(2), RW, 0);
}

/* Taken before the call that is swept, and the same in each world. */
static void with_keys(struct sweep *s)
{
	mm_pkey_alloc(s->mm, 0, 0);
	mm_pkey_mprotect(s->mm, PG(0), PAGES(4), RW, 1);
}

static long remap_pages(struct sweep *s)
{
	return mm_remap_file_pages(s->mm, PG(1), PAGES(2), 0, 0, 0);
}

static long name_middle(struct sweep *s)
{
	return mm_set_anon_name(s->mm, PG(1), PAGES(2), "a name");
}

static long name_across(struct sweep *s)
{
	return mm_set_anon_name(s->mm, PG(1), PAGES(6), "a name");
}

static long write_first(struct sweep *s)
{
	return mm_fault(s->mm, PG(1), MM_WRITE) == MM_FAULT_OK ? 0 : -ENOMEM;
}

static long grow_stack(struct sweep *s)
{
	return mm_fault(s->mm, PG(0), MM_WRITE) == MM_FAULT_OK ? 0 : -ENOMEM;
}

static long do_fork(struct sweep *s)
{
	return mm_fork(s->mm, (struct mm_struct **)&s->made);
}

static void put_child(struct sweep *s)
{
	mm_put(s->made);
}

static long create(struct sweep *s)
{
	return mm_create(s->d->ctx, NULL, (struct mm_struct **)&s->made);
}

static long create_file(struct sweep *s)
{
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_REGULAR, .name = "a name" };

	return vm_file_create(s->d->ctx, &info, (struct vm_file **)&s->made);
}

static void put_file(struct sweep *s)
{
	vm_file_put(s->made);
}

static long adopt(struct sweep *s)
{
	struct mm_adopt_args args = { .start = PG(1), .end = PG(7), .name = "[a name]", .special = true,
				      .flags = MM_VM_READ | MM_VM_MAYREAD };

	return mm_adopt(s->mm, &args);
}

static long adopt_split(struct sweep *s)
{
	return mm_adopt_split(s->mm, PG(2));
}

static long adopt_merge(struct sweep *s)
{
	return mm_adopt_merge(s->mm, PG(4));
}

static void two_anon_vmas(struct sweep *s)
{
	struct mm_mmap_args args = { .addr = PG(2), .len = PAGES(2), .prot = RW,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long out;

	mm_mmap(s->mm, &args, &out);
}

static long adopt_anon(struct sweep *s)
{
	return mm_adopt_anon(s->mm, PG(1));
}

static const struct target targets[] = {
	{ "mmap alone", "|WW|", mmap_alone, NULL, NULL },
	{ "mmap anywhere", "|WW|", mmap_anywhere, NULL, NULL },
	{ "mmap fills", "|ww|  |ww|", mmap_fills, NULL, NULL },
	{ "mmap fills, left written", "|WW|  |ww|", mmap_fills, NULL, NULL },
	{ "mmap fills, right written", "|ww|  |WW|", mmap_fills, NULL, NULL },
	{ "mmap fills, both written", "|WW|  |WW|", mmap_fills, NULL, NULL },
	{ "mmap over several", "|WW|rrrr|XX|", mmap_over, NULL, NULL },
	{ "mmap over several, joining", "|nn|WW|xx|nn|", mmap_over, NULL, NULL },
	{ "mmap into one", "|WWWWWW|", mmap_into, NULL, NULL },
	{ "mmap locked", "|WW|rr|WW|", mmap_locked, NULL, NULL },
	{ "mmap shared", "|WW|rr|WW|", mmap_shared, NULL, NULL },
	{ "mmap shared /dev/zero", "|WW|rr|WW|", mmap_shared_zero, NULL, NULL },
	{ "mmap file", "|WW|rr|DD|", mmap_file, NULL, NULL },
	{ "mmap huge pages", "|WW|", mmap_huge, NULL, with_huge_pages },
	{ "mmap shared huge pages", "|WW|", mmap_huge_shared, NULL, with_huge_pages },
	{ "munmap a huge page", "|WW|", munmap_huge, NULL, with_huge_pages },
	{ "munmap a hole", "|WWWW|", munmap_hole, NULL, NULL },
	{ "munmap across", "|WW|rr|dd|XX|", munmap_across, NULL, NULL },
	{ "munmap a head", "|WWWW|", munmap_head, NULL, NULL },
	{ "munmap before a sealed one", "|WWWW|mm|", munmap_sealed, NULL, NULL },
	{ "mprotect in the middle", "|WWWW|", protect_middle, NULL, NULL },
	{ "mprotect several", "|WW|nn|rr|XX|", protect_several, NULL, NULL },
	{ "mprotect several, unwritten", "|ww|nn|rr|XX|", protect_several, NULL, NULL },
	{ "mprotect up to a hole", "|WWWW|xx|  |ww|", protect_to_the_hole, NULL, NULL },
	{ "mremap grows", "|WW|  |WW|", remap_grow, NULL, NULL },
	{ "mremap grows, unwritten", "|ww|  |WW|", remap_grow, NULL, NULL },
	{ "mremap shrinks", "|WWWW|", remap_shrink, NULL, NULL },
	{ "mremap moves", "|WWWW|", remap_move, NULL, NULL },
	{ "mremap moves over", "|WW|   |rrrr|", remap_move_over, NULL, NULL },
	{ "mremap moves several", "|WW|rr|  |dd|", remap_several, NULL, NULL },
	{ "mremap grows elsewhere", "|WW|rr|", remap_grow_away, NULL, NULL },
	{ "mremap leaves behind", "|WWWW|", remap_dontunmap, NULL, NULL },
	{ "mremap duplicates", "|ssss|", remap_duplicate, NULL, NULL },
	{ "brk grows", "|WW|", brk_grow, NULL, with_heap },
	{ "brk shrinks", "|WW|", brk_shrink, NULL, with_heap },
	{ "madvise in the middle", "|WWWW|", advise_middle, NULL, NULL },
	{ "madvise across", "|WW|rr|dd|XX|", advise_across, NULL, NULL },
	{ "madvise populates", "|ww|xx|pp|", advise_populate, NULL, NULL },
	{ "mlock in the middle", "|wwww|", lock_middle, NULL, NULL },
	{ "mlock across", "|ww|xx|WW|", lock_across, NULL, NULL },
	{ "munlock in the middle", "|KKKK|", unlock_middle, NULL, NULL },
	{ "mlockall", "|ww|xx|WW|rr|cc|", lock_all, NULL, NULL },
	{ "munlockall", "|KK|WW|kk|", unlock_all, NULL, NULL },
	{ "mseal in the middle", "|WWWW|", seal_middle, NULL, NULL },
	{ "mseal across", "|WW|rr|dd|XX|", seal_across, NULL, NULL },
	{ "pkey_mprotect in the middle", "|WWWW|", key_middle, NULL, with_keys },
	{ "remap_file_pages in the middle", "|ssss|", remap_pages, NULL, NULL },
	{ "name in the middle", "|WWWW|", name_middle, NULL, NULL },
	{ "name across", "|WW|rr|ss|XX|", name_across, NULL, NULL },
	{ "first write", "|ww|", write_first, NULL, NULL },
	{ "first write beside", "|ww|XX|", write_first, NULL, NULL },
	{ "stack grows", "   |gg|", grow_stack, NULL, NULL },
	{ "fork", "|WW|xx|rr|KK|PP|cc|ss|dd|", do_fork, put_child, NULL },
	{ "mm_create", "|WW|", create, put_child, NULL },
	{ "vm_file_create", "|WW|", create_file, put_file, NULL },
	{ "mm_adopt", "|WW|rr|dd|XX|", adopt, NULL, NULL },
	{ "mm_adopt_split", "|WWWW|", adopt_split, NULL, NULL },
	{ "mm_adopt_merge", "|WW|  |WW|", adopt_merge, NULL, two_anon_vmas },
	{ "mm_adopt_anon", "|ww|", adopt_anon, NULL, NULL },
};

/* Worlds ------------------------------------------------------------------ */

/* Mappings that do not join, right beside the strip: nodes there are full. */
static void crowd(void **state)
{
	unsigned long i;

	for (i = 0; i < 40; i++) {
		strip_map(state, 60 + i, 1, i % 2 ? 'r' : 'n');
		strip_do(state, DIFF_MMAP, PG(0) - PAGES(i + 2), PAGES(1), i % 2 ? PROT_READ : PROT_NONE,
			 MAP_FIXED | MAP_PRIVATE);
	}
}

static int open_world(void **state, enum world world, const struct target *t, struct sweep *s)
{
	int err = strip_setup_model(state);
	int proc = world == CHILD ? 1 : world == GRANDCHILD ? 2 : 0;

	if (err)
		return err;
	s->d = *state;
	s->d->flags_every = 1000000;
	s->mm = s->d->proc[0].mm;
	if (world == CROWDED)
		crowd(state);
	strip_build(state, t->drawing);
	if (t->prepare)
		t->prepare(s);
	if (world == CHILD || world == GRANDCHILD || world == PARENT)
		strip_fork(state);
	if (world == GRANDCHILD)
		strip_do_in(state, 1, DIFF_FORK, 0);
	s->mm = s->d->proc[proc].mm;
	return 0;
}

/* Snapshots ---------------------------------------------------------------- */

static int copy_vma(void *arg, const struct mm_vma_info *vma)
{
	struct snapshot *snap = arg;

	snap->vma[snap->count++] = *vma;
	return snap->count == DIFF_MAX_VMAS;
}

static void take(struct sweep *s, struct snapshot *snap)
{
	snap->count = 0;
	mm_for_each_vma(s->mm, copy_vma, snap);
	mm_read_counters(s->mm, &snap->counters);
	snap->committed = mm_context_committed(s->d->ctx);
	snap->huge_promised = mm_context_huge_promised(s->d->ctx);
	pf_read_stats_now(mm_context_platform(s->d->ctx), &snap->stats);
}

/* Nodes that wait for a grace period are not live: here they are waited for. */
static void take_settled(struct sweep *s, struct snapshot *snap)
{
	int i;

	/* What waited while a batch was on its way goes with the next one. */
	for (i = 0; i < 4; i++) {
		mmap_write_lock(s->mm);
		retire_flush(&s->mm->mm_mt);
		mmap_write_unlock(s->mm);
		pf_rcu_barrier();
	}
	take(s, snap);
}

static bool same_long(const char *what, long before, long after)
{
	if (before != after)
		printf("  %s: %ld before, %ld after\n", what, before, after);
	return before == after;
}

static bool same_objects(const struct platform_stats *a, const struct platform_stats *b)
{
	return same_long("nodes", a->nodes, b->nodes) && same_long("VMAs", a->vmas, b->vmas) &&
	       same_long("address spaces", a->mms, b->mms) &&
	       same_long("anon_vmas", a->anon_vmas, b->anon_vmas) &&
	       same_long("chain links", a->anon_chains, b->anon_chains) &&
	       same_long("files", a->files, b->files) && same_long("others", a->others, b->others);
}

static bool same_counters(const struct mm_counters *a, const struct mm_counters *b)
{
	return same_long("map_count", (long)a->map_count, (long)b->map_count) &&
	       same_long("total_vm", (long)a->total_vm, (long)b->total_vm) &&
	       same_long("data_vm", (long)a->data_vm, (long)b->data_vm) &&
	       same_long("exec_vm", (long)a->exec_vm, (long)b->exec_vm) &&
	       same_long("stack_vm", (long)a->stack_vm, (long)b->stack_vm) &&
	       same_long("locked_vm", (long)a->locked_vm, (long)b->locked_vm) &&
	       same_long("accounted", (long)a->accounted, (long)b->accounted) &&
	       same_long("splits", (long)a->splits, (long)b->splits) &&
	       same_long("merges", (long)a->merges, (long)b->merges);
}

static bool same_vmas(const struct snapshot *a, const struct snapshot *b)
{
	int i;

	for (i = 0; i < a->count && i < b->count; i++) {
		const struct mm_vma_info *x = &a->vma[i], *y = &b->vma[i];

		if (x->start != y->start || x->end != y->end || x->flags != y->flags ||
		    x->offset != y->offset || x->file != y->file || x->anon_vma_id != y->anon_vma_id) {
			printf("  mapping %d: %lx-%lx flags %lx anon_vma %lu before, %lx-%lx flags %lx "
			       "anon_vma %lu after\n",
			       i, x->start, x->end, x->flags, x->anon_vma_id, y->start, y->end, y->flags,
			       y->anon_vma_id);
			return false;
		}
	}
	return same_long("mappings", a->count, b->count);
}

static bool same(const struct snapshot *a, const struct snapshot *b)
{
	return same_vmas(a, b) && same_counters(&a->counters, &b->counters) &&
	       same_long("promised", (long)a->committed, (long)b->committed) &&
	       same_objects(&a->stats, &b->stats);
}

/* The sweep ---------------------------------------------------------------- */

struct tally {
	unsigned long points;		/* allocations that were made to fail */
	unsigned long survived;		/* ... and the call succeeded all the same */
};

/* The call with its @n-th allocation failing. Returns its result; *@failed: whether there was such a one. */
static long one_point(struct sweep *s, enum world world, const struct target *t, long n, bool *failed)
{
	static struct snapshot after;
	struct platform *pf = mm_context_platform(s->d->ctx);
	unsigned long failures;
	long err;

	pf_read_stats_now(pf, &after.stats);
	failures = after.stats.failed;
	platform_fail_nth(pf, n);
	err = t->call(s);
	platform_fail_nth(pf, 0);
	take(s, &after);
	*failed = after.stats.failed > failures;
	if (err &&
	    (after.stats.nodes != s->before.stats.nodes || after.stats.others != s->before.stats.others))
		take_settled(s, &after);
	if (mm_validate(s->mm) || (err && !same(&s->before, &after)) || (err && !*failed)) {
		printf("%s (%s): allocation %ld failing, result %ld\n", t->name, world_names[world], n, err);
		fail();
	}
	if (!err && t->undo)
		t->undo(s);
	return err;
}

/* A world serves until the call succeeds in it. */
static void sweep_target(enum world world, const struct target *t, struct tally *tally)
{
	bool failed = true;
	long n = 1;

	while (failed) {
		struct sweep s = { 0 };
		void *state = NULL;
		long err;

		assert_int_equal(open_world(&state, world, t, &s), 0);
		take_settled(&s, &s.before);
		do {
			err = one_point(&s, world, t, n++, &failed);
			tally->points += failed;
		} while (err && n < MAX_N);
		tally->survived += failed;
		assert_true(n < MAX_N);
		assert_int_equal(strip_teardown(&state), 0);
	}
}

static void sweep_world(enum world world)
{
	struct tally tally = { 0 };
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		sweep_target(world, &targets[i], &tally);
	printf("# note: %s: %zu calls swept, %lu allocations made to fail, %lu of them survived\n",
	       world_names[world], sizeof(targets) / sizeof(targets[0]), tally.points, tally.survived);
	assert_true(tally.points > tally.survived);
}

static void small(void **state)
{
	sweep_world(SMALL);
}

static void crowded(void **state)
{
	sweep_world(CROWDED);
}

static void child(void **state)
{
	sweep_world(CHILD);
}

static void grandchild(void **state)
{
	sweep_world(GRANDCHILD);
}

static void parent(void **state)
{
	sweep_world(PARENT);
}

/*
 * Promise 3. Whole mappings, and whole address spaces, go while nothing can be allocated. (In a
 * large tree an erase tries to join nodes, and does without.)
 */
static void taking_away_needs_nothing(void **state)
{
	static const struct target t = { "exit", "|WW|xx|rr|KK|PP|cc|ss|dd|", NULL, NULL, NULL };
	struct platform_stats after;
	struct sweep s = { 0 };
	enum world world;

	for (world = SMALL; world < NR_WORLDS; world++) {
		void *inner = NULL;
		struct platform *pf;
		int i;

		assert_int_equal(open_world(&inner, world, &t, &s), 0);
		pf = mm_context_platform(s.d->ctx);
		platform_fail_nth(pf, -1);
		assert_int_equal(mm_munmap(s.mm, PG(2), PAGES(4)), 0);
		assert_int_equal(mm_munmap(s.mm, PG(0), PAGES(16)), 0);
		assert_int_equal(mm_validate(s.mm), 0);
		for (i = 0; i < DIFF_MAX_PROCS; i++)
			if (s.d->proc[i].mm) {
				mm_put(s.d->proc[i].mm);
				s.d->proc[i].mm = NULL;
			}
		platform_fail_nth(pf, 0);
		platform_read_stats(pf, &after);
		assert_int_equal(after.vmas, 0);
		assert_int_equal(after.anon_vmas, 0);
		assert_int_equal(after.nodes, 0);
		assert_int_equal(strip_teardown(&inner), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small),  cmocka_unit_test(crowded),
		cmocka_unit_test(child),  cmocka_unit_test(grandchild),
		cmocka_unit_test(parent), cmocka_unit_test(taking_away_needs_nothing),
	};

	return cmocka_run_group_tests_name("mm_sweep", tests, NULL, NULL);
}
