"""Ideas that might make pruned networks better, each beside pruning by `usage` as it is.

784-300-100-10 on MNIST is pruned by `usage` to 20 or 40 hidden neurons as in `science.py`: 20 epochs in
minibatches of 64, 20 events from 5 % to 60 % of the training, then the learning rate falls to zero. Rows are
compared by validation accuracy after the last epoch, and each changes one thing:

- start 150-50, start 600-200: other widths at the start.
- trunk of 20 %, trunk of 40 %: pruning begins later, so that prunings of one start could share more of it.
- inputs to 200, inputs to 100: pixels are pruned too, by `contribution`.

Those are recipes of the package. The others need a loop of their own, with `hebbevo.nn` in plain PyTorch:

- own loop: nothing is changed; the reference of the rows below.
- averaged: the learning rate falls to a fifth only, and from 80 % on weights are averaged over steps.
- exact statistics: 5,000 training rows, with the present weights, give the statistics of each event.
- set aside: the same with 5,000 rows that train nothing.
- annealed: what an event chooses is not cut, but scaled from one to zero until the next event, and then cut.
- dense, and dense, averaged: the control, with the learning rate and weight decay that `science.py` tuned.

Seeds are 100 and up, and nothing reads test images. A difference is paired by seed, its interval Student's at
95 %, of one comparison: it says what is worth a test on fresh seeds, and is none itself.

    HEBBEVO_DATA=FOLDER python benchmarks/pruning_ideas.py [--seeds 10] [--csv pruning_ideas.csv]

The script appends a line for each network, so that it can be stopped and started again. A network of the
first kind takes 5 to 15 seconds of one core, one of the second kind a minute or more.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from science import BATCH, DENSE, EPOCHS, WIDTHS, recipe_for, tuned
from scipy import stats
from torch import Tensor, nn
from units import HIDDEN, RECIPE

from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.nn import PlasticUnits, attach, plastic_units, unit_layer
from hebbevo.rules.units.schedule import units_left
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

FIRST_SEED, ASIDE = 100, 5_000
PRUNED_AT, EVENTS, SETTLE = 0.05, 20, float(str(RECIPE["settle"]))
FLOOR, AVERAGED_FROM = 0.2, 0.8
COLUMNS = ("row", "neurons", "seed", "validation", "left")
USAGE, LOOP = "usage", "own loop"
STARTS = {"start 150-50": (150, 50), "start 600-200": (600, 200)}
TRUNKS = {"trunk of 20 %": 0.2, "trunk of 40 %": 0.4}
INPUTS = {"inputs to 200": 200, "inputs to 100": 100}


# --- what a recipe can say ---


def recipe_of(row: str, widths: tuple[int, int], seed: int, data: Split) -> Recipe:
    """The recipe of a row."""
    steps = EPOCHS * -(-len(data.x_train) // BATCH)
    settings: dict[str, Value] = {}
    if row in TRUNKS:
        settings["warmup"] = round(steps * TRUNKS[row])
    if row in INPUTS:
        settings |= {"units.0": "contribution", "target.0": INPUTS[row]}
    recipe = recipe_for(USAGE, widths, settings, seed, data, EPOCHS)
    assert isinstance(recipe.network, Architecture)
    network = replace(recipe.network, hidden=STARTS.get(row, HIDDEN), inputs=row in INPUTS)
    return replace(recipe, network=network)


def by_recipe(row: str, widths: tuple[int, int], seed: int, data: Split) -> tuple[float, int]:
    """Validation accuracy and hidden neurons left of a network that the package trains."""
    [found] = train(recipe_of(row, widths, seed, data), [Candidate({}, seed)], data, torch.device("cpu"))
    assert found.failure is None, found.failure
    return found.accuracy[-1], sum(found.layers)


# --- what needs a loop of its own ---


@dataclass
class Training:
    """A training in plain PyTorch, as the changes below see it.

    Attributes:
        model: the network.
        optimizer: of all its weights; its learning rate is that of the present step.
        step: forward steps so far.
        total: forward steps of the whole training.
        aside: inputs of rows for statistics, (rows, features).
    """

    model: nn.Sequential
    optimizer: torch.optim.Optimizer
    step: int
    total: int
    aside: Tensor

    @property
    def units(self) -> list[PlasticUnits]:
        """The layers of units that are pruned."""
        return [*plastic_units(self.model).values()]

    def is_event(self) -> bool:
        """Whether units are pruned after this step."""
        return bool(self.units[0].is_event(self.units[0].steps))


class Change:
    """What a row changes in a training: nothing."""

    sets_aside = False

    def begin(self, training: Training) -> None:
        """Before the first step."""

    def before_step(self, training: Training) -> None:
        """Between the backward pass and the step of the optimiser."""

    def after_step(self, training: Training) -> None:
        """After the step of the optimiser, and the event that may belong to it."""

    def end(self, training: Training) -> None:
        """After the last step."""


class Averaged(Change):
    """Keep the learning rate above a floor while it falls, and average the weights of the last steps."""

    def begin(self, training: Training) -> None:
        """Begin without a mean, and keep the learning rate above a floor whatever lowers it."""
        self._mean: dict[str, Tensor] = {}
        self._number = 0
        floor = FLOOR * training.optimizer.param_groups[0]["lr"]

        def keep_floor(optimizer: torch.optim.Optimizer, *_: object) -> None:
            for group in optimizer.param_groups:
                group["lr"] = max(group["lr"], floor)

        training.optimizer.register_step_pre_hook(keep_floor)

    @torch.no_grad()
    def after_step(self, training: Training) -> None:
        """Add the weights to their mean."""
        if training.step <= training.total * AVERAGED_FROM:
            return
        self._number += 1
        for name, weight in training.model.named_parameters():
            mean = self._mean.setdefault(name, torch.zeros_like(weight))
            mean.lerp_(weight, 1 / self._number)

    @torch.no_grad()
    def end(self, training: Training) -> None:
        """Take the mean."""
        for name, weight in training.model.named_parameters():
            weight.copy_(self._mean[name])


class ExactStatistics(Change):
    """Give each event the covariances of some rows under the present weights."""

    @torch.no_grad()
    def before_step(self, training: Training) -> None:
        """Replace the running statistics."""
        if not training.is_event():
            return
        outputs: list[Tensor] = []
        hooks = [
            each.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            for each in training.units
        ]
        training.model.eval()
        training.model(training.aside)
        training.model.train()
        for hook in hooks:
            hook.remove()
        for units, output in zip(training.units, outputs, strict=True):
            buffers = dict(units.named_buffers())
            deviation = output - output.mean(0)
            buffers["sum_covariance"].copy_(deviation.T @ deviation / len(output))
            buffers["seen"].fill_(1)


class SetAside(ExactStatistics):
    """The same with rows that train nothing."""

    sets_aside = True


class Annealed(Change):
    """Scale what an event chooses from one to zero until the next event, and cut it there."""

    def begin(self, training: Training) -> None:
        """Take the choice from the rule: its own events prune nothing from now on."""
        self._targets = [units.goal.clone() for units in training.units]
        self._gates = [torch.ones(units.num_neurons) for units in training.units]
        self._leaving = [torch.zeros(units.num_neurons, dtype=torch.bool) for units in training.units]
        self._length = training.total * (1 - SETTLE - PRUNED_AT) / EVENTS
        for units, gate in zip(training.units, self._gates, strict=True):
            units.goal.fill_(units.num_neurons)
            # a copy, since the backward pass of a step needs the gates that it had
            units.register_forward_hook(lambda _module, _inputs, output, gate=gate: output * gate.clone())

    @torch.no_grad()
    def after_step(self, training: Training) -> None:
        """Lower the gates; at an event cut what has left, and choose what leaves next."""
        is_over = training.is_event() or training.step > training.total * (1 - SETTLE) + self._length
        for place, units in enumerate(training.units):
            gate, leaving = self._gates[place], self._leaving[place]
            gate.sub_(leaving / self._length).clamp_(0, 1)
            if is_over:
                units.alive.logical_and_(~leaving)
                leaving.zero_()
            if training.is_event():
                knobs = SimpleNamespace(**dict(units.named_buffers()))
                step, total = torch.tensor(training.step), torch.tensor(training.total)
                left = units_left(knobs, step, total, self._targets[place], units.num_neurons)
                number = max(int(units.alive.sum()) - int(left), 0)
                score = units.score.masked_fill(~units.alive, math.inf)
                leaving[score.argsort()[:number]] = True


REFERENCES = {DENSE: LOOP, "dense, averaged": DENSE}
CHANGES: Mapping[str, type[Change]] = {
    LOOP: Change,
    "averaged": Averaged,
    "exact statistics": ExactStatistics,
    "set aside": SetAside,
    "annealed": Annealed,
    DENSE: Change,
    "dense, averaged": Averaged,
}


def by_loop(row: str, widths: tuple[int, int], seed: int, data: Split, tuning: Path) -> tuple[float, int]:
    """Validation accuracy and hidden neurons left of a network that is trained in plain PyTorch."""
    change, is_dense = CHANGES[row](), row.startswith(DENSE)
    rule, hidden = (DENSE, widths) if is_dense else (USAGE, HIDDEN)
    settings = RECIPE | (tuned(tuning, sum(widths)) if is_dense else {})
    torch.manual_seed(seed)
    x, y = (torch.as_tensor(each) for each in (data.x_train, data.y_train))
    x, y = x.flatten(1).float(), y.long()
    aside = x[torch.randperm(len(x))[:ASIDE]]
    if change.sets_aside:
        chosen = torch.randperm(len(x))
        aside, x, y = x[chosen[:ASIDE]], x[chosen[ASIDE:]], y[chosen[ASIDE:]]
    total = EPOCHS * -(-len(x) // BATCH)
    knobs: dict[str, Value] = {"settle": SETTLE}
    if not is_dense:
        knobs |= {"schedule": "target", "events": EVENTS, "warmup": round(total * PRUNED_AT)}

    def layer(number: int) -> nn.Module:
        target: dict[str, Value] = {} if is_dense else {"target": widths[number]}
        return unit_layer(rule, hidden[number], **knobs, **target)

    first, second = hidden
    model = nn.Sequential(
        nn.Linear(x.shape[1], first), layer(0), nn.Linear(first, second), layer(1), nn.Linear(second, 10)
    )
    rate, decay = float(str(settings["learning_rate"])), float(str(settings["weight_decay"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    attach(model, optimizer, total_steps=total)
    training = Training(model, optimizer, 0, total, aside)
    warm = int(str(settings["learning_rate_warmup"]))
    change.begin(training)
    for rows in minibatches(len(x)):
        training.step += 1
        optimizer.param_groups[0]["lr"] = rate * min(1.0, training.step / warm)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        change.before_step(training)
        optimizer.step()
        change.after_step(training)
    change.end(training)
    model.eval()
    with torch.no_grad():
        guess = model(torch.as_tensor(data.x_val).flatten(1).float()).argmax(1)
    left = [int(units.alive.sum()) for units in training.units]
    return float((guess == torch.as_tensor(data.y_val)).float().mean()), sum(left)


def minibatches(rows: int) -> Iterator[Tensor]:
    """The rows of each minibatch of a training."""
    for _ in range(EPOCHS):
        yield from torch.randperm(rows).split(BATCH)


# --- the table ---


def report(table: pd.DataFrame) -> None:
    """Print each row's validation accuracy, and the difference to its reference."""
    cells = {key: own.set_index("seed") for key, own in table.groupby(["row", "neurons"])}
    sizes = sorted(table.neurons.unique())
    heads = [f"{n} neurons | above its reference" for n in sizes]
    print(f"| validation accuracy, % | {' | '.join(heads)} |\n|{' --- |' * (2 * len(sizes) + 1)}")
    for row in dict.fromkeys(table.row):
        reference = REFERENCES.get(row, LOOP if row in CHANGES else USAGE)
        shown = []
        for neurons in sizes:
            own, other = cells.get((row, neurons)), cells.get((reference, neurons))
            shown.append("-" if own is None else f"{100 * own.validation.mean():.2f}")
            if own is None or other is None or row == reference:
                shown.append("-")
                continue
            above = 100 * (own.validation - other.validation).dropna()
            half = above.sem() * stats.t.ppf(0.975, len(above) - 1)
            shown.append(f"{above.mean():+.2f} [{above.mean() - half:+.2f}, {above.mean() + half:+.2f}]")
        print(f"| {row} | {' | '.join(shown)} |")


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", nargs="+", default=[USAGE, *STARTS, *TRUNKS, *INPUTS, *CHANGES])
    parser.add_argument("--neurons", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--tuning", type=Path, default=Path("science_tuning.csv"))
    parser.add_argument("--csv", type=Path, default=Path("pruning_ideas.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = split(load("mnist"), 0, BATCH)
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    finished = set(done[["row", "neurons", "seed"]].itertuples(index=False, name=None))
    by_size = {sum(widths): widths for widths in WIDTHS}
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        for row in options.rows:
            for neurons in options.neurons:
                if (row, neurons, seed) in finished:
                    continue
                if row in CHANGES:
                    found = by_loop(row, by_size[neurons], seed, data, options.tuning)
                else:
                    found = by_recipe(row, by_size[neurons], seed, data)
                line = pd.DataFrame([(row, neurons, seed, *found)], columns=COLUMNS)
                line.to_csv(options.csv, mode="a", header=not options.csv.exists(), index=False)
    report(pd.read_csv(options.csv))


if __name__ == "__main__":
    main()
