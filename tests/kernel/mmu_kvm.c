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

#include <samara/mm.h>

#include "support/seed.h"
#include "mmu/mmu.h"
#include "support/guest.h"

#define PAGE 4096ul
#define FIXED_SEED 20261125u

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

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

/* Tables of the library --------------------------------------------------- */

#define WINDOW 0x200000000000ul
#define AT(n) (WINDOW + (unsigned long)(n) * PAGE)
#define FRAMES 8192ul

#define READS GUEST_PF_USER
#define WRITES (GUEST_PF_USER | GUEST_PF_WRITE)
#define FETCHES (GUEST_PF_USER | GUEST_PF_FETCH)

struct machine {
	struct mm_context *ctx;
	struct guest *guest;
	pte_t *top;		/* the last entry of the root that is loaded */
};

/* What an address space does to make the CPU forget. */
static void forget(void *arg, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	guest_flush(arg);
}

/* Put @mm on the CPU. */
static void run_on(struct machine *machine, struct mm_struct *mm)
{
	machine->top = pt_table(mm->pt->pool, mm->pt->root) + GUEST_TOP_INDEX;
	guest_set_root(machine->guest, (uint64_t)mm->pt->root * PAGE);
}

/* One access. What the guest needs for itself is none of the library's, and is in the root as long as it runs. */
static struct guest_event attempt(struct machine *machine, unsigned long addr, enum mm_access access, uint64_t value)
{
	struct guest_event event;

	machine->top->v = guest_top_entry(machine->guest);
	if (access == MM_READ)
		event = guest_read(machine->guest, addr);
	else if (access == MM_WRITE)
		event = guest_write(machine->guest, addr, value);
	else
		event = guest_exec(machine->guest, addr);
	machine->top->v = 0;
	return event;
}

static struct guest_event cpu_read(struct machine *machine, unsigned long addr)
{
	return attempt(machine, addr, MM_READ, 0);
}

static struct guest_event cpu_write(struct machine *machine, unsigned long addr, uint64_t value)
{
	return attempt(machine, addr, MM_WRITE, value);
}

static struct guest_event cpu_exec(struct machine *machine, unsigned long addr)
{
	return attempt(machine, addr, MM_EXEC, 0);
}

static int machine_setup(void **state)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES };
	struct platform_stats stats;
	const char *why;

	if (!machine || mm_context_create(&opt, &machine->ctx))
		return -1;
	platform_read_stats(mm_context_platform(machine->ctx), &stats);
	machine->guest = guest_create(pf_frames_fd(machine->ctx->frames->memory), FRAMES * PAGE, &why);
	if (!machine->guest)
		print_message("no test on a real MMU: %s\n", why);
	*state = machine;
	return 0;
}

static int machine_teardown(void **state)
{
	struct machine *machine = *state;
	unsigned long used = frame_pool_used(machine->ctx->frames);

	guest_destroy(machine->guest);
	samara_rcu_barrier();
	used = frame_pool_used(machine->ctx->frames);
	/* A test that failed has left its address spaces: then the context stays too. */
	if (used)
		print_error("%lu frames are left\n", used);
	else
		mm_context_destroy(machine->ctx);
	free(machine);
	return used ? -1 : 0;
}

static struct mm_struct *new_space(struct machine *machine)
{
	struct mm_struct *mm;

	if (!machine->guest)
		skip();
	assert_int_equal(mm_create(machine->ctx, NULL, &mm), 0);
	mm_set_flush(mm, forget, machine->guest);
	run_on(machine, mm);
	return mm;
}

static struct mm_struct *fork_space(struct machine *machine, struct mm_struct *parent)
{
	struct mm_struct *child;

	assert_int_equal(mm_fork(parent, &child), 0);
	mm_set_flush(child, forget, machine->guest);
	return child;
}

static void end_space(struct mm_struct *mm)
{
	assert_int_equal(mm_validate(mm), 0);
	mm_put(mm);
}

