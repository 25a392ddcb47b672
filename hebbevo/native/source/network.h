/* A network in training, whose memory belongs to the caller; hebbevo/native/loading.py has the same structures.

   Places are numbered from the inputs, 0, to the outputs. Layer i leads from place i to place i + 1. Only
   living units have a row and a column in weights and a place in the other arrays, in any order; `numbers`
   says which units they are. */
#ifndef HEBBEVO_NETWORK_H
#define HEBBEVO_NETWORK_H

#include "vectors.h"

#define VERSION 5 /* that of hebbevo/native/loading.py */
#define MOST_LAYERS 16
#define MOST_STATES 4

/* What is gathered or kept for each living unit. */
enum {
  SEEN, SUM_OUTPUT, SUM_SIZE, SUM_VARIANCE, SUM_FIRING, SUM_GATE_GRADIENT, SEEN_GRADIENTS, MEAN_OUTPUT,
  GAIN, REFERENCE, OUTGOING, SILENT, BUFFERS
};

typedef struct {
  int32_t size;      /* units, dead ones included */
  int32_t living;
  int32_t stride;    /* floats from one unit's row of covariances to the next */
  int32_t prunes;    /* whether a rule prunes them */
  int64_t *numbers;  /* of the living units */
  int64_t *age;      /* of the living units, in forward steps */
  uint8_t *alive;    /* by number */
  uint8_t *regrown;  /* by number: is regrown at this event */
  float *buffers[BUFFERS];  /* of the living units; NULL: not gathered */
  float *covariance;        /* of pairs of living units, on and above the diagonal; NULL: not gathered */
  double *room;             /* for a matrix of living units; NULL: scores need none */
  float *sizes;             /* for as many numbers as weights lead to the units; likewise */
  const float *firing_prior; /* by number */
  float memory;
  float stamina_decay, unactivation_penalty;
  float p, q, r, s, u, ridge, belief; /* of the scores in scores.h */
  float salient_weights, salient_gradients;
  int32_t activity, penalty_form;
  /* trained gates of living units, see gates.h; NULL: none */
  float *theta, *theta_state[MOST_STATES];
  float *gate;               /* factors of the outputs, for this minibatch or for evaluation */
  float *gate_change;        /* derivatives of the gates by theta, then gradients of the loss */
  float gate_start, gate_rate, gate_penalty;
  /* what is done after each step, from step 0, to weights that feed them, see perturbation.h; NULL: nothing */
  const float *decay, *shrinkage, *noise;
  /* events, see hebbevo/rules/units/rule.py and schedule.py */
  int64_t last_event;        /* the last step with one, or with a perturbation; 0: there is none */
  const uint8_t *events;     /* whether there is one after each step, from step 0 */
  const int64_t *left;       /* how many units are left after each step, down to a target */
  const uint8_t *is_last;    /* whether the event is the last one, down to a target */
  int32_t score;             /* see scores.h */
  float threshold, max_deaths, regrowth_rate, growth_rate;
  int32_t uses_target, handover, recycles, measures_outgoing;
  int64_t min_neurons, grace, grow, patience, seed;
  /* the state of events */
  float best_loss;
  int64_t stalled, allowed;
} Units;

typedef struct {
  int32_t stride;    /* floats from one input's row of weights to the next */
  float *weight;     /* (inputs, stride) */
  float *bias;       /* (stride) */
  float *weight_state[MOST_STATES], *bias_state[MOST_STATES]; /* of the optimiser; NULL: it has fewer */
  float *weight_gradient, *bias_gradient;  /* the last ones; NULL: not kept */
  const uint8_t *connected;  /* which connections are in, by numbers, (outputs, inputs); NULL: all */
  int32_t *mask;             /* the same between living units, all bits set or none, (inputs, stride) */
} Layer;

typedef struct {
  int32_t layers, states;
  Layer layer[MOST_LAYERS];
  Units place[MOST_LAYERS + 1];
  float *activation[MOST_LAYERS + 1]; /* (padded units, columns) */
  float *error[MOST_LAYERS + 1];      /* gradients of the loss by activations, likewise */
  float *transposed;                  /* (columns, the widest stride) */
  float *tile;                        /* TILE rows of the widest stride */
  int64_t *order;                     /* as many as the widest place has units */
  int64_t columns;                    /* most columns of a minibatch */
  int32_t optimizer;                  /* see optimizer.h */
  float learning_rate, weight_decay, momentum;
  int64_t step;
  float running_loss;
  const uint8_t *stops;               /* whether the caller acts after each step, from step 0; NULL: never */
  int32_t awaits_event;               /* whether scores of the event after this step must come from the caller */
} Network;

typedef struct {
  const float *x;            /* (rows, features) */
  int32_t features;
  const int64_t *labels;     /* NULL for a regression */
  const float *targets;      /* NULL for a classification */
  const float *class_weights; /* NULL: 1 for each */
} Data;

#endif
