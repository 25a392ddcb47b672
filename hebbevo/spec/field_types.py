"""Types of the values in a space file: stricter than pydantic's where YAML or SQLite demand it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from hebbevo import user_code
from hebbevo.data import WHITESPACE
from hebbevo.data.options import Standardization
from hebbevo.space import MOST_LAYERS, knobs
from hebbevo.space.knobs import Value
from hebbevo.spec import duration

CODE = "package.module:name"
"""How the user's own code is named."""

_LARGEST_INT = 2**63 - 1  # what SQLite can hold


def is_scalar(value: object) -> bool:
    """Whether a value is a finite number that SQLite can hold, a text or a truth value."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | str) or (isinstance(value, int) and abs(value) <= _LARGEST_INT)


# The types of the errors below are keys of the table of complaints in structure.py.


def _scalar(value: Any) -> Any:
    if not is_scalar(value):
        raise PydanticCustomError("scalar", "no scalar")
    return value


def _choice(value: Any) -> Any:
    return list(map(_scalar, value)) if isinstance(value, list) and value else _scalar(value)


def _number(value: Any) -> Any:
    if not is_scalar(value) or isinstance(value, bool | str):
        raise PydanticCustomError("number", "no number")
    return value


def _part(value: Any) -> Any:
    if not 0 <= _number(value) <= 1:
        raise PydanticCustomError("part", "no part")
    return value


def _whole(value: Any) -> Any:
    """Turn 1e3, which YAML reads as a float, into 1000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _scalars(value: Any) -> tuple[Value, ...]:
    return tuple(map(_scalar, value if isinstance(value, list | tuple) else [value]))


def _columns(value: Any) -> Any:
    if isinstance(value, bool) or value in ("auto", "per_channel"):
        return value
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise PydanticCustomError("columns", "no columns")


def _count(value: Any) -> Any:
    count = _whole(value)
    if isinstance(count, str) or (type(count) is int and 1 <= count <= MOST_LAYERS):
        return count
    raise PydanticCustomError("count", "no count")


def _code(value: Any) -> str:
    if not isinstance(value, str) or not user_code.is_reference(value):
        raise PydanticCustomError("code", "no code")
    return value


def _encoding(value: Any) -> str:
    try:
        "".encode(value)
    except (LookupError, TypeError, ValueError) as error:
        raise PydanticCustomError("encoding", "no encoding") from error
    return str(value)


def _separator(value: Any) -> str:
    if value != WHITESPACE and not (isinstance(value, str) and len(value) == 1 and value not in '"\r\n'):
        raise PydanticCustomError("separator", "no separator")
    return str(value)


def _score(value: Any) -> str:
    if not isinstance(value, str) or not (user_code.is_reference(value) or value.isidentifier()):
        raise PydanticCustomError("score", "no score")
    return value


def _class_weight(value: Any) -> Any:
    if value == "balanced":
        return value
    if not isinstance(value, Mapping) or not value:
        raise PydanticCustomError("class_weight", "no weights")
    for label, weight in value.items():
        number = is_scalar(weight) and not isinstance(weight, bool | str)
        if not isinstance(label, str) or not number or weight <= 0:
            raise PydanticCustomError("class_weight", "no weights")
    return dict(value)


def _seconds(value: Any) -> float:
    try:
        return duration.seconds(value)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("duration", "no length of time") from error


def _json(**schema: Any) -> WithJsonSchema:
    """What JSON Schema says of a type whose validator is a function."""
    return WithJsonSchema(schema)


_SCALAR: dict[str, Any] = {"type": ["number", "string", "boolean"]}
_REFERENCE = r"^[^\s:]+:[^\s:]+$"

# Numbers are serialised as they are: pydantic would write the 5 of a union with float as 5.0.
Number = Annotated[float, PlainValidator(_number), PlainSerializer(_number), _json(type="number")]
Part = Annotated[
    float, PlainValidator(_part), PlainSerializer(_part), _json(type="number", minimum=0, maximum=1)
]
Scalar = Annotated[knobs.Scalar, PlainValidator(_scalar), PlainSerializer(_scalar), _json(**_SCALAR)]
Choice = Annotated[
    Value,
    PlainValidator(_choice),
    PlainSerializer(_choice),
    _json(anyOf=[_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]),
]
Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[
    float,
    PlainValidator(_seconds),
    _json(anyOf=[{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"^[\d.hms]+$"}]),
]
Width = Annotated[Whole, Field(ge=1, le=100_000)]
Separator = Annotated[
    str,
    PlainValidator(_separator),
    _json(anyOf=[{"const": WHITESPACE}, {"type": "string", "minLength": 1, "maxLength": 1}]),
]
Encoding = Annotated[str, PlainValidator(_encoding), _json(type="string")]
Code = Annotated[str, PlainValidator(_code), _json(type="string", pattern=_REFERENCE)]
Score = Annotated[str, PlainValidator(_score), _json(type="string")]
ClassWeight = Annotated[
    str | dict[str, float],
    PlainValidator(_class_weight),
    PlainSerializer(lambda value: value),
    _json(
        anyOf=[
            {"const": "balanced"},
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
            },
        ]
    ),
]
When = Annotated[
    dict[
        str,
        Annotated[
            tuple[Value, ...],
            PlainValidator(_scalars),
            PlainSerializer(list),
            _json(anyOf=[_SCALAR, {"type": "array", "items": _SCALAR}]),
        ],
    ],
    Field(description="{gene: value} or {gene: [value, value]} with the values other genes must have"),
]
LayerCount = Annotated[
    str | int,
    PlainValidator(_count),
    PlainSerializer(_count),
    _json(anyOf=[{"type": "string"}, {"type": "integer", "minimum": 1, "maximum": MOST_LAYERS}]),
]
Repeat = Annotated[
    LayerCount | None,
    Field(description=f"depth, or the number of hidden layers, a whole number from 1 to {MOST_LAYERS}"),
]
Columns = Annotated[
    Standardization,
    PlainValidator(_columns),
    PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value),
    _json(
        anyOf=[
            {"type": "boolean"},
            {"enum": ["auto", "per_channel"]},
            {"type": "array", "items": {"type": "string"}},
        ]
    ),
]
"""All columns, none, some by their names, or images by channel; by default as the data need it."""
