import warnings

import numpy as np
import pytest

from hebbevo.data import Dataset, from_arrays, input_shape, may_be_amounts
from hebbevo.errors import DataError

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (np.array([7, 3, 7, -1], np.int16), (-1, 3, 7), [2, 1, 2, 0]),
        (np.array([2, 1, 2, 1], np.uint8), (1, 2), [1, 0, 1, 0]),
        (np.array([0.5, 2.0, 0.5, 2.0]), (0.5, 2.0), [0, 1, 0, 1]),
        (np.array([True, False, True, True]), (False, True), [1, 0, 1, 1]),
        (np.array(["dog", "cat", "ant", "dog"]), ("ant", "cat", "dog"), [2, 1, 0, 2]),
        (np.array(["dog", "cat", "ant", "dog"], object), ("ant", "cat", "dog"), [2, 1, 0, 2]),
        (np.array([np.str_("b"), "a", "b", "a"], object), ("a", "b"), [1, 0, 1, 0]),
        (np.array([2, 1.0, np.int64(2), 1], object), (1.0, 2.0), [1, 0, 1, 0]),
    ],
)
def test_labels_of_any_type_become_indices_into_the_sorted_originals(labels, classes, indices):
    dataset = from_arrays("d", X[:4], labels)
    assert dataset.classes == classes
    assert [type(label) for label in dataset.classes] == [type(label) for label in classes]
    assert dataset.y.dtype == np.int64
    assert dataset.y.tolist() == indices


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float64, ">f4"])
def test_features_of_any_real_type_and_rank_become_float32_rows(dtype):
    x = (np.arange(24) % 2).reshape(4, 2, 3).astype(dtype)
    dataset = from_arrays("d", x, np.array([0, 1, 0, 1]))
    assert dataset.x.dtype == np.float32
    assert dataset.x.tolist() == [[0, 1, 0, 1, 0, 1]] * 4


@pytest.mark.parametrize(
    "tests", [{}, {"x_test": X.reshape(6, 1, 2), "y_test": Y}], ids=["alone", "with a test set"]
)
def test_a_dataset_knows_the_shape_its_rows_had(tests):
    assert from_arrays("d", X.reshape(6, 1, 2), Y, **tests).shape == (1, 2)


def test_rows_without_a_shape_of_their_own_are_flat():
    assert Dataset("d", np.float32(X), Y, (0, 1, 2)).shape == (2,)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((6,), (6,)), ((28, 28), (1, 28, 28)), ((3, 32, 32), (3, 32, 32)), ((2, 3, 4, 5), (2, 3, 4, 5))],
)
def test_only_an_image_of_one_plane_gets_its_channel_in_front(shape, seen):
    assert input_shape(shape) == seen


def test_a_dataset_is_a_copy_of_the_callers_arrays():
    x = X.astype(np.float32)
    dataset = from_arrays("d", x, Y)
    x[:] = -1
    assert np.array_equal(dataset.x, X)


def test_a_test_set_is_mapped_with_the_training_classes():
    dataset = from_arrays("d", X, np.array(list("abcabc")), X[:2] + 1, np.array(["c", "a"]))
    assert dataset.y_test.tolist() == [2, 0]
    assert dataset.x_test.tolist() == [[1, 2], [3, 4]]


def test_the_fingerprint_tells_any_change_of_content_and_nothing_else():
    def made(name="d", x=X, y=Y, classes=(0, 1, 2), x_test=None, y_test=None):
        return Dataset(name, np.float32(x), y, classes, x_test, y_test).fingerprint

    nudged = X.copy()
    nudged[3, 1] += 1
    assert made() == made(name="other") == made(x=np.asfortranarray(X))
    assert made() == from_arrays("d", X.reshape(6, 1, 2), Y).fingerprint  # as ever: the shape is not in it
    changed = {
        made(),
        made(x=nudged),
        made(x=X.reshape(3, 4)),
        made(y=Y[::-1].copy()),
        made(classes=("a", "b", "c")),
        made(x_test=np.float32(X), y_test=Y),
        made(x_test=np.float32(nudged), y_test=Y),
        made(x_test=np.float32(X), y_test=Y[::-1].copy()),
    }
    assert len(changed) == 8
    assert all(len(fingerprint) == 64 for fingerprint in changed)


