"""Counter-based random numbers: a pure function of (seed, step, index).

Stateless, so the numbers of a net are the same alone, in any cohort and after any restart. Seed, stream and
step are mixed by the finaliser of SplitMix64 (Steele, Lea & Flood, 2014) into a key of 64 bits, key and index
by the 32-bit hash "lowbias32" (Wellons, 2018), which runs over whole layers and so must be cheap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# odd constants of the two hashes, as signed numbers: products of integers wrap around
_GOLDEN_64, _MIX_1, _MIX_2 = -7046029254386353131, -4658895280553007687, -7723592293110705685
_GOLDEN_32, _LOW_1, _LOW_2 = -1640531527, 0x7FEB352D, -2073254261


def uniform(seed: Tensor, step: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Draw float32 numbers in the open interval (0, 1).

    ``seed`` and ``step`` are int64 scalars; different ``stream`` numbers give independent draws.
    """
    return at(seed, step, torch.arange(math.prod(shape), device=seed.device).reshape(shape), stream)


def at(seed: Tensor, step: Tensor, index: Tensor, stream: int) -> Tensor:
    """Draw the numbers at some places: ``seed``, ``step`` and the int64 ``index`` are broadcast together."""
    key = _mix(_mix(_mix(seed) + stream) + step * _GOLDEN_64)
    low, high = key.to(torch.int32), (key >> 32).to(torch.int32)
    bits = index.to(torch.int32) * _GOLDEN_32 + low
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * _LOW_1
    bits = (bits ^ ((bits >> 15) & 0x1FFFF) ^ high) * _LOW_2
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    # 23 bits, for with 24 of them adding a half is rounded, at the top to 1
    return ((bits >> 9) & 0x7FFFFF).to(torch.float32).add(0.5).mul(2.0**-23)


def _mix(bits: Tensor) -> Tensor:
    # >> keeps the sign, so the mask makes it the unsigned shift
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)
