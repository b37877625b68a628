/* SPDX-License-Identifier: MIT */
/*
 * Page faults of a program and its descendants, from the kernel's trace points
 * for page-fault exceptions through perf: one ring for each CPU, which all
 * tasks on that CPU write into. Who may not use those, but may profile the
 * kernel, gets the same from perf's own count of faults, which does not say
 * what an access was for. Where the kernel has a trace point for it, the
 * times at which a task got its mmap_lock come the same way: they say which
 * faults a call of another thread came before, whenever those began.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tracer.h"

/*
 * Powers of two. 2 MiB hold some 30,000 faults, which take a CPU 30 ms at the
 * least; who drains comes by every 10. Less where less may be locked.
 */
#define RING_PAGES 512UL
#define MIN_RING_PAGES 16UL
#define PAGE 4096UL

/* Bit 1 of x86's error code. */
#define ERROR_WRITE 2

enum { POINT_USER, POINT_KERNEL, POINT_LOCK, NR_POINTS };

/* One trace point; id 0: the kernel does not have it. */
struct point {
	unsigned long id;
	unsigned int addr_offset;	/* in the raw record; 0: has none */
	unsigned int error_offset;
	unsigned int write_offset;
};

struct ring {
	struct perf_event_mmap_page *page;
	int fd[NR_POINTS];		/* the first owns the ring; -1: not open */
};

struct faults {
	struct point point[NR_POINTS];
	struct ring *rings;
	int nr_rings;
	struct locks *locks;
	size_t ring_size;		/* bytes of data in each */
	bool software;			/* perf's count, not the trace points */
	struct fault *list;
	size_t nr;
	size_t room;
};

/* A record as the sample_type below lays it out: of perf's count, and of a trace point. */
struct record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t time;
	union {
		uint64_t addr;
		struct {
			uint32_t raw_size;
			char raw[256];
		} __attribute__((packed));
	};
};

/* Finding the trace points ------------------------------------------------ */

