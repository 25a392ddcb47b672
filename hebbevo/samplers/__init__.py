"""Samplers by the name they have in a space file."""

from hebbevo.samplers.annealing import Annealing
from hebbevo.samplers.base import Outcome, Sampler
from hebbevo.samplers.cmaes import CmaEs
from hebbevo.samplers.genetic import Genetic
from hebbevo.samplers.stock import Gp, Nsga2, Nsga3, Qmc, Random, Tpe
from hebbevo.samplers.surrogate import Surrogate

SAMPLERS: dict[str, type[Sampler]] = {
    "surrogate": Surrogate,
    "ga": Genetic,
    "cmaes": CmaEs,
    "annealing": Annealing,
    "tpe": Tpe,
    "gp": Gp,
    "qmc": Qmc,
    "random": Random,
    "nsga2": Nsga2,
    "nsga3": Nsga3,
}

__all__ = ["SAMPLERS", "Annealing", "CmaEs", "Genetic", "Outcome", "Sampler", "Surrogate"]
