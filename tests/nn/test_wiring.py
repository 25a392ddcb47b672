import copy

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask, InputStamina, Stamina, attach, plastic_connections
from hebbevo.nn.wiring import Wiring, mark_attached, tensors_of
from hebbevo.training.stack import VmapStack

NEVER = -1e9  # a threshold that no stamina falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)
LIVELY = EAGER | dict(
    regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5, rebirth="old"
)
SGD = dict(optimizer=torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = dict(optimizer=torch.optim.Adam, lr=0.01, amsgrad=True)
STILL = dict(optimizer=torch.optim.SGD, lr=0.0)


# returning neurons


def reborn_beside_control(training, rebirth, optimizer):
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
def test_a_neuron_returns_with_fresh_incoming_weights_outgoing_weights_of_zero_and_no_bias(
    rebirth, optimizer, training
):
    one, control = reborn_beside_control(training, rebirth, optimizer)
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
def test_exactly_the_moments_of_returned_neurons_are_reset(rebirth, optimizer, training):
    one, control = reborn_beside_control(training, rebirth, optimizer)
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


def test_old_rebirth_keeps_all_weights(training):
    one, control = reborn_beside_control(training, "old", SGD)
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


def test_neurons_that_die_do_not_return_at_the_same_event(training):
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    one.kill(0, 3)
    one.step()
    assert one.dead() == [0, 3]
    one.step()
    assert one.dead() == []


def test_input_units_return_with_outgoing_weights_of_zero():
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
def test_a_channel_returns_with_fresh_weights_a_plain_norm_and_outgoing_weights_of_zero(
    optimizer, memory_format
):
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


def channel_nets():
    for seed in (1, 2):
        torch.manual_seed(seed)
        knobs = LIVELY | dict(rebirth="fresh", handover=True, activity="contribution", hebbian_threshold=0.5)
        yield nn.Sequential(
            nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), Stamina(12, dim=1, seed=seed, **knobs), nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 2), Stamina(12, dim=1, seed=seed + 5, **knobs), nn.Flatten(), nn.Linear(12, 3),
        )  # fmt: skip


def masked_nets():
    for seed in (1, 2):
        torch.manual_seed(seed)
        knobs = LIVELY | dict(rebirth="fresh", handover=True, activity="contribution", hebbian_threshold=0.5)
        mask = dict(permanence_rate=20.0 * seed, permanence_decay=0.05)
        yield nn.Sequential(
            nn.Flatten(), HebbMask(nn.Linear(72, 12), ["weight"], **mask), Stamina(12, seed=seed, **knobs),
            HebbMask(nn.Linear(12, 10), ["weight"], **mask), Stamina(10, seed=seed + 5, **knobs),
            nn.Linear(10, 3),
        )  # fmt: skip


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("make", [channel_nets, masked_nets])
def test_stacked_nets_are_restructured_as_alone(make, looks, training):
    nets = list(make())
    stack, wiring = VmapStack(copy.deepcopy(nets), torch.device("cpu")), Wiring(nets[0])
    for each in (stack.module, *nets):
        mark_attached(each)
    patterns = set()
    with torch.no_grad():
        wiring.connect(stack.tensors)
        for net in nets:
            wiring.connect(tensors_of(net))
        for x in torch.randn(25, 8, 2, 6, 6):
            stack.call(lambda net, x=x: net(x), training=True)
            wiring.restructure(stack.tensors, {}, torch.zeros(2), look=looks)
            for net in nets:
                net(x)
                wiring.restructure(tensors_of(net), {}, torch.zeros(()))
            for name, value in stack.state.items():
                alone = torch.stack([net.state_dict()[name] for net in nets])
                torch.testing.assert_close(value.detach(), alone, rtol=1e-4, atol=1e-5, msg=name)
            patterns.add(tuple(stack.state["2.alive"].flatten().tolist()))
    assert len(patterns) > 15
    for net in nets:
        for mask in plastic_connections(net).values():
            assert 0 < mask.sparsity() < 1


