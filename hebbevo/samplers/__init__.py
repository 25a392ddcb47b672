"""Samplers, by the names that they have in a space file.

A sampler proposes genomes, one generation at a time: see `Sampler` for an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from hebbevo import lazy_imports
from hebbevo.samplers.knobs import ANNEALING, CMAES, GENETIC, GP, NSGA2, NSGA3, QMC, SURROGATE, TPE
from hebbevo.samplers.version import VERSION
from hebbevo.space.knobs import Knob, Scalar

if TYPE_CHECKING:
    from hebbevo.samplers.annealing import Annealing
    from hebbevo.samplers.cmaes import CmaEs
    from hebbevo.samplers.genetic import Genetic
    from hebbevo.samplers.latin_hypercube import LatinHypercube
    from hebbevo.samplers.sampler import Outcome, Sampler
    from hebbevo.samplers.surrogate import Surrogate
    from hebbevo.space import Genome, Space


@dataclass(frozen=True)
class Entry:
    """A kind of sampler and its settings, known before its module is imported.

    Attributes:
        module: the module of its class.
        name: the name of its class.
        knobs: the settings of its class.
    """

    module: str
    name: str
    knobs: Mapping[str, Knob]

    @property
    def kind(self) -> type[Sampler]:
        """The class, whose module is imported on first use."""
        kind: type[Sampler] = getattr(import_module(self.module), self.name)
        return kind

    def __call__(
        self,
        space: Space,
        seed: int,
        settings: Mapping[str, Scalar],
        objectives: int = 2,
        start: Sequence[Genome] = (),
        version: int = VERSION,
        trials: int | None = None,
    ) -> Sampler:
        """Make a sampler; the arguments are those of `Sampler`."""
        return self.kind(space, seed, settings, objectives, start, version, trials)


SAMPLERS: dict[str, Entry] = {
    "surrogate": Entry("hebbevo.samplers.surrogate", "Surrogate", SURROGATE),
    "ga": Entry("hebbevo.samplers.genetic", "Genetic", GENETIC),
    "cmaes": Entry("hebbevo.samplers.cmaes", "CmaEs", CMAES),
    "annealing": Entry("hebbevo.samplers.annealing", "Annealing", ANNEALING),
    "tpe": Entry("hebbevo.samplers.optuna_adapter", "Tpe", TPE),
    "gp": Entry("hebbevo.samplers.optuna_adapter", "Gp", GP),
    "latin_hypercube": Entry("hebbevo.samplers.latin_hypercube", "LatinHypercube", {}),
    "qmc": Entry("hebbevo.samplers.optuna_adapter", "Qmc", QMC),
    "random": Entry("hebbevo.samplers.optuna_adapter", "Random", {}),
    "nsga2": Entry("hebbevo.samplers.optuna_adapter", "Nsga2", NSGA2),
    "nsga3": Entry("hebbevo.samplers.optuna_adapter", "Nsga3", NSGA3),
}

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.samplers.annealing": ("Annealing",),
        "hebbevo.samplers.cmaes": ("CmaEs",),
        "hebbevo.samplers.genetic": ("Genetic",),
        "hebbevo.samplers.latin_hypercube": ("LatinHypercube",),
        "hebbevo.samplers.sampler": ("Outcome", "Sampler"),
        "hebbevo.samplers.surrogate": ("Surrogate",),
    },
)

__all__ = [
    "SAMPLERS",
    "VERSION",
    "Annealing",
    "CmaEs",
    "Genetic",
    "LatinHypercube",
    "Outcome",
    "Sampler",
    "Surrogate",
]
