"""`hebbevo.search` and `hebbevo.resume`: what a study holds, what it depends on, and what is refused."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.errors import SpaceError, StudyError, UsageError
from hebbevo.outer import preflight
from hebbevo.report import write
from hebbevo.spec.document import load_document
from tests.outer.conftest import assert_same_study, table


def test_a_search_reaches_its_trials_and_scores_both_objectives(uninterrupted: Path) -> None:
    study = hebbevo.open_study(uninterrupted)
    trials = study.trials()
    assert trials.trial.tolist() == list(range(24))
    assert set(trials.state) == {"complete"}
    assert trials.generation.tolist() == [number // 8 for number in range(24)]
    assert trials.accuracy.between(0, 1).all()
    assert trials.survivors.between(0, 20).all()
    assert trials.accuracy_sd.notna().all()
    assert trials.accuracy.max() > 0.8 > study.chance


def test_the_same_search_gives_the_same_study(space: Path, uninterrupted: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    random.seed(99)
    again = hebbevo.search(space, study=tmp_path / "again.db").path
    assert_same_study(again, uninterrupted)


def test_the_study_does_not_depend_on_the_number_of_workers(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "WIDEST_COHORT", {"cpu": 5})  # four cohorts a generation
    one, other = (
        hebbevo.search(space, study=tmp_path / f"{workers}.db", workers=workers).path for workers in (1, 3)
    )
    assert_same_study(other, one)


def test_another_seed_gives_another_study(space: Path, uninterrupted: Path, tmp_path: Path) -> None:
    other = hebbevo.search(space, study=tmp_path / "other.db", seed=4).path
    assert not table(other).equals(table(uninterrupted))


def test_trials_is_the_total_and_more_of_them_continue_the_study(space: Path, tmp_path: Path) -> None:
    path = tmp_path / "grown.db"
    hebbevo.search(space, study=path, trials=12)
    short = table(path)
    assert len(short) == 12
    hebbevo.search(space, study=path, trials=24)
    grown = table(path)
    assert len(grown) == 24
    pd.testing.assert_frame_equal(grown[:12], short, check_exact=True)
    assert grown.generation.tolist() == [0] * 8 + [1] * 4 + [2] * 8 + [3] * 4
    hebbevo.resume(path)
    assert len(table(path)) == 24
    hebbevo.resume(path, trials=30)
    assert len(table(path)) == 30


def test_a_failed_training_is_recorded_with_its_reason_and_the_search_continues(
    space: Path, tmp_path: Path
) -> None:
    text = space.read_text().replace("low: 3e-3, high: 3e-2", "low: 1e-2, high: 1e30")
    space.write_text(text)
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16)
    trials = study.trials()
    failed = trials[trials.state == "failed"]
    assert 0 < len(failed) < 16
    assert failed.failure.str.contains(r"the loss became NaN or infinite at step \d+").all()
    assert failed.accuracy.isna().all()
    assert study.front().accuracy.notna().all()


def test_collapsed_nets_keep_chance_accuracy_and_are_marked(space: Path, tmp_path: Path) -> None:
    text = space.read_text().replace("warmup: 4", "min_neurons: 0, max_deaths: 1.0, warmup: 4")
    space.write_text(text.replace("low: 1e-2, high: 100, log: true", "low: 1e3, high: 1e4, log: true"))
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8, replicates=1)
    trials = study.trials()
    assert trials.collapsed.any()
    assert (trials.survivors[trials.collapsed] == 0).all()
    assert (trials.survivors[~trials.collapsed] > 0).all()
    assert (trials.accuracy[trials.collapsed] == study.chance).all()  # three classes of equal size


def test_the_test_set_has_no_influence_on_a_search(space: Path, tmp_path: Path, blobs: Path) -> None:
    with np.load(blobs) as arrays:
        x, y = arrays["x"], arrays["y"]
    tables = []
    for name, noise in (("a", 0.0), ("b", 100.0)):
        file = tmp_path / f"{name}.npz"
        np.savez(file, x=x, y=y, x_test=x[:30] + noise, y_test=y[:30])
        tables.append(
            table(hebbevo.search(space, study=tmp_path / f"{name}.db", trials=8, dataset=str(file)).path)
        )
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_trial_that_another_program_added_does_not_disturb_the_search(
    space: Path, tmp_path: Path, optuna_study: Callable[[Path], optuna.Study]
) -> None:
    path = hebbevo.search(space, study=tmp_path / "s.db", trials=8, halving=True).path
    optuna_study(path).add_trial(optuna.trial.create_trial(values=[0.5, 3.0]))
    assert len(hebbevo.resume(path, trials=24).trials()) == 24


# --- spaces as mappings ---


@pytest.fixture
def mapping(space: Path) -> dict:
    """What the space file says, as plain data."""
    return load_document(space).data


def test_a_mapping_is_searched_as_the_file_that_says_the_same(
    mapping: dict, uninterrupted: Path, tmp_path: Path
) -> None:
    assert_same_study(hebbevo.search(mapping, study=tmp_path / "mapping.db").path, uninterrupted)
    assert_same_study(hebbevo.search(mapping, study=uninterrupted).path, uninterrupted)


def test_a_shipped_space_can_be_changed_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changed = hebbevo.spec.read("stamina").to_json()
    changed["name"] = "slow"
    changed["genome"] = {"learning_rate": {"low": 1e-5, "high": 1e-4, "log": True}}
    study = hebbevo.search(changed, population=4, trials=4, epochs=1)
    assert study.path == Path("studies/slow.db")
    assert study.trials()["genome.learning_rate"].between(1e-5, 1e-4).all()


def test_a_mapping_without_a_name_is_named_after_its_study_which_may_move(
    mapping: dict, tmp_path: Path
) -> None:
    del mapping["name"], mapping["version"]
    study = hebbevo.search(mapping, study=tmp_path / "mine.db", trials=8)
    assert study.name == "mine"
    moved = study.path.rename(tmp_path / "moved.db")
    again = hebbevo.search(mapping, study=moved, trials=16)
    assert (again.name, len(again.trials())) == ("mine", 16)


def test_without_a_study_either_it_is_named_after_its_data(
    mapping: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    del mapping["name"]
    assert hebbevo.search(mapping, trials=8).path == Path("studies/blobs.db")
    mapping["genome"]["regrowth_rate"]["high"] = 0.2
    with pytest.raises(StudyError, match=r"genome\.regrowth_rate\.high: 0\.1 in the study, 0\.2 here"):
        hebbevo.search(mapping, trials=8)


# --- what is refused ---


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ({"seed": 7}, "search.seed: 3 in the study, 7 here"),
        ({"population": 12}, "search.population: 8 in the study, 12 here"),
        ({"replicates": 1}, "search.replicates: 2 in the study, 1 here"),
        ({"epochs": 4}, "task.epochs: 3 in the study, 4 here"),
        ({"dataset": "digits"}, "task.dataset"),
    ],
)
def test_a_rerun_with_other_settings_is_refused_with_the_difference(
    space: Path, uninterrupted: Path, override: dict, difference: str
) -> None:
    with pytest.raises(StudyError, match="made with other settings") as caught:
        hebbevo.search(space, study=uninterrupted, **override)
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_space_is_refused_with_the_difference(space: Path, uninterrupted: Path) -> None:
    space.write_text(space.read_text().replace("high: 100", "high: 50"))
    with pytest.raises(
        StudyError, match=r"genome\.unactivation_penalty\.high: 100.* in the study, 50.* here"
    ):
        hebbevo.search(space, study=uninterrupted)


def test_resume_refuses_changed_data(space: Path, tmp_path: Path, blobs: Path) -> None:
    own = tmp_path / "own.npz"
    with np.load(blobs) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez(own, x=x, y=y)
    path = hebbevo.search(space, study=tmp_path / "s.db", trials=8, dataset=str(own)).path
    np.savez(own, x=x + 1, y=y)
    with pytest.raises(StudyError, match=r"own\.npz has changed"):
        hebbevo.resume(path, trials=16)


@pytest.fixture
def begun(space: Path, tmp_path: Path, blobs: Path) -> tuple[Path, Path]:
    """A study of 8 trials whose data file has moved since, and the new place."""
    here, there = tmp_path / "here.npz", tmp_path / "elsewhere" / "renamed.npz"
    here.write_bytes(blobs.read_bytes())
    path = hebbevo.search(space, study=tmp_path / "moved.db", dataset=str(here), trials=8).path
    there.parent.mkdir()
    return path, here.rename(there)


def test_a_study_goes_on_after_its_data_have_moved_and_remembers_the_place(
    begun: tuple[Path, Path], uninterrupted: Path
) -> None:
    path, there = begun
    with pytest.raises(
        StudyError, match=r"here\.npz are not there; .*: hebbevo resume .*moved\.db --data PATH"
    ):
        hebbevo.resume(path, trials=16)
    study = hebbevo.resume(path, trials=16, dataset=str(there))
    assert study.settings["task"]["dataset"] == str(there)
    hebbevo.resume(path, trials=24)
    assert (
        table(path)[["accuracy", "survivors"]]
        .iloc[:8]
        .equals(table(uninterrupted)[["accuracy", "survivors"]].iloc[:8])
    )
    assert len(table(path)) == 24


def test_a_search_with_its_data_at_another_place_goes_on(
    begun: tuple[Path, Path], space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, there = begun
    monkeypatch.setenv("HOME", str(there.parent))
    study = hebbevo.search(space, study=path, dataset="~/renamed.npz", trials=16)
    assert len(study.trials()) == 16
    assert study.settings["task"]["dataset"] == str(there)


def test_other_data_at_another_place_are_refused_and_change_nothing(
    begun: tuple[Path, Path], space: Path, tmp_path: Path
) -> None:
    path, there = begun
    with np.load(there) as held:
        np.savez(tmp_path / "other.npz", x=held["x"] + 1e-3, y=held["y"])
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"other\.npz is not the one of the study; give the data that it"):
        hebbevo.resume(path, trials=16, dataset=str(tmp_path / "other.npz"))
    with pytest.raises(StudyError, match=r"was made with other settings \(task\.dataset: "):
        hebbevo.search(space, study=path, dataset=str(tmp_path / "other.npz"), trials=16)
    with pytest.raises(UsageError, match=r"gone\.npz: there is no such file"):
        hebbevo.resume(path, trials=16, dataset=str(tmp_path / "gone.npz"))
    assert path.read_bytes() == before
    assert hebbevo.open_study(path).settings["task"]["dataset"].endswith("here.npz")


def test_data_at_another_place_do_not_run_code_that_is_not_allowed(
    begun: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = begun
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harm.py").write_text("open('harmed', 'w').close()\n")
    with pytest.raises(StudyError, match=r"runs your own code \(harm:load\)"):
        hebbevo.resume(path, dataset="harm:load")
    assert not (tmp_path / "harmed").exists()


def test_a_home_folder_is_found_in_every_path(
    space: Path, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "b.npz").write_bytes(blobs.read_bytes())
    study = hebbevo.search("~/small.yaml", study="~/s.db", dataset="~/b.npz", trials=8)
    assert (study.path, study.settings["task"]["dataset"]) == (tmp_path / "s.db", str(tmp_path / "b.npz"))
    assert len(hebbevo.open_study("~/s.db").trials()) == 8
    assert write(study, Path("~/report"))[0] == tmp_path / "report" / "report.html"


def test_a_table_with_row_numbers_is_searched_without_them_and_says_so(
    space: Path, tmp_path: Path, blobs: Path
) -> None:
    with np.load(blobs) as held:
        order = np.argsort(held["y"], kind="stable")
        frame = pd.DataFrame(held["x"][order]).add_prefix("f").assign(label=held["y"][order])
    frame.assign(copy=frame.label * 2).to_csv(tmp_path / "sorted.csv")
    said: list[hebbevo.Progress] = []
    path = tmp_path / "sorted.db"
    options = {"dataset": str(tmp_path / "sorted.csv"), "target": "label"}
    hebbevo.search(space, study=path, trials=8, watch=said.append, **options)
    assert [progress.notice.partition(" and ")[0] for progress in said[:2]] == [
        "column 'Unnamed: 0' numbers the rows",
        "column 'copy' says the same as 'label'",
    ]
    frame.to_csv(tmp_path / "plain.csv", index=False)
    options["dataset"] = str(tmp_path / "plain.csv")
    plain = hebbevo.search(space, study=tmp_path / "plain.db", trials=8, **options).path
    assert table(path).equals(table(plain))
    assert len(hebbevo.resume(path, trials=16).trials()) == 16


def test_a_second_search_on_the_same_study_is_refused(space: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    refusals = []

    def second(progress: hebbevo.Progress) -> None:
        with pytest.raises(StudyError, match="has been searching it since 20") as caught:
            hebbevo.resume(path)
        refusals.append(caught.value)

    hebbevo.search(space, study=path, trials=8, watch=second)
    assert refusals


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "ten", "", True])
def test_a_timeout_that_is_no_length_of_time_is_refused_before_a_study_is_made(
    space: Path, tmp_path: Path, timeout: object
) -> None:
    path = tmp_path / "s.db"
    with pytest.raises(UsageError, match=r"^--timeout: .* is not a length of time; write seconds"):
        hebbevo.search(space, study=path, timeout=timeout)
    assert not path.exists()


@pytest.mark.parametrize("wrong", [5, None, b"stamina", ["stamina"], {1, 2}, object])
def test_what_is_no_space_is_refused_in_one_line(wrong: object) -> None:
    with pytest.raises(SpaceError) as caught:
        hebbevo.search(wrong)
    assert str(caught.value) == (
        f"space: {wrong!r} is of type {type(wrong).__name__}; write the path of a space file, "
        "the name of a shipped one, a mapping or a Spec"
    )


@pytest.mark.parametrize(
    ("option", "wrong", "line"),
    [
        ("trials", "ten", "--trials: 'ten' is not a whole number; write a whole number of 1 or more"),
        ("workers", "2", "--workers: '2' is not a whole number; write one"),
        ("workers", 1.5, "--workers: 1.5 is not a whole number; write one"),
        ("nice", True, "--nice: True is not a whole number; write one"),
        ("gpus_per_worker", "1", "--gpus-per-worker: '1' is not a number; write one, as in 1 or 0.5"),
        ("ray_address", 5, "--ray-address: 5 is not text; write auto, or HOST:PORT"),
        ("dataset", 5, "--data: 5 is not text; write the name of a data set"),
        ("start", {"learning_rate": 1}, "--start: {'learning_rate': 1} is not a list"),
        ("study", 5, "study: 5 is of type int; write the path of a file"),
        ("storage", 5, "storage: 5 is of type int; write a URL"),
        ("watch", 5, "watch: 5 cannot be called; write a function, or None for no display"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused_in_one_line(
    space: Path, tmp_path: Path, option: str, wrong: object, line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        hebbevo.search(space, **{"study": tmp_path / "s.db", option: wrong})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.db").exists()


def test_an_option_that_does_not_exist_is_refused_with_the_closest(space: Path) -> None:
    with pytest.raises(TypeError, match=r"search\(\) has no argument 'trails'; did you mean trials\?"):
        hebbevo.search(space, trails=10)
    with pytest.raises(TypeError, match=r"resume\(\) has no argument 'workrs'; did you mean workers\?"):
        hebbevo.resume("s.db", workrs=10)


# --- the package ---


def test_all_that_a_user_needs_is_under_one_name() -> None:
    script = (
        "import hebbevo\n"
        "assert hebbevo.__version__ and set(hebbevo.__all__) <= set(dir(hebbevo))\n"
        "for name in dir(hebbevo): getattr(hebbevo, name)\n"
        "hebbevo.spec.read('stamina'), hebbevo.data.load, hebbevo.errors.UsageError, hebbevo.nn.Stamina\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
