"""Noise on activations: its law, its random numbers; in evaluation, in stacks and in compact networks."""

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import ActivationNoise, FeatureFlow, StructuredNoise, attach
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
ROWS = 64


def activations(rows=ROWS, units=3):
    """Correlated activations with a mean."""
    mixing = torch.randn(units, units, generator=torch.Generator().manual_seed(0))
    return (torch.randn(rows, units, generator=torch.Generator().manual_seed(1)) @ mixing + 1).relu() + 0.1


def draws_of(noise, x, number):
    """What the noise multiplies the first row by, less one, in many steps: (number, units)."""
    return torch.stack([(noise(x)[0] / x[0] - 1).detach() for _ in range(number)])


def test_structured_noise_has_the_covariance_of_the_activations():
    x, scale, ridge = activations(), 0.01, 0.05
    drawn = draws_of(StructuredNoise(scale, ridge, seed=3), x, 600)
    expected = scale * (torch.cov(x.T, correction=0) + ridge * torch.eye(3))
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), expected, atol=0.12 * float(expected.max()), rtol=0)


def test_structured_noise_follows_a_factorisation_of_the_covariance_for_the_same_standard_normals():
    # a square root of C + delta I of the shape (units, rows + units), of which Cholesky's is a rotation
    x, ridge = activations(), 0.05
    centred = (x - x.mean(0)) / len(x) ** 0.5
    root = torch.cat([centred.T, ridge**0.5 * torch.eye(3)], 1)
    torch.testing.assert_close(root @ root.T, torch.cov(x.T, correction=0) + ridge * torch.eye(3))
    rule = StructuredNoise(1.0, ridge).rule
    z, own = torch.randn(len(x)), torch.randn(3)
    e = rule.noise(StructuredNoise(1.0, ridge), x, z, own)
    torch.testing.assert_close(e, root @ torch.cat([z, own]))


def test_all_rows_have_the_same_structured_noise_and_dead_units_stay_silent():
    x = activations()
    x[:, 1] = 0
    y = StructuredNoise(0.1, seed=1)(x)
    factors = (y / x)[:, [0, 2]]
    torch.testing.assert_close(factors, factors[:1].expand(ROWS, 2))
    assert not y[:, 1].any()


def test_channels_are_units_whose_samples_are_all_positions():
    x = activations(2 * 4 * 4).reshape(2, 4, 4, 3)
    images = StructuredNoise(0.1, dim=1, seed=1)(x.movedim(-1, 1))
    torch.testing.assert_close(images.movedim(1, -1), StructuredNoise(0.1, seed=1)(x))


def test_activation_noise_has_the_standard_deviations_of_its_knobs():
    x = torch.full((200, 200), 3.0)
    added = ActivationNoise(additive_noise=0.5, seed=1)(x)
    multiplied = ActivationNoise(multiplicative_noise=0.5, seed=1)(x)
    both = ActivationNoise(0.4, 0.1, seed=1)(x)
    for y, deviation in ((added, 0.5), (multiplied, 1.5), (both, 0.5)):
        assert float(y.mean()) == pytest.approx(3.0, abs=0.03)
        assert float(y.std()) == pytest.approx(deviation, rel=0.02)
        assert float(torch.corrcoef(y)[0, 1:].abs().mean()) < 0.1


NOISES = {
    "activation": lambda seed, size: ActivationNoise(size, size, seed=seed),
    "structured": lambda seed, size: StructuredNoise(size, seed=seed),
}


@pytest.fixture(params=NOISES.values(), ids=NOISES)
def make(request):
    return request.param


def test_evaluation_is_the_identity_and_changes_nothing(make):
    noise, x = make(1, 0.3).eval(), activations()
    before = copy.deepcopy(noise.state_dict())
    assert noise(x) is x
    assert all(torch.equal(value, noise.state_dict()[name]) for name, value in before.items())


def test_a_scale_of_zero_is_the_identity_bit_for_bit(make):
    x = activations()
    assert torch.equal(make(1, 0.0)(x), x)


def test_noise_depends_on_seed_and_step_alone_and_draws_nothing_from_pytorch(make):
    x, state = activations(), torch.random.get_rng_state()
    one, same, other = make(1, 0.3), make(1, 0.3), make(2, 0.3)
    first, second = one(x), one(x)
    assert torch.equal(first, same(x)) and torch.equal(second, same(x))
    assert not torch.equal(first, second) and not torch.equal(first, other(x))
    assert torch.equal(state, torch.random.get_rng_state())


def net_of(make, seed):
    torch.manual_seed(seed)
    return nn.Sequential(make(seed, 0.1 * seed), nn.Linear(3, 6), nn.ReLU(), make(9, 0.2), nn.Linear(6, 2))


def test_a_stack_of_nets_with_other_scales_trains_the_nets_that_train_alone(make):
    alone, stacked = ([net_of(make, seed).double() for seed in (1, 2, 3)] for _ in range(2))
    stack = VmapStack(stacked, CPU)
    x, y = activations().double(), torch.arange(ROWS) % 2
    for _ in range(4):
        for nets in (stack, *(SingleNet(net, CPU) for net in alone)):
            _, gradients = nets.losses(F.cross_entropy, x, y)
            with torch.no_grad():
                for weight, gradient in zip(nets.trained.values(), gradients, strict=True):
                    weight.sub_(0.1 * gradient)
    for row, net in enumerate(alone):
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stack.state[name][row], value, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
def test_noise_and_feature_flow_compile():
    def net():
        torch.manual_seed(0)
        layers = (nn.Linear(3, 3), ActivationNoise(0.1, seed=1), nn.ReLU(), StructuredNoise(0.1, seed=2))
        return FeatureFlow(*layers, flow_length=0.1)

    x = activations()
    eager, compiled = net(), torch.compile(net(), backend="eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), eager(x))


def test_nothing_of_hebbevo_is_left_in_a_compact_network(make):
    net = net_of(make, 1)
    small = hebbevo.compact(net, activations())
    torch.testing.assert_close(small(activations()), net.eval()(activations()))
    assert not any(type(each).__module__.startswith("hebbevo") for each in small.modules())


def test_attach_and_counting_pass_over_noise(make):
    net = net_of(make, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer)
    net(activations()).square().mean().backward()
    optimizer.step()
    assert hebbevo.count(net).loc["total", "neurons"] == 6
    assert hebbevo.count(net).attrs["notes"] == []


def test_values_outside_a_range_are_refused(complaint):
    assert "write a number of 0 or more" in complaint(ActivationNoise, -1.0)
    assert "write a number of 0 or more" in complaint(StructuredNoise, 0.1, -1.0)
    assert complaint(StructuredNoise(0.1), torch.ones(3)) == (
        "StructuredNoise: (3,) has no rows; give (rows, units)"
    )
    with pytest.raises(UsageError, match="gradient checkpointing"):
        x = torch.ones(2, 3, requires_grad=True)
        noise = ActivationNoise(0.1)
        torch.utils.checkpoint.checkpoint(noise, x, use_reentrant=False).sum().backward()


def test_an_autoencoder_with_noise_on_its_inputs_removes_noise_better_than_one_without():
    path = Path(__file__).parents[2] / "examples" / "denoising_autoencoder.py"
    example = SimpleNamespace(**runpy.run_path(str(path)))
    x_train, x_val = example.rows()
    errors = {}
    for place in ("none", "inputs"):
        net = example.trained(example.autoencoder(*example.PLACES[place]), x_train, 10)
        errors[place] = example.error(net, x_val, example.CORRUPTION)
    assert errors["inputs"] < errors["none"]
