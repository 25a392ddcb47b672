"""The summary: the result in one sentence, counts, and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from hebbevo.objectives.pareto import hypervolume
from hebbevo.report.formatting import count, html, percent, score, trial_name
from hebbevo.report.queries import complete_trials, is_before_end, rows, sizes_differ
from hebbevo.report.resolution import validation_rows
from hebbevo.report.section import Section
from hebbevo.rules import AXES
from hebbevo.spec import duration
from hebbevo.study.view import Study
from hebbevo.user_code import is_reference

Row = dict[str, Any] | pd.Series

PERCENTAGE_POINT = 0.01


def summary(study: Study) -> Section:
    """Make the section: what was found, and with which settings."""
    return Section("Summary", "\n".join((_answer(study), _tiles(study), _facts(study))))


def _answer(study: Study) -> str:
    best, nearest, front = study.best(), study.nearest(), study.front()
    if nearest is not None:
        text = (
            f"No trial meets the constraints ({html(study.goal.limits)}); the nearest reaches "
            f"{_score(study, nearest)}."
        )
    elif front.empty and not study.points().empty:
        chance = score(study, study.chance)
        return f'<p class="answer">No network beats chance {html(study.score)}, {chance}.</p>'
    elif front.empty:
        failed = (study.trials()["state"] == "failed").any()
        text = (
            "Every finished trial failed; the reasons are below." if failed else "No trial has finished yet."
        )
        return f'<p class="answer">{text}</p>'
    elif best is not None:
        text = f"The best network{_within(study)}, by {html(study.goal.aim)}, reaches {_score(study, best)}."
    else:
        text = _trade_off(study, front)
    given = study.settings["task"].get("score")
    own = given is not None and is_reference(given)
    measure = (
        f"Accuracy here means the score by {html(given)}"
        if own
        else f"{study.score[0].upper()}{study.score[1:]} is measured"
    )
    note = f"{measure} on validation data; the search never sees the test set."
    return f'<p class="answer">{text}</p>\n<p class="soft">{note}</p>'


def _trade_off(study: Study, front: pd.DataFrame) -> str:
    best, small = _best_and_small(front)
    text = f"The best network{_within(study)} reaches {_score(study, best)}"
    near = "one percentage point of it" if study.in_percent else f"{PERCENTAGE_POINT} of it"
    if small is best:
        return f"{text}; no smaller one is within {near}."
    return (
        f"{text}; the smallest within {near} reaches {score(study, small['accuracy'])} {_size(study, small)}."
    )


def _within(study: Study) -> str:
    return " within the constraints" if study.goal.constraints else ""


def _best_and_small(front: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """The most accurate network, and the smallest within one percentage point of it."""
    ordered = rows(front)  # by survivors ascending
    best = max(ordered, key=lambda row: float(row["accuracy"]))
    return best, next(row for row in ordered if row["accuracy"] >= best["accuracy"] - PERCENTAGE_POINT)


def _score(study: Study, row: Row) -> str:
    name = "" if study.in_percent else f"{study.score} "
    return f"{name}<strong>{score(study, row['accuracy'])}</strong> {_size(study, row)}"


def _size(study: Study, row: Row) -> str:
    survivors, share = count(row["survivors"]), percent(row["survivors"] / row["neurons"])
    which = f"({share}, {trial_name(study, row)})"
    return f"with <strong>{survivors}</strong> of {row['neurons']} {study.count} {which}"


def _tiles(study: Study) -> str:
    trials, front = study.trials(), study.front()
    points = front[["accuracy", "survivors"]].to_numpy(dtype=float)
    copies, before_end = trials["copy_of"].notna().sum(), is_before_end(study, front).sum()
    failed, stopped, running = (
        (trials["state"] == state).sum() for state in ("failed", "stopped", "running")
    )
    tiles = {
        "trials done": count(len(complete_trials(study))),
        **({"within the constraints": count(trials["feasible"].sum())} if study.goal.constraints else {}),
        **({"of them copies": count(copies)} if copies else {}),
        **({"stopped early": count(stopped)} if stopped else {}),
        "failed": count(failed),
        **({"running": count(running)} if running else {}),
        "on the front": count(len(front)),
        **({"of them at an earlier epoch": count(before_end)} if before_end else {}),
        "hypervolume": f"{hypervolume(points, study.chance, study.neurons):.4f}",
        f"{study.count} at first": f"{'up to ' if sizes_differ(study) else ''}{study.neurons}",
    }
    return _definitions("tiles", tiles)


def _facts(study: Study) -> str:
    task, network, search = (study.settings[part] for part in ("task", "network", "search"))
    facts = {
        "data set": task["dataset"],
        "training": f"{task['epochs']} epochs, batches of {task['batch_size']}",
        **({"loss": task["loss"]} if task.get("loss") else {}),
        **(_user_network(network) if network.get("module") else _network(study)),
        "sampler": _with_settings(search["sampler"], search.get("settings")),
        "population": search["population"],
        **({"known genomes to start with": len(search["start"])} if search.get("start") else {}),
        "objectives": study.goal.aim,
        **({"constraints": study.goal.limits} if study.goal.constraints else {}),
        "trials asked for": search["trials"],
        **({"timeout of a run": duration.text(search["timeout"])} if search.get("timeout") else {}),
        "replicates": search["replicates"],
        "seed": search["seed"],
        **_class_weight(task),
        f"chance {study.score}": score(study, study.chance),
        **({"validation": rows_text} if (rows_text := validation_rows(study)) else {}),
        "training time": _duration(float(study.trials()["seconds"].sum())),
        "versions": ", ".join(f"{library} {version}" for library, version in study.versions.items()),
    }
    return _definitions("facts", {name: str(value) for name, value in facts.items()})


def _class_weight(task: dict[str, Any]) -> dict[str, str]:
    given = task.get("class_weight")
    if not given:
        return {}
    return {"class weights": given if isinstance(given, str) else _pairs(given)}


def _user_network(network: dict[str, Any]) -> dict[str, str]:
    return {"network": _with_settings(network["module"], network.get("settings"))}


def _network(study: Study) -> dict[str, str]:
    network, genome = study.settings["network"], study.settings["genome"]
    return {
        "network": _with_settings(", ".join([network["family"], *_shape(study)]), network.get("settings")),
        **{axis: "searched" if axis in genome else network[axis] for axis in AXES},
    }


def _shape(study: Study) -> Iterator[str]:
    genome = study.settings["genome"]
    for part in ("channels", "hidden"):
        if part not in genome and (widths := study.settings["network"].get(part)):
            yield f"{part} {'-'.join(map(str, widths))}"
    if searched := [name for name in ("depth", "channels", "hidden") if name in genome]:
        yield f"{' and '.join(searched)} searched"


def _with_settings(name: str, settings: dict[str, Any] | None) -> str:
    given = _pairs(settings or {})
    return f"{name} ({given})" if given else name


def _pairs(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _duration(seconds: float) -> str:
    """Seconds, summed over trials, in the largest unit that leaves at least one."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _definitions(kind: str, pairs: dict[str, str]) -> str:
    items = "".join(
        f"<div><dt>{html(name)}</dt><dd>{html(value)}</dd></div>" for name, value in pairs.items()
    )
    return f'<dl class="{kind}">{items}</dl>'
