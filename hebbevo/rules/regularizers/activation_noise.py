"""Independent Gaussian noise on activations, added and multiplied.

Poole, Sohl-Dickstein and Ganguli, 2014, arXiv:1406.1831. With standard normal e1, e2 for each activation x,

    y = x (1 + m e1) + a e2    (1)

where m is the knob ``multiplicative_noise`` and a the knob ``additive_noise``. In their autoencoder the noise
is on the inputs, before the transfer function, or behind it. For small noise the expected loss has another
penalty in each place: on the slope of the encoder (inputs), on f'(z)^2 |d|^2 (before), and on x^2 |d|^2 or
|d|^2 (behind), where d are the outgoing weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.regularizers.regularizer import Regularizer
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class ActivationNoise(Regularizer):
    """Gaussian noise, independent for each row and unit."""

    name = "activation_noise"
    knobs = table(
        Knob(
            "additive_noise", float, 0.0, "standard deviation of the noise that is added; 0: none",
            low=0.0, sensible=(0.01, 1.0), log=True,
        ),
        Knob(
            "multiplicative_noise", float, 0.0, "standard deviation of the factor around 1; 0: none",
            low=0.0, sensible=(0.01, 1.0), log=True,
        ),
    )  # fmt: skip

    def perturbed(self, k: Any, x: Tensor, factors: Tensor, terms: Tensor) -> Tensor:
        """Equation 1; ``factors`` and ``terms`` are e1 and e2, of the shape of x."""
        noisy: Tensor = x * (1 + k.multiplicative_noise * factors) + k.additive_noise * terms
        return noisy
