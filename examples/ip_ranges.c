/* SPDX-License-Identifier: MIT */
/* A maple tree as a table of IP address blocks: who owns an address, and where is room for a new block? */
#include <samara/maple_tree.h>
#include <stdio.h>

#define IP(a, b, c, d) ((unsigned long)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static void show(const char *what, unsigned long first, unsigned long last)
{
	printf("%-8s %lu.%lu.%lu.%lu - %lu.%lu.%lu.%lu\n", what, first >> 24, first >> 16 & 255, first >> 8 & 255,
	       first & 255, last >> 24, last >> 16 & 255, last >> 8 & 255, last & 255);
}

int main(void)
{
	struct maple_tree blocks = MTREE_INIT(blocks, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &blocks, 0, 0);
	unsigned long room;
	char *owner;

	mtree_store_range(&blocks, IP(10, 0, 0, 0), IP(10, 0, 3, 255), "office", GFP_KERNEL);
	mtree_store_range(&blocks, IP(10, 0, 8, 0), IP(10, 0, 15, 255), "lab", GFP_KERNEL);
	mtree_store_range(&blocks, IP(10, 0, 1, 0), IP(10, 0, 1, 255), "printers", GFP_KERNEL);
	if (mtree_alloc_range(&blocks, &room, "guests", 1024, IP(10, 0, 0, 0), IP(10, 0, 255, 255), GFP_KERNEL) == 0)
		printf("guests go to 10.0.%lu.0; 10.0.1.7 is in %s\n", room >> 8 & 255,
		       (char *)mtree_load(&blocks, IP(10, 0, 1, 7)));
	mas_for_each(&mas, owner, ~0UL)
		show(owner, mas.index, mas.last);
	mtree_destroy(&blocks);
	return 0;
}
