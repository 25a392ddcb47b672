"""What more cores would bring a search by the native engine: measured trainings, queued in simulation.

A study of 500 trials is searched with a network in each cohort, by one worker, so that every training has a
time of its own. Then its generations are packed for 1 to 64 cores as `hebbevo.outer.packing` does. Cohorts
are given out one by one: in the order of the trials, and the longest first by `hebbevo.outer.expected_time`;
also in cohorts half as wide. A cohort takes the sum of its trainings' times. A generation ends with its last
cohort. Not counted are the sampler, the record and the start of processes, and what cores take from each
other.

    python benchmarks/cores.py [--trials 500] [--seed 0]

Waste is the share of the cores' time in which they wait: 1 - (work / (cores * time)).
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from throughput import markdown, processor

import hebbevo
from hebbevo.execution import Cohort
from hebbevo.outer.expected_time import ExpectedTime, longest_first
from hebbevo.outer.packing import default_width, pack
from hebbevo.outer.training_inputs import recipe_of
from hebbevo.spec import read, spec_from_json
from hebbevo.study.ledger import Generation, Ledger, Record

CORES = (1, 2, 4, 8, 16, 32, 64)
WAYS = ("cohorts of 25", "cohorts for the cores", "longest first", "half as wide, longest first")
OLD_WIDTH = 25
"""Networks of a cohort where a population of 50 is packed for two workers."""


def seconds(record: Record) -> float:
    """How long a trial trained."""
    return record.result.details.seconds if record.result else 0.0


def makespan(cohorts: Sequence[Cohort], taken: Mapping[int, float], cores: int) -> float:
    """When the last cohort ends, if each is taken by the core that is free first; trials take so long."""
    free = [0.0] * cores
    for cohort in cohorts:
        heapq.heapreplace(free, free[0] + sum(taken[number] for number in cohort.trials))
    return max(free)


def of_cores(generations: Sequence[Generation], ledger: Ledger, cores: int) -> list[float]:
    """Seconds of all generations for each way to give them out."""
    recipe, found = recipe_of(ledger), [0.0] * len(WAYS)
    earlier: list[Record] = []
    for generation in generations:
        records = generation.records
        taken = {record.number: seconds(record) for record in records}
        width = default_width(len(records), 1, len(records), cores, narrowest=1)
        expected = ExpectedTime(ledger.spec.space, recipe, reversed(earlier))
        cohorts = pack(records, 1, width)
        ways = (
            pack(records, 1, OLD_WIDTH),
            cohorts,
            longest_first(cohorts, expected),
            longest_first(pack(records, 1, -(-width // 2)), expected),
        )
        for way, given in enumerate(ways):
            found[way] += makespan(given, taken, cores)
        earlier += records
    return found


def main() -> None:
    """Search, simulate, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cores.db")
        plain = read("stamina").to_json()
        plain["search"] |= {"cohort_width": 1, "trials": options.trials, "seed": options.seed}
        hebbevo.search(spec_from_json(plain), study=path, workers=1, watch=None)
        with Ledger.open(path) as ledger:
            generations = ledger.generations()
            work = sum(seconds(record) for generation in generations for record in generation.records)
            rows = []
            for cores in CORES:
                times = of_cores(generations, ledger, cores)
                wasted = [f"{1 - work / (cores * time):.0%}" for time in times]
                rows.append([str(cores), *wasted, f"{work / times[2]:.1f}"])
    print(f"{processor()}; {work:.1f} s of training in {len(generations)} generations\n")
    header = ("cores", *(f"waste, {way}" for way in WAYS), "times one core")
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
