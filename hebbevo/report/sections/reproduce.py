"""The section on how to repeat the search: counts, settings, seeds, versions and commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from hebbevo.objectives.pareto import hypervolume
from hebbevo.report.formatting import count, score
from hebbevo.report.queries import complete_trials, is_before_end, sizes_differ
from hebbevo.report.section import Section
from hebbevo.rules import AXES
from hebbevo.spec import duration
from hebbevo.study.view import Study


def reproduce(study: Study) -> Section:
    """Make the section: what was done, with which settings, and the commands that repeat it."""
    place = study.store.command
    return Section.of(
        "The search, and how to repeat it",
        "reproduce",
        tiles=_tiles(study),
        facts=_facts(study),
        commands=[
            ("the same search from the start", "hebbevo search --space space.yaml --study again.db"),
            ("continue it where it ended", f"hebbevo resume {place}"),
            ("confirm its front", f"hebbevo confirm {place}"),
            ("write this page again", f"hebbevo report {place}"),
        ],
        space=space_file(study),
    )


def space_file(study: Study) -> str:
    """The settings of the study as a space file, with those that the command line replaced."""
    plain = {**study.settings, "search": {**study.settings["search"], "trials": study.total}}
    kept = _without_defaults(plain)
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return yaml.safe_dump(kept, sort_keys=False, width=100)  # invisible characters as escapes


def _without_defaults(value: Any) -> Any:
    """Plain data without the entries that say nothing."""
    if not isinstance(value, dict):
        return value
    kept = {name: _without_defaults(each) for name, each in value.items()}
    return {name: each for name, each in kept.items() if each is not None and each != {} and each != []}


def _tiles(study: Study) -> dict[str, str]:
    trials, front = study.trials(), study.front()
    points = front[[*study.goal.traded]].to_numpy(dtype=float)
    copies, before_end = trials["copy_of"].notna().sum(), is_before_end(study, front).sum()
    failed, stopped, running = (
        (trials["state"] == state).sum() for state in ("failed", "stopped", "running")
    )
    return {
        "trials done": count(len(complete_trials(study))),
        **({"within the constraints": count(trials["feasible"].sum())} if study.goal.constraints else {}),
        **({"of them copies": count(copies)} if copies else {}),
        **({"stopped early": count(stopped)} if stopped else {}),
        "failed": count(failed),
        **({"begun, not finished": count(running)} if running else {}),
        "on the front": count(len(front)),
        **({"of them at an earlier epoch": count(before_end)} if before_end else {}),
        "hypervolume, as found": f"{hypervolume(points, study.chance, study.largest):.4f}",
        f"{study.count} at first": f"{'up to ' if sizes_differ(study) else ''}{study.neurons}",
    }


def _facts(study: Study) -> dict[str, str]:
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
        "trials asked for": study.total,
        **({"timeout of a run": duration.text(search["timeout"])} if search.get("timeout") else {}),
        "replicates": search["replicates"],
        "seed": search["seed"],
        **({"rows": _rows(study)} if study.rows else {}),
        **_class_weight(task),
        f"chance {study.score}": score(study, study.chance),
        "training, summed over workers": _duration(float(study.trials()["seconds"].sum())),
        **({} if study.wall_seconds is None else {"wall time of the search": _duration(study.wall_seconds)}),
        "versions": ", ".join(f"{library} {version}" for library, version in study.versions.items()),
    }
    return {name: str(value) for name, value in facts.items()}


def _rows(study: Study) -> str:
    return ", ".join(f"{number:,} {part}" for part, number in study.rows.items())


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
