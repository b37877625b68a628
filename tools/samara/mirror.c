/* SPDX-License-Identifier: MIT */
/* The mirror: its processes, the files they map, and the stream of calls. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <linux/sched.h>
#include <sys/sysinfo.h>

#include "mirror_parts.h"

void say(struct mirror *m, const char *fmt, ...)
{
	va_list ap;

	if (!m->opt.report)
		return;
	va_start(ap, fmt);
	vfprintf(m->opt.report, fmt, ap);
	va_end(ap);
}

/* Context ----------------------------------------------------------------- */

/* A setting of this kernel; 0 where it cannot be read. */
static unsigned long read_setting(const char *path)
{
	unsigned long value = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

/* The limits of the machine whose kernel is mirrored; a replay was recorded on another. */
static void read_limits(struct mirror *m, struct mm_context_options *opt)
{
	struct sysinfo info;

	opt->max_map_count = read_setting("/proc/sys/vm/max_map_count");
	/* Under the strict rule, how much is left hangs on what all programs of the machine have promised. */
	opt->overcommit = (enum mm_overcommit)read_setting("/proc/sys/vm/overcommit_memory");
	if (opt->overcommit == MM_OVERCOMMIT_NEVER)
		opt->overcommit = MM_OVERCOMMIT_ALWAYS;
	m->memory_unknown = opt->overcommit == MM_OVERCOMMIT_ALWAYS;
	if (!sysinfo(&info))
		opt->total_ram = (info.totalram + info.totalswap) * info.mem_unit / PAGE;
}

int mirror_create(const struct mirror_options *opt, struct mirror **out)
{
	struct mm_context_options context = { .size = sizeof(context) };
	struct mirror *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->opt = *opt;
	m->sweep_at = 256;
	m->memory_unknown = opt->replay;
	if (!opt->replay) {
		read_limits(m, &context);
		m->legacy_layout = read_setting("/proc/sys/vm/legacy_va_layout");
	}
	/* Where the processor has none, what takes them is refused, and the mirror does not ask. */
	context.pkeys = 16;
	err = mm_context_create(&context, &m->ctx);
	if (err) {
		free(m);
		return err;
	}
	*out = m;
	return 0;
}

/* Files ------------------------------------------------------------------- */

/* A memory file may be sealed against writing while it is open: from then on it is another file to us. */
static struct description **description_slot(struct mirror *m, uint64_t number, bool writable)
{
	struct description **slot = &m->descriptions[number % DESCRIPTION_BUCKETS];

	while (*slot && ((*slot)->number != number || (*slot)->writable != writable))
		slot = &(*slot)->next;
	return slot;
}

static void description_drop(struct mirror *m, struct description **slot)
{
	struct description *d = *slot;

	pf_assert(m->nr_descriptions > 0);
	*slot = d->next;
	vm_file_put(d->file);
	free(d);
	m->nr_descriptions--;
}

/* One reference is our own: such a file is mapped nowhere. Its number may come again, as a new file. */
static void descriptions_sweep(struct mirror *m, bool all)
{
	for (size_t i = 0; i < DESCRIPTION_BUCKETS; i++) {
		struct description **slot = &m->descriptions[i];

		while (*slot) {
			if (all || vm_file_refs((*slot)->file) == 1)
				description_drop(m, slot);
			else
				slot = &(*slot)->next;
		}
	}
	m->sweep_at = 256 + 2 * m->nr_descriptions;
}

unsigned long mirror_description_mapped(struct mirror *m, uint64_t description)
{
	unsigned long mapped = 0;

	for (int writable = 0; description && writable < 2; writable++) {
		struct description **slot = description_slot(m, description, writable);
		unsigned long refs = *slot ? vm_file_refs((*slot)->file) - 1 : 0;

		if (*slot && !refs)
			description_drop(m, slot);
		mapped += refs;
	}
	return mapped;
}

/* Of a file that nothing is known of, only that the kernel mapped it. */
static void file_info(const struct call_file *file, struct vm_file_info *info)
{
	if (file->known) {
		*info = file->info;
		info->size = sizeof(*info);
		return;
	}
	*info = (struct vm_file_info){
		.size = sizeof(*info),
		.kind = VM_FILE_REGULAR,
		.readable = true,
		.writable = true,
		.name = file->info.name,
	};
}

static int description_add(struct mirror *m, uint64_t number, bool writable, struct vm_file *file)
{
	struct description *d = malloc(sizeof(*d));
	struct description **bucket = &m->descriptions[number % DESCRIPTION_BUCKETS];

	if (!d)
		return -ENOMEM;
	vm_file_get(file);
	*d = (struct description){ number, writable, file, *bucket };
	*bucket = d;
	m->nr_descriptions++;
	return 0;
}

int description_get(struct mirror *m, const struct call_file *file, struct vm_file **out)
{
	struct vm_file_info info;
	struct vm_file *made;
	int err;

	file_info(file, &info);
	if (file->description) {
		struct description *d = *description_slot(m, file->description, info.writable);

		if (d) {
			vm_file_get(d->file);
			*out = d->file;
			return 0;
		}
	}
	err = vm_file_create(m->ctx, &info, &made);
	if (err)
		return err;
	if (m->nr_descriptions >= m->sweep_at)
		descriptions_sweep(m, false);
	if (file->description && description_add(m, file->description, info.writable, made)) {
		vm_file_put(made);
		return -ENOMEM;
	}
	*out = made;
	return 0;
}

/* Spaces ------------------------------------------------------------------ */

void note_peak(struct mirror *m, struct space *s)
{
	struct mm_counters counters;

	mm_read_counters(s->mm, &counters);
	if (counters.map_count > m->stats.vmas_peak)
		m->stats.vmas_peak = counters.map_count;
}

void tell_taken(struct mirror *m, struct process *p, const struct map *smaps)
{
	if (m->opt.took_map)
		m->opt.took_map(m->opt.arg, p->pid, smaps);
}

static void add_counters(const struct space *s, struct mirror_stats *stats)
{
	struct mm_counters counters;

	mm_read_counters(s->mm, &counters);
	pf_assert(counters.splits >= s->splits0 && counters.merges >= s->merges0);
	stats->splits += counters.splits - s->splits0;
	stats->merges += counters.merges - s->merges0;
}

static void space_put(struct mirror *m, struct space *s)
{
	pf_assert(s->users > 0);
	if (--s->users)
		return;
	add_counters(s, &m->stats);
	mtree_destroy(&s->written);
	mm_put(s->mm);
	free(s);
}

static int space_fork(struct space *parent, struct space **out)
{
	struct mm_counters counters;
	struct space *s = malloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	*s = *parent;
	s->users = 1;
	mt_init(&s->written);
	err = written_fork(s, parent);
	if (err)
		goto free_space;
	err = mm_fork(parent->mm, &s->mm);
	if (err)
		goto destroy_written;
	mm_read_counters(s->mm, &counters);
	s->splits0 = counters.splits;
	s->merges0 = counters.merges;
	*out = s;
	return 0;

destroy_written:
	mtree_destroy(&s->written);
free_space:
	free(s);
	return err;
}

/* Processes --------------------------------------------------------------- */

static struct process **process_slot(struct mirror *m, pid_t pid)
{
	struct process **slot = &m->by_pid[(unsigned int)pid % PID_BUCKETS];

	while (*slot && (*slot)->pid != pid)
		slot = &(*slot)->next;
	return slot;
}

struct process *find_mirrored(struct mirror *m, pid_t pid)
{
	return *process_slot(m, pid);
}

static int process_add(struct mirror *m, pid_t pid, struct space *s)
{
	struct process **bucket = &m->by_pid[(unsigned int)pid % PID_BUCKETS];
	struct process *p;

	if (m->nr_processes == m->room) {
		size_t room = m->room ? m->room * 2 : 16;
		struct process **list = realloc(m->processes, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		m->processes = list;
		m->room = room;
	}
	pf_assert(s->users > 0 && !find_mirrored(m, pid));
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct process){ pid, true, s, *bucket };
	*bucket = p;
	m->processes[m->nr_processes++] = p;
	return 0;
}

/* No longer found by its id, which the system may use again. @keep: its last map can still be printed. */
static void process_end(struct mirror *m, pid_t pid, bool keep)
{
	struct process **slot = process_slot(m, pid);
	struct process *p = *slot;

	if (!p)
		return;
	pf_assert(p->alive && p->space);
	*slot = p->next;
	p->next = NULL;
	p->alive = false;
	if (keep)
		return;
	space_put(m, p->space);
	p->space = NULL;
}

/* A space that others go on changing would not be the ended process's last map: it gets its own. */
static bool keep_last_map(struct mirror *m, struct process *p)
{
	struct space *own;

	if (!m->opt.replay)
		return false;
	if (p->space->users == 1)
		return true;
	if (space_fork(p->space, &own))
		return false;
	space_put(m, p->space);
	p->space = own;
	return true;
}

void mirror_destroy(struct mirror *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nr_processes; i++) {
		if (m->processes[i]->space)
			space_put(m, m->processes[i]->space);
		free(m->processes[i]);
	}
	descriptions_sweep(m, true);
	mm_context_destroy(m->ctx);
	map_free(&m->map);
	map_free(&m->smaps);
	free(m->view.vmas);
	free(m->processes);
	free(m);
}

