from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import BUILT_IN, Column, Findings, ReadingOptions, load
from hebbevo.data.files import read_rows
from hebbevo.errors import DataError

X = np.arange(8.0).reshape(4, 2)
Y = np.array(["b", "a", "b", "a"])


@pytest.fixture
def save(tmp_path):
    """Write content to a file in the way its suffix asks for and return its path as text."""

    def to(name, content):
        path = tmp_path / name
        writers = {dict: lambda: np.savez(path, **content), str: lambda: path.write_text(content)}
        writers |= {bytes: lambda: path.write_bytes(content), pd.DataFrame: lambda: content.to_parquet(path)}
        writers[type(content)]()
        return str(path)

    return to


def test_npz_arrays_are_read_with_their_test_set(save):
    path = save(
        "d.npz", {"x": X.reshape(4, 2, 1), "y": Y, "x_test": X[:1].reshape(1, 2, 1), "y_test": Y[1:2]}
    )
    dataset = load(path)
    assert dataset.name == path
    assert dataset.x.tolist() == X.tolist()
    assert (dataset.classes, dataset.y.tolist()) == (("a", "b"), [1, 0, 1, 0])
    assert (dataset.x_test.tolist(), dataset.y_test.tolist()) == ([[0, 1]], [0])


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 1), (2, 3, 1, 2)])
def test_rows_of_an_npz_file_keep_the_shape_they_are_stored_with(save, shape):
    x = np.arange(4 * np.prod(shape)).reshape(4, *shape)
    dataset = load(save("d.npz", {"x": x, "y": Y}))
    assert dataset.shape == shape
    assert np.array_equal(dataset.x.reshape(-1, *shape), x)


def test_npz_without_a_test_set_has_none(save):
    dataset = load(save("d.npz", {"x": X, "y": Y}))
    assert dataset.x_test is None
    assert dataset.y_test is None


CSV = "size,ripe,kind,sour\n1,True,fig,0.5\n2,False,nut,1.5\n3,True,fig,2.5\n4,False,nut,-1e3\n"
ROWS = [[1, 1, 0.5], [2, 0, 1.5], [3, 1, 2.5], [4, 0, -1000]]


def test_csv_columns_other_than_the_target_are_features_and_booleans_are_0_and_1(save):
    dataset = load(save("d.CSV", CSV), target="kind")
    assert dataset.x.tolist() == ROWS
    assert dataset.shape == (3,)
    assert (dataset.classes, dataset.y.tolist()) == (("fig", "nut"), [0, 1, 0, 1])


