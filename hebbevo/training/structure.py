"""Which nets may be stacked: those that differ in the values of their tensors alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.nn import Plastic

_ATTRIBUTES_OF_EVERY_MODULE = vars(nn.Module()).keys()

Structure = tuple[tuple[str, object], ...]
"""What `structure` gives: pairs of a dotted name and a hashable description."""


def structure(net: nn.Module) -> Structure:
    """Describe everything that stacking takes from the first net. Nets of equal structure may be stacked.

    These are classes, plain attributes (of plastic modules the public ones), hooks and shapes; which names
    stand for one tensor or module; and which parameters are trained.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    parameters, buffers = (dict(_tensors(modules, store)) for store in ("_parameters", "_buffers"))
    return (
        *chain.from_iterable(
            _attributes(name, modules[name], names) for name, names in aliases(modules).items()
        ),
        *(
            (name, (parameters[name].requires_grad, *_form(parameters[name]), *names))
            for name, names in aliases(parameters).items()
        ),
        *((name, (*_form(buffers[name]), *names)) for name, names in aliases(buffers).items()),
    )


def _tensors(modules: Mapping[str, nn.Module], store: str) -> Iterator[tuple[str, Tensor]]:
    """All parameters or buffers under each of their names, as PyTorch gives them, which walks every time."""
    for prefix, module in modules.items():
        for key, tensor in getattr(module, store).items():
            if tensor is not None:
                yield (f"{prefix}.{key}" if prefix else key), tensor


def _form(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype


def difference(one: nn.Module, other: nn.Module) -> str:
    """Name the first place where the structures of two nets differ, as ``drop.p``; empty if nowhere."""
    first, second = dict(structure(one)), dict(structure(other))
    return next((name for name in first | second if first.get(name) != second.get(name)), "")


def aliases(named: Mapping[str, object]) -> dict[str, list[str]]:
    """Find all names of every tensor or module, by its first name; tied weights have several.

    Args:
        named: tensors or modules under each of their names, such as
            ``dict(net.named_parameters(remove_duplicate=False))``.
    """
    first: dict[int, str] = {}
    names: dict[str, list[str]] = {}
    for name, own in named.items():
        names.setdefault(first.setdefault(id(own), name), []).append(name)
    return names


def _attributes(name: str, module: nn.Module, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """The class, the plain attributes and the hooks of one module."""
    yield name or type(module).__name__, (type(module), *names)
    for key, value in sorted(vars(module).items()):
        if key not in _ATTRIBUTES_OF_EVERY_MODULE and not (
            isinstance(module, Plastic) and key.startswith("_")
        ):
            yield f"{name}.{key}".removeprefix("."), _fingerprint(value)
    for key in ("_forward_pre_hooks", "_forward_hooks"):
        yield f"{name}.{key}".removeprefix("."), _fingerprint(list(vars(module)[key].values()))


def _fingerprint(value: object) -> object:
    """Something hashable that is equal only for equal values; the text of an array leaves out its middle."""
    if isinstance(value, Tensor):
        # as bytes, since a dtype such as bfloat16 has no counterpart in numpy
        dense = value.detach().to_dense().cpu().resolve_conj().contiguous()
        return value.dtype, value.layout, value.shape, _fingerprint(dense.flatten().view(torch.uint8).numpy())
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
    if isinstance(value, Mapping):
        return tuple((repr(key), _fingerprint(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_fingerprint, value))
    return repr(value)
