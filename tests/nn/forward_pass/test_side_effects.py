"""A network is left as it was, whatever its forward does."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.nn import Stamina
from hebbevo.nn.layer_graph import find_layer_names
from hebbevo.nn.liveness.paths import survivors
from tests.nn.unit_labels.conftest import layer_names


class SideEffects(nn.Module):
    """Its forward changes everything that it can reach."""

    def __init__(self):
        super().__init__()
        self.first, self.units, self.last = nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)
        self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout()
        self.register_buffer("centre", torch.zeros(4))
        self.register_buffer("calls", torch.zeros(1))
        self.memory = torch.zeros(4)
        self.seen, self.by_name, self.nested = [], {"a": 1}, ({"deep": [1, 2]},)
        self.hidden = [nn.Linear(4, 4)]
        self.state = None

    def train(self, mode=True):
        with torch.no_grad():
            self.first.weight.mul_(2)  # as layers do that merge their weights for evaluation
        return super().train(mode)

    def forward(self, x):
        x -= 1
        self.centre = 0.9 * self.centre + x.mean(0)
        self.calls += 1
        self.memory.add_(1)
        self.memory.data[0] = 7
        self.seen.append(x)
        self.by_name["b"] = x
        self.nested[0]["deep"].clear()
        self.hidden[0].last = x
        self.hidden[0].weight.data.zero_()
        self.state, self.units.extra = x, 3
        self.first.weight.data.mul_(3)
        self.first.weight.requires_grad_(False)
        self.late = nn.Linear(2, 2)
        self.first.register_forward_hook(lambda *_: None)
        self.norm.train()
        x = x + torch.rand_like(x) * random.random() * np.random.rand()
        with torch.enable_grad():
            y = self.last(self.drop(self.units(self.norm(self.first(x)))))
            if y.requires_grad:
                torch.autograd.backward(self.last.weight.sum(), inputs=[self.last.weight])
        return y


def everything(net):
    """All attributes, hooks, tensors and containers of a net, with the identities of what it holds."""
    modules = {name: (module, {**vars(module)}) for name, module in net.named_modules()}
    tensors = [*net.parameters(), *net.buffers(), net.memory, *net.hidden[0].parameters()]
    return (
        {name: {key: id(value) for key, value in held.items()} for name, (_, held) in modules.items()},
        {name: [*module._forward_hooks, *module._forward_pre_hooks] for name, (module, _) in modules.items()},
        [(id(each), each.tolist(), each.requires_grad, each.grad) for each in tensors],
        ([*net.seen], {**net.by_name}, net.nested[0]["deep"][:], [*vars(net.hidden[0])]),
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: find_layer_names(net),
        lambda net, x: find_layer_names(net, x),
        lambda net, x: survivors(net, x),
    ],
    ids=["layer graph", "with example", "survivors"],
)
def test_a_model_is_left_as_it_was(run):
    net, x = SideEffects(), torch.ones(5, 4)
    net.norm.eval()
    before = everything(net)
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    run(net, x)
    assert (torch.rand(()), random.random(), np.random.rand()) == (
        torch.manual_seed(5) and torch.rand(()),
        random.seed(5) or random.random(),
        np.random.seed(5) or np.random.rand(),
    )
    assert everything(net) == before
    assert torch.equal(x, torch.ones(5, 4))


def test_a_model_that_fails_is_left_as_it_was(complaint):
    class Failing(SideEffects):
        def forward(self, x):
            super().forward(x)
            if x.sum() > 0:
                raise RuntimeError("too large")

    net = Failing()
    before = everything(net)
    complaint(find_layer_names, net)
    assert everything(net) == before


def test_a_buffer_that_forward_replaces_is_restored():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("centre", torch.zeros(4))
            self.layers = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))

        def forward(self, x):
            self.centre = 0.9 * self.centre + x.mean(0)
            return self.layers(x - self.centre)

    net = Centred()
    centre = net.centre
    assert find_layer_names(net) == {"layers.1": layer_names("layers.0", "layers.2")}
    assert net.centre is centre and centre.tolist() == [0.0] * 4


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_and_modes_set_by_the_caller_make_no_difference(around, dtype):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2)).to(dtype)
    with around():
        assert find_layer_names(net) == {"2": layer_names("0", "3", "1")}
        assert find_layer_names(net, torch.ones(5, 4, dtype=dtype)) == {"2": layer_names("0", "3", "1")}
