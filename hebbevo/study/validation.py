"""Checks of everything that is read from a study, before anything computes with it.

A study file may be damaged, or made to do harm. What passes here has the types and ranges that the rest of
the package relies on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from hebbevo.messages import first_line
from hebbevo.objectives.goal import COUNTS
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.attempts import FailureKind, Recovery
from hebbevo.study.confirmation_record import Role

MOST = 2**53
"""Largest count: up to here floats and the columns of tables hold whole numbers exactly."""

Check = Callable[[object], bool]


class RecordError(ValueError):
    """What a study holds is not what hebbevo records: which entry, and what it has to be."""


def check(
    where: str, plain: object, checks: Mapping[str, tuple[Check, str]], required: Iterable[str]
) -> None:
    """Check the entries of a mapping. Entries without a check, of other programs, are left alone.

    Args:
        where: what the mapping is, for the message.
        plain: the mapping.
        checks: for each entry the check, and in words what the entry has to be.
        required: entries that must be there.

    Raises:
        RecordError: it is no mapping, or an entry is missing or wrong.
    """
    if not isinstance(plain, Mapping):
        raise RecordError(f"{where} is no mapping")
    for name in required:
        if name not in plain:
            raise RecordError(f"{where} lacks {name}")
    for name, value in plain.items():
        if name in checks and not checks[name][0](value):
            raise RecordError(f"{where}: {name} is not {checks[name][1]}")


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value is a finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and abs(value) <= _LARGEST


def is_count(value: object, low: int = 0) -> bool:
    """Whether a value is a whole number, ``low`` or more."""
    return type(value) is int and low <= value <= MOST


def is_flag(value: object) -> bool:
    """Whether a value is ``True`` or ``False``."""
    return type(value) is bool


def is_text(value: object) -> bool:
    """Whether a value is a text."""
    return type(value) is str


def are_numbers(values: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value is a list of finite numbers within bounds; long lists take no loop of Python's."""
    if type(values) is not list or not set(map(type, values)) <= {int, float}:
        return False
    bottom, top = max(low, -_LARGEST), min(high, _LARGEST)
    return not values or (bottom <= min(values) and max(values) <= top and sum(values) == sum(values))


def are(values: object, one: Check) -> bool:
    """Whether a value is a list, and every entry passes a check."""
    return isinstance(values, list) and all(map(one, values))


def or_none(one: Check) -> Check:
    """The check that passes ``None``, too."""
    return lambda value: value is None or one(value)


def is_mapping(value: object, one: Check) -> bool:
    """Whether a value is a mapping from texts, and every entry passes a check."""
    return isinstance(value, Mapping) and all(map(is_text, value)) and all(map(one, value.values()))


_LARGEST = 1e300
_TEXT = (is_text, "a text")
_FLAG = (is_flag, "true or false")
_COUNT = (is_count, f"a whole number from 0 to {MOST}")
_POSITIVE = (partial(is_count, low=1), f"a whole number from 1 to {MOST}")
_SHARE = (partial(is_number, low=0, high=1), "a number from 0 to 1")
_SIZE = (partial(is_number, low=0), "a finite number, 0 or more")
_SHARES = (partial(are_numbers, low=0, high=1), "a list of numbers from 0 to 1")
_SIZES = (partial(are_numbers, low=0), "a list of finite numbers, 0 or more")
_NUMBERS = (are_numbers, "a list of finite numbers")
_TEXTS = (partial(are, one=is_text), "a list of texts")
_SPREAD = (or_none(_SIZE[0]), "a finite number, 0 or more, or null")


def _is_pair(value: object) -> bool:
    return are_numbers(value) and isinstance(value, list) and len(value) == 2


def _are_angles(value: object) -> bool:
    return are_numbers(value, low=0, high=180)


def _is_label(value: object) -> bool:
    return type(value) in (str, bool) or type(value) is int or is_number(value)


_STOPPED: dict[str, tuple[Check, str]] = {
    "epoch": _POSITIVE,
    "heading": (or_none(are_numbers), "a list of finite numbers or null"),
    "reason": _TEXT,
}
_REPLICATE: dict[str, tuple[Check, str]] = {
    "accuracy": _SHARE,
    **dict.fromkeys(("survivors", *COUNTS), _SIZE),
}


def _is_stopped(value: object) -> bool:
    return _passes(value, _STOPPED, ("epoch", "reason"))


def _is_replicate(value: object) -> bool:
    return _passes(value, _REPLICATE, ())


def _passes(value: object, checks: Mapping[str, tuple[Check, str]], required: Iterable[str]) -> bool:
    try:
        check("", value, checks, required)
    except RecordError:
        return False
    return True


