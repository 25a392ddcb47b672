"""Counting what is alive of a model, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.layer_graph import suggested
from hebbevo.nn.liveness.flow import layer_name
from hebbevo.nn.liveness.paths import Plan, is_input, own_masks, own_weights, runs, why_alone
from hebbevo.nn.liveness.patterns import NotFollowed

if TYPE_CHECKING:
    import pandas as pd


def count(model: nn.Module, inputs: Tensor | None = None) -> pd.DataFrame:
    """Count neurons, connections, parameters and multiply-adds of a model, and how many of each are alive.

    A neuron, which is a unit of a linear layer or a channel of a convolution, is alive if it is on a live
    path from the inputs to the outputs; so is a connection. A bias, or a norm's scale or shift, is alive if
    its unit is; any other parameter if the model uses it. Multiply-adds are those of linear layers and
    convolutions for one row of inputs. The units of output layers are no neurons and count as ``<NA>``.

    Args:
        model: any module; left exactly as it was.
        inputs: a batch, of which the first row counts, or else a row; only shape and type count. By default
            of the shape ``model.input_shape``, without the batch axis, or what the first layer takes.

    Returns:
        A row for every module that has parameters, named by the index ``layer``, and a last one, ``total``.
        Columns are ``kind`` and ``neurons``, ``connections``, ``parameters`` and ``multiply_adds``, each with
        its ``..._alive``. What was not followed, not used or not known is in ``.attrs["notes"]``.

    Raises:
        UsageError: the model does not run on such inputs.
    """
    import pandas as pd  # takes long, and a training does not need it

    if inputs is not None and not isinstance(inputs, Tensor):
        what = "only models of one input tensor can be counted; wrap yours in a module that takes one"
        raise UsageError(f"count: inputs is of type {type(inputs).__name__}, and {what}")
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise UsageError(f"count: {name} has no shape yet; call the model once before you count")
    found = _found(model, inputs)
    parameters = _parameters(model, found)
    lines = {}
    for name, kind in _kinds(model, found).items():
        layer = found.layers.get(name)
        if layer or name in parameters or name in found.neurons:
            weight = layer.weight if layer and layer.mixes else None
            lines[name] = {
                "kind": kind,
                **_pair("neurons", *_both(found.neurons.get(name))),
                **_pair("connections", *_both(weight)),
                **_pair("parameters", *parameters.get(name, (0, 0))),
                **_pair("multiply_adds", *_both(weight, layer.positions if layer else None)),
            }
    table = pd.DataFrame.from_dict(lines, orient="index").rename_axis("layer")
    numbers = table.columns.drop("kind")
    table[numbers] = table[numbers].astype("Int64")
    total = table[numbers].sum()
    if any(layer.positions is None for layer in found.layers.values()):
        total[["multiply_adds", "multiply_adds_alive"]] = pd.NA
    table.loc["total"] = pd.Series({"kind": "", **total})
    table[numbers] = table[numbers].astype("Int64")
    table.attrs["notes"] = list(found.notes)
    return table


@dataclass(frozen=True)
class _Layer:
    """What is alive of a layer or a norm.

    Attributes:
        weight: bool, of the shape of the weights.
        units: bool, of the shape of the bias.
        parameters: names of the weight and the bias, empty where not known.
        mixes: whether it is a layer, whose weights are connections.
        positions: how often a row uses a weight, or ``None`` where it is not known.
    """

    weight: Tensor
    units: Tensor
    parameters: tuple[str, str]
    mixes: bool
    positions: int | None


@dataclass(frozen=True)
class _Found:
    """Layers, which units are neurons, names of the parameters that are used, and what there is to say."""

    layers: dict[str, _Layer]
    neurons: dict[str, Tensor]
    used: frozenset[str]
    notes: list[str]


def _found(model: nn.Module, inputs: Tensor | None) -> _Found:
    for example, guessed in _examples(model, inputs):
        try:
            return _followed(model, Plan.of(model, example), guessed)
        except NotFollowed as reason:
            if runs(model, example):
                return _alone(model, reason)
    name = type(model).__name__
    if inputs is None:
        raise UsageError(f"count: it is not known what {name} takes; give inputs, a batch of them")
    raise UsageError(
        f"count: {name} does not run on inputs of shape {tuple(inputs.shape)}; give a batch that it takes"
    )


def _examples(model: nn.Module, inputs: Tensor | None) -> Iterable[tuple[Tensor, bool]]:
    """Inputs of one row to try in turn, and whether their size is guessed."""
    if inputs is None:
        return suggested(model, 1)
    inputs = inputs.to(next((each.device for each in model.parameters()), inputs.device))
    return [(inputs[:1], False), (inputs[None], False)]


def _followed(model: nn.Module, plan: Plan, guessed: bool) -> _Found:
    layers: dict[str, _Layer] = {}
    for site, living in zip(plan.sites, plan.living(model), strict=True):
        weight, units, positions = living.connections, living.units, site.positions
        if before := layers.get(site.name):
            weight, units = weight | before.weight, units | before.units
            positions += before.positions or 0
        layers[site.name] = _Layer(weight, units, site.parameters, site.positions > 0, positions)
    notes = list(plan.notes)
    notes += [f"never used: {name}" for name, _ in model.named_parameters() if name not in plan.used]
    if guessed:
        layers = {name: replace(layer, positions=None) for name, layer in layers.items()}
        notes.append("multiply-adds depend on the size of the inputs: give inputs to count them")
    return _Found(layers, {name: layers[name].units for name in plan.neurons}, plan.used, notes)


def _alone(model: nn.Module, reason: NotFollowed) -> _Found:
    masks = own_masks(model)
    layers = {
        name: _Layer(own.connections, own.units, ("", ""), True, None)
        for name, own in own_weights(model).items()
    }
    neurons = {name: mask for name, mask in masks.items() if name in layers or not is_input(model, name)}
    used = frozenset(name for name, _ in model.named_parameters())
    return _Found(layers, neurons, used, [why_alone(reason)])


def _parameters(model: nn.Module, found: _Found) -> dict[str, tuple[int, int]]:
    """Parameters of every row, all and alive: those of layers where known, others where they are used."""

    def alive(name: str, parameter: Tensor) -> tuple[str, int]:
        row = _row(model, name.rpartition(".")[0])
        for layer_row, layer in found.layers.items():
            if layer_row.partition("[")[0] == row:
                weight, bias = layer.parameters
                if name == (weight or name) and parameter.shape == layer.weight.shape:
                    return layer_row, int(layer.weight.sum())
                if name == bias:
                    return layer_row, int((layer.units if layer.mixes else layer.weight).sum())
        return row, parameter.numel() if name in found.used else 0

    counts: dict[str, tuple[int, int]] = {}
    for name, parameter in model.named_parameters():
        row, living = alive(name, parameter)
        before = counts.get(row, (0, 0))
        counts[row] = before[0] + parameter.numel(), before[1] + living
    return counts


def _kinds(model: nn.Module, found: _Found) -> dict[str, str]:
    """Classes by row: modules as they are defined, behind each the further layers that are in it."""
    kinds: dict[str, str] = {}
    for name, module in model.named_modules():
        if "parametrizations" not in name.split("."):
            row = _row(model, name)
            further = (layer for layer in found.layers if layer.startswith(f"{row}["))
            kinds |= dict.fromkeys((row, *further), type(module).__name__)
    return kinds


def _row(model: nn.Module, name: str) -> str:
    """The row of a module: itself, the module whose parameter it computes, or its mask."""
    parts = name.split(".")
    if "parametrizations" in parts:
        name = ".".join(parts[: parts.index("parametrizations")])
    return layer_name(model, name)


def _both(alive: Tensor | None, times: int | None = 1) -> tuple[int | None, int | None]:
    if alive is None or times is None:
        return None, None
    return alive.numel() * times, int(alive.sum()) * times


def _pair(name: str, of_all: int | None, alive: int | None) -> dict[str, int | None]:
    return {name: of_all, f"{name}_alive": alive}
