"""Codes: which unit is behind each element of a tensor.

A tensor of codes is float, since pools take no integers. Unit n has the code n + 1. Three codes stand for
other elements: `ZERO` is the number 0, `OTHER` is any other constant or value, and `MIXED` is computed from
several units or in an unknown way.
"""

from __future__ import annotations

import torch
from torch import Tensor

ZERO, OTHER, MIXED = 0, -1, -2  # zero, since padding and new tensors begin with zeros by themselves


def numbered(tensor: Tensor, axis: int) -> Tensor:
    """Codes of the shape of ``tensor``, whose units lie along ``axis`` in their order."""
    size, axes_behind = tensor.shape[axis], tensor.dim() - 1 - axis % tensor.dim()
    numbers = torch.arange(1.0, size + 1, device=tensor.device).view(-1, *(1,) * axes_behind)
    return numbers.expand(tensor.shape).clone()


def filled(tensor: Tensor, code: int) -> Tensor:
    """Codes of the shape of ``tensor`` that are all the same."""
    return torch.full(tensor.shape, float(code), device=tensor.device)


def code_of_constant(value: object) -> int:
    """The code of an argument that is no tensor."""
    return ZERO if isinstance(value, int | float) and value == 0 else OTHER


def merged(one: Tensor, other: Tensor) -> Tensor:
    """Codes of elements that are computed from two: a unit and a constant give the unit, two units mix.

    >>> merged(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, -2.0, 3.0]
    """
    is_constant_one, is_constant_other = ((codes <= ZERO) & (codes != MIXED) for codes in (one, other))
    both = torch.where(one == other, one, float(MIXED))
    return torch.where(is_constant_one, other, torch.where(is_constant_other, one, both))


def bounds(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors: the least of the first and the largest of the second over a window go to `common_code`."""
    return torch.where(codes == ZERO, torch.inf, codes), codes


def common_code(least: Tensor, largest: Tensor) -> Tensor:
    """The code that all elements of a window have, except for zeros; `MIXED` where they differ.

    Args:
        least: over each window, of the first of `bounds`.
        largest: over each window, of the second.
    """
    codes = torch.where(least == largest, largest, float(MIXED))
    # nothing but zeros: none was left for the least code
    codes = torch.where(least == torch.inf, float(ZERO), codes)
    # constants and zeros: the largest code is that of the zeros
    return torch.where((least == OTHER) & (largest <= ZERO), float(OTHER), codes)


def unit_of_column(codes: Tensor) -> tuple[tuple[int, ...] | None, bool]:
    """Which unit each column holds.

    Args:
        codes: (rows, columns).

    Returns:
        The unit by column, -1 where it holds none, or ``None`` where a column holds several. Then whether the
        columns of units hold nothing else in any row, except for zeros.
    """
    if not codes.numel():
        return None, False  # no row shows what the columns hold
    least = torch.where(codes > ZERO, codes, torch.inf).amin(0)
    largest = codes.amax(0)
    is_of_unit = largest > ZERO
    if bool((codes == MIXED).any()) or bool((is_of_unit & (least != largest)).any()):
        return None, False
    is_shared = bool(((codes == OTHER) & is_of_unit).any())
    units = torch.where(is_of_unit, largest - 1, -1.0).to(torch.int64)
    return tuple(units.tolist()), not is_shared
