"""Plasticity rules on three axes that combine: which units live, which connections live, how a layer learns.

A rule is one file, named like the rule, and one line in a registry below. Nothing in this package imports
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from hebbevo.errors import UsageError
from hebbevo.messages import unknown
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.credit.rule import CreditRule
from hebbevo.rules.regularizers.regularizer import Regularizer
from hebbevo.rules.rule import Rule
from hebbevo.rules.units.rule import UnitRule
from hebbevo.space.knobs import Knob

_Rule = TypeVar("_Rule", bound=Rule)


class _Rules(dict[str, _Rule]):
    """Rules by name; another name is an error that names what is known."""

    def __missing__(self, name: str) -> _Rule:
        raise UsageError(f"unknown rule {unknown(name, self)}")


def _registry(axis: str, kind: type[_Rule], *names: str) -> dict[str, _Rule]:
    """The rules of an axis by name: each is the class with that ``name``, in the file of that name."""
    rules = _Rules[_Rule]()
    for name in names:
        members: list[Any] = [*vars(import_module(f"{__name__}.{axis}.{name}")).values()]
        classes = [each for each in members if isinstance(each, type) and issubclass(each, kind)]
        [rule] = [each for each in classes if vars(each).get("name") == name]
        rules[name] = rule()
    return rules


UNITS: dict[str, UnitRule] = _registry(
    "units",
    UnitRule,  # type: ignore[type-abstract]
    "stamina",
    "usage",
    "contribution",
    "score",
    "taylor",
    "decorrelation",
    "frequency",
    "redo",
    "demp",
    "ablation",
    "l0",
    "magnitude",
    "random",
    "dense",
)
CONNECTIONS: dict[str, ConnectionRule] = _registry(
    "connections",
    ConnectionRule,  # type: ignore[type-abstract]
    "full",
    "hebb_mask",
    "set",
    "cosine",
    "coactivation",
    "rigl",
    "magnitude",
    "iterative_magnitude",
    "constant_fan_in",
    "random",
    "static",
)
CREDIT: dict[str, CreditRule] = _registry(
    "credit",
    CreditRule,
    "backprop",
    "hebbian",
    "softhebb",
    "hebbian_term",
    "feedback_alignment",
    "direct_feedback_alignment",
    "reward_modulated",
    "sign_symmetry",
    "kolen_pollack",
    "weight_mirror",
    "information_alignment",
    "symmetric_alignment",
    "activation_alignment",
    "similarity_matching",
)
REGULARIZERS: dict[str, Regularizer] = _registry(
    "regularizers", Regularizer, "activation_noise", "structured_noise", "feature_flow"
)
"""Noise and penalties on activations; they stand beside the axes, since a layer may have all of them."""
AXES: Mapping[str, Mapping[str, Rule]] = {"units": UNITS, "connections": CONNECTIONS, "credit": CREDIT}
"""The registries, each under the key of a space file's ``network`` that names a rule of it."""

__all__ = [
    "AXES",
    "CONNECTIONS",
    "CREDIT",
    "REGULARIZERS",
    "UNITS",
    "ConnectionRule",
    "CreditRule",
    "Regularizer",
    "Rule",
    "UnitRule",
    "known_knobs",
]


def known_knobs() -> dict[str, Knob]:
    """The knobs, by name, of every rule class that is defined, also outside of the registries."""
    kinds: list[type[Rule]] = [Rule]
    for kind in kinds:  # the list grows while it is read, so subclasses of subclasses are found too
        kinds += kind.__subclasses__()
    return {name: knob for kind in kinds for name, knob in getattr(kind, "knobs", {}).items()}
