"""Which nets are stacked. Promise 3: no net is silently computed wrong, whatever the user's network holds.

Every trap of stacking has a small model here. Its nets, trained together, reach what each reaches alone, and
what an ordinary PyTorch loop reaches. A note says which net trained alone, and why.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.networks import Architecture
from hebbevo.nn import HebbMask, Stamina
from hebbevo.rules import UNITS
from hebbevo.training import Candidate, CohortTraining, member, train
from hebbevo.training.recipe import FIRST_CHECK
from hebbevo.training.structure import structure
from tests.training.conftest import (
    CPU,
    FLAT,
    FOUR_KINDS,
    IMAGE,
    MANY_STRUCTURES,
    ONE_STRUCTURE,
    RATES,
    ROWS,
    USER_CLASSES,
    Secret,
    TwoLayers,
    build_nets,
    candidates,
    dropout,
    genes,
    make_cohort,
    mlp,
    norm,
    normed,
    plain_loop,
    problem,
    recipe,
    train_user_nets,
    user_problem,
    user_recipe,
    why_alone,
    without_seconds,
)


def activation(act):
    return mlp({"relu": nn.ReLU, "tanh": nn.Tanh}[act]())


class NamedActivation(TwoLayers):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def between(self, x):
        return {"tanh": torch.tanh, "sigmoid": torch.sigmoid}[self.act](x)


class PrivateActivation(NamedActivation):
    def __init__(self, act):
        super().__init__("tanh")
        self._act = act

    def between(self, x):
        self.act = self._act
        return super().between(x)


class FunctionActivation(TwoLayers):
    def __init__(self, act):
        super().__init__()
        self.between = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}[act]


class PartialActivation(TwoLayers):
    def __init__(self, slope):
        super().__init__()
        self.between = partial(F.leaky_relu, negative_slope=-slope)


class LambdaActivation(TwoLayers):
    def __init__(self, slope=0.5):
        super().__init__()
        self.between = lambda x: x**slope


class BoundActivation(TwoLayers):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(()))
        self.between = self.curved

    def curved(self, x):
        return x * self.slope


class Captured(TwoLayers):
    """Its function refers to the net itself, so a copy of the net still calls the original."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(()))
        self.between = lambda x: x * self.slope


class Reassigned(TwoLayers):
    """A running mean that is another tensor after each forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(()))

    def between(self, x):
        if self.training:
            self.scale = self.scale * 0.9 + 0.1 * x.detach().square().mean()
        return x / (self.scale + 0.1)


class ReassignedAfterUse(TwoLayers):
    """A buffer is replaced whose old tensor the backward pass still needs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(8))

    def between(self, x):
        result = x / (self.scale + 0.1)
        self.scale = self.scale * 0.9 + 0.1 * x.detach().square().mean(0)
        return result


class Unguarded(TwoLayers):
    """A running mean that moves in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(()))

    def between(self, x):
        self.scale.mul_(0.9).add_(0.1 * x.detach().square().mean())
        return x / (self.scale.clone() + 0.1)


class Growing(TwoLayers):
    """A buffer whose shape is another after each forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 8))

    def between(self, x):
        if self.training:
            self.seen = torch.cat([self.seen, x.detach().mean(0, keepdim=True)])
        return x - self.seen.mean(0)


def cumulative_norm():
    return norm(None)


def norm_of_the_batch():
    return normed(track_running_stats=False)


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, cell):
        super().__init__()
        self.reader = getattr(nn, cell)(4, 8, batch_first=True)
        self.head = nn.Linear(8, USER_CLASSES)

    def forward(self, x):
        return self.head(self.reader(x)[0][:, -1])


class Branching(TwoLayers):
    def between(self, x):
        return x.tanh() if x.mean() > 0.5 else x.sigmoid()


class Item(TwoLayers):
    def between(self, x):
        return x / x.detach().abs().amax().item()


