"""Networks in a stack are pruned and regrown like each network by itself."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, Stamina, plastic_connections
from hebbevo.nn.wiring import Wiring, named_tensors, set_attached
from hebbevo.training.stack import VmapStack
from tests.nn.conftest import LIVELY, STILL


def channel_nets():
    for seed in (1, 2):
        torch.manual_seed(seed)
        knobs = LIVELY | dict(rebirth="fresh", handover=True, activity="contribution", hebbian_threshold=0.5)
        yield nn.Sequential(
            nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), Stamina(12, dim=1, seed=seed, **knobs), nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 2), Stamina(12, dim=1, seed=seed + 5, **knobs), nn.Flatten(), nn.Linear(12, 3),
        )  # fmt: skip


def masked_nets():
    for seed in (1, 2):
        torch.manual_seed(seed)
        knobs = LIVELY | dict(rebirth="fresh", handover=True, activity="contribution", hebbian_threshold=0.5)
        mask = dict(permanence_rate=20.0 * seed, permanence_decay=0.05)
        yield nn.Sequential(
            nn.Flatten(), HebbMask(nn.Linear(72, 12), ["weight"], **mask), Stamina(12, seed=seed, **knobs),
            HebbMask(nn.Linear(12, 10), ["weight"], **mask), Stamina(10, seed=seed + 5, **knobs),
            nn.Linear(10, 3),
        )  # fmt: skip


@pytest.mark.parametrize("may_sync", [False, True])
@pytest.mark.parametrize("make", [channel_nets, masked_nets])
def test_stacked_nets_are_restructured_as_each_net_by_itself(make, may_sync):
    nets = list(make())
    stack, wiring = VmapStack(copy.deepcopy(nets), torch.device("cpu")), Wiring(nets[0])
    for each in (stack.module, *nets):
        set_attached(each)
    patterns = set()
    with torch.no_grad():
        wiring.prepare(stack.tensors)
        for net in nets:
            wiring.prepare(named_tensors(net))
        for x in torch.randn(25, 8, 2, 6, 6):
            stack.call(lambda net, x=x: net(x), training=True)
            wiring.restructure(stack.tensors, {}, torch.zeros(2), may_sync=may_sync)
            for net in nets:
                net(x)
                wiring.restructure(named_tensors(net), {}, torch.zeros(()))
            for name, value in stack.state.items():
                alone = torch.stack([net.state_dict()[name] for net in nets])
                torch.testing.assert_close(value.detach(), alone, rtol=1e-4, atol=1e-5, msg=name)
            patterns.add(tuple(stack.state["2.alive"].flatten().tolist()))
    assert len(patterns) > 15
    for net in nets:
        for mask in plastic_connections(net).values():
            assert 0 < mask.sparsity() < 1


def test_alone_attached_and_stacked_the_same_units_are_pruned_and_regrown(training):
    torch.manual_seed(5)
    alone = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
    attached = training(Stamina(12, seed=9, **LIVELY), **STILL)
    nets = []
    for seed in (8, 9):
        torch.manual_seed(5)
        nets.append(nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=seed, **LIVELY), nn.Linear(12, 3)))
    stack, wiring = VmapStack(nets, torch.device("cpu")), Wiring(nets[0])
    set_attached(stack.module)
    patterns = set()
    for x in torch.randn(30, 16, 4):
        alone(x)
        attached.step(x)
        with torch.no_grad():
            stack.call(lambda net, x=x: net(x), training=True)
            wiring.restructure(stack.tensors, {}, None)
        assert torch.equal(alone[1].alive, attached.units.alive)
        assert torch.equal(alone[1].alive, stack.state["1.alive"][1])
        patterns.add(tuple(attached.units.alive.tolist()))
    assert len(patterns) > 20
