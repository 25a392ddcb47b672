"""What every plasticity rule has: knobs, state, and a list of what it needs.

A rule holds the science alone: statistics, scores, and the steps at which something may change. The engine
(`hebbevo.nn.surgery`) calls its methods with tensors, and alone changes masks, weights and optimiser moments.
Rules use only methods of tensors. No module under `hebbevo.rules` imports torch, so listing knobs is fast.

The methods of all rules use these letters, which are those of the equations:

- ``k``: the knobs, each a tensor under its name, such as ``k.warmup``. A choice among texts is the number of
  the choice, counted from zero.
- ``s``: the state, the buffers of the rule, each a tensor under its name, changed in place.
- ``c``: constants of a statistic (`hebbevo.rules.units.statistics.Statistic.constants`), likewise by name.
- ``x`` and ``y``: inputs and outputs of a layer.

Shapes are written (..., rows, n): "..." are any leading axes, one in a stack of networks, none for a network
by itself; rows are the samples of a minibatch, and n the units of a layer. Periods, ages and lengths are in
forward steps in training mode; step 1 is the first.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from hebbevo.messages import listed
from hebbevo.space.knobs import Knob, Value


class Need(Enum):
    """What a rule may ask the engine for. What no rule asks for is not computed."""

    MEAN = "the running mean of each unit's output"
    MEAN_SIZE = "the running mean of the size of each unit's output"
    VARIANCE = "the running variance of each unit's output"
    FIRING_RATE = "the running share of rows in which each unit's output is not zero"
    CORRELATION = "the running covariance and correlation of each pair of units"
    OUTGOING = "a layer that reads the units"
    INCOMING = "a layer that feeds the units and nothing else"
    INCOMING_GRADIENT = "the last gradients of the weights that feed the units"
    GATE_GRADIENT = "the running mean square of the loss's gradient by a gate of one on each unit"
    COACTIVATION = "the mean over a minibatch of input x output, for each connection"
    INPUT_MEAN = "the mean over a minibatch of each input"
    OUTPUT_MEAN = "the mean over a minibatch of each output"
    INPUT_SQUARE = "the mean over a minibatch of each input's square"
    OUTPUT_SQUARE = "the mean over a minibatch of each output's square"
    DENSE_GRADIENT = "the last gradient of every weight, pruned or not"
    FOLDABLE = "a layer that reads the units directly and has a bias"
    EXCLUSIVE = "layers that read these units by weights which nothing else uses"
    LOSS = "the training loss"
    LENGTH = "the length of the training"
    OPTIMIZER = "an optimiser after whose steps connections change"
    OWN_STEPS = "an optimiser that counts the steps of each weight from when the weight was drawn"


@dataclass(frozen=True)
class Asked:
    """The setting of a knob at which a rule has a need.

    Attributes:
        knob: the name of the knob.
        value: its value; ``None`` stands for every value but zero.
    """

    knob: str
    value: Value | None = None

    def is_met_by(self, value: object) -> bool:
        """Whether the knob at ``value`` asks for the need."""
        return bool(value) if self.value is None else value == self.value

    def __str__(self) -> str:
        return self.knob if self.value in (None, True) else f"{self.knob}={listed([self.value])}"


Needs = Mapping[Need, tuple[Asked, ...]]
"""The needs of a rule, each with the settings of knobs that ask for it; without any, it is always needed."""


@dataclass(frozen=True)
class Buffer:
    """State of a rule: one number for each unit, or for each connection.

    Attributes:
        start: the value before the first step, and again for a unit that is regrown; or the name of the knob
            that has this value. A bool makes it a mask.
        pairs: whether it is one number for each pair of units instead, (n, n).
    """

    start: float | str = 0.0
    pairs: bool = False


class Rule(ABC):
    """A rule of any kind; it has no state of its own, so one instance serves all networks.

    Attributes:
        name: as a space file and `hebbevo.rules` have it.
        knobs: by name.
        needs: what the engine must give it.
        buffers: its state, by name.
        can_need: what the engine can give to rules of this kind.
    """

    name: ClassVar[str]
    knobs: ClassVar[Mapping[str, Knob]]
    needs: ClassVar[Needs] = {}
    buffers: ClassVar[Mapping[str, Buffer]] = {}
    can_need: ClassVar[frozenset[Need]] = frozenset()

    def all_needs(self) -> Needs:
        """The needs of the rule, and those of the knobs that all rules of its kind share."""
        return self.needs

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return self.name
