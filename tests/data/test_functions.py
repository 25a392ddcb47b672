import sys
from pathlib import Path

import numpy as np
import pytest

from hebbevo.data import ReadingOptions, from_arrays, load
from hebbevo.errors import DataError, UsageError

HEAD = """\
import numpy as np
from hebbevo.data import Dataset, from_arrays

X = np.arange(16.0).reshape(4, 1, 2, 2)
Y = np.array(["b", "a", "b", "a"])

"""


@pytest.fixture
def returning(tmp_path, monkeypatch):
    """Write a module whose function returns an expression, and give the reference to it."""
    monkeypatch.chdir(tmp_path)

    def written(expression):
        (tmp_path / "mydata.py").write_text(f"{HEAD}def load():\n    return {expression}\n")
        return "mydata:load"

    return written


@pytest.mark.parametrize("form", ["(X, Y)", "[X, Y]", "(X.tolist(), Y.tolist())"])
def test_arrays_of_a_function_are_a_dataset_of_its_name(returning, form):
    dataset = load(returning(form))
    assert dataset.name == "mydata:load"
    assert dataset.shape == (1, 2, 2)
    assert dataset.x.tolist() == np.arange(16).reshape(4, 4).tolist()
    assert (dataset.classes, dataset.y.tolist()) == (("a", "b"), [1, 0, 1, 0])
    assert dataset.x_test is dataset.y_test is None


def test_four_arrays_are_a_dataset_with_a_test_set(returning):
    dataset = load(returning("(X, Y, X[:1] + 1, Y[1:2])"))
    assert dataset.x_test.tolist() == [[1, 2, 3, 4]]
    assert dataset.y_test.tolist() == [0]


def test_tensors_are_accepted_as_arrays_are(returning):
    expression = "[__import__('torch').tensor(each) for each in (X, [0, 1, 0, 1], X[:2], [1, 0])]"
    dataset = load(returning(expression))
    assert dataset.x.tolist() == np.arange(16).reshape(4, 4).tolist()
    assert (dataset.shape, dataset.classes, dataset.y_test.tolist()) == ((1, 2, 2), (0, 1), [1, 0])


@pytest.mark.parametrize("labels", [["b", "a", "b"], [0.5, 2.0, 0.5], [7, 3, 7], [True, False, True]])
@pytest.mark.parametrize("tested", [False, True])
def test_a_dataset_is_unchanged_except_for_its_name(returning, labels, tested):
    x, y = np.arange(12.0).reshape(3, 1, 2, 2), np.array(labels)
    original = from_arrays("d", x, y, x[:2] if tested else None, y[:2] if tested else None)
    tests = f"X[:2], np.array({labels[:2]})" if tested else "None, None"
    dataset = load(returning(f"from_arrays('d', X[:3], np.array({labels}), {tests})"))
    assert dataset.name == "mydata:load"
    assert dataset.fingerprint == original.fingerprint
    assert dataset.shape == original.shape == (1, 2, 2)
    assert repr(dataset.classes) == repr(original.classes)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("None", "returned None; return (x, y) or (x, y, x_test, y_test)"),
        ("X", "returned a ndarray; return (x, y) or (x, y, x_test, y_test)"),
        ("(X, Y, X)", "returned a tuple of 3; return (x, y) or"),
        ("{'x': X, 'label': Y}", "has no array y, it holds 'x', 'label'; save x and y"),
        ("([[1], [2, 3]], [0, 1])", "x is a list that cannot become an array (setting an array element"),
        (
            "(__import__('torch').zeros(4, 2, requires_grad=True), Y)",
            "x is a Tensor that cannot become an array (Can't call numpy() on Tensor that requires grad.",
        ),
        (
            "(X, __import__('torch').zeros(4, device='meta'))",
            "y is a Tensor that cannot become an array (can't convert meta device type tensor to numpy.",
        ),
        ("(X, Y[:3])", "y has 3 labels for 4 rows"),
        ("(None, Y)", "x holds object values; write real numbers"),
        ("(X, Y, X[:, 0], Y)", "a row of x_test has shape (2, 2) and one of x has (1, 2, 2); give both"),
        ("(X, np.eye(4))", "y has shape (4, 4); write one label for each row (of one-hot rows, the argmax)"),
        (
            "Dataset('d', X, np.arange(4), ('a', 'b'))",
            "returned a Dataset whose parts do not belong together",
        ),
        ("Dataset('d', X, Y, ('a', 'b'))", "returned a Dataset whose parts do not belong together"),
        ("Dataset('d', X * np.nan, np.arange(4), tuple('abcd'))", "x has 16 missing, infinite or too large"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line_that_names_the_function(
    returning, expression, words
):
    with pytest.raises(DataError) as caught:
        load(returning(expression))
    message = str(caught.value)
    assert message.startswith(f"mydata:load: {words}")
    assert "\n" not in message


def test_an_exception_of_the_function_is_one_line_with_its_place(returning, tmp_path):
    reference = returning("X.reshape(5)")
    with pytest.raises(UsageError) as caught:
        load(reference)
    assert str(caught.value) == (
        "mydata:load: raised ValueError: cannot reshape array of size 16 into shape (5,)"
        f" ({tmp_path / 'mydata.py'}:8)"
    )


def test_a_function_that_needs_arguments_or_does_not_exist_is_one_line(returning):
    returning("lambda folder: None")
    with pytest.raises(
        UsageError, match=r"^mydata:lod: there is no lod in .*mydata\.py; did you mean load\?$"
    ):
        load("mydata:lod")
    with pytest.raises(UsageError, match=r"^mydata:from_arrays: raised TypeError: from_arrays\(\) missing 3"):
        load("mydata:from_arrays")


def test_a_function_takes_no_target_and_is_not_called_for_that(returning):
    reference = returning("1 / 0")
    with pytest.raises(DataError, match=r"^mydata:load: target 'y' is for tables; leave it out$"):
        load(reference, target="y")


def test_a_mapping_of_arrays_may_have_validation_rows_and_what_to_split_by(returning):
    parts = load(returning("{'train_x': X, 'train_y': Y, 'val_x': X[:2], 'val_y': Y[:2]}"))
    assert (len(parts.x), parts.division.values.tolist()) == (6, [0, 0, 0, 0, 1, 1])
    sys.modules.pop("mydata", None)
    options = ReadingOptions(split=("groups", "ward"))
    grouped = load(returning("{'x': X, 'y': Y, 'ward': list('abba')}"), options=options)
    assert (grouped.division.kind, grouped.division.values.tolist()) == ("groups", [0, 1, 1, 0])


def test_a_dataset_keeps_its_division_and_has_no_column_to_split_by(returning):
    made = (
        "Dataset('d', X.reshape(4, 4), np.arange(4) % 2, ('a', 'b'), division=Division('groups', Y == 'a'))"
    )
    reference = returning(made)
    source = Path("mydata.py")
    source.write_text(
        source.read_text().replace("X = np", "from hebbevo.data.division import Division\nX = np")
    )
    assert load(reference).division.values.tolist() == [False, True, False, True]
    with pytest.raises(DataError, match="returned a Dataset, which has no column to split by"):
        load(reference, options=ReadingOptions(split=("groups", "ward")))
