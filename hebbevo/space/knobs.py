"""Knobs: the hyperparameters of rules, trainings, networks and samplers, with their ranges and meanings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hebbevo.messages import listed

Scalar = float | int | str | bool
"""A single value."""

Value = Scalar | list[Scalar]
"""What a knob or a gene can be set to; a list only by a gene whose choices are lists."""


@dataclass(frozen=True)
class Knob:
    """One hyperparameter.

    >>> rate = Knob("rate", float, 0.1, "share of units to prune", low=0.0, high=1.0)
    >>> rate.problem(2)
    '2 is outside its range; write a number from 0 to 1'

    Attributes:
        name: as in space files.
        kind: ``float``, ``int``, ``bool`` or ``str``.
        default: value where neither a gene nor a setting gives one.
        meaning: one line for ``hebbevo knobs``.
        low: smallest number that makes sense, itself allowed.
        high: largest number that makes sense, itself allowed.
        sensible: range of numbers worth searching, or ``None``.
        log: whether the sensible range is best searched on a logarithmic scale.
        choices: the only allowed values; with them, there is no range.
        per_unit: whether a module accepts a number for each unit.
        per_layer: whether a gene may be a list, with a number for each layer.
    """

    name: str
    kind: type
    default: Scalar
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    sensible: tuple[float, float] | None = None
    log: bool = False
    choices: tuple[Scalar, ...] = ()
    per_unit: bool = False
    per_layer: bool = False

    def problem(self, value: object) -> str | None:
        """Say what is wrong with ``value`` for this knob and what to write; ``None`` if it can be used."""
        if isinstance(value, list):
            if self.per_layer:
                return next(filter(None, map(self.problem, value)), None)
            return f"{value!r} is a list; write {self.range_text()}"
        if self.choices:
            if any(type(value) is type(choice) and value == choice for choice in self.choices):
                return None
            return f"{value!r} is not one of {listed(self.choices)}; write one of them"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{value!r} is not a number; write {self.range_text()}"
        if self.kind is int and not float(value).is_integer():
            return f"{value!r} is not a whole number; write {self.range_text()}"
        if not self.low <= value <= self.high:  # also catches NaN
            return f"{value!r} is outside its range; write {self.range_text()}"
        return None

    def range_text(self) -> str:
        """The allowed values in words, as ``a whole number from 1 to 20``."""
        if self.choices:
            return f"one of {listed(self.choices)}"
        noun = "a whole number" if self.kind is int else "a number"
        if math.isinf(self.low) and math.isinf(self.high):
            return noun
        if math.isinf(self.high):
            return f"{noun} of {self.low:g} or more"
        return f"{noun} from {self.low:g} to {self.high:g}"


def table(*knobs: Knob) -> dict[str, Knob]:
    """Knobs by name, in their order."""
    return {knob.name: knob for knob in knobs}
