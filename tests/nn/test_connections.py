"""Masked modules: calls, knobs, connections that are out, copies, stacks, refusals and attachment."""

import copy
import gc
import io
import itertools
import pickle
import shutil
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import HebbMask, PlasticConnections, attach, masked, plastic_connections, plastic_modules
from hebbevo.nn.wiring import Wiring, set_attached
from hebbevo.rules import CONNECTIONS, ConnectionRule
from hebbevo.training.stack import VmapStack
from hebbevo.training.structure import structure
from tests.nn.conftest import NEVER

CPU = torch.device("cpu")


class Block(nn.Module):
    """A convolution and a linear layer with an in-place activation between them."""

    def __init__(self, inplace=True):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Linear(4 * 16, 5)

    def forward(self, x):
        return self.fc(self.norm(self.relu(self.conv(x))).flatten(1))


def block(**knobs):
    """A masked block whose masks change within a few steps."""
    return HebbMask(Block(), ["conv.weight", "fc.weight"], **({"permanence_rate": 100.0} | knobs))


def scripted(weight, **knobs):
    """A linear layer whose permanences only the test moves."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
    return HebbMask(layer, ["weight"], permanence_rate=0.0, **knobs)


def batches(steps, shape=(8, 2, 4, 4), classes=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(shape, generator=generator).to(dtype)
        yield x, torch.randint(classes, shape[:1], generator=generator)


def train(net, data, call=None):
    """Train with momentum and weight decay; returns the losses, and how often a connection changed."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    losses, changed = [], 0
    for x, y in data:
        before = {name: mask.clone() for name, mask in net.masks().items()}
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x) if call is None else call(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        changed += sum(int((mask != before[name]).sum()) for name, mask in net.masks().items())
    return losses, changed


def assert_same_state(net, other, **tolerance):
    theirs = other.state_dict()
    assert net.state_dict().keys() == theirs.keys()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, theirs[name], **tolerance)


def test_an_input_without_a_batch_axis_is_a_batch_of_one():
    one = HebbMask(nn.Conv2d(2, 3, 3, padding=1), ["weight"])
    other = copy.deepcopy(one)
    x = torch.randn(2, 5, 5)
    assert torch.equal(one(x), other(x[None])[0])
    assert_same_state(one, other)


def test_every_position_of_leading_axes_is_a_sample():
    one = HebbMask(nn.Linear(6, 3), ["weight"])
    other = copy.deepcopy(one)
    x = torch.randn(4, 5, 6)
    torch.testing.assert_close(one(x).flatten(0, 1), other(x.flatten(0, 1)))
    assert_same_state(one, other)
    one(x[0, 0])
    other(x[0, :1])
    assert_same_state(one, other)


def test_calls_of_a_layer_in_one_forward_add_up_to_the_mean_over_all_of_them():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x, z):
            return self.fc(x), self.fc(input=z)

    twice = HebbMask(Twice(), ["fc.weight"])
    once = HebbMask(copy.deepcopy(twice.module.fc), ["weight"])
    x, z = torch.randn(4, 3), torch.randn(7, 3)
    twice(x, z=z)
    once(torch.cat([x, z]))
    torch.testing.assert_close(twice.permanences()["fc.weight"], once.permanences()["weight"])
    assert twice.steps == once.steps == 1


def test_permanences_of_a_layer_that_is_not_called_stay():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x, first):
            return self.one(x) if first else self.two(x)

    net = HebbMask(Either(), ["one.weight", "two.weight"], permanence_decay=0.5)
    net(torch.randn(4, 3), first=False)
    assert (net.permanences()["one.weight"] == 1).all()
    assert (net.permanences()["two.weight"] < 0.9).all()


def test_changes_in_place_after_a_layer_do_not_reach_the_rule():
    net = block(permanence_rate=1.0)
    other = copy.deepcopy(net)
    other.module.relu = nn.ReLU()
    x = torch.randn(8, 2, 4, 4)
    net(x)
    other(x)
    assert_same_state(net, other)
    assert (net.permanences()["conv.weight"] != 1).any()


# knobs


def test_permanences_and_masks_stay_in_the_settling_phase():
    net, data = block(settle=0.25), list(batches(40))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer, total_steps=40)
    seen = []
    for x, y in data:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        seen.append(
            torch.cat([each.flatten() for each in (*net.permanences().values(), *net.masks().values())])
        )
    changes = [not torch.equal(before, after) for before, after in itertools.pairwise(seen)]
    assert changes == [True] * 29 + [False] * 10
    assert not torch.equal(seen[0], seen[29])
    assert net.is_event(torch.arange(1, 41)).tolist() == [True] * 30 + [False] * 10


