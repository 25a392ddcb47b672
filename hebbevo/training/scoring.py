"""The score of a trial, from the measurements of its replicates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, stdev

from hebbevo.training.recipe import Measurement
from hebbevo.training.trial_details import EarlyStop, TrialDetails


@dataclass(frozen=True)
class Score:
    """What a trial has reached, over its replicates.

    Attributes:
        values: mean (accuracy, survivors), or ``None`` if a replicate failed or was stopped.
        details: what else is recorded.
    """

    values: tuple[float, float] | None
    details: TrialDetails


def score(measurements: Sequence[Measurement]) -> Score:
    """Average the replicates of one genome.

    A trial fails if any of its replicates does: the mean of the others would flatter it.

    Args:
        measurements: one measurement per replicate, at least one.
    """
    seconds = sum(each.seconds for each in measurements)
    failures = [
        f"replicate {replicate}: {each.failure}" if len(measurements) > 1 else each.failure
        for replicate, each in enumerate(measurements)
        if each.failure is not None
    ]
    if failures:
        details = TrialDetails(failure=failures[0], neurons=measurements[0].neurons, seconds=seconds)
        return Score(None, details)
    accuracies = [each.accuracy[-1] for each in measurements]
    survivors = [each.survivors[-1] for each in measurements]
    epochs = len(measurements[0].accuracy)
    stopped = [each for each in measurements if each.stopped]
    details = TrialDetails(
        accuracy_sd=_standard_deviation(accuracies),
        survivors_sd=_standard_deviation(survivors),
        neurons=measurements[0].neurons,
        survivors_per_layer=_means(each.layers for each in measurements),
        inputs=fmean(each.inputs for each in measurements),
        collapsed=any(each.collapsed for each in measurements),
        accuracy_per_epoch=_means(each.accuracy for each in measurements),
        survivors_per_epoch=_means(each.survivors for each in measurements),
        replicates=[
            {"accuracy": accuracy, "survivors": survived}
            for accuracy, survived in zip(accuracies, survivors, strict=True)
        ],
        notes=_union(each.notes for each in measurements) or (),
        epochs=epochs,
        seconds=seconds,
        stopped=_early_stop(stopped, epochs) if stopped else None,
        explored_per_epoch=_means(each.explored for each in measurements) or (),
        grown_left_per_epoch=_means(each.grown_left for each in measurements) or (),
        angles_per_epoch=[
            _means(layers) for layers in zip(*(each.angles for each in measurements), strict=True)
        ],
    )
    return Score(None if stopped else (fmean(accuracies), fmean(survivors)), details)


def _early_stop(stopped: Sequence[Measurement], epochs: int) -> EarlyStop:
    """Sum up why replicates were stopped after this number of epochs."""
    predicted = [each.predicted_final for each in stopped if each.predicted_final]
    if not predicted:
        return EarlyStop(epochs, None, f"after {epochs} epochs it promised less than others at that age")
    accuracy, survivors = _means(predicted)
    reason = f"after {epochs} epochs it was heading for {accuracy:.3f} with {survivors:.4g}, which is beaten"
    return EarlyStop(epochs, (accuracy, survivors), reason)


def _standard_deviation(values: Sequence[float]) -> float | None:
    """Over replicates; ``None`` for a single one."""
    return stdev(values) if len(values) > 1 else None


def _means(rows: Iterable[Sequence[float]]) -> list[float]:
    """The mean of each column; sums are exact, so that the order of replicates does not matter."""
    return [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]


def _union(rows: Iterable[Sequence[str]]) -> list[str]:
    """All notes in their order, each once."""
    return list(dict.fromkeys(chain.from_iterable(rows)))
