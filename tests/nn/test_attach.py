import copy
import pickle
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import InputStamina, Neighbourhood, Stamina, attach

NEVER = -1e9  # a threshold that nobody falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)
SGD = dict(optimizer=torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = dict(optimizer=torch.optim.Adam, lr=0.01, amsgrad=True)
STILL = dict(optimizer=torch.optim.SGD, lr=0.0)


class Training:
    """A net, linear - units - linear, in an ordinary PyTorch training."""

    def __init__(self, net, total_steps=0, *, optimizer, **settings):
        self.net = net
        self.before, self.units, self.behind = net
        self.optimizer = optimizer(net.parameters(), **settings)
        self.attachment = attach(net, self.optimizer, total_steps=total_steps)

    def step(self, x=None):
        self.optimizer.zero_grad()
        self.net(torch.randn(16, 4) if x is None else x).square().mean().backward()
        self.optimizer.step()

    def moments(self, parameter):
        return [entry for entry in self.optimizer.state[parameter].values() if entry.shape == parameter.shape]

    def kill(self, *neurons):
        """Let these die at the next event."""
        self.units.gain[list(neurons)] = -2e9
        self.units.reference.fill_(1.0)

    def dead(self):
        return torch.nonzero(~self.units.alive).flatten().tolist()


def training(units, total_steps=0, *, optimizer, **settings):
    """The units between 4 inputs and 3 outputs, always with the same initial weights."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, units.num_neurons), units, nn.Linear(units.num_neurons, 3))
    return Training(net, total_steps, optimizer=optimizer, **settings)


def complaint(function, *args, **kwargs):
    with pytest.raises(UsageError) as caught:
        function(*args, **kwargs)
    (line,) = str(caught.value).splitlines()
    return line


# returning neurons


def reborn_beside_control(rebirth, optimizer):
    """Two equal trainings after three steps; in the first, neurons 1 and 4 have just returned."""
    pair = [
        training(
            Stamina(6, seed=2, rebirth=rebirth, regrowth_rate=rate, **CALM | dict(warmup=3)), **optimizer
        )
        for rate in (1.0, 0.0)
    ]
    for each in pair:
        torch.manual_seed(6)
        each.units.alive[[1, 4]] = False
        with torch.no_grad():
            each.before.bias.fill_(0.5)
        batches = torch.randn(3, 16, 4)
        for x in batches[:2]:
            each.step(x)
        for parameter in each.net.parameters():
            for moment in each.moments(parameter):
                moment.add_(1.0)
        each.step(batches[2])
    return pair


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["auto", "fresh"])
def test_a_neuron_returns_with_fresh_in_weights_silent_out_weights_and_no_bias(rebirth, optimizer):
    one, control = reborn_beside_control(rebirth, optimizer)
    born, others = [1, 4], [0, 2, 3, 5]
    assert one.units.alive.all()
    assert one.units.age[born].tolist() == [0, 0]
    assert one.units.stamina[born].tolist() == [0, 0]

    assert not torch.isclose(one.before.weight[born], control.before.weight[born]).any()
    assert one.before.bias[born].tolist() == [0, 0]
    assert torch.equal(one.behind.weight[:, born], torch.zeros(3, 2))

    assert torch.equal(one.before.weight[others], control.before.weight[others])
    assert torch.equal(one.before.bias[others], control.before.bias[others])
    assert torch.equal(one.behind.weight[:, others], control.behind.weight[:, others])
    assert torch.equal(one.behind.bias, control.behind.bias)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("rebirth", ["fresh", "old"])
def test_exactly_the_moments_of_returned_neurons_are_reset(rebirth, optimizer):
    one, control = reborn_beside_control(rebirth, optimizer)
    born = torch.tensor([False, True, False, False, True, False])
    resets = {
        one.before.weight: born[:, None],
        one.before.bias: born,
        one.behind.weight: born,
        one.behind.bias: torch.tensor(False),
    }
    for parameter, twin in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert len(one.moments(parameter)) == (1 if optimizer is SGD else 3)
        for moment, kept in zip(one.moments(parameter), control.moments(twin), strict=True):
            assert kept.all()
            assert torch.equal(moment, kept * ~resets[parameter])


def test_old_rebirth_keeps_all_weights():
    one, control = reborn_beside_control("old", SGD)
    assert one.units.alive.all()
    for parameter, twin in zip(one.net.parameters(), control.net.parameters(), strict=True):
        assert torch.equal(parameter, twin)


def test_layers_without_bias_are_rewired_too():
    net = nn.Sequential(
        nn.Linear(4, 6, bias=False), Stamina(6, regrowth_rate=1.0, **CALM), nn.Linear(6, 3, bias=False)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[1].alive[2] = False
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert (net[2].weight == 0).all(0).tolist() == [False, False, True, False, False, False]


def fresh_weights(seed, at_step=1):
    units = Stamina(300, seed=seed, regrowth_rate=1.0, **CALM | dict(prune_period=at_step))
    weight = torch.full((300, 400), 9.0)
    around = Neighbourhood(torch.ones(2, 300), None, weight, None)
    units.connect(around, 0)
    units.alive.zero_()
    for _ in range(at_step):
        units(torch.zeros(1, 300))
    units.restructure(around)
    return weight


def test_fresh_in_weights_are_uniform_with_the_variance_of_he_et_al():
    weight = fresh_weights(seed=1).flatten() * (400 / 2) ** 0.5
    assert stats.kstest(weight, "uniform", args=(-(3**0.5), 2 * 3**0.5)).pvalue > 1e-3
    assert abs(float(weight.var()) - 1) < 5 * (0.8 / 120_000) ** 0.5


def test_fresh_in_weights_follow_from_seed_and_step():
    assert torch.equal(fresh_weights(seed=1), fresh_weights(seed=1))
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=2)).all(1).any()
    assert not torch.isclose(fresh_weights(seed=1), fresh_weights(seed=1, at_step=2)).all(1).any()


def test_neurons_that_die_do_not_return_at_the_same_event():
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    one.kill(0, 3)
    one.step()
    assert one.dead() == [0, 3]
    one.step()
    assert one.dead() == []


def test_input_units_return_with_silent_out_weights():
    net = nn.Sequential(InputStamina(4, regrowth_rate=1.0, **CALM), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[0].alive[2] = False
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[0].alive.all()
    assert (net[1].weight == 0).all(0).tolist() == [False, False, True, False]


LIVELY = EAGER | dict(
    regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5, rebirth="old"
)


class Step(nn.Module):
    """One step of units that are attached by hand, as a module, so that it can be stacked."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        units.attached = True

    def forward(self, hidden):
        self.units(hidden)
        out_weight = torch.zeros(3, 12) + self.units.gain  # stacked like the units
        self.units.restructure(Neighbourhood(out_weight, None, None, None))
        return self.units.alive


def test_alone_attached_and_stacked_the_same_neurons_die_and_return():
    torch.manual_seed(5)
    alone = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
    attached = training(Stamina(12, seed=9, **LIVELY), **STILL)
    layers = [Stamina(12, seed=seed, **LIVELY) for seed in (8, 9)]
    _, buffers = stack_module_state(layers)
    stacked = {f"units.{name}": value for name, value in buffers.items()}
    step = Step(layers[0])
    patterns = set()
    for x in torch.randn(30, 16, 4):
        alone(x)
        attached.step(x)
        hidden = attached.before(x).detach()
        vmap(lambda state, hidden=hidden: functional_call(step, state, (hidden,)))(stacked)
        assert torch.equal(alone[1].alive, attached.units.alive)
        assert torch.equal(alone[1].alive, stacked["units.alive"][1])
        patterns.add(tuple(attached.units.alive.tolist()))
    assert len(patterns) > 20


# handover


def test_a_constant_neuron_dies_without_changing_what_the_net_computes():
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=4)), **STILL)
    with torch.no_grad():
        one.before.weight[2] = 0.0
        one.before.bias[2] = 1.7
    fresh = torch.randn(50, 4)
    before = one.net.eval()(fresh)
    one.net.train()
    for _ in range(3):
        one.step()
    one.kill(2)
    one.step()
    assert one.dead() == [2]
    torch.testing.assert_close(one.net.eval()(fresh), before, rtol=0, atol=2e-6)
    assert not torch.allclose(before, before - 1.7 * one.behind.weight[:, 2], atol=0.1)


