"""What the trainings of a study get beside their genomes: the recipe, the data and the early stopper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hebbevo import data, user_code
from hebbevo.data import Dataset, Findings, Split
from hebbevo.errors import StudyError
from hebbevo.spec import Spec
from hebbevo.spec.schema import Task
from hebbevo.study.ledger import Ledger, Record
from hebbevo.training.recipe import NATIVE, PYTORCH

if TYPE_CHECKING:
    from hebbevo.networks import Blueprint
    from hebbevo.training import EarlyStopper, Recipe


def recipe(
    spec: Spec,
    shape: Sequence[int],
    outputs: int,
    engine: str,
    alone: str,
    class_weights: Sequence[float] = (),
) -> Recipe:
    """What all trainings of a search share.

    Args:
        spec: the search.
        shape: shape of a row of the data.
        outputs: number of classes, or 1 for a regression.
        engine: what computes them, a name in `hebbevo.training.recipe.ENGINES`.
        alone: why networks train one by one; empty to stack them.
        class_weights: a weight in the loss for each class; none: 1 for each.
    """
    from hebbevo.training import Recipe

    return Recipe(
        network=_blueprint(spec, tuple(shape), outputs),
        settings=dict(spec.network.settings),
        epochs=spec.task.epochs,
        batch_size=spec.task.batch_size,
        seed=spec.search.seed,
        stacked=not alone,
        count=spec.count,
        further=spec.goal.further,
        loss=spec.task.loss,
        score=spec.task.score,
        precision=spec.task.precision,
        kind=spec.task.kind,
        class_weights=tuple(class_weights),
        engine=engine,
    )


def _blueprint(spec: Spec, shape: tuple[int, ...], outputs: int) -> Blueprint:
    from hebbevo.networks import UserNetwork

    network = spec.network
    if network.module:
        return UserNetwork(network.module, shape, outputs)
    return network.architecture(shape, outputs)


def recipe_of(ledger: Ledger) -> Recipe:
    """What all trainings of a recorded study share."""
    facts = ledger.facts
    engine = NATIVE if facts.native else PYTORCH
    plan = recipe(ledger.spec, facts.shape, facts.outputs, engine, facts.alone, facts.class_weights)
    return replace(plan, stack_check=facts.stack_check, cuts_channels=facts.cuts_channels)


def load(task: Task, findings: Findings | None = None) -> Dataset:
    """Load the data that a task names.

    Args:
        task: names the data, and says how they are read.
        findings: those of the data when they were read before; ``None`` to find them out.

    Raises:
        UsageError: they cannot be read.
    """
    return data.load(
        task.dataset, target=task.target, options=task.reading_options, findings=findings, kind=task.kind
    )


def split_of(ledger: Ledger, task: Task | None = None) -> Split:
    """Load the data of a recorded study again.

    Args:
        ledger: the study.
        task: where its data are now; by default where they were.

    Raises:
        UsageError: the data cannot be read, or have changed.
    """
    moved = task is not None
    task = task or ledger.spec.task
    if not moved and (absent := _absent_file(task)):
        command = f"hebbevo resume {ledger.store.command} {absent[0]} PATH"
        what = f"its data {absent[1]} are not there"
        raise StudyError(f"{ledger.store}: {what}; put them back, or say where they are now: {command}")
    dataset = load(task, ledger.facts.findings)
    if not ledger.facts.exact:
        dataset = dataset.in_float32()
    shape = data.input_shape(dataset.shape)
    if (dataset.fingerprint, shape) != (ledger.facts.fingerprint, ledger.facts.shape):
        if moved:
            what = f"the data set {task.dataset} is not the one of the study"
            raise StudyError(f"{ledger.store}: {what}; give the data that it began with")
        raise StudyError(
            f"{ledger.store}: the data set {task.dataset} has changed since the study began; "
            "put the old data back (a function must give the same every time), or start another study"
        )
    return data.split(dataset, ledger.spec.search.seed, task.batch_size, standardize=task.standardize)


def _absent_file(task: Task) -> tuple[str, str] | None:
    """The option and the path of a file of the data that is not there, or ``None``."""
    is_file = task.dataset not in data.BUILT_IN and not user_code.is_reference(task.dataset)
    places = {"--data": task.dataset if is_file else None, "--test": task.test}
    return next(((flag, path) for flag, path in places.items() if path and not os.path.exists(path)), None)


def early_stopper_of(ledger: Ledger, earlier: Iterable[Record]) -> EarlyStopper | None:
    """The early stopper of a generation, or ``None`` where the study stops no training early.

    Args:
        ledger: the study.
        earlier: the trials of all earlier generations, from which it learns.
    """
    from threadpoolctl import threadpool_limits

    from hebbevo.training import EarlyStopper, Trajectory

    spec, facts = ledger.spec, ledger.facts
    if not spec.search.halving:
        return None
    history = [
        Trajectory(
            tuple(details.accuracy_per_epoch),
            tuple(details.survivors_per_epoch),
            tuple(map(tuple, details.further_per_epoch.values())),
        )
        for details in (record.result.details for record in earlier if record.result)
        if details.accuracy_per_epoch and details.copy_of is None
    ]
    with threadpool_limits(1, "blas"):  # the same result on any number of cores
        further = [facts.further[name] for name in spec.goal.further]
        return EarlyStopper.of(
            history, spec.task.epochs, facts.neurons, facts.chance, spec.goal, further=further
        )
