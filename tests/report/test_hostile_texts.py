"""Names, choices, labels and messages from files of others are shown, and never obeyed."""

import csv
import io
import json
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from hebbevo.cli import results
from hebbevo.report import tables, write

TEXTS = [
    "[conv,relu]",
    "[/relu]",
    "[bold]x",
    ":warning:",
    "\x1b]0;title\x07\x1b[2J",
    "\x9b31mred",
    "over\rwritten",
    "two\nlines",
    "\u202egnirts",
    "nul\x00",
    "\u2028separator",
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "+1+1",
    "-2+3",
    "\t=1",
    "Größe 数",
]


def with_text(study, text):
    """A study in which everything that a user writes is ``text``."""
    frame = study.record.frame.assign(
        failure=text,
        **{f"genome.{text}": text, f"genome.a{text}": np.linspace(0, 1, len(study.record.frame))},
    )
    genome = {text: {"choices": [text]}, f"a{text}": {"low": 0, "high": 1}}
    name = {"name": text, "dataset": text, "store": Path("studies") / text.replace("\0", "")}
    return study.but(frame=frame, genome=genome, **name)


def obeyed(output: str) -> set[str]:
    """The characters of an output that a terminal or a browser would obey."""
    return {each for each in output if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}


def printed(study) -> str:
    console = Console(file=io.StringIO(), width=10_000, markup=False, emoji=False)
    results.print_table(study, console)
    results.print_csv(study, console)
    results.print_json(study, console)
    return console.file.getvalue()


@pytest.mark.parametrize("text", TEXTS)
def test_the_terminal_shows_texts_of_the_user_in_full_and_obeys_none(small, text):
    output = printed(with_text(small, text))
    assert not obeyed(output)
    if text.isprintable():
        table = output.partition("{")[0].partition("trial,")[0]
        assert table.splitlines()[0].split("of all")[1].split()[0] == text.split()[0]
        assert table.count(text) > 1


def test_the_page_and_its_tables_hold_no_character_that_is_obeyed(small, tmp_path):
    write(with_text(small, "".join(TEXTS)), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    ours = page.partition("<script>")[0] + page.partition("<body>")[2]
    assert not obeyed(ours)
    for name in ("front.csv", "trials.csv"):
        assert not obeyed((tmp_path / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", TEXTS)
def test_no_cell_of_a_table_is_a_formula(text):
    frame = pd.DataFrame({text: [text, None], "number": [-1.5, 2.0], "text": ["-1.5", "plain"]})
    header, *rows = csv.reader(io.StringIO(tables.csv(frame)))
    assert header[0][0] not in "=+-@\t\r"
    assert all(row[0][:1] not in ("=", "+", "-", "@", "\t", "\r") for row in rows)
    assert [row[1] for row in rows] == ["-1.5", "2.0"] and rows[0][2] == "-1.5"


def test_numbers_and_plain_texts_are_written_as_pandas_writes_them(small):
    for frame in (small.front(), small.trials()):
        assert tables.csv(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_json_holds_the_texts_themselves(small):
    console = Console(file=io.StringIO(), markup=False)
    results.print_json(with_text(small, "\x1b[2J"), console)
    assert all(each["genome"]["\x1b[2J"] == "\x1b[2J" for each in json.loads(console.file.getvalue()))


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "±"), ("latin-1", "±"), ("ascii", "+-")])
def test_the_sign_before_a_standard_deviation_is_one_that_the_output_has(small, encoding, sign):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    results.print_table(small, Console(file=file, width=10_000, markup=False))
    file.seek(0)
    assert f" {sign} " in file.read()


@pytest.mark.parametrize(
    ("survivors", "shown"),
    [(112233.0, "112233"), (10_000.5, "10000.5"), (9.25, "9.2"), (3_000_000.0, "3000000")],
)
def test_survivors_are_counts_and_never_powers_of_ten(small, survivors, shown):
    frame = small.record.frame.assign(survivors=survivors, neurons=4_000_000)
    output = printed(small.but(frame=frame)).partition("trial,")[0]
    assert {line.split()[5] for line in output.splitlines()[1:]} == {shown}