def test_the_next_bias_receives_the_running_mean_output_of_the_dying():
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=7)), **STILL)
    bias = one.behind.bias.clone()
    means = []
    for step in range(7):
        x = torch.randn(16, 4)
        means.append(F.relu(one.before(x)).mean(0))
        if step == 6:
            one.kill(1, 5)
        one.step(x)
    assert one.dead() == [1, 5]
    weights = [0.9**age for age in range(7)][::-1]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    expected = bias + one.behind.weight[:, 1] * mean[1] + one.behind.weight[:, 5] * mean[5]
    torch.testing.assert_close(one.behind.bias, expected)


def test_what_a_neuron_put_out_before_its_return_is_not_handed_over():
    one = training(Stamina(6, handover=True, regrowth_rate=1.0, rebirth="old", **CALM), **STILL)
    one.step()
    one.kill(3)
    one.step()
    one.step()  # returns
    bias = one.behind.bias.clone()
    x = torch.randn(16, 4)
    one.kill(3)
    one.step(x)
    assert one.dead() == [3]
    expected = bias + one.behind.weight[:, 3] * F.relu(one.before(x))[:, 3].mean()
    torch.testing.assert_close(one.behind.bias, expected)


def test_without_handover_the_next_bias_stays():
    one = training(Stamina(6, **CALM), **STILL)
    bias = one.behind.bias.clone()
    one.kill(1)
    one.step()
    assert one.dead() == [1]
    assert torch.equal(one.behind.bias, bias)


