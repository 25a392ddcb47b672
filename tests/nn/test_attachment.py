import copy
import pickle
from itertools import pairwise
from shutil import which

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, Stamina, attach, masked

NEVER = -1e9  # a threshold that no stamina falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
CALM = EAGER | dict(hebbian_threshold=NEVER)
LIVELY = EAGER | dict(
    regrowth_rate=0.3, hebbian_threshold=0.8, grace=2, stamina_decay=0.5, max_deaths=0.5, rebirth="old"
)
SGD = dict(optimizer=torch.optim.SGD, lr=0.1, momentum=0.9)
STILL = dict(optimizer=torch.optim.SGD, lr=0.0)


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
def test_settling_brings_the_learning_rate_to_zero_and_gives_it_back_after_each_step(lr, training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=lr)
    assert rates_used(one, 10) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)
    assert float(one.optimizer.param_groups[0]["lr"]) == pytest.approx(0.001)


def test_a_training_that_runs_on_after_settling_is_warned_once_and_stays_at_rate_zero(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 10)
    with pytest.warns(UserWarning) as caught:
        assert rates_used(one, 3) == [0, 0, 0]
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "attach: total_steps=10 is over and the learning rate is zero from now on; "
        "give the steps of the whole training"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.001


def test_settling_works_under_a_scheduler(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(one.optimizer, gamma=0.9)
    rates = []
    for _ in range(10):
        rates += rates_used(one, 1)
        scheduler.step()
    assert rates == pytest.approx([0.001 * f * 0.9**i for i, f in enumerate(SETTLING)], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.9**10)


def test_a_resumed_training_settles_where_it_was(training):
    first = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(first, 7)
    second = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    second.net.load_state_dict(first.net.state_dict())
    assert rates_used(second, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def with_closures(one, how):
    """Learning rate of each of ten steps of plain SGD, whose forward and backward passes are in a closure."""

    def closure():
        one.optimizer.zero_grad()
        loss = one.net(torch.randn(16, 4)).sum()
        loss.backward()
        return loss

    rates = []
    for _ in range(10):
        before = one.behind.bias.detach().clone()
        assert torch.is_tensor(how(one.optimizer, closure))
        rates.append(float((before - one.behind.bias.detach()).mean() / 16))
    return rates


@pytest.mark.parametrize(
    "how",
    [lambda optimizer, closure: optimizer.step(closure), lambda o, closure: o.step(closure=closure)],
    ids=["position", "keyword"],
)
def test_with_a_closure_settling_slows_the_same_steps_as_without(how, training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    assert with_closures(one, how) == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_where_a_closure_raises_the_learning_rate_is_given_back_at_once(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 7)

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.optimizer.step(closure)
    assert one.optimizer.param_groups[0]["lr"] == 0.001
    assert "full_lr" not in one.optimizer.param_groups[0]
    assert rates_used(one, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)


def test_where_a_step_fails_without_a_closure_the_next_ones_have_their_learning_rates(training):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    rates_used(one, 6)

    def fail(*_):
        raise RuntimeError("out of memory")

    hook = one.optimizer.register_step_pre_hook(fail)  # after attach's own
    with pytest.raises(RuntimeError, match="out of memory"):
        rates_used(one, 1)
    hook.remove()
    assert rates_used(one, 3) == pytest.approx([0.001 * factor for factor in SETTLING[7:]], abs=1e-6)
    assert one.optimizer.param_groups[0]["lr"] == 0.001


def test_two_models_of_one_optimizer_settle_and_the_learning_rate_is_given_back():
    nets = [nn.Sequential(nn.Linear(4, 6), Stamina(6, settle=0.5, **CALM), nn.Linear(6, 3)) for _ in range(2)]
    optimizer = torch.optim.SGD([each for net in nets for each in net.parameters()], lr=0.1)
    for net in nets:
        attach(net, optimizer, total_steps=4)
    for factor in (1, 1, 1, 0.5):
        sum(net(torch.randn(8, 4)).sum() for net in nets).backward()
        before = [net[2].bias.detach().clone() for net in nets]
        optimizer.step()
        for net, bias in zip(nets, before, strict=True):
            torch.testing.assert_close(bias - net[2].bias, 0.1 * factor * net[2].bias.grad)
        assert optimizer.param_groups[0]["lr"] == 0.1
        optimizer.zero_grad()


@pytest.mark.parametrize("settle", [0.0, 0.4])
def test_no_unit_dies_or_returns_while_settling(settle, training):
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


def growing(training, losses, **knobs):
    """Neurons alive after each step of a layer of 8 that starts with a quarter of them."""
    one = training(Stamina(8, initial_neurons=0.25, growth_rate=1.0, **CALM | knobs), **STILL)
    alive = []
    for loss in losses:
        one.net(torch.randn(16, 4)).sum().backward()
        one.attachment.observe(loss)
        one.optimizer.step()
        alive.append(int(one.units.alive.sum()))
    return alive


def test_a_layer_grows_after_patience_events_without_a_lower_loss(training):
    assert growing(training, [1.0] * 5, patience=1) == [2, 8, 8, 8, 8]
    assert growing(training, [1.0] * 5, patience=3) == [2, 2, 2, 8, 8]
    assert growing(training, [1.0] * 8, patience=2, prune_period=2) == [2, 2, 2, 2, 2, 8, 8, 8]


def test_a_layer_does_not_grow_while_the_loss_falls(training):
    assert growing(training, [10.0 - step for step in range(8)], patience=1) == [2] * 8
    assert growing(training, [5.0, 5.0, 4.0, 4.0, 3.0, 3.0], patience=2) == [2] * 6


def test_a_loss_may_be_a_number_or_a_tensor_of_any_kind(training):
    losses = [2, torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(2), 2.0]
    assert growing(training, losses, patience=3) == [2, 2, 2, 8]


def test_neurons_that_join_are_silent_at_first(training):
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
def test_an_attached_net_can_be_copied_and_attached_anew(twin, training):
    one = training(Stamina(12, seed=9, **LIVELY | dict(activity="contribution", rebirth="fresh")), **SGD)
    for _ in range(5):
        one.step()
    other = type(one)(twin(one.net), **SGD)
    other.optimizer.load_state_dict(copy.deepcopy(one.optimizer.state_dict()))
    before = one.units.alive.clone()
    for x in torch.randn(10, 16, 4):
        one.step(x)
        other.step(x)
    assert not torch.equal(one.units.alive, before)
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_an_attached_net_works_as_if_never_attached(twin, training, complaint):
    one = training(Stamina(6, regrowth_rate=1.0, **CALM), **STILL)
    other = twin(one.net)
    other[1].gain[2] = -2e9
    other[1].reference.fill_(1.0)
    dead = []
    for _ in range(2):
        other(torch.randn(16, 4))
        dead.append(torch.nonzero(~other[1].alive).flatten().tolist())
    assert dead == [[2], []]
    needy = twin(training(Stamina(6, rebirth="fresh"), **STILL).net)
    assert complaint(needy, torch.randn(16, 4)) == (
        "Stamina: rebirth=fresh needs more than the module alone; "
        "call hebbevo.nn.attachment(model, optimizer, total_steps=N)"
    )


def test_detached_units_keep_their_mask_and_stop_changing(training):
    one = training(Stamina(6, settle=0.9, **EAGER), total_steps=100, **SGD)
    one.units.alive[2] = False
    one.attachment.detach()
    one.kill(0, 1, 3)
    one.step()
    assert one.dead() == [2]
    assert one.optimizer.param_groups[0]["lr"] == 0.1


# attaching again


def attached(training, times):
    """The living units, and the learning rate, in each of ten steps of a net attached ``times`` times."""
    units = Stamina(40, seed=9, settle=0.5, **EAGER | dict(max_deaths=0.05, hebbian_threshold=1.0))
    one = training(units, total_steps=10, optimizer=torch.optim.SGD, lr=0.001)
    for _ in range(times - 1):
        one.attachment = attach(one.net, one.optimizer, total_steps=10)
    alive, rates = [], []
    for _ in range(10):
        rates += rates_used(one, 1)
        alive.append(one.units.alive.tolist())
    return alive, rates


def test_attaching_again_doubles_no_deaths_and_slows_no_learning_rate_twice(training):
    (once, rates), (again, their_rates) = attached(training, 1), attached(training, 3)
    assert [sum(each) for each in once[:3]] == [38, 37, 36]
    assert again == once
    assert their_rates == rates == pytest.approx([0.001 * factor for factor in SETTLING], abs=1e-6)


def test_the_attachment_made_last_is_the_one_that_works(training):
    one = training(Stamina(6, **CALM), **STILL)
    attach(one.net, one.optimizer).detach()
    one.kill(2)
    one.step()
    assert one.dead() == []


def test_a_refused_attachment_leaves_the_one_before_in_place(training, complaint):
    one = training(Stamina(6, **CALM), **STILL)
    one.units.configure(settle=0.5)
    complaint(attach, one.net, one.optimizer)
    one.kill(2)
    one.step()
    assert one.dead() == [2]


def test_attaching_a_second_model_to_an_optimizer_leaves_the_first_attached(training):
    one = training(Stamina(6, **CALM), **STILL)
    other = nn.Sequential(nn.Linear(4, 6), Stamina(6, **CALM), nn.Linear(6, 3))
    one.optimizer.add_param_group(dict(params=list(other.parameters())))
    attach(other, one.optimizer)
    one.kill(2)
    one.step()
    assert one.dead() == [2]


def test_a_second_training_may_go_on_where_the_first_has_ended(training, complaint):
    one = training(Stamina(6, settle=0.5, **CALM), total_steps=4, **STILL)
    for _ in range(4):
        one.step()
    assert complaint(attach, one.net, one.optimizer, total_steps=4) == (
        "attach: total_steps=4 is over, the model has taken 4 forward steps; "
        "give the steps of all its trainings"
    )
    attach(one.net, one.optimizer, total_steps=8)
    one.step()
    assert one.units.steps == 5


# steps of the optimizer that are rarer than those of the model


def test_an_event_between_the_steps_of_the_optimizer_comes_with_the_next_of_them(training):
    one = training(Stamina(6, **CALM | dict(prune_period=3)), **STILL)
    dead = []
    for batches in (1, 3, 1, 3):  # gradients are accumulated
        one.kill(len(dead))
        for _ in range(batches):
            one.net(torch.randn(16, 4)).sum().backward()
        one.optimizer.step()
        dead.append(one.dead())
    # steps 1, 2-4, 5 and 6-8
    assert dead == [[], [0, 1], [0, 1], [0, 1, 2, 3]]


def test_a_step_that_a_scaler_leaves_out_delays_the_event_and_does_not_lose_it(training):
    one = training(Stamina(6, **CALM | dict(prune_period=2)), **STILL)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    dead = []
    for step, spoiled in enumerate([False, True, False], start=1):
        if step == 2:
            one.kill(2)
        loss = one.net(torch.randn(16, 4)).sum()
        scaler.scale(loss * (torch.inf if spoiled else 1)).backward()
        scaler.step(one.optimizer)
        scaler.update()
        one.optimizer.zero_grad()
        dead.append(one.dead())
    assert dead == [[], [], [2]]


def test_a_second_step_of_the_optimizer_after_the_same_forward_step_is_no_second_event(training):
    one = training(Stamina(6, **CALM | dict(max_deaths=0.2)), **STILL)
    one.kill(2, 3)
    one.step()
    one.optimizer.step()
    assert one.units.alive.sum() == 5


@pytest.mark.parametrize("trained", [0, 9], ids=["at first", "in the middle"])
def test_where_a_checkpoint_is_loaded_no_event_comes_between_those_that_were_due(trained, training):
    one = training(Stamina(6, **CALM | dict(prune_period=5)), **STILL)
    for _ in range(trained):
        one.step()
    one.units.load_state_dict(one.units.state_dict() | {"steps": torch.tensor(7 if trained else 13)})
    one.kill(2)
    dead = []
    for _ in range(3):
        one.step()
        dead.append(one.dead())
    assert dead == ([[], [], [2]] if trained else [[], [2], [2]])  # at steps 10 and 15


class Counted(dict):
    """An optimizer's state that counts how often it is gone through."""

    times = 0

    def items(self):
        self.times += 1
        return super().items()


def test_the_moments_are_collected_only_where_a_unit_is_due_and_once_for_all():
    net = nn.Sequential(
        nn.Linear(4, 6),
        Stamina(6, **CALM | dict(prune_period=3)),
        nn.Linear(6, 6),
        Stamina(6, **CALM | dict(prune_period=3)),
        nn.Linear(6, 3),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    attach(net, optimizer)
    optimizer.state = Counted((parameter, {}) for parameter in net.parameters())
    times = []
    for _ in range(6):
        net(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        times.append(optimizer.state.times)
    assert times == [0, 0, 1, 1, 1, 2]


# models inside a wrapper


class Fabric(nn.Module):
    """What Fabric makes of a model: the model, and behind it what is called."""

    def __init__(self, model):
        super().__init__()
        self._forward_module = self._original_module = model

    def forward(self, x):
        return self._forward_module(x)


WRAPPERS = {
    "compile": lambda net: torch.compile(net, backend="eager"),
    "Fabric": Fabric,
    "DataParallel": nn.DataParallel,
    "compile, Fabric": lambda net: torch.compile(Fabric(net), backend="eager"),
    "DataParallel, compile": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
}


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_model_is_attached_as_the_model_itself(wrapper):
    net = nn.Sequential(
        nn.Linear(4, 6), Stamina(6, seed=2, regrowth_rate=1.0, rebirth="fresh", **CALM), nn.Linear(6, 3)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    attach(net, optimizer)
    wrapped = wrapper(net)
    attach(wrapped, optimizer)  # and is known to be the same
    assert len(optimizer._optimizer_step_post_hooks) == 1
    net[1].alive[2] = False
    before = net[0].weight.detach().clone()
    wrapped(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert (net[0].weight != before).any(1).tolist() == [False, False, True, False, False, False]
    assert (net[2].weight == 0).all(0).tolist() == [False, False, True, False, False, False]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch is built without it")
@pytest.mark.parametrize("within", [lambda net: net, Fabric], ids=["alone", "Fabric"])
def test_a_distributed_model_is_refused(within, complaint):
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = within(nn.parallel.DistributedDataParallel(net))
        assert complaint(attach, model, torch.optim.SGD(net.parameters())) == (
            "attach: DistributedDataParallel is not supported, every rank would rewire from its own "
            "statistics; train in one process"
        )
    finally:
        torch.distributed.destroy_process_group()


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
def test_attached_units_take_what_they_refuse_alone(knobs, training):
    one = training(Stamina(6, **knobs), total_steps=10, **SGD)
    one.attachment.observe(1.0)
    one.step()
    assert one.units.steps == 1


def test_a_model_without_a_plastic_module_is_refused(complaint):
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == (
        "attach: the model has no plastic module; put a Stamina or a HebbMask into it"
    )


def test_an_optimizer_of_another_model_is_refused(complaint):
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    assert complaint(attach, net, torch.optim.SGD(copy.deepcopy(net).parameters())) == (
        "attach: the optimizer has none of the model's parameters; make it of model.parameters()"
    )


def test_an_optimizer_of_a_part_of_the_model_is_taken():
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    attach(net, torch.optim.SGD(net[2].parameters()))


def test_settling_without_the_training_length_is_refused(training, complaint):
    assert complaint(training, Stamina(6, settle=0.5), **SGD) == (
        "attach: settle needs the training's length; give attach(..., total_steps=N)"
    )


def test_growth_without_an_observed_loss_is_refused_and_the_learning_rate_given_back(training, complaint):
    one = training(Stamina(6, growth_rate=0.5, settle=0.5), total_steps=2, **SGD)
    one.units.steps.fill_(1)
    one.net(torch.randn(2, 4)).sum().backward()
    assert complaint(one.optimizer.step) == (
        "1: growth_rate needs the training loss; call observe(loss) of what attach returned"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.1


READ = "activity=contribution needs a layer that reads the units, and none is found"
FOLDED = "handover needs a layer that reads the units directly and has a bias, and none is found"
FRESH = (
    "rebirth=fresh needs layers that read these units by weights which nothing else uses, and none is found"
)
REMEDY = "put an nn.Linear or a convolution of its own behind it"


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        (dict(activity="contribution"), READ),
        (dict(handover=True), FOLDED),
        (dict(rebirth="fresh"), FRESH),
        (dict(rebirth="fresh", handover=True), f"{FOLDED}, {FRESH}"),
    ],
)
def test_what_needs_a_listener_is_refused_where_none_is_found(knobs, problem, complaint):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, **knobs))
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"1: {problem}; {REMEDY}"


@pytest.mark.parametrize(
    "behind",
    [
        [nn.BatchNorm1d(3), nn.Linear(3, 2)],
        [nn.Tanh(), nn.Linear(3, 2)],
        [nn.Linear(3, 2, bias=False)],
        [nn.Linear(3, 2).requires_grad_(False)],
    ],
    ids=["norm", "tanh", "no bias", "frozen"],
)
def test_handover_is_refused_where_no_bias_can_take_a_mean_output(behind, complaint):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, handover=True), *behind)
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"1: {FOLDED}; {REMEDY}"


class Beside(nn.Module):
    """Linear layers on both sides of 6 units, of which some also are somewhere else."""

    def __init__(self, feeder, listener, knobs):
        super().__init__()
        self.feeder, self.units, self.listener = nn.Linear(6, 6), Stamina(6, **CALM | knobs), nn.Linear(6, 6)
        self.feeder.requires_grad_(feeder != "frozen")
        self.listener.requires_grad_(listener != "frozen")
        self.shared = (feeder == "shared", listener == "shared")

    def forward(self, x):
        y = self.listener(self.units(self.feeder(x)))
        y = y + self.feeder(x) if self.shared[0] else y
        return y + self.listener(x) if self.shared[1] else y


def beside(feeder="", listener="", **knobs):
    return Beside(feeder, listener, knobs)


class Residual(nn.Module):
    """A stream of 16 channels through two blocks."""

    def __init__(self, **outer):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 5)
        for name in ("first", "second"):
            block = nn.ModuleDict(
                {
                    "conv1": nn.Conv2d(16, 16, 3, padding=1), "inner": Stamina(16, dim=1, **CALM),
                    "conv2": nn.Conv2d(16, 16, 3, padding=1), "outer": Stamina(16, dim=1, **CALM | outer),
                }
            )  # fmt: skip
            self.add_module(name, block)

    def forward(self, x):
        x = self.stem(x)
        for block in (self.first, self.second):
            x = block["outer"](block["conv2"](block["inner"](block["conv1"](x))) + x)
        return self.head(x.mean((2, 3)))


def test_fresh_incoming_weights_are_refused_where_the_listeners_are_not_the_units_own(complaint):
    for net, name in (
        (Residual(rebirth="fresh"), "first.outer"),
        (beside(listener="frozen", rebirth="fresh"), "units"),
        (beside(listener="shared", rebirth="fresh"), "units"),
    ):
        assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"{name}: {FRESH}; {REMEDY}"


def test_fresh_incoming_weights_are_taken_where_only_the_feeder_is_not_the_units_own():
    for kind in ("frozen", "shared"):
        net = beside(feeder=kind, rebirth="fresh")
        attach(net, torch.optim.SGD(net.parameters()))


def test_units_are_attached_as_they_are_configured_by_then(training, complaint):
    net = Residual()
    optimizer = torch.optim.SGD(net.parameters())
    net.first["outer"].configure(rebirth="fresh", settle=0.5)
    assert complaint(attach, net, optimizer, total_steps=9) == f"first.outer: {FRESH}; {REMEDY}"
    net.first["outer"].configure(rebirth="auto")
    assert complaint(attach, net, optimizer).startswith("attach: settle needs the training's length;")
    net.first["outer"].configure(settle=0.0)
    net.first["inner"].configure(rebirth="fresh")
    attach(net, optimizer)


def test_where_no_layer_reads_the_units_a_neuron_returns_with_its_old_weights():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, regrowth_rate=1.0, **CALM))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net[1].alive[1] = False
    before = copy.deepcopy(net[0].state_dict())
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert net[1].alive.all()
    assert all(torch.equal(before[name], value) for name, value in net[0].state_dict().items())


