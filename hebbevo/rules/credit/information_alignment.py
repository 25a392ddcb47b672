"""Information alignment: amplification, decay, and a term that reconstructs inputs from outputs.

Kunin et al., 2020, arXiv:2003.01513. The term keeps the weight mirror from growing without bound.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import PUBLISHED_STEPS, Alignment, alignment_knobs


class InformationAlignment(Alignment):
    """The row amp, decay and null."""

    name = "information_alignment"
    knobs = alignment_knobs(
        alignment_decay=1e-3, alignment_amp=2e-3, alignment_null=1e-3, alignment_steps=PUBLISHED_STEPS
    )
