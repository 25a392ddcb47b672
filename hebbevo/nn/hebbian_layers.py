"""Layers that learn by a Hebbian rule, in the place of layers of PyTorch."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.messages import unknown
from hebbevo.nn.credit import Credit, CreditedConv2d, CreditedLinear
from hebbevo.rules import CREDIT
from hebbevo.rules.credit.hebbian import Hebbian
from hebbevo.space.knobs import Value


class HebbianLinear(CreditedLinear):
    """A linear layer that learns from its own inputs and outputs; takes the place of an ``nn.Linear``.

    In training mode each forward pass is a step of the rule, and no optimiser has its weights. The layer
    still gives the gradient of its inputs. Its rule and knobs are those of `hebbevo.rules.credit.hebbian` or
    `hebbevo.rules.credit.softhebb`; in evaluation mode it is the plain layer.

    Args:
        in_features: of an input.
        out_features: units.
        bias: whether the layer hands on outputs less their thresholds; else the outputs themselves.
        rule: ``hebbian`` or ``softhebb``.
        seed: of the first weights and connections; by default drawn from PyTorch's generator.
        device: of the weights.
        dtype: of the weights.
        knobs: of the rule.

    Shape:
        Input (rows, in_features), output (rows, out_features).

    Raises:
        UsageError: another rule, an unknown knob, or a value outside its range.

    The weights follow the inputs, and belong to no optimiser:

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import HebbianLinear, Triangle
    >>> net = nn.Sequential(HebbianLinear(4, 5, seed=0, hebbian_rate=0.5), Triangle(dim=-1), nn.Linear(5, 2))
    >>> before = net[0].weight.clone()
    >>> for _ in range(20):
    ...     y = net(torch.randn(32, 4))
    >>> bool((net[0].weight != before).all()), net[0].weight.requires_grad
    (True, False)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        rule: str = "hebbian",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **knobs: Value,
    ) -> None:
        layer = nn.Linear(in_features, out_features, bias, device, dtype)
        super().__init__(layer, _credit(type(self).__name__, rule, layer, seed, knobs))


class HebbianConv2d(CreditedConv2d):  # type: ignore[misc, valid-type]
    """A convolution that learns from its own patches and outputs; takes the place of an ``nn.Conv2d``.

    In training mode each forward pass is a step of the rule, and no optimiser has its weights. The layer
    still gives the gradient of its inputs. Channels at one place compete. The rule and its knobs are those of
    `hebbevo.rules.credit.hebbian` or `hebbevo.rules.credit.softhebb`; in evaluation mode it is the plain
    layer. Both rules expect inputs of about mean 0 and variance 1, as a batch norm or `PatchWhitening` gives.

    Args:
        in_channels: of an input.
        out_channels: units.
        kernel_size: as of an ``nn.Conv2d``, like all arguments up to ``padding_mode``.
        stride: see there.
        padding: see there.
        dilation: see there.
        groups: see there.
        bias: whether the layer hands on outputs less their thresholds; else the outputs themselves.
        padding_mode: see there.
        rule: ``hebbian`` or ``softhebb``.
        seed: of the first weights and connections; by default drawn from PyTorch's generator.
        device: of the weights.
        dtype: of the weights.
        knobs: of the rule.

    Shape:
        Input (rows, in_channels, height, width), output (rows, out_channels, height, width) less what an
        ``nn.Conv2d`` of these arguments takes away.

    Raises:
        UsageError: another rule, an unknown knob, or a value outside its range.

    The first layer of SoftHebb's network:

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import HebbianConv2d, Triangle
    >>> net = nn.Sequential(
    ...     nn.BatchNorm2d(3, affine=False),
    ...     HebbianConv2d(3, 8, 5, padding=2, padding_mode="reflect", rule="softhebb", hebbian_rate=0.08),
    ...     Triangle(power=0.7),
    ...     nn.MaxPool2d(4, stride=2, padding=1),
    ... )
    >>> net(torch.rand(10, 3, 32, 32)).shape
    torch.Size([10, 8, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        *,
        rule: str = "hebbian",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **knobs: Value,
    ) -> None:
        layer = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip
        super().__init__(layer, _credit(type(self).__name__, rule, layer, seed, knobs))


def _credit(title: str, rule: str, layer: Any, seed: int | None, knobs: dict[str, Value]) -> Credit:
    """The rule of a new layer.

    Raises:
        UsageError: no Hebbian rule has this name, an unknown knob, or a value outside its range.
    """
    rules = {name: known for name, known in CREDIT.items() if isinstance(known, Hebbian)}
    if rule not in rules:
        raise UsageError(f"{title}: unknown rule {unknown(rule, rules)}")
    return Credit(rules[rule], layer.weight, seed=seed, **knobs)