def test_settle_needs_the_length_of_the_training(complaint):
    net = scripted([[1.0, 1.0]], settle=0.5)
    assert complaint(net, torch.ones(1, 2)) == (
        "HebbMask: settle needs more than the module alone; "
        "call hebbevo.nn.attach(model, optimizer, total_steps=N)"
    )
    net.eval()(torch.ones(1, 2))
    net.train().configure(settle=0.0)
    net(torch.ones(1, 2))
    net.configure(settle=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert complaint(attach, net, optimizer) == (
        "attach: settle needs the training's length; give attach(..., total_steps=N)"
    )
    attach(net, optimizer, total_steps=10)
    net(torch.ones(1, 2))


def test_knobs_can_be_set_after_construction():
    early = scripted([[1.0, 2.0]], initial_permanence=0.5, prune_threshold=-0.25, update_form="agreement")
    late = scripted([[1.0, 2.0]])
    late.configure(initial_permanence=0.5, prune_threshold=-0.25, update_form="agreement")
    assert (late.permanences()["weight"] == 0.5).all()
    assert_same_state(early, late)


# connections that are out


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("weight", [3.0, float("inf"), float("nan")])
def test_a_connection_that_is_out_has_no_effect_and_no_gradient(weight, training):
    net = scripted([[weight, 2.0]])
    net.masks()["weight"][0, 0] = False
    net.permanences()["weight"][0, 0] = -1
    net.train(training)
    x = torch.tensor([[5.0, 7.0]], requires_grad=True)
    y = net(x)
    y.sum().backward()
    assert y.tolist() == [[14.0]]
    assert x.grad.tolist() == [[0.0, 2.0]]
    assert net.module.weight.grad.tolist() == [[0.0, 7.0]]
    assert net.weights()["weight"].tolist() == [[0.0, 2.0]]


OPTIMIZERS = {
    "SGD with momentum": lambda parameters: torch.optim.SGD(
        parameters, lr=0.1, momentum=0.9, weight_decay=0.1
    ),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("which", OPTIMIZERS)
def test_a_connection_that_enters_again_has_its_old_weight(which):
    net = scripted([[0.5, -0.75, 0.25]])
    raw = net.module.weight
    optimizer = OPTIMIZERS[which](net.parameters())

    def step(permanence):
        net.permanences()["weight"][0, 1] = permanence
        optimizer.zero_grad()
        net(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        return raw[0, 1].item()

    for _ in range(3):
        step(1.0)
    old = step(-1.0)  # still in during this step, so its weight is trained once more
    assert not net.masks()["weight"][0, 1]
    drifted = [step(-1.0) for _ in range(4)] + [step(1.0)]
    assert all(weight != old for weight in drifted)
    assert net.masks()["weight"][0, 1]
    assert net.weights()["weight"][0, 1].item() == old
    inputs = torch.tensor([[0.0, 1.0, 0.0]])
    assert net.eval()(inputs).item() == old
    assert net.train()(inputs).item() == old
    assert raw[0, 1].item() == old


def test_weights_of_connections_that_are_in_are_trained_as_without_a_mask():
    net, plain = scripted([[0.5, -0.75]]), nn.Linear(2, 1, bias=False)
    plain.load_state_dict(net.module.state_dict())
    for model in (net, plain):
        torch.manual_seed(1)
        optimizer = OPTIMIZERS["AdamW"](model.parameters())
        for _ in range(10):
            optimizer.zero_grad()
            model(torch.randn(4, 2)).square().sum().backward()
            optimizer.step()
    assert torch.equal(net.module.weight, plain.weight)


def test_two_forwards_before_a_backward_pass_give_the_gradient_of_both():
    net = block().double()
    train(net, batches(3, dtype=torch.float64))
    single, (x, z) = copy.deepcopy(net), torch.randn(2, 8, 2, 4, 4, dtype=torch.float64)
    net.zero_grad()
    (net(x).square().sum() + net(z).square().sum()).backward()
    for inputs in (x, z):
        single(inputs).square().sum().backward()
    assert_same_state(net, single)
    for ours, theirs in zip(net.parameters(), single.parameters(), strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)


def test_sparsity_is_the_fraction_of_all_masked_connections_that_are_out():
    net = block()
    assert net.sparsity() == 0
    net.masks()["conv.weight"][0] = False
    assert net.sparsity().item() == pytest.approx(9 / (4 * 9 + 5 * 64))


# saving, copying and precision


def test_evaluation_changes_nothing():
    net = block()
    train(net, batches(10))
    assert 0 < net.sparsity() < 1
    before = copy.deepcopy(net.state_dict())
    net.eval()
    for x, _ in batches(3):
        net(x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_raw_weights_are_the_only_parameters_and_keep_their_names():
    names = [name for name, _ in block().named_parameters()]
    assert names == [f"module.{name}" for name, _ in Block().named_parameters()]
    assert list(plastic_modules(nn.Sequential(nn.ReLU(), block()))) == ["1"]


def test_a_training_continues_in_a_fresh_module_with_the_state_dict():
    net, data = block(), list(batches(20))
    train(net, data[:10])
    assert 0 < net.sparsity() < 1
    fresh = block(permanence_rate=0.1, hysteresis=0.25)
    fresh.load_state_dict(net.state_dict())
    assert train(net, data[10:]) == train(fresh, data[10:])
    assert_same_state(net, fresh, rtol=0, atol=0)


def pickled(net):
    return pickle.loads(pickle.dumps(net))


def saved(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("way", [copy.deepcopy, pickled, saved])
def test_a_copy_continues_independently(way):
    net, data = block(), list(batches(20))
    train(net, data[:10])
    before = copy.deepcopy(net.state_dict())
    copied = way(net)
    theirs = train(copied, data[10:])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert theirs[1] > 0
    assert train(net, data[10:]) == theirs
    assert_same_state(net, copied, rtol=0, atol=0)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, where it starts its compiler
def test_compiled_as_one_graph_it_has_the_same_forward_and_backward_pass():
    net = block().double()
    compiled = copy.deepcopy(net)
    torch._dynamo.reset()
    ours = train(net, batches(20, dtype=torch.float64))
    theirs = train(compiled, batches(20, dtype=torch.float64), torch.compile(compiled, fullgraph=True))
    assert ours[1] == theirs[1] > 50
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-9)
    assert_same_state(net, compiled, rtol=1e-9, atol=1e-12)
    evaluated = torch.compile(compiled.eval(), fullgraph=True, backend="aot_eager")
    (x, _), *_ = batches(1, dtype=torch.float64)
    torch.testing.assert_close(evaluated(x), net.eval()(x))


def test_under_autocast_permanences_are_those_of_single_precision():
    net = HebbMask(nn.Linear(300, 7), ["weight"], prune_threshold=NEVER)
    x, weight = torch.randn(33, 300), net.module.weight.detach().double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    assert y.dtype == torch.bfloat16
    P = net.permanences()["weight"]
    assert P.dtype == torch.float32
    exact = 1 + 0.1 * (y.detach().double().T @ x.double()) / 33 * weight
    torch.testing.assert_close(P.double(), exact.clamp(max=1), rtol=0, atol=1e-6)


def test_low_precision_weights_have_single_precision_permanences():
    net = HebbMask(nn.Linear(6, 3).bfloat16(), ["weight"])
    assert net(torch.randn(4, 6).bfloat16()).dtype == torch.bfloat16
    assert net.permanences()["weight"].dtype == torch.float32


DIFFERENT = [
    {},
    {"update_form": "agreement", "permanence_rate": 0.5},
    {"update_interval": 3, "hysteresis": 0.25, "prune_threshold": 0.125},
    {"permanence_decay": 0.125, "prune_threshold": 0.25, "permanence_rate": 30.0},
    {"warmup": 6, "settle": 0.25, "permanence_bound": 0.5, "initial_permanence": 0.25},
]


def test_nets_with_different_knobs_are_of_one_structure():
    assert len({structure(block(**knobs)) for knobs in DIFFERENT}) == 1
    assert structure(HebbMask(Block(), ["fc.weight"])) != structure(block())


@pytest.mark.parametrize(
    "make", [lambda **k: block(**k), lambda **k: sequential(**k)], ids=["conv", "linear"]
)
def test_stacked_nets_with_different_knobs_are_trained_as_each_net_by_itself(make):
    nets = [make(**knobs).double() for knobs in DIFFERENT]
    for net in nets:
        net.begin(20)
    data = list(batches(20, dtype=torch.float64))
    stack, wiring = VmapStack(nets, CPU), Wiring(nets[0])
    set_attached(stack.module)
    optimizer = torch.optim.SGD(stack.trained.values(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for x, y in data:
        optimizer.zero_grad()
        losses = stack.call(lambda net, x=x, y=y: F.cross_entropy(net(x), y), training=True)
        losses.sum().backward()
        optimizer.step()
        with torch.no_grad():
            wiring.restructure(stack.tensors, {}, None)
    changed = []
    for row, net in enumerate(nets):
        net.configure(settle=0.0)  # which a module alone refuses
        net.settle.fill_(DIFFERENT[row].get("settle", 0.0))
        changed.append(train(net, data)[1])
        for name, value in net.named_parameters():
            torch.testing.assert_close(stack.trained[name][row], value, rtol=1e-8, atol=1e-10)
        for name, value in net.named_buffers():
            torch.testing.assert_close(stack.state[name][row], value, rtol=1e-8, atol=1e-10)
    assert min(changed) > 0
    assert len(set(changed)) > 1


@pytest.mark.parametrize(
    "make", [lambda **k: block(**k), lambda **k: sequential(**k)], ids=["conv", "linear"]
)
def test_stacked_unattached_masks_change_as_those_of_each_net_by_itself(make):
    nets = [make(**knobs).double() for knobs in DIFFERENT[:4]]
    stack = VmapStack(nets, CPU)
    for x, _ in batches(10, dtype=torch.float64):
        stack.call(lambda net, x=x: net(x), training=True)
        for net in nets:
            net(x)
    for name, value in stack.state.items():
        alone = torch.stack([net.state_dict()[name] for net in nets])
        torch.testing.assert_close(value.detach(), alone, rtol=1e-8, atol=1e-10)
    assert all(0 < net.sparsity() < 1 for net in nets)


def sequential(**knobs):
    layers = nn.Sequential(nn.Flatten(), nn.Linear(32, 9), nn.Tanh(), nn.Linear(9, 5))
    return HebbMask(layers, ["1.weight", "3.weight"], **({"permanence_rate": 100.0} | knobs))


def test_no_tensor_of_a_forward_pass_is_kept():
    net = block()
    x = torch.randn(8, 2, 4, 4)
    seen = [weakref.ref(x)]
    net.module.norm.register_forward_hook(lambda layer, args, y: seen.extend(map(weakref.ref, (*args, y))))
    seen.append(weakref.ref(net(x)))
    del x
    gc.collect()
    assert [ref() for ref in seen] == [None] * 4


def test_a_forward_pass_that_fails_and_calls_of_the_inner_module_change_nothing():
    net = block()
    other = copy.deepcopy(net)
    with pytest.raises(RuntimeError):
        net(torch.randn(8, 2, 5, 5))  # the convolution is called, the linear layer cannot be
    net.module.norm.load_state_dict(other.module.norm.state_dict())
    net.module.fc(torch.randn(3, 64))
    assert train(net, batches(5)) == train(other, batches(5))
    assert_same_state(net, other, rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_the_same():
    net = block().double()
    moved = copy.deepcopy(net).cuda()
    made = HebbMask(Block().cuda(), ["fc.weight"])
    assert all(buffer.is_cuda for buffer in made.buffers())
    data = list(batches(20, dtype=torch.float64))
    _, changed = train(net, data)
    assert changed == train(moved, [(x.cuda(), y.cuda()) for x, y in data])[1] > 0
    assert_same_state(net, moved.cpu(), rtol=1e-8, atol=1e-10)


def test_tied_weights_are_masked_wherever_they_are_used():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5)
            self.out.weight = self.table.weight

        def forward(self, tokens):
            return self.table(tokens), self.out(self.table(tokens))

    net = HebbMask(Tied(), ["out.weight"])
    net.masks()["out.weight"][2, 1] = False
    embedded, _ = net(torch.tensor([2]))
    assert embedded[0, 1] == 0
    assert embedded[0, 0] != 0


def test_subclasses_of_its_layers_are_masked():
    class Scaled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    net = HebbMask(Scaled(3, 2), ["weight"], prune_threshold=NEVER)
    plain = HebbMask(nn.Linear(3, 2), ["weight"], permanence_rate=0.2, prune_threshold=NEVER)
    plain.module.load_state_dict(net.module.state_dict())
    x = torch.randn(4, 3)
    net(x)
    plain(x)
    torch.testing.assert_close(net.permanences()["weight"], plain.permanences()["weight"])


def test_its_repr_names_the_masked_parameters_and_shows_the_module():
    text = repr(block())
    assert "conv.weight, fc.weight" in text
    assert "(fc): Linear(in_features=64, out_features=5, bias=True)" in text


# errors


def test_an_unknown_parameter_is_named_with_the_closest_known_one(complaint):
    line = complaint(HebbMask, Block(), ["cov.weight"])
    assert line == "HebbMask: unknown parameter 'cov.weight'; did you mean conv.weight?"


@pytest.mark.parametrize("names", [[], "weight"])
def test_names_are_a_list_of_one_or_more(names, complaint):
    line = complaint(HebbMask, nn.Linear(2, 2), names)
    assert line == 'HebbMask: name the parameters to mask in a list, for example ["weight"]'


def test_a_parameter_given_twice_is_an_error(complaint):
    line = complaint(HebbMask, Block(), ["fc.weight", "fc.weight"])
    assert line == "HebbMask: 'fc.weight' and 'fc.weight' are one parameter; name it once"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.Linear(2, 2), "bias"),
        (nn.BatchNorm1d(2), "weight"),
        (nn.LSTM(2, 2), "weight_ih_l0"),
        (nn.Bilinear(2, 2, 2), "weight"),
        (nn.ConvTranspose1d(2, 2, 2), "weight"),
        (nn.MultiheadAttention(2, 1), "out_proj.weight"),
    ],
)
def test_a_parameter_that_cannot_be_masked_is_refused_with_a_list_of_those_that_can(module, name, complaint):
    line = complaint(HebbMask, module, [name])
    assert line.startswith(f"HebbMask: cannot mask {name!r} of ")
    assert line.endswith("name the weight of an nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d that is called")


def test_a_weight_without_a_shape_is_an_error(complaint):
    line = complaint(HebbMask, nn.LazyLinear(3), ["weight"])
    assert line == "HebbMask: 'weight' has no shape yet; call the module once before masking it"


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"permanence_rat": 1.0}, "unknown knob 'permanence_rat'; did you mean permanence_rate?"),
        ({"hysteresis": -1.0}, "hysteresis: -1.0 is outside its range; write a number of 0 or more"),
        ({"update_form": "sum"}, "update_form: 'sum' is not one of weighted, agreement; write one of them"),
    ],
)
def test_a_wrong_knob_is_an_error_and_leaves_the_module_alone(knobs, line, complaint):
    layer = nn.Linear(2, 2)
    assert complaint(HebbMask, layer, ["weight"], **knobs) == f"HebbMask: {line}"
    assert not layer._forward_hooks


