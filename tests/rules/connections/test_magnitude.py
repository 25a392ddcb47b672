"""The steps and the cubic path of pruning by magnitude, against the published equation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hebbevo.rules import CONNECTIONS
from tests.rules.connections.conftest import EightWeights, assert_entering_weights, events_of, highest

RULE = CONNECTIONS["magnitude"]
TOTAL, LAST = 19, 14  # with a settling phase of a quarter, 14 is the last step before it
STEPS = torch.arange(TOTAL + 1)


def knobs(**given: float) -> SimpleNamespace:
    values = {"warmup": 4, "prune_period": 3, "settle": 0.25} | given
    return SimpleNamespace(**{name: torch.tensor(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("warmup", "steps"), [(0, [3, 6, 9, 12, 14]), (5, [6, 9, 12, 14]), (6, [9, 12, 14]), (100, [14])]
)
def test_events_fall_once_a_period_after_the_warmup_and_at_the_last_step_before_the_settling_phase(
    warmup, steps
):
    assert STEPS[RULE.is_event(knobs(warmup=warmup), STEPS, torch.tensor(TOTAL))].tolist() == steps


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("warmup", [0, 4, 13, 100])
def test_the_connections_left_are_those_of_the_cubic_path(warmup, density):
    first = min(warmup, LAST - 1)  # a warm-up that lasts too long leaves one step to prune in
    times = [min(max((step - first) / (LAST - first), 0), 1) for step in STEPS.tolist()]
    shares = [(1 - density) * (1 - (1 - time) ** 3) for time in times]
    layer = SimpleNamespace(
        step=STEPS, total=torch.tensor(TOTAL), connections=1000, density=torch.tensor(density)
    )
    left = RULE.left(knobs(warmup=warmup), layer)
    assert left.tolist() == [round(1000 * (1 - share)) for share in shares]
    assert left[first] == 1000 and left[LAST] == left[TOTAL] == round(1000 * density)
    assert left.dtype == torch.int64


def test_the_smallest_absolute_weights_leave():
    layer = SimpleNamespace(weight=torch.tensor([[-3.0, 1.0, -2.0]]))
    assert RULE.drop(knobs(), SimpleNamespace(), layer).tolist() == [[3.0, 1.0, 2.0]]


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights("magnitude", monkeypatch, total=3, density=0.25, warmup=0, prune_period=1)
    weights = [[1.0, -2.0, 3.0, -4.0], [5.0, -6.0, 7.0, -8.0]]
    # 8 (1 - 3/4 (1 - (2/3)^3)) = 3.8, 8 (1 - 3/4 (1 - (1/3)^3)) = 2.2, and 8 / 4 are left
    assert net.event(1, weights) == "0000 1111"
    assert net.event(2, [[9.0, 9.0, 9.0, 9.0], [4.0, -1.0, -2.0, 3.0]]) == "0000 1001"
    assert net.event(3) == "0000 1001"


def test_the_events_of_a_training_are_those_of_the_equation(monkeypatch):
    events = events_of("magnitude", monkeypatch, density=0.2, warmup=4, prune_period=5, settle=0.25)
    assert [event.step for event in events] == [5, 10, 15, 18]
    for event in events:
        left = round(30 * (1 - 0.8 * (1 - (1 - (event.step - 4) / 14) ** 3)))
        np.testing.assert_array_equal(event.after, highest(abs(event.weight), left, event.before))
        assert_entering_weights(event, 0.0)
