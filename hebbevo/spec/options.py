"""The settings of a space file that `hebbevo.search` and ``hebbevo search`` can override, defined once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypedDict, get_args, get_type_hints

from hebbevo.messages import listed
from hebbevo.samplers import SAMPLERS
from hebbevo.space.knobs import Value


@dataclass(frozen=True)
class Option:
    """Where a setting stands in a space file, and the command-line option that overrides it.

    Attributes:
        part: the part of the file, ``task`` or ``search``; the key in it is the name of the setting.
        help: help text of the option.
        metavar: placeholder of the value in the help text; by default that of its type.
        flag: name of the option; by default ``--`` and the name of the setting.
        kind: ``int``, ``bool`` or ``str``, as the command line reads the value; `OPTIONS` fills it in.
    """

    part: str
    help: str
    metavar: str | None = None
    flag: str = ""
    kind: type = str

    def values(self) -> Sequence[str]:
        """The values that it takes, if its placeholder names them."""
        named = (self.metavar or "").split("|")
        return named if len(named) > 1 else ()


_SAMPLER = f"How genomes are proposed: {listed(SAMPLERS)}."


class Overrides(TypedDict, total=False):
    """Settings that replace those of a space file; ``None`` keeps what the file says."""

    trials: Annotated[int | None, Option("search", "Total number of trials to reach.", "N")]
    timeout: Annotated[
        float | str | None,
        Option("search", "Longest time to search in this run, as in 90s, 10m, 1h30m.", "TIME"),
    ]
    seed: Annotated[int | None, Option("search", "Seed of the search and of everything in it.", "N")]
    sampler: Annotated[str | None, Option("search", _SAMPLER, "NAME")]
    population: Annotated[int | None, Option("search", "Genomes in a generation.", "N")]
    replicates: Annotated[int | None, Option("search", "Trainings of a genome, each from its own seed.", "N")]
    epochs: Annotated[int | None, Option("task", "Length of a training in epochs.", "N")]
    dataset: Annotated[
        str | None,
        Option("task", "Built-in data set, .npz file, or table: .csv, .tsv, .parquet.", "DATA", "--data"),
    ]
    target: Annotated[str | None, Option("task", "Label column of a table.", "COLUMN")]
    test: Annotated[str | None, Option("task", "File with the test rows.", "DATA")]
    kind: Annotated[
        str | None, Option("task", "What is predicted: a class or an amount.", "classification|regression")
    ]
    halving: Annotated[
        bool | None, Option("search", "Stop trainings early that promise little.  [default: no]")
    ]
    keep: Annotated[
        str | None, Option("search", "Networks whose weights the study keeps.  [default: none]", "none|front")
    ]
    start: Annotated[
        str | Path | Sequence[Mapping[str, Value]] | None,
        Option("search", "Study whose front a new study begins with; in Python also genomes.", "STUDY"),
    ]
    precision: Annotated[str | None, Option("task", "Precision of matrix products.", "float32|bfloat16")]
    engine: Annotated[
        str | None,
        Option(
            "search",
            "What computes trainings: PyTorch, or faster compiled code; auto takes that where it can.  "
            "[default: auto]",
            "auto|pytorch|native",
        ),
    ]


def _options() -> dict[str, Option]:
    options = {}
    for name, hint in get_type_hints(Overrides, include_extras=True).items():
        value_type, option = get_args(hint)
        kind = next(kind for kind in (bool, int, str) if kind in get_args(value_type))
        options[name] = replace(option, flag=option.flag or f"--{name}", kind=kind)
    return options


OPTIONS: dict[str, Option] = _options()
"""The options, by the name of the setting, in the order of the help text."""

_ATTRIBUTES = "\n".join(f"    {name}: {option.help}" for name, option in OPTIONS.items())
Overrides.__doc__ = f"{Overrides.__doc__}\n\nAttributes:\n{_ATTRIBUTES}"  # for help() and the reference page
