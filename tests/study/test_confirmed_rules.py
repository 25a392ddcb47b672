"""Which rule is ahead on a confirmed front, against areas computed by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import stats

from hebbevo.study.confirmed_rules import ConfirmedRule, RuleComparison, confirmed_rules

CHANCE, NEURONS = 0.2, 100
GENOMES = {0: {"connections": "set"}, 1: {"connections": "rigl"}, 2: {"connections": "set"}, 3: {}}
MEMBERS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "epoch": [5, 5, 5, 5],
        "found_accuracy": [0.6, 0.9, 0.8, 0.5],
        "found_survivors": [10.0, 50.0, 20.0, 5.0],
    }
)
TRAINED = [  # trial, replicate, accuracy, survivors
    (0, 0, 0.5, 10.0), (0, 1, 0.6, 20.0),
    (1, 0, 0.8, 50.0), (1, 1, 0.9, 40.0),
    (2, 0, 0.7, 20.0), (2, 1, 0.4, 30.0),
    (3, 0, 0.5, 5.0), (3, 1, 0.5, 5.0),
]  # fmt: skip


def study(trained=TRAINED, is_complete: bool = True) -> SimpleNamespace:
    runs = pd.DataFrame(trained, columns=["trial", "replicate", "accuracy", "survivors"])
    runs = runs.assign(role="member", epochs=5)
    dense = runs.assign(role="dense", accuracy=1.0, survivors=1.0)  # must not count
    confirmation = SimpleNamespace(
        is_complete=is_complete,
        runs=lambda: pd.concat([runs, dense], ignore_index=True),
        members=lambda: MEMBERS,
    )
    return SimpleNamespace(
        confirmation=confirmation, chance=CHANCE, neurons=NEURONS, genome=lambda trial: GENOMES[trial]
    )


def test_each_rule_has_the_hypervolume_of_its_own_members_in_each_replicate() -> None:
    found = {each.rule: each for each in confirmed_rules(study(), "connections").rules}
    assert {rule: each.members for rule, each in found.items()} == {"set": 2, "rigl": 1}
    # areas of steps above chance, left of all neurons, over that of the whole rectangle
    assert found["set"].found == pytest.approx((0.4 * 0.9 + 0.2 * 0.8) / 0.8)
    assert found["set"].by_replicate == pytest.approx(((0.3 * 0.9 + 0.2 * 0.8) / 0.8, 0.4 * 0.8 / 0.8))
    assert found["rigl"].by_replicate == pytest.approx((0.6 * 0.5 / 0.8, 0.7 * 0.6 / 0.8))


def test_the_lead_is_paired_by_replicate() -> None:
    found = confirmed_rules(study(), "connections")
    first, second = found.rules
    assert (first.rule, second.rule) == ("set", "rigl")
    interval = stats.ttest_rel(first.by_replicate, second.by_replicate).confidence_interval(0.95)
    assert (found.lead.low, found.lead.high) == pytest.approx((interval.low, interval.high))


def test_a_replicate_in_which_every_member_of_a_rule_failed_has_no_hypervolume() -> None:
    trained = [(trial, r, None if (trial, r) == (1, 0) else a, s) for trial, r, a, s in TRAINED]
    found = {each.rule: each for each in confirmed_rules(study(trained), "connections").rules}
    assert found["rigl"].by_replicate[0] == 0


@pytest.mark.parametrize(
    "given",
    [
        SimpleNamespace(confirmation=None),
        study(is_complete=False),
        study([each for each in TRAINED if each[1] == 0]),
    ],
)
def test_nothing_is_compared_without_two_replicates_of_a_complete_confirmation(given) -> None:
    assert confirmed_rules(given, "connections") is None


@pytest.mark.parametrize(
    ("rules", "ending"),
    [
        ([("set", 0.9, (0.8, 0.81, 0.82))], "and no other rule is on the front"),
        (
            [("set", 0.9, (0.8, 0.81, 0.82)), ("rigl", 0.8, (0.7, 0.71, 0.72))],
            "it was ahead in the search, and that holds",
        ),
        (
            [("set", 0.9, (0.8, 0.6, 0.9)), ("rigl", 0.8, (0.7, 0.8, 0.6))],
            "it was ahead in the search too, but by no more than chance",
        ),
        (
            [("set", 0.7, (0.8, 0.81, 0.82)), ("rigl", 0.8, (0.7, 0.71, 0.72))],
            "in the search rigl was ahead, and that does not hold",
        ),
    ],
)
def test_the_sentence_says_whether_the_winner_of_the_search_holds(rules, ending) -> None:
    compared = [ConfirmedRule(rule, 1, found, values) for rule, found, values in rules]
    sentence = RuleComparison("connections", tuple(compared)).sentence
    assert sentence.startswith("connections: set has the hypervolume 0.")
    assert sentence.endswith(ending)
