// Statistics of one row of logits. The language-model head and the sampler share them: what was captured while drawing equals what scoring finds.
#pragma once
#include "vector.h"

struct RowStatistics {
  real top;       // the largest scaled logit
  real total;     // sum of exp(z - top)
  real weighted;  // sum of exp(z - top) (z - top)
  real logSumExp() const { return top + std::log(total); }
  real entropy() const { return std::log(total) - weighted / total; }
};

// Of z = logits * scale.
static inline RowStatistics rowStatistics(const real* logits, long n, real scale) {
  vec most[2] = {splat(logits[0]), splat(logits[0])};
  long j = 0;
  for (; j + 2 * VL <= n; j += 2 * VL)
    for (int i = 0; i < 2; i++) most[i] = larger(most[i], load(logits + j + i * VL));
  real top = maxLanes(larger(most[0], most[1]));
  for (; j < n; j++) top = logits[j] > top ? logits[j] : top;
  vec total[2] = {}, weighted[2] = {};
  const auto add = [&](long at, long count, int i) {
    const vec z = (loadPart(logits + at, count) - top) * scale;
    vec e = exponential(z);
    for (long lane = count; lane < VL; lane++) e[lane] = 0;
    total[i] += e;
    weighted[i] += e * z;
  };
  for (j = 0; j + 2 * VL <= n; j += 2 * VL) {
    add(j, VL, 0);
    add(j + VL, VL, 1);
  }
  for (int i = 0; j < n; j += VL, i++) add(j, n - j < VL ? n - j : VL, i);
  return {top * scale, sumLanes(total[0] + total[1]), sumLanes(weighted[0] + weighted[1])};
}
