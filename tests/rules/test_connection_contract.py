"""What every connection rule must do, whatever its science: a rule is tested by being registered."""

import copy
import pickle
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import PlasticConnections, Stamina, attach, masked
from hebbevo.nn.connection_sums import add_means
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.rules.connections.gradual import Gradual
from hebbevo.rules.rule import Buffer, Need
from hebbevo.rules.settling import is_settling
from tests.rules.conftest import RuleTraining, is_compacted
from tests.training.conftest import living_only

FEATURES, CLASSES, TOTAL = 11, 4, 20
SUMS = (Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE)
PRUNING = [name for name, rule in CONNECTIONS.items() if rule.prunes]
BRISK = {
    "warmup": 2, "prune_period": 2, "update_form": "agreement", "permanence_rate": 0.5, "density": 0.3,
    "settle": 0.25, "rewire_period": 2, "share": 0.3,
}  # fmt: skip


@pytest.fixture(params=PRUNING)
def rule(request):
    return CONNECTIONS[request.param]


def knobs_of(rule):
    """Knobs under which connections are pruned several times in a short training."""
    return {name: value for name, value in BRISK.items() if name in rule.knobs}


def net_of(rule, *, kind="linear", **knobs):
    torch.manual_seed(0)
    knobs = knobs_of(rule) | knobs
    if kind == "linear":
        layer = PlasticConnections(rule, nn.Linear(FEATURES, 8), ["weight"], seed=1, **knobs)
        return nn.Sequential(layer, nn.ReLU(), nn.Linear(8, CLASSES))
    groups = 2 if kind == "grouped" else 1
    layer = PlasticConnections(rule, nn.Conv2d(2, 8, 3, groups=groups), ["weight"], seed=1, **knobs)
    return nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, CLASSES))


def mask_of(net):
    [mask] = net[0].masks().values()
    return mask


