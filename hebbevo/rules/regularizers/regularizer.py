"""What regularisers have in common: they act on activations in training mode and do nothing in evaluation."""

from __future__ import annotations

from hebbevo.rules.rule import Rule


class Regularizer(Rule):
    """Noise on activations, or a penalty on them; without parameters."""
