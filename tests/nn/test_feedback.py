"""Layers with rules of their own take the arguments of PyTorch's layers in the same places."""

from inspect import Parameter, signature

import pytest
from torch import nn

from hebbevo.nn import FeedbackConv2d, FeedbackLinear, HebbianConv2d, HebbianLinear


def in_places(kind: type[nn.Module]) -> list[str]:
    """The arguments that may be given without their names, but for the device and the type of the weights."""
    known = signature(kind).parameters.values()
    names = [each.name for each in known if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    return [name for name in names if name not in ("device", "dtype")]


@pytest.mark.parametrize(
    ("own", "plain"),
    [
        (FeedbackLinear, nn.Linear),
        (FeedbackConv2d, nn.Conv2d),
        (HebbianLinear, nn.Linear),
        (HebbianConv2d, nn.Conv2d),
    ],
)
def test_arguments_stand_where_those_of_the_plain_layer_stand(own, plain) -> None:
    assert in_places(own) == in_places(plain)


def test_a_convolution_with_a_stride_in_its_place_has_this_stride() -> None:
    layer = FeedbackConv2d(4, 6, 3, 2, 1)
    assert (layer.stride, layer.padding, layer.bias is not None) == ((2, 2), (1, 1), True)
