"""A training by Lightning with the callback is the ordinary one, and says what survives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import attach
from tests.integrations.conftest import (
    BATCH,
    EPOCHS,
    KNOBS,
    Task,
    assert_equal,
    message_without,
    network,
    optimizer_of,
    python_of,
    trained_by_hand,
)

lightning = pytest.importorskip("lightning")

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint  # noqa: E402

from hebbevo.integrations.lightning import Plasticity  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:The '\w+' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
]


class Module(lightning.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)


class Validated(Module):
    def validation_step(self, batch: list[Tensor]) -> None:
        x, y = batch
        self.log("accuracy", (self.net(x).argmax(1) == y).float().mean())


def loader(task: Task) -> DataLoader[Any]:
    return DataLoader(TensorDataset(task.x, task.y), batch_size=BATCH)


def trainer(*callbacks: Any, **options: Any) -> Any:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": EPOCHS,
    }
    return lightning.Trainer(callbacks=list(callbacks), **quiet | options)


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_the_training_is_that_of_an_ordinary_loop_bit_for_bit(knobs: dict[str, float], task: Task) -> None:
    module = Validated(network(masked=True, **knobs))
    trainer(Plasticity()).fit(module, loader(task), loader(task))
    expected = trained_by_hand(network(masked=True, **knobs), task)
    assert_equal(module.net, expected)
    assert 0 < int(expected[1].alive.sum()) < 12
    assert not expected[2].masks()["weight"].all()


def test_with_gradients_accumulated_it_is_the_ordinary_loop_that_accumulates_them(task: Task) -> None:
    module = Module(network(**KNOBS["settling"]))
    trainer(Plasticity(), accumulate_grad_batches=4).fit(module, loader(task))
    net = network(**KNOBS["settling"])
    optimizer = optimizer_of(net)
    attach(net, optimizer, total_steps=EPOCHS * len(task.batches))
    for _ in range(EPOCHS):
        for number, (x, y) in enumerate(task.batches, 1):
            (nn.functional.cross_entropy(net(x), y) / 4).backward()
            if number in (4, len(task.batches)):
                optimizer.step()
                optimizer.zero_grad()
    assert_equal(module.net, net)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 24),
        ({"max_epochs": 2}, 12),
        ({"max_steps": 9}, 9),
        ({"max_steps": 3, "accumulate_grad_batches": 4}, 10),  # 4 and 2 minibatches, then 4
        ({"limit_train_batches": 5}, 20),
    ],
    ids=str,
)
def test_the_rules_have_the_length_of_the_training(options: dict[str, Any], steps: int, task: Task) -> None:
    module = Module(network(**KNOBS["settling"]))
    trainer(Plasticity(), **options).fit(module, loader(task))
    assert int(module.net[1].total_steps) == steps == int(module.net[1].steps)


class Stream(IterableDataset[Any]):
    def __init__(self, task: Task) -> None:
        self.task = task

    def __iter__(self) -> Iterator[Any]:
        yield from zip(self.task.x, self.task.y, strict=True)


def test_a_length_that_is_not_known_is_asked_for_only_where_a_rule_needs_it(task: Task) -> None:
    stream = DataLoader(Stream(task), batch_size=BATCH)
    module = Module(network())
    trainer(Plasticity(), max_epochs=1).fit(module, stream)
    assert int(module.net[1].total_steps) == 0
    module = Module(network(settle=0.5))
    with pytest.raises(UsageError, match=r"settle needs the training's length.*Plasticity\(total_steps=N\)$"):
        trainer(Plasticity(), max_epochs=1).fit(module, stream)
    trainer(Plasticity(total_steps=6), max_epochs=1).fit(module, stream)
    assert int(module.net[1].total_steps) == 6


def test_survivors_are_metrics_that_other_callbacks_monitor(task: Task, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    class Seen(lightning.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                metrics = trainer.callback_metrics
                seen.append((float(metrics["neurons_alive"]), float(metrics["connections_alive"])))

    module = Validated(network(masked=True, **KNOBS["plain"]))
    checkpoint = ModelCheckpoint(tmp_path, monitor="neurons_alive", mode="min")
    stopping = EarlyStopping("neurons_alive", mode="min", patience=10)
    trainer(Plasticity(), Seen(), checkpoint, stopping, enable_checkpointing=True).fit(
        module, loader(task), loader(task)
    )
    net, expected = network(masked=True, **KNOBS["plain"]), []

    def count() -> None:
        total = hebbevo.count(net).loc["total"]
        expected.append((total["neurons_alive"], total["connections_alive"]))

    trained_by_hand(net, task, after_epoch=count)
    assert seen == expected
    assert len({neurons for neurons, _ in seen}) > 1
    assert checkpoint.best_model_score == min(neurons for neurons, _ in seen)


def test_a_training_that_is_continued_from_a_checkpoint_ends_as_one_that_was_not(
    task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "half.ckpt"

    class Stop(lightning.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(path)
                trainer.should_stop = True

    class Other(lightning.Callback):
        """It has the place of `Stop`, so the number of callbacks is the same."""

    trainer(Plasticity(), Stop()).fit(Module(network(**KNOBS["settling"])), loader(task))
    module = Module(network(**KNOBS["settling"]))
    trainer(Plasticity(), Other()).fit(module, loader(task), ckpt_path=path)
    assert int(module.net[1].total_steps) == int(module.net[1].steps)
    assert_equal(module.net, trained_by_hand(network(**KNOBS["settling"]), task))


def test_a_second_training_of_a_network_counts_on(task: Task) -> None:
    module = Module(network(**KNOBS["settling"]))
    for _ in range(2):
        trainer(Plasticity(), max_epochs=2).fit(module, loader(task))
    assert int(module.net[1].total_steps) == 24 == int(module.net[1].steps)


def test_a_training_stops_once_nothing_is_left_and_nothing_can_return(task: Task) -> None:
    deadly: dict[str, Any] = {
        "unactivation_penalty": 1000.0,
        "hebbian_threshold": 1.0,
        "min_neurons": 0,
        "max_deaths": 1.0,
    }
    for knobs, stops in (({}, True), ({"regrowth_rate": 1e-9}, False)):
        module, own = Module(network(**deadly, **knobs)), trainer(Plasticity())
        if stops:
            with pytest.warns(UserWarning, match="^Plasticity: no neuron is left after epoch 1 and none can"):
                own.fit(module, loader(task))
        else:
            own.fit(module, loader(task))
        assert not module.net[1].alive.any()
        assert own.current_epoch == (1 if stops else EPOCHS)


class WithForward(lightning.LightningModule):
    """Its parameters are in two modules, which its forward brings together."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.body, self.head = net[:2], net[2]

    configure_optimizers = Module.configure_optimizers

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)


