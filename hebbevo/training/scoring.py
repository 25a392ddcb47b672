"""From the measurements of a genome's replicates to the score of its trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, stdev
from typing import Any

from hebbevo.training.recipe import Measurement


@dataclass(frozen=True)
class Score:
    """What a trial has reached, over its replicates.

    Attributes:
        values: mean (accuracy, survivors), or ``None`` if a replicate failed or was stopped.
        details: JSON-able, kept with the trial.
    """

    values: tuple[float, float] | None
    details: dict[str, Any]


def score(measurements: Sequence[Measurement]) -> Score:
    """Average the replicates of one genome; standard deviations are ``None`` for a single one.

    A trial fails if any of its replicates does: a mean over the lucky rest would flatter it.
    """
    seconds = sum(each.seconds for each in measurements)
    failures = [
        f"replicate {replicate}: {each.failure}" if len(measurements) > 1 else each.failure
        for replicate, each in enumerate(measurements)
        if each.failure is not None
    ]
    if failures:
        known = {"neurons": neurons} if (neurons := measurements[0].neurons) else {}
        return Score(None, {"failure": failures[0], **known, "seconds": seconds})
    accuracies = [each.accuracy[-1] for each in measurements]
    survivors = [each.survivors[-1] for each in measurements]
    epochs = len(measurements[0].accuracy)
    stopped = [each for each in measurements if each.stopped]
    return Score(
        None if stopped else (fmean(accuracies), fmean(survivors)),
        {
            "accuracy_sd": _sd(accuracies),
            "survivors_sd": _sd(survivors),
            "neurons": measurements[0].neurons,
            "survivors_per_layer": _means(each.layers for each in measurements),
            "inputs": fmean(each.inputs for each in measurements),
            "collapsed": any(each.collapsed for each in measurements),
            "accuracy_per_epoch": _means(each.accuracy for each in measurements),
            "survivors_per_epoch": _means(each.survivors for each in measurements),
            "replicates": [
                {"accuracy": accuracy, "survivors": survived}
                for accuracy, survived in zip(accuracies, survivors, strict=True)
            ],
            **({"notes": notes} if (notes := _union(each.notes for each in measurements)) else {}),
            "epochs": epochs,
            "seconds": seconds,
            **({"stopped": _stopped(stopped, epochs)} if stopped else {}),
        },
    )


def _stopped(measurements: Sequence[Measurement], epochs: int) -> dict[str, Any]:
    """After how many epochs replicates were stopped, where they were heading, if that is known, and why."""
    headings = [each.predicted_final for each in measurements if each.predicted_final]
    if not headings:
        reason = f"after {epochs} epochs it promised less than others at that age"
        return {"epoch": epochs, "heading": None, "reason": reason}
    accuracy, survivors = _means(headings)
    reason = f"after {epochs} epochs it was heading for {accuracy:.3f} with {survivors:.4g}, which is beaten"
    return {"epoch": epochs, "heading": [accuracy, survivors], "reason": reason}


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _means(rows: Any) -> list[float]:
    return [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]


def _union(rows: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(rows)))
