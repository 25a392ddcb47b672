"""The network of a trial: with the weights that the study keeps, or trained again and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hebbevo import user_code
from hebbevo.deploy.kept import network_of
from hebbevo.deploy.network_figures import NetworkFigures, Origin
from hebbevo.deploy.provenance import provenance_of
from hebbevo.errors import StudyError, UsageError
from hebbevo.exclusive import PROCESS
from hebbevo.outer.native_studies import check_native
from hebbevo.outer.packing import pack
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.space import canonical
from hebbevo.study.attempts import Recovery
from hebbevo.study.ledger import Ledger, Record, Result
from hebbevo.study.view import Study, store_of
from hebbevo.training.replicates import median_replicate
from hebbevo.training.trial_details import TrialDetails

_RETRAINED = "for a network with new figures of its own, add --retrained, or in Python retrained=True"

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.data import Split
    from hebbevo.deploy.trained_network import TrainedNetwork
    from hebbevo.execution import Cohort
    from hebbevo.training import Measurement


@user_code.interruptible()
def network(
    study: Study | str | Path,
    trial: int,
    epoch: int | None = None,
    *,
    replicate: int | None = None,
    retrained: bool = False,
    allow_code: bool | Callable[[list[str]], bool] = False,
) -> TrainedNetwork:
    """Give a trial's network: from the weights that the study keeps, or trained again from the record.

    A study with ``search: {keep: front}`` keeps those of its front. Without them the trial is trained in the
    cohort that it was in, and it is checked that it reaches what is recorded. What is returned takes rows as
    the data set has them, standardises them itself, and names classes with ``predict(rows)``.

    Args:
        study: the study that has the trial, or the path of its file.
        trial: number of the trial.
        epoch: number of epochs of training, 1 or more; by default as many as the trial was trained.
        replicate: number of the trial's network, 0 is the first; by default the replicate of median accuracy,
            of an even number the lower one of the middle two.
        retrained: whether to give a network that reaches other figures than those recorded, as on another
            kind of machine. Its ``figures`` are its own then, and its ``origin`` is ``retrained``.
        allow_code: whether to import the user's own code (network, data, functions) that the study names, or
            a function that decides it from the names.

    Raises:
        UsageError: there is no such trial, epoch or replicate, or the data cannot be read.
        StudyError: the code is not allowed, the data have changed, or accuracy and survivors are not exactly
            those recorded, as on another kind of machine or with other library versions, and ``retrained`` is
            false.

    Examples:
        >>> import torch
        >>> import hebbevo.data
        >>> study = hebbevo.search("stamina", study="digits.db", population=4, trials=4, epochs=1, workers=1)
        >>> net = hebbevo.network(study, trial=3)
        >>> images = hebbevo.data.load("digits").x[:3].reshape(-1, 8, 8)  # as the data set has them
        >>> net(torch.from_numpy(images)).shape, net.predict(images).shape, net.classes[-1]
        (torch.Size([3, 10]), (3,), 9)
        >>> net.origin.value, net.figures.accuracy == float(study.curve(3).accuracy.iloc[-1])
        ('reproduced', True)
    """
    with Ledger.open(store_of(study)) as ledger:
        generations = [generation.records for generation in ledger.generations()]
        records = {record.number: record for generation in generations for record in generation}
        result = _trained_result(ledger, records.get(trial), trial)
        epochs = range(1, len(result.details.accuracy_per_epoch) + 1)
        replicates = range(ledger.spec.search.replicates)
        epoch = epochs[-1] if epoch is None else epoch
        for what, number, known in (("epoch", epoch, epochs), ("replicate", replicate, replicates)):
            if number is not None and number not in known:
                advice = f"write one from {known[0]} to {known[-1]}"
                raise UsageError(f"{ledger.store}: trial {trial} has no {what} {number}; {advice}")
        if not user_code.is_allowed(code := ledger.spec.code, allow_code):
            what = f"runs your own code ({', '.join(code)})"
            raise StudyError(f"{ledger.store}: {what}; if you trust the study, write allow_code=True")
        user_code.refresh(code)
        copy_of = result.details.copy_of
        original = records[trial if copy_of is None else copy_of]
        split = split_of(ledger)
        for kept in ledger.kept_networks((original.number, epoch)):
            if replicate in (None, kept.replicate) and (net := network_of(ledger, kept, original, split)):
                figures = _figures(Origin.KEPT, result, epoch, kept.replicate, kept.accuracy, kept.survivors)
                return _trained(net, ledger, split, figures)
        cohort = _cohort(ledger, generations, original)
        stops = [_stop_epoch(records[number]) for number in cohort.trials for _ in replicates]
        first = cohort.trials.index(original.number) * len(replicates)
        rows = [first + own for own in replicates]
        device = _device(ledger, retrained)
        networks, measured = _train(ledger, cohort, split, device, rows, epoch, stops)
        as_recorded = _is_as_recorded(result, epoch, measured)
        if not as_recorded and not (retrained and all(each.failure is None for each in measured)):
            again = _train(ledger, cohort, split, device, rows, epoch, stops)[1] if code else measured
            raise StudyError(_why_not(ledger, result, epoch, measured, again))
        if replicate is None:
            replicate = median_replicate([each.accuracy[-1] for each in measured])
        own = measured[replicate]
        origin = Origin.REPRODUCED if as_recorded else Origin.RETRAINED
        figures = _figures(origin, result, epoch, replicate, own.accuracy[-1], own.survivors[-1])
        return _trained(networks[replicate], ledger, split, figures)


def _figures(
    origin: Origin, result: Result, epoch: int, replicate: int, accuracy: float, survivors: int
) -> NetworkFigures:
    return NetworkFigures(
        origin=origin,
        trial=result.number,
        epoch=epoch,
        replicate=replicate,
        accuracy=accuracy,
        survivors=survivors,
        recorded_accuracy=result.details.accuracy_per_epoch[epoch - 1],
        recorded_survivors=result.details.survivors_per_epoch[epoch - 1],
    )


def _trained(net: nn.Module, ledger: Ledger, split: Split, figures: NetworkFigures) -> TrainedNetwork:
    from hebbevo.deploy.trained_network import TrainedNetwork

    found = TrainedNetwork(net, split, ledger.facts.shape, figures)
    found.provenance = provenance_of(ledger, figures.trial, figures.epoch)
    return found


def _trained_result(ledger: Ledger, record: Record | None, trial: int) -> Result:
    """The result of a trial that was trained for an epoch or more.

    Raises:
        UsageError: there is none.
    """
    if record is None:
        raise UsageError(f"{ledger.store}: there is no trial {trial}")
    if record.result is None:
        raise UsageError(f"{ledger.store}: trial {trial} has not been trained yet")
    if not record.result.details.accuracy_per_epoch:
        raise UsageError(f"{ledger.store}: trial {trial} failed: {record.result.details.failure}")
    return record.result


def _cohort(ledger: Ledger, generations: Sequence[Sequence[Record]], original: Record) -> Cohort:
    """The cohort that a trial was trained in."""
    first: dict[str, int] = {}
    for generation in generations:
        for record in generation:
            first.setdefault(canonical(record.genome), record.number)
    own = next(generation for generation in generations if original in generation)
    trained = [record for record in own if first[canonical(record.genome)] == record.number]
    cohorts = pack(trained, ledger.spec.search.replicates, ledger.facts.cohort_width)
    cohort = _containing(original, cohorts)
    for attempt in original.attempts:
        if attempt.recovery is Recovery.IN_HALVES and attempt.trials == cohort.trials:
            cohort = _containing(original, cohort.halves())
    return cohort


def _containing(record: Record, cohorts: Sequence[Cohort]) -> Cohort:
    return next(cohort for cohort in cohorts if record.number in cohort.trials)


def _stop_epoch(record: Record) -> int | None:
    """The epoch after which a trial was stopped early, or ``None``."""
    stopped = record.result.details.stopped if record.result else None
    return len(record.result.details.accuracy_per_epoch) if record.result and stopped else None


def _device(ledger: Ledger, retrained: bool) -> str:
    """The device of the study; for a network with figures of its own the CPU, where there is no GPU.

    Raises:
        StudyError: this machine has no such device.
    """
    import torch

    device = ledger.facts.device
    if device != "cuda" or torch.cuda.is_available():
        return device
    if retrained:
        return "cpu"
    raise StudyError(f"{ledger.store}: trains on a GPU, and this machine has none; {_RETRAINED}")


def _train(
    ledger: Ledger,
    cohort: Cohort,
    split: Split,
    device: str,
    rows: Sequence[int],
    epoch: int,
    stops: Sequence[int | None],
) -> tuple[Sequence[nn.Module], Sequence[Measurement]]:
    """Train a cohort again.

    Args:
        ledger: the study.
        cohort: the trials that were trained together.
        split: the data.
        device: where to train.
        rows: places of the wanted networks in the cohort.
        epoch: number of epochs after which to take them.
        stops: for each network of the cohort, the epoch after which it was stopped early, or ``None``.

    Returns:
        The networks, and what they have reached.
    """
    import torch

    from hebbevo.training import networks_of

    check_native(ledger)
    recipe = recipe_of(ledger)
    with PROCESS:
        threads = torch.get_num_threads()
        torch.set_num_threads(ledger.facts.threads)
        try:
            found = networks_of(recipe, cohort.candidates, split, torch.device(device), rows, epoch, stops)
        finally:
            torch.set_num_threads(threads)
    networks, measured = zip(*found, strict=True)
    return networks, measured


def _is_as_recorded(result: Result, epoch: int, measured: Sequence[Measurement]) -> bool:
    return _course(result.details, epoch) == _course(_details(measured), epoch)


def _why_not(
    ledger: Ledger, result: Result, epoch: int, measured: Sequence[Measurement], again: Sequence[Measurement]
) -> str:
    """Say that a trial reached other values than recorded, and the likely reason.

    Args:
        ledger: the study.
        result: of the trial.
        epoch: number of epochs.
        measured: what was reached now.
        again: what was reached in a second training with the user's code; ``measured`` without such code.
    """
    recorded, now = _course(result.details, epoch), _course(_details(measured), epoch)
    what = (
        f"{ledger.store}: trial {result.number}, trained again, has after its first {epoch} accuracy "
        f"and survivors {now} and not {recorded}"
    )
    names = ", ".join(ledger.spec.code)
    if not ledger.facts.repeatable or _course(_details(again), epoch) != now:
        advice = "give its own random generators a seed, and let nothing depend on the time"
        return (
            f"{what}; with your code ({names}) no two trainings come out the same: {advice}, or {_RETRAINED}"
        )
    versions = ", ".join(f"{name} {version}" for name, version in ledger.facts.versions.items())
    order = "; if your code goes through sets, set PYTHONHASHSEED=0 for it" if names else ""
    return (
        f"{what}; the study was made on another kind of machine, or with "
        f"other versions or code than here: {versions}{order}; {_RETRAINED}"
    )


def _details(measured: Sequence[Measurement]) -> TrialDetails:
    from hebbevo.training import score

    return score(measured).details


def _course(details: TrialDetails, epoch: int) -> tuple[float, ...]:
    """Accuracy, then survivors, after every epoch up to this one."""
    return (*details.accuracy_per_epoch[:epoch], *details.survivors_per_epoch[:epoch])
