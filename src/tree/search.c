/* SPDX-License-Identifier: MIT */
/*
 * Down the tree: for one entry, for a reader's state, for a writer's path. The
 * searches inside a node are written for vectors of 512 and 256 bits and without;
 * the loader chooses for the processor it runs on. Sanitizers, other compilers and
 * other architectures get the last.
 *
 * Readers run this beside a writer. search_body.h numbers what they can rely on (S1 to S4). Inside one node:
 *   S5  Vectors load keys and bounds that a writer may be raising or filling. Each word is whole,
 *       as with the loads of RD_MANY(); the order word or live word, loaded before, says which of
 *       them count.
 */
#include "tree/tree.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
	!defined(__SANITIZE_ADDRESS__) && !PF_TSAN
#define SEARCH_CHOOSES 1
#include <immintrin.h>
#else
#define SEARCH_CHOOSES 0
#endif

static inline unsigned int wide_rank(const struct wide *leaf, uint64_t order, unsigned long index)
{
	unsigned int count = order_count(order), rank = 0;

	for (unsigned int k = 0; k < count; k++)
		rank += RD(leaf->start[order_slot(order, k)]) <= index;
	return rank;
}

/* Without vectors -------------------------------------------------------- */

static inline unsigned int route_at_plain(const struct inner *node, uint64_t live, unsigned long index)
{
	unsigned long steps = key_steps(node, index);
	unsigned int cap = live_cap(live), below = 0, same = 0;

	for (unsigned int i = 0; i < cap; i++) {
		below += RD_MANY(node->key[i]) < (inner_key)steps;
		same += RD_MANY(node->key[i]) == (inner_key)steps;
	}
	return same || key_is_cut(steps) ? inner_route(node, live, index) : live_among(live, below);
}

static inline unsigned int rank_at_plain(const struct narrow *leaf, uint64_t order, uint32_t distance)
{
	return narrow_rank(leaf, order, distance);
}

static inline unsigned int slots_around_plain(const struct narrow *leaf, uint32_t distance)
{
	unsigned int slots = 0;

	for (unsigned int i = 0; i < NARROW_CAP; i++)
		slots |= (unsigned int)(RD_MANY(leaf->start[i]) <= distance && distance <= RD_MANY(leaf->last[i])) << i;
	return slots;
}

static inline unsigned int slots_same_plain(const struct narrow *leaf, uint32_t start, uint32_t last)
{
	unsigned int slots = 0;

	for (unsigned int i = 0; i < NARROW_CAP; i++)
		slots |= (unsigned int)!((leaf->start[i] ^ start) | (leaf->last[i] ^ last)) << i;
	return slots;
}

#define NAME(x) x##_plain
#include "tree/search_body.h"
#include "tree/quick_body.h"
#undef NAME

#if SEARCH_CHOOSES

/*
 * @found has a byte for each slot: all ones where it begins at or below the index.
 * Put them in the order of places; those found are then the lowest.
 */
#define PLACES_FOUND(found, order)                                                              \
	((unsigned int)__builtin_ctz(                                                           \
		~(unsigned int)_mm_movemask_epi8(_mm_shuffle_epi8(                              \
			(found), _mm_set_epi64x((long long)_pdep_u64((order) >> 32, 0x0f0f0f0f0f0f0f0full), \
						(long long)_pdep_u64((order), 0x0f0f0f0f0f0f0f0full)))) | \
		1u << order_count(order)))

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")

/* The lanes of a mask have two bits each. */
static inline unsigned int route_at_avx2(const struct inner *node, uint64_t live, unsigned long index)
{
	unsigned long steps = key_steps(node, index);
	__m256i at = _mm256_set1_epi16((inner_key)steps), key = _mm256_load_si256((const void *)node->key);
	__m256i same = _mm256_cmpeq_epi16(key, at);
	uint64_t above = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(key, at)), more = 0;

	if (live >> SMALL_CAP) {
		__m256i a = _mm256_load_si256((const void *)(node->key + 16));
		__m256i b = _mm256_load_si256((const void *)(node->key + 32));

		same = _mm256_or_si256(same, _mm256_or_si256(_mm256_cmpeq_epi16(a, at), _mm256_cmpeq_epi16(b, at)));
		more = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(a, at));
		more |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(b, at)) << 32;
	}
	if (__builtin_expect(!_mm256_testz_si256(same, same) || key_is_cut(steps), 0))
		return inner_route(node, live, index);
	return live_among(live, live_cap(live) - (unsigned int)(__builtin_popcountll(above) +
								__builtin_popcountll(more)) / 2);
}

