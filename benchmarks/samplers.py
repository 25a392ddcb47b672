"""Which sampler finds most on known fronts and on the real job, and what each sampler costs.

    python benchmarks/samplers.py known --out known.jsonl [--seeds 10]
    python benchmarks/samplers.py real --out real.jsonl [--seeds 10] [--engine native] [--trials 300]
    python benchmarks/samplers.py time [--samplers surrogate]
    python benchmarks/samplers.py table known.jsonl real.jsonl

Every cell is a line of the output file. Cells that are already there are skipped, so that a stopped run can
be continued. hebbevo's samplers and Optuna's own have the same driver, the same trainings and the same
seeds. Settings may follow a sampler's name: ``--samplers "surrogate,surrogate model_generations=60"``. With
``--patience`` below 1, trials whose networks lose no neuron are stopped (`pruning_patience`).

Hypervolumes of known fronts are parts of the true front's; the reference point is the 95 % quantile of
20,000 random points. Hypervolumes of the real job are those of `hebbevo.objectives.pareto.hypervolume`,
with chance accuracy and all neurons as the reference. A front is trained again from ten fresh seeds
(weights, random events, order of minibatches), and means are taken.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

import moocore
import numpy as np
import optuna
import pandas as pd
import torch
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions
from scipy.stats import t as student

from hebbevo.objectives import pareto
from hebbevo.outer.preflight import prepare
from hebbevo.outer.training_inputs import recipe_of, split_of
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space import ChoiceGene, FloatGene, Genome, IntGene, Space
from hebbevo.spec import override, read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training import Candidate, train
from hebbevo.training.recipe import ENGINES, Measurement
from hebbevo.training.trial_details import TrialDetails

TRIALS, GENERATION, COHORT, FRESH_SEEDS = 500, 50, 25, 10
PROBLEMS = ("zdt1", "zdt2", "zdt3", "zdt4", "zdt6", "dtlz2")
OURS = ("surrogate", "ga", "cmaes", "annealing")
MARKS = (100, 250, 500)
COSTED = (100, 1_000, 10_000)

Losses = Callable[[list[Genome]], list[tuple[float, ...] | None]]


class Stock:
    """A sampler of Optuna with its own defaults, without hebbevo's adapter."""

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler,
        space: Space,
        objectives: int,
        storage: str | None = None,
    ) -> None:
        self.space = space
        directions = ["minimize"] * objectives
        self.study = optuna.create_study(directions=directions, sampler=sampler, storage=storage)
        self.trials: list[optuna.Trial] = []

    def ask(self, n: int, progress: float) -> list[Genome]:
        """Suggest every gene of ``n`` trials."""
        self.trials = [self.study.ask() for _ in range(n)]
        return [{gene.name: _suggest(trial, gene) for gene in self.space.genes} for trial in self.trials]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Tell Optuna the outcomes of the trials that were asked last."""
        for trial, outcome in zip(self.trials, outcomes, strict=True):
            if outcome.losses is None:
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self.study.tell(trial, outcome.losses)


STOCK: dict[str, tuple[Callable[[int], optuna.samplers.BaseSampler], int]] = {
    "Optuna random": (lambda seed: optuna.samplers.RandomSampler(seed=seed), GENERATION),
    "Optuna NSGA-II": (lambda seed: optuna.samplers.NSGAIISampler(seed=seed), GENERATION),
    "Optuna TPE": (lambda seed: optuna.samplers.TPESampler(seed=seed), 1),
}
"""Optuna's samplers, and how many trials are asked at a time; the first two give the same for any number."""


def _suggest(trial: optuna.Trial, gene: FloatGene | IntGene | ChoiceGene) -> float | int | str | bool:
    if isinstance(gene, ChoiceGene):
        return trial.suggest_categorical(gene.name, gene.choices)
    if isinstance(gene, IntGene):
        return trial.suggest_int(gene.name, gene.low, gene.high, step=gene.step, log=gene.log)
    return trial.suggest_float(gene.name, gene.low, gene.high, log=gene.log)


