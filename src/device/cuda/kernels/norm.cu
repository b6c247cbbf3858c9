// Layer and root-mean-square normalisation: a warp a row. Gradients of gamma and beta, and of biases: sums over slices of the rows, then over the slices.
#include "common.cuh"

// Sum over a row of term(column, left), by the warp.
template <class Term>
INLINE float rowSum(int width, Term term) {
  float sum = 0.0f;
  for (int j = laneOf() * 4; j < width; j += 128) sum += sumOf(term(j, width - j));
  return warpSum(sum);
}
INLINE i64 rowOfWarp() { return i64(blockIdx.x) * (blockDim.x / 32) + warpOf(); }

KERNEL(256) layernorm(const float* x, const float* gamma, const float* beta, float* out, float* means, float* rstds, i64 rows, int width, float epsilon) {
  const i64 row = rowOfWarp();
  if (row >= rows) return;
  const bool aligned = alignedRows(x, width) && aligned16(gamma) && aligned16(beta) && aligned16(out);
  const float* in = x + row * width;
  const float mean = rowSum(width, [&](int j, int left) { return load4(in + j, left, aligned); }) / float(width);
  const auto centred = [&](int j, int left) {
    float4 v = each(load4(in + j, left, aligned), [&](float a) { return a - mean; });
    if (left < 4) v.w = 0.0f;
    if (left < 3) v.z = 0.0f;
    if (left < 2) v.y = 0.0f;
    return v;
  };
  const float variance = rowSum(width, [&](int j, int left) {
                           const float4 d = centred(j, left);
                           return d * d;
                         }) / float(width);
  const float rstd = 1.0f / sqrtf(variance + epsilon);
  for (int j = laneOf() * 4; j < width; j += 128) {
    const int left = width - j;
    store4(out + row * width + j, rstd * centred(j, left) * load4(gamma + j, left, aligned) + load4(beta + j, left, aligned), left, aligned);
  }
  if (laneOf() == 0) {
    means[row] = mean;
    rstds[row] = rstd;
  }
}

KERNEL(256) rmsnorm(const float* x, const float* gamma, float* out, float* rstds, i64 rows, int width, float epsilon) {
  const i64 row = rowOfWarp();
  if (row >= rows) return;
  const bool aligned = alignedRows(x, width) && aligned16(gamma) && aligned16(out);
  const float* in = x + row * width;
  const float squares = rowSum(width, [&](int j, int left) {
    const float4 v = load4(in + j, left, aligned);
    return v * v;
  });
  const float rstd = 1.0f / sqrtf(squares / float(width) + epsilon);
  for (int j = laneOf() * 4; j < width; j += 128) {
    const int left = width - j;
    store4(out + row * width + j, rstd * load4(in + j, left, aligned) * load4(gamma + j, left, aligned), left, aligned);
  }
  if (laneOf() == 0) rstds[row] = rstd;
}

// With n = (x - mean) rstd and d = dOut gamma: dx = rstd (d - mean(d) - n mean(d n)), without `centred` the mean and mean(d) left out. A block takes a slice
// of the rows; each of its warps sums dOut n (and dOut) in shared memory, [warps][1 or 2][width rounded up to 4]; partial: [slices][1 or 2][width].
template <bool centred>
INLINE void normGradient(const float* dOut, const float* x, const float* gamma, const float* means, const float* rstds, const float* dResidual, float* dx,
                         float* partial, i64 rows, int width) {
  DYNAMIC_SHARED(float, sums);
  const int padded = (width + 3) / 4 * 4, warps = int(blockDim.x / 32);
  constexpr int kinds = centred ? 2 : 1;
  float* const dGamma = sums + warpOf() * kinds * padded;
  float* const dBeta = dGamma + padded;
  const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int j = laneOf() * 4; j < width; j += 128) {
    store4(dGamma + j, zero, 4, true);
    if (centred) store4(dBeta + j, zero, 4, true);
  }
  const bool aligned = alignedRows(x, width) && aligned16(dOut) && aligned16(gamma) && aligned16(dResidual) && aligned16(dx);
  const i64 end = sliceStart(rows, i64(blockIdx.x) + 1, gridDim.x);
  for (i64 row = sliceStart(rows, blockIdx.x, gridDim.x) + warpOf(); row < end; row += warps) {
    const float *d = dOut + row * width, *in = x + row * width;
    const float mean = centred ? means[row] : 0.0f, rstd = rstds[row];
    const auto normal = [&](int j, int left) { return each(load4(in + j, left, aligned), [&](float a) { return (a - mean) * rstd; }); };
    float sumD = 0.0f, sumDn = 0.0f;
    for (int j = laneOf() * 4; j < width; j += 128) {
      // Beyond the row d is 0, and so is every term.
      const float4 scaled = load4(d + j, width - j, aligned) * load4(gamma + j, width - j, aligned);
      if (centred) sumD += sumOf(scaled);
      sumDn += sumOf(scaled * normal(j, width - j));
    }
    const float meanD = centred ? warpSum(sumD) / float(width) : 0.0f, meanDn = warpSum(sumDn) / float(width);
    for (int j = laneOf() * 4; j < width; j += 128) {
      const int left = width - j;
      const float4 out = load4(d + j, left, aligned), n = normal(j, left);
      store4(dGamma + j, load4(dGamma + j, 4, true) + out * n, 4, true);
      if (centred) store4(dBeta + j, load4(dBeta + j, 4, true) + out, 4, true);
      float4 value = each(out * load4(gamma + j, left, aligned), n, [&](float a, float b) { return (a - meanD - b * meanDn) * rstd; });
      if (dResidual != nullptr) value = value + load4(dResidual + row * width + j, left, aligned);
      store4(dx + row * width + j, value, left, aligned);
    }
  }
  __syncthreads();
  for (int j = int(threadIdx.x); j < kinds * width; j += int(blockDim.x)) {
    const float* column = sums + j / width * padded + j % width;
    float sum = column[0];
    for (int warp = 1; warp < warps; warp++) sum += column[warp * kinds * padded];
    partial[i64(blockIdx.x) * kinds * width + j] = sum;
  }
}
KERNEL(256) layernormGradient(const float* dOut, const float* x, const float* gamma, const float* means, const float* rstds, const float* dResidual,
                              float* dx, float* partial, i64 rows, int width) {
  normGradient<true>(dOut, x, gamma, means, rstds, dResidual, dx, partial, rows, width);
}
KERNEL(256) rmsnormGradient(const float* dOut, const float* x, const float* gamma, const float* rstds, const float* dResidual, float* dx, float* partial,
                            i64 rows, int width) {
  normGradient<false>(dOut, x, gamma, nullptr, rstds, dResidual, dx, partial, rows, width);
}

