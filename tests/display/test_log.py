import logging

import hebbevo
from hebbevo.display import log as module
from hebbevo.display.log import logged


def progress(trials: int, notice: str = "") -> hebbevo.Progress:
    return hebbevo.Progress(trials, 0, 0, 100, 1, 3, 0.5, trials, 60.0, notice)


def test_there_is_a_line_a_minute_and_a_last_one(caplog, monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO, "hebbevo")
    show = logged()
    for trials in range(101):
        show(progress(trials))
        now += 2.0
    assert [message.split()[0] for message in caplog.messages] == [
        "0/100",
        "30/100",
        "60/100",
        "90/100",
        "100/100",
    ]


def test_notices_are_warnings_and_progress_needs_to_be_asked_for(caplog) -> None:
    show = logged()
    show(progress(0))
    show(progress(0, "the code has changed\x1b"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the code has changed\\x1b")
    ]
