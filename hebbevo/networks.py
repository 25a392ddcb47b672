"""Networks of a search: from settings and knob values to one ordinary ``nn.Module``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from hebbevo.knobs import Knob, Value
from hebbevo.nn import InputStamina, Plastic, Stamina
from hebbevo.nn import stamina as stamina_rule


@dataclass(frozen=True)
class Rule:
    """A plasticity rule: modules for hidden and for input units, and the knobs both take."""

    units: Callable[..., Plastic]
    inputs: Callable[..., Plastic]
    knobs: Mapping[str, Knob]


RULES: dict[str, Rule] = {
    "stamina": Rule(Stamina, InputStamina, stamina_rule.KNOBS),
}


@dataclass(frozen=True)
class Architecture:
    """What a network is before its genome: widths are neurons a layer; ``inputs`` makes inputs mortal too."""

    family: str
    hidden: tuple[int, ...]
    rule: str
    inputs: bool
    features: int
    classes: int

    @property
    def neurons(self) -> int:
        """Hidden neurons in all."""
        return sum(self.hidden)


class MLP(nn.Module):
    """Fully connected network (batch, features) -> (batch, classes) whose hidden units follow a rule."""

    def __init__(self, architecture: Architecture, knobs: Mapping[str, Value], seed: int) -> None:
        super().__init__()
        rule = RULES[architecture.rule]
        widths = (architecture.features, *architecture.hidden)
        given = {name: value for name, value in knobs.items() if name in rule.knobs}
        self.inputs = (
            rule.inputs(architecture.features, seed=seed, **given) if architecture.inputs else nn.Identity()
        )
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.units = nn.ModuleList(
            rule.units(width, seed=seed + layer, **given) for layer, width in enumerate(widths[1:], start=1)
        )
        self.head = nn.Linear(widths[-1], architecture.classes)
        for layer in (*self.layers, self.head):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to logits."""
        x = self.inputs(x)
        for layer, unit in zip(self.layers, self.units, strict=True):
            x = unit(layer(x))
        logits: Tensor = self.head(x)
        return logits

    def survivors(self) -> Tensor:
        """Count inputs and neurons that a live path from the inputs to the outputs runs through.

        Returns:
            (1 + hidden layers,) int64: inputs first. All zero in a net that has collapsed.
        """
        links = [layer.weight != 0 for layer in (*self.layers, self.head)]  # each (outputs, inputs)
        inputs = self.inputs.alive if isinstance(self.inputs, Plastic) else torch.ones_like(links[0][0])
        alive = [inputs, *(unit.alive for unit in self.units)]

        fed = [alive[0]]
        for link, living in zip(links, alive[1:], strict=False):
            fed.append(living & (link & fed[-1]).any(1))
        heard = [alive[-1] & links[-1].any(0)]
        for link, living in zip(links[-2::-1], alive[-2::-1], strict=True):
            heard.append(living & (link & heard[-1][:, None]).any(0))
        return torch.stack([(f & h).sum() for f, h in zip(fed, reversed(heard), strict=True)])


FAMILIES: dict[str, Callable[[Architecture, Mapping[str, Value], int], nn.Module]] = {
    "mlp": MLP,
}


def build(architecture: Architecture, knobs: Mapping[str, Value], seed: int) -> nn.Module:
    """Build one network; ``seed`` alone decides its initial weights, PyTorch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
        return FAMILIES[architecture.family](architecture, knobs, seed)
