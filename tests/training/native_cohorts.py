"""Cohorts of the native engine beside those of PyTorch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hebbevo import native
from hebbevo.training import CohortTraining, Rows
from hebbevo.training.native_training import NativeTraining
from hebbevo.training.recipe import NATIVE
from hebbevo.training.stack import SingleNet, VmapStack
from tests.training.conftest import CPU, build_nets, living_only, state_of

needs_native = pytest.mark.skipif(
    not native.is_built(), reason=f"the native engine is not compiled here: {native.COMMAND}"
)

# rules with their knobs: every statistic, both schedules, and all that an event may do
RULES = [
    ("ablation", {"regrowth_rate": 0.2, "schedule": "threshold", "salience": 0.9}),
    ("ablation", {"salient_weights": 0.1, "salient_gradients": 0.0}),
    ("contribution", {"handover": True}),
    ("decorrelation", {}),
    ("demp", {"window": 3, "decay": 0.02, "noise": 0.02, "regulariser": "l1", "regrowth_rate": 0.2}),
    ("demp", {"window": 3, "decay": 0.1, "noise": 0.05, "regulariser": "l2", "settle": 0.3}),
    ("dense", {}),
    ("frequency", {"regrowth_rate": 0.3}),
    ("l0", {"gate_penalty": 0.02, "regrowth_rate": 0.2}),
    ("l0", {"gate_penalty": 0.0, "gate_start": 1.0, "gate_rate": 30.0, "schedule": "target"}),
    ("magnitude", {"target_share": 0.7}),
    ("random", {"initial_neurons": 0.4, "grow": 3, "patience": 1, "schedule": "threshold", "threshold": 0.2}),
    ("redo", {"dormancy": 0.8}),
    ("score", {"s": 0.5, "u": -0.5}),
    ("score", {"r": 0.0, "growth_rate": 0.4, "patience": 1}),
    (
        "score",
        {"p": 0.0, "q": 0.5, "r": 1.0, "regrowth_rate": 0.3, "schedule": "threshold", "threshold": 0.5},
    ),
    ("stamina", {"activity": "activation", "penalty_form": "mean"}),
    ("stamina", {"activity": "activation", "penalty_form": "ratio", "firing_prior": 0.3}),
    ("stamina", {"activity": "frequency", "penalty_form": "zero_sum", "handover": True}),
    ("stamina", {"activity": "contribution", "penalty_form": "constant", "regrowth_rate": 0.5}),
    ("taylor", {"handover": True, "regrowth_rate": 0.3}),
    ("usage", {}),
    ("usage", {"regrowth_rate": 0.3, "ridge": 0.1, "memory": 0.9}),
]

# rules for connections with their knobs, each with another rule for units
CONNECTIONS = [
    ("constant_fan_in", {"density": 0.3, "rewire_period": 3, "activity": "contribution"}, "stamina"),
    ("iterative_magnitude", {"rounds": 2, "share": 0.3, "rewind_step": 2}, "frequency"),
    ("magnitude", {"density": 0.3, "handover": True}, "contribution"),
    ("random", {"density": 0.4, "warmup": 1}, "redo"),
    ("rigl", {"density": 0.3, "rewire_period": 3}, "ablation"),
    ("set", {"density": 0.4, "rewire_period": 3}, "l0"),
    ("set", {"density": 0.4, "rewire_period": 3, "drop_schedule": "cosine"}, "taylor"),
    ("set", {"density": 0.4, "rewire_period": 3}, "demp"),
    ("static", {"density": 0.5}, "random"),
]
"""Those whose masks the engine has."""


def cohorts(the_recipe, genomes, split):
    """The same nets in training by PyTorch and by the native engine."""
    rows = Rows.of(split, the_recipe.network.shape, CPU)
    return cohort(CohortTraining, the_recipe, genomes, rows), native_cohort(the_recipe, genomes, rows)


def native_cohort(the_recipe, genomes, rows):
    """Nets in training by the native engine."""
    return cohort(NativeTraining, replace(the_recipe, engine=NATIVE), genomes, rows)


def cohort(kind, the_recipe, genomes, rows):
    """Nets in training."""
    nets = build_nets(the_recipe, genomes)
    stack = VmapStack(nets, CPU) if len(nets) > 1 else SingleNet(nets[0], CPU)
    model, *_ = build_nets(the_recipe, genomes)
    return kind(the_recipe, stack, [the_recipe.training_knobs(genome) for genome in genomes], model, rows)


def of_rule(the_recipe, rule, knobs):
    """The recipe with another rule for units and its knobs."""
    network = replace(the_recipe.network, units=rule)
    return replace(the_recipe, network=network, settings={**the_recipe.settings, **knobs})


def of_connections(the_recipe, rule, knobs, units="stamina"):
    """The recipe with another rule for connections, its knobs, and another rule for units."""
    masked = replace(the_recipe, network=replace(the_recipe.network, connections=rule))
    return of_rule(masked, units, knobs)


def assert_same_nets(ours, theirs, size, tolerance=1e-5):
    """The same units live, and what decides how the nets go on is equal up to float rounding."""
    for row in range(size):
        one, other = (living_only(state_of(each, row)) for each in (ours, theirs))
        for name in one:
            if name.endswith(".alive"):
                assert torch.equal(one[name], other[name]), name
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
