"""Stateless random numbers: compared with unsigned arithmetic, and tests of their distribution."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import vmap

from hebbevo.nn.stateless_random import uniform

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
N = 100_000


def splitmix_finaliser(bits):
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def lowbias32(bits, salt):
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> np.uint32(15)) ^ salt) * np.uint32(0x846CA68B)
    return bits ^ (bits >> np.uint32(16))


def reference_uniform(seed, step, size, stream):
    index = np.arange(size, dtype=np.uint64)
    with np.errstate(over="ignore"):
        key = splitmix_finaliser(splitmix_finaliser(np.array(seed, np.uint64)) + np.uint64(stream))
        key = splitmix_finaliser(key + np.uint64(step) * GOLDEN)
        low, high = (np.array(half, np.uint32) for half in (key & np.uint64(2**32 - 1), key >> np.uint64(32)))
        bits = lowbias32(index.astype(np.uint32) * np.uint32(0x9E3779B9) + low, high)
    return ((bits >> np.uint32(9)).astype(np.float64) + 0.5) / 2**23


def draw(seed=5, step=7, stream=1, size=N):
    return uniform(torch.tensor(seed), torch.tensor(step), (size,), stream)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_the_finaliser_of_the_reference_gives_the_published_splitmix64_numbers():
    with np.errstate(over="ignore"):
        first = splitmix_finaliser(np.arange(1, 4, dtype=np.uint64) * GOLDEN)
    assert first.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize(
    ("seed", "step", "stream"), [(0, 0, 0), (1, 0, 2), (2**62 - 1, 10**9, 5), (3, 17, 1)]
)
def test_uniform_is_the_reference_in_unsigned_arithmetic(seed, step, stream):
    mine = draw(seed, step, stream, 1000)
    assert mine.dtype == torch.float32
    np.testing.assert_array_equal(mine.numpy(), reference_uniform(seed, step, 1000, stream))


def test_uniform_fills_a_shape_in_row_order():
    flat = draw(size=12)
    assert torch.equal(uniform(torch.tensor(5), torch.tensor(7), (3, 4), 1), flat.reshape(3, 4))


@pytest.mark.parametrize(("step", "extreme"), [(6565410, 2.0**-24), (143978, 1 - 2.0**-24)])
def test_the_smallest_and_the_largest_number_are_inside_zero_to_one(step, extreme):
    assert draw(seed=0, step=step, size=1).item() == extreme


@pytest.mark.parametrize("stream", range(4))
def test_uniform_passes_chi_square_and_has_the_moments(stream):
    sample = draw(stream=stream).numpy().astype(np.float64)
    assert stats.chisquare(np.histogram(sample, 64, (0, 1))[0]).pvalue > 1e-3
    assert abs(sample.mean() - 1 / 2) < 5 * (1 / 12 / N) ** 0.5
    assert abs(sample.var() - 1 / 12) < 5 * (1 / 180 / N) ** 0.5


@pytest.mark.parametrize(
    "other",
    [
        dict(stream=2),
        dict(step=8),
        dict(seed=6),
        dict(seed=6, stream=0),  # neighbouring layers have neighbouring seeds
        dict(seed=6, step=6),
    ],
)
def test_other_streams_steps_and_seeds_are_uncorrelated(other):
    first, second = draw().numpy(), draw(**other).numpy()
    assert abs(correlation(first, second)) < 5 / N**0.5
    assert (first == second).mean() < 1e-4


def test_consecutive_numbers_are_uncorrelated_along_the_index_and_along_the_steps():
    sample = draw().numpy()
    assert abs(correlation(sample[1:], sample[:-1])) < 5 / N**0.5
    steps = vmap(lambda step: uniform(torch.tensor(5), step, (), 1))(torch.arange(20_000)).numpy()
    assert abs(correlation(steps[1:], steps[:-1])) < 5 / 20_000**0.5
    assert stats.chisquare(np.histogram(steps, 32, (0, 1))[0]).pvalue > 1e-3


def test_stacked_numbers_are_the_solo_numbers_bit_for_bit():
    seeds, steps = torch.tensor([0, 9, 2**61]), torch.tensor([3, 40, 5])
    stacked = vmap(lambda seed, step: uniform(seed, step, (17, 3), 2))(seeds, steps)
    for row, seed, step in zip(stacked, seeds, steps, strict=True):
        assert torch.equal(row, uniform(seed, step, (17, 3), 2))
