"""The alignment matrix against the gradients of the losses that its paper lists."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import FeedbackConv2d, FeedbackLinear, HebbMask, Stamina, attach
from hebbevo.rules import CREDIT

RATE, ROWS = 0.1, 7
COEFFICIENTS = ("decay", "self", "amp", "null", "sparse")


def linear(**knobs):
    torch.manual_seed(0)
    return FeedbackLinear(5, 4, seed=1, **knobs).double()


def grouped(**knobs):
    torch.manual_seed(0)
    return FeedbackConv2d(4, 6, 3, stride=2, padding=1, groups=2, seed=1, **knobs).double()


def same_padded(**knobs):
    torch.manual_seed(0)
    return FeedbackConv2d(2, 3, 3, padding="same", padding_mode="circular", seed=1, **knobs).double()


LAYERS = {"linear": (linear, (5,)), "grouped": (grouped, (4, 6, 5)), "same_padded": (same_padded, (2, 5, 4))}


@pytest.fixture(params=LAYERS)
def make_and_shape(request):
    return LAYERS[request.param]


def inputs(shape, rows=ROWS):
    return torch.randn(rows, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def plain(layer, x, weight):
    return layer.plain(x, weight, None)


def sent_back(layer, y, weight, x):
    """The gradient of x for a gradient y of the outputs, by PyTorch alone."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        [found] = torch.autograd.grad(plain(layer, x, weight), x, y, create_graph=True)
    return found


def loss_of(layer, primitive, x, weight, backward):
    """The losses of Kunin et al. (2020), each a mean over rows and positions."""
    z = plain(layer, x, weight)
    places = z.numel() / layer.weight.shape[0]
    if primitive == "decay":
        return weight.square().sum() + backward.square().sum()
    if primitive == "self":
        return -(weight * backward).sum()
    if primitive == "amp":
        return -(z * plain(layer, x, backward)).sum() / places
    if primitive == "null":
        return sent_back(layer, z, backward, x).square().sum() / places
    return (z.square().sum() + plain(layer, x, backward).square().sum()) / places


@pytest.mark.parametrize("primitive", [*COEFFICIENTS, "all"])
def test_backward_weights_move_against_the_gradient_of_the_listed_loss(make_and_shape, primitive):
    make, shape = make_and_shape
    chosen = COEFFICIENTS if primitive == "all" else (primitive,)
    values = {each: 0.1 * (1 + COEFFICIENTS.index(each)) for each in chosen}
    layer = make(alignment_rate=RATE, **{f"alignment_{name}": value for name, value in values.items()})
    weight, before = layer.weight.detach().clone(), layer.credit.feedback.clone().requires_grad_()
    x = inputs(shape)
    whole = sum(value * loss_of(layer, name, x, weight, before) for name, value in values.items())
    [gradient] = torch.autograd.grad(whole, before)
    layer(x)
    torch.testing.assert_close(
        layer.credit.feedback, (before - RATE * gradient).detach(), rtol=1e-6, atol=1e-9
    )
    assert torch.equal(layer.weight, weight)
    assert not torch.equal(layer.credit.feedback, before)


def test_the_backward_pass_goes_through_the_backward_weights_alone(make_and_shape):
    make, shape = make_and_shape
    layer, x = make(), inputs(shape).requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y, layer.plain(x, layer.weight, layer.bias), rtol=0, atol=0)
    g = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    y.backward(g)
    other = x.detach().clone().requires_grad_()
    by_pytorch = layer.plain(other, layer.weight, layer.bias)
    of_weight, of_bias = torch.autograd.grad(by_pytorch, [layer.weight, layer.bias], g)
    torch.testing.assert_close(x.grad, sent_back(layer, g, layer.credit.feedback, x).detach())
    torch.testing.assert_close([layer.weight.grad, layer.bias.grad], [of_weight, of_bias])
    assert not torch.allclose(x.grad, sent_back(layer, g, layer.weight, x).detach())


