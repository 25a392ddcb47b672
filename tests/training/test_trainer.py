"""Promise 3: no net is silently computed wrong, whatever the user's network holds.

Every trap of stacking has a small model here. Its nets, trained together, reach what each reaches alone, and
what an ordinary PyTorch loop reaches; a note tells what trained alone, and why.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import Split
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.nn import HebbMask, Stamina
from hebbevo.training import Candidate, Recipe, train, trainer
from hebbevo.training.stack import structure

CPU = torch.device("cpu")
CLASSES = 3
FLAT, ROWS, IMAGE = (16,), (4, 4), (1, 4, 4)


def problem(rows=80, val_rows=40):
    """Three overlapping clusters; five minibatches of 16 an epoch."""
    rng = np.random.default_rng(7)
    centres = 0.7 * rng.normal(size=(CLASSES, 16))

    def part(rows):
        y = rng.integers(CLASSES, size=rows)
        return (centres[y] + rng.normal(size=(rows, 16))).astype(np.float32), y

    (x, y), (x_val, y_val), (x_test, y_test) = part(rows), part(val_rows), part(5)
    ones = np.ones(16, np.float32)
    return Split(x, y, x_val, y_val, x_test, y_test, 0 * ones, ones, tuple(range(CLASSES)))


def confidence(outputs, labels):
    """A score in which the last bits of the outputs show."""
    return outputs.double().softmax(1).gather(1, labels[:, None]).mean()


def recipe(builder, shape=FLAT, score="confidence", **rest):
    score = score and f"{__name__}:{score}"
    network = UserNetwork(f"{__name__}:{builder.__name__}", shape, CLASSES)
    return Recipe(network, {}, 2, 16, 3, score=score, **rest)


def run(the_recipe, genomes):
    """Train these together."""
    return train(the_recipe, [Candidate(genome) for genome in genomes], problem(), CPU)


def adamw(parameters, values):
    return torch.optim.AdamW(
        parameters, lr=values["learning_rate"], weight_decay=values["weight_decay"], fused=True
    )


def plain(the_recipe, genome, loss=F.cross_entropy, score=confidence, optimizer=adamw):
    """What an ordinary loop reaches after each epoch."""
    split, seed = problem(), Candidate(genome).seed(the_recipe.seed)
    values = the_recipe.training_knobs(genome)
    net = the_recipe.network.build(the_recipe.settings_for(genome), seed)
    optimizer = optimizer([each for each in net.parameters() if each.requires_grad], values)
    x, y, x_val, y_val = map(torch.from_numpy, (split.x_train, split.y_train, split.x_val, split.y_val))
    x, x_val = (rows.reshape(-1, *the_recipe.network.shape) for rows in (x, x_val))
    reached = []
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)
        for epoch in range(the_recipe.epochs):
            order = torch.from_numpy(np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x)))
            for rows in order.split(the_recipe.batch_size):
                optimizer.zero_grad()
                loss(net.train()(x[rows]), y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                reached.append(float(score(net.eval()(x_val), y_val)))
    return reached


def without_times(measured):
    return [replace(each, seconds=0.0) for each in measured]


def why_alone(measurement):
    return [note for note in measurement.notes if note.startswith("trained alone")]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# powers of two are the same numbers in single and in double precision
RATES = [{"learning_rate": 2.0**power, "weight_decay": 2.0**-6} for power in (-7, -5, -8)]


def genes(name, *values):
    return [{name: value, **rate} for value, rate in zip(values, RATES, strict=False)]


def mlp(act, width=8):
    return nn.Sequential(nn.Linear(16, width), act, nn.Linear(width, CLASSES))


class Around(nn.Module):
    """Two layers, and between them what a subclass has."""

    def __init__(self, shape=(8,)):
        super().__init__()
        self.first = nn.Linear(16, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.between(self.first(x).relu()))


def dropout(p=0.5):
    return mlp(nn.Sequential(nn.ReLU(), nn.Dropout(p)))


def activation(act):
    return mlp({"relu": nn.ReLU, "tanh": nn.Tanh}[act]())


class NamedActivation(Around):
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


class FunctionActivation(Around):
    def __init__(self, act):
        super().__init__()
        self.between = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}[act]


class PartialActivation(Around):
    def __init__(self, slope):
        super().__init__()
        self.between = partial(F.leaky_relu, negative_slope=-slope)


class LambdaActivation(Around):
    def __init__(self, slope=0.5):
        super().__init__()
        self.between = lambda x: x**slope


class BoundActivation(Around):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(()))
        self.between = self.curved

    def curved(self, x):
        return x * self.slope


class Captured(Around):
    """Its function has caught the net itself, which a copy of it still calls."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(()))
        self.between = lambda x: x * self.slope


