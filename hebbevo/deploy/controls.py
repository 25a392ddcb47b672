"""Dense networks as controls: their recipe, their genomes, and what their training costs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

from hebbevo.networks import Architecture
from hebbevo.networks.padded import Padded
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

_WIDENED_BY = 2.0, 10.0  # factors of the learning rate and of the weight decay beyond the edge
_LEAST, _MOST = (1e-5, 1e-3), (1.0, 100.0)

Point = tuple[float, float]
"""A learning rate and a weight decay."""


def why_none(spec: Spec) -> str:
    """Why networks of a space have no dense control of the same widths; empty where they have one."""
    network = spec.network
    if network.module:
        return "the network is your own, whose widths hebbevo cannot choose"
    if spec.count != "neurons":
        return f"survivors are {spec.count}, and a dense network is given by its neurons"
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
    network = replace(recipe.network, units="dense", connections="full", credit="backprop", inputs=False)
    kept = ("optimizer", "momentum")
    settings = {name: recipe.settings[name] for name in kept if name in recipe.settings}
    return replace(recipe, network=network, settings=settings, seed=seed, epochs=epochs, further=())


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


def dense_genome(recipe: Recipe, control: Training) -> Genome:
    """The genome of a control: its widths, and the knobs of its training."""
    assert isinstance(recipe.network, Architecture)
    assert control.learning_rate is not None and control.weight_decay is not None
    channels = len(recipe.network.channels)
    widths: dict[str, Value] = {
        "channels": [*control.widths[:channels]],
        "hidden": [*control.widths[channels:]],
    }
    genome: Genome = {
        **{name: of_kind for name, of_kind in widths.items() if of_kind},
        "learning_rate": control.learning_rate,
        "weight_decay": control.weight_decay,
        "settle": control.settle,
    }
    return genome


class Cost:
    """Multiply-adds of a forward pass through networks of a family for one row, by the widths of layers.

    They are bilinear in the widths of neighbouring layers, so that those of a network with one unit in each
    layer give the factors.

    Args:
        network: the family.
    """

    def __init__(self, network: Architecture) -> None:
        self._network = network
        self._factors: dict[int, list[int]] = {}

    def per_row(self, widths: Sequence[int]) -> int:
        """For a network with these widths: channels of convolutions, then neurons of hidden layers."""
        if len(widths) not in self._factors:
            self._factors[len(widths)] = self._factors_of(len(widths))
        inner = [1, *widths, 1]
        links = zip(self._factors[len(widths)], pairwise(inner), strict=True)
        return sum(factor * before * after for factor, (before, after) in links)

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

    def _factors_of(self, depth: int) -> list[int]:
        import torch

        from hebbevo.nn.liveness.counting import count

        channels = len(self._network.channels)
        shaped = replace(
            self._network,
            units="dense",
            connections="full",
            credit="backprop",
            inputs=False,
            channels=(1,) * channels,
            hidden=(1,) * (depth - channels),
        )
        counted = count(shaped.build({}, seed=0), torch.zeros(1, *shaped.shape))
        links = counted.drop(index="total").multiply_adds
        return [int(each) for each in links[links.fillna(0) > 0]]


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
