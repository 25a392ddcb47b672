"""Where the usable window of the unactivation penalty lies, and whether one short training predicts it.

Fully connected networks with two hidden layers of equal width and the rule `stamina`, for 20 epochs, over
penalties from 0.1 to 10. A penalty is usable if at least half of the neurons are gone and validation
accuracy is within 5 points of the best of its curve, in most of the seeds. The lower edge of the window is
the smallest usable penalty, the upper edge the largest. Each data set has a curve for each width with
``penalty_form: mean`` and ``activity: activation``, and for each other form and activity at width 128.

The prediction needs one network and no pruning. After `STEPS` steps of ordinary training each neuron has a
penalty b_j at which its stamina is zero (equations 1 and 2 of `hebbevo/rules/units/stamina.py`, firing prior
1/2, threshold 0):

    b_j = a_j / mean_b c_b [neuron j is silent on b]

with its mean activity a_j and the level c_b of the penalty form. The edges are predicted by two quantiles of
b_j over the neurons, times a factor each. Quantiles and factors are fitted on digits, MNIST and
Fashion-MNIST, and checked on CIFAR-10 through 64 principal components, which had no part in it. The plain
rule of thumb, the median of b_j, has nothing to fit: at that penalty half of the neurons lose stamina.

    HEBBEVO_DATA=FOLDER python benchmarks/penalty_window.py measure [--csv penalty_window.csv]
    HEBBEVO_DATA=FOLDER python benchmarks/penalty_window.py table [--csv penalty_window.csv] [--png FILE]

The first appends a line for each network to the file, so that it can be stopped and started again. It takes
about half an hour of one core with the native engine.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from torch import nn

from hebbevo import native
from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.nn import Stamina, break_even_penalties, plastic_units
from hebbevo.rules.units.stamina import ACTIVITIES, PENALTY_FORMS
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

FITTED, HELD_OUT = ("digits", "mnist", "fashion_mnist"), "cifar10"
WIDTHS = (32, 64, 128, 256)
BASE = 128, "mean", "activation"
CURVES = (
    *((width, *BASE[1:]) for width in WIDTHS),
    *((BASE[0], form, BASE[2]) for form in PENALTY_FORMS if form != BASE[1]),
    *((*BASE[:2], activity) for activity in ACTIVITIES if activity != BASE[2]),
)
PENALTIES = tuple(float(each) for each in np.round(np.logspace(-1, 1, 17), 5))
SEEDS, EPOCHS, BATCH, ROWS = range(3), 20, 64, 4000
SETTINGS: dict[str, Value] = {"learning_rate": 3e-3, "settle": 0.2}
STEPS, PROBED = 40, 1000
HALF_STEP = (PENALTIES[1] / PENALTIES[0]) ** 0.5
LOST, WITHIN = 0.5, 0.05
QUANTILES = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2))
COLUMNS = ("data", "width", "form", "activity", "penalty", "seed", "left", "accuracy")
KEY = ["data", "width", "form", "activity"]


def through_components(data: Split, number: int) -> Split:
    """The same rows by their first principal components, each divided by its deviation over training rows."""
    x = data.x_train.reshape(len(data.x_train), -1)
    mean = x.mean(0)
    values, axes = np.linalg.eigh(np.cov(x - mean, rowvar=False, bias=True))
    axes = axes[:, ::-1][:, :number] / np.sqrt(values[::-1][:number])
    parts = {f"x_{kind}": getattr(data, f"x_{kind}") for kind in ("train", "val", "test")}
    projected = {
        name: ((rows.reshape(len(rows), -1) - mean) @ axes).astype(np.float32) for name, rows in parts.items()
    }
    return replace(data, **projected, shape=(number,))


def data_of(name: str) -> Split:
    """At most `ROWS` training rows, standardised; CIFAR-10 through 64 principal components."""
    data = split(load(name), 0, BATCH)
    kinds = [f"{axis}_{kind}" for kind in ("train", "val", "test") for axis in "xy"]
    data = replace(data, **{kind: getattr(data, kind)[:ROWS] for kind in kinds})
    return through_components(data, 64) if name == HELD_OUT else data


def recipe_of(data: Split, width: int, form: str, activity: str) -> Recipe:
    """The recipe of a curve."""
    network = Architecture("mlp", (width, width), "stamina", False, data.shape, 10)
    settings = SETTINGS | {"penalty_form": form, "activity": activity}
    engine = "native" if native.is_built() else "pytorch"
    return Recipe(network, settings, EPOCHS, BATCH, 0, engine=engine)


def measure(path: Path, names: list[str]) -> None:
    """Train all curves that the file does not have."""
    for name in names:
        data = data_of(name)
        for curve in CURVES:
            done = read(path)
            if (done[KEY] == [name, *curve]).all(axis=1).any():
                continue
            chosen = [*product(PENALTIES, SEEDS)]
            nets = [Candidate({"unactivation_penalty": penalty}, seed) for penalty, seed in chosen]
            found = train(recipe_of(data, *curve), nets, data, torch.device("cpu"))
            lines = [
                (name, *curve, *which, each.survivors[-1] / (2 * curve[0]), each.accuracy[-1])
                for which, each in zip(chosen, found, strict=True)
            ]
            table = pd.DataFrame(lines, columns=COLUMNS)
            table.to_csv(path, mode="a", header=not path.exists(), index=False)


def read(path: Path) -> pd.DataFrame:
    """The lines of a file, none if it does not exist."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)


