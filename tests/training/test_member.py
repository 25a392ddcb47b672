"""The members of a cohort: each is judged by its own genome, whatever trains beside it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from hebbevo.networks import Architecture, UserNetwork
from hebbevo.nn import Stamina
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, train
from tests.training.conftest import CPU, FEATURES, problem, recipe

ASKED: dict[str, tuple[Value, ...]] = {
    "handover": (True, False),
    "activity": ("contribution", "activation"),
    "rebirth": ("fresh", "old", "auto"),
    "growth_rate": (0.3, 0.0),
    "settle": (0.5, 0.0),
}


def build(behind: str, **knobs: Value) -> nn.Module:
    """Units whose outputs a layer with a bias, a layer without one, a norm, or no layer reads."""
    heads: dict[str, Callable[[], list[nn.Module]]] = {
        "bias": lambda: [nn.Linear(6, 4)],
        "no bias": lambda: [nn.Linear(6, 4, bias=False)],
        "norm": lambda: [nn.BatchNorm1d(6), nn.Linear(6, 4)],
        "nothing": lambda: [nn.Softplus(), nn.Flatten(), nn.AdaptiveAvgPool1d(4)],
    }
    return nn.Sequential(nn.Linear(FEATURES, 6), Stamina(6, **knobs), *heads[behind]())


def genomes(seed: int, number: int) -> list[dict[str, Value]]:
    """Genomes whose needs the layers of some networks meet, and those of others do not."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        own = {
            knob: values[draw.integers(len(values))] for knob, values in ASKED.items() if draw.random() < 0.4
        }
        found.append({"behind": ["bias", "no bias", "norm", "nothing"][draw.integers(4)], **own})
    return found


def failures(own_recipe, proposed, width: int) -> list[str | None]:
    """Why each genome failed, in cohorts of this width."""
    measured = []
    for start in range(0, len(proposed), width):
        cohort = [Candidate(genome) for genome in proposed[start : start + width]]
        measured += train(own_recipe, cohort, problem(), CPU)
    return [each.failure for each in measured]


@pytest.mark.parametrize("seed", range(3))
def test_a_genome_that_asks_too_much_of_its_network_fails_alike_in_any_company(seed):
    own_recipe = replace(recipe(), network=UserNetwork(f"{__name__}:build", (FEATURES,), 4))
    proposed = genomes(seed, 12)
    alone = failures(own_recipe, proposed, 1)
    assert 0 < sum(map(bool, alone)) < len(proposed)
    for width in (2, 5, 12):
        assert failures(own_recipe, proposed, width) == alone
    order = np.random.default_rng(seed).permutation(len(proposed))
    shuffled = failures(own_recipe, [proposed[i] for i in order], 12)
    assert shuffled == [alone[i] for i in order]


def test_channels_that_a_layer_without_bias_reads_cannot_be_folded_whatever_their_company():
    conv = Architecture("conv", (8,), "stamina", False, (1, FEATURES, 1), 4, channels=(4, 4))
    own_recipe = replace(recipe(), network=conv)
    proposed = [{"handover": handover, "learning_rate": 0.01} for handover in (False, True, False, True)]
    found = failures(own_recipe, proposed, 4)
    assert [bool(why and "handover needs" in why) for why in found] == [False, True, False, True]
