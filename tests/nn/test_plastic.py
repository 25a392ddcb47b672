import copy

import pytest
import torch
from torch import nn
from torch.func import vmap

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob
from hebbevo.nn import Dense, InputStamina, Plastic, Stamina, find_neighbours, plastic_modules, plastic_units
from hebbevo.nn.hebb_mask import HebbMask
from hebbevo.nn.plastic import InjectedLoss
from hebbevo.training.stack import _like_its_gradient


def penalty(weight):
    return 3 * (weight**3).sum()


def test_an_injected_loss_leaves_the_output_as_it_is():
    output = torch.randn(4, 3)
    assert torch.equal(InjectedLoss.apply(output, torch.tensor(7.0)), output)


def test_an_injected_loss_adds_its_gradient_as_if_it_had_been_added_to_the_loss():
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, 3, dtype=torch.float64)

    injected = InjectedLoss.apply(x * weight, penalty(weight)).square().sum()
    summed = (x * weight).square().sum() + penalty(weight)

    torch.testing.assert_close(
        torch.autograd.grad(injected, weight), torch.autograd.grad(summed, weight), rtol=1e-12, atol=0
    )


def test_an_injected_loss_counts_once_for_each_net_of_a_stack():
    weights = torch.randn(5, 3, requires_grad=True)
    x = torch.randn(4, 3)

    def loss(weight):
        return InjectedLoss.apply(x * weight, penalty(weight)).square().sum()

    (stacked,) = torch.autograd.grad(vmap(loss)(weights).sum(), weights)
    solo = torch.stack([torch.autograd.grad(loss(weight), weight)[0] for weight in weights.unbind()])
    torch.testing.assert_close(stacked, solo)


def test_plastic_modules_are_found_at_any_depth_in_order_of_definition():
    inner = nn.Sequential(nn.Linear(2, 3), Stamina(3))
    net = nn.ModuleDict({"first": InputStamina(2), "inner": inner, "last": Stamina(4)})
    assert plastic_modules(net) == {"first": net["first"], "inner.1": inner[1], "last": net["last"]}


def test_plastic_units_are_those_whose_neurons_die():
    net = nn.Sequential(InputStamina(2), HebbMask(nn.Linear(2, 3), ["weight"]), Dense(3))
    assert list(plastic_modules(net)) == ["0", "1", "2"]
    assert plastic_units(net) == {"0": net[0], "2": net[2]}


# knobs


class Rule(Plastic):
    """A rule with a knob of every kind."""

    knobs = {  # noqa: RUF012
        knob.name: knob
        for knob in (
            Knob("rate", float, 0.25, "a rate", low=0.0, high=1.0),
            Knob("period", int, 3, "a period", low=1),
            Knob("switch", bool, False, "a switch", choices=(False, True)),
            Knob("form", str, "mean", "a form", choices=("sum", "mean")),
        )
    }

    def __init__(self, **knobs):
        super().__init__()
        self.configure(**knobs)

    def due(self, step):
        return step % self.period == 0


def test_knobs_are_buffers_of_their_kind_with_the_number_of_the_choice():
    buffers = dict(Rule().named_buffers())
    assert {name: (value.dtype, value.item()) for name, value in buffers.items()} == {
        "steps": (torch.int64, 0),
        "total_steps": (torch.int64, 0),
        "rate": (torch.float32, 0.25),
        "period": (torch.int64, 3),
        "switch": (torch.bool, False),
        "form": (torch.int64, 1),
    }


def test_configure_sets_in_place_what_is_named_and_nothing_else():
    rule = Rule(rate=0.5)
    buffers = dict(rule.named_buffers())
    rule.configure(form="sum", period=7.0, switch=True)
    values = {name: value.item() for name, value in buffers.items()}
    assert values == dict(steps=0, total_steps=0, rate=0.5, period=7, switch=True, form=0)
    assert all(value is buffers[name] for name, value in rule.named_buffers())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        (dict(rate=0.75, raet=1), "Rule: unknown knob 'raet'; did you mean rate?"),
        (dict(rate=0.75, xyz=1), "Rule: unknown knob 'xyz'; known: rate, period, switch, form"),
        (
            dict(rate=0.75, period=0),
            "Rule: period: 0 is outside its range; write a whole number of 1 or more",
        ),
        (dict(rate=0.75, form="max"), "Rule: form: 'max' is not one of sum, mean; write one of them"),
    ],
)
def test_configure_with_a_mistake_sets_nothing(knobs, line):
    rule = Rule()
    before = copy.deepcopy(rule.state_dict())
    with pytest.raises(UsageError) as caught:
        rule.configure(**knobs)
    assert str(caught.value) == line
    assert rule.state_dict() == before


def test_to_begin_is_to_learn_the_length():
    rule = Rule()
    rule.begin(12)
    assert rule.total_steps == 12


# listeners

