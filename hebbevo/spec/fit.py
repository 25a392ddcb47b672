"""Whether every network that a space can propose has what its genes and settings are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hebbevo.messages import listed
from hebbevo.networks import largest
from hebbevo.networks.architecture import lists_of
from hebbevo.rules import AXES, UNITS
from hebbevo.rules.rule import Need
from hebbevo.space import GeneError
from hebbevo.spec.field_types import LayerCount
from hebbevo.spec.messages import Problem
from hebbevo.spec.schema import Choices, Network, Range, Spec


def fit_problems(spec: Spec) -> list[Problem]:
    """Find what a network of a built-in family, or a layer of it, lacks."""
    found = [*_part_problems(spec), *_layer_problems(spec), *_knob_problems(spec)]
    return found or list(_width_problems(spec))


def possible_rules(axis: str, fixed: object, genome: Mapping[str, Range | Choices]) -> list[object]:
    """The rules of an axis that networks may have.

    Args:
        axis: ``units``, ``connections`` or ``credit``.
        fixed: the rule where the genome does not decide, which is not possible where it always does.
        genome: genes that are valid each by itself.
    """
    gene = genome.get(axis)
    if not isinstance(gene, Choices):
        return [fixed]
    return [*gene.choices, fixed] if gene.when and fixed not in gene.choices else [*gene.choices]


def _part_problems(spec: Spec) -> Iterator[Problem]:
    """Find parts that the family lacks or needs, and inputs that the rule for units cannot score."""
    network = spec.network
    convolutional = network.family == "conv"
    if convolutional and not network.channels:
        what = "missing; write the channels of the convolutions, as in [16, 32]"
        yield Problem(("network", "channels"), what)
    absent = "inputs" if convolutional else "channels"
    if getattr(network, absent):
        yield Problem(("network", absent), f"{network.family} has none; drop it")
    for rule in _rules_of(spec, "units") if network.inputs else ():
        if Need.INCOMING in UNITS[rule].needs:
            what = f"{rule} scores units by the weights that feed them, which inputs do not have; drop it"
            yield Problem(("network", "inputs"), what)
    if not convolutional and not network.hidden:
        yield Problem(("network", "hidden"), f"is empty; write {Network.model_fields['hidden'].description}")


def _layer_problems(spec: Spec) -> Iterator[Problem]:
    """Find genes that are repeated for another number of layers than the network has."""
    widths: dict[str, Sequence[object]] = {}
    for part in ("channels", "hidden"):
        lists = lists_of(next((gene for gene in spec.space.genes if gene.name == part), None))
        widths[part] = max((getattr(spec.network, part), *lists), key=len)
        if part == "hidden" and lists and "depth" in spec.genome:
            yield Problem(("genome", "depth"), "the lists of hidden say how deep a network is; drop depth")
            return
    for name, gene in spec.genome.items():
        layers: LayerCount = "depth"
        if "depth" not in spec.genome:
            layers = len(widths.get(name, (*widths["channels"], *widths["hidden"])))
        if gene.repeat not in (None, layers):
            what = f"{gene.repeat} is not the number of its layers; write repeat: {layers}"
            yield Problem(("genome", name, "repeat"), what)


def _knob_problems(spec: Spec) -> Iterator[Problem]:
    """Find genes that exist under a rule which has no such knob."""
    for name in spec.genome:
        if lacking := _rules_without(spec, name):
            axis, rules = lacking
            having = [rule for rule in _rules_of(spec, axis) if name in AXES[axis][rule].knobs]
            known = having[0] if len(having) == 1 else f"[{listed(having)}]"
            what = f"{listed(rules)} has no such knob; write when: {{{axis}: {known}}}"
            yield Problem(("genome", name), what)


def _width_problems(spec: Spec) -> Iterator[Problem]:
    """Find a layer that neither the genes nor the network give a width."""
    shape = (1,) * (3 if spec.network.channels else 1)
    try:
        largest(spec.network.architecture(shape, 1), spec.space)
    except GeneError as error:
        yield Problem(("genome", error.gene, *error.path), error.what)


def _rules_of(spec: Spec, axis: str) -> list[str]:
    """The names of the rules of an axis that networks of the space may have."""
    return [str(rule) for rule in possible_rules(axis, getattr(spec.network, axis), spec.genome)]


def _rules_without(spec: Spec, name: str) -> tuple[str, list[str]] | None:
    """The axis with a knob of this name, and those of its rules that can meet the gene but lack the knob.

    ``None`` where no rule has such a knob, or where on some axis every rule has it under which the gene
    exists.
    """
    found = None
    for axis, known in AXES.items():
        rules = _rules_of(spec, axis)
        having = [rule for rule in rules if name in known[rule].knobs]
        met = _rules_met(spec, name, axis)
        lacking = [rule for rule in rules if rule in met and rule not in having]
        if having and not lacking:
            return None
        if having and found is None:
            found = axis, lacking
    return found


def _rules_met(spec: Spec, name: str, axis: str) -> set[object]:
    """The rules of an axis under which a gene exists, by its conditions and those of the genes they name."""
    rules = set[object](_rules_of(spec, axis))
    ancestry = [name]
    for each in ancestry:  # which grows meanwhile
        gene = spec.genome[each]
        rules &= set(gene.when.get(axis, rules))
        parents = {*gene.when, gene.repeat}
        ancestry += [other for other in spec.genome if other in parents and other not in ancestry]
    return rules
