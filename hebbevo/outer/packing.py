"""How trials are packed into cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hebbevo.study.ledger import Record

if TYPE_CHECKING:
    from hebbevo.execution import Cohort
    from hebbevo.training import EarlyStopper, Keeping


NARROWEST = 4
"""Stacks are not made narrower than this for the sake of more workers: a net alone costs twice as much."""


def default_width(
    population: int, replicates: int, widest: int, workers: int, narrowest: int = NARROWEST
) -> int:
    """Width of the cohorts of a new study: of equal size, and as many as keep the workers busy.

    The study records it and keeps it, on a machine with another number of cores too.

    >>> default_width(population=50, replicates=1, widest=32, workers=2)
    25
    >>> default_width(population=50, replicates=1, widest=32, workers=8)
    7

    Args:
        population: genomes of a generation.
        replicates: trainings per genome.
        widest: most nets in a cohort that is still fast.
        workers: cohorts that can be trained at the same time.
        narrowest: fewest nets in a cohort that costs no more for each.
    """
    fewest = -(-population // genomes_per_cohort(replicates, widest))
    even = -(-fewest // workers) * workers  # so that no worker waits while another one trains the last cohort
    most = max(fewest, population * replicates // narrowest)
    return -(-population // min(even, most)) * replicates


def pack(
    records: Sequence[Record],
    replicates: int,
    cohort_width: int,
    early_stopper: EarlyStopper | None = None,
    keeping: Keeping | None = None,
    pruning_patience: float = 1.0,
) -> list[Cohort]:
    """Divide the trials of a generation that must be trained into cohorts, in their order.

    The cohorts depend on the study alone, never on the machine, so that its results do not either.

    Args:
        records: the trials to train.
        replicates: trainings per trial; those of one trial stay in one cohort.
        cohort_width: most networks in a cohort, unless the replicates of a single trial are more.
        early_stopper: decides in every cohort which trials to stop; ``None`` stops none.
        keeping: what a network must reach for its weights to be kept; ``None`` keeps none.
        pruning_patience: the part of a training after which a trial is stopped that could lose neurons and
            has lost none; 1 stops none.
    """
    from hebbevo.execution import Cohort
    from hebbevo.training import Candidate

    size = genomes_per_cohort(replicates, cohort_width)
    return [
        Cohort(
            trials=tuple(record.number for record in records[start : start + size]),
            candidates=tuple(
                Candidate(record.genome, replicate)
                for record in records[start : start + size]
                for replicate in range(replicates)
            ),
            early_stopper=early_stopper,
            keeping=keeping,
            pruning_patience=pruning_patience,
        )
        for start in range(0, len(records), size)
    ]


def genomes_per_cohort(replicates: int, cohort_width: int) -> int:
    """Number of genomes whose replicates fit into a cohort, at least 1.

    >>> genomes_per_cohort(replicates=3, cohort_width=32)
    10
    """
    return max(1, cohort_width // replicates)


def cohorts_per_generation(population: int, replicates: int, cohort_width: int) -> int:
    """Number of cohorts of a whole generation, which is the most workers that it keeps busy.

    >>> cohorts_per_generation(population=50, replicates=1, cohort_width=25)
    2
    """
    return -(-population // genomes_per_cohort(replicates, cohort_width))
