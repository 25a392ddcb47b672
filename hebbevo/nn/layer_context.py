"""The layer context of units: the tensors of the layers that feed them and of those that read them.

`hebbevo.nn.layer_graph` finds the names of these layers. Every tensor may have leading axes, (..., *shape):
those of the networks of a stack. Methods that write do so in place, and only `hebbevo.nn.surgery` calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
"""Tensors by name."""
Columns = tuple[tuple[int, ...], ...]
"""By group and input column of a layer, the number of the unit that is read; -1: none of these units."""


class UnitSelection:
    """Units to be written to.

    Attributes:
        units: (..., n) bool.
        places: their indices; ``None`` where values may not be read from the device.

    Args:
        units: see above.
        may_sync: whether values may be read from the device, so that only what changes is written.
    """

    def __init__(self, units: Tensor, may_sync: bool) -> None:
        self.units = units
        self.places = units.nonzero(as_tuple=True) if may_sync else None

    def fill(self, values: Tensor, value: float = 0) -> None:
        """Set the entries of ``values``, (..., n, *rest), for these units to ``value``, in place."""
        if self.places is not None and values.dim() > self.units.dim():
            values[self.places] = value
        else:  # for one number a unit this is also faster
            rest = (1,) * (values.dim() - self.units.dim())
            values.masked_fill_(self.units.reshape(*self.units.shape, *rest), value)


@dataclass(frozen=True)
class Feedback:
    """The backward weights of a layer; changed in place.

    Attributes:
        weight: (..., outputs, inputs, *kernel).
        bound: (...), the largest size of one that is drawn.
        seed: (...) int64, of the layer.
        find_living: gives which of them lie between living units, bool, broadcast to them; ``None``: all, or
            not known.
    """

    weight: Tensor
    bound: Tensor
    seed: Tensor
    find_living: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class Producer:
    """A layer that feeds n units and nothing else; changed in place.

    Attributes:
        weight: (..., n, *inputs).
        bias: (..., n), or ``None``.
        moments: optimiser state of the weight and the bias, of their shapes.
        mask: (..., n, *inputs) bool, which connections are in; ``None``: all.
        held: the copy of the weights that a mask keeps, (..., n, *inputs), or ``None``.
        fan_in: inputs of a unit; 0: as many as the weights have.
        inputs: numbers of the inputs, (*inputs) or (..., *inputs) int; ``None``: in their order.
        living_inputs: gives which inputs come from living units, (..., inputs) bool; ``None``: all, or not
            known.
        gradient: the last gradient of the weight, of its shape; ``None``: there is none.
        state: further numbers of the units that its credit rule keeps, (..., n) each; they begin at 0.
        lateral: inhibition between the units by a credit rule, (..., n, n); ``None``: there is none.
        feedback: its backward weights; ``None``: it has none of its own.
        fresh_norm: norm of the weights of a unit that is regrown, () or (...); ``None``: as He has it.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    held: Tensor | None = None
    fan_in: int = 0
    inputs: Tensor | None = None
    living_inputs: Callable[[], Tensor] | None = None
    gradient: Tensor | None = None
    state: tuple[Tensor, ...] = ()
    lateral: Tensor | None = None
    feedback: Feedback | None = None
    fresh_norm: Tensor | None = None


