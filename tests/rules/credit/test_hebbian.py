"""Published rules as settings of the family, each beside its equations written out in double precision."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import HebbianLinear, credited
from hebbevo.nn.competition import KWinners, Triangle
from hebbevo.rules.credit.hebbian import COMPETITIONS, DECAYS, NONLINEARITIES, THRESHOLDS
from tests.rules.credit.conftest import inputs_of, layer_of, matrix, patches, train

BOTH = pytest.mark.parametrize("kind", ["linear", "conv"])
ALL = {"competition": "none", "threshold_form": "none"}  # every unit learns, and nothing moves a threshold
RATE = 0.125  # and other numbers that are the same in single precision


def unit_norm(weights):
    return weights / weights.norm(dim=1, keepdim=True)


@BOTH
def test_plain_hebb(kind):
    layer = layer_of("hebbian", kind, **ALL, decay_form="none", hebbian_rate=RATE)
    train(layer, lambda x, w: unit_norm(w + RATE * (x @ w.T).T @ x / len(x)))


@BOTH
def test_oja(kind):
    layer = layer_of("hebbian", kind, **ALL, decay_form="oja", normalize=False, hebbian_rate=RATE)

    def oja(x, w):
        y = x @ w.T
        return w + RATE * sum(y[n, :, None] * (x[n] - y[n, :, None] * w) for n in range(len(x))) / len(x)

    train(layer, oja)


def test_oja_finds_the_first_principal_component():
    torch.manual_seed(0)
    mixing = torch.diag(torch.tensor([3.0, 1.0, 0.5, 0.2])) @ torch.linalg.qr(torch.randn(4, 4))[0]
    layer = credited(
        "hebbian", nn.Linear(4, 1), seed=0, **ALL, decay_form="oja", normalize=False, hebbian_rate=0.02
    )
    for _ in range(300):
        layer(torch.randn(50, 4) @ mixing)
    assert abs(float(layer.weight[0].detach() @ mixing[0] / 3)) > 0.99
    assert float(layer.weight.detach().norm()) == pytest.approx(1, abs=0.05)


@BOTH
def test_instar(kind):
    knobs = {"threshold_form": "none", "normalize": False, "hebbian_rate": RATE}
    layer = layer_of("hebbian", kind, **knobs)

    def instar(x, w):
        change = torch.zeros_like(w)
        for patch in x:
            u = w @ patch
            if u.max() > 0:
                change[u.argmax()] += patch - w[u.argmax()]
        return w + RATE * change / len(x)

    train(layer, instar)


@BOTH
@pytest.mark.parametrize("winners", [1, 2, 4])
def test_only_the_k_largest_learn(kind, winners):
    knobs = {"threshold_form": "none", "decay_form": "none", "hebbian_rate": RATE}
    layer = layer_of("hebbian", kind, **knobs, winners=winners)

    def k_winners(x, w):
        change = torch.zeros_like(w)
        for patch in x:
            u = w @ patch
            for unit in u.argsort(descending=True)[:winners]:
                change[unit] += patch * (u[unit] > 0)
        return unit_norm(w + RATE * change / len(x))

    train(layer, k_winners)


@BOTH
def test_softhebb(kind):
    layer = layer_of("softhebb", kind, temperature=0.5, hebbian_rate=RATE, initial_norm=4.0)

    def softhebb(x, w):
        change = torch.zeros_like(w)
        for patch in x:
            u = w @ patch
            y = -torch.exp(u / 0.5) / torch.exp(u / 0.5).sum()
            y[u.argmax()] *= -1
            change += y[:, None] * patch - (y * u)[:, None] * w
        change /= change.abs().max()
        rate = RATE * (w.norm(dim=1) - 1).abs().sqrt()
        return w + rate[:, None] * change

    train(layer, softhebb)


def test_softhebb_is_a_setting_of_the_family():
    knobs = {
        "competition": "softmax_signed", "threshold_form": "none", "decay_form": "soft",
        "update_scale": "largest", "rate_power": 0.5, "normalize": False, "initial_norm": 25.0,
        "hebbian_rate": 0.01,
    }  # fmt: skip
    one, other = layer_of("softhebb", "conv"), layer_of("hebbian", "conv", **knobs)
    for step in range(3):
        for layer in (one, other):
            layer(inputs_of(layer, seed=step))
    assert torch.equal(one.weight, other.weight)


def test_norms_under_softhebb_go_to_one():
    layer = credited("softhebb", nn.Linear(6, 5, bias=False), seed=0, hebbian_rate=0.1, initial_norm=3.0)
    for step in range(250):
        layer(inputs_of(layer, 20, step).float())
    assert layer.weight.detach().norm(dim=1).tolist() == pytest.approx([1] * 5, abs=0.1)


BCM = {
    "competition": "none", "nonlinearity": "bcm", "threshold_form": "bcm", "decay_form": "none",
    "normalize": False,
}  # fmt: skip


@BOTH
@pytest.mark.parametrize(("given", "rate"), [(0.125, 0.125), (1.0, 1.0), (30.0, 1.0)])
def test_bcm(kind, given, rate):
    layer = layer_of("hebbian", kind, **BCM, threshold_rate=given, hebbian_rate=RATE, initial_norm=0.5)
    theta = torch.zeros(5, dtype=torch.float64)

    def bcm(x, w):
        u = x @ w.T
        change = (u * (u - theta)).T @ x / len(x)
        theta.add_(rate * (u.square().mean(0) - theta))
        return w + RATE * change

    train(layer, bcm)
    torch.testing.assert_close(layer.credit.theta, theta)


def test_a_bcm_unit_becomes_selective_for_one_of_several_inputs():
    """Of n independent inputs that are equally frequent, a unit gives n to one and 0 to the others."""
    inputs = torch.eye(4) + torch.tensor(
        [[0.0, 0.2, 0.1, 0.0], [0.1, 0.0, 0.3, 0.1], [0.0, 0.2, 0.0, 0.2], [0.3, 0.0, 0.1, 0.0]]
    )
    layer = HebbianLinear(4, 6, seed=1, **BCM, threshold_rate=0.1, hebbian_rate=0.05, initial_norm=2.0)
    for _ in range(400):
        layer(inputs)
    outputs = layer.eval()(inputs).T.sort(1).values
    torch.testing.assert_close(outputs, torch.tensor([[0.0, 0, 0, 4]]).expand(6, 4), atol=0.1, rtol=0)


@BOTH
@pytest.mark.parametrize(
    ("nonlinearity", "exponent", "function"),
    [
        ("rectifier", 1.0, lambda r: r.clamp(min=0)),
        ("rectifier", 2.0, lambda r: r.clamp(min=0) ** 2),
        ("rectifier", 0.0, lambda r: (r > 0).double()),
        ("linear", 1.0, lambda r: r),
        ("tanh", 1.0, torch.tanh),
        ("negative_tanh", 1.0, lambda r: -torch.tanh(r)),
    ],
)
def test_nonlinear_hebbian_learning(kind, nonlinearity, exponent, function):
    layer = layer_of(
        "hebbian", kind, competition="none", nonlinearity=nonlinearity, exponent=exponent,
        threshold_form="fixed", threshold_level=0.5, decay_form="none", hebbian_rate=RATE,
    )  # fmt: skip
    train(layer, lambda x, w: unit_norm(w + RATE * function(x @ w.T - 0.5).T @ x / len(x)))


@BOTH
def test_linskers_covariance_rule(kind):
    layer = layer_of(
        "hebbian", kind, **ALL, decay_form="none", normalize=False, hebbian_rate=RATE,
        centre=True, k1=0.25, k2=-0.5, weight_bound=0.5,
    )  # fmt: skip

    def linsker(x, w):
        covariance = torch.cov(x.T, correction=0)
        change = w @ covariance + 0.25 - 0.5 * w.mean(1, keepdim=True)
        return (w + RATE * change).clamp(-0.5, 0.5)

    train(layer, linsker)


# --- Miconi's network ---


def surrogate(rule, u, w):
    """A number whose derivative times y is the rule's update; y is put in the place of its value."""
    squares = 0.5 * w.square().sum((1, 2, 3))[None, :, None, None]
    return {"none": u, "instar": u - squares}[rule]


