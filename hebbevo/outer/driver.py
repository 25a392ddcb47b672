"""The outer loop: ask a generation, train it, tell it, and keep the record."""

from __future__ import annotations

import math
import platform
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from hebbevo import data, user_code
from hebbevo.data import Split
from hebbevo.errors import ReplayMismatch, SearchInterrupted, StudyError
from hebbevo.execution import prestart
from hebbevo.execution.config import ExecutorConfig, ExecutorOptions
from hebbevo.objectives import pareto
from hebbevo.objectives.goal import Goal
from hebbevo.outer import preflight
from hebbevo.samplers import SAMPLERS, Outcome, Sampler
from hebbevo.space.genes import canonical
from hebbevo.spec import duration, schema
from hebbevo.spec.schema import Spec
from hebbevo.study.attempts import FailedAttempt, Recovery
from hebbevo.study.epoch_results import points
from hebbevo.study.ledger import COPY, STOPPED, Generation, Ledger, Record, Result
from hebbevo.study.storage import Store, find_store
from hebbevo.study.storage.store import STUDIES
from hebbevo.study.view import Study

if TYPE_CHECKING:
    from hebbevo.execution import Cohort, Executor
    from hebbevo.training import EarlyStopper, Measurement, Recipe

_THEN = {
    Recovery.AGAIN: "trained again",
    Recovery.IN_HALVES: "trained again in halves",
    Recovery.FAILED: "recorded as failed",
}
_ENGINE = 3  # by which trainings come out the same; another does not continue a study
_LIBRARIES = ("hebbevo", "torch", "numpy", "optuna", "deap", "scikit-learn")


@dataclass(frozen=True)
class Progress:
    """Where a search stands, reported after every cohort.

    Attributes:
        trials: finished so far, failed ones and copies among them.
        copies: trials that took the score of an earlier one with the same genome.
        stopped: trials that were stopped early.
        total: trials to reach.
        generation: the present one, 0 is the first.
        front: number of points on the front.
        hypervolume: see `Study.hypervolume`.
        fresh: trials finished since this process started.
        seconds_left: until the timeout; infinite without one.
        notice: something to tell the user, or empty.
    """

    trials: int
    copies: int
    stopped: int
    total: int
    generation: int
    front: int
    hypervolume: float
    fresh: int
    seconds_left: float
    notice: str = ""


Watcher = Callable[[Progress], None]


@prestart.none_left()
def search(
    space: str | Path | Spec,
    *,
    study: str | Path | None = None,
    storage: str | None = None,
    trials: int | None = None,
    timeout: float | str | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    population: int | None = None,
    replicates: int | None = None,
    epochs: int | None = None,
    dataset: str | None = None,
    target: str | None = None,
    halving: bool | None = None,
    precision: str | None = None,
    watch: Watcher = lambda _: None,
    **pool: Unpack[ExecutorOptions],
) -> Study:
    """Search a space until its study holds ``trials`` trials; a study that exists is continued.

    When time is over, what is under way is finished, and the study is returned as far as it came.

    Args:
        space: path of a space file, bare name of a shipped one, or a `Spec`.
        study: the study file, by default ``studies/<name>.db``; with ``storage`` the study's name there, by
            default the space's.
        storage: URL of a database for the study, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.
        trials: total number of trials. This and the following override the space file; ``None`` keeps it.
        timeout: longest time to search in this call, in seconds or as ``1h30m``; the study does not keep it.
        seed: of the search and everything in it.
        sampler: name of the searcher.
        population: size of a generation.
        replicates: trainings a genome, each from its own seed.
        epochs: length of a training.
        dataset: built-in name, or path of an .npz, .csv or .parquet file.
        target: label column of a .csv or .parquet file.
        halving: whether trainings that promise little are stopped early.
        precision: of matrix products, ``float32`` or ``bfloat16``.
        watch: called with the progress after every cohort.
        pool: who trains, and with what, as for `hebbevo.execution.config.ExecutorConfig`: ``workers=4``, ``executor="ray"``. The
            study does not depend on it, but for the device that a new one is fixed to.

    Raises:
        UsageError: the space, the data or the study cannot be used.
        ReplayMismatch: the study cannot be continued by this installation.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.
    """
    workers = ExecutorConfig(**pool)
    workers.warm_up()
    spec = (space if isinstance(space, Spec) else schema.read(space)).override(
        trials=trials,
        seed=seed,
        sampler=sampler,
        population=population,
        replicates=replicates,
        epochs=epochs,
        dataset=dataset,
        target=target,
        halving=halving,
        precision=precision,
    )
    budget = spec.override(timeout=timeout).search
    if spec.task.dataset not in (*data.BUILT_IN, *spec.code):
        spec = spec.override(dataset=str(Path(spec.task.dataset).resolve()))
    if study is None:
        study = spec.name if storage is not None else STUDIES / f"{spec.name}.db"
    store = find_store(study, storage)
    split = None
    if not store.exists():
        split, facts = _prepare(spec, workers.device)
        store.create(spec, facts)
    with Ledger.open(store) as book:
        if changes := schema.difference(book.spec, spec):
            raise StudyError(
                f"{store}: was made with other settings ({'; '.join(changes)}); "
                "change them back, or write another --study"
            )
    return _continue(store, split, trials=budget.trials, timeout=budget.timeout, workers=workers, watch=watch)


