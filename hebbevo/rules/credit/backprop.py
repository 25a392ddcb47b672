"""Backprop: the gradient of the task's loss, through the layer itself."""

from __future__ import annotations

from hebbevo.rules.credit.rule import CreditRule
from hebbevo.space.knobs import table


class Backprop(CreditRule):
    """The plain layer."""

    name = "backprop"
    knobs = table()
