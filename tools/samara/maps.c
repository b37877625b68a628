/* SPDX-License-Identifier: MIT */
/* samara maps: a maps file, checked, taken over by the library, and printed from there. */
#define _GNU_SOURCE	/* memmem */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "mirror.h"

static const char help[] =
"NAME\n"
"    samara maps - check a maps file, and print it through the library\n"
"\n"
"SYNOPSIS\n"
"    samara maps [--json FILE] PID|FILE\n"
"\n"
"    PID stands for /proc/PID/maps; FILE is a saved maps or smaps file, - standard input. A\n"
"    file whose name is a number is ./NUMBER.\n"
"\n"
"OPTIONS\n"
"    --json FILE     write the mappings as JSON (-: to standard output, instead of the map)\n"
"\n"
"    Exit status: 0; 2 for a bad line, or a process that is not there or may not be read; 1:\n"
"    the machine failed.\n"
"\n"
"EXAMPLES\n"
"    samara maps $$\n"
"    samara maps --json - 1\n";

struct maps_options {
	const char *json;
	const char *source;
};

/* What a walk over the mappings prints to. */
struct printing {
	FILE *out;
	json_t *array;
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* 0: go on; else the exit status + 1. */
static int parse_options(int argc, char **argv, struct maps_options *opt)
{
	static const struct option longs[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			opt->json = optarg;
			break;
		case 'h':
			return print_help("maps", help) + 1;
		default:
			complain("maps", c == ':' ? "'%s' needs a file" :
				 "'%s' is not an option; try samara maps --help",
				 argv[optind - 1]);
			return EXIT_BAD_INPUT + 1;
		}
	}
	if (optind != argc - 1) {
		complain("maps", "give one process id or one file; try samara maps --help");
		return EXIT_BAD_INPUT + 1;
	}
	opt->source = argv[optind];
	return 0;
}

static int complain_read(const char *source, bool pid, int err)
{
	if (err == -ENOMEM)
		return complain_memory();
	if (pid && (err == -ENOENT || err == -ESRCH))
		complain("maps", "there is no process %s", source);
	else if (pid && (err == -EACCES || err == -EPERM))
		complain("maps", "process %s is not ours: its map may not be read", source);
	else
		complain("maps", "%s: %s", source, strerror(-err));
	return EXIT_BAD_INPUT;
}

static unsigned long flags_of(const struct map_line *line)
{
	unsigned long flags = MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_MAYEXEC;

	if (line->vm_flags)
		return line->vm_flags;
	flags |= line->perms[0] == 'r' ? MM_VM_READ : 0;
	flags |= line->perms[1] == 'w' ? MM_VM_WRITE : 0;
	flags |= line->perms[2] == 'x' ? MM_VM_EXEC : 0;
	flags |= line->perms[3] == 's' ? MM_VM_SHARED | MM_VM_MAYSHARE : 0;
	if (!strcmp(line->name, "[stack]"))
		flags |= MM_VM_GROWSDOWN;
	return flags;
}

static int adopt_line(struct mm_context *ctx, struct mm_struct *mm, const struct map_line *line)
{
	struct mm_adopt_args args = {
		.start = line->start,
		.end = line->end,
		.flags = flags_of(line),
		.offset = line->offset,
		.name = *line->name ? line->name : NULL,
		.special = !strncmp(line->name, "[v", 2),
	};
	struct vm_file_info info = {
		.size = sizeof(info),
		.ino = line->ino,
		.dev_major = line->dev_major,
		.dev_minor = line->dev_minor,
		.readable = true,
		.writable = true,
		.name = args.name,
	};
	int err;

	/* A line with neither inode nor path is anonymous, or the kernel's own. */
	if (line->ino || *line->name == '/') {
		err = vm_file_create(ctx, &info, &args.file);
		if (err)
			return err;
	}
	err = mm_adopt(mm, &args);
	/* The mapping holds it now. */
	vm_file_put(args.file);
	return err;
}

static int adopt_map(struct mm_context *ctx, struct mm_struct *mm, const struct map *map, const char *origin)
{
	size_t i;
	int err;

	for (i = 0; i < map->nr; i++) {
		const struct map_line *line = &map->lines[i];

		err = adopt_line(ctx, mm, line);
		if (err == -ENOMEM)
			return complain_memory();
		if (err) {
			complain_at("maps", origin, 0, "mapping %lx-%lx: %s", line->start, line->end,
				    strerror(-err));
			return EXIT_BAD_INPUT;
		}
	}
	return EXIT_OK;
}

