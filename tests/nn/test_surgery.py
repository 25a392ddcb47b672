import copy

import pytest
import torch
from scipy import stats
from torch import nn

from hebbevo.nn import PlasticConnections, PlasticUnits, Stamina
from hebbevo.nn.statistics import observe
from hebbevo.nn.surgery import (
    Around,
    Connections,
    Feeder,
    Listener,
    Norm,
    Units,
    connect,
    prune,
    regrow,
    rewire,
)
from hebbevo.nn.wiring import Wiring, mark_attached, tensors_of
from hebbevo.rules import CONNECTIONS, UNITS

NEVER = -1e9  # a threshold that no stamina falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)


def event(stamina, reference=1.0, **knobs):
    """Units with the given stamina after one event: a batch of silence, which changes no stamina."""
    units = Stamina(len(stamina), **(EAGER | knobs))
    units.gain.copy_(torch.tensor(stamina) * reference)
    units.reference.fill_(reference)
    silence(units)
    return units


def silence(units):
    units(torch.zeros(1, units.num_neurons))


def dead(units):
    return torch.nonzero(~units.alive).flatten().tolist()


# units that are pruned below a threshold


def test_a_unit_stays_iff_its_stamina_is_above_the_threshold():
    units = event([0.25, 0.2499999, 0.2500001, -3.0, 3.0, 0.0], reference=4.0, hebbian_threshold=0.25)
    assert dead(units) == [0, 1, 3, 5]


def test_no_unit_dies_before_the_end_of_the_warm_up_and_between_the_periods():
    units = Stamina(8, **(EAGER | dict(warmup=5, prune_period=4, max_deaths=0.01)))
    living = []
    for _ in range(17):
        silence(units)  # zero stamina is not above the threshold
        living.append(int(units.alive.sum()))
    assert living == [8] * 7 + [7] * 4 + [6] * 4 + [5] * 2


def test_the_floor_of_living_neurons_is_kept_and_the_best_stay():
    units = event([-1.0, -4.0, -2.0, -6.0, -3.0, -5.0], min_neurons=2)
    assert dead(units) == [1, 3, 4, 5]
    silence(units)
    assert dead(units) == [1, 3, 4, 5]


def test_a_layer_may_become_empty_where_the_floor_is_zero():
    units = event([-1.0, -4.0, -2.0], min_neurons=0)
    assert dead(units) == [0, 1, 2]
    assert torch.equal(units(torch.randn(2, 3)), torch.zeros(2, 3))
    assert units.stamina.isfinite().all()


def test_at_most_a_fraction_of_the_living_dies_at_an_event_the_lowest_first():
    units = event([-1.0, -8.0, -3.0, 5.0, -2.0, -4.0, -7.0, -6.0], max_deaths=0.25)
    assert dead(units) == [1, 6]
    silence(units)  # a quarter of six
    assert dead(units) == [1, 6, 7]


@pytest.mark.parametrize(("max_deaths", "deaths"), [(0.0, 0), (0.01, 1), (0.5, 3), (0.7, 4), (1.0, 6)])
def test_the_cap_is_rounded_down_but_lets_one_die_unless_it_is_zero(max_deaths, deaths):
    assert len(dead(event([-1.0] * 6, max_deaths=max_deaths))) == deaths


def test_of_units_with_equal_scores_the_first_dies():
    units = event([-1.0, -2.0, -1.0, -2.0, -2.0, 1.0], max_deaths=1 / 3)
    assert dead(units) == [1, 3]


def test_a_returned_neuron_cannot_die_during_its_grace():
    units = event([-1.0, -2.0, 1.0, -3.0], grace=3, max_deaths=0.0)
    units.age.copy_(torch.tensor([1, 0, 0, 2**40]))
    units.max_deaths.fill_(1.0)
    deaths = []
    for _ in range(3):
        silence(units)
        deaths.append(dead(units))
    assert deaths == [[3], [0, 3], [0, 1, 3]]


# units that return, with nothing around them


