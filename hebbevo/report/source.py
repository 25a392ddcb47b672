"""What a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from hebbevo.goal import Goal


class Study(Protocol):
    """What the report asks of a study; ``hebbevo.Study`` is one."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def store(self) -> object:
        """Where the study lives, as text."""

    @property
    def settings(self) -> dict[str, Any]:
        """The space file in force: ``name``, ``task``, ``network``, ``search``, ``genome``."""

    @property
    def goal(self) -> Goal:
        """Objectives and constraints."""

    @property
    def versions(self) -> dict[str, str]:
        """Library to version, as recorded."""

    @property
    def count(self) -> str:
        """What survivors are: neurons or connections."""

    @property
    def alone(self) -> str:
        """Why its networks train one by one; empty where they are stacked."""

    @property
    def neurons(self) -> int:
        """Hidden neurons of the largest network."""

    @property
    def chance(self) -> float:
        """Accuracy, 0 to 1, of always answering the most frequent class."""

    def trials(self) -> pd.DataFrame:
        """One row a trial in order; scores are NaN unless complete, one ``genome.<gene>`` column a gene."""

    def front(self) -> pd.DataFrame:
        """The trials on the front, by survivors ascending."""

    def best(self) -> pd.Series[Any] | None:
        """The best trial by a single objective."""

    def nearest(self) -> pd.Series[Any] | None:
        """The trial that misses the constraints by least, where none meets them."""


@dataclass(frozen=True)
class Snapshot:
    """A study read once, so that a page made while the search runs agrees with itself."""

    name: str
    store: object
    settings: dict[str, Any]
    goal: Goal
    versions: dict[str, str]
    count: str
    alone: str
    neurons: int
    chance: float
    all_trials: pd.DataFrame
    best_trials: pd.DataFrame
    best_trial: pd.Series[Any] | None
    nearest_trial: pd.Series[Any] | None

    def trials(self) -> pd.DataFrame:
        """One row a trial in order."""
        return self.all_trials

    def front(self) -> pd.DataFrame:
        """The trials on the front, by survivors ascending."""
        return self.best_trials

    def best(self) -> pd.Series[Any] | None:
        """The best trial by a single objective."""
        return self.best_trial

    def nearest(self) -> pd.Series[Any] | None:
        """The trial that misses the constraints by least, where none meets them."""
        return self.nearest_trial


def snapshot(study: Study) -> Snapshot:
    """Read ``study`` once."""
    return Snapshot(
        study.name,
        study.store,
        study.settings,
        study.goal,
        study.versions,
        study.count,
        study.alone,
        study.neurons,
        study.chance,
        study.trials(),
        study.front(),
        study.best(),
        study.nearest(),
    )


def complete(study: Study) -> pd.DataFrame:
    """The trials that ended with a score, in order."""
    trials = study.trials()
    return trials[trials["state"] == "complete"]


def feasible(study: Study) -> pd.DataFrame:
    """The trials that ended with a score and meet the constraints, in order."""
    trials = study.trials()
    return trials[trials["feasible"]]


def genes(study: Study) -> list[str]:
    """The names of the genes, as the space file orders them, repeated ones layer by layer."""
    columns = study.trials().columns
    names = [name.removeprefix("genome.") for name in columns if name.startswith("genome.")]
    return [name for name in names if written(study, name)]


def written(study: Study, gene: str) -> dict[str, Any]:
    """What the space file says of a gene, or of the gene that it repeats."""
    genome = study.settings["genome"]
    found: dict[str, Any] = genome.get(gene) or genome.get(gene.rpartition(".")[0], {})
    return found


def sizes_differ(study: Study) -> bool:
    """Whether networks begin with different numbers of neurons."""
    return bool((study.trials()["neurons"] < study.neurons).any())


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``frame``, column to value."""
    return [{str(column): value for column, value in row.items()} for row in frame.to_dict("records")]
