"""What the user says about tables and arrays, against pandas with the same options said explicitly."""

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import ReadingOptions, from_arrays, load
from hebbevo.data.options import Findings
from hebbevo.errors import DataError

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"größe": RNG.normal(size=12), "b": RNG.integers(0, 9, 12), "kind": ["süß", "sauer", "scharf"] * 4}
)


def expected(frame=FRAME):
    return from_arrays("d", frame.drop(columns="kind").to_numpy(float), frame["kind"].to_numpy(object))


@pytest.mark.parametrize(
    ("name", "how", "options"),
    [
        ("d.csv", {}, {}),
        ("d.csv", {"sep": ";", "decimal": ","}, {"separator": ";", "decimal": ","}),
        ("d.csv", {"sep": "\t"}, {"separator": "\t"}),
        ("d.csv", {"sep": "|", "encoding": "latin-1"}, {"separator": "|", "encoding": "latin-1"}),
        ("d.csv", {"sep": " "}, {"separator": "whitespace"}),
        ("d.csv", {"encoding": "utf-16"}, {"encoding": "utf-16"}),
        ("d.csv", {"encoding": "cp1252"}, {"encoding": "cp1252"}),
        ("d.tsv", {"sep": "\t"}, {}),
        ("d.TSV", {"sep": "\t", "decimal": ","}, {"decimal": ","}),
        ("d.csv.gz", {}, {}),
        ("d.tsv.gz", {"sep": "\t", "encoding": "utf-16"}, {"encoding": "utf-16"}),
    ],
)
def test_a_text_table_reads_alike_however_it_is_written(tmp_path, name, how, options):
    FRAME.to_csv(tmp_path / name, index=False, **how)
    dataset = load(str(tmp_path / name), target="kind", options=ReadingOptions(**options))
    assert dataset.fingerprint == expected().fingerprint


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_columns_are_dropped_and_kept_by_name(tmp_path, name):
    frame = FRAME.assign(id=range(12), text="x", index=range(12))
    path = tmp_path / name
    frame.to_parquet(path) if name == "d.parquet" else frame.to_csv(path, index=False)
    options = ReadingOptions(drop=("text", "größe"), keep=("index",))
    dataset = load(str(path), target="kind", options=options)
    assert dataset.findings.dropped == ("id",)
    assert dataset.fingerprint == expected(frame[["b", "index", "kind"]]).fingerprint
    for asked in ("drop", "keep"):
        with pytest.raises(DataError, match=f"has no column 'gone' to {asked}; its columns are 'größe', 'b'"):
            load(str(path), target="kind", options=ReadingOptions(**{asked: ("gone",)}))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            b"a;t\n1;x\n2;y\n",
            {},
            "has no column 't'; write table: {separator: ';'}, which the header line seems",
        ),
        (b"a\tt\n1\tx\n2\ty\n", {}, r"write table: {separator: '\t'}"),
        (b"a;t\n1,5;x\n2;y\n", {"separator": ";"}, "column 'a' is not numeric, the first is '1,5'"),
        ("a,t\n1,süß\n2,y\n".encode("latin-1"), {}, "cannot be read as utf-8 text"),
        ("a,t\n1,süß\n2,y\n".encode("latin-1"), {"encoding": "utf-16"}, "cannot be read as utf-16 text"),
        (b"a,t\n1,x\n2,y\n", {"split": ("groups", "ward")}, "has no column 'ward'; its columns are 'a', 't'"),
    ],
)
def test_what_the_options_do_not_fit_is_one_line_that_says_what_to_write(tmp_path, text, options, words):
    (tmp_path / "d.csv").write_bytes(text)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "d.csv"), target="t", options=ReadingOptions(**options))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_header_line_of_numbers_is_said(tmp_path):
    (tmp_path / "d.csv").write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,other\n")
    [remark] = load(str(tmp_path / "d.csv"), target="setosa").findings.remarks
    assert remark.startswith("the header line looks like a row of numbers")


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_a_test_file_has_its_columns_in_any_order(tmp_path, name):
    test = FRAME[["kind", "b", "größe"]].iloc[:5].assign(more=1)
    paths = [tmp_path / f"{part}{name}" for part in ("train-", "test-")]
    for path, frame in zip(paths, (FRAME, test), strict=True):
        frame.to_parquet(path) if name == "d.parquet" else frame.to_csv(path, index=False)
    options = ReadingOptions(test=str(paths[1]))
    dataset = load(str(paths[0]), target="kind", options=options)
    part = expected(FRAME.iloc[:5])
    assert np.array_equal(dataset.x_test, part.x)
    assert [dataset.classes[i] for i in dataset.y_test] == FRAME.kind[:5].tolist()
    with pytest.raises(DataError, match=r"train-d\.(csv|parquet): has no column 'more'; its columns are"):
        load(str(paths[1]), target="kind", options=ReadingOptions(test=str(paths[0])))
    with pytest.raises(DataError, match=r"gone.*: there is no such file"):
        load(str(paths[0]), target="kind", options=ReadingOptions(test=str(tmp_path / f"gone{name}")))


