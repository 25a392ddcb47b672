"""The record of a study, an ordinary Optuna study in a file or a database. Nothing else holds its results.

Optuna's public interface commits 15 times for an ask and once for every attribute. Here one transaction opens
a generation and one closes a cohort, through Optuna's own tables (docs/explanation/decisions/0001-ledger.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hebbevo.errors import HebbevoError, SpaceError, StudyError, StudyLost
from hebbevo.space import ChoiceGene, FloatGene, Gene, Genome, IntGene, same
from hebbevo.space.knobs import Value
from hebbevo.spec import Spec, spec_from_json
from hebbevo.study import checksums, validation
from hebbevo.study.attempts import FailedAttempt
from hebbevo.study.confirmation_record import ConfirmationRecord, Request, Training
from hebbevo.study.facts import StudyFacts
from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.storage import Store, StudyFile, confirmation_rows, trial_tables, weight_rows
from hebbevo.study.storage.study_tables import FACTS, SPEC, settings_checksum
from hebbevo.study.storage.trial_tables import TrialRow
from hebbevo.study.validation import RecordError, check, is_count
from hebbevo.training.trial_details import TrialDetails

GENERATION = "hebbevo:generation"
"""Key of the number of its generation among a trial's attributes; with that, of a generation's settings."""

_WALL_TIME = "hebbevo:wall_time"
_ATTEMPTS = "attempts"
MISREADINGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What is raised where a record is read that is not as hebbevo writes it."""

_CHANGED = "its checksum differs"
_LOST = "its checksum is missing"
_CONSTRAINTS = "constraints"  # Optuna's own: a list, which Optuna and its dashboard honour


@dataclass(frozen=True)
class Result:
    """The result of a trial that has ended.

    Attributes:
        number: of the trial.
        values: accuracy, survivors and further counts after the last epoch; ``None`` if the training failed
            or was stopped early.
        details: what else is recorded; ``details.stopped`` distinguishes the two.
    """

    number: int
    values: tuple[float, ...] | None
    details: TrialDetails


@dataclass(frozen=True)
class Record:
    """A recorded trial.

    Attributes:
        number: from 0, in the order of asking.
        genome: the genome that is trained.
        result: its result, or ``None`` while it is running.
        attempts: failed attempts to train it.
    """

    number: int
    genome: Genome
    result: Result | None
    attempts: tuple[FailedAttempt, ...] = ()


@dataclass(frozen=True)
class Generation:
    """A recorded generation.

    Attributes:
        number: from 0.
        total: number of trials that the search was to reach when the generation was asked.
        progress: part of the budget, 0 to 1, that was spent by then.
        records: its trials, in the order of asking.
    """

    number: int
    total: int
    progress: float
    records: tuple[Record, ...]


