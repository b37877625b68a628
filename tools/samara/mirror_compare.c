/* SPDX-License-Identifier: MIT */
/*
 * The model against the kernel, mapping by mapping.
 *
 * A comparison ends as one of:
 *   same        start, end, permissions, offset, device and inode are equal
 *   explained   only boundaries between equal neighbours differ, and which way
 *               they went hung on faults that nobody told: the kernel's is taken
 *   divergence  anything else: reported, and the kernel's map is taken over
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/mman.h>
#include <asm/mman.h>

#include "mirror_parts.h"

#define LINES_SHOWN 24

/* Views ------------------------------------------------------------------- */

struct fill {
	struct view *view;
	bool full;
};

static int view_append(void *arg, const struct mm_vma_info *vma)
{
	struct fill *fill = arg;
	struct view *view = fill->view;

	if (view->nr == view->room) {
		size_t room = view->room ? view->room * 2 : 128;
		struct mm_vma_info *vmas = realloc(view->vmas, room * sizeof(*vmas));

		if (!vmas) {
			fill->full = true;
			return 1;
		}
		view->vmas = vmas;
		view->room = room;
	}
	view->vmas[view->nr++] = *vma;
	return 0;
}

int view_fill(struct view *view, struct mm_struct *mm)
{
	struct fill fill = { view, false };

	pf_assert(view->nr <= view->room);
	view->nr = 0;
	mm_for_each_vma(mm, view_append, &fill);
	return fill.full ? -ENOMEM : 0;
}

/* Equality ---------------------------------------------------------------- */

static bool same_perms(unsigned long flags, const char perms[5])
{
	return perms[0] == (flags & MM_VM_READ ? 'r' : '-') &&
	       perms[1] == (flags & MM_VM_WRITE ? 'w' : '-') &&
	       perms[2] == (flags & MM_VM_EXEC ? 'x' : '-') &&
	       perms[3] == (flags & MM_VM_MAYSHARE ? 's' : 'p');
}

static bool same_inode(const struct mm_vma_info *vma, const struct map_line *line)
{
	return vma->ino == line->ino && vma->dev_major == line->dev_major &&
	       vma->dev_minor == line->dev_minor;
}

bool vma_equals_line(const struct mm_vma_info *vma, const struct map_line *line)
{
	return vma->start == line->start && vma->end == line->end && vma->offset == line->offset &&
	       same_inode(vma, line) && same_perms(vma->flags, line->perms);
}

struct walk {
	const struct map *map;
	size_t at;
};

static int walk_one(void *arg, const struct mm_vma_info *vma)
{
	struct walk *walk = arg;

	if (walk->at == walk->map->nr || !vma_equals_line(vma, &walk->map->lines[walk->at]))
		return 1;
	walk->at++;
	pf_assert(walk->at <= walk->map->nr);
	return 0;
}

static bool mm_equals_map(struct mm_struct *mm, const struct map *map)
{
	struct walk walk = { map, 0 };

	return !mm_for_each_vma(mm, walk_one, &walk) && walk.at == map->nr;
}

/* Files whose number the kernel made up ----------------------------------- */

/* Shared anonymous memory has a file that only the kernel can number; once learnt, it is compared. */
static bool is_unnumbered(const struct mm_vma_info *vma)
{
	return vma->file && !vma->ino && (vma->flags & MM_VM_MAYSHARE);
}

/* Returns whether anything was learnt. @view is stale then. */
static bool learn_identities(const struct view *view, const struct map *map)
{
	bool learnt = false;
	size_t at = 0;

	for (size_t i = 0; i < view->nr; i++) {
		const struct mm_vma_info *vma = &view->vmas[i];
		const struct map_line *line;

		while (at < map->nr && map->lines[at].end <= vma->start)
			at++;
		if (at == map->nr)
			break;
		line = &map->lines[at];
		if (!is_unnumbered(vma) || line->start > vma->start || !line->ino)
			continue;
		vm_file_set_identity(vma->file, line->dev_major, line->dev_minor, line->ino);
		learnt = true;
	}
	return learnt;
}

/* Stacks ------------------------------------------------------------------ */

static const struct map_line *line_ending_at(const struct map *map, unsigned long end)
{
	size_t low = 0, high = map->nr;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (map->lines[mid].end < end)
			low = mid + 1;
		else
			high = mid;
	}
	return low < map->nr && map->lines[low].end == end ? &map->lines[low] : NULL;
}

