// The language-model head between its matrix products: a block a row of a chunk's logits.
#include "statistics.cuh"

// logits[rows][vocabulary] of a chunk. Statistics go to logProbability, entropy and logSumExp, each where it is given; a row without target has 0.
// Where `derivative` (f32; may be the logits) or `rounded` (bfloat16) is given, the derivatives with respect to the logits go there, from the statistics
// just found, or from savedLogSumExp and savedEntropy if logProbability is null. The last block looks for targets out of range.
KERNEL(512) headRows(float* logits, const int* targets, int rows, int vocabulary, float scale, float* logProbability, float* entropy, float* logSumExp,
                     const float* savedLogSumExp, const float* savedEntropy, const float* dLogProbability, const float* dEntropy, float* derivative,
                     u16* rounded, int firstRow, int launch, int* status) {
  if (blockIdx.x == gridDim.x - 1) {
    reportOutside(targets, rows, true, [&](int) { return vocabulary; }, launch, status, firstRow);
    return;
  }
  __shared__ Online slots[16];
  const i64 row = blockIdx.x;
  const float* z = logits + row * vocabulary;
  const int target = targets[row];
  const bool counted = target >= 0 && target < vocabulary;
  float lse = savedLogSumExp != nullptr ? savedLogSumExp[row] : 0.0f;
  if (logProbability != nullptr) {
    RowStatistics s = {0.0f, 0.0f, 0.0f};
    if (counted) s = rowStatistics(z, vocabulary, scale, slots);
    lse = s.logSumExp;
    if (threadIdx.x == 0) {
      logProbability[row] = counted ? logProbabilityOf(z[target], scale, lse) : 0.0f;
      if (entropy != nullptr) entropy[row] = s.entropy;
      if (logSumExp != nullptr) logSumExp[row] = lse;
    }
    // The target's logit is read before it is replaced.
    __syncthreads();
  }
  if (derivative == nullptr && rounded == nullptr) return;
  const float dLog = counted ? dLogProbability[row] : 0.0f, dEnt = counted && dEntropy != nullptr ? dEntropy[row] : 0.0f;
  const float shift = dEnt != 0.0f ? savedEntropy[row] : 0.0f;
  const bool aligned = alignedRows(logits, vocabulary) && aligned16(derivative) && reinterpret_cast<u64>(rounded) % 8 == 0;
  for (int j = int(threadIdx.x) * 4; j < vocabulary; j += int(blockDim.x) * 4) {
    const int left = vocabulary - j;
    float4 d = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (counted) {
      d = each(load4(z + j, left, aligned), [&](float logit) {
        const float log = logit * scale - lse;
        return expf(log) * (-scale * (dLog + dEnt * (log + shift)));
      });
      if (target == j) d.x += scale * dLog;
      if (target == j + 1) d.y += scale * dLog;
      if (target == j + 2) d.z += scale * dLog;
      if (target == j + 3) d.w += scale * dLog;
    }
    if (derivative != nullptr) store4(derivative + row * vocabulary + j, d, left, aligned);
    if (rounded == nullptr) continue;
    u16* const to = rounded + row * vocabulary + j;
    if (aligned && left >= 4) {
      *reinterpret_cast<uint2*>(to) = make_uint2(bf16Pair(d.x, d.y), bf16Pair(d.z, d.w));
    } else {
      to[0] = u16(bf16Bits(d.x));
      if (left > 1) to[1] = u16(bf16Bits(d.y));
      if (left > 2) to[2] = u16(bf16Bits(d.z));
      if (left > 3) to[3] = u16(bf16Bits(d.w));
    }
  }
}
