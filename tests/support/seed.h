/* SPDX-License-Identifier: MIT */
/* The seed of a random test that has not been run before, or the one asked for by SAMARA_SEED. */
#ifndef SAMARA_TEST_SEED_H
#define SAMARA_TEST_SEED_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Two processes that start in the same nanosecond still differ. */
static inline uint64_t seed_fresh(void)
{
	const char *asked = getenv("SAMARA_SEED");
	struct timespec now;

	if (asked)
		return strtoull(asked, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec) ^ (uint64_t)getpid() << 40;
}

#endif
