import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from hebbevo.errors import SpaceError
from hebbevo.nn.liveness import paths
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.space import ChoiceGene, FloatGene, IntGene
from hebbevo.space.knobs import Knob
from hebbevo.spec.schema import COUNTS, Spec, difference, read, shipped

GOOD = """\
version: 1
name: good
task: {dataset: digits, epochs: 20, batch_size: 64}
network:
  hidden:
    - 128
    - 64
  units: stamina
  settings: {handover: true, warmup: 10}
search: {sampler: ga, population: 50, trials: 500, replicates: 1, seed: 0}
genome:
  unactivation_penalty:
    low: 1e-2
    high: 100
    log: true
  penalty_form:
    choices: [mean, ratio]
  prune_period: {low: 2, high: 20, step: 3, type: int}
  hebbian_threshold: {low: -1.0, high: 1, when: {penalty_form: ratio, prune_period: 5}}
"""

STRUCTURED = """\
version: 1
name: structured
task: {dataset: digits}
network: {hidden: [128, 64], units: stamina, settings: {settle: 0.3, warmup: 10}}
genome:
  depth: {type: int, low: 1, high: 4}
  hidden: {type: int, low: 4, high: 256, log: true, repeat: depth}
  units: {choices: [stamina, dense]}
  unactivation_penalty: {low: 1e-2, high: 100, log: true, when: {units: stamina}}
  regrowth_rate: {low: 0, high: 0.1, repeat: depth, when: {units: stamina}}
  prune_period: {type: int, low: 5, high: 40, when: {depth: [2, 3], units: [stamina]}}
  learning_rate: {low: 1e-4, high: 1e-2, log: true}
"""

MINIMAL = (
    "version: 1\nname: least\ntask: {dataset: digits}\ngenome:\n  learning_rate: {low: 1e-5, high: 1.0e0}\n"
)


@pytest.fixture
def written(tmp_path):
    def write(text, name="space.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def good(written):
    return read(written(GOOD))


def complaint(path):
    with pytest.raises(SpaceError) as caught:
        read(path)
    text = str(caught.value)
    assert text.isprintable() and text.startswith(f"{path}:")
    line, key, what = text.removeprefix(f"{path}:").split(": ", 2)
    assert "; " in what and "pydantic" not in what and "valid" not in what
    return int(line), key, what


def test_a_good_file_gives_its_words(good):
    assert (good.version, good.name) == (1, "good")
    assert (good.task.dataset, good.task.epochs, good.task.batch_size, good.task.target) == (
        "digits",
        20,
        64,
        None,
    )
    assert (good.network.family, good.network.hidden, good.network.inputs) == ("mlp", (128, 64), False)
    assert good.network.settings == {"handover": True, "warmup": 10}
    assert (good.search.sampler, good.search.population, good.search.trials) == ("ga", 50, 500)
    assert (good.search.replicates, good.search.seed, good.search.settings) == (1, 0, {})


def test_a_good_file_gives_its_space_in_the_order_of_the_file(good):
    assert good.space.genes == (
        FloatGene("unactivation_penalty", 0.01, 100, log=True),
        ChoiceGene("penalty_form", ("mean", "ratio")),
        IntGene("prune_period", 2, 20, step=3),
        FloatGene("hebbian_threshold", -1.0, 1, when=(("penalty_form", ("ratio",)), ("prune_period", (5,)))),
    )
    assert good.space is good.space


def test_a_structured_file_gives_a_gene_a_layer(written):
    space = read(written(STRUCTURED)).space
    assert [gene.name for gene in space.genes] == [
        "depth",
        *(f"hidden.{layer}" for layer in (1, 2, 3, 4)),
        "units",
        "unactivation_penalty",
        *(f"regrowth_rate.{layer}" for layer in (1, 2, 3, 4)),
        "prune_period",
        "learning_rate",
    ]
    assert space.genes[3] == IntGene("hidden.3", 4, 256, log=True, when=(("depth", (3, 4)),))
    stamina, deep = ("units", ("stamina",)), ("depth", (2, 3, 4))
    assert space.genes[8] == FloatGene("regrowth_rate.2", 0, 0.1, when=(stamina, deep))
    assert space.genes[11] == IntGene("prune_period", 5, 40, when=(("depth", (2, 3)), stamina))


WHOLE = "type: int, low: 4, high: 9"


@pytest.mark.parametrize(
    ("network", "genome", "names"),
    [
        ("", f"hidden: {{{WHOLE}, repeat: 2}}", "hidden.1 hidden.2"),
        ("", f"hidden: {{{WHOLE}}}", "hidden"),
        ("", "depth: {choices: [1, 2]}", "depth"),
        ("hidden: [9]", f"depth: {{{WHOLE}}}\n  hidden: {{choices: [16, 32]}}", "depth hidden"),
        # the widths of network.hidden stand in where the gene is not there
        (
            "",
            f"units: {{choices: [stamina, dense]}}\n  hidden: {{{WHOLE}, repeat: 2, when: {{units: dense}}}}",
            "units hidden.1 hidden.2",
        ),
        # a knob of one rule, under a condition of a condition
        (
            "units: dense, settings: {grace: 9}",
            "units: {choices: [dense, stamina]}\n  activity: {choices: [frequency], when: {units: stamina}}\n"
            "  firing_prior: {low: 0, high: 1, when: {activity: frequency}}",
            "units activity firing_prior",
        ),
        # one that every rule has
        ("", "units: {choices: [stamina, dense]}\n  settle: {low: 0, high: 0.5}", "units settle"),
        ("units: dense, settings: {settle: 0.3}", f"hidden: {{{WHOLE}}}", "hidden"),
    ],
)
def test_structures_of_many_kinds_are_good(written, network, genome, names):
    spec = read(written(f"{MINIMAL}  {genome}\nnetwork: {{{network}}}\n"))
    assert [gene.name for gene in spec.space.genes] == ["learning_rate", *names.split()]
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))).space == spec.space


