"""A cohort: nets that train together, each as if it were alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo import user_code
from hebbevo.data import Split
from hebbevo.nn import plastic_modules
from hebbevo.nn.attachment import settling_factor
from hebbevo.nn.wiring import Wiring, mark_attached, settling
from hebbevo.space.knobs import Value
from hebbevo.training import cuda_graphs
from hebbevo.training.compact import CompactStack
from hebbevo.training.cuda_graphs import Graphs
from hebbevo.training.early_stopping import EarlyStopper
from hebbevo.training.optimizers import OPTIMIZERS
from hebbevo.training.recipe import Measurement, Recipe
from hebbevo.training.stack import CHECKED_STEPS, Loss, ModuleStack, NetStack, SingleNet
from hebbevo.training.subcohorts import SubCohort, fitted, restructured

EVALUATION_ROWS = 2048
_LOSS_RATE = 0.1
_TELLING = 0.5  # part of the variance of the ends that headings have to explain, or they say nothing


@dataclass(frozen=True)
class Rows:
    """The rows that nets are trained and measured on; the ``x`` are (rows, *shape)."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor

    @classmethod
    def of(cls, split: Split, shape: tuple[int, ...], device: torch.device) -> Rows:
        """Take them from a split."""
        x, x_val = (
            torch.from_numpy(part).to(device).reshape(-1, *shape) for part in (split.x_train, split.x_val)
        )
        y, y_val = (torch.from_numpy(part).to(device) for part in (split.y_train, split.y_val))
        return cls(x, y, x_val, y_val)


