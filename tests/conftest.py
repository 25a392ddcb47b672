"""A small space file and data set for tests of whole searches, and the command line in an empty folder."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hebbevo
from hebbevo.cli import commands

os.environ.setdefault("OMP_NUM_THREADS", "1")  # with tiny nets more threads are slower
# Ray's clusters and clients must agree on this; else the first cluster of the tests sets it for later ones
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
# else Ray's progress bars replace `print` for the tests that follow in this process
os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")
# PyTorch compiles in this process: the others that it would start first import PyTorch for seconds
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

SPACE = """\
version: 1
name: small
task:    {{dataset: {data}, epochs: 3, batch_size: 32}}
network: {{family: mlp, hidden: [12, 8], units: stamina, settings: {{warmup: 4, prune_period: 2, grace: 4}}}}
search:  {{sampler: ga, population: 8, trials: 24, replicates: 2, seed: 3}}
genome:
  unactivation_penalty: {{low: 1e-2, high: 100, log: true}}
  penalty_form:         {{choices: [mean, ratio, zero_sum, constant]}}
  hebbian_threshold:    {{low: -1.0, high: 1.0}}
  regrowth_rate:        {{low: 0.0, high: 0.1}}
  learning_rate:        {{low: 3e-3, high: 3e-2, log: true}}
"""


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Let Ctrl-C interrupt, also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def space(tmp_path: Path, blobs: Path) -> Path:
    """A space file of 24 trials over the blobs."""
    path = tmp_path / "small.yaml"
    path.write_text(SPACE.format(data=blobs))
    return path


@pytest.fixture
def uninterrupted(space: Path, tmp_path: Path) -> Path:
    """A study of 24 trials that nothing interrupted."""
    return hebbevo.search(space, study=tmp_path / "uninterrupted.db").path


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
