"""Early stopping in a search: which trials are stopped, and what is recorded of them."""

import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

import hebbevo
from hebbevo.errors import SearchInterrupted, StudyError
from hebbevo.outer.training_inputs import early_stopper_of
from hebbevo.study.ledger import Ledger
from tests.outer.conftest import assert_same_study, details, table

HALVED = dict(trials=60, population=20, epochs=6, replicates=1, halving=True)


@pytest.fixture(scope="module")
def halved(common_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 60 trials, some of which were stopped early; tests only read it."""
    path = tmp_path_factory.mktemp("halved") / "halved.db"
    return hebbevo.search(common_space, study=path, workers=1, **HALVED).path


def test_trials_are_stopped_once_others_have_finished_and_the_reason_is_recorded(
    halved: Path, optuna_study: Callable[[Path], optuna.Study]
) -> None:
    trials = table(halved)
    assert set(trials.state[:20]) == {"complete"}
    stopped = trials[trials.state == "stopped"]
    assert 5 <= len(stopped) <= 40
    assert stopped.accuracy.isna().all()
    assert not stopped.feasible.any()
    for number, own in enumerate(details(halved)):
        epochs = len(own.accuracy_per_epoch)
        assert len(own.survivors_per_epoch) == own.epochs == epochs
        if trials.state[number] == "complete":
            assert own.stopped is None
            assert epochs == 6
            continue
        assert own.stopped.epoch == epochs < 6
        assert f"after {epochs} epochs" in own.stopped.reason
        assert own.stopped.predicted_final is None or 0 <= own.stopped.predicted_final[0] <= 1
    found = optuna_study(halved).get_trials(deepcopy=False)
    assert [trial.number for trial in found if trial.state is optuna.trial.TrialState.PRUNED] == [
        *stopped.trial
    ]


def test_without_halving_every_training_has_all_its_epochs(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", **{**HALVED, "halving": None})
    assert set(study.trials().state) == {"complete"}
    with pytest.raises(StudyError, match=r"search\.halving"):
        hebbevo.search(space, study=tmp_path / "s.db", **HALVED)


def test_which_trials_are_stopped_does_not_depend_on_workers_or_interruptions(
    space: Path, halved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "interrupted.db"

    def press_ctrl_c(progress: hebbevo.Progress) -> None:
        if progress.trials == 40 and not progress.notice:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SearchInterrupted):
        hebbevo.search(space, study=path, workers=1, watch=press_ctrl_c, **HALVED)
    hebbevo.resume(path, workers=2)
    assert_same_study(path, halved)


def test_the_early_stopper_of_a_generation_learns_from_finished_and_stopped_trials_of_earlier_ones(
    halved: Path,
) -> None:
    with Ledger.open(halved) as ledger:
        *earlier, last = ledger.generations()
        before = [record for generation in earlier for record in generation.records]
        after = [*before, *last.records]
        one, again, other = (early_stopper_of(ledger, records) for records in (before, before[:], after))
    assert pickle.dumps(one) == pickle.dumps(again) != pickle.dumps(other)
    assert one.rungs
    with Ledger.open(halved) as ledger:
        assert early_stopper_of(ledger, before[:10]).rungs == ()


def test_samplers_receive_the_predicted_values_of_a_stopped_trial_or_none_without_a_prediction(
    space: Path, tmp_path: Path, outcomes: list
) -> None:
    path = hebbevo.search(space, study=tmp_path / "s.db", sampler="ga", workers=1, **HALVED).path
    finished = [o.losses for o, state in zip(outcomes, table(path).state, strict=True) if state == "complete"]
    for outcome, own in zip(outcomes, details(path), strict=True):
        if own.stopped is None:
            continue
        if own.stopped.predicted_final is None:
            assert outcome.losses is None
            continue
        accuracy, survivors = own.stopped.predicted_final
        assert outcome.losses == (-accuracy, survivors)
        assert any(a <= -accuracy and s <= survivors for a, s in finished)
    assert any(own.stopped for own in details(path))


def test_replicates_are_stopped_together(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", **{**HALVED, "replicates": 2})
    assert (study.trials().state == "stopped").any()
    for own in details(study.path):
        assert len(own.replicates) == 2
        assert own.epochs == len(own.accuracy_per_epoch)


def test_a_trial_that_could_lose_neurons_and_has_not_is_stopped_and_its_sampler_learns_what_it_reached(
    space: Path, tmp_path: Path, outcomes: list
) -> None:
    impatient = {
        "sampler: ga": "sampler: ga, pruning_patience: 0.2",
        "low: -1.0, high: 1.0": "low: -2, high: 2",
    }
    for old, new in impatient.items():
        space.write_text(space.read_text().replace(old, new))
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16, epochs=5, replicates=1, workers=1)
    found = details(study.path)
    assert any(own.stopped for own in found)
    for trial, own, outcome in zip(study.trials().itertuples(), found, outcomes, strict=True):
        if trial.state == "complete":
            # on these rows the patience is over before the last epoch
            assert min(own.survivors_per_epoch[:-1]) < own.neurons
            continue
        assert trial.state == "stopped"
        reached = (own.accuracy_per_epoch[-1], own.survivors_per_epoch[-1])
        assert reached[1] == own.neurons == 20
        assert own.stopped.predicted_final == reached
        assert own.stopped.reason == f"after {own.epochs} epochs it had lost none of its 20 neurons"
        assert outcome.losses == (-reached[0], reached[1])
