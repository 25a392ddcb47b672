"""The command line: parse, call, print."""

from __future__ import annotations

import atexit
import gc
import io
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hebbevo import user_code
from hebbevo.cli import completion
from hebbevo.cli.database import database_of
from hebbevo.cli.echo import echo
from hebbevo.cli.examples import examples
from hebbevo.cli.export import export
from hebbevo.cli.new import new
from hebbevo.cli.options import (
    ALLOW_CODE,
    CONFIRM,
    FORMAT,
    QUIET,
    STORAGE,
    STUDY,
    design_options,
    executor_options,
    override_option,
    override_options,
)
from hebbevo.cli.permission import asking
from hebbevo.cli.predict import predict
from hebbevo.cli.schema import schema
from hebbevo.cli.space_argument import SPACE_OPTION, one_of, space_argument
from hebbevo.errors import HebbevoError, SearchInterrupted, UsageError
from hebbevo.messages import listed
from hebbevo.rules import AXES, Rule

if TYPE_CHECKING:
    from hebbevo.outer.progress import Progress, Watcher
    from hebbevo.study.view import Study

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog=examples(
        "hebbevo search --space stamina --trials 500",
        "hebbevo front stamina",
        "hebbevo report stamina",
        "hebbevo COMMAND --help",
    ),
)
@click.version_option(package_name="hebbevo", prog_name="hebbevo")
@click.pass_context
def cli(context: click.Context) -> None:
    """Search the constants of networks whose unused neurons are pruned.

    STUDY is a study file; its folder, studies, and its suffix may be left out. SPACE is a space file, or the
    bare name of a shipped one.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE_ERROR)


@cli.command(
    epilog=examples(
        "hebbevo search stamina",
        "hebbevo search --space stamina --trials 500 --study first",
        "hebbevo search mine.yaml --data mine.csv --target label --confirm",
        "hebbevo search mine.yaml --timeout 1h30m --workers 4",
    )
)
@space_argument
@click.option(
    "--study",
    metavar="STUDY",
    help="Study file, or name in the database.  [default: studies/<name>.db, <name>]",
    shell_complete=completion.studies,
)
@STORAGE
@override_options
@executor_options
@CONFIRM
@QUIET
def search(
    space: str, study: str | None, storage: str | None, confirm: bool, quiet: bool, **options: Any
) -> None:
    """Search a space; the same command again continues the study.

    SPACE is a space file, or the bare name of a shipped one. Options replace what it says.
    """
    from hebbevo.api import search as search_space

    def is_allowed(code: list[str]) -> bool:
        return True  # the space file that was given names it

    database = database_of(study, storage)
    found = _searched(
        quiet, lambda watch: search_space(space, study=study, storage=database, watch=watch, **options)
    )
    _finish(found, quiet, is_allowed if confirm else None, options)


@cli.command(
    epilog=examples(
        "hebbevo resume stamina",
        "hebbevo resume stamina --trials 1000",
        "hebbevo resume studies/mine.db --data moved/mine.csv",
    )
)
@STUDY
@STORAGE
@override_option("trials")
@override_option("timeout")
@override_option("dataset")
@override_option("test")
@executor_options
@ALLOW_CODE
@CONFIRM
@QUIET
def resume(
    study: str, storage: str | None, confirm: bool, quiet: bool, allow_code: bool, **options: Any
) -> None:
    """Continue a study with the settings that it holds."""
    from hebbevo.api import resume as resume_study

    database, is_allowed = database_of(study, storage), asking(study, allow_code)
    found = _searched(
        quiet,
        lambda watch: resume_study(study, storage=database, watch=watch, allow_code=is_allowed, **options),
    )
    _finish(found, quiet, is_allowed if confirm else None, options)


@cli.command(
    short_help="Train the front again, beside dense networks.",
    epilog=examples(
        "hebbevo confirm stamina",
        "hebbevo confirm stamina --replicates 10",
        "hebbevo confirm stamina --trial 17 --trial 42 --no-test",
    ),
)
@STUDY
@STORAGE
@click.option(
    "--replicates", type=int, default=5, show_default=True, metavar="N", help="Trainings of each network."
)
@click.option(
    "--trial",
    "trials",
    type=int,
    multiple=True,
    metavar="N",
    help="Only this one; may be repeated.",
    shell_complete=completion.trials,
)
@click.option("--no-test", is_flag=True, help="Do not look at the test rows.")
@executor_options
@ALLOW_CODE
@QUIET
def confirm(
    study: str,
    storage: str | None,
    replicates: int,
    trials: tuple[int, ...],
    no_test: bool,
    allow_code: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train the front again under fresh seeds, beside dense networks; the same command continues it."""
    from hebbevo.cli.confirmation import confirmed, print_confirmation, require_trained
    from hebbevo.cli.console import output
    from hebbevo.report import write
    from hebbevo.study.view import open_study

    opened = confirmed(
        open_study(study, database_of(study, storage)),
        quiet,
        replicates=replicates,
        trials=trials,
        test=not no_test,
        allow_code=asking(study, allow_code),
        **options,
    )
    write(opened, opened.store.report)
    if not quiet:
        print_confirmation(opened, output())
        echo(f"report  {opened.store.report / 'report.html'}")
    require_trained(opened)


