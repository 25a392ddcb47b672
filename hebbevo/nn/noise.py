"""Noise on activations: independent, or correlated as the activations are."""

from __future__ import annotations

from torch import Tensor

from hebbevo.errors import UsageError
from hebbevo.nn.regularizer import Regularized
from hebbevo.rules.regularizers import activation_noise
from hebbevo.rules.regularizers import structured_noise as asni

_FACTORS, _TERMS = 0, 1  # streams of random numbers


class ActivationNoise(Regularized):
    """Gaussian noise in training mode, independent for each element; in evaluation mode the identity.

    It computes x (1 + m e1) + a e2. The place in the model makes it noise on inputs, before a transfer
    function or behind it, as in the noisy autoencoder (Poole, Sohl-Dickstein and Ganguli, 2014).

    Shapes: any, and the output has the shape of the input.

    Args:
        additive_noise: a, standard deviation of what is added; 0 or more.
        multiplicative_noise: m, standard deviation of the factor around 1; 0 or more.
        seed: of the noise; by default drawn from PyTorch's generator.

    Raises:
        UsageError: a value outside its range.

    >>> import torch
    >>> noise = ActivationNoise(additive_noise=0.5, seed=1)
    >>> bool((noise(torch.zeros(2, 3)) != 0).all())
    True
    >>> noise.eval()(torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    rule: activation_noise.ActivationNoise

    def __init__(
        self, additive_noise: float = 0.0, multiplicative_noise: float = 0.0, *, seed: int | None = None
    ) -> None:
        knobs = {"additive_noise": additive_noise, "multiplicative_noise": multiplicative_noise}
        super().__init__(activation_noise.ActivationNoise(), seed, **knobs)

    def forward(self, x: Tensor) -> Tensor:
        """Add and multiply noise.

        Args:
            x: any shape.
        """
        if not self.training:
            return x
        self.refuse_recomputation()
        shape = tuple(x.shape)
        y = self.rule.perturbed(self._k, x, self._normal(shape, _FACTORS, x), self._normal(shape, _TERMS, x))
        self.steps.add_(1)
        return y


class StructuredNoise(Regularized):
    """Adaptive structured noise injection (ASNI) in training mode; in evaluation mode the identity.

    The noise multiplies. Its covariance over units is that of the activations in the minibatch, and all rows
    have the same noise (Khalfaoui, Boyd and Vert, 2019, arXiv:1909.09819). It is sampled without a
    factorisation of the covariance, at the cost of one more pass over the activations.

    Shapes: any with the units along ``dim`` and at least one other axis; the output has the shape of the
    input. In a feature map every position is a sample.

    Args:
        structured_noise: lambda, the variance of the noise over that of the activations; 0 or more. Published
            values are 1e-6 to 1.
        noise_ridge: delta, variance beyond that of the activations; 0 or more.
        dim: axis of the units.
        seed: of the noise; by default drawn from PyTorch's generator.

    Raises:
        UsageError: a value outside its range.

    >>> import torch
    >>> noise = StructuredNoise(0.1, seed=1)
    >>> noise(torch.rand(8, 3)).shape
    torch.Size([8, 3])
    >>> noise.eval()(torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    rule: asni.StructuredNoise

    def __init__(
        self, structured_noise: float, noise_ridge: float = 1e-3, *, dim: int = -1, seed: int | None = None
    ) -> None:
        knobs = {"structured_noise": structured_noise, "noise_ridge": noise_ridge}
        super().__init__(asni.StructuredNoise(), seed, **knobs)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the noise.

        Args:
            x: activations, with the units along ``dim``.

        Raises:
            UsageError: x has no axis beside that of the units.
        """
        if not self.training or not x.numel():
            return x
        if x.dim() < 2:
            raise UsageError(f"{self._title}: {tuple(x.shape)} has no rows; give (rows, units)")
        self.refuse_recomputation()
        rows = x.movedim(self.dim, -1).flatten(0, -2)
        of_rows, of_units = (
            self._normal((size,), stream, x)
            for size, stream in zip(rows.shape, (_FACTORS, _TERMS), strict=True)
        )
        e = self.rule.noise(self._k, rows, of_rows, of_units)
        behind = x.dim() - 1 - self.dim % x.dim()
        y = self.rule.perturbed(self._k, x, e.reshape(-1, *(1,) * behind))
        self.steps.add_(1)
        return y
