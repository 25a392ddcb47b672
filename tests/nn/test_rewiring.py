"""`rewire`: which layers of a model are wrapped, and that it trains as the search's own networks do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import PlasticConnections, Stamina, attach, plastic_connections, rewire
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.rule import ByCount
from hebbevo.space.knobs import table
from hebbevo.training import Candidate, CohortTraining, Rows
from hebbevo.training.stack import SingleNet, VmapStack
from tests.training.conftest import (
    CPU,
    FEATURES,
    IMAGE,
    RATES,
    USER_CLASSES,
    assert_close,
    assert_identical,
    make_double_cohort,
    problem,
    recipe,
    state_of,
    user_problem,
    user_recipe,
)

KNOBS = {
    "magnitude": {"density": 0.3, "warmup": 2, "prune_period": 3},
    "hebb_mask": {"update_form": "agreement", "permanence_rate": 0.3, "update_interval": 2},
}
UNIT_KNOBS = {
    "unactivation_penalty": 2.0, "warmup": 2, "prune_period": 2, "grace": 2, "regrowth_rate": 0.3,
    "hebbian_threshold": 0.0137,
}  # fmt: skip

FIRST_LAYER = 1001  # what the search adds to a network's seed for the connections of its first layer


class Model(nn.Module):
    """A convolution, a grouped one, an attention and two linear layers, the first of them of a block."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 8, 3, groups=2)
        self.units = Stamina(8, dim=1, seed=1)
        self.block = nn.Sequential(nn.Flatten(1), nn.Linear(32, 8), nn.ReLU())
        self.attention = nn.MultiheadAttention(8, 2)
        self.last = nn.Linear(8, USER_CLASSES)

    def forward(self, x):
        x = self.block(self.units(self.grouped(self.first(x).relu())))
        return self.last(self.attention(x, x, x, need_weights=False)[0] + x)


def loop(net, batches, total, learning_rate=1e-2, weight_decay=0.01):
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    attachment = attach(net, optimizer, total_steps=total)
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(net.train()(x), y)
        loss.backward()
        attachment.observe(loss)
        optimizer.step()


def minibatches(the_recipe, split):
    """The minibatches of a search."""
    x = torch.from_numpy(split.x_train).reshape(-1, *the_recipe.network.shape)
    y = torch.from_numpy(split.y_train)
    for epoch in range(the_recipe.epochs):
        order = np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x))
        for start in range(0, len(x), the_recipe.batch_size):
            rows = order[start : start + the_recipe.batch_size]
            yield x[rows], y[rows]


@pytest.mark.parametrize("units", ["dense", "stamina"])
@pytest.mark.parametrize("rule", KNOBS)
def test_a_rewired_model_in_an_ordinary_loop_reaches_what_the_search_reaches(rule, units):
    base, split = recipe((19, 13), epochs=3), problem()
    knobs = KNOBS[rule] | ({} if units == "dense" else UNIT_KNOBS)
    in_search = replace(base, network=replace(base.network, units=units, connections=rule), settings=knobs)
    plain = replace(base, network=replace(base.network, units=units), settings=knobs)
    genomes = [{"learning_rate": 1e-2}, {"learning_rate": 3e-3}]
    cohort = make_double_cohort(in_search, genomes, Rows.of(split, (FEATURES,), CPU))
    measured, *_ = cohort.train()

    seed, values = Candidate(genomes[0]).seed(base.seed), plain.training_knobs(genomes[0])
    net = plain.network.build(plain.settings_for(genomes[0]), seed)
    own = {name: value for name, value in knobs.items() if name in CONNECTIONS[rule].knobs}
    rewire(net, rule, seed=seed + FIRST_LAYER, **own).double()
    batches = [(x.double(), y) for x, y in minibatches(base, split)]
    loop(net, batches, len(batches), values["learning_rate"], values["weight_decay"])
    assert_close(state_of(cohort, 0), dict(net.state_dict()))
    assert not all(mask.all() for each in plastic_connections(net).values() for mask in each.masks().values())
    assert measured.survivors[-1] == hebbevo.count(net).loc["total", "neurons_alive"]


