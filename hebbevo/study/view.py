"""A study to look at: its trials, the points that they passed through and its front, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hebbevo.objectives import pareto
from hebbevo.objectives.goal import Goal
from hebbevo.space.genes import Gene, IntGene
from hebbevo.study.attempts import Recovery
from hebbevo.study.epoch_results import points
from hebbevo.study.ledger import COPY, STOPPED, Ledger, Record, Result
from hebbevo.study.storage import Store, StudyFile, find_store


class Study:
    """What a study file holds; made by `open_study`, `search` and `resume`.

    Attributes:
        store: where it lives; as text, the path of the file, or name and database.
        name: of the search.
        settings: the space file's content with every override, as plain data.
        goal: its objectives and constraints.
        total: number of trials to reach, as last asked for.
        versions: of Python and the libraries that made the study.
        count: what survivors are, ``neurons`` or ``connections``.
        alone: why its networks train one by one; empty where they are stacked.
        neurons: of these, before any dies, in the largest network that the space can make.
        chance: validation accuracy of always answering the most frequent class.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.store: Store = ledger.store
        self.name: str = ledger.spec.name
        self.settings: dict[str, Any] = ledger.spec.to_json()
        self.goal: Goal = ledger.spec.goal
        self.versions: dict[str, str] = ledger.facts["versions"]
        self.count: str = ledger.spec.network.count
        self.alone: str = ledger.facts.get("alone", "")
        self.neurons: int = ledger.facts["neurons"]
        self.chance: float = ledger.facts["chance"]
        genes = {gene.name: _kind(gene) for gene in ledger.spec.space.genes}
        generations = ledger.generations()
        self._unlike = {  # where a loss had a part in the result
            record.number
            for generation in generations
            for record in generation.records
            if any(attempt.then is not Recovery.AGAIN for attempt in record.attempts)
        }
        self.total: int = generations[-1].total if generations else ledger.spec.search.trials
        results = (record.result for generation in generations for record in generation.records)
        judged = self._judged(filter(None, results), ledger.spec.task.epochs)
        self._points = pd.DataFrame(np.fromiter(judged, _POINT))
        rows = [
            self._row(record, generation.number, list(genes))
            for generation in generations
            for record in generation.records
        ]
        kinds = _COLUMNS | {f"genome.{gene}": kind for gene, kind in genes.items()}
        self._trials = pd.DataFrame(
            {
                name: pd.Series([row[place] for row in rows], dtype=kind)
                for place, (name, kind) in enumerate(kinds.items())
            }
        )

    def __repr__(self) -> str:
        return f"Study({str(self.store)!r}, trials={len(self._trials)}, front={len(self.front())})"

    @property
    def path(self) -> Path | None:
        """The study file; ``None`` for a study in a database."""
        return self.store.path if isinstance(self.store, StudyFile) else None

    def trials(self) -> pd.DataFrame:
        """One row a trial, in the order of asking.

        Columns: ``trial``, ``state`` (complete, stopped, which is before the last epoch, failed, running),
        ``accuracy`` (0..1), ``survivors``, ``accuracy_sd`` and ``survivors_sd`` (of complete trials, at the
        last epoch, else NaN; a spread is over replicates, and NaN for one), ``neurons`` (how many there were,
        or connections where these are counted), ``collapsed``, ``feasible`` (complete and within every
        constraint), ``generation``, ``seconds``, ``copy_of`` (the earlier trial of the same genome whose
        score it took, or NA), ``failure`` (why, or ``None``), ``notes`` (what of its network could not be
        followed or stacked, or ``None``), ``attempts`` (how often its training was begun; of a running trial
        only those that came to nothing), ``repeatable`` (not where want of time or memory, or what kept
        killing its worker, changed its cohort or made it fail: the same search need not find it again, nor
        what was asked after it), and ``genome.<gene>`` for every gene (NaN, NA or ``None`` where it is
        inactive).
        """
        return self._trials.copy()

    def points(self) -> pd.DataFrame:
        """One row a state that counts: of every training, and every number of survivors it had, the last.

        By trial and epoch. Columns: ``trial``, ``epoch`` (how many the training had had, 1 or more),
        ``accuracy``, ``survivors``, ``feasible`` (within every constraint) and ``finished`` (the end of a
        complete trial). A trial that was stopped early has points as well.
        """
        return self._points.copy()

    def front(self) -> pd.DataFrame:
        """The feasible points that no other one beats in accuracy and survivors, by survivors ascending.

        Of equals, the end of a training goes before an earlier epoch, then the first trial. Columns are
        ``epoch`` and those of `trials` that say how good the network is and what its genome was; spreads over
        replicates are recorded, and not NaN, at the end only.
        """
        candidates = self._candidates(self._points.feasible)
        return self._shown(candidates.iloc[pareto.front(_values(candidates))])

    def best(self) -> pd.Series[Any] | None:
        """The feasible end of a training of the least loss; ``None`` without any, or with two objectives.

        Ends only: one noisy number would find its luckiest epoch. Of equals the more
        accurate, then the one with fewer survivors, then as for `front`, whose columns it has.
        """
        candidates = self._candidates(self._points.feasible & self._points.finished)
        if self.goal.dimension > 1 or candidates.empty:
            return None
        ranks = [(*self.goal.losses((a, s)), -a, s) for a, s in _values(candidates)]
        return self._shown(candidates.iloc[[ranks.index(min(ranks))]]).iloc[0]

    def nearest(self) -> pd.Series[Any] | None:
        """The point that misses the constraints by least; ``None`` if any meets them, or there is none."""
        if self._points.feasible.any() or self._points.empty:
            return None
        candidates = self._candidates(~self._points.feasible)
        excesses = [self.goal.excess((a, s)) for a, s in _values(candidates)]
        return self._shown(candidates.iloc[[excesses.index(min(excesses))]]).iloc[0]

    def hypervolume(self) -> float:
        """Part of the square from chance accuracy to 1, and from all neurons to none, that is dominated.

        By feasible points: it is that of the front.
        """
        return pareto.hypervolume(_values(self._candidates(self._points.feasible)), self.chance, self.neurons)

    def _candidates(self, which: pd.Series[bool]) -> pd.DataFrame:
        """These points, the ends of trainings first: of equals the first is taken."""
        return self._points[which].sort_values("finished", ascending=False, kind="stable")

    def _shown(self, chosen: pd.DataFrame) -> pd.DataFrame:
        """These points, in the columns of a front."""
        columns = [name for name in self._trials.columns if name not in _NOT_IN_FRONT]
        places = pd.Index(self._trials.trial).get_indexer(chosen.trial)
        shown: pd.DataFrame = self._trials[columns].iloc[places].reset_index(drop=True)
        shown[["accuracy", "survivors"]] = _values(chosen)
        shown.loc[~chosen.finished.to_numpy(), ["accuracy_sd", "survivors_sd"]] = np.nan
        shown.insert(1, "epoch", chosen.epoch.to_numpy())
        return shown

    def _judged(self, results: Iterable[Result], epochs: int) -> Iterator[tuple[Any, ...]]:
        for result in results:
            for point in points(result, epochs):
                feasible = self.goal.excess(point.values) <= 0
                yield result.number, *point, feasible, point.epoch == epochs

    def _row(self, record: Record, generation: int, genes: list[str]) -> list[Any]:
        result = record.result
        details = result.details if result else {}
        values = result.values if result else None
        accuracy, survivors = values or (None, None)
        spreads = details if values else {}
        return [
            record.number,
            _state(record),
            accuracy,
            spreads.get("accuracy_sd"),
            survivors,
            spreads.get("survivors_sd"),
            details.get("neurons") or self.neurons,
            details.get("collapsed", False),
            values is not None and self.goal.excess(values) <= 0,
            generation,
            details.get("seconds"),
            details.get(COPY),
            details.get("failure"),
            "; ".join(details.get("notes", ())) or None,
            len(record.attempts) + _ended_by_a_training(record),
            details.get(COPY, record.number) not in self._unlike,
            *(record.genome.get(gene) for gene in genes),
        ]


