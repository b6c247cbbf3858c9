// Causal attention in f32, forward and backward, never length x length in memory (Dao 2022). A block of 16 x 16 threads has a tile of queries against one tile of
// keys after another, or a tile of keys against tiles of queries; thread (y, x) has rows y + 16 i and columns x + 16 j of their scores.
// The gradient is made twice over, by keys and by queries, so that every sum has one owner and one order.
#include "attention.cuh"

INLINE int rowOfThread() { return int(threadIdx.x) / 16; }
INLINE int columnOfThread() { return int(threadIdx.x) % 16; }

// to[ROWS][D + 4] = factor * rows of `width` floats, `stride` apart; 0 past the last row and column.
template <int ROWS, int D>
INLINE void loadRows(float* to, const float* from, i64 stride, int rows, int width, bool aligned, float factor = 1.0f) {
  constexpr int fours = D / 4;
#pragma unroll 2
  for (int at = int(threadIdx.x); at < ROWS * fours; at += 256) {
    const int row = at / fours, column = at % fours * 4, left = row < rows ? width - column : 0;
    const float4 v = load4(from + (left > 0 ? row * stride + column : 0), left, aligned);
    *reinterpret_cast<float4*>(to + row * (D + 4) + column) = factor * v;
  }
}

// sums[i][j] = a[y + 16 i] . b[x + 16 j] of rows of D floats, D + 4 apart.
template <int RA, int RB, int D>
INLINE void dotRows(float (&sums)[RA][RB], const float* a, const float* b) {
#pragma unroll
  for (int i = 0; i < RA; i++)
#pragma unroll
    for (int j = 0; j < RB; j++) sums[i][j] = 0.0f;
  a += rowOfThread() * (D + 4);
  b += columnOfThread() * (D + 4);
#pragma unroll 2
  for (int d = 0; d < D; d += 4) {
    float4 left[RA], right[RB];
#pragma unroll
    for (int i = 0; i < RA; i++) left[i] = *reinterpret_cast<const float4*>(a + i * 16 * (D + 4) + d);
#pragma unroll
    for (int j = 0; j < RB; j++) right[j] = *reinterpret_cast<const float4*>(b + j * 16 * (D + 4) + d);
#pragma unroll
    for (int i = 0; i < RA; i++)
#pragma unroll
      for (int j = 0; j < RB; j++) {
        sums[i][j] = fmaf(left[i].x, right[j].x, sums[i][j]);
        sums[i][j] = fmaf(left[i].y, right[j].y, sums[i][j]);
        sums[i][j] = fmaf(left[i].z, right[j].z, sums[i][j]);
        sums[i][j] = fmaf(left[i].w, right[j].w, sums[i][j]);
      }
  }
}

// sums[i] += the sum over k of a[y + 16 i][k] * b[k], of which the thread has columns 2 x + 32 c and the next. a: rows of K + 4 floats; b: K rows of D + 4.
template <int RA, int K, int D>
INLINE void addProduct(float2 (&sums)[RA][D / 32], const float* a, const float* b) {
  a += rowOfThread() * (K + 4);
  b += columnOfThread() * 2;
#pragma unroll 1
  for (int k = 0; k < K; k += 4) {
    float4 left[RA];
#pragma unroll
    for (int i = 0; i < RA; i++) left[i] = *reinterpret_cast<const float4*>(a + i * 16 * (K + 4) + k);
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
      for (int c = 0; c < D / 32; c++) {
        const float2 right = *reinterpret_cast<const float2*>(b + (k + step) * (D + 4) + c * 32);
#pragma unroll
        for (int i = 0; i < RA; i++) {
          const float x = step == 0 ? left[i].x : step == 1 ? left[i].y : step == 2 ? left[i].z : left[i].w;
          sums[i][c].x = fmaf(x, right.x, sums[i][c].x);
          sums[i][c].y = fmaf(x, right.y, sums[i][c].y);
        }
      }
  }
}

