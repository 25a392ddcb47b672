"""The seam of plastic modules: what a rule must be so that the engine can stack and train it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob, Value, unknown

_DTYPES: dict[type, torch.dtype] = {
    float: torch.float32,
    int: torch.int64,
    bool: torch.bool,
    str: torch.int64,  # index of the choice
}


class Plastic(nn.Module, ABC):
    """A module some of whose neurons or connections are out, for a while or for good.

    Hyperparameters and state are tensor buffers, updated in place, so that many nets can be stacked;
    attributes whose names begin with an underscore may differ from net to net of a stack. ``forward``
    gathers statistics in training mode only.
    """

    knobs: ClassVar[Mapping[str, Knob]]

    steps: Tensor  # () int64, forward steps in training mode so far
    total_steps: Tensor  # () int64, of the whole training; 0: not known

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("total_steps", torch.tensor(0))
        for knob in self.knobs.values():
            default = torch.tensor(number(knob, knob.default), dtype=_DTYPES[knob.kind])
            self.register_buffer(knob.name, default)

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        name = type(self).__name__
        for key, value in knobs.items():
            if key not in self.knobs:
                raise UsageError(f"{name}: unknown knob {unknown(key, self.knobs)}")
            self._check(key, value)
        for key, value in knobs.items():
            self._set(key, value)

    def begin(self, total_steps: int) -> None:
        """Learn that the training has ``total_steps`` forward steps (0: not known), before the first."""
        self.total_steps.fill_(total_steps)

    @abstractmethod
    def due(self, step: Tensor) -> Tensor:
        """Tell whether what is out may change after forward step ``step`` (1 is the first)."""

    def _refuse_recomputation(self) -> None:
        """Refuse to be run by a backward pass, which would count the same rows again.

        Raises:
            UsageError: this is the second forward pass of gradient checkpointing.
        """
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            name = type(self).__name__
            raise UsageError(f"{name}: cannot be recomputed; leave it out of gradient checkpointing")

    def _check(self, key: str, value: object) -> None:
        if problem := self.knobs[key].problem(value):
            raise UsageError(f"{type(self).__name__}: {key}: {problem}")

    def _set(self, key: str, value: object) -> None:
        getattr(self, key).fill_(number(self.knobs[key], value))


def number(knob: Knob, value: object) -> float:
    """The number that stands for a value of ``knob`` in a tensor."""
    return knob.choices.index(value) if knob.kind is str else value  # type: ignore[return-value]


@dataclass(frozen=True)
class Feeder:
    """The layer that feeds N neurons and nobody else, for one net; changed in place.

    Attributes:
        weight: (N, ...) its weights, neurons first.
        bias: (N,), or ``None``.
        moments: optimiser state of the same shapes as ``weight`` or ``bias``.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Norm:
    """A batch norm between N neurons and who feeds them: their own; changed in place.

    Attributes:
        weight: (N,) scale, or ``None``; so are ``bias``, ``mean`` and ``var``, the running statistics.
        moments: optimiser state of the scale and the bias.
    """

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    moments: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Listener:
    """A layer that listens to N neurons, in G groups of which each has its own outputs; changed in place.

    Attributes:
        weight: (outputs, G, N / G, ...) its weights.
        bias: (G x outputs,) its bias, or ``None`` where a neuron's mean output cannot be handed to it.
        moments: optimiser state, each of the shape of ``weight``.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()

    def norm(self) -> Tensor:
        """Norm of every neuron's outgoing weights, (N,)."""
        rest = tuple(range(3, self.weight.dim()))
        norm: Tensor = torch.linalg.vector_norm(self.weight, dim=(0, *rest))
        return norm.flatten()

    def hand_over(self, output: Tensor) -> None:
        """Add to the bias what neurons of these constant outputs, (N,), contribute."""
        if self.bias is not None:
            heard = (self.weight * self._along(output)).flatten(2).sum(-1)  # (outputs, G)
            self.bias.add_(heard.T.flatten())

    def silence(self, neurons: Tensor) -> None:
        """Set the weights from ``neurons``, (N,) bool, to zero."""
        self.weight.masked_fill_(self._along(neurons), 0)

    def reset_moments(self, neurons: Tensor) -> None:
        """Forget the optimiser's state of the weights from ``neurons``, (N,) bool."""
        for moment in self.moments:
            moment.masked_fill_(self._along(neurons), 0)

    def _along(self, values: Tensor) -> Tensor:
        """Lay a value a neuron along the axes of the weights."""
        return values.reshape(self.weight.shape[1:3] + (1,) * (self.weight.dim() - 3))


@dataclass(frozen=True)
class Neighbourhood:
    """The layers around a plastic module's neurons, for one net.

    Attributes:
        exclusive: whether the listeners can be silenced without a loss to others.
        loss: scalar, running mean of the training loss, or ``None`` where nobody observes it.
    """

    feeders: tuple[Feeder, ...] = field(default=())
    norms: tuple[Norm, ...] = field(default=())
    listeners: tuple[Listener, ...] = field(default=())
    exclusive: bool = False
    loss: Tensor | None = None


class PlasticUnits(Plastic):
    """A plastic module whose neurons die and return.

    After the backward pass and the optimiser's step whoever trains calls `restructure` with the
    neighbourhood, at least when it is `due`.
    """

    num_neurons: int
    dim: int  # axis of the neurons
    alive: Tensor  # (num_neurons,) bool

    def unmet(self, *, hears: bool, hands_over: bool, exclusive: bool) -> str:
        """Say what its knobs ask for that its neighbours cannot give, or nothing.

        Args:
            hears: whether anybody is known to listen to it.
            hands_over: whether a mean output can be handed to a listener.
            exclusive: whether its listeners can be silenced without a loss to others.
        """
        return ""

    @abstractmethod
    def connect(self, around: Neighbourhood) -> None:
        """Take a first look at the neighbourhood, before the first step."""

    @abstractmethod
    def restructure(self, around: Neighbourhood, due: Tensor | None = None) -> None:
        """Let neurons die and return, in place, if this is due: by default, at the present step."""


def known_knobs() -> dict[str, Knob]:
    """The knobs of every kind of plastic module that is defined, the user's among them."""
    kinds: list[Any] = [Plastic]
    for kind in kinds:  # which grows meanwhile
        kinds += kind.__subclasses__()
    return {name: knob for kind in kinds for name, knob in getattr(kind, "knobs", {}).items()}


def plastic_modules(model: nn.Module) -> dict[str, Plastic]:
    """Find every plastic module in ``model``, by its dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Plastic)}


def plastic_units(model: nn.Module) -> dict[str, PlasticUnits]:
    """Find those plastic modules whose neurons die and return."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PlasticUnits)}


class InjectedLoss(torch.autograd.Function):
    """Identity on ``output`` whose backward pass adds the gradient of a loss that nobody has to sum up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, loss: Tensor) -> Tensor:
        """Return ``output`` unchanged; ``loss`` is a scalar."""
        return output.clone()

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Nothing to keep: both gradients are known in advance."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the gradient on, and give the loss a gradient of one."""
        return grad, grad.new_ones(())
