// The value or reward head: one real output a row.
#include "launch.h"

void run_scalarHead(const Launch& l, Worker& worker) {
  using namespace kernel_scalarHead;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real *x = l.r(b_x), *weight = l.r(b_weight), bias = l.r(b_bias)[0];
  real* out = l.r(b_out);
  constexpr long chunk = 64;
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) {
      vec sum{};
      for (long j = 0; j < width; j += VL) sum += loadPart(x + row * width + j, width - j) * loadPart(weight + j, width - j);
      out[row] = sumLanes(sum) + bias;
    }
  });
}
Scratch scratch_scalarHead(const Launch&, int) { return {}; }

void run_scalarHeadGradient(const Launch& l, Worker& worker) {
  using namespace kernel_scalarHeadGradient;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const bool accumulate = l.integers[i_accumulate] != 0;
  const real *x = l.r(b_x), *weight = l.r(b_weight), *dOut = l.r(b_dOut);
  real* dx = l.r(b_dx);
  // Behind each block's weight sums lies its bias sum.
  const long stride = width + 1;
  real* partial = reinterpret_cast<real*>(worker.sharedScratch);
  forTasks(worker, rowBlocks, [&](long block) {
    real* sum = partial + block * stride;
    for (long j = 0; j < stride; j++) sum[j] = 0;
    for (long row = blockStart(rows, block); row < blockStart(rows, block + 1); row++) {
      const real d = dOut[row];
      for (long j = 0; j < width; j++) {
        sum[j] += d * x[row * width + j];
        const real value = d * weight[j];
        dx[row * width + j] = accumulate ? dx[row * width + j] + value : value;
      }
      sum[width] += d;
    }
  });
  addRowBlocks(worker, partial, stride, width, l.r(b_dWeight));
  addRowBlocks(worker, partial + width, stride, 1, l.r(b_dBias));
}
Scratch scratch_scalarHeadGradient(const Launch& l, int) {
  return {uint64_t(rowBlocks * (l.integers[kernel_scalarHeadGradient::i_width] + 1)) * sizeof(real), 0};
}
