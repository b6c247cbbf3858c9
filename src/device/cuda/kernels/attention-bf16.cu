// Causal attention on tensor cores: factors in bfloat16, sums, maxima and what is kept in f32 (Dao 2023). A block has 4 warps. Scores come out of one product in
// the registers where the next wants them: of queries x keys for the output and dQ, and of keys x queries, with the products the other way round,
// for dK and dV. As in attention.cu the gradient is made by keys and by queries, so that every sum has one owner and one order.
#include "attention.cuh"
#include "tensor.cuh"

constexpr int warps = 4;
constexpr float log2OfE = 1.4426950408889634f;

// to[batch, heads, length][D] of bfloat16 = from[batch, length][heads][width], 0 past the width. Eight a thread.
KERNEL(256) roundHeads(const float* from, u16* to, i64 rows, int length, int heads, int width, int padded) {
  const int eights = padded / 8;
  const i64 at = i64(blockIdx.x) * blockDim.x + threadIdx.x, row = at / eights / heads;
  if (row >= rows) return;
  const int column = int(at % eights) * 8, head = int(at / eights % heads), left = width - column;
  const float* const source = from + (row * heads + head) * width + (left > 0 ? column : 0);
  const bool aligned = alignedRows(from, width);
  const float4 a = load4(source, left, aligned), b = load4(source + 4, left - 4, aligned);
  u16* const place = to + ((row / length * heads + head) * length + row % length) * padded + column;
  *reinterpret_cast<uint4*>(place) = make_uint4(roundPair(a.x, a.y), roundPair(a.z, a.w), roundPair(b.x, b.y), roundPair(b.z, b.w));
}

// Tiles in shared memory: rows of D numbers, D + 8 apart, so that ldmatrix meets no bank twice.
template <int D>
struct Tile {
  static constexpr int stride = D + 8;

  // Rows from `from` on, of which `rows` are there; the others are 0. Done after the copies that are committed next.
  template <int ROWS>
  static __device__ __forceinline__ void fetch(u16* to, const u16* from, int rows) {
    constexpr int eights = D / 8;
#pragma unroll 2
    for (int at = int(threadIdx.x); at < ROWS * eights; at += warps * 32) {
      const int row = at / eights, column = at % eights * 8;
      copyAsync(to + row * stride + column, from + (row < rows ? row * D + column : 0), row < rows);
    }
  }
  // Fragment `a` of 16 rows from `row`, columns `column`.. + 16.
  static __device__ __forceinline__ void left(u32 (&to)[4], const u16* tile, int row, int column) {
    const int lane = laneOf();
    loadMatrices<false>(to, tile + (row + lane % 16) * stride + column + lane / 16 * 8);
  }
  // Fragments `b` of two tiles of 8: n is rows row.. + 16, k is columns column.. + 16.
  static __device__ __forceinline__ void rightByRows(u32 (&to)[4], const u16* tile, int row, int column) {
    const int lane = laneOf();
    loadMatrices<false>(to, tile + (row + lane % 8 + lane / 16 * 8) * stride + column + lane / 8 % 2 * 8);
  }
  // The same where k is rows row.. + 16 and n is columns column.. + 16.
  static __device__ __forceinline__ void rightByColumns(u32 (&to)[4], const u16* tile, int row, int column) {
    const int lane = laneOf();
    loadMatrices<true>(to, tile + (row + lane % 16) * stride + column + lane / 16 * 8);
  }
};

template <int A, int B>
INLINE void clear(float (&sums)[A][B][4]) {
#pragma unroll
  for (int i = 0; i < A; i++)
#pragma unroll
    for (int j = 0; j < B; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) sums[i][j][e] = 0.0f;
}

INLINE void multiplyTwo(float (&first)[4], float (&second)[4], const u32 (&a)[4], const u32 (&two)[4]) {
  const u32 b[2] = {two[0], two[1]}, c[2] = {two[2], two[3]};
  multiplyTile(first, a, b);
  multiplyTile(second, a, c);
}

// sums[i][j] = rows row + 16 i.. of a . rows 8 j.. of b, both of D columns.
template <int D, int M, int N>
INLINE void dotRows(float (&sums)[M][N][4], const u16* a, int row, const u16* b) {
  clear(sums);
#pragma unroll
  for (int d = 0; d < D; d += 16) {
    u32 left[M][4];
#pragma unroll
    for (int i = 0; i < M; i++) Tile<D>::left(left[i], a, row + i * 16, d);
#pragma unroll
    for (int j = 0; j < N; j += 2) {
      u32 two[4];
      Tile<D>::rightByRows(two, b, j * 8, d);
#pragma unroll
      for (int i = 0; i < M; i++) multiplyTwo(sums[i][j], sums[i][j + 1], left[i], two);
    }
  }
}

