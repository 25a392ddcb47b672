"""Genes that each layer has for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hebbevo.space.genes import Gene, IntGene

MOST_LAYERS = 20

Repeats = Mapping[str, str | int]
"""For each repeated gene, the name of the int gene that counts the layers, or their number."""


def expanded(genes: Sequence[Gene], repeats: Repeats) -> tuple[Gene, ...]:
    """Replace each repeated gene by one for each layer: ``name.1``, ``name.2``, ...

    That of layer k exists only while the gene that counts the layers is at least k. A condition on a gene
    that is repeated too becomes one on the gene of the same layer.

    >>> [gene.name for gene in expanded([IntGene("hidden", 4, 64)], {"hidden": 2})]
    ['hidden.1', 'hidden.2']

    Args:
        genes: as a space file lists them. They and the repeats must be free of `problems`.
        repeats: see `Repeats`.
    """
    by_name = {gene.name: gene for gene in genes if isinstance(gene, IntGene)}
    found: list[Gene] = []
    for gene in genes:
        count = repeats.get(gene.name)
        if count is None:
            found.append(gene)
        else:
            found += _for_each_layer(gene, by_name[count] if isinstance(count, str) else count, repeats)
    return tuple(found)


def _for_each_layer(gene: Gene, count: int | IntGene, repeats: Repeats) -> Iterator[Gene]:
    for layer in range(1, (count if isinstance(count, int) else count.values[-1]) + 1):
        when = [(f"{name}.{layer}" if name in repeats else name, values) for name, values in gene.when]
        # a layer that the smallest count has always exists, unless the count itself may be missing
        if isinstance(count, IntGene) and (count.when or count.low < layer):
            when.append((count.name, tuple(number for number in count.values if number >= layer)))
        yield replace(gene, name=f"{gene.name}.{layer}", when=tuple(when))
