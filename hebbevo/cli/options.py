"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable

import click

from hebbevo.cli import completion
from hebbevo.errors import UsageError
from hebbevo.messages import listed
from hebbevo.samplers import SAMPLERS
from hebbevo.spec import OPTIONS

STUDY = click.argument("study", shell_complete=completion.studies)
STORAGE = click.option(
    "--storage",
    metavar="URL",
    envvar="HEBBEVO_STORAGE",
    show_envvar=True,
    help="Database that holds the study, under its name, as postgresql://USER:PASSWORD@HOST/DATABASE.",
)
ALLOW_CODE = click.option("--allow-code", is_flag=True, help="Import your own code that the study names.")
CONFIRM = click.option(
    "--confirm", is_flag=True, help="Train the front again at the end, as hebbevo confirm does."
)
FORMATS = ("table", "csv", "json")


def _known_format(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value not in FORMATS and not context.resilient_parsing:
        raise UsageError(f"--format: {value!r} is not a format; write one of {listed(FORMATS)}")
    return value


FORMAT = click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    metavar="table|csv|json",
    help="Format.",
    callback=_known_format,
    shell_complete=completion.values(lambda: FORMATS),
)
QUIET = click.option("--quiet", is_flag=True, help="Show errors only.")

_EXECUTOR = (
    click.option(
        "--executor",
        metavar="auto|local|ray",
        shell_complete=completion.values(lambda: ("auto", "local", "ray")),
        help="Where to train: worker processes on this machine, or Ray.  [default: auto]",
    ),
    click.option(
        "--workers",
        type=int,
        metavar="N",
        help="Cohorts to train at the same time; results do not depend on it.  [default: one per core]",
    ),
    click.option("--ray-address", metavar="auto|HOST:PORT", help="Ray cluster to train on."),
    click.option(
        "--gpus-per-worker",
        type=float,
        metavar="X",
        help="GPUs per Ray worker; with 0.5, two workers share one.",
    ),
    click.option("--trial-timeout", metavar="TIME", help="Longest time for one trial, as in 90s, 10m."),
    click.option(
        "--nice",
        type=int,
        metavar="N",
        help="How much workers yield to other programs: 0 (none) to 19.",
    ),
    click.option("--memory-per-worker", metavar="SIZE", help="Most memory for a worker's data, as in 4GB."),
)


def executor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `hebbevo.execution.config.ExecutorConfig` takes to a command."""
    for option in reversed(_EXECUTOR):
        command = option(command)
    return command


_COMPLETERS = {
    "sampler": completion.values(lambda: SAMPLERS),
    "dataset": completion.data,
    "test": completion.data,
    "start": completion.studies,
}


def override_option(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that overrides one setting of a space file, as `hebbevo.spec.OPTIONS` defines it."""
    option = OPTIONS[name]
    if option.kind is bool:
        both = f"{option.flag}/--no-{option.flag.removeprefix('--')}"
        return click.option(both, name, default=None, help=option.help)
    return click.option(
        option.flag,
        name,
        type=option.kind,
        metavar=option.metavar,
        help=option.help,
        shell_complete=_COMPLETERS.get(name) or completion.values(option.values),
    )


def override_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that override the settings of a space file to a command."""
    for name in reversed(OPTIONS):
        command = override_option(name)(command)
    return command


_NOT_OF_A_DESIGN = ("sampler", "halving", "start")


def design_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add those options of a search to a command that a design over the whole space leaves open."""
    for name in reversed(OPTIONS):
        if name not in _NOT_OF_A_DESIGN:
            command = override_option(name)(command)
    return command
