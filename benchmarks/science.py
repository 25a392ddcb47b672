"""Small networks found by pruning against every control: the protocol of `docs/results/science.md`.

784-300-100-10 on MNIST (or Fashion-MNIST, by ``--dataset``) is left with 20, 40, 60 or 104 hidden neurons
after 20 epochs, or has these widths from the start. Of the 60,000 training images a part validates. Test
images are scored once for each network, after its last epoch, and nothing reads that score but the table.

Controls, of the same final widths and epochs:

- dense: from the start. Learning rate and weight decay are tuned for each width on validation images, over
  `GRID` with seeds of their own.
- dense, twice as long: the same settings and twice the epochs.
- best of k: of k dense networks the most accurate on validation images, where k dense trainings have at least
  as many operations as one training of the row. The mean over all choices of k among the trained ones.
- magnitude at once, magnitude, random: one event in place of 20; gradual; and without a score.

Other rows: the rules that `RULES` names, with the constants of one recipe, and what a search has found, from
seeds that no search has had. "usage, tuned" has learning rate and weight decay tuned as dense networks have,
and "usage, tuned, twice as long" is that with twice the epochs; so for any rule. ``--study STUDY`` makes a
row of a confirmed study: at each width it has the genome of the confirmed member that is nearest in neurons.
``--widths`` divides 20, 40, 60 or 104 neurons in another way; such rows have the widths in their name, and
dense networks the settings of their number.

A difference is that of networks with equal seeds, which see minibatches in equal order; five seeds share an
order. Its interval is Student's, at 95 % after Holm's correction over all widths and controls of a row. That
against the best of k is a percentile bootstrap over the networks of both, at 95 % after Bonferroni's
correction over the widths. A row wins where the whole interval is above zero.

``--neurons`` takes other sizes: 140 for 98-42, and 400 for the whole network, trained as a dense one.

    HEBBEVO_DATA=FOLDER python benchmarks/science.py tune [--rows dense] [--tuning science_tuning.csv]
    HEBBEVO_DATA=FOLDER python benchmarks/science.py train [--rows dense ...] [--study STUDY] [--widths 13 7]
    python benchmarks/science.py table [--csv science.csv]

Both append a line for each network, so that they can be stopped and started again. They use one core. A
pruned network takes 4 to 7 seconds by the native engine.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from units import HIDDEN, RECIPE, SCHEDULE

import hebbevo
from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.outer.training_inputs import recipe_of
from hebbevo.space.knobs import Value
from hebbevo.study.ledger import Ledger
from hebbevo.training import Candidate, Exam, Measurement, Recipe, train
from hebbevo.training.recipe import NATIVE

WIDTHS = ((12, 8), (26, 14), (40, 20), (71, 33), (98, 42), HIDDEN)
SEEDS = {20: 30, 40: 30, 60: 10, 104: 10, 140: 10, sum(HIDDEN): 10}
"""Fresh seeds of each row, by hidden neurons."""
SMALL = (20, 40, 60, 104)
FIRST_SEED, TUNING_SEEDS, ONE_ORDER = 1000, (0, 1, 2), 5
GRID = tuple((rate, decay) for rate in (1e-3, 2e-3, 5e-3, 1e-2) for decay in (0.0, 0.03, 0.1, 0.3))
EPOCHS, BATCH = 20, 64
DENSE, LONGER, AT_ONCE = "dense", "dense, twice as long", "magnitude at once"
TUNED, TWICE = ", tuned", ", twice as long"
"""What the name of a row says of how it is trained, behind the name of its rule."""
RULES = ("usage", "contribution", "stamina")
ROWS = (DENSE, LONGER, AT_ONCE, "magnitude", "random", *RULES)
CONTROLS = (LONGER, AT_ONCE, "magnitude", "random")
CONFIDENCE, RESAMPLES = 0.95, 4000
COLUMNS = (
    "row",
    "neurons",
    "seed",
    "learning_rate",
    "weight_decay",
    "validation",
    "test",
    "left",
    "cost",
    "epochs",
)


def products(widths: Sequence[int], data: Split) -> int:
    """Products of weight and input for one image, in a network with these hidden widths."""
    return sum(a * b for a, b in pairwise((data.x_train[0].size, *widths, data.outputs)))


def cost(measured: Measurement, start: Sequence[int], data: Split) -> float:
    """Products of a training, where neurons cost something until the end of the epoch in which they die."""
    assert measured.exam is not None
    by_epoch = [start, *measured.exam.layers[:-1]]
    return float(len(data.x_train) * sum(products(widths, data) for widths in by_epoch))


def rule_of(row: str) -> str:
    """The row that is tuned for this one, without what its name says of tuning and length."""
    return row.partition(",")[0]


def recipe_for(
    row: str, widths: Sequence[int], settings: Mapping[str, Value], order: int, data: Split, epochs: int
) -> Recipe:
    """The recipe of a row, with minibatches in the order of a seed."""
    rule = "magnitude" if row == AT_ONCE else rule_of(row)
    is_dense = rule == DENSE
    length = epochs * (2 if TWICE in row else 1)
    steps = length * -(-len(data.x_train) // BATCH)
    schedule: dict[str, Value] = {}
    if not is_dense:
        schedule = SCHEDULE | {"warmup": steps // 20, "target.1": widths[0], "target.2": widths[1]}
    if row == AT_ONCE:
        schedule |= {"events": 1, "warmup": round(steps * 0.6) - 1}
    network = Architecture(
        "mlp", tuple(widths) if is_dense else HIDDEN, rule, False, data.shape, data.outputs
    )
    return Recipe(network, RECIPE | schedule | settings, length, BATCH, order, engine=NATIVE)


def searched(study: Path, widths: Sequence[int], order: int) -> Recipe:
    """The recipe of a study with the genome of its confirmed member that is nearest in neurons.

    Its networks are pruned to these widths, whatever that member has.
    """
    opened = hebbevo.open_study(study)
    members = opened.front(confirmed=True)
    distance = (np.log(members.confirmed_survivors) - math.log(sum(widths))).abs()
    genome = opened.genome(int(members.trial[distance.idxmin()]))
    kept = {name: value for name, value in genome.items() if name not in ("target", "target_share")}
    with Ledger.open(study) as ledger:
        recipe = recipe_of(ledger)
    targets: dict[str, Value] = {"target.1": widths[0], "target.2": widths[1]}
    settings = {name: value for name, value in recipe.settings.items() if name not in genome}
    return replace(recipe, settings=settings | kept | targets, seed=order)


def lines(
    row: str, recipe: Recipe, neurons: int, seeds: Sequence[int], data: Split
) -> list[tuple[object, ...]]:
    """Train networks that see minibatches in one order, and give a line for each."""
    found = train(recipe, [Candidate({}, s) for s in seeds], data, torch.device("cpu"), exam=Exam(True))
    table: list[tuple[object, ...]] = []
    for seed, each in zip(seeds, found, strict=True):
        assert each.failure is None and each.exam is not None, each.failure
        rates = recipe.settings["learning_rate"], recipe.settings.get("weight_decay", 0.0)
        scores = f"{each.accuracy[-1]:.4f}", f"{each.exam.test:.4f}", sum(each.layers)
        assert isinstance(recipe.network, Architecture)
        start = recipe.network.hidden
        table.append((row, neurons, seed, *rates, *scores, f"{cost(each, start, data):.4g}", recipe.epochs))
    return table


def append(path: Path, table: Sequence[tuple[object, ...]]) -> None:
    """Append lines to a file."""
    pd.DataFrame(table, columns=COLUMNS).to_csv(path, mode="a", header=not path.exists(), index=False)


def read(path: Path) -> pd.DataFrame:
    """The lines of a file, none if it does not exist."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)


