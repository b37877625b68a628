/* SPDX-License-Identifier: MIT */
/* Frames of the hosted platform: one sparse memfd, mapped once. */
#define _GNU_SOURCE
#include "platform/platform.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__SSE2__) && !PF_TSAN
#include <emmintrin.h>
#endif

struct pf_frames {
	struct platform *pf;
	unsigned char *base;
	size_t size;
	int fd;
};

struct pf_frames *pf_frames_create(struct platform *pf, unsigned long nr)
{
	struct pf_frames *frames = pf_alloc(pf, PF_OTHER, sizeof(*frames), _Alignof(struct pf_frames));

	if (!frames)
		return NULL;
	frames->pf = pf;
	frames->size = nr << 12;
	frames->fd = memfd_create("samara frames", MFD_CLOEXEC);
	if (frames->fd < 0)
		goto free_frames;
	if (ftruncate(frames->fd, (off_t)frames->size))
		goto close_fd;
	frames->base = mmap(NULL, frames->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, frames->fd, 0);
	if (frames->base == MAP_FAILED)
		goto close_fd;
	return frames;

close_fd:
	close(frames->fd);
free_frames:
	pf_free(pf, PF_OTHER, frames);
	return NULL;
}

void pf_frames_destroy(struct pf_frames *frames)
{
	if (!frames)
		return;
	munmap(frames->base, frames->size);
	close(frames->fd);
	pf_free(frames->pf, PF_OTHER, frames);
}

void *pf_frames_base(const struct pf_frames *frames)
{
	return frames->base;
}

int pf_frames_fd(const struct pf_frames *frames)
{
	return frames->fd;
}

void pf_frames_clear(struct pf_frames *frames, unsigned long first, unsigned long nr)
{
	pf_assert((first + nr) << 12 <= frames->size);
	if (fallocate(frames->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first << 12), (off_t)(nr << 12)))
		memset(frames->base + (first << 12), 0, nr << 12);
}

void *pf_sparse_alloc(size_t size)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

void pf_sparse_free(void *ptr, size_t size)
{
	if (ptr)
		munmap(ptr, size);
}

#if defined(__SSE2__) && !PF_TSAN
/* Lines are not fetched only to be overwritten; and one fence for many pages lets their stores overlap. */
static void clear_around_caches(void *page)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i *at = page;

	for (int i = 0; i < 4096 / 16; i += 4) {
		_mm_stream_si128(at + i, zero);
		_mm_stream_si128(at + i + 1, zero);
		_mm_stream_si128(at + i + 2, zero);
		_mm_stream_si128(at + i + 3, zero);
	}
}

void pf_clear_cold(void *const *pages, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		clear_around_caches(pages[i]);
	/* Before whatever publishes them. */
	_mm_sfence();
}
#else
void pf_clear_cold(void *const *pages, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		memset(pages[i], 0, 4096);
}
#endif
