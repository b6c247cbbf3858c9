// Statistics of one row of logits. The language-model head and the sampler share them, compiled once (inlined copies may round differently): a
// log-probability captured while drawing equals, bit for bit, the one that scoring finds.
#pragma once
#include "vector.h"

struct RowStatistics {
  real top;        // the largest of z
  real logSumExp;  // of z
  real entropy;    // of softmax(z), nats
};

// Of z = logits * scale. exponentials[n], where wanted: e^(z - top).
RowStatistics rowStatistics(const real* logits, long n, real scale, real* exponentials = nullptr);

real logProbability(real logit, real scale, real logSumExp);
