// A multiple of a vector.
#include "launch.h"

void run_scale(const Launch& l, Worker& worker) {
  using namespace kernel_scale;
  constexpr long chunk = 16384;
  const long count = l.integers[i_count];
  const real *x = l.r(b_x), factor = real(l.reals[r_factor]);
  real* out = l.r(b_out);
  forTasks(worker, (count + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < count ? (task + 1) * chunk : count;
    for (long i = task * chunk; i < to; i++) out[i] = factor * x[i];
  });
}
Scratch scratch_scale(const Launch&, int) { return {}; }
