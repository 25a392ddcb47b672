"""Linear layers with few connections as sparse matrices, which CPUs multiply faster."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

from hebbevo.nn.cutting.plain_modules import replaced, traced

DENSEST = 0.05
"""The largest part of connections that may be left in a layer, so that it becomes sparse."""
SMALLEST = 100_000
"""The fewest weights, zeros among them, of a layer that becomes sparse. Smaller ones gain nothing."""


def with_sparse_layers(net: nn.Module) -> nn.Module:
    """Replace large linear layers with few connections by sparse ones, in a copy, for a CPU.

    Replaced are plain linear layers of 100,000 weights or more, of which at most one in twenty is not zero.
    Their weights are then a sparse matrix in rows (CSR). The copy needs no hebbevo to be loaded, but it can
    neither be trained nor exported. The outputs are the same but for rounding.

    Args:
        net: as `hebbevo.compact` returns it; left as it was.

    >>> layer = nn.Linear(500, 400).requires_grad_(False)
    >>> layer.weight[:, 5:] = 0
    >>> with_sparse_layers(nn.Sequential(layer, nn.ReLU()))
    Sequential(
      (0): SparseLinear()
      (1): ReLU()
    )
    """
    net = copy.deepcopy(net).eval()
    for layer in [each for each in net.modules() if type(each) is nn.Linear]:
        left = int(layer.weight.count_nonzero())
        if layer.weight.numel() >= SMALLEST and left <= DENSEST * layer.weight.numel():
            net = replaced(net, layer, traced(_SparseLinear(layer), "SparseLinear"))
    return net


class _SparseLinear(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.outputs, self.inputs = layer.weight.shape
        bias = torch.zeros(self.outputs) if layer.bias is None else layer.bias.detach()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sparse matrices in rows may change in PyTorch
            self.register_buffer("weight", layer.weight.detach().to_sparse_csr())
        self.register_buffer("bias", bias.to(layer.weight)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.inputs)
        y = torch.addmm(self.bias, self.weight, rows.t()).t()  # type: ignore[arg-type]
        return y.reshape(x.shape[:-1] + (self.outputs,))  # noqa: RUF005 - a traced shape unpacks to nothing
