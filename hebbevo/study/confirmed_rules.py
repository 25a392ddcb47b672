"""Which of the rules that a search has chosen among is ahead, and whether that holds under fresh seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hebbevo.objectives import pareto
from hebbevo.study.intervals import Mean, mean_of
from hebbevo.study.view import Study


@dataclass(frozen=True)
class ConfirmedRule:
    """The members of a confirmed front that have one rule.

    Attributes:
        rule: name of the rule.
        members: how many there are.
        found: hypervolume of what the search has recorded for them, 0 to 1.
        by_replicate: hypervolume of each replicate of them, 0 to 1.
    """

    rule: str
    members: int
    found: float
    by_replicate: tuple[float, ...]

    @property
    def confirmed(self) -> Mean:
        """The mean hypervolume over the replicates, with its interval."""
        return mean_of(self.by_replicate)


@dataclass(frozen=True)
class RuleComparison:
    """The rules of a confirmed front that a gene chooses among.

    Attributes:
        gene: ``units``, ``connections`` or ``credit``, or that of one layer.
        rules: by confirmed hypervolume, the highest first.
    """

    gene: str
    rules: tuple[ConfirmedRule, ...]

    @property
    def lead(self) -> Mean:
        """By how much the first rule leads the second one, paired by replicate; NaN without a second."""
        if len(self.rules) < 2:
            return mean_of([])
        first, second = self.rules[:2]
        pairs = zip(first.by_replicate, second.by_replicate, strict=True)
        return mean_of([own - other for own, other in pairs])

    @property
    def sentence(self) -> str:
        """Which rule is ahead, and whether that holds under fresh seeds."""
        first = self.rules[0]
        reached = (
            f"{self.gene}: {first.rule} has the hypervolume {first.confirmed.value:.3f} under fresh seeds"
        )
        if len(self.rules) == 1:
            return f"{reached}, and no other rule is on the front"
        second, lead = self.rules[1], self.lead
        found = max(self.rules, key=lambda each: each.found)
        ahead = f"{lead.value:+.3f} (95 % interval {lead.low:+.3f} to {lead.high:+.3f}) against {second.rule}"
        if found.rule != first.rule:
            return f"{reached}, {ahead}; in the search {found.rule} was ahead, and that does not hold"
        if not lead.low > 0:
            return f"{reached}, {ahead}: it was ahead in the search too, but by no more than chance"
        return f"{reached}, {ahead}: it was ahead in the search, and that holds"


def confirmed_rules(study: Study, gene: str) -> RuleComparison | None:
    """Compare the rules of a confirmed front.

    Each rule is judged by the hypervolume of its own members, in what the search has recorded and in each
    replicate of the confirmation. A rule without a member is not compared: it was beaten in the search.

    Args:
        study: the study.
        gene: a gene that is a rule.

    Returns:
        The comparison; ``None`` where there is no complete confirmation with two successful replicates.
    """
    confirmation = study.confirmation
    if confirmation is None or not confirmation.is_complete:
        return None
    runs = confirmation.runs()
    own = runs[(runs["role"] == "member") & runs["accuracy"].notna()]
    replicates = sorted(set(own["replicate"]))
    if len(replicates) < 2:
        return None

    def hypervolume(points: pareto.Points) -> float:
        return pareto.hypervolume(points, study.chance, study.neurons)

    members: dict[tuple[int, int], tuple[float, float]] = {
        (row["trial"], row["epoch"]): (row["found_accuracy"], row["found_survivors"])
        for row in confirmation.members().to_dict("records")
    }
    of_rule: dict[str, list[tuple[int, int]]] = {}
    for trial, epoch in members:
        rule = study.genome(trial).get(gene)
        if isinstance(rule, str):
            of_rule.setdefault(rule, []).append((trial, epoch))
    found = []
    for rule, keys in of_rule.items():
        is_of_rule = [each in keys for each in zip(own["trial"], own["epochs"], strict=True)]
        trained = own[is_of_rule].groupby("replicate")[["accuracy", "survivors"]]
        points = {replicate: table.to_numpy() for replicate, table in trained}
        by_replicate = tuple(hypervolume(points.get(each, np.empty((0, 2)))) for each in replicates)
        recorded = hypervolume(np.array([members[key] for key in keys]))
        found.append(ConfirmedRule(rule, len(keys), recorded, by_replicate))
    if not found:
        return None
    return RuleComparison(gene, tuple(sorted(found, key=lambda each: (-each.confirmed.value, each.rule))))
