"""The picture of the front, for slides and papers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullLocator, PercentFormatter

from hebbevo.messages import printable
from hebbevo.report.constraints import LABEL, outside, survivors_axis
from hebbevo.report.formatting import BEFORE_END, title
from hebbevo.report.png import png
from hebbevo.report.queries import complete_trials, is_before_end, is_on_front, outline, whole
from hebbevo.study.confirmation import Confirmation
from hebbevo.study.scale import Scale
from hebbevo.study.score_scale import ScoreScale, score_scale
from hebbevo.study.view import RANDOM, Study

MAX_NAME_LENGTH = 30
BLUE, ORANGE, GREEN, PURPLE, GREY, INK = "#1f6fc4", "#c96a10", "#12886a", "#8466cf", "#8a919c", "#2a3038"


def picture(study: Study) -> bytes:
    """Draw the score against surviving neurons: all trials, and the front on top.

    Of a confirmed study the members trained again stand in front, beside dense networks of their widths.
    Where a local rule learns, random weights are drawn beside both.

    Returns:
        A PNG file of 1600 x 1000 pixels.
    """
    columns = 5 if study.confirmation is None else 3
    return png(lambda axes: _draw(axes, study), ncols=columns, columnspacing=1.2, reverse=True)


def _draw(axes: Axes, study: Study) -> None:
    trials, front = complete_trials(study), study.front()
    again = None if study.confirmation is None else _trained_again(study, study.confirmation)
    random = front.get(RANDOM, pd.Series(dtype=float))
    x = survivors_axis(study)
    y = score_scale(study, random.tolist() if again is None else again.scores())
    before_end = is_before_end(study, front)
    others = trials[~is_on_front(trials, front)]
    strength, found = (1.0, "front") if again is None else (0.35, "front as found, on validation rows")
    if not front.empty:
        _draw_line(axes, front, x, y, alpha=strength)
    if before_end.any():
        look = {"fmt": "D", "label": BEFORE_END, "fillstyle": "none"}
        _draw_marks(axes, front[before_end], x, y, color=BLUE, alpha=strength, zorder=4, **look)
    if not before_end.all():
        own = front[~before_end]
        _draw_marks(axes, own, x, y, color=BLUE, alpha=strength, zorder=4, fmt="o", label=found)
    if again is not None:
        label = f"trained again, on {again.on_rows}"
        _draw_marks(axes, again.members, x, y, color=ORANGE, zorder=6, fmt="s", label=label)
        if not again.dense.empty:
            label = f"dense, {study.equal_size}, on {again.on_rows}"
            _draw_marks(axes, again.dense, x, y, color=GREEN, zorder=5, fmt="^", label=label)
        if not again.random.empty:
            label = f"random weights, on {again.on_rows}"
            _draw_marks(axes, again.random, x, y, color=PURPLE, zorder=5, fmt="x", label=label)
    elif random.notna().any():
        places = x.place(front["survivors"]), y.place(random)
        axes.scatter(*places, color=PURPLE, marker="x", s=25, zorder=3, label="random weights")
    _colour(axes, study, front if again is None else again.members, x, y)
    axes.scatter(
        x.place(others["survivors"]),
        y.place(others["accuracy"]),
        s=14,
        c=GREY,
        alpha=0.35 * (1 if again is None else 0.6),
        linewidths=0,
        label="other trials",
    )
    _shade(axes, study, x, y)
    axes.axhline(
        float(y.place(study.chance)), color=GREY, linewidth=1.2, linestyle=":", label="chance", zorder=1
    )
    _label(axes, study, x, y)
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["right"]].set_visible(False)
    axes.tick_params(which="both", length=3, colors=INK)
    counts = f"{len(trials)} trials, {len(front)} points on the front"
    name = printable(" ".join(str(study.settings["task"]["dataset"]).split()))
    if len(name) > MAX_NAME_LENGTH:  # the end of a path is its file name
        name = "..." + name[-MAX_NAME_LENGTH:]
    axes.set_title(f"{name}: {counts}", loc="left", weight="bold", color=INK, pad=12, parse_math=False)


def _shade(axes: Axes, study: Study, x: Scale, y: ScoreScale) -> None:
    look: dict[str, Any] = {"color": GREY, "alpha": 0.16, "linewidth": 0, "zorder": 0}
    patches = [axes.axvspan(*part, **look) for part in outside(study, "survivors", x)]
    patches += [axes.axhspan(*part, **look) for part in outside(study, "accuracy", y)]
    for patch in patches[:1]:
        patch.set_label(LABEL)


@dataclass(frozen=True)
class _TrainedAgain:
    """Confirmed members and their dense controls: means, and standard deviations of a single network.

    Attributes:
        members: a row for each, with the columns of `Study.front`.
        dense: likewise, at the survivors of its member.
        random: likewise, of readouts with random weights; empty where they were not measured.
        on_rows: on which rows the scores are measured.
    """

    members: pd.DataFrame
    dense: pd.DataFrame
    random: pd.DataFrame
    on_rows: str

    def scores(self) -> list[float]:
        """All means that are drawn; a long bar may end with the axis."""
        return [
            float(each) for table in (self.members, self.dense, self.random) for each in table["accuracy"]
        ]


def _trained_again(study: Study, confirmation: Confirmation) -> _TrainedAgain:
    """What was confirmed, on test rows if there are any: those on which controls are compared."""
    table = confirmation.members()
    kind, on_rows = ("test", "test rows") if confirmation.has_test else ("confirmed", "validation rows")
    columns = {"confirmed_survivors": "survivors", "survivors_sd": "survivors_sd"}
    columns |= {f"confirmed_{name}": name for name in study.further}

    def of(kind: str) -> pd.DataFrame:
        names = columns | {f"{kind}_accuracy": "accuracy", f"{kind}_sd": "accuracy_sd"}
        found = table[[*names]].rename(columns=names)
        return found[found["accuracy"].notna()]

    dense, random = (of(name).assign(survivors_sd=math.nan) for name in ("control", "random"))
    return _TrainedAgain(of(kind), dense, random, on_rows)


def _draw_line(axes: Axes, front: pd.DataFrame, x: Scale, y: ScoreScale, alpha: float) -> None:
    look: dict[str, Any] = {"drawstyle": "steps-post", "color": BLUE, "linewidth": 1.6, "zorder": 3}
    line = outline(front)
    axes.plot(x.place(line["survivors"]), y.place(line["accuracy"]), alpha=alpha, **look)


def _draw_marks(axes: Axes, points: pd.DataFrame, x: Scale, y: ScoreScale, **look: Any) -> None:
    accuracy, sd = points["accuracy"], points["accuracy_sd"]
    axes.errorbar(
        x.place(points["survivors"]),
        y.place(accuracy),
        xerr=x.bars(points["survivors"], points["survivors_sd"]),
        yerr=y.bars(accuracy, accuracy - sd, (accuracy + sd).clip(upper=1.0)),
        markersize=5,
        elinewidth=1,
        **look,
    )


def _colour(axes: Axes, study: Study, points: pd.DataFrame, x: Scale, y: ScoreScale) -> None:
    """Colour points by what the front trades off beside survivors, if anything, with a scale of its own."""
    further = study.goal.traded[2:]
    if not further or points.empty:
        return
    size = points[further[0]].clip(lower=1)  # none left is drawn as one: the scale is logarithmic
    places = x.place(points["survivors"]), y.place(points["accuracy"])
    dots = axes.scatter(*places, s=20, c=size, norm=LogNorm(), cmap="viridis", zorder=7, linewidths=0)
    bar = axes.get_figure(root=True).colorbar(dots, ax=axes, pad=0.02)  # type: ignore[union-attr]
    bar.set_label(title(further[0]), color=INK)
    bar.outline.set_visible(False)


def _label(axes: Axes, study: Study, x: Scale, y: ScoreScale) -> None:
    axes.set_xlabel(f"surviving {study.count}", color=INK)
    axes.set_ylabel(f"validation {study.score}" if study.confirmation is None else study.score, color=INK)
    axes.set_ylim(y.low, y.high)
    if ticks := y.ticks():
        _fix_ticks(axes.yaxis, ticks)
    elif study.in_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    if x.log:
        axes.set_xscale("log")
        _fix_ticks(axes.xaxis, x.ticks())
    axes.set_xlim(x.low, x.high)
    above = axes.secondary_xaxis("top")
    above.set_xlabel(f"% of {whole(study)}", color=INK)
    _fix_ticks(above.xaxis, [(place, f"{100 * share:.4g}") for place, share in x.shares(study.neurons)])
    above.tick_params(which="both", length=3, colors=INK)


def _fix_ticks(axis: Axis, ticks: list[tuple[float, str]]) -> None:
    axis.set_ticks([place for place, _ in ticks], labels=[text for _, text in ticks])
    axis.set_minor_locator(NullLocator())