def test_alone_a_dead_neuron_returns_with_its_old_weights_no_stamina_and_a_running_grace():
    before, units, behind = nn.Linear(4, 5), Stamina(5, **(EAGER | dict(grace=3))), nn.Linear(5, 2)
    net = nn.Sequential(before, units, behind)
    weights = [weight.clone() for weight in net.parameters()]
    units.alive[1] = False
    units.gain[1] = units.reference[1] = 7.0
    units.hebbian_threshold.fill_(NEVER)
    units.regrowth_rate.fill_(1.0)
    net(torch.randn(6, 4))
    assert units.alive.all()
    assert units.age[1] == 0
    assert units.stamina[1] == 0
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))

    units.hebbian_threshold.fill_(1e9)
    units.regrowth_rate.fill_(0.0)
    deaths = []
    for _ in range(3):
        net(torch.randn(6, 4))
        deaths.append(dead(units))
    assert deaths == [[0, 2, 3, 4], [0, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_a_neuron_does_not_return_at_the_event_at_which_it_dies():
    units = event([-1.0, 1.0, -1.0], regrowth_rate=1.0)
    assert dead(units) == [0, 2]
    silence(units)
    assert dead(units) == []


def births(seed, rate=0.125, neurons=3000, steps=6):
    """Which neurons return at each of six events, the rest having been killed by hand."""
    units = Stamina(
        neurons, seed=seed, regrowth_rate=rate, **(EAGER | dict(prune_period=2, hebbian_threshold=NEVER))
    )
    born = []
    for step in range(2 * steps):
        units.alive.zero_()
        silence(units)
        assert step % 2 or not units.alive.any()
        if step % 2:
            born.append(units.alive.clone())
    return torch.stack(born)


def test_a_dead_neuron_returns_with_the_given_probability_at_an_event():
    born = births(seed=11)
    assert stats.binomtest(int(born.sum()), born.numel(), 0.125).pvalue > 1e-3
    assert all(stats.binomtest(int(row.sum()), 3000, 0.125).pvalue > 1e-3 for row in born)
    assert births(seed=11, rate=1.0).all()
    assert not births(seed=11, rate=0.0).any()


def test_the_seed_decides_the_events():
    assert torch.equal(births(seed=4), births(seed=4))
    assert not torch.equal(births(seed=4), births(seed=5))


# units between layers


def fresh_weights(seed, at_step=1):
    units = Stamina(300, seed=seed, regrowth_rate=1.0, **CALM | dict(prune_period=at_step))
    weight = torch.full((300, 400), 9.0)
    layer = units.layer(
        Around((Feeder(weight, None),), (), (Listener(torch.ones(2, 300), None),), exclusive=True)
    )
    connect([layer])
    mark_attached(units)
    units.alive.zero_()
    for _ in range(at_step):
        units(torch.zeros(1, 300))
    regrow(layer, prune(layer, units.due(units.steps)))
    return weight


def test_fresh_incoming_weights_are_uniform_with_the_variance_of_he_et_al():
    weight = fresh_weights(seed=1).flatten() * (400 / 2) ** 0.5
    assert stats.kstest(weight, "uniform", args=(-(3**0.5), 2 * 3**0.5)).pvalue > 1e-3
    assert abs(float(weight.var()) - 1) < 5 * (0.8 / 120_000) ** 0.5


def test_fresh_incoming_weights_follow_from_seed_and_step():
    assert torch.equal(fresh_weights(seed=1), fresh_weights(seed=1))
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=2)).all(1).any()
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=1, at_step=2)).all(1).any()


def between_layers(loss=None):
    """The layers around 8 units between 4 inputs and 3 outputs."""
    feeder = Feeder(torch.ones(8, 4), torch.zeros(8))
    listener = Listener(torch.ones(3, 8), torch.zeros(3))
    return Around((feeder,), (), (listener,), exclusive=True, loss=loss)


def test_where_the_loss_is_not_known_no_unit_joins():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM)
    layer = units.layer(between_layers())
    mark_attached(units)
    connect([layer])
    for _ in range(5):
        units(torch.randn(16, 8))
        regrow(layer, prune(layer, units.due(units.steps)))
    assert units.alive.sum() == 2


