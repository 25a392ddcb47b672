"""Bundles: units and columns that can only leave a network together.

There is a bundle for every set of units that meet in the same places. Units meet where a layer has them in
the same input column, as behind a residual sum. A unit meets the columns that read it, and its numbers in
norms. Channel 3 of two convolutions whose outputs are added is in one bundle with column 3 of the next layer.

A bundle is *fixed* if one of its units goes to a place that cannot become smaller: an output, or a function
that mixes units, such as a layer norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from hebbevo.nn.unit_labels.labelled_network import labelled_network
from hebbevo.nn.unit_labels.labels import Arrival, SourceKind
from hebbevo.nn.unit_labels.run import LabelledRun

Bundle = npt.NDArray[np.int64]
"""The number of the bundle of each unit, or column."""

_MIXED = "an output, or a function that mixes units, takes it"
_INPUTS = "it is beside inputs, or beside what no layer computes"
_WEIGHTS = "something else uses the weights, or they are computed"


@dataclass(frozen=True)
class Bundles:
    """The bundles of a network.

    Attributes:
        columns: the bundle of every input column, by the name of a layer.
        units: the bundle of every unit, by the name of a layer, norm or plastic units.
        fixed: why a bundle cannot leave, by its number.
        number: how many bundles there are.
        groups: of each layer.
        selecting: names of plastic units whose inputs cannot become fewer; they can select some.
    """

    columns: Mapping[str, Bundle]
    units: Mapping[str, Bundle]
    fixed: Mapping[int, str]
    number: int
    groups: Mapping[str, int]
    selecting: frozenset[str]

    @classmethod
    def of(cls, net: nn.Module, inputs: Sequence[Tensor]) -> Bundles:
        """Find the bundles of ``net``, in which no layer is in a mask, by a run on ``inputs``.

        Raises:
            NotFollowed: its path depends on values, or part of it cannot be looked into.
        """
        run, used = labelled_network(net, inputs)
        return _Finder(dict(net.named_modules()), run, used).bundles()

    def parts(self) -> list[Bundle]:
        """Sets of bundles that may leave, in the order of the network.

        The units or columns of one layer are all in one set. So what leaves of one set has no effect on the
        sizes of layers in the others.
        """
        sides = [*self.units.values(), *self.columns.values()]
        may_leave = np.ones(self.number, bool)
        may_leave[[*self.fixed]] = False
        one = np.concatenate([np.zeros(0, np.int64), *sides])
        other = np.repeat(np.arange(len(sides)) + self.number, [len(side) for side in sides])
        keeps = may_leave[one]
        of_bundle = _components(self.number + len(sides), one[keeps], other[keeps])[: self.number]
        order = dict.fromkeys(of_bundle[one[keeps]].tolist())
        return [np.flatnonzero((of_bundle == part) & may_leave) for part in order]


def _components(number: int, one: Bundle, other: Bundle) -> Bundle:
    """The number of the component of every place, of which pairs are joined."""
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(number, number))
    found: Bundle = connected_components(graph, directed=False)[1].astype(np.int64)
    return found


class _Finder:
    """Joins the units and columns of a run.

    Every unit and column has a number, its place; those that are joined are a bundle.
    """

    def __init__(self, modules: Mapping[str, nn.Module], run: LabelledRun, used: set[str]) -> None:
        self._columns: dict[str, range] = {}
        self._units: dict[str, range] = {}
        self._groups: dict[str, int] = {}
        self._edges: list[tuple[Bundle, Bundle]] = []
        self._fixed: dict[int, str] = {}
        self._number = 0
        kinds = {source.name: source.kind for source in run.sources}
        for source in run.sources:
            self._units.setdefault(source.name, self._new(source.size))
        entered: dict[str, list[tuple[Arrival, npt.NDArray[np.bool_]]]] = {}
        for arrival in run.arrivals:
            if not arrival.reader:
                for source in arrival.units:
                    self._fix(self._units[source.name], _MIXED)
                continue
            name = arrival.reader
            self._groups[name] = arrival.groups
            if kinds[name] is SourceKind.LAYER and name not in self._columns:
                columns = cast(Tensor, modules[name].weight).shape[1]
                self._columns[name] = self._new(columns * arrival.groups)
            entered.setdefault(name, []).append((arrival, self._covered(arrival)))
        self._selecting = frozenset(
            name
            for name, calls in entered.items()
            if kinds[name] is SourceKind.UNITS and not all(covered.all() for _, covered in calls)
        )
        for calls in entered.values():
            for arrival, covered in calls:
                self._enter(arrival, covered)
        for source in run.sources:
            if source.kind is SourceKind.CIRCUIT:
                self._fix(self._units[source.name], _WEIGHTS)
            elif source.kind is not SourceKind.UNITS and (source.name in used or not source.own_weights):
                self._fix([*self._units[source.name], *self._columns.get(source.name, ())], _WEIGHTS)

    def bundles(self) -> Bundles:
        """The bundles of all units and columns."""
        empty: Bundle = np.zeros(0, np.int64)
        one, other = (np.concatenate([empty, *(edge[end] for edge in self._edges)]) for end in (0, 1))
        bundle = _components(self._number, one, other)
        return Bundles(
            {name: bundle[places.start : places.stop] for name, places in self._columns.items()},
            {name: bundle[places.start : places.stop] for name, places in self._units.items()},
            {int(bundle[place]): reason for place, reason in reversed(self._fixed.items())},
            int(bundle.max(initial=-1)) + 1,
            self._groups,
            self._selecting,
        )

    def _new(self, size: int) -> range:
        self._number += size
        return range(self._number - size, self._number)

    def _fix(self, places: Sequence[int], reason: str) -> None:
        for place in places:
            self._fixed.setdefault(place, reason)

    def _places(self, name: str) -> range:
        """The places of what a module reads; norms and plastic units have one for both their sides."""
        return self._columns.get(name, self._units[name])

    def _covered(self, arrival: Arrival) -> npt.NDArray[np.bool_]:
        """Which columns of a reader hold a unit that is known."""
        covered = np.zeros(len(self._places(arrival.reader)), bool)
        for columns in arrival.units.values():
            if columns is None or len(columns) != len(covered):
                return np.zeros_like(covered)
            covered |= np.array(columns, np.int64) >= 0
        return covered

    def _enter(self, arrival: Arrival, covered: npt.NDArray[np.bool_]) -> None:
        """Join units with the columns that they enter."""
        if arrival.reader in self._selecting:
            for source in arrival.units:
                self._fix(self._units[source.name], _MIXED)
            return
        places = np.array(self._places(arrival.reader), np.int64)
        for source, columns in arrival.units.items():
            if columns is None or len(columns) != len(places):
                self._fix(self._units[source.name], _MIXED)
                continue
            units = np.array(columns, np.int64)
            holds = units >= 0
            self._edges.append((places[holds], self._units[source.name].start + units[holds]))
        self._fix(places[~covered].tolist(), _INPUTS)
