"""Initial weights that depend on a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hebbevo.exclusive import PROCESS


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let the generators that code may draw from draw from ``seed``, and restore their states afterwards.

    These are PyTorch's generator of the CPU and those of `global_generators`.
    """
    with pytorch_seeded(seed), global_generators(seed):
        yield


@contextmanager
def pytorch_seeded(seed: int) -> Iterator[None]:
    """Let PyTorch's generator of the CPU draw from ``seed``, and restore its state afterwards."""
    import torch  # here, because a space file is checked without PyTorch

    with PROCESS:
        before = torch.default_generator.get_state()
        # torch.manual_seed would seed the generators of the GPUs too, which are not restored
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.default_generator.set_state(before)


@contextmanager
def global_generators(seed: int, *, drawn_by: int = 1) -> Iterator[None]:
    """Let Python's and NumPy's global generators draw from ``seed``, and restore their states afterwards.

    Args:
        seed: 0 or more.
        drawn_by: number of nets that the code inside computes at once. Several would share what is drawn.

    Raises:
        RuntimeError: something was drawn for several nets.
    """
    with PROCESS:
        before = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        start = _text_of_states() if drawn_by > 1 else ""
        try:
            yield
            if drawn_by > 1 and _text_of_states() != start:
                raise RuntimeError(
                    "it draws from the generator of Python or NumPy, which has one seed for all"
                )
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def _text_of_states() -> str:
    kind, keys, *rest = np.random.get_state()
    return repr((random.getstate(), kind, np.asarray(keys).tobytes(), rest))
