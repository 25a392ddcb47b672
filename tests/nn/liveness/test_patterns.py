"""What functions do to patterns, against their derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import Stamina
from hebbevo.nn.liveness.paths import survivors
from tests.nn.liveness.conftest import Net, clear_columns, clear_rows, count_alive, found


def by_derivatives(net):
    """How many inputs and hidden units have derivatives; no weight is negative, so none cancel out."""
    hidden = net.first(torch.rand(1, 12) + 0.5).detach()
    tail = torch.autograd.functional.jacobian(lambda h: net.second(net.function(h).flatten(1)), hidden)
    used = tail.reshape(2, 12).ne(0).any(0)
    reached = net.first.weight.ne(0).any(1)
    return [int(net.first.weight[used].ne(0).any(0).sum()), int((used & reached).sum())]


class AroundFunction(nn.Module):
    """12 inputs, 12 hidden units, a function of (1, 12) behind these, and two outputs."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Linear(12, 12, bias=False)
        self.function = function
        self.second = nn.LazyLinear(2)

    def forward(self, x):
        return self.second(self.function(self.first(x)).flatten(1))


MASK = torch.tensor([1.0, 0.0, 1.0] * 4)


KERNEL = torch.tensor([[[1.0, 0.0]]])


PLACE = torch.tensor([0, 3, 3, 7, 1])


def assigned(h):
    y = torch.ones(1, 8)
    y[:, 1:4] = h[:, 5:8]
    y[:, 2] += h[:, 0]
    y[:, 3] = 1.0
    return y


@pytest.mark.parametrize(
    "function",
    [
        lambda h: h.relu() * 2,
        lambda h: F.leaky_relu(h).square().sqrt().log1p().tanh(),
        lambda h: h.clone().add_(1).mul_(3).div_(2).sub_(h),
        lambda h: 3 - h,
        lambda h: -(2.0 ** (h / 100)),
        lambda h: 1 / h,
        lambda h: h * MASK,
        lambda h: h * MASK.to(h).expand_as(h),
        lambda h: h.masked_fill(MASK == 0, 7.0),
        lambda h: torch.where(MASK > 0, h, 1.0),
        lambda h: torch.where(MASK > 0, 1.0, h * h),
        lambda h: h[:, 2:9],
        lambda h: h[:, MASK > 0],
        lambda h: h.view(1, 3, 4).permute(0, 2, 1)[:, 1],
        lambda h: h.reshape(1, 2, 6).flip(2).mT[..., 0],
        lambda h: torch.cat([h[:, :3], torch.ones(1, 2), h[:, 7:]], 1),
        lambda h: torch.stack(h.chunk(3, 1)[:2]).transpose(0, 1),
        lambda h: h.split([5, 4, 3], 1)[1],
        lambda h: h.unbind(1)[4][None],
        lambda h: sum(h.unbind(1)[3:6])[None],
        lambda h: h.gather(1, PLACE[None]),
        lambda h: h.index_select(1, PLACE),
        lambda h: torch.zeros(1, 9).index_add_(1, PLACE, h[:, :5]),
        lambda h: torch.zeros(1, 12).index_copy(1, PLACE[:2], h[:, 4:6]),
        lambda h: F.pad(h[:, 2:5], (1, 1), value=3.0),
        lambda h: F.pad(h[:, None, 2:5], (2, 2), mode="reflect"),
        lambda h: h.view(1, 4, 3).mean(2),
        lambda h: h.view(1, 4, 3)[:, :2].sum((1, 2), keepdim=True),
        lambda h: h.view(1, 4, 3)[:, 1:].std(2),
        lambda h: h.view(1, 4, 3)[:, 1:].norm(dim=2),
        lambda h: torch.linalg.vector_norm(h.view(1, 4, 3)[:, 1:], dim=1, keepdim=True),
        lambda h: torch.var_mean(h[:, 3:], 1)[0][:, None],
        lambda h: (h[:, 5:] + 1).prod(1, keepdim=True),
        lambda h: h[:, 5:].cumsum(1)[:, :3],
        lambda h: F.avg_pool1d(h[:, None], 3, stride=4),
        lambda h: F.adaptive_avg_pool1d(h[:, None, :7], 2),
        lambda h: F.interpolate(h[:, None, :5], scale_factor=2),
        lambda h: F.interpolate(h.view(1, 1, 3, 4)[..., 1:], (6, 6), mode="bicubic"),
        lambda h: F.unfold(h.view(1, 1, 3, 4), (2, 2))[..., :2],
        lambda h: F.pixel_shuffle(h.view(1, 12, 1, 1)[:, 4:8], 2),
        lambda h: h @ torch.diag(MASK),
        lambda h: torch.einsum("bi,ij->bj", h, torch.outer(MASK, torch.ones(2))),
        lambda h: torch.bmm(h.view(1, 3, 4), torch.tensor([[[1.0], [0.0], [2.0], [-1.0]]])),
        lambda h: torch.addmm(torch.ones(1, 12), h, torch.diag(MASK)),
        lambda h: torch.matmul(h.view(1, 3, 4)[:, :1], h.view(1, 3, 4)[:, 1:].mT),
        lambda h: F.conv1d(h[:, None], KERNEL, torch.ones(1), stride=3),
        lambda h: F.conv_transpose1d(h[:, None, ::2], KERNEL, stride=2),
        lambda h: F.batch_norm(h, torch.zeros(12), torch.ones(12), MASK, MASK),
        lambda h: h[:, :6] * h[:, 6:],
        lambda h: torch.maximum(h, h + 1),
        lambda h: F.dropout(h, training=False).contiguous(),
        lambda h: h.double().float().to(torch.float32).type(torch.float32),
        assigned,
        lambda h: h.sigmoid() * h.exp(),
        lambda h: h.T.mT,
    ],
)
def test_functions_pass_paths_on_where_their_derivatives_are_not_zero(function):
    net = AroundFunction(function)
    net(torch.ones(1, 12))
    for density in (0.15, 0.3):
        with torch.no_grad():
            net.first.weight.copy_(torch.rand(12, 12) * (torch.rand(12, 12) < density))
            net.second.weight.copy_(
                torch.rand(net.second.weight.shape) * torch.rand(net.second.weight.shape).gt(0.3)
            )
        assert count_alive(net, 12)[:2] == by_derivatives(
            net
        )  # without layers that the function itself calls