def test_absent_keys_have_their_defaults(written):
    spec = read(written(MINIMAL))
    assert spec.to_json() == {
        "version": 1,
        "name": "least",
        "task": {
            "dataset": "digits",
            "target": None,
            "epochs": 20,
            "batch_size": 64,
            "precision": "float32",
            "loss": None,
            "score": None,
        },
        "network": {
            "module": None,
            "family": "mlp",
            "channels": [],
            "hidden": [128, 128],
            "units": "stamina",
            "connections": "full",
            "credit": "backprop",
            "count": "neurons",
            "settings": {},
            "inputs": False,
        },
        "search": {
            "sampler": "surrogate",
            "population": 50,
            "trials": 500,
            "timeout": None,
            "replicates": 1,
            "cohort_width": None,
            "threads": 1,
            "halving": False,
            "seed": 0,
            "settings": {},
        },
        "objectives": {"accuracy": "maximize", "survivors": "minimize"},
        "constraints": {},
        "genome": {
            "learning_rate": {
                "low": 1e-5,
                "high": 1.0,
                "log": False,
                "type": "float",
                "step": None,
                "when": {},
                "repeat": None,
            }
        },
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("1E-5", 1e-5),
        (".5e0", 0.5),
        ("1.e-1", 0.1),
        ("1", 1),
        ("0.25", 0.25),
    ],
)
def test_every_way_to_write_a_number_is_a_number(written, text, value):
    low = read(written(MINIMAL.replace("1e-5", text).replace("1.0e0", "2e0"))).genome["learning_rate"].low
    assert low == value and not isinstance(low, str)


def test_numbers_keep_their_type_in_genes(written):
    text = MINIMAL + "  warmup: {low: 1e1, high: 20.0, type: int}\n  grace: {choices: [0, 5]}\n"
    space = read(written(text)).space
    assert space.genes[1:] == (IntGene("warmup", 10, 20), ChoiceGene("grace", (0, 5)))
    assert type(space.genes[1].from_unit(0.0)) is int and type(space.genes[2].from_unit(0.0)) is int


def test_a_whole_number_may_be_written_with_an_exponent(written):
    assert read(written(MINIMAL + "search: {trials: 1e3}\n")).search.trials == 1000


def test_a_date_is_a_name_and_a_byte_order_mark_is_nothing(written):
    text = MINIMAL.replace("least", "2024-01-31")
    assert read(written(b"\xef\xbb\xbf" + text.encode())).name == "2024-01-31"


