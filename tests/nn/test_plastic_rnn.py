"""The plastic recurrent cell: against its equations written out, and that plasticity stores patterns."""

import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hebbevo.nn import PlasticRNNCell
from hebbevo.nn.plastic_rnn import hebb, oja

SIZE, STEPS = 4, 5


def literal(cell, inputs):
    """One episode, neuron by neuron."""
    w, alpha, eta = cell.weight.tolist(), cell.alpha.tolist(), cell.eta.item()
    y, trace = [0.0] * SIZE, [[0.0] * SIZE for _ in range(SIZE)]
    for x in inputs.tolist():
        new = []
        for j in range(SIZE):
            z = sum(y[i] * (w[i][j] + alpha[i][j] * trace[i][j]) for i in range(SIZE))
            new.append(math.tanh(z + 20 * x[j]))
        for i in range(SIZE):
            for j in range(SIZE):
                if cell.rule is hebb:
                    trace[i][j] = (1 - eta) * trace[i][j] + eta * y[i] * new[j]
                else:
                    trace[i][j] += eta * new[j] * (y[i] - new[j] * trace[i][j])
        y = new
    return torch.tensor(y, dtype=torch.float64), torch.tensor(trace, dtype=torch.float64)


@pytest.mark.parametrize("rule", [hebb, oja], ids=["hebb", "oja"])
def test_a_cell_computes_its_equations_written_out(rule):
    torch.manual_seed(0)
    cell = PlasticRNNCell(SIZE, rule=rule, eta=0.3).double()
    torch.nn.init.normal_(cell.weight)
    torch.nn.init.normal_(cell.alpha)
    inputs = 0.05 * torch.randn(STEPS, 3, SIZE, dtype=torch.float64)
    state = cell.start(3)
    for x in inputs:
        state = cell(x, state)
    for row in range(3):
        y, trace = literal(cell, inputs[:, row])
        torch.testing.assert_close(state[0][row], y)
        torch.testing.assert_close(state[1][row], trace)


def test_weights_plasticity_and_rate_are_learned():
    cell = PlasticRNNCell(SIZE, rule=oja)
    state = cell.start(2)
    for _ in range(3):
        state = cell(0.1 * torch.rand(2, SIZE), state)
    state[0].square().sum().backward()
    assert {name for name, each in cell.named_parameters() if each.grad.any()} == {"weight", "alpha", "eta"}


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[2] / "examples" / "pattern_completion.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


def test_plastic_connections_complete_patterns_that_fixed_ones_cannot(example):
    wrong = {}
    for name, make in (
        ("hebb", lambda: PlasticRNNCell(16, rule=hebb)),
        ("oja", lambda: PlasticRNNCell(16, rule=oja)),
        ("fixed", lambda: example.fixed(PlasticRNNCell(16))),
    ):
        torch.manual_seed(0)
        wrong[name] = example.wrong_bits(example.trained(make(), 120))
    assert wrong["hebb"] < 0.5 * wrong["fixed"]
    assert wrong["oja"] < 0.5 * wrong["fixed"]
    assert wrong["fixed"] > 0.15


def test_impossible_sizes_and_rates_are_refused(complaint):
    assert complaint(PlasticRNNCell, 0) == (
        "PlasticRNNCell: size: 0 is no number of neurons; write 1 or more"
    )
    assert "write a number from 0 to 1" in complaint(PlasticRNNCell, 3, eta=2.0)
    assert "'hebb' is no function; give hebb, oja or your own" in complaint(PlasticRNNCell, 3, rule="hebb")
