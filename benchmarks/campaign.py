"""Faults at random moments of random searches: is the resumed study the one that nothing disturbed?

    python benchmarks/campaign.py --minutes 60 --csv campaign.csv

A round is one study. It meets a few faults, each at a random moment of a search, a resumed one, or a report;
then it is finished and compared, trial for trial, with the same study without faults. A round fails if they
differ, if a command ends with a traceback, or if a process is left 5 seconds after the end of its search.

The script appends a line for each fault to the file, so it can be stopped and started again. It exits with 1
if a fault of this run failed. On Linux only.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import csv
import datetime
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pandas as pd

import hebbevo
from hebbevo.samplers import SAMPLERS
from hebbevo.study.storage import lease

ORPHAN_SECONDS = 5.0
LIMIT = 300.0  # seconds for one command
# A worker that is stopped before it has asked the system to end with its search ends when it is continued.
STARTING_SECONDS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")
SPACE = """\
version: 1
name: campaign
task: {{dataset: digits, epochs: 2, batch_size: 256}}
network: {{family: mlp, hidden: [16, 12], units: stamina}}
search: {{sampler: {sampler}, population: 8, trials: 24, cohort_width: 2, seed: 5}}
genome:
  unactivation_penalty: {{low: 1e-2, high: 100, log: true}}
  hebbian_threshold: {{low: -1.0, high: 1.0}}
  learning_rate: {{low: 3e-4, high: 1e-2, log: true}}
"""
EXECUTORS = {
    "serial": ["--executor", "local", "--workers", "1"],
    "local": ["--executor", "local", "--workers", "2"],
    "ray": ["--executor", "ray", "--workers", "1"],
}
# the clock of the computer jumps by a day, back or forth, while a search runs
JUMPING_CLOCK = """\
import os, time
if jump := float(os.environ.get("CAMPAIGN_JUMP", 0)):
    real, began = time.time, time.time()
    time.time = lambda: real() + (jump if real() - began > 2 else 0)
