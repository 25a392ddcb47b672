"""Checksums of what a study records: a flipped bit in a number would otherwise pass for a result.

A checksum is a sum of hashes, one for each row of a table, so that it does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

KEY = "hebbevo:checksum"
"""Key of the attributes that hold checksums. Studies of earlier versions have none."""

ATTEMPTS = f"{KEY}:attempts"
"""Key of a trial's attribute that holds the checksum of its failed attempts."""

_MODULUS = 2**64


def row_hash(*parts: object) -> int:
    """Hash the parts of a row; floats by the digits that give them back exactly."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def checksum(hashes: Iterable[int]) -> str:
    """Sum the hashes of rows.

    >>> checksum([row_hash("total", 5)]) == checksum([row_hash("total", 6)])
    False
    """
    return f"{sum(hashes) % _MODULUS:016x}"


def param_hash(number: int, name: str, stored: float) -> int:
    """Hash a gene of a trial, as the number that stands for its value in Optuna's table."""
    return row_hash(number, "param", name, float(stored) + 0.0)


def state_hash(number: int, state: str) -> int:
    """Hash the state in which a trial ended."""
    return row_hash(number, "state", state)


def value_hash(number: int, objective: int, value: float) -> int:
    """Hash a value of a trial. SQLite does not keep the sign of a zero."""
    return row_hash(number, "value", objective, float(value) + 0.0)


def detail_hash(number: int, key: str, text: str) -> int:
    """Hash an attribute of a trial, as the JSON text that is stored."""
    return row_hash(number, "detail", key, text)