static void map_file(struct mm_struct *mm, unsigned long addr, unsigned long pages, unsigned long prot,
		     unsigned long flags, struct vm_file *file)
{
	struct mm_mmap_args args = { .addr = addr, .len = pages * PAGE, .prot = prot, .flags = flags | MAP_FIXED,
				     .file = file };
	unsigned long out;

	assert_int_equal(mm_mmap(mm, &args, &out), 0);
}

static void map_anon(struct mm_struct *mm, unsigned long addr, unsigned long pages, unsigned long prot)
{
	map_file(mm, addr, pages, prot, MAP_PRIVATE | MAP_ANONYMOUS, NULL);
}

static unsigned int code_of(enum mm_access access)
{
	return access == MM_READ ? READS : access == MM_WRITE ? WRITES : FETCHES;
}

/*
 * As an emulator or a hypervisor has it: the guest tries, a fault goes to the library, and if the
 * library has mended it the guest tries again. More than one fault for one access would be one too many.
 */
static enum mm_fault touch(struct machine *machine, struct mm_struct *mm, unsigned long addr,
			   enum mm_access access, uint64_t *value)
{
	struct guest_event event = attempt(machine, addr, access, *value);
	enum mm_fault fault;

	if (!event.done) {
		assert_int_equal(event.vector, 14);
		assert_int_equal(event.code & ~GUEST_PF_PRESENT, code_of(access));
		assert_true(event.addr == addr);
		fault = mm_fault(mm, addr, access);
		if (fault != MM_FAULT_OK)
			return fault;
		event = attempt(machine, addr, access, *value);
		assert_done(event);
	}
	if (access == MM_READ)
		*value = event.value;
	return MM_FAULT_OK;
}

static uint64_t touch_read(struct machine *machine, struct mm_struct *mm, unsigned long addr)
{
	uint64_t value = 0;

	assert_int_equal(touch(machine, mm, addr, MM_READ, &value), MM_FAULT_OK);
	return value;
}

static void touch_write(struct machine *machine, struct mm_struct *mm, unsigned long addr, uint64_t value)
{
	assert_int_equal(touch(machine, mm, addr, MM_WRITE, &value), MM_FAULT_OK);
}

/* What a VMA allows works, what it denies faults there with that code: before there is a page, and with it.
 *
 *   page       0        1        2       3        4
 *           |  rw-  |  r--  |  r-x  |  rwx  |  none  |  not mapped
 */
static void rights(void **state)
{
	static const unsigned long prot[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_EXEC,
					      PROT_READ | PROT_WRITE | PROT_EXEC, PROT_NONE };
	static const bool may[][3] = { { 1, 1, 0 }, { 1, 0, 0 }, { 1, 0, 1 }, { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } };
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	struct guest_event event;
	unsigned int code;
	uint64_t value = 7;

	for (int i = 0; i < 5; i++)
		map_anon(mm, AT(i), 1, prot[i]);
	for (int i = 0; i < 6; i++) {
		for (int access = MM_READ; access <= MM_EXEC; access++) {
			/* The first access finds no page, the others find what it left. */
			code = code_of(access) | (access != MM_READ && may[i][MM_READ] ? GUEST_PF_PRESENT : 0);
			event = attempt(machine, AT(i), access, 7);
			if (!event.done)
				assert_fault(event, AT(i), code);
			else
				assert_true(may[i][access]);
			assert_int_equal(touch(machine, mm, AT(i), access, &value),
					 may[i][access] ? MM_FAULT_OK : i < 5 ? MM_FAULT_ACCERR : MM_FAULT_MAPERR);
		}
	}
	end_space(mm);
}

