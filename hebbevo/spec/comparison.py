"""In which settings two specs differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hebbevo.messages import listed
from hebbevo.space import same
from hebbevo.spec.messages import shown
from hebbevo.spec.schema import AUTO, Spec

CHOSEN_AT_THE_START = {"search.engine", "task.standardize"}
"""Settings that may leave the choice to hebbevo: ``auto`` is then whatever the study has."""


def difference(
    recorded: Spec, now: Spec, ignoring: Collection[str] = ("search.trials", "search.timeout")
) -> list[str]:
    """Say in which settings two specs differ, as ``search.seed: 0 in the study, 1 here``.

    Args:
        recorded: the spec in the study.
        now: the spec asked for.
        ignoring: settings that may differ, with dots.

    Returns:
        A line for each setting; empty where the specs are equal. Genes in another order are a difference
        too, because their order is that of the axes of the search space.
    """
    old, new = leaves(recorded.to_json()), leaves(now.to_json())
    found = [
        f"{key}: {shown(old.get(key))} in the study, {shown(new.get(key))} here"
        for key in {**old, **new}
        if key not in ignoring
        and not (key in CHOSEN_AT_THE_START and new.get(key) == AUTO)
        and not _equal(old.get(key), new.get(key))
    ]
    orders = [listed(spec.genome) for spec in (recorded, now)]
    if not found and orders[0] != orders[1]:
        found.append(f"genome: in the order {orders[0]} in the study, {orders[1]} here")
    return found


def leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """The values of nested mappings that are no mappings, by their keys joined with dots.

    >>> leaves({"search": {"seed": 3}, "name": "mine"})
    {'search.seed': 3, 'name': 'mine'}
    """
    found: dict[str, object] = {}
    for key, item in settings.items():
        inner = leaves(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
        found.update(inner)
    return found


def _equal(a: object, b: object) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return same(a, b)
