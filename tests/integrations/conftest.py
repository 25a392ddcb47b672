"""A small training, as an ordinary PyTorch loop does it, to compare other loops with."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hebbevo.nn import HebbMask, Stamina, attach

EPOCHS, BATCH = 4, 16
ROOT = Path(__file__).parents[2]


def python_of(page: str) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@dataclass
class Task:
    """Rows of three overlapping classes, and their labels."""

    x: Tensor
    y: Tensor

    @property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.x.split(BATCH), self.y.split(BATCH), strict=True))


@pytest.fixture(scope="session")
def task() -> Task:
    rng = np.random.default_rng(0)
    y = np.arange(88) % 3  # not a multiple of the minibatch
    x = rng.normal(size=(3, 6))[y] + rng.normal(size=(88, 6))
    return Task(torch.tensor(x, dtype=torch.float32), torch.tensor(y))


KNOBS = {
    "plain": {"unactivation_penalty": 8.0},
    "settling": {"unactivation_penalty": 8.0, "regrowth_rate": 0.2, "settle": 0.3},
    "growing": {"unactivation_penalty": 8.0, "growth_rate": 0.5, "patience": 1},
}
"""Knobs that need nothing, the length of the training, and its loss."""


def network(masked: bool = False, **knobs: float) -> nn.Sequential:
    """The same network at every call."""
    torch.manual_seed(0)
    knobs = {"warmup": 2, "prune_period": 2, "grace": 4, **knobs}
    last: nn.Module = nn.Linear(12, 3)
    if masked:
        last = HebbMask(last, ["weight"], seed=1, update_form="agreement", permanence_rate=1.0, warmup=2)
    return nn.Sequential(nn.Linear(6, 12), Stamina(12, seed=1, **knobs), last)


def optimizer_of(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.02)


def trained_by_hand(
    net: nn.Sequential, task: Task, epochs: int = EPOCHS, after_epoch: Callable[[], None] = lambda: None
) -> nn.Sequential:
    """Train in an ordinary loop with `hebbevo.nn.attach`."""
    optimizer = optimizer_of(net)
    attachment = attach(net, optimizer, total_steps=epochs * len(task.batches))
    needs_loss = bool(net[1].growth_rate)
    net.train()
    for _ in range(epochs):
        for x, y in task.batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            if needs_loss:
                attachment.observe(loss)
            loss.backward()
            optimizer.step()
        after_epoch()
    return net


def assert_equal(net: nn.Module, other: nn.Module) -> None:
    """Check that two networks have the same weights, masks and statistics, bit for bit."""
    torch.testing.assert_close(net.state_dict(), other.state_dict(), rtol=0, atol=0)


def message_without(package: str) -> str:
    """What is printed where the integration of a package is imported and the package is missing."""
    script = (
        f"import sys; sys.modules['{package}'] = None\n"
        f"try:\n    import hebbevo.integrations.{package}\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
