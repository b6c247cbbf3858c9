// The product of few rows: a worker reads some columns of b where they lie or packs them for itself, and there is no second phase to
// wait for.
#include "matmul.h"

namespace {

constexpr long columns = 4 * NR;  // of a task: each page of b is visited for more than one cache line
constexpr long depthAtOnce = 384; // of packed columns

// dst[panel][k][NR] of columns j.. j + width and rows k0.. k0 + depth of op(b); 0 past the last column.
void pack(const Gemm& g, long k0, long depth, long j, long width, real* dst) {
  for (long panel = 0; panel < width; panel += NR, dst += depth * NR) {
    const long n = width - panel < NR ? width - panel : NR;
    if (n < NR) memset(dst, 0, size_t(depth * NR) * sizeof(real));
    if (g.transposeB) {
      transpose(g.b + (j + panel) * g.strideB + k0, g.strideB, n, depth, dst, NR);
    } else {
      for (long k = 0; k < depth; k++) memcpy(dst + k * NR, g.b + (k0 + k) * g.strideB + j + panel, size_t(n) * sizeof(real));
    }
  }
}

}  // namespace

void narrowGemm(Worker& worker, const Gemm& g) {
  // Tiles of like height: a tile of one or two rows would wait for its own sums.
  const long height = divideUp(g.m, divideUp(g.m, MR));
  const long rowA = g.transposeA ? 1 : g.strideA, stepA = g.transposeA ? g.strideA : 1;
  Tile* wide = g.m == 1 ? tile<1, 4 * NV> : g.m == 2 ? tile<2, 2 * NV> : tile<3, 2 * NV>;
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  forTasks(worker, divideUp(g.n, columns), [&](long task) {
    const long j0 = task * columns, width = g.n - j0 < columns ? g.n - j0 : columns;
    const bool direct = g.m <= 8 && !g.transposeB && width == columns;
    // One to three rows leave registers for more columns.
    const long step = !direct || g.m > 3 ? NR : g.m == 1 ? 4 * NR : 2 * NR;
    const long deep = direct ? g.k : depthAtOnce;
    alignas(64) real sums[narrowRows * columns];
    for (long i = 0; g.accumulate && i < g.m; i++) memcpy(sums + i * columns, g.c + i * g.strideC + j0, size_t(width) * sizeof(real));
    for (long k0 = 0; k0 < g.k; k0 += deep) {
      const long depth = g.k - k0 < deep ? g.k - k0 : deep;
      const bool fresh = k0 == 0 && !g.accumulate;
      if (!direct) pack(g, k0, depth, j0, width, packed);
      for (long j = 0; j < width; j += step) {
        const real* b = direct ? g.b + k0 * g.strideB + j0 + j : packed + j * depth;
        for (long i = 0; i < g.m; i += height) {
          Tile* multiply = step == NR ? tileOf(g.m - i < height ? g.m - i : height) : wide;
          multiply(g.a + i * rowA + k0 * stepA, rowA, stepA, b, direct ? g.strideB : NR, depth, sums + i * columns + j, columns, fresh);
        }
      }
    }
    finish(g, 0, g.m, j0, width, sums, columns);
  });
}
Scratch narrowScratch(long k) { return {0, uint64_t(columns * (k < depthAtOnce ? k : depthAtOnce)) * sizeof(real)}; }
