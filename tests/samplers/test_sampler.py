"""The part that all samplers share: penalties for violations, and the draw of new genomes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from hebbevo.errors import SpaceError
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.samplers.sampler import Sampler, penalise, penalised
from hebbevo.space import FloatGene, Genome, IntGene, Space
from hebbevo.space.knobs import Value
from tests.samplers.conftest import cube, dominates


class Constant(Sampler):
    """Draws the same point again and again, and counts the draws."""

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self.draws = 0

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()

        def draw() -> np.ndarray:
            self.draws += 1
            return np.full(self.space.dimension, 0.5)

        return [self.space.from_unit(self._unseen(draw, rng)) for _ in range(n)]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        pass


def test_a_known_genome_is_redrawn_20_times_and_then_drawn_anywhere():
    sampler = Constant(cube(2), 0, {})
    genomes = sampler.ask(3)
    assert genomes[0] == {"x0": 0.5, "x1": 0.5}
    assert sampler.draws == 1 + 2 * 20
    assert len({tuple(genome.values()) for genome in genomes}) == 3


def test_a_genome_that_was_cut_off_may_be_proposed_again_and_one_that_was_trained_not():
    sampler = Constant(cube(2), 0, {})
    sampler.ask(1)
    sampler.tell([])
    genomes = sampler.ask(1)
    assert genomes == [{"x0": 0.5, "x1": 0.5}]
    sampler.tell([Outcome(genomes[0], (0.0, 0.0))])
    assert sampler.ask(1) != genomes


def test_where_all_genomes_are_known_one_is_drawn_again_after_20_draws_anywhere(monkeypatch):
    space = Space((IntGene("n", 1, 3),))
    sampler = Constant(space, 0, {})
    found = [genome["n"] for genome in sampler.ask(30)]
    assert set(found) == {1, 2, 3}
    assert set(found[3:]) == {1, 2, 3}  # drawn anywhere, not the constant
    sampler.tell([Outcome({"n": n}, (0.0, 0.0)) for n in found])
    draws = []
    from_unit = Space.from_unit
    monkeypatch.setattr(Space, "from_unit", lambda self, u: draws.append(u) or from_unit(self, u))
    sampler.ask(1)
    assert len(draws) == 20 + 20 + 1  # the last one makes the genome of the point


def test_a_point_that_meets_the_constraints_dominates_and_the_smaller_violation_does_among_others():
    rng = np.random.default_rng(0)
    losses, violation = rng.random((30, 2)), rng.normal(size=30)
    changed = penalise(losses, violation)
    met = violation <= 0
    np.testing.assert_array_equal(changed[met], losses[met])
    for one in range(30):
        for other in np.flatnonzero(~met):
            if violation[one] < violation[other]:
                assert dominates(changed[one], changed[other])


def test_a_violation_of_exactly_zero_meets_the_constraints():
    outcomes = [Outcome({"x": 0.5}, (1.0,), 0.0), Outcome({"x": 0.6}, (2.0,), 1e-9)]
    assert penalised(outcomes).tolist() == [[1.0], [2.0 + 1e-9]]


def test_a_misspelt_setting_is_corrected_and_another_unknown_one_gets_the_list():
    space = Space((FloatGene("x", 0.0, 1.0),))
    with pytest.raises(SpaceError, match=r"\Asearch\.settings\.sgima: CmaEs .*did you mean sigma\?\Z"):
        SAMPLERS["cmaes"](space, 0, {"sgima": 0.1})
    with pytest.raises(SpaceError, match=r"\Asearch\.settings\.xyz: .*write one of sigma, margin, redraw\Z"):
        SAMPLERS["cmaes"](space, 0, {"xyz": 0.1})
