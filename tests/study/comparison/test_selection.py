"""The studies that a command line names."""

import shutil

import pytest

from hebbevo.errors import UsageError
from hebbevo.study.comparison.selection import selected


def groups(comparison):
    return {group.name: [study.path.name for study in group.studies] for group in comparison.groups}


def test_a_folder_stands_for_all_studies_in_it(samplers):
    assert groups(selected([str(samplers)], [])) == {
        "sampler ga": ["ga-0.db", "ga-1.db"],
        "sampler random": ["random-0.db", "random-1.db"],
    }


def test_groups_are_named_with_patterns_folders_and_files(samplers, tmp_path, monkeypatch):
    monkeypatch.chdir(samplers)
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy("random-0.db", folder)
    named = ["mine=ga-*.db", f"theirs={folder}", "theirs=random-1.db"]
    assert groups(selected([], named)) == {
        "mine": ["ga-0.db", "ga-1.db"],
        "theirs": ["random-0.db", "random-1.db"],
    }
    assert groups(selected(["random-1.db"], ["mine=ga-?.db"])) == {
        "mine": ["ga-0.db", "ga-1.db"],
        "made-up": ["random-1.db"],
    }


@pytest.mark.parametrize(
    ("places", "named", "message"),
    [
        ([], ["mine"], "--group: 'mine' is no group; write NAME=STUDIES"),
        ([], ["=ga-*.db"], "--group: '=ga-*.db' is no group"),
        ([], ["mine="], "--group: 'mine=' is no group"),
        ([], ["mine=none-*.db"], "--group: no study matches 'none-*.db'"),
        ([], ["mine=none.db"], "none.db: no such study"),
        (["none.db"], [], "none.db: no such study"),
        (["empty"], [], "empty: there are no studies in this folder"),
        ([], [], "there are fewer than two studies"),
    ],
)
def test_what_names_no_studies_is_refused_in_one_line(tmp_path, monkeypatch, places, named, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        selected(places, named)
    assert message in str(caught.value) and "\n" not in str(caught.value)
