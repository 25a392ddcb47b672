import json
import random
import re
from pathlib import Path

import pytest
import yaml

from hebbevo.errors import SpaceError
from hebbevo.spec import read, spec_from_json
from hebbevo.spec.document import load_document
from tests.spec.conftest import AXES, GOOD, MINIMAL, STRUCTURED, complaint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("1E-5", 1e-5),
        (".5e0", 0.5),
        ("1.e-1", 0.1),
        ("1", 1),
        ("0.25", 0.25),
    ],
)
def test_every_way_to_write_a_number_is_a_number(written, text, value):
    low = read(written(MINIMAL.replace("1e-5", text).replace("1.0e0", "2e0"))).genome["learning_rate"].low
    assert low == value and not isinstance(low, str)


CORE_SCHEMA = {
    # chapter 10.3.2 of YAML 1.2.2, and what differs from YAML 1.1
    "010": 10, "064": 64, "08": 8, "-07": -7, "+12": 12, "0": 0, "-0": 0, "0o7": 7, "0o17": 15, "0x3A": 58,
    "-19": -19, "0.": 0.0, "-0.0": -0.0, ".5": 0.5, "+12e03": 12000.0, "-2E+05": -200000.0, "1e-3": 0.001,
    "1e3": 1000.0, "12.5": 12.5, "true": True, "True": True, "TRUE": True, "false": False, "FALSE": False,
    "tRUE": "tRUE", "y": "y", "N": "N", "nULL": "nULL", "2024-01-31": "2024-01-31", "0o8": "0o8",
    "2024-01-31 10:11:12": "2024-01-31 10:11:12", "=": "=", "<<": "<<", "1.2.3": "1.2.3", "0xg": "0xg",
    "1e": "1e", "_1": "_1", "v1:30": "v1:30", "'010'": "010", '"yes"': "yes", "'1:30'": "1:30", "a_1": "a_1",
    "!!str yes": "yes", "!!str 010": "010", "!!int 010": 10, "!!float 1": 1.0, "!!bool true": True,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), CORE_SCHEMA.items(), ids=repr)
def test_a_scalar_has_the_type_and_value_of_the_core_schema(written, text, value):
    found = load_document(written(f"key: {text}\n"))
    assert not found.problems
    assert repr(found.data) == repr({"key": value})


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes",
        "NO",
        "no",
        "on",
        "Off",
        "1_000",
        "0x1_0",
        "0b11",
        "-0b1",
        "1:30",
        "190:20:30",
        "1:30.5",
        "1_0.5",
        "1.0_5",
        "1_0e3",
    ],
)
def test_a_scalar_that_yaml_1_1_and_1_2_read_differently_is_refused_and_in_quotes_it_is_text(written, text):
    for place in (f"key: {text}\n", f"key: [a, {text}]\n"):
        [problem] = load_document(written(place)).problems
        assert problem.what.startswith(f"{text} has two readings in YAML; write ")
    quoted = load_document(written(f"key: '{text}'\n"))
    assert (quoted.data, quoted.problems) == ({"key": text}, [])


@pytest.mark.parametrize(
    "text", ["!!int a", "!!int 1_0", "!!float x", "!!bool yes", "!!timestamp 2024-01-31"]
)
def test_a_tag_that_does_not_fit_its_scalar_is_refused(written, text):
    [problem] = load_document(written(f"key: {text}\n")).problems
    assert "cannot be read" in problem.what or "has no use here" in problem.what


def test_keys_that_yaml_1_1_takes_for_truth_values_are_names(written):
    found = load_document(written("on: 1\nyes: 2\nn: 3\n1:30: 4\n"))
    assert (found.data, found.problems) == ({"on": 1, "yes": 2, "n": 3, "1:30": 4}, [])


def test_merging_and_a_key_that_stands_twice_are_refused(written):
    [merged] = load_document(written("a: {b: 1}\n<<: {c: 1}\n")).problems
    assert (merged.line, merged.what) == (2, "nothing is merged here; write the keys out")
    [twice] = load_document(written('a: 1\n"a": 2\n')).problems
    assert (twice.line, twice.what) == (2, "stands here twice, first on line 1; drop one")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1:30", "1:30 has two readings in YAML; write a length of time as 1m30s, or the text in quotes"),
        ("'1:30'", "'1:30' is not a length of time; write seconds above 0, or a text as in 90s, 10m, 2h"),
        ("10_000", "10_000 has two readings in YAML; write the digits alone, or the text in quotes"),
    ],
)
def test_a_timeout_is_not_read_to_the_base_of_60(written, text, words):
    line, key, what = complaint(written(MINIMAL + f"search: {{timeout: {text}}}\n"))
    assert (line, key) == (6, "search.timeout")
    assert what.startswith(words)


def test_a_leading_zero_does_not_make_a_number_octal(written):
    search = read(written(MINIMAL + "search: {trials: 010, seed: 064, timeout: 0100}\n")).search
    assert (search.trials, search.seed, search.timeout) == (10, 64, 100.0)


def test_a_whole_number_may_be_written_with_an_exponent(written):
    assert read(written(MINIMAL + "search: {trials: 1e3}\n")).search.trials == 1000


def test_a_date_is_a_name_and_a_byte_order_mark_is_nothing(written):
    text = MINIMAL.replace("least", "2024-01-31")
    assert read(written(b"\xef\xbb\xbf" + text.encode())).name == "2024-01-31"


