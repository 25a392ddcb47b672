"""Notices that a search shows before its first training."""

from pathlib import Path

import pytest

import hebbevo


@pytest.mark.parametrize(
    ("precision", "has_instructions", "warns"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False)],
)
def test_a_notice_warns_of_bfloat16_on_a_cpu_without_instructions_for_it(
    precision: str,
    has_instructions: bool,
    warns: bool,
    space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hebbevo.outer.notices.has_bfloat16", lambda: has_instructions)
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, precision=precision, watch=seen.append)
    assert seen[0].notice.startswith("this CPU has no instructions for bfloat16") is warns


def test_a_notice_warns_of_trainings_that_are_too_short_for_pruning(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace("warmup: 4", "warmup: 400"))
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, watch=seen.append)
    assert seen[0].notice.startswith("no neuron can die: 3 x 168 rows end before the warm-up; raise")
    assert {progress.notice for progress in seen[1:]} == {""}
