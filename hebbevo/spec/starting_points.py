"""Genomes with which a search begins: what they leave out, and whether they lie in the space."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hebbevo.messages import listed, unknown
from hebbevo.rules import AXES, known_knobs
from hebbevo.space import ChoiceGene, Gene, GeneError, Genome, IntGene, same
from hebbevo.space.knobs import Value
from hebbevo.spec.messages import Problem
from hebbevo.spec.schema import Spec
from hebbevo.training import KNOBS


def start_problems(spec: Spec) -> list[Problem]:
    """Find genomes of ``search.start`` that do not lie in the space."""
    found = []
    for place, given in enumerate(spec.search.start):
        try:
            completed(spec, given)
        except GeneError as error:
            found.append(Problem(("search", "start", place, error.gene), error.what))
    return found


def completed(spec: Spec, given: Mapping[str, Value]) -> Genome:
    """Give a starting genome every gene that it leaves out, and each value the type of its gene.

    A gene that is left out has the value that a network has without it: that of a repeated gene for all
    layers, or the default of its knob.

    >>> from hebbevo.spec import read
    >>> completed(read("stamina"), {"regrowth_rate": 0})["regrowth_rate"]
    0.0

    Raises:
        GeneError: a gene is unknown or inactive, has an impossible value, or is left out without a default.
    """
    space = spec.space
    known = {gene.name for gene in space.genes}
    shared = {_shared(name) for name in known}
    for name in given:
        if name not in known and name not in shared:
            raise GeneError(name, (), f"there is no gene {unknown(name, known)}")
    usual = without_genes(spec)
    values: Genome = {}
    for gene in space.parents_first:
        if gene.name not in space.active(values):
            if gene.name in given:
                others = listed(f"{name}: {values[name]}" for name, _ in gene.when if name in values)
                raise GeneError(gene.name, (), f"does not exist beside {others or 'these genes'}; drop it")
            continue
        own = value_for(gene, given, usual)
        if own is None:
            raise GeneError(gene.name, (), "is missing and has no default; write its value")
        value = as_value(gene, own)
        if value is None:
            left_out = "" if {gene.name, _shared(gene.name)} & given.keys() else ", the default,"
            raise GeneError(gene.name, (), f"{own!r}{left_out} is not one of its values; write one of them")
        values[gene.name] = value
    return {name: values[name] for name in space.active(values)}


def value_for(gene: Gene, *tables: Mapping[str, Value]) -> Value | None:
    """The value of the first table that has one for a gene, or for all layers or modules; else ``None``.

    >>> value_for(IntGene("hidden.2", 4, 64), {}, {"hidden": [32, 16]})
    16
    """
    layer = gene.name.rpartition(".")[2]
    for table in tables:
        for name in (gene.name, _shared(gene.name)):
            found = table.get(name)
            if isinstance(found, list) and name != gene.name and layer.isdecimal():
                found = found[int(layer) - 1] if int(layer) <= len(found) else None
            if found is not None:
                return found
    return None


def _shared(name: str) -> str:
    """The name under which all layers (``hidden.2``) or all modules (``block.grace``) have one value."""
    before, _, last = name.rpartition(".")
    return before if last.isdecimal() else last


def without_genes(spec: Spec) -> dict[str, Value]:
    """The values that networks of a spec have where no gene gives one: settings, and defaults of knobs."""
    network = spec.network
    defaults = {name: knob.default for name, knob in {**known_knobs(), **KNOBS}.items()}
    if network.module:
        return {**defaults, **network.settings}
    shape = {"depth": len(network.hidden), "channels": list(network.channels), "hidden": list(network.hidden)}
    rules = {axis: getattr(network, axis) for axis in AXES}
    return {**defaults, **shape, **rules, **network.settings}


def as_value(gene: Gene, value: Value) -> Value | None:
    """The value of a gene that equals ``value``: 1 becomes 1.0 for a float; ``None`` where there is none.

    >>> from hebbevo.space import FloatGene
    >>> as_value(IntGene("width", 4, 64), 8.0), as_value(FloatGene("rate", 0.1, 0.5, step=0.1), 0.1 + 0.2)
    (8, 0.3)
    """
    if isinstance(gene, ChoiceGene):
        return next((each for each in gene.choices if same(each, value)), None)
    if isinstance(value, list) and value and all(same(each, value[0]) for each in value[1:]):
        value = value[0]  # one width for all layers
    if isinstance(value, bool | str | list) or not math.isfinite(value):
        return None
    if isinstance(gene, IntGene):
        found: Value = int(value) if float(value).is_integer() else value
    else:
        found = float(value) + 0.0  # no -0.0, which SQLite does not keep
        if gene.step is not None and gene.low <= value <= gene.high:
            nearest = gene.nearest(found)
            found = nearest if math.isclose(nearest, found, rel_tol=1e-9, abs_tol=1e-9 * gene.step) else found
    return found if gene.contains(found) else None
