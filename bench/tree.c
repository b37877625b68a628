/* SPDX-License-Identifier: MIT */
/*
 * The maple tree beside its peers.
 *
 * usage: tree [--n N]... [--core C] [--json FILE] [--peer "PROGRAM ARGS"]... [--only ROW]
 *
 * The first table is measured on one core: our tree in RCU mode with gap
 * tracking, ours with neither, and the maps that were built in. A --peer is any
 * program that prints lines `name,N,operation,median,min,max`.
 */
#include <stdbool.h>

#include "contest.h"
#include "sheet.h"

static const struct sheet_row rows[NR_OPS] = {
	[OP_LOOKUP] = { "lookup, independent", "load_indep", { 1, 1.3 }, { 0.7, 0.7 }, 0 },
	[OP_LOOKUP_DEP] = { "lookup, each depends on the last", "load_dep", { 1, 1.3 }, { 0.7, 0.7 }, 0 },
	[OP_ITERATE] = { "iterate, per entry", "iterate", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_INSERT_RANDOM] = { "insert, random order, from empty", "insert_rand", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_INSERT_ORDER] = { "insert, in order", "insert_seq", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_ERASE_RANDOM] = { "erase, random", "erase_rand", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_PUT_BACK] = { "erase one and put it back", "churn_pair", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_GAP_HIGHEST] = { "highest free gap, full span", "gap_rev_full", { 1, NO_TARGET }, { 1, NO_TARGET }, 0 },
	[OP_GAP_LOWEST] = { "lowest free gap, full span", "gap_fwd_full", { 1, NO_TARGET }, { 1, NO_TARGET }, 0 },
	[OP_GAP_BELOW] = { "highest free gap below a random top", "gap_rev_hint", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_ALLOC_FREE] = { "allocate a gap and free it", "gap_alloc_free_pair", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_DUP] = { "duplicate the tree, per entry", "dup_per_entry", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_REPLACE] = { "replace every entry, per entry", "dup_replace_per_entry", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_DESTROY] = { "destroy, per entry", "destroy_per_entry", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_BYTES_RANDOM] = { "bytes per entry, random build", "bytes_rand", { 1, 1.3 }, { 1, 1 }, 30 },
	[OP_BYTES_ORDER] = { "bytes per entry, built in order", "bytes_seq", { 1, 1.3 }, { 1, 1 }, 20 },
	[OP_LINES] = { "cache lines per lookup", "lines", { 0, 0 }, { 0, 0 }, 0 },
};

/* Measuring --------------------------------------------------------------- */

static unsigned int runs_of(enum op op)
{
	return op >= OP_BYTES_RANDOM ? 1 : WORK_RUNS;
}

/* One row for one size: each contestant takes its turn in each run. */
static void measure_row(struct sheet *sheet, unsigned int size, struct work *work, enum op op,
			const struct contestant *const *who, void *const *filled)
{
	double ns[MAX_COLUMNS][WORK_RUNS];
	unsigned int runs = runs_of(op);

	for (unsigned int r = 0; r < runs; r++) {
		work_shuffle(work);
		for (unsigned int c = 0; who[c]; c++)
			ns[c][r] = who[c]->run(filled[c], work, op);
	}
	for (unsigned int c = 0; who[c]; c++)
		sheet_enter(sheet, who[c]->name, size, op, ns[c], runs);
}

static void measure(struct sheet *sheet, const struct contestant *const *who)
{
	void *filled[MAX_COLUMNS];

	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		struct work work;

		work_make(&work, sheet->size[s]);
		for (unsigned int c = 0; who[c]; c++)
			filled[c] = who[c]->make(who[c], &work);
		/* Last rows first: what is counted is counted before the trees are worn. */
		for (int op = NR_OPS - 1; op >= 0; op--)
			if (op >= OP_BYTES_RANDOM && sheet_wants(sheet, op))
				measure_row(sheet, s, &work, (enum op)op, who, filled);
		for (int op = 0; op < OP_BYTES_RANDOM; op++)
			if (sheet_wants(sheet, op))
				measure_row(sheet, s, &work, (enum op)op, who, filled);
		for (unsigned int c = 0; who[c]; c++)
			who[c]->drop(filled[c]);
		work_free(&work);
	}
}

/* Beginning --------------------------------------------------------------- */

static unsigned int gather_contestants(const struct contestant **who)
{
	const struct contestant *const *peer = contest_peers();
	unsigned int nr = 0;

	who[nr++] = &contest_ours_rcu;
	who[nr++] = &contest_ours_plain;
	while (*peer)
		who[nr++] = *peer++;
	who[nr] = NULL;
	return nr;
}

static void show_threads(const struct sheet *sheet)
{
	printf("\n%-44s %10s %12s %12s %11s %12s\n", "one reader, one writer, a core each", "N", "writer idle",
	       "writer busy", "lost", "writes/us");
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		struct work work;

		work_make(&work, sheet->size[s]);
		threads_table(&work, sheet->core);
		work_free(&work);
	}
}

int main(int argc, char **argv)
{
	static const unsigned long usual[] = { 100, 10000, 1000000 };
	static struct sheet sheet = {
		.program = "tree", .rivals = { "linux", "absl" }, .row = rows, .nr_rows = NR_OPS, .only = -1,
	};
	const struct contestant *who[MAX_COLUMNS];

	sheet_options(&sheet, argc, argv, usual, 3);
	contest_warm_up();
	sheet_pin(&sheet);
	gather_contestants(who);
	measure(&sheet, who);
	sheet_run_peers(&sheet);
	sheet_show(&sheet);
	if (sheet.only < 0)
		show_threads(&sheet);
	if (sheet.json)
		sheet_write_json(&sheet);
	return 0;
}
