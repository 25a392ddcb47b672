"""What it costs to write a report: time and bytes, at 500 and at 10,000 trials with made-up results.

    python benchmarks/report.py [--trials 500 10000] [--repeats 3]

Each report is written by the command, in a process of its own; times are medians and include its start. Both
seconds of the clock and of the processor are given: other programs on the machine change the second less.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hebbevo.spec import read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.study.storage import StudyFile
from hebbevo.training.trial_details import TrialDetails

EPOCHS, GENERATION = 20, 500
SPEC = read("stamina")


def make(path: Path, trials: int) -> None:
    """Record a study of random genomes: the higher the penalty, the fewer neurons survive."""
    random = np.random.default_rng(0)
    facts = StudyFacts(versions={}, neurons=256, chance=0.1, rows={"validation": 269})
    with Ledger.create(StudyFile(path), SPEC, facts) as ledger:
        for number in range(trials // GENERATION):
            genomes = [
                {gene.name: gene.from_unit(random.random()) for gene in SPEC.space.genes}
                for _ in range(GENERATION)
            ]
            records = ledger.open_generation(number, trials, number * GENERATION / trials, genomes)
            ledger.close_cohort([result(each.number, float(random.random()), random) for each in records])


def result(number: int, pruned: float, random: np.random.Generator) -> Result:
    """A made-up result; ``pruned``, 0 to 1, says how much of the network is lost."""
    survivors = np.linspace(256, 4 + 252 * (1 - pruned) ** 3, EPOCHS).round()
    accuracy = 0.98 - 0.7 * np.exp(-survivors / 12) - np.abs(random.normal(0, 0.01, EPOCHS))
    details = TrialDetails(
        neurons=256,
        accuracy_per_epoch=accuracy.tolist(),
        survivors_per_epoch=survivors.tolist(),
        epochs=EPOCHS,
        seconds=0.1,
    )
    return Result(number, (float(accuracy[-1]), float(survivors[-1])), details)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| trials | seconds | processor seconds | report.html, MB |\n| ---: | ---: | ---: | ---: |")
    for trials in options.trials:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study.db"
            make(path, trials)
            times, used = [], []
            for _ in range(options.repeats):
                before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                command = [sys.executable, "-m", "hebbevo", "report", str(path), "-o", f"{folder}/page"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - start)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            size = (Path(folder) / "page" / "report.html").stat().st_size
            middle = f"{statistics.median(times):.1f} | {statistics.median(used):.1f}"
            print(f"| {trials:,} | {middle} | {size / 1e6:.2f} |", flush=True)


if __name__ == "__main__":
    main()
