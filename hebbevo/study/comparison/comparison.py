"""Studies, and groups of studies that differ in their seed, compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from hebbevo.errors import UsageError
from hebbevo.messages import listed, printable
from hebbevo.objectives import pareto
from hebbevo.objectives.attainment import leads, median_level, surface
from hebbevo.objectives.pareto import Points
from hebbevo.study.comparison.groups import Group, grouped
from hebbevo.study.comparison.reference import common_reference
from hebbevo.study.comparison.significance import Contrast, contrast, holm
from hebbevo.study.comparison.verdict import CONFIRMED, FOUND, MEASURES, few_seeds, sentence
from hebbevo.study.intervals import mean_of
from hebbevo.study.view import Study, open_study


class Comparison:
    """A comparison of studies; made by `compare`.

    Attributes:
        groups: the groups of studies, in the order given.
        chance: accuracy of a guess, from which all hypervolumes are measured.
        neurons: number of neurons, or connections, of the largest network of all studies, likewise.
        largest: the same of each count that the fronts trade off.
        count: what survivors are, ``neurons`` or ``connections``.
        score: what people call the accuracy, as ``R2``.
        in_percent: whether it is shown in percent.
        remarks: what a reader has to know of these studies, a line each.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups: tuple[Group, ...] = tuple(groups)
        studies = [study for group in groups for study in group.studies]
        _require_different(studies)
        reference = common_reference(studies)
        self.chance: float = reference.chance
        self.neurons: int = reference.largest[0]
        self.largest: tuple[int, ...] = reference.largest
        self.count: str = studies[0].count
        self.score: str = studies[0].score
        self.in_percent: bool = studies[0].in_percent
        self._studies = pd.DataFrame(
            [self._study_row(group, study) for group in groups for study in group.studies]
        )
        self._fronts = {group.name: [_front(study) for study in group.studies] for group in groups}
        self.remarks: tuple[str, ...] = tuple(self._remarks(studies))

    def __repr__(self) -> str:
        return f"Comparison({listed(group.name for group in self.groups)}: {self.sentence})"

    def _repr_html_(self) -> str:
        """The sentence and the table, for a notebook."""
        table = self.table().rename(columns=printable)
        table["group"] = table["group"].map(printable)
        html = table.to_html(index=False, border=0, na_rep="", float_format="{:.4f}".format)
        return f"<p>{escape(printable(self.sentence))}</p>{html}"

    def studies(self) -> pd.DataFrame:
        """Give a table with a row per study.

        Its columns are ``group``, ``study``, ``seed``, ``trials`` (finished ones), ``total`` (asked for),
        ``front`` (points on it), ``best_accuracy``, ``hypervolume``, and ``confirmed``: the hypervolume of
        the confirmed front, NaN where there is none.
        """
        return self._studies.copy()

    def table(self) -> pd.DataFrame:
        """Give a table with a row per group: its mean hypervolume with a 95 % interval over its studies.

        Its columns are ``group``, ``studies``, ``hypervolume``, ``hypervolume_low``, ``hypervolume_high``,
        and the same of the ``confirmed`` hypervolume. Means are over the studies that have a value. The
        interval is Student's, NaN for a single study.
        """
        rows = []
        for group in self.groups:
            row: dict[str, Any] = {"group": group.name, "studies": len(group.studies)}
            for column in MEASURES.values():
                mean = mean_of([value for _, value in self._values(group, column)])
                row |= {column: mean.value, f"{column}_low": mean.low, f"{column}_high": mean.high}
            rows.append(row)
        return pd.DataFrame(rows)

    def pairs(self) -> pd.DataFrame:
        """Give a table with the differences of groups: a row for each pair and each measure.

        Its columns:

        - ``first``, ``second``: names of the groups.
        - ``measure``: ``found``, or ``confirmed`` where both groups have confirmed studies.
        - ``paired_seeds``: number of seeds by which the studies are paired; 0 where they are not.
        - ``difference``, ``low``, ``high``: mean hypervolume of the first less the second, with its 95 %
          interval.
        - ``t_p``: p of the paired t-test, or of Welch's t-test where the studies are not paired.
        - ``rank_p``: p of Wilcoxon's signed-rank test, or of the test of Mann and Whitney.
        - ``least_rank_p``: the smallest p that this test can give with so few studies.
        - ``t_holm``, ``rank_holm``: the same p, corrected by Holm's method for the number of pairs.
        """
        return self._pairs.copy()

    def leads(self) -> pd.DataFrame:
        """Give a table of the ranges of survivors in which the median surface of one group is above another.

        Its columns are ``above`` and ``below`` (names of groups), ``start`` and ``end`` (survivors; ``end``
        is the first that no longer counts, or infinity), and the largest ``difference`` in accuracy with the
        survivors ``at`` which it is.
        """
        return self._leads.copy()

    def attainment(self) -> pd.DataFrame:
        """Give a table with the corners of the attainment surfaces of every group.

        What the ``best`` surface shows is attained by at least one study, the ``median`` by at least half,
        the ``worst`` by all. The columns are ``group``, ``surface``, ``survivors`` and ``accuracy``. Further
        counts play no part.
        """
        rows = [
            (group.name, name, survivors, accuracy)
            for group in self.groups
            for name, corners in self._surfaces[group.name].items()
            for accuracy, survivors in corners.tolist()
        ]
        return pd.DataFrame(rows, columns=list(_ATTAINMENT_COLUMNS)).astype(_ATTAINMENT_COLUMNS)

    @cached_property
    def sentence(self) -> str:
        """What the comparison says, in words."""
        measure = CONFIRMED if self._studies[CONFIRMED].notna().all() else FOUND
        pairs = self._pairs[self._pairs["measure"] == measure]
        return sentence(measure, self.table(), pairs)

    @cached_property
    def _pairs(self) -> pd.DataFrame:
        rows = [row for measure in MEASURES for row in self._pair_rows(measure)]
        return pd.DataFrame(rows, columns=list(_PAIR_COLUMNS)).astype(_PAIR_COLUMNS)

    @cached_property
    def _leads(self) -> pd.DataFrame:
        rows = []
        for one, other in combinations(self.groups, 2):
            medians = self._surfaces[one.name]["median"], self._surfaces[other.name]["median"]
            for lead in leads(*medians, self.chance):
                above, below = (one, other) if lead.is_first else (other, one)
                rows.append((above.name, below.name, lead.start, lead.end, lead.most, lead.at))
        return pd.DataFrame(rows, columns=list(_LEAD_COLUMNS)).astype(_LEAD_COLUMNS)

    @cached_property
    def _surfaces(self) -> dict[str, dict[str, Points]]:
        return {
            name: {
                "best": surface(fronts, 1),
                "median": surface(fronts, median_level(len(fronts))),
                "worst": surface(fronts, len(fronts)),
            }
            for name, whole in self._fronts.items()
            for fronts in [[front[:, :2] for front in whole]]
        }

    def _study_row(self, group: Group, study: Study) -> dict[str, Any]:
        front, trials = _front(study), study.trials()
        confirmed = _confirmed_front(study)
        return {
            "group": group.name,
            "study": str(study.store),
            "seed": int(study.settings["search"]["seed"]),
            "trials": int((trials["state"] != "running").sum()),
            "total": study.total,
            "front": len(front),
            "best_accuracy": float(front[:, 0].max()) if len(front) else math.nan,
            "hypervolume": self._hypervolume(front),
            CONFIRMED: math.nan if confirmed is None else self._hypervolume(confirmed),
        }

    def _hypervolume(self, front: Points) -> float:
        return pareto.hypervolume(front, self.chance, self.largest)

    def _values(self, group: Group, column: str) -> list[tuple[int, float]]:
        """Seed and value of each study of a group that has one."""
        own = self._studies[(self._studies["group"] == group.name) & self._studies[column].notna()]
        return list(zip(own["seed"].tolist(), own[column].tolist(), strict=True))

    def _pair_rows(self, measure: str) -> list[tuple[Any, ...]]:
        column = MEASURES[measure]
        found: list[tuple[str, str, Contrast]] = []
        for one, other in combinations(self.groups, 2):
            first, second = self._values(one, column), self._values(other, column)
            if first and second:
                found.append((one.name, other.name, contrast(first, second)))
        t_holm = holm([each.t_p for _, _, each in found])
        rank_holm = holm([each.rank_p for _, _, each in found])
        return [
            (
                first,
                second,
                measure,
                each.counts[0] if each.is_paired else 0,
                each.difference.value,
                each.difference.low,
                each.difference.high,
                each.t_p,
                each.rank_p,
                each.least_rank_p,
                t_corrected,
                rank_corrected,
            )
            for (first, second, each), t_corrected, rank_corrected in zip(
                found, t_holm, rank_holm, strict=True
            )
        ]

    def _remarks(self, studies: Sequence[Study]) -> list[str]:
        short = [row for row in self._studies.to_dict("records") if row["trials"] < row["total"]]
        remarks = [f"{row['study']}: has {row['trials']} of its {row['total']} trials" for row in short]
        if len({study.chance for study in studies}) > 1:
            remarks.append(
                f"chance differs with the rows that are held out; all are measured from {self.chance:.4g}"
            )
        if len({study.neurons for study in studies}) > 1:
            remarks.append(
                f"the largest networks differ in size; all are measured from {self.neurons} {self.count}"
            )
        if len(studies[0].goal.traded) > 2:
            remarks.append(
                f"hypervolumes are of {studies[0].goal.aim}; surfaces and their ranges are of "
                f"{self.score} against {self.count} alone"
            )
        stale = [study for study in studies if study.confirmation and study.confirmation.is_stale]
        remarks += [f"{study.store}: has more trials than when it was confirmed" for study in stale]
        if len(self.groups) > 1 and (line := few_seeds(self._pairs)):
            remarks.append(line)
        return remarks


