import json
import re

import numpy as np

from hebbevo.objectives.goal import Goal
from hebbevo.report.sections.front import front
from tests.report.conftest import Document

LIMITS = Goal(constraints={"accuracy": (0.9, None), "survivors": (None, 40.0)})


def test_the_table_of_the_front_holds_every_genome_in_order(small):
    document = Document(front(small).body)
    rows = small.front()
    first = rows.iloc[1]
    cells = (
        f"{first['trial']}20{100 * first['accuracy']:.1f} ± {100 * first['accuracy_sd']:.1f} %"
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
    drawn, layout = re.search(r"Plotly\.newPlot\(\s*\"chart-front\",\s*(\[.*?\]),\s*(\{.*\}),", html).groups()
    return json.loads(drawn), json.loads(layout)["shapes"]


def test_the_front_shows_its_limits_and_how_many_trials_are_within(small):
    frame = small.record.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.95, 0.92, 0.5], survivors=[200.0, 40.0, 30.0, 4.0]
    )
    body = front(small.but(frame=frame, goal=LIMITS)).body
    text = Document(body).text
    assert "2 of 4 trials meet the constraints (accuracy at least 0.9, survivors at most 40)" in text
    drawn, shapes = traces(body)
    assert {trace.get("name"): trace["x"] for trace in drawn}["front"] == [30.0, 40.0]
    shaded = [shape for shape in shapes if shape["type"] == "rect"]
    assert (shaded[0]["x0"], shaded[1]["y1"]) == (40.0, 0.9)
    assert shaded[0]["x1"] >= 256 and shaded[1]["y0"] <= 0
    assert [shape.get("showlegend", False) for shape in shaded] == [True, False]


def test_without_constraints_nothing_is_shaded(small):
    body = front(small).body
    assert [shape["type"] for shape in traces(body)[1]] == ["line"]  # of chance
    assert "constraints" not in body


def test_points_of_earlier_epochs_have_a_symbol_a_legend_and_an_epoch_of_their_own(with_earlier_states):
    body = front(with_earlier_states).body
    drawn = {trace.get("name"): trace for trace in traces(body)[0]}
    early = drawn["front, at an earlier epoch"]
    assert (early["x"], early["y"], early["marker"]["symbol"]) == ([128.0], [0.975], "diamond-open")
    assert early["hovertext"][0].startswith("<b>trial 1 after 6 of 20 epochs</b><br>accuracy 97.5 %<br>")
    assert (drawn["front"]["x"], drawn["front"]["marker"]["symbol"]) == ([60.0, 200.0], "circle")
    assert drawn["front"]["hovertext"][0].startswith("<b>trial 1</b>")
    assert drawn["other trials"]["x"] == []
    text = Document(body).text
    assert "1 of them, the open diamonds, are networks at an earlier epoch of their training" in text
    assert "16" + "97.5 %128" in text  # trial, epoch and no spread


def test_a_trial_that_is_on_the_front_only_at_an_earlier_epoch_is_also_among_the_others(with_earlier_states):
    frame = with_earlier_states.record.frame.assign(accuracy=[0.98, 0.4], survivors=[60.0, 60.0])
    drawn = {
        trace.get("name"): trace for trace in traces(front(with_earlier_states.but(frame=frame)).body)[0]
    }
    assert drawn["other trials"]["y"] == [0.4]
