"""The inner loop: train the candidates of a cohort and measure them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from hebbevo.data import Split
from hebbevo.messages import describe
from hebbevo.space import canonical
from hebbevo.training.cohort import CohortTraining, Rows
from hebbevo.training.early_stopping import EarlyStopper
from hebbevo.training.grouping import Group, apart, groups_of
from hebbevo.training.keeping import Keeping
from hebbevo.training.member import Member, build_members, cohort_of, drawing_from
from hebbevo.training.out_of_memory import raise_unless_failure
from hebbevo.training.pruning_patience import ENDLESS
from hebbevo.training.recipe import Candidate, Exam, Measurement, Recipe
from hebbevo.training.weight_collector import WeightCollector


def train(
    recipe: Recipe,
    candidates: Sequence[Candidate],
    split: Split,
    device: torch.device,
    early_stopper: EarlyStopper | None = None,
    exam: Exam | None = None,
    keeping: Keeping | None = None,
    after_epoch: Callable[[], None] | None = None,
    pruning_patience: float = ENDLESS,
) -> list[Measurement]:
    """Train every candidate of a cohort and measure it.

    What a candidate reaches depends on itself alone, up to float rounding. Nets of one structure are stacked
    where the stack computes the same as each net alone.

    Args:
        recipe: what the trainings share.
        candidates: the candidates.
        split: the data.
        device: where to train.
        early_stopper: decides which trials stop early; by default none does.
        exam: scores that are measured after the last epoch; by default none.
        keeping: what a candidate must reach to have its weights in its measurement; by default none has.
        after_epoch: is called after each epoch of nets that train together.
        pruning_patience: the part of a training after which a trial is stopped that could lose neurons and
            has lost none; by default none is.

    Returns:
        A measurement for each candidate. A training that diverges or raises has a ``failure``.

    Raises:
        MemoryError: or another error that says that memory ran out (`ran_out_of_memory`); that concerns all
            trainings of the process, not only one.

    Example:
        >>> from hebbevo.data import load, split
        >>> from hebbevo.networks import Architecture
        >>> from hebbevo.training import Candidate, Recipe, train
        >>> network = Architecture("mlp", (16,), "stamina", False, (1, 8, 8), 10)
        >>> recipe = Recipe(network, {"learning_rate": 0.01}, epochs=2, batch_size=64, seed=1)
        >>> candidates = [Candidate({"hidden": hidden}) for hidden in (8, 16)]
        >>> measured = train(recipe, candidates, split(load("digits"), 1, 64), torch.device("cpu"))
        >>> [each.neurons for each in measured]
        [8, 16]
    """
    rows = Rows.of(split, recipe.network.shape, device, exam)
    members, measured = build_members(recipe, candidates, rows)
    collector = _collector(recipe, candidates, keeping)
    groups = [*groups_of(recipe, members, rows)]  # all are checked before any net is trained
    while groups:
        group = groups.pop(0)
        own = [members[row] for row in group.rows]
        trials = [each.genome for each in own]
        # a replicate that trains without the others would be judged by chance
        complete = all(trials.count(each.genome) == each.replicates for each in own)
        try:
            with drawing_from(recipe, own, device):
                last_epochs = [candidates[row].last_epoch for row in group.rows]
                found = cohort_of(recipe, own, rows).train(
                    early_stopper if complete else None,
                    trials,
                    last_epochs,
                    partial(_after_epoch, collector, group.rows, after_epoch),
                    pruning_patience if complete else ENDLESS,
                )
        except BaseException as error:  # a failed training is a recorded value
            raise_unless_failure(error)
            if collector:
                collector.forget_rows(group.rows)
            if len(own) == 1:
                measured[group.rows[0]] = Measurement.failed(describe(error))
            else:  # perhaps a single net has failed
                note = f"trained alone: its stack failed ({describe(error)})"
                groups = [*(Group(part, note) for part in apart(recipe, members, group.rows)), *groups]
        else:
            for row, each in zip(group.rows, found, strict=True):
                measured[row] = replace(each, notes=(*each.notes, group.note)) if group.note else each
    found = [measured[row] for row in range(len(candidates))]
    return collector.attached(found) if collector else found


def _after_epoch(
    collector: WeightCollector | None,
    rows: Sequence[int],
    call: Callable[[], None] | None,
    cohort: CohortTraining,
) -> None:
    """Collect weights of nets in training, if any may be kept, and make a call, if there is one to make."""
    if collector:
        collector.after_epoch(cohort, rows)
    if call:
        call()


def _collector(
    recipe: Recipe, candidates: Sequence[Candidate], keeping: Keeping | None
) -> WeightCollector | None:
    if keeping is None:
        return None
    trials = [canonical(candidate.genome) for candidate in candidates]
    return WeightCollector(keeping, trials, recipe.epochs)


def networks_of(
    recipe: Recipe,
    candidates: Sequence[Candidate],
    split: Split,
    device: torch.device,
    wanted: Sequence[int],
    epoch: int,
    stops: Sequence[int | None],
) -> list[tuple[nn.Module, Measurement]]:
    """Train a cohort again, and give networks of it as they were after an epoch.

    The networks are the same bit for bit if recipe, candidates, data and device are those of the first time.

    Args:
        recipe: what the trainings share.
        candidates: all candidates of the cohort.
        split: the data.
        device: where to train.
        wanted: numbers of the candidates whose networks to give.
        epoch: the epoch, 1 is the first.
        stops: after which epoch each candidate was stopped early, or ``None``.

    Returns:
        Each wanted network in evaluation mode, and its measurement up to that epoch.

    Raises:
        MemoryError: or another error that says that memory ran out (`ran_out_of_memory`).
        KeyError: a wanted network cannot be built.
    """
    rows = Rows.of(split, recipe.network.shape, device)
    members, _ = build_members(recipe, candidates, rows)
    found: dict[int, tuple[nn.Module, Measurement]] = {}
    groups = [*groups_of(recipe, members, rows)]
    while groups:
        group = groups.pop(0)
        wanted_here = [row for row in group.rows if row in wanted]
        if not wanted_here:
            continue
        try:
            own, own_stops = [members[row] for row in group.rows], [stops[row] for row in group.rows]
            cohort = _trained_up_to(epoch, recipe, own, rows, own_stops)
        except BaseException as error:
            raise_unless_failure(error)
            if len(group.rows) == 1:
                raise
            # it was divided the first time, too
            groups = [*(Group(part) for part in apart(recipe, members, group.rows)), *groups]
        else:
            for row in wanted_here:
                place = group.rows.index(row)
                found[row] = cohort.network(place, members[row].build()), cohort.measurements()[place]
    return [found[row] for row in wanted]


def _trained_up_to(
    epoch: int, recipe: Recipe, members: Sequence[Member], rows: Rows, stops: Sequence[int | None]
) -> CohortTraining:
    """Train members up to an epoch, and stop each after the epoch in ``stops``."""
    with drawing_from(recipe, members, rows.x.device):
        cohort = cohort_of(recipe, members, rows)
        for done in range(1, epoch + 1):
            cohort.train_epoch()
            stopped = [place for place, stop in enumerate(stops) if stop == done < epoch]
            cohort.stop(torch.tensor(stopped, dtype=torch.int64, device=rows.x.device))
    return cohort