@cli.command(
    epilog=examples(
        "hebbevo front stamina",
        "hebbevo front stamina --confirmed",
        "hebbevo front stamina --format csv > front.csv",
    )
)
@STUDY
@STORAGE
@FORMAT
@click.option("--confirmed", is_flag=True, help="What its networks reach when they are trained again.")
def front(study: str, storage: str | None, form: str, confirmed: bool) -> None:
    """Print the Pareto front of accuracy against surviving neurons."""
    from hebbevo.cli.confirmation import CONFIRMED_FORMATS, require_confirmation
    from hebbevo.cli.console import output
    from hebbevo.cli.results import FORMATS, decoding_line, empty_line, nearest_line
    from hebbevo.study.view import open_study

    opened = open_study(study, database_of(study, storage))
    if confirmed:
        require_confirmation(opened)
        CONFIRMED_FORMATS[form](opened, output())
        return
    line = nearest_line(opened) or empty_line(opened)
    if form != "table" or not opened.points().empty:
        FORMATS[form](opened, output())
    if form == "table" and (layers := decoding_line(opened)):
        echo(layers)
    if line:
        echo(line, err=True)


@cli.command(
    epilog=examples(
        "hebbevo window stamina",
        "hebbevo window mine.yaml --trials 1600",
        "hebbevo window studies/stamina-window.db --knob learning_rate --by penalty_form",
        "hebbevo window studies/stamina-window.db --format json",
    )
)
@click.argument("where", required=False, metavar="SPACE|STUDY", shell_complete=completion.spaces_and_studies)
@SPACE_OPTION
@click.option("--knob", metavar="GENE", help="Numeric gene.  [default: unactivation_penalty]")
@click.option("--by", metavar="GENE", help="Gene whose values are compared.  [default: penalty_form]")
@click.option(
    "--min-lost",
    type=float,
    metavar="SHARE",
    help="Least share of the neurons that a usable network has lost.  [default: 0.5; 0 if nothing is pruned]",
)
@click.option(
    "--within",
    type=float,
    default=0.05,
    show_default=True,
    metavar="X",
    help="Most that its accuracy, 0 to 1, is below the best one.",
)
@click.option(
    "--study",
    metavar="STUDY",
    help="Study of a SPACE.  [default: studies/<name>-window.db, <name>-window]",
    shell_complete=completion.studies,
)
@STORAGE
@FORMAT
@design_options
@executor_options
@QUIET
def window(
    where: str | None,
    named: str | None,
    study: str | None,
    storage: str | None,
    form: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Say between which values of a knob networks are usable.

    A SPACE ends in .yaml or .yml, or is the bare name of a shipped one. It is searched with a Latin
    hypercube, by default with 800 trials; the same command again continues that study. Anything else is a
    STUDY, a file or with --storage a name, which is only read. Of a STUDY only the trials count that its
    sampler did not choose by results.
    """
    from hebbevo.spec import read, shipped
    from hebbevo.study.study_names import STUDIES
    from hebbevo.study.view import open_study
    from hebbevo.study.window import TRIALS, UsableTrial, find_by, find_knob

    asked = {name: options.pop(name) for name in ("knob", "by", "min_lost", "within")}
    UsableTrial(asked["min_lost"] or 0.0, asked["within"])  # checks them before a search
    missing = "SPACE|STUDY: missing; write a space file, the bare name of a shipped one, or a study"
    where = one_of(where, named, missing)
    if named is None and not where.endswith((".yaml", ".yml")) and where not in shipped():
        given = {"study": study} | options
        if unused := [name for name, value in given.items() if value is not None]:
            flag = f"--{unused[0].replace('_', '-')}"
            raise UsageError(f"{flag}: the study {where} is only read; leave it out, or write a space file")
        if not quiet:
            _print_window(open_study(where, database_of(where, storage)), asked, form)
        return
    from hebbevo.api import search as search_space

    spec = read(where)
    database = database_of(study, storage)
    if study is None:
        name = f"{spec.name}-window"
        study = name if database is not None else str(STUDIES / f"{name}.db")
    if asked["knob"] is not None:
        find_knob(spec.space, asked["knob"])  # before the search, as the other one
    if asked["by"] is not None:
        find_by(spec.space, asked["by"], asked["knob"])
    design = options | {"sampler": "latin_hypercube", "halving": False, "start": ()}
    design["trials"] = options["trials"] or TRIALS
    found = _searched(
        quiet, lambda watch: search_space(spec, study=study, storage=database, watch=watch, **design)
    )
    _report(found, quiet or form != "table")  # else the summary would be in the middle of the data
    if not quiet:
        _print_window(found, asked, form)


@cli.command(epilog=examples("hebbevo report stamina", "hebbevo report studies/stamina.db -o public"))
@STUDY
@STORAGE
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder.  [default: <study>-report]",
)
def report(study: str, storage: str | None, output: Path | None) -> None:
    """Write report.html, front.png, front.csv and trials.csv."""
    from hebbevo.cli.results import empty_line
    from hebbevo.report import write
    from hebbevo.study.view import open_study

    opened = open_study(study, database_of(study, storage))
    for path in write(opened, output or opened.store.report):
        echo(path)
    if line := empty_line(opened):
        echo(line, err=True)


@cli.command(
    epilog=examples(
        "hebbevo compare first second",
        "hebbevo compare studies -o comparison",
        "hebbevo compare --group 'ga=studies/ga-*.db' --group 'tpe=studies/tpe-*.db'",
    )
)
@click.argument("studies", nargs=-1, metavar="STUDY...", shell_complete=completion.studies)
@click.option(
    "--group",
    "named",
    multiple=True,
    metavar="NAME=STUDIES",
    help="A group of this name: a folder, or a pattern in quotes, as 'ga=studies/ga-?.db'. Several times.",
)
@STORAGE
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for compare.csv, pairs.csv, attainment.csv, attainment.png and attainment.html.",
)
@FORMAT
def compare(
    studies: tuple[str, ...], named: tuple[str, ...], storage: str | None, output: Path | None, form: str
) -> None:
    """Compare studies that differ in a setting, over their seeds.

    STUDY is a study file, or a folder for all studies in it. Studies whose settings differ in the seed alone
    form a group.
    """
    from hebbevo.cli import console
    from hebbevo.cli.comparison import PRINT
    from hebbevo.study.comparison.selection import selected

    comparison = selected(studies, named, database_of(next(iter(studies), None), storage))
    if output is not None:
        from hebbevo.report.comparison_files import write

        paths = write(comparison, output)
    PRINT[form](comparison, console.output())
    for remark in comparison.remarks:
        echo(remark, err=True)
    if output is not None:
        for path in paths:
            echo(path, err=form != "table")


@cli.command(
    short_help="List the studies in a folder or a database.",
    epilog=examples("hebbevo studies", "hebbevo studies runs --format csv"),
)
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--storage", metavar="URL", envvar="HEBBEVO_STORAGE", show_envvar=True, help="Database to list instead."
)
@FORMAT
def studies(folder: Path | None, storage: str | None, form: str) -> None:
    """List the studies in a folder, by default studies/, or in a database."""
    from hebbevo.cli.console import output
    from hebbevo.cli.listing import PRINT
    from hebbevo.study.study_names import STUDIES
    from hebbevo.study.summary import studies as list_studies

    if folder is not None and storage is not None:
        if click.get_current_context().get_parameter_source("storage") is not ParameterSource.ENVIRONMENT:
            raise UsageError("DIR and --storage: give one of the two")
        storage = None
    found = list_studies(STUDIES if folder is None else folder, storage)
    PRINT[form](found, output())
    if found.empty:
        echo(f"{folder or STUDIES if storage is None else 'the database'}: there are no studies", err=True)


@cli.command(
    short_help="Show a study in optuna-dashboard.",
    epilog=examples("hebbevo dashboard stamina", "hebbevo dashboard stamina --port 0"),
)
@STUDY
@STORAGE
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    metavar="PORT",
    help="0 to 65535; 0: any free.",
)
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="Address of the server.")
def dashboard(study: str, storage: str | None, port: int, host: str) -> None:
    """Show a study, which a search may be writing to, in optuna-dashboard. Nothing can be changed there."""
    from hebbevo.study.dashboard import serving

    with serving(study, database_of(study, storage), host=host, port=port) as server:
        echo(f"dashboard  {server.url}  (Ctrl-C ends it)")
        server.serve_forever()


@cli.command(
    short_help="Copy a study to a new file.",
    epilog=examples("hebbevo copy stamina backup/stamina.db"),
)
@STUDY
@click.argument("file", type=click.Path())
@STORAGE
def copy(study: str, file: str, storage: str | None) -> None:
    """Copy a study, which a search may be writing to, to a new file."""
    from hebbevo.study.copying import copy as copy_study

    path = copy_study(study, file, database_of(study, storage))
    echo(f"study   {path}")


@cli.command(epilog=examples("hebbevo check stamina", "hebbevo check mine.yaml"))
@space_argument
def check(space: str) -> None:
    """Check a space file without a search, and say everything that is wrong with it.

    Data are read and networks built, as at the start of a search. Code of your own does not run.
    """
    from hebbevo.spec import read

    spec = read(space)
    if not spec.code:
        from hebbevo.outer import preflight

        preflight.prepare(spec, "cpu", workers=1)
    echo(f"{space}: good; {spec.space.dimension} genes, {spec.search.trials} trials of {spec.search.sampler}")


for command in (export, new, predict, schema):
    cli.add_command(command)


@cli.command(epilog=examples("hebbevo spaces"))
def spaces() -> None:
    """List the space files that ship with hebbevo."""
    from hebbevo.spec import shipped

    for name, path in shipped().items():
        echo(f"{name}  {path}")


_RULES = "\n".join(f"{axis}: {listed(list(rules))}" for axis, rules in AXES.items())


def _rule_names() -> list[str]:
    """All rules; one whose name two axes have in common has the axis in front."""
    times = Counter(name for rules in AXES.values() for name in rules)
    return [name if times[name] == 1 else f"{axis}/{name}" for axis, rules in AXES.items() for name in rules]


@cli.command(
    short_help="List the knobs of a rule.",
    epilog=examples("hebbevo knobs stamina", "hebbevo knobs connections/magnitude"),
    help="List the knobs of a rule, and those of any training and network: default, range and meaning.\n\n"
    "Rules are for units, connections or credit. If two have the same name, write connections/NAME.\n\n"
    f"\b\n{_RULES}",
)
@click.argument("rule", shell_complete=completion.values(_rule_names))
def knobs(rule: str) -> None:
    """List the knobs of a rule."""
    from hebbevo.cli.console import output, print_knobs
    from hebbevo.networks import FAMILIES
    from hebbevo.training import KNOBS

    of_networks = {name: knob for family in FAMILIES.values() for name, knob in family.knobs.items()}
    print_knobs({**_rule(rule).knobs, **KNOBS, **of_networks}, output())


def _rule(name: str) -> Rule:
    """Find a rule by name; one that two axes have in common needs its axis in front, as ``units/random``."""
    axes = {bare: [axis for axis in AXES if bare in AXES[axis]] for rules in AXES.values() for bare in rules}
    axis, _, bare = name.rpartition("/")
    found = [each for each in axes.get(bare, []) if axis in ("", each)]
    if not found:
        raise UsageError(f"{name}: there is no such rule; write one of {listed(_rule_names())}")
    if len(found) > 1:
        both = " or ".join(f"{each}/{bare}" for each in found)
        raise UsageError(f"{name}: there is such a rule for {' and for '.join(found)}; write {both}")
    return AXES[found[0]][bare]


def _searched(quiet: bool, search: Callable[[Watcher], Study]) -> Study:
    """Run a search with its progress on standard error.

    Args:
        quiet: whether to show errors only.
        search: runs it.
    """
    from rich.console import Console

    from hebbevo.display.terminal import shown_on

    is_trained = False
    try:
        with shown_on(Console(stderr=True, quiet=quiet, markup=False, emoji=False)) as show:

            def watch(stage: Progress) -> None:
                nonlocal is_trained
                is_trained = True
                show(stage)

            found = search(watch)
    except SearchInterrupted as interrupted:
        if not quiet and interrupted.study is not None:
            _print_so_far(interrupted.study)
        raise
    except KeyboardInterrupt:
        if not is_trained:
            raise
        again = "what is finished is recorded; the same command again continues"
        raise SearchInterrupted(f"stopped at once: {again}") from None
    if not quiet and not is_trained:
        done = f"{found.store}: has all its {len(found.trials())} trials, and nothing was trained"
        echo(f"{done}; --trials N asks for more", err=True)
    return found


def _print_so_far(study: Study) -> None:
    """Print the front of a search that did not come to its end, and how to see more of it."""
    from hebbevo.cli.console import output
    from hebbevo.cli.results import print_table

    if not study.front().empty:
        print_table(study, output())
        echo(f"report  hebbevo report {study.store.command}")


def _finish(
    study: Study, quiet: bool, confirm: Callable[[list[str]], bool] | None, options: Mapping[str, Any]
) -> None:
    """Confirm the front after a search, if asked to, and report it.

    Args:
        study: what the search gave.
        quiet: whether to show errors only.
        confirm: whether the user's code may be imported to confirm the front; ``None`` confirms nothing.
        options: those of the executor, among others.
    """
    if confirm is not None:
        from hebbevo.cli.confirmation import confirmed_after_search

        try:
            study = confirmed_after_search(study, quiet, confirm, options)
        except SearchInterrupted:
            if not quiet:
                _print_so_far(study)
            raise
    _report(study, quiet)


def _report(study: Study, quiet: bool) -> None:
    """Write the report of a study after a search and, unless it is to be quiet, print what it has found.

    Raises:
        HebbevoError: every trial failed, or every training of its confirmation.
    """
    from hebbevo.cli.confirmation import require_trained
    from hebbevo.cli.console import output
    from hebbevo.cli.results import failure_line, print_summary
    from hebbevo.report import write

    folder = study.store.report
    write(study, folder)
    if not quiet:
        print_summary(study, folder, output())
    if line := failure_line(study):
        raise HebbevoError(f"{study.store}: {line}")
    if study.is_confirmed:
        require_trained(study)


def _print_window(study: Study, asked: dict[str, Any], form: str) -> None:
    """Print the window of a study."""
    from hebbevo.cli.console import output
    from hebbevo.cli.window import PRINT

    PRINT[form](study.window(**asked), output())


def main() -> None:
    """Run the command line. An error that hebbevo raises is one line on standard error.

    The exit code is 0, 1 (failure), 2 (usage error) or 130 (interrupted).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a character that the terminal lacks is written as an escape
            stream.reconfigure(errors="backslashreplace")
    atexit.register(gc.freeze)  # else Python searches all imported objects for garbage when it exits
    try:
        with user_code.interruptible():
            sys.exit(cli.main(prog_name="hebbevo", standalone_mode=False))
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hebbevo"
        _fail(f"{command}: {error.format_message()} Try '{command} --help'.", USAGE_ERROR)
    except UsageError as error:
        _fail(str(error), USAGE_ERROR, getattr(error, "__notes__", ()))
    except SearchInterrupted as error:
        _fail(str(error), INTERRUPTED)
    except HebbevoError as error:
        _fail(str(error), FAILURE)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped", INTERRUPTED)


def _fail(message: str, code: int, further: Sequence[str] = ()) -> None:
    for line in (message, *further):
        echo(" ".join(line.split("\n")), err=True)
    sys.exit(code)
