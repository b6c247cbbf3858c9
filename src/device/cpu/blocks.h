// How a product that is packed is cut (Goto & van de Geijn 2008), for every scheme of multiplying blocks.
//
// A Scheme has, for units of `rows` rows of op(a) and panels of `columns` columns of op(b):
//   deepest, depthStep: the greatest depth of a block, and what its depth is a multiple of
//   most: units of a task, which stay in L2 while the panels of b pass
//   unitSize(depth), panelSize(depth): elements of a packed unit and of a packed panel
//   packA(g, k0, depth, i0, units, to), packRows(g, k0, depth, j, width, to), packPanel(...): pack from row k0 of op(b); width is cut at the last column.
//     packPanel packs one panel of a b that is transposed, packRows some of one that is not
//   strip(g, i0, units, a, j0, b, k0, depth): adds packed units times a packed panel to c, and finishes it after the last block
#pragma once
#include "matmul.h"

constexpr long mostColumns = 256 * NR;     // of packed b, shared by all workers
constexpr long pieceElements = 1L << 18;   // of b packed at once, if one block is not larger: two pieces should stay in a shared cache

// k in equal blocks.
template <class Scheme>
long blockDepth(long k) {
  return roundUp(divideUp(k, divideUp(k, Scheme::deepest)), Scheme::depthStep);
}

template <class Scheme>
long packedColumns(long n) {
  return roundUp(n < mostColumns ? n : mostColumns, Scheme::columns);
}

// What a product packs of op(b) between two barriers: whole blocks of `deep` rows of some columns.
template <class Scheme>
struct Piece {
  long n0, panels, width;  // its columns
  long k0, end, deep;      // its rows
  real* packed;

  long depthAt(long k) const { return end - k < deep ? end - k : deep; }
  real* panelAt(long k, long panel) const {
    return packed + (k - k0) / deep * panels * Scheme::panelSize(deep) + panel * Scheme::panelSize(depthAt(k));
  }
};

// Packing a piece, in tasks: some panels of a block. Their order is that of the columns, as in `Tasks`.
template <class Scheme>
struct Packing {
  const Gemm& g;
  const Piece<Scheme>& piece;
  long group, blocks, tasks;
  Packing(const Gemm& gemm, const Piece<Scheme>& p, int workers) : g(gemm), piece(p), group(g.transposeB ? 1 : 8 * NR / Scheme::columns) {
    blocks = divideUp(p.end - p.k0, p.deep);
    while (group > 1 && divideUp(p.panels, group) * blocks < 2 * workers) group /= 2;
    tasks = divideUp(p.panels, group) * blocks;
  }
  void run(long task) const {
    const long k = piece.k0 + task % blocks * piece.deep, depth = piece.depthAt(k), panel = task / blocks * group;
    const long j = panel * Scheme::columns, rest = piece.width - j, most = group * Scheme::columns;
    (g.transposeB ? Scheme::packPanel : Scheme::packRows)(g, k, depth, piece.n0 + j, rest < most ? rest : most, piece.panelAt(k, panel));
  }
};

// How c is cut into tasks, several for each worker, so that they even out. Few rows are not cut, but the columns: a task has use enough for
// each panel it reads, and a worker mostly has packed its panels itself.
template <class Scheme>
struct Tasks {
  long height, group, down, count;
  Tasks(const Gemm& g, long panels, int workers) {
    constexpr long least = 4 * MR / Scheme::rows;
    const long units = divideUp(g.m, Scheme::rows), share = units / (8 * workers);
    const bool tall = share >= Scheme::most / 2 || panels * Scheme::columns < 32 * NR;
    down = divideUp(units, !tall || share > Scheme::most ? Scheme::most : share < least ? least : share);
    height = divideUp(units, down);
    group = panels;
    while (down * divideUp(panels, group) < 2 * workers && group > 8 * NR / Scheme::columns) group = divideUp(group, 2);
    count = down * divideUp(panels, group);
  }
};

// Enough for every product with at most so many columns and at most this depth: a shallower one may have deeper blocks.
template <class Scheme>
Scratch blockedScratch(long n, long k) {
  const long deep = roundUp(k < Scheme::deepest ? k : Scheme::deepest, Scheme::depthStep), columns = packedColumns<Scheme>(n);
  const long all = (k + deep) * columns, block = deep * columns, most = block > pieceElements ? block : pieceElements;
  const long pieces = n > mostColumns ? 2 * (all < most ? all : most) : all < 2 * most ? all : 2 * most;
  const long elements = divideUp(pieces, block) * (columns / Scheme::columns) * Scheme::panelSize(deep);
  return {uint64_t(elements) * sizeof(real), uint64_t(Scheme::most * Scheme::unitSize(deep) + VL) * sizeof(real)};
}