class Reassigned(Around):
    """A running mean that is another tensor after each forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(()))

    def between(self, x):
        if self.training:
            self.scale = self.scale * 0.9 + 0.1 * x.detach().square().mean()
        return x / (self.scale + 0.1)


class ReassignedAfterUse(Around):
    """Backward needs the tensor that was there before."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(8))

    def between(self, x):
        result = x / (self.scale + 0.1)
        self.scale = self.scale * 0.9 + 0.1 * x.detach().square().mean(0)
        return result


class Unguarded(Around):
    """A running mean that moves in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(()))

    def between(self, x):
        self.scale.mul_(0.9).add_(0.1 * x.detach().square().mean())
        return x / (self.scale.clone() + 0.1)


class Growing(Around):
    """A buffer whose shape is another after each forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 8))

    def between(self, x):
        if self.training:
            self.seen = torch.cat([self.seen, x.detach().mean(0, keepdim=True)])
        return x - self.seen.mean(0)


def normed(**options):
    # no bias before the norm: its gradient is nothing but rounding, of which Adam makes whole steps
    norm = nn.BatchNorm1d(8, **options)
    return nn.Sequential(nn.Linear(16, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, CLASSES))


def norm(momentum=0.3):
    return normed(momentum=momentum)


def cumulative_norm():
    return norm(None)


def norm_of_the_batch():
    return normed(track_running_stats=False)


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, cell):
        super().__init__()
        self.reader = getattr(nn, cell)(4, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.reader(x)[0][:, -1])


class Branching(Around):
    def between(self, x):
        return x.tanh() if x.mean() > 0.5 else x.sigmoid()


class Item(Around):
    def between(self, x):
        return x / x.detach().abs().amax().item()


class Tied(Around):
    def __init__(self):
        super().__init__()
        self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8)
        self.third.weight = self.second.weight

    def between(self, x):
        return self.third(self.second(x).relu()).relu()


class Frozen(Around):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)
        self.head.bias.requires_grad_(False)

    def between(self, x):
        return x


class Unused(Around):
    def __init__(self):
        super().__init__()
        self.other, self.spare = nn.Linear(8, 8), nn.Parameter(torch.rand(3))

    def between(self, x):
        return x


class Numbers(Around):
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


