"""The family of scores by hand, against its equation, and its corners against the rules that they equal."""

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import PlasticUnits, attach
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.rules import UNITS
from tests.rules.conftest import (
    RuleTraining,
    assert_lowest_leave,
    covariance_of,
    deaths_of,
    decayed_mean,
    hand_drawn,
    trained_events,
    unexplained,
)

NONE = {"p": 0.0, "q": 0.0, "r": 0.0, "s": 0.0, "u": 0.0}
CORNERS = [
    ("contribution", {}, {"p": 1.0, "q": 1.0}),
    ("usage", {}, {"p": 1.0, "q": 1.0, "r": 0.5}),
    ("frequency", {}, {"u": 1.0}),
    ("stamina", {"unactivation_penalty": 0.0}, {"s": 1.0}),
    ("stamina", {"unactivation_penalty": 0.0, "activity": "frequency"}, {"u": 1.0}),
]
corners = pytest.mark.parametrize(("name", "knobs", "exponents"), CORNERS, ids=lambda value: str(value)[:30])


@pytest.mark.parametrize(
    ("exponents", "order"),
    [
        ({"p": 1.0, "q": 1.0}, "dca"),
        ({"p": 1.0, "q": 1.0, "r": 0.5}, "dac"),
        ({"p": 2.0}, "dac"),  # a and c are read alike
        ({"s": 1.0}, "dbc"),
        ({"s": -1.0}, "dac"),
        ({"u": 1.0}, "dab"),
        ({}, "dab"),  # all alike: the first one leaves; but first the one that never varies
    ],
)
def test_units_leave_in_the_order_that_the_exponents_give(exponents, order):
    assert deaths_of(hand_drawn("score", **NONE | exponents)) == order


def published(event):
    """Scores by equations 1 and 2: the lowest unit leaves, all others are fitted anew, and so on."""
    k, memory = event.knobs, event.knobs["memory"]
    plain = covariance_of(event)
    size = decayed_mean([np.abs(each).mean(0) for each in event.outputs], memory)
    rate = decayed_mean([(each != 0).mean(0) for each in event.outputs], memory)
    left = np.flatnonzero(event.before).tolist()
    with_ridge = plain + k["ridge"] * np.diag(plain)[left].mean() * np.eye(len(plain))

    def all_values():
        found = np.zeros(len(plain))
        for j in left:
            others = [other for other in left if other != j]
            spread = np.sqrt(plain[j, j])
            if spread > 0:
                alone = unexplained(with_ridge, j, others) if k["r"] else 1.0
                found[j] = event.outgoing[j] ** k["p"] * spread ** k["q"] * alone ** k["r"]
                found[j] *= size[j] ** k["s"] * rate[j] ** k["u"]
        return found

    values = all_values()
    mean = values[left].mean()
    for _ in range(event.deaths - 1):
        lowest = min(left, key=lambda unit: values[unit])
        left.remove(lowest)
        if k["r"]:
            values[left] = all_values()[left]
    return values / mean


@pytest.mark.parametrize(
    "exponents",
    [
        {"p": 1.2, "q": 0.7, "r": 0.3, "s": -0.4, "u": 0.6},
        {"p": 0.5, "q": 2.0, "r": 1.0, "s": 1.0, "u": -1.0},
        {"p": 1.2, "q": 0.7, "s": 0.4, "u": 0.6},
        {"r": 1.0},
    ],
    ids=str,
)
def test_scores_are_those_of_the_equations_at_every_event(exponents):
    for event in trained_events("score", **NONE | exponents, memory=0.9):
        expected = published(event)
        assert event.scores == pytest.approx(expected, rel=1e-6)
        assert_lowest_leave(event, expected)


@corners
def test_a_corner_ranks_the_units_of_trained_layers_as_the_rule_does(name, knobs, exponents):
    rankings = []
    for rule, own in ((name, knobs), ("score", NONE | exponents)):
        training = RuleTraining(rule, knobs=own | {"schedule": "threshold", "max_deaths": 0.0})
        [net] = training.nets((3e-3,))
        cohort = training.cohort("alone", (3e-3,))
        for _ in range(training.epochs):
            cohort.train_epoch()
        net.load_state_dict({key: tensor[0] for key, tensor in cohort.state.items()})
        layers = Wiring(net).layer_units(named_tensors(net), {}, None)
        assert len(layers) == 2
        assert all(layer.alive.all() for layer in layers.values())
        rankings.append(
            [layer.rule.score(layer.k, layer.s, layer).argsort().tolist() for layer in layers.values()]
        )
    assert rankings[0] == rankings[1]


@corners
@pytest.mark.parametrize("how", ["stack", "compact"])
def test_under_a_corner_the_same_units_live_as_under_the_rule(name, knobs, exponents, how):
    masks = []
    for rule, own in ((name, knobs), ("score", NONE | exponents)):
        cohort = RuleTraining(rule, knobs=own | {"schedule": "target", "target": 3}).cohort(how)
        for _ in range(4):
            cohort.train_epoch()
        masks.append([tensor for key, tensor in cohort.state.items() if key.endswith(".alive")])
    assert all(map(torch.equal, *masks))
    assert all((mask.sum(-1) == 3).all() for mask in masks[0])


def test_input_units_are_ranked_by_the_size_of_what_they_pass_on():
    units = PlasticUnits(UNITS["score"], 3, True, seed=1, **NONE | {"s": 1.0, "target": 2, "warmup": 0})
    net = nn.Sequential(units, nn.Linear(3, 2))
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1), total_steps=10)
    net(torch.tensor([[1.0, -3.0, 0.5], [2.0, -5.0, -0.7]]))
    [layer] = Wiring(net).layer_units(named_tensors(net), {}, None).values()
    found = layer.rule.score(layer.k, layer.s, layer)
    assert found.tolist() == pytest.approx([1.5 / 6.1 * 3, 4 / 6.1 * 3, 0.6 / 6.1 * 3])


def test_exponents_below_zero_are_for_activity_only():
    for name in "pqr":
        with pytest.raises(UsageError, match=f"PlasticUnits: {name}: "):
            PlasticUnits(UNITS["score"], 4, **{name: -0.5})
    PlasticUnits(UNITS["score"], 4, s=-0.5, u=-0.5)
