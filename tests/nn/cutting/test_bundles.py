"""Which units and columns leave together, in networks where that is known."""

from functools import partial

import numpy as np
import torch
from torch import nn

from hebbevo.nn import InputStamina, Stamina
from hebbevo.nn.cutting.bundles import Bundles
from hebbevo.nn.forward_pass.example_inputs import run_on_example
from tests.nn.unit_labels.conftest import IMAGE, ChannelNet, UnitNet


def bundles_of(net, example):
    return run_on_example(net, example, partial(Bundles.of, net))


def test_a_unit_is_with_its_number_in_a_norm_and_in_the_units_and_with_the_column_that_reads_it():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2))
    found = bundles_of(net, torch.ones(2, 4))
    hidden = found.units["0"].tolist()
    assert len({*hidden}) == 3
    assert hidden == found.units["1"].tolist() == found.units["2"].tolist() == found.columns["3"].tolist()
    assert not {*hidden} & {*found.fixed}
    assert {*found.columns["0"].tolist(), *found.units["3"].tolist()} == {*found.fixed}
    (part,) = found.parts()
    assert {*part.tolist()} == {*hidden}


def test_units_that_are_added_are_together_and_units_beside_one_another_are_not():
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x)) + net.square(x[:, :3])))
    found = bundles_of(net, torch.ones(2, 4))
    assert found.units["producer"].tolist() == found.units["square"].tolist()
    net = UnitNet(
        lambda net, x: net.wide(torch.cat([net.producer(x), net.square(x[:, 1:])], 1)),
        wide=nn.Linear(6, 2),
    )
    found = bundles_of(net, torch.ones(2, 4))
    assert found.columns["wide"].tolist() == [*found.units["producer"], *found.units["square"]]
    assert len({*found.columns["wide"].tolist()}) == 6


def test_a_channel_is_with_all_columns_that_its_positions_enter():
    net = ChannelNet(lambda net, x: net.many(net.units(net.producer(x)).flatten(1)))
    found = bundles_of(net, IMAGE)
    assert found.columns["many"].tolist() == np.repeat(found.units["producer"], 16).tolist()


def test_columns_of_groups_are_numbered_through():
    net = ChannelNet(lambda net, x: net.grouped(net.units(net.producer(x))))
    found = bundles_of(net, IMAGE)
    assert found.groups["grouped"] == 3
    assert found.columns["grouped"].tolist() == found.units["producer"].tolist()


def test_what_is_mixed_or_used_elsewhere_is_fixed():
    for forward in (
        lambda net, x: net.consumer(net.units(net.producer(x)).softmax(1)),
        lambda net, x: net.consumer(net.units(net.producer(x))) + net.producer.weight.sum(),
        lambda net, x: net.consumer(net.units(net.producer(x)) + net.producer(x).mean()),
    ):
        found = bundles_of(UnitNet(forward), torch.ones(2, 4))
        assert {*found.units["producer"].tolist()} <= {*found.fixed}
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x))))
    net.consumer.weight = net.other.weight  # one tensor of two layers
    found = bundles_of(net, torch.ones(2, 4))
    assert {*found.columns["consumer"].tolist()} <= {*found.fixed}


def test_input_units_select():
    net = nn.Sequential(InputStamina(4), nn.Linear(4, 2))
    found = bundles_of(net, torch.ones(2, 4))
    assert found.selecting == {"0"}
    assert found.units["0"].tolist() == found.columns["1"].tolist()
    assert not {*found.units["0"].tolist()} & {*found.fixed}


def test_a_layer_that_is_called_twice_joins_all_that_it_reads():
    net = UnitNet(lambda net, x: net.consumer(net.square(net.units(net.square(net.producer(x))))))
    found = bundles_of(net, torch.ones(2, 4))
    assert found.units["producer"].tolist() == found.columns["square"].tolist()
    assert found.units["square"].tolist() == found.columns["square"].tolist()
