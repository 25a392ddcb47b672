"""Plasticity rules on three axes that combine: which units live, which connections live, how a layer learns.

A rule is one file and one line here. Nothing in this package imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.credit.rule import CreditRule
from hebbevo.rules.rule import Rule
from hebbevo.rules.units.rule import UnitRule
from hebbevo.space.knobs import Knob

_Rule = TypeVar("_Rule", bound=Rule)


def _registry(axis: str, kind: type[_Rule], *names: str) -> dict[str, _Rule]:
    """The rules of an axis by name: each is the class of that name, in the file of that name."""
    rules: dict[str, _Rule] = {}
    for name in names:
        classes: list[Any] = [*vars(import_module(f"{__name__}.{axis}.{name}")).values()]
        kinds = [each for each in classes if isinstance(each, type) and issubclass(each, kind)]
        [rule] = [each for each in kinds if vars(each).get("name") == name]
        rules[name] = rule()
    return rules


UNITS: dict[str, UnitRule] = _registry(
    "units",
    UnitRule,  # type: ignore[type-abstract]
    "stamina",
    "magnitude",
    "random",
    "dense",
)
CONNECTIONS: dict[str, ConnectionRule] = _registry(
    "connections",
    ConnectionRule,  # type: ignore[type-abstract]
    "full",
    "hebb_mask",
    "magnitude",
)
CREDIT: dict[str, CreditRule] = _registry(
    "credit",
    CreditRule,
    "backprop",
)
AXES: Mapping[str, Mapping[str, Rule]] = {"units": UNITS, "connections": CONNECTIONS, "credit": CREDIT}
"""The registries, by the key of a space file's ``network`` under which a rule is named."""

__all__ = [
    "AXES",
    "CONNECTIONS",
    "CREDIT",
    "UNITS",
    "ConnectionRule",
    "CreditRule",
    "Rule",
    "UnitRule",
    "known_knobs",
]


def known_knobs() -> dict[str, Knob]:
    """The knobs of every rule that is defined, the user's own among them, by name."""
    kinds: list[type[Rule]] = [Rule]
    for kind in kinds:  # which grows meanwhile
        kinds += kind.__subclasses__()
    return {name: knob for kind in kinds for name, knob in getattr(kind, "knobs", {}).items()}
