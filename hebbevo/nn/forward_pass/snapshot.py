"""What a network holds beside parameters and buffers, and how it is restored.

A forward pass may count in any Python object that it reaches. `reachable` finds these objects, from the
modules on, and `Snapshot` restores them in place.
"""

from __future__ import annotations

import dis
import inspect
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo import user_modules


class Snapshot:
    """What can change of a network beside its parameters and buffers, as it was.

    Args:
        net: the network.
    """

    def __init__(self, net: nn.Module) -> None:
        self._restorers = [restorer for value in reachable(net) if (restorer := _restorer(value))]

    def restore(self) -> None:
        """Restore it all in place, as far as it has changed."""
        for restore in self._restorers:
            restore()


_CONTAINERS = (dict, list, set, deque, bytearray)
_WITH_A_STATE = (random.Random, np.random.RandomState, np.random.Generator, torch.Generator)
_LEAVES = (Tensor, np.ndarray, bytearray, *_WITH_A_STATE)


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
    if issubclass(type(value), torch.Generator):  # `isinstance` runs Python code of its own
        return partial(value.set_state, value.get_state())
    if isinstance(value, dict):
        return partial(_restore_dict, value, dict(value))
    if isinstance(value, _CONTAINERS):
        return partial(_restore_items, value, list(value))
    if isinstance(value, FunctionType):
        return partial(_restore_variables, value, _variables(value))
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


def _restore_variables(function: FunctionType, before: tuple[dict[str, Any], list[Any]]) -> None:
    of_module, enclosing = before
    for name in _variables(function)[0].keys() - of_module.keys():
        del function.__globals__[name]
    for name, value in of_module.items():
        if function.__globals__.get(name) is not value:
            function.__globals__[name] = value
    for cell, value in zip(function.__closure__ or (), enclosing, strict=True):
        if value is not _EMPTY and _contents(cell) is not value:
            cell.cell_contents = value


def _variables(function: FunctionType) -> tuple[dict[str, Any], list[Any]]:
    """The variables that a function uses: those of its module by name, and those of functions around it."""
    of_module = function.__globals__
    used = {name: of_module[name] for name in _global_names(function.__code__) if name in of_module}
    return used, [*map(_contents, function.__closure__ or ())]


_EMPTY = object()


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it has no value yet
        return _EMPTY


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Code, and that of the functions inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


@lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> frozenset[str]:
    """The names of the variables of its module that code uses."""
    steps = (step for each in _codes(code) for step in dis.get_instructions(each))
    return frozenset(step.argval for step in steps if step.opname.endswith("_GLOBAL"))


@lru_cache(maxsize=1024)
def _functions_of_forward(kind: type) -> tuple[FunctionType, ...]:
    """The forward of a class of modules and the methods that it may call, as far as the user wrote them."""
    methods: dict[str, FunctionType] = {}
    names = {"forward"}
    while names:
        found = {name: inspect.getattr_static(kind, name, None) for name in names}
        new = {name: each for name, each in found.items() if isinstance(each, FunctionType)}
        methods |= new
        used = (code.co_names for each in new.values() for code in _codes(each.__code__))
        names = set().union(*used) - methods.keys()
    return tuple(each for each in methods.values() if _is_of_user(each))


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


FUNCTIONS = (FunctionType, MethodType, partial)
"""Kinds of functions."""


def reachable(net: nn.Module, without: tuple[type, ...] = ()) -> list[Any]:
    """All that modules of ``net`` hold and that can change, without parameters and buffers.

    These are containers, tensors, arrays, generators of random numbers, the attributes of objects and classes
    that are the user's own, and the variables that their forward, hooks and other functions use. Objects of
    libraries, such as a trainer, are not looked into.

    Args:
        net: the network.
        without: kinds of values that are not looked into either.
    """
    # a store is restored as a container, but its tensors were replaced by copies and need no copy here
    stores = {id(store) for module in net.modules() for store in (module._parameters, module._buffers)}
    found: dict[int, Any] = {}
    to_visit: list[Any] = [*net.modules()]
    while to_visit:
        value = to_visit.pop()
        if id(value) in found or isinstance(value, without):
            continue
        if (inside := _inside(value)) is not None:
            found[id(value)] = value
            to_visit += () if id(value) in stores else inside
    return [value for value in found.values() if not isinstance(value, (tuple, MethodType, partial))]


def _inside(value: Any) -> Iterable[Any] | None:
    """What a value holds; ``None`` where it is not looked into and cannot change."""
    # not `isinstance`, which for PyTorch's generators runs Python code of its own at every call
    if issubclass(type(value), _LEAVES):
        return ()
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (*_CONTAINERS, tuple)):
        return value
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, partial):
        return value.func, *value.args, *value.keywords.values()
    if isinstance(value, FunctionType):
        if not _is_of_user(value):
            return None
        of_module, enclosing = _variables(value)
        return *of_module.values(), *enclosing
    kind: type = value if isinstance(value, type) else type(value)
    is_module = isinstance(value, nn.Module)
    if not is_module and kind not in _classes_of_user(kind):
        return None
    held = [*_attributes(value).values()]
    if kind is not value:
        held += [getattr(value, "__dict__", None), *_classes_of_user(kind)]
    return [*held, *_functions_of_forward(kind)] if is_module else held


@lru_cache(maxsize=1024)
def _classes_of_user(kind: type) -> tuple[type, ...]:
    """A class and those it derives from, as far as the user wrote them."""
    return tuple(each for each in kind.__mro__ if _is_of_user(each))


def _is_of_user(kind: type | FunctionType) -> bool:
    """Whether a class or a function was written by the user, and not for a library."""
    module = str(kind.__module__)
    if module.partition(".")[0] in sys.builtin_module_names:
        return False
    # a session in a terminal or in a notebook has no file
    return user_modules.is_of_the_user(getattr(sys.modules.get(module), "__file__", None) or "")
