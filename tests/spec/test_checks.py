import json

import numpy as np
import pytest

from hebbevo.nn.liveness import paths
from hebbevo.objectives.goal import COUNTS
from hebbevo.rules import CONNECTIONS
from hebbevo.space.knobs import Knob
from hebbevo.spec import read, spec_from_json
from tests.spec.conftest import AXES, GOOD, MINIMAL, STRUCTURED, WHEN, complaint


@pytest.mark.parametrize("dataset", ["a.csv", "a.parquet"])
def test_a_table_needs_a_target(written, dataset):
    path = written(MINIMAL.replace("dataset: digits", f"dataset: {dataset}"))
    assert complaint(path) == (3, "task.target", "missing; write the name of the column to predict")
    path = written(MINIMAL.replace("dataset: digits", f"dataset: {dataset}, target: y"))
    assert read(path).task.target == "y"


PENALTY = "genome.unactivation_penalty"


BAD = [
    # old, new, line, key, fragment
    ("version: 1", "version: 2", 1, "version", "2 is not known; write version: 1"),
    ("version: 1\n", "", 1, "version", "missing; write version: 1"),
    ("name: good", "name: a/b", 2, "name", "'a/b' cannot name a file; write a name of at most 100"),
    ("name: good", "name: ../x", 2, "name", "cannot name a file"),
    ("name: good", "name: 7", 2, "name", "7 is not text; write a name"),
    ("name: good", "name:", 2, "name", "has no value; write a name"),
    ("task: {dataset: digits,", "task: {", 3, "task.dataset", "missing; write the name of a data set, "),
    ("dataset: digits", "dataset: digit", 3, "task.dataset", "'digit' is not a data set; write digits; know"),
    ("dataset: digits", "dataset: a.txt", 3, "task.dataset", "write one of digits, mnist"),
    ("epochs: 20", "epochs: 0", 3, "task.epochs", "0 is too small; write a whole number of 1 or more"),
    ("epochs: 20", "epochs: twenty", 3, "task.epochs", "'twenty' is not a whole number; write"),
    ("epochs: 20", "epochs: 2.5", 3, "task.epochs", "2.5 is not a whole number"),
    ("epochs: 20", "epochs: true", 3, "task.epochs", "true is not a whole number"),
    ("epochs: 20", "epoch: 20", 3, "task.epoch", "'epoch' is not a key here; write epochs; known: dataset, "),
    ("task: {", "tusk: {", 3, "tusk", "'tusk' is not a key here; write task; known: version, name, task"),
    ("task: {", "zebra: 1\ntask: {", 3, "zebra", "write one of version, name, task, network, search, "),
    ("    - 64", "    - 0", 7, "network.hidden.1", "0 is too small; write the widths of the hidden layers"),
    ("    - 64", "    - wide", 7, "network.hidden.1", "'wide' is not a whole number; write the widths"),
    ("    - 64", "    - 100001", 7, "network.hidden.1", "100001 is too large"),
    ("hidden:\n    - 128\n    - 64", "hidden: 128", 5, "network.hidden", "128 is not a list; write the widt"),
    ("hidden:\n    - 128\n    - 64", "hidden: []", 5, "network.hidden", "is empty; write the widths"),
    ("units: stamina", "units: stamena", 8, "network.units",
     "'stamena' is not a rule for units; write stamina; known: stamina, "),
    ("units: stamina", "connections: fall", 8, "network.connections",
     "'fall' is not a rule for connections; write full; known: full, hebb_mask, "),
    ("units: stamina", "credit: backdrop", 8, "network.credit",
     "'backdrop' is not a rule for credit; write backprop; known: backprop"),
    ("units: stamina", "connections: [full]", 8, "network.connections", "['full'] is not text; write the na"),
    ("units: stamina", "family: mpl", 8, "network.family", "'mpl' is not a family; write mlp; known: "),
    ("units: stamina", "inputs: 1", 8, "network.inputs", "1 is not true or false; write true or false"),
    ("warmup: 10", "warmup: -1", 9, "network.settings.warmup", "-1 is outside its range; write a whole numb"),
    ("warmup: 10", "warmup: 0.5", 9, "network.settings.warmup", "0.5 is not a whole number"),
    ("warmup: 10", "warmup: [1]", 9, "network.settings.warmup", "[1] is not a number, text, true or false"),
    ("warmup: 10", "warm: 10", 9, "network.settings.warm", "'warm' is not a knob of stamina; write warmup"),
    ("warmup: 10", "prune_period: 10", 9, "network.settings.prune_period", "is a gene too; drop it here or"),
    ("handover: true", "handover: 1", 9, "network.settings.handover", "1 is not one of false, true"),
    ("sampler: ga", "sampler: gaa", 10, "search.sampler", "'gaa' is not a sampler; write ga; known: "),
    ("seed: 0", "settings: {mutation: 1}", 10, "search.settings.mutation", "is not a setting of ga; wri"),
    ("population: 50", "population: 3", 10, "search.population", "3 is too small; write a whole number of 4"),
    ("trials: 500", "trials: 0", 10, "search.trials", "0 is too small"),
    ("replicates: 1", "replicates: 0", 10, "search.replicates", "0 is too small"),
    ("seed: 0", "seed: -1", 10, "search.seed", "-1 is too small; write a whole number from 0 to 2147483647"),
    ("seed: 0", "seed: 2147483648", 10, "search.seed", "2147483648 is too large"),
    ("seed: 0", "pruning_patience: 1.5", 10, "search.pruning_patience",
     "1.5 is not a part of a whole; write a number from 0 to 1"),
    ("seed: 0", "seed: 0x" + 5000 * "f", 10, "search.seed", "... cannot be read; write it plainly"),
    ("seed: 0", "seed: 0, seed: 1", 10, "search.seed", "stands here twice, first on line 10; drop one"),
    ("seed: 0", "1: 0", 10, "search.1", "a key is text; write a name, in quotes if need be"),
    ("seed: 0", "[a]: 0", 10, "search.?", "a key is text; write a name"),
    ("unactivation_penalty", "unactivation_penality", 12, "genome.unactivation_penality",
     "is not a knob of stamina; write unactivation_penalty; known: "),
    ("low: 1e-2", "low: 200", 14, f"{PENALTY}.high", "100 is not above low, which is 200; write"),
    ("low: 1e-2", "low: 100", 14, f"{PENALTY}.high", "100 is not above low"),
    ("low: 1e-2", "low: 0", 13, f"{PENALTY}.low", "0 has no place under log; write a number above"),
    ("low: 1e-2", "low: -1.0", 13, f"{PENALTY}.low", "-1.0 has no place under log"),
    ("low: 1e-2", "low: .nan", 13, f"{PENALTY}.low", "nan is not a finite number; write the"),
    ("high: 100", "high: .inf", 14, f"{PENALTY}.high", "inf is not a finite number; write"),
    ("high: 100", "high: 1e999", 14, f"{PENALTY}.high", "inf is not a finite number"),
    ("high: 100", "high: lots", 14, f"{PENALTY}.high", "'lots' is not a finite number"),
    ("high: 100", "high: !!float lots", 14, f"{PENALTY}.high", "'lots' cannot be read; write it"),
    ("high: 100", "high: !x 3", 14, f"{PENALTY}.high", "the tag !x has no use here; drop it"),
    ("    high: 100\n", "", 12, f"{PENALTY}.high", "missing; write the largest value"),
    ("    high: 100", "    hihg: 100", 14, f"{PENALTY}.hihg", "write high; known: "),
    ("log: true", "log: maybe", 15, f"{PENALTY}.log", "'maybe' is not true or false"),
    ("log: true", "log: true\n    step: 2", 16, f"{PENALTY}.step", "log takes no step; drop step or log"),
    ("log: true", "step: 200", 15, f"{PENALTY}.step", "200 does not fit; write a number above 0"),
    ("log: true", "step: 1e-9", 15, f"{PENALTY}.step", "makes too many values; write a larger one"),
    ("log: true", "zero: true", 15, f"{PENALTY}.zero", "is for a range with log; write low: 0, or log: true"),
    ("step: 3", "step: 2.5", 18, "genome.prune_period.step", "2.5 is not a whole number; write one, or type"),
    ("step: 3", "zero: true", 18, "genome.prune_period.zero", "is for type: float; write choices"),
    ("log: true", "type: real", 15, f"{PENALTY}.type", "'real' is not known; write float or int"),
    ("choices: [mean, ratio]", "choices: []", 17, "genome.penalty_form.choices", "[] is empty; write a list"),
    ("choices: [mean, ratio]", "choices: mean", 17, "genome.penalty_form.choices", "'mean' is not a list"),
    ("choices: [mean, ratio]", "choices: [mean, mean]", 17, "genome.penalty_form.choices.1", "stands here t"),
    ("choices: [mean, ratio]", "choices: [ratio, mode]", 17, "genome.penalty_form.choices.1", "'mode' is no"),
    ("choices: [mean, ratio]", "choices: [ratio, [a]]", 17, "genome.penalty_form.choices.1", "is a list; w"),
    ("choices: [mean, ratio]", "choices: [ratio]\n    low: 1", 18, "genome.penalty_form.low", "is not a key"),
    ("    choices: [mean, ratio]", "    {low: 1, high: 2}", 16, "genome.penalty_form", "a choice has no ran"),
    ("step: 3", "step: 0", 18, "genome.prune_period.step", "0 does not fit; write a whole number from 1 to"),
    ("step: 3", "step: -3", 18, "genome.prune_period.step", "-3 does not fit"),
    ("step: 3, type: int", "log: false", 18, "genome.prune_period.type", "is a whole number; write type: in"),
    ("low: 2,", "low: 2.5,", 18, "genome.prune_period.low", "2.5 is not a whole number; write one, or type:"),
    ("low: 2,", "low: 0,", 18, "genome.prune_period.low", "0 is outside its range; write a whole number of"),
    ("penalty_form: ratio", "penalty_form: false", 19, f"{WHEN}.penalty_form", "is never false"),
    ("prune_period: 5", "prune_period: 6", 19, f"{WHEN}.prune_period", "is never 6; write"),
    ("prune_period: 5", "period: 5", 19, f"{WHEN}.period", "there is no gene period; write"),
    ("prune_period: 5", "hebbian_threshold: 0", 19, f"{WHEN}.hebbian_threshold",
     "is a real number"),
    ("{penalty_form: ratio, prune_period: 5}", "ratio", 19, "genome.hebbian_threshold.when", "is not a mapp"),
    ("{low: -1.0, high: 1, when", "{when", 19, "genome.hebbian_threshold.low", "missing; write the smallest"),
]  # fmt: skip


