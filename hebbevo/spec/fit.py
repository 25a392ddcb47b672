"""Whether every network that a space can propose has what its genes and settings are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hebbevo.messages import listed
from hebbevo.networks import CONVOLUTIONAL, largest, split_layer
from hebbevo.networks.architecture import lists_of
from hebbevo.networks.hebbian_conv_knobs import HEBBIAN_CONV_KNOBS
from hebbevo.rules import AXES, UNITS
from hebbevo.rules.rule import Need
from hebbevo.space import ChoiceGene, GeneError
from hebbevo.spec.field_types import LayerCount
from hebbevo.spec.messages import Problem
from hebbevo.spec.schema import Choices, Network, Range, Spec


def fit_problems(spec: Spec) -> list[Problem]:
    """Find what a network of a built-in family, or a layer of it, lacks."""
    found = [*_part_problems(spec), *_layer_problems(spec), *_knob_problems(spec)]
    return found or list(_width_problems(spec))


def possible_rules(
    axis: str, fixed: object, genome: Mapping[str, Range | Choices], settings: Mapping[str, object]
) -> list[object]:
    """The rules of an axis that any layer of a network may have.

    Args:
        axis: ``units``, ``connections`` or ``credit``.
        fixed: the rule where the genome does not decide, which is not possible where it always does.
        genome: genes that are valid each by itself.
        settings: those of the network.
    """
    found = _choices_of(axis, [fixed], genome)
    layers = [name for name in (*genome, *settings) if split_layer(name)[0] == axis != name]
    for name in layers:
        found += [settings[name]] if name in settings else _choices_of(name, [], genome)
    # what is written may be no text, and then cannot be hashed
    return [rule for place, rule in enumerate(found) if rule not in found[:place]]


def _choices_of(name: str, otherwise: list[object], genome: Mapping[str, Range | Choices]) -> list[object]:
    """The choices of a gene, and what holds otherwise if it may be missing."""
    gene = genome.get(name)
    if not isinstance(gene, Choices):
        return otherwise
    return [*gene.choices, *otherwise] if gene.when else [*gene.choices]


def _part_problems(spec: Spec) -> Iterator[Problem]:
    """Find parts that the family lacks or needs, and inputs that the rule for units cannot score."""
    network = spec.network
    convolutional = network.family in CONVOLUTIONAL
    if convolutional and not network.channels:
        what = "missing; write the channels of the convolutions, as in [16, 32]"
        yield Problem(("network", "channels"), what)
    absent = "inputs" if convolutional else "channels"
    if getattr(network, absent):
        yield Problem(("network", absent), f"{network.family} has none; drop it")
    if network.family == "hebbian_conv" and network.hidden:
        yield Problem(("network", "hidden"), "hebbian_conv has none but its convolutions; drop it")
    for rule in _rules_of(spec, "units") if network.inputs else ():
        if Need.INCOMING in UNITS[rule].needs:
            what = f"{rule} needs weights that feed the units, which inputs do not have; drop it"
            yield Problem(("network", "inputs"), what)
    if not convolutional and not network.hidden:
        yield Problem(("network", "hidden"), f"is empty; write {Network.model_fields['hidden'].description}")


def _layer_problems(spec: Spec) -> Iterator[Problem]:
    """Find genes that are repeated for another number of layers, and names of layers that do not exist."""
    widths: dict[str, Sequence[object]] = {}
    for part in ("channels", "hidden"):
        lists = lists_of(next((gene for gene in spec.space.genes if gene.name == part), None))
        widths[part] = max((getattr(spec.network, part), *lists), key=len)
        if part == "hidden" and lists and "depth" in spec.genome:
            yield Problem(("genome", "depth"), "the lists of hidden say how deep a network is; drop depth")
            return
    widths |= dict.fromkeys(HEBBIAN_CONV_KNOBS, widths["channels"])

    def layers_with(name: str) -> int:
        return len(widths.get(name, (*widths["channels"], *widths["hidden"])))

    depth = spec.genome.get("depth")
    for name, gene in spec.genome.items():
        layers: LayerCount = "depth" if depth else layers_with(name)
        if gene.repeat not in (None, layers):
            what = f"{gene.repeat} is not the number of its layers; write repeat: {layers}"
            yield Problem(("genome", name, "repeat"), what)
    paths: list[tuple[str, ...]] = [("genome", name) for name in spec.genome]
    paths += [("network", "settings", name) for name in spec.network.settings]
    of_units = {"units"}.union(*(rule.knobs for rule in UNITS.values()))
    for path in paths:
        stem, layer = split_layer(path[-1])
        if layer is not None:
            first = 0 if spec.network.inputs and stem in of_units else 1
            last = max(_integers_of(depth)) if depth else layers_with(stem)
            if not first <= layer <= last:
                what = f"there is no layer {layer}; write {stem}.N with N from {first} to {last}"
                yield Problem(path, what)


def _integers_of(gene: Range | Choices) -> list[int]:
    """The values of a gene for whole numbers."""
    found = gene.gene("gene")
    values = found.choices if isinstance(found, ChoiceGene) else getattr(found, "values", ())
    return [int(value) for value in values if isinstance(value, int)]


def _knob_problems(spec: Spec) -> Iterator[Problem]:
    """Find genes that exist under a rule which has no such knob."""
    for name in spec.genome:
        if lacking := _rules_without(spec, name):
            axis, rules = lacking
            if not set(_rules_of_layer(spec, axis, split_layer(name)[1])) - {*rules}:
                yield Problem(("genome", name), f"{listed(rules)} has no such knob; drop it")
                continue
            stem, layer = split_layer(name)
            rule_gene = f"{axis}.{layer}" if f"{axis}.{layer}" in spec.genome else axis
            having = [rule for rule in _rules_of(spec, axis) if stem in AXES[axis][rule].knobs]
            known = having[0] if len(having) == 1 else f"[{listed(having)}]"
            what = f"{listed(rules)} has no such knob; write when: {{{rule_gene}: {known}}}"
            yield Problem(("genome", name), what)


def _width_problems(spec: Spec) -> Iterator[Problem]:
    """Find a layer that neither the genes nor the network give a width."""
    shape = (1,) * (3 if spec.network.channels else 1)
    try:
        largest(spec.network.architecture(shape, 1), spec.space)
    except GeneError as error:
        yield Problem(("genome", error.gene, *error.path), error.what)


def _rules_of(spec: Spec, axis: str) -> list[str]:
    """The names of the rules of an axis that layers of networks of the space may have."""
    fixed, settings = getattr(spec.network, axis), spec.network.settings
    return [str(rule) for rule in possible_rules(axis, fixed, spec.genome, settings)]


def _rules_of_layer(spec: Spec, axis: str, layer: int | None) -> list[str]:
    """The same for one layer, where it has a rule of its own."""
    own = f"{axis}.{layer}"
    if own in spec.network.settings:
        return [str(spec.network.settings[own])]
    gene = spec.genome.get(own)
    if isinstance(gene, Choices) and not gene.when:
        return [str(rule) for rule in gene.choices]
    return _rules_of(spec, axis)


def _rules_without(spec: Spec, name: str) -> tuple[str, list[str]] | None:
    """The axis with a knob of this name, and those of its rules that can meet the gene but lack the knob.

    ``None`` where no rule has such a knob, where on some axis every rule has it under which the gene exists,
    or where layers have rules of their own and one of them has it.
    """
    found = None
    stem, layer = split_layer(name)
    for axis, known in AXES.items():
        rules = _rules_of_layer(spec, axis, layer)
        having = [rule for rule in rules if stem in known[rule].knobs]
        met = _rules_met(spec, name, axis, layer)
        lacking = [rule for rule in rules if rule in met and rule not in having]
        if having and (not lacking or (layer is None and _differs_by_layer(spec, axis))):
            return None
        if having and found is None:
            found = axis, lacking
        elif layer is not None and found is None and any(stem in rule.knobs for rule in known.values()):
            found = axis, lacking  # another layer may have it
    return found


def _differs_by_layer(spec: Spec, axis: str) -> bool:
    """Whether a layer has a rule of its own on an axis."""
    names = (*spec.genome, *spec.network.settings)
    return any(split_layer(name)[0] == axis != name for name in names)


def _rules_met(spec: Spec, name: str, axis: str, layer: int | None) -> set[object]:
    """The rules of an axis under which a gene exists, by its conditions and those of the genes they name."""
    rules = set[object](_rules_of_layer(spec, axis, layer))
    ancestry = [name]
    for each in ancestry:  # which grows meanwhile
        gene = spec.genome[each]
        for rule_gene in (axis, f"{axis}.{layer}"):
            rules &= set(gene.when.get(rule_gene, rules))
        parents = {*gene.when, gene.repeat}
        ancestry += [other for other in spec.genome if other in parents and other not in ancestry]
    return rules