def test_a_linear_layer_sends_back_g_b_and_moves_along_g_x():
    layer = linear()
    x = inputs((3, 5)).requires_grad_()
    y = layer(x)
    g = torch.randn_like(y)
    y.backward(g)
    torch.testing.assert_close(x.grad, g @ layer.credit.feedback, rtol=0, atol=1e-15)
    torch.testing.assert_close(layer.weight.grad, torch.einsum("bto,bti->oi", g, x.detach()))


def test_noise_and_centring_take_the_place_of_the_inputs():
    noisy = linear(alignment_rate=RATE, alignment_amp=1.0, alignment_noise=2.0)
    before = noisy.credit.feedback.clone()
    noisy(torch.zeros(20_000, 5, dtype=torch.float64))  # inputs of zero would not move it
    move = (noisy.credit.feedback - before) / RATE
    torch.testing.assert_close(move, 4 * noisy.weight.detach(), rtol=0.1, atol=0.1)
    again = linear(alignment_rate=RATE, alignment_amp=1.0, alignment_noise=2.0)
    again(torch.ones(20_000, 5, dtype=torch.float64))
    assert torch.equal(again.credit.feedback, noisy.credit.feedback)
    centred = linear(alignment_rate=RATE, alignment_amp=1.0, alignment_center=True)
    shifted = linear(alignment_rate=RATE, alignment_amp=1.0, alignment_center=True)
    centred(inputs((5,)))
    shifted(inputs((5,)) + 3)
    torch.testing.assert_close(centred.credit.feedback, shifted.credit.feedback)


