"""What a list of studies shows of each; reading a whole study takes several times as long."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, select

from hebbevo.errors import SpaceError, StudyError
from hebbevo.objectives import pareto
from hebbevo.objectives.goal import Goal
from hebbevo.objectives.pareto import Points
from hebbevo.paths import expanded
from hebbevo.spec import spec_from_json
from hebbevo.study import validation
from hebbevo.study.epoch_results import which_count
from hebbevo.study.facts import StudyFacts
from hebbevo.study.front import front_rows
from hebbevo.study.ledger import GENERATION, MISREADINGS
from hebbevo.study.storage import Store, StudyDatabase, studies_in, studies_of
from hebbevo.study.storage.confirmation_rows import confirmed
from hebbevo.study.storage.study_tables import FACTS, SPEC
from hebbevo.study.study_names import STUDIES
from hebbevo.study.validation import RecordError


class State(StrEnum):
    """What became of a study so far."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A study in one line.

    Attributes:
        study: path of its file, or its name in the database.
        state: ``running`` (a process searches it now), ``complete`` (it has all its trials), ``stopped`` (it
            lacks some), ``failed`` (every finished trial failed), or ``damaged`` (it cannot be read).
        trials: number of finished trials.
        total: number of trials that were last asked for.
        front: number of points on the front.
        best_accuracy: the highest accuracy on the front, or NaN.
        survivors: survivors of that point, or NaN.
        hypervolume: of the front, 0 to 1.
        confirmed: whether its front was trained again: ``no``, ``partly`` or ``yes``.
        last_result: when the last trial ended.
        remark: which process searches it, or why it cannot be read; empty otherwise.
    """

    study: str
    state: State
    trials: int = 0
    total: int = 0
    front: int = 0
    best_accuracy: float = math.nan
    survivors: float = math.nan
    hypervolume: float = math.nan
    confirmed: str = "no"
    last_result: datetime | None = None
    remark: str = ""


def studies(folder: str | Path = STUDIES, storage: str | None = None) -> pd.DataFrame:
    """List studies: a table with one row for each, by name.

    Files that are no studies are left out. Studies that cannot be read are in it, with the reason.

    Args:
        folder: where the study files are.
        storage: URL of a database; its studies are then listed instead.

    Returns:
        A table with the attributes of `hebbevo.study.summary.Summary` as columns.

    Raises:
        StudyError: there is no such folder, or the database cannot be used.

    Examples:
        >>> import hebbevo
        >>> _ = hebbevo.search("stamina", population=4, trials=4, epochs=1, workers=1)
        >>> hebbevo.studies()[["study", "state", "trials"]].values.tolist()
        [['studies/stamina.db', 'complete', 4]]
    """
    stores = studies_of(expanded(folder)) if storage is None else studies_in(storage)
    rows = [vars(summary_of(store)) for store in stores]
    table = pd.DataFrame(rows, columns=list(Summary.__dataclass_fields__))
    return table.astype({"state": str, "last_result": "datetime64[us, UTC]"})


def summary_of(store: Store) -> Summary:
    """Summarise a study. It is checked as far as it is read, and a damaged one is a summary, too."""
    name = store.name if isinstance(store, StudyDatabase) else str(store)
    try:
        with store.study_errors(), store.reading() as (connection, study_id):
            try:
                found = _summary(connection, study_id, name)
            except MISREADINGS as error:
                raise StudyError(f"is damaged ({validation.described(error)})") from error
        searcher = store.searcher()
    except (StudyError, SpaceError) as error:
        reason = str(error).removeprefix(f"{store}: ").partition("; ")[0]
        return Summary(study=name, state=State.DAMAGED, remark=reason)
    if searcher:
        return Summary(**{**found, "state": State.RUNNING, "remark": searcher})
    return Summary(**found)


def _summary(connection: Connection, study_id: int, name: str) -> dict[str, Any]:
    attributes = _attributes(connection, study_id)
    spec = spec_from_json(attributes[SPEC])
    validation.check("facts", attributes[FACTS], validation.FACTS, ("versions", "neurons", "chance"))
    facts = StudyFacts.from_json(attributes[FACTS])
    validation.check_further(facts.further, spec.goal.further)
    generations = {key: value for key, value in attributes.items() if key.startswith(f"{GENERATION}:")}
    newest = max(generations, key=lambda key: int(key.rpartition(":")[2]), default=None)
    total = int(generations[newest]["total"]) if newest else spec.search.trials
    finished = _finished(connection, study_id)
    points, working = _points(connection, study_id, finished, facts.chance, spec.goal.further)
    front = _feasible(points[working], spec.goal)[:, : len(spec.goal.traded)]
    front = front[front_rows(front)]
    best = front[front[:, 0].argmax()] if len(front) else (math.nan, math.nan)
    state = State.COMPLETE if len(finished) >= total else State.STOPPED
    last = max((ended for _, ended in finished.values() if ended is not None), default=None)
    return {
        "study": name,
        "state": State.FAILED if finished and not len(points) else state,
        "trials": len(finished),
        "total": total,
        "front": len(front),
        "best_accuracy": float(best[0]),
        "survivors": float(best[1]),
        "hypervolume": pareto.hypervolume(front, facts.chance, facts.largest(spec.goal)),
        "confirmed": confirmed(_keys(connection, study_id)),
        "last_result": None if last is None else last.replace(tzinfo=UTC),
    }


def _attributes(connection: Connection, study_id: int) -> dict[str, Any]:
    """The settings, the facts, and what is recorded of generations."""
    model = models.StudyUserAttributeModel
    wanted = model.key.in_([SPEC, FACTS]) | model.key.startswith(f"{GENERATION}:")
    rows = connection.execute(select(model.key, model.value_json).where(model.study_id == study_id, wanted))
    return {key: json.loads(value) for key, value in rows}


def _finished(connection: Connection, study_id: int) -> dict[int, tuple[TrialState, datetime | None]]:
    """The state of each finished trial of the search, by id, and when it ended."""
    trial, marks = models.TrialModel, models.TrialSystemAttributeModel
    ended = trial.__table__.c.datetime_complete
    rows = select(trial.trial_id, trial.state, ended).join(marks.trial)
    rows = rows.where(
        trial.study_id == study_id,
        marks.key == GENERATION,
        trial.state.in_([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(rows)}


def _points(
    connection: Connection,
    study_id: int,
    finished: Mapping[int, Any],
    chance: float,
    further: Sequence[str],
) -> tuple[Points, NDArray[np.bool_]]:
    """The epoch results that count, shape (n, measures), as `hebbevo.study.view.Study.points` has them.

    Returns:
        The results, and which of them may be on a front (`hebbevo.study.front.works`).

    Raises:
        RecordError: they are not as hebbevo records them.
    """
    scored = {trial for trial, (state, _) in finished.items() if state is not TrialState.FAIL}
    accuracies = _per_epoch(connection, study_id, "accuracy_per_epoch", scored)
    survivors = _per_epoch(connection, study_id, "survivors_per_epoch", scored)
    if [(trial, len(each)) for trial, each in accuracies] != [
        (trial, len(each)) for trial, each in survivors
    ]:
        raise RecordError("a trial has accuracy and survivors of different numbers of epochs")
    courses = [accuracies, survivors, *_further_per_epoch(connection, study_id, accuracies, further, scored)]
    finals = _values(connection, study_id, scored, len(courses))  # these replace results of the last epoch
    complete = {trial for trial in scored if finished[trial][0] is TrialState.COMPLETE}
    if any(set(each) != complete for each in finals):
        raise RecordError("a complete trial lacks accuracy or survivors")
    trials = [trial for trial, each in accuracies for _ in each] + [*complete]
    found = np.empty((len(trials), len(courses)))
    for column, (epochs, final) in enumerate(zip(courses, finals, strict=True)):
        numbers = chain(chain.from_iterable(each for _, each in epochs), (final[trial] for trial in complete))
        found[:, column] = np.fromiter(numbers, float, len(trials))
    if not (np.isfinite(found).all() and (found >= 0).all() and (found[:, 0] <= 1).all()):
        raise RecordError("an accuracy or a number of survivors is no such number")
    collapsed = _collapsed(connection, study_id)
    is_last = [epoch == len(each) for _, each in accuracies for epoch in range(1, len(each) + 1)]
    is_last += [True] * len(complete)
    failed = np.array([each in collapsed for each in trials], bool) & np.array(is_last, bool)
    counts = which_count(np.array(trials, int), found[:, 1:])
    return found[counts], ((found[:, 0] > chance) & ~failed)[counts]


def _further_per_epoch(
    connection: Connection,
    study_id: int,
    accuracies: Sequence[tuple[int, list[float]]],
    further: Sequence[str],
    scored: Container[int],
) -> list[list[tuple[int, list[float]]]]:
    """For each further count its lists, by the ids of trials.

    Raises:
        RecordError: one is missing, or of another length than the accuracies.
    """
    if not further:
        return []
    counted = _per_epoch(connection, study_id, "further_per_epoch", scored)
    found = [[(trial, own.get(name, [])) for trial, own in counted] for name in further]
    lengths = [(trial, len(each)) for trial, each in accuracies]
    if any([(trial, len(each)) for trial, each in course] != lengths for course in found):
        raise RecordError("a trial has accuracy and further counts of different numbers of epochs")
    return found


def _collapsed(connection: Connection, study_id: int) -> set[int]:
    """The ids of trials of which a replicate has collapsed."""
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    rows = select(attribute.trial_id).join(attribute.trial)
    rows = rows.where(
        trial.study_id == study_id, attribute.key == "collapsed", attribute.value_json == "true"
    )
    return set(connection.scalars(rows))


def _per_epoch(
    connection: Connection, study_id: int, key: str, scored: Container[int]
) -> list[tuple[int, Any]]:
    """The values of one attribute, by the ids of trials."""
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    rows = select(attribute.trial_id, attribute.value_json).join(attribute.trial)
    rows = rows.where(trial.study_id == study_id, attribute.key == key).order_by(attribute.trial_id)
    own = [(trial_id, text) for trial_id, text in connection.execute(rows) if trial_id in scored]
    lists = json.loads(f"[{','.join(text for _, text in own)}]")  # at once, which is twice as fast
    return list(zip((trial_id for trial_id, _ in own), lists, strict=True))


def _values(
    connection: Connection, study_id: int, scored: Container[int], measures: int
) -> list[dict[int, float]]:
    """For each measure its values after the last epoch, by the ids of trials."""
    trial, value = models.TrialModel, models.TrialValueModel
    rows = select(value.trial_id, value.objective, value.value).join(value.trial)
    found: list[dict[int, float]] = [{} for _ in range(measures)]
    for trial_id, objective, number in connection.execute(rows.where(trial.study_id == study_id)):
        if trial_id in scored:
            found[objective][trial_id] = number
    return found


def _feasible(points: Points, goal: Goal) -> Points:
    """The points that meet every constraint."""
    beyond = [each for bounds in goal.distances([*points.T]).values() for each in bounds]
    return points[np.max(beyond, axis=0) <= 0] if beyond else points


def _keys(connection: Connection, study_id: int) -> Sequence[str]:
    """The keys of all attributes of the study."""
    model = models.StudyUserAttributeModel
    return connection.scalars(select(model.key).where(model.study_id == study_id)).all()
