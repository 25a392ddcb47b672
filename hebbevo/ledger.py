"""The study file: one SQLite file, an ordinary Optuna study, and the only truth.

Optuna's public interface commits 15 times for an ask and once for every attribute; here one transaction opens
a generation and one closes a cohort, through Optuna's own tables (docs/decisions/0001-ledger.md).
"""

from __future__ import annotations

import glob
import json
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from hebbevo.errors import SpaceError, StudyError
from hebbevo.knobs import Value
from hebbevo.space import ChoiceGene, FloatGene, Gene, Genome, IntGene, same
from hebbevo.spacefile import Spec

COPY = "copy_of"  # among the details of a trial: the earlier one whose score it took
_SPEC, _FACTS, _GENERATION = "hebbevo:spec", "hebbevo:facts", "hebbevo:generation"
_CONSTRAINTS = "constraints"  # Optuna's own: a list, which Optuna and its dashboard honour
_SQLITE_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 60


@dataclass(frozen=True)
class Result:
    """What became of a trial; ``values`` (accuracy, survivors) is ``None`` where the training failed."""

    number: int
    values: tuple[float, float] | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A trial as it stands in the file: running until it has a result."""

    number: int
    genome: Genome
    result: Result | None


@dataclass(frozen=True)
class Generation:
    """A generation as it stands in the file.

    Attributes:
        total: number of trials in force when it was asked.
        progress: part of the budget, 0 to 1, that was spent by then.
    """

    number: int
    total: int
    progress: float
    records: tuple[Record, ...]


class Ledger:
    """An open study file; made by `create` and `open`, closed by ``with``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._storage = _storage(path)
        try:
            summary = min(self._storage.get_all_studies(), key=lambda study: study._study_id)
            self._study_id = summary._study_id
            self.spec = Spec.from_json(summary.user_attrs[_SPEC])
            self.facts: dict[str, Any] = summary.user_attrs[_FACTS]
        except BaseException:
            self._storage.engine.dispose()
            raise
        self._genes: dict[str, Gene] = {gene.name: gene for gene in self.spec.space.genes}

    @classmethod
    def create(cls, path: Path, spec: Spec, facts: Mapping[str, Any]) -> Self:
        """Create the study file, whole or not at all, and open it; for whoever has it `held`.

        Raises:
            StudyError: the folder cannot be written.
        """
        fresh = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(fresh)  # a killed process left it; its journal would be taken for the new file's
            with _reported(path):
                _write(fresh, spec, facts)
            os.replace(fresh, path)
        except OSError as error:
            raise StudyError(
                f"{path}: cannot be written ({error.strerror}); write another --study"
            ) from error
        finally:
            _remove(fresh)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a study file that exists.

        Raises:
            StudyError: there is no such file, or it is not a study of hebbevo.
        """
        _check(path)
        try:
            with _reported(path):
                return cls(path)
        except SpaceError as error:
            raise StudyError(
                f"{path}: its settings cannot be read ({error}); open it with the hebbevo that made it"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.engine.dispose()

    def generations(self) -> list[Generation]:
        """Read every generation, in the order of asking, without trials that others added to the study."""
        with _reported(self.path):  # trials first: a generation is written with its attribute
            trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
            attrs = self._storage.get_study_user_attrs(self._study_id)
        grouped: dict[int, list[Record]] = {}
        for trial in trials:
            if _GENERATION not in trial.system_attrs:
                continue
            grouped.setdefault(trial.system_attrs[_GENERATION], []).append(_record(trial))
        found: list[Generation] = []
        asked = 0
        for number, records in sorted(grouped.items()):
            settings = attrs[f"{_GENERATION}:{number}"]
            total = settings["total"]
            progress = settings.get("progress", asked / total)  # the first studies did not record it
            found.append(Generation(number, total, progress, tuple(records)))
            asked += len(records)
        return found

    def open_generation(
        self, number: int, total: int, progress: float, genomes: Sequence[Genome]
    ) -> list[Record]:
        """Write down, in one transaction, what was asked: running trials, numbered in the order of asking."""
        with self._transaction() as session:
            first = session.query(models.TrialModel).filter_by(study_id=self._study_id).count()
            session.add(
                models.StudyUserAttributeModel(
                    study_id=self._study_id,
                    key=f"{_GENERATION}:{number}",
                    value_json=json.dumps({"total": total, "progress": progress, "size": len(genomes)}),
                )
            )
            trials = [
                models.TrialModel(
                    study_id=self._study_id,
                    number=first + index,
                    state=TrialState.RUNNING,
                    datetime_start=datetime.now(),
                )
                for index in range(len(genomes))
            ]
            session.add_all(trials)
            session.flush()
            for trial, genome in zip(trials, genomes, strict=True):
                session.add(
                    models.TrialSystemAttributeModel(
                        trial_id=trial.trial_id, key=_GENERATION, value_json=json.dumps(number)
                    )
                )
                session.add_all(self._params(trial.trial_id, genome))
        return [Record(first + index, genome, None) for index, genome in enumerate(genomes)]

    def close_cohort(self, results: Sequence[Result]) -> None:
        """Write down, in one transaction, what became of running trials, and how it meets the constraints."""
        goal = self.spec.goal
        numbers = [result.number for result in results]
        with self._transaction() as session:
            running = {
                trial.number: trial
                for trial in session.query(models.TrialModel).filter(
                    models.TrialModel.study_id == self._study_id, models.TrialModel.number.in_(numbers)
                )
            }
            for result in results:
                trial = running[result.number]
                trial.state = TrialState.FAIL if result.values is None else TrialState.COMPLETE
                trial.datetime_complete = datetime.now()
                for objective, value in enumerate(result.values or ()):
                    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
                    session.add(
                        models.TrialValueModel(
                            trial_id=trial.trial_id, objective=objective, value=stored, value_type=kind
                        )
                    )
                if result.values is not None and goal.constraints:
                    excesses = list(goal.excesses(result.values).values())
                    session.add(
                        models.TrialSystemAttributeModel(
                            trial_id=trial.trial_id, key=_CONSTRAINTS, value_json=json.dumps(excesses)
                        )
                    )
                session.add_all(
                    models.TrialUserAttributeModel(
                        trial_id=trial.trial_id, key=key, value_json=json.dumps(value)
                    )
                    for key, value in result.details.items()
                )

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with _reported(self.path), Session(self._storage.engine) as session, session.begin():
            yield session

    def _params(self, trial_id: int, genome: Genome) -> Iterator[models.TrialParamModel]:
        for name, value in genome.items():
            gene = self._genes[name]
            yield models.TrialParamModel(
                trial_id=trial_id,
                param_name=name,
                param_value=_stored(gene, value),
                distribution_json=distribution_to_json(_distribution(gene)),
            )


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a study for writing; the hold ends with the process, whatever ends it.

    Raises:
        StudyError: another process holds it, or the folder cannot be written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StudyError(
            f"{path}: another search is writing to it; wait for it, or write another --study"
        ) from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror}); write another --study") from error
    try:
        yield
    finally:
        lock.release()


def _storage(path: Path) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # not by URL, where ?, % and {} in a path have a meaning of their own
    connect: Any = partial(_connect, path)
    pool = QueuePool(connect)
    try:
        return RDBStorage("sqlite://", engine_kwargs={"pool": pool})
    except RuntimeError as error:
        pool.dispose()
        what = str(error).split(". ")[0]
        raise StudyError(f"{path}: was made with another Optuna ({what}); install that one") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _write(path: Path, spec: Spec, facts: Mapping[str, Any]) -> None:
    storage = _storage(path)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=spec.name,
            directions=["maximize", "minimize"],
            sampler=optuna.samplers.RandomSampler(),
        )
        study.set_metric_names(["accuracy", "survivors"])
        study.set_user_attr(_SPEC, spec.to_json())
        study.set_user_attr(_FACTS, dict(facts))
    finally:
        storage.engine.dispose()


def _remove(path: Path) -> None:
    """Remove a file and the journals beside it."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}*"):
        leftover.unlink()


