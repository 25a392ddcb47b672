"""Fitting the whitening in networks to the training rows, before they are trained."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import torch
from torch import Tensor, nn

from hebbevo.nn import Whitening

_MOST_KEPT = 4  # fits of a process: each takes an eigendecomposition, and a matrix of pixels x pixels

_kept: OrderedDict[tuple[str, float], dict[str, Tensor]] = OrderedDict()


def fit_whitening(net: nn.Module, x: Tensor) -> nn.Module:
    """Fit every `hebbevo.nn.Whitening` of a network that takes the rows themselves; returns the network.

    Fits are kept: a search trains many networks on the same rows.

    Args:
        net: a network that is not trained yet.
        x: the training rows, (rows, *shape).
    """
    layers = [each for each in net.modules() if isinstance(each, Whitening) and each.mean.isnan().any()]
    digest = _digest(x) if layers else ""
    for layer in layers:
        key = digest, layer.ridge
        if key not in _kept:
            _kept[key] = Whitening(layer.shape, ridge=layer.ridge).fit(x.cpu()).state_dict()
        _kept.move_to_end(key)
        layer.load_state_dict(_kept[key])
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return net


def _digest(x: Tensor) -> str:
    own = x.detach().cpu().contiguous()
    return hashlib.sha256(own.view(torch.uint8).numpy().data).hexdigest() + str(tuple(x.shape))
