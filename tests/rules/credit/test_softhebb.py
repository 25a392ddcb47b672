"""SoftHebb: its knobs, and what its units find."""

import torch
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import HebbianLinear
from hebbevo.rules import CREDIT


def test_its_knobs_are_its_own_and_all_else_is_fixed():
    rule, family = CREDIT["softhebb"], CREDIT["hebbian"]
    fixed = rule.structure(lambda knob: rule.knobs[knob].default)
    assert rule.knobs.keys() | fixed.keys() == family.knobs.keys()
    assert not rule.knobs.keys() & fixed.keys()


def test_units_find_the_centres_of_clusters():
    generator = torch.Generator().manual_seed(0)
    centres = torch.linalg.qr(torch.randn(20, 20, generator=generator))[0][:4] * 3
    layer = HebbianLinear(20, 12, rule="softhebb", seed=0, initial_norm=2.0, hebbian_rate=0.1)

    def nearest():
        """The largest cosine of a unit with each centre."""
        cosines = F.normalize(layer.weight.detach(), dim=1) @ F.normalize(centres, dim=1).T
        return cosines.amax(0).min()

    before = nearest()
    for _ in range(200):
        chosen = torch.randint(4, (10,), generator=generator)
        layer(centres[chosen] + 0.5 * torch.randn(10, 20, generator=generator))
    assert before < 0.5
    assert nearest() > 0.9