static int print_vma(void *arg, const struct mm_vma_info *vma)
{
	struct printing *p = arg;
	char perms[5] = "---p";
	json_t *object;

	if (p->out) {
		map_print_line(p->out, vma);
		return 0;
	}
	perms[0] = vma->flags & MM_VM_READ ? 'r' : '-';
	perms[1] = vma->flags & MM_VM_WRITE ? 'w' : '-';
	perms[2] = vma->flags & MM_VM_EXEC ? 'x' : '-';
	perms[3] = vma->flags & MM_VM_MAYSHARE ? 's' : 'p';
	object = json_pack("{s:I, s:I, s:s, s:I, s:i, s:i, s:I, s:s*}", "start", (json_int_t)vma->start,
			   "end", (json_int_t)vma->end, "permissions", perms,
			   "offset", (json_int_t)vma->offset,
			   "major", (int)vma->dev_major, "minor", (int)vma->dev_minor,
			   "inode", (json_int_t)vma->ino, "name", vma->name);
	/* Names need not be UTF-8, but JSON is: such a name is left out. */
	if (!object)
		object = json_pack("{s:I, s:I, s:s}", "start", (json_int_t)vma->start,
				   "end", (json_int_t)vma->end, "permissions", perms);
	return json_array_append_new(p->array, object) ? -ENOMEM : 0;
}

static int write_json(const char *path, struct mm_struct *mm)
{
	struct printing p = { .array = json_array() };
	struct mm_counters counters;
	json_t *root;
	FILE *out;
	int status = EXIT_OK;

	mm_read_counters(mm, &counters);
	if (!p.array || mm_for_each_vma(mm, print_vma, &p)) {
		json_decref(p.array);
		return complain_memory();
	}
	root = json_pack("{s:I, s:I, s:o}", "mappings_total", (json_int_t)counters.map_count,
			 "pages", (json_int_t)counters.total_vm, "mappings", p.array);
	if (!root)
		return complain_memory();
	out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (!out || json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF || fflush(out)) {
		complain("maps", "%s: %s", path, strerror(errno));
		status = EXIT_NO_MEMORY;
	}
	if (out && out != stdout)
		fclose(out);
	json_decref(root);
	return status;
}

/* The gate area is above the user range and no mapping of the process: its line is passed on as it is. */
static void print_gate(const char *text, size_t len)
{
	static const char name[] = "[vsyscall]";
	const char *at = memmem(text, len, name, sizeof(name) - 1), *start = at;

	if (!at)
		return;
	while (start > text && start[-1] != '\n')
		start--;
	printf("%.*s\n", (int)(at + sizeof(name) - 1 - start), start);
}

static int print_all(const struct maps_options *opt, struct mm_struct *mm, const char *text, size_t len)
{
	struct printing p = { .out = stdout };
	int status = EXIT_OK;

	if (opt->json)
		status = write_json(opt->json, mm);
	if (!opt->json || strcmp(opt->json, "-")) {
		mm_for_each_vma(mm, print_vma, &p);
		print_gate(text, len);
	}
	if (fflush(stdout)) {
		complain("maps", "standard output: %s", strerror(errno));
		status = EXIT_NO_MEMORY;
	}
	return status;
}

/* Through the library: a context, an address space, each line adopted, then printed from there. */
static int show(const struct maps_options *opt, const struct map *map, const char *origin, const char *text,
		size_t len)
{
	struct mm_context_options context = {
		.size = sizeof(context),
		.max_map_count = ~0UL >> 1,
		.mmap_min_addr = 4096,
	};
	struct mm_context *ctx;
	struct mm_struct *mm;
	int status = EXIT_NO_MEMORY;

	if (mm_context_create(&context, &ctx))
		return complain_memory();
	if (mm_create(ctx, NULL, &mm)) {
		complain_memory();
		goto destroy;
	}
	status = adopt_map(ctx, mm, map, origin);
	if (!status && mm_validate(mm)) {
		complain_at("maps", origin, 0,
			    "the library finds its own copy of this map broken: please report it");
		status = EXIT_DIVERGED;
	}
	if (!status)
		status = print_all(opt, mm, text, len);
	mm_put(mm);
destroy:
	mm_context_destroy(ctx);
	return status;
}

int command_maps(int argc, char **argv)
{
	struct maps_options opt = { NULL, NULL };
	struct map map = { 0 };
	char origin[4096], *text;
	size_t len;
	bool pid;
	int err = parse_options(argc, argv, &opt);

	if (err)
		return err - 1;
	pid = is_number(opt.source);
	snprintf(origin, sizeof(origin), pid ? "/proc/%s/maps" : "%s", opt.source);
	err = read_whole_file(origin, &text, &len);
	if (err)
		return complain_read(opt.source, pid, err);

	err = map_parse(&map, text, len, origin);
	if (!err)
		err = show(&opt, &map, origin, text, len);
	else
		err = err == -ENOMEM ? complain_memory() : EXIT_BAD_INPUT;
	if (!err && !map.nr)
		complain("maps", "%s has no mappings", opt.source);
	if (!err)
		hint_next("samara run --verify=each -- PROGRAM");
	map_free(&map);
	free(text);
	return err;
}
