"""Printing what a study has found: the front in three formats, and the lines after a search."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hebbevo.cli.confirmation import print_confirmation
from hebbevo.cli.console import plus_minus
from hebbevo.cli.echo import echo
from hebbevo.messages import printable
from hebbevo.report.formatting import count
from hebbevo.report.queries import genes, rule_genes, rules_on_front
from hebbevo.report.resolution import validation_rows
from hebbevo.report.tables import csv
from hebbevo.study.health import health
from hebbevo.study.view import RANDOM, Study


def print_summary(study: Study, report: Path, console: Console) -> None:
    """Print what a search has found, and where its study and its report are.

    Args:
        study: the study at the end of the search.
        report: folder of the report.
        console: prints the results; remarks go to standard error.
    """
    if study.is_confirmed:
        print_confirmation(study, console)
    elif not study.points().empty:  # else the search has said how far it came, or all trials failed
        print_table(study, console)
    for remark in (nearest_line(study) or chance_line(study), unrepeatable_line(study)):
        if remark:
            echo(remark, err=True)
    for line in rule_lines(study):
        echo(line)
    if layers := decoding_line(study):
        echo(layers)
    if stopped := stopped_line(study):
        echo(stopped)
    for line in health(study):
        echo(f"health  {printable(line)}")
    if rows := validation_rows(study):
        echo(f"rows    {rows}")
    echo(f"study   {study.store}")
    echo(f"report  {report / 'report.html'}")
    echo(f"more    hebbevo resume {study.store.command}{_more_trials(study)}")
    if not study.front().empty and not study.is_confirmed:
        found = f"found, not confirmed: the best of {_finished(study)} noisy scores"
        echo(f"{found}; 'hebbevo confirm {study.store.command}' trains them again")


def print_table(study: Study, console: Console) -> None:
    """Print the front as a table, without the genomes if the console is too narrow for them."""
    if not study.points().works.any():  # another line says so
        return
    table = _front_table(study, genes(study), console)
    if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
        console.print(table)
    else:
        console.print(_front_table(study, [], console))
        console.print(printable(f"genomes  hebbevo front {study.store.command} --format csv"), soft_wrap=True)
    best = study.best()
    if best is not None:
        console.print(printable(f"best    {_trial(study, best)} ({study.goal.aim})"), soft_wrap=True)


def print_csv(study: Study, console: Console) -> None:
    """Print the front as comma-separated values."""
    console.file.write(csv(study.front()))


def print_json(study: Study, console: Console) -> None:
    """Print the front as a list of JSON objects."""
    console.file.write(json.dumps(front_objects(study), indent=2) + "\n")


FORMATS: dict[str, Callable[[Study, Console], None]] = {
    "table": print_table,
    "csv": print_csv,
    "json": print_json,
}
"""The formats in which ``hebbevo front`` prints."""


def front_objects(study: Study) -> list[dict[str, object]]:
    """Turn the front into plain objects: ``None`` for missing values, and only active genes."""
    front = study.front().astype(object)
    front = front.where(front.notna(), None)
    return [
        {
            "trial": int(row["trial"]),
            "epoch": int(row["epoch"]),
            "accuracy": row["accuracy"],
            "accuracy_sd": row["accuracy_sd"],
            "survivors": row["survivors"],
            "survivors_sd": row["survivors_sd"],
            **{name: row[name] for count in study.further for name in (count, f"{count}_sd")},
            "neurons": row["neurons"],
            **{name: row[name] for name in front.columns if name == RANDOM},
            "genome": study.genome(row["trial"]),
        }
        for row in front.to_dict("records")
    ]


def nearest_line(study: Study) -> str | None:
    """If no trial meets the constraints, say which comes nearest; else ``None``."""
    nearest = study.nearest()
    if nearest is None:
        return None
    return f"no trial meets the constraints ({study.goal.limits}); nearest: {_trial(study, nearest)}"


def chance_line(study: Study) -> str | None:
    """If there are results but none is better than a guess, say so; else ``None``."""
    points = study.points()
    if points.empty or points.works.any():
        return None
    return (
        f"no network beats chance ({study.score} {study.chance:.4f}): there is no front; "
        f"train for more epochs{', or prune less' if study.prunes else ''}"
    )


def failure_line(study: Study) -> str | None:
    """If every trial failed, say why the first one did; else ``None``."""
    trials = study.trials()
    failed = trials[trials.state == "failed"]
    if failed.empty or not study.points().empty:
        return None
    which = "every trial" if len(failed) == len(trials) else "every finished trial"
    return f"{which} failed; trial {failed.trial.iloc[0]}: {failed.failure.iloc[0]}"


def empty_line(study: Study) -> str | None:
    """If there is no result to show, say why; else ``None``."""
    if not study.points().empty:
        return chance_line(study)
    trials = study.trials()
    if line := failure_line(study):
        return line
    state = f"{len(trials)} of {study.total} trials are begun" if len(trials) else "it has no trials"
    return (
        f"{study.store}: no trial has a result yet ({state}); "
        f"continue it with 'hebbevo resume {study.store.command}'"
    )


def stopped_line(study: Study) -> str | None:
    """Say how many trials were stopped early, and the share of epochs that was trained; ``None`` for 0."""
    trials = study.trials()
    stopped = (trials.state == "stopped").sum()
    if not stopped:
        return None
    own = trials[trials.copy_of.isna() & trials.state.isin(["complete", "stopped"])].trial
    trained = study.points().groupby("trial").epoch.max().loc[own]
    part = trained.mean() / study.settings["task"]["epochs"]
    return f"stopped {stopped} of {len(trials)} trials early: {part:.0%} of all epochs were trained"


def rule_lines(study: Study) -> Iterator[str]:
    """Say which parts of the front each rule holds, for every gene that is a rule."""
    for gene in rule_genes(study):
        held = [f"{rule} {held.parts}" for rule, held in rules_on_front(study, gene).items()]
        if held:
            yield f"{gene:<7} {'; '.join(held)} {study.count}"


def decoding_line(study: Study) -> str | None:
    """Say what readouts of the layers of the most accurate trial reach; ``None`` where none was measured."""
    table = study.decoding()
    if table.empty:
        return None
    trials = study.trials()
    measured = trials[trials.trial.isin(table.trial)]
    trial = int(measured.trial.iloc[int(measured.accuracy.argmax())])
    own = table[table.trial == trial]
    learned, random = ("/".join(f"{value:.4f}" for value in own[name]) for name in ("learned", "random"))
    return f"layers  trial {trial}, a linear readout of each: {learned}; with random weights {random}"


def unrepeatable_line(study: Study) -> str | None:
    """Say which trials another run of the search may not repeat; ``None`` if all are repeatable."""
    unrepeatable = study.trials().query("not repeatable").trial
    if unrepeatable.empty:
        return None
    which = f"trial {unrepeatable.iloc[0]}"
    if len(unrepeatable) > 1:
        which += f" and {len(unrepeatable) - 1} later ones"
    return f"{which} lacked time, memory or a worker: another run of this search may differ from there on"


def _finished(study: Study) -> int:
    return int((study.trials().state != "running").sum())


def _more_trials(study: Study) -> str:
    """The option that extends a finished study; one that was stopped continues without it."""
    return f" --trials {2 * study.total}" if _finished(study) >= study.total else ""


def _trial(study: Study, row: pd.Series[Any]) -> str:
    where = f"trial {int(row.trial)}, epoch {int(row.epoch)}"
    random = row.get(RANDOM)
    beside = "" if pd.isna(random) else f" (random weights {random:.4f})"
    return f"{where}, {study.score} {row.accuracy:.4f}{beside}, survivors {count(row.survivors)}" + "".join(
        f", {name} {count(row[name])}" for name in study.further
    )


def _front_table(study: Study, shown: list[str], console: Console) -> Table:
    """The front with a column for each of the genes that are ``shown``."""
    table = Table(box=None, pad_edge=False)
    between = plus_minus(console)
    front = study.front().astype(object)  # a whole number stays one
    of_random = ["random"] if RANDOM in front else []
    for title in ("trial", "epoch", study.score, *of_random, "survivors", "of all", *study.further, *shown):
        table.add_column(printable(title), justify="right", no_wrap=True)
    for _, row in front.iterrows():
        table.add_row(
            str(int(row.trial)),
            str(int(row.epoch)),
            between.join(f"{each:.4f}" for each in (row.accuracy, row.accuracy_sd) if pd.notna(each)),
            *(["-" if pd.isna(row[RANDOM]) else f"{row[RANDOM]:.4f}"] if of_random else []),
            between.join(count(each) for each in (row.survivors, row.survivors_sd) if pd.notna(each)),
            f"{row.survivors / row.neurons:.1%}",
            *(
                between.join(count(each) for each in (row[name], row[f"{name}_sd"]) if pd.notna(each))
                for name in study.further
            ),
            *(_cell(row[f"genome.{gene}"]) for gene in shown),
        )
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return str(value)
    if pd.isna(value):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else printable(value)
