"""The four files of a report."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hebbevo.errors import UsageError
from hebbevo.report import write
from tests.report.conftest import Document, MadeUpRecord, MadeUpStudy, png_size

FILES = ["report.html", "front.csv", "trials.csv", "front.png"]


def test_the_four_files_are_written_into_a_new_folder_and_nothing_else(study, tmp_path):
    folder = tmp_path / "deep" / "down"
    assert write(study, folder) == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert png_size((folder / "front.png").read_bytes()) == (1600, 1000)
    document = Document((folder / "report.html").read_text(encoding="utf-8"))
    titles = [
        *("The decision", "The front", "The window of unactivation_penalty", "What decides"),
        *("Genes side by side", "Gene by gene", "How they were trained", "Progress", "Failures"),
        "The search, and how to repeat it",
    ]
    positions = [document.text.index(title) for title in titles]
    assert positions == sorted(positions)


def test_the_tables_are_the_frames_of_the_study(small, tmp_path):
    write(small, tmp_path)
    for name, frame in (("front.csv", small.front()), ("trials.csv", small.trials())):
        read = pd.read_csv(tmp_path / name)
        pd.testing.assert_frame_equal(read, frame.replace({None: np.nan}), check_dtype=False)


def test_the_same_study_gives_the_same_bytes(small, tmp_path):
    first, second = (write(small, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hebbevo.report", {"plotly", "matplotlib", "torch"}),
        ("hebbevo.report.picture", {"matplotlib.pyplot"}),
    ],
)
def test_drawing_libraries_are_imported_only_where_they_are_used(module, unwanted):
    code = f"import sys, {module}; print({unwanted} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_drawing_does_not_change_the_settings_of_matplotlib(small, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        write(small, tmp_path)
        assert dict(matplotlib.rcParams) == before


def test_a_study_is_read_once_so_that_a_running_search_cannot_contradict_itself(small, tmp_path):
    readings = []

    class Counting(MadeUpRecord):
        def generations(self):
            readings.append(len(readings))
            return super().generations()

    study = MadeUpStudy(Counting(small.record.frame))
    write(study, tmp_path)
    assert len(readings) == 1


def test_the_tables_of_the_study_are_unchanged(small, tmp_path):
    before = small.trials(), small.points(), small.front()
    write(small, tmp_path)
    for table, now in zip(before, (small.trials(), small.points(), small.front()), strict=True):
        pd.testing.assert_frame_equal(now, table)


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError) as raised:
        write(small, tmp_path / "file" / "report")
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/file/report: the report cannot be written: ")
    assert message.endswith("; choose another folder") and "\n" not in message
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_an_error_of_one_line_and_leaves_the_earlier_report(small, tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).write_text("earlier")
    write_bytes = Path.write_bytes

    def until_full(path, content):
        write_bytes(path, content[: len(content) // 2])
        if "trials" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(UsageError, match=r"No space left on device; choose another folder$"):
        write(small, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "earlier")


def test_an_earlier_report_is_replaced(small, tmp_path):
    (tmp_path / "front.csv").write_text("earlier")
    write(small, tmp_path)
    frame = pd.read_csv(io.BytesIO((tmp_path / "front.csv").read_bytes()))
    assert frame["trial"].to_list() == small.front()["trial"].to_list()