def test_a_dead_gate_lets_through_the_values_that_it_gates_unless_it_is_zero():
    net = Net(lambda net, x: net.head(net.second(x) * torch.sigmoid(net.first(x))))
    clear_rows(net.first, 0, 1)
    assert found(net).alive.tolist() == [[4, 2]]  # in the order of calls
    net = Net(lambda net, x: net.head(net.second(x) * net.first(x).relu()))
    clear_rows(net.first, 0, 1)
    with torch.no_grad():
        net.first.bias[:2] = torch.tensor([-1.0, 1.0])
    assert found(net).alive.tolist() == [[3, 2]]


def test_features_pass_a_scale_of_which_the_branch_is_dead():
    net = Net(
        lambda net, x: net.head(net.units(net.first(x)) * net.scale(net.side_units(net.second(x)))),
        units=Stamina(4),
        side_units=Stamina(4),
        scale=nn.Linear(4, 4),
    )
    net.side_units.alive.zero_()
    with torch.no_grad():
        net.scale.bias.fill_(1)
    assert dict(zip(found(net).layers, found(net).alive[0].tolist(), strict=True)) == {
        "first": 4,
        "second": 0,
        "scale": 0,  # a constant that scales, and reads nothing
    }
    with torch.no_grad():
        net.scale.bias[1:] = 0
    assert found(net).alive.tolist() == [[1, 0, 0]]


