"""The same random numbers in every run, one thread, and small trainings with plastic units."""

import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import HebbMask, Stamina, attach

NEVER = -1e9  # a threshold that no score falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)  # an event at every step, but no unit is exhausted by itself
LIVELY = EAGER | dict(
    regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5, rebirth="old"
)
SGD = dict(optimizer=torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = dict(optimizer=torch.optim.Adam, lr=0.01, amsgrad=True)
STILL = dict(optimizer=torch.optim.SGD, lr=0.0)

FOLDED = "handover needs a layer that reads the units directly and has a bias, and none is found"
FRESH = (
    "rebirth=fresh needs layers that read these units by weights which nothing else uses, and none is found"
)


class Sign(torch.autograd.Function):
    """The sign, whose gradient passes unchanged: a function of the user that PyTorch cannot look into."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """These nets are too small for more threads."""


@pytest.fixture
def complaint():
    """Call a function that must raise a `UsageError`, and return the one line of its message."""

    def call(function, *args, **kwargs):
        with pytest.raises(UsageError) as caught:
            function(*args, **kwargs)
        (line,) = str(caught.value).splitlines()
        return line

    return call


def pruned(units):
    """The numbers of the units that are pruned at present."""
    return torch.nonzero(~units.alive).flatten().tolist()


def exhaust(units, *numbers):
    """Give these stamina units a score with which they are pruned at the next event."""
    units.gain[list(numbers)] = -2e9
    units.reference.fill_(1.0)


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

    def exhaust(self, *numbers):
        exhaust(self.units, *numbers)

    def pruned(self):
        return pruned(self.units)


@pytest.fixture
def training():
    """Put units between 4 inputs and 3 outputs, always with the same initial weights, and attach them."""

    def start(units, total_steps=0, *, optimizer, **settings):
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(4, units.num_neurons), units, nn.Linear(units.num_neurons, 3))
        return Training(net, total_steps, optimizer=optimizer, **settings)

    return start


# learning rates of ten steps, half of which are in the settling phase
SETTLING = [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]


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


class Beside(nn.Module):
    """Linear layers on both sides of 6 units, of which one may also be called somewhere else."""

    def __init__(self, producer, consumer, shared, knobs):
        super().__init__()
        self.producer, self.units, self.consumer = producer, Stamina(6, **CALM | knobs), consumer
        self.shared = shared

    def forward(self, x):
        y = self.consumer(self.units(self.producer(x)))
        if self.shared == "consumer":
            y = y + self.consumer(x)
        return y + self.producer(x) if self.shared == "producer" else y


def beside(producer="", consumer="", **knobs):
    """A net whose producer or consumer is ``"frozen"``, ``"masked"`` or ``"shared"``."""

    def layer(kind):
        layer = nn.Linear(6, 6).requires_grad_(kind != "frozen")
        return HebbMask(layer, ["weight"]) if kind == "masked" else layer

    shared = "producer" if producer == "shared" else "consumer" if consumer == "shared" else ""
    return Beside(layer(producer), layer(consumer), shared, knobs)


class Mean(nn.Module):
    """The mean over the positions of feature maps."""

    def forward(self, x):
        return x.mean((2, 3))


class TwoHeads(nn.Module):
    """Two layers that read the same 6 channels."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(6, 3, 2), nn.Linear(6, 3)

    def forward(self, h):
        return self.one(h).mean((2, 3)) + self.other(h.mean((2, 3)))
