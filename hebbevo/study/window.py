"""The window of a knob: between which values the trials of a study are usable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from hebbevo.errors import UsageError
from hebbevo.messages import listed, unknown
from hebbevo.space import ChoiceGene, FloatGene, Gene, IntGene, Space
from hebbevo.study.knob_axis import KnobAxis
from hebbevo.study.window_edges import Edge, find_edges

PENALTY = "unactivation_penalty"
FORM = "penalty_form"
ALL = "all"
"""The group of all trials."""
ENOUGH = 25
"""Trials that a cell must have on average before anything is said about it."""
FEWEST_USABLE = 10
"""Usable trials without which a window cannot be located."""
TRIALS = 800
"""Trials of ``hebbevo window``: 25 for each of eight half decades and four forms."""
_MOST_GROUPS = 12


@dataclass(frozen=True)
class UsableTrial:
    """What makes a trial usable.

    Failed, stopped and collapsed trials are not, nor is one that does no better than chance.

    >>> UsableTrial(best=0.99).text
    'at least 50 % of the neurons gone, accuracy within 5 points of the best (99.0 %)'
    >>> UsableTrial(in_percent=False).text
    'at least 50 % of the neurons gone, accuracy within 0.05 of the best'

    Attributes:
        min_lost: least share of the neurons that it has lost, 0 to 1.
        within: most that its accuracy, 0 to 1, may be below the best one.
        best: the best accuracy of the study; NaN if there is none.
        chance: accuracy that it must exceed.
        count: what is lost, ``neurons``, ``connections``, ``parameters`` or ``multiply_adds``.
        score: what people call the accuracy.
        in_percent: whether it is shown in percent.
    """

    min_lost: float = 0.5
    within: float = 0.05
    best: float = math.nan
    chance: float = 0.0
    count: str = "neurons"
    score: str = "accuracy"
    in_percent: bool = True

    def __post_init__(self) -> None:
        for name, value in (("min-lost", self.min_lost), ("within", self.within)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name}: {value:g} is not possible; write a number from 0 to 1")

    def __call__(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        """For each row of a table of trials: whether it is usable."""
        lost = 1 - trials["survivors"] / trials["neurons"]
        accuracy = trials["accuracy"]
        rounding = 1e-9
        usable = (
            (trials["state"] == "complete")
            & ~trials["collapsed"]
            & (lost >= self.min_lost - rounding)
            & (accuracy >= self.best - self.within - rounding)
            & (accuracy > self.chance)
        )
        return usable.to_numpy(bool)

    @property
    def text(self) -> str:
        """The definition in words."""
        lost = f"at least {100 * self.min_lost:g} % of the {self.count} gone, " if self.min_lost else ""
        near = f"{100 * self.within:g} points" if self.in_percent else f"{self.within:g}"
        best = f"{100 * self.best:.1f} %" if self.in_percent else f"{self.best:.3f}"
        of_best = "" if math.isnan(self.best) else f" ({best})"
        return f"{lost}{self.score} within {near} of the best{of_best}"


@dataclass(frozen=True)
class UsableRange:
    """Where the trials of one group are usable.

    Attributes:
        group: value of the gene by which the trials are grouped, or `ALL`.
        trials: how many there are.
        usable: how many of them are usable.
        plateau: share of usable trials inside the window; NaN if it cannot be located.
        lower: least usable value, with its 95 % interval; ``None`` if it is not in the range.
        upper: largest usable value, likewise.
    """

    group: str
    trials: int
    usable: int
    plateau: float = math.nan
    lower: Edge | None = None
    upper: Edge | None = None

    @property
    def text(self) -> str:
        """The range in words, as ``from 1.1 (0.9 to 1.4) up``."""
        if not self.usable:
            return f"nowhere (0 of {self.trials} trials)"
        if math.isnan(self.plateau):
            return f"too rarely to say where ({self.usable} of {self.trials} trials)"
        lower, upper = (
            None if edge is None else f"{edge.place:.2g} ({edge.low:.2g} to {edge.high:.2g})"
            for edge in (self.lower, self.upper)
        )
        if lower and upper:
            return f"from {lower} to {upper}"
        return f"from {lower} up" if lower else f"up to {upper}" if upper else "over the whole range"

    @property
    def not_reached(self) -> str:
        """Which end of the window lies outside the space, in words; empty if there is none."""
        if math.isnan(self.plateau) or (self.lower and self.upper):
            return ""
        ends = [name for name, edge in (("lower", self.lower), ("upper", self.upper)) if edge is None]
        return f"{' and '.join(ends)} end not reached in this space"


@dataclass(frozen=True, eq=False)
class Window:
    """The window of a knob, made by `hebbevo.Study.window`. Its text is the sentence.

    Attributes:
        knob: name of the gene.
        by: name of the gene by which the trials are grouped; empty without one.
        definition: what makes a trial usable.
        shares: a table with a row for each group and cell of the knob, the group of all trials first. The
            columns are ``group``, ``low`` and ``high`` (the ends of the cell), ``cell`` (in words),
            ``trials``, ``usable``, ``share``, and ``share_low`` and ``share_high``, the ends of its Wilson
            95 % interval; NaN in a cell without trials.
        ranges: where trials are usable: of all trials, then of each group. Empty with too few trials; only
            the first one if there are too few to tell groups apart.
        trials: a table of the trials that count, with the columns of `hebbevo.Study.trials` and ``usable``:
            finished ones that the sampler did not choose, no copies, with the knob active.
        axis: the axis of the knob.
        remarks: what a reader has to know: too few trials, and the command that makes more; stopped trials.
    """

    knob: str
    by: str
    definition: UsableTrial
    shares: pd.DataFrame
    ranges: tuple[UsableRange, ...]
    trials: pd.DataFrame
    axis: KnobAxis
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Where the knob is usable, with 95 % intervals, or why that cannot be said; one line."""
        parts = []
        if self.ranges:
            whole, *groups = self.ranges
            inside = "" if math.isnan(whole.plateau) else f", there in {100 * whole.plateau:.0f} % of trials"
            parts.append(f"{self.knob} is usable {whole.text}{inside}{_behind(whole.not_reached)}")
            if groups:
                alike = {each.not_reached for each in groups} == {whole.not_reached}
                texts = (
                    each.text if alike or not each.not_reached else f"{each.text} ({each.not_reached})"
                    for each in groups
                )
                each = "; ".join(f"{part.group} {text}" for part, text in zip(groups, texts, strict=True))
                parts.append(f"By {self.by}: {each}")
            if any(each.lower or each.upper for each in self.ranges):
                parts.append("In brackets: 95 % intervals")
        return ". ".join([*parts, *self.remarks])

    def grid(self, other: FloatGene | IntGene) -> tuple[pd.DataFrame, KnobAxis]:
        """Cut the trials by the knob and another numeric gene.

        Returns:
            A table with a row for each pair of cells, and the axis of the other gene. Columns of the table
            are ``column`` and ``row`` (numbers of the knob's and the other gene's cell), ``trials``,
            ``usable`` and ``share``.
        """
        axis = KnobAxis(other)
        active = self.trials[self.trials[f"genome.{other.name}"].notna()]
        pairs = pd.DataFrame(
            {
                "column": self.axis.cell_numbers(active[f"genome.{self.knob}"]),
                "row": axis.cell_numbers(active[f"genome.{other.name}"]),
                "usable": active["usable"].to_numpy(),
            }
        )
        every = pd.MultiIndex.from_product(
            [range(len(self.axis.cells)), range(len(axis.cells))], names=["column", "row"]
        )
        counted = pairs.groupby(["column", "row"])["usable"].agg(["size", "sum"]).reindex(every, fill_value=0)
        table = counted.set_axis(["trials", "usable"], axis=1).reset_index()
        return table.assign(share=table["usable"] / table["trials"].where(table["trials"] > 0)), axis

    def __str__(self) -> str:
        return self.sentence


