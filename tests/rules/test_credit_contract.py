"""What every credit rule must do, whatever its science: a rule is tested by being registered."""

import copy
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import (
    Credited,
    PlasticUnits,
    attach,
    credited,
    masked,
    plastic_connections,
    plastic_modules,
    rewire,
)
from hebbevo.nn.wiring import set_attached
from hebbevo.rules import CREDIT, UNITS
from hebbevo.training.stack import SingleNet, VmapStack
from tests.rules.conftest import CPU, RuleTraining

FEATURES, CLASSES, TOTAL = 11, 4, 12
RULES = [name for name in CREDIT if name != "backprop"]


@pytest.fixture(params=RULES)
def name(request):
    return request.param


def under(name, layer, number, seed=0):
    """A layer under a rule; the last one learns the task where the rule updates weights by itself."""
    if name is None or (number == 2 and CREDIT[name].updates):
        return layer
    return credited(name, layer, seed=10 * seed + number)


def dense(name, seed=0, connections="full", units=None):
    torch.manual_seed(seed)
    hidden = under(name, nn.Linear(8, 6), 1, seed)
    return nn.Sequential(
        under(name, nn.Linear(FEATURES, 8), 0, seed),
        units or nn.ReLU(),
        masked(connections, hidden, seed=seed),
        nn.ReLU(),
        under(name, nn.Linear(6, CLASSES), 2, seed),
    )


def convolutional(name, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.ConstantPad1d((0, 5), 0.5),
        nn.Unflatten(1, (1, 4, 4)),
        under(name, nn.Conv2d(1, 4, 3, padding=1, stride=2), 0, seed),
        nn.ReLU(),
        under(name, nn.Conv2d(4, 6, 2, groups=2), 1, seed),
        nn.ReLU(),
        nn.Flatten(),
        under(name, nn.Linear(6, CLASSES), 2, seed),
    )


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, FEATURES, generator=generator, dtype=dtype)
    return x, torch.randint(CLASSES, (16,), generator=generator)


def trained(net, steps=4, start=0, total=TOTAL, attached=True, optimizer=None):
    """An ordinary PyTorch training."""
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    if attached:
        attach(net, optimizer, total_steps=total)
    for step in range(start, start + steps):
        x, y = batch(step, next(net.parameters()).dtype)
        optimizer.zero_grad()
        F.cross_entropy(net.train()(x), y).backward()
        optimizer.step()
    return net


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


# the ways in which networks are trained


@pytest.mark.parametrize(
    "build",
    [dense, lambda *of: dense(*of, connections="set"), convolutional],
    ids=["dense", "masked", "convolutional"],
)
def test_a_stack_trains_the_nets_that_train_alone(name, build):
    seeds = (1, 2, 3)
    alone, stacked = ([build(name, seed).double() for seed in seeds] for _ in range(2))
    for module in (each for net in (*alone, *stacked) for each in plastic_modules(net).values()):
        module.begin(TOTAL)
    stack = VmapStack(stacked, CPU)
    stacks = [stack, *(SingleNet(net, CPU) for net in alone)]
    for each in stacks:
        set_attached(each.module)
    before = {key: value.clone() for key, value in stack.state.items()}
    for step in range(4):
        x, y = batch(step, torch.float64)
        for nets in stacks:
            _, gradients = nets.losses(F.cross_entropy, x, y)
            with torch.no_grad():
                for weight, gradient in zip(nets.trained.values(), gradients, strict=True):
                    weight.sub_(0.05 * gradient)
    for row, net in enumerate(alone):
        for key, value in net.state_dict().items():
            torch.testing.assert_close(stack.state[key][row], value, rtol=1e-9, atol=1e-9, msg=key)
    weights = [key for key in before if key.endswith(".weight")]
    assert all(not torch.equal(stack.state[key], before[key]) for key in weights)


