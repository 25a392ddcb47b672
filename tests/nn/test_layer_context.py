"""Consumers: the norms of the weights that read a unit, folding into biases, and clearing."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.nn.layer_context import Consumer, UnitSelection

NEURONS = 6
LAYERS = {
    "linear": (lambda: nn.Linear(NEURONS, 5), None),
    "flattened": (lambda: nn.Linear(NEURONS * 4, 5), (tuple(column // 4 for column in range(NEURONS * 4)),)),
    "joined": (lambda: nn.Linear(10, 5), ((-1, 3, 2, -1, 0, 1, 4, -1, 5, 3),)),
    "conv": (lambda: nn.Conv2d(NEURONS, 8, (3, 2)), None),
    "grouped": (lambda: nn.Conv2d(NEURONS, 9, 3, groups=3), ((0, 1), (2, 3), (4, 5))),
    "depthwise": (
        lambda: nn.Conv2d(NEURONS, 12, 3, groups=NEURONS),
        tuple((unit,) for unit in range(NEURONS)),
    ),
    "grouped 1d": (lambda: nn.Conv1d(NEURONS, 4, 3, groups=2), ((0, 1, 2), (3, 4, 5))),
    "shuffled": (lambda: nn.Conv1d(NEURONS, 4, 3, groups=2), ((5, -1, 3), (-1, 0, 3))),
}
LAYOUTS = {
    "as made": lambda weight: weight,
    "column by column": lambda weight: weight.mT.contiguous().mT,
    "channels last": lambda weight: (
        weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight
    ),
}
SELECTED = torch.tensor([False, True, False, True, True, False])


@pytest.fixture(params=LAYERS)
def read(request):
    """A layer that reads units, and of every entry of its weights the unit that it reads; -1: none."""
    make, columns = LAYERS[request.param]
    layer = make().requires_grad_(False)
    place = columns or (tuple(range(NEURONS)),)
    unit = torch.empty(layer.weight.shape, dtype=torch.int64)
    for output in range(len(unit)):
        for column in range(unit.shape[1]):
            unit[output, column] = place[output * len(place) // len(unit)][column]
    return layer, columns, unit


@pytest.fixture(params=LAYOUTS)
def consumer(request, read):
    """The layer, its weights in one of the layouts; the consumer that it is; and which units it reads."""
    layer, columns, unit = read
    lay = LAYOUTS[request.param]
    layer.weight = nn.Parameter(lay(layer.weight), requires_grad=False)
    moments = tuple(lay(torch.rand_like(layer.weight) + 1) for _ in range(2))
    held = lay(torch.rand_like(layer.weight) + 1)
    return layer, Consumer(layer.weight, layer.bias, moments, columns, held), unit


def test_the_norm_is_that_of_all_weights_that_read_a_unit(consumer):
    layer, consumer, unit = consumer
    expected = torch.stack([layer.weight[unit == number].norm() for number in range(NEURONS)])
    torch.testing.assert_close(consumer.norm(torch.ones(NEURONS)), expected)


def test_folding_adds_weight_times_output_to_every_bias(consumer):
    layer, consumer, unit = consumer
    output = torch.randn(NEURONS)
    weight, expected = layer.weight.clone(), layer.bias.clone()
    reads = torch.where(unit >= 0, output[unit], 0)
    expected += (weight * reads).flatten(1).sum(1)
    consumer.fold_into_bias(output)
    torch.testing.assert_close(layer.bias.detach(), expected)
    assert torch.equal(layer.weight, weight)


def test_folding_adds_the_output_of_the_layer_for_constant_inputs(consumer):
    layer, consumer, unit = consumer
    output = torch.randn(NEURONS)
    groups = getattr(layer, "groups", 1)
    columns = unit.unflatten(0, (groups, -1))[:, 0].reshape(groups, unit.shape[1], -1)[..., 0].flatten()
    x = torch.where(columns >= 0, output[columns], 0)[None]
    if not isinstance(layer, nn.Linear):
        x = x.reshape(1, -1, *(1,) * len(layer.kernel_size)).expand(-1, -1, *(5,) * len(layer.kernel_size))
    before = layer(x)
    consumer.fold_into_bias(output)
    torch.testing.assert_close(layer(torch.zeros_like(x)), before)


@pytest.mark.parametrize("may_sync", [False, True])
@pytest.mark.parametrize("which", ["weight", "held", "moments"])
def test_clearing_sets_exactly_the_weights_that_read_these_units_to_zero_in_place(which, may_sync, consumer):
    _, consumer, unit = consumer
    read = (unit >= 0) & SELECTED[unit]
    assert 0 < read.sum() < read.numel()
    before = copy.deepcopy(consumer)
    values = consumer.moments[0] if which == "moments" else getattr(consumer, which)
    old = values.clone()
    consumer.clear(UnitSelection(SELECTED, may_sync), values)
    assert torch.equal(values, torch.where(read, 0, old))
    values.copy_(old)
    for one, other in zip(
        (consumer.weight, consumer.bias, consumer.held, *consumer.moments),
        (before.weight, before.bias, before.held, *before.moments),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_outputs_of_another_precision_are_folded_in_that_of_the_weights(dtype, read):
    layer, columns, _ = read
    layer, output = layer.to(dtype), torch.randn(NEURONS)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    Consumer(layer.weight, layer.bias, (), columns).fold_into_bias(output)
    Consumer(weight, bias, (), columns).fold_into_bias(output.to(dtype))
    assert torch.equal(layer.bias, bias)


def test_without_a_bias_nothing_is_folded():
    weight = torch.randn(2, 3)
    before = weight.clone()
    Consumer(weight, None).fold_into_bias(torch.ones(3))
    assert torch.equal(weight, before)


# stacks


@pytest.mark.parametrize("lead", [(3,), (2, 2)], ids=["one axis", "two axes"])
def test_a_consumer_with_leading_axes_is_one_for_each_net(lead, read):
    layer, columns, _ = read
    weights = torch.randn(*lead, *layer.weight.shape)
    biases, moments = torch.randn(*lead, len(layer.weight)), torch.rand_like(weights)
    units, outputs = torch.rand(*lead, NEURONS) < 0.5, torch.randn(*lead, NEURONS)
    stacked = Consumer(weights.clone(), biases.clone(), (moments.clone(),), columns)
    alone = []
    for place in torch.cartesian_prod(*map(torch.arange, lead)).reshape(-1, len(lead)).tolist():
        place = tuple(place)
        one = Consumer(weights[place].clone(), biases[place].clone(), (moments[place].clone(),), columns)
        alone.append((place, one))
        norm = one.norm(units[place])
        torch.testing.assert_close(stacked.norm(units)[place], norm)
        one.fold_into_bias(outputs[place])
        one.clear(UnitSelection(units[place], may_sync=False), one.weight)
        one.clear(UnitSelection(units[place], may_sync=False), one.moments[0])
    stacked.fold_into_bias(outputs)
    stacked.clear(UnitSelection(units, may_sync=False), stacked.weight)
    stacked.clear(UnitSelection(units, may_sync=True), stacked.moments[0])
    for place, one in alone:
        torch.testing.assert_close(stacked.bias[place], one.bias)
        assert torch.equal(stacked.weight[place], one.weight)
        assert torch.equal(stacked.moments[0][place], one.moments[0])
