/* Scores of units, as hebbevo/rules/units has them. Those of other rules come from the caller. */
#ifndef HEBBEVO_SCORES_H
#define HEBBEVO_SCORES_H

#include "network.h"
#include "random.h"

enum { BY_CALLER, RANDOM, STAMINA, REDO, TAYLOR, CONTRIBUTION_SCORE };

/* A decayed mean, which began when the unit was regrown. */
static float running(const Units *units, int total, int seen, int j) {
  float weight = units->buffers[seen][j];
  return units->buffers[total][j] / (weight > 1e-12f ? weight : 1e-12f);
}

/* The norm of the weights that read a unit. */
static float outgoing_norm(const Network *net, int place, int j) {
  const Layer *reading = &net->layer[place];
  const float *row = reading->weight + j * (long)reading->stride;
  Sum squares = {0};
  for (int i = 0; i < net->place[place + 1].living; i += V)
    squares.part[i / V % (LANES / V)] += load(row + i) * load(row + i);
  return sqrtf(total(squares));
}

/* What a rule compares units by, before it is divided by its mean. */
static float compared(const Network *net, int place, int j) {
  const Units *units = &net->place[place];
  switch (units->score) {
    case REDO: return running(units, SUM_SIZE, SEEN, j);
    case TAYLOR: return running(units, SUM_GATE_GRADIENT, SEEN_GRADIENTS, j);
    default: return sqrtf(running(units, SUM_VARIANCE, SEEN, j)) * outgoing_norm(net, place, j);
  }
}

/* The score of each living unit of a place. */
static void find_scores(const Network *net, int place, double *scores) {
  const Units *units = &net->place[place];
  int n = units->living;
  if (units->score == RANDOM) {
    uint64_t key = key_of(units->seed, net->step, SCORE_STREAM);
    for (int j = 0; j < n; j++) scores[j] = uniform(key, (uint32_t)units->numbers[j]);
    return;
  }
  if (units->score == STAMINA) {
    const float *gain = units->buffers[GAIN], *reference = units->buffers[REFERENCE];
    for (int j = 0; j < n; j++) scores[j] = gain[j] / (reference[j] > 1e-30f ? reference[j] : 1e-30f);
    return;
  }
  float sum = 0;
  for (int j = 0; j < n; j++) {
    float own = compared(net, place, j);
    scores[j] = own;
    sum += own;
  }
  float mean = n ? sum / n : 0;
  for (int j = 0; j < n; j++) scores[j] = (float)scores[j] / (mean > 1e-30f ? mean : 1e-30f);
}

#endif
