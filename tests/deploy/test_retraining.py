"""Networks of a study, trained again, are those that were recorded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import hebbevo
from hebbevo.errors import StudyError, UsageError
from hebbevo.execution.executor import LostCohort
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.outer.driver import split_of
from hebbevo.study.attempts import FailureKind
from hebbevo.study.ledger import STOPPED, Ledger, Result
from hebbevo.training import train

EPOCHS, REPLICATES, POPULATION = 3, 2, 8


class Stood(nn.Module):
    """In the place of a network: whose it would be."""

    def __init__(self, candidates, row, epoch, stops) -> None:
        super().__init__()
        self.candidates, self.row, self.epoch, self.stops = candidates, row, epoch, stops


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the engine: it trains the whole cohort to the end, and has no network to give."""
    known: dict = {}

    def networks_of(recipe, candidates, split, device, wanted, epoch, stops):
        key = tuple(candidate.seed(recipe.seed) for candidate in candidates)
        if key not in known:
            known[key] = train(recipe, candidates, split, device)
        return [
            (
                Stood(candidates, row, epoch, stops),
                replace(own, accuracy=own.accuracy[:epoch], survivors=own.survivors[:epoch]),
            )
            for row, own in ((row, known[key][row]) for row in wanted)
        ]

    monkeypatch.setattr("hebbevo.training.networks_of", networks_of)


def again(study: hebbevo.Study, path: Path, change: Callable[[Result], Result | None]) -> hebbevo.Study:
    """Record the study a second time, with these changes; without a result a trial is running."""
    with Ledger.open(study.store) as book, Ledger.create(path, book.spec, book.facts) as other:
        for each in book.generations():
            genomes = [record.genome for record in each.records]
            other.open_generation(each.number, each.total, each.progress, genomes)
            changed = [change(record.result) for record in each.records if record.result]
            other.close_cohort([result for result in changed if result])
    return hebbevo.open_study(path)


@pytest.fixture
def study(space: Path, tmp_path: Path) -> hebbevo.Study:
    return hebbevo.search(space, study=tmp_path / "s.db", trials=2 * POPULATION, halving=False)


def test_every_network_is_found_in_its_cohort_and_compared_with_the_record(study, stand_in) -> None:
    for trial in range(2 * POPULATION):
        for epoch in range(1, EPOCHS + 1):
            found = hebbevo.network(study, trial, epoch, replicate=trial % REPLICATES)
            assert (found.row, found.epoch) == (trial % POPULATION * REPLICATES + trial % REPLICATES, epoch)
            assert found.stops == [None] * REPLICATES * POPULATION
    assert hebbevo.network(study, 0).epoch == EPOCHS
    assert hebbevo.network(study, 0).row == 0


