"""SoftHebb: soft competition, in which the winner learns and losers unlearn.

Journé, Rodriguez, Guo & Moraitis, 2023, arXiv:2209.11883, section 2, with the update of the authors' code. A
corner of the family of `hebbevo.rules.credit.hebbian`: softmax_signed, decay y u, no threshold, the largest
entry of an update is 1, and no normalisation. With its letters,

    D_j = <y_j x> - <y_j u_j> w_j
    w_j <- w_j + rate |norm(w_j) - 1|^q D_j / max|D|

So the step does not depend on the size of inputs, norms go to 1, and the rate falls with their distance from
it. The larger a minibatch, the fewer such steps: its size is a hyperparameter of the rule.

Published for the three convolutions of CIFAR-10: ``hebbian_rate`` 0.08, 0.005, 0.01; ``temperature`` 1,
1/0.65, 1/0.25; ``initial_norm`` 25. The network has batch norm without scales before each layer,
`hebbevo.nn.Triangle` with powers 0.7, 1.4, 1 behind it, and learns in one epoch of minibatches of 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hebbevo.rules.credit import hebbian
from hebbevo.rules.credit.hebbian import Hebbian
from hebbevo.space.knobs import Scalar, Value, table

_OWN: dict[str, Scalar] = {
    "temperature": 1.0,
    "anti_hebbian": 1.0,
    "hebbian_rate": 0.01,
    "rate_power": 0.5,
    "connectivity": 1.0,
    "initial_norm": 25.0,
    "learns_from": 0.0,
    "learns_until": 0.0,
    "settle": 0.0,
}


class SoftHebb(Hebbian):
    """Soft competition, and updates whose largest entry is one."""

    name = "softhebb"
    knobs = table(*(replace(Hebbian.knobs[name], default=default) for name, default in _OWN.items()))

    def structure(self, value: Callable[[str], Any]) -> Mapping[str, Value]:
        """The corner of the family: values of the knobs that this rule does not have."""
        others = {name: knob.default for name, knob in Hebbian.knobs.items() if name not in _OWN}
        return {
            **others,
            "competition": hebbian.SOFTMAX_SIGNED,
            "threshold_form": hebbian.NONE,
            "decay_form": hebbian.SOFT,
            "update_scale": hebbian.LARGEST,
            "normalize": False,
        }
