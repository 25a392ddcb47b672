"""Events: which units are pruned and regrown, what happens to the weights around them, and stacks."""

import copy
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

from hebbevo.nn import PlasticConnections, PlasticUnits, Stamina
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.layer_context import Consumer, LayerContext, Norm, Producer
from hebbevo.nn.layer_units import LayerUnits
from hebbevo.nn.statistics import observe
from hebbevo.nn.surgery import prepare_units, prune, regrow, rewire
from hebbevo.nn.wiring import Wiring, named_tensors, set_attached
from hebbevo.rules import CONNECTIONS, UNITS
from tests.nn.conftest import CALM, EAGER, NEVER, pruned


def event(stamina, reference=1.0, **knobs):
    """Units with the given stamina after one event, at a silent minibatch, which changes no stamina."""
    units = Stamina(len(stamina), **(EAGER | knobs))
    units.gain.copy_(torch.tensor(stamina) * reference)
    units.reference.fill_(reference)
    silence(units)
    return units


def silence(units):
    units(torch.zeros(1, units.num_neurons))


# units that are pruned below a threshold


def test_a_unit_stays_iff_its_stamina_is_above_the_threshold():
    units = event([0.25, 0.2499999, 0.2500001, -3.0, 3.0, 0.0], reference=4.0, hebbian_threshold=0.25)
    assert pruned(units) == [0, 1, 3, 5]


def test_no_unit_is_pruned_before_the_end_of_the_warm_up_and_between_the_periods():
    units = Stamina(8, **(EAGER | dict(warmup=5, prune_period=4, max_deaths=0.01)))
    living = []
    for _ in range(17):
        silence(units)  # zero stamina is not above the threshold
        living.append(int(units.alive.sum()))
    assert living == [8] * 7 + [7] * 4 + [6] * 4 + [5] * 2


def test_the_floor_of_living_neurons_is_kept_and_the_best_stay():
    units = event([-1.0, -4.0, -2.0, -6.0, -3.0, -5.0], min_neurons=2)
    assert pruned(units) == [1, 3, 4, 5]
    silence(units)
    assert pruned(units) == [1, 3, 4, 5]


def test_a_layer_may_become_empty_where_the_floor_is_zero():
    units = event([-1.0, -4.0, -2.0], min_neurons=0)
    assert pruned(units) == [0, 1, 2]
    assert torch.equal(units(torch.randn(2, 3)), torch.zeros(2, 3))
    assert units.stamina.isfinite().all()


def test_at_most_a_fraction_of_the_living_units_is_pruned_at_an_event_the_lowest_first():
    units = event([-1.0, -8.0, -3.0, 5.0, -2.0, -4.0, -7.0, -6.0], max_deaths=0.25)
    assert pruned(units) == [1, 6]
    silence(units)  # a quarter of six
    assert pruned(units) == [1, 6, 7]


@pytest.mark.parametrize(("max_deaths", "number"), [(0.0, 0), (0.01, 1), (0.5, 3), (0.7, 4), (1.0, 6)])
def test_the_cap_is_rounded_down_but_allows_one_unit_unless_it_is_zero(max_deaths, number):
    assert len(pruned(event([-1.0] * 6, max_deaths=max_deaths))) == number


def test_of_units_with_equal_scores_the_first_is_pruned():
    units = event([-1.0, -2.0, -1.0, -2.0, -2.0, 1.0], max_deaths=1 / 3)
    assert pruned(units) == [1, 3]


def test_a_regrown_unit_is_not_pruned_during_its_grace():
    units = event([-1.0, -2.0, 1.0, -3.0], grace=3, max_deaths=0.0)
    units.age.copy_(torch.tensor([1, 0, 0, 2**40]))
    units.max_deaths.fill_(1.0)
    masks = []
    for _ in range(3):
        silence(units)
        masks.append(pruned(units))
    assert masks == [[3], [0, 3], [0, 1, 3]]


# units that are regrown without layers around them


