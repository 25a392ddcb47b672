"""Plastic modules of a network and the layers around them: names once, tensors at every event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn import surgery
from hebbevo.nn.connections import plastic_connections
from hebbevo.nn.layer_graph import Neighbours, find_neighbours
from hebbevo.nn.plastic import Named, Plastic, plastic_modules
from hebbevo.nn.surgery import Around, Connections, Feeder, Listener, Moments, Norm, Tensors, Units
from hebbevo.nn.units import plastic_units
from hebbevo.rules.rule import Need

Example = Tensor | tuple[Tensor, ...]


class Wiring:
    """The plastic modules of networks of one structure, and the layers around their units.

    Tensors are looked up by dotted name and may have leading axes, so the same wiring serves the network that
    it was made from and a stack of others.

    Attributes:
        note: why the layers around some units are not known; or nothing.

    Args:
        model: one network.
        example: an input, or a tuple of inputs; by default what the first layer suggests.

    Raises:
        UsageError: a knob asks for layers around that are not found.
    """

    def __init__(self, model: nn.Module, example: Example | None = None) -> None:
        self._units = plastic_units(model)
        self._connections = plastic_connections(model)
        self.note = ""
        try:
            found = find_neighbours(model, example) if self._units else {}
        except UsageError as error:
            found, self.note = {}, str(error)
        if lost := [name for name in self._units if name not in found and not self.note]:
            inside = any(lost[0].startswith(f"{name}.") for name in plastic_modules(model))
            what = (
                "is inside a mask, where nothing is followed" if inside else "is not called once in forward"
            )
            self.note = f"{lost[0]}: {what}; " + (
                "put it outside" if inside else "give each layer its own module"
            )
        self._neighbours: Mapping[str, Neighbours] = dict.fromkeys(self._units, Neighbours()) | found
        for name, module in self._units.items():
            if problem := module.unmet(_met(self._neighbours[name])):
                side = "before" if Need.INCOMING.value in problem else "behind"
                remedy = self.note or f"put an nn.Linear or a convolution of its own {side} it"
                raise UsageError(f"{name}: {problem}; {remedy}")

    def units(
        self, tensors: Tensors, moments: Moments, loss: Tensor | None, look: bool = False
    ) -> dict[str, Units]:
        """Every layer of units as the engine sees it, by name.

        Args:
            tensors: all parameters and buffers by dotted name, (..., *shape).
            moments: the optimiser's, by the parameter's name.
            loss: (...), a running mean of the training loss, or ``None``.
            look: whether values may be asked for.
        """
        return {
            name: Units(
                module.rule,
                _own(module, name, tensors),
                self._around(name, tensors, moments, loss),
                module.num_neurons,
                inputs=module.inputs,
                look=look,
            )
            for name, module in self._units.items()
        }

    def connections(
        self, tensors: Tensors, loss: Tensor | None = None
    ) -> Iterator[tuple[str, str, Connections]]:
        """Every layer of connections as the engine sees it, after the names of its module and its weight."""
        for name, module in self._connections.items():
            for place, parameter in enumerate(module.names):
                weight = f"{name}.module.{parameter}".removeprefix(".")
                mask = module.connections[place]
                yield (
                    name,
                    weight,
                    Connections(
                        module.rule,
                        _own(module, name, tensors),
                        _own(mask, f"{name}.connections.{place}".removeprefix("."), tensors),
                        tensors[weight],
                        module.get_parameter(f"module.{parameter}").numel(),
                    ),
                )

    def connect(self, tensors: Tensors) -> None:
        """Take a first look at the layers around the units, before the first step."""
        surgery.connect(self.units(tensors, {}, None).values())

    def restructure(
        self,
        tensors: Tensors,
        moments: Moments,
        loss: Tensor | None,
        due: Mapping[str, Tensor] | None = None,
        *,
        look: bool = True,
    ) -> None:
        """Prune and regrow units, then connections, in place, where this is due.

        Args:
            tensors: see `units`.
            moments: see `units`.
            loss: see `units`.
            due: by module, (...) bool; by default, what is due at the present step.
            look: see `units`.
        """
        due = due or {name: self._due(name, tensors) for name in [*self._units, *self._connections]}
        idle = {name for name, each in due.items() if look and not each.any()}
        layers = {
            name: layer
            for name, layer in self.units(tensors, moments, loss, look).items()
            if layer.rule.prunes and name not in idle
        }
        born = {name: surgery.prune(layer, due[name]) for name, layer in layers.items()}
        for name, layer in layers.items():
            surgery.regrow(layer, born[name])
        for name, weight, link in self.connections(tensors, loss):
            if name not in idle:
                surgery.rewire(link, due[name], moments.get(weight, ()))

    def _around(self, units: str, tensors: Tensors, moments: Moments, loss: Tensor | None) -> Around:
        names = self._neighbours[units]

        def of(name: str, *kinds: str) -> tuple[Tensor, ...]:
            return tuple(moment for kind in kinds for moment in moments.get(f"{name}.{kind}", ()))

        feeders = []
        for name in names.feeders:
            feeders.append(
                Feeder(
                    tensors[f"{name}.weight"],
                    tensors.get(f"{name}.bias"),
                    of(name, "weight", "bias"),
                    tensors.get(f"{_mask(name)}.connected"),
                    tensors.get(f"{_mask(name)}.held"),
                    living=self._living(name, tensors),
                )
            )
        norms = tuple(
            Norm(
                tensors.get(f"{name}.weight"),
                tensors.get(f"{name}.bias"),
                tensors.get(f"{name}.running_mean"),
                tensors.get(f"{name}.running_var"),
                of(name, "weight", "bias"),
            )
            for name in names.norms
        )
        listeners = tuple(
            Listener(
                tensors[f"{each.name}.weight"],
                tensors.get(f"{each.name}.bias") if each.direct else None,
                of(each.name, "weight"),
                each.source,
                tensors.get(f"{_mask(each.name)}.held"),
                tensors.get(f"{_mask(each.name)}.connected"),
            )
            for each in names.listeners
        )
        return Around(tuple(feeders), norms, listeners, names.exclusive, loss)

    def _living(self, layer: str, tensors: Tensors) -> Callable[[], Tensor] | None:
        """What gives which inputs of a layer come from living units, (..., inputs) bool; if it is known."""
        for name, around in self._neighbours.items():
            if not around.exclusive or not self._units[name].rule.prunes:
                continue  # an input of the layer may carry more than a unit of these
            for listener in around.listeners:
                if listener.name == layer:
                    if listener.source is not None and len(listener.source) > 1:
                        return None  # in groups, a unit's inputs are not all inputs of the layer
                    alive = tensors[f"{name}.alive".removeprefix(".")]
                    return partial(surgery.living_inputs, alive, listener.source)
        return None

    def _due(self, name: str, tensors: Tensors) -> Tensor:
        module: Plastic = self._units.get(name) or self._connections[name]
        own = _own(module, name, tensors)
        found: Tensor = module.rule.is_event(Named(own), own["steps"], own["total_steps"])  # type: ignore[attr-defined]
        return found


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a network, under each of their names, as they may be changed in place."""
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


