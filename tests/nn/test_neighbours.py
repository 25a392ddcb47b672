from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from hebbevo.errors import UsageError
from hebbevo.nn import Dense, InputStamina, Neighbours, Stamina, find_neighbours, wire
from hebbevo.nn.hebb_mask import HebbMask


class Net(nn.Module):
    """Linear layers around 3 units, wired by ``forward``, a function of (net, x)."""

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


def between(feeders="", listeners="", norms="", direct=None, exclusive=True):
    """Names given as words; all listeners are direct unless ``direct`` says which; nobody is exclusive."""
    direct = listeners if direct is None else direct
    names = (tuple(names.split()) for names in (feeders, norms, listeners, direct))
    return Neighbours(*names, exclusive=exclusive and bool(listeners))


def found(forward):
    return find_neighbours(Net(forward))


def complaint(model):
    with pytest.raises(UsageError) as caught:
        find_neighbours(model)
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
    "front",
    [nn.Identity(), nn.Dropout(), nn.Flatten(), nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten())],
    ids=["identity", "dropout", "flatten", "conv and flatten"],
)
def test_units_at_the_inputs_have_no_feeder(front):
    net = nn.Sequential(front, InputStamina(12), nn.Linear(12, 2))
    assert find_neighbours(net) == {"1": between("", "2")}


@pytest.mark.parametrize("flatten", [lambda x: torch.flatten(x, 1), lambda x: x.flatten(1)])
def test_a_flatten_in_forward_is_an_input_too(flatten):
    assert found(lambda net, x: net.listener(net.units(flatten(x)))) == {"units": between("", "listener")}


def test_inputs_may_be_heard_by_others():
    assert found(lambda net, x: net.listener(net.units(x)) + net.other(x)) == {
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
    ],
    ids=[
        "norm before",
        "sum before",
        "product before",
        "function before",
        "feeder heard by two",
        "two listeners",
        "returned too",
        "nobody behind",
        "unknown function behind",
    ],
)
def test_whoever_can_be_found_is_a_neighbour(forward, around):
    assert found(forward) == {"units": around}


@pytest.mark.parametrize(
    "between_them",
    [
        lambda net, h: F.relu(h),
        lambda net, h: F.relu_(h),
        lambda net, h: h.relu_(),
        lambda net, h: h.tanh(),
    ],
    ids=["relu", "F.relu_", "relu_", "tanh"],
)
def test_a_layer_behind_something_pointwise_listens_but_not_directly(between_them):
    assert found(lambda net, x: net.listener(between_them(net, net.units(net.feeder(x))))) == {
        "units": between("feeder", "listener", direct="")
    }


@pytest.mark.parametrize(
    "between_them", [lambda net, h: net.norm(h), lambda net, h: h.sigmoid()], ids=["norm", "sigmoid"]
)
def test_a_layer_that_hears_even_the_dead_cannot_be_silenced(between_them):
    assert found(lambda net, x: net.listener(between_them(net, net.units(net.feeder(x))))) == {
        "units": between("feeder", "listener", direct="", exclusive=False)
    }


@pytest.mark.parametrize(
    "sum_of",
    [
        lambda net, h: h + 1,
        lambda net, h: net.norm(h) + h,
        lambda net, h: torch.add(h, net.square(h.detach())),
        lambda net, h: h.add_(net.drop(h)),
    ],
    ids=["number", "residual", "torch.add", "in place"],
)
def test_a_layer_behind_a_sum_listens_neither_directly_nor_to_them_alone(sum_of):
    around = found(lambda net, x: net.listener(sum_of(net, net.units(net.feeder(x)))))["units"]
    assert (around.listeners, around.direct, around.exclusive) == (("listener",), (), False)


def test_other_units_on_the_way_change_what_is_heard():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Dropout(), Dense(3), nn.Linear(3, 2))
    assert find_neighbours(net) == {
        "1": between("0", "4", direct=""),
        "3": between("", "4"),
    }