# models that cannot be followed


class Moody(nn.Module):
    """A net whose forward looks at the data."""

    def __init__(self, **knobs):
        super().__init__()
        self.before, self.units, self.behind = nn.Linear(4, 6), Stamina(6, **CALM | knobs), nn.Linear(6, 3)

    def forward(self, x):
        h = self.units(self.before(x))
        return self.behind(h if x.sum() > 0 else -h)


def test_a_model_that_cannot_be_followed_is_trained_with_a_warning_and_old_weights():
    net = Moody(regrowth_rate=1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).startswith("attach: Moody: its forward cannot be followed (")
    assert str(warning.message).endswith(
        "); keep data-dependent control flow out of forward; until then its units work alone"
    )
    weights = copy.deepcopy([parameter.detach() for parameter in net.parameters()])
    alive = []
    for _ in range(2):
        net.units.gain[3] = -2e9
        net.units.reference.fill_(1.0)
        net(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        alive.append(net.units.alive.tolist())
    assert alive == [[True, True, True, False, True, True], [True] * 6]
    assert all(torch.equal(one, other) for one, other in zip(weights, net.parameters(), strict=True))


def test_a_model_that_cannot_be_followed_settles_and_grows():
    net = Moody(initial_neurons=0.5, growth_rate=1.0, patience=1, settle=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="cannot be followed"):
        attachment = attach(net, optimizer, total_steps=4)
    for _ in range(2):
        net(torch.randn(8, 4)).sum().backward()
        attachment.observe(1.0)
        optimizer.step()
    assert net.units.alive.all()
    assert net.units.total_steps == 4


def test_what_needs_a_listener_is_refused_where_the_model_cannot_be_followed(complaint):
    net = Moody(rebirth="fresh")
    line = complaint(attach, net, torch.optim.SGD(net.parameters()))
    assert line.startswith(f"units: {FRESH}; Moody: its forward cannot be followed (")
    assert line.endswith("; keep data-dependent control flow out of forward")


def test_units_inside_a_mask_work_alone_with_a_warning():
    inner = nn.Sequential(nn.Linear(4, 6), Stamina(6, regrowth_rate=1.0, **CALM), nn.Linear(6, 3))
    net = nn.Sequential(HebbMask(inner, ["0.weight"], permanence_rate=0.0))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    assert [str(each.message) for each in caught] == [
        "attach: 0.module.1: is inside a mask, where nothing is followed; put it outside; "
        "until then its units work alone"
    ]
    inner[1].alive[2] = False
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert inner[1].alive.all()
    assert all(torch.equal(value, before[f"0.module.{name}"]) for name, value in inner.named_parameters())


def test_units_that_are_used_twice_work_alone_with_a_warning_while_the_others_are_wired():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.square, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5)
            self.units = Stamina(6, regrowth_rate=1.0, **CALM | dict(prune_period=2))
            self.other, self.head = Stamina(5, regrowth_rate=1.0, **CALM), nn.Linear(5, 3)

        def forward(self, x):
            h = self.units(self.square(self.units(self.first(x))))
            return self.head(self.other(self.last(h)))

    net = Twice()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    (warning,) = caught
    assert str(warning.message) == (
        "attach: units: is not called once in forward; give each layer its own module; "
        "until then its units work alone"
    )
    net.units.alive[1] = net.other.alive[2] = False
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert net.units.alive.all()
    assert net.other.alive.all()
    for name in ("first", "square"):
        assert torch.equal(net.get_submodule(name).weight, before[f"{name}.weight"])
    assert (net.last.weight != before["last.weight"]).any(1).tolist() == [False, False, True, False, False]
    assert (net.head.weight == 0).all(0).tolist() == [False, False, True, False, False]


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param("inductor", marks=pytest.mark.skipif(not which("g++"), reason="there is no compiler")),
    ],
)
def test_a_compiled_model_is_wired_like_the_model_itself(backend):
    pair = []
    for compiled in (False, True):
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(4, 12), Stamina(12, seed=9, **LIVELY), nn.Linear(12, 3))
        net[1].configure(rebirth="fresh", handover=True)
        net = torch.compile(net, backend=backend) if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        attach(net, optimizer)
        torch.manual_seed(6)
        patterns = []
        for _ in range(8):
            optimizer.zero_grad()
            net(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
            units = (net._orig_mod if compiled else net)[1]
            patterns.append(tuple(units.alive.tolist()))
        pair.append((patterns, [parameter.detach() for parameter in net.parameters()]))
    (patterns, weights), (as_compiled, weights_as_compiled) = pair
    assert len(set(patterns)) > 4
    assert as_compiled == patterns
    torch.testing.assert_close(weights_as_compiled, weights)


def test_moments_are_cleared_under_whatever_name_a_layer_is_called():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 4)
            self.masked = masked("magnitude", self.layer, density=0.25, warmup=0, prune_period=1)

        def forward(self, x):
            return self.masked(x)

    net = Twice()
    optimizer = torch.optim.Adam(net.parameters())
    attach(net, optimizer, total_steps=4)
    for _ in range(4):
        optimizer.zero_grad()
        net(torch.randn(8, 5)).square().sum().backward()
        optimizer.step()
    out = ~net.masked.masks()["weight"]
    assert out.sum() == 15
    assert not optimizer.state[net.layer.weight]["exp_avg"][out].any()
