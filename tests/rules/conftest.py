"""Networks under any rule of the registries, trained in every way that hebbevo trains."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.networks import Architecture
from hebbevo.nn import PlasticUnits, attach
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows, slots
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
FEATURES, CLASSES, HIDDEN = 11, 4, (13, 9)
BRISK = {
    "warmup": 2, "prune_period": 2, "grace": 2, "events": 5, "target": 4, "update_interval": 2,
    "permanence_rate": 0.2, "density": 0.2, "unactivation_penalty": 2.0, "settle": 0.25,
    "rewire_period": 3, "share": 0.4,
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
        credit: the credit rule, by name.
        family: of the networks.
        knobs: values of knobs in place of those of `BRISK`.
        epochs: of the training.
    """

    units: str = "dense"
    connections: str = "full"
    family: str = "mlp"
    knobs: dict | None = None
    epochs: int = 4
    credit: str = "backprop"

    @property
    def shape(self):
        return (1, 8, 8) if self.family == "conv" else (FEATURES,)

    @property
    def recipe(self):
        network = Architecture(
            self.family, HIDDEN, self.units, False, self.shape, CLASSES,
            (5,) if self.family == "conv" else (), self.connections, self.credit,
        )  # fmt: skip
        known = UNITS[self.units].knobs | CONNECTIONS[self.connections].knobs | CREDIT[self.credit].knobs
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


# events of one layer, recorded with all that a score is made of


NAMES = "dabc"  # of the units of `hand_drawn`


@dataclass
class Event:
    """An event of one layer of n units.

    Attributes:
        outputs: of every step so far, (rows, n) each.
        outgoing: norms of the weights that read each unit, (n,).
        before: which units live before it, (n,) bool.
        after: which units live after it.
        scores: what the rule gave, (n,).
        knobs: of the units, as numbers.
    """

    outputs: list[np.ndarray]
    outgoing: np.ndarray
    before: np.ndarray
    after: np.ndarray
    scores: np.ndarray
    knobs: dict[str, float]

    @property
    def deaths(self) -> int:
        return int(self.before.sum() - self.after.sum())


def recording(name):
    """A rule that records its scores, and the list of them."""
    scores = []

    class Recording(type(UNITS[name])):
        def score(self, k, s, layer):
            found = super().score(k, s, layer)
            scores.append(found.numpy().copy())
            return found

    return Recording(), scores


def events_of(name, net, batches, rate=0.03, **knobs):
    """Train a net whose module 1 is None, put units under a rule there, and record every event."""
    rule, scores = recording(name)
    units = net[1] = PlasticUnits(rule, net[0].out_features, seed=1, **knobs)
    net.double()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9 * (rate > 0))
    outputs, events = [], []
    norms = []
    optimizer.register_step_post_hook(
        lambda *_: norms.append(net[2].weight.detach().norm(dim=0).numpy().copy())
    )
    attach(net, optimizer, total_steps=len(batches))
    units.register_forward_hook(lambda *call: outputs.append(call[2].detach().numpy().copy()))
    for x, y in batches:
        before = units.alive.numpy().copy()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        if len(scores) > len(events):
            values = {knob: float(getattr(units, knob)) for knob in rule.knobs}
            after = units.alive.numpy().copy()
            events.append(Event([*outputs], norms[-1], before, after, scores[-1], values))
    assert len(scores) == len(events)
    return events


def trained_events(name, units=9, events=4, target=2, rows=20, steps=14, **knobs):
    """The events of a short training on random numbers, in double precision."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, units), None, nn.Linear(units, 3))
    batches = [(torch.randn(rows, 5).double(), torch.randint(3, (rows,))) for _ in range(steps)]
    schedule = {"schedule": "target", "target": target, "events": events, "warmup": 2}
    return events_of(name, net, batches, **schedule | knobs)


def hand_drawn(name, **knobs):
    """Four units with fixed weights, of which one leaves at each of three events.

    The units are read by weights of norm 10, 1, 3 and 1.

    - d: always 1
    - a: 0, 0, 4, 4 on four rows
    - b: half of a
    - c: 0, 3, 1, 3
    """
    net = nn.Sequential(nn.Linear(4, 4, bias=False), None, nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4))
        net[2].weight.copy_(torch.tensor([[6.0, 1.0, 0.0, 0.6], [8.0, 0.0, 3.0, 0.8]]))
    x = torch.tensor([[1.0, 1, 1, 1], [0, 0, 4, 4], [0, 0, 2, 2], [0, 3, 1, 3]]).double().T
    batches = [(x, torch.zeros(4, dtype=torch.long))] * 3
    return events_of(name, net, batches, 0.0, events=3, target=1, warmup=0, **knobs)


def deaths_of(events):
    """The names of the units of `hand_drawn` in the order in which they left."""
    left = [np.flatnonzero(each.before & ~each.after) for each in events]
    return "".join(NAMES[unit] for [unit] in left)


def decayed_mean(values, memory):
    """The mean over steps, each of which counts ``memory`` times as much as the next one."""
    total = weight = 0.0
    for value in values:
        total, weight = memory * total + value, memory * weight + 1
    return total / weight


def covariance_of(event):
    """The running covariance of the units within a minibatch, (n, n)."""
    each = [np.cov(outputs.T, bias=True) for outputs in event.outputs]
    return decayed_mean(each, event.knobs["memory"])


def unexplained(covariance, unit, others):
    """1 - R^2 of a unit, by least squares on the others."""
    between = covariance[others, unit]
    solved = np.linalg.solve(covariance[np.ix_(others, others)], between) if others else between
    return 1 - between @ solved / covariance[unit, unit]


def over_mean(values, event):
    """Values over the mean of those of living units, 0 for pruned units."""
    return np.where(event.before, values, 0) / values[event.before].mean()


def assert_lowest_leave(event, scores):
    """Check that the units with the lowest scores leave, and only these."""
    living = np.flatnonzero(event.before)
    lowest = living[np.argsort(scores[living], kind="stable")][: event.deaths]
    assert sorted(lowest) == np.flatnonzero(event.before & ~event.after).tolist()
