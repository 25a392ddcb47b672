"""PNG files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def png(draw: Callable[[Axes], None], **legend: Any) -> bytes:
    """Draw a picture with its legend below.

    Args:
        draw: draws on the axes.
        legend: arguments of matplotlib's legend.

    Returns:
        A PNG file of 1600 x 1000 pixels.
    """
    with matplotlib.style.context("default"), warnings.catch_warnings():
        # names of the user may have characters that the font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(8, 5), dpi=200, layout="constrained")
        draw(figure.add_subplot())
        figure.legend(loc="outside lower center", frameon=False, **legend)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
