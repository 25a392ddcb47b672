"""Failed attempts to train a cohort, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class FailureKind(StrEnum):
    """Why a cohort was lost."""

    CRASH = "crash"
    MEMORY = "memory"
    TIME = "time"


class Recovery(StrEnum):
    """What was done after a failed attempt.

    After ``AGAIN``, results are the same as without the failure. ``IN_HALVES`` and ``FAILED`` change them.
    """

    AGAIN = "again"
    IN_HALVES = "in halves"
    FAILED = "failed"


@dataclass(frozen=True)
class FailedAttempt:
    """A failed attempt to train a cohort.

    Attributes:
        trials: numbers of the trials in the cohort.
        kind: kind of the failure.
        reason: the same in words, for the user.
        worker: name of the worker that had the cohort.
        seconds: time from the start of the attempt to the failure.
        recovery: what was done next.
    """

    trials: tuple[int, ...]
    kind: FailureKind
    reason: str
    worker: str
    seconds: float
    recovery: Recovery

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, under the keys that study files use."""
        return {
            "trials": list(self.trials),
            "fault": self.kind,
            "reason": self.reason,
            "worker": self.worker,
            "seconds": self.seconds,
            "then": self.recovery,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data."""
        return cls(
            tuple(plain["trials"]),
            FailureKind(plain["fault"]),
            plain["reason"],
            plain["worker"],
            plain["seconds"],
            Recovery(plain["then"]),
        )