class Tied(TwoLayers):
    def __init__(self):
        super().__init__()
        self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8)
        self.third.weight = self.second.weight

    def between(self, x):
        return self.third(self.second(x).relu()).relu()


class Frozen(TwoLayers):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)
        self.head.bias.requires_grad_(False)

    def between(self, x):
        return x


class Unused(TwoLayers):
    def __init__(self):
        super().__init__()
        self.other, self.spare = nn.Linear(8, 8), nn.Parameter(torch.rand(3))

    def between(self, x):
        return x


class Numbers(TwoLayers):
    """Buffers of other types, one that counts and one that is different from net to net."""

    def __init__(self, power=2):
        super().__init__()
        self.register_buffer("steps", torch.tensor(power))
        self.register_buffer("exact", torch.rand(8, dtype=torch.float64))
        self.register_buffer("inverted", torch.rand(8) < 0.5)

    def between(self, x):
        if self.training:
            self.steps += 1
        return torch.where(self.inverted, x, -x) * self.exact.float() / self.steps


class CallCounter(TwoLayers):
    """Counts its calls, in any mode, in an attribute."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def between(self, x):
        self.calls += 1
        return x * math.cos(self.calls)


class Memory(TwoLayers):
    """A running mean that is an attribute of the module, and no buffer."""

    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(8)

    def between(self, x):
        self.seen = self.seen * 0.9 + 0.1 * x.detach().mean(0)
        return x - self.seen


class PlasticMemory(Memory):
    def __init__(self):
        super().__init__()
        self.units = Stamina(8, warmup=100)

    def between(self, x):
        return self.units(super().between(x))


class PlainTensor(TwoLayers):
    def __init__(self, factor):
        super().__init__()
        self.factor = torch.full((8,), factor)

    def between(self, x):
        return x * self.factor


class Tables(TwoLayers):
    """Tables that differ only in their middle, which the text of a tensor leaves out."""

    def __init__(self, middle):
        super().__init__()
        self.tables = [torch.ones(2000), torch.ones(2000)]
        self.tables[1][1000] = middle

    def between(self, x):
        return x * self.tables[1][1000]


@dataclass
class Settings:
    table: torch.Tensor


class Config(TwoLayers):
    """The same, inside an object."""

    def __init__(self, middle):
        super().__init__()
        self.settings = Settings(torch.ones(2000))
        self.settings.table[1000] = middle

    def between(self, x):
        return x * self.settings.table[1000]


class Twice(TwoLayers):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(8, 8)
        self.again = self.second

    def between(self, x):
        return self.again(self.second(x).relu()).relu()


class OneOfTwo(TwoLayers):
    """Which of two modules has a second name differs; the modules themselves are equal."""

    def __init__(self, chosen):
        super().__init__()
        self.tanh, self.sigmoid = nn.Tanh(), nn.Sigmoid()
        self.between = getattr(self, chosen)


def parametrized():
    net = mlp(nn.ReLU())
    nn.utils.parametrizations.weight_norm(net[0])
    return net


def hooked(factor):
    net = mlp(nn.ReLU())
    net[1].register_forward_hook(lambda module, args, output: output * factor)
    return net


class SecretInEvaluation(Secret):
    def between(self, x):
        return x if self.training else super().between(x)


class SecretGradient(Secret):
    """Nets that differ in the gradient alone."""

    def between(self, x):
        scaled = x * self.silent.factor
        return scaled + (x - scaled).detach()


class SecretLater(Secret):
    def __init__(self, factor):
        super().__init__(factor)
        self.register_buffer("steps", torch.tensor(0.0))

    def between(self, x):
        if self.training:
            self.steps += 1
        return x * (1 + (self.steps - 1).clamp(0, 1) * self.silent.factor)


def spectral():
    net = mlp(nn.ReLU())
    nn.utils.parametrizations.spectral_norm(net[0])
    return net


def old_weight_norm():
    net = mlp(nn.ReLU())
    with pytest.warns(FutureWarning, match="deprecated"):
        nn.utils.weight_norm(net[0])
    return net


OWN_RANDOM = "trained alone: cannot be stacked (RuntimeError: vmap: "


DIFFERENT = "trained alone: its {} is another than the other nets'"


CANNOT = "trained alone: cannot be stacked ("


WRONG = "trained alone: in a stack its {} would be wrong"


TRAPS = [
    # what stacks
    (activation, FLAT, genes("act", "tanh", "tanh", "tanh"), ""),
    (NamedActivation, FLAT, genes("act", "sigmoid", "sigmoid"), ""),
    (FunctionActivation, FLAT, genes("act", "tanh", "tanh"), ""),
    (PartialActivation, FLAT, genes("slope", 0.5, 0.5), ""),
    (BoundActivation, FLAT, RATES, ""),
    (Reassigned, FLAT, RATES, ""),
    (ReassignedAfterUse, FLAT, RATES, ""),
    (Growing, FLAT, RATES, ""),
    (Unguarded, FLAT, RATES, ""),
    (norm, FLAT, RATES, ""),
    (norm_of_the_batch, FLAT, RATES, ""),
    (Tied, FLAT, RATES, ""),
    (Frozen, FLAT, RATES, ""),
    (Unused, FLAT, RATES, ""),
    (Numbers, FLAT, genes("power", 2, 3, 4), ""),
    (CallCounter, FLAT, RATES, ""),
    (Memory, FLAT, RATES, ""),
    (PlasticMemory, FLAT, RATES, ""),
    (Twice, FLAT, RATES, ""),
    (Tables, FLAT, genes("middle", 3.0, 3.0), ""),
    # what differs
    (dropout, FLAT, genes("p", 0.1, 0.5), DIFFERENT.format("1.1.p")),
    (activation, FLAT, genes("act", "relu", "tanh"), DIFFERENT.format("1")),
    (NamedActivation, FLAT, genes("act", "sigmoid", "tanh"), DIFFERENT.format("act")),
    (PrivateActivation, FLAT, genes("act", "sigmoid", "tanh"), DIFFERENT.format("_act")),
    (FunctionActivation, FLAT, genes("act", "sigmoid", "tanh"), DIFFERENT.format("between")),
    (PartialActivation, FLAT, genes("slope", 0.5, 0.9), DIFFERENT.format("between")),
    (LambdaActivation, FLAT, genes("slope", 0.5, 2.0), DIFFERENT.format("between")),
    (LambdaActivation, FLAT, RATES, DIFFERENT.format("between")),
    (Captured, FLAT, RATES, DIFFERENT.format("between")),
    (norm, FLAT, genes("momentum", 0.1, 0.9), DIFFERENT.format("1.momentum")),
    (PlainTensor, FLAT, genes("factor", 1.0, 2.0), DIFFERENT.format("factor")),
    (Tables, FLAT, genes("middle", 1.0, 3.0), DIFFERENT.format("tables")),
    (OneOfTwo, FLAT, genes("chosen", "tanh", "sigmoid"), DIFFERENT.format("tanh")),
    (Recurrent, ROWS, genes("cell", "RNN", "RNN"), DIFFERENT.format("reader._flat_weight_refs")),
    (Recurrent, ROWS, genes("cell", "GRU", "GRU"), DIFFERENT.format("reader._flat_weight_refs")),
    (Recurrent, ROWS, genes("cell", "LSTM", "LSTM"), DIFFERENT.format("reader._flat_weight_refs")),
    (parametrized, FLAT, RATES, DIFFERENT.format("0")),
    (spectral, FLAT, RATES, DIFFERENT.format("0")),
    (old_weight_norm, FLAT, RATES, DIFFERENT.format("0.weight")),
    (hooked, FLAT, genes("factor", 1.0, 2.0), DIFFERENT.format("1._forward_hooks")),
    # what cannot be stacked
    (dropout, FLAT, RATES, OWN_RANDOM),
    (cumulative_norm, FLAT, RATES, CANNOT),
    (Branching, FLAT, RATES, CANNOT),
    (Item, FLAT, RATES, CANNOT),
    # what only the first steps show
    (Config, FLAT, genes("middle", 1.0, 30.0), WRONG.format("loss at step 1")),
    (Secret, FLAT, genes("factor", 1.0, 2.0), WRONG.format("loss at step 1")),
    (SecretInEvaluation, FLAT, genes("factor", 1.0, 2.0), WRONG.format("output after step 1")),
    (SecretGradient, FLAT, genes("factor", 1.0, 2.0), WRONG.format("gradient of first.weight at step 1")),
    (SecretLater, FLAT, genes("factor", 1.0, 2.0), WRONG.format("loss at step 2")),
]


@pytest.mark.parametrize(
    ("builder", "shape", "genomes", "why"),
    TRAPS,
    ids=[f"{each[0].__name__}-{each[3][:50]}" for each in TRAPS],
)
def test_a_net_reaches_beside_others_what_it_reaches_alone_and_in_a_plain_loop(builder, shape, genomes, why):
    the_recipe = user_recipe(builder, shape)
    together = train_user_nets(the_recipe, genomes)
    torch.manual_seed(99)
    torch.rand(5)
    for genome, ours in zip(genomes, together, strict=True):
        [alone] = train_user_nets(the_recipe, [genome])
        assert (ours.failure, alone.failure, why_alone(alone)) == (None, None, [])
        assert (ours.survivors, ours.layers, ours.inputs) == (alone.survivors, alone.layers, alone.inputs)
        if why:
            assert [note.startswith(why) for note in why_alone(ours)] == [True], ours.notes
            assert ours.accuracy == alone.accuracy
        else:
            assert why_alone(ours) == []
            assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-5)
        assert list(alone.accuracy) == plain_loop(the_recipe, genome)
    assert len({m.accuracy for m in together}) == len(genomes)  # so that no net was confused with another


def test_a_stack_would_compute_a_net_wrong_whose_difference_is_hidden():
    """This is why the first steps of the user's nets are checked."""
    the_recipe, genomes = user_recipe(Secret), genes("factor", 1.0, 2.0)
    assert len({structure(net) for net in build_nets(the_recipe, genomes)}) == 1
    first, second = make_cohort(the_recipe, genomes, user_problem()).train()
    assert first.accuracy == pytest.approx(plain_loop(the_recipe, genomes[0]), abs=2e-5)
    assert second.accuracy != pytest.approx(plain_loop(the_recipe, genomes[1]), abs=2e-3)


