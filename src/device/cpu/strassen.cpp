// Strassen's product, one level of it, within packed blocks and registers: 7 products of tiles where 8 would be, and no other memory than that of
// packing (Huang, Smith, Henry & van de Geijn, "Strassen's Algorithm Reloaded", SC16). The four parts of c are neighbouring tiles and those of
// op(a) and op(b) halves of a block, so the cut depends on nothing but the shape, and an error is shared by 2 MR rows and 2 NR columns only.
#include "blocks.h"

namespace {

// The products of Strassen 1969: what they are of, and where they are added. The factors are numbered as they lie in packed units and panels:
//   a: A11, A22, A11 + A12, A21 + A22, A11 + A22, A21 - A11, A12 - A22
//   b: B11, B22, B11 + B12, B21 + B22, B11 + B22, B21 - B11, B12 - B22
constexpr long stride = 2 * NR, C11 = 0, C12 = NR, C21 = MR * stride, C22 = C21 + NR;
enum Sign { unused, starts, plus, minus };
struct Product {
  int a, b;
  long to;
  Sign sign;
  long alsoTo = 0;
  Sign alsoSign = unused;
};
constexpr Product products[] = {
    {4, 4, C11, starts, C22, starts},
    {0, 6, C12, starts, C22, plus},
    {1, 5, C21, starts, C11, plus},
    {3, 0, C21, plus, C22, minus},
    {2, 1, C12, plus, C11, minus},
    {5, 2, C22, plus},
    {6, 3, C11, plus},
};
constexpr long factors = 7;

template <Sign SIGN>
INLINE void add(real* to, vec value) {
  if constexpr (SIGN == starts) store(to, value);
  else if constexpr (SIGN == plus) store(to, load(to) + value);
  else if constexpr (SIGN == minus) store(to, load(to) - value);
}

// sums[2 MR][2 NR] += what product P adds to it. A function of its own, so that its loop has all registers.
template <int P>
__attribute__((noinline)) void productTile(const real* a, const real* b, long half, real* sums) {
  constexpr Product p = products[P];
  vec acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) acc[i][v] = vec{};
  multiplyTile<MR, NV>(acc, a, 1, MR, b, NR, half);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) {
      add<p.sign>(sums + p.to + i * stride + v * VL, acc[i][v]);
      add<p.alsoSign>(sums + p.alsoTo + i * stride + v * VL, acc[i][v]);
    }
}

// The factors of a panel, from its four parts.
INLINE void storeFactors(real* to, long slot, vec b11, vec b12, vec b21, vec b22) {
  store(to, b11);
  store(to + slot, b22);
  store(to + 2 * slot, b11 + b12);
  store(to + 3 * slot, b21 + b22);
  store(to + 4 * slot, b11 + b22);
  store(to + 5 * slot, b21 - b11);
  store(to + 6 * slot, b12 - b22);
}

// A unit is two tiles of MR rows, a panel two of NR columns, and a block has two halves, the second padded with 0: packed units are
// [factor][half][MR] and panels [factor][half][NR].
struct Strassen {
  static constexpr long rows = 2 * MR, columns = 2 * NR;
  static constexpr long deepest = 512, depthStep = 2;
  static constexpr long most = 96 / rows;
  static long halfOf(long depth) { return (depth + 1) / 2; }
  static long unitSlot(long half) { return half * MR + VL; }
  static long panelSlot(long half) { return half * NR; }
  static long unitSize(long depth) { return factors * unitSlot(halfOf(depth)); }
  static long panelSize(long depth) { return factors * panelSlot(halfOf(depth)); }

  static void packA(const Gemm& g, long k0, long depth, long i0, long units, real* to) {
    const long half = halfOf(depth), slot = unitSlot(half);
    for (long t = 0; t < units; t++, i0 += rows, to += factors * slot) {
      const auto part = [&](bool lower, bool right, long at) {
        const long i = i0 + (lower ? MR : 0), k = k0 + (right ? half : 0), deep = right ? depth - half : half;
        const long height = g.m - i < MR ? g.m - i : MR;
        if (height < MR || deep < half) memset(to + at * slot, 0, size_t(half * MR) * sizeof(real));
        if (height > 0) packTile(g, k, deep, i, height, to + at * slot);
      };
      part(false, false, 0);
      part(true, true, 1);
      part(false, true, 2);
      part(true, false, 3);
      if (g.precision == precision_bf16) roundToBf16(to, 4 * slot);
      for (real* at = to; at < to + half * MR; at += VL) storeFactors(at, slot, load(at), load(at + 2 * slot), load(at + 3 * slot), load(at + slot));
    }
  }

