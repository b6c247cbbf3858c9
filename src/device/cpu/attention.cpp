// Causal attention over whole sequences, forward and backward. Queries lie in the lanes, a panel of NR at a time: the softmax is vertical,
// and keys and values are broadcast operands, read as they are. Scores exist for a panel (backward: a block) of queries at a time only.
#include "matmul.h"

namespace {

constexpr long queryBlock = 4 * NR;  // backward: queries whose probabilities are kept at once
constexpr long keyBlock = 16 * MR;   // backward: against so many keys

// c[rows][VECTORS * VL] = (fresh ? 0 : c) + a . b
template <int VECTORS = NV>
void product(const real* a, long rowA, long stepA, long rows, const real* b, long rowB, long k, real* c, long rowC, bool fresh) {
  for (long i = 0; i < rows; i += MR)
    tileOf<VECTORS>(rows - i < MR ? rows - i : MR)(a + i * rowA, rowA, stepA, b, rowB, k, c + i * rowC, rowC, fresh);
}

// `hidden` in the lanes whose query (first + lane) may not see the key.
INLINE vec hide(vec x, long key, long first, real hidden) {
  vec lanes;
  for (long lane = 0; lane < VL; lane++) lanes[lane] = real(lane);
  return lanes < splat(real(key - first)) ? splat(hidden) : x;
}

// The first key that a query may see: of rows from `query` on, `rows` of them; lanes beyond see all. starts null: all see all.
INLINE vec firstKeys(const int32_t* starts, long query, long rows) {
  vec first{};
  if (starts != nullptr)
    for (long lane = 0; lane < VL && lane < rows; lane++) first[lane] = real(starts[query + lane]);
  return first;
}
// `hidden` in the lanes whose query may not see a key so early.
INLINE vec hideBefore(vec x, long key, vec first, real hidden) { return first > splat(real(key)) ? splat(hidden) : x; }

// Rows of a head lie far apart, so the processor does not foresee them: the row some rows on is fetched while this one is read.
INLINE void fetchAhead(const real* row, long stride, long width) {
  for (long d = 0; d < width; d += 64 / long(sizeof(real))) __builtin_prefetch(row + 8 * stride + d);
}

struct Sizes {
  long batch, length, heads, keyHeads, width;  // width of a head
  bool rounds = false;                         // factors of products, to bfloat16
  long channels() const { return heads * width; }
  long keyChannels() const { return keyHeads * width; }
  long row() const { return channels() + 2 * keyChannels(); }
  long group() const { return heads / keyHeads; }  // query heads that share a key head
};

// A worker's scratch, cut into arrays; over null it only counts.
struct Cutter {
  real* base;
  long used = 0;
  real* take(long count) {
    real* const taken = base == nullptr ? nullptr : base + used;
    used += roundUp(count, VL);
    return taken;
  }
};

struct Forward {
  real *keys, *values, *queries, *scores, *out;
  long end;
  Forward(const Sizes& s, real* base) {
    Cutter cutter{base};
    keys = cutter.take(s.length * s.width);
    values = cutter.take(s.length * s.width);
    queries = cutter.take(s.width * NR);
    scores = cutter.take(s.length * NR);
    out = cutter.take(s.width * NR);
    end = cutter.used;
  }
};

// The softmax of a panel's scores[keys][NR], in place and unnormalised; queries start at `query`. A query's sum is made of VL strands, the keys
// of one remainder mod VL each, added in order: the order of decodeAttention. Before key `shared` there may be queries that do not see a key.
void softmax(real* scores, long keys, long query, const vec (&first)[NV], long shared, vec (&most)[NV], vec (&total)[NV]) {
  // Keys before `query` are seen by the whole panel; what a query does not see must not decide its maximum.
  const long open = query + 1 < keys ? query + 1 : keys;
  vec top[2][NV];
  for (int v = 0; v < NV; v++) top[0][v] = top[1][v] = splat(-INFINITY);
  // What all queries see lies between.
  const long from = shared < open ? shared : open;
  const auto rise = [&](long j, long to, auto hides) {
    for (; j < to; j++)
      for (int v = 0; v < NV; v++) {
        vec score = load(scores + j * NR + v * VL);
        if (hides && j >= open) score = hide(score, j, query + v * VL, -INFINITY);
        if (hides && j < shared) score = hideBefore(score, j, first[v], -INFINITY);
        top[j & 1][v] = larger(top[j & 1][v], score);
      }
  };
  rise(0, from, std::true_type());
  rise(from, open, std::false_type());
  rise(open, keys, std::true_type());
  for (int v = 0; v < NV; v++) most[v] = larger(top[0][v], top[1][v]);
  for (long strand = 0; strand < VL; strand++) {
    vec part[NV] = {};
    long j = strand;
    const auto raise = [&](long to, auto hides) {
      for (; j < to; j += VL)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
          vec p = exponential(load(scores + j * NR + v * VL) - most[v]);
          if (hides && j >= open) p = hide(p, j, query + v * VL, 0);
          if (hides && j < shared) p = hideBefore(p, j, first[v], 0);
          store(scores + j * NR + v * VL, p);
          part[v] += p;
        }
    };
    raise(from, std::true_type());
    for (; j + VL < open; j += 2 * VL) {
      const auto at = [&](int i) { return scores + (j + i / NV * VL) * NR + i % NV * VL; };
      vec p[2 * NV];
#pragma GCC unroll 8
      for (int i = 0; i < 2 * NV; i++) p[i] = load(at(i)) - most[i % NV];
      exponentials(p);
#pragma GCC unroll 8
      for (int i = 0; i < 2 * NV; i++) {
        store(at(i), p[i]);
        part[i % NV] += p[i];
      }
    }
    raise(open, std::false_type());
    raise(keys, std::true_type());
    for (int v = 0; v < NV; v++) total[v] = strand == 0 ? part[v] : total[v] + part[v];
  }
}

}  // namespace

