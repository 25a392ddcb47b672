"""Units whose producers or consumers serve something else too: residual streams, shared and frozen layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import Stamina, attach
from tests.nn.conftest import CALM, LIVELY, beside


class Block(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.inner = Stamina(16, dim=1, **CALM | inner)
        self.conv2, self.norm2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.outer = Stamina(16, dim=1, **CALM | outer)

    def forward(self, x):
        return self.outer(self.norm2(self.conv2(self.inner(self.norm1(self.conv1(x))))) + x)


class Residual(nn.Module):
    """A stream of 16 channels through three blocks."""

    def __init__(self, inner=None, outer=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.blocks = nn.Sequential(*(Block(inner or {}, outer or {}) for _ in range(3)))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def residual_beside_control(units, kind, silent=False):
    """Two equal residual nets after two steps; in the first, channels 3 and 8 of ``units`` are just regrown.

    ``silent``: these channels have outputs of zero up to the end of the first block.
    """
    regrown, pair = [3, 8], []
    for rate in (1.0, 0.0):
        torch.manual_seed(8)
        net = Residual()
        with torch.no_grad():
            for block in net.blocks:
                for norm in (block.norm1, block.norm2):
                    norm.weight.copy_(torch.rand(16) + 0.5)
                    norm.bias.copy_(torch.rand(16))
            if silent:
                first = net.blocks[0]
                for entry in (net.stem.weight, net.stem.bias, first.norm2.weight, first.norm2.bias):
                    entry[regrown] = 0
        net.get_submodule(units).configure(regrowth_rate=rate, prune_period=2)
        net.get_submodule(units).alive[regrown] = False
        optimizer = kind(net.parameters())
        attach(net, optimizer)
        for step in range(2):
            optimizer.zero_grad()
            net(torch.randn(8, 3, 6, 6)).square().sum().backward()
            if step:
                for state in optimizer.state.values():
                    for entry in state.values():
                        if torch.is_tensor(entry) and entry.dim():
                            entry.add_(1.0)
            optimizer.step()
        pair.append((net.eval(), optimizer))
    return regrown, *pair


KINDS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.0, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def changed_moments(one, control):
    """By the parameter's name, which rows and columns of the moments differ from the control's."""
    changed = {}
    for (name, parameter), other in zip(one[0].named_parameters(), control[0].parameters(), strict=True):
        for key, entry in one[1].state[parameter].items():
            kept = control[1].state[other][key]
            if kept.dim() and not torch.equal(entry, kept):
                rows = torch.nonzero(entry != kept)
                assert not entry[tuple(rows.T)].any()
                changed[name] = [sorted(set(places)) for places in rows.T[:2].tolist()]
    return changed


def test_a_channel_that_is_regrown_in_a_residual_stream_has_its_old_contribution_and_changes_no_weight(kind):
    regrown, one, control = residual_beside_control("blocks.0.outer", kind)
    (net, _), (other, _) = one, control
    assert net.blocks[0].outer.alive.all()
    x = torch.randn(20, 3, 6, 6)
    assert not torch.allclose(net(x), other(x), atol=1e-3)
    other.blocks[0].outer.alive[regrown] = True
    assert torch.equal(net(x), other(x))
    for (name, tensor), old in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(tensor, old), name


def test_regrowing_a_silent_channel_in_a_residual_stream_changes_no_output(kind):
    regrown, one, control = residual_beside_control("blocks.0.outer", kind, silent=True)
    (net, _), (other, _) = one, control
    assert net.blocks[0].outer.alive.all()
    assert other.blocks[0].outer.alive.sum() == 14
    x = torch.randn(20, 3, 6, 6)
    assert torch.equal(net(x), other(x))
    with torch.no_grad():  # later blocks do add to these channels
        net.blocks[2].conv1.weight[:, regrown] = 0
    assert not torch.allclose(net(x), other(x), atol=1e-3)


def test_no_moments_of_layers_that_read_a_residual_stream_are_set_to_zero(kind):
    regrown, *pair = residual_beside_control("blocks.0.outer", kind)
    assert changed_moments(*pair).keys() == {
        f"blocks.0.{name}.{entry}" for name in ("conv2", "norm2") for entry in ("weight", "bias")
    }
    assert all(rows[0] == regrown for rows in changed_moments(*pair).values())


def test_an_inner_channel_of_a_residual_block_is_regrown_fresh_and_changes_no_output(kind):
    regrown, one, control = residual_beside_control("blocks.0.inner", kind)
    (net, _), (other, _) = one, control
    block, old = net.blocks[0], other.blocks[0]
    assert block.inner.alive.all()
    x = torch.randn(20, 3, 6, 6)
    assert torch.equal(net(x), other(x))
    assert not block.conv2.weight[:, regrown].any()
    assert not old.conv1.weight[regrown].any()  # a unit that will be regrown fresh has weights of zero
    assert block.conv1.weight[regrown].all()
    assert block.norm1.weight[regrown].tolist() == [1, 1]
    changed = {
        name
        for (name, tensor), kept in zip(net.named_parameters(), other.parameters(), strict=True)
        if not torch.equal(tensor, kept)
    }
    own = {f"blocks.0.{name}" for name in ("conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias")}
    assert changed == own - {"blocks.0.conv1.bias"}  # these biases were zero already
    moments = changed_moments(one, control)
    assert moments.keys() <= own | {"blocks.0.conv2.weight"}
    assert all(moments[name][0] == regrown for name in own)
    assert moments["blocks.0.conv2.weight"][1] == regrown


def test_the_last_channels_of_a_residual_net_are_read_by_the_head_alone():
    regrown, (net, _), (other, _) = residual_beside_control("blocks.2.outer", KINDS["sgd"])
    assert not net.head.weight[:, regrown].any()
    x = torch.randn(20, 3, 6, 6)
    torch.testing.assert_close(net(x), other(x), rtol=1e-6, atol=1e-6)


def test_contribution_counts_consumers_behind_sums():
    net = Residual(outer=dict(activity="contribution"))
    attach(net, torch.optim.SGD(net.parameters()))
    readers = [net.blocks[1].conv1, net.blocks[2].conv1, net.head]
    squares = [layer.weight.detach().square().flatten(2).sum(2).sum(0) for layer in readers[:2]]
    squares.append(net.head.weight.detach().square().sum(0))
    for number in range(3):
        torch.testing.assert_close(net.blocks[number].outer.outgoing, sum(squares[number:]).sqrt())


def changed_weights(net):
    """The units whose incoming, and whose outgoing weights change as units 1 and 4 are regrown."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net.units.alive[[1, 4]] = False
    layers = [getattr(layer, "module", layer) for layer in (net.producer, net.consumer)]
    before = [layer.weight.detach().clone() for layer in layers]
    net(torch.randn(5, 6)).sum().backward()
    optimizer.step()
    assert net.units.alive.all()
    differs = [layer.weight != old for layer, old in zip(layers, before, strict=True)]
    return [
        torch.nonzero(differs[0].any(1)).flatten().tolist(),
        torch.nonzero(differs[1].any(0)).flatten().tolist(),
    ]