/* Life -------------------------------------------------------------------- */

int mirror_exec(struct mirror *m, pid_t pid, const struct map *map, const struct mirror_exec_info *info)
{
	struct process *p = find_mirrored(m, pid);
	struct space *s;
	int err;

	err = space_create(m, map, info, &s);
	if (err)
		return err;
	if (p) {
		space_put(m, p->space);
		p->space = s;
	} else {
		err = process_add(m, pid, s);
		if (err) {
			space_put(m, s);
			return err;
		}
	}
	m->stats.processes++;
	return 0;
}

static int call_fork(struct mirror *m, struct process *p, const struct call *call)
{
	struct space *child;
	int err;

	if (call->ret <= 0)
		return 0;
	/* What has an anon_vma now is another thing to the child than what gets one later. */
	err = settle_before(m, p, call);
	if (err)
		return err;
	err = space_fork(p->space, &child);
	if (err == -ENOMEM) {
		/* The model's commit limit: the kernel had memory for it. The child is left to itself. */
		return diverge_result(m, p, call, err);
	}
	if (err)
		return err;
	mirror_forget(m, (pid_t)call->ret);
	err = process_add(m, (pid_t)call->ret, child);
	if (err) {
		space_put(m, child);
		return err;
	}
	m->stats.processes++;
	return 0;
}

