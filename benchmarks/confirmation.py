"""How much of a found front holds when it is trained again, over ten seeds, and what that costs.

For each seed `hebbevo search --space stamina --trials 500` (or another space) and `hebbevo confirm`, as
commands: five replicates, all controls, the default number of workers. A row is appended for each seed when
it is done, and a seed that is in the file is not run again.

    python benchmarks/confirmation.py [--seeds 10] [--csv docs/results/confirmation.csv]
        [--page docs/results/confirmation.md] [--keep FOLDER] [--engine pytorch]
        [--space score] [--reference 256]

Hypervolumes are those of (mean score, mean survivors) of the members: *found* and *confirmed* on validation
rows, all others on test rows. They end at the neurons of ``--reference``, by default at all that the networks
of the space begin with. Seconds are those of the clock; the ratio is that of processor seconds, the
workers' included, which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from throughput import processor

import hebbevo
from hebbevo.objectives import pareto
from hebbevo.study.intervals import mean_of

HYPERVOLUMES = ["found", "confirmed", "test", "dense", "best_of_k", "longer"]
SCORES = {
    "confirmed": "confirmed_accuracy",
    "test": "test_accuracy",
    "dense": "control_accuracy",
    "best_of_k": "best_of_accuracy",
    "longer": "longer_accuracy",
}


def seconds_of(*arguments: str) -> tuple[float, float]:
    """Run a command of hebbevo; the seconds of the clock and of the processor that it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "hebbevo", *arguments, "--quiet"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def row_of(seed: int, path: Path, options: argparse.Namespace) -> dict[str, float]:
    """Search and confirm with one seed."""
    asked = ("--seed", f"{seed}", "--trials", f"{options.trials}", "--engine", options.engine)
    searched = seconds_of("search", "--space", options.space, "--study", f"{path}", *asked)
    confirmed = seconds_of("confirm", f"{path}")
    study = hebbevo.open_study(path)
    assert study.confirmation is not None
    members, overall = study.confirmation.members(), study.confirmation.overall
    reference = options.reference or study.neurons

    def hypervolume(points: pd.DataFrame) -> float:
        return pareto.hypervolume(points.to_numpy(float), study.chance, reference)

    return {
        "seed": seed,
        "trials": options.trials,
        "members": len(members),
        "found": hypervolume(study.front()[["accuracy", "survivors"]]),
        **{name: hypervolume(members[[score, "confirmed_survivors"]]) for name, score in SCORES.items()},
        "less_dense": overall.value,
        "low": overall.low,
        "high": overall.high,
        "search_seconds": searched[0],
        "confirm_seconds": confirmed[0],
        "search_cpu": searched[1],
        "confirm_cpu": confirmed[1],
    }


def table(runs: pd.DataFrame) -> str:
    """A row for each seed, then the means over seeds with their 95 % intervals."""
    ratio = runs.confirm_cpu / runs.search_cpu
    lines = [
        "| seed | members | found | confirmed | test | dense | best of k | longer | less dense, points "
        "| search, s | confirm, s | ratio |",
        "| ---: " * 12 + "|",
    ]
    for place, run in runs.iterrows():
        volumes = " | ".join(f"{run[name]:.4f}" for name in HYPERVOLUMES)
        less = f"{100 * run.less_dense:+.1f} ({100 * run.low:+.1f} to {100 * run.high:+.1f})"
        cost = f"{run.search_seconds:.0f} | {run.confirm_seconds:.0f} | {ratio[place]:.2f}"
        lines.append(f"| {run.seed:.0f} | {run.members:.0f} | {volumes} | {less} | {cost} |")
    if len(runs) < 2:
        return "\n".join(lines)
    means = [mean_of([*runs[name]]) for name in HYPERVOLUMES]
    volumes = " | ".join(f"{each.value:.4f} ± {each.high - each.value:.4f}" for each in means)
    mean = mean_of([*(100 * runs.less_dense)])
    over_seeds = f"{mean.value:+.1f} ({mean.low:+.1f} to {mean.high:+.1f})"
    lines.append(
        f"| mean | {runs.members.mean():.1f} | {volumes} | {over_seeds} | {runs.search_seconds.mean():.0f} "
        f"| {runs.confirm_seconds.mean():.0f} | {ratio.mean():.2f} |"
    )
    return "\n".join(lines)


def with_table(page: str, new: str) -> str:
    """The page with another table in place of its first one."""
    lines = page.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    end = next(place for place, line in enumerate(lines) if place > start and not line.startswith("|"))
    return "\n".join([*lines[:start], new, *lines[end:]]) + "\n"


def main() -> None:
    """Run the seeds that are not in the file yet; after each, print the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--space", default="stamina")
    parser.add_argument("--reference", type=int, default=None)
    parser.add_argument("--engine", choices=("auto", "native", "pytorch"), default="auto")
    parser.add_argument("--csv", type=Path, default=Path("confirmation.csv"))
    parser.add_argument("--page", type=Path, default=None, help="a page whose first table is replaced")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the confirmed studies")
    options = parser.parse_args()
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    for seed in range(options.seeds):
        known = options.csv.exists() and seed in set(pd.read_csv(options.csv).seed)
        if not known:
            with tempfile.TemporaryDirectory() as folder:
                place = options.keep or Path(folder)
                place.mkdir(parents=True, exist_ok=True)
                row = row_of(seed, place / f"seed-{seed}.db", options)
            has_header = options.csv.exists()
            pd.DataFrame([row]).to_csv(
                options.csv, mode="a", header=not has_header, index=False, float_format="%.6g"
            )
        found = table(pd.read_csv(options.csv).sort_values("seed").reset_index(drop=True))
        if not known:
            print(f"{found}\n", flush=True)
        if options.page is not None:
            options.page.write_text(with_table(options.page.read_text(), found))


if __name__ == "__main__":
    main()
