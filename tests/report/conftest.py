"""Studies whose trials are made up by formulas, and readers of the page."""

import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.space import ChoiceGene, FloatGene, Space
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Request, Role, Training
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Generation, Record, Result
from hebbevo.study.storage import StudyFile
from hebbevo.study.view import Study
from hebbevo.training.trial_details import EarlyStop, TrialDetails

EPOCHS = 20
SCORES = ["accuracy", "accuracy_sd", "survivors", "survivors_sd"]
GENOME = {
    "unactivation_penalty": {"low": 1e-2, "high": 100, "log": True},
    "penalty_form": {"choices": ["mean", "ratio", "zero_sum", "constant"]},
    "hebbian_threshold": {"low": -1.0, "high": 1.0},
    "regrowth_rate": {"low": 0.0, "high": 0.1},
    "handover": {"choices": [True, False]},
    "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
}
HALVED = FailedAttempt((0, 1), FailureKind.CRASH, "its worker was lost", "w", 1.0, Recovery.IN_HALVES)


@dataclass(frozen=True)
class MadeUpRecord:
    """The record of a study as `Study` reads it, in the place of a ledger.

    ``frame`` has a row per trial, with the columns of `Study.trials`. ``earlier_states`` are states of trials
    before the end of their training, as (trial, epoch, accuracy, survivors). ``settings`` are settings that
    differ from those below, by section of the space file. ``decoding`` has, by trial, what readouts of each
    layer reach, with learned and with random weights. ``angles`` are those of the layers of every trial after
    each epoch.
    """

    frame: pd.DataFrame
    genome: dict = field(default_factory=lambda: GENOME)
    goal: Goal = field(default_factory=Goal)
    alone: str = ""
    earlier_states: tuple = ()
    settings: dict = field(default_factory=dict)
    name: str = "stamina"
    dataset: str = "digits"
    store: StudyFile = field(default_factory=lambda: StudyFile(Path("studies/stamina.db")))
    chance: float = 0.1
    versions: dict = field(default_factory=lambda: {"hebbevo": "0.1.0", "torch": "2.13.0"})
    rows: dict = field(default_factory=dict)
    confirmed: tuple = ()
    wall_seconds: float | None = None
    decoding: dict = field(default_factory=dict)
    angles: tuple = ()

    @property
    def facts(self):
        return StudyFacts(
            versions=self.versions, neurons=256, chance=self.chance, alone=self.alone, rows=self.rows
        )

    def confirmations(self):
        return list(self.confirmed)

    @property
    def spec(self):
        return SimpleNamespace(
            name=self.name,
            goal=self.goal,
            count="neurons",
            space=space_of(self.genome),
            task=SimpleNamespace(epochs=EPOCHS, score_title="accuracy", in_percent=True),
            search=SimpleNamespace(trials=500),
            to_json=self.all_settings,
        )

    def all_settings(self):
        sections = {
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
        }
        changed = {name: section | self.settings.get(name, {}) for name, section in sections.items()}
        return {"version": 1, "name": self.name, **changed, "genome": self.genome}

    def generations(self):
        records = [self.record_of(row) for row in self.frame.to_dict("records")]
        numbers = self.frame["generation"].tolist()
        return [
            Generation(
                number,
                500,
                0.0,
                tuple(record for record, own in zip(records, numbers, strict=True) if own == number),
            )
            for number in sorted(set(numbers))
        ]

    def record_of(self, row):
        values = {gene: row[f"genome.{gene}"] for gene in self.genome}
        genome = {gene: value for gene, value in values.items() if isinstance(value, list) or pd.notna(value)}
        attempts = () if row["repeatable"] else (HALVED,)
        return Record(row["trial"], genome, self.result_of(row), attempts)

    def result_of(self, row):
        state = row["state"]
        if state == "running":
            return None
        copy_of = None if pd.isna(row["copy_of"]) else row["copy_of"]
        common = {"seconds": row["seconds"], "neurons": row["neurons"], "copy_of": copy_of}
        if state == "failed":
            return Result(row["trial"], None, TrialDetails(failure=row["failure"], **common))
        states = [state[1:] for state in self.earlier_states if state[0] == row["trial"]]
        values = (row["accuracy"], row["survivors"]) if state == "complete" else None
        accuracy, survivors = per_epoch(states if values is None else [*states, (EPOCHS, *values)])
        details = TrialDetails(
            **common,
            **{name: None if np.isnan(row[name]) else row[name] for name in ("accuracy_sd", "survivors_sd")},
            collapsed=row["collapsed"],
            notes=() if pd.isna(row["notes"]) else (row["notes"],),
            accuracy_per_epoch=accuracy,
            survivors_per_epoch=survivors,
            angles_per_epoch=self.angles,
            stopped=None if values else EarlyStop(len(accuracy), None, "stopped early"),
            **dict(
                zip(
                    ("decoding_per_layer", "random_decoding_per_layer"),
                    self.decoding.get(row["trial"], ((), ())),
                    strict=True,
                )
            ),
        )
        return Result(row["trial"], values, details)


def space_of(genome):
    """The space of a made-up genome; genes of one layer, as ``rate.1``, stand there by themselves."""
    return Space(
        tuple(
            ChoiceGene(name, tuple(gene["choices"]))
            if "choices" in gene
            else FloatGene(name, gene["low"], gene["high"], gene.get("log", False))
            for name, gene in genome.items()
        )
    )


