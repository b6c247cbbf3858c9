// Packed, register-blocked matrix product (Goto & van de Geijn 2008), with bias, GELU and residual in the store.
#include "matmul.h"

namespace {

constexpr long KC = 256;   // depth of a packed block: a B panel of KC x NR stays in L1
constexpr long MC = 96;    // rows of a packed A block: MC x KC stays in L2
constexpr long NC = 4096;  // columns of packed B, shared by all workers
constexpr long smallM = 8; // up to here B is read where it lies

constexpr long packedElements = 2L << 20;  // of B at once: fewer barriers the more fit

long packedColumns(long n) { return roundUp(n < NC ? n : NC, NR); }

// How many rows of op(b) are packed at once: whole blocks of KC.
long packedDepth(long n, long k) {
  const long blocks = packedElements / (packedColumns(n) * KC);
  const long depth = (blocks < 1 ? 1 : blocks) * KC;
  return depth < k ? depth : k;
}

// dst[k][NR] for columns j0.. of op(b), rows k0.. k0 + depth.
void packB(const Gemm& g, long k0, long depth, long j0, real* dst) {
  const long width = g.n - j0 < NR ? g.n - j0 : NR;
  if (!g.transposeB) {
    const real* src = g.b + k0 * g.strideB + j0;
    for (long k = 0; k < depth; k++, src += g.strideB, dst += NR) {
      if (width == NR) {
        for (int v = 0; v < NV; v++) store(dst + v * VL, load(src + v * VL));
      } else {
        for (long j = 0; j < NR; j++) dst[j] = j < width ? src[j] : real(0);
      }
    }
    return;
  }
  for (long j = 0; j < NR; j++) {
    const real* src = g.b + (j0 + j) * g.strideB + k0;
    for (long k = 0; k < depth; k++) dst[k * NR + j] = j < width ? src[k] : real(0);
  }
}

// dst[panel][k][MR] for rows i0.. of op(a).
void packA(const Gemm& g, long k0, long depth, long i0, long rows, real* dst) {
  for (long panel = 0; panel < rows; panel += MR, dst += depth * MR) {
    const long height = rows - panel < MR ? rows - panel : MR;
    if (g.transposeA) {
      const real* src = g.a + k0 * g.strideA + i0 + panel;
      for (long k = 0; k < depth; k++, src += g.strideA) {
        for (long i = 0; i < MR; i++) dst[k * MR + i] = i < height ? src[i] : real(0);
      }
    } else {
      for (long i = 0; i < MR; i++) {
        const real* src = g.a + (i0 + panel + i) * g.strideA + k0;
        if (i < height) {
          for (long k = 0; k < depth; k++) dst[k * MR + i] = src[k];
        } else {
          for (long k = 0; k < depth; k++) dst[k * MR + i] = real(0);
        }
      }
    }
  }
}

INLINE void finish(const Gemm& g, long i, long j, long width, vec value, bool last) {
  real* out = g.c + i * g.strideC + j;
  if (last) {
    if (g.bias != nullptr) value += loadPart(g.bias + j, width);
    if (g.activation == activation_gelu) {
      if (g.pre != nullptr) storePart(g.pre + i * g.strideC + j, value, width);
      value = gelu(value);
    } else if (g.activation == activation_geluGradient) {
      value *= geluDerivative(loadPart(g.pre + i * g.strideC + j, width));
    } else if (g.residual != nullptr) {
      value += loadPart(g.residual + i * g.strideC + j, width);
    }
  }
  storePart(out, value, width);
}

template <int ROWS>
INLINE void tile(const Gemm& g, const real* a, long rowA, long stepA, const real* b, long rowB, long depth, long i0, long rows,
                 long j0, bool first, bool last) {
  vec acc[ROWS][NV];
  const long width = g.n - j0;
  const bool whole = width >= NR && rows == ROWS;
  if (first && !g.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) acc[i][v] = vec{};
  } else if (whole) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) acc[i][v] = load(g.c + (i0 + i) * g.strideC + j0 + v * VL);
  } else {
    for (int i = 0; i < ROWS; i++)
      for (int v = 0; v < NV; v++) {
        const long part = width - v * VL;
        acc[i][v] = i < rows && part > 0 ? loadPart(g.c + (i0 + i) * g.strideC + j0 + v * VL, part) : vec{};
      }
  }
  multiplyTile<ROWS>(acc, a, rowA, stepA, b, rowB, depth);
  for (long i = 0; i < rows; i++)
    for (int v = 0; v < NV; v++) {
      const long part = width - v * VL;
      if (part > 0) finish(g, i0 + i, j0 + v * VL, part, acc[i][v], last);
    }
}