def resume(
    study: str | Path,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: float | str | None = None,
    watch: Watcher = lambda _: None,
    allow_code: Callable[[list[str]], bool] = lambda _: False,
    **pool: Unpack[ExecutorOptions],
) -> Study:
    """Continue a study to its total of trials, or to ``trials``; needs only the record and the data.

    ``storage``, ``timeout``, ``watch`` and ``pool`` are as for `search`. A study of the user's own network,
    data or functions names code, and imports it only if ``allow_code``, given these names, agrees.

    Raises:
        UsageError: the study or its data cannot be used, or its code is not allowed.
        ReplayMismatch: the study cannot be continued by this installation.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.
    """
    workers = ExecutorConfig(**pool)
    store = find_store(study, storage)
    with Ledger.open(store) as book:
        code = book.spec.code
        if code and not allow_code(code):
            raise StudyError(
                f"{store}: runs code of yours ({', '.join(code)}); if you trust the study, add --allow-code"
            )
        budget = book.spec.override(trials=trials, timeout=timeout).search  # refuses what is no number
    return _continue(store, None, trials=trials, timeout=budget.timeout, workers=workers, watch=watch)


@prestart.none_left()
def _continue(
    store: Store,
    split: Split | None,
    *,
    trials: int | None,
    timeout: float | None,
    workers: ExecutorConfig,
    watch: Watcher,
) -> Study:
    with store.held(), Ledger.open(store) as book:
        if book.facts.get("engine") != _ENGINE:
            what = "was begun by an earlier hebbevo, and only that one can continue it"
            raise StudyError(f"{store}: {what}; write another --study")
        recorded = book.generations()
        in_force = recorded[-1].total if recorded else book.spec.search.trials
        total = in_force if trials is None else trials
        records = [record for generation in recorded for record in generation.records]
        if len(records) < total or any(record.result is None for record in records):
            workers.warm_up()
            loop = _Loop(book, total, timeout, workers.limit, watch)
            loop.replay(recorded)
            with (
                _on_interrupt(loop.interrupted),
                closing(_start(workers, book, split, loop.notice)) as executor,
            ):
                loop.run(executor, _notices(book))
        return Study(book)


