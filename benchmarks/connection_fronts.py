"""The confirmed front of every rule for connections on digits, each from a search of its own.

A search of 200 trials for each rule, with the genes that `search_spaces/rewiring.yaml` has for it, the
surrogate sampler, seed 0. `cosine` is one rule; its knobs decide which of the published algorithms it is. The
control `dense` has genes for the widths in place of a density, so its front is that of small networks without
pruning. Each member of a front is then trained five times under fresh seeds
(`hebbevo.confirm`).

    python benchmarks/connection_fronts.py [--trials 200] [--csv connection_fronts.csv] [--picture PNG]

The script appends the members of each front to the file. A rule that is in the file is not searched again.
The table and the picture are made of the whole file.
"""

from __future__ import annotations

import argparse
import math
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
from hebbevo.rules import CONNECTIONS
from hebbevo.spec import Spec, read, spec_from_json

DENSE = "dense"
BUDGETS = (100, 200, 400, 1000, 3000)
BLUE, GREY = "#1f6fc4", "#8a919c"
WIDTHS = {
    "hidden.1": {"type": "int", "low": 1, "high": 128, "log": True},
    "hidden.2": {"type": "int", "low": 1, "high": 128, "log": True},
}
MEASURES = (
    "trial", "epoch", "found_accuracy", "found_survivors", "confirmed_accuracy", "confirmed_sd",
    "confirmed_survivors", "survivors_sd", "test_accuracy", "test_sd", "on_front",
)  # fmt: skip


def space_of(rule: str, seed: int) -> Spec:
    """The space `rewiring` for one rule, with the genes that this rule has."""
    plain = read("rewiring").to_json()
    genome: dict[str, dict[str, Any]] = plain["genome"]
    del genome["connections"]
    own = {name: gene for name, gene in genome.items() if rule in gene["when"].get("connections", [rule])}
    for gene in own.values():
        gene["when"] = {name: choices for name, choices in gene["when"].items() if name != "connections"}
    if rule == DENSE:
        own = WIDTHS | own
    plain["network"]["connections"] = "full" if rule == DENSE else rule
    plain["search"]["seed"] = seed
    return spec_from_json(plain | {"genome": own})


def members_of(rule: str, seed: int, trials: int) -> pd.DataFrame:
    """The members of the front that a search for one rule finds, confirmed."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        study = hebbevo.search(
            space_of(rule, seed), study=Path(folder) / "study.db", trials=trials, workers=1
        )
        found = hebbevo.confirm(study, workers=1)
        assert found.confirmation is not None
        members = found.confirmation.members()[list(MEASURES)]
        return members.assign(
            rule=rule,
            seed=seed,
            hypervolume=found.hypervolume(),
            confirmed_hypervolume=found.confirmation.hypervolume,
            seconds=round(time.process_time() - started, 1),
        )


def confirmed_front(members: pd.DataFrame) -> pd.DataFrame:
    """The members that no other one beats in confirmed figures, by connections."""
    return members[members.on_front].sort_values("confirmed_survivors")


def table(members: pd.DataFrame) -> str:
    """Hypervolumes of each rule, and its best confirmed accuracy with at most so many connections."""
    lines = []
    for rule, own in members.groupby("rule", sort=False):
        by_seed = own.groupby("seed")[["hypervolume", "confirmed_hypervolume"]].first().mean()
        cells = []
        for budget in BUDGETS:
            best = [
                front.confirmed_accuracy.max()
                for _, of_seed in own.groupby("seed")
                if len(front := of_seed[of_seed.confirmed_survivors <= budget])
            ]
            cells.append(f"{100 * sum(best) / len(best):.1f}" if best else "-")
        numbers = f"{by_seed.hypervolume:.4f} | {by_seed.confirmed_hypervolume:.4f}"
        lines.append((by_seed.confirmed_hypervolume, f"| {rule} | {numbers} | {' | '.join(cells)} |"))
    head = ["rule", "hypervolume found", "confirmed", *(f"at most {each:,}" for each in BUDGETS)]
    return "\n".join(
        [
            f"| {' | '.join(head)} |",
            f"|{' --- |' * len(head)}",
            *(text for _, text in sorted(lines, reverse=True)),
        ]
    )


def draw_front(panel: Axes, members: pd.DataFrame, rule: str) -> None:
    """Draw the front of a rule, the best of all rules in grey behind."""
    points = members[["confirmed_accuracy", "confirmed_survivors"]].to_numpy(float)
    joint, own = members.iloc[[*pareto.front(points)]], confirmed_front(members[members.rule == rule])
    for front, colour, width in ((joint, GREY, 3.0), (own, BLUE, 1.2)):
        x, y = front.confirmed_survivors, 100 * front.confirmed_accuracy
        panel.plot(x, y, drawstyle="steps-post", color=colour, linewidth=width)
    x, y, spread = own.confirmed_survivors, 100 * own.confirmed_accuracy, 100 * own.confirmed_sd
    panel.errorbar(x, y, spread, fmt="o", markersize=2.5, color=BLUE, elinewidth=0.8)
    panel.set_title(rule, fontsize=9)
    panel.set(xscale="log", xlim=(30, 6_000), ylim=(50, 100))
    panel.tick_params(labelsize=7)
    panel.grid(alpha=0.3)


def draw(members: pd.DataFrame, picture: Path) -> None:
    """Draw a panel for each rule, and each panel again as a picture of its own in a folder beside."""
    from matplotlib import pyplot

    matplotlib.use("Agg")
    rules = [rule for rule in (*CONNECTIONS, DENSE) if rule in set(members.rule)]
    columns = 4
    rows = math.ceil(len(rules) / columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(2.7 * columns, 2.1 * rows), sharex=True, sharey=True, layout="constrained"
    )
    for panel, rule in zip(panels.flat, rules, strict=False):
        draw_front(panel, members, rule)
    for panel in panels.flat[len(rules) :]:
        panel.set_visible(False)
    figure.supxlabel("connections left, mean of five trainings", fontsize=9)
    figure.supylabel("validation accuracy, %, mean and standard deviation", fontsize=9)
    figure.savefig(picture, dpi=150)
    folder = picture.with_suffix("")
    folder.mkdir(exist_ok=True)
    for rule in rules[:-1] if rules[-1] == DENSE else rules:
        figure, panel = pyplot.subplots(figsize=(4, 2.5), layout="constrained")
        draw_front(panel, members, rule)
        panel.set_xlabel("connections left", fontsize=8)
        panel.set_ylabel("validation accuracy, %", fontsize=8)
        figure.savefig(folder / f"{rule}.png", dpi=110)
        pyplot.close(figure)


def main() -> None:
    """Search for rules that are not in the file yet, then print and draw all."""
    rules = [name for name in CONNECTIONS if name != "full"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1, help="searches for each rule")
    parser.add_argument("--rules", nargs="+", default=[DENSE, *rules])
    parser.add_argument("--csv", type=Path, default=Path("connection_fronts.csv"))
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        for rule in options.rules:
            if options.csv.exists():
                known = pd.read_csv(options.csv)
                if ((known.rule == rule) & (known.seed == seed)).any():
                    continue
            members = members_of(rule, seed, options.trials)
            is_new = not options.csv.exists()
            members.to_csv(options.csv, mode="a", header=is_new, index=False, float_format="%.5g")
            print(rule, seed, f"{members.confirmed_hypervolume.iloc[0]:.4f}", flush=True)
    members = pd.read_csv(options.csv)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print(table(members))
    if options.picture is not None:
        draw(members, options.picture)


if __name__ == "__main__":
    main()
