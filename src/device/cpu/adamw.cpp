// The gradient's global norm, and AdamW over one flat buffer.
#include "launch.h"

namespace {
constexpr long chunk = 16384;
}

void run_gradientNorm(const Launch& l, Worker& worker) {
  using namespace kernel_gradientNorm;
  const long count = l.integers[i_count], chunks = (count + chunk - 1) / chunk;
  const real* g = l.r(b_gradients);
  double* partial = reinterpret_cast<double*>(worker.sharedScratch);
  forTasks(worker, chunks, [&](long task) {
    const long to = (task + 1) * chunk < count ? (task + 1) * chunk : count;
    double lanes[8] = {};
    long i = task * chunk;
    for (; i + 8 <= to; i += 8)
      for (int lane = 0; lane < 8; lane++) lanes[lane] += double(g[i + lane]) * double(g[i + lane]);
    for (int lane = 0; i < to; i++, lane++) lanes[lane] += double(g[i]) * double(g[i]);
    double sum = 0;
    for (double lane : lanes) sum += lane;
    partial[task] = sum;
  });
  forTasks(worker, 1, [&](long) {
    double sum = 0;
    for (long i = 0; i < chunks; i++) sum += partial[i];
    l.r(b_norm)[0] = real(std::sqrt(sum));
  });
}
Scratch scratch_gradientNorm(const Launch& l, int) {
  return {uint64_t((l.integers[kernel_gradientNorm::i_count] + chunk - 1) / chunk) * sizeof(double), 0};
}

void run_adamw(const Launch& l, Worker& worker) {
  using namespace kernel_adamw;
  const long count = l.integers[i_count], decayCount = l.integers[i_decayCount];
  real *weights = l.r(b_weights), *gradients = l.r(b_gradients), *ms = l.r(b_m), *vs = l.r(b_v);
  const real* control = l.r(b_control);
  const real beta1 = real(l.reals[r_beta1]), beta2 = real(l.reals[r_beta2]), epsilon = real(l.reals[r_epsilon]);
  const real norm = l.r(b_norm)[0], maxNorm = real(l.reals[r_maxNorm]);
  const real clip = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : real(1);
  const real rate = control[0], correction1 = control[1], correction2 = control[2], decay = control[3];
  // PyTorch: lr / c1 * m / (sqrt(v) / sqrt(c2) + eps); TensorFlow 1: lr * sqrt(c2) / c1 * m / (sqrt(v) + eps).
  const bool pytorch = l.integers[i_form] == 0;
  const real step = pytorch ? rate / correction1 : rate * std::sqrt(correction2) / correction1;
  const real root = pytorch ? real(1) / std::sqrt(correction2) : real(1);
  forTasks(worker, (count + chunk - 1) / chunk, [&](long task) {
    const long from = task * chunk, to = from + chunk < count ? from + chunk : count;
    const auto range = [&](long a, long b, real shrink) {
      for (long i = a; i < b; i++) {
        const real g = gradients[i] * clip;
        const real m = beta1 * ms[i] + (1 - beta1) * g;
        const real v = beta2 * vs[i] + (1 - beta2) * g * g;
        ms[i] = m;
        vs[i] = v;
        weights[i] = weights[i] * shrink - step * m / (std::sqrt(v) * root + epsilon);
        gradients[i] = 0;
      }
    };
    const long middle = decayCount < from ? from : decayCount > to ? to : decayCount;
    range(from, middle, 1 - rate * decay);
    range(middle, to, real(1));
  });
}
Scratch scratch_adamw(const Launch&, int) { return {}; }
