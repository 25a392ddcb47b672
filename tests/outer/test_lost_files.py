"""The file under a search is deleted, replaced or damaged: the search stops at once and loses nothing."""

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hebbevo
from hebbevo.errors import StudyError, StudyLost
from hebbevo.study.ledger import Ledger
from tests.outer.conftest import assert_same_study
from tests.study.conftest import FACTS, GENOMES, SPEC


def replace(path: Path, other: Path) -> None:
    shutil.copy(other, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def overwrite_by(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def delete_with_its_folder(path: Path, _: Path) -> None:
    shutil.rmtree(path.parent)


TAMPERING: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "deleted": (lambda path, _: path.unlink(), "deleted or moved"),
    "moved": (lambda path, _: path.rename(path.with_suffix(".old")), "deleted or moved"),
    "deleted with its folder": (delete_with_its_folder, "deleted or moved"),
    "replaced by a copy": (lambda path, _: replace(path, path), "replaced by another"),
    "replaced by another study": (replace, "replaced by another"),
    "emptied": (lambda path, _: os.truncate(path, 0), "cut or overwritten"),
    "cut": (lambda path, _: os.truncate(path, path.stat().st_size // 2), "cut or overwritten"),
    "overwritten by another study": (overwrite_by, "another study|cut or overwritten|damaged"),
    "overwritten by noise": (lambda path, _: path.write_bytes(b"x" * 2 * path.stat().st_size), "damaged"),
}


@pytest.fixture(scope="module")
def moments() -> random.Random:
    return random.Random(3)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with other settings, in a larger file."""
    path = tmp_path_factory.mktemp("other") / "other.db"
    with Ledger.create(path, SPEC, FACTS) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES * 40)
    return path


@pytest.mark.parametrize("what", TAMPERING)
def test_a_search_whose_file_is_lost_stops_and_its_rescue_file_continues_it(
    space: Path, uninterrupted: Path, tmp_path: Path, other: Path, moments: random.Random, what: str
) -> None:
    tamper, words = TAMPERING[what]
    path = tmp_path / "studies" / "run.db"
    left = moments.randrange(1, 4)  # after which cohort, the last one included
    after: list[int] = []

    def watch(progress: hebbevo.Progress) -> None:
        nonlocal left
        if left <= 0:
            after.append(progress.trials)
        elif progress.fresh and not progress.notice:
            left -= 1
            if left == 0:
                tamper(path, other)

    with pytest.raises(StudyLost, match=words) as caught:
        hebbevo.search(space, study=path, watch=watch, workers=1)
    assert after == []
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    found = re.search(r"all that this search knows is in (\S+): 'hebbevo resume \1'", message)
    assert found
    rescued = Path(found[1])
    assert (hebbevo.open_study(rescued).trials().state == "complete").any()
    hebbevo.resume(rescued, workers=1)
    assert_same_study(rescued, uninterrupted)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_second_search_is_refused_through_any_link_to_the_file(
    space: Path, tmp_path: Path, link: str
) -> None:
    path, alias = tmp_path / "run.db", tmp_path / "elsewhere" / "alias.db"
    alias.parent.mkdir()
    refusals: list[str] = []

    def watch(progress: hebbevo.Progress) -> None:
        if progress.trials == 8 and not refusals:
            getattr(alias, link)(path)
            with pytest.raises(StudyError, match=r"another search|has been searching") as caught:
                hebbevo.resume(alias, workers=1)
            refusals.append(str(caught.value))

    hebbevo.search(space, study=path, watch=watch, workers=1)
    assert len(refusals) == 1
    hebbevo.resume(alias, trials=32, workers=1)