def test_a_layer_with_two_names_and_a_tied_weight_is_masked_wherever_it_is_used():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.again = self.first
            self.tied = nn.Linear(4, 4, bias=False)
            self.tied.weight = self.first.weight

        def forward(self, x):
            return self.tied(self.again(self.first(x)))

    net = Net()
    masked = HebbMask(net, ["first.weight"], permanence_rate=0.0)
    masked.masks()["first.weight"][0] = False
    masked.permanences()["first.weight"][0] = -1.0
    x = torch.randn(3, 4)
    weight = net.first.weight * masked.masks()["first.weight"]
    masked(x).sum().backward()
    torch.testing.assert_close(masked(x), x @ weight.T @ weight.T @ weight.T)
    assert net.first.weight is net.tied.weight
    assert isinstance(net.first.weight, nn.Parameter)
    assert not net.first.weight.grad[0].any() and net.first.weight.grad[1].all()


@pytest.mark.parametrize("where", ["around", "inside"])
def test_gradient_checkpointing_is_refused(where):
    from torch.utils.checkpoint import checkpoint

    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return checkpoint(self.fc, x, use_reentrant=False)

    masked = HebbMask(nn.Linear(4, 4), ["weight"]) if where == "around" else HebbMask(Inside(), ["fc.weight"])
    x = torch.randn(3, 4, requires_grad=True)
    y = checkpoint(masked, x, use_reentrant=False) if where == "around" else masked(x)
    with pytest.raises(UsageError, match="leave it out of gradient checkpointing"):
        y.sum().backward()


