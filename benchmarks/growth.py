"""How the cost of hebbevo grows: with the population, the width, the part that survives, and the trials.

Searches of `search_spaces/stamina.yaml` on digits with two hidden layers, every training at full length. Each
search is a fresh process, and each repeat does all searches in turn. Clocks are those of `throughput.py`.

- population: seconds a trial over one generation or more. A small population leaves workers without work.
- width: of both hidden layers; beside it the plain loop at its best (`throughput.py`).
- survivors: nets that have a part of their neurons from the start to the end (``initial_neurons``, without
  pruning and regrowth). This shows what is saved by computing with living neurons only.
- trials: the driver alone (loop, sampler, record) over the 200 simulated workers of `simulated_cluster.py`.
  Given are milliseconds of CPU a trial (in all, over the last tenth, of sampler and record), its memory and
  its file.

    python benchmarks/growth.py run --save FILE.json --out growth.png
        [--only population,width,survivors,trials] [--repeats 2]
    python benchmarks/growth.py table FILE.json --out growth.png

``run`` skips what is already in the file. It prints the Markdown tables and draws the picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import throughput
from throughput import CONTEXT, CORES, machine, markdown, spread

POPULATIONS = (8, 32, 128, 512)
WIDTHS = (32, 64, 128, 256, 512)
SURVIVORS = (1.0, 0.5, 0.25, 0.1, 0.05)
TRIALS = (100, 1_000, 10_000)
FEWEST, PLAIN_TRIALS, WIDE = 100, 12, 256  # trials of a search; width of the nets with fewer survivors
PRETENDED_WORKERS, LIMIT = 200, 300.0


def a_trial(change: Callable[[dict[str, Any]], None], trials: int, seed: int) -> float:
    """Seconds a trial of a search whose space file was changed by ``change``."""
    from plain_net import Job

    from hebbevo.spec import spec_from_json

    plain = throughput.spec_of(Job(seed=seed)).to_json()
    change(plain)
    begun, moments, _ = throughput.search(spec_from_json(plain), trials, halving=False)
    return (next(when for done, when in moments if done >= trials) - begun) / trials


def of_population(size: int, seed: int) -> dict[str, float]:
    def change(plain: dict[str, Any]) -> None:
        plain["search"]["population"] = size

    return {"s a trial": a_trial(change, max(size, FEWEST), seed)}


def of_width(width: int, seed: int) -> dict[str, float]:
    from plain_net import Job

    def change(plain: dict[str, Any]) -> None:
        plain["network"]["hidden"] = [width, width]

    job = Job(hidden=(width, width), seed=seed)
    _, rows = throughput.plain_memory(job, PLAIN_TRIALS, CORES, 1, False)
    return {
        "s a trial": a_trial(change, FEWEST, seed),
        "plain loop, s a trial": rows[-1]["at"] / PLAIN_TRIALS,
    }


def of_survivors(part: float, seed: int) -> dict[str, float]:
    def change(plain: dict[str, Any]) -> None:
        plain["network"]["hidden"] = [WIDE, WIDE]
        plain["network"]["settings"] |= {"initial_neurons": part, "max_deaths": 0.0, "regrowth_rate": 0.0}
        del plain["genome"]["regrowth_rate"]

    return {"s a trial": a_trial(change, FEWEST, seed)}


def of_trials(trials: int, seed: int) -> dict[str, float]:
    import simulated_cluster

    from hebbevo.spec import override

    with tempfile.TemporaryDirectory() as folder:
        spec = override(simulated_cluster.study("surrogate", PRETENDED_WORKERS, 1, trials), seed=seed)
        return simulated_cluster.measure(Path(folder) / "study.db", spec, PRETENDED_WORKERS, LIMIT)


PARTS: dict[str, tuple[Callable[[Any, int], dict[str, float]], tuple[float, ...]]] = {
    "population": (of_population, POPULATIONS),
    "width": (of_width, WIDTHS),
    "survivors": (of_survivors, SURVIVORS),
    "trials": (of_trials, TRIALS),
}
SHOWN = {
    "population": {"s a trial": ".4f"},
    "width": {"s a trial": ".4f", "plain loop, s a trial": ".4f"},
    "survivors": {"s a trial": ".4f"},
    "trials": {
        "CPU ms": ".2f",
        "last": ".2f",
        "ask, tell": ".2f",
        "record": ".2f",
        "MB": ".1f",
        "file MB": ".1f",
    },
}
"""The columns that are shown of each part, with their number formats."""
PANELS = (
    ("population", "seconds a trial", {"": "s a trial"}),
    ("width", "seconds a trial", {"hebbevo": "s a trial", "plain loop": "plain loop, s a trial"}),
    ("survivors", "seconds a trial", {"": "s a trial"}),
    ("trials", "driver, CPU ms a trial", {"": "CPU ms"}),
    ("trials", "driver, MB more than at its start", {"": "MB"}),
)
"""The panels of the picture: part, label of the axis, and the lines."""


def fresh(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do ``work`` in a process of its own."""
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        return pool.submit(work, *arguments).result()


