/* SPDX-License-Identifier: MIT */
/*
 * A4. Where a state is after each step from each place: what it returns, the range that it
 * reports, and its status. The tables say what Linux 6.12's own tree did when it was asked.
 *
 *   0    10        20        30   40   50
 *   |    |111111111|222222222|    |3333|
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

enum from {
	START_AT_ENTRY,		/* set to 25 */
	START_AT_GAP,		/* set to 35 */
	AT_ENTRY,		/* walked to 25 */
	AT_GAP,			/* walked to 35 */
	PAUSED,			/* walked to 25, then paused */
	AT_UPPER_LIMIT,		/* walked to 25, then next up to 29 */
	AT_LOWER_LIMIT,		/* walked to 25, then prev down to 20 */
	ERASED,			/* erased at 25 */
	STORED,			/* stored 4 over [32, 35] */
};

enum step { WALK, FIND, FIND_RANGE, NEXT, NEXT_RANGE, FIND_REV, FIND_RANGE_REV, PREV, PREV_RANGE };

struct row {
	enum from from;
	enum step step;
	unsigned long limit;
	unsigned long value;	/* 0: NULL */
	unsigned long index, last;
	enum maple_status status;
};

static const struct row rows[] = {
	{ START_AT_ENTRY, WALK, ULONG_MAX, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND, ULONG_MAX, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND, 35, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND, 29, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE, ULONG_MAX, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE, 35, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE, 29, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ START_AT_ENTRY, NEXT, 35, 0, 30, 39, ma_overflow },
	{ START_AT_ENTRY, NEXT, 29, 0, 20, 29, ma_overflow },
	{ START_AT_ENTRY, NEXT_RANGE, ULONG_MAX, 0, 30, 39, ma_active },
	{ START_AT_ENTRY, NEXT_RANGE, 35, 0, 30, 39, ma_active },
	{ START_AT_ENTRY, NEXT_RANGE, 29, 0, 20, 29, ma_overflow },
	{ START_AT_ENTRY, FIND_REV, 0, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_REV, 20, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_REV, 24, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE_REV, 0, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE_REV, 20, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, FIND_RANGE_REV, 24, 2, 20, 29, ma_active },
	{ START_AT_ENTRY, PREV, 0, 1, 10, 19, ma_active },
	{ START_AT_ENTRY, PREV, 20, 0, 20, 29, ma_underflow },
	{ START_AT_ENTRY, PREV, 24, 0, 20, 29, ma_underflow },
	{ START_AT_ENTRY, PREV_RANGE, 0, 1, 10, 19, ma_active },
	{ START_AT_ENTRY, PREV_RANGE, 20, 0, 20, 29, ma_underflow },
	{ START_AT_ENTRY, PREV_RANGE, 24, 0, 20, 29, ma_underflow },
	{ START_AT_GAP, WALK, ULONG_MAX, 0, 30, 39, ma_active },
	{ START_AT_GAP, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ START_AT_GAP, FIND, 35, 0, 30, 39, ma_active },
	{ START_AT_GAP, FIND_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ START_AT_GAP, FIND_RANGE, 35, 0, 30, 39, ma_overflow },
	{ START_AT_GAP, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ START_AT_GAP, NEXT, 35, 0, 35, 35, ma_overflow },
	{ START_AT_GAP, NEXT_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ START_AT_GAP, NEXT_RANGE, 35, 0, 35, 35, ma_overflow },
	{ START_AT_GAP, FIND_REV, 0, 2, 20, 29, ma_active },
	{ START_AT_GAP, FIND_REV, 20, 2, 20, 29, ma_active },
	{ START_AT_GAP, FIND_REV, 24, 2, 20, 29, ma_active },
	{ START_AT_GAP, FIND_RANGE_REV, 0, 2, 20, 29, ma_active },
	{ START_AT_GAP, FIND_RANGE_REV, 20, 2, 20, 29, ma_active },
	{ START_AT_GAP, FIND_RANGE_REV, 24, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV, 0, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV, 20, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV, 24, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV_RANGE, 0, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV_RANGE, 20, 2, 20, 29, ma_active },
	{ START_AT_GAP, PREV_RANGE, 24, 2, 20, 29, ma_active },
	{ AT_ENTRY, WALK, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_ENTRY, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_ENTRY, FIND, 35, 0, 30, 39, ma_active },
	{ AT_ENTRY, FIND, 29, 0, 20, 29, ma_active },
	{ AT_ENTRY, FIND_RANGE, ULONG_MAX, 0, 30, 39, ma_active },
	{ AT_ENTRY, FIND_RANGE, 35, 0, 30, 39, ma_active },
	{ AT_ENTRY, FIND_RANGE, 29, 0, 20, 29, ma_active },
	{ AT_ENTRY, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_ENTRY, NEXT, 35, 0, 30, 39, ma_overflow },
	{ AT_ENTRY, NEXT, 29, 0, 20, 29, ma_overflow },
	{ AT_ENTRY, NEXT_RANGE, ULONG_MAX, 0, 30, 39, ma_active },
	{ AT_ENTRY, NEXT_RANGE, 35, 0, 30, 39, ma_active },
	{ AT_ENTRY, NEXT_RANGE, 29, 0, 20, 29, ma_overflow },
	{ AT_ENTRY, FIND_REV, 0, 1, 10, 19, ma_active },
	{ AT_ENTRY, FIND_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_ENTRY, FIND_RANGE_REV, 0, 1, 10, 19, ma_active },
	{ AT_ENTRY, FIND_RANGE_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_ENTRY, PREV, 0, 1, 10, 19, ma_active },
	{ AT_ENTRY, PREV, 20, 0, 20, 29, ma_underflow },
	{ AT_ENTRY, PREV_RANGE, 0, 1, 10, 19, ma_active },
	{ AT_ENTRY, PREV_RANGE, 20, 0, 20, 29, ma_underflow },
	{ AT_GAP, WALK, ULONG_MAX, 0, 30, 39, ma_active },
	{ AT_GAP, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_GAP, FIND, 35, 0, 30, 39, ma_active },
	{ AT_GAP, FIND_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_GAP, FIND_RANGE, 35, 0, 30, 39, ma_active },
	{ AT_GAP, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_GAP, NEXT, 35, 0, 30, 39, ma_overflow },
	{ AT_GAP, NEXT_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_GAP, NEXT_RANGE, 35, 0, 30, 39, ma_overflow },
	{ AT_GAP, FIND_REV, 0, 2, 20, 29, ma_active },
	{ AT_GAP, FIND_REV, 20, 2, 20, 29, ma_active },
	{ AT_GAP, FIND_REV, 24, 2, 20, 29, ma_active },
	{ AT_GAP, FIND_RANGE_REV, 0, 2, 20, 29, ma_active },
	{ AT_GAP, FIND_RANGE_REV, 20, 2, 20, 29, ma_active },
	{ AT_GAP, FIND_RANGE_REV, 24, 2, 20, 29, ma_active },
	{ AT_GAP, PREV, 0, 2, 20, 29, ma_active },
	{ AT_GAP, PREV, 20, 2, 20, 29, ma_active },
	{ AT_GAP, PREV, 24, 2, 20, 29, ma_active },
	{ AT_GAP, PREV_RANGE, 0, 2, 20, 29, ma_active },
	{ AT_GAP, PREV_RANGE, 20, 2, 20, 29, ma_active },
	{ AT_GAP, PREV_RANGE, 24, 2, 20, 29, ma_active },
	{ PAUSED, WALK, ULONG_MAX, 2, 20, 29, ma_active },
	{ PAUSED, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ PAUSED, FIND, 35, 0, 30, 39, ma_active },
	{ PAUSED, FIND, 29, 0, 20, 29, ma_pause },
	{ PAUSED, FIND_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ PAUSED, FIND_RANGE, 35, 0, 30, 39, ma_overflow },
	{ PAUSED, FIND_RANGE, 29, 0, 20, 29, ma_pause },
	{ PAUSED, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ PAUSED, NEXT, 35, 0, 30, 39, ma_overflow },
	{ PAUSED, NEXT, 29, 0, 20, 29, ma_overflow },
	{ PAUSED, NEXT_RANGE, ULONG_MAX, 0, 30, 39, ma_active },
	{ PAUSED, NEXT_RANGE, 35, 0, 30, 39, ma_active },
	{ PAUSED, NEXT_RANGE, 29, 0, 20, 29, ma_overflow },
	{ PAUSED, FIND_REV, 0, 1, 10, 19, ma_active },
	{ PAUSED, FIND_REV, 20, 0, 20, 29, ma_underflow },
	{ PAUSED, FIND_RANGE_REV, 0, 1, 10, 19, ma_active },
	{ PAUSED, FIND_RANGE_REV, 20, 0, 20, 29, ma_underflow },
	{ PAUSED, PREV, 0, 1, 10, 19, ma_active },
	{ PAUSED, PREV, 20, 0, 20, 29, ma_underflow },
	{ PAUSED, PREV_RANGE, 0, 1, 10, 19, ma_active },
	{ PAUSED, PREV_RANGE, 20, 0, 20, 29, ma_underflow },
	{ AT_UPPER_LIMIT, WALK, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, FIND, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, FIND, 35, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, FIND, 29, 0, 20, 29, ma_overflow },
	{ AT_UPPER_LIMIT, FIND_RANGE, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, FIND_RANGE, 35, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, FIND_RANGE, 29, 0, 20, 29, ma_overflow },
	{ AT_UPPER_LIMIT, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ AT_UPPER_LIMIT, NEXT, 35, 0, 30, 39, ma_overflow },
	{ AT_UPPER_LIMIT, NEXT, 29, 0, 20, 29, ma_overflow },
	{ AT_UPPER_LIMIT, NEXT_RANGE, ULONG_MAX, 0, 30, 39, ma_active },
	{ AT_UPPER_LIMIT, NEXT_RANGE, 35, 0, 30, 39, ma_active },
	{ AT_UPPER_LIMIT, NEXT_RANGE, 29, 0, 20, 29, ma_overflow },
	{ AT_UPPER_LIMIT, FIND_REV, 0, 1, 10, 19, ma_active },
	{ AT_UPPER_LIMIT, FIND_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_UPPER_LIMIT, FIND_RANGE_REV, 0, 1, 10, 19, ma_active },
	{ AT_UPPER_LIMIT, FIND_RANGE_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_UPPER_LIMIT, PREV, 0, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, PREV, 20, 0, 20, 29, ma_underflow },
	{ AT_UPPER_LIMIT, PREV_RANGE, 0, 2, 20, 29, ma_active },
	{ AT_UPPER_LIMIT, PREV_RANGE, 20, 0, 20, 29, ma_underflow },
	{ AT_LOWER_LIMIT, WALK, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND, 35, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND, 29, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND_RANGE, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND_RANGE, 35, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, FIND_RANGE, 29, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, NEXT, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, NEXT, 35, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, NEXT, 29, 0, 20, 29, ma_overflow },
	{ AT_LOWER_LIMIT, NEXT_RANGE, ULONG_MAX, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, NEXT_RANGE, 35, 2, 20, 29, ma_active },
	{ AT_LOWER_LIMIT, NEXT_RANGE, 29, 0, 20, 29, ma_overflow },
	{ AT_LOWER_LIMIT, FIND_REV, 0, 1, 10, 19, ma_active },
	{ AT_LOWER_LIMIT, FIND_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_LOWER_LIMIT, FIND_RANGE_REV, 0, 1, 10, 19, ma_active },
	{ AT_LOWER_LIMIT, FIND_RANGE_REV, 20, 0, 20, 29, ma_underflow },
	{ AT_LOWER_LIMIT, PREV, 0, 1, 10, 19, ma_active },
	{ AT_LOWER_LIMIT, PREV, 20, 0, 20, 29, ma_underflow },
	{ AT_LOWER_LIMIT, PREV_RANGE, 0, 1, 10, 19, ma_active },
	{ AT_LOWER_LIMIT, PREV_RANGE, 20, 0, 20, 29, ma_underflow },
	{ ERASED, WALK, ULONG_MAX, 0, 20, 39, ma_active },
	{ ERASED, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ ERASED, FIND, 35, 0, 20, 39, ma_active },
	{ ERASED, FIND, 29, 0, 20, 39, ma_active },
	{ ERASED, FIND_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ ERASED, FIND_RANGE, 35, 0, 20, 39, ma_active },
	{ ERASED, FIND_RANGE, 29, 0, 20, 39, ma_active },
	{ ERASED, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ ERASED, NEXT, 35, 0, 20, 39, ma_overflow },
	{ ERASED, NEXT, 29, 0, 20, 39, ma_overflow },
	{ ERASED, NEXT_RANGE, ULONG_MAX, 3, 40, 49, ma_active },
	{ ERASED, NEXT_RANGE, 35, 0, 20, 39, ma_overflow },
	{ ERASED, NEXT_RANGE, 29, 0, 20, 39, ma_overflow },
	{ ERASED, FIND_REV, 0, 1, 10, 19, ma_active },
	{ ERASED, FIND_REV, 20, 0, 20, 39, ma_underflow },
	{ ERASED, FIND_RANGE_REV, 0, 1, 10, 19, ma_active },
	{ ERASED, FIND_RANGE_REV, 20, 0, 20, 39, ma_underflow },
	{ ERASED, PREV, 0, 1, 10, 19, ma_active },
	{ ERASED, PREV, 20, 0, 20, 39, ma_underflow },
	{ ERASED, PREV_RANGE, 0, 1, 10, 19, ma_active },
	{ ERASED, PREV_RANGE, 20, 0, 20, 39, ma_underflow },
	{ STORED, WALK, ULONG_MAX, 4, 32, 35, ma_active },
	{ STORED, FIND, ULONG_MAX, 3, 40, 49, ma_active },
	{ STORED, FIND, 35, 0, 32, 35, ma_active },
	{ STORED, FIND_RANGE, ULONG_MAX, 0, 36, 39, ma_active },
	{ STORED, FIND_RANGE, 35, 0, 32, 35, ma_active },
	{ STORED, NEXT, ULONG_MAX, 3, 40, 49, ma_active },
	{ STORED, NEXT, 35, 0, 32, 35, ma_overflow },
	{ STORED, NEXT_RANGE, ULONG_MAX, 0, 36, 39, ma_active },
	{ STORED, NEXT_RANGE, 35, 0, 32, 35, ma_overflow },
	{ STORED, FIND_REV, 0, 2, 20, 29, ma_active },
	{ STORED, FIND_REV, 20, 2, 20, 29, ma_active },
	{ STORED, FIND_REV, 24, 2, 20, 29, ma_active },
	{ STORED, FIND_RANGE_REV, 0, 0, 30, 31, ma_active },
	{ STORED, FIND_RANGE_REV, 20, 0, 30, 31, ma_active },
	{ STORED, FIND_RANGE_REV, 24, 0, 30, 31, ma_active },
	{ STORED, PREV, 0, 2, 20, 29, ma_active },
	{ STORED, PREV, 20, 2, 20, 29, ma_active },
	{ STORED, PREV, 24, 2, 20, 29, ma_active },
	{ STORED, PREV_RANGE, 0, 0, 30, 31, ma_active },
	{ STORED, PREV_RANGE, 20, 0, 30, 31, ma_active },
	{ STORED, PREV_RANGE, 24, 0, 30, 31, ma_active },
};

