"""Loading an exported file runs no code of it."""

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import hebbevo
from hebbevo.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for name in ("net.pt2", "net.safetensors"):
        hebbevo.export(net, folder / name, torch.randn(20, 4))
    return folder


class Writes:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def changed(source: Path, target: Path, change) -> Path:
    """An archive with its parts changed, by name."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        parts = {info.filename: old.read(info) for info in old.infolist()}
        change(parts)
        for name, content in parts.items():
            new.writestr(name, content)
    return target


def in_json(name: str, old: str, new: str):
    """A change of a text in a part of an archive."""

    def change(parts: dict[str, bytes]) -> None:
        [part] = [each for each in parts if each.endswith(name)]
        text = parts[part].decode()
        assert old in text
        parts[part] = text.replace(old, new, 1).encode()

    return change


def with_part(name: str, content: bytes):
    """A change that adds a part to an archive, or replaces it."""

    def change(parts: dict[str, bytes]) -> None:
        parts[f"net/{name}"] = content

    return change


HARMFUL = {
    "a pickled weight": in_json("weights_config.json", '"use_pickle": false', '"use_pickle": true'),
    "any function": in_json("model.json", "torch.ops.aten.relu.default", "torch.hub.load"),
    "an expression": in_json("model.json", "Symbol('s", "__import__('os').getcwd() or Symbol('s"),
    "an expression of names alone": in_json("model.json", "Symbol('s", "exit() or Symbol('s"),
    "guards": in_json("model.json", '"guards_code": []', '"guards_code": ["exit()"]'),
    "pickled rows": with_part("data/sample_inputs/model.pt", b"x"),
    "compiled code": with_part("data/aotinductor/model/a.so", b"x"),
    "a pickled object": with_part("data/constants/opaque_obj_0", b"x"),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_an_archive_that_pytorch_would_run_code_of_is_refused(
    what: str, folder: Path, tmp_path: Path
) -> None:
    path = changed(folder / "net.pt2", tmp_path / "net.pt2", HARMFUL[what])
    with pytest.raises(UsageError, match=r"net\.pt2: .*; export it again$"):
        hebbevo.load_exported(path)


def test_an_archive_that_was_only_written_anew_is_read(folder: Path, tmp_path: Path) -> None:
    path = changed(folder / "net.pt2", tmp_path / "net.pt2", lambda parts: None)
    assert hebbevo.load_exported(path).predict(torch.zeros(2, 4)).shape == (2, 3)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx", ".safetensors"])
def test_a_pickle_under_the_name_of_a_network_is_refused_and_not_unpickled(
    suffix: str, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    for number, write in enumerate((pickle.dump, torch.save)):
        path = tmp_path / f"net{number}{suffix}"
        with path.open("wb") as file:
            write(Writes(made), file)
        with pytest.raises(UsageError, match=rf"^{path}: "):
            hebbevo.load_exported(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "operator",
    ["aten.from_file.default", "os.system", "torch.hub.load", "aten.__class__.x", "eval"],
)
def test_tensors_with_a_step_that_is_no_operator_are_refused(
    operator: str, folder: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open

    with safe_open(folder / "net.safetensors", "pt") as file:
        texts = file.metadata()
    steps, result, parameters = json.loads(texts["program"])
    steps[1][1] = operator
    texts["program"] = json.dumps([steps, result, parameters])
    path = tmp_path / "net.safetensors"
    save_file(load_file(folder / "net.safetensors"), path, texts)
    with pytest.raises(UsageError, match="which is no operator of PyTorch; export it again"):
        hebbevo.load_exported(path)


def test_files_that_hebbevo_did_not_write_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="was not written by hebbevo"):
        hebbevo.load_exported(tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="there is no such file; write one with 'hebbevo export'"):
        hebbevo.load_exported(tmp_path / "absent.pt2")
    with pytest.raises(UsageError, match="its name says no format"):
        hebbevo.load_exported(tmp_path / "net.pkl")
