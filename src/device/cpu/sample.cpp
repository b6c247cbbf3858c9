// Drawing the next token of each sequence on the device.
#include <algorithm>

#include "launch.h"

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

// ROWS x COLUMNS dot products over the width, lanes in a fixed order whatever else is computed.
template <int ROWS, int COLUMNS>
INLINE void dots(const real* const* x, const real* const* table, long width, real (&out)[ROWS][COLUMNS]) {
  vec acc[ROWS][COLUMNS] = {};
  long d = 0;
  for (; d + VL <= width; d += VL) {
    vec right[COLUMNS];
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; j++) right[j] = load(table[j] + d);
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; i++) {
      const vec left = load(x[i] + d);
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; j++) acc[i][j] += left * right[j];
    }
  }
  if (d < width)
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS; j++) acc[i][j] += loadPart(x[i] + d, width - d) * loadPart(table[j] + d, width - d);
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < COLUMNS; j++) out[i][j] = sumLanes(acc[i][j]);
}

struct Settings {
  long vocabulary, topK;
  double temperature, topP;
};

// The token drawn with the uniform u from logits (already divided by the temperature; top is their maximum).
long draw(const real* logits, double top, double u, const Settings& s, int32_t* order) {
  const long n = s.vocabulary;
  if (s.temperature == 0) {
    long best = 0;
    for (long j = 1; j < n; j++)
      if (logits[j] > logits[best]) best = j;
    return best;
  }
  const bool cutK = s.topK > 0 && s.topK < n, cutP = s.topP < 1;
  long kept = n;
  if (cutK || cutP) {
    for (long j = 0; j < n; j++) order[j] = int32_t(j);
    const auto before = [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    if (cutK) {
      kept = s.topK;
      std::partial_sort(order, order + kept, order + n, before);
    } else {
      std::sort(order, order + n, before);
    }
  }
  const auto token = [&](long rank) { return cutK || cutP ? long(order[rank]) : rank; };
  const auto weight = [&](long rank) { return std::exp(double(logits[token(rank)]) - top); };
  double total = 0;
  for (long rank = 0; rank < kept; rank++) total += weight(rank);
  if (cutP) {
    double mass = 0;
    long prefix = 0;
    while (prefix < kept && mass < s.topP * total) mass += weight(prefix++);
    kept = prefix;
    total = mass;
  }
  double seen = 0;
  for (long rank = 0; rank < kept; rank++) {
    seen += weight(rank);
    if (seen > u * total) return token(rank);
  }
  return token(kept - 1);
}

}  // namespace

void run_sample(const Launch& l, Worker& worker) {
  using namespace kernel_sample;
  const long batch = l.integers[i_batch], width = l.integers[i_width], capacity = l.integers[i_capacity];
  const Settings settings{l.integers[i_vocabulary], l.integers[i_topK], l.reals[r_temperature], l.reals[r_topP]};
  const long vocabulary = settings.vocabulary;
  const real *x = l.r(b_x), *table = l.r(b_table);
  const int32_t *keys = l.n(b_keys), *limits = l.n(b_limits);
  int32_t *ids = l.n(b_ids), *positions = l.n(b_positions), *done = l.n(b_done), *tokens = l.n(b_tokens);
  real* logProbability = l.r(b_logProbability);
  real* logits = reinterpret_cast<real*>(worker.sharedScratch);
  const real scale = real(settings.temperature == 0 ? 1 : 1 / settings.temperature);

  constexpr long columns = 48;
  constexpr int R = 4, C = 3;
  forTasks(worker, (vocabulary + columns - 1) / columns, [&](long task) {
    const long end = (task + 1) * columns < vocabulary ? (task + 1) * columns : vocabulary;
    for (long j0 = task * columns; j0 < end; j0 += C) {
      const real* rights[C];
      for (int j = 0; j < C; j++) rights[j] = table + (j0 + j < end ? j0 + j : end - 1) * width;
      for (long b0 = 0; b0 < batch; b0 += R) {
        const real* lefts[R];
        bool any = false;
        for (int i = 0; i < R; i++) {
          const long b = b0 + i < batch ? b0 + i : batch - 1;
          lefts[i] = x + b * width;
          any = any || done[b] == 0;
        }
        if (!any) continue;
        real out[R][C];
        dots<R, C>(lefts, rights, width, out);
        for (int i = 0; i < R && b0 + i < batch; i++)
          for (int j = 0; j < C && j0 + j < end; j++) logits[(b0 + i) * vocabulary + j0 + j] = out[i][j] * scale;
      }
    }
  });
  forTasks(worker, batch, [&](long b) {
    if (done[b] != 0) return;
    const long position = positions[b];
    if (position < 0 || position + 1 >= capacity) {
      worker.fault(b, position + 1, capacity);
      return;
    }
    const real* row = logits + b * vocabulary;
    real top = row[0];
    for (long j = 1; j < vocabulary; j++) top = row[j] > top ? row[j] : top;
    double sum = 0;
    for (long j = 0; j < vocabulary; j += VL) {
      const long n = vocabulary - j;
      const vec e = exponential(loadPart(row + j, n) - top);
      for (long i = 0; i < VL && i < n; i++) sum += double(e[i]);
    }
    const double u = (philoxWord(uint32_t(keys[2 * b]), uint32_t(keys[2 * b + 1]), uint32_t(position + 1)) >> 8) * 0x1p-24;
    const long token = draw(row, top, u, settings, reinterpret_cast<int32_t*>(worker.ownScratch));
    const long at = b * capacity + position + 1;
    tokens[at] = int32_t(token);
    ids[b] = int32_t(token);
    logProbability[at] = real(double(row[token]) - double(top) - std::log(sum));
    positions[b] = int32_t(position + 1);
    if (token == l.integers[i_endToken] || position + 1 >= limits[b]) done[b] = 1;
  });
}
Scratch scratch_sample(const Launch& l, int) {
  using namespace kernel_sample;
  return {uint64_t(l.integers[i_batch] * l.integers[i_vocabulary]) * sizeof(real), uint64_t(l.integers[i_vocabulary]) * sizeof(int32_t)};
}