@pytest.mark.parametrize("rule", ["none", "instar"])
def test_miconis_network(rule):
    """The order of a batch in section 2 of the paper's code, updates by the gradient of a loss."""
    torch.manual_seed(0)
    winners, mu, warmup, rows, places = (1, 2), 0.25, 2, 6, (64, 4)
    rates = [2.0**-8, 2.0**-5]  # of sums
    ours = []
    for place, layer in enumerate((nn.Conv2d(3, 7, 5), nn.Conv2d(7, 9, 3))):
        knobs = {"winners": winners[place], "threshold_rate": mu, "threshold_warmup": warmup}
        mean_rate = rates[place] * rows * places[place]
        knobs |= {"connectivity": (1.0, 0.25)[place], "hebbian_rate": mean_rate, "decay_form": rule}
        ours.append(credited("hebbian", layer, seed=place, **knobs).double())
    masks = [layer.credit.wired.double() for layer in ours]
    for layer in ours:  # norms of 1 in double precision
        layer.weight.data /= layer.weight.data.square().sum((1, 2, 3), keepdim=True).sqrt()
    assert 0 < masks[1].mean() < 0.5
    weights = [layer.weight.detach().clone().requires_grad_() for layer in ours]
    optimizers = [torch.optim.SGD([w], rate) for w, rate in zip(weights, rates, strict=True)]
    thetas = [torch.zeros(1, len(w), 1, 1, dtype=torch.float64) for w in weights]

    def normalized(x):
        x = x - x.mean((1, 2, 3), keepdim=True)
        return x / x.std((1, 2, 3), keepdim=True)

    triangle, pool = Triangle().double(), nn.AvgPool2d(2)
    for step in range(6):
        x = own = torch.randn(rows, 3, 12, 12, dtype=torch.float64)
        for place, w in enumerate(weights):
            own = normalized(own.detach())
            u = F.conv2d(own, w)
            r = (u - thetas[place]).detach()
            best = r.topk(winners[place], 1)[0]
            y = torch.where(r >= best[:, -1:], r, 0)
            y = (y > 0).double()
            s = surrogate(rule, u * 1, w)
            s.data = y
            optimizers[place].zero_grad()
            (-0.5 * s.square().sum()).backward()
            if step >= warmup:
                optimizers[place].step()
            w.data *= masks[place]
            w.data /= w.data.square().sum((1, 2, 3), keepdim=True).sqrt()
            own = pool((r - r.mean(1, keepdim=True)).clamp(min=0))
            thetas[place] = thetas[place] + mu * (y.mean((0, 2, 3), keepdim=True) - winners[place] / len(w))
        with torch.no_grad():
            for layer in ours:
                x = pool(triangle(layer(normalized(x))))
        torch.testing.assert_close(x, own.detach(), rtol=1e-9, atol=1e-9)
        for layer, w, theta in zip(ours, weights, thetas, strict=True):
            torch.testing.assert_close(layer.weight.data, w.data, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(layer.credit.theta, theta.flatten())
            torch.testing.assert_close(layer.bias.data, -theta.flatten())


def test_the_losses_have_the_rules_as_their_gradients():
    """Oja's too: s = u - y |w|^2 / 2, and the gradient of -sum s^2 / 2 at the value y is that of the rule."""
    layer = layer_of("hebbian", **ALL, decay_form="oja", normalize=False, hebbian_rate=1.0)
    x, w = inputs_of(layer), layer.weight.detach().clone().requires_grad_()
    u = x @ w.T
    y = u.detach().clone()
    s = u - 0.5 * w.square().sum(1) * y
    s.data = y
    (gradient,) = torch.autograd.grad(-0.5 * s.square().sum(), w)
    before = matrix(layer)
    layer(x)
    torch.testing.assert_close(matrix(layer) - before, -gradient / len(x))


def wins(**knobs):
    """How often each of five fixed units wins in the last 200 of 300 minibatches."""
    generator = torch.Generator().manual_seed(0)
    layer = credited("hebbian", nn.Linear(6, 5), seed=0, hebbian_rate=0.0, **knobs)
    total, binary = torch.zeros(5), KWinners(1, power=0.0, dim=-1)
    for step in range(300):
        with torch.no_grad():
            won = binary(layer(torch.randn(100, 6, generator=generator) + 2)).mean(0)
        total += won * (step >= 100) / 200
    return total.tolist()


def test_homeostatic_thresholds_equalise_how_often_units_win():
    assert wins(threshold_rate=0.5) == pytest.approx([0.2] * 5, abs=0.01)
    assert min(wins(threshold_form="none")) < 0.1


# --- cases at the edge ---


def test_units_that_are_tied_all_win():
    layer = layer_of("hebbian", threshold_form="none", hebbian_rate=RATE, decay_form="none", normalize=False)
    with torch.no_grad():
        layer.weight[1:] = layer.weight[0]
    x = inputs_of(layer, 1)
    x = x * (x @ layer.weight[0]).sign()
    before = matrix(layer)
    layer(x)
    torch.testing.assert_close(matrix(layer), before + RATE * x)


def test_of_tied_units_the_first_alone_wins_by_a_softmax():
    layer = layer_of("softhebb", hebbian_rate=RATE, initial_norm=4.0)
    with torch.no_grad():
        layer.weight[1:] = layer.weight[0]
    before = matrix(layer)
    layer(inputs_of(layer, 1))
    moved = matrix(layer) - before
    torch.testing.assert_close(moved[1:], -moved[:1].expand(4, -1))


@pytest.mark.parametrize("rule", ["hebbian", "softhebb"])
@BOTH
def test_inputs_of_zero_and_a_minibatch_of_one_row(rule, kind):
    layer = layer_of(rule, kind, **({"normalize": False} if rule == "hebbian" else {}))
    before = matrix(layer)
    layer(inputs_of(layer, 1) * 0)
    assert torch.equal(matrix(layer), before)
    layer(inputs_of(layer, 1))
    assert torch.isfinite(matrix(layer)).all()
    assert not torch.equal(matrix(layer), before)


def test_a_single_row_without_an_axis_of_rows():
    for rule in ("hebbian", "softhebb"):
        for kind in ("linear", "conv"):
            one, other = layer_of(rule, kind), layer_of(rule, kind)
            x = inputs_of(one, 1)
            torch.testing.assert_close(one(x)[0], other(x[0]))
            torch.testing.assert_close(one.weight, other.weight)


@pytest.mark.parametrize("competition", COMPETITIONS)
@BOTH
def test_a_unit_without_weights_neither_learns_nor_competes(competition, kind):
    # with two living units left, the temperature and the target are theirs
    layer = layer_of("hebbian", kind, competition=competition, hebbian_rate=RATE, threshold_rate=0.5)
    pair = credited(
        "hebbian",
        nn.Linear(6, 2, bias=False) if kind == "linear" else nn.Conv2d(2, 2, 3, bias=False),
        competition=competition, hebbian_rate=RATE, threshold_rate=0.5,
    ).double()  # fmt: skip
    with torch.no_grad():
        layer.weight[[0, 2, 4]] = 0
        pair.weight.copy_(layer.weight[[1, 3]])
    for step in range(4):
        x = inputs_of(layer, seed=step)
        layer(x)
        pair(x)
    assert not layer.weight[[0, 2, 4]].any()
    assert not layer.credit.theta[[0, 2, 4]].any()
    torch.testing.assert_close(layer.weight[[1, 3]], pair.weight)
    torch.testing.assert_close(layer.credit.theta[[1, 3]], pair.credit.theta)
    with torch.no_grad():
        layer.weight.zero_()
    layer(inputs_of(layer))
    assert not layer.weight.any()


@pytest.mark.parametrize("rule", ["hebbian", "softhebb"])
def test_groups_learn_from_their_own_inputs(rule):
    layer = credited(rule, nn.Conv2d(4, 6, 3, groups=2, bias=False), seed=3, hebbian_rate=RATE).double()
    whole = credited(rule, nn.Conv2d(4, 6, 3, bias=False), seed=3, hebbian_rate=RATE).double()
    with torch.no_grad():  # a layer without groups that has no connections between them
        whole.weight.zero_()
        whole.weight[:3, :2], whole.weight[3:, 2:] = layer.weight[:3], layer.weight[3:]
        whole.credit.wired.copy_(whole.weight != 0)
    for step in range(3):
        x = inputs_of(whole, seed=step)
        torch.testing.assert_close(layer(x), whole(x))
        if rule == "hebbian":  # the largest entry of a softhebb update is that of another matrix
            torch.testing.assert_close(layer.weight[:3], whole.weight[:3, :2])
            torch.testing.assert_close(layer.weight[3:], whole.weight[3:, 2:])
        else:
            break
    assert torch.isfinite(layer.weight).all()


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(2, 5, 3, padding=1, bias=False, padding_mode="reflect"),
        nn.Conv2d(2, 5, 3, padding=1, bias=False, padding_mode="circular"),
        nn.Conv2d(2, 5, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(2, 5, 3, padding="same", dilation=2, bias=False),
    ],
    ids=["reflect", "circular", "stride", "same and dilation"],
)
def test_padding_stride_and_dilation(convolution):
    mode, padding = convolution.padding_mode, convolution._reversed_padding_repeated_twice
    layer = credited("hebbian", convolution, seed=3, **ALL, decay_form="none", hebbian_rate=RATE).double()
    x, w = inputs_of(layer), matrix(layer)
    laid = F.pad(x, padding, "constant" if mode == "zeros" else mode)
    unfolded = F.unfold(laid, 3, layer.dilation, 0, layer.stride).mT.reshape(-1, w.shape[1])
    layer(x)
    expected = unit_norm(w + RATE * (unfolded @ w.T).T @ unfolded / len(unfolded))
    torch.testing.assert_close(matrix(layer), expected)


