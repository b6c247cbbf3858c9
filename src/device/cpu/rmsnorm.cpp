// Root-mean-square normalisation, forward and backward.
#include "launch.h"

void run_rmsnorm(const Launch& l, Worker& worker) {
  using namespace kernel_rmsnorm;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real *x = l.r(b_x), *gamma = l.r(b_gamma);
  real *out = l.r(b_out), *rstds = l.r(b_rstd);
  const real epsilon = real(l.reals[r_epsilon]);
  constexpr long chunk = 32;
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) {
      const real* in = x + row * width;
      real* y = out + row * width;
      // Beyond the row x is 0, and so is its square.
      vec squares{};
      for (long j = 0; j < width; j += VL) {
        const vec part = loadPart(in + j, width - j);
        squares = fused(part, part, squares);
      }
      const real rstd = real(1) / std::sqrt(sumLanes(squares) / real(width) + epsilon);
      for (long j = 0; j < width; j += VL) storePart(y + j, loadPart(in + j, width - j) * rstd * loadPart(gamma + j, width - j), width - j);
      rstds[row] = rstd;
    }
  });
}
Scratch scratch_rmsnorm(const Launch&, int) { return {}; }

// With n = x rstd and d = dOut gamma: dx = rstd (d - n mean(d n)).
void run_rmsnormGradient(const Launch& l, Worker& worker) {
  using namespace kernel_rmsnormGradient;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real *dOut = l.r(b_dOut), *x = l.r(b_x), *gamma = l.r(b_gamma), *rstds = l.r(b_rstd), *dResidual = l.r(b_dResidual);
  real* dx = l.r(b_dx);
  real* partial = reinterpret_cast<real*>(worker.sharedScratch);
  forTasks(worker, rowBlocks, [&](long block) {
    real* dGamma = partial + block * width;
    for (long j = 0; j < width; j++) dGamma[j] = 0;
    for (long row = blockStart(rows, block); row < blockStart(rows, block + 1); row++) {
      const real *d = dOut + row * width, *in = x + row * width;
      const real rstd = rstds[row];
      vec sum{};
      for (long j = 0; j < width; j += VL) {
        const long n = width - j;
        sum += loadPart(d + j, n) * loadPart(gamma + j, n) * (loadPart(in + j, n) * rstd);
      }
      const real mean = sumLanes(sum) / real(width);
      for (long j = 0; j < width; j += VL) {
        const long n = width - j;
        const vec out = loadPart(d + j, n), normal = loadPart(in + j, n) * rstd;
        storePart(dGamma + j, loadPart(dGamma + j, n) + out * normal, n);
        vec value = (out * loadPart(gamma + j, n) - normal * mean) * rstd;
        if (dResidual != nullptr) value += loadPart(dResidual + row * width + j, n);
        storePart(dx + row * width + j, value, n);
      }
    }
  });
  addRowBlocks(worker, partial, width, width, l.r(b_dGamma));
}
Scratch scratch_rmsnormGradient(const Launch& l, int) {
  return {uint64_t(rowBlocks * l.integers[kernel_rmsnormGradient::i_width]) * sizeof(real), 0};
}