/* B3, C6. What was unmapped faults: the CPU has forgotten it when munmap returns. */
static void unmapped(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	unsigned long before;

	map_anon(mm, AT(0), 4, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 4; i++)
		touch_write(machine, mm, AT(i), 100u + (unsigned)i);
	before = guest_flushes(machine->guest);
	assert_int_equal(mm_munmap(mm, AT(1), 2 * PAGE), 0);
	assert_true(guest_flushes(machine->guest) > before);
	assert_true(cpu_read(machine, AT(0)).value == 100);
	assert_fault(cpu_read(machine, AT(1)), AT(1), READS);
	assert_fault(cpu_write(machine, AT(2), 1), AT(2), WRITES);
	assert_true(cpu_read(machine, AT(3)).value == 103);
	/* Mapped anew it is empty, though the frame had been full. */
	map_anon(mm, AT(1), 2, PROT_READ | PROT_WRITE);
	assert_true(touch_read(machine, mm, AT(1)) == 0);
	end_space(mm);
}

/* B9. Given back with MADV_DONTNEED: gone at once, and zero when it is touched again. */
static void discarded(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);

	map_anon(mm, AT(0), 2, PROT_READ | PROT_WRITE);
	touch_write(machine, mm, AT(0), 5);
	touch_write(machine, mm, AT(1), 6);
	assert_int_equal(mm_madvise(mm, AT(0), PAGE, MADV_DONTNEED), 0);
	assert_fault(cpu_read(machine, AT(0)), AT(0), READS);
	assert_true(touch_read(machine, mm, AT(0)) == 0);
	assert_true(touch_read(machine, mm, AT(1)) == 6);
	end_space(mm);
}

/* B9. A guard is in nobody's way but the program's: the page that was there has gone, and each touch faults. */
static void guarded(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	uint64_t value = 1;

	map_anon(mm, AT(0), 3, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 3; i++)
		touch_write(machine, mm, AT(i), 10u + (unsigned)i);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE, MADV_GUARD_INSTALL), 0);
	assert_fault(cpu_read(machine, AT(1)), AT(1), READS);
	assert_fault(cpu_write(machine, AT(1), 1), AT(1), WRITES);
	assert_int_equal(touch(machine, mm, AT(1), MM_READ, &value), MM_FAULT_MAPERR);
	assert_int_equal(touch(machine, mm, AT(1), MM_WRITE, &value), MM_FAULT_MAPERR);
	assert_true(cpu_read(machine, AT(0)).value == 10);
	assert_true(cpu_read(machine, AT(2)).value == 12);
	/* Discarding leaves it. */
	assert_int_equal(mm_madvise(mm, AT(0), 3 * PAGE, MADV_DONTNEED), 0);
	assert_fault(cpu_read(machine, AT(1)), AT(1), READS);
	assert_int_equal(touch(machine, mm, AT(1), MM_READ, &value), MM_FAULT_MAPERR);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE, MADV_GUARD_REMOVE), 0);
	assert_true(touch_read(machine, mm, AT(1)) == 0);
	end_space(mm);
}

/* Access is taken away and given back: the page and what is in it stay. */
static void protected(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);

	map_anon(mm, AT(0), 1, PROT_READ | PROT_WRITE);
	touch_write(machine, mm, AT(0), 5);
	assert_int_equal(mm_mprotect(mm, AT(0), PAGE, PROT_READ), 0);
	assert_true(cpu_read(machine, AT(0)).value == 5);
	assert_fault(cpu_write(machine, AT(0), 6), AT(0), WRITES | GUEST_PF_PRESENT);
	assert_fault(cpu_exec(machine, AT(0)), AT(0), FETCHES | GUEST_PF_PRESENT);
	/* A page that no access reaches is not present to the CPU. */
	assert_int_equal(mm_mprotect(mm, AT(0), PAGE, PROT_NONE), 0);
	assert_fault(cpu_read(machine, AT(0)), AT(0), READS);
	assert_int_equal(mm_mprotect(mm, AT(0), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	assert_true(touch_read(machine, mm, AT(0)) == 5);
	touch_write(machine, mm, AT(0), 0x0b0f);
	assert_done(cpu_exec(machine, AT(0)));
	end_space(mm);
}

/* The zero page is shared until one writes. */
static void zero_page(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);

	map_anon(mm, AT(0), 2, PROT_READ | PROT_WRITE);
	assert_true(touch_read(machine, mm, AT(0)) == 0);
	assert_true(touch_read(machine, mm, AT(1)) == 0);
	assert_fault(cpu_write(machine, AT(0), 9), AT(0), WRITES | GUEST_PF_PRESENT);
	touch_write(machine, mm, AT(0), 9);
	assert_true(touch_read(machine, mm, AT(0)) == 9);
	assert_true(touch_read(machine, mm, AT(1)) == 0);
	end_space(mm);
}