def test_of_two_listeners_each_is_direct_or_not():
    assert found(
        lambda net, x: [h := net.units(net.feeder(x)), net.listener(h.relu()) + net.other(net.drop(h))][1]
    ) == {"units": between("feeder", "listener other", direct="other")}


def test_who_has_no_bias_or_is_masked_is_not_direct():
    for layer in (nn.Linear(3, 2, bias=False), HebbMask(nn.Linear(3, 2), ["weight"])):
        masked = isinstance(layer, HebbMask)
        net = nn.Sequential(nn.Linear(4, 3), Stamina(3), layer)
        name = "2.module" if masked else "2"
        assert find_neighbours(net) == {"1": between("0", name, direct="", exclusive=not masked)}


def test_a_masked_layer_is_heard_but_never_rewired():
    net = nn.Sequential(
        HebbMask(nn.Conv2d(1, 6, 3), ["weight"]),
        nn.BatchNorm2d(6),
        Stamina(6, dim=1),
        HebbMask(nn.Conv2d(6, 2, 3), ["weight"]),
    )
    assert find_neighbours(net) == {"2": between("", "3.module", "1", direct="", exclusive=False)}
    around = find_neighbours(net)["2"].around(net, 6, {}, None)
    assert around.listeners[0].weight.data_ptr() == net[3].module.weight.data_ptr()
    assert not around.exclusive


@pytest.mark.parametrize("entries", [["weight", "bias"], ["weight"], ["bias"]])
def test_a_frozen_listener_is_heard_but_never_rewired(entries):
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


def test_a_layer_whose_weights_forward_uses_elsewhere_is_never_rewired():
    assert found(
        lambda net, x: F.linear(
            net.listener(net.units(net.feeder(x))), net.listener.weight.T, net.feeder.bias
        )
    ) == {"units": between("", "listener", direct="", exclusive=False)}


def test_a_layer_with_two_names_is_one_layer():
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x))))
    net.again = net.listener
    assert find_neighbours(net) == {"units": between("feeder", "listener")}


@pytest.mark.parametrize(
    "wrapped", [parametrizations.weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)]
)
def test_a_layer_whose_weights_are_computed_cannot_be_rewired(wrapped):
    net = nn.Sequential(wrapped(nn.Linear(4, 3)), Stamina(3), wrapped(nn.Linear(3, 2)))
    assert find_neighbours(net) == {"1": between()}


NOT_ONCE = {
    "twice": lambda net, x: net.listener(net.units(net.square(net.units(net.feeder(x))))),
    "never": lambda net, x: net.listener(net.feeder(x)),
}


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_units_that_are_used_twice_or_never_have_no_neighbours_and_wire_says_so(forward):
    net = Net(forward)
    assert find_neighbours(net) == {}
    assert wire(net) == (
        {"units": Neighbours()},
        "units: is not called once in forward; give each layer its own module",
    )


@pytest.mark.parametrize("forward", NOT_ONCE.values(), ids=NOT_ONCE)
def test_units_that_are_used_twice_or_never_do_not_cost_the_others_their_neighbours(forward):
    net = nn.Sequential(nn.Linear(5, 4), Stamina(4, rebirth="fresh", handover=True), Net(forward))
    neighbours, note = wire(net)
    assert neighbours == {"1": between("0", "2.feeder"), "2.units": Neighbours()}
    assert note == "2.units: is not called once in forward; give each layer its own module"


@pytest.mark.parametrize("knob", ["rebirth", "activity"])
def test_a_knob_of_units_that_are_used_twice_is_refused_with_the_reason(knob):
    net = Net(NOT_ONCE["twice"])
    net.units.configure(**{knob: {"rebirth": "fresh", "activity": "contribution"}[knob]})
    with pytest.raises(UsageError, match=r"^units: .* needs .*, and none is found; ") as caught:
        wire(net)
    assert str(caught.value).endswith(
        "; units: is not called once in forward; give each layer its own module"
    )


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
        self.five = nn.Linear(5, 2)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def channels(forward, **kwargs):
    return find_neighbours(Channels(forward, **kwargs))["units"]


