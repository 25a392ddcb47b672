"""The answer in one sentence, and what the study was."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from hebbevo.pareto import hypervolume
from hebbevo.report.section import Section
from hebbevo.report.source import Study, complete, rows
from hebbevo.report.words import count, percent

POINT = 0.01


def summary(study: Study) -> Section:
    """What was found, and the settings it was found with."""
    return Section("Summary", "\n".join((_answer(study), _tiles(study), _facts(study))))


def _answer(study: Study) -> str:
    trials, front = study.trials(), study.front()
    if front.empty:
        text = (
            "Every finished trial failed; the reasons are below."
            if (trials["state"] == "failed").any()
            else "No trial has finished yet."
        )
        return f'<p class="answer">{text}</p>'
    best, small = _landmarks(front)
    text = f"The best network reaches <strong>{percent(best['accuracy'])}</strong> {_size(study, best)}"
    if small["trial"] == best["trial"]:
        text += "; no smaller one comes within one point of it."
    else:
        text += (
            f"; within one point of it, at {percent(small['accuracy'])}, the smallest gets by "
            f"{_size(study, small)}."
        )
    note = "Accuracy is on validation data; the search never sees the test set."
    return f'<p class="answer">{text}</p>\n<p class="soft">{note}</p>'


def _landmarks(front: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """The most accurate trial, and the smallest within a point of it."""
    ordered = rows(front)  # by survivors ascending
    best = max(ordered, key=lambda row: float(row["accuracy"]))
    return best, next(row for row in ordered if row["accuracy"] >= best["accuracy"] - POINT)


def _size(study: Study, row: dict[str, Any]) -> str:
    alive, share = count(row["survivors"]), percent(row["survivors"] / study.neurons)
    return f"with <strong>{alive}</strong> of {study.neurons} neurons ({share}, trial {row['trial']})"


def _tiles(study: Study) -> str:
    trials, front = study.trials(), study.front()
    points = complete(study)[["accuracy", "survivors"]].to_numpy(dtype=float)
    running = (trials["state"] == "running").sum()
    tiles = {
        "trials done": count(len(complete(study))),
        "failed": count((trials["state"] == "failed").sum()),
        **({"running": count(running)} if running else {}),
        "on the front": count(len(front)),
        "hypervolume": f"{hypervolume(points, study.chance, study.neurons):.4f}",
        "hidden neurons": count(study.neurons),
    }
    return _definitions("tiles", tiles)


def _facts(study: Study) -> str:
    task, network, search = (study.settings[part] for part in ("task", "network", "search"))
    facts = {
        "data set": task["dataset"],
        "training": f"{task['epochs']} epochs, batches of {task['batch_size']}",
        "network": f"{network['family']}, hidden {'-'.join(map(str, network['hidden']))}",
        "rule": _with_settings(network["rule"], network.get("settings")),
        "sampler": _with_settings(search["sampler"], search.get("settings")),
        "population": search["population"],
        "trials asked for": search["trials"],
        "replicates": search["replicates"],
        "seed": search["seed"],
        "chance accuracy": percent(study.chance),
        "training time": _duration(float(study.trials()["seconds"].sum())),
        "versions": ", ".join(f"{library} {version}" for library, version in study.versions.items()),
    }
    return _definitions("facts", {name: str(value) for name, value in facts.items()})


def _with_settings(name: str, settings: dict[str, Any] | None) -> str:
    given = ", ".join(f"{key} {value}" for key, value in (settings or {}).items())
    return f"{name} ({given})" if given else name


def _duration(seconds: float) -> str:
    """Seconds, summed over trials, in the largest unit that leaves at least one."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _definitions(kind: str, pairs: dict[str, str]) -> str:
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs.items()
    )
    return f'<dl class="{kind}">{items}</dl>'