def test_alone_attached_and_stacked_the_same_neurons_die_and_return(training):
    torch.manual_seed(5)
    alone = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
    attached = training(Stamina(12, seed=9, **LIVELY), **STILL)
    nets = []
    for seed in (8, 9):
        torch.manual_seed(5)
        nets.append(nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=seed, **LIVELY), nn.Linear(12, 3)))
    stack, wiring = VmapStack(nets, torch.device("cpu")), Wiring(nets[0])
    mark_attached(stack.module)
    patterns = set()
    for x in torch.randn(30, 16, 4):
        alone(x)
        attached.step(x)
        with torch.no_grad():
            stack.call(lambda net, x=x: net(x), training=True)
            wiring.restructure(stack.tensors, {}, None)
        assert torch.equal(alone[1].alive, attached.units.alive)
        assert torch.equal(alone[1].alive, stack.state["1.alive"][1])
        patterns.add(tuple(attached.units.alive.tolist()))
    assert len(patterns) > 20


# handover


def test_a_constant_neuron_dies_without_changing_what_the_net_computes(training):
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
    outgoing = one.behind.weight[:, 2].clone()
    one.step()
    assert one.dead() == [2]
    torch.testing.assert_close(one.net.eval()(fresh), before, rtol=0, atol=2e-6)
    assert not torch.allclose(before, before - 1.7 * outgoing, atol=0.1)


def test_the_next_bias_receives_the_running_mean_output_of_dying_units(training):
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=7)), **STILL)
    bias = one.behind.bias.clone()
    means = []
    for step in range(7):
        x = torch.randn(16, 4)
        means.append(F.relu(one.before(x)).mean(0))
        if step == 6:
            one.kill(1, 5)
        outgoing = one.behind.weight.clone()
        one.step(x)
    assert one.dead() == [1, 5]
    weights = [0.9**age for age in range(7)][::-1]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    expected = bias + outgoing[:, 1] * mean[1] + outgoing[:, 5] * mean[5]
    torch.testing.assert_close(one.behind.bias, expected)


def test_what_a_neuron_put_out_before_its_return_is_not_handed_over(training):
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


def test_without_handover_the_next_bias_stays(training):
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
    net.units.alive[3] = False  # another one makes a difference
    assert not torch.allclose(net(fresh), before, rtol=0, atol=1e-3)


# contribution


def test_contribution_counts_the_weights_of_all_listeners():
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


def test_contribution_follows_the_outgoing_weights(training):
    one = training(Stamina(6, activity="contribution", **CALM | dict(prune_period=3)), **SGD)
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))
    for _ in range(3):
        one.step()
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))


# listeners that read other units, too


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
    with torch.no_grad():  # what later blocks add to these channels makes a difference
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
    assert not old.conv1.weight[born].any()  # what is out and will return fresh has left nothing
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


def test_the_last_channels_of_a_residual_net_are_read_by_the_head_alone():
    born, (net, _), (twin, _) = residual_beside_control("blocks.2.outer", KINDS["sgd"])
    assert not net.head.weight[:, born].any()
    x = torch.randn(20, 3, 6, 6)
    torch.testing.assert_close(net(x), twin(x), rtol=1e-6, atol=1e-6)


def test_contribution_counts_listeners_behind_sums():
    net = Residual(outer=dict(activity="contribution"))
    attach(net, torch.optim.SGD(net.parameters()))
    readers = [net.blocks[1].conv1, net.blocks[2].conv1, net.head]
    squares = [layer.weight.detach().square().flatten(2).sum(2).sum(0) for layer in readers[:2]]
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
    """The neurons of which incoming, and of which outgoing weights change as neurons 1 and 4 return."""
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


@pytest.mark.parametrize("foreign", ["frozen", "shared"])
def test_where_the_listener_is_not_the_units_own_a_neuron_returns_with_its_old_weights(foreign):
    assert birth(beside(regrowth_rate=1.0)) == [[1, 4], [1, 4]]
    assert birth(beside(listener=foreign, regrowth_rate=1.0)) == [[], []]


@pytest.mark.parametrize("foreign", ["frozen", "shared"])
def test_where_the_feeder_is_not_the_units_own_a_neuron_returns_silent_with_its_old_incoming_weights(foreign):
    assert birth(beside(feeder=foreign, regrowth_rate=1.0)) == [[], [1, 4]]


@pytest.mark.parametrize("foreign", ["frozen", "masked", "shared"])
def test_contribution_counts_listeners_that_are_not_the_units_own(foreign):
    net = beside(listener=foreign, activity="contribution")
    attach(net, torch.optim.SGD(net.parameters()))
    weight = getattr(net.listener, "module", net.listener).weight.detach()
    torch.testing.assert_close(net.units.outgoing, weight.norm(dim=0))


