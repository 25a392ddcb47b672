"""Feedback alignment: the backward pass goes through random weights that do not change.

Lillicrap et al., 2016, https://doi.org/10.1038/ncomms13276. It is the row of
`hebbevo.rules.credit.alignment` without any primitive. Its knobs are those of the whole matrix, so that a
search over them starts from here.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import Alignment, alignment_knobs


class FeedbackAlignment(Alignment):
    """Nothing moves B, unless coefficients are given."""

    name = "feedback_alignment"
    knobs = alignment_knobs()
