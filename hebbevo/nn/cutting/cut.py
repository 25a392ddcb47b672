"""Which bundles leave a network, and the network without them.

A bundle leaves if all of its units and columns are dead, unless something holds it back:

- It is fixed (see `hebbevo.nn.cutting.bundles`).
- The groups of a convolution must stay equal in size, and some layers cannot be empty.
- Its constant cannot be folded into a bias. A dead unit may be a constant that is not zero. Behind it a bias
  takes up what the constant adds, but for a convolution that is padded with zeros: there the border has less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from hebbevo.nn.cutting.bundles import Bundle, Bundles
from hebbevo.nn.cutting.plain_modules import plain_units, without_plastic_units
from hebbevo.nn.forward_pass.example_inputs import run_on_example
from hebbevo.nn.forward_pass.following import function_name, tensors_in
from hebbevo.nn.forward_pass.side_effects import without_side_effects
from hebbevo.nn.liveness.paths import LivenessPlan
from hebbevo.nn.unit_labels.run import LAYER_FUNCTIONS
from hebbevo.nn.units import PlasticUnits, plastic_units

Bools = npt.NDArray[np.bool_]

_EQUAL_GROUPS = "groups of a convolution must be equally large"
_BORDER = "it is a constant that no bias can take up"
_EMPTY = "a layer would be empty"

_UNIFORM = 1e-5  # by how much a constant may differ between rows, relative to its size: by rounding


@dataclass(frozen=True)
class InputRange:
    """What a layer was given on an example, over all calls.

    Attributes:
        low: the least value of each column.
        high: the largest.
        varies: whether a column differs between rows.
    """

    low: Tensor
    high: Tensor
    varies: Tensor

    @property
    def is_uniform(self) -> Tensor:
        """Whether a column has one value at all places, but for rounding."""
        size = torch.maximum(self.low.abs(), self.high.abs())
        return self.high - self.low <= _UNIFORM * size

    @property
    def constant(self) -> Tensor:
        """That value, and zero for other columns."""
        return torch.where(self.is_uniform, (self.low + self.high) / 2, 0)


class _InputRanges(TorchFunctionMode):
    """Looks at what functions of layers are given, by the weights that they are given with it."""

    def __init__(self, layers: Mapping[int, str]) -> None:
        super().__init__()
        self.found: dict[str, InputRange] = {}
        self._layers = layers

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function_name(func)[0] in LAYER_FUNCTIONS:
            x, weight = [*args[:2], *(kwargs[each] for each in ("input", "weight") if each in kwargs)][:2]
            if id(weight) in self._layers:
                self._look(self._layers[id(weight)], x.detach().movedim(1 - weight.dim(), -1))
        return func(*args, **kwargs)

    def _look(self, name: str, x: Tensor) -> None:
        by_column = x.reshape(-1, x.shape[-1])
        varies = (x - x[:1]).reshape(-1, x.shape[-1]).abs().amax(0) > 0
        new = InputRange(by_column.amin(0), by_column.amax(0), varies)
        old = self.found.get(name, new)
        self.found[name] = InputRange(
            torch.minimum(old.low, new.low), torch.maximum(old.high, new.high), old.varies | new.varies
        )


def input_ranges(net: nn.Module, bundles: Bundles, example: Tensor) -> dict[str, InputRange]:
    """What the layers of ``net`` are given on an example; ``net`` is left as it was."""
    with torch.no_grad(), without_side_effects(net):
        modules = dict(net.named_modules())
        run = _InputRanges({id(modules[name].weight): name for name in bundles.columns})
        with run:
            net(example.clone())
    return run.found


def axes_of_units(net: nn.Module, example: Tensor) -> dict[str, int]:
    """How many axes the tensors have that plastic units are given, by their name; ``net`` stays as it was."""
    found: dict[str, int] = {}

    def look(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        found[name] = next(tensors_in([args, kwargs])).dim()

    with torch.no_grad(), without_side_effects(net), ExitStack() as hooks:
        for name, units in plastic_units(net).items():
            hook = units.register_forward_pre_hook(partial(look, name), with_kwargs=True)
            hooks.callback(hook.remove)
        net(example.clone())
    return found


@dataclass(frozen=True)
class Living:
    """What is alive in a network.

    Attributes:
        units: by the name of a layer or norm, (units,) bool.
        connections: by the name of a layer, bool, of the shape of its weight.
        hidden: names of the layers whose units another layer reads.
    """

    units: Mapping[str, Tensor]
    connections: Mapping[str, Tensor]
    hidden: frozenset[str]

    @classmethod
    def of(cls, net: nn.Module, example: Tensor) -> Living:
        """Find what is alive in ``net``, in which no layer is in a mask.

        Raises:
            NotFollowed: the network cannot be run on patterns.
        """
        plan = LivenessPlan.of(net, example[:1])
        units: dict[str, Tensor] = {}
        connections: dict[str, Tensor] = {}
        hidden = set()
        for call, part in zip(plan.calls, plan.alive_parts(net), strict=True):
            name, _, parameter = call.parameters[0].rpartition(".")
            if parameter != "weight":
                continue
            hidden |= {name} if call.hidden else set()
            units[name] = units.get(name, torch.zeros_like(part.units)) | part.units
            before = connections.get(name, torch.zeros_like(part.connections))
            connections[name] = before | part.connections
        return cls(units, connections, frozenset(hidden))


@dataclass(frozen=True)
class Findings:
    """What is found out about a network before it is cut.

    Attributes:
        bundles: of its units and columns.
        living: what is alive in it.
        ranges: what its layers are given.
        axes: of what its plastic units are given.
    """

    bundles: Bundles
    living: Living
    ranges: Mapping[str, InputRange]
    axes: Mapping[str, int]

    @classmethod
    def of(cls, net: nn.Module, example: Tensor) -> Findings:
        """Look into a network in evaluation mode, without masks; it is left as it was.

        Raises:
            UsageError: it cannot be followed.
            NotFollowed: it cannot be run on patterns.
        """
        bundles = run_on_example(net, example, partial(Bundles.of, net))
        living, ranges = Living.of(net, example), input_ranges(net, bundles, example)
        return cls(bundles, living, ranges, axes_of_units(net, example))


class Cut:
    """Decides which bundles leave a network.

    Attributes:
        bundles: of the network.
        leaving: which of them leave, (bundles,) bool.
        reasons: why a dead bundle stays, by its number.

    Args:
        net: the network, in evaluation mode, without masks.
        findings: about it.

    >>> from hebbevo.nn import Stamina
    >>> net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)).eval()
    >>> net[1].alive[0] = False
    >>> Cut(net, Findings.of(net, torch.ones(1, 4))).stays("0")
    array([False,  True,  True])
    """

    def __init__(self, net: nn.Module, findings: Findings) -> None:
        bundles, living = findings.bundles, findings.living
        self.bundles = bundles
        self.reasons = dict(bundles.fixed)
        self._ranges = findings.ranges
        self._axes = findings.axes
        self._hidden = living.hidden
        self._modules = {name: module for name, module in net.named_modules() if name in bundles.units}
        self._layers = {name: self._modules[name] for name in bundles.columns}
        self._alive = {
            name: living.units.get(name, torch.ones(len(bundles.units[name]), dtype=torch.bool)).cpu().numpy()
            for name in self._layers
        }
        self.leaving = np.ones(bundles.number, bool)
        self.leaving[[*bundles.fixed]] = False
        for name, layer in self._layers.items():
            self.leaving[bundles.units[name][self._alive[name]]] = False
            if name in living.connections:
                used = _by_column(living.connections[name], bundles.groups[name]).any(0)
                self.leaving[bundles.columns[name][used]] = False
            else:
                self.leaving[bundles.columns[name]] = False
            if bundles.groups[name] > 1 and not isinstance(layer, _ConvNd):
                self._hold(np.concatenate([bundles.units[name], bundles.columns[name]]), _EQUAL_GROUPS)
        self.settle()

    def hold(self, part: Bundle, reason: str) -> None:
        """Let none of these bundles leave."""
        self._hold(part, reason)
        self.settle()

    def hold_one(self, part: Bundle) -> None:
        """Let no layer be empty whose units are in these bundles."""
        for name in self._layers:
            if np.isin(self.bundles.units[name], part).any():
                self._hold_some(self.bundles.units[name], _EMPTY)
        self.settle()

    def settle(self) -> None:
        """Hold back what cannot leave, until nothing changes."""
        before = -1
        while before != (before := int(self.leaving.sum())):
            for name, layer in self._layers.items():
                if isinstance(layer, _ConvNd):
                    self._hold_some(self.bundles.units[name], _EMPTY)
                    self._hold_some(self.bundles.columns[name], _EMPTY)
                    if self.bundles.groups[name] > 1:
                        self._keep_groups_equal(name)
                self._hold(self.bundles.columns[name][self._cannot_be_folded(name)], _BORDER)

    def dead_that_stay(self) -> dict[str, dict[str, int]]:
        """How many dead units stay, by layer and reason."""
        found: dict[str, dict[str, int]] = {}
        empty: Bundle = np.zeros(0, np.int64)
        plastic = np.concatenate([empty, *(self.bundles.units.get(name, empty) for name in self._axes)])
        for name in self._layers:
            own = self.bundles.units[name]
            # a layer before units that no other layer reads, but an LSTM for example, is hidden too
            if name not in self._hidden and not np.isin(own, plastic).any():
                continue
            for bundle in own[~self._alive[name] & ~self.leaving[own]].tolist():
                reason = self.reasons.get(bundle, "it leaves only with units that are alive")
                of_layer = found.setdefault(name, {})
                of_layer[reason] = of_layer.get(reason, 0) + 1
        return found

    def stays(self, name: str) -> Bools:
        """Which units of a module stay."""
        return ~self.leaving[self.bundles.units[name]]

    def stays_in(self, name: str) -> Bools:
        """Which input columns of a layer stay."""
        return ~self.leaving[self.bundles.columns[name]]

    @torch.no_grad()
    def apply(self, net: nn.Module) -> nn.Module:
        """Cut a copy of the network, in place, and replace its plastic units.

        Returns:
            The network, or what takes the place of plastic units that are the whole network.
        """
        modules = dict(net.named_modules())
        for name in self._layers:
            self._cut_layer(name, modules[name])
        for name, module in modules.items():
            if isinstance(module, _BatchNorm) and name in self.bundles.units:
                self._cut_norm(name, module)

        def plain(name: str, units: PlasticUnits) -> nn.Module:
            stays = torch.ones_like(units.alive)
            if name in self.bundles.units:
                stays = torch.from_numpy(self.stays(name)).to(stays.device)
            selects = name in self.bundles.selecting
            return plain_units(units, stays, self._axes.get(name, 2), selects=selects)

        return without_plastic_units(net, plain)

    # what stays

    def _hold(self, bundles: Bundle, reason: str) -> None:
        for bundle in bundles[self.leaving[bundles]].tolist():
            self.reasons.setdefault(bundle, reason)
        self.leaving[bundles] = False

    def _hold_some(self, bundles: Bundle, reason: str, number: int = 1) -> None:
        """Let at least a number of these bundles stay."""
        lacking = number - int((~self.leaving[bundles]).sum())
        if lacking > 0:
            self._hold(bundles[self.leaving[bundles]][:lacking], reason)

    def _keep_groups_equal(self, name: str) -> None:
        """Let all groups that are left have the same number of units, and of columns."""
        groups = self.bundles.groups[name]
        sides = [self.bundles.units[name].reshape(groups, -1), self.bundles.columns[name].reshape(groups, -1)]
        is_left = np.any([(~self.leaving[side]).any(1) for side in sides], axis=0)
        for side in sides:
            most = max(1, int((~self.leaving[side]).sum(1).max()))
            for group in side[is_left]:
                self._hold_some(group, _EQUAL_GROUPS, most)

    def _cannot_be_folded(self, name: str) -> Bools:
        """Columns that would leave but add something to the layer that no bias can take up."""
        layer, leaving = self._layers[name], ~self.stays_in(name)
        given = self._ranges.get(name)
        if given is None or not leaving.any():  # the layer is not called
            return np.zeros_like(leaving)
        stays, alive = self.stays(name), self._alive[name]
        reads = _by_column(cast(Tensor, layer.weight).detach() != 0, self.bundles.groups[name])
        read, read_by_living = reads[stays].any(0), reads[stays & alive].any(0)
        uniform = given.is_uniform.cpu().numpy()
        # what varies between rows and is dead is read only by units that nothing uses
        harmless = given.varies.cpu().numpy() & ~read_by_living
        unfit = ~uniform & ~harmless
        if not _takes_constants(layer):
            unfit |= uniform & (given.constant != 0).cpu().numpy()
        found: Bools = leaving & read & unfit
        return found

    # cutting

    def _cut_layer(self, name: str, layer: nn.Module) -> None:
        own = cast(Any, layer)
        stays, stays_in = (torch.from_numpy(each) for each in (self.stays(name), self.stays_in(name)))
        if bool(stays.all()) and bool(stays_in.all()):
            return
        weight, groups = own.weight, self.bundles.groups[name]
        bias = getattr(own, "bias", None)
        stays, stays_in = stays.to(weight.device), stays_in.to(weight.device)
        if name in self._ranges:
            constant = torch.where(stays_in, 0, self._ranges[name].constant).to(weight.dtype)
            by_column = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
            pairs = zip(by_column.chunk(groups), constant.chunk(groups), strict=True)
            added = torch.cat([weights @ values for weights, values in pairs])
            if bool((added[stays] != 0).any()):
                bias = added if bias is None else bias + added
        parts = [
            weights[units][:, columns]
            for weights, units, columns in zip(
                *(each.chunk(groups) for each in (weight, stays, stays_in)), strict=True
            )
            if bool(units.any() | columns.any()) or groups == 1
        ]
        _set(own, "weight", torch.cat(parts), weight.requires_grad)
        if bias is not None:
            _set(own, "bias", bias[stays], weight.requires_grad)
        sizes = int(stays.sum()), int(stays_in.sum())
        if isinstance(layer, nn.Linear):
            own.out_features, own.in_features = sizes
        elif isinstance(layer, _ConvNd):
            own.out_channels, own.in_channels = sizes
            own.groups = len(parts)

    def _cut_norm(self, name: str, norm: nn.Module) -> None:
        own, stays = cast(Any, norm), torch.from_numpy(self.stays(name))
        if bool(stays.all()):
            return
        for name in ("weight", "bias"):
            if (values := getattr(own, name)) is not None:
                _set(own, name, values[stays.to(values.device)], values.requires_grad)
        for name in ("running_mean", "running_var"):
            if (values := getattr(own, name)) is not None:
                setattr(own, name, values[stays.to(values.device)].clone())
        own.num_features = int(stays.sum())


def _set(layer: Any, name: str, values: Tensor, requires_grad: bool) -> None:
    setattr(layer, name, nn.Parameter(values.detach().clone(), requires_grad=requires_grad))


def _by_column(weights: Tensor, groups: int) -> Bools:
    """Which input columns each unit reads, (units, columns), from bools of the shape of the weights."""
    by_group = weights.flatten(2).any(2) if weights.dim() > 2 else weights
    blocks = torch.block_diag(*by_group.chunk(groups))  # type: ignore[no-untyped-call]
    return cast(Bools, blocks.bool().cpu().numpy())


def _takes_constants(layer: nn.Module) -> bool:
    """Whether the bias of a layer can take up a constant that it reads."""
    # a class of the user's own may have no use for a bias that it did not have
    has_bias = getattr(layer, "bias", None) is not None
    if type(layer) not in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d) and not has_bias:
        return False
    if not isinstance(layer, _ConvNd):
        return cast(Tensor, layer.weight).dim() == 2  # else it may pad
    if layer.padding_mode != "zeros" or layer.padding == "valid":
        return True
    if isinstance(layer.padding, str):
        return all(size == 1 for size in layer.kernel_size)
    return not any(layer.padding)