/* Grow each stack of the model that the kernel shows larger. Returns how many. */
static unsigned long grow_stacks(struct space *s, const struct view *view, const struct map *map)
{
	unsigned long grown = 0;

	for (size_t i = 0; i < view->nr; i++) {
		const struct mm_vma_info *vma = &view->vmas[i];
		const struct map_line *line;

		if (!(vma->flags & MM_VM_GROWSDOWN))
			continue;
		line = line_ending_at(map, vma->end);
		if (line && line->start < vma->start &&
		    mm_fault(s->mm, line->start, MM_WRITE) == MM_FAULT_OK)
			grown++;
	}
	return grown;
}

static void explain_growth(struct mirror *m, struct process *p, unsigned long grown)
{
	m->stats.stack_growths += grown;
	if (!m->opt.faults_known)
		return;
	m->stats.explained += grown;
	say(m, "explained: process %d: a stack grew by a fault that was not told\n", (int)p->pid);
}

/* Boundaries -------------------------------------------------------------- */

struct boundary {
	unsigned long addr;
	bool kernels;		/* the kernel keeps apart what the model has as one; else the other way */
};

/* Same coverage with the same attributes, piece by piece. */
static bool differ_in_boundaries_only(const struct view *view, const struct map *map)
{
	unsigned long at = 0;
	size_t i = 0, j = 0;

	while (i < view->nr && j < map->nr) {
		const struct mm_vma_info *vma = &view->vmas[i];
		const struct map_line *line = &map->lines[j];
		unsigned long from = vma->start > at ? vma->start : at;
		unsigned long line_from = line->start > at ? line->start : at;

		if (from != line_from || !same_inode(vma, line) || !same_perms(vma->flags, line->perms))
			return false;
		if (vma->file && vma->offset + (from - vma->start) != line->offset + (from - line->start))
			return false;
		at = vma->end < line->end ? vma->end : line->end;
		pf_assert(at > from);
		i += vma->end == at;
		j += line->end == at;
	}
	return i == view->nr && j == map->nr;
}

/* The next place from *@i on where two mappings meet; USER_TOP when there is none. */
static unsigned long next_meeting(const struct view *view, size_t *i)
{
	while (++*i < view->nr)
		if (view->vmas[*i].start == view->vmas[*i - 1].end)
			return view->vmas[*i].start;
	return USER_TOP;
}

static unsigned long next_line_meeting(const struct map *map, size_t *i)
{
	while (++*i < map->nr)
		if (map->lines[*i].start == map->lines[*i - 1].end)
			return map->lines[*i].start;
	return USER_TOP;
}

/* Those that only one side has, at most @room. Returns how many there are. */
static size_t find_boundaries(const struct view *view, const struct map *map, struct boundary *out,
			      size_t room)
{
	size_t i = 0, j = 0, n = 0;
	unsigned long mine = next_meeting(view, &i), theirs = next_line_meeting(map, &j);

	while (mine != theirs || mine != USER_TOP) {
		if (mine != theirs) {
			pf_assert(mine <= USER_TOP && theirs <= USER_TOP);
			if (n < room)
				out[n] = (struct boundary){ mine < theirs ? mine : theirs, theirs < mine };
			n++;
		}
		if (mine <= theirs) {
			bool both = mine == theirs;

			mine = next_meeting(view, &i);
			if (both)
				theirs = next_line_meeting(map, &j);
		} else {
			theirs = next_line_meeting(map, &j);
		}
	}
	return n;
}

static const struct map_line *line_at(const struct map *map, unsigned long addr)
{
	for (size_t i = 0; i < map->nr; i++)
		if (map->lines[i].end > addr)
			return map->lines[i].start <= addr ? &map->lines[i] : NULL;
	return NULL;
}

/* Nothing can have tied the page at @addr to an anon_vma. */
static bool certainly_none(struct mirror *m, struct space *s, const struct map *smaps,
			   const struct mm_vma_info *vma, unsigned long addr)
{
	const struct map_line *line = line_at(smaps, addr);

	if (vma->has_anon_vma)
		return false;
	if (mirror_is_blind(m))
		return !written_any(s, addr, addr + 1);
	return !line || !line->has_anonymous;
}

