/* Products of matrices, in tiles that stay in registers.

   Weights are rows of inputs, `stride` floats each; activations and their gradients are rows of units, one
   column for each row of the minibatch. Every entry is summed in one order, whatever the tiles are. */
#ifndef HEBBEVO_PRODUCTS_H
#define HEBBEVO_PRODUCTS_H

#include "vectors.h"

#define TILE 6                   /* rows of a tile */
#define WIDEST 4                 /* vectors of a tile */
#define WIDE (V == 16 ? WIDEST : 2) /* with 32 registers, or with 16 */

/* Make `name`_tile for J rows and C vectors, and a table of it by J - 1 and C - 1. */
#define BY_COLUMNS(make, J) make(J, 1) make(J, 2) make(J, 3) make(J, 4)
#define BY_TILE(make) \
  BY_COLUMNS(make, 1) BY_COLUMNS(make, 2) BY_COLUMNS(make, 3) BY_COLUMNS(make, 4) BY_COLUMNS(make, 5) \
  BY_COLUMNS(make, 6)
#define TABLE_ROW(name, J) {name##_##J##_1, name##_##J##_2, name##_##J##_3, name##_##J##_4}
#define TABLE(name) \
  { TABLE_ROW(name, 1), TABLE_ROW(name, 2), TABLE_ROW(name, 3), TABLE_ROW(name, 4), TABLE_ROW(name, 5), \
    TABLE_ROW(name, 6) }

/* The vectors of the next tile where so many are left: a tile of one, which computes little for what it loads, is
   avoided. */
static inline int next_width(int vectors) {
  if (WIDE > 2 && vectors == WIDE + 1) return WIDE - 1;
  return vectors < WIDE ? vectors : WIDE;
}

/* z[j][:] = bias[j] + sum_k weight[k][j] h[k][:], rectified if asked: max(z, 0) */
TEMPLATE void forward_tile(const int J, const int C, int inputs, const float *restrict weight, long stride,
                           const float *restrict h, long columns, const float *restrict bias,
                           int rectifies, float *restrict z) {
  vf sums[TILE][WIDEST];
  UNROLL for (int j = 0; j < J; j++) UNROLL for (int c = 0; c < C; c++) sums[j][c] = splat(bias[j]);
  for (int k = 0; k < inputs; k++) {
    const float *row = h + k * columns, *w = weight + k * stride;
    vf x[WIDEST];
    UNROLL for (int c = 0; c < C; c++) x[c] = load(row + c * V);
    UNROLL for (int j = 0; j < J; j++) {
      vf own = splat(w[j]);
      UNROLL for (int c = 0; c < C; c++) sums[j][c] += own * x[c];
    }
  }
  if (rectifies)
    UNROLL for (int j = 0; j < J; j++)
      UNROLL for (int c = 0; c < C; c++) sums[j][c] = rectified(sums[j][c], sums[j][c]);
  UNROLL for (int j = 0; j < J; j++) UNROLL for (int c = 0; c < C; c++) store(z + j * columns + c * V, sums[j][c]);
}

typedef void ForwardTile(int, const float *, long, const float *, long, const float *, int, float *);
#define FORWARD(J, C) \
  static void forward_##J##_##C(int inputs, const float *weight, long stride, const float *h, long columns, \
                                const float *bias, int rectifies, float *z) { \
    forward_tile(J, C, inputs, weight, stride, h, columns, bias, rectifies, z); \
  }
BY_TILE(FORWARD)
static ForwardTile *const forward_tiles[TILE][WIDEST] = TABLE(forward);

static void forward(int inputs, int outputs, const float *weight, long stride, const float *h, long columns,
                    const float *bias, int rectifies, float *z) {
  for (int c = 0, left = columns / V; left; ) {
    int width = next_width(left);
    for (int j = 0; j < outputs; j += TILE) {
      int rows = outputs - j < TILE ? outputs - j : TILE;
      forward_tiles[rows - 1][width - 1](inputs, weight + j, stride, h + c, columns, bias + j, rectifies,
                                         z + j * columns + c);
    }
    c += width * V;
    left -= width;
  }
}

/* d[k][:] = sum_j weight[k][j] g[j][:], and 0 where the rectifier's output h[k] is */
TEMPLATE void backward_tile(const int J, const int C, int outputs, const float *restrict weight, long stride,
                            const float *restrict g, long columns, const float *restrict h,
                            float *restrict d) {
  vf sums[TILE][WIDEST];
  UNROLL for (int k = 0; k < J; k++) UNROLL for (int c = 0; c < C; c++) sums[k][c] = splat(0);
  for (int j = 0; j < outputs; j++) {
    const float *row = g + j * columns;
    vf x[WIDEST];
    UNROLL for (int c = 0; c < C; c++) x[c] = load(row + c * V);
    UNROLL for (int k = 0; k < J; k++) {
      vf own = splat(weight[k * stride + j]);
      UNROLL for (int c = 0; c < C; c++) sums[k][c] += own * x[c];
    }
  }
  UNROLL for (int k = 0; k < J; k++) UNROLL for (int c = 0; c < C; c++) {
    long at = k * columns + c * V;
    store(d + at, rectified(sums[k][c], load(h + at)));
  }
}