static inline unsigned int rank_at_avx2(const struct narrow *leaf, uint64_t order, uint32_t distance)
{
	__m256i at = _mm256_set1_epi32((int)distance);
	__m256i a = _mm256_loadu_si256((const void *)leaf->start);
	__m256i b = _mm256_loadu_si256((const void *)(leaf->start + 8));
	__m256i both;
	__m128i bytes;

	a = _mm256_cmpeq_epi32(_mm256_min_epu32(a, at), a);
	b = _mm256_cmpeq_epi32(_mm256_min_epu32(b, at), b);
	both = _mm256_packs_epi32(a, b);	/* slots 0-3, 8-11, 4-7, 12-15 */
	bytes = _mm_packs_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
	return PLACES_FOUND(_mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0)), order);
}

static inline unsigned int slots_around_avx2(const struct narrow *leaf, uint32_t distance)
{
	__m256i at = _mm256_set1_epi32((int)distance);
	__m256i a = _mm256_loadu_si256((const void *)leaf->start), a_last = _mm256_loadu_si256((const void *)leaf->last);
	__m256i b = _mm256_loadu_si256((const void *)(leaf->start + 8));
	__m256i b_last = _mm256_loadu_si256((const void *)(leaf->last + 8));

	/* The index is where the larger of it and the start, and the smaller of it and the end, are itself. */
	a = _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(a, at), at),
			     _mm256_cmpeq_epi32(_mm256_min_epu32(a_last, at), at));
	b = _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(b, at), at),
			     _mm256_cmpeq_epi32(_mm256_min_epu32(b_last, at), at));
	return ((unsigned int)_mm256_movemask_ps((__m256)a) | (unsigned int)_mm256_movemask_ps((__m256)b) << 8) &
	       ((1u << NARROW_CAP) - 1);
}

static inline unsigned int slots_same_avx2(const struct narrow *leaf, uint32_t start, uint32_t last)
{
	__m256i from = _mm256_set1_epi32((int)start), to = _mm256_set1_epi32((int)last);
	__m256i a = _mm256_cmpeq_epi32(_mm256_loadu_si256((const void *)leaf->start), from);
	__m256i b = _mm256_cmpeq_epi32(_mm256_loadu_si256((const void *)(leaf->start + 8)), from);

	a = _mm256_and_si256(a, _mm256_cmpeq_epi32(_mm256_loadu_si256((const void *)leaf->last), to));
	b = _mm256_and_si256(b, _mm256_cmpeq_epi32(_mm256_loadu_si256((const void *)(leaf->last + 8)), to));
	return (unsigned int)_mm256_movemask_ps((__m256)a) | (unsigned int)_mm256_movemask_ps((__m256)b) << 8;
}

#define NAME(x) x##_avx2
#include "tree/search_body.h"
#include "tree/quick_body.h"
#undef NAME
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt")

static inline unsigned int route_at_avx512(const struct inner *node, uint64_t live, unsigned long index)
{
	unsigned long steps = key_steps(node, index);
	inner_key key = (inner_key)steps;
	__m256i low = _mm256_load_si256((const void *)node->key);
	uint64_t below = _mm256_cmplt_epi16_mask(low, _mm256_set1_epi16(key));
	uint64_t same = _mm256_cmpeq_epi16_mask(low, _mm256_set1_epi16(key));

	if (live >> SMALL_CAP) {
		__m512i more = _mm512_load_si512(node->key + SMALL_CAP);

		below |= (uint64_t)_mm512_cmplt_epi16_mask(more, _mm512_set1_epi16(key)) << SMALL_CAP;
		same |= _mm512_cmpeq_epi16_mask(more, _mm512_set1_epi16(key));
	}
	if (__builtin_expect(same || key_is_cut(steps), 0))
		return inner_route(node, live, index);
	return live_among(live, (unsigned int)__builtin_popcountll(below));
}

static inline unsigned int rank_at_avx512(const struct narrow *leaf, uint64_t order, uint32_t distance)
{
	__mmask16 below = _mm512_cmple_epu32_mask(_mm512_loadu_si512(leaf->start), _mm512_set1_epi32((int)distance));

	return PLACES_FOUND(_mm_movm_epi8(below), order);
}

