"""Units that a rule prunes and regrows: drop-in activations for any PyTorch network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn import stateless_random, surgery
from hebbevo.nn.layer_context import LayerContext
from hebbevo.nn.layer_units import GATE_STREAM, LayerUnits
from hebbevo.nn.plastic import InjectedLoss, Plastic, TensorNamespace, is_stacked
from hebbevo.nn.statistics import StackedObservation, observe, statistics_for, unit_buffers
from hebbevo.rules import UNITS
from hebbevo.rules.rule import Asked, Need
from hebbevo.rules.units.rule import UnitRule
from hebbevo.space.knobs import Value

_NEVER_REGROWN = 2**40


class PlasticUnits(Plastic):
    """ReLU units, or input units, that a rule prunes at its events.

    Takes and gives tensors with the units along ``dim``: (..., num_neurons), or with ``dim=1`` feature maps
    (batch, num_neurons, ...), whose channels are units and whose positions are samples. The module works
    alone in any PyTorch training as far as the rule needs nothing of the layers around it: it gathers
    statistics, masks units, and regrows them with their old weights. The rest needs `hebbevo.nn.attach`.

    Attributes:
        num_neurons: units of the layer, or channels.
        dim: axis of the units.
        inputs: whether they are input units, which pass inputs on and are silent where those are zero.
        alive: (num_neurons,) bool, which units live.
        age: (num_neurons,) int64, forward steps since a unit was last regrown.
        goal: () int64, units that the schedule *target* leaves.
        penalised: whether the rule adds a loss on the outputs.

    Args:
        rule: a unit rule, of `hebbevo.rules.UNITS` or of the user's own.
        num_neurons: units of the layer, or channels.
        inputs: whether they are input units.
        dim: axis of the units.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``. A knob that is per unit may be a sequence of ``num_neurons`` numbers.

    Raises:
        UsageError: unknown knob, or a value outside its range.

    >>> import torch
    >>> from hebbevo.nn import PlasticUnits
    >>> from hebbevo.rules import UNITS
    >>> knobs = dict(schedule="threshold", threshold=0.5, max_deaths=0.25, warmup=0, prune_period=1)
    >>> units = PlasticUnits(UNITS["random"], 8, seed=1, **knobs)
    >>> units(torch.ones(2, 8)).shape
    torch.Size([2, 8])
    >>> int(units.alive.sum())
    6
    """

    rule: UnitRule
    alive: Tensor
    age: Tensor
    goal: Tensor

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
                    self.register_buffer(name, torch.full((num_neurons,), float(knob.default)))
            self.register_buffer("age", torch.full((num_neurons,), _NEVER_REGROWN))
            self.register_buffer("best_loss", torch.full((), float("inf")))
            self.register_buffer("stalled", torch.full((), 0))  # events without a lower loss
            self.register_buffer("goal", torch.full((), num_neurons))
            if Need.OUTGOING in rule.all_needs():
                self.register_buffer("outgoing", torch.ones(num_neurons))
            for name, buffer in unit_buffers(rule).items():
                shape = (num_neurons, num_neurons) if buffer.pairs else (num_neurons,)
                start = 0.0 if isinstance(buffer.start, str) else buffer.start
                self.register_buffer(name, torch.full(shape, start))
            for name, start in rule.parameters.items():
                self.register_parameter(name, nn.Parameter(torch.full((num_neurons,), start)))
        self.configure(**knobs)

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        super().configure(**knobs)
        if "initial_neurons" in knobs:
            first = max(1, round(float(self._value("initial_neurons")) * self.num_neurons))
            self.alive.copy_(torch.arange(self.num_neurons, device=self.alive.device) < first)
        for name, buffer in unit_buffers(self.rule).items() if self.rule.prunes else ():
            if isinstance(buffer.start, str):
                getattr(self, name).copy_(getattr(self, buffer.start))

    def _follow_knobs(self) -> None:
        super()._follow_knobs()
        # structure, not a hyperparameter: it decides what is computed, so nets that differ are not stacked
        self.penalised = any(bool(self._value(name)) for name in self.rule.penalties)

    @property
    def score(self) -> Tensor:
        """The rule's present score of every unit, (num_neurons,): the lowest are pruned first."""
        units = self.layer_units(LayerContext())
        return self.rule.score(units.k, units.s, units).detach()

    @property
    def unread_buffers(self) -> set[str]:
        """Names of the buffers that neither the rule nor the engine reads, as the knobs are set."""
        if not self.rule.prunes:
            return set()
        read = statistics_for(
            self.rule,
            lambda knob, value: Asked(knob, value).is_met_by(self._value(knob)),  # type: ignore[arg-type]
        )
        unread = unit_buffers(self.rule).keys() - self.rule.buffers.keys()
        unread -= {name for each in read for name in each.buffers}
        return unread if self.reason_for(Need.OUTGOING) else {*unread, "outgoing"}

    def layer_units(self, context: LayerContext) -> LayerUnits:
        """These units in the form that `hebbevo.nn.surgery` works on, with the layers around them."""
        return LayerUnits(self.rule, self._state, context, self.num_neurons, inputs=self.inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the transfer function, the mask, and the gates of a rule that has some.

        In training mode, also gather statistics and add the rule's loss; unattached, also prune and regrow.

        Args:
            x: any shape with ``num_neurons`` units along ``dim``.

        Returns:
            The outputs, of the shape of ``x``.

        Raises:
            UsageError: ``x`` has another number of units, or a knob needs what only `hebbevo.nn.attach`
                gives.
        """
        if not self.rule.prunes:
            if self.training:
                self.steps.add_(1)
            return x if self.inputs else x.relu()
        if x.shape[self.dim] != self.num_neurons:
            what = f"{x.shape[self.dim]} neurons along axis {self.dim} of {tuple(x.shape)}"
            raise UsageError(f"{self._title}: {what}; it was made for {self.num_neurons}")
        if self.training:
            self.refuse_recomputation()
        alive = self.alive.clone()  # the mask may change below, and the backward pass needs this one
        y = (x if self.inputs else x.relu()) * self._along_units(alive, x)
        if self.rule.parameters:
            y = y * self._along_units(self._gate().to(y.dtype), x)
        if not self.training or not x.numel():
            return y
        self.refuse_to_train_alone()
        if self.penalised:
            k, s = TensorNamespace(self._tensors), TensorNamespace(self._state)
            penalty = self.rule.penalty(k, s, self._rows(y), alive)
            y = InjectedLoss.apply(y, penalty)  # type: ignore[no-untyped-call]
        with torch.no_grad(), _without_autocast(y.device.type):
            self._observe(self._rows(y.detach()))
            if not self.attached:
                units = self.layer_units(LayerContext())
                surgery.regrow(units, surgery.prune(units, self.is_event(self.steps)))
        return y

    def factor(self) -> Tensor:
        """By what the module multiplies the output of each unit in evaluation mode, (num_neurons,).

        It is 0 for a unit that is out, and otherwise 1, or the gate of a rule that has some.
        """
        if not self.rule.prunes:
            return torch.ones(self.num_neurons, device=self.alive.device)
        factor = self.alive.to(self._dtype)
        if self.rule.parameters:
            k, s = TensorNamespace(self._tensors), TensorNamespace(self._state)
            factor = factor * self.rule.gate(k, s, None)
        return factor.detach()

    def extra_repr(self) -> str:
        """Show the size and the rule."""
        inputs = ", inputs=True" if self.inputs else ""
        return f"{self.num_neurons}, rule={self.rule}, dim={self.dim}{inputs}"

    def _observe(self, rows: Tensor) -> None:
        """Add outputs, (samples, num_neurons), to the statistics."""
        rows = rows.to(self._dtype)
        size = rows.abs() if self.inputs else rows
        if is_stacked(rows):
            tensors = self._tensors
            StackedObservation.apply(self.rule, tuple(tensors), rows, size, *tensors.values())  # type: ignore[no-untyped-call]
        else:
            observe(self.rule, rows, size, self._tensors)

    def _gate(self) -> Tensor:
        """The factors that the rule makes of its parameters, (num_neurons,); drawn anew at each step."""
        drawn = None
        if self.training:
            drawn = stateless_random.uniform(self.seed, self.steps, (self.num_neurons,), GATE_STREAM)
        return self.rule.gate(TensorNamespace(self._tensors), TensorNamespace(self._state), drawn)

    @property
    def _state(self) -> dict[str, Tensor]:
        """Buffers and parameters."""
        return {**self._tensors, **self._parameters}  # type: ignore[dict-item]

    @property
    def _tensors(self) -> dict[str, Tensor]:
        return self._buffers  # type: ignore[return-value]

    @property
    def _dtype(self) -> torch.dtype:
        """The precision of the statistics: single, or that to which the module was converted."""
        return next(
            (each.dtype for each in self._tensors.values() if each.is_floating_point()), torch.float32
        )

    def _along_units(self, values: Tensor, x: Tensor) -> Tensor:
        """Lay one value a unit along the units of ``x``."""
        behind = x.dim() - 1 - self.dim % x.dim()
        return values.reshape(-1, *(1,) * behind) if behind else values

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
        """The stamina of every unit, (num_neurons,): gains less penalties over the layer's mean activity."""
        return self.score


class Stamina(_StaminaUnits):
    """ReLU units under the stamina rule; takes the place of a ReLU.

    The rule and its knobs are those of `hebbevo.rules.units.stamina`; the arguments are those of
    `PlasticUnits`.

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import Stamina
    >>> net = nn.Sequential(nn.Linear(4, 8), Stamina(8, unactivation_penalty=2.0, warmup=10), nn.Linear(8, 3))
    >>> for _ in range(20):
    ...     y = net(torch.randn(16, 4))
    >>> net[1].alive.sum() < 8
    tensor(True)
    """

    _are_inputs = False


class InputStamina(_StaminaUnits):
    """Input units under the stamina rule: the identity, masked; the arguments are those of `PlasticUnits`.

    An input is silent where it is zero, so a constant feature that is standardised is always silent.
    """

    _are_inputs = True


class Dense(PlasticUnits):
    """A ReLU none of whose units is pruned; it has the settling phase of the rules it is compared with."""

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
    """Make ReLU units, or input units, under a unit rule.

    Args:
        rule: a name in `hebbevo.rules.UNITS`.
        number: of units.
        dim: axis of the units.
        inputs: whether they are input units.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: of the rule.

    Returns:
        `PlasticUnits`, or the identity for input units under a rule that never prunes.

    Raises:
        UsageError: unknown rule or knob, or a value outside its range.

    >>> from hebbevo.nn import unit_layer
    >>> unit_layer("magnitude", 16, target=4)
    PlasticUnits(16, rule=magnitude, dim=-1)
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


def _without_autocast(device: str) -> AbstractContextManager[None]:
    """Switch mixed precision off for a while if it is on; to enter `torch.autocast` for nothing is slow."""
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_on else nullcontext()


def _numbers(value: object) -> list[float]:
    """The numbers of a knob that is per unit, given as one number, a sequence or a tensor."""
    given = value.tolist() if isinstance(value, Tensor) else value
    return list(given) if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
