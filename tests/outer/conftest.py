"""Studies as tables and details, the networks that are trained, and small cohorts."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.execution import worker_setup
from hebbevo.outer import preflight
from hebbevo.samplers import SAMPLERS, Genetic
from hebbevo.study.ledger import Ledger
from hebbevo.training.trial_details import TrialDetails


def table(path: Path) -> pd.DataFrame:
    return hebbevo.open_study(path).trials().drop(columns="seconds")


def details(path: Path) -> list[TrialDetails]:
    """The details of every trial, but for the seconds, which no two trainings share."""
    with Ledger.open(path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    return [replace(record.result.details, seconds=0.0) for record in records]


def assert_same_study(path: Path, other: Path) -> None:
    pd.testing.assert_frame_equal(table(path), table(other), check_exact=True)
    assert details(path) == details(other)


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts of two genomes, four of them in a generation."""
    monkeypatch.setattr(preflight, "WIDEST_COHORT", {"cpu": 5})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every training from now on, as (value of each gene, ..., replicate)."""
    real, seen = worker_setup.train, []

    def train(recipe, candidates, *rest):
        seen.extend((*candidate.genome.values(), candidate.replicate) for candidate in candidates)
        return real(recipe, candidates, *rest)

    monkeypatch.setattr(worker_setup, "train", train)
    return seen


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list:
    """The outcomes that samplers of the kind ``ga`` receive."""
    received = []

    class Recording(Genetic):
        def _tell(self, outcomes):
            received.extend(outcomes)
            super()._tell(outcomes)

    monkeypatch.setitem(SAMPLERS, "ga", Recording)
    return received


@pytest.fixture
def exhausted(space: Path) -> Path:
    """A space file with six genomes, one of which fails, and 24 trials."""
    head = space.read_text().split("genome:")[0]
    genes = "  penalty_form: {choices: [mean, ratio, zero_sum]}\n  learning_rate: {choices: [0.01, 1e30]}\n"
    space.write_text(f"{head}genome:\n{genes}")
    return space
