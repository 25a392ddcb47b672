"""The same random numbers in every run, and one thread: these nets are too small for more."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import attach


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def complaint():
    """Call what must refuse to work, and give the one line in which it says why."""

    def call(function, *args, **kwargs):
        with pytest.raises(UsageError) as caught:
            function(*args, **kwargs)
        (line,) = str(caught.value).splitlines()
        return line

    return call


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


@pytest.fixture
def training():
    """Put units between 4 inputs and 3 outputs, always with the same initial weights, and attach them."""

    def start(units, total_steps=0, *, optimizer, **settings):
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(4, units.num_neurons), units, nn.Linear(units.num_neurons, 3))
        return Training(net, total_steps, optimizer=optimizer, **settings)

    return start
