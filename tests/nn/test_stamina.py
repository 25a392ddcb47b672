import copy
import math
import pickle
from statistics import pstdev

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import InputStamina, Listener, Neighbourhood, Stamina
from hebbevo.training.stack import Stack

FORMS = ("mean", "ratio", "zero_sum", "constant")
NEVER = -1e9  # a threshold that nobody falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)


def transcription(batches, alive, beta, form, activity, priors, decay, outgoing):
    """Stamina after ``batches`` of outputs, as published: one sample and one neuron at a time."""
    neurons = range(len(alive))
    gain, reference = [0.0] * len(alive), [0.0] * len(alive)
    for batch in batches:
        spread = [outgoing[j] * pstdev(row[j] for row in batch) for j in neurons]
        v_sum, level_sum = [0.0] * len(alive), 0.0
        for row in batch:
            amount = {
                "activation": row,
                "frequency": [float(y > 0) for y in row],
                "contribution": spread,
            }[activity]
            living = [j for j in neurons if alive[j]]
            n_fire = sum(row[j] > 0 for j in living)
            n_silent = len(living) - n_fire
            mu = sum(amount[j] for j in living) / len(living)
            c = {
                "mean": mu,
                "ratio": mu * n_silent / max(n_fire, 1),
                "zero_sum": mu * len(living) / max(n_silent, 1),
                "constant": 1.0,
            }[form]
            level_sum += mu
            for j in living:
                penalty = beta * c if row[j] == 0 else 0.0
                v_sum[j] += 2 * (1 - priors[j]) * amount[j] - 2 * priors[j] * penalty
        for j in neurons:
            gain[j] = decay * gain[j] + v_sum[j] / len(batch)
            reference[j] = decay * reference[j] + alive[j] * level_sum / len(batch)
    return [g / r if alive[j] else 0.0 for j, (g, r) in enumerate(zip(gain, reference, strict=True))]


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


def complaint(function, *args, **kwargs):
    with pytest.raises(UsageError) as caught:
        function(*args, **kwargs)
    (line,) = str(caught.value).splitlines()
    return line


# the accounting