LIVE_FACTOR = {  # functions of four features and of a dead branch of zeros; how many features are alive
    "product": (lambda a, dead: a * dead, 0),
    "one plus": (lambda a, dead: a * (1 + dead), 4),
    "sigmoid": (lambda a, dead: a * dead.sigmoid(), 4),
    "tanh": (lambda a, dead: a * dead.tanh(), 0),
    "relu": (lambda a, dead: a * F.relu(dead - 1), 0),
    "hard sigmoid of far below": (lambda a, dead: a * F.hardsigmoid(dead - 5), 0),
    "quotient": (lambda a, dead: a / (1e-3 + dead), 4),
    "dead numerator": (lambda a, dead: dead / (2 + a), 0),
    "one over": (lambda a, dead: 1 / (2 + a + dead), 4),
    "power": (lambda a, dead: (2 + a) ** dead, 0),
    "power of one": (lambda a, dead: (1 + dead) ** a, 0),
    "power of two": (lambda a, dead: (2 + dead) ** a, 4),
    "glu": (lambda a, dead: F.glu(torch.cat([a, dead], -1)), 4),
    "glu of zeros": (lambda a, dead: F.glu(torch.cat([dead, a], -1)), 0),
    "silu": (lambda a, dead: a * F.silu(dead), 0),
    "film": (lambda a, dead: (1 + dead) * a + dead, 4),
    "where": (lambda a, dead: torch.where(dead > 0, a, 1.0), 0),
    "where the other": (lambda a, dead: torch.where(dead > 0, 1.0, a), 4),
    "masked": (lambda a, dead: a.masked_fill(dead == 0, 1.0), 0),
    "lerp at the start": (lambda a, dead: torch.lerp(a, dead + 1, dead), 4),
    "lerp at the end": (lambda a, dead: torch.lerp(dead, a, dead), 0),
    "addcmul": (lambda a, dead: torch.addcmul(dead, a, dead), 0),
    "addcdiv": (lambda a, dead: torch.addcdiv(dead, a, dead + 1), 4),
    "einsum": (lambda a, dead: torch.einsum("bi,bj->bi", a, 1 + dead), 4),
    "einsum of zeros": (lambda a, dead: torch.einsum("bi,bj->bi", a, dead), 0),
    "bmm": (lambda a, dead: torch.bmm(a[:, :, None], dead.exp()[:, None])[..., 0], 4),
    "bilinear": (lambda a, dead: F.bilinear(a, dead + 1, torch.ones(4, 4, 4)), 4),
    "bilinear of zeros": (lambda a, dead: F.bilinear(a, dead, torch.ones(4, 4, 4)), 0),
    "weights": (lambda a, dead: F.linear(a, (1 + dead).expand(4, 4)), 4),
    "prod": (lambda a, dead: torch.stack([a, dead]).prod(0), 0),
    "prod of ones": (lambda a, dead: torch.stack([a, dead + 1]).prod(0), 4),
    "mask": (lambda a, dead: a * (dead >= 0), 4),
    "mask of nothing": (lambda a, dead: a * (dead > 0), 0),
    "logical": (lambda a, dead: ((a > 0) & (dead > 0)).float(), 0),
    "clamp by it": (lambda a, dead: torch.clamp(dead, max=a), 4),
    "in place": (lambda a, dead: a.clone().mul_(dead.add_(1)), 4),
    "two are set": (lambda a, dead: a * dead.index_fill(1, torch.tensor([0, 1]), 3.0), 2),
    "attention": (lambda a, dead: F.scaled_dot_product_attention(a[:, None], dead[:, None], a[:, None]), 4),
    "attention to zeros": (
        lambda a, dead: F.scaled_dot_product_attention(a[:, None], a[:, None], dead[:, None]),
        0,
    ),
}


@pytest.mark.parametrize("function", LIVE_FACTOR)
def test_a_dead_factor_is_a_constant_and_ends_paths_only_where_it_is_zero(function):
    forward, alive = LIVE_FACTOR[function]
    net = Net(
        lambda net, x: net.head(forward(net.first(x), net.units(net.second(x))).flatten(1)), units=Stamina(4)
    )
    net.units.alive.zero_()
    assert found(net).alive.tolist() == [[alive, 0]]