def test_an_int_gene_may_stand_for_a_float_knob(written):
    text = MINIMAL + "  unactivation_penalty: {low: 1, high: 8, log: true, type: int}\n"
    assert read(written(text)).space.genes[1] == IntGene("unactivation_penalty", 1, 8, log=True)


@pytest.mark.parametrize("dataset", ["digits", "data/x.npz", "X.NPZ"])
def test_data_sets_are_names_or_paths_that_stay_as_written(written, dataset):
    assert read(written(MINIMAL.replace("digits", dataset))).task.dataset == dataset


@pytest.mark.parametrize("dataset", ["a.csv", "a.parquet"])
def test_a_table_needs_a_target(written, dataset):
    path = written(MINIMAL.replace("dataset: digits", f"dataset: {dataset}"))
    assert complaint(path) == (3, "task.target", "missing; write the name of the column to predict")
    path = written(MINIMAL.replace("dataset: digits", f"dataset: {dataset}, target: y"))
    assert read(path).task.target == "y"


PENALTY = "genome.unactivation_penalty"
WHEN = "genome.hebbian_threshold.when"
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
    ("log: true", "step: 2", 15, f"{PENALTY}.step", "only whole numbers have a step; write type:"),
    ("log: true", "type: real", 15, f"{PENALTY}.type", "'real' is not known; write float or int"),
    ("choices: [mean, ratio]", "choices: []", 17, "genome.penalty_form.choices", "[] is empty; write a list"),
    ("choices: [mean, ratio]", "choices: mean", 17, "genome.penalty_form.choices", "'mean' is not a list"),
    ("choices: [mean, ratio]", "choices: [mean, mean]", 17, "genome.penalty_form.choices.1", "stands here t"),
    ("choices: [mean, ratio]", "choices: [ratio, mode]", 17, "genome.penalty_form.choices.1", "'mode' is no"),
    ("choices: [mean, ratio]", "choices: [ratio, [a]]", 17, "genome.penalty_form.choices.1", "is not a numb"),
    ("choices: [mean, ratio]", "choices: [ratio]\n    low: 1", 18, "genome.penalty_form.low", "is not a key"),
    ("    choices: [mean, ratio]", "    {low: 1, high: 2}", 16, "genome.penalty_form", "a choice has no ran"),
    ("step: 3", "step: 0", 18, "genome.prune_period.step", "0 does not fit; write a whole number from 1 to"),
    ("step: 3", "step: -3", 18, "genome.prune_period.step", "-3 does not fit"),
    ("step: 3, type: int", "log: false", 18, "genome.prune_period.type", "is a whole number; write type: in"),
    ("low: 2,", "low: 2.5,", 18, "genome.prune_period.low", "2.5 is not a whole number; write one, or type:"),
    ("low: 2,", "low: 0,", 18, "genome.prune_period.low", "0 is outside its range; write a whole number of"),
    ("penalty_form: ratio", "penalty_form: no", 19, f"{WHEN}.penalty_form", "is never false"),
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
    ("dense]}", "dense], repeat: depth}", 8, "genome.units.repeat", "units is not set per layer; drop repea"),
    ("1e-2, log: true}", "1e-2, repeat: depth}", 12, "genome.learning_rate.repeat", "is not set per layer;"),
    (HIDDEN, "momentum: {choices: [0]}", 6, "genome.depth", "nothing says how wide layer 3 is; write more"),
    ("log: true, repeat: depth}", "when: {units: dense}}", 6, "genome.depth", "or a hidden gene that is alw"),
    ("high: 256", "high: 100001", 7, "genome.hidden.high", "100001 is outside its range; write a whole numb"),
    (HIDDEN, f"{HIDDEN}\n  hidden.2: {{type: int, low: 1, high: 9}}", 8, "genome.hidden.2", "hidden is repe"),
    ("  units: {", "  hidden.9: {type: int, low: 1, high: 2}\n  units: {", 8, "genome.hidden.9", "hidden is"),
    ("  learning_rate", "  grace.1", 12, "genome.grace.1", "'grace.1' is not a knob of stamina or dense; wr"),
    ("[stamina, dense]", "[stamina, dens]", 8, "genome.units.choices.1", "'dens' is not one of stamina, mag"),
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


