"""The parts of a network under credit rules."""

import pytest

from hebbevo.networks import Architecture


def shares(settings):
    """From where to where in the training each hidden layer learns."""
    net = Architecture("mlp", (8, 6, 4), "dense", False, (5,), 3, credit="softhebb").build(settings, 0)
    layers = [layer.credit for layer in net.layers]
    return [(pytest.approx(float(each.learns_from)), float(each.learns_until)) for each in layers]


def test_layers_learn_all_at_once_or_one_after_the_other():
    assert shares({}) == [(0, 0)] * 3
    assert shares({"greedy": True, "settle": 0.25}) == [
        (0, pytest.approx(0.25)), (0.25, pytest.approx(0.5)), (0.5, pytest.approx(0.75)),
    ]  # fmt: skip
    assert shares({"greedy": True, "learns_from.2": 0.0})[1] == (0, pytest.approx(2 / 3))


def test_the_head_learns_the_task():
    net = Architecture("mlp", (8,), "dense", False, (5,), 3, credit="hebbian").build({}, 0)
    assert [name for name, each in net.named_parameters() if each.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
