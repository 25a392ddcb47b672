"""One training as one would write it without hebbevo: an ordinary PyTorch net with the rule by hand.

It trains what `search_spaces/stamina.yaml` describes: initial weights as He et al. draw them, and in the
last 30 % of the training no pruning or regrowth and a learning rate that falls to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from hebbevo.data import load, split

SETTLE = 0.3


@dataclass(frozen=True)
class Job:
    """What every contestant trains; ``seed`` is that of the split and of the search."""

    dataset: str = "digits"
    hidden: tuple[int, ...] = (128, 128)
    epochs: int = 20
    batch: int = 64
    seed: int = 0


class Stamina(nn.Module):
    """The rule as one would write it for one net, between the layers ``feeder`` and ``listener``."""

    def __init__(self, feeder, listener, last_event, penalty, form, threshold, regrowth):
        super().__init__()
        self.around = [feeder, listener]
        self.last_event = last_event
        self.penalty, self.form, self.threshold, self.regrowth = penalty, form, threshold, regrowth
        width = len(feeder.weight)
        self.alive, self.living = torch.ones(width), width
        self.gain, self.reference = torch.zeros(width), torch.zeros(width)
        self.age, self.steps = torch.full((width,), 1000), 0

    def forward(self, x):
        y = x.relu() * self.alive
        if self.training:
            with torch.no_grad():
                self.account(y)
        return y

    def account(self, y):
        self.steps += 1
        if self.steps > self.last_event:  # stamina is not used any more
            return
        living = self.living
        mean = y.sum(1) / living
        firing = (y > 0).float()
        active = firing.sum(1)
        if self.form == "mean":
            level = mean
        elif self.form == "ratio":
            level = mean * (living - active) / active.clamp(min=1)
        elif self.form == "zero_sum":
            level = mean * living / (living - active).clamp(min=1)
        else:
            level = torch.ones_like(mean)
        paid = level.mean() - level @ firing / len(y)
        self.gain.mul_(0.98).add_(y.mean(0) - self.penalty * paid)
        self.reference.mul_(0.98).add_(mean.mean())
        self.age += 1

    @torch.no_grad()
    def live_and_die(self, optimizer):
        if self.steps < 40 or self.steps % 10 or self.steps > self.last_event:
            return
        stamina = self.gain / self.reference
        living = self.living
        doomed = (self.alive > 0) & (self.age >= 50) & (stamina <= self.threshold)
        allowed = min(max(1, living // 5), max(0, living - 2))
        dies = torch.where(doomed, stamina, torch.inf).argsort()[: min(allowed, int(doomed.sum()))]
        born = (self.alive == 0) & (torch.rand(len(self.alive)) < self.regrowth)
        self.alive[dies] = 0
        self.alive[born] = 1
        self.living = int(self.alive.sum())
        for state in (self.age, self.gain, self.reference):
            state[born] = 0
        self.renew(born, optimizer)

    def renew(self, born, optimizer):
        feeder, listener = self.around
        feeder.weight[born] = torch.randn_like(feeder.weight[born]) * (2 / feeder.in_features) ** 0.5
        feeder.bias[born] = 0
        listener.weight[:, born] = 0
        for moment in ("exp_avg", "exp_avg_sq"):
            optimizer.state[feeder.weight][moment][born] = 0
            optimizer.state[feeder.bias][moment][born] = 0
            optimizer.state[listener.weight][moment][:, born] = 0


GENES = {
    "unactivation_penalty": {"low": 1e-2, "high": 1e2, "log": True},
    "penalty_form": {"choices": ["mean", "ratio", "zero_sum", "constant"]},
    "hebbian_threshold": {"low": -1.0, "high": 1.0},
    "regrowth_rate": {"low": 0.0, "high": 0.1},
    "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1.0, "log": True},
}
"""What every contestant searches, as a space file has it."""


def suggest(trial):
    """Draw a config from an Optuna trial."""
    return {
        name: trial.suggest_categorical(name, gene["choices"])
        if "choices" in gene
        else trial.suggest_float(name, **gene)
        for name, gene in GENES.items()
    }


@cache
def data(job: Job = Job()):
    """The rows and labels for training and validation, loaded once in each process."""
    parts = split(load(job.dataset), job.seed, job.batch)
    arrays = parts.x_train, parts.y_train, parts.x_val, parts.y_val
    return tuple(torch.from_numpy(array).to(torch.get_default_device()) for array in arrays)


def get_ready(job: Job) -> None:
    """Load the data, and the modules that PyTorch imports with its first optimiser."""
    data(job)
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.zeros(1, 1)).sum().backward()
    optimizer.step()


def he(layer: nn.Linear) -> nn.Linear:
    """Draw the weights as He et al., 2015, and set the bias to zero."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def fitted(
    net: nn.Module,
    units: Sequence[Stamina],
    training: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    config: Mapping[str, Any],
    epochs: int,
    batch: int,
) -> float:
    """Train a net by AdamW, whose rate falls to zero in the last part, and give its validation accuracy."""
    (x, y), (x_val, y_val) = training, validation
    total, rate = epochs * -(-len(x) // batch), config["learning_rate"]
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config["weight_decay"], fused=True)
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            step += 1
            optimizer.param_groups[0]["lr"] = rate * min(1.0, (total - step + 1) / (total * SETTLE))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            for unit in units:
                unit.live_and_die(optimizer)
    net.eval()
    with torch.no_grad():
        return float((net(x_val).argmax(1) == y_val).float().mean())


def train(config, job: Job = Job(), threads: int = 1, dense: bool = False) -> tuple[float, int]:
    """Train one net, without the rule if ``dense``; return its validation accuracy and the neurons left."""
    torch.set_num_threads(threads)
    x, y, x_val, y_val = data(job)
    total = job.epochs * -(-len(x) // job.batch)
    knobs = [
        config[name]
        for name in ("unactivation_penalty", "penalty_form", "hebbian_threshold", "regrowth_rate")
    ]
    widths = (x.shape[1], *job.hidden, int(y.max()) + 1)
    layers = [he(nn.Linear(*pair)) for pair in pairwise(widths)]
    units = [] if dense else [Stamina(*pair, total * (1 - SETTLE), *knobs) for pair in pairwise(layers)]
    parts = list(layers[:1])
    for number, layer in enumerate(layers[1:]):
        parts += [nn.ReLU() if dense else units[number], layer]
    net = nn.Sequential(*parts)
    accuracy = fitted(net, units, (x, y), (x_val, y_val), config, job.epochs, job.batch)
    return accuracy, sum(unit.living for unit in units) if units else sum(job.hidden)
