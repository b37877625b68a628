/* SPDX-License-Identifier: MIT */
/* A virtual CPU: see guest.h. */
#define _GNU_SOURCE
#include "support/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <linux/kvm.h>

enum { PAGE = 4096 };

/* Pages of the guest's own memory, in guest-physical and in virtual order. */
enum own { OWN_PDPT, OWN_PD, OWN_PT, OWN_SYSTEM, OWN_IDT, OWN_STACK, OWN_CODE, OWN_PAGES };

/* The system page: handlers, 8 bytes each, then the GDT and the TSS. */
enum { AT_GDT = 2048, AT_TSS = 3072, HANDLER = 8, VECTORS = 256 };
/* The page of ring 3 code. */
enum { CODE_READ = 0, CODE_WRITE = 16 };

enum { SEL_CODE = 0x08, SEL_USER_CODE = 0x1b, SEL_USER_DATA = 0x23, SEL_TSS = 0x28 };

#define P 1ull
#define W 2ull
#define U 4ull
#define TRAP 0x100	/* in the flags: an exception after each instruction */

struct guest {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *memory;	/* the caller's */
	size_t bytes;
	uint8_t *own;
	uint64_t own_gpa;
	struct kvm_sregs sregs;	/* of ring 3, before each access */
	unsigned long flushes;
};

static _Noreturn void gone_wrong(const char *what)
{
	fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
	abort();
}

static void must(int result, const char *what)
{
	if (result < 0)
		gone_wrong(what);
}

static uint64_t own_virt(enum own page)
{
	return GUEST_TOP + (uint64_t)page * PAGE;
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* The guest's own memory ------------------------------------------------ */

static void write_own_tables(struct guest *guest)
{
	uint8_t *pt = guest->own + OWN_PT * PAGE;
	int i;

	put64(guest->own + OWN_PDPT * PAGE, (guest->own_gpa + OWN_PD * PAGE) | P | W | U);
	put64(guest->own + OWN_PD * PAGE, (guest->own_gpa + OWN_PT * PAGE) | P | W | U);
	for (i = 0; i < OWN_PAGES; i++)
		put64(pt + i * 8, (guest->own_gpa + (uint64_t)i * PAGE) | P | W | (i == OWN_CODE ? U : 0));
}

static void write_handlers(struct guest *guest)
{
	uint8_t *system = guest->own + OWN_SYSTEM * PAGE, *gate;
	uint64_t to;
	int v;

	for (v = 0; v < VECTORS; v++) {
		const uint8_t code[] = { 0xe6, (uint8_t)v, 0xf4 };	/* out %al, $v; hlt */

		memcpy(system + v * HANDLER, code, sizeof(code));
		to = own_virt(OWN_SYSTEM) + (uint64_t)v * HANDLER;
		gate = guest->own + OWN_IDT * PAGE + v * 16;
		/* An interrupt gate of ring 0, its address in three pieces. */
		put64(gate, (to & 0xffff) | SEL_CODE << 16 | 0x8eull << 40 | (to >> 16 & 0xffff) << 48);
		put64(gate + 8, to >> 32);
	}
}

static void write_segments(struct guest *guest)
{
	uint8_t *system = guest->own + OWN_SYSTEM * PAGE;
	uint64_t tss = own_virt(OWN_SYSTEM) + AT_TSS;

	put64(system + AT_GDT + SEL_CODE, 0x00209b0000000000ull);
	put64(system + AT_GDT + 0x18, 0x0020fb0000000000ull);
	put64(system + AT_GDT + 0x20, 0x0000f30000000000ull);
	put64(system + AT_GDT + SEL_TSS, 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
	put64(system + AT_GDT + SEL_TSS + 8, tss >> 32);
	put64(system + AT_TSS + 4, own_virt(OWN_STACK) + PAGE);
}

static void write_code(struct guest *guest)
{
	static const uint8_t reads[] = { 0x48, 0x8b, 0x07, 0x0f, 0x0b };	/* mov (%rdi), %rax; ud2 */
	static const uint8_t writes[] = { 0x48, 0x89, 0x37, 0x0f, 0x0b };	/* mov %rsi, (%rdi); ud2 */

	memcpy(guest->own + OWN_CODE * PAGE + CODE_READ, reads, sizeof(reads));
	memcpy(guest->own + OWN_CODE * PAGE + CODE_WRITE, writes, sizeof(writes));
}

/* The CPU ----------------------------------------------------------------- */

static struct kvm_segment segment(unsigned int selector, unsigned int type, unsigned int dpl)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = (uint16_t)selector, .type = (uint8_t)type, .present = 1,
		.dpl = (uint8_t)dpl, .s = 1, .g = 1,
	};
}

