// Kernels with the faults that the emulator has to find.
#include "tensor.cuh"

KERNEL(64) missingBarrier(float* out) {
  DYNAMIC_SHARED(float, shared);
  shared[threadIdx.x] = float(threadIdx.x);
  out[threadIdx.x] = shared[63 - threadIdx.x];
}

KERNEL(64) divergentBarrier(float* out) {
  if (threadIdx.x < 40) __syncthreads();
  out[threadIdx.x] = 1.0f;
}

KERNEL(64) pastShared(float* out) {
  DYNAMIC_SHARED(float, shared);
  shared[threadIdx.x + 1] = 1.0f;
  out[threadIdx.x] = 1.0f;
}

// 16 bytes a thread, read before they are waited for.
KERNEL(64) earlyRead(float* out) {
  DYNAMIC_SHARED(float, shared);
  copyAsync(shared + threadIdx.x * 4, out + threadIdx.x * 4, true);
  commitCopies();
  __syncthreads();
  out[threadIdx.x * 4] = shared[threadIdx.x * 4] + 1.0f;
  waitForCopies<0>();
}

KERNEL(64) partOfWarp(float* out) {
  const float x = __shfl_xor_sync(0xffffu, float(threadIdx.x), 1);
  out[threadIdx.x] = x;
}
