"""Trials a second: hebbevo against the loop one would write without it, side by side in one run.

The plain loop is Optuna's NSGA-II over one ordinary PyTorch net at a time: the same nets and rule (written by
hand, with Python branches where a knob decides), data, epochs, batch size, optimiser (fused) and number of
trials, and a shared SQLite study. It runs with every number of processes and threads that fills the machine,
and the best counts. A loop over dense nets without any rule stands beside it: what the arithmetic alone costs
one net at a time. Start-up (imports, data, processes) is taken apart: the plain loop's workers wait for each
other before the clock starts, and hebbevo's clock starts when its first generation is done.

    python benchmarks/throughput.py [--trials 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

EPOCHS, BATCH, HIDDEN, SEED = 20, 64, (128, 128), 0


def plain_worker(storage: str, trials: int, threads: int, dense: bool, ready, go, seed: int) -> None:
    """Run ``trials`` trials of the plain loop on a shared study."""
    import optuna
    import plain_net
    import torch

    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plain_net.data()

    def objective(trial: optuna.Trial) -> tuple[float, int]:
        return plain_net.train(plain_net.suggest(trial), threads, dense)

    study = optuna.load_study(
        study_name="plain", storage=storage, sampler=optuna.samplers.NSGAIISampler(seed=seed)
    )
    ready.release()
    go.wait()
    study.optimize(objective, n_trials=trials)


def plain(trials: int, processes: int, threads: int, dense: bool = False) -> tuple[float, float]:
    """Time the plain loop: (seconds of search, seconds of start-up)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/plain.db"
        started = time.perf_counter()
        optuna.create_study(study_name="plain", storage=storage, directions=["maximize", "minimize"])
        ready, go = context.Semaphore(0), context.Event()
        workers = [
            context.Process(
                target=plain_worker, args=(storage, trials // processes, threads, dense, ready, go, seed)
            )
            for seed in range(processes)
        ]
        for worker in workers:
            worker.start()
        for _ in workers:
            ready.acquire()
        begun = time.perf_counter()
        go.set()
        for worker in workers:
            worker.join()
        return time.perf_counter() - begun, begun - started


def ours_worker(trials: int, results) -> None:
    """Run `hebbevo.search` in a fresh process and send the seconds of ``trials`` trials and of start-up."""
    started = time.perf_counter()
    import hebbevo

    begun: list[float] = []
    first = 50  # the generation that is not timed

    def watch(progress: hebbevo.Progress) -> None:
        if progress.trials >= first and not begun:
            begun.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        hebbevo.search(
            "stamina",
            study=Path(folder) / "ours.db",
            trials=first + trials,
            seed=SEED,
            epochs=EPOCHS,
            population=first,
            watch=watch,
        )
        seconds = time.perf_counter() - begun[0]
        results.put((seconds, begun[0] - started - seconds * first / trials))


def ours(trials: int) -> tuple[float, float]:
    """Time hebbevo: (seconds of search, seconds of start-up)."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=ours_worker, args=(trials, results))
    worker.start()
    measured = results.get()
    worker.join()
    return measured


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    ways = {
        f"plain loop, {processes} process{'es' * (processes > 1)} x {threads} thread{'s' * (threads > 1)}": (
            lambda processes=processes, threads=threads: plain(options.trials, processes, threads)
        )
        for processes, threads in sorted({(1, 1), (1, cores), (cores, 1)})
    }
    dense = f"the same without the rule, {cores} x 1"
    ways[dense] = lambda: plain(options.trials, cores, 1, dense=True)
    ways["hebbevo search"] = lambda: ours(options.trials)

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    start_up: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):  # interleaved, so that a slow minute of the machine meets everybody
        for name, way in ways.items():
            searched, started = way()
            seconds[name].append(searched / options.trials)
            start_up[name].append(started)

    print(f"{processor()}, {cores} cores")
    print(f"digits, 64-{HIDDEN[0]}-{HIDDEN[1]}-10, {EPOCHS} epochs of batch {BATCH};")
    print(f"{options.trials} trials, {options.repeats} repeats: median (smallest to largest)\n")
    print(f"{'':38}{'s a trial':>24}  {'trials/s':>8}  {'start-up s':>10}")
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = f"{middle:.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"{name:38}{spread:>24}  {1 / middle:8.1f}  {statistics.median(start_up[name]):10.1f}")
    best = min(
        (name for name in ways if name.startswith("plain")), key=lambda n: statistics.median(seconds[n])
    )
    print()
    for peer in (best, dense):
        pairs = [theirs / own for theirs, own in zip(seconds[peer], seconds["hebbevo search"], strict=True)]
        ratio = f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
        print(f"hebbevo / {peer}: {ratio} times the trials a second")


if __name__ == "__main__":
    main()
