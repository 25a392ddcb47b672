import pytest

from hebbevo.errors import SpaceError
from hebbevo.rules import UNITS
from hebbevo.spec import read, spec_from_json
from tests.spec.conftest import MINIMAL, complaint

AXES_NOW = "units, connections and credit have a rule each; write"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stamina", "units: stamina"),
        ("hebb_mask", "units: dense, connections: hebb_mask"),
        ("dense", "units: dense"),
        ("other", f"units: RULE, one of {', '.join(UNITS)}"),
        ("[a]", f"units: RULE, one of {', '.join(UNITS)}"),
    ],
)
def test_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, old, new):
    found = complaint(written(f"{MINIMAL}network: {{rule: {old}}}\n"))
    assert found == (6, "network.rule", f"{AXES_NOW} {new}")
    with pytest.raises(SpaceError) as caught:
        data = read(written(MINIMAL)).to_json()
        data["network"]["rule"] = old
        spec_from_json(data)
    assert str(caught.value) == f"network.rule: {AXES_NOW} {new}"


@pytest.mark.parametrize(
    ("gene", "new"),
    [
        ("{choices: [stamina, dense]}", "a gene units: {choices: [stamina, dense]}"),
        ("{choices: [dense, stamina], when: {optimizer: sgd}}", "a gene units: {choices: [dense, stamina]}"),
        (
            "{choices: [stamina, hebb_mask]}",
            "genes units: {choices: [stamina, dense]} "
            "and connections: {choices: [hebb_mask], when: {units: dense}}",
        ),
        (
            "{choices: [stamina, dense, hebb_mask]}",
            "genes units: {choices: [stamina, dense]} "
            "and connections: {choices: [full, hebb_mask], when: {units: dense}}",
        ),
        (
            "{choices: [dense, hebb_mask]}",
            "units: dense in network, and a gene connections: {choices: [full, hebb_mask]}",
        ),
        (
            "{choices: [stamina, other]}",
            "a gene for each that is searched, as in units: {choices: [stamina, dense]}",
        ),
        ("{low: 1, high: 2}", "a gene for each that is searched, as in units: {choices: [stamina, dense]}"),
    ],
)
def test_a_gene_for_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, gene, new):
    found = complaint(written(f"{MINIMAL}  rule: {gene}\n  optimizer: {{choices: [adamw, sgd]}}\n"))
    assert found == (6, "genome.rule", f"{AXES_NOW} {new}")


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("stamina", "when: {units: stamina}"),
        ("[stamina, dense]", "when: {units: [stamina, dense]}"),
        ("hebb_mask", "when: {connections: hebb_mask}"),
        ("[stamina, hebb_mask]", "a condition on units or connections, as in when: {units: stamina}"),
        ("3", "a condition on units or connections, as in when: {units: stamina}"),
    ],
)
def test_a_condition_on_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, value, new):
    text = f"{MINIMAL}  grace: {{type: int, low: 1, high: 9, when: {{rule: {value}}}}}\n"
    assert complaint(written(text)) == (6, "genome.grace.when.rule", f"{AXES_NOW} {new}")


def test_every_old_rule_is_written_with_rules_that_there_are_and_read_again(written):
    for old in ("stamina", "hebb_mask", "dense"):
        what = complaint(written(f"{MINIMAL}network: {{rule: {old}}}\n"))[2]
        read(written(f"{MINIMAL}network: {{{what.partition('; write ')[2]}}}\n"))
