"""What rules ask for is given, and is what it says: measured with rules that look, against literal sums."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import PlasticConnections, PlasticUnits, attach
from hebbevo.rules import UNITS
from hebbevo.rules.connections.rule import ByCount, ConnectionRule
from hebbevo.rules.rule import Buffer, Need
from hebbevo.rules.units.rule import UnitRule, unit_knobs
from hebbevo.space.knobs import Knob, table
from hebbevo.training import CohortTraining, Rows, slots
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack

MEMORY = 0.9
STEPS = 6


class Looking(UnitRule):
    """Keeps what it is shown at every event."""

    name = "looking"
    needs = {  # noqa: RUF012
        need: ()
        for need in (
            Need.MEAN,
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
        names = ("mean", "variance", "firing_rate", "correlation", "outgoing", "incoming")
        self.seen.append({name: getattr(layer, name).clone() for name in names})
        return layer.mean + 1


@pytest.fixture(autouse=True)
def nothing_seen():
    Looking.seen.clear()


def net_of(**knobs):
    torch.manual_seed(0)
    units = PlasticUnits(
        Looking(), 5, seed=1, memory=MEMORY, warmup=0, prune_period=1, max_deaths=0.0, **knobs
    )
    return nn.Sequential(nn.Linear(4, 5), units, nn.Linear(5, 3)).double()


def batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(7, 4, generator=generator, dtype=torch.float64) for _ in range(STEPS)]


def literal(outputs):
    """The decayed means of some minibatches, in plain sums."""
    weights = torch.tensor([MEMORY**age for age in reversed(range(len(outputs)))], dtype=torch.float64)
    weights /= weights.sum()

    def mean(of):
        return sum(weight * of(y) for weight, y in zip(weights, outputs, strict=True))

    first, second = mean(lambda y: y.mean(0)), mean(lambda y: y.T @ y / len(y))
    covariance = second - first[:, None] * first
    spread = covariance.diagonal().clamp(min=1e-12).sqrt()
    return {
        "mean": first,
        "variance": covariance.diagonal(),
        "firing_rate": mean(lambda y: (y > 0).double().mean(0)),
        "correlation": covariance / (spread[:, None] * spread),
    }


def test_running_statistics_are_decayed_means_and_norms_are_those_of_the_layers_around():
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
            torch.testing.assert_close(Looking.seen[-1][name], value, rtol=1e-6, atol=1e-6, msg=name)


def test_statistics_of_a_unit_that_returns_begin_anew():
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
    returned = literal(outputs[1:])
    torch.testing.assert_close(Looking.seen[-1]["mean"][3:], returned["mean"][3:], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(Looking.seen[-1]["mean"][:3], returned["mean"][:3], rtol=1e-4)


def test_nothing_is_gathered_that_no_rule_wants():
    class Blind(UnitRule):
        name = "blind"
        knobs = unit_knobs(scheduled="threshold")

        def score(self, k, s, layer):
            return layer.draw()

    ours, theirs = (
        dict(PlasticUnits(Blind(), 5).named_buffers()),
        dict(PlasticUnits(Looking(), 5).named_buffers()),
    )
    assert set(theirs) - set(ours) == {
        "memory", "seen", "sum_output", "sum_square", "sum_firing", "sum_products", "outgoing",
    }  # fmt: skip


def test_what_is_always_needed_around_is_refused_where_it_is_missing():
    net = nn.Sequential(nn.Linear(4, 5), PlasticUnits(Looking(), 5))
    with pytest.raises(UsageError, match="1: looking needs a layer that reads the units, and none is found"):
        attach(net, torch.optim.SGD(net.parameters(), lr=0.1))


# connections


class Watching(ConnectionRule):
    """Keeps the sums of every step."""

    name = "watching"
    needs = {  # noqa: RUF012
        need: ()
        for need in (
            Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE,
        )
    }  # fmt: skip
    knobs = table(Knob("settle", float, 0.0, "not used"))
    seen: list[dict[str, torch.Tensor]] = []  # noqa: RUF012

    def observe(self, k, s, link):
        names = ("coactivation", "input_mean", "output_mean", "input_square", "output_square")
        self.seen.append({name: getattr(link, name).clone() for name in names})

    def is_event(self, k, step, total):
        return step < 0

    def wanted(self, k, s, link):
        return link.mask


def test_the_sums_of_connections_are_means_over_rows():
    Watching.seen.clear()
    layer = PlasticConnections(Watching(), nn.Linear(4, 3), ["weight"])
    x = torch.randn(7, 4)
    y = layer(x).detach()
    [seen] = Watching.seen
    torch.testing.assert_close(seen["coactivation"], y.T @ x / 7)
    torch.testing.assert_close(seen["input_mean"].expand(3, 4), x.mean(0).expand(3, 4))
    torch.testing.assert_close(seen["output_mean"].expand(3, 4), y.mean(0)[:, None].expand(3, 4))
    torch.testing.assert_close(seen["input_square"].expand(3, 4), x.square().mean(0).expand(3, 4))
    torch.testing.assert_close(seen["output_square"].expand(3, 4), y.square().mean(0)[:, None].expand(3, 4))


class Gradient(ByCount):
    """Drops by magnitude and grows by the dense gradient, as RigL does."""

    name = "gradient"
    needs = {Need.DENSE_GRADIENT: ()}  # noqa: RUF012
    knobs = table(Knob("kept", int, 6, "connections that are in"))

    def is_event(self, k, step, total):
        return step >= 1

    def left(self, k, link):
        return k.kept

    def swaps(self, k, link):
        return k.kept // 3

    def drop(self, k, s, link):
        return link.weight.abs()

    def grow(self, k, s, link):
        return link.gradient.abs()


def gradient_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        PlasticConnections(Gradient(), nn.Linear(5, 4), ["weight"], seed=1), nn.ReLU(), nn.Linear(4, 3)
    )


def test_the_mask_does_not_hide_the_gradient_of_what_is_pruned():
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


def test_growing_by_gradient_is_the_same_in_every_stack(monkeypatch, job):
    recipe = replace(job().recipe, batch_size=16)
    cohorts = []
    for compact in (False, True):
        nets = [gradient_net(seed).double() for seed in range(3)]
        rows = replace(job_rows(), x=job_rows().x[:, :5], x_val=job_rows().x_val[:, :5])
        values = [recipe.training_knobs({"learning_rate": rate}) for rate in (1e-3, 1e-2, 3e-2)]
        with monkeypatch.context() as patch:
            if not compact:
                patch.setattr(CompactStack, "of", lambda *_: None)
            cohort = CohortTraining(
                recipe, VmapStack(nets, torch.device("cpu")), values, gradient_net().double(), rows
            )
        cohort.train_epoch()
        cohorts.append(cohort)
    for name, value in cohorts[0].state.items():
        torch.testing.assert_close(cohorts[1].state[name], value, rtol=1e-9, atol=1e-9, msg=name)
    assert (cohorts[0].state["0.connections.0.connected"].sum((1, 2)) == 6).all()


def job_rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 11, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (80,), generator=generator)
    return Rows(x[:64], y[:64], x[64:], y[64:])


class Evolving(Gradient):
    """Drops by magnitude and grows by chance, as SET does."""

    name = "evolving"
    needs = {}  # noqa: RUF012

    def at_first(self, k, link):
        return link.highest(link.draw(0), k.kept, link.mask)

    def grow(self, k, s, link):
        return link.draw(1)


def test_a_rule_may_begin_with_some_of_the_connections():
    layer = PlasticConnections(Evolving(), nn.Linear(5, 4), ["weight"], seed=1, kept=7)
    mask = layer.masks()["weight"].clone()
    assert mask.sum() == 7
    assert not layer.module.weight[~mask].any()
    other = PlasticConnections(Evolving(), nn.Linear(5, 4), ["weight"], seed=2, kept=7)
    assert not torch.equal(other.masks()["weight"], mask)
    layer.configure(kept=9)
    assert layer.masks()["weight"].sum() == 9
    layer(torch.randn(3, 5))
    trained = layer.masks()["weight"].clone()
    layer.configure(kept=4)  # a training that has begun goes on
    assert torch.equal(layer.masks()["weight"], trained)


@pytest.mark.parametrize("rule", [Gradient(), Evolving()], ids=str)
def test_growing_beside_dying_units_is_the_same_alone_and_in_every_stack(monkeypatch, job, rule):
    def net(seed):
        torch.manual_seed(seed)
        layers = [
            PlasticConnections(rule, nn.Linear(*size), ["weight"], seed=1, kept=12)
            for size in ((5, 9), (9, 3))
        ]
        units = PlasticUnits(UNITS["random"], 9, seed=2, schedule="target", target=4, events=3, warmup=1)
        return nn.Sequential(layers[0], units, layers[1]).double()

    rows = job_rows()
    rows = replace(rows, x=rows.x[:, :5], x_val=rows.x_val[:, :5])
    recipe = job().recipe
    states = {}
    for how in ("alone", "stack", "compact"):
        nets = [net(seed) for seed in range(1 if how == "alone" else 3)]
        values = [recipe.training_knobs({"learning_rate": rate}) for rate in (1e-3, 1e-2, 3e-2)][: len(nets)]
        held = SingleNet(nets[0], torch.device("cpu")) if how == "alone" else VmapStack(nets, torch.device("cpu"))
        with monkeypatch.context() as patch:
            patch.setattr(slots, "LEVEL_STEPS", ((0.95, 1),))
            if how != "compact":
                patch.setattr(CompactStack, "of", lambda *_: None)
            cohort = CohortTraining(recipe, held, values, net(0), rows)
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


class Worst(ByCount):
    """Scores that say nothing, and as many connections as it is asked for."""

    name = "worst"
    knobs = table(Knob("kept", int, 6, "connections that are in"))
    score = float("nan")

    def is_event(self, k, step, total):
        return step >= 1

    def left(self, k, link):
        return k.kept

    def swaps(self, k, link):
        return link.step * 0 + 2

    def drop(self, k, s, link):
        return link.weight * self.score

    def grow(self, k, s, link):
        return link.weight * self.score


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_counts_are_exact_whatever_the_scores(score):
    rule = Worst()
    rule.score = score
    layer = PlasticConnections(rule, nn.Linear(5, 4), ["weight"], seed=1)
    counts = []
    for kept in (6, 3, 9, 20, 1):
        layer.configure(kept=kept)
        layer(torch.randn(3, 5))
        counts.append(int(layer.masks()["weight"].sum()))
    assert counts == [6, 3, 9, 20, 1]


def test_a_need_that_rules_of_a_kind_cannot_have_is_refused():
    class Wanting(Watching):
        name = "wanting"
        needs = {Need.CORRELATION: ()}  # noqa: RUF012

    with pytest.raises(UsageError, match="wanting: needs CORRELATION, which rules of its kind cannot have"):
        PlasticConnections(Wanting(), nn.Linear(4, 3), ["weight"])


def test_buffers_may_start_at_a_knob():
    class Remembering(Watching):
        name = "remembering"
        knobs = table(Knob("first", float, 0.7, "start"))
        buffers = {"memory": Buffer("first")}  # noqa: RUF012

    layer = PlasticConnections(Remembering(), nn.Linear(4, 3), ["weight"], first=0.2)
    assert layer.connections[0].memory.unique().tolist() == [pytest.approx(0.2)]