class WithoutForward(WithForward):
    forward = lightning.LightningModule.forward

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.head(self.body(x)), y)


def test_the_forward_of_the_module_is_followed_where_its_parts_are_several(task: Task) -> None:
    module = WithForward(network(**KNOBS["settling"]))
    trainer(Plasticity()).fit(module, loader(task))
    expected = trained_by_hand(network(**KNOBS["settling"]), task)
    assert_equal(nn.Sequential(*module.body, module.head), expected)


@pytest.mark.parametrize(
    ("callback", "make", "words"),
    [
        (
            Plasticity(),
            WithoutForward,
            r"WithoutForward has no forward, .* \(body, head\); write a forward, or",
        ),
        (Plasticity("nett"), Module, "Module has no module 'nett'; known: net$"),
        (Plasticity(), lambda net: Module(nn.Sequential(nn.Linear(6, 3))), "has no plastic module; put a"),
    ],
    ids=["no forward", "no such module", "nothing plastic"],
)
def test_what_cannot_be_followed_is_an_error_of_one_line(
    callback: Any, make: Any, words: str, task: Task
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        trainer(callback).fit(make(network()), loader(task))
    assert "\n" not in str(caught.value)


def test_several_optimisers_are_refused(task: Task) -> None:
    class Two(Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__(net)
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [optimizer_of(self), optimizer_of(self)]

    with pytest.raises(UsageError, match=r"there are 2 optimisers; call hebbevo\.nn\.attach in configure"):
        trainer(Plasticity()).fit(Two(network()), loader(task))


def test_without_lightning_the_import_is_an_error_of_one_line_that_says_how_to_install_it() -> None:
    message = message_without("lightning")
    assert message.count("\n") == 1
    assert message.startswith("hebbevo.integrations.lightning: ")
    assert message.endswith('; install it: pip install "hebbevo[lightning]"\n')


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a Trainer writes checkpoints and logs
    names: dict[str, Any] = {}
    for block in python_of("docs/howto/lightning.md"):
        exec(block.replace("accelerator=", "enable_progress_bar=False, accelerator="), names)
    assert names["small"](names["x"]).shape == (256, 10)
    assert 0 < names["trainer"].callback_metrics["neurons_alive"] < 128
