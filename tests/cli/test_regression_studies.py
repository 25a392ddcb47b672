"""Studies of a regression from a table to a network that predicts in the unit of the target."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import hebbevo
from hebbevo import data
from hebbevo.report import write
from hebbevo.study.ledger import Ledger

pytestmark = pytest.mark.usefixtures("without_report")

SPACE = """\
version: 1
name: prices
task:    {dataset: houses.csv, target: price, kind: regression, epochs: 12, batch_size: 32}
network: {hidden: [16, 12], settings: {warmup: 4, prune_period: 2, grace: 4}}
search:  {sampler: ga, population: 6, trials: 12, seed: 3}
genome:
  unactivation_penalty: {low: 1e-2, high: 10, log: true}
  learning_rate:        {low: 1e-2, high: 5e-2, log: true}
"""


def houses(rows: int = 300) -> pd.DataFrame:
    """Prices around 200,000 that depend on the features, not quite linearly."""
    rng = np.random.default_rng(0)
    area, rooms, age = rng.normal(size=(3, rows))
    price = 200_000 + 40_000 * (area + rooms * 0.5 - np.maximum(age, 0) + 0.05 * rng.normal(size=rows))
    return pd.DataFrame({"area": 90 + 20 * area, "rooms": rooms, "age": age, "price": price})


@pytest.fixture
def table(run, tmp_path: Path) -> pd.DataFrame:
    """A table and a space file in the current folder, of which the table is given."""
    frame = houses()
    frame.to_csv("houses.csv", index=False)
    Path("prices.yaml").write_text(SPACE)
    return frame


def test_a_regression_searches_reports_and_hands_out_a_network_that_predicts_prices(run, table) -> None:
    code, out, err = run("search", "--space", "prices.yaml", "--study", "straight.db")
    assert code == 0, err
    assert out.split()[:4] == ["trial", "epoch", "R2", "survivors"]
    study = hebbevo.open_study("straight.db")
    best = study.front().iloc[-1]
    assert (study.chance, study.score) == (0, "R2")
    assert best.accuracy > 0.8

    with Ledger.open(study.store) as ledger:
        facts = ledger.facts
    assert facts.classes == ()
    net = hebbevo.network(study, int(best.trial), int(best.epoch))
    predicted = net.predict(table)
    price = table["price"].to_numpy()
    assert 1 - ((predicted - price) ** 2).sum() / ((price - price.mean()) ** 2).sum() > 0.8

    page = write(study, Path("report"))[0].read_text()
    assert f"reaches R2 {best.accuracy:.3f}" in page
    assert "R2 is measured on validation data" in page
    assert "<dt>chance R2</dt><dd>0.000</dd>" in page


def test_a_regression_that_was_stopped_goes_on_as_if_there_had_been_no_stop(run, table) -> None:
    run("search", "--space", "prices.yaml", "--study", "straight.db", "--quiet")
    run("search", "--space", "prices.yaml", "--study", "stopped.db", "--trials", "6", "--quiet")
    assert run("resume", "stopped.db", "--trials", "12", "--quiet")[0] == 0
    tables = [
        hebbevo.open_study(name).trials().drop(columns="seconds") for name in ("straight.db", "stopped.db")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_target_of_amounts_is_offered_a_regression_in_one_line(run, table) -> None:
    code, _, err = run("search", "--space", "prices.yaml", "--kind", "classification")
    assert code == 2
    assert err.count("\n") == 1
    assert "looks like regression; write task: {kind: regression} (or --kind regression)" in err
    assert not Path("studies").exists()

    table.assign(price=np.arange(300) % 25).to_csv("houses.csv", index=False)
    options = ("--kind", "classification", "--trials", "6", "--epochs", "1")
    code, _, err = run("search", "--space", "prices.yaml", *options)
    assert code == 0
    assert "each of the 25 different numbers in the target is taken for a class; if they are amounts," in err


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("score: accuracy", "task.score: 'accuracy' is not a score of a regression; write one of r2,"),
        (
            "score: r2, kind: classification",
            "task.score: 'r2' is not a score of a classification; write one of",
        ),
        (
            "score: 3",
            "task.score: 3 does not name a score; write accuracy, balanced_accuracy, macro_f1, r2, or",
        ),
        ("class_weight: balanced", "task.class_weight: a regression has no classes; drop it"),
        (
            "class_weight: even, kind: classification",
            "task.class_weight: 'even' gives no weights; write balanced",
        ),
        (
            "class_weight: {a: 0.0}, kind: classification",
            "gives no weights; write balanced, or {class: weight}",
        ),
        ("kind: ranking", "task.kind: 'ranking' is not known; write classification or regression"),
    ],
)
def test_a_score_or_weights_for_another_task_are_one_line(run, table, task, said) -> None:
    drop = "kind: regression, " if "kind" in task else ""
    Path("prices.yaml").write_text(SPACE.replace(drop, "").replace("epochs: 12", f"epochs: 12, {task}"))
    code, _, err = run("check", "prices.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_weights_of_classes_are_checked_with_the_data_and_recorded(run, table) -> None:
    skewed = table.assign(price=np.where(np.arange(300) % 10, "low", "high"))
    skewed.to_csv("houses.csv", index=False)
    spaces = {
        name: SPACE.replace("regression", f"classification, class_weight: {weights}, score: macro_f1")
        for name, weights in {
            "even": "balanced",
            "own": "{high: 9, low: 1}",
            "wrong": "{hihg: 2, low: 1}",
        }.items()
    }
    for name, text in spaces.items():
        Path(f"{name}.yaml").write_text(text)
    found = {}
    for name in ("even", "own"):
        options = ("--study", f"{name}.db", "--trials", "6", "--epochs", "1", "--quiet")
        assert run("search", "--space", f"{name}.yaml", *options)[0] == 0
        with Ledger.open(Path(f"{name}.db")) as ledger:
            found[name] = ledger.facts.class_weights
            assert hebbevo.open_study(f"{name}.db").score == "macro F1"
            chance = ledger.facts.chance
    assert found["own"] == (9, 1)
    assert found["even"] == pytest.approx((0.5 / 0.1, 0.5 / 0.9), rel=0.05)
    assert chance < 0.5  # the macro F1 of always answering the most frequent class
    code, _, err = run("search", "--space", "wrong.yaml")
    assert (code, err) == (2, "task.class_weight: there is no class 'hihg'; did you mean high?\n")


CODE = """\
import numpy as np
import torch
from torch import nn

