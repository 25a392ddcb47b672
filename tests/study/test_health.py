"""Each finding by a hand-made study that has it, and by one that has not."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.health import health
from hebbevo.study.ledger import Ledger
from hebbevo.study.view import Study
from tests.study.conftest import create, result

FACTS = StudyFacts(versions={"python": "3"}, neurons=40, chance=0.1)
MIDDLE = {"learning_rate": 1e-3, "regrowth_rate": 0.05, "warmup": 50}
SETTINGS = {
    "version": 1,
    "name": "ill",
    "task": {"dataset": "digits"},
    "network": {"hidden": [20, 20], "units": "stamina"},
    "search": {"replicates": 3, "population": 4},
    "genome": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "regrowth_rate": {"low": 0.0, "high": 0.1},
        "warmup": {"type": "int", "low": 10, "high": 90},
    },
}
ZERO = SETTINGS["genome"] | {"regrowth_rate": {"low": 1e-4, "high": 0.1, "log": True, "zero": True}}
STEPS = [(0.5 + i / 100, 6.0 + i) for i in range(4)]  # each on the front


def lines(
    path: Path, values: list, genomes: list | dict = MIDDLE, search: dict | None = None, **parts
) -> list:
    """The findings of a study with these accuracies and survivors, or details, and these genomes."""
    settings = SETTINGS | parts | {"search": SETTINGS["search"] | (search or {})}
    create(path, Spec.model_validate(settings), FACTS)
    each = genomes if isinstance(genomes, list) else [genomes] * len(values)
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, len(values), 0.0, each)
        ledger.close_cohort(
            [
                result(i, None, failure=value)
                if isinstance(value, str)
                else result(i, value[:2], **of(value))
                for i, value in enumerate(values)
            ]
        )
        return health(Study(ledger))


def of(value: tuple) -> dict:
    """The details that follow accuracy and survivors."""
    return value[2] if len(value) > 2 else {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ill.db"


def test_a_healthy_study_has_no_findings(path: Path) -> None:
    assert lines(path, STEPS) == []


@pytest.mark.parametrize(
    ("gene", "value", "words"),
    [
        ("learning_rate", 9.95e-3, "lie at its upper end 0.01; raise its `high`"),
        ("learning_rate", 1.05e-4, "lie at its lower end 0.0001; lower its `low`"),
        ("regrowth_rate", 0.001, "lie at its lower end 0; search it with `log: true, zero: true`"),
        ("regrowth_rate", 0.0999, "lie at its upper end 0.1; raise its `high`"),
        ("warmup", 90, "lie at its upper end 90; raise its `high`"),
    ],
)
def test_genes_on_the_edge_of_their_range_are_named(path: Path, gene: str, value: float, words: str) -> None:
    genomes = [MIDDLE, *[MIDDLE | {gene: value}] * 3]
    (line,) = lines(path, STEPS, genomes)
    assert line.startswith(f"{gene}: 3 of 4 on the front {words}")


@pytest.mark.parametrize(
    ("gene", "value"),
    [("learning_rate", 9e-3), ("learning_rate", 1.2e-4), ("regrowth_rate", 0.003), ("warmup", 89)],
)
def test_genes_near_the_edge_are_not_named(path: Path, gene: str, value: float) -> None:
    assert lines(path, STEPS, MIDDLE | {gene: value}) == []


def test_two_members_on_an_edge_are_not_many(path: Path) -> None:
    assert lines(path, STEPS, [*[MIDDLE] * 2, *[MIDDLE | {"learning_rate": 1e-2}] * 2]) == []


def test_trials_off_the_front_do_not_count(path: Path) -> None:
    worse = [(0.2, 30.0 + i) for i in range(4)]
    assert lines(path, STEPS + worse, [MIDDLE] * 4 + [MIDDLE | {"learning_rate": 1e-2}] * 4) == []


def test_zero_beside_a_logarithmic_range_is_not_an_edge(path: Path) -> None:
    assert lines(path, STEPS, MIDDLE | {"regrowth_rate": 0.0}, genome=ZERO) == []


def test_an_end_that_the_knob_itself_has_is_not_named(path: Path) -> None:
    genome = {"settle": {"low": 0.5, "high": 0.95}}
    assert lines(path, STEPS, {"settle": 0.95}, genome=genome) == []


@pytest.mark.parametrize(("fewest", "at_floor"), [(2, 4.0), (3, 6.0)])
def test_trials_at_the_floor_are_explained(path: Path, fewest: int, at_floor: float) -> None:
    network = SETTINGS["network"] | {"settings": {"min_neurons": fewest}}
    values = [(0.9, 30.0)] * 7 + [(0.3, at_floor)] * 3
    (line,) = lines(path, values, network=network)
    floor = f"{at_floor:.0f} neurons (min_neurons {fewest} x 2 layers)"
    assert line.startswith(f"3 of 10 trials ended at the floor of {floor}")


def test_few_trials_at_the_floor_are_not_named(path: Path) -> None:
    assert lines(path, [(0.3, 4.0)] * 2 + [(0.9, 30.0)] * 8) == []
    path.unlink()
    assert lines(path, [(0.3, 5.0)] * 3 + [(0.9, 30.0)] * 7) == []


def test_collapsed_networks_are_named_if_they_are_many(path: Path) -> None:
    dead = (0.1, 0.0, {"collapsed": True})
    (line,) = lines(path, [(0.9, 30.0)] * 9 + [dead])
    assert line.startswith("1 of 10 trials collapsed")
    path.unlink()
    assert lines(path, [(0.9, 30.0)] * 10 + [dead]) == []


def test_failed_trials_are_named_with_their_most_frequent_reason(path: Path) -> None:
    (line,) = lines(path, [*STEPS, "out of memory", "diverged", "diverged"])
    assert line == "3 of 7 trials failed, most often: diverged; see the report's failures"


def test_scores_of_one_training_have_no_error_bars(path: Path) -> None:
    (line,) = lines(path, STEPS, search={"replicates": 1})
    assert line.startswith("replicates 1: scores have no error bars")


def test_a_budget_that_ended_too_early_is_named_with_the_part_of_the_gain(path: Path) -> None:
    # a hypervolume of 0.45 x 0.5 at first; 0.6 x 0.5 and 0.9 x 0.5 of the rest after 8 and 10 trials
    heights = [0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.9]
    (line,) = lines(path, [(0.1 + 0.9 * height, 20.0) for height in heights])
    assert line.startswith("not settled: the last 2 trials have 75% of the gain in hypervolume (+0.1500)")
    assert "--trials 20" in line
    path.unlink()
    assert lines(path, [(0.1 + 0.9 * height, 20.0) for height in [*sorted(heights[:9]), 0.6]]) == []


def test_findings_of_a_study_in_which_nothing_beats_chance(path: Path) -> None:
    assert lines(path, [(0.1, 20.0)] * 10, search={"replicates": 1}) == []


@pytest.mark.parametrize(
    ("is_complete", "is_stale", "says_so"), [(True, False, 0), (True, True, 1), (False, False, 1)]
)
def test_scores_have_error_bars_once_the_front_is_confirmed(path, is_complete, is_stale, says_so) -> None:
    lines(path, STEPS, search={"replicates": 1})
    with Ledger.open(path) as ledger:
        study = Study(ledger)
    study.confirmation = SimpleNamespace(is_complete=is_complete, is_stale=is_stale)
    assert sum(line.startswith("replicates 1") for line in health(study)) == says_so
