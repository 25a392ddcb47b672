/* Events: which units are pruned and regrown, as hebbevo/nn/surgery.py has it, and exact compaction.

   Scores of some rules are computed here. Those of others come from the caller, since they may be anything. */
#ifndef HEBBEVO_EVENTS_H
#define HEBBEVO_EVENTS_H

#include <float.h>

#include "network.h"
#include "random.h"
#include "scores.h"

static const float FOLDING_LEFT = 0.9f; /* 1 - FOLDING_RATE */

/* Move one number of each of the units that are kept, in their order, to the front. */
#define MOVE(values) \
  do { \
    if (values) \
      for (int to = 0; to < count; to++) (values)[to] = (values)[kept[to]]; \
  } while (0)

/* Keep some columns of a matrix; what is behind them is set to zero. */
static void keep_columns(float *matrix, int rows, long stride, const int64_t *kept, int count, int before) {
  for (int k = 0; matrix && k < rows; k++) {
    float *row = matrix + k * stride;
    MOVE(row);
    for (int i = count; i < before; i++) row[i] = 0;
  }
}

static void keep_rows(float *matrix, long stride, const int64_t *kept, int count) {
  for (int i = 0; matrix && i < count; i++)
    if (kept[i] != i) memcpy(matrix + i * stride, matrix + kept[i] * stride, sizeof(float) * stride);
}

/* Drop all units of a place but those that are kept, with all that leads to and from them. */
static void keep_units(Network *net, int place, const int64_t *kept, int count) {
  Units *units = &net->place[place];
  int before = units->living;
  if (count == before) return;
  MOVE(units->numbers);
  MOVE(units->age);
  for (int i = 0; i < BUFFERS; i++) MOVE(units->buffers[i]);
  keep_columns(units->theta, 1, 0, kept, count, before);
  for (int s = 0; units->theta && s < net->states; s++) keep_columns(units->theta_state[s], 1, 0, kept, count, before);
  keep_rows(units->covariance, units->stride, kept, count);
  keep_columns(units->covariance, count, units->stride, kept, count, before);
  Layer *reading = &net->layer[place];
  keep_rows(reading->weight, reading->stride, kept, count);
  keep_rows(reading->weight_gradient, reading->stride, kept, count);
  for (int s = 0; s < net->states; s++) keep_rows(reading->weight_state[s], reading->stride, kept, count);
  if (place) {
    Layer *feeding = &net->layer[place - 1];
    int inputs = net->place[place - 1].living;
    keep_columns(feeding->weight, inputs, feeding->stride, kept, count, before);
    keep_columns(feeding->weight_gradient, inputs, feeding->stride, kept, count, before);
    keep_columns(feeding->bias, 1, feeding->stride, kept, count, before);
    for (int s = 0; s < net->states; s++) {
      keep_columns(feeding->weight_state[s], inputs, feeding->stride, kept, count, before);
      keep_columns(feeding->bias_state[s], 1, feeding->stride, kept, count, before);
    }
  }
  units->living = count;
}

static int has_event(const Network *net, int place) {
  const Units *units = &net->place[place];
  return units->prunes && net->step <= units->last_event && units->events[net->step];
}

/* Note whether the loss has stalled, and draw which pruned units return: `regrown`, by number. */
static void find_regrown(const Network *net, Units *units) {
  int64_t left = units->left[net->step];
  float loss = net->running_loss;
  int lower = loss < units->best_loss;
  if (lower) units->best_loss = loss;
  units->stalled = lower ? 0 : units->stalled + 1;
  int has_stalled = units->stalled >= units->patience;
  float chance = units->regrowth_rate + units->growth_rate * has_stalled;
  uint64_t key = key_of(units->seed, net->step, REGROWTH_STREAM);
  int64_t joining = has_stalled ? units->grow : 0; /* the first ones of those that are not drawn */
  /* a unit that is regrown at the last event would never be pruned again, so none is */
  int64_t most = !units->uses_target ? units->size : units->is_last[net->step] ? 0 : left / 2;
  for (int id = 0; id < units->size; id++) {
    units->regrown[id] = 0;
    if (units->alive[id]) continue;
    int returns = uniform(key, (uint32_t)id) < chance;
    if (!returns && joining > 0) {
      returns = 1;
      joining--;
    }
    if (returns && most > 0) {
      units->regrown[id] = 1;
      most--;
    }
  }
  if (has_stalled && units->grow > 0) units->stalled = 0;
}

