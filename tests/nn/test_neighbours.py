import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import InputStamina, Neighbours, Stamina, find_neighbours


class Net(nn.Module):
    """Two linear layers around 3 units, wired by ``forward``, a function of (net, x)."""

    def __init__(self, forward):
        super().__init__()
        self.feeder = nn.Linear(4, 3)
        self.units = Stamina(3)
        self.other = nn.Linear(3, 2)
        self.listener = nn.Linear(3, 2)
        self.square = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout()
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def found(forward):
    return find_neighbours(Net(forward))


def complaint(model):
    with pytest.raises(UsageError) as caught:
        find_neighbours(model)
    (line,) = str(caught.value).splitlines()
    return line


def test_neighbours_in_a_sequential_are_the_linear_layers_on_either_side():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 5), Stamina(5), nn.Linear(5, 2))
    assert find_neighbours(net) == {"1": Neighbours("0", "2"), "3": Neighbours("2", "4")}


def test_neighbours_are_found_across_nested_modules():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 3), nn.Sequential(Stamina(3), nn.Identity())),
        nn.ModuleDict({"head": nn.Linear(3, 2)})["head"],
    )
    assert find_neighbours(net) == {"0.1.0": Neighbours("0.0", "1")}


def test_neighbours_follow_a_custom_forward_not_the_order_of_definition():
    assert found(lambda net, x: net.other(net.units(net.feeder(x)))) == {
        "units": Neighbours("feeder", "other")
    }


def test_dropout_on_either_side_is_seen_through():
    assert found(lambda net, x: net.listener(net.drop(net.units(net.drop(net.feeder(x)))))) == {
        "units": Neighbours("feeder", "listener")
    }


def test_arguments_may_be_named():
    assert found(lambda net, x: net.listener(input=net.units(x=net.drop(input=net.feeder(input=x))))) == {
        "units": Neighbours("feeder", "listener")
    }


@pytest.mark.parametrize(
    "front",
    [nn.Identity(), nn.Dropout(), nn.Flatten(), nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten())],
    ids=["identity", "dropout", "flatten", "conv and flatten"],
)
def test_units_at_the_inputs_have_no_feeder(front):
    net = nn.Sequential(front, InputStamina(12), nn.Linear(12, 2))
    assert find_neighbours(net) == {"1": Neighbours(None, "2")}


@pytest.mark.parametrize("flatten", [lambda x: torch.flatten(x, 1), lambda x: x.flatten(1)])
def test_a_flatten_in_forward_is_an_input_too(flatten):
    assert found(lambda net, x: net.listener(net.units(flatten(x)))) == {
        "units": Neighbours(None, "listener")
    }


def test_inputs_may_be_heard_by_others():
    assert found(lambda net, x: net.listener(net.units(x)) + net.other(x)) == {
        "units": Neighbours(None, "listener")
    }


NO_FEEDER = "units: no linear layer feeds it alone; put it behind an nn.Linear of its own"
NO_LISTENER = "units: no single linear layer listens to it; put an nn.Linear behind it"


@pytest.mark.parametrize(
    ("forward", "line"),
    [
        (lambda net, x: net.listener(net.units(net.norm(net.feeder(x)))), NO_FEEDER),
        (lambda net, x: net.listener(net.units(net.feeder(x) + 1)), NO_FEEDER),
        (lambda net, x: [h := net.feeder(x), net.listener(net.units(h)), net.other(h)], NO_FEEDER),
        (lambda net, x: [h := net.units(net.feeder(x)), net.listener(h), net.other(h)], NO_LISTENER),
        (lambda net, x: [h := net.units(net.feeder(x)), net.listener(h)], NO_LISTENER),
        (lambda net, x: net.listener(net.norm(net.units(net.feeder(x)))), NO_LISTENER),
        (lambda net, x: net.units(net.feeder(x)), NO_LISTENER),
        (
            lambda net, x: net.listener(net.units(net.square(net.units(net.feeder(x))))),
            "units: is used twice in forward; give each layer its own module",
        ),
        (
            lambda net, x: net.listener(net.units(net.feeder(x))) + net.listener(net.feeder(x)),
            "feeder: is used twice in forward; give each layer its own module",
        ),
        (
            lambda net, x: net.listener(net.units(net.feeder(x))) + net.listener(x[:, :3]),
            "listener: is used twice in forward; give each layer its own module",
        ),
        (lambda net, x: net.listener(net.feeder(x)), "units: is never used in forward; remove it"),
    ],
    ids=[
        "norm before",
        "function before",
        "feeder heard by two",
        "two listeners",
        "returned too",
        "norm behind",
        "nobody behind",
        "reuse",
        "feeder reused",
        "listener reused",
        "unused",
    ],
)
def test_units_that_do_not_stand_between_two_linear_layers_are_refused(forward, line):
    assert complaint(Net(forward)) == line


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.listener(net.units(net.feeder(x))) if x.sum() > 0 else x,
        lambda net, x: [net.listener(net.units(net.feeder(row))) for row in x],
        lambda net, x: net.listener(net.units(net.feeder(x))) + torch.zeros(x.shape[0], 2),
        lambda net, x: net.listener(net.units(net.feeder(x))) * len(x),
    ],
    ids=["if", "for", "size", "len"],
)
def test_control_flow_that_depends_on_data_is_refused(forward):
    line = complaint(Net(forward))
    assert line.startswith("Net: its forward cannot be followed (")
    assert line.endswith("); keep data-dependent control flow out of forward")


def test_around_collects_the_tensors_themselves():
    net = nn.Sequential(nn.Linear(4, 3, bias=False), Stamina(3), nn.Linear(3, 2))
    moments = {"0.weight": (torch.ones(3, 4), torch.zeros(3, 4)), "2.weight": (torch.ones(2, 3),)}
    around = find_neighbours(net)["1"].around(net, moments, torch.tensor(2.0))
    assert around.in_weight is net[0].weight
    assert around.in_bias is None
    assert around.out_weight is net[2].weight
    assert around.out_bias is net[2].bias
    assert around.loss == 2
    assert around.in_moments == moments["0.weight"]
    assert around.out_moments == moments["2.weight"]
