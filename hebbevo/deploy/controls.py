"""Dense networks as controls: their recipe, their genomes, and what their training costs."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

from hebbevo.networks import Architecture
from hebbevo.networks.padded import Padded
from hebbevo.networks.settings import DEFAULT_READOUT
from hebbevo.space import Genome
from hebbevo.space.knobs import Value
from hebbevo.spec import Spec
from hebbevo.study.confirmation_record import Training

if TYPE_CHECKING:
    from hebbevo.training import Recipe

LEARNING_RATES = (2e-3, 5e-3, 1e-2, 2e-2)
"""Learning rates of the grid on which the control is tuned: around the best of small dense networks."""

WEIGHT_DECAYS = (0.0, 0.01, 0.1, 1.0)
"""Weight decays of that grid: none, AdamW's default, and two decades above it, which help small networks."""

_OF_MEMBERS = ("optimizer", "momentum", "learning_rate_warmup")
"""Knobs of a training that a control has from its member, whether they are settings or genes."""

_WIDENED_BY = 2.0, 10.0  # factors of the learning rate and of the weight decay beyond the edge
_LEAST, _MOST = (1e-5, 1e-3), (1.0, 100.0)

Point = tuple[float, float]
"""A learning rate and a weight decay."""


def why_none(spec: Spec) -> str:
    """Why networks of a space have no dense control of the same size; empty where they have one."""
    network = spec.network
    if network.module:
        return "the network is your own, whose widths hebbevo cannot choose"
    if network.family == "hebbian_conv":
        what = "channels of hebbian_conv compete, which a dense network does not have"
        return f"{what}; its control is the same network with random weights"
    return "inputs are pruned, and a dense network has them all" if network.inputs else ""


def seed_of(study_seed: int, purpose: int | str) -> int:
    """The seed that stands for the study's in a confirmation, 62 bits.

    Args:
        study_seed: seed of the study.
        purpose: number of a replicate, or ``tuning``.
    """
    text = f"{study_seed}/confirm/{purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


def dense_recipe(recipe: Recipe, seed: int, epochs: int) -> Recipe:
    """The recipe of dense controls: that of the study, without a plastic rule, with this schedule.

    Args:
        recipe: of the study, with a network of a built-in family.
        seed: of a replicate, which decides the order of minibatches.
        epochs: of the whole schedule.
    """
    assert isinstance(recipe.network, Architecture)
    settings = {name: recipe.settings[name] for name in _OF_MEMBERS if name in recipe.settings}
    return replace(
        recipe, network=_dense(recipe.network), settings=settings, seed=seed, epochs=epochs, further=()
    )


def _dense(network: Architecture) -> Architecture:
    """The network without a plastic rule."""
    return replace(
        network,
        units="dense",
        connections="full",
        credit="backprop",
        readout=DEFAULT_READOUT,
        inputs=False,
    )


def padded(recipe: Recipe, widths: Sequence[Sequence[int]]) -> Recipe:
    """The recipe of dense controls of several widths, in a form in which they train in one stack.

    Args:
        recipe: from `dense_recipe`.
        widths: of each control, all of one depth.
    """
    assert isinstance(recipe.network, Architecture)
    widest = tuple(map(max, zip(*widths, strict=True)))
    channels = len(recipe.network.channels)
    return replace(recipe, network=Padded(recipe.network, widest[:channels], widest[channels:]))


def dense_genome(recipe: Recipe, control: Training, member: Genome) -> Genome:
    """The genome of a control: its widths, and the knobs of its training.

    Args:
        recipe: of the study.
        control: what is to be trained.
        member: the genome whose control it is.
    """
    assert isinstance(recipe.network, Architecture)
    assert control.learning_rate is not None and control.weight_decay is not None
    channels = len(recipe.network.channels)
    widths: dict[str, Value] = {
        "channels": [*control.widths[:channels]],
        "hidden": [*control.widths[channels:]],
    }
    genome: Genome = {
        **{name: of_kind for name, of_kind in widths.items() if of_kind},
        **{name: member[name] for name in _OF_MEMBERS if name in member},
        "learning_rate": control.learning_rate,
        "weight_decay": control.weight_decay,
        "settle": control.settle,
    }
    return genome


