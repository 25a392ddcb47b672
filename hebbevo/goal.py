"""The goal of a search: what its sampler minimises, and what it must keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MEASURES: dict[str, float] = {"accuracy": -1.0, "survivors": 1.0}
"""What every trial is measured by, and the sign that makes a loss of it."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints over (accuracy, survivors).

    Attributes:
        objectives: names of the measures to improve; one of them, or both for their trade-off.
        weights: where not empty, the weight of each measure in the one number to maximise instead.
        constraints: lowest and highest value of a measure; ``None`` where there is no bound.
    """

    objectives: tuple[str, ...] = tuple(MEASURES)
    weights: Mapping[str, float] | None = None
    constraints: Mapping[str, tuple[float | None, float | None]] | None = None

    @property
    def dimension(self) -> int:
        """Number of losses."""
        return 1 if self.weights else len(self.objectives)

    def losses(self, values: tuple[float, float]) -> tuple[float, ...]:
        """The losses of a trial's (accuracy, survivors)."""
        measured = dict(zip(MEASURES, values, strict=True))
        if self.weights:
            return (-sum(weight * measured[name] for name, weight in self.weights.items()),)
        return tuple(MEASURES[name] * measured[name] for name in self.objectives)

    def violations(self, values: tuple[float, float]) -> dict[str, float]:
        """By how much each constraint is missed, in parts of its bound; 0 where it is met."""
        measured = dict(zip(MEASURES, values, strict=True))
        return {
            name: max(0.0, _miss(low, measured[name], -1.0), _miss(high, measured[name], 1.0))
            for name, (low, high) in (self.constraints or {}).items()
        }

    def violation(self, values: tuple[float, float]) -> float:
        """By how much the constraints are missed in all."""
        return sum(self.violations(values).values())


def _miss(bound: float | None, value: float, sign: float) -> float:
    return 0.0 if bound is None else sign * (value - bound) / (abs(bound) or 1.0)
