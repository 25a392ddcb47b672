"""How much of a front is luck: its genomes trained again from fresh seeds, beside an honest control.

The best of 500 noisy scores flatters. Every genome of the front is trained again from fresh seeds: weights,
random events and order of the minibatches, with the same split. So is a control, with the same optimiser,
schedule and length. Where neurons are counted, the control is a dense net that has the found net's widths
from the start. Where connections are counted, it is a net with a random, fixed mask of as many connections
a layer.

    python benchmarks/front.py STUDY [--seeds 3] [--out front.csv]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
import torch
from torch import nn

from hebbevo.networks import Architecture
from hebbevo.nn import HebbMask
from hebbevo.objectives import pareto
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.rules import UNITS
from hebbevo.space.knobs import Value
from hebbevo.study.ledger import Ledger, Record
from hebbevo.training import KNOBS, Candidate, Measurement, Recipe, train


@dataclass(frozen=True)
class RandomlyMasked:
    """Networks whose layers keep ``left`` connections each, drawn from the seed and then fixed."""

    architecture: Architecture
    left: Sequence[int]
    has_user_code = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.architecture.shape

    def has_argument(self, name: str) -> bool:
        return False

    def build(self, given: dict[str, Value], seed: int) -> nn.Module:
        settled = {"settle": given.get("settle", 0.0), "permanence_rate": 0.0}
        net = replace(self.architecture, units="dense", connections="hebb_mask").build(settled, seed)
        draw = torch.Generator().manual_seed(seed)
        masks = [module for module in net.modules() if isinstance(module, HebbMask)]
        for module, left in zip(masks, self.left, strict=True):
            (mask,), (permanence,) = module.masks().values(), module.permanences().values()
            kept = torch.randperm(mask.numel(), generator=draw)[:left]
            mask.zero_().view(-1)[kept] = True
            permanence.copy_(torch.where(mask, 1.0, -1.0))
        return net


def control_of(recipe: Recipe, record: Record) -> tuple[Recipe, Candidate]:
    """The recipe and candidate of the control for a found network."""
    network = recipe.network
    assert isinstance(network, Architecture)
    left = [max(1, round(each)) for each in record.result.details.survivors_per_layer]
    if recipe.count == "connections":
        other = RandomlyMasked(network.shaped(record.genome), left)
    else:
        convolutions = len(network.channels)
        other = replace(
            network,
            channels=tuple(left[:convolutions]),
            hidden=tuple(left[convolutions:]),
            units="dense",
            connections="full",
        )
    known = {*UNITS["dense"].knobs, *KNOBS}
    genome = {name: value for name, value in record.genome.items() if name in known}
    settings = {name: value for name, value in recipe.settings.items() if name in known}
    return replace(recipe, network=other, settings=settings), Candidate(genome)


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
    working = [
        record
        for record in records
        if record.result
        and record.result.values
        and record.result.values[0] > facts.chance
        and not record.result.details.collapsed
    ]
    points = [record.result.values for record in working]
    found = [working[index] for index in pareto.front(pd.DataFrame(points).to_numpy(float))]

    if not isinstance(recipe.network, Architecture):
        parser.error("networks of your own have no control of the same widths")
    again: list[list[Measurement]] = [[] for _ in found]
    controls: list[list[Measurement]] = [[] for _ in found]
    for seed in range(recipe.seed + 1000, recipe.seed + 1000 + options.seeds):
        fresh = replace(recipe, seed=seed)
        trained = train(fresh, [Candidate(record.genome) for record in found], split, torch.device("cpu"))
        for row, measured in zip(again, trained, strict=True):
            row.append(measured)
        for row, record in zip(controls, found, strict=True):
            plan, candidate = control_of(fresh, record)
            row.extend(train(plan, [candidate], split, torch.device("cpu")))

    rows = []
    for record, retrained, control in zip(found, again, controls, strict=True):
        accuracy, survivors = record.result.values
        rows.append(
            {
                "trial": record.number,
                "survivors": survivors,
                "accuracy": accuracy,
                "survivors again": fmean(each.survivors[-1] for each in retrained),
                "accuracy again": fmean(each.accuracy[-1] for each in retrained),
                "sd": stdev(each.accuracy[-1] for each in retrained),
                "control": fmean(each.accuracy[-1] for each in control),
                "control sd": stdev(each.accuracy[-1] for each in control),
                "control survivors": fmean(each.survivors[-1] for each in control),
            }
        )
    table = pd.DataFrame(rows)
    kept = pareto.front(table[["accuracy again", "survivors again"]].to_numpy(float))
    table["still on it"] = [index in set(kept) for index in range(len(table))]
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    volumes = [
        pareto.hypervolume(table[list(columns)].to_numpy(float), facts.chance, facts.neurons)
        for columns in (
            ("accuracy", "survivors"),
            ("accuracy again", "survivors again"),
            ("control", "survivors"),
        )
    ]
    print(f"\n{len(found)} points, {len(kept)} still do not dominate each other ({options.seeds} seeds)")
    print("hypervolume: found {:.4f}, trained again {:.4f}, control {:.4f}".format(*volumes))
    difference = table["accuracy again"] - table["control"]
    low, high = difference.min(), difference.max()
    print(f"trained again minus control: mean {difference.mean():+.4f}, from {low:+.4f} to {high:+.4f}")
    if options.out:
        table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
