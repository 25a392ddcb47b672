"""Promise 1: a net reaches in any cohort what it reaches alone, and what an ordinary PyTorch loop reaches."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import attach
from hebbevo.nn.liveness.paths import survivors
from hebbevo.training import CohortTraining, Exam, cohort, has_events, member, score, train
from hebbevo.training.compact import CompactStack
from tests.training.conftest import (
    CPU,
    DIVERGING,
    FEATURES,
    FOUR_KINDS,
    MANY_STRUCTURES,
    ONE_STRUCTURE,
    assert_close,
    assert_identical,
    build_nets,
    candidates,
    make_cohort,
    problem,
    recipe,
    state_of,
    without_seconds,
)


@pytest.fixture
def trained(monkeypatch, device):
    """`train` in cohorts of ``size``, with the final state of every net beside its measurement."""
    states = {}

    class Recording(CohortTraining):
        def measurements(self):
            measured = super().measurements()
            for row, measurement in enumerate(measured):
                states[id(measurement)] = measurement, state_of(self, row)
            return measured

    def run(the_recipe, genomes, split, size):
        asked = candidates(genomes)
        starts = range(0, len(asked), size)
        measured = [
            m for start in starts for m in train(the_recipe, asked[start : start + size], split, device)
        ]
        return [states[id(m)] for m in measured]

    monkeypatch.setattr(member, "CohortTraining", Recording)
    return run


PACKINGS = [
    ((37, 53), False, ONE_STRUCTURE, (2, 12)),
    ((37, 53), True, FOUR_KINDS, (3, 12)),
    ((300, 100), False, FOUR_KINDS, (12,)),
    ((7,), True, ONE_STRUCTURE, (3, 12)),
    ((7,), False, FOUR_KINDS, (12,)),
    ((37, 53), True, MANY_STRUCTURES, (12,)),
]


@pytest.mark.parametrize(("hidden", "inputs", "genomes", "sizes"), PACKINGS)
def test_a_net_reaches_alone_what_it_reaches_in_a_cohort_of_any_size(trained, hidden, inputs, genomes, sizes):
    the_recipe, split = recipe(hidden, inputs), problem()
    alone = trained(the_recipe, genomes, split, size=1)
    for size in sizes:
        together = trained(the_recipe, genomes, split, size)
        for (ours, our_state), (theirs, their_state) in zip(together, alone, strict=True):
            assert_close(our_state, their_state)
            assert (ours.survivors, ours.layers, ours.inputs) == (
                theirs.survivors,
                theirs.layers,
                theirs.inputs,
            )
            assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.011)  # one row of a hundred


@pytest.mark.parametrize("genomes", [ONE_STRUCTURE, FOUR_KINDS])
def test_units_of_the_nets_of_these_tests_are_pruned_and_regrown(trained, genomes):
    """Otherwise the comparisons above would compare nothing."""
    results = trained(recipe(inputs=True), genomes, problem(), size=12)
    for units in ("inputs", "units.0", "units.1"):
        pruned = [(~final[f"{units}.alive"]).any() for _, final in results]
        regrown = [(final[f"{units}.age"] < 2**40).any() for _, final in results]
        assert sum(pruned) >= 6, units
        assert sum(regrown) >= 6, units


@pytest.mark.parametrize("hidden", [(37, 53), (300, 100), (7,)])
def test_the_same_cohort_is_the_same_bit_for_bit_whatever_happened_in_between(trained, hidden):
    the_recipe, split = recipe(hidden, inputs=True), problem()
    first = trained(the_recipe, ONE_STRUCTURE + FOUR_KINDS, split, size=24)
    torch.manual_seed(99)
    np.random.seed(5)
    torch.rand(17)
    trained(recipe((5, 3), seed=8), FOUR_KINDS[3:7], problem(70), size=3)
    second = trained(the_recipe, ONE_STRUCTURE + FOUR_KINDS, split, size=24)
    for (ours, our_state), (theirs, their_state) in zip(second, first, strict=True):
        assert without_seconds(ours) == without_seconds(theirs)
        assert_identical(our_state, their_state)


def plain_training(the_recipe, genome, split):
    """An ordinary PyTorch training with `attach`: the net and its losses."""
    values = the_recipe.training_knobs(genome)
    [net] = build_nets(the_recipe, [genome])
    x, y = torch.from_numpy(split.x_train), torch.from_numpy(split.y_train)
    size = the_recipe.batch_size
    total = the_recipe.epochs * -(-len(x) // size)
    rate, decay = values["learning_rate"], values["weight_decay"]
    if values["optimizer"] == "adamw":
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
        attachment = attach(net, optimizer, total_steps=total)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=values["momentum"])
        attachment = attach(net, optimizer, total_steps=total)

        def shrink(*_):  # after attach's own hook, which has set the settling learning rate
            with torch.no_grad():
                for weight in net.parameters():
                    weight *= 1 - optimizer.param_groups[0]["lr"] * decay

        optimizer.register_step_pre_hook(shrink)
    losses = []
    for epoch in range(the_recipe.epochs):
        order = np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x))
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            loss = F.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            attachment.observe(loss)
            optimizer.step()
            losses.append(loss.item())
    return net, losses


ALONE = [*ONE_STRUCTURE[:2], *FOUR_KINDS[3:], *MANY_STRUCTURES[3:6], *MANY_STRUCTURES[9:]]


@pytest.mark.parametrize(
    ("genome", "inputs"),
    [*((genome, True) for genome in ALONE), *((genome, False) for genome in ALONE[::3])],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, dict) else str(value),
)
def test_the_engine_reaches_what_an_ordinary_pytorch_loop_reaches(trained, genome, inputs):
    the_recipe, split = recipe((19, 13), inputs, epochs=3), problem()
    [(measurement, ours), _, _] = trained(the_recipe, [genome, *ONE_STRUCTURE[4:6]], split, size=3)
    net, _ = plain_training(the_recipe, genome, split)
    assert_close(ours, dict(net.state_dict()))
    with torch.no_grad():
        left = survivors(net, torch.ones(1, FEATURES))
        hits = net.eval()(torch.from_numpy(split.x_val)).argmax(1) == torch.from_numpy(split.y_val)
    assert (measurement.inputs, list(measurement.layers)) == (left.inputs.item(), left.alive[0].tolist())
    assert measurement.survivors[-1] == left.alive.sum()
    assert measurement.accuracy[-1] == pytest.approx(hits.double().mean().item(), abs=0.011)


def test_settling_slows_the_training_down():
    """The comparison with the plain loop would also pass if no net had a settling phase."""
    the_recipe, split = recipe(), problem()
    settling, free = (make_cohort(the_recipe, [{"settle": settle}], split) for settle in (0.5, 0.0))
    assert settling.learning_rate_factors[:, 0].tolist() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert free.learning_rate_factors[:, 0].tolist() == [1] * 8
    assert settling.event_steps.tolist() == [False, True, False, True, False, False, False, False]
    assert free.event_steps.tolist() == [False, True] * 4


def test_the_learning_rate_rises_in_its_warm_up_and_falls_in_the_settling_phase_in_one_stack():
    the_recipe, split = recipe(), problem()
    genomes = [{"settle": 0.5, "learning_rate_warmup": 2}, {"learning_rate_warmup": 4}, {}]
    cohort = make_cohort(the_recipe, genomes, split)
    rising, slower, plain = cohort.learning_rate_factors.T.tolist()
    assert rising == [0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert slower == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert plain == [1] * 8


def test_a_net_is_the_same_bit_for_bit_beside_a_diverging_one(trained):
    the_recipe, split = recipe(epochs=2), problem()
    before = trained(the_recipe, ONE_STRUCTURE[:4], split, size=4)
    after = trained(the_recipe, [*ONE_STRUCTURE[:2], DIVERGING, ONE_STRUCTURE[3]], split, size=4)
    for row in (0, 1, 3):
        assert without_seconds(after[row][0]) == without_seconds(before[row][0])
        assert_identical(after[row][1], before[row][1])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_net_that_diverges_fails_with_the_step_and_has_no_score(optimizer):
    the_recipe, split = recipe(epochs=2, optimizer=optimizer), problem()
    fine, diverged = train(the_recipe, candidates([ONE_STRUCTURE[0], DIVERGING]), split, CPU)
    _, losses = plain_training(the_recipe, DIVERGING, split)
    step = 1 + int(np.flatnonzero(~np.isfinite(losses))[0])
    assert fine.failure is None
    assert diverged.failure == f"the loss became NaN or infinite at step {step}"
    assert not diverged.collapsed
    assert score([diverged]).values is None


def test_a_net_that_diverges_at_the_very_last_step_fails_too():
    the_recipe = recipe(batch_size=248)
    fine, diverged = train(the_recipe, candidates([{}, {"learning_rate": 1e38}]), problem(), CPU)
    assert fine.failure is None
    assert diverged.failure == "the loss became NaN or infinite at step 1"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("rows", [[0, 2], [3], [0, 1, 2]])
def test_nets_that_train_on_reach_what_they_reach_without_the_stopped_ones(device, optimizer, rows):
    the_recipe, split = recipe(epochs=2, optimizer=optimizer, learning_rate=5e-3), problem()
    genomes = [
        ONE_STRUCTURE[0],
        DIVERGING,
        {**ONE_STRUCTURE[3], "settle": 0.6},
        {**ONE_STRUCTURE[5], "momentum": 0.3, "settle": 0.2},
    ]
    whole = make_cohort(the_recipe, genomes, split, device)
    whole.train_epoch()
    first = whole.measurements()
    whole.stop(torch.tensor([row for row in range(4) if row not in rows], device=device))
    whole.train_epoch()

    alone = make_cohort(the_recipe, [genomes[row] for row in rows], split, device)
    for _ in range(2):
        alone.train_epoch()

    for row in range(4):
        if row not in rows:
            # compared as text, since NaN does not equal itself
            assert repr(without_seconds(whole.measurements()[row])) == repr(without_seconds(first[row]))
    for place, row in enumerate(rows):
        ours, theirs = whole.measurements()[row], alone.measurements()[place]
        assert ours.failure == theirs.failure
        if genomes[row] is DIVERGING:
            continue
        assert_close(state_of(whole, row), state_of(alone, place))
        assert (ours.survivors, ours.layers) == (theirs.survivors, theirs.layers)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.011)
        assert (ours.accuracy[0], ours.survivors[0]) == (first[row].accuracy[0], first[row].survivors[0])


def test_nets_whose_units_are_never_pruned_have_no_events():
    genomes = [{"units": "dense"}, {"units": "dense", "depth": 1}]
    the_recipe, rows = recipe(), len(problem().y_train)
    for more, expected in (
        ([], False),
        ([{"depth": 1}], True),
        ([{"depth": 1, "warmup": 9}], False),
        ([{"depth": 2, "warmup.1": 9}], True),
    ):
        assert has_events(the_recipe, build_nets(the_recipe, [*genomes, *more]), rows) is expected
    dense = make_cohort(the_recipe, genomes[:1], problem())
    assert not dense.event_steps.any()


def test_the_layer_that_settles_longest_slows_the_training_down():
    settling = make_cohort(recipe(), [{"settle.1": 0.25, "settle.2": 0.5}], problem())
    assert settling.learning_rate_factors[:, 0].tolist() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    first, second = (settling.state[f"units.{layer}.settle"].item() for layer in (0, 1))
    assert (first, second) == (0.25, 0.5)


def test_nets_are_measured_on_the_validation_rows_and_the_test_rows_are_never_read():
    split = problem()
    poisoned = replace(
        split,
        x_test=np.full((3, 1), np.nan, np.float32),
        y_test=np.full((5, 2), -1),
    )
    clean, other = (
        [without_seconds(m) for m in train(recipe(epochs=2), candidates(ONE_STRUCTURE[:3]), each, CPU)]
        for each in (split, poisoned)
    )
    assert clean == other


def test_a_net_that_ends_early_is_the_one_of_the_whole_schedule_at_that_epoch():
    genomes = [*ONE_STRUCTURE[:2], {"settle": 0.5}]
    whole = train(recipe(epochs=4), candidates(genomes), problem(), CPU)
    ends = [4, 2, 3]
    early = [replace(each, last_epoch=end) for each, end in zip(candidates(genomes), ends, strict=True)]
    for end, mine, other in zip(ends, train(recipe(epochs=4), early, problem(), CPU), whole, strict=True):
        assert len(mine.accuracy) == end
        assert mine.accuracy == pytest.approx(other.accuracy[:end], abs=0.02)
        assert mine.survivors == other.survivors[:end]


def test_an_exam_scores_halves_of_the_validation_rows_and_the_test_rows_after_the_last_epoch():
    split = problem()
    split = replace(split, x_test=split.x_val[::2], y_test=split.y_val[::2])
    given = [replace(each, last_epoch=1) for each in candidates(ONE_STRUCTURE[:2])]
    found = train(recipe(epochs=2), given, split, CPU, exam=Exam(on_test_rows=True))
    for each in found:
        assert sum(each.exam.halves) / 2 == pytest.approx(each.accuracy[-1])
        assert each.exam.test == each.exam.halves[0]
        assert each.exam.layers[-1] == each.layers
    blind = train(recipe(epochs=2), given, split, CPU, exam=Exam(on_test_rows=False))
    assert [each.exam.test for each in blind] == [None, None]
    assert [each.exam.halves for each in blind] == [each.exam.halves for each in found]
    assert train(recipe(), candidates(ONE_STRUCTURE[:1]), split, CPU)[0].exam is None


def test_accuracy_is_the_fraction_of_validation_rows_over_several_chunks(monkeypatch):
    split = problem()
    whole = train(recipe(), candidates(ONE_STRUCTURE[:2]), split, CPU)
    monkeypatch.setattr(cohort, "EVALUATION_ROWS", 33)
    chunked = train(recipe(), candidates(ONE_STRUCTURE[:2]), split, CPU)
    assert [m.accuracy for m in chunked] == [m.accuracy for m in whole]
    assert all(m.accuracy[0] in {hits / 100 for hits in range(101)} for m in whole)


def minibatches(monkeypatch, the_recipe, genomes, split):
    """The training rows of every step, found by their values."""
    seen = []
    losses = CompactStack.losses

    def spy(self, loss_of, x, y):
        rows = [np.flatnonzero((split.x_train == row).all(1)).item() for row in x.numpy()]
        assert split.y_train[rows].tolist() == y.tolist()
        seen.append(rows)
        return losses(self, loss_of, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(CompactStack, "losses", spy)
        assert all(m.failure is None for m in train(the_recipe, candidates(genomes), split, CPU))
    return seen


def test_every_row_is_used_once_an_epoch_and_the_last_minibatch_is_shorter(monkeypatch):
    split = problem(70)
    seen = minibatches(monkeypatch, recipe(epochs=2), [{}], split)
    assert [len(rows) for rows in seen] == [32, 32, 6] * 2
    for epoch in (0, 1):
        order = np.random.default_rng([3, epoch]).permutation(70).tolist()
        assert list(chain(*seen[3 * epoch : 3 * epoch + 3])) == order


def test_the_order_of_rows_depends_on_study_seed_and_epoch_only(monkeypatch):
    split = problem(70)
    first = minibatches(monkeypatch, recipe(epochs=2), [{}], split)
    torch.manual_seed(4)
    np.random.seed(4)
    assert minibatches(monkeypatch, recipe((7,), True, epochs=2), ONE_STRUCTURE[:3], split) == first
    assert minibatches(monkeypatch, recipe(epochs=2, seed=4), [{}], split) != first
    assert first[:3] != first[3:]


def test_a_net_whose_units_are_all_pruned_has_collapsed_to_chance():
    deadly = {
        "unactivation_penalty": 1e3,
        "max_deaths": 1.0,
        "min_neurons": 0,
        "regrowth_rate": 0.0,
        "hebbian_threshold": 0.0,
    }
    split = problem()
    (measurement,) = train(recipe(), candidates([deadly]), split, CPU)
    assert measurement.collapsed
    assert (measurement.survivors, measurement.layers, measurement.inputs) == ((0,), (0, 0), 0)
    shares = np.bincount(split.y_val) / len(split.y_val)
    assert min(abs(shares - measurement.accuracy[-1])) < 1e-9  # one class for every row
