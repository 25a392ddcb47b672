"""Units and channels are regrown with fresh or old weights, and their optimiser moments are set to zero."""

import copy

import pytest
import torch
from scipy import stats
from torch import nn

from hebbevo.nn import HebbianLinear, InputStamina, SimilarityMatchingLinear, Stamina, attach
from hebbevo.nn.wiring import Wiring, named_tensors
from tests.nn.conftest import ADAM, CALM, SGD, STILL, Mean

# units


def regrown_beside_control(training, rebirth, optimizer):
    """Two equal trainings after three steps; in the first, units 1 and 4 have just been regrown."""
    pair = [
        training(
            Stamina(6, seed=2, rebirth=rebirth, regrowth_rate=rate, **CALM | dict(warmup=3)), **optimizer
        )
        for rate in (1.0, 0.0)
    ]
    for each in pair:
        torch.manual_seed(6)
        each.units.alive[[1, 4]] = False
        with torch.no_grad():
            each.before.bias.fill_(0.5)
        batches = torch.randn(3, 16, 4)
        for x in batches[:2]:
            each.step(x)
        for parameter in each.net.parameters():
            for moment in each.moments(parameter):
                moment.add_(1.0)
        each.step(batches[2])
    return pair


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["auto", "fresh"])
def test_a_unit_is_regrown_with_fresh_incoming_weights_outgoing_weights_of_zero_and_no_bias(
    rebirth, optimizer, training
):
    one, control = regrown_beside_control(training, rebirth, optimizer)
    regrown, others = [1, 4], [0, 2, 3, 5]
    assert one.units.alive.all()
    assert one.units.age[regrown].tolist() == [0, 0]
    assert one.units.stamina[regrown].tolist() == [0, 0]

    assert not torch.isclose(one.before.weight[regrown], control.before.weight[regrown]).any()
    assert one.before.bias[regrown].tolist() == [0, 0]
    assert torch.equal(one.behind.weight[:, regrown], torch.zeros(3, 2))

    assert torch.equal(one.before.weight[others], control.before.weight[others])
    assert torch.equal(one.before.bias[others], control.before.bias[others])
    assert torch.equal(one.behind.weight[:, others], control.behind.weight[:, others])
    assert torch.equal(one.behind.bias, control.behind.bias)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["fresh", "old"])
def test_exactly_the_moments_of_regrown_units_are_set_to_zero(rebirth, optimizer, training):
    one, control = regrown_beside_control(training, rebirth, optimizer)
    regrown = torch.tensor([False, True, False, False, True, False])
    resets = {
        one.before.weight: regrown[:, None],
        one.before.bias: regrown,
        one.behind.weight: regrown,
        one.behind.bias: torch.tensor(False),
    }
    for parameter, other in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert len(one.moments(parameter)) == (1 if optimizer is SGD else 3)
        for moment, kept in zip(one.moments(parameter), control.moments(other), strict=True):
            assert kept.all()
            assert torch.equal(moment, kept * ~resets[parameter])


def test_with_old_rebirth_all_weights_stay(training):
    one, control = regrown_beside_control(training, "old", SGD)
    assert one.units.alive.all()
    for parameter, other in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert torch.equal(parameter, other)


def test_units_between_layers_without_bias_are_regrown_too():
    net = nn.Sequential(
        nn.Linear(4, 6, bias=False), Stamina(6, regrowth_rate=1.0, **CALM), nn.Linear(6, 3, bias=False)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[1].alive[2] = False
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert (net[2].weight == 0).all(0).tolist() == [False, False, True, False, False, False]


def test_a_unit_is_not_regrown_at_the_event_at_which_it_is_pruned(training):
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    one.exhaust(0, 3)
    one.step()
    assert one.pruned() == [0, 3]
    one.step()
    assert one.pruned() == []


def test_input_units_are_regrown_with_outgoing_weights_of_zero():
    net = nn.Sequential(InputStamina(4, regrowth_rate=1.0, **CALM), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[0].alive[2] = False
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[0].alive.all()
    assert (net[1].weight == 0).all(0).tolist() == [False, False, True, False]


# channels


def channels_beside_control(optimizer, rebirth="auto", memory_format=torch.contiguous_format):
    """Two equal trainings of three steps; in the first net, channels 1 and 4 have just been regrown."""
    pair = []
    for rate in (1.0, 0.0):
        torch.manual_seed(7)
        units = Stamina(6, dim=1, seed=2, rebirth=rebirth, regrowth_rate=rate, **CALM | dict(prune_period=3))
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), units, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
        ).to(memory_format=memory_format)
        units.alive[[1, 4]] = False
        with torch.no_grad():
            for parameter in (net[0].bias, net[1].weight, net[1].bias):
                parameter.add_(torch.rand(6) + 0.5)
        kind = dict(optimizer)
        steps = kind.pop("optimizer")(net.parameters(), **kind)
        attach(net, steps)
        for step in range(3):
            if step == 2:
                for state in steps.state.values():
                    for entry in state.values():
                        if torch.is_tensor(entry) and entry.dim():
                            entry.add_(1.0)
            steps.zero_grad()
            net(torch.randn(8, 3, 6, 6)).square().mean().backward()
            steps.step()
        pair.append((net, steps))
    return pair