def test_nets_draw_from_their_own_seeds_whatever_is_drawn_elsewhere():
    the_recipe, genomes = user_recipe(dropout), [*RATES, *genes("p", 0.2, 0.2)]
    torch.manual_seed(1)
    first = [without_seconds(each) for each in train_user_nets(the_recipe, genomes)]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert [without_seconds(each) for each in train_user_nets(the_recipe, genomes)] == first
    assert torch.equal(torch.get_rng_state(), before)
    same = [Candidate(RATES[0], replicate) for replicate in (0, 1)]
    one, other = train(the_recipe, same, user_problem(), CPU)
    assert one.accuracy == first[0].accuracy
    assert one.accuracy != other.accuracy


class Drawing(TwoLayers):
    """Draws from the generators of Python and NumPy when it is built and, some steps later, in forward."""

    def __init__(self, first=0):
        super().__init__()
        self.register_buffer("factor", torch.tensor(random.random() + np.random.rand()))
        self.first, self.calls = nn.Linear(16, 8), 0
        self.from_step = first

    def between(self, x):
        self.calls += self.training
        if self.training and self.calls > self.from_step:
            x = x * (random.random() + np.random.rand())
        return x * self.factor


@pytest.mark.parametrize("first", [0, 6])
def test_a_net_that_draws_from_python_or_numpy_reaches_the_same_alone_beside_others_and_again(first):
    the_recipe, genomes = user_recipe(Drawing), genes("first", first, first, first)
    before = random.getstate(), np.random.get_state()[1].tolist()
    together = train_user_nets(the_recipe, genomes)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    random.seed(5)
    for genome, ours in zip(genomes, together, strict=True):
        np.random.seed(6)
        [alone] = train_user_nets(the_recipe, [genome])
        assert (ours.failure, ours.accuracy) == (None, alone.accuracy)
        [why] = why_alone(ours)
        assert "draws from the generator of Python or NumPy" in why
    random.setstate(before[0])