NAN = X.copy()
NAN[2, 1], NAN[4, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.arange(6.0)}, "x has shape (6,); write one row for each sample"),
        ({"x": X[:0], "y": Y[:0]}, "x is empty, its shape is (0, 2)"),
        ({"x": X[:, :0]}, "x is empty, its shape is (6, 0)"),
        ({"x": X[:4]}, "y has 6 labels for 4 rows"),
        ({"x": X * 1j}, "x holds complex128 values; write real numbers"),
        ({"x": X.astype(object)}, "x holds object values"),
        ({"x": X.astype(str)}, "x holds <U32 values"),
        ({"x": NAN}, "x has 2 missing, infinite or too large values, the first in row 2, column 1"),
        ({"x": X * 1e300}, "x has 11 missing, infinite or too large values, the first in row 0, column 1"),
        ({"y": np.eye(6)}, "y has shape (6, 6); write one label for each row (of one-hot rows, the argmax)"),
        (
            {"y": np.array([0, 1, np.nan, 0, 1, np.inf])},
            "y has 2 missing or infinite labels, the first in row 2",
        ),
        (
            {"y": np.array(["a", None, "b", "a", "b", float("nan")], object)},
            "y has 2 missing or infinite labels",
        ),
        (
            {"y": np.array(["a", 1, "b", "a", "b", "a"], object)},
            "y holds int and str labels; write only numbers",
        ),
        ({"y": np.array([True, 1, 0, 1, 0, 1], object)}, "y holds bool and int labels"),
        ({"y": np.array([b"a", b"b"] * 3)}, "y holds |S1 labels; write numbers, text or booleans"),
        ({"y": np.array(["2020-01-01", "2020-01-02"] * 3, "M8[ns]")}, "y holds datetime64[ns] labels"),
        ({"y": np.full(6, "a")}, "y has the single class 'a'; give rows of two classes or more"),
        ({"y": np.arange(6) / 7}, "y has 6 different float labels in 6 rows, which looks like regression"),
        ({"x_test": X}, "x_test is given without y_test; give both or neither"),
        ({"y_test": Y}, "y_test is given without x_test; give both or neither"),
        ({"x_test": X[:, :1], "y_test": Y}, "a row of x_test has shape (1,) and one of x has (2,)"),
        ({"x_test": X, "y_test": Y[:2]}, "y_test has 2 labels for 6 rows"),
        ({"x_test": NAN, "y_test": Y}, "x_test has 2 missing"),
        ({"x_test": X, "y_test": Y + 2}, "y_test has labels that y has not: 3, 4; drop those rows"),
        ({"x_test": X[:2], "y_test": np.array(["a", "b"])}, "y_test has labels that y has not: 'a', 'b'"),
    ],
)
def test_arrays_that_cannot_be_learned_from_are_refused_in_one_line(arrays, words):
    with warnings.catch_warnings(), pytest.raises(DataError) as caught:
        warnings.simplefilter("error")
        from_arrays("d", **{"x": X, "y": Y, **arrays})
    message = str(caught.value)
    assert message.startswith("d: ")
    assert words in message
    assert "\n" not in message


def test_over_a_thousand_float_labels_look_like_regression_and_as_many_whole_numbers_do_not():
    y = np.tile(np.arange(1001), 2)
    x = np.zeros((2002, 1))
    assert len(from_arrays("d", x, y).classes) == 1001
    assert len(from_arrays("d", x[:2000], np.tile(np.arange(1000.0), 2)).classes) == 1000
    with pytest.raises(
        DataError, match="1001 different float labels in 2002 rows, which looks like regression"
    ):
        from_arrays("d", x, y.astype(float))


def test_a_missing_value_is_found_by_its_column_name_where_there_are_names():
    with pytest.raises(DataError, match=r"row 2, column 'age' \(counted from 0\)"):
        from_arrays("d", NAN, Y, columns=["height", "age"])


def test_the_targets_of_a_regression_keep_their_values_and_have_no_classes():
    y = np.array([1.7e9 + 0.25, 2, 3.5, 1, 0, -4.0])
    dataset = from_arrays("d", X, y, X[:2], np.array([7.0, 2.0]), kind="regression")
    assert (dataset.y == y).all()
    assert dataset.y_test.tolist() == [7, 2]
    assert (dataset.classes, dataset.kind) == ((), "regression")
    assert dataset.fingerprint != from_arrays("d", X, y + 1, kind="regression").fingerprint
    assert from_arrays("d", X, Y, kind="regression").y.tolist() == Y.tolist()  # whole numbers, too


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.array(list("abcabc")), "y holds 'a', and a regression predicts numbers"),
        (np.array([True, False] * 3), "y holds False, and a regression predicts numbers"),
        (np.full(6, 2.5), r"y is 2\.5 in every row"),
        (np.array([1, 2, 3, np.nan, 4, 5]), "1 missing or infinite labels, the first in row 3"),
    ],
)
def test_targets_that_no_regression_can_predict_are_refused(y, said):
    with pytest.raises(DataError, match=f"^d: .*{said}"):
        from_arrays("d", X, y, kind="regression")


def test_a_target_that_looks_like_amounts_gets_a_line_that_offers_a_regression():
    with pytest.raises(DataError, match=r"write task: \{kind: regression\} \(or --kind regression\), or"):
        from_arrays("d", X, np.arange(6) / 7)
    kinds = (range(21), (0.5, 1.0), range(20), ("a",), (False, True))
    assert [may_be_amounts(classes) for classes in kinds] == [True, True, False, False, False]
