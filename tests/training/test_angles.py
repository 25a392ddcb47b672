"""The angles between weights and backward weights are measured after each epoch, recorded, and drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hebbevo.nn import FeedbackLinear
from hebbevo.training import score
from hebbevo.training.trial_details import TrialDetails
from tests.rules.conftest import RuleTraining


def angle(weight, backward):
    cosine = (weight * backward).sum() / weight.norm() / backward.norm()
    return float(torch.rad2deg(torch.acos(cosine)))


@pytest.fixture(scope="module")
def cohorts():
    training = RuleTraining(credit="feedback_alignment", knobs={"alignment_self": 0.5}, epochs=2)
    found = {how: training.cohort(how) for how in ("alone", "stack")}
    for each in found.values():
        each.train()
    return found


def test_angles_are_those_of_every_layer_after_every_epoch(cohorts):
    measured = {how: each.measurements()[0].angles for how, each in cohorts.items()}
    state = {name: value[0] for name, value in cohorts["stack"].state.items()}
    names = ("layers.0", "layers.1", "head")
    expected = [angle(state[f"{name}.weight"], state[f"{name}.credit.feedback"]) for name in names]
    assert np.allclose(measured["stack"][-1], expected)
    assert np.allclose(measured["alone"], measured["stack"])
    first, last = measured["stack"]
    assert len(first) == 3
    assert all(after < before for before, after in zip(first, last, strict=True))


def test_a_network_without_backward_weights_has_no_angles():
    for credit in ("backprop", "direct_feedback_alignment"):
        cohort = RuleTraining(credit=credit, epochs=1).cohort("alone")
        [measured] = cohort.train()
        assert measured.angles == ()
        assert "angles_per_epoch" not in score([measured]).details.to_json()


def test_the_angles_of_a_trial_are_means_over_its_replicates_and_are_recorded(cohorts):
    measured = cohorts["alone"].measurements()[0]
    other = replace(measured, angles=((10.0, 20.0, 30.0), (40.0, 50.0, 60.0)))
    details = TrialDetails.from_json(score([measured, other]).details.to_json())
    assert np.allclose(details.angles_per_epoch, np.add(measured.angles, other.angles) / 2)


def layer(weight, backward):
    """A linear layer with one output, in double precision, with these weights."""
    found = FeedbackLinear(len(weight), 1, seed=1).double()
    with torch.no_grad():
        found.weight.copy_(torch.tensor([weight], dtype=torch.float64))
        found.credit.feedback.copy_(torch.tensor([backward], dtype=torch.float64))
    return found


@pytest.mark.parametrize("scale", [1e-320, 1e-30, 1.0, 1e200, 1e308])
def test_an_angle_does_not_depend_on_the_size_of_weights(scale):
    # the square of such a size is zero or infinite
    for backward, expected in (([1.0, 0.0], 45.0), ([0.0, -1.0], 135.0), ([1.0, 1.0], 0.0)):
        own = layer([scale, scale], backward)
        assert float(own.angle()) == pytest.approx(expected, abs=1e-5)
        own = layer([1.0, 1.0], [scale * each for each in backward])
        assert float(own.angle()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_weights_without_a_direction_have_a_right_angle_that_can_be_recorded(value):
    for own in (
        layer([value, 0.0], [1.0, 2.0]),
        layer([1.0, 2.0], [value, 0.0]),
        layer([value] * 2, [0.0] * 2),
    ):
        assert float(own.angle()) == 90.0