def test_nets_of_one_structure_stack_beside_others_without_a_note(monkeypatch):
    sizes = []

    class Recording(CohortTraining):
        def train(self, *args):
            sizes.append(self.losses.shape[1])
            return super().train(*args)

    monkeypatch.setattr(member, "CohortTraining", Recording)
    genomes = [{"act": act, **rate} for act in ("relu", "tanh") for rate in RATES]
    together = train_user_nets(user_recipe(activation), genomes)
    assert sizes == [3, 3]
    for genome, ours in zip(genomes, together, strict=True):
        assert ours.notes == ()
        assert ours.accuracy == pytest.approx(plain_loop(user_recipe(activation), genome), abs=2e-5)
    sizes.clear()
    assert [m.notes for m in train_user_nets(user_recipe(activation, stacked=False), genomes)] == [()] * 6
    assert sizes == [1] * 6


class Plastic(nn.Module):
    """A small convolutional net with rules for units and for connections."""

    def __init__(self, channels=4, rate=0.01):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.units = Stamina(channels, dim=1, warmup=2, prune_period=2, grace=2, hebbian_threshold=0.0137)
        self.second = HebbMask(nn.Conv2d(channels, 6, 3), ["weight"], update_interval=2)
        self.head = HebbMask(nn.Linear(24, USER_CLASSES), ["weight"], permanence_rate=rate, warmup=3)

    def forward(self, x):
        x = self.second(self.units(self.first(x))).relu()
        return self.head(x.flatten(1))