def test_csv_with_a_byte_order_mark_and_windows_line_ends_reads_alike(save):
    path = save("d.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert load(path, target="kind").x.tolist() == ROWS


def test_boolean_and_whole_number_targets_keep_their_types(save):
    path = save("d.csv", "a,b,t\n1,0,True\n2,3,False\n3,3,True\n")
    assert repr(load(path, target="t").classes) == "(False, True)"
    assert repr(load(path, target="b").classes) == "(0, 3)"


def test_parquet_reads_as_the_same_csv_does(save):
    frame = pd.DataFrame({"size": [1, 2, 3, 4], "ripe": [True, False, True, False]})
    frame["kind"] = pd.Categorical(["fig", "nut", "fig", "nut"])
    frame["sour"] = pd.array([0.5, 1.5, 2.5, -1e3], "Float32")
    dataset = load(save("d.parquet", frame), target="kind")
    assert dataset.x.tolist() == ROWS
    assert dataset.classes == ("fig", "nut")


def test_decimals_of_a_database_are_numbers(save):
    frame = pd.DataFrame({"price": [Decimal("1.25"), Decimal("-3"), Decimal("0.1")], "t": ["x", "y", "x"]})
    assert load(save("d.parquet", frame), target="t").x.tolist() == [[1.25], [-3.0], [0.1]]
    long = pd.DataFrame({"id": [Decimal(10**25 + i) for i in range(3)], "t": ["x", "y", "x"]})
    with pytest.raises(DataError, match="integers that differ in float64 no more"):
        load(save("e.parquet", long), target="t")


def test_numbers_of_a_text_table_are_those_that_python_reads(save):
    rng = np.random.default_rng(0)
    texts = [
        f"{v:.{rng.integers(1, 22)}g}" for v in rng.normal(size=2000) * 10.0 ** rng.integers(-20, 20, 2000)
    ]
    lines = [f"{text};{i % 2}" for i, text in enumerate(texts)]
    for mark in ".,":
        path = save("d.csv", "\n".join(["f;t", *lines]).replace(".", mark) + "\n")
        dataset = load(path, target="t", options=ReadingOptions(separator=";", decimal=mark))
        assert dataset.x[:, 0].tolist() == [float(text) for text in texts]


JUNK = bytes(range(256)) * 4
FRAME = pd.DataFrame({"a": [1, 2, 3], "t": ["x", "y", "x"]})


@pytest.mark.parametrize(
    ("name", "content", "target", "words"),
    [
        ("d.npz", JUNK, None, "cannot be read"),
        ("d.npz", b"", None, "cannot be read"),
        ("d.npz", b"PK\x03\x04" + JUNK, None, "cannot be read"),
        ("d.npz", {"x": X, "label": Y}, None, "has no array y, it holds 'x', 'label'; save x and y"),
        ("d.npz", {"images": X}, None, "has no array x and no y, it holds 'images'"),
        ("d.npz", {"x": X, "y": Y.astype(object)}, None, "Object arrays cannot be loaded"),
        ("d.npz", {"x": X, "y": Y[:3]}, None, "y has 3 labels for 4 rows"),
        ("d.npz", {"x": X, "y": Y}, "y", "target 'y' is for tables; leave it out"),
        ("d.csv", b"", "t", "cannot be read"),
        ("d.csv", JUNK, "t", "cannot be read"),
        (
            "d.csv",
            "a,t\n1,x\n2,y,9\n",
            "t",
            "a row has more cells than the header line has names (Expected",
        ),
        (
            "d.csv",
            "a,t\n1,x,9\n2,y,9\n",
            "t",
            "names; put a line with the names of all columns first, and",
        ),
        ("d.csv", "# by me\na,t\n1,x\n2,y\n", "t", "a row has more cells than the header line has names"),
        ("d.csv", "a;t\n1,5;x\n2,5;y\n", "t", "write table: {separator: ';'}, which the header line seems"),
        ("d.csv", 'a,t\n"1,x\n2,y\n', "t", "cannot be read"),
        ("d.csv", "a,t\n1,x\n2,y\n", None, "needs the column of the labels; write target: one of 'a', 't'"),
        ("d.csv", "a,t\n1,x\n2,y\n", "label", "has no column 'label'; write target: one of 'a', 't'"),
        ("d.csv", "a,t\n", "t", "has 0 rows and 1 feature columns"),
        ("d.csv", "t\nx\ny\n", "t", "has 2 rows and 0 feature columns"),
        ("d.csv", "a,b,t\n1,2,x\n2,red,y\n", "t", "column 'b' is not numeric, the first is 'red'; encode it"),
        (
            "d.csv",
            "a,b,t\n1,2,x\n2,,y\n",
            "t",
            "x has 1 missing, infinite or too large values, the first in row 1",
        ),
        ("d.csv", "a,b,t\n1,2,x\n2,,y\n", "t", "column 'b'"),
        ("d.csv", "a,b,t\n1,2,x\n2,inf,y\n", "t", "row 1, column 'b'"),
        ("d.csv", "a,b,t\n1,True,x\n2,,y\n", "t", "row 1, column 'b'"),
        ("d.csv", "a,t\n1,x\n2,\n3,y\n", "t", "y has 1 missing or infinite labels, the first in row 1"),
        ("d.csv", "a,t\n1,1\n2,\n3,2\n", "t", "y has 1 missing or infinite labels, the first in row 1"),
        ("d.csv", "a,t\n1,0.1\n2,0.2\n3,0.3\n", "t", "looks like regression"),
        ("d.parquet", JUNK, "t", "cannot be read"),
        ("d.parquet", b"PAR1" + JUNK + b"PAR1", "t", "cannot be read"),
        ("d.parquet", FRAME, "label", "has no column 'label'; write target: one of 'a', 't'"),
        ("d.parquet", FRAME.assign(b=pd.Timestamp(0)), "t", "column 'b' is not numeric"),
        ("d.parquet", FRAME.assign(b=["1.234"] * 3), "t", "column 'b' is not numeric, the first is '1.234'"),
        ("d.parquet", FRAME.assign(b=pd.array([1, None, 3], "Int64")), "t", "row 1, column 'b'"),
        ("d.parquet", FRAME[["a"]].assign(u=[[1], [2], [3]]), "u", "y holds ndarray labels"),
        (
            "d.csv",
            ",".join(map(str, range(99))),
            "t",
            "one of '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', ...",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_a_file_that_cannot_be_learned_from_is_refused_in_one_line_that_names_it(
    save, name, content, target, words
):
    path = save(name, content)
    with pytest.raises(DataError) as caught:
        load(path, target=target)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_a_file_cut_short_or_missing_or_a_folder_is_refused(tmp_path, save, suffix):
    path = tmp_path / f"d{suffix}"
    with pytest.raises(DataError, match="there is no such file"):
        load(str(path), target=None if suffix == ".npz" else "t")
    content = {".npz": {"x": X, "y": Y}, ".csv": '"a,t\n1,x\n', ".parquet": FRAME}[suffix]
    save(path.name, content)
    if suffix != ".csv":
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"cannot be read|no column"):
        load(str(path), target=None if suffix == ".npz" else "t")
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load(str(path), target=None if suffix == ".npz" else "t")


def test_a_bare_array_named_npz_is_refused(tmp_path):
    with (tmp_path / "d.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="it is no zip archive"):
        load(str(tmp_path / "d.npz"))


def test_an_unknown_name_is_answered_with_all_known_ones():
    with pytest.raises(DataError) as caught:
        load("minst")
    assert str(caught.value) == (
        f"minst: is no known data set; write one of {', '.join(BUILT_IN)}, the path of"
        " a file that ends in .npz, .csv, .tsv, .csv.gz, .tsv.gz, .parquet, or package.module:function"
    )


# --- rows to predict ---

COLUMNS = (Column("age"), Column("town", ("1", "02", "B")))


def test_rows_to_predict_are_read_with_and_without_targets_and_in_any_order(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("town,other,age,label\n02,x,1.5,yes\n1,y,2,\n")
    findings = Findings(text_columns=("town",))
    rows = read_rows(path, COLUMNS, "label", findings=findings)
    assert {name: list(cells) for name, cells in rows.values.items()} == {
        "age": [1.5, 2.0],
        "town": ["02", "1"],
    }
    assert rows.targets.tolist() == ["yes", None]
    assert read_rows(path, COLUMNS, "price", findings=findings).targets is None
    path.write_text("town;age\n02;1,5\n")
    options = ReadingOptions(separator=";", decimal=",")
    assert [*read_rows(path, COLUMNS, "label", options, findings).values["age"]] == [1.5]
    with pytest.raises(DataError, match=r"new\.csv: has no column 'age'; its columns are 'town;age'"):
        read_rows(path, COLUMNS, "label", findings=findings)


def test_rows_to_predict_of_arrays_are_those_named_x_else_those_of_a_test_set(tmp_path):
    path = tmp_path / "new.npz"
    x, y = np.arange(12.0).reshape(3, 4), np.array([0, 1, 0])
    np.savez(path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    rows = read_rows(path, (), None)
    assert (rows.values.shape, rows.targets.tolist()) == ((2, 4), [0, 1])
    np.savez(path, x=x)
    assert read_rows(path, (), None).targets is None
    images = np.zeros((3, 8, 8, 3))
    np.savez(path, x=images)
    assert read_rows(path, (), None, findings=Findings(channels_last=True)).values.shape == (3, 3, 8, 8)
    np.savez(path, rows=x)
    with pytest.raises(DataError, match=r"has no array x, it holds 'rows'; save x"):
        read_rows(path, (), None)
    np.savez(path, x=x, y=y[:2])
    with pytest.raises(DataError, match="y has 2 targets for 3 rows; give one for each"):
        read_rows(path, (), None)
    (tmp_path / "new.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"the network takes arrays; give an \.npz file"):
        read_rows(tmp_path / "new.csv", (), None)