def run(
    name: str, space: Space, objectives: int, seed: int, losses: Losses, trials: int
) -> tuple[list[Genome], list[tuple[float, ...] | None], float]:
    """Search to this number of trials; return all genomes, their losses and the sampler's CPU seconds."""
    if name in STOCK:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        make, size = STOCK[name]
        sampler = Stock(make(seed), space, objectives)
    else:
        kind, *given = name.split()
        settings = {key: json.loads(value) for key, _, value in (each.partition("=") for each in given)}
        sampler, size = SAMPLERS[kind](space, seed, settings, objectives), GENERATION
    genomes: list[Genome] = []
    found: list[tuple[float, ...] | None] = []
    seconds = 0.0
    while len(found) < trials:
        started = time.process_time()
        asked = sampler.ask(size, len(found) / trials)
        seconds += time.process_time() - started
        scored = losses(asked)
        started = time.process_time()
        sampler.tell([Outcome(*pair) for pair in zip(asked, scored, strict=True)])
        seconds += time.process_time() - started
        genomes += asked
        found += scored
    return genomes, found, seconds


@dataclass(frozen=True)
class Job:
    """A cell: a sampler's search of one task from one seed."""

    part: str
    task: str
    sampler: str
    seed: int
    trials: int = TRIALS
    engine: str = "pytorch"
    patience: float = 1.0


def marks(trials: int) -> list[int]:
    """The numbers of trials after which hypervolumes are taken."""
    return [*(mark for mark in MARKS if mark < trials), trials]


# --- known fronts ---


def known(job: Job) -> dict[str, float]:
    problem_name, trials = job.task, job.trials
    problem = get_problem(problem_name)
    names = [f"x{axis:02d}" for axis in range(problem.n_var)]
    bounds = zip(names, problem.xl, problem.xu, strict=True)
    space = Space(tuple(FloatGene(axis, float(low), float(high)) for axis, low, high in bounds))

    def losses(genomes: list[Genome]) -> list[tuple[float, ...] | None]:
        points = np.array([[genome[axis] for axis in names] for genome in genomes])
        return [tuple(map(float, row)) for row in problem.evaluate(points)]

    _, found, seconds = run(job.sampler, space, problem.n_obj, job.seed, losses, trials)
    points = np.array(found)
    reference, front, volume = _truth(problem_name)
    return {
        "igd+": float(moocore.igd_plus(points, front)),
        "seconds": seconds,
        **{
            f"hv {mark}": moocore.hypervolume(points[:mark], ref=reference) / volume for mark in marks(trials)
        },
    }