def make_window(
    trials: pd.DataFrame,
    knob: FloatGene | IntGene,
    by: ChoiceGene | IntGene | None,
    definition: UsableTrial,
    command: Callable[[int], str],
) -> Window:
    """Measure the window of a knob.

    Args:
        trials: those that count, with the columns of `hebbevo.Study.trials`.
        knob: the gene.
        by: a gene whose values are compared.
        definition: what makes a trial usable.
        command: gives the command that makes a number of trials.
    """
    active = trials[trials[f"genome.{knob.name}"].notna()]
    axis = KnobAxis(knob)
    values = active[f"genome.{knob.name}"].to_numpy(float)
    usable = definition(active)
    names = _groups(active, by)
    groups = {ALL: np.full(len(active), True)} | {name: names == name for name in _values_of(by)}
    shares = pd.concat(
        [_shares(name, axis, values[own], usable[own]) for name, own in groups.items()], ignore_index=True
    )
    cells = len(axis.cells)
    needed, needed_by = ENOUGH * cells, ENOUGH * cells * (len(groups) - 1)
    remarks = []
    measured: dict[str, NDArray[np.bool_]] = {}
    scale = len(trials) / len(active) if len(active) else 1.0  # of trials in which the knob is active
    if len(active) < needed:
        what = f"{len(active)} trials that the sampler did not choose are too few for {knob.name}"
        remarks.append(f"{what}: {cells} cells need {needed}; {_run(command, needed * scale)}")
    elif len(active) < needed_by:
        assert by is not None
        what = f"{len(active)} trials are too few to tell {by.name} apart"
        cut = f"{len(groups) - 1} x {cells} cells need {needed_by}"
        remarks.append(f"{what}: {cut}; {_run(command, needed_by * scale)}")
        measured = {ALL: groups[ALL]}
    else:
        measured = groups
    if stopped := int((active["state"] == "stopped").sum()):
        remarks.append(f"{stopped} trials were stopped early and count as not usable")
    return Window(
        knob=knob.name,
        by="" if by is None else by.name,
        definition=definition,
        shares=shares,
        ranges=tuple(_range(name, axis, values[own], usable[own]) for name, own in measured.items()),
        trials=active.assign(usable=usable),
        axis=axis,
        remarks=tuple(remarks),
    )


