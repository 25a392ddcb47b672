import re

from hebbevo.report.sections.window import window
from tests.report.conftest import GENOME, Document

DESIGN = {"search": {"sampler": "random"}}


def test_a_study_whose_trials_were_not_chosen_has_the_sentence_the_shares_and_the_map(study):
    section = window(study.but(settings=DESIGN))
    text = Document(section.body).text
    assert section.title == "The window of unactivation_penalty"
    assert text.startswith("unactivation_penalty is usable from ")
    assert "500 trials are too few to tell penalty_form apart: 4 x 8 cells need 800" in text
    assert "500 trials that the sampler did not choose by results" in text
    assert re.findall(r'id="chart-([\w-]+)"', section.body) == ["window", "window-map"]


def test_of_a_search_only_the_first_generation_counts_and_the_sentence_names_the_command(study):
    section = window(study)
    text = Document(section.body).text
    assert "50 trials that the sampler did not choose are too few for unactivation_penalty" in text
    assert "8 cells need 200; run 'hebbevo window SPACE'" in text
    assert re.findall(r'id="chart-([\w-]+)"', section.body) == ["window"]


def test_without_a_penalty_the_window_is_that_of_the_gene_most_correlated_with_survivors(small):
    genome = {gene: spec for gene, spec in GENOME.items() if gene != "unactivation_penalty"}
    frame = small.record.frame.iloc[:5].assign(
        state="complete",
        accuracy=[0.9, 0.8, 0.7, 0.6, 0.5],
        survivors=[200.0, 150.0, 90.0, 40.0, 9.0],
        **{
            "genome.hebbian_threshold": [0.3, -0.2, 0.1, 0.2, -0.1],
            "genome.regrowth_rate": [0.0, 0.001, 0.002, 0.09, 0.1],  # rises as survivors fall, not linearly
            "genome.learning_rate": 0.001,  # the same in all
        },
    )
    assert window(small.but(frame=frame, genome=genome)).title == "The window of regrowth_rate"


def test_without_any_numeric_gene_or_any_trial_there_is_no_window(small, empty):
    assert window(small.but(genome={"penalty_form": GENOME["penalty_form"]})) is None
    assert window(empty) is None


def test_without_a_complete_trial_there_is_no_window(all_failed):
    assert window(all_failed) is None
