"""Units between layers inside of connection masks."""

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, Stamina, attach
from tests.nn.conftest import ADAM, CALM, SGD, exhaust

REGROWN = torch.tensor([False, True, False, False, True, False])


def masked_net(**knobs):
    """Six units between masked layers of which about half of the connections are out."""
    mask = dict(permanence_rate=0.0, update_interval=10**9)
    net = nn.Sequential(
        HebbMask(nn.Linear(4, 6), ["weight"], **mask),
        Stamina(6, **CALM | knobs),
        HebbMask(nn.Linear(6, 3), ["weight"], **mask),
    )
    for layer in (net[0], net[2]):
        layer.masks()["weight"].copy_(torch.rand_like(layer.module.weight) < 0.5)
    return net


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_units_between_masked_layers_are_regrown_with_fresh_weights_where_connections_are_in(optimizer):
    net = masked_net(regrowth_rate=1.0, rebirth="fresh", warmup=3)
    kind = dict(optimizer)
    steps = kind.pop("optimizer")(net.parameters(), **kind)
    attach(net, steps)
    net[1].alive[[1, 4]] = False
    masks = [layer.masks()["weight"].clone() for layer in (net[0], net[2])]
    before = [layer.module.weight.detach().clone() for layer in (net[0], net[2])]
    for _ in range(3):
        steps.zero_grad()
        net(torch.randn(16, 4)).square().mean().backward()
        steps.step()
    assert net[1].alive.all()
    assert masks[0][REGROWN].any() and masks[1][:, REGROWN].any()
    producer, consumer = net[0].weights()["weight"], net[2].weights()["weight"]
    assert torch.equal(producer[REGROWN] != 0, masks[0][REGROWN])
    assert not torch.isclose(producer[REGROWN], before[0][REGROWN])[masks[0][REGROWN]].any()
    assert not consumer[:, REGROWN].any()
    assert consumer[:, ~REGROWN][masks[1][:, ~REGROWN]].all()
    for layer in (net[0], net[2]):  # even if all connections enter again
        layer.masks()["weight"].fill_(True)
    net(torch.randn(16, 4))
    assert not net[2].weights()["weight"][:, REGROWN].any()
    assert not net[0].weights()["weight"][REGROWN][~masks[0][REGROWN]].any()
    # the others have their old weights where connections are out, which the optimiser must not move
    assert torch.equal(
        net[0].weights()["weight"][~REGROWN][~masks[0][~REGROWN]], before[0][~REGROWN][~masks[0][~REGROWN]]
    )
    others, out = net[2].weights()["weight"][:, ~REGROWN], ~masks[1][:, ~REGROWN]
    assert torch.equal(others[out], before[1][:, ~REGROWN][out])


def test_units_that_are_out_from_the_start_have_no_weights_inside_a_mask():
    net = masked_net(initial_neurons=0.5)
    attach(net, torch.optim.SGD(net.parameters()))
    for layer in (net[0], net[2]):
        layer.masks()["weight"].fill_(True)
    assert (net[0].weights()["weight"] != 0).all(1).tolist() == [True] * 3 + [False] * 3
    assert (net[2].weights()["weight"] != 0).all(0).tolist() == [True] * 3 + [False] * 3


def test_pruning_a_constant_unit_before_a_masked_layer_changes_no_output():
    net = masked_net(handover=True, warmup=4)
    net[2].masks()["weight"].copy_(torch.tensor([True, False, True])[:, None])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    with torch.no_grad():
        net[0].module.weight[2] = 0.0
        net[0].module.bias[2] = 1.7
    x = torch.randn(50, 4)
    before = net.eval()(x)
    net.train()
    for _ in range(4):
        exhaust(net[1], 2)
        net(torch.randn(16, 4)).sum().backward()
        optimizer.step()
    assert net[1].alive.tolist() == [True, True, False, True, True, True]
    torch.testing.assert_close(net.eval()(x), before, rtol=0, atol=2e-6)


def test_contribution_counts_only_connections_that_are_in():
    net = masked_net(activity="contribution")
    attach(net, torch.optim.SGD(net.parameters()))
    weight = net[2].weights()["weight"].detach()
    assert not torch.allclose(weight.norm(dim=0), net[2].module.weight.norm(dim=0))
    torch.testing.assert_close(net[1].outgoing, weight.norm(dim=0))
