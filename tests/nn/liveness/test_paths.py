"""Survivors against explicit search for paths, unit by unit."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask, InputStamina, Stamina
from hebbevo.nn.liveness.counting import count
from hebbevo.nn.liveness.paths import COUNTS, Plan, survivors
from hebbevo.nn.liveness.patterns import NotFollowed
from hebbevo.training.stack import VmapStack


def sparse(net, density, generator=None):
    """Set random weights and biases, weights to zero but for a fraction, and random masks."""
    with torch.no_grad():
        for module in net.modules():
            if hasattr(module, "weight") and module.weight is not None:
                kept = torch.rand(module.weight.shape, generator=generator) < density
                module.weight.copy_(torch.randn(module.weight.shape) * kept)
            if isinstance(module, Stamina | InputStamina):
                module.alive.copy_(torch.rand(module.alive.shape, generator=generator) < 0.7)
    return net


def alive(net, *shape):
    """Survivors of a net for rows of this shape: inputs, then hidden layers."""
    found = survivors(net, torch.ones(1, *shape))
    assert not found.notes
    return [int(found.inputs), *found.alive[0].tolist()]


class Graph:
    """Units and the connections between them, searched from both ends."""

    def __init__(self):
        self.edges = []
        self.killed = set()

    def connect(self, source, target):
        self.edges.append((source, target))

    def dense(self, sources, targets, weight):
        for j, target in enumerate(targets):
            for i, source in enumerate(sources):
                if weight[j, i] != 0:
                    self.connect(source, target)

    def reached(self, starts, forward):
        found, frontier = set(), [start for start in starts if start not in self.killed]
        while frontier:
            node = frontier.pop()
            if node in found:
                continue
            found.add(node)
            ends = [b if forward else a for a, b in self.edges if node == (a if forward else b)]
            frontier += [end for end in ends if end not in self.killed]
        return found

    def on_paths(self, inputs, outputs):
        return self.reached(inputs, True) & self.reached(outputs, False)


class Perceptron(nn.Module):
    """What a search trains: units of every layer, inputs too, that may be dead."""

    def __init__(self, *widths, inputs=True):
        super().__init__()
        self.inputs = InputStamina(widths[0]) if inputs else nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths[:-1]))
        self.units = nn.ModuleList(Stamina(width) for width in widths[1:-1])
        self.head = nn.Linear(*widths[-2:])

    def forward(self, x):
        x = self.inputs(x)
        for layer, unit in zip(self.layers, self.units, strict=True):
            x = unit(layer(x))
        return self.head(x)

    def survivors(self):
        """Count layer by layer, from both ends."""
        links = [layer.weight != 0 for layer in (*self.layers, self.head)]
        living = [self.inputs.alive, *(unit.alive for unit in self.units)]
        fed = [living[0]]
        for link, units in zip(links, living[1:], strict=False):
            fed.append(units & (link & fed[-1]).any(1))
        heard = [living[-1] & links[-1].any(0)]
        for link, units in zip(links[-2::-1], living[-2::-1], strict=True):
            heard.append(units & (link & heard[-1][:, None]).any(0))
        return [int((f & h).sum()) for f, h in zip(fed, reversed(heard), strict=True)]


@pytest.mark.parametrize("density", [0.05, 0.15, 0.3, 1.0])
@pytest.mark.parametrize("widths", [(6, 9, 4), (5, 8, 7, 3), (12, 20, 15, 10, 4)], ids=str)
def test_perceptrons_agree_with_a_count_from_both_ends(widths, density):
    for _ in range(5):
        net = sparse(Perceptron(*widths), density)
        assert alive(net, widths[0]) == net.survivors()


def stacked(nets):
    """A caller for nets in a stack."""
    state = stack_module_state(nets)

    def call(function, *args):
        def one(state, *args):
            return function(lambda x: functional_call(nets[0], state, (x,)), *args)

        return vmap(one)(state, *args)

    return call


def test_a_stack_is_counted_net_by_net():
    nets = [sparse(Perceptron(7, 10, 8, 3), 0.2).eval() for _ in range(6)]
    found = Plan.of(nets[0], torch.ones(1, 7)).survivors(stacked(nets), 6)
    assert found.layers == ("layers.0", "layers.1")
    assert found.neurons == (10, 8)
    assert torch.column_stack([found.inputs, found.alive]).tolist() == [net.survivors() for net in nets]
    assert found.alive.dtype is found.inputs.dtype is torch.int64


def test_a_plan_does_not_depend_on_who_is_dead():
    live, dead = Perceptron(7, 10, 8, 3), sparse(Perceptron(7, 10, 8, 3), 0.0)
    dead.units[0].alive.zero_()
    assert Plan.of(live, torch.ones(1, 7)).sites == Plan.of(dead, torch.ones(1, 7)).sites


def test_a_net_that_collapsed_has_no_survivors():
    net = Perceptron(5, 6, 6, 2)
    net.units[1].alive.zero_()
    assert alive(net, 5) == [0, 0, 0]


class Residual(nn.Module):
    """Two residual blocks on a stem, a concatenation, and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 5)
        self.a = nn.Linear(5, 5)
        self.b = nn.Linear(5, 5)
        self.units = Stamina(5)
        self.side = nn.Linear(4, 3)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        h = h + self.units(self.a(h))
        h += self.b(h).sigmoid_()
        return self.head(torch.cat([h, F.gelu(self.side(x))], dim=-1))


