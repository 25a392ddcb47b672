"""Whole searches by the native engine, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hebbevo
from hebbevo import native
from hebbevo.cli.commands import cli
from hebbevo.errors import StudyError, UsageError
from hebbevo.outer import preflight
from hebbevo.outer.packing import default_width
from hebbevo.spec import read
from hebbevo.study.ledger import Ledger
from tests.outer.conftest import details, table
from tests.training.native_cohorts import needs_native


def facts_of(path: Path):
    with Ledger.open(path) as ledger:
        return ledger.facts


@pytest.fixture(scope="module")
def of_module(common_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the native engine, of which nothing is left to do, with the weights of its front."""
    path = tmp_path_factory.mktemp("native") / "native.db"
    return hebbevo.search(common_space, study=path, trials=8, keep="front", engine="native", workers=1).path


@pytest.fixture
def study(of_module: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(of_module, tmp_path / "copy.db"))


@needs_native
def test_a_study_of_the_native_engine_is_that_of_pytorch_up_to_rounding(study: Path, space: Path):
    theirs = hebbevo.search(
        space, study=study.parent / "theirs.db", trials=8, engine="pytorch", workers=1
    ).path
    assert (facts_of(study).native, facts_of(theirs).native) == (native.VERSION, 0)
    ours, other = table(study), table(theirs)
    genomes = [name for name in ours if name.startswith("genome.")]
    assert ours[genomes].equals(other[genomes])
    # a neuron that dies otherwise by rounding changes single trials, not their mean
    assert ours.accuracy.mean() == pytest.approx(other.accuracy.mean(), abs=0.03)
    assert ours.survivors.mean() == pytest.approx(other.survivors.mean(), rel=0.1)


@needs_native
def test_a_study_does_not_depend_on_where_it_was_interrupted_or_how_it_is_packed(study: Path, space: Path):
    class Stop(Exception):
        pass

    def stop(progress: hebbevo.Progress) -> None:
        if progress.trials >= 3:
            raise Stop

    space.write_text(space.read_text().replace("engine: pytorch", "engine: native, cohort_width: 2"))
    narrow = study.parent / "narrow.db"
    with pytest.raises(Stop):
        hebbevo.search(space, study=narrow, trials=8, workers=1, watch=stop)
    hebbevo.resume(narrow, workers=1)
    assert details(narrow) == details(study)


@needs_native
@pytest.mark.usefixtures("short_tuning")
def test_a_network_is_the_one_of_the_record_and_runs_in_pytorch(study: Path):
    opened = hebbevo.open_study(study)
    best = int(opened.front().trial.iloc[0])
    net = hebbevo.network(opened, trial=best)
    assert sum(parameter.numel() for parameter in net.parameters()) > 0
    confirmed = hebbevo.confirm(opened, replicates=2, trials=[best], workers=1)
    assert confirmed.confirmation is not None


@needs_native
def test_another_version_of_the_engine_computes_no_study_of_this_one(study: Path, monkeypatch):
    ours, other = native.VERSION, native.VERSION + 1
    monkeypatch.setattr(native, "VERSION", other)
    for act in (lambda: hebbevo.resume(study, trials=9), lambda: hebbevo.confirm(hebbevo.open_study(study))):
        with pytest.raises(
            StudyError, match=f"begun by version {ours} of the native engine, and here is version {other}"
        ):
            act()


@needs_native
def test_a_machine_without_the_engine_says_how_to_get_it(study: Path, space: Path, monkeypatch):
    monkeypatch.setattr(native, "is_built", lambda: False)
    with pytest.raises(
        StudyError, match="is not compiled here; install a C compiler, and run python -m hebb"
    ):
        hebbevo.resume(study, trials=9)
    with pytest.raises(
        UsageError, match=r"search.engine: the native engine is not compiled here; install a C"
    ):
        hebbevo.search(space, study=study.parent / "new.db", engine="native")


