"""Columns that would tell the answer, in whole tables and in arrays."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import NO_FINDINGS, ReadingOptions, from_arrays, load
from hebbevo.data.leaks import CHANCE, copies_of_target, growing, grows, repeats_target, row_number
from hebbevo.errors import DataError

ROWS = 60


@pytest.fixture
def frame():
    """A table sorted by its classes whose features f1 and f2 are noise."""
    rng = np.random.default_rng(0)
    f1, f2 = rng.normal(size=(2, ROWS))
    return pd.DataFrame({"f1": f1, "f2": f2, "cls": np.repeat(["a", "b", "c"], ROWS // 3)})


@pytest.fixture
def saved(tmp_path):
    def save(table, kind="csv", **how):
        path = tmp_path / f"table.{kind}"
        if kind == "parquet":
            table.to_parquet(path, **how)
        else:
            table.to_csv(path, **{"index": False} | how)
        return str(path)

    return save


def read(path, **options):
    dataset = load(path, target="cls", **options)
    return dataset, dataset.findings


@pytest.mark.parametrize("copy", ["cls", "f1"])
def test_a_repeated_target_name_is_refused_and_another_repeated_name_is_said(saved, frame, copy):
    frame["cls"] = np.repeat([0, 1, 2], ROWS // 3)
    path = saved(pd.concat([frame, frame[[copy]]], axis=1))
    if copy == "cls":
        with pytest.raises(
            DataError, match="2 columns are named 'cls', and one of them would tell the labels"
        ):
            read(path)
        assert read(path, findings=NO_FINDINGS)[0].shape == (3,)  # a study that began before goes on
    else:
        dataset, findings = read(path)
        assert dataset.shape == (3,)
        assert findings.remarks == ("the header line has 'f1' more than once",)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", range(ROWS)),
        ("", range(1, ROWS + 1)),
        ("", [f"row {i}" for i in range(ROWS)]),
        ("", np.random.default_rng(1).permutation(ROWS)),
        ("Unnamed: 0", range(ROWS)),
        ("index", range(ROWS)),
        ("ID", range(1, 3 * ROWS, 3)),
        ("row_id", range(ROWS)),
        ("X", range(1, ROWS + 1)),
        ("No.", range(1, ROWS + 1)),
        ("level_0", range(ROWS)),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_numbers_the_rows_is_left_out_and_said(saved, frame, name, values, kind):
    if kind == "parquet" and not name:
        name = "__index_level_0__"
    path = saved(frame.assign(**{name: values}), kind)
    dataset, findings = read(path)
    assert dataset.x.shape == (ROWS, 2)
    [dropped] = findings.dropped
    [remark] = findings.remarks
    assert remark.startswith(f"column {dropped!r} ") and "the rows and is left out" in remark
    assert read(path, findings=findings)[0].fingerprint == dataset.fingerprint


def test_pandas_and_r_write_row_numbers_that_are_left_out(saved, frame, tmp_path):
    bare = read(saved(frame))[0].fingerprint
    assert read(saved(frame, index=True))[0].fingerprint == bare
    of_r = [f'"{i + 1}",{row.f1},{row.f2},"{row.cls}"' for i, row in enumerate(frame.itertuples())]
    (tmp_path / "r.csv").write_text("\n".join(['"","f1","f2","cls"', *of_r]) + "\n")
    assert read(str(tmp_path / "r.csv"))[0].fingerprint == bare


@pytest.mark.parametrize(
    "values",
    [range(ROWS), range(100, 0, -1)[:ROWS], np.cumsum(np.random.default_rng(0).random(ROWS)) + 1.7e9],
)
def test_a_named_column_that_grows_from_row_to_row_stays_and_is_said(saved, frame, values):
    dataset, findings = read(saved(frame.assign(seconds=values)))
    assert dataset.x.shape == (ROWS, 3)
    assert not findings.dropped
    [remark] = findings.remarks
    assert remark.startswith("column 'seconds' grows or falls from row to row, as row numbers do")


@pytest.mark.parametrize(
    "copy",
    [
        lambda cls: cls,
        lambda cls: cls.map({"a": 0, "b": 1, "c": 2}),
        lambda cls: cls.map({"a": 2, "b": 0.5, "c": -1}),
        lambda cls: cls.map({"a": "z", "b": "y", "c": "x"}),
        lambda cls: cls.map({"a": "apple", "b": "bee", "c": np.nan}),
    ],
    ids=["equal", "codes", "numbers", "texts", "one class left empty"],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_says_the_same_as_the_target_is_left_out_and_said(saved, frame, copy, kind):
    dataset, findings = read(saved(frame.assign(answer=copy(frame["cls"])), kind))
    assert dataset.x.shape == (ROWS, 2)
    assert findings.dropped == ("answer",)
    assert findings.remarks == (
        "column 'answer' says the same as 'cls' and is left out; to use it, list it in task.table.keep",
    )


def test_a_column_that_differs_from_the_target_in_one_row_stays(saved, frame):
    codes = frame["cls"].map({"a": 0, "b": 1, "c": 2})
    codes.iloc[0] = 1
    assert read(saved(frame.assign(answer=codes)))[1].dropped == ()


def test_the_row_numbers_of_tables_put_together_are_left_out(saved, frame):
    parts = [
        frame.iloc[:20],
        frame.iloc[20:45].reset_index(drop=True),
        frame.iloc[45:].reset_index(drop=True),
    ]
    assert read(saved(pd.concat(parts), index=True))[1].dropped == ("Unnamed: 0",)
    twice = pd.read_csv(saved(frame, index=True))
    assert read(saved(twice, index=True))[0].shape == (2,)


def test_an_empty_column_behind_the_last_separator_is_left_out(tmp_path, saved, frame):
    lines = Path(saved(frame)).read_text().splitlines()
    (tmp_path / "d.csv").write_text("".join(f"{line},\n" for line in lines))
    dataset, findings = read(str(tmp_path / "d.csv"))
    assert dataset.shape == (2,)
    assert findings.remarks[0].startswith("column 'Unnamed: 3' is empty and has no name and is left out")


def test_nameless_features_stay(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (ROWS, 3))
    lines = [",,,cls", *(f"{a},{b},{c},{'ab'[i % 2]}" for i, (a, b, c) in enumerate(x))]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    assert read(str(tmp_path / "d.csv"))[0].x.tolist() == x.tolist()


def test_test_rows_that_the_data_have_too_are_said(saved, frame, tmp_path):
    frame.iloc[::6].to_csv(tmp_path / "test.csv", index=False)
    dataset, findings = read(saved(frame), options=ReadingOptions(test=str(tmp_path / "test.csv")))
    assert findings.remarks == ("10 of 10 test rows have the features of another row of the data",)
    assert dataset.findings == findings


def test_a_study_that_began_before_keeps_the_columns_that_it_had(saved, frame):
    codes = frame["cls"].map({"a": 0, "b": 1, "c": 2})
    leaky = pd.DataFrame({"": range(ROWS), "f1": frame.f1, "copy": codes, "cls": frame["cls"]})
    before = load(saved(leaky), target="cls", findings=NO_FINDINGS)
    x = leaky.drop(columns="cls").to_numpy(float)
    assert before.fingerprint == from_arrays("d", x, leaky["cls"].to_numpy(object)).fingerprint


def test_a_table_of_nothing_but_row_numbers_is_refused_with_the_reason(saved, frame):
    with pytest.raises(DataError, match=r"0 feature columns .column 'id' numbers the rows and is left out"):
        read(saved(frame[["cls"]].assign(id=range(ROWS))))


def test_few_rows_prove_nothing(saved):
    table = pd.DataFrame({"ripe": [True, False] * 4, "at": range(8), "cls": ["fig", "nut"] * 4})
    dataset, findings = read(saved(table))
    assert (dataset.shape, findings.dropped, findings.remarks) == ((2,), (), ())


def test_the_chance_of_a_copy_is_that_of_a_random_order():
    """Counted: of all orders of a column, the part that is a renaming of the target."""
    from itertools import permutations

    target = [0, 0, 1, 1, 1, 2]
    orders = list(permutations(target))
    renamings = sum(np.array_equal(pd.factorize(pd.Series(order))[0], target) for order in orders)
    by_names = math.factorial(3) * math.prod(map(math.factorial, (2, 3, 1))) / math.factorial(6)
    assert renamings / len(orders) <= by_names
    assert not repeats_target(pd.Series(target), pd.Series(target))
    assert by_names > CHANCE


@pytest.mark.parametrize("seed", range(20))
def test_columns_of_chance_are_never_taken_for_copies_or_row_numbers(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 40))
    target = pd.Series(rng.integers(0, 2, rows))
    for _ in range(50):
        column = pd.Series(rng.integers(0, int(rng.integers(2, 5)), rows), name="x")
        assert not repeats_target(column, target)
        assert row_number(column) is None
        assert not grows(column)


def test_a_feature_of_arrays_that_says_the_same_as_the_labels_is_said(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9000, 5)), rng.integers(0, 3, 9000)
    x[:, 3] = np.array([4.0, -1.0, 7.0])[y]
    assert copies_of_target(x, y) == [3]
    np.savez(tmp_path / "d.npz", x=x, y=y)
    [remark] = load(str(tmp_path / "d.npz")).findings.remarks
    assert remark.startswith("feature 3 (counted from 0) says the same as the labels")


def test_a_feature_of_arrays_that_grows_from_row_to_row_is_said(tmp_path):
    x = np.random.default_rng(0).normal(size=(9000, 4))
    x[:, 1] = np.arange(9000)
    x[:, 2] = np.r_[np.arange(8999), 0]
    assert growing(x) == [1]
    assert growing(-x) == [1]
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(9000) // 3000)
    [remark] = load(str(tmp_path / "d.npz")).findings.remarks
    assert remark.startswith("feature 1 (counted from 0) grows or falls from row to row, as row numbers do")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_text_become_categories_and_are_said_where_the_user_has_not_declared_them(
    saved, frame, kind
):
    rng = np.random.default_rng(1)
    frame = frame.assign(colour=rng.choice(["red", "blue"], ROWS), shop=rng.choice(["x", "y", "z"], ROWS))
    path = saved(frame, kind)
    found = load(path, target="cls")
    what = "columns of text are taken for categories, one-hot: colour (2), shop (3)"
    assert f"{what}; declare them in task.categorical, or drop them" in found.findings.remarks
    assert found.x.shape[1] == 2 + 2 + 3
    options = ReadingOptions(categorical={"colour": "one_hot", "shop": "index"})
    declared = load(path, target="cls", options=options)
    assert not any("columns of text" in remark for remark in declared.findings.remarks)
    assert declared.x.shape[1] == 2 + 2 + 1
