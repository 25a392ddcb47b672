"""Backprop: the gradient of the task's loss, through the layer itself."""

from __future__ import annotations

from hebbevo.knobs import table
from hebbevo.rules.credit.rule import CreditRule


class Backprop(CreditRule):
    """The plain layer."""

    name = "backprop"
    knobs = table()
