"""The network of a point: trained again, for a study keeps what networks reached, and not their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hebbevo.errors import StudyError, UsageError
from hebbevo.objectives.goal import MEASURES
from hebbevo.outer.driver import pack, recipe_of, split_of
from hebbevo.space.genes import canonical
from hebbevo.study.attempts import Recovery
from hebbevo.study.ledger import COPY, STOPPED, Ledger, Record, Result
from hebbevo.study.view import Study

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.execution import Cohort
    from hebbevo.training import Measurement


def network(
    study: Study,
    trial: int,
    epoch: int | None = None,
    *,
    replicate: int = 0,
    allow_code: Callable[[list[str]], bool] = lambda _: False,
) -> nn.Module:
    """Train a trial's network again, in the cohort that it was in, and check that it is the recorded one.

    All replicates of the trial are trained, for the record holds their means.

    Args:
        study: where the trial is recorded.
        trial: its number.
        epoch: after which to take the network, 1 or more; by default the last that the trial had.
        replicate: which of the trial's networks, 0 is the first.
        allow_code: a study of the user's own network, data or functions names code, and imports it only if
            this, given these names, agrees.

    Raises:
        UsageError: there is no such trial, epoch or replicate, or the data cannot be read.
        StudyError: the code is not allowed, the data have changed, or accuracy and survivors are not exactly
            what is recorded: another kind of machine, or other versions.
    """
    with Ledger.open(study.store) as book:
        generations = [generation.records for generation in book.generations()]
        records = {record.number: record for generation in generations for record in generation}
        result = _result(book, records.get(trial), trial)
        epochs = range(1, len(result.details["accuracy_per_epoch"]) + 1)
        replicates = range(book.spec.search.replicates)
        epoch = epochs[-1] if epoch is None else epoch
        for what, number, known in (("epoch", epoch, epochs), ("replicate", replicate, replicates)):
            if number not in known:
                advice = f"write one from {known[0]} to {known[-1]}"
                raise UsageError(f"{book.store}: trial {trial} has no {what} {number}; {advice}")
        if (code := book.spec.code) and not allow_code(code):
            what = f"runs code of yours ({', '.join(code)})"
            raise StudyError(f"{book.store}: {what}; if you trust the study, let allow_code agree")
        original = records[result.details.get(COPY, trial)]
        cohort = _cohort(book, generations, original)
        stops = [_stop(records[number]) for number in cohort.trials for _ in replicates]
        first = cohort.trials.index(original.number) * len(replicates)
        rows = [first + own for own in replicates]
        networks, measured = _trained(book, cohort, rows, epoch, stops)
        _check(book, result, epoch, measured)
        return networks[replicate]


def _result(book: Ledger, record: Record | None, trial: int) -> Result:
    if record is None:
        raise UsageError(f"{book.store}: there is no trial {trial}")
    if record.result is None:
        raise UsageError(f"{book.store}: trial {trial} has not been trained yet")
    if "accuracy_per_epoch" not in record.result.details:
        raise UsageError(f"{book.store}: trial {trial} failed: {record.result.details.get('failure')}")
    return record.result


def _cohort(book: Ledger, generations: Sequence[Sequence[Record]], original: Record) -> Cohort:
    """The cohort that a trial was trained in."""
    first: dict[str, int] = {}
    for generation in generations:
        for record in generation:
            first.setdefault(canonical(record.genome), record.number)
    own = next(generation for generation in generations if original in generation)
    trained = [record for record in own if first[canonical(record.genome)] == record.number]
    cohorts = pack(trained, book.spec.search.replicates, book.facts["cohort_width"])
    cohort = _holding(original, cohorts)
    for attempt in original.attempts:
        if attempt.then is Recovery.IN_HALVES and attempt.trials == cohort.trials:
            cohort = _holding(original, cohort.halves())
    return cohort


def _holding(record: Record, cohorts: Sequence[Cohort]) -> Cohort:
    return next(cohort for cohort in cohorts if record.number in cohort.trials)


def _stop(record: Record) -> int | None:
    """The epoch after which a trial was stopped early, if it was."""
    details = record.result.details if record.result else {}
    return len(details["accuracy_per_epoch"]) if STOPPED in details else None


def _trained(
    book: Ledger, cohort: Cohort, rows: Sequence[int], epoch: int, stops: Sequence[int | None]
) -> tuple[Sequence[nn.Module], Sequence[Measurement]]:
    """The networks at these rows of a cohort after an epoch, and what they have reached by then."""
    import torch

    from hebbevo.training import networks_of

    device = torch.device(book.facts["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        raise StudyError(f"{book.store}: trains on a GPU, and this machine has none")
    recipe, split = recipe_of(book), split_of(book)
    threads = torch.get_num_threads()
    torch.set_num_threads(book.facts["threads"])
    try:
        found = networks_of(recipe, cohort.candidates, split, device, rows, epoch, stops)
    finally:
        torch.set_num_threads(threads)
    networks, measured = zip(*found, strict=True)
    return networks, measured


def _check(book: Ledger, result: Result, epoch: int, measured: Sequence[Measurement]) -> None:
    from hebbevo.training import score

    then, now = _state(result.details, epoch), _state(score(measured).details, epoch)
    if now != then:
        versions = ", ".join(f"{name} {version}" for name, version in book.facts["versions"].items())
        raise StudyError(
            f"{book.store}: trial {result.number}, trained again, has after its first {epoch} accuracy "
            f"and survivors {now} and not {then}; the study was made on another kind of machine, or with "
            f"other versions or code than here: {versions}"
        )


def _state(details: Mapping[str, Any], epoch: int) -> tuple[float, ...]:
    """Accuracy and survivors after every epoch up to this one."""
    courses = (details.get(f"{measure}_per_epoch", ()) for measure in MEASURES)
    return tuple(value for course in courses for value in course[:epoch])
