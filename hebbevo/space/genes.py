"""Genes: each maps the unit interval, in which samplers work, to the values of one knob."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import SpaceError
from hebbevo.space.genome import same
from hebbevo.space.knobs import Scalar, Value

Condition = tuple[str, tuple[Value, ...]]
"""The name of a gene, and those of its values under which the condition holds."""

ZERO_PART = 0.1
"""The part of [0, 1] that belongs to the zero beside a logarithmic range."""

LARGEST_INT = 2**31 - 1
"""Largest absolute value of a whole number: beyond it, the logarithm no longer tells neighbours apart."""


class GeneError(SpaceError):
    """One gene is wrong: ``gene`` is its name, ``path`` the place inside it, ``what`` the complaint."""

    def __init__(self, gene: str, path: tuple[str | int, ...], what: str) -> None:
        super().__init__(gene, path, what)  # all three, so that it survives pickling
        self.gene, self.path, self.what = gene, path, what

    def __str__(self) -> str:
        return f"{'.'.join(map(str, (self.gene, *self.path)))}: {self.what}"


@dataclass(frozen=True)
class FloatGene:
    """A real number from ``low`` to ``high``, spread evenly, or evenly in its logarithm with ``log``.

    With a ``step`` the numbers are ``low``, ``low + step``, ... up to ``high``, each with an equal part of
    [0, 1]. With ``zero`` the first tenth of [0, 1] is 0, and the range has the rest.

    >>> round(FloatGene("learning_rate", 1e-4, 1.0, log=True).from_unit(0.25), 9)
    0.001
    >>> [FloatGene("rate", 0.1, 0.5, step=0.2).from_unit(u) for u in (0.0, 0.5, 1.0)]
    [0.1, 0.3, 0.5]
    >>> [FloatGene("decay", 1e-4, 1.0, log=True, zero=True).from_unit(u) for u in (0.05, 0.1, 1.0)]
    [0.0, 0.0001, 1.0]

    Attributes:
        name: name of the knob, with the number of a layer behind a dot where layers differ.
        low: smallest value.
        high: largest value, above ``low``.
        log: whether values are spread evenly in their logarithm; ``low`` must then be above 0.
        when: conditions that must all hold for the gene to exist.
        step: difference of two neighbouring values, or ``None`` for all real numbers; not with ``log``.
        zero: whether 0 is a value too, beside a range with ``log``.

    Raises:
        GeneError: the range is empty or infinite, too narrow or too wide for a float, or ``low`` is not above
            0 under ``log``; or ``step`` or ``zero`` does not fit it.
    """

    name: str
    low: float
    high: float
    log: bool = False
    when: tuple[Condition, ...] = ()
    step: float | None = None
    zero: bool = False

    def __post_init__(self) -> None:
        for field, bound in (("low", self.low), ("high", self.high)):
            if not math.isfinite(bound):
                raise GeneError(self.name, (field,), f"{bound} is not finite; write an ordinary number")
        _check_range(self, smallest_log=math.ulp(0.0), rule="a number above 0")
        if not 0 < self._scaled(self.high) - self._scaled(self.low) < math.inf:
            what = f"the range from {self.low} to {self.high} is too narrow or too wide; write another"
            raise GeneError(self.name, ("high",), what)
        if self.zero and not self.log:
            raise GeneError(self.name, ("zero",), "is for a range with log; write low: 0, or log: true")
        if self.step is not None:
            self._check_step(self.step)

    def _check_step(self, step: float) -> None:
        if self.log:
            raise GeneError(self.name, ("step",), "log takes no step; drop step or log")
        if not 0 < step <= self.high - self.low:
            what = f"{step} does not fit; write a number above 0, up to {self.high - self.low:g}"
            raise GeneError(self.name, ("step",), what)
        if self.count > LARGEST_INT:
            raise GeneError(self.name, ("step",), f"{step} makes too many values; write a larger one")

    @property
    def count(self) -> int:
        """How many values a gene with a step has; 0 for all real numbers of the range."""
        if self.step is None:
            return 0
        low, high, step = (Decimal(repr(number)) for number in (self.low, self.high, self.step))
        return int((high - low) // step) + 1

    def on_step(self, number: int) -> float:
        """The value after this number of steps, as it is written: 0.1 + 2 x 0.1 is 0.3."""
        return float(Decimal(repr(self.low)) + number * Decimal(repr(self.step))) + 0.0

    def from_unit(self, u: float) -> float:
        """The value at ``u`` in [0, 1]; of a range without step and zero exactly its ends at 0 and 1."""
        if self.step is not None:
            return self.on_step(_part(u, self.count))
        if self.zero:
            if u < ZERO_PART:
                return 0.0
            u = (u - ZERO_PART) / (1 - ZERO_PART)
        if u <= 0 or u >= 1:
            return float(self.low if u <= 0 else self.high) + 0.0  # no -0.0, which SQLite does not keep
        between = self._scaled(self.low) * (1 - u) + self._scaled(self.high) * u
        return float(min(max(math.exp(between) if self.log else between, self.low), self.high))

    def to_unit(self, value: object) -> float:
        """The place of ``value`` in [0, 1].

        Raises:
            GeneError: ``value`` is not one of the gene's floats.
        """
        number = _member(self, value)
        if self.step is not None:
            return (self._steps_to(number) + 0.5) / self.count
        if self.zero and number == 0:
            return ZERO_PART / 2
        low, high, at = (self._scaled(each) for each in (self.low, self.high, number))
        u = min(max((at - low) / (high - low), 0.0), 1.0)
        return min(ZERO_PART + u * (1 - ZERO_PART), 1.0) if self.zero else u

    def snap(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move places, (n,) in [0, 1], to those of the values there; real numbers stay where they are."""
        if self.step is not None:
            return _centres(axis, self.count)
        return np.where(axis < ZERO_PART, ZERO_PART / 2, axis) if self.zero else axis

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a float in the range, on a step where there is one, or the zero."""
        if not isinstance(value, float):
            return False
        if self.zero and value == 0:
            return True
        in_range = self.low <= value <= self.high
        return in_range and (self.step is None or self.on_step(self._steps_to(value)) == value)

    def part(self, u: float) -> tuple[float, float] | None:
        """The part of [0, 1] around ``u`` whose places have one value; ``None`` where each has its own."""
        if self.step is not None:
            number = _part(u, self.count)
            return number / self.count, (number + 1) / self.count
        return (0.0, ZERO_PART) if self.zero and u < ZERO_PART else None

    def nearest(self, value: float) -> float:
        """The value on a step that is nearest to ``value``."""
        return self.on_step(self._steps_to(value))

    def _steps_to(self, value: float) -> int:
        """The number of the step nearest to a value."""
        assert self.step is not None
        return min(max(round((value - self.low) / self.step), 0), self.count - 1)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else float(value)


@dataclass(frozen=True)
class IntGene:
    """A whole number ``low``, ``low + step``, ... up to ``high``, each with an equal part of [0, 1].

    With ``log`` the part of ``n`` reaches from ``n - 0.5`` to ``n + 0.5`` on a logarithmic scale, so that it
    holds the real numbers that round to ``n``.

    >>> [IntGene("warmup", 2, 10, step=4).from_unit(u) for u in (0.0, 0.5, 1.0)]
    [2, 6, 10]

    Attributes:
        name: as for `FloatGene`.
        low: smallest value; 1 or more with ``log``.
        high: largest value, above ``low``; the last step may end below it.
        step: difference of two neighbouring values, 1 to ``high - low``; 1 with ``log``.
        log: whether values are spread evenly in their logarithm.
        when: conditions that must all hold for the gene to exist.

    Raises:
        GeneError: a number is not whole or beyond `LARGEST_INT`, the range is empty, or ``step`` or ``log``
            does not fit it.
    """

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for field, number in (("low", self.low), ("high", self.high), ("step", self.step)):
            if type(number) is not int or not -LARGEST_INT <= number <= LARGEST_INT:
                what = f"{number!r} is not usable; write a whole number from {-LARGEST_INT} to {LARGEST_INT}"
                raise GeneError(self.name, (field,), what)
        _check_range(self, smallest_log=1, rule="1 or more")
        if not 1 <= self.step <= self.high - self.low:
            what = f"{self.step} does not fit; write a whole number from 1 to {self.high - self.low}"
            raise GeneError(self.name, ("step",), what)
        if self.log and self.step != 1:
            raise GeneError(self.name, ("step",), "log takes no step; drop step or log")

    def from_unit(self, u: float) -> int:
        """The value whose part of [0, 1] holds ``u``."""
        if self.log:
            first, last = self._log_ends
            value = round(math.exp(first * (1 - u) + last * u))
            return min(max(value, self.low), self.high)
        return self.low + self.step * _part(u, len(self.values))

    def to_unit(self, value: object) -> float:
        """The centre of the part of [0, 1] that belongs to ``value``.

        Raises:
            GeneError: ``value`` is not one of the gene's whole numbers.
        """
        number = _member(self, value)
        if self.log:
            first, last = self._log_ends
            centre = (math.log(number - 0.5) + math.log(number + 0.5)) / 2
            return float((centre - first) / (last - first))
        return float(((number - self.low) / self.step + 0.5) / len(self.values))

    def snap(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move places, (n,) in [0, 1], to the centres of the parts that hold them."""
        if not self.log:
            return _centres(axis, len(self.values))
        first, last = self._log_ends
        number = np.clip(np.rint(np.exp(first * (1 - axis) + last * axis)), self.low, self.high)
        centres: NDArray[np.float64] = (np.log(number - 0.5) + np.log(number + 0.5)) / 2
        return (centres - first) / (last - first)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is an int in the range and on a step."""
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def values(self) -> range:
        """The numbers that the gene can be, from the smallest."""
        return range(self.low, self.high + 1, self.step)

    @property
    def _log_ends(self) -> tuple[float, float]:
        """Where the parts of the first and the last value end, on the logarithmic scale."""
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True)
class ChoiceGene:
    """One of ``choices``, each with an equal part of [0, 1].

    >>> ChoiceGene("penalty_form", ("mean", "ratio")).from_unit(0.7)
    'ratio'

    Attributes:
        name: as for `FloatGene`.
        choices: finite numbers, texts, truth values, or lists of these, all different; 1 and ``True`` differ.
        when: conditions that must all hold for the gene to exist.

    Raises:
        GeneError: there is no choice, two are equal, or one is neither a finite number, a text, a truth value
            nor a list of these.
    """

    name: str
    choices: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not self.choices:
            raise GeneError(self.name, ("choices",), "there is none; write at least one")
        for i, choice in enumerate(self.choices):
            if not all(map(_is_plain, choice if isinstance(choice, list) and choice else [choice])):
                write = "a finite number, text, true or false, or a list of these"
                what = f"{choice!r} is not usable; write {write}"
                raise GeneError(self.name, ("choices", i), what)
            if among(choice, self.choices[:i]):
                raise GeneError(self.name, ("choices", i), f"{choice!r} stands here twice; drop one")

    def from_unit(self, u: float) -> Value:
        """The choice whose part of [0, 1] holds ``u``."""
        choice = self.choices[_part(u, len(self.choices))]
        return list(choice) if isinstance(choice, list) else choice

    def to_unit(self, value: object) -> float:
        """The centre of the part of [0, 1] that belongs to ``value``.

        Raises:
            GeneError: ``value`` is not one of the choices.
        """
        _member(self, value)
        place = next(i for i, choice in enumerate(self.choices) if same(choice, value))
        return (place + 0.5) / len(self.choices)

    def snap(self, axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move places, (n,) in [0, 1], to the centres of the parts that hold them."""
        return _centres(axis, len(self.choices))

    def contains(self, value: object) -> bool:
        """Whether ``value`` is one of the choices, of the same type."""
        return any(same(choice, value) and type(choice) is type(value) for choice in self.choices)