class _Loop:
    """A study in progress: its sampler, brought to where the record ends, and what is still to do."""

    def __init__(self, book: Ledger, total: int, timeout: float | None, limit: float, watch: Watcher) -> None:
        search = book.spec.search
        self._book = book
        self._total = total
        self._timeout = math.inf if timeout is None else timeout
        self._limit = limit
        self._watch = watch
        self._population = search.population
        self._replicates = search.replicates
        self._epochs = book.spec.task.epochs
        self._goal = book.spec.goal
        self._sampler: Sampler = SAMPLERS[search.sampler](
            book.spec.space, search.seed, search.settings, self._goal.dimension
        )
        self._records: dict[int, Record] = {}
        self._originals: dict[str, int] = {}  # genome to the first trial of it
        self._told: set[str] = set()  # kinds of notes on earlier trials
        self._open: Generation | None = None
        self._in_force = search.trials
        self._began = monotonic()
        self._done = 0
        self._copies = self._stopped = 0
        self._front = np.empty((0, 2))
        self._fresh = 0
        self._interrupts = 0
        self._unsaid = ""
        self._executor: Executor | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to ask or to train."""
        return self._open is None and len(self._records) >= self._total

    def replay(self, recorded: Sequence[Generation]) -> None:
        """Take the sampler through the recorded generations, without training anything."""
        for generation in recorded:
            asked = self._sampler.ask(self._population, generation.progress)[: len(generation.records)]
            if asked != [record.genome for record in generation.records]:
                raise ReplayMismatch(self._mismatch(generation))
            self._enter(generation)
            self._tell_if_complete()

    def run(self, executor: Executor, notices: Sequence[str]) -> None:
        """Search until the total is reached, time is over or the user interrupts."""
        self._began = monotonic()
        for notice in notices or [""]:
            self.notice(notice)
        self._executor = executor
        while not self.finished and not self._stopping():
            self._train(self._open or self._ask(), executor)
            self._tell_if_complete()
        if self.finished:
            return
        done = f"{self._done} of {self._total} trials"
        if self._interrupts:
            raise SearchInterrupted(f"stopped: {done} are recorded; continue with '{self._resume()}'")
        after = f"stopped after {duration.text(self._timeout)}"
        self.notice(f"{after}: {done}; continue with '{self._resume()}'")

    def notice(self, text: str) -> None:
        """Tell the user something; an empty text tells of the progress only."""
        self._watch(self._progress(text))

    def _ask(self) -> Generation:
        first = len(self._records)
        number = self._sampler.generation
        progress = min(1.0, max(first / self._total, self._elapsed() / self._timeout))
        genomes = self._sampler.ask(self._population, progress)[: self._total - first]
        records = self._book.open_generation(number, self._total, progress, genomes)
        generation = Generation(number, self._total, progress, tuple(records))
        self._enter(generation)
        return generation

    def _enter(self, generation: Generation) -> None:
        for record in generation.records:
            self._records[record.number] = record
            self._originals.setdefault(canonical(record.genome), record.number)
            if record.result:
                self._told.update(note.partition(":")[0] for note in record.result.details.get("notes", ()))
        self._count([record.result for record in generation.records if record.result])
        self._open = generation
        self._in_force = generation.total

    def _train(self, generation: Generation, executor: Executor) -> None:
        from hebbevo.execution import dispatch

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
        standard = standard_of(self._book, earlier)
        batches = [
            batch
            for batch in pack(trained, self._replicates, self._book.facts["cohort_width"], standard)
            if any(self._records[number].result is None for number in batch.trials)
        ]
        results = dispatch(
            executor,
            batches,
            limit=self._limit,
            going_on=lambda: not self._stopping(),
            at_once=self._gives_up,
            lost=self._lost,
        )
        with closing(results):
            for batch, measured in results:
                self._close(self._scored(batch, measured), copies)

    def _lost(self, attempt: FailedAttempt) -> None:
        """Record an attempt that came to nothing; the first of each kind is told."""
        trials = attempt.trials
        missing = [number for number in trials if self._records[number].result is None]
        self._book.add_attempt(missing, attempt)
        kind = f"{attempt.fault} {attempt.then}"
        if kind not in self._told:
            self._told.add(kind)
            which = f"trials {trials[0]} to {trials[-1]}" if len(trials) > 1 else f"trial {trials[0]}"
            self.notice(f"{which}: {attempt.reason} ({attempt.worker}); {_THEN[attempt.then]}")

    def _scored(self, batch: Cohort, measured: list[Measurement]) -> list[Result]:
        from hebbevo.training import score

        scores = [
            score(measured[i : i + self._replicates]) for i in range(0, len(measured), self._replicates)
        ]
        return [
            Result(number, scored.values, scored.details)
            for number, scored in zip(batch.trials, scores, strict=True)
        ]

    def _close(self, results: Sequence[Result], copies: Mapping[int, int]) -> None:
        """Record results, and with them those of their copies; what is recorded already stays."""
        known = {result.number: result for result in results}
        copied = [_copy(known[original], number) for number, original in copies.items() if original in known]
        new = [result for result in (*results, *copied) if self._records[result.number].result is None]
        if not new:
            return
        self._book.close_cohort(new)
        for result in new:
            self._records[result.number] = replace(self._records[result.number], result=result)
        self._count(new)
        self._fresh += len(new)
        for result in new:
            for note in result.details.get("notes", ()):
                kind = note.partition(":")[0]
                if kind not in self._told:
                    self._told.add(kind)
                    self.notice(f"trial {result.number}: {note}")
        self.notice("")

    def _count(self, results: Sequence[Result]) -> None:
        """Keep what the progress tells, at a cost that does not grow with the study."""
        self._done += len(results)
        self._copies += sum(COPY in result.details for result in results)
        self._stopped += sum(STOPPED in result.details for result in results)
        passed = [point.values for result in results for point in points(result, self._epochs)]
        counting = [values for values in passed if self._goal.excess(values) <= 0]
        candidates = np.vstack([self._front, *counting])
        self._front = candidates[pareto.front(candidates)]

    def _tell_if_complete(self) -> None:
        assert self._open is not None
        records = [self._records[record.number] for record in self._open.records]
        if all(record.result for record in records):
            self._sampler.tell([_outcome(record, self._goal) for record in records])
            self._open = None

    def _elapsed(self) -> float:
        return monotonic() - self._began

    def _stopping(self) -> bool:
        return self._interrupts > 0 or self._elapsed() >= self._timeout

    def _gives_up(self) -> bool:
        """Whether to give up what is under way; tells first what `interrupted` could not."""
        if self._unsaid:
            text, self._unsaid = self._unsaid, ""
            self.notice(text)
        return self._interrupts > 1

    def _resume(self) -> str:
        command = f"hebbevo resume {self._book.store.command}"
        return command if self._in_force == self._total else f"{command} --trials {self._total}"

    def interrupted(self) -> None:
        """Finish what is under way; the second time give it up; the third, stop wherever it is."""
        self._interrupts += 1
        if self._interrupts == 1:
            text = "finishing the trainings under way; Ctrl-C again stops at once"
            try:
                self.notice(text)
            except RuntimeError:  # it came in the midst of another line, and streams are not reentrant
                self._unsaid = text
        elif self._interrupts > 2:
            raise KeyboardInterrupt
        elif self._executor:
            self._executor.interrupt()

    def _progress(self, notice: str) -> Progress:
        facts = self._book.facts
        return Progress(
            trials=self._done,
            copies=self._copies,
            stopped=self._stopped,
            total=max(self._total, len(self._records)),
            generation=self._sampler.generation,
            front=len(self._front),
            hypervolume=pareto.hypervolume(self._front, facts["chance"], facts["neurons"]),
            fresh=self._fresh,
            seconds_left=max(0.0, self._timeout - self._elapsed()),
            notice=notice,
        )

    def _mismatch(self, generation: Generation) -> str:
        then, now = self._book.facts["versions"], _versions()
        changed = [f"{name} {then[name]} -> {now[name]}" for name in then if then[name] != now.get(name)]
        return (
            f"{self._book.store}: generation {generation.number} is not replayed: the sampler asks for other "
            f"genomes than the recorded ones ({', '.join(changed) or 'with the same library versions'}); "
            "continue with the versions that made the study"
        )


def standard_of(book: Ledger, earlier: Iterable[Record]) -> EarlyStopper | None:
    """What a generation is judged by on the way, from the trials of all ``earlier`` ones."""
    from threadpoolctl import threadpool_limits

    from hebbevo.training import EarlyStopper, Trajectory

    spec, facts = book.spec, book.facts
    if not spec.search.halving:
        return None
    history = [
        Trajectory(tuple(details["accuracy_per_epoch"]), tuple(details["survivors_per_epoch"]))
        for details in (record.result.details for record in earlier if record.result)
        if "accuracy_per_epoch" in details and COPY not in details
    ]
    with threadpool_limits(1, "blas"):  # the same on any number of cores
        return EarlyStopper.of(history, spec.task.epochs, facts["neurons"], facts["chance"], spec.goal)


def pack(
    records: Sequence[Record], replicates: int, cohort_width: int, standard: EarlyStopper | None = None
) -> list[Cohort]:
    """Cut the trials to train of a generation into cohorts of at most ``cohort_width`` nets, in their order.

    The replicates of a genome stay together. This depends on the study alone, never on the machine; all are
    judged by ``standard`` on the way.
    """
    from hebbevo.execution import Cohort
    from hebbevo.training import Candidate

    size = _genomes(replicates, cohort_width)
    return [
        Cohort(
            trials=tuple(record.number for record in records[start : start + size]),
            candidates=tuple(
                Candidate(record.genome, replicate)
                for record in records[start : start + size]
                for replicate in range(replicates)
            ),
            standard=standard,
        )
        for start in range(0, len(records), size)
    ]


def _genomes(replicates: int, cohort_width: int) -> int:
    """Genomes of a cohort."""
    return max(1, cohort_width // replicates)


def _copy(result: Result, number: int) -> Result:
    """The result of a trial that repeats the genome of an earlier one, and so is not trained."""
    return Result(number, result.values, {**result.details, "seconds": 0.0, COPY: result.number})


def _outcome(record: Record, goal: Goal) -> Outcome:
    assert record.result is not None
    values = record.result.values
    stopped = record.result.details.get(STOPPED)
    if stopped and stopped["heading"]:  # others have reached better, so it is never taken for the best
        accuracy, survivors = stopped["heading"]
        values = accuracy, survivors
    if values is None:
        return Outcome(record.genome, None)
    return Outcome(record.genome, goal.losses(values), goal.excess(values))


@contextmanager
def _on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    """Call ``call`` on Ctrl-C; outside the main thread Python delivers no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare(spec: Spec, device: str) -> tuple[Split, dict[str, Any]]:
    """Load the data and find out, once for the study, everything that its results depend on."""
    dataset = data.load(spec.task.dataset, target=spec.task.target)
    split = data.split(dataset, spec.search.seed, spec.task.batch_size)
    facts: dict[str, Any] = {
        "versions": _versions(),
        "engine": _ENGINE,
        "rows": {"train": len(split.y_train), "validation": len(split.y_val), "test": len(split.y_test)},
        "features": split.x_train.shape[1],
        "shape": list(data.input_shape(split.shape)),
        "classes": list(split.classes),
        "mean": split.mean.tolist(),
        "scale": split.scale.tolist(),
        "fingerprint": dataset.fingerprint,
        "code": {name: user_code.source_digest(name) for name in spec.code},
        "device": device,
        "threads": spec.search.threads,
    }
    return split, facts | preflight.rehearse(spec, split, facts["shape"], facts["device"])