# contribution


@pytest.mark.parametrize("classify", [False, True])
def test_contribution_kills_noise_inputs_before_informative_ones(classify):
    net = nn.Sequential(
        InputStamina(6, activity="contribution", hebbian_threshold=0.3, warmup=150, max_deaths=1.0),
        nn.Linear(6, 2),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    attach(net, optimizer)
    for _ in range(200):
        x = torch.randn(64, 6)
        score = x[:, 0] - 2 * x[:, 2] + 1.5 * x[:, 5]
        out = net(x)
        loss = (
            F.cross_entropy(out, (score > 0).long())
            if classify
            else F.mse_loss(out, torch.stack([score, -score], 1))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert net[0].alive.tolist() == [True, False, True, False, False, True]


def test_contribution_follows_the_outgoing_weights():
    one = training(Stamina(6, activity="contribution", **CALM | dict(prune_period=3)), **SGD)
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))
    for _ in range(3):
        one.step()
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))


# settling


def rates_used(one, steps):
    """Learning rate of each step, seen in how far plain SGD moves a bias whose gradient is known."""
    rates = []
    for _ in range(steps):
        before = one.behind.bias.detach().clone()
        one.optimizer.zero_grad()
        one.net(torch.randn(16, 4)).sum().backward()
        one.optimizer.step()
        rates.append(float((before - one.behind.bias.detach()).mean() / 16))
    return rates


SETTLING = [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]


@pytest.mark.parametrize("lr", [0.001, torch.tensor(0.001)], ids=["number", "tensor"])
def test_settling_brings_the_learning_rate_to_zero_and_gives_it_back_after_each_step(lr):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=lr)
    assert rates_used(one, 10) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)
    assert float(one.optimizer.param_groups[0]["lr"]) == pytest.approx(0.001)
    assert rates_used(one, 3) == [0, 0, 0]  # and not below it, where a training runs on


def test_settling_works_under_a_scheduler():
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(one.optimizer, gamma=0.9)
    rates = []
    for _ in range(10):
        rates += rates_used(one, 1)
        scheduler.step()
    assert rates == pytest.approx([0.001 * f * 0.9**i for i, f in enumerate(SETTLING)], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.9**10)


def test_a_resumed_training_settles_where_it_was():
    first = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(first, 7)
    second = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    second.net.load_state_dict(first.net.state_dict())
    assert rates_used(second, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


@pytest.mark.parametrize("settle", [0.0, 0.4])
def test_nobody_dies_or_returns_while_settling(settle):
    units = Stamina(
        40, settle=settle, **EAGER | dict(regrowth_rate=0.3, hebbian_threshold=1.0, min_neurons=4)
    )
    one = training(units, total_steps=20, **STILL)
    alive = []
    for _ in range(20):
        one.step()
        alive.append(tuple(one.units.alive.tolist()))
    changes = [before != after for before, after in pairwise(alive)]
    assert changes == [True] * 11 + [not settle] * 8


# growth


def growing(losses, **knobs):
    """Neurons alive after each step of a layer of 8 that starts with a quarter of them."""
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, **CALM | knobs), **STILL)
    alive = []
    for loss in losses:
        one.net(torch.randn(16, 4)).sum().backward()
        one.attachment.observe(loss)
        one.optimizer.step()
        alive.append(int(one.units.alive.sum()))
    return alive


