/* SPDX-License-Identifier: MIT */
/*
 * Down the tree: for one entry, for a reader's state, for a writer's path, for a gap. The
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

#include <errno.h>

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

/* The way to a leaf that may have a gap. */
struct gap_path {
	unsigned int height;
	unsigned char child[MAX_HEIGHT];
	const struct inner *node[MAX_HEIGHT];
};

/* The highest index that the lowest child of the path is responsible for. */
static inline unsigned long gap_highest_index(const struct gap_path *path)
{
	for (unsigned int depth = path->height; depth--;) {
		const struct inner *node = path->node[depth];
		uint64_t above = inner_above(node->head.word, path->child[depth]);

		if (above)
			return *child_start(node, lowest_bit(above)) - 1;
	}
	return ULONG_MAX;
}

/* Whether no child of its level lies below it. */
static inline bool gap_is_leftmost(const struct gap_path *path)
{
	for (unsigned int depth = path->height; depth--;)
		if (!inner_is_lowest(path->node[depth]->head.word, path->child[depth]))
			return false;
	return true;
}

/* Whether it lies beyond the limit at which the search ends. It is not the lowest of its node when that goes upwards. */
static inline bool gap_is_beyond(const struct gap_search *s, const struct gap_path *path, bool upwards)
{
	unsigned int depth = path->height - 1;

	if (upwards)
		return *child_start(path->node[depth], path->child[depth]) > s->max;
	return gap_highest_index(path) < s->min;
}

/*
 * Whether what is left of the gap [@first, @last], on the right side of the limit that the search begins at, is long
 * enough. Without a branch: nobody can foresee it.
 */
static inline bool gap_fits(const struct gap_search *s, unsigned long first, unsigned long last, bool upwards)
{
	unsigned long lo = upwards && first < s->min ? s->min : first, hi = !upwards && last > s->max ? s->max : last;

	return (lo <= hi) & (hi - lo >= s->more);
}

/* The gaps between ranges of a wide leaf that fit: bit k is the one before place k. */
static inline unsigned int wide_between(const struct gap_search *s, const struct maple_enode *e, uint64_t order,
					bool upwards)
{
	unsigned int count = order_count(order), fit = 0;

	for (unsigned int k = 1; k < count; k++) {
		unsigned long first = leaf_last(e, order, k - 1) + 1, next = leaf_start(e, order, k);

		fit |= (unsigned int)((first < next) & gap_fits(s, first, next - 1, upwards)) << k;
	}
	return fit;
}

/* A limit as a distance from where a narrow leaf counts from: the nearest there is. */
static inline uint32_t narrow_limit(const struct narrow *leaf, unsigned long limit)
{
	unsigned long base = leaf->head.base, distance = limit > base ? limit - base : 0;

	return distance < UINT32_MAX ? (uint32_t)distance : UINT32_MAX;
}

/* What becomes of some places of a leaf: see quick_body.h. */
struct leaf_patch {
	unsigned int from, to, nr;
	uint32_t start[3], last[3];
	void *entry[3];
};

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

static uint32_t longest_between_plain(const struct narrow *leaf, uint64_t order)
{
	unsigned int count = order_count(order);
	uint32_t longest = 0, before = leaf->last[order & 15], gap;

	for (unsigned int k = 1; k < count; k++) {
		order >>= 4;
		gap = leaf->start[order & 15] - 1 - before;
		before = leaf->last[order & 15];
		longest = gap > longest ? gap : longest;
	}
	return longest;
}

static inline unsigned int slots_same_plain(const struct narrow *leaf, uint32_t start, uint32_t last)
{
	unsigned int slots = 0;

	for (unsigned int i = 0; i < NARROW_CAP; i++)
		slots |= (unsigned int)!((leaf->start[i] ^ start) | (leaf->last[i] ^ last)) << i;
	return slots;
}

/* The children whose longest gap may be one of @code. */
static inline uint64_t may_fit_plain(const struct inner *node, uint64_t live, gap_code code)
{
	const gap_code *gap = inner_gaps(node);
	unsigned int cap = live_cap(live);
	uint64_t fit = 0;

	for (unsigned int i = 0; i < cap; i++)
		fit |= (uint64_t)(gap[i] >= code) << i;
	return fit;
}

/* The gaps between ranges of the leaf that fit: bit k is the one before place k. */
static inline unsigned int gaps_between_plain(const struct gap_search *s, const struct narrow *leaf, uint64_t order,
					      bool upwards)
{
	uint32_t limit = narrow_limit(leaf, upwards ? s->min : s->max), lo, hi;
	unsigned int count = order_count(order), fit = 0;

	for (unsigned int k = 1; k < count; k++) {
		lo = leaf->last[order_slot(order, k - 1)] + 1;
		hi = leaf->start[order_slot(order, k)] - 1;
		lo = upwards && lo < limit ? limit : lo;
		hi = !upwards && hi > limit ? limit : hi;
		fit |= (unsigned int)((lo <= hi) & (hi - lo >= s->more)) << k;
	}
	return fit;
}

