// Attention of one new token a sequence against the cache, the keys split over blocks, and filling the cache from a prompt.
// keys: [slots, keyHeads, capacity / 16 rounded up, width, 16], so that scores stream; values: [slots, keyHeads, capacity, width].
#include "common.cuh"

constexpr int cacheBlock = 16, splitKeys = 256;

INLINE i64 keyBlocks(int capacity) { return (capacity + cacheBlock - 1) / cacheBlock; }

// A block 16 positions of a sequence and key head: the keys are turned in shared memory, [16][width + 1]. The first looks for places out of range.
KERNEL(128) cacheWrite(const float* qkv, const int* places, float* keys, float* values, int batch, int length, int slots, int capacity, int heads, int keyHeads,
                       int width, int launch, int* status) {
  DYNAMIC_SHARED(float, tile);
  if (places != nullptr && blockIdx.x + blockIdx.y + blockIdx.z == 0)
    reportOutside(places, batch, true, [&](int) { return slots; }, launch, status);
  const int b = int(blockIdx.z), head = int(blockIdx.y), from = int(blockIdx.x) * cacheBlock, count = min(cacheBlock, length - from);
  const int slot = places == nullptr ? b : places[b];
  if (slot < 0 || slot >= slots) return;
  const i64 rowWidth = i64(heads + 2 * keyHeads) * width, place = i64(slot) * keyHeads + head;
  const float* source = qkv + (i64(b) * length + from) * rowWidth + i64(heads + head) * width;
  float* const toValues = values + (place * capacity + from) * width;
  for (int at = int(threadIdx.x); at < count * width; at += int(blockDim.x)) {
    const int t = at / width, d = at % width;
    tile[t * (width + 1) + d] = source[t * rowWidth + d];
    toValues[at] = source[t * rowWidth + i64(keyHeads) * width + d];
  }
  __syncthreads();
  float* const toKeys = keys + (place * keyBlocks(capacity) * cacheBlock + from) * width;
  for (int at = int(threadIdx.x); at < width * cacheBlock; at += int(blockDim.x)) {
    const int t = at % cacheBlock, d = at / cacheBlock;
    if (t < count) toKeys[at] = tile[t * (width + 1) + d];
  }
}

// A block of 4 warps: 256 keys of a sequence and key head, for each query head that shares them. Writes the new key and value where they fall in its keys,
// but reads them from qkv. partial: [batch, heads, splits][width + 2] of the split's unnormalised output, its top score and the sum of its weights;
// null where one split is all.
KERNEL(128) decodeAttention(const float* qkv, const int* positions, float* keys, float* values, float* out, float* partial, int batch, int capacity, int heads,
                            int keyHeads, int width, float scale, int launch, int* status) {
  __shared__ float slots[4];
  DYNAMIC_SHARED(float, shared);
  float *const weights = shared, *const query = weights + splitKeys, *const sums = query + width;
  if (blockIdx.x + blockIdx.y + blockIdx.z == 0) reportOutside(positions, batch, false, [&](int) { return capacity; }, launch, status);
  const int b = int(blockIdx.z), keyHead = int(blockIdx.y), from = int(blockIdx.x) * splitKeys, position = positions[b];
  if (position < from || position >= capacity) return;
  const int count = min(splitKeys, position + 1 - from), group = heads / keyHeads, newest = position - from;
  const i64 place = i64(b) * keyHeads + keyHead;
  const float* const row = qkv + i64(b) * (heads + 2 * keyHeads) * width;
  const float *const newKey = row + i64(heads + keyHead) * width, *const newValue = newKey + i64(keyHeads) * width;
  float* const ourKeys = keys + (place * keyBlocks(capacity) * cacheBlock + from) * width;
  float* const ourValues = values + (place * capacity + from) * width;
  if (newest < splitKeys) {
    float* const toKey = ourKeys + i64(newest / cacheBlock) * cacheBlock * width + newest % cacheBlock;
    for (int d = int(threadIdx.x); d < width; d += int(blockDim.x)) {
      toKey[d * cacheBlock] = newKey[d];
      ourValues[i64(newest) * width + d] = newValue[d];
    }
  }
  for (int head = keyHead * group; head < (keyHead + 1) * group; head++) {
    __syncthreads();
    for (int d = int(threadIdx.x); d < width; d += int(blockDim.x)) query[d] = row[i64(head) * width + d] * scale;
    __syncthreads();
    float top = -infinity();
    for (int j = int(threadIdx.x); j < count; j += int(blockDim.x)) {
      const bool cached = j != newest;
      const float* key = cached ? ourKeys + i64(j / cacheBlock) * cacheBlock * width + j % cacheBlock : newKey;
      const int step = cached ? cacheBlock : 1;
      float score = 0.0f;
#pragma unroll 8
      for (int d = 0; d < width; d++) score = fmaf(query[d], key[d * step], score);
      weights[j] = score;
      top = fmaxf(top, score);
    }
    top = blockMax(top, slots);
    float total = 0.0f;
    for (int j = int(threadIdx.x); j < count; j += int(blockDim.x)) {
      const float weight = expf(weights[j] - top);
      weights[j] = weight;
      total += weight;
    }
    total = blockSum(total, slots);
    // Warp w sums over keys w, w + 4..; then the warps are added in order.
    for (int column = laneOf(); column < width; column += 32) {
      float sum = 0.0f;
#pragma unroll 4
      for (int j = warpOf(); j < count; j += 4) {
        const float* value = j != newest ? ourValues + i64(j) * width : newValue;
        sum = fmaf(weights[j], value[column], sum);
      }
      sums[warpOf() * width + column] = sum;
    }
    __syncthreads();
    const i64 at = i64(b) * heads + head;
    float* const to = partial == nullptr ? out + at * width : partial + (at * gridDim.x + blockIdx.x) * (width + 2);
    const float by = partial == nullptr ? 1.0f / total : 1.0f;
    for (int d = int(threadIdx.x); d < width; d += int(blockDim.x))
      to[d] = by * (((sums[d] + sums[width + d]) + sums[2 * width + d]) + sums[3 * width + d]);
    if (partial != nullptr && threadIdx.x == 0) {
      to[width] = top;
      to[width + 1] = total;
    }
  }
}

// out[batch, heads, width] of the splits that the position reaches, in order.
KERNEL(128) combineSplits(const float* partial, const int* positions, float* out, int capacity, int heads, int width, int splits) {
  const int b = int(blockIdx.y), position = positions[b];
  if (position < 0 || position >= capacity) return;
  const i64 at = i64(b) * heads + blockIdx.x, stride = width + 2;
  const float* const ours = partial + at * splits * stride;
  const int count = position / splitKeys + 1;
  float top = ours[width];
  for (int split = 1; split < count; split++) top = fmaxf(top, ours[split * stride + width]);
  float total = 0.0f;
  for (int split = 0; split < count; split++) total += expf(ours[split * stride + width] - top) * ours[split * stride + width + 1];
  for (int d = int(threadIdx.x); d < width; d += int(blockDim.x)) {
    float sum = 0.0f;
    for (int split = 0; split < count; split++) sum += expf(ours[split * stride + width] - top) * ours[split * stride + d];
    out[at * width + d] = sum / total;
  }
}
