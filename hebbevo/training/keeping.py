"""Which weights of a training may be worth keeping: those of networks that no known one beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hebbevo.objectives.goal import Goal

_DECIMALS = 9  # as for the front of a study: means over replicates can differ in their last digits


@dataclass(frozen=True)
class Keeping:
    """What a network must reach for its weights to be kept, as it was known when its cohort was packed.

    A front only gets better. So what it beats now can never be on it. The study decides on the rest.

    >>> keeping = Keeping(((0.9, 30.0),), Goal(), chance=0.1)
    >>> keeping.admits((0.8, 40.0)), keeping.admits((0.8, 20.0)), keeping.admits((0.9, 30.0))
    (False, True, True)

    Attributes:
        front: the points on the front, of the measures that the goal trades off.
        goal: of the study; a network must meet its constraints.
        chance: a network must be more accurate.
        best: the least loss of a trial so far, in a study with one objective; ``None`` without any.
    """

    front: tuple[tuple[float, ...], ...]
    goal: Goal
    chance: float
    best: float | None = None

    def admits(self, values: Sequence[float], is_last: bool = False) -> bool:
        """Whether a network with these figures may be kept.

        Args:
            values: of all measures, as means over replicates.
            is_last: whether it was trained to the last epoch, as the best one of one objective must be.
        """
        accuracy, *_ = values
        if not math.isfinite(accuracy) or accuracy <= self.chance or self.goal.violation(values) > 0:
            return False
        if is_last and self.goal.dimension == 1:
            [loss] = self.goal.losses(values)
            if self.best is None or loss <= self.best:
                return True
        traded = values[: len(self.goal.traded)]
        return not any(beats(point, traded) for point in self.front)


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one point, as accuracy and counts, dominates another, beyond rounding errors.

    >>> beats((0.9, 30.0), (0.9, 31.0)), beats((0.9, 30.0), (0.9, 30.0))
    (True, False)
    """
    a, b = (tuple(round(value, _DECIMALS) for value in point) for point in (one, other))
    smaller = all(own <= others for own, others in zip(a[1:], b[1:], strict=True))
    return a != b and a[0] >= b[0] and smaller
