import pytest

from hebbevo.messages import closest, describe, did_you_mean, first_line, listed, quoted, unknown


def test_truth_values_are_listed_as_yaml_writes_them() -> None:
    assert listed([True, False, 1, "a"]) == "true, false, 1, a"
    assert listed({"a": 1, "b": 2}) == "a, b"
    assert listed([]) == ""


@pytest.mark.parametrize(("count", "end"), [(12, "11"), (13, "11, ...")])
def test_twelve_values_are_quoted_and_a_longer_list_ends_in_dots(count: int, end: str) -> None:
    assert quoted(range(count)) == f"0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {end}"


def test_a_similar_name_is_suggested_and_only_a_similar_one() -> None:
    assert closest("hiden", ["hidden", "depth"]) == "hidden"
    assert closest("xyz", ["hidden", "depth"]) is None
    assert closest(7, [7, "seven"]) == "7"
    assert did_you_mean("xyz", ["hidden"], "write one") == "write one"
    assert unknown("hiden", ["hidden", "depth"]) == "'hiden'; did you mean hidden?"


@pytest.mark.parametrize(
    ("message", "line"),
    [("", ""), ("one", "one"), ("\n one \ntwo", "one "), ("one\r\ntwo", "one"), (ValueError("one\n"), "one")],
)
def test_the_first_line_is_the_first_that_is_not_blank(message: object, line: str) -> None:
    assert first_line(message) == line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (KeyError("k"), "KeyError: 'k'"),
        (ArithmeticError(), "ArithmeticError: no message"),
        (RuntimeError(" \n"), "RuntimeError: no message"),
    ],
)
def test_an_error_is_described_by_its_type_and_first_line(error: Exception, text: str) -> None:
    assert describe(error) == text
