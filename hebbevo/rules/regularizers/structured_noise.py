"""Adaptive structured noise injection (ASNI): multiplicative noise that is correlated as the activations are.

Khalfaoui, Boyd and Vert, 2019, arXiv:1909.09819. With the covariance C of the activations x over the rows of
a minibatch, and one e for all of these rows,

    y = x (1 + sqrt(lambda) e),  e ~ N(0, C + delta I)    (1)

The authors factor C + delta I. Here e has the same law without a factorisation:

    e = (x - mean)^T z / sqrt(rows) + sqrt(delta) z'    (2)

with standard normal z (rows) and z' (units). Gradients go through x in both equations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.regularizers.regularizer import Regularizer
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class StructuredNoise(Regularizer):
    """Multiplicative noise with the covariance of the activations."""

    name = "structured_noise"
    knobs = table(
        Knob(
            "structured_noise", float, 0.0, "lambda: variance of the noise over that of the activations",
            low=0.0, sensible=(1e-3, 1.0), log=True,
        ),
        Knob(
            "noise_ridge", float, 1e-3, "delta: variance beyond that of the activations", low=0.0,
            sensible=(1e-4, 1e-1), log=True,
        ),
    )  # fmt: skip

    def noise(self, k: Any, rows: Tensor, of_rows: Tensor, of_units: Tensor) -> Tensor:
        """Sample the noise of equation 2, (n,).

        Args:
            k: knobs.
            rows: activations, (rows, n).
            of_rows: z, (rows,).
            of_units: z', (n,).
        """
        centred = rows - rows.mean(0)
        correlated = (centred * of_rows[:, None]).sum(0) / len(rows) ** 0.5
        e: Tensor = correlated + k.noise_ridge.sqrt() * of_units
        return e

    def perturbed(self, k: Any, x: Tensor, e: Tensor) -> Tensor:
        """Equation 1; ``e`` is broadcast to x."""
        noisy: Tensor = x * (1 + k.structured_noise.sqrt() * e)
        return noisy
