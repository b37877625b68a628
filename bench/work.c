/* SPDX-License-Identifier: MIT */
/* The ranges and the queries: the same for everybody. */
#include "contest.h"

static uint64_t work_random(struct work *work)
{
	work->random ^= work->random << 13;
	work->random ^= work->random >> 7;
	work->random ^= work->random << 17;
	return work->random * 0x2545F4914F6CDD1DULL;
}

static void shuffle(struct work *work, uint32_t *order)
{
	for (unsigned long i = work->n - 1; i > 0; i--) {
		unsigned long k = work_random(work) % (i + 1);
		uint32_t swap = order[i];

		order[i] = order[k];
		order[k] = swap;
	}
}

void work_shuffle(struct work *work)
{
	shuffle(work, work->in);
	shuffle(work, work->out);
}

static void *work_alloc(size_t size)
{
	void *ptr = malloc(size);

	if (!ptr) {
		fputs("bench: no memory for the work; try a smaller --n\n", stderr);
		exit(1);
	}
	return ptr;
}

void work_make(struct work *work, unsigned long n)
{
	unsigned long at = WORK_BASE;

	*work = (struct work){ .n = n, .random = 88172645463325252ULL };
	work->range = work_alloc(n * sizeof(*work->range));
	work->in = work_alloc(n * sizeof(*work->in));
	work->out = work_alloc(n * sizeof(*work->out));
	work->at = work_alloc((WORK_QUERIES + 1) * sizeof(*work->at));
	work->which = work_alloc(WORK_QUERIES * sizeof(*work->which));
	for (unsigned long i = 0; i < n; i++) {
		if (work_random(work) & 1)
			at += (1 + work_random(work) % 64) * WORK_PAGE;
		work->range[i].start = at;
		at += (1 + work_random(work) % 64) * WORK_PAGE;
		work->range[i].last = at - 1;
		work->in[i] = (uint32_t)i;
		work->out[i] = (uint32_t)i;
	}
	work->top = at - 1;
	work_shuffle(work);
	for (unsigned long i = 0; i < WORK_QUERIES; i++) {
		uint32_t k = (uint32_t)(work_random(work) % n);
		const struct work_range *range = &work->range[k];

		work->which[i] = k;
		work->at[i] = range->start + work_random(work) % (range->last - range->start + 1);
	}
	work->at[WORK_QUERIES] = work->at[0];
}

void work_free(struct work *work)
{
	free(work->range);
	free(work->in);
	free(work->out);
	free(work->at);
	free(work->which);
}