HIDDEN = "hidden: {type: int, low: 4, high: 256, log: true, repeat: depth}"


REPEAT = "hidden: {type: int, low: 4, high: 9, repeat: "


BAD_STRUCTURES = [
    # old, new, line, key, fragment
    ("low: 1, high: 4", "low: 0, high: 4", 6, "genome.depth.low", "0 is outside its range; write a whole nu"),
    ("low: 1, high: 4", "low: 1, high: 21", 6, "genome.depth.high", "21 is outside its range; write a whole"),
    ("low: 1, high: 4", "low: 1.5, high: 4", 6, "genome.depth.low", "1.5 is not a whole number; write one,"),
    ("type: int, low: 1", "low: 1", 6, "genome.depth.type", "this knob is a whole number; write type: int"),
    ("{type: int, low: 1, high: 4}", "{choices: [1, 4]}", 7, "genome.hidden.repeat", "depth is no int gene;"),
    ("repeat: depth}", "repeat: deep}", 7, "genome.hidden.repeat", "there is no gene deep; write the name"),
    ("repeat: depth}", "repeat: 0}", 7, "genome.hidden.repeat", "0 does not count layers; write depth, or"),
    ("repeat: depth}", "repeat: 21}", 7, "genome.hidden.repeat", "21 does not count layers; write"),
    ("repeat: depth}", "repeat: true}", 7, "genome.hidden.repeat", "true does not count layers"),
    ("repeat: depth}", "repeat: [2]}", 7, "genome.hidden.repeat", "[2] does not count layers"),
    ("repeat: depth}", "repeat: 2}", 7, "genome.hidden.repeat", "2 is not the number of its layers; write "
     "repeat: depth"),
    ("repeat: depth}", "repeat: hidden}", 7, "genome.hidden.repeat", "hidden is repeated itself; write"),
    ("repeat: depth}", "repeat: prune_period}", 7, "genome.hidden.repeat", "prune_period goes from 5 to 40"),
    ("high: 4}", "high: 4, repeat: 2}", 6, "genome.depth.repeat", "depth is not set per layer; drop repeat"),
    ("dense]}", "dense], repeat: depth}", 9, "genome.unactivation_penalty.when.units", "differs from layer"),
    ("1e-2, log: true}", "1e-2, repeat: depth}", 12, "genome.learning_rate.repeat", "is not set per layer;"),
    (HIDDEN, "momentum: {choices: [0]}", 6, "genome.depth", "nothing says how wide layer 3 is; write more"),
    ("log: true, repeat: depth}", "when: {units: dense}}", 6, "genome.depth", "or a hidden gene that is alw"),
    ("high: 256", "high: 100001", 7, "genome.hidden.high", "100001 is outside its range; write a whole numb"),
    (HIDDEN, f"{HIDDEN}\n  hidden.2: {{type: int, low: 1, high: 9}}", 8, "genome.hidden.2", "hidden is repe"),
    ("  units: {", "  hidden.9: {type: int, low: 1, high: 2}\n  units: {", 8, "genome.hidden.9", "hidden is"),
    ("  learning_rate", "  grave.1", 12, "genome.grave.1", "'grave.1' is not a knob of stamina or dense; wr"),
    ("  learning_rate", "  grace.1", 12, "genome.grace.1.type", "this knob is a whole number; write"),
    ("[stamina, dense]", "[stamina, dens]", 8, "genome.units.choices.1", "'dens' is not one of stamina, usa"),
    ("{choices: [stamina, dense]}", "{low: 1, high: 2}", 8, "genome.units", "a choice has no range; write {"),
    ("log: true, when: {units: stamina}", "log: true", 9, "genome.unactivation_penalty",
     "dense has no such knob; write when: {units: stamina}"),
    ("log: true, when: {units: stamina}", "log: true, when: {units: [dense, stamina]}", 9,
     "genome.unactivation_penalty", "dense has no such knob; write when: {units: stamina}"),
    ("log: true, when: {units: stamina}", "log: true, when: {depth: 1}", 9, "genome.unactivation_penalty",
     "dense has no such knob"),
    ("warmup: 10", "warm: 10", 4, "network.settings.warm", "'warm' is not a knob of stamina or dense; write"),
    ("warmup: 10", "depth: 3", 4, "network.settings.depth", "is not a knob of stamina or dense; write"),
    ("{depth: [2, 3], units", "{depth: [2, 5], units", 11, "genome.prune_period.when.depth", "depth is neve"),
    ("{depth: [2, 3], units", "{depth: [2, 2], units", 11, "genome.prune_period.when.depth", "2 stands here"),
    ("{depth: [2, 3], units", "{depth: [], units", 11, "genome.prune_period.when.depth", "there is no value"),
    ("{depth: [2, 3], units", "{depth: [2, [3]], units", 11, "genome.prune_period.when.depth",
     "[2, [3]] is not a number, text, true or false; write {gene: value} or {gene: [value, value]}"),
    ("{depth: [2, 3], units", "{depth: {a: 3}, units", 11, "genome.prune_period.when.depth", "is not a numb"),
    ("{depth: [2, 3], units", "{hidden: 5, units", 11, "genome.prune_period.when.hidden",
     "hidden differs from layer to layer; write repeat: depth for prune_period too"),
    ("{depth: [2, 3], units", "{hidden.1: 5, units", 11, "genome.prune_period.when.hidden.1", "there is no "),
    ("high: 4}", "high: 4, when: {hidden: 4}}", 6, "genome.depth.when.hidden", "hidden differs from layer t"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "fragment"), BAD_STRUCTURES)