void run_attention(const Launch& l, Worker& worker) {
  using namespace kernel_attention;
  const Sizes s{l.integers[i_batch],    l.integers[i_length],    l.integers[i_heads],
                l.integers[i_keyHeads], l.integers[i_headWidth], l.integers[i_precision] == precision_bf16};
  const Forward f(s, reinterpret_cast<real*>(worker.ownScratch));
  const long panels = (s.length + NR - 1) / NR;
  const real scale = real(1) / std::sqrt(real(s.width));
  long gatheredFrom = -1, gathered = 0;
  forTasks(worker, s.batch * s.heads * panels, [&](long task) {
    // The panels with the most keys come first, so that what is gathered for one mostly serves the next of its head.
    const long head = task / panels, b = head / s.heads, h = head % s.heads;
    const long query = (panels - 1 - task % panels) * NR;
    const long queries = s.length - query < NR ? s.length - query : NR, keys = query + queries;
    const real* qkv = l.r(b_qkv) + b * s.length * s.row() + h * s.width;
    const long keyHead = h / s.group(), from = b * s.keyHeads + keyHead;
    if (gatheredFrom != from) gathered = 0;
    gatheredFrom = from;
    for (; gathered < keys; gathered++) {
      const real* row = l.r(b_qkv) + (b * s.length + gathered) * s.row() + s.channels() + keyHead * s.width;
      for (long part : {0L, s.keyChannels()}) fetchAhead(row + part, s.row(), s.width);
      memcpy(f.keys + gathered * s.width, row, size_t(s.width) * sizeof(real));
      memcpy(f.values + gathered * s.width, row + s.keyChannels(), size_t(s.width) * sizeof(real));
      if (s.rounds)
        for (real* array : {f.keys, f.values}) roundToBf16(array + gathered * s.width, s.width);
    }
    if (queries < NR) memset(f.queries, 0, size_t(s.width * NR) * sizeof(real));
    transpose(qkv + query * s.row(), s.row(), queries, s.width, f.queries, NR, s.rounds ? real(1) : scale);
    if (s.rounds) roundToBf16(f.queries, s.width * NR, scale);
    const int32_t* starts = l.n(b_starts) == nullptr ? nullptr : l.n(b_starts) + b * s.length;
    // Keys before `least` are seen by none of the panel, and from `shared` on by all.
    long least = 0, shared = 0;
    if (starts != nullptr) {
      least = query;
      for (long i = query; i < keys; i++) {
        if (starts[i] < 0 || starts[i] > i) {
          worker.fault(b * s.length + i, starts[i], i + 1);
          return;
        }
        if (starts[i] < least) least = starts[i];
        if (starts[i] > shared) shared = starts[i];
      }
    }
    vec most[NV], total[NV], first[NV];
    for (int v = 0; v < NV; v++) first[v] = firstKeys(starts, query + v * VL, queries - v * VL) - real(least);
    product(f.keys + least * s.width, s.width, 1, keys - least, f.queries, NR, s.width, f.scores, NR, true);
    softmax(f.scores, keys - least, query - least, first, shared - least, most, total);
    if (s.rounds) roundToBf16(f.scores, (keys - least) * NR);
    product(f.values + least * s.width, 1, s.width, s.width, f.scores, NR, keys - least, f.out, NR, true);
    for (int v = 0; v < NV; v++) {
      const vec inverse = real(1) / total[v];
      for (long d = 0; d < s.width; d++) store(f.out + d * NR + v * VL, load(f.out + d * NR + v * VL) * inverse);
    }
    transpose(f.out, NR, s.width, queries, l.r(b_out) + (b * s.length + query) * s.channels() + h * s.width, s.channels());
    real* logSumExp = l.r(b_logSumExp) + head * s.length + query;
    for (long i = 0; i < queries; i++) logSumExp[i] = most[i / VL][i % VL] + std::log(total[i / VL][i % VL]);
  });
}
Scratch scratch_attention(const Launch& l, int) {
  using namespace kernel_attention;
  const Sizes s{l.integers[i_batch], l.integers[i_length], l.integers[i_heads], l.integers[i_keyHeads], l.integers[i_headWidth]};
  return {0, uint64_t(Forward(s, nullptr).end) * sizeof(real)};
}