def test_unattached_a_unit_is_regrown_with_its_old_weights_no_stamina_and_a_new_grace():
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
    masks = []
    for _ in range(3):
        net(torch.randn(6, 4))
        masks.append(pruned(units))
    assert masks == [[0, 2, 3, 4], [0, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_a_unit_is_not_regrown_at_the_event_at_which_it_is_pruned():
    units = event([-1.0, 1.0, -1.0], regrowth_rate=1.0)
    assert pruned(units) == [0, 2]
    silence(units)
    assert pruned(units) == []


def regrown_units(seed, rate=0.125, neurons=3000, steps=6):
    """Which units are regrown at each of six events, before each of which the test prunes all of them."""
    units = Stamina(
        neurons, seed=seed, regrowth_rate=rate, **(EAGER | dict(prune_period=2, hebbian_threshold=NEVER))
    )
    regrown = []
    for step in range(2 * steps):
        units.alive.zero_()
        silence(units)
        assert step % 2 or not units.alive.any()
        if step % 2:
            regrown.append(units.alive.clone())
    return torch.stack(regrown)


def test_a_pruned_unit_is_regrown_with_the_given_probability_at_an_event():
    regrown = regrown_units(seed=11)
    assert stats.binomtest(int(regrown.sum()), regrown.numel(), 0.125).pvalue > 1e-3
    assert all(stats.binomtest(int(row.sum()), 3000, 0.125).pvalue > 1e-3 for row in regrown)
    assert regrown_units(seed=11, rate=1.0).all()
    assert not regrown_units(seed=11, rate=0.0).any()


def test_the_seed_decides_the_events():
    assert torch.equal(regrown_units(seed=4), regrown_units(seed=4))
    assert not torch.equal(regrown_units(seed=4), regrown_units(seed=5))


# units between layers


def fresh_weights(seed, at_step=1):
    units = Stamina(300, seed=seed, regrowth_rate=1.0, **CALM | dict(prune_period=at_step))
    weight = torch.full((300, 400), 9.0)
    layer = units.layer_units(
        LayerContext((Producer(weight, None),), (), (Consumer(torch.ones(2, 300), None),), exclusive=True)
    )
    prepare_units([layer])
    set_attached(units)
    units.alive.zero_()
    for _ in range(at_step):
        units(torch.zeros(1, 300))
    regrow(layer, prune(layer, units.is_event(units.steps)))
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
    producer = Producer(torch.ones(8, 4), torch.zeros(8))
    consumer = Consumer(torch.ones(3, 8), torch.zeros(3))
    return LayerContext((producer,), (), (consumer,), exclusive=True, loss=loss)


def test_without_a_known_loss_no_unit_joins():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM)
    layer = units.layer_units(between_layers())
    set_attached(units)
    prepare_units([layer])
    for _ in range(5):
        units(torch.randn(16, 8))
        regrow(layer, prune(layer, units.is_event(units.steps)))
    assert units.alive.sum() == 2


@pytest.mark.parametrize("may_sync", [False, True])
def test_units_join_one_batch_at_a_time_and_the_loss_has_to_stall_anew(may_sync):
    units = Stamina(8, initial_neurons=0.25, grow=3, patience=2, **CALM)
    set_attached(units)
    counts = []
    for loss in (1.0, 1.1, 1.2, 1.3, 1.4, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0):
        context = between_layers(torch.tensor(loss))
        layer = replace(units.layer_units(context), may_sync=may_sync)
        units(torch.randn(16, 8))
        regrown = prune(layer, units.is_event(units.steps))
        regrow(layer, regrown)
        counts.append(int(units.alive.sum()))
    # the loss has not fallen for two events at the 3rd, the 5th and the 8th: 3 join, 3 more, and none is left
    assert counts == [2, 2, 5, 5, 8, 8, 8, 8, 8, 8, 8]
    assert bool(units.alive[:5].all())


@pytest.mark.parametrize("may_sync", [False, True])
def test_of_equal_scores_the_unit_of_the_lowest_number_is_pruned_whatever_its_slot(may_sync):
    units = Stamina(8, **EAGER | dict(max_deaths=0.5))
    units.gain.copy_(torch.tensor([-1.0, 2.0, -1.0, -1.0, 2.0, -1.0, -2.0, -1.0]))
    units.reference.fill_(1.0)
    slots = torch.tensor([5, 3, 7, 0, 6, 1, 2, 4])  # the number of the unit in each slot
    whole = units.layer_units(LayerContext())
    per_unit = {name: value for name, value in whole.tensors.items() if value.dim()}
    moved = {**whole.tensors, **{name: value[slots].clone() for name, value in per_unit.items()}}
    layer = replace(whole, tensors=moved, numbers=slots, may_sync=may_sync)
    prune(layer, torch.tensor(True))
    # half of them: the lowest, and of those that share the next score the ones of the lowest numbers
    assert sorted(slots[~layer.alive].tolist()) == [0, 2, 3, 6]


@pytest.mark.parametrize("may_sync", [False, True])
def test_nothing_changes_between_the_events(may_sync):
    units = Stamina(
        8, initial_neurons=0.25, growth_rate=1.0, regrowth_rate=1.0, patience=1, **CALM | dict(prune_period=2)
    )
    context = between_layers(torch.tensor(1.0))
    layer = replace(units.layer_units(context), may_sync=may_sync)
    set_attached(units)
    prepare_units([layer])
    units(torch.randn(16, 8))
    before = copy.deepcopy((units.state_dict(), context))
    regrown = prune(layer, units.is_event(units.steps))
    regrow(layer, regrown)
    assert not regrown.any()
    assert all(torch.equal(before[0][name], value) for name, value in units.state_dict().items())
    for old, new in zip(
        before[1].producers + before[1].consumers, context.producers + context.consumers, strict=True
    ):
        assert torch.equal(old.weight, new.weight)
        assert torch.equal(old.bias, new.bias)


@pytest.mark.parametrize("may_sync", [False, True])
@pytest.mark.parametrize(("rebirth", "exclusive"), [("auto", True), ("old", True), ("auto", False)])
def test_a_pruned_unit_has_weights_and_moments_of_zero_where_it_would_be_regrown_fresh(
    rebirth, exclusive, may_sync
):
    units = Stamina(8, rebirth=rebirth, **EAGER)
    t = context_tensors(torch.Generator().manual_seed(3))
    layer = LayerUnits(
        units.rule, units.layer_units(LayerContext()).tensors, context_of(t, exclusive), 8, may_sync=may_sync
    )
    set_attached(units)
    prepare_units([layer])
    units(torch.randn(16, 8))
    units.gain.fill_(1.0)
    units.gain[[1, 4]] = -1.0
    before = {name: value.clone() for name, value in t.items()}
    prune(layer, torch.tensor(True))
    assert pruned(units) == [1, 4]
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


# stacks


def context_tensors(generator, n=8):
    """The tensors of all layers that may be around n units, by name, of one net."""

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


def context_of(t, exclusive=True, n=8):
    return LayerContext(
        (
            Producer(
                t["first.weight"], t["first.bias"], (t["first.moment"],), t["first.mask"], t["first.held"]
            ),
            Producer(t["second.weight"], None, (t["second.moment"],)),
        ),
        (Norm(t["norm.weight"], t["norm.bias"], t["norm.mean"], t["norm.var"], (t["norm.moment"],)),),
        (
            Consumer(t["reads.weight"], t["reads.bias"], (t["reads.moment"],), None, t["reads.held"]),
            Consumer(
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
    "usage": [
        BUSY | dict(schedule="threshold", threshold=0.3, max_deaths=0.6),
        BUSY | dict(target=2, events=3, grace=4),
        BUSY | dict(target=4, events=6, rebirth="old", ridge=0.1),
        BUSY | dict(schedule="threshold", threshold=0.6, grace=3),
    ],
    "score": [
        BUSY | dict(schedule="threshold", threshold=0.5, r=0.0, u=1.0),
        BUSY | dict(target=3, events=4, s=-0.5),
        BUSY | dict(target=4, events=6, p=0.0, q=0.3, r=1.0, grace=5),
        BUSY | dict(schedule="threshold", threshold=0.7, p=2.0, r=0.2, max_deaths=0.5),
    ],
    "decorrelation": [
        BUSY | dict(schedule="threshold", threshold=0.4),
        BUSY | dict(target=3, events=8),
        BUSY | dict(target=4, events=2, rebirth="old", handover=True),
        BUSY | dict(schedule="threshold", threshold=0.6, initial_neurons=0.5),
    ],
    "frequency": [
        BUSY | dict(schedule="threshold", threshold=0.9),
        BUSY | dict(target=3, events=8, belief=0.0),
        BUSY | dict(target=4, events=2, rebirth="old"),
        BUSY | dict(schedule="threshold", threshold=1.0, belief=2.0),
    ],
}


@pytest.mark.parametrize("may_sync", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("lead", [(4,), (2, 2)], ids=["one axis", "two axes"])
@pytest.mark.parametrize("rule", NETS)
def test_a_stack_of_nets_is_pruned_and_regrown_as_the_nets_one_by_one(rule, lead, exclusive, may_sync):
    generator = torch.Generator().manual_seed(3)
    units = [PlasticUnits(UNITS[rule], 8, seed=seed, **knobs) for seed, knobs in enumerate(NETS[rule])]
    for each in units:
        each.begin(12)
    alone = [(dict(each.named_buffers()), context_tensors(generator)) for each in units]

    def stack(which):
        first = alone[0][which]
        return {name: torch.stack([each[which][name] for each in alone]).unflatten(0, lead) for name in first}

    own, beside = stack(0), stack(1)
    stacked = LayerUnits(UNITS[rule], own, context_of(beside, exclusive), 8, may_sync=may_sync)
    layers = [LayerUnits(UNITS[rule], mine, context_of(theirs, exclusive), 8) for mine, theirs in alone]
    prepare_units([stacked])
    for layer in layers:
        prepare_units([layer])
    patterns = set()
    for y in torch.randn(12, 4, 16, 8, generator=generator):
        rows = y.relu()
        losses = torch.rand(4, generator=generator)
        beside["loss"].copy_(losses.unflatten(0, lead))
        living = rows.unflatten(0, lead) * own["alive"].unsqueeze(-2)
        observe(UNITS[rule], living, living, own)
        events = []
        for number, (module, layer) in enumerate(zip(units, layers, strict=True)):
            alone[number][1]["loss"].copy_(losses[number])
            mine = rows[number] * layer.alive
            observe(UNITS[rule], mine, mine, alone[number][0])
            events.append(module.is_event(module.steps))
            regrow(layer, prune(layer, events[-1]))
        regrow(stacked, prune(stacked, torch.stack(events).unflatten(0, lead)))
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
    "set": [
        dict(density=0.5, rewire_period=1),
        dict(density=0.75, rewire_period=2, drop_fraction=0.5, drop_schedule="cosine"),
        dict(density=0.25, rewire_period=3, drop_schedule="linear"),
    ],
    "cosine": [
        dict(rewire_period=2, density=0.5, grow_by="simultaneous"),
        dict(rewire_period=1, density=0.25, grow_by="cosine_probability", drop_by="cosine"),
        dict(rewire_period=3, density=0.5, grow_by="random", drop_by="cosine"),
    ],
    "constant_fan_in": [
        dict(rewire_period=1, density=0.5, drop_fraction=0.5),
        dict(rewire_period=2, density=0.3, drop_schedule="constant"),
        dict(rewire_period=3, density=0.6),
    ],
    "iterative_magnitude": [
        dict(rounds=3, share=0.4),
        dict(rounds=2, quality=0.5, rewind_step=1),
        dict(rounds=4, share=0.3, rewind_step=2),
    ],
}


def connections_of(module):
    """The connections of a mask in the form that surgery works on."""
    [(_, _, connections)] = Wiring(module).layer_connections(named_tensors(module))
    return connections


@pytest.mark.parametrize("lead", [(3,), (1, 3)], ids=["one axis", "two axes"])
@pytest.mark.parametrize("rule", MASKS)
def test_a_stack_of_masks_is_rewired_as_the_masks_one_by_one(rule, lead):
    generator = torch.Generator().manual_seed(3)
    always = {"warmup": 0} if "warmup" in CONNECTIONS[rule].knobs else {}
    knobs = [always | each for each in MASKS[rule]]
    modules = [mask(rule, **each) for each in knobs]
    alone = [connections_of(module) for module in modules]
    moments = [torch.rand(4, 6, generator=generator) + 1 for _ in modules]

    def stack(tensors):
        return torch.stack(list(tensors)).unflatten(0, lead)

    together = LayerConnections(
        CONNECTIONS[rule],
        {name: stack(each.knobs[name] for each in alone) for name in alone[0].knobs},
        {name: stack(each.tensors[name] for each in alone) for name in alone[0].tensors},
        stack(each.weight for each in alone),
        24,
    )
    both = stack(moments)
    changes = 0
    moving = [*CONNECTIONS[rule].buffers, *({"gradient"} & together.tensors.keys())]
    for step in range(1, 13):
        events = []
        for name in moving:
            for connections in alone:
                connections.tensors[name].copy_(torch.randn(4, 6, generator=generator))
            together.tensors[name].copy_(stack(each.tensors[name] for each in alone))
        for module, connections, moment in zip(modules, alone, moments, strict=True):
            module.steps.fill_(step)
            events.append(module.is_event(module.steps))
            before = connections.mask.clone()
            rewire(connections, events[-1], [moment])
            changes += int((before != connections.mask).sum())
        together.knobs["steps"].fill_(step)
        rewire(together, stack(events), [both])
        assert torch.equal(together.mask, stack(each.mask for each in alone))
        assert torch.equal(together.weight, stack(each.weight for each in alone))
        assert torch.equal(both, stack(moments))
    assert changes > 20


@pytest.mark.parametrize("rule", ["hebb_mask", "magnitude"])
def test_connections_that_leave_keep_their_weight_only_if_the_rule_says_so(rule):
    module = mask(rule, warmup=0)
    connections = connections_of(module)
    before, moment = connections.weight.clone(), torch.ones(4, 6)
    module.steps.fill_(20)
    for name in module.rule.buffers:
        connections.tensors[name].copy_(torch.randn(4, 6))
    rewire(connections, torch.tensor(True), [moment])
    assert 0 < connections.mask.sum() < 24
    kept = connections.rule.keeps_weights | connections.mask
    assert torch.equal(connections.weight, torch.where(kept, before, 0))
    assert torch.equal(moment, kept * torch.ones(4, 6))