REGROWN = torch.tensor([False, True, False, False, True, False])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_a_channel_is_regrown_with_fresh_weights_a_fresh_norm_and_outgoing_weights_of_zero(
    optimizer, memory_format
):
    (net, _), (control, _) = channels_beside_control(optimizer, memory_format=memory_format)
    conv, norm, units, _, _, linear = net
    assert units.alive.all()
    assert not torch.isclose(conv.weight[REGROWN], control[0].weight[REGROWN]).any()
    bound = (6 / 27) ** 0.5
    assert conv.weight[REGROWN].abs().max() < bound
    assert conv.weight[REGROWN].abs().max() > 0.9 * bound
    fresh = {conv.bias: 0, norm.weight: 1, norm.bias: 0, norm.running_mean: 0, norm.running_var: 1}
    assert all(tensor[REGROWN].tolist() == [value] * 2 for tensor, value in fresh.items())
    from_regrown = REGROWN.repeat_interleave(4)
    assert not linear.weight[:, from_regrown].any()

    for tensor, other in (
        (conv.weight, control[0].weight), (conv.bias, control[0].bias), (norm.weight, control[1].weight),
        (norm.bias, control[1].bias), (norm.running_mean, control[1].running_mean),
        (norm.running_var, control[1].running_var),
    ):  # fmt: skip
        assert torch.equal(tensor[~REGROWN], other[~REGROWN])
    assert torch.equal(linear.weight[:, ~from_regrown], control[5].weight[:, ~from_regrown])
    assert torch.equal(linear.bias, control[5].bias)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["fresh", "old"])
def test_exactly_the_moments_of_regrown_channels_are_set_to_zero(rebirth, optimizer):
    (net, steps), (control, control_steps) = channels_beside_control(optimizer, rebirth)
    conv, norm, _, _, _, linear = net
    resets = {
        conv.weight: REGROWN[:, None, None, None],
        conv.bias: REGROWN,
        norm.weight: REGROWN,
        norm.bias: REGROWN,
        linear.weight: REGROWN.repeat_interleave(4),
        linear.bias: torch.tensor(False),
    }
    for parameter, other in zip(net.parameters(), control.parameters(), strict=True):
        pairs = [
            (steps.state[parameter][key], kept)
            for key, kept in control_steps.state[other].items()
            if kept.shape == other.shape
        ]
        assert len(pairs) == (1 if optimizer is SGD else 3)
        for moment, kept in pairs:
            assert kept.all()
            assert torch.equal(moment, kept * ~resets[parameter])


def test_with_old_rebirth_the_weights_of_a_channel_and_its_norm_stay():
    (net, _), (control, _) = channels_beside_control(ADAM, "old")
    assert net[2].alive.all()
    for (name, tensor), other in zip(net.state_dict().items(), control.state_dict().values(), strict=True):
        if not name.startswith("2."):
            assert torch.equal(tensor, other), name