namespace {

struct Backward {
  long padded;                                             // width of a head in whole vectors
  real *keys, *values;                                     // [length][width]
  real *queries, *dOut, *dKeys, *dValues;                  // [length][padded]
  real *queriesT, *dOutT, *dQueriesT;                      // [width][queryBlock]
  real *p, *dScores;                                       // [keyBlock][queryBlock]
  real *logSumExp, *along;                                 // [queryBlock]
  long end;
  Backward(const Sizes& s, real* base) {
    padded = roundUp(s.width, VL);
    Cutter cutter{base};
    for (real** array : {&keys, &values}) *array = cutter.take(s.length * s.width);
    for (real** array : {&queries, &dOut, &dKeys, &dValues}) *array = cutter.take(s.length * padded);
    for (real** array : {&queriesT, &dOutT, &dQueriesT}) *array = cutter.take(s.width * queryBlock);
    for (real** array : {&p, &dScores}) *array = cutter.take(keyBlock * queryBlock);
    for (real** array : {&logSumExp, &along}) *array = cutter.take(queryBlock);
    end = cutter.used;
  }
};

// p and dScores of keys key.. key + keys and one panel of queries at `at` in the block that starts at query0.
void differentiatePanel(const Backward& f, const Sizes& s, long key, long keys, long query0, long at, const int32_t* starts, long rows) {
  const long width = s.width;
  real *p = f.p + at, *dScores = f.dScores + at;
  product(f.keys + key * width, width, 1, keys, f.queriesT + at, queryBlock, width, p, queryBlock, true);
  product(f.values + key * width, width, 1, keys, f.dOutT + at, queryBlock, width, dScores, queryBlock, true);
  const long first = query0 + at;
  vec logSumExp[NV], along[NV], start[NV];
  for (int v = 0; v < NV; v++) {
    logSumExp[v] = load(f.logSumExp + at + v * VL);
    along[v] = load(f.along + at + v * VL);
    start[v] = firstKeys(starts, first + v * VL, rows - v * VL);
  }
  const auto differentiate = [&](long j, auto count) {
    constexpr int all = decltype(count)::value * NV;
    const auto place = [j](int i) { return (j + i / NV) * queryBlock + i % NV * VL; };
    vec probability[all];
#pragma GCC unroll 16
    for (int i = 0; i < all; i++) probability[i] = load(p + place(i)) - logSumExp[i % NV];
    exponentials(probability);
#pragma GCC unroll 16
    for (int i = 0; i < all; i++) {
      const int v = i % NV;
      if (all == NV && key + j > first) probability[i] = hide(probability[i], key + j, first + v * VL, 0);
      if (all == NV && starts != nullptr) probability[i] = hideBefore(probability[i], key + j, start[v], 0);
      const vec slope = probability[i] * (load(dScores + place(i)) - along[v]);
      store(p + place(i), s.rounds ? toBf16(probability[i]) : probability[i]);
      store(dScores + place(i), s.rounds ? toBf16(slope) : slope);
    }
  };
  // Two keys at a time where all queries see both.
  const long open = starts != nullptr ? 0 : first - key + 1 < keys ? first - key + 1 : keys;
  long j = 0;
  for (; j + 1 < open; j += 2) differentiate(j, std::integral_constant<int, 2>());
  for (; j < keys; j++) differentiate(j, std::integral_constant<int, 1>());
}

// to[keys][padded] += a^T . b over the block's queries, for all columns; the first `hidden` + i queries do not see key i: their a is 0.
void addOverQueries(const Backward& f, const real* a, long keys, const real* b, long queries, long hidden, real* to) {
  for (long i = 0; i < keys; i += MR) {
    const long skip = hidden + i < 0 ? 0 : hidden + i, rows = keys - i < MR ? keys - i : MR;
    const auto add = [&](Tile* multiply, long column) {
      multiply(a + i * queryBlock + skip, queryBlock, 1, b + skip * f.padded + column, f.padded, queries - skip, to + i * f.padded + column,
               f.padded, false);
    };
    long column = 0;
    for (; column + NR <= f.padded; column += NR) add(tileOf(rows), column);
    for (; column < f.padded; column += VL) add(tileOf<1>(rows), column);
  }
}

// Queries query0.. query0 + queries against all keys they see.
void differentiateBlock(const Backward& f, const Sizes& s, long query0, long queries, const int32_t* starts) {
  const long width = s.width;
  const long end = query0 + queries;
  long least = starts == nullptr ? 0 : query0;
  for (long i = query0; starts != nullptr && i < end; i++) least = starts[i] < least ? starts[i] : least;
  for (long key = least / keyBlock * keyBlock; key < end; key += keyBlock) {
    const long keys = end - key < keyBlock ? end - key : keyBlock;
    for (long at = 0; at < queries; at += NR) {
      const long last = query0 + at + NR - key, visible = last < 0 ? 0 : last < keys ? last : keys;
      differentiatePanel(f, s, key, visible, query0, at, starts, queries - at);
      for (long j = visible; j < keys; j++) {
        memset(f.p + j * queryBlock + at, 0, NR * sizeof(real));
        memset(f.dScores + j * queryBlock + at, 0, NR * sizeof(real));
      }
      product(f.keys + key * width, 1, width, width, f.dScores + at, queryBlock, visible, f.dQueriesT + at, queryBlock, false);
    }
    addOverQueries(f, f.p, keys, f.dOut + query0 * f.padded, queries, key - query0, f.dValues + key * f.padded);
    addOverQueries(f, f.dScores, keys, f.queries + query0 * f.padded, queries, key - query0, f.dKeys + key * f.padded);
  }
}

}  // namespace

