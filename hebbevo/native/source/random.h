/* Stateless random numbers, as hebbevo/nn/stateless_random.py has them. */
#ifndef HEBBEVO_RANDOM_H
#define HEBBEVO_RANDOM_H

#include <stdint.h>

#include "vectors.h"

enum { BIAS_NOISE_STREAM = -3, NOISE_STREAM = -2, GATE_STREAM = -1, SCORE_STREAM = 0, REGROWTH_STREAM = 1, WEIGHT_STREAM = 2 };

/* The finaliser of SplitMix64. */
static uint64_t mixed(uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

static uint64_t key_of(int64_t seed, int64_t step, uint64_t stream) {
  return mixed(mixed(mixed((uint64_t)seed) + stream) + (uint64_t)step * 0x9E3779B97F4A7C15u);
}

/* A number in (0, 1) by "lowbias32", with the high half of the key in its second round. */
static inline float uniform(uint64_t key, uint32_t index) {
  uint32_t bits = index * 0x9E3779B9u + (uint32_t)key;
  bits = (bits ^ bits >> 16) * 0x7FEB352Du;
  bits = (bits ^ bits >> 15 ^ (uint32_t)(key >> 32)) * 0x846CA68Bu;
  bits ^= bits >> 16;
  return ((float)(int32_t)(bits >> 9) + 0.5f) * 0x1p-23f;
}

/* The same for V places. */
TEMPLATE vf uniforms(uint64_t key, vu index) {
  vu bits = index * 0x9E3779B9u + (uint32_t)key;
  bits = (bits ^ bits >> 16) * 0x7FEB352Du;
  bits = (bits ^ bits >> 15 ^ (uint32_t)(key >> 32)) * 0x846CA68Bu;
  bits ^= bits >> 16;
  return (__builtin_convertvector((vi)(bits >> 9), vf) + splat(0.5f)) * splat(0x1p-23f);
}

/* Standard normal numbers for V places: sqrt 2 times the inverse of the error function at 2 u - 1, by the polynomials
   of Giles (2010, "Approximating the erfinv function", table 5). */
TEMPLATE vf normals(uint64_t key, vu index) {
  vf x = splat(2) * uniforms(key, index) - splat(1);
  vf w = -logarithm((splat(1) - x) * (splat(1) + x));
  vi is_central = w < splat(5);
  vf near = w - splat(2.5f), far = root(w) - splat(3);
  vf p = splat(2.81022636e-08f), q = splat(-0.000200214257f);
  static const float central[] = {3.43273939e-07f, -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f,
                                  -0.00125372503f, -0.00417768164f, 0.246640727f,     1.50140941f};
  static const float tail[] = {0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f,
                               -0.0076224613f,  0.00943887047f, 1.00167406f,     2.83297682f};
  UNROLL for (int i = 0; i < 8; i++) {
    p = p * near + splat(central[i]);
    q = q * far + splat(tail[i]);
  }
  return (where(is_central, p) + where(~is_central, q)) * x * splat(1.41421356f);
}

#endif