def recipe_of(book: Ledger) -> Recipe:
    """What all trainings of a study share."""
    facts = book.facts
    return preflight.recipe(book.spec, facts["shape"], len(facts["classes"]), facts["alone"])


def split_of(book: Ledger) -> Split:
    """Load a study's data again.

    Raises:
        UsageError: the data cannot be read, or have changed.
    """
    task = book.spec.task
    dataset = data.load(task.dataset, target=task.target)
    shape = list(data.input_shape(dataset.shape))
    if (dataset.fingerprint, shape) != (book.facts["fingerprint"], book.facts["shape"]):
        raise StudyError(
            f"{book.store}: the data set {task.dataset} has changed since the study began; "
            "put the old data back (a function must give the same every time), or start another study"
        )
    return data.split(dataset, book.spec.search.seed, task.batch_size)


def _start(
    workers: ExecutorConfig, book: Ledger, split: Split | None, tell: Callable[[str], None]
) -> Executor:
    search, facts = book.spec.search, book.facts
    return workers.start(
        recipe_of(book),
        split or split_of(book),
        device=facts["device"],
        threads=facts["threads"],
        cohorts=-(-search.population // _genomes(search.replicates, facts["cohort_width"])),
        tell=tell,
    )


def _notices(book: Ledger) -> list[str]:
    """What the user should know before the search: other code, networks alone, trainings that are short."""
    notices = []
    digests = book.facts["code"].items()
    if changed := [name for name, digest in digests if user_code.source_digest(name) != digest]:
        names = ", ".join(changed)
        notices.append(f"the code of {names} has changed since the study began; results may not compare")
    if book.facts["alone"]:
        notices.append(f"the networks train one by one: {book.facts['alone']}")
    if book.facts["short"]:
        task, rows = book.spec.task, book.facts["rows"]["train"]
        notices.append(
            f"no neuron can die: {task.epochs} x {rows} rows end before the warm-up; "
            "raise task.epochs, or lower task.batch_size or network.settings.warmup"
        )
    if book.facts["device"] == "cpu" and book.spec.task.precision == "bfloat16" and not _has_bfloat16():
        notices.append(
            "this CPU has no instructions for bfloat16, which is then several times slower than float32; "
            "leave --precision out in a new study"
        )
    return notices


def _has_bfloat16() -> bool:
    import torch

    return platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_avx512_bf16_supported()


def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
