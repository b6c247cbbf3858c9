// Rotary positions: a table of cosines and sines a row, and the rotation of heads by it.
#include "launch.h"

namespace {
constexpr long chunk = 16;
}

// Frequencies and angles are rounded to `real`, as PyTorch's are.
void run_rotaryTable(const Launch& l, Worker& worker) {
  using namespace kernel_rotaryTable;
  const long rows = l.integers[i_rows], width = l.integers[i_headWidth], half = width / 2;
  const int32_t* positions = l.n(b_positions);
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long i = 0; i < half; i++) {
      const real frequency = real(1) / real(std::pow(l.reals[r_theta], double(real(2 * i) / real(width))));
      for (long row = task * chunk; row < to; row++) {
        const double angle = double(real(positions[row]) * frequency);
        real* out = l.r(b_table) + row * width;
        out[i] = real(std::cos(angle));
        out[half + i] = real(std::sin(angle));
      }
    }
  });
}
Scratch scratch_rotaryTable(const Launch&, int) { return {}; }

void run_rotary(const Launch& l, Worker& worker) {
  using namespace kernel_rotary;
  const long rows = l.integers[i_rows], heads = l.integers[i_heads], width = l.integers[i_headWidth], half = width / 2;
  const real sign = l.integers[i_inverse] != 0 ? real(-1) : real(1);
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) {
      const real *cosines = l.r(b_table) + row * width, *sines = cosines + half;
      for (long h = 0; h < heads; h++) {
        real *first = l.r(b_x) + row * l.integers[i_rowWidth] + h * width, *second = first + half;
        for (long j = 0; j < half; j += VL) {
          const long n = half - j;
          const vec a = loadPart(first + j, n), b = loadPart(second + j, n);
          const vec c = loadPart(cosines + j, n), s = loadPart(sines + j, n) * sign;
          storePart(first + j, fused(a, c, -(b * s)), n);
          storePart(second + j, fused(a, s, b * c), n);
        }
      }
    }
  });
}
Scratch scratch_rotary(const Launch&, int) { return {}; }
