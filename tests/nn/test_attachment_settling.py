"""The settling phase of an attached training: learning rates fall to zero and nothing changes."""

import inspect
from itertools import pairwise

import pytest
import torch
from torch import nn

from hebbevo.nn import Stamina, attach
from tests.nn.conftest import CALM, EAGER, SETTLING, STILL, rates_used


@pytest.mark.parametrize("lr", [0.001, torch.tensor(0.001)], ids=["number", "tensor"])
def test_settling_brings_the_learning_rate_to_zero_and_restores_it_after_each_step(lr, training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=lr)
    assert rates_used(one, 10) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)
    assert float(one.optimizer.param_groups[0]["lr"]) == pytest.approx(0.001)


def test_a_training_that_goes_on_after_the_settling_phase_is_warned_once_and_stays_at_rate_zero(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 10)
    with pytest.warns(UserWarning) as caught:
        assert rates_used(one, 3) == [0, 0, 0]
    (warning,) = caught
    assert warning.filename == inspect.getfile(rates_used)  # where the step of the optimiser is called
    assert str(warning.message) == (
        "attach: total_steps=10 is over and the learning rate is zero from now on; "
        "give the steps of the whole training"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.001


def test_settling_multiplies_the_rate_of_a_scheduler(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(one.optimizer, gamma=0.9)
    rates = []
    for _ in range(10):
        rates += rates_used(one, 1)
        scheduler.step()
    assert rates == pytest.approx([0.001 * f * 0.9**i for i, f in enumerate(SETTLING)], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.9**10)


def test_a_resumed_training_settles_where_it_was(training):
    first = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(first, 7)
    second = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    second.net.load_state_dict(first.net.state_dict())
    assert rates_used(second, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def rates_with_closures(one, how):
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
def test_with_a_closure_settling_lowers_the_rate_of_the_same_steps_as_without(how, training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    assert rates_with_closures(one, how) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_where_a_closure_raises_the_learning_rate_is_restored_at_once(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 7)

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.optimizer.step(closure)
    assert one.optimizer.param_groups[0]["lr"] == 0.001
    assert "full_lr" not in one.optimizer.param_groups[0]
    assert rates_used(one, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def test_where_a_step_fails_without_a_closure_the_next_ones_have_their_learning_rates(training):
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


def test_two_models_of_one_optimizer_settle_and_the_learning_rate_is_restored():
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
def test_no_unit_is_pruned_or_regrown_in_the_settling_phase(settle, training):
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
