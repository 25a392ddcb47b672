"""The front of a study, confirmed: its members trained again under fresh seeds, beside dense controls.

docs/explanation/confirmation.md says what each control is and what the intervals mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hebbevo.objectives import pareto
from hebbevo.objectives.goal import MEASURES
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Role, Training
from hebbevo.study.intervals import NO_MEAN, Mean, best_of, mean_of

if TYPE_CHECKING:
    import pandas as pd

MOST_SEEDS = 10
"""Most dense networks of one width that are trained for a replicate."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the numbers of a study's confirmation are measured on.

    Attributes:
        rows: number of rows for ``validation`` and ``test``.
        chance: validation accuracy of always giving the same answer.
        neurons: neurons, or connections, of the largest network.
        score: what people call the accuracy.
        in_percent: whether it is shown in percent.
        count: what survivors are, ``neurons`` or ``connections``.
        equal_size: what a dense control has in common with a member; see `equal_size`.
        further: what is counted beside survivors.
        traded: the measures that the front trades off.
        largest: the most of each of these counts that a network of the space has.
    """

    rows: Mapping[str, int]
    chance: float
    neurons: int
    score: str = "accuracy"
    in_percent: bool = True
    count: str = "neurons"
    equal_size: str = "the same widths"
    further: tuple[str, ...] = ()
    traded: tuple[str, ...] = MEASURES
    largest: tuple[int, ...] = ()

    def difference_text(self, value: float) -> str:
        """A difference of scores with its sign, in points where scores are in percent."""
        return f"{100 * value:+.1f}" if self.in_percent else f"{value:+.3f}"


class FrontComparison(NamedTuple):
    """The hypervolume of two fronts, 0 to 1, with intervals over replicates.

    Attributes:
        members: of the members of a front, each trained once.
        dense: of dense networks in their places.
        difference: members less dense networks, paired by replicate.
    """

    members: Mean
    dense: Mean
    difference: Mean


class Confirmation:
    """A confirmation of a study's front, as it was when it was read.

    Attributes:
        replicates: trainings of each member.
        has_test: whether accuracy was measured on the test rows.
        date: when it began, in UTC.
        is_complete: ``False`` while trainings are missing.
        is_stale: whether the study has more finished trials since.
        test_rows_seen: when the test rows of this study were first looked at; empty if they were not.
        no_control: why there is no dense control; empty where there is.
        score: what people call the accuracy.
        in_percent: whether it is shown in percent.
        count: what survivors are, ``neurons`` or ``connections``.
        rank: the greater, the more a confirmation says about the study as it is now.
    """

    def __init__(
        self, record: ConfirmationRecord, scale: Scale, *, trials: int, test_rows_seen: str = ""
    ) -> None:
        """Compute it from what is recorded.

        Args:
            record: the trainings.
            scale: what their numbers are measured on.
            trials: number of finished trials that the study has now.
            test_rows_seen: when the first confirmation measured on the test rows.
        """
        request = record.request
        self.replicates: int = request.replicates
        self.has_test: bool = request.has_test
        self.date: str = request.date
        self.is_complete: bool = record.is_complete
        self.is_stale: bool = trials != request.trials
        self.test_rows_seen: str = test_rows_seen
        self.no_control: str = request.no_control
        self.score: str = scale.score
        self.in_percent: bool = scale.in_percent
        self.count: str = scale.count
        self.rank = (self.is_complete, request.trials, len(request.members), record.number)
        self._scale = scale
        self._members = request.members
        self._trainings = [training for _, training in sorted(record.trainings.items())]

    def __repr__(self) -> str:
        return f"Confirmation(members={len(self._members)}, replicates={self.replicates})"

    @property
    def verdict_rows(self) -> str:
        """The rows on which members and controls are compared, as ``269 test rows``."""
        if self.has_test:
            return f"{self._scale.rows.get('test', 0):,} test rows"
        return f"{-(-self._scale.rows.get('validation', 0) // 2):,} validation rows"

    def runs(self) -> pd.DataFrame:
        """Give a table with one row per training.

        Its columns are those of `hebbevo.study.confirmation_record.Training`, in its order, but ``alive``;
        ``role`` is ``member``, ``tuning``, ``dense`` or ``longer``, and a measurement that is missing is NaN.
        What is counted beside survivors has columns of its own.
        """
        import pandas as pd

        columns = [name for name in Training.__dataclass_fields__ if name not in ("alive", "further")]
        rows = [
            [
                *(getattr(each, name) for name in columns),
                *(_number(each.further.get(name)) for name in self._scale.further),
            ]
            for each in self._trainings
        ]
        table = pd.DataFrame(rows, columns=[*columns, *self._scale.further])
        table["role"] = table["role"].map(str)
        numbers = ["accuracy", "test", "survivors", "learning_rate", "weight_decay"]
        table[numbers] = table[numbers].astype(float)
        return table

    def members(self) -> pd.DataFrame:
        """Give a table with a row per member, by survivors ascending.

        Accuracies are from 0 to 1, and NaN where they were not measured. Intervals hold the true mean in 95
        of 100 confirmations. The columns:

        - ``trial``, ``epoch``: the trial, and after how many epochs its network is taken.
        - ``found_accuracy``, ``found_survivors``: what the search has recorded.
        - ``neurons``: number of neurons, or connections, before any was pruned.
        - ``confirmed_accuracy``, ``_sd``, ``_low``, ``_high``: mean over replicates on the validation rows,
          standard deviation of a single network, and interval of the mean.
        - ``confirmed_survivors``, ``survivors_sd``, ``survivors_low``, ``survivors_high``: likewise.
        - of what is counted beside survivors, ``found_connections``, ``confirmed_connections``,
          ``connections_sd``, ``connections_low``, ``connections_high`` and so on: likewise.
        - ``control_accuracy``, ``control_sd``: dense networks with `equal_size`, as many epochs, on the
          verdict rows.
        - ``longer_accuracy``, ``longer_sd``: likewise, with twice the epochs.
        - ``best_of``, ``best_of_accuracy``, ``best_of_sd``: likewise, the best of so many by validation.
        - ``test_accuracy``, ``test_sd``: on the test rows.
        - ``readout_accuracy``, ``readout_sd``: of the last layer of `decoding`, what it has learned.
        - ``random_accuracy``, ``random_sd``: likewise, with random weights.
        - ``difference``, ``_low``, ``_high``: the member less the dense control on the verdict rows, paired
          by replicate.
        - ``best_of_difference``, ``best_of_low``, ``best_of_high``: likewise, less the best of several.
        - ``verdict``: ``above``, ``level`` or ``below`` the dense control, by the interval of the difference;
          ``failed`` if a replicate failed, ``no control`` where there is none.
        - ``on_front``: whether no other confirmed member is better in all that the front trades off, and none
          is at chance level.
        """
        return self._table.copy()

    def decoding(self) -> pd.DataFrame:
        """Give a table of what a linear readout of each hidden layer of the members reaches.

        There are rows for members in which a credit rule changes weights in place of the optimiser; see
        `Study.decoding`. The columns:

        - ``trial``, ``epoch``: the member.
        - ``layer``: number of the layer, 1 is the first.
        - ``learned``, ``learned_sd``: score of its readout on the verdict rows, as a mean over replicates,
          and standard deviation of a single network.
        - ``random``, ``random_sd``: the same of the networks with the weights that they began with.
        """
        import pandas as pd

        rows = [
            (member.trial, member.epoch, layer, learned.value, learned.sd, random.value, random.sd)
            for member in self._members
            for layer, (learned, random) in enumerate(self._decoded(member), start=1)
        ]
        types: dict[str, type] = dict.fromkeys(("trial", "epoch", "layer"), int)
        types |= dict.fromkeys(("learned", "learned_sd", "random", "random_sd"), float)
        return pd.DataFrame(rows, columns=[*types]).astype(types)

    def _decoded(self, member: Member) -> list[tuple[Mean, Mean]]:
        """By layer, what readouts of a member reach with learned and random weights; none if one failed."""
        own = self._of_member(member)
        layers = min((len(each.decoding) for each in own), default=0)
        return [
            (
                mean_of([each.decoding[layer] for each in own]),
                mean_of([each.random_decoding[layer] for each in own]),
            )
            for layer in range(layers)
        ]

    def lives(self, trial: int, epoch: int) -> AliveUnits | None:
        """Which neurons of a member were alive after each epoch, in its first replicate that has a record.

        Args:
            trial: number of the member's trial.
            epoch: the epoch that the front names.

        Returns:
            The record; ``None`` where survivors are connections, and in confirmations by an earlier hebbevo.
        """
        own = [each for member in self._members for each in self._of_member(member)]
        same = (each.alive for each in own if (each.trial, each.epochs) == (trial, epoch))
        return next((alive for alive in same if alive is not None), None)

    @property
    def hypervolume(self) -> float:
        """The hypervolume of the confirmed means, from 0 to 1; see `Study.hypervolume`."""
        largest = self._scale.largest or self._scale.neurons
        return pareto.hypervolume(self._points(self._table), self._scale.chance, largest)

    def _points(self, table: pd.DataFrame) -> pareto.Points:
        """The confirmed measures that the front trades off."""
        return table[[f"confirmed_{measure}" for measure in self._scale.traded]].to_numpy(float)

    @property
    def overall(self) -> Mean:
        """The difference from the dense control as a mean over all members, with its interval.

        Replicates are independent, and the members of one replicate are not: the interval is that of the
        means of replicates.
        """
        means = []
        for replicate in range(self.replicates):
            found = [of_member[replicate] for of_member in self._differences if replicate in of_member]
            if found:
                means.append(fmean(found))
        return mean_of(means)

    @cached_property
    def against_dense(self) -> FrontComparison:
        """The front of the members beside the front of the dense networks in their places, by hypervolume.

        Members and controls of one replicate make a pair of fronts on the verdict rows. Dense networks make
        as many fronts as there are for each member, and the mean over them counts, so that both sides have
        the noise of single trainings. Members without a control are on neither side. Nothing is compared
        where the front trades off more than one count, which dense networks do not have.
        """
        pairs: dict[int, list[tuple[Training, list[Training]]]] = {}
        if self._scale.traded == MEASURES:
            for member in self._members:
                for own in self._of_member(member):
                    if own.failure is None and (pool := self._pool(member, own, Role.DENSE)):
                        pairs.setdefault(own.replicate, []).append((own, pool))
        members, dense = [], []
        for _, found in sorted(pairs.items()):
            members.append(self._hypervolume_of([own for own, _ in found]))
            fronts = zip(*(pool for _, pool in found), strict=False)
            dense.append(fmean(map(self._hypervolume_of, fronts)))
        differences = [own - other for own, other in zip(members, dense, strict=True)]
        return FrontComparison(mean_of(members), mean_of(dense), mean_of(differences))

    def _hypervolume_of(self, networks: Sequence[Training]) -> float:
        """The hypervolume of single networks on the verdict rows."""
        points = np.array([(self._verdict_score(each), _number(each.survivors)) for each in networks])
        return pareto.hypervolume(points, self._scale.chance, self._scale.neurons)

    @property
    def sentence(self) -> str:
        """The verdict in words: above, level with or below the control, where, and by how much."""
        if self.no_control:
            return f"there is no dense control: {self.no_control}"
        overall, table = self.overall, self._table
        if math.isnan(overall.low):
            return "too few trainings for a verdict"
        text, unit = self._scale.difference_text, " points" if self.in_percent else ""
        verdict = {"above": "is above", "level": "is level with", "below": "is below"}[_verdict(overall)]
        members = f"{len(table)} members" if len(table) != 1 else "one member"
        parts = [
            f"on {self.verdict_rows} the front {verdict} dense networks with {self._scale.equal_size}: "
            f"{text(overall.value)}{unit} (95 % interval {text(overall.low)} to {text(overall.high)}) "
            f"over {members}"
        ]
        for word in ("above", "below"):
            own = table[table.verdict == word]
            if len(own):
                largest = own.iloc[int(own.difference.abs().to_numpy().argmax())]
                parts.append(
                    f"{word} at {_span(own.confirmed_survivors)} {self.count}, by up to "
                    f"{text(largest.difference)}{unit} ({text(largest.difference_low)} to "
                    f"{text(largest.difference_high)})"
                )
        return "; ".join(parts)

    @property
    def hypervolume_sentence(self) -> str:
        """The hypervolumes of the front and of dense networks in words; empty where they are not compared."""
        members, dense, difference = self.against_dense
        if math.isnan(difference.low):
            return ""
        return (
            f"on {self.verdict_rows} single trainings of the front have the hypervolume {members.value:.4f}, "
            f"and dense networks with {self._scale.equal_size} {dense.value:.4f}: {difference.value:+.4f} "
            f"(95 % interval {difference.low:+.4f} to {difference.high:+.4f})"
        )

    @cached_property
    def _table(self) -> pd.DataFrame:
        import pandas as pd

        rows = [self._row(*each) for each in zip(self._members, self._differences, strict=True)]
        columns = _COLUMNS | {name: float for each in self._scale.further for name in _count_columns(each)}
        table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
        points = self._points(table)
        points[table.confirmed_accuracy <= self._scale.chance] = math.nan
        table.loc[pareto.front(points), "on_front"] = True
        return table

    @cached_property
    def _differences(self) -> list[dict[int, float]]:
        """For each member, by replicate, its accuracy on the verdict rows less that of the dense networks."""
        return [
            {
                training.replicate: self._verdict_score(training)
                - fmean(self._verdict_score(each) for each in pool)
                for training in self._of_member(member)
                if training.failure is None and (pool := self._pool(member, training, Role.DENSE))
            }
            for member in self._members
        ]

    def _row(self, member: Member, differences: Mapping[int, float]) -> dict[str, Any]:
        own = self._of_member(member)
        accuracy = mean_of([_number(each.accuracy) for each in own])
        survivors = mean_of([_number(each.survivors) for each in own])
        test = mean_of([_number(each.test) for each in own]) if self.has_test else NO_MEAN
        pools = {each.replicate: self._pool(member, each, Role.DENSE) for each in own}
        pools = {replicate: pool for replicate, pool in pools.items() if pool}
        dense = mean_of([fmean(map(self._verdict_score, pool)) for pool in pools.values()])
        single = mean_of([self._verdict_score(each) for pool in pools.values() for each in pool])
        longer = mean_of(
            [
                self._verdict_score(each)
                for training in own
                for each in self._pool(member, training, Role.LONGER)
            ]
        )
        sizes = [seeds_for(each, pools[each.replicate]) for each in own if each.replicate in pools]
        k = round(fmean(sizes)) if sizes else 0
        best = {
            each.replicate: best_of(
                min(seeds_for(each, pool), len(pool)),
                [self._selection_score(one) for one in pool],
                [self._verdict_score(one) for one in pool],
            )
            for each in own
            if (pool := pools.get(each.replicate))
        }
        best_mean, best_sd = _mixture([*best.values()])
        difference = mean_of([*differences.values()])
        best_difference = mean_of(
            [
                self._verdict_score(each) - best[each.replicate][0]
                for each in own
                if each.failure is None and each.replicate in best
            ]
        )
        readout, random = [(NO_MEAN, NO_MEAN), *self._decoded(member)][-1]
        counts: dict[str, float] = {}
        for name in self._scale.further:
            mean = mean_of([_number(each.further.get(name)) for each in own])
            figures = (member.further[name], mean.value, mean.sd, max(mean.low, 0.0), mean.high)
            counts |= dict(zip(_count_columns(name), figures, strict=True))
        has_failed = any(each.failure is not None for each in own)
        if has_failed:
            verdict, difference, best_difference = "failed", NO_MEAN, NO_MEAN
        else:
            verdict = "no control" if math.isnan(difference.low) else _verdict(difference)
        return {
            "trial": member.trial,
            "epoch": member.epoch,
            "found_accuracy": member.accuracy,
            "found_survivors": member.survivors,
            "neurons": member.neurons,
            "confirmed_accuracy": accuracy.value,
            "confirmed_sd": accuracy.sd,
            "confirmed_low": max(accuracy.low, 0.0),
            "confirmed_high": min(accuracy.high, 1.0),
            "confirmed_survivors": survivors.value,
            "survivors_sd": survivors.sd,
            "survivors_low": max(survivors.low, 0.0),
            "survivors_high": survivors.high,
            "control_accuracy": dense.value,
            "control_sd": single.sd,
            "longer_accuracy": longer.value,
            "longer_sd": longer.sd,
            "best_of": k,
            "best_of_accuracy": best_mean,
            "best_of_sd": best_sd,
            "test_accuracy": test.value,
            "test_sd": test.sd,
            "readout_accuracy": readout.value,
            "readout_sd": readout.sd,
            "random_accuracy": random.value,
            "random_sd": random.sd,
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "best_of_difference": best_difference.value,
            "best_of_low": best_difference.low,
            "best_of_high": best_difference.high,
            "verdict": verdict,
            "on_front": False,
            **counts,
        }

    def _of_member(self, member: Member) -> list[Training]:
        """The trainings of a member, by replicate."""
        key = (member.trial, member.epoch)
        found = [each for each in self._by_role.get(Role.MEMBER, []) if (each.trial, each.epochs) == key]
        return sorted(found, key=lambda each: each.replicate)

    def _pool(self, member: Member, training: Training, role: Role) -> list[Training]:
        """The controls of one kind for a replicate of a member, without those that failed."""
        epochs = member.epoch * (2 if role is Role.LONGER else 1)
        key = (training.replicate, training.widths, epochs, member.settle)
        return self._controls.get((role, *key), [])

    @cached_property
    def _by_role(self) -> dict[Role, list[Training]]:
        found: dict[Role, list[Training]] = {}
        for training in self._trainings:
            found.setdefault(training.role, []).append(training)
        return found

    @cached_property
    def _controls(self) -> dict[tuple[Any, ...], list[Training]]:
        found: dict[tuple[Any, ...], list[Training]] = {}
        for each in self._trainings:
            if each.failure is None:
                key = (each.role, each.replicate, each.widths, each.epochs, each.settle)
                found.setdefault(key, []).append(each)
        return found

    def _verdict_score(self, training: Training) -> float:
        """The accuracy by which members and controls are compared."""
        if self.has_test:
            return _number(training.test)
        return _number(training.halves and training.halves[0])

    def _selection_score(self, training: Training) -> float:
        """The accuracy by which the best of several controls is selected, on none of the verdict rows."""
        if self.has_test:
            return _number(training.accuracy)
        return _number(training.halves and training.halves[1])


_COLUMNS: dict[str, Any] = {
    "trial": int,
    "epoch": int,
    "found_accuracy": float,
    "found_survivors": float,
    "neurons": int,
    "confirmed_accuracy": float,
    "confirmed_sd": float,
    "confirmed_low": float,
    "confirmed_high": float,
    "confirmed_survivors": float,
    "survivors_sd": float,
    "survivors_low": float,
    "survivors_high": float,
    "control_accuracy": float,
    "control_sd": float,
    "longer_accuracy": float,
    "longer_sd": float,
    "best_of": int,
    "best_of_accuracy": float,
    "best_of_sd": float,
    "test_accuracy": float,
    "test_sd": float,
    "readout_accuracy": float,
    "readout_sd": float,
    "random_accuracy": float,
    "random_sd": float,
    "difference": float,
    "difference_low": float,
    "difference_high": float,
    "best_of_difference": float,
    "best_of_low": float,
    "best_of_high": float,
    "verdict": str,
    "on_front": bool,
}


def equal_size(count: str, credit: Collection[str]) -> str:
    """What a dense control has in common with a member whose survivors are ``count``, and what it has not.

    Args:
        count: what survivors are.
        credit: rules for credit that members may have; controls learn by backprop.

    >>> equal_size("neurons", ["backprop"]), equal_size("connections", ["weight_mirror"])
    ('the same widths', 'as many connections under backprop')
    """
    size = "the same widths" if count == "neurons" else f"as many {count}"
    return size if {*credit} <= {"backprop"} else f"{size} under backprop"


def _count_columns(count: str) -> tuple[str, ...]:
    """The columns of what is counted beside survivors."""
    return f"found_{count}", f"confirmed_{count}", f"{count}_sd", f"{count}_low", f"{count}_high"


def seeds_for(member: Training, pool: Sequence[Training]) -> int:
    """How many dense trainings have the multiply-adds of one training of a member, from 1 to `MOST_SEEDS`."""
    dense = pool[0].multiply_adds if pool else 0.0
    return most_seeds(member.multiply_adds, dense)


def most_seeds(member: float, dense: float) -> int:
    """How many trainings with ``dense`` multiply-adds one with ``member`` is worth, from 1 to `MOST_SEEDS`.

    >>> most_seeds(7.9, 2.0), most_seeds(1.0, 2.0), most_seeds(1e9, 2.0)
    (3, 1, 10)
    """
    return max(1, min(MOST_SEEDS, int(member / dense + 1e-9))) if dense else 1


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _verdict(difference: Mean) -> str:
    return "above" if difference.low > 0 else "below" if difference.high < 0 else "level"


def _mixture(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and standard deviation of what is drawn from one of several pools, each equally often."""
    if not parts:
        return math.nan, math.nan
    means, deviations = np.array(parts).T
    return float(means.mean()), math.sqrt(float((deviations**2).mean() + means.var()))


def _span(values: pd.Series[float]) -> str:
    ends = dict.fromkeys(f"{each:.1f}".removesuffix(".0") for each in (values.min(), values.max()))
    return " to ".join(ends)
