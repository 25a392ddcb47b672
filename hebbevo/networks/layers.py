"""The layers and units of one network, each under its rule and with its own knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import nn

from hebbevo.networks.settings import (
    DEFAULT_READOUT,
    FITTED_READOUT,
    Settings,
    layer_settings,
    rule_of_layer,
)
from hebbevo.nn import ActivationNoise, FlowPenalty, StructuredNoise, credited, masked, unit_layer
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS
from hebbevo.rules.credit.rule import CreditRule
from hebbevo.space.knobs import Value

_LAYER_SEEDS = 1000  # units of layer n have the seed + n, so layers start beyond any number of units
_NOISE_SEEDS = 2000, 3000, 4000  # noise before units, on units, and that with their covariance


@dataclass(frozen=True)
class LayerFactory:
    """Makes the parts of one network. Layers are numbered from 1; the output layer is the last.

    Attributes:
        units: name of the rule for units, in layers whose settings name no other. connections: name of the
        rule for connections, likewise. credit: name of the rule for credit, likewise. hidden_layers: how
        many hidden layers the network has, convolutions among them. settings: the network's settings and
        genes by name. seed: seed of the network; each part derives its own from it. starts: fraction of each
        hidden layer, by its number, that is there at the start; 1 where it is absent. readout: name of the
        readout, where the settings name none.
    """

    units: str
    connections: str
    credit: str
    hidden_layers: int
    settings: Settings
    seed: int
    starts: Mapping[int, float] = field(default_factory=dict)
    readout: str = DEFAULT_READOUT

    def layer(self, module: nn.Linear | nn.Conv2d, number: int) -> nn.Module:
        """Put a linear layer or a convolution under the rules for connections and credit.

        The output layer has no knobs of its own; it takes those of the last hidden layer.
        """
        with_knobs_of = min(number, self.hidden_layers)
        seed = self.seed + _LAYER_SEEDS + number
        made = _he_initialised(module)
        credit = CREDIT[rule_of_layer(self.settings, "credit", self.credit, with_knobs_of)]
        connections = CONNECTIONS[
            rule_of_layer(self.settings, "connections", self.connections, with_knobs_of)
        ]
        # the output layer learns from the labels themselves, so a local update does not apply to it
        if number <= self.hidden_layers or not (credit.updates or credit.hidden_only):
            knobs = self._share(number, credit) | layer_settings(self.settings, credit.knobs, with_knobs_of)
            made = credited(credit.name, made, seed=seed, **knobs)
        knobs = layer_settings(self.settings, connections.knobs, with_knobs_of)
        return masked(connections.name, made, seed=seed, **knobs)

    @property
    def fits_head(self) -> bool:
        """Whether the head that counts is fitted in closed form."""
        return self.settings.get("readout", self.readout) == FITTED_READOUT

    def head(self, module: nn.Linear, number: int) -> nn.Module:
        """Put the output layer under its rules; one that is fitted has weights of its own, without a mask."""
        return _he_initialised(module) if self.fits_head else self.layer(module, number)

    def _share(self, number: int, credit: CreditRule) -> dict[str, Value]:
        """The share of the training in which a layer learns, if layers learn one after the other."""
        if not (self.settings.get("greedy", False) and "learns_from" in credit.knobs):
            return {}
        settle = float(str(layer_settings(self.settings, ["settle"], number).get("settle", 0.0)))
        share = (1 - settle) / self.hidden_layers
        return {"learns_from": (number - 1) * share, "learns_until": number * share}

    def unit_layer(self, width: int, number: int, dim: int = -1, inputs: bool = False) -> nn.Module:
        """Make ``width`` units, or channels, under the rule for units.

        Args:
            width: number of units.
            number: number of the layer; 0 is the input.
            dim: axis of the units in their input.
            inputs: whether they are the inputs of the network, which have no activation function.
        """
        rule = UNITS[rule_of_layer(self.settings, "units", self.units, number)]
        knobs = layer_settings(self.settings, rule.knobs, number)
        if inputs and "target" in rule.knobs and "target.0" not in self.settings:
            knobs["target"] = width  # a target without a layer is for hidden layers
        if self.starts.get(number, 1.0) < 1:
            knobs["initial_neurons"] = self.starts[number] * float(str(knobs.get("initial_neurons", 1.0)))
        units = unit_layer(rule.name, width, dim=dim, inputs=inputs, seed=self.seed + number, **knobs)
        return units if inputs else self._with_noise(units, number, dim)

    def input_noise(self) -> nn.Module | None:
        """Make the noise on the inputs, if there is any."""
        scale = float(str(self.settings.get("input_noise", 0.0)))
        return ActivationNoise(scale, seed=self.seed + _NOISE_SEEDS[0]) if scale else None

    def flow_penalty(self, shapes: Sequence[tuple[int, ...]]) -> FlowPenalty | None:
        """Make the penalty on the path of features of these shapes, if there is any."""
        knobs = {name: float(str(self.settings.get(name, 0.0))) for name in ("flow_length", "flow_curvature")}
        agree = any(one == other for one, other in pairwise(shapes))
        return FlowPenalty(**knobs) if agree and any(knobs.values()) else None

    def _with_noise(self, units: nn.Module, number: int, dim: int) -> nn.Module:
        """Units with the noise that the settings of their layer ask for.

        What is added is added before the units: behind them it would reach the next layer from dead ones.
        """
        names = ("additive_noise", "multiplicative_noise", "structured_noise", "noise_ridge")
        knobs = {
            name: float(str(each)) for name, each in layer_settings(self.settings, names, number).items()
        }
        added, multiplied, structured = (knobs.get(name, 0.0) for name in names[:3])
        before, behind, correlated = (self.seed + own + number for own in _NOISE_SEEDS)
        parts: list[nn.Module] = [ActivationNoise(added, seed=before)] if added else []
        parts.append(units)
        if multiplied:
            parts.append(ActivationNoise(multiplicative_noise=multiplied, seed=behind))
        if structured:
            ridge = {name: knobs[name] for name in names[3:] if name in knobs}
            parts.append(StructuredNoise(structured, dim=dim, seed=correlated, **ridge))
        return units if len(parts) == 1 else nn.Sequential(*parts)


def _he_initialised(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Draw the weights uniformly with variance 2 / fan-in (He et al., 2015, eq. 10); biases are zero."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
