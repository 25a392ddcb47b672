"""The sampler seam: ask for a generation of genomes, tell what became of them."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.space.genes import Genome, Space, canonical
from hebbevo.space.knobs import Knob, Value, listed

Point = NDArray[np.float64]
"""A place in the unit cube, shape (dimension,)."""

_REDRAWS = 20


@dataclass(frozen=True)
class Outcome:
    """What became of a genome.

    Attributes:
        losses: all to be minimised, measured or, of a training that was stopped early, expected; ``None``
            where it failed, or was stopped too early to tell.
        violation: how far the worst of the constraints is from being met; 0 or less where all are met.
    """

    genome: Genome
    losses: tuple[float, ...] | None
    violation: float = 0.0


class Sampler(ABC):
    """Proposes genomes, a generation at a time; a pure function of (space, seed, settings) and its history.

    A subclass gives ``_set_up``, ``_ask`` and ``_tell``. It draws random numbers from `_rng` only, and passes
    what it proposes through `_unseen`, so that no genome is proposed twice while there are others.

    Args:
        space: where genomes come from.
        seed: of every random draw.
        settings: values of the sampler's ``knobs``; the rest keep their defaults.
        objectives: number of losses that an outcome has.

    Attributes:
        generation: number of generations told.
        progress: part of the search's budget, 0 to 1, that was spent when the generation was asked.

    Raises:
        SpaceError: a setting is unknown or out of range.
    """

    knobs: ClassVar[dict[str, Knob]] = {}

    @final
    def __init__(self, space: Space, seed: int, settings: Mapping[str, Value], objectives: int = 2) -> None:
        self.space = space
        self.seed = seed
        self.objectives = objectives
        self.generation = 0
        self.progress = 0.0
        self._asked: list[Genome] | None = None
        self._seen: set[str] = set()
        self._proposed: set[str] = set()
        self._set_up(_settings(type(self), settings))

    @final
    def ask(self, n: int, progress: float = 0.0) -> list[Genome]:
        """Propose the ``n`` genomes of the next generation.

        ``progress`` is the part of the search's budget that is spent, 0 to 1, for samplers with a schedule.

        Raises:
            HebbevoError: the last generation was not told yet.
        """
        if self._asked is not None:
            raise HebbevoError(f"{type(self).__name__}.ask: generation {self.generation} was not told yet")
        self.progress = progress
        self._asked = self._ask(n)
        return [dict(genome) for genome in self._asked]

    @final
    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Take back what was asked, in the same order; a generation that was cut short has fewer outcomes.

        An outcome with a loss that is NaN or infinite counts as a failed training.

        Raises:
            HebbevoError: nothing was asked, or these are other genomes.
        """
        if self._asked is None:
            raise HebbevoError(f"{type(self).__name__}.tell: nothing was asked; call ask first")
        if [outcome.genome for outcome in outcomes] != self._asked[: len(outcomes)]:
            raise HebbevoError(
                f"{type(self).__name__}.tell: these are not the genomes that were asked, in order"
            )
        told = [
            Outcome(genome, _finite(outcome.losses), outcome.violation)
            for genome, outcome in zip(self._asked, outcomes, strict=False)
        ]
        self._asked = None
        self._proposed.clear()
        self._seen.update(canonical(outcome.genome) for outcome in told)
        self._tell(told)
        self.generation += 1

    def _rng(self) -> np.random.Generator:
        """The random numbers of this generation, from their beginning."""
        return np.random.default_rng([self.seed, self.generation])

    def _unseen(self, draw: Callable[[], Point], rng: np.random.Generator) -> Point:
        """Draw a point whose genome is new: 20 times with ``draw``, then 20 times anywhere, then any."""
        for attempt in range(2 * _REDRAWS):
            point = draw() if attempt < _REDRAWS else rng.random(self.space.dimension)
            if self._is_new(self.space.from_unit(point)):
                break
        return point

    def _is_new(self, genome: Genome) -> bool:
        """Whether a genome was not proposed before, in this generation or a told one; from now on it was."""
        name = canonical(genome)
        new = name not in self._seen and name not in self._proposed
        self._proposed.add(name)
        return new

    def _first(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Spread ``n`` points as a Latin hypercube, which is how every search begins."""
        return [self._unseen(partial(np.copy, point), rng) for point in self.space.hypercube(n, rng)]

    @abstractmethod
    def _set_up(self, settings: Mapping[str, Value]) -> None:
        """Take the value of every knob."""

    @abstractmethod
    def _ask(self, n: int) -> list[Genome]:
        """Propose ``n`` genomes."""

    @abstractmethod
    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from a generation."""


def penalised(outcomes: Sequence[Outcome]) -> NDArray[np.float64]:
    """Give the losses, (n, objectives), of outcomes that did not fail, as `penalise` changes them."""
    losses = np.array([outcome.losses for outcome in outcomes], dtype=float)
    return penalise(losses, np.array([outcome.violation for outcome in outcomes]))


def penalise(losses: NDArray[np.float64], violation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change losses so that whoever meets the constraints dominates whoever does not.

    Among those who do not, the smaller violation dominates (Deb, 2000, doi:10.1016/S0045-7825(99)00389-8).
    ``losses`` is (n, objectives), ``violation`` (n,), positive where a constraint is missed.
    """
    violated = violation > 0
    behind = losses.max(axis=0) + violation[:, None]
    return np.where(violated[:, None], behind, losses)


def _finite(losses: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return losses if losses is not None and all(map(math.isfinite, losses)) else None


def _settings(sampler: type[Sampler], given: Mapping[str, Value]) -> dict[str, Value]:
    for name, value in given.items():
        if name not in sampler.knobs:
            close = difflib.get_close_matches(name, sampler.knobs, 1)
            hint = f"did you mean {close[0]}?" if close else f"write one of {listed(list(sampler.knobs))}"
            raise SpaceError(f"search.settings.{name}: {sampler.__name__} has no such setting; {hint}")
        if problem := sampler.knobs[name].problem(value):
            raise SpaceError(f"search.settings.{name}: {problem}")
    return {name: knob.default for name, knob in sampler.knobs.items()} | dict(given)
