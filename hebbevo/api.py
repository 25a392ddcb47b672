"""The functions that start a search and continue a study."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack, cast

from hebbevo import data, native, user_code
from hebbevo.display.progress_bar import ProgressBar, watched
from hebbevo.errors import SearchInterrupted, SpaceError, StudyError, UsageError
from hebbevo.execution import prestart
from hebbevo.execution.config import ExecutorConfig, ExecutorOptions
from hebbevo.opened_study import Study, opened
from hebbevo.outer import preflight
from hebbevo.outer.driver import continue_study
from hebbevo.outer.native_studies import may_be_native
from hebbevo.outer.progress import Watcher
from hebbevo.outer.starting_points import front_of
from hebbevo.outer.training_inputs import split_of
from hebbevo.paths import expanded
from hebbevo.signatures import argument_meanings, names_options
from hebbevo.spec import OPTIONS, Overrides, Spec, difference, override, read, read_mapping
from hebbevo.spec.schema import AUTO
from hebbevo.spec.starting_points import completed
from hebbevo.study import view
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import find_place, find_study
from hebbevo.study.storage.database import is_path
from hebbevo.study.study_names import STUDIES
from hebbevo.study.view import store_of


class SearchOptions(Overrides, ExecutorOptions, total=False):
    """What `search` takes beside the space and the study."""


_EXECUTOR_MEANINGS = argument_meanings(ExecutorConfig)
_MEANINGS = {name: option.help for name, option in OPTIONS.items()} | _EXECUTOR_MEANINGS


@names_options(SearchOptions, _MEANINGS)
@user_code.interruptible()
@prestart.discard_unused()
def search(
    space: str | Path | Mapping[str, Any] | Spec,
    *,
    study: str | Path | None = None,
    storage: str | None = None,
    watch: Watcher | ProgressBar | None = ProgressBar(),  # noqa: B008 - it has no state
    **options: Unpack[SearchOptions],
) -> Study:
    """Search a space until its study holds ``trials`` trials. A study that exists is continued.

    When the time is over, trainings under way are finished, and the study is returned as far as it got.

    Args:
        space: path of a space file, bare name of a shipped one, or what a space file says as a mapping. A
            mapping may leave out ``version``, and ``name``, which is then that of the study or of the data.
        study: the study file, by default ``studies/<name>.db``; with ``storage`` the study's name there, by
            default the space's.
        storage: URL of a database for the study, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.
        watch: by default a progress bar in notebooks and on terminals. A function is called with the
            `Progress` after every cohort instead; ``None`` shows nothing.
        options: settings that replace those of the space, and how to train, from ``executor`` on. Results do
            not depend on the latter; they only decide on which device, CPU or GPU, a new study trains for
            good. The study does not keep ``timeout``, which counts in this call alone. ``None`` keeps what
            the space says, or the default.

    Raises:
        UsageError: the space, the data or the study cannot be used.
        ReplayMismatch: the study cannot be continued by this installation.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.

    Examples:
        A search that is far too short:

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="short.db", population=4, trials=4, epochs=1, workers=1)
        >>> list(study.trials().state)
        ['complete', 'complete', 'complete', 'complete']

        A space as a mapping; the search is short, too:

        >>> study = hebbevo.search(
        ...     {
        ...         "name": "rates",
        ...         "task": {"dataset": "digits", "epochs": 1},
        ...         "genome": {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
        ...     },
        ...     population=4, trials=4, workers=1,
        ... )
        >>> study
        Study('studies/rates.db', trials=4, front=...)
    """
    overrides = cast(Overrides, {name: value for name, value in options.items() if name in OPTIONS})
    config = ExecutorConfig(
        **cast(ExecutorOptions, {name: value for name, value in options.items() if name not in OPTIONS})
    )
    timeout, start = overrides.pop("timeout", None), overrides.pop("start", None)
    spec = override(_read(space, study), **overrides)
    config.prestart_worker(trains_in_threads=native.is_built() and may_be_native(spec))
    user_code.refresh(spec.code)
    budget = override(spec, timeout=timeout).search  # the study does not keep the timeout of one call
    spec = _with_whole_paths(spec)
    if study is None:
        study = spec.name if storage is not None else STUDIES / f"{spec.name}.db"
    store = find_place(study, storage)
    split = None
    lines: list[str] = []
    ignored = ["search.trials", "search.timeout"]
    if isinstance(space, Mapping) and "name" not in space:
        ignored.append("name")  # the file of its study may have another name now
    if spec.search.engine == AUTO:
        ignored.append("search.engine")  # the study keeps the one that has begun it
    if isinstance(start, str | Path):
        ignored.append("search.start")  # the study keeps the front that it began with
        if not store.exists():
            in_database = storage is not None and not is_path(str(start))
            genomes, lines = front_of(find_study(start, storage if in_database else None), spec)
            spec = override(spec, start=genomes)
    else:
        given = spec.search.start if start is None else start
        spec = override(spec, start=given)  # checks them first
        spec = override(spec, start=[completed(spec, genome) for genome in given])
    with watched(watch) as show:
        if not store.exists():
            device = config.device
            split, facts = preflight.prepare(
                spec, device, config.workers_at_hand(device, spec.search.threads)
            )
            store.create(spec, facts)
        moved = None
        with Ledger.open(store) as ledger:
            if split is None and _is_elsewhere(ledger.spec, spec):
                with contextlib.suppress(UsageError):  # then the place counts as a changed setting
                    split, moved = split_of(ledger, spec.task), spec.task
                    ignored += ["task.dataset", "task.test"]
            if changes := difference(ledger.spec, spec, ignored):
                raise StudyError(
                    f"{store}: was made with other settings ({'; '.join(changes)}); "
                    "change them back, or write another --study"
                )
        with _opened_if_interrupted():
            found = continue_study(
                store,
                split,
                trials=budget.trials,
                timeout=budget.timeout,
                config=config,
                watch=show,
                moved=moved,
                lines=lines,
            )
    return opened(found)


@names_options(ExecutorOptions, _EXECUTOR_MEANINGS)
@user_code.interruptible()
def resume(
    study: str | Path | view.Study,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: float | str | None = None,
    dataset: str | None = None,
    test: str | None = None,
    watch: Watcher | ProgressBar | None = ProgressBar(),  # noqa: B008 - it has no state
    allow_code: bool | Callable[[list[str]], bool] = False,
    **executor_options: Unpack[ExecutorOptions],
) -> Study:
    """Continue a study with the settings that it holds. Only the study and its data are needed.

    Args:
        study: the study file or, with ``storage``, the study's name there; or a study that was read.
        storage: URL of a database, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.
        trials: total number of trials to reach; ``None`` keeps that of the study.
        timeout: longest time to search in this call, in seconds or as ``1h30m``.
        dataset: where the data are now, if their file has moved. They must be the same; the study then
            remembers the place.
        test: likewise, of a file with the test rows.
        watch: as for `search`.
        allow_code: whether to import the user's own code (network, data, functions) that the study names, or
            a function that decides it from the names.
        executor_options: how to train. Results do not depend on it. ``None`` means the default.

    Raises:
        UsageError: the study or its data cannot be used, or its code is not allowed.
        ReplayMismatch: the study cannot be continued by this installation.
        SearchInterrupted: Ctrl-C; everything finished is recorded.
        WorkerError: no worker can be started.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="longer.db", population=4, trials=4, epochs=1, workers=1)
        >>> len(hebbevo.resume("longer.db", trials=8, workers=1).trials())
        8
    """
    config = ExecutorConfig(**executor_options)
    store = store_of(study, storage)
    with Ledger.open(store) as ledger:
        spec = ledger.spec
        code = spec.code
        if dataset is not None and user_code.is_reference(dataset):
            code = [*code, dataset]
        if not user_code.is_allowed(code, allow_code):
            what = f"runs your own code ({', '.join(code)})"
            advice = "if you trust the study, add --allow-code, or in Python allow_code=True"
            raise StudyError(f"{store}: {what}; {advice}")
        user_code.refresh(code)
        budget = override(spec, trials=trials, timeout=timeout).search  # checks the values
        moved, split = None, None
        if dataset is not None or test is not None:
            moved = _with_whole_paths(override(spec, dataset=dataset, test=test)).task
            split = split_of(ledger, moved)
    with watched(watch) as show, _opened_if_interrupted():
        found = continue_study(
            store, split, trials=trials, timeout=budget.timeout, config=config, watch=show, moved=moved
        )
    return opened(found)


@contextlib.contextmanager
def _opened_if_interrupted() -> Iterator[None]:
    """Give the study of an interrupted search the methods of `Study`."""
    try:
        yield
    except SearchInterrupted as interrupted:
        interrupted.study = opened(interrupted.study)
        raise


def _read(space: str | Path | Mapping[str, Any] | Spec, study: str | Path | None) -> Spec:
    """Read a space in any of its forms. The study names a mapping that has no name."""
    if isinstance(space, Spec):
        return space
    if isinstance(space, Mapping):
        return read_mapping(space, None if study is None else str(study))
    if isinstance(space, str | os.PathLike):
        return read(space)
    known = "the path of a space file, the name of a shipped one, a mapping or a Spec"
    raise SpaceError(f"space: {space!r} is of type {type(space).__name__}; write {known}")


def _with_whole_paths(spec: Spec) -> Spec:
    """The spec with the paths of its data from the root, so that they hold in every folder."""
    task = spec.task
    is_file = task.dataset not in (*data.BUILT_IN, *spec.code)
    return override(
        spec,
        dataset=_whole(task.dataset) if is_file else None,
        test=None if task.test is None else _whole(task.test),
    )


def _whole(path: str) -> str:
    return str(expanded(path).resolve())


def _is_elsewhere(recorded: Spec, now: Spec) -> bool:
    """Whether files of the data are at other places than the study says."""
    places = [(spec.task.dataset, spec.task.test) for spec in (recorded, now)]
    files = not {*data.BUILT_IN, *recorded.code, *now.code} & {recorded.task.dataset, now.task.dataset}
    return files and places[0] != places[1]