static inline unsigned int slots_around_avx512(const struct narrow *leaf, uint32_t distance)
{
	__m512i at = _mm512_set1_epi32((int)distance);
	__mmask16 begun = _mm512_cmple_epu32_mask(_mm512_loadu_si512(leaf->start), at);

	/* The last ones: in the two lanes above, slots begin. */
	return _mm512_mask_cmpge_epu32_mask(begun, _mm512_loadu_si512(leaf->last), at) & ((1u << NARROW_CAP) - 1);
}

static inline unsigned int slots_same_avx512(const struct narrow *leaf, uint32_t start, uint32_t last)
{
	__m512i from = _mm512_set1_epi32((int)start), to = _mm512_set1_epi32((int)last);
	__mmask16 same = _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(leaf->start), from);

	return _mm512_mask_cmpeq_epi32_mask(same, _mm512_loadu_si512(leaf->last), to);
}

#define NAME(x) x##_avx512
#include "tree/search_body.h"
#include "tree/quick_body.h"
#undef NAME
#pragma GCC pop_options

_Static_assert(SMALL_CAP == 16 && INNER_CAP == 48, "the vectors above cover all children");

/* Runs while the library is being loaded: nothing but the processor may be asked. */
static int search_level(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
		return 0;
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") ? 2 : 1;
}

typedef void *lookup_fn(const struct maple_tree *, unsigned long);
typedef void descend_fn(struct ma_state *, struct maple_enode *, unsigned long);
typedef void refresh_fn(struct path *, unsigned long);
typedef void walk_fn(const struct maple_tree *, unsigned long, struct path *);
typedef bool put_fn(struct maple_tree *, unsigned long, unsigned long, void *, void **);
typedef void *take_fn(struct maple_tree *, unsigned long, unsigned long *, unsigned long *);

static lookup_fn *choose_lookup(void)
{
	lookup_fn *const level[] = { lookup_plain, lookup_avx2, lookup_avx512 };

	return level[search_level()];
}

static descend_fn *choose_descend(void)
{
	descend_fn *const level[] = { descend_plain, descend_avx2, descend_avx512 };

	return level[search_level()];
}

static refresh_fn *choose_refresh(void)
{
	refresh_fn *const level[] = { refresh_plain, refresh_avx2, refresh_avx512 };

	return level[search_level()];
}

static walk_fn *choose_walk(void)
{
	walk_fn *const level[] = { walk_plain, walk_avx2, walk_avx512 };

	return level[search_level()];
}

static put_fn *choose_put(void)
{
	put_fn *const level[] = { quick_put_plain, quick_put_avx2, quick_put_avx512 };

	return level[search_level()];
}

static take_fn *choose_take(void)
{
	take_fn *const level[] = { quick_take_plain, quick_take_avx2, quick_take_avx512 };

	return level[search_level()];
}

void *tree_lookup(const struct maple_tree *mt, unsigned long index) __attribute__((ifunc("choose_lookup")));
void state_descend(struct ma_state *mas, struct maple_enode *e, unsigned long index)
	__attribute__((ifunc("choose_descend")));
void path_walk(const struct maple_tree *mt, unsigned long index, struct path *path)
	__attribute__((ifunc("choose_walk")));
void path_refresh(struct path *path, unsigned long index) __attribute__((ifunc("choose_refresh")));
bool quick_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, void **old)
	__attribute__((ifunc("choose_put")));
void *quick_take(struct maple_tree *mt, unsigned long index, unsigned long *start, unsigned long *last)
	__attribute__((ifunc("choose_take")));

#else

void *tree_lookup(const struct maple_tree *mt, unsigned long index)
{
	return lookup_plain(mt, index);
}

void state_descend(struct ma_state *mas, struct maple_enode *e, unsigned long index)
{
	descend_plain(mas, e, index);
}

void path_walk(const struct maple_tree *mt, unsigned long index, struct path *path)
{
	walk_plain(mt, index, path);
}

void path_refresh(struct path *path, unsigned long index)
{
	refresh_plain(path, index);
}

bool quick_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, void **old)
{
	return quick_put_plain(mt, index, last, entry, old);
}

void *quick_take(struct maple_tree *mt, unsigned long index, unsigned long *start, unsigned long *last)
{
	return quick_take_plain(mt, index, start, last);
}

#endif
