import re

from hebbevo.report.sections.window import window
from tests.report.conftest import Document


def test_the_window_spans_the_front_without_unpruned_and_collapsed_networks(small):
    frame = small.record.frame.iloc[:4].assign(
        state="complete",
        accuracy=[0.98, 0.9, 0.8, 0.1],
        survivors=[256.0, 100.0, 10.0, 0.0],
        **{"genome.unactivation_penalty": [0.01, 0.5, 4.0, 90.0]},
    )
    text = Document(window(small.but(frame=frame)).body).text
    assert "from 0.5 to 4 (shaded)" in text


def test_without_a_penalty_the_window_is_that_of_the_gene_most_correlated_with_survivors(small):
    genome = {gene: spec for gene, spec in small.record.genome.items() if gene != "unactivation_penalty"}
    frame = small.record.frame.iloc[:5].assign(
        state="complete",
        accuracy=[0.9, 0.8, 0.7, 0.6, 0.5],
        survivors=[200.0, 150.0, 90.0, 40.0, 9.0],
        **{
            "genome.hebbian_threshold": [0.3, -0.2, 0.1, 0.2, -0.1],
            "genome.regrowth_rate": [
                0.0,
                0.001,
                0.002,
                0.09,
                0.1,
            ],  # rises as survivors fall, but not linearly
            "genome.learning_rate": 0.001,  # the same in all
        },
    )
    section = window(small.but(frame=frame, genome=genome))
    assert section.title == "The window of regrowth_rate"
    assert "rank correlation -1.00" in Document(section.body).text


def test_without_any_numeric_gene_there_is_no_window(small):
    assert window(small.but(genome={"penalty_form": small.record.genome["penalty_form"]})) is None


def test_the_window_shows_points_of_earlier_epochs(with_earlier_states):
    body = window(with_earlier_states).body
    assert "open diamonds are networks at an earlier epoch" in Document(body).text
    assert "from 0.5 to 4 (shaded)" in Document(body).text
    symbols = re.findall(r'"symbol":\[(.*?)\]', body)
    assert sorted(",".join(symbols).split(",")) == sorted(2 * ['"circle"', '"circle"', '"diamond-open"'])
