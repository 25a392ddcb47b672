"""Genes of other tools' sweep files, and what is written in their place."""

import pytest
import yaml

from hebbevo.errors import SpaceError
from hebbevo.spec import read
from hebbevo.spec.structure import spec_from_json
from hebbevo.spec.translation import translation

LOG = "{low: 0.0001, high: 0.1, log: true}"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # Weights & Biases
        ("{min: 0.0, max: 0.5}", "{low: 0, high: 0.5}"),
        ("{min: 1, max: 9}", "{type: int, low: 1, high: 9}"),
        ("{distribution: uniform, min: 1, max: 9}", "{low: 1, high: 9}"),
        ("{distribution: int_uniform, min: 1, max: 9}", "{type: int, low: 1, high: 9}"),
        ("{distribution: log_uniform_values, min: 1e-4, max: 0.1}", LOG),
        ("{distribution: log_uniform, min: -2.302585093, max: 0}", "{low: 0.1, high: 1, log: true}"),
        ("{distribution: q_uniform, min: 0.0, max: 1.0, q: 0.25}", "{low: 0, high: 1, step: 0.25}"),
        ("{values: [mean, 2, true, '1']}", '{choices: [mean, 2, true, "1"]}'),
        ("{values: [[512, 256], [64]]}", "{choices: [[512, 256], [64]]}"),
        ("{value: 0.3}", "nothing there, and network: {settings: {GENE: 0.3}}"),
        # Optuna
        ("trial.suggest_float('GENE', 1e-4, 1e-1, log=True)", LOG),
        ("suggest_loguniform('GENE', 1e-4, 1e-1)", LOG),
        ("trial.suggest_float('GENE', 0, 1, step=0.1)", "{low: 0, high: 1, step: 0.1}"),
        ("trial.suggest_int('GENE', low=2, high=8, step=2)", "{type: int, low: 2, high: 8, step: 2}"),
        ("trial.suggest_categorical('GENE', ['adam', 'sgd'])", "{choices: [adam, sgd]}"),
        ("{suggest_float: [1e-4, 0.1]}", "{low: 0.0001, high: 0.1}"),
        ("{suggest_float: {low: 1e-4, high: 0.1, log: true}}", LOG),
        # Ray Tune, whose whole ranges end below their upper bound
        ("tune.loguniform(1e-4, 1e-1)", LOG),
        ("ray.tune.uniform(0, 1)", "{low: 0, high: 1}"),
        ("tune.randint(1, 10)", "{type: int, low: 1, high: 9}"),
        ("tune.quniform(0.0, 1.0, 0.5)", "{low: 0, high: 1, step: 0.5}"),
        ("tune.choice(['a', 'b'])", "{choices: [a, b]}"),
        ("tune.grid_search([1, 2])", "{choices: [1, 2]}"),
        ("{grid_search: [1, 2]}", "{choices: [1, 2]}"),
        # Hyperopt, whose logarithmic ranges are given by exponents
        ("hp.loguniform('GENE', -2.302585093, 0)", "{low: 0.1, high: 1, log: true}"),
        ("hp.uniform('GENE', 0.5, 1)", "{low: 0.5, high: 1}"),
        ("{lower: 0.0, upper: 0.5}", "{low: 0, high: 0.5}"),
        ("{type: float, bounds: [0.0, 0.5]}", "{low: 0, high: 0.5}"),
        ("{type: float, bounds: [0, 1]}", "{low: 0, high: 1}"),
        ("hp.uniformint('GENE', 1, 9)", "{type: int, low: 1, high: 9}"),
        # Ax, NNI, and Optuna's distributions
        ("{type: range, bounds: [1e-4, 0.1], log_scale: true}", LOG),
        ("{type: range, bounds: [1, 9]}", "{type: int, low: 1, high: 9}"),
        ("{min: 1e-4, max: 0.1, scale: log}", LOG),
        ("{_type: loguniform, _value: [1e-4, 0.1]}", LOG),
        ("{_type: randint, _value: [1, 10]}", "{type: int, low: 1, high: 9}"),
        ("{_type: choice, _value: [a, 2]}", "{choices: [a, 2]}"),
        ("optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)", LOG),
        ("IntDistribution(2, 8, step=2)", "{type: int, low: 2, high: 8, step: 2}"),
    ],
)  # fmt: skip
def test_a_gene_of_another_tool_is_translated_into_a_gene_that_can_be_read(theirs: str, ours: str) -> None:
    found = translation("GENE", yaml.safe_load(theirs.replace("1e-", "1.0e-")))
    assert found == ours
    if not ours.startswith("nothing"):
        spec_from_json(
            {"version": 1, "name": "n", "task": {"dataset": "d"}, "genome": {"GENE": yaml.safe_load(ours)}}
        )


@pytest.mark.parametrize(
    "gene",
    [
        {"low": 0, "high": 1},
        {"choices": [1, 2]},
        {"low": 0, "high": 1, "step": 0.5},
        {"distribution": "normal", "mu": 0, "sigma": 1},
        {"min": "a", "max": 2},
        {"suggest_float": 3},
        {"values": 3},
        {},
        "a text",
        "tune.sample_from(lambda _: 1)",
        "tune.uniform(low, high)",
        "__import__('os').system('true')",
        "(" * 300,
        "-" * 900,
        "not " * 200,
        "f(",
        None,
        3,
        [1, 2],
    ],
)  # fmt: skip
def test_what_is_no_gene_of_another_tool_is_left_to_the_other_complaints(gene: object) -> None:
    assert translation("GENE", gene) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "learning_rate: {low: 3e-4, high: 1e-2, log: true}",
            "learning_rate: {min: 3e-4, max: 1e-2, distribution: log_uniform_values}",
            "genome.learning_rate: is written as in another tool; "
            "write learning_rate: {low: 0.0003, high: 0.01, log: true}",
        ),
        ("genome:", "parameters:", "parameters: is genome here; write genome: and the genes under it"),
    ],
)
def test_a_file_in_the_words_of_another_tool_gets_one_line(tmp_path, old, new, said) -> None:
    text = (
        "version: 1\nname: n\ntask: {dataset: digits}\n"
        "genome:\n  learning_rate: {low: 3e-4, high: 1e-2, log: true}\n"
    )
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    read(path)
    path.write_text(text.replace(old, new))
    with pytest.raises(SpaceError) as caught:
        read(path)
    line = next(number for number, row in enumerate(path.read_text().splitlines(), start=1) if new in row)
    assert str(caught.value) == f"{path}:{line}: {said}"
