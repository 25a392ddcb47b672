"""Convolutional networks: what a genome makes of them, and that they learn."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.data import load, split
from hebbevo.networks import Architecture, largest
from hebbevo.nn import HebbMask, Stamina, attach, plastic_connections
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.space import IntGene, Space
from hebbevo.training import Candidate, Recipe, train

DIGITS = (1, 8, 8)


# every rule for units beside two for connections, and every rule for connections beside one for units
PAIRS_OF_RULES = [*product(UNITS, ["full", "hebb_mask"]), *product(["stamina"], CONNECTIONS)]
every_pair_of_rules = pytest.mark.parametrize(("units", "connections"), sorted({*PAIRS_OF_RULES}))


def architecture(channels=(6, 8), hidden=(12,), units="stamina", shape=DIGITS, connections="full"):
    return Architecture("conv", hidden, units, False, shape, 10, channels, connections)


def is_sparse(net):
    return any(mask.sparsity() for mask in plastic_connections(net).values())


@every_pair_of_rules
def test_images_become_logits(units, connections):
    net = architecture(units=units, shape=(3, 12, 10), connections=connections).build({}, 1)
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1), total_steps=10)
    for mode in (True, False):
        assert net.train(mode)(torch.randn(4, 3, 12, 10)).shape == (4, 10)


@pytest.mark.parametrize(
    ("values", "channels", "hidden"),
    [
        ({}, (6, 8), (12,)),
        ({"channels": 5}, (5, 5), (12,)),
        ({"channels.2": 5, "hidden": 7}, (6, 5), (7,)),
        ({"channels": 4, "channels.1": 9, "hidden.1": 3}, (9, 4), (3,)),
    ],
)
def test_widths_come_from_the_values_else_from_the_architecture(values, channels, hidden):
    base = architecture()
    shaped = base.shaped(values)
    assert (shaped.channels, shaped.hidden, shaped.neurons) == (channels, hidden, sum(channels + hidden))
    ours, theirs = base.build(values, 3), architecture(channels, hidden).build({}, 3)
    pairs = zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True)
    assert all(one == two and torch.equal(a, b) for (one, a), (two, b) in pairs)
    assert [unit.num_neurons for unit in ours.modules() if isinstance(unit, Stamina)] == [*channels, *hidden]


def test_layers_are_numbered_consecutively_convolutions_first():
    values = {"grace": 7, "grace.1": 3, "grace.3": 5}
    units = [each for each in architecture().build(values, 40).modules() if isinstance(each, Stamina)]
    assert [each.grace.item() for each in units] == [3, 7, 5]
    assert [each.seed.item() for each in units] == [41, 42, 43]
    assert [each.dim for each in units] == [1, 1, -1]
    rates = {"permanence_rate": 0.5, "permanence_rate.1": 0.25, "permanence_rate.3": 1.0}
    rates["connections"] = "hebb_mask"
    masks = [each for each in architecture().build(rates, 1).modules() if isinstance(each, HebbMask)]
    assert [each.permanence_rate.item() for each in masks] == [0.25, 0.5, 1.0, 1.0]


def test_every_layer_follows_the_rules():
    for rules, number in (({}, (3, 0)), ({"connections": "hebb_mask"}, (3, 4)), ({"units": "dense"}, (0, 0))):
        modules = list(architecture().build(rules, 1).modules())
        kinds = tuple(sum(isinstance(each, kind) for each in modules) for kind in (Stamina, HebbMask))
        assert kinds == number


def test_every_rule_starts_from_the_same_weights():
    """Those that begin with a part of the connections start from a part of the weights."""
    nets = {
        (units, connections): architecture(units=units, connections=connections).build({}, 3).eval()
        for units, connections in PAIRS_OF_RULES
    }
    layers = [
        [each.weight for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
        for net in nets.values()
    ]
    assert all(all(map(torch.equal, own, layers[0])) for own in layers[1:])
    nets = {names: net for names, net in nets.items() if not is_sparse(net)}
    assert {connections for _, connections in nets} >= {"full", "hebb_mask", "magnitude", "random"}
    x = torch.randn(4, *DIGITS)
    # a rule with trained parameters has gates that scale the outputs
    outputs = [net(x) for (units, _), net in nets.items() if not UNITS[units].parameters]
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


@pytest.mark.parametrize(
    ("shape", "channels", "sizes"),
    [
        ((1, 8, 8), (3, 3, 3, 3), [(4, 4), (2, 2), (2, 2), (2, 2)]),
        ((1, 28, 28), (3, 3, 3, 3), [(14, 14), (7, 7), (3, 3), (3, 3)]),
        ((3, 3, 9), (4, 4), [(3, 9), (3, 9)]),
        ((2, 1, 1), (4,), [(1, 1)]),
    ],
)
def test_images_are_pooled_as_long_as_every_side_has_four_pixels(shape, channels, sizes):
    net = architecture(channels, shape=shape).build({}, 1).eval()
    x = torch.randn(2, *shape)
    seen = []
    for block in net.features:
        x = block(x)
        seen.append(tuple(x.shape[2:]))
    assert seen == sizes
    assert net(torch.randn(2, *shape)).shape == (2, 10)


def test_without_hidden_layers_the_output_layer_reads_the_feature_maps():
    net = architecture(hidden=()).build({}, 1)
    assert net.head.weight.shape == (10, 8 * 2 * 2)
    assert net(torch.randn(2, *DIGITS)).shape == (2, 10)


def test_the_forward_pass_is_convolution_norm_masked_relu_and_maximum():
    net = architecture().build({}, 2).eval()
    convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    norms = [each for each in net.modules() if isinstance(each, nn.BatchNorm2d)]
    first, second, third = (each for each in net.modules() if isinstance(each, Stamina))
    first.alive[2] = second.alive[0] = third.alive[5] = False
    x = images = torch.randn(5, *DIGITS)
    for convolution, norm, units in zip(convolutions, norms, (first, second), strict=True):
        norm.running_mean.normal_()
        x = nn.functional.conv2d(x, convolution.weight, padding=1)
        x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
        x = nn.functional.max_pool2d(x.relu() * units.alive[:, None, None], 2)
    hidden = nn.functional.linear(x.flatten(1), net.hidden[0].weight).relu() * third.alive
    torch.testing.assert_close(net(images), net.head(hidden))


def test_the_largest_network_has_the_largest_channels_and_hidden_layers():
    base = architecture()
    space = Space((IntGene("channels", 2, 9), IntGene("hidden.1", 2, 30)))
    found = largest(base, space)
    assert (found.channels, found.hidden) == ((9, 9), (30,))
    made = {base.shaped(genome).neurons for genome in space.sample(3000, np.random.default_rng(0))}
    assert max(made) == found.neurons


@pytest.mark.parametrize(
    ("units", "connections"),
    [("stamina", "full"), ("dense", "hebb_mask"), ("dense", "full"), ("stamina", "hebb_mask")],
)
def test_digits_are_learned(units, connections):
    parts = split(load("digits"), 1, 64)
    settings = {"learning_rate": 1e-2, "permanence_rate": 1e-3, "unactivation_penalty": 0.5}
    network = architecture((8, 16), (32,), units, connections=connections)
    recipe = Recipe(network, settings, epochs=4, batch_size=64, seed=1)
    (measured,) = train(recipe, [Candidate({})], parts, torch.device("cpu"))
    assert measured.failure is None
    assert measured.accuracy[-1] > 0.9
    assert measured.neurons == 8 + 16 + 32
    assert len(measured.layers) == 3


def test_a_convolution_reads_as_many_channels_as_the_one_before_has():
    net = architecture((5, 7, 9)).build({}, 1)
    shapes = [each.weight.shape for each in net.modules() if isinstance(each, nn.Conv2d)]
    assert [shape[:2] for shape in shapes] == [(after, before) for before, after in pairwise((1, 5, 7, 9))]
