"""What survivors are a number of.

A space file may name a count of `COUNTS` as an objective, as a weight or in a constraint. The name of what
survivors are means survivors.
"""

from __future__ import annotations

from collections.abc import Collection

from hebbevo.objectives.goal import COUNTS


def survivors_of(count: str, objectives: Collection[str]) -> str:
    """What survivors are a number of.

    It is the ``count`` of the network. Where objectives name counts, and not survivors, it is the first of
    those, in the order of `COUNTS`.

    >>> survivors_of("neurons", ["accuracy", "connections"]), survivors_of("parameters", ["survivors"])
    ('connections', 'parameters')

    Args:
        count: the one that the network's part of the space file has.
        objectives: names of the objectives, or of the weights.
    """
    named = [name for name in COUNTS if name in objectives]
    return named[0] if named and "survivors" not in objectives else count
