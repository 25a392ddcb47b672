"""The command line: parse, call, print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hebbevo.errors import HebbevoError, SearchInterrupted, UsageError

if TYPE_CHECKING:
    from hebbevo.loop import Watcher
    from hebbevo.study import Study

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130

STUDY = click.argument("study", type=click.Path(path_type=Path))
TRIALS = click.option("--trials", type=int, metavar="N", help="Total number of trials to reach.")
TIMEOUT = click.option(
    "--timeout", metavar="TIME", help="Longest time to search in this run, as in 90s, 10m, 1h30m."
)
WORKERS = click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Processes to train in; the study does not depend on it.  [default: a core each]",
)
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
@click.option("--study", type=click.Path(path_type=Path), help="Study file.  [default: studies/<name>.db]")
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
@WORKERS
@QUIET
def search(space: str, quiet: bool, **overrides: Any) -> None:
    """Search a space; the same command again continues the study."""
    from hebbevo.loop import search as search_space

    _watched(quiet, lambda watch: search_space(space, watch=watch, **overrides))


@cli.command()
@STUDY
@TRIALS
@TIMEOUT
@WORKERS
@click.option("--allow-code", is_flag=True, help="Import the code of yours that the study names.")
@QUIET
def resume(study: Path, quiet: bool, allow_code: bool, **budget: Any) -> None:
    """Continue a study, which knows its own settings."""
    from hebbevo.loop import resume as resume_study

    def allowed(code: list[str]) -> bool:
        question = f"{study} runs code of yours: {', '.join(code)}. Import it?"
        return allow_code or (sys.stdin.isatty() and click.confirm(question, err=True))

    _watched(quiet, lambda watch: resume_study(study, watch=watch, allow_code=allowed, **budget))


@cli.command()
@STUDY
@click.option("--format", "form", default="table", show_default=True, metavar="table|csv|json", help="Form.")
def front(study: Path, form: str) -> None:
    """Print the Pareto front of accuracy against surviving neurons."""
    from hebbevo.knobs import listed
    from hebbevo.study import open_study
    from hebbevo.terminal import FORMATS, nearest_line, output

    if form not in FORMATS:
        raise UsageError(f"--format: {form!r} is not a form; write one of {listed(list(FORMATS))}")
    opened = open_study(study)
    FORMATS[form](opened, output())
    if line := nearest_line(opened):
        click.echo(line, err=True)


@cli.command()
@STUDY
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder.  [default: <study>-report]")
def report(study: Path, output: Path | None) -> None:
    """Write report.html, front.png, front.csv and trials.csv."""
    from hebbevo.report import write
    from hebbevo.study import open_study

    for path in write(open_study(study), output or _report_folder(study)):
        click.echo(path)


@cli.command()
@click.argument("space")
def check(space: str) -> None:
    """Check a space file without running anything."""
    from hebbevo.spacefile import read

    spec = read(space)
    click.echo(
        f"{space}: good; {spec.space.dimension} genes, {spec.search.trials} trials of {spec.search.sampler}"
    )


@cli.command()
def spaces() -> None:
    """List the space files that ship with hebbevo."""
    from hebbevo.spacefile import shipped

    for name, path in shipped().items():
        click.echo(f"{name}  {path}")


@cli.command()
@click.argument("rule")
def knobs(rule: str) -> None:
    """List the knobs of a rule, and those of any training and network: default, range and meaning."""
    from hebbevo.knobs import listed
    from hebbevo.networks import FAMILIES, RULES
    from hebbevo.terminal import knob_list, output
    from hebbevo.training import knobs as known_knobs

    if rule not in RULES:
        raise UsageError(f"{rule}: there is no such rule; write one of {listed(list(RULES))}")
    of_networks = {name: knob for family in FAMILIES.values() for name, knob in family.knobs.items()}
    knob_list(known_knobs(rule) | of_networks, output())


def _watched(quiet: bool, run: Callable[[Watcher], Study]) -> None:
    """Run a search with its progress on stderr, then show what it found on stdout."""
    from rich.console import Console

    from hebbevo.report import write
    from hebbevo.terminal import failure_line, front_table, nearest_line, output, watching

    with watching(Console(stderr=True, quiet=quiet)) as watch:
        study = run(watch)
    folder = _report_folder(study.path)
    write(study, folder)
    if not quiet:
        front_table(study, output())
        if line := nearest_line(study) or failure_line(study):
            click.echo(line, err=True)
        click.echo(f"study   {study.path}")
        click.echo(f"report  {folder / 'report.html'}")
        click.echo(f"more    hebbevo resume {shlex.quote(str(study.path))}{_further(study)}")


def _further(study: Study) -> str:
    """The option that makes a study longer; one that was stopped goes on without."""
    done = (study.trials().state != "running").sum()
    return f" --trials {2 * study.total}" if done >= study.total else ""


def _report_folder(study: Path) -> Path:
    return study.with_name(f"{study.stem}-report")


def main() -> None:
    """Run the command line; every error on purpose is one line on stderr."""
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
