"""The search space: all genes, and the unit cube in which samplers work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import SpaceError
from hebbevo.space.conditions import problems
from hebbevo.space.genes import ChoiceGene, FloatGene, Gene, IntGene, among
from hebbevo.space.genome import Genome
from hebbevo.space.knobs import Value

_KINDS: dict[str, type[Gene]] = {"float": FloatGene, "int": IntGene, "choice": ChoiceGene}
_ROUNDING = 1e-12  # places of two values of one gene are always further apart


@dataclass(frozen=True)
class Space:
    """The genes of a search, in the order of the axes of the unit cube.

    >>> from hebbevo.space import ChoiceGene, FloatGene, Space
    >>> momentum = FloatGene("momentum", 0.0, 0.9, when=(("optimizer", ("sgd",)),))
    >>> space = Space((ChoiceGene("optimizer", ("adamw", "sgd")), momentum))
    >>> space.from_unit(np.array([0.2, 0.5]))
    {'optimizer': 'adamw'}
    >>> space.from_unit(np.array([0.8, 0.5]))
    {'optimizer': 'sgd', 'momentum': 0.45}

    Raises:
        SpaceError: there is no gene, two have one name, or a condition can never be decided or met.
    """

    genes: tuple[Gene, ...]

    def __post_init__(self) -> None:
        if not self.genes:
            raise SpaceError("genome: there is no gene; give at least one")
        for problem in problems(self.genes, {}):
            raise problem

    @property
    def dimension(self) -> int:
        """The number of genes, active or not."""
        return len(self.genes)

    def from_unit(self, u: NDArray[np.float64]) -> Genome:
        """Read a genome off a point of the unit cube, leaving out inactive genes.

        Args:
            u: shape (dimension,), each in [0, 1].

        Raises:
            ValueError: for another shape, or a number outside [0, 1].
        """
        if u.shape != (self.dimension,) or not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"expected {self.dimension} numbers in [0, 1], got {u}")
        values = {gene.name: gene.from_unit(float(x)) for gene, x in zip(self.genes, u, strict=True)}
        return {name: values[name] for name in self.active(values)}

    def to_unit(self, genome: Mapping[str, Value]) -> NDArray[np.float64]:
        """Map a genome into the unit cube, shape (dimension,), with 0.5 for its inactive genes.

        Raises:
            GeneError: a value is not one of its gene's values.
        """
        places = [gene.to_unit(genome[gene.name]) if gene.name in genome else 0.5 for gene in self.genes]
        return np.array(places)

    def snap(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points, (n, dimension) in [0, 1], to the places of their genomes.

        This is `to_unit` of `from_unit` for each point, computed for all points at once.
        """
        axes = {gene.name: gene.snap(axis) for gene, axis in zip(self.genes, points.T, strict=True)}
        active: dict[str, NDArray[np.bool_]] = {}
        for gene in self.parents_first:
            met = np.ones(len(points), dtype=bool)
            for name, values in gene.when:
                places = np.array([self._by_name[name].to_unit(value) for value in values])
                met &= active[name] & (abs(axes[name][:, None] - places) < _ROUNDING).any(axis=1)
            active[gene.name] = met
        return np.column_stack([np.where(active[gene.name], axes[gene.name], 0.5) for gene in self.genes])

    def active(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """The names of the genes whose conditions all hold, in the order of the genes.

        Args:
            values: a value for each gene, or for the active ones only.
        """
        met: set[str] = set()
        for gene in self.parents_first:
            if all(name in met and name in values and among(values[name], vs) for name, vs in gene.when):
                met.add(gene.name)
        return tuple(gene.name for gene in self.genes if gene.name in met)

    def hypercube(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` points, (n, dimension), one in each of ``n`` equal strata of every axis."""
        axes = [(rng.permutation(n) + rng.random(n)) / n for _ in self.genes]
        return np.minimum(np.stack(axes, axis=1), 1.0)

    def sample(self, n: int, rng: np.random.Generator) -> list[Genome]:
        """Draw the ``n`` genomes of a Latin hypercube."""
        return [self.from_unit(point) for point in self.hypercube(n, rng)]

    def contains(self, genome: Mapping[str, Value]) -> bool:
        """Whether the genome has exactly the active genes, each with a value of its gene."""
        names = self.active(genome)
        return set(names) == set(genome) and all(self._by_name[n].contains(genome[n]) for n in names)

    def to_json(self) -> dict[str, Any]:
        """Give the space as plain lists, dicts, numbers and text."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        return {"genes": [{"kind": kinds[type(gene)], **_plain(gene)} for gene in self.genes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Space:
        """Build the space that `to_json` gave.

        Raises:
            SpaceError: ``data`` is something else.
        """
        try:
            return cls(tuple(_gene_from_json(entry) for entry in data["genes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SpaceError(f"genes: no recorded search space ({error!r}); record it anew") from error

    @cached_property
    def _by_name(self) -> dict[str, Gene]:
        return {gene.name: gene for gene in self.genes}

    @cached_property
    def parents_first(self) -> tuple[Gene, ...]:
        """The genes in an order in which each comes after all that its conditions name."""
        parents = {gene.name: [name for name, _ in gene.when] for gene in self.genes}
        return tuple(self._by_name[name] for name in TopologicalSorter(parents).static_order())


def _plain(gene: Gene) -> dict[str, Any]:
    """The fields of a gene, without those of later versions that have their defaults."""
    absent = {"step": None, "zero": False}
    return {
        key: value for key, value in asdict(gene).items() if key not in absent or value is not absent[key]
    }


def _gene_from_json(entry: Mapping[str, Any]) -> Gene:
    fields = {key: value for key, value in entry.items() if key != "kind"}
    fields["when"] = tuple((name, tuple(values)) for name, values in fields["when"])
    if "choices" in fields:
        fields["choices"] = tuple(fields["choices"])
    return _KINDS[entry["kind"]](**fields)