// dV = P^T dO; dS = P (dO V^T - rowsum(dO O)); dQ = scale dS K; dK = scale dS^T Q (Dao 2022, algorithm 4).
void run_attentionGradient(const Launch& l, Worker& worker) {
  using namespace kernel_attentionGradient;
  const Sizes s{l.integers[i_batch],    l.integers[i_length],    l.integers[i_heads],
                l.integers[i_keyHeads], l.integers[i_headWidth], l.integers[i_precision] == precision_bf16};
  const Backward f(s, reinterpret_cast<real*>(worker.ownScratch));
  const long width = s.width, c = s.channels();
  const size_t headBytes = size_t(width) * sizeof(real);
  const real scale = real(1) / std::sqrt(real(width));
  forTasks(worker, s.batch * s.keyHeads, [&](long task) {
    const long b = task / s.keyHeads, keyHead = task % s.keyHeads;
    const long keyAt = b * s.length * s.row() + c + keyHead * width;
    const int32_t* starts = l.n(b_starts) == nullptr ? nullptr : l.n(b_starts) + b * s.length;
    for (long i = 0; starts != nullptr && i < s.length; i++)
      if (starts[i] < 0 || starts[i] > i) {
        worker.fault(b * s.length + i, starts[i], i + 1);
        return;
      }
    memset(f.dKeys, 0, size_t(s.length * f.padded) * sizeof(real));
    memset(f.dValues, 0, size_t(s.length * f.padded) * sizeof(real));
    for (long t = 0; t < s.length; t++) {
      const real* row = l.r(b_qkv) + keyAt + t * s.row();
      for (long part : {0L, s.keyChannels()}) fetchAhead(row + part, s.row(), width);
      memcpy(f.keys + t * width, row, headBytes);
      memcpy(f.values + t * width, row + s.keyChannels(), headBytes);
    }
    if (s.rounds)
      for (real* array : {f.keys, f.values}) roundToBf16(array, s.length * width);
    for (long h = keyHead * s.group(); h < (keyHead + 1) * s.group(); h++) {
      const real* qkv = l.r(b_qkv) + b * s.length * s.row() + h * width;
      const real* dOut = l.r(b_dOut) + b * s.length * c + h * width;
      const real* out = l.r(b_out) + b * s.length * c + h * width;
      real* dQkv = l.r(b_dQkv) + b * s.length * s.row() + h * width;
      if (f.padded > width)
        for (real* array : {f.queries, f.dOut}) memset(array, 0, size_t(s.length * f.padded) * sizeof(real));
      for (long t = 0; t < s.length; t++) {
        for (const real* rows : {dOut, out}) fetchAhead(rows + t * c, c, width);
        fetchAhead(qkv + t * s.row(), s.row(), width);
        memcpy(f.dOut + t * f.padded, dOut + t * c, headBytes);
        for (long d = 0; d < width; d++) f.queries[t * f.padded + d] = qkv[t * s.row() + d] * (s.rounds ? real(1) : scale);
      }
      if (s.rounds) {
        roundToBf16(f.dOut, s.length * f.padded);
        roundToBf16(f.queries, s.length * f.padded, scale);
      }
      for (long query = 0; query < s.length; query += queryBlock) {
        const long queries = s.length - query < queryBlock ? s.length - query : queryBlock;
        for (real* array : {f.queriesT, f.dOutT, f.dQueriesT}) memset(array, 0, size_t(width * queryBlock) * sizeof(real));
        transpose(f.queries + query * f.padded, f.padded, queries, width, f.queriesT, queryBlock);
        transpose(f.dOut + query * f.padded, f.padded, queries, width, f.dOutT, queryBlock);
        for (long i = 0; i < queryBlock; i++) {
          // Lanes past the end: probability 0 for every key.
          f.logSumExp[i] = i < queries ? l.r(b_logSumExp)[(b * s.heads + h) * s.length + query + i] : real(INFINITY);
          vec along{};
          if (i < queries)
            for (long d = 0; d < width; d += VL)
              along += loadPart(dOut + (query + i) * c + d, width - d) * loadPart(out + (query + i) * c + d, width - d);
          f.along[i] = sumLanes(along);
        }
        differentiateBlock(f, s, query, queries, starts);
        transpose(f.dQueriesT, queryBlock, width, queries, dQkv + query * s.row(), s.row(), scale);
      }
    }
    for (long t = 0; t < s.length; t++) {
      real* row = l.r(b_dQkv) + keyAt + t * s.row();
      memcpy(row, f.dKeys + t * f.padded, headBytes);
      memcpy(row + s.keyChannels(), f.dValues + t * f.padded, headBytes);
    }
  });
}
Scratch scratch_attentionGradient(const Launch& l, int) {
  using namespace kernel_attentionGradient;
  const Sizes s{l.integers[i_batch], l.integers[i_length], l.integers[i_heads], l.integers[i_keyHeads], l.integers[i_headWidth]};
  return {0, uint64_t(Backward(s, nullptr).end) * sizeof(real)};
}
