/* The native engine: one fully connected network at a time, whole in the cache, of living neurons only.

   The functions without `static` are what hebbevo/native/loading.py calls. Nothing here allocates memory, and
   nothing is kept between calls but what is in a Network. */
#include "events.h"
#include "gates.h"
#include "loss.h"
#include "network.h"
#include "optimizer.h"
#include "perturbation.h"
#include "products.h"
#include "random.h"
#include "scores.h"
#include "statistics.h"
#include "survivors.h"

#define EXPORTED __attribute__((visibility("default")))

/* Activations that decay towards zero would end as denormal numbers, which are slow. */
#if defined(__x86_64__)
typedef unsigned FloatMode;
enum { FLUSH_TO_ZERO = 1 << 15, DENORMALS_ARE_ZERO = 1 << 6 };
static FloatMode flush_denormals(void) {
  FloatMode before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
  return before;
}
static void restore(FloatMode mode) { __builtin_ia32_ldmxcsr(mode); }
#else
typedef int FloatMode;
static FloatMode flush_denormals(void) { return 0; }
static void restore(FloatMode mode) { (void)mode; }
#endif

/* The version, and the bytes of each structure, so that a caller with others is found out. */
EXPORTED void hebbevo_layout(int64_t *layout) {
  layout[0] = VERSION;
  layout[1] = sizeof(Units);
  layout[2] = sizeof(Layer);
  layout[3] = sizeof(Network);
  layout[4] = sizeof(Data);
}

/* The widest vectors that this processor has, in floats. */
EXPORTED int hebbevo_widest(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
    return 16;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 8;
#endif
  return 4;
}

/* Lay the living features of some rows out as rows of units; `rows` NULL: the first ones of the data. */
static void gather(const Network *net, const Data *data, const int64_t *rows, int count, long columns) {
  const Units *inputs = &net->place[0];
  float *to = net->activation[0];
  int n = inputs->living, whole = n == inputs->size && !inputs->prunes ? n / V * V : 0, b = 0;
#define ROW(b) (data->x + (rows ? rows[b] : (b)) * (int64_t)data->features)
  for (; b + V <= count; b += V) {
    for (int k = 0; k < whole; k += V) {
      vf a[V];
      UNROLL for (int i = 0; i < V; i++) a[i] = load_unaligned(ROW(b + i) + k);
      transpose_block(a);
      UNROLL for (int i = 0; i < V; i++) store(to + (k + i) * columns + b, a[i]);
    }
  }
  for (int c = 0; c < count; c++) { /* what does not fill a block */
    const float *x = ROW(c);
    for (int k = c < b ? whole : 0; k < n; k++) to[k * columns + c] = x[inputs->numbers[k]];
  }
  if (count < columns)
    for (int k = 0; k < n; k++) memset(to + k * columns + count, 0, sizeof(float) * (columns - count));
#undef ROW
}

static void forward_layer(Network *net, int l, long columns, int count) {
  int inputs = net->place[l].living, outputs = net->place[l + 1].living;
  const Layer *layer = &net->layer[l];
  float *z = net->activation[l + 1];
  int hidden = l < net->layers - 1;
  forward(inputs, outputs, layer->weight, layer->stride, net->activation[l], columns, layer->bias, hidden, z);
  if (hidden && count < columns)
    for (int j = 0; j < outputs; j++) memset(z + j * columns + count, 0, sizeof(float) * (columns - count));
}

/* Multiply the outputs of units by their gates, if they have some. */
static void apply_gates(Network *net, int place, long columns) {
  if (net->place[place].theta) scale_by_gates(&net->place[place], net->activation[place], columns);
}

/* The gradient of a layer's weights, tile by tile, each followed by the optimiser's step. */
static void step_weights(Network *net, int l, long columns, int count, const Step *step, int gathers) {
  Layer *layer = &net->layer[l];
  Units *units = &net->place[l];
  int inputs = units->living, outputs = net->place[l + 1].living;
  int n = (outputs + V - 1) / V * V;
  int sees_gates = gathers && units->buffers[SUM_GATE_GRADIENT];
  for (int k = 0; k < inputs; k += TILE) {
    int rows = inputs - k < TILE ? inputs - k : TILE;
    long stride = layer->stride;
    float *found = layer->weight_gradient ? layer->weight_gradient + k * stride : net->tile;
    gradient(rows, outputs, count, net->activation[l] + k * columns, columns, net->transposed, stride, found, stride);
    for (int i = 0; i < rows; i++) {
      long at = (k + i) * stride;
      float *own = found + i * stride;
      if (units->theta) find_theta_gradient(units, k + i, outputs, layer->weight + at, own);
      if (sees_gates) add_gate_gradient(units, k + i, outputs, layer->weight + at, own);
      if (layer->mask) {
        for (int j = 0; j < n; j += V)
          store(net->tile + i * stride + j, where(*(const vi *)(layer->mask + at + j), load(own + j)));
        own = net->tile + i * stride;
      }
      update(n, layer->weight, layer->weight_state, at, own, step);
    }
  }
  if (units->theta) step_gates(units, step);
}

