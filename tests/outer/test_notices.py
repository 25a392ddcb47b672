"""Notices that a search shows before its first training."""

from pathlib import Path

import pandas as pd
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


def test_the_cohort_width_is_chosen_for_the_cores_at_hand_and_then_kept_on_any_machine(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebbevo.search(space, study=tmp_path / "moved.db", trials=8, workers=2)
    moved = hebbevo.resume(tmp_path / "moved.db", trials=16)
    space.write_text(space.read_text().replace("seed: 3", "seed: 3, cohort_width: 8"))
    straight = hebbevo.search(space, study=tmp_path / "straight.db", trials=16)
    pd.testing.assert_frame_equal(
        moved.trials().drop(columns="seconds"), straight.trials().drop(columns="seconds"), check_exact=True
    )


def test_a_notice_says_how_many_of_the_cores_a_study_can_use(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.write_text(space.read_text().replace("seed: 3", "seed: 3, cohort_width: 16"))
    monkeypatch.setattr("hebbevo.execution.config.available_cores", lambda: 3)
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, watch=seen.append)
    assert seen[0].notice.startswith(
        "uses 1 of 3 cores: a generation is 1 cohort of up to 16 networks; a new"
    )
