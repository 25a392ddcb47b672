"""A study in Optuna's own tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.storages._rdb import models
from optuna.study import StudyDirection
from sqlalchemy import inspect, text
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from hebbevo.spec import Spec
from hebbevo.study import checksums
from hebbevo.study.facts import StudyFacts

SPEC, FACTS = "hebbevo:spec", "hebbevo:facts"
"""Keys of the study's user attributes that hold its settings and its facts."""


def add_study(session: Session, name: str, spec: Spec, facts: StudyFacts) -> None:
    """Add a study as Optuna's public interface would, in the transaction of the session."""
    goal = spec.goal
    metrics = json.dumps(goal.measures)
    settings = {SPEC: spec.to_json(), FACTS: facts.to_json()}
    attributes = settings | {checksums.KEY: settings_checksum(settings)}
    study = models.StudyModel(
        study_name=name,
        directions=[
            models.StudyDirectionModel(
                objective=place,
                direction=StudyDirection.MAXIMIZE if measure == "accuracy" else StudyDirection.MINIMIZE,
            )
            for place, measure in enumerate(goal.measures)
        ],
        system_attributes=[models.StudySystemAttributeModel(key="study:metric_names", value_json=metrics)],
        user_attributes=[
            models.StudyUserAttributeModel(key=key, value_json=json.dumps(value))
            for key, value in attributes.items()
        ],
    )
    session.add(study)


def settings_checksum(attributes: Mapping[str, Any]) -> str:
    """The checksum of a study's settings and facts."""
    return checksums.checksum(checksums.row_hash(key, json.dumps(attributes[key])) for key in (SPEC, FACTS))


def widen_attributes(engine: Engine) -> None:
    """Make room for long attributes: MySQL's TEXT ends at 64 KB, which the means of CIFAR-10 exceed."""
    if engine.name != "mysql":
        return
    for table in ("study_user_attributes", "trial_user_attributes"):
        types = {column["name"]: column["type"] for column in inspect(engine).get_columns(table)}
        if not isinstance(types["value_json"], MEDIUMTEXT):
            with engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE {table} MODIFY value_json MEDIUMTEXT"))