# magnitude would not do for units: normalised weights have the norm 1, and rounding would decide
@pytest.mark.parametrize(
    ("family", "units", "connections"),
    [("mlp", "dense", "full"), ("mlp", "usage", "set"), ("conv", "usage", "full")],
)
def test_a_family_is_trained_alike_alone_and_in_a_cohort(name, family, units, connections):
    training = RuleTraining(units, connections, family, credit=name, epochs=2)
    cohorts = {how: training.cohort(how) for how in ("alone", "stack")}
    for cohort in cohorts.values():
        for _ in range(training.epochs):
            cohort.train_epoch()
    states = {how: {key: value[0] for key, value in cohort.state.items()} for how, cohort in cohorts.items()}
    torch.testing.assert_close(states["alone"], states["stack"], rtol=1e-8, atol=1e-8)
    assert all(value.isfinite().all() for value in states["stack"].values() if value.is_floating_point())
    survivors = [cohort.measurements()[0].survivors for cohort in cohorts.values()]
    assert survivors[0] == survivors[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, where it starts its compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # likewise, where code is not compiled
@pytest.mark.parametrize("build", [dense, convolutional])
def test_a_compiled_net_is_trained_like_the_net_itself(name, build):
    torch._dynamo.reset()
    plain, compiled = build(name).double(), build(name).double()
    trained(plain, 2)
    optimizer = torch.optim.SGD(compiled.parameters(), lr=0.05, momentum=0.9)
    attach(compiled, optimizer, total_steps=TOTAL)
    trained(torch.compile(compiled, backend="aot_eager"), 2, attached=False, optimizer=optimizer)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value, rtol=1e-9, atol=1e-9, msg=key)


def test_mixed_precision_trains(name):
    net = dense(name)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    attach(net, optimizer, total_steps=TOTAL)
    before = net[0].weight.detach().clone()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(net(batch(0)[0]).float(), batch(0)[1])
    loss.backward()
    optimizer.step()
    assert not torch.equal(net[0].weight, before)
    assert all(value.isfinite().all() for value in net.state_dict().values())


def test_a_copy_and_a_saved_state_continue_the_training(name):
    net = trained(dense(name, connections="set"), 3)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), dense(name, 5, connections="set")]
    copies[2].load_state_dict(net.state_dict())
    finals = [
        trained(each, 3, start=3, optimizer=torch.optim.SGD(each.parameters(), lr=0.05))
        for each in (net, *copies)
    ]
    for each in finals[1:]:
        assert same(each.state_dict(), finals[0].state_dict())


# a layer with the error of the outputs that is called by itself is refused in any case
@pytest.mark.parametrize("name", [name for name in RULES if not CREDIT[name].is_direct])
def test_gradient_checkpointing_is_refused(name):
    net = trained(dense(name), 1)
    x, _ = batch(0)
    h = torch.utils.checkpoint.checkpoint(net[0], x.requires_grad_(), use_reentrant=False)
    with pytest.raises(UsageError, match="checkpointing"):
        h.sum().backward()


@pytest.mark.parametrize("build", [dense, convolutional])
def test_a_minibatch_without_rows_teaches_nothing(name, build):
    net = trained(build(name), 1)
    before = copy.deepcopy(net.state_dict())
    assert net.train()(batch(0)[0][:0]).shape == (0, CLASSES)
    assert same(net.state_dict(), before)


# random numbers


def test_a_seed_decides_all_that_is_drawn(name):
    nets = [trained(dense(name, seed=3)) for _ in range(2)]
    assert same(nets[0].state_dict(), nets[1].state_dict())


def test_no_generator_of_pytorch_is_drawn_from(name):
    torch.manual_seed(0)
    first, last = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)
    state = torch.random.get_rng_state()
    net = trained(nn.Sequential(under(name, first, 0), under(name, last, 2)))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(net[0], nn.Linear)


# what is left of it


@pytest.mark.parametrize("build", [dense, convolutional])
def test_evaluation_is_that_of_the_plain_net_and_changes_nothing(name, build):
    net, plain = trained(build(name)), build(None)
    state = {key: value for key, value in net.state_dict().items() if ".credit." not in key}
    plain.load_state_dict(state)
    before = copy.deepcopy(net.state_dict())
    x, _ = batch(9)
    assert torch.equal(net.eval()(x), plain.eval()(x))
    assert same(before, net.state_dict())


