"""Which nets have the same structure, so that they may be stacked."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.training.structure import difference, structure
from tests.training.conftest import Counting


def changed(change):
    net = Counting()
    change(net)
    return net


def tabled(table):
    net = Counting()
    net.table = table
    return net


STRUCTURES = {
    "width": Counting(width=5),
    "attribute of a submodule": Counting(slope=0.2),
    "attribute of the net": Counting(scale=2.0),
    "class of a submodule": changed(lambda net: setattr(net, "activation", nn.ReLU())),
    "one layer more": changed(lambda net: setattr(net, "more", nn.Identity())),
    "no bias": changed(lambda net: setattr(net.layer, "bias", None)),
    "kind of number": changed(lambda net: net.double()),
    "buffer": changed(lambda net: net.register_buffer("more", torch.zeros(1))),
    "table in place of a buffer": tabled(torch.zeros(2000)),
    "kind of numbers in a table": tabled(torch.zeros(2000, dtype=torch.float64)),
    "table in a list": tabled([torch.zeros(2000)]),
    "private attribute": changed(lambda net: setattr(net, "_scale", 2.0)),
    "function": changed(lambda net: setattr(net, "function", torch.tanh)),
    "other function": changed(lambda net: setattr(net, "function", torch.relu)),
    "hook": changed(lambda net: net.register_forward_hook(print)),
    "hook before": changed(lambda net: net.register_forward_pre_hook(print)),
    "fixed": changed(lambda net: net.layer.requires_grad_(False)),
    "a second name": changed(lambda net: setattr(net, "second", net.activation)),
    "a second name of another": changed(lambda net: setattr(net, "second", net.layer)),
    "sparse table": tabled(torch.zeros(2000).to_sparse()),
    "complex table": tabled(torch.zeros(2000) + 0j),
    "other complex table": tabled(torch.zeros(2000) + 1j),
    "other table": tabled(torch.zeros(2000).index_fill(0, torch.tensor(1000), 1e-6)),
}


@pytest.mark.parametrize("what", STRUCTURES)
def test_nets_that_differ_in_more_than_tensor_values_have_another_structure(what):
    others = [net for name, net in STRUCTURES.items() if name != what] + [Counting()]
    assert all(structure(STRUCTURES[what]) != structure(other) for other in others)
    assert structure(copy.deepcopy(STRUCTURES[what])) == structure(STRUCTURES[what])


def test_nets_that_differ_in_tensor_values_and_mode_have_the_same_structure():
    assert structure(Counting(seed=3).eval()) == structure(Counting(seed=4))
    assert hash(structure(Counting(seed=3))) == hash(structure(Counting(seed=4)))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda net: None, ""),
        (lambda net: setattr(net, "scale", 2.0), "scale"),
        (lambda net: setattr(net, "activation", nn.LeakyReLU(0.2)), "activation.negative_slope"),
        (lambda net: setattr(net, "activation", nn.ReLU()), "activation"),
        (lambda net: setattr(net, "layer", nn.Linear(4, 3, bias=False)), "layer.bias"),
        (lambda net: setattr(net.layer, "weight", nn.Parameter(torch.zeros(5, 4))), "layer.weight"),
        (lambda net: net.activation.register_forward_hook(print), "activation._forward_hooks"),
        (lambda net: setattr(net, "more", nn.Identity()), "more"),
        (lambda net: setattr(net, "second", net.activation), "activation"),
        (lambda net: setattr(net, "second", net.layer), "layer"),
    ],
)
def test_a_difference_is_named_by_its_place(change, where):
    net = Counting(seed=3)
    change(net)
    assert difference(net, Counting()) == where