static int call_share(struct mirror *m, struct process *p, const struct call *call)
{
	int err;

	/* Threads have no map of their own. */
	if (call->ret <= 0 || (call->kind == CALL_CLONE_VM && (call->args[0] & CLONE_THREAD)))
		return 0;
	mirror_forget(m, (pid_t)call->ret);
	err = process_add(m, (pid_t)call->ret, p->space);
	if (err)
		return err;
	p->space->users++;
	return 0;
}

static int call_exit(struct mirror *m, struct process *p, const struct call *call)
{
	int ret = 0;

	if (m->opt.verify != MIRROR_VERIFY_NONE && !p->space->stale && !call->in_motion)
		ret = compare_call(m, p, NULL);
	process_end(m, p->pid, keep_last_map(m, p));
	return ret;
}

void mirror_forget(struct mirror *m, pid_t pid)
{
	process_end(m, pid, false);
}

/* Calls ------------------------------------------------------------------- */

/* Cut off: whether it took effect is unknown, so what lives on is asked for its map. */
static int call_cut_off(struct mirror *m, struct process *p)
{
	unsigned long changed = 0;
	int err = take_from_kernel(m, p, &changed);

	if (err > 0)
		p->space->stale = true;
	m->stats.adopted += changed;
	return err < 0 ? err : 0;
}

