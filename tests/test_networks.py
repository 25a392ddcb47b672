from itertools import product

import numpy as np
import pytest
import torch

from hebbevo.networks import RULES, Architecture, build
from hebbevo.nn import InputStamina, Stamina


def architecture(hidden=(4, 3), inputs=False, features=3, classes=2):
    return Architecture("mlp", hidden, "stamina", inputs, features, classes)


def same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_seed_alone_decides_the_net():
    first = build(architecture(), {}, 2**62 - 1)
    torch.manual_seed(3)
    torch.rand(4)
    assert same_state(build(architecture(), {}, 2**62 - 1), first)
    other = build(architecture(), {}, 12)
    assert not torch.equal(other.layers[0].weight, first.layers[0].weight)
    assert not torch.equal(other.head.weight, first.head.weight)


def test_knobs_do_not_change_the_initial_weights():
    plain, knobbed = (build(architecture(), knobs, 5) for knobs in ({}, {"unactivation_penalty": 3.0}))
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), knobbed.parameters(), strict=True))
    assert [unit.unactivation_penalty.item() for unit in knobbed.units] == [3.0, 3.0]


def test_building_leaves_pytorchs_generator_as_it_was():
    before = torch.get_rng_state()
    build(architecture(), {}, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_knobs_of_the_optimiser_are_not_the_rules_business():
    net = build(architecture(), {"learning_rate": 0.1, "momentum": 0.5, "grace": 7}, 1)
    assert [unit.grace.item() for unit in net.units] == [7, 7]


def test_layers_units_and_seeds_follow_the_architecture():
    shape = architecture(hidden=(5, 4, 3), inputs=True, features=7, classes=2)
    net = build(shape, {}, 40)
    assert shape.neurons == 12
    assert [tuple(layer.weight.shape) for layer in (*net.layers, net.head)] == [
        (5, 7),
        (4, 5),
        (3, 4),
        (2, 3),
    ]
    assert isinstance(net.inputs, InputStamina)
    assert all(isinstance(unit, Stamina) for unit in net.units)
    assert [unit.num_neurons for unit in (net.inputs, *net.units)] == [7, 5, 4, 3]
    assert [unit.seed.item() for unit in (net.inputs, *net.units)] == [40, 41, 42, 43]
    assert not any(layer.bias.any() for layer in (*net.layers, net.head))


def test_initial_weights_are_he_normal():
    net = build(architecture(hidden=(400, 300), features=200), {}, 0)
    for layer in net.layers:
        assert layer.weight.std().item() == pytest.approx((2 / layer.weight.shape[1]) ** 0.5, rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.002)


def test_the_forward_pass_is_that_of_a_masked_relu_network():
    net = build(architecture(inputs=True), {}, 2).eval()
    net.inputs.alive[1] = False
    net.units[0].alive[2] = False
    x = torch.randn(6, 3)
    hidden = (net.layers[0](x * net.inputs.alive)).relu() * net.units[0].alive
    hidden = (net.layers[1](hidden)).relu()
    torch.testing.assert_close(net(x), net.head(hidden))


def survivors_by_path(net, inputs):
    """Units on a path of living units and non-zero weights, found by walking every path."""
    weights = [layer.weight.detach().numpy() for layer in (*net.layers, net.head)]
    alive = [inputs.tolist(), *(unit.alive.tolist() for unit in net.units), [True] * len(weights[-1])]
    on_path = set()
    for path in product(*(range(len(layer)) for layer in alive)):
        living = all(layer[unit] for layer, unit in zip(alive, path, strict=True))
        if living and all(w[path[i + 1], path[i]] for i, w in enumerate(weights)):
            on_path.update(enumerate(path))
    return [len({unit for layer, unit in on_path if layer == depth}) for depth in range(len(alive) - 1)]


@pytest.mark.parametrize("inputs", [False, True])
@pytest.mark.parametrize("hidden", [(1,), (4,), (3, 4), (2, 3, 2)])
def test_survivors_are_the_units_on_a_live_path(hidden, inputs):
    rng = np.random.default_rng(len(hidden))
    seen = set()
    for seed in range(40):
        net = build(architecture(hidden, inputs), {}, seed)
        mortal = [*net.units, net.inputs] if inputs else list(net.units)
        with torch.no_grad():
            for layer in (*net.layers, net.head):
                layer.weight *= torch.from_numpy(rng.random(layer.weight.shape) < rng.choice([0.3, 0.5, 1.0]))
            for unit in mortal:
                unit.alive &= torch.from_numpy(rng.random(unit.num_neurons) < rng.choice([0.5, 0.8, 1.0]))
        living = net.inputs.alive if inputs else torch.ones(3, dtype=torch.bool)
        counted = net.survivors().tolist()
        assert counted == survivors_by_path(net, living)
        seen.add(tuple(counted))
    assert (0,) * (len(hidden) + 1) in seen  # a collapse
    assert len(seen) > 3


def test_a_dead_last_layer_collapses_every_layer():
    net = build(architecture(hidden=(4, 3, 2), inputs=True), {}, 0)
    assert net.survivors().tolist() == [3, 4, 3, 2]
    net.units[2].alive.fill_(False)
    assert net.survivors().tolist() == [0, 0, 0, 0]


def test_every_rule_declares_knobs_with_admissible_defaults():
    for rule in RULES.values():
        assert all(knob.problem(knob.default) is None for knob in rule.knobs.values())
        assert all(name == knob.name for name, knob in rule.knobs.items())
