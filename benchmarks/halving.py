"""What early stopping (``--halving``) costs in front quality, and what it saves.

Searches of `stamina.yaml` on digits, three for each seed: every training at full length; with early
stopping; and at full length with a third of the trials, which takes about as many epochs as early stopping.
Fronts are over trials that went on to the end. Each front is measured as found, and trained again from
three fresh seeds, because the best of many noisy scores flatters.

    python benchmarks/halving.py --folder FOLDER [--seeds 10] [--trials 500] [--sampler surrogate]

Studies that are already in the folder are used as they are.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from scipy.stats import t as student
from throughput import processor

import hebbevo
from hebbevo.objectives import pareto
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.samplers import SAMPLERS
from hebbevo.study.ledger import Ledger
from hebbevo.training import Candidate, train

AGAIN = 3  # fresh seeds from which a front is trained again


def measured(path: Path) -> dict[str, float]:
    """Hypervolume found and trained again, epochs and seconds trained."""
    study = hebbevo.open_study(path)
    trials = study.trials()
    complete = trials[(trials.state == "complete") & (trials.accuracy > study.chance) & ~trials.collapsed]
    points = complete[["accuracy", "survivors"]].to_numpy(float)
    front = complete.trial.iloc[pareto.front(points)].tolist()
    with Ledger.open(path) as book:
        recipe, split = recipe_of(book), split_of(book)
        genomes = {
            each.number: each.genome for generation in book.generations() for each in generation.records
        }
    again = [
        train(
            replace(recipe, seed=recipe.seed + 1000 + seed),
            [Candidate(genomes[number]) for number in front],
            split,
            torch.device("cpu"),
        )
        for seed in range(AGAIN)
    ]
    retrained = np.array(
        [
            [fmean(each.accuracy[-1] for each in own), fmean(each.survivors[-1] for each in own)]
            for own in zip(*again, strict=True)
        ]
    )
    volume = (study.chance, study.neurons)
    return {
        "found": pareto.hypervolume(points, *volume),
        "trained again": pareto.hypervolume(retrained, *volume),
        "points": len(front),
        "trials": len(trials),
        "epochs": study.points().groupby("trial").epoch.max().sum() / study.settings["task"]["epochs"],
        "seconds": trials.seconds.sum(),
    }


def paired(one: np.ndarray, other: np.ndarray) -> str:
    """The mean relative difference of ``one`` to ``other``, both (n,), in percent, with its 95 % interval."""
    change = 100 * (one / other - 1)
    half = student.ppf(0.975, len(change) - 1) * change.std(ddof=1) / len(change) ** 0.5
    return f"{change.mean():+.2f} ({change.mean() - half:+.2f} to {change.mean() + half:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--sampler", choices=SAMPLERS, default="surrogate")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    ways = {
        "full length": (options.trials, False),
        "halving": (options.trials, True),
        "full length, a third of the trials": (options.trials // 3, False),
    }
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for seed in range(options.seeds):
        for way, (trials, halving) in ways.items():
            path = options.folder / f"{options.sampler}-{'halving' if halving else 'full'}-{trials}-{seed}.db"
            hebbevo.search(
                "stamina", study=path, trials=trials, seed=seed, halving=halving, sampler=options.sampler
            )
            found[way].append(measured(path))
            print(seed, way, {key: round(value, 4) for key, value in found[way][-1].items()}, flush=True)
    print(f"\n{processor()}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{options.sampler}, {options.seeds} seeds, {options.trials} trials; with 95 % intervals\n")
    print("| | found | trained again | found, % | trained again, % | trainings at full length | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    whole = found["full length"]
    for way, rows in found.items():
        means = {key: fmean(row[key] for row in rows) for key in rows[0]}
        changes = [
            paired(*(np.array([row[key] for row in each]) for each in (rows, whole)))
            if rows is not whole
            else ""
            for key in ("found", "trained again")
        ]
        print(
            f"| {way} | {means['found']:.4f} | {means['trained again']:.4f} | {changes[0]} | {changes[1]} "
            f"| {means['epochs']:.0f} | {means['seconds']:.1f} |"
        )


if __name__ == "__main__":
    main()
