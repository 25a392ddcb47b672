"""Survivors: how many neurons, connections, parameters or multiply-adds are alive.

Alive is what is on a live path from the inputs to the outputs. A bias, or the scale or shift of a norm, is
alive if its unit is, and any other parameter if the network uses it. Of each connection there are as many
multiply-adds as positions at which a row uses it.

The network is run once, on patterns instead of values. A pattern is a float tensor that is 0 where no live
path from the inputs leads; its gradient is 0 where no live path leads on to the outputs. Everywhere else both
are about 1 or more, so one half separates the two cases, however an algorithm for convolutions rounds. A
neuron, a connection or an input is alive where both its pattern and its gradient are above one half.

A weight of zero, a factor of zero and a masked position end paths. Biases and other constants begin none.
What no path leads to is a constant, but need not be zero. As a factor it ends a path only if it is zero.

A function that is in no table is not followed: everything that enters it counts as used, and all its results
count as reached if any argument is. The notes name it.

    plan = LivenessPlan.of(net, row)          # which layers there are, from one network
    plan.alive_neurons(evaluate, nets)        # counts in many networks of that structure
    survivors(net, row)                       # both in one step, for one network of any kind
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import mul

import torch
from torch import Tensor, nn

from hebbevo.messages import describe
from hebbevo.nn.credit import backward_parameters
from hebbevo.nn.forward_pass.following import NotFollowed, layer_name
from hebbevo.nn.forward_pass.side_effects import full_precision, without_side_effects
from hebbevo.nn.liveness.flow import Forward, ProbedRun, StructureRun, WeightRun, path_gradients
from hebbevo.nn.liveness.own_masks import (
    AliveParts,
    alive_units,
    fallback_note,
    is_input,
    nonzero_weights,
)

Evaluate = Callable[..., list[Tensor]]
"""Evaluates a function for n networks of one structure: ``evaluate(function, *args)``.

