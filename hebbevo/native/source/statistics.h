/* Statistics of units, as hebbevo/rules/units/statistics.py and stamina.py have them.

   Outputs are rows of units with a column for each row of the minibatch; they are zero behind `count` columns. */
#ifndef HEBBEVO_STATISTICS_H
#define HEBBEVO_STATISTICS_H

#include "network.h"
#include "products.h"

enum { ACTIVATION, FREQUENCY, CONTRIBUTION };   /* choices of the knob activity */
enum { OF_MEAN, RATIO, ZERO_SUM, CONSTANT };    /* and of penalty_form */

static const float FOLDING_RATE = 0.1f;

/* What one unit did in a minibatch; what nothing asks for is 0. */
typedef struct {
  float mean, size, square, firing;
} Activity;

TEMPLATE vf itself(vf a) { return a; }
TEMPLATE vf square_of(vf a) { return a * a; }

/* The mean over the rows of a function of a unit's outputs. */
TEMPLATE float mean_of(vf (*function)(vf), const float *h, long columns, int count) {
  Sum sum = {0};
  for (long c = 0; c < columns; c += LANES)
    UNROLL for (int i = 0; i < LANES / V; i++) sum.part[i] += function(load(h + c + i * V));
  return total(sum) / count;
}

/* The mean squared deviation from the unit's mean. */
static float variance_of(const float *h, long columns, int count, float mean) {
  Sum squares = {0};
  for (long c = 0; c < columns; c += LANES)
    for (int i = 0; i < LANES / V; i++) {
      vf deviation = load(h + c + i * V) - splat(mean);
      for (int lane = 0; lane < V; lane++)
        if (c + i * V + lane >= count) deviation[lane] = 0;
      squares.part[i] += deviation * deviation;
    }
  return total(squares) / count;
}

TEMPLATE void add_decayed(float *buffer, int unit, float memory, float value) {
  if (buffer) buffer[unit] = buffer[unit] * memory + value;
}

/* Sums over the rows of d d^T, d the deviations, decayed: on and above the diagonal. */
static void add_covariances(Network *net, int place, long columns, int count) {
  Units *units = &net->place[place];
  long stride = units->stride;
  float *deviations = net->error[place]; /* the backward pass has not begun yet */
  for (int j = 0; j < units->living; j++) {
    const float *h = net->activation[place] + j * columns;
    float *d = deviations + j * columns, mean = mean_of(itself, h, columns, count);
    for (long b = 0; b < columns; b++) d[b] = b < count ? h[b] - mean : 0;
  }
  transpose(units->living, deviations, columns, net->transposed, stride);
  for (int j = 0; j < units->living; j += TILE) {
    int rows = units->living - j < TILE ? units->living - j : TILE;
    int from = j / V * V;
    gradient(rows, units->living - from, count, deviations + j * columns, columns, net->transposed + from, stride,
             net->tile + from, stride);
    for (int k = 0; k < rows; k++) {
      float *sums = units->covariance + (j + k) * stride;
      const float *added = net->tile + k * stride;
      for (int i = j + k; i < units->living; i++) sums[i] = sums[i] * units->memory + added[i] / count;
    }
  }
}

/* The level of the penalty in each column, c_b, from mean activity and number of firing units; see stamina.py. */
TEMPLATE vf penalty_level(int form, vf mean, vf firing, vf living) {
  vf one = splat(1), silent = living - firing;
  switch (form) {
    case RATIO: return mean * silent / larger(firing, one);
    case ZERO_SUM: return mean * living / larger(silent, one);
    case CONSTANT: return one;
    default: return mean;
  }
}

