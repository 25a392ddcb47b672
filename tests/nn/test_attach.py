import copy
import pickle
from itertools import pairwise
from shutil import which

import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import Feeder, InputStamina, Listener, Neighbourhood, Stamina, attach, find_neighbours
from hebbevo.nn.hebb_mask import HebbMask
from hebbevo.nn.neighbours import connect
from hebbevo.training.stack import Stack

NEVER = -1e9  # a threshold that nobody falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)
LIVELY = EAGER | dict(
    regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5, rebirth="old"
)
SGD = dict(optimizer=torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = dict(optimizer=torch.optim.Adam, lr=0.01, amsgrad=True)
STILL = dict(optimizer=torch.optim.SGD, lr=0.0)


class Training:
    """A net, linear - units - linear, in an ordinary PyTorch training."""

    def __init__(self, net, total_steps=0, *, optimizer, **settings):
        self.net = net
        self.before, self.units, self.behind = net
        self.optimizer = optimizer(net.parameters(), **settings)
        self.attachment = attach(net, self.optimizer, total_steps=total_steps)

    def step(self, x=None):
        self.optimizer.zero_grad()
        self.net(torch.randn(16, 4) if x is None else x).square().mean().backward()
        self.optimizer.step()

    def moments(self, parameter):
        return [entry for entry in self.optimizer.state[parameter].values() if entry.shape == parameter.shape]

    def kill(self, *neurons):
        """Let these die at the next event."""
        self.units.gain[list(neurons)] = -2e9
        self.units.reference.fill_(1.0)

    def dead(self):
        return torch.nonzero(~self.units.alive).flatten().tolist()


def training(units, total_steps=0, *, optimizer, **settings):
    """The units between 4 inputs and 3 outputs, always with the same initial weights."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, units.num_neurons), units, nn.Linear(units.num_neurons, 3))
    return Training(net, total_steps, optimizer=optimizer, **settings)


def complaint(function, *args, **kwargs):
    with pytest.raises(UsageError) as caught:
        function(*args, **kwargs)
    (line,) = str(caught.value).splitlines()
    return line


# returning neurons


def reborn_beside_control(rebirth, optimizer):
    """Two equal trainings after three steps; in the first, neurons 1 and 4 have just returned."""
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
def test_a_neuron_returns_with_fresh_in_weights_silent_out_weights_and_no_bias(rebirth, optimizer):
    one, control = reborn_beside_control(rebirth, optimizer)
    born, others = [1, 4], [0, 2, 3, 5]
    assert one.units.alive.all()
    assert one.units.age[born].tolist() == [0, 0]
    assert one.units.stamina[born].tolist() == [0, 0]

    assert not torch.isclose(one.before.weight[born], control.before.weight[born]).any()
    assert one.before.bias[born].tolist() == [0, 0]
    assert torch.equal(one.behind.weight[:, born], torch.zeros(3, 2))

    assert torch.equal(one.before.weight[others], control.before.weight[others])
    assert torch.equal(one.before.bias[others], control.before.bias[others])
    assert torch.equal(one.behind.weight[:, others], control.behind.weight[:, others])
    assert torch.equal(one.behind.bias, control.behind.bias)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["fresh", "old"])
def test_exactly_the_moments_of_returned_neurons_are_reset(rebirth, optimizer):
    one, control = reborn_beside_control(rebirth, optimizer)
    born = torch.tensor([False, True, False, False, True, False])
    resets = {
        one.before.weight: born[:, None],
        one.before.bias: born,
        one.behind.weight: born,
        one.behind.bias: torch.tensor(False),
    }
    for parameter, twin in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert len(one.moments(parameter)) == (1 if optimizer is SGD else 3)
        for moment, kept in zip(one.moments(parameter), control.moments(twin), strict=True):
            assert kept.all()
            assert torch.equal(moment, kept * ~resets[parameter])


def test_old_rebirth_keeps_all_weights():
    one, control = reborn_beside_control("old", SGD)
    assert one.units.alive.all()
    for parameter, twin in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert torch.equal(parameter, twin)


def test_layers_without_bias_are_rewired_too():
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


def fresh_weights(seed, at_step=1):
    units = Stamina(300, seed=seed, regrowth_rate=1.0, **CALM | dict(prune_period=at_step))
    weight = torch.full((300, 400), 9.0)
    around = Neighbourhood(
        (Feeder(weight, None),), (), (Listener(torch.ones(2, 1, 300), None),), exclusive=True
    )
    units.connect(around)
    units.alive.zero_()
    for _ in range(at_step):
        units(torch.zeros(1, 300))
    units.restructure(around)
    return weight


def test_fresh_in_weights_are_uniform_with_the_variance_of_he_et_al():
    weight = fresh_weights(seed=1).flatten() * (400 / 2) ** 0.5
    assert stats.kstest(weight, "uniform", args=(-(3**0.5), 2 * 3**0.5)).pvalue > 1e-3
    assert abs(float(weight.var()) - 1) < 5 * (0.8 / 120_000) ** 0.5


def test_fresh_in_weights_follow_from_seed_and_step():
    assert torch.equal(fresh_weights(seed=1), fresh_weights(seed=1))
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=2)).all(1).any()
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=1, at_step=2)).all(1).any()


def test_neurons_that_die_do_not_return_at_the_same_event():
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    one.kill(0, 3)
    one.step()
    assert one.dead() == [0, 3]
    one.step()
    assert one.dead() == []


def test_input_units_return_with_silent_out_weights():
    net = nn.Sequential(InputStamina(4, regrowth_rate=1.0, **CALM), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[0].alive[2] = False
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[0].alive.all()
    assert (net[1].weight == 0).all(0).tolist() == [False, False, True, False]


# returning channels


def channels_beside_control(optimizer, rebirth="auto", memory_format=torch.contiguous_format):
    """Two equal trainings of three steps; in the first net, channels 1 and 4 have just returned."""
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


BORN = torch.tensor([False, True, False, False, True, False])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_a_channel_returns_fresh_with_a_plain_norm_and_silent(optimizer, memory_format):
    (net, _), (control, _) = channels_beside_control(optimizer, memory_format=memory_format)
    conv, norm, units, _, _, linear = net
    assert units.alive.all()
    assert not torch.isclose(conv.weight[BORN], control[0].weight[BORN]).any()
    bound = (6 / 27) ** 0.5
    assert conv.weight[BORN].abs().max() < bound
    assert conv.weight[BORN].abs().max() > 0.9 * bound
    fresh = {conv.bias: 0, norm.weight: 1, norm.bias: 0, norm.running_mean: 0, norm.running_var: 1}
    assert all(tensor[BORN].tolist() == [value] * 2 for tensor, value in fresh.items())
    from_born = BORN.repeat_interleave(4)
    assert not linear.weight[:, from_born].any()

    for tensor, twin in (
        (conv.weight, control[0].weight), (conv.bias, control[0].bias), (norm.weight, control[1].weight),
        (norm.bias, control[1].bias), (norm.running_mean, control[1].running_mean),
        (norm.running_var, control[1].running_var),
    ):  # fmt: skip
        assert torch.equal(tensor[~BORN], twin[~BORN])
    assert torch.equal(linear.weight[:, ~from_born], control[5].weight[:, ~from_born])
    assert torch.equal(linear.bias, control[5].bias)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["fresh", "old"])
def test_exactly_the_moments_of_returned_channels_are_reset(rebirth, optimizer):
    (net, steps), (control, control_steps) = channels_beside_control(optimizer, rebirth)
    conv, norm, _, _, _, linear = net
    resets = {
        conv.weight: BORN[:, None, None, None],
        conv.bias: BORN,
        norm.weight: BORN,
        norm.bias: BORN,
        linear.weight: BORN.repeat_interleave(4),
        linear.bias: torch.tensor(False),
    }
    for parameter, twin in zip(net.parameters(), control.parameters(), strict=True):
        pairs = [
            (steps.state[parameter][key], kept)
            for key, kept in control_steps.state[twin].items()
            if kept.shape == twin.shape
        ]
        assert len(pairs) == (1 if optimizer is SGD else 3)
        for moment, kept in pairs:
            assert kept.all()
            assert torch.equal(moment, kept * ~resets[parameter])


def test_old_rebirth_keeps_a_channels_weights_and_its_norm():
    (net, _), (control, _) = channels_beside_control(ADAM, "old")
    assert net[2].alive.all()
    for (name, tensor), twin in zip(net.state_dict().items(), control.state_dict().values(), strict=True):
        if not name.startswith("2."):
            assert torch.equal(tensor, twin), name


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


def test_layers_that_feed_together_draw_different_weights():
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


def test_stacked_channels_are_rewired_as_alone():
    nets, stack_of = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        knobs = LIVELY | dict(rebirth="fresh", handover=True, activity="contribution", hebbian_threshold=0.5)
        net = nn.Sequential(
            nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), Stamina(12, dim=1, seed=seed, **knobs), nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 2), Stamina(12, dim=1, seed=seed + 5, **knobs), nn.Flatten(), nn.Linear(12, 3),
        )  # fmt: skip
        nets.append(net)
        stack_of.append(copy.deepcopy(net))
    stack, neighbours = Stack(stack_of, torch.device("cpu")), find_neighbours(nets[0])

    def rewire(net, loss):
        for name, around in neighbours.items():
            net.get_submodule(name).restructure(around.around(net, 12, {}, loss))
        return loss

    with torch.no_grad():
        stack.call(lambda net: [connect(net, neighbours, 0), torch.zeros(())][1])
        for net in nets:
            connect(net, neighbours, 0)
        patterns = set()
        for x in torch.randn(25, 8, 2, 6, 6):
            stack.call(lambda net, x=x: net(x), training=True)
            stack.call(rewire, torch.zeros(2), stacked=True)
            for net in nets:
                net(x)
                rewire(net, torch.zeros(()))
            for name, value in stack.state.items():
                alone = torch.stack([net.state_dict()[name] for net in nets])
                torch.testing.assert_close(value.detach(), alone, rtol=1e-4, atol=1e-5, msg=name)
            patterns.add(tuple(stack.state["2.alive"].flatten().tolist()))
    assert len(patterns) > 15


class Step(nn.Module):
    """One step of units that are attached by hand, as a module, so that it can be stacked."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        units.attached = True

    def forward(self, hidden):
        self.units(hidden)
        out_weight = torch.zeros(3, 1, 12) + self.units.gain  # stacked like the units
        self.units.restructure(Neighbourhood(listeners=(Listener(out_weight, None),)))
        return self.units.alive


def test_alone_attached_and_stacked_the_same_neurons_die_and_return():
    torch.manual_seed(5)
    alone = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
    attached = training(Stamina(12, seed=9, **LIVELY), **STILL)
    layers = [Stamina(12, seed=seed, **LIVELY) for seed in (8, 9)]
    _, buffers = stack_module_state(layers)
    stacked = {f"units.{name}": value for name, value in buffers.items()}
    step = Step(layers[0])
    patterns = set()
    for x in torch.randn(30, 16, 4):
        alone(x)
        attached.step(x)
        hidden = attached.before(x).detach()
        vmap(lambda state, hidden=hidden: functional_call(step, state, (hidden,)))(stacked)
        assert torch.equal(alone[1].alive, attached.units.alive)
        assert torch.equal(alone[1].alive, stacked["units.alive"][1])
        patterns.add(tuple(attached.units.alive.tolist()))
    assert len(patterns) > 20


# handover


def test_a_constant_neuron_dies_without_changing_what_the_net_computes():
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=4)), **STILL)
    with torch.no_grad():
        one.before.weight[2] = 0.0
        one.before.bias[2] = 1.7
    fresh = torch.randn(50, 4)
    before = one.net.eval()(fresh)
    one.net.train()
    for _ in range(3):
        one.step()
    one.kill(2)
    heard = one.behind.weight[:, 2].clone()
    one.step()
    assert one.dead() == [2]
    torch.testing.assert_close(one.net.eval()(fresh), before, rtol=0, atol=2e-6)
    assert not torch.allclose(before, before - 1.7 * heard, atol=0.1)