// sums[i] += scores[i] (rounded) . b of 8 N rows and D columns: the scores' fragments are those of a left factor.
template <int D, int M, int N>
INLINE void addProduct(float (&sums)[M][D / 8][4], const float (&scores)[M][N][4], const u16* b) {
#pragma unroll
  for (int k = 0; k < N; k += 2) {
    u32 left[M][4];
#pragma unroll
    for (int i = 0; i < M; i++) {
      left[i][0] = roundPair(scores[i][k][0], scores[i][k][1]);
      left[i][1] = roundPair(scores[i][k][2], scores[i][k][3]);
      left[i][2] = roundPair(scores[i][k + 1][0], scores[i][k + 1][1]);
      left[i][3] = roundPair(scores[i][k + 1][2], scores[i][k + 1][3]);
    }
#pragma unroll
    for (int j = 0; j < D / 8; j += 2) {
      u32 two[4];
      Tile<D>::rightByColumns(two, b, k * 8, j * 8);
#pragma unroll
      for (int i = 0; i < M; i++) multiplyTwo(sums[i][j], sums[i][j + 1], left[i], two);
    }
  }
}

// to[stride * row] = sums' rows, from `first` + the thread's, before `rows`; columns before `width`. Half h of tile i is multiplied by factor(i, h).
template <int D, int M, class Factor>
INLINE void storeRows(float* to, i64 stride, int first, int rows, int width, const float (&sums)[M][D / 8][4], Factor factor) {
  const int group = laneOf() / 4, pair = laneOf() % 4 * 2;
#pragma unroll
  for (int i = 0; i < M; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = first + i * 16 + h * 8 + group;
      if (row >= rows) continue;
      const float by = factor(i, h);
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        const int column = j * 8 + pair;
        if (column < width) to[row * stride + column] = sums[i][j][h * 2] * by;
        if (column + 1 < width) to[row * stride + column + 1] = sums[i][j][h * 2 + 1] * by;
      }
    }
}

// Where the rows of a head lie in what roundHeads wrote; those of keys and values come after those of queries.
template <int D>
INLINE const u16* headOf(const u16* rounded, int heads, int length, int b, int head) {
  return rounded + (i64(b) * heads + head) * length * D;
}

// Over the 4 lanes that share rows.
template <class Combine>
INLINE float overLanes(float x, Combine combine) {
  x = combine(x, __shfl_xor_sync(allLanes, x, 1));
  return combine(x, __shfl_xor_sync(allLanes, x, 2));
}

