"""Packed weights come back bit for bit, and what is no such network is refused."""

import pickle
import zlib

import pytest
import safetensors.torch
import torch
from torch import nn

from hebbevo.nn import Stamina
from hebbevo.training.weights import packed, unpack


def network(seed: int, width: int = 6) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, width), Stamina(width), nn.BatchNorm1d(width), nn.Linear(width, 3))


def test_all_tensors_come_back_bit_for_bit() -> None:
    first, second = network(0), network(1)
    with torch.no_grad():
        first[0].weight[0] = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])
        first[1].alive[2] = False
        first[2].num_batches_tracked += 7
    unpack(packed(first.state_dict()), second)
    for name, tensor in first.state_dict().items():
        other = second.state_dict()[name]
        assert other.dtype == tensor.dtype
        assert other.numpy().tobytes() == tensor.numpy().tobytes()


def test_dead_units_take_next_to_no_room() -> None:
    wide = network(0, 512)
    whole = len(packed(wide.state_dict()))
    with torch.no_grad():
        for module in (wide[0], wide[2]):
            module.weight[8:] = 0
            module.bias[8:] = 0
        wide[3].weight[:, 8:] = 0
    assert len(packed(wide.state_dict())) < whole / 4


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "larger than|cannot be read"),
        (b"garbage", "cannot be read"),
        (pickle.dumps({"a": 1}), "cannot be read"),
        (zlib.compress(pickle.dumps({"a": 1})), "cannot be read"),
        (zlib.compress(b"\0" * 10_000_000), "larger than such a network"),
        (packed(network(0, 7).state_dict()), "another shape or type"),
        (packed(network(0)[:2].state_dict()), "of other layers: 2.bias, 2.num_batches_tracked"),
        (packed({n: t.double() for n, t in network(0).state_dict().items()}), "another shape or type"),
    ],
)
def test_what_is_no_such_network_is_refused_and_nothing_is_changed(data: bytes, problem: str) -> None:
    net = network(1)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=problem):
        unpack(data, net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_what_is_packed_is_a_file_of_safetensors() -> None:
    state = network(0).state_dict()
    found = safetensors.torch.load(zlib.decompress(packed(state)))
    assert found.keys() == state.keys()
