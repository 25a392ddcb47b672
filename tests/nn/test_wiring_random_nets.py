"""The engine on networks drawn at random whose axes all have one size, against constant activations."""

import copy
import random
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask, Stamina, attach
from hebbevo.nn.layer_graph import find_layer_names
from tests.nn.conftest import CALM, exhaust, pruned

# a unit is not pruned by itself, and one that returns has fresh weights where it can have them
KNOBS = CALM | dict(rebirth="old", regrowth_rate=0.0)
ROWS = 5


class Subclass(nn.Linear):
    """A linear layer under another name."""


class Doubled(nn.Linear):
    """A linear layer that changes its outputs."""

    def forward(self, x):
        return 2 * super().forward(x)


class Turned(nn.Linear):
    """A linear layer along the last axis but one, if there are two."""

    def forward(self, x):
        return F.linear(x.mT if x.dim() > 2 else x, self.weight, self.bias)


class Own(nn.Module):
    """A linear layer that is no `nn.Linear`."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(outputs, inputs)),
            nn.Parameter(torch.zeros(outputs)),
        )

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


def layer_for(draw, x):
    """A layer that takes ``x`` and gives its shape, along an axis drawn at random."""
    channels, width = x.shape[1], x.shape[-1]
    if x.dim() == 4 and draw.random() < 0.6:
        return nn.Conv2d(channels, channels, 1, groups=draw.choice([1, channels]))
    if x.dim() == 3 and draw.random() < 0.5:
        kernel = dict(kernel_size=3, padding=1, padding_mode="replicate")
        settings = draw.choice([dict(kernel_size=1), kernel])
        layer = nn.Conv1d(channels, channels, **settings, groups=draw.choice([1, channels]))
    else:
        layer = draw.choice([nn.Linear, Subclass, Doubled, Turned, Own])(width, width)
    is_plain = type(layer) in (nn.Linear, nn.Conv1d)
    return HebbMask(layer, ["weight"]) if is_plain and draw.random() < 0.2 else layer


def units_for(draw, x):
    """Units along an axis of ``x`` drawn at random."""
    dim = draw.choice([-1, 1, 1, -2 if x.dim() > 2 else 1])
    return Stamina(x.shape[dim], dim=dim, seed=1, **KNOBS)


class SquareNet(nn.Module):
    """A net drawn at random, for inputs whose axes have ``size`` each, that of the rows too."""

    def __init__(self, seed):
        super().__init__()
        self.draw = draw = random.Random(seed)
        self.parts, self.steps, self.built = nn.ModuleList(), [], False
        size, axes = draw.choice([2, 3, 4]), draw.choice([1, 2, 2, 3])
        self.example = torch.randn(size, *(size,) * axes)
        x = self.example
        for step in [
            step_of_units,
            *(draw.choice(STEPS) for _ in range(draw.randint(2, 7))),
            step_to_outputs,
        ]:
            step = partial(step, turns=[draw.random() for _ in range(3)])
            self.steps.append(step)
            self.called = len(self.parts)
            x = step(self, x)
        self.built = True

    def call(self, x, make):
        """Call the next part; the first call of all makes it."""
        if not self.built:
            self.parts.append(make(self.draw, x))
        self.called += 1
        return self.parts[self.called - 1](x)

    def forward(self, x):
        self.called = 0
        for step in self.steps:
            x = step(self, x)
        return x


def axis_of(x, turn):
    return 1 + int(turn * (x.dim() - 1))


def step_of_units(net, x, turns):
    return net.call(net.call(x, layer_for), units_for)


def step_to_outputs(net, x, turns):
    return net.call(x.flatten(1) if x[0].numel() <= 64 else x, layer_for)


def residual(net, x, turns):
    y = step_of_units(net, x, turns)
    return x + y if x.shape == y.shape else y


def norm(net, x, turns):
    return net.call(x, lambda draw, x: (nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d)(x.shape[1]))


def overwritten(net, x, turns):
    x = x.clone()
    x[:, 0] = x[:, -1]
    return x.mul_(2)


def square(net, x, turns):
    side = round(x.shape[1] ** 0.5)
    return x.unflatten(1, (side, side)) if x.dim() == 2 and side**2 == x.shape[1] else x


STEPS = [
    *[step_of_units] * 6,
    *[residual] * 2,
    norm,
    overwritten,
    square,
    lambda net, x, turns: net.call(x, layer_for),
    lambda net, x, turns: x.mT if x.dim() > 2 else x,
    lambda net, x, turns: x.movedim(-1, axis_of(x, turns[0])),
    lambda net, x, turns: x.reshape(len(x), *x.shape[:0:-1]),
    lambda net, x, turns: x.flatten(1) if x[0].numel() <= 64 else x,
    lambda net, x, turns: x.flip(axis_of(x, turns[0])),
    lambda net, x, turns: x.roll(1, axis_of(x, turns[0])),
    lambda net, x, turns: x.mean(axis_of(x, turns[0])) if x.dim() > 2 else x,
    lambda net, x, turns: torch.cat(x.chunk(2, axis_of(x, turns[0]))[::-1], axis_of(x, turns[0])),
    lambda net, x, turns: x.index_select(1, torch.arange(x.shape[1]) // 2),
    lambda net, x, turns: F.pad(x, (1, 0))[..., :-1],
    lambda net, x, turns: F.max_pool1d(x, 3, 1, 1) if x.dim() == 3 else x,
    lambda net, x, turns: F.avg_pool1d(x, 3, 1, 1) if x.dim() == 3 else x,
    lambda net, x, turns: F.avg_pool2d(x, 2, 1, divisor_override=3) if x.dim() == 4 else x,
    lambda net, x, turns: x * 1.5,
    lambda net, x, turns: F.gelu(x),
    lambda net, x, turns: x.softmax(axis_of(x, turns[0])),
    lambda net, x, turns: x + x.flip(1),
]


def inner(part):
    return part.module if isinstance(part, HebbMask) else part


@torch.no_grad()
def with_constant(net, units, unit, value, folded, x):
    """Outputs where one unit is ``value`` for the layers in ``folded`` and zero for everything else.

    Two runs go side by side, as two halves of one batch: in the second half the unit is ``value``. A layer
    gives both halves what it has for one of them.
    """

    def on_units(module, args, output):
        half = len(output) // 2
        output[:half].select(units.dim, unit).fill_(0)
        output[half:].select(units.dim, unit).fill_(value)
        return output

    def on_layer(name, module, args, output):
        return output.chunk(2)[name in folded].repeat(2, *(1,) * (output.dim() - 1))

    hooks = [units.register_forward_hook(on_units)]
    names = {module: name for name, module in net.named_modules()}
    for part in map(inner, net.parts):
        if not isinstance(part, (Stamina, nn.BatchNorm1d, nn.BatchNorm2d)):
            hooks.append(part.register_forward_hook(partial(on_layer, names[part])))
    outputs = net(torch.cat([x, x]))[: len(x)]
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.mark.filterwarnings("ignore:attach")
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_pruning_a_unit_is_making_it_constant_and_regrowing_it_changes_nothing(seed, fold):
    torch.manual_seed(seed)
    plain = SquareNet(seed).eval()
    fresh = torch.randn(ROWS, *plain.example.shape[1:])
    for name, around in find_layer_names(plain, plain.example).items():
        folded = {each.name for each in around.consumers if each.foldable} if fold else set()
        if fold and not folded:
            continue
        net = copy.deepcopy(plain)
        units = net.get_submodule(name)
        unit = seed % units.num_neurons
        units.configure(handover=fold, rebirth="fresh" if around.exclusive else "old")
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        attach(net, optimizer, example=plain.example)
        expected = with_constant(net, units, unit, 1.7, folded, fresh)
        units.steps.fill_(1000)
        if fold:
            units.mean_output.fill_(1.7)
        exhaust(units, unit)
        optimizer.step()
        assert pruned(units) == [unit]
        outputs = net(fresh).detach()
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)
        if around.exclusive:
            units.regrowth_rate.fill_(1)
            units.gain.fill_(0)
            units.steps.add_(1)
            optimizer.step()
            assert pruned(units) == []
            torch.testing.assert_close(net(fresh).detach(), outputs, rtol=1e-4, atol=1e-4)
