/* Survivors: what lies on a path of weights that are not zero from an input to an output. */
#ifndef HEBBEVO_SURVIVORS_H
#define HEBBEVO_SURVIVORS_H

#include "network.h"

/* Clear the marks of units whose gates are closed. */
static void clear_closed(const Units *units, uint8_t *marks) {
  for (int j = 0; units->theta && j < units->living; j++) marks[j] &= units->gate[j] > 0;
}

/* Which units of each place a path from the inputs leads to. */
static void mark_reached(const Network *net, uint8_t *const *reached) {
  memset(reached[0], 1, net->place[0].living);
  clear_closed(&net->place[0], reached[0]);
  for (int l = 0; l < net->layers; l++) {
    int outputs = net->place[l + 1].living;
    memset(reached[l + 1], 0, outputs);
    for (int k = 0; k < net->place[l].living && memchr(reached[l + 1], 0, outputs); k++) {
      const float *row = net->layer[l].weight + k * (long)net->layer[l].stride;
      if (reached[l][k])
        for (int j = 0; j < outputs; j++) reached[l + 1][j] |= row[j] != 0;
    }
    clear_closed(&net->place[l + 1], reached[l + 1]);
  }
}

/* From which units of each place a path leads on to the outputs. */
static void mark_leading(const Network *net, uint8_t *const *leading) {
  memset(leading[net->layers], 1, net->place[net->layers].living);
  for (int l = net->layers - 1; l >= 0; l--) {
    for (int k = 0; k < net->place[l].living; k++) {
      const float *row = net->layer[l].weight + k * (long)net->layer[l].stride;
      int leads = 0;
      for (int j = 0; !leads && j < net->place[l + 1].living; j++) leads = (row[j] != 0) & leading[l + 1][j];
      leading[l][k] = leads;
    }
    clear_closed(&net->place[l], leading[l]);
  }
}

/* How many weights of a layer lie on a path. */
static int64_t living_connections(const Network *net, int l, const uint8_t *reached, const uint8_t *leading) {
  int64_t count = 0;
  for (int k = 0; k < net->place[l].living; k++) {
    const float *row = net->layer[l].weight + k * (long)net->layer[l].stride;
    if (reached[k])
      for (int j = 0; j < net->place[l + 1].living; j++) count += (row[j] != 0) & leading[j];
  }
  return count;
}

/* Mark the units of a place on a path, by their numbers, and count them. */
static int64_t living_units(const Units *units, const uint8_t *reached, const uint8_t *leading, uint8_t *on_path) {
  int64_t count = 0;
  memset(on_path, 0, units->size);
  for (int j = 0; j < units->living; j++) count += on_path[units->numbers[j]] = reached[j] & leading[j];
  return count;
}

#endif
