"""Running a network without side effects: afterwards it is exactly as it was.

A forward pass may do anything: update running statistics, append to lists, draw random numbers, even change
weights. `without_side_effects` lets it, on copies of parameters and buffers, and restores the rest.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.nn.forward_pass.following import NotFollowed


@contextmanager
def without_side_effects(net: nn.Module, *, keep_requires_grad: bool = False) -> Iterator[dict[int, Tensor]]:
    """Let ``net`` run in evaluation mode on copies of its tensors, and restore it afterwards.

    Restored are attributes, lists, dictionaries and sets of its modules, and the states of the random number
    generators. Compiled modules run as they are written.

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
    snapshot = _Snapshot.of(net)
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
    """All tensors that modules of ``net`` hold: parameters, buffers, and those in any other attribute."""
    stores = [each for module in net.modules() for each in (module._parameters, module._buffers)]
    own = [tensor for store in stores for tensor in store.values() if tensor is not None]
    return [*own, *(value for value in _reachable(net) if isinstance(value, Tensor))]


def _eagerly(net: nn.Module) -> AbstractContextManager[Any]:
    """Run modules that `torch.compile` has wrapped as they are written."""
    # only where there are any: importing the compiler takes seconds
    wrapped = any(hasattr(module, "_orig_mod") for module in net.modules())
    stance: AbstractContextManager[Any] = (
        torch.compiler.set_stance("force_eager") if wrapped else nullcontext()
    )
    return stance


@dataclass
class _Snapshot:
    """What a network holds beside its parameters and buffers, as it was.

    Attributes:
        containers: attributes of every module, and lists, dictionaries and sets in them, with their contents.
        tensors: plain attributes, with copies and whether they required gradients.
    """

    containers: list[tuple[Any, Any]] = field(default_factory=list)
    tensors: list[tuple[Tensor, Tensor, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, net: nn.Module) -> _Snapshot:
        snapshot = cls()
        for value in _reachable(net):
            if isinstance(value, Tensor):
                # others cannot be changed in place, or not be restored by a copy
                if value.layout is torch.strided and not value.is_inference():
                    snapshot.tensors.append((value, value.detach().clone(), value.requires_grad))
            else:
                contents = dict(value) if isinstance(value, dict) else list(value)
                snapshot.containers.append((value, contents))
        return snapshot

    def restore(self) -> None:
        for value, before in self.containers:
            if isinstance(value, dict):
                # by identity: tensors do not compare as one truth value
                if [*map(id, value.values())] != [*map(id, before.values())] or [*value] != [*before]:
                    value.clear()
                    value.update(before)
            elif [*map(id, value)] != [*map(id, before)]:
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(before)
        for tensor, copy, requires_grad in self.tensors:
            if not torch.equal(tensor, copy):
                with torch.no_grad():
                    tensor.copy_(copy)
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


_CONTAINERS = (dict, list, set, deque)


def _reachable(net: nn.Module) -> list[Any]:
    """Containers and tensors that modules of ``net`` hold, without parameters and buffers."""
    found: dict[int, Any] = {}
    modules = {id(module): module for module in net.modules()}
    # a store is restored as a container, but its tensors were replaced by copies and need no copy here
    stores = {id(store) for module in modules.values() for store in (module._parameters, module._buffers)}
    to_visit: list[Any] = [vars(module) for module in modules.values()]
    while to_visit:
        value = to_visit.pop()
        if isinstance(value, nn.Module):
            value = vars(value)
        if id(value) in found or not isinstance(value, (*_CONTAINERS, tuple, Tensor)):
            continue
        found[id(value)] = value
        if id(value) in stores or isinstance(value, Tensor):
            continue
        to_visit += value.values() if isinstance(value, dict) else value
    return [value for value in found.values() if not isinstance(value, tuple)]
