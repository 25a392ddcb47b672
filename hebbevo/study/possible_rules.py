"""Which rules the networks of a space may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hebbevo.networks import split_layer
from hebbevo.rules import AXES, CONNECTIONS, UNITS
from hebbevo.space import ChoiceGene, Gene


def possible_rules(network: Mapping[str, Any], genes: Iterable[Gene], axis: str) -> frozenset[str]:
    """The rules of an axis, such as ``credit``, that layers of the built-in families may have.

    A network of one's own has its rules in itself: it has none here.

    Args:
        network: the section of the space file, with its defaults.
        genes: of the space.
        axis: a key of `hebbevo.rules.AXES`.

    >>> sorted(possible_rules({"units": "dense"}, [ChoiceGene("units.2", ("usage", "redo"))], "units"))
    ['dense', 'redo', 'usage']
    """
    if network.get("module"):
        return frozenset()
    given = {axis: network[axis], **network.get("settings", {})}
    chosen = {gene.name: gene.choices for gene in genes if isinstance(gene, ChoiceGene)}
    found = {str(rule) for name, rule in given.items() if split_layer(name)[0] == axis}
    found |= {str(rule) for name, rules in chosen.items() if split_layer(name)[0] == axis for rule in rules}
    return frozenset(found & AXES[axis].keys())


def may_prune(network: Mapping[str, Any], genes: Iterable[Gene]) -> bool:
    """Whether networks of a space may have a rule that prunes; those of one's own may.

    >>> may_prune({"units": "dense", "connections": "full"}, [])
    False
    """
    genes = [*genes]
    return bool(network.get("module")) or any(
        rules[name].prunes
        for axis, rules in (("units", UNITS), ("connections", CONNECTIONS))
        for name in possible_rules(network, genes, axis)
    )