def test_a_dead_channel_behind_a_batch_norm_is_its_shift():
    net = Net(
        lambda net, x: net.head(net.second(x) * net.norm(net.units(net.first(x)))),
        units=Stamina(4),
        norm=nn.BatchNorm1d(4),
    )
    net.units.alive[:3] = False
    assert found(net).alive.tolist() == [[1, 1]]
    with torch.no_grad():
        net.norm.bias[0] = 0.5
        net.norm.running_mean[1] = -0.2
    assert found(net).alive.tolist() == [[3, 1]]


@pytest.mark.parametrize(
    "function",
    [
        lambda h: h.softmax(1),
        lambda h: h.log_softmax(-1),
        lambda h: F.softmin(h, dim=1),
        lambda h: F.gumbel_softmax(h, dim=1),
        lambda h: F.layer_norm(h, (4,)),
        lambda h: F.group_norm(h, 1),
        lambda h: F.rms_norm(h, (4,)),
        lambda h: F.normalize(h, dim=1),
        lambda h: F.local_response_norm(h[:, :, None], 4).flatten(1),
        lambda h: h.sort(1).values,
        lambda h: h.topk(4, 1).values,
        lambda h: h.cummax(1).values.flip(1),
        lambda h: h - h.amax(1, keepdim=True),
        lambda h: h.argsort(1).float(),
        lambda h: F.one_hot(h.argmax(1), 4).float(),
        lambda h: h / h.norm(dim=1, keepdim=True),
        lambda h: h / h.sum(1, keepdim=True),
        lambda h: torch.ones(1, 4).gather(1, h.max(1, keepdim=True).indices.expand(1, 4)),
    ],
)
def test_every_unit_that_enters_a_function_over_an_axis_is_used_by_its_first_result(function):
    net = Net(lambda net, x: net.head(function(net.first(x)) * torch.tensor([1.0, 0.0, 0.0, 0.0])))
    assert found(net).alive.tolist() == [[4]]


def test_a_function_over_groups_leaves_groups_apart():
    net = Net(lambda net, x: net.head(F.group_norm(net.first(x), 2) * torch.tensor([1.0, 0.0, 0.0, 0.0])))
    assert found(net).alive.tolist() == [[2]]


def test_what_a_softmax_is_forbidden_to_choose_stays_a_constant():
    allowed = torch.tensor([True, True, False, True])
    net = Net(
        lambda net, x: net.head(net.first(x).masked_fill(~allowed, -torch.inf).softmax(1) * net.second(x))
    )
    assert found(net).alive.tolist() == [[3, 3]]


def test_a_softmax_with_one_choice_left_is_a_constant():
    allowed = torch.tensor([False, True, False, False])
    net = Net(
        lambda net, x: net.head(net.first(x).masked_fill(~allowed, -torch.inf).softmax(1) * net.second(x))
    )
    assert found(net).alive.tolist() == [[0, 1]]
    net = Net(lambda net, x: net.head(net.first(x)[:, :1].softmax(1) * net.second(x)))
    assert found(net).alive.tolist() == [[0, 4]]


def test_a_dead_expert_leaves_the_gate_alive_that_weighs_the_others():
    net = Net(
        lambda net, x: net.head(
            sum(
                gate * expert(x)
                for gate, expert in zip(net.gate(x).softmax(1).split(1, 1), net.experts, strict=True)
            )
        ),
        gate=nn.Linear(4, 3),
        experts=nn.ModuleList(nn.Sequential(nn.Linear(4, 4), Stamina(4)) for _ in range(3)),
    )
    net.experts[1][1].alive.zero_()
    assert found(net).alive.tolist() == [[3, 4, 0, 4]]