def default_knob(genes: Sequence[Gene], trials: pd.DataFrame, measure: str = "survivors") -> str | None:
    """The gene whose window is shown unless another is named.

    It is the penalty, for layers with their own penalties that of the first one. Without one it is the
    numeric gene with the strongest rank correlation with a measure.

    Returns:
        ``None`` if there is no numeric gene, or no trial by which to choose one.
    """
    names = [gene.name for gene in genes if isinstance(gene, FloatGene | IntGene)]
    own = [name for name in names if name == PENALTY or name.startswith(f"{PENALTY}.")]
    if own:
        return own[0]
    complete = trials[trials["state"] == "complete"]
    found = {}
    for name in names:
        values = pd.to_numeric(complete[f"genome.{name}"], errors="coerce").astype(float)
        pairs = pd.DataFrame({"gene": values, "measure": complete[measure]}).dropna()
        if (pairs.nunique() > 1).all():
            ranks = pairs.rank()
            found[name] = abs(float(ranks["gene"].corr(ranks["measure"])))
    return max(found, key=lambda name: found[name], default=None)


def default_by(space: Space, knob: str) -> str | None:
    """The form of the penalty, if the knob is a penalty and its form is a gene."""
    if not knob.startswith(PENALTY):
        return None
    names = [gene.name for gene in space.genes]
    return next((name for name in (knob.replace(PENALTY, FORM, 1), FORM) if name in names), None)


def find_knob(space: Space, name: str) -> FloatGene | IntGene:
    """Find a numeric gene by its name.

    Raises:
        UsageError: there is none of this name.
    """
    numbers = {gene.name: gene for gene in space.genes if isinstance(gene, FloatGene | IntGene)}
    if name not in numbers:
        raise UsageError(f"knob: there is no numeric gene {unknown(name, numbers)}")
    return numbers[name]


def find_by(space: Space, name: str, knob: str | None) -> ChoiceGene | IntGene:
    """Find a gene with few values, other than the knob, by its name.

    Raises:
        UsageError: there is none of this name.
    """
    few = {gene.name: gene for gene in space.genes if gene.name != knob and _has_few_values(gene)}
    if name not in few:
        raise UsageError(f"by: there is no gene with few values {unknown(name, few)}")
    gene = few[name]
    assert isinstance(gene, ChoiceGene | IntGene)
    return gene


def _has_few_values(gene: Gene) -> bool:
    return isinstance(gene, ChoiceGene) or (isinstance(gene, IntGene) and len(gene.values) <= _MOST_GROUPS)


def wilson(usable: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927, doi:10.2307/2276774); NaN without trials.

    >>> [round(end, 3) for end in wilson(5, 10)]
    [0.237, 0.763]
    """
    if not trials:
        return math.nan, math.nan
    found = binomtest(usable, trials).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def _shares(
    name: str, axis: KnobAxis, values: NDArray[np.float64], usable: NDArray[np.bool_]
) -> pd.DataFrame:
    numbers = axis.cell_numbers(values)
    rows = []
    for number, cell in enumerate(axis.cells):
        own = numbers == number
        count, good = int(own.sum()), int(usable[own].sum())
        share = good / count if count else math.nan
        rows.append((name, cell.low, cell.high, cell.text, count, good, share, *wilson(good, count)))
    columns = ["group", "low", "high", "cell", "trials", "usable", "share", "share_low", "share_high"]
    return pd.DataFrame(rows, columns=columns)


def _range(name: str, axis: KnobAxis, values: NDArray[np.float64], usable: NDArray[np.bool_]) -> UsableRange:
    places = axis.places(values)
    on_axis = ~np.isnan(places)  # a zero beside the range has a cell of its own
    places, good = places[on_axis], usable[on_axis]
    count = int(good.sum())
    if count < FEWEST_USABLE:
        return UsableRange(name, len(places), count)
    edges = find_edges(places, good)
    lower, upper = (
        None if edge is None else Edge(*(axis.value(each) for each in (edge.place, edge.low, edge.high)))
        for edge in (edges.lower, edges.upper)
    )
    return UsableRange(name, len(places), count, edges.plateau, lower, upper)


def _groups(trials: pd.DataFrame, by: ChoiceGene | IntGene | None) -> NDArray[np.object_]:
    """The text of a gene's value in each trial; empty where the gene is inactive."""
    if by is None:
        return np.full(len(trials), "", dtype=object)
    values = trials[f"genome.{by.name}"]
    missing = [not isinstance(value, list) and bool(pd.isna(value)) for value in values]
    texts = ["" if gone else listed([value]) for value, gone in zip(values, missing, strict=True)]
    return np.array(texts, dtype=object)


def _values_of(by: ChoiceGene | IntGene | None) -> list[str]:
    if by is None:
        return []
    return [listed([value]) for value in (by.choices if isinstance(by, ChoiceGene) else by.values)]


def _run(command: Callable[[int], str], trials: float) -> str:
    return f"run '{command(math.ceil(trials))}'"


def _behind(text: str) -> str:
    return f"; {text}" if text else ""
