// Attention of one new token a sequence against the cache, and filling the cache from a prompt.
// keys: [batch, heads, headWidth, capacity], so that scores stream; values: [batch, heads, capacity, headWidth].
#include "launch.h"

void run_cacheWrite(const Launch& l, Worker& worker) {
  using namespace kernel_cacheWrite;
  const long batch = l.integers[i_batch], length = l.integers[i_length], capacity = l.integers[i_capacity];
  const long heads = l.integers[i_heads], width = l.integers[i_headWidth], c = heads * width;
  const real* qkv = l.r(b_qkv);
  forTasks(worker, batch * heads, [&](long task) {
    const long b = task / heads, h = task % heads;
    const real* base = qkv + b * length * 3 * c + h * width;
    real* keys = l.r(b_keys) + task * width * capacity;
    real* values = l.r(b_values) + task * width * capacity;
    for (long t = 0; t < length; t++) {
      const real* row = base + t * 3 * c;
      for (long d = 0; d < width; d++) keys[d * capacity + t] = row[c + d];
      memcpy(values + t * width, row + 2 * c, size_t(width) * sizeof(real));
    }
  });
}
Scratch scratch_cacheWrite(const Launch&, int) { return {}; }

namespace {

// scores[j] for VL * N keys from j on: chains over the head's width. keys: [width][stride].
template <int N>
INLINE void scoreKeys(const real* query, const real* keys, long width, long stride, real* scores) {
  vec sum[N] = {};
  for (long d = 0; d < width; d++) {
    const vec q = splat(query[d]);
    for (int v = 0; v < N; v++) sum[v] = fused(q, load(keys + d * stride + v * VL), sum[v]);
  }
  for (int v = 0; v < N; v++) store(scores + v * VL, sum[v]);
}

// out[N * VL] = (the sum over keys of p * value) * scale; values: [keys][stride].
template <int N>
INLINE void mixValues(const real* p, const real* values, long keys, long stride, real scale, real* out) {
  vec sum[N] = {};
  for (long j = 0; j < keys; j++)
    for (int v = 0; v < N; v++) sum[v] = fused(splat(p[j]), load(values + j * stride + v * VL), sum[v]);
  for (int v = 0; v < N; v++) store(out + v * VL, sum[v] * scale);
}

// The columns of rows [0, rows) that do not fill a vector, padded with 0.
void padColumns(const real* from, long stride, long rows, long columns, real* to) {
  for (long r = 0; r < rows; r++) store(to + r * VL, loadPart(from + r * stride, columns));
}

struct Own {
  real *scores, *query, *out, *tail;
  long end;
  Own(real* base, long capacity, long width) {
    scores = base;
    query = scores + roundUp(capacity, 4 * VL);
    out = query + roundUp(width, VL);
    tail = out + roundUp(width, VL);
    end = tail + (capacity > width ? capacity : width) * VL - base;
  }
};

}  // namespace

void run_decodeAttention(const Launch& l, Worker& worker) {
  using namespace kernel_decodeAttention;
  const long batch = l.integers[i_batch], capacity = l.integers[i_capacity];
  const long heads = l.integers[i_heads], width = l.integers[i_headWidth], c = heads * width;
  const real* qkv = l.r(b_qkv);
  const int32_t* positions = l.n(b_positions);
  real* out = l.r(b_out);
  const real scale = real(1) / std::sqrt(real(width));
  const Own own(reinterpret_cast<real*>(worker.ownScratch), capacity, width);
  real* scores = own.scores;
  forTasks(worker, batch * heads, [&](long task) {
    const long b = task / heads, h = task % heads, position = positions[b];
    if (position < 0 || position >= capacity) {
      worker.fault(b, position, capacity);
      return;
    }
    const real* row = qkv + b * 3 * c + h * width;
    real* keys = l.r(b_keys) + task * width * capacity;
    real* values = l.r(b_values) + task * width * capacity;
    for (long d = 0; d < width; d++) {
      keys[d * capacity + position] = row[c + d];
      own.query[d] = row[d] * scale;
    }
    memcpy(values + position * width, row + 2 * c, size_t(width) * sizeof(real));

    const long count = position + 1;
    long j = 0;
    for (; j < count && j + 4 * VL <= capacity; j += 4 * VL) scoreKeys<4>(own.query, keys + j, width, capacity, scores + j);
    for (; j < count && j + VL <= capacity; j += VL) scoreKeys<1>(own.query, keys + j, width, capacity, scores + j);
    if (j < count) {
      padColumns(keys + j, capacity, width, capacity - j, own.tail);
      scoreKeys<1>(own.query, own.tail, width, VL, scores + j);
    }
    real top = -INFINITY;
    for (j = 0; j < count; j++) top = scores[j] > top ? scores[j] : top;
    vec sum{};
    for (j = 0; j < count; j += VL) {
      vec p = exponential(load(scores + j) - top);
      for (long i = count - j; i < VL; i++) p[i] = 0;
      store(scores + j, p);
      sum += p;
    }
    const real inverse = real(1) / sumLanes(sum);
    long d = 0;
    for (; d + 8 * VL <= width; d += 8 * VL) mixValues<8>(scores, values + d, count, width, inverse, own.out + d);
    for (; d + 4 * VL <= width; d += 4 * VL) mixValues<4>(scores, values + d, count, width, inverse, own.out + d);
    for (; d + VL <= width; d += VL) mixValues<1>(scores, values + d, count, width, inverse, own.out + d);
    if (d < width) {
      padColumns(values + d, width, count, width - d, own.tail);
      mixValues<1>(scores, own.tail, count, VL, inverse, own.out + d);
    }
    memcpy(out + b * c + h * width, own.out, size_t(width) * sizeof(real));
  });
}
Scratch scratch_decodeAttention(const Launch& l, int) {
  using namespace kernel_decodeAttention;
  return {0, uint64_t(Own(nullptr, l.integers[i_capacity], l.integers[i_headWidth]).end) * sizeof(real)};
}
