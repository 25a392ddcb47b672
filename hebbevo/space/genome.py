"""Genomes, and when two values or two genomes are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hebbevo.space.knobs import Value

Genome = dict[str, Value]
"""The values of the active genes, by name; inactive genes are left out."""


def same(a: object, b: object) -> bool:
    """Whether two values are equal; unlike in Python, ``True`` is not 1.

    >>> same(1, 1.0), same(1, True), same([1, 2], [True, 2])
    (True, False, False)
    """
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def canonical(genome: Mapping[str, Value]) -> str:
    """Write a genome as JSON, the same for equal genomes whatever the order of their genes.

    >>> canonical({"warmup": 10, "learning_rate": 0.01})
    '{"learning_rate":0.01,"warmup":10}'
    """
    return json.dumps(dict(genome), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
