"""The settling phase: when rules rest, and the learning rate in it."""

from types import SimpleNamespace

import pytest
import torch

from hebbevo.rules.settling import is_settling, last_event_step, settling_factor


@pytest.mark.parametrize(("settle", "last"), [(0.0, 10), (0.25, 7), (0.5, 5), (0.95, 0)])
def test_rules_rest_after_the_last_event_step(settle, last):
    k = SimpleNamespace(settle=torch.tensor(settle))
    steps = torch.arange(1, 11)
    assert last_event_step(k, torch.tensor(10)) == last
    assert is_settling(k, steps, torch.tensor(10)).tolist() == [step > last for step in range(1, 11)]


def test_without_a_known_length_no_step_is_in_the_settling_phase():
    k = SimpleNamespace(settle=torch.tensor(0.5))
    assert not is_settling(k, torch.arange(1, 11), torch.tensor(0)).any()


@pytest.mark.parametrize(
    ("settle", "factors"),
    [
        (0.0, [1.0] * 10),
        (0.5, [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        (0.2, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]),
    ],
)
def test_the_learning_rate_falls_linearly_to_zero(settle, factors):
    assert [settling_factor(step, 10, settle) for step in range(1, 11)] == pytest.approx(factors)
    assert settling_factor(11, 10, settle) == 0
