/* SPDX-License-Identifier: MIT */
/*
 * absl::btree_map and std::map as contestants: ranges keyed by their last index,
 * nodes from a pool. They have no readers beside a writer and no index of gaps:
 * gaps are found by a scan, and only where one begins at a random place.
 */
#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <map>
#include <type_traits>

#include "contest.h"

namespace {

/* Nodes by size in steps of 16 bytes, from pieces of 2 MiB; what was freed last goes out first. */
class Pool {
public:
	static void *get(size_t bytes)
	{
		Pool &pool = of(bytes);

		live += bytes;
		if (pool.free_) {
			void *ptr = pool.free_;

			pool.free_ = *static_cast<void **>(ptr);
			return ptr;
		}
		return pool.cut(round(bytes));
	}

	static void put(void *ptr, size_t bytes)
	{
		Pool &pool = of(bytes);

		live -= bytes;
		*static_cast<void **>(ptr) = pool.free_;
		pool.free_ = ptr;
	}

	static inline size_t live;

private:
	static constexpr size_t piece = 2u << 20;

	static size_t round(size_t bytes)
	{
		return (bytes + 15) / 16 * 16;
	}

	static Pool &of(size_t bytes)
	{
		static Pool pools[256];

		return pools[round(bytes) / 16];
	}

	void *cut(size_t bytes)
	{
		if (left_ < bytes) {
			next_ = static_cast<char *>(aligned_alloc(4096, piece));
			if (!next_)
				abort();
			left_ = piece;
			for (size_t at = 0; at < piece; at += 4096)
				next_[at] = 0;
		}
		next_ += bytes;
		left_ -= bytes;
		return next_ - bytes;
	}