def test_a_layer_grows_after_patience_events_without_a_lower_loss():
    assert growing([1.0] * 5, patience=1) == [2, 8, 8, 8, 8]
    assert growing([1.0] * 5, patience=3) == [2, 2, 2, 8, 8]
    assert growing([1.0] * 8, patience=2, prune_period=2) == [2, 2, 2, 2, 2, 8, 8, 8]


def test_a_layer_does_not_grow_while_the_loss_falls():
    assert growing([10.0 - step for step in range(8)], patience=1) == [2] * 8
    assert growing([5.0, 5.0, 4.0, 4.0, 3.0, 3.0], patience=2) == [2] * 6


def test_a_loss_may_be_a_number_or_a_tensor_of_any_kind():
    losses = [2, torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(2), 2.0]
    assert growing(losses, patience=3) == [2, 2, 2, 8]


def test_where_nobody_observes_the_loss_no_neuron_joins():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM)
    around = Neighbourhood(torch.ones(3, 8), torch.zeros(3), torch.ones(8, 4), torch.zeros(8))
    units.connect(around, 0)
    for _ in range(5):
        units(torch.randn(16, 8))
        units.restructure(around)
    assert units.alive.sum() == 2


def test_restructuring_changes_nothing_between_the_events():
    units = Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM | dict(prune_period=2))
    around = Neighbourhood(
        torch.ones(3, 8), torch.zeros(3), torch.ones(8, 4), torch.zeros(8), torch.tensor(1.0)
    )
    units.connect(around, 0)
    units(torch.randn(16, 8))
    before = copy.deepcopy((units.state_dict(), around))
    units.restructure(around)
    assert all(torch.equal(before[0][name], value) for name, value in units.state_dict().items())
    assert all(
        torch.equal(getattr(before[1], name), getattr(around, name))
        for name in ("out_weight", "out_bias", "in_weight", "in_bias")
    )


def test_neurons_that_join_are_silent_at_first():
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, patience=1, **CALM), **STILL)
    assert one.dead() == [2, 3, 4, 5, 6, 7]
    one.attachment.observe(1.0)
    x = torch.randn(16, 4)
    one.step(x)
    before = one.net.eval()(x)
    one.net.train()
    one.step(x)
    assert one.dead() == []
    assert torch.equal(one.net.eval()(x), before)


# keeping and copying


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_an_attached_net_can_be_copied_and_attached_anew(twin):
    one = training(Stamina(12, seed=9, **LIVELY | dict(activity="contribution", rebirth="fresh")), **SGD)
    for _ in range(5):
        one.step()
    other = Training(twin(one.net), **SGD)
    other.optimizer.load_state_dict(copy.deepcopy(one.optimizer.state_dict()))
    before = one.units.alive.clone()
    for x in torch.randn(10, 16, 4):
        one.step(x)
        other.step(x)
    assert not torch.equal(one.units.alive, before)
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name


def test_detached_units_keep_their_mask_and_stop_changing():
    one = training(Stamina(6, settle=0.9, **EAGER), total_steps=100, **SGD)
    one.units.alive[2] = False
    one.attachment.detach()
    one.kill(0, 1, 3)
    one.step()
    assert one.dead() == [2]
    assert one.optimizer.param_groups[0]["lr"] == 0.1


# complaints


@pytest.mark.parametrize(
    "knobs",
    [
        dict(activity="contribution"),
        dict(handover=True),
        dict(rebirth="fresh"),
        dict(settle=0.5),
        dict(growth_rate=0.5),
    ],
)
def test_attached_units_take_what_they_refuse_alone(knobs):
    one = training(Stamina(6, **knobs), total_steps=10, **SGD)
    one.attachment.observe(1.0)
    one.step()
    assert one.units.steps == 1


def test_settling_without_the_training_length_is_refused():
    assert complaint(training, Stamina(6, settle=0.5), **SGD) == (
        "attach: settle needs the training's length; give attach(..., total_steps=N)"
    )


def test_growth_without_an_observed_loss_is_refused_and_the_learning_rate_given_back():
    one = training(Stamina(6, growth_rate=0.5, settle=0.5), total_steps=1, **SGD)
    one.units.steps.fill_(1)
    one.net(torch.randn(2, 4)).sum().backward()
    assert complaint(one.optimizer.step) == (
        "1: growth_rate needs the training loss; call observe(loss) of what attach returned"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.1


def test_units_without_neighbours_are_refused():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3))
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == (
        "1: no single linear layer listens to it; put an nn.Linear behind it"
    )
