"""Checks between genes: names, conditions (``when``) and repeats over layers (``repeat``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from hebbevo.messages import listed
from hebbevo.space.genes import FloatGene, Gene, GeneError, IntGene, among
from hebbevo.space.knobs import Value
from hebbevo.space.layers import MOST_LAYERS, Repeats


def problems(genes: Sequence[Gene], repeats: Repeats) -> list[GeneError]:
    """Find everything that is wrong between genes, in the order of the genes.

    Args:
        genes: before repeated ones are `expanded`.
        repeats: which of them are repeated; empty where they are expanded already.
    """
    by_name = {gene.name: gene for gene in genes}
    found = [*_name_problems(genes, repeats)]
    for gene in genes:
        for name, values in gene.when:
            what = _condition_problem(by_name, name, values) or _layer_problem(repeats, gene.name, name)
            if what:
                found.append(GeneError(gene.name, ("when", name), what))
        count = repeats.get(gene.name)
        if isinstance(count, str) and (what := _repeat_problem(by_name, repeats, count)):
            found.append(GeneError(gene.name, ("repeat",), what))
    found += _cycles(genes, repeats)
    order = {gene.name: i for i, gene in enumerate(genes)}
    return sorted(found, key=lambda problem: order[problem.gene])


def _name_problems(genes: Sequence[Gene], repeats: Repeats) -> list[GeneError]:
    found: list[GeneError] = []
    seen: set[str] = set()
    for gene in genes:
        stem, _, layer = gene.name.rpartition(".")
        if gene.name in seen:
            found.append(GeneError(gene.name, (), "there are two genes of this name; drop one"))
        elif stem in repeats and layer.isdecimal():
            what = f"{stem} is repeated and takes this name; drop one of them"
            found.append(GeneError(gene.name, (), what))
        seen.add(gene.name)
    return found


def _condition_problem(by_name: Mapping[str, Gene], name: str, values: tuple[Value, ...]) -> str | None:
    parent = by_name.get(name)
    if parent is None:
        return f"there is no gene {name}; write one of {listed(by_name)}"
    if not values:
        return f"there is no value; write the values of {name} with which this gene exists"
    if isinstance(parent, FloatGene) and parent.step is None:
        return f"{name} is a real number, never exactly {listed(values)}; write an int or a choices gene"
    for place, value in enumerate(values):
        if not parent.contains(value):
            return f"{name} is never {listed([value])}; write one of its values"
        if among(value, values[:place]):
            return f"{listed([value])} stands here twice; drop one"
    return None


def _layer_problem(repeats: Repeats, gene: str, parent: str) -> str | None:
    if parent not in repeats or repeats.get(gene) == repeats[parent]:
        return None
    return f"{parent} differs from layer to layer; write repeat: {repeats[parent]} for {gene} too"


def _repeat_problem(by_name: Mapping[str, Gene], repeats: Repeats, count: str) -> str | None:
    gene = by_name.get(count)
    if gene is None:
        return f"there is no gene {count}; write the name of an int gene, or the number of layers"
    if count in repeats:
        return f"{count} is repeated itself; write the name of an int gene that is not"
    if not isinstance(gene, IntGene):
        return f"{count} is no int gene; write type: int there, with low and high"
    if gene.low < 1 or gene.high > MOST_LAYERS:
        return f"{count} goes from {gene.low} to {gene.high}; write a range within 1 to {MOST_LAYERS} there"
    return None


def _cycles(genes: Sequence[Gene], repeats: Repeats) -> list[GeneError]:
    """Find a circle of genes each of which exists only under a value of the next."""
    parents: dict[str, list[str]] = {}
    for gene in genes:
        count = repeats.get(gene.name)
        parents[gene.name] = [name for name, _ in gene.when] + ([count] if isinstance(count, str) else [])
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1]
        first = next(gene.name for gene in genes if gene.name in ring)
        what = f"the conditions go in a circle ({' > '.join(ring)}); drop one of them"
        return [GeneError(first, ("when",), what)]
    return []