def run(parts: list[str], repeats: int, path: Path) -> None:
    """Measure what is not in the file yet."""
    record = read(path)
    there = {(each["part"], each["value"], each["seed"]) for each in record["runs"]}
    cells = [
        (part, value, seed)
        for seed in range(repeats)  # in turn, so that a slow minute of the machine affects all cells
        for part in parts
        for value in PARTS[part][1]
    ]
    for part, value, seed in cells:
        if (part, value, seed) in there:
            continue
        found = fresh(PARTS[part][0], value, seed)
        record["runs"].append({"part": part, "value": value, "seed": seed, **found})
        path.write_text(json.dumps(record))
        told = ", ".join(f"{name} {found[name]:{form}}" for name, form in SHOWN[part].items())
        print(f"{part} {value:g}, {seed}: {told}", file=sys.stderr, flush=True)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"machine": machine(), "runs": []}


def gathered(record: dict[str, Any], part: str) -> dict[float, list[dict[str, float]]]:
    """The runs of a part by their value."""
    by_value = {value: [] for value in PARTS[part][1]}
    for each in record["runs"]:
        if each["part"] == part:
            by_value.setdefault(each["value"], []).append(each)
    return {value: runs for value, runs in by_value.items() if runs}


def tables(record: dict[str, Any]) -> str:
    """All parts as Markdown tables."""
    texts = [f"{record['machine']}; median (smallest to largest)"]
    for part, columns in SHOWN.items():
        if by_value := gathered(record, part):
            lines = [
                [
                    named(part, value),
                    *(spread([run[name] for run in runs], form) for name, form in columns.items()),
                ]
                for value, runs in by_value.items()
            ]
            texts.append(markdown([part, *columns], lines))
    return "\n\n".join(texts)


def named(part: str, value: float) -> str:
    return f"{value:.0%}" if part == "survivors" else f"{value:,.0f}"


def draw(record: dict[str, Any], out: Path) -> None:
    """Draw a panel for each of `PANELS` of which there are runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    drawn = [panel for panel in PANELS if gathered(record, panel[0])]
    figure, axes = pyplot.subplots(
        1, len(drawn), figsize=(3.2 * len(drawn), 3.2), layout="constrained", squeeze=False
    )
    for panel, (part, unit, lines) in zip(axes[0], drawn, strict=True):
        by_value = gathered(record, part)
        for label, name in lines.items():
            middles = [statistics.median(run[name] for run in runs) for runs in by_value.values()]
            panel.plot(list(by_value), middles, marker="o", label=label)
        panel.set(xscale="log", xlabel=part, ylabel=unit)
        if len(lines) > 1:
            panel.set_yscale("log")
            panel.legend()
        else:
            panel.set_ylim(bottom=0)
        panel.set_xticks(list(by_value), [named(part, value) for value in by_value])
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    figure.savefig(out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="measure what is not in FILE yet, print tables and draw")
    command.add_argument("--save", type=Path, required=True, metavar="FILE")
    command.add_argument("--only", default=",".join(PARTS))
    command.add_argument("--repeats", type=int, default=2)
    command.add_argument("--out", type=Path, required=True, metavar="PICTURE")
    command = commands.add_parser("table", help="print the tables of FILE and draw them")
    command.add_argument("save", type=Path, metavar="FILE")
    command.add_argument("--out", type=Path, metavar="PICTURE")
    options = parser.parse_args()
    if options.command == "run":
        run(options.only.split(","), options.repeats, options.save)
    record = read(options.save)
    print(tables(record))
    if options.out:
        draw(record, options.out)


if __name__ == "__main__":
    main()
