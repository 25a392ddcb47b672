"""What counts where a net cannot be followed: each module's own mask."""

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, Stamina
from hebbevo.nn.forward_pass.following import NotFollowed
from hebbevo.nn.liveness.paths import COUNTS, LivenessPlan, survivors
from tests.nn.conftest import Sign
from tests.nn.liveness.conftest import Net, clear_rows, found


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda net, x: net.head(net.first(x) if x.sum() > 0 else x), "its path depends on values (bool)"),
        (lambda net, x: net.head(net.first(x)[:, :2]), "RuntimeError: "),
        (
            lambda net, x: net.head(x + Sign.apply(net.first(x))),
            "SignBackward in Net cannot be looked into",
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
        LivenessPlan.of(net, torch.ones(1, 4))


def test_where_a_net_without_plastic_modules_cannot_be_followed_weights_that_are_not_zero_count():
    net = Net(lambda net, x: bool(x.sum() > 0))
    net.mask = HebbMask(net.second, ["weight"])
    del net.second
    clear_rows(net.first, 1)
    net.mask.masks()["weight"][2:] = False
    result = found(net)
    assert (result.layers, result.alive.tolist()) == (("first", "head"), [[3, 2]])


def test_where_a_net_cannot_be_followed_connections_that_are_not_zero_count():
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