/* Gains less penalties, and the mean activity: equations 1 to 4 of stamina.py. */
static void add_balance(Network *net, int place, const Activity *activities, long columns, int count) {
  Units *units = &net->place[place];
  int n = units->living;
  float living = n < 1 ? 1 : n;
  const float *outputs = net->activation[place];
  float *gain = units->buffers[GAIN], *reference = units->buffers[REFERENCE], *outgoing = units->buffers[OUTGOING];
  float *levels = net->transposed, *spreads = net->tile, spread = 0;
  if (units->activity == CONTRIBUTION)
    for (int j = 0; j < n; j++) {
      float variance = activities[j].square - activities[j].mean * activities[j].mean;
      spreads[j] = sqrtf(variance > 0 ? variance : 0) * outgoing[j];
      spread += spreads[j];
    }
  Sum means = {0}, level_sum = {0};
  for (long c = 0; c < columns; c += V) {
    vf sizes = splat(0), firing = splat(0), valid;
    for (int j = 0; j < n; j++) {
      vf own = load(outputs + j * columns + c);
      sizes += size_of(own);
      firing += fires(own);
    }
    for (int lane = 0; lane < V; lane++) valid[lane] = c + lane < count;
    vf mean = (units->activity == ACTIVATION ? sizes : units->activity == FREQUENCY ? firing : splat(spread)) / splat(living);
    mean *= valid;
    vf level = penalty_level(units->penalty_form, mean, firing, splat(living)) * valid;
    store(levels + c, level);
    means.part[c / V % (LANES / V)] += mean;
    level_sum.part[c / V % (LANES / V)] += level;
  }
  float mean = total(means) / count, level = total(level_sum) / count;
  for (int j = 0; j < n; j++) {
    Sum paid = {0};
    for (long c = 0; c < columns; c += LANES)
      for (int i = 0; i < LANES / V; i++) {
        vf own = load(outputs + j * columns + c + i * V);
        paid.part[i] += where(own != (vf){0}, load(levels + c + i * V));
      }
    float prior = units->firing_prior[units->numbers[j]];
    float own = units->activity == ACTIVATION  ? activities[j].size
                : units->activity == FREQUENCY ? activities[j].firing
                                               : spreads[j];
    float silent = level - total(paid) / count;
    float changed = gain[j] * units->stamina_decay;
    changed += 2 * (1 - prior) * own;
    changed += -2 * prior * units->unactivation_penalty * silent;
    gain[j] = changed;
    reference[j] = reference[j] * units->stamina_decay + mean;
  }
}

/* Add a minibatch of outputs to all statistics of a place. */
static void observe(Network *net, int place, long columns, int count) {
  Units *units = &net->place[place];
  float *const *buffers = units->buffers, *folded = buffers[MEAN_OUTPUT];
  Activity *activities = (Activity *)net->error[place]; /* the backward pass has not begun yet */
  int balances = buffers[GAIN] != NULL, of_spread = balances && units->activity == CONTRIBUTION;
  int sees_mean = buffers[SUM_OUTPUT] || buffers[SUM_VARIANCE] || folded || of_spread;
  int sees_size = buffers[SUM_SIZE] || (balances && units->activity == ACTIVATION);
  int sees_firing = buffers[SUM_FIRING] || buffers[SILENT] || (balances && units->activity == FREQUENCY);
  for (int j = 0; j < units->living; j++) {
    const float *h = net->activation[place] + j * columns;
    Activity own = {0};
    if (sees_mean) own.mean = mean_of(itself, h, columns, count);
    if (sees_size) own.size = mean_of(size_of, h, columns, count);
    if (of_spread) own.square = mean_of(square_of, h, columns, count);
    if (sees_firing) own.firing = mean_of(fires, h, columns, count);
    activities[j] = own;
    add_decayed(buffers[SEEN], j, units->memory, 1);
    add_decayed(buffers[SUM_OUTPUT], j, units->memory, own.mean);
    add_decayed(buffers[SUM_SIZE], j, units->memory, own.size);
    add_decayed(buffers[SUM_FIRING], j, units->memory, own.firing);
    if (buffers[SUM_VARIANCE])
      add_decayed(buffers[SUM_VARIANCE], j, units->memory, variance_of(h, columns, count, own.mean));
    if (buffers[SILENT]) buffers[SILENT][j] = own.firing ? 0 : buffers[SILENT][j] + 1;
    if (folded) folded[j] += (own.mean - folded[j]) * FOLDING_RATE;
    units->age[j]++;
  }
  if (balances) add_balance(net, place, activities, columns, count);
  if (units->covariance) add_covariances(net, place, columns, count);
}

/* The gradient of the loss by a gate on a unit is sum w dL/dw over the weights that read it. */
static void add_gate_gradient(Units *units, int unit, int outputs, const float *weight, const float *gradient) {
  float own = dot(outputs, weight, gradient);
  add_decayed(units->buffers[SUM_GATE_GRADIENT], unit, units->memory, own * own);
  add_decayed(units->buffers[SEEN_GRADIENTS], unit, units->memory, 1);
}

#endif
