"""The layer graph of networks drawn at random, against what interventions on their units change."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import Dense
from hebbevo.nn.layer_graph import find_layer_names


class RandomNet(nn.Module):
    """A net drawn at random: layers and units with random functions between them, in one branch or two."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw
        self.conv = draw.random() < 0.5
        self.width = draw.choice([2, 4, 6])
        self.layers, self.units = nn.ModuleList(), nn.ModuleList()
        self.steps = [draw.choice(STEPS) for _ in range(draw.randint(1, 5))]
        self.seeds = [draw.random() for _ in range(len(self.steps) * 2 + 2)]

    def layer(self, x, width):
        """Call the next layer, which takes ``x`` and has ``width`` outputs; the first call makes it."""
        self.count += 1
        if self.count > len(self.layers):
            if x.dim() > 2 and self.conv and self.turns[self.count % 7] < 0.7:
                groups = (
                    2 if x.shape[1] % 2 == 0 and width % 2 == 0 and self.turns[self.count % 5] < 0.4 else 1
                )
                self.layers.append(nn.Conv1d(x.shape[1], width, 1, groups=groups))
            else:
                self.layers.append(nn.Linear(x.shape[-1], width))
        return self.layers[self.count - 1](x)

    def next_units(self, x):
        """Call the next units, behind the layer called last; the first call makes them."""
        self.number += 1
        if self.number > len(self.units):
            layer = self.layers[self.count - 1]
            dim = 1 if isinstance(layer, nn.Conv1d) else -1
            self.units.append(Dense(x.shape[dim], dim=dim))
        return self.units[self.number - 1](x)

    def forward(self, x):
        self.count = self.number = 0
        draw = random.Random(self.seeds[0])
        self.turns = [draw.random() for _ in range(8)]
        x = self.next_units(self.layer(x, self.width))
        for step in self.steps:
            x = step(self, x, draw)
        return self.layer(x, 2)


def residual(net, x, draw):
    y = net.next_units(net.layer(x, x.shape[1]))
    return x + y if x.shape == y.shape else y


def beside(net, x, draw):
    y = net.next_units(net.layer(x, net.width))
    return torch.cat([x, y], draw.choice([1, -1])) if x.shape == y.shape else y


def mean(net, x, draw):
    return x.mean(-1) if x.dim() > 2 else x


def pool(net, x, draw):
    return F.avg_pool1d(x, 2) if x.dim() > 2 and x.shape[-1] > 1 else x


MEANS = [mean, pool]
STEPS = [
    *MEANS,
    lambda net, x, draw: net.next_units(net.layer(x, net.width)),
    lambda net, x, draw: net.layer(x, net.width),
    residual,
    beside,
    lambda net, x, draw: x.flatten(1),
    lambda net, x, draw: x.mT.contiguous() if x.dim() > 2 else x,
    lambda net, x, draw: x.mT.flatten(1) if x.dim() > 2 else x,
    lambda net, x, draw: x.flip(1),
    lambda net, x, draw: x[:, torch.arange(x.shape[1]) // 2],
    lambda net, x, draw: x.reshape(len(x), -1, 2) if x[0].numel() % 2 == 0 else x,
    lambda net, x, draw: F.pad(x, (1, 0)),
    lambda net, x, draw: F.leaky_relu(x),
    lambda net, x, draw: x * 2,
    lambda net, x, draw: torch.stack(x.unbind(1)[::-1], 1),
]


def flat(columns):
    return [unit for group in columns for unit in group]


def influence(net, units, x, names):
    """Which units change each input column of each layer that is the next behind them."""
    plain = inputs_with(net, units, None, lambda output: output, x, names)
    found = {name: [set() for _ in columns] for name, columns in plain.items()}
    for unit in range(units.num_neurons):
        for name, columns in inputs_with(net, units, unit, lambda output: output + 0.37, x, names).items():
            differs = (columns - plain[name]).abs().flatten(1).amax(1) > 1e-6
            for column in differs.nonzero()[:, 0].tolist():
                found[name][column].add(unit)
    return found


def inputs_with(net, units, unit, change, x, names):
    """Inputs of every layer, columns first, where the output of one unit, or of all units, is changed.

    Outputs of layers stay as they are without the change, so it goes no further than the next layers.
    """
    plain, inputs = {}, {}

    def record(layer, args, output):
        plain[names[layer]] = output

    def replace(layer, args, output):
        axis = 1 if isinstance(layer, nn.Conv1d) else -1
        inputs[names[layer]] = args[0].detach().movedim(axis, 0)
        return plain[names[layer]]

    def changed(module, args, output):
        output = output.clone()
        part = output if unit is None else output.select(units.dim, unit)
        part.copy_(change(part))
        return output

    with torch.no_grad():
        for hook, on_units in ((record, None), (replace, changed)):
            hooks = [layer.register_forward_hook(hook) for layer in net.layers]
            if on_units:
                hooks.append(units.register_forward_hook(on_units))
            net(x)
            for each in hooks:
                each.remove()
    return inputs


@pytest.mark.parametrize("seed", range(150))
def test_columns_of_random_nets_are_those_that_interventions_measure(seed):
    draw = random.Random(seed)
    net = RandomNet(draw)
    shape = (3, 4, 4) if net.conv or draw.random() < 0.5 else (3, 4)
    net(torch.zeros(shape))  # builds the layers
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(
                torch.rand(parameter.shape) + 0.5
            )  # positive, so that no effect vanishes or cancels out
    graph = find_layer_names(net, torch.rand(shape))
    names = {module: name for name, module in net.named_modules()}
    x = torch.rand(shape) + 1
    for units in net.units:
        around = graph[names[units]]
        known = {
            consumer.name: flat(consumer.columns or [range(units.num_neurons)])
            for consumer in around.consumers
        }
        read = influence(net, units, x, names)
        for name, columns in known.items():
            assert [{unit} - {-1} for unit in columns] == read[name]
        for name in read.keys() - known.keys():
            assert not any(read[name]) or not around.exclusive
            # a mean over units and other values has unknown columns
            pure = not {*net.steps} & {*MEANS} and all(len(units) < 2 for units in read[name])
            assert not any(read[name]) or not pure
        if around.exclusive:
            for unit in range(units.num_neurons):
                inputs = inputs_with(net, units, unit, lambda output: output * 0, x, names)
                for name, columns in known.items():
                    assert not any(
                        inputs[name][place].any() for place, each in enumerate(columns) if each == unit
                    )
        for consumer in around.consumers:
            inputs = inputs_with(net, units, None, lambda output: output * 0 + 5, x, names)[consumer.name]
            if consumer.foldable:
                assert all(
                    {*inputs[place].flatten().tolist()} <= {0.0, 5.0}
                    for place, unit in enumerate(known[consumer.name])
                    if unit >= 0
                )
