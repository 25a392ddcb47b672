"""The front of every rule for units on digits, each from a search of its own.

A search of 100 trials for each rule, with the space of `search_spaces/units.yaml`: the genes that all rules
share and the rule's own, the surrogate sampler, seed 0. The control `dense` has a gene for each width in
place of a target, so its front is that of small networks that are never pruned. Accuracies are those of the
269 validation rows, by which the front was chosen, so they flatter.

    python benchmarks/unit_fronts.py [--trials 100] [--csv unit_fronts.csv] [--picture unit_fronts.png]

A rule that is in the file is not searched again. The picture and the lines of the gallery are made of the
whole file.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch
from matplotlib.axes import Axes
from throughput import processor

import hebbevo
from hebbevo.objectives import pareto
from hebbevo.rules import UNITS
from hebbevo.spec import Spec, read, spec_from_json

ACCURACIES = (0.95, 0.98)
BLUE, GREY = "#1f6fc4", "#8a919c"
WIDTHS = {
    "hidden.1": {"type": "int", "low": 4, "high": 120, "log": True},
    "hidden.2": {"type": "int", "low": 2, "high": 60, "log": True},
}


def space_of(rule: str) -> Spec:
    """The space `units` for one rule, with the genes that this rule has."""
    plain = read("units").to_json()
    genome: dict[str, dict[str, Any]] = plain["genome"]
    del genome["units"]
    own = {name: gene for name, gene in genome.items() if rule in gene["when"].get("units", [rule])}
    for gene in own.values():
        gene["when"] = {}
    plain["network"]["units"] = rule
    if not UNITS[rule].prunes:
        known = {name: own[name] for name in ("learning_rate", "weight_decay")}
        own = {**WIDTHS, **known}
        del plain["network"]["settings"]["schedule"]
    return spec_from_json(plain | {"genome": own})


def front_of(rule: str, trials: int) -> pd.DataFrame:
    """The front that a search for one rule finds, by survivors."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        study = hebbevo.search(space_of(rule), study=Path(folder) / "study.db", trials=trials, workers=1)
        seconds = time.process_time() - started
        front = study.front()[["survivors", "accuracy"]].astype({"survivors": int})
    return front.sort_values("survivors").assign(rule=rule, seconds=round(seconds, 1))


def line(rule: str, front: pd.DataFrame) -> str:
    """The front of a rule in numbers, for the gallery."""
    best = front.loc[front.accuracy.idxmax()]
    points = {f"{each:.0%}": front[front.accuracy >= each].survivors.min() for each in ACCURACIES}
    points[f"{best.accuracy:.1%}"] = best.survivors
    cells = [f"{accuracy[:-1]} % with {left:.0f}" for accuracy, left in points.items() if left == left]
    return f"| {rule} | {', '.join(cells)} |"


def draw(fronts: pd.DataFrame, picture: Path) -> None:
    """Draw a panel for each rule, the best of all rules in grey behind."""
    from matplotlib import pyplot

    matplotlib.use("Agg")
    points = fronts[["accuracy", "survivors"]].to_numpy(float)
    joint = fronts.iloc[[*pareto.front(points)]]
    rules = [rule for rule in UNITS if rule in set(fronts.rule)]
    columns = 5
    rows = -(-len(rules) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(2.2 * columns, 1.9 * rows), sharex=True, sharey=True, layout="constrained"
    )
    for panel, rule in zip(panels.flat, rules, strict=False):
        steps(panel, joint, GREY, 3)
        steps(panel, fronts[fronts.rule == rule], BLUE, 1.5)
        panel.set_title(rule, fontsize=9)
        panel.set(xscale="log", xlim=(5, 200), ylim=(70, 100))
        panel.set_xticks([6, 12, 25, 50, 100], ["6", "12", "25", "50", "100"], fontsize=7)
        panel.set_xticks([], minor=True)
        panel.tick_params(axis="y", labelsize=7)
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(rules) :]:
        panel.set_visible(False)
    for panel in panels.flat[: len(rules)][-columns:]:
        panel.tick_params(axis="x", labelbottom=True)
    figure.supxlabel("neurons left", fontsize=9)
    figure.supylabel("validation accuracy, %", fontsize=9)
    figure.savefig(picture, dpi=150)


def steps(panel: Axes, front: pd.DataFrame, colour: str, width: float) -> None:
    """Draw a front as the best accuracy with at most so many neurons."""
    front = front.sort_values("survivors")
    x, y = [*front.survivors, 200], [*front.accuracy * 100, front.accuracy.max() * 100]
    panel.step(x, y, where="post", color=colour, linewidth=width)


def main() -> None:
    """Search for rules that are not in the file yet, then print and draw all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rules", nargs="+", default=list(UNITS))
    parser.add_argument("--csv", type=Path, default=Path("unit_fronts.csv"))
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for rule in options.rules:
        if options.csv.exists() and rule in set(pd.read_csv(options.csv).rule):
            continue
        front = front_of(rule, options.trials)[["rule", "survivors", "accuracy", "seconds"]]
        front.to_csv(options.csv, mode="a", header=not options.csv.exists(), index=False, float_format="%.4f")
        print(line(rule, front), flush=True)
    fronts = pd.read_csv(options.csv)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| rule | neurons left |\n| --- | --- |")
    for rule, front in fronts.groupby("rule", sort=False):
        print(line(str(rule), front))
    if options.picture is not None:
        draw(fronts, options.picture)


if __name__ == "__main__":
    main()
