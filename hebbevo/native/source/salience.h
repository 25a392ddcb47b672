/* Salient connections, as hebbevo/rules/units/ablation.py has them. */
#ifndef HEBBEVO_SALIENCE_H
#define HEBBEVO_SALIENCE_H

#include <float.h>

#include "network.h"

/* The number of rank `rank`, from 0 for the largest, which reorders them: Hoare's selection. */
static float of_rank(float *numbers, long count, long rank) {
  long low = 0, high = count - 1;
  while (low < high) {
    float pivot = numbers[(low + high) / 2];
    long i = low, j = high;
    while (i <= j) {
      while (numbers[i] > pivot) i++;
      while (numbers[j] < pivot) j--;
      if (i > j) break;
      float other = numbers[i];
      numbers[i++] = numbers[j];
      numbers[j--] = other;
    }
    if (rank <= j) high = j;
    else if (rank >= i) low = i;
    else break;
  }
  return numbers[rank];
}

/* Lay out the sizes of what belongs to the connections of a layer, (inputs, units), zero where one is out. */
static void lay_out_sizes(const Layer *layer, const float *values, int inputs, int units, float *sizes) {
  for (int i = 0; i < inputs; i++)
    for (int j = 0; j < units; j++) {
      long at = i * (long)layer->stride + j;
      float own = fabsf(values[at]);
      sizes[i * (long)units + j] = own == own && (!layer->mask || layer->mask[at]) ? own : 0;
    }
}

/* The smallest size among the `wanted` largest, of which none is zero. */
static float smallest_of(float *sizes, long count, float wanted) {
  long most = (long)rintf(wanted);
  if (most > count) most = count;
  float found = most > 0 ? of_rank(sizes, count, most - 1) : INFINITY;
  return found > 0 ? found : FLT_MIN * FLT_EPSILON;
}

/* The salient connections to each unit, over what they would be were all units alike: equations 1 and 2. */
static void find_salient(const Network *net, int place, double *scores) {
  const Units *units = &net->place[place];
  const Layer *feeding = &net->layer[place - 1];
  const float *weight = feeding->weight, *gradient = units->salient_gradients ? feeding->weight_gradient : NULL;
  int inputs = net->place[place - 1].living, fan_in = net->place[place - 1].size, n = units->living;
  long count = inputs * (long)n;
  float in = 0, wanted = (units->salient_weights + units->salient_gradients) * units->size * fan_in;
  lay_out_sizes(feeding, weight, inputs, n, units->sizes);
  for (long i = 0; i < count; i++) in += units->sizes[i] != 0;
  if (wanted < in) in = wanted;
  float part = in / (wanted > 1e-12f ? wanted : 1e-12f) * units->size * fan_in;
  float least = smallest_of(units->sizes, count, part * units->salient_weights), least_gradient = INFINITY;
  if (gradient) {
    lay_out_sizes(feeding, gradient, inputs, n, units->sizes);
    least_gradient = smallest_of(units->sizes, count, part * units->salient_gradients);
  }
  for (int j = 0; j < n; j++) scores[j] = 0;
  for (int i = 0; i < inputs; i++)
    for (int j = 0; j < n; j++) {
      long at = i * (long)feeding->stride + j;
      if (feeding->mask && !feeding->mask[at]) continue;
      scores[j] += fabsf(weight[at]) >= least || (gradient && fabsf(gradient[at]) >= least_gradient);
    }
  float equal = in / (n > 1 ? n : 1);
  if (equal > fan_in) equal = fan_in;
  for (int j = 0; j < n; j++) scores[j] = (float)scores[j] / (equal > 1e-12f ? equal : 1e-12f);
}

#endif