def test_the_next_bias_receives_the_running_mean_output_of_the_dying():
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=7)), **STILL)
    bias = one.behind.bias.clone()
    means = []
    for step in range(7):
        x = torch.randn(16, 4)
        means.append(F.relu(one.before(x)).mean(0))
        if step == 6:
            one.kill(1, 5)
        heard = one.behind.weight.clone()
        one.step(x)
    assert one.dead() == [1, 5]
    weights = [0.9**age for age in range(7)][::-1]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    expected = bias + heard[:, 1] * mean[1] + heard[:, 5] * mean[5]
    torch.testing.assert_close(one.behind.bias, expected)


def test_what_a_neuron_put_out_before_its_return_is_not_handed_over():
    one = training(Stamina(6, handover=True, regrowth_rate=1.0, rebirth="old", **CALM), **STILL)
    one.step()
    one.kill(3)
    one.step()
    one.step()  # returns
    bias = one.behind.bias.clone()
    x = torch.randn(16, 4)
    one.kill(3)
    one.step(x)
    assert one.dead() == [3]
    expected = bias + one.behind.weight[:, 3] * F.relu(one.before(x))[:, 3].mean()
    torch.testing.assert_close(one.behind.bias, expected)


def test_without_handover_the_next_bias_stays():
    one = training(Stamina(6, **CALM), **STILL)
    bias = one.behind.bias.clone()
    one.kill(1)
    one.step()
    assert one.dead() == [1]
    assert torch.equal(one.behind.bias, bias)


