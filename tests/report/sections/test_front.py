import numpy as np
import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.report.figures import front_figure
from hebbevo.report.figures.front import dominated
from hebbevo.report.sections.front import front
from hebbevo.study.score_scale import score_scale
from tests.report.conftest import Document, MadeUpRecord, MadeUpStudy, charts, confirmed, made_up_trials

ENDS = ((-1, "arrayminus"), (1, "array"))
LIMITS = Goal(constraints={"accuracy": (0.9, None), "survivors": (None, 40.0)})


def test_the_table_of_the_front_holds_every_genome_in_order(small):
    document = Document(front(small).body)
    rows = small.front()
    first = rows.iloc[1]
    cells = (
        f"trial {first['trial']} 20{100 * first['accuracy']:.1f} ± {100 * first['accuracy_sd']:.1f} %"
        f"{first['survivors']:.0f} ± "
    )
    assert cells in document.text
    assert [document.text.index(f"{value:.4g}") for value in rows["genome.learning_rate"]] == sorted(
        document.text.index(f"{value:.4g}") for value in rows["genome.learning_rate"]
    )


def test_one_replicate_has_no_standard_deviation(small):
    frame = small.record.frame.assign(accuracy_sd=np.nan, survivors_sd=np.nan)
    body = front(small.but(frame=frame)).body
    assert "±" not in body and "Error bars" not in body
    assert "Error bars" in front(small).body


def traces(html):
    """The traces of the chart, and its shapes, as Plotly gets them."""
    figure = charts(html)["chart-front"]
    return figure["data"], figure["layout"]["shapes"]


def test_the_front_shows_its_limits_and_how_many_trials_are_within(small):
    frame = small.record.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.95, 0.92, 0.5], survivors=[200.0, 40.0, 30.0, 4.0]
    )
    study = small.but(frame=frame, goal=LIMITS)
    body, height = front(study).body, score_scale(study).place
    text = Document(body).text
    assert "2 of 4 trials meet the constraints (accuracy at least 0.9, survivors at most 40)" in text
    drawn, shapes = traces(body)
    assert {trace.get("name"): trace["x"] for trace in drawn}["front"] == [30.0, 40.0]
    shaded = [shape for shape in shapes if shape["type"] == "rect"]
    assert (shaded[0]["x0"], shaded[1]["y1"]) == (40.0, height(0.9))
    assert shaded[0]["x1"] >= 256 and shaded[1]["y0"] <= height(0.1)
    assert [shape.get("showlegend", False) for shape in shaded] == [True, False]


def test_without_constraints_nothing_is_shaded(small):
    body = front(small).body
    assert [shape["type"] for shape in traces(body)[1]] == ["line"]  # of chance
    assert "constraints" not in body


def test_points_of_earlier_epochs_have_a_symbol_a_legend_and_an_epoch_of_their_own(with_earlier_states):
    body = front(with_earlier_states).body
    drawn = {trace.get("name"): trace for trace in traces(body)[0]}
    early = drawn["front, at an earlier epoch"]
    height = score_scale(with_earlier_states).place
    assert (early["x"], early["y"]) == ([128.0], [height(0.975)])
    assert (early["marker"]["symbol"], early["customdata"]) == ("diamond-open", ["1:6"])
    figure = {trace.name: trace for trace in front_figure(with_earlier_states).data}
    hovertext = figure["front, at an earlier epoch"].hovertext[0]
    assert hovertext.startswith("<b>trial 1 after 6 of 20 epochs</b><br>accuracy 97.5 %<br>")
    assert (drawn["front"]["x"], drawn["front"]["marker"]["symbol"]) == ([60.0, 200.0], "circle")
    assert drawn["front"]["customdata"] == ["1:20", "0:20"]
    assert drawn["other trials"]["x"] == []
    text = Document(body).text
    assert "One of them, the open diamond, is at an earlier epoch of the training" in text
    assert "trial 1 6" + "97.5 %128" in text  # trial, epoch and no spread


def test_a_trial_that_is_on_the_front_only_at_an_earlier_epoch_is_also_among_the_others(with_earlier_states):
    frame = with_earlier_states.record.frame.assign(accuracy=[0.98, 0.4], survivors=[60.0, 60.0])
    study = with_earlier_states.but(frame=frame)
    drawn = {trace.get("name"): trace for trace in traces(front(study).body)[0]}
    assert drawn["other trials"]["y"] == [score_scale(study).place(0.4)]


@pytest.mark.parametrize(
    ("has_test", "kind", "which"), [(True, "test", "test"), (False, "confirmed", "validation")]
)
def test_a_confirmed_front_shows_its_members_again_beside_their_controls(small, has_test, kind, which):
    study = confirmed(small, has_test=has_test)
    members = study.confirmation.members()
    drawn = {trace.name: trace for trace in front_figure(study).data}
    again = drawn[f"trained again, {which} rows, mean ± sd"]
    axis = score_scale(study)
    assert list(again.x) == members["confirmed_survivors"].to_list()
    assert again.customdata[0] == f"{members['trial'][0]}:{members['epoch'][0]}"
    low, high = (np.array(again.y) + sign * np.array(again.error_y[side]) for sign, side in ENDS)
    mean, sd = members[f"{kind}_accuracy"], members[f"{kind}_sd"]
    np.testing.assert_allclose(again.y, axis.place(mean))
    np.testing.assert_allclose(low, axis.place(mean - sd), atol=1e-12)
    np.testing.assert_allclose(high, axis.place((mean + sd).clip(upper=1)), atol=1e-12)
    controls = drawn[f"dense, the same widths, {which} rows, mean ± sd"]
    np.testing.assert_allclose(controls.y, axis.place(members["control_accuracy"]))
    assert drawn["front as found"].opacity < 1


@pytest.mark.parametrize(("best", "by_mistakes"), [(0.77, False), (0.78, True), (0.91, True), (0.999, True)])
def test_accuracies_whose_mistakes_span_a_factor_of_four_stand_on_an_axis_of_mistakes(
    small, best, by_mistakes
):
    frame = small.record.frame.assign(accuracy=best)
    axis = score_scale(small.but(frame=frame, chance=0.1))
    assert bool(axis.least) == by_mistakes
    assert axis.low < axis.place(0.1) < axis.place(best) < axis.high


def test_of_many_trials_those_that_would_lie_on_each_other_are_drawn_once():
    study = MadeUpStudy(MadeUpRecord(made_up_trials(count=6000)))
    drawn = len(dominated(study))
    assert 500 < drawn < 3000
    assert (
        f" other trials {drawn:,} are drawn, one of those that would lie on each other."
        in Document(front(study).body).text
    )
