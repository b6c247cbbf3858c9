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
  long lines() const { return lines_; }
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
  // A few rows of b's transpose at a time, whole lines of `packed`.
  for (long k = 0; g.transposeB && k < depth; k += VL)
    transpose(g.b + j * g.strideB + k0 + k, g.strideB, width, depth - k < VL ? depth - k : VL, packed + k * NR, NR);
  if (g.transposeB) return;
  for (long k = 0; k < depth; k++) memcpy(packed + k * NR, g.b + (k0 + k) * g.strideB + j, size_t(width) * sizeof(real));
}

// One panel: columns j.. j + width of c.
void panel(const Gemm& g, long j, long width, real* packed) {
  constexpr auto heights = std::make_integer_sequence<int, MR>();
  // Tiles of like height, as one of few rows would wait for its own sums; the higher ones first, as the first has the packing to hide.
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
      const long i = divideUp(g.m * t, tiles), end = divideUp(g.m * (t + 1), tiles);
      const real* a = g.a + i * rowA + k * stepA;
      if (whole && t == 0)
        streamingTileOf<true>(end, heights)(a, rowA, stepA, g.b + k * g.strideB + j, g.strideB, depth, sums, fresh, packed, next, leaves ? 0 : share);
      else
        streamingTileOf<false>(end - i, heights)(a, rowA, stepA, packed, NR, depth, sums + i * NR, fresh, packed, next, share);
    }
  }
  finish(g, 0, g.m, j, width, sums, NR);
}

// The product with a transposed b, made as its transpose: the rows of b lie as those of a left factor do, so that a is transposed (once, to `packed`:
// [panel][k][NR]) and b is not. Each element is the same chain as ever.
constexpr long tablePanel = 8 * MR;       // rows of b of a task
constexpr long tableElements = 1L << 16;  // of a, at most: they stay in L2
bool suitsTable(const Gemm& g) {
  const long rows = roundUp(g.m, NR);
  return g.transposeB && !g.transposeA && !g.accumulate && rows - g.m <= MR && rows * g.k <= tableElements;
}

void table(const Gemm& g, long j, const real* packed) {
  constexpr auto heights = std::make_integer_sequence<int, MR>();
  const long width = g.n - j < tablePanel ? g.n - j : tablePanel, panels = divideUp(g.m, NR), tiles = divideUp(width, MR);
  alignas(64) real product[tablePanel * NR];
  alignas(64) real sums[NR * tablePanel];
  for (long p = 0; p < panels; p++) {
    for (long k = 0; k < g.k; k += depthAtOnce) {
      const long depth = g.k - k < depthAtOnce ? g.k - k : depthAtOnce;
      // Each pass fetches some of the next task's rows.
      const long rows = divideUp(tablePanel, panels);
      Ahead next(g, k, j + tablePanel + p * rows);
      const long share = divideUp(rows * next.lines(), tiles);
      for (long t = 0; t < tiles; t++) {
        const long i = width * t / tiles, end = width * (t + 1) / tiles;
        streamingTileOf<false>(end - i, heights)(g.b + (j + i) * g.strideB + k, g.strideB, 1, packed + (p * g.k + k) * NR, NR, depth, product + i * NR,
                                                 k == 0, nullptr, next, share);
      }
    }
    transpose(product, NR, width, NR, sums, tablePanel);
    finish(g, p * NR, g.m - p * NR < NR ? g.m - p * NR : NR, j, width, sums, tablePanel);
  }
}

void tableGemm(Worker& worker, const Gemm& g) {
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  for (long p = 0; p < g.m; p += NR) {
    const long height = g.m - p < NR ? g.m - p : NR;
    if (height < NR) memset(packed + p * g.k, 0, size_t(NR * g.k) * sizeof(real));
    transpose(g.a + p * g.strideA, g.strideA, height, g.k, packed + p * g.k, NR);
  }
  forTasks(worker, divideUp(g.n, tablePanel), [&](long task) { table(g, task * tablePanel, packed); });
}

constexpr int turned = 2;  // blocks of VL columns at once: one waits for its own sums, more leave no registers
// sums[ROWS][GROUPS * VL] of up to three rows and a b that is transposed: blocks of it are turned in registers.
template <int ROWS, int GROUPS>
__attribute__((noinline)) void turningTile(const Gemm& g, long j, real* sums, long strideSums) {
  vec acc[ROWS][GROUPS] = {};
  const real* const from = g.b + j * g.strideB;
  long k = 0;
  for (; k + VL <= g.k; k += VL)
#pragma GCC unroll 4
    for (int group = 0; group < GROUPS; group++) {
      vec block[VL];
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++) block[i] = load(from + (group * VL + i) * g.strideB + k);
      transposeBlock(block);
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++)
#pragma GCC unroll 4
        for (int row = 0; row < ROWS; row++) acc[row][group] = fused(splat(g.a[row * g.strideA + k + i]), block[i], acc[row][group]);
    }
  for (; k < g.k; k++)
    for (int group = 0; group < GROUPS; group++) {
      vec right;
      for (int i = 0; i < VL; i++) right[i] = from[(group * VL + i) * g.strideB + k];
      for (int row = 0; row < ROWS; row++) acc[row][group] = fused(splat(g.a[row * g.strideA + k]), right, acc[row][group]);
    }
  for (int row = 0; row < ROWS; row++)
    for (int group = 0; group < GROUPS; group++) store(sums + row * strideSums + group * VL, acc[row][group]);
}

// Up to three rows leave registers for several panels, and nothing is packed.
template <int ROWS, int PANELS>
void wide(Worker& worker, const Gemm& g) {
  constexpr long columns = PANELS * NR;
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  forTasks(worker, divideUp(g.n, columns), [&](long task) {
    const long from = task * columns;
    if (from + columns > g.n) {
      for (long j = from; j < g.n; j += NR) panel(g, j, g.n - j < NR ? g.n - j : NR, packed);
      return;
    }
    alignas(64) real sums[ROWS * columns];
    for (long j = 0; g.transposeB && j < columns; j += turned * VL) turningTile<ROWS, turned>(g, from + j, sums + j, columns);
    if (!g.transposeB) tile<ROWS, PANELS * NV>(g.a, g.strideA, 1, g.b + from, g.strideB, g.k, sums, columns, true);
    finish(g, 0, ROWS, from, columns, sums, columns);
  });
}

}  // namespace

void narrowGemm(Worker& worker, const Gemm& g) {
  if (g.m <= 3 && !g.transposeA && !g.accumulate)
    return (g.m == 1 ? wide<1, 4> : g.m == 2 ? wide<2, 2> : wide<3, 2>)(worker, g);
  if (suitsTable(g)) return tableGemm(worker, g);
  real* packed = reinterpret_cast<real*>(worker.ownScratch);
  forTasks(worker, divideUp(g.n, NR), [&](long task) { panel(g, task * NR, g.n - task * NR < NR ? g.n - task * NR : NR, packed); });
}
Scratch narrowScratch(long k) {
  const long turned = narrowRows * k < tableElements ? narrowRows * k : tableElements, panel = depthAtOnce * NR;
  return {0, uint64_t(turned > panel ? turned : panel) * sizeof(real)};
}
