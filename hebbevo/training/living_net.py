"""A convolutional net that computes living channels alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hebbevo.networks.conv import Conv
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.liveness.paths import COUNTS, LivenessPlan, Survivors
from hebbevo.nn.living_units import LivingUnits
from hebbevo.nn.units import PlasticUnits, plastic_units
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.stack import Loss, NetStack, SingleNet

_KNOWN = (Conv, nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.Identity, nn.Linear)


class LivingNet(NetStack):
    """A single net without the channels and units that are out, and the whole net behind it.

    The small net is trained, and gathers statistics. The whole net is where units are pruned and regrown: it
    takes over all numbers of the small one, is changed, and gives it those of the units that are then alive.
    What is out has weights and moments of zero, and what is regrown begins anew, so no other number counts.

    Attributes:
        trained: the parameters of the small net.

    Args:
        whole: the whole net, whose wiring is connected.
        wiring: of nets of its structure.
        row: an input, (1, *shape).
    """

    def __init__(self, whole: SingleNet, wiring: Wiring, row: Tensor) -> None:
        self.matmul_dtype = whole.matmul_dtype
        self._whole, self._wiring = whole, wiring
        self._plan = LivenessPlan.of(whole.module, row)
        self._tensors = named_tensors(whole.module)
        self._net = copy.deepcopy(whole.module)
        # the dictionary and key under which the small net holds each tensor
        self._holders: dict[str, tuple[dict[str, Any], str]] = {
            f"{name}.{key}".removeprefix("."): (store, key)
            for name, module in self._net.named_modules()
            for store in (module._parameters, module._buffers)
            for key, tensor in store.items()
            if tensor is not None
        }
        self._units: list[LivingUnits] = []
        for name, units in plastic_units(self._net).items():
            if units.rule.prunes:
                self._units.append(LivingUnits(units))
                self._net.set_submodule(name, self._units[-1])
        self._places: Mapping[str, Mapping[int, Tensor]] = {}
        self._cut()

    @classmethod
    def serves(cls, net: nn.Module, row: Tensor) -> bool:
        """Whether a net can be one, for inputs like ``row``.

        It is a convolutional network without masks, gates and credit rules, on a CPU: a GPU gains nothing by
        fewer channels.
        """
        return (
            type(net) is Conv
            and row.is_cpu
            and all(
                _is_plain_units(module) if isinstance(module, PlasticUnits) else type(module) in _KNOWN
                for module in net.modules()
            )
        )

    # --- between the small net and the whole one ---

    def _cut(self) -> None:
        """Give the small net the numbers of all units that are alive in the whole one."""
        self._places = self._wiring.living_places(self._tensors)
        for name, tensor in self._tensors.items():
            store, key = self._holders[name]
            own = self._living(name, tensor)
            store[key] = nn.Parameter(own) if isinstance(store[key], nn.Parameter) else own
        self._parameters = dict(self._net.named_parameters())
        self.trained = {name: parameter.detach()[None] for name, parameter in self._parameters.items()}
        for units in self._units:
            units.renew()

    def _living(self, name: str, tensor: Tensor) -> Tensor:
        """A copy of the part of a tensor, of the shape of the whole net's, that is alive."""
        for axis, places in self._places.get(name, {}).items():
            tensor = tensor.index_select(axis, places)
        of_maps = tensor.dim() == 4
        return tensor.clone(memory_format=torch.channels_last if of_maps else torch.contiguous_format)

    def _put(self, name: str, own: Tensor, whole: Tensor) -> None:
        """Put what belongs to the small net into its places in a tensor of the whole net's shape."""
        places = self._places.get(name, {})
        if not places:
            whole.copy_(own)
        elif len(places) == 1:
            [(axis, one)] = places.items()
            whole.index_copy_(axis, one, own)
        else:
            whole[places[0][:, None], places[1]] = own

    def _of_whole(self, name: str, own: Tensor) -> Tensor:
        """The same in a new tensor, which is zero elsewhere."""
        found = torch.zeros_like(self._tensors[name], dtype=own.dtype)
        self._put(name, own, found)
        return found

    @torch.no_grad()
    def _take_over(self) -> None:
        """Give the whole net the numbers of the small one."""
        for name, tensor in self._tensors.items():
            store, key = self._holders[name]
            self._put(name, store[key], tensor)

    # --- events ---

    @torch.no_grad()
    def restructure(self, optimizer: StackedOptimizer, loss: Tensor, gradients: Sequence[Tensor]) -> None:
        """Prune and regrow units where there is an event.

        Args:
            optimizer: of this net; its moments are replaced.
            loss: running mean of the loss, (1,).
            gradients: the last ones, as `losses` gave them.
        """
        self._take_over()
        moments = {
            name: tuple(self._of_whole(name, each[0]) for each in own)
            for name, own in optimizer.moments.items()
        }
        self._wiring.restructure(self._tensors, moments, loss[0], gradients=self._gradients(gradients))
        self._cut()
        optimizer.moments = {
            name: tuple(self._living(name, each)[None] for each in own) for name, own in moments.items()
        }

    @torch.no_grad()
    def observe_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Gather the statistics of gradients that rules need, after `losses` and before the step."""
        self._take_over()
        self._wiring.observe_gradients(self._tensors, self._gradients(gradients))
        self._cut()

    def _gradients(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        return {name: each[0] for name, each in self.by_parameter(gradients).items()}

    @property
    def shapes(self) -> list[torch.Size]:
        """The shapes of the small net's parameters."""
        return [parameter.shape for parameter in self._parameters.values()]

    def _set_mode(self, *, training: bool) -> None:
        if self._net.training is not training:
            self._net.train(training)

    # --- see `NetStack` ---

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`; what is out has the statistics with which it left."""
        self._take_over()
        return self._whole.state

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
        self._set_mode(training=True)
        with torch.autocast(x.device.type, self.matmul_dtype, enabled=self.matmul_dtype is not torch.float32):
            loss = loss_of(self._net(_channels_last(x)), y)
        gradients = torch.autograd.grad(loss, [*self._parameters.values()])
        return loss.detach()[None], [each[None] for each in gradients]

    def by_parameter(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.by_parameter`; units that are out have gradients of zero."""
        pairs = zip(self._parameters, gradients, strict=True)
        return {name: self._of_whole(name, each[0])[None] for name, each in pairs}

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """See `NetStack.outputs`."""
        self._set_mode(training=False)
        outputs: Tensor = self._net(_channels_last(x))
        return outputs[None]

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`."""
        self._take_over()
        with self._whole.untouched():
            return COUNTS[count].along_paths(self._plan, partial(self._whole.call, stacked=True), 1)

    def layer_connections(self) -> Iterator[LayerConnections]:
        """See `NetStack.layer_connections`: none is masked."""
        return iter(())

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`.

        Raises:
            ValueError: ``rows`` is empty.
        """
        self._whole.keep(rows)

    def stop_statistics(self) -> None:
        """See `NetStack.stop_statistics`."""
        for units in self._units:
            units.gathers_statistics = False


def _is_plain_units(units: PlasticUnits) -> bool:
    """Whether what is out can leave and should.

    Gates are drawn by place, and a penalty is one of all units. A rule that changes weights after every step
    would copy all numbers to the whole net and back each time.
    """
    rule = units.rule
    return type(units).forward is PlasticUnits.forward and not (
        units.penalised or rule.parameters or rule.perturbs
    )


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