AXES = """\
version: 1
name: axes
task: {dataset: digits}
network: {settings: {settle: 0.3, permanence_bound: 1.0}}
genome:
  units: {choices: [stamina, random, dense]}
  connections: {choices: [full, hebb_mask, magnitude]}
  unactivation_penalty: {low: 1e-2, high: 100, log: true, when: {units: stamina}}
  max_deaths: {low: 0.05, high: 0.5, when: {units: [stamina, random]}}
  permanence_rate: {low: 1e-2, high: 1, log: true, when: {connections: hebb_mask}}
  prune_period: {type: int, low: 5, high: 40, when: {units: stamina}}
  density: {low: 0.1, high: 1.0, when: {connections: magnitude}}
"""


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


AXES_NOW = "units, connections and credit have a rule each; write"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stamina", "units: stamina"),
        ("hebb_mask", "units: dense, connections: hebb_mask"),
        ("dense", "units: dense"),
        ("other", f"units: RULE, one of {', '.join(UNITS)}"),
        ("[a]", f"units: RULE, one of {', '.join(UNITS)}"),
    ],
)
def test_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, old, new):
    found = complaint(written(f"{MINIMAL}network: {{rule: {old}}}\n"))
    assert found == (6, "network.rule", f"{AXES_NOW} {new}")
    with pytest.raises(SpaceError) as caught:
        data = read(written(MINIMAL)).to_json()
        data["network"]["rule"] = old
        Spec.from_json(data)
    assert str(caught.value) == f"network.rule: {AXES_NOW} {new}"


@pytest.mark.parametrize(
    ("gene", "new"),
    [
        ("{choices: [stamina, dense]}", "a gene units: {choices: [stamina, dense]}"),
        ("{choices: [dense, stamina], when: {optimizer: sgd}}", "a gene units: {choices: [dense, stamina]}"),
        (
            "{choices: [stamina, hebb_mask]}",
            "genes units: {choices: [stamina, dense]} "
            "and connections: {choices: [hebb_mask], when: {units: dense}}",
        ),
        (
            "{choices: [stamina, dense, hebb_mask]}",
            "genes units: {choices: [stamina, dense]} "
            "and connections: {choices: [full, hebb_mask], when: {units: dense}}",
        ),
        (
            "{choices: [dense, hebb_mask]}",
            "units: dense in network, and a gene connections: {choices: [full, hebb_mask]}",
        ),
        (
            "{choices: [stamina, other]}",
            "a gene for each that is searched, as in units: {choices: [stamina, dense]}",
        ),
        ("{low: 1, high: 2}", "a gene for each that is searched, as in units: {choices: [stamina, dense]}"),
    ],
)
def test_a_gene_for_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, gene, new):
    found = complaint(written(f"{MINIMAL}  rule: {gene}\n  optimizer: {{choices: [adamw, sgd]}}\n"))
    assert found == (6, "genome.rule", f"{AXES_NOW} {new}")


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("stamina", "when: {units: stamina}"),
        ("[stamina, dense]", "when: {units: [stamina, dense]}"),
        ("hebb_mask", "when: {connections: hebb_mask}"),
        ("[stamina, hebb_mask]", "a condition on units or connections, as in when: {units: stamina}"),
        ("3", "a condition on units or connections, as in when: {units: stamina}"),
    ],
)
def test_a_condition_on_the_single_rule_of_old_is_one_line_that_says_what_to_write(written, value, new):
    text = f"{MINIMAL}  grace: {{type: int, low: 1, high: 9, when: {{rule: {value}}}}}\n"
    assert complaint(written(text)) == (6, "genome.grace.when.rule", f"{AXES_NOW} {new}")


def test_every_old_rule_is_written_with_rules_that_there_are_and_read_again(written):
    for old in ("stamina", "hebb_mask", "dense"):
        what = complaint(written(f"{MINIMAL}network: {{rule: {old}}}\n"))[2]
        read(written(f"{MINIMAL}network: {{{what.partition('; write ')[2]}}}\n"))


def test_what_can_be_counted_is_what_networks_count():
    assert tuple(paths.COUNTS) == COUNTS


@pytest.mark.parametrize(("old", "new", "line", "key", "fragment"), BAD)
def test_a_bad_file_is_one_line_with_its_place(written, old, new, line, key, fragment):
    assert GOOD.count(old) >= 1
    found = complaint(written(GOOD.replace(old, new, 1)))
    assert found[:2] == (line, key)
    assert fragment in found[2]


