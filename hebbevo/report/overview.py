"""A study in a few lines, for a notebook."""

from __future__ import annotations

from typing import Any

from hebbevo.report.formatting import accuracy, count, html, survivors, trial_name
from hebbevo.report.queries import rows
from hebbevo.study.view import Study


def overview(study: Study) -> str:
    """A small table in HTML. Without colours of its own, it has those of a light or a dark notebook."""
    entries = {
        "study": str(study.store),
        "trials": _trials(study),
        "front": f"{len(study.front())} networks, hypervolume {study.hypervolume():.4f}",
        **_best(study),
        "confirmed": "found, not confirmed: the best of noisy scores",
    }
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{html(name)}</th>'
        f'<td style="text-align: left">{html(text)}</td></tr>'
        for name, text in entries.items()
    )
    return f'<table><caption style="text-align: left"><b>{html(study.name)}</b></caption>{body}</table>'


def _trials(study: Study) -> str:
    states = study.trials()["state"].value_counts()
    done = int(states.drop("running", errors="ignore").sum())
    others = [f"{states[name]} {name}" for name in ("stopped", "failed") if name in states]
    return ", ".join([f"{done} of {max(study.total, done)}", *others])


def _best(study: Study) -> dict[str, str]:
    """The best trial of one objective; of two, both ends of the front."""
    best = study.best()
    if best is not None:
        return {
            "best": f"{_point(study, {str(name): value for name, value in best.items()})} ({study.goal.aim})"
        }
    front = rows(study.front())
    if len(front) < 2:
        return {"best": _point(study, front[0])} if front else {}
    return {"most accurate": _point(study, front[-1]), "smallest": _point(study, front[0])}


def _point(study: Study, row: dict[str, Any]) -> str:
    size = f"{survivors(row)} of {count(row['neurons'])} {study.count}"
    return f"{study.score} {accuracy(study, row)} with {size}: {trial_name(study, row)}"