template <int RA, int D>
INLINE void clear(float2 (&sums)[RA][D / 32]) {
#pragma unroll
  for (int i = 0; i < RA; i++)
#pragma unroll
    for (int c = 0; c < D / 32; c++) sums[i][c] = make_float2(0.0f, 0.0f);
}

// to[stride * (y + 16 i)] = factor(i) * sums[i], for rows before `rows` and columns before `width`.
template <int RA, int D, class Factor>
INLINE void storeRows(float* to, i64 stride, int rows, int width, const float2 (&sums)[RA][D / 32], Factor factor) {
#pragma unroll
  for (int i = 0; i < RA; i++) {
    const int row = rowOfThread() + 16 * i;
    if (row >= rows) continue;
    const float by = factor(i);
#pragma unroll
    for (int c = 0; c < D / 32; c++) {
      const int column = columnOfThread() * 2 + c * 32;
      if (column < width) to[row * stride + column] = sums[i][c].x * by;
      if (column + 1 < width) to[row * stride + column + 1] = sums[i][c].y * by;
    }
  }
}

// Over the 16 threads that share rows.
template <class Combine>
INLINE float overColumns(float x, Combine combine) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) x = combine(x, __shfl_xor_sync(allLanes, x, distance));
  return x;
}

// A block a tile of 16 RA queries of a head, with tiles of 16 RB keys; the running maximum and sum of a row are known to its 16 threads.
template <int D, int RA, int RB>
INLINE void forward(const float* qkv, const int* starts, float* out, float* logSumExp, Shape s) {
  constexpr int rows = 16 * RA, columns = 16 * RB;
  __shared__ int slots[8];
  DYNAMIC_SHARED(float, shared);
  // Values lie where keys did.
  float *const queries = shared, *const keys = queries + rows * (D + 4), *const weights = keys + columns * (D + 4);
  // The tiles with the most keys come first.
  const int query = int(gridDim.x - 1 - blockIdx.x) * rows, head = int(blockIdx.y), b = int(blockIdx.z);
  const int keyHead = s.heads + head / (s.heads / s.keyHeads), count = min(rows, s.length - query), end = query + count;
  const bool aligned = alignedRows(qkv, s.width);
  if (starts != nullptr) starts += i64(b) * s.length;
  const int least = leastFirstKey(starts, query, count, slots) / columns * columns;
  loadRows<rows, D>(queries, qkv + s.at(b, query, head), s.rowWidth(), count, s.width, aligned, s.scale);
  int last[RA], first[RA];
  float top[RA], total[RA];
  float2 sums[RA][D / 32];
  clear<RA, D>(sums);
#pragma unroll
  for (int i = 0; i < RA; i++) {
    // Rows past the end see what the last one does.
    last[i] = min(query + rowOfThread() + 16 * i, end - 1);
    first[i] = firstKey(starts, last[i]);
    top[i] = -infinity();
    total[i] = 0.0f;
  }
  for (int key = least; key < end; key += columns) {
    const int some = min(columns, s.length - key);
    __syncthreads();
    loadRows<columns, D>(keys, qkv + s.at(b, key, keyHead), s.rowWidth(), some, s.width, aligned);
    __syncthreads();
    float scores[RA][RB];
    dotRows<RA, RB, D>(scores, queries, keys);
#pragma unroll
    for (int i = 0; i < RA; i++) {
      float most = top[i];
#pragma unroll
      for (int j = 0; j < RB; j++) {
        const int at = key + columnOfThread() + 16 * j;
        if (at > last[i] || at < first[i]) scores[i][j] = -infinity();
        most = fmaxf(most, scores[i][j]);
      }
      most = overColumns(most, [](float x, float y) { return fmaxf(x, y); });
      // A row that sees no key yet: all of its weights are 0.
      const float base = most == -infinity() ? 0.0f : most, fade = expf(top[i] - base);
      top[i] = most;
      total[i] *= fade;
#pragma unroll
      for (int c = 0; c < D / 32; c++) {
        sums[i][c].x *= fade;
        sums[i][c].y *= fade;
      }
#pragma unroll
      for (int j = 0; j < RB; j++) {
        const float weight = expf(scores[i][j] - base);
        total[i] += weight;
        weights[(rowOfThread() + 16 * i) * (columns + 4) + columnOfThread() + 16 * j] = weight;
      }
    }
    __syncthreads();
    loadRows<columns, D>(keys, qkv + s.at(b, key, keyHead + s.keyHeads), s.rowWidth(), some, s.width, aligned);
    __syncthreads();
    addProduct<RA, columns, D>(sums, weights, keys);
  }
#pragma unroll
  for (int i = 0; i < RA; i++) total[i] = overColumns(total[i], [](float x, float y) { return x + y; });
  storeRows<RA, D>(out + s.outAt(b, query, head), s.channels(), count, s.width, sums, [&](int i) { return 1.0f / total[i]; });
  if (columnOfThread() != 0) return;
#pragma unroll
  for (int i = 0; i < RA; i++) {
    const int row = rowOfThread() + 16 * i;
    if (row < count) logSumExp[(i64(b) * s.heads + head) * s.length + query + row] = top[i] + logf(total[i]);
  }
}