/* How many units may be pruned at most. */
static int64_t find_allowed(const Network *net, const Units *units) {
  int64_t living = units->living;
  if (units->uses_target) {
    int64_t regrown = 0;
    for (int id = 0; id < units->size; id++) regrown += units->regrown[id];
    int64_t surplus = living + regrown - units->left[net->step];
    return surplus > 0 ? surplus : 0;
  }
  float cap = floorf(units->max_deaths * (float)living);
  int64_t most = units->max_deaths > 0 ? (cap < 1 ? 1 : (int64_t)cap) : 0;
  int64_t above = living > units->min_neurons ? living - units->min_neurons : 0;
  return most < above ? most : above;
}

typedef struct {
  double score;
  int64_t number;
  int32_t unit;
} Ranked;

static int by_score(const void *a, const void *b) {
  const Ranked *one = a, *other = b;
  if (one->score != other->score) return one->score < other->score ? -1 : 1;
  return one->number < other->number ? -1 : 1;
}

/* Which units are pruned, `dies`: the lowest scores, of equal ones the first numbers; if none may be, none. */
static void find_pruned(const Units *units, const double *scores, uint8_t *dies, Ranked *ranked) {
  int count = 0;
  memset(dies, 0, units->living);
  for (int j = 0; units->allowed && j < units->living; j++) {
    int past_grace = units->age[j] >= units->grace;
    double score = scores[j];
    if (units->uses_target) { /* units past their grace go before others, and scores before NaN */
      if (!past_grace || !(score < DBL_MAX)) score = DBL_MAX;
    } else if (!past_grace || !(score <= units->threshold)) {
      continue;
    }
    ranked[count++] = (Ranked){score, units->numbers[j], j};
  }
  if (count > units->allowed) qsort(ranked, count, sizeof(Ranked), by_score);
  for (int i = 0; i < count && i < units->allowed; i++) dies[ranked[i].unit] = 1;
}

/* Fold the mean outputs of units that die into the biases of the layer that reads them. */
static void fold_into_biases(Network *net, int place, const uint8_t *dies) {
  Units *units = &net->place[place];
  Layer *reading = &net->layer[place];
  for (int j = 0; j < units->living; j++) {
    if (!dies[j]) continue;
    /* the running mean began at zero, so it has this share of the true one */
    int64_t steps = units->age[j] < net->step ? units->age[j] : net->step;
    float output = units->buffers[MEAN_OUTPUT][j] / (1 - powf(FOLDING_LEFT, (float)steps));
    for (int i = 0; i < net->place[place + 1].living; i++)
      reading->bias[i] += reading->weight[j * (long)reading->stride + i] * output;
  }
}

/* The norms of the weights that read each unit. */
static void measure_outgoing(Network *net, int place) {
  Units *units = &net->place[place];
  for (int j = 0; j < units->living; j++) units->buffers[OUTGOING][j] = outgoing_norm(net, place, j);
}

/* Set the weights to and from a unit, and their state in the optimiser, to zero. */
static void clear_unit(Network *net, int place, int j) {
  Layer *reading = &net->layer[place];
  long row = j * (long)reading->stride;
  size_t bytes = sizeof(float) * reading->stride;
  memset(reading->weight + row, 0, bytes);
  for (int s = 0; s < net->states; s++) memset(reading->weight_state[s] + row, 0, bytes);
  if (!place) return;
  Layer *feeding = &net->layer[place - 1];
  for (int k = 0; k < net->place[place - 1].living; k++) {
    long at = k * (long)feeding->stride + j;
    feeding->weight[at] = 0;
    for (int s = 0; s < net->states; s++) feeding->weight_state[s][at] = 0;
  }
  feeding->bias[j] = 0;
  for (int s = 0; s < net->states; s++) feeding->bias_state[s][j] = 0;
}

/* Whether the connection between two living units is in. */
static int is_in(const Network *net, int l, int k, int j) {
  const uint8_t *connected = net->layer[l].connected;
  const Units *inputs = &net->place[l], *outputs = &net->place[l + 1];
  return !connected || connected[outputs->numbers[j] * inputs->size + inputs->numbers[k]];
}

/* Find the masks of layers between their living units. */
static void lay_out_masks(Network *net) {
  for (int l = 0; l < net->layers; l++) {
    Layer *layer = &net->layer[l];
    for (int k = 0; layer->mask && k < net->place[l].living; k++)
      for (int j = 0; j < net->place[l + 1].living; j++) layer->mask[k * (long)layer->stride + j] = -is_in(net, l, k, j);
  }
}

