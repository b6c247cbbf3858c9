#include "softmax.h"

RowStatistics rowStatistics(const real* logits, long n, real scale) {
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
  // With e = exp(z - top): log sum e, and log sum e - sum e (z - top) / sum e.
  const real sum = sumLanes(total[0] + total[1]), logSum = std::log(sum);
  return {top * scale, top * scale + logSum, logSum - sumLanes(weighted[0] + weighted[1]) / sum};
}

real logProbability(real logit, real scale, real logSumExp) { return logit * scale - logSumExp; }
