"""Neighbours and layouts: cases by hand, and random nets against measurements."""

import random
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from hebbevo.errors import UsageError
from hebbevo.nn import Dense, HebbMask, InputStamina, Stamina
from hebbevo.nn.layer_graph import Layout, Listener, Neighbours, find_neighbours, layout
from hebbevo.nn.liveness.paths import survivors

ZEROS, ONES = torch.zeros(3), torch.ones(3)


class Net(nn.Module):
    """Linear layers around 3 units, wired by ``forward``, a function of (net, x)."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.feeder = nn.Linear(4, 3)
        self.units = Stamina(3)
        self.other = nn.Linear(3, 2)
        self.listener = nn.Linear(3, 2)
        self.square = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout()
        for name, module in modules.items():
            setattr(self, name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def masked(layer):
    return HebbMask(layer, ["weight"])


def between(feeders="", listeners="", norms="", direct=None, exclusive=True, **sources):
    """Names given as words; all listeners are direct unless ``direct`` says which; none is exclusive.

    ``sources`` are the columns of listeners that do not just have the units in their order.
    """
    direct = listeners if direct is None else direct
    return Neighbours(
        tuple(feeders.split()),
        tuple(norms.split()),
        tuple(Listener(name, sources.get(name), name in direct.split()) for name in listeners.split()),
        exclusive=exclusive and bool(listeners),
    )


def each(units, columns):
    """Units that have several columns in a row."""
    return (tuple(unit for unit in range(units) for _ in range(columns)),)


def found(forward, example=None, **modules):
    return find_neighbours(Net(forward, **modules), example)


def complaint(model, example=None):
    with pytest.raises(UsageError) as caught:
        find_neighbours(model, example)
    (line,) = str(caught.value).splitlines()
    return line


def test_neighbours_in_a_sequential_are_the_linear_layers_on_either_side():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 5), Stamina(5), nn.Linear(5, 2))
    assert find_neighbours(net) == {"1": between("0", "2"), "3": between("2", "4")}


def test_neighbours_are_found_across_nested_modules():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 3), nn.Sequential(Stamina(3), nn.Identity())),
        nn.ModuleDict({"head": nn.Linear(3, 2)})["head"],
    )
    assert find_neighbours(net) == {"0.1.0": between("0.0", "1")}


def test_neighbours_follow_a_custom_forward_not_the_order_of_definition():
    assert found(lambda net, x: net.other(net.units(net.feeder(x)))) == {"units": between("feeder", "other")}


def test_dropout_on_either_side_is_seen_through():
    assert found(lambda net, x: net.listener(net.drop(net.units(net.drop(net.feeder(x)))))) == {
        "units": between("feeder", "listener")
    }


def test_arguments_may_be_named():
    assert found(lambda net, x: net.listener(input=net.units(x=net.drop(input=net.feeder(input=x))))) == {
        "units": between("feeder", "listener")
    }


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
def test_units_at_the_inputs_have_no_feeder(front, shape):
    net = nn.Sequential(front, InputStamina(12), nn.Linear(12, 2))
    assert find_neighbours(net) == find_neighbours(net, torch.ones(shape)) == {"1": between("", "2")}


@pytest.mark.parametrize("flatten", [lambda x: torch.flatten(x, 1), lambda x: x.flatten(1)])
def test_a_flatten_in_forward_is_an_input_too(flatten):
    def forward(net, x):
        return net.listener(net.units(flatten(x)))

    assert found(forward, torch.ones(2, 1, 3)) == {"units": between("", "listener")}


def test_inputs_may_be_read_by_others():
    assert found(lambda net, x: net.listener(net.units(x)) + net.other(x), torch.ones(2, 3)) == {
        "units": between("", "listener")
    }


@pytest.mark.parametrize(
    ("forward", "around"),
    [
        (
            lambda net, x: net.listener(net.units(net.norm(net.feeder(x)))),
            between("feeder", "listener", "norm"),
        ),
        (lambda net, x: net.listener(net.units(net.feeder(x) + 1)), between("feeder", "listener")),
        (lambda net, x: net.listener(net.units(net.feeder(x) * 2)), between("", "listener")),
        (lambda net, x: net.listener(net.units(net.feeder(x).relu())), between("", "listener")),
        (
            lambda net, x: [h := net.feeder(x), net.listener(net.units(h)), net.other(h)][1:],
            between("", "listener"),
        ),
        (
            lambda net, x: [h := net.units(net.feeder(x)), net.listener(h), net.other(h)][1:],
            between("feeder", "listener other"),
        ),
        (
            lambda net, x: [h := net.units(net.feeder(x)), net.listener(h)],
            between("feeder", "listener", exclusive=False),
        ),
        (lambda net, x: net.units(net.feeder(x)), between("feeder")),
        (lambda net, x: net.units(net.feeder(x)).softmax(-1) @ net.listener.weight.T, between("feeder")),
        (lambda net, x: net.listener(net.units(net.feeder(x)).softmax(-1)), between("feeder")),
        (lambda net, x: net.listener(F.layer_norm(net.units(net.feeder(x)), (3,))), between("feeder")),
        (
            lambda net, x: net.listener(net.units(F.batch_norm(net.feeder(x), ZEROS, ONES))),
            between("", "listener"),
        ),
    ],
    ids=[
        "norm before", "sum before", "product before", "function before", "feeder read by two",
        "two listeners", "returned too", "nothing behind", "unknown function behind", "softmax behind",
        "layer norm behind", "a norm that is no module before",
    ],
)  # fmt: skip
def test_whatever_can_be_found_is_a_neighbour(forward, around):
    assert found(forward) == {"units": around}


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
def test_a_layer_behind_something_pointwise_listens_but_not_directly(between_them):
    assert found(lambda net, x: net.listener(between_them(net, net.units(net.feeder(x))))) == {
        "units": between("feeder", "listener", direct="")
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
def test_a_layer_that_reads_something_even_of_the_dead_cannot_be_set_to_zero(between_them):
    around = found(lambda net, x: net.listener(between_them(net, net.units(net.feeder(x)))))["units"]
    (listener,) = (each for each in around.listeners if each.name == "listener")
    assert (listener.source, listener.direct, around.exclusive) == (None, False, False)


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
def test_a_layer_behind_a_sum_listens_neither_directly_nor_to_them_alone(sum_of):
    around = found(lambda net, x: net.listener(sum_of(net, net.units(net.feeder(x)))))["units"]
    assert around.listeners[-1] == Listener("listener", None, False)
    assert not around.exclusive


def test_other_units_on_the_way_change_what_is_read():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Dropout(), Dense(3), nn.Linear(3, 2))
    assert find_neighbours(net) == {
        "1": between("0", "4", direct=""),
        "3": between("", "4"),
    }


def test_of_two_listeners_each_is_direct_or_not():
    assert found(
        lambda net, x: [h := net.units(net.feeder(x)), net.listener(h.relu()) + net.other(net.drop(h))][1]
    ) == {"units": between("feeder", "listener other", direct="other")}


def test_a_layer_without_a_bias_is_not_direct():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2, bias=False))
    assert find_neighbours(net) == {"1": between("0", "2", direct="")}


def test_a_layer_in_a_mask_of_its_own_is_a_neighbour_like_any_other():
    net = nn.Sequential(
        masked(nn.Conv2d(1, 6, 3)), nn.BatchNorm2d(6), Stamina(6, dim=1), masked(nn.Conv2d(6, 2, 3))
    )
    assert find_neighbours(net) == {"2": between("0.module", "3.module", "1", direct="3.module")}


def test_a_layer_in_a_mask_around_more_than_itself_is_read_but_never_rewired():
    around = HebbMask(nn.Sequential(nn.Linear(3, 2)), ["0.weight"])
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), around)
    assert find_neighbours(net) == {"1": between("0", "2.module.0", direct="", exclusive=False)}


def test_units_in_a_mask_have_no_neighbours_and_cost_others_none():
    inner = nn.Sequential(nn.Linear(3, 3), Stamina(3), nn.Linear(3, 3))
    net = nn.Sequential(
        nn.Linear(4, 3), Stamina(3), HebbMask(inner, ["0.weight"]), Stamina(3), nn.Linear(3, 2)
    )
    assert find_neighbours(net) == {
        "1": between("0", "2.module.0", direct="", exclusive=False),
        "3": between("", "4"),
    }


@pytest.mark.parametrize("entries", [["weight", "bias"], ["weight"], ["bias"]])
def test_a_frozen_listener_reads_but_is_never_rewired(entries):
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    for entry in entries:
        getattr(net[2], entry).requires_grad_(False)
    assert find_neighbours(net) == {"1": between("0", "2", direct="", exclusive=False)}


def test_a_frozen_layer_does_not_feed_and_a_frozen_norm_is_not_their_own():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    assert find_neighbours(net) == {"2": between("", "3", "1")}
    net.requires_grad_(True)[1].requires_grad_(False)
    assert find_neighbours(net) == {"2": between("", "3")}


def test_a_norm_without_parameters_is_their_own():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), Stamina(3), nn.Linear(3, 2))
    assert find_neighbours(net) == {"2": between("0", "3", "1")}


def test_layers_that_share_their_weights_are_never_rewired():
    net = nn.Sequential(nn.Linear(3, 3), Stamina(3), nn.Linear(3, 3))
    assert find_neighbours(net) == {"1": between("0", "2")}
    net[2].weight = net[0].weight
    assert find_neighbours(net) == {"1": between("", "2", direct="", exclusive=False)}


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: F.linear(
            net.listener(net.units(net.feeder(x))), net.listener.weight.T, net.feeder.bias
        ),
        lambda net, x: (
            net.listener(net.units(net.feeder(x))) * net.feeder.bias.sum() * net.listener.weight[0, 0]
        ),
        lambda net, x: [net.listener(net.units(net.feeder(x))), net.feeder.weight, net.listener.bias.sum()],
        lambda net, x: [
            net.listener(net.units(net.feeder(x))),
            net.feeder(torch.ones(1, 4)),
            net.listener(torch.ones(1, 3)),
        ],
    ],
    ids=["linear", "scalars", "returned", "constants"],
)  # fmt: skip
def test_a_layer_whose_weights_forward_uses_elsewhere_is_never_rewired(forward):
    around = found(forward)["units"]
    assert around == between("", "listener", direct="", exclusive=False)


def test_asking_a_weight_for_its_type_is_no_use():
    def forward(net, x):
        x = x.to(net.feeder.weight.dtype) * net.listener.weight.shape[0]
        return net.listener(net.units(net.feeder(x.to(net.listener.weight.device))))

    assert found(forward) == {"units": between("feeder", "listener")}


def test_a_layer_with_two_names_is_one_layer():
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x))))
    net.again = net.listener
    assert find_neighbours(net) == {"units": between("feeder", "listener")}


@pytest.mark.parametrize(
    "wrapped", [parametrizations.weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)]
)
def test_a_layer_whose_weights_are_computed_reads_and_cannot_be_rewired(wrapped):
    # tracing did not find the layer that reads
    net = nn.Sequential(wrapped(nn.Linear(4, 3)), Stamina(3), wrapped(nn.Linear(3, 2)))
    assert find_neighbours(net) == {"1": between("", "2", direct="", exclusive=False)}


NOT_ONCE = {
    "twice": lambda net, x: net.listener(net.units(net.square(net.units(net.feeder(x))))),
    "never": lambda net, x: net.listener(net.feeder(x)),
    "by rows": lambda net, x: [net.listener(net.units(net.feeder(row))) for row in x],
}


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_units_that_are_used_twice_or_never_have_no_neighbours(forward):
    assert found(forward) == {}


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_units_that_are_used_twice_or_never_do_not_cost_the_others_their_neighbours(forward):
    net = nn.Sequential(nn.Linear(5, 4), Stamina(4), Net(forward))
    by_rows = forward is NOT_ONCE["by rows"]
    assert find_neighbours(net) == {
        "1": between("0", "2.feeder", direct="" if by_rows else None, exclusive=not by_rows)
    }


def test_a_layer_that_is_called_twice_does_not_feed_and_is_not_direct():
    assert found(lambda net, x: [net.listener(net.units(net.feeder(x))), net.feeder(x)]) == {
        "units": between("", "listener")
    }
    assert found(lambda net, x: net.listener(net.units(net.feeder(x))) + net.listener(x[:, :3])) == {
        "units": between("feeder", "listener", direct="", exclusive=False)
    }


def test_a_dropout_or_pool_may_be_called_many_times():
    assert found(lambda net, x: net.drop(net.listener(net.drop(net.units(net.drop(net.feeder(x))))))) == {
        "units": between("feeder", "listener")
    }


# channels


class Channels(nn.Module):
    """Convolutions around 6 channels, wired by ``forward``, a function of (net, x)."""

    def __init__(self, forward, units=None):
        super().__init__()
        self.feeder = nn.Conv2d(3, 6, 3, padding=1)
        self.skip = nn.Conv2d(3, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.skip_norm = nn.BatchNorm2d(6)
        self.units = units or Stamina(6, dim=1)
        self.pool = nn.MaxPool2d(2)
        self.listener = nn.Conv2d(6, 8, 3)
        self.other = nn.Conv2d(6, 8, 1)
        self.grouped = nn.Conv2d(6, 9, 3, groups=3)
        self.depthwise = nn.Conv2d(6, 12, 3, groups=6)
        self.six = nn.Linear(6, 2)
        self.many = nn.Linear(6 * 16, 2)
        self.few = nn.Linear(6 * 4, 2)
        self.four = nn.Linear(4, 2)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


IMAGE = torch.ones(3, 3, 4, 4)


def channels(forward, example=IMAGE, **kwargs):
    return find_neighbours(Channels(forward, **kwargs), example)["units"]


def test_norm_pool_and_flatten_lie_between_the_layers():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), Stamina(6, dim=1), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Linear(6 * 9, 4),
    )  # fmt: skip
    (listener,) = find_neighbours(net)["2"].listeners
    assert listener == Listener("6", each(6, 9), True)
    assert find_neighbours(net) == {"2": Neighbours(("0",), ("1",), (listener,), True)}


def test_the_layers_of_a_sum_feed_the_units_alone():
    assert channels(
        lambda net, x: net.listener(net.units(net.norm(net.feeder(x)) + net.skip_norm(net.skip(x))))
    ) == between("feeder skip", "listener", "norm skip_norm")
    assert channels(lambda net, x: net.other(net.pool(net.units(net.pool(net.feeder(x)))))) == between(
        "feeder", "other"
    )


def test_the_source_of_a_skip_that_is_read_elsewhere_does_not_feed():
    def forward(net, x):
        h = net.skip(x)
        return net.listener(net.units(net.norm(net.feeder(x)) + h)) + h.mean()

    assert channels(forward) == between("feeder", "listener", "norm")


def test_a_residual_stream_is_read_by_every_layer_along_it():
    def forward(net, x):
        h = net.units(net.feeder(x))
        return net.listener(h + net.norm(net.skip(x))) + net.other(h).mean((2, 3), keepdim=True)

    assert channels(forward) == between("feeder", "listener other", direct="other", exclusive=False)


@pytest.mark.parametrize(
    "shared",
    [lambda net, x: net.norm(net.skip(x)), lambda net, x: net.norm(net.feeder(x))],
    ids=["norm", "norm and layer"],
)
def test_a_norm_that_is_called_twice_is_not_their_own(shared):
    assert channels(
        lambda net, x: [net.listener(net.units(net.norm(net.feeder(x)))), shared(net, x)]
    ) == between("", "listener")


@pytest.mark.parametrize(
    ("listener", "pool"),
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
        # tracing did not know these
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
def test_places_may_be_pooled_averaged_or_flattened(listener, pool):
    columns = {"six": 1, "few": 4, "many": 16}[listener]
    sources = {} if columns == 1 else {listener: each(6, columns)}
    assert channels(lambda net, x: getattr(net, listener)(pool(net.units(net.feeder(x))))) == between(
        "feeder", listener, **sources
    )


def test_a_sum_over_places_is_no_mean():
    assert channels(lambda net, x: net.six(net.units(net.feeder(x)).sum((2, 3)))) == between(
        "feeder", "six", direct=""
    )
    assert channels(lambda net, x: net.six(net.units(net.feeder(x)).logsumexp((2, 3)))) == between(
        "feeder", "six", direct="", exclusive=False
    )


@pytest.mark.parametrize(
    ("listener", "source"),
    [
        ("grouped", ((0, 1), (2, 3), (4, 5))),
        ("depthwise", ((0,), (1,), (2,), (3,), (4,), (5,))),
    ],
)
def test_convolutions_in_groups_listen(listener, source):
    assert channels(lambda net, x: getattr(net, listener)(net.units(net.feeder(x)))) == between(
        "feeder", listener, **{listener: source}
    )


def test_a_convolution_in_groups_feeds():
    net = nn.Sequential(nn.Conv1d(3, 6, 3, groups=3), Stamina(6, dim=1), nn.Conv1d(6, 2, 1))
    assert find_neighbours(net) == {"1": between("0", "2")}


def test_whatever_order_columns_have_their_units_are_known():
    # tracing found none of these
    def forward(arrange, name="many"):
        return channels(lambda net, x: getattr(net, name)(arrange(net.units(net.feeder(x)))))

    for last in (
        lambda h: h.permute(0, 2, 3, 1).flatten(1),
        lambda h: h.movedim(1, -1).reshape(3, -1),
        lambda h: h.flatten(2).mT.flatten(1),
    ):
        assert forward(last) == between("feeder", "many", many=(tuple(range(6)) * 16,))
    middle = tuple(unit for _ in range(4) for unit in range(6) for _ in range(4))
    assert forward(lambda h: h.transpose(1, 2).flatten(1)) == between("feeder", "many", many=(middle,))
    assert forward(lambda h: h.flip(1), "other") == between("feeder", "other", other=((5, 4, 3, 2, 1, 0),))
    assert forward(lambda h: h[:, [1, 1, 0, 3, 3, 3]], "grouped") == between(
        "feeder", "grouped", grouped=((1, 1), (0, 3), (3, 3))
    )


def test_units_may_stand_among_others_in_a_row():
    # tracing found no listener behind a concatenation
    assert found(
        lambda net, x: net.wide(torch.cat([x[:, 1:], net.units(net.feeder(x)), x[:, :1]], 1)),
        wide=nn.Linear(7, 2),
    ) == {"units": between("feeder", "wide", wide=((-1, -1, -1, 0, 1, 2, -1),))}

    def forward(net, x):
        one, other = net.units(net.feeder(x)), net.more(net.square(x[:, 1:]))
        return net.wide(F.pad(torch.cat([other, one], 1), (0, 1)))

    assert found(forward, wide=nn.Linear(7, 2), more=Stamina(3)) == {
        "units": between("feeder", "wide", wide=((-1, -1, -1, 0, 1, 2, -1),)),
        "more": between("square", "wide", wide=((0, 1, 2, -1, -1, -1, -1),)),
    }


def test_a_part_of_the_units_may_be_read():
    assert found(
        lambda net, x: [h := net.units(net.feeder(x)), net.pair(h[:, 1:]), net.one(h[:, :1])][1:],
        pair=nn.Linear(2, 2),
        one=nn.Linear(1, 2),
    ) == {"units": between("feeder", "pair one", pair=((1, 2),), one=((0,),))}


def test_zeros_around_a_map_are_nothing_and_other_constants_are_something():
    def padded(value):
        return channels(lambda net, x: net.listener(F.pad(net.units(net.feeder(x)), (1,) * 4, value=value)))

    around = [padded(0.0), padded(1.0)]
    assert around == [
        between("feeder", "listener"),
        between("feeder", "listener", direct="", exclusive=False),
    ]


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.four(net.units(net.feeder(x)).mean(1)),
        lambda net, x: net.four(net.units(net.feeder(x)).mean((1, 2))),
        lambda net, x: net.six(net.units(net.feeder(x)).mean() + x.flatten(1)[:, :6]),
        lambda net, x: net.four(net.units(net.feeder(x))),
        lambda net, x: net.six(net.units(net.feeder(x)).flatten(1)[:, :36].reshape(-1, 6)),
        lambda net, x: net.six(torch.einsum("bchw,cd->bd", net.units(net.feeder(x)), torch.eye(6))),
        lambda net, x: net.six(net.units(net.feeder(x)).cumsum(1).mean((2, 3))),
        lambda net, x: net.four(F.max_pool1d(net.units(net.feeder(x)).flatten(2).mT, 2)[..., [0, 0, 1, 2]]),
    ],
    ids=[
        "mean over neurons", "mean over neurons too", "mean over all", "along another axis", "torn rows",
        "contraction", "cumulated", "pool over neurons",
    ],
)  # fmt: skip
def test_what_reads_neurons_mixed_is_no_listener(forward):
    assert channels(forward) == between("feeder")


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.many(net.units(net.feeder(x)).view(-1)),
        lambda net, x: net.six(net.units(net.feeder(x)).flatten(1)),
    ],
    ids=["view as one row", "does not fit"],
)
def test_what_does_not_run_is_refused(forward):
    line = complaint(Channels(forward), IMAGE)
    assert line.startswith("Channels: does not run on the example (")
    assert line.endswith("); give inputs that it takes")


def test_behind_a_flattened_sequence_the_units_come_again_and_again():
    def net(units):
        return nn.Sequential(nn.Linear(4, 6), units, nn.Flatten(), nn.Linear(36, 2))

    sequence = torch.ones(2, 6, 4)
    again = (tuple(range(6)) * 6,)
    assert find_neighbours(net(Stamina(6)), sequence) == {"1": between("0", "3", **{"3": again})}
    assert find_neighbours(net(Stamina(6, dim=1)), sequence) == {"1": between("", "3", **{"3": each(6, 6)})}


def test_a_mean_over_a_sequence_keeps_the_neurons():
    sequence = torch.ones(2, 3, 4)
    assert found(lambda net, x: net.listener(net.units(net.feeder(x)).mean(1)), sequence) == {
        "units": between("feeder", "listener")
    }
    assert found(lambda net, x: net.listener(net.units(net.feeder(x)).mean(-1)), sequence) == {
        "units": between("feeder")
    }


def test_neurons_along_the_last_axis_are_not_the_channels_of_a_convolution():
    for pool in (nn.Identity(), nn.MaxPool2d(3, 1, 1)):
        net = nn.Sequential(nn.Conv2d(3, 6, 1), Stamina(6), pool, nn.Conv2d(6, 6, 1))
        assert find_neighbours(net, torch.ones(2, 3, 6, 6)) == {"1": between()}
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.MaxPool1d(3, 1, 1), nn.Linear(6, 2))
    assert find_neighbours(net) == {"1": between("0")}
    net = nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(3, 1, 1), Stamina(6), nn.Linear(6, 2))
    assert find_neighbours(net) == {"2": between("", "3")}


def test_equal_sizes_along_another_axis_make_no_neighbours():
    for example in (None, torch.ones(2, 8, 8)):
        net = nn.Sequential(nn.Conv1d(8, 8, 1), Stamina(8, dim=1), nn.Linear(8, 8))
        assert find_neighbours(net, example) == {"1": between("0")}
        net = nn.Sequential(nn.Linear(8, 8), Stamina(8, dim=1), nn.Conv1d(8, 8, 1))
        assert find_neighbours(net, example) == {"1": between("", "2")}
        net = nn.Sequential(nn.Linear(8, 8), Stamina(8, dim=1), nn.Linear(8, 8))
        assert find_neighbours(net, example) == {"1": between()}
    # of rows without a sequence the same axis is that of the features
    assert find_neighbours(net, torch.ones(2, 8)) == {"1": between("0", "2")}


def test_units_that_are_moved_to_another_axis_have_their_neighbours_there():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.units, self.linear = nn.Conv2d(3, 6, 1), Stamina(6), nn.Linear(6, 2)

        def forward(self, x):
            return self.linear(self.units(self.conv(x).permute(0, 2, 3, 1)))

    assert find_neighbours(Turned()) == {"units": between("conv", "linear")}


def test_functions_before_the_units_are_seen_through_like_modules():
    assert channels(
        lambda net, x: net.other(net.units(F.max_pool2d(F.dropout2d(net.feeder(x)), 2)))
    ) == between("feeder", "other")


def test_a_layer_of_which_a_part_or_another_order_arrives_does_not_feed():
    wide = nn.Linear(4, 6)
    assert found(lambda net, x: net.listener(net.units(net.wide(x)[:, :3])), wide=wide) == {
        "units": between("", "listener")
    }
    assert found(lambda net, x: net.listener(net.units(net.feeder(x).flip(1)))) == {
        "units": between("", "listener")
    }


class MyLinear(nn.Linear):
    pass


class Scaled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


class Weighed(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * 2, self.bias)


def test_subclasses_of_layers_are_followed_through_their_forward():
    for kind in (MyLinear, Scaled, Weighed):
        net = nn.Sequential(kind(4, 3), Stamina(3), kind(3, 2))
        rewired = kind is not Weighed
        feeders = "0" if kind is MyLinear else ""
        assert find_neighbours(net) == {
            "1": between(feeders, "2", direct=None if rewired else "", exclusive=rewired)
        }
        assert layout(net) is None


# what reads the neurons alone


def x_of(h):
    """Something of the shape of an input that derives from ``h``."""
    return h.detach()[:, :3]


@pytest.mark.parametrize(
    ("read", "exclusive"),
    [
        (lambda net, h: net.listener(h), True),
        (lambda net, h: [net.listener(net.skip_norm(h)), net.other(h.relu())], False),
        (lambda net, h: [net.listener(h), net.grouped(h).mean((2, 3))], True),
        (lambda net, h: net.listener(h) * h.shape[0] + h.size(1), True),
        (lambda net, h: net.listener(h + 0), False),
        (lambda net, h: [net.listener(h), net.other(h + net.skip(x_of(h)))], False),
        (lambda net, h: net.listener(h) * h.softmax(1).max(), False),
        (lambda net, h: net.listener(h) + h.mT.sum(), False),
        (lambda net, h: [net.listener(h), net.six(h.flatten(1)[:, :6])], True),
        (lambda net, h: (net.listener(h), h), False),
        (lambda net, h: {"a": [net.listener(h)], "b": {"c": h * 0}}, False),
        (lambda net, h: net.twelve(torch.cat([h, h], 1)), True),
        (lambda net, h: net.listener(torch.cat([h, h])), True),
        (lambda net, h: net.listener(torch.cat([h, torch.ones_like(h)])), False),
        (lambda net, h: [net.listener(h), net.listener(h)], False),
        (lambda net, h: [net.listener(h), F.conv2d(h, net.other.weight)], False),
        (lambda net, h: [net.listener(h), F.conv_transpose2d(h, torch.ones(6, 2, 1, 1))], False),
    ],
    ids=[
        "one", "two and pointwise", "groups and mean", "its shape", "a sum", "a sum on one path",
        "unknown function", "transposed", "a part", "output", "nested output", "cat",
        "cat of rows", "cat with others", "shared", "a function with its weights", "another convolution",
    ],
)  # fmt: skip
def test_listeners_are_exclusive_where_nothing_else_is_read_through_them(read, exclusive):
    class Wider(Channels):
        def __init__(self, forward):
            super().__init__(forward)
            self.twelve = nn.Conv2d(12, 2, 1)

    around = find_neighbours(Wider(lambda net, x: read(net, net.units(net.feeder(x)))), IMAGE)["units"]
    assert around.exclusive is exclusive


def test_what_a_forward_keeps_is_read_as_well():
    def forward(net, x):
        net.kept = [net.units(net.feeder(x))]
        return net.listener(net.kept[0])

    def into_buffer(net, x):
        h = net.units(net.feeder(x))
        net.norm.running_mean.copy_(h.mean(0))
        return net.listener(h)

    for each in (forward, into_buffer):
        assert found(each) == {"units": between("feeder", "listener", exclusive=False)}


def test_a_module_named_like_a_function_is_not_that_function():
    layers = dict(feeder=nn.Linear(4, 3), units=Stamina(3), relu=nn.Softmax(-1), listener=nn.Linear(3, 2))
    assert find_neighbours(nn.Sequential(OrderedDict(layers))) == {"units": between("feeder")}


# changes in place


@pytest.mark.parametrize(
    ("change", "around"),
    [
        (lambda h, x: h.mul_(2), between("feeder", "listener", direct="")),
        (lambda h, x: h.view(-1, 3).add_(1), between("feeder", "listener", direct="", exclusive=False)),
        (lambda h, x: h[:, 0].zero_(), between("feeder", "listener", listener=((-1, 1, 2),))),
        (
            lambda h, x: h.masked_fill_(torch.tensor([True, False, False]), 0.0),
            between("feeder", "listener", direct="", listener=((-1, 1, 2),)),
        ),
        (lambda h, x: h.zero_(), between("feeder")),
        (lambda h, x: h.copy_(x[:, :3]), between("feeder")),
        (
            lambda h, x: h.__setitem__((slice(None), 1), x[:, 0]),
            between("feeder", "listener", listener=((0, -1, 2),)),
        ),
        (lambda h, x: h.transpose_(0, 1).transpose_(0, 1), between("feeder", "listener")),
        (lambda h, x: h.unsqueeze_(0).squeeze_(0), between("feeder", "listener")),
    ],
    ids=["scaled", "view", "part", "masked", "all", "copied", "assigned", "turned", "squeezed"],
)  # fmt: skip
def test_changes_in_place_are_seen(change, around):
    def forward(net, x):
        h = net.units(net.feeder(x))
        change(h, x)
        return net.listener(h)

    assert found(forward) == {"units": around}


def test_units_that_are_written_into_a_constant_are_followed():
    def forward(net, x):
        y = torch.zeros(len(x), 5)
        y[:, 1:4] = net.units(net.feeder(x))
        return net.wide(y)

    assert found(forward, wide=nn.Linear(5, 2)) == {
        "units": between("feeder", "wide", wide=((-1, 0, 1, 2, -1),))
    }


def test_units_that_are_written_through_a_view_are_not_forgotten():
    def forward(net, x):
        y = torch.zeros(len(x), 3)
        other = y.view(-1)
        y[:, :].copy_(net.units(net.feeder(x)))
        return net.listener(y) + other.view(-1, 3)[:, :2]

    assert found(forward) == {"units": between("feeder")}


# what cannot be followed


@pytest.mark.parametrize(
    ("forward", "what"),
    [
        (lambda net, x: net.listener(net.units(net.feeder(x))) if x.sum() > 0 else x, "bool"),
        (lambda net, x: net.listener(net.units(net.feeder(x))) * x.sum().item(), "item"),
        (lambda net, x: net.listener(net.units(net.feeder(x)))[: int(x.argmax())], "int"),
        (lambda net, x: net.listener(net.units(net.feeder(x[x.abs().sum(1).nonzero()[:, 0]]))), "nonzero"),
        (lambda net, x: net.listener(net.units(net.feeder(x[torch.where(x[:, 0] > 0)]))), "where"),
    ],
    ids=["if", "item", "int", "nonzero", "where"],
)
def test_control_flow_that_depends_on_data_is_refused(forward, what):
    assert complaint(Net(forward)) == (
        f"Net: its forward cannot be followed (its path depends on values ({what})); "
        "keep data-dependent control flow out of forward"
    )


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.listener(net.units(net.feeder(x))) + torch.zeros(x.shape[0], 2),
        lambda net, x: net.listener(net.units(net.feeder(x))) * len(x),
        lambda net, x: net.listener(net.units(net.feeder(x if x.dim() == 2 else x.flatten(1)))),
        lambda net, x: net.listener(net.units(net.feeder(x)).view(*x.shape[:-1], 3)),
        lambda net, x: [b := x.size()[0], net.listener(net.units(net.feeder(x)).reshape(b, 3))][1],
    ],
    ids=["size", "len", "dim", "shape", "reshape"],
)
def test_shapes_may_decide_what_runs(forward):
    # tracing refused these
    def asserting(net, x):
        assert x.shape[1] == 4 and len(x) > 0
        if x.dim() == 3:
            raise AssertionError
        return forward(net, x)

    assert found(asserting) == {"units": between("feeder", "listener")}


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_functions_of_ones_own_are_looked_into():
    assert found(lambda net, x: net.listener(Sign.apply(net.units(net.feeder(x))))) == {
        "units": between("feeder", "listener", direct="")
    }


def test_what_is_compiled_is_followed_as_it_is_written():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    net.compile(backend="eager")
    compiled = net._compiled_call_impl
    assert find_neighbours(net) == {"1": between("0", "2")}
    assert net._compiled_call_impl is compiled is not None
    net = nn.Sequential(torch.compile(nn.Linear(4, 3), backend="eager"), Stamina(3), nn.Linear(3, 2))
    assert find_neighbours(net) == {"1": between("0._orig_mod", "2")}


def test_scripts_cannot_be_looked_into():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of being deprecated
        script = torch.jit.script(nn.Linear(3, 3))
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), script)
    assert complaint(net) == (
        "Sequential: its forward cannot be followed (the TorchScript in 2 cannot be looked into); "
        "write it in functions of PyTorch"
    )
    assert survivors(net, torch.ones(1, 4)).alive.tolist() == [[3]]


def test_transforms_of_functions_cannot_be_looked_into():
    line = complaint(Net(lambda net, x: torch.vmap(net.listener)(net.units(net.feeder(x)))))
    assert line.startswith("Net: its forward cannot be followed (")
    assert line.endswith(" cannot be looked into); write it in functions of PyTorch")


def test_a_model_without_units_is_not_run():
    net = Net(lambda net, x: net.other(x) if x.sum() > 0 else x, units=nn.ReLU())
    assert find_neighbours(net) == {}


def test_a_model_may_take_several_inputs():
    class Two(Net):
        def forward(self, x, y):
            return self.listener(self.units(self.feeder(x))) + self.other(y)

    net = Two(None)
    assert complaint(net).startswith(
        "Two: does not run on an input that its first layer suggests (TypeError: "
    )
    assert complaint(net).endswith("); give an example input")
    assert find_neighbours(net, (torch.ones(9, 4), torch.ones(9, 3))) == {
        "units": between("feeder", "listener")
    }


def test_what_is_taken_is_guessed():
    units = Stamina(6, dim=1)
    net = nn.Sequential(units, nn.Flatten(), nn.Linear(54, 2))
    assert find_neighbours(net) == {"0": between("", "2", **{"2": each(6, 9)})}
    net = nn.Sequential(nn.ReLU(), InputStamina(3))
    assert find_neighbours(net) == {"1": between()}
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x[0]))))
    net.input_shape = (5, 4)
    assert find_neighbours(net) == {"units": between("feeder", "listener")}
    lazy = nn.Sequential(nn.LazyLinear(3), Stamina(3))
    assert complaint(lazy) == "Sequential: 0.weight has no shape yet; call the model once before"


# no trace


class Messy(nn.Module):
    """Changes everything that a forward pass can reach."""

    def __init__(self):
        super().__init__()
        self.first, self.units, self.last = nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)
        self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout()
        self.register_buffer("centre", torch.zeros(4))
        self.register_buffer("calls", torch.zeros(1))
        self.memory = torch.zeros(4)
        self.seen, self.by_name, self.nested = [], {"a": 1}, ({"deep": [1, 2]},)
        self.hidden = [nn.Linear(4, 4)]
        self.state = None

    def train(self, mode=True):
        with torch.no_grad():
            self.first.weight.mul_(2)  # as layers do that merge others into theirs
        return super().train(mode)

    def forward(self, x):
        x -= 1
        self.centre = 0.9 * self.centre + x.mean(0)
        self.calls += 1
        self.memory.add_(1)
        self.memory.data[0] = 7
        self.seen.append(x)
        self.by_name["b"] = x
        self.nested[0]["deep"].clear()
        self.hidden[0].last = x
        self.hidden[0].weight.data.zero_()
        self.state, self.units.extra = x, 3
        self.first.weight.data.mul_(3)
        self.first.weight.requires_grad_(False)
        self.late = nn.Linear(2, 2)
        self.first.register_forward_hook(lambda *_: None)
        self.norm.train()
        x = x + torch.rand_like(x) * random.random() * np.random.rand()
        with torch.enable_grad():
            y = self.last(self.drop(self.units(self.norm(self.first(x)))))
            if y.requires_grad:
                torch.autograd.backward(self.last.weight.sum(), inputs=[self.last.weight])
        return y


def everything(net):
    """What can be seen of a net, with the identities of what it holds."""
    modules = {name: (module, {**vars(module)}) for name, module in net.named_modules()}
    tensors = [*net.parameters(), *net.buffers(), net.memory, *net.hidden[0].parameters()]
    return (
        {name: {key: id(value) for key, value in held.items()} for name, (_, held) in modules.items()},
        {name: [*module._forward_hooks, *module._forward_pre_hooks] for name, (module, _) in modules.items()},
        [(id(each), each.tolist(), each.requires_grad, each.grad) for each in tensors],
        ([*net.seen], {**net.by_name}, net.nested[0]["deep"][:], [*vars(net.hidden[0])]),
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: find_neighbours(net),
        lambda net, x: find_neighbours(net, x),
        lambda net, x: survivors(net, x),
    ],
    ids=["neighbours", "example", "survivors"],
)
def test_a_model_is_left_as_it_was(run):
    net, x = Messy(), torch.ones(5, 4)
    net.norm.eval()
    before = everything(net)
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    run(net, x)
    assert (torch.rand(()), random.random(), np.random.rand()) == (
        torch.manual_seed(5) and torch.rand(()),
        random.seed(5) or random.random(),
        np.random.seed(5) or np.random.rand(),
    )
    assert everything(net) == before
    assert torch.equal(x, torch.ones(5, 4))


def test_a_model_that_fails_is_left_as_it_was():
    class Failing(Messy):
        def forward(self, x):
            super().forward(x)
            if x.sum() > 0:
                raise RuntimeError("too large")

    net = Failing()
    before = everything(net)
    complaint(net)
    assert everything(net) == before


def test_a_model_that_would_keep_something_for_itself_has_its_neighbours():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("centre", torch.zeros(4))
            self.layers = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))

        def forward(self, x):
            self.centre = 0.9 * self.centre + x.mean(0)
            return self.layers(x - self.centre)

    net = Centred()
    centre = net.centre
    assert find_neighbours(net) == {"layers.1": between("layers.0", "layers.2")}
    assert net.centre is centre and centre.tolist() == [0.0] * 4


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_and_modes_around_make_no_difference(around, dtype):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2)).to(dtype)
    with around():
        assert find_neighbours(net) == {"2": between("0", "3", "1")}
        assert find_neighbours(net, torch.ones(5, 4, dtype=dtype)) == {"2": between("0", "3", "1")}


# random nets, measured


class Random(nn.Module):
    """A net drawn at random: units feed into whatever comes next, in two branches or one."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw
        self.conv = draw.random() < 0.5
        self.width = draw.choice([2, 4, 6])
        self.layers, self.units = nn.ModuleList(), nn.ModuleList()
        self.steps = [draw.choice(STEPS) for _ in range(draw.randint(1, 5))]
        self.seeds = [draw.random() for _ in range(len(self.steps) * 2 + 2)]

    def layer(self, x, width):
        """The next layer, that takes ``x`` and has ``width`` outputs."""
        self.count += 1
        if self.count > len(self.layers):
            if x.dim() > 2 and self.conv and self.turns[self.count % 7] < 0.7:
                groups = (
                    2 if x.shape[1] % 2 == 0 and width % 2 == 0 and self.turns[self.count % 5] < 0.4 else 1
                )
                self.layers.append(nn.Conv1d(x.shape[1], width, 1, groups=groups))
            else:
                self.layers.append(nn.Linear(x.shape[-1], width))
        return self.layers[self.count - 1](x)

    def alive(self, x):
        self.number += 1
        if self.number > len(self.units):
            layer = self.layers[self.count - 1]
            dim = 1 if isinstance(layer, nn.Conv1d) else -1
            self.units.append(Dense(x.shape[dim], dim=dim))
        return self.units[self.number - 1](x)

    def forward(self, x):
        self.count = self.number = 0
        draw = random.Random(self.seeds[0])
        self.turns = [draw.random() for _ in range(8)]
        x = self.alive(self.layer(x, self.width))
        for step in self.steps:
            x = step(self, x, draw)
        return self.layer(x, 2)


