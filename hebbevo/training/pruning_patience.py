"""Pruning patience: a network that could lose neurons, and has lost none for long, is stopped.

Where neurons are an objective, a network that keeps all of them adds nothing to the front. Most rules that
ever prune begin soon after their first event, so that what has not begun by then hardly will.
"""

from __future__ import annotations

from torch import Tensor

ENDLESS = 1.0
"""The patience with which no network is stopped."""


def first_events(events: Tensor) -> Tensor:
    """Find the first event of each network.

    Args:
        events: whether units may be pruned at each step, (size, steps) bool.

    Returns:
        Its step, (size,) int64, 1 is the first; one more than there are steps where there is no event.
    """
    none_yet = events.long().cumsum(1) == 0
    first: Tensor = none_yet.sum(1) + 1
    return first


def is_unpruned(
    survivors: Tensor, neurons: int, first_events: Tensor, step: int, steps: int, patience: float
) -> Tensor:
    """Find the networks that are to be stopped.

    Args:
        survivors: number of survivors after each epoch so far, (size, epochs).
        neurons: number of neurons before any is pruned.
        first_events: the step of the first event, (size,).
        step: number of steps taken.
        steps: number of steps of a whole training.
        patience: the part of these that may pass from the first event on without a loss, 0..1.

    Returns:
        (size,) bool.
    """
    lost_none: Tensor = (survivors == neurons).all(1)
    return lost_none & (step - first_events >= patience * steps)
