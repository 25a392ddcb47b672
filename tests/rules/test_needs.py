"""The engine gives rules what they need: rules that record it, compared with literal sums."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import PlasticConnections, PlasticUnits, attach
from hebbevo.nn.layer_context import LayerContext
from hebbevo.rules import UNITS
from hebbevo.rules.connections.rule import ByCount, ConnectionRule
from hebbevo.rules.rule import Buffer, Need
from hebbevo.rules.settling import SETTLE
from hebbevo.rules.units.rule import UnitRule, unit_knobs
from hebbevo.space.knobs import Knob, table
from hebbevo.training import Rows
from tests.rules.conftest import RuleTraining, train_together

MEMORY = 0.9
STEPS = 6


class Recording(UnitRule):
    """Records the statistics and norms of every event."""

    name = "recording"
    needs = {  # noqa: RUF012
        need: ()
        for need in (
            Need.MEAN,
            Need.MEAN_SIZE,
            Need.VARIANCE,
            Need.FIRING_RATE,
            Need.CORRELATION,
            Need.OUTGOING,
            Need.INCOMING,
        )
    }
    knobs = unit_knobs(scheduled="threshold", needs=needs)
    seen: list[dict[str, torch.Tensor]] = []  # noqa: RUF012

    def score(self, k, s, layer):
        names = (
            "mean", "mean_size", "variance", "firing_rate", "covariance", "correlation", "outgoing",
            "incoming",
        )  # fmt: skip
        self.seen.append({name: getattr(layer, name).clone() for name in names})
        return layer.mean + 1


@pytest.fixture(autouse=True)
def no_records():
    Recording.seen.clear()


def net_of(**knobs):
    torch.manual_seed(0)
    units = PlasticUnits(
        Recording(), 5, seed=1, memory=MEMORY, warmup=0, prune_period=1, max_deaths=0.0, **knobs
    )
    return nn.Sequential(nn.Linear(4, 5), units, nn.Linear(5, 3)).double()


def batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(7, 4, generator=generator, dtype=torch.float64) for _ in range(STEPS)]


def literal(outputs):
    """The statistics of some minibatches, each with its decayed weight."""
    weights = torch.tensor([MEMORY**age for age in reversed(range(len(outputs)))], dtype=torch.float64)
    weights /= weights.sum()

    def mean(of):
        return sum(weight * of(y) for weight, y in zip(weights, outputs, strict=True))

    covariance = mean(lambda y: (y - y.mean(0)).T @ (y - y.mean(0)) / len(y))
    spread = covariance.diagonal().clamp(min=1e-12).sqrt()
    return {
        "mean": mean(lambda y: y.mean(0)),
        "mean_size": mean(lambda y: y.abs().mean(0)),
        "variance": covariance.diagonal(),
        "firing_rate": mean(lambda y: (y > 0).double().mean(0)),
        "covariance": covariance,
        "correlation": covariance / (spread[:, None] * spread),
    }


def test_running_statistics_are_decayed_means_and_norms_are_those_of_the_layers_around_the_units():
    net = net_of()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    outputs = []
    for x in batches():
        outputs.append(net[0](x).relu().detach())
        net(x).sum().backward()
        optimizer.step()
        expected = literal(outputs) | {
            "outgoing": net[2].weight.norm(dim=0).detach(),
            "incoming": net[0].weight.norm(dim=1).detach(),
        }
        for name, value in expected.items():
            torch.testing.assert_close(Recording.seen[-1][name], value, rtol=1e-6, atol=1e-6, msg=name)


def test_statistics_of_a_regrown_unit_start_again():
    net = net_of(regrowth_rate=1.0, initial_neurons=0.6)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer)
    outputs = []
    for step, x in enumerate(batches()):
        outputs.append(net[0](x).relu().detach())
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()
        if step == 0:
            assert net[1].alive.all()
    returned, always = literal(outputs[1:]), literal(outputs)
    found = Recording.seen[-1]
    for name in ("mean", "mean_size", "variance", "firing_rate"):
        torch.testing.assert_close(found[name][3:], returned[name][3:], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[name][:3], always[name][:3], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found["mean"][:3], returned["mean"][:3], rtol=1e-4)
    torch.testing.assert_close(found["covariance"][3:, 3:], returned["covariance"][3:, 3:])
    torch.testing.assert_close(found["covariance"][:3, :3], always["covariance"][:3, :3])
    # of a pair, what both have been seen for, as far as it is evidence on the one that is older
    younger, older = (sum(MEMORY**age for age in range(steps)) for steps in (STEPS - 1, STEPS))
    shared = returned["covariance"][3:, :3] * (younger / older) ** 0.5
    torch.testing.assert_close(found["covariance"][3:, :3], shared)
    assert torch.linalg.eigvalsh(found["covariance"]).min() > -1e-12


def test_the_variance_is_known_from_covariances_alone():
    class Related(Recording):
        needs = {Need.CORRELATION: ()}  # noqa: RUF012
        knobs = unit_knobs(scheduled="threshold", needs=needs)
        found = []  # noqa: RUF012

        def score(self, k, s, layer):
            self.found.append((layer.variance, layer.covariance))
            return layer.variance

    units = PlasticUnits(Related(), 5, seed=1, warmup=0, prune_period=1, max_deaths=0.0)
    units(torch.randn(7, 5))
    [(variance, covariance)] = Related.found
    torch.testing.assert_close(variance, covariance.diagonal())
    assert "sum_variance" not in dict(units.named_buffers())


def test_the_variance_of_outputs_that_are_large_and_alike_is_exact():
    units = PlasticUnits(Recording(), 3, seed=1)
    y = 3000 + torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.5]])
    units.attached = True
    for _ in range(20):
        units(y)
    layer = units.layer_units(LayerContext())
    torch.testing.assert_close(layer.variance, torch.tensor([0.0, 1.0, 0.0625]))
    torch.testing.assert_close(layer.correlation[1, 2], torch.tensor(-1.0))


def test_no_statistic_is_gathered_that_the_rule_does_not_need():
    class Blind(UnitRule):
        name = "blind"
        knobs = unit_knobs(scheduled="threshold")

        def score(self, k, s, layer):
            return layer.draw()

    ours, theirs = (
        dict(PlasticUnits(Blind(), 5).named_buffers()),
        dict(PlasticUnits(Recording(), 5).named_buffers()),
    )
    assert set(theirs) - set(ours) == {
        "memory", "seen", "sum_output", "sum_size", "sum_variance", "sum_firing", "sum_covariance",
        "outgoing",
    }  # fmt: skip


def test_a_layer_that_the_rule_always_needs_is_refused_where_it_is_missing():
    net = nn.Sequential(nn.Linear(4, 5), PlasticUnits(Recording(), 5))
    with pytest.raises(
        UsageError, match="1: recording needs a layer that reads the units, and none is found"
    ):
        attach(net, torch.optim.SGD(net.parameters(), lr=0.1))


# connections


class RecordingSums(ConnectionRule):
    """Records the means of every step."""

    name = "recording_sums"
    needs = {  # noqa: RUF012
        need: ()
        for need in (
            Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE,
        )
    }  # fmt: skip
    knobs = table(SETTLE)
    seen: list[dict[str, torch.Tensor]] = []  # noqa: RUF012

    def observe(self, k, s, layer):
        names = ("coactivation", "input_mean", "output_mean", "input_square", "output_square")
        self.seen.append({name: getattr(layer, name).clone() for name in names})

    def is_event(self, k, step, total):
        return step < 0

    def wanted(self, k, s, layer):
        return layer.mask


def test_the_means_of_connections_are_means_over_rows():
    RecordingSums.seen.clear()
    layer = PlasticConnections(RecordingSums(), nn.Linear(4, 3), ["weight"])
    x = torch.randn(7, 4)
    y = layer(x).detach()
    [seen] = RecordingSums.seen
    torch.testing.assert_close(seen["coactivation"], y.T @ x / 7)
    torch.testing.assert_close(seen["input_mean"].expand(3, 4), x.mean(0).expand(3, 4))
    torch.testing.assert_close(seen["output_mean"].expand(3, 4), y.mean(0)[:, None].expand(3, 4))
    torch.testing.assert_close(seen["input_square"].expand(3, 4), x.square().mean(0).expand(3, 4))
    torch.testing.assert_close(seen["output_square"].expand(3, 4), y.square().mean(0)[:, None].expand(3, 4))


class RecordingLoss(RecordingSums):
    """Records the training loss of every event."""

    name = "recording_loss"
    needs = {Need.LOSS: ()}  # noqa: RUF012

    def observe(self, k, s, layer):
        pass

    def is_event(self, k, step, total):
        return step >= 1

    def wanted(self, k, s, layer):
        self.seen.append(layer.loss.clone())
        return layer.mask


def test_a_connection_rule_is_given_the_running_mean_of_the_training_loss():
    RecordingLoss.seen.clear()
    net = nn.Sequential(PlasticConnections(RecordingLoss(), nn.Linear(4, 3), ["weight"]), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attachment = attach(net, optimizer)
    for loss in (2.0, 1.0):
        net(torch.randn(7, 4)).sum().backward()
        attachment.observe(loss)
        optimizer.step()
    first, second = RecordingLoss.seen
    assert first.shape == second.shape == (1, 1)
    assert (first.item(), second.item()) == pytest.approx((2.0, 1.9))


class Gradient(ByCount):
    """Drops by magnitude and grows by the dense gradient, as RigL does."""

    name = "gradient"
    needs = {Need.DENSE_GRADIENT: ()}  # noqa: RUF012
    knobs = table(Knob("kept", int, 6, "connections that are in"))

    def is_event(self, k, step, total):
        return step >= 1

    def left(self, k, layer):
        return k.kept

    def swaps(self, k, layer):
        return k.kept // 3

    def drop(self, k, s, layer):
        return layer.weight.abs()

    def grow(self, k, s, layer):
        return layer.gradient.abs()


def gradient_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        PlasticConnections(Gradient(), nn.Linear(5, 4), ["weight"], seed=1), nn.ReLU(), nn.Linear(4, 3)
    )


def test_the_mask_does_not_hide_the_gradient_of_pruned_connections():
    net = gradient_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    attach(net, optimizer)
    for step in range(5):
        x, y = torch.randn(16, 5), torch.randint(3, (16,))
        weights = net[0].weights()["weight"].detach().clone().requires_grad_()
        before = net[0].masks()["weight"].clone()
        h = F.linear(x, weights, net[0].module.bias)
        [dense] = torch.autograd.grad(F.cross_entropy(net[2](h.relu()), y), weights)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        torch.testing.assert_close(net[0].connections[0].gradient, dense)
        assert not net[0].module.weight.grad[~before].any()
        moved = net[0].module.weight.detach().clone()
        optimizer.step()
        after = net[0].masks()["weight"]
        assert after.sum() == 6
        if step:
            entered = after & ~before
            stayed = before & after
            out = ~before if not (before & ~after).any() else ~stayed
            assert dense.abs()[entered].min() >= dense.abs()[out & ~after].max()
            assert not net[0].module.weight[entered].any()
            assert not optimizer.state[net[0].module.weight]["exp_avg"][entered].any()
            assert moved[entered].abs().max() == 0


def test_growing_by_gradient_is_the_same_in_every_stack():
    recipe, rows = RuleTraining().recipe, five_features()
    cohorts = []
    for how in ("stack", "compact"):
        nets = [gradient_net(seed).double() for seed in range(3)]
        cohort = train_together(how, recipe, nets, gradient_net().double(), rows, (1e-3, 1e-2, 3e-2))
        cohort.train_epoch()
        cohorts.append(cohort)
    for name, value in cohorts[0].state.items():
        torch.testing.assert_close(cohorts[1].state[name], value, rtol=1e-9, atol=1e-9, msg=name)
    assert (cohorts[0].state["0.connections.0.connected"].sum((1, 2)) == 6).all()


def five_features():
    """Rows without a pattern, of three classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 11, generator=generator, dtype=torch.float64)[:, :5]
    y = torch.randint(3, (80,), generator=generator)
    return Rows(x[:64], y[:64], x[64:], y[64:])


