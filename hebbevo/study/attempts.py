"""Attempts to train that came to nothing, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class FailureKind(StrEnum):
    """Why a cohort was lost."""

    CRASH = "crash"
    MEMORY = "memory"
    TIME = "time"


class Recovery(StrEnum):
    """What was done after it. Only after ``AGAIN`` results are what they would have been without the loss."""

    AGAIN = "again"
    IN_HALVES = "in halves"
    FAILED = "failed"


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt to train a cohort that came to nothing.

    Attributes:
        trials: that were in the cohort.
        fault: the kind of loss.
        reason: for the user.
        worker: where it happened.
        seconds: how long it took.
        then: what was done next.
    """

    trials: tuple[int, ...]
    fault: FailureKind
    reason: str
    worker: str
    seconds: float
    then: Recovery

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self) | {"trials": list(self.trials)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Take it back from plain data."""
        known = {**plain, "trials": tuple(plain["trials"])}
        return cls(**known | {"fault": FailureKind(plain["fault"]), "then": Recovery(plain["then"])})
