"""Units as a drop-in ReLU: statistics, channels, copies, knobs and refusals."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import Dense, InputStamina, PlasticUnits, Stamina, attach, plastic_units, unit_layer
from hebbevo.rules import UNITS
from hebbevo.rules.rule import Need
from hebbevo.training.stack import VmapStack
from tests.nn.conftest import EAGER, FOLDED, FRESH, LIVELY, NEVER, pruned

# Stamina as the ReLU


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_stamina_is_the_relu_while_all_are_alive(shape, training):
    x = torch.randn(shape, requires_grad=True)
    grad = torch.randn(shape)
    ours, relu = Stamina(6).train(training)(x), F.relu(x)
    assert torch.equal(ours, relu)
    assert torch.equal(torch.autograd.grad(ours, x, grad)[0], torch.autograd.grad(relu, x, grad)[0])


def test_a_pruned_unit_has_an_output_of_zero_and_no_gradient():
    units = Stamina(4)
    units.alive[2] = False
    x = (torch.rand(5, 4) + 1).requires_grad_()
    y = units(x)
    y.sum().backward()
    assert torch.equal(y, x * torch.tensor([1, 1, 0, 1]))
    assert torch.equal(x.grad, torch.tensor([1.0, 1, 0, 1]).expand(5, 4))


def test_units_that_are_pruned_in_a_forward_pass_still_take_part_in_its_backward_pass():
    units = Stamina(3, **(EAGER | dict(hebbian_threshold=1e9)))
    x = torch.ones(2, 3, requires_grad=True)
    units(x).sum().backward()
    assert pruned(units) == [0, 1, 2]
    assert torch.equal(x.grad, torch.ones(2, 3))


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
def test_statistics_are_gathered_in_training_mode_only(kind):
    units = kind(5, **(EAGER | dict(regrowth_rate=0.5)))
    before = copy.deepcopy(units.state_dict())

    units.eval()(torch.randn(8, 5))
    assert all(torch.equal(before[name], value) for name, value in units.state_dict().items())

    units.train()(torch.randn(8, 5))
    changed = {name for name, value in units.state_dict().items() if not torch.equal(before[name], value)}
    assert {"steps", "gain", "reference", "age", "mean_output"} <= changed


def test_every_position_of_a_sequence_counts_as_a_sample():
    x = torch.randn(4, 5, 6)
    one, other = Stamina(6), Stamina(6)
    one(x)
    other(x.reshape(20, 6))
    assert torch.equal(one.stamina, other.stamina)


def test_statistics_are_exact_under_autocast():
    x = torch.randn(33, 601).bfloat16()
    rough, exact = (Stamina(601, unactivation_penalty=100.0, hebbian_threshold=NEVER) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough(x)
    exact(x.float())
    assert torch.equal(rough.stamina, exact.stamina)


def test_without_a_seed_pytorchs_generator_decides():
    torch.manual_seed(3)
    first, second = Stamina(4).seed, Stamina(4).seed
    torch.manual_seed(3)
    assert Stamina(4).seed == first != second


def test_stacked_units_are_pruned_and_regrown_as_each_layer_by_itself():
    layers = [Stamina(12, seed=seed, **LIVELY) for seed in (1, 2, 3)]
    _, buffers = stack_module_state(layers)
    patterns = set()
    for x in torch.randn(30, 16, 12):
        stacked = vmap(lambda state, x=x: functional_call(layers[0], state, (x,)))(buffers)
        assert torch.equal(stacked, torch.stack([units(x) for units in layers]))
        assert torch.equal(buffers["alive"], torch.stack([units.alive for units in layers]))
        patterns |= {tuple(row) for row in buffers["alive"].tolist()}
    assert len(patterns) > 60


# channels


def in_rows(x):
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def in_maps(rows, x):
    return rows.reshape(*x.movedim(1, -1).shape).movedim(-1, 1)


CHANNELS = [
    LIVELY,
    LIVELY | dict(activity="frequency", penalty_form="ratio"),
    LIVELY | dict(large_neuron_penalty=0.5, entropy_bonus=0.25),
]
IDS = ["activation", "frequency", "penalised"]


@pytest.mark.parametrize("knobs", CHANNELS, ids=IDS)
@pytest.mark.parametrize("kind", [Stamina, InputStamina])
@pytest.mark.parametrize("shape", [(4, 12, 3, 5), (4, 12, 7), (4, 12)])
def test_channels_are_neurons_and_positions_are_samples(shape, kind, knobs):
    if kind is InputStamina and "entropy_bonus" in knobs:
        knobs = knobs | dict(entropy_bonus=0.0)  # a share that is negative has no entropy
    maps, rows = (kind(12, dim=dim, seed=1, **EAGER | knobs) for dim in (1, -1))
    patterns = set()
    for x in torch.randn(20, *shape):
        x.masked_fill_(x.abs() < 0.8, 0).requires_grad_()  # some samples are silent
        y, expected = maps(x), in_maps(rows(in_rows(x)), x)
        assert torch.equal(y, expected)
        grad = torch.randn(shape)
        torch.testing.assert_close(
            torch.autograd.grad(y, x, grad), torch.autograd.grad(expected, x, grad), rtol=1e-6, atol=1e-7
        )
        for name, value in maps.state_dict().items():
            assert torch.equal(value, rows.state_dict()[name]), name
        patterns.add(tuple(maps.alive.tolist()))
    assert len(patterns) > 5


def test_the_axis_may_be_counted_from_the_end():
    x = torch.randn(4, 6, 3, 5)
    one, other = Stamina(6, dim=1), Stamina(6, dim=-3)
    one.alive[2] = other.alive[2] = False
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.stamina, other.stamina)
    assert not one(x)[:, 2].any()
    assert one(x)[:, 3].any()


def test_statistics_of_channels_are_exact_under_autocast():
    x = torch.randn(5, 301, 3, 4).bfloat16()
    rough, exact = (Stamina(301, dim=1, large_neuron_penalty=0.5, hebbian_threshold=NEVER) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = rough(x.requires_grad_())
    y.float().sum().backward()
    exact(x.detach().float())
    assert y.dtype == torch.bfloat16
    assert x.grad.isfinite().all()
    assert torch.equal(rough.stamina, exact.stamina)


@pytest.mark.parametrize("rule", [name for name, rule in UNITS.items() if rule.prunes])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_net_of_another_precision_has_statistics_of_that_precision(dtype, rule):
    units = unit_layer(
        rule, 8, seed=1, schedule="threshold", warmup=0, prune_period=1, handover=True, regrowth_rate=0.3
    )
    units.configure(**{units.rule.threshold: 0.7})
    net = nn.Sequential(nn.Linear(4, 8), units, nn.Linear(8, 3)).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    attach(net, optimizer)
    living = set()
    for _ in range(12):
        y = net(torch.randn(16, 4, dtype=dtype))
        y.sum().backward()
        optimizer.step()
        living.add(int(units.alive.sum()))
    assert y.dtype == units.mean_output.dtype == dtype
    assert y.isfinite().all()
    assert len(living) > 1 or units.rule.recycles


def channel_net(seed, **knobs):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 12, 3),
        nn.BatchNorm2d(12),
        Stamina(12, dim=1, seed=seed, **EAGER | knobs),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 3),
    )


@pytest.mark.parametrize("knobs", CHANNELS, ids=IDS)
def test_stacked_channels_are_pruned_and_regrown_as_in_each_net_by_itself(knobs):
    nets = [channel_net(seed, **knobs) for seed in (1, 2, 3)]
    stack = VmapStack(nets, torch.device("cpu"))
    patterns = set()
    for x in torch.randn(20, 8, 2, 6, 6):
        stacked = stack.call(lambda net, x=x: net(x), training=True)
        torch.testing.assert_close(stacked, torch.stack([net(x) for net in nets]), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(stack.state["2.gain"], torch.stack([net[2].gain for net in nets]))
        alive = torch.stack([net[2].alive for net in nets])
        assert torch.equal(stack.state["2.alive"], alive)
        patterns |= {tuple(row) for row in alive.tolist()}
    assert len(patterns) > 20

    targets = torch.arange(8) % 3
    losses = stack.call(lambda net: F.cross_entropy(net(x), targets), training=True)
    stacked = torch.autograd.grad(losses.sum(), list(stack.trained.values()))
    losses = [F.cross_entropy(net(x), targets) for net in nets]
    alone = (
        torch.autograd.grad(loss, list(net.parameters())) for loss, net in zip(losses, nets, strict=True)
    )
    solo = zip(*alone, strict=True)
    for ours, theirs in zip(stacked, solo, strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-4, atol=1e-5)


# saving and copying


def saved_and_loaded(units):
    fresh = Stamina(units.num_neurons, seed=999, **LIVELY)
    fresh.load_state_dict(units.state_dict())
    return fresh


@pytest.mark.parametrize(
    "copied",
    [saved_and_loaded, copy.deepcopy, lambda units: pickle.loads(pickle.dumps(units))],
    ids=["state_dict", "deepcopy", "pickle"],
)
def test_a_copy_made_during_training_continues_in_the_same_way(copied):
    units = Stamina(12, seed=8, **LIVELY)
    batches = torch.randn(30, 16, 12)
    for x in batches[:15]:
        units(x)
    assert 0 < int(units.alive.sum()) < 12
    other = copied(units)
    alive = []
    for x in batches[15:]:
        assert torch.equal(units(x), other(x))
        alive.append(tuple(units.alive.tolist()))
    assert len(set(alive)) > 3
    for name, value in units.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


# input units


def test_input_stamina_is_the_identity_and_masks_pruned_units():
    units = InputStamina(4)
    units.alive[1] = False
    x = torch.randn(6, 4)
    assert torch.equal(units(x), x * torch.tensor([1, 0, 1, 1]))
    assert torch.equal(units.eval()(x), x * torch.tensor([1, 0, 1, 1]))


# knobs and refusals


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
def test_every_knob_is_a_tensor_buffer_with_its_default(kind):
    buffers = dict(kind(6).named_buffers())
    for name, knob in UNITS["stamina"].knobs.items():
        default = knob.choices.index(knob.default) if knob.kind is str else knob.default
        assert torch.equal(buffers[name], torch.full_like(buffers[name], default)), name


def test_unattached_units_accept_knobs_that_need_no_layer_around_them():
    units = Stamina(16, regrowth_rate=0.5)
    assert units(torch.randn(4, 16)).shape == (4, 16)
    assert units.regrowth_rate == 0.5


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        (dict(activity="contribution"), "activity=contribution"),
        (dict(handover=True), "handover"),
        (dict(rebirth="fresh"), "rebirth=fresh"),
        (dict(settle=0.2), "settle"),
        (dict(growth_rate=0.1), "growth_rate"),
        (dict(handover=True, settle=0.2), "handover, settle"),
    ],
)
def test_knobs_that_need_more_are_refused_in_unattached_training(knobs, named, complaint):
    units = Stamina(4, **knobs)
    assert complaint(units, torch.randn(2, 4)) == (
        f"Stamina: {named} needs more than the module alone; "
        "call hebbevo.nn.attach(model, optimizer, total_steps=N)"
    )
    assert units.eval()(torch.ones(2, 4)).sum() == 8


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        (dict(warmups=3), "Stamina: unknown knob 'warmups'; did you mean warmup?"),
        (dict(warmup=-1), "Stamina: warmup: -1 is outside its range; write a whole number of 0 or more"),
        (dict(warmup=1.5), "Stamina: warmup: 1.5 is not a whole number; write a whole number of 0 or more"),
        (dict(settle=0.99), "Stamina: settle: 0.99 is outside its range; write a number from 0 to 0.95"),
        (dict(regrowth_rate="x"), "Stamina: regrowth_rate: 'x' is not a number; write a number from 0 to 1"),
        (dict(handover=1), "Stamina: handover: 1 is not one of false, true; write one of them"),
        (
            dict(activity="Activation"),
            "Stamina: activity: 'Activation' is not one of activation, frequency, contribution; "
            "write one of them",
        ),
        (
            dict(hebbian_threshold=math.nan),
            "Stamina: hebbian_threshold: nan is outside its range; write a number",
        ),
        (
            dict(firing_prior=1.5),
            "Stamina: firing_prior: 1.5 is outside its range; write a number from 0 to 1",
        ),
        (
            dict(firing_prior=[0.5, 0.5, -0.1]),
            "Stamina: firing_prior: -0.1 is outside its range; write a number from 0 to 1",
        ),
        (
            dict(firing_prior=torch.tensor([0.5, 0.5])),
            "Stamina: firing_prior: 2 numbers; give one or 3 of them",
        ),
        (
            dict(firing_prior="high"),
            "Stamina: firing_prior: 'high' is not a number; write a number from 0 to 1",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unknown_knobs_and_values_out_of_range_are_refused_in_one_line(knobs, line, complaint):
    assert complaint(Stamina, 3, **knobs) == line


def test_an_unknown_knob_that_resembles_none_lists_them_all(complaint):
    line = complaint(Stamina, 3, xyz=1)
    assert line == f"Stamina: unknown knob 'xyz'; known: {', '.join(UNITS['stamina'].knobs)}"


def test_the_firing_prior_may_be_one_number_a_sequence_or_a_tensor():
    given = torch.tensor([0.25, 0.5, 0.75])
    assert torch.equal(Stamina(3, firing_prior=0.25).firing_prior, torch.full((3,), 0.25))
    assert torch.equal(Stamina(3, firing_prior=(0.25, 0.5, 0.75)).firing_prior, given)
    units = Stamina(3, firing_prior=given)
    units.firing_prior.zero_()
    assert given.tolist() == [0.25, 0.5, 0.75]


# setting knobs later

KNOBS = dict(
    unactivation_penalty=2.0,
    penalty_form="ratio",
    activity="contribution",
    firing_prior=[0.1, 0.2, 0.3, 0.4],
    warmup=3,
    rebirth="fresh",
    handover=True,
    settle=0.25,
    initial_neurons=0.5,
    growth_rate=0.5,
    entropy_bonus=0.125,
)


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
@pytest.mark.parametrize("dim", [-1, 1])
def test_to_configure_is_to_construct_with_these_knobs(kind, dim, complaint):
    whole, later = kind(4, dim=dim, seed=1, **KNOBS), kind(4, dim=dim, seed=1)
    for name, value in KNOBS.items():
        later.configure(**{name: value})
    assert vars(whole).keys() == vars(later).keys()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, later.state_dict()[name]), name
    assert (later.penalised, later.alive.tolist()) == (True, [True, True, False, False])
    assert complaint(later, torch.ones(2, 4)) == complaint(whole, torch.ones(2, 4))


def test_configure_sets_only_what_is_named():
    units = Stamina(4, seed=1, warmup=7, initial_neurons=0.5, firing_prior=0.25)
    units.alive[0] = False
    before = copy.deepcopy(units.state_dict())
    units.configure(grace=5, hebbian_threshold=0.5)
    changed = {name for name, value in units.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"grace", "hebbian_threshold"}
    assert (units.grace, units.hebbian_threshold) == (5, 0.5)


@pytest.mark.parametrize(
    "mistake", [dict(warmups=3), dict(max_deaths=2.0), dict(firing_prior=[0.5] * 3), dict(rebirth="new")]
)
def test_configure_with_a_mistake_sets_nothing(mistake, complaint):
    units = Stamina(4, seed=1)
    before = copy.deepcopy(units.state_dict())
    complaint(
        units.configure,
        warmup=7,
        initial_neurons=0.5,
        entropy_bonus=0.5,
        settle=0.5,
        **mistake,
    )
    assert all(torch.equal(before[name], value) for name, value in units.state_dict().items())
    assert not units.penalised
    units(torch.ones(2, 4))  # no knob needs an attachment


@pytest.mark.parametrize(
    ("fraction", "alive"), [(0.0, 1), (0.1, 1), (0.26, 2), (0.5, 4), (0.8, 6), (1.0, 8), (1, 8)]
)
def test_a_fraction_of_the_neurons_is_alive_at_the_start(fraction, alive):
    units = Stamina(8, initial_neurons=0.5)
    units.configure(initial_neurons=fraction)
    assert units.alive.tolist() == [True] * alive + [False] * (8 - alive)


@pytest.mark.parametrize(
    "prior", [0.25, 1, (0.25, 0.5, 0.75), [0.0, 0.5, 1.0], torch.tensor([0.25, 0.5, 0.75])]
)
def test_the_firing_prior_may_be_configured_as_constructed(prior):
    units = Stamina(3, firing_prior=[0.5, 0.4, 0.3])
    buffer = units.firing_prior
    units.configure(firing_prior=prior)
    assert units.firing_prior is buffer
    assert torch.equal(buffer, torch.as_tensor(prior, dtype=torch.float32).expand(3))


def test_needs_and_penalties_follow_the_knobs(complaint):
    units = Stamina(4, handover=True, entropy_bonus=0.5)
    units.configure(settle=0.5)
    assert "handover, settle needs" in complaint(units, torch.ones(2, 4))
    units.configure(handover=False)
    assert "Stamina: settle needs" in complaint(units, torch.ones(2, 4))
    units.configure(settle=0.0)
    units(torch.ones(2, 4))
    assert units.penalised
    units.configure(entropy_bonus=0.0)
    assert not units.penalised
    units.configure(large_neuron_penalty=0.5)
    assert units.penalised


def test_a_copy_is_configured_independently(complaint):
    units = Stamina(4, handover=True)
    other = copy.deepcopy(units)
    other.configure(handover=False, entropy_bonus=0.5)
    other(torch.ones(2, 4))
    assert (units.penalised, other.penalised) == (False, True)
    assert "handover needs" in complaint(units, torch.ones(2, 4))


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
def test_units_are_made_and_configured_without_memory(kind, complaint):
    with torch.device("meta"):
        units, plain = kind(4, dim=1, **KNOBS), kind(4)
        plain.configure(initial_neurons=0.5, large_neuron_penalty=0.5)
    real = kind(4, dim=1, **KNOBS)
    assert all(buffer.is_meta for buffer in units.buffers())
    shapes = {name: (value.shape, value.dtype) for name, value in units.state_dict().items()}
    assert shapes == {name: (value.shape, value.dtype) for name, value in real.state_dict().items()}
    assert units.penalised
    assert plain.penalised
    x = torch.ones(2, 4)
    assert complaint(units, x.to("meta")) == complaint(real, x)
    assert plain(x.to("meta")).is_meta

    units.to_empty(device="cpu").load_state_dict(real.state_dict())
    assert torch.equal(units.eval()(x), real.eval()(x))


AROUND = {Need.OUTGOING, Need.FOLDABLE, Need.EXCLUSIVE}


@pytest.mark.parametrize(
    ("met", "problem"),
    [
        (AROUND, ""),
        (AROUND - {Need.FOLDABLE}, FOLDED),
        (
            {Need.FOLDABLE},
            f"{FRESH}, activity=contribution needs a layer that reads the units, and none is found",
        ),
    ],
    ids=["all", "no bias", "none"],
)
def test_units_describe_the_needs_that_the_layers_around_them_do_not_meet(met, problem):
    assert Stamina(4, **KNOBS).unmet(met) == problem
    assert Stamina(4).unmet(set()) == ""


def test_every_need_has_the_knobs_that_ask_for_it_as_its_reason():
    units = Stamina(4, handover=True, activity="contribution", settle=0.5)
    reasons = {need: units.reason_for(need) for need in Need if units.reason_for(need)}
    assert reasons == {
        Need.FOLDABLE: "handover",
        Need.OUTGOING: "activity=contribution",
        Need.LENGTH: "settle",
    }
    assert not any(Stamina(4).reason_for(need) for need in Need)
    target = Stamina(4, schedule="target")
    reasons = {need: target.reason_for(need) for need in Need if target.reason_for(need)}
    assert reasons == {Need.LENGTH: "schedule=target"}


def test_a_refusal_names_the_kind_of_units(complaint):
    assert (
        complaint(InputStamina, 3, warmups=1) == "InputStamina: unknown knob 'warmups'; did you mean warmup?"
    )
    assert complaint(InputStamina(3, settle=0.5), torch.ones(2, 3)).startswith("InputStamina: settle needs")


def test_another_number_of_neurons_is_refused():
    for x in (torch.randn(3, 1), torch.randn(3, 7)):
        with pytest.raises(UsageError, match="it was made for 8"):
            Stamina(8)(x)


def test_a_batch_without_rows_changes_nothing():
    units = Stamina(4)
    before = {name: value.clone() for name, value in units.state_dict().items()}
    assert units(torch.empty(0, 4)).shape == (0, 4)
    assert all(torch.equal(value, before[name]) for name, value in units.state_dict().items())


def test_gradient_checkpointing_is_refused():
    from torch.utils.checkpoint import checkpoint

    y = checkpoint(Stamina(4), torch.randn(3, 4, requires_grad=True), use_reentrant=False)
    with pytest.raises(UsageError, match="leave it out of gradient checkpointing"):
        y.sum().backward()


# units by the name of a rule


@pytest.mark.parametrize("inputs", [False, True])
@pytest.mark.parametrize("rule", UNITS)
def test_units_of_every_rule_are_made_by_its_name(rule, inputs):
    units = unit_layer(rule, 6, dim=1, inputs=inputs, seed=3)
    x = torch.randn(2, 6, 4)
    gate = 0.5 if rule == "l0" else 1.0  # gates that are trained begin half open
    assert torch.equal(units.eval()(x), gate * (x if inputs else x.relu()))
    if inputs and not UNITS[rule].prunes:
        assert type(units) is nn.Identity
    else:
        assert isinstance(units, PlasticUnits)
        assert (units.rule, units.num_neurons, units.dim, units.inputs, int(units.seed)) == (
            UNITS[rule],
            6,
            1,
            inputs,
            3,
        )


def test_stamina_and_dense_by_name_are_the_classes_of_these_names():
    assert type(unit_layer("stamina", 3)) is Stamina
    assert type(unit_layer("stamina", 3, inputs=True)) is InputStamina
    assert type(unit_layer("dense", 3)) is Dense


def test_plastic_units_are_found_at_any_depth_in_order_of_definition():
    inner = nn.Sequential(nn.Linear(2, 3), Dense(3))
    net = nn.ModuleDict({"first": InputStamina(2), "inner": inner, "last": Stamina(4)})
    assert plastic_units(net) == {"first": net["first"], "inner.1": inner[1], "last": net["last"]}


def test_the_repr_names_size_and_rule():
    assert repr(InputStamina(3)) == "InputStamina(3, rule=stamina, dim=-1, inputs=True)"
    assert repr(unit_layer("random", 5, dim=1)) == "PlasticUnits(5, rule=random, dim=1)"
