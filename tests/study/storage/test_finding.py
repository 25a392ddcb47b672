"""Names of studies, with and without folder and suffix."""

from pathlib import Path

import pytest

from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import StudyFile, find_place, find_study
from tests.study.conftest import FACTS, SPEC, refused


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and the only study in it."""
    monkeypatch.chdir(tmp_path)
    make("studies/mine.db")


def make(path: str) -> None:
    with Ledger.create(StudyFile(Path(path)), SPEC, FACTS):
        pass


@pytest.mark.parametrize("name", ["mine", "mine.db", "studies/mine", "studies/mine.db", Path("mine")])
def test_a_study_is_found_with_or_without_folder_and_suffix(name) -> None:
    assert str(find_study(name)) == "studies/mine.db"


def test_any_suffix_and_any_folder_may_be_left_out_or_written(tmp_path: Path) -> None:
    make("studies/other.study")
    make("runs/far.db")
    make("v1.2.db")
    assert str(find_study("other")) == "studies/other.study"
    assert str(find_study("runs/far")) == "runs/far.db"
    assert str(find_study(tmp_path / "runs" / "far")) == str(tmp_path / "runs" / "far.db")
    assert str(find_study("v1.2")) == "v1.2.db"
    with refused("far: no such study"):
        find_study("far")


def test_what_is_written_in_full_goes_before_what_is_left_out() -> None:
    make("mine.db")
    assert str(find_study("mine.db")) == "mine.db"
    Path("notes").touch()
    make("studies/notes.db")
    assert str(find_study("notes")) == "notes"


def test_a_folder_or_another_file_of_the_name_is_no_study() -> None:
    Path("mine").mkdir()
    Path("mine.yaml").touch()
    Path("studies/mine.csv").touch()
    assert str(find_study("mine")) == "studies/mine.db"


def test_of_two_studies_none_is_taken() -> None:
    make("mine.db")
    with refused("mine: may be mine.db or studies/mine.db; write one of them"):
        find_study("mine")
    with refused("mine: may be mine.db or studies/mine.db"):
        find_place("mine")
    Path("mine.db").unlink()
    make("studies/mine.study")
    with refused("mine: may be studies/mine.db or studies/mine.study"):
        find_study("mine")


def test_a_miss_names_the_nearest_study_and_those_that_are_there() -> None:
    with refused("minne: no such study; did you mean studies/mine.db?"):
        find_study("minne")
    make("studies/other.db")
    Path("studies/notes.txt").write_text("no study")
    with refused("did you mean studies/mine.db? There are studies/mine.db, studies/other.db"):
        find_study("minne.db")
    with refused("zzz: no such study; there are studies/mine.db, studies/other.db"):
        find_study("zzz")
    with refused(
        "runs/mine: no such study, and there is none in runs; 'hebbevo search --space SPACE' makes one"
    ):
        find_study("runs/mine")


def test_of_many_studies_the_first_are_named() -> None:
    for number in range(14):
        Path(f"studies/s{number:02}.db").write_bytes(Path("studies/mine.db").read_bytes())
    with refused("studies/s10.db and 3 more"):
        find_study("zzz")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("fresh", "studies/fresh.db"),
        ("fresh.db", "fresh.db"),
        ("runs/fresh", "runs/fresh"),
        ("mine", "studies/mine.db"),
        ("studies/mine", "studies/mine.db"),
        ("mine.db", "mine.db"),
        ("studies", "studies"),
    ],
)
def test_a_new_study_without_folder_and_suffix_is_in_the_folder_of_studies(name: str, place: str) -> None:
    assert str(find_place(name)) == place
