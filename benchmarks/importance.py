"""Which genes decide: the part of the variance that each explains alone, and what fANOVA says.

hebbevo window stamina
python benchmarks/importance.py studies/stamina-window.db
"""

from __future__ import annotations

import math
import sys

import optuna
import pandas as pd
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

import hebbevo

PARTS = 8


def explained(values: pd.Series, gene: pd.Series) -> float:
    """The part of the variance of ``values`` between equal parts of the trials by a gene."""
    parts = pd.qcut(gene, PARTS, labels=False) if pd.api.types.is_numeric_dtype(gene) else gene
    return float(values.groupby(parts).transform("mean").var() / values.var())


def fanova(path: str, objective: int, logarithms: bool) -> dict[str, float]:
    """Optuna's importance of each gene, of the trials as they are or with logarithms of logarithmic genes."""
    study = optuna.create_study()
    for trial in optuna.load_study(study_name=None, storage=f"sqlite:///{path}").trials:
        params, distributions = dict(trial.params), dict(trial.distributions)
        for name, range_ in trial.distributions.items():
            if logarithms and isinstance(range_, FloatDistribution | IntDistribution) and range_.log:
                params[name] = math.log(params[name])
                distributions[name] = FloatDistribution(math.log(range_.low), math.log(range_.high))
        frozen = optuna.trial.create_trial(
            params=params, distributions=distributions, value=trial.values[objective]
        )
        study.add_trial(frozen)
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def main(path: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = hebbevo.open_study(path).window().trials
    genes = [name for name in trials.columns if name.startswith("genome.")]
    for measure in ("survivors", "accuracy", "usable"):
        parts = {gene: round(explained(trials[measure].astype(float), trials[gene]), 2) for gene in genes}
        print(measure, parts)
    for objective, measure in enumerate(("accuracy", "survivors")):
        for logarithms in (False, True):
            found = {name: round(value, 2) for name, value in fanova(path, objective, logarithms).items()}
            print("fANOVA", measure, "logarithms" if logarithms else "as it is", found)


if __name__ == "__main__":
    main(sys.argv[1])
