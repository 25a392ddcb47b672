"""Kolen-Pollack: backward weights have the same steps as the weights, and both decay.

Kolen & Pollack, 1994, https://doi.org/10.1109/ICNN.1994.374486; Akrout et al., 2019, arXiv:1904.05391. What
distinguishes W from B at first is forgotten at the rate of the decay.

The coefficient is that of the published row, for one step of any training. It is not scaled to the length of
the training, as it is also the decay of W. The authors' code of `hebbevo.rules.credit.alignment` decays B
alone here, and leaves W to the optimiser's decay.
"""

from __future__ import annotations

from hebbevo.rules.credit.alignment import Alignment, alignment_knobs


class KolenPollack(Alignment):
    """The row tie and decay."""

    name = "kolen_pollack"
    knobs = alignment_knobs(alignment_decay=1e-3, tie=True)
