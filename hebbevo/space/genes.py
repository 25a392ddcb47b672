"""The search space: genes, conditions between them, and the unit cube the samplers work in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import SpaceError
from hebbevo.space.knobs import Value, listed

Genome = dict[str, Value]
"""The active genes of one individual; an inactive gene is not in it."""

Condition = tuple[str, tuple[Value, ...]]
"""A gene and the values of it, any of which will do."""

LARGEST = 2**31 - 1  # beyond this, whole numbers no longer survive the way through a logarithm
MOST_LAYERS = 20

_NEAR = 1e-12  # nearer than any two values of a gene


class GeneError(SpaceError):
    """One gene is wrong: ``gene`` is its name, ``path`` the place inside it, ``what`` the complaint."""

    def __init__(self, gene: str, path: tuple[str | int, ...], what: str) -> None:
        super().__init__(gene, path, what)  # all three, so that it survives pickling
        self.gene, self.path, self.what = gene, path, what

    def __str__(self) -> str:
        return f"{'.'.join(map(str, (self.gene, *self.path)))}: {self.what}"


@dataclass(frozen=True)
class FloatGene:
    """A real number from ``low`` to ``high``, spread evenly, or evenly in its logarithm if ``log``.

    Raises:
        GeneError: for a range that is empty, infinite, or not positive under ``log``.
    """

    name: str
    low: float
    high: float
    log: bool = False
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for field, bound in (("low", self.low), ("high", self.high)):
            if not math.isfinite(bound):
                raise GeneError(self.name, (field,), f"{bound} is not finite; write an ordinary number")
        _check_range(self, smallest_log=math.ulp(0.0), rule="a number above 0")
        if not 0 < self._warp(self.high) - self._warp(self.low) < math.inf:
            what = f"the range from {self.low} to {self.high} is too narrow or too wide; write another"
            raise GeneError(self.name, ("high",), what)

    def from_unit(self, u: float) -> float:
        """The value at ``u`` in [0, 1]; exactly ``low`` at 0 and ``high`` at 1."""
        if u <= 0 or u >= 1:
            return float(self.low if u <= 0 else self.high) + 0.0  # no -0.0, which SQLite does not keep
        between = self._warp(self.low) * (1 - u) + self._warp(self.high) * u
        return float(min(max(math.exp(between) if self.log else between, self.low), self.high))

    def to_unit(self, value: object) -> float:
        """The place of ``value`` in [0, 1].

        Raises:
            GeneError: if it is none of this gene's values.
        """
        low, high, at = (self._warp(number) for number in (self.low, self.high, _member(self, value)))
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def settled(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """The places of the values at ``axis``, (n,)."""
        return axis

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a float in the range."""
        return isinstance(value, float) and self.low <= value <= self.high

    def _warp(self, value: float) -> float:
        return math.log(value) if self.log else float(value)


