"""What cannot fit into memory is refused with the estimate, before anything is allocated."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.outer import sizes
from hebbevo.spec import override, read


def refused(space: Path, folder: Path, **changes: object) -> str:
    """The one line with which a search is refused; nothing is left behind."""
    with pytest.raises(UsageError) as caught:
        hebbevo.search(space, study=folder / "s.db", **changes)
    assert not (folder / "s.db").exists()
    [line] = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("setting", "value", "where"),
    [
        ("population: 8", "population: 10000000000", "search.population"),
        ("replicates: 2", "replicates: 100000000000", "search.replicates"),
        ("replicates: 2", "replicates: 2, cohort_width: 100000000, threads: 100000", "search.threads"),
        ("epochs: 3", "epochs: 1000000000000", "task.epochs"),
        ("[12, 8]", "[100000, 100000, 100000, 100000, 100000, 100000]", "network.hidden"),
    ],
)
def test_a_setting_that_cannot_fit_is_refused_in_one_line(
    space: Path, tmp_path: Path, setting: str, value: str, where: str
) -> None:
    text = space.read_text()
    assert setting in text
    space.write_text(text.replace(setting, value))
    line = refused(space, tmp_path)
    assert line.startswith(f"{where}: ")
    assert where == "search.threads" or (" needs " in line and " are there; " in line)


def test_the_line_has_what_is_needed_and_what_is_there(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "available_memory", lambda: 24 * 10**9)
    space.write_text(space.read_text().replace("[12, 8]", "[50000, 50000]"))
    assert " weights needs 40 GB; 24 GB are there; " in refused(space, tmp_path)


def test_a_data_file_that_cannot_fit_is_refused_by_its_size_once_unpacked(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "large.npz", x=np.zeros((10**6, 4)), y=np.arange(10**6) % 2)
    assert (tmp_path / "large.npz").stat().st_size < 4 * 10**6
    monkeypatch.setattr(sizes, "available_memory", lambda: 3 * 10**7)
    line = refused(space, tmp_path, dataset=str(tmp_path / "large.npz"))
    assert "needs 40 MB; 30 MB are there" in line


def test_what_fits_passes(space: Path) -> None:
    sizes.check_search(override(read(space), epochs=1000, population=1000), cores=1)
    sizes.check_data("digits")


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("mlp", (9, 5), "stamina", False, (7,), 3),
        Architecture("conv", (9,), "stamina", False, (3, 9, 6), 4, channels=(5, 6, 7)),
    ],
)
def test_weights_are_counted_as_in_the_network(architecture: Architecture) -> None:
    net = architecture.build({}, seed=0)
    weights = sum(p.numel() for p in net.parameters() if p.dim() > 1)
    assert sizes.count_weights(architecture) == weights


def test_a_limit_of_the_process_counts_as_what_is_there() -> None:
    pytest.importorskip("resource")
    script = (
        "import resource, sys; from hebbevo.outer import sizes\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9)); print(sizes.available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 10**9
