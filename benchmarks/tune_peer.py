"""The same study by Ray Tune: OptunaSearch (NSGA-II, in memory) over the ordinary per-trial training.

This is Tune at its best: a class Trainable whose processes are kept for the next trial (``reuse_actors``),
with their imports and data. There are no loggers, no output, no dashboard, and no checkpoints at the end of
a trial.

Tune starts processes with the first trials, so the clock starts when each process has reported a trial. A few
more trials than asked make up for these, and the time of the rest is scaled to the number that was asked. The
clock stops at the last report: what Tune does afterwards is not counted.

    python benchmarks/tune_peer.py [--trials 40] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any


def ray_tune(trials: int, workers: int) -> tuple[float, float]:
    """Time Tune; return seconds of search and seconds of start-up."""
    started = time.monotonic()
    import plain_net

    begun, rows = run(plain_net.Job(), trials, workers)
    return rows[-1]["at"], begun - started


def run(job, trials: int, workers: int) -> tuple[float, list[dict[str, Any]]]:
    """Search; return when its clock starts, and its trials with the seconds at which they ended."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    }
    import optuna
    import plain_net
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    class Net(tune.Trainable):
        def setup(self, config):
            plain_net.get_ready(job)

        def reset_config(self, new_config):
            return True

        def step(self):
            accuracy, survivors = plain_net.train(self.config, job)
            return {"accuracy": accuracy, "survivors": survivors, "done": True}

    class Clock(tune.Callback):
        def __init__(self):
            self.reports: list[tuple[float, int, dict[str, Any]]] = []

        def on_trial_result(self, iteration, trials, trial, result, **info):
            found = {name: result[name] for name in ("accuracy", "survivors")}
            self.reports.append((time.monotonic(), result["pid"], found | {"genome": dict(trial.config)}))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    clock = Clock()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        try:
            tune.Tuner(
                Net,
                tune_config=tune.TuneConfig(
                    search_alg=OptunaSearch(
                        plain_net.suggest,
                        metric=["accuracy", "survivors"],
                        mode=["max", "min"],
                        sampler=optuna.samplers.NSGAIISampler(seed=job.seed),
                    ),
                    num_samples=trials + 2 * workers,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    callbacks=[clock],
                    verbose=0,
                ),
            ).fit()
        finally:
            ray.shutdown()
    times, processes, found = zip(*clock.reports, strict=True)
    first = next(n for n in range(1, len(times) + 1) if len(set(processes[:n])) == workers)
    a_trial = (times[-1] - times[first - 1]) / (len(times) - first)
    begun = times[first - 1] - a_trial * first
    rows = [{"at": when - begun, **each} for when, each in zip(times, found, strict=True)]
    return begun, rows[:trials]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    searched, start_up = ray_tune(options.trials, options.workers)
    a_trial = searched / options.trials
    print(f"Tune, {options.workers} workers: {a_trial:.3f} s a trial, start-up {start_up:.1f} s")


if __name__ == "__main__":
    main()
