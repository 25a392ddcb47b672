"""Densities of layers: Erdos-Renyi by itself and for a whole network, against the published procedures."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hebbevo.nn import attach, masked, plastic_connections
from hebbevo.rules.connections.density import DISTRIBUTIONS, shares
from tests.rules.conftest import RuleTraining

MLP = [(300, 784), (100, 300), (10, 100)]
CONV = [(6, 1, 3, 3), (16, 6, 3, 3), (32, 16, 3, 3), (10, 32)]


def found(shapes, distribution, density=0.1, epsilon=13.0):
    k = SimpleNamespace(
        distribution=torch.tensor(DISTRIBUTIONS.index(distribution)),
        density=torch.tensor(density),
        epsilon=torch.tensor(epsilon),
    )
    return [float(share) for share in shares([k] * len(shapes), shapes)]


def ratio(shape, kernels):
    outputs, inputs, *kernel = shape
    if kernels:
        return (outputs + inputs + sum(kernel)) / math.prod(shape)
    return (outputs + inputs) / (outputs * inputs)


def rigl(shapes, density, kernels):
    """The procedure of RigL's code: the layers of the highest density become dense, one after the other."""
    dense = set()
    while True:
        rest = density * sum(map(math.prod, shapes)) - sum(math.prod(shapes[layer]) for layer in dense)
        others = [layer for layer in range(len(shapes)) if layer not in dense]
        ratios = {layer: ratio(shapes[layer], kernels) for layer in others}
        epsilon = rest / sum(ratios[layer] * math.prod(shapes[layer]) for layer in others)
        most = max(ratios.values())
        if most * epsilon <= 1:
            return [1.0 if layer in dense else epsilon * ratios[layer] for layer in range(len(shapes))]
        dense |= {layer for layer in others if ratios[layer] == most}


def test_a_uniform_density_is_the_knob():
    assert found(MLP, "uniform", 0.25) == [0.25] * 3


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("shapes", [MLP, CONV])
def test_a_layer_by_itself_has_epsilon_connections_for_each_input_and_output(shapes, kernels):
    expected = [min(1, 2 * ratio(shape, kernels)) for shape in shapes]
    name = "erk" if kernels else "erdos_renyi"
    assert found(shapes, name, epsilon=2.0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("shapes", [MLP, CONV])
def test_a_network_has_the_density_and_the_layers_have_those_of_the_published_procedure(
    shapes, kernels, density
):
    shared = found(shapes, "global_erk" if kernels else "global_erdos_renyi", density)
    assert shared == pytest.approx(rigl(shapes, density, kernels), rel=1e-5)
    total = sum(share * math.prod(shape) for share, shape in zip(shared, shapes, strict=True))
    assert total == pytest.approx(density * sum(map(math.prod, shapes)), rel=1e-5)


def test_a_network_without_connections_has_none_and_a_whole_one_has_all():
    assert found(MLP, "global_erk", 0.0) == [0.0] * 3
    assert found(MLP, "global_erk", 1.0) == pytest.approx([1.0] * 3)


def test_attaching_shares_the_density_of_a_network_among_its_layers():
    torch.manual_seed(0)
    knobs = dict(density=0.3, distribution="global_erk")
    layers = [masked("static", nn.Linear(*size), **knobs) for size in ((40, 30), (30, 20), (20, 5))]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    weights = [layer.module.weight.clone() for layer in layers]
    expected = rigl([(30, 40), (20, 30), (5, 20)], 0.3, True)
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1))
    for layer, share, weight in zip(layers, expected, weights, strict=True):
        mask = layer.masks()["weight"]
        assert mask.sum() == round(share * mask.numel())
        assert torch.equal(layer.module.weight, weight.masked_fill(~mask, 0))  # all have their first weights
    net(torch.randn(3, 40))
    masks = [layer.masks()["weight"].clone() for layer in layers]
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1))  # a training that has begun keeps its masks
    assert all(torch.equal(layer.masks()["weight"], mask) for layer, mask in zip(layers, masks, strict=True))


@pytest.mark.parametrize("rule", ["magnitude", "set"])
def test_networks_of_a_stack_share_out_densities_of_their_own_as_alone(rule):
    training = RuleTraining("dense", rule, knobs={"distribution": "global_erk", "density": 0.3})
    cohorts = {how: training.cohort(how) for how in ("alone", "stack", "compact")}
    for cohort in cohorts.values():
        for _ in range(training.epochs):
            cohort.train_epoch()
    counts = {
        how: [int(value[0].sum()) for key, value in each.state.items() if key.endswith("connected")]
        for how, each in cohorts.items()
    }
    shapes = [(13, 11), (9, 13), (4, 9)]
    expected = [
        round(share * math.prod(shape)) for share, shape in zip(rigl(shapes, 0.3, True), shapes, strict=True)
    ]
    assert counts == dict.fromkeys(cohorts, expected)
    assert len(plastic_connections(training.nets()[0])) == 3
