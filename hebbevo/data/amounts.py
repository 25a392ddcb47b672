"""Labels that may be no classes but amounts to predict."""

from __future__ import annotations

from collections.abc import Sequence

Label = int | float | str | bool

WRITE_REGRESSION = "write task: {kind: regression} (or --kind regression)"
"""What to do where the target is an amount."""

_MOST_WHOLE_CLASSES = 20  # more whole numbers than these may well be amounts


def may_be_amounts(classes: Sequence[Label]) -> bool:
    """Whether classes look like numbers to predict: fractions, or many whole numbers.

    >>> may_be_amounts([0, 1, 2]), may_be_amounts([0.5, 1.0, 2.0]), may_be_amounts(range(50))
    (False, True, True)
    """
    if any(isinstance(label, bool | str) for label in classes):
        return False
    return len(classes) > _MOST_WHOLE_CLASSES or any(float(label) % 1 for label in classes)


def amounts_advice(classes: Sequence[Label]) -> str:
    """What to add to a complaint about classes where they may be amounts: a regression; else nothing.

    >>> amounts_advice([21.0, 22.0, 25.0])
    '; if classes are amounts, write task: {kind: regression} (or --kind regression)'
    >>> amounts_advice([0, 1]), amounts_advice(["a", "b", "c"])
    ('', '')
    """
    are_numbers = not any(isinstance(label, bool | str) for label in classes)
    return f"; if classes are amounts, {WRITE_REGRESSION}" if are_numbers and len(classes) > 2 else ""