static void step_bias(Network *net, int l, int count, const Step *step) {
  Layer *layer = &net->layer[l];
  int outputs = net->place[l + 1].living;
  float *sums = layer->bias_gradient ? layer->bias_gradient : net->tile;
  sum_rows(outputs, count, net->transposed, layer->stride, sums);
  update((outputs + V - 1) / V * V, layer->bias, layer->bias_state, 0, sums, step);
}

/* One step on a minibatch; gives its loss. */
static float train_step(Network *net, const Data *data, const int64_t *rows, int count, float factor, int gathers) {
  long columns = padded(count);
  int last = net->layers;
  net->step++;
  for (int place = 0; place < last; place++)
    if (net->place[place].theta) find_gates(net, &net->place[place], 1);
  gather(net, data, rows, count, columns);
  apply_gates(net, 0, columns);
  if (gathers && net->place[0].prunes) observe(net, 0, columns, count);
  for (int l = 0; l < last; l++) {
    forward_layer(net, l, columns, count);
    apply_gates(net, l + 1, columns);
    if (gathers && l < last - 1 && net->place[l + 1].prunes) observe(net, l + 1, columns, count);
  }
  float *z = net->activation[last];
  int outputs = net->place[last].living;
  float loss = data->labels ? cross_entropy(data, rows, count, outputs, columns, z, net->transposed)
                            : squared_error(data, rows, count, columns, z);
  /* a running mean that starts at the first loss */
  net->running_loss += (loss - net->running_loss) * (net->step == 1 ? 1 : 0.1f);
  Step step = next_step(net, factor);
  float *error = z;
  for (int l = last - 1; l >= 0; l--) {
    const Layer *layer = &net->layer[l];
    int below = net->place[l].living, above = net->place[l + 1].living;
    transpose(above, error, columns, net->transposed, layer->stride);
    if (l) backward(below, above, layer->weight, layer->stride, error, columns, net->activation[l], net->error[l]);
    if (l && net->place[l].theta) scale_by_gates(&net->place[l], net->error[l], columns);
    step_weights(net, l, columns, count, &step, gathers);
    step_bias(net, l, count, &step);
    error = net->error[l];
  }
  return loss;
}

/* Train on `count` rows, minibatches of `batch` each, the last of which may be smaller, with the events between.

   `factors` and `losses` have an entry for each step. Gives the number of steps taken: fewer where an event
   awaits scores of the caller, or the caller acts after a step. It is negative where the loss of the last step is
   not finite, at which it stops. */
EXPORTED int64_t hebbevo_train(Network *net, const Data *data, const int64_t *rows, int64_t count, int64_t batch,
                               const float *factors, float *losses) {
  FloatMode before = flush_denormals();
  int64_t last_event = 0, steps = 0;
  for (int place = 0; place < net->layers; place++)
    if (net->place[place].last_event > last_event) last_event = net->place[place].last_event;
  for (int64_t start = 0; start < count && !net->awaits_event; start += batch) {
    int own = (int)(count - start < batch ? count - start : batch);
    losses[steps] = train_step(net, data, rows + start, own, factors[steps], net->step < last_event);
    if (!isfinite(losses[steps++])) {
      steps = -steps;
      break;
    }
    perturb_all(net);
    hold_events(net);
    if (net->stops && net->stops[net->step]) break;
  }
  restore(before);
  return steps;
}

/* Train networks one after the other on the same rows; NULL: none. Each has `steps` factors and losses. */
EXPORTED void hebbevo_train_all(Network *const *nets, int64_t size, const Data *data, const int64_t *rows, int64_t count,
                                int64_t batch, const float *factors, float *losses, int64_t *taken) {
  int64_t steps = (count + batch - 1) / batch;
  for (int64_t n = 0; n < size; n++)
    taken[n] = nets[n] ? hebbevo_train(nets[n], data, rows, count, batch, factors + n * steps, losses + n * steps) : 0;
}

