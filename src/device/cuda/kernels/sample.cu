// Drawing the next token of each sequence on the card. Probability mass is counted in whole units of 2^-44 of the most likely token's, so that its sums are exact,
// the same in any order, and how they compare does not hang on rounding.
#include "statistics.cuh"

// Philox4x32-10 (Salmon et al. 2011), the first word; the same function as src/device/philox.ts.
INLINE u32 philoxWord(u32 k0, u32 k1, u32 c0) {
  u32 c1 = 0, c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    const u64 p0 = u64(0xD2511F53u) * c0, p1 = u64(0xCD9E8D57u) * c2;
    c0 = u32(p1 >> 32) ^ c1 ^ k0;
    c1 = u32(p1);
    c2 = u32(p0 >> 32) ^ c3 ^ k1;
    c3 = u32(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c0;
}

constexpr double unit = 17592186044416.0;  // 2^44
// e^(z - top) in units; 0 for what is not a number.
INLINE u64 massOf(float logit, float scale, float top) {
  const float weight = expf(logit * scale - top);
  return weight > 0.0f ? u64(double(weight < 1.0f ? weight : 1.0f) * unit) : 0;
}

// Numbers that are ordered as floats are; -0 as 0.
INLINE u32 orderOf(float x) {
  const u32 bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The candidates that are left: those of a greater order than `order`, and the first `ties` (by id) of that order.
struct Cut {
  u32 order;
  int ties;
};

// The row, its ids in equal segments, one a thread, so that ids ascend with threads.
struct Row {
  const float* logits;
  int first, end;
  float scale, top;
};

// What comes before this thread's `x` in the block, and (total) the sum over the block. slots: one a warp.
template <class T>
INLINE T exclusiveSum(T x, T& total, T* slots) {
  T sum = x;
  for (int distance = 1; distance < 32; distance *= 2) {
    const T other = __shfl_up_sync(allLanes, sum, u32(distance));
    if (laneOf() >= distance) sum += other;
  }
  if (laneOf() == 31) slots[warpOf()] = sum;
  __syncthreads();
  T before = 0;
  total = 0;
  for (int warp = 0; warp < int(blockDim.x / 32); warp++) {
    if (warp < warpOf()) before += slots[warp];
    total += slots[warp];
  }
  __syncthreads();
  return before + sum - x;
}

// body(id) for those of the thread's ids that the cut leaves, in ascending order. Every thread calls it.
template <class Body>
INLINE void forKept(const Row& row, Cut cut, int* slots, Body body) {
  int ties = 0, all = 0;
  for (int id = row.first; id < row.end; id++) ties += orderOf(row.logits[id]) == cut.order;
  int rank = exclusiveSum(ties, all, slots);
  for (int id = row.first; id < row.end; id++) {
    const u32 order = orderOf(row.logits[id]);
    if (order > cut.order || (order == cut.order && rank++ < cut.ties)) body(id);
  }
}

// The cut after which `reached` first holds, going from the greatest logit down: radix selection, a byte of the order at a time. reached(count, mass) says
// whether so many candidates of so much mass are enough; more of either never are too few, and all are enough.
template <class Reached>
INLINE Cut selectCut(const Row& row, Cut within, u32* counts, u64* masses, int* slots, u64* wideSlots, Reached reached) {
  __shared__ u32 chosen[4];
  __shared__ u64 chosenMass;
  u32 prefix = 0;
  u64 count = 0, mass = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = int(threadIdx.x); i < 256; i += int(blockDim.x)) {
      counts[i] = 0;
      masses[i] = 0;
    }
    __syncthreads();
    forKept(row, within, slots, [&](int id) {
      const u32 order = orderOf(row.logits[id]);
      if (shift < 24 && (order >> (shift + 8)) != prefix) return;
      atomicAdd(&counts[order >> shift & 255u], 1u);
      atomicAdd(&masses[order >> shift & 255u], massOf(row.logits[id], row.scale, row.top));
    });
    __syncthreads();
    // Thread t has digit 255 - t, and before it what greater digits have. If rounding kept all of them from being enough, the last is the one.
    const int digit = 255 - int(threadIdx.x);
    const u64 ours = digit >= 0 ? counts[digit] : 0, ourMass = digit >= 0 ? masses[digit] : 0;
    u64 all;
    const u64 before = count + exclusiveSum(ours, all, wideSlots), massBefore = mass + exclusiveSum(ourMass, all, wideSlots);
    const bool enough = digit == 0 || (digit > 0 && reached(before + ours, massBefore + ourMass));
    if (enough && !(digit < 255 && reached(before, massBefore))) {
      chosen[0] = prefix << 8 | u32(digit);
      chosen[1] = u32(before);
      chosen[2] = u32(ours);
      chosenMass = massBefore;
    }
    __syncthreads();
    prefix = chosen[0];
    count = chosen[1];
    mass = chosenMass;
    __syncthreads();
  }
  // All candidates of this order have the same mass: as many as it takes.
  const u64 each = chosen[2] == 0 ? 0 : masses[prefix & 255u] / chosen[2];
  int low = 1, high = int(chosen[2]);
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (reached(count + u64(middle), mass + u64(middle) * each)) high = middle;
    else low = middle + 1;
  }
  __syncthreads();
  return {prefix, low};
}