// A block a tile of 128 queries of a head, 32 a warp, with tiles of KEYS keys, of which the next two are on their way. Scores are in powers of 2.
template <int D, int KEYS>
INLINE void forward(const u16* qkv, const int* starts, float* out, float* logSumExp, Shape s) {
  constexpr int M = 2, N = KEYS / 8, rows = warps * M * 16, size = KEYS * Tile<D>::stride;
  __shared__ int slots[warps];
  DYNAMIC_SHARED(u16, shared);
  u16 *const queries = shared, *const tiles = queries + rows * Tile<D>::stride;
  // The tiles with the most keys come first.
  const int query = int(gridDim.x - 1 - blockIdx.x) * rows, head = int(blockIdx.y), b = int(blockIdx.z), all = s.heads + 2 * s.keyHeads;
  const int keyHead = s.heads + head / (s.heads / s.keyHeads), count = min(rows, s.length - query), end = query + count;
  if (starts != nullptr) starts += i64(b) * s.length;
  const int least = leastFirstKey(starts, query, count, slots) / KEYS * KEYS;
  const u16 *const keys = headOf<D>(qkv, all, s.length, b, keyHead), *const values = headOf<D>(qkv, all, s.length, b, keyHead + s.keyHeads);
  const auto fetch = [&](int key) {
    if (key < end) {
      u16* const tile = tiles + (key - least) / KEYS % 2 * 2 * size;
      Tile<D>::template fetch<KEYS>(tile, keys + i64(key) * D, s.length - key);
      Tile<D>::template fetch<KEYS>(tile + size, values + i64(key) * D, s.length - key);
    }
    commitCopies();
  };
  Tile<D>::template fetch<rows>(queries, headOf<D>(qkv, all, s.length, b, head) + i64(query) * D, count);
  fetch(least);
  const int group = laneOf() / 4, pair = laneOf() % 4 * 2, warpRow = warpOf() * M * 16;
  const float scale = s.scale * log2OfE;
  float sums[M][D / 8][4], top[M][2], total[M][2];
  int last[M][2], first[M][2];
  clear(sums);
#pragma unroll
  for (int i = 0; i < M; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      // Rows past the end see what the last one does.
      last[i][h] = min(query + warpRow + i * 16 + h * 8 + group, end - 1);
      first[i][h] = firstKey(starts, last[i][h]);
      top[i][h] = -infinity();
      total[i][h] = 0.0f;
    }
  for (int key = least; key < end; key += KEYS) {
    fetch(key + KEYS);
    waitForCopies<1>();
    __syncthreads();
    const u16* const tile = tiles + (key - least) / KEYS % 2 * 2 * size;
    // A warp that sees none of the keys has nothing to add.
    if (key <= query + warpRow + M * 16 - 1) {
      float scores[M][N][4];
      dotRows<D, M, N>(scores, queries, warpRow, tile);
      const bool open = starts == nullptr && key + KEYS - 1 <= query + warpRow;
#pragma unroll
      for (int i = 0; i < M; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
          float most = top[i][h];
#pragma unroll
          for (int j = 0; j < N; j++)
#pragma unroll
            for (int e = h * 2; e < h * 2 + 2; e++) {
              const int at = key + j * 8 + pair + e % 2;
              scores[i][j][e] *= scale;
              if (!open && (at > last[i][h] || at < first[i][h])) scores[i][j][e] = -infinity();
              most = fmaxf(most, scores[i][j][e]);
            }
          most = overLanes(most, [](float x, float y) { return fmaxf(x, y); });
          // A row that sees no key yet: all of its weights are 0.
          const float base = most == -infinity() ? 0.0f : most, fade = exponentialOf2(top[i][h] - base);
          top[i][h] = most;
          total[i][h] *= fade;
#pragma unroll
          for (int j = 0; j < D / 8; j++) {
            sums[i][j][h * 2] *= fade;
            sums[i][j][h * 2 + 1] *= fade;
          }
#pragma unroll
          for (int j = 0; j < N; j++)
#pragma unroll
            for (int e = h * 2; e < h * 2 + 2; e++) {
              scores[i][j][e] = exponentialOf2(scores[i][j][e] - base);
              total[i][h] += scores[i][j][e];
            }
        }
      addProduct<D, M, N>(sums, scores, tile + size);
    }
    // All are done with the tile that is fetched over next.
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < M; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) total[i][h] = overLanes(total[i][h], [](float x, float y) { return x + y; });
  storeRows<D, M>(out + s.outAt(b, query, head), s.channels(), warpRow, count, s.width, sums, [&](int i, int h) { return 1.0f / total[i][h]; });
  if (pair != 0) return;
#pragma unroll
  for (int i = 0; i < M; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = warpRow + i * 16 + h * 8 + group;
      if (row < count) logSumExp[(i64(b) * s.heads + head) * s.length + query + row] = top[i][h] / log2OfE + logf(total[i][h]);
    }
}