DETAILS: dict[str, tuple[Check, str]] = {
    "failure": (or_none(is_text), "a text or null"),
    "accuracy_sd": _SPREAD,
    "survivors_sd": _SPREAD,
    "neurons": _COUNT,
    "survivors_per_layer": _SIZES,
    "inputs": _SIZE,
    "collapsed": _FLAG,
    "accuracy_per_epoch": _SHARES,
    "survivors_per_epoch": _SIZES,
    "explored_per_epoch": _SHARES,
    "grown_left_per_epoch": _SHARES,
    "decoding_per_layer": _SHARES,
    "random_decoding_per_layer": _SHARES,
    "angles_per_epoch": (partial(are, one=_are_angles), "a list of angles of each layer for each epoch"),
    "further_per_epoch": (partial(is_mapping, one=_SIZES[0]), "lists of finite numbers, 0 or more, by name"),
    "further_sd": (partial(is_mapping, one=_SIZE[0]), "finite numbers, 0 or more, by name"),
    "replicates": (partial(are, one=_is_replicate), "a list of accuracies and survivors"),
    "notes": _TEXTS,
    "epochs": _COUNT,
    "seconds": (is_number, "a finite number"),
    "stopped": (or_none(_is_stopped), "an epoch, a prediction and a reason"),
    "copy_of": (or_none(is_count), "the number of a trial"),
}
"""Checks of what is recorded of a trial beside its values."""

_FINDINGS: dict[str, tuple[Check, str]] = {
    "dropped": _TEXTS,
    "text_labels": _FLAG,
    "text_columns": _TEXTS,
    "channels_last": _FLAG,
    "validation": _FLAG,
    "remarks": _TEXTS,
}


def _are_findings(value: object) -> bool:
    return _passes(value, _FINDINGS, ())


FACTS: dict[str, tuple[Check, str]] = {
    "versions": (partial(is_mapping, one=is_text), "versions by name"),
    "engine": (or_none(is_count), "a whole number"),
    "rows": (partial(is_mapping, one=is_count), "numbers of rows"),
    "features": _COUNT,
    "shape": (partial(are, one=is_count), "a list of whole numbers"),
    "classes": (partial(are, one=_is_label), "a list of labels"),
    "mean": _NUMBERS,
    "scale": _NUMBERS,
    "class_weights": _SIZES,
    "target_mean": (is_number, "a finite number"),
    "target_scale": (is_number, "a finite number"),
    "fingerprint": _TEXT,
    "findings": (_are_findings, "how data are read"),
    "exact": _FLAG,
    "code": (partial(is_mapping, one=is_text), "hashes by name"),
    "modules": (partial(is_mapping, one=is_text), "hashes by name"),
    "device": (lambda value: value in ("cpu", "cuda"), "cpu or cuda"),
    "threads": _POSITIVE,
    "neurons": _COUNT,
    "chance": _SHARE,
    "alone": _TEXT,
    "cohort_width": _POSITIVE,
    "stack_check": _COUNT,
    "invalid": _TEXT,
    "repeatable": _FLAG,
    "short": _FLAG,
    "sampling": _POSITIVE,
    "further": (partial(is_mapping, one=is_count), "whole numbers by name"),
    "cuts_channels": _FLAG,
    "native": _COUNT,
}
"""Checks of a study's facts."""

GENERATION: dict[str, tuple[Check, str]] = {"total": _POSITIVE, "progress": _SHARE, "size": _COUNT}
"""Checks of what is recorded of a generation beside its trials."""

WALL_TIME: dict[str, tuple[Check, str]] = {"seconds": _SIZE, "checksum": _TEXT}
"""Checks of how long all searches took."""

ATTEMPT: dict[str, tuple[Check, str]] = {
    "trials": (partial(are, one=is_count), "a list of numbers of trials"),
    "fault": (lambda value: value in list(FailureKind), f"one of {', '.join(FailureKind)}"),
    "reason": _TEXT,
    "worker": _TEXT,
    "seconds": (is_number, "a finite number"),
    "then": (lambda value: value in list(Recovery), f"one of {', '.join(Recovery)}"),
}
"""Checks of a failed attempt to train a cohort."""

_MEMBER: dict[str, tuple[Check, str]] = {
    "trial": _COUNT,
    "epoch": _POSITIVE,
    "accuracy": _SHARE,
    "survivors": _SIZE,
    "neurons": _COUNT,
    "settle": _SHARE,
    "further": (partial(is_mapping, one=_SIZE[0]), "finite numbers, 0 or more, by name"),
}


def _is_member(value: object) -> bool:
    return _passes(value, _MEMBER, ("trial", "epoch", "accuracy", "survivors", "neurons"))


CONFIRMATION: dict[str, tuple[Check, str]] = {
    "members": (partial(are, one=_is_member), "a list of members of the front"),
    "replicates": (partial(is_count, low=2), f"a whole number from 2 to {MOST}"),
    "has_test": _FLAG,
    "trials": _COUNT,
    "date": _TEXT,
    "no_control": _TEXT,
}
"""Checks of what a confirmation is to find out."""


