// Fill, add, GELU, and the column sums of a bias's gradient.
#include "launch.h"

namespace {
constexpr long chunk = 16384;

template <class Range>
void forRanges(Worker& worker, long count, Range range) {
  forTasks(worker, (count + chunk - 1) / chunk, [&](long task) {
    const long from = task * chunk;
    range(from, from + chunk < count ? from + chunk : count);
  });
}
}  // namespace

void run_fill(const Launch& l, Worker& worker) {
  using namespace kernel_fill;
  real* out = l.r(b_out);
  const real value = real(l.reals[r_value]);
  forRanges(worker, l.integers[i_count], [&](long from, long to) {
    for (long i = from; i < to; i++) out[i] = value;
  });
}
Scratch scratch_fill(const Launch&, int) { return {}; }

void run_add(const Launch& l, Worker& worker) {
  using namespace kernel_add;
  const real *a = l.r(b_a), *b = l.r(b_b);
  real* out = l.r(b_out);
  forRanges(worker, l.integers[i_count], [&](long from, long to) {
    for (long i = from; i < to; i++) out[i] = a[i] + b[i];
  });
}
Scratch scratch_add(const Launch&, int) { return {}; }

void run_gelu(const Launch& l, Worker& worker) {
  using namespace kernel_gelu;
  const real* x = l.r(b_x);
  real *out = l.r(b_out), *slopes = l.r(b_slope);
  forRanges(worker, l.integers[i_count], [&](long from, long to) {
    for (long i = from; i < to; i += VL) {
      vec slope;
      storePart(out + i, gelu(loadPart(x + i, to - i), slope), to - i);
      storePart(slopes + i, slope, to - i);
    }
  });
}
Scratch scratch_gelu(const Launch&, int) { return {}; }

void run_biasGradient(const Launch& l, Worker& worker) {
  using namespace kernel_biasGradient;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real* dOut = l.r(b_dOut);
  real* partial = reinterpret_cast<real*>(worker.sharedScratch);
  forTasks(worker, rowBlocks, [&](long block) {
    real* sum = partial + block * width;
    for (long j = 0; j < width; j++) sum[j] = 0;
    for (long row = blockStart(rows, block); row < blockStart(rows, block + 1); row++) {
      const real* d = dOut + row * width;
      for (long j = 0; j < width; j++) sum[j] += d[j];
    }
  });
  addRowBlocks(worker, partial, width, width, l.r(b_dBias));
}
Scratch scratch_biasGradient(const Launch& l, int) {
  return {uint64_t(rowBlocks * l.integers[kernel_biasGradient::i_width]) * sizeof(real), 0};
}

void addRowBlocks(Worker& worker, const real* partial, long stride, long width, real* out) {
  constexpr long columns = 64;
  forTasks(worker, (width + columns - 1) / columns, [&](long task) {
    const long from = task * columns, to = from + columns < width ? from + columns : width;
    real sum[columns] = {};
    for (long block = 0; block < rowBlocks; block++)
      for (long j = from; j < to; j++) sum[j - from] += partial[block * stride + j];
    for (long j = from; j < to; j++) out[j] += sum[j - from];
  });
}