typedef void BackwardTile(int, const float *, long, const float *, long, const float *, float *);
#define BACKWARD(J, C) \
  static void backward_##J##_##C(int outputs, const float *weight, long stride, const float *g, long columns, \
                                 const float *h, float *d) { \
    backward_tile(J, C, outputs, weight, stride, g, columns, h, d); \
  }
BY_TILE(BACKWARD)
static BackwardTile *const backward_tiles[TILE][WIDEST] = TABLE(backward);

static void backward(int inputs, int outputs, const float *weight, long stride, const float *g, long columns,
                     const float *h, float *d) {
  for (int c = 0, left = columns / V; left; ) {
    int width = next_width(left);
    for (int k = 0; k < inputs; k += TILE) {
      int rows = inputs - k < TILE ? inputs - k : TILE;
      backward_tiles[rows - 1][width - 1](outputs, weight + k * stride, stride, g + c, columns,
                                          h + k * columns + c, d + k * columns + c);
    }
    c += width * V;
    left -= width;
  }
}

/* out[k][:] = sum_b h[k][b] gt[b][:], over the rows b of a minibatch */
TEMPLATE void gradient_tile(const int J, const int C, int rows, const float *restrict h, long columns,
                            const float *restrict gt, long width, float *restrict out, long stride) {
  vf sums[TILE][WIDEST];
  UNROLL for (int k = 0; k < J; k++) UNROLL for (int c = 0; c < C; c++) sums[k][c] = splat(0);
  for (int b = 0; b < rows; b++) {
    const float *row = gt + b * width;
    vf x[WIDEST];
    UNROLL for (int c = 0; c < C; c++) x[c] = load(row + c * V);
    UNROLL for (int k = 0; k < J; k++) {
      vf own = splat(h[k * columns + b]);
      UNROLL for (int c = 0; c < C; c++) sums[k][c] += own * x[c];
    }
  }
  UNROLL for (int k = 0; k < J; k++) UNROLL for (int c = 0; c < C; c++) store(out + k * stride + c * V, sums[k][c]);
}

typedef void GradientTile(int, const float *, long, const float *, long, float *, long);
#define GRADIENT(J, C) \
  static void gradient_##J##_##C(int rows, const float *h, long columns, const float *gt, long width, \
                                 float *out, long stride) { \
    gradient_tile(J, C, rows, h, columns, gt, width, out, stride); \
  }
BY_TILE(GRADIENT)
static GradientTile *const gradient_tiles[TILE][WIDEST] = TABLE(gradient);

/* The gradients of at most TILE rows of weights, with `outputs` columns and zeros behind them. */
static void gradient(int units, int outputs, int rows, const float *h, long columns, const float *gt,
                     long width, float *out, long stride) {
  for (int c = 0, left = (outputs + V - 1) / V; left; ) {
    int wide = next_width(left);
    gradient_tiles[units - 1][wide - 1](rows, h, columns, gt + c, width, out + c, stride);
    c += wide * V;
    left -= wide;
  }
}

/* out[:] = sum_b gt[b][:] */
TEMPLATE void sum_tile(const int C, int rows, const float *restrict gt, long width, float *restrict out) {
  vf sums[WIDEST];
  UNROLL for (int c = 0; c < C; c++) sums[c] = splat(0);
  for (int b = 0; b < rows; b++)
    UNROLL for (int c = 0; c < C; c++) sums[c] += load(gt + b * width + c * V);
  UNROLL for (int c = 0; c < C; c++) store(out + c * V, sums[c]);
}

/* The sums of `outputs` columns, and zeros behind them. */
static void sum_rows(int outputs, int rows, const float *gt, long width, float *out) {
  for (int c = 0; c < outputs; c += WIDEST * V) switch ((outputs - c + V - 1) / V) {
    case 1: sum_tile(1, rows, gt + c, width, out + c); break;
    case 2: sum_tile(2, rows, gt + c, width, out + c); break;
    case 3: sum_tile(3, rows, gt + c, width, out + c); break;
    default: sum_tile(WIDEST, rows, gt + c, width, out + c);
  }
}

/* Turn V rows of V numbers into columns: at each stage, neighbours at distance `s` exchange halves. */
TEMPLATE void transpose_block(vf *a) {
  vf t[V];
  UNROLL for (int s = 1; s < V; s *= 2) {
    const vi lane = EACH_LANE, is_high = (lane & s) != 0;
    vi low = (is_high & (V + (lane ^ s))) | (~is_high & lane), high = (is_high & (V + lane)) | (~is_high & (lane | s));
    UNROLL for (int i = 0; i < V; i++) if (!(i & s)) {
      t[i] = chosen(a[i], a[i | s], low);
      t[i | s] = chosen(a[i], a[i | s], high);
    }
    UNROLL for (int i = 0; i < V; i++) a[i] = t[i];
  }
}

/* gt[b][j] = g[j][b]; what is behind the units is set to zero. */
static void transpose(int units, float *g, long columns, float *gt, long width) {
  int rows = (units + V - 1) / V * V;
  memset(g + units * columns, 0, sizeof(float) * (rows - units) * columns);
  for (int j = 0; j < rows; j += V)
    for (int b = 0; b < columns; b += V) {
      vf a[V];
      UNROLL for (int i = 0; i < V; i++) a[i] = load(g + (j + i) * columns + b);
      transpose_block(a);
      UNROLL for (int i = 0; i < V; i++) store(gt + (b + i) * width + j, a[i]);
    }
}

#endif