@pytest.mark.parametrize("density", [0.1, 0.2, 0.4])
def test_residual_sums_and_concatenations_agree_with_a_search(density):
    for _ in range(10):
        net = sparse(Residual(), density)
        graph = Graph()
        x, stem, a, b, side, out = (
            [(name, i) for i in range(n)]
            for name, n in [("x", 4), ("stem", 5), ("a", 5), ("b", 5), ("side", 3), ("out", 2)]
        )
        first, second = [("first", i) for i in range(5)], [("second", i) for i in range(5)]
        graph.dense(x, stem, net.stem.weight)
        graph.dense(stem, a, net.a.weight)
        graph.dense(first, b, net.b.weight)
        graph.dense(x, side, net.side.weight)
        for i in range(5):
            for source, target in [(stem, first), (a, first), (first, second), (b, second)]:
                graph.connect(source[i], target[i])
        graph.killed |= {a[i] for i in range(5) if not net.units.alive[i]}
        graph.dense([*second, *side], out, net.head.weight)
        found = graph.on_paths(x, out)
        # a unit of b is a sum's operand itself: its own path counts, not the sum's
        assert alive(net, 4) == [len(found & set(nodes)) for nodes in (x, stem, a, b, side)]


class Convolutions(nn.Module):
    """Plain, depthwise and strided convolutions with a norm, a skip, pools and a linear head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 2, groups=4)
        self.grouped = nn.Conv2d(4, 4, 2, groups=2, stride=2, dilation=1)
        self.hidden = nn.Linear(16, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)), inplace=True)  # 4 x 5 x 5
        x = torch.relu_(self.depthwise(x))  # 4 x 4 x 4
        x = x + self.grouped(F.pad(x, (0, 1, 0, 1), value=1.0)).repeat_interleave(2, 2).repeat_interleave(
            2, 3
        )
        x = F.max_pool2d(x, 2)
        return self.head(self.hidden(x.flatten(1)).relu())


def convolve(graph, source, target, weight, size, stride=1, padding=0, groups=1):
    """Connect elements (name, channel, row, column) as a convolution does; return the size of the output."""
    out, per_group, height, width = weight.shape
    rows = (size + 2 * padding - height) // stride + 1
    for o in range(out):
        for i in range(per_group):
            channel = o // (out // groups) * per_group + i
            for dy in range(height):
                for dx in range(width):
                    if weight[o, i, dy, dx] == 0:
                        continue
                    for r in range(rows):
                        for c in range(rows):
                            y, x = r * stride + dy - padding, c * stride + dx - padding
                            if 0 <= y < size and 0 <= x < size:
                                graph.connect((source, channel, y, x), (target, o, r, c))
    return rows


@pytest.mark.parametrize("density", [0.1, 0.25])
def test_convolutions_agree_with_a_search_over_their_elements(density):
    for _ in range(4):
        net = sparse(Convolutions(), density)
        graph = Graph()
        convolve(graph, "x", "first", net.first.weight, 5, padding=1)
        graph.killed |= {
            ("first", c, y, x) for c in range(4) for y in range(5) for x in range(5) if not net.norm.weight[c]
        }
        convolve(graph, "first", "depthwise", net.depthwise.weight, 5, groups=4)
        convolve(graph, "depthwise", "grouped", net.grouped.weight, 5, stride=2, groups=2)
        for c in range(4):
            for y in range(4):
                for x in range(4):
                    pooled = ("pooled", 4 * c + 2 * (y // 2) + x // 2)
                    graph.connect(("depthwise", c, y, x), pooled)
                    graph.connect(("grouped", c, y // 2, x // 2), pooled)
        hidden = [("hidden", i) for i in range(3)]
        graph.dense([("pooled", i) for i in range(16)], hidden, net.hidden.weight)
        graph.dense(hidden, [("out", 0), ("out", 1)], net.head.weight)
        inputs = [("x", c, y, x) for c in range(2) for y in range(5) for x in range(5)]
        found = graph.on_paths(inputs, [("out", 0), ("out", 1)])
        count = [len({node[1] for node in found if node[0] == name}) for name in LAYERS]
        assert alive(net, 2, 5, 5) == [len(found & set(inputs)), *count]


LAYERS = ("first", "depthwise", "grouped", "hidden")


class Around(nn.Module):
    """12 inputs, 12 hidden units, a function of (1, 12) in between, and two outputs."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Linear(12, 12, bias=False)
        self.function = function
        self.second = nn.LazyLinear(2)

    def forward(self, x):
        return self.second(self.function(self.first(x)).flatten(1))


