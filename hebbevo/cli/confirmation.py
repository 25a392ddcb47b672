"""The command that confirms a front: its progress, its table, and the confirmed front in three formats."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from hebbevo.cli.console import plus_minus
from hebbevo.cli.echo import echo
from hebbevo.deploy.confirming import confirm
from hebbevo.display.terminal import shown_on
from hebbevo.errors import HebbevoError, UsageError
from hebbevo.execution.config import ExecutorOptions
from hebbevo.messages import printable
from hebbevo.report.formatting import count
from hebbevo.report.queries import rule_genes
from hebbevo.report.tables import csv
from hebbevo.study.confirmation import Confirmation
from hebbevo.study.confirmed_rules import confirmed_rules
from hebbevo.study.view import Study

_JSON = ("confirmed_accuracy", "confirmed_sd", "confirmed_survivors", "control_accuracy", "control_sd")


def confirmed(study: Study, quiet: bool, **options: Any) -> Study:
    """Confirm a front, with its progress on standard error.

    Args:
        study: the study.
        quiet: whether to show errors only.
        options: arguments of `hebbevo.confirm`.
    """
    with shown_on(Console(stderr=True, quiet=quiet, markup=False, emoji=False)) as show:
        return confirm(study, watch=show, **options)


def confirmed_after_search(
    study: Study,
    quiet: bool,
    allow_code: Callable[[list[str]], bool],
    options: Mapping[str, Any],
) -> Study:
    """Confirm the front at the end of a search, if the search has come to its end.

    Args:
        study: the study.
        quiet: whether to show errors only.
        allow_code: whether the user's code may be imported.
        options: options of the command, those of the executor among them.
    """
    finished = int((study.trials().state != "running").sum())
    if finished < study.total:
        echo(f"not confirmed: {finished} of {study.total} trials are finished", err=True)
        return study
    if study.front().empty:
        echo("not confirmed: no network is on the front", err=True)
        return study
    own = {name: options[name] for name in ExecutorOptions.__annotations__ if name in options}
    return confirmed(study, quiet, allow_code=allow_code, **own)


def require_confirmation(study: Study) -> Confirmation:
    """Give the complete confirmation of a study.

    Raises:
        UsageError: there is none.
    """
    found = study.confirmation
    if found is None or not found.is_complete:
        what = "has not been confirmed" if found is None else "its confirmation is not complete"
        raise UsageError(f"{study.store}: {what}; run 'hebbevo confirm {study.store.command}'")
    return found


def require_trained(study: Study) -> None:
    """Check that a complete confirmation has trained a member of the front again.

    Raises:
        HebbevoError: every training of every member failed.
    """
    if require_confirmation(study).members()["confirmed_accuracy"].isna().all():
        raise HebbevoError(f"{study.store}: every training of the confirmation failed")


def print_confirmation(study: Study, console: Console) -> None:
    """Print what a search has found beside what was confirmed, and the verdict in words."""
    found = require_confirmation(study)
    between = plus_minus(console)
    table = Table(box=None, pad_edge=False)
    members = found.members()
    of_dense = [] if found.no_control else ["dense", "longer", "best of k"]
    of_layers = ["readout", "random"] if members["random_accuracy"].notna().any() else []
    sizes = ("survivors", *study.further)
    titles = ("trial", "epoch", "found", "confirmed", *sizes, *of_dense, *of_layers, "test", "verdict")
    for title in titles:
        table.add_column(printable(title), justify="right", no_wrap=True)

    def pair(mean: float, sd: float) -> str:
        return between.join(f"{each:.3f}" for each in (mean, sd) if not math.isnan(each)) or "-"

    def size(row: dict[Hashable, Any], name: str) -> str:
        mean_and_sd = (row[f"confirmed_{name}"], row[f"{name}_sd"])
        return between.join(count(each) for each in mean_and_sd if not math.isnan(each)) or "-"

    for row in members.to_dict("records"):
        best = pair(row["best_of_accuracy"], row["best_of_sd"])
        dense = [
            pair(row["control_accuracy"], row["control_sd"]),
            pair(row["longer_accuracy"], row["longer_sd"]),
            best if best == "-" else f"{best} ({row['best_of']})",
        ]
        table.add_row(
            str(row["trial"]),
            str(row["epoch"]),
            " / ".join([f"{row['found_accuracy']:.3f}", *(count(row[f"found_{name}"]) for name in sizes)]),
            pair(row["confirmed_accuracy"], row["confirmed_sd"]),
            *(size(row, name) for name in sizes),
            *(dense if of_dense else []),
            *(pair(row[f"{name}_accuracy"], row[f"{name}_sd"]) for name in of_layers),
            pair(row["test_accuracy"], row["test_sd"]),
            row["verdict"] if row["on_front"] else f"{row['verdict']}, dominated",
        )
    console.print(table)
    beside = ", ".join([*of_dense, *of_layers])
    measures = " / ".join((found.score, found.count, *study.further))
    lines = [
        f"found: {measures} of the search; confirmed: on validation rows, by "
        f"{found.replicates} trainings with fresh seeds"
        + (f"; {beside}: on {found.verdict_rows}" if beside else ""),
        *_layer_lines(found),
        found.sentence,
    ]
    if study.goal.dimension > 1:  # one objective has an answer, and no front to measure
        lines += [f"hypervolume {found.hypervolume:.4f} confirmed, {study.hypervolume():.4f} found"]
        lines += [found.hypervolume_sentence] if found.hypervolume_sentence else []
    compared = (confirmed_rules(study, gene) for gene in rule_genes(study))
    lines += [each.sentence for each in compared if each is not None]
    if found.is_stale:
        lines.append(
            f"confirmed on {found.date}, and the study has more trials since; "
            f"'hebbevo confirm {study.store.command}' confirms its front as it is now"
        )
    if found.test_rows_seen:
        lines.append(f"test rows were seen on {found.test_rows_seen}")
    for line in lines:
        console.print(printable(line), soft_wrap=True)


def _layer_lines(found: Confirmation) -> Iterator[str]:
    """What readouts of the layers of each member reach, beside random weights; nothing if not measured."""
    table = found.decoding()
    for (trial, epoch), own in table.groupby(["trial", "epoch"], sort=False):
        learned, random = ("/".join(f"{value:.3f}" for value in own[name]) for name in ("learned", "random"))
        which = f"layers of trial {trial}, epoch {epoch}"
        yield f"{which}, a linear readout of each: {learned}; with random weights {random}"


def print_confirmed_csv(study: Study, console: Console) -> None:
    """Print the confirmed front as comma-separated values."""
    console.file.write(csv(study.front(confirmed=True)))


def print_confirmed_json(study: Study, console: Console) -> None:
    """Print the confirmed front as a list of JSON objects."""
    table = study.front(confirmed=True).astype(object)
    table = table.where(table.notna(), None)
    objects = [
        {
            "trial": int(row["trial"]),
            "epoch": int(row["epoch"]),
            "accuracy": row["found_accuracy"],
            "survivors": row["found_survivors"],
            "neurons": int(row["neurons"]),
            **{name: row[name] for name in (*_JSON, "test_accuracy")},
            **{name: row[name] for name in table.columns if name not in _FIRST and name not in _JSON},
            "genome": study.genome(int(row["trial"])),
        }
        for row in table.to_dict("records")
    ]
    console.file.write(json.dumps(objects, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item()


_FIRST = ("trial", "epoch", "found_accuracy", "found_survivors", "neurons", "test_accuracy")

CONFIRMED_FORMATS: dict[str, Callable[[Study, Console], None]] = {
    "table": print_confirmation,
    "csv": print_confirmed_csv,
    "json": print_confirmed_json,
}
"""The formats in which ``hebbevo front --confirmed`` prints."""
