"""The page as a whole, and reports of unusual studies."""

import base64
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from hebbevo.objectives.goal import Goal
from hebbevo.report import write
from hebbevo.report.page import page as page_with
from hebbevo.report.sections import SECTIONS
from hebbevo.report.sections.front import front
from tests.report.conftest import Document, charts, png_size

MARKUP = """</script><img src=x onerror="alert('1')">&amp;%{x}$_{"""
PICTURE = b"\x89PNG"
LIMITS = Goal(constraints={"accuracy": (0.9, None), "survivors": (None, 40.0)})


def page(study):
    return page_with(study, PICTURE)


def test_the_page_loads_nothing_from_outside(small):
    html = page(small)
    assert html.count("* plotly.js (basic - minified) v") == 1
    elements = Document(html).elements
    assert ("html", {"lang": "en"}) in elements
    links = [each[name] for _, each in elements for name in ("src", "href") if name in each]
    assert all(link.startswith(("#section-", "data:image/png;base64,")) for link in links)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_an_inactive_gene_is_a_dash_and_not_drawn(small):
    penalty = small.record.frame["genome.unactivation_penalty"].where(small.record.frame["trial"] > 3)
    form = small.record.frame["genome.penalty_form"].where(small.record.frame["trial"] > 3, None)
    frame = small.record.frame.assign(**{"genome.unactivation_penalty": penalty, "genome.penalty_form": form})
    frame["failure"] = frame["failure"].replace("the loss became NaN in epoch 3", "diverged")
    html = page(small.but(frame=frame))
    assert "nan" not in Document(html).text.lower()
    assert '"nan' not in html[html.index("chart-window") : html.index("chart-curves")].lower()


def test_the_report_of_a_study_without_trials_says_so(empty, tmp_path):
    write(empty, tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "No trial has finished yet." in text
    assert "hypervolume, as found0.0000" in text
    assert "The front" not in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)
    assert (tmp_path / "trials.csv").read_text().startswith("trial,state,accuracy")


def test_the_report_of_a_study_whose_trials_all_failed_says_so(all_failed, tmp_path):
    write(all_failed, tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Every finished trial failed; the reasons are below." in text
    assert "12 trials failed" in text
    assert text.count("diverged") == 1  # one example


def test_a_study_of_one_trial_lacks_the_sections_that_compare_trials(small):
    one = small.but(frame=small.record.frame[small.record.frame["state"] == "complete"].iloc[:1])
    absent = {make.__name__ for make in SECTIONS if make(one) is None}
    others = {"importance", "parallel", "slices", "rules"}
    assert absent == {"decoding", "health", "notes", "failures", "raster", *others}


def test_texts_of_the_user_are_never_markup(small, tmp_path):
    genome = {
        MARKUP: {"choices": [MARKUP]},
        "penalty_form": {"choices": [MARKUP]},
        "a" + MARKUP: {"low": 0, "high": 1},
    }
    frame = small.record.frame.assign(
        failure=MARKUP,
        **{
            f"genome.{MARKUP}": MARKUP,
            "genome.penalty_form": MARKUP,
            f"genome.a{MARKUP}": np.linspace(0, 1, len(small.record.frame)),
        },
    )
    study = small.but(frame=frame, genome=genome, name=MARKUP, dataset=MARKUP, store=Path(MARKUP))
    study = study.but(versions={MARKUP: MARKUP})
    write(study, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    document = Document(html)
    assert [each["src"] for tag, each in document.elements if tag == "img"] == [
        f"data:image/png;base64,{base64.b64encode((tmp_path / 'front.png').read_bytes()).decode()}"
    ]
    assert not [attributes for _, attributes in document.elements if "onerror" in attributes]
    assert document.text.count(MARKUP) >= 8
    # in the charts, too, of which Plotly reads some HTML itself
    figures = json.dumps(charts(html), ensure_ascii=False)
    assert MARKUP.split()[0] not in html.partition("<body>")[2] and "img src=x" in figures
    assert "<img" not in figures
    assert f"genome.{MARKUP}" in pd.read_csv(tmp_path / "front.csv").columns


def test_names_outside_ascii_are_kept_and_undecodable_ones_are_no_error(small, tmp_path):
    undecodable = os.fsdecode(b"\xff.csv")
    write(small.but(name="Größe 数", dataset="数据.csv", store=Path(undecodable)), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert text.startswith("Größe 数") and "data set数据.csv" in text


def test_a_report_where_nothing_meets_the_constraints_names_the_nearest(small, tmp_path):
    frame = small.record.frame.iloc[:2].assign(state="complete", accuracy=[0.98, 0.5], survivors=[60.0, 4.0])
    write(small.but(frame=frame, goal=LIMITS), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert (
        "No trial meets the constraints (accuracy at least 0.9, survivors at most 40); the nearest reaches "
        "50.0 % with 4 of 256 neurons"  # misses by 0.4 of accuracy; the other by half of 40 neurons
    ) in text
    assert "0 of 2 trials meet the constraints" in text
    assert (
        "within the constraints0" in text
        and "on the front0" in text
        and "hypervolume, as found0.0000" in text
    )
    assert "Progress" not in text and "The networks on the front" not in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)


def test_without_points_of_earlier_epochs_nothing_is_said_of_them(small):
    assert "earlier epoch" not in Document(page(small)).text and "diamond" not in front(small).body


def test_trials_that_were_stopped_are_counted_and_their_points_shown(with_earlier_states, tmp_path):
    scores = ["accuracy", "accuracy_sd", "survivors", "survivors_sd"]
    frame = with_earlier_states.record.frame.assign(state="stopped", **dict.fromkeys(scores, np.nan))
    write(with_earlier_states.but(frame=frame), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "trials done0 stopped early2 failed0" in text
    assert "on the front1 of them at an earlier epoch1" in text and "The best network reaches 97.5 %" in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)
