"""Survivors, against an explicit search for paths from unit to unit."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbMask, InputStamina, Stamina
from hebbevo.nn.forward_pass.following import NotFollowed
from hebbevo.nn.liveness.counting import count
from hebbevo.nn.liveness.paths import COUNTS, LivenessPlan, survivors
from hebbevo.training.stack import VmapStack
from tests.nn.liveness.conftest import Net, clear_columns, clear_rows, count_alive, found


def sparse(net, density, generator=None):
    """Set random masks, and random weights of which all but a fraction are zero."""
    with torch.no_grad():
        for module in net.modules():
            if hasattr(module, "weight") and module.weight is not None:
                kept = torch.rand(module.weight.shape, generator=generator) < density
                module.weight.copy_(torch.randn(module.weight.shape) * kept)
            if isinstance(module, Stamina | InputStamina):
                module.alive.copy_(torch.rand(module.alive.shape, generator=generator) < 0.7)
    return net


class Graph:
    """Units and the connections between them, searched from both ends.

    Units in ``dead`` are on no path.
    """

    def __init__(self):
        self.edges = []
        self.dead = set()

    def connect(self, source, target):
        self.edges.append((source, target))

    def dense(self, sources, targets, weight):
        for j, target in enumerate(targets):
            for i, source in enumerate(sources):
                if weight[j, i] != 0:
                    self.connect(source, target)

    def reached(self, starts, forward):
        found, frontier = set(), [start for start in starts if start not in self.dead]
        while frontier:
            node = frontier.pop()
            if node in found:
                continue
            found.add(node)
            ends = [b if forward else a for a, b in self.edges if node == (a if forward else b)]
            frontier += [end for end in ends if end not in self.dead]
        return found

    def on_paths(self, inputs, outputs):
        return self.reached(inputs, True) & self.reached(outputs, False)


class Perceptron(nn.Module):
    """A multilayer perceptron whose inputs and hidden units may be dead."""

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
        reached = [living[0]]
        for link, units in zip(links, living[1:], strict=False):
            reached.append(units & (link & reached[-1]).any(1))
        used = [living[-1] & links[-1].any(0)]
        for link, units in zip(links[-2::-1], living[-2::-1], strict=True):
            used.append(units & (link & used[-1][:, None]).any(0))
        return [int((r & u).sum()) for r, u in zip(reached, reversed(used), strict=True)]


@pytest.mark.parametrize("density", [0.05, 0.15, 0.3, 1.0])
@pytest.mark.parametrize("widths", [(6, 9, 4), (5, 8, 7, 3), (12, 20, 15, 10, 4)], ids=str)
def test_perceptrons_agree_with_a_count_from_both_ends(widths, density):
    for _ in range(5):
        net = sparse(Perceptron(*widths), density)
        assert count_alive(net, widths[0]) == net.survivors()


def stacked(nets):
    """A function that evaluates nets in a stack, as a plan needs it."""
    state = stack_module_state(nets)

    def call(function, *args):
        def one(state, *args):
            return function(lambda x: functional_call(nets[0], state, (x,)), *args)

        return vmap(one)(state, *args)

    return call


def test_a_stack_is_counted_net_by_net():
    nets = [sparse(Perceptron(7, 10, 8, 3), 0.2).eval() for _ in range(6)]
    found = LivenessPlan.of(nets[0], torch.ones(1, 7)).alive_neurons(stacked(nets), 6)
    assert found.layers == ("layers.0", "layers.1")
    assert found.neurons == (10, 8)
    assert torch.column_stack([found.inputs, found.alive]).tolist() == [net.survivors() for net in nets]
    assert found.alive.dtype is found.inputs.dtype is torch.int64


def test_a_plan_does_not_depend_on_which_units_are_dead():
    live, dead = Perceptron(7, 10, 8, 3), sparse(Perceptron(7, 10, 8, 3), 0.0)
    dead.units[0].alive.zero_()
    assert LivenessPlan.of(live, torch.ones(1, 7)).calls == LivenessPlan.of(dead, torch.ones(1, 7)).calls


def test_a_net_that_collapsed_has_no_survivors():
    net = Perceptron(5, 6, 6, 2)
    net.units[1].alive.zero_()
    assert count_alive(net, 5) == [0, 0, 0]


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
        graph.dead |= {a[i] for i in range(5) if not net.units.alive[i]}
        graph.dense([*second, *side], out, net.head.weight)
        found = graph.on_paths(x, out)
        # a unit of b has a path of its own; that of the sum it is part of does not count
        assert count_alive(net, 4) == [len(found & set(nodes)) for nodes in (x, stem, a, b, side)]


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
        graph.dead |= {
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
        assert count_alive(net, 2, 5, 5) == [len(found & set(inputs)), *count]


LAYERS = ("first", "depthwise", "grouped", "hidden")


def test_forward_may_loop_over_rows():
    net = Net(lambda net, x: torch.stack([net.head(net.first(row)) for row in x]))
    clear_rows(net.first, 0)
    result = found(net)
    assert (result.alive.tolist(), result.notes) == ([[3]], ())


def test_a_layer_called_twice_is_alive_where_either_call_is():
    net = Net(lambda net, x: net.head(net.second(net.first(net.second(x)))))
    clear_rows(net.second, 0)
    clear_columns(net.head, 1, 2, 3)
    clear_columns(net.first, 3)
    assert found(net).layers == ("second", "first")
    assert found(net).neurons == (4, 4)
    assert found(net).alive.tolist() == [[0, 0]]  # the head reads unit 0 alone, which is not reached
    with torch.no_grad():
        net.second.weight[0, 0] = 1  # from unit 0 of the first, which reads units 0, 1 and 2
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
def test_types_and_modes_set_by_the_caller_make_no_difference(dtype):
    net = sparse(Residual(), 0.3)
    expected = count_alive(net, 4)
    net.to(dtype)
    assert count_alive(net, 4) == expected
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert count_alive(net, 4) == expected
    with torch.inference_mode():
        assert count_alive(net, 4) == expected


def test_a_part_under_no_grad_is_followed():
    def forward(net, x):
        with torch.no_grad():
            x = net.first(x)
        return net.head(x)

    net = Net(forward)
    clear_rows(net.first, 2)
    assert found(net).alive.tolist() == [[3]]


def test_outputs_may_be_nested():
    net = Net(lambda net, x: {"a": [net.head(net.first(x))], "b": (net.second(x), None)})
    assert found(net).layers == ("first",)
    assert found(net).alive.tolist() == [[4]]


def test_a_net_that_calls_other_layers_than_the_plan_has_is_an_error():
    net = Net(lambda net, x: net.head(net.first(x)))
    plan = LivenessPlan.of(net, torch.ones(1, 4))
    with pytest.raises(NotFollowed, match="not called as they were"):
        plan.alive_neurons(stacked([Net(lambda net, x: net.head(net.second(net.first(x)))).eval()]), 1)


def test_inputs_may_be_changed_in_place():
    def forward(net, x):
        x -= 0.5
        return net.head(net.first(x.mul_(torch.tensor([1.0, 0.0, 1.0, 1.0]))))

    result = found(Net(forward))
    assert (result.alive.tolist(), result.inputs.tolist(), result.notes) == ([[4]], [3], ())


def test_a_layer_with_two_names_is_left_as_it_was():
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


def test_a_connection_is_alive_between_a_reached_and_a_used_end():
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
    plan = LivenessPlan.of(nets[0], torch.ones(1, 6))
    stack = VmapStack(nets, torch.device("cpu"))
    counted = plan.alive_connections(partial(stack.call, stacked=True), len(nets))
    assert counted.layers == ("1", "4", "6")
    assert counted.neurons == (42, 35, 15)
    for net, alive in zip(nets, counted.alive.tolist(), strict=True):
        links = [net[1].masks()["weight"], net[4].weight != 0, net[6].weight != 0]
        links[0] = links[0] & net[3].alive[:, None]
        reached, used = [torch.ones(6, dtype=torch.bool)], [torch.ones(3, dtype=torch.bool)]
        for link in links:
            reached.append((link & reached[-1]).any(1))
        for link in links[::-1]:
            used.append((link & used[-1][:, None]).any(0))
        expected = [
            int((link & before & behind[:, None]).sum())
            for link, before, behind in zip(links, reached, used[-2::-1], strict=False)
        ]
        assert alive == expected
        assert count(net).connections_alive["total"] == sum(expected)
        alone = survivors(net, torch.ones(1, 6), COUNTS["connections"])
        assert alone.alive.tolist() == [expected]
