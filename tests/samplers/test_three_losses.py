"""Every sampler with three losses: it learns from all of them, and replays."""

import numpy as np
import pytest

from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space import ChoiceGene, FloatGene, Genome, Space

SPACE = Space(
    (FloatGene("x", low=0.0, high=1.0), FloatGene("y", low=0.0, high=1.0), ChoiceGene("c", choices=(1, 2)))
)
LEARN = [
    name
    for name, sampler in SAMPLERS.items()
    if np.isfinite(sampler.kind.learns_after) and name != "gp"  # which takes seconds for each genome
]


def losses(genome: Genome, of_third: float) -> tuple[float, float, float]:
    return genome["x"], 1.0 - genome["x"] + genome["y"], of_third * (genome["c"] + (genome["y"] - 0.5) ** 2)


def proposals(name: str, of_third: float) -> list[list[Genome]]:
    sampler = SAMPLERS[name](SPACE, 0, {}, 3)
    found = []
    for step in range(4):
        found.append(sampler.ask(6, step / 4))
        sampler.tell([Outcome(genome, losses(genome, of_third)) for genome in found[-1]])
    return found


@pytest.mark.parametrize("name", LEARN)
def test_a_sampler_replays_three_losses_and_the_third_one_counts(name: str) -> None:
    asked = proposals(name, 1.0)
    assert asked == proposals(name, 1.0)
    assert asked != proposals(name, -1.0)
    assert asked[0] == proposals(name, -1.0)[0]
