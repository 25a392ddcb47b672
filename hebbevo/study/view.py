"""A study to look at: its trials, their results after each epoch and its front, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.errors import UsageError
from hebbevo.objectives import pareto
from hebbevo.objectives.goal import Goal
from hebbevo.samplers import SAMPLERS
from hebbevo.space import ChoiceGene, Gene, Genome, IntGene, Space
from hebbevo.spec import read, shipped
from hebbevo.study.attempts import Recovery
from hebbevo.study.confirmation import Confirmation, Scale, equal_size
from hebbevo.study.confirmation_record import ConfirmationRecord
from hebbevo.study.epoch_results import epoch_results
from hebbevo.study.front import front_rows, works
from hebbevo.study.initial_design import initial_design
from hebbevo.study.ledger import Ledger, Record, Result
from hebbevo.study.possible_rules import may_prune, possible_rules
from hebbevo.study.storage import Store, StudyFile, find_study
from hebbevo.training.trial_details import TrialDetails

if TYPE_CHECKING:
    import pandas as pd

    from hebbevo.study.window import Window


class Study:
    """The content of a study, as it was when it was read; made by `open_study`, `search` and `resume`.

    Attributes:
        store: where the study is; its text is the path of the file, or name and database.
        name: name of the search.
        settings: the space file's content with every override, as plain data.
        space: its genes.
        goal: its objectives and constraints.
        total: number of trials to reach, as last asked for.
        versions: versions of Python and of the libraries that began the study.
        rows: number of rows for ``train``, ``validation`` and ``test``; empty in the earliest studies.
        count: what survivors are, ``neurons``, ``connections``, ``parameters`` or ``multiply_adds``.
        further: which of these are measured beside survivors, because objectives or constraints name them.
        equal_size: what dense networks have in common with those of the front beside which they are trained
            in a confirmation, such as ``the same widths``.
        prunes: whether networks of the space may have a rule that prunes units or connections.
        alone: why its networks train one by one; empty where they are stacked.
        neurons: number of neurons, or connections, of the largest network of the space before any is pruned.
        largest: the same of each count that the front trades off, from which hypervolumes are measured.
        chance: validation accuracy of always answering the most frequent class, or the mean target.
        score: what people call the accuracy of this study, as ``R2``.
        in_percent: whether it is shown in percent.
        fingerprint: hash of the data; empty in the earliest studies.
        wall_seconds: how long all searches of it took; ``None`` where that was not recorded.
        confirmations: all confirmations of its front (`hebbevo.confirm`), the newest last.
        confirmation: the one to look at: complete, of the most trials of the study, and then of the most
            members; else the newest; ``None`` if the front was never confirmed.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.store: Store = ledger.store
        self.name: str = ledger.spec.name
        self.settings: dict[str, Any] = ledger.spec.to_json()
        self.space: Space = ledger.spec.space
        self.goal: Goal = ledger.spec.goal
        self.versions: dict[str, str] = dict(ledger.facts.versions)
        self.count: str = ledger.spec.count
        space = self.settings["network"], self.space.genes
        self.equal_size: str = equal_size(self.count, possible_rules(*space, "credit"))
        self.prunes: bool = may_prune(*space)
        self.alone: str = ledger.facts.alone
        self.further: tuple[str, ...] = ledger.spec.goal.further
        self.neurons: int = ledger.facts.neurons
        self.largest: tuple[int, ...] = ledger.facts.largest(ledger.spec.goal)
        self.chance: float = ledger.facts.chance
        self.rows: dict[str, int] = dict(ledger.facts.rows)
        self.score: str = ledger.spec.task.score_title
        self.in_percent: bool = ledger.spec.task.in_percent
        self.fingerprint: str = ledger.facts.fingerprint
        self.wall_seconds: float | None = ledger.wall_seconds
        self._windows: dict[tuple[Any, ...], Window] = {}
        genes = {gene.name: _dtype(gene) for gene in ledger.spec.space.genes}
        import pandas as pd

        generations, confirmations = ledger.generations(), ledger.confirmations()
        self._unrepeatable = {  # trials whose results were changed by a failed attempt
            record.number
            for generation in generations
            for record in generation.records
            if any(attempt.recovery is not Recovery.AGAIN for attempt in record.attempts)
        }
        self.total: int = generations[-1].total if generations else ledger.spec.search.trials
        self._genomes = {
            record.number: record.genome for generation in generations for record in generation.records
        }
        results = [record.result for generation in generations for record in generation.records]
        self._curves = {
            result.number: {
                "accuracy": result.details.accuracy_per_epoch,
                "survivors": result.details.survivors_per_epoch,
                **result.details.further_per_epoch,
                "explored": result.details.explored_per_epoch,
                "grown_left": result.details.grown_left_per_epoch,
                **_by_layer("angle", result.details.angles_per_epoch),
            }
            for result in filter(None, results)
        }
        self._decoding = {
            result.number: (result.details.decoding_per_layer, result.details.random_decoding_per_layer)
            for result in filter(None, results)
            if result.details.decoding_per_layer
        }
        points = self._point_rows(filter(None, results), ledger.spec.task.epochs)
        self._points = pd.DataFrame(np.fromiter(points, np.dtype(_point_fields(self.further))))
        rows = [
            self._row(record, generation.number, list(genes))
            for generation in generations
            for record in generation.records
        ]
        of_counts = {name: float for count in self.further for name in (count, f"{count}_sd")}
        of_random = {RANDOM: float} if self._decoding else {}
        dtypes = _COLUMNS | of_counts | of_random | {f"genome.{gene}": dtype for gene, dtype in genes.items()}
        self._trials = pd.DataFrame(
            {
                name: pd.Series([row[place] for row in rows], dtype=dtype)
                for place, (name, dtype) in enumerate(dtypes.items())
            }
        )
        self.confirmations: list[Confirmation] = self._read_confirmations(ledger, confirmations)
        self.confirmation: Confirmation | None = max(
            self.confirmations, key=lambda each: each.rank, default=None
        )

    def __repr__(self) -> str:
        return f"Study({str(self.store)!r}, trials={len(self._trials)}, front={len(self.front())})"

    @property
    def path(self) -> Path | None:
        """The study file; ``None`` for a study in a database."""
        return self.store.path if isinstance(self.store, StudyFile) else None

    def trials(self) -> pd.DataFrame:
        """Give a table with one row per trial, in the order of asking.

        Its columns:

        - ``trial``: number of the trial.
        - ``state``: ``complete``, ``stopped`` (early), ``failed`` or ``running``.
        - ``accuracy`` (0..1), ``survivors``: after the last epoch, as means over replicates; NaN unless
          complete.
        - ``accuracy_sd``, ``survivors_sd``: standard deviations over replicates; NaN for one replicate, too.
        - ``neurons``: number of neurons, or connections, before any was pruned.
        - ``collapsed``: whether a replicate has no path left from the inputs to the outputs.
        - ``feasible``: whether it is complete and meets every constraint.
        - ``generation``: number of its generation.
        - ``seconds``: wall time of its training.
        - ``copy_of``: the earlier trial with the same genome whose result it took, or NA.
        - ``failure``: why it failed, or ``None``.
        - ``notes``: what could not be counted exactly, or not be stacked, or ``None``.
        - ``attempts``: how often its training was begun; of a running trial, only the failed attempts.
        - for each further count that the study measures, ``connections``, ``connections_sd`` and so on:
          likewise as ``survivors``.
        - ``repeatable``: whether the same search finds it again. It need not if a lack of time or memory, or
          repeated crashes, changed its cohort or made it fail; nor need later trials be the same then.
        - ``random_accuracy``: of the last layer of `decoding`, with random weights; NaN where it was not
          measured. Without a trial for which it was, there is no such column.
        - ``genome.<gene>``: value of every gene; NaN, NA or ``None`` if it is inactive.
        """
        return self._trials.copy()

    def genome(self, trial: int) -> Genome:
        """Give the active genes of a trial, with the types that their values have in the space file.

        A row of a table has one type for all its numbers: there, a 16 can become 16.0.

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="mine.db", population=4, trials=4, epochs=1, workers=1)
        >>> sorted(study.genome(0))[:2]
        ['activity', 'hebbian_threshold']

        Raises:
            UsageError: there is no such trial.
        """
        if trial not in self._genomes:
            raise UsageError(f"{self.store}: there is no trial {trial}")
        return dict(self._genomes[trial])

    def curve(self, trial: int) -> pd.DataFrame:
        """Give a table of a trial's training with one row per epoch, means over replicates.

        Its columns are ``epoch`` (from 1), ``accuracy`` and ``survivors``. A trial that is running or failed
        has no rows. Further counts that the study measures have columns, too. Where a rule for connections
        grows there are also ``explored``, the share of connections that have ever been in, and
        ``grown_left``: of those that have entered after the start, the share that is in. Where layers have
        backward weights there are also ``angle.1``, ``angle.2`` and so on: the angle between the weights of
        each of these layers and its backward weights, in degrees.

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="two.db", population=4, trials=4, epochs=2, workers=1)
        >>> study.curve(0).epoch.to_list()
        [1, 2]

        Raises:
            UsageError: there is no such trial.
        """
        import pandas as pd

        if trial not in self._genomes:
            raise UsageError(f"{self.store}: there is no trial {trial}")
        curves = self._curves.get(trial, dict.fromkeys(self.goal.measures, ()))
        epochs = range(1, len(curves["accuracy"]) + 1)
        columns = {
            name: np.array(own, dtype=float)
            for name, own in curves.items()
            if own or name in self.goal.measures
        }
        return pd.DataFrame({"epoch": epochs} | columns)

    def decoding(self) -> pd.DataFrame:
        """Give a table of what a linear readout of each hidden layer reaches, by trial and layer.

        There are rows for trials in which a credit rule changes weights in place of the optimiser, such as
        ``hebbian``, from the end of their training or where it was stopped early. The readout is a ridge
        regression on the training rows, in closed form. The columns:

        - ``trial``: number of the trial.
        - ``layer``: number of the layer, 1 is the first.
        - ``learned``: score of its readout on the validation rows, as a mean over replicates.
        - ``random``: the same of the network with the weights that it began with, under the masks that it
          ended with. What is not above it was not learned.

        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="no.db", population=4, trials=4, epochs=1, workers=1)
        >>> len(study.decoding())
        0
        """
        import pandas as pd

        rows = [
            (trial, layer, learned, random)
            for trial, both in sorted(self._decoding.items())
            for layer, (learned, random) in enumerate(zip(*both, strict=True), start=1)
        ]
        types = {"trial": int, "layer": int, "learned": float, "random": float}
        return pd.DataFrame(rows, columns=[*types]).astype(types)

    def points(self) -> pd.DataFrame:
        """Give a table with one row per epoch result that counts, by trial and epoch.

        Of all epochs of a trial with the same number of survivors (and the same further counts), the last one
        counts. A trial that was stopped early has such rows, too. The columns:

        - ``trial``: number of the trial.
        - ``epoch``: number of epochs trained, 1 or more.
        - ``accuracy`` (0..1), ``survivors``, and further counts that the study measures: as means over
          replicates.
        - ``feasible``: whether it meets every constraint.
        - ``finished``: whether it is the last epoch of a complete trial.
        - ``works``: whether it beats chance and has not collapsed. Only such points can be on the front.
        """
        return self._points.copy()

    def front(self, confirmed: bool = False) -> pd.DataFrame:
        """Give the feasible points that no other one beats in accuracy and survivors, by survivors ascending.

        In a study with three objectives, none beats them in all three.

        A point no better than chance is never on the front, nor is one with a collapsed replicate. Of equal
        points, one after the last epoch goes before earlier epochs, then the first trial. One more validation
        row is better, not equal; whether that lasts, only another training says.

        The columns are ``epoch`` and, of those of `trials`, the measures, ``random_accuracy`` and the genome.
        Standard deviations are recorded after the last epoch only, and otherwise NaN. Random weights are
        those after the last epoch, too.

        Args:
            confirmed: whether to give the members that were confirmed, with the columns of
                `Confirmation.members`, in place of what the search has found.

        Raises:
            UsageError: the front has not been confirmed.
        """
        if not confirmed:
            return self._front.copy()
        if self.confirmation is None or not self.confirmation.is_complete:
            what = "its front has not been confirmed"
            raise UsageError(f"{self.store}: {what}; run 'hebbevo confirm {self.store.command}'")
        return self.confirmation.members()

    def kept(self) -> pd.DataFrame:
        """Give a table of the networks whose weights the study keeps now, by trial and epoch.

        There are some with ``search: {keep: front}``. A member of the front can be missing where weights took
        too much memory in training. `hebbevo.network` trains it again.

        The columns are ``trial``, ``epoch``, ``replicate``, ``accuracy``, ``survivors`` (of this network
        alone) and ``bytes``.
        """
        import pandas as pd

        with Ledger.open(self.store) as ledger:
            found = ledger.kept_networks()
        columns = ["trial", "epoch", "replicate", "accuracy", "survivors"]
        table = pd.DataFrame([[getattr(each, name) for name in columns] for each in found], columns=columns)
        return table.assign(bytes=[len(each.weights) for each in found])

    @property
    def is_confirmed(self) -> bool:
        """Whether its front is confirmed: completely, and with all trials that it has now."""
        found = self.confirmation
        return found is not None and found.is_complete and not found.is_stale

    def best(self) -> pd.Series[Any] | None:
        """Give the feasible trial with the least loss after its last epoch, with the columns of `front`.

        Earlier epochs do not count, for the best of many noisy epochs would look better than it is. Of equal
        losses, the more accurate trial is taken, then the one with fewer survivors, then as for `front`.

        Returns:
            ``None`` if there is none, or if the goal has two objectives or more.
        """
        candidates = self._candidates(self._eligible & self._points.finished)
        if self.goal.dimension > 1 or candidates.empty:
            return None
        ranks = [(*self.goal.losses(each), -each[0], each[1]) for each in self._measured(candidates)]
        return _row(self._shown(candidates.iloc[[ranks.index(min(ranks))]]))

    def nearest(self) -> pd.Series[Any] | None:
        """Give the point closest to meeting the constraints, among those that beat chance.

        Returns:
            ``None`` if there is no such point, or if one of them meets the constraints.
        """
        candidates = self._candidates(self._points.works)
        if candidates.feasible.any() or candidates.empty:
            return None
        violations = [self.goal.violation(each) for each in self._measured(candidates)]
        return _row(self._shown(candidates.iloc[[violations.index(min(violations))]]))

    def hypervolume(self) -> float:
        """The hypervolume of the front, from 0 to 1.

        It is the part of the rectangle from chance accuracy to 1, and from all neurons to none, that the
        front dominates. In a study with three objectives it is the part of the box from all of both counts.
        """
        return pareto.hypervolume(self._traded(self._candidates(self._eligible)), self.chance, self.largest)

    def window(
        self,
        knob: str | None = None,
        by: str | None = None,
        *,
        min_lost: float | None = None,
        within: float = 0.05,
    ) -> Window:
        """Find between which values of a gene trials are usable.

        Only trials count that the sampler did not choose by results: its initial design, or all trials of
        ``hebbevo window``. Trials in which the gene is inactive do not count.

        Args:
            knob: a numeric gene; by default the penalty, without one the gene with the strongest rank
                correlation with the survivors, or where nothing is pruned with the accuracy.
            by: a gene with few values that are compared; by default the form of the penalty.
            min_lost: least share of the neurons, 0 to 1, that a usable trial has lost; by default a half, or
                none where nothing is pruned.
            within: most that its accuracy, 0 to 1, may be below the best of the study.

        Raises:
            UsageError: there is no such gene, or a number is out of range.

        Examples:
            Far too few trials:

            >>> import hebbevo
            >>> study = hebbevo.search("stamina", study="few.db", population=4, trials=4, epochs=1, workers=1)
            >>> window = study.window()
            >>> window.sentence.partition(":")[0]
            '4 trials that the sampler did not choose are too few for unactivation_penalty'
            >>> window.sentence.partition("; ")[2]
            "run 'hebbevo window stamina'"
        """
        from hebbevo.study import window  # SciPy's statistics take half a second to import

        measure, lost = ("survivors", 0.5) if self.prunes else ("accuracy", 0.0)
        min_lost = lost if min_lost is None else min_lost
        complete = self._trials[(self._trials["state"] == "complete") & ~self._trials["collapsed"]]
        definition = window.UsableTrial(
            min_lost,
            within,
            float(complete["accuracy"].max()),
            self.chance,
            self.count,
            self.score,
            self.in_percent,
        )
        search = self.settings["search"]
        trials = initial_design(self._trials, search["sampler"], len(search.get("start") or ()))
        name = window.default_knob(self.space.genes, trials, measure) if knob is None else knob
        if name is None:
            raise UsageError(f"{self.store}: no numeric gene varies; there is no window to show")
        gene = window.find_knob(self.space, name)
        other = window.default_by(self.space, name) if by is None else by
        groups = None if other is None else window.find_by(self.space, other, name)

        def command(needed: int) -> str:
            if math.isinf(SAMPLERS[search["sampler"]].kind.learns_after):
                return f"hebbevo resume {self.store.command} --trials {needed}"
            options = f" --trials {needed}" if needed > window.TRIALS else ""
            return f"hebbevo window {self._space_name}{options}"

        key = (name, other, min_lost, within)
        if key not in self._windows:  # a report and a command ask for the same, which takes seconds
            self._windows[key] = window.make_window(trials, gene, groups, definition, command)
        found = self._windows[key]
        return replace(found, shares=found.shares.copy(), trials=found.trials.copy())

    @property
    def _space_name(self) -> str:
        """What names the space on a command line; ``SPACE`` for a file that the study does not know."""
        is_shipped = self.name in shipped() and read(self.name).space == self.space
        return self.name if is_shipped else "SPACE"

    @cached_property
    def _front(self) -> pd.DataFrame:
        """The table that `front` gives; a report asks for it many times."""
        candidates = self._candidates(self._eligible)
        return self._shown(candidates.iloc[front_rows(self._traded(candidates))])

    @property
    def _eligible(self) -> pd.Series[bool]:
        """Which points meet the constraints and beat chance: the front is chosen from them."""
        return self._points.feasible & self._points.works

    def _read_confirmations(
        self, ledger: Ledger, records: Sequence[ConfirmationRecord]
    ) -> list[Confirmation]:
        scale = Scale(
            rows=ledger.facts.rows,
            chance=self.chance,
            neurons=self.neurons,
            score=self.score,
            in_percent=self.in_percent,
            count=self.count,
            equal_size=self.equal_size,
            further=self.further,
            traded=self.goal.traded,
            largest=self.largest,
        )
        seen = min((each.request.date for each in records if each.request.has_test), default="")
        finished = int((self._trials.state != "running").sum())
        return [Confirmation(each, scale, trials=finished, test_rows_seen=seen) for each in records]

    def _candidates(self, which: pd.Series[bool]) -> pd.DataFrame:
        """Select points, those after a last epoch first: of equal points the first one is taken."""
        return self._points[which].sort_values("finished", ascending=False, kind="stable")

    def _shown(self, chosen: pd.DataFrame) -> pd.DataFrame:
        """Give points in the columns of a front."""
        import pandas as pd

        columns = [name for name in self._trials.columns if name not in _NOT_IN_FRONT]
        places = pd.Index(self._trials.trial).get_indexer(chosen.trial)
        shown: pd.DataFrame = self._trials[columns].iloc[places].reset_index(drop=True)
        measures = [*self.goal.measures]
        shown[measures] = self._measured(chosen)
        shown.loc[~chosen.finished.to_numpy(), [f"{name}_sd" for name in measures]] = np.nan
        shown.insert(1, "epoch", chosen.epoch.to_numpy())
        return shown

    def _measured(self, points: pd.DataFrame) -> NDArray[np.float64]:
        """All measures of points."""
        return points[[*self.goal.measures]].to_numpy(float)

    def _traded(self, points: pd.DataFrame) -> NDArray[np.float64]:
        """The measures of points that the front trades off."""
        return points[[*self.goal.traded]].to_numpy(float)

    def _point_rows(self, results: Iterable[Result], epochs: int) -> Iterator[tuple[Any, ...]]:
        for result in results:
            for point in epoch_results(result, epochs):
                feasible = self.goal.violation(point.values) <= 0
                at_work = works(point, result.details, self.chance)
                yield result.number, point.epoch, *point.values, feasible, point.epoch == epochs, at_work

    def _random(self, trial: int) -> float | None:
        """What a readout of the last layer reaches with random weights; ``None`` if it was not measured."""
        _, random = self._decoding.get(trial, ((), ()))
        return random[-1] if random else None

    def _row(self, record: Record, generation: int, genes: list[str]) -> list[Any]:
        result = record.result
        details = result.details if result else _NO_DETAILS
        values = result.values if result else None
        accuracy, survivors, *further = values or [None for _ in self.goal.measures]
        spreads = [details.further_sd.get(name) if values else None for name in self.further]
        original = record.number if details.copy_of is None else details.copy_of
        return [
            record.number,
            _state(record),
            accuracy,
            details.accuracy_sd if values else None,
            survivors,
            details.survivors_sd if values else None,
            details.neurons or self.neurons,
            details.collapsed,
            values is not None and self.goal.violation(values) <= 0,
            generation,
            details.seconds,
            details.copy_of,
            details.failure,
            "; ".join(details.notes) or None,
            len(record.attempts) + _ended_by_a_training(record),
            original not in self._unrepeatable,
            *chain.from_iterable(zip(further, spreads, strict=True)),
            *([self._random(record.number)] if self._decoding else []),
            *(record.genome.get(gene) for gene in genes),
        ]