class Layers(nn.Module):
    """A convolution, 6 channels of which the third is constant, and ``behind``."""

    def __init__(self, *behind, **knobs):
        super().__init__()
        self.before = nn.Conv2d(3, 6, 3)
        with torch.no_grad():
            self.before.weight[2] = 0.0
            self.before.bias[2] = 1.7
        self.units = Stamina(6, dim=1, handover=True, **CALM | dict(warmup=4) | knobs)
        self.behind = nn.Sequential(*behind)

    def forward(self, x):
        return self.behind(self.units(self.before(x)))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(6, 3, 2), nn.Linear(6, 3)

    def forward(self, h):
        return self.one(h).mean((2, 3)) + self.other(h.mean((2, 3)))


@pytest.mark.parametrize(
    "behind",
    [
        [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)],
        [nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(24, 3)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)],
        [Mean(), nn.Linear(6, 3)],
        [nn.Conv2d(6, 8, 3)],
        [nn.MaxPool2d(2, stride=1), nn.Conv2d(6, 9, 3, groups=3)],
        [nn.Conv2d(6, 12, (3, 2), groups=6)],
        [nn.Conv2d(6, 8, 3, padding=1, padding_mode="replicate")],
        [TwoHeads()],
    ],
    ids=["max", "avg", "adaptive", "mean", "conv", "grouped", "depthwise", "replicate", "two listeners"],
)
def test_a_constant_channel_dies_without_changing_what_the_net_computes(behind):
    net = Layers(*behind)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    fresh = torch.randn(20, 3, 6, 6)
    before = net.eval()(fresh)
    net.train()
    for _ in range(4):
        net.units.gain[2] = -2e9
        net.units.reference.fill_(1.0)
        net(torch.randn(8, 3, 6, 6)).sum().backward()
        optimizer.step()
    assert net.units.alive.tolist() == [True, True, False, True, True, True]
    torch.testing.assert_close(net.eval()(fresh), before, rtol=0, atol=1e-5)
    net.units.alive[3] = False  # another one would be missed
    assert not torch.allclose(net(fresh), before, rtol=0, atol=1e-3)


# contribution


def test_contribution_counts_the_weights_to_all_who_listen():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), Stamina(6, dim=1, activity="contribution", **CALM), TwoHeads())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer)
    for _ in range(3):
        to_one, to_other = net[2].one.weight.detach(), net[2].other.weight.detach()
        squares = to_one.square().sum((0, 2, 3)) + to_other.square().sum(0)
        torch.testing.assert_close(net[1].outgoing, squares.sqrt())
        optimizer.zero_grad()
        net(torch.randn(8, 3, 6, 6)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("classify", [False, True])
def test_contribution_kills_noise_inputs_before_informative_ones(classify):
    net = nn.Sequential(
        InputStamina(6, activity="contribution", hebbian_threshold=0.3, warmup=150, max_deaths=1.0),
        nn.Linear(6, 2),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    attach(net, optimizer)
    for _ in range(200):
        x = torch.randn(64, 6)
        score = x[:, 0] - 2 * x[:, 2] + 1.5 * x[:, 5]
        out = net(x)
        loss = (
            F.cross_entropy(out, (score > 0).long())
            if classify
            else F.mse_loss(out, torch.stack([score, -score], 1))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert net[0].alive.tolist() == [True, False, True, False, False, True]


def test_contribution_follows_the_outgoing_weights():
    one = training(Stamina(6, activity="contribution", **CALM | dict(prune_period=3)), **SGD)
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))
    for _ in range(3):
        one.step()
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))


# settling


def rates_used(one, steps):
    """Learning rate of each step, seen in how far plain SGD moves a bias whose gradient is known."""
    rates = []
    for _ in range(steps):
        before = one.behind.bias.detach().clone()
        one.optimizer.zero_grad()
        one.net(torch.randn(16, 4)).sum().backward()
        one.optimizer.step()
        rates.append(float((before - one.behind.bias.detach()).mean() / 16))
    return rates


SETTLING = [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]


@pytest.mark.parametrize("lr", [0.001, torch.tensor(0.001)], ids=["number", "tensor"])
def test_settling_brings_the_learning_rate_to_zero_and_gives_it_back_after_each_step(lr):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=lr)
    assert rates_used(one, 10) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)
    assert float(one.optimizer.param_groups[0]["lr"]) == pytest.approx(0.001)


def test_a_training_that_runs_on_after_settling_is_warned_once_and_stays_at_rate_zero():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 10)
    with pytest.warns(UserWarning) as caught:
        assert rates_used(one, 3) == [0, 0, 0]
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "attach: total_steps=10 is over and the learning rate is zero from now on; "
        "give the steps of the whole training"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.001


def test_settling_works_under_a_scheduler():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(one.optimizer, gamma=0.9)
    rates = []
    for _ in range(10):
        rates += rates_used(one, 1)
        scheduler.step()
    assert rates == pytest.approx([0.001 * f * 0.9**i for i, f in enumerate(SETTLING)], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.9**10)


