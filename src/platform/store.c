/* SPDX-License-Identifier: MIT */
/* Stores of the hosted platform: a sparse memfd, read and written by page. */
#define _GNU_SOURCE
#include "platform/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

struct pf_store {
	struct platform *pf;
	unsigned long slots;
	int fd;
};

struct pf_store *pf_store_create(struct platform *pf, unsigned long slots)
{
	struct pf_store *store = pf_alloc(pf, PF_OTHER, sizeof(*store), _Alignof(struct pf_store));

	if (!store)
		return NULL;
	store->pf = pf;
	store->slots = slots;
	store->fd = memfd_create("samara-store", MFD_CLOEXEC);
	if (store->fd < 0)
		goto free_store;
	if (ftruncate(store->fd, (off_t)(slots * PF_STORE_PAGE)))
		goto close_fd;
	return store;

close_fd:
	close(store->fd);
free_store:
	pf_free(pf, PF_OTHER, store);
	return NULL;
}

void pf_store_destroy(struct pf_store *store)
{
	if (!store)
		return;
	close(store->fd);
	pf_free(store->pf, PF_OTHER, store);
}

static off_t offset_of(const struct pf_store *store, unsigned long slot)
{
	pf_assert(slot < store->slots);
	return (off_t)(slot * PF_STORE_PAGE);
}

int pf_store_write(struct pf_store *store, unsigned long slot, const void *page)
{
	ssize_t done = pwrite(store->fd, page, PF_STORE_PAGE, offset_of(store, slot));

	if (done < 0)
		return -errno;
	return done == (ssize_t)PF_STORE_PAGE ? 0 : -EIO;
}

int pf_store_read(struct pf_store *store, unsigned long slot, void *page)
{
	ssize_t done = pread(store->fd, page, PF_STORE_PAGE, offset_of(store, slot));

	if (done < 0)
		return -errno;
	return done == (ssize_t)PF_STORE_PAGE ? 0 : -EIO;
}

void pf_store_discard(struct pf_store *store, unsigned long slot)
{
	off_t at = offset_of(store, slot);

	/* Only the host's memory depends on whether it does. */
	if (fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)PF_STORE_PAGE))
		return;
}
