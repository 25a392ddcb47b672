import json

import pytest

from hebbevo.space import ChoiceGene, FloatGene, IntGene
from hebbevo.spec import read, spec_from_json
from tests.spec.conftest import MINIMAL, STRUCTURED


def test_a_good_file_gives_its_settings(good):
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
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))).space == spec.space


def test_absent_keys_have_their_defaults(written):
    spec = read(written(MINIMAL))
    assert spec.to_json() == {
        "version": 1,
        "name": "least",
        "task": {
            "dataset": "digits",
            "target": None,
            "table": None,
            "test": None,
            "split": None,
            "kind": "classification",
            "standardize": "auto",
            "categorical": {},
            "epochs": 20,
            "batch_size": 64,
            "precision": "float32",
            "loss": None,
            "score": None,
            "class_weight": None,
        },
        "network": {
            "module": None,
            "family": "mlp",
            "channels": [],
            "hidden": [128, 128],
            "units": "stamina",
            "connections": "full",
            "credit": "backprop",
            "readout": "trained",
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
            "engine": "auto",
            "halving": False,
            "pruning_patience": 1.0,
            "keep": "none",
            "seed": 0,
            "start": [],
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
                "zero": False,
                "when": {},
                "repeat": None,
            }
        },
    }


def test_numbers_keep_their_type_in_genes(written):
    text = MINIMAL + "  warmup: {low: 1e1, high: 20.0, type: int}\n  grace: {choices: [0, 5]}\n"
    space = read(written(text)).space
    assert space.genes[1:] == (IntGene("warmup", 10, 20), ChoiceGene("grace", (0, 5)))
    assert type(space.genes[1].from_unit(0.0)) is int and type(space.genes[2].from_unit(0.0)) is int


def test_an_int_gene_may_stand_for_a_float_knob(written):
    text = MINIMAL + "  unactivation_penalty: {low: 1, high: 8, log: true, type: int}\n"
    assert read(written(text)).space.genes[1] == IntGene("unactivation_penalty", 1, 8, log=True)


@pytest.mark.parametrize("dataset", ["digits", "data/x.npz", "X.NPZ"])
def test_data_sets_are_names_or_paths_that_stay_as_written(written, dataset):
    assert read(written(MINIMAL.replace("digits", dataset))).task.dataset == dataset


def test_a_spec_cannot_be_changed(good):
    with pytest.raises(ValueError, match="frozen"):
        good.name = "other"
