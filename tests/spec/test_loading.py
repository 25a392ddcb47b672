import numpy as np
import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import read, read_mapping, shipped
from hebbevo.spec.document import load_document
from tests.spec.conftest import MINIMAL


def test_every_shipped_space_is_good_under_its_own_name():
    assert "stamina" in shipped()
    for name, path in shipped().items():
        assert path.name == f"{name}.yaml"
        assert read(path).name == name


@pytest.mark.parametrize("folder", ["hebbevo/search_spaces", "search_spaces"])
def test_spaces_ship_inside_the_package_and_stand_beside_it_in_a_checkout(tmp_path, monkeypatch, folder):
    (tmp_path / "hebbevo").mkdir()
    for name in ("b.yaml", "a.yaml", "README.md"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(MINIMAL)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)
    assert shipped() == {name: tmp_path / folder / f"{name}.yaml" for name in ("a", "b")}
    assert read("b").name == "least"


def test_a_shipped_space_is_found_by_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("stamina") == read("stamina.yaml") == read(shipped()["stamina"])
    assert [gene.name for gene in read("stamina").space.genes][:2] == ["unactivation_penalty", "penalty_form"]


@pytest.mark.parametrize("name", ["stamina", "stamina.yaml"])
def test_an_existing_file_wins_over_a_shipped_name(tmp_path, written, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    written(MINIMAL, name)
    assert read(name).name == "least"


@pytest.mark.parametrize("name", ["stamin", "folder/stamina", "stamina.yml", "", "x" * 5000, "a\nb", "a\0b"])
def test_a_missing_space_lists_the_shipped_ones(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as caught:
        read(name)
    known = ", ".join(shipped())
    assert str(caught.value).endswith(
        f": there is no such file; write a path to a space file, or one of {known}"
    )
    assert str(caught.value).isprintable()


# --- spaces as mappings ---

GENOME = {"learning_rate": {"low": 1e-5, "high": 1.0}}
LEAST = {"task": {"dataset": "digits"}, "genome": GENOME}


@pytest.mark.parametrize("name", shipped())
def test_the_plain_data_of_a_file_is_the_same_space(name):
    spec = read(name)
    assert read_mapping(load_document(shipped()[name]).data) == spec
    assert read_mapping(spec.to_json()) == spec


def test_version_and_name_may_be_left_out():
    spec = read_mapping(LEAST)
    assert (spec.version, spec.name) == (1, "digits")
    assert read_mapping({"version": 1, "name": "digits", **LEAST}) == spec
    assert read_mapping(LEAST, "studies/my study.db").name == "my_study"
    assert read_mapping({"name": "own", **LEAST}, "studies/mine.db").name == "own"


@pytest.mark.parametrize(
    ("data", "name"), [("my data/wine red.csv", "wine_red"), ("mine.data:load", "load"), ("../.npz", "npz")]
)
def test_without_a_study_a_space_is_named_after_its_data(data, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/data.py").write_text("def load(): pass\n")
    task = {"dataset": data, "target": "y"} if data.endswith(".csv") else {"dataset": data}
    assert read_mapping({"task": task, "genome": GENOME}).name == name


def test_values_of_python_and_numpy_count_as_what_they_hold(tmp_path):
    spec = read_mapping(
        {
            "task": {"dataset": tmp_path / "x.npz", "epochs": np.int64(3)},
            "network": {"hidden": (np.int32(16), 8)},
            "genome": {
                "hidden": {"choices": np.array([4, 8])},
                "depth": {"choices": range(1, 3)},
                "learning_rate": {"low": np.float64(1e-3), "high": 1, "log": np.True_},
            },
        }
    )
    assert spec.task.dataset == str(tmp_path / "x.npz")
    assert spec.task.epochs == 3 and spec.network.hidden == (16, 8)
    assert spec.genome["hidden"].choices == (4, 8) and spec.genome["depth"].choices == (1, 2)
    assert spec.genome["learning_rate"].log is True
    assert read_mapping(spec.to_json()) == spec


ENDLESS = {}
ENDLESS["hidden"] = ENDLESS


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "space: task: missing; write a mapping, as in {dataset: digits}"),
        (LEAST | {"genome": {"learning_rate": {"low": "a", "high": 1}}},
         "space: genome.learning_rate.low: 'a' is not a finite number; write the smallest value"),
        (LEAST | {"genome": {"learning_rate": {"low": float("nan"), "high": 1}}},
         "space: genome.learning_rate.low: nan is not a finite number; write the smallest value"),
        (LEAST | {"genome": {"learning_rat": {"low": 0.1, "high": 1}}},
         "space: genome.learning_rat: 'learning_rat' is not a knob of stamina; write learning_rate"),
        (LEAST | {"genome": {3: {}, **GENOME}}, "space: genome.3: a key is text; write '3'"),
        (LEAST | {"search": {"trials": "7"}}, "space: search.trials: '7' is not a whole number"),
        (LEAST | {"network": ENDLESS}, "space: network.hidden"),
        (LEAST | {"name": "a/b"}, "space: name: 'a/b' cannot name a file"),
        (LEAST | {"version": 3}, "space: version: 3 is not known; write version: 1"),
        (LEAST | {"task": "digits"}, "space: task: 'digits' is not a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(content, text):
    with pytest.raises(SpaceError) as caught:
        read_mapping(content)
    assert str(caught.value).startswith(text)
    assert str(caught.value).isprintable()


def test_the_first_key_that_is_wrong_is_named_in_the_order_of_the_mapping():
    wrong = {"search": {"seed": -1}, "task": {"dataset": "digits", "epochs": 0}, "genome": GENOME}
    for order in (list(wrong), list(wrong)[::-1]):
        with pytest.raises(SpaceError) as caught:
            read_mapping({name: wrong[name] for name in order})
        first = min(("search.seed", "task.epochs"), key=lambda path: order.index(path.split(".")[0]))
        assert str(caught.value).startswith(f"space: {first}: ")


def test_a_mapping_stays_as_it_was():
    content = {"task": {"dataset": "digits"}, "genome": {"hidden": {"choices": (4, 8)}}}
    read_mapping(content)
    assert content == {"task": {"dataset": "digits"}, "genome": {"hidden": {"choices": (4, 8)}}}