/* Compute the outputs of some rows of the data, from `start`: activations of the last place, a column for each row. */
static const float *find_outputs(Network *net, const Data *data, int64_t start, int count, long columns) {
  Data part = *data;
  part.x += start * data->features;
  gather(net, &part, NULL, count, columns);
  apply_gates(net, 0, columns);
  for (int l = 0; l < net->layers; l++) {
    forward_layer(net, l, columns, count);
    apply_gates(net, l + 1, columns);
  }
  return net->activation[net->layers];
}

static void find_gates_of_all(Network *net) {
  for (int place = 0; place < net->layers; place++)
    if (net->place[place].theta) find_gates(net, &net->place[place], 0);
}

/* The outputs of the first `count` rows of the data, (count, outputs). */
EXPORTED void hebbevo_outputs(Network *net, const Data *data, int64_t count, float *outputs) {
  FloatMode before = flush_denormals();
  int classes = net->place[net->layers].living;
  find_gates_of_all(net);
  for (int64_t start = 0; start < count; start += net->columns) {
    int own = (int)(count - start < net->columns ? count - start : net->columns);
    long columns = padded(own);
    const float *z = find_outputs(net, data, start, own, columns);
    for (int b = 0; b < own; b++)
      for (int k = 0; k < classes; k++) outputs[(start + b) * classes + k] = z[k * columns + b];
  }
  restore(before);
}

/* How many of the first `count` rows of the data have their largest output, the first of equal ones, at their label.
   It is -1 where an output is not finite. */
static int64_t count_right(Network *net, const Data *data, int64_t count) {
  int classes = net->place[net->layers].living, finite = 1;
  int64_t right = 0;
  find_gates_of_all(net);
  for (int64_t start = 0; start < count && finite; start += net->columns) {
    int own = (int)(count - start < net->columns ? count - start : net->columns);
    long columns = padded(own);
    const float *z = find_outputs(net, data, start, own, columns);
    for (int b = 0; b < own; b++) {
      int answer = 0;
      for (int k = 0; k < classes; k++) {
        finite &= isfinite(z[k * columns + b]) != 0;
        if (z[k * columns + b] > z[answer * columns + b]) answer = k;
      }
      right += answer == data->labels[start + b];
    }
  }
  return finite ? right : -1;
}

EXPORTED void hebbevo_right(Network *const *nets, int64_t size, const Data *data, int64_t count, int64_t *right) {
  FloatMode before = flush_denormals();
  for (int64_t n = 0; n < size; n++) right[n] = count_right(nets[n], data, count);
  restore(before);
}

/* Events whose scores come from the caller: each place that has one is begun and pruned, then all are ended. */
EXPORTED int64_t hebbevo_begin_event(Network *net, int place) { return begin_event(net, place); }
EXPORTED void hebbevo_prune(Network *net, int place, const double *scores) { prune(net, place, scores); }
EXPORTED void hebbevo_end_events(Network *net) {
  end_events(net);
  net->awaits_event = 0;
}

/* Drop the units that are out from the start. */
EXPORTED void hebbevo_drop_dead(Network *net) { drop_dead(net); }

/* Take note of which connections are in. */
EXPORTED void hebbevo_lay_out_masks(Network *net) { lay_out_masks(net); }

/* Count the units of each place, and the weights of each layer, that lie on a path from an input to an output.

   `on_path` is set by the numbers of the units of each place; `connections` may be NULL. */
static void count_survivors(Network *net, uint8_t *const *on_path, int64_t *units, int64_t *connections) {
  uint8_t *reached[MOST_LAYERS + 1], *leading[MOST_LAYERS + 1];
  for (int place = 0; place <= net->layers; place++) { /* activations are free between steps */
    reached[place] = (uint8_t *)net->activation[place];
    leading[place] = (uint8_t *)net->error[place];
  }
  find_gates_of_all(net);
  mark_reached(net, reached);
  mark_leading(net, leading);
  for (int place = 0; place <= net->layers; place++)
    units[place] = living_units(&net->place[place], reached[place], leading[place], on_path[place]);
  for (int l = 0; connections && l < net->layers; l++) connections[l] = living_connections(net, l, reached[l], leading[l + 1]);
}

/* The same for networks of one shape: `on_path` has the units of each place of all networks. */
EXPORTED void hebbevo_survivors(Network *const *nets, int64_t size, uint8_t *const *on_path, int64_t *units,
                                int64_t *connections) {
  for (int64_t n = 0; n < size; n++) {
    int layers = nets[n]->layers;
    uint8_t *own[MOST_LAYERS + 1];
    for (int place = 0; place <= layers; place++) own[place] = on_path[place] + n * nets[n]->place[place].size;
    count_survivors(nets[n], own, units + n * (layers + 1), connections ? connections + n * layers : NULL);
  }
}