def test_a_resumed_training_settles_where_it_was():
    first = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(first, 7)
    second = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    second.net.load_state_dict(first.net.state_dict())
    assert rates_used(second, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def with_closures(one, how):
    """Learning rate of each of ten steps of plain SGD, whose forward and backward passes are in a closure."""

    def closure():
        one.optimizer.zero_grad()
        loss = one.net(torch.randn(16, 4)).sum()
        loss.backward()
        return loss

    rates = []
    for _ in range(10):
        before = one.behind.bias.detach().clone()
        assert torch.is_tensor(how(one.optimizer, closure))
        rates.append(float((before - one.behind.bias.detach()).mean() / 16))
    return rates


@pytest.mark.parametrize(
    "how",
    [lambda optimizer, closure: optimizer.step(closure), lambda o, closure: o.step(closure=closure)],
    ids=["position", "keyword"],
)
def test_with_a_closure_settling_slows_the_same_steps_as_without(how):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    assert with_closures(one, how) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_where_a_closure_raises_the_learning_rate_is_given_back_at_once():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 7)

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.optimizer.step(closure)
    assert one.optimizer.param_groups[0]["lr"] == 0.001
    assert "full_lr" not in one.optimizer.param_groups[0]
    assert rates_used(one, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def test_where_a_step_fails_without_a_closure_the_next_ones_have_their_learning_rates():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 6)

    def fail(*_):
        raise RuntimeError("out of memory")

    hook = one.optimizer.register_step_pre_hook(fail)  # after attach's own
    with pytest.raises(RuntimeError, match="out of memory"):
        rates_used(one, 1)
    hook.remove()
    assert rates_used(one, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == 0.001


def test_two_models_of_one_optimizer_settle_and_the_learning_rate_is_given_back():
    nets = [nn.Sequential(nn.Linear(4, 6), Stamina(6, settle=0.5, **CALM), nn.Linear(6, 3)) for _ in range(2)]
    optimizer = torch.optim.SGD([each for net in nets for each in net.parameters()], lr=0.1)
    for net in nets:
        attach(net, optimizer, total_steps=4)
    for factor in (1, 1, 1, 0.5):
        sum(net(torch.randn(8, 4)).sum() for net in nets).backward()
        before = [net[2].bias.detach().clone() for net in nets]
        optimizer.step()
        for net, bias in zip(nets, before, strict=True):
            torch.testing.assert_close(bias - net[2].bias, 0.1 * factor * net[2].bias.grad)
        assert optimizer.param_groups[0]["lr"] == 0.1
        optimizer.zero_grad()


@pytest.mark.parametrize("settle", [0.0, 0.4])
def test_nobody_dies_or_returns_while_settling(settle):
    units = Stamina(
        40, settle=settle, **EAGER | dict(regrowth_rate=0.3, hebbian_threshold=1.0, min_neurons=4)
    )
    one = training(units, total_steps=20, **STILL)
    alive = []
    for _ in range(20):
        one.step()
        alive.append(tuple(one.units.alive.tolist()))
    changes = [before != after for before, after in pairwise(alive)]
    assert changes == [True] * 11 + [not settle] * 8


# growth


def growing(losses, **knobs):
    """Neurons alive after each step of a layer of 8 that starts with a quarter of them."""
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, **CALM | knobs), **STILL)
    alive = []
    for loss in losses:
        one.net(torch.randn(16, 4)).sum().backward()
        one.attachment.observe(loss)
        one.optimizer.step()
        alive.append(int(one.units.alive.sum()))
    return alive


def test_a_layer_grows_after_patience_events_without_a_lower_loss():
    assert growing([1.0] * 5, patience=1) == [2, 8, 8, 8, 8]
    assert growing([1.0] * 5, patience=3) == [2, 2, 2, 8, 8]
    assert growing([1.0] * 8, patience=2, prune_period=2) == [2, 2, 2, 2, 2, 8, 8, 8]


def test_a_layer_does_not_grow_while_the_loss_falls():
    assert growing([10.0 - step for step in range(8)], patience=1) == [2] * 8
    assert growing([5.0, 5.0, 4.0, 4.0, 3.0, 3.0], patience=2) == [2] * 6


def test_a_loss_may_be_a_number_or_a_tensor_of_any_kind():
    losses = [2, torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(2), 2.0]
    assert growing(losses, patience=3) == [2, 2, 2, 8]


def between_layers(loss=None):
    """The neighbourhood of 8 units between 4 inputs and 3 outputs."""
    feeder = Feeder(torch.ones(8, 4), torch.zeros(8))
    listener = Listener(torch.ones(3, 1, 8), torch.zeros(3))
    return Neighbourhood((feeder,), (), (listener,), exclusive=True, loss=loss)


def test_where_nobody_observes_the_loss_no_neuron_joins():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM)
    around = between_layers()
    units.connect(around)
    for _ in range(5):
        units(torch.randn(16, 8))
        units.restructure(around)
    assert units.alive.sum() == 2


def test_restructuring_changes_nothing_between_the_events():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM | dict(prune_period=2))
    around = between_layers(torch.tensor(1.0))
    units.connect(around)
    units(torch.randn(16, 8))
    before = copy.deepcopy((units.state_dict(), around))
    units.restructure(around)
    assert all(torch.equal(before[0][name], value) for name, value in units.state_dict().items())
    for old, new in zip(
        before[1].feeders + before[1].listeners, around.feeders + around.listeners, strict=True
    ):
        assert torch.equal(old.weight, new.weight)
        assert torch.equal(old.bias, new.bias)


def test_neurons_that_join_are_silent_at_first():
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM), **STILL)
    assert one.dead() == [2, 3, 4, 5, 6, 7]
    one.attachment.observe(1.0)
    x = torch.randn(16, 4)
    one.step(x)
    before = one.net.eval()(x)
    one.net.train()
    one.step(x)
    assert one.dead() == []
    assert torch.equal(one.net.eval()(x), before)


# keeping and copying


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_an_attached_net_can_be_copied_and_attached_anew(twin):
    one = training(Stamina(12, seed=9, **LIVELY | dict(activity="contribution", rebirth="fresh")), **SGD)
    for _ in range(5):
        one.step()
    other = Training(twin(one.net), **SGD)
    other.optimizer.load_state_dict(copy.deepcopy(one.optimizer.state_dict()))
    before = one.units.alive.clone()
    for x in torch.randn(10, 16, 4):
        one.step(x)
        other.step(x)
    assert not torch.equal(one.units.alive, before)
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_an_attached_net_works_as_if_never_attached(twin):
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    other = twin(one.net)
    other[1].gain[2] = -2e9
    other[1].reference.fill_(1.0)
    dead = []
    for _ in range(2):
        other(torch.randn(16, 4))
        dead.append(torch.nonzero(~other[1].alive).flatten().tolist())
    assert dead == [[2], []]
    needy = twin(training(Stamina(6, rebirth="fresh"), **STILL).net)
    assert complaint(needy, torch.randn(16, 4)) == (
        "Stamina: rebirth=fresh needs the layers around it; call hebbevo.nn.attach(model, optimizer)"
    )


