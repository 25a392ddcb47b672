"""Depth, widths and rules as genes, from the space file to the tables and the report."""

from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.cli.commands import cli
from hebbevo.cli.results import front_objects
from hebbevo.errors import UsageError
from hebbevo.report import write
from hebbevo.report.queries import genes
from hebbevo.study.ledger import Ledger

SPACE = """\
version: 1
name: structured
task:    {{dataset: {data}, epochs: 2, batch_size: 32}}
network: {{hidden: [99], settings: {{warmup: 4, prune_period: 2, grace: 4, settle: 0.2}}}}
search:  {{sampler: ga, population: 8, trials: 16, seed: 1, engine: pytorch}}
genome:
  depth:  {{type: int, low: 1, high: 3}}
  hidden: {{type: int, low: 2, high: 12, log: true, repeat: depth}}
  units:  {{choices: [stamina, dense]}}
  unactivation_penalty: {{low: 1e-2, high: 100, log: true, when: {{units: stamina}}}}
  regrowth_rate: {{low: 0.0, high: 0.1, repeat: depth, when: {{units: stamina}}}}
  learning_rate: {{low: 3e-3, high: 3e-2, log: true}}
"""
NAMES = [
    "depth",
    *(f"hidden.{layer}" for layer in (1, 2, 3)),
    "units",
    "unactivation_penalty",
    *(f"regrowth_rate.{layer}" for layer in (1, 2, 3)),
    "learning_rate",
]


@pytest.fixture
def path(tmp_path: Path, blobs: Path) -> Path:
    path = tmp_path / "structured.yaml"
    path.write_text(SPACE.format(data=blobs))
    return path


