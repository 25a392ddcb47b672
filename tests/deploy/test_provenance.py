"""A network knows its trial, its data, and what was measured of it."""

import math
from pathlib import Path

import pytest

import hebbevo
from hebbevo.deploy.provenance import Provenance


@pytest.fixture(scope="module")
def confirmed(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> hebbevo.Study:
    """A study whose front is confirmed, with one member."""
    folder = tmp_path_factory.mktemp("provenance")
    space = folder / "s.yaml"
    space.write_text(
        f"version: 1\nname: s\ntask: {{dataset: '{blobs}', epochs: 2, batch_size: 32}}\n"
        "network: {hidden: [6], settings: {warmup: 4}}\n"
        "search: {sampler: random, population: 4, trials: 4}\n"
        "genome:\n  learning_rate: {low: 1e-2, high: 3e-2, log: true}\n"
    )
    study = hebbevo.search(space, study=folder / "s.db", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hebbevo.deploy.controls.first_grid", lambda: [(0.01, 0.0)])
        patch.setattr("hebbevo.deploy.controls.wider_grid", lambda tried, best: [])
        return study.confirm(replicates=2, trials=[int(study.front().trial[0])], workers=1, watch=None)


def provenance(study: hebbevo.Study, trial: int, epoch: int) -> Provenance:
    found = hebbevo.network(study, trial, epoch).provenance
    assert found is not None
    return found


def test_figures_are_those_of_the_tables(confirmed: hebbevo.Study, blobs: Path) -> None:
    [member] = confirmed.front(confirmed=True).to_dict("records")
    found = provenance(confirmed, member["trial"], member["epoch"])
    figures = found.figures
    assert (figures["found"].score, figures["found"].survivors) == (
        member["found_accuracy"],
        member["found_survivors"],
    )
    assert figures["confirmed"].score == member["confirmed_accuracy"]
    assert figures["confirmed"].survivors == member["confirmed_survivors"]
    assert figures["test"].score == member["test_accuracy"]
    control = member["control_accuracy"]
    assert figures["dense control"].score == pytest.approx(control, nan_ok=True)
    assert (found.study, found.dataset) == ("s.db", blobs.name)  # no folders of this machine
    assert found.genome == confirmed.genome(member["trial"])


def test_what_was_not_confirmed_is_not_a_number(confirmed: hebbevo.Study) -> None:
    [member] = confirmed.front(confirmed=True).to_dict("records")
    other = next(trial for trial in range(4) if trial != member["trial"])
    figures = provenance(confirmed, other, 1).figures
    assert figures["found"].score == confirmed.curve(other).accuracy[0]
    assert all(math.isnan(figures[name].score) for name in ("confirmed", "dense control", "test"))