def test_units_of_a_block_with_a_shortcut_die_and_return():
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


# layers inside a mask


def masked_net(**knobs):
    """Six units between masked layers of which about half of the connections are out."""
    mask = dict(permanence_rate=0.0, update_interval=10**9)
    net = nn.Sequential(
        HebbMask(nn.Linear(4, 6), ["weight"], **mask),
        Stamina(6, **CALM | knobs),
        HebbMask(nn.Linear(6, 3), ["weight"], **mask),
    )
    for layer in (net[0], net[2]):
        layer.masks()["weight"].copy_(torch.rand_like(layer.module.weight) < 0.5)
    return net


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_layers_inside_a_mask_are_the_units_own(optimizer):
    net = masked_net(regrowth_rate=1.0, rebirth="fresh", warmup=3)
    kind = dict(optimizer)
    steps = kind.pop("optimizer")(net.parameters(), **kind)
    attach(net, steps)
    net[1].alive[[1, 4]] = False
    masks = [layer.masks()["weight"].clone() for layer in (net[0], net[2])]
    before = [layer.module.weight.detach().clone() for layer in (net[0], net[2])]
    for _ in range(3):
        steps.zero_grad()
        net(torch.randn(16, 4)).square().mean().backward()
        steps.step()
    assert net[1].alive.all()
    assert masks[0][BORN].any() and masks[1][:, BORN].any()
    feeder, listener = net[0].weights()["weight"], net[2].weights()["weight"]
    assert torch.equal(feeder[BORN] != 0, masks[0][BORN])
    assert not torch.isclose(feeder[BORN], before[0][BORN])[masks[0][BORN]].any()
    assert not listener[:, BORN].any()
    assert listener[:, ~BORN][masks[1][:, ~BORN]].all()
    for layer in (net[0], net[2]):  # and if all connections returned
        layer.masks()["weight"].fill_(True)
    net(torch.randn(16, 4))
    assert not net[2].weights()["weight"][:, BORN].any()
    assert not net[0].weights()["weight"][BORN][~masks[0][BORN]].any()
    # the others have their old weights where the optimiser must not have moved them
    assert torch.equal(
        net[0].weights()["weight"][~BORN][~masks[0][~BORN]], before[0][~BORN][~masks[0][~BORN]]
    )
    assert torch.equal(
        net[2].weights()["weight"][:, ~BORN][~masks[1][:, ~BORN]], before[1][:, ~BORN][~masks[1][:, ~BORN]]
    )


def test_what_is_out_from_the_start_has_no_weights_inside_a_mask():
    net = masked_net(initial_neurons=0.5)
    attach(net, torch.optim.SGD(net.parameters()))
    for layer in (net[0], net[2]):
        layer.masks()["weight"].fill_(True)
    assert (net[0].weights()["weight"] != 0).all(1).tolist() == [True] * 3 + [False] * 3
    assert (net[2].weights()["weight"] != 0).all(0).tolist() == [True] * 3 + [False] * 3


def test_a_constant_neuron_dies_before_a_masked_layer_without_changing_what_the_net_computes():
    net = masked_net(handover=True, warmup=4)
    net[2].masks()["weight"].copy_(torch.tensor([True, False, True])[:, None])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    with torch.no_grad():
        net[0].module.weight[2] = 0.0
        net[0].module.bias[2] = 1.7
    x = torch.randn(50, 4)
    before = net.eval()(x)
    net.train()
    for _ in range(4):
        net[1].gain[2] = -2e9
        net[1].reference.fill_(1.0)
        net(torch.randn(16, 4)).sum().backward()
        optimizer.step()
    assert net[1].alive.tolist() == [True, True, False, True, True, True]
    torch.testing.assert_close(net.eval()(x), before, rtol=0, atol=2e-6)


def test_contribution_counts_only_connections_that_are_in():
    net = masked_net(activity="contribution")
    attach(net, torch.optim.SGD(net.parameters()))
    weight = net[2].weights()["weight"].detach()
    assert not torch.allclose(weight.norm(dim=0), net[2].module.weight.norm(dim=0))
    torch.testing.assert_close(net[1].outgoing, weight.norm(dim=0))


class Added(nn.Module):
    """Units behind a stream that others are added to, or behind those others alone."""

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
def test_what_returns_draws_weights_from_all_that_it_may_read(added):
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
