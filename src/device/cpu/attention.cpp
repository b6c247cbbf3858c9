// Causal attention over whole sequences. A task is one (sequence, head); scores exist for a block of queries at a time only.
#include "matmul.h"

namespace {

constexpr long queryBlock = 8 * MR;  // queries whose scores are kept at once in the backward pass

struct Sizes {
  long batch, length, heads, width, keys;  // width of a head; keys: length rounded up to whole tiles
  long row() const { return 3 * heads * width; }
};

template <class Integers>
Sizes sizes(const Integers& integers, int batch, int length, int heads, int headWidth) {
  const long t = integers[length];
  return {integers[batch], t, integers[heads], integers[headWidth], roundUp(t, NR)};
}

// dst[d][keys] = src[t][d], 0 beyond the length.
void transpose(const real* src, long stride, const Sizes& s, real* dst) {
  for (long d = 0; d < s.width; d++) {
    real* out = dst + d * s.keys;
    for (long t = 0; t < s.length; t++) out[t] = src[t * stride + d];
    for (long t = s.length; t < s.keys; t++) out[t] = 0;
  }
}

// dst[t][padded] = src[t][d] * scale, 0 in columns beyond the head's width and in rows beyond the length.
void gather(const real* src, long stride, long rows, long padRows, long width, long padded, real scale, real* dst) {
  for (long t = 0; t < padRows; t++) {
    real* out = dst + t * padded;
    for (long d = 0; d < padded; d++) out[d] = t < rows && d < width ? src[t * stride + d] * scale : real(0);
  }
}

// out[i][j] for MR rows and columns [0, columns), columns a multiple of NR: a[i][k] . b[k][j].
INLINE void product(const real* a, long rowA, long stepA, const real* b, long rowB, long depth, long columns, real* out, long rowOut,
                    bool add) {
  for (long j = 0; j < columns; j += NR) {
    vec acc[MR][NV];
    for (int i = 0; i < MR; i++)
      for (int v = 0; v < NV; v++) acc[i][v] = add ? load(out + i * rowOut + j + v * VL) : vec{};
    multiplyTile<MR>(acc, a, rowA, stepA, b + j, rowB, depth);
    for (int i = 0; i < MR; i++)
      for (int v = 0; v < NV; v++) store(out + i * rowOut + j + v * VL, acc[i][v]);
  }
}

// The lanes of a vector at j that are keys a query at `query` may see.
INLINE vec keepVisible(vec value, long j, long query) {
  if (j + VL - 1 <= query) return value;
  for (long i = 0; i < VL; i++)
    if (j + i > query) value[i] = 0;
  return value;
}

struct Forward {
  long padded;
  uint64_t keysT, values, query, scores, out, end;
};
Forward forwardLayout(const Sizes& s) {
  Forward f;
  f.padded = roundUp(s.width, NR);
  f.keysT = 0;
  f.values = f.keysT + s.width * s.keys;
  f.query = f.values + s.keys * f.padded;
  f.scores = f.query + MR * s.width;
  f.out = f.scores + MR * s.keys;
  f.end = f.out + MR * f.padded;
  return f;
}

struct Backward {
  long padded;
  uint64_t keysT, valuesT, keys, queries, dOuts, scores, dScores, dQuery, dKeys, dValues, end;
};
Backward backwardLayout(const Sizes& s) {
  Backward f;
  f.padded = roundUp(s.width, NR);
  const uint64_t rows = roundUp(s.length, queryBlock > MR ? queryBlock : MR) + NR;
  f.keysT = 0;
  f.valuesT = f.keysT + s.width * s.keys;
  f.keys = f.valuesT + s.width * s.keys;
  f.queries = f.keys + rows * f.padded;
  f.dOuts = f.queries + rows * f.padded;
  f.scores = f.dOuts + rows * f.padded;
  f.dScores = f.scores + queryBlock * (s.keys + MR);
  f.dQuery = f.dScores + queryBlock * (s.keys + MR);
  f.dKeys = f.dQuery + MR * f.padded;
  f.dValues = f.dKeys + rows * f.padded;
  f.end = f.dValues + rows * f.padded;
  return f;
}

}  // namespace

