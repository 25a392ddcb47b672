"""Networks that were exported in every format, with the rows and the outputs that they must give."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.deploy.trained_network import TrainedNetwork
from tests.deploy.conftest import network

SUFFIXES = (".safetensors", ".pt2", ".onnx")
ROWS = 150

MODULES = {
    "mlp with input stamina": (".safetensors",),
    "mlp in hebb_mask": (".onnx",),
    "conv with batch norm": SUFFIXES,
    "residual": SUFFIXES,
    "grouped": (".safetensors",),
    "depthwise": (".onnx",),
    "ResNet-18": (".onnx",),
    "transformer encoder": (".onnx",),
}
"""Networks of `tests.deploy.conftest`, masked, in which half of the units live; and formats, for each export
takes a second."""

STUDIES = ("digits", "table", "regression")
"""Networks of studies: of images, of a table with categories, and of a table with an amount to predict."""


@dataclass(frozen=True)
class Case:
    """A network, and what its exported files must give.

    Attributes:
        net: the network with its masks.
        given: rows in a form that the user has them.
        rows: the same rows as exported networks take them.
        outputs: of the network with its masks.
        files: the exported files, by suffix.
    """

    net: torch.nn.Module
    given: object
    rows: np.ndarray
    outputs: np.ndarray
    files: dict[str, Path]


def table() -> pd.DataFrame:
    """Rows with numbers and categories, a class and an amount."""
    rng = np.random.default_rng(0)
    town = rng.choice(["Bath", "Aix", "Bonn"], ROWS)
    size = rng.choice([1, 2, 4], ROWS)
    time = 1_700_000_000 + rng.integers(0, 60, ROWS)
    late = time % 60 > 30
    return pd.DataFrame(
        {
            "town": town,
            "time": time,
            "size": size,
            "label": np.where(late ^ (town == "Aix"), "yes", "no"),
            "price": 1e6 + 10.0 * late + size,
        }
    )


TASKS = {
    "digits": "{dataset: digits, standardize: true, epochs: 2, batch_size: 64}",
    "table": "{{dataset: '{csv}', target: label, table: {{drop: [price]}}, categorical: {{size: index}},"
    " epochs: 4, batch_size: 8}}",
    "regression": "{{dataset: '{csv}', target: price, kind: regression, table: {{drop: [label]}},"
    " epochs: 4, batch_size: 8}}",
}


def studied(name: str, folder: Path) -> TrainedNetwork:
    """The network of a study in which half of the units of its first layer are dead."""
    csv = folder / "table.csv"
    table().to_csv(csv, index=False)
    space = folder / f"{name}.yaml"
    task = TASKS[name] if name == "digits" else TASKS[name].format(csv=csv)
    space.write_text(
        f"version: 1\nname: {name}\ntask: {task}\nnetwork: {{hidden: [24], settings: {{warmup: 4}}}}\n"
        "search: {sampler: random, population: 4, trials: 4}\n"
        "genome:\n  learning_rate: {low: 1e-2, high: 3e-2, log: true}\n"
    )
    net = hebbevo.network(hebbevo.search(space, study=folder / f"{name}.db", workers=1), trial=1)
    net.network.units[0].alive[::2] = False
    return net


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    folder = tmp_path_factory.mktemp("exported")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    for name in MODULES:
        torch.manual_seed(0)
        net, x = network(name, 0.5)
        with torch.no_grad():
            outputs = net(x).numpy()
        files = exported(net, folder / name.replace(" ", "_").replace("-", "_"), x, MODULES[name])
        found[name] = Case(net, x, x.numpy(), outputs, files)
    for name in STUDIES:
        net = studied(name, folder)
        raw = net.validation_rows()
        files = exported(net, folder / name, None, SUFFIXES)
        if name == "digits":
            given, rows = raw.reshape(-1, 8, 8), raw.reshape(-1, 8, 8).astype(np.float32)
        else:
            given = table()
            rows = coded(given, ("town", "size") if name == "table" else ("town",))
        outputs = net.predict_proba(given) if net.classes else net.predict(given)[:, None]
        found[name] = Case(net, given, rows, outputs, files)
    yield found
    torch.set_num_threads(threads)


def exported(net: torch.nn.Module, stem: Path, example: object, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """A network in several formats."""
    return {suffix: hebbevo.export(net, stem.with_suffix(suffix), example).files[0] for suffix in suffixes}


def coded(frame: pd.DataFrame, categories: tuple[str, ...]) -> np.ndarray:
    """The columns of a table as numbers: of a category its place among the sorted ones."""
    places = {"town": ["Aix", "Bath", "Bonn"], "size": [1, 2, 4]}
    columns = [
        frame[name].map(places[name].index) if name in categories else frame[name]
        for name in ("town", "time", "size")
    ]
    return np.stack([each.to_numpy(np.float64) for each in columns], 1)