@cache
def _truth(problem_name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Reference point, true front and its hypervolume."""
    problem = get_problem(problem_name)
    points = np.random.default_rng(0).random((20_000, problem.n_var))
    losses = problem.evaluate(problem.xl + (problem.xu - problem.xl) * points)
    reference = np.quantile(losses, 0.95, axis=0)
    arguments = [get_reference_directions("das-dennis", 3, n_partitions=40)] if problem.n_obj == 3 else []
    front = problem.pareto_front(*arguments)
    return reference, front, moocore.hypervolume(front, ref=reference)


# --- the real job ---


def real(job: Job) -> dict[str, float]:
    torch.set_num_threads(1)
    trials, seed = job.trials, job.seed
    spec = override(read(job.task), seed=seed, engine=job.engine)
    with tempfile.TemporaryDirectory() as folder:
        split, facts = prepare(spec, "cpu", workers=2)
        with Ledger.create(Path(folder, "study.db"), spec, facts) as book:
            recipe, split = recipe_of(book), split_of(book)

    measured: list[Measurement] = []
    training = 0.0

    def trained(genomes: list[Genome], seed: int, patience: float) -> list[Measurement]:
        return [
            measurement
            for first in range(0, len(genomes), COHORT)
            for measurement in train(
                replace(recipe, seed=seed),
                [Candidate(genome) for genome in genomes[first : first + COHORT]],
                split,
                torch.device("cpu"),
                pruning_patience=patience,
            )
        ]

    def losses(genomes: list[Genome]) -> list[tuple[float, ...] | None]:
        nonlocal training
        started = time.process_time()
        new = trained(genomes, seed, job.patience)
        training += time.process_time() - started
        measured.extend(new)
        reached = map(_reached, new)
        return [values and (-values[0], values[1]) for values in reached]

    def volume(points: np.ndarray) -> float:
        return pareto.hypervolume(points, facts.chance, facts.neurons)

    genomes, _, seconds = run(job.sampler, spec.space, 2, seed, losses, trials)
    nothing = np.nan, np.nan
    points = np.array([(not each.stopped and _reached(each)) or nothing for each in measured])
    front = [row for row in pareto.front(points) if points[row][0] > facts.chance]
    again = np.array(
        [
            [_reached(each) or nothing for each in trained([genomes[row] for row in front], fresh, 1.0)]
            for fresh in range(1000 + seed, 1000 + seed + FRESH_SEEDS)
        ]
    )
    return {
        "front": len(front),
        "failed": sum(each.failure is not None for each in measured),
        "stopped": sum(each.stopped for each in measured),
        "epochs": sum(len(each.accuracy) for each in measured) / spec.task.epochs,
        "training": training,
        "hv again": volume(np.nanmean(again, axis=0)),
        "seconds": seconds,
        **{f"hv {mark}": volume(points[:mark]) for mark in marks(trials)},
        "history": [volume(points[:mark]) for mark in range(GENERATION, trials + 1, GENERATION)],
    }


def _reached(measured: Measurement) -> tuple[float, float] | None:
    """Accuracy and survivors after the last epoch of a training, if it did not fail."""
    return None if measured.failure else (measured.accuracy[-1], float(measured.survivors[-1]))


# --- what a sampler costs ---


def times(names: Sequence[str]) -> pd.DataFrame:
    """Milliseconds a trial in the ten generations before each mark, without and with the SQLite record.

    They are CPU time of the sampler, and wall time of the record and of Optuna, which waits for its database.
    """
    spec = read("stamina")
    rows = {}
    for name in [name for name in names if name not in STOCK]:
        sampler = SAMPLERS[name](spec.space, 0, {}, 2)
        asking, recording = [], []
        with (
            tempfile.TemporaryDirectory() as folder,
            Ledger.create(
                Path(folder, "study.db"), spec, StudyFacts(versions={}, neurons=256, chance=0.1)
            ) as book,
        ):
            for generation in range(COSTED[-1] // GENERATION):
                progress = generation * GENERATION / COSTED[-1]
                started = time.process_time()
                asked = sampler.ask(GENERATION, progress)
                told = [Outcome(genome, _made_up(genome)) for genome in asked]
                sampler.tell(told)
                asking.append(time.process_time() - started)
                done = time.perf_counter()
                records = book.open_generation(generation, COSTED[-1], progress, asked)
                values = [(-outcome.losses[0], outcome.losses[1]) for outcome in told if outcome.losses]
                results = [
                    Result(each.number, pair, TrialDetails())
                    for each, pair in zip(records, values, strict=True)
                ]
                for first in range(0, GENERATION, COHORT):
                    book.close_cohort(results[first : first + COHORT])
                recording.append(time.perf_counter() - done)
        rows[name] = _before(asking)
        rows[f"{name}, and the record"] = _before([a + b for a, b in zip(asking, recording, strict=True)])
    if "Optuna NSGA-II" in names:
        rows["Optuna NSGA-II on SQLite"] = _before(_stock_times(spec.space))
    return pd.DataFrame.from_dict(rows, orient="index", columns=[f"at {mark:,}" for mark in COSTED])


def _stock_times(space: Space) -> list[float]:
    """Seconds for each generation of Optuna's NSGA-II on SQLite; the last mark would take too long."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        sampler = Stock(
            STOCK["Optuna NSGA-II"][0](0), space, 2, storage=f"sqlite:///{Path(folder, 'study.db')}"
        )
        for _ in range(COSTED[-2] // GENERATION):
            started = time.perf_counter()
            asked = sampler.ask(GENERATION, 0.0)
            sampler.tell([Outcome(genome, _made_up(genome)) for genome in asked])
            spent.append(time.perf_counter() - started)
    return spent


def _before(seconds: Sequence[float]) -> list[float]:
    """Milliseconds a trial in the ten generations before each mark that was reached."""
    ends = [mark // GENERATION for mark in COSTED]
    return [
        1000 * float(np.mean(seconds[max(0, end - 10) : end])) / GENERATION if end <= len(seconds) else np.nan
        for end in ends
    ]


def _made_up(genome: Genome) -> tuple[float, float]:
    """Two conflicting losses that depend on the genome, with pseudo-random noise."""
    noise = hash(tuple(genome.values())) % 1000 / 1e4
    penalty, threshold = np.log10(genome["unactivation_penalty"]), genome["hebbian_threshold"]
    return abs(penalty - 1) + genome["regrowth_rate"] + noise, abs(penalty + 1) + threshold**2


# --- running and printing ---


def _cell(job: Job) -> dict[str, object]:
    figures = {"known": known, "real": real}[job.part]
    return {**asdict(job), **figures(job)}


def fill(jobs: Sequence[Job], workers: int, out: Path) -> None:
    """Run every cell that is not in the file yet."""
    keys = [each.name for each in fields(Job)]
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    there = {Job(**{key: line[key] for key in keys if key in line}) for line in lines}
    with ProcessPoolExecutor(workers) as pool, out.open("a") as file:
        waiting = [pool.submit(_cell, job) for job in jobs if job not in there]
        for done in as_completed(waiting):
            file.write(json.dumps(done.result()) + "\n")
            file.flush()


def table(cells: pd.DataFrame) -> str:
    """Means and standard deviations over seeds, and the lead of the first sampler, with 95 % intervals."""
    cells = cells.fillna({"trials": TRIALS, "engine": Job.engine, "patience": Job.patience})
    impatient = cells.patience < Job.patience
    cells.loc[impatient, "sampler"] += ", patience " + cells.patience[impatient].astype(str)
    return "\n\n".join(
        _task_table(f"{task}, {trials:.0f} trials, {engine}", rows, int(trials))
        for (task, trials, engine), rows in cells.groupby(["task", "trials", "engine"], sort=False)
    )


def _task_table(title: str, rows: pd.DataFrame, trials: int) -> str:
    last = f"hv {trials}"
    signs = {last: 1, "hv again": 1} if rows.part.iloc[0] == "real" else {last: 1, "igd+": -1}
    figures = list(dict.fromkeys([*(f"hv {mark}" for mark in marks(trials)), *signs, "seconds"]))
    known_order = {name: place for place, name in enumerate((*OURS, *STOCK))}
    names = sorted(rows.sampler.unique(), key=lambda name: (known_order.get(name, len(known_order)), name))
    first = rows[rows.sampler == names[0]].set_index("seed")
    words = [f"{names[0]}: {'more' if sign > 0 else 'less'} {figure}" for figure, sign in signs.items()]
    header = ["sampler", "seeds", *figures, *words]
    lines = [f"**{title}**", "", _row(header), _row(["---"] * len(header))]
    for name in names:
        mine = rows[rows.sampler == name].set_index("seed")
        shown = [f"{mine[figure].mean():.4f} ± {mine[figure].std():.4f}" for figure in figures]
        leads = [_lead(sign * (first[figure] - mine[figure])) for figure, sign in signs.items()]
        lines.append(_row([name, str(len(mine)), *shown, *(leads if name != names[0] else ["", ""])]))
    stock = rows[rows.sampler == "Optuna NSGA-II"].set_index("seed")
    if trials == TRIALS and len(early := (first[f"hv {MARKS[1]}"] - stock.get(last, np.nan)).dropna()):
        lines += [
            "",
            f"{names[0]} after {MARKS[1]} trials less Optuna NSGA-II after {TRIALS}: {_lead(early)}; "
            f"more in {(early >= 0).sum()} of {len(early)} seeds.",
        ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _lead(differences: pd.Series) -> str:
    differences = differences.dropna()
    if len(differences) < 2:
        return ""
    half = student.ppf(0.975, len(differences) - 1) * differences.std() / len(differences) ** 0.5
    return f"{differences.mean():+.4f} ({differences.mean() - half:+.4f} to {differences.mean() + half:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for part in ("known", "real"):
        command = commands.add_parser(part)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--seeds", type=int, default=10)
        command.add_argument("--samplers", default=",".join((*OURS, *STOCK)))
        command.add_argument("--workers", type=int, default=2)
        command.add_argument("--tasks", default=",".join(PROBLEMS) if part == "known" else "stamina")
        command.add_argument("--trials", type=int, default=TRIALS)
        command.add_argument("--patience", type=float, default=Job.patience)
        command.add_argument("--engine", choices=ENGINES, default=Job.engine)
    commands.add_parser("time").add_argument("--samplers", default=",".join((*OURS, *STOCK)))
    commands.add_parser("table").add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "time":
        print(times(options.samplers.split(",")).to_string(float_format="{:.2f}".format, na_rep=""))
    elif options.command == "table":
        lines = [json.loads(line) for file in options.files for line in file.read_text().splitlines()]
        print(table(pd.DataFrame(lines)))
    else:
        names, tasks = options.samplers.split(","), options.tasks.split(",")
        jobs = [
            Job(options.command, task, name, seed, options.trials, options.engine, options.patience)
            for seed in range(options.seeds)
            for task in tasks
            for name in names
        ]
        fill(jobs, options.workers, options.out)


if __name__ == "__main__":
    main()
