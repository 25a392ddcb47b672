"""The least width of a distribution along an int, checked by counting steps that leave its value."""

from statistics import NormalDist

import numpy as np
import pytest

from hebbevo.samplers.numeric_axes import NumericAxes
from hebbevo.space import FloatGene, IntGene, Space


@pytest.mark.parametrize(
    "gene",
    [IntGene("n", 0, 1), IntGene("n", 3, 9), IntGene("n", 10, 95, step=7), IntGene("n", 1, 40, log=True)],
    ids=["two values", "seven values", "steps", "log"],
)
@pytest.mark.parametrize("margin", [0.02, 0.3])
def test_the_narrowest_distribution_leaves_the_value_of_an_int_with_the_margin(gene, margin):
    axes = NumericAxes(Space((FloatGene("x", 0.0, 1.0), gene)), margin)
    normal = np.array([NormalDist().inv_cdf((rank + 0.5) / 4000) for rank in range(4000)])
    for u in [0.001, 0.1, 0.37, 0.74, 0.93, 0.999, *map(gene.to_unit, gene.values[::4])]:
        spread = axes.least_deviations(np.array([0.5, u]))[1]
        values = np.array([gene.from_unit(min(max(x, 0.0), 1.0)) for x in u + spread * normal])
        value = gene.from_unit(u)
        ways = [side for side, end in ((-1, gene.values[0]), (1, gene.values[-1])) if value != end]
        shares = [(side * (values - value) > 0).mean() for side in ways]
        assert sum(shares) > 0.97 * margin
        assert min(shares) == pytest.approx(margin / len(ways), rel=0.03)  # the far edge decides


def test_a_distribution_centred_on_the_edge_of_an_int_has_a_least_width():
    axes = NumericAxes(Space((IntGene("n", 0, 1),)), 0.1)
    assert axes.least_deviations(np.array([0.5])) > 0
