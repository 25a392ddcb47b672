"""The numbers of slots that a compact stack may have."""

from itertools import pairwise

import pytest

from hebbevo.training import slots
from hebbevo.training.slots import levels


def test_a_net_with_a_tenth_of_its_neurons_has_less_than_a_third_of_the_weights_to_compute():
    found = levels((784, 300, 100, 10), [0, 1])
    weights = [sum(a * b for a, b in pairwise(widths)) for widths in found]
    assert found[0] == (784, 300, 100, 10)
    fitting = [
        each for each, widths in zip(weights, found, strict=True) if widths[1] >= 30 and widths[2] >= 10
    ]
    assert min(fitting) < weights[0] / 3


@pytest.fixture(params=["few levels", "many levels"])
def any_levels(request, monkeypatch):
    """Levels as they are, and as many as possible."""
    if request.param == "many levels":
        monkeypatch.setattr(slots, "SLOT_MULTIPLE", 3)
        monkeypatch.setattr(slots, "LEVEL_STEPS", ((0.95, 1),))


@pytest.mark.usefixtures("any_levels")
@pytest.mark.parametrize("widths", [(11, 37, 53, 4), (64, 128, 128, 10), (5, 7, 3), (3, 1000, 2)])
def test_levels_have_fewer_and_fewer_slots_and_never_more_than_neurons(widths):
    found = levels(widths, range(len(widths) - 2))
    assert found[0] == widths
    for before, after in pairwise(found):
        assert after != before
        assert all(a <= b for a, b in zip(after, before, strict=True))
        assert (after[0], after[-1]) == (widths[0], widths[-1])
        assert all(width > 0 for width in after)