class DenseSize:
    """The size of dense networks of a family, by the widths of their layers.

    Connections, parameters and multiply-adds for one row are bilinear in the widths of neighbouring layers,
    with a linear part for biases. Networks with one unit in each layer give the factors.

    Args:
        network: the family.
        count: ``neurons``, ``connections``, ``parameters`` or ``multiply_adds``.
    """

    def __init__(self, network: Architecture, count: str) -> None:
        self._network = network
        self._count = count
        self._factors: dict[int, list[tuple[int, int]]] = {}

    def of(self, widths: Sequence[int]) -> int:
        """The size of a network with these widths: channels, then neurons of hidden layers."""
        if self._count == "neurons":
            return sum(widths)
        if len(widths) not in self._factors:
            self._factors[len(widths)] = self._factors_of(len(widths))
        links = zip(self._factors[len(widths)], pairwise([1, *widths, 1]), strict=True)
        return sum((weights * before + biases) * after for (weights, biases), (before, after) in links)

    def widths_with(self, size: float, proportions: Sequence[int]) -> tuple[int, ...]:
        """The widths of a network of at least this size and hardly more, in these proportions up to one unit.

        >>> network = Architecture("mlp", (4, 2), "dense", False, (3,), 2)
        >>> DenseSize(network, "connections").widths_with(30, proportions=(4, 2))
        (5, 3)

        Args:
            size: as `count` counts it.
            proportions: the widths of another network.
        """
        widest = max(proportions)

        def narrower(units: int) -> tuple[int, ...]:
            return tuple(max(1, round(units * width / widest)) for width in proportions)

        units = bisect_left(range(int(size) + 2), size, lo=1, key=lambda units: self.of(narrower(units)))
        wide, narrow = narrower(units), narrower(units - 1)
        # between two such networks lie those of which the last layers are as wide as in the larger one
        between = [(*narrow[:layer], *wide[layer:]) for layer in range(len(wide), -1, -1)]
        return next(each for each in between if self.of(each) >= size)

    def _factors_of(self, depth: int) -> list[tuple[int, int]]:
        import torch

        from hebbevo.nn.liveness.counting import count

        channels = len(self._network.channels)
        shaped = replace(
            _dense(self._network),
            channels=(1,) * channels,
            hidden=(1,) * (depth - channels),
        )
        counted = count(shaped.build({}, seed=0), torch.zeros(1, *shaped.shape)).drop(index="total")
        table = counted[["connections", "parameters", "multiply_adds"]].fillna(0).to_numpy(int)
        found: list[tuple[int, int]] = []
        for connections, parameters, cost in table.tolist():
            biases = parameters - connections if self._count == "parameters" else 0
            if connections:
                found.append((cost if self._count == "multiply_adds" else connections, biases))
            elif found:  # a batch norm belongs to the layer before it
                found[-1] = found[-1][0], found[-1][1] + biases
        return found


class Cost:
    """Multiply-adds of forward passes through networks of a family.

    Args:
        network: the family.
    """

    def __init__(self, network: Architecture) -> None:
        self._per_row = DenseSize(network, "multiply_adds")

    def per_row(self, widths: Sequence[int]) -> int:
        """For one row and a dense network with these widths."""
        return self._per_row.of(widths)

    def of_training(self, start: Sequence[int], layers: Sequence[Sequence[int]], rows: int) -> float:
        """For all rows of a training.

        Args:
            start: units of each layer before it.
            layers: units of each layer that were alive after each epoch. An epoch counts with the more units
                of each layer that it began or ended with.
            rows: training rows.
        """
        starts = [start, *layers[:-1]]
        wider = ([max(pair) for pair in zip(*both, strict=True)] for both in zip(starts, layers, strict=True))
        return float(rows * sum(map(self.per_row, wider)))

    def of_sparse_training(self, start: Sequence[int], shares: Sequence[float], rows: int) -> float:
        """For all rows of a training in which connections are pruned.

        Args:
            start: units of each layer before it.
            shares: what is left of the network after each epoch, 0 to 1. An epoch counts with the more that
                it began or ended with, the first one with what it ended with.
            rows: training rows.
        """
        wider = map(max, [shares[0], *shares[:-1]], shares)
        return float(rows * self.per_row(start) * sum(wider))


def first_grid() -> list[Point]:
    """The points on which the control is tuned first."""
    return [*product(LEARNING_RATES, WEIGHT_DECAYS)]


def wider_grid(tried: Sequence[Point], best: Point) -> list[Point]:
    """The points to try next where the best one lies on an edge of the grid; none where it does not.

    >>> wider_grid([(0.01, 0.1), (0.02, 0.1), (0.01, 0.0), (0.02, 0.0)], best=(0.01, 0.0))
    [(0.005, 0.0), (0.005, 0.1)]
    """
    axes = [sorted({point[axis] for point in tried}) for axis in (0, 1)]
    found: set[Point] = set()
    for axis, factor in enumerate(_WIDENED_BY):
        values, value = axes[axis], best[axis]
        beyond = []
        if value == values[-1]:
            beyond.append(value * factor)
        if value == values[0] and value > 0:
            beyond.append(value / factor)
        for new in beyond:
            if _LEAST[axis] <= new <= _MOST[axis]:
                found |= {(new, other) if axis == 0 else (other, new) for other in axes[1 - axis]}
    return sorted(found)
