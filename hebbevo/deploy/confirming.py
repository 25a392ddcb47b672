"""The front of a study trained again under fresh seeds, beside dense controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral
from typing import TYPE_CHECKING, TypeVar, Unpack

from hebbevo import garbage, user_code
from hebbevo.deploy import controls
from hebbevo.deploy.confirmation_plan import NEIGHBOURS, ConfirmationPlan, Step
from hebbevo.display.progress_bar import ProgressBar, watched
from hebbevo.errors import SearchInterrupted, StudyError, StudyLost, UsageError
from hebbevo.exclusive import PROCESS
from hebbevo.execution.config import ExecutorConfig, ExecutorOptions
from hebbevo.messages import listed
from hebbevo.outer.interruption import Interruption, on_interrupt
from hebbevo.outer.native_studies import check_native
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.signatures import argument_meanings, names_options
from hebbevo.spec import duration
from hebbevo.study.attempts import FailedAttempt
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Request, Training
from hebbevo.study.copying import rescue
from hebbevo.study.facts import ENGINE
from hebbevo.study.ledger import Ledger, Record
from hebbevo.study.storage import StudyFile
from hebbevo.study.storage.process_identity import utc_time
from hebbevo.study.view import Study

if TYPE_CHECKING:
    from hebbevo.execution import Executor
    from hebbevo.training import Recipe

AnyStudy = TypeVar("AnyStudy", bound=Study)

REPLICATES = 5
"""Trainings of each member, unless the user names another number."""

_DENSE_SHARE = 0.75  # time of a small dense training in a pool, of that of a member in its cohort


@dataclass(frozen=True)
class ConfirmationProgress:
    """Where a confirmation stands. It is reported after every cohort.

    Attributes:
        done: number of trainings that are recorded.
        total: number of trainings; an estimate until the members are trained.
        fresh: number of trainings since this process began.
        notice: a line for the user, or empty.
    """

    done: int
    total: int
    fresh: int
    notice: str = ""

    @property
    def noun(self) -> str:
        """What a progress bar counts."""
        return "networks"

    @property
    def counts(self) -> list[str]:
        """What stands beside a progress bar: nothing."""
        return []

    @property
    def seconds_left(self) -> float:
        """A confirmation has no timeout."""
        return math.inf


@names_options(ExecutorOptions, argument_meanings(ExecutorConfig))
@user_code.interruptible()
def confirm(
    study: AnyStudy,
    *,
    replicates: int = REPLICATES,
    trials: Sequence[int] = (),
    test: bool = True,
    watch: Callable[[ConfirmationProgress], None] | ProgressBar | None = ProgressBar(),  # noqa: B008 - has no state
    allow_code: bool | Callable[[list[str]], bool] = False,
    **executor_options: Unpack[ExecutorOptions],
) -> AnyStudy:
    """Train the members of a study's front again under fresh seeds, beside dense networks of their widths.

    Everything is recorded in the study as it is finished. Called again with the same arguments, it goes on
    where it was stopped, or only reads what is recorded. docs/explanation/confirmation.md says what the
    numbers mean.

    Args:
        study: the study.
        replicates: trainings of each member, 2 or more.
        trials: numbers of the trials on the front to confirm; by default all.
        test: whether to measure accuracy on the test rows. Without, half of the validation rows decide how
            members compare with dense networks.
        watch: as for `hebbevo.search`; a function is called with a `ConfirmationProgress`.
        allow_code: whether to import the user's own code (network, data, functions) that the study names, or
            a function that decides it from the names.
        executor_options: how to train. Results do not depend on it. ``None`` means the default.

    Returns:
        The study; its ``confirmation`` is the one that was asked for.

    Raises:
        UsageError: the study, its data or an argument cannot be used, or its code is not allowed.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="sure.db", population=4, trials=4, epochs=1, workers=1)
        >>> study = hebbevo.confirm(study, replicates=2, trials=study.front().trial[:1], workers=1)
        >>> study.confirmation.verdict_rows
        '269 test rows'
    """
    if not isinstance(study, Study):
        what = f"study: {study!r} is of type {type(study).__name__}"
        raise StudyError(f"{what}; open it first, with hebbevo.open_study")
    if isinstance(replicates, bool) or not isinstance(replicates, Integral):
        raise UsageError(f"--replicates: {replicates!r} is not a whole number; write one of 2 or more")
    if replicates < 2:
        raise UsageError(f"--replicates: {replicates} is too small; write a whole number of 2 or more")
    config = ExecutorConfig(**executor_options)
    store = study.store
    with watched(watch) as show, store.locked(), Ledger.open(store) as ledger:
        if ledger.facts.engine != ENGINE:
            what = "was begun by an earlier hebbevo, and only that one can train its networks again"
            raise StudyError(f"{store}: {what}; write another study")
        check_native(ledger)
        if not user_code.is_allowed(code := ledger.spec.code, allow_code):
            what = f"runs your own code ({', '.join(code)})"
            advice = "if you trust the study, add --allow-code, or in Python allow_code=True"
            raise StudyError(f"{store}: {what}; {advice}")
        user_code.refresh(code)
        generations, confirmations = ledger.generations(), ledger.confirmations()
        records = {record.number: record for each in generations for record in each.records}
        recipe = recipe_of(ledger)
        request = _request(ledger, Study(ledger), records, recipe, replicates, trials, test)
        record = _recorded(confirmations, request)
        if record is None:
            record = ConfirmationRecord(len(confirmations), request, {}, False)
        if not record.is_complete:
            config.prestart_worker(trains_in_threads=bool(ledger.facts.native))
            run = _Run(ledger, record, records, recipe, config, show, confirmations)
            try:
                with garbage.collected_rarely(), on_interrupt(run.interruption):
                    run.finish()
                ledger.check_still_there()
            except StudyLost as lost:
                kept = rescue(
                    store, ledger.spec, ledger.facts, generations, run.confirmations, ledger.wall_seconds
                )
                what = f"all that this run knows is in {kept}"
                raise StudyLost(f"{lost}; {what}: 'hebbevo confirm {StudyFile(kept).command}'") from lost
        found = type(study)(ledger)
        found.confirmation = found.confirmations[record.number]
        return found


def _request(
    ledger: Ledger,
    study: Study,
    records: dict[int, Record],
    recipe: Recipe,
    replicates: int,
    trials: Sequence[int],
    test: bool,
) -> Request:
    """What is to be confirmed.

    Raises:
        UsageError: nothing is on the front, or a trial is not.
    """
    front = study.front()
    known = [*dict.fromkeys(int(trial) for trial in front.trial)]
    if not known:
        raise UsageError(f"{study.store}: there is no network on the front that could be confirmed")
    if unknown := [trial for trial in trials if trial not in known]:
        what = f"trial {unknown[0]} is not on the front of {study.store}"
        raise UsageError(f"--trial: {what}; write one of {listed(sorted(known))}")
    no_control = controls.why_none(ledger.spec)
    chosen = front[front.trial.isin(list(trials))] if len(trials) else front
    members = tuple(
        Member(
            trial=int(row["trial"]),
            epoch=int(row["epoch"]),
            accuracy=float(row["accuracy"]),
            survivors=float(row["survivors"]),
            neurons=int(row["neurons"]),
            further={name: float(row[name]) for name in study.further},
            settle=0.0 if no_control else _settle(recipe, records[int(row["trial"])]),
        )
        for row in chosen.to_dict("records")
    )
    return Request(
        members=members,
        replicates=replicates,
        has_test=test,
        trials=sum(record.result is not None for record in records.values()),
        date=utc_time(datetime.now(UTC)),
        no_control=no_control,
        neighbours=NEIGHBOURS,
    )


def _settle(recipe: Recipe, record: Record) -> float:
    """The longest settling phase of a trial's network, which its learning rate has."""
    from hebbevo.nn.plastic import longest_settling

    net = recipe.network.build(recipe.settings_for(record.genome), 0)
    return round(float(longest_settling(net)), 6)  # of a float32 tensor


