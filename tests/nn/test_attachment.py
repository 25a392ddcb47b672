"""Attached trainings: growth, copies, repeated attachment, rare optimiser steps, wrapped models."""

import copy
import pickle
from shutil import which

import pytest
import torch
from torch import nn

from hebbevo.nn import Stamina, attach, masked
from tests.nn.conftest import CALM, EAGER, LIVELY, SETTLING, SGD, STILL, exhaust, pruned, rates_used

# growth


def growing(training, losses, **knobs):
    """Living units after each step of a layer of 8 that starts with a quarter of them."""
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, **CALM | knobs), **STILL)
    alive = []
    for loss in losses:
        one.net(torch.randn(16, 4)).sum().backward()
        one.attachment.observe(loss)
        one.optimizer.step()
        alive.append(int(one.units.alive.sum()))
    return alive


def test_a_layer_grows_after_patience_events_without_a_lower_loss(training):
    assert growing(training, [1.0] * 5, patience=1) == [2, 8, 8, 8, 8]
    assert growing(training, [1.0] * 5, patience=3) == [2, 2, 2, 8, 8]
    assert growing(training, [1.0] * 8, patience=2, prune_period=2) == [2, 2, 2, 2, 2, 8, 8, 8]


def test_a_layer_does_not_grow_while_the_loss_falls(training):
    assert growing(training, [10.0 - step for step in range(8)], patience=1) == [2] * 8
    assert growing(training, [5.0, 5.0, 4.0, 4.0, 3.0, 3.0], patience=2) == [2] * 6


def test_a_loss_may_be_a_number_or_a_tensor_of_any_kind(training):
    losses = [2, torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(2), 2.0]
    assert growing(training, losses, patience=3) == [2, 2, 2, 8]


def test_units_that_join_change_no_output_at_first(training):
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM), **STILL)
    assert one.pruned() == [2, 3, 4, 5, 6, 7]
    one.attachment.observe(1.0)
    x = torch.randn(16, 4)
    one.step(x)
    before = one.net.eval()(x)
    one.net.train()
    one.step(x)
    assert one.pruned() == []
    assert torch.equal(one.net.eval()(x), before)


# copies and detachment


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_an_attached_net_can_be_copied_and_attached_anew(copied, training):
    one = training(Stamina(12, seed=9, **LIVELY | dict(activity="contribution", rebirth="fresh")), **SGD)
    for _ in range(5):
        one.step()
    other = type(one)(copied(one.net), **SGD)
    other.optimizer.load_state_dict(copy.deepcopy(one.optimizer.state_dict()))
    before = one.units.alive.clone()
    for x in torch.randn(10, 16, 4):
        one.step(x)
        other.step(x)
    assert not torch.equal(one.units.alive, before)
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_an_attached_net_works_as_if_never_attached(copied, training, complaint):
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    other = copied(one.net)
    exhaust(other[1], 2)
    masks = []
    for _ in range(2):
        other(torch.randn(16, 4))
        masks.append(pruned(other[1]))
    assert masks == [[2], []]
    refused = copied(training(Stamina(6, rebirth="fresh"), **STILL).net)
    assert complaint(refused, torch.randn(16, 4)) == (
        "Stamina: rebirth=fresh needs more than the module alone; "
        "call hebbevo.nn.attach(model, optimizer, total_steps=N)"
    )


def test_detached_units_keep_their_mask_and_stop_changing(training):
    one = training(Stamina(6, settle=0.9, **EAGER), total_steps=100, **SGD)
    one.units.alive[2] = False
    one.attachment.detach()
    one.exhaust(0, 1, 3)
    one.step()
    assert one.pruned() == [2]
    assert one.optimizer.param_groups[0]["lr"] == 0.1


# attaching again


