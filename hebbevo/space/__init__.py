"""The search space: knobs, genes for them, the conditions between genes, and the genomes of the space.

`hebbevo.space.knobs` needs no numpy; the names here, which do, are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports

if TYPE_CHECKING:
    from hebbevo.space.conditions import problems
    from hebbevo.space.genes import ChoiceGene, FloatGene, Gene, GeneError, IntGene
    from hebbevo.space.genome import Genome, canonical, same
    from hebbevo.space.layers import MOST_LAYERS, Repeats, expanded
    from hebbevo.space.space import Space

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.space.conditions": ("problems",),
        "hebbevo.space.genes": ("ChoiceGene", "FloatGene", "Gene", "GeneError", "IntGene"),
        "hebbevo.space.genome": ("Genome", "canonical", "same"),
        "hebbevo.space.layers": ("MOST_LAYERS", "Repeats", "expanded"),
        "hebbevo.space.space": ("Space",),
    },
)

__all__ = [
    "MOST_LAYERS",
    "ChoiceGene",
    "FloatGene",
    "Gene",
    "GeneError",
    "Genome",
    "IntGene",
    "Repeats",
    "Space",
    "canonical",
    "expanded",
    "problems",
    "same",
]
