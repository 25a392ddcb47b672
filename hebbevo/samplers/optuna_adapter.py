"""Adapts Optuna's samplers to `Sampler`: each works on a study in memory."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseGASampler,
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
from hebbevo.space import ChoiceGene, FloatGene, Gene, Genome, IntGene
from hebbevo.space.knobs import Scalar, Value

_ASKS = 5  # for a new genome; asking Optuna takes far longer than drawing a point


class OptunaSampler(Sampler):
    """One of Optuna's samplers, at work on a study in memory; a subclass says which.

    A generation is asked trial by trial, and all of its trials are completed together in `tell`. Only active
    genes are suggested, a gene after those that its conditions name. If a genome was seen before, Optuna is
    asked up to 5 times; then a new genome is drawn anywhere and enqueued.

    A trial whose genome was turned down counts as running until the generation is complete, which keeps TPE
    and the Gaussian process away from it. After that it counts as failed, as do trials that failed or that
    were cut from the generation.

    Attributes:
        study: Optuna's study, with a trial for every genome that Optuna suggested.
    """

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        self._options: dict[str, Any] = {
            name: int(value) if self.knobs[name].kind is int else value for name, value in settings.items()
        }
        with _silent():
            self.study = optuna.create_study(directions=["minimize"] * self.objectives)
        self._trials: list[Trial] = []

    @abstractmethod
    def _sampler(self, n: int) -> BaseSampler:
        """Make Optuna's sampler; ``n`` is the size of a generation."""

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        with _silent():
            # only now is the size of a generation known
            if self.generation == 0:
                self.study.sampler = self._sampler(n)
            asked = [self._new_trial(rng) for _ in range(n)]
        self._trials = [trial for trial, _ in asked]
        return [genome for _, genome in asked]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        with _silent():
            for trial, outcome in zip(self._trials, outcomes, strict=False):
                if outcome.losses is not None:
                    trial.set_constraint("violation", outcome.violation)
                    self.study.tell(trial, outcome.losses)
            for left in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self.study.tell(left.number, state=TrialState.FAIL)

    def _begin_at(self, place: int, genome: Genome) -> None:
        with _silent():
            self._trials[place] = self._enqueued(genome)

    def _new_trial(self, rng: np.random.Generator) -> tuple[Trial, Genome]:
        for _ in range(_ASKS):
            trial = self.study.ask()
            genome = self._suggested(trial)
            if self._note_proposal(genome):
                return trial, genome
        genome = self.space.from_unit(self._unseen(lambda: rng.random(self.space.dimension), rng))
        return self._enqueued(genome), genome

    def _enqueued(self, genome: Genome) -> Trial:
        """A trial of Optuna's that has this genome."""
        genes = [gene for gene in self.space.genes if gene.name in genome]
        self.study.enqueue_trial({gene.name: _optuna_value(gene, genome[gene.name]) for gene in genes})
        trial = self.study.ask()
        self._suggested(trial)
        return trial

    def _suggested(self, trial: Trial) -> Genome:
        values: Genome = {}
        for gene in self.space.parents_first:
            if gene.name in self.space.active(values):
                values[gene.name] = _suggest(trial, gene)
        return {name: values[name] for name in self.space.active(values)}


class Random(OptunaSampler):
    """Independent draws: the least that another sampler must beat."""

    learns_after = math.inf

    def _sampler(self, n: int) -> BaseSampler:
        return RandomSampler(seed=self.seed)


class Qmc(OptunaSampler):
    """Quasi-random points (Sobol, 1967, doi:10.1016/0041-5553(67)90144-9; Halton, 1960).

    Unlike in Optuna they are scrambled by default; otherwise the seed would have no effect. Genes with
    conditions are drawn independently, as in Optuna.
    """

    knobs = QMC
    learns_after = math.inf

    def _sampler(self, n: int) -> BaseSampler:
        return QMCSampler(seed=self.seed, **self._options)


