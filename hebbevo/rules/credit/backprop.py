"""Backprop: a layer learns by the gradient of the task's loss."""

from __future__ import annotations

from hebbevo.rules.credit.rule import CreditRule
from hebbevo.space.knobs import table


class Backprop(CreditRule):
    """The plain layer."""

    name = "backprop"
    knobs = table()
