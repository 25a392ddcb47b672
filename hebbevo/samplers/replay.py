"""Replay: bring a new sampler to the state that an earlier one had, by its recorded generations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hebbevo.errors import ReplayMismatch
from hebbevo.samplers.sampler import Outcome, Sampler
from hebbevo.space import Genome


@dataclass(frozen=True)
class PastGeneration:
    """A generation that a sampler was asked for.

    Attributes:
        progress: the progress that the sampler was asked with.
        genomes: the genomes that were kept, in order; a search may cut its last generation short.
        outcomes: their outcomes; ``None`` if the sampler has not received them yet.
    """

    progress: float
    genomes: Sequence[Genome]
    outcomes: Sequence[Outcome] | None


def replay(sampler: Sampler, population: int, generations: Iterable[PastGeneration]) -> None:
    """Ask a fresh sampler for recorded generations again, and give it their outcomes.

    Args:
        sampler: as it was made for the recorded search.
        population: number of genomes that it was asked for each time.
        generations: all of them, from the first; only the last one may lack outcomes.

    Raises:
        ReplayMismatch: the sampler asks for other genomes than the recorded ones.
    """
    for number, generation in enumerate(generations):
        asked = sampler.ask(population, generation.progress)
        if asked[: len(generation.genomes)] != list(generation.genomes):
            what = "the sampler asks for other genomes than the recorded ones"
            raise ReplayMismatch(f"generation {number} is not replayed: {what}")
        if generation.outcomes is not None:
            sampler.tell(generation.outcomes)