	void *free_ = nullptr;
	char *next_ = nullptr;
	size_t left_ = 0;
};

template <class T> struct PoolAllocator {
	using value_type = T;
	using is_always_equal = std::true_type;

	PoolAllocator() = default;
	template <class U> PoolAllocator(const PoolAllocator<U> &) {}
	T *allocate(size_t n) { return static_cast<T *>(Pool::get(n * sizeof(T))); }
	void deallocate(T *ptr, size_t n) { Pool::put(ptr, n * sizeof(T)); }
	bool operator==(const PoolAllocator &) const { return true; }
	bool operator!=(const PoolAllocator &) const { return false; }
};

struct Value {
	unsigned long start;
	void *entry;
};

using Pair = std::pair<const unsigned long, Value>;
using Btree = absl::btree_map<unsigned long, Value, std::less<unsigned long>, PoolAllocator<Pair>>;
using Map = std::map<unsigned long, Value, std::less<unsigned long>, PoolAllocator<Pair>>;

template <class M> struct Contest {
	static void insert(M &m, unsigned long start, unsigned long last, void *entry)
	{
		m.emplace(last, Value{ start, entry });
	}

	static void insert(M &m, const work *w, unsigned long i)
	{
		insert(m, w->range[i].start, w->range[i].last, &w->range[i]);
	}

	static void *find(const M &m, unsigned long index)
	{
		auto it = m.lower_bound(index);

		return it != m.end() && it->second.start <= index ? it->second.entry : nullptr;
	}

	static void erase(M &m, unsigned long index)
	{
		auto it = m.lower_bound(index);

		if (it != m.end() && it->second.start <= index)
			m.erase(it);
	}

	/* The first index of the highest gap of @size below @top, or 0. */
	static unsigned long gap_below(const M &m, unsigned long top, unsigned long size)
	{
		auto it = m.lower_bound(top);
		unsigned long end = top + 1;

		if (it != m.end() && it->second.start <= top)
			end = it->second.start;
		while (it != m.begin()) {
			--it;
			if (end - (it->first + 1) >= size)
				return end - size;
			end = it->second.start;
		}
		return end >= WORK_BASE + size ? end - size : 0;
	}

	static double lookup(const M &m, const work *w, unsigned long dependent)
	{
		uintptr_t found = 0, sum = 0;
		double start = work_now();

		for (unsigned long i = 0; i < WORK_QUERIES; i++) {
			found = reinterpret_cast<uintptr_t>(find(m, w->at[i + (found & dependent)]));
			sum += found;
		}
		work_keep(sum);
		return (work_now() - start) / WORK_QUERIES;
	}

	static double iterate(const M &m, const work *w)
	{
		unsigned long rounds = work_rounds(w);
		uintptr_t sum = 0;
		double start = work_now();

		for (unsigned long r = 0; r < rounds; r++)
			for (const auto &pair : m)
				sum += pair.first + pair.second.start;
		work_keep(sum);
		return (work_now() - start) / (double(rounds) * double(w->n));
	}

	static double come_and_go(work *w, const uint32_t *in, bool going)
	{
		unsigned long rounds = work_rounds(w);
		double ns = 0;

		for (unsigned long r = 0; r < rounds; r++) {
			if (rounds > 1)
				work_shuffle(w);
			M m;
			double start = work_now();

			for (unsigned long i = 0; i < w->n; i++)
				insert(m, w, in ? in[i] : i);
			if (going) {
				start = work_now();
				for (unsigned long i = 0; i < w->n; i++)
					erase(m, w->range[w->out[i]].start);
			}
			ns += work_now() - start;
		}
		return ns / (double(rounds) * double(w->n));
	}

	static double put_back(M &m, const work *w)
	{
		unsigned long ops = 500000;
		double start = work_now();

		for (unsigned long i = 0; i < ops; i++) {
			erase(m, w->range[w->which[i]].start);
			insert(m, w, w->which[i]);
		}
		return (work_now() - start) / double(ops);
	}

	static double gaps(const M &m, const work *w)
	{
		unsigned long ops = WORK_QUERIES / 16;
		uintptr_t sum = 0;
		double start = work_now();

		for (unsigned long i = 0; i < ops; i++) {
			unsigned long size = work_gap_size(w, i);

			sum += gap_below(m, work_gap_top(w, i, size), size);
		}
		work_keep(sum);
		return (work_now() - start) / double(ops);
	}

	static double alloc_free(M &m, const work *w)
	{
		unsigned long ring[64] = {}, ops = 100000;
		double start = work_now(), end;

		for (unsigned long i = 0; i < ops; i++) {
			unsigned long size = work_gap_size(w, i), &slot = ring[i % 64];

			if (slot)
				erase(m, slot);
			slot = gap_below(m, work_gap_top(w, i, size), size);
			if (slot)
				insert(m, slot, slot + size - 1, ring);
		}
		end = work_now();
		for (unsigned long at : ring)
			if (at)
				erase(m, at);
		return (end - start) / double(ops);
	}

	static double copy(const M &m, const work *w, op what)
	{
		unsigned long rounds = work_rounds(w) < 200 ? work_rounds(w) : 200;
		double ns = 0;

		for (unsigned long r = 0; r < rounds; r++) {
			double t0 = work_now();
			M *child = new M(m);
			double t1 = work_now();

			for (auto &pair : *child)
				pair.second.entry = static_cast<char *>(pair.second.entry) + 8;
			double t2 = work_now();
			delete child;
			double t3 = work_now();
			ns += what == OP_DUP ? t1 - t0 : what == OP_REPLACE ? t2 - t1 : t3 - t2;
		}
		return ns / (double(rounds) * double(w->n));
	}

	static double bytes(const work *w, const uint32_t *in)
	{
		size_t before = Pool::live;
		M m;

		for (unsigned long i = 0; i < w->n; i++)
			insert(m, w, in ? in[i] : i);
		return double(Pool::live - before) / double(w->n);
	}

	static void *make(const contestant *, const work *w)
	{
		M *m = new M;

		for (unsigned long i = 0; i < w->n; i++)
			insert(*m, w, w->in[i]);
		return m;
	}

	static void drop(void *filled)
	{
		delete static_cast<M *>(filled);
	}

	static double run(void *filled, work *w, op what)
	{
		M &m = *static_cast<M *>(filled);

		switch (what) {
		case OP_LOOKUP: return lookup(m, w, 0);
		case OP_LOOKUP_DEP: return lookup(m, w, 1);
		case OP_ITERATE: return iterate(m, w);
		case OP_INSERT_RANDOM: return come_and_go(w, w->in, false);
		case OP_INSERT_ORDER: return come_and_go(w, nullptr, false);
		case OP_ERASE_RANDOM: return come_and_go(w, w->in, true);
		case OP_PUT_BACK: return put_back(m, w);
		case OP_GAP_BELOW: return gaps(m, w);
		case OP_ALLOC_FREE: return alloc_free(m, w);
		case OP_DUP:
		case OP_REPLACE:
		case OP_DESTROY: return copy(m, w, what);
		case OP_BYTES_RANDOM: return bytes(w, w->in);
		case OP_BYTES_ORDER: return bytes(w, nullptr);
		default: return -1;
		}
	}
};

const contestant absl_btree = { "absl::btree_map", Contest<Btree>::make, Contest<Btree>::drop, Contest<Btree>::run, 0 };
const contestant std_map = { "std::map", Contest<Map>::make, Contest<Map>::drop, Contest<Map>::run, 0 };
const contestant *const peers[] = { &absl_btree, &std_map, nullptr };

}

const contestant *const *contest_peers(void)
{
	return peers;
}
