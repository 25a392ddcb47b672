"""The figures of a study for notebooks and scripts, as methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hebbevo.errors import UsageError
from hebbevo.messages import did_you_mean, listed
from hebbevo.report import figures
from hebbevo.report.charts import styled
from hebbevo.report.queries import genes, survivors_vary
from hebbevo.report.window_charts import window_figure
from hebbevo.study.view import Study

_SLICE_WIDTH = 250  # pixels of one gene
_MOST_TICKS = 4  # fit across it
_PLACES = ("domain", "anchor", "matches")  # what a chart of one gene says of its place


class Plots:
    """The figures of one study. Each is one of plotly: a notebook shows it, ``write_html`` saves it."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __repr__(self) -> str:
        return f"Plots({listed(name for name in vars(Plots) if not name.startswith('_'))})"

    def front(self) -> go.Figure:
        """The score of all trials against survivors, with the front as found and as confirmed."""
        return _alone(figures.front_figure(self._study))

    def verdict(self) -> go.Figure:
        """How much better each confirmed member is than its dense control, with intervals.

        Raises:
            UsageError: the front has not been confirmed.
        """
        self._study.front(confirmed=True)
        return _alone(figures.verdict_figure(self._study))

    def window(
        self,
        knob: str | None = None,
        by: str | None = None,
        *,
        min_lost: float | None = None,
        within: float = 0.05,
    ) -> go.Figure:
        """The share of usable trials in each part of a gene, with its window shaded.

        Args:
            knob: a numeric gene, as for `hebbevo.Study.window`.
            by: a gene whose values are compared, likewise.
            min_lost: likewise.
            within: likewise.

        Raises:
            UsageError: there is no such gene, or a number is out of range.
        """
        return _alone(styled(window_figure(self._study, knob, by, min_lost=min_lost, within=within), 420))

    def importance(self) -> go.Figure:
        """How much each gene decides about the score and about survivors."""
        return _alone(figures.importance_figure(self._study))

    def curves(self) -> go.Figure:
        """The score and the survivors after each epoch, for trials of the front."""
        return _alone(figures.curves_figure(self._study))

    def decoding(self) -> go.Figure:
        """What a linear readout of each layer reaches, beside random weights, for the best trials."""
        return _alone(figures.decoding_figure(self._study))

    def parallel(self) -> go.Figure:
        """Each trial as a line across its genes and what it has reached."""
        return _alone(figures.parallel_figure(self._study))

    def slices(self, which: Sequence[str] | None = None) -> go.Figure:
        """The score and the survivors of trials against each gene, side by side.

        Args:
            which: names of genes; by default all.

        Raises:
            UsageError: there is no such gene.
        """
        known = genes(self._study)
        chosen = known if which is None else [which] if isinstance(which, str) else list(which)
        for gene in chosen:
            if gene not in known:
                raise UsageError(f"there is no gene {gene!r}; {did_you_mean(gene, known, listed(known))}")
        places = [(1, ""), (2, "2")] if survivors_vary(self._study) else [(1, "")]
        whole = make_subplots(
            rows=len(places),
            cols=len(chosen),
            shared_xaxes="columns",
            shared_yaxes="rows",
            horizontal_spacing=0.12 / len(chosen),
            vertical_spacing=0.07,
        )
        for column, gene in enumerate(chosen, start=1):
            single = figures.slice_figure(self._study, gene)
            for trace in single.data:
                whole.add_trace(trace, row=2 if trace.yaxis == "y2" else 1, col=column)
            for row, name in places:
                across, up = (single.layout[f"{axis}axis{name}"].to_plotly_json() for axis in "xy")
                whole.update_xaxes(_without_place(_thinned(across)), row=row, col=column)
                whole.update_yaxes(_without_place(up), row=row, col=column)
                if column > 1:
                    whole.update_yaxes(title=None, row=row, col=column)
        layout = single.layout
        whole.update_layout(
            template="none",
            showlegend=False,
            hovermode=layout.hovermode,
            hoverlabel=layout.hoverlabel,
            font=layout.font,
            margin=layout.margin,
            height=layout.height,
            width=100 + _SLICE_WIDTH * len(chosen),
        )
        return _alone(whole)


def _thinned(axis: dict[str, Any]) -> dict[str, Any]:
    """The axis with as many labels as have room."""
    step = -(-len(axis.get("tickvals", ())) // _MOST_TICKS) or 1
    return axis | {name: axis[name][::step] for name in ("tickvals", "ticktext") if name in axis}


def _without_place(axis: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in axis.items() if name not in _PLACES}


def _alone(figure: go.Figure) -> go.Figure:
    """A figure that is readable wherever it is shown. On the page of the report the page sets the colours."""
    return figure.update_layout(
        paper_bgcolor="white", plot_bgcolor="white", font={"color": "#333"}, dragmode="zoom"
    )
