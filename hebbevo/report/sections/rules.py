"""The section on rules that are genes: the front of each, and which parts of the whole front each holds."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hebbevo.report.charts import embedded
from hebbevo.report.figures.rules import rules_figure
from hebbevo.report.formatting import NONE, count, score
from hebbevo.report.queries import complete_trials, gene_value_of, rule_genes, rules_on_front
from hebbevo.report.section import Section
from hebbevo.study.confirmed_rules import ConfirmedRule, confirmed_rules
from hebbevo.study.front import front_rows
from hebbevo.study.view import Study


def rules(study: Study) -> Section | None:
    """Make the section: for each gene that is a rule, a chart of the fronts and a table of their shares."""
    trials = complete_trials(study)
    if trials.empty or not (found := rule_genes(study)):
        return None
    return Section.of("The rules", "rules", parts=[_part(study, trials, gene) for gene in found])


def _part(study: Study, trials: pd.DataFrame, gene: str) -> dict[str, Any]:
    working = trials[(trials["accuracy"] > study.chance) & ~trials["collapsed"]]
    by_rule = working.groupby(gene_value_of(working, gene), sort=False)
    fronts = {str(rule): _front(study, own) for rule, own in by_rule}
    holders = rules_on_front(study, gene)
    again = confirmed_rules(study, gene)
    confirmed = {each.rule: each for each in again.rules} if again else {}
    counts = gene_value_of(trials, gene).value_counts()
    cells = []
    for rule, own in fronts.items():
        held = holders.get(rule)
        best = own.iloc[own["accuracy"].argmax()]
        cells.append(
            [
                rule,
                count(counts[rule]),
                count(held.networks) if held else "0",
                held.parts if held else "",
                score(study, best["accuracy"]),
                count(best["survivors"]),
                *([_hypervolume(confirmed.get(rule))] if again else []),
            ]
        )
    header = [gene, "trials", "on the front", study.count, f"best {study.score}", f"with {study.count}"]
    return {
        "gene": gene,
        "chart": embedded(rules_figure(study, fronts), f"rules-{gene}"),
        "header": [*header, *(["confirmed hypervolume"] if again else [])],
        "rows": cells,
        "sentence": again.sentence if again else "",
    }


def _hypervolume(rule: ConfirmedRule | None) -> str:
    """The hypervolume of the confirmed members of a rule: mean and standard deviation over the replicates."""
    return f"{rule.confirmed.value:.3f} ± {rule.confirmed.sd:.3f}" if rule else NONE


def _front(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    return trials.iloc[front_rows(trials[[*study.goal.traded]].to_numpy(dtype=float))]
