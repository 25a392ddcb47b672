import errno
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hebbevo.errors import UsageError
from hebbevo.objectives.goal import Goal
from hebbevo.report import write
from hebbevo.report.constraints import missed, survivors_axis
from hebbevo.report.page import page
from hebbevo.report.sections import SECTIONS
from hebbevo.report.sections.failures import failures
from hebbevo.report.sections.front import front
from hebbevo.report.sections.progress import progress
from hebbevo.report.sections.summary import summary
from hebbevo.report.sections.window import window

FILES = ["report.html", "front.csv", "trials.csv", "front.png"]
NASTY = """</script><img src=x onerror="alert('1')">&amp;%{x}$_{"""


class Document(HTMLParser):
    """The elements of a page and its text, scripts and styles left out; checks that tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "wbr"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def png_size(content):
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def test_the_four_files_are_written_into_a_new_folder_and_nothing_else(study, tmp_path):
    folder = tmp_path / "deep" / "down"
    assert write(study, folder) == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert png_size((folder / "front.png").read_bytes()) == (1600, 1000)
    document = Document((folder / "report.html").read_text(encoding="utf-8"))
    titles = ["Summary", "The front", "Progress", "The window of unactivation_penalty", "Failures"]
    positions = [document.text.index(title) for title in titles]
    assert positions == sorted(positions)


def test_the_tables_are_the_frames_of_the_study(small, tmp_path):
    write(small, tmp_path)
    for name, frame in (("front.csv", small.front()), ("trials.csv", small.trials())):
        read = pd.read_csv(tmp_path / name)
        pd.testing.assert_frame_equal(read, frame.replace({None: np.nan}), check_dtype=False)


def test_the_same_study_gives_the_same_bytes(small, tmp_path):
    first, second = (write(small, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_page_needs_nothing_from_outside(small):
    html = page(small)
    assert html.count("* plotly.js v") == 1
    elements = Document(html).elements
    assert ("html", {"lang": "en"}) in elements
    assert not [tag for tag, attributes in elements if attributes.keys() & {"src", "href"}]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hebbevo.report", {"plotly", "matplotlib", "torch"}),
        ("hebbevo.report.picture", {"matplotlib.pyplot"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(module, unwanted):
    code = f"import sys, {module}; print({unwanted} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_drawing_leaves_the_settings_of_matplotlib_alone(small, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        write(small, tmp_path)
        assert dict(matplotlib.rcParams) == before


def test_a_study_is_read_once_so_that_a_running_search_cannot_contradict_itself(small, tmp_path):
    calls = []

    class Counted(type(small)):
        def trials(self):
            calls.append("trials")
            return super().trials()

        def points(self):
            calls.append("points")
            return super().points()

        def front(self):
            calls.append("front")
            return super().front()

    write(Counted(small.frame), tmp_path)
    assert calls == ["trials", "points", "front"]


def test_the_summary_says_the_best_and_the_smallest_within_a_point(small):
    frame = small.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.971, 0.969, 0.1], survivors=[200.0, 64.0, 30.0, 0.0]
    )
    text = Document(summary(replace(small, frame=frame)).body).text
    assert (
        "The best network reaches 98.0 % with 200 of 256 neurons (78.1 %, trial 0); within one point of it, "
        "at 97.1 %, the smallest gets by with 64 of 256 neurons (25.0 %, trial 1)."
    ) in text
    # by hand, reference (0.1, 256): the steps of the front over the survivors' shares, divided by 0.9
    area = 0.869 * (256 - 30) + 0.002 * (256 - 64) + 0.009 * (256 - 200)
    assert f"hypervolume{area / 256 / 0.9:.4f}" in text


def test_the_summary_says_so_when_the_best_is_the_smallest(small):
    frame = small.frame.iloc[:2].assign(state="complete", accuracy=[0.98, 0.5], survivors=[200.0, 64.0])
    text = Document(summary(replace(small, frame=frame)).body).text
    assert "(78.1 %, trial 0); no smaller one comes within one point of it." in text


def test_the_summary_holds_the_settings_and_the_counts(small):
    text = Document(summary(small).body).text
    for fact in (
        *("trials done10", "failed2", "neurons at first256", "data setdigits", "networkmlp, hidden 128-128"),
        *(
            "(activity contribution)",
            "unitsstamina",
            "connectionsfull",
            "creditbackprop",
            "samplerga",
            "seed7",
            "chance accuracy10.0 %",
        ),
        "versionshebbevo 0.1.0, torch 2.13.0",
    ):
        assert fact in text


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


def test_one_replicate_has_no_spread_to_show(small):
    frame = small.frame.assign(accuracy_sd=np.nan, survivors_sd=np.nan)
    body = front(replace(small, frame=frame)).body
    assert "±" not in body and "Error bars" not in body
    assert "Error bars" in front(small).body


def test_the_progress_names_the_trial_that_brought_the_hypervolume(small):
    frame = small.frame.iloc[:4].assign(
        state=["complete", "failed", "complete", "complete"],
        accuracy=[0.5, np.nan, 1.0, 0.2],
        survivors=[128.0, np.nan, 128.0, 250.0],
    )
    text = Document(progress(replace(small, frame=frame, chance=0.0)).body).text
    assert "Trial 2 brought it within 1 % of its last value, 0.5000." in text


def test_the_window_spans_the_front_without_untouched_and_collapsed_networks(small):
    frame = small.frame.iloc[:4].assign(
        state="complete",
        accuracy=[0.98, 0.9, 0.8, 0.1],
        survivors=[256.0, 100.0, 10.0, 0.0],
        **{"genome.unactivation_penalty": [0.01, 0.5, 4.0, 90.0]},
    )
    text = Document(window(replace(small, frame=frame)).body).text
    assert "from 0.5 to 4 (shaded)" in text


def test_without_a_penalty_the_window_is_of_the_gene_that_goes_most_with_the_survivors(small):
    genome = {gene: spec for gene, spec in small.genome.items() if gene != "unactivation_penalty"}
    frame = small.frame.iloc[:5].assign(
        state="complete",
        accuracy=[0.9, 0.8, 0.7, 0.6, 0.5],
        survivors=[200.0, 150.0, 90.0, 40.0, 9.0],
        **{
            "genome.hebbian_threshold": [0.3, -0.2, 0.1, 0.2, -0.1],
            "genome.regrowth_rate": [0.0, 0.001, 0.002, 0.09, 0.1],  # falls with the survivors, never in line
            "genome.learning_rate": 0.001,  # the same in all
        },
    )
    section = window(replace(small, frame=frame, genome=genome))
    assert section.title == "The window of regrowth_rate"
    assert "rank correlation -1.00" in Document(section.body).text


def test_without_any_numeric_gene_there_is_no_window(small):
    assert window(replace(small, genome={"penalty_form": small.genome["penalty_form"]})) is None


def test_an_inactive_gene_is_a_dash_and_not_drawn(small):
    penalty = small.frame["genome.unactivation_penalty"].where(small.frame["trial"] > 3)
    form = small.frame["genome.penalty_form"].where(small.frame["trial"] > 3, None)
    frame = small.frame.assign(**{"genome.unactivation_penalty": penalty, "genome.penalty_form": form})
    frame["failure"] = frame["failure"].replace("the loss became NaN in epoch 3", "diverged")
    html = page(replace(small, frame=frame))
    assert "nan" not in Document(html).text.lower()
    assert '"nan' not in html[html.index("chart-window") :].lower()


def test_the_failures_are_listed_with_their_reasons(small):
    text = Document(failures(small).body).text
    failed = small.frame.query("state == 'failed'")["trial"]
    assert "1 network collapsed" in text
    assert "2 trials failed" in text
    assert all(f"{trial}the loss became NaN in epoch 3" in text for trial in failed)


def test_without_failures_there_is_no_section_on_them(small):
    frame = small.frame[~small.frame["collapsed"] & (small.frame["state"] == "complete")]
    assert failures(replace(small, frame=frame)) is None


def test_a_study_without_a_trial_gives_a_report_that_says_so(empty, tmp_path):
    write(empty, tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "No trial has finished yet." in text
    assert "hypervolume0.0000" in text
    assert "The front" not in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)
    assert (tmp_path / "trials.csv").read_text().startswith("trial,state,accuracy")


def test_a_study_in_which_all_failed_gives_a_report_that_says_so(all_failed, tmp_path):
    write(all_failed, tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Every finished trial failed; the reasons are below." in text
    assert "12 trials failed" in text
    assert text.count("diverged") == 12


class Own:
    """A study with other settings."""

    def __init__(self, study, settings):
        self.study, self.settings = study, settings

    def __getattr__(self, name):
        return getattr(self.study, name)


def test_a_study_of_one_trial_has_every_section_but_those_of_what_went_wrong(small):
    one = replace(small, frame=small.frame[small.frame["state"] == "complete"].iloc[:1])
    assert [section is None for section in (make(one) for make in SECTIONS)] == [False] * 4 + [True] * 2


def test_what_could_not_be_followed_or_stacked_is_told_with_the_number_of_trials(small, tmp_path):
    frame = small.frame.copy()
    frame.loc[frame.index[:3], "notes"] = "trained alone: its <drop.p> is another than the other nets'"
    frame.loc[frame.index[2:4], "repeatable"] = False
    page, *_ = write(replace(small, frame=frame, alone="hardly two are alike"), tmp_path)
    text = Document(page.read_text()).text
    assert "How the networks were measured" in text
    assert "alltrained one by one: hardly two are alike" in text
    assert "3trained alone: its <drop.p> is another" in text
    assert "2trained in another cohort, or failed, for want of time or memory" in text


def test_an_own_network_is_named_in_place_of_family_and_rules_and_an_own_score_in_place_of_accuracy(small):
    settings = small.settings
    settings["network"] = {"module": "mine:build", "settings": {"settle": 0.3}}
    settings["task"] |= {"loss": "mine:loss", "score": "mine:f1"}
    text = Document(summary(Own(small, settings)).body).text
    told = ("networkmine:build (settle 0.3)", "lossmine:loss", "is the score by mine:f1, on validation")
    for words in told:
        assert words in text
    assert "backprop" not in text and "mlp" not in text


def test_running_trials_count_as_neither_done_nor_failed(small):
    frame = small.frame.assign(state="running", accuracy=np.nan, survivors=np.nan)
    text = Document(summary(replace(small, frame=frame)).body).text
    assert "No trial has finished yet." in text
    assert "trials done0" in text and "failed0" in text and "running12" in text


def test_whatever_the_user_wrote_is_text_and_never_markup(small, tmp_path):
    genome = {
        NASTY: {"choices": [NASTY]},
        "penalty_form": {"choices": [NASTY]},
        "a" + NASTY: {"low": 0, "high": 1},
    }
    frame = small.frame.assign(
        failure=NASTY,
        **{
            f"genome.{NASTY}": NASTY,
            "genome.penalty_form": NASTY,
            f"genome.a{NASTY}": np.linspace(0, 1, len(small.frame)),
        },
    )
    study = replace(small, frame=frame, genome=genome, name=NASTY, dataset=NASTY, store=Path(NASTY))
    study = replace(study, versions={NASTY: NASTY})
    write(study, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    document = Document(html)
    assert "img" not in {tag for tag, _ in document.elements}
    assert not [attributes for _, attributes in document.elements if "onerror" in attributes]
    assert document.text.count(NASTY) >= 8
    # in the charts too, where plotly reads a little HTML of its own
    scripts = "".join(re.findall(r"Plotly\.newPlot\((.*?)</script>", html, flags=re.DOTALL))
    assert NASTY.split()[0] not in scripts and "img src=x" in scripts
    assert "<img" not in scripts and r"\u003cimg" not in scripts.lower()
    assert f"genome.{NASTY}" in pd.read_csv(tmp_path / "front.csv").columns


def test_names_outside_ascii_are_kept_and_undecodable_ones_do_not_stop_the_report(small, tmp_path):
    undecodable = os.fsdecode(b"\xff.csv")
    write(replace(small, name="Größe 数", dataset="数据.csv", store=Path(undecodable)), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert text.startswith("Größe 数") and "data set数据.csv" in text


def test_the_frames_of_the_study_stay_as_they_were(small, tmp_path):
    trials, front_frame = small.trials(), small.front()

    class Shared(type(small)):
        def trials(self):
            return trials

        def front(self):
            return front_frame

    before = trials.copy(), front_frame.copy()
    write(Shared(small.frame), tmp_path)
    pd.testing.assert_frame_equal(trials, before[0])
    pd.testing.assert_frame_equal(front_frame, before[1])


def test_a_folder_that_cannot_be_made_is_one_line(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError) as raised:
        write(small, tmp_path / "file" / "report")
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/file/report: the report cannot be written: ")
    assert message.endswith("; choose another folder") and "\n" not in message
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_one_line_and_leaves_the_earlier_report_as_it_was(small, tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).write_text("earlier")
    whole = Path.write_bytes

    def until_full(path, content):
        whole(path, content[: len(content) // 2])
        if "trials" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(UsageError, match=r"No space left on device; choose another folder$"):
        write(small, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "earlier")


def test_an_earlier_report_is_replaced(small, tmp_path):
    (tmp_path / "front.csv").write_text("earlier")
    write(small, tmp_path)
    frame = pd.read_csv(io.BytesIO((tmp_path / "front.csv").read_bytes()))
    assert frame["trial"].to_list() == small.front()["trial"].to_list()


# --- goals ---

LIMITS = Goal(constraints={"accuracy": (0.9, None), "survivors": (None, 40.0)})


def traces(html):
    """What is drawn: the name, x and y of each trace of the first chart, and its shapes."""
    drawn, layout = re.search(r"Plotly\.newPlot\(\s*\"chart-front\",\s*(\[.*?\]),\s*(\{.*\}),", html).groups()
    return json.loads(drawn), json.loads(layout)["shapes"]


def test_the_front_shows_its_limits_and_how_many_trials_are_within(small):
    frame = small.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.95, 0.92, 0.5], survivors=[200.0, 40.0, 30.0, 4.0]
    )
    body = front(replace(small, frame=frame, goal=LIMITS)).body
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


def test_limits_are_shaded_where_an_axis_misses_them(small):
    def shaded(low, high, values):
        frame = small.frame.iloc[: len(values)].assign(state="complete", accuracy=0.5, survivors=values)
        study = replace(small, frame=frame, goal=Goal(constraints={"survivors": (low, high)}))
        return missed(study, "survivors", survivors_axis(study))

    linear = survivors_axis(replace(small, frame=small.frame.iloc[:1].assign(survivors=200.0)))
    assert shaded(None, 220, [200.0]) == [(220, linear.high)]
    assert shaded(210, 220, [200.0]) == [(linear.low, 210), (220, linear.high)]
    assert shaded(0, None, [200.0, 1.0, 0.0]) == [(0.4, 0.5)]  # a log axis: left of 0, which is at 0.5
    assert shaded(None, 1e6, [200.0]) == []  # nothing in sight is above
    ((low, high),) = shaded(None, 2, [200.0])  # in sight although no trial comes near
    assert low == 2 and high > 256


def test_a_report_where_nothing_meets_the_constraints_names_the_nearest(small, tmp_path):
    frame = small.frame.iloc[:2].assign(state="complete", accuracy=[0.98, 0.5], survivors=[60.0, 4.0])
    write(replace(small, frame=frame, goal=LIMITS), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert (
        "No trial meets the constraints (accuracy at least 0.9, survivors at most 40); the nearest reaches "
        "50.0 % with 4 of 256 neurons"  # by 0.4 of accuracy; the other by half of 40 neurons
    ) in text
    assert "0 of 2 trials meet the constraints" in text
    assert "within the constraints0" in text and "on the front0" in text and "hypervolume0.0000" in text
    assert "Progress" not in text and "The networks on the front" not in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)


def test_the_summary_of_a_single_objective_names_the_best_trial(small):
    frame = small.frame.iloc[:3].assign(
        state="complete", accuracy=[0.98, 0.95, 0.5], survivors=[200.0, 30.0, 4.0]
    )
    goal = Goal(("survivors",), {}, {"accuracy": (0.9, None)})
    text = Document(summary(replace(small, frame=frame, goal=goal)).body).text
    assert (
        "The best network within the constraints, by fewest survivors, reaches 95.0 % with 30 of 256 neurons "
        "(11.7 %, trial 1)."
    ) in text
    assert "objectivesfewest survivors" in text and "constraintsaccuracy at least 0.9" in text
    # of the two feasible trials, by hand
    assert f"hypervolume{(0.85 * (256 - 30) + 0.03 * (256 - 200)) / 256 / 0.9:.4f}" in text


def test_the_progress_is_of_feasible_trials(small):
    frame = small.frame.iloc[:3].assign(
        state="complete", accuracy=[1.0, 0.5, 1.0], survivors=[20.0, 64.0, 128.0]
    )
    limits = Goal(constraints={"survivors": (50.0, None)})
    text = Document(progress(replace(small, frame=frame, goal=limits, chance=0.0)).body).text
    # half the height over three quarters of the width, and the rest over a half
    assert "Trial 2 brought it within 1 % of its last value, 0.6250." in text


def test_copies_are_counted_in_the_summary(small):
    frame = small.frame.assign(copy_of=pd.array([None] * 9 + [0, 0, 1], dtype="Int64"))
    assert "of them copies3" in Document(summary(replace(small, frame=frame)).body).text
    assert "copies" not in Document(summary(small).body).text


# --- earlier epochs ---


@pytest.fixture
def passing(small):
    """Two trials, the second of which had a point of the front 14 epochs before its end."""
    frame = small.frame.iloc[:2].assign(
        state="complete",
        accuracy=[0.98, 0.5],
        survivors=[200.0, 60.0],
        **{"genome.unactivation_penalty": [0.5, 4.0]},
    )
    return replace(small, frame=frame, chance=0.0, passed=((1, 2, 0.6, 256.0), (1, 6, 0.975, 128.0)))


def test_points_of_earlier_epochs_have_a_symbol_a_legend_and_an_epoch_of_their_own(passing):
    body = front(passing).body
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


def test_a_trial_that_is_on_the_front_only_at_an_earlier_epoch_is_still_among_the_others(passing):
    frame = passing.frame.assign(accuracy=[0.98, 0.4], survivors=[60.0, 60.0])
    drawn = {trace.get("name"): trace for trace in traces(front(replace(passing, frame=frame)).body)[0]}
    assert drawn["other trials"]["y"] == [0.4]


def test_without_points_of_earlier_epochs_nothing_is_said_of_them(small):
    text = page(small)
    assert "earlier epoch" not in text[text.index("</script>") :] and "diamond" not in front(small).body


def test_the_summary_says_after_which_epoch_a_network_is_that_small_and_counts_such_points(passing):
    text = Document(summary(passing).body).text
    assert (
        "The best network reaches 98.0 % with 200 of 256 neurons (78.1 %, trial 0); within one point of it, "
        "at 97.5 %, the smallest gets by with 128 of 256 neurons (50.0 %, trial 1 after 6 of 20 epochs)."
    ) in text
    assert "on the front3" in text and "of them at an earlier epoch1" in text
    area = 0.5 * (256 - 60) + 0.475 * (256 - 128) + 0.005 * (256 - 200)
    assert f"hypervolume{area / 256:.4f}" in text


def test_two_points_of_one_trial_can_be_the_best_and_the_smallest_within_a_point(passing):
    text = Document(summary(replace(passing, frame=passing.frame.assign(accuracy=0.97))).body).text
    best = "The best network reaches 97.5 % with 128 of 256 neurons (50.0 %, trial 1 after 6 of 20 epochs)"
    assert f"{best}; within one point of it, at 97.0 %, the smallest gets by with 60 of" in text


def test_the_progress_counts_a_trials_earlier_epochs_with_it(passing):
    text = Document(progress(passing).body).text
    area = 0.5 * (256 - 60) + 0.475 * (256 - 128) + 0.005 * (256 - 200)
    assert f"Trial 1 brought it within 1 % of its last value, {area / 256:.4f}." in text


def test_the_window_shows_points_of_earlier_epochs_where_they_were(passing):
    body = window(passing).body
    assert "open diamonds are networks at an earlier epoch" in Document(body).text
    assert "from 0.5 to 4 (shaded)" in Document(body).text
    symbols = re.findall(r'"symbol":\[(.*?)\]', body)
    assert sorted(",".join(symbols).split(",")) == sorted(2 * ['"circle"', '"circle"', '"diamond-open"'])


def test_trials_that_were_stopped_are_counted_and_their_points_shown(passing, tmp_path):
    scores = ["accuracy", "accuracy_sd", "survivors", "survivors_sd"]
    frame = passing.frame.assign(state="stopped", **dict.fromkeys(scores, np.nan))
    write(replace(passing, frame=frame), tmp_path)
    text = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "trials done0stopped early2failed0" in text
    assert "on the front1of them at an earlier epoch1" in text and "The best network reaches 97.5 %" in text
    assert png_size((tmp_path / "front.png").read_bytes()) == (1600, 1000)
