"""Learned backward weights on MNIST, and a search over the whole alignment matrix, beside backpropagation.

Rows: 784-500-10 with sigmoid units, PyTorch's own modules with `hebbevo.nn.FeedbackLinear`, plain SGD at a
rate of 1, 12 epochs in minibatches of 128, pixels divided by 255. The score is test accuracy after the last
epoch, so nothing is chosen by it. Angles are those between the weights of the output layer and its backward
weights; those of the hidden layer are used by nothing. Coefficients are for one step, as they were tried;
`symmetric_alignment` and `weight_mirror` also have a row as published, scaled to the length of the training.

Search: 784-256-256-256-10, ReLU, 3 epochs, by `hebbevo.search` over the whole matrix with validation scores.
What it has found, and the most accurate of its genomes that are local, are trained again on fresh seeds with
test scores. Beside them are backpropagation, feedback alignment and every published row, each with the better
of two learning rates.

    HEBBEVO_DATA=FOLDER python benchmarks/alignment.py rows [--seeds 5] [--csv alignment.csv]
    HEBBEVO_DATA=FOLDER python benchmarks/alignment.py search [--trials 100] [--csv alignment_matrix.csv]

The first appends a line for each network to its file, and the second a line for each training after the
search, whose study is continued. Both can be stopped and started again; tables are made of all lines.
``--dataset digits`` tries them in seconds.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from throughput import processor
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.nn import FeedbackLinear, attach
from hebbevo.rules import CREDIT
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

BATCH, RATE, WIDTH = 128, 1.0, 500
PER_STEP: dict[str, Value] = {"alignment_rate": RATE, "alignment_steps": 0}
SLOW_DECAY = 5e-6  # of W and B in each step of rate 1: an L2 decay of 1e-5
ROWS: dict[str, tuple[str, dict[str, Value]]] = {
    "BP": ("backprop", {}),
    "FA": ("feedback_alignment", {}),
    "KP": ("kolen_pollack", {**PER_STEP, "alignment_decay": SLOW_DECAY}),
    "WM": ("weight_mirror", {**PER_STEP, "alignment_decay": 0.05, "alignment_amp": 0.1}),
    "WM, slower": ("weight_mirror", {**PER_STEP, "alignment_decay": 0.005, "alignment_amp": 0.01}),
    "SA": ("symmetric_alignment", {**PER_STEP, "alignment_decay": 0.05, "alignment_self": 0.1}),
    "WM as published": ("weight_mirror", {}),
    "SA as published": ("symmetric_alignment", {}),
}
ROW_COLUMNS = ("row", "seed", "accuracy", "angle", "seconds", "dataset", "epochs")

HIDDEN = (256, 256, 256)
SEARCH_COLUMNS = ("row", "seed", "accuracy", "angles", "seconds", "dataset", "epochs")
SPACE: dict[str, dict[str, object]] = {
    "alignment_decay": {"low": 1e-2, "high": 1, "log": True, "zero": True},
    "alignment_self": {"low": 1e-2, "high": 1, "log": True, "zero": True},
    "alignment_amp": {"low": 1e-2, "high": 1, "log": True, "zero": True},
    "alignment_null": {"low": 1e-4, "high": 0.1, "log": True, "zero": True},
    "alignment_sparse": {"low": 1e-4, "high": 0.1, "log": True, "zero": True},
    "tie": {"choices": [True, False]},
    "alignment_noise": {"low": 0.1, "high": 3, "log": True, "zero": True},
    "match_norm": {"choices": [True, False]},
    "feedback_scale": {"low": 0.1, "high": 3, "log": True},
    "learning_rate": {"low": 3e-3, "high": 0.1, "log": True},
}
LEARNING_RATES = (0.01, 0.03)
LOCAL = {"alignment_self", "alignment_sparse"}
"""Coefficients of moves that need the weights, or all inputs of a layer, at each connection."""


class SigmoidNet(nn.Sequential):
    """784-500-10, as any network of one's own: one line in it says how a layer learns."""

    def __init__(self, rule: str, seed: int, knobs: Mapping[str, Value], inputs: int, classes: int) -> None:
        torch.manual_seed(seed)
        sizes = ((inputs, WIDTH), (WIDTH, classes))
        hidden, output = (
            nn.Linear(*size) if rule == "backprop" else FeedbackLinear(*size, rule=rule, seed=place, **knobs)
            for place, size in enumerate(sizes, start=2 * seed)
        )
        for layer in (hidden, output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        super().__init__(hidden, nn.Sigmoid(), output)


def problem(dataset: str) -> Split:
    """A data set scaled to 0..1, with its validation rows among the training rows."""
    whole = split(load(dataset), 0, BATCH, standardize=False)
    x, y = np.concatenate([whole.x_train, whole.x_val]), np.concatenate([whole.y_train, whole.y_val])
    largest = x.max()
    return replace(whole, x_train=x / largest, y_train=y, x_test=whole.x_test / largest)


def trained_row(row: str, seed: int, data: Split, epochs: int) -> tuple[float, float, float]:
    """Test accuracy, angle of the output layer in degrees, and CPU seconds of one training."""
    rule, knobs = ROWS[row]
    x, x_test = (torch.from_numpy(each).flatten(1) for each in (data.x_train, data.x_test))
    y, y_test = (torch.from_numpy(each) for each in (data.y_train, data.y_test))
    net = SigmoidNet(rule, seed, knobs, x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    if rule != "backprop":
        attach(net, optimizer, total_steps=epochs * -(-len(x) // BATCH))
    started, generator = time.process_time(), torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net.train()(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = float((net.eval()(x_test).argmax(1) == y_test).double().mean())
    angle = 0.0 if rule == "backprop" else float(net[2].angle())
    return accuracy, angle, time.process_time() - started


def measure_rows(args: argparse.Namespace) -> None:
    """Train what the file does not have yet, and print the table."""
    data = problem(args.dataset)
    for seed in range(args.seeds):
        for row in ROWS:
            done = _read(args.csv, ROW_COLUMNS)
            if ((done["row"] == row) & (done["seed"] == seed)).any():
                continue
            accuracy, angle, seconds = trained_row(row, seed, data, args.epochs)
            _append(args.csv, ROW_COLUMNS, [row, seed, accuracy, angle, seconds, args.dataset, args.epochs])
            print(f"{row:18} seed {seed}  {accuracy:.2%}  {angle:.0f} degrees  {seconds:.0f} s", flush=True)
    found = _read(args.csv, ROW_COLUMNS)
    by = found.groupby("row", sort=False)
    mean, sd = by["accuracy"].mean() * 100, by["accuracy"].std() * 100
    print(f"\n{processor()}, {platform.system()}, PyTorch {torch.__version__}, {args.epochs} epochs\n")
    print("| row | test accuracy, % | below BP, points | angle, degrees | CPU s | seeds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in mean.index:
        own = found[found["row"] == row]
        angles = f"{own['angle'].min():.0f} to {own['angle'].max():.0f}"
        below = f"{mean['BP'] - mean[row]:.2f} | {angles} | {own['seconds'].mean():.0f} | {len(own)}"
        print(f"| {row} | {mean[row]:.2f} ± {sd[row]:.2f} | {below} |")


def _read(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*columns])


def _append(path: Path, columns: Iterable[str], values: Iterable[object]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(columns)
        writer.writerow(values)


def run_search(args: argparse.Namespace) -> None:
    """Search the matrix, train what it found on fresh seeds, and print the table."""
    scaled: dict[str, Value] = {"alignment_steps": 100, "alignment_rate": 1.0}
    space = {
        "name": "alignment_matrix",
        "task": {"dataset": args.dataset, "epochs": args.epochs, "batch_size": BATCH},
        "network": {
            "family": "mlp", "hidden": [*HIDDEN], "units": "dense", "credit": "feedback_alignment",
            "settings": _recipe() | scaled,
        },
        "search": {"sampler": "surrogate", "population": min(20, args.trials), "seed": 0},
        "genome": SPACE,
    }  # fmt: skip
    study = hebbevo.search(space, study=args.study, trials=args.trials, workers=args.workers)
    ranked = study.trials().dropna(subset="accuracy").sort_values("accuracy", ascending=False)["trial"]
    genomes = [study.genome(int(trial)) for trial in ranked]
    local = [genome for genome in genomes if not any(genome.get(name) for name in LOCAL)]
    rows: dict[str, dict[str, Value]] = {"found": {**genomes[0], **scaled}}
    if local:
        rows["found, local"] = {**local[0], **scaled}
    published = ["backprop", *(name for name, rule in CREDIT.items() if rule.has_feedback)]
    rows |= {
        f"{name} at {rate:g}": {"credit": name, "learning_rate": rate}
        for name in published
        for rate in LEARNING_RATES
    }
    data = split(load(args.dataset), 0, BATCH)
    for row, settings in rows.items():
        for seed in range(1, args.seeds + 1):
            done = _read(args.csv, SEARCH_COLUMNS)
            if ((done["row"] == row) & (done["seed"] == seed)).any():
                continue
            accuracy, angles, seconds = _of_recipe(settings, seed, data, args.epochs)
            values = [row, seed, accuracy, angles, seconds, args.dataset, args.epochs]
            _append(args.csv, SEARCH_COLUMNS, values)
            print(f"{row:32} seed {seed}  {accuracy:.2%}  {angles}", flush=True)
    found = _read(args.csv, SEARCH_COLUMNS)
    by = found.groupby("row", sort=False)["accuracy"]
    print(f"\nfound: {genomes[0]}\nfound, local: {local[:1]}")
    print(f"\n{processor()}, {platform.system()}, PyTorch {torch.__version__}, {args.epochs} epochs\n")
    print("| row | test accuracy, % | seeds | angles or failure of the first |")
    print("| --- | --- | --- | --- |")
    for row, mean in by.mean().items():
        own = found[found["row"] == row]
        first = own["angles"].fillna("").iloc[0]
        print(f"| {row} | {mean * 100:.2f} ± {by.std()[row] * 100:.2f} | {len(own)} | {first} |")


def _recipe() -> dict[str, Value]:
    """What all trainings on three hidden layers share."""
    return {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0}


def _of_recipe(
    settings: Mapping[str, Value], seed: int, data: Split, epochs: int
) -> tuple[float, str, float]:
    """Test accuracy, angles of layers and CPU seconds; the test rows are in the place of validation rows."""
    own = replace(data, x_val=data.x_test, y_val=data.y_test)
    credit = str(settings.get("credit", "feedback_alignment"))
    network = Architecture("mlp", HIDDEN, "dense", False, data.shape, 10, credit=credit)
    values = _recipe() | {name: value for name, value in settings.items() if name != "credit"}
    recipe = Recipe(network, values, epochs, BATCH, seed)
    started = time.process_time()
    [found] = train(recipe, [Candidate({})], own, torch.device("cpu"))
    seconds = time.process_time() - started
    if found.failure:
        return 0.0, found.failure, seconds
    angles = " ".join(f"{angle:.0f}" for angle in found.angles[-1]) if found.angles else ""
    return found.accuracy[-1], angles, seconds


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(required=True)
    rows = parts.add_parser("rows")
    rows.set_defaults(run=measure_rows, epochs=12)
    search = parts.add_parser("search")
    search.add_argument("--trials", type=int, default=100)
    search.add_argument("--study", default="alignment_matrix.db")
    search.add_argument("--workers", type=int)
    search.set_defaults(run=run_search, epochs=3)
    for part, file in ((rows, "alignment.csv"), (search, "alignment_matrix.csv")):
        part.add_argument("--seeds", type=int, default=5)
        part.add_argument("--epochs", type=int, default=part.get_default("epochs"))
        part.add_argument("--dataset", default="mnist")
        part.add_argument("--csv", type=Path, default=Path(file))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
