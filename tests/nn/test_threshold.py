"""The highest scores by a threshold are those of a stable sort."""

from itertools import product

import pytest
import torch

from hebbevo.nn.threshold import highest_by_threshold


def by_sorting(score, number, among, axes):
    """The same, network by network in Python."""
    found = torch.zeros_like(among)
    for network in product(*map(range, score.shape[: score.dim() - axes])):
        own, may_be = (each[network].flatten().tolist() for each in (score, among))
        places = [place for place, is_among in enumerate(may_be) if is_among]
        places = sorted(places, key=lambda place, own=own: (-own[place], place))
        flat = found[network].flatten()
        flat[places[: max(0, int(number[network]))]] = True
        found[network] = flat.reshape(found[network].shape)
    return found


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 3, 3)], ids=str)
def test_the_highest_are_those_of_a_stable_sort(lead, shape):
    generator, axes = torch.Generator().manual_seed(len(lead)), len(shape)
    ones = (1,) * axes
    for case in range(20):
        score = torch.randn(*lead, *shape, generator=generator)
        if case % 2:  # many are equal
            score = score.mul(1.5).round()
        if case % 3 == 0:
            score.view(-1)[::7] = torch.nan
            score.view(-1)[3:6] = torch.tensor([torch.inf, -torch.inf, -0.0])
        if case % 5 == 0:
            score = score.mT.contiguous().mT
        if case % 7 == 0:
            score = score.to([torch.float64, torch.bfloat16][case % 2])
        among = torch.rand(*lead, *shape, generator=generator) > 0.3
        number = torch.randint(-1, 60, (*lead, *ones), generator=generator)
        # infinities and NaN are ranked as the largest and smallest finite numbers
        finite = torch.finfo(score.dtype)
        ranked = score.nan_to_num(finite.min, finite.max, finite.min)
        found = highest_by_threshold(score, number, among, axes)
        assert torch.equal(found, by_sorting(ranked, number, among, axes))