#define NAME(x) x##_plain
#include "tree/search_body.h"
#include "tree/quick_body.h"
#include "tree/gap_body.h"
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

/* What 16 slots have, in the order of eight places: a nibble each. What is read beyond the slots is not chosen. */
static inline __m256i by_place(const uint32_t *slots, uint64_t places)
{
	__m128i bytes = _mm_cvtsi64_si128((long long)_pdep_u64(places, 0x0f0f0f0f0f0f0f0full));
	__m256i slot = _mm256_cvtepu8_epi32(bytes);
	__m256i low = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const void *)slots), slot);
	__m256i high = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const void *)(slots + 8)), slot);

	return (__m256i)_mm256_blendv_ps((__m256)low, (__m256)high, (__m256)_mm256_slli_epi32(slot, 28));
}

/* All places at once: how many there are is not foreseen. */
static uint32_t longest_between_avx2(const struct narrow *leaf, uint64_t order)
{
	const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), one = _mm256_set1_epi32(1);
	__m256i count = _mm256_set1_epi32((int)order_count(order));
	/* Less the end of the range before. The lowest has none. */
	__m256i a = _mm256_sub_epi32(by_place(leaf->start, order), by_place(leaf->last, order << 4));
	__m256i b = _mm256_sub_epi32(by_place(leaf->start, order >> 32), by_place(leaf->last, order >> 28));
	__m128i longest;

	/* 1 where no gap is, as between two ranges that touch. */
	a = _mm256_blendv_epi8(one, a, _mm256_cmpgt_epi32(count, place));
	a = _mm256_blend_epi32(a, one, 1);
	b = _mm256_blendv_epi8(one, b, _mm256_cmpgt_epi32(count, _mm256_add_epi32(place, _mm256_set1_epi32(8))));
	a = _mm256_max_epu32(a, b);
	longest = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	longest = _mm_max_epu32(longest, _mm_shuffle_epi32(longest, _MM_SHUFFLE(1, 0, 3, 2)));
	longest = _mm_max_epu32(longest, _mm_shuffle_epi32(longest, _MM_SHUFFLE(2, 3, 0, 1)));
	return (uint32_t)_mm_cvtsi128_si32(longest) - 1;
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

/* Of 16 codes, those above @below; codes are below 2^31. */
static inline uint32_t codes_above_avx2(const gap_code *gap, __m256i below)
{
	__m256i a = _mm256_cmpgt_epi32(_mm256_load_si256((const void *)gap), below);
	__m256i b = _mm256_cmpgt_epi32(_mm256_load_si256((const void *)(gap + 8)), below);

	return (uint32_t)_mm256_movemask_ps((__m256)a) | (uint32_t)_mm256_movemask_ps((__m256)b) << 8;
}

static inline uint64_t may_fit_avx2(const struct inner *node, uint64_t live, gap_code code)
{
	__m256i below = _mm256_set1_epi32((int)(code - 1));
	const gap_code *gap = inner_gaps(node);
	uint64_t fit = codes_above_avx2(gap, below);

	if (live >> SMALL_CAP)
		fit |= (uint64_t)codes_above_avx2(gap + 16, below) << 16 |
		       (uint64_t)codes_above_avx2(gap + 32, below) << 32;
	return fit;
}

/* The bounds at eight places, whose slots are the lowest in @order. */
static inline __m256i in_order_avx2(const uint32_t *bounds, uint64_t order)
{
	__m256i slot = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)_pdep_u64(order, 0x0f0f0f0f0f0f0f0f)));
	__m256i a = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const void *)bounds), slot);
	__m256i b = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const void *)(bounds + 8)), slot);

	return (__m256i)_mm256_blendv_ps((__m256)a, (__m256)b, (__m256)_mm256_slli_epi32(slot, 28));
}

/* Eight gaps, the one after the lowest slot in @order first. */
static inline unsigned int eight_gaps_avx2(const struct narrow *leaf, uint64_t order, __m256i limit, __m256i more,
					   bool upwards)
{
	__m256i before = in_order_avx2(leaf->last, order), next = in_order_avx2(leaf->start, order >> 4);
	__m256i lo = _mm256_add_epi32(before, _mm256_set1_epi32(1)), length;

	/* Here the one index behind the gap counts: it is never 0. */
	if (upwards)
		lo = _mm256_max_epu32(lo, limit);
	else
		next = _mm256_min_epu32(next, limit);
	length = _mm256_sub_epi32(next, lo);
	return (unsigned int)_mm256_movemask_ps((__m256)_mm256_andnot_si256(
		_mm256_cmpeq_epi32(_mm256_min_epu32(next, lo), next),
		_mm256_cmpeq_epi32(_mm256_min_epu32(length, more), more)));
}