@pytest.mark.parametrize("prior", [0.5, [1 / 16, 0.25, 0.5, 0.75, 1.0, 0.125, 0.0]], ids=["one", "vector"])
@pytest.mark.parametrize("activity", ["activation", "frequency", "contribution"])
@pytest.mark.parametrize("form", FORMS)
def test_stamina_is_the_published_sum_over_100_batches(form, activity, prior):
    rng = np.random.default_rng(1)
    alive = [True, True, False, True, True, True, True]
    out_weight = rng.normal(size=(3, 7))
    units = Stamina(
        7,
        unactivation_penalty=1.5,
        penalty_form=form,
        activity=activity,
        firing_prior=prior,
        stamina_decay=0.9375,
    ).double()
    units.connect(Neighbourhood(listeners=(Listener(torch.tensor(out_weight)[:, None], None),)))
    units.alive.copy_(torch.tensor(alive))
    rarity = np.linspace(-0.5, 2, 7)  # the last neuron hardly ever fires, and some samples are all silent
    batches = [units(torch.tensor(rng.normal(size=(5, 7)) - rarity)).tolist() for _ in range(100)]

    priors = np.broadcast_to(prior, 7).tolist()
    norms = np.sqrt((out_weight**2).sum(0)).tolist()
    expected = transcription(batches, alive, 1.5, form, activity, priors, 0.9375, norms)
    np.testing.assert_allclose(units.stamina.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_a_sequence_of_samples_counts_as_many_samples():
    x = torch.randn(4, 5, 6)
    one, other = Stamina(6), Stamina(6)
    one(x)
    other(x.reshape(20, 6))
    assert torch.equal(one.stamina, other.stamina)


def test_the_accounting_is_exact_under_autocast():
    x = torch.randn(33, 601).bfloat16()
    rough, exact = (Stamina(601, unactivation_penalty=100.0, hebbian_threshold=NEVER) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough(x)
    exact(x.float())
    assert torch.equal(rough.stamina, exact.stamina)


BALANCE = {
    "mean": lambda p, activity: 1 / (1 - p),
    "ratio": lambda p, activity: p / (1 - p) ** 2,
    "zero_sum": lambda p, activity: 1.0,
    "constant": lambda p, activity: activity / (1 - p),
}


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("form", FORMS)
def test_equal_neurons_survive_at_threshold_zero_iff_the_penalty_is_below_the_balance(form, p):
    rng = np.random.default_rng(2)
    size = 0.1 + np.abs(rng.normal(size=(20_000, 100)))
    x = torch.tensor(np.where(rng.random(size.shape) < p, size, -1.0))
    balance = BALANCE[form](p, p * (0.1 + math.sqrt(2 / math.pi)))

    def survivors(beta):
        units = Stamina(100, unactivation_penalty=beta, penalty_form=form, **EAGER)
        units(x)
        return int(units.alive.sum())

    assert survivors(0.9 * balance) == 100
    assert survivors(1.1 * balance) == 0


def test_zero_sum_with_penalty_one_sums_to_zero_over_the_neurons_of_every_sample():
    units = Stamina(9, penalty_form="zero_sum", stamina_decay=0.0, hebbian_threshold=NEVER).double()
    for sample in torch.randn(50, 1, 9, dtype=torch.float64):
        units(sample)
        assert units.gain.abs().max() > 0.1
        assert abs(float(units.gain.sum())) < 1e-12


@pytest.mark.parametrize("p", [0.125, 0.5, 0.75])
def test_frequency_with_a_prior_and_constant_penalty_one_is_twice_the_log_odds_rule(p):
    units = Stamina(
        8, activity="frequency", penalty_form="constant", firing_prior=p, stamina_decay=0.0
    ).double()
    x = torch.randn(40, 8, dtype=torch.float64)
    units(x)
    torch.testing.assert_close(units.gain, 2 * ((x > 0).double() - p).mean(0), rtol=0, atol=1e-12)


# Stamina as the ReLU


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_stamina_is_the_relu_while_all_are_alive(shape, training):
    x = torch.randn(shape, requires_grad=True)
    grad = torch.randn(shape)
    ours, relu = Stamina(6).train(training)(x), F.relu(x)
    assert torch.equal(ours, relu)
    assert torch.equal(torch.autograd.grad(ours, x, grad)[0], torch.autograd.grad(relu, x, grad)[0])


def test_a_dead_neuron_gives_zero_and_gets_no_gradient():
    units = Stamina(4)
    units.alive[2] = False
    x = (torch.rand(5, 4) + 1).requires_grad_()
    y = units(x)
    y.sum().backward()
    assert torch.equal(y, x * torch.tensor([1, 1, 0, 1]))
    assert torch.equal(x.grad, torch.tensor([1.0, 1, 0, 1]).expand(5, 4))


def test_the_neurons_that_die_in_a_forward_pass_still_take_part_in_its_backward_pass():
    units = Stamina(3, **(EAGER | dict(hebbian_threshold=1e9)))
    x = torch.ones(2, 3, requires_grad=True)
    units(x).sum().backward()
    assert dead(units) == [0, 1, 2]
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


# deaths


def test_a_neuron_stays_iff_its_stamina_is_above_the_threshold():
    units = event([0.25, 0.2499999, 0.2500001, -3.0, 3.0, 0.0], reference=4.0, hebbian_threshold=0.25)
    assert dead(units) == [0, 1, 3, 5]


def test_nobody_dies_before_the_end_of_the_warm_up_and_between_the_periods():
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


def test_at_most_a_fraction_of_the_living_dies_at_an_event_the_weakest_first():
    units = event([-1.0, -8.0, -3.0, 5.0, -2.0, -4.0, -7.0, -6.0], max_deaths=0.25)
    assert dead(units) == [1, 6]
    silence(units)  # a quarter of six
    assert dead(units) == [1, 6, 7]


@pytest.mark.parametrize(("max_deaths", "deaths"), [(0.0, 0), (0.01, 1), (0.5, 3), (0.7, 4), (1.0, 6)])
def test_the_cap_is_rounded_down_but_lets_one_die_unless_it_is_zero(max_deaths, deaths):
    assert len(dead(event([-1.0] * 6, max_deaths=max_deaths))) == deaths


def test_of_equally_weak_neurons_the_first_dies():
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


# regrowth


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


def test_without_a_seed_pytorchs_generator_decides():
    torch.manual_seed(3)
    first, second = Stamina(4).seed, Stamina(4).seed
    torch.manual_seed(3)
    assert Stamina(4).seed == first != second


LIVELY = dict(regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5)


def test_stacked_units_die_and_return_as_alone():
    layers = [Stamina(12, seed=seed, **(EAGER | LIVELY)) for seed in (1, 2, 3)]
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
    dict(LIVELY),
    LIVELY | dict(activity="frequency", penalty_form="ratio"),
    LIVELY | dict(large_neuron_penalty=0.5, entropy_bonus=0.25),
]
IDS = ["activation", "frequency", "regularised"]


@pytest.mark.parametrize("knobs", CHANNELS, ids=IDS)
@pytest.mark.parametrize("kind", [Stamina, InputStamina])
@pytest.mark.parametrize("shape", [(4, 12, 3, 5), (4, 12, 7), (4, 12)])
def test_channels_are_neurons_and_places_are_samples(shape, kind, knobs):
    if kind is InputStamina and "entropy_bonus" in knobs:
        knobs = knobs | dict(entropy_bonus=0.0)  # of negative shares there is none
    maps, rows = (kind(12, dim=dim, seed=1, **EAGER | knobs) for dim in (1, -1))
    patterns = set()
    for x in torch.randn(20, *shape):
        x.masked_fill_(x.abs() < 0.8, 0).requires_grad_()  # silent, too
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


def test_channels_are_accounted_exactly_under_autocast():
    x = torch.randn(5, 301, 3, 4).bfloat16()
    rough, exact = (Stamina(301, dim=1, large_neuron_penalty=0.5, hebbian_threshold=NEVER) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = rough(x.requires_grad_())
    y.float().sum().backward()
    exact(x.detach().float())
    assert y.dtype == torch.bfloat16
    assert x.grad.isfinite().all()
    assert torch.equal(rough.stamina, exact.stamina)


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
def test_stacked_channels_die_and_return_as_alone(knobs):
    nets = [channel_net(seed, **knobs) for seed in (1, 2, 3)]
    stack = Stack(nets, torch.device("cpu"))
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
    solo = zip(*(task_grads(net, x, targets) for net in nets), strict=True)
    for ours, theirs in zip(stacked, solo, strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-4, atol=1e-5)


# regularisers


def literal_loss(mean_output, large, bonus):
    """The regulariser as written, over the living neurons' mean outputs."""
    share = mean_output / mean_output.sum()
    entropy = -sum(q * q.log() for q in share if q > 0)
    return large * ((mean_output / mean_output.mean() - 1) ** 2).sum() - bonus * entropy


def regularised_net(**knobs):
    return nn.Sequential(
        nn.Linear(5, 6), Stamina(6, hebbian_threshold=NEVER, **knobs), nn.Linear(6, 3)
    ).double()


def task_grads(net, x, y):
    return torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))


X = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3


@pytest.mark.parametrize("killed", [[], [1, 4]], ids=["all alive", "two dead"])
@pytest.mark.parametrize(("large", "bonus"), [(0.5, 0.0), (0.0, 0.25), (0.125, 2.0)])
def test_the_regularisers_add_the_gradient_of_the_literal_formula(large, bonus, killed):
    net = regularised_net(large_neuron_penalty=large, entropy_bonus=bonus)
    net[1].alive[killed] = False
    alive = net[1].alive.clone()

    hidden = F.relu(net[0](X)) * alive
    loss = F.cross_entropy(net[2](hidden), Y) + literal_loss(hidden.mean(0)[alive], large, bonus)
    expected = torch.autograd.grad(loss, list(net.parameters()))
    torch.testing.assert_close(task_grads(net, X, Y), expected, rtol=1e-9, atol=1e-12)

    plain = regularised_net()
    plain.load_state_dict(net.state_dict())
    assert not torch.allclose(task_grads(plain, X, Y)[0], expected[0], rtol=1e-3)


def test_the_regularisers_of_a_stack_are_those_of_each_net():
    nets = [
        regularised_net(large_neuron_penalty=large, entropy_bonus=bonus)
        for large, bonus in ((0.5, 0.0), (0.0, 0.25), (0.125, 2.0))
    ]
    nets[1][1].alive[2] = False
    parameters, buffers = stack_module_state(nets)
    buffers = {name: value.clone() for name, value in buffers.items()}

    def loss(parameters, buffers):
        return F.cross_entropy(functional_call(nets[0], (parameters, buffers), (X,)), Y)

    stacked = torch.autograd.grad(vmap(loss)(parameters, buffers).sum(), list(parameters.values()))
    solo = [torch.stack(grads) for grads in zip(*(task_grads(net, X, Y) for net in nets), strict=True)]
    torch.testing.assert_close(list(stacked), solo, rtol=1e-9, atol=1e-12)