def _residual(net, x, draw):
    y = net.alive(net.layer(x, x.shape[1]))
    return x + y if x.shape == y.shape else y


def _beside(net, x, draw):
    y = net.alive(net.layer(x, net.width))
    return torch.cat([x, y], draw.choice([1, -1])) if x.shape == y.shape else y


def _mean(net, x, draw):
    return x.mean(-1) if x.dim() > 2 else x


def _pool(net, x, draw):
    return F.avg_pool1d(x, 2) if x.dim() > 2 and x.shape[-1] > 1 else x


MEANS = [_mean, _pool]
STEPS = [
    *MEANS,
    lambda net, x, draw: net.alive(net.layer(x, net.width)),
    lambda net, x, draw: net.layer(x, net.width),
    _residual,
    _beside,
    lambda net, x, draw: x.flatten(1),
    lambda net, x, draw: x.mT.contiguous() if x.dim() > 2 else x,
    lambda net, x, draw: x.mT.flatten(1) if x.dim() > 2 else x,
    lambda net, x, draw: x.flip(1),
    lambda net, x, draw: x[:, torch.arange(x.shape[1]) // 2],
    lambda net, x, draw: x.reshape(len(x), -1, 2) if x[0].numel() % 2 == 0 else x,
    lambda net, x, draw: F.pad(x, (1, 0)),
    lambda net, x, draw: F.leaky_relu(x),
    lambda net, x, draw: x * 2,
    lambda net, x, draw: torch.stack(x.unbind(1)[::-1], 1),
]


@pytest.mark.parametrize("seed", range(150))
def test_source_maps_of_random_nets_are_those_that_are_measured(seed):
    draw = random.Random(seed)
    net = Random(draw)
    shape = (3, 4, 4) if net.conv or draw.random() < 0.5 else (3, 4)
    net(torch.zeros(shape))  # builds the layers
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape) + 0.5)  # whatever enters comes out
    neighbours = find_neighbours(net, torch.rand(shape))
    names = {module: name for name, module in net.named_modules()}
    x = torch.rand(shape) + 1
    for units in net.units:
        around = neighbours[names[units]]
        known = {
            listener.name: flat(listener.source or [range(units.num_neurons)])
            for listener in around.listeners
        }
        read = influence(net, units, x, names)
        for name, columns in known.items():
            assert [{unit} - {-1} for unit in columns] == read[name]
        for name in read.keys() - known.keys():
            assert not any(read[name]) or not around.exclusive
            # of a mean over units and others none is known
            pure = not {*net.steps} & {*MEANS} and all(len(units) < 2 for units in read[name])
            assert not any(read[name]) or not pure
        if around.exclusive:
            for unit in range(units.num_neurons):
                inputs = inputs_with(net, units, unit, lambda output: output * 0, x, names)
                for name, columns in known.items():
                    assert not any(
                        inputs[name][place].any() for place, each in enumerate(columns) if each == unit
                    )
        for listener in around.listeners:
            inputs = inputs_with(net, units, None, lambda output: output * 0 + 5, x, names)[listener.name]
            if listener.direct:
                assert all(
                    {*inputs[place].flatten().tolist()} <= {0.0, 5.0}
                    for place, unit in enumerate(known[listener.name])
                    if unit >= 0
                )


