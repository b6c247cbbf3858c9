// The product of few rows, such as a decoding step's. Reading b is much of its work: a worker takes columns of b and reads them once, from
// where they lie, and no worker waits for another to pack them.
#include "matmul.h"

namespace {

constexpr long depthAtOnce = 256;  // of a packed panel, which stays in L1
constexpr long readAhead = 32;     // rows of b

// As `tile`, and copies the panel of b to `packed` on the way: later tiles find it in L1 and in one piece.
template <int ROWS>
__attribute__((noinline)) void packingTile(const real* a, long rowA, long stepA, const real* b, long rowB, long depth, real* c, bool fresh,
                                           real* packed) {
  vec acc[ROWS][NV];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) acc[i][v] = fresh ? vec{} : load(c + i * NR + v * VL);
  for (long k = 0; k < depth; k++, a += stepA, b += rowB, packed += NR) {
    // To L2 only: rows that are a multiple of 4 KB apart share few places in L1.
    __builtin_prefetch(b + readAhead * rowB, 0, 2);
    vec right[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) store(packed + v * VL, right[v] = load(b + v * VL));
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vec left = splat(a[i * rowA]);
#pragma GCC unroll 16
      for (int v = 0; v < NV; v++) acc[i][v] = fused(left, right[v], acc[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) store(c + i * NR + v * VL, acc[i][v]);
}

typedef void PackingTile(const real*, long, long, const real*, long, long, real*, bool, real*);
template <int... ROWS>
PackingTile* packingTileOf(long rows, std::integer_sequence<int, ROWS...>) {
  static PackingTile* const tiles[] = {packingTile<ROWS + 1>...};
  return tiles[rows - 1];
}

// packed[k][NR]: columns j.. j + width and rows k0.. k0 + depth of op(b); 0 past the last column.
void pack(const Gemm& g, long k0, long depth, long j, long width, real* packed) {
  if (width < NR) memset(packed, 0, size_t(depth * NR) * sizeof(real));
  if (g.transposeB) return transpose(g.b + j * g.strideB + k0, g.strideB, width, depth, packed, NR);
  for (long k = 0; k < depth; k++) memcpy(packed + k * NR, g.b + (k0 + k) * g.strideB + j, size_t(width) * sizeof(real));
}

// One panel: columns j.. j + width of c.
void panel(const Gemm& g, long j, long width, real* packed) {
  // Tiles of like height: a tile of one or two rows would wait for its own sums.
  const long height = divideUp(g.m, divideUp(g.m, MR));
  const long rowA = g.transposeA ? 1 : g.strideA, stepA = g.transposeA ? g.strideA : 1;
  alignas(64) real sums[narrowRows * NR];
  if (g.accumulate)
    for (long i = 0; i < g.m; i++)
      for (long v = 0; v < NR; v += VL) store(sums + i * NR + v, loadPart(g.c + i * g.strideC + j + v, width - v));
  for (long k = 0; k < g.k; k += depthAtOnce) {
    const long depth = g.k - k < depthAtOnce ? g.k - k : depthAtOnce;
    const bool fresh = k == 0 && !g.accumulate, whole = !g.transposeB && width == NR;
    const real* a = g.a + k * stepA;
    if (whole) {
      PackingTile* first = packingTileOf(height, std::make_integer_sequence<int, MR>());
      first(a, rowA, stepA, g.b + k * g.strideB + j, g.strideB, depth, sums, fresh, packed);
    } else {
      pack(g, k, depth, j, width, packed);
    }
    for (long i = whole ? height : 0; i < g.m; i += height)
      tileOf(g.m - i < height ? g.m - i : height)(a + i * rowA, rowA, stepA, packed, NR, depth, sums + i * NR, NR, fresh);
  }
  finish(g, 0, g.m, j, width, sums, NR);
}

// Up to three rows leave registers for several panels. Nothing is packed but the transpose of b, a piece at a time.
template <int ROWS, int PANELS>
void wide(Worker& worker, const Gemm& g) {
  constexpr long columns = PANELS * NR, piece = depthAtOnce / PANELS;
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  forTasks(worker, divideUp(g.n, columns), [&](long task) {
    const long from = task * columns;
    if (from + columns > g.n) {
      for (long j = from; j < g.n; j += NR) panel(g, j, g.n - j < NR ? g.n - j : NR, packed);
      return;
    }
    alignas(64) real sums[ROWS * columns];
    if (!g.transposeB) tile<ROWS, PANELS * NV>(g.a, g.strideA, 1, g.b + from, g.strideB, g.k, sums, columns, true);
    for (long k = 0; g.transposeB && k < g.k; k += piece) {
      const long depth = g.k - k < piece ? g.k - k : piece;
      transpose(g.b + from * g.strideB + k, g.strideB, columns, depth, packed, columns);
      tile<ROWS, PANELS * NV>(g.a + k, g.strideA, 1, packed, columns, depth, sums, columns, k == 0);
    }
    finish(g, 0, ROWS, from, columns, sums, columns);
  });
}

}  // namespace

void narrowGemm(Worker& worker, const Gemm& g) {
  if (g.m <= 3 && !g.transposeA && !g.accumulate)
    return (g.m == 1 ? wide<1, 4> : g.m == 2 ? wide<2, 2> : wide<3, 2>)(worker, g);
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  forTasks(worker, divideUp(g.n, NR), [&](long task) { panel(g, task * NR, g.n - task * NR < NR ? g.n - task * NR : NR, packed); });
}
Scratch narrowScratch(long) { return {0, uint64_t(depthAtOnce * NR) * sizeof(real)}; }