def window(curve: pd.DataFrame) -> tuple[float, float]:
    """The smallest and the largest usable penalty of a curve; NaN if none is."""
    best = curve.groupby("penalty").accuracy.mean().max()
    usable = (curve.left <= 1 - LOST) & (curve.accuracy >= best - WITHIN)
    share = usable.groupby(curve.penalty).mean()
    inside = share[share > 0.5].index
    return (float(inside.min()), float(inside.max())) if len(inside) else (np.nan, np.nan)


def trained(data: Split, width: int, seed: int) -> nn.Sequential:
    """A network after a short training in which nothing is pruned."""
    torch.manual_seed(seed)
    x, y = torch.as_tensor(data.x_train).flatten(1), torch.as_tensor(data.y_train)
    layers = [nn.Linear(a, b) for a, b in ((x.shape[1], width), (width, width), (width, 10))]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    units = [Stamina(width, warmup=STEPS + 1, seed=0) for _ in range(2)]
    net = nn.Sequential(layers[0], units[0], layers[1], units[1], layers[2])
    optimizer = torch.optim.AdamW(net.parameters(), lr=float(SETTINGS["learning_rate"]))
    for rows in torch.randperm(len(x)).repeat(-(-STEPS * BATCH // len(x)))[: STEPS * BATCH].split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return net


def quantiles_of(data: Split, width: int, form: str, activity: str) -> np.ndarray:
    """Quantiles of the break-even penalties of all neurons, as a mean of logarithms over seeds."""
    found = []
    probed = torch.as_tensor(data.x_train[:PROBED]).flatten(1)
    for seed in SEEDS:
        net = trained(data, width, seed)
        for units in plastic_units(net).values():
            units.configure(penalty_form=form, activity=activity)
        penalties = torch.cat([*break_even_penalties(net, probed).values()])
        found.append(np.log10(np.quantile(penalties.clamp(1e-3, 1e3).numpy(), QUANTILES)))
    return np.mean(found, axis=0)


def edges(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each curve: its window, and the quantiles of the break-even penalties."""
    lines = []
    loaded: dict[str, Split] = {}
    for (name, *curve), own in table.groupby(KEY, sort=False):
        if name not in loaded:
            loaded[name] = data_of(name)
        lines.append((name, *curve, *window(own), *quantiles_of(loaded[name], *curve)))
    return pd.DataFrame(lines, columns=[*KEY, "low", "high", *QUANTILES])


def fitted(table: pd.DataFrame, edge: str) -> tuple[float, float]:
    """The quantile of break-even penalties, and the decades to add, that give an edge with least error."""
    own = table[table.data.isin(FITTED)]
    errors = {}
    for quantile in QUANTILES:
        shift = np.log10(own[edge]) - own[quantile]
        errors[quantile] = float(shift.std(ddof=0)), float(shift.mean())
    quantile = min(errors, key=lambda each: errors[each][0])
    return quantile, errors[quantile][1]


def spread(logs: pd.Series) -> float:
    """The root mean square of decades, as a factor."""
    return float(10 ** np.sqrt((logs**2).mean()))


def report(table: pd.DataFrame) -> pd.DataFrame:
    """Print windows, predictions and their errors; give the table with the predictions."""
    for edge in ("low", "high"):
        quantile, shift = fitted(table, edge)
        table[f"{edge} predicted"] = 10 ** (table[quantile] + shift)
        constant = np.log10(table[table.data.isin(FITTED)][edge]).mean()
        print(f"{edge}: {10**shift:.2g} times the {100 * quantile:.0f} % quantile of break-even penalties")
        for names in (FITTED, (HELD_OUT,)):
            own = table[table.data.isin(names)]
            logs = np.log10(own[edge])
            off = spread(logs - np.log10(own[f"{edge} predicted"]))
            print(
                f"  {', '.join(names)}: off by a factor of {off:.2f}; "
                f"the same edge everywhere, {10**constant:.2g}: {spread(logs - constant):.2f}"
            )
    middle = 10 ** table[0.5]
    inside = (middle >= table.low / HALF_STEP) & (middle <= table.high * HALF_STEP)
    for names in (FITTED, (HELD_OUT,)):
        own = inside[table.data.isin(names)]
        print(f"the median is usable in {own.sum()} of {len(own)} curves of {', '.join(names)}")
    table["median"] = middle
    shown = [*KEY, "low", "low predicted", "median", "high", "high predicted"]
    print("\n| " + " | ".join(shown) + " |\n|" + " --- |" * len(shown))
    for row in table[shown].itertuples(index=False):
        print(
            "| " + " | ".join(f"{each:.2g}" if isinstance(each, float) else str(each) for each in row) + " |"
        )
    return table


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the windows as bars, with the predicted edges."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(table.data))
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.2 * len(names), 3.4), sharey=True, layout="constrained"
    )
    for axis, name in zip(axes, names, strict=True):
        own = table[table.data == name].reset_index(drop=True)
        for place, row in own.iterrows():
            # a usable penalty stands for half a step of the grid to both sides
            bar = [row.low / HALF_STEP, row.high * HALF_STEP]
            axis.plot(bar, [place, place], lw=6, color="#4477aa", solid_capstyle="butt")
            predicted = [row["low predicted"], row["high predicted"]]
            axis.plot(predicted, [place, place], "|", ms=13, mew=2, color="#cc3311")
            axis.plot(row["median"], place, "o", ms=4, color="#222222")
        axis.set(xscale="log", xlim=(PENALTIES[0], PENALTIES[-1]), title=name, xlabel="unactivation penalty")
        labels = [f"{row.width}, {row.form}, {row.activity}" for row in own.itertuples()]
        axis.set_yticks(range(len(own)), labels)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    title = "Usable window (bar), its predicted edges (red) and the median break-even penalty (dot)"
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("measure", "table"))
    parser.add_argument("--data", nargs="+", default=[*FITTED, HELD_OUT])
    parser.add_argument("--csv", type=Path, default=Path("penalty_window.csv"))
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    if options.part == "measure":
        measure(options.csv, options.data)
        return
    table = report(edges(read(options.csv)))
    if options.png:
        draw(table, options.png)


if __name__ == "__main__":
    main()
