"""The plasticity rules that a network of hebbevo's own families may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from hebbevo.knobs import Knob, Value
from hebbevo.nn import Dense, HebbMask, InputStamina, Stamina
from hebbevo.nn import dense as dense_rule
from hebbevo.nn import hebb_mask as hebb_mask_rule
from hebbevo.nn import stamina as stamina_rule

Values = Mapping[str, Value]
Settings = Mapping[str, Any]
"""Values of knobs, by the knob's name: `Value`, each of the type of its knob."""


@dataclass(frozen=True)
class Rule:
    """A plasticity rule: what it makes of the parts of a network, and the knobs that these take.

    Attributes:
        layer: wraps a linear layer or a convolution: (layer, knobs).
        units: makes hidden units or channels: (number, axis, seed, knobs).
        inputs: makes input units: (number, seed, knobs).
        mortal: whether anything may die.
    """

    layer: Callable[[nn.Module, Settings], nn.Module]
    units: Callable[[int, int, int, Settings], nn.Module]
    inputs: Callable[[int, int, Settings], nn.Module]
    knobs: Mapping[str, Knob]
    mortal: bool


RULES: dict[str, Rule] = {
    "stamina": Rule(
        layer=lambda layer, knobs: layer,
        units=lambda number, dim, seed, knobs: Stamina(number, dim=dim, seed=seed, **knobs),
        inputs=lambda number, seed, knobs: InputStamina(number, seed=seed, **knobs),
        knobs=stamina_rule.KNOBS,
        mortal=True,
    ),
    "hebb_mask": Rule(
        layer=lambda layer, knobs: HebbMask(layer, ["weight"], **knobs),
        units=lambda number, dim, seed, knobs: nn.ReLU(),
        inputs=lambda number, seed, knobs: nn.Identity(),  # an input dies with its last connection
        knobs=hebb_mask_rule.KNOBS,
        mortal=True,
    ),
    "dense": Rule(
        layer=lambda layer, knobs: layer,
        units=lambda number, dim, seed, knobs: Dense(number, dim=dim, seed=seed, **knobs),
        inputs=lambda number, seed, knobs: nn.Identity(),
        knobs=dense_rule.KNOBS,
        mortal=False,
    ),
}


def of_layer(values: Values, names: Iterable[str], layer: int) -> dict[str, Value]:
    """What a layer has under these names: its own value, else that of every layer; 0 are the inputs."""
    return {name: values[key] for name in names for key in (name, f"{name}.{layer}") if key in values}