/* A regrown unit: fresh weights to it (He et al., 2015, eq. 10) where connections are in, none from it, and nothing
   gathered. */
static void regrow_unit(Network *net, int place, int id) {
  Units *units = &net->place[place];
  Layer *reading = &net->layer[place];
  int j = units->living++;
  units->numbers[j] = id;
  units->age[j] = 0;
  units->alive[id] = 1;
  for (int i = 0; i < BUFFERS; i++)
    if (units->buffers[i]) units->buffers[i][j] = 0;
  if (units->theta) units->theta[j] = 0;
  for (int s = 0; units->theta && s < net->states; s++) units->theta_state[s][j] = 0;
  if (units->covariance) {
    memset(units->covariance + j * (long)units->stride, 0, sizeof(float) * units->stride);
    for (int i = 0; i < j; i++) units->covariance[i * (long)units->stride + j] = 0;
  }
  clear_unit(net, place, j);
  if (reading->weight_gradient)
    memset(reading->weight_gradient + j * (long)reading->stride, 0, sizeof(float) * reading->stride);
  if (!place) return;
  Layer *feeding = &net->layer[place - 1];
  const Units *inputs = &net->place[place - 1];
  float range = (float)sqrt(6.0 / inputs->size);
  uint64_t key = key_of(units->seed, net->step, WEIGHT_STREAM);
  for (int k = 0; k < inputs->living; k++) {
    long at = k * (long)feeding->stride + j;
    uint32_t index = (uint32_t)id * (uint32_t)inputs->size + (uint32_t)inputs->numbers[k];
    feeding->weight[at] = is_in(net, place - 1, k, j) ? (2 * uniform(key, index) - 1) * range : 0;
    if (feeding->weight_gradient) feeding->weight_gradient[at] = 0;
  }
}

/* Begin the event of a place: find what is regrown, and how many units may be pruned, which it gives. */
static int64_t begin_event(Network *net, int place) {
  Units *units = &net->place[place];
  find_regrown(net, units);
  units->allowed = find_allowed(net, units);
  return units->allowed;
}

/* Prune the units of a place by their scores, of which there is one for each living unit.

   They keep their places, with weights of zero, until drop_dead: scores of other places see the last gradients
   of their weights. */
static void prune(Network *net, int place, const double *scores) {
  Units *units = &net->place[place];
  uint8_t *dies = (uint8_t *)net->tile;
  find_pruned(units, scores, dies, (Ranked *)net->transposed);
  if (units->handover) fold_into_biases(net, place, dies);
  for (int j = 0; j < units->living; j++) {
    if (!dies[j]) continue;
    int64_t id = units->numbers[j];
    units->alive[id] = 0;
    if (units->recycles && !units->uses_target) units->regrown[id] = 1;
    clear_unit(net, place, j);
  }
  if (units->measures_outgoing) measure_outgoing(net, place);
}

/* Drop all units that are not alive: those that are out from the start, or that an event has pruned; tell whether
   there are any. */
static int drop_dead(Network *net) {
  int found = 0;
  for (int place = 0; place < net->layers; place++) {
    Units *units = &net->place[place];
    int count = 0;
    for (int j = 0; j < units->living; j++)
      if (units->alive[units->numbers[j]]) net->order[count++] = j;
    found |= count < units->living;
    keep_units(net, place, net->order, count);
  }
  return found;
}

/* End the events of this step: drop what they have pruned, and regrow what they have chosen. */
static void end_events(Network *net) {
  int moved = drop_dead(net);
  for (int place = 0; place < net->layers; place++)
    for (int id = 0; has_event(net, place) && id < net->place[place].size; id++)
      if (net->place[place].regrown[id]) {
        regrow_unit(net, place, id);
        moved = 1;
      }
  if (moved) lay_out_masks(net);
}

/* Hold the events of this step, or note that their scores must come from the caller. */
static void hold_events(Network *net) {
  int due = 0;
  for (int place = 0; place < net->layers; place++) {
    if (!has_event(net, place)) continue;
    due = 1;
    net->awaits_event |= net->place[place].score == BY_CALLER;
  }
  if (!due || net->awaits_event) return;
  for (int place = 0; place < net->layers; place++) {
    if (!has_event(net, place)) continue;
    double *scores = (double *)net->error[place]; /* errors are free between steps */
    if (begin_event(net, place)) find_scores(net, place, scores);
    prune(net, place, scores);
  }
  end_events(net);
}

#endif
