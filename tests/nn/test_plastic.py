import torch
from torch import nn
from torch.func import vmap

from hebbevo.nn import InputStamina, Stamina, plastic_modules
from hebbevo.nn.plastic import InjectedLoss


def penalty(weight):
    return 3 * (weight**3).sum()


def test_an_injected_loss_leaves_the_output_as_it_is():
    output = torch.randn(4, 3)
    assert torch.equal(InjectedLoss.apply(output, torch.tensor(7.0)), output)


def test_an_injected_loss_adds_its_gradient_as_if_it_had_been_added_to_the_loss():
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, 3, dtype=torch.float64)

    injected = InjectedLoss.apply(x * weight, penalty(weight)).square().sum()
    summed = (x * weight).square().sum() + penalty(weight)

    torch.testing.assert_close(
        torch.autograd.grad(injected, weight), torch.autograd.grad(summed, weight), rtol=1e-12, atol=0
    )


def test_an_injected_loss_counts_once_for_each_net_of_a_stack():
    weights = torch.randn(5, 3, requires_grad=True)
    x = torch.randn(4, 3)

    def loss(weight):
        return InjectedLoss.apply(x * weight, penalty(weight)).square().sum()

    (stacked,) = torch.autograd.grad(vmap(loss)(weights).sum(), weights)
    solo = torch.stack([torch.autograd.grad(loss(weight), weight)[0] for weight in weights.unbind()])
    torch.testing.assert_close(stacked, solo)


def test_plastic_modules_are_found_at_any_depth_in_order_of_definition():
    inner = nn.Sequential(nn.Linear(2, 3), Stamina(3))
    net = nn.ModuleDict({"first": InputStamina(2), "inner": inner, "last": Stamina(4)})
    assert plastic_modules(net) == {"first": net["first"], "inner.1": inner[1], "last": net["last"]}
