import numpy as np
import pytest

from hebbevo.errors import UsageError
from hebbevo.report.window_charts import map_figure, map_gene, window_figure
from hebbevo.study.window import ALL
from tests.report.conftest import MadeUpRecord, MadeUpStudy, made_up_trials


@pytest.fixture(scope="module")
def design():
    """A study of 1,000 random trials, enough to tell four forms apart."""
    return MadeUpStudy(MadeUpRecord(made_up_trials(count=1000), settings={"search": {"sampler": "random"}}))


def test_the_marks_are_the_shares_and_the_bars_end_where_the_intervals_end(design):
    shares = design.window().shares
    figure = window_figure(design)
    assert {trace.name for trace in figure.data} == {"all trials", "mean", "ratio", "zero_sum", "constant"}
    for trace in figure.data:
        own = shares[shares["group"] == (ALL if trace.name == "all trials" else trace.name)]
        assert trace.y == pytest.approx(own["share"].to_numpy())
        assert np.array(trace.y) + trace.error_y.array == pytest.approx(own["share_high"].to_numpy())
        assert np.array(trace.y) - trace.error_y.arrayminus == pytest.approx(own["share_low"].to_numpy())
        assert [int(x) for x in trace.x] == list(range(8))  # each mark lies in its own cell


def test_the_shaded_part_reaches_from_edge_to_edge_or_to_the_end_of_the_range(design):
    whole = design.window().ranges[0]
    [shape] = window_figure(design).layout.shapes
    assert shape.x0 == pytest.approx(2 * (np.log10(whole.lower.place) + 2))
    assert shape.x1 == pytest.approx(2 * (np.log10(whole.upper.place) + 2))
    assert design.window(within=1.0).ranges[0].upper is None
    [shape] = window_figure(design, within=1.0).layout.shapes
    assert shape.x1 == 8


def test_with_too_few_trials_to_tell_forms_apart_only_all_trials_are_drawn(study):
    random = study.but(settings={"search": {"sampler": "random"}})
    assert [trace.name for trace in window_figure(random).data] == ["all trials"]
    assert window_figure(random).layout.showlegend is False


def test_the_map_has_the_share_of_each_pair_of_cells(design):
    window = design.window()
    gene = map_gene(design, window)
    assert gene.name == "hebbian_threshold"
    [heat] = map_figure(window, gene).data
    trials = window.trials
    column = np.floor(2 * (np.log10(trials["genome.unactivation_penalty"]) + 2)).astype(int)
    row = np.floor(4 * (trials["genome.hebbian_threshold"] + 1)).astype(int)
    for y, line in enumerate(heat.z):
        for x, value in enumerate(line):
            own = trials["usable"][(column == x) & (row == y)]
            assert value == pytest.approx(own.mean())
            assert f"{own.sum()} of {len(own)} trials usable" in heat.text[y][x]


def test_a_gene_of_another_name_is_refused_with_those_that_there_are(design):
    with pytest.raises(UsageError, match=r"there is no numeric gene 'x'; known: unactivation_penalty, "):
        window_figure(design, "x")


def test_where_nothing_is_pruned_accuracy_alone_says_what_is_usable(design):
    dense = MadeUpStudy(
        MadeUpRecord(
            made_up_trials(count=1000),
            settings={"search": {"sampler": "random"}, "network": {"units": "dense"}},
        )
    )
    definition = dense.window("learning_rate").definition
    assert definition.min_lost == 0
    assert definition.text.startswith("accuracy within 5 points of the best")
    assert design.window("learning_rate").definition.text.startswith("at least 50 % of the neurons gone, acc")