@pytest.mark.parametrize(
    ("text", "line", "key", "fragment"),
    [
        ("", 1, "file", "this is empty; write version, name, task and genome"),
        ("# nothing\n\n", 1, "file", "this is empty"),
        ("\n\n- a\n", 3, "file", "this is not a mapping"),
        ("stamina\n", 1, "file", "this is not a mapping"),
        (b"version: 1\nname: \xff\n", 2, "file", "this is not UTF-8 text; save the file as UTF-8"),
        ("version: 1".encode("utf-16"), 1, "file", "this is not UTF-8 text"),
        ("version: 1\nname: a\0b\n", 2, "yaml", r"the character '\x00' cannot stand in YAML; remove it"),
        ("version: 1\nname: {a\n", 3, "yaml", "expected ',' or '}'"),
        ("version: 1\n\tname: a\n", 2, "yaml", r"found character '\t' that cannot start any token"),
        ("version: 1\nname: a: b\n", 2, "yaml", "mapping values are not allowed here"),
        ("version: 1\n---\nversion: 1\n", 2, "yaml", "but found another document"),
        ("version: 1\nname: &x a\ntask: *x\n", 3, "yaml", "this is not YAML (no aliases here)"),
        ("version: 1\nname: " + "[" * 5000 + "\n", 2, "yaml", "this is not YAML (nested too deeply)"),
        ("version: 1\nname: a\ntask: {dataset: digits}\ngenome: {}\n", 4, "genome", "{} is empty; write {lo"),
        ("version: 1\nname: a\ntask: {dataset: digits}\ngenome:\n", 4, "genome", "has no value; write {low:"),
        ("version: 1\nname: a\ntask: {dataset: digits}\n", 1, "genome", "missing; write {low: ..., high: .."),
        (MINIMAL.replace("{low: 1e-5, high: 1.0e0}", "0.1"), 5, "genome.learning_rate", "0.1 is not a gene;"),
        (MINIMAL + '  "a\\nb": {low: 1, high: 2}\n', 6, r"genome.a\nb", "is not a knob of stamina"),
        (
            MINIMAL.replace("{dataset: digits}", "{dataset: digitz}") + "search: {trials: 0}\n",
            3, "task.dataset", "'digitz' is not a data set",
        ),
        (
            MINIMAL.replace("1e-5", "2") + "  warmup: {low: 1, high: 3}\nname: b\n",
            5, "genome.learning_rate.high", "1.0 is not above low",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {gone: 1}}\n  grace: {low: 0}\n",
            6, "genome.warmup.when.gone", "there is no gene gone",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {grace: 1}}\n  grace: {low: 0}\n",
            7, "genome.grace.high", "missing",
        ),
        (
            MINIMAL + "  warmup: {low: 1, high: 3, type: int, when: {grace: 1}}\n"
            "  grace: {low: 0, high: 3, type: int, when: {warmup: 1}}\n",
            6, "genome.warmup.when", "the conditions go in a circle",
        ),
    ],
)  # fmt: skip
def test_the_first_problem_by_line_is_told(written, text, line, key, fragment):
    found = complaint(written(text))
    assert found[:2] == (line, key)
    assert fragment in found[2]


def test_a_directory_is_told_apart_from_a_file(tmp_path):
    assert complaint(tmp_path) == (1, "file", "this is a directory; write the path of a file in it")


