"""Defaults, limits and scales of the knobs of every rule, on which the meaning of a space file depends."""

from math import inf

import pytest

from hebbevo.rules import AXES
from hebbevo.rules.rule import Need
from hebbevo.rules.units.rule import unit_knobs

SETTLE = {"settle": (0.0, 0.0, 0.95, False)}
# name: default, lowest, highest, whether its suggested range is logarithmic
PRUNING = SETTLE | {
    "warmup": (40, 0, inf, False),
    "prune_period": (10, 1, inf, True),
    "max_deaths": (0.2, 0.0, 1.0, False),
    "target": (16, 1, 100_000, True),
    "target_share": (0.0, 0.0, 1.0, False),
    "events": (20, 1, inf, True),
    "min_neurons": (2, 0, inf, False),
    "regrowth_rate": (0.0, 0.0, 1.0, False),
    "rebirth": ("auto", -inf, inf, False),
    "grace": (50, 0, inf, False),
    "handover": (False, -inf, inf, False),
    "initial_neurons": (1.0, 0.0, 1.0, False),
    "growth_rate": (0.0, 0.0, 1.0, False),
    "grow": (0, 0, inf, False),
    "patience": (3, 1, inf, False),
}
TO_A_TARGET = PRUNING | {
    "schedule": ("target", -inf, inf, False),
    "threshold": (0.0, -inf, inf, False),
}
TO_A_THRESHOLD = PRUNING | {"schedule": ("threshold", -inf, inf, False)}
OF_STATISTICS = TO_A_TARGET | {"memory": (0.98, 0.0, 1.0, False)}
STAMINA = TO_A_THRESHOLD | {
    "hebbian_threshold": (0.0, -inf, inf, False),
    "unactivation_penalty": (1.0, 0.0, inf, True),
    "penalty_form": ("mean", -inf, inf, False),
    "activity": ("activation", -inf, inf, False),
    "firing_prior": (0.5, 0.0, 1.0, False),
    "stamina_decay": (0.98, 0.0, 1.0, False),
    "size_penalty": (0.0, 0.0, inf, True),
    "entropy_bonus": (0.0, 0.0, inf, True),
}
DEMP = PRUNING | {
    "schedule": ("threshold", -inf, inf, False),
    "threshold": (0.0, -inf, inf, False),
    "memory": (0.98, 0.0, 1.0, False),
    "window": (50, 1, inf, True),
    "decay": (1e-3, 0.0, 1.0, True),
    "noise": (1e-3, 0.0, inf, True),
    "regulariser": ("l1", -inf, inf, False),
    "rise": (0.3, 0.0, 1.0, False),
}
USAGE = OF_STATISTICS | {"ridge": (0.01, 1e-6, inf, True)}
SCORE = USAGE | {
    "p": (1.0, 0.0, inf, False),
    "q": (1.0, 0.0, inf, False),
    "r": (0.5, 0.0, inf, False),
    "s": (0.0, -inf, inf, False),
    "u": (0.0, -inf, inf, False),
}
REDO = TO_A_THRESHOLD | {"dormancy": (0.025, 0.0, inf, False), "memory": (0.98, 0.0, 1.0, False)}
ABLATION = PRUNING | {
    "schedule": ("target", -inf, inf, False),
    "salient_weights": (0.07, 0.0, 1.0, True),
    "salient_gradients": (0.03, 0.0, 1.0, False),
    "salience": (0.3, 0.0, inf, True),
}
L0 = TO_A_THRESHOLD | {
    "threshold": (0.0, -inf, inf, False),
    "gate_penalty": (0.001, 0.0, inf, True),
    "gate_start": (0.0, -inf, inf, False),
    "gate_rate": (10.0, 0.0, inf, True),
}
HEBB_MASK = SETTLE | {
    "update_form": ("weighted", -inf, inf, False),
    "permanence_rate": (0.1, 0.0, inf, True),
    "permanence_decay": (0.0, 0.0, 1.0, False),
    "permanence_bound": (1.0, 0.0, inf, False),
    "initial_permanence": (1.0, -inf, inf, False),
    "prune_threshold": (0.0, -inf, inf, False),
    "hysteresis": (0.0, 0.0, inf, False),
    "update_interval": (1, 1, inf, True),
    "warmup": (0, 0, inf, False),
}
DENSITY = {
    "density": (0.1, 0.0, 1.0, True),
    "distribution": ("uniform", -inf, inf, False),
    "epsilon": (13.0, 0.0, inf, True),
}
GRADUAL = SETTLE | DENSITY | {"warmup": (40, 0, inf, False), "prune_period": (10, 1, inf, True)}
REWIRING = (
    SETTLE
    | DENSITY
    | {
        "drop_fraction": (0.3, 0.0, 1.0, False),
        "drop_schedule": ("constant", -inf, inf, False),
        "rewire_period": (100, 1, inf, True),
        "warmup": (0, 0, inf, False),
    }
)
RIGL = REWIRING | {"drop_schedule": ("cosine", -inf, inf, False)}
COSINE = REWIRING | {
    "grow_by": ("cosine", -inf, inf, False),
    "drop_by": ("magnitude", -inf, inf, False),
    "plateau": (5, 1, inf, False),
}
ITERATIVE_MAGNITUDE = SETTLE | {
    "rounds": (3, 1, inf, False),
    "quality": (0.7, 0.0, inf, True),
    "share": (0.0, 0.0, 1.0, False),
    "rewind_step": (0, 0, inf, False),
}
HEBBIAN_ACTIVITY = {
    "competition": ("winners", -inf, inf, False),
    "winners": (1, 1, inf, True),
    "temperature": (1.0, 1e-6, inf, True),
    "anti_hebbian": (1.0, 0.0, inf, False),
    "nonlinearity": ("linear", -inf, inf, False),
    "exponent": (1.0, 0.0, inf, False),
    "threshold_form": ("homeostatic", -inf, inf, False),
    "threshold_level": (1.0, -inf, inf, False),
    "threshold_rate": (1.0, 0.0, inf, True),
    "decay_form": ("instar", -inf, inf, False),
    "centre": (False, -inf, inf, False),
    "k1": (0.0, -inf, inf, False),
    "k2": (0.0, -inf, inf, False),
}
HEBBIAN_TERM = SETTLE | HEBBIAN_ACTIVITY | {"hebbian_weight": (0.01, 0.0, inf, True)}
SHARES = SETTLE | {"learns_from": (0.0, 0.0, 1.0, False), "learns_until": (0.0, 0.0, 1.0, False)}
HEBBIAN = (
    SHARES
    | HEBBIAN_ACTIVITY
    | {
        "hebbian_rate": (0.1, 0.0, inf, True),
        "update_scale": ("mean", -inf, inf, False),
        "rate_power": (0.0, 0.0, inf, False),
        "normalize": (True, -inf, inf, False),
        "weight_bound": (0.0, 0.0, inf, False),
        "connectivity": (1.0, 0.0, 1.0, True),
        "initial_norm": (1.0, 0.0, inf, True),
        "threshold_warmup": (0, 0, inf, False),
    }
)
SOFTHEBB = SHARES | {
    "temperature": (1.0, 1e-6, inf, True),
    "anti_hebbian": (1.0, 0.0, inf, False),
    "hebbian_rate": (0.01, 0.0, inf, True),
    "rate_power": (0.5, 0.0, inf, False),
    "connectivity": (1.0, 0.0, 1.0, True),
    "initial_norm": (25.0, 0.0, inf, True),
}
ALIGNMENT = {
    "alignment_decay": (0.0, 0.0, inf, True),
    "alignment_self": (0.0, 0.0, inf, True),
    "alignment_amp": (0.0, 0.0, inf, True),
    "alignment_null": (0.0, 0.0, inf, True),
    "alignment_sparse": (0.0, 0.0, inf, True),
    "tie": (False, -inf, inf, False),
    "alignment_noise": (0.0, 0.0, inf, True),
    "alignment_center": (False, -inf, inf, False),
    "match_norm": (False, -inf, inf, False),
    "alignment_rate": (0.01, 0.0, inf, True),
    "alignment_steps": (0, 0, inf, True),
    "feedback_scale": (1.0, 0.0, inf, True),
}