def test_norm_pool_and_flatten_lie_between_the_layers():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), Stamina(6, dim=1), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Linear(6 * 9, 4),
    )  # fmt: skip
    assert find_neighbours(net) == {"2": between("0", "6", "1")}


def test_the_layers_of_a_sum_feed_the_units_alone():
    assert channels(
        lambda net, x: net.listener(net.units(net.norm(net.feeder(x)) + net.skip_norm(net.skip(x))))
    ) == between("feeder skip", "listener", "norm skip_norm")
    assert channels(lambda net, x: net.other(net.pool(net.units(net.pool(net.feeder(x)))))) == between(
        "feeder", "other"
    )


def test_the_source_of_a_skip_has_two_users_and_does_not_feed():
    def forward(net, x):
        h = net.skip(x)
        return net.listener(net.units(net.norm(net.feeder(x)) + h)) + h.mean()

    assert channels(forward) == between("feeder", "listener", "norm")


def test_a_residual_stream_is_heard_by_every_layer_along_it():
    def forward(net, x):
        h = net.units(net.feeder(x))
        return net.listener(h + net.norm(net.pool(net.skip(x)))) + net.other(h)

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
        ("many", lambda h: F.max_pool2d(h, 2).view(h.size(0), -1)),
        ("many", lambda h: F.avg_pool2d(h, 2).reshape(h.shape[0], -1)),
        ("many", lambda h: torch.reshape(F.dropout(h), (h.shape[0], -1))),
        ("many", lambda h: F.dropout2d(h).view(-1, 6 * 16)),
        ("many", lambda h: F.avg_pool1d(F.max_pool1d(h, 2), 1).reshape((-1, 96))),
    ],
    ids=[
        "mean",
        "negative axes",
        "torch.mean",
        "avg",
        "max",
        "view",
        "reshape",
        "torch.reshape",
        "width given",
        "pool1d and width",
    ],
)
def test_places_may_be_pooled_averaged_or_flattened(listener, pool):
    assert channels(lambda net, x: getattr(net, listener)(pool(net.units(net.feeder(x))))) == between(
        "feeder", listener
    )


@pytest.mark.parametrize("listener", ["grouped", "depthwise"])
def test_convolutions_in_groups_listen(listener):
    assert channels(lambda net, x: getattr(net, listener)(net.units(net.feeder(x)))) == between(
        "feeder", listener
    )


def test_a_convolution_in_groups_feeds():
    net = nn.Sequential(nn.Conv1d(3, 6, 3, groups=3), Stamina(6, dim=1), nn.Conv1d(6, 2, 1))
    assert find_neighbours(net) == {"1": between("0", "2")}


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.six(net.units(net.feeder(x)).mean(1)),
        lambda net, x: net.six(net.units(net.feeder(x)).mean((1, 2))),
        lambda net, x: net.six(net.units(net.feeder(x)).mean() + x[:, 0]),
        lambda net, x: net.many(net.units(net.feeder(x)).flatten(2)),
        lambda net, x: net.many(net.units(net.feeder(x)).flatten(1, 2)),
        lambda net, x: net.many(net.units(net.feeder(x)).view(3, 6, -1)),
        lambda net, x: net.many(net.units(net.feeder(x)).view(-1)),
        lambda net, x: net.many(net.units(net.feeder(x)).transpose(1, 2).flatten(1)),
        lambda net, x: net.many(net.units(net.feeder(x))),
        lambda net, x: net.five(net.units(net.feeder(x)).flatten(1)),
    ],
    ids=[
        "mean over neurons",
        "mean over neurons too",
        "mean over all",
        "flatten places",
        "flatten half",
        "view",
        "view as one row",
        "transposed",
        "along another axis",
        "too narrow",
    ],
)
def test_who_hears_neurons_mixed_or_in_another_order_is_no_listener(forward):
    assert channels(forward) == between("feeder")