def test_a_bad_structure_is_one_line_with_its_place(written, old, new, line, key, fragment):
    assert STRUCTURED.count(old) >= 1
    found = complaint(written(STRUCTURED.replace(old, new, 1)))
    assert found[:2] == (line, key)
    assert fragment in found[2]


@pytest.mark.parametrize(
    ("network", "gene", "key", "fragment"),
    [
        ("{}", REPEAT + "depth}", "genome.hidden.repeat", "there is no gene depth; write the name of an int"),
        (
            "{}",
            REPEAT + "3}",
            "genome.hidden.repeat",
            "3 is not the number of its layers; write repeat: 2",
        ),
        ("{hidden: [9]}", REPEAT + "2}", "genome.hidden.repeat", "write repeat: 1"),
        (
            "{hidden: [9]}",
            "depth: {type: int, low: 1, high: 2}",
            "genome.depth",
            "how wide layer 2 is; write",
        ),
        ("{hidden: [9]}", "depth: {choices: [1, 2]}", "genome.depth", "nothing says how wide layer 2 is"),
        (
            "{hidden: [9]}",
            "momentum: {low: 0, high: 0.9, repeat: 1}",
            "genome.momentum.repeat",
            "not set per",
        ),
        (
            "{units: dense}",
            "grace: {type: int, low: 0, high: 9}",
            "genome.grace",
            "is not a knob of dense; writ",
        ),
        (
            "{units: dense, settings: {grace: 3}}",
            "depth: {choices: [1]}",
            "network.settings.grace",
            "is not a k",
        ),
    ],
)
def test_without_structure_in_the_genome_the_network_decides(written, network, gene, key, fragment):
    found = complaint(written(f"{MINIMAL}  {gene}\nnetwork: {network}\n"))
    assert found[1] == key
    assert fragment in found[2]