// along[batch, heads, length] = dOut . out of each row and head, by a warp. The first block looks for starts that lie out of range.
KERNEL(256) attentionAlong(const float* dOut, const float* out, const int* starts, float* along, int batch, int length, int heads, int width, int launch,
                           int* status) {
  if (blockIdx.x == 0) reportStarts(starts, batch * length, length, launch, status);
  const i64 at = i64(blockIdx.x) * 8 + warpOf(), row = at / heads;
  if (row >= i64(batch) * length) return;
  const int head = int(at % heads);
  const bool aligned = alignedRows(dOut, width) && aligned16(out);
  float sum = 0.0f;
  for (int j = laneOf() * 4; j < width; j += 128)
    sum += sumOf(load4(dOut + at * width + j, width - j, aligned) * load4(out + at * width + j, width - j, aligned));
  sum = warpSum(sum);
  if (laneOf() == 0) along[(row / length * heads + head) * length + row % length] = sum;
}

// dV = P^T dO; dS = P (dO V^T - along); dK = scale dS^T Q (Dao 2022, algorithm 4): a block a tile of 16 RA keys, with tiles of 16 RB queries, head after head
// of those that share the keys.
template <int D, int RA, int RB>
INLINE void byKeys(const float* dOut, const float* qkv, const int* starts, const float* logSumExp, const float* along, float* dQkv, Shape s) {
  constexpr int rows = 16 * RA, columns = 16 * RB;
  __shared__ int slots[8];
  DYNAMIC_SHARED(float, shared);
  float *const keys = shared, *const values = keys + rows * (D + 4), *const queries = values + rows * (D + 4), *const dOuts = queries + columns * (D + 4);
  float *const weights = dOuts + columns * (D + 4), *const dScores = weights + rows * (columns + 4);
  float *const lse = dScores + rows * (columns + 4), *const alongs = lse + columns;
  int* const firsts = reinterpret_cast<int*>(alongs + columns);
  // The tiles that most queries see come first.
  const int key = int(blockIdx.x) * rows, keyHead = int(blockIdx.y), b = int(blockIdx.z), group = s.heads / s.keyHeads;
  const int count = min(rows, s.length - key);
  const bool aligned = alignedRows(qkv, s.width), alignedOut = alignedRows(dOut, s.width);
  if (starts != nullptr) starts += i64(b) * s.length;
  loadRows<rows, D>(keys, qkv + s.at(b, key, s.heads + keyHead), s.rowWidth(), count, s.width, aligned);
  loadRows<rows, D>(values, qkv + s.at(b, key, s.heads + s.keyHeads + keyHead), s.rowWidth(), count, s.width, aligned);
  float2 dKeys[RA][D / 32], dValues[RA][D / 32];
  clear<RA, D>(dKeys);
  clear<RA, D>(dValues);
  for (int head = keyHead * group; head < (keyHead + 1) * group; head++) {
    for (int query = key / columns * columns; query < s.length; query += columns) {
      const int some = min(columns, s.length - query);
      __syncthreads();
      if (leastFirstKey(starts, query, some, slots) >= key + count) continue;
      loadRows<columns, D>(queries, qkv + s.at(b, query, head), s.rowWidth(), some, s.width, aligned, s.scale);
      loadRows<columns, D>(dOuts, dOut + s.outAt(b, query, head), s.channels(), some, s.width, alignedOut);
      for (int i = int(threadIdx.x); i < columns; i += 256) {
        const i64 at = (i64(b) * s.heads + head) * s.length + query + i;
        lse[i] = i < some ? logSumExp[at] : 0.0f;
        alongs[i] = i < some ? along[at] : 0.0f;
        // Queries past the end see no key.
        firsts[i] = i < some ? firstKey(starts, query + i) : s.length;
      }
      __syncthreads();
      float scores[RA][RB], slopes[RA][RB];
      dotRows<RA, RB, D>(scores, keys, queries);
      dotRows<RA, RB, D>(slopes, values, dOuts);
#pragma unroll
      for (int i = 0; i < RA; i++)
#pragma unroll
        for (int j = 0; j < RB; j++) {
          const int row = rowOfThread() + 16 * i, column = columnOfThread() + 16 * j, at = key + row;
          const bool seen = at <= query + column && at >= firsts[column];
          const float weight = seen ? expf(scores[i][j] - lse[column]) : 0.0f;
          weights[row * (columns + 4) + column] = weight;
          dScores[row * (columns + 4) + column] = weight * (slopes[i][j] - alongs[column]);
        }
      __syncthreads();
      addProduct<RA, columns, D>(dValues, weights, dOuts);
      // Queries are scaled already.
      addProduct<RA, columns, D>(dKeys, dScores, queries);
    }
  }
  const auto one = [](int) { return 1.0f; };
  storeRows<RA, D>(dQkv + s.at(b, key, s.heads + keyHead), s.rowWidth(), count, s.width, dKeys, one);
  storeRows<RA, D>(dQkv + s.at(b, key, s.heads + s.keyHeads + keyHead), s.rowWidth(), count, s.width, dValues, one);
}

