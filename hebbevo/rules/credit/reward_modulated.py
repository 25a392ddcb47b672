"""Reward-modulated Hebbian learning: input times output, times how much better the reward was than its mean.

After Vasilaki, Fremaux, Urbanczik, Senn and Gerstner, 2009, doi:10.1371/journal.pcbi.1000586. The outputs a
of a layer are drawn around those of the plain layer, with e standard normal:

    a = <a> + sigma e,  <a> = w x + b    (1)
    dw = eta (R - mean R) (a - <a>) x / sigma^2    (2)

This is node perturbation, or REINFORCE (Williams, 1992), whose mean is the gradient of the mean reward. The
reward of a row is

    R = -|rows dL/do|^2    (3)

for outputs o of the network and the mean loss L over rows. Under cross entropy that is -|p - target|^2, the
Brier score, and under the squared error it is proportional to the loss; so it is known in every training.
mean R is that of the minibatch, where the source has a running mean. The learning rate eta and the step
itself are the optimiser's. Outputs have no other gradient: what follows a layer sends no errors back.
An output whose weights and bias are all zero, as those of a pruned unit are, does not learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.credit.rule import CreditLayer, CreditRule
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class RewardModulated(CreditRule):
    """Three factors: what comes in, how the output was drawn, and a reward that all layers share."""

    name = "reward_modulated"
    knobs = table(
        Knob(
            "output_noise", float, 0.1, "sigma: standard deviation of the outputs in training",
            low=1e-6, sensible=(0.01, 1.0), log=True,
        ),
    )  # fmt: skip
    is_direct = True
    hidden_only = True  # a last layer that learns by reward ends far below one that learns from the labels

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """Equation 1."""
        return layer.with_reward(x, k.output_noise)


def reward_surprise(gradient: Tensor) -> Tensor:
    """The reward of each row less the mean reward, (rows,); equation 3.

    Args:
        gradient: of the mean loss by the outputs of the network, (rows, outputs).
    """
    reward = -(gradient * len(gradient)).square().sum(1)
    return reward - reward.mean()
