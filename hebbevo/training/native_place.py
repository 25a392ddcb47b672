"""The units of a place in the native engine: what is known of them, and where they are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from hebbevo.native.structures import BUFFERS, Units
from hebbevo.nn.plastic import encoded
from hebbevo.nn.statistics import statistics_for
from hebbevo.rules.rule import Need
from hebbevo.rules.units import schedule
from hebbevo.rules.units.ablation import Ablation
from hebbevo.rules.units.contribution import Contribution
from hebbevo.rules.units.decorrelation import Decorrelation
from hebbevo.rules.units.demp import DemP
from hebbevo.rules.units.frequency import Frequency
from hebbevo.rules.units.l0 import L0
from hebbevo.rules.units.magnitude import Magnitude
from hebbevo.rules.units.random import Random
from hebbevo.rules.units.redo import ReDo
from hebbevo.rules.units.rule import UnitRule
from hebbevo.rules.units.score import Score
from hebbevo.rules.units.stamina import Stamina
from hebbevo.rules.units.taylor import Taylor
from hebbevo.rules.units.usage import Usage

LANES = 16
"""Rows of numbers are padded to a multiple of so many."""

COVARIANCE = "sum_covariance"
SERVED_BUFFERS = frozenset({*BUFFERS, COVARIANCE})
"""The state of unit rules that the engine gathers, by the names of buffers."""

_ALIASED = 256  # rows a multiple of so many floats apart would share few places of a cache
_SCORES: dict[type[UnitRule], int] = {
    Random: 1,
    Stamina: 2,
    ReDo: 3,
    Taylor: 4,
    Contribution: 5,
    Score: 6,
    Usage: 6,
    Decorrelation: 7,
    Ablation: 8,
    Frequency: 9,
    Magnitude: 10,
}
"""Rules whose scores are compiled, by their numbers in ``scores.h``."""
_EXPONENTS: dict[type[UnitRule], dict[str, float]] = {Usage: {"p": 2, "q": 2, "r": 1}}
"""The exponents of the product that is a rule's score, where they are no knobs."""
_BY_CALLER = 0
SERVED_GATES: frozenset[type[UnitRule]] = frozenset({L0})
"""Rules whose gates are compiled."""
SERVED_PERTURBATIONS: frozenset[type[UnitRule]] = frozenset({DemP})
"""Rules whose noise goes to what fires, and is the same for all that does, as decay and shrinkage are."""
_SERVED_KNOBS = (
    "max_deaths",
    "regrowth_rate",
    "growth_rate",
    "handover",
    "min_neurons",
    "grace",
    "grow",
    "patience",
)
"""Knobs of every rule that prunes, by their names in both."""
_OWN_KNOBS = (
    "memory",
    "stamina_decay",
    "unactivation_penalty",
    "activity",
    "penalty_form",
    "p",
    "q",
    "r",
    "s",
    "u",
    "ridge",
    "belief",
    "salient_weights",
    "salient_gradients",
    "gate_start",
    "gate_rate",
    "gate_penalty",
)
"""Likewise, of some rules only."""
_NONE = torch.zeros(0)
_AROUND = (Need.OUTGOING, Need.INCOMING, Need.INCOMING_GRADIENT)


