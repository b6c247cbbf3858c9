// The matrix product that kernels share.
#pragma once
#include "launch.h"

// c[m,n] = op(a)[m,k] . op(b)[k,n] and its epilogue: see `matmul` in the kernel table. Row strides are in elements.
struct Gemm {
  const real* a;
  const real* b;
  real* c;
  long m, n, k;
  long strideA, strideB, strideC;
  bool transposeA = false, transposeB = false;
  bool accumulate = false;
  const real* bias = nullptr;
  const real* residual = nullptr;
  real* pre = nullptr;
  real* slope = nullptr;
  int activation = activation_none;
  int precision = precision_f32;
  bool training = false;
};

// All workers call it with the same operands; it ends with a barrier. The result does not depend on the number of workers. Each of its elements is
// one chain of fused multiply-adds over k in ascending order, so a row does not depend on the other rows; where only a training step uses it and
// it is large enough, it is Strassen's product, whose rounding does.
void gemm(Worker& worker, const Gemm& gemm);
Scratch gemmScratch(long m, long n, long k);

// The product of at most narrowRows rows, which packs at most a few columns of b (narrow.cpp).
constexpr long narrowRows = 64;
void narrowGemm(Worker& worker, const Gemm& gemm);
Scratch narrowScratch(long k);

// Strassen's product (strassen.cpp), and the shapes that it is used for: below, packing the sums takes what it saves.
constexpr bool strassenPays(long m, long n, long k) { return m >= 256 && n >= 256 && k >= 256; }
void strassenGemm(Worker& worker, const Gemm& gemm);
Scratch strassenScratch(long m, long n, long k);

INLINE long divideUp(long a, long b) { return (a + b - 1) / b; }

// The epilogue: sums[rows][strideSums] of rows i.. and columns j.. j + width, finished, to `c`.
void finish(const Gemm& gemm, long i, long rows, long j, long width, const real* sums, long strideSums);

// Register block of the product: MR rows, NV vectors.
#if defined(__AVX512F__)
constexpr int MR = 12, NV = 2;
#elif defined(__AVX__)
constexpr int MR = 6, NV = 2;
#else
constexpr int MR = 6, NV = 4;
#endif
constexpr long NR = NV * VL;

// acc[i][v] += sum over k of a[i * rowA + k * stepA] * b[k * rowB + v * VL ..]
template <int ROWS, int VECTORS = NV>
INLINE void multiplyTile(vec (&acc)[ROWS][VECTORS], const real* a, long rowA, long stepA, const real* b, long rowB, long k) {
  for (long step = 0; step < k; step++) {
    vec right[VECTORS];
#pragma GCC unroll 16
    for (int v = 0; v < VECTORS; v++) right[v] = load(b + v * VL);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vec left = splat(a[i * rowA]);
#pragma GCC unroll 16
      for (int v = 0; v < VECTORS; v++) acc[i][v] = fused(left, right[v], acc[i][v]);
    }
    a += stepA;
    b += rowB;
  }
}

// c = fresh ? 0 : c, then c += a . b, for a register tile. A function of its own, so that its loop has all registers.
template <int ROWS, int VECTORS = NV>
__attribute__((noinline)) void tile(const real* a, long rowA, long stepA, const real* b, long rowB, long depth, real* c, long rowC,
                                    bool fresh) {
  vec acc[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < VECTORS; v++) acc[i][v] = fresh ? vec{} : load(c + i * rowC + v * VL);
  multiplyTile<ROWS, VECTORS>(acc, a, rowA, stepA, b, rowB, depth);
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < VECTORS; v++) store(c + i * rowC + v * VL, acc[i][v]);
}

typedef void Tile(const real*, long, long, const real*, long, long, real*, long, bool);
template <int VECTORS, int... ROWS>
Tile* tileOf(long rows, std::integer_sequence<int, ROWS...>) {
  static Tile* const tiles[] = {tile<ROWS + 1, VECTORS>...};
  return tiles[rows - 1];
}

// The tile of so many rows, at most MR.
template <int VECTORS = NV>
INLINE Tile* tileOf(long rows) {
  return rows == MR ? tile<MR, VECTORS> : tileOf<VECTORS>(rows, std::make_integer_sequence<int, MR>());
}