/* F4. After a fork the first write of either side makes a copy; what the other sees stays. */
static void copy_on_write(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *parent = new_space(machine), *child;

	map_anon(parent, AT(0), 3, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < 3; i++)
		touch_write(machine, parent, AT(i), 10 + i);
	child = fork_space(machine, parent);
	/* The parent's own translations are write-protected too. */
	assert_fault(cpu_write(machine, AT(0), 20), AT(0), WRITES | GUEST_PF_PRESENT);
	touch_write(machine, parent, AT(0), 20);
	run_on(machine, child);
	assert_true(touch_read(machine, child, AT(0)) == 10);
	assert_fault(cpu_write(machine, AT(1), 31), AT(1), WRITES | GUEST_PF_PRESENT);
	touch_write(machine, child, AT(1), 31);
	assert_true(touch_read(machine, child, AT(2)) == 12);
	run_on(machine, parent);
	assert_true(touch_read(machine, parent, AT(0)) == 20);
	assert_true(touch_read(machine, parent, AT(1)) == 11);
	end_space(child);
	touch_write(machine, parent, AT(2), 22);
	assert_true(touch_read(machine, parent, AT(2)) == 22);
	end_space(parent);
}

/* A page that another thread writes to changes its frame behind the CPU's back: it must not go on with the old one. */
static void written_by_others(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *parent = new_space(machine), *child;
	uint64_t word = 77;

	map_anon(parent, AT(0), 2, PROT_READ | PROT_WRITE);
	assert_true(touch_read(machine, parent, AT(0)) == 0);
	assert_int_equal(mm_write(parent, AT(0), &word, sizeof(word), NULL), MM_FAULT_OK);
	assert_true(touch_read(machine, parent, AT(0)) == 77);
	child = fork_space(machine, parent);
	assert_true(touch_read(machine, parent, AT(0)) == 77);
	word = 78;
	assert_int_equal(mm_write(parent, AT(0), &word, sizeof(word), NULL), MM_FAULT_OK);
	assert_true(touch_read(machine, parent, AT(0)) == 78);
	run_on(machine, child);
	assert_true(touch_read(machine, child, AT(0)) == 77);
	end_space(child);
	end_space(parent);
}

/* Moved pages are at the new place and no longer at the old one. */
static void moved(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	struct mm_mremap_args args = { .addr = AT(0), .old_len = 2 * PAGE, .new_len = 2 * PAGE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(600) };
	unsigned long out;

	/* The third page keeps the table, which else would go, and its translations with it. */
	map_anon(mm, AT(0), 3, PROT_READ | PROT_WRITE);
	touch_write(machine, mm, AT(2), 42);
	touch_write(machine, mm, AT(0), 40);
	touch_write(machine, mm, AT(1), 41);
	assert_int_equal(mm_mremap(mm, &args, &out), 0);
	assert_fault(cpu_read(machine, AT(0)), AT(0), READS);
	assert_true(cpu_read(machine, AT(2)).value == 42);
	assert_true(cpu_read(machine, AT(600)).value == 40);
	assert_true(cpu_read(machine, AT(601)).value == 41);
	end_space(mm);
}

