"""Initial weights that depend on a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let PyTorch's generator of the CPU draw from ``seed``, and restore its state afterwards."""
    import torch  # here, because a space file is checked without PyTorch

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the generators of the GPUs too, which are not restored
        torch.default_generator.manual_seed(seed)
        yield
