// Packed, register-blocked matrix product (Goto & van de Geijn 2008), with bias, GELU and residual in the store.
#include "matmul.h"

namespace {

constexpr long KC = 384;        // most that a packed block is deep: a B panel of KC x NR stays in L1
constexpr long MC = 16 * MR;    // rows of A that stay in L2 while the panels of B pass
constexpr long NC = 256 * NR;   // columns of packed B, shared by all workers
constexpr long panelGroup = 32; // panels of a task, at most
constexpr long panelsAtOnce = 4; // panels packed together, so that each page of B is visited for more than one cache line

// k in equal blocks of at most KC.
long depthOf(long k) { return divideUp(k, divideUp(k, KC)); }

constexpr long packedElements = 1L << 19; // of B at once: fewer barriers the more fit, but all should stay in a shared cache

long packedColumns(long n) { return roundUp(n < NC ? n : NC, NR); }

// How many rows of op(b) are packed at once: whole blocks.
long packedDepth(long n, long k) {
  const long deep = depthOf(k), blocks = packedElements / (packedColumns(n) * deep);
  const long depth = (blocks < 1 ? 1 : blocks) * deep;
  return depth < k ? depth : k;
}

// dst[panel][k][NR] for `panels` panels of columns j0.. of op(b), rows k0.. k0 + depth; 0 past the last column.
void packB(const Gemm& g, long k0, long depth, long j0, long panels, real* dst) {
  const long width = g.n - j0 < panels * NR ? g.n - j0 : panels * NR;
  if (width < panels * NR) memset(dst + (panels - 1) * depth * NR, 0, size_t(depth * NR) * sizeof(real));
  if (g.transposeB) {
    for (long j = 0; j < width; j += NR, dst += depth * NR)
      transpose(g.b + (j0 + j) * g.strideB + k0, g.strideB, width - j < NR ? width - j : NR, depth, dst, NR);
    return;
  }
  // Row after row over all panels: columns one below the other are pages apart.
  const real* src = g.b + k0 * g.strideB + j0;
  for (long k = 0; k < depth; k++, src += g.strideB, dst += NR) {
    long j = 0;
    for (; j + NR <= width; j += NR) memcpy(dst + j * depth, src + j, NR * sizeof(real));
    if (j < width) memcpy(dst + j * depth, src + j, size_t(width - j) * sizeof(real));
  }
}

// dst[panel][k][MR] for rows i0.. of op(a). A row of dst is written by whole vectors, the next row over what was too much: dst needs VL
// elements of slack.
void packA(const Gemm& g, long k0, long depth, long i0, long rows, real* dst) {
  for (long panel = 0; panel < rows; panel += MR, dst += depth * MR) {
    const long height = rows - panel < MR ? rows - panel : MR;
    if (g.transposeA) {
      const real* src = g.a + k0 * g.strideA + i0 + panel;
      for (long k = 0; k < depth; k++, src += g.strideA) {
        if (height == MR) memcpy(dst + k * MR, src, MR * sizeof(real));
        else memcpy(dst + k * MR, src, size_t(height) * sizeof(real));
      }
      continue;
    }
    const real* src = g.a + (i0 + panel) * g.strideA + k0;
    long k = 0;
    for (; height == MR && k + VL <= depth; k += VL)
      for (int first = 0; first < MR; first += VL) {
        vec block[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) block[i] = first + i < MR ? load(src + (first + i) * g.strideA + k) : vec{};
        transposeBlock(block);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) {
          if (first + VL <= MR || MR - first == VL) store(dst + (k + i) * MR + first, block[i]);
          else if (first == 0) store(dst + (k + i) * MR, block[i]);
          else storePart(dst + (k + i) * MR + first, block[i], MR - first);
        }
      }
    for (; k < depth; k++)
      for (long i = 0; i < height; i++) dst[k * MR + i] = src[i * g.strideA + k];
  }
}

// The epilogue: finished sums (rows of NR) to `c`. WHOLE: all NR columns are there.
template <bool WHOLE>
void finish(const Gemm& g, long i0, long rows, long j0, long width, const real* sums) {
  for (long i = 0; i < rows; i++)
    for (long v = 0; v < NV; v++) {
      const long n = WHOLE ? VL : width - v * VL;
      if (n <= 0) break;
      finish(g, i0 + i, j0 + v * VL, n, load(sums + i * NR + v * VL));
    }
}

// Rows of op(a), in tiles of `height`: element (i, k) is at a[i / height * tile + i % height * row + k * step].
struct Rows {
  const real* a;
  long height, tile, row, step;
};