/* The same by whole tables: one entry above changes, and 512 translations with it. */
static void moved_tables(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	struct mm_mremap_args args = { .addr = AT(0), .old_len = 1024 * PAGE, .new_len = 1024 * PAGE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(2048) };
	unsigned long out;

	map_anon(mm, AT(0), 1024, PROT_READ | PROT_WRITE);
	/* A neighbour, so that nothing above goes with the last page below. */
	map_anon(mm, AT(1536), 1, PROT_READ);
	touch_write(machine, mm, AT(3), 40);
	touch_write(machine, mm, AT(1023), 41);
	assert_int_equal(mm_mremap(mm, &args, &out), 0);
	assert_fault(cpu_read(machine, AT(3)), AT(3), READS);
	assert_fault(cpu_read(machine, AT(1023)), AT(1023), READS);
	assert_true(cpu_read(machine, AT(2048 + 3)).value == 40);
	assert_true(cpu_read(machine, AT(2048 + 1023)).value == 41);
	end_space(mm);
}

/* The page of a file is one for all who share it, and a private copy is nobody else's. */
static void file_pages(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *a = new_space(machine), *b = new_space(machine);
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_SHMEM, .readable = true, .writable = true };
	struct vm_file *file;

	assert_int_equal(vm_file_create(machine->ctx, &info, &file), 0);
	map_file(a, AT(0), 1, PROT_READ | PROT_WRITE, MAP_SHARED, file);
	map_file(b, AT(8), 1, PROT_READ | PROT_WRITE, MAP_SHARED, file);
	map_file(b, AT(9), 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, file);
	vm_file_put(file);
	run_on(machine, a);
	touch_write(machine, a, AT(0), 50);
	run_on(machine, b);
	assert_true(touch_read(machine, b, AT(8)) == 50);
	assert_true(touch_read(machine, b, AT(9)) == 50);
	touch_write(machine, b, AT(9), 60);
	touch_write(machine, b, AT(8), 51);
	run_on(machine, a);
	assert_true(touch_read(machine, a, AT(0)) == 51);
	run_on(machine, b);
	assert_true(touch_read(machine, b, AT(9)) == 60);
	end_space(a);
	end_space(b);
}

static pte_t *entry(struct mm_struct *mm, unsigned long addr)
{
	struct pt_slot slot;

	assert_true(pte_find_lock(mm->pt, addr, &slot));
	pte_unlock(&slot);
	return slot.ptep;
}

/* What the CPU notes in an entry is what the library tells: accessed, dirty, and dirty since the last look. */
static void accessed_and_dirty(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	struct mm_page_info info;
	uint64_t bits = 0;

	map_anon(mm, AT(0), 1, PROT_READ | PROT_WRITE);
	touch_write(machine, mm, AT(0), 1);
	mm_dirty_collect(mm, AT(0), PAGE, &bits);
	assert_int_equal(bits, 1);
	bits = 0;
	mm_dirty_collect(mm, AT(0), PAGE, &bits);
	assert_int_equal(bits, 0);
	entry(mm, AT(0))->v &= ~(A | D);
	guest_flush(machine->guest);

	assert_true(touch_read(machine, mm, AT(0)) == 1);
	assert_int_equal(mm_page_info(mm, AT(0), &info), 0);
	assert_true(info.young);
	assert_false(info.dirty);
	touch_write(machine, mm, AT(0), 2);
	assert_int_equal(mm_page_info(mm, AT(0), &info), 0);
	assert_true(info.dirty);
	mm_dirty_collect(mm, AT(0), PAGE, &bits);
	assert_int_equal(bits, 1);
	end_space(mm);
}

/* A page of 2 MiB is one leaf of the level above, and all of it is there at once. */
static void huge(void **state)
{
	struct machine *machine = *state;
	struct mm_struct *mm = new_space(machine);
	unsigned long at = WINDOW, far = at + 300 * PAGE;
	struct mm_adopt_args args = {
		.start = at, .end = at + 512 * PAGE,
		.flags = MM_VM_READ | MM_VM_WRITE | MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_HUGETLB,
	};
	struct mm_page_info info;

	assert_int_equal(mm_adopt(mm, &args), 0);
	assert_fault(cpu_write(machine, far, 3), far, WRITES);
	touch_write(machine, mm, far, 3);
	assert_int_equal(mm_page_info(mm, at, &info), 0);
	assert_true(info.huge && info.present);
	assert_done(cpu_write(machine, at, 4));
	assert_true(cpu_read(machine, far).value == 3);
	assert_int_equal(mm_munmap(mm, at, 512 * PAGE), 0);
	assert_fault(cpu_read(machine, far), far, READS);
	end_space(mm);
}

