"""The section on rules that are genes, on made-up studies."""

import pytest

from hebbevo.cli.results import rule_lines
from hebbevo.report.queries import Held, rules_on_front
from hebbevo.report.sections.rules import rules
from tests.report.conftest import Document


@pytest.fixture
def with_rules(small):
    """Seven trials: usage holds the front at 10, 20 and 50 survivors, stamina at 40."""
    frame = small.record.frame.iloc[:7].assign(
        state="complete",
        collapsed=False,
        accuracy=[0.7, 0.8, 0.75, 0.9, 0.6, 0.85, 0.95],
        survivors=[10.0, 20.0, 30.0, 40.0, 20.0, 60.0, 50.0],
        **{"genome.units": ["usage", "usage", "stamina", "stamina", "random", "usage", "usage"]},
    )
    genome = small.record.genome | {"units": {"choices": ["stamina", "usage", "random"]}}
    return small.but(frame=frame, genome=genome)


def test_the_parts_of_the_front_that_each_rule_holds_are_found(with_rules):
    found = rules_on_front(with_rules, "units")
    assert found == {"usage": Held(3, "10 to 20, 50"), "stamina": Held(1, "40")}


def test_the_table_has_a_row_for_every_rule_that_was_tried(with_rules):
    section = rules(with_rules)
    assert section.title == "The rules"
    words = [word.strip() for word in Document(section.body).words if word.strip()]
    start = words.index("usage")
    assert words[start : start + 6] == ["usage", "4", "3", "10 to 20, 50", "95.0 %", "50"]
    assert words[start + 6 : start + 12] == ["stamina", "2", "1", "40", "90.0 %", "40"]
    assert words[start + 12 :] == ["random", "1", "0", "60.0 %", "20"]


def test_the_lines_after_a_search_name_each_rule_with_its_parts(with_rules):
    assert [*rule_lines(with_rules)] == ["units   usage 10 to 20, 50; stamina 40 neurons"]


def test_rules_of_single_layers_are_shown_by_layer(with_rules):
    frame = with_rules.record.frame.rename(columns={"genome.units": "genome.units.1"})
    genome = {name: gene for name, gene in with_rules.record.genome.items() if name != "units"}
    study = with_rules.but(
        frame=frame, genome=genome | {"units.1": {"choices": ["stamina", "usage", "random"]}}
    )
    assert [*rule_lines(study)] == ["units.1 usage 10 to 20, 50; stamina 40 neurons"]


def test_a_study_without_a_rule_among_its_genes_has_no_such_section(small):
    assert rules(small) is None
    assert [*rule_lines(small)] == []