``function(forward, *args)`` is written for one network and returns tensors. For ``evaluate``, the arguments
and the results have a first axis of n.
"""


@dataclass(frozen=True)
class Survivors:
    """Which neurons, or connections, are alive in n networks of one structure.

    Attributes:
        layers: names of the layers, in the order in which they are first called. For neurons, hidden ones.
        neurons: how many neurons, or connections, each layer has, those that are dead included.
        alive: (n, layers) int64, how many of each are alive.
        inputs: (n,) int64, elements of an input row that are alive.
        notes: what could not be followed.
        units: which neurons of each layer are alive, (n, neurons) bool; empty where connections are counted.
    """

    layers: tuple[str, ...]
    neurons: tuple[int, ...]
    alive: Tensor
    inputs: Tensor
    notes: tuple[str, ...]
    units: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class PlannedCall:
    """One call of a layer, or of a norm that has weights.

    Attributes:
        name: of the module, dotted.
        shape: of the output for one row.
        weight: shape of the weights.
        axes: of the output, counted from the end, along which its units lie.
        parameters: names of its weight and its bias, empty where they are computed or missing.
        positions: how often one row uses each weight; 0 for norms.
        hidden: whether another layer uses the output, so that the units are neurons.
        trained: name of the weight, also where a mask computes the weight from it; else empty.
    """

    name: str
    shape: tuple[int, ...]
    weight: tuple[int, ...]
    axes: tuple[int, ...]
    parameters: tuple[str, str]
    positions: int
    hidden: bool
    trained: str = ""

    @property
    def trained_parameters(self) -> tuple[str, str]:
        """Names of the weight and the bias; of the weight also where a mask computes it."""
        return self.trained, self.parameters[1]

    @property
    def units(self) -> int:
        """How many units there are."""
        return reduce(mul, (self.shape[axis] for axis in self.axes))


@dataclass(frozen=True)
class LivenessPlan:
    """Where to look for survivors in networks of one structure; made once, from one of them.

    Attributes:
        row: (1, *shape), an input of ones.
        example: (1, *shape), an input that the network takes.
        calls: of layers and norms, in their order. Of one layer all are hidden or none is.
        used: names of the parameters that any function of the forward pass is given.
        notes: what could not be followed.
        needs_values: whether a count depends on the values of constants, and not on paths alone.
        sizes: how many numbers each parameter has, by name.
    """

    row: Tensor
    example: Tensor
    calls: tuple[PlannedCall, ...]
    used: frozenset[str]
    notes: tuple[str, ...]
    needs_values: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, net: nn.Module, row: Tensor) -> LivenessPlan:
        """Find the layers of ``net`` and which of them are hidden, whatever is dead at present.

        Args:
            net: any module; left as it was.
            row: (1, *shape), an input. The count is the same for any input that the network takes.

        Raises:
            NotFollowed: the network cannot be run on patterns.
        """
        device = next((parameter.device for parameter in net.parameters()), row.device)
        dtype = next((each.dtype for each in net.parameters() if each.is_floating_point()), row.dtype)
        example = row.detach().to(device, dtype if row.is_floating_point() else row.dtype)
        row = torch.ones(row.shape, device=device)
        run = StructureRun(net)
        own = dict(net.named_parameters())
        try:
            with full_precision(device), without_side_effects(net) as copies, run.watching_modules():
                run.run(net, row.clone().requires_grad_(), example)
                used_by_layers = run.used_by_layers()
        except NotFollowed:
            raise
        except (Exception, SystemExit) as error:  # a forward pass may raise any exception
            raise NotFollowed(describe(error)) from error
        # a layer that is called several times is hidden if any of its calls is
        hidden = {name for name, used in zip(run.names, used_by_layers, strict=True) if used}
        # the run was given copies of the parameters
        names = {id(copies[id(parameter)]): name for name, parameter in own.items()}
        calls = tuple(
            PlannedCall(
                name,
                tuple(call.pattern.shape),
                tuple(call.weight.shape),
                call.axes,
                (names.get(id(weight), ""), names.get(id(bias), "")),
                call.positions,
                name in hidden,
                names.get(id(weight)) or _computed_from(net, name, call.weight),
            )
            for name, call, (weight, bias) in zip(run.names, run.calls, run.parameters, strict=True)
        )
        used = frozenset(name for parameter, name in names.items() if parameter in run.seen)
        backward = backward_parameters(net)
        sizes = {name: parameter.numel() for name, parameter in own.items() if name not in backward}
        return cls(row, example, calls, used, tuple(dict.fromkeys(run.notes)), run.needs_values, sizes)

    @property
    def neurons(self) -> dict[str, int]:
        """Neurons of each hidden layer, in the order in which they are first called."""
        return {call.name: call.units for call in self.calls if call.hidden}

    def totals(self, count: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Names of the layers that a count is about, and how many neurons or connections they have.

        Args:
            count: a key of `COUNTS`.
        """
        if count == "neurons":
            return tuple(self.neurons), tuple(self.neurons.values())
        if count == "parameters":
            by_row = self._parameter_rows
            return tuple(by_row), tuple(sum(map(self.sizes.__getitem__, own)) for own in by_row.values())
        connections = {call.name: math.prod(call.weight) for call in self.calls if call.positions}
        if count == "multiply_adds":
            connections = {name: size * self._positions(name) for name, size in connections.items()}
        return tuple(connections), tuple(connections.values())

    @property
    def _parameter_rows(self) -> dict[str, list[str]]:
        """The parameters of each layer and norm; any other has a row of its own."""
        rows: dict[str, list[str]] = {}
        seen: set[str] = set()
        for call in self.calls:
            for name in call.trained_parameters:
                if name and name not in seen:
                    seen.add(name)
                    rows.setdefault(call.name, []).append(name)
        return rows | {name: [name] for name in self.sizes if name not in seen}

    def _positions(self, layer: str) -> int:
        """How often one row uses each weight of a layer, in all of its calls."""
        return sum(call.positions for call in self.calls if call.name == layer)

    def alive_multiply_adds(self, evaluate: Evaluate, nets: int) -> Survivors:
        """Count the multiply-adds, for one row of inputs, of the connections that are alive.

        Raises:
            NotFollowed: a network calls other layers than the one that this plan was made from.
        """
        found = self.alive_connections(evaluate, nets)
        layers, totals = self.totals("multiply_adds")
        positions = torch.tensor([self._positions(name) for name in layers], device=found.alive.device)
        return replace(found, neurons=totals, alive=found.alive * positions)

    def alive_parameters(self, evaluate: Evaluate, nets: int) -> Survivors:
        """Count the parameters that are alive in each of ``nets`` networks.

        Raises:
            NotFollowed: a network calls other layers than the one that this plan was made from.
        """
        places = [*range(len(self.calls))]
        shapes = [*(call.shape for call in self.calls), *(call.weight for call in self.calls)]
        rows, found = self._alive(evaluate, partial(self._probe_both, places), shapes, nets)
        alive: dict[str, Tensor] = {}
        outputs, weights = found[: len(places)], found[len(places) :]
        for call, output, weight in zip(self.calls, outputs, weights, strict=True):
            of_weight = weight.flatten(1)
            of_bias = _alive_units(output, call.axes) if call.positions else of_weight
            for name, own in zip(call.trained_parameters, (of_weight, of_bias), strict=True):
                if name and own.shape[1] == self.sizes[name]:
                    alive[name] = alive[name] | own if name in alive else own
        none = rows.new_zeros(nets, dtype=torch.int64)
        by_parameter = {name: none + size * (name in self.used) for name, size in self.sizes.items()}
        by_parameter |= {name: own.sum(1) for name, own in alive.items()}
        counts = [sum((by_parameter[name] for name in own), none) for own in self._parameter_rows.values()]
        counted = torch.stack(counts, 1) if counts else none[:, None][:, :0]
        return Survivors(*self.totals("parameters"), counted, rows.flatten(1).sum(1), self.notes)

    def alive_neurons(self, evaluate: Evaluate, nets: int) -> Survivors:
        """Count the neurons that are alive in each of ``nets`` networks, which ``evaluate`` evaluates.

        Raises:
            NotFollowed: a network calls other layers than the one that this plan was made from.
        """
        places = [place for place, call in enumerate(self.calls) if call.hidden]
        shapes = [self.calls[place].shape for place in places]
        rows, outputs = self._alive(evaluate, partial(self._probe_outputs, places), shapes, nets)
        units = [
            _alive_units(output, self.calls[place].axes)
            for place, output in zip(places, outputs, strict=True)
        ]
        return self._summed("neurons", places, units, rows)

    def alive_connections(self, evaluate: Evaluate, nets: int) -> Survivors:
        """Count the connections that are alive in each of ``nets`` networks.

        Raises:
            NotFollowed: a network calls other layers than the one that this plan was made from.
        """
        places = [place for place, call in enumerate(self.calls) if call.positions]
        shapes = [self.calls[place].weight for place in places]
        rows, weights = self._alive(evaluate, partial(self._probe_weights, places), shapes, nets)
        alive = [weight.flatten(1) for weight in weights]
        return self._summed("connections", places, alive, rows)

    def alive_parts(self, net: nn.Module) -> tuple[AliveParts, ...]:
        """Find the units and connections of ``net`` that are alive, at every call."""
        run = WeightRun()
        with full_precision(self.row.device), without_side_effects(net):
            objective = run.run(net, self.row.clone().requires_grad_(), self.example)
            outputs = [call.pattern for call in run.calls]
            weights = [call.weight for call in run.calls]
            patterns = [*outputs, *weights]
            alive = [*map(_is_alive, patterns, path_gradients(objective, patterns))]
        return tuple(
            AliveParts(_alive_units(units[None], call.axes)[0], connections)
            for call, units, connections in zip(
                self.calls, alive[: len(outputs)], alive[len(outputs) :], strict=True
            )
        )

    def _alive(
        self,
        evaluate: Evaluate,
        probe: Callable[..., list[Tensor]],
        shapes: Sequence[tuple[int, ...]],
        nets: int,
    ) -> tuple[Tensor, list[Tensor]]:
        """Where inputs, and the outputs or weights at which ``probe`` looks, are alive in every network."""
        with full_precision(self.row.device):
            rows = self.row.expand(nets, *self.row.shape).clone().requires_grad_()
            # under vmap, gradients of returned patterns cannot be taken: see `ProbedRun`
            probes = [rows.new_zeros(nets, *shape, requires_grad=True) for shape in shapes]
            objective, *patterns = evaluate(probe, rows, probes)
            gradients = path_gradients(objective, [rows, *probes])
        inputs, *alive = map(_is_alive, [rows, *patterns], gradients)
        return inputs, alive

    def _probe_outputs(
        self, places: Sequence[int], forward: Forward, row: Tensor, probes: list[Tensor]
    ) -> list[Tensor]:
        run = ProbedRun(dict(zip(places, probes, strict=True)), {}, with_values=self.needs_values)
        objective = self._run(run, forward, row)
        return [objective, *(run.calls[place].pattern for place in places)]

    def _probe_weights(
        self, places: Sequence[int], forward: Forward, row: Tensor, probes: list[Tensor]
    ) -> list[Tensor]:
        run = ProbedRun({}, dict(zip(places, probes, strict=True)), with_values=self.needs_values)
        objective = self._run(run, forward, row)
        return [objective, *(run.calls[place].weight for place in places)]

    def _probe_both(
        self, places: Sequence[int], forward: Forward, row: Tensor, probes: list[Tensor]
    ) -> list[Tensor]:
        outputs, weights = probes[: len(places)], probes[len(places) :]
        run = ProbedRun(
            dict(zip(places, outputs, strict=True)),
            dict(zip(places, weights, strict=True)),
            with_values=self.needs_values,
        )
        objective = self._run(run, forward, row)
        calls = [run.calls[place] for place in places]
        return [objective, *(call.pattern for call in calls), *(call.weight for call in calls)]

    def _run(self, run: ProbedRun, forward: Forward, row: Tensor) -> Tensor:
        objective = run.run(forward, row, self.example)
        if len(run.calls) != len(self.calls):
            raise NotFollowed("its layers are not called as they were in the net it was planned for")
        return objective

    def _summed(
        self, count: str, places: Sequence[int], alive: Sequence[Tensor], inputs: Tensor
    ) -> Survivors:
        """Sum up by layer what is alive at each place, (nets, size) bool.

        A unit is alive if it is at any call of its layer.
        """
        of_layer: dict[str, Tensor] = {}
        for place, each in zip(places, alive, strict=True):
            name = self.calls[place].name
            of_layer[name] = of_layer[name] | each if name in of_layer else each
        counts = [each.sum(1) for each in of_layer.values()]
        return Survivors(
            *self.totals(count),
            torch.stack(counts, 1) if counts else inputs.new_zeros(len(inputs), 0, dtype=torch.int64),
            inputs.flatten(1).sum(1),
            self.notes,
            tuple(of_layer.values()) if count == "neurons" else (),
        )


