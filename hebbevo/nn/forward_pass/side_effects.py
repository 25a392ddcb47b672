"""Running a network without side effects: afterwards it is exactly as it was.

A forward pass may do anything: update running statistics, append to lists, draw random numbers, even change
weights. `without_side_effects` lets it, on copies of parameters and buffers, and restores the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.exclusive import PROCESS
from hebbevo.nn.forward_pass.following import NotFollowed
from hebbevo.nn.forward_pass.snapshot import FUNCTIONS, Snapshot, reachable


@contextmanager
def without_side_effects(net: nn.Module, *, keep_requires_grad: bool = False) -> Iterator[dict[int, Tensor]]:
    """Let ``net`` run in evaluation mode on copies of its tensors, and restore it afterwards.

    Restored are the attributes of modules, of objects and of classes that the user wrote, and the variables
    that forward and hooks use. Containers, tensors, arrays and generators in them are restored too, and so
    are the global random number generators. Iterators, files and objects of libraries are not. Compiled
    modules run as they are written.

    Args:
        net: any module.
        keep_requires_grad: whether copies of trained parameters require gradients; otherwise none do.

    Yields:
        The copies, by the identity of the originals.

    Raises:
        NotFollowed: part of the network is TorchScript, which is not Python.

    >>> net = nn.BatchNorm1d(2)
    >>> with without_side_effects(net):
    ...     _ = net.running_mean.add_(1)
    >>> net.running_mean.tolist()
    [0.0, 0.0]
    """
    for name, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise NotFollowed(f"the TorchScript in {name or type(net).__name__} cannot be looked into")
    with PROCESS:
        snapshot = Snapshot(net)
        copies: dict[int, Tensor] = {}
        devices = set()
        random_states = random.getstate(), np.random.get_state()
        try:
            for module in net.modules():
                stores: list[dict[str, Any]] = [module._parameters, module._buffers]
                for store in stores:
                    for name, tensor in store.items():
                        if tensor is not None:
                            # one copy of each tensor, so that shared weights stay shared
                            if id(tensor) not in copies:
                                copy = tensor.detach().clone()
                                copies[id(tensor)] = copy.requires_grad_(
                                    keep_requires_grad and tensor.requires_grad
                                )
                            store[name] = copies[id(tensor)]
                            devices |= {tensor.device} if tensor.is_cuda else set()
                # by hand: a module may override `train` to change its weights
                module.training = False
                module._compiled_call_impl = None
            with torch.random.fork_rng(devices=devices), _eagerly(net):
                yield copies
        finally:
            snapshot.restore()
            random.setstate(random_states[0])
            np.random.set_state(random_states[1])


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch gradients on, and autocast and inference mode off, whatever the caller has set."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


def tensors_held_by(net: nn.Module) -> list[Tensor]:
    """All tensors that modules of ``net`` hold: parameters, buffers, and those in any other attribute.

    Those that a hook keeps in a variable, often only to be logged, are not among them.
    """
    stores = [each for module in net.modules() for each in (module._parameters, module._buffers)]
    own = [tensor for store in stores for tensor in store.values() if tensor is not None]
    return [*own, *(each for each in reachable(net, without=FUNCTIONS) if isinstance(each, Tensor))]


def _eagerly(net: nn.Module) -> AbstractContextManager[Any]:
    """Run modules that `torch.compile` has wrapped as they are written."""
    # only where there are any: importing the compiler takes seconds
    wrapped = any(hasattr(module, "_orig_mod") for module in net.modules())
    stance: AbstractContextManager[Any] = (
        torch.compiler.set_stance("force_eager") if wrapped else nullcontext()
    )
    return stance
