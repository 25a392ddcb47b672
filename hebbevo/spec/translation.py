"""Genes written as in sweep files of other tools, in the words of a space file."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hebbevo.messages import listed
from hebbevo.spec.field_types import is_scalar
from hebbevo.spec.messages import Problem
from hebbevo.spec.raw_data import mapping_at

_Gene = Mapping[str, Any]

_FOREIGN_KEYS = {"min", "max", "values", "value", "distribution", "q", "lower", "upper", "bounds"}
_LONGEST_CALL = 1000  # characters
_MOST = 700  # beyond it a power of e is no float
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # where YAML sees no text
_TOP = {"parameters": "genome", "search_space": "genome", "param_space": "genome"}


def foreign_problems(raw: object) -> Iterator[Problem]:
    """Find genes in the words of W&B, Optuna, Ray Tune or Hyperopt, and say how they are written here."""
    for key, own in _TOP.items():
        if key in mapping_at(raw):
            genes = mapping_at(raw, key)
            texts = ((name, translation(name, gene)) for name, gene in genes.items())
            example = next((f", as in {name}: {text}" for name, text in texts if text), "")
            yield Problem((key,), f"is {own} here; write {own}: and the genes under it{example}")
    for name, gene in mapping_at(raw, "genome").items():
        if text := translation(name, gene):
            yield Problem(("genome", name), f"is written as in another tool; write {name}: {text}")


def translation(name: str, gene: object) -> str | None:
    """What another tool calls a gene, as a space file has it; ``None`` for what is not known.

    >>> translation("rate", {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"})
    '{low: 0.001, high: 0.1, log: true}'
    >>> translation("width", 'trial.suggest_int("width", 4, 64, log=True)')
    '{type: int, low: 4, high: 64, log: true}'
    >>> translation("kind", {"values": ["a", "b"]})
    '{choices: [a, b]}'

    Args:
        name: name of the gene.
        gene: its value in the file.
    """
    found = None
    if isinstance(gene, Mapping):
        found = _of_mapping(gene)
    elif isinstance(gene, str) and len(gene) < _LONGEST_CALL:
        found = _of_call(gene)
    if found is None:
        return None
    if "fixed" in found:
        return f"nothing there, and network: {{settings: {{{name}: {_text(found['fixed'])}}}}}"
    return f"{{{', '.join(f'{key}: {_text(value)}' for key, value in found.items())}}}"


def _of_mapping(gene: _Gene) -> dict[str, Any] | None:
    """A gene of a W&B sweep, or ``{suggest_float: [0, 1]}``."""
    if len(gene) == 1:
        [(key, value)] = gene.items()
        if isinstance(key, str) and (parts := _parts(key)):
            if isinstance(value, Mapping):
                return _of_arguments(parts, [], value)
            if isinstance(value, Sequence) and not isinstance(value, str):
                return _of_arguments(parts, value, {})
    if isinstance(gene.get("_type"), str) and isinstance(gene.get("_value"), list):  # of NNI
        parts = _parts(gene["_type"])
        return _of_arguments(parts, gene["_value"], {}) if parts else None
    if not _FOREIGN_KEYS & gene.keys():
        return None
    kind = str(gene.get("distribution", gene.get("type", "")))
    if "value" in gene:
        return {"fixed": gene["value"]}
    if "values" in gene:
        return {"choices": gene["values"]} if isinstance(gene["values"], list) else None
    bounds = gene.get("bounds")
    pair = bounds if isinstance(bounds, list) and len(bounds) == 2 else (None, None)
    low, high = (
        next((gene[key] for key in keys if key in gene), other)
        for keys, other in zip((("min", "lower", "low"), ("max", "upper", "high")), pair, strict=True)
    )
    if kind in ("log_uniform", "q_log_uniform"):
        low, high = map(_power, (low, high))
    step = gene.get("q", 1) if kind.startswith("q_") else gene.get("step")
    scaled = gene.get("log_scale") is True or gene.get("scale") == "log"  # of Ax, and of others
    log = "log" in kind or gene.get("log") is True or scaled
    # W&B takes two whole numbers for the ends of a whole number, and so does Ax
    whole = kind.startswith("int") or (kind in ("", "range") and {type(low), type(high)} == {int})
    return _range(low, high, step=step, log=log, whole=whole)


def _of_call(text: str) -> dict[str, Any] | None:
    """A call, such as ``tune.loguniform(1e-4, 0.1)`` or ``trial.suggest_int("n", 1, 9)``."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name | ast.Attribute):
        return None
    parts = _parts(call.func.id if isinstance(call.func, ast.Name) else call.func.attr)
    if not parts:
        return None
    try:
        arguments = [ast.literal_eval(each) for each in call.args]
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
    except (ValueError, SyntaxError):
        return None
    labelled = bool(arguments) and isinstance(arguments[0], str)
    if labelled and "suggest" not in parts and "log" in parts:
        arguments = list(map(_power, arguments))  # of Hyperopt
    return _of_arguments(parts, arguments[labelled:], named)


_CALLS = {
    "suggest_float": ("suggest", "float"),
    "suggest_uniform": ("suggest", "float"),
    "suggest_loguniform": ("suggest", "float", "log"),
    "suggest_discrete_uniform": ("suggest", "float", "step"),
    "suggest_int": ("suggest", "int"),
    "suggest_categorical": ("suggest", "choices"),
    "uniform": ("float",),
    "loguniform": ("float", "log"),
    "quniform": ("float", "step"),
    "qloguniform": ("float", "log", "step"),
    "randint": ("int", "open"),
    "qrandint": ("int", "step"),
    "lograndint": ("int", "open", "log"),
    "choice": ("choices",),
    "grid_search": ("choices",),
    "uniformint": ("int",),
    "qlograndint": ("int", "log"),
    "FloatDistribution": ("suggest", "float"),
    "IntDistribution": ("suggest", "int"),
    "CategoricalDistribution": ("suggest", "choices"),
}
"""What functions of Optuna, Ray Tune and Hyperopt mean; ``open`` ranges end below their upper bound."""


def _parts(function: str) -> tuple[str, ...]:
    return _CALLS.get(function.rpartition(".")[2], ())


def _of_arguments(
    parts: tuple[str, ...], given: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any] | None:
    if "choices" in parts:
        values = given[0] if len(given) == 1 and isinstance(given[0], list | tuple) else given
        values = next((named[key] for key in ("choices", "categories", "values") if key in named), values)
        return {"choices": list(values)} if isinstance(values, list | tuple) and values else None
    low, high, step, *_ = (*given, None, None, None)
    low, high = (named.get(key, other) for key, other in (("low", low), ("high", high)))
    low, high = named.get("lower", low), named.get("upper", high)
    step = named.get("step", named.get("q", step if "step" in parts else None))
    log, whole = "log" in parts or named.get("log") is True, "int" in parts
    if "open" in parts and _is_number(high):
        high -= 1
    return _range(low, high, step=step, log=log, whole=whole)


def _range(low: Any, high: Any, *, step: Any, log: bool, whole: bool) -> dict[str, Any] | None:
    if not _is_number(low) or not _is_number(high):
        return None
    own: dict[str, Any] = {"type": "int"} if whole else {}
    own |= {"low": low, "high": high}
    if log:
        own["log"] = True
    elif _is_number(step):
        own["step"] = step
    return own


def _power(exponent: Any) -> Any:
    """The power of e; W&B's ``log_uniform`` and Hyperopt's ``loguniform`` are given exponents."""
    return float(f"{math.exp(exponent):.6g}") if _is_number(exponent) and exponent < _MOST else exponent


def _is_number(value: object) -> bool:
    return is_scalar(value) and not isinstance(value, bool | str)


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str) and (not value.isidentifier() or value.lower() in _NOT_TEXT):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else listed([value])
