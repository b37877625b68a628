/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU that runs one instruction at a time in ring 3, through page tables that somebody else wrote.
 *
 * The guest's physical memory from 0 on is a memfd of the caller's: a frame's number there is its offset here. Behind it
 * lies a little memory of the guest's own, with what a CPU wants to see before it can take a fault. It is
 * reached through the last entry of the top table, which the caller puts into his
 * root (guest_top_entry()); user addresses never get there.
 *
 *   guest-physical   |frames of the caller ...        |     |own: tables, IDT, handlers, stack, code|
 *   virtual          |user half, the caller's tables  | ... |GUEST_TOP: own, supervisor but for code|
 *
 * Each fault ends in a handler that does `out` to the port of its vector, which is
 * how the host gets to know; every run begins anew in ring 3.
 */
#ifndef SAMARA_TESTS_GUEST_H
#define SAMARA_TESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_TOP 0xffffff8000000000ul	/* the last entry of the top table */
#define GUEST_TOP_INDEX 511

/* Bits of a page fault's error code. */
#define GUEST_PF_PRESENT 1u	/* an entry forbade it; else there was none */
#define GUEST_PF_WRITE 2u
#define GUEST_PF_USER 4u
#define GUEST_PF_RESERVED 8u
#define GUEST_PF_FETCH 16u

/* What became of one access. */
struct guest_event {
	bool done;		/* it went through */
	uint64_t value;		/* what was read */
	unsigned int vector;	/* if not done: the exception, 14 for a page fault */
	unsigned int code;	/* its error code */
	uint64_t addr;		/* the address that faulted (CR2) */
};

struct guest;

/*
 * A guest over @bytes of @fd, or NULL where that cannot be had: *@why is said then, in words. Unexpected errors
 * of KVM after that end the program with a message.
 */
struct guest *guest_create(int fd, size_t bytes, const char **why);
void guest_destroy(struct guest *guest);

/* What entry GUEST_TOP_INDEX of a root table must be. */
uint64_t guest_top_entry(const struct guest *guest);
/* The root table: guest-physical, that is the offset in the caller's memory. */
void guest_set_root(struct guest *guest, uint64_t root);
/* Forget every translation. @arg is a struct guest, so that an address space may have it as its flush. */
void guest_flush(void *arg);
unsigned long guest_flushes(const struct guest *guest);

/* 8 bytes at @addr, which is a multiple of 8. */
struct guest_event guest_read(struct guest *guest, uint64_t addr);
struct guest_event guest_write(struct guest *guest, uint64_t addr, uint64_t value);
/* Fetch and begin an instruction at @addr: "done" means that it was fetched, whatever it did then. */
struct guest_event guest_exec(struct guest *guest, uint64_t addr);

#endif
