"""The networks that a person can choose on the page: genome, and the line of Python that makes it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from hebbevo.messages import printable
from hebbevo.report.formatting import beside_random, gene_value, share_of, survivors, trial_name
from hebbevo.report.queries import genes, rows
from hebbevo.study.storage import StudyDatabase
from hebbevo.study.view import Study

MEMBER, TRIAL, CONFIRMED = "member", "trial", "confirmed"
"""The ``meta`` of traces of networks, each with its `key` as ``customdata``: those of the front, which the
keyboard can choose; those of other trials; and confirmed ones, which have a text of their own."""


def keys(points: pd.DataFrame) -> list[str]:
    """A name for each network of a table with the columns ``trial`` and ``epoch``."""
    return [key(row) for row in rows(points[["trial", "epoch"]])]


def key(row: Any) -> str:
    """The name of one network: trial and epoch."""
    return f"{int(row['trial'])}:{int(row['epoch'])}"


def python_line(study: Study, row: Any) -> str:
    """The line of Python that trains a network again, as it was found."""
    return f"hebbevo.network({_opened(study)}, trial={int(row['trial'])}, epoch={int(row['epoch'])})"


def networks(study: Study, points: pd.DataFrame) -> dict[str, Any]:
    """What the page shows of networks: under the mouse pointer, and when a person chooses one.

    Args:
        study: the study that has them.
        points: a row per network, with the columns of `Study.front`.

    Returns:
        The names of what is shown and, under ``networks``, by `key`: title, score, survivors, values of the
        genes, the genome as JSON, and the line of Python; all of them texts.
    """
    names = genes(study)
    return {
        "measures": [study.score, f"surviving {study.count}"],
        "genes": [printable(name) for name in names],
        "networks": {
            key(row): [
                trial_name(study, row),
                beside_random(study, row),
                f"{survivors(row)} of {share_of(row)}",
                [printable(gene_value(row[f"genome.{name}"])) for name in names],
                json.dumps(study.genome(row["trial"])),
                python_line(study, row),
            ]
            for row in rows(points)
        },
    }


def _opened(study: Study) -> str:
    store = study.store
    if isinstance(store, StudyDatabase):
        return f"hebbevo.open_study({store.name!r}, storage=URL)"
    return f"hebbevo.open_study({str(store)!r})"
