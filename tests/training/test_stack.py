"""Many nets as one: what a stack computes."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack
from tests.training.conftest import CPU, Counting, make_cohort, problem, recipe


def stacked(sizes=3):
    nets = [Counting(seed=seed) for seed in range(sizes)]
    return nets, VmapStack(nets, CPU)


def run(net, x):
    return net(x)


def test_a_call_gives_what_each_net_gives():
    nets, stack = stacked(4)
    x = torch.randn(5, 4)
    assert stack.size == 4
    torch.testing.assert_close(stack.call(run, x), torch.stack([net.eval()(x) for net in nets]))


def test_gradients_are_those_of_each_net():
    nets, stack = stacked()
    x = torch.randn(5, 4)
    losses = stack.call(lambda net: net(x).square().mean())
    grads = torch.autograd.grad(losses.sum(), list(stack.trained.values()))
    for row, net in enumerate(nets):
        alone = torch.autograd.grad(net(x).square().mean(), list(net.parameters()))
        for ours, theirs in zip(grads, alone, strict=True):
            torch.testing.assert_close(ours[row], theirs)


def test_changes_in_place_reach_the_stack_and_not_the_nets_it_was_made_of():
    nets, stack = stacked()
    stack.call(run, torch.ones(1, 4), training=True)
    stack.call(run, torch.ones(1, 4), training=True)
    assert stack.state["calls"].tolist() == [2, 12, 22]
    with torch.no_grad():
        stack.call(lambda net: net.layer.bias.fill_(7))
    assert (stack.trained["layer.bias"] == 7).all()
    assert [net.calls.item() for net in nets] == [0, 10, 20]
    assert not any((net.layer.bias == 7).any() for net in nets)


def test_stacked_arguments_go_one_to_each_net_and_can_be_changed_in_place():
    _, stack = stacked()
    moments = {"layer.bias": (torch.zeros(3, 3), torch.ones(3, 3))}

    def add(net, moments, number):
        moments["layer.bias"][0].add_(number + net.shift)
        return number

    assert stack.call(add, moments, torch.tensor([1.0, 2.0, 3.0]), stacked=True).tolist() == [1, 2, 3]
    assert moments["layer.bias"][0].tolist() == [[1] * 3, [3] * 3, [5] * 3]
    assert (moments["layer.bias"][1] == 1).all()


def test_the_training_mode_reaches_every_module_and_is_evaluation_by_default():
    def modes(net):
        return torch.tensor([net.training, net.activation.training])

    nets, stack = stacked()
    nets[0].eval()
    assert not stack.call(modes).any()
    assert stack.call(modes, training=True).all()
    assert not stack.call(modes).any()
    stack.call(run, torch.ones(1, 4))
    assert stack.state["calls"].tolist() == [0, 10, 20]


def test_stacking_and_calling_leave_the_nets_and_pytorchs_generator_as_they_were():
    nets, _ = stacked()
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    generator = torch.get_rng_state()
    stack = VmapStack(nets, CPU)
    stack.call(run, torch.ones(2, 4), training=True)
    assert torch.equal(torch.get_rng_state(), generator)
    for net, state in zip(nets, before, strict=True):
        assert type(net) is Counting
        assert net.training
        assert net.layer.weight.device == CPU
        assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())


def test_rows_that_are_kept_go_on_in_the_order_given():
    nets, stack = stacked(4)
    x = torch.randn(2, 4)
    stack.call(run, x, training=True)
    stack.keep(torch.tensor([3, 1]))
    assert stack.size == 2
    torch.testing.assert_close(stack.call(run, x, training=True), torch.stack([nets[3](x), nets[1](x)]))
    assert stack.state["calls"].tolist() == [32, 12]
    assert all(value.is_leaf and value.requires_grad for value in stack.trained.values())


def test_a_part_gives_what_its_own_nets_give():
    nets, stack = stacked(4)
    x = torch.randn(5, 4)
    part = stack.part(slice(1, 3))
    assert part.size == 2
    torch.testing.assert_close(part.call(run, x), torch.stack([net.eval()(x) for net in nets[1:3]]))
    assert stack.size == 4
    alone = SingleNet(nets[0], CPU)
    torch.testing.assert_close(alone.part(slice(0, 1)).call(run, x)[0], nets[0].eval()(x))


class Shared(nn.Module):
    """A tied weight, a module with two names, a frozen layer and a buffer that is put anew."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.second, self.fixed = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.register_buffer("mean", torch.rand(4))
        self.again = self.first
        self.second.weight = self.first.weight
        self.fixed.requires_grad_(False)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return self.fixed(self.again(self.second(self.first(x).tanh())) - self.mean)


def loss(net, x):
    return net(x).square().mean()


def gradients(net, x):
    trained = [each for each in net.parameters() if each.requires_grad]
    return torch.autograd.grad(loss(net, x), trained)