/* Whether faults that were not told permit what the kernel did at @b. */
static bool is_permitted(struct mirror *m, struct space *s, const struct map *smaps, const struct boundary *b)
{
	const struct map_line *below_line = line_at(smaps, b->addr - 1);
	const struct map_line *above_line = line_at(smaps, b->addr);
	struct mm_vma_info below, above;
	bool none_below, none_above;

	if (mm_next_vma(s->mm, b->addr - 1, &below) || mm_next_vma(s->mm, b->addr, &above))
		return false;
	if ((below.flags | above.flags) & MM_VM_MAYSHARE)
		return false;
	/*
	 * A flag that maps does not show may be what keeps them apart. Whether memory stays accounted when it
	 * is made read-only hangs on its anon_vma, though.
	 */
	if (!below_line || !above_line ||
	    ((below_line->vm_flags ^ above_line->vm_flags) & ~(mirror_is_blind(m) ? MM_VM_ACCOUNT : 0)))
		return false;
	none_below = certainly_none(m, s, smaps, &below, b->addr - 1);
	none_above = certainly_none(m, s, smaps, &above, b->addr);
	if (none_below && none_above)
		return false;
	if (mirror_is_blind(m))
		return true;
	/* Faults are told, but those that the kernel takes for a program: smaps shows if there were. */
	return b->kernels && ((!none_below && !below.has_anon_vma) || (!none_above && !above.has_anon_vma));
}

static int take_boundary(struct mirror *m, struct process *p, const struct call *call,
			 const struct boundary *b)
{
	char text[256];
	int err;

	pf_assert(!(b->addr & (PAGE - 1)));
	err = b->kernels ? mm_adopt_split(p->space->mm, b->addr) : mm_adopt_merge(p->space->mm, b->addr);

	if (err)
		return err;
	m->stats.explained++;
	say(m, "explained: process %d: %s: the kernel %s at %lx; it hangs on which side was written first, "
	    "which was not told\n",
	    (int)p->pid, call ? call_format(call, text, sizeof(text)) : "at its end",
	    b->kernels ? "keeps two mappings" : "has one mapping", b->addr);
	return 0;
}

/*
 * The model had one anon_vma on both sides of what the kernel keeps apart; a side without pages is one of
 * which nothing is known.
 */
static int forget_sides(struct mirror *m, struct space *s, const struct boundary *b)
{
	const struct map_line *sides[2] = { line_at(&m->smaps, b->addr - 1), line_at(&m->smaps, b->addr) };
	int err = 0;

	for (int i = 0; i < 2 && !err && b->kernels && mirror_is_blind(m); i++)
		if (sides[i] && !sides[i]->has_anonymous)
			err = space_enter_line(m, s, sides[i]);
	return err;
}

/*
 * Both sides of what the kernel keeps apart hold pages: two anon_vmas. Settling gives the upper side that of
 * the lower, its neighbour; entered anew with another flag it gets its own, and keeps it without the flag.
 */
static int part_sides(struct mirror *m, struct space *s, const struct boundary *b)
{
	const struct map_line *lower = line_at(&m->smaps, b->addr - 1), *upper = line_at(&m->smaps, b->addr);
	struct map_line marked;
	bool dontfork;
	int err;

	if (!b->kernels || !lower || !upper || !lower->has_anonymous || !upper->has_anonymous)
		return 0;
	dontfork = upper->vm_flags & MM_VM_DONTCOPY;
	marked = *upper;
	marked.vm_flags ^= MM_VM_DONTCOPY;
	err = space_enter_line(m, s, &marked);
	if (err)
		return err;
	return mm_madvise(s->mm, upper->start, upper->end - upper->start,
			  dontfork ? MADV_DONTFORK : MADV_DOFORK);
}

/* Flags that followed from what was thought of anon_vmas are the kernel's, too. */
static int settle_explained(struct mirror *m, struct space *s, const struct boundary *list, size_t n)
{
	unsigned long settled = 0;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = forget_sides(m, s, &list[i]);
	if (!err)
		err = space_take_over(m, s, &m->smaps, NULL);
	if (!err)
		err = settle_from(s, &m->smaps, &settled);
	for (size_t i = 0; i < n && !err; i++)
		err = part_sides(m, s, &list[i]);
	return err;
}

