"""Survivors of random networks, against what is measured when a unit is fixed at a constant.

A dead branch is a constant, which need not be zero: it may be added, multiplied, divided by, or enter a
softmax. So the networks are drawn from a grammar of these.
"""

import copy
import random
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import Stamina
from hebbevo.nn.liveness.paths import LivenessPlan, survivors
from hebbevo.training.stack import VmapStack

WIDTH = 6
MASK = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 2.0])


class Units(nn.Module):
    """A linear layer, its units if it has any, and an activation."""

    def __init__(self, draw, size=WIDTH, width=WIDTH):
        super().__init__()
        self.linear = nn.Linear(size, width, bias=draw.random() < 0.8)
        self.units = Stamina(width) if draw.random() < 0.6 else nn.Identity()
        self.activation = draw.choice(
            [nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.PReLU(), nn.ReLU(), nn.Identity()]
        )

    def forward(self, x):
        return self.activation(self.units(self.linear(x)))


class Node(nn.Module):
    """A function of three branches, with layers and norms of its own."""

    def __init__(self, draw, function, branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.function = function
        self.wide = Units(draw, WIDTH * WIDTH)
        self.pair = Units(draw, 2 * WIDTH)
        self.narrow = Units(draw, WIDTH // 2)
        self.one = Units(draw, WIDTH)
        self.two = Units(draw, WIDTH)
        self.hyper = Units(draw, WIDTH, WIDTH * WIDTH)
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.group_norm = nn.GroupNorm(2, WIDTH)
        self.rms_norm = nn.RMSNorm(WIDTH)
        self.batch_norm = nn.BatchNorm1d(WIDTH)
        self.bilinear = nn.Bilinear(WIDTH, WIDTH, WIDTH)
        for norm in (self.layer_norm, self.group_norm, self.batch_norm):
            nn.init.normal_(norm.bias)

    def forward(self, x):
        return self.function(self, *(branch(x) for branch in self.branches))


def tokens(net, a, b, c):
    """Three tokens and a layer for each of queries, keys and values."""
    x = torch.stack([a, b, c], 1)
    return net.one(x), net.two(x), x


def attended(net, a, b, c):
    query, key, value = tokens(net, a, b, c)
    return torch.bmm((query @ key.mT).softmax(-1), value).mean(1)


def mixture(net, a, b, c):
    gates = net.narrow(a[:, :3])[:, :2].softmax(1)
    return gates[:, :1] * net.one(b) + gates[:, 1:] * net.two(c)


def chosen_experts(net, a, b, c):
    size, place = a[:, :3].topk(2)
    experts = torch.stack([net.one(b), net.two(c), c], 1)
    chosen = experts.gather(1, place[..., None].expand(-1, -1, WIDTH))
    return (size.softmax(1)[..., None] * chosen).sum(1)


def assigned(net, a, b, c):
    y = torch.ones_like(a)
    y[:, 1:4] = a[:, :3]
    y *= b
    y[:, 0] += c[:, 1]
    return y


EXACT = {
    "layer": lambda net, a, b, c: net.one(a),
    "sum": lambda net, a, b, c: a + b - 0.5,
    "residual": lambda net, a, b, c: a + net.two(a),
    "product": lambda net, a, b, c: a * b,
    "masked product": lambda net, a, b, c: a * MASK * (b + MASK),
    "three factors": lambda net, a, b, c: a * b * c,
    "one plus gate": lambda net, a, b, c: (1 + a) * b,
    "gate": lambda net, a, b, c: a * torch.sigmoid(b),
    "hard gate": lambda net, a, b, c: a * b.relu(),
    "gate in place": lambda net, a, b, c: a.clone().mul_(b.sigmoid()).add_(c),
    "glu": lambda net, a, b, c: F.glu(torch.cat([a, b], 1), 1),
    "swiglu": lambda net, a, b, c: net.two(F.silu(net.one(a)) * b),
    "film": lambda net, a, b, c: net.one(b) * a + net.two(b),
    "squeeze": lambda net, a, b, c: a * torch.sigmoid(net.one(b.mean(1, keepdim=True).expand(-1, WIDTH))),
    "quotient": lambda net, a, b, c: a / (2 + b.square()),
    "softmax gate": lambda net, a, b, c: a.softmax(1) * b,
    "log softmax": lambda net, a, b, c: net.one(a.log_softmax(-1)),
    "mixture": mixture,
    "layer norm": lambda net, a, b, c: net.layer_norm(a) * b,
    "group norm": lambda net, a, b, c: net.group_norm(a) + b,
    "rms norm": lambda net, a, b, c: net.rms_norm(a),
    "normalize": lambda net, a, b, c: F.normalize(a),
    "batch norm": lambda net, a, b, c: net.batch_norm(a) * b,
    "einsum": lambda net, a, b, c: net.wide(torch.einsum("bi,bj->bij", a, b).flatten(1)),
    "matmul": lambda net, a, b, c: net.wide((a[:, :, None] @ b[:, None]).flatten(1)),
    "bilinear": lambda net, a, b, c: net.bilinear(a, b),
    "hypernetwork": lambda net, a, b, c: (net.hyper(a).view(-1, WIDTH, WIDTH) @ b[..., None])[..., 0],
    "concatenation": lambda net, a, b, c: net.pair(torch.cat([a, b], 1)),
    "constant choice": lambda net, a, b, c: torch.where(MASK > 0, a, b),
    "lerp": lambda net, a, b, c: torch.lerp(a, b, c),
    "addcmul": lambda net, a, b, c: torch.addcmul(a, b, c),
    "power": lambda net, a, b, c: (a.square() + 2) ** b,
    "cumulative": lambda net, a, b, c: a.cumsum(1) * b,
    "product of all": lambda net, a, b, c: a * (1 + b).prod(1, keepdim=True),
    "mean": lambda net, a, b, c: a.mean(1, keepdim=True) * b,
    "assigned": assigned,
}
"""Functions that can be followed exactly."""

SAFE = {
    # a softmax does not see what all its elements have in common
    "attention": attended,
    "choice": lambda net, a, b, c: torch.where(a > b, b, c),
    "clamp": lambda net, a, b, c: a.clamp(max=b),
    "sort": lambda net, a, b, c: a.sort(1).values * b,
    "largest": lambda net, a, b, c: a.amax(1, keepdim=True) * b,
    "experts": chosen_experts,
    "argmax": lambda net, a, b, c: b * F.one_hot(a.argmax(1), WIDTH),
    "attention function": lambda net, a, b, c: F.scaled_dot_product_attention(*tokens(net, a, b, c)).sum(1),
    "cosine": lambda net, a, b, c: a * F.cosine_similarity(b, c)[:, None],
    "overwritten": lambda net, a, b, c: a.masked_fill(b > 0, 1.0),
    "product of sizes": lambda net, a, b, c: a * b.cumprod(1),
}
"""Functions for which the count may be too large."""


def random_net(seed, functions, depth=2):
    """A tree of random functions of layers, with random deaths, and its inputs."""
    draw = random.Random(seed)
    torch.manual_seed(seed)

    def grown(depth):
        if depth == 0:
            return Units(draw)
        function = functions[draw.choice(sorted(functions))]
        return Node(draw, function, [grown(draw.randrange(depth)) for _ in range(3)])

    net = nn.Sequential(grown(depth), nn.Linear(WIDTH, 2)).double().eval()
    x = torch.randn(40, WIDTH, dtype=torch.float64)
    leave_out_unused(net, x)
    with torch.no_grad():
        for module in net.modules():
            kind, part = draw.random(), draw.choice([0.2, 0.5, 1.0])
            if isinstance(module, Stamina) and kind < 0.5:
                module.alive[torch.rand(len(module.alive)) < part] = False
            elif isinstance(module, nn.Linear) and kind < 0.25 and module is not net[1]:
                dead = torch.rand(len(module.weight)) < part
                module.weight[dead] = 0
                if module.bias is not None and draw.random() < 0.5:
                    module.bias[dead] = 0
            elif isinstance(module, nn.Linear) and kind < 0.4:
                module.weight[:, torch.rand(module.weight.shape[1]) < 0.4] = 0
            elif isinstance(module, nn.LayerNorm | nn.BatchNorm1d) and kind < 0.3:
                module.weight[torch.rand(WIDTH) < part] = 0
    return net, x


def leave_out_unused(net, x):
    """Remove the layers and norms that the functions do not call."""
    called = set()
    hooks = [
        module.register_forward_hook(lambda module, *call: called.add(module)) for module in net.modules()
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    for node in [module for module in net.modules() if isinstance(module, Node)]:
        for name, child in [*node.named_children()]:
            if child not in called and name != "branches":
                delattr(node, name)


def changed_by_constants(net, x, layers, constant=None):
    """Which units of these layers change more than a constant of the outputs when they are fixed.

    They are fixed at ``constant``, by default their value for the first row.
    """
    modules = [net.get_submodule(name) for name in layers]
    sizes = [module.out_features for module in modules]
    rows, blocks, offset = len(x), 1 + sum(sizes), 1
    hooks = []

    def fix(module, args, output, offset):
        output = output.clone()
        for unit in range(output.shape[-1]):
            block = output[(offset + unit) * rows :][:rows]
            block[..., unit] = block[:1, ..., unit] if constant is None else constant
        return output

    for module, size in zip(modules, sizes, strict=True):
        hooks.append(module.register_forward_hook(lambda *call, offset=offset: fix(*call, offset)))
        offset += size
    with torch.no_grad():
        y = net(x.repeat(blocks, 1)).view(blocks, rows, -1)
    for hook in hooks:
        hook.remove()
    change = y[1:] - y[:1]
    spread = (change - change[:, :1]).abs().amax((1, 2)) / (1 + y.abs().max())
    return (spread > 1e-10).split(sizes)


def redraw(net):
    """Draw anew all weights that are not zero."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Bilinear):
                module.weight.copy_(torch.randn_like(module.weight).mul(0.7) * (module.weight != 0))


def alive_units(net, x):
    plan = LivenessPlan.of(net, x[:1])
    parts = zip(plan.calls, plan.alive_parts(net), strict=True)
    alive = {call.name: part.units for call, part in parts if call.hidden}
    counted = survivors(net, x[:1])
    assert counted.alive[0].tolist() == [int(each.sum()) for each in alive.values()]
    return alive


def undercounted(alive, changed):
    """Layers with units that are counted dead, though they change the outputs."""
    return [
        name for name, changes in zip(alive, changed, strict=True) if bool((changes & ~alive[name]).any())
    ]


def overcounted(alive, changed):
    """Layers with units that are counted alive, though they change nothing."""
    return [
        name for name, changes in zip(alive, changed, strict=True) if bool((alive[name] & ~changes).any())
    ]


@pytest.mark.parametrize("first", [0, 30])
def test_a_unit_is_dead_exactly_where_fixing_it_changes_no_output_beyond_a_constant(first):
    for seed in range(first, first + 30):
        net, x = random_net(seed, EXACT)
        alive = alive_units(net, x)
        changed = changed_by_constants(net, x, alive)
        assert not undercounted(alive, changed), seed
        for _ in range(12):  # alive means that it does for some weights
            if not overcounted(alive, changed):
                break
            redraw(net)
            changed = [
                before | now for before, now in zip(changed, changed_by_constants(net, x, alive), strict=True)
            ]
        assert not overcounted(alive, changed), seed


def test_where_functions_cannot_be_followed_exactly_no_unit_that_matters_is_counted_dead():
    for seed in range(30):
        net, x = random_net(seed, {**dict.fromkeys(["layer", "product"], EXACT["product"]), **SAFE})
        alive = alive_units(net, x)
        assert not undercounted(alive, changed_by_constants(net, x, alive)), seed


def test_networks_in_a_stack_have_constants_of_their_own():
    net, x = random_net(3, {"product": EXACT["gate in place"]})
    nets = [copy.deepcopy(net) for _ in range(4)]
    for seed, each in enumerate(nets):
        torch.manual_seed(seed)
        for module in each.modules():
            if isinstance(module, Stamina):
                module.alive.copy_(torch.rand(WIDTH) < 0.5)
    stack = VmapStack(nets, torch.device("cpu"))
    plan = LivenessPlan.of(net, x[:1])
    counted = plan.alive_neurons(partial(stack.call, stacked=True), len(nets))
    assert counted.alive.tolist() == [survivors(each, x[:1]).alive[0].tolist() for each in nets]
