"""Which trainings are stopped early, in a simulation of nets whose final values are known."""

import pickle

import numpy as np
import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.objectives.pareto import front
from hebbevo.training import EarlyStopper, Trajectory

EPOCHS, NEURONS, CHANCE = 20, 100, 0.1


def net(accuracy, survivors, *, late=False, rng=None):
    """A net that ends with these; one that prunes late looks bad until the last quarter."""
    time = np.arange(1, EPOCHS + 1) / EPOCHS
    fallen = np.clip(time / 0.4, 0, 1)
    if late:
        fallen = np.maximum(fallen / 10, np.clip((time - 0.75) / 0.2, 0, 1))
    noise = rng.normal(scale=0.01, size=EPOCHS) if rng else np.zeros(EPOCHS)
    early = accuracy / 2 if late else accuracy
    path = early + (accuracy - early) * fallen + np.append(noise[:-1], 0.0)
    return Trajectory(tuple(np.clip(path, 0, 1)), tuple(NEURONS + (survivors - NEURONS) * fallen))


def trade_off(n, *, below=0.2, late=0.0, seed=0):
    """Nets on a curve of accuracy over survivors and up to ``below`` under it; a part of them prunes late."""
    rng = np.random.default_rng(seed)
    survivors = np.exp(rng.uniform(np.log(2), np.log(90), n))
    accuracy = 1 - 0.5 * survivors**-0.5 - rng.uniform(0, below, n)
    kinds = rng.random(n) < late
    return [
        net(one, other, late=kind, rng=rng)
        for one, other, kind in zip(accuracy, survivors, kinds, strict=True)
    ]


def unpredictable(n, seed=0):
    """Nets whose first epochs say nothing about their last."""
    rng = np.random.default_rng(seed)
    return [
        Trajectory((*rng.normal(0.5, 0.01, EPOCHS - 1), end.accuracy[-1]), (*[50.0] * 19, end.survivors[-1]))
        for end in trade_off(n, seed=seed)
    ]


def early_stopper(history, epochs=EPOCHS, **options):
    return EarlyStopper.of(history, epochs, NEURONS, CHANCE, **options)


def seen(nets, rung):
    paths = np.array([[each.accuracy[:rung], each.survivors[:rung]] for each in nets]).reshape(-1, 2, rung)
    return paths[:, 0], paths[:, 1]


def decisions(by, nets, rung):
    return by.decide(*seen(nets, rung))


def stopped(by, nets, rung):
    return np.array([each.stopped for each in decisions(by, nets, rung)])


def predictions(by, nets, rung):
    return np.array([each.predicted_final for each in decisions(by, nets, rung)])


def ends(nets):
    return np.array([(each.accuracy[-1], each.survivors[-1]) for each in nets])


def scattered(accuracy, survivors, n=200, **kind):
    """Nets that differ slightly, and so have different draws."""
    rng = np.random.default_rng(1)
    return [net(accuracy, survivors, **kind, rng=rng) for _ in range(n)]


@pytest.mark.parametrize("kind", [{"late": False}, {"late": True}])
def test_the_final_values_of_a_net_are_predicted_from_those_of_similar_nets(kind):
    by = early_stopper(trade_off(150, late=0.5))
    nets = scattered(0.8, 20.0, n=20, **kind)
    expected = predictions(by, nets, 10)
    assert expected.mean(0) == pytest.approx([0.8, 20], rel=0.35 if kind["late"] else 0.05)


def test_a_net_that_prunes_late_trains_on_where_such_nets_ended_well():
    others = trade_off(90, below=0.4)
    well = [net(0.95, 3 + each / 10, late=True, rng=np.random.default_rng(each)) for each in range(12)]
    badly = [
        Trajectory((*each.accuracy[:-1], 0.5), (*each.survivors[:-1], 40.0 + place))
        for place, each in enumerate(well)
    ]
    nets = scattered(0.95, 4.0, late=True)
    assert min(each.survivors[9] for each in nets) > 0.9 * NEURONS
    assert stopped(early_stopper(others + well), nets, 10).mean() < 0.4
    assert stopped(early_stopper(others + badly), nets, 10).mean() > 0.9


@pytest.mark.parametrize(("accuracy", "survivors"), [(0.7, 1.5), (0.97, 20.0), (0.999, 80.0)])
@pytest.mark.parametrize("rung", [7, 10, 15])
def test_nets_whose_prediction_is_beyond_the_front_train_on_at_both_ends_and_between(
    accuracy, survivors, rung
):
    by = early_stopper(trade_off(100, below=0.3))
    nets = scattered(accuracy, survivors)
    values = predictions(by, nets, rung)
    beyond = [0 in front(np.vstack([value, ends(trade_off(100, below=0.3))])) for value in values]
    assert np.mean(beyond) > 0.5
    assert not stopped(by, nets, rung)[beyond].any()


