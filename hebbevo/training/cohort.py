"""The training of a cohort: nets that train together, each as if it were alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hebbevo import user_code
from hebbevo.data import Split
from hebbevo.networks.layered import Layered
from hebbevo.nn import plastic, plastic_modules, plastic_units
from hebbevo.nn.plastic import longest_settling
from hebbevo.nn.wiring import Wiring, named_tensors, set_attached
from hebbevo.rules.rule import Need
from hebbevo.rules.settling import settling_factor
from hebbevo.space.knobs import Value
from hebbevo.training.compact import CompactStack
from hebbevo.training.cuda_graphs import CudaGraphs
from hebbevo.training.early_stopping import EarlyStopper
from hebbevo.training.knobs import rising_factor
from hebbevo.training.living_net import LivingNet
from hebbevo.training.losses import CrossEntropy, SquaredError
from hebbevo.training.optimizers import OPTIMIZERS, OWN_STEPS, StackedOptimizer
from hebbevo.training.per_structure import wiring_of
from hebbevo.training.pruning_patience import ENDLESS, first_events, is_unpruned
from hebbevo.training.readout import (
    LabelledRows,
    LayerOutputs,
    calibrate,
    fitted_readouts,
    head_inputs,
    learns_without_gradient,
    readout_outputs,
)
from hebbevo.training.recipe import Decoding, Exam, ExamResult, Measurement, Recipe
from hebbevo.training.scores import SCORES
from hebbevo.training.stack import CHECKED_STEPS, Loss, ModuleStack, NetStack, SingleNet
from hebbevo.training.subcohorts import SubCohort, observe_gradients, perturb, regrouped, restructured

EVALUATION_ROWS = 2048
"""Validation rows for which outputs are computed at once."""

_RUNNING_LOSS_RATE = 0.1  # weight of the newest loss in the running mean
# Least part of the variance of final values that predictions must explain. Others are noise to a sampler.
_LEAST_EXPLAINED = 0.5


@dataclass(frozen=True)
class Rows:
    """The data that nets are trained and measured on.

    Attributes:
        x: inputs of the training rows, (rows, *shape).
        y: their labels, (rows,) int64, or the targets of a regression, (rows, 1) float32.
        x_val: inputs of the validation rows, (rows, *shape).
        y_val: as ``y``, of the validation rows.
        exam: inputs and labels of each set of rows that nets are scored on after their last epoch.
    """

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor
    exam: tuple[tuple[Tensor, Tensor], ...] = ()

    @property
    def judged(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the rows by which networks are compared with their controls.

        With an exam these are its test rows or, without those, its first half of the validation rows.
        """
        if not self.exam:
            return self.x_val, self.y_val
        return self.exam[self.judged_place]

    @property
    def judged_place(self) -> int:
        """The place of `judged` among the rows of the exam."""
        return 2 if len(self.exam) > 2 else 0

    @classmethod
    def of(cls, split: Split, shape: tuple[int, ...], device: torch.device, exam: Exam | None = None) -> Rows:
        """Copy the training and validation rows of a split to a device, each row in ``shape``.

        Test rows are copied only for an exam on them.
        """

        def copied(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(x).to(device).reshape(-1, *shape), torch.from_numpy(y).to(device)

        x, y = copied(split.x_train, split.y_train)
        x_val, y_val = copied(split.x_val, split.y_val)
        if exam is None:
            return cls(x, y, x_val, y_val)
        sets = [(x_val[half::2], y_val[half::2]) for half in (0, 1)]
        if exam.on_test_rows:
            sets.append(copied(split.x_test, split.y_test))
        return cls(x, y, x_val, y_val, tuple(sets))


class CohortTraining:
    """The training of a cohort: nets of one structure that train together, each as if it were alone.

    Attributes:
        losses: loss of every net at every step, (steps, size); zero at steps not taken.
        learning_rate_factors: factors of the learning rates at every step, (steps, size).
        event_steps: whether units or connections of any net may be pruned or regrown at each step, (steps,).
        sub_cohorts: the nets that are still training, in the groups that are computed together.

    Args:
        recipe: what the trainings of the study share.
        nets: the nets, as a stack or a single one.
        values: values of the training's knobs, a mapping for each net.
        model: another net of the same structure, which is inspected and not trained.
        rows: the data, on the device of the nets.

    Raises:
        UsageError: a function of the user cannot be imported.
        ValueError: the nets have no trained parameter.
    """

    def __init__(
        self,
        recipe: Recipe,
        nets: ModuleStack,
        values: Sequence[Mapping[str, Value]],
        model: nn.Module,
        rows: Rows,
    ) -> None:
        self._started = time.perf_counter()
        if not nets.trained:
            raise ValueError("the network has no parameter that is trained; give it one that requires_grad")
        self._recipe = recipe
        self._size = nets.size
        self._rows = rows
        self._loss_of = _loss(recipe, rows.x.device, _loss_dtype(nets))
        self._built_in_score = SCORES.get(recipe.score_name)
        self._score_of = None if self._built_in_score else user_code.called(recipe.score_name)
        find = Wiring if recipe.has_user_code else wiring_of
        self._wiring = find(model, rows.x[:2].clone())
        self._notes: list[str] = [self._wiring.note] if self._wiring.note else []
        device, dtype = rows.x.device, _loss_dtype(nets)
        self._step = self._checked = 0  # steps taken, and steps whose losses were checked
        # the number of the step as a tensor, since a CUDA graph cannot read self._step
        self._step_on_device = torch.zeros(1, dtype=torch.int64, device=device)
        self._running_loss = torch.zeros(nets.size, dtype=dtype, device=device)
        # the first step whose loss was not finite; 0: none
        self._diverged = torch.zeros(nets.size, dtype=torch.int64, device=device)
        self._epochs = torch.zeros(nets.size, dtype=torch.int64, device=device)
        self._history: list[_EpochResults] = []
        self._explored: list[Tensor] = []  # after each epoch, where rules grow; see `NetStack.exploration`
        self._angles: list[Tensor] = []  # after each epoch, where layers have backward weights
        # of the nets that were stopped early
        self._predicted_finals: dict[int, tuple[float, ...] | None] = {}
        self._unpruned: set[int] = set()  # the nets among these that had lost no neuron
        self._exams: dict[int, list[float]] = {}  # the scores of nets that have ended
        # for an exam: which neurons were alive after each epoch, (size, neurons)
        self._alive: list[npt.NDArray[np.bool_]] = []
        total = total_steps(recipe, len(rows.x))
        with torch.no_grad():
            for name in plastic_modules(model):
                nets.tensors[f"{name}.total_steps".removeprefix(".")].fill_(total)
            self._wiring.prepare(nets.tensors)
        layered = model if isinstance(model, Layered) else None
        self._fits_head = layered is not None and layered.has_fitted_head
        self._trained_heads: dict[str, Tensor] = {}  # while fitted ones are in their place
        decoded = layered if layered is not None and learns_without_gradient(model) else None
        self._decoded_layers = len(decoded.hidden_layers()) if decoded else 0
        weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        kept = nets.tensors.items() if self._decoded_layers else ()
        self._drawn = {name: each.clone() for name, each in kept if name in weights}
        self._decoding: dict[int, Decoding] = {}  # of the nets that have ended
        self.losses = torch.zeros(total, nets.size, dtype=dtype, device=device)
        self._running_loss_rates = torch.full((total,), _RUNNING_LOSS_RATE, dtype=dtype, device=device)
        self._running_loss_rates[:1] = 1  # the running mean starts at the first loss
        settle = longest_settling(model, nets.tensors).expand(nets.size).cpu().double().numpy()
        warmup = np.array([int(str(each["learning_rate_warmup"])) for each in values])
        steps = np.arange(1, total + 1)[:, None]
        factors = settling_factor(steps, total, settle) * rising_factor(steps, warmup)
        self.learning_rate_factors = torch.tensor(factors, dtype=torch.float32, device=device)
        of_units, events = _event_steps(model, nets.tensors, torch.arange(1, total + 1, device=device))
        self.event_steps = events.any(dim=0).cpu().numpy()
        self._first_events = first_events(of_units.cpu())
        # the check of a stack compares all statistics after the first steps
        self._last_event = max([CHECKED_STEPS, *(np.flatnonzero(self.event_steps) + 1)])
        if self._wiring.perturbs:
            self._last_event = total  # which units are perturbed may depend on statistics at every step
        nets.matmul_dtype = getattr(torch, recipe.precision)
        self.sub_cohorts: Sequence[SubCohort] = self._grouped(nets, model, values)
        # code of the user may read values on the host, which a CUDA graph cannot record
        recorded = plastic.runs_ahead(rows.x) and not recipe.has_user_code
        self._graphs: CudaGraphs[list[tuple[NetStack, list[Tensor]]]] | None = (
            CudaGraphs() if recorded else None
        )

    def _grouped(
        self, nets: ModuleStack, model: nn.Module, values: Sequence[Mapping[str, Value]]
    ) -> Sequence[SubCohort]:
        """Put the nets into the groups that are computed together at first."""
        set_attached(nets.module)
        row = self._rows.x[:1].clone()
        # a single net of the user is trained as in an ordinary PyTorch loop, bit for bit
        as_it_is = (self._recipe.has_user_code and nets.size == 1) or self._fits_head
        smaller = None if as_it_is else self._smaller(nets, model, row)
        if smaller is None:
            nets.prepare_survivors(model, row)
        optimizer = optimizer_of(model, (smaller or nets).trained, values)
        all_rows = torch.arange(nets.size, device=row.device)
        return [SubCohort(all_rows, smaller or nets, optimizer)]

    def _smaller(self, nets: ModuleStack, model: nn.Module, row: Tensor) -> NetStack | None:
        """The same nets without what is out, if there are such for them; ``row`` is an input."""
        if isinstance(nets, SingleNet) and self._recipe.cuts_channels and LivingNet.serves(nets.module, row):
            return LivingNet(nets, self._wiring, row)
        return CompactStack.of(nets, model, row)

    def train(
        self,
        early_stopper: EarlyStopper | None = None,
        trials: Sequence[object] = (),
        last_epochs: Sequence[int | None] = (),
        after_epoch: Callable[[CohortTraining], None] | None = None,
        pruning_patience: float = ENDLESS,
    ) -> list[Measurement]:
        """Train every net to its last epoch, and measure it after each.

        Args:
            early_stopper: decides at its rungs which nets stop; by default all train to the end.
            trials: the trial that each net belongs to; the replicates of a trial are judged by their means.
            last_epochs: the last epoch of each net; ``None``, or none at all: that of the recipe.
            after_epoch: is called after each epoch, before any net stops; must not change anything.
            pruning_patience: the part of all steps after which a net stops that could lose neurons and has
                lost none (`hebbevo.training.pruning_patience`).

        Raises:
            ValueError: the loss, the output or the score has another form than it should have.
        """
        for epoch in range(1, self._recipe.epochs + 1):
            self.train_epoch()
            if after_epoch:
                after_epoch(self)
            if early_stopper and epoch in early_stopper.rungs:
                self._stop_early(early_stopper, trials)
            if pruning_patience < ENDLESS and epoch < self._recipe.epochs:
                self._stop_unpruned(pruning_patience, trials)
            ended = [row for row, last in enumerate(last_epochs) if last == epoch < self._recipe.epochs]
            if self._rows.exam and (ended or epoch == self._recipe.epochs):
                self._examine()
            if self._decoded_layers and (ended or epoch == self._recipe.epochs):
                self._decode({row for each in self.sub_cohorts for row in each.rows.tolist()})
            if ended:
                self.stop(torch.tensor(ended, dtype=torch.int64, device=self._rows.x.device))
            if not self.sub_cohorts:
                break
        return self.measurements()

    def train_epoch(self) -> None:
        """Train every net for one epoch, then measure it."""
        self._return_trained_heads()
        self._train_on(self.row_order(epoch=len(self._history)))
        self.measure()
        if plastic.runs_ahead(self._running_loss):
            # between epochs the host may wait for the device
            self._replace_sub_cohorts(regrouped(self.sub_cohorts))

    def _train_on(self, order: Tensor) -> None:
        """Take a step on each minibatch of rows in this order, int64."""
        for rows in torch.split(order, self._recipe.batch_size):
            self.train_step(rows)

    def row_order(self, epoch: int) -> Tensor:
        """The row numbers of an epoch, 0 is the first, int64; the same for all nets of a study."""
        order = np.random.default_rng([self._recipe.seed, epoch]).permutation(len(self._rows.x))
        return torch.from_numpy(order).to(self._rows.x.device)

    def minibatches(self, epoch: int) -> Iterator[Tensor]:
        """The row numbers of each minibatch of an epoch."""
        return iter(torch.split(self.row_order(epoch), self._recipe.batch_size))

    def train_step(self, rows: Tensor) -> list[tuple[NetStack, list[Tensor]]]:
        """Take one step on a minibatch, (b,) int64 row numbers.

        Returns:
            The nets of each sub-cohort, and their gradients.
        """
        if self._step == self._last_event:
            for each in self.sub_cohorts:
                each.nets.stop_statistics()
            if self._graphs:
                self._graphs.forget()  # they gather statistics
        event = bool(self.event_steps[self._step])
        self._step += 1
        return (
            self._graphs.run(self._take_step, rows, event) if self._graphs else self._take_step(rows, event)
        )

    def _take_step(self, rows: Tensor, event: bool) -> list[tuple[NetStack, list[Tensor]]]:
        """Take one step; on a GPU without reading a value on the host."""
        x, y = self._rows.x[rows], self._rows.y[rows]
        found: list[tuple[NetStack, list[Tensor]]] = []
        for each in self.sub_cohorts:
            losses, gradients = each.nets.losses(self._loss_of, x, y)
            if self._wiring.observes_gradients and self._step <= self._last_event:
                observe_gradients(each.nets, self._wiring, gradients)
            self.losses[self._step_on_device, each.rows] = losses.to(self.losses.dtype)
            factors = self.learning_rate_factors[self._step_on_device, each.rows]
            each.optimizer.step(each.nets.trained, gradients, factors)
            if self._wiring.perturbs:
                perturb(each.nets, self._wiring)
            found.append((each.nets, gradients))
        with torch.no_grad():
            rate = self._running_loss_rates.index_select(0, self._step_on_device)
            self._running_loss.lerp_(self.losses.index_select(0, self._step_on_device).squeeze(0), rate)
            if event:
                last = [gradients for _, gradients in found]
                self.sub_cohorts = restructured(self.sub_cohorts, self._wiring, self._running_loss, last)
        self._step_on_device.add_(1)
        return found

    def measure(self) -> None:
        """Measure every net that is still training."""
        if self._checked < self._step:
            bad = ~self.losses[self._checked : self._step].isfinite()
            first = self._checked + 1 + bad.long().argmax(0)
            self._diverged = torch.where((self._diverged == 0) & bad.any(0), first, self._diverged)
            self._checked = self._step
        if self._fits_head:
            self._fit_heads()
        scores = torch.full((self._size,), math.nan, dtype=torch.float64)
        counted = []
        for each in self.sub_cohorts:
            scores[each.rows.cpu()] = self._scores(each, self._rows.x_val, self._rows.y_val)
            counted.append(each.nets.survivors(self._recipe.count))
        self._units = counted[0].neurons
        self._notes += counted[0].notes
        by_net = self._in_cohort_order([{"layers": each.alive, "inputs": each.inputs} for each in counted])
        further = {name: self._counted(name) for name in self._recipe.further}
        self._history.append(_EpochResults(scores, by_net["layers"].sum(1), **by_net, further=further))
        if self._rows.exam and counted[0].units:
            patterns = [{"": torch.cat(each.units, 1)} for each in counted]
            self._alive.append(self._in_cohort_order(patterns)[""].cpu().numpy())
        explored = [each.nets.exploration() for each in self.sub_cohorts]
        found = [{"": each} for each in explored if each is not None]  # of all nets, or of none
        self._explored += [self._in_cohort_order(found)[""]] if found else []
        angles = [{"": each} for each in (own.nets.angles() for own in self.sub_cohorts) if each is not None]
        self._angles += [self._in_cohort_order(angles)[""]] if angles else []
        for each in self.sub_cohorts:
            self._epochs[each.rows] += 1

    def _counted(self, count: str) -> Tensor:
        """How many of what is counted beside survivors each net has, (size,)."""
        counted = [each.nets.survivors(count) for each in self.sub_cohorts]
        self._notes += counted[0].notes
        return self._in_cohort_order([{"": each.alive.sum(1)} for each in counted])[""]

    def _examine(self) -> None:
        """Score every net that is still training on the rows of the exam; the last time counts."""
        for each in self.sub_cohorts:
            found = torch.stack([self._scores(each, x, y) for x, y in self._rows.exam], 1).tolist()
            self._exams |= dict(zip(each.rows.tolist(), found, strict=True))

    @torch.no_grad()
    def _fit_heads(self) -> None:
        """Put fitted heads in the place of the trained ones, until the next step of training."""
        for each in self.sub_cohorts:
            tensors = _modules_of(each.nets).tensors
            heads = {name: tensors[f"head.{name}"] for name in ("weight", "bias")}
            for name, head in heads.items():
                if name not in self._trained_heads:
                    self._trained_heads[name] = head.new_zeros(self._size, *head.shape[1:])
                self._trained_heads[name][each.rows] = head
            [found] = fitted_readouts(_modules_of(each.nets), self._labelled_rows(each.nets), head_inputs)
            for head, fitted in zip(heads.values(), found, strict=True):
                head.copy_(fitted)

    @torch.no_grad()
    def _return_trained_heads(self) -> None:
        """Put the trained heads back; nothing where none was replaced."""
        for each in self.sub_cohorts if self._trained_heads else ():
            tensors = _modules_of(each.nets).tensors
            for name, trained in self._trained_heads.items():
                tensors[f"head.{name}"].copy_(trained[each.rows])
        self._trained_heads = {}

    @torch.no_grad()
    def _decode(self, wanted: Collection[int]) -> None:
        """Measure what a readout of each hidden layer reaches, for these nets, which are still training.

        And the same with the weights that the net began with, under the masks and dead units that it has now.
        """
        for each in self.sub_cohorts:
            places = [place for place, row in enumerate(each.rows.tolist()) if row in wanted]
            nets = _modules_of(each.nets)
            if len(places) == len(each.rows):
                self._decode_nets(nets, each.rows)
            else:
                for place in places:
                    own = slice(place, place + 1)
                    self._decode_nets(nets.part(own), each.rows[own])

    def _decode_nets(self, nets: ModuleStack, rows: Tensor) -> None:
        """Do so for nets at these rows of the cohort."""
        # a fitted head is the readout of the last layer
        by_head = [self._judged_scores(rows)] if self._fits_head else []
        read = LayerOutputs(self._decoded_layers - len(by_head))
        learned = torch.stack(self._decoded(nets, read) + by_head, 1)
        present = {name: tensor.clone() for name, tensor in nets.tensors.items()}
        for name, drawn in self._drawn.items():
            nets.tensors[name].copy_(drawn[rows])
        calibrate(nets, self._rows.x)
        random = torch.stack(self._decoded(nets, LayerOutputs(self._decoded_layers)), 1)
        for name, tensor in nets.tensors.items():
            tensor.copy_(present[name])
        self._decoding |= {
            row: Decoding(tuple(one), tuple(other))
            for row, one, other in zip(rows.tolist(), learned.tolist(), random.tolist(), strict=True)
            if all(map(math.isfinite, one + other))
        }

    def _judged_scores(self, rows: Tensor) -> Tensor:
        """The scores of nets on the rows by which they are compared, (k,), as they were measured."""
        if not self._rows.exam:
            return self._history[-1].scores[rows.cpu()]
        own = [self._exams[row][self._rows.judged_place] for row in rows.tolist()]
        return torch.tensor(own, dtype=torch.float64)

    def _decoded(self, nets: ModuleStack, read: LayerOutputs) -> list[Tensor]:
        """The scores of a readout of each of these layers on the rows that judge, (k,) each."""
        readouts = fitted_readouts(nets, self._labelled_rows(nets), read)
        x, y = self._rows.judged
        return [self._scores_of(outputs, y) for outputs in readout_outputs(nets, x, read, readouts)]

    def _labelled_rows(self, nets: NetStack) -> LabelledRows:
        """The training rows, for readouts of these nets."""
        outputs = nets.outputs(self._rows.x[:2]).shape[-1]
        return LabelledRows.of(self._rows.x, self._rows.y, outputs, self._recipe.class_weights)

    def _scores(self, sub_cohort: SubCohort, x: Tensor, y: Tensor) -> Tensor:
        """The scores of the nets of a sub-cohort on rows ``x`` with labels ``y``, (k,) float64."""
        chunks = torch.split(x, EVALUATION_ROWS)
        outputs = torch.cat([sub_cohort.nets.outputs(chunk) for chunk in chunks], dim=1)
        rows, finite = sub_cohort.rows, outputs.isfinite().all(dim=(1, 2))
        if self._built_in_score and not plastic.runs_ahead(outputs):
            return self._unless_diverged(rows, finite, self._built_in_score.of(outputs, y))
        # a function of the user does not get outputs of nets that have diverged
        diverged = self._note_diverged(rows, finite)
        return self._scores_of(outputs.masked_fill(diverged[:, None, None], math.nan), y)

    def _unless_diverged(self, rows: Tensor, finite: Tensor, scores: Tensor) -> Tensor:
        """Scores of the nets at ``rows``, NaN of those that have diverged."""
        return scores.masked_fill(self._note_diverged(rows, finite), math.nan)

    def _note_diverged(self, rows: Tensor, finite: Tensor) -> Tensor:
        """Note which nets at ``rows`` have outputs that are not finite; give which have diverged, bool.

        The loss of the last step may have been finite, and its update too large.
        """
        first = self._diverged[rows]
        self._diverged[rows] = first = first.masked_fill((first == 0) & ~finite, self._step)
        return first > 0

    def _scores_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The scores of the outputs of nets, (k, rows, outputs), (k,) float64; NaN of those not finite."""
        finite = outputs.isfinite().all(dim=(1, 2))
        if self._built_in_score:
            return self._built_in_score.of(outputs, y).masked_fill(~finite, math.nan).cpu()
        found = [
            self._score(own, y) if is_finite else math.nan
            for own, is_finite in zip(outputs, finite.tolist(), strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    def _score(self, outputs: Tensor, y: Tensor) -> float:
        """The score of one net by a function of the user."""
        assert self._score_of is not None
        score = float(self._score_of(outputs, y.clone()))
        if not 0 <= score <= 1:
            raise ValueError(f"{self._recipe.score}: gave {score}; return a number from 0 to 1")
        return score

    def _stop_early(self, early_stopper: EarlyStopper, trials: Sequence[object]) -> None:
        """Stop the nets of those trials that the early stopper stops at this epoch."""
        scores = torch.stack([each.scores for each in self._history], 1)
        survivors = torch.stack([each.survivors for each in self._history], 1)
        counts = [each.cpu().double() for each in (survivors, *self._further().values())]
        judged = self._judged(trials)
        if not judged:
            return
        decisions = early_stopper.decide(
            *(torch.stack([each[own].mean(0) for own in judged]).numpy() for each in (scores, *counts))
        )
        useful = early_stopper.explained[len(self._history)] >= _LEAST_EXPLAINED
        stopped = {
            row: decision.predicted_final if useful else None
            for own, decision in zip(judged, decisions, strict=True)
            if decision.stopped
            for row in own
        }
        self._end_early(stopped)

    def _stop_unpruned(self, patience: float, trials: Sequence[object]) -> None:
        """Stop the nets of those trials in which all have lost no neuron for too long."""
        survivors = torch.stack([each.survivors for each in self._history], 1)
        unpruned = is_unpruned(
            survivors.cpu(), sum(self._units), self._first_events, self._step, len(self.losses), patience
        )
        rows = [row for own in self._judged(trials) if unpruned[own].all() for row in own]
        if rows:
            self._unpruned.update(rows)
            # what they have reached stands for what they would reach
            reached = self.reached
            self._end_early({row: reached[row] for row in rows})

    def _judged(self, trials: Sequence[object]) -> list[list[int]]:
        """The nets of each trial that is still training; a trial with a net that has diverged fails."""
        scores, rows = self._history[-1].scores, dict[object, list[int]]()
        for row in sorted(row for each in self.sub_cohorts for row in each.rows.tolist()):
            rows.setdefault(trials[row], []).append(row)
        return [own for own in rows.values() if scores[own].isfinite().all()]

    def _end_early(self, predicted_finals: Mapping[int, tuple[float, ...] | None]) -> None:
        """Stop these nets, with what is predicted for their ends."""
        self._predicted_finals |= predicted_finals
        if self._decoded_layers:
            self._decode(predicted_finals)
        self.stop(torch.tensor([*predicted_finals], dtype=torch.int64, device=self._rows.x.device))

    def stop(self, rows: Tensor) -> None:
        """Train on without the nets at ``rows``, (k,) int64."""
        left = (each.without(rows) for each in self.sub_cohorts)
        self._replace_sub_cohorts([each for each in left if each])

    def _replace_sub_cohorts(self, sub_cohorts: Sequence[SubCohort]) -> None:
        if self._graphs and [*sub_cohorts] != [*self.sub_cohorts]:
            self._graphs.forget()
        self.sub_cohorts = sub_cohorts

    def measurements(self) -> list[Measurement]:
        """What each net has reached so far; seconds are an equal share of the cohort's wall time."""
        seconds = (time.perf_counter() - self._started) / self._size
        scores, survivors, layers, inputs = (
            torch.stack([getattr(each, name) for each in self._history], dim=1).tolist()
            for name in ("scores", "survivors", "layers", "inputs")
        )
        angles = torch.stack(self._angles, 1).tolist() if self._angles else [[]] * self._size
        further = {name: counts.tolist() for name, counts in self._further().items()}
        explorations = torch.stack(self._explored, 1).tolist() if self._explored else [[]] * self._size
        return [
            Measurement(
                accuracy=tuple(scores[row][:epochs]),
                survivors=tuple(survivors[row][:epochs]),
                layers=tuple(layers[row][epochs - 1]),
                inputs=inputs[row][epochs - 1],
                seconds=seconds,
                failure=f"the loss became NaN or infinite at step {step}" if step else None,
                neurons=sum(self._units),
                notes=tuple(dict.fromkeys(self._notes)),
                stopped=row in self._predicted_finals,
                predicted_final=self._predicted_finals.get(row),
                unpruned=row in self._unpruned,
                exam=self._exam_result(row, layers[row][:epochs]),
                explored=tuple(explored / total for total, explored, _, _ in explorations[row][:epochs]),
                grown_left=tuple(
                    left / grown if grown else 1.0 for _, _, grown, left in explorations[row][:epochs]
                ),
                decoding=self._decoding.get(row),
                angles=tuple(map(tuple, angles[row][:epochs])),
                further={name: tuple(counts[row][:epochs]) for name, counts in further.items()},
            )
            for row, (epochs, step) in enumerate(
                zip(self._epochs.tolist(), self._diverged.tolist(), strict=True)
            )
        ]

    def _exam_result(self, row: int, layers: Sequence[Sequence[int]]) -> ExamResult | None:
        if row not in self._exams:
            return None
        first, second, *test = self._exams[row]
        alive = tuple(np.packbits(each[row]).tobytes() for each in self._alive[: len(layers)])
        units = self._units if alive else ()
        return ExamResult((first, second), test[0] if test else None, tuple(map(tuple, layers)), units, alive)

    @property
    def state(self) -> dict[str, Tensor]:
        """All parameters and buffers by dotted name, (size, *shape); zeros for nets that were stopped."""
        return self._in_cohort_order([each.nets.state for each in self.sub_cohorts])

    @property
    def epoch(self) -> int:
        """Number of epochs that were measured."""
        return len(self._history)

    @property
    def reached(self) -> dict[int, tuple[float, ...]]:
        """Accuracy, or NaN, and counts after the last epoch of each net that is still training."""
        last = self._history[-1]
        measures = [each.tolist() for each in (last.scores, last.survivors, *last.further.values())]
        training = torch.cat([each.rows for each in self.sub_cohorts]).tolist()
        return {row: tuple(own[row] for own in measures) for row in sorted(training)}

    def _further(self) -> dict[str, Tensor]:
        """By name, what is counted beside survivors after each epoch, (size, epochs)."""
        return {
            name: torch.stack([each.further[name] for each in self._history], 1)
            for name in self._recipe.further
        }

    @torch.no_grad()
    def states(self, rows: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """Copies of all parameters and buffers of nets that are still training, on the CPU.

        Args:
            rows: numbers of the nets.
        """
        found: dict[int, dict[str, Tensor]] = {}
        for each in self.sub_cohorts:
            wanted = [(place, row) for place, row in enumerate(each.rows.tolist()) if row in rows]
            state = each.nets.state if wanted else {}
            for place, row in wanted:
                found[row] = {name: tensor[place].detach().cpu().clone() for name, tensor in state.items()}
        return found

    def network(self, row: int, net: nn.Module) -> nn.Module:
        """Give the net at ``row`` in evaluation mode.

        Args:
            row: number of a net that is still training.
            net: another net of its structure, into which its state is copied.

        Raises:
            ValueError: the net at ``row`` was stopped.
        """
        [nets] = [each.nets for each in self.sub_cohorts if row in each.rows]
        if isinstance(nets, SingleNet):
            return nets.module.eval()
        state = {name: tensor[row] for name, tensor in self.state.items()}
        with torch.no_grad():
            for name, tensor in chain(net.named_parameters(), net.named_buffers()):
                tensor.copy_(state[name])
        return net.to(self._rows.x.device).eval()

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """Compute the outputs of every net for inputs (rows, *shape), in evaluation mode.

        Returns:
            Outputs, (size, rows, classes); zeros for nets that were stopped.

        Raises:
            ValueError: the outputs have another shape.
        """
        return self._in_cohort_order([{"": each.nets.outputs(x)} for each in self.sub_cohorts])[""]

    def _in_cohort_order(self, found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Join what each sub-cohort has, (k, *shape), to (size, *shape); zeros for nets that were stopped."""
        [first, *_] = found
        joined = {}
        for name, tensor in first.items():
            joined[name] = tensor.new_zeros(self._size, *tensor.shape[1:])
            for each, own in zip(self.sub_cohorts, found, strict=True):
                joined[name][each.rows] = own[name].detach()
        return joined


@dataclass(frozen=True)
class _EpochResults:
    """What the nets of a cohort had reached after an epoch: ``layers`` (size, layers), all others (size,)."""

    scores: Tensor
    survivors: Tensor
    layers: Tensor
    inputs: Tensor
    further: Mapping[str, Tensor]


def optimizer_of(
    model: nn.Module, trained: Mapping[str, Tensor], values: Sequence[Mapping[str, Value]]
) -> StackedOptimizer:
    """Make the optimiser of nets of the structure of ``model``.

    Args:
        model: a net of their structure.
        trained: what it changes, see `NetStack`.
        values: values of the training's knobs, a mapping for each net.
    """
    own_steps = any(module.reason_for(Need.OWN_STEPS) for module in plastic_modules(model).values())
    optimizers = OWN_STEPS if own_steps else OPTIMIZERS
    optimizer = optimizers[str(values[0]["optimizer"])](trained, values)
    optimizer.undecayed = frozenset(
        f"{name}.{key}".removeprefix(".")
        for name, module in plastic_units(model).items()
        for key in module.rule.parameters
    )
    return optimizer


def total_steps(recipe: Recipe, rows: int) -> int:
    """Number of steps of a whole training on ``rows`` rows."""
    return -(-rows // recipe.batch_size) * recipe.epochs


def has_events(recipe: Recipe, nets: Sequence[nn.Module], rows: int) -> bool:
    """Whether units or connections of these nets may be pruned or regrown in a training on ``rows`` rows.

    Begins a training of the nets' plastic modules.
    """
    total = total_steps(recipe, rows)
    for net in nets:
        for module in plastic_modules(net).values():
            module.begin(total)
        alone = {name: tensor[None] for name, tensor in named_tensors(net).items()}
        if _event_steps(net, alone, torch.arange(1, total + 1))[1].any():
            return True
    return False


def _event_steps(model: nn.Module, tensors: Mapping[str, Tensor], steps: Tensor) -> tuple[Tensor, Tensor]:
    """Whether units, and whether units or connections, may be pruned or regrown at each of ``steps``.

    Args:
        model: a net.
        tensors: the parameters and buffers of nets of its structure, (size, *shape).
        steps: forward steps, (steps,).

    Returns:
        Two tensors, (size, steps) bool.
    """
    size = len(next(iter(tensors.values())))
    of_units = of_any = torch.zeros(size, len(steps), dtype=torch.bool, device=steps.device)
    units = {*plastic_units(model)}
    for name, module in plastic_modules(model).items():
        own = {key: tensors[f"{name}.{key}".removeprefix(".")] for key in module._buffers}
        events = module.is_event(steps, own)
        of_any = of_any | events
        of_units = of_units | events if name in units else of_units
    return of_units, of_any


def _modules_of(nets: NetStack) -> ModuleStack:
    """The nets as modules, as nets with readouts always are."""
    assert isinstance(nets, ModuleStack)
    return nets


def _loss(recipe: Recipe, device: torch.device, dtype: torch.dtype) -> Loss:
    """The loss of one net: the user's function, or the built-in one of the task."""
    if recipe.loss:
        return user_code.called(recipe.loss)
    if recipe.kind == "regression":
        return SquaredError()
    weights = recipe.class_weights
    return CrossEntropy(torch.tensor(weights, dtype=dtype, device=device) if weights else None)


def _loss_dtype(nets: NetStack) -> torch.dtype:
    """The type in which losses of these nets are kept: double precision if the weights are."""
    double = any(weight.dtype is torch.float64 for weight in nets.trained.values())
    return torch.float64 if double else torch.float32
