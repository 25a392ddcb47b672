"""The lease by which a process locks a study in a database: a row that it renews, and that expires otherwise.

All times are of the database's clock, since those of the machines may differ. The study's own row is locked
before the lease is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from optuna.storages._rdb import models
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError, StudyLost
from hebbevo.study.storage.process_identity import this_process, utc_time

KEY = "hebbevo:claim"
"""Key of the lease among the study's system attributes, which no table and no dashboard shows."""

RENEWAL_SECONDS = 10.0
EXPIRY_SECONDS = 60.0
_CLOCKS = {"postgresql": func.clock_timestamp(), "mysql": func.utc_timestamp()}


class Lease:
    """The lease of this process on a study.

    Its row holds a JSON object: ``token`` (random, of the process), ``holder`` (the process in words),
    ``since``, ``beat`` (when it was last renewed) and ``mark`` (the last transaction, see `has_committed`).

    Args:
        place: name of the study in messages.
        study_id: id of the study.
    """

    def __init__(self, place: str, study_id: int) -> None:
        self._place = place
        self._study_id = study_id
        self._token = uuid4().hex

    def acquire(self, session: Session) -> None:
        """Take the lease, unless another process has one that has not expired.

        Raises:
            StudyError: another process has one.
        """
        row, now = self._row(session), _now(session)
        if row:
            lease = json.loads(row.value_json)
            age = _age(lease, now)
            if age < timedelta(seconds=EXPIRY_SECONDS):
                renewed = f"renewed its lease {max(0, round(age.total_seconds()))} s ago"
                raise StudyError(
                    f"{self._place}: {lease['holder']} has been searching it since {lease['since']} and "
                    f"{renewed}; wait for it (without renewal a lease expires after {EXPIRY_SECONDS:g} s), "
                    "or write another --study"
                )
        else:
            row = models.StudySystemAttributeModel(study_id=self._study_id, key=KEY)
            session.add(row)
        lease = {"token": self._token, "holder": this_process(), "since": utc_time(now), "mark": ""}
        row.value_json = json.dumps({**lease, "beat": now.isoformat()})

    def has_committed(self, session: Session, mark: str) -> bool:
        """Whether the last `renew` that was committed had this mark.

        Raises:
            StudyError: this process does not have the lease.
        """
        found: str = json.loads(self._own_row(session).value_json)["mark"]
        return found == mark

    def renew(self, session: Session, **changes: str) -> None:
        """Renew the lease, and change entries of its row.

        Raises:
            StudyError: this process does not have the lease.
        """
        row = self._own_row(session)
        changes["beat"] = _now(session).isoformat()
        row.value_json = json.dumps({**json.loads(row.value_json), **changes})

    @contextmanager
    def kept_renewed(self, engine: Engine) -> Iterator[None]:
        """Renew the lease from a thread while the block runs, then end it."""
        ended = Event()
        thread = Thread(target=self._keep_renewing, args=(engine, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            # where this fails, the lease expires
            with suppress(SQLAlchemyError, StudyError), Session(engine) as session, session.begin():
                session.delete(self._own_row(session))

    def _keep_renewing(self, engine: Engine, ended: Event) -> None:
        while not ended.wait(RENEWAL_SECONDS):
            try:
                with Session(engine) as session, session.begin():
                    self.renew(session)
            except SQLAlchemyError:
                continue  # the database may be back the next time
            except StudyError:
                return  # the next write raises it again, where the user sees it

    def _own_row(self, session: Session) -> Any:
        row = self._row(session)
        lease = json.loads(row.value_json) if row else {"token": None}
        if lease["token"] == self._token:
            return row
        now = f"{lease['holder']} has had it since {lease['since']}" if row else "no process has it now"
        raise StudyError(
            f"{self._place}: this process has lost its lease ({now}), and has written nothing since; "
            "'hebbevo resume' continues the study when no other process searches it"
        )

    def _row(self, session: Session) -> Any:
        """Lock the study's row and find that of the lease, or ``None``."""
        try:
            study = models.StudyModel.find_or_raise_by_id(self._study_id, session, for_update=True)
        except KeyError:
            raise StudyLost(f"{self._place}: the study has been deleted") from None
        return models.StudySystemAttributeModel.find_by_study_and_key(study, KEY, session)


def holder(session: Session, study_id: int) -> str | None:
    """The process that has a lease on a study, in words; ``None`` where none has or it has expired."""
    model = models.StudySystemAttributeModel
    row = session.scalars(select(model.value_json).filter_by(study_id=study_id, key=KEY)).first()
    if row is None:
        return None
    lease = json.loads(row)
    if _age(lease, _now(session)) >= timedelta(seconds=EXPIRY_SECONDS):
        return None
    return f"{lease['holder']} has been searching it since {lease['since']}"


def _age(lease: Mapping[str, str], now: datetime) -> timedelta:
    """How long ago a lease was renewed."""
    return now - datetime.fromisoformat(lease["beat"])


def _now(session: Session) -> datetime:
    now: datetime = session.scalars(select(_CLOCKS[session.get_bind().dialect.name])).one()
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
