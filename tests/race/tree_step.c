/* SPDX-License-Identifier: MIT */
/*
 * A4, O1 to O5. Races without luck, by single-stepping.
 *
 *   - The writer is stopped after each of its instructions, and a reader looks
 *     at every index: it must find the old or the new entry, and no range twice.
 *   - A reader is stopped after each of its instructions, in a look-up or in a walk,
 *     and a writer makes one or several changes there: the reader must then find
 *     what some moment in between had to show.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "tree/tree.h"

#define MAX_CELLS 400
#define MAX_CHANGES 3
#define READER_STEPS 250	/* instructions of one look-up, about */
#define STEPS_AFTER 1000	/* instructions of a writer that follow the change */
#define ALL_EVERY 5		/* instructions of a writer between looks at every index */
#define WALK_EVERY 25		/* and between walks over all */

#if defined(__x86_64__) && !PF_TSAN && !defined(__SANITIZE_ADDRESS__)
#define CAN_STEP 1
/* The trap flag; the red zone is stepped over. */
#define STEP_ON()                                                                   \
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;" \
			 "lea 128(%%rsp), %%rsp" ::: "memory", "cc")
#define STEP_OFF()                                                                    \
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;" \
			 "lea 128(%%rsp), %%rsp" ::: "memory", "cc")

static void stop_stepping(ucontext_t *context)
{
	context->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
}
#else
#define CAN_STEP 0
#define STEP_ON() ((void)0)
#define STEP_OFF() ((void)0)

static void stop_stepping(void *context)
{
	(void)context;
}
#endif

struct change {
	int from, to;		/* cells */
	void *value;		/* NULL: erase */
};

struct scene {
	struct maple_tree mt;
	int cells;
	unsigned long apart;	/* indexes per cell */
	void *cell[MAX_CHANGES + 1][MAX_CELLS];	/* before, and after each change */
	struct change change[MAX_CHANGES];
	int changes;
	uint64_t random;
	unsigned long next_value;
	/* the handler's: */
	long steps, all_steps;
	long act_at;		/* reader stepped: when to change */
	unsigned long seq;	/* writer stepped: the tree's before */
	long after;		/* writer stepped: steps since the change is complete */
	int bad_cell;
	void *bad_value;
};

static struct scene *scene;

static int below(struct scene *s, int n)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (int)(s->random % (uint64_t)n);
}

static unsigned long at(const struct scene *s, int cell)
{
	return (unsigned long)cell * s->apart;
}

static void apply(struct scene *s, const struct change *c)
{
	if (mtree_store_range(&s->mt, at(s, c->from), at(s, c->to + 1) - 1, c->value, 0))
		abort();
}

static void model(struct scene *s, int i)
{
	const struct change *c = &s->change[i];

	memcpy(s->cell[i + 1], s->cell[i], sizeof(s->cell[i]));
	for (int k = c->from; k <= c->to; k++)
		s->cell[i + 1][k] = c->value;
}

/* Stores that need a new leaf, fit in place, go over several leaves, erase one, erase many. */
static void pick_change(struct scene *s, int i)
{
	struct change *c = &s->change[i];
	int most = below(s, 4) ? 4 : below(s, 3) ? 40 : s->cells;

	c->from = below(s, s->cells);
	c->to = c->from + below(s, most);
	if (c->to >= s->cells)
		c->to = s->cells - 1;
	c->value = below(s, 3) ? xa_mk_value(++s->next_value) : NULL;
	model(s, i);
}

static void fill(struct scene *s, int cells, unsigned long apart, unsigned int flags)
{
	mt_init_flags(&s->mt, flags);
	s->cells = cells;
	s->apart = apart;
	memset(s->cell, 0, sizeof(s->cell));
	for (int i = 0; i < cells * 2; i++) {
		pick_change(s, 0);
		apply(s, &s->change[0]);
		memcpy(s->cell[0], s->cell[1], sizeof(s->cell[0]));
	}
	for (int i = 0; i < cells; i++)
		if (below(s, 3)) {
			s->change[0] = (struct change){ i, i, xa_mk_value(++s->next_value) };
			apply(s, &s->change[0]);
			s->cell[0][i] = s->change[0].value;
		}
}

static bool allowed(const struct scene *s, int cell, const void *value)
{
	for (int i = 0; i <= s->changes; i++)
		if (s->cell[i][cell] == value)
			return true;
	return false;
}

/* A cell shows what it never held. */
static void is_bad(struct scene *s, int cell, void *value)
{
	s->bad_cell = cell;
	s->bad_value = value;
}

/* The cells [from, to) were passed by: each of them was empty at some moment. */
static void passed_by(struct scene *s, int from, int to)
{
	for (int i = from < 0 ? 0 : from; i < to && i < s->cells; i++)
		if (!allowed(s, i, NULL))
			is_bad(s, i, NULL);
}

