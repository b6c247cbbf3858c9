// Layer normalisation, forward and backward.
#include "launch.h"

namespace {
// Sum of f(j) over a row: whole vectors lane by lane, then the lanes, then the tail, in this order.
template <class Term>
INLINE real rowSum(long width, Term term) {
  vec sum{};
  long j = 0;
  for (; j + VL <= width; j += VL) sum += term(j, VL);
  real total = sumLanes(sum);
  if (j < width) {
    const vec tail = term(j, width - j);
    for (long i = 0; i < width - j; i++) total += tail[i];
  }
  return total;
}
}  // namespace

void run_layernorm(const Launch& l, Worker& worker) {
  using namespace kernel_layernorm;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real *x = l.r(b_x), *gamma = l.r(b_gamma), *beta = l.r(b_beta);
  real *out = l.r(b_out), *means = l.r(b_mean), *rstds = l.r(b_rstd);
  const real epsilon = real(l.reals[r_epsilon]);
  constexpr long chunk = 8;
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) {
      const real* in = x + row * width;
      real* y = out + row * width;
      const real mean = rowSum(width, [&](long j, long n) { return loadPart(in + j, n); }) / real(width);
      const real variance = rowSum(width, [&](long j, long n) {
                              const vec d = loadPart(in + j, n) - mean;
                              return d * d;
                            }) / real(width);
      const real rstd = real(1) / std::sqrt(variance + epsilon);
      for (long j = 0; j < width; j += VL) {
        const long n = width - j;
        storePart(y + j, (loadPart(in + j, n) - mean) * rstd * loadPart(gamma + j, n) + loadPart(beta + j, n), n);
      }
      means[row] = mean;
      rstds[row] = rstd;
    }
  });
}
Scratch scratch_layernorm(const Launch&, int) { return {}; }

// With n = (x - mean) rstd and d = dOut gamma: dx = rstd (d - mean(d) - n mean(d n)).
void run_layernormGradient(const Launch& l, Worker& worker) {
  using namespace kernel_layernormGradient;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const real *dOut = l.r(b_dOut), *x = l.r(b_x), *gamma = l.r(b_gamma), *means = l.r(b_mean), *rstds = l.r(b_rstd);
  const real* dResidual = l.r(b_dResidual);
  real* dx = l.r(b_dx);
  real* partial = reinterpret_cast<real*>(worker.sharedScratch);
  forTasks(worker, rowBlocks, [&](long block) {
    real* dGamma = partial + block * 2 * width;
    real* dBeta = dGamma + width;
    for (long j = 0; j < 2 * width; j++) dGamma[j] = 0;
    for (long row = blockStart(rows, block); row < blockStart(rows, block + 1); row++) {
      const real *d = dOut + row * width, *in = x + row * width;
      const real mean = means[row], rstd = rstds[row];
      // Beyond the row d is 0, and so is every term.
      vec sumD{}, sumDn{};
      for (long j = 0; j < width; j += VL) {
        const vec scaled = loadPart(d + j, width - j) * loadPart(gamma + j, width - j);
        sumD += scaled;
        sumDn += scaled * ((loadPart(in + j, width - j) - mean) * rstd);
      }
      const real meanD = sumLanes(sumD) / real(width), meanDn = sumLanes(sumDn) / real(width);
      for (long j = 0; j < width; j += VL) {
        const long n = width - j;
        const vec out = loadPart(d + j, n);
        const vec normal = (loadPart(in + j, n) - mean) * rstd;
        storePart(dGamma + j, loadPart(dGamma + j, n) + out * normal, n);
        storePart(dBeta + j, loadPart(dBeta + j, n) + out, n);
        vec value = (out * loadPart(gamma + j, n) - meanD - normal * meanDn) * rstd;
        if (dResidual != nullptr) value += loadPart(dResidual + row * width + j, n);
        storePart(dx + row * width + j, value, n);
      }
    }
  });
  addRowBlocks(worker, partial, 2 * width, width, l.r(b_dGamma));
  addRowBlocks(worker, partial + width, 2 * width, width, l.r(b_dBeta));
}
Scratch scratch_layernormGradient(const Launch& l, int) {
  return {uint64_t(rowBlocks * 2 * l.integers[kernel_layernormGradient::i_width]) * sizeof(real), 0};
}
