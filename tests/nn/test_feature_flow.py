"""Feature flow: its penalty against the equation written out, where widths agree."""

import copy
from itertools import pairwise

import torch
from torch import nn

import hebbevo
from hebbevo.nn import FeatureFlow
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
LENGTH, CURVATURE = 0.3, 0.2


def flow(widths=(4, 4, 4, 3, 3), seed=0, length=LENGTH, curvature=CURVATURE):
    torch.manual_seed(seed)
    layers = [nn.Sequential(nn.Linear(one, other), nn.Tanh()) for one, other in pairwise(widths)]
    return FeatureFlow(*layers, flow_length=length, flow_curvature=curvature)


def test_the_gradient_is_that_of_the_equation_written_out_where_widths_agree():
    net, x = flow(), torch.randn(8, 4)
    net(x).square().mean().backward()
    found = [each.grad for each in net.parameters()]

    a, b, c, d = net.layers
    x1 = a(x)
    x2 = b(x1)
    x3 = c(x2)
    x4 = d(x3)
    lengths = (x1 - x).abs().sum(1) + (x2 - x1).abs().sum(1) + (x4 - x3).abs().sum(1)
    curvature = (x2 - 2 * x1 + x).abs().sum(1)
    whole = x4.square().mean() + (LENGTH * lengths + CURVATURE * curvature).mean()
    torch.testing.assert_close(found, [*torch.autograd.grad(whole, list(net.parameters()))])


def test_outputs_are_those_of_the_modules_alone_and_evaluation_adds_no_gradient():
    net, x = flow(), torch.randn(8, 4)
    assert torch.equal(net(x), net.layers(x))
    net.eval()
    net(x).square().mean().backward()
    of_task = torch.autograd.grad(net.layers(x).square().mean(), list(net.parameters()))
    torch.testing.assert_close([each.grad for each in net.parameters()], [*of_task])


def test_a_path_without_two_equal_widths_is_refused(complaint):
    assert complaint(flow((4, 3, 2)), torch.randn(8, 4)) == (
        "FlowPenalty: features have shapes (4,), (3,), (2,), and no two successive ones agree; "
        "give layers of one width"
    )
    assert "0 or more" in complaint(FeatureFlow, nn.ReLU(), flow_length=-1.0)


def test_a_stack_of_nets_with_other_weights_has_the_gradients_of_the_nets_alone():
    nets = [flow(seed=seed, length=0.1 * seed).double() for seed in (1, 2, 3)]
    stack = VmapStack(nets, CPU)
    x = torch.randn(8, 4, dtype=torch.float64)
    _, stacked = stack.losses(lambda outputs, _: outputs.square().mean(), x, torch.zeros(8))
    for row, net in enumerate(nets):
        alone = SingleNet(copy.deepcopy(net), CPU)
        _, gradients = alone.losses(lambda outputs, _: outputs.square().mean(), x, torch.zeros(8))
        torch.testing.assert_close([each[row] for each in stacked], [each[0] for each in gradients])


def test_it_is_counted_and_leaves_a_compact_network():
    x = torch.randn(8, 4)
    net = nn.Sequential(flow(), nn.Linear(3, 2))
    assert hebbevo.count(net).loc["total", "neurons"] == 14
    small = hebbevo.compact(net, x)
    torch.testing.assert_close(small(x), net.eval()(x))
    assert not any(type(each).__module__.startswith("hebbevo") for each in small.modules())