class Tpe(OptunaSampler):
    """The tree-structured Parzen estimator (Watanabe, 2023, arXiv:2304.11127).

    With several objectives it is that of Ozaki et al. (2022, doi:10.1613/jair.1.13188).
    """

    knobs = TPE

    def _sampler(self, n: int) -> BaseSampler:
        chosen = self._options["multivariate"]
        # Optuna's None stands for its own default, which depends on the number of objectives
        multivariate = True if self._options["group"] else None if chosen == "auto" else chosen
        return TPESampler(seed=self.seed, **self._options | {"multivariate": multivariate})


class Gp(OptunaSampler):
    """Bayesian optimisation with Gaussian processes.

    Its acquisition function is the logarithm of the expected improvement (Ament et al., 2023,
    arXiv:2310.20708); with several objectives the improvement is that of the hypervolume. An ask takes a
    second or more per genome. Genes with conditions are drawn independently.
    """

    knobs = GP

    def _sampler(self, n: int) -> BaseSampler:
        return GPSampler(seed=self.seed, warn_independent_sampling=False, **self._options)


class _Nsga(OptunaSampler):
    """A genetic algorithm whose population is a generation; genes with conditions are drawn independently."""

    _kind: ClassVar[type[NSGAIISampler] | type[NSGAIIISampler]]

    def _sampler(self, n: int) -> BaseSampler:
        options = self._options | {"mutation_prob": self._options["mutation_prob"] or None}
        sampler = self._kind(seed=self.seed, population_size=max(2, n), **options)
        # Optuna closes a generation once so many of its trials did not fail. Here a generation is asked at
        # once and closed whatever failed, so the number that it waits for is the least that Optuna allows
        sampler.population_size = 2
        return sampler

    def _begin_at(self, place: int, genome: Genome) -> None:
        super()._begin_at(place, genome)
        self._let_breed(self._trials[place])

    def _enqueued(self, genome: Genome) -> Trial:
        trial = super()._enqueued(genome)
        if self.version > 1:
            self._let_breed(trial)
        return trial

    def _let_breed(self, trial: Trial) -> None:
        """Give a trial the generation that Optuna gives no enqueued one: without it, it never is a parent."""
        sampler = self.study.sampler
        assert isinstance(sampler, BaseGASampler)
        sampler.get_trial_generation(self.study, self.study.get_trials(deepcopy=False)[trial.number])


class Nsga2(_Nsga):
    """NSGA-II (Deb et al., 2002, doi:10.1109/4235.996017)."""

    _kind = NSGAIISampler
    knobs = NSGA2


class Nsga3(_Nsga):
    """NSGA-III (Deb & Jain, 2014, doi:10.1109/TEVC.2013.2281535).

    With three objectives or more a rescaled loss may change its proposals: Optuna finds the ends of the front
    with weights of a million, in units of the losses.
    """

    _kind = NSGAIIISampler
    knobs = NSGA3


def _suggest(trial: Trial, gene: Gene) -> Value:
    if isinstance(gene, ChoiceGene):
        return gene.choices[int(trial.suggest_categorical(gene.name, range(len(gene.choices))))]
    if isinstance(gene, IntGene):
        return trial.suggest_int(gene.name, gene.low, gene.values[-1], step=gene.step, log=gene.log)
    if gene.step is not None:
        return gene.on_step(trial.suggest_int(gene.name, 0, gene.count - 1))
    if gene.zero:
        return gene.from_unit(trial.suggest_float(gene.name, 0.0, 1.0))
    return float(trial.suggest_float(gene.name, gene.low, gene.high, log=gene.log))  # Optuna may give NumPy's


def _optuna_value(gene: Gene, value: Value) -> Scalar:
    """A gene's value as Optuna has it.

    A choice is its index, since Optuna takes 1 and True as equal. A step has its number, since Optuna rounds
    otherwise. Where there is a zero beside a range, the value is its place in [0, 1].
    """
    if isinstance(gene, ChoiceGene):
        return int(gene.to_unit(value) * len(gene.choices))
    if isinstance(gene, FloatGene) and gene.step is not None:
        return int(gene.to_unit(value) * gene.count)
    if isinstance(gene, FloatGene) and gene.zero:
        return gene.to_unit(value)
    assert not isinstance(value, list)
    return value


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Optuna's log, and its warnings about experimental features, off the terminal."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
