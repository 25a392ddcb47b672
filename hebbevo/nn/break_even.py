"""The unactivation penalty at which neurons break even: where to begin the search for a usable one."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.attachment import attach
from hebbevo.nn.units import PlasticUnits, plastic_units
from hebbevo.rules.units.stamina import Stamina as StaminaRule

_LARGEST = 1e5
"""A neuron with a larger penalty is never silent: what its cost is, is rounding."""


def break_even_penalties(model: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """Find the penalty at which the stamina of each living neuron is zero: its gain over its mean penalty.

    Under the median over all neurons half of them lose stamina. After some 40 steps of training, before the
    first neuron is pruned, this median was usable in 35 of 36 measured curves
    (docs/results/penalty_window.md).

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import Stamina, break_even_penalties
    >>> net = nn.Sequential(nn.Linear(4, 8), Stamina(8), nn.Linear(8, 8), Stamina(8), nn.Linear(8, 3))
    >>> penalties = break_even_penalties(net, torch.randn(500, 4))  # as a rule after 40 steps of training
    >>> start = torch.cat([*penalties.values()]).median()
    >>> start > 0
    tensor(True)

    Args:
        model: with layers of `Stamina`; left as it was.
        rows: inputs, (rows, *shape), some hundred of them.

    Returns:
        By the name of a layer, (living neurons,): 0 for a neuron that is always silent, and infinity for one
        that never is. ``penalty_form``, ``activity`` and ``firing_prior`` are those of the layer.

    Raises:
        UsageError: no layer is under the stamina rule.
    """
    alive = {name: units.alive for name, units in _layers(model).items()}
    if not alive:
        raise UsageError("break_even_penalties: no layer is under the stamina rule; put Stamina in")
    gain, left = (_stamina(model, rows, penalty) for penalty in (0.0, 1.0))
    # equation 1 of the rule is linear in the penalty
    cost = {name: (gain[name] - left[name]).clamp(min=0) for name in alive}
    found = {name: (gain[name] / cost[name])[living] for name, living in alive.items()}
    return {
        name: each.masked_fill(each > _LARGEST, torch.inf).nan_to_num(0.0, posinf=torch.inf)
        for name, each in found.items()
    }


def _layers(model: nn.Module) -> Mapping[str, PlasticUnits]:
    """The layers under the stamina rule."""
    return {name: each for name, each in plastic_units(model).items() if isinstance(each.rule, StaminaRule)}


def _stamina(model: nn.Module, rows: Tensor, penalty: float) -> dict[str, Tensor]:
    """The stamina of each neuron under this penalty, by these rows alone."""
    copied = copy.deepcopy(model).eval()
    attach(copied, torch.optim.SGD(copied.parameters(), lr=0.0))  # which finds the outgoing weights
    layers = _layers(copied)
    for units in layers.values():
        units.train()
        units.configure(unactivation_penalty=penalty, stamina_decay=0.0)
    with torch.no_grad():
        copied(rows)
    return {name: units.score for name, units in layers.items()}
