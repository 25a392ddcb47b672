"""The charts of a study, as figures of plotly, one chart per file."""

from hebbevo.report.figures.attainment import attainment_figure
from hebbevo.report.figures.curves import curves_figure
from hebbevo.report.figures.decoding import decoding_figure
from hebbevo.report.figures.front import front_figure
from hebbevo.report.figures.importance import importance_figure
from hebbevo.report.figures.parallel import parallel_figure
from hebbevo.report.figures.raster import raster_figure
from hebbevo.report.figures.slices import slice_figure
from hebbevo.report.figures.verdict import verdict_figure

__all__ = [
    "attainment_figure",
    "curves_figure",
    "decoding_figure",
    "front_figure",
    "importance_figure",
    "parallel_figure",
    "raster_figure",
    "slice_figure",
    "verdict_figure",
]
