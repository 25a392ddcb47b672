"""Whitening: fixed linear maps that give data the covariance 1, fitted on training rows."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn.traceable import Traceable

_CHUNK = 1000  # rows at a time, so that the patches of all rows are never in memory at once


class Whitening(Traceable):
    """Whitening of whole rows that keeps them close to what they were (ZCA; Bell & Sejnowski, 1997).

    With the eigenvectors E and eigenvalues D of the rows' covariance, x - mean is multiplied by
    E (D + ridge)^-1/2 E^T. Until `fit` is called, or a state is loaded, outputs are NaN. It is never trained.

    Args:
        shape: of a row, such as (3, 32, 32).
        ridge: is added to eigenvalues; above 0. On images of variance 1, 1e-4 to 1e-1.

    Shape:
        Input and output are (rows, *shape).

    Raises:
        UsageError: a ridge that is not above 0.

    >>> import torch
    >>> from hebbevo.nn import Whitening
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <...>
    >>> x = torch.randn(2000, 3) @ torch.randn(3, 3) + 5
    >>> torch.cov(Whitening((3,), ridge=1e-6).fit(x)(x).T).round(decimals=2).abs()
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, shape: tuple[int, ...], *, ridge: float = 1e-3) -> None:
        super().__init__()
        _check_ridge("Whitening", ridge)
        self.shape, self.ridge = tuple(shape), ridge
        size = int(torch.Size(shape).numel())
        self.register_buffer("mean", torch.full((size,), torch.nan))
        self.register_buffer("matrix", torch.full((size, size), torch.nan))

    @torch.no_grad()
    def fit(self, x: Tensor) -> Self:
        """Fit the map to training rows, (rows, *shape); returns the module.

        Raises:
            UsageError: rows of another shape, or fewer than two.
        """
        if tuple(x.shape[1:]) != self.shape or len(x) < 2:
            raise UsageError(f"Whitening: rows of shape {tuple(x.shape)}; give two or more of {self.shape}")
        rows = x.flatten(1).double()
        mean = rows.mean(0)
        values, vectors = _spectrum((rows - mean).T @ (rows - mean) / len(rows))
        self.mean.copy_(mean)
        self.matrix.copy_(vectors * (values + self.ridge).rsqrt() @ vectors.T)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Whiten rows.

        Raises:
            UsageError: rows of another shape.
        """
        if isinstance(x, Tensor) and x.shape[1:] != self.shape:  # what torch.fx gives has no shape
            wanted = ", ".join(map(str, ("rows", *self.shape)))
            raise UsageError(f"Whitening: inputs have the shape {tuple(x.shape)}; give ({wanted})")
        # a product, and no linear layer, whose outputs would count as neurons; the matrix is symmetric
        return ((x.flatten(1) - self.mean) @ self.matrix).reshape(-1, *self.shape)

    def extra_repr(self) -> str:
        """Name the shape and the ridge."""
        return f"{self.shape}, ridge={self.ridge:g}"


class PatchWhitening(Traceable):
    """Whitening of image patches by their principal components: a fixed convolution.

    With the eigenvectors e_i and eigenvalues d_i of the patches' covariance, in descending order, channel i
    is e_i (patch - mean) / sqrt(d_i + ridge). Until `fit` is called, or a state is loaded, outputs are NaN.
    It is never trained.

    Args:
        in_channels: of an image.
        kernel_size: side of a patch.
        components: channels of the output, at most in_channels kernel_size^2; by default all of them.
        padding: zeros, or what ``padding_mode`` says, on each side.
        padding_mode: as of an ``nn.Conv2d``.
        ridge: is added to eigenvalues; above 0.

    Shape:
        Input (rows, in_channels, height, width), output (rows, components, height, width), without padding
        less kernel_size - 1 along each side.

    Raises:
        UsageError: too many components, or a ridge that is not above 0.

    >>> import torch
    >>> from hebbevo.nn import PatchWhitening
    >>> images = torch.rand(50, 3, 8, 8)
    >>> PatchWhitening(3, 3, components=10).fit(images)(images).shape
    torch.Size([50, 10, 6, 6])
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        kernel_size: int,
        components: int | None = None,
        *,
        padding: int = 0,
        padding_mode: str = "zeros",
        ridge: float = 1e-3,
    ) -> None:
        super().__init__()
        _check_ridge("PatchWhitening", ridge)
        size = in_channels * kernel_size**2
        if not 1 <= (components := size if components is None else components) <= size:
            raise UsageError(f"PatchWhitening: components={components}; write a number from 1 to {size}")
        self.kernel_size, self.padding, self.padding_mode = kernel_size, padding, padding_mode
        self.ridge = ridge
        self.register_buffer(
            "weight", torch.full((components, in_channels, kernel_size, kernel_size), torch.nan)
        )
        self.register_buffer("bias", torch.full((components,), torch.nan))

    @torch.no_grad()
    def fit(self, x: Tensor) -> Self:
        """Fit the map to all patches of training rows; returns the module.

        Args:
            x: (rows, in_channels, height, width).

        Raises:
            UsageError: rows of another shape.
        """
        if x.dim() != 4 or x.shape[1] != self.weight.shape[1] or min(x.shape[2:]) < self.kernel_size:
            what = f"give (rows, {self.weight.shape[1]}, height, width), no smaller than a patch"
            raise UsageError(f"PatchWhitening: rows of shape {tuple(x.shape)}; {what}")
        size = self.weight[0].numel()
        total, products, number = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
        for chunk in torch.split(x, _CHUNK):
            patches = F.unfold(chunk.double(), self.kernel_size).mT.reshape(-1, size).cpu()
            total += patches.sum(0)
            products += patches.T @ patches
            number += len(patches)
        mean = total / number
        values, vectors = _spectrum(products / number - mean.outer(mean))
        kept = slice(None, -len(self.weight) - 1, -1)  # eigenvalues are in ascending order
        filters = (vectors * (values + self.ridge).rsqrt()).T[list(range(size))[kept]]
        self.weight.copy_(filters.reshape(self.weight.shape))
        self.bias.copy_(-filters @ mean)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Whiten the patch around each position."""
        if self.padding and self.padding_mode != "zeros":
            x = F.pad(x, (self.padding,) * 4, self.padding_mode)
            return F.conv2d(x, self.weight, self.bias)
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)

    def extra_repr(self) -> str:
        """Name the sizes and the ridge."""
        components, channels = self.weight.shape[:2]
        return f"{channels}, {self.kernel_size}, components={components}, ridge={self.ridge:g}"


def _check_ridge(title: str, ridge: float) -> None:
    if not ridge > 0:
        raise UsageError(f"{title}: ridge={ridge}; write a number above 0")


def _spectrum(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, none below 0, in ascending order, and eigenvectors, as columns."""
    values, vectors = torch.linalg.eigh(covariance)
    return values.clamp(min=0), vectors
