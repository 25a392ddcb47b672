"""Producers, norms and consumers of units, in networks of which they are known."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from hebbevo.nn import Dense, HebbMask, InputStamina, Stamina
from hebbevo.nn.layer_graph import find_layer_names
from tests.nn.unit_labels.conftest import (
    IMAGE,
    ChannelNet,
    OwnConvolution,
    OwnLinear,
    PlainSubclass,
    ScaledOutputs,
    ScaledWeights,
    UnitNet,
    found_in_channel_net,
    found_in_unit_net,
    layer_names,
    masked,
)

ZEROS, ONES = torch.zeros(3), torch.ones(3)


def test_in_a_sequential_the_linear_layers_on_either_side_are_producer_and_consumer():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 5), Stamina(5), nn.Linear(5, 2))
    assert find_layer_names(net) == {"1": layer_names("0", "2"), "3": layer_names("2", "4")}


def test_layers_are_found_across_nested_modules():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 3), nn.Sequential(Stamina(3), nn.Identity())),
        nn.ModuleDict({"head": nn.Linear(3, 2)})["head"],
    )
    assert find_layer_names(net) == {"0.1.0": layer_names("0.0", "1")}


def test_the_order_of_calls_counts_and_not_that_of_definition():
    assert found_in_unit_net(lambda net, x: net.other(net.units(net.producer(x)))) == {
        "units": layer_names("producer", "other")
    }


def test_dropout_on_either_side_makes_no_difference():
    assert found_in_unit_net(lambda net, x: net.consumer(net.drop(net.units(net.drop(net.producer(x)))))) == {
        "units": layer_names("producer", "consumer")
    }


def test_arguments_may_be_passed_by_keyword():
    assert found_in_unit_net(
        lambda net, x: net.consumer(input=net.units(x=net.drop(input=net.producer(input=x))))
    ) == {"units": layer_names("producer", "consumer")}


@pytest.mark.parametrize(
    ("front", "shape"),
    [
        (nn.Identity(), (2, 12)),
        (nn.Dropout(), (2, 12)),
        (nn.Flatten(), (2, 3, 4)),
        (nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten()), (2, 1, 2, 2)),
    ],
    ids=["identity", "dropout", "flatten", "conv and flatten"],
)
def test_units_at_the_inputs_have_no_producer(front, shape):
    net = nn.Sequential(front, InputStamina(12), nn.Linear(12, 2))
    assert find_layer_names(net) == find_layer_names(net, torch.ones(shape)) == {"1": layer_names("", "2")}


@pytest.mark.parametrize("flatten", [lambda x: torch.flatten(x, 1), lambda x: x.flatten(1)])
def test_units_behind_a_flatten_in_forward_are_at_the_inputs_too(flatten):
    def forward(net, x):
        return net.consumer(net.units(flatten(x)))

    assert found_in_unit_net(forward, torch.ones(2, 1, 3)) == {"units": layer_names("", "consumer")}


def test_inputs_of_units_may_be_read_by_other_layers():
    assert found_in_unit_net(lambda net, x: net.consumer(net.units(x)) + net.other(x), torch.ones(2, 3)) == {
        "units": layer_names("", "consumer")
    }


@pytest.mark.parametrize(
    ("forward", "around"),
    [
        (
            lambda net, x: net.consumer(net.units(net.norm(net.producer(x)))),
            layer_names("producer", "consumer", "norm"),
        ),
        (lambda net, x: net.consumer(net.units(net.producer(x) + 1)), layer_names("producer", "consumer")),
        (lambda net, x: net.consumer(net.units(net.producer(x) * 2)), layer_names("", "consumer")),
        (lambda net, x: net.consumer(net.units(net.producer(x).relu())), layer_names("", "consumer")),
        (
            lambda net, x: [h := net.producer(x), net.consumer(net.units(h)), net.other(h)][1:],
            layer_names("", "consumer"),
        ),
        (
            lambda net, x: [h := net.units(net.producer(x)), net.consumer(h), net.other(h)][1:],
            layer_names("producer", "consumer other"),
        ),
        (
            lambda net, x: [h := net.units(net.producer(x)), net.consumer(h)],
            layer_names("producer", "consumer", exclusive=False),
        ),
        (lambda net, x: net.units(net.producer(x)), layer_names("producer")),
        (
            lambda net, x: net.units(net.producer(x)).softmax(-1) @ net.consumer.weight.T,
            layer_names("producer"),
        ),
        (lambda net, x: net.consumer(net.units(net.producer(x)).softmax(-1)), layer_names("producer")),
        (
            lambda net, x: net.consumer(F.layer_norm(net.units(net.producer(x)), (3,))),
            layer_names("producer"),
        ),
        (
            lambda net, x: net.consumer(net.units(F.batch_norm(net.producer(x), ZEROS, ONES))),
            layer_names("", "consumer"),
        ),
    ],
    ids=[
        "norm before", "sum before", "product before", "function before", "producer read by two",
        "two consumers", "returned too", "nothing behind", "unknown function behind", "softmax behind",
        "layer norm behind", "a norm that is no module before",
    ],
)  # fmt: skip
def test_layers_are_found_as_far_as_functions_between_them_allow(forward, around):
    assert found_in_unit_net(forward) == {"units": around}


def test_a_layer_behind_two_units_is_a_consumer_of_both_and_foldable_for_the_last_alone():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Dropout(), Dense(3), nn.Linear(3, 2))
    assert find_layer_names(net) == {
        "1": layer_names("0", "4", foldable=""),
        "3": layer_names("", "4"),
    }


def test_of_two_consumers_one_may_be_foldable_and_the_other_not():
    assert found_in_unit_net(
        lambda net, x: [h := net.units(net.producer(x)), net.consumer(h.relu()) + net.other(net.drop(h))][1]
    ) == {"units": layer_names("producer", "consumer other", foldable="other")}


def test_a_layer_without_a_bias_is_not_foldable():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2, bias=False))
    assert find_layer_names(net) == {"1": layer_names("0", "2", foldable="")}


# masks, frozen and shared weights


def test_a_layer_in_a_mask_of_its_own_is_found_like_any_other():
    net = nn.Sequential(
        masked(nn.Conv2d(1, 6, 3)), nn.BatchNorm2d(6), Stamina(6, dim=1), masked(nn.Conv2d(6, 2, 3))
    )
    assert find_layer_names(net) == {"2": layer_names("0.module", "3.module", "1", foldable="3.module")}


def test_a_layer_in_a_mask_around_more_than_itself_is_a_consumer_but_never_changed():
    around = HebbMask(nn.Sequential(nn.Linear(3, 2)), ["0.weight"])
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), around)
    assert find_layer_names(net) == {"1": layer_names("0", "2.module.0", foldable="", exclusive=False)}


def test_units_in_a_mask_have_no_layers_and_other_units_keep_theirs():
    inner = nn.Sequential(nn.Linear(3, 3), Stamina(3), nn.Linear(3, 3))
    net = nn.Sequential(
        nn.Linear(4, 3), Stamina(3), HebbMask(inner, ["0.weight"]), Stamina(3), nn.Linear(3, 2)
    )
    assert find_layer_names(net) == {
        "1": layer_names("0", "2.module.0", foldable="", exclusive=False),
        "3": layer_names("", "4"),
    }


@pytest.mark.parametrize("entries", [["weight", "bias"], ["weight"], ["bias"]])
def test_a_frozen_layer_is_a_consumer_but_never_changed(entries):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    for entry in entries:
        getattr(net[2], entry).requires_grad_(False)
    assert find_layer_names(net) == {"1": layer_names("0", "2", foldable="", exclusive=False)}


def test_a_frozen_layer_is_no_producer_and_a_frozen_norm_is_no_norm_of_the_units():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    assert find_layer_names(net) == {"2": layer_names("", "3", "1")}
    net.requires_grad_(True)[1].requires_grad_(False)
    assert find_layer_names(net) == {"2": layer_names("", "3")}


def test_a_norm_without_parameters_is_a_norm_of_the_units():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), Stamina(3), nn.Linear(3, 2))
    assert find_layer_names(net) == {"2": layer_names("0", "3", "1")}


def test_layers_that_share_their_weights_are_never_changed():
    net = nn.Sequential(nn.Linear(3, 3), Stamina(3), nn.Linear(3, 3))
    assert find_layer_names(net) == {"1": layer_names("0", "2")}
    net[2].weight = net[0].weight
    assert find_layer_names(net) == {"1": layer_names("", "2", foldable="", exclusive=False)}


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: F.linear(
            net.consumer(net.units(net.producer(x))), net.consumer.weight.T, net.producer.bias
        ),
        lambda net, x: (
            net.consumer(net.units(net.producer(x))) * net.producer.bias.sum() * net.consumer.weight[0, 0]
        ),
        lambda net, x: [
            net.consumer(net.units(net.producer(x))),
            net.producer.weight,
            net.consumer.bias.sum(),
        ],
        lambda net, x: [
            net.consumer(net.units(net.producer(x))),
            net.producer(torch.ones(1, 4)),
            net.consumer(torch.ones(1, 3)),
        ],
    ],
    ids=["linear", "scalars", "returned", "constants"],
)  # fmt: skip
def test_a_layer_whose_weights_forward_uses_elsewhere_is_never_changed(forward):
    around = found_in_unit_net(forward)["units"]
    assert around == layer_names("", "consumer", foldable="", exclusive=False)


def test_reading_the_type_of_a_weight_does_not_use_the_weight():
    def forward(net, x):
        x = x.to(net.producer.weight.dtype) * net.consumer.weight.shape[0]
        return net.consumer(net.units(net.producer(x.to(net.consumer.weight.device))))

    assert found_in_unit_net(forward) == {"units": layer_names("producer", "consumer")}


def test_a_layer_with_two_names_is_one_layer():
    net = UnitNet(lambda net, x: net.consumer(net.units(net.producer(x))))
    net.again = net.consumer
    assert find_layer_names(net) == {"units": layer_names("producer", "consumer")}


@pytest.mark.parametrize(
    "wrapped", [parametrizations.weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)]
)
def test_a_layer_whose_weights_are_computed_is_a_consumer_but_never_changed(wrapped):
    net = nn.Sequential(wrapped(nn.Linear(4, 3)), Stamina(3), wrapped(nn.Linear(3, 2)))
    assert find_layer_names(net) == {"1": layer_names("", "2", foldable="", exclusive=False)}


def test_the_forward_of_a_subclass_of_a_layer_is_followed():
    for kind in (PlainSubclass, ScaledOutputs, ScaledWeights):
        net = nn.Sequential(kind(4, 3), Stamina(3), kind(3, 2))
        changeable = kind is not ScaledWeights
        producers = "0" if kind is PlainSubclass else ""
        assert find_layer_names(net) == {
            "1": layer_names(producers, "2", foldable=None if changeable else "", exclusive=changeable)
        }


def test_a_layer_of_the_users_own_is_one_by_what_it_does():
    net = nn.Sequential(OwnLinear(4, 3), Stamina(3), OwnLinear(3, 2))
    assert find_layer_names(net, torch.ones(2, 4)) == {"1": layer_names("0", "2")}
    net = nn.Sequential(OwnConvolution(3, 6, 3), Stamina(6, dim=1), OwnConvolution(6, 4, 2))
    columns = ((0, 1, 2), (3, 4, 5))
    assert find_layer_names(net, IMAGE) == {"1": layer_names("0", "2", foldable="", **{"2": columns})}


# modules that are called twice or never

NOT_ONCE = {
    "twice": lambda net, x: net.consumer(net.units(net.square(net.units(net.producer(x))))),
    "never": lambda net, x: net.consumer(net.producer(x)),
    "by rows": lambda net, x: [net.consumer(net.units(net.producer(row))) for row in x],
}


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_units_that_are_called_twice_or_never_have_no_layers(forward):
    assert found_in_unit_net(forward) == {}


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_other_units_keep_their_layers_where_some_are_called_twice_or_never(forward):
    net = nn.Sequential(nn.Linear(5, 4), Stamina(4), UnitNet(forward))
    by_rows = forward is NOT_ONCE["by rows"]
    assert find_layer_names(net) == {
        "1": layer_names("0", "2.producer", foldable="" if by_rows else None, exclusive=not by_rows)
    }


def test_a_layer_that_is_called_twice_is_no_producer_and_not_foldable():
    assert found_in_unit_net(lambda net, x: [net.consumer(net.units(net.producer(x))), net.producer(x)]) == {
        "units": layer_names("", "consumer")
    }
    assert found_in_unit_net(
        lambda net, x: net.consumer(net.units(net.producer(x))) + net.consumer(x[:, :3])
    ) == {"units": layer_names("producer", "consumer", foldable="", exclusive=False)}


def test_a_dropout_or_pool_may_be_called_many_times():
    assert found_in_unit_net(
        lambda net, x: net.drop(net.consumer(net.drop(net.units(net.drop(net.producer(x))))))
    ) == {"units": layer_names("producer", "consumer")}


@pytest.mark.parametrize(
    "shared",
    [lambda net, x: net.norm(net.skip(x)), lambda net, x: net.norm(net.producer(x))],
    ids=["norm", "norm and layer"],
)
def test_a_norm_that_is_called_twice_is_no_norm_of_the_units(shared):
    assert found_in_channel_net(
        lambda net, x: [net.consumer(net.units(net.norm(net.producer(x)))), shared(net, x)]
    ) == layer_names("", "consumer")


def test_a_model_without_units_is_not_run():
    net = UnitNet(lambda net, x: net.other(x) if x.sum() > 0 else x, units=nn.ReLU())
    assert find_layer_names(net) == {}


# sums and skips


def test_all_layers_of_a_sum_are_producers():
    assert found_in_channel_net(
        lambda net, x: net.consumer(net.units(net.norm(net.producer(x)) + net.skip_norm(net.skip(x))))
    ) == layer_names("producer skip", "consumer", "norm skip_norm")
    assert found_in_channel_net(
        lambda net, x: net.other(net.pool(net.units(net.pool(net.producer(x)))))
    ) == layer_names("producer", "other")


def test_a_layer_of_a_skip_that_is_read_elsewhere_is_no_producer():
    def forward(net, x):
        h = net.skip(x)
        return net.consumer(net.units(net.norm(net.producer(x)) + h)) + h.mean()

    assert found_in_channel_net(forward) == layer_names("producer", "consumer", "norm")


def test_every_layer_along_a_residual_stream_is_a_consumer():
    def forward(net, x):
        h = net.units(net.producer(x))
        return net.consumer(h + net.norm(net.skip(x))) + net.other(h).mean((2, 3), keepdim=True)

    assert found_in_channel_net(forward) == layer_names(
        "producer", "consumer other", foldable="other", exclusive=False
    )


# consumers that are the only ones to read the units


def x_of(h):
    """A tensor of the shape of an input that derives from ``h``."""
    return h.detach()[:, :3]


@pytest.mark.parametrize(
    ("read", "exclusive"),
    [
        (lambda net, h: net.consumer(h), True),
        (lambda net, h: [net.consumer(net.skip_norm(h)), net.other(h.relu())], False),
        (lambda net, h: [net.consumer(h), net.grouped(h).mean((2, 3))], True),
        (lambda net, h: net.consumer(h) * h.shape[0] + h.size(1), True),
        (lambda net, h: net.consumer(h + 0), False),
        (lambda net, h: [net.consumer(h), net.other(h + net.skip(x_of(h)))], False),
        (lambda net, h: net.consumer(h) * h.softmax(1).max(), False),
        (lambda net, h: net.consumer(h) + h.mT.sum(), False),
        (lambda net, h: [net.consumer(h), net.six(h.flatten(1)[:, :6])], True),
        (lambda net, h: (net.consumer(h), h), False),
        (lambda net, h: {"a": [net.consumer(h)], "b": {"c": h * 0}}, False),
        (lambda net, h: net.twelve(torch.cat([h, h], 1)), True),
        (lambda net, h: net.consumer(torch.cat([h, h])), True),
        (lambda net, h: net.consumer(torch.cat([h, torch.ones_like(h)])), False),
        (lambda net, h: [net.consumer(h), net.consumer(h)], False),
        (lambda net, h: [net.consumer(h), F.conv2d(h, net.other.weight)], False),
        (lambda net, h: [net.consumer(h), F.conv_transpose2d(h, torch.ones(6, 2, 1, 1))], False),
    ],
    ids=[
        "one", "two and pointwise", "groups and mean", "its shape", "a sum", "a sum on one path",
        "unknown function", "transposed", "a part", "output", "nested output", "cat",
        "cat of rows", "cat with others", "shared", "a function with its weights", "another convolution",
    ],
)  # fmt: skip
def test_consumers_are_exclusive_if_nothing_else_reads_the_units_or_is_read_in_their_columns(read, exclusive):
    class Wider(ChannelNet):
        def __init__(self, forward):
            super().__init__(forward)
            self.twelve = nn.Conv2d(12, 2, 1)

    around = find_layer_names(Wider(lambda net, x: read(net, net.units(net.producer(x)))), IMAGE)["units"]
    assert around.exclusive is exclusive


def test_units_that_forward_keeps_in_an_attribute_or_buffer_are_not_exclusive():
    def forward(net, x):
        net.kept = [net.units(net.producer(x))]
        return net.consumer(net.kept[0])

    def into_buffer(net, x):
        h = net.units(net.producer(x))
        net.norm.running_mean.copy_(h.mean(0))
        return net.consumer(h)

    for each in (forward, into_buffer):
        assert found_in_unit_net(each) == {"units": layer_names("producer", "consumer", exclusive=False)}
