"""What functions do to patterns, against their derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

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


def test_a_dead_gate_lets_through_the_values_that_it_gates():
    net = Net(lambda net, x: net.head(net.second(x) * torch.sigmoid(net.first(x))))
    clear_rows(net.first, 0, 1)
    assert found(net).alive.tolist() == [[4, 2]]  # in the order of calls
    net = Net(lambda net, x: net.head(net.second(x) * net.first(x).relu()))
    clear_rows(net.first, 0, 1)
    assert found(net).alive.tolist() == [[2, 2]]


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
