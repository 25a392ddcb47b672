"""What the native engine serves. Everything else is refused in one line; no other engine takes its place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from hebbevo.native.structures import MOST_LAYERS
from hebbevo.nn.connections import plastic_connections
from hebbevo.nn.credit import Credit
from hebbevo.nn.layer_context import LayerContext
from hebbevo.nn.mlp_layout import mlp_layout
from hebbevo.nn.statistics import unit_buffers
from hebbevo.nn.units import PlasticUnits, plastic_units
from hebbevo.rules.units.rule import OLD
from hebbevo.training import native_connections
from hebbevo.training.native_place import SERVED_BUFFERS, SERVED_GATES, SERVED_PERTURBATIONS
from hebbevo.training.per_structure import PerStructure
from hebbevo.training.recipe import Recipe
from hebbevo.training.structure import Structure

SERVED_FAMILY = "mlp"
"""The family of networks that the engine trains."""


def why_not_served(
    recipe: Recipe, model: nn.Module, device: torch.device, of: Structure | None = None
) -> str:
    """Say what of a training the native engine has not, and what to write; empty if it has all.

    Args:
        recipe: what the trainings share.
        model: a net of them.
        device: where they are to run.
        of: the structure of the net, where it is known.
    """
    found = next(_unserved(recipe, model, device, of), "")
    return f"the native engine has no {found}; leave it out, or write engine: pytorch" if found else ""


def _unserved(recipe: Recipe, model: nn.Module, device: torch.device, of: Structure | None) -> Iterator[str]:
    """Yield everything that the engine has not."""
    if device.type != "cpu":
        yield "GPU (device)"
    if recipe.network.has_user_code:
        yield "networks of your own (network.module)"
    if recipe.loss:
        yield "losses of your own (task.loss)"
    if recipe.precision != "float32":
        yield f"precision: {recipe.precision}"
    if (family := getattr(recipe.network, "family", SERVED_FAMILY)) != SERVED_FAMILY:
        yield f"family: {family}"
    if getattr(model, "has_fitted_head", False):
        yield "fitted readout (network.readout)"
    for units in plastic_units(model).values():
        yield from _unserved_knobs(units)
    if unserved := _unserved_layers(model, of=of):
        yield unserved


def _unserved_in(model: nn.Module) -> Iterator[str]:
    """Yield what the engine has not of the layers of a net, whatever knobs they have."""
    for module in model.modules():
        if isinstance(module, Credit):
            yield f"credit: {module.rule.name}"
    for connections in plastic_connections(model).values():
        if not native_connections.is_served(connections.rule):
            yield f"connections: {connections.rule.name}"
    for units in plastic_units(model).values():
        yield from _unserved_rule(units)
    layout = mlp_layout(model)
    if layout is None:
        yield "network with noise or penalties, or with other layers than linear ones and units between them"
    elif len(layout.layers) > MOST_LAYERS:
        yield f"network of {len(layout.layers)} layers: {MOST_LAYERS} are the most"
    elif not all(layout.bias):
        yield "layers without a bias"
    elif {*range(len(layout.layers) - 1)} - {*layout.units}:
        yield "hidden layers without units"


_unserved_layers = PerStructure(lambda model: next(_unserved_in(model), ""))


def _unserved_rule(units: PlasticUnits) -> Iterator[str]:
    """Yield the rule of a layer of units if the engine has not all that it needs."""
    rule = units.rule
    if not rule.prunes:
        return
    perturbs = rule.perturbs and type(rule) not in SERVED_PERTURBATIONS
    has_gates = rule.parameters and type(rule) not in SERVED_GATES
    if has_gates or perturbs or set(unit_buffers(rule)) - SERVED_BUFFERS:
        yield f"units: {rule.name}"


def _unserved_knobs(units: PlasticUnits) -> Iterator[str]:
    """Yield the knobs of a layer of units that the engine has not."""
    rule = units.rule
    if not rule.prunes:
        return
    for name in rule.penalties if type(rule) not in SERVED_GATES else ():
        if units.penalised and bool(getattr(units, name).any()):
            yield name
    if units.layer_units(LayerContext()).keeps_weights.any():
        yield f"rebirth: {OLD}"
