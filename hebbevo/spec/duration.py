"""Lengths of time as people write them: 90, 90s, 10m, 2h, 1h30m."""

from __future__ import annotations

import math
import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_FORM = re.compile(rf"{_NUMBER}|(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?", re.ASCII)


def seconds(length: object) -> float:
    """Read a length of time, a number of seconds or a text.

    Raises:
        ValueError: for anything else, and for one that is not above 0 and finite.
    """
    if isinstance(length, str):
        match = _FORM.fullmatch(length)
        bare, *parts = match.groups(default="0") if match else ("0",)
        total = float(bare) + sum(
            float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=False)
        )
    elif isinstance(length, int | float) and not isinstance(length, bool):
        total = float(length)
    else:
        total = 0.0
    if not 0 < total < math.inf:
        raise ValueError(f"{length!r} is not a length of time")
    return total


def text(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds, without those that are 0, as ``1h30m``."""
    hours, rest = divmod(seconds, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    parts = ((f"{hours:.0f}h", hours), (f"{minutes:.0f}m", minutes), (f"{rest:.6g}s", rest))
    return "".join(part for part, count in parts if count)