def _computed_from(net: nn.Module, layer: str, weight: Tensor) -> str:
    """The name of the parameter of which a mask or a parametrisation makes a weight; empty if unknown."""
    found = (
        name
        for name, parameter in net.named_parameters()
        if parameter.shape == weight.shape
        and layer_name(net, name.rpartition(".")[0].partition(".parametrizations")[0])
        == layer.partition("[")[0]
    )
    return next(found, "")


def survivors(net: nn.Module, row: Tensor, count: Count | None = None) -> Survivors:
    """Count what is alive in one network of any kind.

    Where the network cannot be followed, each module's own mask counts instead, and a note says so.

    Args:
        net: any module; left as it was.
        row: (1, *shape), an input; the count is the same for any that the network takes.
        count: an entry of `COUNTS`; by default that of neurons.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> _ = net[0].weight.data[0].zero_()
    >>> survivors(net, torch.ones(1, 4)).alive.tolist()
    [[2]]
    """
    count = count or COUNTS["neurons"]

    def evaluate(function: Callable[..., list[Tensor]], rows: Tensor, probes: list[Tensor]) -> list[Tensor]:
        with without_side_effects(net):
            return [tensor[None] for tensor in function(net, rows[0], [probe[0] for probe in probes])]

    try:
        return count.along_paths(LivenessPlan.of(net, row), evaluate, 1)
    except NotFollowed as reason:
        return count.by_own_masks(net, row, reason)


