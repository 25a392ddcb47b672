"""Fixed constants of pruning by usage on data that had no part in choosing them, beside dense networks.

300-100 is pruned gradually to 26-14, a tenth of its neurons, by `usage` with the constants of `units.py`. The
data are CIFAR-10 through 64 principal components of its training images, and one table. Controls are those of
`science.py`: dense networks of 26-14, whose learning rate and weight decay are tuned on validation rows, the
same trained twice as long, and the best of k of them by validation at equal operations.

CIFAR-10 has one split, 20 epochs and 30 seeds. The table has 50 splits, each with one pruned network, k dense
networks and one that trains twice as long, for 100 epochs; each counts on the test rows of its split. Splits
share rows, so the variance of their mean is corrected (Nadeau and Bengio, 2003, section 3). Intervals are at
95 % after Holm's correction over the controls of a data set.

A second row, `usage, tuned`, has learning rate and weight decay tuned as those of the dense networks are.

    HEBBEVO_DATA=FOLDER python benchmarks/held_out.py cifar10 [--csv held_out.csv]
    python benchmarks/held_out.py table --table segment.csv --target category [--csv held_out.csv]
    python benchmarks/held_out.py report [--csv held_out.csv]

The first two append lines, so that they can be stopped and started again. Both take some minutes of one core.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from penalty_window import through_components
from science import (
    BATCH,
    DENSE,
    FIRST_SEED,
    GRID,
    LONGER,
    ONE_ORDER,
    TUNING_SEEDS,
    above_best_of,
    best_of,
    holm,
    lines,
    recipe_for,
)
from scipy import stats

from hebbevo.data import Split, load, split
from hebbevo.space.knobs import Value

ROW, TUNED, WIDTHS, COMPONENTS = "usage", "usage, tuned", (26, 14), 64
TUNING = {DENSE: "tuning", ROW: "tuning usage"}
BEST = "best of k dense"
SEEDS, SPLITS = 30, 50
EPOCHS = {"cifar10": 20, "table": 100}
COLUMNS = ("data", "row", "split", "seed", "learning_rate", "weight_decay", "validation", "test", "cost")


class Lines:
    """The lines of a file, of one data set."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    @property
    def table(self) -> pd.DataFrame:
        """All lines of this data set."""
        found = pd.read_csv(self.path) if self.path.exists() else pd.DataFrame(columns=COLUMNS)
        return found[found.data == self.name]

    def train(
        self,
        row: str,
        data: Split,
        division: int,
        seeds: Sequence[int],
        settings: Mapping[str, Value],
        label: str | None = None,
    ) -> None:
        """Train networks that share an order of minibatches, if they are not in the file yet."""
        done = self.table
        done = done[(done.row == (label or row)) & (done.split == division) & (done.seed == seeds[0])]
        for name, value in settings.items():
            done = done[done[name] == value]
        if len(done):
            return
        recipe = recipe_for(row, WIDTHS, settings, seeds[0] // ONE_ORDER, data, EPOCHS[self.name])
        found = [
            (self.name, label or row, division, seed, rate, decay, validation, test, cost)
            for _, _, seed, rate, decay, validation, test, _, cost, _ in lines(row, recipe, 0, seeds, data)
        ]
        table = pd.DataFrame(found, columns=COLUMNS)
        table.to_csv(self.path, mode="a", header=not self.path.exists(), index=False)

    def tuned(self, row: str) -> dict[str, Value]:
        """The learning rate and weight decay of a row that are best on validation rows."""
        table = self.table
        own = table[table.row == TUNING[row]].groupby(["learning_rate", "weight_decay"]).validation.mean()
        rate, decay = own.idxmax()
        return {"learning_rate": float(rate), "weight_decay": float(decay)}

    def tune(self, row: str, parts: Mapping[int, Split]) -> dict[str, Value]:
        """Train a row over the grid, on the splits that have these numbers."""
        for rate, decay in GRID:
            for division, data in parts.items():
                settings: dict[str, Value] = {"learning_rate": rate, "weight_decay": decay}
                seeds = TUNING_SEEDS if len(parts) == 1 else [division]
                self.train(row, data, division, seeds, settings, TUNING[row])
        return self.tuned(row)


def cifar10(record: Lines) -> None:
    """Train all networks on CIFAR-10."""
    data = through_components(split(load("cifar10"), 0, BATCH), COMPONENTS)
    dense, pruned = (record.tune(row, {0: data}) for row in TUNING)
    for first in range(FIRST_SEED, FIRST_SEED + SEEDS, ONE_ORDER):
        seeds = range(first, first + ONE_ORDER)
        record.train(ROW, data, 0, seeds, {})
        record.train(ROW, data, 0, seeds, pruned, TUNED)
        for row in (DENSE, LONGER):
            record.train(row, data, 0, seeds, dense)


def of_table(record: Lines, path: str, target: str) -> None:
    """Train all networks on the splits of a table."""
    dataset = load(path, target=target)
    parts = {number: split(dataset, number, BATCH) for number in TUNING_SEEDS}
    dense, pruned = (record.tune(row, parts) for row in TUNING)
    for number in range(FIRST_SEED, FIRST_SEED + SPLITS):
        data = split(dataset, number, BATCH)
        record.train(ROW, data, number, [number], {})
        record.train(ROW, data, number, [number], pruned, TUNED)
        record.train(LONGER, data, number, [number], dense)
        done = record.table
        k = operations(done[(done.split == number) & (done.row == ROW)], done)
        record.train(DENSE, data, number, range(number, number + k), dense)


def operations(pruned: pd.DataFrame, table: pd.DataFrame) -> int:
    """How many dense networks have at least the operations of one pruned network."""
    return math.ceil(pruned.cost.mean() / table[table.row == TUNING[DENSE]].cost.mean())


def report(path: Path) -> None:
    """Print test accuracies and differences."""
    for name in EPOCHS:
        record = Lines(path, name)
        table = record.table
        if table.empty:
            continue
        own = table[~table.row.isin(TUNING.values())]
        print(f"\n{name}: dense networks at {record.tuned(DENSE)}, {TUNED} at {record.tuned(ROW)}\n")
        tests = {
            str(row): part.groupby("seed" if name == "cifar10" else "split").test.mean()
            for row, part in own.groupby("row")
        }
        if name == "table":
            of_split = own[own.row == DENSE].groupby("split")
            tests[BEST] = of_split.apply(lambda part: part.test[part.validation.idxmax()])
        print("| row | test accuracy, % |\n| --- | --- |")
        for row, found in tests.items():
            print(f"| {row} | {100 * found.mean():.2f} ± {100 * found.std():.2f} |")
        for row in (ROW, TUNED):
            against(row, name, table, tests)


def against(row: str, name: str, table: pd.DataFrame, tests: Mapping[str, pd.Series]) -> None:
    """Print the differences of a row from all controls."""
    # a test part has 15 % of the rows and training 70 %, so splits are not independent
    shared = 0.0 if name == "cifar10" else 0.15 / 0.70
    found = {}
    for control in (DENSE, LONGER, BEST):
        if control in tests:
            both = 100 * (tests[row] - tests[control]).dropna()
            found[control] = both.mean(), both.std() * np.sqrt(1 / len(both) + shared), len(both) - 1
    p = [2 * stats.t.sf(abs(mean / error), free) for mean, error, free in found.values()]
    print(f"\n| {row} above | points |\n| --- | --- |")
    for (control, (mean, error, free)), level in zip(found.items(), holm(p), strict=True):
        half = error * stats.t.ppf((1 + level) / 2, free)
        print(f"| {control} | {mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] |")
    if BEST not in found:
        own, dense = table[table.row == row], table[table.row == DENSE]
        k = operations(own, table)
        low, high = above_best_of(k, own, dense, 0.95)
        above = 100 * (own.test.mean() - best_of(k, dense))
        print(f"| {BEST} | {above:+.2f} [{low:+.2f}, {high:+.2f}] (k = {k}) |")


def main() -> None:
    """Train or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=(*EPOCHS, "report"))
    parser.add_argument("--table", help="a table with a header line")
    parser.add_argument("--target", help="the column of its labels")
    parser.add_argument("--csv", type=Path, default=Path("held_out.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "cifar10":
        cifar10(Lines(options.csv, "cifar10"))
    elif options.part == "table":
        if not options.table or not options.target:
            parser.error("give --table and --target")
        of_table(Lines(options.csv, "table"), options.table, options.target)
    report(options.csv)


if __name__ == "__main__":
    main()
