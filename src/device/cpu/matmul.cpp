// Packed, register-blocked matrix product (Goto & van de Geijn 2008), with bias, GELU and residual in the store.
#include "matmul.h"

namespace {

constexpr long KC = 384;                   // most that a packed block is deep: a B panel of KC x NR stays in L1
constexpr long MC = 16 * MR;               // most rows of A of a task: they stay in L2 while the panels of B pass
constexpr long NC = 256 * NR;              // columns of packed B, shared by all workers
constexpr long pieceElements = 1L << 19;   // of B packed at once, if one block is not larger: two pieces should stay in a shared cache

// k in equal blocks of at most KC.
long depthOf(long k) { return divideUp(k, divideUp(k, KC)); }

long packedColumns(long n) { return roundUp(n < NC ? n : NC, NR); }

// dst[panel][k][NR] for columns j.. j + width of op(b) and its rows k0.. k0 + depth; 0 past the last column.
void packRows(const Gemm& g, long k0, long depth, long j, long width, real* dst) {
  const long whole = width / NR * NR, rest = width - whole;
  for (long k = 0; k < depth; k++) {
    const real* src = g.b + (k0 + k) * g.strideB + j;
    real* at = dst + k * NR;
    for (long i = 0; i < whole; i += NR, at += depth * NR) memcpy(at, src + i, NR * sizeof(real));
    if (rest == 0) continue;
    memcpy(at, src + whole, size_t(rest) * sizeof(real));
    memset(at + rest, 0, size_t(NR - rest) * sizeof(real));
  }
}

// The same for one panel of a b that is transposed.
void packPanel(const Gemm& g, long k0, long depth, long j, long width, real* dst) {
  if (width < NR) memset(dst, 0, size_t(depth * NR) * sizeof(real));
  transpose(g.b + j * g.strideB + k0, g.strideB, width < NR ? width : NR, depth, dst, NR);
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

// Rows i0.. i0 + rows of c against one panel of b, columns j0.., depths k0.. k0 + depth; a: packed tiles of MR rows.
void strip(const Gemm& g, long i0, long rows, const real* a, long j0, const real* b, long k0, long depth) {
  const long width = g.n - j0 < NR ? g.n - j0 : NR;
  const bool fresh = k0 == 0 && !g.accumulate, last = k0 + depth == g.k;
  const bool plain = g.bias == nullptr && g.residual == nullptr && g.activation == activation_none;
  const real* const other = !last ? nullptr : g.residual != nullptr ? g.residual : g.slope != nullptr ? g.slope : g.pre;
  for (long i = 0; i < rows; i += MR, a += MR * depth) {
    const long height = rows - i < MR ? rows - i : MR, at = (i0 + i) * g.strideC + j0;
    real* c = g.c + at;
    // What the store will touch is fetched while the product is made.
    for (long r = 0; r < height; r++) {
      __builtin_prefetch(c + r * g.strideC, 1);
      if (other != nullptr) __builtin_prefetch(other + at + r * g.strideC);
    }
    Tile* multiply = tileOf(height);
    if (width == NR && (plain || !last)) {
      multiply(a, 1, MR, b, NR, depth, c, g.strideC, fresh);
      continue;
    }
    alignas(64) real sums[MR * NR];
    if (!fresh)
      for (long r = 0; r < height; r++)
        for (long j = 0; j < NR; j++) sums[r * NR + j] = j < width ? c[r * g.strideC + j] : real(0);
    multiply(a, 1, MR, b, NR, depth, sums, NR, fresh);
    if (last) {
      finish(g, i0 + i, height, j0, width, sums, NR);
    } else {
      for (long r = 0; r < height; r++) memcpy(c + r * g.strideC, sums + r * NR, size_t(width) * sizeof(real));
    }
  }
}

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

// What a product packs of op(b) between two barriers: whole blocks of `deep` rows of some columns.
struct Piece {
  long n0, panels, width;  // its columns
  long k0, end, deep;      // its rows
  real* packed;

  long depthAt(long k) const { return end - k < deep ? end - k : deep; }
  real* blockAt(long k) const { return packed + (k - k0) * panels * NR; }
};

// Packing a piece, in tasks: some panels of a block. Their order is that of the columns, as in `Tasks`.
struct Packing {
  const Gemm& g;
  const Piece& piece;
  long group, blocks, tasks;
  Packing(const Gemm& gemm, const Piece& p, int workers) : g(gemm), piece(p), group(g.transposeB ? 1 : 8) {
    blocks = divideUp(p.end - p.k0, p.deep);
    while (group > 1 && divideUp(p.panels, group) * blocks < 2 * workers) group /= 2;
    tasks = divideUp(p.panels, group) * blocks;
  }
  void run(long task) const {
    const long k = piece.k0 + task % blocks * piece.deep, depth = piece.depthAt(k);
    const long j = task / blocks * group * NR, rest = piece.width - j, width = rest < group * NR ? rest : group * NR;
    real* const to = piece.blockAt(k) + j * depth;
    if (g.transposeB) packPanel(g, k, depth, piece.n0 + j, rest, to);
    else packRows(g, k, depth, piece.n0 + j, width, to);
    if (g.precision == precision_bf16) roundToBf16(to, roundUp(width, NR) * depth);
  }
};

// How c is cut into tasks, several for each worker, so that they even out. Few rows are not cut, but the columns: a task has use enough for
// each panel it reads, and a worker mostly has packed its panels itself.
struct Tasks {
  long height, group, down, count;
  Tasks(const Gemm& g, long panels, int workers) {
    const long tiles = divideUp(g.m, MR), share = tiles / (8 * workers), most = MC / MR;
    const bool tall = share >= most / 2 || panels < 32;
    down = divideUp(tiles, !tall || share > most ? most : share < 4 ? 4 : share);
    height = divideUp(tiles, down) * MR;
    group = panels;
    while (down * divideUp(panels, group) < 2 * workers && group > 8) group = divideUp(group, 2);
    count = down * divideUp(panels, group);
  }
};

}  // namespace

void finish(const Gemm& g, long i0, long rows, long j0, long width, const real* sums, long strideSums) {
  switch (g.activation) {
    case activation_gelu: return finishAll<activation_gelu>(g, i0, rows, j0, width, sums, strideSums);
    case activation_geluGradient: return finishAll<activation_geluGradient>(g, i0, rows, j0, width, sums, strideSums);
    default: return finishAll<activation_none>(g, i0, rows, j0, width, sums, strideSums);
  }
}

// Enough for every product with at most so many rows and columns and at most this depth: a shallower one may have deeper blocks.
Scratch gemmScratch(long m, long n, long k) {
  (void)m;
  const long deep = k < KC ? k : KC, columns = packedColumns(n);
  const long depth = pieceElements / columns > deep ? pieceElements / columns : deep;
  const long pieces = n > NC || k > depth ? 2 : 1;
  Scratch scratch{uint64_t(pieces * (depth < k ? depth : k) * columns) * sizeof(real), uint64_t(MC * deep + VL) * sizeof(real)};
  scratch.cover(narrowScratch(k));
  return scratch;
}

void gemm(Worker& worker, const Gemm& g) {
  if (g.m <= narrowRows && g.precision == precision_f32) return narrowGemm(worker, g);
  real* const ownA = reinterpret_cast<real*>(worker.ownScratch);
  const long deep = depthOf(g.k), columns = packedColumns(g.n), blocks = pieceElements / (columns * deep);
  const long most = (blocks < 1 ? 1 : blocks) * deep, depth = most < g.k ? most : g.k;
  const long down = divideUp(g.k, depth), pieces = down * divideUp(g.n, NC);
  const auto pieceAt = [&](long index) {
    const long n0 = index / down * NC, width = g.n - n0 < NC ? g.n - n0 : NC, k0 = index % down * depth;
    real* const packed = reinterpret_cast<real*>(worker.sharedScratch) + index % 2 * columns * depth;
    return Piece{n0, divideUp(width, NR), width, k0, g.k - k0 < depth ? g.k : k0 + depth, deep, packed};
  };

  Piece piece = pieceAt(0);
  {
    const Packing first(g, piece, worker.count);
    forTasks(worker, first.tasks, [&](long task) { first.run(task); });
  }
  // The next piece is packed while this one is multiplied: its tasks are small and fill up the end.
  for (long index = 0; index < pieces; index++) {
    const Tasks tasks(g, piece.panels, worker.count);
    const Piece next = pieceAt(index + 1 < pieces ? index + 1 : 0);
    const Packing packing(g, next, worker.count);
    startTasks(worker, tasks.count, [&](long task) {
      const long i0 = task % tasks.down * tasks.height, rows = g.m - i0 < tasks.height ? g.m - i0 : tasks.height;
      const long from = task / tasks.down * tasks.group, to = from + tasks.group < piece.panels ? from + tasks.group : piece.panels;
      for (long k = piece.k0; k < piece.end; k += deep) {
        const long thick = piece.depthAt(k);
        packA(g, k, thick, i0, rows, ownA);
        if (g.precision == precision_bf16) roundToBf16(ownA, roundUp(rows, MR) * thick);
        for (long p = from; p < to; p++) strip(g, i0, rows, ownA, piece.n0 + p * NR, piece.blockAt(k) + p * NR * thick, k, thick);
      }
    });
    forTasks(worker, index + 1 < pieces ? packing.tasks : 0, [&](long task) { packing.run(task); });
    piece = next;
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
  g.slope = l.r(b_slope);
  g.activation = int(l.integers[i_activation]);
  g.precision = int(l.integers[i_precision]);
  gemm(worker, g);
}
Scratch scratch_matmul(const Launch& l, int) {
  using namespace kernel_matmul;
  return gemmScratch(l.integers[i_m], l.integers[i_n], l.integers[i_k]);
}
