"""The same study in JAX: Optuna's NSGA-II over whole generations of nets that are trained side by side.

This is what an expert would write to be fast: ``vmap`` over nets, a jitted epoch (``scan`` over minibatches),
and the rule of `plain_net.py` by masks. Shapes never change, so pruned neurons cost what living ones do. Each
process has one thread and its own nets, a process a core; one process asks, tells and dispatches. The
compilation belongs to the start-up.

    python benchmarks/jax_peer.py [--trials 100] [--workers 2]

It needs the extra "benchmarks" of this project.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plain_net import Job

CONTEXT = multiprocessing.get_context("spawn")
GENERATION = 50
FORMS = ("mean", "ratio", "zero_sum", "constant")
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@cache
def compiled(job: Job, nets: int):
    """A function (configs, seeds) -> accuracies and neurons left, of so many nets at once."""
    import jax
    import numpy as np
    import plain_net
    from jax import lax, random
    from jax import numpy as jnp

    rows = [array.numpy() for array in plain_net.data(job)]
    x, y, x_val, y_val = (jnp.asarray(each) for each in rows)
    widths = (x.shape[1], *job.hidden, int(rows[1].max()) + 1)
    steps_of_epoch = -(-len(x) // job.batch)
    total = job.epochs * steps_of_epoch
    last_event = total * (1 - plain_net.SETTLE)

    def fresh(key, inputs, outputs):
        return random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5

    def begin(key):
        keys = random.split(key, len(widths) - 1)
        layers = [
            (fresh(k, *pair), jnp.zeros(pair[1])) for k, pair in zip(keys, pairwise(widths), strict=True)
        ]
        units = [
            {"alive": jnp.ones(n), "gain": jnp.zeros(n), "reference": jnp.zeros(n), "age": jnp.full(n, 1000)}
            for n in job.hidden
        ]
        moments = jax.tree.map(jnp.zeros_like, (layers, layers))
        return {"layers": layers, "units": units, "moments": moments, "key": random.fold_in(key, 1)}

    def outputs(layers, units, x):
        found = []
        for (weight, bias), unit in zip(layers, units, strict=False):
            x = jax.nn.relu(x @ weight + bias) * unit["alive"]
            found.append(x)
        weight, bias = layers[-1]
        return x @ weight + bias, found

    def loss(layers, units, x, y, present):
        logits, found = outputs(layers, units, x)
        each = -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)[:, 0]
        return (each * present).sum() / present.sum(), found

    def account(unit, found, present, config):
        living, count = unit["alive"].sum(), present.sum()
        mean = found.sum(1) / living
        firing = (found > 0).astype(found.dtype)
        active = firing.sum(1)
        levels = [
            mean,
            mean * (living - active) / active.clip(1),
            mean * living / (living - active).clip(1),
            jnp.ones_like(mean),
        ]
        level = jnp.stack(levels)[config["penalty_form"]] * present
        paid = (level.sum() - level @ firing) / count
        gain = (found * present[:, None]).sum(0) / count - config["unactivation_penalty"] * paid
        return unit | {
            "gain": unit["gain"] * 0.98 + gain,
            "reference": unit["reference"] * 0.98 + (mean * present).sum() / count,
            "age": unit["age"] + 1,
        }

    def events(net, config):
        layers, units, (first, second) = [*net["layers"]], [*net["units"]], net["moments"]
        first, second = [*first], [*second]
        key = net["key"]
        for number, unit in enumerate(units):
            key, of_births, of_weights = random.split(key, 3)
            alive = unit["alive"] > 0
            living = alive.sum()
            stamina = unit["gain"] / unit["reference"]
            doomed = alive & (unit["age"] >= 50) & (stamina <= config["hebbian_threshold"])
            allowed = jnp.minimum(jnp.maximum(1, living // 5), jnp.maximum(0, living - 2))
            place = jnp.where(doomed, stamina, jnp.inf).argsort().argsort()
            dies = doomed & (place < allowed)
            born = ~alive & (random.uniform(of_births, alive.shape) < config["regrowth_rate"])
            unit = unit | {"alive": ((alive & ~dies) | born).astype(jnp.float32)}
            for name in ("age", "gain", "reference"):
                unit[name] = jnp.where(born, 0, unit[name])
            units[number] = unit
            weight, bias = layers[number]
            inputs = jnp.where(born, fresh(of_weights, *weight.shape), weight)
            layers[number] = inputs, jnp.where(born, 0, bias)
            weight, bias = layers[number + 1]
            layers[number + 1] = jnp.where(born[:, None], 0, weight), bias
            for moment in (first, second):
                moment[number] = tuple(jnp.where(born, 0, each) for each in moment[number])
                weight, bias = moment[number + 1]
                moment[number + 1] = jnp.where(born[:, None], 0, weight), bias
        return net | {"layers": layers, "units": units, "moments": (first, second), "key": key}

    def adamw(net, gradients, step, rate, decay):
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, net["moments"][0], gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, net["moments"][1], gradients)
        size, root = rate / (1 - 0.9**step), jnp.sqrt(1 - 0.999**step)

        def move(weight, m, v):
            return weight * (1 - rate * decay) - size * m / (jnp.sqrt(v) / root + 1e-8)

        return net | {"layers": jax.tree.map(move, net["layers"], first, second), "moments": (first, second)}

    def train_step(net, config, step, x, y, present):
        (_, found), gradients = jax.value_and_grad(loss, has_aux=True)(
            net["layers"], net["units"], x, y, present
        )
        rate = config["learning_rate"] * jnp.minimum(1.0, (total - step + 1) / (total * plain_net.SETTLE))
        net = adamw(net, gradients, step, rate, config["weight_decay"])

        def counted(net):
            units = [account(u, f, present, config) for u, f in zip(net["units"], found, strict=True)]
            return net | {"units": units}

        # conditions on the step are the same for all nets, so only one branch is computed
        net = lax.cond(step <= last_event, counted, lambda net: net, net)
        due = (step >= 40) & (step % 10 == 0) & (step <= last_event)
        return lax.cond(due, lambda net: events(net, config), lambda net: net, net)

    @jax.jit
    def epoch(nets, configs, begun, order):
        def one(nets, batch):
            number, rows = batch
            present = (rows >= 0).astype(jnp.float32)
            together = jax.vmap(train_step, in_axes=(0, 0, None, None, None, None))
            return together(nets, configs, begun + number + 1, x[rows], y[rows], present), None

        return lax.scan(one, nets, (jnp.arange(steps_of_epoch), order))[0]

    @jax.jit
    def score(nets):
        def one(net):
            logits, _ = outputs(net["layers"], net["units"], x_val)
            return (logits.argmax(1) == y_val).mean(), sum(unit["alive"].sum() for unit in net["units"])

        return jax.vmap(one)(nets)

    start = jax.jit(jax.vmap(begin))

    def train(configs: list[dict[str, Any]], seed: int) -> list[tuple[float, int]]:
        filled = [*configs, *configs[-1:] * (nets - len(configs))]  # of one shape, so compiled once
        plain = [c | {"penalty_form": FORMS.index(c["penalty_form"])} for c in filled]
        values = {name: jnp.asarray([config[name] for config in plain]) for name in plain[0]}
        state = start(random.split(random.key(seed), nets))
        draws = np.random.default_rng(seed)
        for number in range(job.epochs):
            order = np.full(steps_of_epoch * job.batch, -1)  # -1: no row, in the last minibatch
            order[: len(x)] = draws.permutation(len(x))
            state = epoch(state, values, number * steps_of_epoch, order.reshape(-1, job.batch))
        accuracy, left = (np.asarray(each) for each in score(state))
        return [(float(a), int(n)) for a, n in zip(accuracy, left, strict=True)][: len(configs)]

    return train


EXAMPLE = {
    "unactivation_penalty": 1.0,
    "penalty_form": "mean",
    "hebbian_threshold": 0.0,
    "regrowth_rate": 0.01,
    "learning_rate": 1e-3,
    "weight_decay": 1e-2,
}


def get_ready(job: Job, nets: int, barrier) -> None:
    """Compile, as one process of a pool."""
    compiled(job, nets)([EXAMPLE], 0)
    barrier.wait()


def train(job: Job, nets: int, configs: list[dict[str, Any]], seed: int) -> list[tuple[float, int]]:
    """Train some nets, in a process of the pool."""
    return compiled(job, nets)(configs, seed)


def run(job: Job, trials: int, workers: int) -> tuple[float, list[dict[str, Any]]]:
    """Search; return when the clock starts, and the trials with the seconds at which they ended."""
    import optuna
    import plain_net

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["XLA_FLAGS"] = ONE_THREAD
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=job.seed)
    )
    nets, barrier = -(-GENERATION // workers), CONTEXT.Barrier(workers + 1)
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(workers, CONTEXT, get_ready, (job, nets, barrier)) as pool:
        for _ in range(workers):
            pool.submit(os.getpid)  # this starts a process
        barrier.wait(600)
        begun = time.monotonic()
        for first in range(0, trials, GENERATION):
            asked = [study.ask() for _ in range(min(GENERATION, trials - first))]
            configs = [plain_net.suggest(trial) for trial in asked]
            parts = {
                pool.submit(train, job, nets, configs[at : at + nets], job.seed * trials + first + at): at
                for at in range(0, len(asked), nets)
            }
            for part in as_completed(parts):
                at = time.monotonic() - begun
                for trial, (accuracy, left) in zip(asked[parts[part] :], part.result(), strict=False):
                    study.tell(trial, (accuracy, left))
                    rows.append({"at": at, "accuracy": accuracy, "survivors": left, "genome": trial.params})
    return begun, rows


def main() -> None:
    """Time a search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    import plain_net

    started = time.monotonic()
    begun, rows = run(plain_net.Job(), options.trials, options.workers)
    a_trial = rows[-1]["at"] / options.trials
    print(f"JAX, {options.workers} workers: {a_trial:.4f} s a trial, start-up {begun - started:.1f} s")


if __name__ == "__main__":
    main()
