"""What every unit rule must do, whatever its science: a rule is tested by being registered."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import PlasticUnits, attach, plastic_units
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.rules import UNITS
from hebbevo.rules.units.schedule import SCHEDULES
from tests.conftest import covering
from tests.rules.conftest import RuleTraining, is_compacted
from tests.training.conftest import living_only

FEATURES, CLASSES = 11, 4
PRUNING = [name for name, rule in UNITS.items() if rule.prunes]
TOTAL = 20


def median_score(rule):
    """A threshold below which about half of a layer's units score."""
    torch.manual_seed(0)
    units = PlasticUnits(rule, 64, seed=1)
    net = nn.Sequential(nn.Linear(16, 64), units, nn.Linear(64, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer, total_steps=TOTAL)
    for _ in range(3):
        F.cross_entropy(net(torch.randn(32, 16)), torch.randint(4, (32,))).backward()
        optimizer.step()
    gradients = {name: each.grad for name, each in net.named_parameters()}
    [layer] = Wiring(net).layer_units(named_tensors(net), {}, None, gradients).values()
    return float(rule.score(layer.k, layer.s, layer).quantile(0.5, interpolation="lower"))


def knobs_of(rule, schedule):
    """Knobs under which units are pruned several times in a short training."""
    knobs = {
        "schedule": schedule,
        "warmup": 2,
        "prune_period": 2,
        "grace": 2,
        "events": 4,
        "target": 3,
        "settle": 0.25,
    }
    return knobs | {rule.threshold: median_score(rule), "max_deaths": 0.4}


# a rule that recycles prunes for good down to a target only
PRUNING_SO = [
    (name, schedule)
    for name in PRUNING
    for schedule in SCHEDULES
    if schedule == "target" or not UNITS[name].recycles
]


@pytest.fixture(params=PRUNING_SO, ids="-".join)
def rule_and_knobs(request):
    name, schedule = request.param
    return UNITS[name], knobs_of(UNITS[name], schedule)


def one_schedule_of(place, name):
    schedules = [schedule for each, schedule in PRUNING_SO if each == name]
    return name, schedules[place % len(schedules)]


each_rule_once = pytest.mark.parametrize(
    "rule_and_knobs",
    [one_schedule_of(place, name) for place, name in enumerate(PRUNING)],
    indirect=True,
    ids="-".join,
)
"""For claims in which a schedule has no part: each rule has one schedule or the other."""


def trained(net, steps=TOTAL, total=TOTAL, optimizer=None, attached=True, start=0, channels=False):
    """An ordinary PyTorch training; gives the masks after every step."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    if attached:
        attach(net, optimizer, total_steps=total)
    masks = []
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, *((1, 8, 8) if channels else (FEATURES,)), generator=generator)
        y = torch.randint(CLASSES, (16,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        masks.append([units.alive.clone() for units in plastic_units(net).values()])
    return masks


def needs_layers(rule, knobs):
    """Whether a rule with these knobs needs layers around its units."""
    return bool(PlasticUnits(rule, 8, **knobs).unmet(()))


def net_of(rule, *, channels=False, **knobs):
    torch.manual_seed(0)
    units = PlasticUnits(rule, 8, dim=1 if channels else -1, seed=3, **knobs)
    if channels:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.BatchNorm2d(8),
            units,
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 4),
        )
    return nn.Sequential(nn.Linear(FEATURES, 8), units, nn.Linear(8, CLASSES))


# the ways in which networks are trained


@pytest.mark.parametrize(
    ("name", "schedule", "beside"),
    covering(
        PRUNING,
        SCHEDULES,
        [("full", 0.0), ("full", 0.1), ("magnitude", 0.0)],
        exists=lambda name, schedule, beside: (name, schedule) in PRUNING_SO,
    ),
)
def test_a_net_alone_in_a_stack_and_in_a_compact_stack_is_pruned_alike(name, schedule, beside):
    rule, (connections, regrowth) = UNITS[name], beside
    knobs = knobs_of(rule, schedule) | {"regrowth_rate": regrowth}
    training = RuleTraining(name, connections, knobs=knobs)
    cohorts = {how: training.cohort(how) for how in ("alone", "stack", "compact")}
    for _ in range(training.epochs):
        for cohort in cohorts.values():
            cohort.train_epoch()
    states = {
        how: living_only({key: tensor[0].clone() for key, tensor in cohort.state.items()})
        for how, cohort in cohorts.items()
    }
    assert not all(states["stack"][key].all() for key in states["stack"] if key.endswith(".alive"))
    # a unit that may be regrown may have a slot again; a rule with trained parameters has no compact stack
    assert rule.parameters or regrowth or is_compacted(cohorts["compact"])
    for how in ("alone", "compact"):
        torch.testing.assert_close(states[how], states["stack"], rtol=1e-8, atol=1e-8)
    first, second = (cohorts[how].measurements() for how in ("stack", "compact"))
    assert [each.survivors for each in first] == [each.survivors for each in second]


@pytest.mark.parametrize("name", PRUNING)
def test_a_net_grows_alike_alone_in_a_stack_and_in_a_compact_stack(name):
    never = max(-1e9, UNITS[name].knobs[UNITS[name].threshold].low)
    knobs = {"schedule": "threshold", UNITS[name].threshold: never, "initial_neurons": 0.4, "grow": 3}
    if name == "ablation":
        knobs["salient_weights"] = 1.0  # else a unit may score 0, which no threshold keeps
    training = RuleTraining(name, knobs=knobs | {"patience": 1})
    rates = (0.3, 1.0, 3.0)  # with which a loss soon stalls
    cohorts = {how: training.cohort(how, rates) for how in ("alone", "stack", "compact")}
    for cohort in cohorts.values():
        for _ in range(training.epochs):
            cohort.train_epoch()
    masks = {
        how: [own[0] for key, own in cohort.state.items() if key.endswith("alive")]
        for how, cohort in cohorts.items()
    }
    for alone, stacked, compact in zip(*masks.values(), strict=True):
        assert torch.equal(alone, stacked)
        assert torch.equal(alone, compact)
        assert alone[round(0.4 * len(alone)) :].any()


@pytest.mark.parametrize("name", PRUNING)
def test_the_same_packing_gives_the_same_bits(name):
    training = RuleTraining(name, knobs=knobs_of(UNITS[name], "target") | {"regrowth_rate": 0.1})
    first, second = (training.cohort("compact") for _ in range(2))
    for cohort in (first, second):
        for _ in range(training.epochs):
            cohort.train_epoch()
    assert all(torch.equal(tensor, second.state[key]) for key, tensor in first.state.items())


@pytest.mark.parametrize("name", PRUNING)
def test_unattached_units_are_pruned_as_attached_ones_under_rules_that_need_no_layer_around_them(name):
    rule = UNITS[name]
    if rule.parameters:
        pytest.skip("alone it is pruned by its parameters before a step of the optimiser, attached after it")
    knobs = knobs_of(rule, "threshold") | {"rebirth": "old", "regrowth_rate": 0.2, "settle": 0.0}
    alone, attached = net_of(rule, **knobs), net_of(rule, **knobs)
    if needs_layers(rule, knobs):
        with pytest.raises(UsageError, match="needs more than the module alone"):
            trained(alone, 1, attached=False)
        return
    ours, theirs = trained(alone, attached=False), trained(attached, total=0)
    assert all(torch.equal(one, other) for [one], [other] in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", UNITS)
def test_a_rule_stacks_under_vmap_without_a_search(name):
    rule = UNITS[name]
    knobs = knobs_of(rule, "threshold") | {"settle": 0.0} if rule.prunes else {}
    if needs_layers(rule, knobs):
        pytest.skip("needs layers around the units")
    nets = [PlasticUnits(rule, 8, seed=seed, **knobs) for seed in (1, 2)]
    parameters, buffers = torch.func.stack_module_state([copy.deepcopy(net) for net in nets])
    state = {**buffers, **{key: each.detach() for key, each in parameters.items()}}
    x = torch.randn(2, 6, 16, 8)
    for step in range(6):
        torch.func.vmap(lambda own, x: torch.func.functional_call(nets[0], own, (x,)))(state, x[:, step])
    alive = [copy.deepcopy(net) for net in nets]
    for net, own in zip(alive, x, strict=True):
        for rows in own:
            net(rows)
    assert torch.equal(buffers["alive"], torch.stack([net.alive for net in alive]))


# counts


@pytest.mark.parametrize("name", PRUNING)
@pytest.mark.parametrize("target", [1, 3, 8])
def test_a_target_leaves_exactly_as_many_units_along_a_geometric_path(name, target):
    knobs = knobs_of(UNITS[name], "target") | {"target": target, "regrowth_rate": 0.3}
    masks = trained(net_of(UNITS[name], **knobs))
    warmup, events, last = 2, 4, int(TOTAL * 0.75)
    for step, [alive] in enumerate(masks, start=1):
        passed = min(max(step - warmup, 0) * events // (last - warmup), events)
        assert alive.sum() == round(8 * (target / 8) ** (passed / events))


@pytest.mark.parametrize("name", [name for name, schedule in PRUNING_SO if schedule == "threshold"])
def test_a_threshold_respects_the_floor_the_cap_and_the_grace(name):
    rule = UNITS[name]
    knobs = knobs_of(rule, "threshold") | {
        rule.threshold: 1e9,
        "max_deaths": 0.3,
        "min_neurons": 3,
        "settle": 0.0,
    }
    counts = [int(alive.sum()) for [alive] in trained(net_of(rule, **knobs))]
    expected, living = [], 8
    for step in range(1, TOTAL + 1):
        if step % 2 == 0:
            living -= min(max(1, int(0.3 * living)), max(living - 3, 0))
        expected.append(living)
    assert counts == expected


@pytest.mark.parametrize("name", PRUNING)
def test_the_first_hidden_layer_takes_its_share_of_a_target_for_all(name):
    knobs = {"schedule": "target", "target": 10, "target_share": 0.7, "events": 3}
    training = RuleTraining(name, knobs=knobs)
    [first, second, third] = [measured.layers for measured in training.cohort("compact").train()]
    assert first == second == third == (7, 3)


@pytest.mark.parametrize("name", PRUNING)
@pytest.mark.parametrize(
    ("sizes", "target", "share", "left"),
    [
        ((8, 30), 20, 0.9, (8, 12)),  # what the first layer has too few units for goes to the other
        ((8, 8, 8, 8), 4, 0.5, (1, 1, 1, 1)),  # at least one unit in each
        ((8, 8), 6, 1.0, (5, 1)),
        ((8,), 3, 0.6, (3,)),
        ((8, 4, 16), 14, 0.5, (7, 1, 6)),
    ],
)
def test_a_target_for_all_layers_is_met_whatever_their_sizes_are(name, sizes, target, share, left):
    knobs = knobs_of(UNITS[name], "target") | {"target": target, "target_share": share}
    widths = [FEATURES, *sizes]
    layers = [
        layer
        for before, width in pairwise(widths)
        for layer in (nn.Linear(before, width), PlasticUnits(UNITS[name], width, seed=1, **knobs))
    ]
    net = nn.Sequential(*layers, nn.Linear(sizes[-1], CLASSES))
    assert tuple(int(alive.sum()) for alive in trained(net)[-1]) == left


def test_input_units_of_a_net_without_hidden_units_have_their_own_target():
    knobs = knobs_of(UNITS["random"], "target") | {"target": 4}
    units = PlasticUnits(UNITS["random"], FEATURES, True, seed=1, **knobs)
    net = nn.Sequential(units, nn.Linear(FEATURES, CLASSES))
    assert int(trained(net)[-1][0].sum()) == 4


@pytest.mark.parametrize("name", PRUNING)
def test_a_target_is_met_after_a_warm_up_longer_than_the_training(name):
    knobs = knobs_of(UNITS[name], "target") | {"warmup": 1000}
    assert int(trained(net_of(UNITS[name], **knobs))[-1][0].sum()) == 3


@pytest.mark.parametrize("name", PRUNING)
def test_a_target_is_met_however_many_units_are_regrown(name):
    knobs = knobs_of(UNITS[name], "target") | {"regrowth_rate": 1.0, "initial_neurons": 0.5, "grace": 100}
    assert int(trained(net_of(UNITS[name], **knobs))[-1][0].sum()) == 3


# pruned units have no effect


def test_pruned_units_have_no_weights_no_moments_and_no_gradients(rule_and_knobs):
    rule, knobs = rule_and_knobs
    net = net_of(rule, **knobs)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    [dead] = [~alive for alive in trained(net, optimizer=optimizer)[-1]]
    assert 0 < dead.sum() < 8
    for values in (net[0].weight, net[0].bias, net[2].weight.mT):
        assert not values[dead].any()
    F.cross_entropy(net(torch.randn(16, FEATURES)), torch.zeros(16, dtype=torch.long)).backward()
    for weight, values in ((net[0].weight, "T"), (net[0].bias, ""), (net[2].weight, "mT")):
        of_units = weight.grad.mT if values == "mT" else weight.grad
        assert not of_units[dead].any()
        for moment in (optimizer.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg_sq"]):
            assert not (moment.mT if values == "mT" else moment)[dead].any()


@each_rule_once
def test_pruned_channels_are_zero_maps_and_are_not_counted_as_alive(rule_and_knobs):
    rule, knobs = rule_and_knobs
    net = net_of(rule, channels=True, **knobs | {rule.threshold: 1e9})
    [alive] = trained(net, channels=True)[-1]
    assert 0 < alive.sum() < 8
    maps = net[:3](torch.randn(4, 1, 8, 8))
    assert not maps[:, ~alive].any()
    assert (hebbevo.count(net, torch.zeros(1, 1, 8, 8)).neurons_alive.dropna().iloc[0]) == alive.sum()


def test_masks_change_in_a_training(rule_and_knobs):
    rule, knobs = rule_and_knobs
    masks = trained(net_of(rule, **knobs))
    assert len({tuple(alive.tolist()) for [alive] in masks}) >= 3


def test_activations_that_are_not_finite_prune_no_more_units_than_the_schedule_allows(rule_and_knobs):
    rule, knobs = rule_and_knobs
    net = net_of(rule, **knobs)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer, total_steps=TOTAL)
    for step in range(1, TOTAL + 1):
        optimizer.zero_grad()
        net(torch.full((4, FEATURES), float("nan" if step > 3 else 1.0))).sum().backward()
        optimizer.step()
        alive = next(iter(plastic_units(net).values())).alive
        assert alive.sum() >= (3 if knobs["schedule"] == "target" else 2)


# saving, copying and compiling


def test_evaluation_changes_nothing(rule_and_knobs):
    rule, knobs = rule_and_knobs
    net = net_of(rule, **knobs)
    trained(net, 5)
    before = copy.deepcopy(net.state_dict())
    first, second = (net.eval()(torch.ones(4, FEATURES)) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


@each_rule_once
@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle"])
def test_a_copy_continues_as_the_original(rule_and_knobs, how):
    rule, knobs = rule_and_knobs
    net = net_of(rule, **knobs)
    trained(net, 8)
    if how == "state_dict":
        copied = net_of(rule, **knobs)
        copied.load_state_dict(net.state_dict())
    else:
        copied = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    assert not any(units.attached for units in plastic_units(copied).values()) or how == "state_dict"
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.05) for each in (net, copied)]
    ours, theirs = (
        trained(each, 8, optimizer=own, start=8) for each, own in zip((net, copied), optimizers, strict=True)
    )
    assert all(torch.equal(one, other) for [one], [other] in zip(ours, theirs, strict=True))
    assert all(torch.equal(value, copied.state_dict()[name]) for name, value in net.state_dict().items())


@each_rule_once
@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
def test_a_compiled_net_is_pruned_as_the_net_itself(rule_and_knobs):
    rule, knobs = rule_and_knobs
    plain, compiled = net_of(rule, **knobs), net_of(rule, **knobs)
    ours = trained(plain, 10)
    theirs = trained(torch.compile(compiled, backend="aot_eager"), 10)
    assert all(torch.equal(one, other) for [one], [other] in zip(ours, theirs, strict=True))


@each_rule_once
def test_statistics_are_in_single_precision_under_autocast(rule_and_knobs):
    rule, knobs = rule_and_knobs
    net = net_of(rule, **knobs)
    with torch.autocast("cpu", torch.bfloat16):
        trained(net)
    [units] = plastic_units(net).values()
    assert {each.dtype for each in units.buffers() if each.is_floating_point()} == {torch.float32}
    assert 0 < units.alive.sum() < 8


# knobs


@pytest.mark.parametrize("name", UNITS)
def test_every_knob_and_every_buffer_is_a_tensor_of_its_module(name):
    units = PlasticUnits(UNITS[name], 8)
    assert set(UNITS[name].knobs) <= {key for key, _ in units.named_buffers()}
    assert all(each.meaning for each in UNITS[name].knobs.values())


@pytest.mark.parametrize("name", UNITS)
def test_an_unknown_knob_is_one_line(name):
    with pytest.raises(UsageError, match="unknown knob 'stamnia'") as caught:
        PlasticUnits(UNITS[name], 8, stamnia=1)
    assert "\n" not in str(caught.value)