X, Y = RNG.normal(size=(20, 3)), np.arange(20) % 2


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x", "y"),
        ("X", "y"),
        ("x_train", "y_train"),
        ("X_train", "y_train"),
        ("train_images", "train_labels"),
        ("train_x", "train_y"),
        ("images", "labels"),
        ("data", "target"),
    ],
)
@pytest.mark.parametrize("column", [False, True], ids=["flat labels", "labels in a column"])
def test_arrays_are_found_under_the_names_that_people_give_them(tmp_path, x, y, column):
    labels = Y[:, None] if column else Y
    np.savez(tmp_path / "d.npz", **{x: X, y: labels, "x_test": X[:4], "y_test": labels[:4], "note": "mine"})
    dataset = load(str(tmp_path / "d.npz"))
    assert dataset.fingerprint == from_arrays("d", X, Y, X[:4], Y[:4]).fingerprint
    said = (
        ()
        if x == "x"
        else (f"the arrays {x}, {y}, x_test, y_test are read as training, validation and test rows",)
    )
    assert dataset.findings.remarks == said


def test_validation_rows_of_medmnist_are_its_validation_rows(tmp_path):
    images = RNG.integers(0, 256, (40, 28, 28, 3), dtype=np.uint8)
    labels = (np.arange(40) % 2)[:, None].astype(np.uint8)
    bounds = {"train": slice(0, 24), "val": slice(24, 32), "test": slice(32, 40)}
    arrays = {f"{part}_images": images[rows] for part, rows in bounds.items()}
    arrays |= {f"{part}_labels": labels[rows] for part, rows in bounds.items()}
    np.savez(tmp_path / "d.npz", **arrays)
    dataset = load(str(tmp_path / "d.npz"))
    assert dataset.shape == (3, 28, 28)
    channels_first = images.transpose(0, 3, 1, 2).reshape(40, -1)
    assert np.array_equal(dataset.x, channels_first[:32])
    assert np.array_equal(dataset.x_test, channels_first[32:])
    assert dataset.division.values.tolist() == [0] * 24 + [1] * 8
    assert dataset.findings.channels_last and dataset.findings.validation
    assert [remark.partition(":")[0] for remark in dataset.findings.remarks] == [
        "train_images",
        "the arrays train_images, train_labels, val_images, val_labels, test_images, test_labels are read as"
        " training, validation and test rows",
    ]
    again = load(str(tmp_path / "d.npz"), findings=dataset.findings)
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((28, 28, 1), (1, 28, 28)),
        ((32, 24, 3), (3, 32, 24)),
        ((5, 9, 4), (4, 5, 9)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 28, 28), (1, 28, 28)),
        ((3, 32, 3), (3, 32, 3)),
        ((16, 16, 2), (16, 16, 2)),
        ((16, 4, 4), (16, 4, 4)),
        ((64, 2, 3), (64, 2, 3)),
        ((28, 28), (28, 28)),
    ],
)
def test_images_with_their_channels_last_are_turned_and_this_is_said(tmp_path, shape, found):
    x = RNG.normal(size=(6, *shape)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=Y[:6])
    dataset = load(str(tmp_path / "d.npz"))
    assert dataset.shape == found
    moved = x if shape == found else x.transpose(0, 3, 1, 2)
    assert np.array_equal(dataset.x.reshape(6, *found), moved)
    assert len(dataset.findings.remarks) == (shape != found)
    # a study that began before keeps the order
    assert (
        load(str(tmp_path / "d.npz"), findings=Findings()).fingerprint
        == from_arrays("d", x, Y[:6]).fingerprint
    )


def test_a_study_that_began_before_ignores_validation_rows_as_it_did(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y, x_val=X[:4], y_val=Y[:4])
    before = load(str(tmp_path / "d.npz"), findings=Findings())
    assert before.fingerprint == from_arrays("d", X, Y).fingerprint
    assert len(load(str(tmp_path / "d.npz")).x) == 24


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"x_train": X}, {}, "has no array x and no y, it holds 'x_train'; save x and y"),
        (
            {"x": X, "y": Y, "val_images": X},
            {},
            "val_images is given without val_labels; give both or neither",
        ),
        ({"x": X, "y": Y, "x_val": X[:, :2], "y_val": Y}, {}, "x_val has rows of shape (2,) and x has (3,)"),
        ({"x": X, "y": Y, "x_val": X, "y_val": Y.astype(str)}, {}, "y_val holds <U21 and y holds int64"),
        (
            {"x": X, "y": Y},
            {"split": ("groups", "ward")},
            "has no array 'ward' to split by; it holds 'x', 'y'",
        ),
        (
            {"x": X, "y": Y, "ward": Y[:3]},
            {"split": ("groups", "ward")},
            "ward has shape (3,); give one value",
        ),
        (
            {"x": X, "y": Y, "x_val": X, "y_val": Y, "ward": Y},
            {"split": ("groups", "ward")},
            "validation rows are given; drop split",
        ),
    ],
)
def test_arrays_that_do_not_go_together_are_refused_in_one_line(tmp_path, arrays, options, words):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "d.npz"), options=ReadingOptions(**options))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_test_file_of_arrays_gives_its_test_rows_or_else_all(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.savez(tmp_path / "t.npz", x_test=X[:3], y_test=Y[:3])
    np.savez(tmp_path / "u.npz", x_train=X[:3], y_train=Y[:3, None])
    for name in ("t.npz", "u.npz"):
        dataset = load(str(tmp_path / "d.npz"), options=ReadingOptions(test=str(tmp_path / name)))
        assert dataset.fingerprint == from_arrays("d", X, Y, X[:3], Y[:3]).fingerprint
    np.savez(tmp_path / "both.npz", x=X, y=Y, x_test=X[:3], y_test=Y[:3])
    with pytest.raises(DataError, match="holds x_test besides the test file; drop one of them"):
        load(str(tmp_path / "both.npz"), options=ReadingOptions(test=str(tmp_path / "t.npz")))