// B where it lies: columns in tasks of NR, all of k at once. Same chain per element as the packed way.
template <int ROWS>
void direct(const Gemm& g, long j0) {
  if (g.n - j0 >= NR) {
    tile<ROWS>(g, g.a, g.strideA, 1, g.b + j0, g.strideB, g.k, 0, ROWS, j0, true, true);
    return;
  }
  // The last columns: a row of B may end before the vector does.
  const long width = g.n - j0;
  vec acc[ROWS][NV] = {};
  for (long k = 0; k < g.k; k++)
    for (int v = 0; v < NV; v++) {
      const long part = width - v * VL;
      if (part <= 0) break;
      const vec right = loadPart(g.b + k * g.strideB + j0 + v * VL, part);
      for (int i = 0; i < ROWS; i++) acc[i][v] += splat(g.a[i * g.strideA + k]) * right;
    }
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < NV; v++)
      if (width - v * VL > 0) finish(g, i, j0 + v * VL, width - v * VL, acc[i][v], true);
}

void directColumns(const Gemm& g, long j0) {
  switch (g.m) {
    case 1: return direct<1>(g, j0);
    case 2: return direct<2>(g, j0);
    case 3: return direct<3>(g, j0);
    case 4: return direct<4>(g, j0);
    case 5: return direct<5>(g, j0);
    case 6: return direct<6>(g, j0);
    case 7: return direct<7>(g, j0);
    default: return direct<8>(g, j0);
  }
}

}  // namespace

Scratch gemmScratch(long m, long n, long k) {
  (void)m;
  const long depth = k < KC ? k : KC;
  return {uint64_t(packedDepth(n, k) * packedColumns(n)) * sizeof(real), uint64_t((MC + MR) * depth) * sizeof(real)};
}

void gemm(Worker& worker, const Gemm& g) {
  if (g.m <= smallM && !g.transposeA && !g.transposeB && !g.accumulate) {
    const long columns = 4 * NR;
    forTasks(worker, (g.n + columns - 1) / columns, [&](long task) {
      const long end = (task + 1) * columns < g.n ? (task + 1) * columns : g.n;
      for (long j = task * columns; j < end; j += NR) directColumns(g, j);
    });
    return;
  }
  real* sharedB = reinterpret_cast<real*>(worker.sharedScratch);
  real* ownA = reinterpret_cast<real*>(worker.ownScratch);

  // Rows in equal blocks of at most MC; few rows are also cut by columns, so that every worker has some.
  long rowTasks = (g.m + MC - 1) / MC;
  if (rowTasks > 1 && rowTasks < 4 * worker.count) rowTasks = roundUp(rowTasks, worker.count);
  const long height = roundUp((g.m + rowTasks - 1) / rowTasks, MR);
  rowTasks = (g.m + height - 1) / height;

  const long packed = packedDepth(g.n, g.k);
  for (long n0 = 0; n0 < g.n; n0 += NC) {
    const long panels = ((g.n - n0 < NC ? g.n - n0 : NC) + NR - 1) / NR;
    long columnTasks = 1;
    while (rowTasks * columnTasks < 2 * worker.count && panels / (2 * columnTasks) >= 4) columnTasks *= 2;
    for (long group = 0; group < g.k; group += packed) {
      const long groupEnd = group + packed < g.k ? group + packed : g.k;
      const auto depthAt = [&](long k0) { return groupEnd - k0 < KC ? groupEnd - k0 : KC; };
      const auto panelAt = [&](long k0, long p) { return sharedB + (k0 - group) * panels * NR + p * depthAt(k0) * NR; };
      const long blocks = (groupEnd - group + KC - 1) / KC, packTasks = (panels + 7) / 8;
      forTasks(worker, packTasks * blocks, [&](long task) {
        const long k0 = group + task / packTasks * KC, from = task % packTasks * 8;
        const long end = from + 8 < panels ? from + 8 : panels;
        for (long p = from; p < end; p++) packB(g, k0, depthAt(k0), n0 + p * NR, panelAt(k0, p));
      });
      forTasks(worker, rowTasks * columnTasks, [&](long task) {
        const long i0 = task / columnTasks * height;
        const long column = task % columnTasks;
        const long rows = g.m - i0 < height ? g.m - i0 : height;
        const long from = panels * column / columnTasks, to = panels * (column + 1) / columnTasks;
        for (long k0 = group; k0 < groupEnd; k0 += KC) {
          const long depth = depthAt(k0);
          packA(g, k0, depth, i0, rows, ownA);
          for (long p = from; p < to; p++)
            for (long i = 0; i < rows; i += MR)
              tile<MR>(g, ownA + i * depth, 1, MR, panelAt(k0, p), NR, depth, i0 + i, rows - i < MR ? rows - i : MR, n0 + p * NR,
                       k0 == 0, k0 + depth >= g.k);
        }
      });
    }
  }
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
  g.activation = int(l.integers[i_activation]);
  gemm(worker, g);
}
Scratch scratch_matmul(const Launch& l, int) {
  using namespace kernel_matmul;
  return gemmScratch(l.integers[i_m], l.integers[i_n], l.integers[i_k]);
}
