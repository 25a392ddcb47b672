"""Looking into data that may not be a valid space file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from hebbevo.spec.schema import GENES, Choices, Range, gene_kind


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