/* The tree of trace points where it is mounted, else one of our own that goes away with its descriptor. */
static int open_tracefs(void)
{
	static const char *const mounted[] = {
		"/sys/kernel/tracing/events",
		"/sys/kernel/debug/tracing/events",
	};
	int fs, mount = -1, fd;

	for (size_t i = 0; i < sizeof(mounted) / sizeof(mounted[0]); i++) {
		fd = open(mounted[i], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	fs = syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	if (!syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	fd = mount < 0 ? -1 : openat(mount, "events", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(fs);
	if (mount >= 0)
		close(mount);
	return fd;
}

/* 0 where there is no such field: no record begins with one of its own. */
static unsigned int field_offset(const char *format, const char *field)
{
	const char *at = strstr(format, field);
	unsigned int offset;

	return at && sscanf(at + strlen(field), " offset:%u;", &offset) == 1 ? offset : 0;
}

static int point_read(int events, const char *path, struct point *out)
{
	char text[2048];
	ssize_t n;
	int fd;

	fd = openat(events, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	if (sscanf(text, "name: %*s ID: %lu", &out->id) != 1)
		return -EINVAL;
	out->addr_offset = field_offset(text, "unsigned long address;");
	out->error_offset = field_offset(text, "unsigned long error_code;");
	out->write_offset = field_offset(text, "bool write;");
	return 0;
}

static int points_find(struct faults *f)
{
	int err, events = open_tracefs();

	if (events < 0)
		return events;
	err = point_read(events, "exceptions/page_fault_user/format", &f->point[POINT_USER]);
	if (!err)
		err = point_read(events, "exceptions/page_fault_kernel/format", &f->point[POINT_KERNEL]);
	/* Not every kernel is built with this one, and most is right without it. */
	if (!err && point_read(events, "mmap_lock/mmap_lock_acquire_returned/format", &f->point[POINT_LOCK]))
		f->point[POINT_LOCK].id = 0;
	if (!err && !f->point[POINT_LOCK].write_offset)
		f->point[POINT_LOCK].id = 0;
	if (!err && (!f->point[POINT_USER].error_offset || !f->point[POINT_KERNEL].error_offset))
		err = -EINVAL;
	close(events);
	return err;
}

/* Opening ----------------------------------------------------------------- */

static int event_open(const struct faults *f, int point, pid_t pid, int cpu)
{
	struct perf_event_attr attr = {
		.type = f->software ? PERF_TYPE_SOFTWARE : PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = f->software ? PERF_COUNT_SW_PAGE_FAULTS : f->point[point].id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
			       (f->software ? PERF_SAMPLE_ADDR : PERF_SAMPLE_RAW),
		.inherit = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		/* Nobody waits for it to be readable. */
		.watermark = 1,
		.wakeup_watermark = f->ring_size,
	};
	int fd = syscall(SYS_perf_event_open, &attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int ring_open(struct faults *f, struct ring *ring, pid_t pid, int cpu)
{
	int nr = f->software ? 1 : NR_POINTS;

	for (int i = 0; i < nr; i++) {
		if (!f->software && !f->point[i].id)
			continue;
		ring->fd[i] = event_open(f, i, pid, cpu);
		if (ring->fd[i] < 0)
			return ring->fd[i];
	}
	ring->page = mmap(NULL, PAGE + f->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd[0], 0);
	if (ring->page == MAP_FAILED) {
		ring->page = NULL;
		return -errno;
	}
	for (int i = 1; i < NR_POINTS; i++)
		if (ring->fd[i] >= 0 && ioctl(ring->fd[i], PERF_EVENT_IOC_SET_OUTPUT, ring->fd[0]))
			return -errno;
	if (ring->fd[POINT_LOCK] >= 0 && ioctl(ring->fd[POINT_LOCK], PERF_EVENT_IOC_SET_FILTER, "success == 1"))
		return -errno;
	return 0;
}

static void rings_close(struct faults *f)
{
	for (int i = 0; i < f->nr_rings; i++) {
		if (f->rings[i].page)
			munmap(f->rings[i].page, PAGE + f->ring_size);
		for (int j = 0; j < NR_POINTS; j++)
			if (f->rings[i].fd[j] >= 0)
				close(f->rings[i].fd[j]);
	}
	f->nr_rings = 0;
}

/* A CPU that is not there now has no ring; a task cannot run on it either, unless it comes back. */
static int rings_try(struct faults *f, pid_t pid, int nr_cpus)
{
	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		struct ring *ring = &f->rings[f->nr_rings];
		int err;

		*ring = (struct ring){ NULL, { -1, -1, -1 } };
		err = ring_open(f, ring, pid, cpu);
		if (err != -ENODEV)
			f->nr_rings++;
		if (err && err != -ENODEV) {
			rings_close(f);
			return err;
		}
	}
	return 0;
}

/* As large as may be: memory that perf locks is limited for all but root. */
static int rings_open(struct faults *f, pid_t pid)
{
	long nr = sysconf(_SC_NPROCESSORS_CONF);
	int err;

	f->rings = realloc(f->rings, nr * sizeof(*f->rings));
	if (!f->rings)
		return -ENOMEM;
	for (f->ring_size = RING_PAGES * PAGE; ; f->ring_size /= 2) {
		err = rings_try(f, pid, nr);
		if (err != -EPERM || f->ring_size <= MIN_RING_PAGES * PAGE)
			return err;
	}
}

int faults_open(pid_t pid, struct faults **out, const char **step)
{
	struct faults *f = calloc(1, sizeof(*f));
	int err;

	*step = "take memory";
	if (!f)
		return -ENOMEM;
	if (locks_create(&f->locks)) {
		free(f);
		return -ENOMEM;
	}
	*step = "listen to page faults";
	err = points_find(f);
	if (!err)
		err = rings_open(f, pid);
	if (err) {
		f->software = true;
		err = rings_open(f, pid);
	}
	if (err) {
		faults_close(f);
		return err;
	}
	*out = f;
	return 0;
}

/* Draining ---------------------------------------------------------------- */

static int list_add(struct faults *f, const struct fault *fault)
{
	size_t room = f->room ? 2 * f->room : 1024;
	struct fault *list;

	if (f->nr == f->room) {
		list = realloc(f->list, room * sizeof(*list));
		if (!list)
			return -ENOMEM;
		f->list = list;
		f->room = room;
	}
	f->list[f->nr++] = *fault;
	return 0;
}

/* The trace point is told by the id that every raw record begins with. */
static int take_sample(struct faults *f, const struct record *r)
{
	struct fault fault = { .time = r->time, .pid = (pid_t)r->pid, .tid = (pid_t)r->tid, .addr = r->addr };
	const struct point *point;
	unsigned long error;
	uint16_t id;

	if (f->software)
		return list_add(f, &fault);
	memcpy(&id, r->raw, sizeof(id));
	if (id == f->point[POINT_LOCK].id) {
		locks_add(f->locks, &(struct lock){
			r->time, (pid_t)r->tid, r->raw[f->point[POINT_LOCK].write_offset] });
		return 0;
	}
	point = &f->point[id == f->point[POINT_KERNEL].id ? POINT_KERNEL : POINT_USER];
	if (r->raw_size < point->error_offset + sizeof(error))
		return 0;
	memcpy(&fault.addr, r->raw + point->addr_offset, sizeof(fault.addr));
	memcpy(&error, r->raw + point->error_offset, sizeof(error));
	fault.access_known = true;
	fault.write = error & ERROR_WRITE;
	return list_add(f, &fault);
}

/* Copy a record out of the ring, which it may lie around the end of. */
static void copy_record(const struct faults *f, const struct ring *ring, uint64_t at, void *buf, size_t len)
{
	const char *data = (const char *)ring->page + PAGE;
	size_t size = f->ring_size, from = at % size, first = size - from < len ? size - from : len;

	memcpy(buf, data + from, first);
	memcpy((char *)buf + first, data, len - first);
}

static int ring_drain(struct faults *f, struct ring *ring, bool *lost)
{
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->page->data_tail;
	struct record record;
	int err = 0;

	while (tail < head && !err) {
		copy_record(f, ring, tail, &record.header, sizeof(record.header));
		if (record.header.type == PERF_RECORD_LOST) {
			*lost = true;
		} else if (record.header.type == PERF_RECORD_SAMPLE && record.header.size <= sizeof(record)) {
			copy_record(f, ring, tail, &record, record.header.size);
			err = take_sample(f, &record);
		}
		tail += record.header.size;
	}
	__atomic_store_n(&ring->page->data_tail, tail, __ATOMIC_RELEASE);
	return err;
}

int faults_drain(struct faults *f, struct fault **list, size_t *nr, bool *lost)
{
	uint64_t began = tell_now();
	int i, err;

	for (i = 0; i < f->nr_rings; i++) {
		err = ring_drain(f, &f->rings[i], lost);
		if (err)
			return err;
	}
	locks_match(f->locks, f->list, f->nr, began);
	*list = f->list;
	*nr = f->nr;
	return 0;
}

bool faults_know_locks(const struct faults *f)
{
	return !f->software && f->point[POINT_LOCK].id;
}

void faults_keep(struct faults *f, size_t nr)
{
	f->nr = nr;
}

uint64_t faults_lock_time(struct faults *f, pid_t tid, uint64_t from, uint64_t to)
{
	return locks_first_write(f->locks, tid, from, to);
}

/* Closing ----------------------------------------------------------------- */

/* Descriptors that one message may carry, less the socket. */
#define MESSAGE_FDS 252

/*
 * To close the last event of a trace point takes the kernel a grace period or
 * two, 80 ms in all, which nobody needs to wait for. So the descriptors are sent
 * in a message to a socket that is in that message itself: once all is closed
 * here, only the kernel's collector of such loops can reach them, and it closes
 * them on a thread of its own. Where this fails, closing takes its time.
 */
static void leave_to_kernel(const struct faults *f)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE((MESSAGE_FDS + 1) * sizeof(int))];
	} control;
	struct iovec byte = { &control, 1 };
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control,
	};
	int pair[2], fds[MESSAGE_FDS + 1], n = 0;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return;
	for (int i = 0; i < f->nr_rings && n + NR_POINTS <= MESSAGE_FDS; i++)
		for (int j = 0; j < NR_POINTS; j++)
			if (f->rings[i].fd[j] >= 0)
				fds[n++] = f->rings[i].fd[j];
	fds[n++] = pair[1];
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	sendmsg(pair[0], &message, MSG_DONTWAIT);
	close(pair[0]);
	close(pair[1]);
}

void faults_close(struct faults *f)
{
	if (!f)
		return;
	if (!f->software)
		leave_to_kernel(f);
	rings_close(f);
	free(f->rings);
	locks_destroy(f->locks);
	free(f->list);
	free(f);
}