def test_detached_units_keep_their_mask_and_stop_changing():
    one = training(Stamina(6, settle=0.9, **EAGER), total_steps=100, **SGD)
    one.units.alive[2] = False
    one.attachment.detach()
    one.kill(0, 1, 3)
    one.step()
    assert one.dead() == [2]
    assert one.optimizer.param_groups[0]["lr"] == 0.1


# attaching again


def attached(times):
    """Who is alive, and the learning rate, in each of ten steps of a net attached ``times`` times."""
    units = Stamina(40, seed=9, settle=0.5, **EAGER | dict(max_deaths=0.05, hebbian_threshold=1.0))
    one = training(units, total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    for _ in range(times - 1):
        one.attachment = attach(one.net, one.optimizer, total_steps=10)
    alive, rates = [], []
    for _ in range(10):
        rates += rates_used(one, 1)
        alive.append(one.units.alive.tolist())
    return alive, rates


def test_attaching_again_doubles_no_deaths_and_slows_no_learning_rate_twice():
    (once, rates), (again, their_rates) = attached(1), attached(3)
    assert [sum(each) for each in once[:3]] == [38, 37, 36]
    assert again == once
    assert their_rates == rates == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_the_attachment_made_last_is_the_one_that_works():
    one = training(Stamina(6, **CALM), **STILL)
    attach(one.net, one.optimizer).detach()
    one.kill(2)
    one.step()
    assert one.dead() == []


def test_a_refused_attachment_leaves_the_one_before_in_place():
    one = training(Stamina(6, **CALM), **STILL)
    one.units.configure(settle=0.5)
    complaint(attach, one.net, one.optimizer)
    one.kill(2)
    one.step()
    assert one.dead() == [2]


def test_attaching_a_second_model_to_an_optimizer_leaves_the_first_attached():
    one = training(Stamina(6, **CALM), **STILL)
    other = nn.Sequential(nn.Linear(4, 6), Stamina(6, **CALM), nn.Linear(6, 3))
    one.optimizer.add_param_group(dict(params=list(other.parameters())))
    attach(other, one.optimizer)
    one.kill(2)
    one.step()
    assert one.dead() == [2]


def test_a_second_training_may_go_on_where_the_first_has_ended():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=4, **STILL)
    for _ in range(4):
        one.step()
    assert complaint(attach, one.net, one.optimizer, total_steps=4) == (
        "attach: total_steps=4 is over, the model has taken 4 forward steps; "
        "give the steps of all its trainings"
    )
    attach(one.net, one.optimizer, total_steps=8)
    one.step()
    assert one.units.steps == 5


# steps of the optimizer that are rarer than those of the model


def test_an_event_between_the_steps_of_the_optimizer_comes_with_the_next_of_them():
    one = training(Stamina(6, **CALM | dict(prune_period=3)), **STILL)
    dead = []
    for batches in (1, 3, 1, 3):  # gradients are accumulated
        one.kill(len(dead))
        for _ in range(batches):
            one.net(torch.randn(16, 4)).sum().backward()
        one.optimizer.step()
        dead.append(one.dead())
    # steps 1, 2-4, 5 and 6-8
    assert dead == [[], [0, 1], [0, 1], [0, 1, 2, 3]]


def test_a_step_that_a_scaler_leaves_out_delays_the_event_and_does_not_lose_it():
    one = training(Stamina(6, **CALM | dict(prune_period=2)), **STILL)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    dead = []
    for step, spoiled in enumerate([False, True, False], start=1):
        if step == 2:
            one.kill(2)
        loss = one.net(torch.randn(16, 4)).sum()
        scaler.scale(loss * (torch.inf if spoiled else 1)).backward()
        scaler.step(one.optimizer)
        scaler.update()
        one.optimizer.zero_grad()
        dead.append(one.dead())
    assert dead == [[], [], [2]]


def test_a_second_step_of_the_optimizer_after_the_same_forward_step_is_no_second_event():
    one = training(Stamina(6, **CALM | dict(max_deaths=0.2)), **STILL)
    one.kill(2, 3)
    one.step()
    one.optimizer.step()
    assert one.units.alive.sum() == 5


@pytest.mark.parametrize("trained", [0, 9], ids=["at first", "in the middle"])
def test_where_a_checkpoint_is_loaded_no_event_comes_between_those_that_were_due(trained):
    one = training(Stamina(6, **CALM | dict(prune_period=5)), **STILL)
    for _ in range(trained):
        one.step()
    one.units.load_state_dict(one.units.state_dict() | {"steps": torch.tensor(7 if trained else 13)})
    one.kill(2)
    dead = []
    for _ in range(3):
        one.step()
        dead.append(one.dead())
    assert dead == ([[], [], [2]] if trained else [[], [2], [2]])  # at steps 10 and 15


class Counted(dict):
    """An optimizer's state that counts how often it is gone through."""

    times = 0

    def items(self):
        self.times += 1
        return super().items()


