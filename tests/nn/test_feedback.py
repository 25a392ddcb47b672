"""Layers with rules of their own take the arguments of PyTorch's layers in the same places."""

from inspect import Parameter, signature

import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import FeedbackConv2d, FeedbackLinear, HebbianConv2d, HebbianLinear, credited
from hebbevo.rules import CREDIT


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


def test_a_rule_without_backward_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="FeedbackLinear: unknown rule 'hebbian'; known: feedback_align"):
        FeedbackLinear(3, 2, rule="hebbian")
    with pytest.raises(UsageError, match="hebbian has no backward weights; use hebbevo"):
        FeedbackConv2d(1, 2, 3, rule=CREDIT["hebbian"])


def test_a_seed_is_a_whole_number() -> None:
    with pytest.raises(UsageError, match=r"feedback_alignment: seed is 1.5; give a whole number"):
        FeedbackLinear(3, 2, seed=1.5)


def test_half_precision_learns_by_similarity_matching() -> None:
    layer = credited("similarity_matching", nn.Linear(8, 4, dtype=torch.bfloat16), matching_rate=0.3)
    before = layer.weight.detach().clone()
    layer(torch.randn(20, 8, dtype=torch.bfloat16))
    assert layer.weight.isfinite().all()
    assert not torch.equal(layer.weight, before)
