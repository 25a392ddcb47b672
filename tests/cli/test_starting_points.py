"""Searches that begin with known genomes; genes with steps, zeros and lists, from file to report."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.report import write
from hebbevo.study.ledger import Ledger

pytestmark = pytest.mark.usefixtures("without_report")

SPACE = """\
version: 1
name: known
task:    {{dataset: {data}, epochs: 3, batch_size: 32}}
network: {{hidden: [12, 8], settings: {{warmup: 4, prune_period: 2, grace: 4, regrowth_rate: 0.05}}}}
search:  {{sampler: ga, population: 6, trials: 12, seed: 3{start}}}
genome:
  unactivation_penalty: {{low: 1e-2, high: 100, log: true}}
  hidden:               {{choices: [[16, 8], [8], [6, 6, 6]]}}
  hebbian_threshold:    {{low: -1.0, high: 1.0, step: 0.25}}
  weight_decay:         {{low: 1e-5, high: 1.0, log: true, zero: true}}
"""
WHOLE = "{unactivation_penalty: 1, hidden: [6, 6, 6], hebbian_threshold: 0.5, weight_decay: 0}"
PART = "{hidden: [8], hebbian_threshold: -1}"


def write_space(data: Path, start: str = "", name: str = "known.yaml") -> str:
    Path(name).write_text(SPACE.format(data=data, start=f", start: [{start}]" if start else ""))
    return name


def genomes_in(study: str) -> list[dict]:
    with Ledger.open(Path(study)) as ledger:
        return [record.genome for generation in ledger.generations() for record in generation.records]


def test_known_genomes_of_the_file_are_completed_trained_first_and_recorded(run, blobs) -> None:
    space = write_space(blobs, f"{WHOLE}, {PART}")
    assert run("search", "--space", space, "--study", "s.db", "--quiet")[0] == 0
    first, second, *_ = genomes_in("s.db")
    assert first == {
        "unactivation_penalty": 1.0, "hidden": [6, 6, 6], "hebbian_threshold": 0.5, "weight_decay": 0.0,
    }  # fmt: skip
    # what is left out has the default of its knob
    assert second == {
        "unactivation_penalty": second["unactivation_penalty"],
        "hidden": [8],
        "hebbian_threshold": -1.0,
        "weight_decay": 0.01,
    }
    assert type(first["unactivation_penalty"]) is float
    study = hebbevo.open_study("s.db")
    assert list(study.trials().neurons[:2]) == [18, 8]
    assert study.settings["search"]["start"] == [first, second]
    assert run("search", "--space", space, "--study", "s.db", "--quiet")[0] == 0  # the same search
    code, _, err = run("search", "--space", write_space(blobs, WHOLE), "--study", "s.db")
    assert code == 2
    assert "search.start: " in err


def test_lists_steps_and_zeros_are_whole_values_in_every_format_and_to_optuna(
    run, blobs, optuna_study
) -> None:
    run("search", "--space", write_space(blobs, WHOLE), "--study", "s.db", "--quiet")
    recorded = genomes_in("s.db")
    _, out, _ = run("front", "s.db", "--format", "json")
    for point in json.loads(out):
        assert point["genome"] == recorded[point["trial"]]
    _, out, _ = run("front", "s.db", "--format", "csv")
    for row in csv.DictReader(out.splitlines()):
        assert json.loads(row["genome.hidden"]) == recorded[int(row["trial"])]["hidden"]
    _, out, _ = run("front", "s.db")
    assert any(str(genome["hidden"]) in out for genome in recorded)
    page, *_ = write(hebbevo.open_study("s.db"), Path("report"))
    assert "[6, 6, 6]" in page.read_text()
    trials = optuna_study(Path("s.db")).trials
    assert trials[0].params == {**recorded[0], "hidden": "[6, 6, 6]"}
    for trial, genome in zip(trials, recorded, strict=True):
        assert trial.params == {**genome, "hidden": str(genome["hidden"])}


def test_the_front_of_an_earlier_study_starts_another_and_is_replayed(run, blobs) -> None:
    run("search", "--space", write_space(blobs), "--study", "old.db", "--quiet")
    front = hebbevo.open_study("old.db").front()
    known = [genomes_in("old.db")[trial] for trial in dict.fromkeys(front.trial)]
    arguments = ("--space", "known.yaml", "--seed", "9", "--start", "old.db", "--study")
    code, _, err = run("search", *arguments, "new.db")
    assert code == 0
    assert f"starts with {len(known)} genomes from the front of old.db" in err
    assert genomes_in("new.db")[: len(known)] == known
    # a stop after two trials, a longer earlier study, the same command, and a resume change nothing
    run("search", *arguments, "stopped.db", "--trials", "2", "--quiet")
    run("resume", "old.db", "--trials", "30", "--quiet")
    assert run("search", *arguments, "stopped.db", "--trials", "8", "--quiet")[0] == 0
    assert run("resume", "stopped.db", "--trials", "12", "--quiet")[0] == 0
    assert genomes_in("stopped.db")[: len(known)] == known
    Path("old.db").unlink()
    run("resume", "new.db", "--trials", "18", "--quiet")
    assert genomes_in("new.db")[: len(known)] == known


def test_a_front_goes_over_to_a_wider_a_narrower_and_another_space(run, blobs) -> None:
    run("search", "--space", write_space(blobs), "--study", "old.db", "--quiet")
    text = Path("known.yaml").read_text()
    old = [genomes_in("old.db")[trial] for trial in dict.fromkeys(hebbevo.open_study("old.db").front().trial)]

    # a gene that was fixed at 0.05, and one whose default is in its range
    wide = text.replace(", regrowth_rate: 0.05", "") + "  regrowth_rate: {low: 0.0, high: 0.1}\n"
    wide += "  learning_rate: {low: 1e-4, high: 1e-1, log: true}\n"
    Path("wide.yaml").write_text(wide)
    assert run("search", "--space", "wide.yaml", "--start", "old.db", "--study", "wide.db", "--quiet")[0] == 0
    assert genomes_in("wide.db")[: len(old)] == [
        {**genome, "regrowth_rate": 0.05, "learning_rate": 0.001} for genome in old
    ]

    narrow = text.replace("high: 100", "high: 0.02").replace("step: 0.25", "step: 0.5")
    narrow = narrow.replace("[16, 8], [8], ", "[16, 8], [8], [4], ").replace(", zero: true", "")
    Path("narrow.yaml").write_text(narrow)
    code, _, err = run("search", "--space", "narrow.yaml", "--start", "old.db", "--study", "narrow.db")
    assert code == 0
    assert "values outside this space were moved to the nearest value: " in err
    begun = genomes_in("narrow.db")[0]
    assert begun["unactivation_penalty"] == min(old[0]["unactivation_penalty"], 0.02)
    assert abs(begun["hebbian_threshold"] - old[0]["hebbian_threshold"]) <= 0.25

    Path("other.yaml").write_text(text.replace("[[16, 8], [8], [6, 6, 6]]", "[[3], [4]]"))
    code, _, err = run("search", "--space", "other.yaml", "--start", "old.db", "--study", "other.db")
    assert (code, err.count("\n")) == (2, 1)
    assert "old.db: none of its genomes lies in this space (see hidden); widen the space" in err
    assert not Path("other.db").exists()


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("{hidden: [9]}", "search.start.0.hidden: [9] is not one of its values; write one of them"),
        ("{hidden: [8], hebbian_threshold: 0.3}", "start.0.hebbian_threshold: 0.3 is not one of its values"),
        (f"{WHOLE}, {{hiden: [8]}}", "search.start.1.hiden: there is no gene 'hiden'; did you mean hidden?"),
        ("{hebbian_threshold: 0}", "start.0.hidden: [12, 8], the default, is not one of its values"),
        ("[8]", "search.start.0: [8] is not a mapping; write a list of genomes, as in"),
        ("{hidden: [8], weight_decay: 1e-7}", "start.0.weight_decay: 1e-07 is not one of its values"),
    ],
)
def test_a_starting_genome_that_cannot_be_is_one_line_with_its_place(run, blobs, start, said) -> None:
    code, _, err = run("check", write_space(blobs, start))
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert "known.yaml:5: " in err


def test_a_start_without_a_study_or_without_a_front_is_one_line(run, blobs) -> None:
    space = write_space(blobs)
    code, _, err = run("search", "--space", space, "--start", "missing.db")
    assert (code, err.count("\n")) == (2, 1)
    assert "missing.db: " in err
    broken = Path(space).read_text() + "  learning_rate: {choices: [1e30]}\n"
    Path("broken.yaml").write_text(broken)
    run("search", "--space", "broken.yaml", "--study", "failed.db", "--trials", "2", "--quiet")
    code, _, err = run("search", "--space", space, "--start", "failed.db")
    assert (code, err) == (
        2,
        "failed.db: has no front to start from; write a study with a network that beats chance\n",
    )
    assert not Path("studies").exists()


def test_python_takes_genomes_as_they_are_written_in_a_file(run, blobs) -> None:
    space = write_space(blobs)
    start = [{"hidden": [8], "hebbian_threshold": 1, "weight_decay": 0}]
    study = hebbevo.search(space, study="p.db", start=start, trials=4)
    assert genomes_in("p.db")[0]["hebbian_threshold"] == 1.0
    again = hebbevo.search(space, study="p.db", start=start, trials=8)
    assert genomes_in("p.db")[0] == again.settings["search"]["start"][0]
    pd.testing.assert_frame_equal(study.trials(), again.trials()[:4], check_dtype=False)


def test_lists_of_widths_do_not_go_with_a_gene_for_the_depth_or_with_repeats(run, blobs) -> None:
    text = Path(write_space(blobs)).read_text()
    Path("deep.yaml").write_text(text + "  depth: {type: int, low: 1, high: 2}\n")
    assert (
        "genome.depth: the lists of hidden say how deep a network is; drop depth"
        in run("check", "deep.yaml")[2]
    )
    Path("deep.yaml").write_text(text.replace("[6, 6, 6]]", "[6, 6, 6]], repeat: 2"))
    assert "genome.hidden.repeat: a list is for all layers; drop repeat" in run("check", "deep.yaml")[2]
    Path("deep.yaml").write_text(text.replace("[6, 6, 6]]", "[6, 0]]"))
    assert "genome.hidden.choices.2: 0 is outside its range" in run("check", "deep.yaml")[2]


def test_a_function_of_the_user_gets_lists_as_lists_of_its_own(run, blobs) -> None:
    Path("widths.py").write_text(
        "from torch import nn\n"
        "def build(widths, input_shape, num_classes):\n"
        "    assert isinstance(widths, list)\n"
        "    layers, before = [], input_shape[0]\n"
        "    while widths:  # which changes the list\n"
        "        width = widths.pop(0)\n"
        "        layers += [nn.Linear(before, width), nn.ReLU()]\n"
        "        before = width\n"
        "    return nn.Sequential(*layers, nn.Linear(before, num_classes))\n"
    )
    Path("own.yaml").write_text(
        f"version: 1\nname: own\ntask: {{dataset: {blobs}, epochs: 1}}\n"
        'network: {module: "widths:build"}\n'
        "search: {population: 4, trials: 8, sampler: ga, start: [{widths: [7, 5], learning_rate: 1e-2}]}\n"
        "genome:\n  widths: {choices: [[7, 5], [4], [6, 6]]}\n  learning_rate: {low: 1e-3, high: 0.1}\n"
    )
    code, _, err = run("search", "--space", "own.yaml", "--study", "own.db")
    assert code == 0, err
    trials = hebbevo.open_study("own.db").trials()
    assert trials.neurons.tolist() == [sum(genome["widths"]) for genome in genomes_in("own.db")]
    assert genomes_in("own.db")[0] == {"widths": [7, 5], "learning_rate": 0.01}


def test_channels_may_be_lists_too(run) -> None:
    Path("conv.yaml").write_text(
        "version: 1\nname: conv\ntask: {dataset: digits, epochs: 1, batch_size: 256}\n"
        "network: {family: conv, channels: [2], hidden: []}\n"
        "search: {population: 4, trials: 4, sampler: random, start: [{channels: [2, 3]}, {channels: [4]}]}\n"
        "genome:\n  channels: {choices: [[2, 3], [4]]}\n  learning_rate: {low: 1e-3, high: 0.1}\n"
    )
    code, _, err = run("search", "--space", "conv.yaml", "--study", "conv.db")
    assert code == 0, err
    study = hebbevo.open_study("conv.db")
    assert study.trials().neurons.tolist()[:2] == [5, 4]
    assert study.neurons == 5


def test_a_value_for_all_layers_or_modules_stands_for_each_of_them(run, blobs) -> None:
    Path("known.yaml").write_text(
        f"version: 1\nname: known\ntask: {{dataset: {blobs}, epochs: 1}}\n"
        "network: {hidden: [12, 8], settings: {warmup: 4}}\n"
        "search: {sampler: random, population: 4, trials: 4, start: [{grace: 7}, {grace.1: 3, hidden: 6}]}\n"
        "genome:\n  hidden: {type: int, low: 4, high: 16, repeat: 2}\n"
        "  grace: {type: int, low: 0, high: 50, repeat: 2}\n"
    )
    code, _, err = run("search", "--space", "known.yaml", "--study", "l.db")
    assert code == 0, err
    first, second, *_ = genomes_in("l.db")
    assert first == {"hidden.1": 12, "hidden.2": 8, "grace.1": 7, "grace.2": 7}
    assert second == {"hidden.1": 6, "hidden.2": 6, "grace.1": 3, "grace.2": second["grace.2"]}

    Path("blocks.py").write_text(
        "from torch import nn\nfrom hebbevo.nn import Stamina\n"
        "class Blocks(nn.Module):\n"
        "    def __init__(self, input_shape, num_classes):\n"
        "        super().__init__()\n"
        "        self.first, self.units = nn.Linear(*input_shape, 8), Stamina(8)\n"
        "        self.head = nn.Linear(8, num_classes)\n"
        "    def forward(self, x):\n"
        "        return self.head(self.units(self.first(x)))\n"
    )
    Path("blocks.yaml").write_text(
        f"version: 1\nname: blocks\ntask: {{dataset: {blobs}, epochs: 1}}\n"
        'network: {module: "blocks:Blocks"}\n'
        "search: {sampler: random, population: 4, trials: 4, start: [{units.warmup: 3}]}\n"
        "genome:\n  units.warmup: {type: int, low: 0, high: 20}\n"
        "  units.regrowth_rate: {low: 0.0, high: 0.1}\n"
    )
    code, _, err = run("search", "--space", "blocks.yaml", "--study", "b.db")
    assert code == 0, err
    assert genomes_in("b.db")[0] == {"units.warmup": 3, "units.regrowth_rate": 0.0}
