"""Networks to be made small, each with plastic modules in it, and rows for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hebbevo.networks.conv import Conv
from hebbevo.networks.layers import LayerFactory
from hebbevo.networks.mlp import MLP
from hebbevo.nn import HebbMask, InputStamina, PlasticConnections, PlasticUnits, Stamina
from tests.deploy import own_networks


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def factory(hidden_layers: int, units: str = "stamina", connections: str = "full") -> LayerFactory:
    return LayerFactory(units, connections, "backprop", hidden_layers, {}, seed=0)


def mlp(units: str = "stamina", connections: str = "full", inputs: bool = False) -> nn.Module:
    return MLP(factory(2, units, connections), (1, 6, 6), [40, 30], 5, inputs)


def conv() -> nn.Module:
    return Conv(factory(3), (2, 12, 12), [20, 24], [16], 5)


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        Stamina(24, dim=1),
        nn.Conv2d(24, 32, 3, padding=1, groups=4),
        nn.BatchNorm2d(32),
        Stamina(32, dim=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def depthwise() -> nn.Module:
    """Blocks as in MobileNet: a depthwise convolution, then one of single positions."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        Stamina(24, dim=1),
        nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False),
        nn.BatchNorm2d(24),
        Stamina(24, dim=1),
        nn.Conv2d(24, 16, 1),
        Stamina(16, dim=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 16, 4),
    )


def stamina(number: int, dim: int) -> nn.Module:
    return Stamina(number, dim=dim)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (1, 6, 6)),
    "mlp with input stamina": (lambda: mlp(inputs=True), (1, 6, 6)),
    "mlp in hebb_mask": (lambda: mlp(connections="hebb_mask"), (1, 6, 6)),
    "mlp with gates": (lambda: mlp(units="l0"), (1, 6, 6)),
    "conv with batch norm": (conv, (2, 12, 12)),
    "residual": (lambda: own_networks.Residual(stamina), (12,)),
    "grouped": (grouped, (3, 8, 8)),
    "depthwise": (depthwise, (3, 8, 8)),
    "shared layer": (lambda: own_networks.Shared(stamina), (12,)),
    "ResNet-18": (lambda: own_networks.ResNet18(stamina, width=8), (3, 32, 32)),
    "transformer encoder": (lambda: own_networks.Encoder(stamina), (6, 5)),
    "input stamina of one's own": (
        lambda: nn.Sequential(InputStamina(12), nn.Linear(12, 8), Stamina(8), nn.Linear(8, 3)),
        (12,),
    ),
    "masks of one's own": (
        lambda: nn.Sequential(
            HebbMask(nn.Conv2d(3, 8, 3), ["weight"]), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)
        ),
        (3, 8, 8),
    ),
}
"""What makes each network, and the shape of a row of its."""


def network(name: str, share: float = 1.0) -> tuple[nn.Module, Tensor]:
    """A network with norms that have seen data and a random share of living units and connections; rows."""
    make, shape = NETWORKS[name]
    net = make()
    keep_alive(net, share)
    return net.eval(), torch.randn(16, *shape)


@torch.no_grad()
def keep_alive(net: nn.Module, share: float) -> None:
    """Let a random share of the units and connections of each layer live; draw what norms have."""
    for module in net.modules():
        if isinstance(module, PlasticUnits):
            alive = torch.zeros(module.num_neurons, dtype=torch.bool)
            alive[torch.randperm(len(alive))[: round(share * len(alive))]] = True
            module.alive.copy_(alive)
        elif isinstance(module, PlasticConnections):
            for mask in module.connections:
                mask.connected.copy_(torch.rand(mask.connected.shape) < share)
        elif isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                values.normal_()
            module.running_var.uniform_(0.5, 2)
