"""The weights of a network as bytes: tensors as safetensors, a format without code, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import chain

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

_HEADER = 1024  # bytes, at most, for the name, the type and the shape of a tensor


def packed(state: Mapping[str, Tensor]) -> bytes:
    """Pack parameters and buffers; zeros, which dead units leave, take next to no room.

    Args:
        state: the tensors by dotted name.

    Raises:
        SafetensorError: the format has no such type of numbers.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    try:
        return zlib.compress(safetensors.torch.save(plain))
    except (KeyError, ValueError) as error:
        raise SafetensorError(str(error)) from error


@torch.no_grad()
def unpack(data: bytes, net: nn.Module) -> None:
    """Put packed parameters and buffers into a network of the same structure.

    Args:
        data: as `packed` gives them.
        net: gets them in place.

    Raises:
        ValueError: they are not those of such a network.
    """
    own = dict(chain(net.named_parameters(), net.named_buffers()))
    most = sum(tensor.nbytes + len(name) + _HEADER for name, tensor in own.items()) + _HEADER
    try:
        decompressor = zlib.decompressobj()
        plain = decompressor.decompress(data, most)
        if not decompressor.eof:  # made to fill the memory, perhaps
            raise ValueError("they are larger than such a network")
        found = safetensors.torch.load(plain)
    except (zlib.error, SafetensorError) as error:
        raise ValueError(f"they cannot be read: {error}") from error
    if found.keys() != own.keys():
        raise ValueError(f"they are of other layers: {', '.join(sorted(found.keys() ^ own.keys())[:3])}")
    for name, tensor in own.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{name} has another shape or type")
    for name, tensor in own.items():
        tensor.copy_(found[name])
