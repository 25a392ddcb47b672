"""Optuna's own samplers, as it has them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import Trial, TrialState

from hebbevo.samplers.knobs import GP, NSGA2, NSGA3, QMC, TPE
from hebbevo.samplers.sampler import Outcome, Sampler
from hebbevo.space.genes import ChoiceGene, Gene, Genome, IntGene
from hebbevo.space.knobs import Value

_ASKS = 5  # for a new genome; an ask of Optuna takes far longer than a draw


class Stock(Sampler):
    """A sampler of Optuna at work on a study in memory; a subclass says which.

    A generation is asked trial by trial and told at once. Only active genes are suggested, parents first.
    Where a genome was seen before, Optuna is asked up to 5 times, then a new one is drawn anywhere. What was
    refused counts as running until the generation is told, which keeps TPE and the Gaussian process away from
    it, and then as failed, as does what failed or was cut.
    """

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self._options: dict[str, Any] = {
            name: int(value) if self.knobs[name].kind is int else value for name, value in settings.items()
        }
        with _quiet():
            self._study = optuna.create_study(directions=["minimize"] * self.objectives)
        self._trials: list[Trial] = []

    @abstractmethod
    def _sampler(self, n: int) -> BaseSampler:
        """Make the sampler; ``n`` is the size of a generation."""

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        with _quiet():
            if self.generation == 0:
                self._study.sampler = self._sampler(n)
            asked = [self._new(rng) for _ in range(n)]
        self._trials = [trial for trial, _ in asked]
        return [genome for _, genome in asked]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        with _quiet():
            for trial, outcome in zip(self._trials, outcomes, strict=False):
                if outcome.losses is not None:
                    trial.set_constraint("violation", outcome.violation)
                    self._study.tell(trial, outcome.losses)
            for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._study.tell(left.number, state=TrialState.FAIL)

    def _new(self, rng: np.random.Generator) -> tuple[Trial, Genome]:
        for _ in range(_ASKS):
            trial = self._study.ask()
            genome = self._suggested(trial)
            if self._is_new(genome):
                return trial, genome
        genome = self.space.from_unit(self._unseen(lambda: rng.random(self.space.dimension), rng))
        genes = [gene for gene in self.space.genes if gene.name in genome]
        self._study.enqueue_trial({gene.name: _known_as(gene, genome[gene.name]) for gene in genes})
        trial = self._study.ask()
        return trial, self._suggested(trial)

    def _suggested(self, trial: Trial) -> Genome:
        values: Genome = {}
        for gene in self.space.parents_first:
            if gene.name in self.space.active(values):
                values[gene.name] = _suggest(trial, gene)
        return {name: values[name] for name in self.space.active(values)}


class Random(Stock):
    """Independent draws: the least that another sampler must beat."""

    def _sampler(self, n: int) -> BaseSampler:
        return RandomSampler(seed=self.seed)


class Qmc(Stock):
    """Quasi-random numbers (Sobol, 1967, doi:10.1016/0041-5553(67)90144-9; Halton, 1960).

    They are scrambled, unlike in Optuna, or the seed would decide nothing. Genes with conditions are drawn
    independently, as in Optuna.
    """

    knobs = QMC

    def _sampler(self, n: int) -> BaseSampler:
        return QMCSampler(seed=self.seed, **self._options)


class Tpe(Stock):
    """The tree-structured Parzen estimator (Watanabe, 2023, arXiv:2304.11127).

    With several objectives that of Ozaki et al. (2022, doi:10.1613/jair.1.13188).
    """

    knobs = TPE

    def _sampler(self, n: int) -> BaseSampler:
        chosen = self._options["multivariate"]
        multivariate = True if self._options["group"] else None if chosen == "auto" else chosen
        return TPESampler(seed=self.seed, **self._options | {"multivariate": multivariate})


class Gp(Stock):
    """Bayesian optimisation with Gaussian processes.

    It proposes what promises most logarithmic expected improvement (Ament et al., 2023, arXiv:2310.20708), of
    the hypervolume with several objectives. An ask takes a second and more. Genes with conditions are drawn
    independently.
    """

    knobs = GP

    def _sampler(self, n: int) -> BaseSampler:
        return GPSampler(seed=self.seed, warn_independent_sampling=False, **self._options)


class _Nsga(Stock):
    """A genetic algorithm whose population is a generation; genes with conditions are drawn independently."""

    _kind: ClassVar[type[NSGAIISampler] | type[NSGAIIISampler]]

    def _sampler(self, n: int) -> BaseSampler:
        options = self._options | {"mutation_prob": self._options["mutation_prob"] or None}
        sampler = self._kind(seed=self.seed, population_size=max(2, n), **options)
        # Optuna goes on with a population until so many of it did not fail; here all are asked at once
        sampler.population_size = 2
        return sampler


class Nsga2(_Nsga):
    """NSGA-II (Deb et al., 2002, doi:10.1109/4235.996017)."""

    _kind = NSGAIISampler
    knobs = NSGA2


class Nsga3(_Nsga):
    """NSGA-III (Deb & Jain, 2014, doi:10.1109/TEVC.2013.2281535)."""

    _kind = NSGAIIISampler
    knobs = NSGA3


def _suggest(trial: Trial, gene: Gene) -> Value:
    if isinstance(gene, ChoiceGene):
        return gene.choices[int(trial.suggest_categorical(gene.name, range(len(gene.choices))))]
    if isinstance(gene, IntGene):
        return trial.suggest_int(gene.name, gene.low, gene.values[-1], step=gene.step, log=gene.log)
    return float(trial.suggest_float(gene.name, gene.low, gene.high, log=gene.log))  # else NumPy's


def _known_as(gene: Gene, value: Value) -> Value:
    """What Optuna is told of a value: the place of a choice, as it would take 1 for True."""
    return int(gene.to_unit(value) * len(gene.choices)) if isinstance(gene, ChoiceGene) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the terminal what Optuna logs, and its warnings that something is experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
