"""What a new space file says fits the data, can be read, and can be searched."""

import datetime
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.spec import read
from hebbevo.spec.new import new_space

RNG = np.random.default_rng(0)
ROWS = 90


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(labels, **columns):
    """A table of two numbers and whatever else, with a column ``y``."""
    return pd.DataFrame({"a": RNG.normal(size=ROWS), "b": RNG.normal(size=ROWS) * 7, **columns, "y": labels})


NAMES = np.array(["no", "yes", "on"])[np.arange(ROWS) % 3]
AMOUNTS = RNG.normal(size=ROWS) * 100
CODES = np.arange(ROWS) % 4
TOWNS = np.array(["Köln", "Bonn"])[CODES % 2]


def of_text(frame, path, **how):
    frame.to_csv(path, index=False, **how)
    return path, "y"


def _csv(path):
    return of_text(table(NAMES), f"{path}.csv")


def _amounts(path):
    return of_text(table(AMOUNTS), f"{path}.csv")


def _whole_amounts(path):
    return of_text(table(RNG.permutation(ROWS) * 3), f"{path}.csv")


def _semicolons(path):
    return of_text(table(NAMES, town=TOWNS), f"{path}.csv", sep=";", decimal=",")


def _latin(path):
    return of_text(table(NAMES, town=TOWNS), f"{path}.csv", encoding="latin-1")


def _ids_and_notes(path):
    frame = table(NAMES, id=np.arange(ROWS), note=[f"note {i}!" for i in range(ROWS)])
    return of_text(frame, f"{path}.tsv.gz", sep="\t")


def _parquet(path):
    table(CODES, flag=CODES > 1).to_parquet(f"{path}.parquet")
    return f"{path}.parquet", "y"


def _rows(path):
    np.savez(f"{path}.npz", x=RNG.normal(size=(ROWS, 5)), y=CODES)
    return f"{path}.npz", None


def _images(path):
    x = RNG.random((ROWS, 9, 9, 3))
    np.savez(f"{path}.npz", x_train=x, y_train=CODES, x_test=x[:9], y_test=CODES[:9])
    return f"{path}.npz", None


def _uneven(path):
    return of_text(table(np.where(np.arange(ROWS) % 10 == 0, "rare", "usual")), f"{path}.csv")


def _digits(path):
    return "digits", None


KINDS = {
    _csv: "classification",
    _amounts: "regression",
    _whole_amounts: "regression",
    _semicolons: "classification",
    _latin: "classification",
    _ids_and_notes: "classification",
    _parquet: "classification",
    _rows: "classification",
    _images: "classification",
    _uneven: "classification",
    _digits: "classification",
}


SEARCHED = (_semicolons, _whole_amounts, _images)  # a search of each takes a second


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_new_space_fits_the_data_and_can_be_searched(here, make):
    dataset, target = make("mine")
    (here / "mine.yaml").write_text(new_space("mine.yaml", dataset, target).text, encoding="utf-8")
    spec = read("mine.yaml")
    task = spec.task
    assert (spec.name, task.kind, task.dataset, task.target) == ("mine", KINDS[make], dataset, target)
    if make in SEARCHED:
        study = hebbevo.search("mine.yaml", trials=4, epochs=1)
        assert (study.trials().state == "complete").all()


def test_how_a_table_is_written_is_found_out(here):
    path, target = _semicolons("mine")
    text = new_space("mine.yaml", path, target).text
    assert '  table: {separator: ";", decimal: ","}\n' in text
    assert "  categorical: {town: one_hot}\n" in text
    path, target = _latin("mine")
    assert "  table: {encoding: latin-1}\n" in new_space("mine.yaml", path, target).text
    path, target = _ids_and_notes("mine")
    text = new_space("mine.yaml", path, target).text
    assert "  table: {drop: [note]}\n" in text
    assert "column 'id' numbers the rows and is left out" in text
    path, target = _uneven("mine")
    assert "  # score: balanced_accuracy\n" in new_space("mine.yaml", path, target).text


def test_coloured_images_get_convolutions(here):
    path, _ = _images("mine")
    assert "  family: conv\n  channels: [8, 16]\n" in new_space("mine.yaml", path).text


def test_the_kind_can_be_given(here):
    path, target = _whole_amounts("mine")
    with pytest.raises(UsageError, match="class 0 has 1 rows"):
        new_space("mine.yaml", path, target, kind="classification")
    assert "kind: classification" in new_space("mine.yaml", *_rows("n"), kind="classification").text


def test_every_gene_has_a_comment_above_it_and_those_of_the_shipped_space_are_there(here):
    text = new_space("mine.yaml", "digits").text
    genome = text.partition("genome:\n")[2].splitlines()
    genes = [place for place, line in enumerate(genome) if not line.startswith("  # ")]
    assert {re.match(r"  (\w+): \{", genome[place])[1] for place in genes} == {*read("stamina").genome}
    (here / "mine.yaml").write_text(text)
    assert dict(read("mine.yaml").genome) == dict(read("stamina").genome)
    assert all(genome[place - 1].startswith("  # ") for place in genes)
    (here / "mine.yaml").write_text(text)
    assert read("mine.yaml").genome == read("stamina").genome


