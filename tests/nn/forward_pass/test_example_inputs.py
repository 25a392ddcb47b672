"""Inputs on which a model is run where none, or some, are given."""

import pytest
import torch
from torch import nn

from hebbevo.nn import InputStamina, Stamina
from hebbevo.nn.layer_graph import find_layer_names
from tests.nn.unit_labels.conftest import IMAGE, ChannelNet, UnitNet, layer_names, repeated


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.many(net.units(net.producer(x)).view(-1)),
        lambda net, x: net.six(net.units(net.producer(x)).flatten(1)),
    ],
    ids=["view as one row", "does not fit"],
)
def test_an_example_that_the_model_does_not_take_is_refused(forward, complaint):
    line = complaint(find_layer_names, ChannelNet(forward), IMAGE)
    assert line.startswith("ChannelNet: does not run on the example (")
    assert line.endswith("); give inputs that it takes")


@pytest.mark.parametrize("example", [[torch.ones(2, 4)], {"x": torch.ones(2, 4)}, (torch.ones(2, 4), 1)])
def test_an_example_of_another_type_is_refused(example, complaint):
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x))))
    kind = type(example[1] if isinstance(example, tuple) else example).__name__
    assert complaint(find_layer_names, net, example) == (
        f"UnitNet: example: {kind} is not a tensor; give a tensor, or a tuple of tensors"
    )


def test_an_example_without_axes_is_refused(complaint):
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x))))
    assert complaint(find_layer_names, net, torch.tensor(1.0)).startswith(
        "UnitNet: does not run on the example ("
    )


def test_a_model_may_take_several_inputs(complaint):
    class TwoInputs(UnitNet):
        def forward(self, x, y):
            return self.consumer(self.units(self.producer(x))) + self.other(y)

    net = TwoInputs(None)
    assert complaint(find_layer_names, net).startswith(
        "TwoInputs: does not run on an input that its first layer suggests (TypeError: "
    )
    assert complaint(find_layer_names, net).endswith("); give an example input")
    assert find_layer_names(net, (torch.ones(9, 4), torch.ones(9, 3))) == {
        "units": layer_names("producer", "consumer")
    }


def test_the_first_layer_or_the_units_suggest_inputs(complaint):
    units = Stamina(6, dim=1)
    net = nn.Sequential(units, nn.Flatten(), nn.Linear(54, 2))
    assert find_layer_names(net) == {"0": layer_names("", "2", **{"2": repeated(6, 9)})}
    net = nn.Sequential(nn.ReLU(), InputStamina(3))
    assert find_layer_names(net) == {"1": layer_names()}
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x[0]))))
    net.input_shape = (5, 4)
    assert find_layer_names(net) == {"units": layer_names("producer", "consumer")}
    lazy = nn.Sequential(nn.LazyLinear(3), Stamina(3))
    assert (
        complaint(find_layer_names, lazy)
        == "Sequential: 0.weight has no shape yet; call the model once before"
    )
