"""The picture of the front, for slides and papers."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import NullLocator, PercentFormatter

from hebbevo.messages import printable
from hebbevo.report.constraints import LABEL, outside, survivors_axis
from hebbevo.report.formatting import BEFORE_END
from hebbevo.report.png import png
from hebbevo.report.queries import complete_trials, is_before_end, is_on_front, whole
from hebbevo.study.scale import Scale
from hebbevo.study.score_scale import ScoreScale, score_scale
from hebbevo.study.view import Study

MAX_NAME_LENGTH = 30
BLUE, GREY, INK = "#1f6fc4", "#8a919c", "#2a3038"


def picture(study: Study) -> bytes:
    """Draw the score against surviving neurons: all trials, and the front on top.

    Returns:
        A PNG file of 1600 x 1000 pixels.
    """
    return png(lambda axes: _draw(axes, study), ncols=5, columnspacing=1.2, reverse=True)


def _draw(axes: Axes, study: Study) -> None:
    trials, front = complete_trials(study), study.front()
    x, y = survivors_axis(study), score_scale(study)
    before_end = is_before_end(study, front)
    others = trials[~is_on_front(trials, front)]
    if not front.empty:
        _draw_line(axes, front, x, y)
    if before_end.any():
        _draw_marks(axes, front[before_end], x, y, fmt="D", label=BEFORE_END, fillstyle="none")
    if not before_end.all():
        _draw_marks(axes, front[~before_end], x, y, fmt="o", label="front")
    axes.scatter(
        x.place(others["survivors"]),
        y.place(others["accuracy"]),
        s=14,
        c=GREY,
        alpha=0.35,
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


def _draw_line(axes: Axes, front: pd.DataFrame, x: Scale, y: ScoreScale) -> None:
    places = x.place(front["survivors"])
    axes.plot(places, y.place(front["accuracy"]), drawstyle="steps-post", color=BLUE, linewidth=1.6, zorder=3)


def _draw_marks(axes: Axes, points: pd.DataFrame, x: Scale, y: ScoreScale, **look: Any) -> None:
    accuracy, sd = points["accuracy"], points["accuracy_sd"]
    axes.errorbar(
        x.place(points["survivors"]),
        y.place(accuracy),
        xerr=x.bars(points["survivors"], points["survivors_sd"]),
        yerr=y.bars(accuracy, accuracy - sd, (accuracy + sd).clip(upper=1.0)),
        color=BLUE,
        markersize=5,
        elinewidth=1,
        zorder=4,
        **look,
    )


def _label(axes: Axes, study: Study, x: Scale, y: ScoreScale) -> None:
    axes.set_xlabel(f"surviving {study.count}", color=INK)
    axes.set_ylabel(f"validation {study.score}", color=INK)
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
