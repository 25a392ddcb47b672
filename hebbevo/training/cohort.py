"""A cohort: nets that train together, each as if it were alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo import references
from hebbevo.data import Split
from hebbevo.knobs import Value
from hebbevo.nn import plastic_modules, plastic_units, wire
from hebbevo.nn.attach import settling_factor
from hebbevo.nn.neighbours import Moments, connect
from hebbevo.nn.paths import COUNTS, Plan, Survivors, survivors
from hebbevo.training.optimizers import OPTIMIZERS
from hebbevo.training.recipe import Measurement, Recipe
from hebbevo.training.stack import Alone, Nets

_EVALUATION_ROWS = 2048
_LOSS_RATE = 0.1

Function = Callable[[Tensor, Tensor], Tensor]
"""Of a net's outputs for some rows, and these rows' labels."""


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


class Cohort:
    """Nets of one structure in training; between epochs some may be dropped with `keep`.

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
        nets: Nets,
        values: Sequence[Mapping[str, Value]],
        model: nn.Module,
        rows: Rows,
    ) -> None:
        self._started = time.perf_counter()
        if not nets.parameters:
            raise ValueError("the network has no parameter that is trained; give it one that requires_grad")
        self._recipe = recipe
        self._nets = nets
        self._rows = rows
        self._loss_of: Function = references.called(recipe.loss) if recipe.loss else F.cross_entropy
        self._score_of = references.called(recipe.score) if recipe.score else accuracy
        self._neighbours, note = wire(model)
        self._notes = [note] if note else []
        # a net alone may call other layers tomorrow: it is followed anew every time
        self._plan = None if isinstance(nets, Alone) else Plan.of(model, rows.x[:1].clone())
        self._optimizer = OPTIMIZERS[str(values[0]["optimizer"])](nets.parameters, values)
        self._step = 0
        self._loss = torch.zeros(nets.size, device=rows.x.device)
        # first bad step, 0: none
        self._diverged = torch.zeros(nets.size, dtype=torch.int64, device=rows.x.device)
        self._history: list[tuple[Tensor, Survivors]] = []
        total = total_steps(recipe, len(rows.x))
        with torch.no_grad():
            nets.call(lambda net: self._connect(net, total))
        settles = nets.call(_settle).tolist()
        self._factors = torch.tensor(
            [[settling_factor(step, total, settle) for settle in settles] for step in range(1, total + 1)],
            device=rows.x.device,
        )
        steps = torch.arange(1, total + 1, device=rows.x.device)
        due = nets.call(partial(_due, steps=steps))
        self._due = due.any(dim=0).cpu().numpy()

    def train(self) -> list[Measurement]:
        """Train every net for all epochs and measure it after each."""
        for _ in range(self._recipe.epochs):
            self.train_epoch()
        return self.measurements()

    def train_epoch(self) -> None:
        """Train every net for one epoch, then measure it."""
        for rows in self.minibatches(epoch=len(self._history)):
            self.train_batch(self._rows.x[rows], self._rows.y[rows])
        self._history.append((self.scores(), self._survivors()))

    def keep(self, rows: Tensor) -> None:
        """Go on with the nets at ``rows`` only, (k,) int64."""
        self._nets.keep(rows)
        self._optimizer.keep(rows)
        self._factors = self._factors[:, rows]
        self._loss, self._diverged = self._loss[rows], self._diverged[rows]
        self._history = [
            (scores[rows], replace(counted, alive=counted.alive[rows], inputs=counted.inputs[rows]))
            for scores, counted in self._history
        ]

    def measurements(self) -> list[Measurement]:
        """What each net has reached so far; seconds are an equal share of the cohort's wall time."""
        scores = torch.stack([scores for scores, _ in self._history], dim=1).tolist()
        alive = torch.stack([counted.alive.sum(1) for _, counted in self._history], dim=1).tolist()
        last = self._history[-1][1]
        seconds = (time.perf_counter() - self._started) / self._nets.size
        return [
            Measurement(
                accuracy=tuple(own_scores),
                survivors=tuple(own_alive),
                layers=tuple(layers),
                inputs=inputs,
                seconds=seconds,
                failure=f"the loss became NaN or infinite at step {step}" if step else None,
                neurons=sum(last.neurons),
                notes=tuple(dict.fromkeys((*self._notes, *last.notes))),
            )
            for own_scores, own_alive, layers, inputs, step in zip(
                scores,
                alive,
                last.alive.tolist(),
                last.inputs.tolist(),
                self._diverged.tolist(),
                strict=True,
            )
        ]

    def minibatches(self, epoch: int) -> Iterator[Tensor]:
        """The rows of every minibatch of an epoch, the same for all nets of a study."""
        order = np.random.default_rng([self._recipe.seed, epoch]).permutation(len(self._rows.x))
        return iter(torch.split(torch.from_numpy(order).to(self._rows.x.device), self._recipe.batch_size))

    def train_batch(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Take one step; gives every net's loss, (size,), and gradients."""
        losses = self._nets.call(lambda net: self._loss_of(net(x), y), training=True)
        if not isinstance(losses, Tensor) or losses.dim() != 1:
            raise ValueError(f"the loss of a minibatch {_is(losses)}; return a tensor with one number")
        gradients = self._nets.gradients(losses)
        self._optimizer.step(self._nets.parameters, gradients, self._factors[self._step])
        self._step += 1
        losses = losses.detach()
        self._note_divergence(losses.isfinite())
        self._loss = losses if self._step == 1 else self._loss.lerp(losses, _LOSS_RATE)
        if self._due[self._step - 1]:
            with torch.no_grad():
                self._nets.call(self._restructure, self._optimizer.moments, self._loss, stacked=True)
        return losses, gradients

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Buffers of the nets by dotted name, (size, *shape)."""
        return self._nets.buffers

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """What every net says of some rows, (size, rows, classes), in evaluation mode."""
        outputs = self._nets.call(lambda net: net(x))
        if not isinstance(outputs, Tensor) or outputs.dim() != 3 or outputs.shape[1] != len(x):
            what = f"the output of the network for {len(x)} rows {_is(outputs)}"
            raise ValueError(f"{what}; return a tensor of (rows, classes)")
        return outputs

    def _note_divergence(self, finite: Tensor) -> None:
        self._diverged.masked_fill_((self._diverged == 0) & ~finite, self._step)

    def _connect(self, net: nn.Module, total: int) -> Tensor:
        connect(net, self._neighbours, total)
        return torch.zeros(())  # `vmap` wants a result

    def _restructure(self, net: nn.Module, moments: Moments, loss: Tensor) -> Tensor:
        for name, units in plastic_units(net).items():
            units.restructure(self._neighbours[name].around(net, len(units.alive), moments, loss))
        return loss

    def scores(self) -> Tensor:
        """Every net's score on the validation rows, (size,) float64."""
        # clones, for a network may write into its input, which others have still to see
        chunks = (x.clone() for x in torch.split(self._rows.x_val, _EVALUATION_ROWS))
        outputs = torch.cat([self.outputs(x) for x in chunks], dim=1)
        # the last update may have been too much
        self._note_divergence(outputs.isfinite().all(dim=(1, 2)))
        scores = [
            math.nan if diverged else self._score(own)
            for own, diverged in zip(outputs, self._diverged.tolist(), strict=True)
        ]
        return torch.tensor(scores, dtype=torch.float64)

    def _score(self, outputs: Tensor) -> float:
        score = float(self._score_of(outputs, self._rows.y_val.clone()))
        if self._recipe.score and not 0 <= score <= 1:
            raise ValueError(f"{self._recipe.score}: gave {score}; return a number from 0 to 1")
        return score

    def _survivors(self) -> Survivors:
        with self._nets.untouched():
            count = COUNTS[self._recipe.count]
            if self._plan:
                return count.of(self._plan, partial(self._nets.call, stacked=True), self._nets.size)
            assert isinstance(self._nets, Alone)
            return survivors(self._nets.module, self._rows.x[:1].clone(), count)


def _is(value: object) -> str:
    """What the nets gave in place of what they should have."""
    if isinstance(value, Tensor):
        return f"has shape {tuple(value.shape[1:])}"
    return f"is of type {type(value).__name__}"


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """The fraction of rows whose largest output is their label's."""
    return float((outputs.argmax(-1) == labels).double().mean())


def total_steps(recipe: Recipe, rows: int) -> int:
    """Minibatches of a training on ``rows`` rows."""
    return -(-rows // recipe.batch_size) * recipe.epochs


def ever_due(recipe: Recipe, nets: Sequence[nn.Module], rows: int) -> bool:
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


def _settle(net: nn.Module) -> Tensor:
    """The longest settling of a module: the learning rate is that of all of them."""
    found = [getattr(module, "settle", None) for module in plastic_modules(net).values()]
    settles = [settle for settle in found if settle is not None]
    return torch.stack(settles).amax() if settles else torch.zeros(())
