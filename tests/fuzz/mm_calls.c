/* SPDX-License-Identifier: MIT */
/*
 * Bytes become calls on address spaces of one context: any call, any arguments, in any order.
 * After each the validator must be content, and at the end nothing may be left.
 *
 * Eight bytes a call: kind and process, place, length, and five that choose flags and values.
 * Places lie on a grid of 64 pages, with odd ones now and then, so that calls meet.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "diff.h"

#define BYTES_A_CALL 8
#define MAX_CALLS 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address from a byte, made odd by another. */
static unsigned long address(uint8_t place, uint8_t odd)
{
	unsigned long at = DIFF_WINDOW + (place % 64) * DIFF_PAGE;

	switch (odd) {
	case 255:
		return place == 255 ? ~0UL : (unsigned long)place << 56;
	case 254:
		return at + 1 + place;
	case 253:
		return TRACEE_TASK_SIZE - place % 4 * DIFF_PAGE;
	case 252:
		return -(unsigned long)(place % 8) * DIFF_PAGE;
	case 251:
		return 0;
	default:
		return at;
	}
}

static unsigned long length(uint8_t pages, uint8_t odd)
{
	switch (odd) {
	case 250:
		return ~0UL - pages;
	case 249:
		return (unsigned long)pages << 40;
	case 248:
		return pages;
	case 247:
		return (unsigned long)(pages % 4) << 21;
	default:
		return (1 + pages % 16) * DIFF_PAGE;
	}
}

static void decode(const uint8_t *b, struct diff_op *op)
{
	op->kind = b[0] % DIFF_NR_KINDS;
	op->proc = b[0] / DIFF_NR_KINDS % DIFF_MAX_PROCS;
	op->file = b[7] % DIFF_NR_FILES;
	op->arg[0] = address(b[1], b[4]);
	op->arg[1] = length(b[2], b[5]);
	op->arg[2] = b[3];
	op->arg[3] = (unsigned long)b[5] << 8 | b[6];
	op->arg[4] = (unsigned long)b[6] * DIFF_PAGE;
	switch (op->kind) {
	case DIFF_MMAP:
		op->arg[2] = b[3] & 7;
		op->arg[3] = (1 + b[6] % 3) | (b[6] & 0x10) | (unsigned long)b[7] << 13;
		if (b[5] & 1)
			op->arg[3] |= 0x20 | (b[3] & 8 ? 0x100 : 0);
		break;
	case DIFF_MREMAP:
		op->arg[2] = length(b[3], b[7]);
		op->arg[3] = b[6];
		op->arg[4] = address(b[7], b[3]);
		break;
	case DIFF_BRK:
		op->arg[0] = 0x555555560000 + (unsigned long)b[1] * 1024;
		break;
	case DIFF_MLOCKALL:
		op->arg[0] = b[1];
		break;
	case DIFF_RLIMIT:
		op->arg[0] = b[1] % MM_NR_RLIMITS;
		op->arg[1] = b[2] == 255 ? MM_RLIM_INFINITY : (unsigned long)b[2] * DIFF_PAGE;
		break;
	default:
		break;
	}
}

static void check(struct diff *d)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		if (d->proc[i].alive && mm_validate(d->proc[i].mm))
			abort();
}

/* One context serves all inputs: ending one waits for grace periods, which would be most of the time. */
static struct diff *the_model(void)
{
	static struct diff *d;
	struct mm_context_options opt = { .size = sizeof(opt), .max_map_count = 60 };

	if (!d) {
		d = malloc(sizeof(*d));
		if (!d || diff_open_model(d, &opt, NULL))
			abort();
		mm_put(d->proc[0].mm);
	}
	return d;
}

static void begin(struct diff *d)
{
	struct mm_options opt = { .size = sizeof(opt), .task_size = TRACEE_TASK_SIZE,
				  .mmap_base = d->layout.mmap_base, .start_brk = d->layout.start_brk };

	if (mm_create(d->ctx, &opt, &d->proc[0].mm))
		abort();
	d->proc[0].alive = true;
}

/* All address spaces go, and what they held with them; tree nodes may wait for a grace period. */
static void end(struct diff *d)
{
	struct platform_stats s;
	int i;

	for (i = 0; i < DIFF_MAX_PROCS; i++) {
		if (d->proc[i].alive)
			mm_put(d->proc[i].mm);
		d->proc[i].alive = false;
		d->proc[i].mm = NULL;
	}
	pf_read_stats_now(mm_context_platform(d->ctx), &s);
	if (s.vmas || s.anon_vmas || s.anon_chains || mm_context_committed(d->ctx))
		abort();
	for (i = DIFF_NO_FILE + 1; i < DIFF_NR_FILES; i++)
		if (vm_file_refs(d->file[i]) != 1)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diff *d = the_model();
	struct diff_op op;
	size_t n;

	begin(d);
	for (n = 0; n < MAX_CALLS && (n + 1) * BYTES_A_CALL <= size; n++) {
		memset(&op, 0, sizeof(op));
		decode(data + n * BYTES_A_CALL, &op);
		/* Every sixteenth call or so runs out of memory somewhere. */
		if (data[n * BYTES_A_CALL + 6] % 16 == 7)
			platform_fail_nth(mm_context_platform(d->ctx), 1 + data[n * BYTES_A_CALL + 3] % 32);
		diff_step(d, &op);
		platform_fail_nth(mm_context_platform(d->ctx), 0);
		check(d);
	}
	end(d);
	return 0;
}