void run_attention(const Launch& l, Worker& worker) {
  using namespace kernel_attention;
  const Sizes s = sizes(l.integers, i_batch, i_length, i_heads, i_headWidth);
  const Forward f = forwardLayout(s);
  const real* qkv = l.r(b_qkv);
  real *out = l.r(b_out), *logSumExp = l.r(b_logSumExp);
  const long c = s.heads * s.width;
  const real scale = real(1) / std::sqrt(real(s.width));
  real* own = reinterpret_cast<real*>(worker.ownScratch);
  real *keysT = own + f.keysT, *values = own + f.values, *query = own + f.query, *scores = own + f.scores, *mixed = own + f.out;
  forTasks(worker, s.batch * s.heads, [&](long task) {
    const long b = task / s.heads, h = task % s.heads;
    const real* base = qkv + b * s.length * s.row() + h * s.width;
    transpose(base + c, s.row(), s, keysT);
    gather(base + 2 * c, s.row(), s.length, s.keys, s.width, f.padded, real(1), values);
    for (long q0 = 0; q0 < s.length; q0 += MR) {
      const long rows = s.length - q0 < MR ? s.length - q0 : MR;
      gather(base + q0 * s.row(), s.row(), rows, MR, s.width, s.width, scale, query);
      const long columns = roundUp(q0 + rows, NR);
      product(query, s.width, 1, keysT, s.keys, s.width, columns, scores, s.keys, false);
      real inverse[MR] = {};
      for (long i = 0; i < rows; i++) {
        real* row = scores + i * s.keys;
        const long last = q0 + i;
        vec most = splat(row[0]);
        long j = 0;
        for (; j + VL <= last + 1; j += VL) most = larger(most, load(row + j));
        real top = maxLanes(most);
        for (; j <= last; j++) top = row[j] > top ? row[j] : top;
        vec sum{};
        for (j = 0; j < columns; j += VL) {
          const vec p = j <= last ? keepVisible(exponential(load(row + j) - top), j, last) : vec{};
          store(row + j, p);
          sum += p;
        }
        const real total = sumLanes(sum);
        inverse[i] = real(1) / total;
        logSumExp[(b * s.heads + h) * s.length + last] = top + std::log(total);
      }
      for (long i = rows; i < MR; i++) memset(scores + i * s.keys, 0, size_t(columns) * sizeof(real));
      product(scores, s.keys, 1, values, f.padded, q0 + rows, f.padded, mixed, f.padded, false);
      for (long i = 0; i < rows; i++) {
        real* to = out + (b * s.length + q0 + i) * c + h * s.width;
        for (long d = 0; d < s.width; d++) to[d] = mixed[i * f.padded + d] * inverse[i];
      }
    }
  });
}
Scratch scratch_attention(const Launch& l, int) {
  using namespace kernel_attention;
  return {0, forwardLayout(sizes(l.integers, i_batch, i_length, i_heads, i_headWidth)).end * sizeof(real)};
}

