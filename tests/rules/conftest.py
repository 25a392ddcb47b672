"""Networks under any rule of the registries, trained in every way that hebbevo trains."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from hebbevo.networks import Architecture
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows, slots
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
FEATURES, CLASSES, HIDDEN = 11, 4, (13, 9)
BRISK = {
    "warmup": 2, "prune_period": 2, "grace": 2, "events": 5, "target": 4, "update_interval": 2,
    "permanence_rate": 0.2, "density": 0.2, "unactivation_penalty": 2.0, "settle": 0.25,
}  # fmt: skip
LEARNING_RATES = (1e-3, 3e-3, 1e-2)


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """These nets are too small for more threads."""


def rows_of(shape=(FEATURES,)):
    """Noisy clusters, many of whose features are zero."""
    rng = np.random.default_rng(3)
    y = rng.integers(CLASSES, size=90)
    centres = rng.normal(size=(CLASSES, *shape))
    x = (centres[y] + rng.normal(size=(90, *shape))) * (rng.random((90, *shape)) < 0.7)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return Rows(x[:66], y[:66], x[66:], y[66:])


@dataclass
class RuleTraining:
    """A training of networks under rules, with knobs at which something changes every few steps.

    Attributes:
        units: the unit rule, by name.
        connections: the connection rule, by name.
        family: of the networks.
        knobs: values of knobs in place of those of `BRISK`.
        epochs: of the training.
    """

    units: str = "dense"
    connections: str = "full"
    family: str = "mlp"
    knobs: dict | None = None
    epochs: int = 4

    @property
    def shape(self):
        return (1, 8, 8) if self.family == "conv" else (FEATURES,)

    @property
    def recipe(self):
        network = Architecture(
            self.family, HIDDEN, self.units, False, self.shape, CLASSES,
            (5,) if self.family == "conv" else (), self.connections,
        )  # fmt: skip
        known = UNITS[self.units].knobs | CONNECTIONS[self.connections].knobs
        settings = {name: value for name, value in BRISK.items() if name in known} | (self.knobs or {})
        return Recipe(network, settings, self.epochs, 16, 0)

    def nets(self, rates=LEARNING_RATES):
        """Networks in double precision, one for each learning rate."""
        recipe = self.recipe
        genomes = [{"learning_rate": rate} for rate in rates]
        return [
            recipe.network.build(recipe.settings_for(genome), Candidate(genome).seed(0)).double()
            for genome in genomes
        ]

    def cohort(self, how, rates=LEARNING_RATES):
        """A cohort of them: ``alone`` (the first one only), in a ``stack``, or in a ``compact`` stack."""
        recipe = replace(self.recipe, stacked=True)
        nets = self.nets(rates if how != "alone" else rates[:1])
        return train_together(how, recipe, nets, self.nets(rates[:1])[0], rows_of(self.shape), rates)


def train_together(how, recipe, nets, model, rows, rates=LEARNING_RATES):
    """The training of some nets ``alone`` (there is one), in a ``stack``, or in a ``compact`` stack."""
    values = [recipe.training_knobs({"learning_rate": rate}) for rate in rates[: len(nets)]]
    stack = SingleNet(nets[0], CPU) if how == "alone" else VmapStack(nets, CPU)
    with pytest.MonkeyPatch.context() as patch:
        if how != "compact":
            patch.setattr(CompactStack, "of", lambda *_: None)
        # nets move to another level with every few units
        patch.setattr(slots, "SLOT_MULTIPLE", 2)
        patch.setattr(slots, "LEVEL_STEPS", ((0.95, 1),))
        return CohortTraining(recipe, stack, values, model, rows)


def is_compacted(cohort):
    """Whether all networks of a compact stack have fewer slots than units."""
    return all(sum(each.nets.slots) < sum(HIDDEN) for each in cohort.sub_cohorts)