def flat(source):
    return [unit for group in source for unit in group]


def influence(net, units, x, names):
    """Which units change which input columns of which layers, on to the first layer behind them."""
    plain = inputs_with(net, units, None, lambda output: output, x, names)
    found = {name: [set() for _ in columns] for name, columns in plain.items()}
    for unit in range(units.num_neurons):
        for name, columns in inputs_with(net, units, unit, lambda output: output + 0.37, x, names).items():
            differs = (columns - plain[name]).abs().flatten(1).amax(1) > 1e-6
            for column in differs.nonzero()[:, 0].tolist():
                found[name][column].add(unit)
    return found


def inputs_with(net, units, unit, change, x, names):
    """Inputs of every layer, columns first, where one unit's output is changed, or that of all.

    What layers put out stays as it is without the change.
    """
    plain, inputs = {}, {}

    def remember(layer, args, output):
        plain[names[layer]] = output

    def replace(layer, args, output):
        axis = 1 if isinstance(layer, nn.Conv1d) else -1
        inputs[names[layer]] = args[0].detach().movedim(axis, 0)
        return plain[names[layer]]

    def changed(module, args, output):
        output = output.clone()
        part = output if unit is None else output.select(units.dim, unit)
        part.copy_(change(part))
        return output

    with torch.no_grad():
        for hook, on_units in ((remember, None), (replace, changed)):
            hooks = [layer.register_forward_hook(hook) for layer in net.layers]
            if on_units:
                hooks.append(units.register_forward_hook(on_units))
            net(x)
            for each in hooks:
                each.remove()
    return inputs


