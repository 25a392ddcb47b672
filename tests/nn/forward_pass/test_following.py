"""What a forward pass may do and still be followed."""

import math
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from hebbevo.nn import Stamina
from hebbevo.nn.layer_graph import find_layer_names
from hebbevo.nn.liveness.paths import LivenessPlan, survivors
from hebbevo.training.stack import VmapStack
from tests.nn.conftest import Sign
from tests.nn.unit_labels.conftest import UnitNet, found_in_unit_net, layer_names


@pytest.mark.parametrize(
    ("forward", "what"),
    [
        (lambda net, x: net.consumer(net.units(net.producer(x))) if x.sum() > 0 else x, "bool"),
        (lambda net, x: net.consumer(net.units(net.producer(x))) * x.sum().item(), "item"),
        (lambda net, x: net.consumer(net.units(net.producer(x)))[: int(x.argmax())], "int"),
        (lambda net, x: net.consumer(net.units(net.producer(x[x.abs().sum(1).nonzero()[:, 0]]))), "nonzero"),
        (lambda net, x: net.consumer(net.units(net.producer(x[torch.where(x[:, 0] > 0)]))), "where"),
    ],
    ids=["if", "item", "int", "nonzero", "where"],
)
def test_control_flow_that_depends_on_values_is_refused(forward, what, complaint):
    line = forward.__code__.co_firstlineno
    assert complaint(find_layer_names, UnitNet(forward)) == (
        f"UnitNet: its forward cannot be followed (its path depends on values ({what}); "
        f"test_following.py, line {line}); keep data-dependent control flow out of forward"
    )


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.consumer(net.units(net.producer(x))) + torch.zeros(x.shape[0], 2),
        lambda net, x: net.consumer(net.units(net.producer(x))) * len(x),
        lambda net, x: net.consumer(net.units(net.producer(x if x.dim() == 2 else x.flatten(1)))),
        lambda net, x: net.consumer(net.units(net.producer(x)).view(*x.shape[:-1], 3)),
        lambda net, x: [b := x.size()[0], net.consumer(net.units(net.producer(x)).reshape(b, 3))][1],
    ],
    ids=["size", "len", "dim", "shape", "reshape"],
)
def test_control_flow_may_depend_on_shapes(forward):
    def asserting(net, x):
        assert x.shape[1] == 4 and len(x) > 0
        if x.dim() == 3:
            raise AssertionError
        return forward(net, x)

    assert found_in_unit_net(asserting) == {"units": layer_names("producer", "consumer")}


def test_an_autograd_function_of_the_model_is_followed_inside():
    assert found_in_unit_net(lambda net, x: net.consumer(Sign.apply(net.units(net.producer(x))))) == {
        "units": layer_names("producer", "consumer", foldable="")
    }


def test_compiled_modules_are_followed_as_they_are_written():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    net.compile(backend="eager")
    compiled = net._compiled_call_impl
    assert find_layer_names(net) == {"1": layer_names("0", "2")}
    assert net._compiled_call_impl is compiled is not None
    net = nn.Sequential(torch.compile(nn.Linear(4, 3), backend="eager"), Stamina(3), nn.Linear(3, 2))
    assert find_layer_names(net) == {"1": layer_names("0._orig_mod", "2")}


def test_torchscript_is_refused(complaint):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        script = torch.jit.script(nn.Linear(3, 3))
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), script)
    assert complaint(find_layer_names, net) == (
        "Sequential: its forward cannot be followed (the TorchScript in 2 cannot be looked into); "
        "write it in functions of PyTorch"
    )
    assert survivors(net, torch.ones(1, 4)).alive.tolist() == [[3]]


def test_transforms_of_torch_func_are_refused(complaint):
    line = complaint(
        find_layer_names, UnitNet(lambda net, x: torch.vmap(net.consumer)(net.units(net.producer(x))))
    )
    assert line.startswith("UnitNet: its forward cannot be followed (")
    assert " cannot be looked into; test_following.py, line " in line
    assert line.endswith("); write it in functions of PyTorch")


def logged(net, x):
    h = net.units(net.producer(x))
    net.log = [h.mean().item(), f"{h.abs().mean().item():.3f}", str(h.sum().item())]
    return net.consumer(h)


def averaged(net, x):
    h = net.units(net.producer(x))
    net.mean = 0.9 * getattr(net, "mean", 0.0) + 0.1 * h.mean().item()
    net.share = round(abs(-(1 - h.mean().item()) / h.numel()) ** 2 / x.sum().item(), 3)
    return net.consumer(h)


@pytest.mark.parametrize("forward", [logged, averaged])
def test_a_number_taken_from_a_tensor_may_be_kept_and_printed(forward):
    assert found_in_unit_net(forward) == {"units": layer_names("producer", "consumer")}


@pytest.mark.parametrize(
    "use",
    [
        lambda x, item: x if item > 0 else -x,
        lambda x, item: x if item else -x,
        lambda x, item: x if item in (1.0, 2.0) else -x,
        lambda x, item: x * max(item, 0.0),
        lambda x, item: x * item,
        lambda x, item: item * x,
        lambda x, item: x.sub(1.0, alpha=item),
        lambda x, item: x.clamp_(max=2 * item + 1),
        lambda x, item: x * math.sqrt(item),
        lambda x, item: x[:, : int(item)],
        lambda x, item: x + torch.full((3,), float(item)),
        lambda x, item: x * torch.tensor(item),
        lambda x, item: x * torch.tensor([item, item, 1.0]),
        lambda x, item: x + torch.full((3,), item),
        lambda x, item: x * {item: 1.0}[item],
    ],
)
def test_a_number_taken_from_a_tensor_may_not_decide_what_is_computed(use, complaint):
    net = UnitNet(lambda net, x: net.consumer(use(net.units(net.producer(x)), x.sum().item())))
    assert "its forward cannot be followed (its path depends on values (item); test_following.py, line " in (
        complaint(find_layer_names, net)
    )
    (note,) = survivors(net, torch.ones(1, 4)).notes
    assert "its path depends on values (item)" in note


def asserting(net, x):
    h = net.units(net.producer(x))
    assert not x.isnan().any() and not torch.isnan(h).any().item()
    assert torch.isfinite(h).all(), "not finite"
    if (h.isnan() | ~h.isfinite()).any(1).all() or torch.logical_and(h.isinf(), h.isnan()).any():
        raise ValueError("not finite")
    return net.consumer(h)


def test_forward_may_check_that_values_are_finite(complaint):
    assert found_in_unit_net(asserting) == {"units": layer_names("producer", "consumer")}

    def overwritten(net, x):
        mask = torch.isnan(x)
        mask[0] = True
        return net.consumer(net.units(net.producer(x))) if mask.any() else x

    assert "(its path depends on values (bool)" in complaint(find_layer_names, UnitNet(overwritten))


@pytest.mark.parametrize("forward", [logged, averaged, asserting])
def test_survivors_of_a_stack_are_counted_past_numbers_and_checks(forward):
    nets = [UnitNet(forward), UnitNet(forward)]
    nets[1].units.alive[0] = False
    row = torch.ones(1, 4)
    stack = VmapStack(nets, torch.device("cpu"))
    counted = LivenessPlan.of(nets[0], row).alive_neurons(partial(stack.call, stacked=True), 2)
    assert (counted.alive.flatten().tolist(), counted.notes) == ([3, 2], ())


def test_units_in_a_loop_over_rows_are_called_several_times():
    def rows(net, x):
        return torch.stack([net.consumer(net.units(net.producer(row))) for row in x])

    assert found_in_unit_net(rows) == {}
