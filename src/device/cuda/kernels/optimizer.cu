// The gradient's global norm, and AdamW over one flat buffer.
#include "common.cuh"

// partial[block] = the sum of squares of the block's share.
KERNEL(512) squares(const float* gradients, double* partial, i64 count) {
  __shared__ double slots[32];
  const bool aligned = aligned16(gradients);
  double sum = 0.0;
  for (i64 i = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * 4; i < count; i += i64(gridDim.x) * blockDim.x * 4) {
    const float4 g = load4(gradients + i, count - i, aligned);
    sum += (double(g.x) * double(g.x) + double(g.y) * double(g.y)) + (double(g.z) * double(g.z) + double(g.w) * double(g.w));
  }
  sum = blockSum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

KERNEL(1024) rootOfSum(const double* partial, int parts, float* norm) {
  __shared__ double slots[32];
  double sum = 0.0;
  for (int i = int(threadIdx.x); i < parts; i += int(blockDim.x)) sum += partial[i];
  sum = blockSum(sum, slots);
  if (threadIdx.x == 0) norm[0] = float(sqrt(sum));
}

// Leaves the weights as they are if an earlier launch met an id out of range.
KERNEL(256) adamw(float* weights, float* gradients, float* ms, float* vs, const float* norm, const float* control, i64 count, i64 decayCount, int form,
                  float beta1, float beta2, float epsilon, float maxNorm, const int* status) {
  const i64 i = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * 4, left = count - i;
  if (left <= 0 || status[0] != 0) return;
  const float clip = maxNorm > 0.0f && norm[0] > maxNorm ? maxNorm / norm[0] : 1.0f;
  const float rate = control[0], correction1 = control[1], correction2 = control[2], decay = control[3];
  // PyTorch: lr / c1 * m / (sqrt(v) / sqrt(c2) + eps); TensorFlow 1: lr * sqrt(c2) / c1 * m / (sqrt(v) + eps).
  const float step = form == 0 ? rate / correction1 : rate * sqrtf(correction2) / correction1;
  const float root = form == 0 ? 1.0f / sqrtf(correction2) : 1.0f;
  const bool aligned = aligned16(weights) && aligned16(gradients) && aligned16(ms) && aligned16(vs);
  const float4 g = clip * load4(gradients + i, left, aligned);
  const float4 m = each(load4(ms + i, left, aligned), g, [&](float a, float b) { return beta1 * a + (1.0f - beta1) * b; });
  const float4 v = each(load4(vs + i, left, aligned), g, [&](float a, float b) { return beta2 * a + (1.0f - beta2) * b * b; });
  const float shrink = 1.0f - rate * decay;
  float4 w = load4(weights + i, left, aligned);
  w = make_float4(i < decayCount ? w.x * shrink : w.x, i + 1 < decayCount ? w.y * shrink : w.y, i + 2 < decayCount ? w.z * shrink : w.z,
                  i + 3 < decayCount ? w.w * shrink : w.w);
  const float4 change = each(m, v, [&](float a, float b) { return -step * a / (sqrtf(b) * root + epsilon); });
  store4(ms + i, m, left, aligned);
  store4(vs + i, v, left, aligned);
  store4(weights + i, w + change, left, aligned);
  store4(gradients + i, make_float4(0.0f, 0.0f, 0.0f, 0.0f), left, aligned);
}
