"""Direct feedback alignment against a loop that is written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import attach, credited


def layer(inputs, outputs, seed):
    return credited("direct_feedback_alignment", nn.Linear(inputs, outputs), seed=seed)


def net_of(*heads):
    torch.manual_seed(0)
    return nn.Sequential(
        layer(5, 8, 1), nn.Tanh(), layer(8, 6, 2), nn.Tanh(), layer(6, 3, 3), *heads
    ).double()


def attached(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer)
    return net, optimizer


def batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (9,), generator=generator)


def test_gradients_are_those_of_a_loop_that_is_written_out():
    net, _ = attached(net_of())
    x, y = batch()
    layers = [net[0], net[2], net[4]]
    h1, h2 = torch.tanh(F.linear(x, *layers[0].parameters())), None
    h2 = torch.tanh(F.linear(h1, *layers[1].parameters()))
    logits = F.linear(h2, *layers[2].parameters())
    e = ((logits.softmax(1) - F.one_hot(y, 3)) / len(x)).detach()
    # the weights from the outputs to the inputs of a layer show where one output has an error of 1
    probe = [torch.zeros(3, width, dtype=torch.float64) for width in (8, 6)]
    for place, (number, width) in enumerate(((2, 8), (4, 6))):
        seen = []
        hook = net[number - 1].register_full_backward_hook(
            lambda _module, _inputs, outputs, seen=seen: seen.append(outputs[0])
        )
        net(torch.zeros(3, 5, dtype=torch.float64)).backward(torch.eye(3, dtype=torch.float64))
        hook.remove()
        probe[place] = seen[0]
        assert seen[0].shape == (3, width)
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    d2, d1 = (e @ probe[1]) * (1 - h2**2), (e @ probe[0]) * (1 - h1**2)
    expected = [d1.T @ x, d2.T @ h1, e.T @ h2]
    torch.testing.assert_close([each.weight.grad for each in layers], [each.detach() for each in expected])
    biases = [each.sum(0).detach() for each in (d1, d2, e)]
    torch.testing.assert_close([each.bias.grad for each in layers], biases)


def test_the_loss_falls():
    net, optimizer = attached(net_of())
    x, y = batch()
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_layers_behind_other_modules_and_feature_maps_have_the_error_too():
    torch.manual_seed(0)
    conv = credited("direct_feedback_alignment", nn.Conv2d(2, 3, 3), seed=1)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), conv, nn.ReLU(), nn.Flatten(), layer(12, 3, 2))
    attached(net)
    F.cross_entropy(net(torch.randn(4, 1, 6, 6)), torch.arange(4) % 3).backward()
    assert all(each.grad is not None and each.grad.any() for each in net.parameters())


def test_what_cannot_work_is_refused_in_one_line():
    x, _ = batch()
    with pytest.raises(UsageError, match=r"needs the error of the model's outputs; call hebbevo\.nn\.attach"):
        net_of()(x)
    net, _ = attached(net_of())
    with pytest.raises(UsageError, match="call the whole model"):
        net[0](x)

    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(UsageError, match="type tuple"):
        attached(net_of(Two()))[0](x)
    with pytest.raises(UsageError, match="other rows"):
        attached(net_of(nn.Flatten(0), nn.Unflatten(0, (1, -1))))[0](x)
