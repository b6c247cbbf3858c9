// What attention has in common in f32 and on tensor cores.
#pragma once
#include "common.cuh"

struct Shape {
  int length, heads, keyHeads, width;
  float scale;
  __device__ __forceinline__ i64 channels() const { return i64(heads) * width; }
  __device__ __forceinline__ i64 rowWidth() const { return i64(heads + 2 * keyHeads) * width; }
  // Where a head's part of row t of batch entry b begins in qkv; heads of keys and values come after those of queries.
  __device__ __forceinline__ i64 at(int b, int t, int head) const { return (i64(b) * length + t) * rowWidth() + i64(head) * width; }
  __device__ __forceinline__ i64 outAt(int b, int t, int head) const { return (i64(b) * length + t) * channels() + i64(head) * width; }
};

// The first position that row t of a sequence may see; starts: the sequence's, or null.
INLINE int firstKey(const int* starts, int t) {
  if (starts == nullptr) return 0;
  const int start = starts[t];
  return start < 0 ? 0 : start > t ? t : start;
}

// The least first key that a tile of rows may see. slots: one a warp.
INLINE int leastFirstKey(const int* starts, int from, int rows, int* slots) {
  if (starts == nullptr) return 0;
  int least = 0x7fffffff;
  for (int i = int(threadIdx.x); i < rows; i += int(blockDim.x)) {
    const int first = firstKey(starts, from + i);
    least = first < least ? first : least;
  }
  return blockReduce(least, slots, [](int a, int b) { return a < b ? a : b; });
}

INLINE void reportStarts(const int* starts, int rows, int length, int launch, int* status) {
  if (starts != nullptr) reportOutside(starts, rows, false, [&](int row) { return row % length + 1; }, launch, status);
}
