// Element by element: fill, add, scale, GELU, what follows a matrix product, SwiGLU, rotary positions, rounding to bfloat16.
#include "common.cuh"

// body(i, left) for every fourth element i, `left` of them from there to the end.
template <class Body>
INLINE void forFours(i64 count, Body body) {
  const i64 i = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
  if (i < count) body(i, count - i);
}

KERNEL(256) fill(float* out, i64 count, float value) {
  const bool aligned = aligned16(out);
  forFours(count, [&](i64 i, i64 left) { store4(out + i, make_float4(value, value, value, value), left, aligned); });
}

KERNEL(256) add(const float* a, const float* b, float* out, i64 count) {
  const bool aligned = aligned16(a) && aligned16(b) && aligned16(out);
  forFours(count, [&](i64 i, i64 left) { store4(out + i, load4(a + i, left, aligned) + load4(b + i, left, aligned), left, aligned); });
}

KERNEL(256) scale(const float* x, float* out, i64 count, float factor) {
  const bool aligned = aligned16(x) && aligned16(out);
  forFours(count, [&](i64 i, i64 left) { store4(out + i, factor * load4(x + i, left, aligned), left, aligned); });
}

// pre and slope may be null; any two of the buffers may be one.
INLINE void geluFour(const float* x, float* pre, float* out, float* slope, i64 i, i64 left, bool aligned) {
  const float4 y = load4(x + i, left, aligned);
  float4 z, d;
  z.x = gelu(y.x, d.x);
  z.y = gelu(y.y, d.y);
  z.z = gelu(y.z, d.z);
  z.w = gelu(y.w, d.w);
  if (pre != nullptr) store4(pre + i, y, left, aligned);
  store4(out + i, z, left, aligned);
  if (slope != nullptr) store4(slope + i, d, left, aligned);
}

KERNEL(256) geluForward(const float* x, float* pre, float* out, float* slope, i64 count) {
  const bool aligned = aligned16(x) && aligned16(pre) && aligned16(out) && aligned16(slope);
  forFours(count, [&](i64 i, i64 left) { geluFour(x, pre, out, slope, i, left, aligned); });
}

KERNEL(256) multiply(const float* a, const float* b, float* out, i64 count) {
  const bool aligned = aligned16(a) && aligned16(b) && aligned16(out);
  forFours(count, [&](i64 i, i64 left) { store4(out + i, load4(a + i, left, aligned) * load4(b + i, left, aligned), left, aligned); });
}

// body(row, column, left) for every fourth column of rows of `width`.
template <class Body>
INLINE void forFoursOfRows(i64 rows, i64 width, Body body) {
  const i64 fours = (width + 3) / 4, i = i64(blockIdx.x) * blockDim.x + threadIdx.x, row = i / fours, column = i % fours * 4;
  if (row < rows) body(row, column, width - column);
}

INLINE float sigmoid(float x) { return 1.0f / (expf(-x) + 1.0f); }

KERNEL(256) swiglu(const float* x, float* out, i64 rows, i64 width) {
  const bool aligned = alignedRows(x, width) && aligned16(out);
  forFoursOfRows(rows, width, [&](i64 row, i64 column, i64 left) {
    const float* gate = x + row * 2 * width + column;
    const float4 g = load4(gate, left, aligned), u = load4(gate + width, left, aligned);
    store4(out + row * width + column, each(g, u, [](float a, float b) { return a * sigmoid(a) * b; }), left, aligned);
  });
}

// silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). dx may be x: a thread reads what it writes.
KERNEL(256) swigluGradient(const float* dOut, const float* x, float* dx, i64 rows, i64 width) {
  const bool aligned = alignedRows(x, width) && aligned16(dOut) && aligned16(dx);
  forFoursOfRows(rows, width, [&](i64 row, i64 column, i64 left) {
    const float* gate = x + row * 2 * width + column;
    const float4 g = load4(gate, left, aligned), u = load4(gate + width, left, aligned);
    const float4 d = load4(dOut + row * width + column, left, aligned);
    const float4 s = each(g, [](float a) { return sigmoid(a); });
    const float4 slope = each(g, s, [](float a, float b) { return b * (1.0f + a * (1.0f - b)); });
    float* to = dx + row * 2 * width + column;
    store4(to, d * u * slope, left, aligned);
    store4(to + width, d * g * s, left, aligned);
  });
}

// One thread an angle. Frequencies and angles are rounded to f32, as PyTorch's are.
KERNEL(256) rotaryTable(const int* positions, float* table, i64 rows, int width, double theta) {
  const int half = width / 2;
  const i64 at = i64(blockIdx.x) * blockDim.x + threadIdx.x, row = at / half;
  if (row >= rows) return;
  const int i = int(at % half);
  const float frequency = 1.0f / float(pow(theta, double(float(2 * i) / float(width))));
  const double angle = double(float(positions[row]) * frequency);
  table[row * width + i] = float(cos(angle));
  table[row * width + half + i] = float(sin(angle));
}

// A block a row.
KERNEL(256) rotary(const float* table, float* x, int heads, int width, i64 rowWidth, float sign) {
  const int half = width / 2;
  const float *cosines = table + i64(blockIdx.x) * width, *sines = cosines + half;
  for (int at = int(threadIdx.x); at < heads * half; at += int(blockDim.x)) {
    const int head = at / half, i = at % half;
    float* const first = x + i64(blockIdx.x) * rowWidth + head * width + i;
    const float a = first[0], b = first[half], c = cosines[i], s = sines[i] * sign;
    first[0] = fmaf(a, c, -(b * s));
    first[half] = fmaf(a, s, b * c);
  }
}

// Eight a thread.
KERNEL(256) roundToBf16(const float* x, u16* out, i64 count) {
  const i64 i = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
  if (i >= count) return;
  const bool aligned = aligned16(x) && aligned16(out);
  const float4 a = load4(x + i, count - i, aligned), b = load4(x + i + 4, count - i - 4, aligned);
  if (aligned && count - i >= 8) {
    *reinterpret_cast<uint4*>(out + i) = make_uint4(bf16Pair(a.x, a.y), bf16Pair(a.z, a.w), bf16Pair(b.x, b.y), bf16Pair(b.z, b.w));
    return;
  }
  const float values[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
  for (int j = 0; j < 8; j++)
    if (i + j < count) out[i + j] = u16(bf16Bits(values[j]));
}