/* A tree without any entry, and one that has an entry at [0, 0] only; no limit. */
struct small_row {
	unsigned long index_before;
	enum step step;
	unsigned long value;
	unsigned long index, last;
	enum maple_status status;
};

static const struct small_row empty_rows[] = {
	{ 0, WALK, 0, 0, ULONG_MAX, ma_none },
	{ 0, FIND, 0, 0, ULONG_MAX, ma_none },
	{ 0, FIND_RANGE, 0, 0, ULONG_MAX, ma_none },
	{ 0, NEXT, 0, 0, ULONG_MAX, ma_none },
	{ 0, NEXT_RANGE, 0, 0, ULONG_MAX, ma_none },
	{ 0, FIND_REV, 0, 0, 0, ma_root },
	{ 0, FIND_RANGE_REV, 0, 0, 0, ma_root },
	{ 0, PREV, 0, 0, 0, ma_underflow },
	{ 0, PREV_RANGE, 0, 0, 0, ma_underflow },
	{ 5, WALK, 0, 0, ULONG_MAX, ma_none },
	{ 5, FIND, 0, 0, ULONG_MAX, ma_none },
	{ 5, FIND_RANGE, 0, 0, ULONG_MAX, ma_none },
	{ 5, NEXT, 0, 0, ULONG_MAX, ma_none },
	{ 5, NEXT_RANGE, 0, 0, ULONG_MAX, ma_none },
	{ 5, FIND_REV, 0, 0, 0, ma_root },
	{ 5, FIND_RANGE_REV, 0, 0, 0, ma_root },
	{ 5, PREV, 0, 0, ULONG_MAX, ma_none },
	{ 5, PREV_RANGE, 0, 0, ULONG_MAX, ma_none },
};

