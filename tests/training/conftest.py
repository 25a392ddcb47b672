"""Small problems, genomes that use every knob, and networks of the user with the traps of stacking."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import Split
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.nn.layer_connections import PER_PARAMETER
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows, train
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
FEATURES, CLASSES = 11, 4
# every penalty form, each with a penalty at which some neurons are pruned
PENALTIES = {"mean": 2.0, "ratio": 2.0, "zero_sum": 1.0, "constant": 1.1}

# nets of one structure, with every penalty form and hyperparameters far apart
ONE_STRUCTURE = [
    {"penalty_form": form, "unactivation_penalty": penalty, "activity": activity}
    for (form, penalty), activity in product(PENALTIES.items(), ("activation", "frequency"))
] + [
    {"firing_prior": 0.7, "stamina_decay": 0.9, "learning_rate": 1e-2},
    {"rebirth": "old", "unactivation_penalty": 2.5, "learning_rate": 3e-4},
    {"initial_neurons": 0.5, "regrowth_rate": 0.6, "weight_decay": 1.0},
    {"max_deaths": 0.5, "min_neurons": 1, "unactivation_penalty": 3.0, "warmup": 3, "prune_period": 1},
]
SGD = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.8}
MANY_KNOBS = {
    "activity": "contribution",
    "handover": True,
    "settle": 0.3,
    "initial_neurons": 0.5,
    "growth_rate": 0.4,
    "patience": 1,
    "entropy_bonus": 0.05,
    "size_penalty": 0.01,
}
# nets that differ in the optimiser and in having a regulariser
FOUR_KINDS = [
    *(
        {"penalty_form": f, "unactivation_penalty": p, "activity": "contribution"}
        for f, p in PENALTIES.items()
    ),
    {"handover": True, "unactivation_penalty": 2.0},
    {"settle": 0.5},
    {"growth_rate": 0.5, "patience": 1, "initial_neurons": 0.4, "regrowth_rate": 0.0},
    {"size_penalty": 0.01},
    {"entropy_bonus": 0.1},
    SGD,
    {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.5, **MANY_KNOBS},
    MANY_KNOBS,
]
# nets of eight structures, some of which two nets share
MANY_STRUCTURES = [
    {"depth": 1},
    {"depth": 1, "hidden": 37, "penalty_form": "ratio"},
    {"depth": 3, "hidden": 9},
    {"depth": 3, "hidden.1": 9, "hidden.2": 9, "hidden.3": 9, "grace.2": 40},
    {"hidden.1": 23, "hidden.2": 5},
    {"hidden.1": 23, "hidden.2": 5, "unactivation_penalty.1": 3.0, "unactivation_penalty.2": 0.3},
    {"hidden.1": 23, "hidden.2": 5, **SGD},
    {"hidden": 8, **SGD},
    {"units": "dense"},
    {"units": "dense", "settle": 0.5},
    {"units": "dense", "depth": 1, "hidden": 16},
    {"settle.1": 0.1, "settle.2": 0.6, "handover.1": True},
]
DIVERGING = {"learning_rate": 1e6}


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """These nets are too small for more threads."""


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return torch.device(request.param)


def problem(train_rows=248, val_rows=100):
    """Four noisy clusters whose features are often zero, so that input units can be silent."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(CLASSES, FEATURES))

    def part(rows):
        y = rng.integers(CLASSES, size=rows)
        x = (centres[y] + rng.normal(size=(rows, FEATURES))) * (rng.random((rows, FEATURES)) < 0.6)
        return x.astype(np.float32), y

    (x, y), (x_val, y_val), (x_test, y_test) = part(train_rows), part(val_rows), part(20)
    ones = np.ones(FEATURES, np.float32)
    return Split(x, y, x_val, y_val, x_test, y_test, 0 * ones, ones, tuple(range(CLASSES)))


def recipe(hidden=(37, 53), inputs=False, epochs=1, batch_size=32, seed=3, **settings):
    """Eight steps an epoch on `problem`, with events from the second step on."""
    brisk = {
        "unactivation_penalty": 2.0,
        "warmup": 2,
        "prune_period": 2,
        "grace": 2,
        "regrowth_rate": 0.3,
        "hebbian_threshold": 0.0137,
    }
    architecture = Architecture("mlp", hidden, "stamina", inputs, (FEATURES,), CLASSES)
    return Recipe(architecture, brisk | settings, epochs, batch_size, seed)


def candidates(genomes):
    return [Candidate(genome) for genome in genomes]


def build_nets(the_recipe, genomes):
    """The nets of these genomes."""
    return [
        the_recipe.network.build(the_recipe.settings_for(genome), Candidate(genome).seed(the_recipe.seed))
        for genome in genomes
    ]


