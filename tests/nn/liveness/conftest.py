"""Small nets, and ways to end the paths in them."""

import torch
from torch import nn

from hebbevo.nn.liveness.paths import survivors


class Net(nn.Module):
    """Linear layers, called by ``forward``, a function of (net, x)."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        for name, module in modules.items():
            setattr(self, name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def found(net, *shape):
    """Survivors of a net for rows of this shape, by default of 4 elements."""
    return survivors(net, torch.ones(1, *(shape or (4,))))


def count_alive(net, *shape):
    """How many inputs, then units of each hidden layer, are alive; everything must be followed."""
    found = survivors(net, torch.ones(1, *shape))
    assert not found.notes
    return [int(found.inputs), *found.alive[0].tolist()]


def clear_rows(layer, *units):
    """Set the weights that feed these units of a layer to zero."""
    with torch.no_grad():
        layer.weight[list(units)] = 0


def clear_columns(layer, *units):
    """Set the weights of a layer that read these units to zero."""
    with torch.no_grad():
        layer.weight[:, list(units)] = 0
