/* Gates on units, which the optimiser trains, as hebbevo/rules/units/l0.py has them; equations are numbered there. */
#ifndef HEBBEVO_GATES_H
#define HEBBEVO_GATES_H

#include "network.h"
#include "optimizer.h"
#include "random.h"

static const float BETA = 2.0f / 3, GAMMA = -0.1f, ZETA = 1.1f;

static float sigmoid(float a) { return 1 / (1 + expf(-a)); }

static float log_alpha(const Units *units, int j) { return units->gate_start + units->gate_rate * units->theta[j]; }

/* The factors of living units, and in training their derivatives by theta. */
static void find_gates(const Network *net, Units *units, int trains) {
  uint64_t key = key_of(units->seed, net->step - 1, GATE_STREAM);
  for (int j = 0; j < units->stride; j++) {
    int lives = j < units->living;
    float odds = lives ? log_alpha(units, j) : 0, drawn = 0;
    if (trains && lives) {
      drawn = uniform(key, (uint32_t)units->numbers[j]);
      odds = (logf(drawn) - log1pf(-drawn) + odds) / BETA; /* eq. 1 */
    }
    float open = sigmoid(odds), gate = open * (ZETA - GAMMA) + GAMMA; /* eq. 2, 4 */
    int is_cut = gate < 0 || gate > 1;
    units->gate[j] = !lives || gate < 0 ? 0 : gate > 1 ? 1 : gate;
    units->gate_change[j] = !lives || is_cut ? 0 : (ZETA - GAMMA) * open * (1 - open) / BETA * units->gate_rate;
  }
}

/* Multiply rows of units, or of gradients by them, by their gates. */
static void scale_by_gates(const Units *units, float *rows, long columns) {
  for (int j = 0; j < units->living; j++)
    for (long c = 0; c < columns; c += V) store(rows + j * columns + c, load(rows + j * columns + c) * splat(units->gate[j]));
}

/* From the derivative of a gate the gradient of the loss by theta, from those of the weights that read the unit. */
static void find_theta_gradient(Units *units, int unit, int outputs, const float *weight, const float *gradient) {
  float *own = &units->gate_change[unit];
  if (*own) *own *= dot(outputs, weight, gradient) / units->gate[unit];
  float open = sigmoid(log_alpha(units, unit) - BETA * logf(-GAMMA / ZETA));
  *own += units->gate_penalty * open * (1 - open) * units->gate_rate; /* eq. 3 */
}

/* The optimiser's step of gates, which do not decay. */
static void step_gates(Units *units, const Step *step) {
  Step undecayed = *step;
  undecayed.shrink = 1;
  update(units->stride, units->theta, units->theta_state, 0, units->gate_change, &undecayed);
}

#endif