def test_few_survivors_are_worth_nothing_below_chance():
    collapsed = [net(0.4 * CHANCE, 0.0, rng=np.random.default_rng(each)) for each in range(5)]
    by = early_stopper(trade_off(100) + collapsed)
    assert stopped(by, scattered(0.5 * CHANCE, 1.0), 15).mean() > 0.95


def test_nets_whose_prediction_is_far_below_the_front_are_stopped():
    by = early_stopper(trade_off(100))
    assert stopped(by, scattered(0.5, 60.0), 10).mean() > 0.95


@pytest.mark.parametrize("rung", [1, 4, 10])
def test_the_prediction_of_a_stopped_net_is_no_better_than_a_finished_trial(rung):
    history = trade_off(100, late=0.3)
    nets = trade_off(400, late=0.3, seed=2)
    decided = [each for each in decisions(early_stopper(history), nets, rung) if each.stopped]
    assert len(decided) > 50
    finished = ends(history)
    for decision in decided:
        accuracy, survivors = decision.predicted_final
        assert ((finished[:, 0] >= accuracy) & (finished[:, 1] <= survivors)).any()


def test_a_net_has_one_draw_for_all_rungs():
    """Otherwise every rung would stop a part of the nets that the last one let pass."""
    by = early_stopper(unpredictable(100), strictness=2.0)
    nets = unpredictable(300, seed=3)
    gone = np.array([stopped(by, nets, rung) for rung in by.rungs])
    assert gone.mean() == pytest.approx(0.5, abs=0.1)
    assert gone.any(axis=0).mean() < 0.85  # with a draw for each rung: 1 - 0.5 ** 6


def test_the_explained_variance_says_how_good_predictions_are():
    good, bad = early_stopper(trade_off(150)).explained, early_stopper(unpredictable(150)).explained
    assert list(good) == list(bad) == [1, 2, 4, 7, 10, 15]
    assert min(good.values()) > 0.9
    assert max(bad.values()) < 0.1


@pytest.mark.parametrize(("strictness", "share"), [(0.0, 0.0), (2.0, 0.5), (5.0, 0.8)])
def test_unpredictable_nets_are_thinned_out_by_the_strictness(strictness, share):
    by = early_stopper(unpredictable(100), strictness=strictness)
    assert stopped(by, unpredictable(500, seed=3), 1).mean() == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("rung", [1, 7, 15])
def test_a_decision_does_not_depend_on_other_nets(rung):
    by = early_stopper(trade_off(100, late=0.3))
    nets = trade_off(40, late=0.3, seed=4)
    together = decisions(by, nets, rung)
    assert len({decision.stopped for decision in together}) == 2
    assert [decisions(by, [each], rung)[0] for each in nets] == together
    assert decisions(by, nets[::-1], rung) == together[::-1]
    assert decisions(by, [], rung) == []


def test_an_early_stopper_is_small_and_the_same_in_every_process():
    history = trade_off(2000, late=0.3)
    by, again = early_stopper(history), early_stopper(list(history))
    sent = pickle.dumps(by)
    nets = trade_off(50, late=0.3, seed=5)
    for rung in by.rungs:
        assert (
            decisions(pickle.loads(sent), nets, rung)
            == decisions(by, nets, rung)
            == decisions(again, nets, rung)
        )
    assert len(sent) < 150_000


def test_of_a_long_history_the_latest_are_learned_from():
    old = trade_off(300, seed=6)
    latest = [net(0.9, 8.0 + each / 100, rng=np.random.default_rng(each)) for each in range(200)]
    beginning = scattered(0.9, 30.0)
    assert predictions(early_stopper(old), beginning, 2).mean(0)[1] == pytest.approx(30, rel=0.2)
    assert predictions(early_stopper([*old, *latest]), beginning, 2) == pytest.approx(
        predictions(early_stopper([*old[:5], *latest]), beginning, 2)
    )


def test_the_front_is_of_a_long_history_as_a_whole():
    latest, nets = trade_off(300, below=0.3), scattered(0.95, 4.0)
    assert not stopped(early_stopper(latest), nets, 15).any()
    assert stopped(early_stopper([net(0.97, 3.0), *latest]), nets, 15).mean() > 0.9


def test_a_decision_does_not_depend_on_the_last_bits():
    by = early_stopper(unpredictable(100))
    accuracy, survivors = seen(unpredictable(300, seed=3), 4)
    decided = [[each.stopped for each in by.decide(accuracy * off, survivors)] for off in (1, 1 + 1e-15)]
    assert decided[0] == decided[1]