def tune(
    path: Path, rows: Sequence[str], chosen: Sequence[tuple[int, int]], data: Split, epochs: int
) -> None:
    """Train networks of these rows and widths over the grid."""
    for row, widths, (rate, decay) in product(rows, chosen, GRID):
        done = tuning_of(read(path), row, sum(widths))
        if ((done.learning_rate == rate) & (done.weight_decay == decay)).any():
            continue
        settings: dict[str, Value] = {"learning_rate": rate, "weight_decay": decay}
        recipe = recipe_for(row, widths, settings, TUNING_SEEDS[0] // ONE_ORDER, data, epochs)
        append(path, lines(row, recipe, sum(widths), TUNING_SEEDS, data))


def tuning_of(table: pd.DataFrame, row: str, neurons: int) -> pd.DataFrame:
    """The lines of the tuning of a row."""
    return table[(table.row == row) & (table.neurons == neurons)]


def tuned(path: Path, neurons: int, row: str = DENSE) -> dict[str, Value]:
    """The learning rate and weight decay of a row: the best on validation images."""
    own = tuning_of(read(path), row, neurons)
    by = own.groupby(["learning_rate", "weight_decay"])["validation"].mean()
    if len(by) < len(GRID):
        what = f"{row} has {len(by)} settings of {len(GRID)} at {neurons} neurons"
        raise SystemExit(f"{path}: {what}; run `tune` first")
    rate, decay = by.idxmax()
    return {"learning_rate": float(rate), "weight_decay": float(decay)}


def best_of(k: int, dense: pd.DataFrame) -> float:
    """Mean test accuracy of the best of k networks by validation, over all choices of k among these."""
    ranked = dense.sort_values("validation", ascending=False).test.to_numpy()
    n = len(ranked)
    k = min(k, n)
    # the network of rank i is the best of k choices where the other k - 1 come from the n - 1 - i below it
    shares = [math.comb(n - 1 - i, k - 1) / math.comb(n, k) for i in range(n)]
    return float(np.dot(shares, ranked))


def above_best_of(k: int, own: pd.DataFrame, dense: pd.DataFrame, level: float) -> tuple[float, float]:
    """A bootstrap interval of the points by which the mean of a row is above the best of k."""
    draws = np.random.default_rng(0)
    found = [
        own.test.sample(frac=1, replace=True, random_state=draws).mean()
        - best_of(k, dense.sample(frac=1, replace=True, random_state=draws))
        for _ in range(RESAMPLES)
    ]
    low, high = 100 * np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def difference(row: pd.DataFrame, control: pd.DataFrame) -> tuple[float, float, float]:
    """Mean difference of test accuracy in points over equal seeds, its standard error, and its p-value."""
    both = row.set_index("seed").test - control.set_index("seed").test
    both = 100 * both.dropna()
    found = stats.ttest_1samp(both, 0.0)
    return float(both.mean()), float(both.sem()), float(found.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """The level of each interval by Holm's procedure: the smallest p has all comparisons against it."""
    rank = {place: number for number, place in enumerate(np.argsort(p))}
    return [1 - (1 - CONFIDENCE) / (len(p) - rank[place]) for place in range(len(p))]


def report(table: pd.DataFrame) -> None:
    """Print accuracies, and the differences to each control with their intervals."""
    cells = {key: own for key, own in table.groupby(["row", "neurons"])}
    widths = sorted(table.neurons.unique())
    print(f"| test accuracy, % | {' | '.join(map(str, widths))} |\n|{' --- |' * (len(widths) + 1)}")
    for row in dict.fromkeys(table.row):
        shown = []
        for neurons in widths:
            own = cells.get((row, neurons))
            shown.append("-" if own is None else f"{100 * own.test.mean():.2f} ± {100 * own.test.std():.2f}")
        print(f"| {row} | {' | '.join(shown)} |")
    for row in dict.fromkeys(table.row):
        if row in (DENSE, *CONTROLS):
            continue
        compared = [
            (control, neurons, difference(cells[row, neurons], cells[control, neurons]))
            for control in (DENSE, *CONTROLS)
            for neurons in widths
            if (row, neurons) in cells and (control, neurons) in cells
        ]
        levels = holm([p for *_, (_, _, p) in compared])
        print(f"\n| {row} above | {' | '.join(map(str, widths))} |\n|{' --- |' * (len(widths) + 1)}")
        for control in (DENSE, *CONTROLS):
            shown = []
            for neurons in widths:
                at = next((i for i, (c, n, _) in enumerate(compared) if (c, n) == (control, neurons)), None)
                if at is None:
                    shown.append("-")
                    continue
                mean, error, _ = compared[at][2]
                seeds = len(cells[row, neurons])
                half = error * stats.t.ppf((1 + levels[at]) / 2, seeds - 1)
                shown.append(f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]")
            print(f"| {control} | {' | '.join(shown)} |")
        shown = []
        for neurons in widths:
            own, dense = cells.get((row, neurons)), cells.get((DENSE, neurons))
            if own is None or dense is None:
                shown.append("-")
                continue
            k = math.ceil(own.cost.mean() / dense.cost.mean())
            above = 100 * (own.test.mean() - best_of(k, dense))
            low, high = above_best_of(k, own, dense, 1 - (1 - CONFIDENCE) / len(widths))
            shown.append(f"{above:+.2f} [{low:+.2f}, {high:+.2f}] (k = {k})")
        print(f"| best of k dense | {' | '.join(shown)} |")


def main() -> None:
    """Tune, train or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("tune", "train", "table"))
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rows", nargs="+", help="by default all of the page; of `tune`, dense")
    parser.add_argument("--study", type=Path, help="a confirmed study, whose row is named after its file")
    parser.add_argument("--neurons", type=int, nargs="+", default=list(SMALL))
    parser.add_argument("--widths", type=int, nargs=2, help="other widths of the same number of neurons")
    parser.add_argument("--tuning", type=Path, default=Path("science_tuning.csv"))
    parser.add_argument("--csv", type=Path, default=Path("science.csv"))
    options = parser.parse_args()
    if options.part == "table":
        report(read(options.csv))
        return
    torch.set_num_threads(1)
    data = split(load(options.dataset), 0, BATCH)
    if options.part == "tune":
        chosen = [w for w in WIDTHS if sum(w) in options.neurons]
        tune(options.tuning, options.rows or [DENSE], chosen, data, options.epochs)
        return
    rows = [options.study.stem] if options.study else options.rows or list(ROWS)
    own = [tuple(options.widths)] if options.widths else [w for w in WIDTHS if sum(w) in options.neurons]
    suffix = ", {}-{}".format(*options.widths) if options.widths else ""
    for widths in own:
        seeds = range(FIRST_SEED, FIRST_SEED + SEEDS[sum(widths)])
        for row in rows:
            label = row + suffix
            is_tuned = rule_of(row) == DENSE or TUNED in row
            settings = tuned(options.tuning, sum(widths), rule_of(row)) if is_tuned else {}
            for first in range(seeds[0], seeds[-1] + 1, ONE_ORDER):
                done = read(options.csv)
                if ((done.row == label) & (done.neurons == sum(widths)) & (done.seed == first)).any():
                    continue
                order = first // ONE_ORDER
                recipe = (
                    searched(options.study, widths, order)
                    if options.study
                    else recipe_for(row, widths, settings, order, data, options.epochs)
                )
                together = range(first, first + ONE_ORDER)
                append(options.csv, lines(label, recipe, sum(widths), together, data))
    report(read(options.csv))


if __name__ == "__main__":
    main()
