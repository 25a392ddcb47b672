"""Symmetric alignment: backward weights move to the weights.

Kunin et al., 2020, arXiv:2003.01513. Not local, as W itself is sent to B. B comes to self / (2 decay) W.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import PUBLISHED_STEPS, Alignment, alignment_knobs


class SymmetricAlignment(Alignment):
    """The row decay and self."""

    name = "symmetric_alignment"
    knobs = alignment_knobs(alignment_decay=1e-3, alignment_self=2e-3, alignment_steps=PUBLISHED_STEPS)
