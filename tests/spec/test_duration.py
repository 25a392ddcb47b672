import math

import pytest

from hebbevo.spec.duration import seconds, text


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("1h0m1s", 3601.0),
        ("1.5h", 5400.0),
        ("0.25", 0.25),
        (90, 90.0),
        (0.5, 0.5),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(length: object, expected: float) -> None:
    assert seconds(length) == expected


@pytest.mark.parametrize(
    "length",
    [
        *(
            "",
            " ",
            "ten",
            "-5",
            "-5s",
            "0",
            "0s",
            "0h0m",
            "1h30",
            "30m1h",
            "1d",
            "10 m",
            "1e3",
            "s",
            "nan",
            "٣",
        ),
        *("9" * 400, 0, -1, math.nan, math.inf, True, None, [], b"90"),
    ],
)
def test_anything_else_is_no_length_of_time(length: object) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        seconds(length)


@pytest.mark.parametrize(
    ("length", "expected"), [(600, "10m"), (5400, "1h30m"), (90, "1m30s"), (3601, "1h1s"), (0.5, "0.5s")]
)
def test_a_length_of_time_is_written_as_it_would_be_read(length: float, expected: str) -> None:
    assert text(length) == expected
    assert seconds(expected) == length