@pytest.mark.parametrize("size", [1, 3])
def test_nets_with_shared_and_fixed_parts_are_what_each_of_them_is(size):
    nets = [Shared(seed) for seed in range(size)]
    many = VmapStack(copy.deepcopy(nets), CPU) if size > 1 else SingleNet(copy.deepcopy(nets[0]), CPU)
    assert list(many.trained) == ["first.weight", "first.bias", "second.bias"]
    x = torch.randn(5, 4)
    for _ in range(2):
        ours = many.gradients(many.call(loss, x, training=True))
        theirs = [gradients(net, x) for net in nets]
        for row in range(size):
            for one, other in zip(ours, theirs[row], strict=True):
                torch.testing.assert_close(one[row], other)
        for parameter, gradient in zip(many.trained.values(), ours, strict=True):
            with torch.no_grad():
                parameter -= 0.1 * gradient
        for net, each in zip(nets, theirs, strict=True):
            trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
            with torch.no_grad():
                for parameter, gradient in zip(trained, each, strict=True):
                    parameter -= 0.1 * gradient
    torch.testing.assert_close(many.state["mean"], torch.stack([net.mean for net in nets]))
    torch.testing.assert_close(many.call(run, x), torch.stack([net(x) for net in nets]))


@pytest.mark.parametrize("size", [1, 3])
def test_looking_leaves_nets_untouched(size):
    nets = [Shared(seed) for seed in range(size)]
    many = VmapStack(nets, CPU) if size > 1 else SingleNet(nets[0], CPU)
    many.call(loss, torch.ones(2, 4), training=True)
    before = {name: value.clone() for name, value in many.state.items()}
    with pytest.raises(ZeroDivisionError), many.untouched():
        many.call(loss, torch.ones(2, 4))
        many.module.later, many.module.first.weight = 1, nn.Parameter(torch.zeros(4, 4))
        raise ZeroDivisionError
    assert (many.module.calls, many.module.training, hasattr(many.module, "later")) == (1, True, False)
    assert all(torch.equal(many.state[name], value) for name, value in before.items())
    assert many.call(loss, torch.ones(2, 4)).all()
    assert many.module.calls == 2


def test_fixed_parameters_of_rows_that_are_kept_are_their_own():
    nets = [Shared(seed) for seed in range(4)]
    stack = VmapStack(nets, CPU)
    stack.keep(torch.tensor([3, 1]))
    x = torch.randn(2, 4)
    torch.testing.assert_close(stack.call(run, x), torch.stack([nets[3](x), nets[1](x)]))


def test_a_net_alone_is_trained_itself_and_takes_stacked_arguments_of_one_row():
    net = Counting(seed=2)
    alone = SingleNet(net, CPU)
    assert (alone.size, alone.module) == (1, net)
    moments = {"layer.bias": (torch.zeros(1, 3), torch.ones(1, 3))}

    def add(net, moments, number):
        moments["layer.bias"][0].add_(number)
        return number, net.layer.bias

    number, bias = alone.call(add, moments, torch.tensor([5.0]), stacked=True)
    assert (number.tolist(), moments["layer.bias"][0].tolist()) == ([5.0], [[5.0] * 3])
    assert torch.equal(bias, net.layer.bias[None])
    alone.trained["layer.bias"].fill_(7)
    assert (net.layer.bias == 7).all()
    alone.call(run, torch.ones(1, 4), training=True)
    assert (net.training, alone.state["calls"].tolist()) == (True, [21])
    alone.call(run, torch.ones(1, 4))
    assert (net.training, alone.state["calls"].tolist()) == (False, [21])


def test_a_net_alone_can_be_kept_and_nothing_else():
    alone = SingleNet(Counting(), CPU)
    alone.keep(torch.tensor([0]))
    assert alone.size == 1
    with pytest.raises(ValueError, match="a single net cannot be dropped"):
        alone.keep(torch.tensor([], dtype=torch.int64))


def test_parameters_that_are_not_used_have_a_gradient_of_zero():
    def first_row(net, x):
        return net.first(x).sum()

    nets = [Shared(seed) for seed in range(2)]
    for many in (VmapStack(nets, CPU), SingleNet(nets[0], CPU)):
        weight, bias, unused = many.gradients(many.call(first_row, torch.ones(1, 4)))
        assert (weight.all(), bias.all(), unused.any()) == (True, True, False)


class Writing(nn.Module):
    """Writes into its input, in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x.div_(16.0))


def writing_loss(outputs, labels):
    right = labels.clone()
    labels.zero_()
    return nn.functional.cross_entropy(outputs.mul_(2.0), right)


@pytest.mark.parametrize("size", [1, 3])
def test_a_forward_pass_and_a_loss_that_write_into_their_arguments_do_not_change_the_data(size):
    nets = [Writing() for _ in range(size)]
    stack = VmapStack(nets, CPU) if size > 1 else SingleNet(nets[0], CPU)
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    before = x.clone(), y.clone()
    first, again = (stack.losses(writing_loss, x, y) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    torch.testing.assert_close(stack.outputs(x), stack.outputs(x), rtol=0, atol=0)
    torch.testing.assert_close((x, y), before, rtol=0, atol=0)


def test_a_loss_that_writes_into_its_arguments_does_not_change_the_labels_of_a_compact_stack():
    cohort = make_cohort(recipe(), [{}, {"unactivation_penalty": 1.0}], problem())
    [nets] = [each.nets for each in cohort.sub_cohorts]
    assert isinstance(nets, CompactStack)
    x, y = torch.randn(6, 11), torch.tensor([0, 1, 2, 3, 1, 2])
    before = x.clone(), y.clone()
    nets.losses(writing_loss, x, y)
    torch.testing.assert_close((x, y), before, rtol=0, atol=0)
