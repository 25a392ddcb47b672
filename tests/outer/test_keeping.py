"""Searches that keep the weights of their front are the same searches, and keep the right networks."""

import multiprocessing
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.errors import StudyError
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage.weight_rows import NAME
from tests.outer.conftest import assert_same_study
from tests.outer.test_driver import GOALS, die_after_the_second_write
from tests.outer.test_halving import HALVED

EPOCHS = 8

pytestmark = pytest.mark.usefixtures("one_thread")


def kept(path: Path) -> list[tuple]:
    """Trial, epoch, replicate and weights of all kept networks."""
    with Ledger.open(path) as ledger:
        return [(each.trial, each.epoch, each.replicate, each.weights) for each in ledger.kept_networks()]


def members(study: hebbevo.Study) -> set[tuple[int, int]]:
    """Trial and epoch of the front, and of the best trial of one objective."""
    front, best = study.front(), study.best()
    found = set(zip(front.trial, front.epoch, strict=True))
    return found | (set() if best is None else {(best.trial, best.epoch)})


def forget(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DELETE FROM {NAME}")


@pytest.fixture(scope="module")
def studies(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, hebbevo.Study]:
    """The same search with kept weights and without."""
    from tests.conftest import SPACE

    folder = tmp_path_factory.mktemp("kept")
    (folder / "small.yaml").write_text(SPACE.format(data=blobs))
    return {
        keep: hebbevo.search(
            folder / "small.yaml", study=folder / f"{keep}.db", epochs=EPOCHS, keep=keep, workers=1
        )
        for keep in ("none", "front")
    }


def test_the_search_is_the_same_with_and_without(studies) -> None:
    assert_same_study(studies["none"].path, studies["front"].path)
    assert studies["none"].kept().empty
    with closing(sqlite3.connect(studies["none"].path)) as connection:
        assert connection.execute("SELECT * FROM sqlite_master WHERE name = ?", [NAME]).fetchall() == []


def test_exactly_the_members_of_the_front_are_kept(studies) -> None:
    found = studies["front"].kept()
    assert set(zip(found.trial, found.epoch, strict=True)) == members(studies["front"])
    assert (found.epoch < EPOCHS).any(), "no member before the last epoch"
    assert found.bytes.between(1, 20_000).all()
    with Ledger.open(studies["front"].path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    for row in found[found.epoch == EPOCHS].itertuples():
        replicates = records[row.trial].result.details.replicates
        assert replicates[row.replicate] == {"accuracy": row.accuracy, "survivors": row.survivors}
        accuracies = sorted(each["accuracy"] for each in replicates)
        assert row.accuracy == accuracies[(len(accuracies) - 1) // 2]


def test_kept_networks_are_those_that_a_training_again_gives_bit_for_bit(studies, tmp_path: Path) -> None:
    study = studies["front"]
    bare = hebbevo.copy(study.path, tmp_path / "bare.db")
    forget(bare)
    for row in study.front().itertuples():
        with_weights, without = (hebbevo.network(each, row.trial, row.epoch) for each in (study, bare))
        assert (with_weights.origin, without.origin) == ("kept", "reproduced")
        first, second = (vars(each.figures) | {"origin": None} for each in (with_weights, without))
        assert first == second
        state = without.network.state_dict()
        assert with_weights.network.state_dict().keys() == state.keys()
        for name, tensor in with_weights.network.state_dict().items():
            assert torch.equal(tensor, state[name]), name
    other = 1 - with_weights.figures.replicate
    assert hebbevo.network(study, row.trial, row.epoch, replicate=other).origin == "reproduced"
    assert study.champion().origin == "kept"


def test_a_copy_of_a_study_has_its_weights(studies, tmp_path: Path) -> None:
    assert kept(hebbevo.copy(studies["front"].path, tmp_path / "copy.db")) == kept(studies["front"].path)


@pytest.mark.usefixtures("pairs")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("goal", ["", GOALS["one objective"]], ids=["both", "one"])
def test_after_every_kill_exactly_the_front_is_kept(space: Path, tmp_path: Path, goal: str) -> None:
    space.write_text(space.read_text() + goal)
    straight = hebbevo.search(space, study=tmp_path / "straight.db", trials=16, keep="front")
    path, sizes = tmp_path / "killed.db", []
    while True:
        process = multiprocessing.get_context("fork").Process(
            target=die_after_the_second_write,
            args=[lambda: hebbevo.search(space, study=path, trials=16, keep="front")],
        )
        process.start()
        process.join(120)
        study = hebbevo.open_study(path)
        sizes.append(len(study.kept()))
        assert {(trial, epoch) for trial, epoch, *_ in kept(path)} == members(study)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL and len(sizes) < 20
    assert len(sizes) > 2 and max(sizes) > 0
    assert_same_study(path, straight.path)
    assert kept(path) == kept(straight.path)


def test_with_early_stopping_members_that_were_stopped_are_kept_too(space: Path, tmp_path: Path) -> None:
    found = [
        hebbevo.search(space, study=tmp_path / f"{keep}.db", keep=keep, **HALVED)
        for keep in ("none", "front")
    ]
    assert_same_study(found[0].path, found[1].path)
    assert (found[1].trials().state == "stopped").any()
    assert {(trial, epoch) for trial, epoch, *_ in kept(found[1].path)} == members(found[1])


def test_a_grown_study_keeps_the_front_that_it_has_then(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8, keep="front")
    before = {(trial, epoch) for trial, epoch, *_ in kept(study.path)}
    grown = hebbevo.resume(study, trials=24)
    after = {(trial, epoch) for trial, epoch, *_ in kept(study.path)}
    assert after == members(grown) and before - after, "nothing has left the front"


def test_weights_of_another_network_are_refused(studies, tmp_path: Path) -> None:
    path = hebbevo.copy(studies["front"].path, tmp_path / "wrong.db")
    row = studies["front"].kept().iloc[0]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {NAME} SET weights = ?", [b"junk"])
    with pytest.raises(
        StudyError, match=r"the kept weights of trial \d+ are not as recorded: their checksum"
    ):
        hebbevo.network(path, int(row.trial), int(row.epoch))


OWN = """\
from torch import nn
class Net(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, classes))
        self.calls = 0
    def forward(self, x):
        if self.training:
            self.calls += 1
        outputs = self.layers(x)
        return outputs if self.calls or not HIDDEN else -outputs
def build(scale, input_shape, num_classes):
    return Net(input_shape[0], num_classes)
"""


@pytest.mark.parametrize("hidden", [False, True])
def test_a_network_with_state_outside_its_tensors_is_trained_again(
    tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"kept_net_{hidden}".lower()
    Path(f"{name}.py").write_text(OWN.replace("HIDDEN", str(hidden)))
    study = hebbevo.search(
        {
            "name": "own",
            "task": {"dataset": str(blobs), "epochs": 3},
            "network": {"module": f"{name}:build", "settings": {"learning_rate": 0.05}},
            "search": {"population": 4, "trials": 4, "sampler": "random", "keep": "front"},
            "genome": {"scale": {"low": 0.0, "high": 1.0}},
        },
        study="own.db",
    )
    row = study.front().iloc[-1]
    net = hebbevo.network(study, int(row.trial), int(row.epoch), allow_code=True)
    assert not study.kept().empty
    assert net.origin == ("reproduced" if hidden else "kept")
    assert net.figures.accuracy == pytest.approx(row.accuracy)
    pd.testing.assert_frame_equal(study.front(), hebbevo.open_study("own.db").front())
