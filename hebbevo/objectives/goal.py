"""The goal of a search: the objectives that its sampler minimises, and the constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")

MEASURES: dict[str, float] = {"accuracy": -1.0, "survivors": 1.0}
"""The measures of a trial, in their order, and the sign that turns each into a loss."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints over (accuracy, survivors).

    Every trial is recorded with both measures, whatever the goal. With both as objectives, the answer is the
    Pareto front. With one objective, or with weights, it is the single trial with the least loss.

    Constraints guide the search too. A trial that meets all of them is better than one that does not. Of two
    trials that do not, the one with the smaller `violation` is better.

    >>> goal = Goal(constraints={"survivors": (None, 40.0)})
    >>> goal.aim, goal.limits
    ('highest accuracy, fewest survivors', 'survivors at most 40')
    >>> goal.losses((0.9, 50.0)), goal.violation((0.9, 50.0))
    ((-0.9, 50.0), 0.25)

    Attributes:
        objectives: measures to improve, accuracy upwards and survivors downwards; one of them, or both.
        weights: where not empty, the sum of the measures with these weights is maximised instead.
        constraints: lowest and highest allowed value of a measure; ``None`` means no bound.
        score: what people call the accuracy of this search, as ``R2``.
    """

    objectives: tuple[str, ...] = tuple(MEASURES)
    weights: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    score: str = "accuracy"

    @property
    def dimension(self) -> int:
        """Number of losses, 1 or 2."""
        return 1 if self.weights else len(self.objectives)

    @property
    def aim(self) -> str:
        """The objectives in words, as ``highest accuracy, fewest survivors``."""
        if self.weights:
            terms = [
                f"{'-' if weight < 0 else '+'} {abs(weight):g} x {self._shown(name)}"
                for name, weight in self.weights.items()
            ]
            return f"highest {' '.join(terms).removeprefix('+ ')}"
        return ", ".join(f"{_AIMS[name]} {self._shown(name)}" for name in self.objectives)

    @property
    def limits(self) -> str:
        """The constraints in words, as ``accuracy at least 0.9, survivors at most 40``; empty without any."""
        limits = self.constraints.items()
        return ", ".join(f"{self._shown(name)} {_range(*bounds)}" for name, bounds in limits)

    def _shown(self, measure: str) -> str:
        return self.score if measure == "accuracy" else measure

    def losses(self, values: tuple[float, float]) -> tuple[float, ...]:
        """The losses of a trial, one for each objective or one for the weighted sum; all to be minimised.

        Args:
            values: accuracy, 0 to 1, and number of survivors.
        """
        measured = dict(zip(MEASURES, values, strict=True))
        if self.weights:
            return (-sum(weight * measured[name] for name, weight in self.weights.items()),)
        return tuple(MEASURES[name] * measured[name] for name in self.objectives)

    def distances(self, values: tuple[Number, Number]) -> dict[str, list[Number]]:
        """How far each constrained measure is beyond each of its bounds; 0 or less within it.

        Distances are relative to the bound, or absolute where it is below 1.

        Args:
            values: (accuracy, survivors), as two numbers or as two arrays.
        """
        measured = dict(zip(MEASURES, values, strict=True))
        return {
            name: [
                sign * (measured[name] - bound) / max(abs(bound), 1.0)
                for bound, sign in zip(bounds, (-1.0, 1.0), strict=True)
                if bound is not None
            ]
            for name, bounds in self.constraints.items()
        }

    def violations(self, values: tuple[float, float]) -> dict[str, float]:
        """How far each constrained measure is beyond its worse bound; see `distances`.

        >>> Goal(constraints={"survivors": (None, 40.0)}).violations((0.9, 50.0))
        {'survivors': 0.25}
        """
        return {name: max(distances) for name, distances in self.distances(values).items()}

    def violation(self, values: tuple[float, float]) -> float:
        """How far the worst measure is beyond its bounds; 0 or less where all constraints are met."""
        return max(self.violations(values).values(), default=0.0)


_AIMS = {"accuracy": "highest", "survivors": "fewest"}


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"from {low:g} to {high:g}"
