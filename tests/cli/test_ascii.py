"""Every command where standard output and standard error have no characters beyond ASCII."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from hebbevo.cli import commands
from hebbevo.cli.commands import cli as group
from hebbevo.rules import AXES
from hebbevo.spec import read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training.trial_details import TrialDetails

COMMANDS = [
    ["front", "größe"],
    ["front", "größe", "--format", "json"],
    ["front", "größe", "--format", "csv"],
    ["front", "nicht-größe"],
    ["window", "größe"],
    ["studies"],
    ["compare", "größe", "höhe"],
    ["copy", "größe", "zweite größe.db"],
    ["resume", "größe", "--trials", "0"],
    ["spaces"],
    ["check", "stamina"],
    ["--help"],
    *(["knobs", f"{axis}/{rule}"] for axis, rules in AXES.items() for rule in rules),
    *([name, "--help"] for name in group.commands),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studies whose names and fronts have characters beyond ASCII."""
    folder = tmp_path_factory.mktemp("ascii")
    spec = read("stamina")
    for name in ("größe", "höhe"):
        facts = StudyFacts(versions={}, neurons=256, chance=0.1)
        with Ledger.create(folder / "studies" / f"{name}.db", spec, facts) as ledger:
            genomes = spec.space.sample(4, np.random.default_rng(0))
            details = TrialDetails(accuracy_sd=0.01, survivors_sd=1.0, notes=("ä",))
            ledger.close_cohort(
                [
                    Result(record.number, (0.8, 10.0), details)
                    for record in ledger.open_generation(0, 4, 0.0, genomes)
                ]
            )
    return folder


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_prints_in_ascii(folder: Path, arguments: list[str], monkeypatch) -> None:
    monkeypatch.chdir(folder)
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "argv", ["hebbevo", *arguments])
    with pytest.raises(SystemExit) as caught:
        commands.main()
    printed = [stream.buffer.getvalue() for stream in streams.values() if stream.flush() is None]
    assert caught.value.code in (None, 0) or (caught.value.code == 2 and printed[1].count(b"\n") == 1)
    assert b"".join(printed).decode("ascii")
    if arguments == ["front", "größe"]:
        assert b" +- " in printed[0]
