"""Small nets around one layer of units, and the layers that should be found in them."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask, Stamina
from hebbevo.nn.layer_graph import LayerNames, NamedConsumer, find_layer_names


class UnitNet(nn.Module):
    """Layers around 3 units, called by ``forward``, a function of (net, x)."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.producer = nn.Linear(4, 3)
        self.units = Stamina(3)
        self.other = nn.Linear(3, 2)
        self.consumer = nn.Linear(3, 2)
        self.square = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout()
        for name, module in modules.items():
            setattr(self, name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


class ChannelNet(nn.Module):
    """Convolutions around 6 channels, called by ``forward``, a function of (net, x)."""

    def __init__(self, forward):
        super().__init__()
        self.producer = nn.Conv2d(3, 6, 3, padding=1)
        self.skip = nn.Conv2d(3, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.skip_norm = nn.BatchNorm2d(6)
        self.units = Stamina(6, dim=1)
        self.pool = nn.MaxPool2d(2)
        self.consumer = nn.Conv2d(6, 8, 3)
        self.other = nn.Conv2d(6, 8, 1)
        self.grouped = nn.Conv2d(6, 9, 3, groups=3)
        self.depthwise = nn.Conv2d(6, 12, 3, groups=6)
        self.six = nn.Linear(6, 2)
        self.many = nn.Linear(6 * 16, 2)
        self.few = nn.Linear(6 * 4, 2)
        self.four = nn.Linear(4, 2)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


IMAGE = torch.ones(3, 3, 4, 4)


class PlainSubclass(nn.Linear):
    """A linear layer under another name."""


class ScaledOutputs(nn.Linear):
    """A linear layer whose forward changes its outputs."""

    def forward(self, x):
        return super().forward(x) * 2


class OwnLinear(nn.Module):
    """A linear layer that is no `nn.Linear`."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class OwnConvolution(nn.Module):
    """A convolution in groups that is no `nn.Conv2d`."""

    def __init__(self, inputs, outputs, groups):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(outputs, inputs // groups, 1, 1))
        self.groups_of_mine = groups

    def forward(self, x):
        return F.conv2d(x, self.weight, groups=self.groups_of_mine)


class ScaledWeights(nn.Linear):
    """A linear layer that uses other weights than its own."""

    def forward(self, x):
        return F.linear(x, self.weight * 2, self.bias)


def masked(layer):
    """A layer in a mask of its own."""
    return HebbMask(layer, ["weight"])


def found_in_unit_net(forward, example=None, **modules):
    """The layers around the units of a `UnitNet` with this forward, by the name of the units."""
    return find_layer_names(UnitNet(forward, **modules), example)


def found_in_channel_net(forward):
    """The layers around the units of a `ChannelNet` with this forward."""
    return find_layer_names(ChannelNet(forward), IMAGE)["units"]


def layer_names(producers="", consumers="", norms="", foldable=None, exclusive=True, **columns):
    """Layers around units, from their names, each a string with spaces between the names.

    All consumers are foldable, unless ``foldable`` names those that are. They are exclusive by default.
    ``columns`` are those of consumers whose columns are not all units in their order.
    """
    foldable = consumers if foldable is None else foldable
    return LayerNames(
        tuple(producers.split()),
        tuple(norms.split()),
        tuple(NamedConsumer(each, columns.get(each), each in foldable.split()) for each in consumers.split()),
        exclusive=exclusive and bool(consumers),
    )


def repeated(units, times):
    """The columns of a layer that reads each unit in so many columns in a row."""
    return (tuple(unit for unit in range(units) for _ in range(times)),)