@pytest.mark.parametrize("looks", [False, True])
def test_nothing_changes_between_the_events(looks):
    units = Stamina(
        8, initial_neurons=0.25, growth_rate=1.0, regrowth_rate=1.0, patience=1, **CALM | dict(prune_period=2)
    )
    around = between_layers(torch.tensor(1.0))
    layer = Units(units.rule, units.layer(around).tensors, around, 8, look=looks)
    mark_attached(units)
    connect([layer])
    units(torch.randn(16, 8))
    before = copy.deepcopy((units.state_dict(), around))
    born = prune(layer, units.due(units.steps))
    regrow(layer, born)
    assert not born.any()
    assert all(torch.equal(before[0][name], value) for name, value in units.state_dict().items())
    for old, new in zip(
        before[1].feeders + before[1].listeners, around.feeders + around.listeners, strict=True
    ):
        assert torch.equal(old.weight, new.weight)
        assert torch.equal(old.bias, new.bias)


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(("rebirth", "exclusive"), [("auto", True), ("old", True), ("auto", False)])
def test_a_dying_unit_leaves_weights_and_moments_of_zero_where_it_would_return_fresh(
    rebirth, exclusive, looks
):
    units = Stamina(8, rebirth=rebirth, **EAGER)
    t = surroundings(torch.Generator().manual_seed(3))
    layer = Units(units.rule, units.layer(Around()).tensors, around(t, exclusive), 8, look=looks)
    mark_attached(units)
    connect([layer])
    units(torch.randn(16, 8))
    units.gain.fill_(1.0)
    units.gain[[1, 4]] = -1.0
    before = {name: value.clone() for name, value in t.items()}
    prune(layer, torch.tensor(True))
    assert dead(units) == [1, 4]
    cleared = {
        *("first.weight", "first.bias", "first.moment", "first.held", "second.weight", "second.moment"),
        *("reads.weight", "reads.moment", "reads.held", "joined.weight", "joined.moment"),
    }
    for name, old in before.items():
        expected = old.clone()
        if name in cleared and exclusive and rebirth == "auto":
            if name.startswith("joined"):
                expected[:, [7, 4]] = 0  # its inputs are the units backwards, after another input
            elif name.startswith("reads"):
                expected[:, [1, 4]] = 0
            else:
                expected[[1, 4]] = 0
        assert torch.equal(t[name], expected), name


# layers that read units

