import json
import random
import re
from pathlib import Path

import pytest
import yaml

from hebbevo.errors import SpaceError
from hebbevo.spec import read, spec_from_json
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
