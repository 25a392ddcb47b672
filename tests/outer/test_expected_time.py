"""Trainings start in the order of the time that they are expected to take."""

from hebbevo.execution import Cohort
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.outer.expected_time import ExpectedTime, longest_first
from hebbevo.space import FloatGene, IntGene, Space
from hebbevo.study.ledger import Record, Result
from hebbevo.training import Candidate, Recipe
from hebbevo.training.trial_details import TrialDetails

SPACE = Space((FloatGene("learning_rate", 0.0, 1.0), IntGene("hidden", 1, 100)))
RECIPE = Recipe(Architecture("mlp", (9, 5), "stamina", False, (4,), 2), {}, epochs=1, batch_size=4, seed=1)


def genome(rate: float, hidden: int) -> dict:
    return {"learning_rate": rate, "hidden": hidden}


def earlier(seconds: float, rate: float, hidden: int = 50) -> Record:
    details = TrialDetails(seconds=seconds)
    return Record(0, genome(rate, hidden), Result(0, (0.5, 3.0), details))


def ordered(genomes, known=(), recipe=RECIPE):
    cohorts = [Cohort((number,), (Candidate(each),)) for number, each in enumerate(genomes)]
    expected = ExpectedTime(SPACE, recipe, known)
    return [number for each in longest_first(cohorts, expected) for number in each.trials]


def test_before_any_trial_the_network_with_the_most_weights_starts_first() -> None:
    assert ordered([genome(0.1, 10), genome(0.2, 30), genome(0.3, 20)]) == [1, 2, 0]


def test_later_a_genome_takes_as_long_as_those_near_it_did() -> None:
    slow = [earlier(9.0, rate) for rate in (0.1, 0.11, 0.12, 0.13, 0.14)]
    fast = [earlier(1.0, rate) for rate in (0.9, 0.91, 0.92, 0.93, 0.94)]
    wide_and_fast, narrow_and_slow = genome(0.92, 60), genome(0.12, 40)
    assert ordered([wide_and_fast, narrow_and_slow], slow + fast) == [1, 0]
    assert ExpectedTime(SPACE, RECIPE, slow + fast)(narrow_and_slow) == 9.0


def test_trials_without_a_result_and_copies_say_nothing() -> None:
    unknown = [Record(1, genome(0.5, 50), None), earlier(0.0, 0.5)]
    assert ordered([genome(0.1, 10), genome(0.2, 30)], unknown) == [1, 0]


def test_cohorts_that_are_not_known_to_differ_stay_in_ask_order() -> None:
    own = Recipe(UserNetwork("mine:build", (4,), 2), {}, epochs=1, batch_size=4, seed=1)
    assert ordered([genome(0.1, 10), genome(0.2, 30), genome(0.3, 20)], recipe=own) == [0, 1, 2]


def test_a_cohort_takes_as_long_as_its_trainings_together() -> None:
    two = Cohort((0, 1), (Candidate(genome(0.1, 10)), Candidate(genome(0.1, 12))))
    one = Cohort((2,), (Candidate(genome(0.1, 14)),))
    assert longest_first([one, two], ExpectedTime(SPACE, RECIPE, ())) == [two, one]