def per_epoch(states):
    """Accuracy and survivors of each epoch, given (epoch, accuracy, survivors) whenever survivors change."""
    accuracies, survivors = [], []
    for epoch, accuracy, count in states:
        new = epoch - len(accuracies)
        accuracies += new * [accuracy]
        survivors += new * [count]
    return accuracies, survivors


class MadeUpStudy(Study):
    """A study read from a made-up record."""

    def __init__(self, record):
        super().__init__(record)
        self.record = record
        self.store = StudyFile(record.store)

    def but(self, **changes):
        """The same study with other values in its record."""
        return type(self)(replace(self.record, **changes))


def made_up_trials(count=500, failed=5, collapsed=8, replicates=3, seed=0):
    """Random genomes, scored by a formula: the higher the penalty, the fewer neurons survive."""
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


def lives(survivors, epochs, widths=(128, 128)):
    """Neurons of two layers that die evenly until the last epoch; the first of those is back for an epoch."""
    alive = np.ones((epochs, sum(widths)), bool)
    for start, width, left in zip((0, widths[0]), widths, survivors, strict=True):
        last = np.sort(np.linspace(0, epochs - 1, width - min(left, width)).astype(int))
        alive[:, start + width - len(last) : start + width] = np.arange(epochs)[:, None] < last
    alive[epochs // 2, widths[0] - 1] = epochs > 2
    return AliveUnits.of(widths, [np.packbits(each).tobytes() for each in alive])


def confirmed(study, replicates=5, has_test=True, is_complete=True, gain=0.01, seed=1, **changes):
    """The study with a confirmation: members are worse than they were found, and controls ``gain`` worse."""
    random = np.random.default_rng(seed)
    front = study.front()
    members = tuple(
        Member(
            trial=int(row["trial"]),
            epoch=int(row["epoch"]),
            accuracy=row["accuracy"],
            survivors=row["survivors"],
            neurons=int(row["neurons"]),
        )
        for row in front.to_dict("records")
    )
    trainings = []
    for member in members:
        for replicate in range(replicates):
            mistakes = min((1 - member.accuracy) * random.uniform(1.1, 1.5) + 0.004, 0.88)
            survivors = max(1, round(member.survivors * random.uniform(0.9, 1.1)))
            widths = (survivors - survivors // 2, survivors // 2)
            for role, number, worse in (
                (Role.MEMBER, 0, 0.0),
                (Role.LONGER, 0, gain / 2),
                *((Role.DENSE, number, gain) for number in range(4)),
            ):
                reached = np.clip(1 - mistakes - worse + random.normal(0, 0.003), 0.0, 1.0)
                trainings.append(
                    Training(
                        role=role,
                        trial=member.trial,
                        replicate=replicate,
                        number=number,
                        widths=widths,
                        epochs=member.epoch * (2 if role is Role.LONGER else 1),
                        accuracy=reached,
                        halves=(reached, reached),
                        test=reached - 0.002 if has_test else None,
                        survivors=survivors,
                        multiply_adds=4e6 if role is Role.MEMBER else 1e6,
                        seconds=0.5,
                        alive=lives(widths, member.epoch) if role is Role.MEMBER else None,
                    )
                )
    request = Request(
        members=members,
        replicates=replicates,
        has_test=has_test,
        trials=int((study.trials()["state"] != "running").sum()),
        date="2026-01-31 12:00:00 UTC",
    )
    record = ConfirmationRecord(0, request, dict(enumerate(trainings)), is_complete)
    return study.but(confirmed=(record,), rows={"train": 1259, "validation": 269, "test": 269}, **changes)


@pytest.fixture(scope="session")
def study():
    return MadeUpStudy(MadeUpRecord(made_up_trials()))


@pytest.fixture(scope="session")
def small():
    """Few trials, for tests that do not look at the charts."""
    return MadeUpStudy(MadeUpRecord(made_up_trials(count=12, failed=2, collapsed=1)))


@pytest.fixture(scope="session")
def empty(small):
    return small.but(frame=small.record.frame.iloc[:0])


@pytest.fixture(scope="session")
def all_failed(small):
    return small.but(frame=failed_at(small.record.frame, small.record.frame.index, "diverged"))


@pytest.fixture
def with_earlier_states(small):
    """Two trials; the second one has a point on the front 14 epochs before its end."""
    frame = small.record.frame.iloc[:2].assign(
        state="complete",
        accuracy=[0.98, 0.5],
        survivors=[200.0, 60.0],
        **{"genome.unactivation_penalty": [0.5, 4.0]},
    )
    states = ((1, 2, 0.6, 256.0), (1, 6, 0.975, 128.0))
    return small.but(frame=frame, chance=0.0, earlier_states=states)


class Document(HTMLParser):
    """The elements of a page, and its text without scripts and styles. Checks that tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "wbr"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def charts(html):
    """The figures of a page or of a section, by their names, as Plotly gets them."""
    found = re.findall(r'<div class="chart" id="([^"]*)"[^>]*><script[^>]*>(.*?)</script>', html, re.DOTALL)
    return {name: json.loads(figure) for name, figure in found}


def png_size(content):
    """Width and height of a PNG file in pixels."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
