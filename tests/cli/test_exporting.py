"""`hebbevo export` and `hebbevo predict`: from a study to a file, and from rows to answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hebbevo

ROWS = 120


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    town = rng.choice(["Bath", "Aix", "Bonn"], ROWS)
    size = rng.normal(3, 1, ROWS)
    return pd.DataFrame({"town": town, "size": size, "label": np.where(size > 3, "large", "small")})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    table().to_csv(folder / "d.csv", index=False)
    space = folder / "s.yaml"
    space.write_text(
        "version: 1\nname: s\n"
        f"task: {{dataset: '{folder / 'd.csv'}', target: label, epochs: 4, batch_size: 8}}\n"
        "network: {hidden: [12], settings: {warmup: 4, prune_period: 2}}\n"
        "search: {sampler: random, population: 6, trials: 6}\n"
        "genome:\n  learning_rate: {low: 1e-2, high: 1e-1, log: true}\n"
        "  unactivation_penalty: {low: 1e-1, high: 10, log: true}\n"
    )
    return hebbevo.search(space, study=folder / "s.db", workers=1).path


@pytest.fixture(scope="module")
def file(study: Path) -> Path:
    """The network of the knee, exported."""
    path = study.with_name("net.safetensors")
    hebbevo.export(hebbevo.open_study(study).champion(), path)
    return path


def test_an_export_prints_sizes_and_writes_the_network_of_the_choice(study: Path, run) -> None:
    front = hebbevo.open_study(study).front()
    most = front.survivors.iloc[-1]
    code, out, err = run(
        "export", study, "--max-survivors", most, "-o", "deploy/net.safetensors", "--license", "MIT"
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["parameters", "multiply-adds", "bytes"]
    assert lines[-4:] == [
        "file    deploy/net.safetensors",
        "module  deploy/net.py",
        "card    deploy/net.md",
        "check   hebbevo predict deploy/net.safetensors DATA",
    ]
    card = Path("deploy/net.md").read_text()
    assert f"# s, trial {front.trial.iloc[-1]}: {most:g} of 12 neurons alive" in card
    assert "License: MIT." in card and str(study.parent) not in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trial", "1", "--knee", "-o", "net.pt2"], "--trial, --knee: give one of them"),
        (["-o", "net.bin"], "net.bin: its name says no format; end it in .pt2, .onnx, .safetensors"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(options: list[str], message: str, study: Path, run) -> None:
    assert run("export", study, *options) == (2, "", f"{message}\n")
    assert not [*Path().iterdir()]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predicting_gives_classes_and_probabilities_and_the_accuracy(suffix: str, file: Path, run) -> None:
    rows = table()
    getattr(rows, f"to_{suffix[1:]}")(f"new{suffix}", index=False)
    code, out, err = run("predict", file, f"new{suffix}", "-o", "predicted.csv")
    predicted = pd.read_csv("predicted.csv")
    assert [*predicted] == ["predicted", "probability_large", "probability_small"]
    probabilities = predicted[["probability_large", "probability_small"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    names = np.array(["large", "small"])
    assert (names[probabilities.argmax(1)] == predicted.predicted).all()
    right = (predicted.predicted == rows.label).sum()
    assert right > 60
    assert (code, err) == (0, "")
    assert out == f"file    predicted.csv: {ROWS} rows\naccuracy {right / ROWS:.4f}: {right} of {ROWS} rows\n"
    rows.drop(columns="label").iloc[:, ::-1].to_csv("unlabelled.csv", index=False)
    code, out, err = run("predict", file, "unlabelled.csv")
    assert (code, err) == (0, "")
    assert out == Path("predicted.csv").read_text()


def test_rows_that_do_not_fit_are_one_line(file: Path, run) -> None:
    rows = table()
    for changed, message in (
        (rows.drop(columns="size"), "has no column 'size'; its columns are 'town', 'label'"),
        (
            rows.assign(town="Rome"),
            "column 'town' has unknown categories: 'Rome'; known are 'Aix', 'Bath', 'Bonn'",
        ),
        (
            rows.assign(size="big"),
            "column 'size' is not numeric, the first is 'big'; encode it as numbers or drop it",
        ),
        (
            rows.assign(size=rows["size"].where(rows.index != 7)),
            "values that are missing, infinite or too large: 1, the first in row 7, column 'size' "
            "(counted from 0); fill them in or drop those rows",
        ),
    ):
        changed.to_csv("new.csv", index=False)
        assert run("predict", file, "new.csv", "-o", "out.csv") == (2, "", f"new.csv: {message}\n")
    assert not Path("out.csv").exists()
    code, _, err = run("predict", file, "absent.csv")
    assert code == 2 and err.startswith("absent.csv: ")
    assert run("predict", "absent.onnx", "new.csv")[0] == 2