// Sums over a slice of the rows, by a block of 8 warps for 128 columns: warp w takes rows w, w + 8.. of the slice; then the warps are added in order.
// partial[slice * stride + column] for what term(row, column, left) gives.
template <class Term>
INLINE void sumSlice(i64 rows, int width, i64 stride, float* partial, Term term) {
  __shared__ float4 sums[8][32];
  const int column = int(blockIdx.x) * 128 + laneOf() * 4;
  const i64 end = sliceStart(rows, i64(blockIdx.y) + 1, gridDim.y);
  float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (i64 row = sliceStart(rows, blockIdx.y, gridDim.y) + warpOf(); row < end; row += 8)
    if (column < width) sum = sum + term(row, column, width - column);
  sums[warpOf()][laneOf()] = sum;
  __syncthreads();
  if (warpOf() != 0 || column >= width) return;
  for (int warp = 1; warp < 8; warp++) sum = sum + sums[warp][laneOf()];
  store4(partial + blockIdx.y * stride + column, sum, width - column, false);
}

KERNEL(256) biasGradient(const float* dOut, float* partial, i64 rows, int width) {
  const bool aligned = alignedRows(dOut, width);
  sumSlice(rows, width, width, partial, [&](i64 row, int column, int left) { return load4(dOut + row * width + column, left, aligned); });
}

// out[column] += the sum over the slices of partial[slice * stride + column]: 32 columns a block, its warp w taking slices w, w + 32..
KERNEL(1024) addSlices(const float* partial, i64 stride, int slices, int width, float* out) {
  __shared__ float sums[32][33];
  const int column = int(blockIdx.x) * 32 + laneOf();
  float sum = 0.0f;
  for (int slice = warpOf(); slice < slices; slice += 32)
    if (column < width) sum += partial[slice * stride + column];
  sums[warpOf()][laneOf()] = sum;
  __syncthreads();
  if (warpOf() != 0 || column >= width) return;
  for (int warp = 1; warp < 32; warp++) sum += sums[warp][laneOf()];
  out[column] += sum;
}

KERNEL(256) scalarHead(const float* x, const float* weight, const float* bias, float* out, i64 rows, int width) {
  const i64 row = rowOfWarp();
  if (row >= rows) return;
  const bool aligned = alignedRows(x, width) && aligned16(weight);
  const float sum = rowSum(width, [&](int j, int left) { return load4(x + row * width + j, left, aligned) * load4(weight + j, left, aligned); });
  if (laneOf() == 0) out[row] = sum + bias[0];
}

// partial: [slices][width + 1], the slice's part of dWeight and behind it that of dBias.
KERNEL(256) scalarHeadGradient(const float* x, const float* weight, const float* dOut, float* dx, float* partial, i64 rows, int width, int accumulate) {
  const bool aligned = alignedRows(x, width) && aligned16(weight) && aligned16(dx);
  const i64 stride = width + 1;
  sumSlice(rows, width, stride, partial, [&](i64 row, int column, int left) {
    const float d = dOut[row];
    float* const to = dx + row * width + column;
    float4 value = d * load4(weight + column, left, aligned);
    if (accumulate != 0) value = value + load4(to, left, aligned);
    store4(to, value, left, aligned);
    return d * load4(x + row * width + column, left, aligned);
  });
  if (blockIdx.x != 0) return;
  __shared__ float slots[32];
  const i64 end = sliceStart(rows, i64(blockIdx.y) + 1, gridDim.y);
  float sum = 0.0f;
  for (i64 row = sliceStart(rows, blockIdx.y, gridDim.y) + threadIdx.x; row < end; row += blockDim.x) sum += dOut[row];
  sum = blockSum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.y * stride + width] = sum;
}
