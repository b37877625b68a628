/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer: each file of the corpus, then random
 * inputs, from one fixed and one fresh seed, for half a second each. The seed and
 * the number of the input are printed before a crash can happen, so that
 * SAMARA_SEED=... repeats the run.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/seed.h"

#define FIXED_SEED 20261120u
#define MAX_RANDOM 4096
#define MAX_FILE (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* xorshift64*: the state is never 0. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Lengths are small more often than not; half the inputs are made of few letters, so that words repeat. */
static size_t random_input(uint64_t *state, uint8_t *buf)
{
	size_t size = next_random(state) % (next_random(state) % 8 ? 256 : MAX_RANDOM);
	uint8_t mask = next_random(state) % 2 ? 0xff : 0x07;
	size_t i;

	for (i = 0; i < size; i++)
		buf[i] = (uint8_t)(next_random(state) >> 32) & mask;
	return size;
}

/* A file of the corpus with a few bytes changed, and now and then its tail cut off. */
static size_t mutate(uint64_t *state, uint8_t *buf, size_t size)
{
	int n = (int)(next_random(state) % 8);

	while (n-- > 0 && size > 0)
		buf[next_random(state) % size] = (uint8_t)(next_random(state) >> 32);
	if (size > 0 && next_random(state) % 8 == 0)
		size = next_random(state) % size;
	return size;
}

struct corpus {
	uint8_t *data[256];
	size_t size[256];
	int count;
};

static void load_file(struct corpus *corpus, const char *path)
{
	uint8_t *data = malloc(MAX_FILE);
	FILE *file = fopen(path, "rb");

	if (!data || !file || corpus->count == 256) {
		printf("Bail out! cannot read %s\n", path);
		exit(1);
	}
	corpus->data[corpus->count] = data;
	corpus->size[corpus->count++] = fread(data, 1, MAX_FILE, file);
	fclose(file);
}

static void load_corpus(struct corpus *corpus, const char *folder)
{
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *entry;
	char path[4096];

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
			load_file(corpus, path);
		}
	if (dir)
		closedir(dir);
}

/*
 * The target gets an exact copy on the heap, so that a sanitizer sees a byte read beyond it.
 */
static void one_input(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_random(const struct corpus *corpus, uint64_t seed, const char *what, int number)
{
	static uint8_t buf[MAX_FILE];
	uint64_t state = seed * 2 + 1;
	double end = now() + 0.5;
	unsigned long inputs = 0;
	size_t size;
	int pick;

	printf("# %s seed: SAMARA_SEED=%llu\n", what, (unsigned long long)seed);
	fflush(stdout);
	while (now() < end) {
		pick = corpus->count ? (int)(next_random(&state) % (unsigned int)corpus->count) : 0;
		if (corpus->count && next_random(&state) % 2) {
			memcpy(buf, corpus->data[pick], corpus->size[pick]);
			size = mutate(&state, buf, corpus->size[pick]);
		} else {
			size = random_input(&state, buf);
		}
		one_input(buf, size);
		inputs++;
	}
	printf("ok %d - %s seed, %lu inputs\n", number, what, inputs);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	uint64_t fresh;
	int i;

	printf("1..3\n");
	fflush(stdout);
	load_corpus(&corpus, argc > 1 ? argv[1] : NULL);
	for (i = 0; i < corpus.count; i++)
		one_input(corpus.data[i], corpus.size[i]);
	printf("ok 1 - corpus, %d files\n", corpus.count);

	run_random(&corpus, FIXED_SEED, "fixed", 2);
	fresh = seed_fresh();
	run_random(&corpus, fresh, "fresh", 3);
	for (i = 0; i < corpus.count; i++)
		free(corpus.data[i]);
	return 0;
}