def test_the_moments_are_collected_only_where_a_unit_is_due_and_once_for_all():
    net = nn.Sequential(
        nn.Linear(4, 6),
        Stamina(6, **CALM | dict(prune_period=3)),
        nn.Linear(6, 6),
        Stamina(6, **CALM | dict(prune_period=3)),
        nn.Linear(6, 3),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    attach(net, optimizer)
    optimizer.state = Counted((parameter, {}) for parameter in net.parameters())
    times = []
    for _ in range(6):
        net(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        times.append(optimizer.state.times)
    assert times == [0, 0, 1, 1, 1, 2]


# models in what others make of them


class Fabric(nn.Module):
    """What Fabric makes of a model: the model, and behind it what is called."""

    def __init__(self, model):
        super().__init__()
        self._forward_module = self._original_module = model

    def forward(self, x):
        return self._forward_module(x)


WRAPPERS = {
    "compile": lambda net: torch.compile(net, backend="eager"),
    "Fabric": Fabric,
    "DataParallel": nn.DataParallel,
    "compile, Fabric": lambda net: torch.compile(Fabric(net), backend="eager"),
    "DataParallel, compile": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
}


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_model_is_attached_as_the_model_itself(wrapper):
    net = nn.Sequential(
        nn.Linear(4, 6), Stamina(6, seed=2, regrowth_rate=1.0, rebirth="fresh", **CALM), nn.Linear(6, 3)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    attach(net, optimizer)
    wrapped = wrapper(net)
    attach(wrapped, optimizer)  # and is known to be the same
    assert len(optimizer._optimizer_step_post_hooks) == 1
    net[1].alive[2] = False
    before = net[0].weight.detach().clone()
    wrapped(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert (net[0].weight != before).any(1).tolist() == [False, False, True, False, False, False]
    assert (net[2].weight == 0).all(0).tolist() == [False, False, True, False, False, False]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch is built without it")
@pytest.mark.parametrize("within", [lambda net: net, Fabric], ids=["alone", "Fabric"])
def test_a_distributed_model_is_refused(within):
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = within(nn.parallel.DistributedDataParallel(net))
        assert complaint(attach, model, torch.optim.SGD(net.parameters())) == (
            "attach: DistributedDataParallel is not supported, every rank would rewire from its own "
            "statistics; train in one process"
        )
    finally:
        torch.distributed.destroy_process_group()


# complaints


@pytest.mark.parametrize(
    "knobs",
    [
        dict(activity="contribution"),
        dict(handover=True),
        dict(rebirth="fresh"),
        dict(settle=0.5),
        dict(growth_rate=0.5),
    ],
)
def test_attached_units_take_what_they_refuse_alone(knobs):
    one = training(Stamina(6, **knobs), total_steps=10, **SGD)
    one.attachment.observe(1.0)
    one.step()
    assert one.units.steps == 1


def test_a_model_without_a_plastic_module_is_refused():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == (
        "attach: the model has no plastic module; put a Stamina or a HebbMask into it"
    )


def test_an_optimizer_of_another_model_is_refused():
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    assert complaint(attach, net, torch.optim.SGD(copy.deepcopy(net).parameters())) == (
        "attach: the optimizer has none of the model's parameters; make it of model.parameters()"
    )


def test_an_optimizer_of_a_part_of_the_model_is_taken():
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    attach(net, torch.optim.SGD(net[2].parameters()))


def test_settling_without_the_training_length_is_refused():
    assert complaint(training, Stamina(6, settle=0.5), **SGD) == (
        "attach: settle needs the training's length; give attach(..., total_steps=N)"
    )


def test_growth_without_an_observed_loss_is_refused_and_the_learning_rate_given_back():
    one = training(Stamina(6, growth_rate=0.5, settle=0.5), total_steps=2, **SGD)
    one.units.steps.fill_(1)
    one.net(torch.randn(2, 4)).sum().backward()
    assert complaint(one.optimizer.step) == (
        "1: growth_rate needs the training loss; call observe(loss) of what attach returned"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.1


HEARD = "activity=contribution needs a layer that listens to it, and none is found"
HANDED = "handover needs a layer that listens to it directly and has a bias, and none is found"
FRESH = "rebirth=fresh needs listeners by which nobody else is heard, and none is found"
REMEDY = "put an nn.Linear or a convolution of its own behind it"


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        (dict(activity="contribution"), HEARD),
        (dict(handover=True), HANDED),
        (dict(rebirth="fresh"), FRESH),
        (dict(rebirth="fresh", handover=True), f"{HANDED}, {FRESH}"),
    ],
)
def test_what_needs_a_listener_is_refused_where_none_is_found(knobs, problem):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, **knobs))
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"1: {problem}; {REMEDY}"


@pytest.mark.parametrize(
    "behind",
    [
        [nn.BatchNorm1d(3), nn.Linear(3, 2)],
        [nn.Tanh(), nn.Linear(3, 2)],
        [nn.Linear(3, 2, bias=False)],
        [HebbMask(nn.Linear(3, 2), ["weight"])],
        [nn.Linear(3, 2).requires_grad_(False)],
    ],
    ids=["norm", "tanh", "no bias", "mask", "frozen"],
)
def test_handover_is_refused_where_no_bias_can_take_a_mean_output(behind):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, handover=True), *behind)
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"1: {HANDED}; {REMEDY}"


def test_fresh_in_weights_are_refused_where_others_are_heard_through_the_listeners():
    for net, name in (
        (Residual(outer=dict(rebirth="fresh")), "blocks.0.outer"),
        (beside(listener="frozen", rebirth="fresh"), "units"),
        (beside(listener="masked", rebirth="fresh"), "units"),
        (beside(listener="shared", rebirth="fresh"), "units"),
    ):
        assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"{name}: {FRESH}; {REMEDY}"


def test_fresh_in_weights_are_taken_where_only_the_feeder_is_not_theirs():
    for kind in ("frozen", "masked", "shared"):
        net = beside(feeder=kind, rebirth="fresh")
        attach(net, torch.optim.SGD(net.parameters()))


def test_units_are_attached_as_they_are_configured_by_then():
    net = Residual()
    optimizer = torch.optim.SGD(net.parameters())
    net.blocks[1].outer.configure(rebirth="fresh", settle=0.5)
    assert complaint(attach, net, optimizer, total_steps=9) == f"blocks.1.outer: {FRESH}; {REMEDY}"
    net.blocks[1].outer.configure(rebirth="auto")
    assert complaint(attach, net, optimizer).startswith("attach: settle needs the training's length;")
    net.blocks[1].outer.configure(settle=0.0)
    net.blocks[1].inner.configure(rebirth="fresh")
    attach(net, optimizer)


def test_where_nobody_listens_a_neuron_returns_with_its_old_weights():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, regrowth_rate=1.0, **CALM))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[1].alive[1] = False
    before = copy.deepcopy(net[0].state_dict())
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert all(torch.equal(before[name], value) for name, value in net[0].state_dict().items())


# models that cannot be followed


class Moody(nn.Module):
    """A net whose forward looks at the data."""

    def __init__(self, **knobs):
        super().__init__()
        self.before, self.units, self.behind = nn.Linear(4, 6), Stamina(6, **CALM | knobs), nn.Linear(6, 3)

    def forward(self, x):
        h = self.units(self.before(x))
        return self.behind(h if x.sum() > 0 else -h)


