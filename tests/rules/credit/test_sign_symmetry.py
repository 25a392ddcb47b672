import math

import torch

from hebbevo.nn import FeedbackLinear


def layer_of(size, **knobs):
    torch.manual_seed(0)
    return FeedbackLinear(40, 30, rule="sign_symmetry", seed=1, sign_size=size, **knobs)


def sent_back(layer):
    """The gradient of inputs for one gradient of the outputs at a time."""
    x = torch.zeros(30, 40, requires_grad=True)
    layer(x).backward(torch.eye(30))
    return x.grad


def test_uniform_sizes_are_signs_times_the_deviation_of_glorots_weights():
    layer = layer_of("uniform", feedback_scale=2.0)
    torch.testing.assert_close(sent_back(layer), 2 * math.sqrt(2 / 70) * layer.weight.detach().sign())


def test_fixed_sizes_stay_and_others_are_drawn_for_every_minibatch():
    fixed, batch = layer_of("fixed"), layer_of("batch")
    first, second = sent_back(fixed), sent_back(fixed)
    assert torch.equal(first, second)
    others = [sent_back(batch) for _ in range(2)]
    assert not torch.equal(*others)
    for found in (first, *others):
        assert torch.equal(found.sign(), fixed.weight.detach().sign())
        sizes = found.abs() / math.sqrt(2 / 70)
        # of the absolute values of normal numbers
        assert abs(float(sizes.mean()) - math.sqrt(2 / math.pi)) < 0.06
        assert abs(float(sizes.square().mean()) - 1) < 0.1


def test_signs_follow_the_weights():
    layer = layer_of("uniform")
    with torch.no_grad():
        layer.weight.neg_()
        layer.weight[0] = 0
    found = sent_back(layer)
    assert torch.equal(found.sign(), layer.weight.detach().sign())
    assert not found[0].any()