static const struct small_row root_rows[] = {
	{ 0, WALK, 7, 0, 0, ma_root },
	{ 0, FIND, 7, 0, 0, ma_root },
	{ 0, FIND_RANGE, 7, 0, 0, ma_root },
	{ 0, NEXT, 0, 1, ULONG_MAX, ma_none },
	{ 0, NEXT_RANGE, 0, 1, ULONG_MAX, ma_none },
	{ 0, FIND_REV, 7, 0, 0, ma_root },
	{ 0, FIND_RANGE_REV, 7, 0, 0, ma_root },
	{ 0, PREV, 0, 0, 0, ma_underflow },
	{ 0, PREV_RANGE, 0, 0, 0, ma_underflow },
	{ 5, WALK, 0, 1, ULONG_MAX, ma_none },
	{ 5, FIND, 0, 1, ULONG_MAX, ma_none },
	{ 5, FIND_RANGE, 0, 1, ULONG_MAX, ma_none },
	{ 5, NEXT, 0, 1, ULONG_MAX, ma_none },
	{ 5, NEXT_RANGE, 0, 1, ULONG_MAX, ma_none },
	{ 5, FIND_REV, 7, 0, 0, ma_root },
	{ 5, FIND_RANGE_REV, 7, 0, 0, ma_root },
	{ 5, PREV, 7, 0, 0, ma_root },
	{ 5, PREV_RANGE, 7, 0, 0, ma_root },
};

