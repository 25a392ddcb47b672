"""One training, many points: the states that it passed through count as well as its last one.

The best of twenty noisy epochs would flatter. So there is little choice among them: of the epochs at which
it had so many survivors, only the last one counts.
"""

from __future__ import annotations

from typing import NamedTuple

from hebbevo.study.ledger import STOPPED, Result


class Point(NamedTuple):
    """The state of a trial's networks after an epoch, as means over its replicates.

    Attributes:
        epoch: how many epochs they had been trained for, 1 or more.
        accuracy: on the validation rows, 0..1.
        survivors: neurons, or connections, on a live path.
    """

    epoch: int
    accuracy: float
    survivors: float

    @property
    def values(self) -> tuple[float, float]:
        """Accuracy and survivors, as a trial has them."""
        return self.accuracy, self.survivors


def points(result: Result, epochs: int) -> list[Point]:
    """The points of a trial, one for each number of survivors that it had, by epoch.

    The last one of a complete trial, after all ``epochs``, is its values. A trial that was stopped early ends
    sooner; one that failed has none.
    """
    details = result.details
    if result.values is None and STOPPED not in details:
        return []
    passed = zip(details.get("accuracy_per_epoch", ()), details.get("survivors_per_epoch", ()), strict=True)
    last = {
        survivors: Point(epoch, accuracy, survivors)
        for epoch, (accuracy, survivors) in enumerate(passed, start=1)
    }
    if result.values is not None:
        last[result.values[1]] = Point(epochs, *result.values)
    return sorted(last.values())
