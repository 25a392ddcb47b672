"""Sparse layers have the outputs of dense ones with zeros in them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hebbevo.deploy.sparse import DENSEST, SMALLEST, with_sparse_layers

LOAD = """
import sys, torch
sys.modules["hebbevo"] = None  # so that importing it fails
net, x, y = torch.load(sys.argv[1], weights_only=False)
torch.testing.assert_close(net(x), y)
"""


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


def test_a_process_that_cannot_import_hebbevo_loads_it(tmp_path: Path):
    net, x = nn.Sequential(layer(500, 300, 0.01), nn.ReLU()), torch.randn(5, 500)
    torch.save((with_sparse_layers(net), x, net(x)), tmp_path / "net.pt")
    subprocess.run([sys.executable, "-W", "ignore", "-c", LOAD, tmp_path / "net.pt"], check=True)