def by_derivatives(net):
    """Inputs and hidden units with an influence, where every weight is positive and nothing saturates."""
    hidden = net.first(torch.rand(1, 12) + 0.5).detach()
    tail = torch.autograd.functional.jacobian(lambda h: net.second(net.function(h).flatten(1)), hidden)
    heard = tail.reshape(2, 12).ne(0).any(0)
    fed = net.first.weight.ne(0).any(1)
    return [int(net.first.weight[heard].ne(0).any(0).sum()), int((heard & fed).sum())]


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
def test_functions_pass_on_what_their_derivatives_pass_on(function):
    net = Around(function)
    net(torch.ones(1, 12))
    for density in (0.15, 0.3):
        with torch.no_grad():
            net.first.weight.copy_(torch.rand(12, 12) * (torch.rand(12, 12) < density))
            net.second.weight.copy_(
                torch.rand(net.second.weight.shape) * torch.rand(net.second.weight.shape).gt(0.3)
            )
        assert alive(net, 12)[:2] == by_derivatives(net)  # without layers that the function itself calls


class Net(nn.Module):
    """A few layers, wired by ``forward``, a function of (net, x)."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        for name, module in modules.items():
            setattr(self, name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def found(net, *shape):
    return survivors(net, torch.ones(1, *(shape or (4,))))


def silence(layer, *units):
    with torch.no_grad():
        layer.weight[list(units)] = 0


def deafen(layer, *units):
    with torch.no_grad():
        layer.weight[:, list(units)] = 0


def test_a_gate_that_died_lets_through_what_it_gates():
    net = Net(lambda net, x: net.head(net.second(x) * torch.sigmoid(net.first(x))))
    silence(net.first, 0, 1)
    assert found(net).alive.tolist() == [[4, 2]]  # in the order of calls
    net = Net(lambda net, x: net.head(net.second(x) * net.first(x).relu()))
    silence(net.first, 0, 1)
    assert found(net).alive.tolist() == [[2, 2]]


def test_a_maximum_over_neurons_hears_all_of_them():
    net = Net(lambda net, x: net.head(net.second(F.max_pool1d(net.first(x)[:, None], 4)[:, 0].expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]
    net = Net(lambda net, x: net.head(net.second(net.first(x).amax(1, keepdim=True).expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]
    net = Net(lambda net, x: net.head(net.second(net.first(x).max(1, keepdim=True).values.expand(1, 4))))
    assert found(net).alive.tolist() == [[4, 4]]


def test_a_maximum_with_its_place_is_a_maximum():
    net = Net(
        lambda net, x: net.head(
            net.second(F.max_pool1d(net.first(x)[:, None], 4, return_indices=True)[0][:, 0].expand(1, 4))
        )
    )
    silence(net.first, 0)
    result = found(net)
    assert (result.alive.tolist(), result.notes) == ([[3, 4]], ())


def test_rows_may_be_gone_through_one_by_one():
    net = Net(lambda net, x: torch.stack([net.head(net.first(row)) for row in x]))
    silence(net.first, 0)
    result = found(net)
    assert (result.alive.tolist(), result.notes) == ([[3]], ())


def test_a_layer_called_twice_is_alive_where_either_call_is():
    net = Net(lambda net, x: net.head(net.second(net.first(net.second(x)))))
    silence(net.second, 0)
    deafen(net.head, 1, 2, 3)
    deafen(net.first, 3)
    assert found(net).layers == ("second", "first")
    assert found(net).neurons == (4, 4)
    assert found(net).alive.tolist() == [[0, 0]]  # the head hears unit 0 alone, which nothing feeds
    with torch.no_grad():
        net.second.weight[0, 0] = 1  # fed by unit 0 of the first, which hears units 0, 1 and 2
    assert found(net).alive.tolist() == [[3, 1]]


def test_layers_are_named_after_the_module_that_runs():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Parameter(torch.ones(5, 4)), nn.Parameter(torch.ones(4, 5))

        def forward(self, x):
            return F.linear(F.linear(x, weight=self.up, bias=None), self.down)

    own = Own()
    net = Net(lambda net, x: net.head(own(own(x))), block=nn.ModuleList([own]))
    result = found(net)
    assert dict(zip(result.layers, result.neurons, strict=True)) == {"block.0": 5, "block.0[1]": 4}


def test_a_layer_in_a_mask_has_the_name_of_the_mask():
    net = Net(
        lambda net, x: net.head(net.mask(x)), mask=HebbMask(nn.Linear(4, 3), ["weight"]), head=nn.Linear(3, 2)
    )
    net.mask.masks()["weight"][1] = False
    result = found(net)
    assert (result.layers, result.alive.tolist()) == (("mask",), [[2]])


def test_masks_of_convolutions_and_inputs_count():
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        Stamina(3, dim=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        InputStamina(12),
        nn.Linear(12, 2),
    )
    net[1].alive[0] = False
    net[4].alive[4:8] = False
    assert found(net, 1, 4, 4).alive.tolist() == [[1]]


def test_what_is_not_followed_is_alive_and_named():
    net = Net(
        lambda net, x: net.head(net.rnn(net.first(x)[:, None])[0][:, 0]), rnn=nn.LSTM(4, 4, batch_first=True)
    )
    silence(net.first, 0)
    assert found(net).alive.tolist() == [[3]]
    assert found(net).notes == ("not followed: lstm in rnn",)
    net.first.weight.data.zero_()
    assert found(net).alive.tolist() == [[0]]


def test_attention_is_not_followed_but_the_layers_around_it_are():
    net = Net(
        lambda net, x: net.head(net.second(net.attention(*[net.first(x)] * 3)[0].mean(1))),
        attention=nn.MultiheadAttention(4, 2, batch_first=True),
    )
    deafen(net.head, 0)
    result = found(net, 3, 4)
    assert result.alive.tolist() == [[4, 3]]
    assert result.notes == ("not followed: multi_head_attention_forward in attention",)


def test_indices_as_inputs_feed_embeddings():
    net = Net(lambda net, x: net.head(net.first(net.words(x).mean(1)).relu()), words=nn.Embedding(9, 4))
    with torch.no_grad():
        net.words.weight[:, :3] = 0
    deafen(net.first, 3)
    result = survivors(net, torch.zeros(1, 5, dtype=torch.int64))
    assert (result.alive.tolist(), result.inputs.tolist()) == ([[0]], [0])
    with torch.no_grad():
        net.first.weight[1, 3] = 1
    result = survivors(net, torch.zeros(1, 5, dtype=torch.int64))
    assert (result.alive.tolist(), result.inputs.tolist(), result.notes) == ([[1]], [5], ())


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda net, x: net.head(net.first(x) if x.sum() > 0 else x), "its path depends on values (bool)"),
        (lambda net, x: net.head(net.first(x)[:, :2]), "RuntimeError: "),
        (
            lambda net, x: net.head(x + Hidden.apply(net.first(x))),
            "HiddenBackward in Net cannot be looked into",
        ),
        (lambda net, x: torch.ones(1), "nothing that can be followed leads from its input to its outputs"),
    ],
    ids=["control flow", "wrong shape", "own function", "constant"],
)
def test_where_a_net_cannot_be_followed_its_own_masks_count(forward, reason):
    net = Net(forward, units=Stamina(4))
    net.units.alive[:3] = False
    result = found(net)
    assert (result.layers, result.neurons, result.alive.tolist()) == (("units",), (4,), [[1]])
    assert result.inputs.tolist() == [4]
    (note,) = result.notes
    assert note.startswith(f"not followed: {reason}")
    assert note.endswith("; each module's own mask counts")
    with pytest.raises(NotFollowed):
        Plan.of(net, torch.ones(1, 4))


def test_without_plastic_modules_weights_say_who_is_alive_where_nothing_can_be_followed():
    net = Net(lambda net, x: bool(x.sum() > 0))
    net.mask = HebbMask(net.second, ["weight"])
    del net.second
    silence(net.first, 1)
    net.mask.masks()["weight"][2:] = False
    result = found(net)
    assert (result.layers, result.alive.tolist()) == (("first", "head"), [[3, 2]])


def test_a_model_is_left_as_it_was():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return x + torch.randn_like(x) * 0

    net = Net(
        lambda net, x: net.head(F.dropout(net.count(net.norm(net.first(x))))),
        norm=nn.BatchNorm1d(4),
        count=Counting(),
    )
    net.norm.eval()
    modes = [module.training for module in net.modules()]
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    grads = [parameter.requires_grad for parameter in net.parameters()]
    torch.manual_seed(5)
    assert not found(net).notes
    assert torch.initial_seed() == 5
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == grads
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_types_and_modes_around_make_no_difference(dtype):
    net = sparse(Residual(), 0.3)
    expected = alive(net, 4)
    net.to(dtype)
    assert alive(net, 4) == expected
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert alive(net, 4) == expected
    with torch.inference_mode():
        assert alive(net, 4) == expected


def test_a_part_without_gradients_is_followed():
    def forward(net, x):
        with torch.no_grad():
            x = net.first(x)
        return net.head(x)

    net = Net(forward)
    silence(net.first, 2)
    assert found(net).alive.tolist() == [[3]]


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


def test_outputs_may_be_nested():
    net = Net(lambda net, x: {"a": [net.head(net.first(x))], "b": (net.second(x), None)})
    assert found(net).layers == ("first",)
    assert found(net).alive.tolist() == [[4]]


def test_a_planned_call_that_does_not_come_is_an_error():
    net = Net(lambda net, x: net.head(net.first(x)))
    plan = Plan.of(net, torch.ones(1, 4))
    with pytest.raises(NotFollowed, match="not called as they were"):
        plan.survivors(stacked([Net(lambda net, x: net.head(net.second(net.first(x)))).eval()]), 1)


def test_inputs_may_be_changed_in_place():
    def forward(net, x):
        x -= 0.5
        return net.head(net.first(x.mul_(MASK[:4])))

    result = found(Net(forward))
    assert (result.alive.tolist(), result.inputs.tolist(), result.notes) == ([[4]], [3], ())


def test_a_layer_of_two_names_is_left_as_it_was():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.again = self.first
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.again(self.first(x)))

    net = Net()
    weight = net.first.weight
    assert survivors(net, torch.ones(1, 4)).alive.tolist() == [[4]]
    assert net.first.weight is weight and weight.requires_grad


def test_connections_are_alive_between_a_fed_and_a_heard_end():
    torch.manual_seed(3)
    nets = []
    for _ in range(4):
        net = nn.Sequential(
            nn.Flatten(), HebbMask(nn.Linear(6, 7), ["weight"]), nn.ReLU(), Stamina(7), nn.Linear(7, 5),
            nn.ReLU(), nn.Linear(5, 3),
        )  # fmt: skip
        net[1].masks()["weight"].copy_(torch.rand(7, 6) < 0.3)
        net[3].alive.copy_(torch.rand(7) < 0.7)
        with torch.no_grad():
            for layer in (net[4], net[6]):
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.4)
        nets.append(net)
    plan = Plan.of(nets[0], torch.ones(1, 6))
    stack = VmapStack(nets, torch.device("cpu"))
    counted = plan.connections(partial(stack.call, stacked=True), len(nets))
    assert counted.layers == ("1", "4", "6")
    assert counted.neurons == (42, 35, 15)
    for net, alive in zip(nets, counted.alive.tolist(), strict=True):
        links = [net[1].masks()["weight"], net[4].weight != 0, net[6].weight != 0]
        links[0] = links[0] & net[3].alive[:, None]
        fed, heard = [torch.ones(6, dtype=torch.bool)], [torch.ones(3, dtype=torch.bool)]
        for link in links:
            fed.append((link & fed[-1]).any(1))
        for link in links[::-1]:
            heard.append((link & heard[-1][:, None]).any(0))
        expected = [
            int((link & before & behind[:, None]).sum())
            for link, before, behind in zip(links, fed, heard[-2::-1], strict=False)
        ]
        assert alive == expected
        assert count(net).connections_alive["total"] == sum(expected)
        alone = survivors(net, torch.ones(1, 6), COUNTS["connections"])
        assert alone.alive.tolist() == [expected]


def test_connections_of_what_cannot_be_followed_are_those_that_are_not_zero():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.first(x)) if x.mean() > 0 else self.head(self.first(-x))

    net = Net()
    with torch.no_grad():
        net.first.weight[0] = 0
    counted = survivors(net, torch.ones(1, 4), COUNTS["connections"])
    assert counted.alive.tolist() == [[8, 6]]
    assert counted.neurons == (12, 6)
    assert counted.notes[0].startswith("not followed: ")
