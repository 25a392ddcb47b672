"""What every plasticity rule has: knobs, state, and a list of what it needs.

A rule is the science alone. Its methods are arithmetic on tensors that an engine hands to it, so no module
under `hebbevo.rules` imports torch, and a list of knobs costs nothing. The tensors have any number of leading
axes (networks of a stack), then the axes that a method names.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from hebbevo.space.knobs import Knob, Value, listed


class Need(Enum):
    """What a rule may ask an engine for. What no rule asks for is not computed."""

    MEAN = "the running mean of each unit's output"
    VARIANCE = "the running variance of each unit's output"
    FIRING_RATE = "the running share of rows in which each unit's output is not zero"
    CORRELATION = "the running correlation of each pair of units"
    OUTGOING = "a layer that reads the units"
    INCOMING = "a layer that feeds the units and nothing else"
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


@dataclass(frozen=True)
class Asked:
    """The knob by which a need is asked for: at ``value``, or at anything but zero where that is ``None``."""

    knob: str
    value: Value | None = None

    def by(self, value: object) -> bool:
        """Tell whether a value of the knob asks for it."""
        return bool(value) if self.value is None else value == self.value

    def __str__(self) -> str:
        return self.knob if self.value in (None, True) else f"{self.knob}={listed([self.value])}"


Needs = Mapping[Need, tuple[Asked, ...]]
"""What a rule needs, and the knobs each of which asks for it; none: always."""


@dataclass(frozen=True)
class Buffer:
    """State of a rule: a number for each unit or connection.

    Attributes:
        start: its value at first, and again when a unit returns; or the name of a knob that says it.
        pairs: whether it is one number for each pair of units instead.
    """

    start: float | str = 0.0
    pairs: bool = False


class Rule(ABC):
    """A rule of any kind; it has no state of its own, so one instance serves all networks."""

    name: ClassVar[str]
    knobs: ClassVar[Mapping[str, Knob]]
    needs: ClassVar[Needs] = {}
    buffers: ClassVar[Mapping[str, Buffer]] = {}

    can_need: ClassVar[frozenset[Need]] = frozenset()
    """What engines give to rules of this kind."""

    def all_needs(self) -> Needs:
        """What the rule and the knobs that all rules of its kind have need."""
        return self.needs

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return self.name
