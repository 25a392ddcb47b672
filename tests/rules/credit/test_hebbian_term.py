"""A Hebbian term in the loss: its gradient is the rule, and comes on top of that of the task."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tests.rules.credit.conftest import inputs_of, layer_of

SETTINGS = [
    {"competition": "none", "threshold_form": "none", "decay_form": "oja"},
    {"competition": "softmax_signed", "threshold_form": "none", "decay_form": "soft", "temperature": 0.5},
    {"competition": "winners", "winners": 2, "threshold_rate": 0.25},
]


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: each["competition"])
def test_the_gradient_is_that_of_the_task_less_the_rules_update(settings, kind):
    own = {"normalize": False, "initial_norm": 0.0, "hebbian_rate": 1.0}
    term = layer_of("hebbian_term", kind, **settings, hebbian_weight=0.25)
    rule = layer_of("hebbian", kind, **settings, **own)
    with torch.no_grad():
        rule.weight.copy_(term.weight)
    for step in range(3):
        x = inputs_of(term, seed=step)
        weight = term.weight.detach().clone().requires_grad_()
        y = F.linear(x, weight) if kind == "linear" else F.conv2d(x, weight)
        (of_task,) = torch.autograd.grad(y.square().mean(), weight)
        term.zero_grad()
        term(x).square().mean().backward()
        before = rule.weight.detach().clone()
        rule(x)
        torch.testing.assert_close(term.weight.grad, of_task - 0.25 * (rule.weight.detach() - before))
        with torch.no_grad():
            term.weight.copy_(rule.weight)
    torch.testing.assert_close(term.credit.theta, rule.credit.theta)


def test_the_term_rests_while_the_training_settles():
    layer = layer_of("hebbian_term", settle=0.5)
    layer.credit.attached = True
    layer.credit.begin(2)
    gradients = []
    for step in range(2):
        layer.zero_grad()
        (0 * layer(inputs_of(layer, seed=step))).sum().backward()
        gradients.append(layer.weight.grad.abs().max())
    assert gradients[0] > 0
    assert gradients[1] == 0
