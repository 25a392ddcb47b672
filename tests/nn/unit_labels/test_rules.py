"""What functions between layers do to the units: which column holds which, and in what way."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import Stamina
from hebbevo.nn.layer_graph import LayerNames, NamedConsumer, find_layer_names
from tests.nn.unit_labels.conftest import found_in_channel_net, found_in_unit_net, layer_names, repeated

# functions of elements


@pytest.mark.parametrize(
    "between_them",
    [
        lambda net, h: F.relu(h),
        lambda net, h: F.relu_(h),
        lambda net, h: F.relu(h, inplace=True),
        lambda net, h: h.relu_(),
        lambda net, h: h.tanh(),
        lambda net, h: h * 2,
        lambda net, h: h / net.other.weight[0].abs(),
        lambda net, h: torch.where(h > 0, h, 0.1 * h),
        lambda net, h: h * torch.tanh(h),
        lambda net, h: F.threshold(h, 0.5, 0.0),
        lambda net, h: h.masked_fill(torch.tensor([[True], [False]]), 0.0),
        lambda net, h: h.bfloat16().int().float(),
    ],
    ids=[
        "relu", "F.relu_", "inplace", "relu_", "tanh", "scaled", "scales", "leaky", "gate", "threshold",
        "masked", "rounded",
    ],
)  # fmt: skip
def test_a_layer_behind_a_pointwise_function_is_a_consumer_but_not_foldable(between_them):
    assert found_in_unit_net(lambda net, x: net.consumer(between_them(net, net.units(net.producer(x))))) == {
        "units": layer_names("producer", "consumer", foldable="")
    }


@pytest.mark.parametrize(
    "between_them",
    [
        lambda net, h: net.norm(h),
        lambda net, h: h.sigmoid(),
        lambda net, h: F.softplus(h),
        lambda net, h: h.clamp(0.1, 1.0),
        lambda net, h: F.threshold(h, 0.5, 0.25),
        lambda net, h: h.masked_fill(torch.tensor([[True], [False]]), 1.0),
        lambda net, h: h * net.square(h.detach()),
        lambda net, h: h * h.sigmoid(),
    ],
    ids=["norm", "sigmoid", "softplus", "clamp", "threshold", "masked", "product", "silu by hand"],
)
def test_a_layer_that_reads_a_constant_of_pruned_units_is_not_exclusive(between_them):
    around = found_in_unit_net(lambda net, x: net.consumer(between_them(net, net.units(net.producer(x)))))[
        "units"
    ]
    (consumer,) = (each for each in around.consumers if each.name == "consumer")
    assert (consumer.columns, consumer.foldable, around.exclusive) == (None, False, False)


@pytest.mark.parametrize(
    "sum_of",
    [
        lambda net, h: h + 1,
        lambda net, h: h + 0,
        lambda net, h: 1 - h,
        lambda net, h: net.norm(h) + h,
        lambda net, h: torch.add(h, net.square(h.detach())),
        lambda net, h: h.add_(net.drop(h)),
        lambda net, h: h - h.mean(0),
    ],
    ids=["number", "zero", "difference", "residual", "torch.add", "in place", "mean"],
)
def test_a_layer_behind_a_sum_is_neither_foldable_nor_exclusive(sum_of):
    around = found_in_unit_net(lambda net, x: net.consumer(sum_of(net, net.units(net.producer(x)))))["units"]
    assert around.consumers[-1] == NamedConsumer("consumer", None, False)
    assert not around.exclusive


def test_a_module_named_like_a_function_is_not_that_function():
    layers = dict(producer=nn.Linear(4, 3), units=Stamina(3), relu=nn.Softmax(-1), consumer=nn.Linear(3, 2))
    assert find_layer_names(nn.Sequential(OrderedDict(layers))) == {"units": layer_names("producer")}


# elements in other places


def test_norm_pool_and_flatten_may_stand_between_units_and_layers():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), Stamina(6, dim=1), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Linear(6 * 9, 4),
    )  # fmt: skip
    (consumer,) = find_layer_names(net)["2"].consumers
    assert consumer == NamedConsumer("6", repeated(6, 9), True)
    assert find_layer_names(net) == {"2": LayerNames(("0",), ("1",), (consumer,), True)}


@pytest.mark.parametrize(
    ("consumer", "pool"),
    [
        ("six", lambda h: h.mean((2, 3))),
        ("six", lambda h: h.mean(dim=[-2, -1])),
        ("six", lambda h: torch.mean(h, (2, 3))),
        ("six", lambda h: F.adaptive_avg_pool2d(h, 1).flatten(1)),
        ("six", lambda h: torch.flatten(F.adaptive_max_pool2d(h, 1), start_dim=1)),
        ("few", lambda h: F.max_pool2d(h, 2).view(h.size(0), -1)),
        ("few", lambda h: F.avg_pool2d(h, 2).reshape(h.shape[0], -1)),
        ("many", lambda h: torch.reshape(F.dropout(h), (h.shape[0], -1))),
        ("many", lambda h: F.dropout2d(h).view(-1, 6 * 16)),
        ("few", lambda h: F.avg_pool1d(F.max_pool1d(h.flatten(2), 2), 2).reshape((-1, 24))),
        ("six", lambda h: h.amax((2, 3))),
        ("six", lambda h: h.flatten(2).max(2).values),
        ("six", lambda h: F.max_pool2d(h, 4, return_indices=True)[0].squeeze()),
        ("many", lambda h: h.flatten(2).flatten(1)),
        ("many", lambda h: h.flatten(1, 2).flatten(1)),
        ("many", lambda h: h.view(3, 6, -1).view(3, 96)),
        ("many", lambda h: F.interpolate(F.avg_pool2d(h, 2), scale_factor=2, mode="bilinear").flatten(1)),
        ("few", lambda h: F.interpolate(h, (2, 2)).flatten(1)),
    ],
    ids=[
        "mean", "negative axes", "torch.mean", "avg", "max", "view", "reshape", "torch.reshape",
        "width given", "pool1d and width", "amax", "max and indices", "max pool and indices",
        "flatten places", "flatten half", "view twice", "bilinear", "nearest",
    ],
)  # fmt: skip
def test_positions_may_be_pooled_averaged_or_flattened(consumer, pool):
    times = {"six": 1, "few": 4, "many": 16}[consumer]
    columns = {} if times == 1 else {consumer: repeated(6, times)}
    assert found_in_channel_net(
        lambda net, x: getattr(net, consumer)(pool(net.units(net.producer(x))))
    ) == layer_names("producer", consumer, **columns)


@pytest.mark.parametrize(
    "pool",
    [
        lambda h: F.avg_pool2d(h, 3, 1, 1),
        lambda h: F.avg_pool2d(h, 2, divisor_override=3),
        lambda h: F.avg_pool1d(h.flatten(2), 3, 1, 1),
        lambda h: nn.AvgPool2d(3, 2, padding=1)(h),
    ],
)
def test_a_pool_whose_mean_counts_zeros_around_the_units_or_has_another_divisor_is_not_foldable(pool):
    def forward(net, x):
        return net.six(pool(net.units(net.producer(x))).flatten(2).mean(-1))

    assert found_in_channel_net(forward) == layer_names("producer", "six", foldable="")


@pytest.mark.parametrize(
    "pool",
    [
        lambda h: F.avg_pool2d(h, 3, 1, 1, count_include_pad=False),
        lambda h: F.avg_pool2d(h, 2, divisor_override=4),
        lambda h: F.max_pool2d(h, 3, 1, 1),
    ],
)
def test_a_pool_whose_mean_is_that_of_the_units_is_foldable(pool):
    def forward(net, x):
        return net.six(pool(net.units(net.producer(x))).flatten(2).mean(-1))

    assert found_in_channel_net(forward) == layer_names("producer", "six")


def test_a_sum_over_positions_is_not_foldable_since_it_is_no_mean():
    assert found_in_channel_net(
        lambda net, x: net.six(net.units(net.producer(x)).sum((2, 3)))
    ) == layer_names("producer", "six", foldable="")
    assert found_in_channel_net(
        lambda net, x: net.six(net.units(net.producer(x)).logsumexp((2, 3)))
    ) == layer_names("producer", "six", foldable="", exclusive=False)


@pytest.mark.parametrize(
    ("consumer", "columns"),
    [
        ("grouped", ((0, 1), (2, 3), (4, 5))),
        ("depthwise", ((0,), (1,), (2,), (3,), (4,), (5,))),
    ],
)
def test_the_columns_of_a_convolution_in_groups_are_listed_by_group(consumer, columns):
    assert found_in_channel_net(
        lambda net, x: getattr(net, consumer)(net.units(net.producer(x)))
    ) == layer_names("producer", consumer, **{consumer: columns})


def test_a_convolution_in_groups_is_a_producer():
    net = nn.Sequential(nn.Conv1d(3, 6, 3, groups=3), Stamina(6, dim=1), nn.Conv1d(6, 2, 1))
    assert find_layer_names(net) == {"1": layer_names("0", "2")}


def test_columns_may_have_any_order():
    def forward(arrange, name="many"):
        return found_in_channel_net(lambda net, x: getattr(net, name)(arrange(net.units(net.producer(x)))))

    for last in (
        lambda h: h.permute(0, 2, 3, 1).flatten(1),
        lambda h: h.movedim(1, -1).reshape(3, -1),
        lambda h: h.flatten(2).mT.flatten(1),
    ):
        assert forward(last) == layer_names("producer", "many", many=(tuple(range(6)) * 16,))
    middle = tuple(unit for _ in range(4) for unit in range(6) for _ in range(4))
    assert forward(lambda h: h.transpose(1, 2).flatten(1)) == layer_names("producer", "many", many=(middle,))
    assert forward(lambda h: h.flip(1), "other") == layer_names(
        "producer", "other", other=((5, 4, 3, 2, 1, 0),)
    )
    assert forward(lambda h: h[:, [1, 1, 0, 3, 3, 3]], "grouped") == layer_names(
        "producer", "grouped", grouped=((1, 1), (0, 3), (3, 3))
    )


def test_columns_may_hold_other_values_beside_the_units():
    assert found_in_unit_net(
        lambda net, x: net.wide(torch.cat([x[:, 1:], net.units(net.producer(x)), x[:, :1]], 1)),
        wide=nn.Linear(7, 2),
    ) == {"units": layer_names("producer", "wide", wide=((-1, -1, -1, 0, 1, 2, -1),))}

    def forward(net, x):
        one, other = net.units(net.producer(x)), net.more(net.square(x[:, 1:]))
        return net.wide(F.pad(torch.cat([other, one], 1), (0, 1)))

    assert found_in_unit_net(forward, wide=nn.Linear(7, 2), more=Stamina(3)) == {
        "units": layer_names("producer", "wide", wide=((-1, -1, -1, 0, 1, 2, -1),)),
        "more": layer_names("square", "wide", wide=((0, 1, 2, -1, -1, -1, -1),)),
    }


def test_a_layer_may_read_a_part_of_the_units():
    assert found_in_unit_net(
        lambda net, x: [h := net.units(net.producer(x)), net.pair(h[:, 1:]), net.one(h[:, :1])][1:],
        pair=nn.Linear(2, 2),
        one=nn.Linear(1, 2),
    ) == {"units": layer_names("producer", "pair one", pair=((1, 2),), one=((0,),))}


def test_padding_with_zeros_makes_no_difference_and_other_padding_is_neither_foldable_nor_exclusive():
    def padded(value):
        return found_in_channel_net(
            lambda net, x: net.consumer(F.pad(net.units(net.producer(x)), (1,) * 4, value=value))
        )

    around = [padded(0.0), padded(1.0)]
    assert around == [
        layer_names("producer", "consumer"),
        layer_names("producer", "consumer", foldable="", exclusive=False),
    ]


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.four(net.units(net.producer(x)).mean(1)),
        lambda net, x: net.four(net.units(net.producer(x)).mean((1, 2))),
        lambda net, x: net.six(net.units(net.producer(x)).mean() + x.flatten(1)[:, :6]),
        lambda net, x: net.four(net.units(net.producer(x))),
        lambda net, x: net.six(net.units(net.producer(x)).flatten(1)[:, :36].reshape(-1, 6)),
        lambda net, x: net.six(torch.einsum("bchw,cd->bd", net.units(net.producer(x)), torch.eye(6))),
        lambda net, x: net.six(net.units(net.producer(x)).cumsum(1).mean((2, 3))),
        lambda net, x: net.four(F.max_pool1d(net.units(net.producer(x)).flatten(2).mT, 2)[..., [0, 0, 1, 2]]),
    ],
    ids=[
        "mean over units", "mean over units too", "mean over all", "along another axis", "torn rows",
        "contraction", "cumulated", "pool over units",
    ],
)  # fmt: skip
def test_a_layer_whose_columns_mix_several_units_is_no_consumer(forward):
    assert found_in_channel_net(forward) == layer_names("producer")


def test_pool_and_dropout_functions_may_stand_before_the_units():
    assert found_in_channel_net(
        lambda net, x: net.other(net.units(F.max_pool2d(F.dropout2d(net.producer(x)), 2)))
    ) == layer_names("producer", "other")


def test_a_layer_whose_outputs_become_units_in_part_or_in_another_order_is_no_producer():
    wide = nn.Linear(4, 6)
    assert found_in_unit_net(lambda net, x: net.consumer(net.units(net.wide(x)[:, :3])), wide=wide) == {
        "units": layer_names("", "consumer")
    }
    assert found_in_unit_net(lambda net, x: net.consumer(net.units(net.producer(x).flip(1)))) == {
        "units": layer_names("", "consumer")
    }


# the axis of the units


def test_a_flattened_sequence_repeats_the_units():
    def net(units):
        return nn.Sequential(nn.Linear(4, 6), units, nn.Flatten(), nn.Linear(36, 2))

    sequence = torch.ones(2, 6, 4)
    again = (tuple(range(6)) * 6,)
    assert find_layer_names(net(Stamina(6)), sequence) == {"1": layer_names("0", "3", **{"3": again})}
    assert find_layer_names(net(Stamina(6, dim=1)), sequence) == {
        "1": layer_names("", "3", **{"3": repeated(6, 6)})
    }


def test_a_mean_over_a_sequence_keeps_the_units():
    sequence = torch.ones(2, 3, 4)
    assert found_in_unit_net(lambda net, x: net.consumer(net.units(net.producer(x)).mean(1)), sequence) == {
        "units": layer_names("producer", "consumer")
    }
    assert found_in_unit_net(lambda net, x: net.consumer(net.units(net.producer(x)).mean(-1)), sequence) == {
        "units": layer_names("producer")
    }


def test_units_along_the_last_axis_are_not_the_channels_of_a_convolution():
    for pool in (nn.Identity(), nn.MaxPool2d(3, 1, 1)):
        net = nn.Sequential(nn.Conv2d(3, 6, 1), Stamina(6), pool, nn.Conv2d(6, 6, 1))
        assert find_layer_names(net, torch.ones(2, 3, 6, 6)) == {"1": layer_names()}
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.MaxPool1d(3, 1, 1), nn.Linear(6, 2))
    assert find_layer_names(net) == {"1": layer_names("0")}
    net = nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(3, 1, 1), Stamina(6), nn.Linear(6, 2))
    assert find_layer_names(net) == {"2": layer_names("", "3")}


def test_equal_sizes_along_another_axis_make_no_producer_or_consumer():
    for example in (None, torch.ones(2, 8, 8)):
        net = nn.Sequential(nn.Conv1d(8, 8, 1), Stamina(8, dim=1), nn.Linear(8, 8))
        assert find_layer_names(net, example) == {"1": layer_names("0")}
        net = nn.Sequential(nn.Linear(8, 8), Stamina(8, dim=1), nn.Conv1d(8, 8, 1))
        assert find_layer_names(net, example) == {"1": layer_names("", "2")}
        net = nn.Sequential(nn.Linear(8, 8), Stamina(8, dim=1), nn.Linear(8, 8))
        assert find_layer_names(net, example) == {"1": layer_names()}
    # of rows without a sequence the same axis is that of the features
    assert find_layer_names(net, torch.ones(2, 8)) == {"1": layer_names("0", "2")}


def test_units_may_be_moved_to_another_axis():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.units, self.linear = nn.Conv2d(3, 6, 1), Stamina(6), nn.Linear(6, 2)

        def forward(self, x):
            return self.linear(self.units(self.conv(x).permute(0, 2, 3, 1)))

    assert find_layer_names(Turned()) == {"units": layer_names("conv", "linear")}


# changes in place


@pytest.mark.parametrize(
    ("change", "around"),
    [
        (lambda h, x: h.mul_(2), layer_names("producer", "consumer", foldable="")),
        (
            lambda h, x: h.view(-1, 3).add_(1),
            layer_names("producer", "consumer", foldable="", exclusive=False),
        ),
        (lambda h, x: h[:, 0].zero_(), layer_names("producer", "consumer", consumer=((-1, 1, 2),))),
        (
            lambda h, x: h.masked_fill_(torch.tensor([True, False, False]), 0.0),
            layer_names("producer", "consumer", foldable="", consumer=((-1, 1, 2),)),
        ),
        (lambda h, x: h.zero_(), layer_names("producer")),
        (lambda h, x: h.copy_(x[:, :3]), layer_names("producer")),
        (
            lambda h, x: h.__setitem__((slice(None), 1), x[:, 0]),
            layer_names("producer", "consumer", consumer=((0, -1, 2),)),
        ),
        (lambda h, x: h.transpose_(0, 1).transpose_(0, 1), layer_names("producer", "consumer")),
        (lambda h, x: h.unsqueeze_(0).squeeze_(0), layer_names("producer", "consumer")),
    ],
    ids=["scaled", "view", "part", "masked", "all", "copied", "assigned", "turned", "squeezed"],
)  # fmt: skip
def test_changes_in_place_count(change, around):
    def forward(net, x):
        h = net.units(net.producer(x))
        change(h, x)
        return net.consumer(h)

    assert found_in_unit_net(forward) == {"units": around}


def test_units_may_be_written_into_a_constant():
    def forward(net, x):
        y = torch.zeros(len(x), 5)
        y[:, 1:4] = net.units(net.producer(x))
        return net.wide(y)

    assert found_in_unit_net(forward, wide=nn.Linear(5, 2)) == {
        "units": layer_names("producer", "wide", wide=((-1, 0, 1, 2, -1),))
    }


def test_earlier_views_of_memory_that_units_are_written_into_hold_units():
    def forward(net, x):
        y = torch.zeros(len(x), 3)
        other = y.view(-1)
        y[:, :].copy_(net.units(net.producer(x)))
        return net.consumer(y) + other.view(-1, 3)[:, :2]

    assert found_in_unit_net(forward) == {"units": layer_names("producer")}