@dataclass(frozen=True)
class IntGene:
    """A whole number ``low``, ``low + step``, ... up to ``high``, each in an equal part of [0, 1].

    With ``log`` (and step 1) the part of ``n`` is the one from ``n - 0.5`` to ``n + 0.5`` in the logarithm.

    Raises:
        GeneError: for a range that is empty, too large, not positive under ``log``, or an impossible step.
    """

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for field, number in (("low", self.low), ("high", self.high), ("step", self.step)):
            if type(number) is not int or not -LARGEST <= number <= LARGEST:
                what = f"{number!r} is not usable; write a whole number from {-LARGEST} to {LARGEST}"
                raise GeneError(self.name, (field,), what)
        _check_range(self, smallest_log=1, rule="1 or more")
        if not 1 <= self.step <= self.high - self.low:
            what = f"{self.step} does not fit; write a whole number from 1 to {self.high - self.low}"
            raise GeneError(self.name, ("step",), what)
        if self.log and self.step != 1:
            raise GeneError(self.name, ("step",), "log takes no step; drop step or log")

    def from_unit(self, u: float) -> int:
        """The value whose part of [0, 1] holds ``u``."""
        if self.log:
            first, last = self._edges
            value = round(math.exp(first * (1 - u) + last * u))
            return min(max(value, self.low), self.high)
        return self.low + self.step * _bin(u, self._count)

    def to_unit(self, value: object) -> float:
        """The centre of the part of ``value`` in [0, 1].

        Raises:
            GeneError: if it is none of this gene's values.
        """
        number = _member(self, value)
        if self.log:
            first, last = self._edges
            centre = (math.log(number - 0.5) + math.log(number + 0.5)) / 2
            return float((centre - first) / (last - first))
        return float(((number - self.low) / self.step + 0.5) / self._count)

    def settled(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """The places of the values at ``axis``, (n,)."""
        if not self.log:
            return _centres(axis, self._count)
        first, last = self._edges
        number = np.clip(np.rint(np.exp(first * (1 - axis) + last * axis)), self.low, self.high)
        centres: NDArray[np.float64] = (np.log(number - 0.5) + np.log(number + 0.5)) / 2
        return (centres - first) / (last - first)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is an int in the range and on a step."""
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def values(self) -> range:
        """The numbers that it can be, from the smallest."""
        return range(self.low, self.high + 1, self.step)

    @property
    def _count(self) -> int:
        return len(self.values)

    @property
    def _edges(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True)
class ChoiceGene:
    """One of ``choices``, each in an equal part of [0, 1].

    Raises:
        GeneError: for no choices, equal choices, or a choice that is no finite number, text or truth value.
    """

    name: str
    choices: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not self.choices:
            raise GeneError(self.name, ("choices",), "there is none; write at least one")
        for i, choice in enumerate(self.choices):
            if not isinstance(choice, Value) or (isinstance(choice, float) and not math.isfinite(choice)):
                what = f"{choice!r} is not usable; write a finite number, text, true or false"
                raise GeneError(self.name, ("choices", i), what)
            if any(same(choice, other) for other in self.choices[:i]):
                raise GeneError(self.name, ("choices", i), f"{choice!r} stands here twice; drop one")

    def from_unit(self, u: float) -> Value:
        """The choice whose part of [0, 1] holds ``u``."""
        return self.choices[_bin(u, len(self.choices))]

    def to_unit(self, value: object) -> float:
        """The centre of the part of ``value`` in [0, 1].

        Raises:
            GeneError: if it is none of the choices.
        """
        _member(self, value)
        place = next(i for i, choice in enumerate(self.choices) if same(choice, value))
        return (place + 0.5) / len(self.choices)

    def settled(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """The places of the choices at ``axis``, (n,)."""
        return _centres(axis, len(self.choices))

    def contains(self, value: object) -> bool:
        """Whether ``value`` is one of the choices."""
        return any(same(choice, value) and type(choice) is type(value) for choice in self.choices)


Gene = FloatGene | IntGene | ChoiceGene

KINDS: dict[str, type[Gene]] = {"float": FloatGene, "int": IntGene, "choice": ChoiceGene}


@dataclass(frozen=True)
class Space:
    """The genes of a search, in the order of the axes of the unit cube.

    Raises:
        SpaceError: for no genes, two genes of one name, or a condition that can never be decided or met.
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
            GeneError: if a value is none of its gene's values.
        """
        places = [gene.to_unit(genome[gene.name]) if gene.name in genome else 0.5 for gene in self.genes]
        return np.array(places)

    def settled(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points, (n, dimension), to the places of their genomes: `to_unit` of `from_unit` for each."""
        axes = {gene.name: gene.settled(axis) for gene, axis in zip(self.genes, points.T, strict=True)}
        active: dict[str, NDArray[np.bool_]] = {}
        for gene in self.parents_first:
            met = np.ones(len(points), dtype=bool)
            for name, values in gene.when:
                places = np.array([self._named[name].to_unit(value) for value in values])
                met &= active[name] & (abs(axes[name][:, None] - places) < _NEAR).any(axis=1)
            active[gene.name] = met
        return np.column_stack([np.where(active[gene.name], axes[gene.name], 0.5) for gene in self.genes])

    def active(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """The names of the genes whose conditions all hold, in the order of the genes.

        Args:
            values: a value for each gene, or for the active ones only.
        """
        met: set[str] = set()
        for gene in self.parents_first:
            if all(name in met and name in values and _among(values[name], vs) for name, vs in gene.when):
                met.add(gene.name)
        return tuple(gene.name for gene in self.genes if gene.name in met)

    def hypercube(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` points, (n, dimension), each axis with one in each of ``n`` equal strata."""
        axes = [(rng.permutation(n) + rng.random(n)) / n for _ in self.genes]
        return np.minimum(np.stack(axes, axis=1), 1.0)

    def sample(self, n: int, rng: np.random.Generator) -> list[Genome]:
        """Draw ``n`` genomes by Latin hypercube."""
        return [self.from_unit(point) for point in self.hypercube(n, rng)]

    def contains(self, genome: Mapping[str, Value]) -> bool:
        """Whether the genome has exactly the active genes, each with a value of its gene."""
        names = self.active(genome)
        return set(names) == set(genome) and all(self._named[n].contains(genome[n]) for n in names)

    def to_json(self) -> dict[str, Any]:
        """Give the space as plain lists, dicts, numbers and text."""
        kinds = {kind: name for name, kind in KINDS.items()}
        return {"genes": [{"kind": kinds[type(gene)], **asdict(gene)} for gene in self.genes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Space:
        """Build the space that ``to_json`` gave.

        Raises:
            SpaceError: if it is not one.
        """
        try:
            return cls(tuple(_gene(entry) for entry in data["genes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SpaceError(f"genes: no recorded search space ({error!r}); record it anew") from error

    @cached_property
    def _named(self) -> dict[str, Gene]:
        return {gene.name: gene for gene in self.genes}

    @cached_property
    def parents_first(self) -> tuple[Gene, ...]:
        """The genes in an order in which each comes after all that its conditions name."""
        parents = {gene.name: [name for name, _ in gene.when] for gene in self.genes}
        return tuple(self._named[name] for name in TopologicalSorter(parents).static_order())


Repeats = Mapping[str, str | int]
"""Genes that each layer has one of: by name, the int gene that counts the layers, or their number."""


def problems(genes: Sequence[Gene], repeats: Repeats) -> list[GeneError]:
    """Find everything that is wrong between genes, in their order: names, repeats and conditions."""
    named: dict[str, Gene] = {}
    found: list[GeneError] = []
    for gene in genes:
        stem, _, layer = gene.name.rpartition(".")
        if gene.name in named:
            found.append(GeneError(gene.name, (), "there are two genes of this name; drop one"))
        elif stem in repeats and layer.isdecimal():
            found.append(
                GeneError(gene.name, (), f"{stem} is repeated and takes this name; drop one of them")
            )
        named[gene.name] = gene
    parents: dict[str, list[str]] = {}
    for gene in genes:
        parents[gene.name] = [name for name, _ in gene.when]
        for name, values in gene.when:
            if what := _condition_problem(named, name, values) or _layer_problem(repeats, gene.name, name):
                found.append(GeneError(gene.name, ("when", name), what))
        count = repeats.get(gene.name)
        if isinstance(count, str):
            parents[gene.name].append(count)
            if what := _repeat_problem(named, repeats, count):
                found.append(GeneError(gene.name, ("repeat",), what))
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1]
        first = next(gene.name for gene in genes if gene.name in ring)
        what = f"the conditions go in a circle ({' > '.join(ring)}); drop one of them"
        found.append(GeneError(first, ("when",), what))
    order = {gene.name: i for i, gene in enumerate(genes)}
    return sorted(found, key=lambda problem: order[problem.gene])


def expanded(genes: Sequence[Gene], repeats: Repeats) -> tuple[Gene, ...]:
    """Put ``name.1``, ``name.2``, ... in the place of each repeated gene, one a layer.

    The k-th exists only while the counting gene is at least k. Its conditions on genes that are repeated too
    are meant layer by layer. Genes and repeats have no `problems`.
    """
    numbers = {gene.name: gene for gene in genes if isinstance(gene, IntGene)}
    written: list[Gene] = []
    for gene in genes:
        count = repeats.get(gene.name)
        if count is None:
            written.append(gene)
        else:
            written += _layers(gene, numbers[count] if isinstance(count, str) else count, repeats)
    return tuple(written)


def canonical(genome: Mapping[str, Value]) -> str:
    """Write a genome as the one JSON text that equal genomes share, whatever the order of their genes."""
    return json.dumps(dict(genome), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def same(a: object, b: object) -> bool:
    """Whether two values are equal, where unlike in Python ``True`` is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _gene(entry: Mapping[str, Any]) -> Gene:
    fields = {key: value for key, value in entry.items() if key != "kind"}
    fields["when"] = tuple((name, tuple(values)) for name, values in fields["when"])
    if "choices" in fields:
        fields["choices"] = tuple(fields["choices"])
    return KINDS[entry["kind"]](**fields)


def _check_range(gene: FloatGene | IntGene, smallest_log: float, rule: str) -> None:
    if gene.low >= gene.high:
        what = f"{gene.high} is not above low, which is {gene.low}; write a larger high or a smaller low"
        raise GeneError(gene.name, ("high",), what)
    if gene.log and gene.low < smallest_log:
        what = f"{gene.low} has no place under log; write {rule}, or log: false"
        raise GeneError(gene.name, ("low",), what)


def _layers(gene: Gene, count: int | IntGene, repeats: Repeats) -> Iterator[Gene]:
    for layer in range(1, (count if isinstance(count, int) else count.values[-1]) + 1):
        when = [(f"{name}.{layer}" if name in repeats else name, values) for name, values in gene.when]
        if isinstance(count, IntGene) and (count.when or count.low < layer):
            when.append((count.name, tuple(number for number in count.values if number >= layer)))
        yield replace(gene, name=f"{gene.name}.{layer}", when=tuple(when))


def _condition_problem(named: Mapping[str, Gene], name: str, values: tuple[Value, ...]) -> str | None:
    parent = named.get(name)
    if parent is None:
        return f"there is no gene {name}; write one of {listed(list(named))}"
    if not values:
        return f"there is no value; write the values of {name} with which this gene exists"
    if isinstance(parent, FloatGene):
        return f"{name} is a real number, never exactly {listed(values)}; write an int or a choices gene"
    for place, value in enumerate(values):
        if not parent.contains(value):
            return f"{name} is never {listed([value])}; write one of its values"
        if _among(value, values[:place]):
            return f"{listed([value])} stands here twice; drop one"
    return None


def _layer_problem(repeats: Repeats, gene: str, parent: str) -> str | None:
    if parent not in repeats or repeats.get(gene) == repeats[parent]:
        return None
    return f"{parent} differs from layer to layer; write repeat: {repeats[parent]} for {gene} too"


def _repeat_problem(named: Mapping[str, Gene], repeats: Repeats, counter: str) -> str | None:
    gene = named.get(counter)
    if gene is None:
        return f"there is no gene {counter}; write the name of an int gene, or the number of layers"
    if counter in repeats:
        return f"{counter} is repeated itself; write the name of an int gene that is not"
    if not isinstance(gene, IntGene):
        return f"{counter} is no int gene; write type: int there, with low and high"
    if gene.low < 1 or gene.high > MOST_LAYERS:
        return f"{counter} goes from {gene.low} to {gene.high}; write a range within 1 to {MOST_LAYERS} there"
    return None


def _among(value: object, values: Sequence[Value]) -> bool:
    return any(same(value, other) for other in values)


def _member(gene: Gene, value: object) -> Any:
    if not gene.contains(value):
        raise GeneError(gene.name, (), f"{value!r} is not one of this gene's values; write one of them")
    return value


def _bin(u: float, count: int) -> int:
    return min(max(int(u * count), 0), count - 1)


def _centres(axis: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    part: NDArray[np.float64] = np.minimum(np.floor(axis * count), count - 1)
    return (part + 0.5) / count
