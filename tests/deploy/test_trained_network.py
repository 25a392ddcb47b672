"""Networks that a study hands out answer as recorded on the rows as the user has them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo import data
from hebbevo.errors import DataError
from hebbevo.outer.training_inputs import load, split_of
from hebbevo.study.ledger import Ledger

ROWS = 240


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue"], ROWS)
    shop = rng.integers(100, 104, ROWS)
    seconds = 1_700_000_000 + rng.integers(0, 60, ROWS)
    label = np.where((seconds % 60 > 30) ^ (colour == "red"), "yes", "no")
    return pd.DataFrame({"colour": colour, "time": seconds, "shop": shop, "label": label})


def write_npz(path: Path, offset: float = 0.0) -> None:
    x = np.random.default_rng(0).normal(7.0, 3.0, (ROWS, 2, 3)) + offset
    np.savez(path, x=x, y=np.array(["low", "high"])[(x[:, 0, 0] > 7.0 + offset).astype(int)])


OWN = """
import torch
from torch import nn
from hebbevo.nn import Stamina

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.shop = nn.Embedding(4, 3)
        self.body = nn.Sequential(nn.Linear(7, 8), Stamina(8), nn.Linear(8, num_classes))

    def forward(self, x):
        return self.body(torch.cat([x[:, :4], self.shop(x[:, 4].long())], 1))
