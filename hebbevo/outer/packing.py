"""How trials are packed into cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hebbevo.study.ledger import Record

if TYPE_CHECKING:
    from hebbevo.execution import Cohort
    from hebbevo.training import EarlyStopper


def pack(
    records: Sequence[Record],
    replicates: int,
    cohort_width: int,
    early_stopper: EarlyStopper | None = None,
) -> list[Cohort]:
    """Divide the trials of a generation that must be trained into cohorts, in their order.

    The cohorts depend on the study alone, never on the machine, so that its results do not either.

    Args:
        records: the trials to train.
        replicates: trainings per trial; those of one trial stay in one cohort.
        cohort_width: most networks in a cohort, unless the replicates of a single trial are more.
        early_stopper: decides in every cohort which trials to stop; ``None`` stops none.
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
        )
        for start in range(0, len(records), size)
    ]


def genomes_per_cohort(replicates: int, cohort_width: int) -> int:
    """Number of genomes whose replicates fit into a cohort, at least 1.

    >>> genomes_per_cohort(replicates=3, cohort_width=32)
    10
    """
    return max(1, cohort_width // replicates)