def trained(net, steps=TOTAL, optimizer=None, attached=True, start=0, inputs=(FEATURES,)):
    """An ordinary PyTorch training; gives the mask after every step."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    if attached:
        attach(net, optimizer, total_steps=TOTAL)
    masks = []
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, *inputs, generator=generator)
        y = torch.randint(CLASSES, (16,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        masks.append(mask_of(getattr(net, "_orig_mod", net)).clone())
    return masks


@pytest.mark.parametrize("units", ["dense", "stamina", "random"])
@pytest.mark.parametrize("name", PRUNING)
def test_a_net_alone_in_a_stack_and_in_a_compact_stack_is_pruned_alike(name, units):
    knobs = {"schedule": "target", "target": 5} if UNITS[units].prunes else {}
    training = RuleTraining(units, name, knobs=knobs)
    cohorts = {how: training.cohort(how) for how in ("alone", "stack", "compact")}
    for _ in range(training.epochs):
        for cohort in cohorts.values():
            cohort.train_epoch()
    states = {
        how: living_only({key: tensor[0].clone() for key, tensor in cohort.state.items()})
        for how, cohort in cohorts.items()
    }
    masks = [value for key, value in states["stack"].items() if key.endswith("connected")]
    assert len(masks) == 3
    assert not all(mask.all() for mask in masks)
    assert is_compacted(cohorts["compact"]) or not UNITS[units].prunes or CONNECTIONS[name].grows
    for how in ("alone", "compact"):
        torch.testing.assert_close(states[how], states["stack"], rtol=1e-8, atol=1e-8)
    first, second = (cohorts[how].measurements() for how in ("stack", "compact"))
    assert [each.survivors for each in first] == [each.survivors for each in second]


class Unrelated(Gradual):
    """Connections between ends whose activities are unrelated leave."""

    name = "unrelated"
    needs: ClassVar = {
        need: () for need in (Need.LENGTH, Need.COACTIVATION, Need.INPUT_SQUARE, Need.OUTPUT_MEAN)
    }
    sums: ClassVar = {
        "together": Need.COACTIVATION,
        "inputs": Need.INPUT_SQUARE,
        "outputs": Need.OUTPUT_MEAN,
    }
    buffers: ClassVar = dict.fromkeys(sums, Buffer())

    def observes(self, k, step, total):
        return super().observes(k, step, total) & ~is_settling(k, step, total)

    def drop(self, k, s, layer):
        score = s.together.abs() / (s.inputs + s.outputs.abs() + 0.1)
        return score * (layer.weight != 0)  # those of pruned units leave first


def test_sums_move_with_their_connections_where_units_lose_their_slots(monkeypatch):
    monkeypatch.setitem(CONNECTIONS, "unrelated", Unrelated())
    test_a_net_alone_in_a_stack_and_in_a_compact_stack_is_pruned_alike("unrelated", "stamina")


def test_a_convolution_alone_is_pruned_as_in_a_stack(rule):
    training = RuleTraining("dense", rule.name, family="conv")
    alone, stack = training.cohort("alone"), training.cohort("stack")
    for _ in range(training.epochs):
        alone.train_epoch()
        stack.train_epoch()
    for key, value in alone.state.items():
        torch.testing.assert_close(value[0], stack.state[key][0], rtol=1e-8, atol=1e-8, msg=key)


def test_a_rule_that_needs_no_attachment_prunes_unattached_as_attached(rule):
    knobs = knobs_of(rule) | ({"settle": 0.0} if "settle" in rule.knobs else {})
    alone, attached = net_of(rule, **knobs), net_of(rule, **knobs)
    if any(rule.needs.get(need) == () for need in (Need.LENGTH, Need.OPTIMIZER)):
        with pytest.raises(UsageError, match="needs more than the module alone"):
            trained(alone, 1, attached=False)
        return
    ours, theirs = trained(alone, attached=False), trained(attached)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", ["linear", "convolution", "grouped"])
def test_pruned_connections_are_exactly_zero_and_have_no_gradient(rule, kind):
    net = net_of(rule, kind=kind)
    inputs = (FEATURES,) if kind == "linear" else (2, 7, 7)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    out = ~trained(net, optimizer=optimizer, inputs=inputs)[-1]
    assert 0 < out.sum() < out.numel()
    assert not net[0].weights()["weight"][out].any()
    optimizer.zero_grad()
    net(torch.randn(16, *inputs)).square().sum().backward()
    weight = net[0].module.weight
    assert not weight.grad[out].any()
    if not rule.keeps_weights:
        assert not weight[out].any()
        assert not optimizer.state[weight]["exp_avg"][out].any()
        assert not optimizer.state[weight]["exp_avg_sq"][out].any()


def test_pruned_connections_have_no_effect_on_the_outputs(rule):
    net = net_of(rule)
    out = ~trained(net)[-1]
    x = torch.randn(5, FEATURES)
    with torch.no_grad():
        before = net.eval()(x)
        plain = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), net[2])
        plain[0].weight.copy_(net[0].module.weight.masked_fill(out, 0))
        plain[0].bias.copy_(net[0].module.bias)
        if rule.keeps_weights:
            plain[0].weight.copy_(net[0].weights()["weight"])
    assert torch.equal(before, plain(x))


def test_masks_change_in_a_training(rule):
    masks = {tuple(mask.flatten().tolist()) for mask in trained(net_of(rule))}
    assert len(masks) == 1 if rule.name == "static" else len(masks) >= 3


def test_activations_that_are_not_finite_leave_as_many_connections_as_the_rule_says(rule):
    net = net_of(rule)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer, total_steps=TOTAL)
    for step in range(1, TOTAL + 1):
        optimizer.zero_grad()
        net(torch.full((4, FEATURES), float("nan") if step > 3 else 1.0)).sum().backward()
        optimizer.step()
    assert mask_of(net).dtype is torch.bool
    fan_in = 0.3 * FEATURES
    least = 8 * (round(fan_in) if rule.name == "constant_fan_in" else fan_in)
    assert mask_of(net).sum() >= round(least)


def test_evaluation_changes_nothing(rule):
    net = net_of(rule)
    trained(net, 6)
    before = copy.deepcopy(net.state_dict())
    first, second = (net.eval()(torch.ones(4, FEATURES)) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle"])
def test_a_copy_continues_as_the_original(rule, how):
    net = net_of(rule)
    trained(net, 8)
    if how == "state_dict":
        copied = net_of(rule)
        copied.load_state_dict(net.state_dict())
    else:
        copied = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.05) for each in (net, copied)]
    ours, theirs = (
        trained(each, 8, optimizer=own, start=8) for each, own in zip((net, copied), optimizers, strict=True)
    )
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(torch.equal(value, copied.state_dict()[name]) for name, value in net.state_dict().items())


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
def test_a_compiled_net_is_pruned_as_the_net_itself(rule):
    plain, compiled = net_of(rule), net_of(rule)
    ours, theirs = trained(plain, 10), trained(torch.compile(compiled, backend="aot_eager"), 10)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_state_is_in_single_precision_under_autocast(rule):
    net = net_of(rule)
    with torch.autocast("cpu", torch.bfloat16):
        masks = trained(net)
    assert {each.dtype for each in net.buffers() if each.is_floating_point()} == {torch.float32}
    assert not masks[-1].all()


def test_survivors_are_counted_through_the_mask(rule):
    net = net_of(rule)
    mask = trained(net)[-1]
    table = hebbevo.count(net)
    reach = mask.any(1)  # every unit is read by a dense layer
    assert table.loc["0"].connections_alive == mask.sum()
    assert table.loc["0"].neurons_alive == reach.sum()


def test_the_connections_of_pruned_units_have_weights_of_zero(rule):
    torch.manual_seed(0)
    first = PlasticConnections(rule, nn.Linear(FEATURES, 8), ["weight"], seed=1, **knobs_of(rule))
    units = Stamina(8, seed=2, schedule="target", target=3, events=3, warmup=2, settle=0.25)
    second = PlasticConnections(rule, nn.Linear(8, CLASSES), ["weight"], seed=1, **knobs_of(rule))
    net = nn.Sequential(first, units, second)
    trained(net)
    dead = ~units.alive
    assert dead.sum() == 5
    assert not first.weights()["weight"][dead].any()
    assert not second.weights()["weight"][:, dead].any()


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_rule_wraps_a_layer_by_its_name(name):
    layer = nn.Linear(3, 2)
    wrapped = masked(name, layer, seed=1)
    assert (wrapped is layer) is not CONNECTIONS[name].prunes
    assert set(CONNECTIONS[name].knobs) <= {key for key, _ in wrapped.named_buffers()}


def test_an_unknown_knob_is_one_line(rule):
    with pytest.raises(UsageError, match="unknown knob 'densty'") as caught:
        PlasticConnections(rule, nn.Linear(3, 2), ["weight"], densty=1)
    assert "\n" not in str(caught.value)


def test_steps_that_a_rule_does_not_observe_change_none_of_its_state(rule):
    """The engine skips them, and all sums of theirs."""
    net = net_of(rule, update_interval=3) if "update_interval" in rule.knobs else net_of(rule)
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1), total_steps=TOTAL)
    module = net[0]
    [connections] = [each for _, _, each in Wiring(net).layer_connections(named_tensors(net))]
    sums = {need.name.lower(): torch.randn_like(connections.weight) for need in SUMS}
    skipped = 0
    for step in range(1, TOTAL + 1):
        module.steps.fill_(step)
        before = {name: value.clone() for name, value in connections.tensors.items()}
        with torch.no_grad():
            observed = replace(connections, sums=sums)
            add_means(observed)
            rule.observe(connections.k, connections.s, observed)
        if not rule.observes(connections.k, connections.step, connections.total).any():
            skipped += 1
            for name, value in before.items():
                assert torch.equal(connections.tensors[name], value), (step, name)
    assert skipped or rule.name not in ("hebb_mask", "cosine", "coactivation")
