"""The pages say what is true: links, names, spaces, commands and code blocks."""

import contextlib
import importlib
import io
import re
import shlex
import shutil
import sqlite3
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import hebbevo
from hebbevo.cli.commands import cli
from hebbevo.data import BUILT_IN
from hebbevo.nn import HebbMask, PlasticUnits, Stamina, attach
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space import FloatGene, Space
from hebbevo.spec import read, shipped

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
]
README = (ROOT / "README.md").read_text()

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def page(name: str) -> str:
    return (DOCS / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^(```|:::).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub and MyST give to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- links and names ---

WRITTEN_BY_THE_READER = ("hebbevo/rules/units/frequent.py", "hebbevo/samplers/hill.py")


@every_page
def test_every_link_leads_to_a_page_and_a_heading_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = r"`((?:hebbevo|tests|benchmarks|examples|docs|search_spaces)/[\w./]*)[`:]"
    for name in re.findall(named, prose(page.read_text())):
        assert name in WRITTEN_BY_THE_READER or "NAME" in name or (ROOT / name).exists(), name


@every_page
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for name, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {test}(" in (ROOT / name).read_text(), f"{name}::{test}"


def test_every_page_of_the_documentation_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for path in DOCS.rglob("*.md"):
        for block in blocks(path.read_text(), r"\{toctree\}"):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(path.parent / f"{name}.md").resolve() for name in names}
    assert {path for path in PAGES if DOCS in path.parents} == listed


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_the_readme_names_every_command(command: str) -> None:
    assert f"hebbevo {command}" in README


@pytest.mark.parametrize("dataset", BUILT_IN)
def test_the_readme_and_the_guide_to_data_name_every_data_set(dataset: str) -> None:
    assert dataset in README
    assert f"`{dataset}`" in page("howto/own_data.md")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_page_on_samplers_names_every_sampler_and_its_settings(name: str) -> None:
    text = page("reference/samplers.md")
    assert f"`{name}`" in text
    for setting in SAMPLERS[name].knobs:
        assert f"`{setting}`" in text


@pytest.mark.parametrize(
    ("rule", "name"),
    [(rule, name) for rule, kind in (("stamina", Stamina), ("hebb_mask", HebbMask)) for name in kind.knobs],
)
def test_every_knob_of_a_rule_is_explained(rule: str, name: str) -> None:
    assert f"`{name}" in page(f"reference/{rule}.md")


@pytest.mark.parametrize("name", sorted({*UNITS, *CONNECTIONS, *CREDIT}))
def test_the_page_on_spaces_names_every_rule(name: str) -> None:
    assert f"`{name}`" in page("reference/space_files.md")


@pytest.mark.parametrize("name", sorted({*CONNECTIONS, *CREDIT}))
def test_the_guide_to_rules_names_every_rule_for_connections_and_for_credit(name: str) -> None:
    assert f"`{name}`" in page("howto/write_a_rule.md")


def section_of_rule(gallery: str, name: str) -> str:
    """The section of a rule, which says when to choose it and which the table of the page leads to."""
    text = page(gallery)
    [section] = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert "\nChoose it" in section
    assert f"\n| [`{name}`](#{name}) |" in text
    return section


@pytest.mark.parametrize("name", UNITS)
def test_the_gallery_has_a_section_for_every_rule_for_units_with_its_own_knobs(name: str) -> None:
    section = section_of_rule("reference/units.md", name)
    if name != "stamina":  # it has a page of its own
        for knob in UNITS[name].knobs.keys() - UNITS["random"].knobs.keys() - {"memory", "settle"}:
            assert f"`{knob}`" in section


@pytest.mark.parametrize("name", CONNECTIONS)
def test_the_gallery_has_a_section_for_every_rule_for_connections_with_its_own_knobs(name: str) -> None:
    text, section = page("reference/connections.md"), section_of_rule("reference/connections.md", name)
    if name != "hebb_mask":  # it has a page of its own
        for knob in CONNECTIONS[name].knobs.keys() - {"settle"}:
            assert f"`{knob}`" in text
        for knob in CONNECTIONS[name].knobs.keys() - CONNECTIONS["rigl"].knobs.keys() - {"warmup"}:
            assert f"`{knob}" in section or name == "random"


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "benchmarks").glob("*.py")))
def test_a_page_of_results_names_every_benchmark(script: str) -> None:
    if script == "plain_net.py":
        pytest.skip("a part of other scripts")
    assert any(f"benchmarks/{script}" in path.read_text() for path in (DOCS / "results").glob("*.md"))


