"""What genomes ask of the layers around their units is judged before the search."""

import json

import pytest

import hebbevo
from hebbevo.errors import UsageError

CONV = {"family": "conv", "channels": [2, 2], "hidden": [4]}


def space(network, **genome):
    task = {"dataset": "digits", "epochs": 1, "batch_size": 256}
    search = {"sampler": "random", "trials": 8, "population": 8}
    genes = {"learning_rate": {"low": 0.001, "high": 0.01, "log": True}, **genome}
    return {
        "version": 1,
        "name": "needs",
        "task": task,
        "network": network,
        "search": search,
        "genome": genes,
    }


def refusal(tmp_path, spec) -> str:
    study = tmp_path / "s.db"
    with pytest.raises(UsageError) as caught:
        hebbevo.search(write(tmp_path, spec), study=study)
    assert not study.exists()
    return str(caught.value)


def write(tmp_path, spec):
    path = tmp_path / "needs.yaml"
    path.write_text(json.dumps(spec, indent=1))
    return path


def test_a_choice_that_no_network_can_meet_is_refused_before_the_search(tmp_path):
    line = refusal(tmp_path, space(CONV, handover={"choices": [True, False]}))
    assert line.startswith("genome.handover: true is never possible: features.0.2: handover needs a layer")


def test_a_setting_that_no_network_can_meet_is_refused_before_the_search(tmp_path):
    line = refusal(tmp_path, space(CONV | {"settings": {"handover": True}}))
    assert line.startswith("network: features.0.2: handover needs a layer")


@pytest.mark.parametrize("rule", ["usage", "contribution", "score", "decorrelation"])
def test_minibatches_of_one_row_are_refused_for_rules_that_need_the_variance_within_one(tmp_path, rule):
    spec = space({"hidden": [4], "units": rule})
    spec["task"]["batch_size"] = 1
    line = f"task.batch_size: {rule} needs the variance of outputs, which a minibatch of one row has not"
    assert refusal(tmp_path, spec) == f"{line}; write 2 or more"


def test_a_choice_that_is_possible_beside_another_gene_is_searched_and_fails_only_where_it_is_not(
    tmp_path, monkeypatch
):
    (tmp_path / "company.py").write_text(
        "from torch import nn\n"
        "from hebbevo.nn import Stamina\n"
        "def build(norm):\n"
        "    between = [nn.BatchNorm1d(8)] if norm else []\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Stamina(8), *between, nn.Linear(8, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    both = [True, False]
    spec = space({"module": "company:build"}, norm={"choices": both}, handover={"choices": [*both]})
    trials = hebbevo.search(write(tmp_path, spec), study=tmp_path / "s.db").trials()
    impossible = trials["genome.norm"] & trials["genome.handover"]
    assert 0 < impossible.sum() < len(trials)
    assert ((trials.state == "failed") == impossible).all()