NEURONS = 6
LAYERS = {
    "linear": lambda: nn.Linear(NEURONS, 5),
    "flattened": lambda: nn.Linear(NEURONS * 4, 5),
    "conv": lambda: nn.Conv2d(NEURONS, 8, (3, 2)),
    "grouped": lambda: nn.Conv2d(NEURONS, 9, 3, groups=3),
    "depthwise": lambda: nn.Conv2d(NEURONS, 12, 3, groups=NEURONS),
    "grouped 1d": lambda: nn.Conv1d(NEURONS, 4, 3, groups=2),
}
LAYOUTS = {
    "as made": lambda weight: weight,
    "column by column": lambda weight: (
        _like_its_gradient(weight[None])[0] if weight.dim() == 2 else weight.mT.contiguous().mT
    ),
    "channels last": lambda weight: (
        weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight
    ),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param]()


@pytest.fixture(params=LAYOUTS)
def listening(request, layer):
    """The layer, its weights in one of the layouts, and the listener that it is; with two moments."""
    with torch.no_grad():
        layer.weight = nn.Parameter(LAYOUTS[request.param](layer.weight.detach()))
    front = nn.Flatten() if isinstance(layer, nn.Linear) else nn.Identity()
    net = nn.Sequential(Stamina(NEURONS, dim=1), front, layer)
    moments = tuple(LAYOUTS[request.param](torch.rand_like(layer.weight) + 1) for _ in range(2))
    around = find_neighbours(net)["0"].around(net, NEURONS, {"2.weight": moments}, None)
    return layer, moments, around.listeners[0]


def hears(layer):
    """Of every weight which neuron it comes from, entry by entry, and of every output's bias the row."""
    source = torch.empty(layer.weight.shape, dtype=torch.int64)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in layer.weight.shape)).tolist():
        output, column = place[:2]
        if isinstance(layer, nn.Linear):
            source[tuple(place)] = column // (layer.in_features // NEURONS)
        else:
            group = output // (layer.out_channels // layer.groups)
            source[tuple(place)] = group * (NEURONS // layer.groups) + column
    return source


def test_the_norm_is_that_of_all_weights_from_a_neuron(listening):
    layer, _, listener = listening
    source = hears(layer)
    expected = torch.stack([layer.weight.detach()[source == neuron].norm() for neuron in range(NEURONS)])
    torch.testing.assert_close(listener.norm().detach(), expected)


@torch.no_grad()
def test_handing_over_adds_weight_times_output_to_every_bias(listening):
    layer, _, listener = listening
    output = torch.randn(NEURONS)
    weight, source, expected = layer.weight.clone(), hears(layer), layer.bias.clone()
    for place in torch.cartesian_prod(*(torch.arange(n) for n in weight.shape)).tolist():
        expected[place[0]] += weight[tuple(place)] * output[source[tuple(place)]]
    listener.hand_over(output)
    torch.testing.assert_close(layer.bias.detach(), expected)
    assert torch.equal(layer.weight, weight)


@torch.no_grad()
def test_handing_over_is_what_the_layer_does_with_constant_inputs(listening):
    layer, _, listener = listening
    output = torch.randn(NEURONS)
    if isinstance(layer, nn.Linear):
        x = output.repeat_interleave(layer.in_features // NEURONS)[None]
    else:
        x = output.reshape(1, NEURONS, *(1,) * len(layer.kernel_size)).expand(
            -1, -1, *(5,) * len(layer.kernel_size)
        )
    before = layer(x)
    listener.hand_over(output)
    torch.testing.assert_close(layer(torch.zeros_like(x)), before)


@torch.no_grad()
def test_silencing_sets_exactly_the_weights_from_these_neurons_to_zero_in_place(listening):
    layer, moments, listener = listening
    neurons = torch.tensor([False, True, False, False, True, False])
    chosen, weight, kept = neurons[hears(layer)], layer.weight.clone(), copy.deepcopy(moments)
    assert 0 < chosen.sum() < chosen.numel()
    listener.silence(neurons)
    assert torch.equal(layer.weight, torch.where(chosen, 0, weight))
    assert all(torch.equal(one, other) for one, other in zip(moments, kept, strict=True))


@torch.no_grad()
def test_exactly_the_moments_of_the_weights_from_these_neurons_are_forgotten_in_place(listening):
    layer, moments, listener = listening
    neurons = torch.tensor([False, True, False, False, True, False])
    chosen, weight, kept = neurons[hears(layer)], layer.weight.clone(), copy.deepcopy(moments)
    listener.reset_moments(neurons)
    assert all(
        torch.equal(moment, torch.where(chosen, 0, old)) for moment, old in zip(moments, kept, strict=True)
    )
    assert torch.equal(layer.weight, weight)


def test_without_a_bias_nothing_is_handed_over():
    net = nn.Sequential(Stamina(3), nn.Linear(3, 2, bias=False))
    weight = net[1].weight.clone()
    find_neighbours(net)["0"].around(net, 3, {}, None).listeners[0].hand_over(torch.ones(3))
    assert torch.equal(net[1].weight, weight)