def _is_alive_units(value: object) -> bool:
    checks: dict[str, tuple[Check, str]] = {
        "widths": (partial(are, one=is_count), "a list of whole numbers"),
        "epochs": _POSITIVE,
        "bits": _TEXT,
    }
    if not isinstance(value, Mapping) or not _passes(value, checks, [*checks]):
        return False
    with suppress(ValueError, OverflowError, MemoryError):
        AliveUnits.from_json(value).by_layer()
        return True
    return False


TRAINING: dict[str, tuple[Check, str]] = {
    "role": (lambda value: value in list(Role), f"one of {', '.join(Role)}"),
    "trial": _COUNT,
    "replicate": _COUNT,
    "epochs": _POSITIVE,
    "number": _COUNT,
    "widths": (partial(are, one=is_count), "a list of whole numbers"),
    "accuracy": (or_none(_SHARE[0]), "a number from 0 to 1 or null"),
    "halves": (
        or_none(lambda value: _is_pair(value) and _SHARES[0](value)),
        "two numbers from 0 to 1 or null",
    ),
    "test": (or_none(_SHARE[0]), "a number from 0 to 1 or null"),
    "survivors": (or_none(is_count), "a whole number or null"),
    "multiply_adds": _SIZE,
    "seconds": (is_number, "a finite number"),
    "learning_rate": _SPREAD,
    "weight_decay": _SPREAD,
    "settle": _SHARE,
    "failure": (or_none(is_text), "a text or null"),
    "further": (partial(is_mapping, one=is_count), "whole numbers by name"),
    "decoding": _SHARES,
    "random_decoding": _SHARES,
    "alive": (or_none(_is_alive_units), "widths, a number of epochs and bits, or null"),
}
"""Checks of one training of a confirmation."""


def check_further(largest: Mapping[str, int], further: Sequence[str]) -> None:
    """Check that the facts of a study have what the space has at most of each further count.

    Raises:
        RecordError: one is missing.
    """
    if missing := [name for name in further if not largest.get(name)]:
        raise RecordError(f"facts lack the largest number of {missing[0]}")


def check_details(number: int, plain: Mapping[str, object], further: Sequence[str] = ()) -> None:
    """Check what is recorded of a finished trial beside its values.

    Args:
        number: of the trial.
        plain: what is recorded.
        further: what its study counts beside survivors.

    Raises:
        RecordError: it cannot be.
    """
    check(f"trial {number}", plain, DETAILS, ())
    epochs = [plain.get(f"{what}_per_epoch", []) for what in ("accuracy", "survivors")]
    if len(epochs[0]) != len(epochs[1]):  # type: ignore[arg-type]
        raise RecordError(f"trial {number}: accuracy and survivors have different numbers of epochs")
    layers: list[Any] = [plain.get(f"{kind}decoding_per_layer", []) for kind in ("", "random_")]
    _check_decoding(f"trial {number}", *layers)
    counted = plain.get("further_per_epoch", {})
    assert isinstance(counted, Mapping)
    if epochs[0] and [*counted] != [*further]:
        raise RecordError(f"trial {number}: lacks a count, or has one that its study does not name")
    if any(len(each) != len(epochs[0]) for each in counted.values()):  # type: ignore[arg-type]
        raise RecordError(f"trial {number}: accuracy and a count have different numbers of epochs")
    heading = (plain.get("stopped") or {}).get("heading")  # type: ignore[attr-defined]
    if heading is not None and len(heading) != 2 + len(further):
        raise RecordError(f"trial {number}: was predicted other measures than it has")
    copy_of = plain.get("copy_of")
    if isinstance(copy_of, int) and copy_of >= number:
        raise RecordError(f"trial {number}: is no copy of an earlier trial")


def check_training(what: str, plain: object) -> None:
    """Check one training of a confirmation.

    Args:
        what: it is, for messages.
        plain: what is recorded.

    Raises:
        RecordError: it cannot be.
    """
    check(what, plain, TRAINING, ("role", "trial", "replicate", "epochs"))
    assert isinstance(plain, Mapping)
    _check_decoding(what, *(plain.get(name, []) for name in ("decoding", "random_decoding")))


def _check_decoding(what: str, learned: Sequence[float], random: Sequence[float]) -> None:
    if len(learned) != len(random):
        raise RecordError(f"{what}: decoding and its random control have different numbers of layers")


def check_values(number: int, values: object, measures: int = 2) -> None:
    """Check the accuracy, the survivors and the further counts of a complete trial.

    Args:
        number: of the trial.
        values: by their place among the measures.
        measures: how many there are.

    Raises:
        RecordError: they are missing, or no numbers in their range.
    """
    if not isinstance(values, Mapping) or set(values) != {*range(measures)}:
        raise RecordError(f"trial {number} is complete, but lacks accuracy or survivors")
    if not is_number(values[0], 0, 1) or not all(is_number(values[place], 0) for place in range(1, measures)):
        raise RecordError(f"trial {number}: its accuracy or its survivors are no such numbers")


def described(error: BaseException) -> str:
    """The reason why something cannot be read, for a message of one line."""
    return (
        str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {first_line(error)[:100]}"
    )