@pytest.mark.parametrize(
    ("objectives", "is_fine"),
    [
        ("{accuracy: maximize, survivors: minimize}", True),
        ("{accuracy: maximize, connections: minimize, neurons: minimize}", True),
        ("{weighted: {accuracy: 1.0, survivors: -0.01}}", True),
        ("{accuracy: maximize}", False),
        ("{accuracy: maximize, connections: minimize}", False),
        ("{weighted: {accuracy: 1.0}}", False),
    ],
)
def test_patience_with_networks_that_lose_no_neuron_needs_neurons_as_an_objective(
    written, objectives, is_fine
):
    path = written(f"{MINIMAL}search: {{pruning_patience: 0.1}}\nobjectives: {objectives}\n")
    if is_fine:
        assert read(path).search.pruning_patience == 0.1
    else:
        what = "is for searches with neurons as an objective; drop it"
        assert complaint(path)[1:] == ("search.pruning_patience", what)


def test_a_knob_needs_no_condition_where_the_rule_is_never_another(written):
    def text(fixed, when):
        genes = (
            "  optimizer: {choices: [adamw, sgd]}\n"
            f"  units: {{choices: [stamina], when: {when}}}\n"
            "  firing_prior: {low: 0, high: 1}\n"
        )
        return f"{MINIMAL}{genes}network: {{units: {fixed}}}\n"

    for fixed, when in (("stamina", "{}"), ("dense", "{}"), ("stamina", "{optimizer: sgd}")):
        read(written(text(fixed, when)))
    line, key, what = complaint(written(text("dense", "{optimizer: sgd}")))
    assert (line, key) == (8, "genome.firing_prior")
    assert what.startswith("dense has no such knob; ")


