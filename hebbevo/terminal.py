"""What a search shows on the terminal: a live bar on a TTY, plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hebbevo.knobs import Knob

if TYPE_CHECKING:
    from hebbevo.loop import Progress as State
    from hebbevo.study import Study


@contextmanager
def watching(console: Console) -> Iterator[Callable[[State], None]]:
    """Give a watcher that shows a search's progress on ``console``."""
    started = time.monotonic()
    if not console.is_terminal:
        yield lambda state: console.print(
            f"{state.trials}/{state.total} trials  {_state(state, started)}", soft_wrap=True
        )
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("trials  {task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda state: bar.update(
            task, completed=state.trials, total=state.total, description=_state(state, started)
        )


def front_table(study: Study, console: Console) -> None:
    """Print the front as a table that fits the console."""
    front = study.front()
    table = Table(title=f"Pareto front of {study.path}", title_justify="left", box=None, pad_edge=False)
    genes = [name for name in front.columns if name.startswith("genome.")]
    for title in ("trial", "accuracy", "survivors", *(gene.removeprefix("genome.") for gene in genes)):
        table.add_column(title, justify="right", overflow="fold")
    for _, row in front.iterrows():
        survivors = f"{row.survivors:g} ({row.survivors / row.neurons:.1%})"
        accuracy = f"{row.accuracy:.4f}" + ("" if pd.isna(row.accuracy_sd) else f" ± {row.accuracy_sd:.4f}")
        table.add_row(str(row.trial), accuracy, survivors, *(_cell(row[gene]) for gene in genes))
    console.print(table)


def knob_table(knobs: Mapping[str, Knob], console: Console) -> None:
    """Print one line a knob: default, allowed range, range worth searching, meaning."""
    table = Table(box=None, pad_edge=False)
    for title in ("knob", "default", "range", "worth searching", "meaning"):
        table.add_column(title, overflow="fold")
    for knob in knobs.values():
        sensible = f"{knob.sensible[0]:g} to {knob.sensible[1]:g}" if knob.sensible else ""
        default = str(knob.default).lower() if knob.kind is bool else str(knob.default)
        table.add_row(
            knob.name, default, knob.range_text(), sensible + (", log" if knob.log else ""), knob.meaning
        )
    console.print(table)


def front_csv(study: Study, console: Console) -> None:
    """Print the front as comma-separated values."""
    console.file.write(study.front().to_csv(index=False))


def front_json(study: Study, console: Console) -> None:
    """Print the front as a list of objects."""
    console.file.write(json.dumps(front_objects(study), indent=2) + "\n")


def front_objects(study: Study) -> list[dict[str, object]]:
    """Turn the front into plain objects; what is not there is ``None``, and genomes hold active genes only."""
    front = study.front().astype(object)
    front = front.where(front.notna(), None)
    genes = list(study.settings["genome"])
    return [
        {
            "trial": int(row["trial"]),
            "accuracy": row["accuracy"],
            "accuracy_sd": row["accuracy_sd"],
            "survivors": row["survivors"],
            "survivors_sd": row["survivors_sd"],
            "neurons": row["neurons"],
            "genome": {gene: row[f"genome.{gene}"] for gene in genes if row[f"genome.{gene}"] is not None},
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
        f"generation {state.generation}",
        f"front {state.front}",
        f"hypervolume {state.hypervolume:.4f}",
    ]
    if state.fresh:
        left = (time.monotonic() - started) / state.fresh * (state.total - state.trials)
        parts.append(f"{timedelta(seconds=round(left))} left")
    if state.notice:
        parts.append(state.notice)
    return "  ".join(parts)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
