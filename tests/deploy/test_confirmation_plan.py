"""How dense controls are tuned: each width by itself, with its neighbours, or all together as earlier."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hebbevo.deploy.confirmation_plan import (
    MOST_TUNING_WIDTHS,
    NEIGHBOURS,
    TUNING_NETWORKS,
    ConfirmationPlan,
    Step,
)
from hebbevo.deploy.controls import LEARNING_RATES, WEIGHT_DECAYS
from hebbevo.networks import Architecture
from hebbevo.space import Genome
from hebbevo.study.confirmation_record import Member, Request, Role, Training
from hebbevo.training import Recipe
from hebbevo.training.knobs import KNOBS

WIDTHS = {0: (2, 2), 1: (4, 5), 2: (9, 3), 3: (14, 12)}
"""What is left of each member's network, by trial."""
RECIPE = Recipe(Architecture("mlp", (16, 16), "stamina", False, (4,), 3), {}, 5, 16, 0)

TUNED = "learning_rate", "weight_decay"


def score(widths: tuple[int, ...], rate: float, decay: float) -> float:
    """Highest at a rate that falls with the width, and a decay of 0.1; wide networks differ least."""
    best = 2e-2 if sum(widths) < 8 else 5e-3 if sum(widths) < 20 else 2e-3
    return 0.9 - (abs(math.log(rate / best)) + abs(decay - 0.1)) / sum(widths)


def confirmed(neighbours: int | None, by_trial: dict[int, tuple[int, ...]] = WIDTHS) -> list[Training]:
    """All trainings of a confirmation of members with these widths, with made-up scores."""
    trained, _ = confirmed_by_steps(RECIPE, {}, neighbours, by_trial)
    return trained


def confirmed_by_steps(
    recipe: Recipe,
    genome: Genome,
    neighbours: int | None = NEIGHBOURS,
    by_trial: dict[int, tuple[int, ...]] = WIDTHS,
) -> tuple[list[Training], list[Step]]:
    """The same of members that all have one genome, and the steps in which they train."""
    members = tuple(
        Member(trial=trial, epoch=5, accuracy=0.9, survivors=sum(widths), neurons=32)
        for trial, widths in by_trial.items()
    )
    request = Request(members=members, replicates=2, has_test=True, trials=4, date="", neighbours=neighbours)
    plan = ConfirmationPlan(request, dict.fromkeys(by_trial, genome), recipe, 100, 8)
    known: dict[int, Training] = {}
    seen: list[Step] = []
    for steps in plan.stages(known):
        seen += steps
        for step in steps:
            for number, each in zip(step.cohort.trials, step.trainings, strict=True):
                if each.role is Role.MEMBER:
                    known[number] = replace(each, widths=by_trial[each.trial], multiply_adds=1e7)
                else:
                    assert each.learning_rate is not None and each.weight_decay is not None
                    reached = score(each.widths, each.learning_rate, each.weight_decay)
                    known[number] = replace(each, accuracy=reached)
    assert sorted(known) == [*range(len(known))]
    return [known[number] for number in range(len(known))], seen


@pytest.mark.parametrize("as_genes", [False, True])
def test_a_control_trains_as_its_member_does_but_for_what_is_tuned(as_genes: bool) -> None:
    others = {"optimizer": "sgd", "momentum": 0.5, "learning_rate_warmup": 7}
    recipe = RECIPE if as_genes else replace(RECIPE, settings=others)
    _, steps = confirmed_by_steps(recipe, others if as_genes else {})
    roles = set()
    for step in steps:
        roles |= {each.role for each in step.trainings}
        for candidate in step.cohort.candidates:
            assert step.cohort.recipe is not None
            knobs = step.cohort.recipe.training_knobs(candidate.genome)
            assert {name: knobs[name] for name in KNOBS if name not in TUNED} == others
    assert roles == {*Role}


@pytest.mark.parametrize("neighbours", [0, 1, None])
def test_the_rate_of_a_width_is_the_best_of_it_and_its_neighbours(neighbours: int | None) -> None:
    by_size = sorted(WIDTHS.values(), key=sum)
    reach = len(by_size) if neighbours is None else neighbours
    trained = confirmed(neighbours)
    for place, widths in enumerate(by_size):
        near = by_size[max(0, place - reach) : place + reach + 1]
        expected = max(
            product(LEARNING_RATES, WEIGHT_DECAYS),
            key=lambda point, near=near: np.mean([score(each, *point) for each in near]),
        )
        controls = [
            each for each in trained if each.role in (Role.DENSE, Role.LONGER) and each.widths == widths
        ]
        assert controls
        assert {(each.learning_rate, each.weight_decay) for each in controls} == {expected}


@pytest.mark.parametrize(("neighbours", "together"), [(0, 1), (1, 3), (None, 4)])
def test_a_point_is_judged_by_enough_networks(neighbours: int | None, together: int) -> None:
    tuning = [each for each in confirmed(neighbours) if each.role is Role.TUNING]
    points = {(each.learning_rate, each.weight_decay) for each in tuning}
    for point in points:
        for widths in WIDTHS.values():
            own = [
                each.number
                for each in tuning
                if (each.learning_rate, each.weight_decay) == point and each.widths == widths
            ]
            assert sorted(own) == [*range(math.ceil(TUNING_NETWORKS / together))]


def test_a_grid_is_widened_until_no_best_point_is_on_its_edge() -> None:
    rates = sorted({each.learning_rate for each in confirmed(0) if each.role is Role.TUNING})
    assert rates[0] < min(LEARNING_RATES) and rates[-1] > max(LEARNING_RATES)


def test_members_of_other_widths_have_the_rate_of_the_nearest_one_that_was_tuned() -> None:
    trained = confirmed(0, {trial: (trial + 2, trial + 2) for trial in range(12)})
    tuned = {each.widths for each in trained if each.role is Role.TUNING}
    assert len(tuned) == MOST_TUNING_WIDTHS
    rates = {each.widths: each.learning_rate for each in trained if each.role is Role.DENSE}
    assert len(rates) == 12 and len({*rates.values()}) > 1
    for widths, rate in rates.items():
        distance = {other: abs(math.log(sum(other) / sum(widths))) for other in tuned}
        assert rate in {
            rates[other] for other in tuned if math.isclose(distance[other], min(distance.values()))
        }