def test_a_file_that_cannot_be_opened_is_one_line(written, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = written(GOOD)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert complaint(path) == (1, "file", "cannot be read (Permission denied); write another path")


def test_every_shipped_space_is_good_under_its_own_name():
    assert "stamina" in shipped()
    for name, path in shipped().items():
        assert path.name == f"{name}.yaml"
        assert read(path).name == name


@pytest.mark.parametrize("folder", ["hebbevo/search_spaces", "search_spaces"])
def test_spaces_ship_inside_the_package_and_stand_beside_it_in_a_checkout(tmp_path, monkeypatch, folder):
    (tmp_path / "hebbevo").mkdir()
    for name in ("b.yaml", "a.yaml", "README.md"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(MINIMAL)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)
    assert shipped() == {name: tmp_path / folder / f"{name}.yaml" for name in ("a", "b")}
    assert read("b").name == "least"


def test_a_shipped_space_is_found_by_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("stamina") == read("stamina.yaml") == read(shipped()["stamina"])
    assert [gene.name for gene in read("stamina").space.genes][:2] == ["unactivation_penalty", "penalty_form"]


@pytest.mark.parametrize("name", ["stamina", "stamina.yaml"])
def test_an_existing_file_wins_over_a_shipped_name(tmp_path, written, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    written(MINIMAL, name)
    assert read(name).name == "least"


@pytest.mark.parametrize("name", ["stamin", "folder/stamina", "stamina.yml", "", "x" * 5000, "a\nb", "a\0b"])
def test_a_missing_space_lists_the_shipped_ones(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as caught:
        read(name)
    known = ", ".join(shipped())
    assert str(caught.value).endswith(
        f": there is no such file; write a path to a space file, or one of {known}"
    )
    assert str(caught.value).isprintable()


def test_an_option_replaces_what_is_given_and_keeps_the_rest(good):
    changed = good.override(
        trials=7, seed=3, population=8, replicates=2, epochs=5, dataset="x.csv", target="y"
    )
    expected = good.to_json()
    expected["search"] |= {"trials": 7, "seed": 3, "population": 8, "replicates": 2}
    expected["task"] |= {"epochs": 5, "dataset": "x.csv", "target": "y"}
    assert changed.to_json() == expected
    assert good.override() == good and good.search.trials == 500


def test_another_sampler_does_not_get_the_settings_of_the_first(written):
    spec = read(written(MINIMAL + "search: {sampler: ga, settings: {mutation_eta: 3}}\n"))
    assert spec.override(sampler="ga").search.settings == {"mutation_eta": 3}
    assert spec.override(sampler="annealing").search.settings == {}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"trials": 0}, "--trials: 0 is too small; write a whole number of 1 or more"),
        ({"seed": -1}, "--seed: -1 is too small; write a whole number from 0 to 2147483647"),
        ({"population": 3}, "--population: 3 is too small; write a whole number of 4 or more"),
        ({"replicates": 0}, "--replicates: 0 is too small; write a whole number of 1 or more"),
        ({"epochs": 0}, "--epochs: 0 is too small; write a whole number of 1 or more"),
        ({"sampler": "gaa"}, "--sampler: 'gaa' is not a sampler; write ga; known: "),
        ({"dataset": "digit"}, "--data: 'digit' is not a data set; write digits; known: "),
        ({"dataset": "x.csv"}, "--target: missing; write the name of the column to predict"),
    ],
)
def test_a_bad_option_is_one_line_that_names_it(good, options, text):
    with pytest.raises(SpaceError) as caught:
        good.override(**options)
    assert str(caught.value).startswith(text)
    assert str(caught.value).isprintable()


def test_a_spec_comes_back_from_json(good):
    back = Spec.from_json(json.loads(json.dumps(good.to_json())))
    assert back == good and back.space == good.space
    assert type(back.network.settings["handover"]) is bool


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data["search"].update(trials="x"), "search.trials: 'x' is not a whole number; write "),
        (lambda data: data.pop("name"), "name: missing; write "),
        (
            lambda data: data["genome"]["prune_period"].update(low=99),
            "genome.prune_period.high: 20 is not above ",
        ),
        (
            lambda data: data["genome"].pop("penalty_form"),
            f"{WHEN}.penalty_form: there is no",
        ),
    ],
)
def test_a_recorded_spec_that_is_damaged_is_one_line(good, change, text):
    data = good.to_json()
    change(data)
    with pytest.raises(SpaceError) as caught:
        Spec.from_json(data)
    assert str(caught.value).startswith(text)


def test_a_recorded_spec_that_is_no_mapping_is_one_line():
    with pytest.raises(SpaceError, match=r"^file: \[\] is not a mapping; "):
        Spec.from_json([])


def test_a_recorded_spec_needs_nothing_installed(good):
    data = good.to_json()
    data["network"]["units"], data["search"]["sampler"] = "gone", "gone too"
    assert Spec.from_json(data).network.units == "gone"


def test_a_spec_cannot_be_changed(good):
    with pytest.raises(ValueError, match="frozen"):
        good.name = "other"