// A block a sequence. outside[b] = 1 if its next position is not from 1 to capacity - 1, and 0 otherwise.
KERNEL(1024) drawTokens(const float* allLogits, const int* keys, const int* limits, int* ids, int* positions, int* done, int* tokens, float* logProbability,
                        int* outside, int vocabulary, int capacity, int topK, int endToken, double temperature, double topP) {
  __shared__ Online slots[32];
  __shared__ u32 counts[256];
  __shared__ u64 masses[256];
  __shared__ u64 wideSlots[32];
  __shared__ int narrowSlots[32];
  __shared__ int drawn;
  const int b = int(blockIdx.x), next = positions[b] + 1;
  const bool active = done[b] == 0, bad = active && (next < 1 || next >= capacity);
  __syncthreads();
  if (threadIdx.x == 0) outside[b] = bad ? 1 : 0;
  if (!active || bad) return;
  const bool greedy = temperature == 0.0;
  const float scale = float(greedy ? 1.0 : 1.0 / temperature);
  const float* const logits = allLogits + i64(b) * vocabulary;
  const RowStatistics s = rowStatistics(logits, vocabulary, scale, slots);
  const int threads = int(blockDim.x), segment = (vocabulary + threads - 1) / threads;
  const int first = min(vocabulary, int(threadIdx.x) * segment);
  const Row row{logits, first, min(vocabulary, first + segment), scale, s.top};
  if (threadIdx.x == 0) drawn = vocabulary - 1;
  __syncthreads();
  if (greedy) {
    // The lowest id of the greatest logit.
    int best = 0x7fffffff;
    const u32 most = orderOf(s.top);
    for (int id = row.first; id < row.end && best == 0x7fffffff; id++)
      if (orderOf(logits[id]) == most) best = id;
    best = blockReduce(best, narrowSlots, [](int x, int y) { return x < y ? x : y; });
    if (threadIdx.x == 0 && best < vocabulary) drawn = best;
  } else {
    Cut cut = {0u, vocabulary};
    // Logits that are not numbers have no order.
    if (s.logSumExp == s.logSumExp) {
      if (topK > 0) cut = selectCut(row, cut, counts, masses, narrowSlots, wideSlots, [&](u64 count, u64) { return count >= u64(topK); });
      if (topP < 1.0) {
        u64 mass = 0, all = 0;
        forKept(row, cut, narrowSlots, [&](int id) { mass += massOf(logits[id], scale, s.top); });
        exclusiveSum(mass, all, wideSlots);
        const double goal = topP * double(all);
        cut = selectCut(row, cut, counts, masses, narrowSlots, wideSlots, [&](u64, u64 sum) { return double(sum) >= goal; });
      }
    }
    u64 mass = 0, all = 0;
    forKept(row, cut, narrowSlots, [&](int id) { mass += massOf(logits[id], scale, s.top); });
    const u64 before = exclusiveSum(mass, all, wideSlots);
    // The lowest id at which the sum exceeds u times all of it; u = word / 2^24, so that is when it exceeds the whole part of their product.
    const u64 word = philoxWord(u32(keys[2 * b]), u32(keys[2 * b + 1]), u32(next)) >> 8;
    const u64 goal = __umul64hi(all, word << 40);
    u64 seen = before;
    if (before <= goal && goal < before + mass) {
      // One thread only; but all of a warp take part in the ranks.
      mass = 1;
    } else {
      mass = 0;
    }
    forKept(row, cut, narrowSlots, [&](int id) {
      if (mass == 0) return;
      seen += massOf(logits[id], scale, s.top);
      if (seen > goal) {
        drawn = id;
        mass = 0;
      }
    });
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  const int token = drawn;
  ids[b] = token;
  tokens[i64(b) * capacity + next] = token;
  logProbability[i64(b) * capacity + next] = logProbabilityOf(logits[token], scale, s.logSumExp);
  positions[b] = next;
  if (token == endToken || next >= limits[b]) done[b] = 1;
}

// One block: tells the first position that was out of range, and whether every sequence is done.
KERNEL(256) endDraw(const int* done, const int* positions, const int* outside, int batch, int capacity, int launch, int* status) {
  __shared__ int slots[32];
  constexpr int none = 0x7fffffff;
  int going = 0, first = none;
  for (int b = int(threadIdx.x); b < batch; b += int(blockDim.x)) {
    going |= done[b] == 0;
    if (outside[b] != 0 && first == none) first = b;
  }
  going = blockReduce(going, slots, [](int a, int c) { return a | c; });
  first = blockReduce(first, slots, [](int a, int c) { return a < c ? a : c; });
  if (threadIdx.x != 0) return;
  if (going == 0) status[7] = 1;
  if (first == none || status[0] != 0) return;
  status[1] = launch;
  status[2] = first;
  status[3] = positions[first] + 1;
  status[4] = capacity;
  status[0] = 1;
}
