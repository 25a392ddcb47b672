"""Tables of a confirmation from hand-made trainings, and how they compare with a front that is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hebbevo.objectives import pareto
from hebbevo.study.confirmation import Confirmation, Scale, most_seeds
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Request, Role, Training

SCALE = Scale(rows={"validation": 269, "test": 1797}, chance=0.1, neurons=40)
EPOCHS = 20


def request(members: list[Member], replicates: int = 3, has_test: bool = True) -> Request:
    return Request(
        members=tuple(members),
        replicates=replicates,
        has_test=has_test,
        trials=8,
        date="2026-01-31 12:00 UTC",
    )


def member(trial: int, survivors: float = 8, accuracy: float = 0.9) -> Member:
    return Member(trial=trial, epoch=EPOCHS, accuracy=accuracy, survivors=survivors, neurons=40, settle=0.3)


def training(role: Role, replicate: int, score: float, **given: object) -> Training:
    entries = {"trial": 0, "epochs": EPOCHS, "widths": (5, 3), "survivors": 8, "multiply_adds": 30.0}
    entries |= {"accuracy": score, "halves": (score, score), "test": score}
    entries |= {} if role is Role.MEMBER else {"settle": 0.3, "multiply_adds": 10.0}
    return Training(role=role, replicate=replicate, **entries | given)


def confirmation(asked: Request, trainings: list[Training], trials: int = 8) -> Confirmation:
    record = ConfirmationRecord(0, asked, dict(enumerate(trainings)), True)
    return Confirmation(record, SCALE, trials=trials)


MEMBERS = [training(Role.MEMBER, r, score) for r, score in enumerate((0.9, 0.92, 0.97))]
POOLS = {0: (0.8, 0.85, 0.9), 1: (0.7, 0.9, 0.95), 2: (0.9, 0.91, 0.92)}
DENSE = [training(Role.DENSE, r, s, number=n) for r, pool in POOLS.items() for n, s in enumerate(pool)]
LONGER = [training(Role.LONGER, r, 0.93 + r / 100, epochs=2 * EPOCHS) for r in range(3)]


def test_a_member_is_compared_with_the_mean_of_its_pools_paired_by_replicate() -> None:
    found = confirmation(request([member(0)]), [*MEMBERS, *DENSE, *LONGER])
    row = found.members().iloc[0]
    pools = [np.mean(pool) for pool in POOLS.values()]
    interval = stats.ttest_rel([0.9, 0.92, 0.97], pools).confidence_interval(0.95)
    assert row.confirmed_accuracy == pytest.approx(0.93)
    assert row.control_accuracy == pytest.approx(np.mean(pools))
    assert row.control_sd == pytest.approx(np.std([*POOLS.values()], ddof=1))
    assert (row.longer_accuracy, row.longer_sd) == pytest.approx((0.94, 0.01))
    assert (row.difference_low, row.difference_high) == pytest.approx((interval.low, interval.high))
    assert row.verdict == "above"
    assert bool(row.on_front)
    # all three networks of each pool cost as much as the member
    assert row.best_of == 3
    assert row.best_of_accuracy == pytest.approx(np.mean([0.9, 0.95, 0.92]))


def test_hypervolumes_of_single_trainings_are_compared_by_replicate_with_all_dense_fronts() -> None:
    small = [training(Role.MEMBER, r, 0.5 + r / 10, trial=1, widths=(2, 2), survivors=4) for r in range(3)]
    dense = [training(Role.DENSE, r, 0.4, trial=1, widths=(2, 2), survivors=4) for r in range(3)]
    dense += [replace(each, number=1, test=0.6) for each in dense]
    found = confirmation(request([member(0), member(1, 4)]), [*MEMBERS, *small, *DENSE, *dense])

    def area(large: float, small: float) -> float:
        """The part of accuracy above chance times neurons below 40 that points with 8 and 4 neurons cover."""
        gain = max(large - small, 0.0)
        return ((small - 0.1) * 36 + gain * 32) / (0.9 * 40)

    own = [area(large, 0.5 + r / 10) for r, large in enumerate((0.9, 0.92, 0.97))]
    others = [np.mean([area(pool[0], 0.4), area(pool[1], 0.6)]) for pool in POOLS.values()]
    interval = stats.ttest_rel(own, others).confidence_interval(0.95)
    members, dense_front, difference = found.against_dense
    assert (members.value, dense_front.value) == pytest.approx((np.mean(own), np.mean(others)))
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert f"dense networks with the same widths {np.mean(others):.4f}" in found.hypervolume_sentence


def test_without_a_control_or_with_two_counts_no_hypervolumes_are_compared() -> None:
    asked = request([member(0)])
    traded = ("accuracy", "survivors", "connections")
    record = ConfirmationRecord(0, asked, dict(enumerate([*MEMBERS, *DENSE])), True)
    of_two = Confirmation(record, replace(SCALE, traded=traded, further=("connections",)), trials=8)
    assert confirmation(asked, MEMBERS).hypervolume_sentence == of_two.hypervolume_sentence == ""


def test_the_verdict_is_that_of_the_interval_and_the_sentence_says_where() -> None:
    dense = [replace(each, test=each.test - 0.3 + 0.01 * each.replicate) for each in DENSE]
    flat = [replace(each, test=0.6) for each in dense]
    found = confirmation(request([member(0)]), [*MEMBERS, *flat])
    assert found.members().verdict[0] == "above"
    assert found.sentence.startswith(
        "on 1,797 test rows the front is above dense networks with the same widths"
    )
    assert "above at 8 neurons, by up to +33.0 points (" in found.sentence


def test_without_test_rows_one_half_selects_and_the_other_decides() -> None:
    dense = [replace(each, halves=(each.accuracy, -each.accuracy + 1), test=None) for each in DENSE]
    found = confirmation(
        request([member(0)], has_test=False), [*(replace(each, test=None) for each in MEMBERS), *dense]
    )
    row = found.members().iloc[0]
    assert found.verdict_rows == "135 validation rows"
    assert np.isnan(row.test_accuracy)
    # the selection prefers the networks that are worst on the rows of the verdict
    assert row.best_of_accuracy == pytest.approx(np.mean([0.8, 0.7, 0.9]))


def test_a_member_that_failed_once_has_no_verdict_and_no_place_on_the_front() -> None:
    failed = replace(MEMBERS[1], accuracy=None, halves=None, test=None, survivors=None, failure="diverged")
    found = confirmation(request([member(0)]), [MEMBERS[0], failed, MEMBERS[2], *DENSE])
    row = found.members().iloc[0]
    assert (row.verdict, bool(row.on_front)) == ("failed", False)
    assert np.isnan(row.confirmed_accuracy)


def test_a_member_without_a_neuron_has_no_control() -> None:
    empty = [replace(each, widths=(0, 2), survivors=0) for each in MEMBERS]
    found = confirmation(request([member(0)]), empty)
    assert found.members().verdict[0] == "no control"
    assert found.sentence == "too few trainings for a verdict"


def test_members_with_the_same_widths_share_their_controls() -> None:
    twin = [replace(each, trial=7, survivors=8) for each in MEMBERS]
    found = confirmation(request([member(0), member(7)]), [*MEMBERS, *twin, *DENSE]).members()
    assert found.control_accuracy[0] == found.control_accuracy[1]
    assert found.on_front.tolist() == [True, False]


def test_what_layers_learned_is_beside_random_weights_as_means_over_replicates() -> None:
    learned, random = ((0.6, 0.9), (0.7, 0.8), (0.8, 0.7)), ((0.5, 0.6), (0.5, 0.5), (0.5, 0.4))
    decoded = [
        replace(each, decoding=learned[each.replicate], random_decoding=random[each.replicate])
        for each in MEMBERS
    ]
    other = [replace(each, trial=7) for each in MEMBERS]
    found = confirmation(request([member(0), member(7)]), [*decoded, *other, *DENSE])
    table = found.decoding()
    assert table[["trial", "layer"]].to_numpy().tolist() == [[0, 1], [0, 2]]
    assert table.learned.tolist() == pytest.approx([0.7, 0.8])
    assert table.random.tolist() == pytest.approx([0.5, 0.5])
    assert table.learned_sd.tolist() == pytest.approx([0.1, 0.1])
    first, second = found.members().to_dict("records")
    assert [first["readout_accuracy"], first["random_accuracy"]] == pytest.approx([0.8, 0.5])
    assert np.isnan([second["readout_accuracy"], second["random_accuracy"]]).all()
    failed = replace(decoded[1], accuracy=None, failure="diverged", decoding=(), random_decoding=())
    assert confirmation(request([member(0)]), [decoded[0], failed, decoded[2]]).decoding().empty


def test_a_study_with_more_trials_makes_its_confirmation_stale() -> None:
    assert not confirmation(request([member(0)]), MEMBERS).is_stale
    assert confirmation(request([member(0)]), MEMBERS, trials=9).is_stale


def test_the_runs_are_the_recorded_trainings() -> None:
    runs = confirmation(request([member(0)]), [*MEMBERS, *DENSE, *LONGER]).runs()
    assert runs.groupby("role").size().to_dict() == {"dense": 9, "longer": 3, "member": 3}
    assert runs.widths.map(type).unique().tolist() == [tuple]


def test_a_training_is_worth_one_dense_network_at_least_and_ten_at_most() -> None:
    assert [most_seeds(cost, 2.0) for cost in (1.0, 2.0, 5.9, 6.0, 500.0)] == [1, 1, 2, 3, 10]


def test_the_found_front_of_noisy_scores_is_optimistic_and_the_confirmed_one_is_not() -> None:
    """Networks with n neurons truly reach 1 - 1 / n, and each score has noise."""
    rng = np.random.default_rng(0)
    survivors = rng.integers(2, 41, 500)
    true = 1 - 1 / survivors
    scores = true + rng.normal(0, 0.03, 500)
    front = pareto.front(np.column_stack([scores, survivors]))
    members = [member(int(each), float(survivors[each]), float(scores[each])) for each in front]
    again = [
        training(Role.MEMBER, r, float(true[each] + rng.normal(0, 0.03)), trial=int(each), survivors=n)
        for each, n in zip(front, survivors[front].tolist(), strict=True)
        for r in range(5)
    ]
    table = confirmation(request(members, replicates=5), again).members()
    assert (table.found_accuracy - true[front]).mean() > 0.03
    assert abs((table.confirmed_accuracy - true[front]).mean()) < 0.01
    covered = (table.confirmed_low <= true[front]) & (true[front] <= table.confirmed_high)
    assert covered.mean() > 0.8
