"""Knobs: what a rule or a training lets the search set."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

Value = float | int | str | bool


@dataclass(frozen=True)
class Knob:
    """One hyperparameter of a rule or of the training.

    A number has the inclusive range ``low`` to ``high`` outside which it makes no sense, and ``sensible``,
    the range worth searching (log-spaced if ``log``). A choice has ``choices`` and no range.
    ``kind`` is ``float``, ``int``, ``bool`` or ``str``. A module may be given a number for each unit where
    the knob is ``per_unit``.
    """

    name: str
    kind: type
    default: Value
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    sensible: tuple[float, float] | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    per_unit: bool = False

    def problem(self, value: object) -> str | None:
        """Say what is wrong with ``value`` for this knob and what to write, or ``None``."""
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
        """The allowed values in words."""
        if self.choices:
            return f"one of {listed(self.choices)}"
        noun = "a whole number" if self.kind is int else "a number"
        if math.isinf(self.low) and math.isinf(self.high):
            return noun
        if math.isinf(self.high):
            return f"{noun} of {self.low:g} or more"
        return f"{noun} from {self.low:g} to {self.high:g}"


def table(*knobs: Knob) -> dict[str, Knob]:
    """Knobs by name."""
    return {knob.name: knob for knob in knobs}


def listed(names: Sequence[object]) -> str:
    """Join names for a message: ``a, b, c``; booleans as YAML writes them."""
    return ", ".join(str(name).lower() if isinstance(name, bool) else str(name) for name in names)


def unknown(name: str, known: Collection[str]) -> str:
    """Say of a name that it is not known, and what to write: ``'decy'; did you mean decay?``."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {listed(list(known))}"
    return f"{name!r}; {hint}"
