"""Plasticity rules on three axes that combine: which units live, which connections live, how a layer learns.

A rule is one file and one entry here. Nothing in this package imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from hebbevo.knobs import Knob
from hebbevo.rules.connections.full import Full
from hebbevo.rules.connections.hebb_mask import HebbMask
from hebbevo.rules.connections.magnitude import Magnitude as ConnectionMagnitude
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.credit.backprop import Backprop
from hebbevo.rules.credit.rule import CreditRule
from hebbevo.rules.rule import Rule
from hebbevo.rules.units.dense import Dense
from hebbevo.rules.units.magnitude import Magnitude
from hebbevo.rules.units.random import Random
from hebbevo.rules.units.rule import UnitRule
from hebbevo.rules.units.stamina import Stamina

UNITS: dict[str, UnitRule] = {rule.name: rule for rule in (Stamina(), Magnitude(), Random(), Dense())}
CONNECTIONS: dict[str, ConnectionRule] = {
    rule.name: rule for rule in (Full(), HebbMask(), ConnectionMagnitude())
}
CREDIT: dict[str, CreditRule] = {rule.name: rule for rule in (Backprop(),)}

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