// dQ = scale dS K: a block a tile of 16 RA queries of a head, with tiles of 16 RB keys.
template <int D, int RA, int RB>
INLINE void byQueries(const float* dOut, const float* qkv, const int* starts, const float* logSumExp, const float* along, float* dQkv, Shape s) {
  constexpr int rows = 16 * RA, columns = 16 * RB;
  __shared__ int slots[8];
  DYNAMIC_SHARED(float, shared);
  float *const queries = shared, *const dOuts = queries + rows * (D + 4), *const keys = dOuts + rows * (D + 4), *const values = keys + columns * (D + 4);
  float* const dScores = values + columns * (D + 4);
  const int query = int(gridDim.x - 1 - blockIdx.x) * rows, head = int(blockIdx.y), b = int(blockIdx.z);
  const int keyHead = s.heads + head / (s.heads / s.keyHeads), count = min(rows, s.length - query), end = query + count;
  const bool aligned = alignedRows(qkv, s.width), alignedOut = alignedRows(dOut, s.width);
  if (starts != nullptr) starts += i64(b) * s.length;
  const int least = leastFirstKey(starts, query, count, slots) / columns * columns;
  loadRows<rows, D>(queries, qkv + s.at(b, query, head), s.rowWidth(), count, s.width, aligned, s.scale);
  loadRows<rows, D>(dOuts, dOut + s.outAt(b, query, head), s.channels(), count, s.width, alignedOut);
  int last[RA], first[RA];
  float lse[RA], alongs[RA];
  float2 dQueries[RA][D / 32];
  clear<RA, D>(dQueries);
#pragma unroll
  for (int i = 0; i < RA; i++) {
    last[i] = min(query + rowOfThread() + 16 * i, end - 1);
    first[i] = firstKey(starts, last[i]);
    const i64 at = (i64(b) * s.heads + head) * s.length + last[i];
    lse[i] = logSumExp[at];
    alongs[i] = along[at];
  }
  for (int key = least; key < end; key += columns) {
    const int some = min(columns, s.length - key);
    __syncthreads();
    loadRows<columns, D>(keys, qkv + s.at(b, key, keyHead), s.rowWidth(), some, s.width, aligned);
    loadRows<columns, D>(values, qkv + s.at(b, key, keyHead + s.keyHeads), s.rowWidth(), some, s.width, aligned);
    __syncthreads();
    float scores[RA][RB], slopes[RA][RB];
    dotRows<RA, RB, D>(scores, queries, keys);
    dotRows<RA, RB, D>(slopes, dOuts, values);
#pragma unroll
    for (int i = 0; i < RA; i++)
#pragma unroll
      for (int j = 0; j < RB; j++) {
        const int at = key + columnOfThread() + 16 * j;
        const bool seen = at <= last[i] && at >= first[i];
        const float weight = seen ? expf(scores[i][j] - lse[i]) : 0.0f;
        dScores[(rowOfThread() + 16 * i) * (columns + 4) + columnOfThread() + 16 * j] = weight * (slopes[i][j] - alongs[i]);
      }
    __syncthreads();
    addProduct<RA, columns, D>(dQueries, dScores, keys);
  }
  storeRows<RA, D>(dQkv + s.at(b, query, head), s.rowWidth(), count, s.width, dQueries, [&](int) { return s.scale; });
}

