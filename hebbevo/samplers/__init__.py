"""Samplers by the name they have in a space file."""

from hebbevo.samplers.base import Outcome, Sampler
from hebbevo.samplers.genetic import Genetic

SAMPLERS: dict[str, type[Sampler]] = {
    "ga": Genetic,
}

__all__ = ["SAMPLERS", "Genetic", "Outcome", "Sampler"]
