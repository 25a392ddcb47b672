"""The picture of attainment surfaces, for slides and papers."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from hebbevo.messages import printable
from hebbevo.report.attainment_axes import attainment_axes, steps
from hebbevo.report.charts import PALETTE
from hebbevo.report.png import png
from hebbevo.study.comparison import Comparison
from hebbevo.study.scale import Scale

_LOOKS = {"median": ("-", 1.8), "best": (":", 1.0), "worst": ("--", 1.0)}
_LONGEST_NAME = 60


def attainment_picture(comparison: Comparison) -> bytes:
    """Draw the best, the median and the worst attainment surface of each group.

    Returns:
        A PNG file of 1600 x 1000 pixels.
    """
    return png(lambda axes: _draw(axes, comparison), ncols=2)


def _draw(axes: Axes, comparison: Comparison) -> None:
    x, y = attainment_axes(comparison)
    surfaces = comparison.attainment()
    for place, group in enumerate(comparison.groups):
        name = printable(group.name)
        name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        for surface, (style, width) in _LOOKS.items():
            own = surfaces[(surfaces["group"] == group.name) & (surfaces["surface"] == surface)]
            survivors, scores = steps(own, comparison.neurons)
            axes.step(
                x.place(survivors),
                y.place(scores),
                where="post",
                linestyle=style,
                linewidth=width,
                color=PALETTE[place % len(PALETTE)],
                label=name.replace("$", r"\$") if surface == "median" else None,
            )
    _label_survivors(axes, x)
    axes.set_xlabel(f"surviving {comparison.count}")
    axes.set_ylim(y.low, y.high)
    if ticks := y.ticks():
        axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks])
    axes.set_ylabel(comparison.score)
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    title = "Attainment: median (solid), best (dotted), worst (dashed)"
    axes.set_title(title, loc="left", weight="bold", pad=12)


def _label_survivors(axes: Axes, survivors: Scale) -> None:
    if survivors.log:
        axes.set_xscale("log")
        places, labels = zip(*survivors.ticks(), strict=True)
        axes.set_xticks(places, labels)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(survivors.low, survivors.high)
