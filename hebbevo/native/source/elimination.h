/* Backward elimination, as hebbevo/nn/elimination.py has it; equations are numbered there. */
#ifndef HEBBEVO_ELIMINATION_H
#define HEBBEVO_ELIMINATION_H

#include <float.h>

#include "network.h"

/* The weight of all minibatches in the covariances of a unit. */
static float weight_seen(const Units *units, int j) { return units->buffers[SEEN][j] > 1 ? units->buffers[SEEN][j] : 1; }

/* The covariance of the living units, (n, n) in the room, with the ridge on its diagonal, which is also given. */
static void lay_out_covariance(const Units *units, double *diagonal) {
  int n = units->living;
  double *c = units->room, trace = 0;
  for (int i = 0; i < n; i++) {
    float of_row = 1 / sqrtf(weight_seen(units, i));
    for (int j = i; j < n; j++) {
      float of_column = 1 / sqrtf(weight_seen(units, j));
      c[i * n + j] = c[j * n + i] = units->covariance[i * (long)units->stride + j] * of_row * of_column;
    }
    trace += c[i * n + i];
  }
  for (int i = 0; i < n; i++) {
    double own = c[i * n + i] + units->ridge * (trace / n);
    diagonal[i] = c[i * n + i] = own > 1e-12 ? own : 1e-12;
  }
}

/* row <- row - factor times another row */
static void subtract_row(int n, double *restrict row, double factor, const double *restrict other) {
  for (int j = 0; j < n; j++) row[j] -= factor * other[j];
}

/* Invert a positive definite matrix in its place, by Gauss and Jordan; `pivot_row` has room for a row. */
static void invert(int n, double *a, double *pivot_row) {
  for (int k = 0; k < n; k++) {
    double *own = a + k * n, pivot = 1 / own[k];
    own[k] = 1;
    for (int j = 0; j < n; j++) pivot_row[j] = own[j] *= pivot;
    for (int i = 0; i < n; i++) {
      if (i == k) continue;
      double *row = a + i * n, factor = row[k];
      row[k] = 0;
      subtract_row(n, row, factor, pivot_row);
    }
  }
}

/* The score of a unit if it left next: equations 1 and 2. */
static double as_if_next(const Units *units, int j, double fixed, double diagonal) {
  double share = diagonal * units->room[j * (long)units->living + j];
  return fixed - units->r * log(share > 1 ? share : 1);
}

/* The log scores of living units in the order in which they leave, as far as `most` units, and as if each left first.

   `room` is for three rows. */
static void eliminate(const Units *units, const double *fixed, int64_t most, double *scores, double *at_first,
                      double *room) {
  int n = units->living;
  double *diagonal = room, *row = room + n;
  uint8_t *out = (uint8_t *)(room + 2 * n);
  lay_out_covariance(units, diagonal);
  invert(n, units->room, row);
  for (int j = 0; j < n; j++) {
    scores[j] = at_first[j] = as_if_next(units, j, fixed[j], diagonal[j]);
    out[j] = units->age[j] < units->grace;
  }
  for (int64_t left = (most < n ? most : n) - 1; left > 0; left--) {
    int lowest = -1;
    for (int j = 0; j < n; j++)
      if (!out[j] && (lowest < 0 || scores[j] < scores[lowest])) lowest = j;
    if (lowest < 0) break;
    out[lowest] = 1;
    memcpy(row, units->room + lowest * (long)n, sizeof(double) * n);
    double pivot = row[lowest] > 1e-30 ? row[lowest] : 1e-30;
    for (int i = 0; i < n; i++) subtract_row(n, units->room + i * (long)n, row[i] / pivot, row); /* eq. 3 */
    for (int j = 0; j < n; j++) {
      if (out[j]) continue;
      double own = as_if_next(units, j, fixed[j], diagonal[j]);
      scores[j] = own > scores[lowest] ? own : scores[lowest];
    }
  }
}

#endif