def test_one_and_three_dimensions():
    for convolution, size in ((nn.Conv1d(2, 4, 3), (9,)), (nn.Conv3d(2, 4, 2), (4, 4, 4))):
        layer = credited("softhebb", convolution, seed=0)
        before = matrix(layer)
        layer(torch.randn(3, 2, *size))
        assert not torch.equal(matrix(layer), before)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("competition", COMPETITIONS)
def test_all_settings_combine(competition, decay):
    for nonlinearity in NONLINEARITIES:
        for threshold in THRESHOLDS:
            layer = layer_of(
                "hebbian", competition=competition, decay_form=decay, nonlinearity=nonlinearity,
                threshold_form=threshold,
            )  # fmt: skip
            for step in range(2):
                layer(inputs_of(layer, seed=step))
            torch.testing.assert_close(matrix(layer).norm(dim=1), torch.ones(5, dtype=torch.float64))


# --- when a layer learns, and with what it begins ---


def learns_at(total=12, **knobs):
    """The steps, from 1, at which weights move."""
    layer = layer_of("hebbian", **ALL, decay_form="none", **knobs)
    layer.credit.attached = True  # as `attach` and a search do it
    layer.credit.begin(total)
    moved, before = [], matrix(layer)
    for step in range(1, total + 1):
        layer(inputs_of(layer, seed=step))
        if not torch.equal(before, before := matrix(layer)):
            moved.append(step)
    return moved


