#include "softmax.h"

RowStatistics rowStatistics(const real* logits, long n, real scale, real* exponentials) {
  vec most = splat(logits[0]);
  long j = 0;
  for (; j + VL <= n; j += VL) most = larger(most, load(logits + j));
  real top = maxLanes(most);
  for (; j < n; j++) top = logits[j] > top ? logits[j] : top;
  vec total{}, weighted{};
  for (j = 0; j < n; j += VL) {
    const vec z = (loadPart(logits + j, n - j) - top) * scale;
    // e^z is far below a float's precision here, but `exponential` stops at e^-87.
    vec e = z < splat(-87) ? vec{} : exponential(z);
    for (long lane = n - j; lane < VL; lane++) e[lane] = 0;
    if (exponentials != nullptr) storePart(exponentials + j, e, n - j);
    total += e;
    weighted += e * z;
  }
  const real sum = sumLanes(total), logSum = std::log(sum);
  return {top * scale, top * scale + logSum, logSum - sumLanes(weighted) / sum};
}

real logProbability(real logit, real scale, real logSumExp) { return logit * scale - logSumExp; }