class Evolving(Gradient):
    """Drops by magnitude and grows by chance, as SET does."""

    name = "evolving"
    needs = {}  # noqa: RUF012

    def at_first(self, k, layer):
        return layer.highest(layer.draw(0), k.kept, layer.mask)

    def grow(self, k, s, layer):
        return layer.draw(1)


def test_a_rule_may_start_with_some_of_the_connections():
    layer = PlasticConnections(Evolving(), nn.Linear(5, 4), ["weight"], seed=1, kept=7)
    mask = layer.masks()["weight"].clone()
    assert mask.sum() == 7
    assert not layer.weights()["weight"][~mask].any()
    other = PlasticConnections(Evolving(), nn.Linear(5, 4), ["weight"], seed=2, kept=7)
    assert not torch.equal(other.masks()["weight"], mask)
    layer.configure(kept=9)
    assert layer.masks()["weight"].sum() == 9
    first, weights = layer.masks()["weight"].clone(), layer.module.weight.clone()
    assert weights.all()  # another mask may still be drawn
    layer(torch.randn(3, 5))
    assert torch.equal(layer.module.weight, weights.masked_fill(~(first & layer.masks()["weight"]), 0))
    trained = layer.masks()["weight"].clone()
    layer.configure(kept=4)  # in a training that has begun the mask stays
    assert torch.equal(layer.masks()["weight"], trained)