def test_a_layer_learns_in_its_share_of_the_training():
    assert learns_at() == [*range(1, 13)]
    assert learns_at(learns_from=0.25, learns_until=0.5) == [4, 5, 6]
    assert learns_at(learns_from=0.5, threshold_warmup=2) == [*range(9, 13)]
    assert learns_at(settle=0.25) == [*range(1, 10)]


def test_shares_of_a_training_need_its_length():
    layer = layer_of("hebbian", learns_until=0.5)
    with pytest.raises(UsageError, match=r"learns_until needs more than the module alone; call .*attach"):
        layer(inputs_of(layer))


def test_thresholds_rest_with_the_weights():
    layer = layer_of("hebbian", settle=0.5)
    layer.credit.attached = True
    layer.credit.begin(4)
    thresholds = []
    for step in range(4):
        layer(inputs_of(layer, seed=step))
        thresholds.append(layer.credit.theta.clone())
    assert not torch.equal(thresholds[0], thresholds[1])
    assert torch.equal(thresholds[1], thresholds[3])


def test_weights_begin_normal_with_a_norm_or_as_they_are():
    linear = nn.Linear(400, 300, bias=False)
    own = linear.weight.detach().clone()
    layer = credited("softhebb", linear, seed=1, initial_norm=5.0)
    weights = matrix(layer)
    assert float(weights.norm(dim=1).mean()) == pytest.approx(5, rel=0.01)
    fourth = float(weights.pow(4).mean() / weights.square().mean() ** 2)
    assert fourth == pytest.approx(3, abs=0.1)
    kept = nn.Linear(400, 300, bias=False)
    kept.load_state_dict({"weight": own})
    assert torch.equal(credited("softhebb", kept, initial_norm=0.0).weight, own)
    assert torch.equal(matrix(credited("softhebb", nn.Linear(400, 300), seed=1, initial_norm=5.0)), weights)