// Rows i0.. i0 + rows of c against one panel of b, columns j0.., depths k0.. k0 + depth.
void strip(const Gemm& g, long i0, long rows, const Rows& left, long j0, const real* b, long rowB, long k0, long depth) {
  const long width = g.n - j0 < NR ? g.n - j0 : NR;
  const bool fresh = k0 == 0 && !g.accumulate, last = k0 + depth == g.k;
  const bool plain = g.bias == nullptr && g.residual == nullptr && g.activation == activation_none;
  for (long i = 0; i < rows; i += left.height) {
    const long height = rows - i < left.height ? rows - i : left.height;
    const real* a = left.a + i / left.height * left.tile;
    real* c = g.c + (i0 + i) * g.strideC + j0;
    // What the store will touch is fetched while the product is made.
    for (long r = 0; r < height; r++) {
      const long at = r * g.strideC;
      __builtin_prefetch(c + at, 1);
      if (last && g.pre != nullptr) __builtin_prefetch(g.pre + (i0 + i) * g.strideC + j0 + at);
      if (last && g.residual != nullptr) __builtin_prefetch(g.residual + (i0 + i) * g.strideC + j0 + at);
    }
    Tile* multiply = tileOf(height);
    if (width == NR && (plain || !last)) {
      multiply(a, left.row, left.step, b, rowB, depth, c, g.strideC, fresh);
      continue;
    }
    alignas(64) real sums[MR * NR];
    if (!fresh)
      for (long r = 0; r < height; r++)
        for (long j = 0; j < NR; j++) sums[r * NR + j] = j < width ? c[r * g.strideC + j] : real(0);
    multiply(a, left.row, left.step, b, rowB, depth, sums, NR, fresh);
    if (last) {
      (width == NR ? finish<true> : finish<false>)(g, i0 + i, height, j0, width, sums);
    } else {
      for (long r = 0; r < height; r++) memcpy(c + r * g.strideC, sums + r * NR, size_t(width) * sizeof(real));
    }
  }
}

}  // namespace

// Enough for every product with at most so many rows and columns and at most this depth: a shallower one may have deeper blocks.
Scratch gemmScratch(long m, long n, long k) {
  (void)m;
  const long deep = k < KC ? k : KC, columns = packedColumns(n);
  const long depth = packedElements / columns > deep ? packedElements / columns : deep;
  Scratch scratch{uint64_t((depth < k ? depth : k) * columns) * sizeof(real), uint64_t(MC * deep + VL) * sizeof(real)};
  scratch.cover(narrowScratch(k));
  return scratch;
}

void gemm(Worker& worker, const Gemm& g) {
  if (g.m <= narrowRows) return narrowGemm(worker, g);
  real* sharedB = reinterpret_cast<real*>(worker.sharedScratch);
  real* ownA = reinterpret_cast<real*>(worker.ownScratch);
  const long deep = depthOf(g.k), packed = packedDepth(g.n, g.k);
  for (long n0 = 0; n0 < g.n; n0 += NC) {
    const long panels = divideUp(g.n - n0 < NC ? g.n - n0 : NC, NR);
    // Tasks as large as the caches like, but several for each worker.
    long height = roundUp(g.m < MC ? g.m : MC, MR), group = panels < panelGroup ? panels : panelGroup;
    while (divideUp(g.m, height) * divideUp(panels, group) < 4 * worker.count && (group > 4 || height > 4 * MR)) {
      if (group > 4) group = divideUp(group, 2);
      else height = roundUp(height / 2, MR);
    }
    const long across = divideUp(panels, group);

    for (long start = 0; start < g.k; start += packed) {
      const long end = start + packed < g.k ? start + packed : g.k;
      const auto depthAt = [&](long k0) { return end - k0 < deep ? end - k0 : deep; };
      const auto panelAt = [&](long k0, long p) { return sharedB + (k0 - start) * panels * NR + p * depthAt(k0) * NR; };
      const long packTasks = divideUp(panels, panelsAtOnce);
      forTasks(worker, packTasks * divideUp(end - start, deep), [&](long task) {
        const long k0 = start + task / packTasks * deep, p = task % packTasks * panelsAtOnce;
        packB(g, k0, depthAt(k0), n0 + p * NR, panels - p < panelsAtOnce ? panels - p : panelsAtOnce, panelAt(k0, p));
      });
      forTasks(worker, divideUp(g.m, height) * across, [&](long task) {
        const long i0 = task / across * height, rows = g.m - i0 < height ? g.m - i0 : height;
        const long from = task % across * group, to = from + group < panels ? from + group : panels;
        for (long k0 = start; k0 < end; k0 += deep) {
          const long depth = depthAt(k0);
          packA(g, k0, depth, i0, rows, ownA);
          const Rows left{ownA, MR, MR * depth, 1, MR};
          for (long p = from; p < to; p++) strip(g, i0, rows, left, n0 + p * NR, panelAt(k0, p), NR, k0, depth);
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
