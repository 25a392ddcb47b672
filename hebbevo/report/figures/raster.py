"""The chart of when each neuron of a network died, and of which were regrown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from hebbevo.report.charts import BLUE, ORANGE, styled
from hebbevo.study.alive_units import AliveUnits

MOST = 256
"""So many neurons of a layer are drawn, evenly spread by how long they lived."""

_LEAST_HEIGHT, _MOST_HEIGHT, _PER_NEURON, _AROUND = 90, 280, 1.6, 100  # pixels


@dataclass(frozen=True)
class _Runs:
    """Epochs without a gap in which neurons lived: row of the neuron, its number, first and last epoch."""

    row: NDArray[np.intp]
    neuron: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]


def raster_figure(lives: AliveUnits) -> go.Figure:
    r"""Draw a line for each neuron over the epochs after which it was alive, with a panel for each layer.

    The longest lives are at the bottom. A neuron that had been dead, or not there yet, has another colour.

    Args:
        lives: which neurons were alive after each epoch.

    Examples:
        >>> lives = AliveUnits.of((2, 1), [b"\xe0", b"\xa0"])
        >>> [panel.title.text for panel in raster_figure(lives).select_yaxes()]
        ['layer 1', 'layer 2']
    """
    layers = lives.by_layer()
    heights = [_height(each.shape[1]) for each in layers]
    figure = make_subplots(
        rows=len(layers),
        cols=1,
        shared_xaxes=True,
        row_heights=heights,
        vertical_spacing=14 / (sum(heights) + 14 * len(layers)),
    )
    for number, alive in enumerate(layers, start=1):
        order = np.lexsort((np.arange(alive.shape[1]), -_last_epoch(alive), -alive.sum(0)))
        if len(order) > MOST:
            order = order[np.linspace(0, len(order) - 1, MOST).astype(int)]
        runs = _runs(alive[:, order], order)
        begins = runs.first == 0
        for which, colour, name in (
            (begins, BLUE, "alive"),
            (~begins, ORANGE, "alive again, or grown later"),
        ):
            x, y, neurons = _lines(runs, which)
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": colour, "width": 2 if len(order) < 100 else 1.3},
                    name=name,
                    legendgroup=name,
                    showlegend=number == 1,
                    text=neurons,
                    hovertemplate="neuron %{text}, epoch %{x:.0f}<extra></extra>",
                ),
                row=number,
                col=1,
            )
        figure.update_yaxes(
            title={"text": f"layer {number}"},
            range=[-1, len(order)],
            tickvals=[len(order)],
            ticktext=[f"{alive.shape[1]}"],
            showgrid=False,
            row=number,
            col=1,
        )
    figure.update_xaxes(range=[0.4, lives.epochs + 0.6], dtick=_step(lives.epochs), tick0=0, showgrid=False)
    figure.update_xaxes(title={"text": "epoch"}, row=len(layers), col=1)
    figure.update_layout(showlegend=True)
    return styled(figure, round(sum(heights) + 14 * len(layers)) + _AROUND, top=16)


def _height(neurons: int) -> float:
    """Pixels of the panel of a layer."""
    return min(max(_PER_NEURON * min(neurons, MOST), _LEAST_HEIGHT), _MOST_HEIGHT)


def _last_epoch(alive: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each neuron the last epoch after which it was alive, 0 for none; ``alive`` is (epochs, neurons)."""
    found: NDArray[np.intp] = np.where(alive.any(0), len(alive) - alive[::-1].argmax(0), 0)
    return found


def _runs(alive: NDArray[np.bool_], numbers: NDArray[np.intp]) -> _Runs:
    """The runs of a layer, (epochs, neurons in the order of their rows), by row; epochs begin with 0."""
    padded = np.pad(alive, ((1, 1), (0, 0))).astype(int).T
    change = np.diff(padded, axis=1)
    row, first = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    return _Runs(row, numbers[row], first, end - 1)


def _lines(
    runs: _Runs, which: NDArray[np.bool_]
) -> tuple[list[float | None], list[int | None], list[int | None]]:
    """Coordinates of lines with gaps between them, and the number of the neuron, from 1, at each."""
    x: list[float | None] = []
    y: list[int | None] = []
    neurons: list[int | None] = []
    for row, neuron, first, last in zip(
        *(each[which].tolist() for each in (runs.row, runs.neuron, runs.first, runs.last)), strict=True
    ):
        x += [first + 0.5, last + 1.5, None]  # epoch 1, the first, is drawn from 0.5 to 1.5
        y += [row, row, None]
        neurons += [neuron + 1, neuron + 1, None]
    return x, y, neurons


def _step(epochs: int) -> int:
    """Epochs between two labels: 1, 2, 5, 10 and so on, so that there are at most ten."""
    steps: list[int] = [step * 10**power for power in range(9) for step in (1, 2, 5)]
    return next(step for step in steps if epochs <= 10 * step)
