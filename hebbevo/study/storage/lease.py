"""The claim by which a process holds a study in a database: a row that is renewed, and expires without it.

Times are the database's, since the clocks of those who write to it may differ. Whoever reads or writes the
row has locked the study's own row first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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

from hebbevo.errors import StudyError
from hebbevo.study.storage import process_identity

KEY = "hebbevo:claim"  # of a system attribute, which no table and no dashboard shows
BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0
_CLOCKS = {"postgresql": func.clock_timestamp(), "mysql": func.utc_timestamp()}


class Claim:
    """A claim of this process to a study, whose place is named in messages."""

    def __init__(self, place: str, study_id: int) -> None:
        self._place = place
        self._study_id = study_id
        self._token = uuid4().hex

    def take(self, session: Session) -> None:
        """Take the study, unless somebody who is alive has it.

        Raises:
            StudyError: somebody has.
        """
        row, now = self._row(session), _now(session)
        if row:
            claim = json.loads(row.value_json)
            silence = now - datetime.fromisoformat(claim["beat"])
            if silence < timedelta(seconds=EXPIRY_SECONDS):
                heard, limit = max(0, round(silence.total_seconds())), f"{EXPIRY_SECONDS:g}"
                raise StudyError(
                    f"{self._place}: {claim['holder']} has been searching it since {claim['since']} and was "
                    f"heard of {heard} s ago; wait for it ({limit} s of silence end its claim), "
                    "or write another --study"
                )
        else:
            row = models.StudySystemAttributeModel(study_id=self._study_id, key=KEY)
            session.add(row)
        claim = {
            "token": self._token,
            "holder": process_identity.myself(),
            "since": process_identity.shown(now),
            "mark": "",
        }
        row.value_json = json.dumps({**claim, "beat": now.isoformat()})

    def marked(self, session: Session, mark: str) -> bool:
        """Whether `renew` with this mark has been committed.

        Raises:
            StudyError: the claim is lost.
        """
        found: str = json.loads(self._own(session).value_json)["mark"]
        return found == mark

    def renew(self, session: Session, **changes: str) -> None:
        """Show that this process is alive.

        Raises:
            StudyError: the claim is lost.
        """
        row = self._own(session)
        changes["beat"] = _now(session).isoformat()
        row.value_json = json.dumps({**json.loads(row.value_json), **changes})

    @contextmanager
    def kept(self, engine: Engine) -> Iterator[None]:
        """Renew the claim from a thread for as long as the block lasts, then give it up."""
        over = Event()
        heart = Thread(target=self._beat, args=(engine, over), daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            # where this fails, the claim expires
            with suppress(SQLAlchemyError, StudyError), Session(engine) as session, session.begin():
                session.delete(self._own(session))

    def _beat(self, engine: Engine, over: Event) -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                with Session(engine) as session, session.begin():
                    self.renew(session)
            except SQLAlchemyError:
                continue  # the next beat may find the database again
            except StudyError:
                return  # the next write says so

    def _own(self, session: Session) -> Any:
        row = self._row(session)
        claim = json.loads(row.value_json) if row else {"token": None}
        if claim["token"] == self._token:
            return row
        now = f"{claim['holder']} has held it since {claim['since']}" if row else "nobody holds it now"
        raise StudyError(
            f"{self._place}: this process does not hold it any more ({now}), and has written nothing since; "
            "'hebbevo resume' goes on when nobody searches it"
        )

    def _row(self, session: Session) -> Any:
        try:
            study = models.StudyModel.find_or_raise_by_id(self._study_id, session, for_update=True)
        except KeyError:
            raise StudyError(f"{self._place}: somebody has deleted it; write another --study") from None
        return models.StudySystemAttributeModel.find_by_study_and_key(study, KEY, session)


def _now(session: Session) -> datetime:
    now: datetime = session.scalars(select(_CLOCKS[session.get_bind().dialect.name])).one()
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
