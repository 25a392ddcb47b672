"""Exported files give what the masked network gives, anywhere; nothing is half-written."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors
import torch
from torch import nn

import hebbevo
from hebbevo.deploy.compaction import NotEqual
from hebbevo.errors import UsageError
from hebbevo.nn import Stamina
from tests.deploy.export.conftest import MODULES, STUDIES, SUFFIXES, Case

ELSEWHERE = """
import importlib, sys
sys.modules["hebbevo"] = None  # its import fails
import numpy as np, onnxruntime, torch
torch.set_num_threads(1)

def runner(path):
    if path.endswith(".onnx"):
        session = onnxruntime.InferenceSession(path)
        [given], [output] = session.get_inputs(), session.get_outputs()
        assert given.name == "rows" and given.shape[0] == "rows", given
        return lambda rows: session.run(None, {"rows": rows})[0]
    if path.endswith(".pt2"):
        net = torch.export.load(path).module()
    else:
        folder, _, name = path.rpartition("/")
        sys.path.insert(0, folder)
        net = importlib.import_module(name.removesuffix(".safetensors")).load(path)
    return lambda rows: net(torch.from_numpy(rows)).detach().numpy()

found, arrays = {}, np.load(sys.argv[1])
for path in sys.argv[2:]:
    run, rows = runner(path), arrays[path]
    found[path] = run(rows)
    found[path + " 1"] = run(rows[:1])
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def elsewhere(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What the files give in a process that cannot import hebbevo: for all rows, and for the first alone."""
    arrays = tmp_path_factory.mktemp("elsewhere") / "arrays.npz"
    rows = {str(path): case.rows for case in cases.values() for path in case.files.values()}
    np.savez(arrays, **rows)
    command = [sys.executable, "-c", ELSEWHERE, str(arrays), *rows]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(np.load(arrays))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name in (*MODULES, *STUDIES) for suffix in MODULES.get(name, SUFFIXES)],
)
def test_without_hebbevo_a_file_gives_for_every_row_what_the_masked_network_gives(
    name: str, suffix: str, cases: dict[str, Case], elsewhere: dict[str, np.ndarray]
) -> None:
    case = cases[name]
    path = str(case.files[suffix])
    spread = np.ptp(case.outputs)
    assert spread > 0
    np.testing.assert_allclose(elsewhere[path], case.outputs, rtol=0, atol=1e-4 * spread)
    np.testing.assert_allclose(elsewhere[f"{path} 1"], case.outputs[:1], rtol=0, atol=1e-4 * spread)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", STUDIES)
def test_loaded_again_it_predicts_as_the_network_of_the_study(
    name: str, suffix: str, cases: dict[str, Case]
) -> None:
    case = cases[name]
    again = hebbevo.load_exported(case.files[suffix])
    if case.net.classes:
        assert np.array_equal(again.predict(case.given), case.net.predict(case.given))
        assert again.classes == case.net.classes
        np.testing.assert_allclose(again.predict_proba(case.given).sum(1), 1, atol=1e-5)
    else:
        np.testing.assert_allclose(again.predict(case.given), case.net.predict(case.given), atol=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", STUDIES)
def test_a_row_with_a_missing_value_or_an_unknown_category_gives_not_a_number(
    name: str, suffix: str, cases: dict[str, Case]
) -> None:
    case = cases[name]
    rows = case.rows[:8].copy()
    flat = rows.reshape(8, -1)
    wrong = {1: (1, np.nan), 3: (1, np.inf)}
    if name != "digits":
        wrong |= {4: (0, 3.0), 5: (0, -1.0), 6: (0, 0.5)}  # of the towns 0, 1 and 2
    for row, (column, value) in wrong.items():
        flat[row, column] = value
    outputs = hebbevo.load_exported(case.files[suffix]).outputs(rows)
    assert sorted(np.flatnonzero(np.isnan(outputs).all(1))) == sorted(wrong)
    known = [row for row in range(8) if row not in wrong]
    np.testing.assert_allclose(outputs[known], case.outputs[known], rtol=1e-4, atol=1e-5)


def texts(path: Path) -> dict[str, str]:
    """The texts in a file, as other libraries read them."""
    if path.suffix == ".onnx":
        return {each.key: each.value for each in onnx.load(path).metadata_props}
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "np") as file:
            return file.metadata()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "/extra/" in name]
        return {name.rpartition("/")[2]: archive.read(name).decode() for name in names}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_classes_columns_and_card_are_in_the_file_and_the_card_beside_it(
    suffix: str, cases: dict[str, Case]
) -> None:
    path = cases["table"].files[suffix]
    held = texts(path)
    interface = json.loads(held["interface"])
    assert interface["classes"] == ["no", "yes"]
    assert interface["columns"] == [
        {"name": "town", "categories": ["Aix", "Bath", "Bonn"]},
        {"name": "time"},
        {"name": "size", "categories": [1, 2, 4]},
    ]
    assert interface["input"] == {"name": "rows", "type": "float64", "shape": ["rows", 3]}
    facts = json.loads(held["facts"])
    assert (facts["trial"], facts["dataset"], facts["target"]) == (1, "table.csv", "label")
    assert facts["figures"]["test"]["score"] is None
    assert held["license"] == "not stated"
    card = path.with_suffix(".md").read_text()
    assert card.splitlines()[0] == held["card"].splitlines()[0] == f"# {held['title']}"
    assert "`yes`" not in card and "- classes: no, yes" in card
    assert "- column `town`: 0 = Aix, 1 = Bath, 2 = Bonn" in card
    assert "| confirmed | not measured | not measured | not measured |" in card


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_path_of_this_machine_is_in_a_file(suffix: str, cases: dict[str, Case]) -> None:
    for name in ("digits", "table", "residual"):
        content = cases[name].files[suffix].read_bytes()
        for place in (
            Path(hebbevo.__file__).parents[1],
            Path(torch.__file__).parents[1],
            cases[name].files[suffix].parent,
        ):
            assert str(place).encode() not in content


def test_a_small_network_of_the_digits_is_an_onnx_file_under_20_kb(cases: dict[str, Case]) -> None:
    [bias] = [each for each in cases["digits"].net.network.units if each.alive.sum() < 24]
    assert bias.alive.sum() == 12
    assert cases["digits"].files[".onnx"].stat().st_size < 20_000


def net_and_rows() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), Stamina(8), nn.Linear(8, 3))
    net[1].alive[2:] = False
    return net, torch.randn(20, 4)


def test_sizes_are_those_of_the_network_and_of_the_file(tmp_path: Path) -> None:
    net, rows = net_and_rows()
    exported = hebbevo.export(net, tmp_path / "net.safetensors", rows)
    sizes = exported.sizes()
    assert sizes.parameters.to_dict() == {"before": 4 * 8 + 8 + 8 * 3 + 3, "after": 4 * 2 + 2 + 2 * 3 + 3}
    assert sizes.multiply_adds.to_dict() == {"before": 4 * 8 + 8 * 3, "after": 4 * 2 + 2 * 3}
    assert sizes.bytes.after == exported.files[0].stat().st_size
    assert (sizes[["microseconds_1_row", "microseconds_64_rows"]] > 0).all(axis=None)
    assert net.training  # as it was


def test_a_file_of_the_user_beside_the_network_is_not_replaced(tmp_path: Path) -> None:
    net, rows = net_and_rows()
    (tmp_path / "model.py").write_text("mine = 1\n")
    with pytest.raises(UsageError, match=r"model\.py: is another file"):
        hebbevo.export(net, tmp_path / "model.safetensors", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    for _ in range(2):  # its own files are replaced
        hebbevo.export(net, tmp_path / "other.safetensors", rows, license="MIT")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.py",
        "other.md",
        "other.py",
        "other.safetensors",
    ]
    assert "License: MIT." in (tmp_path / "other.md").read_text()


class Pair(nn.Module):
    """Gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(x), x


def test_where_an_export_fails_nothing_is_written(tmp_path: Path) -> None:
    net, rows = net_and_rows()
    for wrong, path, example, words in (
        (net, "net.txt", rows, r"its name says no format; end it in \.pt2, \.onnx, \.safetensors"),
        (net, "net.onnx", None, "give an example"),
        (net, "net.onnx", rows[:1], "two rows or more"),
        (net, "net.onnx", torch.randn(20, 5), "does not run on the example"),
        (Pair(), "net.onnx", rows, "wrap it in a module that gives one tensor"),
    ):
        with pytest.raises(UsageError, match=words):
            hebbevo.export(wrong, tmp_path / path, example)
    assert not [*tmp_path.iterdir()]


def test_a_file_whose_outputs_are_other_ones_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, rows = net_and_rows()
    monkeypatch.setattr(
        "hebbevo.deploy.export.program.Program.__call__", lambda self, tensors, rows: rows[:, :3]
    )
    with pytest.raises(NotEqual, match="outputs on the example differ by"):
        hebbevo.export(net, tmp_path / "net.safetensors", rows)
    assert not [*tmp_path.iterdir()]


def test_a_missing_package_is_one_line_that_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, rows = net_and_rows()
    monkeypatch.setattr("hebbevo.deploy.export.formats.format.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        hebbevo.export(net, tmp_path / "net.onnx", rows)
    assert str(caught.value) == (
        f"{tmp_path / 'net.onnx'}: needs onnx and onnxscript and onnxruntime; "
        "install it with: pip install 'hebbevo[export]'"
    )
