"""Messages about errors of databases and of Optuna's tables."""

from __future__ import annotations

from hebbevo.errors import StudyError
from hebbevo.messages import first_line


def database_message(error: BaseException) -> str:
    """The message of the database itself, in one line, without those of SQLAlchemy and Optuna around it."""
    wrapped = error.__cause__ or error
    return first_line(getattr(wrapped, "orig", None) or wrapped)


def incompatible_optuna(place: object, error: RuntimeError) -> StudyError:
    """Make the error for tables that another version of Optuna made, which this one refuses."""
    refusal = str(error).split(". ")[0]
    return StudyError(f"{place}: was made with another Optuna ({refusal}); install that one")