def test_connectivity_is_drawn_once_and_stays():
    layer = credited("hebbian", nn.Linear(200, 100), seed=1, connectivity=0.1)
    there = layer.weight != 0
    assert float(there.float().mean()) == pytest.approx(0.1, abs=0.01)
    for step in range(5):
        layer(inputs_of(layer, seed=step).float())
    assert not layer.weight[~there].any()
    assert layer.weight[there].all()


def test_what_acts_at_the_start_is_not_set_later():
    layer = layer_of("hebbian")
    with pytest.raises(UsageError, match="initial_norm acts when the layer is made"):
        layer.credit.configure(initial_norm=3.0)


def test_knobs_that_are_set_later_are_followed():
    one, other = layer_of("hebbian"), layer_of("hebbian", competition="softmax", winners=3)
    one.credit.configure(competition="softmax", winners=3)
    loaded = layer_of("hebbian")
    loaded.load_state_dict(one.state_dict())
    for layer in (one, other, loaded):
        layer(inputs_of(layer))
    torch.testing.assert_close(one.weight, other.weight)
    torch.testing.assert_close(loaded.weight, other.weight)


def test_a_layer_without_a_bias_hands_on_what_its_units_compute():
    layer = layer_of("hebbian", "conv", threshold_form="fixed", threshold_level=0.5)
    x = inputs_of(layer)
    expected = patches(layer, x) @ matrix(layer).T
    torch.testing.assert_close(layer(x).movedim(1, -1).reshape(-1, 5), expected)


def test_the_bias_is_minus_the_threshold():
    for form in THRESHOLDS:
        with_bias = credited("hebbian", nn.Linear(6, 5), seed=3, threshold_form=form).double()
        without = layer_of("hebbian", threshold_form=form)
        for step in range(4):
            x = inputs_of(without, seed=step)
            r, u = with_bias(x), without(x)
        torch.testing.assert_close(with_bias.weight, without.weight)
        torch.testing.assert_close(with_bias.bias.data, -without.credit.theta)
        torch.testing.assert_close(with_bias.eval()(x), without.eval()(x) - without.credit.theta)
        assert r.shape == u.shape
