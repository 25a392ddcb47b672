"""Counter-based random numbers: a pure function of (seed, step, index).

Stateless, so the numbers of a net are the same alone, in any cohort and after any restart.
The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood, 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def uniform(seed: Tensor, step: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Draw float32 numbers in the open interval (0, 1).

    ``seed`` and ``step`` are int64 scalars; different ``stream`` numbers give independent draws.
    """
    index = torch.arange(math.prod(shape), device=seed.device).reshape(shape)
    bits = _mix(_mix(_mix(seed + stream) + step * _GOLDEN) + index * _GOLDEN)
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32).add(0.5).mul(2.0**-24)


def normal(seed: Tensor, step: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Draw standard normal float32 numbers by the Box-Muller transform; arguments as in `uniform`."""
    radius = uniform(seed, step, shape, 2 * stream).log().mul(-2.0).sqrt()
    return radius * uniform(seed, step, shape, 2 * stream + 1).mul(2.0 * math.pi).cos()


def _mix(bits: Tensor) -> Tensor:
    # int64 products wrap around; >> keeps the sign, so the mask makes it the unsigned shift
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)
