/* SPDX-License-Identifier: MIT */
/* Protection keys and pages: what is read, written and translated asks for no fault where nothing is forbidden. */
#define _GNU_SOURCE
#include "support/world.h"

struct keyed {
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long faults;
};

static void count(void *arg, const struct mm_trace *trace)
{
	((struct keyed *)arg)->faults += trace->event == MM_TRACE_FAULT;
}

static void begin(struct keyed *k)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 512, .pkeys = 16, .trace = count, .trace_arg = k };

	*k = (struct keyed){ 0 };
	assert_int_equal(mm_context_create(&opt, &k->ctx), 0);
	assert_int_equal(mm_create(k->ctx, NULL, &k->mm), 0);
	map_anon(k->mm, 0, 4, RW);
	for (int i = 0; i < 4; i++)
		put_byte(k->mm, (unsigned long)i, (unsigned char)i);
}

static void end(struct keyed *k)
{
	mmput(k->mm);
	mm_context_destroy(k->ctx);
}

static void use_all(struct keyed *k)
{
	for (unsigned long i = 0; i < 4; i++) {
		assert_int_equal(get_byte(k->mm, i), i);
		put_byte(k->mm, i, (unsigned char)i);
	}
}

/* A page that is there is read and written without a fault, with keys in use and without. */
static void no_fault(void **state)
{
	struct keyed k;

	begin(&k);
	assert_true(k.faults > 0);
	k.faults = 0;
	use_all(&k);
	assert_int_equal(k.faults, 0);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, MM_PKEY_DISABLE_WRITE), 1);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(3), PAGE_SIZE, RW, 1), 0);
	for (unsigned long i = 0; i < 3; i++)
		put_byte(k.mm, i, (unsigned char)i);
	assert_int_equal(get_byte(k.mm, 3), 3);
	assert_int_equal(k.faults, 0);
	assert_int_equal(mm_write(k.mm, AT(3), "x", 1, NULL), MM_FAULT_PKUERR);
	assert_int_equal(k.faults, 1);
	end(&k);
}

/* Rights that are taken away count at once: the register's, those of another key, those of the first. */
static void at_once(void **state)
{
	struct keyed k;

	begin(&k);
	mm_set_pkru(k.mm, mm_pkru(k.mm) | MM_PKEY_DISABLE_WRITE);
	assert_int_equal(mm_write(k.mm, AT(0), "x", 1, NULL), MM_FAULT_PKUERR);
	assert_int_equal(get_byte(k.mm, 0), 0);
	mm_set_pkru(k.mm, mm_pkru(k.mm) & ~3U);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, 0), 1);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(0), PAGE_SIZE, RW, 1), 0);
	put_byte(k.mm, 0, 7);
	mm_set_pkru(k.mm, mm_pkru(k.mm) | (uint32_t)MM_PKEY_DISABLE_ACCESS << 2);
	assert_int_equal(mm_read(k.mm, AT(0), &(char){ 0 }, 1, NULL), MM_FAULT_PKUERR);
	end(&k);
}

/* What the TLB knows is no longer so when the register changes, and when the mapping gets another key. */
static void translated(void **state)
{
	struct mm_tlb *tlb;
	struct keyed k;
	void *at;

	begin(&k);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, 0), 1);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, MM_PKEY_DISABLE_ACCESS), 2);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(0), PAGE_SIZE, RW, 1), 0);
	assert_int_equal(mm_tlb_create(k.mm, &tlb), 0);
	k.faults = 0;
	mm_tlb_begin(tlb);
	for (int i = 0; i < 10; i++)
		assert_int_equal(mm_translate(tlb, AT(0), MM_WRITE, &at), MM_FAULT_OK);
	mm_tlb_end(tlb);
	assert_int_equal(k.faults, 0);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(0), PAGE_SIZE, RW, 2), 0);
	mm_tlb_begin(tlb);
	assert_int_equal(mm_translate(tlb, AT(0), MM_WRITE, &at), MM_FAULT_PKUERR);
	mm_tlb_end(tlb);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(0), PAGE_SIZE, RW, 1), 0);
	mm_tlb_begin(tlb);
	assert_int_equal(mm_translate(tlb, AT(0), MM_READ, &at), MM_FAULT_OK);
	mm_tlb_end(tlb);
	mm_set_pkru(k.mm, mm_pkru(k.mm) | (uint32_t)MM_PKEY_DISABLE_ACCESS << 2);
	mm_tlb_begin(tlb);
	assert_int_equal(mm_translate(tlb, AT(0), MM_READ, &at), MM_FAULT_PKUERR);
	mm_tlb_end(tlb);
	mm_tlb_destroy(tlb);
	end(&k);
}

/* A page that is there is not held where its key forbids the touch, and held as soon as the key allows it. */
static void pinned(void **state)
{
	unsigned long frame;
	struct keyed k;

	begin(&k);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, MM_PKEY_DISABLE_WRITE), 1);
	assert_int_equal(mm_pkey_alloc(k.mm, 0, MM_PKEY_DISABLE_ACCESS), 2);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(0), PAGE_SIZE, RW, 1), 0);
	assert_int_equal(mm_pkey_mprotect(k.mm, AT(1), PAGE_SIZE, RW | PROT_EXEC, 2), 0);
	/* So that the entry allows to execute, which no key forbids. */
	assert_int_equal(touch(k.mm, 1, MM_EXEC), MM_FAULT_OK);
	k.faults = 0;
	assert_int_equal(mm_pin(k.mm, AT(0), MM_WRITE, &frame), -EFAULT);
	assert_int_equal(mm_pin(k.mm, AT(1), MM_READ, &frame), -EFAULT);
	assert_int_equal(k.faults, 2);
	assert_int_equal(mm_pin(k.mm, AT(0), MM_READ, &frame), 0);
	mm_unpin(k.ctx, frame, false);
	assert_int_equal(mm_pin(k.mm, AT(1), MM_EXEC, &frame), 0);
	mm_unpin(k.ctx, frame, false);
	mm_set_pkru(k.mm, 0);
	assert_int_equal(mm_pin(k.mm, AT(0), MM_WRITE, &frame), 0);
	mm_unpin(k.ctx, frame, true);
	assert_int_equal(k.faults, 2);
	end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_fault), cmocka_unit_test(at_once), cmocka_unit_test(translated),
		cmocka_unit_test(pinned),
	};

	return cmocka_run_group_tests_name("pkey pages", tests, NULL, NULL);
}
