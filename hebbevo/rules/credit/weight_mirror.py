"""Weight mirror: noise goes through a layer, and a Hebbian rule copies its weights.

Akrout et al., 2019, arXiv:1904.05391. With x white, <z' x> = W. Activations of real data are neither centred
nor white: so the inputs that align are noise by default, as in that paper.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import PUBLISHED_STEPS, Alignment, alignment_knobs


class WeightMirror(Alignment):
    """The row decay and amp, on noise."""

    name = "weight_mirror"
    knobs = alignment_knobs(
        alignment_decay=1e-3, alignment_amp=1e-3, alignment_noise=1.0, alignment_steps=PUBLISHED_STEPS
    )
