"""Columns of text tables: what is a category, what is a number, and what is said about them."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import ReadingOptions, load
from hebbevo.data.options import Findings
from hebbevo.errors import DataError

LABELS = ["x", "y"] * 6


@pytest.fixture
def column(tmp_path):
    """Load a table with a column ``c`` of these cells, written as they are."""

    def read(cells, findings=None, **options):
        lines = [
            f"{i * 7 % 5};{cell};{label}" for i, (cell, label) in enumerate(zip(cells, LABELS, strict=True))
        ]
        (tmp_path / "d.csv").write_text("\n".join(["f;c;t", *lines]) + "\n")
        how = ReadingOptions(separator=";", **options)
        return load(str(tmp_path / "d.csv"), target="t", options=how, findings=findings)

    return read


def categories(dataset):
    return dataset.columns[1].categories


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "n/a", "<NA>", "#N/A"])
def test_what_can_mean_missing_is_a_category_among_names(column, name):
    dataset = column(["wood", name, "brick"] * 4)
    assert categories(dataset) == tuple(sorted(["wood", name, "brick"]))
    if dataset.findings.text_columns:
        assert (
            f"column 'c': the values '{name}' are read as names of categories" in dataset.findings.remarks[0]
        )
    again = column(["wood", name, "brick"] * 4, findings=dataset.findings)
    assert again.fingerprint == dataset.fingerprint
    declared = column(["wood", name, "brick"] * 4, categorical={"c": "index"})
    assert declared.columns[1].categories == categories(dataset)


def test_an_empty_category_is_missing_and_counted_once(column):
    for cells in (["wood", "", "brick"] * 4, ["NA", "", "brick"] * 4):
        with pytest.raises(
            DataError, match=r"column 'c' has 4 missing categories, the first in row 1 \(counted"
        ):
            column(cells)


def test_a_study_that_began_before_reads_its_categories_as_it_did(column):
    before = Findings()
    assert categories(column(["wood", "brick", "1,5"] * 4, findings=before)) == ("1,5", "brick", "wood")
    assert categories(column(["1,5", "2,5", "1,5"] * 4, findings=before)) == ("1,5", "2,5")
    assert categories(column(["01", "1", "2"] * 4, findings=before, categorical={"c": "one_hot"})) == (1, 2)
    with pytest.raises(DataError, match="column 'c' has 4 missing categories"):
        column(["wood", "NA", "brick"] * 4, findings=before)


def test_codes_that_numbers_would_merge_stay_different_categories(column):
    dataset = column(["01", "1", "2"] * 4, categorical={"c": "one_hot"})
    assert categories(dataset) == ("01", "1", "2")
    [remark] = dataset.findings.remarks
    assert "column 'c': the values '01', '1' are read as different categories" in remark
    assert categories(column(["01", "02", "1.0"] * 4, categorical={"c": "one_hot"})) == (1.0, 2.0)


def test_random_categories_are_as_many_as_the_csv_module_finds(column):
    rng = np.random.default_rng(0)
    names = ["a", "None", "x y", "NA", "0x1", "null", "b;c", "01", "1", "yes", " a"]
    for _ in range(40):
        chosen = rng.choice(names, size=rng.integers(2, 6), replace=False).tolist()
        if not set(chosen) & {"a", "x y", "0x1", "b;c", "yes", " a"}:
            chosen[0] = "a"
        cells = [chosen[i] for i in rng.integers(0, len(chosen), 12)]
        quoted = [f'"{cell}"' if ";" in cell or rng.random() < 0.5 else cell for cell in cells]
        parsed = [row[0] for row in csv.reader(io.StringIO("\n".join(quoted)), delimiter=";")]
        dataset = column(quoted, categorical={"c": "index"})
        assert [str(categories(dataset)[int(code)]) for code in dataset.x[:, 1]] == parsed


OTHER = [
    "1,5",
    "1.234,50",
    "1,234.5",
    "12%",
    "3.5 %",
    "$4",
    "-€3",
    "5 €",
    "(1.20)",
    "\u22121.5",
    "1 234",
    "1'234",
    "1,",
]


@pytest.mark.parametrize("number", OTHER)
def test_numbers_in_another_notation_are_not_taken_for_categories(column, number):
    with pytest.raises(DataError, match="column 'c' has numbers in another notation, the first is") as caught:
        column([number, number.replace("1", "2"), number.replace("3", "4")] * 4)
    assert ("decimal: ','" in str(caught.value)) == (number in ("1,5", "1,"))
    assert "task.categorical: {c: one_hot}" in str(caught.value)
    declared = column([number, "other", "3-4"] * 4, categorical={"c": "one_hot"})
    assert number in categories(declared)


@pytest.mark.parametrize(
    "text", ["10-19", "1.2.3", "A1", "<5", "2024-01-31", "3 rooms", "1/2", "0x1f", "1,2,3"]
)
def test_texts_with_digits_are_categories(column, text):
    assert categories(column([text, text + text, "n"] * 4)) == tuple(sorted([text, text + text, "n"]))
    assert text in categories(column([text] * 12))


def test_numbers_with_thousands_marks_are_never_read_as_smaller_ones(column):
    for cells in (["1.234", "999", "2.500"] * 4, ["1.234", "1.000", "2.500"] * 4):
        with pytest.raises(DataError, match=r"column 'c' is not numeric|another notation"):
            column(cells, decimal=",")


def test_names_that_differ_in_blanks_or_case_are_said_to(column, tmp_path):
    dataset = column(["red", "Red ", "blue"] * 4)
    assert categories(dataset) == ("Red ", "blue", "red")
    what = "the categories of column 'c' 'Red ', 'red' differ in blanks, case or accents alone"
    assert any(what in remark for remark in dataset.findings.remarks)
    labels = np.array(["yes", "yes ", "no", "Caf\u00e9", "Cafe\u0301"] * 3)
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(15, 2)), y=labels)
    pd.DataFrame({"f": np.random.default_rng(0).normal(size=15), "t": labels}).to_parquet(
        tmp_path / "d.parquet"
    )
    for name, target in (("d.npz", None), ("d.parquet", "t")):
        dataset = load(str(tmp_path / name), target=target)
        assert len(dataset.classes) == 5
        [remark] = dataset.findings.remarks
        assert "'yes', 'yes '" in remark
        assert "'Cafe\u0301', 'Caf\u00e9'" in remark
    assert not load("digits").findings.remarks
