"""Looking into data that may not be a valid space file."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from hebbevo.networks import split_layer
from hebbevo.rules import AXES
from hebbevo.spec.messages import KeyPath
from hebbevo.spec.schema import GENES, Choices, Range, Spec, gene_kind

_SHAPING = frozenset({"depth", "hidden", "channels", *AXES})
"""The genes and settings on which the meaning of others depends."""


def mapping_at(raw: object, *path: str) -> Mapping[str, Any]:
    """The mapping under some keys; empty where there is none."""
    for key in path:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def valid_genes(raw: object) -> dict[str, Range | Choices]:
    """The genes that are valid each by itself."""
    genes: dict[str, Range | Choices] = {}
    for name, gene in mapping_at(raw, "genome").items():
        if kind := gene_kind(gene):
            with contextlib.suppress(ValidationError):
                genes[name] = GENES[kind].model_validate(gene)
    return genes


def sound_part(raw: object, wrong: Collection[KeyPath]) -> Spec | None:
    """The spec without what is wrong, to check the rest of its networks and genomes; the task is left out.

    Args:
        raw: the data of a space file.
        wrong: where it is wrong.

    Returns:
        ``None`` where the rest cannot be judged without what is wrong.
    """
    starts = mapping_at(raw, "search").get("start")
    parts = {
        ("genome",): {**mapping_at(raw, "genome")},
        ("network", "settings"): {**mapping_at(raw, "network", "settings")},
    }
    for path in wrong:
        if path[:1] not in (("genome",), ("network",)):
            continue
        within = next((part for part in parts if part == path[: len(part)] and part != path), None)
        name = "" if within is None else str(path[len(within)])
        if within is None or split_layer(name)[0] in _SHAPING:
            return None
        for each in (name, *_dependent(raw, name)) if within == ("genome",) else (name,):
            parts[within].pop(each, None)
    genome, settings = parts.values()
    given = {
        "version": 1,
        "name": "part",
        "task": {"dataset": "digits"},
        "network": {**mapping_at(raw, "network"), "settings": settings},
        "genome": genome,
        "search": {} if starts is None or _is_touched(("search", "start"), wrong) else {"start": starts},
    }
    try:
        return Spec.model_validate(given)
    except ValidationError:  # there is no gene left, or network is no mapping
        return None


def _is_touched(place: KeyPath, wrong: Collection[KeyPath]) -> bool:
    """Whether something at a place, in it or around it is wrong."""
    return any(path[: len(place)] == place[: len(path)] for path in wrong)


def _dependent(raw: object, name: str) -> list[str]:
    """The genes whose conditions need a gene, or need one that needs it."""
    genes = valid_genes(raw)
    found = [name]
    for each in found:  # which grows meanwhile
        found += [
            other for other, gene in genes.items() if each in (*gene.when, gene.repeat) and other not in found
        ]
    return found[1:]