// dV = P^T dO; dS = P (dO V^T - along); dK = scale dS^T Q: a block a tile of 64 keys, 16 a warp, with tiles of QUERIES queries, head after head of those that
// share the keys.
template <int D, int QUERIES>
INLINE void byKeys(const u16* dOut, const u16* qkv, const int* starts, const float* logSumExp, const float* along, float* dQkv, Shape s) {
  constexpr int N = QUERIES / 8, rows = warps * 16, stride = Tile<D>::stride;
  __shared__ int slots[warps];
  DYNAMIC_SHARED(u16, shared);
  u16 *const keys = shared, *const values = keys + rows * stride, *const queries = values + rows * stride, *const dOuts = queries + QUERIES * stride;
  float* const lse = reinterpret_cast<float*>(dOuts + QUERIES * stride);
  float* const alongs = lse + QUERIES;
  int* const firsts = reinterpret_cast<int*>(alongs + QUERIES);
  const int key = int(blockIdx.x) * rows, keyHead = int(blockIdx.y), b = int(blockIdx.z), sharing = s.heads / s.keyHeads, all = s.heads + 2 * s.keyHeads;
  const int count = min(rows, s.length - key), group = laneOf() / 4, pair = laneOf() % 4 * 2, warpRow = warpOf() * 16;
  if (starts != nullptr) starts += i64(b) * s.length;
  Tile<D>::template fetch<rows>(keys, headOf<D>(qkv, all, s.length, b, s.heads + keyHead) + i64(key) * D, count);
  Tile<D>::template fetch<rows>(values, headOf<D>(qkv, all, s.length, b, s.heads + s.keyHeads + keyHead) + i64(key) * D, count);
  const float scale = s.scale * log2OfE;
  float dKeys[1][D / 8][4], dValues[1][D / 8][4];
  clear(dKeys);
  clear(dValues);
  for (int head = keyHead * sharing; head < (keyHead + 1) * sharing; head++) {
    for (int query = key / QUERIES * QUERIES; query < s.length; query += QUERIES) {
      const int some = min(QUERIES, s.length - query);
      __syncthreads();
      if (leastFirstKey(starts, query, some, slots) >= key + count) continue;
      Tile<D>::template fetch<QUERIES>(queries, headOf<D>(qkv, all, s.length, b, head) + i64(query) * D, some);
      Tile<D>::template fetch<QUERIES>(dOuts, headOf<D>(dOut, s.heads, s.length, b, head) + i64(query) * D, some);
      commitCopies();
      for (int i = int(threadIdx.x); i < QUERIES; i += warps * 32) {
        const i64 at = (i64(b) * s.heads + head) * s.length + query + i;
        lse[i] = i < some ? logSumExp[at] * log2OfE : 0.0f;
        alongs[i] = i < some ? along[at] : 0.0f;
        // Queries past the end see no key.
        firsts[i] = i < some ? firstKey(starts, query + i) : s.length;
      }
      waitForCopies<0>();
      __syncthreads();
      float weights[1][N][4], dScores[1][N][4];
      dotRows<D, 1, N>(weights, keys, warpRow, queries);
      dotRows<D, 1, N>(dScores, values, warpRow, dOuts);
#pragma unroll
      for (int j = 0; j < N; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int at = key + warpRow + group + e / 2 * 8, column = j * 8 + pair + e % 2;
          const bool seen = at <= query + column && at >= firsts[column];
          weights[0][j][e] = seen ? exponentialOf2(weights[0][j][e] * scale - lse[column]) : 0.0f;
          dScores[0][j][e] = weights[0][j][e] * (dScores[0][j][e] - alongs[column]);
        }
      addProduct<D, 1, N>(dValues, weights, dOuts);
      addProduct<D, 1, N>(dKeys, dScores, queries);
    }
  }
  storeRows<D, 1>(dQkv + s.at(b, key, s.heads + keyHead), s.rowWidth(), warpRow, count, s.width, dKeys, [&](int, int) { return s.scale; });
  storeRows<D, 1>(dQkv + s.at(b, key, s.heads + s.keyHeads + keyHead), s.rowWidth(), warpRow, count, s.width, dValues, [](int, int) { return 1.0f; });
}

