"""Types of the values in a space file: stricter than pydantic's where YAML or SQLite demand it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator
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


def _whole(value: Any) -> Any:
    """Turn 1e3, which YAML reads as a float, into 1000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _scalars(value: Any) -> tuple[Value, ...]:
    return tuple(map(_scalar, value if isinstance(value, list | tuple) else [value]))


def _columns(value: Any) -> Any:
    if isinstance(value, bool) or value == "per_channel":
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


# Numbers are serialised as they are: pydantic would write the 5 of a union with float as 5.0.
Number = Annotated[float, PlainValidator(_number), PlainSerializer(_number)]
Scalar = Annotated[knobs.Scalar, PlainValidator(_scalar), PlainSerializer(_scalar)]
Choice = Annotated[Value, PlainValidator(_choice), PlainSerializer(_choice)]
Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[float, PlainValidator(_seconds)]
Width = Annotated[Whole, Field(ge=1, le=100_000)]
Separator = Annotated[str, PlainValidator(_separator)]
Encoding = Annotated[str, PlainValidator(_encoding)]
Code = Annotated[str, PlainValidator(_code)]
Score = Annotated[str, PlainValidator(_score)]
ClassWeight = Annotated[
    str | dict[str, float], PlainValidator(_class_weight), PlainSerializer(lambda value: value)
]
When = Annotated[
    dict[str, Annotated[tuple[Value, ...], PlainValidator(_scalars), PlainSerializer(list)]],
    Field(description="{gene: value} or {gene: [value, value]} with the values other genes must have"),
]
LayerCount = Annotated[str | int, PlainValidator(_count), PlainSerializer(_count)]
Repeat = Annotated[
    LayerCount | None,
    Field(description=f"depth, or the number of hidden layers, a whole number from 1 to {MOST_LAYERS}"),
]
Columns = Annotated[
    Standardization,
    PlainValidator(_columns),
    PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value),
]
"""All columns, none, some by their names, or images by channel."""