PLASTIC = [
    {"learning_rate": 2.0**-7, "unactivation_penalty": 3.0, "second.permanence_rate": 3.0},
    {"learning_rate": 2.0**-6, "penalty_form": "ratio", "unactivation_penalty": 2.0, "max_deaths": 0.5},
    {"learning_rate": 2.0**-5, "regrowth_rate": 0.5, "second.update_form": "agreement", "rate": 0.3},
    {"learning_rate": 2.0**-7, "head.permanence_rate": 2.0, "head.initial_permanence": 0.1, "settle": 0.4},
    {"optimizer": "sgd", "learning_rate": 2.0**-5, "second.permanence_rate": 9.0},
    {"optimizer": "sgd", "learning_rate": 2.0**-6, "unactivation_penalty": 0.1, "second.warmup": 6},
]


def test_plastic_modules_stack_whatever_their_knobs():
    the_recipe = replace(user_recipe(Plastic, IMAGE), epochs=3)
    together = train_user_nets(the_recipe, PLASTIC)
    for genome, ours in zip(PLASTIC, together, strict=True):
        [alone] = train_user_nets(the_recipe, [genome])
        assert (ours.failure, why_alone(ours)) == (None, [])
        assert (ours.survivors, ours.layers, ours.inputs) == (alone.survivors, alone.layers, alone.inputs)
        assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-4)
    assert len({m.survivors for m in together}) > 2
    assert {m.neurons for m in together} == {10}


def sgd(parameters, values):
    return torch.optim.SGD(parameters, lr=values["learning_rate"], momentum=values["momentum"])


