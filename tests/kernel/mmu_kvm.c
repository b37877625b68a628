/* SPDX-License-Identifier: MIT */
/*
 * The page tables that the library writes, walked by a real MMU: a virtual CPU takes the root table of an
 * address space, and its code in ring 3 reads, writes and executes through it. Skipped where there is no /dev/kvm.
 *
 * The first test checks the instrument itself, with tables written here by hand.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/guest.h"

#define PAGE 4096ul

/* Tables by hand -------------------------------------------------------- */

#define HAND_PAGES 2048ul	/* of memory, so that there are 2 MiB to map at once */
#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define LARGE 0x80ull
#define NX (1ull << 63)

/* Frames: the tables, then data. 512 and on: a page of 2 MiB. */
enum { F_ROOT = 1, F_PDPT, F_PD, F_PT, F_DATA, F_LARGE = 512 };

struct hand {
	struct guest *guest;
	int fd;
	uint64_t *memory;
};

static uint64_t *frame(const struct hand *hand, unsigned long nr)
{
	return hand->memory + nr * PAGE / 8;
}

static void open_hand(struct hand *hand)
{
	const char *why;

	hand->fd = memfd_create("frames", MFD_CLOEXEC);
	assert_true(hand->fd >= 0);
	assert_int_equal(ftruncate(hand->fd, (off_t)(HAND_PAGES * PAGE)), 0);
	hand->guest = guest_create(hand->fd, HAND_PAGES * PAGE, &why);
	if (!hand->guest) {
		close(hand->fd);
		print_message("no test on a real MMU: %s\n", why);
		skip();
	}
	hand->memory = mmap(NULL, HAND_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, hand->fd, 0);
	assert_true(hand->memory != MAP_FAILED);
	frame(hand, F_ROOT)[0] = F_PDPT * PAGE | P | W | U;
	frame(hand, F_ROOT)[GUEST_TOP_INDEX] = guest_top_entry(hand->guest);
	frame(hand, F_PDPT)[0] = F_PD * PAGE | P | W | U;
	frame(hand, F_PD)[0] = F_PT * PAGE | P | W | U;
	guest_set_root(hand->guest, F_ROOT * PAGE);
}

static void close_hand(struct hand *hand)
{
	munmap(hand->memory, HAND_PAGES * PAGE);
	guest_destroy(hand->guest);
	close(hand->fd);
}

#define assert_done(event) assert_event((event), true, 0, 0, __LINE__)
#define assert_fault(event, addr, code) assert_event((event), false, (addr), (code), __LINE__)

static void assert_event(struct guest_event event, bool done, uint64_t addr, unsigned int code, int line)
{
	if (event.done == done && (done || (event.vector == 14 && event.addr == addr && event.code == code)))
		return;
	print_error("line %d: %s, exception %u, error code %#x, address %#llx; expected %s, code %#x, address %#llx\n",
		    line, event.done ? "went through" : "did not go through", event.vector, event.code,
		    (unsigned long long)event.addr, done ? "that it goes through" : "a page fault", code,
		    (unsigned long long)addr);
	fail();
}

/* What each bit of an entry lets ring 3 do, and what comes back. */
static void by_hand(void **state)
{
	uint64_t *pt, at = 8 * PAGE;
	struct guest_event event;
	struct hand hand;

	open_hand(&hand);
	pt = frame(&hand, F_PT);
	frame(&hand, F_DATA)[1] = 0x1234567890abcdef;

	assert_fault(guest_read(hand.guest, at + 8), at + 8, GUEST_PF_USER);
	assert_fault(guest_write(hand.guest, at, 1), at, GUEST_PF_USER | GUEST_PF_WRITE);
	assert_fault(guest_exec(hand.guest, at), at, GUEST_PF_USER | GUEST_PF_FETCH);

	/* What becomes present is seen without a flush. */
	pt[8] = F_DATA * PAGE | P | U | NX;
	event = guest_read(hand.guest, at + 8);
	assert_done(event);
	assert_true(event.value == 0x1234567890abcdef);
	assert_true(pt[8] & A);
	assert_false(pt[8] & D);
	assert_fault(guest_write(hand.guest, at, 1), at, GUEST_PF_USER | GUEST_PF_WRITE | GUEST_PF_PRESENT);
	assert_fault(guest_exec(hand.guest, at), at, GUEST_PF_USER | GUEST_PF_FETCH | GUEST_PF_PRESENT);

	pt[8] = F_DATA * PAGE | P | W | U;
	guest_flush(hand.guest);
	assert_done(guest_write(hand.guest, at + 8, 77));
	assert_true(frame(&hand, F_DATA)[1] == 77);
	assert_true(pt[8] & D);
	assert_done(guest_exec(hand.guest, at));
	assert_done(guest_exec(hand.guest, at + 8));

	pt[8] = F_DATA * PAGE | P | W;
	guest_flush(hand.guest);
	assert_fault(guest_read(hand.guest, at), at, GUEST_PF_USER | GUEST_PF_PRESENT);

	pt[8] = 0;
	guest_flush(hand.guest);
	assert_fault(guest_read(hand.guest, at), at, GUEST_PF_USER);

	frame(&hand, F_PD)[1] = F_LARGE * PAGE | P | W | U | LARGE;
	assert_done(guest_write(hand.guest, (2ul << 20) + 5 * PAGE, 55));
	assert_true(frame(&hand, F_LARGE + 5)[0] == 55);
	assert_true(frame(&hand, F_PD)[1] & D);
	close_hand(&hand);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand),
	};

	return cmocka_run_group_tests_name("mmu_kvm", tests, NULL, NULL);
}
