"""What `attach` refuses in one line, and what it accepts with a warning."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, Stamina, attach
from tests.nn.conftest import CALM, FOLDED, FRESH, SGD, beside


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
def test_attached_units_accept_knobs_that_unattached_ones_refuse(knobs, training):
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


def test_an_optimizer_of_a_part_of_the_model_is_accepted():
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 3))
    attach(net, torch.optim.SGD(net[2].parameters()))


def test_settling_without_the_training_length_is_refused(training, complaint):
    assert complaint(training, Stamina(6, settle=0.5), **SGD) == (
        "attach: settle needs the training's length; give attach(..., total_steps=N)"
    )


def test_growth_without_an_observed_loss_is_refused_and_the_learning_rate_is_restored(training, complaint):
    one = training(Stamina(6, growth_rate=0.5, settle=0.5), total_steps=2, **SGD)
    one.units.steps.fill_(1)
    one.net(torch.randn(2, 4)).sum().backward()
    assert complaint(one.optimizer.step) == (
        "1: growth_rate needs the training loss; call observe(loss) of what attach returned"
    )
    assert one.optimizer.param_groups[0]["lr"] == 0.1


READ = "activity=contribution needs a layer that reads the units, and none is found"
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
def test_knobs_that_need_a_consumer_are_refused_where_none_is_found(knobs, problem, complaint):
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
def test_folding_is_refused_where_no_bias_can_take_a_mean_output(behind, complaint):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3, handover=True), *behind)
    assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"1: {FOLDED}; {REMEDY}"


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


def test_fresh_weights_are_refused_where_something_else_uses_the_consumers(complaint):
    for net, name in (
        (Residual(rebirth="fresh"), "first.outer"),
        (beside(consumer="frozen", rebirth="fresh"), "units"),
        (beside(consumer="shared", rebirth="fresh"), "units"),
    ):
        assert complaint(attach, net, torch.optim.SGD(net.parameters())) == f"{name}: {FRESH}; {REMEDY}"


def test_fresh_weights_are_allowed_where_something_else_uses_the_producer_alone():
    for kind in ("frozen", "shared"):
        net = beside(producer=kind, rebirth="fresh")
        attach(net, torch.optim.SGD(net.parameters()))


def test_the_knobs_at_the_time_of_attaching_count(training, complaint):
    net = Residual()
    optimizer = torch.optim.SGD(net.parameters())
    net.first["outer"].configure(rebirth="fresh", settle=0.5)
    assert complaint(attach, net, optimizer, total_steps=9) == f"first.outer: {FRESH}; {REMEDY}"
    net.first["outer"].configure(rebirth="auto")
    assert complaint(attach, net, optimizer).startswith("attach: settle needs the training's length;")
    net.first["outer"].configure(settle=0.0)
    net.first["inner"].configure(rebirth="fresh")
    attach(net, optimizer)


def test_a_unit_that_no_layer_reads_is_regrown_with_its_old_weights():
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


class DataDependent(nn.Module):
    """A net whose forward depends on values of the data."""

    def __init__(self, **knobs):
        super().__init__()
        self.before, self.units, self.behind = nn.Linear(4, 6), Stamina(6, **CALM | knobs), nn.Linear(6, 3)

    def forward(self, x):
        h = self.units(self.before(x))
        return self.behind(h if x.sum() > 0 else -h)


def test_a_model_that_cannot_be_followed_is_trained_with_a_warning_and_old_weights():
    net = DataDependent(regrowth_rate=1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    with pytest.warns(UserWarning) as caught:
        attach(net, optimizer)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).startswith("attach: DataDependent: its forward cannot be followed (")
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
    net = DataDependent(initial_neurons=0.5, growth_rate=1.0, patience=1, settle=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="cannot be followed"):
        attachment = attach(net, optimizer, total_steps=4)
    for _ in range(2):
        net(torch.randn(8, 4)).sum().backward()
        attachment.observe(1.0)
        optimizer.step()
    assert net.units.alive.all()
    assert net.units.total_steps == 4


def test_knobs_that_need_a_consumer_are_refused_where_the_model_cannot_be_followed(complaint):
    net = DataDependent(rebirth="fresh")
    line = complaint(attach, net, torch.optim.SGD(net.parameters()))
    assert line.startswith(f"units: {FRESH}; DataDependent: its forward cannot be followed (")
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


def test_units_that_are_called_twice_work_alone_with_a_warning_while_the_others_are_attached():
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


class ByHand(nn.Module):
    """A linear layer by hand, which is not known to be one."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs, outputs))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(
    ("net", "example", "remedy"),
    [
        (lambda units: nn.Sequential(ByHand(4, 6), units, ByHand(6, 2)), torch.ones(2, 4), ""),
        # the channels of a convolution are along another axis
        (lambda units: nn.Sequential(nn.Conv1d(6, 6, 1), units, nn.Conv1d(6, 6, 1)), torch.ones(2, 6, 6), ""),
        (
            lambda units: nn.Sequential(nn.Conv1d(6, 6, 1), units, nn.Conv1d(6, 6, 1)),
            None,
            ", or give an example input if the axes of yours are others",
        ),
    ],
)
def test_units_without_any_layer_around_them_work_alone_with_a_warning(net, example, remedy):
    net = net(Stamina(6, **CALM))
    with pytest.warns(UserWarning) as caught:
        attach(net, torch.optim.SGD(net.parameters()), example=example)
    assert [str(each.message) for each in caught] == [
        "attach: 1: no layer is found that feeds or reads its units; use nn.Linear or convolutions there"
        f"{remedy}; until then its units work alone"
    ]
