"""Trials in Optuna's own tables, as plain rows: Optuna's objects take ten times the time and memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Executable, bindparam, insert, select, update
from sqlalchemy.orm import Session

from hebbevo.study import checksums
from hebbevo.study.validation import RecordError

_FETCHED = 10_000  # rows at a time
_decode = json.JSONDecoder().decode  # json.loads first checks types, which takes a quarter of its time here


@dataclass(slots=True)
class TrialRow:
    """What the tables hold of a trial.

    Attributes:
        number: of the trial in its study, from 0.
        state: Optuna's state.
        mark: value of the system attribute by which it was found.
        params: by name, as the numbers that stand for values in Optuna's table.
        values: by the number of the objective.
        user_attrs: user attributes by key.
        sums: recorded checksums by their keys.
        genome_hash: hashes of its params, summed.
        result_hash: hashes of its state, its values and those user attributes that count, summed.
        other_hash: hashes of the other user attributes, by key.
    """

    number: int
    state: TrialState
    mark: Any
    params: dict[str, float] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Any] = field(default_factory=dict)
    genome_hash: int = 0
    result_hash: int = 0
    other_hash: dict[str, int] = field(default_factory=dict)


def read(connection: Connection, study_id: int, mark: str, counted: Container[str]) -> list[TrialRow]:
    """Read the trials of a study that have the system attribute ``mark``, in the order of their ids.

    A trial that another process adds or ends meanwhile may be missing, or still be running.

    Args:
        connection: to the database.
        study_id: id of the study.
        mark: key of the system attribute.
        counted: keys of the user attributes that count for `TrialRow.result_hash`.

    Raises:
        RecordError: a trial has a result, and yet is running.
    """
    connection = connection.execution_options(yield_per=_FETCHED)
    trial, marks = models.TrialModel, models.TrialSystemAttributeModel
    param, score, attr = models.TrialParamModel, models.TrialValueModel, models.TrialUserAttributeModel
    marked = select(trial.trial_id, trial.number, trial.state, marks.value_json).join(marks.trial)
    marked = marked.where(trial.study_id == study_id, marks.key == mark).order_by(trial.trial_id)
    # read first: a trial and its rows are written in one transaction, so those of these trials are there
    trials = {
        trial_id: TrialRow(number, state, _decode(value))
        for trial_id, number, state, value in connection.execute(marked)
    }

    def of_trials(model: Any, *columns: Any) -> Iterator[tuple[TrialRow, Any]]:
        rows = select(model.trial_id, *columns).join(model.trial).where(trial.study_id == study_id)
        for trial_id, *row in connection.execute(rows.order_by(*model.__table__.primary_key)):
            if trial_id in trials:
                yield trials[trial_id], row

    for found in trials.values():
        found.result_hash = checksums.state_hash(found.number, found.state.name)
    for found, (name, value) in of_trials(param, param.param_name, param.param_value):
        found.params[sys.intern(name)] = value  # one string for all trials
        found.genome_hash += checksums.param_hash(found.number, name, value)
    for found, (objective, value, kind) in of_trials(score, score.objective, score.value, score.value_type):
        found.values[objective] = score.stored_repr_to_value(value, kind)
        found.result_hash += checksums.value_hash(found.number, objective, found.values[objective])
    for found, (key, value) in of_trials(attr, attr.key, attr.value_json):
        found.user_attrs[sys.intern(key)] = _decode(value)
        one = checksums.detail_hash(found.number, key, value)
        if key in counted:
            found.result_hash += one
        else:
            found.other_hash[key] = one
    sums = select(marks.trial_id, marks.key, marks.value_json).join(marks.trial)
    sums = sums.where(trial.study_id == study_id, marks.key.startswith(checksums.KEY))
    for trial_id, key, value in connection.execute(sums):
        if trial_id in trials:
            trials[trial_id].sums[sys.intern(key)] = _decode(value)
    _require_ended(connection, {trial_id: row for trial_id, row in trials.items() if _has_result(row)})
    return list(trials.values())


def _has_result(row: TrialRow) -> bool:
    return not row.state.is_finished() and bool(row.values or checksums.KEY in row.sums)


def _require_ended(connection: Connection, trials: Mapping[int, TrialRow]) -> None:
    """Check that trials have ended by now, which had results while they were running.

    A result is written together with the end of its trial, so that another process has written them since.
    """
    table = models.TrialModel
    for trial_id, row in trials.items():
        state = connection.execute(select(table.state).where(table.trial_id == trial_id)).scalar_one()
        if not state.is_finished():
            raise RecordError(f"trial {row.number} has a result, but has not ended")


def begin(session: Session, study_id: int, numbers: Sequence[int]) -> dict[int, int]:
    """Add running trials with these numbers to a study, and return their ids by number."""
    trials = [
        models.TrialModel(
            study_id=study_id, number=number, state=TrialState.RUNNING, datetime_start=datetime.now()
        )
        for number in numbers
    ]
    session.add_all(trials)
    session.flush()  # as objects: SQLAlchemy knows how each kind of database returns new ids
    return {trial.number: trial.trial_id for trial in trials}


def end(session: Session, states: Mapping[int, TrialState]) -> bool:
    """Set the states in which running trials ended, by id.

    Returns:
        Whether all of them were running.
    """
    table = models.TrialModel.__table__
    now = datetime.now(UTC).replace(tzinfo=None)  # as Optuna stores it
    rows = [
        {"ended": trial_id, "state": state, "datetime_complete": now} for trial_id, state in states.items()
    ]
    running = (table.c.trial_id == bindparam("ended")) & (table.c.state == TrialState.RUNNING)
    return _execute(session, update(table).where(running), rows) == len(rows)


def add(session: Session, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to the table of a model."""
    _execute(session, insert(model.__table__), rows)


def _execute(session: Session, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
    if not rows:  # without rows SQLAlchemy would insert one of defaults
        return 0
    return session.connection().execute(statement, rows).rowcount