def test_backward_weights_may_have_the_norm_of_the_weights():
    layer = linear(match_norm=True, feedback_scale=5.0)
    x = inputs((5,)).requires_grad_()
    layer(x).sum().backward()
    feedback = layer.credit.feedback
    expected = feedback * layer.weight.norm() / feedback.norm()
    torch.testing.assert_close(x.grad, expected.sum(0).expand(ROWS, 5).detach())
    assert float(layer.norm_ratio()) == pytest.approx(1)
    assert float(linear(feedback_scale=5.0).norm_ratio()) > 3


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_tied_weights_differ_less_at_each_step_by_the_factor_of_the_decays(optimizer):
    decay, lr, weight_decay = 0.02, 0.05, 0.1
    layer = linear(tie=True, alignment_decay=decay, alignment_rate=RATE)
    net = nn.Sequential(nn.Linear(5, 5).double(), nn.ReLU(), layer)
    trained = optimizer(net.parameters(), lr=lr, weight_decay=weight_decay)
    start = (layer.weight - layer.credit.feedback).detach()
    weight = layer.weight.detach().clone()
    steps = 5
    for step in range(steps):
        trained.zero_grad()
        net(inputs((5,)) * (step + 1)).square().sum().backward()
        trained.step()
    difference = (layer.weight - layer.credit.feedback).detach()
    # the optimiser decays what the rule has decayed; both have the same gradients, so the same moments
    factor = (1 - 2 * RATE * decay) * (1 - lr * weight_decay)
    torch.testing.assert_close(difference, start * factor**steps, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(layer.weight, weight)


def test_coefficients_are_for_a_number_of_steps_in_whatever_length_the_training_has():
    moved = []
    for total in (10, 40):
        layer = linear(alignment_decay=0.5, alignment_rate=0.01, alignment_steps=100)
        net = nn.Sequential(layer)
        attach(net, torch.optim.SGD(net.parameters(), lr=0.0), total_steps=total)
        before = layer.credit.feedback.clone()
        for _ in range(total):
            net(inputs((5,)))
        moved.append(float((layer.credit.feedback / before).mean()))
    assert moved == pytest.approx([(1 - 1.0 / 10) ** 10, (1 - 1.0 / 40) ** 40])
    unattached = linear(alignment_decay=0.5, alignment_steps=100)
    with pytest.raises(UsageError, match="attach"):
        unattached(inputs((5,)))


@pytest.mark.parametrize(
    ("rule", "angle"),
    [
        ("symmetric_alignment", 1),
        ("weight_mirror", 8),
        ("information_alignment", 25),
        ("kolen_pollack", None),
        ("feedback_alignment", None),
    ],
)
def test_published_rows_align_a_layer_on_white_inputs_within_a_short_training(rule, angle):
    torch.manual_seed(0)
    net = nn.Sequential(FeedbackLinear(20, 10, rule=rule, seed=1))
    before = float(net[0].angle())
    attach(net, torch.optim.SGD(net.parameters(), lr=0.0), total_steps=200)
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        net(torch.randn(64, 20, generator=generator))
    assert before == pytest.approx(90, abs=15)
    if angle is None:
        assert float(net[0].angle()) == pytest.approx(before, abs=0.1)
    else:
        assert float(net[0].angle()) < angle


def test_masks_hold_for_backward_weights_and_a_connection_that_returns_has_its_own():
    torch.manual_seed(0)
    inner = FeedbackLinear(6, 5, seed=1)
    layer = HebbMask(inner, ["weight"])
    layer.connections[0].connected[2] = False
    x = torch.randn(8, 6).requires_grad_()
    y = layer(x)
    g = torch.randn_like(y)
    y.backward(g)
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(x.grad, g[:, rest] @ inner.credit.feedback[rest])
    layer.connections[0].connected[2] = True
    assert inner.backward_weight()[2].all()


def test_a_unit_that_dies_takes_its_backward_weights_along_and_one_that_returns_has_new_ones():
    torch.manual_seed(0)
    first, second = FeedbackLinear(4, 6, seed=1), FeedbackLinear(6, 3, seed=2)
    units = Stamina(6, seed=3, warmup=0, prune_period=1, regrowth_rate=0.5, grace=0)
    net = nn.Sequential(first, units, second)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    attach(net, optimizer)
    old = [first.credit.feedback.clone(), second.credit.feedback.clone()]
    died = returned = torch.zeros(6, dtype=torch.bool)
    for step in range(60):
        before = units.alive.clone()
        optimizer.zero_grad()
        net(torch.randn(8, 4) - 3 * (step % 2)).square().sum().backward()
        optimizer.step()
        died, returned = died | (before & ~units.alive), returned | (~before & units.alive)
        rows, columns = first.credit.feedback, second.credit.feedback
        assert not rows[~units.alive].any() and not columns[:, ~units.alive].any()
        assert rows[units.alive].all() and columns[:, units.alive].all()
    assert died.any() and returned.any()
    back = returned & units.alive
    assert back.any()
    assert (rows[back] != old[0][back]).all() and (columns[:, back] != old[1][:, back]).all()
    never = ~died & units.alive
    assert torch.equal(rows[never], old[0][never]) and torch.equal(columns[:, never], old[1][:, never])


def test_every_row_of_the_matrix_is_feedback_alignment_with_other_values():
    base = CREDIT["feedback_alignment"].knobs
    for name in ("kolen_pollack", "weight_mirror", "information_alignment", "symmetric_alignment"):
        rule, values = CREDIT[name], {each: knob.default for each, knob in CREDIT[name].knobs.items()}
        assert rule.knobs.keys() == base.keys()
        nets = [nn.Sequential(linear(rule=name)), nn.Sequential(linear(**values))]
        for net in nets:
            attach(net, torch.optim.SGD(net.parameters(), lr=0.0), total_steps=1000)
            for _ in range(3):
                net(inputs((5,)))
        assert torch.equal(nets[0][0].credit.feedback, nets[1][0].credit.feedback)


def test_the_loss_of_a_network_falls_through_aligned_weights():
    torch.manual_seed(0)
    x, y = torch.randn(64, 8), torch.arange(64) % 3
    x += 2 * F.one_hot(y, 8)
    net = nn.Sequential(FeedbackLinear(8, 16, seed=1), nn.ReLU(), FeedbackLinear(16, 3, seed=2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    assert float(net[2].angle()) < 80
