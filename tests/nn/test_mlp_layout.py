"""Which models are plain multilayer perceptrons, and what they are made of."""

import torch
from torch import nn

from hebbevo.nn import Dense, HebbMask, InputStamina, Stamina
from hebbevo.nn.mlp_layout import MlpLayout, mlp_layout
from tests.nn.unit_labels.conftest import PlainSubclass, ScaledOutputs, ScaledWeights, masked


def test_only_plain_multilayer_perceptrons_have_a_layout():
    one, other = nn.Linear(4, 5), nn.Linear(5, 2)
    stamina_net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), Stamina(5), nn.Sequential(nn.Linear(5, 2)))
    assert mlp_layout(stamina_net) == MlpLayout(("1", "3.0"), {0: "2"}, (4, 5, 2), (True, True))
    assert mlp_layout(nn.Sequential(InputStamina(4), one, nn.ReLU(), other)).units == {-1: "0", 0: "2"}
    assert mlp_layout(nn.Sequential(one, other)).units == {}
    no_bias = nn.Sequential(nn.Identity(), nn.Linear(4, 5, bias=False), nn.Identity(), Dense(5), other)
    assert mlp_layout(no_bias) == MlpLayout(("1", "4"), {0: "3"}, (4, 5, 2), (False, True))

    class Doubled(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2

    hooked = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), other)
    hooked[0].register_forward_hook(lambda *_: None)
    frozen = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2).requires_grad_(False))
    replaced = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), other)
    replaced[1].forward = torch.tanh
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    square, twice = nn.Linear(5, 5), Stamina(5)
    for net in (
        Doubled(one, nn.ReLU(), other),
        hooked,
        frozen,
        replaced,
        tied,
        nn.Sequential(one, nn.Tanh(), other),
        nn.Sequential(one, nn.Dropout(), other),
        nn.Sequential(PlainSubclass(4, 5), nn.ReLU(), other),
        nn.Sequential(PlainSubclass(4, 3), Stamina(3), PlainSubclass(3, 2)),
        nn.Sequential(ScaledOutputs(4, 3), Stamina(3), ScaledOutputs(3, 2)),
        nn.Sequential(ScaledWeights(4, 3), Stamina(3), ScaledWeights(3, 2)),
        nn.Sequential(one, Stamina(5, dim=1), other),
        nn.Sequential(one, Stamina(5, entropy_bonus=0.1), other),
        nn.Sequential(one, square, nn.ReLU(), square, other),
        nn.Sequential(one, twice, nn.Linear(5, 5), twice, other),
        nn.Sequential(one, nn.ReLU(), Stamina(5), other),
        nn.Sequential(one, nn.ReLU(), other, nn.ReLU()),
        nn.Sequential(one, nn.Flatten(0), other),
        nn.Sequential(one, nn.Flatten(), other),
        nn.Sequential(nn.ReLU(), one),
        nn.Sequential(one, InputStamina(5), other),
        nn.Sequential(nn.Flatten()),
        one,
    ):
        assert mlp_layout(net) is None, net


def test_layers_in_masks_are_layers_of_a_layout():
    net = nn.Sequential(
        nn.Flatten(), masked(nn.Linear(4, 5)), Stamina(5), nn.Linear(5, 3), nn.ReLU(), masked(nn.Linear(3, 2))
    )
    assert mlp_layout(net) == MlpLayout(
        ("1.module", "3", "5.module"), {0: "2", 1: "4"}, (4, 5, 3, 2), (True,) * 3, {0: "1", 2: "5"}
    )
    net[1].module.register_forward_hook(lambda *_: None)
    assert mlp_layout(net) is None
    biased = HebbMask(nn.Sequential(nn.Linear(4, 5)), ["0.weight"])
    assert mlp_layout(nn.Sequential(biased, nn.ReLU(), nn.Linear(5, 2))) is None


def test_finding_a_layout_leaves_the_model_as_it_was():
    net = nn.Sequential(InputStamina(4), nn.Linear(4, 5), Stamina(5), nn.Linear(5, 2)).train()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert mlp_layout(net)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