def build_rewired(density, input_shape, num_classes):
    """A network of the user in a search, whose densities are genes."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2), Stamina(6, dim=1, seed=3, unactivation_penalty=2.0, warmup=2, grace=1),
        nn.Flatten(), nn.Linear(24, num_classes),
    )  # fmt: skip
    return rewire(net, "magnitude", seed=1, density=density, warmup=1, prune_period=2)


def test_a_rewired_model_with_grouped_convolutions_trains_in_a_search_as_in_an_ordinary_loop():
    the_recipe = user_recipe(build_rewired, IMAGE)
    genomes = [{"density": density, **rate} for density, rate in zip((0.2, 0.5, 0.9), RATES, strict=True)]
    split = user_problem()

    def nets():
        return [
            the_recipe.network.build(the_recipe.settings_for(each), Candidate(each).seed(the_recipe.seed))
            for each in genomes
        ]

    knobs = [the_recipe.training_knobs(each) for each in genomes]
    rows = Rows.of(split, IMAGE, CPU)
    stack = CohortTraining(the_recipe, VmapStack(nets(), CPU), knobs, nets()[0], rows)
    alone = CohortTraining(the_recipe, SingleNet(nets()[0], CPU), knobs[:1], nets()[0], rows)
    stacked, [single] = stack.train(), alone.train()
    assert stacked[0].survivors == single.survivors
    net = nets()[0]
    total = len([*minibatches(the_recipe, split)])
    loop(net, minibatches(the_recipe, split), total, knobs[0]["learning_rate"], knobs[0]["weight_decay"])
    theirs = dict(net.state_dict())
    torch.testing.assert_close(state_of(alone, 0), theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state_of(stack, 0), theirs, rtol=1e-4, atol=2e-5)
    shares = [each.sparsity().item() for each in plastic_connections(net).values()]
    assert shares == pytest.approx([0.8, 0.8, 0.8], abs=0.02)


def test_linear_layers_and_convolutions_are_wrapped_and_the_weights_of_an_attention_are_not():
    model = Model()
    parameters = [*model.parameters()]
    assert rewire(model, "magnitude", density=0.5) is model
    assert [*plastic_connections(model)] == ["first", "grouped", "block.1", "last"]
    assert [id(each) for each in model.parameters()] == [id(each) for each in parameters]


def test_the_last_layer_can_be_left_out_and_layers_can_be_named():
    assert [*plastic_connections(rewire(Model(), "magnitude", last=False))] == ["first", "grouped", "block.1"]
    model = rewire(Model(), "magnitude", layers=["block.1", "first"])
    assert [*plastic_connections(model)] == ["first", "block.1"]
    # what is left can go under another rule
    assert [*plastic_connections(rewire(model, "hebb_mask"))] == ["first", "grouped", "block.1", "last"]


def test_each_layer_has_a_seed_of_its_own():
    seeds = [each.seed.item() for each in plastic_connections(rewire(Model(), "magnitude", seed=7)).values()]
    assert seeds == [7, 8, 9, 10]


def test_a_single_layer_is_a_model_and_a_rule_that_never_prunes_wraps_nothing():
    layer = nn.Conv2d(1, 2, 3)
    assert isinstance(rewire(layer, "magnitude"), PlasticConnections)
    assert rewire(layer, "full") is layer


class FirstHalf(ByCount):
    """Only the connections from the first half of the inputs are left, from the first step on."""

    name = "first_half"
    knobs = table()

    def is_event(self, k, step, total):
        return step == 1

    def left(self, k, layer):
        return layer.step * 0 + layer.connections // 2

    def drop(self, k, s, layer):
        weight = layer.weight
        place = torch.arange(weight.shape[-1]).to(weight)
        return -place.expand_as(weight)


def test_neurons_that_lose_their_last_connection_under_a_rule_of_ones_own_are_dead():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 3))
    rewire(model, FirstHalf())
    loop(model, [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(3)], 3)
    table_ = hebbevo.count(model)
    # of the ten units of the first layer five are read, of the four of the second two
    assert table_.neurons_alive.dropna().tolist()[:2] == [5, 2]
    assert table_.loc["total", "connections_alive"] == 3 * 5 + 5 * 2 + 2 * 3


@pytest.mark.parametrize(
    ("rule", "arguments", "message"),
    [
        ("magnitud", {}, "rewire: unknown rule 'magnitud'; did you mean magnitude?"),
        ("magnitude", {"layers": ["frist"]}, "unknown layer 'frist'; did you mean first?"),
        ("magnitude", {"layers": ["units"]}, "'units' is a Stamina that cannot be rewired"),
        ("magnitude", {"layers": ["attention.out_proj"]}, "cannot be rewired; can be: first"),
        ("magnitude", {"layers": "first"}, "in a list"),
        ("magnitude", {"densty": 0.1}, "unknown knob 'densty'"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewired_is_refused_in_one_line_and_nothing_is_wrapped(rule, arguments, message):
    model = Model()
    with pytest.raises(UsageError) as error:
        rewire(model, rule, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not plastic_connections(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), "no linear layer or convolution but the last one that is under no rule yet"),
        (nn.Linear(2, 2), "no linear layer or convolution but the last one that is under no rule yet"),
        ("model", "str is no nn.Module"),
        (nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3)), "0 has no shape yet"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_without_a_layer_to_rewire_is_refused(model, message):
    with pytest.raises(UsageError, match=message):
        rewire(model, "magnitude", last=False)


def test_layers_with_one_weight_are_refused_and_nothing_is_wrapped():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    with pytest.raises(UsageError, match=r"0\.weight, 2\.weight are one parameter"):
        rewire(model, "magnitude")
    assert not plastic_connections(model)
    assert [*plastic_connections(rewire(model, "magnitude", layers=["3"]))] == ["3"]


@pytest.mark.parametrize("rule", [name for name, rule in CONNECTIONS.items() if rule.prunes])
def test_a_rewired_model_computes_what_it_did_while_every_connection_is_in(rule):
    model, x = Model().eval(), torch.randn(2, *IMAGE)
    expected = model(x)
    rewired = rewire(model, rule)
    if all(mask.all() for each in plastic_connections(rewired).values() for mask in each.masks().values()):
        assert torch.equal(rewired(x), expected)
    assert not any(module.training for module in rewired.modules())


def test_the_names_of_a_state_are_those_of_the_rewired_model():
    one, other = rewire(Model(), "magnitude"), rewire(Model(), "magnitude")
    other.load_state_dict(one.state_dict())
    assert_identical(dict(one.state_dict()), dict(other.state_dict()))
