"""The settings of every sampler.

They are apart from the samplers, whose modules import large libraries: a space file is checked without those.
"""

from __future__ import annotations

from hebbevo.space.knobs import Knob, table

SURROGATE = table(
    Knob("model_generations", int, 20, "generations of NSGA-II on the model", low=1, high=10_000),
    Knob(
        "fit_tolerance", float, 1e-2, "least part by which an iteration of a fit must lower its objective",
        low=1e-9, high=1.0,
    ),
    Knob("optimism", float, 1.0, "standard deviations of the confidence bound", low=0.0, high=10.0),
)  # fmt: skip
GENETIC = table(
    Knob("crossover_probability", float, 0.9, "probability that two parents are crossed", low=0.0, high=1.0),
    Knob("crossover_eta", float, 10.0, "closeness of children to their parents", low=0.0, high=1e3),
    Knob("mutation_genes", float, 1.0, "genes of a child that mutate, on average", low=0.0, high=1e3),
    Knob("mutation_eta", float, 10.0, "closeness of a mutated gene to its old value", low=0.0, high=1e3),
    Knob("selection", str, "nsga2", "how parents are chosen", choices=("nsga2", "nsga3")),
)
CMAES = table(
    Knob("sigma", float, 0.15, "first step size, in parts of a gene's range", low=1e-3, high=1.0),
    Knob("margin", float, 0.1, "least probability that a step changes an int", low=1e-6, high=0.4),
    Knob("redraw", float, 0.2, "probability that a choice is redrawn", low=0.0, high=1.0),
)
ANNEALING = table(
    Knob("hot", float, 0.03, "temperature at the start of a cooling", low=1e-6, high=1e3),
    Knob("cold", float, 0.001, "temperature at the end of a cooling", low=1e-6, high=1e3),
    Knob("anneals", int, 2, "coolings, each but the first from the archive", low=1, high=1000),
    Knob("step_genes", float, 1.0, "genes of a move that step, on average", low=0.0, high=1e3),
    Knob("step", float, 0.25, "mean step when hot, in parts of a gene's range", low=0.0, high=1.0),
    Knob("difference_share", float, 0.2, "share of the genes that a difference moves", low=0.0, high=1.0),
    Knob("archive", int, 100, "points that a full archive is thinned to", low=1, high=1000),
)
TPE = table(
    Knob("n_startup_trials", int, 10, "trials before there is a model", low=0, high=1e6),
    Knob("n_ei_candidates", int, 24, "draws, the best of which is proposed", low=1, high=1000),
    Knob(
        "multivariate", str, "auto", "genes are drawn jointly; auto: with one objective only",
        choices=("auto", True, False),
    ),
    Knob(
        "group", bool, False, "multivariate, and genes with conditions are drawn jointly too",
        choices=(True, False),
    ),
    Knob("constant_liar", bool, True, "keep away from genomes that are in training", choices=(True, False)),
)  # fmt: skip
GP = table(
    Knob("n_startup_trials", int, 10, "trials before there is a model", low=0, high=1e6),
    Knob(
        "deterministic_objective", bool, False, "the same genome always scores the same",
        choices=(True, False),
    ),
)  # fmt: skip
QMC = table(
    Knob("qmc_type", str, "sobol", "sequence of points", choices=("sobol", "halton")),
    Knob("scramble", bool, True, "the seed shuffles the sequence", choices=(True, False)),
)
_VARIATION = (
    Knob("crossover_prob", float, 0.9, "probability that two parents are crossed", low=0.0, high=1.0),
    Knob("swapping_prob", float, 0.5, "share of the genes from the other parent", low=0.0, high=1.0),
    Knob(
        "mutation_prob", float, 0.0, "share of the genes that are redrawn; 0: one per child on average",
        low=0.0, high=1.0,
    ),
)  # fmt: skip
NSGA2 = table(*_VARIATION)
NSGA3 = table(
    *_VARIATION,
    Knob("dividing_parameter", int, 3, "parts of an axis between niches", low=1, high=100),
)