/* Random calls -------------------------------------------------------------- */

enum { SPAN = 48, CALLS = 250, SPACES = 2 };

/* Two address spaces, parent and child, and what each page must hold: the last word written. */
struct world {
	struct machine *machine;
	struct mm_struct *mm[SPACES];	/* NULL: none */
	uint64_t holds[SPACES][SPAN];
	uint64_t random;
	unsigned long tags, probes, allowed;
};

static unsigned long draw(struct world *w, unsigned long below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (unsigned long)((w->random * 2685821657736338717ull) >> 33) % below;
}

static unsigned long draw_prot(struct world *w)
{
	static const unsigned long prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
					      PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE };

	return prot[draw(w, 6)];
}

/* No code that runs on: each word begins with an instruction that is none. */
static uint64_t new_word(struct world *w)
{
	return ++w->tags << 16 | 0x0b0f;
}

static void forget_contents(struct world *w, int space, unsigned long first, unsigned long pages)
{
	for (unsigned long i = first; i < first + pages; i++)
		w->holds[space][i] = 0;
}

static void random_move(struct world *w, int space, unsigned long from, unsigned long pages)
{
	unsigned long to = draw(w, SPAN - pages + 1), out;
	struct mm_mremap_args args = { .addr = AT(from), .old_len = pages * PAGE, .new_len = pages * PAGE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(to) };
	uint64_t held[SPAN];
	struct mm_vma_info vma;

	if (from < to + pages && to < from + pages)
		return;
	/* Of one mapping, so that the call takes place as a whole or not at all. */
	if (mm_next_vma(w->mm[space], AT(from), &vma) || vma.start > AT(from) || vma.end < AT(from + pages))
		return;
	assert_int_equal(mm_mremap(w->mm[space], &args, &out), 0);
	memcpy(held, &w->holds[space][from], pages * sizeof(held[0]));
	forget_contents(w, space, from, pages);
	memcpy(&w->holds[space][to], held, pages * sizeof(held[0]));
}

static void random_fork(struct world *w)
{
	if (w->mm[1]) {
		end_space(w->mm[1]);
		w->mm[1] = NULL;
		return;
	}
	w->mm[1] = fork_space(w->machine, w->mm[0]);
	memcpy(w->holds[1], w->holds[0], sizeof(w->holds[0]));
}

/* By the CPU, or by somebody else. */
static void random_touch(struct world *w, int space, unsigned long page)
{
	struct mm_struct *mm = w->mm[space];
	uint64_t word = new_word(w);
	enum mm_fault fault;

	run_on(w->machine, mm);
	if (draw(w, 2))
		fault = touch(w->machine, mm, AT(page), MM_WRITE, &word);
	else
		fault = mm_write(mm, AT(page), &word, sizeof(word), NULL);
	if (fault == MM_FAULT_OK)
		w->holds[space][page] = word;
}

static void random_call(struct world *w)
{
	int space = w->mm[1] && draw(w, 2);
	unsigned long first = draw(w, SPAN), pages = 1 + draw(w, SPAN - first < 9 ? SPAN - first : 9);
	struct mm_struct *mm = w->mm[space];

	switch (draw(w, 12)) {
	case 0:
	case 1:
		map_anon(mm, AT(first), pages, draw_prot(w));
		forget_contents(w, space, first, pages);
		break;
	case 2:
		assert_int_equal(mm_munmap(mm, AT(first), pages * PAGE), 0);
		forget_contents(w, space, first, pages);
		break;
	case 3:
	case 4:
		mm_mprotect(mm, AT(first), pages * PAGE, draw_prot(w));
		break;
	case 5:
		/* It complains of holes, and takes what is mapped all the same. */
		mm_madvise(mm, AT(first), pages * PAGE, MADV_DONTNEED);
		forget_contents(w, space, first, pages);
		break;
	case 6:
		random_move(w, space, first, pages);
		break;
	case 7:
		random_fork(w);
		break;
	default:
		random_touch(w, space, first);
	}
}