def test_an_all_dead_layer_has_finite_regularisers():
    net = regularised_net(large_neuron_penalty=1.0, entropy_bonus=1.0)
    net[1].alive.zero_()
    assert all(grad.isfinite().all() for grad in task_grads(net, X, Y))


@pytest.mark.parametrize("knob", ["entropy_bonus", "large_neuron_penalty"])
def test_training_with_a_regulariser_makes_expected_outputs_more_uniform(knob):
    def distance_to_uniform(weight):
        torch.manual_seed(1)
        net = regularised_net(**{knob: weight})
        with torch.no_grad():  # a layer of very unequal neurons
            net[0].weight.mul_(torch.logspace(-1, 1, 6)[:, None])
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(X), Y).backward()
            optimizer.step()
        output = F.relu(net[0](X)).mean(0).detach()
        share = output / output.sum()
        return float(torch.special.xlogy(share, share * 6).sum())  # log 6 - H(q)

    assert distance_to_uniform(1.0) < 0.1 * distance_to_uniform(0.0)


# keeping and copying


def saved_and_loaded(units):
    fresh = Stamina(units.num_neurons, seed=999, **(EAGER | LIVELY))
    fresh.load_state_dict(units.state_dict())
    return fresh


@pytest.mark.parametrize(
    "twin",
    [saved_and_loaded, copy.deepcopy, lambda units: pickle.loads(pickle.dumps(units))],
    ids=["state_dict", "deepcopy", "pickle"],
)
def test_a_copy_made_in_mid_training_goes_on_in_the_same_way(twin):
    units = Stamina(12, seed=8, **(EAGER | LIVELY))
    batches = torch.randn(30, 16, 12)
    for x in batches[:15]:
        units(x)
    assert 0 < int(units.alive.sum()) < 12
    other = twin(units)
    alive = []
    for x in batches[15:]:
        assert torch.equal(units(x), other(x))
        alive.append(tuple(units.alive.tolist()))
    assert len(set(alive)) > 3
    for name, value in units.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


# input units


def test_input_stamina_is_the_identity_and_masks_the_dead():
    units = InputStamina(4)
    units.alive[1] = False
    x = torch.randn(6, 4)
    assert torch.equal(units(x), x * torch.tensor([1, 0, 1, 1]))
    assert torch.equal(units.eval()(x), x * torch.tensor([1, 0, 1, 1]))


def test_a_constant_input_dies():
    units = InputStamina(5, warmup=10, prune_period=5)
    for _ in range(10):
        x = torch.randn(16, 5)
        x[:, 3] = 0.0  # what standardising makes of a constant
        units(x)
    assert dead(units) == [3]


# knobs and complaints


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
def test_every_knob_is_a_tensor_buffer_with_its_default(kind):
    buffers = dict(kind(6).named_buffers())
    for name, knob in kind.knobs.items():
        default = knob.choices.index(knob.default) if knob.kind is str else knob.default
        assert torch.equal(buffers[name], torch.full_like(buffers[name], default)), name


@pytest.mark.parametrize("knob", Stamina.knobs.values(), ids=Stamina.knobs.keys())
def test_a_knob_allows_its_default_and_its_sensible_range(knob):
    assert knob.problem(knob.default) is None
    if knob.choices:
        assert knob.default in knob.choices
    else:
        assert knob.low <= knob.sensible[0] < knob.sensible[1] <= knob.high
        assert not knob.log or knob.sensible[0] > 0


