"""Kept weights: a table of its own beside Optuna's tables, which Optuna does not read.

A study that keeps no weights has no such table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from optuna.storages._rdb import models
from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.validation import RecordError, is_count

NAME = "hebbevo_weights"
"""Name of the table."""

_METADATA = MetaData()
_STUDIES = models.StudyModel.__table__.to_metadata(_METADATA)  # for the reference to it
_TABLE = Table(
    NAME,
    _METADATA,
    # a dashboard that deletes a study deletes its weights, too
    Column("study_id", Integer, ForeignKey(_STUDIES.c.study_id, ondelete="CASCADE"), primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("replicate", Integer, nullable=False),
    Column("accuracy", Float(53), nullable=False),
    Column("survivors", Integer, nullable=False),
    Column("weights", LargeBinary().with_variant(LONGBLOB, "mysql"), nullable=False),
    Column("checksum", String(16), nullable=False),
)


def make_table(engine: Engine) -> None:
    """Make the table where there is none; before a transaction, which MySQL would end."""
    with suppress(SQLAlchemyError):  # another search has made it meanwhile
        _TABLE.create(engine, checkfirst=True)
    if not inspect(engine).has_table(NAME):
        _TABLE.create(engine)


def read(connection: Connection, study_id: int, member: tuple[int, int] | None = None) -> list[KeptNetwork]:
    """Read the kept networks of a study, by trial and epoch.

    Args:
        connection: to the database.
        study_id: id of the study.
        member: trial and epoch of the only one to read; ``None`` reads all.

    Raises:
        RecordError: one is not as recorded.
    """
    if not inspect(connection).has_table(NAME):
        return []
    rows = select(_TABLE).where(_TABLE.c.study_id == study_id)
    if member is not None:
        rows = rows.where(_TABLE.c.trial == member[0], _TABLE.c.epoch == member[1])
    ordered = rows.order_by(_TABLE.c.trial, _TABLE.c.epoch)
    return [_network(row) for row in connection.execute(ordered).mappings()]


def replace(
    session: Session, study_id: int, members: Collection[tuple[int, int]], added: Iterable[KeptNetwork]
) -> None:
    """Add networks of the front, and delete those that have left it, in the transaction of the session.

    Args:
        session: its transaction.
        study_id: id of the study.
        members: trial and epoch of each member of the front.
        added: networks; those that are no members are left out.
    """
    own = _TABLE.c.study_id == study_id
    known = {
        (trial, epoch) for trial, epoch in session.execute(select(_TABLE.c.trial, _TABLE.c.epoch).where(own))
    }
    for trial, epoch in known.difference(members):
        session.execute(delete_rows(_TABLE).where(own, _TABLE.c.trial == trial, _TABLE.c.epoch == epoch))
    rows = [
        {"study_id": study_id, **vars(each), "checksum": _checksum(each)}
        for each in added
        if each.member in members and each.member not in known
    ]
    if rows:
        session.execute(insert(_TABLE), rows)


def _checksum(kept: KeptNetwork) -> str:
    figures = (kept.trial, kept.epoch, kept.replicate, float(kept.accuracy), kept.survivors)
    head = "\0".join(map(str, figures)).encode()
    return blake2b(head + b"\0" + kept.weights, digest_size=8).hexdigest()


def _network(row: Any) -> KeptNetwork:
    where = f"the kept weights of trial {row['trial']}"
    counts = ("trial", "epoch", "replicate", "survivors")
    if not all(is_count(row[name]) for name in counts) or not isinstance(row["accuracy"], float):
        raise RecordError(f"{where} have figures that are no numbers")
    if not isinstance(row["weights"], bytes):
        raise RecordError(f"{where} are no bytes")
    found = KeptNetwork(
        *(row[name] for name in ("trial", "epoch", "replicate", "accuracy", "survivors", "weights"))
    )
    if row["checksum"] != _checksum(found):
        raise RecordError(f"{where} are not as recorded: their checksum differs")
    return found