static struct maple_tree mt;

static void fill(void)
{
	mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
	assert_int_equal(mtree_store_range(&mt, 10, 19, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&mt, 20, 29, xa_mk_value(2), GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&mt, 40, 49, xa_mk_value(3), GFP_KERNEL), 0);
}

static void begin(struct ma_state *mas, enum from from)
{
	mas_init(mas, &mt, from == START_AT_GAP || from == AT_GAP ? 35 : 25);
	if (from == AT_ENTRY || from == AT_GAP || from == PAUSED || from == AT_UPPER_LIMIT || from == AT_LOWER_LIMIT)
		mas_walk(mas);
	if (from == PAUSED)
		mas_pause(mas);
	if (from == AT_UPPER_LIMIT)
		assert_null(mas_next(mas, 29));
	if (from == AT_LOWER_LIMIT)
		assert_null(mas_prev(mas, 20));
	if (from == ERASED)
		assert_ptr_equal(mas_erase(mas), xa_mk_value(2));
	if (from == STORED) {
		mas_set_range(mas, 32, 35);
		assert_int_equal(mas_store_gfp(mas, xa_mk_value(4), GFP_KERNEL), 0);
	}
}

static void *take_step(struct ma_state *mas, enum step step, unsigned long limit)
{
	switch (step) {
	case FIND:
		return mas_find(mas, limit);
	case FIND_RANGE:
		return mas_find_range(mas, limit);
	case NEXT:
		return mas_next(mas, limit);
	case NEXT_RANGE:
		return mas_next_range(mas, limit);
	case FIND_REV:
		return mas_find_rev(mas, limit);
	case FIND_RANGE_REV:
		return mas_find_range_rev(mas, limit);
	case PREV:
		return mas_prev(mas, limit);
	case PREV_RANGE:
		return mas_prev_range(mas, limit);
	default:
		return mas_walk(mas);
	}
}

