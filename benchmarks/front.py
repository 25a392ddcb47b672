"""How much of a front is luck: its genomes trained again from fresh seeds, beside dense nets as wide.

The best of 500 noisy scores flatters. Every genome of the front is trained again from fresh seeds (weights,
random events and order of the minibatches; the same split), and so is the honest control: a dense net that
has the found net's widths from the start, with the same optimiser, schedule and length.

    python benchmarks/front.py STUDY [--seeds 3] [--out front.csv]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
import torch

from hebbevo import pareto
from hebbevo.ledger import Ledger
from hebbevo.loop import recipe_of, split_of
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, Measurement, knobs, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)

    with Ledger.open(options.study) as book:
        recipe, split, facts = recipe_of(book), split_of(book), book.facts
        records = [record for generation in book.generations() for record in generation.records]
    scored = [record for record in records if record.result and record.result.values]
    points = [record.result.values for record in scored]
    found = [scored[index] for index in pareto.front(pd.DataFrame(points).to_numpy(float))]

    if not isinstance(recipe.network, Architecture):
        parser.error("networks of your own have no dense control of the same widths")
    convolutions = len(recipe.network.channels)
    known = knobs("dense")
    again: list[list[Measurement]] = [[] for _ in found]
    dense: list[list[Measurement]] = [[] for _ in found]
    for seed in range(recipe.seed + 1000, recipe.seed + 1000 + options.seeds):
        fresh = replace(recipe, seed=seed)
        trained = train(fresh, [Candidate(record.genome) for record in found], split, torch.device("cpu"))
        for row, measured in zip(again, trained, strict=True):
            row.append(measured)
        for row, record in zip(dense, found, strict=True):
            widths = tuple(max(1, round(width)) for width in record.result.details["survivors_per_layer"])
            control = replace(
                fresh,
                network=replace(
                    recipe.network,
                    channels=widths[:convolutions],
                    hidden=widths[convolutions:],
                    rule="dense",
                ),
                settings={name: value for name, value in fresh.settings.items() if name in known},
            )
            genome = {name: value for name, value in record.genome.items() if name in known}
            row.extend(train(control, [Candidate(genome)], split, torch.device("cpu")))

    rows = []
    for record, retrained, controls in zip(found, again, dense, strict=True):
        accuracy, survivors = record.result.values
        rows.append(
            {
                "trial": record.number,
                "survivors": survivors,
                "accuracy": accuracy,
                "survivors again": fmean(each.survivors[-1] for each in retrained),
                "accuracy again": fmean(each.accuracy[-1] for each in retrained),
                "sd": stdev(each.accuracy[-1] for each in retrained),
                "dense": fmean(each.accuracy[-1] for each in controls),
                "dense sd": stdev(each.accuracy[-1] for each in controls),
            }
        )
    table = pd.DataFrame(rows)
    kept = pareto.front(table[["accuracy again", "survivors again"]].to_numpy(float))
    table["still on it"] = [index in set(kept) for index in range(len(table))]
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    volumes = [
        pareto.hypervolume(table[list(columns)].to_numpy(float), facts["chance"], facts["neurons"])
        for columns in (
            ("accuracy", "survivors"),
            ("accuracy again", "survivors again"),
            ("dense", "survivors"),
        )
    ]
    print(f"\n{len(found)} points, {len(kept)} still do not dominate each other ({options.seeds} seeds)")
    print("hypervolume: found {:.4f}, trained again {:.4f}, dense control {:.4f}".format(*volumes))
    difference = table["accuracy again"] - table["dense"]
    low, high = difference.min(), difference.max()
    print(f"trained again minus dense: mean {difference.mean():+.4f}, from {low:+.4f} to {high:+.4f}")
    if options.out:
        table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
