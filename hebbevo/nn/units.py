"""Units that a rule prunes and regrows: drop-in activations for any PyTorch network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn import surgery
from hebbevo.nn.plastic import InjectedLoss, Named, Plastic, is_stacked
from hebbevo.nn.statistics import Observation, buffers, observe
from hebbevo.rules import UNITS
from hebbevo.rules.rule import Need
from hebbevo.rules.units.rule import UnitRule
from hebbevo.space.knobs import Value

_NEVER_RETURNED = 2**40


class PlasticUnits(Plastic):
    """ReLU units, or input units, that a rule prunes when it says so.

    Takes and gives tensors with the units along ``dim``: (..., num_neurons), or with ``dim=1`` feature maps
    (batch, num_neurons, ...), whose channels are units and whose positions are samples. Works alone in any
    PyTorch training as far as the rule needs nothing of the layers around it: it counts, masks, and lets
    units return with their old weights. The rest needs `hebbevo.nn.attach`. Periods are in forward steps in
    training mode.

    Attributes:
        num_neurons: units of the layer, or channels.
        dim: axis of the units.
        inputs: whether they are input units, which let inputs through and are silent where those are zero.
        alive: (num_neurons,) bool.

    Args:
        rule: a unit rule.
        num_neurons: see above; so are ``inputs`` and ``dim``.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``; one that is per unit may be a sequence of ``num_neurons`` numbers.

    Raises:
        UsageError: unknown knob, or a value outside its range.
    """

    rule: UnitRule
    alive: Tensor  # (num_neurons,) bool
    age: Tensor  # (num_neurons,) int64, forward steps since the last return
    goal: Tensor  # () int64, units that a target leaves

    def __init__(
        self,
        rule: UnitRule,
        num_neurons: int,
        inputs: bool = False,
        *,
        dim: int = -1,
        seed: int | None = None,
        **knobs: Value | Sequence[float] | Tensor,
    ) -> None:
        super().__init__(rule, seed)
        self.num_neurons = num_neurons
        self.dim = dim
        self.inputs = inputs
        self.register_buffer("alive", torch.ones(num_neurons, dtype=torch.bool))
        if rule.prunes:
            for name, knob in self.knobs.items():
                if knob.per_unit:
                    self.register_buffer(name, getattr(self, name).repeat(num_neurons))
            self.register_buffer("age", torch.full((num_neurons,), _NEVER_RETURNED))
            self.register_buffer("best_loss", torch.tensor(float("inf")))
            self.register_buffer("stalled", torch.tensor(0))
            self.register_buffer("goal", torch.tensor(num_neurons))
            if Need.OUTGOING in rule.all_needs():
                self.register_buffer("outgoing", torch.ones(num_neurons))
            for name, buffer in buffers(rule).items():
                shape = (num_neurons, num_neurons) if buffer.pairs else (num_neurons,)
                start = 0.0 if isinstance(buffer.start, str) else buffer.start
                self.register_buffer(name, torch.full(shape, start))
        self.configure(**knobs)

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        super().configure(**knobs)
        if "initial_neurons" in knobs:
            born = max(1, round(float(self._value("initial_neurons")) * self.num_neurons))
            self.alive.copy_(torch.arange(self.num_neurons, device=self.alive.device) < born)
        for name, buffer in buffers(self.rule).items() if self.rule.prunes else ():
            if isinstance(buffer.start, str):
                getattr(self, name).copy_(getattr(self, buffer.start))

    def _configured(self) -> None:
        super()._configured()
        # structure, not a hyperparameter: it decides what is computed, so nets that differ are not stacked
        self.penalised = any(bool(self._value(name)) for name in self.rule.penalties)

    @property
    def score(self) -> Tensor:
        """The rule's present score of every unit, (num_neurons,): the lowest are pruned first."""
        layer = self.layer(surgery.Around())
        return self.rule.score(layer.k, layer.s, layer)

    def layer(self, around: surgery.Around) -> surgery.Units:
        """These units as the engine sees them."""
        return surgery.Units(self.rule, self._tensors, around, self.num_neurons, inputs=self.inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the transfer function and the mask to ``x``; gather statistics in training mode.

        ``x`` has ``num_neurons`` units along ``dim``.

        Raises:
            UsageError: ``x`` has another number of units, or a knob was set that needs what only
                `hebbevo.nn.attach` gives.
        """
        if not self.rule.prunes:
            if self.training:
                self.steps.add_(1)
            return self._transferred(x)
        if x.shape[self.dim] != self.num_neurons:
            what = f"{x.shape[self.dim]} neurons along axis {self.dim} of {tuple(x.shape)}"
            raise UsageError(f"{self._title}: {what}; it was made for {self.num_neurons}")
        if self.training:
            self._refuse_recomputation()
        alive = self.alive.clone()  # the mask may change below, and the backward pass needs this one
        y = self._transferred(x) * self._along(alive, x)
        if not self.training or not x.numel():
            return y
        self._refuse_alone()
        if self.penalised:
            penalty = self.rule.penalty(Named(self._tensors), self._rows(y), alive)
            y = InjectedLoss.apply(y, penalty)  # type: ignore[no-untyped-call]
        with torch.no_grad(), _exactly(y.device.type):
            self._observe(self._rows(y.detach()))
            if not self.attached:
                self._live_alone()
        return y

    def extra_repr(self) -> str:
        """Show the size and the rule."""
        inputs = ", inputs=True" if self.inputs else ""
        return f"{self.num_neurons}, rule={self.rule}, dim={self.dim}{inputs}"

    def _transferred(self, x: Tensor) -> Tensor:
        return x if self.inputs else x.relu()

    def _observe(self, rows: Tensor) -> None:
        rows = rows.to(self._dtype)
        size = rows.abs() if self.inputs else rows
        if is_stacked(rows):
            tensors = self._tensors
            Observation.apply(self.rule, tuple(tensors), rows, size, *tensors.values())  # type: ignore[no-untyped-call]
        else:
            observe(self.rule, rows, size, self._tensors)

    def _live_alone(self) -> None:
        layer = self.layer(surgery.Around())
        surgery.regrow(layer, surgery.prune(layer, self.due(self.steps)))

    @property
    def _tensors(self) -> dict[str, Tensor]:
        return self._buffers  # type: ignore[return-value]

    @property
    def _dtype(self) -> torch.dtype:
        """Of the statistics: double where the module was made so."""
        return next(
            (each.dtype for each in self._tensors.values() if each.is_floating_point()), torch.float32
        )

    def _along(self, units: Tensor, x: Tensor) -> Tensor:
        """Lay a value a unit along the axes of ``x``."""
        behind = x.dim() - 1 - self.dim % x.dim()
        return units.reshape(-1, *(1,) * behind) if behind else units

    def _rows(self, y: Tensor) -> Tensor:
        """Outputs as (samples, num_neurons): in a feature map every position is a sample."""
        return y.movedim(self.dim, -1).reshape(-1, self.num_neurons)

    def _check(self, key: str, value: object) -> None:
        if not self.knobs[key].per_unit:
            super()._check(key, value)
            return
        for each in _numbers(value):
            super()._check(key, each)
        if len(_numbers(value)) not in (1, self.num_neurons):
            what = f"{len(_numbers(value))} numbers; give one or {self.num_neurons} of them"
            raise UsageError(f"{self._title}: {key}: {what}")

    def _set(self, key: str, value: object) -> None:
        if self.knobs[key].per_unit:
            getattr(self, key).copy_(torch.tensor(_numbers(value), dtype=torch.float32))
        else:
            super()._set(key, value)


class _StaminaUnits(PlasticUnits):
    """Units under the stamina rule."""

    knobs = UNITS["stamina"].knobs
    _are_inputs: ClassVar[bool]

    def __init__(
        self,
        num_neurons: int,
        *,
        dim: int = -1,
        seed: int | None = None,
        **knobs: Value | Sequence[float] | Tensor,
    ) -> None:
        super().__init__(UNITS["stamina"], num_neurons, self._are_inputs, dim=dim, seed=seed, **knobs)

    @property
    def stamina(self) -> Tensor:
        """Scale-free stamina, (num_neurons,): gains and penalties over the layer's mean activity."""
        return self.score


class Stamina(_StaminaUnits):
    """ReLU units under the stamina rule: ``Stamina(num_neurons, **knobs)`` takes the place of a ReLU."""

    _are_inputs = False


class InputStamina(_StaminaUnits):
    """Input units under the stamina rule: the identity, masked; arguments as for `Stamina`.

    An input is silent where it is zero, which a standardised constant feature always is.
    """

    _are_inputs = True


class Dense(PlasticUnits):
    """A ReLU none of whose units is pruned; trained by the schedule of the rules it is compared with."""

    knobs = UNITS["dense"].knobs

    def __init__(self, num_neurons: int, *, dim: int = -1, seed: int | None = None, **knobs: Value) -> None:
        super().__init__(UNITS["dense"], num_neurons, False, dim=dim, seed=seed, **knobs)


_MODULES: dict[tuple[str, bool], type[Stamina | InputStamina | Dense]] = {
    ("stamina", False): Stamina,
    ("stamina", True): InputStamina,
    ("dense", False): Dense,
}


def unit_layer(
    rule: str, number: int, *, dim: int = -1, inputs: bool = False, seed: int | None = None, **knobs: Value
) -> nn.Module:
    """Make ReLU units, or input units, under a unit rule; of inputs that are never pruned, the identity.

    Args:
        rule: a name in `hebbevo.rules.UNITS`.
        number: of units.
        dim: their axis.
        inputs: whether they are input units.
        seed: of the random events.
        knobs: of the rule.

    Raises:
        UsageError: unknown knob, or a value outside its range.
    """
    if inputs and not UNITS[rule].prunes:
        return nn.Identity()
    kind = _MODULES.get((rule, inputs))
    if kind is not None:
        return kind(number, dim=dim, seed=seed, **knobs)
    return PlasticUnits(UNITS[rule], number, inputs, dim=dim, seed=seed, **knobs)


def plastic_units(model: nn.Module) -> dict[str, PlasticUnits]:
    """Find the layers of units under a rule, by dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PlasticUnits)}


def _exactly(device: str) -> AbstractContextManager[None]:
    """Switch mixed precision off for a while, where it is on: entering `torch.autocast` costs."""
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_on else nullcontext()


def _numbers(prior: object) -> list[float]:
    given = prior.tolist() if isinstance(prior, Tensor) else prior
    return list(given) if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