template <class Scheme>
void blockedGemm(Worker& worker, const Gemm& g) {
  real* const ownA = reinterpret_cast<real*>(worker.ownScratch);
  const long deep = blockDepth<Scheme>(g.k), columns = packedColumns<Scheme>(g.n), blocks = pieceElements / (columns * deep);
  const long most = (blocks < 1 ? 1 : blocks) * deep, depth = most < g.k ? most : g.k;
  const long down = divideUp(g.k, depth), pieces = down * divideUp(g.n, mostColumns);
  const long room = divideUp(depth, deep) * (columns / Scheme::columns) * Scheme::panelSize(deep);
  const auto pieceAt = [&](long index) {
    const long n0 = index / down * mostColumns, width = g.n - n0 < mostColumns ? g.n - n0 : mostColumns, k0 = index % down * depth;
    real* const packed = reinterpret_cast<real*>(worker.sharedScratch) + index % 2 * room;
    return Piece<Scheme>{n0, divideUp(width, Scheme::columns), width, k0, g.k - k0 < depth ? g.k : k0 + depth, deep, packed};
  };

  auto piece = pieceAt(0);
  {
    const Packing<Scheme> first(g, piece, worker.count);
    forTasks(worker, first.tasks, [&](long task) { first.run(task); });
  }
  // The next piece is packed while this one is multiplied: its tasks are small and fill up the end.
  for (long index = 0; index < pieces; index++) {
    const Tasks<Scheme> tasks(g, piece.panels, worker.count);
    const auto next = pieceAt(index + 1 < pieces ? index + 1 : 0);
    const Packing<Scheme> packing(g, next, worker.count);
    const long units = divideUp(g.m, Scheme::rows);
    startTasks(worker, tasks.count, [&](long task) {
      const long unit = task % tasks.down * tasks.height, height = units - unit < tasks.height ? units - unit : tasks.height;
      const long from = task / tasks.down * tasks.group, to = from + tasks.group < piece.panels ? from + tasks.group : piece.panels;
      const long i0 = unit * Scheme::rows;
      for (long k = piece.k0; k < piece.end; k += deep) {
        const long thick = piece.depthAt(k);
        Scheme::packA(g, k, thick, i0, height, ownA);
        for (long p = from; p < to; p++) Scheme::strip(g, i0, height, ownA, piece.n0 + p * Scheme::columns, piece.panelAt(k, p), k, thick);
      }
    });
    forTasks(worker, index + 1 < pieces ? packing.tasks : 0, [&](long task) { packing.run(task); });
    piece = next;
  }
}

// to[k][MR]: `height` rows i0.. of op(a), depths k0... A row of `to` is written by whole vectors, the next row over what was too much: `to`
// needs VL elements of slack.
static inline void packTile(const Gemm& g, long k0, long depth, long i0, long height, real* to) {
  if (g.transposeA) {
    const real* from = g.a + k0 * g.strideA + i0;
    for (long k = 0; k < depth; k++, from += g.strideA) {
      if (height == MR) memcpy(to + k * MR, from, MR * sizeof(real));
      else memcpy(to + k * MR, from, size_t(height) * sizeof(real));
    }
    return;
  }
  const real* from = g.a + i0 * g.strideA + k0;
  long k = 0;
  for (; height == MR && k + VL <= depth; k += VL)
    for (int first = 0; first < MR; first += VL) {
      vec block[VL];
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++) block[i] = first + i < MR ? load(from + (first + i) * g.strideA + k) : vec{};
      transposeBlock(block);
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++) {
        if (first + VL <= MR || MR - first == VL) store(to + (k + i) * MR + first, block[i]);
        else if (first == 0) store(to + (k + i) * MR, block[i]);
        else storePart(to + (k + i) * MR + first, block[i], MR - first);
      }
    }
  for (; k < depth; k++)
    for (long i = 0; i < height; i++) to[k * MR + i] = from[i * g.strideA + k];
}

// Whether the epilogue only stores.
INLINE bool plainEpilogue(const Gemm& g) { return g.bias == nullptr && g.residual == nullptr && g.activation == activation_none; }

// What the store of `rows` rows of `width` elements at element `at` will touch is fetched while the product is made.
INLINE void fetchEpilogue(const Gemm& g, long at, long rows, long width, bool last) {
  constexpr long line = 64 / long(sizeof(real));
  const real* const other = !last ? nullptr : g.residual != nullptr ? g.residual : g.slope != nullptr ? g.slope : g.pre;
  for (long r = 0; r < rows; r++, at += g.strideC)
    for (long j = 0; j < width; j += line) {
      __builtin_prefetch(g.c + at + j, 1);
      if (other != nullptr) __builtin_prefetch(other + at + j);
    }
}

// Stores sums[rows][strideSums], which are all of the product or, before the last block, the part of it so far.
INLINE void settle(const Gemm& g, long i0, long rows, long j0, long width, const real* sums, long strideSums, bool last) {
  if (last) return finish(g, i0, rows, j0, width, sums, strideSums);
  for (long r = 0; r < rows; r++) memcpy(g.c + (i0 + r) * g.strideC + j0, sums + r * strideSums, size_t(width) * sizeof(real));
}