Gene = FloatGene | IntGene | ChoiceGene


def among(value: object, values: Sequence[Value]) -> bool:
    """Whether one of ``values`` is the `same` as ``value``."""
    return any(same(value, other) for other in values)


def _check_range(gene: FloatGene | IntGene, smallest_log: float, rule: str) -> None:
    if gene.low >= gene.high:
        what = f"{gene.high} is not above low, which is {gene.low}; write a larger high or a smaller low"
        raise GeneError(gene.name, ("high",), what)
    if gene.log and gene.low < smallest_log:
        what = f"{gene.low} has no place under log; write {rule}, or log: false"
        raise GeneError(gene.name, ("low",), what)


def _is_plain(value: object) -> bool:
    return isinstance(value, Scalar) and not (isinstance(value, float) and not math.isfinite(value))


def _member(gene: Gene, value: object) -> Any:
    if not gene.contains(value):
        raise GeneError(gene.name, (), f"{value!r} is not one of this gene's values; write one of them")
    return value


def _part(u: float, count: int) -> int:
    """The number, from 0, of the one of ``count`` equal parts of [0, 1] that holds ``u``."""
    return min(max(int(u * count), 0), count - 1)


def _centres(axis: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """For places, (n,) in [0, 1], the centres of the ones of ``count`` equal parts that hold them."""
    part: NDArray[np.float64] = np.minimum(np.floor(axis * count), count - 1)
    return (part + 0.5) / count
