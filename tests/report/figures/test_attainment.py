"""The chart of attainment surfaces."""

import numpy as np
import pytest

from hebbevo.report.attainment_axes import attainment_axes, steps
from hebbevo.report.figures.attainment import attainment_figure
from hebbevo.study.comparison import compare
from tests.study.comparison.conftest import GA, RANDOM, searched, study_of


@pytest.fixture(scope="module")
def both():
    return compare([*searched("ga", GA), *searched("random", RANDOM)])


def lines(figure, group):
    return {trace.line.dash: trace for trace in figure.data if trace.name == group}


def test_every_group_has_its_three_surfaces_up_to_the_largest_network(both):
    figure, surfaces = attainment_figure(both), both.attainment()
    x, y = attainment_axes(both)
    for group in both.groups:
        for dash, name in (("solid", "median"), ("dot", "best"), ("dash", "worst")):
            own = surfaces[(surfaces["group"] == group.name) & (surfaces["surface"] == name)]
            line = lines(figure, group.name)[dash]
            assert line.line.shape == "hv"
            np.testing.assert_allclose(line.x[:-1], x.place(own["survivors"]))
            np.testing.assert_allclose(line.y[:-1], y.place(own["accuracy"]))
            assert (line.x[-1], line.y[-1]) == (both.neurons, line.y[-2])


def test_a_group_is_once_in_the_legend_and_has_one_colour(both):
    figure = attainment_figure(both)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["sampler ga", "sampler random"]
    colours = {trace.name: trace.line.color for trace in figure.data}
    assert len({*colours.values()}) == 2
    assert all(trace.line.color == colours[trace.name] for trace in figure.data)


def test_one_study_has_one_surface():
    found = compare({"one": searched("ga", GA)[:1], "other": searched("random", RANDOM)[:1]})
    assert [trace.name for trace in attainment_figure(found).data] == ["one", "other"]


def test_a_point_says_what_it_is_and_names_are_text():
    figure = attainment_figure(compare({"<b>mine</b>": searched("ga", GA)}))
    assert {trace.name for trace in figure.data} == {"&lt;b&gt;mine&lt;/b&gt;"}
    assert figure.data[0].hovertext[1] == (
        "<b>&lt;b&gt;mine&lt;/b&gt;</b>, median<br>92.00 % with 20 neurons"
    )


def test_every_surface_lies_on_the_axes_and_ticks_are_accuracies(both):
    figure = attainment_figure(both)
    x, y = attainment_axes(both)
    for trace in figure.data:
        assert y.low <= min(trace.y) and max(trace.y) <= y.high
        assert x.low <= min(trace.x) and max(trace.x) <= x.high
    ticks = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert ticks["90 %"] == pytest.approx(float(y.place(0.9)))
    assert {"80 %", "90 %"} <= ticks.keys()


def test_full_accuracy_has_a_place():
    _, y = attainment_axes(
        compare([study_of([(1.0, 20.0), (0.98, 10.0)], f"{n}.db", seed=n) for n in (0, 1)])
    )
    assert y.place(1.0) > y.place(0.98)
    assert "100 %" in [text for _, text in y.ticks()]
    assert np.isfinite([y.low, y.high]).all()


def test_another_score_has_a_linear_axis():
    settings = {"task": {"dataset": "digits", "kind": "regression"}}
    studies = [study_of([(0.3, 20.0)], f"{n}.db", seed=n, settings=settings) for n in (0, 1)]
    comparison = compare(studies)
    _, y = attainment_axes(comparison)
    assert y.place([0.3]).tolist() == [0.3] and y.ticks() == []
    assert attainment_figure(comparison).layout.yaxis.title.text == comparison.score


def test_studies_without_points_have_empty_axes():
    comparison = compare([study_of([], f"{n}.db", seed=n) for n in (0, 1)])
    assert all(not trace.x for trace in attainment_figure(comparison).data)
    surfaces = comparison.attainment()
    assert [len(each) for each in steps(surfaces, comparison.neurons)] == [0, 0]