class Ledger:
    """The record of a study, open; made by `create` or `open`, and closed by ``with``.

    Attributes:
        store: where the study is.
        spec: its settings.
        facts: what else its results depend on.
        wall_seconds: how long its searches took, as far as they have written it; ``None`` in earlier studies.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        with self._reading():
            self._storage, self._study_id = store.open()
        try:
            with self._reading():
                attrs = self._storage.get_study_user_attrs(self._study_id)
                if attrs.get(checksums.KEY) not in (None, settings_checksum(attrs)):
                    raise RecordError(f"its settings or facts are not as recorded: {_CHANGED}")
                self.spec = spec_from_json(attrs[SPEC])
                self._spec_json = attrs[SPEC]
                check("facts", attrs[FACTS], validation.FACTS, ("versions", "neurons", "chance"))
                self.facts = StudyFacts.from_json(attrs[FACTS])
                validation.check_further(self.facts.further, self.spec.goal.further)
                self.wall_seconds = _wall_seconds(attrs)
        except BaseException:
            self._storage.engine.dispose()
            raise
        self._genes: dict[str, Gene] = {gene.name: gene for gene in self.spec.space.genes}
        self._distributions = {
            name: distribution_to_json(_distribution(gene)) for name, gene in self._genes.items()
        }
        self._ids: dict[int, int] = {}  # of trials, by their number, for which the table has no index

    @classmethod
    def create(cls, store: Store | Path, spec: Spec, facts: StudyFacts) -> Self:
        """Create a study, whole or not at all, unless it exists by now, and open it.

        Raises:
            StudyError: the store cannot be written.
        """
        store = _store(store)
        store.create(spec, facts)
        return cls.open(store)

    @classmethod
    def open(cls, store: Store | Path) -> Self:
        """Open a study that exists.

        Raises:
            StudyError: there is no such study, or it is not one of hebbevo.
        """
        store = _store(store)
        try:
            with store.study_errors():
                return cls(store)
        except SpaceError as error:
            raise StudyError(
                f"{store}: its settings cannot be read ({error}); open it with the hebbevo that made it"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.engine.dispose()

    def generations(self) -> list[Generation]:
        """Read every generation, in the order of asking, without trials that other programs have added."""
        with self.store.study_errors(), self._reading():
            before = self._storage.get_study_user_attrs(self._study_id)
            # trials before their generation's attribute, which is written together with them
            with self._storage.engine.connect() as connection:
                rows = trial_tables.read(connection, self._study_id, GENERATION, validation.DETAILS)
            attrs = self._storage.get_study_user_attrs(self._study_id)
            grouped: dict[int, list[TrialRow]] = {}
            for row in rows:
                grouped.setdefault(row.mark, []).append(row)
            found: list[Generation] = []
            asked = 0
            for number, (mark, own) in enumerate(sorted(grouped.items())):
                if type(mark) is not int or mark != number:
                    raise RecordError(f"generation {number} is missing")
                generation = self._generation(number, asked, attrs[f"{GENERATION}:{number}"], own)
                found.append(generation)
                asked += len(own)
            _require_checksums(attrs, found)
            _require_all(before, found)
            return found

    def confirmations(self) -> list[ConfirmationRecord]:
        """Read every confirmation of the front, in their order."""
        with self.store.study_errors(), self._reading():
            return confirmation_rows.read(self._storage.get_study_user_attrs(self._study_id))

    def open_confirmation(self, number: int, request: Request) -> None:
        """Record, in one transaction, what a confirmation is to find out."""
        self._add_attributes([confirmation_rows.request_row(number, request)])

    def add_trainings(self, number: int, trainings: Mapping[int, Training]) -> None:
        """Record, in one transaction, trainings of a confirmation.

        Args:
            number: of the confirmation.
            trainings: by their number.
        """
        self._add_attributes([*confirmation_rows.part_rows(number, trainings)])

    def close_confirmation(self, number: int, trainings: int) -> None:
        """Record, in one transaction, that a confirmation is complete, with so many trainings."""
        self._add_attributes([confirmation_rows.end_row(number, trainings)])

    def add_confirmations(self, records: Iterable[ConfirmationRecord]) -> None:
        """Record, in one transaction, confirmations of another study."""
        self._add_attributes([row for record in records for row in confirmation_rows.rows(record)])

    def _add_attributes(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add attributes of the study, given as key and JSON text. What is recorded already stays."""

        def write(session: Session) -> None:
            model = models.StudyUserAttributeModel
            of_study = session.query(model.key).filter(model.study_id == self._study_id)
            known = {key for (key,) in of_study.filter(model.key.in_([key for key, _ in rows]))}
            session.add_all(
                model(study_id=self._study_id, key=key, value_json=text)
                for key, text in rows
                if key not in known
            )

        self._write(write)

    def _generation(
        self, number: int, asked: int, settings: Mapping[str, Any], rows: Sequence[TrialRow]
    ) -> Generation:
        check(f"generation {number}", settings, validation.GENERATION, ("total",))
        total = settings["total"]
        progress = settings.get("progress", min(1.0, asked / total))  # the earliest studies did not record it
        if settings.get("size", len(rows)) != len(rows):
            raise RecordError(f"generation {number} has {len(rows)} of its {settings['size']} trials")
        genomes = sum(row.genome_hash for row in rows)
        if settings.get("checksum") not in (None, _generation_checksum(settings, genomes)):
            raise RecordError(f"generation {number} is not as recorded: {_CHANGED}")
        lost = [row.number for row in rows if row.state.is_finished() and checksums.KEY not in row.sums]
        if settings.get("checksum") is not None and lost:
            raise RecordError(f"the result of trial {lost[0]} is not as recorded: {_LOST}")
        return Generation(number, total, progress, tuple(map(self._record, rows)))

    def move_data(self, dataset: str, test: str | None) -> None:
        """Record, in one transaction, that the data of the study are at another place.

        Args:
            dataset: path of the data.
            test: path of the test rows, if they are in a file of their own.
        """
        plain = self.spec.to_json()
        plain["task"] |= {"dataset": dataset, "test": test}

        with self.store.study_errors():
            attributes = self._storage.get_study_user_attrs(self._study_id) | {SPEC: plain}
        changed = {SPEC: plain, checksums.KEY: settings_checksum(attributes)}

        def write(session: Session) -> None:
            rows = session.query(models.StudyUserAttributeModel)
            for key, value in changed.items():
                rows.filter_by(study_id=self._study_id, key=key).update({"value_json": json.dumps(value)})

        self._write(write)
        self.spec, self._spec_json = spec_from_json(plain), json.loads(json.dumps(plain))

    def open_generation(
        self, number: int, total: int, progress: float, genomes: Sequence[Genome]
    ) -> list[Record]:
        """Record, in one transaction, a generation of running trials, numbered in the order of asking.

        Args:
            number: of the generation, from 0.
            total: number of trials that the search is to reach.
            progress: part of the budget, 0 to 1, that is spent.
            genomes: the genomes that were asked for.
        """
        records: list[Record] = []

        def write(session: Session) -> None:
            first = session.query(models.TrialModel).filter_by(study_id=self._study_id).count()
            records[:] = [Record(first + index, genome, None) for index, genome in enumerate(genomes)]
            self._add_generation(session, Generation(number, total, progress, tuple(records)))

        self._write(write)
        return records

    def close_cohort(
        self,
        results: Sequence[Result],
        kept: Iterable[KeptNetwork] = (),
        front: Collection[tuple[int, int]] | None = None,
        wall_seconds: float | None = None,
    ) -> None:
        """Record, in one transaction, the results of running trials and whether they meet the constraints.

        Args:
            results: of the trials.
            kept: networks that may be on the front, with their weights.
            front: trial and epoch of each member of the front: only their networks are kept. ``None``, in a
                study that keeps none.
            wall_seconds: as for `record_wall_time`.
        """

        def write(session: Session) -> None:
            self._add_results(session, results)
            if front is not None:
                weight_rows.replace(session, self._study_id, front, kept)
            self._set_wall_time(session, wall_seconds)

        self._write(write)
        self.wall_seconds = self.wall_seconds if wall_seconds is None else wall_seconds

    def record_wall_time(self, wall_seconds: float | None) -> None:
        """Record, in one transaction, how long all searches took; ``None`` leaves it as it is."""
        self._write(lambda session: self._set_wall_time(session, wall_seconds))
        self.wall_seconds = self.wall_seconds if wall_seconds is None else wall_seconds

    def prepare_weights(self) -> None:
        """Make room for kept weights, where there is none yet."""
        with self.store.study_errors():
            weight_rows.make_table(self._storage.engine)

    def kept_networks(self, member: tuple[int, int] | None = None) -> list[KeptNetwork]:
        """Read the networks whose weights are kept, by trial and epoch.

        Args:
            member: trial and epoch of the only one to read; ``None`` reads all.
        """
        with self.store.study_errors(), self._reading(), self._storage.engine.connect() as connection:
            return weight_rows.read(connection, self._study_id, member)

    def add_kept_networks(self, kept: Sequence[KeptNetwork]) -> None:
        """Record, in one transaction, the kept networks of another study."""
        if not kept:
            return
        self.prepare_weights()
        members = {each.member for each in kept}
        self._write(lambda session: weight_rows.replace(session, self._study_id, members, kept))

    def add_attempt(self, numbers: Sequence[int], attempt: FailedAttempt) -> None:
        """Record, in one transaction, a failed attempt with these running trials of its cohort."""
        self._write(lambda session: self._add_attempts(session, numbers, [attempt]))

    def add_generations(self, generations: Iterable[Generation]) -> None:
        """Record, in one transaction, generations of another study with all that is known of them."""

        def write(session: Session) -> None:
            for generation in generations:
                self._add_generation(session, generation)
                for record in generation.records:
                    self._add_attempts(session, [record.number], record.attempts)
                self._add_results(session, [record.result for record in generation.records if record.result])

        self._write(write)

    def check_still_there(self) -> None:
        """Check that the study is still where it was opened, for a search that has written its last result.

        Raises:
            StudyLost: it is not.
        """
        self._write(lambda _: None)

    def _set_wall_time(self, session: Session, wall_seconds: float | None) -> None:
        if wall_seconds is None:
            return
        model = models.StudyUserAttributeModel
        row = session.query(model).filter_by(study_id=self._study_id, key=_WALL_TIME).one_or_none()
        row = row or model(study_id=self._study_id, key=_WALL_TIME)
        plain = {"seconds": round(wall_seconds, 3)}
        row.value_json = json.dumps({**plain, "checksum": _wall_checksum(plain)})
        session.add(row)

    def _add_generation(self, session: Session, generation: Generation) -> None:
        model = models.StudyUserAttributeModel
        keys = session.query(model).filter(
            model.study_id == self._study_id, model.key.startswith(f"{GENERATION}:")
        )
        if (known := keys.count()) != generation.number:
            raise StudyLost(f"{self.store}: has {known} generations now, and not {generation.number}")
        records = generation.records
        settings: dict[str, Any] = {
            "total": generation.total,
            "progress": generation.progress,
            "size": len(records),
        }
        genomes = sum(
            checksums.param_hash(record.number, name, _stored(self._genes[name], value))
            for record in records
            for name, value in record.genome.items()
        )
        settings["checksum"] = _generation_checksum(settings, genomes)
        session.add(
            models.StudyUserAttributeModel(
                study_id=self._study_id,
                key=f"{GENERATION}:{generation.number}",
                value_json=json.dumps(settings),
            )
        )
        ids = trial_tables.begin(session, self._study_id, [record.number for record in records])
        self._ids |= ids  # a transaction that fails may be repeated, and then gives them other ids
        mark = {"key": GENERATION, "value_json": json.dumps(generation.number)}
        marks = [{"trial_id": trial_id, **mark} for trial_id in ids.values()]
        trial_tables.add(session, models.TrialSystemAttributeModel, marks)
        params = [row for record in records for row in self._params(ids[record.number], record.genome)]
        trial_tables.add(session, models.TrialParamModel, params)

    def _add_results(self, session: Session, results: Sequence[Result]) -> None:
        goal = self.spec.goal
        ids = self._trial_ids(session, [result.number for result in results])
        if not trial_tables.end(session, {ids[result.number]: _state(result) for result in results}):
            raise StudyLost(f"{self.store}: its running trials are no longer those of this search")
        values, attributes, details = [], [], []
        for result in results:
            trial = {"trial_id": ids[result.number]}
            hashes = [checksums.state_hash(result.number, _state(result).name)]
            for objective, value in enumerate(result.values or ()):
                stored, kind = models.TrialValueModel.value_to_stored_repr(value)
                hashes.append(checksums.value_hash(result.number, objective, value))
                values.append({**trial, "objective": objective, "value": stored, "value_type": kind})
            if result.values is not None and goal.constraints:
                violations = json.dumps(list(goal.violations(result.values).values()))
                attributes.append({**trial, "key": _CONSTRAINTS, "value_json": violations})
            for key, detail in result.details.to_json().items():
                text = json.dumps(detail)
                hashes.append(checksums.detail_hash(result.number, key, text))
                details.append({**trial, "key": key, "value_json": text})
            total = json.dumps(checksums.checksum(hashes))
            attributes.append({**trial, "key": checksums.KEY, "value_json": total})
        trial_tables.add(session, models.TrialValueModel, values)
        trial_tables.add(session, models.TrialSystemAttributeModel, attributes)
        trial_tables.add(session, models.TrialUserAttributeModel, details)

    def _add_attempts(
        self, session: Session, numbers: Sequence[int], attempts: Sequence[FailedAttempt]
    ) -> None:
        if not attempts:
            return
        ids = self._trial_ids(session, numbers)
        own, sums = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
        known = _rows(session, own, ids.values(), _ATTEMPTS)
        known_sums = _rows(session, sums, ids.values(), checksums.ATTEMPTS)
        added = [attempt.to_json() for attempt in attempts]
        for number, trial_id in ids.items():
            row = known.get(trial_id) or own(trial_id=trial_id, key=_ATTEMPTS, value_json="[]")
            row.value_json = json.dumps([*json.loads(row.value_json), *added])
            total = known_sums.get(trial_id) or sums(trial_id=trial_id, key=checksums.ATTEMPTS)
            hashed = checksums.detail_hash(number, _ATTEMPTS, row.value_json)
            total.value_json = json.dumps(checksums.checksum([hashed]))
            session.add_all([row, total])

    def _write(self, work: Callable[[Session], None]) -> None:
        def checked(session: Session) -> None:
            model = models.StudyUserAttributeModel
            found = session.query(model.value_json).filter_by(study_id=self._study_id, key=SPEC).scalar()
            if found is None or json.loads(found) != self._spec_json:
                raise StudyLost(f"{self.store}: now holds another study than this search has opened")
            work(session)

        with self.store.study_errors():
            self.store.write(self._storage.engine, self._study_id, checked)

    def _trial_ids(self, session: Session, numbers: Sequence[int]) -> dict[int, int]:
        model = models.TrialModel
        if unknown := [number for number in numbers if number not in self._ids]:
            of_study = session.query(model.number, model.trial_id).filter(model.study_id == self._study_id)
            self._ids.update(tuple(row) for row in of_study.filter(model.number.in_(unknown)))
        return {number: self._ids[number] for number in numbers}

    def _params(self, trial_id: int, genome: Genome) -> Iterator[dict[str, Any]]:
        for name, value in genome.items():
            yield {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": _stored(self._genes[name], value),
                "distribution_json": self._distributions[name],
            }

    def _record(self, row: TrialRow) -> Record:
        genome = {name: self._value(row.number, name, stored) for name, stored in row.params.items()}
        if not self.spec.space.contains(genome):
            raise RecordError(f"trial {row.number} has a genome that is none of this space")
        attempts = row.user_attrs.get(_ATTEMPTS, [])
        if not isinstance(attempts, list):
            raise RecordError(f"trial {row.number}: its attempts are no list")
        for attempt in attempts:
            check(f"trial {row.number}: an attempt", attempt, validation.ATTEMPT, validation.ATTEMPT)
        attempted = tuple(map(FailedAttempt.from_json, attempts))
        if not row.state.is_finished():
            return Record(row.number, genome, None, attempted)
        if checksums.KEY in row.sums and row.sums[checksums.KEY] != checksums.checksum([row.result_hash]):
            raise RecordError(f"the result of trial {row.number} is not as recorded: {_CHANGED}")
        if checksums.ATTEMPTS in row.sums and row.sums[checksums.ATTEMPTS] != checksums.checksum(
            [row.other_hash.get(_ATTEMPTS, 0)]
        ):
            raise RecordError(f"the failed attempts of trial {row.number} are not as recorded: {_CHANGED}")
        further = self.spec.goal.further
        validation.check_details(row.number, row.user_attrs, further)
        values = None
        if row.state is TrialState.COMPLETE:
            validation.check_values(row.number, row.values, 2 + len(further))
            values = tuple(row.values[place] for place in range(2 + len(further)))
        result = Result(row.number, values, TrialDetails.from_json(row.user_attrs))
        return Record(row.number, genome, result, attempted)

    def _value(self, number: int, name: str, stored: float) -> Value:
        """The value for which a number in Optuna's table stands."""
        gene = self._genes.get(name)
        if gene is None:
            raise RecordError(f"trial {number} has a gene {name!r}, which the space lacks")
        if isinstance(gene, FloatGene):
            return stored
        if type(stored) is not float or not stored.is_integer():
            raise RecordError(f"trial {number}: gene {name} is not a whole number")
        if isinstance(gene, IntGene):
            return int(stored)
        if not 0 <= stored < len(gene.choices):
            raise RecordError(f"trial {number}: gene {name} is none of its choices")
        choice = gene.choices[int(stored)]
        return list(choice) if isinstance(choice, list) else choice

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise `StudyError` where the record is not what hebbevo writes: no other code has to expect it."""
        try:
            yield
        except (HebbevoError, SQLAlchemyError):
            raise
        except MISREADINGS as error:
            raise StudyError(
                f"{self.store}: is damaged, or not made by this hebbevo ({validation.described(error)}); "
                "use a copy of it"
            ) from error


def _wall_seconds(attributes: Mapping[str, Any]) -> float | None:
    """How long all searches took, from the attributes of a study; ``None`` where it was not recorded."""
    plain = attributes.get(_WALL_TIME)
    if plain is None:
        return None
    check("wall time", plain, validation.WALL_TIME, ("seconds", "checksum"))
    if plain["checksum"] != _wall_checksum({"seconds": plain["seconds"]}):
        raise RecordError(f"its wall time is not as recorded: {_CHANGED}")
    return float(plain["seconds"])


def _wall_checksum(plain: Mapping[str, float]) -> str:
    return checksums.checksum([checksums.row_hash(_WALL_TIME, json.dumps(plain))])


def _store(store: Store | Path) -> Store:
    return StudyFile(store) if isinstance(store, Path) else store


def _require_checksums(attributes: Mapping[str, Any], generations: Sequence[Generation]) -> None:
    """Check that the study and all of its generations have checksums, or that none has."""
    sums = [attributes[f"{GENERATION}:{each.number}"].get("checksum") for each in generations]
    if attributes.get(checksums.KEY) is None and sums and sums[0] is not None:
        raise RecordError(f"its settings or facts are not as recorded: {_LOST}")
    if attributes.get(checksums.KEY) is not None and None in sums:
        raise RecordError(f"generation {sums.index(None)} is not as recorded: {_LOST}")


def _require_all(attributes: Mapping[str, Any], generations: Sequence[Generation]) -> None:
    """Check that the trials are numbered, and that none is missing to which others or attributes refer."""
    records = [record for generation in generations for record in generation.records]
    numbers = [record.number for record in records]
    if any(not is_count(number) for number in numbers) or sorted(set(numbers)) != numbers:
        raise RecordError("trials are not numbered in the order of asking")
    copied = (record.result.details.copy_of for record in records if record.result)
    if missing := {number for number in copied if number is not None}.difference(numbers):
        raise RecordError(f"trial {min(missing)}, which has copies, is missing")
    found = {f"{GENERATION}:{generation.number}" for generation in generations}
    for name, settings in attributes.items():
        if name.startswith(f"{GENERATION}:") and settings.get("size") and name not in found:
            raise RecordError(f"the trials of {name.removeprefix('hebbevo:')} are missing")


def _rows(session: Session, model: Any, ids: Iterable[int], key: str) -> dict[int, Any]:
    """The attributes of trials with one key, by the id of the trial."""
    rows = session.query(model).filter(model.trial_id.in_([*ids]), model.key == key)
    return {row.trial_id: row for row in rows}


def _state(result: Result) -> TrialState:
    if result.values is not None:
        return TrialState.COMPLETE
    return TrialState.PRUNED if result.details.stopped else TrialState.FAIL


def _stored(gene: Gene, value: Value) -> float:
    """The number that stands for a value in Optuna's table. Optuna itself would confuse 1 with ``True``."""
    if isinstance(gene, ChoiceGene):
        return next(place for place, choice in enumerate(gene.choices) if same(choice, value))
    assert not isinstance(value, list)
    return float(value)


def _generation_checksum(settings: Mapping[str, Any], genomes: int) -> str:
    own = [checksums.row_hash(name, settings.get(name)) for name in ("total", "progress", "size")]
    return checksums.checksum([*own, genomes])


def _distribution(gene: Gene) -> BaseDistribution:
    if isinstance(gene, FloatGene):
        if gene.step is not None:
            return FloatDistribution(gene.low, gene.on_step(gene.count - 1), step=gene.step)
        if gene.zero:  # a logarithmic range of Optuna cannot hold it
            return FloatDistribution(0.0, gene.high)
        return FloatDistribution(gene.low, gene.high, log=gene.log)
    if isinstance(gene, IntGene):
        last = gene.high - (gene.high - gene.low) % gene.step  # Optuna warns of a high that no step reaches
        return IntDistribution(gene.low, last, log=gene.log, step=gene.step)
    # Optuna has no lists; only the place of a choice is ever read again
    return CategoricalDistribution([str(each) if isinstance(each, list) else each for each in gene.choices])
