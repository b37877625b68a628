/* SPDX-License-Identifier: MIT */
/*
 * A4, O1 to O5. Races without luck, by single-stepping.
 *
 *   - The writer is stopped after each of its instructions, and a reader looks
 *     at every index: it must find the old or the new entry.
 *   - A reader is stopped after each of its instructions, and a writer makes one
 *     or several changes there: the reader must then find what some moment in
 *     between had to show.
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
	long steps;
	long act_at;		/* reader stepped: when to change */
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

static void check_all(struct scene *s)
{
	for (int i = 0; i < s->cells; i++) {
		void *value = mtree_load(&s->mt, at(s, i) + s->apart / 2);

		if (!allowed(s, i, value)) {
			s->bad_cell = i;
			s->bad_value = value;
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
	for (int i = 0; i < s->changes; i++)
		printf("; change %d..%d to %p", s->change[i].from, s->change[i].to, s->change[i].value);
	printf("\n");
	fail();
}

static void writer_stepped(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	scene->steps++;
	if (scene->bad_cell < 0)
		check_all(scene);
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

static void step_writer(int cells, unsigned long apart, int rounds)
{
	fill(scene, cells, apart, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	scene->changes = 1;
	for (int i = 0; i < rounds; i++) {
		pick_change(scene, 0);
		STEP_ON();
		apply(scene, &scene->change[0]);
		STEP_OFF();
		report(scene, "writer stepped");
		memcpy(scene->cell[0], scene->cell[1], sizeof(scene->cell[0]));
		check_all(scene);
		report(scene, "after the change");
	}
	mtree_destroy(&scene->mt);
}

/* Look up one cell, with the changes made after @act_at instructions, if the reader takes as many. */
static void step_reader(struct maple_tree *base, int cell, long act_at)
{
	void *value;

	mt_init_flags(&scene->mt, base->ma_flags);
	assert_int_equal(mtree_dup(base, &scene->mt, 0), 0);
	scene->steps = 0;
	scene->act_at = act_at;
	STEP_ON();
	value = mtree_load(&scene->mt, at(scene, cell) + scene->apart / 2);
	STEP_OFF();
	if (!allowed(scene, cell, value)) {
		scene->bad_cell = cell;
		scene->bad_value = value;
		report(scene, "reader stepped");
	}
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

			step_reader(&base, cell, 1 + below(scene, READER_STEPS));
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
		step_readers(12, 1, 10, 10);
		step_readers(100, 1ul << 34, 10, 10);
		step_readers(400, 4096, 5, 10);
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
		step_reader(&base, 12, act_at);
	mtree_destroy(&base);
	free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_stopped_everywhere),
		cmocka_unit_test(reader_stopped_everywhere),
		cmocka_unit_test(a_slot_holds_one_range_only),
	};

	return cmocka_run_group_tests_name("tree_step", tests, NULL, NULL);
}