from hebbevo.data import from_arrays
from hebbevo.nn import Stamina


def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = 1000.0 + 10 * (x[:, 0] - x[:, 1]) + rng.normal(size=200)
    return x, y, x[:20], y[:20]


def checked():
    return from_arrays("mine", *arrays(), kind="regression")


def build(width, input_shape, num_classes):
    assert num_classes == 1
    units = Stamina(width, warmup=4)
    return nn.Sequential(nn.Linear(*input_shape, width), units, nn.Linear(width, num_classes))


def flat(width, input_shape, num_classes):
    return nn.Sequential(build(width, input_shape, num_classes), nn.Flatten(0))


def two(width, input_shape, num_classes):
    return nn.Sequential(nn.Linear(*input_shape, width), nn.ReLU(), nn.Linear(width, 2))


def huber(outputs, targets):
    assert outputs.shape == targets.shape
    return nn.functional.huber_loss(outputs, targets)


def closeness(outputs, targets):
    return 1 / (1 + (outputs - targets).abs().mean())
"""


@pytest.fixture
def code(run, monkeypatch, tmp_path: Path) -> str:
    """A space file for networks and data of the user's own in the current folder."""
    Path("regress.py").write_text(CODE)
    return (
        "version: 1\nname: own\n"
        'task: {dataset: "regress:arrays", kind: regression, epochs: 20, batch_size: 16}\n'
        'network: {module: "regress:build"}\nsearch: {sampler: random, population: 4, trials: 4}\n'
        "genome:\n  width: {type: int, low: 8, high: 16, step: 8}\n  learning_rate: {low: 1e-2, high: 2e-2}\n"
    )