NEURONS = 6
LAYERS = {
    "linear": (lambda: nn.Linear(NEURONS, 5), None),
    "flattened": (lambda: nn.Linear(NEURONS * 4, 5), (tuple(column // 4 for column in range(NEURONS * 4)),)),
    "joined": (lambda: nn.Linear(10, 5), ((-1, 3, 2, -1, 0, 1, 4, -1, 5, 3),)),
    "conv": (lambda: nn.Conv2d(NEURONS, 8, (3, 2)), None),
    "grouped": (lambda: nn.Conv2d(NEURONS, 9, 3, groups=3), ((0, 1), (2, 3), (4, 5))),
    "depthwise": (
        lambda: nn.Conv2d(NEURONS, 12, 3, groups=NEURONS),
        tuple((unit,) for unit in range(NEURONS)),
    ),
    "grouped 1d": (lambda: nn.Conv1d(NEURONS, 4, 3, groups=2), ((0, 1, 2), (3, 4, 5))),
    "shuffled": (lambda: nn.Conv1d(NEURONS, 4, 3, groups=2), ((5, -1, 3), (-1, 0, 3))),
}
LAYOUTS = {
    "as made": lambda weight: weight,
    "column by column": lambda weight: weight.mT.contiguous().mT,
    "channels last": lambda weight: (
        weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight
    ),
}
CHOSEN = torch.tensor([False, True, False, True, True, False])


@pytest.fixture(params=LAYERS)
def read(request):
    """A layer that reads units, and of every entry of its weights the unit that it reads; -1: none."""
    make, source = LAYERS[request.param]
    layer = make().requires_grad_(False)
    place = source or (tuple(range(NEURONS)),)
    unit = torch.empty(layer.weight.shape, dtype=torch.int64)
    for output in range(len(unit)):
        for column in range(unit.shape[1]):
            unit[output, column] = place[output * len(place) // len(unit)][column]
    return layer, source, unit


@pytest.fixture(params=LAYOUTS)
def listening(request, read):
    """The layer, its weights in one of the layouts, the listener that it is, and which units it reads."""
    layer, source, unit = read
    lay = LAYOUTS[request.param]
    layer.weight = nn.Parameter(lay(layer.weight), requires_grad=False)
    moments = tuple(lay(torch.rand_like(layer.weight) + 1) for _ in range(2))
    held = lay(torch.rand_like(layer.weight) + 1)
    return layer, Listener(layer.weight, layer.bias, moments, source, held), unit


def chosen(units, looks=False):
    """Units to be written to, (..., n) bool."""
    return Units(UNITS["stamina"], {}, Around(), units.shape[-1], look=looks).chosen(units)


def test_the_norm_is_that_of_all_weights_that_read_a_unit(listening):
    layer, listener, unit = listening
    expected = torch.stack([layer.weight[unit == number].norm() for number in range(NEURONS)])
    torch.testing.assert_close(listener.norm(torch.ones(NEURONS)), expected)


def test_folding_adds_weight_times_output_to_every_bias(listening):
    layer, listener, unit = listening
    output = torch.randn(NEURONS)
    weight, expected = layer.weight.clone(), layer.bias.clone()
    reads = torch.where(unit >= 0, output[unit], 0)
    expected += (weight * reads).flatten(1).sum(1)
    listener.fold(output)
    torch.testing.assert_close(layer.bias.detach(), expected)
    assert torch.equal(layer.weight, weight)


def test_folding_is_what_the_layer_does_with_constant_inputs(listening):
    layer, listener, unit = listening
    output = torch.randn(NEURONS)
    groups = getattr(layer, "groups", 1)
    columns = unit.unflatten(0, (groups, -1))[:, 0].reshape(groups, unit.shape[1], -1)[..., 0].flatten()
    x = torch.where(columns >= 0, output[columns], 0)[None]
    if not isinstance(layer, nn.Linear):
        x = x.reshape(1, -1, *(1,) * len(layer.kernel_size)).expand(-1, -1, *(5,) * len(layer.kernel_size))
    before = layer(x)
    listener.fold(output)
    torch.testing.assert_close(layer(torch.zeros_like(x)), before)


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("which", ["weight", "held", "moments"])
def test_clearing_sets_exactly_what_reads_these_units_to_zero_in_place(which, looks, listening):
    _, listener, unit = listening
    read = (unit >= 0) & CHOSEN[unit]
    assert 0 < read.sum() < read.numel()
    before = copy.deepcopy(listener)
    values = listener.moments[0] if which == "moments" else getattr(listener, which)
    old = values.clone()
    listener.clear(chosen(CHOSEN, looks), values)
    assert torch.equal(values, torch.where(read, 0, old))
    values.copy_(old)
    for one, other in zip(
        (listener.weight, listener.bias, listener.held, *listener.moments),
        (before.weight, before.bias, before.held, *before.moments),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_outputs_of_another_precision_are_folded_in_that_of_the_weights(dtype, read):
    layer, source, _ = read
    layer, output = layer.to(dtype), torch.randn(NEURONS)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    Listener(layer.weight, layer.bias, (), source).fold(output)
    Listener(weight, bias, (), source).fold(output.to(dtype))
    assert torch.equal(layer.bias, bias)


def test_without_a_bias_nothing_is_folded():
    weight = torch.randn(2, 3)
    before = weight.clone()
    Listener(weight, None).fold(torch.ones(3))
    assert torch.equal(weight, before)


# stacks


@pytest.mark.parametrize("lead", [(3,), (2, 2)], ids=["one axis", "two axes"])
def test_a_listener_with_leading_axes_is_one_for_each_net(lead, read):
    layer, source, _ = read
    weights = torch.randn(*lead, *layer.weight.shape)
    biases, moments = torch.randn(*lead, len(layer.weight)), torch.rand_like(weights)
    units, outputs = torch.rand(*lead, NEURONS) < 0.5, torch.randn(*lead, NEURONS)
    stacked = Listener(weights.clone(), biases.clone(), (moments.clone(),), source)
    alone = []
    for place in torch.cartesian_prod(*map(torch.arange, lead)).reshape(-1, len(lead)).tolist():
        place = tuple(place)
        one = Listener(weights[place].clone(), biases[place].clone(), (moments[place].clone(),), source)
        alone.append((place, one))
        norm = one.norm(units[place])
        torch.testing.assert_close(stacked.norm(units)[place], norm)
        one.fold(outputs[place])
        one.clear(chosen(units[place]), one.weight)
        one.clear(chosen(units[place]), one.moments[0])
    stacked.fold(outputs)
    stacked.clear(chosen(units), stacked.weight)
    stacked.clear(chosen(units, looks=True), stacked.moments[0])
    for place, one in alone:
        torch.testing.assert_close(stacked.bias[place], one.bias)
        assert torch.equal(stacked.weight[place], one.weight)
        assert torch.equal(stacked.moments[0][place], one.moments[0])


def surroundings(generator, n=8):
    """All that may be around n units, as tensors by name, of one net."""

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    tensors = {
        "first.weight": random(n, 3, 2), "first.bias": random(n), "first.moment": random(n, 3, 2),
        "first.mask": random(n, 3, 2) > -0.5, "first.held": random(n, 3, 2),
        "second.weight": random(n, 5), "second.moment": random(n, 5),
        "norm.weight": random(n), "norm.bias": random(n), "norm.mean": random(n), "norm.var": random(n).exp(),
        "norm.moment": random(n),
        "reads.weight": random(4, n), "reads.bias": random(4), "reads.moment": random(4, n),
        "reads.held": random(4, n),
        "joined.weight": random(5, n + 2), "joined.bias": random(5), "joined.moment": random(5, n + 2),
        "loss": random(()),
    }  # fmt: skip
    return tensors


def around(t, exclusive=True, n=8):
    return Around(
        (
            Feeder(
                t["first.weight"], t["first.bias"], (t["first.moment"],), t["first.mask"], t["first.held"]
            ),
            Feeder(t["second.weight"], None, (t["second.moment"],)),
        ),
        (Norm(t["norm.weight"], t["norm.bias"], t["norm.mean"], t["norm.var"], (t["norm.moment"],)),),
        (
            Listener(t["reads.weight"], t["reads.bias"], (t["reads.moment"],), None, t["reads.held"]),
            Listener(
                t["joined.weight"],
                t["joined.bias"],
                (t["joined.moment"],),
                ((-1, *range(n - 1, -1, -1), -1),),
            ),
        ),
        exclusive,
        t["loss"],
    )


BUSY = dict(
    warmup=0, prune_period=1, min_neurons=1, max_deaths=0.5, grace=1, regrowth_rate=0.3, growth_rate=0.2
)
NETS = {
    "stamina": [
        BUSY | dict(hebbian_threshold=0.9, stamina_decay=0.5, handover=True, activity="contribution"),
        BUSY | dict(hebbian_threshold=1.1, stamina_decay=0.9, rebirth="old", penalty_form="ratio"),
        BUSY | dict(schedule="target", target=3, events=8, initial_neurons=0.75, rebirth="fresh"),
        BUSY | dict(schedule="target", target=2, events=4, handover=True, prune_period=3, patience=1),
    ],
    "magnitude": [
        BUSY | dict(schedule="threshold", threshold=1.0),
        BUSY | dict(target=3, events=8, handover=True),
        BUSY | dict(target=1, events=6, warmup=3, rebirth="old"),
        BUSY | dict(schedule="threshold", threshold=0.9, initial_neurons=0.5),
    ],
    "random": [
        BUSY | dict(schedule="threshold", threshold=0.3),
        BUSY | dict(target=3, events=8),
        BUSY | dict(target=4, events=2, rebirth="old", handover=True),
        BUSY | dict(schedule="threshold", threshold=0.1, settle=0.25),
    ],
}


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("lead", [(4,), (2, 2)], ids=["one axis", "two axes"])
@pytest.mark.parametrize("rule", NETS)
def test_a_stack_of_nets_is_pruned_and_regrown_as_the_nets_one_by_one(rule, lead, exclusive, looks):
    generator = torch.Generator().manual_seed(3)
    units = [PlasticUnits(UNITS[rule], 8, seed=seed, **knobs) for seed, knobs in enumerate(NETS[rule])]
    for each in units:
        each.begin(12)
    alone = [(dict(each.named_buffers()), surroundings(generator)) for each in units]

    def stack(which):
        first = alone[0][which]
        return {name: torch.stack([each[which][name] for each in alone]).unflatten(0, lead) for name in first}

    own, beside = stack(0), stack(1)
    stacked = Units(UNITS[rule], own, around(beside, exclusive), 8, look=looks)
    layers = [Units(UNITS[rule], mine, around(theirs, exclusive), 8) for mine, theirs in alone]
    connect([stacked])
    for layer in layers:
        connect([layer])
    patterns = set()
    for y in torch.randn(12, 4, 16, 8, generator=generator):
        rows = y.relu()
        losses = torch.rand(4, generator=generator)
        beside["loss"].copy_(losses.unflatten(0, lead))
        living = rows.unflatten(0, lead) * own["alive"].unsqueeze(-2)
        observe(UNITS[rule], living, living, own)
        due = []
        for number, (module, layer) in enumerate(zip(units, layers, strict=True)):
            alone[number][1]["loss"].copy_(losses[number])
            mine = rows[number] * layer.alive
            observe(UNITS[rule], mine, mine, alone[number][0])
            due.append(module.due(module.steps))
            regrow(layer, prune(layer, due[-1]))
        regrow(stacked, prune(stacked, torch.stack(due).unflatten(0, lead)))
        for together, which in ((own, 0), (beside, 1)):
            for name, value in together.items():
                expected = torch.stack([each[which][name] for each in alone]).unflatten(0, lead)
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)
        patterns.add(tuple(own["alive"].flatten().tolist()))
    assert len(patterns) > 6


def mask(rule, **knobs):
    """A masked linear layer in a training of 12 steps."""
    module = PlasticConnections(CONNECTIONS[rule], nn.Linear(6, 4), ["weight"], seed=0, **knobs)
    module.begin(12)
    return module


MASKS = {
    "hebb_mask": [
        dict(permanence_rate=5.0),
        dict(permanence_rate=9.0, hysteresis=0.25, prune_threshold=0.25),
        dict(update_form="agreement", permanence_rate=0.5, update_interval=3),
    ],
    "magnitude": [
        dict(density=0.25, warmup=2, prune_period=1),
        dict(density=0.5, prune_period=3),
        dict(density=0.1),
    ],
}


def link_of(module):
    """The connections of a mask as the engine sees them."""
    [(_, _, link)] = Wiring(module).connections(tensors_of(module))
    return link


@pytest.mark.parametrize("lead", [(3,), (1, 3)], ids=["one axis", "two axes"])
@pytest.mark.parametrize("rule", MASKS)
def test_a_stack_of_masks_is_rewired_as_the_masks_one_by_one(rule, lead):
    generator = torch.Generator().manual_seed(3)
    knobs = [{"warmup": 0} | each for each in MASKS[rule]]
    modules = [mask(rule, **each) for each in knobs]
    alone = [link_of(module) for module in modules]
    moments = [torch.rand(4, 6, generator=generator) + 1 for _ in modules]

    def stack(tensors):
        return torch.stack(list(tensors)).unflatten(0, lead)

    together = Connections(
        CONNECTIONS[rule],
        {name: stack(each.knobs[name] for each in alone) for name in alone[0].knobs},
        {name: stack(each.tensors[name] for each in alone) for name in alone[0].tensors},
        stack(each.weight for each in alone),
        24,
    )
    both = stack(moments)
    changes = 0
    for step in range(1, 13):
        due = []
        for module, link, moment in zip(modules, alone, moments, strict=True):
            module.steps.fill_(step)
            for name in module.rule.buffers:
                link.tensors[name].copy_(torch.randn(4, 6, generator=generator))
            due.append(module.due(module.steps))
            before = link.mask.clone()
            rewire(link, due[-1], [moment])
            changes += int((before != link.mask).sum())
        together.knobs["steps"].fill_(step)
        for name in CONNECTIONS[rule].buffers:
            together.tensors[name].copy_(stack(each.tensors[name] for each in alone))
        rewire(together, stack(due), [both])
        assert torch.equal(together.mask, stack(each.mask for each in alone))
        assert torch.equal(together.weight, stack(each.weight for each in alone))
        assert torch.equal(both, stack(moments))
    assert changes > 20


@pytest.mark.parametrize("rule", MASKS)
def test_what_leaves_keeps_its_weight_only_where_the_rule_says_so(rule):
    module = mask(rule, warmup=0)
    link = link_of(module)
    before, moment = link.weight.clone(), torch.ones(4, 6)
    module.steps.fill_(20)
    for name in module.rule.buffers:
        link.tensors[name].copy_(torch.randn(4, 6))
    rewire(link, torch.tensor(True), [moment])
    assert 0 < link.mask.sum() < 24
    kept = link.rule.keeps_weights | link.mask
    assert torch.equal(link.weight, torch.where(kept, before, 0))
    assert torch.equal(moment, kept * torch.ones(4, 6))
