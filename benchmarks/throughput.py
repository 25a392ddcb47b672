"""The scoreboard: hebbevo beside the loop one would write without it and beside Ray Tune, in one run.

Contestants, all on the same job, split and seed (``--only`` takes letters or names):

    a  the plain loop: Optuna's NSGA-II over one ordinary PyTorch net at a time (`plain_net.py`: the rule by
       hand, AdamW fused), with every number of processes x threads that fills the machine.

       Its study is in an SQLite file that its processes share, or in the memory of one process that asks,
       tells and dispatches. The fastest of all these counts.
    b  Ray Tune at its best (`tune_peer.py`), a worker a core.
    c  hebbevo without options, by its native engine: every training at full length.
    d  The same with early stopping (``--halving``).
    e  The same as c with bfloat16 (only run if asked for).
    g  The same as c by stacks in PyTorch, in worker processes (only run if asked for).
    f  The plain loop at its best over dense nets without any rule (only run if asked for).
       It shows what the arithmetic alone costs one net at a time.
    j  The same study in JAX (`jax_peer.py`): nets side by side, compiled, a process a core (needs the extra
       "benchmarks"; only run if asked for).

Every run is a fresh process, and a repeat is one run of each, in turn; repeat r has the seed r. Clocks
start when the workers are ready: those of the plain loop wait for each other, Tune's have all reported a
trial, and hebbevo's first worker takes its first cohort. The time before is start-up. Memory is the most
that the process and all below it held together (PSS, measured twice a second).

Arithmetic is counted from the shapes of whole nets: 2 operations for each weight and row forward, 4
backward (2 in the first layer), and validation, forward. Its floor is the time it would take at the speed
of large matrix products, one process a core, measured before every repeat.

Hypervolumes are those of final values. The target is what the front of the best plain loop has after all its
trials. "Times as soon" compares with the moment at which that loop itself first had it. "Trained again" means
that every genome of a front is trained from three fresh seeds, by hebbevo at full length, and that the
hypervolume is that of the means. This is done for the front after every generation of 50, when the clocks
have stopped. The time is that of the first generation whose front then has the target. The last column is the
time of the first generation after which no later front falls below it.

A second job is MNIST, 784-300-100, with few trials of few epochs, to measure speed only. It needs
HEBBEVO_DATA.

    python benchmarks/throughput.py run --save FILE.json [--jobs digits,mnist] [--only a,b,c,d,g,j]
        [--repeats 5] [--trials 500] [--mnist-trials 20] [--mnist-epochs 3]
    python benchmarks/throughput.py retrain FILE.json
    python benchmarks/throughput.py table FILE.json [FILE.json ...]

``run`` skips what is already in the file, so that a stopped run can be continued, and ends with ``retrain``
and ``table``.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, as_completed, wait
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the time of a contestant's imports is part of its start-up
    from plain_net import Job

    from hebbevo.spec import Spec
    from hebbevo.study.view import Study

CORES = os.cpu_count() or 1
GENERATION, FRESH_SEEDS, CHUNK = 50, 3, 25
PEAK_SIZES, PEAK_SECONDS = (512, 1024, 2048), 0.5
DTYPES = ("float32", "bfloat16")
CONTEXT = multiprocessing.get_context("spawn")

Row = dict[str, Any]
"""A trial: its genome, accuracy and survivors, and ``at``, the seconds after which these were known."""


# --- the plain loop ---


def sampler(seed: int):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.samplers.NSGAIISampler(seed=seed)


def sqlite_worker(storage: str, job: Job, number: int, trials: int, way: tuple, ready, go) -> None:
    """Take trials from a shared study until there are enough of them."""
    import optuna
    import plain_net
    import torch

    processes, threads, dense = way
    torch.set_num_threads(threads)
    torch.manual_seed(CORES * job.seed + number)
    plain_net.get_ready(job)
    study = optuna.load_study(study_name="plain", storage=storage, sampler=sampler(CORES * job.seed + number))

    def objective(trial: optuna.Trial) -> tuple[float, int]:
        return plain_net.train(plain_net.suggest(trial), job, threads, dense)

    def enough(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number >= trials - processes:  # each process still trains one of the last
            study.stop()

    ready.release()
    go.wait()
    study.optimize(objective, callbacks=[enough])


def plain_sqlite(job: Job, trials: int, processes: int, threads: int, dense: bool) -> tuple[float, list[Row]]:
    """The plain loop in processes that share an SQLite study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/plain.db"
        study = optuna.create_study(study_name="plain", storage=storage, directions=["maximize", "minimize"])
        ready, go = CONTEXT.Semaphore(0), CONTEXT.Event()
        way = (processes, threads, dense)
        workers = [
            CONTEXT.Process(target=sqlite_worker, args=(storage, job, number, trials, way, ready, go))
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        for _ in workers:
            ready.acquire()
        begun, clock = time.monotonic(), time.time()
        go.set()
        for worker in workers:
            worker.join()
        rows = [
            {
                "at": trial.datetime_complete.timestamp() - clock,
                "accuracy": trial.values[0],
                "survivors": trial.values[1],
                "genome": trial.params,
            }
            for trial in study.get_trials(deepcopy=False)
        ]
    return begun, rows


def memory_worker(job: Job, seeds, barrier) -> None:
    """Get ready, as one process of a pool."""
    import plain_net
    import torch

    torch.manual_seed(seeds.get())
    plain_net.get_ready(job)
    barrier.wait()


def plain_memory(job: Job, trials: int, processes: int, threads: int, dense: bool) -> tuple[float, list[Row]]:
    """The plain loop over a study in memory: one process asks and tells, and the others, if any, train."""
    import optuna
    import plain_net
    import torch

    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(job.seed))
    rows: list[Row] = []
    if processes == 1:
        torch.manual_seed(job.seed)
        plain_net.get_ready(job)
        begun = time.monotonic()
        for _ in range(trials):
            trial = study.ask()
            values = plain_net.train(plain_net.suggest(trial), job, threads, dense)
            study.tell(trial, values)
            rows.append(row(time.monotonic() - begun, *values, trial.params))
        return begun, rows

    barrier, seeds = CONTEXT.Barrier(processes + 1), CONTEXT.Queue()
    for number in range(processes):
        seeds.put(CORES * job.seed + number)
    with ProcessPoolExecutor(processes, CONTEXT, memory_worker, (job, seeds, barrier)) as pool:
        for _ in range(processes):
            pool.submit(os.getpid)  # this starts a process
        barrier.wait(300)
        begun = time.monotonic()
        running = {}

        def ask() -> None:
            trial = study.ask()
            config = plain_net.suggest(trial)
            running[pool.submit(plain_net.train, config, job, threads, dense)] = trial

        asked = min(trials, processes + 1)  # one is in reserve, so that no process waits for the sampler
        for _ in range(asked):
            ask()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                trial = running.pop(each)
                study.tell(trial, each.result())
                rows.append(row(time.monotonic() - begun, *each.result(), trial.params))
                if asked < trials:
                    asked += 1
                    ask()
    return begun, rows


