"""What a package index, a citation and a type checker read of hebbevo."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parent.parent
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = METADATA["project"]


def long_description() -> str:
    """The README as the build changes it."""
    hook = METADATA["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = "".join((ROOT / fragment["path"]).read_text() for fragment in hook["fragments"])
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def targets(text: str) -> list[tuple[bool, str]]:
    """The target of every link and picture, and whether it is a picture."""
    return [(mark == "!", target) for mark, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text)]


def test_links_and_pictures_on_the_index_are_absolute_and_lead_to_the_same_files() -> None:
    home = PROJECT["urls"]["Homepage"]
    raw = home.replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    here = targets((ROOT / "README.md").read_text())
    there = targets(long_description())
    assert any(picture for picture, _ in here)
    expected = [
        (picture, target if "://" in target else (raw if picture else f"{home}/blob/main/") + target)
        for picture, target in here
    ]
    assert there == expected


def test_every_file_that_names_the_repository_means_the_same_one() -> None:
    home = PROJECT["urls"]["Homepage"]
    for path in (*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "pyproject.toml"):
        for owner in re.findall(r"(https://github\.com/[\w.-]+/hebbevo)\b", path.read_text()):
            assert owner == home, path.name


def test_a_citation_names_the_version_the_licence_and_the_authors_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Homepage"]
    assert citation["authors"] == PROJECT["authors"]


def test_type_checkers_read_the_annotations() -> None:
    assert files("hebbevo").joinpath("py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_versions_of_python_that_are_named_are_those_of_the_public_ci_and_allowed() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = [each[len(prefix) - 2 :] for each in PROJECT["classifiers"] if each.startswith(prefix)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [job] = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == named
    assert len(named) >= 2
    assert all(Version(each) in SpecifierSet(PROJECT["requires-python"]) for each in named)
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_an_extra_is_named_after_each_tool_that_an_integration_needs() -> None:
    tools = {path.stem for path in (ROOT / "hebbevo/integrations").glob("*.py")}
    assert {"lightning", "skorch"} <= tools & PROJECT["optional-dependencies"].keys()


def test_the_hooks_before_a_commit_are_checks_of_ci() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    ci = (ROOT / ".ci/run").read_text()
    for hook in hooks:
        command = hook["entry"].removesuffix(" --force-exclude")
        assert command in ci or command == "python tests/test_plain_words.py"  # it is one of the tests