def make_cohort(the_recipe, genomes, split, device=CPU):
    """The training of a cohort of these genomes."""
    nets = build_nets(the_recipe, genomes)
    stack = VmapStack(nets, device) if len(nets) > 1 else SingleNet(nets[0], device)
    knobs = [the_recipe.training_knobs(genome) for genome in genomes]
    model, *_ = build_nets(the_recipe, genomes)
    return CohortTraining(the_recipe, stack, knobs, model, Rows.of(split, the_recipe.network.shape, device))


def make_double_cohort(the_recipe, genomes, rows):
    """The same in float64, in which the order of a sum hardly matters."""
    nets = [net.double() for net in build_nets(the_recipe, genomes)]
    model, *_ = build_nets(the_recipe, genomes)
    rows = replace(rows, x=rows.x.double(), x_val=rows.x_val.double())
    knobs = [the_recipe.training_knobs(genome) for genome in genomes]
    return CohortTraining(the_recipe, VmapStack(nets, rows.x.device), knobs, model.double(), rows)


def state_of(cohort, row):
    """Weights and buffers of one net of a cohort."""
    return {name: value[row].detach().cpu().clone() for name, value in cohort.state.items()}


def without_seconds(measurement):
    return replace(measurement, seconds=0.0)


def assert_identical(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def assert_close(ours, theirs):
    """Masks, ages and counters are equal, weights and statistics up to float rounding."""
    torch.testing.assert_close(living_only(ours), living_only(theirs), rtol=1e-4, atol=2e-5)


def living_only(state):
    """The part of a net's state that decides what it does from now on; all else is zero.

    That is weights between living units, and the statistics of these units as long as there are events. What
    an optimiser does to a connection that is out and keeps its weight is undone before the next step.
    """
    kept = {name: value.clone() for name, value in state.items()}
    for name in [name for name in kept if name.endswith(".connections.0.frozen")]:
        layer = name.removesuffix(".connections.0.frozen")
        frozen, held = kept[name], kept[f"{layer}.connections.0.held"]
        kept[f"{layer}.module.weight"] = torch.where(frozen, held, kept[f"{layer}.module.weight"])

    def tensors_of(layer):
        """The tensors of a layer, (outputs, inputs) or (outputs,)."""
        return [
            value
            for name, value in kept.items()
            if name.startswith(f"{layer}.") and value.dim() > 0 and name.split(".")[-1] not in PER_PARAMETER
        ]

    for unit in {name.rpartition(".")[0] for name in state if name.endswith(".alive")}:
        dead, place = ~state[f"{unit}.alive"], -1 if unit == "inputs" else int(unit.split(".")[1])
        following = f"layers.{place + 1}"
        reader = following if any(name.startswith(f"{following}.") for name in state) else "head"
        for tensor in tensors_of(reader):
            if tensor.dim() > 1:
                tensor[:, dead] = 0
        for tensor in tensors_of(f"layers.{place}") if place >= 0 else ():
            tensor[dead] = 0
        settles = state[f"{unit}.settle"] > 0
        for name, value in kept.items():
            if (
                name.rpartition(".")[0] == unit
                and value.dim()
                and not name.endswith((".alive", ".firing_prior"))
            ):
                value.masked_fill_(dead | settles, 0)
                if value.dim() > 1:  # a statistic of pairs of units
                    value.mT.masked_fill_(dead | settles, 0)
        # a statistic that no knob asks for need not be gathered
        for name, knob, value in (("mean_output", "handover", True), ("outgoing", "activity", 2)):
            if f"{unit}.{name}" in kept and state.get(f"{unit}.{knob}", value) != value:
                kept[f"{unit}.{name}"].zero_()
    return kept


# --- a net of which many things can differ ---


class Counting(nn.Module):
    """Counts its training calls, and adds a constant to a linear layer."""

    def __init__(self, width=3, slope=0.1, scale=1.0, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layer = nn.Linear(4, width)
        with torch.no_grad():
            for value in self.layer.parameters():
                value.copy_(torch.randn(value.shape, generator=generator))
        self.activation = nn.LeakyReLU(slope)
        self.scale = scale
        self.register_buffer("calls", torch.tensor(10 * seed))
        self.register_buffer("shift", torch.tensor(float(seed)))

    def forward(self, x):
        if self.training:
            self.calls.add_(1)
        return self.activation(self.layer(x)) * self.scale + self.shift


# --- networks of the user: small models on sixteen features, which may also be rows or an image ---

FLAT, ROWS, IMAGE = (16,), (4, 4), (1, 4, 4)
USER_CLASSES = 3
# powers of two are the same numbers in single and in double precision
RATES = [{"learning_rate": 2.0**power, "weight_decay": 2.0**-6} for power in (-7, -5, -8)]


def genes(name, *values):
    """Genomes that differ in a gene and in the learning rate."""
    return [{name: value, **rate} for value, rate in zip(values, RATES, strict=False)]


def path_of(function):
    """The place of a function or class as a space file writes it."""
    return f"{function.__module__}:{function.__name__}"


def user_problem(rows=80, val_rows=40):
    """Three overlapping clusters; five minibatches of 16 rows an epoch."""
    rng = np.random.default_rng(7)
    centres = 0.7 * rng.normal(size=(USER_CLASSES, 16))

    def part(rows):
        y = rng.integers(USER_CLASSES, size=rows)
        return (centres[y] + rng.normal(size=(rows, 16))).astype(np.float32), y

    (x, y), (x_val, y_val), (x_test, y_test) = part(rows), part(val_rows), part(5)
    ones = np.ones(16, np.float32)
    return Split(x, y, x_val, y_val, x_test, y_test, 0 * ones, ones, tuple(range(USER_CLASSES)))


def confidence(outputs, labels):
    """A score that depends on the last bits of the outputs."""
    return outputs.double().softmax(1).gather(1, labels[:, None]).mean()


def user_recipe(builder, shape=FLAT, score=confidence, loss=None, **rest):
    """Two epochs of five steps with nets that ``builder`` makes."""
    network = UserNetwork(path_of(builder), shape, USER_CLASSES)
    return Recipe(network, {}, 2, 16, 3, score=score and path_of(score), loss=loss and path_of(loss), **rest)


def train_user_nets(the_recipe, genomes):
    """Train the nets of these genomes in one cohort."""
    return train(the_recipe, candidates(genomes), user_problem(), CPU)


def adamw(parameters, values):
    return torch.optim.AdamW(
        parameters, lr=values["learning_rate"], weight_decay=values["weight_decay"], fused=True
    )


def plain_loop(the_recipe, genome, loss=F.cross_entropy, score=confidence, optimizer=adamw):
    """The scores that an ordinary PyTorch loop reaches after each epoch."""
    split, seed = user_problem(), Candidate(genome).seed(the_recipe.seed)
    values = the_recipe.training_knobs(genome)
    net = the_recipe.network.build(the_recipe.settings_for(genome), seed)
    optimizer = optimizer([each for each in net.parameters() if each.requires_grad], values)
    x, y, x_val, y_val = map(torch.from_numpy, (split.x_train, split.y_train, split.x_val, split.y_val))
    x, x_val = (rows.reshape(-1, *the_recipe.network.shape) for rows in (x, x_val))
    scores = []
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)
        for epoch in range(the_recipe.epochs):
            order = torch.from_numpy(np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x)))
            for rows in order.split(the_recipe.batch_size):
                optimizer.zero_grad()
                loss(net.train()(x[rows]), y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                scores.append(float(score(net.eval()(x_val), y_val)))
    return scores


def why_alone(measurement):
    """The notes that say why a net was not stacked."""
    return [note for note in measurement.notes if note.startswith("trained alone")]


def mlp(activation, width=8):
    return nn.Sequential(nn.Linear(16, width), activation, nn.Linear(width, USER_CLASSES))


def dropout(p=0.5):
    return mlp(nn.Sequential(nn.ReLU(), nn.Dropout(p)))


def normed(**options):
    # no bias before the norm: its gradient is rounding alone, which Adam turns into whole steps
    norm = nn.BatchNorm1d(8, **options)
    return nn.Sequential(nn.Linear(16, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, USER_CLASSES))


def norm(momentum=0.3):
    return normed(momentum=momentum)


class TwoLayers(nn.Module):
    """Two layers, and between them what a subclass does."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 8)
        self.head = nn.Linear(8, USER_CLASSES)

    def forward(self, x):
        return self.head(self.between(self.first(x).relu()))


class Silent:
    """An attribute whose text hides its value."""

    def __init__(self, factor):
        self.factor = factor

    def __repr__(self):
        return "Silent()"


class Secret(TwoLayers):
    """Nets whose difference `structure` cannot see."""

    def __init__(self, factor):
        super().__init__()
        self.silent = Silent(factor)

    def between(self, x):
        return x * self.silent.factor


def image_problem(shape: tuple[int, ...], seed: int = 0) -> Split:
    """Noisy images of four patterns."""
    random = np.random.default_rng(seed)
    size = int(np.prod(shape))
    patterns, y = random.normal(size=(4, size)), random.integers(4, size=210)
    x = (patterns[y] + random.normal(0, 2.5, (210, size))).astype(np.float32)
    ones = np.ones(size, np.float32)
    return Split(x[:150], y[:150], x[150:], y[150:], x[:0], y[:0], 0 * ones, ones, tuple(range(4)))
