"""What a search shows on the terminal: a live bar on a TTY, plain lines elsewhere."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from hebbevo.report.queries import genes

if TYPE_CHECKING:
    from hebbevo.outer.driver import Progress as State
    from hebbevo.study.view import Study

_MOST_LINES = 40  # of progress, where no bar can move


@contextmanager
def watching(console: Console) -> Iterator[Callable[[State], None]]:
    """Give a watcher that shows a search's progress on ``console``."""
    started = time.monotonic()
    if not console.is_terminal:
        shown = -math.inf

        def write(state: State) -> None:
            nonlocal shown
            if state.notice:
                console.print(state.notice, markup=False, soft_wrap=True)
            elif state.trials - shown >= state.total / _MOST_LINES or state.trials == state.total:
                shown = state.trials
                line = f"{state.trials}/{state.total} trials  {_state(state, started)}"
                console.print(line, markup=False, soft_wrap=True)

        yield write
        return
    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("trials  {task.description}"))
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(state: State) -> None:
            if state.notice:
                bar.console.print(state.notice, markup=False, soft_wrap=True)
            description = _state(state, started)
            bar.update(task, completed=state.trials, total=state.total, description=description)

        yield update


def front_table(study: Study, console: Console) -> None:
    """Print the front as a table; without the genomes where the console is too narrow for them."""
    whole = _front_table(study, genes(study))
    if Measurement.get(console, console.options.update(max_width=10_000), whole).maximum <= console.width:
        console.print(whole)
    else:
        console.print(_front_table(study, []))
        console.print(f"genomes  hebbevo front {study.store.command} --format csv", soft_wrap=True)
    best = study.best()
    if best is not None:
        console.print(f"best    {_trial(best)} ({study.goal.aim})", soft_wrap=True)


def nearest_line(study: Study) -> str | None:
    """Say that no trial meets the constraints, and which comes nearest; ``None`` if any meets them."""
    nearest = study.nearest()
    if nearest is None:
        return None
    return f"no trial meets the constraints ({study.goal.limits}); nearest: {_trial(nearest)}"


def failure_line(study: Study) -> str | None:
    """Say that every trial failed, and why the first did; ``None`` if any came to something."""
    trials = study.trials()
    failed = trials[trials.state == "failed"]
    if failed.empty or not study.points().empty:
        return None
    return f"every trial failed; trial {failed.trial.iloc[0]}: {failed.failure.iloc[0]}"


def stopped_line(study: Study) -> str | None:
    """Say how many trials were stopped early, and what that spared; ``None`` if none was."""
    trials = study.trials()
    stopped = (trials.state == "stopped").sum()
    if not stopped:
        return None
    own = trials[trials.copy_of.isna() & trials.state.isin(["complete", "stopped"])].trial
    trained = study.points().groupby("trial").epoch.max().loc[own]
    part = trained.mean() / study.settings["task"]["epochs"]
    return f"stopped {stopped} of {len(trials)} trials early: {part:.0%} of all epochs were trained"


def repeat_line(study: Study) -> str | None:
    """Say that losses had a part in the study; ``None`` if none changed a result."""
    unlike = study.trials().query("not repeatable").trial
    if unlike.empty:
        return None
    which = f"trial {unlike.iloc[0]}"
    if len(unlike) > 1:
        which += f" and {len(unlike) - 1} later ones"
    return f"{which} lacked time, memory or a worker: another run of this search may differ from there on"


def _trial(row: pd.Series[Any]) -> str:
    where = f"trial {int(row.trial)}, epoch {int(row.epoch)}"
    return f"{where}, accuracy {row.accuracy:.4f}, survivors {row.survivors:.4g}"


def _front_table(study: Study, shown: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("trial", "epoch", "accuracy", "survivors", "of all", *shown):
        table.add_column(title, justify="right", no_wrap=True)
    for _, row in study.front().iterrows():
        table.add_row(
            str(int(row.trial)),
            str(int(row.epoch)),
            _with_sd(f"{row.accuracy:.4f}", row.accuracy_sd, ".4f"),
            _with_sd(f"{row.survivors:.4g}", row.survivors_sd, ".2g"),
            f"{row.survivors / row.neurons:.1%}",
            *(_cell(row[f"genome.{gene}"]) for gene in shown),
        )
    return table


def front_csv(study: Study, console: Console) -> None:
    """Print the front as comma-separated values."""
    console.file.write(study.front().to_csv(index=False))


def front_json(study: Study, console: Console) -> None:
    """Print the front as a list of objects."""
    console.file.write(json.dumps(front_objects(study), indent=2) + "\n")


def front_objects(study: Study) -> list[dict[str, object]]:
    """Turn the front into plain objects: ``None`` for what is not there, active genes only."""
    front = study.front().astype(object)
    front = front.where(front.notna(), None)
    names = genes(study)
    return [
        {
            "trial": int(row["trial"]),
            "epoch": int(row["epoch"]),
            "accuracy": row["accuracy"],
            "accuracy_sd": row["accuracy_sd"],
            "survivors": row["survivors"],
            "survivors_sd": row["survivors_sd"],
            "neurons": row["neurons"],
            "genome": {gene: row[f"genome.{gene}"] for gene in names if row[f"genome.{gene}"] is not None},
        }
        for row in front.to_dict("records")
    ]


FORMATS: dict[str, Callable[[Study, Console], None]] = {
    "table": front_table,
    "csv": front_csv,
    "json": front_json,
}


def _state(state: State, started: float) -> str:
    parts = [
        # all together are too much for 80 columns
        f"stopped {state.stopped}"
        if state.stopped
        else f"copies {state.copies}"
        if state.copies
        else f"generation {state.generation}",
        f"front {state.front}",
        f"hypervolume {state.hypervolume:.4f}",
    ]
    if state.fresh:
        left = (time.monotonic() - started) / state.fresh * (state.total - state.trials)
        parts.append(f"{timedelta(seconds=round(min(left, state.seconds_left)))} left")
    return "  ".join(parts)


def _with_sd(mean: str, sd: float, form: str) -> str:
    return mean if pd.isna(sd) else f"{mean} ± {sd:{form}}"


def _cell(value: Any) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
