// The language-model head: logits exist for a chunk of rows at a time, in scratch, and for the rows that have a target only.
#include "matmul.h"
#include "softmax.h"

namespace {

// Rows whose logits are kept at once: about 16 MB of them, but enough rows that the table's gradient is not rewritten too often.
long chunkRows(long rows, long vocabulary) {
  long chunk = (4L << 20) / vocabulary;
  if (chunk < 256) chunk = 256;
  return chunk < rows ? chunk : rows;
}

struct Head {
  const real *x, *table;
  const int32_t* targets;
  long rows, width, vocabulary;
  real inverseTemperature;
  int precision;
  real *logProbability = nullptr, *entropy = nullptr, *logSumExp = nullptr;
  const real *dLogProbability = nullptr, *dEntropy = nullptr, *savedLogSumExp = nullptr, *savedEntropy = nullptr;
  real *dx = nullptr, *dTable = nullptr;
};

// Behind the scratch of the products: the rows that have a target, and a chunk of them.
struct Chunk {
  Scratch product;
  uint64_t counted, rows, x, logits, dx, end;
  Chunk(long allRows, long width, long vocabulary) {
    const long chunk = chunkRows(allRows, vocabulary);
    product = gemmScratch(chunk, vocabulary, width);
    product.cover(gemmScratch(chunk, width, vocabulary));
    product.cover(gemmScratch(vocabulary, width, chunk));
    counted = uint64_t(roundUp(long(product.shared), 64));
    rows = counted + 64;
    x = rows + uint64_t(roundUp(allRows * long(sizeof(int32_t)), 64));
    logits = x + uint64_t(roundUp(chunk * width * long(sizeof(real)), 64));
    dx = logits + uint64_t(roundUp(chunk * vocabulary * long(sizeof(real)), 64));
    end = dx + uint64_t(chunk * width) * sizeof(real);
  }
};

// Replaces a row of logits by the derivatives with respect to them.
void differentiate(real* logits, long n, real scale, real lse, long target, real dLogProbability, real dEntropy, real entropy) {
  for (long j = 0; j < n; j += VL) {
    const vec z = loadPart(logits + j, n - j) * scale - lse;
    storePart(logits + j, exponential(z) * (-scale * (dLogProbability + dEntropy * (z + entropy))), n - j);
  }
  logits[target] += scale * dLogProbability;
}

// A row's statistics, where they are wanted, then its derivatives, where they are.
void headRow(const Head& h, long row, real* z) {
  const long target = h.targets[row];
  real logSumExp = h.savedLogSumExp != nullptr ? h.savedLogSumExp[row] : 0;
  if (h.logProbability != nullptr) {
    const RowStatistics s = rowStatistics(z, h.vocabulary, h.inverseTemperature);
    logSumExp = s.logSumExp;
    h.logProbability[row] = logProbability(z[target], h.inverseTemperature, logSumExp);
    if (h.entropy != nullptr) h.entropy[row] = s.entropy;
    if (h.logSumExp != nullptr) h.logSumExp[row] = logSumExp;
  }
  if (h.dx == nullptr) return;
  const real dEntropy = h.dEntropy != nullptr ? h.dEntropy[row] : 0, entropy = h.savedEntropy != nullptr ? h.savedEntropy[row] : 0;
  differentiate(z, h.vocabulary, h.inverseTemperature, logSumExp, target, h.dLogProbability[row], dEntropy, entropy);
}

// Puts the rows that have a target in order and settles the others.
void selectRows(const Head& h, Worker& worker, int32_t* rows, long* counted) {
  long count = 0;
  for (long row = 0; row < h.rows; row++) {
    const long target = h.targets[row];
    if (target >= h.vocabulary) worker.fault(row, target, h.vocabulary);
    if (target >= 0 && target < h.vocabulary) {
      rows[count++] = int32_t(row);
      continue;
    }
    if (h.logProbability != nullptr) h.logProbability[row] = 0;
    if (h.entropy != nullptr) h.entropy[row] = 0;
    if (h.logSumExp != nullptr) h.logSumExp[row] = 0;
    if (h.dx != nullptr) memset(h.dx + row * h.width, 0, size_t(h.width) * sizeof(real));
  }
  *counted = count;
}

void head(Worker& worker, const Head& h) {
  const Chunk chunk(h.rows, h.width, h.vocabulary);
  const auto at = [&](uint64_t offset) { return reinterpret_cast<real*>(worker.sharedScratch + offset); };
  real* const logits = at(chunk.logits);
  long* const counted = reinterpret_cast<long*>(at(chunk.counted));
  int32_t* index = reinterpret_cast<int32_t*>(at(chunk.rows));
  forTasks(worker, 1, [&](long) { selectRows(h, worker, index, counted); });
  const long most = chunkRows(h.rows, h.vocabulary), all = *counted;
  const bool whole = all == h.rows;
  for (long from = 0; from < all; from += most, index += most) {
    const long rows = all - from < most ? all - from : most;
    // Rows of few targets are brought together; if all have one, they lie together.
    const real* const x = whole ? h.x + from * h.width : at(chunk.x);
    real* const dx = whole ? h.dx + from * h.width : at(chunk.dx);
    const auto copyRows = [&](auto copy) {
      constexpr long together = 16;
      forTasks(worker, whole ? 0 : divideUp(rows, together), [&](long part) {
        for (long i = part * together; i < rows && i < (part + 1) * together; i++) copy(i, index[i] * h.width);
      });
    };
    const size_t rowBytes = size_t(h.width) * sizeof(real);
    copyRows([&](long i, long row) { memcpy(at(chunk.x) + i * h.width, h.x + row, rowBytes); });
    Gemm forward{x, h.table, logits, rows, h.vocabulary, h.width, h.width, h.width, h.vocabulary};
    forward.transposeB = true;
    forward.precision = h.precision;
    forward.training = h.dx != nullptr;
    gemm(worker, forward);
    forTasks(worker, rows, [&](long i) { headRow(h, index[i], logits + i * h.vocabulary); });
    if (h.dx == nullptr) continue;
    Gemm back{logits, h.table, dx, rows, h.width, h.vocabulary, h.vocabulary, h.width, h.width};
    back.precision = h.precision;
    back.training = true;
    gemm(worker, back);
    if (h.dTable != nullptr) {
      Gemm table{logits, x, h.dTable, h.vocabulary, h.width, rows, h.vocabulary, h.width, h.width};
      table.transposeA = true;
      table.accumulate = true;
      table.precision = h.precision;
      table.training = true;
      gemm(worker, table);
    }
    copyRows([&](long i, long row) { memcpy(h.dx + row, dx + i * h.width, rowBytes); });
  }
}

Scratch headScratch(long rows, long width, long vocabulary) {
  const Chunk chunk(rows, width, vocabulary);
  return {chunk.end, chunk.product.own};
}

}  // namespace

#define HEAD(name)                                                                                                      \
  using namespace kernel_##name;                                                                                        \
  Head h{l.r(b_x), l.r(b_table), l.n(b_targets), l.integers[i_rows], l.integers[i_width], l.integers[i_vocabulary], \
         real(l.reals[r_inverseTemperature]), int(l.integers[i_precision])};
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
