"""Genes of a new space file: those of shipped spaces, of a knob, and of the arguments of a function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hebbevo import user_code
from hebbevo.errors import UsageError
from hebbevo.space.knobs import Knob
from hebbevo.spec.loading import read

_SMALL = 8  # whole numbers below it are searched one by one
_TINY = 0.02  # numbers below it are searched by orders of magnitude


@dataclass(frozen=True)
class NewGene:
    """A gene, or the reason why there is none.

    Attributes:
        name: of the knob or the argument.
        gene: what a space file says of it; ``None``: only the comment is written.
        comment: what it means.
    """

    name: str
    gene: Mapping[str, Any] | None
    comment: str


def knob_genes(knobs: Mapping[str, Knob]) -> list[NewGene]:
    """The genes of knobs as the shipped spaces have them; where those have none, what is worth searching.

    >>> from hebbevo.rules import UNITS
    >>> [each.name for each in knob_genes(UNITS["stamina"].knobs)]
    ['unactivation_penalty', 'penalty_form', 'hebbian_threshold', 'regrowth_rate', 'activity', 'settle']
    """
    shipped = {**read("hebb_mask").genome, **read("stamina").genome}
    found = [
        NewGene(name, gene.model_dump(exclude_defaults=True), knobs[name].meaning)
        for name, gene in shipped.items()
        if name in knobs
    ]
    return found or [gene for knob in knobs.values() if (gene := knob_gene(knob))]


def knob_gene(knob: Knob) -> NewGene | None:
    """A gene over what is worth searching of a knob; ``None`` where that is not known.

    >>> knob_gene(Knob("rate", float, 0.1, "how fast", sensible=(0.01, 1.0), log=True)).gene
    {'low': 0.01, 'high': 1.0, 'log': True}
    """
    if knob.sensible is None:
        return None
    low, high = (knob.kind(end) for end in knob.sensible)
    gene: dict[str, Any] = {"type": "int"} if knob.kind is int else {}
    gene |= {"low": low, "high": high}
    if knob.log:
        gene["log"] = True
    return NewGene(knob.name, gene, knob.meaning)


def argument_genes(module: str) -> list[NewGene]:
    """A gene for each argument of a function that builds a network, its default in the middle.

    Args:
        module: the function as ``package.module:name``.

    Raises:
        UsageError: it cannot be imported, or an argument has neither a default nor a known type.
    """
    function = user_code.resolve(module)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    hints = _hints(function)
    found = []
    for each in _parameters(module, function).values():
        if each.kind not in by_name or each.name in ("input_shape", "num_classes"):
            continue
        hint = hints.get(each.name)
        default = None if each.default is each.empty else each.default
        gene = _of_choices(hint) or _of_default(default)
        if each.default is each.empty:
            gene = gene or _of_type(hint)
            if gene is None:
                what = f"its argument {each.name} has no default"
                advice = "give it one, or a type: int, float or bool"
                raise UsageError(f"--module: {module}: {what}; {advice}")
            comment = f"argument of {module} without a default; this range is a guess"
            found.append(NewGene(each.name, gene, comment))
        elif gene is None:
            what = f"argument {each.name} of {module} keeps its default {default!r}"
            found.append(NewGene(each.name, None, f"{what}: no range around it is obvious"))
        else:
            found.append(NewGene(each.name, gene, f"argument of {module}; its default is {default!r}"))
    return found


def _parameters(module: str, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        what = f"its arguments are not known ({error})"
        raise UsageError(f"--module: {module}: {what}; wrap it in a function") from error


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of arguments, as far as they can be found out."""
    try:
        return get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except Exception:  # a name in an annotation may be anything
        return {}


def _of_choices(hint: object) -> dict[str, Any] | None:
    """The values that a type lists."""
    if hint is bool:
        return {"choices": [False, True]}
    values = list(get_args(hint)) if get_origin(hint) is Literal else []
    is_plain = all(isinstance(each, bool | int | float | str) for each in values)
    return {"choices": values} if values and is_plain else None


def _of_type(hint: object) -> dict[str, Any] | None:
    if hint is int:
        return {"type": "int", "low": 8, "high": 64, "log": True}
    if hint is float:
        return {"low": 0.05, "high": 0.95}
    return None


def _of_default(default: object) -> dict[str, Any] | None:
    """A range, or choices, with a value in the middle; ``None`` where the value does not suggest one."""
    if isinstance(default, bool):
        return {"choices": [False, True]}
    if isinstance(default, list | tuple):
        return _of_widths(default)
    if type(default) is int and 0 < default < 2**31:
        return _whole(default)
    if type(default) is float and math.isfinite(default) and 1e-30 < abs(default) < 1e30:
        return _real(default)
    return None


def _of_widths(default: Sequence[object]) -> dict[str, Any] | None:
    """Lists of whole numbers with half of them, and with twice as many."""
    widths = [each for each in default if type(each) is int and each > 0]
    if not widths or len(widths) < len(default):
        return None
    values = ([max(1, each // 2) for each in widths], widths, [2 * each for each in widths])
    return {"choices": [each for place, each in enumerate(values) if each not in values[:place]]}


def _whole(default: int) -> dict[str, Any]:
    if default >= _SMALL:
        return {"type": "int", "low": default // 2, "high": 2 * default, "log": True}
    low = max(1, default - max(1, default // 2))
    return {"type": "int", "low": low, "high": max(2, 2 * default - low)}


def _real(default: float) -> dict[str, Any]:
    if 0 < default < _TINY or default > 1:
        factor = 10 if default < 1 else 4
        return {"low": _rounded(default / factor), "high": _rounded(default * factor), "log": True}
    half = min(default, 1 - default) / 2 if 0 < default < 1 else abs(default) / 2
    return {"low": _rounded(default - half), "high": _rounded(default + half)}


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
