"""Charts as the page holds them."""

import itertools
import re

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs_version

from hebbevo.report import charts as style
from hebbevo.report.charts import chart
from hebbevo.report.networks import TRIAL
from tests.report.conftest import charts


def luminance(colour):
    """Relative luminance, by the formula of WCAG 2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("card", ["#ffffff", "#1c2027"])
@pytest.mark.parametrize("colour", style.PALETTE)
def test_every_mark_has_a_contrast_of_three_to_the_page_light_and_dark(card, colour):
    dark, light = sorted((luminance(card), luminance(colour)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_the_colours_of_a_palette_differ():
    assert all(one != other for one, other in itertools.combinations(style.PALETTE, 2))


def test_what_the_page_says_of_a_trial_is_not_repeated_in_its_charts():
    known = go.Scatter(x=[1], y=[1], customdata=["3:20"], hovertext=["all of it"], meta=TRIAL)
    own = go.Scatter(x=[1], y=[1], hovertext=["its own"])
    first, second = charts(chart(go.Figure([known, own]), "test", 100))["chart-test"]["data"]
    assert "hovertext" not in first and first["customdata"] == ["3:20"]
    assert second["hovertext"] == ["its own"]


def test_a_heatmap_is_drawn_as_bars_where_its_cells_are():
    heatmap = go.Heatmap(
        x=[0.5, 1.5], y=[0.5, 1.5], z=[[0.1, None], [0.3, 0.4]], text=[["a", "b"], ["c", "d"]]
    )
    (drawn,) = charts(chart(go.Figure(heatmap), "map", 100))["chart-map"]["data"]
    assert drawn["type"] == "bar"
    cells = list(zip(drawn["x"], drawn["base"], drawn["marker"]["color"], drawn["hovertext"], strict=True))
    assert cells == [(0.5, 0.0, 0.1, "a"), (0.5, 1.0, 0.3, "c"), (1.5, 1.0, 0.4, "d")]


def test_the_text_of_a_chart_cannot_end_its_script():
    body = chart(go.Figure(go.Scatter(x=[1], y=[1], name="</script><b>")), "x", 100)
    assert body.count("</script>") == 1 and charts(body)["chart-x"]["data"][0]["name"] == "</script><b>"


def test_the_bundle_on_the_page_is_of_the_major_version_that_draws_the_figures():
    from importlib.resources import files

    bundle = files("hebbevo.report").joinpath("vendor/plotly-basic.min.js").read_text(encoding="utf-8")
    (version,) = re.findall(r"plotly\.js \(basic - minified\) v(\d+)", bundle[:500])
    assert version == get_plotlyjs_version().split(".")[0]
