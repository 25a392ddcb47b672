"""Where a trained network comes from: its trial, its data, and what was measured of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hebbevo import data, user_code
from hebbevo.data import NO_FINDINGS, Findings, ReadingOptions
from hebbevo.data.options import NO_OPTIONS
from hebbevo.study.ledger import Ledger
from hebbevo.study.view import Study


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Score and survivors of a network; NaN for what was not measured.

    Attributes:
        score: validation or test score, as a mean.
        sd: its standard deviation over trainings.
        survivors: living neurons, or connections, as a mean.
    """

    score: float = math.nan
    sd: float = math.nan
    survivors: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The trial of a trained network.

    Attributes:
        name: name of the search.
        study: what names the study on a command line, without folders.
        trial: number of the trial.
        epoch: number of epochs after which the network was taken.
        genome: its active genes.
        seed: seed of the search.
        neurons: number of neurons, or connections, before any was pruned.
        count: what survivors are, ``neurons`` or ``connections``.
        score: name of the score, as ``accuracy``.
        figures: what was measured, by a name such as ``found``.
        dataset: name of the data, without folders.
        target: name of the column of the targets, if it is a table.
        kind: ``classification`` or ``regression``.
        rows: number of rows for each part of the data.
        fingerprint: hash of the data.
        versions: versions of Python and the libraries that began the study.
        options: how the data are read, as the user has said.
        findings: how the data are read where the user has not said it.
    """

    name: str
    study: str
    trial: int
    epoch: int
    genome: Mapping[str, Any]
    seed: int
    neurons: int
    count: str
    score: str
    figures: Mapping[str, Figures] = field(default_factory=dict)
    dataset: str
    target: str | None = None
    kind: str = "classification"
    rows: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    options: ReadingOptions = NO_OPTIONS
    findings: Findings = NO_FINDINGS


def provenance_of(ledger: Ledger, trial: int, epoch: int) -> Provenance:
    """Find out where the network of a trial comes from.

    Args:
        ledger: the study.
        trial: number of the trial.
        epoch: number of epochs after which its network is taken.
    """
    study, task, facts = Study(ledger), ledger.spec.task, ledger.facts
    is_named = task.dataset in data.BUILT_IN or user_code.is_reference(task.dataset)
    return Provenance(
        name=study.name,
        study=study.store.command if study.path is None else study.path.name,
        trial=trial,
        epoch=epoch,
        genome=study.genome(trial),
        seed=ledger.spec.search.seed,
        neurons=study.neurons,
        count=study.count,
        score=study.score,
        figures=dict(_figures(study, trial, epoch)),
        dataset=task.dataset if is_named else Path(task.dataset).name,
        target=task.target,
        kind=task.kind,
        rows=study.rows,
        fingerprint=facts.fingerprint,
        versions=study.versions,
        options=task.reading_options,
        findings=facts.findings,
    )


def _figures(study: Study, trial: int, epoch: int) -> dict[str, Figures]:
    """What was measured of a network, and of its dense control, by what it is."""
    curve = study.curve(trial).set_index("epoch")
    deviations = study.trials().set_index("trial")["accuracy_sd"]
    last = epoch == len(curve)
    figures = {
        "found": Figures(
            score=float(curve.accuracy[epoch]),
            sd=float(deviations[trial]) if last else math.nan,
            survivors=float(curve.survivors[epoch]),
        )
    }
    found = study.confirmation
    members = found.members().to_dict("records") if found is not None and found.is_complete else []
    own = [each for each in members if (each["trial"], each["epoch"]) == (trial, epoch)]
    row = defaultdict(lambda: math.nan, own[0] if own else {})
    figures["confirmed"] = Figures(
        score=row["confirmed_accuracy"], sd=row["confirmed_sd"], survivors=row["confirmed_survivors"]
    )
    figures["dense control"] = Figures(score=row["control_accuracy"], sd=row["control_sd"])
    figures["test"] = Figures(score=row["test_accuracy"], sd=row["test_sd"])
    return figures
