"""Which space of the stamina rule is the best to search: `stamina.yaml` against wider ones, paired by seed.

Each variant is searched from the same seeds. Its front is measured as found, and with its members trained
again from three fresh seeds: a space in which the luckiest of many noisy scores is larger is not a better
space.

    python benchmarks/stamina_space.py --folder FOLDER [--csv stamina_space.csv] [--seeds 10] [--trials 500]
                                       [--variants first wide wide_rule] [--only-table]

Rows that are already in the csv are not measured again, and studies in the folder are continued.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from scipy.stats import t as student

import hebbevo
from hebbevo.objectives import pareto
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.study.ledger import Ledger
from hebbevo.training import Candidate, train

AGAIN = 3  # fresh seeds from which a front is trained again

FIRST = {  # the space as it was before this benchmark
    "version": 1,
    "name": "stamina",
    "task": {"dataset": "digits", "epochs": 20, "batch_size": 64},
    "network": {"family": "mlp", "hidden": [128, 128], "units": "stamina", "settings": {"settle": 0.3}},
    "search": {"sampler": "surrogate", "population": 50, "trials": 500, "replicates": 1, "seed": 0},
    "genome": {
        "unactivation_penalty": {"low": 1e-2, "high": 100, "log": True},
        "penalty_form": {"choices": ["mean", "ratio", "zero_sum", "constant"]},
        "hebbian_threshold": {"low": -1.0, "high": 1.0},
        "regrowth_rate": {"low": 0.0, "high": 0.1},
        "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
        "weight_decay": {"low": 1e-5, "high": 1.0, "log": True},
    },
}
WIDE = {  # where the best values lay on an edge, the range goes on
    "hebbian_threshold": {"low": -2.0, "high": 2.0},
    "regrowth_rate": {"low": 1e-4, "high": 0.1, "log": True, "zero": True},
    "learning_rate": {"low": 3e-4, "high": 1e-1, "log": True},
}
RULE = {
    "activity": {"choices": ["activation", "frequency", "contribution"]},
    "settle": {"low": 0.0, "high": 0.5},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {"first": {}, "wide": WIDE, "wide_rule": WIDE | RULE}
"""The genes that each variant adds to the first space, or replaces there."""


def space_of(variant: str) -> dict[str, Any]:
    """The content of the space file of a variant, or of the file with this name."""
    if variant not in VARIANTS:
        return dict(yaml.safe_load(Path(variant).read_text(encoding="utf-8")))
    space: dict[str, Any] = FIRST | {"genome": FIRST["genome"] | VARIANTS[variant]}
    if "settle" in space["genome"]:  # a constant cannot be a gene, too
        network: dict[str, Any] = space["network"]
        space["network"] = {name: value for name, value in network.items() if name != "settings"}
    return space


def searched(variant: str, seed: int, trials: int, workers: int, folder: Path) -> dict[str, Any]:
    """Search a variant from a seed: hypervolume of the front as found, and of its members trained again."""
    name = Path(variant).stem
    file = folder / f"{name}.yaml"
    if not file.exists():
        file.write_text(yaml.safe_dump(space_of(variant), sort_keys=False), encoding="utf-8")
    path = folder / f"{name}-{seed}.db"
    study = hebbevo.search(file, study=path, seed=seed, trials=trials, workers=workers)
    front = study.front()
    with Ledger.open(path) as book:
        recipe, split = recipe_of(book), split_of(book)
    again = [
        train(
            replace(recipe, seed=recipe.seed + 1000 + fresh),
            [Candidate(study.genome(number)) for number in front.trial],
            split,
            torch.device("cpu"),
        )
        for fresh in range(AGAIN)
    ]
    retrained = np.array(
        [
            [
                fmean(each.accuracy[epoch - 1] for each in own),
                fmean(each.survivors[epoch - 1] for each in own),
            ]
            for epoch, *own in zip(front.epoch, *again, strict=True)
        ]
    )
    return {
        "variant": name,
        "seed": seed,
        "trials": trials,
        "front": len(front),
        "found": study.hypervolume(),
        "again": pareto.hypervolume(retrained, study.chance, study.neurons),
        "best": front.accuracy.max(),
        "best_again": retrained[:, 0].max(),
    }


def difference(values: pd.Series[float]) -> str:
    """The mean of paired differences with its 95 % interval by Student's t."""
    if len(values) < 2:
        return f"{values.mean():+.4f} (one seed)"
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():+.4f} [{values.mean() - half:+.4f}, {values.mean() + half:+.4f}]"


def table(rows: pd.DataFrame) -> str:
    """Mean hypervolumes of each variant, and the paired differences from the first one."""
    lines = ["variant seeds found again | found less the first, again less the first (95 % interval)"]
    reference = None
    for name, own in rows.groupby("variant", sort=False):
        by_seed = own.set_index("seed")[["found", "again"]]
        line = f"{name} {len(own)} {own.found.mean():.4f} {own.again.mean():.4f}"
        if reference is None:
            reference = by_seed
        else:
            paired = (by_seed - reference).dropna()
            line += f" | {difference(paired.found)}, {difference(paired.again)} over {len(paired)} seeds"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--csv", type=Path, default=Path("stamina_space.csv"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=[*VARIANTS], help="names, or space files")
    parser.add_argument("--only-table", action="store_true", help="print what the csv holds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame()
    for seed in range(0 if options.only_table else options.seeds):
        for variant in options.variants:
            done = (
                not rows.empty
                and (
                    (rows.variant == Path(variant).stem)
                    & (rows.seed == seed)
                    & (rows.trials == options.trials)
                ).any()
            )
            if done:
                continue
            row = searched(variant, seed, options.trials, options.workers, options.folder)
            rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
            rows.to_csv(options.csv, index=False)
            print(table(rows), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
