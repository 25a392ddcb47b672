"""What is wrong with a search as a whole: one line for each finding, which ends with what to do.

A healthy study has no lines. Each finding is a function from a study to its lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hebbevo.objectives.pareto import hypervolume
from hebbevo.rules import UNITS, known_knobs
from hebbevo.study.view import Study
from hebbevo.training.knobs import KNOBS

EDGE = 0.02
"""The part of a gene's range, at either end, that counts as its edge."""

_FEWEST_MEMBERS, _LEAST_SHARE = 3, 0.25  # of the front, on one edge
_MANY_TRIALS = 0.1  # share of trials on the floor, or collapsed
_LATE, _LATE_GAIN, _SMALLEST_GAIN = 0.2, 0.05, 0.002  # last part of the trials, its share, and its amount


def health(study: Study) -> list[str]:
    """Give what is wrong with a search, a line for each finding; none for a healthy study.

    >>> import hebbevo
    >>> study = hebbevo.search("stamina", study="ill.db", population=4, trials=4, epochs=1, workers=1)
    >>> health(study)[-1]
    'replicates 1: scores have no error bars; confirm the front, or search with --replicates 3'
    """
    return [line for finding in FINDINGS for line in finding(study)]


def edges(study: Study) -> Iterator[str]:
    """Genes whose values on the front lie on the edge of their range: at least 3, and a quarter of them."""
    front = study.front()
    knobs = {**known_knobs(), **KNOBS}
    for column in front.columns:
        gene = str(column).removeprefix("genome.")
        known = _range(study.settings["genome"], gene) if column != gene else None
        if known is None:
            continue
        values = front[column].dropna().astype(float)
        knob = knobs.get(gene.rpartition(".")[0] if gene not in study.settings["genome"] else gene)
        low, high = known["low"], known["high"]
        on_low, on_high = _on_edges(known, values)
        if _is_many(on_high, len(front)) and (knob is None or high < knob.high):
            yield _edge_line(gene, on_high, len(front), f"upper end {high:g}", "raise its `high`")
        if not _is_many(on_low, len(front)) or known.get("zero"):
            continue
        if low == 0 and not known.get("step") and known.get("type") != "int":
            what = "search it with `log: true, zero: true` and a `low` above 0"
            yield _edge_line(gene, on_low, len(front), "lower end 0", what)
        elif knob is None or low > knob.low:
            yield _edge_line(gene, on_low, len(front), f"lower end {low:g}", "lower its `low`")


def floor(study: Study) -> Iterator[str]:
    """Trials that ended with as few neurons as the rule may leave, ``min_neurons`` in each layer."""
    genome, network = study.settings["genome"], study.settings["network"]
    shape = {"units", "min_neurons", "depth", "hidden", "channels"}
    hidden = network.get("hidden")
    if study.count != "neurons" or not hidden or network.get("module"):
        return
    if any(name.partition(".")[0] in shape for name in genome):
        return  # each network has a floor of its own
    knob = UNITS[network["units"]].knobs.get("min_neurons")
    if knob is None:
        return
    fewest = int((network.get("settings") or {}).get("min_neurons", knob.default))
    layers = len(hidden) + len(network.get("channels") or [])
    trials = _complete(study)
    count = int((trials.survivors == fewest * layers).sum())
    if fewest and count >= max(_FEWEST_MEMBERS, _MANY_TRIALS * len(trials)):
        yield (
            f"{count} of {len(trials)} trials ended at the floor of {fewest * layers} neurons "
            f"(min_neurons {fewest} x {layers} layers): the rule would prune more; "
            "narrow the genes that prune most, or set `min_neurons: 1`"
        )


def collapsed(study: Study) -> Iterator[str]:
    """Networks without a path from the inputs to the outputs, if they are many."""
    trials = _complete(study)
    count = int(trials.collapsed.sum())
    if count and count >= _MANY_TRIALS * len(trials):
        yield (
            f"{count} of {len(trials)} trials collapsed, with no path from inputs to outputs; "
            "narrow the genes that prune most, or raise `min_neurons`"
        )


def failed(study: Study) -> Iterator[str]:
    """Trials whose training failed, unless nothing else happened: then another line says so."""
    trials = study.trials()
    of_failed = trials[trials.state == "failed"]
    if len(of_failed) and not study.points().empty:  # else there is nothing but the failures to see
        reason = str(of_failed.failure.mode().iloc[0])
        ended = int((trials.state != "running").sum())
        yield f"{len(of_failed)} of {ended} trials failed, most often: {reason}; see the report's failures"


def replicates(study: Study) -> Iterator[str]:
    """Scores of one training each, which have no error bars until the front is confirmed."""
    if study.settings["search"]["replicates"] == 1 and not study.front().empty and not study.is_confirmed:
        yield ("replicates 1: scores have no error bars; confirm the front, or search with --replicates 3")


def unsettled(study: Study) -> Iterator[str]:
    """A budget that ended while the hypervolume still grew.

    The gain is what the hypervolume has won since the first generation. It has not settled if the last fifth
    of the trials has 5 % of the gain or more, and won at least 0.002.
    """
    trials = study.trials()
    numbers = trials.trial[trials.state != "running"].to_numpy()
    population = study.settings["search"]["population"]
    if len(numbers) < 2 * population:
        return
    points = study.points()
    points = points[points.feasible & points.works]

    def reached(trial: int) -> float:
        values = points.loc[points.trial <= trial, [*study.goal.traded]].to_numpy(float)
        return hypervolume(values, study.chance, study.largest)

    late = math.ceil(_LATE * len(numbers))
    first, before, last = (reached(numbers[place]) for place in (population - 1, -late - 1, -1))
    won, gain = last - before, last - first
    if won >= _SMALLEST_GAIN and won >= _LATE_GAIN * gain:
        yield (
            f"not settled: the last {late} trials have {won / gain:.0%} of the gain in hypervolume "
            f"({won:+.4f}); continue with more trials (hebbevo resume --trials {2 * len(numbers)})"
        )


FINDINGS: tuple[Callable[[Study], Iterator[str]], ...] = (
    edges,
    floor,
    collapsed,
    failed,
    unsettled,
    replicates,
)
"""The findings, in the order of their lines."""


def _complete(study: Study) -> pd.DataFrame:
    trials = study.trials()
    return trials[trials.state == "complete"]


def _range(genome: Mapping[str, Any], gene: str) -> dict[str, Any] | None:
    """What the space file says of a numeric gene, or of the repeated gene that it is a layer of."""
    found = genome.get(gene) or genome.get(gene.rpartition(".")[0], {})
    return {**found} if found.get("low") is not None else None


def _on_edges(known: Mapping[str, Any], values: pd.Series[float]) -> tuple[int, int]:
    """How many values lie on the lower and the upper edge of a range, as wide as it is searched."""
    low, high = float(known["low"]), float(known["high"])
    if known.get("type") == "int" or known.get("step"):
        return int((values <= low).sum()), int((values >= high).sum())
    numbers = values.to_numpy(float)
    if known.get("log"):
        numbers = np.log(numbers[numbers > 0])
        low, high = math.log(low), math.log(high)
    places = (numbers - low) / (high - low)
    return int((places <= EDGE).sum()), int((places >= 1 - EDGE).sum())


def _is_many(count: int, members: int) -> bool:
    return count >= max(_FEWEST_MEMBERS, _LEAST_SHARE * members)


def _edge_line(gene: str, count: int, members: int, edge: str, what: str) -> str:
    return f"{gene}: {count} of {members} on the front lie at its {edge}; {what}"
