"""Nets in training behind one interface: a stack of nets of one structure, or a single net."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap
from torch.utils._pytree import tree_map_only

from hebbevo.nn.connections import plastic_connections
from hebbevo.nn.credit import aligned_layers, alignment_angles
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.liveness.paths import COUNTS, LivenessPlan, Survivors, survivors
from hebbevo.nn.wiring import named_tensors
from hebbevo.training.structure import aliases

CHECKED_STEPS = 2
"""Steps that nets of the user take both in a stack and alone, to check that the stack computes the same."""

_Own = TypeVar("_Own")

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function (outputs, labels) -> loss of one net, as ``cross_entropy``."""


class NetStack(ABC):
    """Nets in training, ``size`` of them.

    Attributes:
        trained: the tensors that the optimiser changes in place, by name, (size, *shape).
        matmul_dtype: type of the factors of matrix products in training.
    """

    trained: dict[str, Tensor]
    matmul_dtype: torch.dtype = torch.float32

    @property
    def size(self) -> int:
        """Number of nets."""
        return len(next(iter(self.trained.values())))

    @property
    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All parameters and buffers by dotted name, (size, *shape)."""

    @abstractmethod
    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute losses and gradients on a minibatch.

        Args:
            loss_of: the loss of one net.
            x: inputs, (rows, *shape), the same for every net; they stay as they are.
            y: labels, (rows,) int64, likewise.

        Returns:
            The loss of each net, (size,), and the gradients in the order of ``trained``.

        Raises:
            ValueError: the loss is not a tensor with one number.
        """

    @abstractmethod
    def by_parameter(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """Give gradients, in the order of ``trained``, by the names of the parameters, (size, *shape)."""

    @abstractmethod
    def outputs(self, x: Tensor) -> Tensor:
        """Compute the outputs of each net in evaluation mode, (size, rows, classes); ``x`` stays as it is.

        Raises:
            ValueError: the outputs have another shape.
        """

    @abstractmethod
    def survivors(self, count: str) -> Survivors:
        """Count the survivors of each net; ``count`` is a key of `COUNTS`."""

    @abstractmethod
    def layer_connections(self) -> Iterator[LayerConnections]:
        """The masked connections of every layer, of all nets at once."""

    def exploration(self) -> Tensor | None:
        """How many connections of each net could ever be in, were, ever entered, and are left of these.

        Shape (size, 4), int64, over the layers whose rules grow; ``None``: there is none.
        """
        found = [each.exploration() for each in self.layer_connections() if each.rule.grows]
        return torch.stack(found).sum(0) if found else None

    def angles(self) -> Tensor | None:
        """The angle between weights and backward weights of each layer that has some, in degrees.

        Shape (size, layers); ``None``: no layer has.
        """
        return None

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Drop all nets but those at ``rows``, (k,) int64."""

    def stop_statistics(self) -> None:  # noqa: B027
        """Gather no more statistics, as no unit or connection can be pruned or regrown any more."""


class ModuleStack(NetStack):
    """Nets whose own forward pass is called.

    Attributes:
        module: the module that is called.
    """

    module: nn.Module

    @abstractmethod
    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """Evaluate ``function(net, *args)`` for every net, and stack the results along a new first axis.

        Args:
            function: written for one net; may change the net's tensors, and stacked arguments, in place.
            args: the same for every net, or, if ``stacked``, with a first axis of ``size``.
            stacked: whether the arguments are stacked.
            training: whether the net is in training mode.
        """

    @abstractmethod
    def part(self, rows: slice) -> ModuleStack:
        """Some of the nets, to evaluate them: their tensors are views of those here."""

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Restore all attributes, and the buffers of a stack, afterwards: counting must not change a net."""
        stores = [
            store
            for module in self.module.modules()
            for store in (vars(module), module._parameters, module._buffers)
        ]
        copies = [{**store} for store in stores]
        try:
            yield
        finally:
            for store, before in zip(stores, copies, strict=True):
                store.clear()
                store.update(before)

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
        x, y = x.clone(), y.clone()  # code of the user may write into its arguments
        with torch.autocast(x.device.type, self.matmul_dtype, enabled=self.matmul_dtype is not torch.float32):
            losses = self.call(lambda net: loss_of(net(x), y), training=True)
        if not isinstance(losses, Tensor) or losses.dim() != 1:
            raise ValueError(f"the loss of a minibatch {described(losses)}; return a tensor with one number")
        return losses.detach(), self.gradients(losses)

    def by_parameter(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.by_parameter`."""
        return dict(zip(self.trained, gradients, strict=True))

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """See `NetStack.outputs`."""
        own = x.clone()  # code of the user may write into its arguments, and change their shape
        outputs = self.call(lambda net: net(own))
        if not isinstance(outputs, Tensor) or outputs.dim() != 3 or outputs.shape[1] != len(x):
            what = f"the output of the network for {len(x)} rows {described(outputs)}"
            raise ValueError(f"{what}; return a tensor of (rows, classes)")
        return outputs

    @torch.no_grad()
    def angles(self) -> Tensor | None:
        """See `NetStack.angles`."""
        return self.call(alignment_angles) if aligned_layers(self.module) else None

    @property
    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers under each of their names, (size, *shape); changes reach the nets."""

    def under_all_names(self, named: Mapping[str, _Own]) -> dict[str, _Own]:
        """Give what belongs to each parameter under every name of the parameter."""
        names = aliases(dict(self.module.named_parameters(remove_duplicate=False)))
        return {name: own for first, own in named.items() for name in names[first]}

    def layer_connections(self) -> Iterator[LayerConnections]:
        """See `NetStack.layer_connections`."""
        tensors = self.tensors
        for name, module in plastic_connections(self.module).items():
            for place, parameter in enumerate(module.names):
                own = f"{name}.connections.{place}".removeprefix(".")
                weight = tensors[f"{name}.module.{parameter}".removeprefix(".")]
                yield LayerConnections(
                    module.rule,
                    {key: tensors[f"{name}.{key}".removeprefix(".")] for key in module._buffers},
                    {key: tensors[f"{own}.{key}"] for key in module.connections[place]._buffers},
                    weight,
                    weight[0].numel(),
                )

    @abstractmethod
    def prepare_survivors(self, model: nn.Module, row: Tensor) -> None:
        """Prepare for `survivors`.

        Args:
            model: another net of the same structure.
            row: an input, (1, *shape).
        """

    @abstractmethod
    def gradients(self, losses: Tensor) -> list[Tensor]:
        """Compute the gradient of each net's loss, from ``losses`` (size,), in the order of ``trained``."""


def described(value: object) -> str:
    """Say what shape or type a value has that is not as it should be."""
    if isinstance(value, Tensor):
        return f"has shape {tuple(value.shape[1:])}"
    return f"is of type {type(value).__name__}"


class VmapStack(ModuleStack):
    """Nets of one structure, trained together by `torch.func.vmap`.

    Args:
        nets: nets of equal `structure`; they stay as they are.
        device: where to train.
    """

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
        self._net = nets[0]
        self._of_parameters = aliases(dict(nets[0].named_parameters(remove_duplicate=False)))
        self._of_buffers = aliases(dict(nets[0].named_buffers(remove_duplicate=False)))

    @cached_property
    def module(self) -> nn.Module:  # type: ignore[override]
        """A copy of the first net without memory of its own: `call` puts the stacked tensors in."""
        return copy.deepcopy(self._net).to("meta")

    @cached_property
    def _holders(self) -> dict[str, list[tuple[dict[str, Any], str]]]:
        """The dictionary and key under which the module holds each tensor.

        `torch.func.functional_call` would look up all of them again at every call.
        """
        return {
            name: [
                (getattr(self.module.get_submodule(owner), store), key)
                for owner, _, key in (alias.rpartition(".") for alias in names)
            ]
            for store, named in (("_parameters", self._of_parameters), ("_buffers", self._of_buffers))
            for name, names in named.items()
        }

    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """See `ModuleStack.call`."""
        if self.module.training is not training:
            self.module.train(training)

        def one(state: dict[str, Tensor], *args: Any) -> Any:
            for name, tensor in state.items():
                for store, key in self._holders[name]:
                    store[key] = tensor
            result = function(self.module, *args)
            after = {name: store[key] for name in self._buffers for store, key in self._holders[name][:1]}
            return result, {name: each.detach() for name, each in after.items() if each is not state[name]}

        in_dims = (0, *(0 if stacked else None for _ in args))
        state = {**self.trained, **self._fixed, **self._buffers}
        result, reassigned = vmap(one, in_dims=in_dims)(state, *args)
        # vmap would lose a buffer that forward has replaced by another tensor
        self._buffers |= {name: each.contiguous() for name, each in reassigned.items()}
        return result

    def part(self, rows: slice) -> VmapStack:
        """See `ModuleStack.part`."""
        found = copy.copy(self)
        found.trained, found._fixed, found._buffers = (
            {name: tensor.detach()[rows] for name, tensor in named.items()}
            for named in (self.trained, self._fixed, self._buffers)
        )
        return found

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
        # the sum has the gradients of all losses, for no net's loss depends on another net
        found = torch.autograd.grad(
            losses.sum(), list(self.trained.values()), allow_unused=True, materialize_grads=True
        )
        return list(found)

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`."""
        return {**self.trained, **self._fixed, **self._buffers}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See `ModuleStack.tensors`."""
        names = self._of_parameters | self._of_buffers
        return {name: each.detach() for first, each in self.state.items() for name in names[first]}

    def prepare_survivors(self, model: nn.Module, row: Tensor) -> None:
        """See `ModuleStack.prepare_survivors`."""
        self._plan = LivenessPlan.of(model, row)

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`."""
        with self.untouched():
            return COUNTS[count].along_paths(self._plan, partial(self.call, stacked=True), self.size)

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self.trained = {
            name: _like_its_gradient(value.detach()[rows]).requires_grad_()
            for name, value in self.trained.items()
        }
        self._fixed = {name: value[rows] for name, value in self._fixed.items()}
        self._buffers = {name: value[rows] for name, value in self._buffers.items()}


class SingleNet(ModuleStack):
    """A single net, trained as in an ordinary PyTorch loop.

    Args:
        net: the net; it is trained itself, not a copy.
        device: where to train.
    """

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self.module = net.to(device)
        self._parameters = {
            name: parameter for name, parameter in self.module.named_parameters() if parameter.requires_grad
        }
        self.trained = {name: value.detach()[None] for name, value in self._parameters.items()}

    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """See `ModuleStack.call`."""
        if self.module.training is not training:
            self.module.train(training)
        own = tree_map_only(Tensor, lambda arg: arg[0], args) if stacked else args
        return tree_map_only(Tensor, lambda result: result[None], function(self.module, *own))

    def part(self, rows: slice) -> SingleNet:
        """See `ModuleStack.part`."""
        return self

    def gradients(self, losses: Tensor) -> list[Tensor]:
        """See `ModuleStack.gradients`."""
        found = torch.autograd.grad(
            losses.sum(), list(self._parameters.values()), allow_unused=True, materialize_grads=True
        )
        return [gradient[None] for gradient in found]

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`."""
        named = chain(self.module.named_parameters(), self.module.named_buffers())
        return {name: tensor.detach()[None] for name, tensor in named}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See `ModuleStack.tensors`."""
        return {name: tensor[None] for name, tensor in named_tensors(self.module).items()}

    def prepare_survivors(self, model: nn.Module, row: Tensor) -> None:
        """See `ModuleStack.prepare_survivors`."""
        self._row = row  # the net itself is traced at each count, as it may call other layers by then

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`."""
        with self.untouched():
            return survivors(self.module, self._row.clone(), COUNTS[count])

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`.

        Raises:
            ValueError: ``rows`` is empty.
        """
        if len(rows) != 1:
            raise ValueError("a single net cannot be dropped from its stack; keep it")


def _like_its_gradient(weight: Tensor) -> Tensor:
    """Lay stacked matrices out column by column, as the gradient of a stacked linear layer is laid out."""
    return weight.mT.contiguous().mT if weight.dim() == 3 else weight
