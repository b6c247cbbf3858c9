// The language-model head: logits exist for a chunk of rows at a time, in scratch.
#include "matmul.h"

namespace {

// Rows whose logits are kept at once: about 16 MB of them, but enough rows that the table's gradient is not rewritten too often.
long chunkRows(long rows, long vocabulary) {
  long chunk = (4L << 20) / vocabulary;
  if (chunk < 256) chunk = 256;
  return chunk < rows ? chunk : rows;
}

// Enough for each of the three products of a chunk.
Scratch productScratch(long chunk, long width, long vocabulary) {
  Scratch scratch = gemmScratch(chunk, vocabulary, width);
  scratch.cover(gemmScratch(chunk, width, vocabulary));
  scratch.cover(gemmScratch(vocabulary, width, chunk));
  return scratch;
}

struct Head {
  const real *x, *table;
  const int32_t* targets;
  long rows, width, vocabulary;
  real inverseTemperature;
  real *logProbability = nullptr, *entropy = nullptr, *logSumExp = nullptr;
  const real *dLogProbability = nullptr, *dEntropy = nullptr, *savedLogSumExp = nullptr, *savedEntropy = nullptr;
  real *dx = nullptr, *dTable = nullptr;
};

// log sum exp of a row of scaled logits, and sum of p * logit.
struct RowStatistics {
  real logSumExp, meanLogit;
};
RowStatistics statistics(const real* logits, long n, real scale) {
  vec most = splat(logits[0]);
  long j = 0;
  for (; j + VL <= n; j += VL) most = larger(most, load(logits + j));
  real top = maxLanes(most);
  for (; j < n; j++) top = logits[j] > top ? logits[j] : top;
  vec sum{}, weighted{};
  for (j = 0; j + VL <= n; j += VL) {
    const vec z = (load(logits + j) - top) * scale;
    const vec e = exponential(z);
    sum += e;
    weighted += e * z;
  }
  real total = sumLanes(sum), mean = sumLanes(weighted);
  if (j < n) {
    const vec z = (loadPart(logits + j, n - j) - top) * scale;
    const vec e = exponential(z);
    for (long i = 0; i < n - j; i++) {
      total += e[i];
      mean += e[i] * z[i];
    }
  }
  return {top * scale + std::log(total), mean / total + top * scale};
}

// Replaces a row of logits by the derivatives with respect to them.
void differentiate(real* logits, long n, real scale, real lse, long target, real dLogProbability, real dEntropy, real entropy) {
  for (long j = 0; j < n; j += VL) {
    const vec z = loadPart(logits + j, n - j) * scale - lse;
    const vec p = exponential(z);
    vec d = p * (-dLogProbability);
    if (dEntropy != 0) d -= p * (z + entropy) * dEntropy;
    storePart(logits + j, d * scale, n - j);
  }
  logits[target] += dLogProbability * scale;
}

void head(Worker& worker, const Head& h) {
  const long chunk = chunkRows(h.rows, h.vocabulary);
  const Scratch product = productScratch(chunk, h.width, h.vocabulary);
  real* logits = reinterpret_cast<real*>(worker.sharedScratch + roundUp(long(product.shared), 64));
  const bool backward = h.dx != nullptr;
  for (long from = 0; from < h.rows; from += chunk) {
    const long rows = h.rows - from < chunk ? h.rows - from : chunk;
    const real* x = h.x + from * h.width;
    Gemm forward{x, h.table, logits, rows, h.vocabulary, h.width, h.width, h.width, h.vocabulary};
    forward.transposeB = true;
    gemm(worker, forward);
    forTasks(worker, rows, [&](long row) {
      real* z = logits + row * h.vocabulary;
      const long at = from + row, target = h.targets[at];
      if (target >= h.vocabulary) worker.fault(at, target, h.vocabulary);
      if (target < 0 || target >= h.vocabulary) {
        if (h.logProbability != nullptr) h.logProbability[at] = 0;
        if (h.entropy != nullptr) h.entropy[at] = 0;
        if (h.logSumExp != nullptr) h.logSumExp[at] = 0;
        if (backward) memset(z, 0, size_t(h.vocabulary) * sizeof(real));
        return;
      }
      real lse = h.savedLogSumExp != nullptr ? h.savedLogSumExp[at] : 0;
      if (h.logProbability != nullptr) {
        const RowStatistics s = statistics(z, h.vocabulary, h.inverseTemperature);
        lse = s.logSumExp;
        h.logProbability[at] = z[target] * h.inverseTemperature - lse;
        if (h.entropy != nullptr) h.entropy[at] = lse - s.meanLogit;
        if (h.logSumExp != nullptr) h.logSumExp[at] = lse;
      }
      if (backward) {
        const real dEntropy = h.dEntropy != nullptr ? h.dEntropy[at] : 0;
        const real entropy = h.savedEntropy != nullptr ? h.savedEntropy[at] : 0;
        differentiate(z, h.vocabulary, h.inverseTemperature, lse, target, h.dLogProbability[at], dEntropy, entropy);
      }
    });
    if (!backward) continue;
    gemm(worker, {logits, h.table, h.dx + from * h.width, rows, h.width, h.vocabulary, h.vocabulary, h.width, h.width});
    Gemm table{logits, x, h.dTable, h.vocabulary, h.width, rows, h.vocabulary, h.width, h.width};
    table.transposeA = true;
    table.accumulate = true;
    gemm(worker, table);
  }
}

Scratch headScratch(long rows, long width, long vocabulary) {
  const long chunk = chunkRows(rows, vocabulary);
  Scratch scratch = productScratch(chunk, width, vocabulary);
  scratch.shared = uint64_t(roundUp(long(scratch.shared), 64)) + uint64_t(chunk) * uint64_t(vocabulary) * sizeof(real);
  return scratch;
}

}  // namespace

#define HEAD(name)                                                                                                      \
  using namespace kernel_##name;                                                                                        \
  Head h{l.r(b_x), l.r(b_table), l.n(b_targets), l.integers[i_rows], l.integers[i_width], l.integers[i_vocabulary], \
         real(l.reals[r_inverseTemperature])};
#define HEAD_SCRATCH(name)                               \
  Scratch scratch_##name(const Launch& l, int) {         \
    using namespace kernel_##name;                       \
    return headScratch(l.integers[i_rows], l.integers[i_width], l.integers[i_vocabulary]); \
  }

void run_lmHead(const Launch& l, Worker& worker) {
  HEAD(lmHead)
  h.logProbability = l.r(b_logProbability);
  h.entropy = l.r(b_entropy);
  h.logSumExp = l.r(b_logSumExp);
  head(worker, h);
}
HEAD_SCRATCH(lmHead)

void run_lmHeadGradient(const Launch& l, Worker& worker) {
  HEAD(lmHeadGradient)
  h.savedLogSumExp = l.r(b_logSumExp);
  h.savedEntropy = l.r(b_entropy);
  h.dLogProbability = l.r(b_dLogProbability);
  h.dEntropy = l.r(b_dEntropy);
  h.dx = l.r(b_dx);
  h.dTable = l.r(b_dTable);
  head(worker, h);
}
HEAD_SCRATCH(lmHeadGradient)

void run_lmHeadLoss(const Launch& l, Worker& worker) {
  HEAD(lmHeadLoss)
  h.logProbability = l.r(b_logProbability);
  h.dLogProbability = l.r(b_dLogProbability);
  h.dx = l.r(b_dx);
  h.dTable = l.r(b_dTable);
  head(worker, h);
}
HEAD_SCRATCH(lmHeadLoss)
