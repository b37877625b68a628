/* SPDX-License-Identifier: MIT */
/* The swap area: slots are handed out once, counted, keep their page, and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mmu/swap.h"

#define SLOTS 50UL

static int setup(void **state)
{
	*state = swap_area_create(platform_default(), SLOTS);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct platform_stats s;

	swap_area_destroy(*state);
	platform_read_stats(platform_default(), &s);
	return s.swap_slots || s.others ? -1 : 0;
}

/* Every slot once, none twice, and none when all are out. */
static void each_slot_once(void **state)
{
	unsigned long slot[SLOTS], i, k;

	assert_int_equal(swap_area_size(*state), SLOTS);
	for (i = 0; i < SLOTS; i++) {
		slot[i] = swap_slot_alloc(*state);
		assert_int_not_equal(slot[i], 0);
		for (k = 0; k < i; k++)
			assert_int_not_equal(slot[i], slot[k]);
	}
	assert_int_equal(swap_slot_alloc(*state), 0);
	assert_int_equal(swap_area_used(*state), SLOTS);
	swap_slot_free(*state, slot[17]);
	assert_int_equal(swap_slot_alloc(*state), slot[17]);
	for (i = 0; i < SLOTS; i++)
		swap_slot_free(*state, slot[i]);
	assert_int_equal(swap_area_used(*state), 0);
}

static void counted(void **state)
{
	unsigned long slot = swap_slot_alloc(*state);

	swap_slot_dup(*state, slot);
	assert_int_equal(swap_slot_count(*state, slot), 2);
	swap_slot_free(*state, slot);
	assert_int_equal(swap_area_used(*state), 1);
	swap_slot_free(*state, slot);
	assert_int_equal(swap_area_used(*state), 0);
}

/* A page comes back as it went; a slot that is handed out anew has nothing of the old one. */
static void keeps_pages(void **state)
{
	static unsigned char page[PAGE_SIZE], back[PAGE_SIZE], zero[PAGE_SIZE];
	unsigned long a = swap_slot_alloc(*state), b = swap_slot_alloc(*state);

	memset(page, 0xa5, sizeof(page));
	page[4095] = 1;
	assert_int_equal(swap_slot_write(*state, a, page), 0);
	memset(page, 0x11, sizeof(page));
	assert_int_equal(swap_slot_write(*state, b, page), 0);
	assert_int_equal(swap_slot_read(*state, a, back), 0);
	assert_int_equal(back[0], 0xa5);
	assert_int_equal(back[4095], 1);
	swap_slot_free(*state, a);
	swap_slot_free(*state, b);
	for (unsigned long i = 0; i < SLOTS; i++) {
		unsigned long slot = swap_slot_alloc(*state);

		assert_int_equal(swap_slot_read(*state, slot, back), 0);
		assert_memory_equal(back, zero, PAGE_SIZE);
	}
	for (unsigned long slot = 1; slot <= SLOTS; slot++)
		swap_slot_free(*state, slot);
}

static void closed(void **state)
{
	unsigned long slot = swap_slot_alloc(*state);

	swap_area_close(*state, true);
	assert_int_equal(swap_slot_alloc(*state), 0);
	swap_slot_dup(*state, slot);
	swap_slot_free(*state, slot);
	swap_slot_free(*state, slot);
	swap_area_close(*state, false);
	slot = swap_slot_alloc(*state);
	assert_int_not_equal(slot, 0);
	swap_slot_free(*state, slot);
}

/* Handing out fails on request; giving back and counting need nothing. */
static void without_memory(void **state)
{
	unsigned long slot = swap_slot_alloc(*state);

	platform_fail_nth(platform_default(), -1);
	assert_int_equal(swap_slot_alloc(*state), 0);
	assert_null(swap_area_create(platform_default(), 3));
	swap_slot_dup(*state, slot);
	swap_slot_free(*state, slot);
	swap_slot_free(*state, slot);
	platform_fail_nth(platform_default(), 2);
	assert_null(swap_area_create(platform_default(), 3));
	platform_fail_nth(platform_default(), 0);
	assert_int_equal(swap_area_used(*state), 0);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(each_slot_once), test(counted), test(keeps_pages), test(closed), test(without_memory),
	};

	return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}
