"""Networks of a search: from settings and knob values to one ordinary ``nn.Module``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from hebbevo.knobs import Knob, Value
from hebbevo.nn import Dense, InputStamina, Plastic, Stamina
from hebbevo.nn import dense as dense_rule
from hebbevo.nn import stamina as stamina_rule
from hebbevo.space import MOST_LAYERS, ChoiceGene, FloatGene, Gene, GeneError, Space


@dataclass(frozen=True)
class Rule:
    """A plasticity rule: modules for hidden and for input units, the knobs both take, and who may die."""

    units: Callable[..., Plastic]
    inputs: Callable[..., nn.Module]
    knobs: Mapping[str, Knob]
    mortal: bool


RULES: dict[str, Rule] = {
    "stamina": Rule(Stamina, InputStamina, stamina_rule.KNOBS, mortal=True),
    "dense": Rule(Dense, nn.Identity, dense_rule.KNOBS, mortal=False),
}

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob(
            "depth", int, 2, "hidden layers; where it is no gene, network.hidden has one width for each",
            low=1, high=MOST_LAYERS, sensible=(1, 4),
        ),
        Knob(
            "hidden", int, 128, "neurons of a hidden layer; where it is no gene, network.hidden says",
            low=1, high=100_000, sensible=(4, 256), log=True,
        ),
        Knob(
            "rule", str, "stamina", "plasticity rule; where it is no gene, network.rule says",
            choices=tuple(RULES),
        ),
    )
}  # fmt: skip
"""What genes may say of a network itself."""

LAYERED = frozenset({"hidden", *(name for rule in RULES.values() for name in rule.knobs)})
"""Knobs of which each layer may have its own, under the name ``knob.1``, ``knob.2``, ..."""


@dataclass(frozen=True)
class Architecture:
    """What a network is where its genome says nothing else; ``inputs`` makes inputs mortal too.

    Attributes:
        hidden: neurons of each hidden layer.
    """

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

    def shaped(self, values: Mapping[str, Value]) -> Architecture:
        """The architecture with the ``depth``, the ``hidden`` widths and the ``rule`` among ``values``."""
        widths = tuple(
            int(_of_layer(values, ["hidden"], layer).get("hidden") or self.hidden[layer - 1])
            for layer in range(1, int(values.get("depth", len(self.hidden))) + 1)
        )
        return replace(self, hidden=widths, rule=str(values.get("rule", self.rule)))


class MLP(nn.Module):
    """Fully connected network (batch, features) -> (batch, classes) whose hidden units follow a rule."""

    def __init__(self, architecture: Architecture, knobs: Mapping[str, Value], seed: int) -> None:
        super().__init__()
        rule = RULES[architecture.rule]
        widths = (architecture.features, *architecture.hidden)
        self.inputs = (
            rule.inputs(architecture.features, seed=seed, **_of_layer(knobs, rule.knobs, 0))
            if architecture.inputs
            else nn.Identity()
        )
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.units = nn.ModuleList(
            rule.units(width, seed=seed + layer, **_of_layer(knobs, rule.knobs, layer))
            for layer, width in enumerate(widths[1:], start=1)
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
    """Build the network that ``architecture`` becomes with these knobs.

    ``seed`` alone decides its initial weights; PyTorch's generator stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
        return FAMILIES[architecture.family](architecture.shaped(knobs), knobs, seed)


def largest(architecture: Architecture, space: Space) -> Architecture:
    """The network of most neurons that a genome of ``space`` can make of ``architecture``.

    It is a bound where conditions decide whether a gene gives the widths: each layer is then the wider one.

    Raises:
        GeneError: a genome can have a layer whose width nothing says.
    """
    named = {gene.name: gene for gene in space.genes}
    depth = named.get("depth")
    depths: list[Value | None] = [*_values(depth)] if depth else []
    if depth is None or depth.when:
        depths.append(None)  # as many layers as the architecture has
    bounds = [replace(architecture, hidden=_bound(architecture.hidden, named, each)) for each in depths]
    return max(bounds, key=lambda bound: bound.neurons)


def _bound(fixed: tuple[int, ...], named: Mapping[str, Gene], depth: Value | None) -> tuple[int, ...]:
    """The largest width of every layer, in networks of this depth."""
    bounds = []
    for layer in range(1, (len(fixed) if depth is None else int(depth)) + 1):
        gene = named.get(f"hidden.{layer}", named.get("hidden"))
        conditions = gene.when if gene else ()
        possible = all(depth in values for name, values in conditions if name == "depth")
        widths = [int(value) for value in _values(gene)[-1:]] if gene and possible else []
        if not widths or any(name != "depth" for name, _ in conditions):
            if layer > len(fixed):
                what = f"nothing says how wide layer {layer} is; write more widths in network.hidden"
                raise GeneError("depth", (), f"{what}, or a hidden gene that is always there")
            widths.append(fixed[layer - 1])
        bounds.append(max(widths))
    return tuple(bounds)


def _values(gene: Gene) -> Sequence[Value]:
    """The values of a gene for whole numbers, in ascending order."""
    assert not isinstance(gene, FloatGene)
    return sorted(gene.choices) if isinstance(gene, ChoiceGene) else gene.values


def _of_layer(values: Mapping[str, Value], names: Iterable[str], layer: int) -> dict[str, Value]:
    """What a layer has under these names: its own value, else that of every layer; 0 are the inputs."""
    return {name: values[key] for name in names for key in (name, f"{name}.{layer}") if key in values}