static inline unsigned int gaps_between_avx2(const struct gap_search *s, const struct narrow *leaf, uint64_t order,
					     bool upwards)
{
	unsigned long past = s->max == ULONG_MAX ? ULONG_MAX : s->max + 1;
	__m256i limit = _mm256_set1_epi32((int)narrow_limit(leaf, upwards ? s->min : past));
	__m256i more = _mm256_set1_epi32((int)(s->more + 1));
	unsigned int fit;

	if (s->more >= UINT32_MAX)
		return 0;
	fit = eight_gaps_avx2(leaf, order, limit, more, upwards);
	/* Upwards the first ones do most often. */
	if (!upwards || !fit)
		fit |= eight_gaps_avx2(leaf, (order & ORDER_PLACES) >> 32, limit, more, upwards) << 8;
	return (fit << 1) & ((1u << order_count(order)) - 1);
}

#define NAME(x) x##_avx2
#include "tree/search_body.h"
#include "tree/quick_body.h"
#include "tree/gap_body.h"
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

#define may_fit_avx512 may_fit_avx2
#define gaps_between_avx512 gaps_between_avx2

#define NAME(x) x##_avx512
#include "tree/search_body.h"
#include "tree/quick_body.h"
#include "tree/gap_body.h"
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
typedef uint32_t longest_fn(const struct narrow *, uint64_t);
typedef bool put_fn(struct maple_tree *, unsigned long, unsigned long, void *, void **);
typedef void *take_fn(struct maple_tree *, unsigned long, unsigned long *, unsigned long *);
typedef int patch_fn(struct maple_tree *, struct ma_state *, const struct mt_cut *, void **);
typedef bool near_fn(struct maple_tree *, unsigned long, struct mt_near *);
typedef bool gap_fn(struct gap_search *);

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

static longest_fn *choose_longest(void)
{
	longest_fn *const level[] = { longest_between_plain, longest_between_avx2, longest_between_avx2 };

	return level[search_level()];
}

static put_fn *choose_put(void)
{
	put_fn *const level[] = { quick_put_plain, quick_put_avx2, quick_put_avx512 };

	return level[search_level()];
}

static gap_fn *choose_gap_up(void)
{
	gap_fn *const level[] = { gap_up_plain, gap_up_avx2, gap_up_avx512 };

	return level[search_level()];
}

static take_fn *choose_take(void)
{
	take_fn *const level[] = { quick_take_plain, quick_take_avx2, quick_take_avx512 };

	return level[search_level()];
}

static patch_fn *choose_patch(void)
{
	patch_fn *const level[] = { quick_patch_plain, quick_patch_avx2, quick_patch_avx512 };

	return level[search_level()];
}

static near_fn *choose_near(void)
{
	near_fn *const level[] = { quick_near_plain, quick_near_avx2, quick_near_avx512 };

	return level[search_level()];
}

static gap_fn *choose_gap_down(void)
{
	gap_fn *const level[] = { gap_down_plain, gap_down_avx2, gap_down_avx512 };

	return level[search_level()];
}

void *tree_lookup(const struct maple_tree *mt, unsigned long index) __attribute__((ifunc("choose_lookup")));
void state_descend(struct ma_state *mas, struct maple_enode *e, unsigned long index)
	__attribute__((ifunc("choose_descend")));
void path_walk(const struct maple_tree *mt, unsigned long index, struct path *path)
	__attribute__((ifunc("choose_walk")));
void path_refresh(struct path *path, unsigned long index) __attribute__((ifunc("choose_refresh")));
uint32_t narrow_longest_between(const struct narrow *leaf, uint64_t order) __attribute__((ifunc("choose_longest")));
bool quick_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, void **old)
	__attribute__((ifunc("choose_put")));
void *quick_take(struct maple_tree *mt, unsigned long index, unsigned long *start, unsigned long *last)
	__attribute__((ifunc("choose_take")));
int quick_patch(struct maple_tree *mt, struct ma_state *mas, const struct mt_cut *cut, void **old)
	__attribute__((ifunc("choose_patch")));
bool quick_near(struct maple_tree *mt, unsigned long index, struct mt_near *near)
	__attribute__((ifunc("choose_near")));
bool gap_search_up(struct gap_search *s) __attribute__((ifunc("choose_gap_up")));
bool gap_search_down(struct gap_search *s) __attribute__((ifunc("choose_gap_down")));

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

uint32_t narrow_longest_between(const struct narrow *leaf, uint64_t order)
{
	return longest_between_plain(leaf, order);
}

bool quick_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, void **old)
{
	return quick_put_plain(mt, index, last, entry, old);
}

void *quick_take(struct maple_tree *mt, unsigned long index, unsigned long *start, unsigned long *last)
{
	return quick_take_plain(mt, index, start, last);
}

int quick_patch(struct maple_tree *mt, struct ma_state *mas, const struct mt_cut *cut, void **old)
{
	return quick_patch_plain(mt, mas, cut, old);
}

bool quick_near(struct maple_tree *mt, unsigned long index, struct mt_near *near)
{
	return quick_near_plain(mt, index, near);
}

bool gap_search_up(struct gap_search *s)
{
	return gap_up_plain(s);
}

bool gap_search_down(struct gap_search *s)
{
	return gap_down_plain(s);
}

#endif
