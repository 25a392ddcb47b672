"""The member of a front to take: the knee, one within a limit, or the one that the user names.

Figures on test rows have no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hebbevo.errors import UsageError
from hebbevo.study.choices import Choices, confirmed_choices, confirmed_front, found_choices
from hebbevo.study.view import Study

_DIGITS = 9  # means over replicates that are equal can differ in their last digits


@dataclass(frozen=True)
class Champion:
    """A member of a front that was chosen.

    Attributes:
        trial: number of the trial.
        epoch: after how many epochs its network is taken.
        accuracy: the figure by which it was chosen, found or confirmed; a mean over replicates.
        survivors: likewise.
        neurons: number of neurons, or connections, before any was pruned.
        reason: why it was chosen, in words.
    """

    trial: int
    epoch: int
    accuracy: float
    survivors: float
    neurons: int
    reason: str


def champion(
    study: Study,
    trial: int | None = None,
    max_survivors: float | None = None,
    min_accuracy: float | None = None,
    confirmed: bool = False,
) -> Champion:
    """Choose a member of the front; by default the knee, where fewer survivors begin to cost much.

    A front of fewer than three networks has no knee: there it is the smallest one within the noise of the
    best. In a study with one objective it is the best trial. The front of a study with constraints meets
    them.

    Args:
        study: the study.
        trial: number of the trial to take: after the last of its epochs that are on the front or, if none
            is, after its last epoch.
        max_survivors: take the most accurate member with at most so many survivors.
        min_accuracy: take the smallest member with at least this accuracy, 0 to 1.
        confirmed: whether confirmed figures decide, among the members that were confirmed.

    Raises:
        UsageError: more than one of the three is given, a value is not possible, no member is as wanted, or
            the front is not confirmed.

    Examples:
        >>> import hebbevo
        >>> from hebbevo.study.champion import champion
        >>> study = hebbevo.search("stamina", study="few.db", population=4, trials=4, epochs=1, workers=1)
        >>> champion(study, max_survivors=256).trial == int(study.front().trial.iloc[-1])
        True
    """
    _check(study, trial, max_survivors, min_accuracy)
    if confirmed:
        members = study.front(confirmed=True)
        front = confirmed_front(members)
        figures = _Figures(study, front, "confirmed_", "confirmed ")
    else:
        front = study.front()
        figures = _Figures(study, front, "", "")
    if trial is not None:
        return _of_trial(figures, trial, members) if confirmed else _found_trial(figures, trial)
    if front.empty:
        raise UsageError(f"{study.store}: {_why_empty(study, confirmed)}")
    if max_survivors is not None:
        return figures.largest_within(float(max_survivors))
    if min_accuracy is not None:
        return figures.smallest_from(float(min_accuracy))
    if study.goal.dimension == 1:
        return _best(figures, confirmed)
    choices = confirmed_choices(study, front) if confirmed else found_choices(study, front)
    return figures.knee(choices)


@dataclass(frozen=True)
class _Figures:
    """The figures by which members of a front are compared.

    Attributes:
        study: the study.
        front: the members, by survivors ascending.
        prefix: of the columns with the figures.
        word: what figures are called in sentences.
    """

    study: Study
    front: pd.DataFrame
    prefix: str
    word: str

    @property
    def accuracy(self) -> NDArray[np.float64]:
        return self.front[f"{self.prefix}accuracy"].to_numpy(float).round(_DIGITS)

    @property
    def survivors(self) -> NDArray[np.float64]:
        return self.front[f"{self.prefix}survivors"].to_numpy(float).round(_DIGITS)

    def largest_within(self, most: float) -> Champion:
        """The most accurate member with at most so many survivors; of equal ones the smallest."""
        places = np.flatnonzero(self.survivors <= most)
        if not len(places):
            raise self._none(f"at most {most:g} {self.study.count}", int(self.survivors.argmin()))
        place = int(places[self.accuracy[places].argmax()])
        best = f"the highest {self.word}{self.study.score}"
        return self.at(place, f"{best} with at most {most:g} {self.study.count}")

    def smallest_from(self, least: float) -> Champion:
        """The smallest member with at least this accuracy; of equal ones the most accurate."""
        places = np.flatnonzero(self.accuracy >= round(least, _DIGITS))
        wanted = f"{self.word}{self.study.score} of at least {100 * least:g} %"
        if not len(places):
            raise self._none(wanted, int(self.accuracy.argmax()))
        ranks = np.lexsort((-self.accuracy[places], self.survivors[places]))
        return self.at(int(places[ranks[0]]), f"the fewest {self.study.count} with a {wanted}")

    def knee(self, choices: Choices) -> Champion:
        """The knee, or the smallest member within the noise of the best on a front without one."""
        if choices.knee is not None:
            return self.at(choices.knee, f"the knee, where fewer {self.study.count} begin to cost much")
        return self.at(choices.small, f"the smallest within the noise of the best; {self._no_knee()}")

    def at(self, place: int, reason: str) -> Champion:
        """The member at a place of the front."""
        return self.of(self.front.iloc[place], reason)

    def of(self, row: Mapping[str, Any] | pd.Series[Any], reason: str) -> Champion:
        """The member in a row."""
        return Champion(
            int(row["trial"]),
            int(row["epoch"]),
            float(row[f"{self.prefix}accuracy"]),
            float(row[f"{self.prefix}survivors"]),
            int(row["neurons"]),
            reason,
        )

    def _no_knee(self) -> str:
        return "the front is too short for a knee" if len(self.front) < 3 else "the front has no knee"

    def _none(self, wanted: str, nearest: int) -> UsageError:
        what = f"no network of its {self.word}front has {_a(wanted)}"
        return UsageError(
            f"{self.study.store}: {what}; the nearest is {_shown(self.study, self.at(nearest, ''))}"
        )


def _a(wanted: str) -> str:
    if wanted.startswith("at most"):
        return wanted
    return f"an {wanted}" if wanted[0] in "aeiou" else f"a {wanted}"


def _best(figures: _Figures, confirmed: bool) -> Champion:
    """The member with the least loss of a study with one objective."""
    study = figures.study
    reason = f"the best, by {study.goal.aim}"
    if not confirmed:
        best = study.best()
        if best is None:
            raise UsageError(f"{study.store}: {_why_empty(study, confirmed)}")
        return figures.of(best, reason)
    columns = [f"confirmed_{name}" for name in study.goal.measures]
    measures = figures.front[columns].to_numpy(float).round(_DIGITS).tolist()
    ranks = [(*study.goal.losses(each), -each[0], each[1]) for each in measures]
    return figures.at(ranks.index(min(ranks)), reason)


def _found_trial(figures: _Figures, trial: int) -> Champion:
    """A trial after the last of its epochs on the front or, if none is, after its last epoch."""
    study = figures.study
    places = np.flatnonzero(figures.front["trial"] == trial)
    if len(places):
        last = int(places[figures.front["epoch"].to_numpy()[places].argmax()])
        return figures.at(last, "the trial that was asked for")
    study.genome(trial)  # says if there is no such trial
    trials = study.trials()
    row = trials[trials["trial"] == trial].iloc[0]
    course = study.curve(trial)
    if course.empty:
        why = f"failed: {row['failure']}" if row["state"] == "failed" else "has not been trained yet"
        raise UsageError(f"{study.store}: trial {trial} {why}")
    reason = "the trial that was asked for, which is not on the front"
    return figures.of({**course.iloc[-1], "trial": trial, "neurons": row["neurons"]}, reason)


def _of_trial(figures: _Figures, trial: int, members: pd.DataFrame) -> Champion:
    """A trial that was confirmed, after the last of its confirmed epochs."""
    study = figures.study
    study.genome(trial)  # says if there is no such trial
    own = members[(members["trial"] == trial) & members["confirmed_accuracy"].notna()]
    if own.empty:
        numbers = ", ".join(map(str, sorted({*members["trial"]})))
        raise UsageError(f"{study.store}: trial {trial} has no confirmed figures; confirmed are {numbers}")
    last = int(own["epoch"].to_numpy().argmax())
    return figures.of(own.iloc[last], "the trial that was asked for")


def _why_empty(study: Study, confirmed: bool) -> str:
    """Why there is no member to choose."""
    if confirmed:
        return "all trainings of its confirmation failed"
    states = {*study.trials()["state"]}
    nearest = study.nearest()
    if nearest is not None:
        shown = _shown(study, _Figures(study, study.front(), "", "").of(nearest, ""))
        return f"no trial meets the constraints ({study.goal.limits}); the nearest is {shown}"
    if states <= {"running"}:
        return "no trial has finished yet"
    if states <= {"running", "failed"}:
        return "every finished trial failed"
    return "no network on it is better than a guess; search longer, or change the space"


def _shown(study: Study, found: Champion) -> str:
    score = f"{100 * found.accuracy:.1f} %" if study.in_percent else f"{found.accuracy:.3f}"
    size = f"{found.survivors:.1f}".removesuffix(".0")
    return f"trial {found.trial} after epoch {found.epoch}: {study.score} {score} with {size} {study.count}"


def _check(study: Study, trial: int | None, max_survivors: float | None, min_accuracy: float | None) -> None:
    """Check the values of the options.

    Raises:
        UsageError: one is not possible, or there are several.
    """
    options = {"--trial": trial, "--max-survivors": max_survivors, "--min-accuracy": min_accuracy}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]}: {' and '.join(given)} are two choices; write one of them")
    if trial is not None and (isinstance(trial, bool) or not hasattr(trial, "__index__")):
        raise UsageError(f"--trial: {trial!r} is not a whole number; write the number of a trial")
    if max_survivors is not None and not _is_amount(max_survivors):
        raise UsageError(f"--max-survivors: {max_survivors!r} is no count; write a number of 0 or more")
    if min_accuracy is None:
        return
    if not study.in_percent:
        what = f"this study measures {study.score}, not accuracy"
        raise UsageError(f"--min-accuracy: {what}; write --max-survivors or --trial")
    if not _is_amount(min_accuracy) or min_accuracy > 1:
        example = f", as {min_accuracy / 100:g}" if _is_amount(min_accuracy) and min_accuracy <= 100 else ""
        raise UsageError(f"--min-accuracy: {min_accuracy!r} is no share; write a number from 0 to 1{example}")


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and float(value) >= 0
    )
