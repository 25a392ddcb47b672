"""Objects, classes and variables that a forward pass changes are restored."""

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.nn import Stamina
from hebbevo.nn.layer_graph import find_layer_names
from hebbevo.nn.liveness.counting import count
from hebbevo.nn.liveness.paths import survivors
from tests.nn.unit_labels.conftest import layer_names


@dataclass
class Statistics:
    """An object of the user's own."""

    calls: int = 0
    seen: list[int] = field(default_factory=list)
    total: torch.Tensor = field(default_factory=lambda: torch.zeros(2))


class Slots:
    """An object without a dictionary."""

    __slots__ = ("__hidden", "calls")

    def __init__(self):
        self.calls = self.__hidden = 0

    def count(self):
        self.calls += 1
        self.__hidden += 1
        return self.__hidden


class Counting(nn.Module):
    """Its forward counts in every kind of thing that a module may hold."""

    instances, log = 0, []

    def __init__(self):
        super().__init__()
        self.first, self.units, self.last = nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)
        self.statistics, self.slots = Statistics(), Slots()
        self.array, self.bytes = np.zeros(3), bytearray(3)
        self.generators = (
            random.Random(1), np.random.RandomState(1), np.random.default_rng(1), torch.Generator()
        )  # fmt: skip
        self.counter, self.leaf = Counter(), torch.ones(2, requires_grad=True)
        self.leaf.sum().backward()

    def forward(self, x):
        self.statistics.calls += 1
        self.statistics.seen.append(1)
        self.statistics.total.add_(1)
        self.statistics.late = x
        self.slots.count()
        self.array += 1
        self.bytes[0] += 1
        self.counter["calls"] += 1
        type(self).instances += 1
        type(self).late = x
        Counting.log.append(1)
        python, old, new, pytorch = self.generators
        python.random(), old.rand(), new.random(), torch.rand(1, generator=pytorch)
        self.leaf.grad.add_(1)
        return self.last(self.units(self.first(x)))


def counted(net):
    """All that forward of `Counting` changes, as values."""
    python, old, new, pytorch = net.generators
    states = (
        python.getstate(),
        repr(old.get_state()),
        repr(new.bit_generator.state),
        pytorch.get_state().tolist(),
    )
    return repr(
        (
            vars(net.statistics), net.slots.calls, net.slots._Slots__hidden, net.array, net.bytes,
            net.counter, net.instances, net.log, hasattr(net, "late"), states, net.leaf.grad,
        )
    )  # fmt: skip


@pytest.mark.parametrize("run", [find_layer_names, count, lambda net: survivors(net, torch.ones(1, 4))])
def test_objects_classes_arrays_and_generators_of_the_model_are_left_as_they_were(run):
    net = Counting()
    before, grad = counted(net), net.leaf.grad
    run(net)
    assert counted(net) == before and net.leaf.grad is grad
    net(torch.ones(1, 4))
    assert counted(net) != before
    Counting.instances, Counting.log = 0, []
    del Counting.late


CALLS, LOG = 0, []


def helper(x):
    global CALLS, LATE
    CALLS += 1
    LATE = x
    LOG.append(x)
    return x


class Recorder:
    def __init__(self):
        self.seen = []

    def hook(self, module, args, output):
        self.seen.append(output)


class Logging(nn.Module):
    """Its forward and its hooks count in variables outside of the module."""

    def __init__(self):
        super().__init__()
        self.first, self.units, self.last = nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)

    def noted(self, x):
        return next(helper(each) for each in (x,))

    def forward(self, x):
        return self.last(self.units(self.first(self.noted(x))))


@pytest.mark.parametrize("run", [find_layer_names, count, lambda net: survivors(net, torch.ones(1, 4))])
def test_variables_that_forward_and_hooks_use_are_left_as_they_were(run):
    net, recorder, seen, calls = Logging(), Recorder(), [], 0

    def hook(module, args, output):
        nonlocal calls
        calls += 1
        seen.append(output)

    hooks = [
        net.first.register_forward_hook(recorder.hook),
        net.units.register_forward_hook(partial(hook)),
        net.last.register_forward_pre_hook(lambda module, args: seen.append(args)),
    ]
    around = run(net)
    if run is find_layer_names:  # what is logged is not used
        assert around == {"units": layer_names("first", "last")}
    assert (CALLS, LOG, "LATE" in globals(), recorder.seen, seen, calls) == (0, [], False, [], [], 0)
    assert [*net.first._forward_hooks] == [hooks[0].id]
    net(torch.ones(1, 4))
    assert (CALLS, len(LOG), "LATE" in globals(), len(recorder.seen), len(seen), calls) == (
        1,
        1,
        True,
        1,
        2,
        1,
    )
    globals().update(CALLS=0)
    LOG.clear()
    del globals()["LATE"]
