"""The steps of both schedules, and the path to a target, against their definitions."""

from types import SimpleNamespace

import pytest
import torch

from hebbevo.rules.units.schedule import SCHEDULES, events_passed, is_event, units_left, uses_target

TOTAL, LAST = 19, 14  # with a settling phase of a quarter, 14 is the last step before it
STEPS = torch.arange(TOTAL + 1)


def knobs(**given: int | str) -> SimpleNamespace:
    """Knobs as tensors; the schedule by its name."""
    values = {"warmup": 4, "prune_period": 3, "events": 5, "settle": 0.25, "schedule": "threshold"} | given
    values["schedule"] = SCHEDULES.index(values["schedule"])
    return SimpleNamespace(**{name: torch.tensor(value) for name, value in values.items()})


def event_steps(k: SimpleNamespace, total: int = TOTAL) -> list[int]:
    return STEPS[is_event(k, STEPS, torch.tensor(total))].tolist()


@pytest.mark.parametrize(
    ("warmup", "steps"), [(0, [3, 6, 9, 12]), (4, [6, 9, 12]), (6, [6, 9, 12]), (7, [9, 12]), (15, [])]
)
def test_threshold_events_fall_once_a_period_from_the_warmup_to_the_settling_phase(warmup, steps):
    assert event_steps(knobs(warmup=warmup)) == steps


def test_threshold_events_need_no_length_of_the_training():
    assert event_steps(knobs(), total=0) == [6, 9, 12, 15, 18]


@pytest.mark.parametrize("events", [1, 3, 5, 10, 20])
@pytest.mark.parametrize("warmup", [0, 4, 13, 100])
def test_target_events_are_evenly_spaced_from_the_warmup_to_the_settling_phase(warmup, events):
    first = min(warmup, LAST - 1)  # a warm-up that lasts too long leaves one step for every event
    passed = [
        sum(event * (LAST - first) <= max(step - first, 0) * events for event in range(1, events + 1))
        for step in STEPS.tolist()
    ]
    k = knobs(warmup=warmup, events=events, schedule="target")
    assert events_passed(k, STEPS, torch.tensor(TOTAL)).tolist() == passed
    assert passed[first] == 0 and passed[LAST] == events
    assert event_steps(k) == [step for step in range(1, LAST + 1) if passed[step] > passed[step - 1]]


def test_the_units_left_are_on_a_geometric_path_to_the_goal():
    k = knobs(warmup=0, events=3, settle=0.0)
    steps, total = torch.arange(7), torch.tensor(6)
    assert units_left(k, steps, total, torch.tensor(5), 40).tolist() == [40, 40, 20, 20, 10, 10, 5]
    left = units_left(k, steps, total, torch.tensor(2), 10)
    assert left.tolist() == [10, 10, 6, 6, 3, 3, 2]  # 5.85 and 3.42 are rounded
    assert left.dtype == torch.int64


def test_each_network_of_a_stack_has_its_own_schedule():
    k = knobs()
    k.schedule = torch.tensor([[0], [1]])
    assert uses_target(k).tolist() == [[False], [True]]
    events = is_event(k, STEPS, torch.tensor(TOTAL))
    assert STEPS[events[0]].tolist() == event_steps(knobs())
    assert STEPS[events[1]].tolist() == event_steps(knobs(schedule="target")) == [6, 8, 10, 12, 14]
