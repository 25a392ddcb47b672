"""What a connection rule costs a step of a stack, and whether sparse kernels would be faster.

784-300-100-10, batch 64, one thread, random data; eight networks in a stack. Every rule takes turns with the
dense stack, and the last column is the median of the quotients of neighbouring turns.

    python benchmarks/masked_stacks.py [--repeats 5] [--steps 100]

To compare two versions of the package, run the script in each of them in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from throughput import machine, markdown

from hebbevo.data import Split
from hebbevo.networks import Architecture
from hebbevo.rules.connections.cosine import HIGHEST, PROBABLE
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows
from hebbevo.training.stack import VmapStack

INPUTS, HIDDEN, CLASSES, BATCH, NETS = 784, (300, 100), 10, 64, 8
CPU = torch.device("cpu")
EVENT = 100  # steps between events, if nothing else is said; a turn of as many steps has one
# rule, its knobs, and what is shown of it
RULES: list[tuple[str, dict[str, Value], str]] = [
    ("full", {}, "dense"),
    *((rule, {"rewire_period": EVENT}, rule) for rule in ("set", "rigl", "constant_fan_in", "coactivation")),
    *(
        ("cosine", {"rewire_period": EVENT, "grow_by": growth}, f"cosine, grow_by: {growth}")
        for growth in (HIGHEST, PROBABLE)
    ),
    ("static", {}, "static"),
    ("random", {"warmup": 0, "prune_period": EVENT}, "random"),
    ("magnitude", {"warmup": 0, "prune_period": EVENT}, "magnitude"),
    ("magnitude", {"warmup": 0, "prune_period": 10}, "magnitude, every 10 steps"),
    ("iterative_magnitude", {"rounds": 9}, "iterative_magnitude"),  # 10 parts of 100 steps
    *(
        ("hebb_mask", {"update_interval": each, "permanence_rate": 1e-3, "permanence_decay": 1e-3}, shown)
        for each, shown in (
            (EVENT, "hebb_mask"),
            (10, "hebb_mask, every 10 steps"),
            (1, "hebb_mask, every step"),
        )
    ),
]
DENSITIES = (0.2, 0.05, 0.02, 0.01)


def training(rule: str, knobs: dict[str, Value]) -> CohortTraining:
    """The training of a stack of networks under a rule, long enough for all repeats."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * 200, INPUTS)).astype(np.float32)
    y = rng.integers(CLASSES, size=len(x))
    ones = np.ones(INPUTS, np.float32)
    split = Split(x, y, x[:BATCH], y[:BATCH], x[:1], y[:1], 0 * ones, ones, tuple(range(CLASSES)))
    network = Architecture("mlp", HIDDEN, "dense", False, (INPUTS,), CLASSES, (), rule)
    recipe = Recipe(network, knobs, 5, BATCH, 0)
    genomes = [{"learning_rate": 1e-3 * (1 + number)} for number in range(NETS)]
    nets = [network.build(recipe.settings_for(each), Candidate(each).seed(0)) for each in genomes]
    values = [recipe.training_knobs(each) for each in genomes]
    model = network.build(recipe.settings_for(genomes[0]), 0)
    return CohortTraining(recipe, VmapStack(nets, CPU), values, model, Rows.of(split, (INPUTS,), CPU))


def endless(cohort: CohortTraining) -> Iterator[torch.Tensor]:
    """Minibatches of one epoch after another."""
    for epoch in range(5):
        yield from cohort.minibatches(epoch)


def rules(repeats: int, steps: int) -> str:
    """The table of what a step costs under each rule."""
    runs = [(shown, cohort := training(rule, knobs), endless(cohort)) for rule, knobs, shown in RULES]
    costs: dict[str, list[float]] = {shown: [] for shown, _, _ in runs}
    for repeat in range(repeats + 1):  # the first one warms up
        for shown, cohort, minibatches in runs:
            begun = time.process_time()
            for _ in range(steps):
                cohort.train_step(next(minibatches))
            if repeat:
                costs[shown].append((time.process_time() - begun) / steps / NETS * 1e3)
    dense = costs["dense"]
    rows = [
        [shown, f"{median(own):.2f}", f"{median(a / b for a, b in zip(own, dense, strict=True)):.2f}"]
        for shown, own in costs.items()
    ]
    return markdown(["", "ms a step and network", "times dense"], rows)


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """The median of the CPU time of a call, over as many blocks of ten calls."""
    function()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        for _ in range(10):
            function()
        found.append((time.process_time() - begun) / 10 * 1e3)
    return median(found)


def kernels(repeats: int) -> str:
    """The table of the first layer's products, outputs and gradient of the weights, in three ways."""
    sampled = torch.sparse.sampled_addmm
    x, gradient = torch.randn(BATCH, INPUTS), torch.randn(BATCH, HIDDEN[0])
    rows = []
    for density in DENSITIES:
        weight = torch.randn(HIDDEN[0], INPUTS) * (torch.rand(HIDDEN[0], INPUTS) < density)
        csr = weight.to_sparse_csr()
        outputs, inputs = weight.nonzero(as_tuple=True)
        values, columns, slopes = weight[outputs, inputs], x.T.contiguous(), gradient.T.contiguous()

        def gathered(outputs=outputs, inputs=inputs, values=values, columns=columns, slopes=slopes) -> object:
            y = torch.zeros(HIDDEN[0], BATCH).index_add_(0, outputs, columns[inputs] * values[:, None])
            return y, (columns[inputs] * slopes[outputs]).sum(1)

        rows.append(
            [
                f"{density:.0%}",
                f"{milliseconds(lambda w=weight: (x @ w.T, gradient.T @ x), repeats):.2f}",
                f"{milliseconds(lambda w=csr, c=columns: w @ c, repeats):.2f}",
                f"{milliseconds(lambda w=csr, s=slopes: sampled(w, s, x, beta=0.0), repeats):.2f}",
                f"{milliseconds(gathered, repeats):.2f}",
            ]
        )
    header = ["connections left", "dense", "CSR, outputs", "CSR, gradient", "gathered"]
    return markdown(header, rows)


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=EVENT)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), end="\n\n")
    print(rules(chosen.repeats, chosen.steps), end="\n\n")
    print(kernels(chosen.repeats))


if __name__ == "__main__":
    main()
