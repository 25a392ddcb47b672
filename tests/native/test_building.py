"""The engine is compiled where a compiler is, and left out where none is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hebbevo.native.building import BUILT, WIDTHS, build, path_of


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder with builds of an earlier time."""
    for width in WIDTHS:
        path_of(width, tmp_path).write_text("of an earlier time")
    return tmp_path


def test_without_a_compiler_nothing_is_built_and_nothing_of_an_earlier_time_is_left(earlier, monkeypatch):
    monkeypatch.setenv("PATH", str(earlier))
    monkeypatch.delenv("CC", raising=False)
    assert build(earlier) == ([], "there is no C compiler")
    assert not [*earlier.iterdir()]


def test_a_compiler_that_fails_is_named_with_its_first_line(earlier, monkeypatch):
    compiler = earlier / "mycc"
    compiler.write_text("#!/bin/sh\necho 'engine.c: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    widths, problem = build(earlier)
    assert (widths, problem) == ([], f"{compiler} cannot compile it: engine.c: no such thing")
    assert not [*earlier.glob("*.so")]


def test_widths_that_the_compiler_knows_are_built_without_the_others(tmp_path, monkeypatch):
    compiler = tmp_path / "mycc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *avx512*) echo no >&2; exit 1;; esac\n'
        'while [ "$1" != -o ]; do shift; done\necho built > "$2"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    widths, problem = build(tmp_path / "built")
    assert (widths, problem) == ([4, 8], f"{compiler} cannot compile it: no")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert build(tmp_path / "built") == ([4], "")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_both_compilers_know_the_source(tmp_path, monkeypatch, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr("platform.machine", lambda: "another, which has one build")
    assert build(tmp_path / "built", ["-O1"]) == ([4], "")


def test_builds_are_beside_the_source_in_the_package():
    assert path_of(8).parent == BUILT
    assert (BUILT.parent / "source" / "engine.c").is_file()
