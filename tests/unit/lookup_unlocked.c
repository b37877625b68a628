/* SPDX-License-Identifier: MIT */
/* A3. In debug builds a lookup with neither lock nor RCU section stops the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vma/vma.h"

static int setup(void **state)
{
	struct mm_context *ctx;
	struct mm_struct *mm;

	if (mm_context_create(NULL, &ctx) || mm_create(ctx, NULL, &mm))
		return -1;
	*state = mm;
	return 0;
}

static int teardown(void **state)
{
	struct mm_struct *mm = *state;
	struct mm_context *ctx = mm->ctx;

	mm_put(mm);
	mm_context_destroy(ctx);
	return 0;
}

/* The signal that ends a process which calls @look, or 0. */
static int signal_of(void (*look)(struct mm_struct *mm), struct mm_struct *mm)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		look(mm);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void look_find(struct mm_struct *mm)
{
	find_vma(mm, 0);
}

static void look_prev(struct mm_struct *mm)
{
	struct vm_area_struct *prev;

	find_vma_prev(mm, 0, &prev);
}

static void look_lookup(struct mm_struct *mm)
{
	vma_lookup(mm, 0);
}

static void look_locked(struct mm_struct *mm)
{
	mmap_read_lock(mm);
	find_vma(mm, 0);
	mmap_read_unlock(mm);
}

static void look_in_section(struct mm_struct *mm)
{
	samara_rcu_read_lock();
	find_vma(mm, 0);
	samara_rcu_read_unlock();
}

static void an_unlocked_lookup_is_stopped(void **state)
{
	if (SAMARA_DEBUG < 1) {
		print_message("built without assertions\n");
		skip();
	}
	assert_int_equal(signal_of(look_find, *state), SIGABRT);
	assert_int_equal(signal_of(look_prev, *state), SIGABRT);
	assert_int_equal(signal_of(look_lookup, *state), SIGABRT);
}

static void a_locked_lookup_is_not(void **state)
{
	assert_int_equal(signal_of(look_locked, *state), 0);
	assert_int_equal(signal_of(look_in_section, *state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_unlocked_lookup_is_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_locked_lookup_is_not, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