def test_training_again_leaves_the_threads_of_pytorch_alone(study, stand_in) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        hebbevo.network(study, 0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_copy_has_the_network_of_its_original(space: Path, tmp_path: Path, stand_in) -> None:
    head = space.read_text().split("genome:")[0]
    space.write_text(f"{head}genome:\n  penalty_form: {{choices: [mean, ratio, zero_sum]}}\n")
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=2 * POPULATION, halving=False)
    copies = study.trials().dropna(subset="copy_of")
    assert len(copies) > POPULATION  # in the second generation there is nothing else
    for trial, original in zip(copies.trial, copies.copy_of, strict=True):
        found = hebbevo.network(study, trial, 2, replicate=1)
        genomes = [candidate.genome for candidate in found.candidates[::REPLICATES]]
        assert study.trials()["genome.penalty_form"][original] == genomes[found.row // 2]["penalty_form"]


def test_trials_whose_cohort_was_halved_are_trained_in_that_part(
    space: Path, tmp_path: Path, stand_in, monkeypatch
) -> None:
    whole = WorkerSetup.train

    def train_few(self, batch, worker):
        if len(batch.candidates) > 4:
            return LostCohort(FailureKind.MEMORY, "too large", worker)
        return whole(self, batch, worker)

    with monkeypatch.context() as patch:
        patch.setattr(WorkerSetup, "train", train_few)
        study = hebbevo.search(space, study=tmp_path / "s.db", trials=POPULATION, halving=False)
    for trial in range(POPULATION):
        found = hebbevo.network(study, trial, replicate=1)
        assert (len(found.candidates), found.row) == (4, trial % 2 * REPLICATES + 1)


def test_who_was_stopped_early_is_told_to_the_engine_and_has_networks_until_then(
    study, tmp_path: Path, stand_in
) -> None:
    def stop(result: Result) -> Result:
        if result.number % 3:
            return result
        course = {name: result.details[name][:2] for name in ("accuracy_per_epoch", "survivors_per_epoch")}
        return Result(result.number, None, {**result.details, **course, STOPPED: "halving"})

    stopped = again(study, tmp_path / "stopped.db", stop)
    found = hebbevo.network(stopped, 3)
    assert found.epoch == 2
    assert found.stops == [
        stop for trial in range(POPULATION) for stop in [2 if trial % 3 == 0 else None] * 2
    ]
    assert hebbevo.network(stopped, 4).epoch == EPOCHS
    with pytest.raises(UsageError, match=r"trial 3 has no epoch 3; write one from 1 to 2$"):
        hebbevo.network(stopped, 3, 3)


def test_another_result_than_the_recorded_one_is_refused(study, tmp_path: Path, stand_in) -> None:
    def differ(result: Result) -> Result:
        first, *rest = result.details["accuracy_per_epoch"]
        return replace(result, details={**result.details, "accuracy_per_epoch": [first + 1e-9, *rest]})

    other = again(study, tmp_path / "other.db", differ)
    for epoch in (2, 1):  # the state after 2 is the recorded one, but not how it came there
        with pytest.raises(StudyError) as caught:
            hebbevo.network(other, 0, epoch)
    assert str(caught.value).startswith(
        f"{tmp_path}/other.db: trial 0, trained again, has after its first 1 "
    )
    assert "another kind of machine, or with other versions or code than here: python 3" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trial": 99}, "there is no trial 99"),
        ({"trial": 1}, "trial 1 has not been trained yet"),
        ({"trial": 2}, "trial 2 failed: diverged"),
        ({"trial": 0, "epoch": 0}, "trial 0 has no epoch 0; write one from 1 to 3"),
        ({"trial": 0, "epoch": 4}, "trial 0 has no epoch 4; write one from 1 to 3"),
        ({"trial": 0, "replicate": 2}, "trial 0 has no replicate 2; write one from 0 to 1"),
        ({"trial": 0, "replicate": -1}, "trial 0 has no replicate -1; write one from 0 to 1"),
    ],
)
def test_what_is_not_there_is_a_usage_error(study, tmp_path: Path, arguments: dict, message: str) -> None:
    changes = {1: lambda _: None, 2: lambda _: Result(2, None, {"failure": "diverged", "seconds": 1.0})}
    other = again(study, tmp_path / "o.db", lambda result: changes.get(result.number, lambda it: it)(result))
    with pytest.raises(UsageError) as caught:
        hebbevo.network(other, **arguments)
    assert str(caught.value) == f"{tmp_path}/o.db: {message}"


def test_code_of_the_users_own_is_not_run_unless_allowed(study, tmp_path: Path) -> None:
    asked = []
    with Ledger.open(study.store) as book:
        [first, *_] = book.generations()
        settings = book.spec.to_json()
        settings["task"]["loss"] = "nowhere:loss"
        spec = type(book.spec).model_validate(settings)
        with Ledger.create(tmp_path / "own.db", spec, book.facts) as own:
            own.open_generation(0, 1, 0.0, [first.records[0].genome])
            own.close_cohort([first.records[0].result])
    own = hebbevo.open_study(tmp_path / "own.db")
    with pytest.raises(StudyError, match=r"runs code of yours \(nowhere:loss\); if you trust the study"):
        hebbevo.network(own, 0, allow_code=asked.append)
    assert asked == [["nowhere:loss"]]


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_the_network_reaches_what_is_recorded(study, epoch: int) -> None:
    front = study.front()
    trial = int(front.trial.iloc[-1])
    with Ledger.open(study.store) as book:
        split = split_of(book)
        [details] = [
            each.result.details for one in book.generations() for each in one.records if each.number == trial
        ]
    x, y = torch.from_numpy(split.x_val), torch.from_numpy(split.y_val)
    nets = [hebbevo.network(study, trial, epoch, replicate=replicate).eval() for replicate in (0, 1)]
    with torch.no_grad():
        accuracies = [(net(x).argmax(1) == y).double().mean().item() for net in nets]
    alive = [hebbevo.count(net, x[:1]).neurons_alive["total"] for net in nets]
    assert sum(accuracies) / 2 == pytest.approx(details["accuracy_per_epoch"][epoch - 1], abs=1e-9)
    assert sum(alive) / 2 == details["survivors_per_epoch"][epoch - 1]
