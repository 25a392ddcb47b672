"""Similarity matching against its equations written down for dense matrices, and under the engine."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import (
    PlasticUnits,
    SimilarityMatching2d,
    SimilarityMatchingLinear,
    SimilarityMatchingNetwork,
    Stamina,
    attach,
)
from hebbevo.rules import UNITS
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
TANH, RECTIFIER = nn.Tanh(), nn.ReLU()
CONVERGED = {"iterations": 400, "tolerance": 1e-6}


def minibatches(number, rows, *shape):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(rows, *shape, generator=generator, dtype=torch.float64) for _ in range(number)]


def image_layer(**knobs):
    torch.manual_seed(0)
    return SimilarityMatching2d(2, (6, 8), 3, radius=2.3, stride=2, **knobs).double()


class Literal:
    """Dense matrices with structure constants, as the equations of the paper have them."""

    def __init__(self, layers, gamma, sizes):
        self.layers, self.gamma = layers, gamma
        self.matrices = [dense(layer, size) for layer, size in zip(layers, sizes, strict=True)]

    def settle(self, x, iterations):
        u = [np.zeros((len(x), len(w))) for w, *_ in self.matrices]
        steps = [
            min(float(layer.step), 1 / (1 + np.abs(lateral - np.eye(len(lateral))).sum(1).max()))
            for layer, (_, lateral, *_) in zip(self.layers, self.matrices, strict=True)
        ]
        for _ in range(iterations):
            r = self.outputs(u)
            du = [self.change(p, x, u, r) for p in range(len(u))]
            u = [each + step * change for each, step, change in zip(u, steps, du, strict=True)]
        return u

    def outputs(self, u):
        return [
            layer.activation(layer.gain * torch.from_numpy(each)).numpy()
            for layer, each in zip(self.layers, u, strict=True)
        ]

    def change(self, p, x, u, r):
        weight, lateral, *_ = self.matrices[p]
        below = x if p == 0 else r[p - 1]
        change = -u[p] + below @ weight.T - r[p] @ (lateral - np.eye(len(lateral))).T
        if p + 1 < len(u):
            change += self.gamma * r[p + 1] @ self.matrices[p + 1][0]
        return change

    def learn(self, x, t, iterations):
        r = self.outputs(self.settle(x, iterations))
        for p, layer in enumerate(self.layers):
            weight, lateral, connected, linked = self.matrices[p]
            below = x if p == 0 else r[p - 1]
            last = len(r) - 1
            factor = self.gamma ** (p - last) if self.gamma else 1.0
            rate = min(factor * float(layer.rate) / (1 + float(layer.rate_decay) * t), 1)
            share = 1 / (1 + self.gamma) if p < last else 1.0
            weight += rate * connected * (r[p].T @ below / len(x) - weight)
            lateral += rate / 2 * linked * (r[p].T @ r[p] / len(x) - share * lateral)
        return r


def dense(layer, size):
    """W, L and their structure constants, by brute force over pixels and sites; rows are outputs."""
    if isinstance(layer, SimilarityMatchingLinear):
        lateral = layer.lateral[0].detach().numpy().copy()
        weight = layer.weight.detach().numpy().copy()
        return weight, lateral, np.ones_like(weight), np.ones_like(lateral)
    channels, height, width = size
    rows, columns = height // 2, width // 2
    sites, units = rows * columns, layer.units
    weight = np.zeros((units, sites, channels, height, width))
    lateral = np.zeros((units, sites, units, sites))
    connected, linked = np.zeros_like(weight), np.zeros_like(lateral)
    centres = [(2 * i + 1.0, 2 * j + 1.0) for i in range(rows) for j in range(columns)]
    own = layer.weight.detach().numpy().reshape(sites, units, channels, -1)
    around = layer.lateral.detach().numpy().reshape(sites, units, -1, units)
    for site, centre in enumerate(centres):
        place = 0
        for i in range(height):
            for j in range(width):
                if math.dist(centre, (i + 0.5, j + 0.5)) <= 2.3:
                    weight[:, site, :, i, j] = own[site, :, :, place]
                    connected[:, site, :, i, j] = 1
                    place += 1
        near = [other for other, there in enumerate(centres) if math.dist(centre, there) <= radius_of(layer)]
        for number, other in enumerate(near):
            lateral[:, site, :, other] = around[site, :, number]
            linked[:, site, :, other] = 1
    n = units * sites
    return (
        weight.reshape(n, -1),
        lateral.reshape(n, n),
        connected.reshape(n, -1),
        linked.reshape(n, n),
    )


def radius_of(layer):
    return 0 if layer.lateral.shape[-1] == layer.units else 2.0


def flat(values):
    return values.detach().flatten(1).numpy()


DENSE = [
    pytest.param({"activation": TANH}, id="tanh"),
    pytest.param({"activation": RECTIFIER, "gain": 0.7, "rate_decay": 0.5}, id="rectifier"),
    pytest.param({"activation": TANH, "gain": 1.5, "rate": 0.4}, id="gain"),
]


@pytest.mark.parametrize("knobs", DENSE)
def test_dynamics_and_learning_of_a_dense_layer_are_those_of_the_equations(knobs):
    torch.manual_seed(0)
    layer = SimilarityMatchingLinear(7, 5, tolerance=1, iterations=25, **knobs).double()
    literal = Literal([layer], 0, [(7,)])
    for t, x in enumerate(minibatches(4, 6, 7)):
        [expected] = literal.learn(x.numpy(), t, 25)
        np.testing.assert_allclose(flat(layer(x)), expected, rtol=1e-10, atol=1e-12)
    weight, lateral, *_ = dense(layer, (7,))
    np.testing.assert_allclose(weight, literal.matrices[0][0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(lateral, literal.matrices[0][1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lateral_radius", [0.0, 2.0])
@pytest.mark.parametrize("activation", [TANH, RECTIFIER], ids=["tanh", "rectifier"])
def test_a_local_layer_is_a_dense_one_with_structure_constants(lateral_radius, activation):
    layer = image_layer(lateral_radius=lateral_radius, activation=activation, tolerance=1, iterations=25)
    assert layer.lateral.shape[-1] == (3 if lateral_radius == 0 else 15)
    literal = Literal([layer], 0, [(2, 6, 8)])
    for t, x in enumerate(minibatches(3, 5, 2, 6, 8)):
        [expected] = literal.learn(flat(x), t, 25)
        np.testing.assert_allclose(flat(layer(x)), expected, rtol=1e-10, atol=1e-12)
    for own, theirs in zip(dense(layer, (2, 6, 8)), literal.matrices[0], strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_a_deep_network_settles_and_learns_with_feedback_as_the_equations_say(gamma):
    first = image_layer(tolerance=1)
    second = SimilarityMatching2d(3, (3, 4), 2, radius=2.3, stride=2, tolerance=1).double()
    net = SimilarityMatchingNetwork(first, second, feedback=gamma).double()
    net.iterations = 30
    literal = Literal([first, second], float(net.feedback), [(2, 6, 8), (3, 3, 4)])
    for t, x in enumerate(minibatches(3, 5, 2, 6, 8)):
        expected = literal.learn(flat(x), t, 30)
        for own, theirs in zip(net.outputs(x), expected, strict=True):
            np.testing.assert_allclose(flat(own), theirs, rtol=1e-9, atol=1e-12)
    for layer, size, theirs in zip((first, second), [(2, 6, 8), (3, 3, 4)], literal.matrices, strict=True):
        for own, each in zip(dense(layer, size), theirs, strict=True):
            np.testing.assert_allclose(own, each, rtol=1e-9, atol=1e-12)


def test_without_feedback_layers_settle_as_one_after_the_other():
    first = image_layer(iterations=100, tolerance=1e-6)
    second = SimilarityMatching2d(3, (3, 4), 2, radius=2.3, stride=2, iterations=100, tolerance=1e-6).double()
    net = SimilarityMatchingNetwork(first, second).double()
    alone = copy.deepcopy((first, second))
    for x in minibatches(2, 5, 2, 6, 8):
        torch.testing.assert_close(net(x), alone[1](alone[0](x)), rtol=1e-6, atol=1e-8)
    for own, theirs in zip(net.layers, alone, strict=True):
        torch.testing.assert_close(own.weight, theirs.weight, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(own.lateral, theirs.lateral, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", [TANH, RECTIFIER], ids=["tanh", "rectifier"])
def test_the_fixed_point_satisfies_its_equation(activation):
    torch.manual_seed(0)
    layer = SimilarityMatchingLinear(7, 5, activation=activation, **CONVERGED).double()
    for x in minibatches(5, 20, 7):
        layer(x)
    assert float(layer.residual) < 1e-6
    assert float(layer.unconverged) == 0
    layer.eval()
    r = layer(x)
    potentials = x @ layer.weight.T - r @ (layer.lateral[0] - torch.eye(5)).T
    torch.testing.assert_close(r, activation(potentials), rtol=1e-5, atol=1e-5)
    assert layer.residuals(x).shape == (20,)
    assert layer.residuals(x).amax() < 1e-6


def test_linear_units_find_the_principal_subspace():
    torch.manual_seed(0)
    spectrum = torch.tensor([4.0, 3.0, 2.0, 0.3, 0.2, 0.1], dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    x = torch.randn(400, 6, dtype=torch.float64)
    x = torch.linalg.qr(x - x.mean(0)).Q * (400 * spectrum).sqrt() @ rotation.T  # exactly this covariance
    layer = SimilarityMatchingLinear(
        6, 3, activation=nn.Identity(), rate=0.3, iterations=50, tolerance=1
    ).double()
    for _ in range(150):
        r = layer(x)
    principal = rotation[:, :3]  # the eigenvectors, the largest first
    filters = torch.linalg.solve(layer.lateral[0], layer.weight)
    outside = filters - filters @ principal @ principal.T
    assert outside.norm() < 1e-3 * filters.norm()
    # the optimum: similarities of the outputs are those of the inputs' principal components
    components = x @ principal
    torch.testing.assert_close(r @ r.T, components @ components.T, rtol=1e-2, atol=3e-2)
    torch.testing.assert_close(
        torch.linalg.eigvalsh(layer.lateral[0]).detach(), spectrum[:3].flip(0), rtol=1e-2, atol=1e-2
    )


def test_rows_that_do_not_converge_are_said_once_and_kept():
    torch.manual_seed(0)
    layer = SimilarityMatchingLinear(7, 5, iterations=3)
    with pytest.warns(UserWarning, match="of the rows have not converged .* give more iterations"):
        layer(torch.randn(20, 7))
    assert float(layer.residual) > float(layer.tolerance)
    assert float(layer.unconverged) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(torch.randn(20, 7))


def test_strong_inhibition_does_not_make_the_steps_diverge():
    torch.manual_seed(0)
    layer = SimilarityMatchingLinear(7, 5, activation=RECTIFIER, iterations=400).double()
    with torch.no_grad():
        layer.lateral.copy_(torch.eye(5) + 10 * torch.ones(5, 5))
    [x] = minibatches(1, 20, 7)
    assert layer.residuals(x).amax() < 0.1


def test_lateral_correlations_are_those_of_the_running_covariance():
    layer = image_layer(tolerance=1, lateral_radius=2.0)
    for x in minibatches(3, 5, 2, 6, 8):
        layer(x)
    _, lateral, _, linked = dense(layer, (2, 6, 8))
    deviation = np.sqrt(np.diag(lateral))
    expected = linked * lateral / np.outer(deviation, deviation)
    with torch.no_grad():
        layer.lateral.copy_(layer.lateral_correlation())
    np.testing.assert_allclose(dense(layer, (2, 6, 8))[1], expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.diag(expected), 1)


# units that are pruned


KINDS = ["dense", "local", "deep"]


def pruned_net(kind, units=5, **knobs):
    """A net whose layer of so many units is before units that are pruned, the layer, and rows for it."""
    torch.manual_seed(0)
    knobs = {"activation": RECTIFIER, "tolerance": 1, "rate": 1e-9, "iterations": 10, **knobs}
    rule = {"seed": 1, "target": units - 1, "events": 1, "warmup": 2}
    if kind == "local":
        layer = SimilarityMatching2d(2, (6, 8), units, radius=2.3, stride=2, lateral_radius=2.0, **knobs)
        learning, rows, reader = layer, torch.rand(50, 2, 6, 8), nn.Linear(12 * units, 3)
    else:
        inputs = 6 if kind == "deep" else 7
        layer = SimilarityMatchingLinear(inputs, units, **knobs)
        below = SimilarityMatchingLinear(7, 6, **knobs)
        learning = SimilarityMatchingNetwork(below, layer, feedback=0.2) if kind == "deep" else layer
        rows, reader = torch.rand(50, 7), nn.Linear(units, 3)
    pruned = PlasticUnits(UNITS["decorrelation"], units, dim=1, **rule)
    return nn.Sequential(learning, pruned, nn.Flatten(), reader), layer, rows


def trained(net, x, steps=4):
    optimizer = torch.optim.SGD([each for each in net.parameters() if each.requires_grad], lr=0.0)
    attach(net, optimizer, total_steps=steps, example=x)
    for _ in range(steps):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("strong", "weak"), [(0, 3), (4, 1)])
def test_decorrelation_prunes_the_weaker_unit_of_a_pair_that_inhibits_one_another(kind, strong, weak):
    net, layer, x = pruned_net(kind)
    with torch.no_grad():
        # one unit as the others, so that the readers alone decide which is strong
        layer.by_unit(layer.weight).copy_(layer.by_unit(layer.weight)[:1].clone())
        blocks = layer.lateral.unflatten(-1, (-1, 5))  # (sites, units, neighbours, units)
        pair = 0.9 * layer.identity_of_units().reshape(blocks.shape)
        blocks[:, strong, :, weak] += pair[:, weak, :, weak]
        blocks[:, weak, :, strong] += pair[:, strong, :, strong]
        reader = net[-1].weight.reshape(3, 5, -1)
        reader.fill_(1.0)
        reader[:, weak] = 0.9
    trained(net, x)
    assert (~net[1].alive).nonzero().flatten().tolist() == [weak]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_unit_is_silent_in_its_layer_and_begins_anew(kind):
    net, layer, x = pruned_net(kind, rate=0.2)
    trained(net, x, steps=6)
    net(x)  # units are pruned after the last step
    alive, by_unit = net[1].alive, layer.by_unit(layer.weight.detach())
    assert alive.sum() == 4
    assert not by_unit[~alive].any()
    assert by_unit[alive].flatten(1).any(1).all()
    # where connections never are, there are still none
    assert not layer.weight[~layer.connected].any()
    covariance = layer.lateral_covariance(layer.lateral.detach())
    assert covariance[~alive][:, ~alive].item() == 1
    assert not covariance[~alive][:, alive].any()
    table = hebbevo.count(net.eval(), x[:1])
    name = "0[1]" if kind == "deep" else "0"  # the second layer in the forward pass of the network
    assert table.loc[name, "neurons_alive"] == (4 * 12 if kind == "local" else 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_is_regrown_has_connections_as_strong_as_at_the_start(kind):
    net, layer, x = pruned_net(kind, units=40)
    norms = layer.by_unit(layer.weight.detach()).flatten(1).norm(dim=1)
    regrowth = {"initial_neurons": 0.5, "warmup": 0, "prune_period": 1, "regrowth_rate": 1.0, "max_deaths": 0}
    net[1] = Stamina(40, dim=1, seed=1, **regrowth)
    trained(net, x, steps=2)
    weight = layer.by_unit(layer.weight.detach())
    regrown = ~torch.isclose(weight, norms.new_zeros(())).flatten(1).all(1) & (net[1].age < 2)
    assert regrown.sum() == 20
    found = weight[regrown].flatten(1).norm(dim=1)
    torch.testing.assert_close(found.square().mean(), norms.square().mean(), rtol=0.2, atol=0)
    assert not layer.weight[~layer.connected].any()


def test_units_in_front_of_a_layer_lose_its_connections_from_them():
    torch.manual_seed(0)
    units = Stamina(3, dim=1, initial_neurons=0.67)
    layer = SimilarityMatching2d(3, 6, 2, radius=2, stride=2, iterations=5, tolerance=1)
    net = nn.Sequential(nn.Conv2d(1, 3, 1), units, layer, nn.Flatten(), nn.Linear(18, 2))
    trained(net, torch.rand(4, 1, 6, 6), steps=1)
    assert not layer.weight[:, 2].any()
    assert layer.weight[:, :2].any()


def test_the_covariance_of_units_is_that_of_one_site_on_average_with_leading_axes_too():
    layer = image_layer(tolerance=1, lateral_radius=2.0)
    for x in minibatches(3, 5, 2, 6, 8):
        layer(x)
    lateral = dense(layer, (2, 6, 8))[1].reshape(3, 12, 3, 12)
    expected = np.einsum("isjs->ij", lateral) / 12
    own = layer.lateral.detach()
    np.testing.assert_allclose(layer.lateral_covariance(own), expected)
    stacked = layer.lateral_covariance(torch.stack([own, 2 * own]))
    np.testing.assert_allclose(stacked, [expected, 2 * expected])
    weights = torch.stack([layer.weight.detach(), -layer.weight.detach()])
    torch.testing.assert_close(layer.by_unit(weights)[1], -layer.by_unit(layer.weight.detach()))


# under the engine


def classifier(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        SimilarityMatching2d(1, 6, 3, radius=2, stride=2, iterations=20, tolerance=1, rate=0.1 * (1 + seed)),
        nn.Flatten(),
        SimilarityMatchingLinear(27, 5, activation=RECTIFIER, iterations=20, tolerance=1),
        nn.Linear(5, 3),
    )


def deep_classifier(seed=0):
    torch.manual_seed(seed)
    net = SimilarityMatchingNetwork(
        SimilarityMatching2d(1, 6, 3, radius=2, stride=2, iterations=10, tolerance=1),
        SimilarityMatching2d(3, 3, 2, radius=2, stride=1, iterations=10, tolerance=1),
        feedback=0.1 * (1 + seed),
    )
    return nn.Sequential(net, nn.Flatten(), nn.Linear(18, 3))


@pytest.mark.parametrize("make", [classifier, deep_classifier])
def test_a_stack_learns_what_the_nets_learn_alone(make):
    seeds = (1, 2, 3)
    alone, stacked = ([make(seed).double() for seed in seeds] for _ in range(2))
    stack = VmapStack(stacked, CPU)
    stacks = [stack, *(SingleNet(net, CPU) for net in alone)]
    for x in minibatches(4, 8, 1, 6, 6):
        y = torch.arange(8) % 3
        for nets in stacks:
            _, gradients = nets.losses(nn.functional.cross_entropy, x, y)
            with torch.no_grad():
                for weight, gradient in zip(nets.trained.values(), gradients, strict=True):
                    weight.sub_(0.1 * gradient)
    for row, net in enumerate(alone):
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stack.state[name][row], value, rtol=1e-9, atol=1e-10, msg=name)
    assert not torch.equal(
        stack.state["0.steps" if make is classifier else "0.layers.0.steps"], torch.zeros(3)
    )


@pytest.mark.parametrize("make", [classifier, deep_classifier])
def test_evaluation_gives_the_outputs_of_training_and_changes_nothing(make):
    net = make().double()
    [x] = minibatches(1, 8, 1, 6, 6)
    before = copy.deepcopy(net)
    trained, evaluated = net(x), before.eval()(x)
    torch.testing.assert_close(evaluated, trained)
    fresh = make().double().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in before.state_dict().items())
    assert not all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())


def test_gradients_pass_to_the_layers_before():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 7), SimilarityMatchingLinear(7, 5, tolerance=1, iterations=20), nn.Linear(5, 2)
    ).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    evaluated = copy.deepcopy(net).eval()
    net(x).square().sum().backward()
    evaluated(x).square().sum().backward()
    torch.testing.assert_close(net[0].weight.grad, evaluated[0].weight.grad)
    assert net[0].weight.grad.norm() > 0
    assert net[1].weight.grad is None


def test_compiled_training_and_evaluation_are_the_plain_ones():
    torch.manual_seed(0)  # two iterations, since each is compiled by itself
    plain = SimilarityMatchingLinear(6, 3, iterations=2, tolerance=100)
    compiled = copy.deepcopy(plain)
    function = torch.compile(compiled, backend="eager", fullgraph=True)
    for x in minibatches(2, 8, 6):
        torch.testing.assert_close(function(x.float()), plain(x.float()))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, msg=name)
    evaluated = torch.compile(compiled.eval(), backend="eager", fullgraph=True)
    torch.testing.assert_close(evaluated(x.float()), plain.eval()(x.float()))


def test_count_knows_units_and_connections():
    net = classifier().eval()
    table = hebbevo.count(net, torch.zeros(1, 1, 6, 6))
    assert table.attrs["notes"] == []
    assert table["neurons"].dropna().tolist() == [27, 5, 32]
    real = int(net[0].connected.sum())
    assert table.loc["0", "connections_alive"] == real
    assert table.loc["2", "connections_alive"] == 27 * 5
    with torch.no_grad():
        net[2].weight[1] = 0  # a unit without inputs is silent, and inhibits no other
    table = hebbevo.count(net, torch.zeros(1, 1, 6, 6))
    assert table.loc["2", "neurons_alive"] == 4
    x = torch.randn(3, 1, 6, 6)
    assert not net[:3](x)[:, 1].any()


def test_a_unit_that_nothing_reads_lives_as_long_as_it_inhibits_another():
    torch.manual_seed(0)
    layer = SimilarityMatchingLinear(4, 3, tolerance=1)
    for x in minibatches(3, 20, 4):
        layer(x.float())
    net = nn.Sequential(layer, nn.Linear(3, 2)).eval()
    with torch.no_grad():
        net[1].weight[:, 0] = 0
    x = torch.zeros(1, 4)
    assert hebbevo.count(net, x).loc["0", "neurons_alive"] == 3
    with torch.no_grad():
        layer.lateral[0, 0, 1:] = layer.lateral[0, 1:, 0] = 0
    assert hebbevo.count(net, x).loc["0", "neurons_alive"] == 2


def test_a_program_of_the_network_computes_the_same():
    net = deep_classifier().eval()
    net[0].iterations = 3
    x = torch.randn(3, 1, 6, 6)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x))


def test_what_can_be_saved_is_the_state_of_learning():
    net = classifier()
    for x in minibatches(2, 8, 1, 6, 6):
        net(x.float())
    other = classifier(seed=4)
    other.load_state_dict(net.state_dict())
    x = torch.randn(3, 1, 6, 6)
    assert torch.equal(other.eval()(x), net.eval()(x))
    assert int(other[0].steps) == 2


def test_images_of_another_size_are_refused_in_one_line():
    layer = SimilarityMatching2d(1, 6, 2)
    with pytest.raises(UsageError, match=r"inputs have the shape \(4, 1, 8, 8\); give \(rows, 1, 6, 6\)"):
        layer(torch.rand(4, 1, 8, 8))


def test_a_minibatch_without_rows_teaches_nothing():
    net = classifier()
    before = copy.deepcopy(net.state_dict())
    assert net(torch.rand(0, 1, 6, 6)).shape == (0, 3)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimilarityMatchingLinear(3, 2, rate=0.0), "rate is 0.0; give a number above 0, at most 1"),
        (lambda: SimilarityMatchingLinear(3, 2, iterations=0), "iterations is 0; give a number above 0"),
        (lambda: SimilarityMatchingLinear(3, 2, rate_decay=-1.0), "rate_decay is -1.0; give 0 or more"),
        (lambda: SimilarityMatching2d(1, 6, 2, stride=7), "stride is 7; give 1 to 6"),
        (lambda: SimilarityMatching2d(1, 6, 2, radius=0.5), "radius is 0.5, and a disc has no pixel"),
        (lambda: SimilarityMatching2d(1, 6, 2, radius=-3), "radius is -3; give 0 or more"),
        (lambda: SimilarityMatching2d(1, 6, 2, lateral_radius=-1), "lateral_radius is -1; give 0 or more"),
        (lambda: SimilarityMatchingLinear(3, 0), "units is 0; give a number above 0"),
        (lambda: SimilarityMatchingLinear(0, 3), "inputs is 0; give a number above 0"),
        (lambda: SimilarityMatchingLinear(3, 2, gain=math.inf), "gain is inf; give a number above 0"),
        (lambda: SimilarityMatchingLinear(3, 2, iterations=2.5), "iterations is 2.5; give a whole number"),
        (lambda: SimilarityMatchingLinear(3, 2, activation="tanh"), "activation is 'tanh'; give a module"),
        (lambda: SimilarityMatchingNetwork(*[SimilarityMatchingLinear(3, 3)] * 2), "a layer is there twice"),
        (lambda: SimilarityMatchingNetwork(nn.Linear(3, 2)), "layers of similarity matching only"),
        (lambda: SimilarityMatchingNetwork(SimilarityMatchingLinear(3, 2), feedback=2), "feedback is 2"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, message):
    with pytest.raises(UsageError, match=message):
        make()