def test_rules_of_three_axes_combine_and_each_can_be_a_gene(written):
    spec = read(written(AXES))
    assert {
        (genome["units"], genome["connections"])
        for genome in spec.space.sample(200, np.random.default_rng(0))
    } == {
        (units, connections)
        for units in ("stamina", "random", "dense")
        for connections in ("full", "hebb_mask", "magnitude")
    }
    assert (spec.network.units, spec.network.connections, spec.network.credit) == (
        "stamina",
        "full",
        "backprop",
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "fragment"),
    [
        (", when: {units: stamina}}\n  max", "}\n  max", 8, PENALTY,
         "random, dense has no such knob; write when: {units: stamina}"),
        ("[stamina, random]}}", "[stamina, dense]}}", 9, "genome.max_deaths",
         "dense has no such knob; write when: {units: [stamina, random]}"),
        (", when: {connections: hebb_mask}", ", when: {units: stamina}", 10, "genome.permanence_rate",
         "full, magnitude has no such knob; write when: {connections: hebb_mask}"),
        ("[full, hebb_mask, magnitude]", "[full, hebb_mask, magnitude, musk]", 7,
         "genome.connections.choices.3",
         "'musk' is not one of full, hebb_mask"),
        ("permanence_bound: 1.0", "permanence_bound: -1", 4, "network.settings.permanence_bound",
         "-1 is outside its range"),
        ("permanence_bound", "permanence_bond", 4, "network.settings.permanence_bond",
         "is not a knob of stamina or random or dense or hebb_mask or magnitude; write permanence_bound"),
        ("  density", "  densities", 12, "genome.densities", "write density; known: "),
    ],
)  # fmt: skip
def test_a_rule_or_knob_that_no_network_of_any_axis_can_have_is_one_line(
    written, old, new, line, key, fragment
):
    found = complaint(written(AXES.replace(old, new, 1)))
    assert found[:2] == (line, key)
    assert fragment in found[2]


