"""A study in Optuna's own tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.storages._rdb import models
from optuna.study import StudyDirection
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError
from hebbevo.spec.schema import Spec

SPEC, FACTS = "hebbevo:spec", "hebbevo:facts"


def add_study(session: Session, name: str, spec: Spec, facts: Mapping[str, Any]) -> None:
    """Add a study as Optuna's public interface would, in the transaction of the session."""
    metrics = json.dumps(["accuracy", "survivors"])
    study = models.StudyModel(
        study_name=name,
        directions=[
            models.StudyDirectionModel(objective=0, direction=StudyDirection.MAXIMIZE),
            models.StudyDirectionModel(objective=1, direction=StudyDirection.MINIMIZE),
        ],
        system_attributes=[models.StudySystemAttributeModel(key="study:metric_names", value_json=metrics)],
        user_attributes=[
            models.StudyUserAttributeModel(key=key, value_json=json.dumps(value))
            for key, value in ((SPEC, spec.to_json()), (FACTS, dict(facts)))
        ],
    )
    session.add(study)


def of_another_optuna(place: object, error: RuntimeError) -> StudyError:
    """What to say where Optuna refuses tables that another version of it made."""
    what = str(error).split(". ")[0]
    return StudyError(f"{place}: was made with another Optuna ({what}); install that one")


def cause(error: BaseException) -> str:
    """What the database itself said, in one line."""
    said = error.__cause__ or error
    said = getattr(said, "orig", None) or said
    return str(said).partition("\n")[0]
