"""A front trained again: what is trained, after kills too, and that nothing that selects sees test rows."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.deploy import controls
from hebbevo.errors import SearchInterrupted, StudyError, UsageError
from hebbevo.execution import Cohort
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.study.confirmation_record import ConfirmationRecord, Training
from hebbevo.study.ledger import Ledger
from hebbevo.training import Candidate, Exam, train
from tests.conftest import SPACE

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def short_tuning() -> Iterator[None]:
    """Tune the control on two points, with a network for each width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hebbevo.deploy.controls.first_grid", lambda: [(0.01, 0.0), (0.01, 0.1)])
        patch.setattr("hebbevo.deploy.controls.wider_grid", lambda tried, best: [])
        patch.setattr("hebbevo.deploy.confirmation_plan.TUNING_NETWORKS", 1)
        yield


@pytest.fixture(scope="module")
def found(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a short search."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "small.yaml").write_text(SPACE.format(data=blobs))
    return hebbevo.search(folder / "small.yaml", study=folder / "s.db", trials=16, workers=1).path


@pytest.fixture(scope="module")
def confirmed(found: Path) -> Path:
    """The same, confirmed."""
    path = found.with_name("confirmed.db")
    shutil.copy(found, path)
    confirm(hebbevo.open_study(path))
    return path


@pytest.fixture
def study(found: Path, tmp_path: Path) -> hebbevo.Study:
    """A copy of the study that is not confirmed."""
    shutil.copy(found, tmp_path / "s.db")
    return hebbevo.open_study(tmp_path / "s.db")


def confirm(study: hebbevo.Study, workers: int = 1, **options: object) -> hebbevo.Study:
    """Confirm the two largest members of the front."""
    options = {"replicates": 2, "trials": [*study.front().trial[-2:]]} | options
    return hebbevo.confirm(study, workers=workers, **options)


def record_of(path: Path) -> ConfirmationRecord:
    with Ledger.open(path) as ledger:
        return ledger.confirmations()[-1]


def content(path: Path) -> object:
    """All that is recorded but times."""
    record = record_of(path)
    trainings = {number: replace(each, seconds=0.0) for number, each in record.trainings.items()}
    return replace(record.request, date=""), trainings, record.is_complete


def runs(path: Path) -> pd.DataFrame:
    return hebbevo.open_study(path).confirmation.runs()


def test_every_member_of_the_front_is_trained_once_a_replicate_with_controls_of_its_widths(confirmed) -> None:
    study, table = hebbevo.open_study(confirmed), runs(confirmed)
    members = table[table.role == "member"]
    front = study.front()[-2:]
    expected = [(t, e, r) for r in (0, 1) for t, e in zip(front.trial, front.epoch, strict=True)]
    assert [*zip(members.trial, members.epochs, members.replicate, strict=True)] == expected
    for member in members[members.widths.map(min) > 0].itertuples():
        same = table[(table.replicate == member.replicate) & (table.widths == member.widths)]
        dense = same[(same.role == "dense") & (same.epochs == member.epochs)]
        longer = same[(same.role == "longer") & (same.epochs == 2 * member.epochs)]
        assert 2 <= len(dense) <= 10
        assert len(longer) == 1
        assert (dense.survivors <= sum(member.widths)).all()


def test_a_recorded_training_is_one_that_is_done_by_hand(confirmed) -> None:
    study, record = hebbevo.open_study(confirmed), record_of(confirmed)
    with Ledger.open(confirmed) as ledger:
        recipe, split = recipe_of(ledger), split_of(ledger)
    trainings = [*record.trainings.values()]
    own = [each for each in trainings if each.role == "member" and each.replicate == 1]
    shared = replace(recipe, seed=controls.seed_of(recipe.seed, 1))
    candidates = [Candidate(study.genome(each.trial), last_epoch=each.epochs) for each in own]
    measured = train(shared, candidates, split, CPU, exam=Exam(on_test_rows=True))
    for each, by_hand in zip(own, measured, strict=True):
        assert (each.accuracy, each.test) == (by_hand.accuracy[-1], by_hand.exam.test)
        assert (each.widths, each.halves) == (by_hand.layers, by_hand.exam.halves)
    pool = [each for each in trainings if each.role == "dense"]
    pool = [each for each in pool if each.widths == pool[0].widths and each.replicate == pool[0].replicate]
    pool = [each for each in pool if each.epochs == pool[0].epochs]
    shared = controls.dense_recipe(recipe, controls.seed_of(recipe.seed, pool[0].replicate), pool[0].epochs)
    genome = {"hidden": [*pool[0].widths], "settle": 0.0}
    genome |= {"learning_rate": pool[0].learning_rate, "weight_decay": pool[0].weight_decay}
    candidates = [Candidate(genome, number) for number in range(len(pool))]
    measured = train(shared, candidates, split, CPU, exam=Exam(on_test_rows=True))
    assert [each.test for each in pool] == [each.exam.test for each in measured]
    assert shared.network.units == "dense"
    assert shared.settings == {}


def test_of_each_member_it_is_recorded_which_neurons_were_alive_after_each_epoch(confirmed) -> None:
    for each in record_of(confirmed).trainings.values():
        if each.role != "member":
            assert each.alive is None
            continue
        layers = each.alive.by_layer()
        assert tuple(int(layer[-1].sum()) for layer in layers) == each.widths
        assert {len(layer) for layer in layers} == {each.epochs}
    confirmation = hebbevo.open_study(confirmed).confirmation
    member = confirmation.members().iloc[0]
    first = next(each for each in record_of(confirmed).trainings.values() if each.trial == member.trial)
    assert confirmation.lives(member.trial, member.epoch) == first.alive
    assert confirmation.lives(member.trial, member.epoch + 1) is None


def test_a_confirmation_by_an_earlier_hebbevo_has_no_such_record_and_is_read(confirmed, tmp_path) -> None:
    record = record_of(confirmed)
    trainings = {number: replace(each, alive=None) for number, each in record.trainings.items()}
    plain = json.dumps([each.to_json() for each in trainings.values()])
    assert "alive" not in plain
    assert [Training.from_json(each) for each in json.loads(plain)] == [*trainings.values()]


def test_controls_of_different_widths_train_in_one_cohort(study, monkeypatch) -> None:
    cohorts: list[Cohort] = []
    train_cohort = WorkerSetup.train

    def look(setup: WorkerSetup, cohort: Cohort, *args: object):
        cohorts.append(cohort)
        return train_cohort(setup, cohort, *args)

    monkeypatch.setattr(WorkerSetup, "train", look)
    trainings = record_of(confirm(study).path).trainings
    kinds = [{trainings[number].role for number in cohort.trials} for cohort in cohorts]
    assert all(len(roles) == 1 for roles in kinds)
    longer = [cohort for cohort, roles in zip(cohorts, kinds, strict=True) if roles == {"longer"}]
    widths = [{trainings[number].widths for number in cohort.trials} for cohort in longer]
    assert len(longer) <= 2 * len({each.epochs for each in trainings.values() if each.role == "longer"})
    assert max(map(len, widths)) > 1


def test_scores_on_test_rows_and_halves_are_those_of_the_network(confirmed, found) -> None:
    """The halves of the validation rows have the whole's score as their weighted mean."""
    with Ledger.open(found) as ledger:
        rows = len(split_of(ledger).y_val)
    first, second = -(-rows // 2), rows // 2
    for each in record_of(confirmed).trainings.values():
        total = first * each.halves[0] + second * each.halves[1]
        assert total == pytest.approx(rows * each.accuracy)


def test_asked_again_the_recorded_answer_is_read(confirmed, monkeypatch) -> None:
    before = content(confirmed)
    monkeypatch.setattr(WorkerSetup, "train", lambda *_: pytest.fail("a training"))
    study = confirm(hebbevo.open_study(confirmed))
    assert content(confirmed) == before
    assert study.confirmation.is_complete


@pytest.mark.parametrize("after", [1, 3, 5])
def test_killed_after_any_cohort_it_goes_on_to_what_was_never_killed(
    study, confirmed, monkeypatch, after: int
) -> None:
    class Killed(BaseException):
        pass

    add = Ledger.add_trainings
    calls = 0

    def add_and_die(ledger: Ledger, *args: object) -> None:
        nonlocal calls
        add(ledger, *args)
        calls += 1
        if calls == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add_trainings", add_and_die)
        with pytest.raises(Killed):
            confirm(study)
    half = hebbevo.open_study(study.path)
    assert not half.confirmation.is_complete
    assert len(half.confirmation.members()) == 2
    confirm(study)
    assert content(study.path) == content(confirmed)


def test_ctrl_c_lets_the_cohort_finish_and_says_how_to_go_on(study, confirmed) -> None:
    def interrupt(progress) -> None:
        if progress.fresh and not progress.notice:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        SearchInterrupted, match=r"are recorded; continue with 'hebbevo confirm .*--replicates 2 --trial"
    ):
        confirm(study, watch=interrupt)
    assert len(record_of(study.path).trainings) > 0
    confirm(study)
    assert content(study.path) == content(confirmed)


def test_the_result_does_not_depend_on_the_number_of_workers(study, confirmed) -> None:
    confirm(study, workers=2)
    assert content(study.path) == content(confirmed)


def test_trials_of_the_study_stay_untouched_and_the_search_goes_on_as_without(study, found) -> None:
    before = study.trials()
    confirm(study)
    pd.testing.assert_frame_equal(hebbevo.open_study(study.path).trials(), before)
    plain = found.with_name("plain.db")
    shutil.copy(found, plain)
    both = [hebbevo.resume(path, trials=24, workers=1) for path in (study.path, plain)]
    pd.testing.assert_frame_equal(*(each.trials().drop(columns="seconds") for each in both))
    stale = both[0].confirmation
    assert stale.is_stale
    assert stale.test_rows_seen == stale.date


def test_a_grown_study_is_confirmed_anew_and_remembers_when_its_test_rows_were_seen(study) -> None:
    confirmed = confirm(study)
    first = confirmed.confirmation
    assert confirmed.is_confirmed
    grown = hebbevo.resume(study.path, trials=17, workers=1)
    assert not grown.is_confirmed
    lines: list[str] = []
    again = confirm(grown, watch=lambda each: lines.append(each.notice))
    assert any("the test rows were looked at on" in line for line in lines)
    assert not again.confirmation.is_stale
    assert again.confirmation.test_rows_seen == first.date
    assert record_of(study.path).number == 1


def test_a_study_shows_the_confirmation_of_most_members_and_confirm_the_one_that_was_asked_for(study) -> None:
    both = confirm(study)
    one = confirm(study, trials=[study.front().trial.iloc[-1]], replicates=3)
    assert one.confirmation.replicates == 3
    again = hebbevo.open_study(study.path)
    assert again.confirmation.replicates == both.confirmation.replicates == 2
    assert [each.replicates for each in again.confirmations] == [2, 3]


def with_test_rows(monkeypatch: pytest.MonkeyPatch, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Let confirmations have other test rows."""
    split = split_of

    def changed(ledger: Ledger, *args: object):
        whole = split(ledger, *args)
        return replace(whole, x_test=change(whole.x_test))

    monkeypatch.setattr("hebbevo.deploy.confirming.split_of", changed)


def test_no_choice_of_a_confirmation_depends_on_test_rows(study, confirmed, monkeypatch) -> None:
    with_test_rows(monkeypatch, lambda rows: rows[::-1].copy())
    confirm(study)
    blind = [replace(each, test=None, seconds=0.0) for each in record_of(study.path).trainings.values()]
    seeing = [replace(each, test=None, seconds=0.0) for each in record_of(confirmed).trainings.values()]
    assert blind == seeing
    assert runs(study.path).test.tolist() != runs(confirmed).test.tolist()


def test_without_test_rows_none_is_looked_at(study, monkeypatch) -> None:
    with_test_rows(monkeypatch, lambda rows: np.full_like(rows, np.nan))
    confirmation = confirm(study, test=False).confirmation
    assert confirmation.runs().test.isna().all()
    assert confirmation.test_rows_seen == ""
    assert confirmation.verdict_rows == "18 validation rows"
    assert confirmation.members().difference.notna().any()


def test_workers_of_a_search_get_no_test_rows(study, monkeypatch) -> None:
    seen: list[int] = []
    train_cohort = WorkerSetup.train

    def look(setup: WorkerSetup, *args: object):
        seen.append(len(setup.split.x_test))
        return train_cohort(setup, *args)

    monkeypatch.setattr(WorkerSetup, "train", look)
    hebbevo.resume(study.path, trials=17, workers=1)
    assert set(seen) == {0}


def test_a_front_that_starts_another_search_brings_no_test_figure(confirmed, found, space, tmp_path) -> None:
    paths = [tmp_path / "from_found.db", tmp_path / "from_confirmed.db"]
    studies = [
        hebbevo.search(space, study=path, start=start, trials=8, workers=1)
        for path, start in zip(paths, (found, confirmed), strict=True)
    ]
    pd.testing.assert_frame_equal(*(each.trials().drop(columns="seconds") for each in studies))


@pytest.mark.parametrize("count", ["connections", "parameters", "multiply_adds"])
def test_the_dense_control_has_at_least_as_many_connections_as_its_member(count, blobs, tmp_path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.format(data=blobs).replace("units: stamina,", f"units: stamina, count: {count},"))
    study = hebbevo.search(path, study=tmp_path / "c.db", trials=8, workers=1)
    found = confirm(study).confirmation
    runs = found.runs()
    members = runs[runs.role == "member"].set_index(["trial", "epochs", "replicate"])
    dense = runs[runs.role == "dense"]
    assert len(dense)
    assert set(found.members().verdict) <= {"above", "level", "below"}
    for each in dense.itertuples():
        assert each.survivors >= members.loc[each.trial, each.epochs, each.replicate].survivors
    assert f"dense networks with as many {count}" in found.sentence


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"replicates": 1}, "--replicates: 1 is too small; write a whole number of 2 or more"),
        ({"trials": [999]}, "--trial: trial 999 is not on the front of"),
        ({"workers": 0}, "--workers: 0 is too small"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(study, options, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        hebbevo.confirm(study, **options)
    assert hebbevo.open_study(study.path).confirmation is None


def test_a_study_that_another_process_writes_to_is_refused(study) -> None:
    with study.store.locked(), pytest.raises(StudyError, match="has been searching it since"):
        hebbevo.confirm(study, workers=1)


def test_a_front_that_was_never_confirmed_names_the_command(study) -> None:
    with pytest.raises(UsageError, match=r"has not been confirmed; run 'hebbevo confirm "):
        study.front(confirmed=True)
