// Statistics of one row of logits. The language-model head and the sampler share them: what was captured while drawing equals, bit for bit,
// what scoring finds. Compiled once, since inlined copies may fuse products and sums differently.
#pragma once
#include "vector.h"

struct RowStatistics {
  real top;        // the largest scaled logit
  real logSumExp;
  real entropy;    // nats
};

// Of z = logits * scale.
RowStatistics rowStatistics(const real* logits, long n, real scale);

real logProbability(real logit, real scale, real logSumExp);
