/* SPDX-License-Identifier: MIT */
/*
 * Trace points: the context's hook, and probes for tracers from outside
 * (`samara:mmap`, `munmap`, `fault`, `fork`, `exit`) where <sys/sdt.h> is there
 * at build time (scripts/deps.sh probes). Without a hook, and without a tracer, one costs a comparison.
 */
#ifndef SAMARA_MM_TRACE_H
#define SAMARA_MM_TRACE_H

#include "mm/mm.h"

#ifdef SAMARA_HAVE_SDT
#include <sys/sdt.h>
#define MM_PROBE(name, mm, t) DTRACE_PROBE4(samara, name, mm, (t)->addr, (t)->len, (t)->result)
#else
#define MM_PROBE(name, mm, t) ((void)0)
#endif

void trace_mm_hook(struct mm_struct *mm, const struct mm_trace *trace);

/* No lock may be held that the hook could take. */
static inline void trace_mm(struct mm_struct *mm, const struct mm_trace *trace)
{
	switch (trace->event) {
	case MM_TRACE_MMAP:
		MM_PROBE(mmap, mm, trace);
		break;
	case MM_TRACE_MUNMAP:
		MM_PROBE(munmap, mm, trace);
		break;
	case MM_TRACE_FAULT:
		MM_PROBE(fault, mm, trace);
		break;
	case MM_TRACE_FORK:
		MM_PROBE(fork, mm, trace);
		break;
	case MM_TRACE_EXIT:
		MM_PROBE(exit, mm, trace);
		break;
	}
	if (__builtin_expect(mm->ctx->opt.trace != NULL, 0))
		trace_mm_hook(mm, trace);
}

#endif
