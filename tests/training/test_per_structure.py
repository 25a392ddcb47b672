"""What is found once for nets of a structure is found again for another structure or another input."""

import torch
from torch import nn

from hebbevo.training.per_structure import PerStructure


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def test_a_net_of_a_known_structure_is_not_looked_at_again() -> None:
    seen: list[tuple[nn.Module, tuple[int, ...]]] = []

    def find(each: nn.Module, x: torch.Tensor) -> int:
        seen.append((each, tuple(x.shape)))
        return each[0].out_features

    remembered = PerStructure(find)
    first, same, wider = net(4), net(4), net(5)
    two, three = torch.zeros(2, 3), torch.zeros(3, 3)
    assert [remembered(each, two) for each in (first, same, wider, first)] == [4, 4, 5, 4]
    assert remembered(same, three) == 4
    assert seen == [(first, (2, 3)), (wider, (2, 3)), (same, (3, 3))]


def test_only_the_latest_structures_are_remembered() -> None:
    seen: list[int] = []
    remembered = PerStructure(lambda each: seen.append(each[0].out_features))
    for width in (*range(1, 70), 69, 1):
        remembered(net(width))
    assert seen == [*range(1, 70), 1]
