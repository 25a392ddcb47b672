import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import read, shipped
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
