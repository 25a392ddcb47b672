"""A study made up of formulas: what the report sees of a real one."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.objectives.pareto import front

EPOCHS = 20
POINT = ["trial", "epoch", "accuracy", "survivors"]
SCORES = ["accuracy", "accuracy_sd", "survivors", "survivors_sd"]
GENOME = {
    "unactivation_penalty": {"low": 1e-2, "high": 100, "log": True},
    "penalty_form": {"choices": ["mean", "ratio", "zero_sum", "constant"]},
    "hebbian_threshold": {"low": -1.0, "high": 1.0},
    "regrowth_rate": {"low": 0.0, "high": 0.1},
    "handover": {"choices": [True, False]},
    "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
}


@dataclass(frozen=True)
class FakeStudy:
    frame: pd.DataFrame
    genome: dict = field(default_factory=lambda: GENOME)
    goal: Goal = field(default_factory=Goal)
    count: str = "neurons"
    alone: str = ""
    passed: tuple = ()  # (trial, epoch, accuracy, survivors) of earlier epochs
    name: str = "stamina"
    dataset: str = "digits"
    store: Path = Path("studies/stamina.db")
    neurons: int = 256
    chance: float = 0.1
    versions: dict = field(default_factory=lambda: {"hebbevo": "0.1.0", "torch": "2.13.0"})

    @property
    def settings(self):
        return {
            "version": 1,
            "name": self.name,
            "task": {"dataset": self.dataset, "epochs": EPOCHS, "batch_size": 64, "target": None},
            "network": {
                "family": "mlp",
                "hidden": [128, 128],
                "units": "stamina",
                "connections": "full",
                "credit": "backprop",
                "settings": {"activity": "contribution"},
                "inputs": False,
            },
            "search": {
                "sampler": "ga",
                "population": 50,
                "trials": 500,
                "replicates": 3,
                "seed": 7,
                "settings": {},
            },
            "genome": self.genome,
        }

    def trials(self):
        return self.judged()

    def points(self):
        return self.states()

    def states(self):
        ends = self.frame.query("state == 'complete'").assign(epoch=EPOCHS)[POINT]
        frame = pd.DataFrame([*self.passed, *ends.itertuples(index=False)], columns=POINT)
        frame = frame.astype(dict(zip(POINT, [int, int, float, float], strict=True)))
        frame = frame.sort_values(["trial", "epoch"], ignore_index=True)
        met = np.array([self.goal.excess(point) <= 0 for point in self.values(frame)], dtype=bool)
        return frame.assign(feasible=met, finished=frame["epoch"] == EPOCHS)

    def front(self):
        feasible = self.states().query("feasible")
        return self.shown(feasible.iloc[front(self.values(feasible))])

    def best(self):
        feasible = self.states().query("feasible")
        if self.goal.dimension > 1 or feasible.empty:
            return None
        losses = [self.goal.losses(point) for point in self.values(feasible)]
        return self.shown(feasible.iloc[[np.argmin(losses)]]).iloc[0]

    def nearest(self):
        points = self.states()
        if points.empty or points["feasible"].any():
            return None
        excesses = [self.goal.excess(point) for point in self.values(points)]
        return self.shown(points.iloc[[np.argmin(excesses)]]).iloc[0]

    def values(self, frame):
        return frame[["accuracy", "survivors"]].to_numpy(dtype=float)

    def shown(self, points):
        genes = [f"genome.{gene}" for gene in self.genome]
        known = self.judged().drop(columns=["accuracy", "survivors", "feasible"])
        rows = points.merge(known, on="trial")
        rows.loc[~rows["finished"], ["accuracy_sd", "survivors_sd"]] = np.nan
        return rows[["trial", "epoch", *SCORES, "neurons", *genes]]

    def judged(self):
        met = np.array([self.goal.excess(point) <= 0 for point in self.values(self.frame)], dtype=bool)
        return self.frame.assign(feasible=(self.frame["state"] == "complete") & met)


def made_up_trials(count=500, failed=5, collapsed=8, replicates=3, seed=0):
    """Random genomes that close in on good ones, scored by a formula: the harsher, the fewer survive."""
    random = np.random.default_rng(seed)
    progress = np.linspace(0, 1, count)
    penalty = 10 ** random.uniform(-2, 2, count)
    learning_rate = 10 ** random.uniform(-3.5, -2, count)
    forms = random.choice(GENOME["penalty_form"]["choices"], count)
    ease = np.select([forms == "mean", forms == "ratio", forms == "zero_sum"], [1.0, 0.6, 2.0], 1.4)
    alive = 1 / (1 + (penalty / (0.9 * ease)) ** 1.3) * np.exp(0.25 * random.normal(size=count))
    survivors = np.clip(np.round(256 * alive), 4, 256)
    mistakes = (0.02 + 0.9 * np.exp(-((survivors / 5) ** 0.62))) * np.exp(
        np.abs(random.normal(size=count)) * (1.6 - 1.3 * progress) * 0.4
        + 0.6 * (np.log10(learning_rate) + 2.6) ** 2
    )
    accuracy = 1 - np.clip(mistakes, 0.015, 0.86)
    dead = random.choice(count, failed + collapsed, replace=False)
    broken, gone = dead[:failed], dead[failed:]
    accuracy[gone], survivors[gone] = 0.1, 0
    frame = pd.DataFrame(
        {
            "trial": range(count),
            "state": "complete",
            "accuracy": accuracy,
            "accuracy_sd": random.uniform(0.002, 0.02, count),
            "survivors": survivors,
            "survivors_sd": survivors * random.uniform(0.01, 0.12, count),
            "neurons": 256,
            "collapsed": np.isin(range(count), gone),
            "generation": np.arange(count) // 50,
            "seconds": random.uniform(0.1, 2, count),
            "copy_of": pd.array([pd.NA] * count, dtype="Int64"),
            "failure": None,
            "notes": None,
            "attempts": 1,
            "repeatable": True,
            "genome.unactivation_penalty": penalty,
            "genome.penalty_form": forms,
            "genome.hebbian_threshold": random.uniform(-1, 1, count),
            "genome.regrowth_rate": random.uniform(0, 0.1, count),
            "genome.handover": random.random(count) < 0.5,
            "genome.learning_rate": learning_rate,
        }
    )
    frame[["failure", "notes"]] = frame[["failure", "notes"]].astype(object)
    if replicates == 1:
        frame[["accuracy_sd", "survivors_sd"]] = np.nan
    return failed_at(frame, broken, "the loss became NaN in epoch 3")


def failed_at(frame, positions, reason):
    broken = frame.copy()
    broken.loc[positions, "state"] = "failed"
    broken.loc[positions, SCORES] = np.nan
    broken.loc[positions, "collapsed"] = False
    broken.loc[positions, "failure"] = reason
    return broken


@pytest.fixture(scope="session")
def study():
    return FakeStudy(made_up_trials())


@pytest.fixture(scope="session")
def small():
    """Few trials, for tests of words and not of looks."""
    return FakeStudy(made_up_trials(count=12, failed=2, collapsed=1))


@pytest.fixture(scope="session")
def empty(small):
    return replace(small, frame=small.frame.iloc[:0])


@pytest.fixture(scope="session")
def all_failed(small):
    return replace(small, frame=failed_at(small.frame, small.frame.index, "diverged"))