def row_of_the_matrix(**defaults):
    """The knobs of a rule of the alignment matrix, published for 450,000 steps."""
    steps = {} if defaults.get("tie") or not defaults else {"alignment_steps": 450_000}
    return ALIGNMENT | {name: (default, *ALIGNMENT[name][1:]) for name, default in (defaults | steps).items()}


KNOBS = {
    ("units", "stamina"): STAMINA,
    ("units", "usage"): USAGE,
    ("units", "contribution"): OF_STATISTICS,
    ("units", "score"): SCORE,
    ("units", "taylor"): OF_STATISTICS,
    ("units", "decorrelation"): OF_STATISTICS,
    ("units", "frequency"): OF_STATISTICS | {"belief": (10.0, 0.0, inf, True)},
    ("units", "redo"): REDO,
    ("units", "ablation"): ABLATION,
    ("units", "l0"): L0,
    ("units", "magnitude"): TO_A_TARGET,
    ("units", "random"): TO_A_TARGET,
    ("units", "demp"): DEMP,
    ("units", "dense"): SETTLE,
    ("connections", "full"): {},
    ("connections", "hebb_mask"): HEBB_MASK,
    ("connections", "set"): REWIRING,
    ("connections", "cosine"): COSINE,
    ("connections", "coactivation"): REWIRING | {"criterion": ("both", -inf, inf, False)},
    ("connections", "rigl"): RIGL,
    ("connections", "magnitude"): GRADUAL,
    ("connections", "iterative_magnitude"): ITERATIVE_MAGNITUDE,
    ("connections", "constant_fan_in"): RIGL,
    ("connections", "random"): GRADUAL,
    ("connections", "static"): DENSITY,
    ("credit", "backprop"): {},
    ("credit", "hebbian"): HEBBIAN,
    ("credit", "softhebb"): SOFTHEBB,
    ("credit", "hebbian_term"): HEBBIAN_TERM,
    ("credit", "reward_modulated"): {"output_noise": (0.1, 1e-6, inf, True)},
    ("credit", "similarity_matching"): {
        "matching_rate": (0.05, 0.0, 1.0, True),
        "matching_decay": (0.0, 0.0, inf, False),
        "matching_leak": (0.1, 1e-6, inf, True),
    },
    ("credit", "feedback_alignment"): row_of_the_matrix(),
    ("credit", "direct_feedback_alignment"): {"feedback_scale": (1.0, 0.0, inf, True)},
    ("credit", "sign_symmetry"): {
        "sign_size": ("uniform", -inf, inf, False),
        "feedback_scale": (1.0, 0.0, inf, True),
    },
    ("credit", "kolen_pollack"): row_of_the_matrix(alignment_decay=1e-3, tie=True),
    ("credit", "weight_mirror"): row_of_the_matrix(
        alignment_decay=1e-3, alignment_amp=1e-3, alignment_noise=1.0
    ),
    ("credit", "information_alignment"): row_of_the_matrix(
        alignment_decay=1e-3, alignment_amp=2e-3, alignment_null=1e-3
    ),
    ("credit", "symmetric_alignment"): row_of_the_matrix(alignment_decay=1e-3, alignment_self=2e-3),
    ("credit", "activation_alignment"): row_of_the_matrix(alignment_amp=2e-3, alignment_sparse=1e-3),
}


