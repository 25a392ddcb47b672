"""The examples in docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest

import hebbevo
from hebbevo import nn

ROOT = Path(__file__).parent.parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
WITH_EXAMPLES = [path for path in sorted((ROOT / "hebbevo").rglob("*.py")) if ">>>" in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_module_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # a search writes its study here
    *packages, name = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(packages if name == "__init__" else (*packages, name)))
    found = doctest.testmod(module, optionflags=FLAGS)
    assert found.attempted
    assert not found.failed, capsys.readouterr().out


@pytest.mark.parametrize("name", ["search", "resume", "open_study", "network", "count"])
def test_every_public_function_has_an_example(name: str) -> None:
    assert ">>>" in getattr(hebbevo, name).__doc__


@pytest.mark.parametrize("name", ["HebbMask", "Stamina", "attach", "masked", "unit_layer"])
def test_the_main_plastic_modules_have_an_example(name: str) -> None:
    assert ">>>" in getattr(nn, name).__doc__