@pytest.fixture(scope="module")
def study(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> hebbevo.Study:
    folder = tmp_path_factory.mktemp("structured")
    space = folder / "structured.yaml"
    space.write_text(SPACE.format(data=blobs))
    return hebbevo.search(space, study=folder / "s.db", workers=1)


def test_every_trial_has_the_network_of_its_genome(study: hebbevo.Study) -> None:
    with Ledger.open(study.path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
        space = ledger.spec.space
    trials = study.trials()
    assert study.neurons == ledger.facts.neurons == 36
    assert trials["genome.depth"].nunique() == 3
    assert trials["genome.units"].nunique() == 2
    for record, row in zip(records, trials.to_dict("records"), strict=True):
        genome, details = record.genome, record.result.details
        assert space.contains(genome)
        widths = [genome[f"hidden.{layer}"] for layer in range(1, genome["depth"] + 1)]
        assert details.neurons == row["neurons"] == sum(widths)
        left = details.survivors_per_layer
        assert len(left) == genome["depth"]
        assert all(alive <= width for alive, width in zip(left, widths, strict=True))
        if genome["units"] == "dense":
            assert left == widths
    assert (trials.survivors < trials.neurons).any()


def test_genes_that_are_not_there_are_empty_and_whole_numbers_stay_whole(study: hebbevo.Study) -> None:
    trials = study.trials()
    assert [name for name in trials.columns if name.startswith("genome.")] == [f"genome.{n}" for n in NAMES]
    for layer in (1, 2, 3):
        widths = trials[f"genome.hidden.{layer}"]
        assert (widths.notna() == (trials["genome.depth"] >= layer)).all()
        assert all(type(width) is int for width in widths.dropna().tolist())
        rates = trials[f"genome.regrowth_rate.{layer}"]
        assert (rates.notna() == (widths.notna() & (trials["genome.units"] == "stamina"))).all()


def test_the_front_and_the_report_name_the_genes_of_every_layer(study: hebbevo.Study, tmp_path: Path) -> None:
    assert genes(study) == NAMES
    for item in front_objects(study):
        widths = [value for name, value in item["genome"].items() if name.startswith("hidden.")]
        assert len(widths) == item["genome"]["depth"]
        assert sum(widths) == item["neurons"] >= item["survivors"]
    page, *_ = write(study, tmp_path / "report")
    text = page.read_text()
    for words in (
        "<dd>mlp, depth and hidden searched (warmup 4, prune_period 2, grace 4, settle 0.2)</dd>",
        "<dt>units</dt><dd>searched</dd>",
        "<dt>connections</dt><dd>full</dd>",
        "<dt>credit</dt><dd>backprop</dd>",
        "<dd>up to 36</dd>",
        "% of the largest network's",
        '<th scope="col">hidden.3</th>',
    ):
        assert words in text


def test_a_structured_study_goes_on_after_a_stop_as_if_there_had_been_none(
    study: hebbevo.Study, path: Path, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: hebbevo.Progress) -> None:
        if progress.trials >= 8:
            raise Stop

    with pytest.raises(Stop):
        hebbevo.search(path, study=tmp_path / "stopped.db", watch=stop)
    again = hebbevo.resume(tmp_path / "stopped.db").trials()
    pd.testing.assert_frame_equal(
        again.drop(columns="seconds"), study.trials().drop(columns="seconds"), check_exact=True
    )


@pytest.mark.parametrize(("rule", "own"), [("stamina", "prune_period = 10"), ("dense", "settle = 0.0")])
def test_the_knobs_of_a_rule_come_with_those_of_every_network(
    rule: str, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(["knobs", rule], standalone_mode=False)
    told = capsys.readouterr().out.splitlines()
    assert {own, "learning_rate = 0.001", "depth = 2", "hidden = 128", "units = stamina"} <= set(told)
    assert ("prune_period = 10" in told) is (rule == "stamina")


def test_where_some_may_die_trainings_too_short_for_it_are_told_of(path: Path, tmp_path: Path) -> None:
    path.write_text(path.read_text().replace("warmup: 4", "warmup: 400"))
    seen: list[hebbevo.Progress] = []
    hebbevo.search(path, study=tmp_path / "short.db", trials=4, watch=seen.append)
    assert [progress.notice.partition(":")[0] for progress in seen][:2] == [
        "the networks train one by one",
        "no neuron can die",
    ]


def test_where_the_rule_is_dense_nobody_dies_and_nobody_warns_of_it(path: Path, tmp_path: Path) -> None:
    text = "".join(line for line in path.read_text().splitlines(True) if "units" not in line)
    path.write_text(
        text.replace("warmup: 4, prune_period: 2, grace: 4, settle: 0.2}", "settle: 0.2}, units: dense")
    )
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(path, study=tmp_path / "dense.db", watch=seen.append)
    trials = study.trials()
    assert {progress.notice.partition(":")[0] for progress in seen} == {"", "the networks train one by one"}
    assert (trials.survivors == trials.neurons).all()
    assert trials.accuracy.max() > study.chance + 0.2


CONV = """\
version: 1
name: convolutional
task:    {{dataset: {data}, epochs: 3, batch_size: 64}}
network: {{family: conv, channels: [4], hidden: [8], settings: {{warmup: 4, prune_period: 2}}}}
search:  {{sampler: ga, population: 4, trials: 8}}
genome:
  channels: {{choices: [4, 8]}}
  units:       {{choices: [stamina, dense]}}
  connections: {{choices: [full, hebb_mask]}}
  unactivation_penalty: {{low: 1e-1, high: 10, log: true, when: {{units: stamina}}}}
  permanence_rate: {{low: 1e-2, high: 1.0, log: true, when: {{connections: hebb_mask}}}}
  learning_rate: {{low: 3e-3, high: 3e-2, log: true}}
"""


def test_channels_and_units_of_a_convolutional_network_live_and_die_by_rules_of_two_axes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "conv.yaml"
    path.write_text(CONV.format(data="digits"))
    study = hebbevo.search(path, study=tmp_path / "conv.db")
    trials = study.trials()
    assert (trials.state == "complete").all()
    assert study.neurons == 16
    assert (trials.neurons == trials["genome.channels"] + 8).all()
    assert set(trials["genome.units"]) == {"stamina", "dense"}
    assert set(trials["genome.connections"]) == {"full", "hebb_mask"}
    assert trials.accuracy.max() > 0.5
    assert (trials.survivors < trials.neurons).any()
    again = hebbevo.search(path, study=tmp_path / "again.db", workers=2).trials()
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), trials.drop(columns="seconds"))
    page, *_ = write(study, tmp_path / "report")
    assert "<dd>conv, hidden 8, channels searched (warmup 4, prune_period 2)</dd>" in page.read_text()


def test_a_convolutional_network_wants_images(tmp_path: Path, blobs: Path) -> None:
    path = tmp_path / "conv.yaml"
    path.write_text(CONV.format(data=blobs))
    with pytest.raises(UsageError) as caught:
        hebbevo.search(path, study=tmp_path / "conv.db")
    assert str(caught.value) == (
        f"network.family: {blobs} has rows of shape (6,), which are no images; write family: mlp"
    )
    assert not (tmp_path / "conv.db").exists()


def test_where_connections_are_counted_they_are_what_survives(
    tmp_path: Path, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "links.yaml"
    path.write_text(
        f"version: 1\nname: links\ntask: {{dataset: '{blobs}', epochs: 4, batch_size: 32}}\n"
        "network: {hidden: [8], units: dense, connections: hebb_mask, count: connections}\n"
        "search: {sampler: ga, population: 6, trials: 12}\n"
        "genome:\n  permanence_rate: {low: 1e-2, high: 1.0, log: true}\n"
        "  prune_threshold: {low: 0.0, high: 0.5}\n"
    )
    study = hebbevo.search(path, study=tmp_path / "links.db")
    trials = study.trials()
    assert (study.count, study.neurons) == ("connections", 6 * 8 + 8 * 3)
    assert (trials.neurons == study.neurons).all()
    assert trials.survivors.between(0, study.neurons - 1).any()
    with Ledger.open(study.path) as ledger:
        results = [record.result for generation in ledger.generations() for record in generation.records]
    assert all(sum(each.details.survivors_per_layer) == each.values[1] for each in results)
    cli(["front", str(study.path)], standalone_mode=False)
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list(map(str, study.front().trial))  # no 3.0 among floats
    page, *_ = write(study, tmp_path / "report")
    text = page.read_text()
    assert "surviving connections" in text and "neurons" not in text.split("<main>")[1]