def test_a_difference_names_every_setting_that_differs(good):
    now = good.override(trials=9, seed=1, dataset="x.csv", target="y")
    assert difference(good, now) == [
        "task.dataset: 'digits' in the study, 'x.csv' here",
        "task.target: nothing in the study, 'y' here",
        "search.seed: 0 in the study, 1 here",
    ]
    assert difference(good, now, ignoring=("task.dataset", "task.target", "search.seed")) == [
        "search.trials: 500 in the study, 9 here"
    ]
    assert difference(good, good) == []


def test_a_difference_reaches_lists_settings_and_genes(good, written):
    text = (
        GOOD.replace("- 64", "- 32")
        .replace("warmup: 10", "grace: 1")
        .replace("[mean, ratio]", "[ratio, mean]")
    )
    assert difference(good, read(written(text.replace("low: 1e-2", "low: 0.1")))) == [
        "network.hidden: [128, 64] in the study, [128, 32] here",
        "network.settings.warmup: 10 in the study, nothing here",
        f"{PENALTY}.low: 0.01 in the study, 0.1 here",
        "genome.penalty_form.choices: ['mean', 'ratio'] in the study, ['ratio', 'mean'] here",
        "network.settings.grace: nothing in the study, 1 here",
    ]


def test_one_and_true_differ_but_one_and_one_point_nought_do_not(written):
    specs = {
        value: read(
            written(MINIMAL + f"network: {{settings: {{penalty_form: mean, max_deaths: {value}}}}}\n")
        )
        for value in ("1", "1.0")
    }
    assert difference(specs["1"], specs["1.0"]) == []
    data = specs["1"].to_json()
    data["network"]["settings"]["max_deaths"] = True
    assert difference(specs["1"], Spec.from_json(data)) == [
        "network.settings.max_deaths: 1 in the study, true here"
    ]


def test_another_order_of_the_genes_is_a_difference(good):
    data = good.to_json()
    data["genome"] = dict(reversed(data["genome"].items()))
    names = list(good.genome)
    assert difference(good, Spec.from_json(data)) == [
        f"genome: in the order {', '.join(names)} in the study, {', '.join(reversed(names))} here"
    ]


GARBAGE = (
    "", "~", "-1", "0", "1e400", ".nan", "[]", "{}", "[1, a]", "{a: b}", "true", "'", '"', ": :", "\t", "&a",
    "*a", "!!python/object:os.system x", "!!binary aGk=", "!!set {a}", "? [x]", "- - -", "%TAG", "---", "...",
    "0b_", "2024-99-99", "<<: {low: 1}", "!", "|", "\u2028", "é", "a\0", "9" * 30, "1_0", "0o7", "=",
)  # fmt: skip


def mutated(lines, rng):
    lines = list(lines)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(lines))
        word = rng.choice(GARBAGE)
        match rng.randrange(5):
            case 0:
                del lines[i]
            case 1:
                lines[i] = re.sub(r":.*", lambda _, word=word: f": {word}", lines[i], count=1)
            case 2:
                lines[i] = re.sub(r"[-\w.]+(?=[,}\]]|$)", lambda _, word=word: word, lines[i], count=1)
            case 3:
                lines.insert(i, rng.choice(lines))
            case 4:
                at = rng.randrange(len(lines[i]) + 1)
                lines[i] = lines[i][:at] + word + lines[i][at + rng.randint(0, 3) :]
    return "\n".join(lines) + "\n"


def test_a_garbled_file_gives_a_spec_or_one_line(written):
    rng, good, bad = random.Random(0), 0, 0
    for _ in range(600):
        text = mutated(rng.choice((GOOD, STRUCTURED, AXES)).splitlines(), rng)
        path = written(text)
        try:
            spec = read(path)
        except SpaceError as error:
            bad += 1
            assert str(error).isprintable(), text
            assert re.match(re.escape(str(path)) + r":\d+: .+: .+; .+", str(error)), (text, str(error))
        else:
            good += 1
            assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert bad > 300 and good > 10


def test_reading_leaves_the_yaml_library_as_it_was(written):
    read(written(GOOD))
    assert yaml.safe_load("[1e-5, 2024-01-31]") == ["1e-5", yaml.safe_load("2024-01-31")]


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
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
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
