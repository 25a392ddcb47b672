"""Activation alignment: backward weights come to do with the data what the weights do.

Kunin et al., 2020, arXiv:2003.01513. Not local. At the minimum of R, <|x B'|^2> = <x B' . x W'>.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import PUBLISHED_STEPS, Alignment, alignment_knobs


class ActivationAlignment(Alignment):
    """The row amp and sparse."""

    name = "activation_alignment"
    knobs = alignment_knobs(alignment_amp=2e-3, alignment_sparse=1e-3, alignment_steps=PUBLISHED_STEPS)
