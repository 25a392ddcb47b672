"""The built-in scores, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from hebbevo.training import DEFAULT_SCORES, SCORES

NETS, ROWS, CLASSES = 5, 40, 4


def answers(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of several nets and skewed labels: the last class is no label, the first net never says 0."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(NETS, ROWS, CLASSES, generator=generator)
    outputs[0, :, 0] = -9.0
    labels = torch.randint(CLASSES - 1, (ROWS,), generator=generator).clamp(max=1)
    labels[:2] = torch.tensor([0, 2])
    return outputs, labels


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("accuracy", metrics.accuracy_score),
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("macro_f1", lambda y, found: metrics.f1_score(y, found, average="macro", zero_division=0.0)),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_scores_of_classes_are_those_of_scikit_learn_for_each_net_of_a_stack(name, oracle, seed) -> None:
    outputs, labels = answers(seed)
    expected = [oracle(labels.numpy(), each.argmax(-1).numpy()) for each in outputs]
    assert SCORES[name].of(outputs, labels).tolist() == pytest.approx(expected, abs=1e-12)
    assert float(SCORES[name].of(outputs[1], labels)) == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_r2_is_that_of_scikit_learn_and_never_below_0(seed) -> None:
    rng = np.random.default_rng(seed)
    targets = 3.0 + rng.normal(size=(ROWS, 1)).astype(np.float32)
    outputs = targets + np.array([0.0, 0.1, 0.5, 1.0, 5.0])[:, None, None] * rng.normal(size=(5, ROWS, 1))
    expected = [max(0.0, metrics.r2_score(targets, each)) for each in outputs]
    found = SCORES["r2"].of(torch.from_numpy(outputs), torch.from_numpy(targets))
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    assert (found[0], found[-1]) == (1, 0)


def test_each_kind_of_task_has_a_score_of_its_own() -> None:
    assert {SCORES[name].kind: name for name in DEFAULT_SCORES.values()} == DEFAULT_SCORES
