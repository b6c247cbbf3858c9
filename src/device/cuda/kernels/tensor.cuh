// Tensor cores, and copies into shared memory that nobody waits for at once, as PTX. The tests' emulator has the same functions for the host.
#pragma once
#include "common.cuh"

#ifndef EMULATED

// 2^x within 2 ulp.
INLINE float exponentialOf2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two numbers to the nearest bfloat16, ties to even.
INLINE u32 roundPair(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// d[16][8] += a[16][16] . b[16][8] of bfloat16 numbers, by the warp: mma.m16n8k16's fragments.
INLINE void multiplyTile(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit numbers from shared memory; lane l gives the address of row l % 8 of matrix l / 8.
template <bool transposed>
INLINE void loadMatrices(u32 (&to)[4], const void* row) {
  const u32 address = u32(__cvta_generic_to_shared(row));
  if (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  }
}

// 16 bytes from global to shared memory, or as many zeros if they are not present. Done for a thread after commitCopies and waitForCopies.
INLINE void copyAsync(void* to, const void* from, bool present) {
  const int bytes = present ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(u32(__cvta_generic_to_shared(to))), "l"(from), "r"(bytes) : "memory");
}
INLINE void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All but the last `pending` groups have arrived.
template <int pending>
INLINE void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#endif