_PAIR_COLUMNS: dict[str, Any] = {
    "first": str,
    "second": str,
    "measure": str,
    "paired_seeds": int,
    "difference": float,
    "low": float,
    "high": float,
    "t_p": float,
    "rank_p": float,
    "least_rank_p": float,
    "t_holm": float,
    "rank_holm": float,
}
_LEAD_COLUMNS: dict[str, Any] = {
    "above": str,
    "below": str,
    "start": float,
    "end": float,
    "difference": float,
    "at": float,
}
_ATTAINMENT_COLUMNS: dict[str, Any] = {"group": str, "surface": str, "survivors": float, "accuracy": float}


def compare(
    studies: Sequence[Study | str | Path] | Mapping[str, Sequence[Study | str | Path]],
    storage: str | None = None,
    *,
    others: Sequence[Study | str | Path] = (),
) -> Comparison:
    """Compare studies of the same data: their hypervolumes, fronts, and whether differences are noise.

    Studies with the same settings but for the seed form a group. All hypervolumes are measured from one
    reference: chance, and the size of the largest network of all.

    Args:
        studies: at least two studies, or paths of study files; or named groups of them.
        storage: URL of a database; texts are then names of studies in it.
        others: studies beside the named groups, which are grouped by their settings.

    Raises:
        StudyError: there is no such study, or the studies differ in the data, the split, the score or the
            objectives.
        UsageError: there are fewer than two studies, one is there twice, or a group has no study.

    Examples:
        >>> import hebbevo
        >>> few = {"population": 4, "trials": 4, "epochs": 1, "workers": 1}
        >>> for sampler in ("random", "ga"):
        ...     _ = hebbevo.search("stamina", study=f"{sampler}.db", sampler=sampler, **few)
        >>> comparison = hebbevo.compare(["random.db", "ga.db"])
        >>> comparison.table()["group"].to_list()
        ['sampler random', 'sampler ga']
    """

    def opened(study: Study | str | Path) -> Study:
        return study if isinstance(study, Study) else open_study(study, storage)

    named = studies if isinstance(studies, Mapping) else {}
    unnamed = others if isinstance(studies, Mapping) else [*studies, *others]
    groups = [Group(name, tuple(map(opened, members))) for name, members in named.items()]
    groups += grouped([opened(study) for study in unnamed])
    for group in groups:
        if not group.studies:
            raise UsageError(f"group {group.name}: has no study; give it one")
        if [each.name for each in groups].count(group.name) > 1:
            raise UsageError(f"group {group.name}: another group has this name; write another")
    if sum(len(group.studies) for group in groups) < 2:
        raise UsageError("there are fewer than two studies to compare; give two or more")
    return Comparison(groups)


def _require_different(studies: Sequence[Study]) -> None:
    places = [str(study.store) if study.path is None else study.path.resolve() for study in studies]
    for place, study in enumerate(studies):
        if places.index(places[place]) < place:
            raise UsageError(f"{study.store}: is there twice; give each study once")


def _front(study: Study) -> Points:
    front: Points = study.front()[[*study.goal.traded]].to_numpy(float)
    return front


def _confirmed_front(study: Study) -> Points | None:
    """The confirmed members that no other one dominates; ``None`` for a study that is not confirmed."""
    if study.confirmation is None or not study.confirmation.is_complete:
        return None
    members = study.confirmation.members()
    own = members[members["on_front"].astype(bool)]
    front: Points = own[[f"confirmed_{measure}" for measure in study.goal.traded]].to_numpy(float)
    return front
