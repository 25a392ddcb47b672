"""The native engine trains the same nets as PyTorch, up to float rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hebbevo import native
from hebbevo.data import Split
from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, Recipe, Rows, train
from hebbevo.training.recipe import NATIVE, PYTORCH
from tests.training.conftest import CPU, DIVERGING, SGD, problem, recipe, state_of, without_seconds
from tests.training.native_cohorts import (
    CONNECTIONS,
    RULES,
    assert_same_nets,
    cohorts,
    native_cohort,
    needs_native,
    of_connections,
    of_rule,
)

pytestmark = needs_native


@pytest.mark.parametrize(("rule", "knobs"), RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_net_is_the_same_after_every_step_of_training(rule, knobs):
    base = recipe((23, 17), epochs=2, batch_size=45, settle=0.2, target=9)
    assert_same_after_every_step(of_rule(base, rule, knobs))


@pytest.mark.parametrize(("rule", "knobs", "units"), CONNECTIONS, ids=[rule for rule, *_ in CONNECTIONS])
def test_a_net_with_masked_connections_is_the_same_after_every_step(rule, knobs, units):
    inputs = units != "ablation"  # which ranks the weights that lead to units
    base = recipe((23, 17), inputs=inputs, epochs=2, batch_size=45, settle=0.2, target=9)
    assert_same_after_every_step(of_connections(base, rule, knobs, units))


def assert_same_after_every_step(the_recipe):
    genomes = [{"learning_rate": 3e-3, "weight_decay": 0.1}, {"learning_rate": 1e-2}]
    ours, theirs = cohorts(the_recipe, genomes, problem())
    for epoch in range(2):
        for rows in ours.minibatches(epoch):
            ours.train_step(rows)
            theirs.train_step(rows)
            assert_same_nets(ours, theirs, len(genomes))
        ours.measure()
        theirs.measure()
    for one, other in zip(ours.measurements(), theirs.measurements(), strict=True):
        assert (one.survivors, one.layers, one.inputs) == (other.survivors, other.layers, other.inputs)
        assert (one.explored, one.further) == (other.explored, other.further)
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.011)  # a row of a hundred


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    hidden=st.lists(st.integers(1, 70), min_size=1, max_size=3),
    features=st.integers(1, 40),
    outputs=st.integers(1, 20),
    batch_size=st.integers(2, 90),
    inputs=st.booleans(),
    connections=st.sampled_from(["full", "random", "static"]),
    optimizer=st.sampled_from([SGD, {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.3}]),
    knobs=st.fixed_dictionaries(
        {
            "schedule": st.sampled_from(["threshold", "target"]),
            "threshold": st.floats(0, 0.7),
            "max_deaths": st.sampled_from([0.0, 0.2, 1.0]),
            "min_neurons": st.integers(0, 3),
            "target": st.integers(1, 40),
            "events": st.integers(1, 9),
            "regrowth_rate": st.sampled_from([0.0, 0.3, 1.0]),
            "initial_neurons": st.sampled_from([0.1, 0.6, 1.0]),
            "handover": st.booleans(),
            "grace": st.integers(0, 4),
            "settle": st.sampled_from([0.0, 0.4]),
            "learning_rate_warmup": st.integers(0, 3),
            "density": st.floats(0.05, 1),
        }
    ),
)
def test_nets_of_any_shape_and_with_any_knobs_are_the_same(
    hidden, features, outputs, batch_size, inputs, connections, optimizer, knobs
):
    """The rules *random* draw their scores, so that no score is changed by rounding."""
    random = np.random.default_rng(features)
    x = random.normal(size=(120, features)).astype(np.float32)
    y = random.integers(outputs, size=120) if outputs > 1 else random.normal(size=(120, 1)).astype(np.float32)
    ones = np.ones(features, np.float32)
    split = Split(x[:100], y[:100], x[100:], y[100:], x[:0], y[:0], 0 * ones, ones, tuple(range(outputs)))
    network = Architecture(
        "mlp", tuple(hidden), "random", inputs, (features,), outputs, connections=connections
    )
    the_recipe = Recipe(network, {"warmup": 1, "prune_period": 1, **knobs}, 3, batch_size, 5)
    if outputs == 1:
        the_recipe = replace(the_recipe, kind="regression")
    else:
        the_recipe = replace(the_recipe, class_weights=tuple(1.0 + place for place in range(outputs)))
    ours, theirs = cohorts(the_recipe, [optimizer], split)
    for _ in range(3):
        ours.train_epoch()
        theirs.train_epoch()
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-4, atol=1e-5)
    assert_same_nets(ours, theirs, 1, tolerance=1e-3)
    for one, other in zip(ours.measurements(), theirs.measurements(), strict=True):
        assert (one.survivors, one.layers, one.inputs) == (other.survivors, other.layers, other.inputs)


def test_a_loss_that_is_not_finite_is_seen_at_its_step_and_ends_the_training():
    the_recipe, rows = recipe((12,), epochs=2), Rows.of(problem(), (11,), CPU)
    measured = {
        engine: train(
            replace(the_recipe, engine=engine), [Candidate(DIVERGING), Candidate({})], problem(), CPU
        )
        for engine in (PYTORCH, NATIVE)
    }
    assert [each.failure for each in measured[NATIVE]] == [each.failure for each in measured[PYTORCH]]
    assert "at step" in str(measured[NATIVE][0].failure)
    cohort = native_cohort(the_recipe, [DIVERGING], rows)
    cohort.train_epoch()
    taken = (cohort.losses != 0).flatten()
    assert not cohort.losses[taken][-1].isfinite()
    assert cohort.losses[taken][:-1].isfinite().all()


def test_accuracy_is_that_of_the_outputs_and_a_net_whose_outputs_are_not_finite_fails():
    split = problem()
    rows = Rows.of(split, (11,), CPU)
    cohort = native_cohort(recipe((23, 17)), [{}, {}, {}], rows)
    cohort.train_epoch()
    [own] = cohort.sub_cohorts
    weights = [*own.nets.trained.values()]
    with torch.no_grad():
        for weight in weights:
            weight[1] = 0  # all outputs are equal, and the first one is the answer
        weights[-1][2, 0] = torch.inf
    answers = cohort.outputs(rows.x_val).argmax(-1)
    cohort.measure()
    found = [each.accuracy[-1] for each in cohort.measurements()]
    assert found[0] == float((answers[0] == rows.y_val).double().mean())
    assert found[1] == float((rows.y_val == 0).double().mean())
    assert np.isnan(found[2])
    assert [each.failure is None for each in cohort.measurements()] == [True, True, False]


def test_a_net_is_the_same_bit_for_bit_whatever_trains_beside_it():
    the_recipe = recipe((23, 17), epochs=2)
    genomes = [{"learning_rate": 0.01}, {"learning_rate": 0.003, "penalty_form": "ratio"}, SGD]
    candidates = [Candidate(genome) for genome in genomes]
    the_recipe = replace(the_recipe, engine=NATIVE)
    together = train(the_recipe, candidates, problem(), CPU)
    alone = [train(the_recipe, [each], problem(), CPU)[0] for each in candidates]
    assert [*map(without_seconds, together)] == [*map(without_seconds, alone)]
    rows = Rows.of(problem(), (11,), CPU)
    two, one = (native_cohort(the_recipe, genomes[:count], rows) for count in (2, 1))
    two.train()
    one.train()
    mine, other = state_of(two, 0), state_of(one, 0)
    unread = "outgoing"  # which nets measure before the first step, in a stack or alone
    assert all(torch.equal(mine[name], other[name]) for name in mine if not name.endswith(unread))


def test_all_widths_of_vectors_with_fused_multiply_adds_give_the_same_bits(monkeypatch):
    widths = [each for each in native.usable_widths() if each > 4]
    if len(widths) < 2:
        pytest.skip(f"this processor, or this installation, has vectors of {widths} floats only")
    rows, found = Rows.of(problem(), (11,), CPU), []
    the_recipe = recipe((83, 41), inputs=True, epochs=3, batch_size=50, activity="contribution")
    for width in widths:
        monkeypatch.setattr(native, "library", lambda width=width: native.Library(width))
        cohort = native_cohort(the_recipe, [{}, {"learning_rate": 0.02}], rows)
        cohort.train()
        found.append((cohort.state, cohort.losses))
    (first, first_losses), *others = found
    for state, losses in others:
        assert torch.equal(losses, first_losses)
        assert all(torch.equal(state[name], first[name]) for name in first)


def test_the_build_for_any_processor_gives_the_same_up_to_rounding(monkeypatch):
    rows, found = Rows.of(problem(), (11,), CPU), []
    for width in {4, native.library().width}:
        monkeypatch.setattr(native, "library", lambda width=width: native.Library(width))
        found.append(native_cohort(of_rule(recipe((37, 21), epochs=2), "random", {"target": 9}), [{}], rows))
        found[-1].train()
    assert_same_nets(found[0], found[-1], 1)


def test_early_stopping_and_last_epochs_end_trainings_as_ever():
    candidates = [Candidate({}, last_epoch=1), Candidate({"learning_rate": 0.01})]
    masked = of_connections(recipe((12,), epochs=3), "rigl", {"density": 0.5, "rewire_period": 3})
    the_recipe = replace(masked, engine=NATIVE)
    first, second = train(the_recipe, candidates, problem(), CPU)
    assert (len(first.accuracy), len(second.accuracy)) == (1, 3)
    [whole] = train(the_recipe, candidates[1:], problem(), CPU)
    assert without_seconds(whole) == without_seconds(second)


@pytest.mark.parametrize(
    ("what", "connections", "genome"),
    [
        ("rebirth: old", "full", {"rebirth": "old"}),
        ("connections: hebb_mask", "hebb_mask", {}),  # keeps the weights of connections that are out
        ("connections: coactivation", "coactivation", {}),  # gathers sums of all connections
    ],
)
def test_what_the_engine_has_not_is_a_failure_that_names_it(what, connections, genome):
    the_recipe = replace(of_connections(recipe((12,)), connections, {}), engine=NATIVE)
    [measured] = train(the_recipe, [Candidate(genome)], problem(), CPU)
    assert measured.failure == (
        f"UsageError: the native engine has no {what}; leave it out, or write engine: pytorch"
    )


@pytest.mark.parametrize("knobs", [{"size_penalty": 1e-3}, {"rebirth": "old"}])
def test_each_net_of_a_cohort_is_refused_for_what_it_asks_for_itself(knobs):
    """Nets of one structure: the first must not speak for the others."""
    the_recipe, split = replace(recipe((12,)), engine=NATIVE), problem()
    served, not_served = Candidate({"hebbian_threshold": 0.1}), Candidate({"hebbian_threshold": 0.2, **knobs})
    [alone] = train(the_recipe, [served], split, CPU)
    for together in ([served, not_served], [not_served, served]):
        found = train(the_recipe, together, split, CPU)
        assert without_seconds(found[together.index(served)]) == without_seconds(alone)
        assert "the native engine has no" in str(found[together.index(not_served)].failure)


def test_without_a_compiled_engine_a_training_fails_with_a_line(monkeypatch):
    monkeypatch.setattr(native, "library", native.library.__wrapped__)
    monkeypatch.setattr("hebbevo.native.loading.is_built", lambda: False)
    with pytest.raises(UsageError, match="the native engine is not compiled here"):
        native_cohort(recipe((12,)), [{}], Rows.of(problem(), (11,), CPU))
