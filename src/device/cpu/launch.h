// A launch as kernels see it, and the kernels' common signature. Names of operands are generated from the kernel table.
#pragma once
#include <cstdint>

#include "kernels.generated.h"
#include "pool.h"
#include "vector.h"

struct Launch {
  int opcode;
  void* buffers[12];
  int64_t integers[9];
  double reals[6];

  real* r(int i) const { return static_cast<real*>(buffers[i]); }
  int32_t* n(int i) const { return static_cast<int32_t*>(buffers[i]); }
};

// Every worker runs the kernel; it returns after a barrier.
typedef void Kernel(const Launch& launch, Worker& worker);

// Bytes of scratch that a launch needs: shared by the workers, and each worker's own.
struct Scratch {
  uint64_t shared = 0;
  uint64_t own = 0;
  void cover(Scratch other) {
    if (other.shared > shared) shared = other.shared;
    if (other.own > own) own = other.own;
  }
};
typedef Scratch ScratchSize(const Launch& launch, int threads);

#define DECLARE(name)        \
  Kernel run_##name;         \
  ScratchSize scratch_##name;
DECLARE(fill)
DECLARE(add)
DECLARE(scale)
DECLARE(embedding)
DECLARE(embeddingGradient)
DECLARE(layernorm)
DECLARE(layernormGradient)
DECLARE(rmsnorm)
DECLARE(rmsnormGradient)
DECLARE(swiglu)
DECLARE(swigluGradient)
DECLARE(rotaryTable)
DECLARE(rotary)
DECLARE(matmul)
DECLARE(gelu)
DECLARE(biasGradient)
DECLARE(attention)
DECLARE(attentionGradient)
DECLARE(lmHead)
DECLARE(lmHeadGradient)
DECLARE(lmHeadLoss)
DECLARE(scalarHead)
DECLARE(scalarHeadGradient)
DECLARE(gradientNorm)
DECLARE(adamw)
DECLARE(cacheWrite)
DECLARE(decodeAttention)
DECLARE(sample)
#undef DECLARE

// Reductions over rows are cut into this many blocks, whatever the number of threads, and the blocks are added in order.
constexpr long rowBlocks = 32;
INLINE long blockStart(long rows, long block) { return rows * block / rowBlocks; }

INLINE long roundUp(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// out[j] += the sum over the row blocks of partial[block * stride + j], in order, for j < width. Ends with a barrier.
void addRowBlocks(Worker& worker, const real* partial, long stride, long width, real* out);
