// What the kernels share: reductions in a fixed order, access to four neighbours at once, bfloat16 by its bits, and how a value outside its range is told.
// Compiled by NVRTC without any header; the tests compile the same files for the host (EMULATED).
#pragma once

typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef long long i64;

#define INLINE static __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#ifndef EMULATED
#define DYNAMIC_SHARED(type, name)             \
  extern __shared__ float4 dynamicSharedMemory[]; \
  type* const name = reinterpret_cast<type*>(dynamicSharedMemory)
#endif

constexpr u32 allLanes = 0xffffffffu;
INLINE float infinity() { return __int_as_float(0x7f800000); }
INLINE int laneOf() { return int(threadIdx.x % 32); }
INLINE int warpOf() { return int(threadIdx.x / 32); }

// Butterflies: a sum of two is the same from both sides, so all lanes get the same bits.
INLINE float warpSum(float x) {
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(allLanes, x, distance);
  return x;
}
INLINE float warpMax(float x) {
  for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(allLanes, x, distance));
  return x;
}

// combine(x of thread 0, x of thread 1, ..) of the block, the same bits to all: within a warp by a butterfly, then warp after warp. slots: one a warp.
template <class T, class Combine>
INLINE T blockReduce(T x, T* slots, Combine combine) {
  for (int distance = 16; distance > 0; distance /= 2) x = combine(x, __shfl_xor_sync(allLanes, x, distance));
  if (laneOf() == 0) slots[warpOf()] = x;
  __syncthreads();
  x = slots[0];
  for (int warp = 1; warp < int(blockDim.x / 32); warp++) x = combine(x, slots[warp]);
  __syncthreads();
  return x;
}
template <class T>
INLINE T blockSum(T x, T* slots) {
  return blockReduce(x, slots, [](T a, T b) { return a + b; });
}
INLINE float blockMax(float x, float* slots) {
  return blockReduce(x, slots, [](float a, float b) { return fmaxf(a, b); });
}

INLINE bool aligned16(const void* p) { return reinterpret_cast<u64>(p) % 16 == 0; }
// Whether rows of `width` floats from p on all begin at a multiple of 16 bytes.
INLINE bool alignedRows(const float* p, i64 width) { return aligned16(p) && width % 4 == 0; }

// The floats p[0..3], those past the first `left` as 0: one access where it may be.
INLINE float4 load4(const float* p, i64 left, bool aligned) {
  if (aligned && left >= 4) return *reinterpret_cast<const float4*>(p);
  float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (left > 0) v.x = p[0];
  if (left > 1) v.y = p[1];
  if (left > 2) v.z = p[2];
  if (left > 3) v.w = p[3];
  return v;
}
INLINE void store4(float* p, float4 v, i64 left, bool aligned) {
  if (aligned && left >= 4) {
    *reinterpret_cast<float4*>(p) = v;
    return;
  }
  if (left > 0) p[0] = v.x;
  if (left > 1) p[1] = v.y;
  if (left > 2) p[2] = v.z;
  if (left > 3) p[3] = v.w;
}
template <class F>
INLINE float4 each(float4 a, F f) {
  return make_float4(f(a.x), f(a.y), f(a.z), f(a.w));
}
template <class F>
INLINE float4 each(float4 a, float4 b, F f) {
  return make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
}
INLINE float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
INLINE float4 operator*(float4 a, float4 b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
INLINE float4 operator*(float a, float4 b) { return make_float4(a * b.x, a * b.y, a * b.z, a * b.w); }
INLINE float sumOf(float4 v) { return (v.x + v.y) + (v.z + v.w); }

// To the nearest bfloat16, ties to even; NaN stays NaN.
INLINE u32 bf16Bits(float x) {
  const u32 bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
INLINE u32 bf16Pair(float low, float high) { return bf16Bits(low) | bf16Bits(high) << 16; }

// GELU in its tanh form, as x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), and its derivative.
INLINE float gelu(float x, float& slope) {
  constexpr float scale = 0.79788456080286535588f, cubic = 0.044715f;
  const float square = x * x;
  const float twice = x * (square * (2 * scale * cubic) + 2 * scale);
  const float s = 1.0f / (expf(-twice) + 1.0f), out = x * s;
  slope = s + out * (1.0f - s) * (square * (6 * scale * cubic) + 2 * scale);
  return out;
}

// Where rows are cut into slices, the slices' first rows.
INLINE i64 sliceStart(i64 rows, i64 slice, i64 slices) { return rows * slice / slices; }

// Called by one whole block of a launch: writes the first row whose value is not from 0 (or negative, if that is allowed) to limit(row) - 1 to the status
// words (see step.ts), unless an earlier launch wrote. firstRow: the row that values begin at.
template <class Limit>
INLINE void reportOutside(const int* values, int rows, bool negative, Limit limit, int launch, int* status, int firstRow = 0) {
  __shared__ int slots[32];
  constexpr int none = 0x7fffffff;
  int first = none;
  for (int row = int(threadIdx.x); row < rows; row += int(blockDim.x)) {
    if (values[row] >= limit(row) || (values[row] < 0 && !negative)) {
      first = row;
      break;
    }
  }
  first = blockReduce(first, slots, [](int a, int b) { return a < b ? a : b; });
  if (first == none || threadIdx.x != 0 || status[0] != 0) return;
  status[1] = launch;
  status[2] = firstRow + first;
  status[3] = values[first];
  status[4] = limit(first);
  status[0] = 1;
}