static void init_sregs(struct guest *guest)
{
	struct kvm_sregs *s = &guest->sregs;

	must(ioctl(guest->vcpu, KVM_GET_SREGS, s), "KVM_GET_SREGS");
	s->cs = segment(SEL_USER_CODE, 0xb, 3);
	s->cs.l = 1;
	s->ss = s->ds = s->es = s->fs = s->gs = segment(SEL_USER_DATA, 0x3, 3);
	s->tr = (struct kvm_segment){
		.base = own_virt(OWN_SYSTEM) + AT_TSS, .limit = 0x67, .selector = SEL_TSS, .type = 0xb, .present = 1,
	};
	s->gdt = (struct kvm_dtable){ .base = own_virt(OWN_SYSTEM) + AT_GDT, .limit = SEL_TSS + 15 };
	s->idt = (struct kvm_dtable){ .base = own_virt(OWN_IDT), .limit = VECTORS * 16 - 1 };
	s->cr0 = 0x80010033;	/* PG, WP, NE, ET, MP, PE */
	s->cr4 = 0x20;		/* PAE */
	s->efer = 0xd00;	/* NXE, LMA, LME */
}

/* Without it the guest's CPU has neither long mode nor no-execute. */
static void init_cpuid(struct guest *guest)
{
	enum { ENTRIES = 256 };
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		gone_wrong("memory");
	cpuid->nent = ENTRIES;
	must(ioctl(guest->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(guest->vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

static void set_slot(struct guest *guest, unsigned int slot, uint64_t gpa, size_t size, void *memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uint64_t)memory,
	};

	must(ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void *map(size_t size, int fd)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (at == MAP_FAILED)
		gone_wrong("mmap");
	return at;
}

static void start(struct guest *guest, int fd)
{
	guest->memory = map(guest->bytes, fd);
	guest->own = map(OWN_PAGES * PAGE, -1);
	/* On a border of 1 GiB, clear of the frames. */
	guest->own_gpa = (guest->bytes + (1ull << 30)) & ~((1ull << 30) - 1);
	write_own_tables(guest);
	write_handlers(guest);
	write_segments(guest);
	write_code(guest);
	set_slot(guest, 0, 0, guest->bytes, guest->memory);
	set_slot(guest, 1, guest->own_gpa, OWN_PAGES * PAGE, guest->own);
	guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
	must(guest->vcpu, "KVM_CREATE_VCPU");
	guest->run_size = (size_t)ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	guest->run = map(guest->run_size, guest->vcpu);
	init_cpuid(guest);
	init_sregs(guest);
}

struct guest *guest_create(int fd, size_t bytes, const char **why)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		gone_wrong("memory");
	guest->bytes = bytes;
	guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (guest->kvm < 0) {
		*why = errno == ENOENT ? "there is no /dev/kvm" : "/dev/kvm cannot be opened";
		goto nothing;
	}
	guest->vm = ioctl(guest->kvm, KVM_CREATE_VM, 0);
	if (guest->vm < 0) {
		*why = "KVM makes no virtual machine";
		goto close_kvm;
	}
	start(guest, fd);
	return guest;

close_kvm:
	close(guest->kvm);
nothing:
	free(guest);
	return NULL;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	munmap(guest->run, guest->run_size);
	close(guest->vcpu);
	close(guest->vm);
	close(guest->kvm);
	munmap(guest->own, OWN_PAGES * PAGE);
	munmap(guest->memory, guest->bytes);
	free(guest);
}

uint64_t guest_top_entry(const struct guest *guest)
{
	return guest->own_gpa | P | W | U;
}

void guest_set_root(struct guest *guest, uint64_t root)
{
	guest->sregs.cr3 = root;
}

/* Under shadow paging the CPU keeps what it has seen whatever it is told, until the memory itself has gone. */
void guest_flush(void *arg)
{
	struct guest *guest = arg;

	set_slot(guest, 0, 0, 0, guest->memory);
	set_slot(guest, 0, 0, guest->bytes, guest->memory);
	guest->flushes++;
}

unsigned long guest_flushes(const struct guest *guest)
{
	return guest->flushes;
}

/* One run ----------------------------------------------------------------- */

/* Of the exceptions, those that push an error code below the return address. */
static bool has_code(unsigned int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

/* Run from *@rip until an exception: *@rip is where it struck, *@rax what the register held. */
static struct guest_event run(struct guest *guest, uint64_t *rip, const struct kvm_regs *with, uint64_t *rax)
{
	struct kvm_regs regs = *with;
	struct guest_event event = { 0 };
	const uint64_t *frame;
	struct kvm_sregs sregs;

	regs.rip = *rip;
	regs.rflags |= 2;
	must(ioctl(guest->vcpu, KVM_SET_SREGS, &guest->sregs), "KVM_SET_SREGS");
	must(ioctl(guest->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	while (ioctl(guest->vcpu, KVM_RUN, 0) < 0)
		if (errno != EINTR && errno != EAGAIN)
			gone_wrong("KVM_RUN");
	if (guest->run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "guest: left the virtual CPU for reason %u, rip %#llx\n", guest->run->exit_reason,
			(unsigned long long)*rip);
		abort();
	}
	must(ioctl(guest->vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	must(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	event.vector = guest->run->io.port;
	event.addr = sregs.cr2;
	frame = (const uint64_t *)(guest->own + OWN_STACK * PAGE + (regs.rsp - own_virt(OWN_STACK)));
	if (has_code(event.vector))
		event.code = (unsigned int)*frame++;
	*rip = *frame;
	*rax = regs.rax;
	return event;
}

/* The access is the first instruction of @code, `ud2` the second, 3 bytes on. */
static struct guest_event run_code(struct guest *guest, int code, uint64_t addr, uint64_t value)
{
	uint64_t first = own_virt(OWN_CODE) + (uint64_t)code, rip = first, rax;
	struct kvm_regs regs = { .rdi = addr, .rsi = value };
	struct guest_event event = run(guest, &rip, &regs, &rax);

	event.done = event.vector == 6 && rip == first + 3;
	event.value = rax;
	return event;
}

struct guest_event guest_read(struct guest *guest, uint64_t addr)
{
	return run_code(guest, CODE_READ, addr, 0);
}

struct guest_event guest_write(struct guest *guest, uint64_t addr, uint64_t value)
{
	return run_code(guest, CODE_WRITE, addr, value);
}

/*
 * What lies there is any bytes. Registers hold addresses that no memory can have, so
 * that most instructions end in an exception at once, and trap mode ends the others after one.
 */
struct guest_event guest_exec(struct guest *guest, uint64_t addr)
{
	uint64_t nowhere = 0x8000000000000000ull, rip = addr, rax;
	struct kvm_regs regs = { .rax = nowhere, .rdi = nowhere, .rsi = nowhere, .rflags = TRAP };
	struct guest_event event = run(guest, &rip, &regs, &rax);

	event.done = !(event.vector == 14 && (event.code & GUEST_PF_FETCH) && event.addr == addr);
	return event;
}

#else

struct guest *guest_create(int fd, size_t bytes, const char **why)
{
	*why = "the virtual CPU is written for x86-64";
	return NULL;
}

void guest_destroy(struct guest *guest)
{
}

uint64_t guest_top_entry(const struct guest *guest)
{
	return 0;
}

void guest_set_root(struct guest *guest, uint64_t root)
{
}

void guest_flush(void *arg)
{
}

unsigned long guest_flushes(const struct guest *guest)
{
	return 0;
}

struct guest_event guest_read(struct guest *guest, uint64_t addr)
{
	return (struct guest_event){ 0 };
}

struct guest_event guest_write(struct guest *guest, uint64_t addr, uint64_t value)
{
	return (struct guest_event){ 0 };
}

struct guest_event guest_exec(struct guest *guest, uint64_t addr)
{
	return (struct guest_event){ 0 };
}

#endif
