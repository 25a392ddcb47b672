"""A training by skorch with the callback is the ordinary one, and its history says what survives."""

import pickle
from typing import Any

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn

import hebbevo
from hebbevo.errors import UsageError
from tests.integrations.conftest import (
    BATCH,
    EPOCHS,
    KNOBS,
    Task,
    assert_equal,
    message_without,
    network,
    python_of,
    trained_by_hand,
)

skorch = pytest.importorskip("skorch")

from hebbevo.integrations.skorch import Plasticity  # noqa: E402


def classifier(callback: Any = Plasticity, **options: Any) -> Any:
    return skorch.NeuralNetClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=0.02,
        batch_size=BATCH,
        max_epochs=EPOCHS,
        train_split=None,
        callbacks=[callback],
        verbose=0,
        **options,
    )


def knobs_of_module(knobs: dict[str, Any]) -> dict[str, Any]:
    return {f"module__{name}": value for name, value in knobs.items()}


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_the_training_is_that_of_an_ordinary_loop_bit_for_bit(knobs: dict[str, float], task: Task) -> None:
    net = classifier(module__masked=True, **knobs_of_module(knobs)).fit(task.x, task.y)
    expected = trained_by_hand(network(masked=True, **knobs), task)
    assert_equal(net.module_, expected)
    assert 0 < int(expected[1].alive.sum()) < 12
    assert int(net.module_[1].total_steps) == 24 == int(net.module_[1].steps)


def test_the_history_has_the_survivors_of_every_epoch(task: Task) -> None:
    net = classifier(module__masked=True, **knobs_of_module(KNOBS["plain"])).fit(task.x, task.y)
    own, expected = network(masked=True, **KNOBS["plain"]), []

    def count() -> None:
        total = hebbevo.count(own).loc["total"]
        expected.append((total["neurons_alive"], total["connections_alive"]))

    trained_by_hand(own, task, after_epoch=count)
    assert net.history[:, ("neurons_alive", "connections_alive")] == expected
    assert len({neurons for neurons, _ in expected}) > 1


def test_a_fit_begins_anew_and_a_partial_fit_counts_on(task: Task) -> None:
    net = classifier(**knobs_of_module(KNOBS["settling"])).fit(task.x, task.y)
    net.fit(task.x, task.y)
    assert_equal(net.module_, trained_by_hand(network(**KNOBS["settling"]), task))
    net.partial_fit(task.x, task.y)
    assert int(net.module_[1].total_steps) == 48 == int(net.module_[1].steps)


class FailsOnce(nn.CrossEntropyLoss):
    calls = 0

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        FailsOnce.calls += 1
        if FailsOnce.calls == 8:
            raise RuntimeError("the loss failed")
        return super().forward(outputs, labels)


def test_after_an_error_a_net_can_be_fitted_again(task: Task) -> None:
    FailsOnce.calls = 0
    net = classifier(**knobs_of_module(KNOBS["settling"])).set_params(criterion=FailsOnce)
    with pytest.raises(RuntimeError, match="the loss failed"):
        net.fit(task.x, task.y)
    net.partial_fit(task.x, task.y)
    assert int(net.module_[1].total_steps) == 8 + 24 == int(net.module_[1].steps)


class Stream(torch.utils.data.IterableDataset[Any]):
    def __init__(self, task: Task) -> None:
        self.task = task

    def __iter__(self) -> Any:
        yield from zip(self.task.x, self.task.y, strict=True)


def test_a_length_that_is_not_known_is_asked_for_only_where_a_rule_needs_it(task: Task) -> None:
    net = classifier().fit(Stream(task), y=None)
    assert int(net.module_[1].total_steps) == 0
    with pytest.raises(UsageError, match=r"settle needs the training's length.*Plasticity\(total_steps=N\)$"):
        classifier(module__settle=0.5).fit(Stream(task), y=None)
    net = classifier(Plasticity(total_steps=24), module__settle=0.5).fit(Stream(task), y=None)
    assert int(net.module_[1].total_steps) == 24


def test_a_training_stops_once_nothing_is_left_and_nothing_can_return(task: Task) -> None:
    deadly = {"unactivation_penalty": 1000.0, "hebbian_threshold": 1.0, "min_neurons": 0, "max_deaths": 1.0}
    net = classifier(**knobs_of_module(deadly))
    with pytest.warns(UserWarning, match="^Plasticity: no neuron is left after epoch 1 and none can return"):
        net.fit(task.x, task.y)
    assert net.history[:, "neurons_alive"] == [0]
    net = classifier(module__regrowth_rate=1e-9, **knobs_of_module(deadly)).fit(task.x, task.y)
    assert net.history[:, "neurons_alive"] == [0] * EPOCHS


def test_a_net_can_be_cloned_pickled_and_searched(task: Task) -> None:
    net = clone(classifier(Plasticity(total_steps=24), **knobs_of_module(KNOBS["plain"])))
    net.fit(task.x, task.y)
    again = pickle.loads(pickle.dumps(net))
    assert_equal(again.module_, net.module_)
    again.partial_fit(task.x, task.y)
    assert len(again.history[:, "neurons_alive"]) == 2 * EPOCHS
    search = GridSearchCV(net, {"module__unactivation_penalty": [0.01, 8.0]}, cv=2)
    search.fit(task.x.numpy(), task.y.numpy())
    assert search.best_estimator_.history[:, "neurons_alive"]


def test_without_skorch_the_import_is_an_error_of_one_line_that_says_how_to_install_it() -> None:
    message = message_without("skorch")
    assert message.count("\n") == 1
    assert message.startswith("hebbevo.integrations.skorch: ")
    assert message.endswith('; install it: pip install "hebbevo[skorch]"\n')


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in python_of("docs/howto/skorch.md"):
        exec(block, names)
    assert names["small"](names["x"]).shape == (256, 10)
    assert 0 < names["net"].history[-1, "neurons_alive"] < 128
    assert capsys.readouterr().out.startswith("[128, ")
