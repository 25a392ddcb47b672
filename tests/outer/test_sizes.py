"""What cannot fit into memory is refused with the estimate, before anything is allocated."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.outer import sizes
from hebbevo.spec import override, read
from hebbevo.training import structure


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
    assert " weights needs 70 GB; 24 GB are there; " in refused(space, tmp_path)


def test_a_data_file_that_cannot_fit_is_refused_by_its_size_once_unpacked(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "large.npz", x=np.zeros((10**6, 4)), y=np.arange(10**6) % 2)
    assert (tmp_path / "large.npz").stat().st_size < 4 * 10**6
    monkeypatch.setattr(sizes, "available_memory", lambda: 3 * 10**7)
    line = refused(space, tmp_path, dataset=str(tmp_path / "large.npz"))
    assert "needs 112 MB; 30 MB are there" in line


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


@pytest.mark.parametrize(
    ("kind", "bytes_per_number"), [(np.float64, 24), (np.float32, 12), (np.uint8, 9), (np.int16, 10)]
)
def test_the_estimate_of_an_array_counts_what_becomes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, bytes_per_number: int
) -> None:
    """Measured with 200,000 rows of 300 features: 25, 13 and 10.5 bytes a number for the first three."""
    monkeypatch.setattr(sizes, "available_memory", lambda: 1)
    np.savez(tmp_path / "d.npz", x=np.zeros((10_000, 500), kind), y=np.zeros(10, np.int8))
    with pytest.raises(UsageError, match=f"needs {5 * bytes_per_number} MB"):
        sizes.check_data(str(tmp_path / "d.npz"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_estimate_of_a_table_of_text_counts_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    monkeypatch.setattr(sizes, "available_memory", lambda: 1)
    path = tmp_path / "d.csv"
    path.write_text("".join(separator.join(["0.125"] * 20) + "\n" for _ in range(5000)))
    needed = path.stat().st_size + 24 * 100_000
    with pytest.raises(UsageError, match=rf"needs {needed / 1e6:.2g} MB; 1 bytes are there"):
        sizes.check_data(str(path))


def test_a_damaged_array_is_left_to_those_that_read_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as parts:
        parts.writestr("x.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f8'}")
        parts.writestr("y.npy", b"none")
    sizes.check_data(str(tmp_path / "d.npz"))


def test_a_network_of_the_user_that_cannot_fit_is_refused_before_a_training(
    tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wide_net.py").write_text(
        "from torch import nn\ndef build(width, input_shape, num_classes):\n"
        "    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    space = tmp_path / "own.yaml"
    space.write_text(
        f"version: 1\nname: own\ntask: {{dataset: {blobs}}}\nnetwork: {{module: 'wide_net:build'}}\n"
        "genome: {width: {choices: [8, 100000]}}\n"
    )
    monkeypatch.setattr(sizes, "available_memory", lambda: 2 * 10**7)
    line = refused(space, tmp_path)
    assert line.startswith("network.module: the largest network with 1e+06 weights needs 28 MB; 20 MB are")


def test_networks_that_are_only_looked_at_share_their_weights(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 19 networks of a sample are looked at together; as copies they took 19 times the memory."""
    looked_at = []
    real = structure.structure

    def recorded(net: torch.nn.Module) -> object:
        looked_at.append(net)
        return real(net)

    monkeypatch.setattr(structure, "structure", recorded)
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    places = {each.data_ptr() for net in looked_at for each in net.parameters()}
    assert len(looked_at) > 16 and len(places) == len([*looked_at[0].parameters()])
