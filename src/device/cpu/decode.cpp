// Attention of one new token a sequence against the cache, and filling the cache from a prompt.
// keys: [slots, keyHeads, capacity / cacheBlock, headWidth, cacheBlock], so that scores stream; values: [slots, keyHeads, capacity, headWidth].
#include "matmul.h"

namespace {

void writeKey(real* keys, long position, const real* key, long width) {
  real* to = keys + position / cacheBlock * cacheBlock * width + position % cacheBlock;
  for (long d = 0; d < width; d++) to[d * cacheBlock] = key[d];
}

}  // namespace

void run_cacheWrite(const Launch& l, Worker& worker) {
  using namespace kernel_cacheWrite;
  const long batch = l.integers[i_batch], length = l.integers[i_length], capacity = l.integers[i_capacity];
  const long heads = l.integers[i_heads], keyHeads = l.integers[i_keyHeads], width = l.integers[i_headWidth];
  const long rowWidth = (heads + 2 * keyHeads) * width;
  const int32_t* places = l.n(b_places);
  const long slots = l.integers[i_slots];
  forTasks(worker, batch * keyHeads, [&](long task) {
    const long b = task / keyHeads, h = task % keyHeads, slot = places == nullptr ? b : places[b];
    if (slot < 0) return;
    if (slot >= slots) return worker.fault(b, slot, slots);
    const real* base = l.r(b_qkv) + b * length * rowWidth + (heads + h) * width;
    real* keys = l.r(b_keys) + (slot * keyHeads + h) * width * roundUp(capacity, cacheBlock);
    real* values = l.r(b_values) + (slot * keyHeads + h) * width * capacity;
    for (long t = 0; t < length; t++) {
      const real* row = base + t * rowWidth;
      writeKey(keys, t, row, width);
      memcpy(values + t * width, row + keyHeads * width, size_t(width) * sizeof(real));
    }
  });
}
Scratch scratch_cacheWrite(const Launch&, int) { return {}; }

namespace {

constexpr long line = 64 / long(sizeof(real));

// out[BLOCKS * cacheBlock] = the products of a query with the keys of so many blocks of the cache, and (NEWEST) `newest`, that with the new key: it is
// read where it comes from, as in the cache its score would wait for the stores of its elements. `next`: keys that the next task will read, fetched to
// L2 meanwhile, as L1 has no room for both.
template <int BLOCKS, bool NEWEST>
__attribute__((noinline)) void scoreBlocks(const real* query, long width, const real* keys, const real* next, const real* newKey, real* out,
                                           real* newest) {
  constexpr long vectors = cacheBlock / VL;
  vec sums[BLOCKS][vectors] = {};
  vec sum{};
  for (long d = 0; d < width; d++) {
    const vec q = splat(query[d]);
#pragma GCC unroll 16
    for (long i = 0; i < BLOCKS; i++) {
      const long at = (i * width + d) * cacheBlock;
#pragma GCC unroll 16
      for (long v = 0; v < vectors; v++) {
        sums[i][v] = fused(q, load(keys + at + v * VL), sums[i][v]);
      }
    }
    if (NEWEST) sum = fused(q, splat(newKey[d]), sum);
  }
#pragma GCC unroll 16
  for (long i = 0; i < BLOCKS; i++)
#pragma GCC unroll 16
    for (long v = 0; v < vectors; v++) store(out + i * cacheBlock + v * VL, sums[i][v]);
  if (NEWEST) *newest = sum[0];
}

typedef void ScoreBlocks(const real*, long, const real*, const real*, const real*, real*, real*);
constexpr long blocksAtOnce = 6;
template <bool NEWEST, int... BLOCKS>
ScoreBlocks* scoreBlocksOf(long blocks, std::integer_sequence<int, BLOCKS...>) {
  static ScoreBlocks* const all[] = {scoreBlocks<BLOCKS, NEWEST>...};
  return all[blocks];
}

// out[position + 1] = the products of a query with the keys of the positions before, and with the new key: in passes of like many blocks, as few
// sums would wait for each other.
void scores(const real* query, long width, const real* keys, const real* next, long position, const real* newKey, real* out) {
  constexpr auto counts = std::make_integer_sequence<int, blocksAtOnce + 1>();
  const long blocks = divideUp(position, cacheBlock), passes = blocks == 0 ? 1 : divideUp(blocks, blocksAtOnce);
  real newest = 0;
  for (long pass = 0; pass < passes; pass++) {
    const long from = blocks * pass / passes, count = blocks * (pass + 1) / passes - from, at = from * cacheBlock;
    const auto multiply = pass + 1 < passes ? scoreBlocksOf<false>(count, counts) : scoreBlocksOf<true>(count, counts);
    multiply(query, width, keys + at * width, next + at * width, newKey, out + at, &newest);
  }
  out[position] = newest;
}

// out[VECTORS * VL] = x[depth] . from[depth][stride]. `next` as in `scoreBlocks`.
template <int VECTORS>
__attribute__((noinline)) void rowColumns(const real* x, long depth, const real* from, const real* next, long stride, real* out) {
  vec sums[VECTORS] = {};
  for (long r = 0; r < depth; r++, from += stride, next += stride) {
    const vec left = splat(x[r]);
#pragma GCC unroll 16
    for (long v = 0; v < VECTORS; v++) {
      sums[v] = fused(left, load(from + v * VL), sums[v]);
    }
  }
#pragma GCC unroll 16
  for (long v = 0; v < VECTORS; v++) store(out + v * VL, sums[v]);
}

// The same of so many vectors: as many chains at once as keep the multipliers busy.
void rowProduct(const real* x, long depth, const real* from, const real* next, long stride, long vectors, real* out) {
  const auto multiply = [&](auto columns, long count) {
    for (; vectors >= count; vectors -= count, from += count * VL, next += count * VL, out += count * VL)
      columns(x, depth, from, next, stride, out);
  };
  multiply(rowColumns<8>, 8);
  multiply(rowColumns<4>, 4);
  multiply(rowColumns<2>, 2);
  multiply(rowColumns<1>, 1);
}

// The same for the columns behind the last whole vector, which are copied to `tail` first: the last row may end with its memory.
void tailProduct(const real* x, long depth, const real* from, long stride, long columns, real* tail, real* out) {
  for (long r = 0; r < depth; r++) store(tail + r * VL, loadPart(from + r * stride, columns));
  rowProduct(x, depth, tail, tail, VL, 1, out);
}

struct Own {
  real *query, *scores, *out, *tail;
  long end;
  Own(real* base, long capacity, long width) {
    const auto take = [&](long count) { return base + std::exchange(end, end + roundUp(count, VL)); };
    end = 0;
    query = take(width);
    scores = take(roundUp(capacity, cacheBlock));
    out = take(width);
    tail = take(capacity * VL);
  }
};

}  // namespace

