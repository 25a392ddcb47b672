"""A cohort: nets that train together, each as if it were alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import Split
from hebbevo.knobs import Knob, Value
from hebbevo.networks import RULES, Architecture, build
from hebbevo.nn import find_neighbours, plastic_modules
from hebbevo.nn.attach import settling_factor
from hebbevo.nn.neighbours import connect
from hebbevo.space import Genome, canonical
from hebbevo.training import optimizers
from hebbevo.training.optimizers import OPTIMIZERS
from hebbevo.training.stack import Stack, structure

_EVALUATION_ROWS = 2048
_LOSS_RATE = 0.1


@dataclass(frozen=True)
class Recipe:
    """What all trainings of a study share.

    Attributes:
        architecture: the network before its genome.
        settings: knob values that are not genes.
        epochs: length of a training.
        batch_size: rows of a minibatch; the last one of an epoch may be shorter.
        seed: the study's seed, which decides the order of the minibatches.
    """

    architecture: Architecture
    settings: Mapping[str, Value]
    epochs: int
    batch_size: int
    seed: int


@dataclass(frozen=True)
class Candidate:
    """One training: a genome and which of its replicates."""

    genome: Genome
    replicate: int = 0

    def seed(self, study_seed: int) -> int:
        """Seed of the net, 62 bits: a hash of study seed, genome and replicate."""
        text = f"{study_seed}/{canonical(self.genome)}/{self.replicate}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


@dataclass(frozen=True)
class Measurement:
    """What one training has reached.

    Attributes:
        accuracy: on the validation rows after each epoch, 0..1.
        survivors: hidden neurons on a live path after each epoch.
        layers: survivors of each hidden layer at the end.
        inputs: input units on a live path at the end.
        failure: why the training failed, or ``None``.
        neurons: hidden neurons at the start; 0 if it is not known, for the training never began.
    """

    accuracy: tuple[float, ...]
    survivors: tuple[int, ...]
    layers: tuple[int, ...]
    inputs: int
    seconds: float
    failure: str | None = None
    neurons: int = 0

    @property
    def collapsed(self) -> bool:
        """Whether no path is left from the inputs to the outputs."""
        return self.failure is None and self.survivors[-1] == 0


def knobs(rule: str) -> dict[str, Knob]:
    """All knobs of trainings with ``rule``: the rule's, then the optimiser's."""
    return {**RULES[rule].knobs, **optimizers.KNOBS}


def knob_values(recipe: Recipe, genome: Genome) -> dict[str, Value]:
    """Value of every knob of a net and its rule: gene, else setting, else default."""
    rule = recipe.architecture.shaped(genome).rule
    return {name: recipe.settings.get(name, knob.default) for name, knob in knobs(rule).items()} | genome


def train(
    recipe: Recipe, candidates: Sequence[Candidate], split: Split, device: torch.device
) -> list[Measurement]:
    """Train every candidate; what each reaches does not depend on the others, up to float rounding.

    Nets of different structure are stacked apart. A training that diverges is a measurement with a
    ``failure``, and so is every training of a stack that raises.
    """
    built = []
    for candidate in candidates:
        values = knob_values(recipe, candidate.genome)
        built.append((values, build(recipe.architecture, values, candidate.seed(recipe.seed))))
    groups: dict[object, list[int]] = {}
    for row, (values, net) in enumerate(built):
        groups.setdefault((values["optimizer"], structure(net)), []).append(row)

    measured: dict[int, Measurement] = {}
    for rows in groups.values():
        try:
            cohort = Cohort(recipe, [built[row] for row in rows], split, device)
            for _ in range(recipe.epochs):
                cohort.train_epoch()
            results = cohort.measurements()
        except Exception as error:  # a failed training is a recorded value
            first_line, *_ = str(error).strip().splitlines() or ["no message"]
            reason = f"{type(error).__name__}: {first_line}"
            neurons = recipe.architecture.shaped(candidates[rows[0]].genome).neurons
            results = [Measurement((), (), (), 0, 0.0, failure=reason, neurons=neurons)] * len(rows)
        measured.update(zip(rows, results, strict=True))
    return [measured[row] for row in range(len(candidates))]


def ever_due(recipe: Recipe, genomes: Sequence[Genome], rows: int) -> bool:
    """Tell whether a neuron of any of these nets may ever die or return in a training on ``rows`` rows."""
    total = _total_steps(recipe, rows)
    for genome in genomes:
        net = build(recipe.architecture, knob_values(recipe, genome), seed=0)
        connect(net, find_neighbours(net), total)
        steps = torch.arange(1, total + 1)
        if any(module.due(steps).any() for module in plastic_modules(net).values()):
            return True
    return False


def _total_steps(recipe: Recipe, rows: int) -> int:
    return -(-rows // recipe.batch_size) * recipe.epochs


class Cohort:
    """Nets of one structure in training; between epochs some may be dropped with `keep`."""

    def __init__(
        self,
        recipe: Recipe,
        nets: Sequence[tuple[Mapping[str, Value], nn.Module]],
        split: Split,
        device: torch.device,
    ) -> None:
        self._started = time.perf_counter()
        self._recipe = recipe
        self._x, self._y, self._x_val, self._y_val = (
            torch.from_numpy(rows).to(device)
            for rows in (split.x_train, split.y_train, split.x_val, split.y_val)
        )
        total = _total_steps(recipe, len(self._x))

        values = [value for value, _ in nets]
        modules = [net for _, net in nets]
        self._neurons = recipe.architecture.shaped(values[0]).neurons
        self._neighbours = find_neighbours(modules[0])
        self._stack = Stack(modules, device)
        self._optimizer = OPTIMIZERS[str(values[0]["optimizer"])](self._stack.parameters, values)
        self._factors = torch.tensor(
            [
                [settling_factor(step, total, _settle(value)) for value in values]
                for step in range(1, total + 1)
            ],
            device=device,
        )
        self._step = 0
        self._loss = torch.zeros(len(nets), device=device)
        self._diverged = torch.zeros(len(nets), dtype=torch.int64, device=device)  # first bad step, 0: none
        self._history: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            self._stack.call(lambda net: self._connect(net, total))
        steps = torch.arange(1, total + 1, device=device)
        due = self._stack.call(lambda net: torch.stack([m.due(steps) for m in plastic_modules(net).values()]))
        self._due = due.any(dim=(0, 1)).cpu().numpy()

    def train_epoch(self) -> None:
        """Train every net for one epoch, then measure it."""
        for rows in self._minibatches(epoch=len(self._history)):
            self._train_batch(self._x[rows], self._y[rows])
        self._history.append((self._accuracy(), self._survivors()))

    def keep(self, rows: Tensor) -> None:
        """Go on with the nets at ``rows`` only, (k,) int64."""
        self._stack.keep(rows)
        self._optimizer.keep(rows)
        self._factors = self._factors[:, rows]
        self._loss, self._diverged = self._loss[rows], self._diverged[rows]
        self._history = [(accuracy[rows], survivors[rows]) for accuracy, survivors in self._history]

    def measurements(self) -> list[Measurement]:
        """What each net has reached so far; seconds are an equal share of the cohort's wall time."""
        accuracy = torch.stack([accuracy for accuracy, _ in self._history], dim=1).tolist()
        survivors = torch.stack([survivors for _, survivors in self._history], dim=1).tolist()
        seconds = (time.perf_counter() - self._started) / self._stack.size
        return [
            Measurement(
                accuracy=tuple(accuracies),
                survivors=tuple(sum(hidden) for _, *hidden in layers),
                layers=tuple(layers[-1][1:]),
                inputs=layers[-1][0],
                seconds=seconds,
                failure=f"the loss became NaN or infinite at step {step}" if step else None,
                neurons=self._neurons,
            )
            for accuracies, layers, step in zip(accuracy, survivors, self._diverged.tolist(), strict=True)
        ]

    def _minibatches(self, epoch: int) -> Iterator[Tensor]:
        order = np.random.default_rng([self._recipe.seed, epoch]).permutation(len(self._x))
        return iter(torch.split(torch.from_numpy(order).to(self._x.device), self._recipe.batch_size))

    def _train_batch(self, x: Tensor, y: Tensor) -> None:
        stack = self._stack
        losses = stack.call(lambda net: F.cross_entropy(net(x), y), training=True)  # (n,)
        grads = torch.autograd.grad(losses.sum(), list(stack.parameters.values()))
        factor = self._factors[self._step]
        self._optimizer.step(stack.parameters, grads, factor)
        self._step += 1
        losses = losses.detach()
        self._note_divergence(losses.isfinite())
        self._loss = losses if self._step == 1 else self._loss.lerp(losses, _LOSS_RATE)
        if self._due[self._step - 1]:
            with torch.no_grad():
                stack.call(self._restructure, self._optimizer.moments, self._loss, stacked=True)

    def _note_divergence(self, finite: Tensor) -> None:
        self._diverged.masked_fill_((self._diverged == 0) & ~finite, self._step)

    def _connect(self, net: nn.Module, total: int) -> Tensor:
        connect(net, self._neighbours, total)
        return torch.zeros(())  # `vmap` wants a result

    def _restructure(self, net: nn.Module, moments: dict[str, tuple[Tensor, ...]], loss: Tensor) -> Tensor:
        for name, module in plastic_modules(net).items():
            module.restructure(self._neighbours[name].around(net, moments, loss))
        return loss

    @torch.no_grad()
    def _accuracy(self) -> Tensor:
        hits = torch.zeros(self._stack.size, dtype=torch.float64, device=self._x.device)
        chunks = (torch.split(rows, _EVALUATION_ROWS) for rows in (self._x_val, self._y_val))
        for x, y in zip(*chunks, strict=True):
            logits = self._stack.call(_logits, x)  # (n, rows, classes)
            self._note_divergence(logits.isfinite().all(dim=(1, 2)))  # the last update may have been too much
            hits += (logits.argmax(-1) == y).sum(1)
        return hits / len(self._y_val)

    @torch.no_grad()
    def _survivors(self) -> Tensor:
        survivors: Tensor = self._stack.call(lambda net: net.survivors())
        return survivors


def _settle(values: Mapping[str, Value]) -> float:
    """The longest settling of a layer: the learning rate is that of all of them."""
    settles = (float(value) for name, value in values.items() if name.partition(".")[0] == "settle")
    return max(settles, default=0.0)


def _logits(net: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = net(x)
    return logits
