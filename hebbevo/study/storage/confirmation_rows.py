"""Confirmations as attributes of a study in Optuna's tables. Optuna's trials stay untouched.

There is an attribute for what a confirmation is to find out, one for the trainings of each finished cohort,
and one for its end. Each has a checksum.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from hebbevo.study import checksums, validation
from hebbevo.study.confirmation_record import ConfirmationRecord, Request, Training
from hebbevo.study.validation import RecordError, check

_PREFIX = "hebbevo:confirmation:"
_REQUEST, _END = "request", "end"


def request_row(number: int, request: Request) -> tuple[str, str]:
    """The key and the JSON text of what a confirmation is to find out."""
    return _row(number, _REQUEST, request.to_json())


def part_rows(number: int, trainings: Mapping[int, Training]) -> Iterator[tuple[str, str]]:
    """The key and the JSON text of trainings, given by their number: one for each run without a gap."""
    numbered = enumerate(sorted(trainings.items()))
    for _, run in groupby(numbered, lambda each: each[1][0] - each[0]):
        own = [each for _, each in run]
        plain = [training.to_json() for _, training in own]
        yield _row(number, f"{own[0][0]}", {"trainings": plain})


def end_row(number: int, trainings: int) -> tuple[str, str]:
    """The key and the JSON text of the end of a confirmation with so many trainings."""
    return _row(number, _END, {"trainings": trainings})


def rows(record: ConfirmationRecord) -> Iterator[tuple[str, str]]:
    """All keys and JSON texts of a confirmation."""
    yield request_row(record.number, record.request)
    yield from part_rows(record.number, record.trainings)
    if record.is_complete:
        yield end_row(record.number, len(record.trainings))


def read(attributes: Mapping[str, Any]) -> list[ConfirmationRecord]:
    """Make the confirmations from the attributes of a study.

    Raises:
        RecordError: they are not as recorded.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, plain in attributes.items():
        if key.startswith(_PREFIX):
            number, _, part = key.removeprefix(_PREFIX).partition(":")
            found.setdefault(number, {})[part] = _content(key, plain)
    if set(found) != {str(number) for number in range(len(found))}:
        raise RecordError("a confirmation is missing")
    return [_record(number, found[str(number)]) for number in range(len(found))]


def confirmed(keys: Iterable[str]) -> str:
    """Whether a study with these keys of attributes is confirmed: ``yes``, ``partly`` (under way) or ``no``.

    >>> confirmed(["hebbevo:spec"]), confirmed(["hebbevo:spec", "hebbevo:confirmation:0:request"])
    ('no', 'partly')
    """
    parts = {key.rpartition(":")[2] for key in keys if key.startswith(_PREFIX)}
    return "yes" if _END in parts else "partly" if parts else "no"


def _row(number: int, part: str, content: Mapping[str, Any]) -> tuple[str, str]:
    key = f"{_PREFIX}{number}:{part}"
    return key, json.dumps({**content, "checksum": _checksum(key, content)})


def _checksum(key: str, content: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(content))
    return checksums.checksum([checksums.row_hash(key, json.dumps(plain, sort_keys=True))])


def _content(key: str, plain: object) -> dict[str, Any]:
    where = key.removeprefix("hebbevo:").replace(":", " ")
    if not isinstance(plain, Mapping):
        raise RecordError(f"{where} is no mapping")
    content = {name: value for name, value in plain.items() if name != "checksum"}
    if plain.get("checksum") != _checksum(key, content):
        raise RecordError(f"{where} is not as recorded: its checksum differs")
    return content


def _record(number: int, parts: Mapping[str, Any]) -> ConfirmationRecord:
    where = f"confirmation {number}"
    if _REQUEST not in parts:
        raise RecordError(f"{where} lacks what it is to find out")
    needed = ("members", "replicates", "has_test", "trials", "date")
    check(where, parts[_REQUEST], validation.CONFIRMATION, needed)
    request = Request.from_json(parts[_REQUEST])
    trainings: dict[int, Training] = {}
    for part, content in parts.items():
        if part in (_REQUEST, _END):
            continue
        if not part.isdecimal() or not isinstance(content.get("trainings"), list):
            raise RecordError(f"{where}: {part} is no list of trainings")
        for training, plain in enumerate(content["trainings"], start=int(part)):
            what = f"{where}: training {training}"
            validation.check_training(what, plain)
            if training in trainings:
                raise RecordError(f"{what} is there twice")
            trainings[training] = Training.from_json(plain)
    if _END in parts and set(trainings) != set(range(parts[_END].get("trainings", -1))):
        raise RecordError(f"{where}: trainings are missing")
    return ConfirmationRecord(number, request, trainings, _END in parts)
