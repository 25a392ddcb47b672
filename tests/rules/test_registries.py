"""What the rules of the registries do and do not do."""

import pytest

from hebbevo.errors import UsageError
from hebbevo.rules import AXES, CONNECTIONS, CREDIT, UNITS
from hebbevo.rules.connections.rule import ByCount


def test_every_rule_is_registered_under_its_own_name():
    assert list(UNITS) == [
        "stamina", "usage", "contribution", "score", "taylor", "decorrelation", "frequency", "redo",
        "demp", "ablation", "l0", "magnitude", "random", "dense",
    ]  # fmt: skip
    assert list(CONNECTIONS) == [
        "full", "hebb_mask", "set", "cosine", "coactivation", "rigl", "magnitude", "iterative_magnitude",
        "constant_fan_in", "random", "static",
    ]  # fmt: skip
    assert list(CREDIT) == [
        "backprop", "hebbian", "softhebb", "hebbian_term", "feedback_alignment", "direct_feedback_alignment",
        "reward_modulated", "sign_symmetry", "kolen_pollack", "weight_mirror", "information_alignment",
        "symmetric_alignment", "activation_alignment", "similarity_matching",
    ]  # fmt: skip
    assert all(rule.name == name for rules in AXES.values() for name, rule in rules.items())


@pytest.mark.parametrize("axis", AXES)
def test_an_unknown_name_is_an_error_that_names_what_is_known(axis):
    first, *_ = AXES[axis]
    with pytest.raises(UsageError, match=f"unknown rule 'oja'; known: {first}, "):
        AXES[axis]["oja"]


def test_only_the_controls_never_prune():
    assert [name for name, rule in UNITS.items() if not rule.prunes] == ["dense"]
    assert [name for name, rule in CONNECTIONS.items() if not rule.prunes] == ["full"]


def test_only_redo_recycles_and_only_l0_has_trained_parameters():
    assert [name for name, rule in UNITS.items() if rule.recycles] == ["redo"]
    assert [name for name, rule in UNITS.items() if rule.parameters] == ["l0"]


def test_only_hebb_mask_keeps_the_weights_of_pruned_connections():
    assert [name for name, rule in CONNECTIONS.items() if rule.keeps_weights] == ["hebb_mask"]


def test_backprop_leaves_the_weights_and_the_loss_to_the_task():
    assert not CREDIT["backprop"].updates
    assert not CREDIT["backprop"].local


def test_only_rules_with_scores_for_growing_rank_the_connections_that_enter():
    growing = [name for name, rule in CONNECTIONS.items() if rule.grows]
    assert growing == ["set", "cosine", "coactivation", "rigl", "constant_fan_in"]

    class Growing(type(CONNECTIONS["magnitude"])):
        name = "growing"

        def grow(self, k, s, layer):
            return layer.draw(0)

    assert issubclass(Growing, ByCount) and Growing().grows
