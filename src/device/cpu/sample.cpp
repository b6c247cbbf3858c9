// Drawing the next token of each sequence on the device.
#include <algorithm>

#include "matmul.h"
#include "softmax.h"

namespace {

// Philox4x32-10 (Salmon et al. 2011), the first word; the same function as src/device/philox.ts.
uint32_t philoxWord(uint32_t k0, uint32_t k1, uint32_t c0) {
  uint32_t c1 = 0, c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c0;
}

struct Candidate {
  real logit;
  int32_t id;
};
bool before(const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

// Weights of what lies past the topK largest logits, and then past the smallest prefix with topP of the rest's mass, become 0.
void cut(const real* logits, real* weights, long n, long topK, double topP, Candidate* candidates) {
  for (long id = 0; id < n; id++) candidates[id] = {logits[id], int32_t(id)};
  long kept = n;
  if (topK > 0 && topK < n) {
    kept = topK;
    std::nth_element(candidates, candidates + kept, candidates + n, before);
  }
  if (topP < 1) {
    double total = 0;
    for (long i = 0; i < kept; i++) total += weights[candidates[i].id];
    double mass = 0;
    long taken = 0;
    // Sorted only as far as the mass reaches.
    for (long sorted = 0, goal = 64; taken < kept && mass < topP * total; goal *= 4) {
      if (goal < kept) std::nth_element(candidates + sorted, candidates + goal, candidates + kept, before);
      else goal = kept;
      std::sort(candidates + sorted, candidates + goal, before);
      sorted = goal;
      while (taken < sorted && mass < topP * total) mass += weights[candidates[taken++].id];
    }
    kept = taken;
  }
  for (long i = kept; i < n; i++) weights[candidates[i].id] = 0;
}

constexpr long block = 256;
// The lowest id whose weights, summed from id 0, exceed u times their total. sums: room for that of each block.
long draw(const real* weights, long n, double u, double* sums) {
  const auto sumOf = [&](long start) {
    vec sum{};
    for (long j = start; j < n && j < start + block; j += VL) sum += loadPart(weights + j, n - j);
    return double(sumLanes(sum));
  };
  double total = 0;
  for (long start = 0; start < n; start += block) total += sums[start / block] = sumOf(start);
  const double goal = u * total;
  double seen = 0;
  long start = 0;
  for (; start + block < n; start += block) {
    const double next = seen + sums[start / block];
    if (next > goal) break;
    seen = next;
  }
  // Should rounding leave the goal past this block's sum, its last candidate is the one.
  long drawn = start;
  for (long id = start; id < n && id < start + block && seen <= goal; id++) {
    if (weights[id] <= 0) continue;
    drawn = id;
    seen += weights[id];
  }
  return drawn;
}

// Where the logits lie: behind the scratch of their product.
uint64_t logitsOffset(const Scratch& product) { return uint64_t(roundUp(long(product.shared), 64)); }

}  // namespace

void run_sample(const Launch& l, Worker& worker) {
  using namespace kernel_sample;
  const long batch = l.integers[i_batch], width = l.integers[i_width], capacity = l.integers[i_capacity];
  const long vocabulary = l.integers[i_vocabulary], topK = l.integers[i_topK];
  const double temperature = l.reals[r_temperature], topP = l.reals[r_topP];
  const int32_t *keys = l.n(b_keys), *limits = l.n(b_limits);
  int32_t *ids = l.n(b_ids), *positions = l.n(b_positions), *done = l.n(b_done), *tokens = l.n(b_tokens);
  const bool greedy = temperature == 0;
  const real scale = real(greedy ? 1 : 1 / temperature);
  real* logits = reinterpret_cast<real*>(worker.sharedScratch + logitsOffset(gemmScratch(batch, vocabulary, width)));
  real* weights = reinterpret_cast<real*>(worker.ownScratch);
  Candidate* candidates = reinterpret_cast<Candidate*>(weights + roundUp(vocabulary, VL));

  Gemm product{l.r(b_x), l.r(b_table), logits, batch, vocabulary, width, width, width, vocabulary};
  product.transposeB = true;
  gemm(worker, product);
  forTasks(worker, batch, [&](long b) {
    if (done[b] != 0) return;
    const long next = long(positions[b]) + 1;
    if (next < 1 || next >= capacity) return worker.fault(b, next, capacity);
    const real* row = logits + b * vocabulary;
    const RowStatistics s = rowStatistics(row, vocabulary, scale, greedy ? nullptr : weights);
    long token;
    if (greedy) {
      token = std::max_element(row, row + vocabulary) - row;
    } else {
      // Logits that are not numbers have no order.
      if (((topK > 0 && topK < vocabulary) || topP < 1) && !std::isnan(s.logSumExp)) cut(row, weights, vocabulary, topK, topP, candidates);
      const uint32_t word = philoxWord(uint32_t(keys[2 * b]), uint32_t(keys[2 * b + 1]), uint32_t(next));
      token = draw(weights, vocabulary, (word >> 8) * 0x1p-24, reinterpret_cast<double*>(candidates));
    }
    ids[b] = tokens[b * capacity + next] = int32_t(token);
    l.r(b_logProbability)[b * capacity + next] = logProbability(row[token], scale, s.logSumExp);
    positions[b] = int32_t(next);
    if (token == l.integers[i_endToken] || next >= limits[b]) done[b] = 1;
  });
  // Every worker sees the same, so they all leave after this launch.
  if (std::all_of(done, done + batch, [](int32_t flag) { return flag != 0; })) worker.stop();
}
Scratch scratch_sample(const Launch& l, int) {
  using namespace kernel_sample;
  const long batch = l.integers[i_batch], vocabulary = l.integers[i_vocabulary];
  const Scratch product = gemmScratch(batch, vocabulary, l.integers[i_width]);
  Scratch scratch{logitsOffset(product) + uint64_t(batch * vocabulary) * sizeof(real), product.own};
  scratch.cover({0, uint64_t(roundUp(vocabulary, VL)) * sizeof(real) + uint64_t(vocabulary) * sizeof(Candidate)});
  return scratch;
}