static bool allows(const struct mm_vma_info *vma, enum mm_access access)
{
	switch (access) {
	case MM_WRITE:
		return vma->flags & MM_VM_WRITE;
	case MM_EXEC:
		return vma->flags & MM_VM_EXEC;
	default:
		return vma->flags & (MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC);
	}
}

/* One access of one page. Unhelped, it may fault, but must not do what the VMA denies; helped, it does what is allowed. */
static void probe(struct world *w, int space, unsigned long page, enum mm_access access, bool help)
{
	struct mm_struct *mm = w->mm[space];
	uint64_t word = new_word(w);
	struct guest_event event;
	struct mm_vma_info vma;
	enum mm_fault expected = MM_FAULT_OK;

	if (mm_next_vma(mm, AT(page), &vma) || vma.start > AT(page))
		expected = MM_FAULT_MAPERR;
	else if (!allows(&vma, access))
		expected = MM_FAULT_ACCERR;
	w->probes++;
	w->allowed += expected == MM_FAULT_OK;
	if (help) {
		assert_int_equal(touch(w->machine, mm, AT(page), access, &word), expected);
	} else {
		event = attempt(w->machine, AT(page), access, word);
		if (!event.done)
			return;
		assert_int_equal(expected, MM_FAULT_OK);
		if (access == MM_READ)
			word = event.value;
	}
	if (expected == MM_FAULT_OK && access == MM_READ && word != w->holds[space][page]) {
		print_error("address space %d, page %lu: the CPU reads %#llx, written was %#llx\n", space, page,
			    (unsigned long long)word, (unsigned long long)w->holds[space][page]);
		fail();
	}
	if (expected == MM_FAULT_OK && access == MM_WRITE)
		w->holds[space][page] = word;
}

static void sweep(struct world *w, bool help)
{
	for (int space = 0; space < SPACES; space++) {
		if (!w->mm[space])
			continue;
		run_on(w->machine, w->mm[space]);
		for (unsigned long page = 0; page < SPAN; page++)
			for (int access = MM_READ; access <= MM_EXEC; access++)
				probe(w, space, page, access, help);
	}
}

/*
 * Promise 6, on hardware. After each of many random calls every page of the window is probed: the CPU never does
 * what the VMA denies, and reads nothing but the last word written; every 16 calls, all that is allowed works.
 */
static void random_calls(struct machine *machine, uint64_t seed)
{
	struct world w = { .machine = machine, .random = seed | 1 };

	print_message("# seed %llu\n", (unsigned long long)seed);
	w.mm[0] = new_space(machine);
	for (int i = 0; i < CALLS; i++) {
		random_call(&w);
		sweep(&w, i % 16 == 15);
	}
	print_message("# note: on a real MMU: %d random calls, %lu accesses probed, %lu of them allowed, %lu flushes\n",
		      CALLS, w.probes, w.allowed, guest_flushes(machine->guest));
	for (int space = 0; space < SPACES; space++)
		if (w.mm[space])
			end_space(w.mm[space]);
}

static void random_fixed(void **state)
{
	random_calls(*state, FIXED_SEED);
}

static void random_fresh(void **state)
{
	random_calls(*state, seed_fresh());
}

#define machine_test(f) cmocka_unit_test_setup_teardown(f, machine_setup, machine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand),
		machine_test(rights),
		machine_test(unmapped),
		machine_test(discarded),
		machine_test(guarded),
		machine_test(protected),
		machine_test(zero_page),
		machine_test(copy_on_write),
		machine_test(written_by_others),
		machine_test(moved),
		machine_test(moved_tables),
		machine_test(file_pages),
		machine_test(accessed_and_dirty),
		machine_test(huge),
		machine_test(random_fixed),
		machine_test(random_fresh),
	};

	return cmocka_run_group_tests_name("mmu_kvm", tests, NULL, NULL);
}
