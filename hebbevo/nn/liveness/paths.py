"""Which neurons are alive in any network: those on a live path from its inputs to its outputs.

The network is run once, on patterns instead of values. A pattern is a float tensor that is 0 where no live
path from the inputs arrives; its gradient is 0 where no live path leads on to the outputs. Everywhere else
either is about 1 or more, so that one half tells them apart, however an algorithm for convolutions rounds. A
neuron, a connection or an input is alive where its pattern and its gradient both say so.

A zero weight, a factor of zero and a masked position cut paths; biases and other constants begin none. A
function that stands in no table here is not followed: all that enters it lives, all that leaves it lives if
anything enters it alive, and the notes name it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import mul

import torch
from torch import Tensor, nn

from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.liveness.flow import (
    LAYERS,
    Forward,
    Probed,
    Structure,
    Weighed,
    exactly,
    gradients,
    layer_name,
    still,
)
from hebbevo.nn.liveness.patterns import NotFollowed
from hebbevo.nn.units import plastic_units

Caller = Callable[..., list[Tensor]]
"""Evaluates a function of (net, *args), its first argument, for n nets; what the function takes and what it
returns, here has a first axis of n."""


@dataclass(frozen=True)
class Survivors:
    """Which neurons, or connections, are alive in n nets of one structure.

    Attributes:
        layers: names of the hidden layers, or of all, in the order in which they are first called.
        neurons: how many each layer has, the dead included.
        alive: (n, layers) int64, how many of each are alive.
        inputs: (n,) int64, elements of an input row that are alive.
        notes: what could not be followed.
    """

    layers: tuple[str, ...]
    neurons: tuple[int, ...]
    alive: Tensor
    inputs: Tensor
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """One call of a layer, or of a norm that has weights.

    Attributes:
        name: of the module, dotted.
        shape: of the output for one row.
        weight: shape of the weights.
        axes: of the output, counted from the end, along which its units lie.
        parameters: names of its weight and its bias, empty where they are computed or missing.
        positions: how often one row uses each weight; 0 for norms.
        hidden: whether a layer listens, so that the units are neurons.
    """

    name: str
    shape: tuple[int, ...]
    weight: tuple[int, ...]
    axes: tuple[int, ...]
    parameters: tuple[str, str]
    positions: int
    hidden: bool

    @property
    def units(self) -> int:
        """How many units there are."""
        return reduce(mul, (self.shape[axis] for axis in self.axes))


@dataclass(frozen=True)
class Living:
    """Who is alive at a site: (units,) and, in the shape of the weights, connections."""

    units: Tensor
    connections: Tensor


@dataclass(frozen=True)
class Plan:
    """Where to look for survivors in nets of one structure; made once, from one of them.

    Attributes:
        row: (1, *shape), an input of ones.
        sites: calls in their order; of one layer all are hidden or none is.
        used: names of the parameters that the forward pass looks at.
        notes: what could not be followed.
    """

    row: Tensor
    sites: tuple[Site, ...]
    used: frozenset[str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, net: nn.Module, row: Tensor) -> Plan:
        """Find the layers of ``net`` and which of them are hidden, whoever is dead at present.

        Args:
            net: any module; left as it was.
            row: (1, *shape), an input; only its shape counts.

        Raises:
            NotFollowed: the net cannot be run on patterns.
        """
        device = next((parameter.device for parameter in net.parameters()), row.device)
        row = torch.ones(row.shape, device=device)
        flow = Structure(net)
        own = dict(net.named_parameters())
        try:
            with exactly(device), still(net) as copies, flow.watching():
                flow.run(net, row.clone().requires_grad_())
                heard = flow.heard()
        except NotFollowed:
            raise
        except (Exception, SystemExit) as error:  # a forward pass may raise anything
            line = str(error).strip().partition("\n")[0]
            raise NotFollowed(f"{type(error).__name__}: {line}" if line else type(error).__name__) from error
        hidden = {name for name, listened in zip(flow.names, heard, strict=True) if listened}
        names = {id(copies[id(parameter)]): name for name, parameter in own.items()}
        sites = tuple(
            Site(
                name,
                tuple(call.pattern.shape),
                tuple(call.weight.shape),
                call.axes,
                (names.get(id(weight), ""), names.get(id(bias), "")),
                call.positions,
                name in hidden,
            )
            for name, call, (weight, bias) in zip(flow.names, flow.calls, flow.parameters, strict=True)
        )
        used = frozenset(name for parameter, name in names.items() if parameter in flow.seen)
        return cls(row, sites, used, tuple(dict.fromkeys(flow.notes)))

    @property
    def neurons(self) -> dict[str, int]:
        """Neurons of each hidden layer, in the order in which they are first called."""
        return {site.name: site.units for site in self.sites if site.hidden}

    def counted(self, count: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Names of the layers of which `COUNTS` counts neurons or connections, and how many they have."""
        if count == "neurons":
            return tuple(self.neurons), tuple(self.neurons.values())
        totals = {site.name: math.prod(site.weight) for site in self.sites if site.positions}
        return tuple(totals), tuple(totals.values())

    def survivors(self, call: Caller, nets: int) -> Survivors:
        """Count the neurons that are alive in each of ``nets`` nets, which ``call`` evaluates.

        Raises:
            NotFollowed: a net calls other layers than the one that this plan was made from.
        """
        places = [place for place, site in enumerate(self.sites) if site.hidden]
        shapes = [self.sites[place].shape for place in places]
        rows, outputs = self._seen(call, partial(self._trace_outputs, places), shapes, nets)
        units = [
            _units(output, self.sites[place].axes) for place, output in zip(places, outputs, strict=True)
        ]
        return self._counted("neurons", places, units, rows)

    def connections(self, call: Caller, nets: int) -> Survivors:
        """Count the connections that are alive; everything else as for neurons.

        Raises:
            NotFollowed: a net calls other layers than the one that this plan was made from.
        """
        places = [place for place, site in enumerate(self.sites) if site.positions]
        shapes = [self.sites[place].weight for place in places]
        rows, weights = self._seen(call, partial(self._trace_weights, places), shapes, nets)
        alive = [weight.flatten(1) for weight in weights]
        return self._counted("connections", places, alive, rows)

    def living(self, net: nn.Module) -> tuple[Living, ...]:
        """Find who is alive in ``net``, at every site."""
        flow = Weighed()
        with exactly(self.row.device), still(net):
            objective = flow.run(net, self.row.clone().requires_grad_())
            outputs, weights = ([getattr(call, of) for call in flow.calls] for of in ("pattern", "weight"))
            patterns = [*outputs, *weights]
            alive = [*map(_alive, patterns, gradients(objective, patterns))]
        return tuple(
            Living(_units(units[None], site.axes)[0], connections)
            for site, units, connections in zip(
                self.sites, alive[: len(outputs)], alive[len(outputs) :], strict=True
            )
        )

    def _seen(
        self, call: Caller, trace: Callable[..., list[Tensor]], shapes: Sequence[tuple[int, ...]], nets: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Where inputs, and the places that ``trace`` looks at, are alive in every net."""
        with exactly(self.row.device):
            rows = self.row.expand(nets, *self.row.shape).clone().requires_grad_()
            # what is returned need not be what gradients came through: they are taken at zeros that are added
            probes = [rows.new_zeros(nets, *shape, requires_grad=True) for shape in shapes]
            objective, *patterns = call(trace, rows, probes)
            heard = gradients(objective, [rows, *probes])
        inputs, *alive = map(_alive, [rows, *patterns], heard)
        return inputs, alive

    def _trace_outputs(
        self, places: Sequence[int], forward: Forward, row: Tensor, probes: list[Tensor]
    ) -> list[Tensor]:
        flow = Probed(dict(zip(places, probes, strict=True)), {})
        objective = self._run(flow, forward, row)
        return [objective, *(flow.calls[place].pattern for place in places)]

    def _trace_weights(
        self, places: Sequence[int], forward: Forward, row: Tensor, probes: list[Tensor]
    ) -> list[Tensor]:
        flow = Probed({}, dict(zip(places, probes, strict=True)))
        objective = self._run(flow, forward, row)
        return [objective, *(flow.calls[place].weight for place in places)]

    def _run(self, flow: Probed, forward: Forward, row: Tensor) -> Tensor:
        objective = flow.run(forward, row)
        if len(flow.calls) != len(self.sites):
            raise NotFollowed("its layers are not called as they were in the net it was planned for")
        return objective

    def _counted(
        self, count: str, places: Sequence[int], alive: Sequence[Tensor], inputs: Tensor
    ) -> Survivors:
        """Sum up by layer, of which every call may keep something alive: each (nets, size)."""
        of_layer: dict[str, Tensor] = {}
        for place, each in zip(places, alive, strict=True):
            name = self.sites[place].name
            of_layer[name] = of_layer[name] | each if name in of_layer else each
        counts = [each.sum(1) for each in of_layer.values()]
        return Survivors(
            *self.counted(count),
            torch.stack(counts, 1) if counts else inputs.new_zeros(len(inputs), 0, dtype=torch.int64),
            inputs.flatten(1).sum(1),
            self.notes,
        )


def survivors(net: nn.Module, row: Tensor, count: Count | None = None) -> Survivors:
    """Count who is alive in one net of any kind; where it cannot be followed, its masks count alone.

    Args:
        net: any module; left as it was.
        row: (1, *shape), an input; only its shape counts.
        count: what is counted; by default neurons.
    """
    count = count or COUNTS["neurons"]

    def call(function: Callable[..., list[Tensor]], rows: Tensor, probes: list[Tensor]) -> list[Tensor]:
        with still(net):
            return [tensor[None] for tensor in function(net, rows[0], [probe[0] for probe in probes])]

    try:
        return count.of(Plan.of(net, row), call, 1)
    except NotFollowed as reason:
        return count.by_itself(net, row, reason)


def by_own_masks(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    """Count who is alive in a net that cannot be followed for this ``reason``: its masks alone say it."""
    masks = own_masks(net)
    hidden = {name: mask for name, mask in masks.items() if not is_input(net, name)}
    return _by_themselves(net, hidden, row, reason)


def by_own_weights(net: nn.Module, row: Tensor, reason: NotFollowed) -> Survivors:
    """Count the connections of such a net that are not zero."""
    return _by_themselves(net, {name: own.connections for name, own in own_weights(net).items()}, row, reason)


def _by_themselves(
    net: nn.Module, alive: Mapping[str, Tensor], row: Tensor, reason: NotFollowed
) -> Survivors:
    counts = [each.sum() for each in alive.values()]
    inputs = [mask.sum() for name, mask in own_masks(net).items() if is_input(net, name)]
    return Survivors(
        tuple(alive),
        tuple(each.numel() for each in alive.values()),
        torch.stack(counts)[None] if counts else torch.zeros(1, 0, dtype=torch.int64, device=row.device),
        torch.stack(inputs).sum()[None] if inputs else torch.tensor([row.numel()], device=row.device),
        (why_alone(reason),),
    )


@dataclass(frozen=True)
class Count:
    """What can be counted as a survivor.

    Attributes:
        of: counts it in nets of a plan.
        by_itself: counts it in a net that cannot be followed.
    """

    of: Callable[[Plan, Caller, int], Survivors]
    by_itself: Callable[[nn.Module, Tensor, NotFollowed], Survivors]


COUNTS: dict[str, Count] = {
    "neurons": Count(Plan.survivors, by_own_masks),
    "connections": Count(Plan.connections, by_own_weights),
}


def why_alone(reason: NotFollowed) -> str:
    """Say that masks count alone, and why."""
    return f"not followed: {reason}; each module's own mask counts"


def own_masks(net: nn.Module) -> dict[str, Tensor]:
    """Who is alive by its own mask: units of plastic modules; without any, units of layers but the last."""
    if plastic := plastic_units(net):
        return {name: module.alive for name, module in plastic.items()}
    return {name: own.units for name, own in list(own_weights(net).items())[:-1]}


def own_weights(net: nn.Module) -> dict[str, Living]:
    """Linear layers and convolutions by themselves: weights that are not zero, and units that have any."""
    masked = {
        id(mask.module.get_submodule(name.rpartition(".")[0])): weight
        for mask in net.modules()
        if isinstance(mask, PlasticConnections)
        for name, weight in mask.weights().items()
    }
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, LAYERS):
            weight = masked.get(id(module), module.weight).detach() != 0
            by_unit = weight
            if "Transpose" in type(module).__name__:  # (in, out / groups, ...)
                groups = int(getattr(module, "groups", 1))
                by_unit = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
            found[layer_name(net, name)] = Living(by_unit.flatten(1).any(1), weight)
    return found


def runs(net: nn.Module, inputs: Tensor) -> bool:
    """Tell whether ``net`` takes such inputs; it stays as it was."""
    try:
        with torch.no_grad(), still(net):
            net(inputs.clone())
    except (Exception, SystemExit):  # a forward pass may raise anything
        return False
    return True


def is_input(net: nn.Module, name: str) -> bool:
    """Tell whether the units of a plastic module are elements of the input."""
    return bool(getattr(net.get_submodule(name), "inputs", False))


def _alive(pattern: Tensor, gradient: Tensor) -> Tensor:
    """Where paths arrive and lead on."""
    return (pattern > 0.5) & (gradient > 0.5)


def _units(alive: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether units are alive anywhere, (n, units), from the elements of n nets."""
    last = len(axes)
    ahead = alive.movedim(axes, tuple(range(1, last + 1))).flatten(1, last)
    return ahead.reshape(*ahead.shape[:2], -1).any(-1)
