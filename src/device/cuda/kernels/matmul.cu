// Matrix products where cuBLASLt is not: out[m,n] = op(a) . op(b) (+ bias) (+ out), tiles of 128 x 128 by 256 threads, each element one sum over k in order.
#include "tensor.cuh"

constexpr int tile = 128;

INLINE void storePair(float* out, const float* bias, i64 row, int column, int n, bool accumulate, float x, float y) {
  float* const to = out + row * n + column;
  if (bias != nullptr) {
    x += bias[column];
    if (column + 1 < n) y += bias[column + 1];
  }
  if (accumulate) {
    x += to[0];
    if (column + 1 < n) y += to[1];
  }
  to[0] = x;
  if (column + 1 < n) to[1] = y;
}

// f32: 16 deep, 8 x 8 elements a thread.
constexpr int depthF32 = 16, strideF32 = tile + 4;

// Two float4 a thread of tile[k][row] for rows row0.. and depths k0.. of a factor that is [rows][k], or [k][rows] if it is transposed.
template <bool alongRows>
struct FactorF32 {
  const float* from;
  int rows, k;
  bool aligned;
  static __device__ __forceinline__ void place(int i, int& row, int& depth) {
    const int at = int(threadIdx.x) + i * 256;
    row = alongRows ? at % 32 * 4 : at / 4;
    depth = alongRows ? at / 32 : at % 4 * 4;
  }
  __device__ __forceinline__ void load(float4 (&held)[2], int row0, int k0) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int row, depth;
      place(i, row, depth);
      row += row0;
      depth += k0;
      const bool inside = row < rows && depth < k;
      if (alongRows) held[i] = load4(from + (inside ? i64(depth) * rows + row : 0), inside ? rows - row : 0, aligned);
      else held[i] = load4(from + (inside ? i64(row) * k + depth : 0), inside ? k - depth : 0, aligned);
    }
  }
  static __device__ __forceinline__ void store(const float4 (&held)[2], float* to) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int row, depth;
      place(i, row, depth);
      if (alongRows) {
        *reinterpret_cast<float4*>(to + depth * strideF32 + row) = held[i];
      } else {
        to[depth * strideF32 + row] = held[i].x;
        to[(depth + 1) * strideF32 + row] = held[i].y;
        to[(depth + 2) * strideF32 + row] = held[i].z;
        to[(depth + 3) * strideF32 + row] = held[i].w;
      }
    }
  }
};

template <bool transposeA, bool transposeB>
INLINE void productF32(const float* a, const float* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  __shared__ float tileA[depthF32 * strideF32];
  __shared__ float tileB[depthF32 * strideF32];
  const int row0 = int(blockIdx.y) * tile, column0 = int(blockIdx.x) * tile;
  const FactorF32<transposeA> left{a, m, k, alignedRows(a, transposeA ? m : k)};
  const FactorF32<!transposeB> right{b, n, k, alignedRows(b, transposeB ? k : n)};
  const int y = int(threadIdx.x) / 16 * 4, x = int(threadIdx.x) % 16 * 4;
  float sums[8][8] = {};
  float4 heldA[2], heldB[2];
  left.load(heldA, row0, 0);
  right.load(heldB, column0, 0);
  for (int k0 = 0; k0 < k; k0 += depthF32) {
    FactorF32<transposeA>::store(heldA, tileA);
    FactorF32<!transposeB>::store(heldB, tileB);
    __syncthreads();
    // The next tile is on its way while this one is multiplied.
    if (k0 + depthF32 < k) {
      left.load(heldA, row0, k0 + depthF32);
      right.load(heldB, column0, k0 + depthF32);
    }
#pragma unroll
    for (int depth = 0; depth < depthF32; depth++) {
      float rows[8], columns[8];
#pragma unroll
      for (int half = 0; half < 2; half++) {
        *reinterpret_cast<float4*>(rows + half * 4) = *reinterpret_cast<const float4*>(tileA + depth * strideF32 + half * 64 + y);
        *reinterpret_cast<float4*>(columns + half * 4) = *reinterpret_cast<const float4*>(tileB + depth * strideF32 + half * 64 + x);
      }
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int row = row0 + i / 4 * 64 + y + i % 4;
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      const int column = column0 + j / 4 * 64 + x + j % 4;
      if (row < m && column < n) storePair(out, bias, row, column, n, accumulate != 0, sums[i][j], sums[i][j + 1]);
    }
  }
}

// bfloat16 on tensor cores: 32 deep, three tiles on their way; a warp has 64 x 32 elements.
constexpr int depthBf16 = 32, stages = 3, tileBf16 = tile * (depthBf16 + 8);

