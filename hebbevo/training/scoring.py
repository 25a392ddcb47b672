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
        values: mean (accuracy, survivors), or ``None`` if a replicate failed.
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
    return Score(
        (fmean(accuracies), fmean(survivors)),
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
            "epochs": len(measurements[0].accuracy),
            "seconds": seconds,
        },
    )


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _means(rows: Any) -> list[float]:
    return [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]


def _union(rows: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(rows)))