@pytest.mark.parametrize(("axis", "rule"), KNOBS, ids=lambda name: name)
def test_a_rule_has_these_knobs_with_these_defaults_limits_and_scales(axis, rule):
    knobs = AXES[axis][rule].knobs
    assert {name: (knob.default, knob.low, knob.high, knob.log) for name, knob in knobs.items()} == (
        KNOBS[axis, rule]
    )
    assert {name for name, knob in knobs.items() if knob.per_unit} == ({"firing_prior"} & knobs.keys())


def test_every_rule_of_the_registries_is_in_the_table():
    assert {(axis, rule) for axis, rules in AXES.items() for rule in rules} == KNOBS.keys()


@pytest.mark.parametrize("need", Need)
def test_a_rule_has_a_knob_for_the_memory_of_running_statistics_if_it_needs_them(need):
    running = {
        Need.MEAN, Need.MEAN_SIZE, Need.VARIANCE, Need.FIRING_RATE, Need.CORRELATION, Need.GATE_GRADIENT
    }  # fmt: skip
    knobs = unit_knobs(scheduled="target", needs={Need.OUTGOING: (), need: ()})
    assert ("memory" in knobs) == (need in running)
    if need in running:
        memory = knobs["memory"]
        assert (memory.default, memory.low, memory.high) == (0.98, 0.0, 1.0)
