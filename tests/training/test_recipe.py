"""The seed of a net, and the values of its knobs."""

from hebbevo.training import Candidate
from tests.training.conftest import recipe


def test_the_seed_of_a_net_is_a_function_of_study_genome_and_replicate():
    genome = {"learning_rate": 0.1, "penalty_form": "ratio"}
    seed = Candidate(genome, 1).seed(5)
    assert Candidate(dict(reversed(genome.items())), 1).seed(5) == seed
    others = [
        Candidate(genome, 0).seed(5),
        Candidate(genome, 1).seed(6),
        Candidate({"learning_rate": 0.1, "penalty_form": "mean"}, 1).seed(5),
        Candidate({"learning_rate": 0.1}, 1).seed(5),
    ]
    assert len({seed, *others}) == 5
    assert all(0 <= each < 2**62 for each in (seed, *others))


def test_a_gene_goes_before_a_setting_and_a_setting_before_the_default():
    the_recipe = recipe(momentum=0.1, learning_rate=0.2, settle=0.3)
    genome = {"learning_rate": 0.4, "settle": 0.5}
    assert the_recipe.training_knobs(genome) == {
        "optimizer": "adamw",
        "learning_rate": 0.4,
        "weight_decay": 1e-2,
        "learning_rate_warmup": 0,
        "momentum": 0.1,
    }
    settings = the_recipe.settings_for(genome)
    assert (settings["settle"], settings["momentum"], "handover" in settings) == (0.5, 0.1, False)
