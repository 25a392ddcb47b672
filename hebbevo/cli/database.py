"""Which database a command means."""

from __future__ import annotations

import click
from click.core import ParameterSource


def database_of(study: str | None, storage: str | None) -> str | None:
    """The database that holds the study, or ``None`` for a study file.

    The environment's database does not apply to a study that is given as a path; one after --storage does.
    """
    from hebbevo.study.storage.database import is_path

    source = click.get_current_context().get_parameter_source("storage")
    by_path = study is not None and is_path(study)
    return None if by_path and source is ParameterSource.ENVIRONMENT else storage
