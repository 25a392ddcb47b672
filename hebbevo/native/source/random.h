/* Stateless random numbers, as hebbevo/nn/stateless_random.py has them. */
#ifndef HEBBEVO_RANDOM_H
#define HEBBEVO_RANDOM_H

#include <stdint.h>

enum { SCORE_STREAM = 0, REGROWTH_STREAM = 1, WEIGHT_STREAM = 2 };

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

#endif
