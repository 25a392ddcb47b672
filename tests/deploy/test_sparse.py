"""Sparse layers have the outputs of dense ones with zeros in them."""

import pytest
import torch
from torch import nn

from hebbevo.deploy.sparse import DENSEST, SMALLEST, with_sparse_layers


def layer(inputs, outputs, part):
    made = nn.Linear(inputs, outputs).requires_grad_(False)
    made.weight.mul_(torch.rand(outputs, inputs) < part)
    return made


@pytest.mark.parametrize("shape", [(1, 500), (7, 500), (3, 4, 500)])
def test_the_outputs_are_those_of_the_dense_layer(shape):
    net, x = nn.Sequential(layer(500, 300, 0.02), nn.ReLU(), layer(300, 10, 0.02)), torch.randn(shape)
    sparse = with_sparse_layers(net)
    assert type(sparse[2]) is nn.Linear  # too small
    assert not isinstance(sparse[0], nn.Linear)
    torch.testing.assert_close(sparse(x), net(x))


def test_dense_and_small_layers_stay_as_they_are():
    net = nn.Sequential(layer(500, 300, 2 * DENSEST), layer(10, SMALLEST // 20, 0.01))
    assert [type(each) for each in with_sparse_layers(net)] == [nn.Linear, nn.Linear]
