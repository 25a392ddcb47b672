"""The sampler seam: ask for a generation of genomes, tell what became of them."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.knobs import Knob, Value, listed
from hebbevo.space import Genome, Space


@dataclass(frozen=True)
class Outcome:
    """A genome and its losses, all to be minimised; ``losses`` is ``None`` where the training failed."""

    genome: Genome
    losses: tuple[float, ...] | None


class Sampler(ABC):
    """Proposes genomes, a generation at a time; a pure function of (space, seed, settings) and its history.

    A subclass gives ``_ask`` and ``_tell``, and draws random numbers from the seed and the generation only.

    Args:
        space: where genomes come from.
        seed: of every random draw.
        settings: values of the sampler's ``knobs``; the rest keep their defaults.

    Raises:
        SpaceError: a setting is unknown or out of range.
    """

    knobs: ClassVar[dict[str, Knob]] = {}

    @final
    def __init__(self, space: Space, seed: int, settings: Mapping[str, Value]) -> None:
        self.space = space
        self.seed = seed
        self.generation = 0
        self._asked: list[Genome] | None = None
        self._set_up(_settings(type(self), settings))

    @final
    def ask(self, n: int) -> list[Genome]:
        """Propose the ``n`` genomes of the next generation.

        Raises:
            HebbevoError: the last generation was not told yet.
        """
        if self._asked is not None:
            raise HebbevoError(f"{type(self).__name__}.ask: generation {self.generation} was not told yet")
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
            Outcome(genome, _finite(outcome.losses))
            for genome, outcome in zip(self._asked, outcomes, strict=False)
        ]
        self._asked = None
        self._tell(told)
        self.generation += 1

    @abstractmethod
    def _set_up(self, settings: Mapping[str, Value]) -> None:
        """Take the value of every knob."""

    @abstractmethod
    def _ask(self, n: int) -> list[Genome]:
        """Propose ``n`` genomes."""

    @abstractmethod
    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from a generation."""


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
