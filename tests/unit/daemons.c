/* SPDX-License-Identifier: MIT */
/*
 * E4, F5, D1. Who is told of children and ends, when caches are written back, and how one program replaces
 * another.
 */
#include "support/world.h"

#include <string.h>

enum { MERGING, HUGE_PAGES, USERFAULT, EVENTS, NR_DAEMONS };

struct scene;

struct daemon {
	struct mm_daemon daemon;
	struct scene *scene;
	unsigned int forks, exits;
};

struct flush {
	struct mm_struct *mm;
	unsigned long map_count, rss;
	bool write_locked;
};

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm, *child;
	struct daemon daemon[NR_DAEMONS];
	struct flush flush[16];
	unsigned int flushes;
	long signal_after;	/* mappings of a fork; -1: never */
	int order[8];		/* of those who were told of children */
	unsigned int nr_told;
};

static bool is_on_the_list(struct mm_context *ctx, const struct mm_struct *wanted)
{
	struct mm_struct *mm = NULL;
	bool found = false;

	while ((mm = mm_context_next(ctx, mm)) != NULL)
		found |= mm == wanted;
	return found;
}

/* E4. The child is whole, others find it, its maker has not got it, and the library may be called on it. */
static void on_fork(struct mm_daemon *d, struct mm_struct *parent, struct mm_struct *child)
{
	struct daemon *daemon = (struct daemon *)d;
	struct scene *scene = daemon->scene;
	struct mm_counters counters;
	unsigned char byte;

	assert_ptr_equal(parent, scene->mm);
	assert_null(scene->child);
	daemon->forks++;
	scene->order[scene->nr_told++ % 8] = (int)(daemon - scene->daemon);
	mm_read_counters(child, &counters);
	assert_int_equal(counters.map_count, parent->map_count);
	assert_true(is_on_the_list(scene->ctx, child));
	assert_int_equal(mm_read(child, AT(0), &byte, 1, NULL), MM_FAULT_OK);
	assert_int_equal(byte, 1);
	assert_int_equal(mm_validate(child), 0);
}

/* Nothing has gone, and nobody finds it any more. */
static void on_exit_of(struct mm_daemon *d, struct mm_struct *mm)
{
	struct daemon *daemon = (struct daemon *)d;

	daemon->exits++;
	assert_false(mmget_not_zero(mm));
	assert_false(is_on_the_list(mm->ctx, mm));
	assert_int_equal(mm->map_count, 3);
	assert_int_equal(get_mm_rss(mm->pt), 3);
}

static const struct mm_daemon_ops ops = { on_fork, on_exit_of };

static void on_flush_cache(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;

	scene->flush[scene->flushes++ % 16] = (struct flush){
		.mm = mm, .map_count = mm->map_count, .rss = get_mm_rss(mm->pt),
		.write_locked = pf_rwsem_write_held(&mm->mmap_lock),
	};
}

static bool signal_comes(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;

	(void)mm;
	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

static int setup(void **state)
{
	static struct scene scene;
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES, .flush_cache = on_flush_cache,
					  .flush_cache_arg = &scene };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = &scene };

	memset(&scene, 0, sizeof(scene));
	scene.signal_after = -1;
	*state = &scene;
	if (mm_context_create(&opt, &scene.ctx) || mm_create(scene.ctx, &mm_opt, &scene.mm))
		return -1;
	for (int i = 0; i < 3; i++) {
		map_anon(scene.mm, (unsigned long)i * 4, 1, RW);
		put_byte(scene.mm, (unsigned long)i * 4, (unsigned char)(i + 1));
	}
	for (int i = 0; i < NR_DAEMONS; i++) {
		scene.daemon[i] = (struct daemon){ .daemon.ops = &ops, .scene = &scene };
		mm_daemon_register(scene.ctx, &scene.daemon[i].daemon);
	}
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	struct platform_stats stats;

	for (int i = 0; i < NR_DAEMONS; i++)
		mm_daemon_unregister(scene->ctx, &scene->daemon[i].daemon);
	mmput(scene->mm);
	platform_read_stats(scene->ctx->pf, &stats);
	if (stats.frames || stats.tables || stats.vmas || stats.mms || stats.nodes || stats.anon_vmas)
		return -1;
	mm_context_destroy(scene->ctx);
	return 0;
}

static void told(const struct scene *scene, unsigned int forks, unsigned int exits)
{
	for (int i = 0; i < NR_DAEMONS; i++) {
		assert_int_equal(scene->daemon[i].forks, forks);
		assert_int_equal(scene->daemon[i].exits, exits);
	}
}

/* E4. Each is told once of a child, in the order in which they came, and once of its end. */
static void told_of_whole_children(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(mm_fork(scene->mm, &scene->child), 0);
	told(scene, 1, 0);
	for (int i = 0; i < NR_DAEMONS; i++)
		assert_int_equal(scene->order[i], i);
	mmget(scene->child);
	mmput(scene->child);
	told(scene, 1, 0);
	mmput(scene->child);
	scene->child = NULL;
	told(scene, 1, 1);
	/* Who has gone is not told. */
	mm_daemon_unregister(scene->ctx, &scene->daemon[USERFAULT].daemon);
	mm_daemon_unregister(scene->ctx, &scene->daemon[USERFAULT].daemon);
	assert_int_equal(mm_fork(scene->mm, &scene->child), 0);
	mmput(scene->child);
	scene->child = NULL;
	assert_int_equal(scene->daemon[USERFAULT].forks, 1);
	assert_int_equal(scene->daemon[EVENTS].forks, 2);
	assert_int_equal(scene->daemon[EVENTS].exits, 2);
}