# --- any names ---

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=8)
AWKWARD = [
    "yes",
    "null",
    "1e3",
    "1:30",
    "0x1F",
    "a: b",
    "#",
    "- x",
    "{a}",
    "'",
    '"',
    " a ",
    "~",
    "true",
    "\t",
]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXT, min_size=2, unique=True))
@example(names=AWKWARD)
def test_columns_of_any_name_can_be_read_again(here, names):
    target, *others = names
    frame = pd.DataFrame({target: NAMES, **dict.fromkeys(others, TOWNS)})
    frame.to_parquet("mine.parquet")
    (here / "mine.yaml").write_text(new_space("mine.yaml", "mine.parquet", target).text, encoding="utf-8")
    task = read("mine.yaml").task
    assert (task.target, dict(task.categorical)) == (target, dict.fromkeys(others, "one_hot"))


# --- networks of the user's ---

MODULE = """
from typing import Literal
import math
from torch import nn
from hebbevo.nn import HebbMask, Stamina, unit_layer

def layers(shape, classes, width, units):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), width), units, nn.Linear(width, classes))

def build(input_shape, num_classes, width=32, dropout=0.1, rate=0.003, few=2, scale=4.0, one=1, deep=False,
          sizes=(16, 8), *, form: Literal["a", "b"] = "a", norm=None, zero=0.0, minus=-2.0, typed: int = 8):
    return layers(input_shape, num_classes, width, Stamina(width))

def typed(input_shape, num_classes, width: int, bias: bool, share: float):
    return layers(input_shape, num_classes, width, unit_layer("magnitude", width))

def masked(input_shape, num_classes):
    net = layers(input_shape, num_classes, 9, nn.ReLU())
    net[1] = HebbMask(net[1], ["weight"])
    return net

def dense(input_shape, num_classes, learning_rate=0.1):
    return layers(input_shape, num_classes, 9, nn.ReLU())

class Net(nn.Module):
    def __init__(self, input_shape, num_classes, width=12):
        super().__init__()
        self.layers = layers(input_shape, num_classes, width, Stamina(width))
    def forward(self, x):
        return self.layers(x)

def unknown(width): ...
def raising(width=3): raise ValueError("no")
"""


@pytest.fixture
def own(here):
    (here / "own_networks.py").write_text(MODULE)
    return here


@pytest.mark.parametrize("name", ["build", "typed", "masked", "dense", "Net"])
def test_a_new_space_for_a_network_of_the_user_can_be_searched(own, name):
    module = f"own_networks:{name}"
    (own / "mine.yaml").write_text(new_space("mine.yaml", *_csv("mine"), module=module).text)
    assert read("mine.yaml").network.module == module
    if name in ("build", "masked"):
        study = hebbevo.search("mine.yaml", trials=4, epochs=1)
        assert (study.trials().state == "complete").all()


def test_arguments_become_genes_around_their_defaults(own):
    (own / "mine.yaml").write_text(new_space("mine.yaml", *_csv("mine"), module="own_networks:build").text)
    genome = read("mine.yaml").genome
    ranges = {name: (gene.low, gene.high, gene.log) for name, gene in genome.items() if hasattr(gene, "low")}
    defaults = {"width": 32, "rate": 0.003, "scale": 4.0, "typed": 8}
    for name, default in defaults.items():
        low, high, log = ranges[name]
        assert log and np.sqrt(low * high) == pytest.approx(default, rel=0.01)
    for name, default in {"dropout": 0.1, "few": 2, "minus": -2.0}.items():
        low, high, log = ranges[name]
        assert not log and (low + high) / 2 == pytest.approx(default)
    assert genome["deep"].choices == (False, True) and genome["form"].choices == ("a", "b")
    assert genome["sizes"].choices == ([8, 4], [16, 8], [32, 16])
    assert "norm" not in genome and "zero" not in genome and genome["one"].low == 1
    shipped = read("stamina").genome
    assert {*[*genome][-len(shipped) :]} == {*shipped}


def test_a_mask_alone_has_its_own_genes_and_counts_connections(own):
    text = new_space("mine.yaml", *_csv("mine"), module="own_networks:masked").text
    assert "  count: connections\n" in text and "  permanence_rate: {" in text
    assert "unactivation_penalty" not in text


def test_a_network_that_prunes_nothing_says_how_it_would(own):
    text = new_space("mine.yaml", *_csv("mine"), module="own_networks:dense").text
    assert "Put hebbevo.nn.Stamina(n)" in text and "settle" not in text
    assert text.count("learning_rate:") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown", "--module: own_networks:unknown: its argument width has no default; give it one"),
        ("raising", "own_networks:raising: raised ValueError: no"),
        ("missing", "own_networks:missing: there is no missing in"),
    ],
)
def test_a_network_that_cannot_be_built_is_one_line(own, name, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        new_space("mine.yaml", *_csv("mine"), module=f"own_networks:{name}")


@pytest.mark.parametrize(
    ("dataset", "target", "message"),
    [
        ("none.csv", "y", "none.csv: there is no such file"),
        ("mine.csv", None, "mine.csv: needs the column of the labels; write target: one of 'a', 'b', 'y'"),
        ("mine.csv", "z", "mine.csv: has no column 'z'; write target: one of 'a', 'b', 'y'"),
        ("digits", "y", "--target: digits is no table; leave it out"),
        ("nothing", None, "nothing: is no known data set; write one of digits"),
        ("dates.csv", "y", "dates.csv: "),
    ],
)
def test_data_that_cannot_be_learned_are_one_line(here, dataset, target, message):
    _csv("mine")
    of_text(table(NAMES).assign(a=np.nan, d=datetime.date(2024, 1, 1)), "dates.csv")
    with pytest.raises(UsageError, match=re.escape(message)):
        new_space("mine.yaml", dataset, target)
