"""What a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd


class Study(Protocol):
    """What the report asks of a study; ``hebbevo.Study`` is one."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def path(self) -> Path:
        """The study file."""

    @property
    def settings(self) -> dict[str, Any]:
        """The space file in force: ``name``, ``task``, ``network``, ``search``, ``genome``."""

    @property
    def versions(self) -> dict[str, str]:
        """Library to version, as recorded."""

    @property
    def neurons(self) -> int:
        """Hidden neurons in all."""

    @property
    def chance(self) -> float:
        """Accuracy, 0 to 1, of always answering the most frequent class."""

    def trials(self) -> pd.DataFrame:
        """One row a trial in order; scores are NaN unless complete, one ``genome.<gene>`` column a gene."""

    def front(self) -> pd.DataFrame:
        """The trials on the front, by survivors ascending."""


@dataclass(frozen=True)
class Snapshot:
    """A study read once, so that a page made while the search runs agrees with itself."""

    name: str
    path: Path
    settings: dict[str, Any]
    versions: dict[str, str]
    neurons: int
    chance: float
    all_trials: pd.DataFrame
    best_trials: pd.DataFrame

    def trials(self) -> pd.DataFrame:
        """One row a trial in order."""
        return self.all_trials

    def front(self) -> pd.DataFrame:
        """The trials on the front, by survivors ascending."""
        return self.best_trials


def snapshot(study: Study) -> Snapshot:
    """Read ``study`` once."""
    return Snapshot(
        study.name,
        study.path,
        study.settings,
        study.versions,
        study.neurons,
        study.chance,
        study.trials(),
        study.front(),
    )


def complete(study: Study) -> pd.DataFrame:
    """The trials that ended with a score, in order."""
    trials = study.trials()
    return trials[trials["state"] == "complete"]


def genes(study: Study) -> list[str]:
    """The names of the genes, as the space file orders them."""
    return list(study.settings["genome"])


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``frame``, column to value."""
    return [{str(column): value for column, value in row.items()} for row in frame.to_dict("records")]