static int cell_at(const struct scene *s, unsigned long index)
{
	return index / s->apart < (unsigned long)s->cells ? (int)(index / s->apart) : s->cells;
}

/* @entry was found for [index, last]. */
static void found(struct scene *s, const struct ma_state *mas, void *entry)
{
	for (int i = cell_at(s, mas->index); i < s->cells && at(s, i) <= mas->last; i++)
		if (!allowed(s, i, entry))
			is_bad(s, i, entry);
}

/* From end to end. */
static void walk_all(struct scene *s)
{
	MA_STATE(mas, &s->mt, 0, 0);
	int next = 0;
	void *entry;

	pf_rcu_read_lock();
	mas_for_each(&mas, entry, ULONG_MAX) {
		if (cell_at(s, mas.index) < next)
			is_bad(s, next, entry);
		passed_by(s, next, cell_at(s, mas.index));
		found(s, &mas, entry);
		next = cell_at(s, mas.last) + 1;
	}
	passed_by(s, next, s->cells);
	pf_rcu_read_unlock();
}

/* At every step what the change is about and what lies beside it, and now and then everything. */
static void check(struct scene *s)
{
	bool all = s->steps % ALL_EVERY == 0;
	int from = all ? 0 : s->change[0].from - 2, to = all ? s->cells - 1 : s->change[0].to + 2;

	if (s->steps % WALK_EVERY == 0)
		walk_all(s);
	for (int i = from < 0 ? 0 : from; i <= to && i < s->cells; i++) {
		void *value = mtree_load(&s->mt, at(s, i) + s->apart / 2);

		if (!allowed(s, i, value)) {
			is_bad(s, i, value);
		}
	}
}

static void report(struct scene *s, const char *who)
{
	if (s->bad_cell < 0)
		return;
	printf("%s, step %ld: cell %d shows %p; allowed:", who, s->steps, s->bad_cell, s->bad_value);
	for (int i = 0; i <= s->changes; i++)
		printf(" %p", s->cell[i][s->bad_cell]);
	for (int c = 0; c <= s->changes; c++)
		for (int i = s->bad_cell < 12 ? 0 : s->bad_cell - 12; i < s->bad_cell + 12 && i < s->cells; i++)
			printf("%s%d:%p", i == 0 || i == s->bad_cell - 12 ? "\n  " : " ", i, s->cell[c][i]);
	for (int i = 0; i < s->changes; i++)
		printf("; change %d..%d to %p", s->change[i].from, s->change[i].to, s->change[i].value);
	printf("\n");
	fail();
}

static void writer_stepped(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	scene->steps++;
	scene->all_steps++;
	if (scene->bad_cell < 0)
		check(scene);
	/* Nodes go out of use then, and in a debug build the validator begins, which need not be stopped. */
	if (RD(scene->mt.ma_seq) != scene->seq && ++scene->after > STEPS_AFTER)
		stop_stepping(context);
}

static void reader_stepped(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	if (++scene->steps < scene->act_at)
		return;
	for (int i = 0; i < scene->changes; i++)
		apply(scene, &scene->change[i]);
	stop_stepping(context);
}

static void handle(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &act, NULL);
}

