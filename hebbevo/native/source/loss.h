/* Losses with their gradients, as hebbevo/training/losses.py has them.

   Outputs z are rows of classes, or one row, with a column for each row of the minibatch. The gradient takes
   their place; it is zero in the columns behind the rows. */
#ifndef HEBBEVO_LOSS_H
#define HEBBEVO_LOSS_H

#include "network.h"

/* The share of row b in the loss: 1 / rows, or w[y] / sum w[y] with weights of the classes. */
static float share_scale(const Data *data, const int64_t *rows, int count) {
  if (!data->class_weights) return 1.0f / count;
  float sum = 0;
  for (int b = 0; b < count; b++) sum += data->class_weights[data->labels[rows[b]]];
  return 1 / sum;
}

/* Replace the logits by exponentials, exp(z - max z), and give their sums and the maxima by column. */
static void exponentials(int classes, long columns, float *z, float *largest, float *sums) {
  for (long c = 0; c < columns; c += V) {
    vf most = load(z + c), sum = splat(0);
    for (int k = 1; k < classes; k++) most = larger(load(z + k * columns + c), most);
    store(largest + c, most);
    for (int k = 0; k < classes; k++) {
      float *own = z + k * columns + c;
      vf power = exponential(load(own) - most);
      store(own, power);
      sum += power;
    }
    store(sums + c, sum);
  }
}

/* sum_b share_b (log sum exp(z) - z[y_b]) and its gradient share_b (softmax(z) - onehot(y_b)).

   `spare` has room for four rows. */
static float cross_entropy(const Data *data, const int64_t *rows, int count, int classes, long columns, float *z,
                           float *spare) {
  float *largest = spare, *sums = largest + columns, *shares = sums + columns, loss = 0;
  float scale = share_scale(data, rows, count);
  for (int b = 0; b < count; b++) {
    int64_t label = data->labels[rows[b]];
    shares[b] = data->class_weights ? data->class_weights[label] * scale : scale;
  }
  for (long b = count; b < columns; b++) shares[b] = 0;
  float *of_label = spare + 3 * columns;
  for (int b = 0; b < count; b++) of_label[b] = z[data->labels[rows[b]] * columns + b];
  exponentials(classes, columns, z, largest, sums);
  for (int b = 0; b < count; b++) {
    float own = largest[b] - of_label[b] + logf(sums[b]);
    loss += data->class_weights ? shares[b] * own : own;
  }
  if (!data->class_weights) loss /= count; /* as in PyTorch, where a sum may overflow too */
  for (int k = 0; k < classes; k++)
    for (long c = 0; c < columns; c += V) {
      float *own = z + k * columns + c;
      store(own, load(own) / load(sums + c) * load(shares + c));
    }
  for (int b = 0; b < count; b++) z[data->labels[rows[b]] * columns + b] -= shares[b];
  return loss;
}

/* The mean squared error, and its gradient 2 (z - y) / rows. */
static float squared_error(const Data *data, const int64_t *rows, int count, long columns, float *z) {
  float loss = 0;
  for (int b = 0; b < count; b++) {
    float error = z[b] - data->targets[rows[b]];
    loss += error * error;
    z[b] = error * (2.0f / count);
  }
  memset(z + count, 0, sizeof(float) * (columns - count));
  return loss / count;
}

#endif