@dataclass(frozen=True)
class Norm:
    """A batch norm between n units and their producers that serves these units alone; changed in place.

    Attributes:
        weight: scale, (..., n), or ``None``.
        bias: (..., n), or ``None``.
        mean: running mean, (..., n), or ``None``.
        var: running variance, (..., n), or ``None``.
        moments: optimiser state of the scale and the bias.
    """

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    moments: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Consumer:
    """A layer that reads n units; changed in place.

    Attributes:
        weight: (..., outputs, inputs, *kernel).
        bias: (..., outputs), or ``None`` where a unit's mean output cannot be folded into it.
        moments: optimiser state, each of the shape of ``weight``.
        columns: which unit each input column reads; ``None``: the inputs are the units in their order.
        held: the copy of the weights that a mask keeps, of their shape, or ``None``.
        mask: which connections are in, of their shape; ``None``: all.
        gradient: the last gradient of the weight, of its shape; ``None``: there is none.
        feedback: its backward weights; ``None``: it has none of its own.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()
    columns: Columns | None = None
    held: Tensor | None = None
    mask: Tensor | None = None
    gradient: Tensor | None = None
    feedback: Feedback | None = None

    def norm(self, units: Tensor) -> Tensor:
        """Norm of the weights that read each unit, (..., n); ``units`` is any tensor of (..., n)."""
        weight, lead = connected_weight(self.weight, self.mask), units.dim() - 1
        if self.columns is None:
            by_unit = weight.movedim(lead + 1, lead).flatten(lead + 1)
            norm: Tensor = torch.linalg.vector_norm(by_unit, dim=-1)
            return norm
        return self._sum_by_unit(weight.square(), units).sqrt()

    def gate_gradient(self, units: Tensor) -> Tensor:
        """Gradient of the loss by a gate of one on each unit, (..., n), through this layer alone.

        A gate g on the unit acts as a factor g on the weights w that read it. So dL/dg = sum w dL/dw, and no
        pass over the rows is needed. Without a gradient of the weights it is zero.
        """
        if self.gradient is None:
            return torch.zeros_like(units, dtype=self.weight.dtype)
        return self._sum_by_unit(connected_weight(self.weight, self.mask) * self.gradient, units)

    def _sum_by_unit(self, values: Tensor, units: Tensor) -> Tensor:
        """Sums of ``values``, of the shape of the weights, over the weights that read each unit, (..., n)."""
        lead = units.dim() - 1
        if self.columns is None:
            total: Tensor = values.movedim(lead + 1, lead).flatten(lead + 1).sum(-1)
            return total
        grouped = self._in_groups(values, lead)
        by_column = grouped.movedim(lead + 2, lead + 1).flatten(lead + 2).sum(-1).flatten(lead)
        # columns that read none of the units, -1, are summed in a last place, which is dropped
        place = _column_tensor(self.columns, values.device).flatten() % (units.shape[-1] + 1)
        summed = values.new_zeros(*units.shape[:-1], units.shape[-1] + 1).index_add(-1, place, by_column)
        return summed[..., :-1]

    def fold_into_bias(self, output: Tensor) -> None:
        """Add to the bias the contribution of units with these constant outputs, (..., n): W output."""
        if self.bias is None:
            return
        weight, lead = connected_weight(self.weight, self.mask), output.dim() - 1
        output = output.to(self.weight.dtype)
        if self.columns is None and weight.dim() == lead + 2:
            self.bias.add_((output.unsqueeze(-2) @ weight.mT).squeeze(-2))
        else:
            read = self._in_groups(weight, lead) * self._along_columns(output, weight, lead)
            self.bias.add_(read.flatten(lead + 2).sum(-1).flatten(lead))

    def clear(self, selection: UnitSelection, values: Tensor) -> None:
        """Set to zero the entries of ``values``, of the shape of the weights, that read selected units."""
        lead = selection.units.dim() - 1
        if self.columns is None:
            selection.fill(values.movedim(lead + 1, lead))
        else:
            reads = self._along_columns(selection.units, values, lead)
            self._in_groups(values, lead).masked_fill_(reads, 0)

    def _in_groups(self, values: Tensor, lead: int) -> Tensor:
        """(..., outputs, inputs, *kernel) as (..., groups, outputs of a group, inputs, *kernel)."""
        grouped: Tensor = values.unflatten(lead, (len(self.columns or ((),)), -1))  # type: ignore[no-untyped-call]
        return grouped

    def _along_columns(self, of_units: Tensor, values: Tensor, lead: int) -> Tensor:
        """Lay one value a unit, (..., n), along the grouped input columns; zero where they read no unit."""
        if self.columns is None:
            laid = of_units.unsqueeze(-2)
        else:
            padded = torch.cat([of_units, torch.zeros_like(of_units[..., :1])], -1)  # -1 is the last one
            laid = padded[..., _column_tensor(self.columns, of_units.device)]
        return laid.reshape(*laid.shape[:-1], 1, laid.shape[-1], *(1,) * (values.dim() - lead - 2))


@dataclass(frozen=True)
class LayerContext:
    """The layers around n units.

    Attributes:
        producers: layers that feed the units and nothing else.
        norms: batch norms between the units and their producers.
        consumers: layers that read the units.
        exclusive: whether the consumers' weights for these units serve nothing else, so that setting them to
            zero has no other effect.
        loss: (...), running mean of the training loss, or ``None`` where it is not known.
        step_counts: the numbers of steps that an optimiser of PyTorch has counted for the weights and biases
            around the units, () each, as far as they are to be set to zero with a unit's moments.
    """

    producers: tuple[Producer, ...] = ()
    norms: tuple[Norm, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    exclusive: bool = False
    loss: Tensor | None = None
    step_counts: tuple[Tensor, ...] = ()


def connected_weight(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Weights without a graph, zero where a connection is out."""
    return weight.detach() if mask is None else torch.where(mask, weight.detach(), 0)


def living_inputs(alive: Tensor, columns: Columns | None) -> Tensor:
    """Which inputs of a layer come from living units, or from none of the units at all, (..., inputs) bool.

    Args:
        alive: which units live, (..., n) bool.
        columns: of the layer, in one group; ``None``: the inputs are the units in their order.
    """
    if columns is None:
        return alive
    padded = torch.cat([alive, torch.ones_like(alive[..., :1])], -1)  # -1 is the last one
    return padded[..., _column_tensor(columns, alive.device)[0]]


def between_living(weight: Tensor, outputs: Tensor | None, inputs: Callable[[], Tensor] | None) -> Tensor:
    """Which weights of a layer lie between living units, bool, of a shape that is broadcast to theirs.

    Args:
        weight: of the layer.
        outputs: which of its outputs feed living units, (..., outputs) bool; ``None``: all, or not known.
        inputs: gives which of its inputs come from living units, (..., inputs) bool; ``None``: likewise.
    """
    found = torch.ones((), dtype=torch.bool, device=weight.device)
    if outputs is not None:
        found = found & outputs.reshape(*outputs.shape, *(1,) * (weight.dim() - outputs.dim()))
    if inputs is not None:
        of_inputs = inputs().unsqueeze(-2)
        found = found & of_inputs.reshape(*of_inputs.shape, *(1,) * (weight.dim() - of_inputs.dim()))
    return found


@lru_cache(maxsize=256)
def _column_tensor(columns: Columns, device: torch.device) -> Tensor:
    return torch.tensor(columns, device=device)