class Counter(Around):
    """Counts its calls, in any mode, in an attribute."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def between(self, x):
        self.calls += 1
        return x * math.cos(self.calls)


class Memory(Around):
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


class PlainTensor(Around):
    def __init__(self, factor):
        super().__init__()
        self.factor = torch.full((8,), factor)

    def between(self, x):
        return x * self.factor


class Tables(Around):
    """Long lists whose middle alone differs, which no printed form shows."""

    def __init__(self, middle):
        super().__init__()
        self.tables = [torch.ones(2000), torch.ones(2000)]
        self.tables[1][1000] = middle

    def between(self, x):
        return x * self.tables[1][1000]


@dataclass
class Settings:
    table: torch.Tensor


class Config(Around):
    """The same in an object."""

    def __init__(self, middle):
        super().__init__()
        self.settings = Settings(torch.ones(2000))
        self.settings.table[1000] = middle

    def between(self, x):
        return x * self.settings.table[1000]


class Twice(Around):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(8, 8)
        self.again = self.second

    def between(self, x):
        return self.again(self.second(x).relu()).relu()


class OneOfTwo(Around):
    """A module with two names: which of the others it is differs, and no module by itself."""

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


class Silent:
    """Looks the same whatever is in it."""

    def __init__(self, factor):
        self.factor = factor

    def __repr__(self):
        return "Silent()"


class Secret(Around):
    """Nets whose difference `structure` cannot see."""

    def __init__(self, factor):
        super().__init__()
        self.silent = Silent(factor)

    def between(self, x):
        return x * self.silent.factor


class SecretInEvaluation(Secret):
    def between(self, x):
        return x if self.training else super().between(x)


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
    (Counter, FLAT, RATES, ""),
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
    # what only a trial shows
    (Config, FLAT, genes("middle", 1.0, 30.0), WRONG.format("loss at step 1")),
    (Secret, FLAT, genes("factor", 1.0, 2.0), WRONG.format("loss at step 1")),
    (SecretInEvaluation, FLAT, genes("factor", 1.0, 2.0), WRONG.format("output after step 1")),
    (SecretLater, FLAT, genes("factor", 1.0, 2.0), WRONG.format("loss at step 2")),
]


@pytest.mark.parametrize(
    ("builder", "shape", "genomes", "why"),
    TRAPS,
    ids=[f"{each[0].__name__}-{each[3][:50]}" for each in TRAPS],
)
def test_a_net_reaches_in_company_what_it_reaches_alone_and_in_a_plain_loop(builder, shape, genomes, why):
    the_recipe = recipe(builder, shape)
    together = run(the_recipe, genomes)
    torch.manual_seed(99)
    torch.rand(5)
    for genome, ours in zip(genomes, together, strict=True):
        [alone] = run(the_recipe, [genome])
        assert (ours.failure, alone.failure, why_alone(alone)) == (None, None, [])
        assert (ours.survivors, ours.layers, ours.inputs) == (alone.survivors, alone.layers, alone.inputs)
        if why:
            assert [note.startswith(why) for note in why_alone(ours)] == [True], ours.notes
            assert ours.accuracy == alone.accuracy
        else:
            assert why_alone(ours) == []
            assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-5)
        assert list(alone.accuracy) == plain(the_recipe, genome)
    assert len({m.accuracy for m in together}) == len(genomes)  # so that nobody is somebody else


def test_without_the_trial_a_net_whose_difference_nobody_sees_would_be_wrong(monkeypatch):
    monkeypatch.setattr(trainer, "_why_alone", lambda *_: "")
    the_recipe, genomes = recipe(Secret), genes("factor", 1.0, 2.0)
    assert len({structure(the_recipe.network.build(genome, 1)) for genome in genomes}) == 1
    first, second = run(the_recipe, genomes)
    assert first.accuracy == pytest.approx(plain(the_recipe, genomes[0]), abs=2e-5)
    assert second.accuracy != pytest.approx(plain(the_recipe, genomes[1]), abs=2e-3)


def test_nets_draw_from_their_own_seeds_whatever_is_drawn_elsewhere():
    the_recipe, genomes = recipe(dropout), [*RATES, *genes("p", 0.2, 0.2)]
    torch.manual_seed(1)
    first = without_times(run(the_recipe, genomes))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert without_times(run(the_recipe, genomes)) == first
    assert torch.equal(torch.get_rng_state(), before)
    same = [Candidate(RATES[0], replicate) for replicate in (0, 1)]
    one, other = train(the_recipe, same, problem(), CPU)
    assert one.accuracy == first[0].accuracy
    assert one.accuracy != other.accuracy


def test_nets_of_one_structure_stack_beside_others_without_a_note(monkeypatch):
    sizes = []

    class Recording(trainer.CohortTraining):
        def train(self, *args):
            sizes.append(self._size)
            return super().train(*args)

    monkeypatch.setattr(trainer, "CohortTraining", Recording)
    genomes = [{"act": act, **rate} for act in ("relu", "tanh") for rate in RATES]
    together = run(recipe(activation), genomes)
    assert sizes == [3, 3]
    for genome, ours in zip(genomes, together, strict=True):
        assert ours.notes == ()
        assert ours.accuracy == pytest.approx(plain(recipe(activation), genome), abs=2e-5)
    sizes.clear()
    assert [m.notes for m in run(recipe(activation, stacked=False), genomes)] == [()] * 6
    assert sizes == [1] * 6


class Plastic(nn.Module):
    """A small convolutional net with both rules in it."""

    def __init__(self, channels=4, rate=0.01):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.units = Stamina(channels, dim=1, warmup=2, prune_period=2, grace=2, hebbian_threshold=0.0137)
        self.second = HebbMask(nn.Conv2d(channels, 6, 3), ["weight"], update_interval=2)
        self.head = HebbMask(nn.Linear(24, CLASSES), ["weight"], permanence_rate=rate, warmup=3)

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
    the_recipe = replace(recipe(Plastic, IMAGE), epochs=3)
    together = run(the_recipe, PLASTIC)
    for genome, ours in zip(PLASTIC, together, strict=True):
        [alone] = run(the_recipe, [genome])
        assert (ours.failure, why_alone(ours)) == (None, [])
        assert (ours.survivors, ours.layers, ours.inputs) == (alone.survivors, alone.layers, alone.inputs)
        assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-4)
    assert len({m.survivors for m in together}) > 2
    assert {m.neurons for m in together} == {10}


def sgd(parameters, values):
    return torch.optim.SGD(parameters, lr=values["learning_rate"], momentum=values["momentum"])


def test_a_net_alone_is_that_of_an_ordinary_loop_bit_for_bit():
    rates = {"learning_rate": 2.0**-5, "weight_decay": 2.0**-4, "momentum": 0.75}
    the_recipe = recipe(norm)
    [measured] = run(the_recipe, [rates])
    assert list(measured.accuracy) == plain(the_recipe, rates)
    slow = {**rates, "optimizer": "sgd", "weight_decay": 0.0}
    [measured] = run(the_recipe, [slow])
    assert list(measured.accuracy) == pytest.approx(plain(the_recipe, slow, optimizer=sgd), abs=1e-7)
    assert measured.accuracy != pytest.approx(plain(the_recipe, rates), abs=1e-4)


def picky(width=8, wrong=False):
    if wrong:
        raise ValueError(f"no {width}")
    return mlp(nn.ReLU(), width)


def lazy(width=8):
    return nn.LazyLinear(CLASSES)


def no_module(wrong=False):
    return "net" if wrong else mlp(nn.ReLU())


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (picky, rf"UsageError: {__name__}:picky: raised ValueError: no 8 \(.*\)$"),
        (no_module, f"UsageError: {__name__}:no_module: gave str; return an nn.Module$"),
    ],
)
def test_a_net_that_cannot_be_built_fails_by_itself(builder, told):
    genomes = [{"wrong": number == 1, **rate} for number, rate in enumerate(RATES)]
    first, failed, last = run(recipe(builder), genomes)
    with pytest.raises(ValueError, match=told):
        raise ValueError(failed.failure)
    assert [m.accuracy for m in (first, last)] == [
        m.accuracy for m in run(recipe(builder), [genomes[0], genomes[2]])
    ]
    assert (first.failure, failed.accuracy, failed.neurons) == (None, (), 0)


def test_a_layer_without_shape_is_a_failed_training():
    for m in run(recipe(lazy), RATES):
        assert m.failure.startswith(f"UsageError: {__name__}:lazy: a layer of its network has no shape yet;")


class Fussy(Secret):
    """Cannot stand some inputs after some steps; which, no structure shows."""

    def __init__(self, factor, after=0):
        super().__init__(factor)
        self.after, self.calls = after, 0

    def between(self, x):
        self.calls += self.training
        if self.silent.factor < 0 and self.calls > self.after:
            raise ArithmeticError("negative")
        return x


@pytest.mark.parametrize(
    ("after", "place", "why"),
    [(0, 0, CANNOT), (0, 1, CANNOT), (0, 2, CANNOT), (7, 0, "trained alone: its stack failed (Arithm")],
)
def test_a_forward_that_raises_fails_its_own_training_and_no_other(after, place, why):
    factors = [-1.0 if number == place else 1.0 for number in range(3)]
    genomes = [{**genome, "after": after} for genome in genes("factor", *factors)]
    measured = run(recipe(Fussy), genomes)
    for number, (genome, m) in enumerate(zip(genomes, measured, strict=True)):
        if number == place:
            assert m.failure == "ArithmeticError: negative"
        else:
            assert m.failure is None
            assert why_alone(m)[0].startswith(why)
            assert list(m.accuracy) == plain(recipe(Fussy), genome)


class Overflowing(Around):
    """Only a buffer says which net has an infinite output."""

    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.tensor(float(factor)))

    def between(self, x):
        return x * self.factor


def cautious(outputs, labels):
    if not outputs.isfinite().all():
        raise ValueError("Input contains NaN.")
    return confidence(outputs, labels)


@pytest.mark.parametrize("score", ["confidence", "cautious", None])
@pytest.mark.parametrize("factor", ["nan", "inf"])
def test_one_net_that_is_not_finite_fails_alone_in_its_stack(score, factor):
    the_recipe, genomes = recipe(Overflowing, score=score), genes("factor", "1", factor, "1.5")
    first, failed, last = run(the_recipe, genomes)
    assert failed.failure == "the loss became NaN or infinite at step 1"
    for genome, ours in ((genomes[0], first), (genomes[2], last)):
        [alone] = run(the_recipe, [genome])
        assert (ours.failure, ours.notes) == (None, ())
        assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-5 if score else 0.026)


def too_high(outputs, labels):
    return 1.5


def negative_for_some(outputs, labels):
    return -0.5 if outputs.abs().amax() > 100 else confidence(outputs, labels)


def test_a_score_outside_of_0_to_1_is_a_failed_training():
    for m in run(recipe(norm, score="too_high"), RATES):
        assert m.failure == f"ValueError: {__name__}:too_high: gave 1.5; return a number from 0 to 1"
    genomes = genes("factor", "1", "1e4")
    fine, failed = run(recipe(Overflowing, score="negative_for_some"), genomes)
    assert failed.failure.endswith("gave -0.5; return a number from 0 to 1")
    assert fine.failure is None
    assert list(fine.accuracy) == plain(recipe(Overflowing), genomes[0])


def row_by_row(outputs, labels):
    return F.cross_entropy(outputs, labels, reduction="none")


def no_tensor(outputs, labels):
    return F.cross_entropy(outputs, labels).item()


def constant(outputs, labels):
    return torch.zeros(())


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (row_by_row, "ValueError: the loss of a minibatch has shape (16,); return a tensor with one number"),
        (no_tensor, "ValueError: the loss of a minibatch is of type float; return a tensor with one number"),
        (constant, "RuntimeError: element 0 of tensors does not require grad"),
    ],
)
def test_a_loss_that_cannot_be_followed_is_a_failed_training(loss, told):
    the_recipe = recipe(norm, loss=f"{__name__}:{loss.__name__}")
    for genomes in (RATES, RATES[:1]):
        for m in run(the_recipe, genomes):
            assert m.failure.startswith(told)


class Shaped(Around):
    """Whose output has another form."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        logits = self.head(self.first(x))
        return {
            "pair": (logits, logits),
            "flat": logits.flatten(),
            "halves": logits.reshape(len(x) // 2, 2, CLASSES),
            "half": logits[: len(x) // 2],
            "few": logits[:, :1],
        }[self.form]


def of_any(outputs, labels):
    tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return tensor.square().mean()


@pytest.mark.parametrize(
    ("form", "loss", "told"),
    [
        (
            "pair",
            of_any,
            "ValueError: the output of the network for 40 rows is of type tuple; return a tensor",
        ),
        (
            "flat",
            of_any,
            "ValueError: the output of the network for 40 rows has shape (120,); return a tensor",
        ),
        ("halves", of_any, "ValueError: the output of the network for 40 rows has shape (20, 2, 3); return"),
        ("half", of_any, "ValueError: the output of the network for 40 rows has shape (20, 3); return"),
        ("half", None, "ValueError: Expected input batch_size (8) to match target batch_size (16)."),
        ("few", None, "IndexError: Target "),
    ],
)
def test_an_output_of_another_form_is_a_failed_training(form, loss, told):
    the_recipe = recipe(Shaped, score=None, loss=loss and f"{__name__}:{loss.__name__}")
    for genomes in ([{"form": form, **rate} for rate in RATES], [{"form": form}]):
        for m in run(the_recipe, genomes):
            assert m.failure.startswith(told)


def frozen():
    return mlp(nn.ReLU()).requires_grad_(False)


def test_a_net_without_trained_parameters_is_a_failed_training():
    for m in run(recipe(frozen), RATES) + run(recipe(nn.ReLU), RATES[:1]):
        assert m.failure.startswith("ValueError: the network has no parameter that is trained; ")


def ReLU():  # noqa: N802
    return nn.ReLU()


def smoothed(outputs, labels):
    return F.cross_entropy(outputs, labels, label_smoothing=0.8)


def smoothed_literally(outputs, labels):
    wanted = torch.full_like(outputs, 0.8 / CLASSES)
    wanted[torch.arange(len(labels)), labels] += 0.2
    return -(wanted * outputs.log_softmax(1)).sum(1).mean()


def test_the_users_loss_is_trained_on():
    the_recipe = recipe(norm, loss=f"{__name__}:smoothed")
    for genome, m in zip(RATES, run(the_recipe, RATES), strict=True):
        assert m.notes == ()
        expected = plain(the_recipe, genome, loss=smoothed_literally)
        assert list(m.accuracy) == pytest.approx(expected, abs=2e-5)
        assert expected != pytest.approx(plain(the_recipe, genome), abs=2e-4)


def branching(outputs, labels):
    loss = F.cross_entropy(outputs, labels)
    return loss if loss > 1 else 2 * loss


def test_a_loss_of_the_users_that_cannot_be_stacked_is_none_either_for_networks_of_hebbevo():
    network = Architecture("mlp", (8,), "stamina", False, FLAT, CLASSES)
    the_recipe = replace(recipe(norm, loss=f"{__name__}:branching"), network=network)
    for genome, m in zip(RATES, run(the_recipe, RATES), strict=True):
        [alone] = run(the_recipe, [genome])
        assert why_alone(m)[0].startswith(CANNOT)
        assert (m.failure, m.accuracy) == (None, alone.accuracy)


def mean_recall(outputs, labels):
    found = outputs.argmax(1) == labels
    return torch.stack([found[labels == label].double().mean() for label in labels.unique()]).mean()


def by_scikit_learn(outputs, labels):
    return balanced_accuracy_score(labels.numpy(), outputs.argmax(1).numpy())


@pytest.mark.parametrize("score", ["mean_recall", "by_scikit_learn"])
def test_the_users_score_takes_the_place_of_accuracy(score):
    the_recipe = recipe(dropout, score=score)
    for genome, m in zip(RATES, run(the_recipe, RATES), strict=True):
        assert list(m.accuracy) == pytest.approx(plain(the_recipe, genome, score=by_scikit_learn), abs=1e-12)


def test_a_function_of_the_users_that_is_not_there_is_a_failed_training():
    for missing in ({"loss": f"{__name__}:lost"}, {"score": "lost"}):
        for m in run(recipe(norm, **missing), RATES[:2]):
            assert m.failure.startswith(f"UsageError: {__name__}:lost: there is no lost in ")
