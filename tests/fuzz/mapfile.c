/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a maps file: accepted or refused, never anything else; what is accepted is sorted, lies in the
 * user range, and is accepted again, with the same lines, when it has been printed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mirror.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void print_all(const struct map *map, FILE *out)
{
	for (size_t i = 0; i < map->nr; i++) {
		const struct map_line *line = &map->lines[i];
		struct mm_vma_info vma = {
			.start = line->start,
			.end = line->end,
			.offset = line->offset,
			.dev_major = line->dev_major,
			.dev_minor = line->dev_minor,
			.ino = line->ino,
			.name = line->name,
		};

		vma.flags |= line->perms[0] == 'r' ? MM_VM_READ : 0;
		vma.flags |= line->perms[1] == 'w' ? MM_VM_WRITE : 0;
		vma.flags |= line->perms[2] == 'x' ? MM_VM_EXEC : 0;
		vma.flags |= line->perms[3] == 's' ? MM_VM_MAYSHARE : 0;
		map_print_line(out, &vma);
	}
}

static void check_line(const struct map *map, size_t i)
{
	const struct map_line *line = &map->lines[i];

	must(line->start < line->end && line->end <= 0x7ffffffff000UL);
	must(!((line->start | line->end) & 4095));
	must(!i || line->start >= map->lines[i - 1].end);
	must(line->name >= map->text && line->name < map->text + map->text_room);
}

static void check_again(const struct map *map)
{
	struct map again = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	must(out);
	print_all(map, out);
	fclose(out);
	must(!map_parse(&again, text, len, "printed"));
	must(again.nr == map->nr);
	for (size_t i = 0; i < map->nr; i++) {
		must(again.lines[i].start == map->lines[i].start && again.lines[i].end == map->lines[i].end);
		must(again.lines[i].ino == map->lines[i].ino &&
		     again.lines[i].offset == map->lines[i].offset);
		must(!strcmp(again.lines[i].name, map->lines[i].name));
	}
	map_free(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	struct map map = { 0 };
	int err;

	/* Each refusal is a sentence on standard error; nobody reads these. */
	if (!nowhere) {
		nowhere = fopen("/dev/null", "we");
		must(nowhere);
		stderr = nowhere;
	}
	err = map_parse(&map, (const char *)data, size, "input");
	must(err == 0 || err == -EINVAL);
	if (!err) {
		for (size_t i = 0; i < map.nr; i++)
			check_line(&map, i);
		check_again(&map);
	}
	map_free(&map);
	return 0;
}