LAYERS = (
    MINIMAL
    + """\
  units.1: {choices: [usage, contribution]}
  ridge: {low: 1e-3, high: 1e-1, log: true}
network: {units: stamina, hidden: [8, 8], settings: {units.2: random, target.2: 5, capacity: 16}}
"""
)


def test_a_rule_and_a_knob_can_be_those_of_one_layer(written):
    spec = read(written(LAYERS))
    assert spec.network.settings == {"units.2": "random", "target.2": 5, "capacity": 16}
    assert {genome["units.1"] for genome in spec.space.sample(50, np.random.default_rng(0))} == {
        "usage", "contribution"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "key", "fragment"),
    [
        (
            "units.2: random",
            "units.3: random",
            "network.settings.units.3",
            "there is no layer 3; write units.N",
        ),
        (
            "units.2: random",
            "units.0: random",
            "network.settings.units.0",
            "there is no layer 0; write units.N",
        ),
        (
            "units.1: {",
            "units.4: {",
            "genome.units.4",
            "there is no layer 4; write units.N with N from 1 to 2",
        ),
        ("units.2: random", "units.2: rnadom", "network.settings.units.2", "'rnadom' is not one of stamina"),
        ("target.2: 5", "target.2: 0", "network.settings.target.2", "0 is outside its range"),
        ("target.2", "targte.2", "network.settings.targte.2", "'targte.2' is not a knob of"),
        ("  ridge:", "  ridge.2:", "genome.ridge.2", "random has no such knob"),
        ("[usage, contribution]", "[contribution]", "genome.ridge", "is not a knob of"),
    ],
)
def test_what_no_layer_can_have_is_one_line(written, old, new, key, fragment):
    found = complaint(written(LAYERS.replace(old, new, 1)))
    assert found[1] == key
    assert fragment in found[2]