// dQ = scale dS K: a block a tile of 64 queries of a head, 16 a warp, with tiles of KEYS keys, of which the next are on their way.
template <int D, int KEYS>
INLINE void byQueries(const u16* dOut, const u16* qkv, const int* starts, const float* logSumExp, const float* along, float* dQkv, Shape s) {
  constexpr int N = KEYS / 8, rows = warps * 16, stride = Tile<D>::stride, size = KEYS * stride;
  __shared__ int slots[warps];
  DYNAMIC_SHARED(u16, shared);
  u16 *const queries = shared, *const dOuts = queries + rows * stride, *const tiles = dOuts + rows * stride;
  const int query = int(gridDim.x - 1 - blockIdx.x) * rows, head = int(blockIdx.y), b = int(blockIdx.z), all = s.heads + 2 * s.keyHeads;
  const int keyHead = s.heads + head / (s.heads / s.keyHeads), count = min(rows, s.length - query), end = query + count;
  if (starts != nullptr) starts += i64(b) * s.length;
  const int least = leastFirstKey(starts, query, count, slots) / KEYS * KEYS;
  const u16 *const keys = headOf<D>(qkv, all, s.length, b, keyHead), *const values = headOf<D>(qkv, all, s.length, b, keyHead + s.keyHeads);
  const auto fetch = [&](int key) {
    if (key < end) {
      u16* const tile = tiles + (key - least) / KEYS % 2 * 2 * size;
      Tile<D>::template fetch<KEYS>(tile, keys + i64(key) * D, s.length - key);
      Tile<D>::template fetch<KEYS>(tile + size, values + i64(key) * D, s.length - key);
    }
    commitCopies();
  };
  Tile<D>::template fetch<rows>(queries, headOf<D>(qkv, all, s.length, b, head) + i64(query) * D, count);
  Tile<D>::template fetch<rows>(dOuts, headOf<D>(dOut, s.heads, s.length, b, head) + i64(query) * D, count);
  fetch(least);
  const int group = laneOf() / 4, pair = laneOf() % 4 * 2, warpRow = warpOf() * 16;
  const float scale = s.scale * log2OfE;
  int last[2], first[2];
  float lse[2], alongs[2], dQueries[1][D / 8][4];
  clear(dQueries);
#pragma unroll
  for (int h = 0; h < 2; h++) {
    last[h] = min(query + warpRow + h * 8 + group, end - 1);
    first[h] = firstKey(starts, last[h]);
    const i64 at = (i64(b) * s.heads + head) * s.length + last[h];
    lse[h] = logSumExp[at] * log2OfE;
    alongs[h] = along[at];
  }
  for (int key = least; key < end; key += KEYS) {
    fetch(key + KEYS);
    waitForCopies<1>();
    __syncthreads();
    const u16* const tile = tiles + (key - least) / KEYS % 2 * 2 * size;
    if (key <= query + warpRow + 15) {
      float weights[1][N][4], dScores[1][N][4];
      dotRows<D, 1, N>(weights, queries, warpRow, tile);
      dotRows<D, 1, N>(dScores, dOuts, warpRow, tile + size);
#pragma unroll
      for (int j = 0; j < N; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int at = key + j * 8 + pair + e % 2, h = e / 2;
          const bool seen = at <= last[h] && at >= first[h];
          const float weight = seen ? exponentialOf2(weights[0][j][e] * scale - lse[h]) : 0.0f;
          dScores[0][j][e] = weight * (dScores[0][j][e] - alongs[h]);
        }
      addProduct<D, 1, N>(dQueries, dScores, tile);
    }
    // All are done with the tile that is fetched over next.
    __syncthreads();
  }
  storeRows<D, 1>(dQkv + s.at(b, query, head), s.rowWidth(), warpRow, count, s.width, dQueries, [&](int, int) { return s.scale; });
}

#define FORWARD_PARAMETERS \
  const u16 *qkv, const int *starts, float *out, float *logSumExp, int length, int heads, int keyHeads, int width, float scale, int launch, int *status
#define FORWARD(...)                                                                                                    \
  if (blockIdx.x + blockIdx.y + blockIdx.z == 0) reportStarts(starts, int(gridDim.z) * length, length, launch, status); \
  forward<__VA_ARGS__>(qkv, starts, out, logSumExp, Shape{length, heads, keyHeads, width, scale})
KERNEL(128) attentionBf16x32(FORWARD_PARAMETERS) { FORWARD(32, 64); }
KERNEL(128) attentionBf16x64(FORWARD_PARAMETERS) { FORWARD(64, 64); }
KERNEL(128) attentionBf16x96(FORWARD_PARAMETERS) { FORWARD(96, 32); }
KERNEL(128) attentionBf16x128(FORWARD_PARAMETERS) { FORWARD(128, 32); }

#define GRADIENT_PARAMETERS                                                                                                                          \
  const u16 *dOut, const u16 *qkv, const int *starts, const float *logSumExp, const float *along, float *dQkv, int length, int heads, int keyHeads, \
      int width, float scale
#define GRADIENT(pass, ...) pass<__VA_ARGS__>(dOut, qkv, starts, logSumExp, along, dQkv, Shape{length, heads, keyHeads, width, scale})
KERNEL(128) attentionBf16ByKeys32(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 32, 64); }
KERNEL(128) attentionBf16ByKeys64(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 64, 64); }
KERNEL(128) attentionBf16ByKeys96(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 96, 32); }
KERNEL(128) attentionBf16ByKeys128(GRADIENT_PARAMETERS) { GRADIENT(byKeys, 128, 32); }
KERNEL(128) attentionBf16ByQueries32(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 32, 64); }
KERNEL(128) attentionBf16ByQueries64(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 64, 64); }
KERNEL(128) attentionBf16ByQueries96(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 96, 32); }
KERNEL(128) attentionBf16ByQueries128(GRADIENT_PARAMETERS) { GRADIENT(byQueries, 128, 32); }
