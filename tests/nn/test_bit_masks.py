"""Masks as bits give what `torch.where` gives, bit by bit."""

import pytest
import torch

from hebbevo.nn.bit_masks import bits_of, chosen, joined, keep_, kept

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def example(dtype, laid="rows"):
    """Values with all that a float may be, others, and a mask."""
    generator = torch.Generator().manual_seed(0)
    values, others = torch.randn(2, 3, 4, 5, generator=generator).to(dtype)
    values[0, 0, :4] = torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0])
    values[1, 0, :4] = values[0, 0, :4]
    mask = torch.rand(3, 4, 5, generator=generator) > 0.5
    mask[0, 0], mask[1, 0] = True, False
    return (values.mT, others.mT, mask.mT) if laid == "columns" else (values, others, mask)


def same(one, other):
    size = {8: torch.int64, 4: torch.int32, 2: torch.int16}[one.element_size()]
    return one.dtype is other.dtype and torch.equal(one.view(size), other.view(size))


@pytest.mark.parametrize("laid", ["rows", "columns"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_choose_as_where_does(dtype, laid):
    values, others, mask = example(dtype, laid)
    bits, zero = bits_of(mask, values), torch.zeros((), dtype=dtype)
    assert same(kept(values, bits), torch.where(mask, values, zero))
    assert same(chosen(bits, values, others), torch.where(mask, values, others))
    out = torch.empty_like(values)
    assert same(kept(values, bits, out), out)
    assert same(out, torch.where(mask, values, zero))
    changed = values.clone()
    keep_(changed, bits)
    assert same(changed, out)


def test_two_halves_are_joined_bit_by_bit():
    values, others, mask = example(torch.float32)
    bits = bits_of(mask, values)
    assert same(joined(kept(values, bits), kept(others, ~bits)), torch.where(mask, values, others))


def test_bits_work_in_a_stack():
    values, _, mask = example(torch.float32)
    stacked = torch.func.vmap(lambda value, own: kept(value, bits_of(own, value)))(values, mask)
    assert same(stacked, torch.where(mask, values, torch.zeros(())))
