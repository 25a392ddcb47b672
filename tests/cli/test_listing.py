"""The list of studies on consoles of several widths."""

import io
import math
from datetime import UTC, datetime

import pandas as pd
import pytest
from rich.console import Console

from hebbevo.cli.listing import print_table
from hebbevo.study.summary import State, Summary

STUDIES = [
    Summary(
        study="studies/mine.db",
        state=State.COMPLETE,
        trials=500,
        total=500,
        front=16,
        best_accuracy=0.985,
        survivors=26.5,
        hypervolume=0.96,
        last_result=datetime(2026, 3, 1, 14, 5, tzinfo=UTC),
    ),
    Summary(study="studies/bad.db", state=State.DAMAGED, remark="is damaged (row 7)"),
    Summary(study="studies/new.db", state=State.RUNNING, total=500, hypervolume=0.0, remark="me has it"),
]


def printed(width):
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False)
    table = pd.DataFrame([vars(each) for each in STUDIES])
    print_table(table.astype({"state": str, "last_result": "datetime64[us, UTC]"}), console)
    return console.file.getvalue().splitlines()


def test_a_wide_console_shows_everything():
    assert [" ".join(line.split()) for line in printed(200)] == [
        "study trials front best survivors hypervolume state confirmed last result (UTC)",
        "studies/mine.db 500/500 16 0.9850 26.5 0.9600 complete no 2026-03-01 14:05",
        "studies/bad.db - - - - - damaged - -",
        "studies/new.db 0/500 0 - - 0.0000 running no -",
        "damaged studies/bad.db: is damaged (row 7)",
        "running studies/new.db: me has it",
    ]


@pytest.mark.parametrize("width", [66, 80, 90])
def test_a_narrow_console_leaves_columns_out_and_never_a_name_or_a_state(width):
    lines = printed(width)
    assert lines[-1] == "more columns  --format csv"
    assert all(len(line) <= width for line in lines[:4])
    for line, study in zip(lines[1:4], STUDIES, strict=True):
        assert line.split()[0] == study.study and str(study.state) in line.split()
        assert math.isnan(study.best_accuracy) or "0.9850" in line
