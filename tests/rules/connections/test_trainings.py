"""Rules in trainings on real data: that connections change, by how much, and that the networks learn."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load, split
from hebbevo.nn import attach, masked
from hebbevo.rules import CONNECTIONS

STEPS, PERIOD, DENSITY = 60, 10, 0.2
SIZE = 64 * 32
RULES = [name for name, rule in CONNECTIONS.items() if rule.prunes]
BRISK = {
    "density": DENSITY, "rewire_period": PERIOD, "drop_schedule": "constant", "settle": 0.25, "warmup": 5,
    "prune_period": PERIOD, "share": 0.4, "permanence_rate": 2.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    parts = split(load("digits"), 0, 64, standardize=True)
    return [torch.as_tensor(each) for each in (parts.x_train, parts.y_train, parts.x_val, parts.y_val)]


def trained(rule, digits):
    """The masks of the first layer after every step, and the accuracy of the network."""
    x, y, x_val, y_val = digits
    torch.manual_seed(0)
    knobs = {name: value for name, value in BRISK.items() if name in CONNECTIONS[rule].knobs}
    layer = masked(rule, nn.Linear(64, 32), seed=1, **knobs)
    net = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    attach(net, optimizer, total_steps=STEPS)
    masks = [layer.masks()["weight"].clone()]
    for _ in range(STEPS):
        rows = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows].float()), y[rows]).backward()
        optimizer.step()
        masks.append(layer.masks()["weight"].clone())
    with torch.no_grad():
        accuracy = (net.eval()(x_val.float()).argmax(1) == y_val).float().mean()
    return masks, float(accuracy)


def changes(masks):
    """How many connections enter, and how many leave, after every step."""
    return [(int((after & ~before).sum()), int((before & ~after).sum())) for before, after in pairwise(masks)]


@pytest.mark.parametrize(
    ("rule", "least", "explored"),
    [
        ("set", 80, 1.7),
        ("cosine", 50, 1.5),
        ("coactivation", 5, 1.1),
        ("rigl", 80, 1.7),
        ("constant_fan_in", 80, 1.7),
    ],
)
def test_a_rule_that_rewires_keeps_the_number_and_changes_places_at_every_event(
    rule, least, explored, digits
):
    masks, accuracy = trained(rule, digits)
    number = masks[0].sum()
    assert number == (32 * round(DENSITY * 64) if rule == "constant_fan_in" else round(DENSITY * SIZE))
    assert all(mask.sum() == number for mask in masks)
    for step, (entered, left) in enumerate(changes(masks), 1):
        assert entered == left
        is_event = step in (10, 20, 30, 40)
        assert least <= entered <= 0.3 * number if is_event else entered == 0
    assert explored < torch.stack(masks).any(0).sum() / number < 1 + 4 * 0.3
    assert accuracy > 0.8


@pytest.mark.parametrize("rule", ["magnitude", "random"])
def test_gradual_rules_prune_down_to_the_density(rule, digits):
    masks, accuracy = trained(rule, digits)
    found = changes(masks)
    assert not any(entered for entered, _ in found)
    assert [step for step, (_, left) in enumerate(found, 1) if left] == [10, 20, 30, 40, 45]
    assert masks[-1].sum() == round(DENSITY * SIZE)
    assert accuracy > 0.8


def test_iterative_magnitude_prunes_in_rounds(digits):
    masks, accuracy = trained("iterative_magnitude", digits)
    number, steps = SIZE, []
    for step, (entered, left) in enumerate(changes(masks), 1):
        assert not entered
        if left:
            steps.append(step)
            assert left == number - round(0.6 * number)
            number -= left
    assert steps == [12, 23, 34]  # 45 steps in four parts
    assert accuracy > 0.9


def test_hebbian_masks_change_without_a_number(digits):
    masks, _ = trained("hebb_mask", digits)
    assert 0.2 * SIZE < masks[-1].sum() < SIZE


def test_a_static_mask_stays(digits):
    masks, accuracy = trained("static", digits)
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert masks[0].sum() == round(DENSITY * SIZE)
    assert accuracy > 0.8


def test_every_rule_that_prunes_is_trained_here():
    tested = {"set", "cosine", "coactivation", "rigl", "constant_fan_in", "magnitude", "random"}
    assert tested | {"iterative_magnitude", "hebb_mask", "static"} == {*RULES}