@pytest.mark.parametrize("rule", [Gradient(), Evolving()], ids=str)
def test_growing_beside_units_that_are_pruned_is_the_same_alone_and_in_every_stack(rule):
    def net(seed):
        torch.manual_seed(seed)
        layers = [
            PlasticConnections(rule, nn.Linear(*size), ["weight"], seed=1, kept=12)
            for size in ((5, 9), (9, 3))
        ]
        units = PlasticUnits(UNITS["random"], 9, seed=2, schedule="target", target=4, events=3, warmup=1)
        return nn.Sequential(layers[0], units, layers[1]).double()

    recipe, rows = RuleTraining().recipe, five_features()
    states = {}
    for how in ("alone", "stack", "compact"):
        nets = [net(seed) for seed in range(1 if how == "alone" else 3)]
        cohort = train_together(how, recipe, nets, net(0), rows, (1e-3, 1e-2, 3e-2))
        for _ in range(recipe.epochs):
            cohort.train_epoch()
        states[how] = {
            name: value[0].clone() for name, value in cohort.state.items() if not name.endswith("mean_output")
        }
    assert states["alone"]["1.alive"].sum() == 4
    assert states["alone"]["0.connections.0.connected"].sum() == 12
    for how in ("alone", "compact"):
        for name, value in states["stack"].items():
            torch.testing.assert_close(states[how][name], value, rtol=1e-8, atol=1e-8, msg=f"{how} {name}")


