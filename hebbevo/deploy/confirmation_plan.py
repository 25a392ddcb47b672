"""What a confirmation trains: cohorts in stages, each a function of what the stages before have found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

from hebbevo.deploy import controls
from hebbevo.deploy.controls import Cost, DenseSize, Point
from hebbevo.networks import Architecture
from hebbevo.space import Genome
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.confirmation import most_seeds
from hebbevo.study.confirmation_record import Member, Request, Role, Training

if TYPE_CHECKING:
    from hebbevo.execution import Cohort
    from hebbevo.training import Candidate, Measurement, Recipe

NEIGHBOURS = 1
"""Widths to each side whose networks count when a width is tuned: single scores of small networks scatter."""

TUNING_NETWORKS = 8
"""Networks, at least, that a point of the tuning grid is judged by."""

MOST_TUNING_WIDTHS = 8
"""Most members whose widths the control is tuned on; of more, some from the whole front are taken."""

SMALL = 4000
"""Multiply-adds for one row below which the width of a network hardly matters to the time of its training."""

Numbered = tuple[int, Training]
"""A training with its number in the confirmation."""


@dataclass(frozen=True)
class Step:
    """A cohort of a confirmation.

    Attributes:
        cohort: the cohort; the numbers of its trials are those of its trainings.
        trainings: what is trained, without results.
    """

    cohort: Cohort
    trainings: tuple[Training, ...]


class ConfirmationPlan:
    """The trainings of a confirmation.

    Args:
        request: what it is to find out.
        genomes: genomes of the members' trials.
        recipe: what the trainings of the study share.
        rows: number of training rows.
        cohort_width: most networks in a cohort.
    """

    def __init__(
        self,
        request: Request,
        genomes: Mapping[int, Genome],
        recipe: Recipe,
        rows: int,
        cohort_width: int,
    ) -> None:
        self.request = request
        self._genomes = genomes
        self._recipe = recipe
        self._rows = rows
        self._width = cohort_width

    def stages(self, known: Mapping[int, Training]) -> Iterator[list[Step]]:
        """Give the cohorts of each stage. Before the next one is asked for, all of them must be in ``known``.

        Args:
            known: trainings that have results, by their number.
        """
        members = self._member_steps()
        yield members
        if self.request.no_control:
            return
        count = sum(len(step.trainings) for step in members)
        trained = [known[number] for number in range(count)]
        targets = self._tuning_targets(trained)
        if not targets:
            return
        grid, scores = controls.first_grid(), [dict[Point, list[float]]() for _ in targets]
        while grid:
            tuning = self._tuning_steps(targets, grid, count)
            yield tuning
            self._add_scores(scores, targets, known, count, tuning)
            count += sum(len(step.trainings) for step in tuning)
            best = self._best_points(targets, scores)
            tried = [*scores[0]]
            wider = (controls.wider_grid(tried, point) for point in dict.fromkeys(best))
            grid = sorted({point for points in wider for point in points} - {*tried})
        yield self._control_steps(trained, dict(zip(targets, best, strict=True)), count)

    def expected(self, courses: Mapping[tuple[int, int], Sequence[float]]) -> int:
        """About how many networks are trained.

        Args:
            courses: by trial and epoch of a member, its recorded survivors after each epoch up to that one.
        """
        request = self.request
        own = len(request.members) * request.replicates
        if request.no_control:
            return own
        widths = min(len(request.members), MOST_TUNING_WIDTHS)
        tuning = len(controls.first_grid()) * widths * self._networks_of_each(widths)
        seeds = (
            self._expected_seeds(member, courses[member.trial, member.epoch]) for member in request.members
        )
        return own + tuning + request.replicates * sum(max(2, count) + 1 for count in seeds)

    def measured(self, training: Training, measurement: Measurement) -> Training:
        """A training with its results."""
        exam, of_member = measurement.exam, training.role is Role.MEMBER
        decoding = measurement.decoding
        if measurement.failure is not None or exam is None:
            failure = measurement.failure or "it has no exam"
            return replace(training, seconds=measurement.seconds, failure=failure)
        scores = (measurement.accuracy[-1], *exam.halves, *([] if exam.test is None else [exam.test]))
        if not all(map(math.isfinite, scores)):
            failure = "its score is not defined on some rows"
            return replace(training, seconds=measurement.seconds, failure=failure)
        return replace(
            training,
            widths=training.widths or self._control_widths(training.trial, measurement.layers),
            accuracy=measurement.accuracy[-1],
            halves=exam.halves,
            test=exam.test,
            survivors=measurement.survivors[-1],
            multiply_adds=self._multiply_adds(training, exam.layers),
            seconds=measurement.seconds,
            further={name: counts[-1] for name, counts in measurement.further.items()},
            alive=AliveUnits.of(exam.units, exam.alive) if of_member and exam.alive else None,
            decoding=decoding.learned if decoding else (),
            random_decoding=decoding.random if decoding else (),
        )

    # --- the stages ---

    def _member_steps(self) -> list[Step]:
        """The members of each replicate together, in cohorts of the study's width."""
        from hebbevo.training import Candidate

        steps: list[Step] = []
        for replicate in range(self.request.replicates):
            recipe = replace(self._recipe, seed=controls.seed_of(self._recipe.seed, replicate))
            trainings = [
                Training(role=Role.MEMBER, trial=member.trial, replicate=replicate, epochs=member.epoch)
                for member in self.request.members
            ]
            numbered = [*enumerate(trainings, start=replicate * len(trainings))]
            for start in range(0, len(trainings), self._width):
                own = numbered[start : start + self._width]
                candidates = [
                    Candidate(self._genomes[each.trial], 0, last_epoch=each.epochs) for _, each in own
                ]
                steps.append(self._step(own, candidates, recipe))
        return steps

    def _tuning_targets(self, trained: Sequence[Training]) -> list[Training]:
        """Widths, epochs and settling phases on which the control is tuned: means over replicates."""
        found = []
        for member in self.request.members:
            own = [
                each.widths
                for each in trained
                if (each.trial, each.epochs) == (member.trial, member.epoch) and _has_control(each)
            ]
            if own:
                widths = tuple(max(1, round(fmean(layer))) for layer in zip(*own, strict=True))
                found.append(
                    Training(
                        role=Role.TUNING,
                        trial=member.trial,
                        replicate=0,
                        epochs=member.epoch,
                        widths=widths,
                        settle=member.settle,
                    )
                )
        different = {_schedule(each): each for each in reversed(found)}
        kept = [each for each in found if different[_schedule(each)] is each]
        if len(kept) <= MOST_TUNING_WIDTHS:
            return kept
        last = MOST_TUNING_WIDTHS - 1
        return [kept[round(place * (len(kept) - 1) / last)] for place in range(MOST_TUNING_WIDTHS)]

    def _tuning_steps(self, targets: Sequence[Training], grid: Sequence[Point], first: int) -> list[Step]:
        """Dense networks of some widths, at each point of a grid."""
        each_width = self._networks_of_each(len(targets))
        trainings = [
            replace(target, number=number, learning_rate=rate, weight_decay=decay)
            for target in targets
            for rate, decay in grid
            for number in range(each_width)
        ]
        return self._dense_steps([*enumerate(trainings, start=first)])

    def _networks_of_each(self, widths: int) -> int:
        """Dense networks of each width that are trained at a point of the grid."""
        neighbours = self.request.neighbours
        together = widths if neighbours is None else min(widths, 2 * neighbours + 1)
        return math.ceil(TUNING_NETWORKS / together)

    def _add_scores(
        self,
        scores: Sequence[dict[Point, list[float]]],
        targets: Sequence[Training],
        known: Mapping[int, Training],
        first: int,
        steps: Sequence[Step],
    ) -> None:
        """Add the scores of a stage of tuning by target and point, on rows that decide no verdict."""
        places = {_schedule(target): place for place, target in enumerate(targets)}
        for number in range(first, first + sum(len(step.trainings) for step in steps)):
            each = known[number]
            assert each.learning_rate is not None and each.weight_decay is not None
            score = each.accuracy if self.request.has_test else each.halves and each.halves[1]
            own = scores[places[_schedule(each)]]
            own.setdefault((each.learning_rate, each.weight_decay), []).append(score or 0.0)

    def _best_points(
        self, targets: Sequence[Training], scores: Sequence[Mapping[Point, Sequence[float]]]
    ) -> list[Point]:
        """The point of the grid with the best mean score for each target, with those of its neighbours."""
        order = sorted(range(len(targets)), key=lambda place: sum(targets[place].widths))
        reach = len(targets) if self.request.neighbours is None else self.request.neighbours
        found: dict[int, Point] = {}
        for rank, place in enumerate(order):
            near = [scores[other] for other in order[max(0, rank - reach) : rank + reach + 1]]
            means = {
                point: fmean([score for each in near for score in each[point]]) for point in scores[place]
            }
            found[place] = max(means, key=lambda point: (means[point], -point[0], -point[1]))
        return [found[place] for place in range(len(targets))]

    def _control_steps(
        self, trained: Sequence[Training], best: Mapping[Training, Point], first: int
    ) -> list[Step]:
        """For each width and schedule of a replicate, several dense networks, and one trained longer."""
        settles = {(member.trial, member.epoch): member.settle for member in self.request.members}
        sizes: dict[Training, int] = {}
        for each in filter(_has_control, trained):
            size = math.log(sum(each.widths))
            nearest = min(best, key=lambda target: abs(math.log(sum(target.widths)) - size))
            rate, decay = best[nearest]
            control = Training(
                role=Role.DENSE,
                trial=each.trial,
                replicate=each.replicate,
                epochs=each.epochs,
                widths=each.widths,
                learning_rate=rate,
                weight_decay=decay,
                settle=settles[each.trial, each.epochs],
            )
            # members with the same widths share their controls, which then bear the first one's trial
            same = next((known for known in sizes if replace(known, trial=each.trial) == control), control)
            pool = max(2, most_seeds(each.multiply_adds, self._dense_cost(control)))
            sizes[same] = max(sizes.get(same, 0), pool)
        trainings: list[Training] = []
        for control, size in sizes.items():
            trainings += [replace(control, number=number) for number in range(size)]
            trainings.append(replace(control, role=Role.LONGER, epochs=2 * control.epochs))
        return self._dense_steps([*enumerate(trainings, start=first)])

    def _dense_steps(self, numbered: Sequence[Numbered]) -> list[Step]:
        """Cohorts of dense networks: those with one order of minibatches and one schedule train together."""
        from hebbevo.training import Candidate

        alike: dict[tuple[int, int, int], list[Numbered]] = {}
        for number, each in numbered:
            alike.setdefault((-each.epochs, each.replicate, len(each.widths)), []).append((number, each))
        steps: list[Step] = []
        for _, own in sorted(alike.items()):  # the longest first, so that no worker ends with one alone
            first = own[0][1]
            purpose = "tuning" if first.role is Role.TUNING else first.replicate
            seed = controls.seed_of(self._recipe.seed, purpose)
            recipe = controls.dense_recipe(self._recipe, seed, first.epochs)
            for cohort in self._of_similar_widths(own):
                padded = controls.padded(recipe, [each.widths for _, each in cohort])
                candidates = [
                    Candidate(
                        controls.dense_genome(self._recipe, each, self._genomes[each.trial]), each.number
                    )
                    for _, each in cohort
                ]
                steps.append(self._step(cohort, candidates, padded))
        return steps

    def _of_similar_widths(self, numbered: Sequence[Numbered]) -> Iterator[list[Numbered]]:
        """Divide dense networks of one depth into cohorts in which padding costs little."""
        cohort: list[Numbered] = []
        for each in sorted(numbered, key=lambda each: (-self._cost.per_row(each[1].widths), each[0])):
            widths = [training.widths for _, training in (*cohort, each)]
            own = sum(map(self._cost.per_row, widths))
            padded = len(widths) * self._cost.per_row([*map(max, zip(*widths, strict=True))])
            if cohort and (len(cohort) == self._width or padded > 2 * own + SMALL * len(widths)):
                yield cohort
                cohort = []
            cohort.append(each)
        yield cohort

    def _step(self, numbered: Sequence[Numbered], candidates: Sequence[Candidate], recipe: Recipe) -> Step:
        from hebbevo.execution import Cohort
        from hebbevo.training import Exam

        numbers, trainings = zip(*numbered, strict=True)
        tunes = trainings[0].role is Role.TUNING
        exam = Exam(on_test_rows=self.request.has_test and not tunes)
        return Step(Cohort(numbers, tuple(candidates), recipe=recipe, exam=exam), trainings)

    # --- what trainings cost ---

    @cached_property
    def _cost(self) -> Cost:
        assert isinstance(self._recipe.network, Architecture)
        return Cost(self._recipe.network)

    @cached_property
    def _dense_size(self) -> DenseSize:
        assert isinstance(self._recipe.network, Architecture)
        return DenseSize(self._recipe.network, self._recipe.count)

    def _control_widths(self, trial: int, layers: Sequence[int]) -> tuple[int, ...]:
        """The widths of the dense control of a member.

        Args:
            trial: number of its trial.
            layers: its survivors in each layer; the control has the same widths where they are neurons, and
                as many in all where they are something else.
        """
        if self._recipe.count == "neurons" or self.request.no_control:
            return tuple(layers)
        return self._dense_size.widths_with(sum(layers), self._start(trial)) if any(layers) else ()

    def _dense_cost(self, control: Training) -> float:
        return float(self._rows * control.epochs * self._cost.per_row(control.widths))

    def _multiply_adds(self, training: Training, layers: Sequence[Sequence[int]]) -> float:
        if self.request.no_control:
            return 0.0
        if training.role is not Role.MEMBER:
            return self._dense_cost(training)
        return self._member_cost(self._start(training.trial), layers)

    def _member_cost(self, start: Sequence[int], layers: Sequence[Sequence[int]]) -> float:
        """Multiply-adds of a member's training.

        Args:
            start: units of each layer before it.
            layers: survivors of each layer after each epoch.
        """
        if self._recipe.count == "neurons":
            return self._cost.of_training(start, layers, self._rows)
        whole = self._dense_size.of(start)
        return self._cost.of_sparse_training(start, [sum(each) / whole for each in layers], self._rows)

    def _start(self, trial: int) -> tuple[int, ...]:
        """The widths of a trial's network before its training."""
        assert isinstance(self._recipe.network, Architecture)
        shaped = self._recipe.network.shaped(self._recipe.settings_for(self._genomes[trial]))
        return (*shaped.channels, *shaped.hidden)

    def _expected_seeds(self, member: Member, course: Sequence[float]) -> int:
        """About how many dense trainings have the cost of a member's, if all layers shrink alike."""
        start = self._start(member.trial)
        if self._recipe.count == "neurons":
            layers = [
                [max(1, round(width * alive / max(1, sum(start)))) for width in start] for alive in course
            ]
        else:
            layers = [[max(1, round(alive))] for alive in course]
        dense = self._cost.per_row(self._control_widths(member.trial, layers[-1]))
        return most_seeds(self._member_cost(start, layers), float(self._rows * member.epoch * dense))


def _schedule(training: Training) -> tuple[tuple[int, ...], int, float]:
    """Widths, epochs and settling phase: what the tuning tells networks apart by."""
    return training.widths, training.epochs, training.settle


def _has_control(training: Training) -> bool:
    """Whether there is a dense network with the widths of a trained member."""
    return training.failure is None and bool(training.widths) and min(training.widths) > 0