@dataclass(frozen=True)
class Count:
    """What can be counted as a survivor.

    Attributes:
        along_paths: counts it in networks of a plan.
        by_own_masks: counts it in a network that cannot be followed, for the reason given.
    """

    along_paths: Callable[[LivenessPlan, Evaluate, int], Survivors]
    by_own_masks: Callable[[nn.Module, Tensor, NotFollowed], Survivors]


def _neurons_by_own_masks(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    hidden = {name: mask for name, mask in alive_units(net).items() if not is_input(net, name)}
    units = tuple(mask.flatten()[None].bool() for mask in hidden.values())
    return replace(_by_own_masks(net, hidden, row, reason), units=units)


def _connections_by_own_masks(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    connections = {name: own.connections for name, own in nonzero_weights(net).items()}
    return _by_own_masks(net, connections, row, reason)


def _parameters_by_own_masks(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    own = nonzero_weights(net)
    places = {name: place for place in own for name in (f"{place}.weight", f"{place}.module.weight")}
    parameters = {
        name: own[places[name]].connections if name in places else torch.ones_like(each, dtype=torch.bool)
        for name, each in net.named_parameters()
    }
    return _by_own_masks(net, parameters, row, reason)


def _multiply_adds_by_own_masks(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    # at how many positions a row uses a weight is not known
    return _by_own_masks(net, {}, row, reason)


COUNTS: dict[str, Count] = {
    "neurons": Count(LivenessPlan.alive_neurons, _neurons_by_own_masks),
    "connections": Count(LivenessPlan.alive_connections, _connections_by_own_masks),
    "parameters": Count(LivenessPlan.alive_parameters, _parameters_by_own_masks),
    "multiply_adds": Count(LivenessPlan.alive_multiply_adds, _multiply_adds_by_own_masks),
}
"""What survivors may be, by the name under which a space file asks for it."""


def _by_own_masks(net: nn.Module, alive: Mapping[str, Tensor], row: Tensor, reason: NotFollowed) -> Survivors:
    counts = [each.sum() for each in alive.values()]
    inputs = [mask.sum() for name, mask in alive_units(net).items() if is_input(net, name)]
    return Survivors(
        tuple(alive),
        tuple(each.numel() for each in alive.values()),
        torch.stack(counts)[None] if counts else torch.zeros(1, 0, dtype=torch.int64, device=row.device),
        torch.stack(inputs).sum()[None] if inputs else torch.tensor([row.numel()], device=row.device),
        (fallback_note(reason),),
    )


def _is_alive(pattern: Tensor, gradient: Tensor) -> Tensor:
    """Where elements are both reached and used."""
    return (pattern > 0.5) & (gradient > 0.5)


def _alive_units(alive: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Which units are alive at any position, (n, units), from the elements of the outputs of n networks."""
    # axes are counted from the end, and the axis of networks is the first
    last = len(axes)
    ahead = alive.movedim(axes, tuple(range(1, last + 1))).flatten(1, last)
    return ahead.reshape(*ahead.shape[:2], -1).any(-1)