def mark_attached(model: nn.Module) -> None:
    """Let an engine prune and regrow what is in a network from now on, not the modules by themselves."""
    for module in plastic_modules(model).values():
        module.attached = True


def _own(module: nn.Module, name: str, tensors: Tensors) -> dict[str, Tensor]:
    """The buffers of a module by their names in it."""
    return {key: tensors[f"{name}.{key}".removeprefix(".")] for key in module._buffers}


def _met(around: Neighbours) -> set[Need]:
    met = {
        Need.OUTGOING: bool(around.listeners),
        Need.INCOMING: bool(around.feeders),
        Need.FOLDABLE: any(listener.direct for listener in around.listeners),
        Need.EXCLUSIVE: around.exclusive,
    }
    return {need for need, found in met.items() if found}


def _mask(layer: str) -> str:
    """Where a mask around a layer keeps what it knows of its weight, if there is one."""
    parent, _, last = layer.rpartition(".")
    return f"{parent}.connections.0".removeprefix(".") if last == "module" else ""


def settling(model: nn.Module) -> Tensor:
    """The longest settling phase of a module, (): the learning rate is that of all of them."""
    found = [getattr(module, "settle", None) for module in plastic_modules(model).values()]
    settles = [settle for settle in found if settle is not None]
    return torch.stack(settles).amax() if settles else torch.zeros(())
