"""Networks of different widths in one form: padding changes nothing that a network computes."""

import pytest
import torch

from hebbevo.data import load, split
from hebbevo.networks import Architecture
from hebbevo.networks.padded import Padded
from hebbevo.training import Candidate, Exam, Recipe, train

CPU = torch.device("cpu")
MLP = Architecture("mlp", (9, 9), "dense", False, shape=(1, 8, 8), classes=10)
CONV = Architecture("conv", (9,), "dense", False, shape=(1, 8, 8), classes=10, channels=(4, 4))
OF_MLP = Padded(MLP, channels=(), hidden=(7, 6)), [{"hidden": [7, 2]}, {"hidden": [3, 6]}]
OF_CONV = (
    Padded(CONV, channels=(3, 5), hidden=(6,)),
    [{"channels": [3, 2], "hidden": [4]}, {"channels": [1, 5], "hidden": [6]}],
)


@pytest.fixture(scope="module")
def digits():
    return split(load("digits"), 1, 64)


@pytest.mark.parametrize(("padded", "genomes"), [OF_MLP, OF_CONV])
def test_a_padded_network_gives_the_same_outputs_and_has_no_other_survivors(padded, genomes) -> None:
    rows = torch.randn(6, 1, 8, 8)
    for genome in genomes:
        own = padded.architecture.build(genome, seed=3).eval()
        wide = padded.build(genome, seed=3).eval()
        assert torch.allclose(wide(rows), own(rows), atol=1e-6)
        assert sum(each.numel() for each in wide.parameters()) > sum(
            each.numel() for each in own.parameters()
        )


@pytest.mark.parametrize(("padded", "genomes"), [OF_MLP, OF_CONV])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_in_one_stack_each_reaches_what_it_reaches_alone(padded, genomes, optimizer, digits) -> None:
    settings = {"learning_rate": 0.01, "weight_decay": 0.1, "settle": 0.3, "optimizer": optimizer}
    recipe = Recipe(padded, settings, epochs=2, batch_size=256, seed=1)
    together = train(recipe, [Candidate(genome) for genome in genomes], digits, CPU, exam=Exam(True))
    own = Recipe(padded.architecture, settings, epochs=2, batch_size=256, seed=1)
    for genome, measured in zip(genomes, together, strict=True):
        [alone] = train(own, [Candidate(genome)], digits, CPU, exam=Exam(True))
        assert measured.failure is None
        assert measured.accuracy == pytest.approx(alone.accuracy, abs=0.005)
        assert measured.exam.test == pytest.approx(alone.exam.test, abs=0.005)
        assert (measured.survivors, measured.layers) == (alone.survivors, alone.layers)
