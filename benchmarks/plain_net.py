"""One training as one would write it without hebbevo: an ordinary PyTorch net with the rule by hand."""

from __future__ import annotations

from functools import cache

import torch
from throughput import BATCH, EPOCHS, HIDDEN, SEED
from torch import nn

from hebbevo.data import load, split


class Stamina(nn.Module):
    """The rule as one would write it for one net; the in-weights of the layer before are ``feeder``'s."""

    def __init__(self, feeder, listener, penalty, form, threshold, regrowth):
        super().__init__()
        self.around = [feeder, listener]
        self.penalty, self.form, self.threshold, self.regrowth = penalty, form, threshold, regrowth
        width = feeder.out_features
        self.alive = torch.ones(width)
        self.gain, self.reference = torch.zeros(width), torch.zeros(width)
        self.age, self.steps = torch.full((width,), 1000), 0

    def forward(self, x):
        y = x.relu() * self.alive
        if self.training:
            with torch.no_grad():
                self.account(y)
        return y

    def account(self, y):
        living = self.alive.sum()
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
        self.steps += 1

    @torch.no_grad()
    def live_and_die(self, optimizer):
        if self.steps < 40 or self.steps % 10:
            return
        stamina = self.gain / self.reference
        living = int(self.alive.sum())
        doomed = (self.alive > 0) & (self.age >= 50) & (stamina <= self.threshold)
        allowed = min(max(1, living // 5), max(0, living - 2))
        dies = torch.where(doomed, stamina, torch.inf).argsort()[: min(allowed, int(doomed.sum()))]
        born = (self.alive == 0) & (torch.rand(len(self.alive)) < self.regrowth)
        self.alive[dies] = 0
        self.alive[born] = 1
        for state in (self.age, self.gain, self.reference):
            state[born] = 0
        feeder, listener = self.around
        feeder.weight[born] = torch.randn_like(feeder.weight[born]) * (2 / feeder.in_features) ** 0.5
        feeder.bias[born] = 0
        listener.weight[:, born] = 0
        for moment in ("exp_avg", "exp_avg_sq"):
            optimizer.state[feeder.weight][moment][born] = 0
            optimizer.state[feeder.bias][moment][born] = 0
            optimizer.state[listener.weight][moment][:, born] = 0


def suggest(trial):
    """Draw a config from an Optuna trial."""
    return {
        "unactivation_penalty": trial.suggest_float("unactivation_penalty", 1e-2, 1e2, log=True),
        "penalty_form": trial.suggest_categorical("penalty_form", ["mean", "ratio", "zero_sum", "constant"]),
        "hebbian_threshold": trial.suggest_float("hebbian_threshold", -1, 1),
        "regrowth_rate": trial.suggest_float("regrowth_rate", 0, 0.1),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1.0, log=True),
    }


@cache
def data():
    """The rows and labels to train on and to validate with, loaded once a process."""
    parts = split(load("digits"), SEED, BATCH)
    return tuple(map(torch.from_numpy, (parts.x_train, parts.y_train, parts.x_val, parts.y_val)))


def train(config, threads: int = 1, dense: bool = False) -> tuple[float, int]:
    """Train one net, without the rule if ``dense``: its validation accuracy, and the neurons left."""
    torch.set_num_threads(threads)
    x, y, x_val, y_val = data()
    knobs = [
        config[name]
        for name in ("unactivation_penalty", "penalty_form", "hebbian_threshold", "regrowth_rate")
    ]
    rate, decay = config["learning_rate"], config["weight_decay"]
    wide, deep = HIDDEN
    one, two, head = nn.Linear(x.shape[1], wide), nn.Linear(wide, deep), nn.Linear(deep, 10)
    units = [] if dense else [Stamina(one, two, *knobs), Stamina(two, head, *knobs)]
    first, second = units or (nn.ReLU(), nn.ReLU())
    net = nn.Sequential(one, first, two, second, head)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay, fused=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            for unit in units:
                unit.live_and_die(optimizer)
    net.eval()
    with torch.no_grad():
        accuracy = (net(x_val).argmax(1) == y_val).float().mean().item()
    return accuracy, int(sum(unit.alive.sum() for unit in units)) if units else sum(HIDDEN)