static int adopt_from_kernel(struct mirror *m, struct process *p)
{
	unsigned long changed = 0;
	int err = take_from_kernel(m, p, &changed);

	if (err > 0)
		return 0;
	m->stats.adopted += changed;
	/* That nothing had to be taken over is a comparison like any other. */
	m->stats.comparisons += !err && !changed && m->opt.verify == MIRROR_VERIFY_EACH;
	return err;
}

/* A call outside the model: what it made of the map is taken over. */
static int call_foreign(struct mirror *m, struct process *p, const struct call *call)
{
	if (m->opt.read_map)
		return is_error(call->ret) ? 0 : adopt_from_kernel(m, p);
	/* An address returned is memory that came from somewhere, and nobody says how much. */
	if (call->ret >= (long)(16 * PAGE) && !(call->ret & (PAGE - 1)) && !m->foreign_noted) {
		m->foreign_noted = true;
		say(m, "note: process %d: %s: memory mapped by such calls is not followed, because the "
		    "trace does not tell its size\n",
		    (int)p->pid, call->text ? call->text : call_name(call->kind));
	}
	return 0;
}

/* In a replay that began in the middle, what the model does not have proves nothing. */
static bool is_judged(struct mirror *m, struct process *p, const struct outcome *out)
{
	return !out->outside && !(m->opt.replay && !p->space->layout_known);
}

static int call_memory(struct mirror *m, struct process *p, const struct call *call)
{
	struct outcome out;
	int err;

	if (p->space->stale) {
		err = adopt_from_kernel(m, p);
		return err;
	}
	err = apply_call(m, p->space, call, &out);
	if (err)
		return err;
	note_peak(m, p->space);
	if (out.take_over)
		return adopt_from_kernel(m, p);
	if (is_judged(m, p, &out) && out.result != call->ret)
		return diverge_result(m, p, call, out.result);
	return m->opt.verify == MIRROR_VERIFY_EACH ? compare_call(m, p, call) : 0;
}

static void count_call(struct mirror *m, const struct call *call)
{
	m->stats.calls[call->kind]++;
	if (call->returned && is_error(call->ret))
		m->stats.failed_calls++;
}

int mirror_call(struct mirror *m, const struct call *call)
{
	struct process *p = find_mirrored(m, call->pid);

	pf_assert((unsigned int)call->kind < CALL_NR_KINDS);
	if (!p)
		return 0;
	count_call(m, call);
	switch (call->kind) {
	case CALL_FORK:
		return call_fork(m, p, call);
	case CALL_VFORK:
	case CALL_CLONE_VM:
		return call_share(m, p, call);
	case CALL_EXEC:
		return 0;
	case CALL_EXIT:
		return call_exit(m, p, call);
	default:
		break;
	}
	if (!call->returned)
		return call_cut_off(m, p);
	return call->kind == CALL_FOREIGN ? call_foreign(m, p, call) : call_memory(m, p, call);
}

int mirror_before(struct mirror *m, const struct call *call)
{
	struct process *p = find_mirrored(m, call->pid);

	return p ? settle_before(m, p, call) : 0;
}

int mirror_compare(struct mirror *m, pid_t pid)
{
	struct process *p = find_mirrored(m, pid);

	return p && !p->space->stale ? compare_call(m, p, NULL) : 0;
}

int mirror_adopt_map(struct mirror *m, pid_t pid, const struct map *map)
{
	struct process *p = find_mirrored(m, pid);
	unsigned long changed = 0, settled = 0;
	int err;

	if (!p)
		return 0;
	err = space_take_over(m, p->space, map, &changed);
	m->stats.adopted += changed;
	return err ? err : settle_from(p->space, map, &settled);
}