def padded(number: int) -> int:
    """The length of a row of so many numbers."""
    length = max(LANES, -(-number // LANES) * LANES)
    return length if length % _ALIASED else length + LANES


@dataclass(frozen=True)
class PlacePlan:
    """What is known of the units of a place before the first step.

    Attributes:
        size: units, dead ones included.
        rule: the rule that prunes them, or ``None``.
        buffers: knobs and buffers of their module by name, (...) each.
        numbers: those that are numbers.
        events: whether units may be pruned or regrown after each step, from step 0, (steps + 1,) bool.
        perturbation: decay, shrinkage and noise after each step, (steps + 1,) float32 each, of a rule that
            perturbs; see `hebbevo.rules.units.rule.Perturbation`.
        last_event: the last step with an event or a perturbation; 0: there is none.
        left: how many units are left after each step down to a target, (steps + 1,) int64.
        is_last: whether all events down to a target are over after each step, (steps + 1,) bool.
    """

    size: int
    rule: UnitRule | None = None
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    perturbation: Sequence[Tensor] = ()
    events: Tensor = _NONE
    last_event: int = 0
    left: Tensor = _NONE
    is_last: Tensor = _NONE


class Place:
    """The units of a place, living ones in the order of the engine.

    Attributes:
        size: units, dead ones included.
        sees_layers: whether the rule's score may depend on the weights around the units.

    Args:
        units: their structure.
        plan: what is known of them.
        inputs: units of the place before; 0: there is none.
    """

    def __init__(self, units: Units, plan: PlacePlan, inputs: int) -> None:
        self.size, self._units, self._plan = plan.size, units, plan
        self._numbers = torch.arange(plan.size)
        self._age = torch.zeros(plan.size, dtype=torch.int64)
        self._alive = torch.ones(plan.size, dtype=torch.bool)
        self._regrown = torch.zeros(plan.size, dtype=torch.bool)
        self._gathered: dict[str, Tensor] = {}
        self._gates: tuple[Tensor, ...] = ()
        self.sees_layers = any(map(self.needs, _AROUND))
        units.size = units.living = plan.size
        units.stride = padded(plan.size)
        units.numbers, units.age = self._numbers.data_ptr(), self._age.data_ptr()
        units.alive, units.regrown = self._alive.data_ptr(), self._regrown.data_ptr()
        if plan.rule:
            self._alive.copy_(plan.buffers["alive"])
            self._age.copy_(plan.buffers["age"])
            self._give_knobs(plan.rule)
            self._give_buffers(plan.rule)
            if units.score == _SCORES[Ablation]:  # which ranks the weights that lead to the units
                self._sizes = torch.empty(inputs * plan.size)
                units.sizes = self._sizes.data_ptr()

    @property
    def rule(self) -> UnitRule:
        """The rule that prunes them."""
        assert self._plan.rule is not None
        return self._plan.rule

    @property
    def living(self) -> int:
        """How many live."""
        return int(self._units.living)

    @property
    def alive(self) -> Tensor:
        """Which units live, (size,) bool."""
        return self._alive

    @property
    def numbers(self) -> Tensor:
        """The numbers of the living units, int64."""
        return self._numbers[: self.living]

    @property
    def has_gates(self) -> bool:
        """Whether the units have gates that are trained."""
        return bool(self._gates)

    @property
    def gate_gradient(self) -> Tensor:
        """The last gradient of the loss by theta, (stride,)."""
        _, change = self._gates
        return change.clone()

    def hold_gates(self, theta: Tensor) -> None:
        """Hold what gates are made of, (stride,), in this memory."""
        self._gates = torch.zeros_like(theta), torch.zeros_like(theta)
        self._units.gate, self._units.gate_change = (each.data_ptr() for each in self._gates)
        self._units.theta = theta.data_ptr()
        self._gathered["theta"] = theta

    def needs(self, need: Need) -> bool:
        """Whether the rule, with its knobs as they are, has a need."""
        if self._plan.rule is None or need not in (asked := self.rule.all_needs()):
            return False
        return not asked[need] or any(self._has(each.knob, each.value) for each in asked[need])

    def _has(self, knob: str, value: object) -> bool:
        """Whether a knob has a value, or for ``None`` any but zero."""
        own: Any = self._plan.numbers.get(knob, self._plan.buffers[knob])
        found = own != 0 if value is None else own == encoded(self.rule.knobs[knob], value)
        return bool(found.any()) if isinstance(found, Tensor) else found

    def _give_knobs(self, rule: UnitRule) -> None:
        """Give the engine the knobs of a rule, as far as it reads them."""
        units, plan = self._units, self._plan
        for name in (*_SERVED_KNOBS, "seed", "best_loss", "stalled"):
            setattr(units, name, plan.numbers[name])
        own = {**_EXPONENTS.get(type(rule), {}), **plan.numbers}
        for name in _OWN_KNOBS:
            setattr(units, name, own.get(name, 0))
        units.prunes = True
        units.threshold = plan.numbers[rule.threshold]
        units.recycles = rule.recycles
        units.uses_target = bool(schedule.uses_target(SimpleNamespace(**plan.numbers)))
        units.measures_outgoing = self.needs(Need.OUTGOING)
        units.score = _SCORES.get(type(rule), _BY_CALLER)
        units.last_event = plan.last_event
        for name in ("events", "left", "is_last"):
            setattr(units, name, getattr(plan, name).data_ptr())
        for name, values in zip(("decay", "shrinkage", "noise"), plan.perturbation, strict=False):
            setattr(units, name, values.data_ptr())
        if "firing_prior" in plan.buffers:
            units.firing_prior = plan.buffers["firing_prior"].data_ptr()

    def _give_buffers(self, rule: UnitRule) -> None:
        """Give the engine room for what it gathers."""
        wanted = {name for each in statistics_for(rule, self._has) for name in each.buffers}
        for name in sorted(wanted | ({"outgoing"} if self._units.measures_outgoing else set())):
            pairs = name == COVARIANCE
            own = torch.zeros((self.size, self._units.stride) if pairs else padded(self.size))
            own[..., : self.size] = self._plan.buffers[name]
            if pairs:
                self._units.covariance = own.data_ptr()
                if self._units.score == _SCORES[Usage]:  # which inverts a matrix
                    self._room = torch.empty(self.size, self.size, dtype=torch.float64)
                    self._units.room = self._room.data_ptr()
            else:
                self._units.buffers[BUFFERS.index(name)] = own.data_ptr()
            self._gathered[name] = own

    def has_event(self, step: int) -> bool:
        """Whether units may be pruned or regrown after a step."""
        return step <= self._plan.last_event and bool(self._plan.events[step])

    def tensors(self, step: int) -> Mapping[str, Tensor]:
        """Knobs, and the statistics of living units, as rules see them at an event."""
        return _LivingTensors(self._plan.buffers, self._gathered, self._age, self.numbers, step)

    def state(self, step: int) -> dict[str, Tensor]:
        """The buffers of their module as they are now; of units that are out, zero."""
        found = dict(self._plan.buffers)
        if "steps" in found:
            found["steps"] = torch.tensor(step)
        if self._plan.rule is None:
            return found
        n = self.living
        found["best_loss"] = torch.tensor(self._units.best_loss)
        found["stalled"] = torch.tensor(self._units.stalled)
        found["alive"], found["age"] = self._alive.clone(), self.of_all(self._age[:n])
        for name, own in self._gathered.items():
            found[name] = self.of_all(own[:n] if own.dim() == 1 else _symmetric(own[:n, :n]))
        return found

    def of_all(self, values: Tensor) -> Tensor:
        """Values of all units by number, from those of living units, (living,) or (living, living)."""
        numbers, found = self.numbers, values.new_zeros((self.size,) * values.dim())
        found[(numbers,) if values.dim() == 1 else (numbers.unsqueeze(-1), numbers)] = values
        return found


def _symmetric(values: Tensor) -> Tensor:
    """A symmetric matrix from what is on and above its diagonal."""
    return values.triu() + values.triu(1).mT


class _LivingTensors(Mapping[str, Tensor]):
    """Tensors of living units by name, each made when a rule asks for it."""

    def __init__(
        self,
        buffers: Mapping[str, Tensor],
        gathered: Mapping[str, Tensor],
        age: Tensor,
        numbers: Tensor,
        step: int,
    ) -> None:
        self._buffers, self._gathered, self._age = buffers, gathered, age
        self._numbers, self._step = numbers, step

    def __getitem__(self, name: str) -> Tensor:
        n = len(self._numbers)
        if name in self._gathered:
            own = self._gathered[name]
            return own[:n] if own.dim() == 1 else _symmetric(own[:n, :n])
        if name == "alive":
            return self._numbers.new_ones(n, dtype=torch.bool)
        if name == "age":
            return self._age[:n]
        if name == "steps":
            return torch.tensor(self._step)
        # what is not gathered is as it was at the start
        own = self._buffers[name]
        return own[self._numbers] if own.dim() == 1 else own

    def __contains__(self, name: object) -> bool:
        return name in self._buffers

    def __iter__(self) -> Iterator[str]:
        return iter(self._buffers)

    def __len__(self) -> int:
        return len(self._buffers)
