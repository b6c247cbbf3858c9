// Statistics of one row of logits, by a block, in one pass. The language-model head and the sampler share them.
#pragma once
#include "common.cuh"

// Of z = logits * scale: the largest so far, the sum of e^(z - top), and that of e^(z - top) (z - top).
struct Online {
  float top, sum, weighted;
};

INLINE Online emptyOnline() { return {-infinity(), 0.0f, 0.0f}; }

INLINE void moveTop(Online& o, float top) {
  if (o.sum != 0.0f) {
    const float by = o.top - top, factor = expf(by);
    o.weighted = factor * (o.weighted + o.sum * by);
    o.sum *= factor;
  }
  o.top = top;
}
INLINE Online merge(Online a, Online b) {
  const float top = fmaxf(a.top, b.top);
  moveTop(a, top);
  moveTop(b, top);
  return {top, a.sum + b.sum, a.weighted + b.weighted};
}
INLINE void addTo(Online& o, float z) {
  const float by = z - o.top, e = expf(by);
  o.sum += e;
  if (e != 0.0f) o.weighted += e * by;
}

struct RowStatistics {
  float top;        // the largest of z
  float logSumExp;  // of z
  float entropy;    // of softmax(z), nats
};

// slots: one a warp. The same bits to all threads.
INLINE RowStatistics rowStatistics(const float* logits, int n, float scale, Online* slots) {
  const bool aligned = aligned16(logits);
  Online o = emptyOnline();
  for (int j = int(threadIdx.x) * 4; j < n; j += int(blockDim.x) * 4) {
    const int left = n - j;
    const float4 z = scale * load4(logits + j, left, aligned);
    float top = z.x;
    if (left > 1) top = fmaxf(top, z.y);
    if (left > 2) top = fmaxf(top, z.z);
    if (left > 3) top = fmaxf(top, z.w);
    if (top > o.top) moveTop(o, top);
    addTo(o, z.x);
    if (left > 1) addTo(o, z.y);
    if (left > 2) addTo(o, z.z);
    if (left > 3) addTo(o, z.w);
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    const Online other = {__shfl_xor_sync(allLanes, o.top, distance), __shfl_xor_sync(allLanes, o.sum, distance),
                          __shfl_xor_sync(allLanes, o.weighted, distance)};
    o = merge(o, other);
  }
  if (laneOf() == 0) slots[warpOf()] = o;
  __syncthreads();
  o = slots[0];
  for (int warp = 1; warp < int(blockDim.x / 32); warp++) o = merge(o, slots[warp]);
  __syncthreads();
  const float logSum = logf(o.sum);
  return {o.top, o.top + logSum, logSum - o.weighted / o.sum};
}

INLINE float logProbabilityOf(float logit, float scale, float logSumExp) { return logit * scale - logSumExp; }