def test_a_single_net_is_trained_as_in_an_ordinary_loop_bit_for_bit():
    rates = {"learning_rate": 2.0**-5, "weight_decay": 2.0**-4, "momentum": 0.75}
    the_recipe = user_recipe(norm)
    [measured] = train_user_nets(the_recipe, [rates])
    assert list(measured.accuracy) == plain_loop(the_recipe, rates)
    slow = {**rates, "optimizer": "sgd", "weight_decay": 0.0}
    [measured] = train_user_nets(the_recipe, [slow])
    assert list(measured.accuracy) == pytest.approx(plain_loop(the_recipe, slow, optimizer=sgd), abs=1e-7)
    assert measured.accuracy != pytest.approx(plain_loop(the_recipe, rates), abs=1e-4)


def branching(outputs, labels):
    loss = F.cross_entropy(outputs, labels)
    return loss if loss > 1 else 2 * loss


def test_built_in_networks_train_alone_under_a_loss_of_the_user_that_cannot_be_stacked():
    network = Architecture("mlp", (8,), "stamina", False, FLAT, USER_CLASSES)
    the_recipe = replace(user_recipe(norm, loss=branching), network=network)
    for genome, m in zip(RATES, train_user_nets(the_recipe, RATES), strict=True):
        [alone] = train_user_nets(the_recipe, [genome])
        assert why_alone(m)[0].startswith(CANNOT)
        assert (m.failure, m.accuracy) == (None, alone.accuracy)


def smoothed(outputs, labels):
    return F.cross_entropy(outputs, labels, label_smoothing=0.1)


def focal(outputs, labels):
    cross_entropy = F.cross_entropy(outputs, labels, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** 2 * cross_entropy).mean()


def summed(outputs, labels):
    """A sum over the batch, so that rounding is far larger than that of a mean."""
    return 100 * F.cross_entropy(outputs, labels, reduction="sum")


def in_place(outputs, labels):
    labels.clamp_(max=USER_CLASSES - 1)
    return F.cross_entropy(outputs.mul_(2.0), labels)


@pytest.mark.parametrize(
    ("loss", "units"),
    [*((loss, "stamina") for loss in (smoothed, focal, summed, in_place)), *((smoothed, u) for u in UNITS)],
)
def test_perceptrons_are_stacked_under_a_loss_of_the_user(loss, units):
    network = Architecture("mlp", (8,), units, False, FLAT, USER_CLASSES)
    the_recipe = replace(user_recipe(norm, loss=loss), network=network)
    for genome, m in zip(RATES, train_user_nets(the_recipe, RATES), strict=True):
        [alone] = train_user_nets(the_recipe, [genome])
        assert (m.failure, m.notes) == (None, ())
        assert m.accuracy == pytest.approx(alone.accuracy, abs=2e-4)


def linear_before_norm():
    return mlp(nn.Sequential(nn.BatchNorm1d(8), nn.ReLU()))


def convolution_before_norm():
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), *layers, nn.Linear(64, USER_CLASSES))


def convolution_before_instance_norm():
    layers = nn.Conv1d(4, 4, 3, padding=1), nn.InstanceNorm1d(4), nn.ReLU(), nn.Flatten()
    return nn.Sequential(nn.Unflatten(1, (4, 4)), *layers, nn.Linear(16, USER_CLASSES))


def three_biases_before_norms():
    first, second = (nn.Sequential(nn.Linear(n, 8), nn.BatchNorm1d(8), nn.ReLU()) for n in (16, 8))
    return nn.Sequential(first, second, nn.Linear(8, USER_CLASSES), nn.BatchNorm1d(USER_CLASSES))


class ConstantScores(TwoLayers):
    """A layer whose bias adds one number to all scores of a softmax, which changes nothing."""

    def __init__(self):
        super().__init__()
        self.attention = nn.Linear(1, 1)

    def between(self, x):
        return x * self.attention(x.unsqueeze(-1)).squeeze(-1).softmax(-1)