static uint64_t fresh_seed(void)
{
	const char *env = getenv("SAMARA_SEED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return env ? strtoull(env, NULL, 0) : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
}

static void begin(uint64_t seed)
{
	printf("seed %#lx\n", (unsigned long)seed);
	scene = calloc(1, sizeof(*scene));
	assert_non_null(scene);
	scene->random = seed * 0x9e3779b97f4a7c15ull | 1;
	scene->bad_cell = -1;
}

/* The writer makes the change, and is stopped everywhere in it. */
static void step_change(struct scene *s)
{
	s->seq = s->mt.ma_seq;
	s->after = 0;
	STEP_ON();
	apply(s, &s->change[0]);
	STEP_OFF();
	report(s, "writer stepped");
	memcpy(s->cell[0], s->cell[1], sizeof(s->cell[0]));
	s->steps = 0;
	check(s);
	report(s, "after the change");
}

static void step_writer(int cells, unsigned long apart, int rounds)
{
	fill(scene, cells, apart, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	scene->changes = 1;
	for (int i = 0; i < rounds; i++) {
		pick_change(scene, 0);
		step_change(scene);
	}
	mtree_destroy(&scene->mt);
}

/* What a reader does that is stopped. Each begins at a cell. */
enum look { LOOK_UP, FIND, FIND_REV, NEXT, PREV, LOOKS };

static const char *const look_name[] = { "reader stepped in mtree_load", "reader stepped in mas_find",
					 "reader stepped in mas_find_rev", "reader stepped in mas_walk, mas_next",
					 "reader stepped in mas_walk, mas_prev" };

/* From @cell upwards, or from the range behind it when that is walked to first. */
static void look_upwards(struct scene *s, int cell, bool walked)
{
	MA_STATE(mas, &s->mt, at(s, cell), at(s, cell));
	void *entry;

	if (walked) {
		entry = mas_walk(&mas);
		if (mas.last >= at(s, s->cells) - 1)
			return;
		cell = cell_at(s, mas.last) + 1;
		entry = mas_next(&mas, ULONG_MAX);
	} else {
		entry = mas_find(&mas, ULONG_MAX);
	}
	passed_by(s, cell, entry ? cell_at(s, mas.index) : s->cells);
	if (entry)
		found(s, &mas, entry);
}

static void look_downwards(struct scene *s, int cell, bool walked)
{
	MA_STATE(mas, &s->mt, at(s, cell), at(s, cell));
	void *entry;

	if (walked) {
		entry = mas_walk(&mas);
		if (mas.index == 0)
			return;
		cell = cell_at(s, mas.index) - 1;
		entry = mas_prev(&mas, 0);
	} else {
		entry = mas_find_rev(&mas, 0);
	}
	passed_by(s, entry ? cell_at(s, mas.last) + 1 : 0, cell + 1);
	if (entry)
		found(s, &mas, entry);
}

/* Look from one cell, with the changes made after @act_at instructions, if the reader takes as many. */
static void step_reader(struct maple_tree *base, int cell, enum look look, long act_at)
{
	void *value;

	mt_init_flags(&scene->mt, base->ma_flags);
	assert_int_equal(mtree_dup(base, &scene->mt, 0), 0);
	scene->steps = 0;
	scene->act_at = act_at;
	pf_rcu_read_lock();
	STEP_ON();
	switch (look) {
	case FIND:
	case NEXT:
		look_upwards(scene, cell, look == NEXT);
		break;
	case FIND_REV:
	case PREV:
		look_downwards(scene, cell, look == PREV);
		break;
	default:
		value = mtree_load(&scene->mt, at(scene, cell) + scene->apart / 2);
		if (!allowed(scene, cell, value))
			is_bad(scene, cell, value);
	}
	STEP_OFF();
	pf_rcu_read_unlock();
	report(scene, look_name[look]);
	mtree_destroy(&scene->mt);
}

static void step_readers(int cells, unsigned long apart, int rounds, int looks)
{
	struct maple_tree base;

	fill(scene, cells, apart, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	base = scene->mt;
	for (int i = 0; i < rounds; i++) {
		scene->changes = 1 + below(scene, MAX_CHANGES);
		for (int c = 0; c < scene->changes; c++)
			pick_change(scene, c);
		for (int k = 0; k < looks; k++) {
			const struct change *c = &scene->change[below(scene, scene->changes)];
			int cell = c->from + below(scene, c->to - c->from + 1);
			enum look look = below(scene, 2) ? LOOK_UP : (enum look)below(scene, LOOKS);

			step_reader(&base, cell, look, 1 + below(scene, look ? 3 * READER_STEPS : READER_STEPS));
		}
		scene->mt = base;
		for (int c = 0; c < scene->changes; c++)
			apply(scene, &scene->change[c]);
		base = scene->mt;
		memcpy(scene->cell[0], scene->cell[scene->changes], sizeof(scene->cell[0]));
	}
	mtree_destroy(&base);
}

/* O2, O5. */
static void writer_stopped_everywhere(void **state)
{
	(void)state;
	if (!CAN_STEP) {
		print_message("a sanitizer's run time cannot be stopped at each instruction\n");
		skip();
	}
	handle(writer_stepped);
	for (int i = 0; i < 2; i++) {
		begin(i ? fresh_seed() : 1);
		step_writer(12, 1, 25);
		step_writer(64, 1ul << 34, 8);
		step_writer(200, 4096, 4);
		printf("%ld steps\n", scene->all_steps);
		free(scene);
	}
}

static unsigned int nodes(void)
{
	struct platform_stats stats;

	platform_read_stats(platform_default(), &stats);
	return (unsigned int)stats.nodes;
}

static void change_cells(int from, int to, void *value)
{
	scene->change[0] = (struct change){ from, to, value };
	scene->changes = 1;
	model(scene, 0);
	step_change(scene);
}

static void *fresh_value(void)
{
	return xa_mk_value(++scene->next_value);
}

/* From nothing to [0, 0] in the root, to a leaf, to two levels, and back. */
static void step_root_changes(void)
{
	change_cells(0, 0, fresh_value());
	assert_int_equal(mt_height(&scene->mt), scene->apart > 1);
	change_cells(2, 3, fresh_value());
	assert_int_equal(mt_height(&scene->mt), 1);
	for (int i = 4; mt_height(&scene->mt) < 2 && i < scene->cells; i += 2)
		change_cells(i, i, fresh_value());
	assert_int_equal(mt_height(&scene->mt), 2);
	for (int i = 2; mt_height(&scene->mt) == 2 && i < scene->cells; i += 2)
		change_cells(i, i, NULL);
	if (mt_height(&scene->mt) != 1)
		mt_dump(&scene->mt, mt_dump_dec);
	assert_int_equal(mt_height(&scene->mt), 1);
	change_cells(2, scene->cells - 1, NULL);
	change_cells(0, 0, NULL);
	assert_true(mtree_empty(&scene->mt));
}

/* Each behind the one before: full leaves stay, new ones come after them. */
static void step_appends(void)
{
	for (int i = 0; i < scene->cells; i++)
		change_cells(i, i, fresh_value());
	assert_true(nodes() > (unsigned int)scene->cells / LEAF_CAP);
}

/* The lowest entry grows down over a gap, as a stack does, and takes what is there. */
static void step_growth(void)
{
	for (int i = 5; i + 8 < scene->cells; i += 9) {
		void *stack = scene->cell[0][i + 8];

		change_cells(i, i + 7, NULL);
		for (int at = i + 7; at >= i; at -= 2)
			change_cells(at, i + 8, stack);
		change_cells(i - 2, i + 8, stack);
	}
}

/* In the middle of full leaves, which become two each; then all but a few go, and leaves join. */
static void step_splits_and_merges(void)
{
	unsigned int before;

	for (int i = 0; i < scene->cells; i += 2)
		change_cells(i, i, NULL);
	before = nodes();
	for (int i = 0; i < scene->cells; i += 2)
		change_cells(i, i, fresh_value());
	assert_true(nodes() > before);
	before = nodes();
	for (int i = 0; i < scene->cells; i++)
		if (i % 9)
			change_cells(i, i, NULL);
	assert_true(nodes() < before);
}

/* O2, O4, O5. */
static void writer_stopped_where_the_tree_changes_shape(void **state)
{
	static const unsigned long apart[] = { 1, 1ul << 34 };

	(void)state;
	if (!CAN_STEP) {
		print_message("a sanitizer's run time cannot be stopped at each instruction\n");
		skip();
	}
	handle(writer_stepped);
	for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++) {
		begin(1);
		mt_init_flags(&scene->mt, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
		scene->cells = i ? 40 : 72;
		scene->apart = apart[i];
		step_root_changes();
		step_appends();
		step_growth();
		step_splits_and_merges();
		mtree_destroy(&scene->mt);
		printf("%ld steps\n", scene->all_steps);
		free(scene);
	}
}

/* O1, O3, O4. */
static void reader_stopped_everywhere(void **state)
{
	(void)state;
	if (!CAN_STEP) {
		print_message("a sanitizer's run time cannot be stopped at each instruction\n");
		skip();
	}
	handle(reader_stepped);
	for (int i = 0; i < 2; i++) {
		begin(i ? fresh_seed() : 1);
		step_readers(12, 1, 20, 30);
		step_readers(100, 1ul << 34, 20, 30);
		step_readers(400, 4096, 10, 30);
		free(scene);
	}
}

/*
 * O1. A range goes and another comes while the reader is anywhere in its look-up:
 *
 *   before  |AAAA|    |BBBB|            the reader looks for B
 *   then    |AAAA|    |    |            B goes
 *   then    |AAAA|    |    |    |CCCC|  C must not take B's slot
 */
static void a_slot_holds_one_range_only(void **state)
{
	struct maple_tree base;

	(void)state;
	if (!CAN_STEP)
		skip();
	handle(reader_stepped);
	begin(1);
	scene->cells = 40;
	scene->apart = 1;
	mt_init_flags(&scene->mt, MT_FLAGS_USE_RCU);
	for (int i = 0; i < 2; i++) {
		scene->change[0] = (struct change){ 10 * i, 10 * i + 4, xa_mk_value((unsigned long)i + 1) };
		apply(scene, &scene->change[0]);
		for (int k = 10 * i; k < 10 * i + 5; k++)
			scene->cell[0][k] = scene->change[0].value;
	}
	base = scene->mt;
	scene->changes = 2;
	scene->change[0] = (struct change){ 10, 14, NULL };
	scene->change[1] = (struct change){ 30, 34, xa_mk_value(3) };
	model(scene, 0);
	model(scene, 1);
	for (long act_at = 1; act_at < READER_STEPS / 2; act_at++)
		step_reader(&base, 12, LOOK_UP, act_at);
	mtree_destroy(&base);
	free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_stopped_everywhere),
		cmocka_unit_test(writer_stopped_where_the_tree_changes_shape),
		cmocka_unit_test(reader_stopped_everywhere),
		cmocka_unit_test(a_slot_holds_one_range_only),
	};

	return cmocka_run_group_tests_name("tree_step", tests, NULL, NULL);
}
