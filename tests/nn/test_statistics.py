"""Statistics of units: what is computed for a stack does not depend on how options are selected."""

from itertools import product

import pytest
import torch

from hebbevo.nn import Stamina
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.nn.statistics import LazySelector, StatisticsWindow, observe, statistics_for
from hebbevo.rules import UNITS
from hebbevo.rules.units import stamina
from hebbevo.rules.units.statistics import Minibatch

FORMS = ("mean", "ratio", "zero_sum", "constant")


def stacked_units(**knobs):
    """Knobs and buffers of the units of two nets as one stack, by name."""
    both = [Stamina(6, **{name: value[row] for name, value in knobs.items()}) for row in (0, 1)]
    stack = {name: torch.stack([getattr(each, name) for each in both]) for name, _ in both[0].named_buffers()}
    return {name: each.double() if each.is_floating_point() else each for name, each in stack.items()}


@pytest.mark.parametrize("forms", [("mean", form) for form in FORMS] + [("zero_sum", "constant")])
@pytest.mark.parametrize("activities", [*product(stamina.ACTIVITIES, stamina.ACTIVITIES[::2])])
def test_computing_only_the_options_in_use_gives_the_same_sums_as_computing_all(forms, activities):
    knobs = dict(
        penalty_form=forms, activity=activities, firing_prior=(0.3, 0.6), unactivation_penalty=(0.5, 2.0)
    )
    ours, theirs = stacked_units(**knobs), stacked_units(**knobs)
    alive = torch.tensor([[True, True, False, True, True, False], [True] * 6])
    for stack in (ours, theirs):
        stack["alive"].copy_(alive)
        stack["outgoing"].copy_(torch.linspace(0.5, 2.0, 12).view(2, 6))
    rule = UNITS["stamina"]
    statistics = statistics_for(rule, lambda *_: True)
    k, s = TensorNamespace(ours, 1, ["firing_prior"]), TensorNamespace(ours)
    window = StatisticsWindow(statistics, k, s, LazySelector)
    for _ in range(3):
        y = torch.randn(2, 9, 6, dtype=torch.float64).relu() * alive.unsqueeze(1)
        window.add(Minibatch(y, y))
        observe(rule, y, y, theirs)
    for name in ("gain", "reference", "mean_output"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
        assert (ours[name][1] != 0).all()
