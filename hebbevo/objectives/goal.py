"""The goal of a search: the objectives that its sampler minimises, and the constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")

MEASURES = ("accuracy", "survivors")
"""The measures that every trial has, in their order."""

COUNTS = ("neurons", "connections", "parameters", "multiply_adds")
"""What can be counted in a network: what survivors are, and what can be measured beside them."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints over accuracy, survivors, and further counts.

    Every trial is recorded with all measures, whatever the goal. With two or three objectives, the answer is
    the Pareto front. With one objective, or with weights, it is the single trial with the least loss.

    Constraints guide the search too. A trial that meets all of them is better than one that does not. Of two
    trials that do not, the one with the smaller `violation` is better.

    >>> goal = Goal(constraints={"survivors": (None, 40.0)})
    >>> goal.aim, goal.limits
    ('highest accuracy, fewest survivors', 'survivors at most 40')
    >>> goal.losses((0.9, 50.0)), goal.violation((0.9, 50.0))
    ((-0.9, 50.0), 0.25)
    >>> Goal(("accuracy", "survivors", "connections"), further=("connections",)).losses((0.9, 50.0, 800.0))
    (-0.9, 50.0, 800.0)

    Attributes:
        objectives: measures to improve, accuracy upwards and counts downwards; from one to three of them.
        weights: where not empty, the sum of the measures with these weights is maximised instead.
        constraints: lowest and highest allowed value of a measure; ``None`` means no bound.
        score: what people call the accuracy of this search, as ``R2``.
        further: the counts of `COUNTS` that are measured beside survivors; those of them that are objectives
            come first.
        survivors: what people call the survivors, as ``neurons``.
    """

    objectives: tuple[str, ...] = MEASURES
    weights: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    score: str = "accuracy"
    further: tuple[str, ...] = ()
    survivors: str = "survivors"

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures of a trial, in their order."""
        return (*MEASURES, *self.further)

    @property
    def traded(self) -> tuple[str, ...]:
        """The measures that a front trades off: accuracy, survivors, and the further counts to minimise.

        They are the first of `measures`.
        """
        return (*MEASURES, *(name for name in self.further if name in self.objectives and not self.weights))

    @property
    def dimension(self) -> int:
        """Number of losses, from 1 to 3."""
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
        return ", ".join(
            f"{'highest' if name == 'accuracy' else 'fewest'} {self._shown(name)}" for name in self.objectives
        )

    @property
    def limits(self) -> str:
        """The constraints in words, as ``accuracy at least 0.9, survivors at most 40``; empty without any."""
        limits = self.constraints.items()
        return ", ".join(f"{self._shown(name)} {_range(*bounds)}" for name, bounds in limits)

    def _shown(self, measure: str) -> str:
        own = {"accuracy": self.score, "survivors": self.survivors}.get(measure, measure)
        return own.replace("multiply_adds", "multiply-adds")

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """The losses of a trial, one for each objective or one for the weighted sum; all to be minimised.

        Args:
            values: of each of `measures`: accuracy, 0 to 1, number of survivors, and further counts.
        """
        measured = dict(zip(self.measures, values, strict=True))
        if self.weights:
            return (-sum(weight * measured[name] for name, weight in self.weights.items()),)
        return tuple((-1.0 if name == "accuracy" else 1.0) * measured[name] for name in self.objectives)

    def distances(self, values: Sequence[Number]) -> dict[str, list[Number]]:
        """How far each constrained measure is beyond each of its bounds; 0 or less within it.

        Distances are relative to the bound, or absolute where it is below 1.

        Args:
            values: of each of `measures`, as numbers or as arrays.
        """
        measured = dict(zip(self.measures, values, strict=True))
        return {
            name: [
                sign * (measured[name] - bound) / max(abs(bound), 1.0)
                for bound, sign in zip(bounds, (-1.0, 1.0), strict=True)
                if bound is not None
            ]
            for name, bounds in self.constraints.items()
        }

    def violations(self, values: Sequence[float]) -> dict[str, float]:
        """How far each constrained measure is beyond its worse bound; see `distances`.

        >>> Goal(constraints={"survivors": (None, 40.0)}).violations((0.9, 50.0))
        {'survivors': 0.25}
        """
        return {name: max(distances) for name, distances in self.distances(values).items()}

    def violation(self, values: Sequence[float]) -> float:
        """How far the worst measure is beyond its bounds; 0 or less where all constraints are met."""
        return max(self.violations(values).values(), default=0.0)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"from {low:g} to {high:g}"