def _recorded(confirmations: Sequence[ConfirmationRecord], request: Request) -> ConfirmationRecord | None:
    """The newest confirmation that was asked for the same, or ``None``."""
    return next((each for each in reversed(confirmations) if each.request.asks_the_same(request)), None)


class _Run:
    """A confirmation that is being trained."""

    def __init__(
        self,
        ledger: Ledger,
        record: ConfirmationRecord,
        records: dict[int, Record],
        recipe: Recipe,
        config: ExecutorConfig,
        watch: Callable[[ConfirmationProgress], None],
        confirmations: Sequence[ConfirmationRecord],
    ) -> None:
        request = record.request
        genomes = {member.trial: records[member.trial].genome for member in request.members}
        self.interruption = Interruption(self._notify)
        self._ledger = ledger
        self._record = record
        self._recipe = recipe
        self._config = config
        self._watch = watch
        self._others = [each for each in confirmations if each.number != record.number]
        self._known = dict(record.trainings)
        self._is_new = record.number == len(confirmations)
        self._is_complete = False
        self._fresh = 0
        self._shown: set[str] = set()
        rows = ledger.facts.rows["train"]
        self._plan = ConfirmationPlan(request, genomes, recipe, rows, ledger.facts.cohort_width)
        courses = {
            (member.trial, member.epoch): _course(records[member.trial], member.epoch)
            for member in request.members
        }
        self._total = self._plan.expected(courses)
        self._seconds = _seconds(records, [member.trial for member in request.members], ledger)

    @property
    def confirmations(self) -> list[ConfirmationRecord]:
        """All confirmations of the study, with all that is known of this one, recorded or not."""
        own = ConfirmationRecord(
            self._record.number, self._record.request, dict(self._known), self._is_complete
        )
        return sorted([*self._others, own], key=lambda each: each.number)

    def finish(self) -> None:
        """Train what is missing.

        Raises:
            SearchInterrupted: Ctrl-C.
        """
        request, facts = self._record.request, self._ledger.facts
        split = split_of(self._ledger)
        for notice in self._notices():
            self._notify(notice)
        if self._is_new:
            self._ledger.open_confirmation(self._record.number, request)
        executor: Executor = self._config.start(
            self._recipe,
            split if request.has_test else split.without_test_rows(),
            device=facts.device,
            threads=facts.threads,
            max_workers=request.replicates * max(1, len(request.members)),
            notify=self._notify,
            modules=user_code.source_digests(self._ledger.spec.code),
        )
        with closing(executor):
            self.interruption.interrupt_executor = executor.interrupt
            count = 0
            for stage in self._plan.stages(self._known):
                count += sum(len(step.trainings) for step in stage)
                self._total = max(self._total, count)
                self._train(stage, executor)
                if self.interruption.has_come:
                    raise SearchInterrupted(self._stopped())
        self._ledger.close_confirmation(self._record.number, count)
        self._is_complete = True
        self._total = count
        self._notify("")

    def _train(self, stage: Sequence[Step], executor: Executor) -> None:
        """Train the cohorts of a stage that have no results."""
        from hebbevo.execution import dispatch_cohorts

        templates = {
            number: training
            for step in stage
            for number, training in zip(step.cohort.trials, step.trainings, strict=True)
        }
        missing = [step.cohort for step in stage if not set(step.cohort.trials) <= set(self._known)]
        results = dispatch_cohorts(
            executor,
            missing,
            trial_seconds=self._config.trial_seconds,
            may_start=lambda: not self.interruption.has_come,
            must_stop=self.interruption.must_cancel,
            on_failure=self._show_failure,
        )
        with closing(results):
            for cohort, measured in results:
                found = {
                    number: self._plan.measured(templates[number], measurement)
                    for number, measurement in zip(cohort.trials, measured, strict=True)
                    if number not in self._known  # what is recorded stays
                }
                self._known |= found
                self._ledger.add_trainings(self._record.number, found)
                self._fresh += len(found)
                self._notify(self._new_failure(found.values()))

    def _new_failure(self, trainings: Iterable[Training]) -> str:
        """A line for the first training that failed for a reason; else empty."""
        for each in trainings:
            if each.failure is not None and each.failure not in self._shown:
                self._shown.add(each.failure)
                return f"trial {each.trial}, replicate {each.replicate} ({each.role}): {each.failure}"
        return ""

    def _show_failure(self, attempt: FailedAttempt) -> None:
        """Show the first of each kind of failed attempts."""
        kind = f"{attempt.kind} {attempt.recovery}"
        if kind not in self._shown:
            self._shown.add(kind)
            self._notify(f"{attempt.reason} ({attempt.worker}); recovery: {attempt.recovery}")

    def _notify(self, notice: str) -> None:
        total = max(self._total, len(self._known))
        with PROCESS:  # code of the user may draw from generators that a thread has seeded for its weights
            self._watch(ConfirmationProgress(len(self._known), total, self._fresh, notice))

    def _notices(self) -> list[str]:
        """What the user should know beforehand: how much is trained, for how long, on which rows."""
        request, facts = self._record.request, self._ledger.facts
        members = len(request.members)
        own = members * request.replicates
        workers = min(self._config.workers_at_hand(facts.device, facts.threads), request.replicates)
        seconds = self._seconds * (own + _DENSE_SHARE * (self._total - own)) / workers
        left = max(0.0, 1 - len(self._known) / self._total)
        what = f"{members} members of the front" if members > 1 else "one member of the front"
        goes_on = f", of which {len(self._known)} are recorded" if self._known else ""
        found = [
            f"confirms {what} with {request.replicates} replicates: about {self._total} networks{goes_on}; "
            f"about {duration.text(max(1.0, round(left * seconds)))} by the times of the search"
        ]
        if request.no_control:
            found.append(f"without a dense control: {request.no_control}")
        seen = [each.request.date for each in self._others if each.request.has_test]
        if seen and request.has_test:
            why = "what was changed since then may have been chosen by them"
            found.append(f"the test rows were looked at on {min(seen)} already: {why}")
        return found

    def _stopped(self) -> str:
        request = self._record.request
        options = [] if request.replicates == REPLICATES else [f"--replicates {request.replicates}"]
        front = {member.trial for member in request.members}
        if len(request.members) < len(Study(self._ledger).front()):
            options += [f"--trial {trial}" for trial in sorted(front)]
        options += [] if request.has_test else ["--no-test"]
        command = " ".join(["hebbevo confirm", self._ledger.store.command, *options])
        done = f"{len(self._known)} of about {self._total} trainings"
        return f"stopped: {done} are recorded; continue with '{command}'"


def _course(record: Record, epoch: int) -> Sequence[float]:
    """The survivors after each epoch up to this one, as recorded."""
    assert record.result is not None
    return [*record.result.details.survivors_per_epoch][:epoch] or [1.0]


def _seconds(records: dict[int, Record], trials: Sequence[int], ledger: Ledger) -> float:
    """Wall time of one training, as the search has recorded it for these trials."""
    found = []
    for trial in trials:
        result = records[trial].result
        if result and result.details.copy_of is not None:
            result = records[result.details.copy_of].result
        if result:
            found.append(result.details.seconds / ledger.spec.search.replicates)
    return sum(found) / max(1, len(found))