// dV = P^T dO; dS = P (dO V^T - rowsum(dO O)); dQ = scale dS K; dK = scale dS^T Q (Dao 2022, algorithm 4).
void run_attentionGradient(const Launch& l, Worker& worker) {
  using namespace kernel_attentionGradient;
  const Sizes s = sizes(l.integers, i_batch, i_length, i_heads, i_headWidth);
  const Backward f = backwardLayout(s);
  const real *qkv = l.r(b_qkv), *out = l.r(b_out), *logSumExp = l.r(b_logSumExp), *dOut = l.r(b_dOut);
  real* dQkv = l.r(b_dQkv);
  const long c = s.heads * s.width;
  const real scale = real(1) / std::sqrt(real(s.width));
  real* own = reinterpret_cast<real*>(worker.ownScratch);
  real *keysT = own + f.keysT, *valuesT = own + f.valuesT, *keys = own + f.keys, *queries = own + f.queries, *dOuts = own + f.dOuts,
       *scores = own + f.scores, *dScores = own + f.dScores, *dQuery = own + f.dQuery, *dKeys = own + f.dKeys,
       *dValues = own + f.dValues;
  const long rowsPadded = roundUp(s.length, queryBlock) + NR;
  const long stride = s.keys;
  forTasks(worker, s.batch * s.heads, [&](long task) {
    const long b = task / s.heads, h = task % s.heads;
    const real* base = qkv + b * s.length * s.row() + h * s.width;
    const real* outBase = out + b * s.length * c + h * s.width;
    const real* dOutBase = dOut + b * s.length * c + h * s.width;
    const real* lse = logSumExp + (b * s.heads + h) * s.length;
    transpose(base + c, s.row(), s, keysT);
    transpose(base + 2 * c, s.row(), s, valuesT);
    gather(base, s.row(), s.length, rowsPadded, s.width, f.padded, scale, queries);
    gather(base + c, s.row(), s.length, rowsPadded, s.width, f.padded, scale, keys);
    gather(dOutBase, c, s.length, rowsPadded, s.width, f.padded, real(1), dOuts);
    memset(dKeys, 0, size_t(rowsPadded * f.padded) * sizeof(real));
    memset(dValues, 0, size_t(rowsPadded * f.padded) * sizeof(real));
    for (long q0 = 0; q0 < s.length; q0 += queryBlock) {
      const long rows = s.length - q0 < queryBlock ? s.length - q0 : queryBlock;
      const long seen = roundUp(q0 + rows, NR);
      for (long i0 = 0; i0 < rows; i0 += MR) {
        const long columns = roundUp(q0 + i0 + MR < s.length ? q0 + i0 + MR : s.length, NR);
        product(queries + (q0 + i0) * f.padded, f.padded, 1, keysT, s.keys, s.width, columns, scores + i0 * stride, stride, false);
        product(dOuts + (q0 + i0) * f.padded, f.padded, 1, valuesT, s.keys, s.width, columns, dScores + i0 * stride, stride, false);
        for (long i = i0; i < i0 + MR; i++) {
          real *p = scores + i * stride, *dp = dScores + i * stride;
          const long last = q0 + i;
          if (i >= rows) {
            memset(p, 0, size_t(seen) * sizeof(real));
            memset(dp, 0, size_t(seen) * sizeof(real));
            continue;
          }
          real delta = 0;
          for (long d = 0; d < s.width; d++) delta += dOutBase[last * c + d] * outBase[last * c + d];
          long j = 0;
          for (; j <= last; j += VL) {
            const vec probability = keepVisible(exponential(load(p + j) - lse[last]), j, last);
            store(p + j, probability);
            store(dp + j, probability * (load(dp + j) - delta));
          }
          for (; j < seen; j += VL) {
            store(p + j, vec{});
            store(dp + j, vec{});
          }
        }
        product(dScores + i0 * stride, stride, 1, keys, f.padded, q0 + (i0 + MR < rows ? i0 + MR : rows), f.padded, dQuery, f.padded,
                false);
        for (long i = i0; i < (i0 + MR < rows ? i0 + MR : rows); i++) {
          real* to = dQkv + (b * s.length + q0 + i) * s.row() + h * s.width;
          for (long d = 0; d < s.width; d++) to[d] = dQuery[(i - i0) * f.padded + d];
        }
      }
      const long depth = roundUp(rows, MR);
      for (long j = 0; j < q0 + rows; j += MR) {
        product(dScores + j, 1, stride, queries + q0 * f.padded, f.padded, depth, f.padded, dKeys + j * f.padded, f.padded, true);
        product(scores + j, 1, stride, dOuts + q0 * f.padded, f.padded, depth, f.padded, dValues + j * f.padded, f.padded, true);
      }
    }
    for (long t = 0; t < s.length; t++) {
      real* to = dQkv + (b * s.length + t) * s.row() + h * s.width;
      for (long d = 0; d < s.width; d++) {
        to[c + d] = dKeys[t * f.padded + d];
        to[2 * c + d] = dValues[t * f.padded + d];
      }
    }
  });
}
Scratch scratch_attentionGradient(const Launch& l, int) {
  using namespace kernel_attentionGradient;
  return {0, backwardLayout(sizes(l.integers, i_batch, i_length, i_heads, i_headWidth)).end * sizeof(real)};
}