def test_behind_a_flattened_sequence_the_places_of_a_neuron_are_not_neighbours():
    def net(units):
        return nn.Sequential(nn.Linear(4, 6), units, nn.Flatten(), nn.Linear(6 * 16, 2))

    assert find_neighbours(net(Stamina(6))) == {"1": between("0")}
    assert find_neighbours(net(Stamina(6, dim=1))) == {"1": between("0", "3")}


def test_a_mean_over_a_sequence_keeps_the_neurons():
    assert found(lambda net, x: net.listener(net.units(net.feeder(x)).mean(1))) == {
        "units": between("feeder", "listener")
    }
    assert found(lambda net, x: net.listener(net.units(net.feeder(x)).mean(-1))) == {
        "units": between("feeder")
    }


def test_neurons_along_the_last_axis_are_not_the_channels_of_a_convolution():
    for pool in (nn.Identity(), nn.MaxPool2d(3, 1, 1)):
        net = nn.Sequential(nn.Conv2d(3, 6, 1), Stamina(6), pool, nn.Conv2d(6, 6, 1))
        assert find_neighbours(net) == {"1": between()}
    net = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.MaxPool1d(3, 1, 1), nn.Linear(6, 2))
    assert find_neighbours(net) == {"1": between("0")}
    net = nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(3, 1, 1), Stamina(6), nn.Linear(6, 2))
    assert find_neighbours(net) == {"2": between("", "3")}


def test_functions_before_the_units_are_seen_through_like_modules():
    assert channels(
        lambda net, x: net.listener(net.units(F.max_pool2d(F.dropout2d(net.feeder(x)), 2)))
    ) == between("feeder", "listener")


# who hears the neurons alone


@pytest.mark.parametrize(
    ("heard", "exclusive"),
    [
        (lambda net, h: net.listener(h), True),
        (lambda net, h: net.listener(net.skip_norm(h)) + net.other(h.relu()), False),
        (lambda net, h: net.listener(h).flatten(1) + net.grouped(h).mean((2, 3)), True),
        (lambda net, h: net.listener(h) * h.shape[0] + h.size(1), True),
        (lambda net, h: net.listener(h + 0), False),
        (lambda net, h: net.listener(h) + net.other(h + net.skip(h.detach())), False),
        (lambda net, h: net.listener(h) * h.softmax(1).max(), False),
        (lambda net, h: net.listener(h) + h.mT.sum(), False),
        (lambda net, h: net.listener(h) + net.five(h.flatten(1)), False),
        (lambda net, h: (net.listener(h), h), False),
        (lambda net, h: net.listener(torch.cat([h, h])), False),
        (lambda net, h: net.listener(net.listener(h)), False),
    ],
    ids=[
        "one", "two and pointwise", "groups and mean", "its shape", "a sum", "a sum on one path",
        "unknown function", "transposed", "does not fit", "output", "cat", "shared",
    ],
)  # fmt: skip
def test_listeners_are_exclusive_where_nobody_else_is_heard_through_them(heard, exclusive):
    around = channels(lambda net, x: heard(net, net.units(net.feeder(x))))
    assert around.exclusive is exclusive


def test_around_says_whether_they_are_exclusive():
    for frozen in (False, True):
        net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2).requires_grad_(not frozen))
        assert find_neighbours(net)["1"].around(net, 3, {}, None).exclusive is not frozen


def test_a_module_named_like_a_function_is_not_that_function():
    layers = dict(feeder=nn.Linear(4, 3), units=Stamina(3), relu=nn.Softmax(-1), listener=nn.Linear(3, 2))
    assert find_neighbours(nn.Sequential(OrderedDict(layers))) == {"units": between("feeder")}


# what cannot be followed


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


def test_wire_goes_on_where_forward_cannot_be_followed_and_says_why():
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x))) if x.sum() > 0 else x)
    neighbours, note = wire(net)
    assert neighbours == {"units": Neighbours()}
    assert note == complaint(net)