/* Faults ------------------------------------------------------------------ */

/* Stacks grow near their end only; elsewhere the counters need not be read. */
#define STACK_SPAN (1UL << 30)

static unsigned long stack_pages(struct space *s)
{
	struct mm_counters counters;

	mm_read_counters(s->mm, &counters);
	return counters.stack_vm;
}

int mirror_fault(struct mirror *m, pid_t pid, unsigned long addr, enum mm_access access)
{
	struct process *p = find_mirrored(m, pid);
	unsigned long before = 0;
	enum mm_fault ret;
	bool near_stack;

	if (!p)
		return 0;
	m->stats.faults++;
	near_stack = addr < p->space->stack_end && p->space->stack_end - addr < STACK_SPAN;
	if (near_stack)
		before = stack_pages(p->space);
	ret = mm_fault(p->space->mm, addr, access);
	if (near_stack && stack_pages(p->space) > before)
		m->stats.stack_growths++;
	return ret == MM_FAULT_OOM ? -ENOMEM : 0;
}

void mirror_faults_lost(struct mirror *m)
{
	if (!m->opt.faults_known)
		return;
	m->opt.faults_known = false;
	/* What was not told may have been anywhere. */
	for (size_t i = 0; i < m->nr_processes; i++) {
		struct process *p = m->processes[i];

		if (p->alive && written_set(m, p->space, 0, USER_TOP))
			say(m, "note: process %d: no memory to keep what may have been written\n",
			    (int)p->pid);
	}
}

/* Looking ----------------------------------------------------------------- */

void mirror_read_stats(struct mirror *m, struct mirror_stats *out)
{
	*out = m->stats;
	for (size_t i = 0; i < m->nr_processes; i++) {
		struct process *p = m->processes[i];
		struct mm_counters counters;

		if (!p->space)
			continue;
		/* Of those that share a space, the first counts it. */
		for (size_t j = 0; p && p->space->users > 1 && j < i; j++)
			if (m->processes[j]->space == p->space)
				p = NULL;
		if (!p)
			continue;
		add_counters(p->space, out);
		mm_read_counters(p->space->mm, &counters);
		out->vmas_now += p->alive ? counters.map_count : 0;
	}
}

struct mm_struct *mirror_mm(struct mirror *m, pid_t pid)
{
	struct process *p = find_mirrored(m, pid);

	return p ? p->space->mm : NULL;
}

size_t mirror_nr_processes(struct mirror *m)
{
	return m->nr_processes;
}

pid_t mirror_process_pid(struct mirror *m, size_t index)
{
	pf_assert(index < m->nr_processes);
	return m->processes[index]->pid;
}

struct mm_struct *mirror_process_mm(struct mirror *m, size_t index)
{
	pf_assert(index < m->nr_processes);
	return m->processes[index]->space ? m->processes[index]->space->mm : NULL;
}

struct printing {
	const struct space *space;
	FILE *out;
};

/* The kernel names two kinds of anonymous memory by where they lie. */
static int print_vma(void *arg, const struct mm_vma_info *vma)
{
	struct printing *printing = arg;
	const struct space *s = printing->space;
	struct mm_vma_info named = *vma;

	if (!vma->file && !vma->name) {
		if (s->heap_known && vma->start < s->heap_end && vma->end > s->heap_start)
			named.name = "[heap]";
		else if (vma->start < s->stack_end && vma->end >= s->stack_end)
			named.name = "[stack]";
	}
	map_print_line(printing->out, &named);
	return 0;
}

int mirror_print_maps(struct mirror *m, size_t index, FILE *out)
{
	struct printing printing = { .out = out };

	pf_assert(index < m->nr_processes);
	printing.space = m->processes[index]->space;
	if (!printing.space)
		return -ENOENT;
	mm_for_each_vma(printing.space->mm, print_vma, &printing);
	return 0;
}
