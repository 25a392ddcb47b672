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
#elif defined(__AVX2__)
#define V 8
#else
#define V 4
#endif

#define LANES 16
/* A function whose constant arguments make another program of it wherever it is called. */
#define TEMPLATE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

typedef float vf __attribute__((vector_size(4 * V), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * V), may_alias));

TEMPLATE vf splat(float a) { return a - (vf){0}; }
TEMPLATE vf load(const float *from) { return *(const vf *)from; }
TEMPLATE void store(float *to, vf a) { *(vf *)to = a; }
TEMPLATE vf where(vi mask, vf a) { return (vf)((vi)a & mask); } /* 0 elsewhere */
TEMPLATE vf larger(vf a, vf b) {
  vi mask = a > b;
  return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}
TEMPLATE vf root(vf a) {
  for (int i = 0; i < V; i++) a[i] = sqrtf(a[i]);
  return a;
}
TEMPLATE vf size_of(vf a) { return (vf)((vi)a & 0x7FFFFFFF); }
TEMPLATE vf fires(vf a) { return where(a != (vf){0}, splat(1)); } /* 1 where a unit fires */

static inline int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

/* Sums of LANES columns, which `total` adds up. */
typedef struct {
  vf part[LANES / V];
} Sum;

TEMPLATE float total(Sum sum) {
  float lanes[LANES] __attribute__((aligned(64)));
  for (int i = 0; i < LANES / V; i++) store(lanes + i * V, sum.part[i]);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

#endif
