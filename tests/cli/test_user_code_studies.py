"""A network, data, loss and score of the user, from the space file to the report."""

import contextlib
import io
import itertools
import json
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.cli import commands
from hebbevo.errors import SpaceError, StudyError, UsageError
from hebbevo.report import write
from hebbevo.spec import read
from hebbevo.study.ledger import Ledger
from tests.study.conftest import without_checksums

CODE = """\
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hebbevo.nn import HebbMask, Stamina


def build(width, input_shape, num_classes, kind="plain"):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(input_shape[0], width),
        Stamina(width, warmup=4, prune_period=2),
        HebbMask(nn.Linear(width, 8), ["weight"]),
        nn.Tanh() if kind == "tanh" else nn.ReLU(),
        nn.Linear(8, num_classes),
    )


def dropping(rate):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(rate), nn.Linear(8, 3))


def load():
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    return rng.normal(size=(3, 6))[y] * 1.5 + rng.normal(size=(240, 6)), y


def smooth(outputs, labels):
    return F.cross_entropy(outputs, labels, label_smoothing=0.1)


def balanced(outputs, labels):
    hits = outputs.argmax(-1) == labels
    return torch.stack([hits[labels == label].double().mean() for label in labels.unique()]).mean()


BACKBONE = nn.Sequential(nn.Linear(6, 8), nn.ReLU())


def sharing():
    return nn.Sequential(BACKBONE, nn.Linear(8, 3))


def noisy(rate):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

        def forward(self, x):
            if rate > 0.8:
                raise SystemExit(3)
            print("a line")
            sys.stdin.read()
            return self.layers(x)

    print("another")
    return Net()


def mistaken(outputs, labels):
    return undefined(outputs)


def nothing():
    return None


def shapeless():
    return nn.Linear(6, 3)


def narrow():
    return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))


def positional(width, /):
    return build(width, (6,), 3)
"""
SPACE = """\
version: 1
name: own
task:    {dataset: "CODE:load", epochs: 2, batch_size: 32}
network: {module: "CODE:build", settings: {settle: 0.2}}
search:  {sampler: ga, population: 6, trials: 12, seed: 1}
genome:
  width: {type: int, low: 6, high: 12, step: 3}
  kind:  {choices: [plain, tanh]}
  unactivation_penalty: {low: 1e-2, high: 100, log: true}
  3.prune_threshold: {low: -0.5, high: 0.5}
  learning_rate: {low: 3e-3, high: 3e-2, log: true}
"""
NUMBERS = itertools.count()


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new module in the working directory."""
    name = f"own_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def space(tmp_path: Path, code: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(SPACE.replace("CODE", code))
    return path


def error_line(call, *args, **kwargs) -> str:
    with pytest.raises(UsageError) as caught:
        call(*args, **kwargs)
    (line,) = str(caught.value).splitlines()
    return line


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


def allow(code: list[str]) -> bool:
    return True


def test_a_network_of_the_user_is_searched_killed_resumed_and_reported(space: Path, code: str) -> None:
    class Stop(Exception):
        pass

    def stop(progress: hebbevo.Progress) -> None:
        if progress.trials >= 7:
            raise Stop

    straight = hebbevo.search(space, study="straight.db")
    trials = straight.trials()
    assert (trials.state == "complete").all()
    assert trials.accuracy.max() > straight.chance + 0.2
    assert (trials.survivors < trials.neurons).any()
    assert straight.neurons == 12 + 8
    assert (trials.neurons == trials["genome.width"] + 8).all()
    with pytest.raises(Stop):
        hebbevo.search(space, study="killed.db", watch=stop)
    pd.testing.assert_frame_equal(
        table(hebbevo.resume("killed.db", allow_code=allow)), table(straight), check_exact=True
    )
    page, *_ = write(straight, Path("report"))
    assert f"{code}:build (settle 0.2)" in page.read_text()


def test_a_study_imports_nothing_unless_it_is_allowed_to(space: Path, code: str) -> None:
    hebbevo.search(space, study="s.db", trials=6)
    asked = []
    sys.modules.pop(code)

    def refuse(names: list[str]) -> bool:
        asked.append(names)
        return False

    for refusing in ({}, {"allow_code": refuse}):
        line = error_line(hebbevo.resume, "s.db", trials=12, **refusing)
        names = f"{code}:build, {code}:load"
        advice = "if you trust the study, add --allow-code, or in Python allow_code=True"
        assert line == f"s.db: runs your own code ({names}); {advice}"
    assert asked == [[f"{code}:build", f"{code}:load"]]
    study = hebbevo.open_study("s.db")
    write(study, Path("report"))
    assert len(study.trials()) == 6
    assert code not in sys.modules


@pytest.mark.parametrize(("answer", "exit_code"), [(True, 0), (False, 2)])
def test_on_a_terminal_resume_asks_before_it_imports(
    space: Path, code: str, answer: bool, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebbevo.search(space, study="s.db", trials=6)
    asked = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", confirm)
    monkeypatch.setattr(sys, "argv", ["hebbevo", "resume", "s.db", "--trials", "7", "--quiet"])
    with pytest.raises(SystemExit) as left:
        commands.main()
    assert left.value.code == exit_code or (left.value.code is None and exit_code == 0)
    assert asked == [f"s.db runs your own code: {code}:build, {code}:load. Import it?"]
    assert len(hebbevo.open_study("s.db").trials()) == (7 if answer else 6)


def test_a_notice_about_changed_code_comes_before_the_study_continues(space: Path, code: str) -> None:
    hebbevo.search(space, study="s.db", trials=6)
    Path(f"{code}.py").write_text(CODE + "\n# changed\n")
    seen: list[hebbevo.Progress] = []
    hebbevo.resume("s.db", trials=7, watch=seen.append, allow_code=allow)
    assert seen[0].notice == (
        f"the code of {code}:build, {code}:load has changed since the study began; results may not compare"
    )


def test_the_number_of_workers_changes_nothing(space: Path) -> None:
    one, two = (table(hebbevo.search(space, study=f"{n}.db", workers=n)) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_loss_and_a_score_of_the_user_replace_cross_entropy_and_accuracy(space: Path, code: str) -> None:
    plain = hebbevo.search(space, study="plain.db", trials=6).trials()
    text = space.read_text().replace("epochs: 2", f"epochs: 2, loss: '{code}:smooth'")
    space.write_text(text)
    smoothed = hebbevo.search(space, study="smooth.db", trials=6).trials()
    space.write_text(text.replace("epochs: 2", f"epochs: 2, score: '{code}:balanced'"))
    study = hebbevo.search(space, study="balanced.db", trials=6)
    balanced = study.trials()
    assert not plain.accuracy.equals(smoothed.accuracy)
    assert not smoothed.accuracy.equals(balanced.accuracy)
    assert balanced.accuracy.equals(balanced.accuracy.clip(0, 1))
    assert study.chance == pytest.approx(1 / 3)
    assert smoothed.survivors.equals(balanced.survivors)  # the score has no part in the training
    page, *_ = write(study, Path("report"))
    assert f"means the score by {code}:balanced" in page.read_text()


def test_if_hardly_two_networks_are_alike_they_train_one_by_one_and_one_notice_says_so(
    space: Path, code: str
) -> None:
    space.write_text(
        f"version: 1\nname: drop\ntask: {{dataset: '{code}:load', epochs: 1, batch_size: 32}}\n"
        f"network: {{module: '{code}:dropping'}}\nsearch: {{sampler: ga, population: 4, trials: 8}}\n"
        "genome:\n  rate: {low: 0.0, high: 0.9}\n"
    )
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study="drop.db", watch=seen.append)
    assert [progress.notice for progress in seen if progress.notice] == [
        "the networks train one by one: hardly two have the same structure (they differ in 2.p)"
    ]
    with Ledger.open(study.path) as ledger:
        assert ledger.facts.cohort_width == 1
    assert (study.trials().state == "complete").all()
    # dropout draws from the net's own seed, in any process
    again = hebbevo.search(space, study="again.db", workers=2)
    pd.testing.assert_frame_equal(table(study), table(again), check_exact=True)


def simple(code: str, function: str, genome: str = "learning_rate: {low: 3e-3, high: 3e-2}") -> str:
    return (
        f"version: 1\nname: simple\ntask: {{dataset: '{code}:load', epochs: 1, batch_size: 32}}\n"
        f"network: {{module: '{code}:{function}'}}\nsearch: {{sampler: ga, population: 4, trials: 8}}\n"
        f"genome:\n  {genome}\n"
    )


def test_modules_that_a_builder_shares_between_calls_do_not_keep_what_a_trial_has_trained(
    space: Path, code: str
) -> None:
    space.write_text(simple(code, "sharing"))
    one, two = (table(hebbevo.search(space, study=f"{n}.db", workers=n)) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert one.notes.isna().all()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_network_that_prints_reads_and_exits_does_not_stop_the_search(
    space: Path, code: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    space.write_text(simple(code, "noisy", "rate: {low: 0.0, high: 1.0}"))
    text = space.read_text().replace("rate: {low: 0.0, high: 1.0}", "rate: {choices: [0.1, 0.9, 0.2]}")
    space.write_text(text)
    trials = hebbevo.search(space, study="s.db", workers=workers).trials()
    failed = trials["genome.rate"] == 0.9
    assert failed.any() and not failed.all()
    assert (trials.state == failed.map({True: "failed", False: "complete"})).all()
    assert set(trials.failure.dropna()) == {"SystemExit: 3"}


def test_the_error_of_a_loss_is_reported_with_its_place(space: Path, code: str) -> None:
    space.write_text(simple(code, "sharing").replace("epochs: 1", f"epochs: 1, loss: '{code}:mistaken'"))
    line = error_line(hebbevo.search, space, study="s.db")
    assert line.startswith(f"{code}:mistaken: raised NameError: name 'undefined' is not defined (")
    assert f"{code}.py:" in line


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("width:", "widht:", "PATH:7: genome.widht: 'widht' is not an argument of CODE:build or a"),
        ("kind:  {", "kind:  {repeat: 2, ", "PATH:8: genome.kind.repeat: kind is not set per layer; drop"),
        ("settle: 0.2", "settle: 2.0", "PATH:4: network.settings.settle: 2.0 is outside its range"),
        ("settle: 0.2", "setle: 0.2", "PATH:4: network.settings.setle: 'setle' is not an argument of"),
        ("CODE:build", "CODE:buidl", "PATH:4: network.module: CODE:buidl: there is no buidl in "),
        ("CODE:build", "nowhere:build", "PATH:4: network.module: nowhere:build: no module named nowhere"),
        ("CODE:build", "CODE.build", "PATH:4: network.module: 'CODE.build' does not name code; write p"),
        ('"CODE:build"', "7", "PATH:4: network.module: 7 does not name code; write package.module:name"),
        ("CODE:load", "CODE:laod", "PATH:3: task.dataset: CODE:laod: there is no laod in "),
        ("epochs: 2", "epochs: 2, loss: nope", "PATH:3: task.loss: 'nope' does not name code; write"),
        ("epochs: 2", "epochs: 2, score: 'CODE:f2'", "PATH:3: task.score: CODE:f2: there is no f2 in "),
        ("settings:", "hidden: [4], settings:", "PATH:4: network.hidden: is for hebbevo's own families"),
        ("settings:", "units: dense, settings:", "PATH:4: network.units: is for hebbevo's own families"),
    ],
)  # fmt: skip
def test_a_bad_space_file_is_an_error_of_one_line_with_its_place(
    space: Path, code: str, old: str, new: str, line: str
) -> None:
    text = space.read_text()
    old, new, line = (each.replace("CODE", code).replace("PATH", str(space)) for each in (old, new, line))
    assert old in text
    space.write_text(text.replace(old, new, 1))
    with pytest.raises(SpaceError) as caught:
        read(space)
    message = str(caught.value)
    assert message.startswith(line)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("prune_threshold", "hebbian_threshold", "genome.3.hebbian_threshold: neither CODE:build"),
        ("  width: {type: int, low: 6, high: 12, step: 3}\n", "", "CODE:build: wants width, which no"),
    ],
)  # fmt: skip
def test_an_error_found_when_a_network_is_built_is_one_line_and_leaves_no_study(
    space: Path, code: str, old: str, new: str, line: str
) -> None:
    old, new, line = (each.replace("CODE", code) for each in (old, new, line))
    text = space.read_text()
    assert old in text
    space.write_text(text.replace(old, new, 1))
    assert error_line(hebbevo.search, space, study="s.db").startswith(line)
    assert not Path("s.db").exists()


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("nothing", "CODE:nothing: gave NoneType; return an nn.Module"),
        ("shapeless", "CODE:shapeless: has no neurons to count: no linear layer or convolution whose o"),
        ("narrow", "CODE:narrow: a network of it cannot be trained on rows of shape (6,): RuntimeError"),
        ("positional", "CODE:positional: raised TypeError: positional() missing 1 required"),
    ],
)  # fmt: skip
def test_a_function_that_builds_no_network_for_these_data_is_an_error_of_one_line(
    space: Path, code: str, function: str, line: str
) -> None:
    space.write_text(
        f"version: 1\nname: bad\ntask: {{dataset: '{code}:load', epochs: 1, batch_size: 32}}\n"
        f"network: {{module: '{code}:{function}'}}\ngenome:\n  learning_rate: {{low: 3e-3, high: 3e-2}}\n"
    )
    assert error_line(hebbevo.search, space, study="s.db").startswith(line.replace("CODE", code))
    assert not Path("s.db").exists()


def test_a_study_of_an_earlier_hebbevo_is_shown_but_not_continued(space: Path) -> None:
    hebbevo.search(space, study="s.db", trials=6)
    with contextlib.closing(sqlite3.connect("s.db")) as connection, connection:
        key, facts = connection.execute(
            "SELECT key, value_json FROM study_user_attributes WHERE key = 'hebbevo:facts'"
        ).fetchone()
        earlier = {name: json.loads(facts)[name] for name in ("versions", "neurons", "chance")}
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = ?", (json.dumps(earlier), key)
        )
    connection.close()
    without_checksums(Path("s.db"))
    assert len(hebbevo.open_study("s.db").trials()) == 6
    assert "was begun by an earlier hebbevo" in error_line(hebbevo.resume, "s.db", trials=7, allow_code=allow)


def test_a_study_of_other_data_shapes_is_not_continued(space: Path, code: str) -> None:
    hebbevo.search(space, study="s.db", trials=6)
    Path(f"{code}.py").write_text(
        CODE.replace("size=(240, 6)), y", "size=(240, 6))).reshape(240, 2, 3), y").replace(
            "return rng.normal(size=(3, 6))[y]", "return (rng.normal(size=(3, 6))[y]"
        )
    )
    sys.modules.pop(code)
    with pytest.raises(StudyError, match="has changed since the study began"):
        hebbevo.resume("s.db", trials=8, allow_code=allow)
