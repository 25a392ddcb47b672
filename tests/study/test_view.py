"""The tables of a study against the trials that are recorded."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hebbevo
from hebbevo.cli.results import front_objects
from hebbevo.errors import UsageError
from hebbevo.space import ChoiceGene, FloatGene, IntGene
from hebbevo.spec import Spec
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.study.view import Study, open_study
from hebbevo.study.window import make_window
from hebbevo.training.trial_details import EarlyStop
from tests.study.conftest import create, result

SPEC = Spec.model_validate(
    {
        "version": 1,
        "name": "looked-at",
        "task": {"dataset": "digits"},
        "genome": {
            "rate": {"low": 0.0, "high": 1.0},
            "depth": {"type": "int", "low": 1, "high": 9},
            "kind": {"choices": ["plain", "rich"]},
            "bias": {"choices": [True, False]},
            "gain": {"low": 0.0, "high": 1.0, "when": {"kind": "rich"}},
            "form": {"choices": ["a", "b"], "when": {"kind": "rich"}},
        },
    }
)
FACTS = StudyFacts(versions={"python": "3.11", "torch": "2"}, neurons=40, chance=0.25)
PLAIN = {"rate": 0.5, "depth": 2, "kind": "plain", "bias": True}
RICH = {"rate": 0.25, "depth": 9, "kind": "rich", "bias": False, "gain": 0.75, "form": "b"}
CRASHED = FailedAttempt((0,), FailureKind.CRASH, "killed", "process 7", 1.0, Recovery.AGAIN)
COLUMNS = {
    "trial": "int64",
    "accuracy": "float64",
    "accuracy_sd": "float64",
    "survivors": "float64",
    "survivors_sd": "float64",
    "neurons": "int64",
    "collapsed": "bool",
    "feasible": "bool",
    "generation": "int64",
    "seconds": "float64",
    "copy_of": "Int64",
    "failure": "object",
    "notes": "object",
    "attempts": "int64",
    "repeatable": "bool",
}


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("study") / "blank.db"
    create(path, SPEC, FACTS)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, blank: bytes) -> Path:
    path = tmp_path / "study.db"
    path.write_bytes(blank)
    return path


def written(path: Path, values: list[tuple[float, float] | None]) -> Study:
    """A study whose only generation has these values."""
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, len(values), 0.0, [PLAIN] * len(values))
        ledger.close_cohort([result(number, value) for number, value in enumerate(values)])
    return open_study(path)


def test_a_study_says_what_it_is(path):
    study = open_study(str(path))
    assert (str(study.store), study.path) == (str(path), path)
    assert (study.path, study.name, study.neurons, study.chance) == (path, "looked-at", 40, 0.25)
    assert study.settings == SPEC.to_json()
    assert study.versions == FACTS.versions


def test_every_trial_is_a_row_in_the_order_of_asking(path):
    notes = ["not followed: fft in net", "its units"]
    details = {"accuracy_sd": 0.01, "survivors_sd": 1.5, "collapsed": True, "seconds": 3.5, "notes": notes}
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, 6, 0.0, [PLAIN, RICH, PLAIN])
        ledger.add_attempt([0], CRASHED)
        ledger.close_cohort([result(1, (0.75, 12.5), **details), result(0, (0.5, 40.0), seconds=0.5)])
        ledger.close_cohort([result(2, None, failure="diverged", seconds=1.25, copy_of=1)])
        ledger.open_generation(1, 6, 0.0, [RICH])
        ledger.add_attempt([3], CRASHED)
    nan, none = math.nan, None
    expected = {
        "trial": [0, 1, 2, 3],
        "state": ["complete", "complete", "failed", "running"],
        "accuracy": [0.5, 0.75, nan, nan],
        "accuracy_sd": [nan, 0.01, nan, nan],
        "survivors": [40.0, 12.5, nan, nan],
        "survivors_sd": [nan, 1.5, nan, nan],
        "neurons": [40] * 4,
        "collapsed": [False, True, False, False],
        "feasible": [True, True, False, False],
        "generation": [0, 0, 0, 1],
        "seconds": [0.5, 3.5, 1.25, nan],
        "copy_of": pd.array([none, none, 1, none], dtype="Int64"),
        "failure": pd.Series([none, none, "diverged", none], dtype=object),
        "notes": pd.Series([none, "not followed: fft in net; its units", none, none], dtype=object),
        "attempts": [2, 1, 0, 1],
        "repeatable": [True] * 4,
        "genome.rate": [0.5, 0.25, 0.5, 0.25],
        "genome.depth": [2, 9, 2, 9],
        "genome.kind": ["plain", "rich", "plain", "rich"],
        "genome.bias": [True, False, True, False],
        "genome.gain": [nan, 0.75, nan, 0.75],
        "genome.form": [none, "b", none, "b"],
    }
    trials = open_study(path).trials()
    pd.testing.assert_frame_equal(trials, pd.DataFrame(expected), check_exact=True)
    assert {name: str(trials[name].dtype) for name in COLUMNS} == COLUMNS
    assert trials.failure.tolist() == [None, None, "diverged", None]


TYPED = Spec.model_validate(
    {
        "version": 1,
        "name": "typed",
        "task": {"dataset": "digits"},
        "genome": {
            "wide": {"choices": [True, False]},
            "width": {"choices": [16, 32], "when": {"wide": True}},
            "always": {"choices": [1, 2]},
            "mixed": {"choices": [1, 2.0, 0.5]},
            "any": {"choices": ["a", 1, True, 1.5], "when": {"wide": True}},
            "whole": {"type": "int", "low": 1, "high": 99, "when": {"wide": True}},
            "real": {"low": 1, "high": 2},
            "flag": {"choices": [True, False], "when": {"wide": True}},
        },
    }
)
NARROW = {"wide": False, "always": 2, "mixed": 1, "real": 1.0}
WIDE = {
    "wide": True,
    "width": 32,
    "always": 1,
    "mixed": 2.0,
    "any": 1,
    "whole": 16,
    "real": 2.0,
    "flag": False,
}
TRUE = WIDE | {"any": True, "mixed": 0.5, "flag": True, "width": 16}


def typed(genome):
    return {name: (type(value), value) for name, value in genome.items()}


def test_a_gene_comes_back_with_the_value_and_type_that_its_space_file_has(tmp_path):
    create(tmp_path / "typed.db", TYPED, FACTS)
    genomes = [WIDE, NARROW, TRUE]
    with Ledger.open(tmp_path / "typed.db") as ledger:
        ledger.open_generation(0, 3, 0.0, genomes)
        ledger.close_cohort([result(i, (0.5 + i / 10, 10.0 + i)) for i in range(3)])
    study = open_study(tmp_path / "typed.db")
    assert [typed(study.genome(trial)) for trial in range(3)] == [typed(genome) for genome in genomes]
    assert [typed(each["genome"]) for each in front_objects(study)] == [typed(genome) for genome in genomes]
    for table in (study.trials(), study.front()):
        for row, genome in zip(table.to_dict("records"), genomes, strict=True):
            shown = {gene.name: row[f"genome.{gene.name}"] for gene in TYPED.space.genes}
            assert typed({name: value for name, value in shown.items() if pd.notna(value)}) == typed(genome)
        texts = table.to_csv(index=False).splitlines()
        assert texts[1].endswith("True,32,1,2.0,1,16,2.0,False")
        assert texts[2].endswith("False,,2,1,,,1.0,")
    with pytest.raises(UsageError, match="there is no trial 3"):
        study.genome(3)


def test_the_row_of_a_best_trial_does_not_make_floats_of_whole_numbers(tmp_path):
    spec = {**TYPED.to_json(), "objectives": {"accuracy": "maximize"}}
    spec["genome"] = {"width": {"choices": [16, 32]}, "whole": {"type": "int", "low": 1, "high": 99}}
    create(tmp_path / "best.db", Spec.model_validate(spec), FACTS)
    with Ledger.open(tmp_path / "best.db") as ledger:
        ledger.open_generation(0, 1, 0.0, [{"width": 32, "whole": 16}])
        ledger.close_cohort([result(0, (0.5, 10.0))])
    best = open_study(tmp_path / "best.db").best()
    assert [repr(best[name]) for name in ("trial", "genome.width", "genome.whole")] == ["0", "32", "16"]


@pytest.mark.parametrize("trials", [0, 1], ids=["no trial", "one that runs"])
def test_a_study_without_finished_trials_has_the_same_columns(path, trials):
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, 4, 0.0, [PLAIN] * trials)
    study = open_study(path)
    table = study.trials()
    assert len(table) == trials
    assert list(table.columns[len(COLUMNS) + 1 :]) == [f"genome.{gene.name}" for gene in SPEC.space.genes]
    assert {name: str(table[name].dtype) for name in COLUMNS} == COLUMNS
    assert study.points().empty
    assert study.front().empty
    assert study.best() is None and study.nearest() is None
    assert study.hypervolume() == 0.0
    assert repr(study) == f"Study({str(path)!r}, trials={trials}, front=0)"


@pytest.mark.parametrize("seed", range(4))
def test_the_front_has_the_trials_that_no_other_beats(path, seed):
    rng = np.random.default_rng(seed)
    values = [(float(a), float(s)) for a, s in zip(rng.random(60), rng.integers(0, 41, 60), strict=True)]
    mixed = [None if number % 7 == 0 else value for number, value in enumerate(values)]
    mixed[1] = mixed[2]  # of equal trials the first is taken
    study = written(path, mixed)
    alive = [(number, *value) for number, value in enumerate(mixed) if value is not None]
    unbeaten = [
        (survivors, number, accuracy)
        for number, accuracy, survivors in alive
        if not any(
            a >= accuracy and s <= survivors and ((a, s) != (accuracy, survivors) or other < number)
            for other, a, s in alive
            if other != number
        )
    ]
    front = study.front()
    assert list(zip(front.survivors, front.trial, front.accuracy, strict=True)) == sorted(unbeaten)
    assert list(front.index) == list(range(len(front)))
    named = ["trial", "epoch", "accuracy", "accuracy_sd", "survivors", "survivors_sd", "neurons"]
    assert list(front.columns) == named + [f"genome.{gene.name}" for gene in SPEC.space.genes]


def with_goal(path: Path, values: list[tuple[float, float] | None], **goal: dict) -> Study:
    """A study with this goal whose only generation has these values."""
    path.unlink()
    create(path, Spec.model_validate(SPEC.to_json() | goal), FACTS)
    return written(path, values)


MIXED = [(0.9, 20.0), (0.6, 9.0), None, (0.7, 8.0), (0.5, 1.0), (0.7, 9.0), (0.95, 30.0)]


def test_only_trials_within_every_constraint_are_on_the_front_and_add_hypervolume(path):
    study = with_goal(path, MIXED, constraints={"accuracy": {"min": 0.6}, "survivors": {"max": 20}})
    assert study.trials().feasible.tolist() == [True, True, False, True, False, True, False]
    assert study.front().trial.tolist() == [3, 0]
    steps = 0.45 * (1 - 8 / 40) + 0.2 * (1 - 20 / 40)  # from chance 0.25 to 0.7, and on to 0.9
    assert study.hypervolume() == pytest.approx(steps / 0.75)
    assert study.nearest() is None
    assert study.best() is None  # two objectives have a front


def test_if_no_trial_meets_the_constraints_there_is_a_nearest_one_and_no_front(path):
    study = with_goal(path, MIXED, constraints={"accuracy": {"min": 0.8}, "survivors": {"max": 8}})
    assert study.front().empty
    assert study.hypervolume() == 0.0
    assert study.nearest().trial == 3  # by 0.1 of accuracy; the next by 1 of 8 neurons
    assert study.nearest().survivors == 8.0
    assert with_goal(path, [None], constraints={"accuracy": {"min": 0.8}}).nearest() is None


@pytest.mark.parametrize(
    ("objectives", "best"),
    [
        ({"accuracy": "maximize"}, 6),
        ({"survivors": "minimize"}, 4),
        ({"weighted": {"accuracy": 1.0, "survivors": -0.02}}, 3),  # 0.54, before 0.52 of 5 and 0.5 of 0
        ({"weighted": {"survivors": 1.0}}, 6),
    ],
)
def test_a_single_objective_has_one_best_trial(path, objectives, best):
    study = with_goal(path, MIXED, objectives=objectives)
    assert study.best().trial == best
    assert list(study.best().index) == list(study.front().columns)
    assert study.front().trial.tolist() == [4, 3, 0, 6]  # the trade-off is there all the same


def test_the_best_trial_is_a_feasible_one_and_of_equals_the_better_in_the_other_measure(path):
    tied = [(0.5, 9.0), (0.7, 9.0), (0.7, 9.0), (0.9, 20.0), (0.4, 2.0), None]
    aim = {"objectives": {"survivors": "minimize"}, "constraints": {"accuracy": {"min": 0.5}}}
    assert with_goal(path, tied, **aim).best().trial == 1
    aim["objectives"] = {"accuracy": "maximize"}
    assert with_goal(path, [(0.7, 9.0), (0.7, 8.0), (0.4, 1.0)], **aim).best().trial == 1
    assert with_goal(path, [(0.4, 1.0), None], **aim).best() is None


def test_the_total_is_that_of_the_last_generation(path):
    with Ledger.open(path) as ledger:
        assert Study(ledger).total == SPEC.search.trials
        ledger.open_generation(0, 6, 0.0, [PLAIN])
        ledger.open_generation(1, 9, 0.0, [PLAIN])
    assert open_study(path).total == 9


def test_the_hypervolume_is_the_dominated_part_of_the_rectangle_above_chance(path):
    study = written(path, [(0.625, 10.0), (1.0, 20.0), (0.25, 0.0), (0.1, 1.0), None])
    # from chance 0.25: half the height over three quarters of the width, and the rest over one half
    assert study.hypervolume() == pytest.approx(0.5 * 0.75 + 0.5 * 0.5)


def test_a_caller_may_change_a_table_without_changing_the_study(path):
    study = written(path, [(0.5, 3.0), (0.75, 4.0)])
    for table in (study.trials(), study.points(), study.front()):
        table.loc[0, "accuracy"] = 9.0
    assert study.trials().accuracy.tolist() == [0.5, 0.75]
    assert study.points().accuracy.tolist() == [0.5, 0.75]
    assert study.front().accuracy.tolist() == [0.5, 0.75]


def test_genes_have_their_own_types_where_they_are_always_active(path):
    trials = written(path, [(0.5, 3.0)]).trials()
    kinds = {FloatGene: "float64", IntGene: "int64"}
    for gene in SPEC.space.genes:
        if not gene.when and not isinstance(gene, ChoiceGene):
            assert str(trials[f"genome.{gene.name}"].dtype) == kinds[type(gene)]
    assert str(trials["genome.bias"].dtype) == "bool"


def test_a_copy_has_no_attempts_and_is_as_repeatable_as_its_original(path):
    halved = replace(CRASHED, recovery=Recovery.IN_HALVES)
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, 6, 0.0, [PLAIN, RICH, PLAIN, RICH])
        ledger.add_attempt([0], halved)
        ledger.close_cohort([result(0, (0.5, 40.0)), result(1, (0.5, 30.0))])
        ledger.close_cohort([result(2, (0.5, 40.0), copy_of=0), result(3, (0.5, 30.0), copy_of=1)])
    trials = open_study(path).trials()
    assert trials.attempts.tolist() == [2, 1, 0, 0]
    assert trials.repeatable.tolist() == [False, True, False, True]


def test_a_last_attempt_that_failed_is_counted_once_and_need_not_repeat(path):
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, 6, 0.0, [PLAIN, RICH])
        ledger.add_attempt([0], CRASHED)
        ledger.add_attempt([0], replace(CRASHED, recovery=Recovery.FAILED))
        ledger.add_attempt([1], replace(CRASHED, recovery=Recovery.IN_HALVES))
        ledger.close_cohort([result(0, None, failure="killed"), result(1, (0.5, 30.0))])
    trials = open_study(path).trials()
    assert trials.attempts.tolist() == [2, 2]
    assert trials.repeatable.tolist() == [False, False]


def test_a_trial_with_a_smaller_network_has_its_own_number_of_neurons(path):
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, 6, 0.0, [PLAIN, RICH])
        ledger.close_cohort([result(0, (0.5, 9.0), neurons=12), result(1, (0.75, 30.0))])
    study = open_study(path)
    assert study.trials().neurons.tolist() == [12, 40]
    assert study.front().neurons.tolist() == [12, 40]


# --- epoch results ---

EPOCHS = SPEC.task.epochs


def trained(number: int, states: list[tuple[float, float]], **details: object) -> Result:
    """A trial with these states after its epochs; it is complete if it has as many as a whole training."""
    accuracy, survivors = zip(*states, strict=True)
    details |= {"accuracy_per_epoch": accuracy, "survivors_per_epoch": survivors}
    if len(states) == EPOCHS:
        return result(number, states[-1], **details)
    return result(number, None, stopped=EarlyStop(len(states), None, "beaten"), **details)


def to_the_end(*states: tuple[float, float]) -> list[tuple[float, float]]:
    """The states of a complete training: these, then the last one until the end."""
    return [*states, *[states[-1]] * (EPOCHS - len(states))]


def recorded(path: Path, *results: Result, **goal: dict) -> Study:
    """A study with this goal and these trials."""
    path.unlink()
    spec = Spec.model_validate(SPEC.to_json() | goal)
    with Ledger.create(path, spec, FACTS) as ledger:
        ledger.open_generation(0, len(results), 0.0, [PLAIN, RICH, *[PLAIN] * len(results)][: len(results)])
        ledger.close_cohort(results)
    return open_study(path)


def test_points_are_the_epoch_results_that_count_with_trial_and_epoch(path):
    sds = {"accuracy_sd": 0.01, "survivors_sd": 2.0}
    study = recorded(
        path,
        trained(0, to_the_end((0.5, 40.0), (0.9, 20.0), (0.8, 20.0), (0.7, 4.0)), **sds),
        trained(1, [(0.4, 40.0), (0.3, 30.0)], seconds=1.0, **sds),
        result(2, None, failure="diverged"),
        constraints={"survivors": {"max": 30}},
    )
    expected = {
        "trial": [0, 0, 0, 1, 1],
        "epoch": [1, 3, EPOCHS, 1, 2],
        "accuracy": [0.5, 0.8, 0.7, 0.4, 0.3],
        "survivors": [40.0, 20.0, 4.0, 40.0, 30.0],
        "feasible": [False, True, True, False, True],
        "finished": [False, False, True, False, False],
        "works": [True] * 5,
    }
    pd.testing.assert_frame_equal(study.points(), pd.DataFrame(expected))
    trials = study.trials()
    assert trials.state.tolist() == ["complete", "stopped", "failed"]
    assert trials.accuracy.tolist()[:1] == [0.7] and trials.accuracy.isna().tolist() == [False, True, True]
    assert trials.accuracy_sd.isna().tolist() == [False, True, True]
    assert trials.feasible.tolist() == [True, False, False]
    front = study.front()
    assert front[["trial", "epoch", "accuracy", "survivors"]].to_numpy().tolist() == [
        [0, EPOCHS, 0.7, 4.0],
        [0, 3, 0.8, 20.0],
    ]
    assert front.accuracy_sd.tolist()[0] == 0.01 and front.survivors_sd.isna().tolist() == [False, True]
    assert front["genome.rate"].tolist() == [0.5, 0.5]
    assert study.hypervolume() == pytest.approx((0.45 * 36 / 40 + 0.1 * 20 / 40) / 0.75)


@pytest.mark.parametrize("seed", range(3))
def test_the_front_is_that_of_all_points_and_of_equal_ones_a_last_epoch_goes_first_then_the_first_trial(
    path, seed
):
    rng = np.random.default_rng(seed)
    lengths = np.where(rng.random(30) < 0.6, EPOCHS, rng.integers(1, EPOCHS, 30))
    courses = [
        [(float(a) / 8, float(s)) for a, s in rng.integers([8, 12], size=(length, 2))] for length in lengths
    ]
    study = recorded(path, *(trained(number, states) for number, states in enumerate(courses)))
    candidates = [
        (epoch < EPOCHS, number, epoch, *state)
        for number, states in enumerate(courses)
        for epoch, state in enumerate(states, start=1)
        if state[1] not in [survivors for _, survivors in states[epoch:]]
    ]
    unbeaten = [
        (survivors, *place[1:], accuracy)
        for *place, accuracy, survivors in candidates
        if not any(
            a >= accuracy and s <= survivors and ((a, s) != (accuracy, survivors) or other < place)
            for *other, a, s in candidates
        )
    ]
    front = study.front()
    found = list(zip(front.survivors, front.trial, front.epoch, front.accuracy, strict=True))
    assert found == sorted(unbeaten)
    assert (front.epoch < EPOCHS).any()


def test_the_best_by_one_objective_is_a_last_epoch_and_no_lucky_earlier_one(path):
    early = trained(0, to_the_end((0.9, 20.0), (0.5, 10.0)))
    aim = {"objectives": {"accuracy": "maximize"}}
    best = recorded(path, early, **aim).best()
    assert (best.trial, best.epoch, best.accuracy, best.survivors) == (0, EPOCHS, 0.5, 10.0)
    best = recorded(path, early, trained(1, to_the_end((0.6, 20.0))), **aim).best()
    assert (best.trial, best.epoch) == (1, EPOCHS)


def test_the_point_nearest_to_the_constraints_may_be_an_earlier_epoch(path):
    early = trained(0, to_the_end((0.9, 20.0), (0.5, 10.0)))
    nearest = recorded(path, early, constraints={"accuracy": {"min": 0.95}}).nearest()
    assert (nearest.trial, nearest.epoch) == (0, 1)
    assert recorded(path, early, constraints={"accuracy": {"min": 0.9}}).nearest() is None


def test_a_window_that_is_asked_for_twice_is_computed_once(uninterrupted, monkeypatch):
    computed = []

    def counted(*arguments):
        computed.append(arguments)
        return make_window(*arguments)

    monkeypatch.setattr("hebbevo.study.window.make_window", counted)
    study = hebbevo.open_study(uninterrupted)
    first = study.window()
    first.shares.loc[0, "group"] = "changed"  # by the user, who may do so
    again = study.window()
    assert len(computed) == 1
    assert again.shares.loc[0, "group"] == "all"
    assert again.sentence == first.sentence
    study.window(min_lost=0.9)
    study.window(knob="learning_rate")
    assert len(computed) == 3