def test_a_knob_that_rules_of_two_axes_have_needs_one_of_them(written):
    text = MINIMAL + "  units: {choices: [stamina, dense]}\n  prune_period: {type: int, low: 5, high: 9}\n"
    read(written(f"{text}network: {{connections: magnitude}}\n"))
    read(written(text.replace("dense", "random")))
    assert complaint(written(text)) == (
        7, "genome.prune_period", "dense has no such knob; write when: {units: stamina}"
    )  # fmt: skip
    searched = text.replace("[stamina, dense]", "[dense]") + "  connections: {choices: [full, magnitude]}\n"
    found = complaint(written(searched))
    assert found[1:] == ("genome.prune_period", "full has no such knob; write when: {connections: magnitude}")


def test_a_knob_that_rules_of_two_axes_have_must_suit_both(written, monkeypatch):
    narrow = {**CONNECTIONS["magnitude"].knobs, "warmup": Knob("warmup", int, 1, "", low=1, high=5)}
    monkeypatch.setattr(type(CONNECTIONS["magnitude"]), "knobs", narrow)
    text = MINIMAL + "network: {connections: magnitude, settings: {warmup: 9}}\n"
    line, key, what = complaint(written(text))
    assert (line, key) == (6, "network.settings.warmup")
    assert what == "9 is outside its range; write a whole number from 1 to 5"
    read(written(text.replace("9}", "3}")))
    gene = MINIMAL + "  warmup: {type: int, low: 1, high: 9}\nnetwork: {connections: magnitude}\n"
    assert complaint(written(gene))[1] == "genome.warmup.high"


def test_what_can_be_counted_is_what_networks_count():
    assert tuple(paths.COUNTS) == COUNTS


@pytest.mark.parametrize(("old", "new", "line", "key", "fragment"), BAD)
def test_a_bad_file_is_one_line_with_its_place(written, old, new, line, key, fragment):
    assert GOOD.count(old) >= 1
    found = complaint(written(GOOD.replace(old, new, 1)))
    assert found[:2] == (line, key)
    assert fragment in found[2]


CONV = """\
version: 1
name: conv
task: {dataset: digits}
network: {family: conv, channels: [8, 16], hidden: [32], settings: {warmup: 10}}
genome:
  channels: {type: int, low: 4, high: 16, step: 4, repeat: 2}
  hidden: {type: int, low: 4, high: 16}
  regrowth_rate: {low: 0.0, high: 0.1, repeat: 3}
"""


def test_a_convolutional_network_has_genes_of_its_convolutions_and_of_its_hidden_layers(written):
    spec = read(written(CONV))
    assert [gene.name for gene in spec.space.genes] == [
        *("channels.1", "channels.2", "hidden"),
        *("regrowth_rate.1", "regrowth_rate.2", "regrowth_rate.3"),
    ]
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert read(written(CONV.replace("hidden: [32]", "hidden: []").replace("repeat: 3", "repeat: 2")))


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "fragment"),
    [
        (" channels: [8, 16],", "", 4, "network.channels", "missing; write the channels of the convolutions"),
        ("[8, 16]", "[0]", 4, "network.channels.0", "0 is too small; write the channels"),
        ("family: conv", "family: mlp", 6, "genome.channels", "'channels' is not a knob of stamina"),
        ("settings:", "inputs: true, settings:", 4, "network.inputs", "conv has none; drop it"),
        ("step: 4, repeat: 2", "repeat: 3", 6, "genome.channels.repeat", "write repeat: 2"),
        ("repeat: 3", "repeat: 2", 8, "genome.regrowth_rate.repeat", "write repeat: 3"),
        ("  hidden:", "  depth:", 7, "genome.depth", "'depth' is not a knob of stamina"),
    ],
)
def test_what_no_convolutional_network_can_be_is_one_line(written, old, new, line, key, fragment):
    found = complaint(written(CONV.replace(old, new, 1)))
    assert found[:2] == (line, key)
    assert fragment in found[2]


