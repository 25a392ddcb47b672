"""The built-in losses: their closed gradients against autograd, and what class weights mean."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import Split
from hebbevo.networks import Architecture
from hebbevo.training import train
from hebbevo.training.losses import CrossEntropy, SquaredError
from tests.training.conftest import (
    CPU,
    ONE_STRUCTURE,
    assert_close,
    candidates,
    make_cohort,
    problem,
    recipe,
    state_of,
)

WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1, 1, 0])
TARGETS = torch.linspace(-1, 2, 5, dtype=torch.float64)[:, None]


def literal_cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of w[y] * -log p[y] over the rows, divided by the sum of w[y]."""
    rows = torch.arange(len(labels))
    logs = outputs.exp().div(outputs.exp().sum(1, keepdim=True)).log()[rows, labels]
    return -(WEIGHTS[labels] * logs).sum() / WEIGHTS[labels].sum()


def literal_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return ((outputs - targets) ** 2).sum() / len(targets)


@pytest.mark.parametrize(
    ("loss", "literal", "y", "width"),
    [
        (CrossEntropy(), F.cross_entropy, LABELS, 3),
        (CrossEntropy(WEIGHTS), literal_cross_entropy, LABELS, 3),
        (SquaredError(), literal_squared_error, TARGETS, 1),
    ],
)
def test_the_gradient_of_many_nets_in_closed_form_is_that_of_the_equation(loss, literal, y, width) -> None:
    outputs = torch.randn(4, 5, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs.requires_grad_()
    expected = torch.stack([literal(each, y) for each in outputs])
    [gradient] = torch.autograd.grad(expected.sum(), outputs)
    found, of_outputs = loss.with_gradient(outputs.detach().mT.clone(), y)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(of_outputs.mT, gradient)
    torch.testing.assert_close(torch.stack([loss(each, y) for each in outputs]), expected)


def regression_problem() -> Split:
    """A target that is a nonlinear function of sixteen features."""
    rng = np.random.default_rng(1)

    def part(rows: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(rows, 16)).astype(np.float32)
        return x, (np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]).astype(np.float32)

    (x, y), (x_val, y_val), (x_test, y_test) = part(248), part(100), part(20)
    ones = np.ones(16, np.float32)
    return Split(x, y, x_val, y_val, x_test, y_test, 0 * ones, ones, ())


def of_regression(the_recipe):
    network = Architecture("mlp", (37, 53), "stamina", False, (16,), 1)
    return replace(the_recipe, network=network, kind="regression")


@pytest.mark.parametrize(
    ("the_recipe", "split"),
    [
        (of_regression(recipe()), regression_problem()),
        (replace(recipe(), class_weights=(1.0, 3.0, 0.5, 1.5)), problem()),
    ],
    ids=["regression", "class weights"],
)
def test_a_net_reaches_in_a_stack_what_it_reaches_alone(the_recipe, split, one_thread) -> None:
    stacked = make_cohort(the_recipe, ONE_STRUCTURE, split)
    together = stacked.train()
    for row, genome in enumerate(ONE_STRUCTURE):
        alone = make_cohort(the_recipe, [genome], split)
        [measured] = alone.train()
        assert measured.accuracy == pytest.approx(together[row].accuracy, abs=0.02)
        assert measured.survivors == together[row].survivors
        assert_close(state_of(stacked, row), state_of(alone, 0))


def test_a_regression_learns_and_its_score_is_the_r2_of_the_validation_rows(one_thread) -> None:
    the_recipe = replace(of_regression(recipe(epochs=30)), settings={"learning_rate": 0.01, "warmup": 10_000})
    split = regression_problem()
    cohort = make_cohort(the_recipe, [{}, {"weight_decay": 0.1}], split)
    for measured, outputs in zip(
        cohort.train(), cohort.outputs(torch.from_numpy(split.x_val)).double(), strict=True
    ):
        y = torch.from_numpy(split.y_val).double()
        r2 = 1 - float(((outputs - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        assert measured.accuracy[-1] == pytest.approx(r2, abs=1e-9)
        assert r2 > 0.5


def test_weights_of_the_classes_change_what_a_net_answers(one_thread) -> None:
    """The first class has nearly all the weight, so that it is the answer more often."""
    shares = []
    for weights in ((), (100.0, 1.0, 1.0, 1.0)):
        the_recipe = replace(recipe(epochs=2), class_weights=weights)
        cohort = make_cohort(the_recipe, ONE_STRUCTURE[:2], problem())
        cohort.train()
        answers = cohort.outputs(torch.from_numpy(problem().x_val)).argmax(-1)
        shares.append(float((answers == 0).double().mean()))
    assert shares[1] > shares[0] + 0.2


@pytest.mark.parametrize("score", ["balanced_accuracy", "macro_f1"])
def test_a_built_in_score_is_taken_by_its_name(score, one_thread) -> None:
    by_name, plain = (
        train(replace(recipe(), score=each), candidates(ONE_STRUCTURE), problem(), CPU)
        for each in (score, None)
    )
    assert [each.survivors for each in by_name] == [each.survivors for each in plain]
    assert [each.accuracy for each in by_name] != [each.accuracy for each in plain]
