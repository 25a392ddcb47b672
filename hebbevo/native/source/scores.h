/* Scores of units, as hebbevo/rules/units has them. Those of other rules come from the caller. */
#ifndef HEBBEVO_SCORES_H
#define HEBBEVO_SCORES_H

#include "elimination.h"
#include "salience.h"
#include "network.h"
#include "random.h"

enum {
  BY_CALLER,
  RANDOM,
  STAMINA,
  REDO,
  TAYLOR,
  CONTRIBUTION_SCORE,
  PRODUCT,
  DECORRELATION,
  ABLATION,
  FIRING_FREQUENCY,
  MAGNITUDE
};

/* A decayed mean, which began when the unit was regrown. */
static float running(const Units *units, int total, int seen, int j) {
  float weight = units->buffers[seen][j];
  return units->buffers[total][j] / (weight > 1e-12f ? weight : 1e-12f);
}

/* The norm of the weights that read a unit. */
static float outgoing_norm(const Network *net, int place, int j) {
  const Layer *reading = &net->layer[place];
  const float *row = reading->weight + j * (long)reading->stride;
  return sqrtf(dot(net->place[place + 1].living, row, row));
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

/* The variance of a unit, where covariances are gathered. */
static float own_variance(const Units *units, int j) {
  return units->covariance[j * (long)units->stride + j] / weight_seen(units, j);
}

/* exponent log value, and 0 where the exponent is 0 */
static double log_power(float exponent, float value) { return exponent ? exponent * logf(value) : 0; }

/* A product of powers, as hebbevo/rules/units/score.py has it. Scores are exact for the units that may be pruned. */
static void find_products(const Network *net, int place, double *scores) {
  const Units *units = &net->place[place];
  int n = units->living;
  double *fixed = (double *)net->transposed, *at_first = fixed + n, sum = 0;
  for (int j = 0; j < n; j++) {
    float variance = units->buffers[SUM_VARIANCE] ? running(units, SUM_VARIANCE, SEEN, j) : own_variance(units, j);
    fixed[j] = log_power(units->p, units->p ? outgoing_norm(net, place, j) : 0) +
               log_power(units->q, variance) / 2 +
               log_power(units->s, units->s ? running(units, SUM_SIZE, SEEN, j) : 0) +
               log_power(units->u, units->u ? running(units, SUM_FIRING, SEEN, j) : 0);
    if (variance == 0) fixed[j] = -INFINITY;
    scores[j] = at_first[j] = fixed[j];
  }
  if (units->r) eliminate(units, fixed, units->allowed, scores, at_first, at_first + n);
  for (int j = 0; j < n; j++) sum += exp(at_first[j]);
  double mean = n ? sum / n : 0;
  for (int j = 0; j < n; j++) scores[j] = exp(scores[j]) / (mean > 1e-30 ? mean : 1e-30);
}

/* Divide scores by their mean. */
static void divide_by_mean(int n, double *scores) {
  float sum = 0;
  for (int j = 0; j < n; j++) sum += (float)scores[j];
  float mean = n ? sum / n : 0;
  for (int j = 0; j < n; j++) scores[j] = (float)scores[j] / (mean > 1e-30f ? mean : 1e-30f);
}

/* What a unit contributes and the stronger unit most like it does not, as decorrelation.py has it. */
static void find_decorrelated(const Network *net, int place, double *scores) {
  const Units *units = &net->place[place];
  int n = units->living;
  float *contribution = net->transposed, *scale = contribution + n;
  for (int j = 0; j < n; j++) {
    float variance = own_variance(units, j);
    contribution[j] = sqrtf(variance) * outgoing_norm(net, place, j);
    scale[j] = weight_seen(units, j) * (variance > 1e-12f ? variance : 1e-12f);
  }
  for (int j = 0; j < n; j++) {
    float explained = 0; /* max_i rho_ij^2 */
    for (int i = 0; i < n; i++) {
      int is_stronger = contribution[i] > contribution[j] ||
                        (contribution[i] == contribution[j] && units->numbers[i] < units->numbers[j]);
      float both = units->covariance[(i < j ? i : j) * (long)units->stride + (i < j ? j : i)];
      float square = both * both / (scale[i] * scale[j]);
      if (is_stronger && square > explained) explained = square;
    }
    scores[j] = contribution[j] * sqrtf(explained < 1 ? 1 - explained : 0); /* eq. 1 */
  }
  divide_by_mean(n, scores); /* eq. 2 */
}

/* A posterior mean of the firing rate over that of the layer, as frequency.py has it. */
static void find_frequencies(const Units *units, double *scores) {
  const float *fired = units->buffers[SUM_FIRING], *seen = units->buffers[SEEN];
  int n = units->living;
  float of_fired = 0, of_seen = 0;
  for (int j = 0; j < n; j++) {
    of_fired += fired[j];
    of_seen += seen[j];
  }
  of_fired /= n > 1 ? n : 1;
  of_seen /= n > 1 ? n : 1;
  float prior = of_fired / (of_seen > 1e-12f ? of_seen : 1e-12f); /* eq. 2 */
  for (int j = 0; j < n; j++) {
    float steps = units->belief + seen[j];
    float posterior = (units->belief * prior + fired[j]) / (steps > 1e-12f ? steps : 1e-12f); /* eq. 1 */
    scores[j] = posterior / (prior > 1e-12f ? prior : 1e-12f);
  }
}

/* The norms of the weights that feed the units, over their mean, as magnitude.py has them. */
static void find_magnitudes(const Network *net, int place, double *scores) {
  const Layer *feeding = &net->layer[place - 1];
  int n = net->place[place].living;
  float *squares = net->transposed;
  for (int j = 0; j < n; j++) squares[j] = 0;
  for (int i = 0; i < net->place[place - 1].living; i++) {
    const float *row = feeding->weight + i * (long)feeding->stride;
    for (int j = 0; j < n; j++) squares[j] += row[j] * row[j];
  }
  for (int j = 0; j < n; j++) scores[j] = sqrtf(squares[j]);
  divide_by_mean(n, scores); /* eq. 1 */
}

static void find_random(const Network *net, const Units *units, double *scores) {
  uint64_t key = key_of(units->seed, net->step, SCORE_STREAM);
  for (int j = 0; j < units->living; j++) scores[j] = uniform(key, (uint32_t)units->numbers[j]);
}

static void find_staminas(const Units *units, double *scores) {
  const float *gain = units->buffers[GAIN], *reference = units->buffers[REFERENCE];
  for (int j = 0; j < units->living; j++) scores[j] = gain[j] / (reference[j] > 1e-30f ? reference[j] : 1e-30f);
}

/* The score of each living unit of a place. */
static void find_scores(const Network *net, int place, double *scores) {
  const Units *units = &net->place[place];
  switch (units->score) {
    case RANDOM: find_random(net, units, scores); break;
    case STAMINA: find_staminas(units, scores); break;
    case PRODUCT: find_products(net, place, scores); break;
    case DECORRELATION: find_decorrelated(net, place, scores); break;
    case ABLATION: find_salient(net, place, scores); break;
    case FIRING_FREQUENCY: find_frequencies(units, scores); break;
    case MAGNITUDE: find_magnitudes(net, place, scores); break;
    default:
      for (int j = 0; j < units->living; j++) scores[j] = compared(net, place, j);
      divide_by_mean(units->living, scores);
  }
}

#endif