def _check(path: Path) -> None:
    """Refuse, without touching it, a file that is not a study of hebbevo."""
    try:
        if not path.exists():
            raise StudyError(f"{path}: no such study; 'hebbevo search --space SPACE' makes one")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise StudyError(f"{path}: is {what}; write the path of a study file")
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
        if magic != _SQLITE_MAGIC:
            raise StudyError(f"{path}: is not a study file; write the path of one that hebbevo made")
        # even a reader leaves journals beside a file, unless told that nobody has it open
        access = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{access}", uri=True, timeout=_BUSY_SECONDS)
        try:
            found = connection.execute(
                "SELECT 1 FROM study_user_attributes WHERE key = ? AND study_id ="
                " (SELECT min(study_id) FROM studies)",
                (_SPEC,),
            ).fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{path}: cannot be read as a study ({error}); write another path") from error
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); write another path") from error
    if not found:
        raise StudyError(f"{path}: is a database, but hebbevo did not make it; write another path")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ or error
        cause = getattr(cause, "orig", None) or cause
        raise StudyError(
            f"{path}: the study cannot be read or written ({str(cause).splitlines()[0]}); "
            "check disk space and permissions, then 'hebbevo resume'"
        ) from error


def _record(trial: FrozenTrial) -> Record:
    if not trial.state.is_finished():
        return Record(trial.number, trial.params, None)
    values = (trial.values[0], trial.values[1]) if trial.state is TrialState.COMPLETE else None
    return Record(trial.number, trial.params, Result(trial.number, values, trial.user_attrs))


def _stored(gene: Gene, value: Value) -> float:
    """The number that stands for a value in Optuna's table; Optuna itself would take 1 for True."""
    if isinstance(gene, ChoiceGene):
        return next(place for place, choice in enumerate(gene.choices) if same(choice, value))
    return float(value)


def _distribution(gene: Gene) -> BaseDistribution:
    if isinstance(gene, FloatGene):
        return FloatDistribution(gene.low, gene.high, log=gene.log)
    if isinstance(gene, IntGene):
        last = gene.high - (gene.high - gene.low) % gene.step  # Optuna warns of a high that no step reaches
        return IntDistribution(gene.low, last, log=gene.log, step=gene.step)
    return CategoricalDistribution(gene.choices)
