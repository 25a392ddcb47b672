"""Training a cohort: failures, early stopping, and networks that are trained again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hebbevo.nn.liveness.paths import survivors
from hebbevo.training import (
    Candidate,
    CohortTraining,
    Decision,
    member,
    networks_of,
    optimizers,
    ran_out_of_memory,
    train,
)
from hebbevo.training.recipe import FIRST_CHECK
from tests.training.conftest import (
    CPU,
    DIVERGING,
    FEATURES,
    FOUR_KINDS,
    ONE_STRUCTURE,
    Secret,
    candidates,
    problem,
    recipe,
    state_of,
    user_problem,
    user_recipe,
    without_seconds,
)


def test_a_stack_that_raises_fails_with_the_reason_and_the_others_train_on(monkeypatch):
    def broken(*_):
        raise RuntimeError("no memory left\nand a long story")

    genomes = [
        ONE_STRUCTURE[0],
        {"optimizer": "sgd"},
        ONE_STRUCTURE[1],
        {"optimizer": "sgd", "momentum": 0.0},
    ]
    expected = train(recipe(), candidates([ONE_STRUCTURE[0], ONE_STRUCTURE[1]]), problem(), CPU)
    monkeypatch.setattr(optimizers.SGD, "step", broken)
    measured = train(recipe(), candidates(genomes), problem(), CPU)
    assert [m.failure for m in measured] == [None, "RuntimeError: no memory left"] * 2
    assert [without_seconds(measured[0]), without_seconds(measured[2])] == [
        without_seconds(m) for m in expected
    ]


@pytest.mark.parametrize("message", ["", "\n"])
def test_an_error_without_a_message_is_a_failure_too(monkeypatch, message):
    def broken(*_):
        raise ArithmeticError(message)

    monkeypatch.setattr(CohortTraining, "train_epoch", broken)
    (measurement,) = train(recipe(), candidates([{}]), problem(), CPU)
    assert measurement.failure == "ArithmeticError: no message"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("full"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
@pytest.mark.parametrize("place", ["__init__", "train_epoch"])
@pytest.mark.parametrize("size", [1, 3])
def test_running_out_of_memory_is_an_error_of_the_whole_cohort_and_no_failed_training(
    monkeypatch, error, place, size
):
    def full(*_):
        raise error

    monkeypatch.setattr(CohortTraining, place, full)
    with pytest.raises(type(error)) as caught:
        train(recipe(), candidates(ONE_STRUCTURE[:size]), problem(), CPU)
    assert ran_out_of_memory(caught.value)


def test_an_interrupt_is_not_a_failed_training(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CohortTraining, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), candidates([{}]), problem(), CPU)


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit])
@pytest.mark.parametrize("size", [1, 3])
def test_where_ctrl_c_does_not_reach_the_training_any_exception_is_its_failure(monkeypatch, error, size):
    def interrupted(*_):
        raise error

    monkeypatch.setattr("signal.getsignal", lambda _: None)
    monkeypatch.setattr(CohortTraining, "train_epoch", interrupted)
    measured = train(recipe(), candidates(ONE_STRUCTURE[:size]), problem(), CPU)
    assert [each.failure for each in measured] == [f"{error.__name__}: no message"] * size


def test_a_ctrl_c_of_the_search_is_never_a_failed_training(monkeypatch):
    class Stop(KeyboardInterrupt):
        """What a handler of the search raises."""

    def interrupted(*_):
        raise Stop

    monkeypatch.setattr("signal.getsignal", lambda _: None)
    monkeypatch.setattr(CohortTraining, "train_epoch", interrupted)
    with pytest.raises(Stop):
        train(recipe(), candidates([{}]), problem(), CPU)


class Strict:
    """Stops every trial with fewer survivors than this after the first epoch."""

    rungs, explained = (1,), {1: 0.9}

    def __init__(self, fewest):
        self.fewest, self.seen = fewest, []

    def decide(self, accuracy, survivors):
        self.seen.append((accuracy, survivors))
        return [Decision((0.25, 7.0), stopped=count < self.fewest) for count in survivors[:, -1]]


def test_trials_are_judged_by_the_means_of_their_replicates_and_stopped_with_all_of_them():
    the_recipe, split = recipe(epochs=3), problem()
    pairs = [Candidate(genome, replicate) for genome in ONE_STRUCTURE for replicate in (0, 1)]
    whole = train(the_recipe, pairs, split, CPU)
    means = [(a.survivors[0] + b.survivors[0]) / 2 for a, b in zip(whole[::2], whole[1::2], strict=True)]
    strict = Strict(np.median(means))
    judged = train(the_recipe, pairs, split, CPU, strict)
    [(accuracy, survivors)] = strict.seen
    assert survivors.shape == (len(ONE_STRUCTURE), 1)
    assert survivors[:, 0].tolist() == means
    assert accuracy[0, 0] == (whole[0].accuracy[0] + whole[1].accuracy[0]) / 2
    for number, (mean, ours) in enumerate(
        zip(means, zip(judged[::2], judged[1::2], strict=True), strict=True)
    ):
        for replicate, one in enumerate(ours):
            full = whole[2 * number + replicate]
            assert one.stopped == (mean < strict.fewest)
            assert one.predicted_final == ((0.25, 7.0) if one.stopped else None)
            epochs = 1 if one.stopped else 3
            assert (one.survivors[0], one.accuracy[0]) == (full.survivors[0], full.accuracy[0])
            assert len(one.survivors) == len(one.accuracy) == epochs
            if one.stopped:
                assert sum(one.layers) == one.survivors[-1] > 0
    assert 0 < sum(one.stopped for one in judged) < len(pairs)


def test_replicates_that_train_alone_are_not_judged_one_by_one():
    the_recipe = replace(recipe(epochs=2), stacked=False)
    strict = Strict(10_000)
    one, other, single = train(
        the_recipe, [Candidate({}), Candidate({}, 1), Candidate(ONE_STRUCTURE[0])], problem(), CPU, strict
    )
    assert (one.stopped, other.stopped, single.stopped) == (False, False, True)
    assert len(strict.seen) == 1


def pairs_of(*factors):
    return [Candidate({"factor": factor}, replicate) for factor in factors for replicate in (0, 1)]


def test_a_trial_is_stopped_early_whether_or_not_it_stacks_with_the_trials_beside_it():
    the_recipe, split = replace(user_recipe(Secret), epochs=3), user_problem()
    company = pairs_of(1.0, 2.0, 3.0)  # nets with another factor cannot share a stack, though they look alike
    together = train(the_recipe, company, split, CPU, Strict(10_000))
    alone = [
        one for f in (1.0, 2.0, 3.0) for one in train(the_recipe, pairs_of(f), split, CPU, Strict(10_000))
    ]
    for ours, one in zip(together, alone, strict=True):
        assert ours.stopped and one.stopped
        assert (ours.accuracy, ours.survivors) == (one.accuracy, one.survivors)
        assert [note.partition(":")[0] for note in ours.notes] == ["trained alone"]
    [(_, again)] = networks_of(the_recipe, company, split, CPU, [3], 1, [1] * 6)
    assert again.accuracy == together[3].accuracy
    older = train(replace(the_recipe, stack_check=FIRST_CHECK), company, split, CPU, Strict(10_000))
    assert not any(one.stopped for one in older)


def test_a_trial_is_stopped_early_although_its_stack_fails_because_of_a_trial_beside_it(monkeypatch):
    real = CohortTraining.measure

    def measure(self):
        if self.losses.shape[1] > 2:
            raise ValueError("one of them")
        real(self)

    the_recipe, split, company = (
        recipe(epochs=3),
        problem(),
        [Candidate(g, r) for g in ONE_STRUCTURE[:3] for r in (0, 1)],
    )
    monkeypatch.setattr(CohortTraining, "measure", measure)
    together = train(the_recipe, company, split, CPU, Strict(10_000))
    alone = [
        one for at in (0, 2, 4) for one in train(the_recipe, company[at : at + 2], split, CPU, Strict(10_000))
    ]
    for ours, one in zip(together, alone, strict=True):
        assert (ours.stopped, ours.accuracy, ours.survivors) == (True, one.accuracy, one.survivors)
        assert ours.notes == ("trained alone: its stack failed (ValueError: one of them)",)
    [(_, again)] = networks_of(the_recipe, company, split, CPU, [3], 1, [1] * 6)
    assert again.accuracy == together[3].accuracy


def test_when_all_are_stopped_the_training_ends_and_predictions_that_explain_little_are_withheld(monkeypatch):
    epochs = []
    real = CohortTraining.train_epoch
    monkeypatch.setattr(CohortTraining, "train_epoch", lambda self: (epochs.append(1), real(self)))
    strict = Strict(10_000)
    strict.explained = {1: 0.4}
    measured = train(recipe(epochs=3), candidates(ONE_STRUCTURE), problem(), CPU, strict)
    assert len(epochs) == 1
    assert all(one.stopped and one.predicted_final is None for one in measured)


def test_a_net_that_diverged_is_not_judged_but_fails():
    strict = Strict(10_000)
    fine, diverged = train(
        recipe(epochs=2), candidates([ONE_STRUCTURE[0], DIVERGING]), problem(), CPU, strict
    )
    assert (fine.stopped, diverged.stopped) == (True, False)
    assert diverged.failure
    assert len(strict.seen[0][0]) == 1


def test_a_network_is_trained_again_to_what_it_was_at_any_epoch():
    the_recipe, split, asked = recipe(epochs=3), problem(), candidates(ONE_STRUCTURE)
    measured = train(the_recipe, asked, split, CPU, Strict(45))
    stops = [len(one.accuracy) if one.stopped else None for one in measured]
    assert {1, None} == {*stops}
    for row, epoch in ((stops.index(1), 1), (stops.index(None), 3), (stops.index(None), 2)):
        [(net, again)] = networks_of(the_recipe, asked, split, CPU, [row], epoch, stops)
        assert (again.accuracy, again.survivors) == (
            measured[row].accuracy[:epoch],
            measured[row].survivors[:epoch],
        )
        assert survivors(net, torch.ones(1, FEATURES)).alive.sum() == measured[row].survivors[epoch - 1]
        with torch.no_grad():
            hits = net.eval()(torch.from_numpy(split.x_val)).argmax(1) == torch.from_numpy(split.y_val)
        assert hits.double().mean() == measured[row].accuracy[epoch - 1]


def test_a_genome_starts_as_the_same_net_in_any_cohort_and_another_one_elsewhere(monkeypatch):
    started = []

    class Recording(CohortTraining):
        def __init__(self, *args):
            super().__init__(*args)
            started.append([state_of(self, row)["layers.0.weight"] for row in range(len(args[2]))])

    monkeypatch.setattr(member, "CohortTraining", Recording)
    a, b, again = (
        Candidate(ONE_STRUCTURE[0]),
        Candidate(ONE_STRUCTURE[1]),
        Candidate(ONE_STRUCTURE[0], replicate=1),
    )
    for group in ([a, b, again], [b], [again, a]):
        train(recipe(), group, problem(), CPU)
    [(a1, b1, again1), (b2,), (again3, a3)] = started
    assert torch.equal(a1, a3)
    assert torch.equal(b1, b2)
    assert torch.equal(again1, again3)
    assert not torch.equal(a1, b1)
    assert not torch.equal(a1, again1)


def test_training_leaves_pytorchs_generator_and_the_data_as_they_were():
    split = problem()
    copies = [getattr(split, name).copy() for name in ("x_train", "y_train", "x_val", "y_val")]
    before = torch.get_rng_state()
    train(recipe(inputs=True), candidates(FOUR_KINDS[-2:]), split, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    for name, copy in zip(("x_train", "y_train", "x_val", "y_val"), copies, strict=True):
        assert np.array_equal(getattr(split, name), copy)
