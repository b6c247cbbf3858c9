// Portable vectors over GCC/Clang vector extensions: AVX-512, AVX2 and NEON from one source.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define INLINE static inline __attribute__((always_inline))

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t ivec __attribute__((vector_size(VECTOR_BYTES)));
constexpr long VL = VECTOR_BYTES / sizeof(real);

INLINE vec load(const real* p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store(real* p, vec v) { memcpy(p, &v, sizeof v); }
INLINE vec splat(real x) { return x - vec{}; }

// The first n (<= VL) elements, the rest 0.
INLINE vec loadPart(const real* p, long n) {
  if (n >= VL) return load(p);
  vec v{};
  for (long i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void storePart(real* p, vec v, long n) {
  if (n >= VL) return store(p, v);
  for (long i = 0; i < n; i++) p[i] = v[i];
}

// Where a is NaN, b. On x86 that is one instruction, which GCC does not find by itself.
#if defined(__AVX512F__)
#define EXTREME(name) (sizeof(real) == 4 ? vec(_mm512_##name##_ps(__m512(a), __m512(b))) : vec(_mm512_##name##_pd(__m512d(a), __m512d(b))))
#elif defined(__AVX__)
#define EXTREME(name) (sizeof(real) == 4 ? vec(_mm256_##name##_ps(__m256(a), __m256(b))) : vec(_mm256_##name##_pd(__m256d(a), __m256d(b))))
#endif
#ifdef EXTREME
INLINE vec larger(vec a, vec b) { return EXTREME(max); }
INLINE vec smaller(vec a, vec b) { return EXTREME(min); }
#undef EXTREME
#else
INLINE vec larger(vec a, vec b) { return a > b ? a : b; }
INLINE vec smaller(vec a, vec b) { return a < b ? a : b; }
#endif

// a * b + c, rounded once where the processor can: left to itself GCC for x86 does not fuse in a loop with a single sum.
#if defined(__AVX512F__)
#define FUSED(type, wide) vec(_mm512_fmadd_##type(wide(a), wide(b), wide(c)))
INLINE vec fused(vec a, vec b, vec c) { return sizeof(real) == 4 ? FUSED(ps, __m512) : FUSED(pd, __m512d); }
#undef FUSED
#elif defined(__FMA__)
#define FUSED(type, wide) vec(_mm256_fmadd_##type(wide(a), wide(b), wide(c)))
INLINE vec fused(vec a, vec b, vec c) { return sizeof(real) == 4 ? FUSED(ps, __m256) : FUSED(pd, __m256d); }
#undef FUSED
#else
INLINE vec fused(vec a, vec b, vec c) { return a * b + c; }
#endif

// Lanes are added in ascending order, whatever the width.
INLINE real sumLanes(vec v) {
  real sum = v[0];
  for (long i = 1; i < VL; i++) sum += v[i];
  return sum;
}
INLINE real maxLanes(vec v) {
  real most = v[0];
  for (long i = 1; i < VL; i++) most = v[i] > most ? v[i] : most;
  return most;
}

// x * 2^n for the n (an integer from -126 to 127) in the low bits of `magic + n`: added to the exponent, so x must be normal.
INLINE vec scaleByPower(vec x, vec magicSum) {
  ivec bits, power;
  memcpy(&bits, &x, sizeof bits);
  memcpy(&power, &magicSum, sizeof power);
  bits += power << 23;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// To the nearest bfloat16, ties to even; an f64 is cut to as many bits of mantissa, and keeps its range.
INLINE vec toBf16(vec x) {
  typedef std::conditional_t<sizeof(real) == 4, uint32_t, uint64_t> word;
  typedef word words __attribute__((vector_size(VECTOR_BYTES)));
  constexpr int dropped = sizeof(real) == 4 ? 16 : 45;
  words bits;
  memcpy(&bits, &x, sizeof bits);
  bits += ((bits >> dropped) & 1) + ((word(1) << (dropped - 1)) - 1);
  bits &= ~((word(1) << dropped) - 1);
  vec rounded;
  memcpy(&rounded, &bits, sizeof rounded);
  return x == x ? rounded : x;
}

// The same in place, times `scale`.
static inline void roundToBf16(real* values, long count, real scale = 1) {
  for (long i = 0; i < count; i += VL) storePart(values + i, toBf16(loadPart(values + i, count - i)) * scale, count - i);
}

// e^x of each: range reduction by ln 2 and a degree-5 polynomial (Cephes expf) for f32, below 2 ulp; std::exp for f64. The steps of all go side by
// side: one after the other, their chains fill the processor's schedulers.
template <int N>
INLINE void exponentials(vec (&x)[N]) {
#define EACH _Pragma("GCC unroll 16") for (int i = 0; i < N; i++)
  if constexpr (sizeof(real) == 4) {
    const real magic = 12582912.0f;
    vec sum[N], p[N];
    // In this order of operands NaN stays NaN.
    EACH x[i] = smaller(splat(88.0f), larger(splat(-87.0f), x[i]));
    EACH sum[i] = x[i] * real(1.44269504088896341) + magic;
    EACH p[i] = sum[i] - magic;
    EACH x[i] = x[i] - p[i] * real(0.693359375);
    EACH x[i] = x[i] - p[i] * real(-2.12194440e-4);
    EACH p[i] = splat(1.9875691500e-4f);
    for (const double c : {1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1})
      EACH p[i] = p[i] * x[i] + real(c);
    EACH p[i] = p[i] * (x[i] * x[i]) + x[i] + real(1);
    EACH x[i] = scaleByPower(p[i], sum[i]);
  } else {
    EACH for (long lane = 0; lane < VL; lane++) x[i][lane] = std::exp(x[i][lane]);
  }
#undef EACH
}
INLINE vec exponential(vec x) {
  vec one[1] = {x};
  exponentials(one);
  return one[0];
}

// GELU in its tanh form, as x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), and its derivative at x.
constexpr real geluScale = real(0.79788456080286535588);
constexpr real geluCubic = real(0.044715);
INLINE vec gelu(vec x, vec& slope) {
  const vec square = x * x;
  const vec twice = x * (square * (2 * geluScale * geluCubic) + 2 * geluScale);
  const vec s = real(1) / (exponential(-twice) + real(1));
  const vec out = x * s;
  slope = s + out * (real(1) - s) * (square * (6 * geluScale * geluCubic) + 2 * geluScale);
  return out;
}

// Element i of a pair's exchange at distance `step`: where bit `step` of i is set (low) or not (high), it comes from the partner.
template <long step, bool high, size_t... I>
INLINE vec exchange(vec a, vec b, std::index_sequence<I...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return high ? __builtin_shufflevector(a, b, ((long(I) & step) ? long(I) + VL : long(I) + step)...)
              : __builtin_shufflevector(a, b, ((long(I) & step) ? long(I) - step + VL : long(I))...);
#else
  typedef std::conditional_t<sizeof(real) == 4, int32_t, int64_t> index;
  typedef index indices __attribute__((vector_size(VECTOR_BYTES)));
  const indices upper = {((long(I) & step) ? index(I) + index(VL) : index(I) + index(step))...};
  const indices lower = {((long(I) & step) ? index(I) - index(step) + index(VL) : index(I))...};
  return __builtin_shuffle(a, b, high ? upper : lower);
#endif
}
template <long step = 1>
INLINE void transposeBlock(vec (&v)[VL]) {
  if constexpr (step < VL) {
    constexpr auto lanes = std::make_index_sequence<VL>();
#pragma GCC unroll 16
    for (long i = 0; i < VL; i++) {
      if (i & step) continue;
      const vec a = v[i], b = v[i + step];
      v[i] = exchange<step, false>(a, b, lanes);
      v[i + step] = exchange<step, true>(a, b, lanes);
    }
    transposeBlock<step * 2>(v);
  }
}

// to[c * strideTo + r] = from[r * strideFrom + c] * scale for r < rows, c < columns.
static inline void transpose(const real* from, long strideFrom, long rows, long columns, real* to, long strideTo, real scale = 1) {
  for (long r = 0; r < rows; r += VL)
    for (long c = 0; c < columns; c += VL) {
      if (r + VL <= rows && c + VL <= columns) {
        vec block[VL];
#pragma GCC unroll 16
        for (long i = 0; i < VL; i++) block[i] = load(from + (r + i) * strideFrom + c) * scale;
        transposeBlock(block);
#pragma GCC unroll 16
        for (long i = 0; i < VL; i++) store(to + (c + i) * strideTo + r, block[i]);
      } else {
        for (long i = r; i < rows && i < r + VL; i++)
          for (long j = c; j < columns && j < c + VL; j++) to[j * strideTo + i] = from[i * strideFrom + j] * scale;
      }
    }
}
