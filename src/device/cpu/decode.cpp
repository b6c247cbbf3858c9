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

void run_decodeAttention(const Launch& l, Worker& worker) {
  using namespace kernel_decodeAttention;
  const long batch = l.integers[i_batch], capacity = l.integers[i_capacity];
  const long heads = l.integers[i_heads], width = l.integers[i_headWidth], c = heads * width;
  const real* qkv = l.r(b_qkv);
  const int32_t* positions = l.n(b_positions);
  real* out = l.r(b_out);
  const real scale = real(1) / std::sqrt(real(width));
  real* scores = reinterpret_cast<real*>(worker.ownScratch);
  real* mixed = scores + roundUp(capacity, VL);
  forTasks(worker, batch * heads, [&](long task) {
    const long b = task / heads, h = task % heads, position = positions[b];
    if (position < 0 || position >= capacity) {
      worker.fault(b, position, capacity);
      return;
    }
    const real* query = qkv + b * 3 * c + h * width;
    real* keys = l.r(b_keys) + task * width * capacity;
    real* values = l.r(b_values) + task * width * capacity;
    for (long d = 0; d < width; d++) keys[d * capacity + position] = query[c + d];
    memcpy(values + position * width, query + 2 * c, size_t(width) * sizeof(real));

    const long count = position + 1;
    real top = -INFINITY;
    for (long j = 0; j < count; j += VL) {
      const long n = capacity - j;
      vec score{};
      for (long d = 0; d < width; d++) score += splat(query[d] * scale) * loadPart(keys + d * capacity + j, n);
      store(scores + j, score);
      for (long i = 0; i < VL && j + i < count; i++) top = score[i] > top ? score[i] : top;
    }
    vec sum{};
    for (long j = 0; j < count; j += VL) {
      vec p = exponential(load(scores + j) - top);
      for (long i = 0; i < VL; i++)
        if (j + i >= count) p[i] = 0;
      store(scores + j, p);
      sum += p;
    }
    const real inverse = real(1) / sumLanes(sum);
    for (long d = 0; d < width; d++) mixed[d] = 0;
    for (long j = 0; j < count; j++) {
      const real p = scores[j];
      const real* value = values + j * width;
      for (long d = 0; d < width; d++) mixed[d] += p * value[d];
    }
    real* to = out + b * c + h * width;
    for (long d = 0; d < width; d++) to[d] = mixed[d] * inverse;
  });
}
Scratch scratch_decodeAttention(const Launch& l, int) {
  using namespace kernel_decodeAttention;
  return {0, uint64_t(roundUp(l.integers[i_capacity], VL) + roundUp(l.integers[i_headWidth], VL)) * sizeof(real)};
}