RANDOM = "random_accuracy"
"""The column of what a readout of the last layer reaches with random weights."""

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
_NO_DETAILS = TrialDetails(seconds=math.nan)  # of a running trial


def _by_layer(name: str, epochs: Sequence[Sequence[float]]) -> dict[str, Sequence[float]]:
    """A column for each layer, as ``angle.1``, from the values of all layers after each epoch."""
    return {f"{name}.{layer}": own for layer, own in enumerate(zip(*epochs, strict=True), start=1)}


def _point_fields(further: Sequence[str]) -> list[tuple[str, type]]:
    """The columns of a table of points."""
    measures = [(name, float) for name in ("accuracy", "survivors", *further)]
    flags = [(name, bool) for name in ("feasible", "finished", "works")]
    return [("trial", int), ("epoch", int), *measures, *flags]


def _dtype(gene: Gene) -> str | type | None:
    """The type of a gene's column; ``None`` for pandas' choice, which makes floats of integers beside NA."""
    if isinstance(gene, ChoiceGene) and not all(isinstance(choice, str) for choice in gene.choices):
        return None if {type(choice) for choice in gene.choices} == {bool} else object
    return "Int64" if isinstance(gene, IntGene) and gene.when else None


def _row(table: pd.DataFrame) -> pd.Series[Any]:
    """The only row of a table, with the types of its columns: pandas would give all numbers one type."""
    return table.astype(object).iloc[0]


def _ended_by_a_training(record: Record) -> bool:
    """Whether the result is that of an attempt which is not among the failed ones."""
    if record.result is None or record.result.details.copy_of is not None:
        return False
    return not record.attempts or record.attempts[-1].recovery is not Recovery.FAILED


def _state(record: Record) -> str:
    if record.result is None:
        return "running"
    if record.result.details.stopped:
        return "stopped"
    return "failed" if record.result.values is None else "complete"


def open_study(study: str | Path | Study, storage: str | None = None) -> Study:
    """Read a study. A search may be writing to it meanwhile.

    Args:
        study: see `store_of`.
        storage: URL of a database.

    Raises:
        StudyError: there is no such study, or it is not one of hebbevo.
    """
    with Ledger.open(store_of(study, storage)) as ledger:
        return Study(ledger)


def store_of(study: str | Path | Study, storage: str | None = None) -> Store:
    """Find the place of a study.

    Args:
        study: the study file or, with ``storage``, the study's name in that database. A study that was read
            knows its place.
        storage: URL of a database.

    Raises:
        StudyError: the URL or the name is not possible, or the driver of the database is missing.
    """
    return study.store if isinstance(study, Study) else find_study(study, storage)
