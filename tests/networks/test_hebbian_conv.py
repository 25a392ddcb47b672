"""Networks of Hebbian convolutions: their layers against literal ones, and every size and rule."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.nn import attach
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS

DIGITS = (1, 8, 8)


def build(channels=(5, 6), shape=DIGITS, units="dense", connections="full", credit="softhebb", **settings):
    network = Architecture("hebbian_conv", (), units, False, shape, 10, channels, connections, credit)
    return network.build(settings, 1)


def trained(net, shape=DIGITS, steps=2):
    optimizer = torch.optim.SGD([each for each in net.parameters() if each.requires_grad], lr=0.1)
    attach(net, optimizer, total_steps=10)
    for step in range(steps):
        x = torch.randn(6, *shape, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        F.cross_entropy(net(x), torch.arange(6) % 4).backward()
        optimizer.step()
    return net.eval()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (1, 4, 4), DIGITS, (3, 9, 6)])
@pytest.mark.parametrize(
    "settings", [{}, {"kernel_size": 5, "pool_size": 4, "pool": "max"}, {"kernel_size": 11}]
)
def test_images_of_any_size_become_logits(shape, settings):
    net, x = build(shape=shape, normalization="batch", **settings), torch.randn(4, *shape)
    for mode in (True, False):
        assert net.train(mode)(x).shape == (4, 10)
    assert torch.equal(net(x), net.head(net.head_inputs(x)))
    y = x
    for module in net.in_order():
        y = module(y)
    assert torch.equal(net(x), y)


def normalised(x):
    """Each sample over channels and places."""
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt()


OUTPUTS = {
    "triangle": lambda u, power: (u - u.mean(1, keepdim=True)).clamp(min=0) ** power,
    "winners": lambda u, power: u.clamp(min=0) ** power * (u >= u.topk(2, 1).values[:, 1:]),
    "rectifier": lambda u, power: u.clamp(min=0),
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("normalization", ["sample", "batch"])
def test_a_layer_normalises_convolves_competes_and_pools(output, normalization):
    settings = {"output": output, "output_power": 1.5, "output_winners": 2, "normalization": normalization}
    net, x = build(channels=(5,), **settings), torch.randn(7, *DIGITS)
    with torch.no_grad():
        net(x)  # gives batch norms their statistics
        net.eval()
        norm, convolution = net.blocks[0][:2]
        white = (
            normalised(x)
            if normalization == "sample"
            else (
                (x - norm.running_mean.reshape(1, -1, 1, 1))
                / (norm.running_var.reshape(1, -1, 1, 1) + 1e-5).sqrt()
            )
        )
        u = F.conv2d(F.pad(white, [1] * 4, "reflect"), convolution.weight, convolution.bias)
        pooled = F.avg_pool2d(OUTPUTS[output](u, 1.5), 2)
        torch.testing.assert_close(net(x), net.head(pooled.flatten(1)), rtol=1e-4, atol=1e-4)


def test_there_are_no_more_winners_than_channels():
    net = build(channels=(5, 7), output="winners", output_winners=6)
    assert [block[2].k for block in net.blocks] == [5, 6]


def test_each_layer_may_have_knobs_of_its_own():
    net = build(**{"kernel_size": 3, "kernel_size.1": 5, "pool.2": "max", "output.2": "rectifier"})
    assert [block[1].kernel_size for block in net.blocks] == [(5, 5), (3, 3)]
    assert [type(block[4]) for block in net.blocks] == [nn.AvgPool2d, nn.MaxPool2d]
    assert [type(block[2]).__name__ for block in net.blocks] == ["Triangle", "Identity"]


EXCLUSIVE = (
    "taylor",
    "redo",
)  # need layers to which a unit of 0 brings nothing, and a normalisation is between
RULES = [
    *(("stamina", "full", credit) for credit in CREDIT),
    *((units, "full", "hebbian") for units in UNITS if units not in EXCLUSIVE),
    *(("dense", connections, "hebbian") for connections in CONNECTIONS),
]


@pytest.mark.parametrize(("units", "connections", "credit"), RULES, ids=["-".join(rules) for rules in RULES])
def test_it_trains_under_every_rule(units, connections, credit):
    net = trained(build(units=units, connections=connections, credit=credit))
    counted = hebbevo.count(net, torch.zeros(1, *DIGITS)).loc["total"]
    assert torch.isfinite(net(torch.randn(3, *DIGITS))).all()
    assert 0 < counted.neurons_alive <= counted.neurons == 11


@pytest.mark.parametrize("units", EXCLUSIVE)
def test_a_rule_for_units_that_no_layer_behind_a_normalisation_serves_is_refused(units):
    with pytest.raises(UsageError, match=f"{units} needs layers that read these units"):
        trained(build(units=units))


@pytest.mark.parametrize(
    "settings", [{}, {"output": "winners"}, {"normalization": "batch"}, {"whitening": "image"}]
)
def test_a_pruned_network_is_cut_to_one_with_the_same_outputs(settings):
    net = build(units="random", target=4, warmup=1, events=3, channels=(5, 6), credit="hebbian", **settings)
    if "whitening" in settings:
        net.whitening.fit(torch.randn(90, *DIGITS))
    net, x = trained(net, steps=10), torch.randn(5, *DIGITS)
    assert hebbevo.count(net, x).loc["total"].neurons_alive < 11
    # without the zeros of a dead channel, the mean of the others would be another one
    stays = nullcontext() if "output" in settings else pytest.warns(UserWarning, match="dead units stay")
    with stays:
        small = hebbevo.compact(net, x)
    torch.testing.assert_close(small(x), net(x), rtol=1e-4, atol=1e-5)


def test_the_rule_changes_convolutions_and_the_head_learns_by_its_gradient():
    net = build(credit="hebbian")
    assert {name for name, each in net.named_parameters() if each.requires_grad} == {
        "head.weight",
        "head.bias",
    }
    before = {name: each.clone() for name, each in net.named_parameters()}
    trained(net)
    assert all(not torch.equal(each, before[name]) for name, each in net.named_parameters())
