"""Layers with backward weights of their own, for any PyTorch network."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.messages import unknown
from hebbevo.nn.credit import Credit, CreditedConv2d, CreditedLinear, has_backward_weights
from hebbevo.rules import CREDIT
from hebbevo.rules.credit.rule import CreditRule
from hebbevo.space.knobs import Value


class FeedbackLinear(CreditedLinear):
    """A linear layer whose backward pass goes through weights of their own, which may align with its weights.

    Takes (..., in_features) and gives (..., out_features), like ``nn.Linear``, which it is in evaluation
    mode. Without knobs it is feedback alignment (Lillicrap et al., 2016, https://doi.org/10.1038/ncomms13276).
    The knobs are those of the alignment matrix (Kunin et al., 2020, arXiv:2003.01513):
    `hebbevo.rules.credit.alignment` has its equations, and ``hebbevo knobs`` its ranges. Rules whose
    coefficients are for a training of a given length need ``attach(model, optimizer, total_steps=N)``.

    Args:
        in_features: size of an input row.
        out_features: size of an output row.
        bias: whether it has a bias.
        rule: a rule with backward weights, by name or the rule itself: ``feedback_alignment``,
            ``sign_symmetry``, ``kolen_pollack``, ``weight_mirror``, ``information_alignment``,
            ``symmetric_alignment`` or ``activation_alignment``.
        seed: of the random numbers; by default drawn from PyTorch's generator.
        device: of the parameters.
        dtype: of the parameters.
        knobs: of the rule, as ``alignment_self=0.1``.

    Raises:
        UsageError: a rule without backward weights, an unknown knob, or a value outside its range.

    >>> import torch
    >>> from hebbevo.nn import FeedbackLinear
    >>> layer = FeedbackLinear(8, 4, seed=1, alignment_decay=1.0, alignment_self=2.0, alignment_rate=0.1)
    >>> for _ in range(100):
    ...     y = layer(torch.randn(16, 8))
    >>> bool(layer.angle() < 1)
    True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rule: str | CreditRule = "feedback_alignment",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **knobs: Value,
    ) -> None:
        layer = nn.Linear(in_features, out_features, bias, device=device, dtype=dtype)
        super().__init__(layer, _credit(type(self).__name__, rule, layer, seed, knobs))


class FeedbackConv2d(CreditedConv2d):  # type: ignore[misc, valid-type]
    """A convolution whose backward pass goes through kernels of their own, which may align with its kernels.

    Takes (rows, in_channels, height, width) and gives (rows, out_channels, ...), like ``nn.Conv2d``, which it
    is in evaluation mode. Everything else is as in `FeedbackLinear`.

    Args:
        in_channels: channels of the inputs.
        out_channels: channels of the outputs.
        kernel_size: as of an ``nn.Conv2d``, like all arguments up to ``padding_mode``.
        stride: see there.
        padding: see there.
        dilation: see there.
        groups: see there.
        bias: whether it has a bias.
        padding_mode: see there.
        rule: see `FeedbackLinear`.
        seed: see `FeedbackLinear`.
        device: of the parameters.
        dtype: of the parameters.
        knobs: of the rule.

    Raises:
        UsageError: an unknown knob, or a value outside its range.

    >>> import torch
    >>> from hebbevo.nn import FeedbackConv2d
    >>> FeedbackConv2d(3, 8, 3, padding=1, rule="sign_symmetry")(torch.randn(2, 3, 5, 5)).shape
    torch.Size([2, 8, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        *,
        rule: str | CreditRule = "feedback_alignment",
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


def _credit(
    title: str, rule: str | CreditRule, layer: Any, seed: int | None, knobs: dict[str, Value]
) -> Credit:
    """The rule of a new layer.

    Raises:
        UsageError: a rule without backward weights, an unknown knob, or a value outside its range.
    """
    rules = {name: known for name, known in CREDIT.items() if has_backward_weights(known)}
    if isinstance(rule, str):
        if rule not in rules:
            raise UsageError(f"{title}: unknown rule {unknown(rule, rules)}")
        rule = rules[rule]
    elif not has_backward_weights(rule):
        raise UsageError(f"{title}: {rule.name} has no backward weights; use hebbevo.nn.credited")
    return Credit(rule, layer.weight, seed=seed, **knobs)