@pytest.mark.parametrize("foreign", ["frozen", "shared"])
def test_where_something_else_uses_the_consumer_a_unit_is_regrown_with_its_old_weights(foreign):
    assert changed_weights(beside(regrowth_rate=1.0)) == [[1, 4], [1, 4]]
    assert changed_weights(beside(consumer=foreign, regrowth_rate=1.0)) == [[], []]


@pytest.mark.parametrize("foreign", ["frozen", "shared"])
def test_where_something_else_uses_the_producer_a_unit_is_regrown_silent_with_old_incoming_weights(
    foreign,
):
    assert changed_weights(beside(producer=foreign, regrowth_rate=1.0)) == [[], [1, 4]]


@pytest.mark.parametrize("foreign", ["frozen", "masked", "shared"])
def test_contribution_counts_consumers_that_something_else_uses(foreign):
    net = beside(consumer=foreign, activity="contribution")
    attach(net, torch.optim.SGD(net.parameters()))
    weight = getattr(net.consumer, "module", net.consumer).weight.detach()
    torch.testing.assert_close(net.units.outgoing, weight.norm(dim=0))


def test_units_of_a_block_with_a_shortcut_are_pruned_and_regrown():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.inner = Stamina(8, dim=1, **LIVELY | dict(rebirth="fresh"))
            self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.short = nn.Conv2d(3, 8, 1)
            self.outer = Stamina(8, dim=1, **LIVELY | dict(rebirth="fresh", handover=True))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            h = self.norm2(self.conv2(self.inner(self.norm1(self.conv1(x)))))
            return self.head(self.outer(h + self.short(x)).mean((2, 3)))

    net = Block()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    attach(net, optimizer)
    patterns = set()
    for _ in range(20):
        x = torch.randn(8, 3, 5, 5)
        optimizer.zero_grad()
        F.cross_entropy(net(x), (x.mean((1, 2, 3)) > 0).long()).backward()
        optimizer.step()
        patterns.add((*net.inner.alive.tolist(), *net.outer.alive.tolist()))
    assert len(patterns) > 10
    assert all(tensor.isfinite().all() for tensor in net.parameters())
