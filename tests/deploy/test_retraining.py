"""Networks of a study that are trained again reach what is recorded."""

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
from hebbevo.outer.training_inputs import split_of
from hebbevo.study.attempts import FailureKind
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training import train
from hebbevo.training.trial_details import EarlyStop, TrialDetails

EPOCHS, REPLICATES, POPULATION = 3, 2, 8


class Substitute(nn.Module):
    """In the place of a network: the arguments that would make it."""

    def __init__(self, candidates, row, epoch, stops) -> None:
        super().__init__()
        self.candidates, self.row, self.epoch, self.stops = candidates, row, epoch, stops


@pytest.fixture
def substitute_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the engine by one that trains the whole cohort to the end, and gives no networks."""
    known: dict = {}

    def networks_of(recipe, candidates, split, device, wanted, epoch, stops):
        key = tuple(candidate.seed(recipe.seed) for candidate in candidates)
        if key not in known:
            known[key] = train(recipe, candidates, split, device)
        return [
            (
                Substitute(candidates, row, epoch, stops),
                replace(own, accuracy=own.accuracy[:epoch], survivors=own.survivors[:epoch]),
            )
            for row, own in ((row, known[key][row]) for row in wanted)
        ]

    monkeypatch.setattr("hebbevo.training.networks_of", networks_of)


def recorded_again(
    study: hebbevo.Study, path: Path, change: Callable[[Result], Result | None]
) -> hebbevo.Study:
    """Record the study a second time, with changed results; a trial without one is running."""
    with Ledger.open(study.store) as ledger, Ledger.create(path, ledger.spec, ledger.facts) as other:
        for each in ledger.generations():
            genomes = [record.genome for record in each.records]
            other.open_generation(each.number, each.total, each.progress, genomes)
            changed = [change(record.result) for record in each.records if record.result]
            other.close_cohort([result for result in changed if result])
    return hebbevo.open_study(path)


@pytest.fixture
def study(space: Path, tmp_path: Path) -> hebbevo.Study:
    return hebbevo.search(space, study=tmp_path / "s.db", trials=2 * POPULATION, halving=False)


def test_every_network_is_found_in_its_cohort_and_compared_with_what_is_recorded(
    study, substitute_engine
) -> None:
    for trial in range(2 * POPULATION):
        for epoch in range(1, EPOCHS + 1):
            found = hebbevo.network(study, trial, epoch, replicate=trial % REPLICATES).network
            assert (found.row, found.epoch) == (trial % POPULATION * REPLICATES + trial % REPLICATES, epoch)
            assert found.stops == [None] * REPLICATES * POPULATION
    with Ledger.open(study.store) as ledger:
        [first, *_] = ledger.generations()
    for trial, record in enumerate(first.records):
        found = hebbevo.network(study, trial).network
        accuracies = [each["accuracy"] for each in record.result.details.replicates]
        assert found.epoch == EPOCHS  # of two replicates the less accurate one
        assert found.row == trial * REPLICATES + accuracies.index(min(accuracies))


def test_training_again_leaves_the_number_of_pytorch_threads_as_it_was(study, substitute_engine) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        hebbevo.network(study, 0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_copy_has_the_network_of_its_original(space: Path, tmp_path: Path, substitute_engine) -> None:
    head = space.read_text().split("genome:")[0]
    space.write_text(f"{head}genome:\n  penalty_form: {{choices: [mean, ratio, zero_sum]}}\n")
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=2 * POPULATION, halving=False)
    copies = study.trials().dropna(subset="copy_of")
    assert len(copies) > POPULATION  # the whole second generation, at least
    for trial, original in zip(copies.trial, copies.copy_of, strict=True):
        found = hebbevo.network(study, trial, 2, replicate=1).network
        genomes = [candidate.genome for candidate in found.candidates[::REPLICATES]]
        assert study.trials()["genome.penalty_form"][original] == genomes[found.row // 2]["penalty_form"]


def test_trials_whose_cohort_was_halved_are_trained_in_that_half(
    space: Path, tmp_path: Path, substitute_engine, monkeypatch
) -> None:
    whole = WorkerSetup.train

    def train_few(self, cohort, worker):
        if len(cohort.candidates) > 4:
            return LostCohort(FailureKind.MEMORY, "too large", worker)
        return whole(self, cohort, worker)

    with monkeypatch.context() as patch:
        patch.setattr(WorkerSetup, "train", train_few)
        study = hebbevo.search(space, study=tmp_path / "s.db", trials=POPULATION, halving=False)
    for trial in range(POPULATION):
        found = hebbevo.network(study, trial, replicate=1).network
        assert (len(found.candidates), found.row) == (4, trial % 2 * REPLICATES + 1)


def test_the_engine_knows_which_trials_were_stopped_early_and_these_have_networks_until_then(
    study, tmp_path: Path, substitute_engine
) -> None:
    def stop(result: Result) -> Result:
        if result.number % 3:
            return result
        details = replace(
            result.details,
            accuracy_per_epoch=result.details.accuracy_per_epoch[:2],
            survivors_per_epoch=result.details.survivors_per_epoch[:2],
            stopped=EarlyStop(2, None, "beaten"),
        )
        return Result(result.number, None, details)

    stopped = recorded_again(study, tmp_path / "stopped.db", stop)
    found = hebbevo.network(stopped, 3).network
    assert found.epoch == 2
    assert found.stops == [
        stop for trial in range(POPULATION) for stop in [2 if trial % 3 == 0 else None] * 2
    ]
    assert hebbevo.network(stopped, 4).network.epoch == EPOCHS
    with pytest.raises(UsageError, match=r"trial 3 has no epoch 3; write one from 1 to 2$"):
        hebbevo.network(stopped, 3, 3)


def test_another_result_than_the_recorded_one_is_refused(study, tmp_path: Path, substitute_engine) -> None:
    def differ(result: Result) -> Result:
        first, *rest = result.details.accuracy_per_epoch
        details = replace(result.details, accuracy_per_epoch=[first + 1e-9, *rest])
        return replace(result, details=details)

    other = recorded_again(study, tmp_path / "other.db", differ)
    for epoch in (2, 1):  # after 2 epochs all is as recorded, but not after the first
        with pytest.raises(StudyError) as caught:
            hebbevo.network(other, 0, epoch)
    assert str(caught.value).startswith(
        f"{tmp_path}/other.db: trial 0, trained again, has after its first 1 "
    )
    assert "another kind of machine, or with other versions or code than here: python 3" in str(caught.value)


def test_another_result_is_given_with_its_own_figures_where_that_is_asked_for(
    study, tmp_path: Path, substitute_engine
) -> None:
    def differ(result: Result) -> Result:
        details = replace(result.details, accuracy_per_epoch=[0.75, 0.5, 0.25])
        return replace(result, details=details)

    other = recorded_again(study, tmp_path / "other.db", differ)
    with pytest.raises(StudyError, match=r"of its own, add --retrained, or in Python retrained=True$"):
        hebbevo.network(other, 0)
    same, changed = (
        hebbevo.network(each, 0, 2, replicate=1, retrained=True).figures for each in (study, other)
    )
    assert (same.origin, changed.origin) == ("reproduced", "retrained")
    assert (changed.accuracy, changed.survivors) == (same.accuracy, same.survivors)
    assert (changed.recorded_accuracy, changed.recorded_survivors) == (0.5, same.recorded_survivors)
    assert (changed.trial, changed.epoch, changed.replicate) == (0, 2, 1)


def test_without_the_gpu_of_a_study_its_networks_are_trained_on_the_cpu_only_if_that_is_asked_for(
    study, tmp_path: Path, substitute_engine, monkeypatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with Ledger.open(study.store) as ledger:
        facts = replace(ledger.facts, device="cuda")
        with Ledger.create(tmp_path / "gpu.db", ledger.spec, facts) as other:
            other.add_generations(ledger.generations())
    with pytest.raises(StudyError, match=r"trains on a GPU, and this machine has none; for a network with"):
        hebbevo.network(tmp_path / "gpu.db", 0)
    assert hebbevo.network(tmp_path / "gpu.db", 0, retrained=True).figures.trial == 0


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
def test_a_missing_trial_epoch_or_replicate_is_a_usage_error(
    study, tmp_path: Path, arguments: dict, message: str
) -> None:
    failed = Result(2, None, TrialDetails(failure="diverged", seconds=1.0))
    changes = {1: lambda _: None, 2: lambda _: failed}
    other = recorded_again(
        study, tmp_path / "o.db", lambda result: changes.get(result.number, lambda it: it)(result)
    )
    with pytest.raises(UsageError) as caught:
        hebbevo.network(other, **arguments)
    assert str(caught.value) == f"{tmp_path}/o.db: {message}"


def test_code_of_the_user_is_not_run_unless_it_is_allowed(study, tmp_path: Path) -> None:
    asked = []
    with Ledger.open(study.store) as ledger:
        [first, *_] = ledger.generations()
        settings = ledger.spec.to_json()
        settings["task"]["loss"] = "nowhere:loss"
        spec = type(ledger.spec).model_validate(settings)
        with Ledger.create(tmp_path / "own.db", spec, ledger.facts) as own:
            own.open_generation(0, 1, 0.0, [first.records[0].genome])
            own.close_cohort([first.records[0].result])
    own = hebbevo.open_study(tmp_path / "own.db")
    with pytest.raises(StudyError, match=r"runs your own code \(nowhere:loss\); if you trust the study"):
        hebbevo.network(own, 0, allow_code=asked.append)
    assert asked == [["nowhere:loss"]]


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_the_network_reaches_what_is_recorded(study, epoch: int) -> None:
    front = study.front()
    trial = int(front.trial.iloc[-1])
    with Ledger.open(study.store) as ledger:
        split = split_of(ledger)
        records = [record for generation in ledger.generations() for record in generation.records]
    details = records[trial].result.details
    x, y = torch.from_numpy(split.x_val), torch.from_numpy(split.y_val)
    nets = [hebbevo.network(study, trial, epoch, replicate=replicate).eval() for replicate in (0, 1)]
    with torch.no_grad():
        accuracies = [(net.network(x).argmax(1) == y).double().mean().item() for net in nets]
    alive = [hebbevo.count(net.network, x[:1]).neurons_alive["total"] for net in nets]
    assert alive == [hebbevo.count(net).neurons_alive["total"] for net in nets]
    assert [net.figures.accuracy for net in nets] == pytest.approx(accuracies, abs=1e-9)
    assert [net.figures.survivors for net in nets] == alive
    assert {net.origin for net in nets} == {"reproduced"}
    assert sum(accuracies) / 2 == pytest.approx(details.accuracy_per_epoch[epoch - 1], abs=1e-9)
    assert sum(alive) / 2 == details.survivors_per_epoch[epoch - 1]
