"""The slots that the layers of a compact stack may have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

SLOT_MULTIPLE = 8  # slots that matrix products like
# from a level to the next: the share of the weights that is left at most, and weights less at least
LEVEL_STEPS = ((1 / 2, 32_000), (1 / 3, 4_000))


def levels(whole: tuple[int, ...], pruned: Sequence[int]) -> list[tuple[int, ...]]:
    """Widths with fewer and fewer slots in the layers behind which units are pruned.

    Args:
        whole: inputs, units of each hidden layer, outputs.
        pruned: places of those layers, 0 is the first.

    Returns:
        Widths, of which the first have a slot for every unit.
    """
    found = [whole]
    most = max((whole[place + 1] for place in pruned), default=0)
    for slots in range(most, 0, -1):
        widths = list(whole)
        for place in pruned:
            width = whole[place + 1]
            widths[place + 1] = min(width, -(-width * slots // (most * SLOT_MULTIPLE)) * SLOT_MULTIPLE)
        before, after = (sum(a * b for a, b in pairwise(each)) for each in (found[-1], widths))
        if any(after <= share * before and before - after >= worth for share, worth in LEVEL_STEPS):
            found.append(tuple(widths))
    return found