class CohortTraining:
    """Nets of one structure in training; between epochs some may be dropped with `stop`.

    Attributes:
        losses: of every step and net, (steps, size); zero where none was taken.

    Args:
        recipe: what the trainings of the study share.
        nets: a stack of them, or one alone.
        values: of the training's knobs, a mapping a net.
        model: another net of the same structure, to look at.
        rows: the data, on the device of the nets.

    Raises:
        UsageError: a knob asks for neighbours that are not found, or a function of the user's is not there.
        ValueError: there is nothing to train.
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
        self._loss_of: Loss = user_code.called(recipe.loss) if recipe.loss else F.cross_entropy
        self._score_of = user_code.called(recipe.score) if recipe.score else accuracy
        self._wiring = Wiring(model, rows.x[:2].clone())
        self._notes: list[str] = [self._wiring.note] if self._wiring.note else []
        self._step = self._seen = 0
        self._now = torch.zeros(1, dtype=torch.int64, device=rows.x.device)  # the step, for the device
        self._loss = torch.zeros(nets.size, dtype=_exact(nets), device=rows.x.device)
        # first bad step, 0: none
        self._diverged = torch.zeros(nets.size, dtype=torch.int64, device=rows.x.device)
        self._epochs = torch.zeros(nets.size, dtype=torch.int64, device=rows.x.device)
        self._history: list[_State] = []
        self._headings: dict[int, tuple[float, float] | None] = {}  # of who was stopped
        total = total_steps(recipe, len(rows.x))
        with torch.no_grad():
            for name in plastic_modules(model):
                nets.tensors[f"{name}.total_steps".removeprefix(".")].fill_(total)
            self._wiring.connect(nets.tensors)
        mark_attached(nets.module)
        settles = nets.call(settling).tolist()
        self.losses = torch.zeros(total, nets.size, dtype=_exact(nets), device=rows.x.device)
        self._loss_rates = torch.full((total,), _LOSS_RATE, dtype=_exact(nets), device=rows.x.device)
        self._loss_rates[:1] = 1
        different = sorted({*settles})
        factors = [[settling_factor(step, total, each) for each in different] for step in range(1, total + 1)]
        columns = [different.index(settle) for settle in settles]
        self._factors = torch.tensor(factors, device=rows.x.device)[:, columns]
        steps = torch.arange(1, total + 1, device=rows.x.device)
        due = nets.call(partial(_due, steps=steps))
        self._due = due.any(dim=0).cpu().numpy()
        # whoever compares the first steps with a net alone looks at everything
        self._last = max([CHECKED_STEPS, *(np.flatnonzero(self._due) + 1)])
        nets.products = getattr(torch, recipe.precision)
        row = rows.x[:1].clone()
        # a net of the user's alone is trained as in an ordinary loop, bit for bit
        whole = None if recipe.has_user_code and nets.size == 1 else CompactStack.of(nets, model, row)
        if whole is None:
            nets.follow(model, row)
        optimizer = OPTIMIZERS[str(values[0]["optimizer"])]((whole or nets).trained, values)
        everyone = torch.arange(nets.size, device=rows.x.device)
        self.sub_cohorts: Sequence[SubCohort] = [SubCohort(everyone, whole or nets, optimizer)]
        # a step with code of the user's may do anything
        alike = cuda_graphs.runs_ahead(rows.x) and not (recipe.has_user_code or recipe.loss)
        self._graphs: Graphs[list[tuple[NetStack, list[Tensor]]]] | None = Graphs() if alike else None

    def train(self, standard: EarlyStopper | None = None, trials: Sequence[object] = ()) -> list[Measurement]:
        """Train every net for all epochs and measure it after each.

        Args:
            standard: says at its rungs who is stopped; by default nobody is.
            trials: which trial each net is of, for replicates are judged by their means.
        """
        for epoch in range(1, self._recipe.epochs + 1):
            self.train_epoch()
            if standard and epoch in standard.rungs:
                self._judge(standard, trials)
                if not self.sub_cohorts:
                    break
        return self.measurements()

    def _judge(self, standard: EarlyStopper, trials: Sequence[object]) -> None:
        """Stop the nets of trials that are not worth to go on with."""
        rows: dict[object, list[int]] = {}
        for row in sorted(torch.cat([part.rows for part in self.sub_cohorts]).tolist()):
            rows.setdefault(trials[row], []).append(row)
        accuracy = torch.stack([each.scores for each in self._history], 1)
        survivors = torch.stack([each.survivors for each in self._history], 1).cpu().double()
        judged = [own for own in rows.values() if accuracy[own].isfinite().all()]
        if not judged:
            return
        verdicts = standard.judge(
            *(torch.stack([each[own].mean(0) for own in judged]).numpy() for each in (accuracy, survivors))
        )
        telling = standard.known[len(self._history)] >= _TELLING
        stopped = {
            row: v.predicted_final if telling else None
            for own, v in zip(judged, verdicts, strict=True)
            if v.stopped
            for row in own
        }
        self._headings |= stopped
        self.stop(torch.tensor(list(stopped), dtype=torch.int64, device=self._rows.x.device))

    def train_epoch(self) -> None:
        """Train every net for one epoch, then measure it."""
        for rows in self.minibatches(epoch=len(self._history)):
            self.train_step(rows)
        self.measure()
        if cuda_graphs.runs_ahead(self._loss):
            self._go_on_with(fitted(self.sub_cohorts))

    def stop(self, rows: Tensor) -> None:
        """Go on without the nets at ``rows``, (k,) int64."""
        self._go_on_with([part for part in (part.without(rows) for part in self.sub_cohorts) if part])

    def measurements(self) -> list[Measurement]:
        """What each net has reached so far; seconds are an equal share of the cohort's wall time."""
        seconds = (time.perf_counter() - self._started) / self._size
        accuracy, survivors, layers, inputs = (
            torch.stack([getattr(each, name) for each in self._history], dim=1).tolist()
            for name in ("scores", "survivors", "layers", "inputs")
        )
        return [
            Measurement(
                accuracy=tuple(accuracy[row][:epochs]),
                survivors=tuple(survivors[row][:epochs]),
                layers=tuple(layers[row][epochs - 1]),
                inputs=inputs[row][epochs - 1],
                seconds=seconds,
                failure=f"the loss became NaN or infinite at step {step}" if step else None,
                neurons=self._neurons,
                notes=tuple(dict.fromkeys(self._notes)),
                stopped=row in self._headings,
                predicted_final=self._headings.get(row),
            )
            for row, (epochs, step) in enumerate(
                zip(self._epochs.tolist(), self._diverged.tolist(), strict=True)
            )
        ]

    def minibatches(self, epoch: int) -> Iterator[Tensor]:
        """The rows of every minibatch of an epoch, the same for all nets of a study."""
        order = np.random.default_rng([self._recipe.seed, epoch]).permutation(len(self._rows.x))
        return iter(torch.split(torch.from_numpy(order).to(self._rows.x.device), self._recipe.batch_size))

    def train_step(self, rows: Tensor) -> list[tuple[NetStack, list[Tensor]]]:
        """Take one step with a minibatch, (b,) int64; gives the nets of every part and their gradients."""
        if self._step == self._last:
            for part in self.sub_cohorts:
                part.nets.rest()
            self._forget_graphs()
        due = bool(self._due[self._step])
        self._step += 1
        return self._graphs.run(self._taken, rows, due) if self._graphs else self._taken(rows, due)

    def _taken(self, rows: Tensor, due: bool) -> list[tuple[NetStack, list[Tensor]]]:
        """Take a step; asks nothing of the device."""
        x, y = self._rows.x[rows], self._rows.y[rows]
        found: list[tuple[NetStack, list[Tensor]]] = []
        for part in self.sub_cohorts:
            losses, gradients = part.nets.losses(self._loss_of, x, y)
            self.losses[self._now, part.rows] = losses.to(self.losses.dtype)
            part.optimizer.step(part.nets.trained, gradients, self._factors[self._now, part.rows])
            found.append((part.nets, gradients))
        with torch.no_grad():
            rate = self._loss_rates.index_select(0, self._now)
            self._loss.lerp_(self.losses.index_select(0, self._now).squeeze(0), rate)
            if due:
                self.sub_cohorts = restructured(self.sub_cohorts, self._wiring, self._loss)
        self._now.add_(1)
        return found

    def _go_on_with(self, parts: Sequence[SubCohort]) -> None:
        if [*parts] != [*self.sub_cohorts]:
            self._forget_graphs()
        self.sub_cohorts = parts

    def _forget_graphs(self) -> None:
        if self._graphs:
            self._graphs.forget()

    def _look_for_divergence(self) -> None:
        """Look at the losses of the steps since the last time."""
        if self._seen == self._step:
            return
        bad = ~self.losses[self._seen : self._step].isfinite()
        first = self._seen + 1 + bad.long().argmax(0)
        self._diverged = torch.where((self._diverged == 0) & bad.any(0), first, self._diverged)
        self._seen = self._step

    @property
    def state(self) -> dict[str, Tensor]:
        """All parameters and buffers by dotted name, (size, *shape); of nets that were stopped zeros."""
        return self._gathered([part.nets.state for part in self.sub_cohorts])

    def network(self, row: int, net: nn.Module) -> nn.Module:
        """Give the net at ``row``, in evaluation mode; ``net`` is of its structure and takes its state."""
        [nets] = [part.nets for part in self.sub_cohorts if row in part.rows]
        if isinstance(nets, SingleNet):
            return nets.module.eval()
        state = {name: tensor[row] for name, tensor in self.state.items()}
        with torch.no_grad():
            for name, tensor in chain(net.named_parameters(), net.named_buffers()):
                tensor.copy_(state[name])
        return net.to(self._rows.x.device).eval()

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """What every net says of some rows, (size, rows, classes), in evaluation mode."""
        return self._gathered([{"": part.nets.outputs(x)} for part in self.sub_cohorts])[""]

    def _gathered(self, found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What every part says, in the order of the cohort; zeros of nets that were stopped."""
        [first, *_] = found
        whole = {}
        for name, tensor in first.items():
            whole[name] = tensor.new_zeros(self._size, *tensor.shape[1:])
            for part, own in zip(self.sub_cohorts, found, strict=True):
                whole[name][part.rows] = own[name].detach()
        return whole

    def _note_divergence(self, finite: Tensor, rows: Tensor) -> None:
        first = self._diverged[rows]
        self._diverged[rows] = first.masked_fill((first == 0) & ~finite, self._step)

    def measure(self) -> None:
        """Measure every net that is left."""
        self._look_for_divergence()
        scores = torch.full((self._size,), math.nan, dtype=torch.float64)
        counted = []
        for part in self.sub_cohorts:
            rows = part.rows.cpu()
            scores[rows] = self._scores(part)
            counted.append(part.nets.survivors(self._recipe.count))
        self._neurons = sum(counted[0].neurons)
        self._notes += counted[0].notes
        own = self._gathered([{"layers": each.alive, "inputs": each.inputs} for each in counted])
        self._history.append(_State(scores, own["layers"].sum(1), **own))
        for part in self.sub_cohorts:
            self._epochs[part.rows] += 1

    def _scores(self, part: SubCohort) -> Tensor:
        """The scores of the nets of a part on the validation rows, (k,) float64."""
        # clones, for a network may write into its input, which others have still to see
        chunks = (x.clone() for x in torch.split(self._rows.x_val, EVALUATION_ROWS))
        outputs = torch.cat([part.nets.outputs(x) for x in chunks], dim=1)
        # the last update may have been too much
        self._note_divergence(outputs.isfinite().all(dim=(1, 2)), part.rows)
        diverged = self._diverged[part.rows] > 0
        if self._score_of is accuracy:
            scores = (outputs.argmax(-1) == self._rows.y_val).double().mean(1)
            return scores.masked_fill(diverged, math.nan).cpu()
        found = [
            math.nan if bad else self._score(own) for own, bad in zip(outputs, diverged.tolist(), strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    def _score(self, outputs: Tensor) -> float:
        score = float(self._score_of(outputs, self._rows.y_val.clone()))
        if self._recipe.score and not 0 <= score <= 1:
            raise ValueError(f"{self._recipe.score}: gave {score}; return a number from 0 to 1")
        return score


@dataclass(frozen=True)
class _State:
    """What the nets of a cohort had reached: (size,), and ``layers`` (size, layers)."""

    scores: Tensor
    survivors: Tensor
    layers: Tensor
    inputs: Tensor


def _exact(nets: NetStack) -> torch.dtype:
    """What losses of these nets are kept in: single precision, or double where the weights are."""
    double = any(weight.dtype is torch.float64 for weight in nets.trained.values())
    return torch.float64 if double else torch.float32


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """The fraction of rows whose largest output is their label's."""
    return float((outputs.argmax(-1) == labels).double().mean())


def total_steps(recipe: Recipe, rows: int) -> int:
    """Minibatches of a training on ``rows`` rows."""
    return -(-rows // recipe.batch_size) * recipe.epochs


def has_events(recipe: Recipe, nets: Sequence[nn.Module], rows: int) -> bool:
    """Tell whether anything in these nets may ever go out or return in a training on ``rows`` rows."""
    total = total_steps(recipe, rows)
    for net in nets:
        for module in plastic_modules(net).values():
            module.begin(total)
        if _due(net, torch.arange(1, total + 1)).any():
            return True
    return False


def _due(net: nn.Module, steps: Tensor) -> Tensor:
    """At which steps anything may go out or return."""
    due = torch.zeros_like(steps, dtype=torch.bool)
    for module in plastic_modules(net).values():
        due = due | module.due(steps)
    return due