/* 1 when all is explained, 0 when it is not, or -ENOMEM. smaps was read. */
static int explain_boundaries(struct mirror *m, struct process *p, const struct call *call)
{
	struct boundary list[64];
	size_t n = find_boundaries(&m->view, &m->smaps, list, 64);
	int err;

	if (!n || n > 64)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!is_permitted(m, p->space, &m->smaps, &list[i]))
			return 0;
	for (size_t i = 0; i < n; i++) {
		err = take_boundary(m, p, call, &list[i]);
		if (err)
			return err == -ENOMEM ? err : 0;
	}
	err = settle_explained(m, p->space, list, n);
	if (err)
		return err == -ENOMEM ? err : 0;
	return mm_equals_map(p->space->mm, &m->smaps);
}

/*
 * Closing a userfaultfd descriptor, which is no call of the model's, takes its flags off all mappings, and
 * those that became equal join.
 */
static bool hangs_on_userfaults(const struct view *view, const struct map *map)
{
	struct boundary list[64];
	size_t n = find_boundaries(view, map, list, 64), i = 0;

	for (size_t b = 0; b < n && b < 64; b++) {
		if (list[b].kernels)
			return false;
		while (view->vmas[i].start < list[b].addr)
			i++;
		pf_assert(i > 0 && view->vmas[i].start == list[b].addr);
		if (!((view->vmas[i].flags | view->vmas[i - 1].flags) & (MM_VM_UFFD_MISSING | MM_VM_UFFD_WP)))
			return false;
	}
	return n && n <= 64;
}

static int take_userfaults_off(struct mirror *m, struct process *p)
{
	unsigned long changed = 0;
	int err = take_from_kernel(m, p, &changed);

	m->stats.adopted += changed;
	return err < 0 ? err : 0;
}

/* Divergences ------------------------------------------------------------- */

static void show_vma(struct mirror *m, const struct mm_vma_info *vma)
{
	fputs("  - ", m->opt.report);
	map_print_line(m->opt.report, vma);
}

static void show_line(struct mirror *m, const struct map_line *line)
{
	fprintf(m->opt.report, "  + %08lx-%08lx %s %08llx %02x:%02x %llu %s\n", line->start, line->end,
		line->perms, (unsigned long long)line->offset, line->dev_major, line->dev_minor,
		(unsigned long long)line->ino, line->name);
}

/* The lines that are on one side only, in order of address; "-" is the model's, "+" the kernel's. */
static void show_difference(struct mirror *m, const struct view *view, const struct map *map)
{
	unsigned int shown = 0;
	size_t i = 0, j = 0;

	while ((i < view->nr || j < map->nr) && shown < LINES_SHOWN) {
		const struct mm_vma_info *vma = i < view->nr ? &view->vmas[i] : NULL;
		const struct map_line *line = j < map->nr ? &map->lines[j] : NULL;

		if (vma && line && vma_equals_line(vma, line)) {
			i++;
			j++;
			continue;
		}
		shown++;
		if (vma && (!line || vma->start <= line->start)) {
			show_vma(m, vma);
			i++;
		} else {
			show_line(m, line);
			j++;
		}
	}
	if (i < view->nr || j < map->nr)
		fputs("    (the rest is not shown)\n", m->opt.report);
}

static void show_side(FILE *out, const struct mm_vma_info *vma)
{
	if (vma->has_anon_vma)
		fprintf(out, "anon_vma %lu, flags %lx", vma->anon_vma_id, vma->flags);
	else
		fprintf(out, "no anon_vma, flags %lx", vma->flags);
}

/* What the model knew of the two sides of each boundary that only one of the two has. */
static void show_reasons(struct mirror *m, struct space *s, const struct view *view, const struct map *map)
{
	struct boundary list[8];
	size_t n = find_boundaries(view, map, list, 8);
	struct mm_vma_info below, above;

	for (size_t i = 0; i < n && i < 8; i++) {
		if (mm_next_vma(s->mm, list[i].addr - 1, &below) || mm_next_vma(s->mm, list[i].addr, &above))
			continue;
		fprintf(m->opt.report, "    at %lx the model %s: below ", list[i].addr,
			list[i].kernels ? "has no boundary" : "has a boundary");
		show_side(m->opt.report, &below);
		fputs("; above ", m->opt.report);
		show_side(m->opt.report, &above);
		fputc('\n', m->opt.report);
	}
}

static void report_head(struct mirror *m, struct process *p, const struct call *call)
{
	char text[256];

	m->stats.divergences++;
	say(m, "divergence %lu: process %d: %s\n", m->stats.divergences, (int)p->pid,
	    !call ? "at its end" : call->text ? call->text : call_format(call, text, sizeof(text)));
}

