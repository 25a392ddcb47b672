"""The figures as methods: whole, readable alone, and of plotly."""

import json

import plotly.graph_objects as go
import pytest

from hebbevo.errors import UsageError
from hebbevo.report.figures import front_figure, slice_figure
from hebbevo.report.plots import Plots
from hebbevo.report.queries import genes
from tests.report.conftest import confirmed

FIGURES = ["front", "importance", "curves", "parallel", "slices"]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("which", ["study", "small", "empty", "all_failed"])
def test_every_study_has_every_figure(name: str, which: str, request: pytest.FixtureRequest) -> None:
    figure = getattr(Plots(request.getfixturevalue(which)), name)()
    assert isinstance(figure, go.Figure)
    assert json.loads(figure.to_json())["layout"]["paper_bgcolor"] == "white"


def test_the_front_is_that_of_the_report(study) -> None:
    figure, on_page = Plots(study).front(), front_figure(study)
    assert [trace.x for trace in figure.data] == [trace.x for trace in on_page.data]
    assert on_page.layout.paper_bgcolor != "white"


def test_slices_of_all_genes_have_the_points_and_axes_of_each(small) -> None:
    names = genes(small)
    whole = Plots(small).slices()
    assert len(whole.data) == 4 * len(names)
    titles = {axis.title.text for axis in whole.select_xaxes() if axis.title.text}
    assert titles == set(names)
    for column, gene in enumerate(names, start=1):
        own, single = [*whole.select_traces(col=column)], slice_figure(small, gene)
        assert sorted(map(str, (trace.y for trace in own))) == sorted(str(trace.y) for trace in single.data)
        for row, name in ((1, ""), (2, "2")):
            [across], [up] = whole.select_xaxes(row=row, col=column), whole.select_yaxes(row=row, col=column)
            assert across.type == single.layout[f"xaxis{name}"].type
            assert across.range == single.layout[f"xaxis{name}"].range
            assert up.type == single.layout[f"yaxis{name}"].type
            assert up.range == single.layout[f"yaxis{name}"].range


def test_the_titles_of_many_axes_stand_in_two_rows(small) -> None:
    more = {name: {"low": 0.0, "high": 1.0} for name in ("first", "second")}
    frame = small.record.frame.assign(**{f"genome.{name}": 0.5 for name in more})
    many = small.but(genome=small.record.genome | more, frame=frame)
    for study, lower in ((small, []), (many, [1, 3, 5, 7, 9])):
        titles = Plots(study).parallel().layout.xaxis.ticktext
        assert [place for place, title in enumerate(titles) if title.startswith("<br>")] == lower
        assert titles[-1].removeprefix("<br><br>") == "accuracy"


def test_slices_of_some_genes_are_in_the_given_order(small) -> None:
    figure = Plots(small).slices(["learning_rate", "penalty_form"])
    assert [axis.title.text for axis in figure.select_xaxes() if axis.title.text] == [
        "learning_rate",
        "penalty_form",
    ]
    assert len(Plots(small).slices("learning_rate").data) == 4


def test_a_gene_that_does_not_exist_is_refused_with_the_closest(small) -> None:
    with pytest.raises(UsageError, match=r"there is no gene 'learning_rat'; did you mean learning_rate\?"):
        Plots(small).slices(["learning_rat"])


def test_a_verdict_needs_a_confirmation(study) -> None:
    assert Plots(confirmed(study)).verdict().data
    with pytest.raises(UsageError, match="hebbevo confirm"):
        Plots(study).verdict()


def test_its_text_names_the_figures(small) -> None:
    text = repr(Plots(small))
    assert text.startswith("Plots(") and all(name in text for name in FIGURES)


def test_slices_leave_out_survivors_that_are_all_the_same(small) -> None:
    kept = small.but(frame=small.record.frame.assign(survivors=256.0))
    whole, single = Plots(kept).slices(), slice_figure(kept, "learning_rate")
    assert len(whole.data) == 2 * len(genes(kept))
    assert {axis.title.text for axis in whole.select_xaxes()} == set(genes(kept))
    assert [axis.title.text for axis in single.select_yaxes()] == ["accuracy"]
    assert single.layout.height < slice_figure(small, "learning_rate").layout.height
