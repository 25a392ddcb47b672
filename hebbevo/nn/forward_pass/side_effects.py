"""Running a network without side effects: afterwards it is exactly as it was.

A forward pass may do anything: update running statistics, append to lists, draw random numbers, even change
weights. `without_side_effects` lets it, on copies of parameters and buffers, and restores the rest.
"""

from __future__ import annotations

import random
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.nn.forward_pass.following import NotFollowed


@contextmanager
def without_side_effects(net: nn.Module, *, keep_requires_grad: bool = False) -> Iterator[dict[int, Tensor]]:
    """Let ``net`` run in evaluation mode on copies of its tensors, and restore it afterwards.

    Restored are the attributes of its modules and of objects and classes that the user wrote, with the
    containers, tensors, arrays and generators in them, and the global states of the random number generators.
    Other globals, iterators and files are not. Compiled modules run as they are written.

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
    snapshot = _Snapshot(net)
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


class _Snapshot:
    """What can change of a network beside its parameters and buffers, as it was.

    Args:
        net: the network.
    """

    def __init__(self, net: nn.Module) -> None:
        self._restorers = [restorer for value in _reachable(net) if (restorer := _restorer(value))]

    def restore(self) -> None:
        for restore in self._restorers:
            restore()


_CONTAINERS = (dict, list, set, deque, bytearray)
_WITH_A_STATE = (random.Random, np.random.RandomState, np.random.Generator, torch.Generator)


def _restorer(value: Any) -> Callable[[], object] | None:
    """A function that restores ``value`` in place as it is now; ``None``: nothing of it can change."""
    if isinstance(value, Tensor):
        return _restorer_of_tensor(value)
    if isinstance(value, np.ndarray):
        return partial(np.copyto, value, value.copy()) if value.flags.writeable else None
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        generator = value.bit_generator
        return partial(setattr, generator, "state", generator.state)
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, dict):
        return partial(_restore_dict, value, dict(value))
    if isinstance(value, _CONTAINERS):
        return partial(_restore_items, value, list(value))
    attributes = _attributes(value)
    return partial(_restore_attributes, value, attributes) if attributes or isinstance(value, type) else None


def _restorer_of_tensor(tensor: Tensor) -> Callable[[], None] | None:
    # others cannot be changed in place, or not be restored by a copy
    if tensor.layout is not torch.strided or tensor.is_inference():
        return None
    copy, requires_grad = tensor.detach().clone(), tensor.requires_grad
    grad = tensor.grad if tensor.is_leaf else None
    copy_of_grad = None if grad is None else grad.detach().clone()

    def restore() -> None:
        with torch.no_grad():
            if not torch.equal(tensor, copy):
                tensor.copy_(copy)
            if grad is not None and copy_of_grad is not None and not torch.equal(grad, copy_of_grad):
                grad.copy_(copy_of_grad)
        if tensor.requires_grad != requires_grad:
            tensor.requires_grad_(requires_grad)
        if tensor.is_leaf and tensor.grad is not grad:
            tensor.grad = grad

    return restore


def _restore_dict(value: dict[Any, Any], before: dict[Any, Any]) -> None:
    # by identity: tensors do not compare as one truth value
    if [*map(id, value.values())] != [*map(id, before.values())] or [*value] != [*before]:
        value.clear()
        value.update(before)


def _restore_items(value: Any, before: list[Any]) -> None:
    if [*map(id, value)] != [*map(id, before)]:
        value.clear()
        (value.update if isinstance(value, set) else value.extend)(before)


def _restore_attributes(owner: Any, before: dict[str, Any]) -> None:
    now = _attributes(owner)
    for name in now.keys() - before.keys():
        delattr(owner, name)
    for name, value in before.items():
        if name not in now or now[name] is not value:
            # past a `__setattr__` of the user's own, as that of a frozen dataclass
            (setattr if isinstance(owner, type) else object.__setattr__)(owner, name, value)


def _attributes(owner: Any) -> dict[str, Any]:
    """The attributes of an object in slots, or those of a class that are values."""
    if isinstance(owner, type):
        return {
            name: value
            for name, value in vars(owner).items()
            if not name.startswith("__") and not callable(value) and not hasattr(value, "__get__")
        }
    kind: type = type(owner)
    return {slot: getattr(owner, slot) for slot in _slots(kind) if hasattr(owner, slot)}


@lru_cache(maxsize=1024)
def _slots(kind: type) -> tuple[str, ...]:
    """The names of all slots of a class."""
    found = []
    for each in kind.__mro__:
        slots = vars(each).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{each.__name__.lstrip('_')}{name}"  # as Python itself holds it
            found += [] if name in ("__dict__", "__weakref__") else [name]
    return tuple(found)


def _reachable(net: nn.Module) -> list[Any]:
    """All that modules of ``net`` hold and that can change, without parameters and buffers.

    These are containers, tensors, arrays, generators of random numbers, and the attributes of objects and
    classes that are the user's own. Objects of libraries, such as a trainer, are not looked into.
    """
    found: dict[int, Any] = {}
    modules = {id(module): module for module in net.modules()}
    # a store is restored as a container, but its tensors were replaced by copies and need no copy here
    stores = {id(store) for module in modules.values() for store in (module._parameters, module._buffers)}
    to_visit: list[Any] = [*modules.values()]
    while to_visit:
        value = to_visit.pop()
        if id(value) in found:
            continue
        if isinstance(value, (*_CONTAINERS, tuple, Tensor, np.ndarray, *_WITH_A_STATE)):
            found[id(value)] = value
            if isinstance(value, (Tensor, np.ndarray, bytearray, *_WITH_A_STATE)) or id(value) in stores:
                continue
            to_visit += value.values() if isinstance(value, dict) else value
            continue
        kind: type = value if isinstance(value, type) else type(value)
        if isinstance(value, nn.Module) or kind in _classes_of_user(kind):
            found[id(value)] = value
            to_visit += _attributes(value).values()
            if kind is not value:
                to_visit += [*_classes_of_user(kind), getattr(value, "__dict__", None)]
    return [value for value in found.values() if not isinstance(value, tuple)]


_STANDARD = sysconfig.get_path("stdlib")


@lru_cache(maxsize=1024)
def _classes_of_user(kind: type) -> tuple[type, ...]:
    """A class and those it derives from, as far as the user wrote them."""
    return tuple(each for each in kind.__mro__ if _is_of_user(each))


def _is_of_user(kind: type) -> bool:
    """Whether a class was written by the user, and not for a library."""
    if kind.__module__.partition(".")[0] in (*sys.builtin_module_names, "hebbevo"):
        return False
    # a session in a terminal or in a notebook has no file
    path = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    return not path.startswith(_STANDARD) and not {*Path(path).parts} & {"site-packages", "dist-packages"}
