"""The command that confirms a front, and what reads its answer on the command line."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import hebbevo
from hebbevo.cli.confirmation import require_trained
from hebbevo.errors import HebbevoError


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """Tune the control on two points, with a network for each width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hebbevo.deploy.controls.first_grid", lambda: [(0.01, 0.0), (0.01, 0.1)])
        patch.setattr("hebbevo.deploy.controls.wider_grid", lambda tried, best: [])
        patch.setattr("hebbevo.deploy.confirmation_plan.TUNING_NETWORKS", 1)
        yield


@pytest.fixture(autouse=True)
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no report."""
    monkeypatch.setattr("hebbevo.report.write", lambda study, folder: [])


@pytest.fixture
def searched(run, space: Path) -> list[int]:
    """The trials that are on the front of a study in the folder, each with one epoch."""
    run("search", "--space", space, "--trials", 8, "--quiet")
    front = hebbevo.open_study("studies/small.db").front()
    return front.trial[~front.trial.duplicated(keep=False)].tolist()


def test_confirm_says_how_long_it_takes_then_prints_a_table_and_a_sentence(run, searched) -> None:
    trials = [f"--trial={trial}" for trial in searched[:1]]
    code, out, err = run("confirm", "studies/small.db", "--replicates", 2, *trials)
    assert code == 0
    assert err.startswith("confirms one member of the front with 2 replicates: about ")
    assert " by the times of the search" in err.splitlines()[0]
    assert re.match(r"(\d+)/\1 networks .* in 0:00:", err.splitlines()[-1])
    header, row, *lines = out.splitlines()
    titles = "trial epoch found confirmed survivors dense longer best of k test verdict"
    assert " ".join(header.split()) == titles
    assert int(row.split()[0]) == searched[0]
    assert lines[0].startswith("found: accuracy / neurons of the search; confirmed: on validation rows")
    found = hebbevo.open_study("studies/small.db").confirmation
    assert found.sentence in lines
    assert f"test rows were seen on {found.date}" in lines

    again = run("confirm", "studies/small.db", "--replicates", 2, *trials)
    assert (again[0], again[1], again[2]) == (0, out, "")


@pytest.mark.parametrize(
    "objectives, measured",
    [("{accuracy: maximize}", False), ("{accuracy: maximize, survivors: minimize}", True)],
)
def test_hypervolumes_are_for_fronts_and_not_for_one_objective(run, space, objectives, measured) -> None:
    space.write_text(f"{space.read_text()}objectives: {objectives}\n")
    run("search", "--space", space, "--trials", 3, "--quiet")
    run("confirm", "studies/small.db", "--replicates", 2, "--quiet")
    code, out, _ = run("front", "studies/small.db", "--confirmed")
    assert (code, "hypervolume" in out) == (0, measured)


def test_the_confirmed_front_has_the_promised_entries_and_null_without_test_rows(run, searched) -> None:
    trial = searched[-1]
    run("confirm", "studies/small.db", "--replicates", 2, "--no-test", "--trial", trial, "--quiet")
    code, out, _ = run("front", "studies/small.db", "--confirmed", "--format", "json")
    assert code == 0
    [member] = json.loads(out)
    assert member["trial"] == trial
    row = hebbevo.open_study("studies/small.db").front(confirmed=True).iloc[0]
    for name in (
        "confirmed_accuracy",
        "confirmed_sd",
        "confirmed_survivors",
        "control_accuracy",
        "control_sd",
    ):
        assert member[name] == pytest.approx(row[name])
    assert member["test_accuracy"] is None
    assert set(member["genome"]) == {
        name.removeprefix("genome.") for name in hebbevo.open_study("studies/small.db").front() if "." in name
    }
    code, out, _ = run("front", "studies/small.db", "--confirmed", "--format", "csv")
    assert (code, out.partition(",")[0]) == (0, "trial")
    code, out, _ = run("front", "studies/small.db", "--confirmed")
    assert (code, out.split()[0]) == (0, "trial")


def test_an_unconfirmed_front_names_the_command(run, searched) -> None:
    code, out, err = run("front", "studies/small.db", "--confirmed")
    assert (code, out) == (2, "")
    assert err == "studies/small.db: has not been confirmed; run 'hebbevo confirm studies/small.db'\n"


def test_a_search_that_confirms_speaks_in_confirmed_numbers(run, space: Path) -> None:
    command = ("search", "--space", space, "--trials", 8, "--confirm")
    code, out, err = run(*command)
    assert code == 0
    assert "confirms " in err
    found = hebbevo.open_study("studies/small.db").confirmation
    assert found.is_complete
    assert found.sentence in out
    assert "found, not confirmed" not in out
    # the search is complete, so the same command reads what is recorded
    code, again, err = run(*command)
    assert (code, again) == (0, out)
    assert (
        err == "studies/small.db: has all its 8 trials, and nothing was trained; --trials N asks for more\n"
    )


def test_a_search_that_goes_on_speaks_of_found_numbers_again(run, searched) -> None:
    run("confirm", "studies/small.db", "--replicates", 2, "--trial", searched[0], "--quiet")
    _, out, _ = run("resume", "studies/small.db", "--trials", 9)
    assert out.splitlines()[0].split()[:3] == ["trial", "epoch", "accuracy"]
    assert "found, not confirmed: the best of 9 noisy scores" in out.splitlines()[-1]
    _, out, _ = run("front", "studies/small.db", "--confirmed")
    assert "and the study has more trials since; 'hebbevo confirm studies/small.db' confirms" in out


def test_a_search_that_was_stopped_by_its_time_is_not_confirmed(run, space: Path) -> None:
    code, _, err = run("search", "--space", space, "--timeout", "0.000001", "--confirm")
    assert code == 0
    assert err.splitlines()[-1] == "not confirmed: 0 of 24 trials are finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--replicates", 1), "--replicates: 1 is too small; write a whole number of 2 or more\n"),
        (("--trial", 999), "--trial: trial 999 is not on the front of studies/small.db; write one of "),
    ],
)
def test_bad_options_are_one_line(run, searched, options, message) -> None:
    code, out, err = run("confirm", "studies/small.db", *options)
    assert (code, out) == (2, "")
    assert err.startswith(message)


@pytest.mark.parametrize(
    ("accuracies", "is_refused"), [([math.nan, math.nan], True), ([math.nan, 0.9], False)]
)
def test_a_confirmation_whose_trainings_all_failed_is_a_failure(accuracies, is_refused: bool) -> None:
    members = pd.DataFrame({"confirmed_accuracy": accuracies})
    study = SimpleNamespace(
        store="s.db", confirmation=SimpleNamespace(is_complete=True, members=lambda: members)
    )
    expected = pytest.raises(HebbevoError, match="every training of the confirmation failed")
    with expected if is_refused else nullcontext():
        require_trained(study)


def test_a_study_that_is_not_there_is_one_line(run) -> None:
    code, _, err = run("confirm", "studies/none.db")
    assert (code, len(err.splitlines())) == (2, 1)


def test_a_confirmation_of_a_study_with_user_code_asks_first(run, blobs) -> None:
    Path("mine_of_confirm.py").write_text(
        "from torch import nn\n"
        "def build(input_shape, num_classes, width):\n"
        "    return nn.Sequential(nn.Linear(*input_shape, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    Path("own.yaml").write_text(
        f"version: 1\nname: own\ntask: {{dataset: {blobs}, epochs: 1, batch_size: 32}}\n"
        'network: {module: "mine_of_confirm:build"}\n'
        "search: {sampler: random, population: 4, trials: 4, seed: 1}\n"
        "genome: {width: {type: int, low: 2, high: 6}}\n"
    )
    run("search", "--space", "own.yaml", "--quiet")
    code, _, err = run("confirm", "studies/own.db", "--replicates", 2)
    advice = "if you trust the study, add --allow-code, or in Python allow_code=True"
    assert (code, err) == (2, f"studies/own.db: runs your own code (mine_of_confirm:build); {advice}\n")
    code, out, err = run("confirm", "studies/own.db", "--replicates", 2, "--allow-code")
    assert code == 0
    assert "without a dense control: the network is your own" in err
    assert "there is no dense control: the network is your own" in out


def test_a_confirmed_hebbian_network_is_shown_beside_random_weights(run, blobs) -> None:
    Path("hebb.yaml").write_text(
        f"version: 1\nname: hebb\ntask: {{dataset: {blobs}, epochs: 1, batch_size: 32}}\n"
        "network: {family: mlp, hidden: [8, 6], units: dense, credit: hebbian, readout: ridge}\n"
        "search: {sampler: random, population: 4, trials: 4, seed: 1}\n"
        "genome: {hebbian_rate: {low: 1e-2, high: 1, log: true}}\n"
    )
    code, out, _ = run("search", "--space", "hebb.yaml", "--confirm")
    assert code == 0
    table, lines = out.splitlines()[:2], out.splitlines()[2:]
    titles = "trial epoch found confirmed survivors dense longer best of k readout random test verdict"
    assert " ".join(table[0].split()) == titles
    found = hebbevo.open_study("studies/hebb.db").confirmation
    members, layers = found.members().iloc[0], found.decoding()
    for name in ("readout", "random", "test"):
        assert f"{members[f'{name}_accuracy']:.3f} " in table[1]
    # the head is a ridge regression, so it is the readout of the last layer
    assert members.readout_accuracy == pytest.approx(members.test_accuracy)
    assert members.random_accuracy == layers.random.iloc[-1]
    assert lines[0].endswith(f"dense, longer, best of k, readout, random: on {found.verdict_rows}")
    learned, random = ("/".join(f"{each:.3f}" for each in layers[name]) for name in ("learned", "random"))
    assert f"a linear readout of each: {learned}; with random weights {random}" in lines[1]
    assert found.runs().query("role != 'member'").decoding.map(len).eq(0).all()
    plain = hebbevo.open_study("studies/hebb.db").front(confirmed=True)
    pd.testing.assert_frame_equal(plain, found.members())