@pytest.mark.parametrize(
    ("text", "line", "key", "fragment"),
    [
        ("", 1, "file", "this is empty; write version, name, task and genome"),
        ("# nothing\n\n", 1, "file", "this is empty"),
        ("\n\n- a\n", 3, "file", "this is not a mapping"),
        ("stamina\n", 1, "file", "this is not a mapping"),
        (b"version: 1\nname: \xff\n", 2, "file", "this is not UTF-8 text; save the file as UTF-8"),
        ("version: 1".encode("utf-16"), 1, "file", "this is not UTF-8 text"),
        ("version: 1\nname: a\0b\n", 2, "yaml", r"the character '\x00' cannot stand in YAML; remove it"),
        ("version: 1\nname: {a\n", 3, "yaml", "expected ',' or '}'"),
        ("version: 1\n\tname: a\n", 2, "yaml", r"found character '\t' that cannot start any token"),
        ("version: 1\nname: a: b\n", 2, "yaml", "mapping values are not allowed here"),
        ("version: 1\n---\nversion: 1\n", 2, "yaml", "but found another document"),
        ("version: 1\nname: &x a\ntask: *x\n", 3, "yaml", "this is not YAML (no aliases here)"),
        ("version: 1\nname: " + "[" * 5000 + "\n", 2, "yaml", "this is not YAML (nested too deeply)"),
        ("version: 1\nname: a\ntask: {dataset: digits}\ngenome: {}\n", 4, "genome", "{} is empty; write {lo"),
        ("version: 1\nname: a\ntask: {dataset: digits}\ngenome:\n", 4, "genome", "has no value; write {low:"),
        ("version: 1\nname: a\ntask: {dataset: digits}\n", 1, "genome", "missing; write {low: ..., high: .."),
        (MINIMAL.replace("{low: 1e-5, high: 1.0e0}", "0.1"), 5, "genome.learning_rate", "0.1 is not a gene;"),
        (MINIMAL + '  "a\\nb": {low: 1, high: 2}\n', 6, r"genome.a\nb", "is not a knob of stamina"),
        (
            MINIMAL.replace("{dataset: digits}", "{dataset: digitz}") + "search: {trials: 0}\n",
            3, "task.dataset", "'digitz' is not a data set",
        ),
        (
            MINIMAL.replace("1e-5", "2") + "  warmup: {low: 1, high: 3}\nname: b\n",
            5, "genome.learning_rate.high", "1.0 is not above low",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {gone: 1}}\n  grace: {low: 0}\n",
            6, "genome.warmup.when.gone", "there is no gene gone",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {grace: 1}}\n  grace: {low: 0}\n",
            7, "genome.grace.high", "missing",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {grace: 1}}\n"
            "  grace: {low: 0, high: 3, type: int, when: {warmup: 1}}\n",
            6, "genome.warmup.when", "the conditions go in a circle",
        ),
    ],
)  # fmt: skip
def test_the_problem_on_the_first_line_is_reported(written, text, line, key, fragment):
    found = complaint(written(text))
    assert found[:2] == (line, key)
    assert fragment in found[2]


def test_a_directory_is_one_line(tmp_path):
    assert complaint(tmp_path) == (1, "file", "this is a directory; write the path of a file in it")


def test_a_file_that_cannot_be_opened_is_one_line(written, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = written(GOOD)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert complaint(path) == (1, "file", "cannot be read (Permission denied); write another path")


GARBAGE = (
    "", "~", "-1", "0", "1e400", ".nan", "[]", "{}", "[1, a]", "{a: b}", "true", "'", '"', ": :", "\t", "&a",
    "*a", "!!python/object:os.system x", "!!binary aGk=", "!!set {a}", "? [x]", "- - -", "%TAG", "---", "...",
    "0b_", "2024-99-99", "<<: {low: 1}", "!", "|", "\u2028", "é", "a\0", "9" * 30, "1_0", "0o7", "=",
)  # fmt: skip


def mutated(lines, rng):
    lines = list(lines)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(lines))
        word = rng.choice(GARBAGE)
        match rng.randrange(5):
            case 0:
                del lines[i]
            case 1:
                lines[i] = re.sub(r":.*", lambda _, word=word: f": {word}", lines[i], count=1)
            case 2:
                lines[i] = re.sub(r"[-\w.]+(?=[,}\]]|$)", lambda _, word=word: word, lines[i], count=1)
            case 3:
                lines.insert(i, rng.choice(lines))
            case 4:
                at = rng.randrange(len(lines[i]) + 1)
                lines[i] = lines[i][:at] + word + lines[i][at + rng.randint(0, 3) :]
    return "\n".join(lines) + "\n"


def test_a_garbled_file_gives_a_spec_or_one_line(written):
    rng, good, bad = random.Random(0), 0, 0
    for _ in range(600):
        text = mutated(rng.choice((GOOD, STRUCTURED, AXES)).splitlines(), rng)
        path = written(text)
        try:
            spec = read(path)
        except SpaceError as error:
            bad += 1
            assert str(error).isprintable(), text
            assert re.match(re.escape(str(path)) + r":\d+: .+: .+; .+", str(error)), (text, str(error))
        else:
            good += 1
            assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert bad > 300 and good > 10


def test_reading_leaves_the_yaml_library_as_it_was(written):
    read(written(GOOD))
    assert yaml.safe_load("[1e-5, 2024-01-31]") == ["1e-5", yaml.safe_load("2024-01-31")]
