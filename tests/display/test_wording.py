"""The words beside a progress bar."""

from dataclasses import replace

import pytest

import hebbevo
from hebbevo.display import wording as module
from hebbevo.display.wording import details, line

STAGE = hebbevo.Progress(
    trials=30,
    copies=2,
    stopped=5,
    total=100,
    generation=3,
    front=4,
    hypervolume=0.5,
    fresh=20,
    seconds_left=float("inf"),
    failed=1,
    reached="best 98.5 %; 95.0 % with 14 neurons",
)


@pytest.fixture(autouse=True)
def at_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "monotonic", lambda: 10.0)


def test_a_line_has_what_was_reached_the_counts_the_rate_and_the_time_left() -> None:
    counts = "best 98.5 %; 95.0 % with 14 neurons  failed 1  stopped 5  copies 2"
    assert line(STAGE, 0.0) == f"30/100 trials  {counts}  2/s  0:00:35 left"
    assert line(replace(STAGE, seconds_left=7.0), 0.0).endswith("  2/s  0:00:07 left")


def test_before_the_first_result_it_says_what_happens_and_at_the_end_how_long_it_took() -> None:
    first = replace(STAGE, trials=0, copies=0, stopped=0, failed=0, fresh=0, reached="")
    assert line(first, 0.0) == "0/100 trials  training the first ones"
    last = replace(STAGE, trials=100, copies=0, stopped=0, failed=0)
    assert line(last, 0.0).endswith("with 14 neurons  2/s  in 0:00:10")


@pytest.mark.parametrize("width", [200, 70, 60, 50, 40, 10])
def test_in_little_room_what_was_reached_and_the_time_left_stay(width: int) -> None:
    text = details(STAGE, 0.0, width)
    assert text.startswith(STAGE.reached) and text.endswith("0:00:35 left")
    assert len(text) <= max(width, len(f"{STAGE.reached}  0:00:35 left"))
