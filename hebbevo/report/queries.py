"""What a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hebbevo.objectives.goal import Goal


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

    def points(self) -> pd.DataFrame:
        """One row a state of a training that counts, by trial and epoch."""

    def front(self) -> pd.DataFrame:
        """The points on the front, by survivors ascending, with their trials' genomes."""

    def best(self) -> pd.Series[Any] | None:
        """The best point by a single objective."""

    def nearest(self) -> pd.Series[Any] | None:
        """The point that misses the constraints by least, where none meets them."""


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
    all_points: pd.DataFrame
    best_points: pd.DataFrame
    best_point: pd.Series[Any] | None
    nearest_point: pd.Series[Any] | None

    def trials(self) -> pd.DataFrame:
        """One row a trial in order."""
        return self.all_trials

    def points(self) -> pd.DataFrame:
        """One row a state of a training that counts, by trial and epoch."""
        return self.all_points

    def front(self) -> pd.DataFrame:
        """The points on the front, by survivors ascending, with their trials' genomes."""
        return self.best_points

    def best(self) -> pd.Series[Any] | None:
        """The best point by a single objective."""
        return self.best_point

    def nearest(self) -> pd.Series[Any] | None:
        """The point that misses the constraints by least, where none meets them."""
        return self.nearest_point


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
        study.points(),
        study.front(),
        study.best(),
        study.nearest(),
    )


def complete(study: Study) -> pd.DataFrame:
    """The trials that ended with a score, in order, with the ``epoch`` that they ended at."""
    trials = study.trials()
    return trials[trials["state"] == "complete"].assign(epoch=study.settings["task"]["epochs"])


def on_front(study: Study, points: pd.DataFrame) -> NDArray[np.bool_]:
    """Which of these points, by ``trial`` and ``epoch``, are on the front."""
    one, other = (pd.MultiIndex.from_frame(each[["trial", "epoch"]]) for each in (points, study.front()))
    found: NDArray[np.bool_] = one.isin(other)
    return found


def earlier(study: Study, points: pd.DataFrame) -> NDArray[np.bool_]:
    """Which of these points are states that a training has passed through."""
    early: NDArray[np.bool_] = points["epoch"].to_numpy() < study.settings["task"]["epochs"]
    return early


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
