// SwiGLU: silu(gate) * up, the gate and the up half beside each other in a row; forward and backward.
#include "launch.h"

namespace {
constexpr long chunk = 16;

template <class Row>
void forRows(Worker& worker, long rows, Row body) {
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) body(row);
  });
}

INLINE vec sigmoid(vec x) { return real(1) / (exponential(-x) + real(1)); }
}  // namespace

void run_swiglu(const Launch& l, Worker& worker) {
  using namespace kernel_swiglu;
  const long width = l.integers[i_width];
  forRows(worker, l.integers[i_rows], [&](long row) {
    const real *gate = l.r(b_x) + row * 2 * width, *up = gate + width;
    real* out = l.r(b_out) + row * width;
    for (long j = 0; j < width; j += VL) {
      const vec g = loadPart(gate + j, width - j);
      storePart(out + j, g * sigmoid(g) * loadPart(up + j, width - j), width - j);
    }
  });
}
Scratch scratch_swiglu(const Launch&, int) { return {}; }

// silu'(g) = s (1 + g (1 - s)), s = sigmoid(g).
void run_swigluGradient(const Launch& l, Worker& worker) {
  using namespace kernel_swigluGradient;
  const long width = l.integers[i_width];
  forRows(worker, l.integers[i_rows], [&](long row) {
    const real *gate = l.r(b_x) + row * 2 * width, *up = gate + width, *dOut = l.r(b_dOut) + row * width;
    real *dGate = l.r(b_dx) + row * 2 * width, *dUp = dGate + width;
    for (long j = 0; j < width; j += VL) {
      const long n = width - j;
      const vec g = loadPart(gate + j, n), u = loadPart(up + j, n), d = loadPart(dOut + j, n);
      const vec s = sigmoid(g);
      storePart(dGate + j, d * u * s * (real(1) + g * (real(1) - s)), n);
      storePart(dUp + j, d * g * s, n);
    }
  });
}
Scratch scratch_swigluGradient(const Launch&, int) { return {}; }