  // One row of both halves of a panel of which `rest` columns are there; `lower` null: 0.
  template <bool ROUND>
  __attribute__((always_inline)) static inline void packRow(const real* upper, const real* lower, long rest, real* to, long slot) {
    const auto part = [&](const real* from, long j) {
      if (from == nullptr || j >= rest) return vec{};
      const vec value = loadPart(from + j, rest - j);
      return ROUND ? toBf16(value) : value;
    };
#pragma GCC unroll 16
    for (long j = 0; j < NR; j += VL) storeFactors(to + j, slot, part(upper, j), part(upper, NR + j), part(lower, j), part(lower, NR + j));
  }
  template <bool ROUND>
  static void packRowsOf(const Gemm& g, long k0, long depth, long j, long width, real* to) {
    const long half = halfOf(depth), slot = panelSlot(half), whole = depth == 2 * half ? half : half - 1;
    for (long k = 0; k < half; k++, to += NR) {
      const real* const upper = g.b + (k0 + k) * g.strideB + j;
      const real* const lower = k < whole ? upper + half * g.strideB : nullptr;
      real* at = to;
      long i = 0;
      for (; lower != nullptr && i + columns <= width; i += columns, at += factors * slot) packRow<ROUND>(upper + i, lower + i, columns, at, slot);
      for (; i < width; i += columns, at += factors * slot) packRow<ROUND>(upper + i, lower == nullptr ? nullptr : lower + i, width - i, at, slot);
    }
  }
  static void packRows(const Gemm& g, long k0, long depth, long j, long width, real* to) {
    (g.precision == precision_bf16 ? packRowsOf<true> : packRowsOf<false>)(g, k0, depth, j, width, to);
  }
  static void packPanel(const Gemm& g, long k0, long depth, long j, long width, real* to) {
    const long half = halfOf(depth), slot = panelSlot(half), left = width < NR ? width : NR;
    if (width < columns || depth < 2 * half) memset(to, 0, size_t(4 * slot) * sizeof(real));
    const auto part = [&](bool lower, bool right, long at) {
      const long first = right ? NR : 0, below = lower ? half : 0;
      transpose(g.b + (j + first) * g.strideB + k0 + below, g.strideB, right ? width - left : left, lower ? depth - half : half, to + at * slot, NR);
    };
    part(false, false, 0);
    part(true, true, 1);
    part(false, true, 2);
    part(true, false, 3);
    if (g.precision == precision_bf16) roundToBf16(to, 4 * slot);
    for (real* at = to; at < to + slot; at += VL) storeFactors(at, slot, load(at), load(at + 2 * slot), load(at + 3 * slot), load(at + slot));
  }

  template <int P>
  __attribute__((always_inline)) static inline void product(const real* a, const real* b, long half, long units, real* sums) {
    a += products[P].a * unitSlot(half);
    b += products[P].b * panelSlot(half);
    for (long t = 0; t < units; t++) productTile<P>(a + t * factors * unitSlot(half), b, half, sums + t * rows * stride);
  }

  static void strip(const Gemm& g, long i0, long units, const real* a, long j0, const real* b, long k0, long depth) {
    const long half = halfOf(depth), width = g.n - j0 < columns ? g.n - j0 : columns, height = g.m - i0 < units * rows ? g.m - i0 : units * rows;
    const bool fresh = k0 == 0 && !g.accumulate, last = k0 + depth == g.k;
    alignas(64) real sums[most * rows * columns];
    product<0>(a, b, half, units, sums);
    product<1>(a, b, half, units, sums);
    product<2>(a, b, half, units, sums);
    product<3>(a, b, half, units, sums);
    product<4>(a, b, half, units, sums);
    product<5>(a, b, half, units, sums);
    const bool direct = width == columns && (plainEpilogue(g) || !last);
    for (long t = 0; t < units; t++) {
      const long first = t * rows, tall = height - first < rows ? height - first : rows, at = (i0 + first) * g.strideC + j0;
      real* const sum = sums + first * stride;
      fetchEpilogue(g, at, tall, width, last);
      product<6>(a + t * factors * unitSlot(half), b, half, 1, sum);
      for (long i = 0; direct && i < tall; i++)
#pragma GCC unroll 16
        for (long j = 0; j < columns; j += VL) {
          real* const to = g.c + at + i * g.strideC + j;
          const vec value = load(sum + i * stride + j);
          store(to, fresh ? value : load(to) + value);
        }
    }
    if (direct) return;
    const real* const c = g.c + i0 * g.strideC + j0;
    for (long i = 0; !fresh && i < height; i++)
      for (long j = 0; j < width; j++) sums[i * stride + j] += c[i * g.strideC + j];
    settle(g, i0, height, j0, width, sums, stride, last);
  }
};

}  // namespace

void strassenGemm(Worker& worker, const Gemm& g) { blockedGemm<Strassen>(worker, g); }
Scratch strassenScratch(long m, long n, long k) { return strassenPays(m, n, k) ? blockedScratch<Strassen>(n, k) : Scratch{}; }
