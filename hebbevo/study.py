"""A study to look at: its trials and its front as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from hebbevo import pareto
from hebbevo.ledger import Ledger, Record


class Study:
    """What a study file holds; made by `open_study`, `search` and `resume`.

    Attributes:
        path: the study file.
        name: of the search.
        settings: the space file's content with every override, as plain data.
        versions: of Python and the libraries that made the study.
        neurons: hidden neurons of a network before any dies.
        chance: validation accuracy of always answering the most frequent class.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.path: Path = ledger.path
        self.name: str = ledger.spec.name
        self.settings: dict[str, Any] = ledger.spec.to_json()
        self.versions: dict[str, str] = ledger.facts["versions"]
        self.neurons: int = ledger.facts["neurons"]
        self.chance: float = ledger.facts["chance"]
        genes = [gene.name for gene in ledger.spec.space.genes]
        rows = [
            self._row(record, generation.number, genes)
            for generation in ledger.generations()
            for record in generation.records
        ]
        kinds = _COLUMNS | {f"genome.{gene}": None for gene in genes}
        self._trials = pd.DataFrame(
            {
                name: pd.Series([row[place] for row in rows], dtype=kind)
                for place, (name, kind) in enumerate(kinds.items())
            }
        )

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, trials={len(self._trials)}, front={len(self.front())})"

    def trials(self) -> pd.DataFrame:
        """One row a trial, in the order of asking.

        Columns: ``trial``, ``state`` (complete, failed, running), ``accuracy`` (0..1), ``accuracy_sd`` and
        ``survivors_sd`` (over replicates; NaN for one), ``survivors``, ``neurons``, ``collapsed``,
        ``generation``, ``seconds``, ``failure`` (why, or ``None``), and ``genome.<gene>`` for every gene (NaN
        or ``None`` where it is inactive).
        """
        return self._trials.copy()

    def front(self) -> pd.DataFrame:
        """The trials that no other beats in accuracy and survivors at once, by survivors ascending."""
        finished = self._trials[self._trials.state == "complete"]
        best = pareto.front(finished[["accuracy", "survivors"]].to_numpy(float))
        columns = [name for name in self._trials.columns if name not in _NOT_IN_FRONT]
        return finished.iloc[best][columns].reset_index(drop=True)

    def hypervolume(self) -> float:
        """Part of the square from chance accuracy to 1, and from all neurons to none, that is dominated."""
        points = self._trials[["accuracy", "survivors"]].to_numpy(float)
        return pareto.hypervolume(points, self.chance, self.neurons)

    def _row(self, record: Record, generation: int, genes: list[str]) -> list[Any]:
        result = record.result
        details = result.details if result else {}
        accuracy, survivors = (result.values if result else None) or (None, None)
        return [
            record.number,
            _state(record),
            accuracy,
            details.get("accuracy_sd"),
            survivors,
            details.get("survivors_sd"),
            self.neurons,
            details.get("collapsed", False),
            generation,
            details.get("seconds"),
            details.get("failure"),
            *(record.genome.get(gene) for gene in genes),
        ]


_COLUMNS: dict[str, type | None] = {
    "trial": int,
    "state": str,
    "accuracy": float,
    "accuracy_sd": float,
    "survivors": float,
    "survivors_sd": float,
    "neurons": int,
    "collapsed": bool,
    "generation": int,
    "seconds": float,
    "failure": object,
}
_NOT_IN_FRONT = {"state", "collapsed", "generation", "seconds", "failure"}


def _state(record: Record) -> str:
    if record.result is None:
        return "running"
    return "failed" if record.result.values is None else "complete"


def open_study(path: str | Path) -> Study:
    """Read a study file, which may be in use.

    Raises:
        StudyError: there is no such file, or it is not a study of hebbevo.
    """
    with Ledger.open(Path(path)) as ledger:
        return Study(ledger)
