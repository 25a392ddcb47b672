"""The penalty at which a neuron breaks even is that of the equations, for every form and activity."""

import math

import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import Stamina, attach, break_even_penalties
from hebbevo.rules.units.stamina import ACTIVITIES, PENALTY_FORMS


def literal(outputs, reading, form, activity, prior):
    """Equations 1 and 2 of the rule, solved for the penalty of each neuron."""
    rows, n = outputs.shape
    found = []
    spread = [outputs[:, j].std(correction=0).item() * reading[:, j].norm().item() for j in range(n)]
    own = {
        "activation": outputs.tolist(),
        "frequency": (outputs != 0).double().tolist(),
        "contribution": [spread] * rows,
    }[activity]
    for j in range(n):
        gain = cost = 0.0
        for b in range(rows):
            mean, firing = sum(own[b]) / n, int((outputs[b] != 0).sum())
            level = {
                "mean": mean,
                "ratio": mean * (n - firing) / max(firing, 1),
                "zero_sum": mean * n / max(n - firing, 1),
                "constant": 1.0,
            }[form]
            gain += 2 * (1 - prior) * own[b][j]
            cost += 2 * prior * level * (outputs[b, j] == 0).item()
        found.append(gain / cost if cost else math.inf)
    return torch.tensor(found, dtype=torch.float64)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def network(**knobs: object) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7),
        Stamina(7, **knobs),
        nn.Dropout(),
        nn.Linear(7, 6),
        Stamina(6, **knobs),
        nn.Linear(6, 3),
    ).double()


@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("form", PENALTY_FORMS)
def test_it_is_that_of_the_equations(rows, form, activity):
    net = network(penalty_form=form, activity=activity, firing_prior=0.3)
    found = break_even_penalties(net, rows)
    hidden = net[0](rows).relu()
    outputs = {"1": (hidden, net[3]), "4": (net[3](hidden).relu(), net[5])}
    assert [*found] == [*outputs]
    for name, (own, reader) in outputs.items():
        expected = literal(own.detach(), reader.weight.detach(), form, activity, 0.3)
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-7)


def test_below_it_a_neuron_keeps_stamina_and_above_it_none(rows):
    found = break_even_penalties(network(), rows)["1"]
    for factor, keeps in ((0.99, True), (1.01, False)):
        for j, penalty in enumerate(found.tolist()):
            if 0 < penalty < math.inf:
                net = network(unactivation_penalty=factor * penalty)
                net[:2](rows)
                assert (net[1].stamina[j] > 0) == keeps


def test_dead_neurons_are_left_out_silent_ones_break_even_at_zero_and_the_model_stays_as_it_was(rows):
    net = network()
    with torch.no_grad():
        net[0].bias[0], net[0].bias[1] = -100, 100
    net[1].alive[2] = False
    before = {name: each.clone() for name, each in net.state_dict().items()}
    found = break_even_penalties(net, rows)["1"]
    assert found.shape == (6,)
    assert found[0] == 0 and found[1] == math.inf
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert net.training and not net[1].attached


def test_a_network_in_training_has_the_same_ones(rows):
    net, alone = network(activity="contribution"), network(activity="contribution")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer, total_steps=100)
    for _ in range(3):
        optimizer.zero_grad()
        net(rows).sum().backward()
        optimizer.step()
    found, expected = break_even_penalties(net, rows), break_even_penalties(alone, rows)
    assert all(torch.equal(found[name], each) for name, each in expected.items())


def test_without_stamina_it_says_so(rows):
    with pytest.raises(UsageError, match=r"^break_even_penalties: no layer is under the stamina rule; put "):
        break_even_penalties(nn.Sequential(nn.Linear(5, 2)).double(), rows)
