"""The files of a comparison."""

import io
import json
import math

import pandas as pd
import pytest

from hebbevo.errors import UsageError
from hebbevo.report.comparison_files import compare_csv, plain, write
from hebbevo.study.comparison import compare
from tests.report.conftest import Document, png_size
from tests.study.comparison.conftest import GA, RANDOM, searched, study_of

FILES = ["compare.csv", "pairs.csv", "attainment.csv", "attainment.png", "attainment.html"]
LINKS = {"src", "href"}
HOSTILE = "</script><b>x</b>\x1b=1"


@pytest.fixture(scope="module")
def both():
    return compare([*searched("ga", GA), *searched("random", RANDOM)])


def test_the_files_are_written_and_hold_the_tables(both, tmp_path):
    folder = tmp_path / "deep" / "down"
    assert write(both, folder) == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name, table in (("pairs", both.pairs()), ("attainment", both.attainment())):
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv"), table, check_dtype=False)
    assert png_size((folder / "attainment.png").read_bytes()) == (1600, 1000)


def test_each_row_of_the_table_is_a_study_beside_the_interval_of_its_group(both):
    rows = pd.read_csv(io.StringIO(compare_csv(both)))
    studies = both.studies()
    pd.testing.assert_frame_equal(rows[studies.columns], studies, check_dtype=False)
    groups = rows.drop_duplicates("group").reset_index()
    assert groups["group_hypervolume_low"].to_list() == both.table()["hypervolume_low"].to_list()
    assert rows["group_studies"].to_list() == [5] * 10


def test_the_page_says_what_the_comparison_says_and_loads_nothing_from_outside(both, tmp_path):
    html = write(both, tmp_path)[-1].read_text(encoding="utf-8")
    document = Document(html)
    assert both.sentence in document.text
    assert all(remark in document.text for remark in both.remarks)
    for title in ("Attainment over seeds", "Differences", "Studies", "0.6450"):
        assert title in document.text
    sources = [value for _, given in document.elements for name, value in given.items() if name in LINKS]
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_single_group_has_no_table_of_differences(tmp_path):
    page = write(compare(searched("ga", GA)), tmp_path)[-1].read_text(encoding="utf-8")
    assert "Differences" not in Document(page).text


def test_names_are_text_everywhere(tmp_path):
    written = write(compare({HOSTILE: searched("ga", GA), "b": searched("random", RANDOM)}), tmp_path)
    page = written[-1].read_text(encoding="utf-8")
    assert HOSTILE not in page and "\x1b" not in page
    assert not [tag for tag, _ in Document(page).elements if tag == "b"]
    assert r"</script><b>x</b>\x1b=1" in written[0].read_text()


def test_studies_without_points_are_written_too(tmp_path):
    write(compare([study_of([], f"{n}.db", seed=n) for n in (0, 1)]), tmp_path)
    assert png_size((tmp_path / "attainment.png").read_bytes()) == (1600, 1000)


def test_as_plain_data_it_is_json_without_numbers_that_json_lacks(both):
    found = json.loads(json.dumps(plain(both), allow_nan=False))
    assert found["sentence"] == both.sentence
    assert found["reference"] == {"accuracy": 0.1, "neurons": 100}
    assert [row["confirmed"] for row in found["studies"]] == [None] * 10
    assert found["leads"][0]["end"] is None and both.leads()["end"][0] == math.inf
    assert len(found["pairs"]) == 1 and len(found["groups"]) == 2


def test_where_the_folder_cannot_be_made_nothing_is_written(both, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="choose another folder"):
        write(both, tmp_path / "file" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