def test_arguments_that_are_no_module_or_no_names_are_refused_in_one_line():
    for arguments in (("x", ["weight"]), (nn.Linear(2, 2), [0])):
        with pytest.raises(UsageError) as caught:
            HebbMask(*arguments)
        assert len(str(caught.value).splitlines()) == 1


# attached


def attach_sgd(net, **settings):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    return optimizer, attach(net, optimizer, **settings)


def test_attached_masks_change_after_the_step_of_the_optimizer_and_not_in_forward():
    net = block()
    optimizer, _ = attach_sgd(net)
    changed = [0, 0]
    for x, y in batches(10):
        optimizer.zero_grad()
        for when, run in enumerate([lambda x=x, y=y: F.cross_entropy(net(x), y).backward(), optimizer.step]):
            before = {name: mask.clone() for name, mask in net.masks().items()}
            run()
            changed[when] += sum(int((mask != before[name]).sum()) for name, mask in net.masks().items())
    assert changed[0] == 0
    assert changed[1] > 50


@pytest.mark.parametrize(
    "make", [lambda: block(), lambda: nn.Sequential(block(), nn.ReLU(), nn.Linear(5, 5))]
)
def test_attached_masks_change_as_unattached_ones(make):
    alone = make()
    net, data = copy.deepcopy(alone), list(batches(20))
    losses = []
    for each in (alone, net):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        if each is net:
            attach(net, optimizer)
        for x, y in data:
            optimizer.zero_grad()
            loss = F.cross_entropy(each(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:20] == losses[20:]
    assert_same_state(alone, net, rtol=0, atol=0)
    assert all(0 < each.sparsity() < 1 for each in plastic_connections(net).values())


def test_where_gradients_are_accumulated_masks_change_at_the_next_step_of_the_optimizer():
    net = scripted([[1.0, 1.0, 1.0]], update_interval=3)
    optimizer, _ = attach_sgd(net)
    net.permanences()["weight"][0, 1] = -1.0
    masks = []
    for number in (1, 3, 1):  # steps 1, 2-4 and 5
        for _ in range(number):
            net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        masks.append(net.masks()["weight"][0, 1].item())
    assert masks == [True, False, False]


def test_detached_masks_stay_as_they_are():
    net = block()
    optimizer, attachment = attach_sgd(net)
    for x, y in batches(5):
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    attachment.detach()
    before = {name: mask.clone() for name, mask in net.masks().items()}
    for x, y in batches(10):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert 0 < net.sparsity() < 1
    assert all(torch.equal(mask, before[name]) for name, mask in net.masks().items())


@pytest.mark.parametrize("way", [copy.deepcopy, pickled, saved])
def test_a_copy_of_an_attached_mask_changes_by_itself(way):
    net = block()
    attach_sgd(net)
    copied = way(net)
    assert train(copied, batches(10))[1] > 0
    assert net.sparsity() == 0


# masks of other rules


def test_a_mask_of_any_rule_is_put_around_a_layer():
    for name, rule in CONNECTIONS.items():
        layer = nn.Linear(4, 3)
        net = masked(name, layer, seed=2)
        if rule.prunes:
            assert isinstance(net, PlasticConnections)
            assert (net.rule, net.names, net.module, int(net.seed)) == (rule, ("weight",), layer, 2)
        else:
            assert net is layer
        x = torch.randn(5, 4)
        weight = net.weights()["weight"] if rule.prunes else layer.weight
        assert torch.equal(net.eval()(x), F.linear(x, weight, layer.bias))
        assert torch.equal(weight, layer.weight) or rule.at_first.__func__ is not ConnectionRule.at_first
    assert type(masked("hebb_mask", nn.Linear(4, 3))) is HebbMask


@pytest.mark.parametrize("which", ["SGD with momentum", "AdamW"])
def test_a_rule_that_keeps_no_weights_leaves_zeros_whatever_the_optimizer_does(which):
    layer = nn.Linear(20, 5)
    net = masked("magnitude", layer, density=0.25, warmup=0, prune_period=2)
    optimizer = OPTIMIZERS[which](net.parameters())
    attach(net, optimizer, total_steps=10)
    for _ in range(12):
        optimizer.zero_grad()
        x = torch.randn(8, 20)
        y = net(x)
        torch.testing.assert_close(y, F.linear(x, layer.weight * net.masks()["weight"], layer.bias))
        y.square().sum().backward()
        assert not layer.weight.grad[~net.masks()["weight"]].any()
        optimizer.step()
    assert net.masks()["weight"].sum() == 25
    net(x)
    assert not layer.weight[~net.masks()["weight"]].any()
    assert layer.weight[net.masks()["weight"]].all()