#define FORWARD_PARAMETERS \
  const float *qkv, const int *starts, float *out, float *logSumExp, int length, int heads, int keyHeads, int width, float scale, int launch, int *status
#define FORWARD(...)                                                                                                                 \
  if (blockIdx.x + blockIdx.y + blockIdx.z == 0) reportStarts(starts, int(gridDim.z) * length, length, launch, status);               \
  forward<__VA_ARGS__>(qkv, starts, out, logSumExp, Shape{length, heads, keyHeads, width, scale})
KERNEL(256) attention32(FORWARD_PARAMETERS) { FORWARD(32, 4, 4); }
KERNEL(256) attention64(FORWARD_PARAMETERS) { FORWARD(64, 4, 4); }
KERNEL(256) attention96(FORWARD_PARAMETERS) { FORWARD(96, 4, 4); }
KERNEL(256) attention128(FORWARD_PARAMETERS) { FORWARD(128, 4, 4); }
KERNEL(256) attention256(FORWARD_PARAMETERS) { FORWARD(256, 2, 2); }

#define GRADIENT_PARAMETERS                                                                                                                            \
  const float *dOut, const float *qkv, const int *starts, const float *logSumExp, const float *along, float *dQkv, int length, int heads, int keyHeads, \
      int width, float scale
#define GRADIENT(pass, ...) pass<__VA_ARGS__>(dOut, qkv, starts, logSumExp, along, dQkv, Shape{length, heads, keyHeads, width, scale})
KERNEL(256) attentionByKeys32(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 32, 4, 2); }
KERNEL(256) attentionByKeys64(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 64, 4, 2); }
KERNEL(256) attentionByKeys96(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 96, 2, 2); }
KERNEL(256) attentionByKeys128(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 128, 2, 2); }
KERNEL(256) attentionByKeys256(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 256, 1, 1); }
KERNEL(256) attentionByQueries32(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 32, 4, 2); }
KERNEL(256) attentionByQueries64(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 64, 4, 2); }
KERNEL(256) attentionByQueries96(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 96, 2, 2); }
KERNEL(256) attentionByQueries128(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 128, 2, 2); }
KERNEL(256) attentionByQueries256(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 256, 1, 1); }
