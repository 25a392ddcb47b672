"""The Hebbian mask against its published arithmetic."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.hebb_mask import UPDATE_FORMS

NEVER = -1e9  # a threshold that no permanence falls to


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def linear(weight, bias=None, **knobs):
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return HebbMask(layer, ["weight"], **knobs)


def scripted(weight, **knobs):
    """A linear layer whose permanences only the test moves."""
    return linear(weight, permanence_rate=0.0, **knobs)


# the rule


def test_weighted_permanences_and_masks_are_the_hand_drawn_ones():
    net = linear([[1.0, -0.5]], [0.25], permanence_rate=0.5, initial_permanence=0.5)
    for x, y, permanence, mask in [
        ([1, 1], 0.75, [0.875, 0.3125], [True, True]),
        ([0, 2], -0.75, [0.875, 0.6875], [True, True]),
        ([2, 2], 1.25, [1.0, 0.0625], [True, True]),  # clipped
        ([1, 1], 0.75, [1.0, -0.125], [True, False]),
        ([1, 2], 1.25, [1.0, -0.75], [True, False]),
        ([-1, 2], -0.75, [1.0, -0.375], [True, False]),  # moves while it is out
        ([-1, 2], -0.75, [1.0, 0.0], [True, False]),  # not above the threshold
        ([-1, 1], -0.75, [1.0, 0.1875], [True, True]),
        ([-1, 1], -1.25, [1.0, 0.5], [True, True]),
    ]:
        assert net(torch.tensor([x]).float()).item() == y
        assert net.permanences()["weight"].tolist() == [permanence]
        assert net.masks()["weight"].tolist() == [mask]


def test_agreement_permanences_and_masks_are_the_hand_drawn_ones():
    net = linear(
        [[1.0, 0.5], [-1.0, 0.25]],
        update_form="agreement",
        permanence_rate=0.5,
        initial_permanence=0.75,
        prune_threshold=0.25,
    )
    batch = [[2.0, -1.0], [0.0, 4.0]]
    for y, permanence, mask in [
        ([[1.5, -2.25], [2.0, 1.0]], [[1.0, 0.75], [0.5, 1.0]], [[True, True], [True, True]]),
        ([[1.5, -2.25], [2.0, 1.0]], [[1.0, 0.75], [0.25, 1.0]], [[True, True], [False, True]]),
        ([[1.5, -0.25], [2.0, 1.0]], [[1.0, 0.75], [0.0, 1.0]], [[True, True], [False, True]]),
    ]:
        assert net(torch.tensor(batch)).tolist() == y
        assert net.permanences()["weight"].tolist() == permanence
        assert net.masks()["weight"].tolist() == mask


@pytest.mark.parametrize("form", UPDATE_FORMS)
def test_100_updates_of_a_training_are_those_of_the_published_rule(form):
    rng = np.random.default_rng(3)
    layer = nn.Linear(12, 5).double()
    W, b = layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()
    P, eta, rows, rate = np.ones_like(W), 4.0, 8, 0.25
    # the original sums over the batch
    net = HebbMask(layer, ["weight"], update_form=form, permanence_rate=eta * rows).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    changes = 0
    for _ in range(100):
        x, labels = rng.normal(size=(rows, 12)).cumsum(1) / 3, rng.integers(5, size=rows)

        M = P > 0
        y = x @ (W * M).T + b
        delta = np.exp(y) / np.exp(y).sum(1, keepdims=True)
        delta[np.arange(rows), labels] -= 1
        P = np.clip(P + eta * ((y.T @ x) * W if form == "weighted" else np.sign(y).T @ np.sign(x)), -1, 1)
        W -= rate * (delta.T @ x) / rows * M
        b -= rate * delta.sum(0) / rows
        changes += int(((P > 0) != M).sum())

        optimizer.zero_grad()
        output = net(torch.tensor(x))
        F.cross_entropy(output, torch.tensor(labels)).backward()
        optimizer.step()
        np.testing.assert_allclose(output.detach().numpy(), y, rtol=0, atol=1e-12)
        np.testing.assert_allclose(net.permanences()["weight"].numpy(), P, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(net.masks()["weight"].numpy(), P > 0)
        np.testing.assert_allclose(layer.weight.detach().numpy(), W, rtol=0, atol=1e-12)
    assert changes > 50


NUMPY_PADDING = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
CONVOLUTIONS = {
    "1d": (nn.Conv1d(2, 3, 3), (2, 9)),
    "1d strided, padded, dilated": (nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2), (2, 11)),
    "2d": (nn.Conv2d(2, 3, (3, 2)), (2, 5, 6)),
    "2d grouped": (nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 4, 5)),
    "2d depthwise": (nn.Conv2d(3, 6, 3, groups=3, bias=False), (3, 5, 5)),
    "2d strided": (nn.Conv2d(2, 3, 3, stride=(2, 3)), (2, 6, 8)),
    "2d all at once": (
        nn.Conv2d(4, 4, (3, 2), stride=2, padding=(2, 1), dilation=(1, 2), groups=2),
        (4, 5, 6),
    ),
    "2d same": (nn.Conv2d(2, 3, (2, 4), padding="same", dilation=(3, 1)), (2, 5, 6)),
    "2d circular": (nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"), (2, 5, 6)),
    "2d reflect": (nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect", stride=2), (2, 5, 6)),
    "1d replicate": (nn.Conv1d(2, 3, 4, padding="same", padding_mode="replicate"), (2, 6)),
    "3d": (nn.Conv3d(2, 2, 2, padding=1), (2, 3, 4, 3)),
}


@pytest.mark.parametrize("form", UPDATE_FORMS)
@pytest.mark.parametrize("which", CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's own remark on its speed
def test_a_kernel_entry_moves_by_the_mean_over_positions_of_the_output_times_the_input_under_it(which, form):
    layer, shape = CONVOLUTIONS[which]
    net = HebbMask(
        copy.deepcopy(layer),
        ["weight"],
        update_form=form,
        permanence_rate=2.0,
        initial_permanence=0.0,
        permanence_bound=100.0,
        prune_threshold=NEVER,
    ).double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    y = net(x).detach().numpy()

    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        padding = [(total // 2, total - total // 2) for total in totals]
    else:
        padding = [(p, p) for p in layer.padding]
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), *padding], mode=NUMPY_PADDING[layer.padding_mode])
    transform = np.sign if form == "agreement" else np.asarray
    H = np.zeros(layer.weight.shape)
    inputs = layer.in_channels // layer.groups
    for o, i, *entry in np.ndindex(H.shape):
        group = o // (layer.out_channels // layer.groups)
        seen = []
        for row, position in itertools.product(range(3), np.ndindex(y.shape[2:])):
            under = tuple(
                p * s + e * d
                for p, s, e, d in zip(position, layer.stride, entry, layer.dilation, strict=True)
            )
            value = transform(y[(row, o, *position)]) * transform(padded[(row, group * inputs + i, *under)])
            seen.append(value)
        H[(o, i, *entry)] = np.mean(seen)
    if form == "weighted":
        H *= layer.weight.detach().numpy()
    np.testing.assert_allclose(net.permanences()["weight"].numpy(), 2 * H, rtol=1e-5, atol=1e-12)


# knobs


def test_a_connection_enters_again_only_above_the_threshold_by_more_than_the_hysteresis():
    net = scripted([[1.0, 1.0, 1.0]], prune_threshold=0.25, hysteresis=0.5)
    P = net.permanences()["weight"]
    for permanence, mask in [
        ([0.25, 0.5, 1.0], [False, True, True]),
        ([0.75, 0.25, 0.5], [False, False, True]),
        ([0.875, 0.5, 0.25], [True, False, False]),
        ([0.5, 0.75, 1.0], [True, False, True]),
    ]:
        P.copy_(torch.tensor([permanence]))
        net(torch.zeros(1, 3))
        assert net.masks()["weight"].tolist() == [mask]


def test_permanences_decay_at_every_update():
    net = linear([[1.0, 1.0]], permanence_decay=0.25, prune_threshold=0.5)
    for permanence, connected in [(0.75, True), (0.5625, True), (0.421875, False), (0.31640625, False)]:
        net(torch.zeros(4, 2))
        assert net.permanences()["weight"].tolist() == [[permanence] * 2]
        assert net.masks()["weight"].tolist() == [[connected] * 2]


@pytest.mark.parametrize("bound", [0.25, 4.0])
def test_permanences_are_clipped_at_the_bound(bound):
    net = linear(
        [[100.0, -100.0]], [0.5], permanence_rate=10.0, permanence_bound=bound, prune_threshold=NEVER
    )
    net(torch.ones(1, 2))
    assert net.permanences()["weight"].tolist() == [[bound, -bound]]


def test_nothing_moves_between_two_updates():
    net = linear([[1.0, -1.0]], [4.0], permanence_rate=0.5, update_interval=3)
    seen = []
    for _ in range(7):
        net(torch.ones(1, 2))
        seen.append((net.permanences()["weight"].tolist(), net.masks()["weight"].tolist()))
    before, after = ([[1.0, 1.0]], [[True, True]]), ([[1.0, -1.0]], [[True, False]])
    assert seen == [before] * 2 + [after] * 5
    assert net.is_event(torch.arange(8)).tolist() == [step in (3, 6) for step in range(8)]


def test_no_connection_is_pruned_during_the_warmup_while_permanences_move():
    net = linear([[1.0, -1.0]], [4.0], permanence_rate=0.5, warmup=4)
    masks, permanences = [], []
    for _ in range(5):
        net(torch.ones(1, 2))
        masks.append(net.masks()["weight"].tolist()[0])
        permanences.append(net.permanences()["weight"].tolist()[0])
    assert masks == [[True, True]] * 3 + [[True, False]] * 2
    assert permanences[0] == [1, -1]
    assert net.is_event(torch.arange(6)).tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("batch", [2, 0])
def test_permanences_stay_where_no_activation_is_finite(batch):
    net = linear([[1.0, -1.0]], permanence_decay=0.5)
    net(torch.full((batch, 2), float("nan")))
    assert net.permanences()["weight"].tolist() == [[0.5, 0.5]]
    assert net(torch.tensor([[float("nan"), 1.0]])).isnan().all()  # so divergence shows in the outputs


def test_every_knob_is_a_buffer_at_its_default():
    net = linear([[1.0]])
    for name, knob in CONNECTIONS["hebb_mask"].knobs.items():
        value = knob.choices.index(knob.default) if knob.choices else knob.default
        assert getattr(net, name).item() == pytest.approx(value)
    assert net.knobs is CONNECTIONS["hebb_mask"].knobs
