"""The documents say what is there."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import hebbevo
from hebbevo.cli.commands import cli
from hebbevo.data import BUILT_IN
from hebbevo.nn import HebbMask, PlasticUnits, Stamina, attach
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS
from hebbevo.samplers import SAMPLERS
from hebbevo.spec import schema

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_quick_start_holds_exactly_the_two_commands() -> None:
    section = README.split("## Quick start")[1].split("\n## ")[0]
    commands = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert [command.strip() for command in commands] == [
        "pip install -c constraints.txt . && hebbevo search --space stamina.yaml --trials 500",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_the_readme_names_every_command(command: str) -> None:
    assert f"hebbevo {command}" in README


@pytest.mark.parametrize("dataset", BUILT_IN)
def test_the_readme_names_every_data_set(dataset: str) -> None:
    assert dataset in README


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_page_on_samplers_names_every_sampler_and_its_settings(name: str) -> None:
    page = (ROOT / "docs/samplers.md").read_text()
    assert f"`{name}`" in page
    for setting in SAMPLERS[name].knobs:
        assert f"`{setting}`" in page


@pytest.mark.parametrize(
    ("page", "name"),
    [(page, name) for page, rule in (("stamina", Stamina), ("hebb_mask", HebbMask)) for name in rule.knobs],
)
def test_every_knob_of_a_rule_is_explained(page: str, name: str) -> None:
    assert f"`{name}" in (ROOT / f"docs/{page}.md").read_text()


@pytest.mark.parametrize("name", sorted({*UNITS, *CONNECTIONS, *CREDIT}))
def test_the_pages_on_spaces_and_on_rules_name_every_rule(name: str) -> None:
    for page in ("rules", "spaces"):
        assert f"`{name}`" in (ROOT / f"docs/{page}.md").read_text()


def test_the_rule_on_the_page_on_rules_prunes_what_fires_least() -> None:
    block, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/rules.md").read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 40
    names: dict[str, Any] = {}
    exec(block, names)
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


def test_every_space_in_the_documents_is_good(tmp_path: Path) -> None:
    pages = [README, (ROOT / "docs/spaces.md").read_text()]
    spaces = [block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert len(spaces) == 6
    for number, text in enumerate(spaces):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        schema.read(path)


def test_the_page_on_own_models_gets_one_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/own_model.md").read_text()
    model, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(model, names)
    assert hebbevo.count(names["model"], torch.zeros(1, 1, 28, 28)).neurons_alive["total"] == 16

    monkeypatch.chdir(ROOT / "examples")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    functions = ("build", "load", "loss", "score")
    (tmp_path / "mine.py").write_text("".join(f"def {name}(): ...\n" for name in functions))
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        schema.read(path)
    assert number == 1
    for name in ("mine", "residual"):
        sys.modules.pop(name)


def test_every_link_between_the_documents_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_shipped_space_is_good() -> None:
    assert "stamina" in schema.shipped()
    for path in schema.shipped().values():
        schema.read(path)
