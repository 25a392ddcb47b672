"""The plastic modules of a network and the layers around them: names found once, tensors at every event."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial, reduce
from itertools import chain

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn import surgery
from hebbevo.nn.connections import PlasticConnections, plastic_connections
from hebbevo.nn.credit import FEEDBACK, Credited, connect_outputs, fan
from hebbevo.nn.layer_connections import LayerConnections, of_parameter
from hebbevo.nn.layer_context import (
    Consumer,
    Feedback,
    LayerContext,
    Norm,
    Producer,
    Tensors,
    between_living,
    living_inputs,
)
from hebbevo.nn.layer_graph import LayerNames, find_layer_names
from hebbevo.nn.layer_units import LayerUnits
from hebbevo.nn.plastic import TensorNamespace, plastic_modules
from hebbevo.nn.similarity_matching import SimilarityMatching
from hebbevo.nn.statistics import observe_gates
from hebbevo.nn.surgery import Moments
from hebbevo.nn.units import PlasticUnits, plastic_units
from hebbevo.rules.credit.rule import feedback_bound
from hebbevo.rules.rule import Need
from hebbevo.rules.units.rule import OLD, REBIRTHS

Example = Tensor | tuple[Tensor, ...]
"""An input of a network, or all of its inputs."""


class Wiring:
    """The plastic modules of networks of one structure, and the layers around their units.

    Tensors are looked up by dotted name and may have leading axes. So the same wiring serves the network that
    it was made from and a stack of others.

    Attributes:
        note: why the layers around some units are not known; empty if all are.

    Args:
        model: one network.
        example: an input, or a tuple of inputs; by default one that the first layer suggests.
    """

    def __init__(self, model: nn.Module, example: Example | None = None) -> None:
        self._units = plastic_units(model)
        self._connections = plastic_connections(model)
        self._circuits = {
            name: module for name, module in model.named_modules() if isinstance(module, SimilarityMatching)
        }
        self._credited = {
            name: module for name, module in model.named_modules() if isinstance(module, Credited)
        }
        self.note = ""
        found: dict[str, LayerNames] = {}
        try:
            found = find_layer_names(model, example) if self._units else {}
        except UsageError as error:
            self.note = str(error)
        if missing := [name for name in self._units if name not in found and not self.note]:
            inside = any(missing[0].startswith(f"{name}.") for name in plastic_modules(model))
            what = (
                "is inside a mask, where nothing is followed" if inside else "is not called once in forward"
            )
            self.note = f"{missing[0]}: {what}; " + (
                "put it outside" if inside else "give each layer its own module"
            )
        prunes = (name for name, module in self._units.items() if module.rule.prunes)
        if alone := [name for name in prunes if found.get(name) == LayerNames() and not self.note]:
            remedy = "use nn.Linear or convolutions there"
            if example is None:
                remedy += ", or give an example input if the axes of yours are others"
            self.note = f"{alone[0]}: no layer is found that feeds or reads its units; {remedy}"
        self._layer_names: Mapping[str, LayerNames] = dict.fromkeys(self._units, LayerNames()) | found

    def refuse_unmet(self, model: nn.Module) -> None:
        """Check that the layers around its units meet what the knobs of a network need.

        Args:
            model: the network itself, or another one of its structure, whose knobs may differ.

        Raises:
            UsageError: a knob needs layers around the units that are not found.
        """
        for name, module in plastic_units(model).items():
            if problem := module.unmet(_met_needs(self._layer_names[name])):
                side = "before" if Need.INCOMING.value in problem else "behind"
                remedy = self.note or f"put an nn.Linear or a convolution of its own {side} it"
                raise UsageError(f"{name}: {problem}; {remedy}")

    def prepare(self, tensors: Tensors) -> None:
        """Prepare connections, units and the layers around them before the first step, in place.

        Args:
            tensors: all parameters and buffers by dotted name, (..., *shape).
        """
        connections = [each for _, _, each in self.layer_connections(tensors)]
        surgery.prepare_connections(connections)
        for each in connections:
            if not each.rule.keeps_weights:
                surgery.restore(each)
        surgery.prepare_units(self.layer_units(tensors, {}, None).values())

    def restructure(
        self,
        tensors: Tensors,
        moments: Moments,
        loss: Tensor | None,
        events: Mapping[str, Tensor] | None = None,
        gradients: Tensors | None = None,
        step_counts: Tensors | None = None,
        *,
        may_sync: bool = True,
    ) -> None:
        """Prune and regrow units, then connections, in place, where there is an event.

        Args:
            tensors: all parameters and buffers by dotted name, (..., *shape).
            moments: the optimiser's, by the parameter's name.
            loss: (...), a running mean of the training loss, or ``None``.
            events: by module, (...) bool, whether there is one; by default those of the present step.
            gradients: the last ones, by the parameter's name, for rules that need them.
            step_counts: () each, the steps that an optimiser has counted, by the parameter's name.
            may_sync: whether values may be read from the device, so that modules without an event are left
                out.
        """
        modules: dict[str, PlasticUnits | PlasticConnections] = {**self._units, **self._connections}
        events = events or {
            name: _is_event(module, _buffers(module, name, tensors)) for name, module in modules.items()
        }
        resting = {name for name, event in events.items() if may_sync and not event.any()}
        layers = {
            name: layer
            for name, layer in self.layer_units(
                tensors, moments, loss, gradients, step_counts, may_sync=may_sync
            ).items()
            if layer.rule.prunes and name not in resting
        }
        # first all layers prune: units that are regrown draw weights only from inputs that live
        regrown = {name: surgery.prune(layer, events[name]) for name, layer in layers.items()}
        for name, layer in layers.items():
            surgery.regrow(layer, regrown[name])
        for name, weight, connections in self.layer_connections(tensors, loss):
            if name not in resting:
                surgery.rewire(connections, events[name], moments.get(weight, ()))

    def living_places(self, tensors: Tensors) -> dict[str, dict[int, Tensor]]:
        """The places in the tensors of one network to which the rest may be cut, while no unit is regrown.

        What is left out belongs to units that are out, and has no effect: weights of zero, and norms of
        zeros. Of a layer without living units, one that is out stays. Units stay that would return with
        their old weights, and those that share weights with something else.

        Args:
            tensors: all parameters and buffers by dotted name, (*shape).

        Returns:
            By name and axis, int64; a tensor or an axis without an entry is left whole.
        """
        kept: dict[str, dict[int, Tensor]] = {}

        def keep(name: str, axis: int, places: Tensor) -> None:
            own = kept.setdefault(name, {})
            own[axis] = own[axis] & places if axis in own else places

        for name, names in self._layer_names.items():
            units, buffers = self._units[name], _buffers(self._units[name], name, tensors)
            if not units.rule.prunes or not names.producers or not names.exclusive:
                continue
            if any(len(consumer.columns or ((),)) > 1 for consumer in names.consumers):
                continue  # groups of a convolution must stay equally large
            alive = buffers["alive"]
            if alive.all() or buffers["rebirth"] == REBIRTHS.index(OLD):
                continue
            if not alive.any():
                alive = torch.arange(len(alive), device=alive.device) == 0
            for key, buffer in buffers.items():
                for axis in range(buffer.dim()):
                    keep(f"{name}.{key}", axis, alive)
            for layer in (*names.producers, *names.norms):
                for key in ("weight", "bias", "running_mean", "running_var"):
                    keep(f"{layer}.{key}", 0, alive)
            for consumer in names.consumers:
                keep(f"{consumer.name}.weight", 1, living_inputs(alive, consumer.columns))
        return {
            name: {axis: places.nonzero().flatten() for axis, places in own.items()}
            for name, own in kept.items()
        }

    @property
    def perturbs(self) -> bool:
        """Whether a rule changes weights after every step of the optimiser."""
        return any(module.rule.perturbs for module in self._units.values())

    def perturb(self, tensors: Tensors, *, may_sync: bool = True) -> None:
        """Decay weights and add noise to them as rules say, after a step of the optimiser, in place.

        Args:
            tensors: all parameters and buffers by dotted name, (..., *shape).
            may_sync: whether values may be read from the device, so that nothing is drawn without noise.
        """
        for name, module in self._units.items():
            if module.rule.perturbs:
                surgery.perturb(self._layer(name, tensors, {}, None, {}, may_sync=may_sync))

    @property
    def observes_gradients(self) -> bool:
        """Whether a rule needs statistics of gradients, which `observe_gradients` gathers."""
        return any(Need.GATE_GRADIENT in module.rule.all_needs() for module in self._units.values())

    def observe_gradients(self, tensors: Tensors, gradients: Tensors) -> None:
        """Gather the statistics of gradients that rules need, after a backward pass and before its step.

        Args:
            tensors: all parameters and buffers by dotted name, (..., *shape).
            gradients: by the parameter's name, (..., *shape).
        """
        for name, module in self._units.items():
            if Need.GATE_GRADIENT in module.rule.all_needs():
                layer = self._layer(name, tensors, {}, None, gradients)
                observe_gates(layer.gate_gradients(), layer.tensors)

    def layer_units(
        self,
        tensors: Tensors,
        moments: Moments,
        loss: Tensor | None,
        gradients: Tensors | None = None,
        step_counts: Tensors | None = None,
        *,
        may_sync: bool = False,
    ) -> dict[str, LayerUnits]:
        """Every layer of units with the layers around it, by name; arguments as for `restructure`."""
        return {
            name: self._layer(
                name, tensors, moments, loss, gradients or {}, step_counts or {}, may_sync=may_sync
            )
            for name in self._units
        }

    def _layer(
        self,
        name: str,
        tensors: Tensors,
        moments: Moments,
        loss: Tensor | None,
        gradients: Tensors,
        step_counts: Tensors | None = None,
        *,
        may_sync: bool = False,
    ) -> LayerUnits:
        module = self._units[name]
        return LayerUnits(
            module.rule,
            _buffers(module, name, tensors),
            self._context(name, tensors, moments, loss, gradients, step_counts or {}),
            module.num_neurons,
            inputs=module.inputs,
            may_sync=may_sync,
            moments={key: moments.get(f"{name}.{key}", ()) for key in module.rule.parameters},
        )

    def layer_connections(
        self, tensors: Tensors, loss: Tensor | None = None
    ) -> Iterator[tuple[str, str, LayerConnections]]:
        """The connections of every masked weight, after the names of the mask and of the weight.

        The arguments are those of `restructure`.
        """
        for name, module in self._connections.items():
            for place, parameter in enumerate(module.names):
                weight = f"{name}.module.{parameter}".removeprefix(".")
                mask = module.connections[place]
                connections = LayerConnections(
                    module.rule,
                    of_parameter(_buffers(module, name, tensors), place),
                    _buffers(mask, f"{name}.connections.{place}".removeprefix("."), tensors),
                    tensors[weight],
                    module.get_parameter(f"module.{parameter}").numel(),
                    mean_loss=loss,
                    find_living=self._living_connections(weight.rpartition(".")[0], tensors),
                )
                yield name, weight, connections

    def _context(
        self,
        units: str,
        tensors: Tensors,
        moments: Moments,
        loss: Tensor | None,
        gradients: Tensors,
        step_counts: Tensors,
    ) -> LayerContext:
        names = self._layer_names[units]

        def moments_of(name: str, *kinds: str) -> tuple[Tensor, ...]:
            return tuple(moment for kind in kinds for moment in moments.get(f"{name}.{kind}", ()))

        producers = tuple(
            self._circuit(name, tensors)
            if name in self._circuits
            else self._of_credit(
                name,
                Producer(
                    tensors[f"{name}.weight"],
                    tensors.get(f"{name}.bias"),
                    moments_of(name, "weight", "bias", FEEDBACK),
                    tensors.get(f"{_mask_name(name)}.connected"),
                    tensors.get(f"{_mask_name(name)}.held"),
                    living_inputs=self._living_inputs(name, tensors),
                    gradient=gradients.get(f"{name}.weight"),
                    feedback=self._feedback(name, tensors),
                ),
                tensors,
            )
            for name in names.producers
        )
        norms = tuple(
            Norm(
                tensors.get(f"{name}.weight"),
                tensors.get(f"{name}.bias"),
                tensors.get(f"{name}.running_mean"),
                tensors.get(f"{name}.running_var"),
                moments_of(name, "weight", "bias"),
            )
            for name in names.norms
        )
        consumers = tuple(
            Consumer(
                tensors[f"{each.name}.weight"],
                tensors.get(f"{each.name}.bias") if each.foldable else None,
                moments_of(each.name, "weight", FEEDBACK),
                each.columns,
                tensors.get(f"{_mask_name(each.name)}.held"),
                tensors.get(f"{_mask_name(each.name)}.connected"),
                gradients.get(f"{each.name}.weight"),
                self._feedback(each.name, tensors),
            )
            for each in names.consumers
        )
        counted = [
            f"{name}.{kind}" for name in (*names.producers, *names.norms) for kind in ("weight", "bias")
        ]
        counted += [f"{each.name}.weight" for each in names.consumers]
        own_steps = Need.OWN_STEPS in self._units[units].rule.all_needs()
        counts = tuple(step_counts[name] for name in counted if own_steps and name in step_counts)
        return LayerContext(producers, norms, consumers, names.exclusive, loss, counts)

    def _circuit(self, name: str, tensors: Tensors) -> Producer:
        """A layer of similarity matching that feeds units; at a site each has weights of its own."""
        module = self._circuits[name]
        weight, connected, lateral = (
            tensors[f"{name}.{each}".removeprefix(".")] for each in ("weight", "connected", "lateral")
        )
        return Producer(
            module.by_unit(weight),
            None,
            mask=module.by_unit(connected),
            lateral=module.lateral_covariance(lateral),
            fresh_norm=weight.new_full((), math.sqrt(module.sites)),  # at each site about 1, as at the start
        )

    def _of_credit(self, name: str, producer: Producer, tensors: Tensors) -> Producer:
        """A layer that feeds units, with what its credit rule, if it has one, says of them."""
        if name not in self._credited:
            return producer
        credit = self._credited[name].credit
        own = _buffers(credit, f"{name}.credit".removeprefix("."), tensors)
        masks = [each for each in (producer.mask, own.get("wired")) if each is not None]
        return replace(
            producer,
            mask=reduce(torch.logical_and, masks) if masks else None,
            state=tuple(own[each] for each in credit.rule.unit_buffers),
            lateral=own.get("lateral"),
            fresh_norm=credit.rule.fresh_norm(TensorNamespace({**own, **credit.structural})),
        )

    def _feedback(self, layer: str, tensors: Tensors) -> Feedback | None:
        """The backward weights of a layer, if it has some."""
        weight, scale = (tensors.get(f"{layer}.{name}") for name in (FEEDBACK, "credit.feedback_scale"))
        if weight is None or scale is None:
            return None  # a rule of the user's own may have a buffer of this name
        seed = tensors[f"{layer}.credit.seed"]
        bound = feedback_bound(scale, fan(weight[(0,) * scale.dim()]))
        return Feedback(weight, bound, seed, self._living_connections(layer, tensors))

    def _living_connections(self, layer: str, tensors: Tensors) -> Callable[[], Tensor] | None:
        """A function for which weights of a layer lie between living units, broadcast to them, if known."""
        outputs, inputs = self._living_outputs(layer, tensors), self._living_inputs(layer, tensors)
        if outputs is None and inputs is None:
            return None
        return partial(between_living, tensors[f"{layer}.weight"], outputs, inputs)

    def _living_outputs(self, layer: str, tensors: Tensors) -> Tensor | None:
        """Which outputs of a layer feed living units, (..., outputs) bool, if known."""
        for name, names in self._layer_names.items():
            if names.exclusive and self._units[name].rule.prunes and layer in names.producers:
                return tensors[f"{name}.alive".removeprefix(".")]
        return None

    def _living_inputs(self, layer: str, tensors: Tensors) -> Callable[[], Tensor] | None:
        """A function for which inputs of a layer come from living units, (..., inputs) bool, if known."""
        for name, names in self._layer_names.items():
            if not names.exclusive or not self._units[name].rule.prunes:
                continue  # an input of the layer may carry something else beside a pruned unit
            for consumer in names.consumers:
                if consumer.name == layer:
                    if consumer.columns is not None and len(consumer.columns) > 1:
                        return None  # in groups, the inputs of a unit are not all inputs of the layer
                    alive = tensors[f"{name}.alive".removeprefix(".")]
                    return partial(living_inputs, alive, consumer.columns)
        return None


def needs_layers(model: nn.Module) -> bool:
    """Whether knobs of a network need layers around its units; others may train whatever is around them."""
    return any(module.unmet(()) for module in plastic_units(model).values())


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a network, under each of their names, to be changed in place."""
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