def test_alone_stamina_takes_what_needs_no_neighbours():
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
def test_what_needs_neighbours_is_refused_in_training_alone(knobs, named):
    units = Stamina(4, **knobs)
    assert complaint(units, torch.randn(2, 4)) == (
        f"Stamina: {named} needs the layers around it; call hebbevo.nn.attach(model, optimizer)"
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
def test_unknown_knobs_and_values_out_of_range_are_refused_in_one_line(knobs, line):
    assert complaint(Stamina, 3, **knobs) == line


def test_an_unknown_knob_that_resembles_none_lists_them_all():
    line = complaint(Stamina, 3, xyz=1)
    assert line == f"Stamina: unknown knob 'xyz'; known: {', '.join(Stamina.knobs)}"


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
def test_to_configure_is_to_construct_with_these_knobs(kind, dim):
    whole, later = kind(4, dim=dim, seed=1, **KNOBS), kind(4, dim=dim, seed=1)
    for name, value in KNOBS.items():
        later.configure(**{name: value})
    assert vars(whole).keys() == vars(later).keys()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, later.state_dict()[name]), name
    assert (later.regularised, later.alive.tolist()) == (True, [True, True, False, False])
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
def test_configure_with_a_mistake_sets_nothing(mistake):
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
    assert not units.regularised
    units(torch.ones(2, 4))  # nothing is asked for


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


def test_what_is_asked_for_and_regularised_follow_the_knobs():
    units = Stamina(4, handover=True, entropy_bonus=0.5)
    units.configure(settle=0.5)
    assert "handover, settle needs" in complaint(units, torch.ones(2, 4))
    units.configure(handover=False)
    assert "Stamina: settle needs" in complaint(units, torch.ones(2, 4))
    units.configure(settle=0.0)
    units(torch.ones(2, 4))
    assert units.regularised
    units.configure(entropy_bonus=0.0)
    assert not units.regularised
    units.configure(large_neuron_penalty=0.5)
    assert units.regularised


def test_copies_are_configured_apart():
    units = Stamina(4, handover=True)
    other = copy.deepcopy(units)
    other.configure(handover=False, entropy_bonus=0.5)
    other(torch.ones(2, 4))
    assert (units.regularised, other.regularised) == (False, True)
    assert "handover needs" in complaint(units, torch.ones(2, 4))


@pytest.mark.parametrize("kind", [Stamina, InputStamina])
def test_units_are_made_and_configured_without_memory(kind):
    with torch.device("meta"):
        units, plain = kind(4, dim=1, **KNOBS), kind(4)
        plain.configure(initial_neurons=0.5, large_neuron_penalty=0.5)
    real = kind(4, dim=1, **KNOBS)
    assert all(buffer.is_meta for buffer in units.buffers())
    shapes = {name: (value.shape, value.dtype) for name, value in units.state_dict().items()}
    assert shapes == {name: (value.shape, value.dtype) for name, value in real.state_dict().items()}
    assert units.regularised
    assert plain.regularised
    x = torch.ones(2, 4)
    assert complaint(units, x.to("meta")) == complaint(real, x)
    assert plain(x.to("meta")).is_meta

    units.to_empty(device="cpu").load_state_dict(real.state_dict())
    assert torch.equal(units.eval()(x), real.eval()(x))


@pytest.mark.parametrize(
    ("asks", "problem"),
    [
        (dict(hears=True, hands_over=True, exclusive=True), ""),
        (
            dict(hears=True, hands_over=False, exclusive=True),
            "handover needs a layer that listens to it directly and has a bias, and none is found",
        ),
        (
            dict(hears=False, hands_over=True, exclusive=False),
            "activity=contribution needs a layer that listens to it, and none is found, "
            "rebirth=fresh needs listeners by which nobody else is heard, and none is found",
        ),
    ],
    ids=["all", "no bias", "nobody"],
)
def test_units_say_what_their_neighbours_cannot_give(asks, problem):
    assert Stamina(4, **KNOBS).unmet(**asks) == problem
    assert Stamina(4).unmet(hears=False, hands_over=False, exclusive=False) == ""


def test_a_complaint_names_the_kind_of_units():
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
