/* Vectors of V floats, the width for which a build is made: 16 for AVX-512, 8 for AVX2, else 4.

   Every row of numbers is padded to a multiple of LANES, whatever V is. Sums along a row are taken in LANES
   columns and then by halves, so their order does not depend on V, and builds with fused multiply-adds give
   the same bits. */
#ifndef HEBBEVO_VECTORS_H
#define HEBBEVO_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define V 16
#define EACH_LANE {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#elif defined(__AVX2__)
#define V 8
#define EACH_LANE {0, 1, 2, 3, 4, 5, 6, 7}
#else
#define V 4
#define EACH_LANE {0, 1, 2, 3}
#endif

#define LANES 16
/* A function whose constant arguments make another program of it wherever it is called. */
#define TEMPLATE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef float vf __attribute__((vector_size(4 * V), may_alias));
typedef float unaligned_vf __attribute__((vector_size(4 * V), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * V), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * V), may_alias));

TEMPLATE vf splat(float a) { return a - (vf){0}; }
TEMPLATE vf load(const float *from) { return *(const vf *)from; }
TEMPLATE vf load_unaligned(const float *from) { return *(const unaligned_vf *)from; }
TEMPLATE void store(float *to, vf a) { *(vf *)to = a; }
/* Lane i is lane from[i] of a, or of b from V on; `from` is constant, so that it becomes one instruction. */
TEMPLATE vf chosen(vf a, vf b, vi from) {
#ifdef __clang__ /* which has this for literal numbers only */
  vf out;
  UNROLL for (int i = 0; i < V; i++) out[i] = from[i] < V ? a[from[i]] : b[from[i] - V];
  return out;
#else
  return __builtin_shuffle(a, b, from);
#endif
}
TEMPLATE vf where(vi mask, vf a) { return (vf)((vi)a & mask); } /* 0 elsewhere */
TEMPLATE vf larger(vf a, vf b) {
  vi mask = a > b;
  return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}
TEMPLATE vf root(vf a) {
  UNROLL for (int i = 0; i < V; i++) a[i] = sqrtf(a[i]);
  return a;
}
/* a where h is above zero, else 0; NaN stays, so that divergence is seen */
TEMPLATE vf rectified(vf a, vf h) { return where(~(h <= (vf){0}), a); }
TEMPLATE vf size_of(vf a) { return (vf)((vi)a & 0x7FFFFFFF); }
TEMPLATE vf fires(vf a) { return where(a != (vf){0}, splat(1)); } /* 1 where a unit fires */

/* e^a for a up to 88, within 2 units in the last place, and 0 below -87: a = n ln 2 + r, and e^r by its series
   with coefficients of Cephes' expf. */
TEMPLATE vf exponential(vf a) {
  vf n = a * splat(1.44269504f) + splat(12582912.0f); /* 1.5 x 2^23, so that n is a whole number in its last bits */
  vf power = (vf)(((vu)n << 23) + (127u << 23)); /* 2^n */
  n -= splat(12582912.0f);
  vf r = a - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
  vf series = splat(1.9875691500e-4f);
  series = series * r + splat(1.3981999507e-3f);
  series = series * r + splat(8.3334519073e-3f);
  series = series * r + splat(4.1665795894e-2f);
  series = series * r + splat(1.6666665459e-1f);
  series = series * r + splat(5.0000001201e-1f);
  series = series * (r * r) + r + splat(1);
  return where(~(a < splat(-87)), series * power);
}

/* ln a for normal numbers above 0, within 2 units in the last place: a = 2^n m with m near 1, and ln m by its series
   with coefficients of Cephes' logf. */
TEMPLATE vf logarithm(vf a) {
  vi power = (vi)((vu)a >> 23) - 126;
  vf m = (vf)(((vi)a & 0x007FFFFF) | 0x3F000000); /* 1/2 to 1 */
  vi is_low = m < splat(0.707106781f);
  power += is_low;
  m += where(is_low, m) - splat(1);
  vf n = __builtin_convertvector(power, vf), square = m * m;
  vf series = splat(7.0376836292e-2f);
  series = series * m - splat(1.1514610310e-1f);
  series = series * m + splat(1.1676998740e-1f);
  series = series * m - splat(1.2420140846e-1f);
  series = series * m + splat(1.4249322787e-1f);
  series = series * m - splat(1.6668057665e-1f);
  series = series * m + splat(2.0000714765e-1f);
  series = series * m - splat(2.4999993993e-1f);
  series = series * m + splat(3.3333331174e-1f);
  vf rest = series * m * square - n * splat(2.12194440e-4f) - square * splat(0.5f);
  return m + rest + n * splat(0.693359375f);
}

static inline int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

/* Sums of LANES columns, which `total` adds up. */
typedef struct {
  vf part[LANES / V];
} Sum;

TEMPLATE float total(Sum sum) {
  UNROLL for (int parts = LANES / V / 2; parts; parts /= 2)
    UNROLL for (int i = 0; i < parts; i++) sum.part[i] += sum.part[i + parts];
  vf all = sum.part[0];
  UNROLL for (int half = V / 2; half; half /= 2) all += chosen(all, all, ((vi)EACH_LANE + half) % V);
  return all[0];
}

/* The sum of the products of two rows of n numbers, with zeros behind them. */
static inline float dot(int n, const float *a, const float *b) {
  Sum sum = {0};
  for (int i = 0; i < n; i += V) sum.part[i / V % (LANES / V)] += load(a + i) * load(b + i);
  return total(sum);
}

#endif