/* Whether the state and what the step returned are as the row says; prints both if not. */
static bool as_said(const struct ma_state *mas, const void *entry, const struct row *row)
{
	unsigned long value = entry ? xa_to_value(entry) : 0;

	if (value == row->value && mas->index == row->index && mas->last == row->last && mas->status == row->status)
		return true;
	printf("from %d, step %d, limit %lu: %lu [%lu, %lu] status %d, should be %lu [%lu, %lu] status %d\n", row->from,
	       row->step, row->limit, value, mas->index, mas->last, mas->status, row->value, row->index, row->last,
	       row->status);
	return false;
}

static void every_step_from_every_place(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ma_state mas;
		void *entry;

		fill();
		begin(&mas, rows[i].from);
		entry = take_step(&mas, rows[i].step, rows[i].limit);
		wrong += !as_said(&mas, entry, &rows[i]);
		mtree_destroy(&mt);
	}
	assert_int_equal(wrong, 0);
}

static unsigned int wrong_small_rows(const struct small_row *row, size_t nr, void *entry_at_0)
{
	unsigned int wrong = 0;

	for (; nr--; row++) {
		unsigned long limit = row->step >= FIND_REV ? 0 : ULONG_MAX;
		const struct row said = { START_AT_ENTRY, row->step, limit, row->value, row->index, row->last, row->status };
		struct ma_state mas;
		void *entry;

		mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
		assert_int_equal(mtree_store(&mt, 0, entry_at_0, GFP_KERNEL), 0);
		mas_init(&mas, &mt, row->index_before);
		entry = take_step(&mas, row->step, limit);
		wrong += !as_said(&mas, entry, &said);
		mtree_destroy(&mt);
	}
	return wrong;
}

static void every_step_in_an_empty_tree(void **state)
{
	(void)state;
	assert_int_equal(wrong_small_rows(empty_rows, sizeof(empty_rows) / sizeof(empty_rows[0]), NULL), 0);
}

static void every_step_beside_the_root_entry(void **state)
{
	(void)state;
	assert_int_equal(wrong_small_rows(root_rows, sizeof(root_rows) / sizeof(root_rows[0]), xa_mk_value(7)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_from_every_place),
		cmocka_unit_test(every_step_in_an_empty_tree),
		cmocka_unit_test(every_step_beside_the_root_entry),
	};

	return cmocka_run_group_tests_name("tree_states", tests, NULL, NULL);
}
