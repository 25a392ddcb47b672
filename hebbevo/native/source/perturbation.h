/* Decay and noise of the weights that feed living units, after a step, as hebbevo/nn/surgery.py has them. */
#ifndef HEBBEVO_PERTURBATION_H
#define HEBBEVO_PERTURBATION_H

#include "network.h"
#include "random.h"

/* What is the same for all weights that feed a place. */
typedef struct {
  float kept;             /* 1 - decay */
  float most;             /* what is taken of a weight's size then, at most all */
  const float *deviation; /* of the noise on weights to each unit; NULL: there is none */
} Disturbance;

/* w <- sign(w) max(kept |w| - most, 0) + deviation z for some weights, whose first numbers are `first` + `base`. */
static void disturb(int n, float *w, const Disturbance *all, uint64_t key, const uint32_t *base, uint32_t first,
                    const int32_t *mask) {
  vf most = splat(all->most);
  for (int j = 0; j < n; j += V) {
    vf own = load(w + j) * splat(all->kept);
    own += larger(-larger(own, -most), -most); /* less itself, cut to -most to most */
    if (all->deviation) {
      vf added = normals(key, *(const vu *)(base + j) + first) * load(all->deviation + j);
      own += mask ? where(*(const vi *)(mask + j), added) : added;
    }
    store(w + j, own);
  }
}

/* Disturb the weights and biases that feed a place. Noise goes to units that fire at this step. */
static void perturb(Network *net, int place) {
  const Units *units = &net->place[place], *inputs = &net->place[place - 1];
  Layer *feeding = &net->layer[place - 1];
  int n = padded(units->living);
  float noise = units->noise[net->step], *deviation = net->tile;
  uint32_t *own = (uint32_t *)(net->tile + n), *of_first_weight = own + n;
  for (int j = 0; j < n; j++) {
    int lives = j < units->living;
    deviation[j] = lives && !units->buffers[SILENT][j] ? noise : 0;
    own[j] = lives ? (uint32_t)units->numbers[j] : 0;
    of_first_weight[j] = own[j] * (uint32_t)inputs->size;
  }
  Disturbance all = {1 - units->decay[net->step], units->shrinkage[net->step], noise ? deviation : NULL};
  uint64_t key = key_of(units->seed, net->step, NOISE_STREAM);
  for (int k = 0; k < inputs->living; k++) {
    long at = k * (long)feeding->stride;
    const int32_t *mask = feeding->mask ? feeding->mask + at : NULL;
    disturb(n, feeding->weight + at, &all, key, of_first_weight, (uint32_t)inputs->numbers[k], mask);
  }
  disturb(n, feeding->bias, &all, key_of(units->seed, net->step, BIAS_NOISE_STREAM), own, 0, NULL);
}

/* Disturb the weights of all places whose rules ask for it at this step. */
static void perturb_all(Network *net) {
  for (int place = 1; place < net->layers; place++) {
    const Units *units = &net->place[place];
    if (!units->decay || !net->optimizer) continue;
    if (units->decay[net->step] || units->shrinkage[net->step] || units->noise[net->step]) perturb(net, place);
  }
}

#endif
