"""The interface of a sampler: ask it for a generation of genomes, then tell it their outcomes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.messages import did_you_mean, listed
from hebbevo.samplers.unit_cube import Point
from hebbevo.samplers.version import VERSION
from hebbevo.space import Genome, Space, canonical
from hebbevo.space.knobs import Knob, Scalar

_REDRAWS = 20


@dataclass(frozen=True)
class Outcome:
    """The result of training a genome, as a sampler sees it.

    Attributes:
        genome: the genome that was asked.
        losses: one loss per objective, all to be minimised. They were measured, or predicted for a training
            that was stopped early. ``None`` where the training failed, or stopped before a prediction.
        violation: how far the worst constraint is from being met; 0 or less where all constraints are met.
    """

    genome: Genome
    losses: tuple[float, ...] | None
    violation: float = 0.0


class Sampler(ABC):
    """Proposes genomes, one generation at a time.

    The proposals are a pure function of the space, the seed, the settings and the history of `ask` and
    `tell`. That is what lets a killed search resume with the genomes that it would have asked.

    A subclass implements ``_set_up``, ``_ask`` and ``_tell``. It draws random numbers from ``_rng`` only. It
    passes its proposals through ``_unseen``, so that no genome is proposed twice while there are others.

    Args:
        space: the genes and their ranges.
        seed: the seed of every random draw.
        settings: values for some of the sampler's ``knobs``; the others keep their defaults.
        objectives: number of losses of an outcome.
        start: genomes of the space to propose before all others, in their order.
        version: in version 1, `nsga2` and `nsga3` take no genome for a parent that was drawn in place of a
            repeated one; some settings have other defaults before a version, see ``defaults_before``.
        trials: number of trials that the search began with, for a sampler that lays out all of them;
            ``None`` if there is none.

    Attributes:
        knobs: the settings of this kind of sampler, by name.
        defaults_before: the defaults that settings had before a version, by that version.
        learns_after: number of outcomes before which no proposal depends on one; infinite for a sampler that
            never learns. A first generation depends on none, so that 1 holds for every sampler.
        generation: number of generations whose outcomes are known.
        progress: the part of the search's budget, 0 to 1, that was spent at the last `ask`.

    Raises:
        SpaceError: a setting is unknown or out of range.

    Examples:
        Minimise a function of one gene with a genetic algorithm:

        >>> from hebbevo.samplers import SAMPLERS, Outcome
        >>> from hebbevo.space import FloatGene, Space
        >>> space = Space((FloatGene("x", low=0.0, high=1.0),))
        >>> sampler = SAMPLERS["ga"](space, seed=0, settings={}, objectives=1)
        >>> for _ in range(10):
        ...     genomes = sampler.ask(8)
        ...     sampler.tell([Outcome(genome, losses=((genome["x"] - 0.3) ** 2,)) for genome in genomes])
        >>> all(abs(genome["x"] - 0.3) < 0.1 for genome in sampler.ask(2))
        True
    """

    knobs: ClassVar[dict[str, Knob]] = {}
    defaults_before: ClassVar[Mapping[int, Mapping[str, Scalar]]] = {}
    learns_after: ClassVar[float] = 1

    @final
    def __init__(
        self,
        space: Space,
        seed: int,
        settings: Mapping[str, Scalar],
        objectives: int = 2,
        start: Sequence[Genome] = (),
        version: int = VERSION,
        trials: int | None = None,
    ) -> None:
        self.space = space
        self.seed = seed
        self.objectives = objectives
        self.version = version
        self.trials = trials
        self.generation = 0
        self.progress = 0.0
        self._asked: list[Genome] | None = None
        self._seen: set[str] = set()
        self._proposed: set[str] = set()
        self._start = deepcopy([*start])
        for genome in self._start:
            if not space.contains(genome):
                raise SpaceError(f"search.start: {canonical(genome)} does not lie in the space; change it")
        self._set_up(_complete(type(self), settings, version))

    @classmethod
    def not_chosen(cls, generations: Iterable[int]) -> int:
        """Count the first trials of a search that its sampler did not choose by results.

        They are the sampler's initial design. What is true of them is true of the space, whereas a sampler
        gathers later trials where results are good.

        Args:
            generations: number of trials of each generation, from the first.

        Examples:
            The default sampler has a model from ten outcomes on:

            >>> from hebbevo.samplers import LatinHypercube, Surrogate
            >>> Surrogate.not_chosen([50, 50, 50]), Surrogate.not_chosen([4, 4, 4, 4])
            (50, 12)
            >>> LatinHypercube.not_chosen([50, 50, 50])
            150
        """
        count = 0
        for size in generations:
            if count >= cls.learns_after:
                break
            count += size
        return count

    @final
    def ask(self, n: int, progress: float = 0.0) -> list[Genome]:
        """Propose the next generation.

        Args:
            n: number of genomes.
            progress: the part of the search's budget that is spent, 0 to 1, for samplers with a schedule.

        Returns:
            ``n`` genomes, each with a value for every active gene.

        Raises:
            HebbevoError: the outcomes of the last generation are still missing.
        """
        if self._asked is not None:
            raise HebbevoError(
                f"{type(self).__name__}.ask: generation {self.generation} has no outcomes; call tell first"
            )
        self.progress = progress
        starting = self._start[:n]
        for genome in starting:  # before the others, so that none of them is the same
            self._note_proposal(genome)
        self._asked = self._ask(n)
        for place, genome in enumerate(starting):
            self._asked[place] = genome
            self._begin_at(place, genome)
        # copies, so that a caller may change a genome without changing what tell compares it with
        return deepcopy(self._asked)

    @final
    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn the outcomes of the generation that was asked.

        Args:
            outcomes: one for each genome, in the order of `ask`. A generation that was cut short has fewer.
                A loss that is NaN or infinite counts as a failed training.

        Raises:
            HebbevoError: nothing was asked, or these are other genomes.
        """
        if self._asked is None:
            raise HebbevoError(f"{type(self).__name__}.tell: nothing was asked; call ask first")
        if [outcome.genome for outcome in outcomes] != self._asked[: len(outcomes)]:
            raise HebbevoError(
                f"{type(self).__name__}.tell: these are not the genomes that were asked, in order"
            )
        checked = [
            Outcome(genome, _finite(outcome.losses), outcome.violation)
            for genome, outcome in zip(self._asked, outcomes, strict=False)
        ]
        self._asked = None
        self._start = self._start[len(checked) :]  # those that were cut off come next time
        # proposals of a generation that was cut short were never trained, and may be proposed again
        self._proposed.clear()
        self._seen.update(canonical(outcome.genome) for outcome in checked)
        self._tell(checked)
        self.generation += 1

    def prepare(self) -> None:  # noqa: B027
        """Import what a later `ask` needs, so that it need not wait; proposals do not depend on it."""

    def _rng(self) -> np.random.Generator:
        """A generator of this generation's random numbers, at its start.

        Seeding each generation anew lets a resumed search draw the same numbers without replaying draws.
        """
        return np.random.default_rng([self.seed, self.generation])

    def _unseen(self, draw: Callable[[], Point], rng: np.random.Generator) -> Point:
        """Draw a point whose genome is new.

        It tries ``draw`` 20 times, then the whole cube 20 times. After that it accepts a genome that was seen
        before: a small space may have no others.
        """
        for attempt in range(2 * _REDRAWS):
            point = draw() if attempt < _REDRAWS else rng.random(self.space.dimension)
            if self._note_proposal(self.space.from_unit(point)):
                break
        return point

    def _note_proposal(self, genome: Genome) -> bool:
        """Record that a genome is proposed; return whether it is new, in this and all earlier generations."""
        name = canonical(genome)
        new = name not in self._seen and name not in self._proposed
        self._proposed.add(name)
        return new

    def _latin_hypercube(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Spread ``n`` points over the cube: the first generation of every sampler of ours."""
        return [self._unseen(partial(np.copy, point), rng) for point in self.space.hypercube(n, rng)]

    def _begin_at(self, place: int, genome: Genome) -> None:  # noqa: B027
        """Take a genome that the user has given in place of a proposal of `_ask`.

        A sampler that remembers its proposals by their places replaces this one.

        Args:
            place: number of the proposal in its generation, from 0.
            genome: what is trained in its place.
        """

    @abstractmethod
    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        """Initialise the sampler; ``settings`` has a value for every knob."""

    @abstractmethod
    def _ask(self, n: int) -> list[Genome]:
        """Propose ``n`` genomes."""

    @abstractmethod
    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from the outcomes of a generation."""


def penalised(outcomes: Sequence[Outcome]) -> NDArray[np.float64]:
    """Give the losses, (n, objectives), of outcomes that did not fail, penalised as by `penalise`."""
    losses = np.array([outcome.losses for outcome in outcomes], dtype=float)
    return penalise(losses, np.array([outcome.violation for outcome in outcomes]))


def penalise(losses: NDArray[np.float64], violation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change losses so that a point that meets the constraints dominates every point that does not.

    Of two points that do not, the one with the smaller violation dominates. This is the penalty of Deb (2000,
    doi:10.1016/S0045-7825(99)00389-8, section 3): the worst loss plus the violation, whatever the losses of
    the point itself. Here it is applied to each loss, and the worst is taken over all points.

    Args:
        losses: (n, objectives).
        violation: (n,), positive where a constraint is violated.

    Returns:
        The penalised losses, (n, objectives).

    Examples:
        >>> penalise(np.array([[1.0, 5.0], [2.0, 4.0], [0.0, 0.0]]), np.array([0.0, -1.0, 0.5]))
        array([[1. , 5. ],
               [2. , 4. ],
               [2.5, 5.5]])
    """
    violated = violation > 0
    behind = losses.max(axis=0) + violation[:, None]
    return np.where(violated[:, None], behind, losses)


def _finite(losses: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return losses if losses is not None and all(map(math.isfinite, losses)) else None


def _complete(sampler: type[Sampler], given: Mapping[str, Scalar], version: int) -> dict[str, Scalar]:
    """Check the settings that are given, and add the defaults that the others have in a version."""
    for name, value in given.items():
        if name not in sampler.knobs:
            hint = did_you_mean(name, sampler.knobs, f"write one of {listed(sampler.knobs)}")
            raise SpaceError(f"search.settings.{name}: {sampler.__name__} has no such setting; {hint}")
        if problem := sampler.knobs[name].problem(value):
            raise SpaceError(f"search.settings.{name}: {problem}")
    settings = {name: knob.default for name, knob in sampler.knobs.items()}
    for later in sorted(sampler.defaults_before, reverse=True):  # the earliest change is undone last
        settings |= sampler.defaults_before[later] if version < later else {}
    return settings | dict(given)