"""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
FAULTS = (
    *(f"{name.name} driver" for name in SIGNALS),
    *(f"{name.name} driver" for name in SIGNALS),
    "SIGKILL worker",
    "SIGTERM worker",
    "SIGSTOP+CONT driver",
    "SIGSTOP+CONT worker",
    "SIGSTOP worker, SIGKILL driver",
    "SIGKILL report",
    "full disk",
    "read-only disk",
    "clock jump",
)
# a mount of its own for one process, which needs no rights where users may have namespaces
READ_ONLY = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
COLUMNS = ("date", "study", "sampler", "executor", "store", "fault", "moment", "exit", "end", "outcome")


class Search:
    """A command of hebbevo in a process of its own; all that it starts can be found by a mark."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        jump: float = 0.0,
        largest_file: int | None = None,
        read_only: bool = False,
    ) -> None:
        self.mark = f"CAMPAIGN_MARK={uuid.uuid4().hex}"  # not seeded: campaigns may run side by side
        (folder / "path").mkdir(exist_ok=True)
        (folder / "path" / "sitecustomize.py").write_text(JUMPING_CLOCK)
        name, _, value = self.mark.partition("=")
        path = os.pathsep.join(filter(None, (str(folder / "path"), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, name: value, "CAMPAIGN_JUMP": str(jump), "PYTHONPATH": path}
        self.errors = (folder / "errors.txt").open("w+")

        def limit() -> None:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        command = [sys.executable, "-m", "hebbevo", *words]
        if read_only:
            command = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh", *command]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
            preexec_fn=limit,
        )

    def alive(self) -> list[int]:
        """Processes of this search, without those that have ended and wait for their parent."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (folder / "environ").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marked and state != "Z":
                found.append(int(folder.name))
        return found

    def workers(self) -> list[int]:
        """Processes that train for this search."""
        found = []
        for pid in self.alive():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_text()
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                parent, age = stat[1], time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / TICKS
            except OSError:
                continue
            # beside each worker is a process without a parent that kills what the worker has started
            is_worker = "hebbevo.execution.worker" in words and parent != "1"
            if (is_worker or words.startswith("ray::_Actor")) and age >= STARTING_SECONDS:
                found.append(pid)
        return found

    def wait_for_worker(self) -> int | None:
        """A process that trains for this search, once there is one; ``None`` if the search ends first."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None and time.monotonic() < end:
            if workers := self.workers():
                return random.choice(workers)
            time.sleep(0.01)
        return None

    def finish(self) -> str:
        """Wait for the end; gives the problem, if any."""
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill_all()
            return f"did not end within {LIMIT:g} s"
        return "" if code == 0 else f"exit code {code}: {self.last_line()}"

    def last_line(self) -> str:
        """The last line of standard error; all of a traceback counts as one."""
        self.errors.seek(0)
        text = self.errors.read()
        last = (text.strip().splitlines() or [""])[-1][:300]
        return f"TRACEBACK {last}" if "Traceback (most recent" in text else last

    def seconds_until_all_ended(self) -> float:
        """Seconds until no process of this search is left; infinite if some are left after the limit."""
        began = time.monotonic()
        while self.alive():
            if time.monotonic() - began > ORPHAN_SECONDS:
                self.kill_all()
                return float("inf")
            time.sleep(0.05)
        return time.monotonic() - began

    def kill_all(self) -> None:
        """Clean up."""
        for pid in self.alive():
            send(pid, signal.SIGKILL)
        self.process.wait()


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def table(study: str, storage: str | None) -> pd.DataFrame:
    """The trials, without what depends on time and on lost workers."""
    return hebbevo.open_study(study, storage=storage).trials().drop(columns=["seconds", "attempts"])


def disturb(folder: Path, fault: str, command: list[str], report: list[str], seconds: float) -> tuple:
    """Let a search meet a fault.

    Gives what it met, the moment, the exit code, the seconds to its end, and the outcome.
    """
    moment = random.uniform(0.0, seconds)
    if fault == "full disk":
        search = Search(folder, *command, largest_file=random.randrange(0, 200_000))
    elif fault == "clock jump":
        search = Search(folder, *command, jump=random.choice((-86400.0, 86400.0)))
    elif fault == "read-only disk":
        search = Search(folder, *command, read_only=True)
    else:
        search = Search(folder, *(report if fault == "SIGKILL report" else command))
        time.sleep(moment)
    driver = search.process.pid
    worker = search.wait_for_worker() if "worker" in fault else None
    if fault == "SIGSTOP+CONT driver":
        send(driver, signal.SIGSTOP)
        time.sleep(1.0)
        send(driver, signal.SIGCONT)
    elif fault == "SIGSTOP+CONT worker" and worker:
        send(worker, signal.SIGSTOP)
        time.sleep(1.0)
        send(worker, signal.SIGCONT)
    elif fault == "SIGSTOP worker, SIGKILL driver":
        if worker:
            send(worker, signal.SIGSTOP)
        send(driver, signal.SIGKILL)
    elif fault.startswith("SIG") and fault.endswith("worker") and worker:
        send(worker, signal.Signals[fault.split()[0]])
    elif fault.endswith(("driver", "report")) and "+" not in fault:
        send(driver, signal.Signals[fault.split()[0]])
    problem = search.finish()
    left = search.seconds_until_all_ended()
    code = search.process.returncode
    survives = fault == "clock jump" or "CONT" in fault
    if left == float("inf"):
        outcome = "ORPHAN"
    elif "TRACEBACK" in problem or "did not end" in problem or (survives and code):
        outcome = f"FAILED {problem}"
    else:
        outcome = "good"
    if "worker" in fault and not worker:
        fault += ", none there"
    return fault, round(moment, 2), code, round(left, 2), outcome


def round_of_faults(arguments: argparse.Namespace, straight: dict, number: int) -> list[dict]:
    """One study with faults. Gives a row for each fault."""
    sampler = arguments.samplers[number % len(arguments.samplers)]
    executor = arguments.executors[number % len(arguments.executors)]
    faults = [fault for fault in FAULTS if executor != "serial" or "worker" not in fault]  # it has none
    storage = random.choice([*[None] * 4, *arguments.database])  # a lease makes databases slow here
    with tempfile.TemporaryDirectory(prefix="campaign") as name:
        folder = Path(name)
        (folder / "s.yaml").write_text(SPACE.format(sampler=sampler))
        study = f"campaign{uuid.uuid4().hex}" if storage else str(folder / "s.db")
        where = ["--storage", storage] if storage else []
        command = ["search", "--space", "s.yaml", "--study", study, *where, *EXECUTORS[executor]]
        if sampler not in straight:
            whole = Search(folder, "search", "--space", "s.yaml", "--study", "whole.db", *EXECUTORS["serial"])
            if problem := whole.finish():
                raise SystemExit(f"a search without faults fails: {problem}")
            straight[sampler] = table(str(folder / "whole.db"), None)
        rows = []
        for _ in range(arguments.faults):
            fault = random.choice(faults)
            report = ["report", study, *where]
            seconds = {"serial": 4.0, "local": 6.0, "ray": 14.0}[executor] * arguments.slowness
            results = disturb(folder, fault, command, report, seconds)
            now = datetime.datetime.now().isoformat(timespec="seconds")
            values = (now, number, sampler, executor, "database" if storage else "SQLite", *results)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            if storage and results[2] < 0:
                time.sleep(lease.EXPIRY_SECONDS + 1)  # a killed search leaves its lease to expire
        last = Search(folder, *command)
        problem = last.finish()
        if not problem:
            try:
                pd.testing.assert_frame_equal(table(study, storage), straight[sampler], check_exact=True)
            except AssertionError as error:
                problem = f"the study differs: {' '.join(str(error).split())[:200]}"
        if last.seconds_until_all_ended() == float("inf"):
            problem = problem or "ORPHAN after the last search"
        if problem:
            rows[-1]["outcome"] = f"FAILED {problem}"
    return rows


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long; the default is 5")
    parser.add_argument("--csv", type=Path, default=Path("campaign.csv"), help="file to append to")
    parser.add_argument("--faults", type=int, default=4, help="faults for each study")
    parser.add_argument("--first", type=int, default=0, help="number, and seed, of the first study")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS))
    parser.add_argument("--executors", nargs="+", default=list(EXECUTORS))
    parser.add_argument("--database", nargs="*", default=[], help="URLs of databases to use, too")
    parser.add_argument("--slowness", type=float, default=1.0, help="above 1 on a busy machine")
    arguments = parser.parse_args()
    before = pd.read_csv(arguments.csv) if arguments.csv.exists() else pd.DataFrame(columns=COLUMNS)
    number = int(before.study.max()) + 1 if len(before) else arguments.first
    straight: dict[str, pd.DataFrame] = {}
    failed = 0
    end = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < end:
        random.seed(number)
        rows = round_of_faults(arguments, straight, number)
        is_new = not arguments.csv.exists()
        with arguments.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            failed += row["outcome"] != "good"
            print(*row.values(), flush=True)
        number += 1
    everything = pd.read_csv(arguments.csv)
    counts = collections.Counter(zip(everything.fault, everything.outcome, strict=True))
    for (fault, outcome), count in sorted(counts.items()):
        print(f"{count:5}  {fault:32}  {outcome}")
    print(f"{len(everything)} faults, {(everything.outcome != 'good').sum()} failed")
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
