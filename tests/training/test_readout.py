"""Readouts: the head that is fitted in closed form, and what each layer has learned beside random weights."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hebbevo.networks import Architecture
from hebbevo.training import Candidate, CohortTraining, Exam, Recipe, Rows, score, train
from hebbevo.training.readout import MOST_FEATURES, LayerOutputs
from hebbevo.training.ridge import Moments, ridge
from hebbevo.training.stack import SingleNet, VmapStack
from hebbevo.training.trial_details import TrialDetails
from tests.training.conftest import CPU, image_problem

SHAPE = (1, 6, 6)
GENOMES = ({"hebbian_rate": 0.3}, {"hebbian_rate": 0.02})


def recipe(family="hebbian_conv", credit="hebbian", readout="ridge", units="dense", **settings):
    channels, hidden = ((), (9, 6)) if family == "mlp" else ((5, 8), ())
    network = Architecture(family, hidden, units, False, SHAPE, 4, channels, credit=credit, readout=readout)
    return Recipe(network, {"learning_rate": 0.02, **settings}, epochs=2, batch_size=16, seed=3)


def cohort_of(the_recipe, genomes=GENOMES):
    nets = [built(the_recipe, genome) for genome in genomes]
    stack = VmapStack(nets, CPU) if len(nets) > 1 else SingleNet(nets[0], CPU)
    rows = Rows.of(image_problem(SHAPE), SHAPE, CPU)
    knobs = [the_recipe.training_knobs(genome) for genome in genomes]
    return CohortTraining(the_recipe, stack, knobs, built(the_recipe, genomes[0]), rows)


def built(the_recipe, genome):
    seed = Candidate(genome).seed(the_recipe.seed)
    return the_recipe.network.build(the_recipe.settings_for(genome), seed)


def measured(the_recipe, genomes=GENOMES, **options):
    candidates = [Candidate(genome) for genome in genomes]
    return train(the_recipe, candidates, image_problem(SHAPE), CPU, **options)


def readout_of(features):
    """The ridge of literal features of all training rows, as weights and bias in float32."""
    split = image_problem(SHAPE)
    targets, held = F.one_hot(torch.from_numpy(split.y_train), 4), torch.arange(len(split.y_train)) % 5 == 1
    parts = [
        Moments.of(features[which], targets[which], torch.ones(int(which.sum()))) for which in (~held, held)
    ]
    return [each.float() for each in ridge(*parts)]


def regions(outputs):
    """Outputs of a layer as a readout takes them: maps are averaged over at most 4 x 4 regions."""
    return (
        F.adaptive_avg_pool2d(outputs, min(4, outputs.shape[-1])).flatten(1) if outputs.dim() > 2 else outputs
    )


def accuracy(outputs, y):
    return float((outputs.argmax(1).numpy() == y).mean())


def rows_of(name):
    return torch.from_numpy(getattr(image_problem(SHAPE), name)).reshape(-1, *SHAPE)


@pytest.mark.parametrize("family", ["hebbian_conv", "mlp"])
def test_a_fitted_head_is_the_ridge_of_the_last_hidden_layer(family):
    cohort = cohort_of(recipe(family))
    cohort.train_epoch()
    for row, genome in enumerate(GENOMES):
        net = cohort.network(row, built(recipe(family), genome))
        with torch.no_grad():
            weight, bias = readout_of(net.head_inputs(rows_of("x_train")))
        torch.testing.assert_close(net.head.weight, torch.nn.Parameter(weight), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(net.head.bias, torch.nn.Parameter(bias), rtol=1e-3, atol=1e-4)
        reached = accuracy(net(rows_of("x_val")), image_problem(SHAPE).y_val)
        assert cohort.measurements()[row].accuracy == (reached,)


@pytest.mark.parametrize("credit", ["hebbian", "backprop"])
def test_the_head_that_is_trained_is_what_it_is_without_a_fitted_one(credit):
    fitted, trained = (cohort_of(recipe("mlp", credit, each), ({},)) for each in ("ridge", "trained"))
    for cohort in (fitted, trained):
        cohort.train_epoch()
        cohort.train_epoch()
    torch.testing.assert_close(fitted.losses, trained.losses)
    assert fitted.measurements()[0].accuracy != trained.measurements()[0].accuracy


@pytest.mark.parametrize("normalization", ["sample", "batch"])
def test_readouts_of_a_stack_are_those_of_each_net_alone(normalization):
    own = recipe(normalization=normalization)
    together = measured(own)
    for genome, stacked in zip(GENOMES, together, strict=True):
        [alone] = measured(own, [genome])
        assert stacked.failure is None
        np.testing.assert_allclose(stacked.accuracy, alone.accuracy, atol=0.03)
        np.testing.assert_allclose(stacked.decoding.learned, alone.decoding.learned, atol=0.03)
        np.testing.assert_allclose(stacked.decoding.random, alone.decoding.random, atol=0.03)


@pytest.mark.parametrize("family", ["hebbian_conv", "mlp"])
def test_each_layer_is_decoded_beside_the_weights_that_the_network_began_with(family):
    own, split = recipe(family, readout="trained"), image_problem(SHAPE)
    for genome, found in zip(GENOMES, measured(own), strict=True):
        cohort = cohort_of(own, (genome,))
        for _ in range(own.epochs):
            cohort.train_epoch()
        nets = cohort.network(0, built(own, genome)), built(own, genome).eval()
        for net, expected in zip(nets, (found.decoding.learned, found.decoding.random), strict=True):
            with torch.no_grad():
                trained, judged = (
                    [regions(each) for each in net.hidden_outputs(rows_of(name))]
                    for name in ("x_train", "x_val")
                )
            by_hand = [
                accuracy(F.linear(x_val, *readout_of(x)), split.y_val)
                for x, x_val in zip(trained, judged, strict=True)
            ]
            np.testing.assert_allclose(expected, by_hand, atol=0.03)
    assert found.decoding.learned != found.decoding.random


def test_the_random_network_has_the_masks_of_the_trained_one():
    settings = {
        "units": "random",
        "target": 3,
        "warmup": 1,
        "events": 2,
        "hebbian_rate": 0.0,
        "threshold_form": "none",
    }
    [found] = measured(recipe("mlp", **settings), ({},))
    # nothing is learned, so the trained network is the random one as long as both have the same dead units
    assert found.survivors[-1] < 15
    assert found.decoding.learned == found.decoding.random


def test_the_last_layer_under_a_fitted_head_is_decoded_by_this_head():
    for each in measured(recipe()):
        assert each.decoding.learned[-1] == each.accuracy[-1]


def test_the_only_layer_under_a_fitted_head_is_decoded_by_this_head():
    [found] = train(one_layer(), [Candidate({})], image_problem(SHAPE), CPU)
    assert found.decoding.learned == (found.accuracy[-1],)
    assert len(found.decoding.random) == 1


def one_layer():
    network = Architecture(
        "hebbian_conv", (), "dense", False, SHAPE, 4, (5,), credit="hebbian", readout="ridge"
    )
    return Recipe(network, {}, epochs=1, batch_size=16, seed=3)


def test_large_layers_are_averaged_over_fewer_regions():
    network = Architecture("hebbian_conv", (), "dense", False, (1, 8, 8), 4, (300, 3000), credit="softhebb")
    net, x = network.build({}, 1).eval(), torch.randn(2, 1, 8, 8)
    assert [each.shape[1] for each in LayerOutputs(2)(net, x)] == [4 * 300, 3000]
    assert MOST_FEATURES < 9 * 300


def test_nothing_is_decoded_without_a_rule_that_changes_weights():
    assert all(each.decoding is None for each in measured(recipe("mlp", "backprop"), ({},)))


@pytest.mark.parametrize("readout", ["ridge", "trained"])
@pytest.mark.parametrize("on_test_rows", [True, False])
def test_layers_are_decoded_on_the_rows_that_an_exam_judges_by(on_test_rows, readout):
    split = image_problem(SHAPE)
    x, y = (split.x_test, split.y_test) if on_test_rows else (split.x_val[::2], split.y_val[::2])
    judged = replace(split, x_val=x, y_val=y)  # a search whose validation rows are these
    examined, plain = (
        train(recipe(readout=readout), [Candidate(GENOMES[0])], rows, CPU, exam=exam)
        for rows, exam in ((split, Exam(on_test_rows=on_test_rows)), (judged, None))
    )
    assert examined[0].decoding == plain[0].decoding
    assert examined[0].decoding != measured(recipe(readout=readout))[0].decoding


class StopsFirst:
    """Stops the first trial after the first epoch."""

    rungs, explained = (1,), {1: 0.0}

    def decide(self, scores, *counts):
        return [SimpleNamespace(stopped=row == 0, predicted_final=None) for row in range(len(scores))]


def test_a_net_that_is_stopped_early_is_decoded_when_it_stops():
    def decodings(stopper=None, last_epochs=()):
        found = cohort_of(recipe(normalization="batch")).train(stopper, range(len(GENOMES)), last_epochs)
        return [each.decoding for each in found], found

    (first, second), measurements = decodings(StopsFirst())
    assert measurements[0].stopped and len(measurements[0].accuracy) == 1
    (ended, _), _ = decodings(last_epochs=(1, None))
    np.testing.assert_allclose(first.learned, ended.learned, atol=0.03)
    np.testing.assert_allclose(first.random, ended.random, atol=0.03)
    assert second == decodings(last_epochs=(1, None))[0][1]


def test_a_trial_that_was_decoded_is_recorded_with_means_over_replicates():
    found = measured(recipe())
    details = TrialDetails.from_json(score(found).details.to_json())
    for name, own in (("decoding_per_layer", "learned"), ("random_decoding_per_layer", "random")):
        both = [getattr(each.decoding, own) for each in found]
        np.testing.assert_allclose(getattr(details, name), np.mean(both, axis=0))
    assert "decoding_per_layer" not in score(measured(recipe("mlp", "backprop"), ({},))).details.to_json()


def test_training_goes_on_as_if_nothing_had_been_measured():
    """The state after the last measurement is that of a loop which never decodes."""
    own, states = recipe(normalization="batch", readout="trained"), []
    plain = cohort_of(own)
    for _ in range(own.epochs):
        plain.train_epoch()
    decoded = cohort_of(own)
    decoded.train()
    for cohort in (plain, decoded):
        states.append({name: each.clone() for name, each in cohort.state.items()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
