"""How much each gene decides over each objective, from optuna.importance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import get_param_importances

from hebbevo.report.formatting import gene_value
from hebbevo.report.queries import complete_trials, gene_settings, genes
from hebbevo.study.view import Study

FEWEST = 20
"""So many complete trials are needed: the importance compares the best tenth of them with all."""
MOST = 2_000
"""Of more trials so many are measured, evenly spread over the search."""


def importance(study: Study) -> pd.DataFrame:
    """Measure how much each gene decides whether a trial is among the best tenth, by PED-ANOVA.

    It compares the values of a gene in the best tenth of the trials with those in all trials (Watanabe et
    al., 2023). Trials that a sampler chose crowd where it searched: genes that it fixed early seem
    unimportant.

    Returns:
        A row per gene, with the columns ``gene``, ``accuracy`` and ``survivors`` (shares that sum to 1), the
        most important first; empty with fewer than 20 complete trials, or without a difference between them.
    """
    trials = complete_trials(study)
    if len(trials) > MOST:
        trials = trials.iloc[np.linspace(0, len(trials) - 1, MOST).astype(int)]
    varied = {gene: each for gene in genes(study) if (each := _distribution(study, trials, gene)) is not None}
    found: dict[str, dict[str, float]] = {}
    if len(trials) < FEWEST or not varied:
        return pd.DataFrame({"gene": [], "accuracy": [], "survivors": []})
    for measure, sign in (("accuracy", -1.0), ("survivors", 1.0)):
        losses = sign * trials[measure].astype(float)
        equal = losses.nunique() < 2
        found[measure] = dict.fromkeys(varied, 0.0) if equal else _shares(trials, varied, losses)
    table = pd.DataFrame({"gene": list(varied), **{name: found[name].values() for name in found}})
    order = (table["accuracy"] + table["survivors"]).sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _shares(
    trials: pd.DataFrame, distributions: dict[str, BaseDistribution], losses: pd.Series[float]
) -> dict[str, float]:
    """The shares of the genes, in the given order."""
    # a study of Optuna's in memory logs its name
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="minimize")
        columns = {gene: _values(trials, gene, each) for gene, each in distributions.items()}
        for place, loss in enumerate(losses):
            active = {gene: values[place] for gene, values in columns.items() if values[place] is not None}
            own = {gene: distributions[gene] for gene in active}
            study.add_trial(optuna.create_trial(params=active, distributions=own, value=float(loss)))
        shares = get_param_importances(study)
    finally:
        optuna.logging.set_verbosity(verbosity)
    known = {gene: float(shares.get(gene, 0.0)) for gene in distributions}
    return {gene: share if math.isfinite(share) else 0.0 for gene, share in known.items()}


def _distribution(study: Study, trials: pd.DataFrame, gene: str) -> BaseDistribution | None:
    """The distribution of a gene over the range that it has; ``None`` if all its values are the same."""
    column = trials[f"genome.{gene}"]
    settings = gene_settings(study, gene)
    known = column.dropna()
    if "low" not in settings:
        texts = sorted({gene_value(value) for value in known})
        return CategoricalDistribution(texts) if len(texts) > 1 else None
    numbers = known.astype(float)
    if numbers.nunique() < 2:
        return None
    low, high = min(settings["low"], numbers.min()), max(settings["high"], numbers.max())
    return FloatDistribution(float(low), float(high), log=bool(settings.get("log")) and low > 0)


def _values(trials: pd.DataFrame, gene: str, distribution: BaseDistribution) -> list[Any]:
    """The values of a gene, ``None`` where it is inactive."""
    column = trials[f"genome.{gene}"].astype(object)
    change = gene_value if isinstance(distribution, CategoricalDistribution) else float
    return [None if not isinstance(value, list) and pd.isna(value) else change(value) for value in column]