_COLUMNS: dict[str, Any] = {
    "trial": int,
    "state": str,
    "accuracy": float,
    "accuracy_sd": float,
    "survivors": float,
    "survivors_sd": float,
    "neurons": int,
    "collapsed": bool,
    "feasible": bool,
    "generation": int,
    "seconds": float,
    "copy_of": "Int64",
    "failure": object,
    "notes": object,
    "attempts": int,
    "repeatable": bool,
}
_POINT = np.dtype(
    [
        ("trial", int),
        ("epoch", int),
        ("accuracy", float),
        ("survivors", float),
        ("feasible", bool),
        ("finished", bool),
    ]
)
_NOT_IN_FRONT = {
    "state",
    "collapsed",
    "feasible",
    "generation",
    "seconds",
    "copy_of",
    "failure",
    "notes",
    "attempts",
    "repeatable",
}


def _values(points: pd.DataFrame) -> NDArray[np.float64]:
    return points[["accuracy", "survivors"]].to_numpy(float)


def _kind(gene: Gene) -> str | None:
    """The type of a gene's column where pandas would choose another: whole numbers stay whole beside NA."""
    return "Int64" if isinstance(gene, IntGene) and gene.when else None


def _ended_by_a_training(record: Record) -> bool:
    if record.result is None or COPY in record.result.details:
        return False
    return not record.attempts or record.attempts[-1].then is not Recovery.FAILED


def _state(record: Record) -> str:
    if record.result is None:
        return "running"
    if STOPPED in record.result.details:
        return "stopped"
    return "failed" if record.result.values is None else "complete"


def open_study(study: str | Path, storage: str | None = None) -> Study:
    """Read a study, which may be in use.

    Args:
        study: the study file or, with ``storage``, the study's name in that database.
        storage: URL of a database, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    Raises:
        StudyError: there is no such study, or it is not one of hebbevo.
    """
    with Ledger.open(find_store(study, storage)) as ledger:
        return Study(ledger)