// tile[row][k] of a factor that is [rows][k], or tile[k][row] if it is [k][rows]. The padding of 8 keeps ldmatrix free of bank conflicts.
template <bool alongRows>
struct FactorBf16 {
  const u16* from;
  int rows, k;
  bool aligned;
  static constexpr int stride = alongRows ? tile + 8 : depthBf16 + 8;
  __device__ __forceinline__ void load(u16* to, int row0, int k0) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int at = int(threadIdx.x) + i * 256;
      const int row = alongRows ? at % 16 * 8 : at / 4, depth = alongRows ? at / 16 : at % 4 * 8;
      const int atRow = row0 + row, atDepth = k0 + depth;
      const bool inside = atRow < rows && atDepth < k;
      u16* const place = to + (alongRows ? depth * stride + row : row * stride + depth);
      const u16* const source = from + (!inside ? 0 : alongRows ? i64(atDepth) * rows + atRow : i64(atRow) * k + atDepth);
      if (aligned) {
        copyAsync(place, source, inside);
        continue;
      }
      const int left = !inside ? 0 : alongRows ? rows - atRow : k - atDepth;
#pragma unroll
      for (int j = 0; j < 8; j++) place[j] = j < left ? source[j] : u16(0);
    }
  }
  // Where this lane's row of ldmatrix lies for 16 rows from `row` and 16 depths from `depth`: matrices in the order of an `a` fragment, or of two `b`.
  template <bool left>
  static __device__ __forceinline__ const u16* matrices(const u16* from, int row, int depth) {
    const int lane = laneOf(), inner = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
    // a: rows 8.. second, depths 8.. third; b: the other way.
    const int atRow = row + (left ? second : third), atDepth = depth + (left ? third : second);
    return alongRows ? from + (atDepth + inner) * stride + atRow : from + (atRow + inner) * stride + atDepth;
  }
};

template <bool transposeA, bool transposeB>
INLINE void productBf16(const u16* a, const u16* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  typedef FactorBf16<transposeA> A;
  typedef FactorBf16<!transposeB> B;
  DYNAMIC_SHARED(u16, shared);
  u16 *const tilesA = shared, *const tilesB = shared + stages * tileBf16;
  const int row0 = int(blockIdx.y) * tile, column0 = int(blockIdx.x) * tile;
  const A left{a, m, k, aligned16(a) && (transposeA ? m : k) % 8 == 0};
  const B right{b, n, k, aligned16(b) && (transposeB ? k : n) % 8 == 0};
  const int warpRow = warpOf() / 4 * 64, warpColumn = warpOf() % 4 * 32;
  const auto fetch = [&](int step) {
    if (step * depthBf16 < k) {
      left.load(tilesA + step % stages * tileBf16, row0, step * depthBf16);
      right.load(tilesB + step % stages * tileBf16, column0, step * depthBf16);
    }
    commitCopies();
  };
  float sums[4][4][4] = {};
  for (int step = 0; step < stages - 1; step++) fetch(step);
  for (int step = 0; step * depthBf16 < k; step++) {
    waitForCopies<stages - 2>();
    // All have what they asked for, and are done with the tile that the next one replaces.
    __syncthreads();
    fetch(step + stages - 1);
    const u16 *const tileA = tilesA + step % stages * tileBf16, *const tileB = tilesB + step % stages * tileBf16;
#pragma unroll
    for (int depth = 0; depth < depthBf16; depth += 16) {
      u32 rows[4][4], columns[4][2];
#pragma unroll
      for (int i = 0; i < 4; i++) loadMatrices<transposeA>(rows[i], A::template matrices<true>(tileA, warpRow + i * 16, depth));
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        u32 two[4];
        loadMatrices<!transposeB>(two, B::template matrices<false>(tileB, warpColumn + j * 8, depth));
        columns[j][0] = two[0];
        columns[j][1] = two[1];
        columns[j + 1][0] = two[2];
        columns[j + 1][1] = two[3];
      }
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) multiplyTile(sums[i][j], rows[i], columns[j]);
    }
  }
  const int group = laneOf() / 4, pair = laneOf() % 4 * 2;
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = row0 + warpRow + i * 16 + half * 8 + group, column = column0 + warpColumn + j * 8 + pair;
        if (row < m && column < n) storePair(out, bias, row, column, n, accumulate != 0, sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
      }
}

// The names say which factors are transposed: n(o) or t.
KERNEL(256) productF32nn(const float* a, const float* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productF32<false, false>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productF32nt(const float* a, const float* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productF32<false, true>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productF32tn(const float* a, const float* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productF32<true, false>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productF32tt(const float* a, const float* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productF32<true, true>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productBf16nn(const u16* a, const u16* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productBf16<false, false>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productBf16nt(const u16* a, const u16* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productBf16<false, true>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productBf16tn(const u16* a, const u16* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productBf16<true, false>(a, b, bias, out, m, n, k, accumulate);
}
KERNEL(256) productBf16tt(const u16* a, const u16* b, const float* bias, float* out, int m, int n, int k, int accumulate) {
  productBf16<true, true>(a, b, bias, out, m, n, k, accumulate);
}
