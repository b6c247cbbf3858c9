// Packed, register-blocked matrix product, with bias, GELU and residual in the store.
#include "blocks.h"

namespace {

// Each element one chain of fused multiply-adds: a unit is a tile of MR rows, a block of a panel is [depth][NR].
struct Chain {
  static constexpr long rows = MR, columns = NR;
  static constexpr long deepest = 384, depthStep = 1;  // a packed panel stays in L1
  static constexpr long most = 16;
  static long unitSize(long depth) { return depth * MR; }
  static long panelSize(long depth) { return depth * NR; }

  static void packA(const Gemm& g, long k0, long depth, long i0, long units, real* to) {
    for (long t = 0; t < units; t++, i0 += MR) packTile(g, k0, depth, i0, g.m - i0 < MR ? g.m - i0 : MR, to + t * depth * MR);
    if (g.precision == precision_bf16) roundToBf16(to, units * depth * MR);
  }

  // 0 past the last column.
  static void packRows(const Gemm& g, long k0, long depth, long j, long width, real* to) {
    const long whole = width / NR * NR, rest = width - whole;
    for (long k = 0; k < depth; k++) {
      const real* from = g.b + (k0 + k) * g.strideB + j;
      real* at = to + k * NR;
      for (long i = 0; i < whole; i += NR, at += depth * NR) memcpy(at, from + i, NR * sizeof(real));
      if (rest == 0) continue;
      memcpy(at, from + whole, size_t(rest) * sizeof(real));
      memset(at + rest, 0, size_t(NR - rest) * sizeof(real));
    }
    if (g.precision == precision_bf16) roundToBf16(to, roundUp(width, NR) * depth);
  }
  static void packPanel(const Gemm& g, long k0, long depth, long j, long width, real* to) {
    if (width < NR) memset(to, 0, size_t(depth * NR) * sizeof(real));
    transpose(g.b + j * g.strideB + k0, g.strideB, width, depth, to, NR);
    if (g.precision == precision_bf16) roundToBf16(to, NR * depth);
  }

  static void strip(const Gemm& g, long i0, long units, const real* a, long j0, const real* b, long k0, long depth) {
    const long width = g.n - j0 < NR ? g.n - j0 : NR, all = g.m - i0 < units * MR ? g.m - i0 : units * MR;
    const bool fresh = k0 == 0 && !g.accumulate, last = k0 + depth == g.k;
    const bool direct = width == NR && (plainEpilogue(g) || !last);
    alignas(64) real sums[most * MR * NR];
    for (long i = 0; i < all; i += MR, a += MR * depth) {
      const long height = all - i < MR ? all - i : MR, at = (i0 + i) * g.strideC + j0;
      real* const c = g.c + at;
      fetchEpilogue(g, at, height, width, last);
      if (direct) {
        tileOf(height)(a, 1, MR, b, NR, depth, c, g.strideC, fresh);
        continue;
      }
      real* const sum = sums + i * NR;
      if (!fresh)
        for (long r = 0; r < height; r++)
          for (long j = 0; j < NR; j++) sum[r * NR + j] = j < width ? c[r * g.strideC + j] : real(0);
      tileOf(height)(a, 1, MR, b, NR, depth, sum, NR, fresh);
    }
    // Together, as functions of single tiles would wait for their own divisions.
    if (!direct) settle(g, i0, all, j0, width, sums, NR, last);
  }
};

// One vector of the epilogue, at element `at` of c.
template <int ACTIVATION>
INLINE void finishVector(const Gemm& g, long at, long n, vec value) {
  if constexpr (ACTIVATION == activation_gelu) {
    if (g.pre != nullptr) storePart(g.pre + at, value, n);
    vec slope;
    value = gelu(value, slope);
    if (g.slope != nullptr) storePart(g.slope + at, slope, n);
  } else if constexpr (ACTIVATION == activation_geluGradient) {
    value *= loadPart(g.slope + at, n);
  } else if (g.residual != nullptr) {
    value += loadPart(g.residual + at, n);
  }
  storePart(g.c + at, value, n);
}

// A column of vectors of the epilogue, each of n elements.
template <int ACTIVATION>
INLINE void finishColumn(const Gemm g, long at, long rows, long n, vec bias, const real* sums, long strideSums) {
  for (long i = 0; i < rows; i++, at += g.strideC, sums += strideSums) finishVector<ACTIVATION>(g, at, n, load(sums) + bias);
}
template <int ACTIVATION>
__attribute__((noinline)) void finishPart(const Gemm& g, long at, long rows, long n, vec bias, const real* sums, long strideSums) {
  finishColumn<ACTIVATION>(g, at, rows, n, bias, sums, strideSums);
}

template <int ACTIVATION>
void finishAll(const Gemm& g, long i0, long rows, long j0, long width, const real* sums, long strideSums) {
  for (long j = 0; j < width; j += VL) {
    const long n = width - j, at = i0 * g.strideC + j0 + j;
    const vec bias = g.bias == nullptr ? vec{} : loadPart(g.bias + j0 + j, n);
    if (n >= VL) finishColumn<ACTIVATION>(g, at, rows, VL, bias, sums + j, strideSums);
    else finishPart<ACTIVATION>(g, at, rows, n, bias, sums + j, strideSums);
  }
}

}  // namespace

void finish(const Gemm& g, long i0, long rows, long j0, long width, const real* sums, long strideSums) {
  switch (g.activation) {
    case activation_gelu: return finishAll<activation_gelu>(g, i0, rows, j0, width, sums, strideSums);
    case activation_geluGradient: return finishAll<activation_geluGradient>(g, i0, rows, j0, width, sums, strideSums);
    default: return finishAll<activation_none>(g, i0, rows, j0, width, sums, strideSums);
  }
}

Scratch gemmScratch(long m, long n, long k) {
  Scratch scratch = blockedScratch<Chain>(n, k);
  scratch.cover(narrowScratch(k));
  scratch.cover(strassenScratch(m, n, k));
  return scratch;
}

void gemm(Worker& worker, const Gemm& g) {
  if (g.m <= narrowRows && g.precision == precision_f32) return narrowGemm(worker, g);
  if (g.training && strassenPays(g.m, g.n, g.k)) return strassenGemm(worker, g);
  blockedGemm<Chain>(worker, g);
}

void run_matmul(const Launch& l, Worker& worker) {
  using namespace kernel_matmul;
  Gemm g{l.r(b_a), l.r(b_b), l.r(b_out), l.integers[i_m], l.integers[i_n], l.integers[i_k], 0, 0, 0};
  g.transposeA = l.integers[i_transposeA] != 0;
  g.transposeB = l.integers[i_transposeB] != 0;
  g.accumulate = l.integers[i_accumulate] != 0;
  g.strideA = g.transposeA ? g.m : g.k;
  g.strideB = g.transposeB ? g.k : g.n;
  g.strideC = g.n;
  g.bias = l.r(b_bias);
  g.residual = l.r(b_residual);
  g.pre = l.r(b_pre);
  g.slope = l.r(b_slope);
  g.activation = int(l.integers[i_activation]);
  g.precision = int(l.integers[i_precision]);
  g.training = l.integers[i_training] != 0;
  gemm(worker, g);
}
Scratch scratch_matmul(const Launch& l, int) {
  using namespace kernel_matmul;
  return gemmScratch(l.integers[i_m], l.integers[i_n], l.integers[i_k]);
}