def row(at: float, accuracy: float, survivors: float, genome: dict[str, Any]) -> Row:
    return {"at": at, "accuracy": accuracy, "survivors": survivors, "genome": genome}


# --- the others ---


def tune(job: Job, trials: int) -> tuple[float, list[Row]]:
    """Ray Tune, a worker a core."""
    import tune_peer

    return tune_peer.run(job, trials, CORES)


def jax(job: Job, trials: int) -> tuple[float, list[Row]]:
    """JAX, a process a core."""
    import jax_peer

    return jax_peer.run(job, trials, CORES)


def spec_of(job: Job) -> Spec:
    """The space that hebbevo searches: the genes of the others."""
    import plain_net

    from hebbevo.spec import override, read, spec_from_json

    plain = override(read("stamina"), seed=job.seed).to_json()
    plain["task"] |= {"dataset": job.dataset, "epochs": job.epochs, "batch_size": job.batch}
    plain["network"]["hidden"] = list(job.hidden)
    plain["genome"] = plain_net.GENES
    plain["network"]["settings"] = {"settle": plain_net.SETTLE}
    return spec_from_json(plain)


def noting_the_first_cohort() -> list[float]:
    """A list that gets the time at which hebbevo dispatches its first cohort: only then is a worker ready."""
    from hebbevo import execution

    first: list[float] = []

    def watched(submit: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            first.append(time.monotonic())
            return submit(*arguments)

        return noting

    for kind in (execution.ProcessExecutor, execution.ThreadExecutor, execution.SerialExecutor):
        kind.submit = watched(kind.submit)
    return first


def search(spec: Spec, trials: int, **options: Any) -> tuple[float, list[tuple[int, float]], Any]:
    """Search with hebbevo; return when its clock starts, when trials were done, and the study."""
    import hebbevo

    first = noting_the_first_cohort()
    moments: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        hebbevo.search(
            spec,
            study=path,
            trials=trials,
            watch=lambda progress: moments.append((progress.trials, time.monotonic())),
            **options,
        )
        return first[0], moments, hebbevo.open_study(path)


def ours(job: Job, trials: int, **options: Any) -> tuple[float, list[Row]]:
    """Search with hebbevo; a trial counts as known when its generation is done."""
    begun, moments, study = search(spec_of(job), trials, **options)
    table, trained = study.trials(), epochs(study)
    ends = table.groupby("generation").trial.max() + 1
    known = {
        generation: next((when for done, when in moments if done >= end), moments[-1][1]) - begun
        for generation, end in ends.items()
    }
    genes = [column for column in table if column.startswith("genome.")]
    rows = []
    for trial in table.to_dict("records"):
        values = (trial["accuracy"], trial["survivors"])
        genome = {gene.removeprefix("genome."): trial[gene] for gene in genes}
        rows.append(row(known[trial["generation"]], *values, genome))
        rows[-1] |= {"epochs": trained[trial["trial"]]}
    return begun, rows


def epochs(study: Study) -> dict[int, int]:
    """The epochs for which each trial was trained."""
    trials, full = study.trials(), study.settings["task"]["epochs"]
    last = study.points().groupby("trial").epoch.max()  # failed trials have no points
    known = trials.set_index("trial").index.to_series().map(last).fillna(full)
    known[trials.copy_of.notna().to_numpy()] = 0
    return {int(trial): int(epoch) for trial, epoch in known.items()}


def contestants(dataset: str) -> dict[str, tuple[str, Callable[..., tuple[float, list[Row]]]]]:
    """Letter and function of each, by name."""
    found = {}
    ways = [(processes, CORES // processes) for processes in range(1, CORES + 1) if CORES % processes == 0]
    for keep, driver in (("SQLite", plain_sqlite), ("in memory", plain_memory)):
        for processes, threads in ways:
            if dataset == "digits" or driver is plain_memory:  # the record costs little beside MNIST
                name = f"plain loop, {processes} x {threads}, {keep}"
                found[name] = "a", partial(driver, processes=processes, threads=threads, dense=False)
    found["Ray Tune"] = "b", tune
    found["hebbevo"] = "c", ours
    found["hebbevo, PyTorch stacks"] = "g", partial(ours, engine="pytorch")
    found["hebbevo, halving"] = "d", partial(ours, halving=True)
    found["hebbevo, bfloat16"] = "e", partial(ours, precision="bfloat16")
    found["JAX"] = "j", jax
    found["dense nets, no rule"] = "f", partial(plain_memory, processes=CORES, threads=1, dense=True)
    return found


# --- one run ---


def contest(name: str, job: Job, trials: int, path: Path) -> None:
    """Run a contestant in this process, and write its trials to ``path``."""
    begun, rows = contestants(job.dataset)[name][1](job, trials)
    rows.sort(key=lambda row: row["at"])
    import plain_net

    x, _, x_val, _ = plain_net.data(job)
    shape = {"rows": len(x), "validation rows": len(x_val), "features": x.shape[1]}
    path.write_text(json.dumps({"begun": begun, **shape, "trials": rows}, default=lambda value: value.item()))


def run(name: str, job: Job, trials: int) -> dict[str, Any] | None:
    """Run a contestant in a process of its own, and measure its memory; ``None`` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        started = time.monotonic()
        child = CONTEXT.Process(target=contest, args=(name, job, trials, path))
        child.start()
        memory = 0.0
        while child.is_alive():
            memory = max(memory, held(child.pid))
            child.join(0.5)
        if child.exitcode:
            return None
        found = json.loads(path.read_text())
    return {
        "contestant": name,
        "letter": contestants(job.dataset)[name][0],
        "job": asdict(job),
        "seconds": found["trials"][-1]["at"],
        "start-up": found.pop("begun") - started,
        "memory": memory,
        **found,
    }


def held(root: int) -> float:
    """MB of memory of a process and all below it; what several share counts once."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):  # it has just ended
                continue
    family, found = {root}, [root]
    while found:
        found = [child for child, parent in parents.items() if parent in found and child not in family]
        family.update(found)
    total = 0.0
    for process in family:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(float(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def peak_worker(barrier) -> dict[str, list[float]]:
    """Operations a second of large products on one thread, by the kind of number, for each size."""
    import torch

    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {}
    for dtype in DTYPES:
        for size in PEAK_SIZES:
            left, right = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
            left @ right
            barrier.wait(300)
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < PEAK_SECONDS:
                left @ right
                done += 1
            rates.setdefault(dtype, []).append(2 * size**3 * done / (time.perf_counter() - began))
    return rates


_barrier: Any = None
"""That of a process which measures the peak."""


def _keep_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _peak() -> dict[str, list[float]]:
    return peak_worker(_barrier)


def peak() -> dict[str, float]:
    """Operations a second of the whole machine, one process a core: the best size."""
    with ProcessPoolExecutor(CORES, CONTEXT, _keep_barrier, (CONTEXT.Barrier(CORES),)) as pool:
        found = [each.result() for each in [pool.submit(_peak) for _ in range(CORES)]]
    return {dtype: max(map(sum, zip(*(rates[dtype] for rates in found), strict=True))) for dtype in DTYPES}


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def machine() -> str:
    """Name the machine and its PyTorch."""
    return f"{processor()}, {CORES} cores, PyTorch {version('torch')}"


# --- trained again ---


def points(rows: Sequence[Row]):
    """Accuracy and survivors of trials, (n, 2); NaN for failed ones."""
    import numpy as np

    return np.array([[row["accuracy"], row["survivors"]] for row in rows], float).reshape(-1, 2)


def ends(rows: Sequence[Row]) -> list[int]:
    """After how many trials there is a look at the front: generations."""
    return [*range(GENERATION, len(rows), GENERATION), len(rows)]


def fronts(rows: Sequence[Row]) -> list[list[str]]:
    """The genomes of the front after each generation."""
    from hebbevo.objectives import pareto

    found = points(rows)
    return [[key(rows[place]["genome"]) for place in pareto.front(found[:end])] for end in ends(rows)]


def key(genome: dict[str, Any]) -> str:
    return json.dumps(genome, sort_keys=True)


def train_again(job: Job, genomes: list[str]) -> list[list[tuple[float, float] | None]]:
    """Train genomes from fresh seeds, at full length: (accuracy, survivors) by genome and seed."""
    import torch

    from hebbevo.outer import preflight, training_inputs
    from hebbevo.training import Candidate, train
    from hebbevo.training.recipe import PYTORCH

    torch.set_num_threads(1)
    spec = spec_of(job)
    split, facts = preflight.prepare(spec, "cpu", workers=2)
    recipe = training_inputs.recipe(spec, facts.shape, len(facts.classes), PYTORCH, facts.alone)
    candidates = [Candidate(json.loads(genome)) for genome in genomes]
    by_seed = [
        train(replace(recipe, seed=1000 + job.seed + fresh), candidates, split, torch.device("cpu"))
        for fresh in range(FRESH_SEEDS)
    ]
    return [
        [None if each.failure else (each.accuracy[-1], float(each.survivors[-1])) for each in of_genome]
        for of_genome in zip(*by_seed, strict=True)
    ]


def chance(job: Job) -> float:
    """Validation accuracy of always answering the most frequent class."""
    import plain_net

    labels = plain_net.data(job)[3]
    return labels.bincount().max().item() / len(labels)


def retrain(record: Record) -> None:
    """Train every genome again that was on the front after one of the generations."""
    with ProcessPoolExecutor(CORES, CONTEXT) as pool:
        for seed in sorted({run["job"]["seed"] for run in record.of("digits")}):
            runs = [run for run in record.of("digits") if run["job"]["seed"] == seed and run["letter"] != "f"]
            if not runs:
                continue
            job = job_of(runs[0])
            again = record.again.setdefault(str(seed), {"chance": chance(job), "genomes": {}})["genomes"]
            needed = dict.fromkeys(
                genome for run in runs for front in fronts(run["trials"]) for genome in front
            )
            missing = [genome for genome in needed if genome not in again]
            chunks = [missing[first : first + CHUNK] for first in range(0, len(missing), CHUNK)]
            futures = {pool.submit(train_again, job, chunk): chunk for chunk in chunks}
            for done in as_completed(futures):
                again |= zip(futures[done], done.result(), strict=True)
            record.write()


# --- the record ---


def job_of(run: dict[str, Any]) -> Job:
    from plain_net import Job

    return Job(**run["job"] | {"hidden": tuple(run["job"]["hidden"])})


@dataclass
class Record:
    """All measurements, and the file that holds them.

    Attributes:
        runs: the results of `run`.
        peaks: operations a second of the machine, before each repeat.
        again: by seed, ``chance`` and the results of genomes that were trained again.
    """

    path: Path
    machine: str
    runs: list[dict[str, Any]]
    peaks: list[dict[str, float]]
    again: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Record:
        if path.exists():
            return cls(path, **json.loads(path.read_text()))
        return cls(path, machine(), [], [], {})

    def write(self) -> None:
        plain = {name: value for name, value in vars(self).items() if name != "path"}
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(plain))
        beside.replace(self.path)

    def add(self, other: Record) -> None:
        """Take over the runs of another file, which replace runs of the same job here."""
        self.put(other.runs)
        self.peaks += other.peaks
        for seed, again in other.again.items():
            self.again.setdefault(seed, again)["genomes"] |= again["genomes"]

    def put(self, runs: list[dict[str, Any]]) -> None:
        """Add runs; they replace earlier runs of the same contestant and job."""
        new = [(run["contestant"], job_of(run)) for run in runs]
        self.runs = [run for run in self.runs if (run["contestant"], job_of(run)) not in new] + runs

    def of(self, dataset: str) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["job"]["dataset"] == dataset]


# --- tables ---


def spread(values: Iterable[float], form: str = ".1f") -> str:
    """Median, smallest and largest."""
    found = sorted(values)
    if not found:
        return "-"
    middle, low, high = (
        "never" if math.isinf(value) else f"{value:{form}}"
        for value in (statistics.median(found), found[0], found[-1])
    )
    return middle if len(found) == 1 else f"{middle} ({low} to {high})"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def operations(run: dict[str, Any]) -> float:
    """Operations of a trial, as if no neuron had been pruned."""
    job = run["job"]
    by_layer = [wide * deep for wide, deep in pairwise((run["features"], *job["hidden"], 10))]
    length = statistics.fmean(row.get("epochs", job["epochs"]) for row in run["trials"])
    looks = length if run["letter"] in "cdeg" else 1  # the plain net is validated only at the end
    forward = 2 * sum(by_layer)
    backward = 4 * sum(by_layer) - 2 * by_layer[0]
    return length * run["rows"] * (forward + backward) + looks * run["validation rows"] * forward


def reached(run: dict[str, Any], target: float, again: dict[str, Any]) -> float:
    """Seconds to the hypervolume as found."""
    from hebbevo.objectives import pareto

    history = pareto.hypervolume_history(points(run["trials"]), again["chance"], sum(run["job"]["hidden"]))
    places = (history >= target).nonzero()[0]
    return run["trials"][places[0]]["at"] if len(places) else math.inf


def volume(run: dict[str, Any], again: dict[str, Any]) -> float:
    """Hypervolume of all trials as found."""
    from hebbevo.objectives import pareto

    return pareto.hypervolume(points(run["trials"]), again["chance"], sum(run["job"]["hidden"]))


def volumes_again(run: dict[str, Any], again: dict[str, Any]) -> list[tuple[float, float]]:
    """After each generation: seconds, and the hypervolume of the front trained again."""
    import numpy as np

    from hebbevo.objectives import pareto

    rows, found = run["trials"], []
    for end, front in zip(ends(rows), fronts(rows), strict=True):
        results = [[each for each in again["genomes"][genome] if each] for genome in front]
        means = np.array([np.mean(each, axis=0) for each in results if each]).reshape(-1, 2)
        value = pareto.hypervolume(means, again["chance"], sum(run["job"]["hidden"]))
        found.append((rows[end - 1]["at"], value))
    return found


def first(history: Sequence[tuple[float, float]], target: float) -> tuple[float, float]:
    """When the target is first reached, and from when on no later front is below it."""
    at, stays = math.inf, math.inf
    for seconds, value in history:
        at = min(at, seconds) if value >= target else at
        stays = min(stays, seconds) if value >= target else math.inf
    return at, stays


def tables(record: Record) -> str:
    jobs = [dataset for dataset in ("digits", "mnist") if record.of(dataset)]
    return "\n\n".join([record.machine, *(job_table(record, dataset) for dataset in jobs)])


def job_table(record: Record, dataset: str) -> str:
    """All tables of one job, in Markdown."""
    by_name: dict[str, dict[int, dict[str, Any]]] = {}
    for name in contestants(dataset):  # to keep this order
        found = {run["job"]["seed"]: run for run in record.of(dataset) if run["contestant"] == name}
        if found:
            by_name[name] = found
    some = record.of(dataset)[0]
    trials = " or ".join(map(str, sorted({len(run["trials"]) for run in record.of(dataset)})))
    widths = "-".join(map(str, (some["features"], *some["job"]["hidden"], 10)))
    title = f"{dataset}, {widths}, {some['job']['epochs']} epochs of batch {some['job']['batch']}; {trials} "
    title += f"trials, {max(map(len, by_name.values()))} repeats in turn: median (smallest to largest)"

    def pace(name: str) -> float:
        return statistics.median(run["seconds"] / len(run["trials"]) for run in by_name[name].values())

    peers = [name for name in by_name if name.startswith("plain")]
    best = min(peers, key=pace, default=None)
    judged = dataset == "digits" and bool(best)
    header = ["", "trials a second", "s a trial", "times the plain loop", "times Ray Tune"]
    header += [
        "memory, MB",
        "start-up, s",
        "GFLOP a trial",
        "of the floor, float32",
        "of the floor, bfloat16",
    ]
    lines, races = [], []
    peaks = {dtype: statistics.median(peak[dtype] for peak in record.peaks) for dtype in DTYPES}
    for name, runs in by_name.items():
        letter = next(iter(runs.values()))["letter"]
        paces = {seed: run["seconds"] / len(run["trials"]) for seed, run in runs.items()}
        counted = [operations(run) for run in runs.values()]
        # a search that stops trainings counts only if the record has their lengths
        known = letter not in "de" or all("epochs" in row for run in runs.values() for row in run["trials"])
        shares = {
            dtype: [work / peaks[dtype] / paces[seed] for seed, work in zip(runs, counted, strict=True)]
            for dtype in DTYPES
        }
        times = [
            [
                rivals[seed]["seconds"] / len(rivals[seed]["trials"]) / paces[seed]
                for seed in paces
                if seed in rivals
            ]
            for rivals in (by_name.get(best, {}), by_name.get("Ray Tune", {}))
        ]
        lines.append(
            [
                f"**{name}**" if name in (best, "hebbevo") else name,
                spread((1 / each for each in paces.values()), ".2f"),
                spread(paces.values(), ".4f"),
                *(spread(each, ".2f") for each in times),
                spread((run["memory"] for run in runs.values()), ".0f"),
                spread(run["start-up"] for run in runs.values()),
                f"{'' if known else 'at most '}{statistics.median(counted) / 1e9:.2f}",
                *(f"{100 * statistics.median(shares[dtype]):.0f} %" if known else "-" for dtype in DTYPES),
            ]
        )
        if judged and letter != "f":
            races.append([name, *race(record, runs, by_name[best])])
    speeds = ", ".join(f"{peaks[dtype] / 1e9:.0f} GFLOP/s in {dtype}" for dtype in DTYPES)
    parts = [title, markdown(header, lines), f"Large matrix products on all cores: {speeds}."]
    if judged:
        whole = spread(run["seconds"] for run in by_name[best].values())
        parts.append(f"The target is the hypervolume of: {best}, whose whole search took {whole} s.")
        what = ["", "hypervolume found", "trained again", "s to the target", "times as soon"]
        what += ["s to it, trained again", "times as soon", "s until it stays"]
        parts.append(markdown(what, races))
    return "\n\n".join(parts)


def race(record: Record, runs: dict[int, Any], rivals: dict[int, Any]) -> list[str]:
    """Hypervolumes, and seconds to those of the rivals, over the seeds that both have."""
    columns: list[list[float]] = [[] for _ in range(7)]
    for seed in sorted({*runs} & {*rivals}):
        run, rival, again = runs[seed], rivals[seed], record.again.get(str(seed))
        needed = {genome for each in (run, rival) for front in fronts(each["trials"]) for genome in front}
        if again is None or not needed <= {*again["genomes"]}:
            continue  # not yet trained again
        target, theirs, own = volume(rival, again), volumes_again(rival, again), volumes_again(run, again)
        found, target_again = reached(run, target, again), theirs[-1][1]
        at, stays = first(own, target_again)
        soon, soon_again = reached(rival, target, again) / found, first(theirs, target_again)[0] / at
        values = (volume(run, again), own[-1][1], found, soon, at, soon_again, stays)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    forms = (".4f", ".4f", ".1f", ".1f", ".1f", ".1f", ".1f")
    return [spread(column, form) for column, form in zip(columns, forms, strict=True)]


# --- the command ---


def chosen(only: str, dataset: str) -> list[str]:
    """Contestants by letter or by name."""
    words = [word.strip() for word in only.split(",")]
    names = {name: letter for name, (letter, _) in contestants(dataset).items()}
    return [name for name, letter in names.items() if letter in words or name.replace(",", "") in words]


def run_all(options: argparse.Namespace, record: Record) -> None:
    """Run what is not in the file yet."""
    from plain_net import Job

    jobs = {
        "digits": (Job(), options.trials),
        "mnist": (Job("mnist", (300, 100), options.mnist_epochs), options.mnist_trials),
    }
    wanted = options.jobs.split(",")
    if "mnist" in wanted and not os.environ.get("HEBBEVO_DATA"):
        print("mnist: LEFT OUT: set HEBBEVO_DATA to the folder with the data\n", file=sys.stderr)
        wanted.remove("mnist")
    for dataset in wanted:
        general, trials = jobs[dataset]
        for seed in range(options.repeats):  # in turn, so that a slow minute affects all contestants
            job = replace(general, seed=seed)
            done = [run for run in record.runs if job_of(run) == job and len(run["trials"]) == trials]
            there = {run["contestant"] for run in done}
            missing = [name for name in chosen(options.only, dataset) if name not in there]
            if missing:
                record.peaks.append(peak())
            for name in missing:
                found = run(name, job, trials)
                if found is None:
                    print(f"{dataset}, {seed}, {name}: FAILED", file=sys.stderr, flush=True)
                    continue
                record.put([found])
                record.write()
                a_trial = found["seconds"] / trials
                print(f"{dataset}, {seed}, {name}: {a_trial:.4f} s a trial", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="run what is not in FILE yet, train fronts again, print tables")
    command.add_argument("--save", type=Path, required=True, metavar="FILE")
    command.add_argument("--jobs", default="digits,mnist")
    command.add_argument("--only", default="a,b,c,d")
    command.add_argument("--repeats", type=int, default=5)
    command.add_argument("--trials", type=int, default=500)
    command.add_argument("--mnist-trials", type=int, default=20)
    command.add_argument("--mnist-epochs", type=int, default=3)
    command = commands.add_parser("retrain", help="train the fronts in FILE again, and print the tables")
    command.add_argument("save", type=Path, metavar="FILE")
    command = commands.add_parser("table", help="print the tables of all files together")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # each contestant sets its own number of threads
        os.environ.pop(name, None)
    if options.command == "table":
        record, *others = map(Record.read, options.files)
        for other in others:
            record.add(other)
    else:
        record = Record.read(options.save)
        if options.command == "run":
            run_all(options, record)
        retrain(record)
    print(tables(record))


if __name__ == "__main__":
    main()