@needs_native
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("family: mlp", "family: mlp, connections: cosine", "connections: cosine"),
        ("family: mlp", "family: mlp, credit: feedback_alignment", "credit: feedback_alignment"),
        ("settings: {warmup: 4", "settings: {rebirth: old, warmup: 4", "rebirth: old"),
        ("settings: {warmup: 4", "settings: {size_penalty: 0.1, warmup: 4", "size_penalty"),
        (
            "settings: {warmup: 4",
            "settings: {additive_noise: 0.1, warmup: 4",
            "network with noise or penalties",
        ),
        ("family: mlp", "family: mlp, readout: ridge", "fitted readout (network.readout)"),
        ("epochs: 3", "epochs: 3, precision: bfloat16", "precision: bfloat16"),
    ],
)
def test_what_the_engine_has_not_is_refused_before_the_study_begins(space: Path, old, new, named):
    text = space.read_text().replace(old, new)
    if "units: stamina" not in text:  # without the genes of stamina
        text = text[: text.index("genome:")] + "genome: {learning_rate: {low: 1e-3, high: 1e-2}}\n"
    space.write_text(text)
    with pytest.raises(UsageError) as refused:
        hebbevo.search(space, study=space.parent / "s.db", engine="native", workers=1)
    assert str(refused.value).startswith(f"search.engine: the native engine has no {named}")
    assert str(refused.value).endswith("; leave it out, or write engine: pytorch")
    assert not (space.parent / "s.db").exists()


def test_narrow_cohorts_keep_all_workers_busy():
    assert default_width(population=50, replicates=1, widest=32, workers=64, narrowest=1) == 1


def test_the_command_line_names_the_engines():
    help_text = cli.commands["search"].get_help(
        cli.make_context("hebbevo", ["search"], resilient_parsing=True)
    )
    assert "--engine auto|pytorch|native" in help_text


RATE = "weight_decay: {low: 1e-3, high: 1e-2}"
LEARNING_RATE = "learning_rate: {low: 1e-3, high: 1e-2}"
ACTIVITY = "activity: {choices: [activation, frequency]}"
PENALTY = "size_penalty: {low: 1e-5, high: 1e-2, log: true,"


@needs_native
@pytest.mark.parametrize(
    ("network", "gene", "is_served"),
    [
        ("units: stamina", RATE, True),
        ("units: demp", RATE, True),
        ("units: l0", RATE, True),
        ("units: stamina, credit: feedback_alignment", RATE, False),
        ("units: stamina, settings: {size_penalty: 1e-3}", RATE, False),
        ("units: stamina", f"{PENALTY} zero: true}}", False),
        ("units: stamina", f"{PENALTY} when: {{activity: [frequency]}}}}", False),
        ("", "units: {choices: [stamina, usage]}", True),
        ("", "connections: {choices: [set, cosine]}", False),
    ],
)
def test_a_new_study_is_native_where_all_that_its_space_can_ask_for_is_served(
    space: Path, network: str, gene: str, is_served: bool
):
    space.write_text(
        f"version: 1\nname: s\ntask: {{dataset: digits, epochs: 1}}\nnetwork: {{hidden: [8], {network}}}\n"
        f"genome:\n  {ACTIVITY if 'stamina' in network else LEARNING_RATE}\n  {gene}\n"
    )
    _, facts = preflight.prepare(read(space), "cpu", 1)
    assert facts.native == (native.VERSION if is_served else 0)


def test_a_search_that_could_be_native_says_so_where_the_engine_is_not_compiled(space: Path, monkeypatch):
    monkeypatch.setattr(native, "is_built", lambda: False)
    lines = {}
    for engine in ("auto", "pytorch"):
        seen: list[str] = []
        hebbevo.search(
            space,
            study=space.parent / f"{engine}.db",
            trials=4,
            population=4,
            epochs=1,
            engine=engine,
            watch=lambda progress, seen=seen: seen.append(progress.notice),
        )
        lines[engine] = [
            line for line in seen if line.startswith("trained by PyTorch: the native engine is not")
        ]
    assert [len(found) for found in lines.values()] == [1, 0]