def test_a_dead_squeeze_and_excitation_lets_its_channels_pass():
    class Block(nn.Module):
        def __init__(self, gate):
            super().__init__()
            self.first, self.squeeze = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)
            self.units, self.excite = Stamina(2, dim=1), nn.Conv2d(2, 4, 1)
            self.gate, self.head = gate, nn.Linear(4, 2)

        def forward(self, x):
            x = self.first(x)
            scale = self.excite(self.units(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
            return self.head((x * self.gate(scale)).mean((2, 3)))

    for gate, alive in [(torch.sigmoid, 4), (torch.tanh, 2)]:
        net = Block(gate)
        net.units.alive.zero_()
        with torch.no_grad():
            net.excite.bias.copy_(torch.tensor([1.0, 0.0, 0.0, -1.0]))
        assert found(net, 1, 5, 5).alive.tolist() == [[alive, 0, 0]]


def test_values_are_of_the_type_that_the_network_takes():
    net = Net(
        lambda net, x: net.head(
            net.first(net.words(x)).mean(1) * (1 + net.units(net.second(net.words(x))).mean(1))
        ),
        words=nn.Embedding(9, 4),
        units=Stamina(4),
    )
    net.units.alive.zero_()
    assert survivors(net, torch.full((1, 5), 8)).alive.tolist() == [[4, 0]]
    net.half()
    assert survivors(net, torch.full((1, 5), 8)).alive.tolist() == [[4, 0]]


def test_a_maximum_over_neurons_uses_all_of_them():
    net = Net(lambda net, x: net.head(net.second(F.max_pool1d(net.first(x)[:, None], 4)[:, 0].expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]
    net = Net(lambda net, x: net.head(net.second(net.first(x).amax(1, keepdim=True).expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]
    net = Net(lambda net, x: net.head(net.second(net.first(x).max(1, keepdim=True).values.expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]


def test_a_maximum_that_returns_its_index_too_is_a_maximum():
    net = Net(
        lambda net, x: net.head(
            net.second(F.max_pool1d(net.first(x)[:, None], 4, return_indices=True)[0][:, 0].expand(1, 4))
        )
    )
    clear_rows(net.first, 0)
    result = found(net)
    assert (result.alive.tolist(), result.notes) == ([[3, 4]], ())


def test_a_function_in_no_table_counts_as_alive_and_is_named():
    net = Net(
        lambda net, x: net.head(net.rnn(net.first(x)[:, None])[0][:, 0]), rnn=nn.LSTM(4, 4, batch_first=True)
    )
    clear_rows(net.first, 0)
    assert found(net).alive.tolist() == [[3]]
    assert found(net).notes == ("not followed: lstm in rnn",)
    net.first.weight.data.zero_()
    assert found(net).alive.tolist() == [[0]]


def test_attention_is_not_followed_but_the_layers_around_it_are():
    net = Net(
        lambda net, x: net.head(net.second(net.attention(*[net.first(x)] * 3)[0].mean(1))),
        attention=nn.MultiheadAttention(4, 2, batch_first=True),
    )
    clear_columns(net.head, 0)
    result = found(net, 3, 4)
    assert result.alive.tolist() == [[4, 3]]
    assert result.notes == ("not followed: multi_head_attention_forward in attention",)


def test_indices_as_inputs_feed_embeddings():
    net = Net(lambda net, x: net.head(net.first(net.words(x).mean(1)).relu()), words=nn.Embedding(9, 4))
    with torch.no_grad():
        net.words.weight[:, :3] = 0
    clear_columns(net.first, 3)
    result = survivors(net, torch.zeros(1, 5, dtype=torch.int64))
    assert (result.alive.tolist(), result.inputs.tolist()) == ([[0]], [0])
    with torch.no_grad():
        net.first.weight[1, 3] = 1
    result = survivors(net, torch.zeros(1, 5, dtype=torch.int64))
    assert (result.alive.tolist(), result.inputs.tolist(), result.notes) == ([[1]], [5], ())


def test_deep_residual_nets_neither_overflow_nor_vanish():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(150))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            for block in self.blocks:
                x = F.layer_norm(x + block(x), (8,))
            return self.head(x.sigmoid() / 8)

    result = found(Deep(), 8)
    assert result.alive.tolist() == [[8] * 150]
    assert result.inputs.tolist() == [8]
