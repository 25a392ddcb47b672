"""The goal of a search: what its sampler minimises, and what it must keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEASURES: dict[str, float] = {"accuracy": -1.0, "survivors": 1.0}
"""What every trial is measured by, and the sign that makes a loss of it."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints over (accuracy, survivors).

    Every trial is recorded with both measures, whatever the goal. With both as objectives, the answer is the
    front of their trade-off. With one of them, or with weights, it is the single trial of the least loss.
    Constraints steer as well as judge: whoever meets them all is better than whoever does not, and of two
    who do not, the one whose worst miss is smaller.

    Attributes:
        objectives: measures to improve, accuracy upwards and survivors downwards: one of them, or both.
        weights: where not empty, the weight of each measure in a sum to maximise, instead of the objectives.
        constraints: lowest and highest value of a measure; ``None`` where there is no bound.
    """

    objectives: tuple[str, ...] = tuple(MEASURES)
    weights: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of losses."""
        return 1 if self.weights else len(self.objectives)

    @property
    def aim(self) -> str:
        """The objectives in words, as ``highest accuracy, fewest survivors``."""
        if self.weights:
            terms = [
                f"{'-' if weight < 0 else '+'} {abs(weight):g} x {name}"
                for name, weight in self.weights.items()
            ]
            return f"highest {' '.join(terms).removeprefix('+ ')}"
        return ", ".join(_AIMS[name] for name in self.objectives)

    @property
    def limits(self) -> str:
        """The constraints in words, as ``accuracy at least 0.9, survivors at most 40``; empty without any."""
        return ", ".join(f"{name} {_range(*bounds)}" for name, bounds in self.constraints.items())

    def losses(self, values: tuple[float, float]) -> tuple[float, ...]:
        """The losses of a trial's (accuracy, survivors)."""
        measured = dict(zip(MEASURES, values, strict=True))
        if self.weights:
            return (-sum(weight * measured[name] for name, weight in self.weights.items()),)
        return tuple(MEASURES[name] * measured[name] for name in self.objectives)

    def excesses(self, values: tuple[float, float]) -> dict[str, float]:
        """How far each measure with limits is outside them, 0 or less inside.

        In parts of the nearer bound, or of 1 where that bound is below 1.
        """
        measured = dict(zip(MEASURES, values, strict=True))
        return {
            name: max(
                sign * (measured[name] - bound) / max(abs(bound), 1.0)
                for bound, sign in zip(bounds, (-1.0, 1.0), strict=True)
                if bound is not None
            )
            for name, bounds in self.constraints.items()
        }

    def excess(self, values: tuple[float, float]) -> float:
        """How far the worst measure is outside its limits; 0 or less where all are met."""
        return max(self.excesses(values).values(), default=0.0)


_AIMS = {"accuracy": "highest accuracy", "survivors": "fewest survivors"}


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"from {low:g} to {high:g}"
