"""Stateless random numbers: a pure function of (seed, step, index).

No generator has a state, so the numbers of a network are the same by itself, in any cohort and after any
restart.

Seed, stream and step are mixed into a key of 64 bits by the finaliser of SplitMix64 (Steele, Lea & Flood,
2014, doi:10.1145/2660193.2660195). Key and index are mixed by the 32-bit hash "lowbias32" (Wellons, 2018,
https://nullprogram.com/blog/2018/07/31/). This one runs over whole layers, so it must be cheap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# odd constants of the two hashes, as signed numbers: products of integers wrap around
_GOLDEN_64, _MIX_1, _MIX_2 = -7046029254386353131, -4658895280553007687, -7723592293110705685
_GOLDEN_32, _LOW_1, _LOW_2 = -1640531527, 0x7FEB352D, -2073254261


def uniform(seed: Tensor, step: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Draw uniform numbers for the places of a shape, counted in row order.

    Args:
        seed: () int64.
        step: () int64.
        shape: of the result.
        stream: other streams give independent numbers.

    Returns:
        ``shape`` float32, in the open interval (0, 1).
    """
    return uniform_at(seed, step, torch.arange(math.prod(shape), device=seed.device).reshape(shape), stream)


def normal(seed: Tensor, step: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Draw standard normal numbers for the places of a shape; see `uniform`.

    They are the quantiles of 2^23 equidistant probabilities, so none is above 5.3 in size.

    Returns:
        ``shape`` float32.
    """
    return uniform(seed, step, shape, stream).mul_(2).sub_(1).erfinv_().mul_(math.sqrt(2))


def uniform_at(seed: Tensor, step: Tensor, index: Tensor, stream: int) -> Tensor:
    """Draw the uniform numbers at some places.

    Args:
        seed: int64; ``seed``, ``step`` and ``index`` are broadcast together.
        step: int64.
        index: int64, the places.
        stream: other streams give independent numbers.

    Returns:
        float32, in the open interval (0, 1).
    """
    key = _mix(_mix(_mix(seed) + stream) + step * _GOLDEN_64)
    low, high = key.to(torch.int32), (key >> 32).to(torch.int32)
    # lowbias32, with the high half of the key in its second round; the masks make >> the unsigned shift
    bits = index.to(torch.int32) * _GOLDEN_32 + low
    # in place, as memory is what this costs where every weight of a layer has a number
    bits.bitwise_xor_((bits >> 16).bitwise_and_(0xFFFF)).mul_(_LOW_1)
    bits.bitwise_xor_((bits >> 15).bitwise_and_(0x1FFFF)).bitwise_xor_(high).mul_(_LOW_2)
    bits.bitwise_xor_((bits >> 16).bitwise_and_(0xFFFF))
    # 23 bits: with 24 of them, adding a half would be rounded, at the top to 1
    return (bits >> 9).bitwise_and_(0x7FFFFF).to(torch.float32).add_(0.5).mul_(2.0**-23)


def _mix(bits: Tensor) -> Tensor:
    """The finaliser of SplitMix64."""
    # >> keeps the sign, so the mask makes it the unsigned shift
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)