def test_equal_first_epochs_have_other_draws_in_other_generations():
    history = trade_off(100)
    nets = trade_off(100, seed=7)
    one, other = (stopped(early_stopper(history + more), nets, 1) for more in ([], [net(0.5, 50.0)]))
    assert 0 < (one != other).mean() < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_failed_net_is_not_stopped_and_changes_nothing_for_others(bad):
    by = early_stopper(trade_off(100))
    nets = trade_off(10, seed=8)
    accuracy, survivors = seen(nets, 7)
    sound = by.decide(accuracy, survivors)
    accuracy[3, 5] = bad
    mixed = by.decide(accuracy, survivors)
    assert np.isnan(mixed[3].predicted_final).all() and not mixed[3].stopped
    assert mixed[:3] + mixed[4:] == sound[:3] + sound[4:]


def test_nothing_is_learned_from_failed_and_stopped_trials():
    history = trade_off(100)
    failed = Trajectory((np.nan,) * EPOCHS, (5.0,) * EPOCHS)
    part = Trajectory((1.0,) * 4, (1.0,) * 4)
    nets = trade_off(10, seed=9)
    expected = predictions(early_stopper(history), nets, 4)
    assert predictions(early_stopper([failed, part] * 30 + history), nets, 4) == pytest.approx(expected)


def test_trials_that_finished_long_ago_are_still_learned_from():
    part = Trajectory((0.5,) * 4, (50.0,) * 4)
    nets = trade_off(10, seed=9)
    expected = predictions(early_stopper(trade_off(100)), nets, 10)
    assert predictions(early_stopper(trade_off(100) + [part] * 60_000), nets, 10) == pytest.approx(
        expected, rel=0.1
    )


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, ()), (2, (1,)), (3, (1, 2)), (20, (1, 2, 4, 7, 10, 15)), (200, (10, 20, 40, 70, 100, 150))],
)
def test_rungs_are_parts_of_a_training_and_never_its_end(epochs, rungs):
    history = [Trajectory((0.5 + each / 100,) * epochs, (each + 1.0,) * epochs) for each in range(40)]
    by = early_stopper(history, epochs)
    assert by.rungs == rungs
    for rung in rungs:
        assert len(by.decide(np.full((3, rung), 0.6), np.full((3, rung), 40.0))) == 3


@pytest.mark.parametrize("history", [[], trade_off(19), [Trajectory((0.9,), (9.0,))] * 90])
def test_no_net_is_judged_before_enough_trials_have_finished(history):
    assert early_stopper(history).rungs == ()
    assert early_stopper(history + trade_off(20)).rungs


@pytest.mark.parametrize("survivors", [0.0, 100.0])
def test_no_net_is_stopped_where_all_ended_alike(survivors):
    by = early_stopper([Trajectory((CHANCE,) * EPOCHS, (survivors,) * EPOCHS)] * 40)
    for rung in by.rungs:
        [decision] = by.decide(np.full((1, rung), CHANCE), np.full((1, rung), survivors))
        assert decision.predicted_final == pytest.approx((CHANCE, survivors), abs=1e-6)
        assert not decision.stopped


def test_with_one_objective_only_that_one_counts():
    history = trade_off(100)
    accurate, small = scattered(0.999, 90.0), scattered(0.55, 1.5)
    accuracy, survivors = (early_stopper(history, goal=Goal((name,))) for name in ("accuracy", "survivors"))
    assert stopped(accuracy, small, 10).mean() > 0.95 > 0.05 > stopped(accuracy, accurate, 10).mean()
    assert stopped(survivors, accurate, 10).mean() > 0.95 > 0.05 > stopped(survivors, small, 10).mean()


def test_a_weighted_goal_is_one_objective():
    goal = Goal(weights={"accuracy": 1.0, "survivors": -0.01})
    by = early_stopper(trade_off(100), goal=goal)
    assert stopped(by, scattered(0.999, 90.0), 10).mean() > 0.95
    assert not stopped(by, scattered(0.97, 5.0), 10).any()


def test_the_order_of_the_objectives_does_not_matter():
    history, nets = trade_off(100), trade_off(50, seed=10)
    one, other = (
        decisions(early_stopper(history, goal=Goal(names)), nets, 7)
        for names in (("accuracy", "survivors"), ("survivors", "accuracy"))
    )
    assert one == other
    assert len({decision.stopped for decision in one}) == 2


def test_nets_predicted_to_miss_a_constraint_are_stopped_where_trials_meet_it():
    goal = Goal(constraints={"survivors": (None, 30.0)})
    history, large = trade_off(100), scattered(0.999, 80.0)
    assert stopped(early_stopper(history, goal=goal), large, 10).mean() > 0.95
    assert stopped(early_stopper(history), large, 10).mean() < 0.05


def test_while_no_trial_meets_the_constraints_the_closest_train_on():
    goal = Goal(constraints={"accuracy": (0.995, None)})
    history = trade_off(100)
    assert max(ends(history)[:, 0]) < 0.99
    by = early_stopper(history, goal=goal)
    assert not stopped(by, scattered(0.99, 90.0), 10).any()
    assert stopped(by, scattered(0.6, 2.0), 10).mean() > 0.95
