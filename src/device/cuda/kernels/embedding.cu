// Token and position embeddings. The gradient of a table's row adds the rows that read it in ascending order: they are sorted by what they read first.
#include "common.cuh"

// A warp a row; the last block looks for ids and positions out of range.
KERNEL(256) embedding(const int* ids, const int* positions, const float* tokens, const float* places, float* out, int rows, int width, int vocabulary,
                      int context, int launch, int* status) {
  if (blockIdx.x == gridDim.x - 1) {
    reportOutside(ids, rows, false, [&](int) { return vocabulary; }, launch, status);
    __syncthreads();
    if (places != nullptr) reportOutside(positions, rows, false, [&](int) { return context; }, launch, status);
    return;
  }
  const int row = int(blockIdx.x * (blockDim.x / 32)) + warpOf();
  if (row >= rows) return;
  const int id = ids[row], position = places == nullptr ? 0 : positions[row];
  if (id < 0 || id >= vocabulary || position < 0 || (places != nullptr && position >= context)) return;
  const bool aligned = alignedRows(tokens, width) && aligned16(places) && aligned16(out);
  for (int j = laneOf() * 4; j < width; j += 128) {
    float4 v = load4(tokens + i64(id) * width + j, width - j, aligned);
    if (places != nullptr) v = v + load4(places + i64(position) * width + j, width - j, aligned);
    store4(out + i64(row) * width + j, v, width - j, aligned);
  }
}

// order[rank of a row by (value, row)] = row: a thread a row counts those before it. Values out of `limit` are reported by the last block.
KERNEL(256) orderRows(const int* values, int* order, int rows, int limit, int launch, int* status) {
  if (blockIdx.x == gridDim.x - 1) {
    reportOutside(values, rows, false, [&](int) { return limit; }, launch, status);
    return;
  }
  __shared__ int tile[256];
  const int row = int(blockIdx.x * 256 + threadIdx.x), value = row < rows ? values[row] : 0;
  int before = 0;
  for (int start = 0; start < rows; start += 256) {
    __syncthreads();
    if (start + int(threadIdx.x) < rows) tile[threadIdx.x] = values[start + threadIdx.x];
    __syncthreads();
    const int count = rows - start < 256 ? rows - start : 256;
    // Of equal values those of earlier rows come first.
    const int equal = row - start;
#pragma unroll 8
    for (int i = 0; i < count; i++) before += tile[i] < value || (tile[i] == value && i < equal);
  }
  if (row < rows) order[before] = row;
}

// table[value] += the sum of dOut over the rows that have it. The block of the first of a group in `order` adds it, 4 columns a thread.
KERNEL(128) addOrdered(const int* values, const int* order, const float* dOut, float* table, int rows, int width, int limit) {
  const int start = int(blockIdx.x), value = values[order[start]], column = int(blockIdx.y * 512 + threadIdx.x * 4), left = width - column;
  if (value < 0 || value >= limit || (start > 0 && values[order[start - 1]] == value) || left <= 0) return;
  const bool aligned = alignedRows(dOut, width) && aligned16(table);
  float* const to = table + i64(value) * width + column;
  float4 sum = load4(to, left, aligned);
  constexpr int together = 4;
  for (int i = start;; i += together) {
    // Their loads do not wait for each other.
    float4 parts[together];
    int count = 0;
#pragma unroll
    for (int j = 0; j < together; j++) {
      parts[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      if (i + j >= rows || count < j) continue;
      const int row = order[i + j];
      if (values[row] != value) continue;
      parts[j] = load4(dOut + i64(row) * width + column, left, aligned);
      count++;
    }
#pragma unroll
    for (int j = 0; j < together; j++) sum = sum + parts[j];
    if (count < together) break;
  }
  store4(to, sum, left, aligned);
}