@pytest.mark.parametrize(
    "builder",
    [
        linear_before_norm,
        convolution_before_norm,
        convolution_before_instance_norm,
        three_biases_before_norms,
        ConstantScores,
    ],
)
@pytest.mark.parametrize("loss", [None, summed])
def test_nets_with_a_bias_that_has_no_effect_are_stacked(builder, loss):
    the_recipe = user_recipe(builder, loss=loss)
    assert [why_alone(m) for m in train_user_nets(the_recipe, RATES)] == [[], [], []]
    # plain steps make no whole step of rounding, so that numbers can be compared
    rates = [{**rate, "optimizer": "sgd", "learning_rate": rate["learning_rate"] / 16} for rate in RATES]
    for genome, m in zip(rates, train_user_nets(the_recipe, rates), strict=True):
        [alone] = train_user_nets(the_recipe, [genome])
        assert why_alone(m) == []
        assert m.accuracy == pytest.approx(alone.accuracy, abs=5e-4)


def test_a_study_that_was_begun_with_the_first_check_trains_the_same_nets_alone_as_before():
    the_recipe = user_recipe(linear_before_norm, stack_check=FIRST_CHECK)
    for genome, m in zip(RATES, train_user_nets(the_recipe, RATES), strict=True):
        assert why_alone(m) == [WRONG.format("0.bias afterwards")]
        assert m.accuracy == train_user_nets(the_recipe, [genome])[0].accuracy


def test_nets_of_different_structure_are_stacked_apart_and_come_back_in_the_order_asked(monkeypatch):
    stacked = []

    class Recording(CohortTraining):
        def __init__(self, the_recipe, its_nets, values, model, rows):
            super().__init__(the_recipe, its_nets, values, model, rows)
            stacked.append((structure(model), *{value["optimizer"] for value in values}))

    asked = [genome for pair in zip(ONE_STRUCTURE, FOUR_KINDS, strict=True) for genome in pair]
    alone = [train(recipe(), [each], problem(), CPU)[0] for each in candidates(asked)]
    monkeypatch.setattr(member, "CohortTraining", Recording)
    together = train(recipe(), candidates(asked), problem(), CPU)
    assert [m.layers for m in together] == [m.layers for m in alone]
    assert len({m.layers for m in alone}) > 15  # so that the order shows
    assert len(stacked) == len(set(stacked)) == 4  # adamw or sgd, regularised or not
    assert {len(kind) for kind in stacked} == {2}


def test_nets_of_other_depth_widths_rules_and_optimisers_are_stacked_apart(monkeypatch):
    stacked = []

    class Recording(CohortTraining):
        def __init__(self, the_recipe, its_nets, *rest):
            super().__init__(the_recipe, its_nets, *rest)
            stacked.append(its_nets.size)

    monkeypatch.setattr(member, "CohortTraining", Recording)
    measured = train(recipe(), candidates(MANY_STRUCTURES), problem(), CPU)
    kinds = Counter()
    for genome, m in zip(MANY_STRUCTURES, measured, strict=True):
        layers = range(1, genome.get("depth", 2) + 1)
        widths = [genome.get(f"hidden.{n}", genome.get("hidden", {1: 37, 2: 53}.get(n))) for n in layers]
        assert (len(m.layers), m.neurons) == (len(widths), sum(widths)), genome
        assert (m.survivors[-1] == m.neurons) is ("dense" in genome.values()), genome
        kinds[(*widths, genome.get("units"), genome.get("optimizer"))] += 1
    assert sorted(stacked) == sorted(kinds.values())
    assert {*stacked} == {1, 2}


def test_only_a_regulariser_and_the_optimiser_keep_nets_of_one_rule_apart():
    the_recipe = recipe()
    regularised = [genome for genome in FOUR_KINDS if {"entropy_bonus", "size_penalty"} & genome.keys()]
    plain = [genome for genome in ONE_STRUCTURE + FOUR_KINDS if genome not in regularised]
    one, other = ({structure(net) for net in build_nets(the_recipe, each)} for each in (plain, regularised))
    assert (len(one), len(other)) == (1, 1)
    assert one != other