# plain chains


def test_what_is_a_chain_and_what_is_none():
    one, other = nn.Linear(4, 5), nn.Linear(5, 2)
    stamina_net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), Stamina(5), nn.Sequential(nn.Linear(5, 2)))
    assert layout(stamina_net) == Layout(("1", "3.0"), {0: "2"}, (4, 5, 2), (True, True))
    assert layout(nn.Sequential(InputStamina(4), one, nn.ReLU(), other)).units == {-1: "0", 0: "2"}
    assert layout(nn.Sequential(one, other)).units == {}
    no_bias = nn.Sequential(nn.Identity(), nn.Linear(4, 5, bias=False), nn.Identity(), Dense(5), other)
    assert layout(no_bias) == Layout(("1", "4"), {0: "3"}, (4, 5, 2), (False, True))

    class Mine(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2

    hooked = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), other)
    hooked[0].register_forward_hook(lambda *_: None)
    frozen = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2).requires_grad_(False))
    replaced = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), other)
    replaced[1].forward = torch.tanh
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    square, twice = nn.Linear(5, 5), Stamina(5)
    for none in (
        Mine(one, nn.ReLU(), other),
        hooked,
        frozen,
        replaced,
        tied,
        nn.Sequential(one, nn.Tanh(), other),
        nn.Sequential(one, nn.Dropout(), other),
        nn.Sequential(MyLinear(4, 5), nn.ReLU(), other),
        nn.Sequential(one, Stamina(5, dim=1), other),
        nn.Sequential(one, Stamina(5, entropy_bonus=0.1), other),
        nn.Sequential(one, square, nn.ReLU(), square, other),
        nn.Sequential(one, twice, nn.Linear(5, 5), twice, other),
        nn.Sequential(one, nn.ReLU(), Stamina(5), other),
        nn.Sequential(one, nn.ReLU(), other, nn.ReLU()),
        nn.Sequential(one, nn.Flatten(0), other),
        nn.Sequential(one, nn.Flatten(), other),
        nn.Sequential(nn.ReLU(), one),
        nn.Sequential(one, InputStamina(5), other),
        nn.Sequential(nn.Flatten()),
        one,
    ):
        assert layout(none) is None, none


def test_layers_in_masks_are_layers_of_a_chain():
    net = nn.Sequential(
        nn.Flatten(), masked(nn.Linear(4, 5)), Stamina(5), nn.Linear(5, 3), nn.ReLU(), masked(nn.Linear(3, 2))
    )
    assert layout(net) == Layout(
        ("1.module", "3", "5.module"), {0: "2", 1: "4"}, (4, 5, 3, 2), (True,) * 3, {0: "1", 2: "5"}
    )
    net[1].module.register_forward_hook(lambda *_: None)
    assert layout(net) is None
    biased = HebbMask(nn.Sequential(nn.Linear(4, 5)), ["0.weight"])
    assert layout(nn.Sequential(biased, nn.ReLU(), nn.Linear(5, 2))) is None


def test_a_chain_is_left_as_it_was():
    net = nn.Sequential(InputStamina(4), nn.Linear(4, 5), Stamina(5), nn.Linear(5, 2)).train()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert layout(net)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