def test_wire_has_nothing_to_say_where_all_is_found():
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x))))
    assert wire(net) == (find_neighbours(net), "")


def test_a_model_without_units_is_not_followed():
    net = Net(lambda net, x: net.other(x) if x.sum() > 0 else x)
    net.units = HebbMask(nn.Linear(3, 2), ["weight"])
    assert wire(net) == ({}, "")


NEEDS = {
    "activity=contribution": "a layer that listens to it",
    "handover": "a layer that listens to it directly and has a bias",
    "rebirth=fresh": "listeners by which nobody else is heard",
}


@pytest.mark.parametrize(("knob", "needed"), NEEDS.items(), ids=NEEDS)
def test_a_knob_that_needs_neighbours_is_refused_where_forward_cannot_be_followed(knob, needed):
    net = Net(lambda net, x: net.listener(net.units(net.feeder(x))) if x.sum() > 0 else x)
    name, _, choice = knob.partition("=")
    net.units.configure(**{name: choice or True})
    with pytest.raises(UsageError) as caught:
        wire(net)
    assert str(caught.value) == f"units: {knob} needs {needed}, and none is found; {complaint(net)}"


def test_a_knob_is_taken_where_what_it_needs_is_found():
    wanted = dict(activity="contribution", handover=True, rebirth="fresh")
    for knobs in (wanted, dict(activity="contribution")):
        net = nn.Sequential(nn.Linear(4, 3), Stamina(3, **knobs), nn.Linear(3, 2))
        net[2].requires_grad_("rebirth" in knobs)
        assert wire(net) == (find_neighbours(net), "")


# the tensors


def test_around_collects_the_tensors_themselves():
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), Stamina(3), nn.Linear(3, 2))
    moments = {
        "0.weight": (torch.ones(3, 4), torch.zeros(3, 4)),
        "1.weight": (torch.ones(3),),
        "1.bias": (torch.zeros(3),),
        "3.weight": (torch.ones(2, 3),),
        "3.bias": (torch.ones(2),),
    }
    around = find_neighbours(net)["2"].around(net, 3, moments, torch.tensor(2.0))
    (feeder,), (norm,), (listener,) = around.feeders, around.norms, around.listeners
    assert feeder.weight is net[0].weight
    assert feeder.bias is None
    assert feeder.moments == moments["0.weight"]
    assert norm.weight is net[1].weight
    assert norm.bias is net[1].bias
    assert norm.mean is net[1].running_mean
    assert norm.var is net[1].running_var
    assert norm.moments == moments["1.weight"] + moments["1.bias"]
    assert listener.weight.shape == (2, 1, 3, 1)
    assert listener.weight.data_ptr() == net[3].weight.data_ptr()
    assert listener.bias is net[3].bias
    assert [moment.data_ptr() for moment in listener.moments] == [moments["3.weight"][0].data_ptr()]
    assert around.loss == 2


def test_who_is_not_direct_gives_no_bias():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Tanh(), nn.Linear(3, 2))
    (listener,) = find_neighbours(net)["1"].around(net, 3, {}, None).listeners
    assert listener.bias is None


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 2), (2, 1, 6, 1)),
        (nn.Linear(54, 2), (2, 1, 6, 9)),
        (nn.Conv2d(6, 8, 3), (8, 1, 6, 3, 3)),
        (nn.Conv2d(6, 9, 3, groups=3), (3, 3, 2, 3, 3)),
        (nn.Conv2d(6, 12, 3, groups=6), (2, 6, 1, 3, 3)),
    ],
    ids=["linear", "flattened", "conv", "grouped", "depthwise"],
)
def test_a_listeners_weights_are_laid_out_by_group(layer, shape):
    net = nn.Sequential(
        Stamina(6, dim=1), nn.Flatten() if isinstance(layer, nn.Linear) else nn.Identity(), layer
    )
    (listener,) = find_neighbours(net)["0"].around(net, 6, {}, None).listeners
    assert listener.weight.shape == shape