void run_decodeAttention(const Launch& l, Worker& worker) {
  using namespace kernel_decodeAttention;
  const long batch = l.integers[i_batch], capacity = l.integers[i_capacity];
  const long heads = l.integers[i_heads], keyHeads = l.integers[i_keyHeads], width = l.integers[i_headWidth];
  const long c = heads * width, rowWidth = c + 2 * keyHeads * width, group = heads / keyHeads;
  const int32_t* positions = l.n(b_positions);
  const real scale = real(1) / std::sqrt(real(width));
  const Own own(reinterpret_cast<real*>(worker.ownScratch), capacity, width);
  forTasks(worker, batch * keyHeads, [&](long task) {
    const long b = task / keyHeads, keyHead = task % keyHeads, position = positions[b];
    if (position < 0 || position >= capacity) {
      worker.fault(b, position, capacity);
      return;
    }
    const real* newKey = l.r(b_qkv) + b * rowWidth + c + keyHead * width;
    real* keys = l.r(b_keys) + task * width * roundUp(capacity, cacheBlock);
    real* values = l.r(b_values) + task * width * capacity;
    // A worker mostly has the next task too.
    const long step = task + 1 < batch * keyHeads ? 1 : 0;
    const real *nextKeys = keys + step * width * roundUp(capacity, cacheBlock), *nextValues = values + step * width * capacity;
    memcpy(values + position * width, newKey + keyHeads * width, size_t(width) * sizeof(real));
    for (long h = keyHead * group; h < (keyHead + 1) * group; h++) {
      const real* query = l.r(b_qkv) + b * rowWidth + h * width;
      for (long d = 0; d < width; d++) own.query[d] = query[d] * scale;

      const long count = position + 1;
      scores(own.query, width, keys, nextKeys, position, newKey, own.scores);
      if (h == keyHead * group) writeKey(keys, position, newKey, width);
      vec most = splat(own.scores[0]);
      long j = 0;
      for (; j + VL <= count; j += VL) most = larger(most, load(own.scores + j));
      real top = maxLanes(most);
      for (; j < count; j++) top = own.scores[j] > top ? own.scores[j] : top;
      vec sum{};
      for (j = 0; j < count; j += VL) {
        vec p = exponential(load(own.scores + j) - top);
        for (long lane = count - j; lane < VL; lane++) p[lane] = 0;
        store(own.scores + j, p);
        sum += p;
      }
      const real inverse = real(1) / sumLanes(sum);
      const long wide = width / VL * VL;
      rowProduct(own.scores, count, values, nextValues, width, wide / VL, own.out);
      if (width > wide) tailProduct(own.scores, count, values + wide, width, width - wide, own.tail, own.out + wide);
      real* out = l.r(b_out) + b * c + h * width;
      for (long d = 0; d < width; d++) out[d] = own.out[d] * inverse;
    }
  });
}
Scratch scratch_decodeAttention(const Launch& l, int) {
  using namespace kernel_decodeAttention;
  return {0, uint64_t(Own(nullptr, l.integers[i_capacity], l.integers[i_headWidth]).end) * sizeof(real)};
}
