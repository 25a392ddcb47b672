"""What living channels bring: convolutional networks beside the loop one would write without hebbevo.

First comes a search over a convolutional network on rows of CIFAR-10. Then each of its genomes is trained in
four ways, one after the other in this process, on one thread, for as many steps:

- plain: one ordinary PyTorch net, with the rule by hand (`plain_net.py`, for channels) and AdamW fused.
- channels last: the same, with images and kernels in the memory format `channels_last`.
- whole: hebbevo, with what is out in the computation.
- living: hebbevo.

Times are CPU seconds, as other work may run beside. hebbevo validates after each epoch, the loop after the
last. Needs HEBBEVO_DATA.

    python benchmarks/channels.py search --csv FILE.csv [--trials 30] [--every 1] [--population 10]
        [--rows 2000] [--epochs 8] [--channels 16 32]
    python benchmarks/channels.py table --csv FILE.csv
    python benchmarks/channels.py steps [--repeats 3]

``--every 2`` trains every other genome in the four ways. The last line prints what a step costs by the size
of the map and the part of the channels that is alive, beside a stack of networks.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import plain_net
import torch
from plain_net import GENES, SETTLE
from throughput import machine, markdown
from torch import Tensor, nn

import hebbevo
from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows, train
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")
BATCH, HIDDEN, CLASSES, SEED = 64, (64,), 10, 0
STACKED = 16

Genome = dict[str, Any]


# --- the plain loop ---


class Channels(plain_net.Stamina):
    """The rule by hand for the channels of a convolution, before a convolution or a linear layer."""

    def __init__(self, feeder: nn.Conv2d, norm: nn.BatchNorm2d, listener: nn.Module, *rule: Any) -> None:
        super().__init__(feeder, listener, *rule)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        y = x.relu() * self.alive[:, None, None]
        if self.training:
            with torch.no_grad():
                self.account(y.movedim(1, -1).reshape(-1, len(self.alive)))  # a place is a row
        return y

    def renew(self, born: Tensor, optimizer: torch.optim.Optimizer) -> None:
        feeder, listener = self.around
        feeder.weight[born] = torch.randn_like(feeder.weight[born]) * (2 / feeder.weight[0].numel()) ** 0.5
        columns = born.repeat_interleave(listener.weight.shape[1] // len(born))
        listener.weight[:, columns] = 0
        for parameter, start in ((self.norm.weight, 1), (self.norm.bias, 0)):
            parameter[born] = start
        self.norm.running_mean[born], self.norm.running_var[born] = 0, 1
        for moment in ("exp_avg", "exp_avg_sq"):
            for parameter in (feeder.weight, self.norm.weight, self.norm.bias):
                optimizer.state[parameter][moment][born] = 0
            optimizer.state[listener.weight][moment][:, columns] = 0


def plain(
    genome: Genome, data: Split, channels: Sequence[int], epochs: int, *, last: bool
) -> tuple[float, int]:
    """Train one net by hand; return its validation accuracy and the units left."""
    torch.manual_seed(SEED)
    form = torch.channels_last if last else torch.contiguous_format
    x, x_val = (images_of(each).contiguous(memory_format=form) for each in (data.x_train, data.x_val))
    y, y_val = torch.from_numpy(data.y_train), torch.from_numpy(data.y_val)
    total = epochs * -(-len(x) // BATCH)
    rule = (
        total * (1 - SETTLE),
        *(
            genome[name]
            for name in ("unactivation_penalty", "penalty_form", "hebbian_threshold", "regrowth_rate")
        ),
    )
    convolutions, side = [], x.shape[-1]
    for before, after in zip((x.shape[1], *channels), channels, strict=False):
        convolutions.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
        nn.init.kaiming_uniform_(convolutions[-1].weight, nonlinearity="relu")
        side //= 2
    hidden, head = (
        plain_net.he(nn.Linear(*pair)) for pair in ((channels[-1] * side**2, *HIDDEN), (*HIDDEN, CLASSES))
    )
    parts: list[nn.Module] = []
    units: list[plain_net.Stamina] = []
    for convolution, listener in zip(convolutions, [*convolutions[1:], hidden], strict=True):
        norm = nn.BatchNorm2d(convolution.out_channels)
        units.append(Channels(convolution, norm, listener, *rule))
        parts += [convolution, norm, units[-1], nn.MaxPool2d(2)]
    units.append(plain_net.Stamina(hidden, head, *rule))
    net = nn.Sequential(*parts, nn.Flatten(), hidden, units[-1], head).to(memory_format=form)
    accuracy = plain_net.fitted(net, units, (x, y), (x_val, y_val), genome, epochs, BATCH)
    return accuracy, sum(unit.living for unit in units)


def images_of(rows: npt.NDArray[Any]) -> Tensor:
    """Images of rows, (rows, colours, height, width)."""
    side = int((rows.shape[1] / 3) ** 0.5)
    return torch.from_numpy(rows).reshape(len(rows), 3, side, side)


# --- a search, and its genomes by every way ---


def recipe(channels: Sequence[int], epochs: int, *, cuts: bool) -> Recipe:
    network = Architecture("conv", HIDDEN, "stamina", False, (3, 32, 32), CLASSES, tuple(channels))
    return Recipe(network, {"settle": SETTLE}, epochs, BATCH, SEED, cuts_channels=cuts)


def by_hebbevo(
    genome: Genome, data: Split, channels: Sequence[int], epochs: int, *, cuts: bool
) -> tuple[float, int]:
    """Train one net with hebbevo; return what `plain` returns."""
    [found] = train(recipe(channels, epochs, cuts=cuts), [Candidate(genome)], data, CPU)
    if found.failure:
        return float("nan"), 0
    return found.accuracy[-1], found.survivors[-1]


WAYS: dict[str, Callable[..., tuple[float, int]]] = {
    "plain": partial(plain, last=False),
    "channels last": partial(plain, last=True),
    "whole": partial(by_hebbevo, cuts=False),
    "living": partial(by_hebbevo, cuts=True),
}


def searched(path: Path, options: argparse.Namespace) -> list[Genome]:
    """The genomes that a search on the rows of a file trains, in their order."""
    spec = {
        "version": 1,
        "name": "channels",
        "task": {"dataset": str(path), "epochs": options.epochs, "batch_size": BATCH},
        "network": {
            "family": "conv",
            "channels": options.channels,
            "hidden": [*HIDDEN],
            "units": "stamina",
            "settings": {"settle": SETTLE},
        },
        "search": {"population": options.population, "trials": options.trials, "seed": SEED},
        "genome": GENES,
    }
    study = hebbevo.search(spec, study=path.with_name("study.db"))
    table = study.trials()
    genes = [column for column in map(str, table) if column.startswith("genome.")]
    return [
        {gene.removeprefix("genome."): trial[gene] for gene in genes} for trial in table.to_dict("records")
    ]


def save_rows(path: Path, number: int) -> None:
    """Write the first rows of CIFAR-10 to a file."""
    whole = load("cifar10")
    np.savez(path, x=whole.x[:number].reshape(-1, *whole.shape), y=whole.y[:number])


def search(options: argparse.Namespace) -> None:
    """Write down, and print, what each way takes for the trainings of a search."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cifar10.npz"
        save_rows(path, options.rows)
        genomes = searched(path, options)
        data = split(load(str(path)), SEED, BATCH)
    for way in WAYS.values():  # the first calls take longer
        way(genomes[0], data, options.channels, 1)
    wide = "-".join(map(str, options.channels))
    print(f"{machine()}; channels {wide}, {len(data.x_train)} rows, {options.epochs} epochs")
    with open(options.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", "way", "seconds", "accuracy", "units"])
        writer.writeheader()
        for trial in range(0, len(genomes), options.every):
            for name, way in WAYS.items():
                started = time.process_time()
                accuracy, units = way(genomes[trial], data, options.channels, options.epochs)
                seconds = time.process_time() - started
                found = [trial, name, f"{seconds:.2f}", f"{accuracy:.4f}", units]
                writer.writerow(dict(zip(writer.fieldnames, found, strict=True)))
                file.flush()
    table(options)


def table(options: argparse.Namespace) -> None:
    """Print the table of what was written down."""
    with open(options.csv, newline="") as file:
        lines = [*csv.DictReader(file)]
    by_way = {name: [each for each in lines if each["way"] == name] for name in WAYS}
    seconds = {name: [float(each["seconds"]) for each in own] for name, own in by_way.items()}
    cells = []
    for name, own in by_way.items():
        accuracy, units = (np.nanmean([float(each[key]) for each in own]) for key in ("accuracy", "units"))
        times = [sum(seconds[loop]) / sum(seconds[name]) for loop in ("plain", "channels last")]
        ratios = np.divide(seconds["plain"], seconds[name])
        cells.append(
            [
                name,
                f"{sum(seconds[name]):.0f}",
                f"{times[0]:.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
                f"{times[1]:.2f}",
                f"{accuracy:.3f}",
                f"{units:.0f}",
            ]
        )
    print(f"\n{len(seconds['plain'])} trainings\n")
    header = ["", "CPU s", "times as fast as the plain loop (of single trainings)"]
    print(markdown([*header, "as the one with channels last", "accuracy", "units left"], cells))


# --- what a step costs ---


def step_time(
    side: int, colours: int, channels: Sequence[int], part: float, nets: int, *, cuts: bool
) -> float:
    """CPU milliseconds a step and net of nets that have this part of their channels; nothing is pruned."""
    network = Architecture("conv", HIDDEN, "stamina", False, (colours, side, side), CLASSES, tuple(channels))
    knobs = {"hebbian_threshold": -1.0, "unactivation_penalty": 0.0, "initial_neurons": part}
    own = Recipe(network, knobs, 3, BATCH, SEED, cuts_channels=cuts)
    x, steps = torch.randn(6 * BATCH, colours, side, side), 3
    rows = Rows(x, torch.randint(CLASSES, (len(x),)), x[:BATCH], torch.zeros(BATCH, dtype=torch.int64))
    found = [network.build(own.settings, number) for number in range(nets)]
    stack = VmapStack(found, CPU) if nets > 1 else SingleNet(found[0], CPU)
    training = CohortTraining(
        own, stack, [own.training_knobs({})] * nets, network.build(own.settings, 0), rows
    )
    best = float("inf")
    minibatches = [*training.minibatches(0)]
    for start in range(0, len(minibatches), steps):
        started = time.process_time()
        for minibatch in minibatches[start : start + steps]:
            training.train_step(minibatch)
        best = min(best, (time.process_time() - started) / steps / nets)
    return 1000 * best


def steps(options: argparse.Namespace) -> None:
    """Print what a step costs by the size of the map and the part that is alive."""
    shapes = [
        (side, 1 if side < 32 else 3, channels)
        for side in (8, 12, 16, 28, 32)
        for channels in ((8, 16), (16, 32))
    ]
    ways: dict[str, dict[str, Any]] = {
        f"a stack of {STACKED}": {"part": 1.0, "nets": STACKED, "cuts": False},
        "whole": {"part": 1.0, "nets": 1, "cuts": False},
        **{f"living, {part:.0%}": {"part": part, "nets": 1, "cuts": True} for part in (1.0, 0.5, 0.25)},
    }
    cells = []
    for side, colours, channels in shapes:
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.repeats):
            for name, way in ways.items():
                found[name].append(step_time(side, colours, channels, **way))
        wide = "-".join(map(str, channels))
        cells.append(
            [f"{colours} x {side} x {side}", wide, *(f"{median(own):.1f}" for own in found.values())]
        )
    print(f"{machine()}; CPU ms a step and net, one thread\n")
    print(markdown(["image", "channels", *ways], cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    of_search = commands.add_parser("search")
    of_search.add_argument("--trials", type=int, default=30)
    of_search.add_argument("--population", type=int, default=10)
    of_search.add_argument("--rows", type=int, default=2000)
    of_search.add_argument("--epochs", type=int, default=8)
    of_search.add_argument("--channels", type=int, nargs="+", default=[16, 32])
    of_search.add_argument("--every", type=int, default=1)
    of_search.set_defaults(run=search)
    of_table = commands.add_parser("table")
    of_table.set_defaults(run=table)
    for command in (of_search, of_table):
        command.add_argument("--csv", required=True)
    of_steps = commands.add_parser("steps")
    of_steps.add_argument("--repeats", type=int, default=3)
    of_steps.set_defaults(run=steps)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run(options)


if __name__ == "__main__":
    main()