/* Mappings differ; m->view is the model's. */
static int diverge_map(struct mirror *m, struct process *p, const struct call *call, const struct map *map)
{
	int err;

	report_head(m, p, call);
	if (m->opt.report) {
		fputs("  mappings differ (- model, + kernel):\n", m->opt.report);
		show_difference(m, &m->view, map);
		show_reasons(m, p->space, &m->view, map);
	}
	err = take_from_kernel(m, p, NULL);
	return err < 0 ? err : 1;
}

static void say_result(struct mirror *m, const char *who, const struct call *call, long result)
{
	struct call as = *call;
	char text[256];

	as.ret = result;
	say(m, "  %s: %s\n", who, call_format(&as, text, sizeof(text)));
}

int diverge_result(struct mirror *m, struct process *p, const struct call *call, long result)
{
	int err;

	report_head(m, p, call);
	say_result(m, "model ", call, result);
	say_result(m, "kernel", call, call->ret);
	err = take_from_kernel(m, p, NULL);
	return err < 0 ? err : 1;
}

/* Reading ----------------------------------------------------------------- */

int read_kernel(struct mirror *m, struct process *p, bool smaps, struct map *map)
{
	int err;

	if (!m->opt.read_map)
		return 1;
	err = m->opt.read_map(m->opt.arg, p->pid, smaps, map);
	if (err == -ESRCH || err == -ENOENT)
		return 1;
	return err ? err : map->nr == 0;
}

/* Comparing --------------------------------------------------------------- */

/* Differences that faults and the kernel's own choices account for. 1 when the rest is equal, 0, -ENOMEM. */
static int reconcile(struct mirror *m, struct process *p, const struct map *map)
{
	struct space *s = p->space;
	unsigned long grown;

	if (view_fill(&m->view, s->mm))
		return -ENOMEM;
	if (learn_identities(&m->view, map) && mm_equals_map(s->mm, map))
		return 1;
	if (m->opt.drain_faults && m->opt.faults_known) {
		m->opt.drain_faults(m->opt.arg, p->pid);
		if (mm_equals_map(s->mm, map))
			return 1;
	}
	if (view_fill(&m->view, s->mm))
		return -ENOMEM;
	grown = grow_stacks(s, &m->view, map);
	if (!grown)
		return 0;
	explain_growth(m, p, grown);
	if (view_fill(&m->view, s->mm))
		return -ENOMEM;
	return mm_equals_map(s->mm, map);
}

int take_from_kernel(struct mirror *m, struct process *p, unsigned long *changed)
{
	unsigned long count = 0, settled = 0;
	int err = read_kernel(m, p, true, &m->smaps);

	if (err)
		return err;
	/* What the model can make equal by itself need not be taken over. */
	err = reconcile(m, p, &m->smaps);
	if (err < 0)
		return err;
	err = space_take_over(m, p->space, &m->smaps, &count);
	if (!err)
		err = settle_from(p->space, &m->smaps, &settled);
	if (!err && (count || settled))
		tell_taken(m, p, &m->smaps);
	if (changed)
		*changed = count;
	return err;
}

/* The maps differ, and m->view is the model's. */
static int judge(struct mirror *m, struct process *p, const struct call *call)
{
	int err;

	if (!differ_in_boundaries_only(&m->view, &m->map))
		return diverge_map(m, p, call, &m->map);
	if (hangs_on_userfaults(&m->view, &m->map))
		return take_userfaults_off(m, p);
	err = read_kernel(m, p, true, &m->smaps);
	if (err)
		return err < 0 ? err : 0;
	err = explain_boundaries(m, p, call);
	if (err < 0)
		return err;
	if (err) {
		tell_taken(m, p, &m->smaps);
		return 0;
	}
	if (view_fill(&m->view, p->space->mm))
		return -ENOMEM;
	return diverge_map(m, p, call, &m->map);
}

int compare_call(struct mirror *m, struct process *p, const struct call *call)
{
	int err = read_kernel(m, p, false, &m->map);

	if (err)
		return err < 0 ? err : 0;
	m->stats.comparisons++;
	if (mm_equals_map(p->space->mm, &m->map))
		return 0;
	err = reconcile(m, p, &m->map);
	if (err)
		return err < 0 ? err : 0;
	return judge(m, p, call);
}
