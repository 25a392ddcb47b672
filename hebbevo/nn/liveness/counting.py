"""The table of `hebbevo.count`: what a model has, layer by layer, and how much of it is alive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.credit import backward_parameters
from hebbevo.nn.forward_pass.example_inputs import suggested_inputs
from hebbevo.nn.forward_pass.following import NotFollowed, layer_name
from hebbevo.nn.forward_pass.side_effects import without_side_effects
from hebbevo.nn.liveness.own_masks import alive_units, fallback_note, is_input, nonzero_weights
from hebbevo.nn.liveness.paths import LivenessPlan

if TYPE_CHECKING:
    import pandas as pd


def count(model: nn.Module, inputs: Tensor | None = None) -> pd.DataFrame:
    """Count neurons, connections, parameters and multiply-adds of a model, and how many of each are alive.

    A neuron is a unit of a linear layer or a channel of a convolution. It is alive if it is on a live path
    from the inputs to the outputs; so is a connection. A bias, or the scale or shift of a norm, is alive if
    its unit is. Any other parameter is alive if the model uses it. Multiply-adds are those of linear layers
    and convolutions for one row of inputs. Units of output layers are not neurons: they count as ``<NA>``.

    Args:
        model: any module; left exactly as it was.
        inputs: a batch, of which the first row counts, or a single row; only shape and type matter. By
            default of the shape ``model.input_shape``, without the batch axis, or what the first layer takes.

    Returns:
        A row for every module that has parameters, named by the index ``layer``, and a last row ``total``.
        The columns are ``kind``, ``neurons``, ``connections``, ``parameters`` and ``multiply_adds``, each
        number with its ``..._alive``. ``.attrs["notes"]`` lists what was not followed, not used or not known.

    Raises:
        UsageError: the model does not run on these inputs, is quantised or TorchScript, has no weights yet,
            or is no module.

    >>> from hebbevo.nn import Stamina
    >>> net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    >>> net[1].alive[0] = False
    >>> count(net)[["neurons", "neurons_alive"]].loc["0"].tolist()
    [3, 2]
    """
    import pandas as pd  # its import takes long, and a training does not need it

    if inputs is not None and not isinstance(inputs, Tensor):
        what = "only models of one input tensor can be counted; wrap yours in a module that takes one"
        raise UsageError(f"count: inputs is of type {type(inputs).__name__}, and {what}")
    model = getattr(model, "_orig_mod", model)  # what `torch.compile` wraps
    if not isinstance(model, nn.Module):
        raise UsageError(f"count: the model is of type {type(model).__name__}; give a module of PyTorch")
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise UsageError(f"count: {name} has no shape yet; call the model once before you count")
        if parameter.is_meta:
            raise UsageError(f"count: {name} has a shape only, on the meta device; load the weights first")
    _refuse_packed(model)
    found = _find_alive(model, inputs)
    parameters = _parameters(model, found)
    rows = {}
    for name, kind in _kinds(model, found).items():
        layer = found.layers.get(name)
        if layer or name in parameters or name in found.neurons:
            weight = layer.weight if layer and layer.has_connections else None
            rows[name] = {
                "kind": kind,
                **_pair("neurons", *_numbers(found.neurons.get(name))),
                **_pair("connections", *_numbers(weight)),
                **_pair("parameters", *parameters.get(name, (0, 0))),
                **_pair("multiply_adds", *_numbers(weight, layer.positions if layer else None)),
            }
    rows = {_uncompiled(name): row for name, row in rows.items()}
    numbers = [*_pair("neurons", 0, 0), *_pair("connections", 0, 0)]
    numbers += [*_pair("parameters", 0, 0), *_pair("multiply_adds", 0, 0)]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["kind", *numbers]).rename_axis("layer")
    table[numbers] = table[numbers].astype("Int64")
    total = table[numbers].sum()
    # a sum over layers of unknown size would pass for the whole
    if any(layer.positions is None for layer in found.layers.values()):
        total[["multiply_adds", "multiply_adds_alive"]] = pd.NA
    table.loc["total"] = pd.Series({"kind": "", **total})
    table[numbers] = table[numbers].astype("Int64")
    table.attrs["notes"] = [*map(_uncompiled, found.notes)]
    return table


def _refuse_packed(model: nn.Module) -> None:
    """Check that all weights are at hand.

    Raises:
        UsageError: a module is quantised or TorchScript.
    """
    for name, module in model.named_modules():
        kind = type(module)
        what = f"count: {name or kind.__name__} is "
        if isinstance(module, torch.jit.ScriptModule):
            raise UsageError(
                f"{what}TorchScript, which cannot be looked into; count the model it was made of"
            )
        if kind.__module__.startswith("torch.") and "quantized" in kind.__module__.split("."):
            raise UsageError(f"{what}quantised and hides its weights; count the model before it is quantised")


def _uncompiled(text: str) -> str:
    """Names of modules without what `torch.compile` adds to them."""
    return text.replace("._orig_mod", "")


@dataclass(frozen=True)
class _AliveLayer:
    """What is alive of a layer or a norm.

    Attributes:
        weight: bool, of the shape of the weights.
        units: bool, of the shape of the bias.
        parameters: names of the weight and the bias, empty where they are not known.
        has_connections: whether it is a layer, whose weights are connections, and not a norm.
        positions: how often a row uses each weight, or ``None`` where it is not known.
    """

    weight: Tensor
    units: Tensor
    parameters: tuple[str, str]
    has_connections: bool
    positions: int | None


@dataclass(frozen=True)
class _AliveModel:
    """What is alive of a model.

    Attributes:
        layers: by name.
        neurons: (units,) bool by name, of the layers whose units are neurons.
        used: names of the parameters that the model uses.
        notes: for the reader of the table.
    """

    layers: dict[str, _AliveLayer]
    neurons: dict[str, Tensor]
    used: frozenset[str]
    notes: list[str]


def _find_alive(model: nn.Module, inputs: Tensor | None) -> _AliveModel:
    for example, is_guess in _examples(model, inputs):
        try:
            return _by_paths(model, LivenessPlan.of(model, example), is_guess)
        except NotFollowed as reason:
            if _runs(model, example):
                return _by_own_masks(model, reason)
    name = type(model).__name__
    if inputs is None:
        raise UsageError(f"count: it is not known what {name} takes; give inputs, a batch of them")
    raise UsageError(
        f"count: {name} does not run on inputs of shape {tuple(inputs.shape)}; give a batch that it takes"
    )


def _examples(model: nn.Module, inputs: Tensor | None) -> Iterable[tuple[Tensor, bool]]:
    """Inputs of one row to try in turn, and whether their size is a guess."""
    if inputs is None:
        return suggested_inputs(model, 1)
    inputs = inputs.to(next((each.device for each in model.parameters()), inputs.device))
    return [(inputs[:1], False), (inputs[None], False)]


def _runs(model: nn.Module, inputs: Tensor) -> bool:
    try:
        with torch.no_grad(), without_side_effects(model):
            model(inputs.clone())
    except (Exception, SystemExit):  # a forward pass may raise any exception
        return False
    return True


def _by_paths(model: nn.Module, plan: LivenessPlan, is_guess: bool) -> _AliveModel:
    layers: dict[str, _AliveLayer] = {}
    # without a layer there is nothing to find
    for call, alive in zip(plan.calls, plan.alive_parts(model) if plan.calls else (), strict=True):
        weight, units, positions = alive.connections, alive.units, call.positions
        if before := layers.get(call.name):
            weight, units = weight | before.weight, units | before.units
            positions += before.positions or 0
        layers[call.name] = _AliveLayer(weight, units, call.parameters, call.positions > 0, positions)
    notes = list(plan.notes)
    known = plan.used | backward_parameters(model)
    notes += [f"never used: {name}" for name, _ in model.named_parameters() if name not in known]
    if is_guess:
        layers = {name: replace(layer, positions=None) for name, layer in layers.items()}
        notes.append("multiply-adds depend on the size of the inputs: give inputs to count them")
    return _AliveModel(layers, {name: layers[name].units for name in plan.neurons}, plan.used, notes)


def _by_own_masks(model: nn.Module, reason: NotFollowed) -> _AliveModel:
    layers = {
        name: _AliveLayer(own.connections, own.units, ("", ""), True, None)
        for name, own in nonzero_weights(model).items()
    }
    units = alive_units(model)
    neurons = {name: alive for name, alive in units.items() if name in layers or not is_input(model, name)}
    used = frozenset(name for name, _ in model.named_parameters())
    return _AliveModel(layers, neurons, used, [fallback_note(reason)])


def _parameters(model: nn.Module, found: _AliveModel) -> dict[str, tuple[int, int]]:
    """How many parameters each row of the table has, and how many of them are alive."""

    def row_and_alive(name: str, parameter: Tensor) -> tuple[str, int]:
        row = _row(model, name.rpartition(".")[0])
        for layer_row, layer in found.layers.items():
            if layer_row.partition("[")[0] == row:
                weight, bias = layer.parameters
                # where names are not known, the shape must do
                if name == (weight or name) and parameter.shape == layer.weight.shape:
                    return layer_row, int(layer.weight.sum())
                if name == bias:
                    return layer_row, int((layer.units if layer.has_connections else layer.weight).sum())
        return row, parameter.numel() if name in found.used else 0

    counts: dict[str, tuple[int, int]] = {}
    backward = backward_parameters(model)
    for name, parameter in model.named_parameters():
        if name in backward:
            continue
        row, alive = row_and_alive(name, parameter)
        before = counts.get(row, (0, 0))
        counts[row] = before[0] + parameter.numel(), before[1] + alive
    return counts


def _kinds(model: nn.Module, found: _AliveModel) -> dict[str, str]:
    """Classes by row: modules in the order of their definition, each followed by further layers in it."""
    kinds: dict[str, str] = {}
    for name, module in model.named_modules():
        if "parametrizations" not in name.split("."):
            row = _row(model, name)
            further = (layer for layer in found.layers if layer.startswith(f"{row}["))
            kinds |= dict.fromkeys((row, *further), type(module).__name__)
    return kinds


def _row(model: nn.Module, name: str) -> str:
    """The row of a module: its own, that of the module whose parameter it computes, or that of its mask."""
    parts = name.split(".")
    if "parametrizations" in parts:
        name = ".".join(parts[: parts.index("parametrizations")])
    return layer_name(model, name)


def _numbers(alive: Tensor | None, times: int | None = 1) -> tuple[int | None, int | None]:
    """How many there are and how many are alive, each ``times`` over; ``None`` where it is not known."""
    if alive is None or times is None:
        return None, None
    return alive.numel() * times, int(alive.sum()) * times


def _pair(name: str, of_all: int | None, alive: int | None) -> dict[str, int | None]:
    return {name: of_all, f"{name}_alive": alive}