def test_a_model_that_cannot_be_followed_is_trained_with_a_warning_and_old_weights():
    net = Moody(regrowth_rate=1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).startswith("attach: Moody: its forward cannot be followed (")
    assert str(warning.message).endswith(
        "); keep data-dependent control flow out of forward; until then its units work alone"
    )
    weights = copy.deepcopy([parameter.detach() for parameter in net.parameters()])
    alive = []
    for _ in range(2):
        net.units.gain[3] = -2e9
        net.units.reference.fill_(1.0)
        net(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        alive.append(net.units.alive.tolist())
    assert alive == [[True, True, True, False, True, True], [True] * 6]
    assert all(torch.equal(one, other) for one, other in zip(weights, net.parameters(), strict=True))


def test_a_model_that_cannot_be_followed_settles_and_grows():
    net = Moody(initial_neurons=0.5, growth_rate=1.0, patience=1, settle=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="cannot be followed"):
        attachment = attach(net, optimizer, total_steps=4)
    for _ in range(2):
        net(torch.randn(8, 4)).sum().backward()
        attachment.observe(1.0)
        optimizer.step()
    assert net.units.alive.all()
    assert net.units.total_steps == 4


def test_what_needs_a_listener_is_refused_where_the_model_cannot_be_followed():
    net = Moody(rebirth="fresh")
    line = complaint(attach, net, torch.optim.SGD(net.parameters()))
    assert line.startswith(f"units: {FRESH}; Moody: its forward cannot be followed (")
    assert line.endswith("; keep data-dependent control flow out of forward")


def test_units_that_are_used_twice_work_alone_with_a_warning_while_the_others_are_wired():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.square, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5)
            self.units = Stamina(6, regrowth_rate=1.0, **CALM | dict(prune_period=2))
            self.other, self.head = Stamina(5, regrowth_rate=1.0, **CALM), nn.Linear(5, 3)

        def forward(self, x):
            h = self.units(self.square(self.units(self.first(x))))
            return self.head(self.other(self.last(h)))

    net = Twice()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    (warning,) = caught
    assert str(warning.message) == (
        "attach: units: is not called once in forward; give each layer its own module; "
        "until then its units work alone"
    )
    net.units.alive[1] = net.other.alive[2] = False
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert net.units.alive.all()
    assert net.other.alive.all()
    for name in ("first", "square"):
        assert torch.equal(net.get_submodule(name).weight, before[f"{name}.weight"])
    assert (net.last.weight != before["last.weight"]).any(1).tolist() == [False, False, True, False, False]
    assert (net.head.weight == 0).all(0).tolist() == [False, False, True, False, False]


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param("inductor", marks=pytest.mark.skipif(not which("g++"), reason="there is no compiler")),
    ],
)
def test_a_compiled_model_is_wired_like_the_model_itself(backend):
    pair = []
    for compiled in (False, True):
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
        net[1].configure(rebirth="fresh", handover=True)
        net = torch.compile(net, backend=backend) if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        attach(net, optimizer)
        torch.manual_seed(6)
        patterns = []
        for _ in range(8):
            optimizer.zero_grad()
            net(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
            units = (net._orig_mod if compiled else net)[1]
            patterns.append(tuple(units.alive.tolist()))
        pair.append((patterns, [parameter.detach() for parameter in net.parameters()]))
    (patterns, weights), (as_compiled, weights_as_compiled) = pair
    assert len(set(patterns)) > 4
    assert as_compiled == patterns
    torch.testing.assert_close(weights_as_compiled, weights)


# listeners through whom others are heard


class Block(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.inner = Stamina(16, dim=1, **CALM | inner)
        self.conv2, self.norm2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.outer = Stamina(16, dim=1, **CALM | outer)

    def forward(self, x):
        return self.outer(self.norm2(self.conv2(self.inner(self.norm1(self.conv1(x))))) + x)


class Residual(nn.Module):
    """A stream of 16 channels through three blocks."""

    def __init__(self, inner=None, outer=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.blocks = nn.Sequential(*(Block(inner or {}, outer or {}) for _ in range(3)))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def residual_beside_control(units, kind, silent=False):
    """Two equal residual nets after two steps; in the first, channels 3 and 8 of ``units`` just returned.

    ``silent``: these channels would put out nothing up to the end of the first block.
    """
    born, pair = [3, 8], []
    for rate in (1.0, 0.0):
        torch.manual_seed(8)
        net = Residual()
        with torch.no_grad():
            for block in net.blocks:
                for norm in (block.norm1, block.norm2):
                    norm.weight.copy_(torch.rand(16) + 0.5)
                    norm.bias.copy_(torch.rand(16))
            if silent:
                first = net.blocks[0]
                for entry in (net.stem.weight, net.stem.bias, first.norm2.weight, first.norm2.bias):
                    entry[born] = 0
        net.get_submodule(units).configure(regrowth_rate=rate, prune_period=2)
        net.get_submodule(units).alive[born] = False
        optimizer = kind(net.parameters())
        attach(net, optimizer)
        for step in range(2):
            optimizer.zero_grad()
            net(torch.randn(8, 3, 6, 6)).square().sum().backward()
            if step:
                for state in optimizer.state.values():
                    for entry in state.values():
                        if torch.is_tensor(entry) and entry.dim():
                            entry.add_(1.0)
            optimizer.step()
        pair.append((net.eval(), optimizer))
    return born, *pair


KINDS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.0, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def changed_moments(one, control):
    """By the parameter's name, which rows and columns of the moments differ from the control's."""
    changed = {}
    for (name, parameter), twin in zip(one[0].named_parameters(), control[0].parameters(), strict=True):
        for key, entry in one[1].state[parameter].items():
            kept = control[1].state[twin][key]
            if kept.dim() and not torch.equal(entry, kept):
                rows = torch.nonzero(entry != kept)
                assert not entry[tuple(rows.T)].any()
                changed[name] = [sorted(set(places)) for places in rows.T[:2].tolist()]
    return changed


def test_a_channel_that_returns_to_a_residual_stream_brings_its_old_contribution_and_nothing_else(kind):
    born, one, control = residual_beside_control("blocks.0.outer", kind)
    (net, _), (twin, _) = one, control
    assert net.blocks[0].outer.alive.all()
    x = torch.randn(20, 3, 6, 6)
    assert not torch.allclose(net(x), twin(x), atol=1e-3)
    twin.blocks[0].outer.alive[born] = True
    assert torch.equal(net(x), twin(x))
    for (name, tensor), old in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(tensor, old), name


def test_a_silent_channel_returns_to_a_residual_stream_without_changing_the_logits(kind):
    born, one, control = residual_beside_control("blocks.0.outer", kind, silent=True)
    (net, _), (twin, _) = one, control
    assert net.blocks[0].outer.alive.all()
    assert twin.blocks[0].outer.alive.sum() == 14
    x = torch.randn(20, 3, 6, 6)
    assert torch.equal(net(x), twin(x))
    with torch.no_grad():  # what later blocks say along these channels would be missed
        net.blocks[2].conv1.weight[:, born] = 0
    assert not torch.allclose(net(x), twin(x), atol=1e-3)


def test_no_moments_behind_a_residual_stream_are_reset(kind):
    born, *pair = residual_beside_control("blocks.0.outer", kind)
    assert changed_moments(*pair).keys() == {
        f"blocks.0.{name}.{entry}" for name in ("conv2", "norm2") for entry in ("weight", "bias")
    }
    assert all(rows[0] == born for rows in changed_moments(*pair).values())


def test_an_inner_channel_of_a_residual_block_returns_fresh_and_silent(kind):
    born, one, control = residual_beside_control("blocks.0.inner", kind)
    (net, _), (twin, _) = one, control
    block, old = net.blocks[0], twin.blocks[0]
    assert block.inner.alive.all()
    x = torch.randn(20, 3, 6, 6)
    assert torch.equal(net(x), twin(x))
    assert not block.conv2.weight[:, born].any()
    assert not old.conv1.weight[born].any()  # who is out and will come back anew has left nothing
    assert block.conv1.weight[born].all()
    assert block.norm1.weight[born].tolist() == [1, 1]
    changed = {
        name
        for (name, tensor), kept in zip(net.named_parameters(), twin.parameters(), strict=True)
        if not torch.equal(tensor, kept)
    }
    own = {f"blocks.0.{name}" for name in ("conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias")}
    assert changed == own - {"blocks.0.conv1.bias"}  # silent and without a bias they were by now
    moments = changed_moments(one, control)
    assert moments.keys() <= own | {"blocks.0.conv2.weight"}
    assert all(moments[name][0] == born for name in own)
    assert moments["blocks.0.conv2.weight"][1] == born


def test_the_last_channels_of_a_residual_net_are_heard_by_the_head_alone():
    born, (net, _), (twin, _) = residual_beside_control("blocks.2.outer", KINDS["sgd"])
    assert not net.head.weight[:, born].any()
    x = torch.randn(20, 3, 6, 6)
    torch.testing.assert_close(net(x), twin(x), rtol=1e-6, atol=1e-6)


def test_contribution_counts_who_listens_behind_sums():
    net = Residual(outer=dict(activity="contribution"))
    attach(net, torch.optim.SGD(net.parameters()))
    hears = [net.blocks[1].conv1, net.blocks[2].conv1, net.head]
    squares = [layer.weight.detach().square().flatten(2).sum(2).sum(0) for layer in hears[:2]]
    squares.append(net.head.weight.detach().square().sum(0))
    for number in range(3):
        torch.testing.assert_close(net.blocks[number].outer.outgoing, sum(squares[number:]).sqrt())


class Beside(nn.Module):
    """Linear layers on both sides of 6 units, of which some also are somewhere else."""

    def __init__(self, feeder, listener, shared, knobs):
        super().__init__()
        self.feeder, self.units, self.listener = feeder, Stamina(6, **CALM | knobs), listener
        self.shared = shared

    def forward(self, x):
        y = self.listener(self.units(self.feeder(x)))
        if self.shared == "listener":
            y = y + self.listener(x)
        return y + self.feeder(x) if self.shared == "feeder" else y


def beside(feeder="", listener="", **knobs):
    def layer(kind):
        layer = nn.Linear(6, 6).requires_grad_(kind != "frozen")
        return HebbMask(layer, ["weight"]) if kind == "masked" else layer

    shared = "feeder" if feeder == "shared" else "listener" if listener == "shared" else ""
    return Beside(layer(feeder), layer(listener), shared, knobs)


def birth(net):
    """Which neurons' in-weights and which out-weights change as neurons 1 and 4 return."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net.units.alive[[1, 4]] = False
    layers = [getattr(layer, "module", layer) for layer in (net.feeder, net.listener)]
    before = [layer.weight.detach().clone() for layer in layers]
    net(torch.randn(5, 6)).sum().backward()
    optimizer.step()
    assert net.units.alive.all()
    differs = [layer.weight != old for layer, old in zip(layers, before, strict=True)]
    return [
        torch.nonzero(differs[0].any(1)).flatten().tolist(),
        torch.nonzero(differs[1].any(0)).flatten().tolist(),
    ]


@pytest.mark.parametrize("foreign", ["frozen", "masked", "shared"])
def test_where_the_listener_is_not_theirs_a_neuron_returns_with_its_old_weights(foreign):
    assert birth(beside(regrowth_rate=1.0)) == [[1, 4], [1, 4]]
    assert birth(beside(listener=foreign, regrowth_rate=1.0)) == [[], []]


@pytest.mark.parametrize("foreign", ["frozen", "masked", "shared"])
def test_where_the_feeder_is_not_theirs_a_neuron_returns_silent_with_its_old_in_weights(foreign):
    assert birth(beside(feeder=foreign, regrowth_rate=1.0)) == [[], [1, 4]]


@pytest.mark.parametrize("foreign", ["frozen", "masked", "shared"])
def test_contribution_counts_listeners_that_are_not_theirs(foreign):
    net = beside(listener=foreign, activity="contribution")
    attach(net, torch.optim.SGD(net.parameters()))
    weight = getattr(net.listener, "module", net.listener).weight.detach()
    torch.testing.assert_close(net.units.outgoing, weight.norm(dim=0))


def test_a_block_with_a_shortcut_is_trained_by_its_own_rules():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.inner = Stamina(8, dim=1, **LIVELY | dict(rebirth="fresh"))
            self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.short = nn.Conv2d(3, 8, 1)
            self.outer = Stamina(8, dim=1, **LIVELY | dict(rebirth="fresh", handover=True))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            h = self.norm2(self.conv2(self.inner(self.norm1(self.conv1(x)))))
            return self.head(self.outer(h + self.short(x)).mean((2, 3)))

    net = Block()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    attach(net, optimizer)
    patterns = set()
    for _ in range(20):
        x = torch.randn(8, 3, 5, 5)
        optimizer.zero_grad()
        F.cross_entropy(net(x), (x.mean((1, 2, 3)) > 0).long()).backward()
        optimizer.step()
        patterns.add((*net.inner.alive.tolist(), *net.outer.alive.tolist()))
    assert len(patterns) > 10
    assert all(tensor.isfinite().all() for tensor in net.parameters())
