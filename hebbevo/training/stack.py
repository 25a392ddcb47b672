"""Networks of one structure as one stack of tensors, or one network alone, behind one interface."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap
from torch.utils._pytree import tree_map_only

from hebbevo.nn import Plastic
from hebbevo.nn.liveness.paths import COUNTS, Plan, Survivors, survivors
from hebbevo.nn.wiring import tensors_of

CHECKED_STEPS = 2
"""Steps after which a stack is compared with nets alone."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of a net's outputs for some rows, and these rows' labels."""


class NetStack(ABC):
    """``size`` networks in training.

    Attributes:
        trained: what the optimiser changes, in place; by name, (size, *shape).
        products: type of matrix products in training.
    """

    trained: dict[str, Tensor]
    products: torch.dtype = torch.float32

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(next(iter(self.trained.values())))

    @property
    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All parameters and buffers by dotted name, (size, *shape)."""

    @abstractmethod
    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Every net's loss on a minibatch, (size,), and the gradients, in the order of ``trained``."""

    @abstractmethod
    def named(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """Gradients, or what else there is of ``trained``, by the parameters' names, (size, *shape)."""

    @abstractmethod
    def outputs(self, x: Tensor) -> Tensor:
        """What every net says of some rows, (size, rows, classes), in evaluation mode."""

    @abstractmethod
    def survivors(self, count: str) -> Survivors:
        """Count who is alive in every net: what `COUNTS` has under the name of ``count``."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Go on with the nets at ``rows`` only, (k,) int64."""

    def rest(self) -> None:  # noqa: B027
        """Learn that nobody dies or returns any more, for which statistics would be needed."""


class ModuleStack(NetStack):
    """Networks whose own forward pass is called.

    Attributes:
        module: whose forward pass it is.
    """

    module: nn.Module

    @abstractmethod
    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """Evaluate ``function(net, *args)`` for every net; results are stacked along a new first axis.

        Args:
            function: written for one net; may change the net's tensors, and stacked args, in place.
            args: the same for every net, or, if ``stacked``, with a first axis of ``size``.
            stacked: whether the args are stacked.
            training: whether the net is in training mode.
        """

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Bring all attributes, and of a stack buffers, back afterwards: looking must not change nets."""
        stores = [
            store
            for module in self.module.modules()
            for store in (vars(module), module._parameters, module._buffers)
        ]
        kept = [{**store} for store in stores]
        try:
            yield
        finally:
            for store, before in zip(stores, kept, strict=True):
                store.clear()
                store.update(before)

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
        with torch.autocast(x.device.type, self.products, enabled=self.products is not torch.float32):
            losses = self.call(lambda net: loss_of(net(x), y), training=True)
        if not isinstance(losses, Tensor) or losses.dim() != 1:
            raise ValueError(f"the loss of a minibatch {described(losses)}; return a tensor with one number")
        return losses.detach(), self.gradients(losses)

    def named(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.named`."""
        return dict(zip(self.trained, gradients, strict=True))

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """See `NetStack.outputs`."""
        outputs = self.call(lambda net: net(x))
        if not isinstance(outputs, Tensor) or outputs.dim() != 3 or outputs.shape[1] != len(x):
            what = f"the output of the network for {len(x)} rows {described(outputs)}"
            raise ValueError(f"{what}; return a tensor of (rows, classes)")
        return outputs

    @property
    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers under each of their names, (size, *shape), to be changed in place."""

    def under_all_names(self, moments: Mapping[str, tuple[Tensor, ...]]) -> dict[str, tuple[Tensor, ...]]:
        """What an optimiser keeps of ``trained``, under each name of its parameter."""
        names = _aliases(self.module.named_parameters)
        return {name: own for first, own in moments.items() for name in names[first]}

    @abstractmethod
    def follow(self, model: nn.Module, row: Tensor) -> None:
        """Prepare for `survivors`, with another net of the same structure and an input (1, *shape)."""

    @abstractmethod
    def gradients(self, losses: Tensor) -> list[Tensor]:
        """Gradients of every net's loss, ``losses`` (size,), in the order of ``trained``."""


def described(value: object) -> str:
    """What nets gave in place of what they should have."""
    if isinstance(value, Tensor):
        return f"has shape {tuple(value.shape[1:])}"
    return f"is of type {type(value).__name__}"


class VmapStack(ModuleStack):
    """Networks of one structure, trained together by `torch.func.vmap`."""

    def __init__(self, nets: Sequence[nn.Module], device: torch.device) -> None:
        parameters, buffers = stack_module_state(list(nets))
        fixed = {name for name, parameter in nets[0].named_parameters() if not parameter.requires_grad}
        self.trained = {
            name: _like_its_gradient(value.detach().to(device)).requires_grad_()
            for name, value in parameters.items()
            if name not in fixed
        }
        self._fixed = {name: parameters[name].detach().to(device) for name in fixed}
        self._buffers = {name: value.to(device) for name, value in buffers.items()}
        self.module = copy.deepcopy(nets[0]).to("meta")
        self._aliases = _aliases(nets[0].named_parameters) | _aliases(nets[0].named_buffers)
        # where a net keeps each tensor: `functional_call` would look all of them up again at every call
        self._places = {
            name: [(getattr(self.module.get_submodule(module), store), key) for module, _, key in parted]
            for store, named in (
                ("_parameters", nets[0].named_parameters),
                ("_buffers", nets[0].named_buffers),
            )
            for name, aliases in _aliases(named).items()
            for parted in [[alias.rpartition(".") for alias in aliases]]
        }

    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """See `ModuleStack.call`."""
        if self.module.training is not training:
            self.module.train(training)

        def one(state: dict[str, Tensor], *args: Any) -> Any:
            for name, tensor in state.items():
                for store, key in self._places[name]:
                    store[key] = tensor
            result = function(self.module, *args)
            held = {name: store[key] for name in self._buffers for store, key in self._places[name][:1]}
            return result, {name: each.detach() for name, each in held.items() if each is not state[name]}

        in_dims = (0, *(0 if stacked else None for _ in args))
        state = {**self.trained, **self._fixed, **self._buffers}
        result, put = vmap(one, in_dims=in_dims)(state, *args)
        self._buffers |= {name: each.contiguous() for name, each in put.items()}  # put there by forward
        return result

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See `ModuleStack.untouched`."""
        kept, self._buffers = self._buffers, {name: value.clone() for name, value in self._buffers.items()}
        try:
            with super().untouched():
                yield
        finally:
            self._buffers = kept

    def gradients(self, losses: Tensor) -> list[Tensor]:
        """See `ModuleStack.gradients`."""
        return list(_gradients(losses, self.trained.values()))

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`."""
        return {**self.trained, **self._fixed, **self._buffers}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See `ModuleStack.tensors`."""
        return {name: each.detach() for first, each in self.state.items() for name in self._aliases[first]}

    def follow(self, model: nn.Module, row: Tensor) -> None:
        """See `ModuleStack.follow`."""
        self._plan = Plan.of(model, row)

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`."""
        with self.untouched():
            return COUNTS[count].of(self._plan, partial(self.call, stacked=True), self.size)

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self.trained = {
            name: _like_its_gradient(value.detach()[rows]).requires_grad_()
            for name, value in self.trained.items()
        }
        self._fixed = {name: value[rows] for name, value in self._fixed.items()}
        self._buffers = {name: value[rows] for name, value in self._buffers.items()}


class SingleNet(ModuleStack):
    """One network, trained as in an ordinary loop; ``module`` is trained itself."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self.module = net.to(device)
        self._trained = {
            name: parameter for name, parameter in self.module.named_parameters() if parameter.requires_grad
        }
        self.trained = {name: value.detach()[None] for name, value in self._trained.items()}

    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """See `ModuleStack.call`."""
        if self.module.training is not training:
            self.module.train(training)
        own = tree_map_only(Tensor, lambda arg: arg[0], args) if stacked else args
        return tree_map_only(Tensor, lambda result: result[None], function(self.module, *own))

    def gradients(self, losses: Tensor) -> list[Tensor]:
        """See `ModuleStack.gradients`."""
        return [gradient[None] for gradient in _gradients(losses, self._trained.values())]

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`."""
        named = chain(self.module.named_parameters(), self.module.named_buffers())
        return {name: tensor.detach()[None] for name, tensor in named}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See `ModuleStack.tensors`."""
        return {name: tensor[None] for name, tensor in tensors_of(self.module).items()}

    def follow(self, model: nn.Module, row: Tensor) -> None:
        """See `ModuleStack.follow`; a net alone may call other layers tomorrow, so it is followed every time."""
        self._row = row

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`."""
        with self.untouched():
            return survivors(self.module, self._row.clone(), COUNTS[count])

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        if len(rows) != 1:
            raise ValueError("a net alone is kept, or there is nothing left")


def _gradients(losses: Tensor, parameters: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(losses.sum(), list(parameters), allow_unused=True, materialize_grads=True)


def _aliases(named: Callable[..., Iterable[tuple[str, object]]]) -> dict[str, list[str]]:
    """All names of every tensor or module, by the first of them: weights may be tied."""
    first: dict[object, str] = {}
    names: dict[str, list[str]] = {}
    for name, tensor in named(remove_duplicate=False):
        names.setdefault(first.setdefault(tensor, name), []).append(name)
    return names


def _like_its_gradient(weight: Tensor) -> Tensor:
    """Lay stacked matrices out column by column, as the gradient of a stacked linear layer comes out."""
    return weight.mT.contiguous().mT if weight.dim() == 3 else weight


def structure(net: nn.Module) -> tuple[tuple[str, object], ...]:
    """Everything of ``net`` that stacking takes from the first net only: nets may be stacked iff it is equal.

    That is the classes, the plain attributes (of plastic modules the public ones), the hooks and the shapes,
    which tensors or modules are one, and which are trained. Each comes after the name of where it is.
    """
    modules, buffers = _aliases(net.named_modules), _aliases(net.named_buffers)
    parameters = _aliases(net.named_parameters)
    return (
        *chain.from_iterable(_attributes(name, net.get_submodule(name), modules[name]) for name in modules),
        *(
            (name, (each.shape, each.dtype, each.requires_grad, *parameters[name]))
            for name, each in net.named_parameters()
        ),
        *((name, (each.shape, each.dtype, *buffers[name])) for name, each in net.named_buffers()),
    )


def difference(one: nn.Module, other: nn.Module) -> str:
    """Name the first place where the structures of two nets differ, as ``drop.p``; nothing if none does."""
    first, second = dict(structure(one)), dict(structure(other))
    return next((name for name in first | second if first.get(name) != second.get(name)), "")


def _attributes(name: str, module: nn.Module, aliases: Iterable[str]) -> Iterator[tuple[str, object]]:
    yield name or type(module).__name__, (type(module), *aliases)
    for key, value in sorted(vars(module).items()):
        if key not in _OF_EVERY_MODULE and not (isinstance(module, Plastic) and key.startswith("_")):
            yield f"{name}.{key}".removeprefix("."), _fingerprint(value)
    for key in ("_forward_pre_hooks", "_forward_hooks"):
        yield f"{name}.{key}".removeprefix("."), _fingerprint(list(vars(module)[key].values()))


_OF_EVERY_MODULE = vars(nn.Module()).keys()


def _fingerprint(value: object) -> object:
    if isinstance(value, Tensor):
        dense = value.detach().to_dense().cpu().resolve_conj().contiguous()
        return value.dtype, value.layout, value.shape, _fingerprint(dense.flatten().view(torch.uint8).numpy())
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
    if isinstance(value, Mapping):
        return tuple((repr(key), _fingerprint(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_fingerprint, value))
    return repr(value)
