/* Optimisers, as hebbevo/training/optimizers.py has them. */
#ifndef HEBBEVO_OPTIMIZER_H
#define HEBBEVO_OPTIMIZER_H

#include "network.h"

enum { NONE, ADAMW, OWN_STEPS_ADAMW, SGD };

/* What is the same for all weights at a step. */
typedef struct {
  int optimizer;
  float shrink;   /* 1 - lr wd */
  float rate;     /* lr times its factor */
  float size;     /* rate over the correction of the first moment */
  float scale;    /* 1 over the root of the correction of the second moment */
  float momentum;
} Step;

static const float BETA1 = 0.9f, BETA2 = 0.999f, LEFT1 = (float)(1 - 0.9), LEFT2 = (float)(1 - 0.999), EPS = 1e-8f;

static Step next_step(const Network *net, float factor) {
  float rate = net->learning_rate * factor;
  double steps = (double)net->step;
  return (Step){
      .optimizer = net->optimizer,
      .shrink = 1 - rate * net->weight_decay,
      .rate = rate,
      .size = (float)(rate / (1 - pow(0.9, steps))),
      .scale = (float)(1 / sqrt(1 - pow(0.999, steps))),
      .momentum = net->momentum,
  };
}

/* m <- m + (1 - b1) (g - m), v <- v + (1 - b2) (g^2 - v), w <- w (1 - lr wd) - size m / (sqrt(v) scale + eps) */
static void adamw(int n, float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                  const Step *step) {
  for (int i = 0; i < n; i += V) {
    vf own = load(g + i), first = load(m + i), second = load(v + i);
    first += (own - first) * splat(LEFT1);
    second += (own * own - second) * splat(LEFT2);
    store(m + i, first);
    store(v + i, second);
    vf change = splat(step->size) * first / (root(second) * splat(step->scale) + splat(EPS));
    store(w + i, load(w + i) * splat(step->shrink) - change);
  }
}

/* The same with bias corrections of each weight, c <- b c + (1 - b). */
static void own_steps_adamw(int n, float *restrict w, float *restrict m, float *restrict v, float *restrict of_m,
                            float *restrict of_v, const float *restrict g, const Step *step) {
  for (int i = 0; i < n; i += V) {
    vf own = load(g + i), first = load(m + i), second = load(v + i);
    first += (own - first) * splat(LEFT1);
    second += (own * own - second) * splat(LEFT2);
    vf correction1 = load(of_m + i) * splat(BETA1) + splat(LEFT1);
    vf correction2 = load(of_v + i) * splat(BETA2) + splat(LEFT2);
    store(m + i, first);
    store(v + i, second);
    store(of_m + i, correction1);
    store(of_v + i, correction2);
    vf change = first / ((root(second / correction2) + splat(EPS)) * correction1);
    store(w + i, load(w + i) * splat(step->shrink) - change * splat(step->rate));
  }
}

/* u <- momentum u + g, w <- w (1 - lr wd) - lr u */
static void sgd(int n, float *restrict w, float *restrict velocity, const float *restrict g, const Step *step) {
  for (int i = 0; i < n; i += V) {
    vf u = load(velocity + i) * splat(step->momentum) + load(g + i);
    store(velocity + i, u);
    store(w + i, load(w + i) * splat(step->shrink) - splat(step->rate) * u);
  }
}

/* Update n numbers at `offset` of a parameter and of its state. */
static void update(int n, float *parameter, float *const *state, long offset, const float *g, const Step *step) {
  float *w = parameter + offset;
  switch (step->optimizer) {
    case ADAMW: adamw(n, w, state[0] + offset, state[1] + offset, g, step); break;
    case OWN_STEPS_ADAMW:
      own_steps_adamw(n, w, state[0] + offset, state[1] + offset, state[2] + offset, state[3] + offset, g, step);
      break;
    case SGD: sgd(n, w, state[0] + offset, g, step); break;
  }
}

#endif