class EqualScores(ByCount):
    """The same score for all connections, and as many of them as the knob says."""

    name = "equal_scores"
    knobs = table(Knob("kept", int, 6, "connections that are in"))
    score = float("nan")

    def is_event(self, k, step, total):
        return step >= 1

    def left(self, k, layer):
        return k.kept

    def swaps(self, k, layer):
        return layer.step * 0 + 2

    def drop(self, k, s, layer):
        return layer.weight * self.score

    def grow(self, k, s, layer):
        return layer.weight * self.score


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_counts_are_exact_whatever_the_scores(score):
    rule = EqualScores()
    rule.score = score
    layer = PlasticConnections(rule, nn.Linear(5, 4), ["weight"], seed=1)
    counts = []
    for kept in (6, 3, 9, 20, 1):
        layer.configure(kept=kept)
        layer(torch.randn(3, 5))
        counts.append(int(layer.masks()["weight"].sum()))
    assert counts == [6, 3, 9, 20, 1]


def test_a_need_that_rules_of_a_kind_cannot_have_is_refused():
    class Impossible(RecordingSums):
        name = "impossible"
        needs = {Need.CORRELATION: ()}  # noqa: RUF012

    with pytest.raises(
        UsageError, match="impossible: needs CORRELATION, which rules of its kind cannot have"
    ):
        PlasticConnections(Impossible(), nn.Linear(4, 3), ["weight"])


def test_buffers_may_start_at_a_knob():
    class Remembering(RecordingSums):
        name = "remembering"
        knobs = table(Knob("first", float, 0.7, "start"))
        buffers = {"memory": Buffer("first")}  # noqa: RUF012

    layer = PlasticConnections(Remembering(), nn.Linear(4, 3), ["weight"], first=0.2)
    assert layer.connections[0].memory.unique().tolist() == [pytest.approx(0.2)]
