"""SRigL's ablation of neurons (Lasby et al., 2024, arXiv:2305.02299): by hand, literally, and on digits."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.nn import PlasticUnits, attach, masked
from hebbevo.rules import UNITS
from tests.rules.units.conftest import digits_cohort

EAGER = {"warmup": 0, "prune_period": 1, "max_deaths": 1.0, "min_neurons": 0, "grace": 0}


def ablation(number, **knobs):
    return PlasticUnits(UNITS["ablation"], number, seed=1, **EAGER | knobs)


def literal_score(weights, gradients, alive, by_weight, by_gradient):
    """Algorithm 1 of the paper, connection by connection; ``alive`` are the units that are not ablated."""
    units, inputs = weights.shape
    living = [(j, i) for j in range(units) if alive[j] for i in range(inputs)]
    inside = [at for at in living if weights[at] != 0]
    n = min((by_weight + by_gradient) * units * inputs, len(inside))
    zeta = by_gradient / (by_weight + by_gradient)
    n_keep, n_prune = round((1 - zeta) * n), round(zeta * n)
    largest_weights = sorted(inside, key=lambda at: -abs(weights[at]))[:n_keep]
    grown = [at for at in living if gradients[at] != 0]
    largest_gradients = sorted(grown, key=lambda at: -abs(gradients[at]))[:n_prune]
    salient = {*largest_weights, *largest_gradients}
    constant_fan_in = min(n / sum(alive), inputs)
    return [sum(at[0] == j for at in salient) / constant_fan_in for j in range(units)]


# by hand


def test_three_events_by_hand():
    # of 20 connections 0.2 x 20 = 4 are salient by weight: one for each unit is a score of 1
    units = ablation(4, schedule="threshold", salience=0.5, salient_weights=0.2, salient_gradients=0.0)
    net = nn.Sequential(nn.Linear(5, 4), units, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    left = []
    for salient in (
        [(0, 0), (0, 1), (2, 3), (3, 3)],  # unit 1 has none
        [(0, 0), (0, 1), (0, 2), (3, 3)],  # the same four are 4 / 3 for each living unit: 3, 0 and 1
        [(0, 0), (0, 1), (0, 2), (3, 3)],  # and 2 for each, so that the last one has exactly half
    ):
        with torch.no_grad():
            net[0].weight.fill_(0.1)
            for place in salient:
                net[0].weight[place] = -2.0
        net(torch.ones(2, 5)).sum().backward()
        optimizer.step()
        left.append(units.alive.nonzero().flatten().tolist())
    assert left == [[0, 2, 3], [0, 3], [0]]


def test_connections_are_salient_by_gradient_too_and_count_once():
    layer = SimpleNamespace(
        alive=torch.ones(2, dtype=torch.bool),
        size=2,
        fan_in=4,
        incoming_weights=torch.tensor([[9.0, 8.0, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]]),
        incoming_gradients=torch.tensor([[-5.0, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, -4.0]]),
    )
    k = SimpleNamespace(salient_weights=torch.tensor([0.25]), salient_gradients=torch.tensor([0.25]))
    score = UNITS["ablation"].score(k, SimpleNamespace(), layer)
    assert score.tolist() == [1.0, 0.5]  # two and one of 0.5 x 4


# literally


@pytest.mark.parametrize("density", [1.0, 0.3, 0.05])
@pytest.mark.parametrize(("by_weight", "by_gradient"), [(0.07, 0.03), (0.2, 0.0), (0.0, 0.15), (0.6, 0.3)])
def test_scores_are_those_of_the_published_algorithm(density, by_weight, by_gradient):
    rng = np.random.default_rng(1)
    stack = []
    for _ in range(3):
        weights, gradients = rng.normal(size=(2, 13, 21)) * (rng.random((13, 21)) < density)
        alive = rng.random(13) < 0.7
        weights[~alive] = gradients[~alive] = 0
        stack.append((weights, gradients, alive))
    weights, gradients, alive = (torch.tensor(np.stack(each)) for each in zip(*stack, strict=True))
    layer = SimpleNamespace(
        alive=alive, size=13, fan_in=21, incoming_weights=weights, incoming_gradients=gradients
    )
    k = SimpleNamespace(
        salient_weights=torch.tensor([[by_weight]] * 3, dtype=torch.float64),
        salient_gradients=torch.tensor([[by_gradient]] * 3, dtype=torch.float64),
    )
    found = UNITS["ablation"].score(k, SimpleNamespace(), layer).numpy()
    for row, own in enumerate(stack):
        np.testing.assert_allclose(found[row], literal_score(*own, by_weight, by_gradient), rtol=1e-9)


def test_the_pruned_units_are_those_of_the_published_algorithm_over_several_events():
    torch.manual_seed(0)
    units = ablation(
        24, schedule="threshold", salience=0.6, prune_period=3, max_deaths=0.25,
        salient_weights=0.08, salient_gradients=0.04,
    )  # fmt: skip
    layer = masked("magnitude", nn.Linear(18, 24), density=0.4, warmup=0)
    net = nn.Sequential(layer, units, nn.Linear(24, 4)).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    before = {}

    def remember(*_):
        """Between a step of the optimiser and the event."""
        mask = layer.connections[0].connected * units.alive[:, None]
        before["weight"] = (layer.module.weight.detach() * mask).numpy().copy()
        before["gradient"] = layer.module.weight.grad.numpy().copy()

    optimizer.register_step_post_hook(remember)
    attach(net, optimizer, total_steps=24)
    alive, pruned = [True] * 24, 0
    for step in range(1, 25):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(8, 18, dtype=torch.float64, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), torch.randint(4, (8,), generator=generator)).backward()
        optimizer.step()
        if step % 3 == 0:
            scores = np.array(literal_score(before["weight"], before["gradient"], alive, 0.08, 0.04))
            candidates = [j for j in scores.argsort(kind="stable") if alive[j] and scores[j] <= 0.6]
            for unit in candidates[: max(int(0.25 * sum(alive)), 1)]:
                alive[unit] = False
                pruned += 1
        assert units.alive.tolist() == alive
    assert pruned >= 6


# what the paper reports, on digits


def test_widths_shrink_in_layers_of_95_and_99_percent_sparsity():
    """The paper's motive for ablation: above 90 % sparsity many neurons lose all salient connections.

    Digits, 128-64 units, gamma_sal 0.3 and no target, seed 0. Tolerance: a tenth of the units.
    """
    densities = (0.5, 0.05, 0.01)
    cohort = digits_cohort(
        "ablation", [{"density": each} for each in densities], hidden=(128, 64), connections="magnitude",
        schedule="threshold", salience=0.3, prune_period=20,
    )  # fmt: skip
    found = cohort.train()
    alive = sum(value.sum(1) for name, value in cohort.state.items() if name.endswith("alive")).tolist()
    assert alive[0] >= 130
    assert alive[1] <= 130 and alive[1] <= 0.9 * alive[0]
    assert alive[2] <= 75 and alive[2] <= 0.6 * alive[1]
    # at 95 % nothing is lost: the dense control of that sparsity has 0.948
    assert found[1].accuracy[-1] >= 0.93
