"""The progress of a search against the study that it makes."""

from pathlib import Path

import pytest

import hebbevo


def test_the_progress_says_what_the_study_holds(space: Path, tmp_path: Path) -> None:
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16, watch=seen.append)
    assert [progress.trials for progress in seen] == [0, 8, 16]
    assert seen[-1].front == len(study.front())
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())
    assert seen[0].fresh == 0


def test_front_and_hypervolume_count_only_points_that_meet_the_constraints(
    space: Path, tmp_path: Path
) -> None:
    space.write_text(f"{space.read_text()}constraints: {{survivors: {{max: 10}}}}\n")
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", watch=seen.append)
    assert study.trials().survivors.max() > 10 >= study.front().survivors.max()
    assert seen[-1].front == len(study.front()) > 0
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())
