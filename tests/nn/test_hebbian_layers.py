"""Hebbian layers in a stranger's PyTorch model: trained, pruned, stacked, counted, compiled and exported."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import (
    HebbianConv2d,
    HebbianLinear,
    KWinners,
    PlasticUnits,
    Stamina,
    Triangle,
    attach,
    credited,
    masked,
)
from hebbevo.rules import UNITS
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
RULES = pytest.mark.parametrize("rule", ["hebbian", "softhebb"])


def images(rows=12, seed=0, dtype=torch.float32):
    return torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(rows=12, seed=0):
    return torch.randint(3, (rows,), generator=torch.Generator().manual_seed(seed))


def net_of(rule, seed=0, **knobs):
    torch.manual_seed(seed)
    return nn.Sequential(
        HebbianConv2d(1, 6, 3, padding=1, padding_mode="reflect", rule=rule, seed=seed, **knobs),
        Triangle(power=0.7),
        nn.AvgPool2d(2),
        nn.Flatten(),
        HebbianLinear(96, 8, rule=rule, seed=seed + 1, **knobs),
        Triangle(dim=-1),
        nn.Linear(8, 3),
    )


def trained(net, steps=4, optimizer=None):
    optimizer = optimizer or torch.optim.SGD([each for each in net.parameters() if each.requires_grad], 0.1)
    for step in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(images(seed=step)), labels(seed=step)).backward()
        optimizer.step()
    return net


@RULES
def test_layers_are_those_of_pytorch_with_their_arguments(rule):
    linear = HebbianLinear(5, 4, True, rule=rule, dtype=torch.float64)
    conv = HebbianConv2d(4, 6, 3, 2, 1, 1, 2, padding_mode="circular", rule=rule)
    assert isinstance(linear, nn.Linear) and isinstance(conv, nn.Conv2d)
    assert linear.bias is not None and conv.bias is None
    assert (linear.weight.dtype, conv.weight.shape) == (torch.float64, (6, 2, 3, 3))
    plain = nn.Conv2d(4, 6, 3, 2, 1, 1, 2, bias=False, padding_mode="circular")
    plain.load_state_dict({"weight": conv.weight})
    x = torch.randn(3, 4, 7, 7)
    assert torch.equal(conv.eval()(x), plain(x))


@RULES
def test_hebbian_layers_and_a_head_learn_in_an_ordinary_loop(rule):
    net = net_of(rule)
    before = copy.deepcopy(net.state_dict())
    trained(net)
    for name in ("0.weight", "4.weight", "6.weight"):
        assert not torch.equal(net.state_dict()[name], before[name])
    assert [name for name, each in net.named_parameters() if each.requires_grad] == ["6.weight", "6.bias"]
    x = images()
    assert torch.equal(net.eval()(x), net(x))


@RULES
def test_an_optimiser_of_all_parameters_moves_the_head_alone(rule):
    net, other = net_of(rule), net_of(rule)
    trained(net)
    trained(other, optimizer=torch.optim.SGD(other.parameters(), 0.1, weight_decay=0.0))
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), other.parameters(), strict=True))


@RULES
def test_convolutions_in_a_stack_learn_what_they_learn_alone(rule):
    rates = (0.02, 0.1, 0.5)
    alone, stacked = (
        [net_of(rule, seed, hebbian_rate=rate).double() for seed, rate in enumerate(rates)] for _ in range(2)
    )
    stack = VmapStack(stacked, CPU)
    for step in range(4):
        for nets in (stack, *(SingleNet(net, CPU) for net in alone)):
            nets.losses(F.cross_entropy, images(seed=step, dtype=torch.float64), labels(seed=step))
    for row, net in enumerate(alone):
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stack.state[name][row], value, rtol=1e-9, atol=1e-9, msg=name)
        assert not torch.equal(stack.state["0.weight"][row], stacked[row].double().state_dict()["0.weight"])


def test_nets_that_compute_something_else_are_not_stacked():
    from hebbevo.training.structure import difference

    assert not difference(net_of("hebbian", hebbian_rate=0.1), net_of("hebbian", 1, hebbian_rate=0.2))
    one, other = net_of("hebbian", competition="softmax"), net_of("hebbian", competition="winners")
    assert difference(one, other) == "0.credit.structural"


@RULES
def test_counted_and_cut_they_are_plain_layers(rule):
    net = trained(net_of(rule)).eval()
    plain = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, padding_mode="reflect", bias=False), Triangle(0.7), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(96, 8, bias=False), Triangle(dim=-1), nn.Linear(8, 3),
    )  # fmt: skip
    plain.load_state_dict({key: each for key, each in net.state_dict().items() if ".credit." not in key})
    ours, theirs = hebbevo.count(net, images(1)), hebbevo.count(plain, images(1))
    assert ours.attrs["notes"] == []
    numbers = ["neurons", "neurons_alive", "connections", "connections_alive", "parameters"]
    assert ours.loc["total", numbers].tolist() == theirs.loc["total", numbers].tolist()
    x = images(5)
    small = hebbevo.compact(net, images(2))
    torch.testing.assert_close(small(x), net(x))
    assert not [each for each in small.modules() if type(each).__module__.startswith("hebbevo")]


@RULES
def test_mixed_precision_learns_in_single_precision(rule):
    net = net_of(rule)
    with torch.autocast("cpu", torch.bfloat16):
        net(images())
    assert net[0].weight.dtype == torch.float32
    assert torch.isfinite(net[0].weight).all()


@RULES
def test_under_a_mask_connections_that_are_out_do_not_count(rule):
    mask = masked("static", HebbianLinear(20, 6, rule=rule, seed=0), seed=0, density=0.4)
    is_in = mask.masks()["weight"]
    assert 0.3 < is_in.float().mean() < 0.5
    twin = HebbianLinear(20, 6, rule=rule, seed=0)
    with torch.no_grad():
        twin.weight.mul_(is_in)
        twin.credit.wired.copy_(is_in)
    for step in range(4):
        x = torch.randn(10, 20, generator=torch.Generator().manual_seed(step))
        torch.testing.assert_close(mask(x), twin(x))
    torch.testing.assert_close(mask.weights()["weight"], twin.weight)


@pytest.mark.parametrize("units", UNITS)
def test_under_every_rule_for_units(units):
    """Pruned units have no weights, and learn none; units that are regrown begin with fresh ones."""
    torch.manual_seed(0)
    own = {"regrowth_rate": 0.5, "events": 3, "target": 4, "warmup": 2, "prune_period": 2, "grace": 0}
    own |= {"dormancy": 2.0, "unactivation_penalty": 5.0, "gate_start": -3.0}
    plastic = PlasticUnits(
        UNITS[units], 8, seed=1, **{name: own[name] for name in own.keys() & UNITS[units].knobs.keys()}
    )
    hebbian = HebbianLinear(64, 8, True, seed=0)
    net = nn.Sequential(nn.Flatten(), hebbian, plastic, nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    attach(net, optimizer, total_steps=20).observe(1.0)
    pruned = 0
    for _ in range(16):
        trained(net, 1, optimizer)
        pruned += int((~plastic.alive).sum())
        assert not hebbian.weight[~plastic.alive].any()
        assert hebbian.weight[plastic.alive].any(1).all()
    assert (
        pruned or not UNITS[units].prunes or units in ("redo", "demp")
    )  # one recycles units at once, one needs noise
    net(images())  # a step of the rule alone
    assert not hebbian.weight[~plastic.alive].any()
    assert hebbian.weight.norm(dim=1).tolist() == pytest.approx(plastic.alive.float().tolist(), abs=1e-5)
    assert not hebbian.credit.theta[~plastic.alive].any()


def test_a_unit_that_is_regrown_at_once_has_a_threshold_of_its_own():
    """As under redo, which recycles units: no forward pass sees them without weights."""
    torch.manual_seed(0)
    hebbian = HebbianLinear(64, 8, True, seed=0)
    plastic = PlasticUnits(UNITS["redo"], 8, seed=1, dormancy=1e9, warmup=2, prune_period=2, grace=0)
    net = nn.Sequential(nn.Flatten(), hebbian, plastic, nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    attach(net, optimizer, total_steps=20)
    recycled = torch.zeros(8, dtype=torch.bool)
    while not recycled.any():
        before, threshold = hebbian.weight.detach().clone(), hebbian.credit.theta.clone()
        trained(net, 1, optimizer)
        recycled = (hebbian.weight - before).norm(dim=1) > 1
    assert plastic.alive.all() and threshold[recycled].any()
    assert not hebbian.credit.theta[recycled].any()
    assert not hebbian.bias[recycled].any()


@pytest.mark.parametrize(
    ("rule", "knobs", "norm"),
    [
        ("hebbian", {"connectivity": 0.3}, 1.0),
        ("hebbian", {"normalize": False, "initial_norm": 3.0, "connectivity": 0.25}, 1.5),
        ("hebbian", {"normalize": False, "initial_norm": 0.0}, 2**0.5),  # the layer's own weights: as He's
        ("softhebb", {}, 25.0),
    ],
)
def test_units_that_are_regrown_while_the_layer_rests_begin_as_it_began(rule, knobs, norm):
    torch.manual_seed(0)
    fixed = {"threshold_form": "fixed", "threshold_level": 0.7} if rule == "hebbian" else {}
    hebbian = HebbianLinear(64, 10, True, rule=rule, seed=0, learns_until=1e-9, **fixed, **knobs)
    regrowth = {"initial_neurons": 0.5, "warmup": 0, "prune_period": 1, "regrowth_rate": 1.0, "max_deaths": 0}
    units = Stamina(10, seed=1, **regrowth)
    net = nn.Sequential(nn.Flatten(), hebbian, units, nn.Linear(10, 3))
    optimizer = torch.optim.SGD(net[3].parameters(), 0.0)
    attach(net, optimizer, total_steps=20)
    trained(net, 2, optimizer)
    regrown = units.age < 2
    assert 0 < regrown.sum() < 10
    weight = hebbian.weight[regrown]
    torch.testing.assert_close(weight.norm(dim=1), torch.full((int(regrown.sum()),), norm))
    assert not weight[~hebbian.credit.wired[regrown]].any()
    trained(net, 1, optimizer)  # and their fixed threshold is there too
    torch.testing.assert_close(hebbian.bias, torch.full((10,), -fixed.get("threshold_level", 0.0)))


@pytest.mark.parametrize("activation", [Triangle(), KWinners(3)], ids=["triangle", "winners"])
def test_behind_a_competition_units_that_are_pruned_lose_their_weights_too(activation):
    torch.manual_seed(0)
    plastic = PlasticUnits(UNITS["random"], 6, dim=1, seed=1, target=3, events=3, warmup=1)
    conv = HebbianConv2d(1, 6, 3, seed=0)
    net = nn.Sequential(conv, activation, plastic, nn.Flatten(), nn.Linear(216, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    attach(net, optimizer, total_steps=6)
    trained(net, 6, optimizer)
    assert plastic.alive.sum() == 3
    assert not conv.weight[~plastic.alive].any()
    x = images(4)
    net.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mean of all units counts those without weights, which stay
        small = hebbevo.compact(net, images(2))
    torch.testing.assert_close(small(x), net(x))


def test_errors_name_what_may_be_written():
    with pytest.raises(UsageError, match="HebbianLinear: unknown rule 'backprop'"):
        HebbianLinear(3, 2, rule="backprop")
    with pytest.raises(UsageError, match="hebbian: unknown knob 'winner'"):
        HebbianLinear(3, 2, winner=2)
    with pytest.raises(UsageError, match="softhebb: temperature: 0 is outside its range"):
        credited("softhebb", nn.Linear(3, 2), temperature=0)
