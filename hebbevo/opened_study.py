"""A study as users have it: what `hebbevo.study.view` reads, with what the packages above can do with it.

`hebbevo.study` lies below those that draw, report and train again, and imports none of them. So the methods
for these are here, above all of them. They import what they need when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from hebbevo.display.progress_bar import ProgressBar
from hebbevo.execution.config import ExecutorConfig, ExecutorOptions
from hebbevo.signatures import argument_meanings, names_options
from hebbevo.study import view
from hebbevo.study.champion import champion

if TYPE_CHECKING:
    from hebbevo.deploy.confirming import ConfirmationProgress
    from hebbevo.deploy.trained_network import TrainedNetwork
    from hebbevo.report.plots import Plots


class Study(view.Study):
    """A study with its figures, its report, and its table for a notebook."""

    @property
    def plot(self) -> Plots:
        """Its figures: ``study.plot.front()``."""
        from hebbevo.report.plots import Plots

        return Plots(self)

    def champion(
        self,
        trial: int | None = None,
        max_survivors: float | None = None,
        min_accuracy: float | None = None,
        confirmed: bool = False,
        *,
        retrained: bool = False,
        allow_code: bool | Callable[[list[str]], bool] = False,
    ) -> TrainedNetwork:
        """Give the network of a member of its front; by default of the knee.

        On a front without a knee it is the smallest network within the noise of the best one, and in a study
        with one objective the best one. Of several replicates it is the one of median accuracy.

        Args:
            trial: take this trial, after the last of its epochs on the front.
            max_survivors: take the most accurate member with at most so many survivors.
            min_accuracy: take the smallest member with at least this accuracy, 0 to 1.
            confirmed: whether confirmed figures decide in place of those that the search has found.
            retrained: as for `hebbevo.network`.
            allow_code: as for `hebbevo.network`.

        Returns:
            The network; its ``figures`` are its trial and epoch, and what it reaches.

        Raises:
            UsageError: no member is as wanted, several of the choices are given, or the front is not
                confirmed.
            StudyError: as for `hebbevo.network`.

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="take.db", population=4, trials=4, epochs=1, workers=1)
        >>> net = study.champion(max_survivors=256)
        >>> net.figures.trial == study.front().trial.iloc[-1]
        True
        """
        from hebbevo.deploy.retraining import network

        chosen = champion(self, trial, max_survivors, min_accuracy, confirmed)
        return network(self, chosen.trial, chosen.epoch, retrained=retrained, allow_code=allow_code)

    @names_options(ExecutorOptions, argument_meanings(ExecutorConfig))
    def confirm(
        self,
        *,
        replicates: int = 5,
        trials: Sequence[int] = (),
        test: bool = True,
        watch: Callable[[ConfirmationProgress], None] | ProgressBar | None = ProgressBar(),  # noqa: B008
        allow_code: bool | Callable[[list[str]], bool] = False,
        **executor_options: Unpack[ExecutorOptions],
    ) -> Study:
        """Train its front again under fresh seeds, beside dense networks; see `hebbevo.confirm`.

        Args:
            replicates: trainings of each member, 2 or more.
            trials: numbers of the trials on the front to confirm; by default all.
            test: whether to measure accuracy on the test rows.
            watch: as for `hebbevo.search`.
            allow_code: whether to import the user's own code that the study names, or a function that decides
                it from the names.
            executor_options: how to train. Results do not depend on it. ``None`` means the default.

        Returns:
            This study, read anew: it has a ``confirmation`` now.

        Raises:
            UsageError: as for `hebbevo.confirm`.
            SearchInterrupted: Ctrl-C; everything finished is recorded.
        """
        from hebbevo.deploy.confirming import confirm

        confirmed = confirm(
            self,
            replicates=replicates,
            trials=trials,
            test=test,
            watch=watch,
            allow_code=allow_code,
            **executor_options,
        )
        vars(self).clear()  # with what was computed from the content before
        vars(self).update(vars(confirmed))
        return self

    def report(self, folder: str | Path | None = None) -> list[Path]:
        """Write its report: ``report.html``, which opens offline, two tables and a picture.

        Args:
            folder: is made if it is missing; by default ``<study>-report`` beside the study.

        Returns:
            The paths of the files, the page first.

        Raises:
            UsageError: the folder cannot be written or the disk is full.

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="page.db", population=4, trials=4, epochs=1, workers=1)
        >>> [path.name for path in study.report()]
        ['report.html', 'front.csv', 'trials.csv', 'front.png']
        """
        from hebbevo.report import write

        return write(self, self.store.report if folder is None else Path(folder))

    def _repr_html_(self) -> str:
        from hebbevo.report.overview import overview

        return overview(self)


Study.__doc__ = view.Study.__doc__  # for help() and the reference page: it describes the attributes


def opened(study: view.Study) -> Study:
    """Give a study that was read the methods of `Study`."""
    found = Study.__new__(Study)
    vars(found).update(vars(study))
    return found


def open_study(study: str | Path | view.Study, storage: str | None = None) -> Study:
    """Read a study. A search may be writing to it meanwhile.

    Args:
        study: the study file or, with ``storage``, the study's name in that database. A study that was read
            before is read anew.
        storage: URL of a database, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    Raises:
        StudyError: there is no such study, or it is not one of hebbevo.

    Examples:
        >>> import hebbevo
        >>> _ = hebbevo.search("stamina", study="digits.db", population=4, trials=4, epochs=1, workers=1)
        >>> hebbevo.open_study("digits.db").front().columns[:4].to_list()
        ['trial', 'epoch', 'accuracy', 'accuracy_sd']
    """
    return opened(view.open_study(study, storage))