@pytest.mark.parametrize("data", ["arrays", "checked"])
@pytest.mark.parametrize(
    "rest", ["", ', loss: "regress:huber", score: "regress:closeness"', ", precision: bfloat16"]
)
def test_networks_losses_and_scores_of_the_user_get_columns_of_standardised_targets(
    run, code, data, rest
) -> None:
    Path("own.yaml").write_text(code.replace("arrays", data).replace("epochs: 20", f"epochs: 20{rest}"))
    returned, _, err = run("search", "--space", "own.yaml", "--study", "own.db")
    assert returned == 0, err
    study = hebbevo.open_study("own.db")
    assert set(study.trials().state) == {"complete"}
    assert (
        study.trials().accuracy.max() > 0.8
        if "closeness" not in rest
        else study.trials().accuracy.max() > 0.5
    )


@pytest.mark.parametrize(
    ("module", "said"),
    [("two", "has shape (16, 2) for targets (16, 1)"), ("flat", "has shape (16,) for targets (16, 1)")],
)
def test_a_network_with_other_outputs_than_one_column_is_refused_in_one_line(run, code, module, said) -> None:
    Path("own.yaml").write_text(code.replace("build", module))
    returned, _, err = run("search", "--space", "own.yaml")
    assert (returned, err.count("\n")) == (2, 1)
    assert said in err


@pytest.mark.parametrize("family", ["{family: conv, channels: [4], hidden: [8]}", "{hidden: [16]}"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_built_in_networks_regress_images_in_both_precisions(run, family, precision) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 1, 6, 6))
    np.savez("images.npz", x=x, y=5 + x[:, 0, :3].mean((1, 2)))
    Path("images.yaml").write_text(
        "version: 1\nname: images\n"
        "task: {dataset: images.npz, kind: regression, epochs: 25, batch_size: 16}\n"
        f"network: {family}\nsearch: {{sampler: random, population: 4, trials: 4, halving: true}}\n"
        "genome:\n  learning_rate: {low: 1e-2, high: 2e-2}\n"
    )
    returned, _, err = run("search", "--space", "images.yaml", "--study", "i.db", "--precision", precision)
    assert returned == 0, err
    assert hebbevo.open_study("i.db").trials().accuracy.max() > 0.3


def test_a_real_table_is_predicted_as_well_as_by_a_linear_regression(run) -> None:
    """The 442 patients that scikit-learn ships (Efron et al., 2004): how diabetes progressed in a year."""
    frame = load_diabetes(as_frame=True).frame
    frame.to_csv("diabetes.csv", index=False)
    Path("diabetes.yaml").write_text(
        "version: 1\nname: diabetes\n"
        "task: {dataset: diabetes.csv, target: target, kind: regression, epochs: 20, batch_size: 32}\n"
        "network: {hidden: [16, 8]}\nsearch: {sampler: random, population: 8, trials: 8}\n"
        "genome:\n  unactivation_penalty: {low: 1e-2, high: 1, log: true}\n"
        "  learning_rate: {low: 3e-3, high: 1e-2, log: true}\n"
    )
    returned, _, err = run("search", "--space", "diabetes.yaml", "--study", "d.db")
    assert returned == 0, err
    parts = data.split(data.load("diabetes.csv", target="target", kind="regression"), seed=0, batch_size=32)
    linear = LinearRegression().fit(parts.x_train, parts.y_train).score(parts.x_val, parts.y_val)
    assert hebbevo.open_study("d.db").front().accuracy.max() > linear - 0.05 > 0.2