@pytest.mark.parametrize("groups", [1, 2, 20])
def test_fresh_weights_of_a_channel_have_the_variance_of_its_own_inputs(groups):
    net = nn.Sequential(
        nn.Conv2d(20, 400, (3, 5), groups=groups), Stamina(400, dim=1, regrowth_rate=1.0, **CALM), Mean(),
        nn.Linear(400, 2),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[1].alive.zero_()
    net(torch.randn(2, 20, 5, 5)).sum().backward()
    optimizer.step()
    weight = net[0].weight.detach().flatten() * (20 / groups * 15 / 2) ** 0.5
    assert stats.kstest(weight, "uniform", args=(-(3**0.5), 2 * 3**0.5)).pvalue > 1e-3
    assert abs(float(weight.var()) - 1) < 5 * (0.8 / len(weight)) ** 0.5


def test_producers_whose_outputs_are_added_draw_different_weights():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv1d(3, 6, 3, padding=1), nn.Conv1d(3, 6, 3, padding=1)
            self.units = Stamina(6, dim=1, regrowth_rate=1.0, **CALM)
            self.behind = nn.Conv1d(6, 2, 1)

        def forward(self, x):
            return self.behind(self.units(self.one(x) + self.other(x)))

    net = Sum()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net.units.alive[1:] = False
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(2, 3, 5)).sum().backward()
    optimizer.step()
    for layer, name in ((net.one, "one"), (net.other, "other")):
        assert torch.equal(layer.weight[0], before[f"{name}.weight"][0])
        assert not torch.isclose(layer.weight[1:], before[f"{name}.weight"][1:]).any()
        assert not layer.bias[1:].any()
    assert not torch.isclose(net.one.weight[1:], net.other.weight[1:]).any()


# producers of which some inputs are pruned


class Added(nn.Module):
    """Units that read a stream to which other units are added, or those other units alone."""

    def __init__(self, added):
        super().__init__()
        self.first, self.inner, self.second, self.head = (nn.Linear(4, 4) for _ in range(4))
        self.early = Stamina(4, seed=1, initial_neurons=0.5)
        self.late = Stamina(4, seed=2, initial_neurons=0.5, regrowth_rate=1.0, warmup=0, prune_period=1)
        self.added = added

    def forward(self, x):
        h = self.first(x)
        early = self.early(self.inner(h))
        return self.head(self.late(self.second(h + early if self.added else early)))


@pytest.mark.parametrize("added", [False, True], ids=["alone", "added to a stream"])
def test_a_regrown_unit_draws_weights_from_every_input_that_may_live(added):
    torch.manual_seed(0)
    net = Added(added)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert net.late.alive.all()
    drawn = net.second.weight[2:] != 0
    assert drawn[:, :2].all()
    assert drawn[:, 2:].all() == added  # the last two early units are out from the start
    assert drawn[:, 2:].any() == added


LEARNING = {
    "hebbian": lambda n: HebbianLinear(7, 6, seed=n, normalize=False, initial_norm=3.0 + n, connectivity=0.5),
    "normalised": lambda n: HebbianLinear(7, 6, seed=n, connectivity=0.3 + 0.1 * n),
    "softhebb": lambda n: HebbianLinear(7, 6, rule="softhebb", seed=n, initial_norm=3.0 + n),
    "similarity": lambda n: SimilarityMatchingLinear(7, 6, tolerance=9),
}


@pytest.mark.parametrize("may_sync", [True, False])
@pytest.mark.parametrize("kind", LEARNING)
def test_a_stack_regrows_units_of_layers_that_learn_locally_as_each_net_alone(kind, may_sync):
    torch.manual_seed(0)
    knobs = {"initial_neurons": 0.4, "warmup": 0, "prune_period": 1, "regrowth_rate": 0.7, "max_deaths": 0}
    nets = [
        nn.Sequential(LEARNING[kind](n), Stamina(6, seed=10 + n, **knobs), nn.Linear(6, 3)) for n in range(3)
    ]
    alone = [named_tensors(net) for net in nets]
    stacked = {name: torch.stack([each[name] for each in alone]) for name in alone[0]}
    before = stacked["0.weight"].clone()
    for tensors in (stacked, *alone):
        tensors["1.steps"].fill_(3)
        wiring = Wiring(nets[0])
        wiring.prepare(tensors)
        wiring.restructure(tensors, {}, None, may_sync=may_sync or tensors is not stacked)
    for row, own in enumerate(alone):
        for name, value in own.items():
            torch.testing.assert_close(stacked[name][row], value, msg=name)
    changed = ~torch.isclose(stacked["0.weight"], before).all(-1)
    assert (changed & stacked["1.alive"]).any(-1).all()
