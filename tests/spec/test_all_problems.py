"""Everything that is wrong with a space is said at once."""

import random
import re
from itertools import combinations

import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import override, read, read_mapping
from tests.spec.conftest import GOOD, MINIMAL, STRUCTURED
from tests.spec.test_checks import BAD


def complaints(path):
    """All lines, with their numbers."""
    with pytest.raises(SpaceError) as caught:
        read(path)
    lines = [str(caught.value), *getattr(caught.value, "__notes__", ())]
    assert all(line.isprintable() for line in lines)
    found = [re.fullmatch(r"(\d+): (.+?): (.*)", line.removeprefix(f"{path}:")) for line in lines]
    return [(int(line[1]), line[2], line[3]) for line in found]


def essence(found):
    """The keys and what is wrong, without lines and without advice, which depend on the rest of the file."""
    return {(key, what.partition(";")[0].partition(", first on line")[0]) for _, key, what in found}


# under a misspelt rule, sampler or part the rest of it is not judged; conditions need the genes they name
RELATED = ("units: stamina", "sampler: ga", "task: {", "unactivation_penalty")
INDEPENDENT = [each for each in BAD if each[0] not in RELATED and "hebbian_threshold" not in each[3]]


def test_two_faults_are_reported_as_each_is_alone(written):
    # within one gene, or one list, a fault may hide another
    keys = {each: ".".join(each[3].split(".")[:2]) for each in INDEPENDENT}
    pairs = [pair for pair in combinations(INDEPENDENT, 2) if keys[pair[0]] != keys[pair[1]]]
    tried = 0
    for first, second in random.Random(0).sample(pairs, 200):
        once = GOOD.replace(first[0], first[1], 1)
        both = once.replace(second[0], second[1], 1)
        if second[0] not in once or first[1] not in both:
            continue
        alone = [complaints(written(GOOD.replace(old, new, 1))) for old, new, *_ in (first, second)]
        found = complaints(written(both))
        assert essence(found) == essence(alone[0]) | essence(alone[1])
        assert [line for line, *_ in found] == sorted(line for line, *_ in found)
        tried += 1
    assert tried > 150


def test_faults_of_all_parts_are_reported_in_the_order_of_the_file(written):
    text = """\
version: 2
task: {epochs: 0, dataset: digitz, kind: reg}
network: {hidden: [128, x], settings: {settel: 0.2, settle: 3}}
search: {sampler: gaa, halving: yes}
genome:
  hebbian_threshold: {low: 5, high: 1}
  rate: {min: 1, max: 2}
  regrowth_rates: {low: 0, high: 1}
objectives: {speed: maximize}
"""
    assert [(line, key) for line, key, _ in complaints(written(text))] == [
        (1, "name"),
        (1, "version"),
        (2, "task.epochs"),
        (2, "task.dataset"),
        (2, "task.kind"),
        (3, "network.hidden.1"),
        (3, "network.settings.settel"),
        (3, "network.settings.settle"),
        (4, "search.sampler"),
        (4, "search.halving"),
        (6, "genome.hebbian_threshold.high"),
        (7, "genome.rate"),
        (8, "genome.regrowth_rates"),
        (9, "objectives.speed"),
    ]


def test_a_place_has_one_line(written):
    found = complaints(written(MINIMAL.replace("dataset: digits", "dataset: digits, epochs: 1:30")))
    assert found == [
        (
            3,
            "task.epochs",
            "1:30 has two readings in YAML; write a length of time as 1m30s, or the text in quotes",
        )
    ]


def test_what_a_knob_lacks_is_reported_beside_faults_elsewhere(written):
    text = STRUCTURED.replace("dataset: digits", "dataset: digitz")
    text = text.replace("log: true, when: {units: stamina}", "log: true").replace("settle: 0.3", "settle: 3")
    keys = [key for _, key, _ in complaints(written(text))]
    assert keys == ["task.dataset", "network.settings.settle", "genome.unactivation_penalty"]


@pytest.mark.parametrize("rule", ["units: usgae", "units: [usage]"])
def test_under_a_misspelt_rule_any_knob_may_be_meant(written, rule):
    text = f"version: 1\nname: a\ntask: {{dataset: digits}}\nnetwork: {{{rule}}}\ngenome:\n"
    text += "  target: {type: int, low: 4, high: 9}\n  targte: {low: 4, high: 9}\n"
    found = complaints(written(text))
    assert [key for _, key, _ in found] == ["network.units", "genome.targte"]
    assert "'targte' is not a knob of any rule; write target" in found[1][2]


def test_a_starting_point_is_checked_where_the_genome_is_good(written):
    text = MINIMAL.replace("genome:", "search: {start: [{rate: 1}]}\ngenome:").replace("digits", "digitz")
    assert [key for _, key, _ in complaints(written(text))] == ["task.dataset", "search.start.0.rate"]


def test_genes_of_another_tool_do_not_hide_other_faults(written):
    text = MINIMAL.replace("genome", "parameters").replace("least", "a/b")
    assert [key for _, key, _ in complaints(written(text))] == ["name", "parameters"]


def test_a_mapping_and_options_have_a_note_for_each_further_problem():
    with pytest.raises(SpaceError, match=r"^space: task\.dataset: ") as caught:
        read_mapping({"task": {"dataset": "x"}, "genome": {"rate": {"low": 0, "high": 1}}, "sarch": {}})
    assert [line.split(": ")[1] for line in caught.value.__notes__] == ["genome.rate", "sarch"]
    with pytest.raises(SpaceError, match=r"^--epochs: -1 is too small") as caught:
        override(read("stamina"), trials=0, epochs=-1)
    assert [line.split(": ")[0] for line in caught.value.__notes__] == ["--trials"]


def test_a_single_problem_has_no_notes():
    with pytest.raises(SpaceError) as caught:
        read_mapping({"task": {"dataset": "x"}, "genome": {"learning_rate": {"low": 1e-4, "high": 1}}})
    assert not hasattr(caught.value, "__notes__")