def set_attached(model: nn.Module) -> None:
    """Leave pruning and regrowth to the engine, and let layers that need it have the error of the outputs."""
    for module in plastic_modules(model).values():
        module.attached = True
    connect_outputs(model)


def _buffers(module: nn.Module, name: str, tensors: Tensors) -> dict[str, Tensor]:
    """The buffers and parameters of the module of that name, by their names in it, out of all tensors."""
    own = (*module._buffers, *module._parameters)
    return {key: tensors[f"{name}.{key}".removeprefix(".")] for key in own}


def _is_event(module: PlasticUnits | PlasticConnections, buffers: Tensors) -> Tensor:
    """Whether there is an event at the present step of each network, (...) bool."""
    return module.rule.is_event(TensorNamespace(buffers), buffers["steps"], buffers["total_steps"])


def _met_needs(names: LayerNames) -> set[Need]:
    """The needs that the layers around units meet."""
    met = {
        Need.OUTGOING: bool(names.consumers),
        Need.INCOMING: bool(names.producers),
        Need.FOLDABLE: any(consumer.foldable for consumer in names.consumers),
        Need.EXCLUSIVE: names.exclusive,
    }
    return {need for need, is_met in met.items() if is_met}


def _mask_name(layer: str) -> str:
    """The name of the mask of a layer's weight, if the layer is inside one, else empty."""
    parent, _, last = layer.rpartition(".")
    return f"{parent}.connections.0".removeprefix(".") if last == "module" else ""