"""

CASES = {
    "npz": ("d.npz", "", ""),
    "csv": ("d.csv", ", target: label", ""),
    "parquet": ("d.parquet", ", target: label, categorical: {shop: one_hot, colour: index}", ""),
    "standardize false": ("d.npz", ", standardize: false", ""),
    "some columns": ("d.csv", ", target: label, categorical: {shop: one_hot}, standardize: [time]", ""),
    "own": ("d.csv", ", target: label, categorical: {shop: index, colour: one_hot}", "own"),
    "digits": ("digits", "", ""),
}


def searched(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> hebbevo.Study:
    name, task, module = CASES[case]
    path = folder / name
    if name.endswith(".npz"):
        write_npz(path)
    elif name.endswith(".csv"):
        table().to_csv(path, index=False)
    elif name.endswith(".parquet"):
        table().to_parquet(path)
    network = "{hidden: [12], settings: {warmup: 4}}"
    if module:
        own = f"own_{folder.name}".replace("-", "_")
        (folder / f"{own}.py").write_text(OWN)
        monkeypatch.syspath_prepend(folder)
        network = f"{{module: '{own}:Net', settings: {{warmup: 4}}}}"
    space = folder / "s.yaml"
    space.write_text(
        f"version: 1\nname: s\ntask: {{dataset: {name if name == 'digits' else path}{task}, epochs: 2,"
        f" batch_size: 8}}\nnetwork: {network}\nsearch: {{sampler: random, population: 4, trials: 4}}\n"
        "genome:\n  learning_rate: {low: 1e-2, high: 3e-2, log: true}\n"
    )
    return hebbevo.search(space, study=folder / "s.db")


@pytest.mark.parametrize("case", CASES)
def test_the_accuracy_on_raw_validation_rows_is_the_recorded_one(
    case: str, tmp_path: Path, monkeypatch
) -> None:
    study = searched(tmp_path, case, monkeypatch)
    net = hebbevo.network(study, 1, allow_code=True)
    with Ledger.open(study.store) as ledger:
        dataset, split, task = load(ledger.spec.task), split_of(ledger), ledger.spec.task
    rows = np.arange(len(dataset.y))
    raw = table().drop(columns="label") if task.target else dataset.x.reshape(-1, *dataset.shape)
    # a data set of row numbers with the same labels is split in the same way
    numbered = data.split(data.from_arrays("n", rows[:, None], dataset.y), 0, 8, standardize=False)
    places = numbered.x_val[:, 0].astype(int)
    raw_val = raw.iloc[places] if task.target else raw[places]
    truth = np.array(dataset.classes)[split.y_val]
    accuracy = float((net.predict(raw_val) == truth).mean())
    recorded = study.trials().set_index("trial").accuracy[1]
    assert accuracy == pytest.approx(recorded, abs=1e-9)
    assert np.array_equal(net.classes, dataset.classes)
    logits = net.eval()(torch.from_numpy(dataset.x[places]))
    assert np.array_equal(np.array(net.classes)[logits.argmax(1)], net.predict(raw_val))
    np.testing.assert_allclose(net.predict_proba(raw_val), logits.softmax(1).detach().numpy(), atol=1e-6)


def test_a_saved_network_keeps_preprocessing_and_classes(tmp_path: Path, monkeypatch) -> None:
    study = searched(tmp_path, "csv", monkeypatch)
    net, other = hebbevo.network(study, 0), hebbevo.network(study, 1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other.mean.zero_()
    other.classes, other.columns = (), ()
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    rows = table().drop(columns="label")
    assert np.array_equal(other.predict(rows), net.predict(rows))
    assert net.float().mean.dtype == torch.float64


def test_rows_of_another_kind_are_refused_in_one_line(tmp_path: Path, monkeypatch) -> None:
    net = hebbevo.network(searched(tmp_path, "csv", monkeypatch), 0)
    rows = table().head(3)
    with pytest.raises(DataError, match="column 'colour' has unknown categories: 'pink'; known are 'blue'"):
        net.predict(rows.assign(colour="pink"))
    with pytest.raises(DataError, match="has no column 'time'"):
        net.predict(rows.drop(columns="time"))
    with pytest.raises(DataError, match="column 'time' is not numeric"):
        net.predict(rows.assign(time="noon"))
    with pytest.raises(DataError, match="give a DataFrame"):
        net.predict(np.zeros((3, 7)))
    with pytest.raises(DataError, match=r"column 'time' is not numeric, the first is '1\.234'"):
        net.predict(rows.assign(time="1.234"))  # perhaps 1234
    with pytest.raises(DataError, match="2 columns are named 'time'; keep one"):
        net.predict(pd.concat([rows, rows[["time"]] + 1], axis=1))
    for row in (rows.iloc[0], {"colour": "red", "time": 1.7e9, "shop": 101}):
        with pytest.raises(
            DataError, match=r"column 'colour' is '(red|green|blue)'; give a value for each row"
        ):
            net.predict(row)


def test_rows_that_lack_a_value_get_no_answer(tmp_path: Path, monkeypatch) -> None:
    net = hebbevo.network(searched(tmp_path, "csv", monkeypatch), 0)
    rows = table().head(4).astype({"time": float})
    for wrong in (np.nan, None, pd.NA, np.inf, -1e300):
        rows["time"] = pd.Series([1.7e9, wrong, wrong, 1.7e9], dtype=object)
        for predict in (net.predict, net.predict_proba):
            with pytest.raises(DataError, match="missing, infinite or too large: 2, the first in row 1, "):
                predict(rows)
    rows["time"] = 1.7e9
    with pytest.raises(DataError, match="column 'colour' has 1 missing categories, the first in row 2"):
        net.predict(rows.assign(colour=["red", "green", np.nan, "red"]))
    (tmp_path / "npz").mkdir()
    net = hebbevo.network(searched(tmp_path / "npz", "npz", monkeypatch), 0)
    x = np.full((3, 2, 3), 7.0)
    x[1, 0, 1] = np.nan
    with pytest.raises(
        DataError, match=r"^rows: .* missing, infinite or too large: 1, the first in row 1, feature 1 "
    ):
        net.predict(x)


def test_amounts_keep_their_precision_where_they_have_a_large_offset(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    np.savez(tmp_path / "d.npz", x=x, y=x[:, 0] + 1e9)
    space = tmp_path / "s.yaml"
    space.write_text(
        f"version: 1\nname: s\ntask: {{dataset: {tmp_path / 'd.npz'}, kind: regression, epochs: 20,"
        " batch_size: 8}\nnetwork: {hidden: [12], settings: {warmup: 4}}\nsearch: {sampler: random,"
        " population: 4, trials: 4}\ngenome:\n  learning_rate: {low: 1e-2, high: 3e-2, log: true}\n"
    )
    study = hebbevo.search(space, study=tmp_path / "s.db")
    net = hebbevo.network(study, 1)
    with Ledger.open(study.store) as ledger:
        split = split_of(ledger)
    predicted = net.predict(x)
    assert predicted.dtype == np.float64
    assert np.corrcoef(predicted - 1e9, x[:, 0])[0, 1] > 0.9  # float32 has steps of 64 there
    raw = torch.from_numpy(x)
    assert np.array_equal(net(raw).detach().numpy()[:, 0], predicted)
    with torch.no_grad():
        standardised = net.network(((raw - net.mean) / net.scale).float())[:, 0].double().numpy()
    np.testing.assert_allclose(predicted, standardised * split.target_scale + split.target_mean, rtol=1e-15)
    compact = net.compact(x)
    np.testing.assert_allclose(compact(raw).detach().numpy()[:, 0] - 1e9, predicted - 1e9, atol=1e-4)
    other = hebbevo.network(study, 2)
    other.load_state_dict(net.state_dict())
    assert np.array_equal(other.float().predict(x), predicted)


@pytest.mark.parametrize("case", ["npz", "csv", "own"])
def test_a_compact_one_takes_raw_rows_too_and_names_its_classes(
    case: str, tmp_path: Path, monkeypatch
) -> None:
    net = hebbevo.network(searched(tmp_path, case, monkeypatch), 1, allow_code=lambda _: True)
    units = net.network.body[1] if case == "own" else net.network.units[0]
    units.alive[::2] = False
    rows = (
        table().drop(columns="label") if case != "npz" else np.random.default_rng(1).normal(7, 3, (50, 2, 3))
    )
    compact = net.compact(rows)
    raw = torch.from_numpy(net.preprocessing.features(rows))
    with torch.no_grad():
        logits = compact(raw)
        torch.testing.assert_close(logits, net.eval()(raw), rtol=1e-4, atol=1e-5)
    assert np.array_equal(np.array(compact.classes)[logits.argmax(1)], net.predict(rows))
    assert sum(each.numel() for each in compact.parameters()) < sum(each.numel() for each in net.parameters())