def test_channels_are_for_convolutional_networks(written):
    found = complaint(written(MINIMAL + "network: {channels: [4]}\n"))
    assert found[1:] == ("network.channels", "mlp has none; drop it")


def test_what_survives_is_neurons_or_connections(written):
    assert read(written(MINIMAL)).network.count == "neurons"
    assert read(written(MINIMAL + "network: {count: connections}\n")).network.count == "connections"
    found = complaint(written(MINIMAL + "network: {count: conections}\n"))
    assert found[1] == "network.count"
    assert found[2].startswith("'conections' is not what can be counted; write connections")


@pytest.mark.parametrize(
    ("task", "key", "what"),
    [
        ("dataset: digits, table: {drop: [a]}", "task.table", "digits is no table; drop it"),
        ("dataset: a.npz, table: {separator: ';'}", "task.table", "a.npz is no table; drop it"),
        ("dataset: digits, test: a.csv", "task.test", "digits has its own test rows; drop it"),
        ("dataset: digits, split: {groups: a}", "task.split", "digits has no columns to split by; drop it"),
        ("dataset: a.npz, test: a.csv", "task.test", "'a.csv' is another kind of file than a.npz"),
        (
            "dataset: a.parquet, target: t, table: {decimal: ','}",
            "task.table.decimal", "is for .csv and .tsv; drop it",
        ),
        (
            "dataset: a.csv, target: t, table: {separator: ',', decimal: ','}",
            "task.table.separator", "is the decimal mark too; write another separator, as in ';'",
        ),
        (
            "dataset: a.csv, target: t, table: {separator: ', '}",
            "task.table.separator", "', ' cannot separate columns; write one character in quotes, as in",
        ),
        (
            "dataset: a.csv, target: t, table: {encoding: utf8000}",
            "task.table.encoding", "'utf8000' is no encoding; write the name of an encoding, as in latin-1",
        ),
        ("dataset: a.csv, target: t, table: {encoding: rot13}", "task.table.encoding", "'rot13' is no enc"),
        ("dataset: a.csv, target: t, table: {drop: id}", "task.table.drop", "'id' is not a list; write"),
        ("dataset: a.csv, target: t, table: {sep: ';'}", "task.table.sep", "'sep' is not a key here; write"),
        (
            "dataset: a.csv, target: t, table: {drop: [a], keep: [a]}",
            "task.table.keep", "'a' is under drop too; write it once",
        ),
        ("dataset: a.csv, target: t, split: {}", "task.split", "needs one of groups, time and column, as in"),
        (
            "dataset: a.csv, target: t, split: {groups: a, time: b}",
            "task.split", "needs one of groups, time and column, as in",
        ),
        ("dataset: a.csv, target: t, split: {by: a}", "task.split.by", "'by' is not a key here; write"),
    ],
)  # fmt: skip
def test_what_data_cannot_have_is_refused_at_its_key(written, task, key, what):
    found = complaint(written(MINIMAL.replace("dataset: digits", task)))
    assert found[1] == key
    assert found[2].startswith(what)


def test_options_of_tables_come_back_from_json(written):
    table = "{drop: [a, b], separator: whitespace}"
    task = f"dataset: a.tsv.gz, target: t, test: b.tsv, split: {{time: when}}, table: {table}"
    spec = read(written(MINIMAL.replace("dataset: digits", task)))
    options = spec.task.reading_options
    assert (options.drop, options.separator, options.decimal) == (("a", "b"), "whitespace", ".")
    assert (options.test, options.split) == ("b.tsv", ("time", "when"))
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec
