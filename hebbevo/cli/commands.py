"""The command line: parse, call, print."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hebbevo.errors import HebbevoError, SearchInterrupted, UsageError
from hebbevo.rules import AXES, Rule
from hebbevo.space.knobs import listed

if TYPE_CHECKING:
    from hebbevo.outer.driver import Watcher
    from hebbevo.study.view import Study

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130

STUDY = click.argument("study")
STORAGE = click.option(
    "--storage",
    metavar="URL",
    envvar="HEBBEVO_STORAGE",
    show_envvar=True,
    help="Database that holds the study, under its name, as postgresql://USER:PASSWORD@HOST/DATABASE.",
)
TRIALS = click.option("--trials", type=int, metavar="N", help="Total number of trials to reach.")
TIMEOUT = click.option(
    "--timeout", metavar="TIME", help="Longest time to search in this run, as in 90s, 10m, 1h30m."
)
_POOL = (
    click.option(
        "--executor",
        metavar="auto|local|ray",
        help="Who trains: processes of this machine, or Ray.  [default: auto]",
    ),
    click.option(
        "--workers",
        type=int,
        metavar="N",
        help="Cohorts to train at a time; the study does not depend on it.  [default: a core each]",
    ),
    click.option("--ray-address", metavar="auto|HOST:PORT", help="Ray cluster to train in."),
    click.option(
        "--gpus-per-worker", type=float, metavar="X", help="GPUs of a Ray worker; 0.5: two share one."
    ),
    click.option("--trial-timeout", metavar="TIME", help="Longest time that a trial may take."),
    click.option("--nice", type=int, metavar="N", help="How much workers give way, 0 (not) to 19."),
    click.option("--memory-per-worker", metavar="SIZE", help="Most memory a worker may hold, as in 4GB."),
)


def pool(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of who trains."""
    for option in reversed(_POOL):
        command = option(command)
    return command


QUIET = click.option("--quiet", is_flag=True, help="Show errors only.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hebbevo")
def cli() -> None:
    r"""Search the constants of networks whose unused neurons die.

    \b
    hebbevo search --space stamina.yaml --trials 500
    hebbevo front studies/stamina.db
    hebbevo report studies/stamina.db
    """


@cli.command()
@click.option(
    "--space", required=True, metavar="SPACE", help="Space file, or the bare name of a shipped one."
)
@click.option("--study", help="Study file, or name in the database.  [default: studies/<name>.db, <name>]")
@STORAGE
@TRIALS
@TIMEOUT
@click.option("--seed", type=int, help="Seed of the search and of everything in it.")
@click.option("--sampler", metavar="NAME", help="Searcher.")
@click.option("--population", type=int, metavar="N", help="Genomes in a generation.")
@click.option("--replicates", type=int, metavar="N", help="Trainings of a genome, each from its own seed.")
@click.option("--epochs", type=int, metavar="N", help="Length of a training.")
@click.option(
    "--data", "dataset", metavar="DATA", help="Built-in data set, or an .npz, .csv or .parquet file."
)
@click.option("--target", metavar="COLUMN", help="Label column of a .csv or .parquet file.")
@click.option(
    "--halving/--no-halving", default=None, help="Stop trainings early that promise little.  [default: no]"
)
@click.option("--precision", metavar="float32|bfloat16", help="Of matrix products.")
@pool
@QUIET
def search(space: str, study: str | None, storage: str | None, quiet: bool, **overrides: Any) -> None:
    """Search a space; the same command again continues the study."""
    from hebbevo.outer.driver import search as search_space

    database = _database(study, storage)
    _watched(
        quiet, lambda watch: search_space(space, study=study, storage=database, watch=watch, **overrides)
    )


@cli.command()
@STUDY
@STORAGE
@TRIALS
@TIMEOUT
@pool
@click.option("--allow-code", is_flag=True, help="Import the code of yours that the study names.")
@QUIET
def resume(study: str, storage: str | None, quiet: bool, allow_code: bool, **budget: Any) -> None:
    """Continue a study, which knows its own settings."""
    from hebbevo.outer.driver import resume as resume_study

    def allowed(code: list[str]) -> bool:
        question = f"{study} runs code of yours: {', '.join(code)}. Import it?"
        return allow_code or (sys.stdin.isatty() and click.confirm(question, err=True))

    database = _database(study, storage)
    _watched(
        quiet,
        lambda watch: resume_study(study, storage=database, watch=watch, allow_code=allowed, **budget),
    )


@cli.command()
@STUDY
@STORAGE
@click.option("--format", "form", default="table", show_default=True, metavar="table|csv|json", help="Form.")
def front(study: str, storage: str | None, form: str) -> None:
    """Print the Pareto front of accuracy against surviving neurons."""
    from hebbevo.cli.console import output
    from hebbevo.cli.results import FORMATS, nearest_line
    from hebbevo.study.view import open_study

    if form not in FORMATS:
        raise UsageError(f"--format: {form!r} is not a form; write one of {listed(list(FORMATS))}")
    opened = open_study(study, _database(study, storage))
    FORMATS[form](opened, output())
    if line := nearest_line(opened):
        click.echo(line, err=True)


@cli.command()
@STUDY
@STORAGE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder.  [default: <study>-report]")
def report(study: str, storage: str | None, output: Path | None) -> None:
    """Write report.html, front.png, front.csv and trials.csv."""
    from hebbevo.report import write
    from hebbevo.study.view import open_study

    opened = open_study(study, _database(study, storage))
    for path in write(opened, output or opened.store.report):
        click.echo(path)


@cli.command()
@click.argument("space")
def check(space: str) -> None:
    """Check a space file without running anything."""
    from hebbevo.spec.schema import read

    spec = read(space)
    click.echo(
        f"{space}: good; {spec.space.dimension} genes, {spec.search.trials} trials of {spec.search.sampler}"
    )


@cli.command()
def spaces() -> None:
    """List the space files that ship with hebbevo."""
    from hebbevo.spec.schema import shipped

    for name, path in shipped().items():
        click.echo(f"{name}  {path}")


_RULES = "\n".join(f"{axis}: {listed(list(rules))}" for axis, rules in AXES.items())


@cli.command(
    help="List the knobs of a rule, and those of any training and network: default, range and meaning.\n\n"
    "Rules are for units, connections or credit; where two have one name, write connections/NAME.\n\n"
    f"\b\n{_RULES}"
)
@click.argument("rule")
def knobs(rule: str) -> None:
    """List the knobs of a rule."""
    from hebbevo.cli.console import knob_list, output
    from hebbevo.networks import FAMILIES
    from hebbevo.training import KNOBS

    of_networks = {name: knob for family in FAMILIES.values() for name, knob in family.knobs.items()}
    knob_list({**_rule(rule).knobs, **KNOBS, **of_networks}, output())


def _rule(name: str) -> Rule:
    """The rule of this name; where it is on two axes, the axis stands before it: ``units/random``."""
    axes = {bare: [axis for axis in AXES if bare in AXES[axis]] for rules in AXES.values() for bare in rules}
    axis, _, bare = name.rpartition("/")
    found = [each for each in axes.get(bare, []) if axis in ("", each)]
    if not found:
        known = [each if len(on) == 1 else f"{axis}/{each}" for each, on in axes.items() for axis in on]
        raise UsageError(f"{name}: there is no such rule; write one of {listed(known)}")
    if len(found) > 1:
        both = " or ".join(f"{each}/{bare}" for each in found)
        raise UsageError(f"{name}: there is such a rule for {' and for '.join(found)}; write {both}")
    return AXES[found[0]][bare]


def _watched(quiet: bool, run: Callable[[Watcher], Study]) -> None:
    """Run a search with its progress on stderr, then show what it found on stdout."""
    from rich.console import Console

    from hebbevo.cli.console import output
    from hebbevo.cli.results import (
        failure_line,
        front_table,
        nearest_line,
        repeat_line,
        stopped_line,
        watching,
    )
    from hebbevo.report import write

    with watching(Console(stderr=True, quiet=quiet)) as watch:
        study = run(watch)
    folder = study.store.report
    write(study, folder)
    if not quiet:
        front_table(study, output())
        if line := nearest_line(study) or failure_line(study):
            click.echo(line, err=True)
        if line := repeat_line(study):
            click.echo(line, err=True)
        if line := stopped_line(study):
            click.echo(line)
        click.echo(f"study   {study.store}")
        click.echo(f"report  {folder / 'report.html'}")
        click.echo(f"more    hebbevo resume {study.store.command}{_further(study)}")


def _further(study: Study) -> str:
    """The option that makes a study longer; one that was stopped goes on without."""
    done = (study.trials().state != "running").sum()
    return f" --trials {2 * study.total}" if done >= study.total else ""


def _database(study: str | None, storage: str | None) -> str | None:
    """The database to look in; what is written as a path is in none that the environment alone names."""
    from hebbevo.study.storage.database import is_path

    source = click.get_current_context().get_parameter_source("storage")
    by_path = study is not None and is_path(study)
    return None if by_path and source is ParameterSource.ENVIRONMENT else storage


def main() -> None:
    """Run the command line; every error on purpose is one line on stderr."""
    atexit.register(gc.freeze)  # the end of a process looks for garbage among all that was imported
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hebbevo"
        _fail(f"{command}: {error.format_message()} Try '{command} --help'.", USAGE_ERROR)
    except UsageError as error:
        _fail(str(error), USAGE_ERROR)
    except SearchInterrupted as error:
        _fail(str(error), INTERRUPTED)
    except HebbevoError as error:
        _fail(str(error), FAILURE)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped", INTERRUPTED)


def _fail(message: str, code: int) -> None:
    click.echo(" ".join(message.split("\n")), err=True)
    sys.exit(code)
