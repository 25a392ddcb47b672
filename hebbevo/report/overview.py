"""A study in a few lines, for a notebook."""

from __future__ import annotations

from typing import Any

from hebbevo.report.formatting import accuracy, count, html, survivors, title, trial_name
from hebbevo.report.queries import rows
from hebbevo.study.view import Study


def overview(study: Study) -> str:
    """A small table in HTML. Without colours of its own, it has those of a light or a dark notebook."""
    entries = {
        "study": str(study.store),
        "trials": _trials(study),
        **(_confirmed(study) or _found(study)),
    }
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{html(name)}</th>'
        f'<td style="text-align: left">{html(text)}</td></tr>'
        for name, text in entries.items()
    )
    title = f'<caption style="text-align: left"><b>{html(study.name)}</b></caption>'
    return f'<table style="color: inherit">{title}{body}</table>'


def _trials(study: Study) -> str:
    states = study.trials()["state"].value_counts()
    done = int(states.drop("running", errors="ignore").sum())
    others = [f"{states[name]} {name}" for name in ("stopped", "failed") if name in states]
    return ", ".join([f"{done} of {max(study.total, done)}", *others])


def _confirmed(study: Study) -> dict[str, str]:
    """What was confirmed of the front; empty where it was not."""
    found = study.confirmation
    if found is None or not found.is_complete:
        return {}
    members = found.members()
    columns = {
        "confirmed_accuracy": "accuracy",
        "confirmed_sd": "accuracy_sd",
        "confirmed_survivors": "survivors",
    }
    front = rows(members[members["on_front"]].rename(columns=columns))
    stale = "; the study has more trials since" if found.is_stale else ""
    return {
        "front": f"{len(front)} networks, hypervolume {found.hypervolume:.4f}",
        **_ends(study, front),
        "confirmed": f"by {found.replicates} trainings of each network, on {found.date}{stale}",
        "verdict": found.sentence,
    }


def _found(study: Study) -> dict[str, str]:
    """What the search has found: the best trial of one objective; of two, both ends of the front."""
    front, best = rows(study.front()), study.best()
    shown = _ends(study, front)
    if best is not None:
        [row] = rows(best.to_frame().T)
        shown = {"best": f"{_point(study, row)} ({study.goal.aim})"}
    return {
        "front": f"{len(front)} networks, hypervolume {study.hypervolume():.4f}",
        **shown,
        "confirmed": "no: these are the best of noisy scores",
    }


def _ends(study: Study, front: list[dict[str, Any]]) -> dict[str, str]:
    """Both ends of a front."""
    if len(front) < 2:
        return {"best": _point(study, front[0])} if front else {}
    best = max(front, key=lambda row: float(row["accuracy"]))
    return {"most accurate": _point(study, best), "smallest": _point(study, front[0])}


def _point(study: Study, row: dict[str, Any]) -> str:
    size = f"{survivors(row)} of {count(row['neurons'])} {study.count}"
    size += "".join(f", {count(row[name])} {title(name)}" for name in study.further if name in row)
    return f"{study.score} {accuracy(study, row)} with {size}: {trial_name(study, row)}"
