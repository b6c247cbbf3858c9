// The product of few rows, such as a decoding step's. Reading b is much of its work: a worker takes columns of b and reads them once, from
// where they lie, and no worker waits for another to pack them.
#include "matmul.h"

namespace {

constexpr long depthAtOnce = 256;  // of a packed block of b, which stays in L1

// Fetches a block of b, a cache line at a time, while the one before it is multiplied.
class Ahead {
 public:
  Ahead(const Gemm& g, long k, long j)
      : at_(g.b + (g.transposeB ? j * g.strideB + k : k * g.strideB + j)),
        lines_(divideUp(!g.transposeB ? NR : g.k < depthAtOnce ? g.k : depthAtOnce, line)),
        stride_(g.strideB) {}
  // To L2 only: rows that are a multiple of 4 KB apart share few places in L1.
  void fetch() {
    __builtin_prefetch(at_ + seen_ * line, 0, 2);
    if (++seen_ < lines_) return;
    seen_ = 0;
    at_ += stride_;
  }

 private:
  static constexpr long line = 64 / long(sizeof(real));
  const real* at_;
  long lines_, stride_, seen_ = 0;
};

// As `tile` of NR columns. The first copies its block of b to `packed` (PACKS), where later ones find it in L1 and in one piece. Fetches `lines`
// lines of the next block.
template <int ROWS, bool PACKS>
__attribute__((noinline)) void streamingTile(const real* a, long rowA, long stepA, const real* b, long rowB, long depth, real* c, bool fresh,
                                             real* packed, Ahead& next, long lines) {
  vec acc[ROWS][NV];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) acc[i][v] = fresh ? vec{} : load(c + i * NR + v * VL);
  Ahead ahead = next;
  for (long k = 0; k < depth; k++, a += stepA, b += rowB, packed += NR) {
    if (k < lines) ahead.fetch();
    vec right[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) {
      right[v] = load(b + v * VL);
      if (PACKS) store(packed + v * VL, right[v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vec left = splat(a[i * rowA]);
#pragma GCC unroll 16
      for (int v = 0; v < NV; v++) acc[i][v] = fused(left, right[v], acc[i][v]);
    }
  }
  next = ahead;
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 16
    for (int v = 0; v < NV; v++) store(c + i * NR + v * VL, acc[i][v]);
}

typedef void StreamingTile(const real*, long, long, const real*, long, long, real*, bool, real*, Ahead&, long);
template <bool PACKS, int... ROWS>
StreamingTile* streamingTileOf(long rows, std::integer_sequence<int, ROWS...>) {
  static StreamingTile* const tiles[] = {streamingTile<ROWS + 1, PACKS>...};
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
  constexpr auto heights = std::make_integer_sequence<int, MR>();
  // Tiles of like height: one of few rows would wait for its own sums.
  const long tiles = divideUp(g.m, MR);
  const long rowA = g.transposeA ? 1 : g.strideA, stepA = g.transposeA ? g.strideA : 1;
  alignas(64) real sums[narrowRows * NR];
  if (g.accumulate)
    for (long i = 0; i < g.m; i++)
      for (long v = 0; v < NR; v += VL) store(sums + i * NR + v, loadPart(g.c + i * g.strideC + j + v, width - v));
  for (long k = 0; k < g.k; k += depthAtOnce) {
    const long depth = g.k - k < depthAtOnce ? g.k - k : depthAtOnce;
    const bool fresh = k == 0 && !g.accumulate, whole = !g.transposeB && width == NR, ends = k + depth == g.k;
    if (!whole) pack(g, k, depth, j, width, packed);
    // A worker mostly has the next panel too. A tile that packs waits for b enough, and leaves it to others.
    Ahead next(g, ends ? 0 : k + depth, ends ? j + NR : j);
    const long leaves = whole && tiles > 1, share = divideUp(depth, tiles - leaves);
    for (long t = 0; t < tiles; t++) {
      const long i = g.m * t / tiles, end = g.m * (t + 1) / tiles;
      const real* a = g.a + i * rowA + k * stepA;
      if (whole && t == 0)
        streamingTileOf<true>(end, heights)(a, rowA, stepA, g.b + k * g.strideB + j, g.strideB, depth, sums, fresh, packed, next, leaves ? 0 : share);
      else
        streamingTileOf<false>(end - i, heights)(a, rowA, stepA, packed, NR, depth, sums + i * NR, fresh, packed, next, share);
    }
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
