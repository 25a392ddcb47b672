"""The outer loop: ask for a generation, train it, record it, and report it to the sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from hebbevo import garbage, user_code
from hebbevo.data import Split
from hebbevo.errors import ReplayMismatch, SearchInterrupted, StudyError, StudyLost
from hebbevo.exclusive import PROCESS
from hebbevo.execution import prestart
from hebbevo.execution.config import ExecutorConfig
from hebbevo.objectives.goal import Goal
from hebbevo.outer.expected_time import ExpectedTime, longest_first
from hebbevo.outer.interruption import Interruption, on_interrupt
from hebbevo.outer.keeping import kept_networks
from hebbevo.outer.native_studies import check_native
from hebbevo.outer.notices import notices
from hebbevo.outer.packing import cohorts_per_generation, pack
from hebbevo.outer.progress import Progress, Tally, Watcher
from hebbevo.outer.training_inputs import early_stopper_of, recipe_of, split_of
from hebbevo.samplers import SAMPLERS, Outcome, Sampler
from hebbevo.samplers.replay import PastGeneration, replay
from hebbevo.space import Genome, canonical
from hebbevo.spec import duration
from hebbevo.spec.schema import Task
from hebbevo.study.attempts import FailedAttempt, Recovery
from hebbevo.study.copying import rescue
from hebbevo.study.facts import ENGINE, library_versions
from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.ledger import Generation, Ledger, Record, Result
from hebbevo.study.storage import Store, StudyFile
from hebbevo.study.view import Study

if TYPE_CHECKING:
    from hebbevo.execution import Cohort, Executor
    from hebbevo.training import Keeping, Measurement

_RECOVERIES = {
    Recovery.AGAIN: "trained again",
    Recovery.IN_HALVES: "trained again in halves",
    Recovery.FAILED: "recorded as failed",
}


@prestart.discard_unused()
def continue_study(
    store: Store,
    split: Split | None,
    *,
    trials: int | None,
    timeout: float | None,
    config: ExecutorConfig,
    watch: Watcher,
    moved: Task | None = None,
    lines: Sequence[str] = (),
) -> Study:
    """Lock a study, replay what is recorded, and search until it holds all its trials.

    Args:
        store: where the study is.
        split: its data, if they are loaded already.
        trials: total number of trials to reach; ``None`` keeps the recorded total.
        timeout: longest time to search in this call, in seconds.
        config: executor and workers.
        watch: called with the progress after every cohort.
        moved: where the data are now, if they have moved and ``split`` has proved to be the study's.
        lines: what to show first.

    Raises:
        UsageError: the study or its data cannot be used.
        ReplayMismatch: the study cannot be continued by this installation.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.
    """
    with store.locked(), Ledger.open(store) as ledger:
        if moved is not None:
            ledger.move_data(moved.dataset, moved.test)
        if ledger.facts.engine != ENGINE:
            what = "was begun by an earlier hebbevo, and only that one can continue it"
            raise StudyError(f"{store}: {what}; write another --study")
        check_native(ledger)
        recorded, confirmations = ledger.generations(), ledger.confirmations()
        recorded_total = recorded[-1].total if recorded else ledger.spec.search.trials
        total = recorded_total if trials is None else trials
        records = [record for generation in recorded for record in generation.records]
        if len(records) < total or any(record.result is None for record in records):
            config.prestart_worker(trains_in_threads=bool(ledger.facts.native))
            driver = Driver(ledger, total, timeout, config.trial_seconds, watch)
            driver.replay(recorded)
            if ledger.spec.search.keep == "front":
                ledger.prepare_weights()
                driver.kept = {each.member: each for each in ledger.kept_networks()}
            try:
                with (
                    garbage.collected_rarely(),
                    on_interrupt(driver.interruption),
                    closing(_start(config, ledger, split, driver.notify)) as executor,
                ):
                    driver.run(executor, [*lines, *notices(ledger, config)])
                ledger.check_still_there()
            except SearchInterrupted as interrupted:
                interrupted.study = Study(ledger)
                raise
            except StudyLost as lost:
                rescued = rescue(
                    store,
                    ledger.spec,
                    ledger.facts,
                    driver.generations,
                    confirmations,
                    [*driver.kept.values()],
                    driver.wall_seconds(),
                )
                what = f"all that this search knows is in {rescued}"
                raise StudyLost(f"{lost}; {what}: 'hebbevo resume {StudyFile(rescued).command}'") from lost
        return Study(ledger)


class Driver:
    """The search of one study: its sampler, replayed to the end of the record, and what is left to do.

    Args:
        ledger: the study, locked for this process.
        total: number of trials to reach.
        timeout: longest time that `run` may take, in seconds; ``None`` means any time.
        trial_seconds: longest time for one trial.
        watch: called with the progress after every cohort.

    Attributes:
        interruption: what Ctrl-C calls.
        kept: the kept networks of the front, by trial and epoch.
    """

    def __init__(
        self, ledger: Ledger, total: int, timeout: float | None, trial_seconds: float, watch: Watcher
    ) -> None:
        search = ledger.spec.search
        self._ledger = ledger
        self._total = total
        self._timeout = math.inf if timeout is None else timeout
        self._trial_seconds = trial_seconds
        self._watch = watch
        self._population = search.population
        self._replicates = search.replicates
        self._goal = ledger.spec.goal
        self._keeps = search.keep == "front"
        self.kept: dict[tuple[int, int], KeptNetwork] = {}
        self._sampler: Sampler = SAMPLERS[search.sampler](
            ledger.spec.space,
            search.seed,
            search.settings,
            self._goal.dimension,
            ledger.spec.starting_genomes,
            ledger.facts.sampling,
            search.trials,
        )
        self._records: dict[int, Record] = {}
        self._originals: dict[str, int] = {}  # from each genome to the first trial that has it
        self._generations: list[Generation] = []
        self._open: Generation | None = None  # the generation that has trials without results
        self._recorded_total = search.trials
        self._tally = Tally(ledger)
        self._made = self._began = monotonic()
        self._wall_before: float | None = 0.0  # of earlier searches
        self._fresh = 0
        self._shown: set[str] = set()  # kinds of notes and failures that the user has seen, one of each
        self.interruption = Interruption(self.notify)

    @property
    def finished(self) -> bool:
        """Whether no trial is left to ask for or to train."""
        return self._open is None and len(self._records) >= self._total

    @property
    def generations(self) -> list[Generation]:
        """All generations, with all results that are known, recorded or not."""
        return [
            replace(each, records=tuple(self._records[record.number] for record in each.records))
            for each in self._generations
        ]

    def replay(self, recorded: Sequence[Generation]) -> None:
        """Ask the sampler for the recorded generations and report their results to it, without training.

        Raises:
            ReplayMismatch: it asks for other genomes than the recorded ones.
            StudyError: a generation lacks results, although another one was asked after it.
        """
        for generation in recorded[:-1]:
            if missing := [record.number for record in generation.records if record.result is None]:
                what = f"is damaged (trial {missing[0]} has no result, though later ones were asked)"
                raise StudyError(f"{self._ledger.store}: {what}; use a copy of it")
        try:
            replay(self._sampler, self._population, map(self._past, recorded))
        except ReplayMismatch as mismatch:
            raise ReplayMismatch(
                f"{self._ledger.store}: {mismatch} ({self._changed_versions()}); "
                "continue with the versions that made the study"
            ) from None
        for generation in recorded:
            self._enter(generation)
        # in a study of an earlier version the time of its first trials is not known
        is_known = self._ledger.wall_seconds is not None or not self._tally.trials
        self._wall_before = (self._ledger.wall_seconds or 0.0) if is_known else None
        if recorded and all(record.result for record in recorded[-1].records):
            self._open = None

    def run(self, executor: Executor, notices: Sequence[str]) -> None:
        """Search until the total is reached, the time is over or the user interrupts.

        Args:
            executor: trains the cohorts.
            notices: lines to show first.

        Raises:
            SearchInterrupted: Ctrl-C, with trials left to do.
        """
        self._began = monotonic()
        for notice in notices or [""]:
            self.notify(notice)
        self.interruption.interrupt_executor = executor.interrupt
        while not self.finished and not self._is_stopping():
            self._train(self._open or self._ask(), executor)
            self._tell_if_complete()
        self._ledger.record_wall_time(self.wall_seconds())
        if self.finished:
            return
        done = f"{self._tally.trials} of {self._total} trials"
        if self.interruption.has_come:
            raise SearchInterrupted(f"stopped: {done} are recorded; continue with '{self._resume_command()}'")
        after = f"stopped after {duration.text(self._timeout)}"
        self.notify(f"{after}: {done}; continue with '{self._resume_command()}'")

    def wall_seconds(self) -> float | None:
        """How long all searches of the study took; ``None`` where that of earlier ones is not known."""
        return None if self._wall_before is None else self._wall_before + monotonic() - self._made

    def notify(self, notice: str) -> None:
        """Report the progress, with a line for the user or an empty one."""
        with PROCESS:  # code of the user may draw from generators that a thread has seeded for its weights
            self._watch(self.progress(notice))

    def progress(self, notice: str = "") -> Progress:
        """Where the search stands."""
        return Progress(
            trials=self._tally.trials,
            copies=self._tally.copies,
            stopped=self._tally.stopped,
            total=max(self._total, len(self._records)),
            generation=self._sampler.generation,
            front=len(self._tally.front),
            hypervolume=self._tally.hypervolume,
            fresh=self._fresh,
            seconds_left=max(0.0, self._timeout - self._elapsed()),
            notice=notice,
            failed=self._tally.failed,
            reached=self._tally.reached,
        )

    def _ask(self) -> Generation:
        """Ask the sampler for a generation and record it."""
        first = len(self._records)
        number = self._sampler.generation
        progress = min(1.0, max(first / self._total, self._elapsed() / self._timeout))
        genomes = self._sampler.ask(self._population, progress)[: self._total - first]
        records = self._ledger.open_generation(number, self._total, progress, genomes)
        generation = Generation(number, self._total, progress, tuple(records))
        self._enter(generation)
        return generation

    def _enter(self, generation: Generation) -> None:
        """Make a recorded generation the open one."""
        for record in generation.records:
            self._records[record.number] = record
            self._originals.setdefault(canonical(record.genome), record.number)
            if record.result:
                self._shown.update(note.partition(":")[0] for note in record.result.details.notes)
        self._tally.add([record.result for record in generation.records if record.result])
        self._generations.append(generation)
        self._open = generation
        self._recorded_total = generation.total

    def _train(self, generation: Generation, executor: Executor) -> None:
        """Train the trials of a generation that have no result, until the search stops."""
        from hebbevo.execution import dispatch_cohorts

        originals = {
            record.number: self._originals[canonical(record.genome)] for record in generation.records
        }
        copies = {number: original for number, original in originals.items() if number != original}
        self._close(
            [result for number in copies.values() if (result := self._records[number].result)], copies
        )
        trained = [record for record in generation.records if record.number not in copies]
        first = generation.records[0].number
        earlier = (record for number, record in self._records.items() if number < first)
        early_stopper = early_stopper_of(self._ledger, earlier)
        # packed before those with results are left out: the cohorts do not depend on where a search stopped
        cohorts = [
            cohort
            for cohort in pack(
                trained,
                self._replicates,
                self._ledger.facts.cohort_width,
                early_stopper,
                self._keeping(),
                self._ledger.spec.search.pruning_patience,
            )
            if any(self._records[number].result is None for number in cohort.trials)
        ]
        latest = (record for number, record in reversed(self._records.items()) if number < first)
        expected = ExpectedTime(self._ledger.spec.space, recipe_of(self._ledger), latest)
        results = dispatch_cohorts(
            executor,
            longest_first(cohorts, expected),
            trial_seconds=self._trial_seconds,
            may_start=lambda: not self._is_stopping(),
            must_stop=self.interruption.must_cancel,
            on_failure=self._record_failure,
            meanwhile=self._sampler.prepare if len(self._records) < self._total else None,
        )
        with closing(results):
            for cohort, measured in results:
                kept = kept_networks(cohort.trials, measured) if self._keeps else []
                self._close(self._scored(cohort, measured), copies, kept)

    def _keeping(self) -> Keeping | None:
        """What networks must reach from now on for their weights to be kept."""
        from hebbevo.training import Keeping

        if not self._keeps:
            return None
        front = tuple(tuple(point) for point in self._tally.front.tolist())
        return Keeping(front, self._goal, self._ledger.facts.chance, self._tally.best_loss)

    def _record_failure(self, attempt: FailedAttempt) -> None:
        """Record a failed attempt, and show the first of each kind."""
        trials = attempt.trials
        missing = [number for number in trials if self._records[number].result is None]
        for number in missing:
            record = self._records[number]
            self._records[number] = replace(record, attempts=(*record.attempts, attempt))
        self._ledger.add_attempt(missing, attempt)
        kind = f"{attempt.kind} {attempt.recovery}"
        if kind not in self._shown:
            self._shown.add(kind)
            which = f"trials {trials[0]} to {trials[-1]}" if len(trials) > 1 else f"trial {trials[0]}"
            self.notify(f"{which}: {attempt.reason} ({attempt.worker}); {_RECOVERIES[attempt.recovery]}")

    def _scored(self, cohort: Cohort, measured: list[Measurement]) -> list[Result]:
        from hebbevo.training import score

        scores = [
            score(measured[i : i + self._replicates]) for i in range(0, len(measured), self._replicates)
        ]
        return [
            Result(number, scored.values, scored.details)
            for number, scored in zip(cohort.trials, scores, strict=True)
        ]

    def _close(
        self, results: Sequence[Result], copies: Mapping[int, int], kept: Sequence[KeptNetwork] = ()
    ) -> None:
        """Record results and those of their copies. What is recorded already stays.

        Args:
            results: of trained trials.
            copies: from the number of each copy to that of its original.
            kept: networks of these trials that may be on the front.
        """
        known = {result.number: result for result in results}
        copied = [_copy(known[original], number) for number, original in copies.items() if original in known]
        new = [result for result in (*results, *copied) if self._records[result.number].result is None]
        if not new:
            return
        for result in new:
            self._records[result.number] = replace(self._records[result.number], result=result)
        self._tally.add(new)
        members = self._tally.members if self._keeps else None
        if members is not None:
            candidates = {each.member: each for each in kept} | self.kept
            self.kept = {member: each for member, each in candidates.items() if member in members}
        self._ledger.close_cohort(new, kept, members, self.wall_seconds())
        self._fresh += len(new)
        for result in new:
            for note in result.details.notes:
                kind = note.partition(":")[0]
                if kind not in self._shown:
                    self._shown.add(kind)
                    self.notify(f"trial {result.number}: {note}")
        self.notify("")

    def _tell_if_complete(self) -> None:
        """Report the open generation to the sampler if all its trials have results."""
        assert self._open is not None
        records = [self._records[record.number] for record in self._open.records]
        if outcomes := _outcomes(records, self._goal):
            self._sampler.tell(outcomes)
            self._open = None

    def _past(self, generation: Generation) -> PastGeneration:
        genomes = [record.genome for record in generation.records]
        return PastGeneration(generation.progress, genomes, _outcomes(generation.records, self._goal))

    def _elapsed(self) -> float:
        return monotonic() - self._began

    def _is_stopping(self) -> bool:
        return self.interruption.has_come or self._elapsed() >= self._timeout

    def _resume_command(self) -> str:
        command = f"hebbevo resume {self._ledger.store.command}"
        return command if self._recorded_total == self._total else f"{command} --trials {self._total}"

    def _changed_versions(self) -> str:
        then, now = self._ledger.facts.versions, library_versions()
        changed = [f"{name} {then[name]} -> {now[name]}" for name in then if then[name] != now.get(name)]
        return ", ".join(changed) or "with the same library versions"


def _copy(result: Result, number: int) -> Result:
    """The result of a trial that has the genome of an earlier one, and so is not trained."""
    return Result(number, result.values, replace(result.details, seconds=0.0, copy_of=result.number))


def _outcomes(records: Sequence[Record], goal: Goal) -> list[Outcome] | None:
    """The outcomes of a generation, or ``None`` while one of its trials has no result."""
    results = [record.result for record in records if record.result]
    if len(results) < len(records):
        return None
    return [_outcome(record.genome, result, goal) for record, result in zip(records, results, strict=True)]


def _outcome(genome: Genome, result: Result, goal: Goal) -> Outcome:
    values = result.values
    stopped = result.details.stopped
    if stopped and stopped.predicted_final:
        # other trials have reached better, or it has reached this itself: it never becomes the best unduly
        values = stopped.predicted_final
    if values is None:
        return Outcome(genome, None)
    return Outcome(genome, goal.losses(values), goal.violation(values))


def _start(
    config: ExecutorConfig, ledger: Ledger, split: Split | None, notify: Callable[[str], None]
) -> Executor:
    search, facts = ledger.spec.search, ledger.facts
    return config.start(
        recipe_of(ledger),
        (split or split_of(ledger)).without_test_rows(),
        device=facts.device,
        threads=facts.threads,
        max_workers=cohorts_per_generation(search.population, search.replicates, facts.cohort_width),
        notify=notify,
        modules=user_code.source_digests(ledger.spec.code),
    )
