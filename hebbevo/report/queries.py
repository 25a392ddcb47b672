"""Questions about a study that several parts of the report ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hebbevo.networks import split_layer
from hebbevo.report.formatting import count, gene_value
from hebbevo.rules import AXES
from hebbevo.study.front import front_rows
from hebbevo.study.view import Study


def complete_trials(study: Study) -> pd.DataFrame:
    """The trials that were trained to the end, in order, with a column ``epoch``: the number of epochs."""
    trials = study.trials()
    return trials[trials["state"] == "complete"].assign(epoch=study.settings["task"]["epochs"])


def is_on_front(points: pd.DataFrame, front: pd.DataFrame) -> NDArray[np.bool_]:
    """For each point, given by its ``trial`` and ``epoch``: whether it is one of the points of the front."""
    keys, on_front = (pd.MultiIndex.from_frame(each[["trial", "epoch"]]) for each in (points, front))
    found: NDArray[np.bool_] = keys.isin(on_front)
    return found


def is_before_end(study: Study, points: pd.DataFrame) -> NDArray[np.bool_]:
    """For each point: whether it is a state of a network before the last epoch of a whole training."""
    before: NDArray[np.bool_] = points["epoch"].to_numpy() < study.settings["task"]["epochs"]
    return before


def genes(study: Study) -> list[str]:
    """The names of the genes in the order of the space file; repeated genes have one name per layer."""
    return [name.removeprefix("genome.") for name in study.trials().columns if name.startswith("genome.")]


def rule_genes(study: Study) -> list[str]:
    """The genes that are rules: ``units``, ``connections`` or ``credit``, or that of one layer."""
    return [gene for gene in genes(study) if split_layer(gene)[0] in AXES]


def gene_value_of(frame: pd.DataFrame, gene: str) -> pd.Series[Any]:
    """The values of a gene in each row of a table, as a person reads them."""
    return frame[f"genome.{gene}"].map(gene_value)


@dataclass(frozen=True)
class Held:
    """The parts of the front that networks under one rule hold.

    Attributes:
        networks: how many points of the front are theirs.
        parts: their numbers of survivors: from the least to the most of each stretch without another rule.
    """

    networks: int
    parts: str


def rules_on_front(study: Study, gene: str) -> dict[str, Held]:
    """Which parts of the front each rule holds, by the rule, in the order of the front."""
    front = study.front()
    rules = gene_value_of(front, gene)
    stretches: dict[str, list[str]] = {}
    for _, own in front.groupby((rules != rules.shift()).cumsum()):
        ends = dict.fromkeys(count(each) for each in (own["survivors"].min(), own["survivors"].max()))
        stretches.setdefault(str(rules[own.index[0]]), []).append(" to ".join(ends))
    networks = rules.map(str).value_counts()
    return {rule: Held(int(networks[rule]), ", ".join(parts)) for rule, parts in stretches.items()}


def outline(front: pd.DataFrame) -> pd.DataFrame:
    """The points that none beats in the score and survivors alone: what the line of a front joins."""
    return front.iloc[front_rows(front[["accuracy", "survivors"]].to_numpy(float))]


def gene_settings(study: Study, gene: str) -> dict[str, Any]:
    """What the space file says about a gene. For one layer of a repeated gene, that of the repeated gene."""
    genome = study.settings["genome"]
    found: dict[str, Any] = genome.get(gene) or genome[gene.rpartition(".")[0]]
    return found


def sizes_differ(study: Study) -> bool:
    """Whether not all networks start with the same number of neurons."""
    return bool((study.trials()["neurons"] < study.neurons).any())


def whole(study: Study) -> str:
    """What a share of survivors is a share of, in words."""
    return f"the largest network's {study.count}" if sizes_differ(study) else study.count


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each from column to value."""
    return [{str(column): value for column, value in row.items()} for row in frame.to_dict("records")]


def survivors_vary(study: Study) -> bool:
    """Whether not all points of a study have as many survivors, as where no rule prunes."""
    return study.points()["survivors"].nunique() > 1
