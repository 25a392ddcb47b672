"""The JSON Schema accepts what can be read and refuses what is written wrongly. jsonschema is the judge."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hebbevo.rules import AXES
from hebbevo.spec import shipped
from hebbevo.spec.document import load_document
from hebbevo.spec.json_schema import json_schema
from tests.spec.conftest import AXES as RULES
from tests.spec.conftest import GOOD, MINIMAL, STRUCTURED
from tests.spec.test_checks import BAD, BAD_STRUCTURES

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def judge():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def page_spaces():
    pages = (ROOT / "docs").rglob("*.md")
    found = [
        block for page in pages for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
    ]
    return [block for block in found if "version: 1" in block and "genome:" in block]


GOOD_SPACES = [
    *(path.read_text() for path in (*shipped().values(), *(ROOT / "examples").glob("*.yaml"))),
    *page_spaces(),
    *(GOOD, STRUCTURED, MINIMAL, RULES),
    MINIMAL.replace("digits", "digits, epochs: 1e1, class_weight: {a: 2}, standardize: [age]"),
    MINIMAL.replace("genome:", "search: {timeout: 1h30m, start: [{learning_rate: 0.5}]}\ngenome:"),
    MINIMAL.replace("genome:", "search: {sampler: ga, settings: {crossover_probability: 0.5}}\ngenome:"),
    MINIMAL.replace("genome:", "objectives: {weighted: {accuracy: 1, survivors: -0.1}}\ngenome:"),
    MINIMAL.replace("genome:", "constraints: {survivors: {max: 40}}\ngenome:"),
    MINIMAL.replace(
        "genome:", 'network: {module: "math:sqrt", settings: {x: 1}}\ngenome:\n  any: {choices: [a]}'
    ),
]


@pytest.mark.parametrize("text", GOOD_SPACES, ids=range(len(GOOD_SPACES)))
def test_spaces_that_can_be_read_are_valid(judge, written, text):
    problem = best_match(judge.iter_errors(load_document(written(text)).data))
    assert problem is None, (problem.json_path, problem.message)


# what depends on several keys, on sizes of other values, or on how YAML is written, only the loader knows
BEYOND = (
    *("'a/b' is one", "has its own", "is not above", "has no place under log", "is not a finite number"),
    *("cannot be read", "the tag", "log takes no step", "does not fit", "makes too many", "is for a range"),
    *("write one, or type", "is for type: float", "stands here", "is never", "there is no gene", "is a real"),
    *("is a gene too", "a key is text", "is not a data set", "write one of digits", "is a list; w"),
    *("is no int gene", "write the name", "is repeated itself", "is not set per layer", "differs from layer"),
    *(
        "nothing says how wide",
        "or a hidden gene",
        "hidden is",
        "hidden.9",
        "has no such knob",
        "is not the ",
    ),
    *(
        "goes from",
        "depth is neve",
        "there is no value",
        "is not a knob of stamina or dense",
        "2 stands",
        "write the widths",
        "there is no ",
    ),
    *("this knob is a whole number", "is a whole number; write type: in"),
)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (text, old, new)
        for text, table in ((GOOD, BAD), (STRUCTURED, BAD_STRUCTURES))
        for old, new, _, _, fragment in table
        if not any(each in fragment for each in BEYOND)
    ],
)
def test_what_is_written_wrongly_is_refused(judge, written, text, old, new):
    assert not judge.is_valid(load_document(written(text.replace(old, new, 1))).data)


def test_completions_have_the_meaning_of_each_knob(judge):
    for part in ("genome", "network"):
        schema = judge.schema["properties"][part] if part == "genome" else judge.schema["$defs"]["Network"]
        known = schema["properties"] if part == "genome" else schema["properties"]["settings"]["properties"]
        for rules in AXES.values():
            for rule in rules.values():
                assert all(knob.meaning in known[name]["description"] for name, knob in rule.knobs.items())
