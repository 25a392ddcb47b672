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
        values: mean accuracy, survivors and further counts, or ``None`` if a replicate failed or was stopped.
        details: what else is recorded.
    """

    values: tuple[float, ...] | None
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
    further = {name: [each.further[name] for each in measurements] for name in measurements[0].further}
    finals = {name: [each[-1] for each in counts] for name, counts in further.items()}
    epochs = len(measurements[0].accuracy)
    stopped = [each for each in measurements if each.stopped]
    decodings = [each.decoding for each in measurements if each.decoding]
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
            | {name: counts[replicate] for name, counts in finals.items()}
            for replicate, (accuracy, survived) in enumerate(zip(accuracies, survivors, strict=True))
        ],
        notes=_union(each.notes for each in measurements) or (),
        epochs=epochs,
        seconds=seconds,
        stopped=_early_stop(stopped, epochs) if stopped else None,
        explored_per_epoch=_means(each.explored for each in measurements) or (),
        grown_left_per_epoch=_means(each.grown_left for each in measurements) or (),
        decoding_per_layer=_means(each.learned for each in decodings) or (),
        random_decoding_per_layer=_means(each.random for each in decodings) or (),
        angles_per_epoch=[
            _means(layers) for layers in zip(*(each.angles for each in measurements), strict=True)
        ]
        or (),
        further_per_epoch={name: _means(counts) for name, counts in further.items()},
        further_sd={name: stdev(counts) for name, counts in finals.items() if len(counts) > 1},
    )
    means = fmean(accuracies), fmean(survivors), *(fmean(counts) for counts in finals.values())
    return Score(None if stopped else means, details)


def _early_stop(stopped: Sequence[Measurement], epochs: int) -> EarlyStop:
    """Sum up why replicates were stopped after this number of epochs."""
    predicted = [each.predicted_final for each in stopped if each.predicted_final]
    if not predicted:
        return EarlyStop(epochs, None, f"after {epochs} epochs it promised less than others at that age")
    accuracy, survivors, *further = _means(predicted)
    if all(each.unpruned for each in stopped):
        reason = f"after {epochs} epochs it had lost none of its {survivors:.4g} neurons"
    else:
        reason = (
            f"after {epochs} epochs it was heading for {accuracy:.3f} with {survivors:.4g}, which is beaten"
        )
    return EarlyStop(epochs, (accuracy, survivors, *further), reason)


def _standard_deviation(values: Sequence[float]) -> float | None:
    """Over replicates; ``None`` for a single one."""
    return stdev(values) if len(values) > 1 else None


def _means(rows: Iterable[Sequence[float]]) -> list[float]:
    """The mean of each column; sums are exact, so that the order of replicates does not matter."""
    return [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]


def _union(rows: Iterable[Sequence[str]]) -> list[str]:
    """All notes in their order, each once."""
    return list(dict.fromkeys(chain.from_iterable(rows)))