def test_every_page_of_results_has_date_machine_and_script() -> None:
    for path in (DOCS / "results").glob("*.md"):
        if path.name != "index.md":
            for what in ("Date", "Machine", "Script"):
                assert f"\n- {what}: " in path.read_text(), f"{path.name}: {what}"


def test_the_page_on_study_files_names_every_attribute_of_a_study(small_stamina: Path) -> None:
    with contextlib.closing(sqlite3.connect(small_stamina)) as database:
        keys = {
            key
            for table in ("study_user", "study_system", "trial_user", "trial_system")
            for (key,) in database.execute(f"SELECT DISTINCT key FROM {table}_attributes")
        }
    text = page("reference/study_files.md")
    assert "accuracy_per_epoch" in keys
    for key in keys:
        assert f"`{re.sub('[0-9]+$', 'N', key)}`" in text


# --- spaces ---


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the modules that the pages name can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(ROOT / "examples"), *sys.path])
    functions = ("build", "load", "loss", "score")
    (tmp_path / "mine.py").write_text("".join(f"def {name}(): ...\n" for name in functions))
    before = {*sys.modules}
    importlib.invalidate_caches()
    yield tmp_path
    for name in {*sys.modules} - before:
        if name in ("mine", "residual", "train"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PAGES for number, _ in enumerate(blocks(page.read_text(), "yaml"))],
    ids=lambda value: value.stem if isinstance(value, Path) else str(value),
)
def test_every_space_in_the_pages_is_good(page: Path, number: int, modules: Path) -> None:
    if page.stem == "own_model" and page.parent.name == "tutorial":
        (modules / "mine.py").write_text(blocks(page.read_text(), "python")[0])
    path = modules / "space.yaml"
    path.write_text(blocks(page.read_text(), "yaml")[number])
    read(path)


def test_every_shipped_space_is_good() -> None:
    assert "stamina" in shipped()
    for path in shipped().values():
        read(path)


# --- commands ---


def test_the_quick_start_holds_exactly_the_two_commands() -> None:
    section = README.split("## Quick start")[1].split("\n## ")[0]
    assert [command.strip() for command in blocks(section, "bash")] == [
        "pip install -c constraints.txt . && hebbevo search --space stamina.yaml --trials 500",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


def shell_commands(text: str) -> Iterator[list[str]]:
    """The commands of a page, as words: those in shell blocks and those between backticks."""
    spans = [line for block in blocks(text, "bash") for line in block.splitlines()]
    spans += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]
    for span in spans:
        for command in re.split(r"&&|\|\|?(?= )| > ", span.replace("\\|", "|")):
            if re.match(r"\s*(hebbevo|python|pip) ", command):
                yield shlex.split(command, comments=True)


@every_page
def test_every_command_in_a_page_can_be_given(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for program, *words in shell_commands(page.read_text()):
        if program == "hebbevo" and words[0] not in ("COMMAND", "--help"):
            command = cli.commands[words[0]]
            words = ["1" if word == "N" else word.partition("|")[0] for word in words]  # of a|b|c the first
            with contextlib.suppress(click.MissingParameter):  # `hebbevo search` alone names the command
                command.make_context(words[0], words[1:], resilient_parsing=False).close()
        elif program == "python" and words[0] != "-m":
            assert (ROOT / words[0]).exists() or words[0] == "train.py", words
        elif program == "pip":
            named = [extra for word in words for extra in re.findall(r"\[(.*)\]", word)]
            assert {extra for each in named for extra in each.split(",")} <= {*extras}, words


# --- Python ---


ELSEWHERE = [
    DOCS / name
    for name in (
        "howto/write_a_rule.md",
        "howto/write_a_sampler.md",
        "howto/ray_tune.md",
        "howto/lightning.md",
        "howto/skorch.md",
        "tutorial/own_model.md",
        "tutorial/own_table.md",
    )
]
"""Pages whose Python has a test of its own, below or in ``tests/integrations``."""


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "block", "exec", dont_inherit=True), names)


SMALL = {"trials": 4, "population": 4, "epochs": 2, "sampler": "random", "workers": 1}