/* E4. A fork that fails, at any allocation or any mapping, is told of to nobody, nor is its end. */
static void never_of_failed_ones(void **state)
{
	struct scene *scene = *state;
	unsigned long points = 0, n;
	int err = -ENOMEM;

	for (n = 0; n < 3; n++) {
		scene->signal_after = (long)n;
		assert_int_equal(mm_fork(scene->mm, &scene->child), -EINTR);
		told(scene, 0, 0);
	}
	scene->signal_after = -1;
	for (n = 1; err; n++) {
		platform_fail_nth(scene->ctx->pf, (long)n);
		err = mm_fork(scene->mm, &scene->child);
		platform_fail_nth(scene->ctx->pf, 0);
		told(scene, err ? 0 : 1, 0);
		points += err != 0;
	}
	print_message("# %lu points\n", points);
	assert_true(points >= 10);
	mmput(scene->child);
	scene->child = NULL;
	told(scene, 1, 1);
}

static void flushed(const struct scene *scene, unsigned int i, struct mm_struct *mm, unsigned long map_count,
		    unsigned long rss, bool write_locked)
{
	const struct flush *flush = &scene->flush[i];

	assert_true(i < scene->flushes);
	/* The child of a fork that failed was never ours to know. */
	if (mm)
		assert_ptr_equal(flush->mm, mm);
	else
		assert_ptr_not_equal(flush->mm, scene->mm);
	assert_int_equal(flush->map_count, map_count);
	assert_int_equal(flush->rss, rss);
	assert_int_equal(flush->write_locked, write_locked);
}

/*
 * F5. Caches are written back before the pages of a child that failed go, under its lock, once; when it has
 * none there is nothing to do. Beside that: the parent's before its pages are shared, and an address space's
 * at its end.
 */
static void caches(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *child;

	scene->signal_after = 0;
	assert_int_equal(mm_fork(scene->mm, &child), -EINTR);
	assert_int_equal(scene->flushes, 1);
	flushed(scene, 0, scene->mm, 3, 3, true);
	scene->flushes = 0;
	scene->signal_after = 2;
	assert_int_equal(mm_fork(scene->mm, &child), -EINTR);
	assert_int_equal(scene->flushes, 2);
	flushed(scene, 0, scene->mm, 3, 3, true);
	flushed(scene, 1, NULL, 2, 2, true);
	scene->flushes = 0;
	scene->signal_after = -1;
	assert_int_equal(mm_fork(scene->mm, &child), 0);
	assert_int_equal(scene->flushes, 1);
	mmput(child);
	assert_int_equal(scene->flushes, 2);
	flushed(scene, 1, child, 3, 3, false);
}

/*
 * D1. A new one with the limits of the old, and nothing else of it; the old one ends, if nobody else uses it.
 */
static void exec(void **state)
{
	struct scene *scene = *state;
	struct mm_options opt = { .size = sizeof(opt), .start_brk = AT(50) };
	struct mm_struct *old = scene->mm, *mm;
	struct mm_counters counters;

	assert_int_equal(mm_set_rlimit(old, MM_RLIMIT_STACK, 123 * PAGE_SIZE), 0);
	assert_int_equal(mm_mlockall(old, MCL_FUTURE), 0);
	assert_int_equal(mm_adopt_brk(old, AT(100), AT(104)), 0);
	mmget(old);
	assert_int_equal(mm_exec(old, NULL, &mm), 0);
	scene->mm = mm;
	told(scene, 0, 0);
	assert_int_equal(old->map_count, 3);
	mm_read_counters(mm, &counters);
	assert_int_equal(counters.map_count + counters.total_vm + counters.locked_vm + counters.accounted, 0);
	assert_int_equal(mm->opt.rlimit[MM_RLIMIT_STACK], 123 * PAGE_SIZE);
	assert_int_equal(mm->brk + mm->start_brk, 0);
	assert_ptr_equal(mm->opt.signal_arg, old->opt.signal_arg);
	/* What is mapped from now on is not locked. */
	map_anon(mm, 0, 1, RW);
	mm_read_counters(mm, &counters);
	assert_int_equal(counters.locked_vm, 0);
	assert_true(is_on_the_list(mm->ctx, mm) && is_on_the_list(mm->ctx, old));
	mmput(old);
	told(scene, 0, 1);
	/* With options of its own. */
	for (int i = 1; i < 3; i++) {
		map_anon(mm, (unsigned long)i * 4, 1, RW);
		put_byte(mm, (unsigned long)i * 4, 1);
	}
	put_byte(mm, 0, 1);
	assert_int_equal(mm_exec(mm, &opt, &mm), 0);
	scene->mm = mm;
	told(scene, 0, 2);
	assert_int_equal(mm_brk(mm, AT(51)), AT(51));
	/* Teardown tells of nobody: they have gone by then. */
}

/* D1, promise 2. Without memory nothing has changed: the caller is still who he was. */
static void exec_fails(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *mm = NULL;
	unsigned long n;
	int err = -ENOMEM;

	assert_int_equal(mm_exec(scene->mm, &(struct mm_options){ .size = 1 }, &mm), -EINVAL);
	for (n = 1; err; n++) {
		platform_fail_nth(scene->ctx->pf, (long)n);
		err = mm_exec(scene->mm, NULL, &mm);
		platform_fail_nth(scene->ctx->pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(mm);
		assert_int_equal(get_byte(scene->mm, 4), 2);
		told(scene, 0, 0);
		valid(scene->ctx, scene->mm);
	}
	assert_true(n > 2);
	scene->mm = mm;
	told(scene, 0, 1);
}

int main(void)
{
#define life_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		life_test(told_of_whole_children),
		life_test(never_of_failed_ones),
		life_test(caches),
		life_test(exec),
		life_test(exec_fails),
	};

	return cmocka_run_group_tests_name("daemons", tests, NULL, NULL);
}
