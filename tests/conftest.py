"""A small space file and data set for tests of whole searches, and the command line in an empty folder."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import hebbevo
from hebbevo.cli import commands

if TYPE_CHECKING:
    import optuna
    from alembic.config import Config
    from optuna.storages import RDBStorage

os.environ.setdefault("OMP_NUM_THREADS", "1")  # with tiny nets more threads are slower
# Ray's clusters and clients must agree on this; else the first cluster of the tests sets it for later ones
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
# else Ray's progress bars replace `print` for the tests that follow in this process
os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")
# else a cluster starts a process for each of its cores, most of which no test uses
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
# PyTorch compiles in this process: the others that it would start first import PyTorch for seconds
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

SPACE = """\
version: 1
name: small
task:    {{dataset: {data}, epochs: 3, batch_size: 32}}
network: {{family: mlp, hidden: [12, 8], units: stamina, settings: {{warmup: 4, prune_period: 2, grace: 4}}}}
search:  {{sampler: ga, population: 8, trials: 24, replicates: 2, seed: 3, engine: pytorch}}
genome:
  unactivation_penalty: {{low: 1e-2, high: 100, log: true}}
  penalty_form:         {{choices: [mean, ratio, zero_sum, constant]}}
  hebbian_threshold:    {{low: -1.0, high: 1.0}}
  regrowth_rate:        {{low: 0.0, high: 0.1}}
  learning_rate:        {{low: 3e-3, high: 3e-2, log: true}}
"""


def covering(
    *factors: Sequence[Hashable], exists: Callable[..., bool] = lambda *values: True
) -> list[tuple[Hashable, ...]]:
    """Some rows of the product of the factors, in which any two values of two factors are together once.

    Args:
        factors: the values of each.
        exists: whether there is such a row.
    """

    def pairs(row: tuple[Hashable, ...]) -> set[tuple[object, object]]:
        return {*combinations(enumerate(row), 2)}

    rows = [row for row in product(*factors) if exists(*row)]
    missing = {pair for row in rows for pair in pairs(row)}
    chosen = []
    while missing:
        chosen.append(max(rows, key=lambda row: len(missing & pairs(row))))
        missing -= pairs(chosen[-1])
    return chosen


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Let Ctrl-C interrupt, also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def migrations_read_once() -> Iterator[None]:
    """Read Optuna's migrations once, and not for every study that is opened, where they take most time."""
    from alembic.script import ScriptDirectory

    with pytest.MonkeyPatch.context() as patch:
        read = ScriptDirectory.from_config
        by_folder: dict[str | None, ScriptDirectory] = {}

        def read_once(config: Config) -> ScriptDirectory:
            folder = config.get_main_option("script_location")
            if folder not in by_folder:
                by_folder[folder] = read(config)
            return by_folder[folder]

        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Undo what a test adds to the import path, and forget modules that it loads from temporary folders."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield
    temporary = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        module = getattr(sys.modules[name], "__dict__", {})
        places = [module.get("__file__"), *module.get("__path__", ())]
        if any(str(place).startswith(temporary) for place in places):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process, so that no worker has to start; tests of executors ask for workers."""
    monkeypatch.setattr("hebbevo.execution.config.available_cores", lambda: 1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread of PyTorch: small nets are slower with more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep studies in files, even if the environment names a database."""
    monkeypatch.delenv("HEBBEVO_STORAGE", raising=False)


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 240 rows, 6 features and 3 overlapping classes."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    x = rng.normal(size=(3, 6))[y] * 1.5 + rng.normal(size=(240, 6))
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="session")
def common_space(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space file of 24 trials over the blobs, which no test changes."""
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SPACE.format(data=blobs))
    return path


@pytest.fixture
def space(common_space: Path, tmp_path: Path) -> Path:
    """A copy of that space file."""
    return Path(shutil.copy(common_space, tmp_path))


@pytest.fixture(scope="session")
def finished(common_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of that space, which no test changes."""
    path = tmp_path_factory.mktemp("finished") / "finished.db"
    return hebbevo.search(common_space, study=path, workers=1).path


@pytest.fixture
def uninterrupted(finished: Path, tmp_path: Path) -> Path:
    """A copy of that study, which nothing has interrupted."""
    return Path(shutil.copy(finished, tmp_path / "uninterrupted.db"))


@pytest.fixture
def short_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune the dense networks of a confirmation on a single point."""
    monkeypatch.setattr("hebbevo.deploy.controls.first_grid", lambda: [(0.01, 0.0)])
    monkeypatch.setattr("hebbevo.deploy.controls.wider_grid", lambda tried, best: [])


@pytest.fixture
def optuna_storage() -> Iterator[Callable[[Path], RDBStorage]]:
    """Open study files as Optuna does. They are closed after the test, for which Optuna has no function."""
    from optuna.storages import RDBStorage

    opened = []

    def open_file(path: Path) -> RDBStorage:
        opened.append(RDBStorage(f"sqlite:///{path}"))
        return opened[-1]

    yield open_file
    for storage in opened:
        storage.engine.dispose()


@pytest.fixture
def optuna_study(optuna_storage: Callable[[Path], RDBStorage]) -> Callable[[Path], optuna.Study]:
    """Read a study file as Optuna does."""
    import optuna

    return lambda path: optuna.load_study(study_name=None, storage=optuna_storage(path))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call the command line in an empty folder: (exit code, stdout, stderr)."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hebbevo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            commands.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call