@pytest.fixture(scope="module")
def small_stamina(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a few trials in a shipped space."""
    return hebbevo.search("stamina", study=tmp_path_factory.mktemp("studies") / "stamina.db", **SMALL).path


@pytest.mark.usefixtures("short_tuning")
@pytest.mark.parametrize(
    "page",
    [path for path in PAGES if blocks(path.read_text(), "python") and path not in ELSEWHERE],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_python_of_a_page_runs(
    page: Path, modules: Path, small_stamina: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = hebbevo.search
    monkeypatch.setattr(hebbevo, "search", lambda space, **options: search(space, **options | SMALL))
    (modules / "studies").mkdir()
    shutil.copy(small_stamina, modules / "studies/stamina.db")  # which some pages open
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page.read_text(), "python"):
        run(block, names)


def test_the_first_lesson_leads_to_a_network(modules: Path) -> None:
    text = page("tutorial/first_front.md")
    given = [
        line for block in blocks(text, "bash") for line in block.splitlines() if line.startswith("hebbevo")
    ]
    assert [line.split()[1] for line in given] == ["search", "front", "resume"]
    few = {"search": ["--population", "4", "--epochs", "1", "--workers", "1"], "resume": ["--workers", "1"]}
    for line in given:
        _, command, *words = line.replace("100", "4").replace("200", "8").split()
        done = CliRunner().invoke(cli, [command, *words, *few.get(command, [])], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert len(hebbevo.open_study("studies/stamina.db").trials()) == 8
    assert Path("studies/stamina-report/report.html").exists()


def test_the_lesson_on_a_table_leads_to_a_file_that_predicts_as_the_network(modules: Path) -> None:
    text = page("tutorial/own_table.md")
    [table] = blocks(text, "python")
    run(table, {})
    given = [
        line for block in blocks(text, "bash") for line in block.splitlines() if line.startswith("hebbevo")
    ]
    assert [line.split()[1] for line in given] == ["new", "check", "search", "export", "predict"]
    few = {"search": ["--trials", "8", "--epochs", "6", "--workers", "1"]}
    for line in given:
        _, command, *words = line.split()
        done = CliRunner().invoke(cli, [command, *words, *few.get(command, [])], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    predicted = pd.read_csv(io.StringIO(done.stdout))
    rows = pd.read_csv("tumours.csv")
    assert predicted.predicted.tolist() == [
        *hebbevo.open_study("studies/tumours.db").champion().predict(rows)
    ]
    assert Path("tumours.onnx").stat().st_size < 20_000
    assert Path("studies/tumours-report/report.html").exists() and Path("tumours.md").exists()


def test_the_second_lesson_trains_and_searches_a_model_of_ones_own(
    modules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page("tutorial/own_model.md")
    model, training = blocks(text, "python")
    (modules / "mine.py").write_text(model)
    run(training.replace("range(10)", "range(2)"), {})
    assert "neurons_alive" in capsys.readouterr().out
    path = modules / "mine.yaml"
    path.write_text(blocks(text, "yaml")[0])
    study = hebbevo.search(path, trials=4, population=4, epochs=1, workers=1)
    assert (study.trials().state == "complete").all()


def test_the_page_on_own_models_gets_one_there() -> None:
    names: dict[str, Any] = {}
    run(blocks(page("howto/own_model.md"), "python")[0], names)
    assert hebbevo.count(names["model"], torch.zeros(1, 1, 28, 28)).neurons_alive["total"] == 16


def test_the_sampler_in_the_guide_finds_more_than_its_first_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler, settings = blocks(page("howto/write_a_sampler.md"), "python")
    names: dict[str, Any] = {}
    run(settings, names)
    monkeypatch.setattr("hebbevo.samplers.knobs.HILL", names["HILL"], raising=False)
    run(sampler, names)
    hill = names["Hill"](Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 0.0, 1.0))), 0, {}, 1)
    best = []
    for _ in range(10):
        outcomes = [Outcome(genome, (genome["x"] + genome["y"],)) for genome in hill.ask(10)]
        hill.tell(outcomes)
        best.append(min(outcome.losses for outcome in outcomes))
    assert min(best) < best[0]


def test_the_rule_on_the_page_on_rules_prunes_what_fires_least() -> None:
    block, *_ = blocks(page("howto/write_a_rule.md"), "python")
    assert len(block.splitlines()) <= 40
    names: dict[str, Any] = {}
    run(block, names)
    units = PlasticUnits(names["Frequent"](), 4, seed=0, target=2, events=2, warmup=0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), units, torch.nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
        model[0].bias.copy_(torch.tensor([1.0, -1.0, 0.0, 2.0]))  # the third fires less often than the first
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    attach(model, optimizer, total_steps=8)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        model(torch.randn(64, 4, generator=generator)).sum().backward()
        optimizer.step()
    assert units.alive.tolist() == [True, False, False, True]