@pytest.mark.parametrize("build", [dense, convolutional])
def test_a_net_is_counted_like_the_plain_net(name, build):
    ours, theirs = (hebbevo.count(each, batch(0)[0]) for each in (trained(build(name)), build(None)))
    numbers = [column for column in ours.columns if column != "kind"]
    assert ours[numbers].to_dict("index") == theirs[numbers].to_dict("index")
    assert ours.attrs["notes"] == []


def test_a_compact_net_has_modules_of_pytorch_alone(name):
    units = PlasticUnits(UNITS["magnitude"], 8, seed=1, target=4, events=2, warmup=1)
    net = trained(dense(name, connections="set", units=units), TOTAL)
    x, _ = batch(9)
    small = hebbevo.compact(net, x)
    torch.testing.assert_close(small(x), net.eval()(x))
    assert all(type(each).__module__.startswith("torch.") for each in small.modules())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in small.modules())
    assert not any("credit" in key for key in small.state_dict())


def on_paths(weights):
    """By brute force, from layer to layer: which weights lie on a path from an input to an output."""
    links = [weight != 0 for weight in weights]
    reached, needed = [np.ones(links[0].shape[1], bool)], [np.ones(links[-1].shape[0], bool)]
    for link in links:
        reached.append((link & reached[-1]).any(1))
    for link in reversed(links):
        needed.insert(0, (link & needed[0][:, None]).any(0))
    return [
        link & (reached[place] & needed[place]) & (reached[place + 1] & needed[place + 1])[:, None]
        for place, link in enumerate(links)
    ]


def test_an_exported_net_has_what_lies_on_a_path_and_nothing_else(name, tmp_path):
    units = PlasticUnits(UNITS["magnitude"], 8, seed=1, target=4, events=2, warmup=1)
    net = trained(dense(name, connections="static", units=units), TOTAL)
    layers = [net[0].weight, net[2].weights()["weight"], net[4].weight]
    lies = on_paths([weight.detach().numpy() for weight in layers])
    assert not all(links.all() for links in lies)
    hebbevo.export(net, tmp_path / "net.safetensors", batch(9)[0])
    stored = load_file(tmp_path / "net.safetensors")
    left = [value.numpy() for key, value in stored.items() if key.endswith("weight")]
    units_of = [int(links.any(1).sum()) for links in lies[:-1]]
    assert [len(weight) for weight in left[:-1]] == units_of
    assert sum(int((weight != 0).sum()) for weight in left) == sum(int(links.sum()) for links in lies)
    counted = hebbevo.count(net, batch(9)[0]).loc["total"]
    assert counted["neurons_alive"] == sum(units_of)
    assert counted["connections_alive"] == sum(int(links.sum()) for links in lies)


# beside other rules


def test_pruned_units_have_no_weights_under_any_rule(name):
    units = PlasticUnits(UNITS["magnitude"], 8, seed=1, target=3, events=3, warmup=1)
    net = dense(name, units=units)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    trained(net, TOTAL, optimizer=optimizer)
    dead = ~units.alive
    assert dead.sum() == 5
    for layer, weights in ((net[0], dead), (net[2], (slice(None), dead))):
        assert not layer.weight[weights].any()
        backward = layer.backward_weight()
        assert backward is None or not backward[weights].any()
    assert hebbevo.count(net).loc["0", "neurons_alive"] <= 3


@pytest.mark.parametrize("connections", ["set", "static"])
def test_a_connection_that_is_out_has_no_backward_weight(name, connections):
    net = rewire(dense(name), connections, seed=1)
    for mask in plastic_connections(net).values():
        mask.connections[0].connected[:, ::2] = False
    trained(net, 2)
    masks = {each.module: each.masks()["weight"] for each in plastic_connections(net).values()}
    layers = {layer: mask for layer, mask in masks.items() if isinstance(layer, Credited)}
    assert layers
    for layer, mask in layers.items():
        backward = layer.backward_weight()
        assert not mask.all()
        assert backward is None or not backward[~mask].any()