def trained_after_attaching(training, times):
    """The mask and the learning rate in each of ten steps of a net that is attached ``times`` times."""
    units = Stamina(40, seed=9, settle=0.5, **EAGER | dict(max_deaths=0.05, hebbian_threshold=1.0))
    one = training(units, total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    for _ in range(times - 1):
        one.attachment = attach(one.net, one.optimizer, total_steps=10)
    alive, rates = [], []
    for _ in range(10):
        rates += rates_used(one, 1)
        alive.append(one.units.alive.tolist())
    return alive, rates


def test_attaching_again_prunes_no_more_units_and_lowers_no_learning_rate_twice(training):
    (once, rates), (again, their_rates) = (trained_after_attaching(training, times) for times in (1, 3))
    assert [sum(each) for each in once[:3]] == [38, 37, 36]
    assert again == once
    assert their_rates == rates == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_only_the_last_attachment_acts(training):
    one = training(Stamina(6, **CALM), **STILL)
    attach(one.net, one.optimizer).detach()
    one.exhaust(2)
    one.step()
    assert one.pruned() == []


def test_a_refused_attachment_leaves_the_one_before_in_place(training, complaint):
    one = training(Stamina(6, **CALM), **STILL)
    one.units.configure(settle=0.5)
    complaint(attach, one.net, one.optimizer)
    one.exhaust(2)
    one.step()
    assert one.pruned() == [2]


def test_attaching_a_second_model_to_an_optimizer_leaves_the_first_attached(training):
    one = training(Stamina(6, **CALM), **STILL)
    other = nn.Sequential(nn.Linear(4, 6), Stamina(6, **CALM), nn.Linear(6, 3))
    one.optimizer.add_param_group(dict(params=list(other.parameters())))
    attach(other, one.optimizer)
    one.exhaust(2)
    one.step()
    assert one.pruned() == [2]


def test_a_second_training_may_go_on_where_the_first_has_ended(training, complaint):
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


# steps of the optimiser that are rarer than those of the model


def test_an_event_between_two_steps_of_the_optimizer_comes_with_the_next_step(training):
    one = training(Stamina(6, **CALM | dict(prune_period=3)), **STILL)
    masks = []
    for batches in (1, 3, 1, 3):  # gradients are accumulated
        one.exhaust(len(masks))
        for _ in range(batches):
            one.net(torch.randn(16, 4)).sum().backward()
        one.optimizer.step()
        masks.append(one.pruned())
    # steps 1, 2-4, 5 and 6-8
    assert masks == [[], [0, 1], [0, 1], [0, 1, 2, 3]]


def test_a_step_that_a_scaler_skips_delays_the_event_and_does_not_drop_it(training):
    one = training(Stamina(6, **CALM | dict(prune_period=2)), **STILL)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    masks = []
    for step, spoiled in enumerate([False, True, False], start=1):
        if step == 2:
            one.exhaust(2)
        loss = one.net(torch.randn(16, 4)).sum()
        scaler.scale(loss * (torch.inf if spoiled else 1)).backward()
        scaler.step(one.optimizer)
        scaler.update()
        one.optimizer.zero_grad()
        masks.append(one.pruned())
    assert masks == [[], [], [2]]


def test_a_second_step_of_the_optimizer_after_the_same_forward_step_is_no_second_event(training):
    one = training(Stamina(6, **CALM | dict(max_deaths=0.2)), **STILL)
    one.exhaust(2, 3)
    one.step()
    one.optimizer.step()
    assert one.units.alive.sum() == 5


@pytest.mark.parametrize("trained", [0, 9], ids=["at first", "in the middle"])
def test_after_a_checkpoint_is_loaded_events_come_at_their_own_steps(trained, training):
    one = training(Stamina(6, **CALM | dict(prune_period=5)), **STILL)
    for _ in range(trained):
        one.step()
    one.units.load_state_dict(one.units.state_dict() | {"steps": torch.tensor(7 if trained else 13)})
    one.exhaust(2)
    masks = []
    for _ in range(3):
        one.step()
        masks.append(one.pruned())
    assert masks == ([[], [], [2]] if trained else [[], [2], [2]])  # at steps 10 and 15


class Counted(dict):
    """An optimiser's state that counts how often its items are read."""

    times = 0

    def items(self):
        self.times += 1
        return super().items()


def test_moments_are_collected_only_at_events_and_once_for_all_modules():
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


# models inside a wrapper


class Fabric(nn.Module):
    """The wrapper that Fabric puts around a model."""

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
    attach(wrapped, optimizer)  # replaces the first attachment
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
def test_a_distributed_model_is_refused(within, complaint):
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


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param("inductor", marks=pytest.mark.skipif(not which("g++"), reason="there is no compiler")),
    ],
)
def test_a_compiled_model_is_pruned_and_regrown_like_the_model_itself(backend):
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


def test_moments_are_set_to_zero_under_every_name_of_a_layer():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 4)
            self.masked = masked("magnitude", self.layer, density=0.25, warmup=0, prune_period=1)

        def forward(self, x):
            return self.masked(x)

    net = Twice()
    optimizer = torch.optim.Adam(net.parameters())
    attach(net, optimizer, total_steps=4)
    for _ in range(4):
        optimizer.zero_grad()
        net(torch.randn(8, 5)).square().sum().backward()
        optimizer.step()
    out = ~net.masked.masks()["weight"]
    assert out.sum() == 15
    assert not optimizer.state[net.layer.weight]["exp_avg"][out].any()


# ordinary Python in forward


class Quantising(nn.Module):
    """A net with a running centre, a codebook, a counter and checks of shapes."""

    def __init__(self):
        super().__init__()
        self.first, self.units, self.last = nn.Linear(4, 6), Stamina(6, **CALM), nn.Linear(6, 3)
        self.register_buffer("centre", torch.zeros(4))
        self.register_buffer("codebook", torch.randn(5, 6))
        self.register_buffer("uses", torch.zeros(5))
        self.calls = 0

    def forward(self, x):
        assert len(x) > 0 and x.shape[-1] == 4
        if x.dim() == 3:
            x = x.flatten(1)
        self.calls += 1
        self.centre = 0.9 * self.centre + 0.1 * x.detach().mean(0)
        h = self.units(self.first(x - self.centre))
        nearest = torch.cdist(h, self.codebook).argmin(-1)
        self.uses.index_add_(0, nearest, torch.ones(len(x)))
        self.codebook.index_copy_(0, nearest, h.detach())
        return self.last(h + (self.codebook[nearest] - h).detach())


def test_attach_leaves_buffers_counters_and_codebooks_and_copes_with_ordinary_python():
    net = Quantising()
    before, state = {**net._buffers}, copy.deepcopy(net.state_dict())
    random_state = torch.get_rng_state()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer, example=torch.ones(5, 4))
    assert all(net._buffers[name] is buffer for name, buffer in before.items())
    assert all(torch.equal(each, state[name]) for name, each in net.state_dict().items())
    assert (net.calls, net.training) == (0, True)
    assert torch.equal(torch.get_rng_state(), random_state)
    exhaust(net.units, 2)
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert pruned(net.units) == [2] and net.calls == 1
    assert not net.first.weight.grad.isnan().any() and net.centre.any()
    net.load_state_dict(copy.deepcopy(net).state_dict())
