"""The frequency rule by hand and against its arithmetic."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hebbevo.rules import UNITS
from tests.rules.conftest import assert_lowest_leave, deaths_of, hand_drawn, trained_events


def test_units_that_fire_least_often_leave_first():
    events = hand_drawn("frequency", memory=1.0, belief=10.0)
    assert deaths_of(events) == "abc"  # they fire on 2, 2, 3 and d on 4 of 4 rows
    prior = (1 + 0.5 + 0.5 + 0.75) / 4
    for steps, event in enumerate(events, start=1):
        assert event.before.sum() == 5 - steps
        if steps == 1:
            posterior = (10 * prior + np.array([1, 0.5, 0.5, 0.75])) / 11
            assert event.scores == pytest.approx(posterior / prior)


@pytest.mark.parametrize("belief", [0.0, 3.0, 1e6])
def test_scores_are_those_of_the_equations_at_every_event(belief):
    for event in trained_events("frequency", belief=belief, memory=0.9):
        memory = event.knobs["memory"]
        fired, seen = np.zeros(9), 0.0
        for outputs in event.outputs:
            fired = memory * fired + (outputs > 0).mean(0)
            seen = memory * seen + 1
        prior = fired[event.before].sum() / (seen * event.before.sum())
        # a Beta distribution: `strength` rows of belief, of which the share `prior` fired, and the evidence
        alpha, beta = belief * prior + fired, belief * (1 - prior) + seen - fired
        expected = np.where(event.before, alpha / (alpha + beta) / prior, 0)
        assert event.scores == pytest.approx(expected, rel=1e-9)
        assert_lowest_leave(event, expected)


def test_a_unit_that_was_just_regrown_is_believed_to_fire_as_often_as_the_others():
    k = SimpleNamespace(belief=torch.tensor([5.0]))
    s = SimpleNamespace(sum_firing=torch.tensor([6.0, 2.0, 0.0]), seen=torch.tensor([10.0, 10.0, 0.0]))
    layer = SimpleNamespace(alive=torch.tensor([True, True, True]))
    prior = 8 / 20
    expected = [(5 * prior + 6) / 15 / prior, (5 * prior + 2) / 15 / prior, 1.0]
    assert UNITS["frequency"].score(k, s, layer).tolist() == pytest.approx(expected)
    k.belief = torch.tensor([0.0])  # without a belief there is nothing to go by but what was seen
    assert UNITS["frequency"].score(k, s, layer).tolist() == pytest.approx([0.6 / prior, 0.2 / prior, 0])


def test_a_layer_none_of_whose_units_fires_or_lives_scores_zero():
    k = SimpleNamespace(belief=torch.tensor([5.0]))
    s = SimpleNamespace(sum_firing=torch.zeros(2, 2), seen=torch.tensor([[3.0, 3.0], [0.0, 0.0]]))
    layer = SimpleNamespace(alive=torch.tensor([[True, True], [False, False]]))
    assert not UNITS["frequency"].score(k, s, layer).any()
